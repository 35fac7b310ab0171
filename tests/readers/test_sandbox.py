"""The reading child: order, events, limits, crashes, cancellation, resumption, and no child that outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from engine.errors import BadInput, Cancelled
from engine.readers.base import ColumnGuess, Preview, ReaderOptions
from engine.readers.sandbox import Batch, Event, FileFinished, FileStarted, preview_in_child, read_in_child
from engine.readers.sources import UNKNOWN
from engine.readers.wire import decode_items, encode_items
from engine.types import Item, Judgment, Query, Record, Rejected

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")

# A reader of a third party that misbehaves on command; the child loads it through sitecustomize.
MISBEHAVING = """
import os, signal, sys, time
import engine.readers.text as text
class Act(text.PlainText, name="act"):
    title = "Acts"
    suffixes = (".act",)
    @classmethod
    def sniff(cls, path, head):
        return 1.0 if path.suffix == ".act" else 0.0
    def parse(self, path, options, name):
        yield text.Record("before-" + name, "before")
        act = path.read_text().strip()
        if act == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
        if act == "sleep": time.sleep(60)
        if act == "memory": x = bytearray(3_000_000_000)
        if act == "native": os.write(2, b"memory allocation of 9 bytes failed"); os.abort()
        if act == "exit": os._exit(3)
        if act == "raise": raise ZeroDivisionError("by zero")
        if act == "print": print("noise on stdout", flush=True); os.write(1, b"more noise")
        if act == "many":
            for i in range(1000): yield text.Record(str(i), "title")
        yield text.Record("after-" + name, "after")
"""


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for .act files, and a child that knows how to read them."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "acting_reader.py").write_text(MISBEHAVING)
    (site / "sitecustomize.py").write_text(
        "import sys\nif 'engine.readers.worker' in sys.argv or sys.orig_argv[-1] == 'engine.readers.worker':\n    import acting_reader\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def sources(folder: Path) -> list[Path | str | object]:
    from engine.readers.sources import Source

    return [Source(path, path.name, "act", path.stat().st_size) for path in sorted(folder.iterdir())]


def run(folder: Path, **limits: float) -> list[Event]:
    return list(read_in_child(sources(folder), **limits))  # type: ignore[arg-type]


def items_of(events: list[Event]) -> list[Item]:
    return [item for event in events if isinstance(event, Batch) for item in event.items]


def test_events_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.bib").write_text("@misc{k, title={A\x07 title}}\n@misc{broken\n")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)))
    name = tmp_path.name
    assert list(read_in_child([tmp_path])) == [
        FileStarted(f"{name}/a.bib", "bibtex", 40),
        Batch(
            f"{name}/a.bib",
            (
                Record("k", "A title", metadata={"type": "misc"}, place=f"{name}/a.bib line 1"),
                Rejected(f"{name}/a.bib line 2", "broken entry: Unexpectedly reached end of file.", "@misc{broken"),
            ),
            bytes_read=40,
        ),
        FileFinished(f"{name}/a.bib", 1, 1, cleaned={"control characters": 1}),
        FileStarted(f"{name}/b.bin", "", 256),
        Batch(f"{name}/b.bin", (Rejected(f"{name}/b.bin", UNKNOWN),)),
        FileFinished(f"{name}/b.bin", 0, 1, cleaned={}),
    ]


def test_batches_are_bounded(acting: Path) -> None:
    (acting / "a.act").write_text("many")
    events = run(acting)
    assert [len(event.items) for event in events if isinstance(event, Batch)] == [256, 256, 256, 234]
    assert events[-1] == FileFinished("a.act", 1002, 0, cleaned={})


@POSIX
def test_a_file_that_kills_its_child_costs_only_itself(acting: Path) -> None:
    acts = {"a": "segfault", "b": "fine", "c": "exit", "d": "native", "e": "sleep", "f": "fine"}
    for name, act in acts.items():
        (acting / f"{name}.act").write_text(act)
    events = run(acting, memory_bytes=1_500_000_000, seconds_per_file=1)
    assert items_of(events) == [
        Rejected("a.act", "failed: signal 11"),
        Record("before-b.act", "before"),
        Record("after-b.act", "after"),
        Rejected("c.act", "failed: exit code 3"),
        Rejected("d.act", "needed more than 1.5 GB of memory"),
        Rejected("e.act", "took more than 1 s"),
        Record("before-f.act", "before"),
        Record("after-f.act", "after"),
    ]
    assert [event for event in events if isinstance(event, FileFinished)] == [
        FileFinished(f"{name}.act", 2 * (act == "fine"), act != "fine", cleaned={}) for name, act in acts.items()
    ]


@POSIX
def test_python_errors_and_noise_do_not_cost_the_child(acting: Path) -> None:
    for name, act in (("a", "memory"), ("b", "raise"), ("c", "print")):
        (acting / f"{name}.act").write_text(act)
    assert items_of(run(acting, memory_bytes=1_500_000_000)) == [
        Record("before-a.act", "before"),
        Rejected("a.act", "needed more memory than one file may"),
        Record("before-b.act", "before"),
        Rejected("b.act", "failed: ZeroDivisionError: by zero"),
        Record("before-c.act", "before"),
        Record("after-c.act", "after"),
    ]


def test_the_time_of_a_slow_consumer_is_not_the_files_time(acting: Path) -> None:
    (acting / "a.act").write_text("many")
    count = 0
    for event in read_in_child(sources(acting), seconds_per_file=1.0):  # type: ignore[arg-type]
        if isinstance(event, Batch):
            count += len(event.items)
            time.sleep(0.4)
    assert count == 1002


def test_finished_files_are_skipped(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("x.txt", "one")
        archive.writestr("y.txt", "two")
    root = tmp_path.name
    skip = {f"{root}/a.txt", f"{root}/c.zip", f"{root}/c.zip/x.txt"}
    events = list(read_in_child([tmp_path], skip=skip))
    assert [event.path for event in events if isinstance(event, FileStarted)] == [
        f"{root}/b.txt",
        f"{root}/c.zip/y.txt",
    ]


def test_a_beir_folder_inside_a_zip_is_one_source(tmp_path: Path) -> None:
    path = tmp_path / "judged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cacm/corpus.jsonl", '{"_id": "1", "title": "T", "text": ""}\n')
        archive.writestr("cacm/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\t1\t1\n")
    events = list(read_in_child([path]))
    assert [event.path for event in events if isinstance(event, FileStarted)] == ["judged.zip", "judged.zip/cacm"]
    assert items_of(events) == [
        Record("1", "T", place="judged.zip/cacm/corpus.jsonl line 1"),
        Judgment("q", "1", 1, "judged.zip/cacm/qrels/test.tsv line 2"),
    ]


def test_cancelling_stops_at_once_and_ends_the_child(acting: Path) -> None:
    (acting / "a.act").write_text("sleep")
    began = time.monotonic()
    with pytest.raises(Cancelled):
        for _ in read_in_child(sources(acting), should_stop=lambda: time.monotonic() - began > 1.5):  # type: ignore[arg-type]
            pass
    assert time.monotonic() - began < 4


@POSIX
def test_closing_the_iterator_ends_the_child(acting: Path) -> None:
    (acting / "a.act").write_text("sleep")
    events = read_in_child(sources(acting))  # type: ignore[arg-type]
    assert isinstance(next(events), FileStarted)
    (child,) = _children(os.getpid())
    events.close()  # type: ignore[attr-defined]
    assert not Path(f"/proc/{child}").exists() or child not in _children(os.getpid())


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_parent_leaves_neither_child_nor_files(acting: Path) -> None:
    (acting / "a.act").write_text("sleep")
    script = (
        "from pathlib import Path; from engine.readers.sandbox import read_in_child; from engine.readers.sources import Source\n"
        f"p = Path({str(acting / 'a.act')!r})\n"
        "for e in read_in_child([Source(p, 'a.act', 'act', 5)]): print(e, flush=True)\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    scratch = acting.parent / "scratch"
    scratch.mkdir()
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join([root, os.environ["PYTHONPATH"]])}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # the child has started to read
        (child,) = _children(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)
    assert list(scratch.iterdir()) == []


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupted_command_leaves_neither_child_nor_files(tmp_path: Path) -> None:
    (tmp_path / "a.bib").write_text("".join(f"@misc{{k{n}, title={{Title {n}}}}}\n" for n in range(300_000)))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    root = str(Path(__file__).resolve().parents[2])
    command = [
        sys.executable,
        "-m",
        "app",
        "-w",
        str(tmp_path / "w"),
        "add",
        str(tmp_path / "a.bib"),
        "-c",
        "papers",
        "--no-index",
    ]
    with subprocess.Popen(
        command, cwd=root, env=os.environ | {"TMPDIR": str(scratch)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as parent:
        assert parent.stderr is not None
        deadline = time.monotonic() + 60
        child = None
        while child is None and time.monotonic() < deadline and parent.poll() is None:
            time.sleep(0.05)
            reading = [
                pid for pid in _children(parent.pid) if b"readers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            child = reading[0] if reading else None
        assert child is not None
        assert list(scratch.glob("triptych-read-*"))
        parent.send_signal(signal.SIGINT)
        said = parent.stderr.read().decode()
        assert parent.wait(60) == 130, said
    assert "Traceback" not in said
    assert not _alive(child)
    assert list(scratch.iterdir()) == []


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_wrong_field_and_a_missing_file_are_errors_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no field called 'body'"):
        next(read_in_child([tmp_path], ReaderOptions(columns={"body": "x"})))
    with pytest.raises(BadInput, match="does not exist"):
        next(read_in_child([tmp_path / "missing"]))


def test_previews(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,title,note\n1,A,x\n2,B,y\n3,C,z\n")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)))
    name = tmp_path.name
    guesses = (ColumnGuess("doc_id", "id"), ColumnGuess("title", "title"))
    rows = (
        Record("1", "A", metadata={"note": "x"}, place=f"{name}/a.csv row 2"),
        Record("2", "B", metadata={"note": "y"}, place=f"{name}/a.csv row 3"),
    )
    assert preview_in_child([tmp_path], n=2) == (
        Preview(f"{name}/a.csv", "csv", "CSV or TSV", rows, guesses, ("id", "title", "note")),
        Preview(f"{name}/b.bin", "", "", (Rejected(f"{name}/b.bin", UNKNOWN),), (), ()),
    )


@POSIX
def test_a_preview_survives_a_crash(acting: Path) -> None:
    (acting / "a.act").write_text("segfault")
    (acting / "b.act").write_text("fine")
    first, second = preview_in_child(sources(acting), n=3)  # type: ignore[arg-type]
    assert first.items == (Rejected("a.act", "failed: signal 11"),)
    assert [item.doc_id for item in second.items if isinstance(item, Record)] == ["before-b.act", "after-b.act"]


def test_items_survive_the_wire() -> None:
    items: list[Item] = [
        Record("1", "t", "x", ("A", "B"), 1999, "v", "https://x.org", {"a": [1, {"b": None}]}, "p"),
        Record("2", "t"),
        Rejected("p", "r", "e"),
        Query("q", "t", {"k": 1}, "p"),
        Judgment("q", "d", 2, "p"),
    ]
    import orjson

    assert decode_items(orjson.loads(encode_items(items))[1]) == tuple(items)
    with pytest.raises(ValueError, match="unknown kind"):
        decode_items([["?", 1]])
