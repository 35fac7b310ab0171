"""One evaluation from end to end: what decides its hits is its key, finished queries are kept, and what it was made from is remembered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from engine import __version__
from engine.context import Context
from engine.errors import BadInput
from engine.evaluate import DEPTH, RUN_HITS, Ran, measure, run_queries
from engine.judged import DEFAULT_SET
from engine.metrics.base import Metric
from engine.pipeline import PipelineSpec
from engine.types import ProgressSink, ignore_progress

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.evaluations import StoredEvaluation

KEEP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be evaluated: pipelines to run, runs that exist already (qid, doc_id, score), the query set, and how to judge."""

    pipelines: Mapping[str, PipelineSpec]
    metrics: tuple[Metric, ...]
    runs: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    query_set: str = DEFAULT_SET
    depth: int = DEPTH
    batch: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Kept with the evaluation: baseline, test, correction."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """What came of it. `values` is VALUES over the judged queries of the set; `unjudged` counts the others. `stored` is None when read-only."""

    stored: StoredEvaluation | None
    ran: Ran
    values: pl.DataFrame
    unjudged: int


def evaluate(
    engine: Engine, collection_id: str, asked: Asked, *, fresh: bool = False, progress: ProgressSink = ignore_progress
) -> Evaluated:
    """Run the judged queries that have not run yet, measure all of them and store it. Stopped by `progress`, it goes on when asked again.

    Queries on which a pipeline failed run again; `fresh` runs all of them again. Raises BadInput without queries or judgments.
    """
    documents = engine.workspace.documents
    queries, judgments = _questions(engine, collection_id, asked)
    judged = set(judgments["qid"])
    facts = _facts(engine, collection_id, asked, queries)
    stored = None
    done = _imported(asked, [qid for qid, _ in queries])
    searcher = engine.searcher(collection_id)
    if not engine.workspace.read_only:
        stored = engine.workspace.evaluations.begin(
            collection_id, asked.query_set, _key(asked, facts), _spec(asked), revision=documents.revision(collection_id),
            content_hash=facts["content"], queries_hash=facts["queries"], fingerprints=facts["fingerprints"],
        )  # fmt: skip
        done = Ran.together([done, _finished(engine, stored, fresh)])
    judged_queries = [query for query in queries if query[0] in judged]
    finished = set(done.qids)
    rest = [query for query in judged_queries if query[0] not in finished] if asked.pipelines else []
    news = run_queries(
        lambda: Context(searcher), asked.pipelines, rest, depth=asked.depth, batch=asked.batch, progress=progress,
        done=len(judged_queries) - len(rest),
    )  # fmt: skip
    kept: list[Ran] = []
    for part in _bundled(news):
        if stored is not None:
            engine.workspace.evaluations.keep(stored.evaluation_id, part)
        kept.append(part)
    ran = Ran.together([done, *kept])
    names = [*asked.pipelines, *asked.runs]
    values = measure(
        ran.hits, judgments, [qid for qid, _ in queries if qid in judged], names, asked.metrics, ran.failures
    )
    if stored is not None:
        engine.workspace.evaluations.finish(stored.evaluation_id, _spec(asked), digest(judgments.iter_rows()), values)
        stored = engine.workspace.evaluations.get(stored.evaluation_id)
    return Evaluated(stored, ran, values, len(queries) - len(judged_queries))


def _questions(engine: Engine, collection_id: str, asked: Asked) -> tuple[list[tuple[str, str]], pl.DataFrame]:
    """The queries of the set and its judgments of them."""
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
    judgments = documents.latest_judgments(collection_id, asked.query_set).filter(pl.col("qid").is_in(qids))
    if judgments.is_empty():
        raise BadInput(
            f"The query set {asked.query_set!r} has no judgments. Import some with `triptych judgments import`; "
            "`triptych disagree` compares pipelines without any."
        )
    return queries, judgments


def _imported(asked: Asked, qids: list[str]) -> Ran:
    """The runs that exist already, cut to the queries and the depth."""
    tables = [
        run.filter(pl.col("qid").is_in(qids))
        .sort("qid", "score", "doc_id", descending=[False, True, True])
        .group_by("qid", maintain_order=True)
        .head(asked.depth)
        .select(pl.lit(name).alias("pipeline"), "qid", "doc_id", "score")
        for name, run in asked.runs.items()
    ]
    nothing = Ran.nothing()
    return Ran((), pl.concat([pl.DataFrame(schema=RUN_HITS), *tables]), nothing.times, nothing.failures)


def _finished(engine: Engine, stored: StoredEvaluation, fresh: bool) -> Ran:
    """What an earlier call left, without the queries that are to run again."""
    evaluations = engine.workspace.evaluations
    ran = evaluations.ran(stored.evaluation_id)
    again = ran.qids if fresh else tuple(ran.failures["qid"].unique())
    if not again:
        return ran
    evaluations.forget(stored.evaluation_id, again)
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


def stale(engine: Engine, stored: StoredEvaluation) -> tuple[str, ...]:
    """In words, what has changed since; nothing when the evaluation still stands."""
    documents, key = engine.workspace.documents, stored.collection_id
    reasons = []
    if documents.revision(key) != stored.revision and documents.content_hash(key) != stored.content_hash:
        reasons.append("the documents have changed")
    if digest(_texts(engine, key, stored.query_set)) != stored.queries_hash:
        reasons.append("the queries have changed")
    if stored.judgments_hash and digest(_judged(engine, key, stored.query_set)) != stored.judgments_hash:
        reasons.append("the judgments have changed")
    now = fingerprints(
        engine, key, [PipelineSpec.from_yaml(text) for text in stored.spec.get("pipelines", {}).values()]
    )
    reasons += [
        f"the index {label!r} has changed" for label, stamp in stored.fingerprints.items() if now.get(label) != stamp
    ]
    return tuple(reasons)


def _texts(engine: Engine, collection_id: str, query_set: str) -> Iterable[tuple[Any, ...]]:
    return engine.workspace.documents.queries(collection_id, query_set).select("qid", "text").iter_rows()


def _judged(engine: Engine, collection_id: str, query_set: str) -> Iterable[tuple[Any, ...]]:
    documents = engine.workspace.documents
    qids = documents.queries(collection_id, query_set)["qid"].to_list()
    return documents.latest_judgments(collection_id, query_set).filter(pl.col("qid").is_in(qids)).iter_rows()


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
    decides["runs"] = {name: digest(run.sort("qid", "doc_id").iter_rows()) for name, run in asked.runs.items()}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _spec(asked: Asked) -> dict[str, Any]:
    """The full specification, as it is stored."""
    return {
        "pipelines": {name: spec.to_yaml() for name, spec in asked.pipelines.items()},
        "runs": list(asked.runs),
        "query_set": asked.query_set,
        "metrics": [metric.label() for metric in asked.metrics],
        "depth": asked.depth,
        "batch": asked.batch,
        "version": __version__,
        **asked.settings,
    }


def digest(rows: Iterable[tuple[Any, ...]]) -> str:
    """sha256 (hex) of rows of plain values."""
    hashed = hashlib.sha256()
    for row in rows:
        hashed.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return hashed.hexdigest()
