"""Readers of a server whose owner writes: no action and no verb of theirs changes a row of the database or a byte on the disk."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.ui.frame.site import site
from app.ui.web.access import OWNER, READER
from app.ui.web.dispatch import Dispatcher, Ui
from app.ui.web.uploads import Uploads
from app.verbs.base import REFUSED
from app.verbs.services import Services
from engine.errors import ReadOnly
from engine.types import Judgment, Record
from tests.evaluate.papers import JUDGED, PAPERS, QUERIES, SHORT

ALL = site().actions
READER_YAML = "pipeline:\n- bm25: {k: 5}\n- cross: {candidates: 3}\n"
FUSED_YAML = "pipeline:\n- fuse:\n    inputs:\n    - bm25: {k: 5}\n    - bm25: {k: 3}\n    method: {rrf: {k: 60}}\n"
MINE = "pipeline:\n- bm25: {k: 7}\n"


def uploaded(name: str) -> str:
    """The folder of an upload: the hash of its file."""
    return hashlib.sha256(name.encode()).hexdigest()


@dataclass(frozen=True)
class World:
    """A workspace in which everything was done once."""

    services: Services
    uploads: Uploads
    evaluation: str
    second: str
    calibration: str
    disagreement: str
    queue: str
    session: str
    generation: str
    job: str
    finished: str
    uploaded: str
    source: str


def _done(services: Services, job_id: str) -> Any:
    job = services.wait(job_id, 120)
    assert job.status == "done", job
    return job


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("readers")
    source = folder / "source.jsonl"
    source.write_text('{"id": "a", "title": "One more paper"}\n{broken\n')
    with Services(folder / "workspace") as services:
        yield _filled(services, source)


def _filled(services: Services, source: Path) -> World:
    services.create_collection("papers", "about retrieval")
    workspace = services.engine.workspace
    key = workspace.collection("papers").collection_id
    more = [Record(f"x{n}", f"Paper {n} on terms", f"Sparse terms and token vectors, number {n}.") for n in range(20)]
    workspace.documents.upsert(key, [*PAPERS, *more], "test")
    workspace.documents.add_queries(key, QUERIES)
    workspace.documents.add_judgments(key, [*JUDGED, Judgment("4", "dense", 1), Judgment("4", "soup", 0)])
    _done(services, services.index("papers", services.needed_indexes(["BM25", "Dense"])))
    services.create_collection("other")
    added = _done(services, services.add([str(source)], "other", index=False))
    for name, yaml in (SHORT, ("Read", READER_YAML), ("Fused", FUSED_YAML)):
        services.save_pipeline(name, yaml)
    first = _done(services, services.start_evaluation("papers", ["BM25", "Short"])).result
    second = _done(services, services.start_evaluation("papers", ["BM25", "Read"])).result
    apart = _done(services, services.start_disagreement("papers", ["BM25", "Short"])).result
    fitted = services.calibrate("papers", ["BM25"], methods=["platt"], folds=2, target="results<=5")
    queue = services.start_queue("papers", ["BM25", "Short"])
    _done(services, queue.job_id)
    services.judge("papers", queue.queue_id, 0, 1)
    services.shortlist_add("papers", "sparse")
    session = services.start_blind("papers", ["BM25", "Short"], query_set="default").session_id
    services.vote("papers", session, services.blind_round("papers", session).round_no, "left")
    services.blind_round("papers", session)
    run = source.with_name("some.run")
    run.write_text("1 Q0 sparse 1 2.0 me\n2 Q0 late 1 1.0 me\n")
    services.import_run("papers", run, name="brought")
    uploads = Uploads(services.folder)
    for name, claim in (("old", ""), ("claimed", added.job_id), ("fresh", "")):
        (uploads.root / uploaded(name)).mkdir()
        (uploads.root / uploaded(name) / "more.csv").write_text("id,title\n1,x\n")
        if claim:
            uploads.claim([str(uploads.root / uploaded(name) / "more.csv")], claim)
    os.utime(uploads.root / uploaded("old"), (1e9, 1e9))  # long past, so the owner's next look sweeps it
    finished = services.jobs()[0].job_id
    generation = services.collection("papers").indexes[0].generation_id
    return World(
        services, uploads, first, second, fitted.calibration_id, apart, queue.queue_id, session, generation, added.job_id,
        finished, str(uploads.root / uploaded("fresh") / "more.csv"), str(source),
    )  # fmt: skip


def database(services: Services) -> dict[str, str]:
    """A digest of every table's rows."""
    query = services.engine.workspace._db.query
    tables = query("SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL").rows()
    assert len(tables) > 10
    found = {}
    for schema, name in tables:
        rows = sorted(map(repr, query(f'SELECT * FROM "{schema}"."{name}"').rows()))
        found[name] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def disk(*folders: Path) -> dict[str, str]:
    """A digest of every file, and every folder's name."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def addresses(w: World) -> dict[str, str]:
    """A page of each kind with much on it, by a letter."""
    return {
        "S": "?c=papers&p=BM25&q=sparse+terms&doc=sparse",
        "C": "?tab=compare&c=papers&q=sparse+terms&col=BM25&col=Fused&col=Short&k=3&panel=ledger",
        "R": "?tab=compare&c=papers&q=sparse+terms&col=BM25&col=Read&o.view=rerank&o.of=Read",
        "L": "?tab=library&c=papers",
        "M": "?tab=library&c=papers&o.view=models",
        "E": f"?tab=evaluate&c=papers&o.run={w.evaluation}&o.disagree={w.disagreement}&o.beside={w.second}&o.bounds=yes&o.pipe=BM25&o.pipe=Short&o.pipe=brought",
        "K": f"?tab=calibrate&c=papers&o.run={w.calibration}&q=sparse+terms&o.pipe=BM25&o.method=platt&o.folds=2&o.wish=results",
        "J": f"?tab=judge&c=papers&o.queue={w.queue}&o.pipe=BM25&o.pipe=Short&o.means=yes&o.order=pool&panel=agreement",
        "B": f"?tab=blind&c=papers&o.session={w.session}&o.round=2&o.first=BM25&o.second=Short&o.set=default",
        "N": "?tab=blind&c=papers&o.first=BM25&o.second=Short&o.set=default",
        "Q": "?tab=evaluate&c=papers&panel=questions&o.set=default",
    }


def asked(w: World) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """What a page may ask, as it asks it: (address, arguments) for every action."""
    everywhere = [(letter, {}) for letter in addresses(w)]
    job, paths = {"job": w.job}, json.dumps([w.uploaded])
    form = {"source": "someone/model", "name": "mine", "quantise": "", "value": "int8"}
    return {
        "open": everywhere,
        "go": [("S", {"page": page}) for page in ("search", "compare", "calibrate", "evaluate", "judge", "blind", "library")],
        "to-compare": [("S", {})],
        "collection": [("S", {"name": "other"}), ("S", {"name": "nowhere"})],
        "search-collection": [("L", {"name": "papers"})],
        "ask": [("S", {"query": "onions"})],
        "read": [("S", {"doc": "soup"}), ("C", {"doc": "soup", "column": "1"})],
        "panel": [("S", {"panel": name}) for name in ("shortlist", "editor", "questions", "agreement")],
        "shortlist": [("S", {})],
        "close": [("S", {})],
        "clear-filters": [("S", {})],
        "ask-delete-document": [("S", {"doc": "soup"})],
        "delete-document": [("S", {"doc": "soup"})],
        "add-example": [("L", {})],
        "search": [("S", {"query": "token vectors", "pipeline": name}) for name in ("BM25", "Read", "Dense")],
        "filter": [("S", {"name": "venue", "value": "SIGIR"})],
        "years": [("S", {"low": "1990", "high": "2030"})],
        "facet": [("S", {"name": "venue"})],
        "page": [("S", {"offset": "1"})],
        "more": [("S", {"doc": "sparse"})],
        "star": [("S", {"doc": "soup", "state": "on"}), ("S", {"doc": "sparse", "state": "off"})],
        "export-shortlist": [("S", {"format": form}) for form in ("bibtex", "ris", "csv")],
        "unroll": [("C", {"view": "stages", "of": "Fused"}), ("C", {"view": "rerank", "of": "Read"})],
        "rr-slide": [("R", {"value": "2"})],
        "rr-set": [("R", {"name": "ms", "value": "100"})],
        "rr-why": [("R", {"doc": "sparse"})],
        "roll-up": [("R", {})],
        "compare": [("C", {"query": "onions", "k": "2"})],
        "column": [("C", {"index": "0", "value": "Read"})],
        "column-add": [("C", {})],
        "column-remove": [("C", {"index": "0"})],
        "column-left": [("C", {"index": "1"})],
        "ledger": [("C", {"value": "Fused"})],
        "why": [("C", {"doc": "soup"})],
        "find": [("C", {"text": "paper"})],
        "export-compare": [("C", {})],
        "export-ledger": [("C", {})],
        "report-compare": [("C", {})],
        "editor": [("C", {"value": "Short"})],
        "editor-edit": [("C", {"op": "set", "path": '["pipeline", 0, "bm25", "k"]', "value": "9", "yaml": "name: x\n" + MINE})],
        "editor-yaml": [("C", {"yaml": MINE})],
        "pipeline-save": [("C", {"name": "Mine", "yaml": MINE})],
        "pipeline-export": [("C", {"name": "Mine", "yaml": MINE})],
        "ask-delete-pipeline": [("C", {"name": "Short"})],
        "pipeline-delete": [("C", {"name": "Short"})],
        "jobs": [(letter, {"running": f"{w.job},{w.finished}"}) for letter in "LMEKJ"],
        "preview": [("L", {"paths": paths}), ("L", {"path": w.source})],
        "preview-discard": [("L", {"paths": paths})],
        "add": [("L", {"paths": paths, "target": "papers"})],
        "job-pause": [("L", job)],
        "job-resume": [("L", job)],
        "job-cancel": [("L", job)],
        "rejections": [("L", job)],
        "export-rejections": [("L", job)],
        "index": [("L", {"name": "papers"})],
        "ask-drop-index": [("L", {"name": "papers", "label": "BM25", "generation": w.generation})],
        "drop-index": [("L", {"name": "papers", "generation": w.generation})],
        "new-collection": [("L", {})],
        "create-collection": [("L", {"name": "fresh", "description": "x"})],
        "ask-edit-collection": [("L", {"name": "papers"})],
        "edit-collection": [("L", {"name": "papers", "new": "renamed", "description": "y"})],
        "ask-delete-collection": [("L", {"name": "papers"})],
        "delete-collection": [("L", {"name": "papers", "typed": "papers"})],
        "doctor": [("L", {})],
        "cal-toggle": [("K", {"name": "method", "value": "beta"})],
        "cal-set": [("K", {"name": "wish", "value": "recall"})],
        "cal-run": [("K", {})],
        "cal-again": [("K", {})],
        "cal-dismiss": [("K", {})],
        "cal-open": [("K", {"id": w.calibration})],
        "cal-look": [("K", {"name": "by", "value": "platt"})],
        "cal-slide": [("K", {"value": "0.5"})],
        "cal-aim": [("K", {"wish": "results", "value": "3"})],
        "cal-query": [("K", {"query": "onions"})],
        "cal-save": [("K", {"name": "BM25, calibrated"})],
        "cal-compare": [("K", {"saved": "Short"})],
        "cal-ask-delete": [("K", {"id": w.calibration})],
        "cal-delete": [("K", {"id": w.calibration})],
        "cal-export": [("K", {"format": "markdown"}), ("K", {"format": "csv"})],
        "cal-report": [("K", {})],
        "ev-toggle": [("E", {"name": "pipe", "value": "Read"})],
        "ev-metric": [("E", {"value": "P@3"})],
        "ev-set": [("E", {"name": "base", "value": "Short"}), ("E", {"name": "bounds", "value": "yes"})],
        "ev-sort": [("E", {"value": "BM25"})],
        "ev-measure": [("E", {"value": "AP"})],
        "ev-against": [("E", {"value": "Short"})],
        "ev-page": [("E", {"offset": "1"})],
        "ev-run": [("E", {})],
        "ev-dismiss": [("E", {})],
        "ev-again": [("E", {})],
        "ev-open": [("E", {"id": w.second})],
        "ev-changes": [("E", {"id": w.second})],
        "ev-ask-delete": [("E", {"id": w.evaluation})],
        "ev-delete": [("E", {"id": w.evaluation})],
        "ev-export": [
            ("E", {"format": form, "table": table})
            for form in ("csv", "parquet", "markdown", "latex")
            for table in ("leaderboard", "queries")
        ],
        "ev-run-file": [("E", {"name": "BM25"})],
        "ev-report": [("E", {})],
        "ev-query": [("E", {"qid": "1"}), ("E", {"qid": "1", "of": w.disagreement})],
        "ev-disagree": [("E", {})],
        "ev-disagree-close": [("E", {})],
        "ev-disagree-export": [("E", {"of": w.disagreement}), ("E", {})],
        "ev-ask-disagree-delete": [("E", {"of": w.disagreement})],
        "ev-disagree-delete": [("E", {"of": w.disagreement})],
        "ev-judge": [("E", {"of": w.disagreement})],
        "questions-bring": [("Q", {"paths": paths, "name": "mine"})],
        "set-export": [
            ("Q", {"name": "default", "what": what, "format": form})
            for what, form in (("queries", "beir"), ("queries", "tsv"), ("judgments", "trec"), ("judgments", "csv"))
        ],
        "ask-delete-set": [("Q", {"name": "default"})],
        "delete-set": [("Q", {"name": "default"})],
        "run-delete": [("Q", {"name": "brought"})],
        "jd-who": [("J", {"value": "ann"})],
        "jd-toggle": [("J", {"name": "pipe", "value": "Read"}), ("J", {"name": "again"})],
        "jd-set": [("J", {"name": "depth", "value": "3"}), ("J", {"name": "means", "value": "yes"})],
        "jd-start": [("J", {})],
        "jd-open": [("J", {"id": w.queue})],
        "jd-close": [("J", {})],
        "jd-ask-delete": [("J", {"id": w.queue})],
        "jd-delete": [("J", {"id": w.queue})],
        "jd-rule": [("J", {"set": "default", "value": "majority"})],
        "jd-export": [("J", {"name": "default", "format": form}) for form in ("trec", "beir", "csv", "log")],
        "jd-judge": [("J", {"rating": "2", "position": "1"})],
        "jd-skip": [("J", {"position": "1"})],
        "jd-note": [("J", {"position": "1", "value": "odd"})],
        "jd-undo": [("J", {})],
        "jd-step": [("J", {"at": "0", "by": "1"})],
        "jd-at": [("J", {"at": "1"})],
        "jd-again": [("J", {})],
        "jd-reveal": [("J", {"position": "1"})],
        "bl-set": [("N", {"name": "k", "value": "3"})],
        "bl-start": [("N", {})],
        "bl-next": [("B", {"query": "onions"}), ("B", {})],
        "bl-vote": [("B", {"round": "2", "choice": "right"})],
        "bl-open": [("N", {"id": w.session})],
        "bl-close": [("B", {})],
        "bl-ask-delete": [("B", {"id": w.session})],
        "bl-delete": [("B", {"id": w.session})],
        "grade": [("S", {"doc": "soup", "grade": "1", "lists": '[["soup"]]'}), ("C", {"doc": "sparse", "grade": "", "lists": "[]"})],
        "library-view": [("L", {"view": "models"})],
        "model-filter": [("M", {"what": "kind", "value": "dense"})],
        "model": [("M", {"name": "all-MiniLM-L6-v2"})],
        "model-plan": [("M", form)],
        "model-plan-discard": [("M", {})],
        "model-add": [("M", form)],
        "model-bench": [("M", {"name": "all-MiniLM-L6-v2"})],
        "ask-model-delete": [("M", {"name": "all-MiniLM-L6-v2"})],
        "model-delete": [("M", {"name": "mine"})],
    }  # fmt: skip


LEADING = ("ask-", "new-collection", "preview", "model-plan")
"""Actions that lead to a change, or undo an upload, without any verb that writes."""


def leads(action: str) -> bool:
    return action.startswith(LEADING) or "-ask-" in action


@pytest.fixture
def quiet(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing may change within: not the database, not the workspace's folder, nothing in the folder for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    world.services.warm()
    for letter in addresses(world).values():  # what opens an index for the first time is the owner
        Dispatcher(Ui(world.services, OWNER, world.uploads), site()).call({"action": "open", "url": letter})
    rows, files = database(world.services), disk(world.services.folder)
    yield tmp_path
    assert database(world.services) == rows
    assert disk(world.services.folder) == files
    assert list(tmp_path.iterdir()) == []


def test_every_action_is_walked(world: World) -> None:
    assert set(asked(world)) == set(ALL)


@pytest.mark.parametrize("declared", [True, False], ids=["as declared", "by the verbs alone"])
def test_no_action_of_a_reader_changes_anything(world: World, quiet: Path, declared: bool) -> None:
    """Also where the actions' own declarations are taken away: the verbs refuse what they declare, and the others keep nothing."""
    actions = ALL if declared else {name: replace(action, writes=False) for name, action in ALL.items()}
    dispatcher = Dispatcher(Ui(world.services, OWNER, world.uploads), replace(site(), actions=actions))
    pages = addresses(world)
    for action, requests in asked(world).items():
        for letter, args in requests if ALL[action].writes or not declared else ():
            reply = dispatcher.call({"action": action, "url": pages[letter], "args": args, "alert": "tp-alert"}, READER)
            text = json.dumps(reply)
            assert "fault of Triptych" not in text, (action, args)
            stopped = REFUSED in text.replace("\\u2019", "’")
            if not ALL[action].writes:
                assert not stopped, f"{action} writes, and is offered to readers"
            elif declared or not leads(action):
                assert stopped, f"{action} is declared to write, and nothing that writes was called: {text[:300]}"


def test_a_reader_still_takes_files_home_and_compares(world: World, quiet: Path) -> None:
    dispatcher, pages = Dispatcher(Ui(world.services, OWNER, world.uploads), site()), addresses(world)
    exports = [action for action in ALL if "export" in action or "report" in action or action == "ev-run-file"]
    assert len(exports) > 10
    for action in exports:
        for letter, args in asked(world)[action]:
            reply = dispatcher.call({"action": action, "url": pages[letter], "args": args}, READER)
            assert reply["download"], (action, reply["regions"])
    found = dispatcher.call({"action": "ev-disagree", "url": pages["E"], "args": {}}, READER)
    assert "Short" in found["regions"]["ev-disagree"]
    work = dispatcher.call({"action": "jd-set", "url": pages["J"], "args": {"name": "means", "value": "yes"}}, READER)
    assert "nDCG" in work["regions"]["jd-work"]


VERBS = {
    name: verb
    for name, verb in inspect.getmembers(Services, inspect.isfunction)
    if not name.startswith("_") and name not in ("close", "for_reading")
}
WRITING = sorted(name for name, verb in VERBS.items() if getattr(verb, "writes", False))
READING = sorted(set(VERBS) - set(WRITING))


@pytest.mark.parametrize("name", WRITING)
def test_a_verb_that_writes_is_refused_to_readers_before_it_looks_at_anything(world: World, name: str) -> None:
    required = [
        parameter
        for parameter in list(inspect.signature(VERBS[name]).parameters.values())[1:]
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    args = [object() for one in required if one.kind is not one.KEYWORD_ONLY]
    named = {one.name: object() for one in required if one.kind is one.KEYWORD_ONLY}
    with pytest.raises(ReadOnly, match="for reading only"):
        getattr(world.services.for_reading(), name)(*args, **named)


def calls(w: World) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments for every verb that does not write."""
    both, p, query = ["BM25", "Short"], "papers", "sparse terms"
    key = w.services.engine.workspace.collection(p).collection_id
    return {
        "assessors": ((p,), {}),
        "blind_results": ((p, w.session), {}),
        "blind_sessions": ((p,), {}),
        "blind_shown": ((p, w.session, 1), {}),
        "calibration": ((p, w.calibration), {}),
        "calibrations": ((p,), {}),
        "calibrators": ((), {}),
        "check_pipeline": (("name: x\n" + MINE,), {}),
        "collection": ((p,), {}),
        "collections": ((), {}),
        "compare": ((p, query, both), {}),
        "disagreement": ((p, both), {}),
        "doctor": ((), {}),
        "document": ((p, "sparse"), {"query": query, "pipeline": "BM25"}),
        "evaluate": ((p, both), {}),
        "evaluation": ((p, w.evaluation), {}),
        "evaluation_changes": ((p, w.evaluation, w.second), {}),
        "evaluations": ((p,), {}),
        "explanations": ((key, query, "BM25", "sparse", {}), {}),
        "export_evaluation": ((p, w.evaluation, "parquet"), {}),
        "export_judging_log": ((p,), {}),
        "export_judgments": ((p,), {}),
        "export_queries": ((p,), {}),
        "export_run": ((p, w.evaluation, "BM25"), {}),
        "export_shortlist": ((p, "bibtex"), {}),
        "find_documents": ((p, "paper"), {}),
        "fit_lambdamart": ((p, both), {"folds": 2}),
        "fit_weights": ((p, both), {"folds": 2}),
        "free_model_name": (("someone/model",), {}),
        "job": ((w.job,), {}),
        "jobs": ((), {}),
        "judged_measures": ((p, query, {"a": ["sparse"]}), {}),
        "judging_item": ((p, w.queue), {}),
        "language_model": ((), {}),
        "ledger": ((p, query, "Fused"), {}),
        "metric": (("nDCG@5",), {}),
        "metrics": ((), {}),
        "model": (("all-MiniLM-L6-v2",), {}),
        "models": ((), {}),
        "more_like_this": ((p, "sparse"), {}),
        "needed_indexes": ((), {}),
        "pipeline": (("Short",), {}),
        "pipelines": ((), {}),
        "preview": (([w.source],), {}),
        "provenance": ((p, w.queue, 0), {}),
        "query_curves": ((p, w.calibration, "BM25", query), {}),
        "query_hits": ((p, w.evaluation, "1"), {}),
        "query_sets": ((p,), {}),
        "query_text": ((p, "default", "1"), {}),
        "query_values": ((p, w.evaluation, "AP"), {}),
        "questions": ((p,), {}),
        "queue": ((p, w.queue), {}),
        "queue_measures": ((p, w.queue), {}),
        "queues": ((p,), {}),
        "rejections": ((w.job,), {}),
        "remeasure": ((p, w.evaluation), {}),
        "report": ((p, w.evaluation), {}),
        "report_calibration": ((p, w.calibration), {}),
        "report_comparison": ((p, query, both), {}),
        "reproduce": ((p, w.evaluation), {}),
        "reranking": ((p, query, "Read"), {}),
        "runs": ((p,), {}),
        "schema": ((), {}),
        "search": ((p, query, "BM25"), {}),
        "shortlist": ((p,), {}),
        "stages": ((p, query, "Fused"), {}),
        "stored_disagreement": ((p, w.disagreement), {}),
        "targets": ((), {}),
        "verdict_bounds": ((p, w.evaluation), {}),
        "wait": ((w.job,), {}),
        "warm": ((), {}),
        "why_moved": ((p, query, "Read", "sparse"), {}),
        "why_not": ((p, query, both, "soup"), {}),
        "workspace": ((), {}),
    }


ELSEWHERE = {
    "backup": "writes the file that it is told, which no page offers, and nothing into the workspace",
    "plan_model": "asks the hub",
    "train": "writes the folder that it is told, and needs torch",
    "try_language_model": "asks the named language model",
}


def test_every_verb_is_walked(world: World) -> None:
    assert set(calls(world)) | set(ELSEWHERE) == set(READING)
    assert len(WRITING) > 40


def test_no_verb_of_a_reader_changes_anything(world: World, quiet: Path) -> None:
    reading = world.services.for_reading()
    for name, (args, named) in calls(world).items():
        getattr(reading, name)(*args, **named)
    assert not world.services.read_only


def test_verbs_that_declare_nothing_change_nothing_for_the_owner_either(world: World, quiet: Path) -> None:
    for name, (args, named) in calls(world).items():
        if not getattr(VERBS[name], "keeps", False):
            getattr(world.services, name)(*args, **named)
