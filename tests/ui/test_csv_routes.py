"""Every way to CSV, found in the source: whatever a workspace holds, no cell begins a formula, however a spreadsheet divides the text."""

from __future__ import annotations

import ast
import csv
import io
import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd
import pytest
from odd import NAME, World

from app.ui.frame.site import site
from app.verbs.leaderboard import leaderboard_csv
from app.verbs.services import Services
from engine.files import sheets
from engine.types import Judgment, Query, Record

ROOT = Path(__file__).parents[2]
WRITERS = {"csv_text", "table_bytes"}
FORBIDDEN = re.compile(r"csv\.(writer|DictWriter)|(^|\.)(write_csv|sink_csv|to_csv|writerow)$")
ID = "=1;-2"
TEXT = '+1+1;=2;"@3\n-4\t=5\r\n;\n'
FORMS = ("csv", "log")


def calls() -> Iterator[tuple[str, str, str]]:
    """(file, function in which it stands, name of what is called) for every call in the program."""
    for path in [*(ROOT / "engine").rglob("*.py"), *(ROOT / "app").rglob("*.py")]:
        file = path.relative_to(ROOT).as_posix()
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for one in ast.walk(function):
                    if isinstance(one, ast.Call):
                        yield file, function.name, ast.unparse(one.func)


def test_csv_is_written_in_one_place() -> None:
    assert {file for file, _, name in calls() if FORBIDDEN.search(name)} == {"engine/files/sheets.py"}


def harmless(text: str) -> None:
    """No cell begins a formula where rows are divided at commas, semicolons or tabs; numbers may be negative."""
    for mark in ",;\t":
        for cell in (cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark) for cell in row):
            assert not re.match(r"[\s\"]*[-=+@＝＋－＠]", cell) or number(cell), (mark, cell)
            assert mark != "," or not cell.startswith(("\t", "\r", "\n")), cell


def number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A workspace with one of everything, in which every id, name and text begins a formula."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(odd, "Record", lambda key, title, text, venue, **rest: Record(
            ID + key, TEXT + title, TEXT + text, authors=(TEXT,), venue=TEXT, url=TEXT, **rest))  # fmt: skip
        patch.setattr(odd, "Query", lambda qid, text: Query(ID + qid, TEXT + text))
        patch.setattr(odd, "Judgment", lambda qid, doc_id, rating: Judgment(ID + qid, ID + doc_id, rating))
        with Services(tmp_path_factory.mktemp("hostile") / "w") as services:
            key = odd.fill(services)
            odd.index(services)
            odd.ask(services, key, judged=True)
            names = {name: f"={name};+1" for name in ("BM25", "Dense", "Hybrid")}
            for built_in, name in names.items():
                services.save_pipeline(name, services.pipeline(built_in).yaml)
            state = odd.measure(services, [names["BM25"], names["Dense"]])
            services.judge(NAME, state.option("queue"), 0, 1, assessor="=me;+1", note=TEXT)
            services.shortlist_add(NAME, f"{ID}p1")
            job = services.jobs()[0].job_id
            skipped = "INSERT INTO rejections VALUES (?, 1, ?, ?, ?)"
            services.engine.workspace.database.execute("a skipped row", skipped, [job, TEXT, TEXT, TEXT])
            yield World(services, state=state.with_(columns=tuple(names.values()), query="dense").with_options(job=job))


def test_every_route_to_csv_guards_its_cells(hostile: World, monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[tuple[str, str]] = set()
    written: list[str] = []

    class Module:
        @staticmethod
        def writer(*args: Any, **kept: Any) -> Any:
            frame = sys._getframe(1)
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                if path.is_relative_to(ROOT):
                    walked.add((path.relative_to(ROOT).as_posix(), frame.f_code.co_name))
                frame = frame.f_back
            return csv.writer(*args, **kept)

    monkeypatch.setattr(sheets, "csv", Module)
    given = {
        "name": "default",
        "what": "judgments",
        "job": hostile.state.option("job"),
        "of": hostile.state.option("disagree"),
    }
    calibration = hostile.services.calibrations(NAME)[0].calibration_id
    for action in site().actions:
        if "export" not in action:
            continue
        for form in FORMS:
            for table in ("leaderboard", "queries"):
                run = calibration if action.startswith("cal-") else hostile.state.option("run")
                reply = hostile.call(action, hostile.state.with_options(run=run), format=form, table=table, **given)
                saved = reply.get("download") or {}
                if saved.get("mime") == "text/csv":
                    written.append(saved.get("text") or b64decode(saved["base64"]).decode())
    services, run = hostile.services, hostile.state.option("run")
    written.append(leaderboard_csv(services.evaluation(NAME, run)))
    for text in written:
        assert "'" in text
        harmless(text)
    sites = {(file, function) for file, function, name in calls() if name.split(".")[-1] in WRITERS}
    assert sites - walked == set(), "ways to CSV that were not walked"
