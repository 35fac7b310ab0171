"""Questions, judgments and runs from any file: told apart, taken in the right order, and refused with their lines."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.errors import BadInput

QUERIES = "".join(json.dumps({"_id": str(i), "text": f"question {i}"}) + "\n" for i in range(3))
QRELS = "0 0 a 1\n1 0 b 0\n"
BEIR = "query-id\tcorpus-id\tscore\n0\ta\t2\n"
RUN = "0 Q0 a 1 2.5 theirs\n0 Q0 zz 2 1.5 theirs\n"


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    file = tmp_path / "docs.jsonl"
    file.write_text("".join(json.dumps({"id": name, "title": name, "text": name}) + "\n" for name in "abc"))
    with Services(tmp_path / "workspace") as opened:
        opened.wait(opened.add([str(file)], "papers", index=False), 60)
        yield opened


def write(folder: Path, **files: str) -> list[Path]:
    paths = []
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.write_text(text)
        paths.append(path)
    return paths


def test_files_are_told_apart_and_questions_come_first(services: Services, tmp_path: Path) -> None:
    paths = write(tmp_path, a__run=RUN, b__qrels=QRELS, queries__jsonl=QUERIES)
    found = services.bring("papers", paths)
    assert [(one.file, one.kind, one.name, one.queries, one.judgments) for one in found] == [
        ("queries.jsonl", "queries", "default", 3, 0),
        ("b.qrels", "judgments", "default", 0, 2),
        ("a.run", "run", "a", 1, 2),
    ]
    assert found[1].notices == (), "its queries were there already"
    assert found[2].notices == ("1 of its documents are not in the collection.",)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (QRELS, "judgments"),
        (BEIR, "judgments"),
        ("query,docid,rating\nwords of a query,a,1\n", "judgments"),
        ("how old is a tree\nwhy is the sky blue\n", "queries"),
        ("top songs of 1999\n", "queries"),
        ("1\thow old is a tree\n", "queries"),
        ("query: how, answer: a\n", "queries"),
        ("<top>\n<num> Number: 1\n<title> trees\n</top>\n", "queries"),
        (RUN, "run"),
    ],
)
def test_every_layout_is_known_by_its_first_lines(services: Services, tmp_path: Path, text: str, kind: str) -> None:
    (path,) = write(tmp_path, file__txt=text)
    (found,) = services.bring("papers", [path], query_set="mine")
    assert found.kind == kind
    assert {view.name for view in services.query_sets("papers")} == ({"mine"} if kind != "run" else set())


def test_what_a_file_holds_can_be_said(services: Services, tmp_path: Path) -> None:
    (path,) = write(tmp_path, file__txt=QRELS)
    assert services.bring("papers", [path], what="queries")[0].queries == 2
    with pytest.raises(BadInput, match="Files hold queries, judgments, run"):
        services.bring("papers", [path], what="pictures")


def test_wrong_lines_are_named_and_nothing_is_taken_from_their_file(services: Services, tmp_path: Path) -> None:
    paths = write(
        tmp_path, queries__jsonl=QUERIES, bad__qrels="0 0 a 1\n0 0 b 2\n", worse__jsonl=QUERIES + "{nothing\n"
    )
    with pytest.raises(BadInput, match=r"worse\.jsonl: line 4: is not JSON"):
        services.bring("papers", [paths[2]])
    assert services.query_sets("papers") == ()
    (empty,) = write(tmp_path, empty__txt="\n\n")
    with pytest.raises(BadInput, match=r"empty\.txt is empty"):
        services.bring("papers", [empty])
    with pytest.raises(BadInput, match="does not exist"):
        services.bring("papers", [tmp_path / "missing.txt"])


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_a_zipped_beir_folder_is_read_as_the_folder(services: Services, tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "set.zip", {"set/queries.jsonl": QUERIES, "set/qrels/test.tsv": BEIR, "set/corpus.jsonl": "{}"}
    )
    (found,) = services.bring("papers", [path])
    assert (found.kind, found.queries, found.judgments) == ("queries", 3, 1)


def test_a_zip_never_writes_elsewhere_nor_without_end(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(
        tmp_path / "evil.zip", {"../../queries.jsonl": QUERIES, "../../evil.txt": "x", "qrels/../../e.tsv": BEIR}
    )
    scratch = tmp_path / "a" / "b" / "scratch"
    scratch.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert services.bring("papers", [path])[0].queries == 3
    written = {one.name for one in tmp_path.rglob("*") if one.is_file() and "workspace" not in one.parts}
    assert written == {"docs.jsonl", "evil.zip"}, "and what was unpacked is gone"
    monkeypatch.setattr("app.verbs.bringing.MOST_UNPACKED", 100)
    bomb = zipped(tmp_path / "bomb.zip", {"queries.jsonl": "x" * 10_000})
    with pytest.raises(BadInput, match="unpacks to more than"):
        services.bring("papers", [bomb])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(BadInput, match="cannot be unpacked"):
        services.bring("papers", [broken])
    with pytest.raises(BadInput, match=r"holds no queries\.jsonl"):
        services.bring("papers", [zipped(tmp_path / "none.zip", {"a.txt": "x"})])
