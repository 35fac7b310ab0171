"""One evaluation from end to end: what decides its hits is its key, finished queries are kept, and what it was made from is remembered."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from engine import __version__
from engine.errors import BadInput, TriptychError
from engine.evaluation.measure import DEPTH, measure, run_queries
from engine.files.runs import RUN
from engine.metrics.base import Metric, parse_metric
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec
from engine.serving.engine import Engine
from engine.types import RUN_HITS, Progress, ProgressSink, Ran, ignore_progress
from engine.workspace.query_sets import DEFAULT_SET
from engine.workspace.runs import run_digest

if TYPE_CHECKING:
    from engine.workspace.evaluations import StoredEvaluation
    from engine.workspace.workspace import Workspace

KEEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ImportedRun:
    """What another system found (engine.run_files.RUN), and the hash of it (engine.runs.run_digest)."""

    hits: pl.DataFrame
    digest: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be evaluated: pipelines to run, runs that exist already, the query set, and how to judge."""

    pipelines: Mapping[str, PipelineSpec]
    metrics: tuple[Metric, ...]
    runs: Mapping[str, ImportedRun] = field(default_factory=dict)
    query_set: str = DEFAULT_SET
    depth: int = DEPTH
    batch: int = 1
    every_query: bool = False
    """Run the queries that nobody judged too, as a pool of documents to be judged needs it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Kept with the evaluation: baseline, test, correction."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What came of it. `values` is VALUES over the judged queries of the set; `unjudged` counts the others. `stored` is None where nothing is kept."""

    stored: StoredEvaluation | None
    ran: Ran
    values: pl.DataFrame
    unjudged: int


def evaluate(
    engine: Engine,
    collection_id: str,
    asked: Asked,
    *,
    fresh: bool = False,
    keep: bool = True,
    progress: ProgressSink = ignore_progress,
    begun: Callable[[StoredEvaluation], None] = lambda stored: None,
) -> Evaluated:
    """Run the queries that have not run yet, measure all of them and store it. Stopped by `progress`, it goes on when asked again.

    Queries on which a pipeline failed run again; `fresh` runs all of them again. Without `keep`, and in a read-only workspace, nothing is
    stored. `begun` is told of the evaluation before the first query. Raises BadInput without queries or judgments.
    """
    evaluations = engine.workspace.evaluations
    queries, judgments = questions(engine, collection_id, asked)
    judged = set(judgments["qid"])
    facts = _facts(engine, collection_id, asked, queries)
    stored = None
    imported = _imported(asked, [qid for qid, _ in queries])
    done = Ran.together([imported])
    searcher = engine.searcher(collection_id)
    if keep and not engine.workspace.read_only:
        stored = evaluations.begin(
            collection_id, asked.query_set, _key(asked, facts), _spec(asked), revision=engine.workspace.revision(collection_id),
            content_hash=facts["content"], queries_hash=facts["queries"], fingerprints=facts["fingerprints"], hits=imported.hits,
        )  # fmt: skip
        begun(stored)
        done = _finished(engine, stored, list(asked.runs), fresh)
    wanted = [query for query in queries if asked.every_query or query[0] in judged]
    finished = set(done.qids)
    rest = [query for query in wanted if query[0] not in finished] if asked.pipelines else []
    news = run_queries(
        lambda: Context(searcher), asked.pipelines, rest, depth=asked.depth, batch=asked.batch, progress=progress,
        done=len(wanted) - len(rest),
    )  # fmt: skip
    kept: list[Ran] = []
    for part in _bundled(news):
        if stored is not None:
            evaluations.keep(stored.evaluation_id, part)
        kept.append(part)
    ran = Ran.together([done, *kept])
    progress(Progress("measure", 0, 1, "evaluations"))
    values = measured(ran, judgments, queries, asked)
    if stored is not None:
        seen = digest(judgments.iter_rows()) if asked.metrics else ""
        evaluations.finish(stored.evaluation_id, _spec(asked), seen, values)
        stored = evaluations.get(stored.evaluation_id)
    return Evaluated(stored, ran, values, sum(1 for qid, _ in queries if qid not in judged))


def measured(ran: Ran, judgments: pl.DataFrame, queries: Sequence[tuple[str, str]], asked: Asked) -> pl.DataFrame:
    """VALUES of what was found, on the judged queries in the order of the set."""
    judged = set(judgments["qid"])
    qids = [qid for qid, _ in queries if qid in judged]
    return measure(ran.hits, judgments, qids, [*asked.pipelines, *asked.runs], asked.metrics, ran.failures)


def remeasure(engine: Engine, stored: StoredEvaluation) -> StoredEvaluation:
    """Measure what an evaluation found against the judgments of today, and keep it; no pipeline runs. As `measured_today`."""
    values, seen = measured_today(engine, stored)
    engine.workspace.evaluations.finish(stored.evaluation_id, stored.spec, seen, values)
    return engine.workspace.evaluations.get(stored.evaluation_id)


def measured_today(engine: Engine, stored: StoredEvaluation) -> tuple[pl.DataFrame, str]:
    """VALUES of what an evaluation found, by the judgments of today, and the digest of these; nothing is kept.

    Queries that were first judged after it ran are left out until it is asked again. Raises BadInput without judgments.
    """
    asked = asked_of(stored)
    queries, judgments = questions(engine, stored.collection_id, asked)
    ran = engine.workspace.evaluations.ran(stored.evaluation_id)
    known = set(ran.qids) if asked.pipelines else {qid for qid, _ in queries}
    values = measured(ran, judgments, [query for query in queries if query[0] in known], asked)
    return values, digest(judgments.iter_rows())


def asked_of(stored: StoredEvaluation) -> Asked:
    """What a stored evaluation was asked, without the hits of its runs, which it holds itself."""
    spec = stored.spec
    digests = spec["runs"] if isinstance(spec["runs"], dict) else dict.fromkeys(spec["runs"], "")
    own = ("pipelines", "runs", "query_set", "metrics", "depth", "batch", "every_query", "version")
    return Asked(
        pipelines={name: PipelineSpec.from_yaml(text) for name, text in spec["pipelines"].items()},
        metrics=tuple(parse_metric(label) for label in spec["metrics"]),
        runs={name: ImportedRun(pl.DataFrame(schema=RUN), stamp) for name, stamp in digests.items()},
        query_set=stored.query_set,
        depth=spec["depth"],
        batch=spec["batch"],
        every_query=bool(spec.get("every_query")),
        settings={name: value for name, value in spec.items() if name not in own},
    )


def job_params(asked: Asked, run_ids: Mapping[str, str], *, fresh: bool = False) -> dict[str, Any]:
    """The parameters of a job that asks this (engine.jobs.asking); the runs are named by where the workspace keeps them."""
    return {**_spec(asked), "settings": dict(asked.settings), "runs": dict(run_ids), "fresh": fresh}


def asked_by(workspace: Workspace, params: Mapping[str, Any]) -> Asked:
    """What `job_params` asks. Raises NotFound when a run is gone."""
    return Asked(
        pipelines={name: PipelineSpec.from_yaml(text) for name, text in params["pipelines"].items()},
        metrics=tuple(parse_metric(label) for label in params["metrics"]),
        runs={name: imported_run(workspace, run_id) for name, run_id in params["runs"].items()},
        query_set=params["query_set"],
        depth=params["depth"],
        batch=params["batch"],
        every_query=params["every_query"],
        settings=params["settings"],
    )


def imported_run(workspace: Workspace, run_id: str) -> ImportedRun:
    """A stored run as an evaluation takes it. Raises NotFound."""
    hits = workspace.runs.hits(run_id)
    return ImportedRun(hits, run_digest(hits))


def raise_all_failed(ran: Ran) -> None:
    """A leaderboard without a value is no leaderboard: tell why instead. Raises TriptychError."""
    raise TriptychError(
        f"Every pipeline failed on every query. {ran.failures['pipeline'][0]}: {ran.failures['error'][0]}"
    )


def questions(engine: Engine, collection_id: str, asked: Asked) -> tuple[list[tuple[str, str]], pl.DataFrame]:
    """The queries of the set and its judgments of them. Raises BadInput without any."""
    documents = engine.workspace.documents
    queries = list(documents.queries(collection_id, asked.query_set).select("qid", "text").iter_rows())
    if not queries:
        known = ", ".join(repr(name) for name in documents.query_sets(collection_id)["query_set"]) or "none yet"
        raise BadInput(
            f"The query set {asked.query_set!r} holds no queries. Known sets: {known}. Import one with `triptych queries import`."
        )
    if not asked.pipelines and not asked.runs:
        raise BadInput("Nothing to evaluate: name at least one pipeline or run.")
    qids = [qid for qid, _ in queries]
    judgments = documents.settled_judgments(collection_id, asked.query_set).filter(pl.col("qid").is_in(qids))
    if judgments.is_empty() and not asked.every_query:
        raise BadInput(
            f"The query set {asked.query_set!r} has no judgments. Import some with `triptych judgments import`, judge its queries "
            "yourself, or compare pipelines without any: `triptych disagree`."
        )
    return queries, judgments


def _imported(asked: Asked, qids: list[str]) -> Ran:
    """The runs that exist already, cut to the queries and the depth."""
    tables = [
        run.hits.filter(pl.col("qid").is_in(qids))
        .sort("qid", "score", "doc_id", descending=[False, True, True])
        .group_by("qid", maintain_order=True)
        .head(asked.depth)
        .select(pl.lit(name).alias("pipeline"), "qid", "doc_id", "score")
        for name, run in asked.runs.items()
    ]
    nothing = Ran.nothing()
    return Ran((), pl.concat([pl.DataFrame(schema=RUN_HITS), *tables]), nothing.times, nothing.failures)


def _finished(engine: Engine, stored: StoredEvaluation, runs: Sequence[str], fresh: bool) -> Ran:
    """What an earlier call left, without the queries that are to run again."""
    evaluations = engine.workspace.evaluations
    ran = evaluations.ran(stored.evaluation_id)
    again = ran.qids if fresh else tuple(ran.failures["qid"].unique())
    if not again:
        return ran
    evaluations.forget(stored.evaluation_id, again, keep=runs)
    return evaluations.ran(stored.evaluation_id)


def _bundled(parts: Iterable[Ran]) -> Iterable[Ran]:
    """Batches gathered for about a second, also when they end by an exception, so that few transactions are written."""
    gathered: list[Ran] = []
    since = time.monotonic()
    stopped: BaseException | None = None
    try:
        for part in parts:
            gathered.append(part)
            if time.monotonic() - since >= KEEP_SECONDS:
                bundle, gathered = Ran.together(gathered), []
                yield bundle
                since = time.monotonic()
    except (Exception, KeyboardInterrupt) as error:
        stopped = error
    if gathered:
        yield Ran.together(gathered)
    if stopped is not None:
        raise stopped


def fingerprints(engine: Engine, collection_id: str, pipelines: Iterable[PipelineSpec]) -> dict[str, str]:
    """What each index that the pipelines read was built with, by its label; "" where it is not built."""
    found = {}
    for spec in dict.fromkeys(index for pipeline in pipelines for index in pipeline.index_specs()):
        generation = engine.generation(collection_id, spec)
        found[spec.label()] = f"{generation.fingerprint}@{generation.revision}" if generation else ""
    return found


def stale(engine: Engine, stored: StoredEvaluation, seen: dict[str, str] | None = None) -> tuple[str, ...]:
    """In words, what has changed since; nothing when the evaluation still stands.

    `seen` keeps the hashes of query sets from one evaluation of a collection to the next, where many are asked about at once.
    """
    documents, key = engine.workspace.documents, stored.collection_id
    seen = {} if seen is None else seen
    for name, rows in (("queries", _texts), ("judgments", _judged)):
        if f"{name} {stored.query_set}" not in seen:
            seen[f"{name} {stored.query_set}"] = digest(rows(engine, key, stored.query_set))
    reasons = []
    if documents.revision(key) != stored.revision and documents.content_hash(key) != stored.content_hash:
        reasons.append("the documents have changed")
    if seen[f"queries {stored.query_set}"] != stored.queries_hash:
        reasons.append("the queries have changed")
    if stored.judgments_hash and seen[f"judgments {stored.query_set}"] != stored.judgments_hash:
        reasons.append("the judgments have changed")
    now = fingerprints(engine, key, [parsed(text) for text in stored.spec.get("pipelines", {}).values()])
    reasons += [
        f"the index {label!r} has changed" for label, stamp in stored.fingerprints.items() if now.get(label) != stamp
    ]
    runs = {run.name: run.digest for run in engine.workspace.runs.list(key)}
    told = stored.spec["runs"].items() if isinstance(stored.spec.get("runs"), dict) else ()
    reasons += [f"the run {name!r} has changed" for name, stamp in told if runs.get(name, stamp) != stamp]
    return tuple(reasons)


@functools.lru_cache(maxsize=256)
def parsed(text: str) -> PipelineSpec:
    """A stored specification. They are read again and again, and never change."""
    return PipelineSpec.from_yaml(text)


def _texts(engine: Engine, collection_id: str, query_set: str) -> Iterable[tuple[Any, ...]]:
    return engine.workspace.documents.queries(collection_id, query_set).select("qid", "text").iter_rows()


def _judged(engine: Engine, collection_id: str, query_set: str) -> Iterable[tuple[Any, ...]]:
    documents = engine.workspace.documents
    qids = documents.queries(collection_id, query_set)["qid"].to_list()
    return documents.settled_judgments(collection_id, query_set).filter(pl.col("qid").is_in(qids)).iter_rows()


def _facts(engine: Engine, collection_id: str, asked: Asked, queries: Iterable[tuple[str, str]]) -> dict[str, Any]:
    return {
        "content": engine.workspace.documents.content_hash(collection_id),
        "queries": digest(queries),
        "fingerprints": fingerprints(engine, collection_id, asked.pipelines.values()),
    }


def _key(asked: Asked, facts: Mapping[str, Any]) -> str:
    """The hash of everything that decides which documents are found."""
    pipelines = {name: spec.model_dump(mode="json")["pipeline"] for name, spec in asked.pipelines.items()}
    decides = {
        "pipelines": pipelines,
        "query_set": asked.query_set,
        "depth": asked.depth,
        "version": __version__,
        **facts,
    }
    decides["runs"] = {name: run.digest for name, run in asked.runs.items()}
    if asked.every_query:
        decides["every_query"] = True
    if "purpose" in asked.settings:  # what is kept for one purpose is not deleted with another's
        decides["purpose"] = asked.settings["purpose"]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _spec(asked: Asked) -> dict[str, Any]:
    """The full specification, as it is stored."""
    return {
        "pipelines": {name: spec.to_yaml() for name, spec in asked.pipelines.items()},
        "runs": {name: run.digest for name, run in asked.runs.items()},
        "query_set": asked.query_set,
        "metrics": [metric.label() for metric in asked.metrics],
        "depth": asked.depth,
        "batch": asked.batch,
        "every_query": asked.every_query,
        "version": __version__,
        **asked.settings,
    }


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """sha256 (hex) of rows of plain values."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return hashed.hexdigest()
