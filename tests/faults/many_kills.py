"""kill -9 again and again, at chosen and at random moments: python -m tests.faults.many_kills --kills 200

Each round adds a file and builds two indexes in a process that is killed at one place after the other, and after every second one once more at a random
moment, and is at last left to finish. What stands then is compared with a run that nobody disturbed: documents, passages, vectors and hits. Rounds
follow one another until there were as many kills as wanted, and a fourth of them in each phase. Slow on purpose; no test collects it, `make faults`
runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from engine.indexes.base import parse_spec
from engine.serving.engine import Engine
from tests.faults import worker

PLACES = (
    ("parse", "parse"),
    *[
        ("commit", place)
        for place in ("before commit", "after commit", "before commit", "after commit", "before commit")
    ],
    *[("encode", "encode")] * 5,
    *[("publish", place) for place in ("seal", "seal", "publish", "publish", "published")],
)
"""A round: the phase that is reported, and the place in the worker that belongs to it, in the order in which a job comes to them."""
PHASES = tuple(dict.fromkeys(phase for phase, _ in PLACES))
LATER = 0.1
"""Seconds at most until a random kill, counted from when the process works on its job."""
QUERIES = ("retrieval number7", "graph calibration", "number111", "unknownword")
TRIES = 40
KINDS = ("chosen", "random")
Kill: TypeAlias = tuple[str, str]
"""Phase, and one of KINDS."""


def main() -> int:
    """0 where every round ended like the undisturbed run."""
    parser = argparse.ArgumentParser(description="Kill the worker many times, and compare.")
    parser.add_argument(
        "--kills", type=int, default=200, help="how many kills at least, over all phases, and a fourth of them in each"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no round after this many seconds")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    source = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="triptych-kills-") as scratch:
        return _rounds(Path(scratch), asked.kills, asked.seconds, source)


def _rounds(scratch: Path, wanted: int, seconds: float, source: random.Random) -> int:
    file = _input(scratch)
    undisturbed = scratch / "undisturbed"
    if code := started(undisturbed, file, "never").wait():
        raise SystemExit(f"The undisturbed run failed: {code}")
    expected = outcome_of(undisturbed)
    if expected["status"] != "done":
        raise SystemExit(f"The job ends as {expected['status']} even where nobody disturbs it.")
    kills, survived, lost = Counter[Kill](), Counter[Kill](), []
    began, number = time.monotonic(), 0
    while _left(kills, wanted) and time.monotonic() - began < seconds:
        folder = scratch / f"round-{number}"
        mine = one_round(folder, file, source)
        if not mine:
            raise SystemExit("A job ended before it came to the first place.")
        found = outcome_of(folder)
        kills.update(mine)
        if found == expected:
            survived.update(mine)
        else:
            lost.append((number, dict(mine), {key: (expected[key], found.get(key)) for key in expected}))
        shutil.rmtree(folder)
        number += 1
        print(
            f"{number} rounds, {kills.total()} kills, {survived.total()} survived, {time.monotonic() - began:.0f} s: {dict(_met(kills))}",
            file=sys.stderr,
            flush=True,
        )
    print(_table(kills, survived))
    print(f"in {number} rounds, {time.monotonic() - began:.0f} s")
    for one in lost:
        print("differs:", *one)
    return 1 if lost or not kills else 0


def _left(kills: Counter[Kill], wanted: int) -> bool:
    """Whether there were too few kills yet, in all or in a phase."""
    met = _met(kills)
    return kills.total() < wanted or any(met[phase] < wanted // len(PHASES) for phase in PHASES)


def _met(kills: Counter[Kill]) -> Counter[str]:
    """Kills by phase."""
    return Counter(phase for phase, _ in kills.elements())


def _table(kills: Counter[Kill], survived: Counter[Kill]) -> str:
    """Kills of each phase: at the chosen place, at a random moment, together, and how many of these were survived."""
    lines = [f"{'phase':<10}{'chosen':>8}{'random':>8}{'kills':>8}{'survived':>10}"]
    for name in (*PHASES, "all"):
        of = [[count for (phase, how), count in counts.items() if name in (phase, "all") and how in kinds]
              for counts, kinds in ((kills, ("chosen",)), (kills, ("random",)), (kills, KINDS), (survived, KINDS))]  # fmt: skip
        chosen, random_, both, alive = map(sum, of)
        lines.append(f"{name:<10}{chosen:>8}{random_:>8}{both:>8}{alive:>10}")
    return "\n".join(lines)


def one_round(folder: Path, file: Path, source: random.Random) -> Counter[Kill]:
    """Kill at every place in turn, and after every second one at a random moment; then let the job end. How many kills met which phase."""
    kills = Counter[Kill]()
    for number, (phase, place) in enumerate(PLACES):
        code = started(folder, file, f"resume {place}" if number else place).wait()
        if code == 0:
            return kills  # a random kill came later than this place, so that the job was done
        if code != -signal.SIGKILL:
            raise SystemExit(f"The worker was not killed in {place!r}: {code}")
        kills[phase, "chosen"] += 1
        if number % 2:
            continue
        before = max((seq for seq, _ in _writes(folder)), default=0)
        child = started(folder, file, "resume")
        _until_working(folder, child, before)
        time.sleep(source.uniform(0, LATER))
        if child.poll() is None:
            child.kill()
            kills[at_phase(folder), "random"] += 1
        if child.wait() == 0:
            return kills
    for _ in range(TRIES):
        if started(folder, file, "resume").wait() == 0:
            return kills
    raise SystemExit(f"The job in {folder} does not end.")


class Forked:
    """A process that has everything imported, which takes longer than the job itself. Nothing is open in the process that it is forked from."""

    def __init__(self, work: Callable[[], None]) -> None:
        sys.stdout.flush()
        self.code: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            quiet = os.open(os.devnull, os.O_RDWR)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            work()
            code = 0
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def wait(self, seconds: float = 120.0) -> int:
        """The exit code; a process that takes too long is killed, and counts as failed."""
        until = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                self.kill()
                raise SystemExit(f"Process {self.pid} did not end within {seconds:.0f} s.")
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """kill -9."""
        os.kill(self.pid, signal.SIGKILL)


def started(folder: Path, file: Path, phase: str) -> Forked:
    """A worker with nothing to say."""
    return Forked(lambda: worker.work(str(folder), str(file), phase))


def outcome_of(folder: Path) -> dict[str, Any]:
    """`outcome`, found in a process of its own."""
    told = folder.with_suffix(".json")
    if code := Forked(lambda: _write(told, outcome(folder))).wait():
        raise SystemExit(f"What stands in {folder} cannot be read: {code}")
    return dict(json.loads(told.read_text()))


def _write(path: Path, found: Any) -> None:
    path.write_text(json.dumps(found))


def _until_working(folder: Path, child: Forked, before: int) -> None:
    """Until the job was taken up again, as the log of writes tells; `before`: the last write of the process before."""
    until = time.monotonic() + 60
    while (
        child.poll() is None
        and time.monotonic() < until
        and not any(seq > before and what == "a job is running" for seq, what in _writes(folder))
    ):
        time.sleep(0.005)


def _writes(folder: Path) -> list[tuple[int, str]]:
    """Numbers and names of the latest writes."""
    found = []
    with suppress(OSError):
        for line in (folder / "writes.log").read_text().splitlines():
            with suppress(ValueError):  # cut with its process
                entry = json.loads(line)
                found.append((int(entry["seq"]), str(entry["what"])))
    return found


def at_phase(folder: Path) -> str:
    """Where a random kill met the job, by what is in its folder afterwards. While documents are added, what lies between two commits counts as
    parsing, since it takes most of the time."""
    if any(folder.glob("tmp-*/partial/*")):
        return "encode"
    if any((folder / "indexes").glob("*")) or any(folder.glob("tmp-*")):
        return "publish"
    return "parse"


def outcome(folder: Path) -> dict[str, Any]:
    """Hashes of the documents, passages and vectors, and the hits of both indexes."""
    found: dict[str, Any] = {}
    encoder = worker.install()
    with Engine.open(folder, resume_jobs=False) as engine:
        workspace = engine.workspace
        (job,) = engine.jobs.list()
        cid = workspace.collection("papers").collection_id
        snapshot = workspace.documents.snapshot(cid)
        found["status"] = job.status
        found["documents"] = workspace.documents.content_hash(cid)
        found["rows"] = (len(snapshot), len(snapshot.passage_nos))
        for raw in worker.SPECS:
            spec = parse_spec(raw)
            generation = workspace.generations.find(cid, spec.kind, spec.model_dump(mode="json"))
            if generation is None:
                found[spec.kind] = None
                continue
            index: Any = spec.open(workspace.generations.open_folder(generation))
            ids = _ids(snapshot, spec.unit, index.numbers)
            if spec.kind == "dense":
                found["vectors"] = _vectors(ids, index.vectors(np.arange(len(index.numbers), dtype=np.int64)))
            asked = list(QUERIES) if spec.kind == "bm25" else encoder.encode_queries(list(QUERIES))
            top = index.search(asked, 10)
            found[spec.kind] = [
                sorted(
                    (-round(float(score), 5), ids[row]) for row, score in zip(rows, scores, strict=True) if row >= 0
                )[:5]
                for rows, scores in zip(top.rows, top.scores, strict=True)
            ]
        found["leftovers"] = sorted(path.name for path in folder.glob("tmp-*"))
    return found


def _ids(snapshot: Any, unit: str, numbers: Any) -> list[str]:
    """The document of each row; numbers differ from run to run."""
    if unit == "document":
        return [snapshot.doc_ids[int(at)] for at in np.searchsorted(snapshot.doc_nos, numbers)]
    at = np.searchsorted(snapshot.passage_nos, numbers)
    return [snapshot.doc_ids[int(doc)] for doc in snapshot.passage_docs[at]]


def _vectors(ids: list[str], vectors: Any) -> str:
    digest = hashlib.sha256()
    for row in sorted(range(len(ids)), key=lambda row: (ids[row], vectors[row].tobytes())):
        digest.update(ids[row].encode() + vectors[row].tobytes())
    return digest.hexdigest()


def _input(scratch: Path) -> Path:
    path = scratch / "papers.jsonl"
    words = ["retrieval", "graph", "calibration", "sparse", "dense", "fusion", "ranking"]
    rows = [
        {"_id": f"d{n}", "title": f"Paper number{n}", "text": f"On {words[n % 7]} and {words[n % 5]}, number{n}."}
        for n in range(800)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows + rows[:10]))
    return path


if __name__ == "__main__":
    sys.exit(main())
