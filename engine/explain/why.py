"""One grammar for "why this score", "what did fusion do" and "why is it not here"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import NotExact, TriptychError
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation
from engine.pipeline.stages import Fuse, Stage
from engine.pipeline.trace import Span
from engine.rerankers.base import RERANK_NOTE
from engine.retrievers.base import Searching
from engine.types import Ints, Ranking

QID = "q"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a document is not among the shown hits of one pipeline.

    verdict: shown, below_cutoff, below_threshold, filtered, missed_by_ann, no_shared_term, not_indexed, not_in_collection.
    lists: what happened in each first-stage list, as (label, sentence).
    """

    verdict: str
    sentence: str
    lists: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A stage that searches, what it searched for (one query or more, in its own form), and its hits."""

    stage: Searching
    queries: list[Any]
    hits: Callable[[], Ranking]

    def scored(self, ctx: Context) -> tuple[NDArray[np.float64], Ints, Ints]:
        """Of every document of the snapshot the exact score for the query that it matches best, its row (see score_documents), and the place of
        that query. Raises NotExact."""
        scores, rows = zip(*(self.stage.score_documents(query, ctx) for query in self.queries), strict=True)
        best = np.argmax(scores, axis=0)
        places = np.arange(len(best))
        return np.array(scores)[best, places], np.array(rows)[best, places], best


def searches(stage: Stage, query: str, ctx: Context, root: Span | None = None) -> list[Asked]:
    """What every stage of a pipeline that searches an index was asked for QID: first stages first, then those that make queries of their own.

    Where nothing makes any, nothing is run unless hits are wanted.
    """
    asked = Ranking.of([(QID, query)])
    if not any(one.asks_anew for one in stage.walk()):
        plain = [one for one in dict.fromkeys(stage.walk()) if isinstance(one, Searching)]
        return [Asked(one, [query], partial(ctx.run, one, asked)) for one in plain]
    if root is None:
        _, root = ctx.execute(stage, asked)
    found: dict[Any, Asked] = {}
    for span in root.walk():
        if not isinstance(span.stage, Searching):
            continue
        queries = span.stage.searched_for(span, QID)
        if span.stage.asks_anew and queries:
            found[id(span)] = Asked(span.stage, queries, partial(_output, span))
        elif not span.stage.asks_anew:
            searched = Asked(span.stage, queries or [query], partial(_output, span))
            found.setdefault((span.stage, tuple(queries)), searched)
    return sorted(found.values(), key=lambda one: one.stage.asks_anew)


def explain(stage: Stage, query: str, doc_id: str, ctx: Context) -> list[tuple[Stage, ScoreExplanation]]:
    """For every stage that gives the document a score and can tell why: its exact or approximate explanation. First stages come first."""
    position = _position(ctx, doc_id)
    if position is None or not query.strip():
        return []
    found: list[tuple[Stage, ScoreExplanation]] = []
    for asked in searches(stage, query, ctx):
        told = _searched(asked, doc_id, position, ctx)
        found += [] if told is None else [(asked.stage, told)]
    tellers = [one for one in dict.fromkeys(stage.walk()) if one.explains == "documents"]
    told_by = {teller: teller.explain_document(query, doc_id, ctx) for teller in tellers}
    moved: dict[Stage, Move] = {}
    if tellers and all(
        told_by.values()
    ):  # one that cannot tell may ask a service, which is not called for an explanation
        moved = {move.stage: move for move in moves(ctx.execute(stage, Ranking.of([(QID, query)]))[1], doc_id)}
    for teller, one in told_by.items():
        if one is not None:
            seen = f"{moved[teller].sentence} " if teller in moved else ""
            found.append((teller, replace(one, note=seen + one.note)))
    return found


def _searched(asked: Asked, doc_id: str, position: int, ctx: Context) -> ScoreExplanation | None:
    """The explanation of a stage that searches. Where its index tells no exact scores, that of the list: its score, and that this is all."""
    try:
        scores, rows, best = asked.scored(ctx)
        if rows[position] < 0 or (asked.stage.needs_match and scores[position] <= 0):
            return None
        return asked.stage.explain_row(asked.queries[best[position]], int(rows[position]), ctx)
    except NotExact as error:
        listed = asked.hits().hits.filter(qid=QID, doc_id=doc_id)["score"]
        return ScoreExplanation(False, float(listed[0]), (), str(error), -1) if len(listed) else None


@dataclass(frozen=True, slots=True)
class Move:
    """What a reranker did to one document: ranks and scores before and after; `score` is None where the reranker gave it none."""

    stage: Stage
    received: int
    rank: int
    before: float
    score: float | None

    @property
    def sentence(self) -> str:
        """The move in words."""
        how = (
            f"its score from {self.before:.4g} to {self.score:.4g}" if self.score is not None else "without a new score"
        )
        if self.received == self.rank:
            return f"Kept at rank {self.rank}, {how}."
        return f"Reranked from {self.received} to {self.rank}, {how}."


def moves(root: Span, doc_id: str) -> list[Move]:
    """What each reranker of a run did to the document (of the query QID), in the order in which they ran."""
    found = []
    for span in root.walk():
        if RERANK_NOTE in span.details:
            rows = (
                span.details[RERANK_NOTE].filter(qid=QID, doc_id=doc_id).select("received", "rank", "before", "score")
            )
            found += [Move(span.stage, *row) for row in rows.iter_rows()]
    return found


def ledger(root: Span) -> tuple[Fuse, pl.DataFrame] | None:
    """The last fusion that ran and its contributions (schema of engine.fusers.base.CONTRIBUTIONS); None where nothing was fused."""
    fusions = [(span.stage, span.details["contributions"]) for span in root.walk() if isinstance(span.stage, Fuse)]
    return fusions[-1] if fusions else None


def why_not(stage: Stage, query: str, doc_id: str, shown: int, ctx: Context) -> Missing:
    """Where `doc_id` was lost on the way to the first `shown` hits of this pipeline."""
    position = _position(ctx, doc_id)
    if position is None:
        return Missing(
            "not_in_collection", f"{doc_id!r} is not in this collection (it was never added, or was deleted)."
        )
    result, root = ctx.execute(stage, Ranking.of([(QID, query)]))
    rank = _rank(result, doc_id)
    asked = searches(stage, query, ctx, root)
    lists = [(one.stage.label(), _in_list(one, query, doc_id, position, ctx)) for one in asked]
    moved = moves(root, doc_id)
    told = tuple((label, sentence) for label, (_, sentence) in lists)
    told += tuple((move.stage.label(), move.sentence) for move in moved)
    if rank is not None and rank <= shown:
        return Missing("shown", f"It is here, at rank {rank}.", told)
    if ctx.allowed_docs is not None and not ctx.allowed_docs[position]:
        return Missing("filtered", "The filter excludes it.", told)
    if rank is not None:
        why = f" {moved[-1].sentence}" if moved else ""
        return Missing("below_cutoff", f"It is at rank {rank}; the list shows the first {shown}.{why}", told)
    lost = _lost_at(root, doc_id)
    if lost is not None:
        verdict, sentence = lost
        return Missing(verdict, f"{sentence} {moved[-1].sentence}" if moved else sentence, told)
    verdicts = [verdict for _, (verdict, _) in lists]
    for verdict in ("missed_by_ann", "below_cutoff", "not_indexed", "no_shared_term"):
        if verdict in verdicts:
            only = told[0][1] if len(lists) == 1 else _SUMMARY[verdict]
            return Missing(verdict, only, told)
    return Missing("below_cutoff", "No list of this pipeline returned it.", told)


_SUMMARY = {
    "missed_by_ann": "An approximate index passed over it, although its exact score would have sufficed.",
    "below_cutoff": "Every list that scores it ranks it below its cut-off.",
    "not_indexed": "The index does not hold it yet; update the index.",
    "no_shared_term": "It shares no term with the query.",
}


def _position(ctx: Context, doc_id: str) -> int | None:
    found = ctx.snapshot.doc_ids.index_of(doc_id) if len(ctx.snapshot) else None
    return None if found is None else int(found)


def _rank(ranking: Ranking, doc_id: str) -> int | None:
    ranks = ranking.hits.filter(pl.col("doc_id") == doc_id)["rank"]
    return int(ranks[0]) if len(ranks) else None


def _output(span: Span) -> Ranking:
    assert span.output is not None
    return span.output


def _in_list(asked: Asked, query: str, doc_id: str, position: int, ctx: Context) -> tuple[str, str]:
    """(verdict, sentence) for the list of one stage that searches, from its exact scores of every document."""
    stage = asked.stage
    if not query.strip():
        return "no_shared_term", "The query is empty."
    try:
        scores, rows, _ = asked.scored(ctx)
    except NotExact as error:
        rank = _rank(asked.hits(), doc_id)
        return (
            ("shown", f"Rank {rank}.")
            if rank is not None
            else ("below_cutoff", f"Not among the first {stage.k:,}. {error}")
        )
    except TriptychError as error:
        return "not_indexed", str(error)
    if rows[position] < 0:
        return "not_indexed", "The index does not hold it yet; update the index."
    score = scores[position]
    if stage.needs_match and score <= 0:
        return "no_shared_term", "It shares no term with the query."
    if ctx.allowed_docs is not None and not ctx.allowed_docs[position]:
        return "filtered", f"Excluded by the filter; its exact score is {score:.4g}."
    open_to = scores if ctx.allowed_docs is None else np.where(ctx.allowed_docs, scores, -np.inf)
    ahead = int((open_to > score).sum())
    tied_before = int((ctx.snapshot.doc_ids.filter(pl.Series(open_to == score)) < doc_id).sum())
    exact = ahead + tied_before + 1
    returned = _rank(asked.hits(), doc_id)
    if returned is not None:
        return "shown", f"Rank {returned} with a score of {score:.4g}."
    if exact <= stage.k:
        return "missed_by_ann", f"Exact rank {exact:,}, but the approximate index did not return it."
    return "below_cutoff", f"Exact rank {exact:,} (score {score:.4g}), below the cut-off of {stage.k:,}."


def _lost_at(root: Span, doc_id: str) -> tuple[str, str] | None:
    """(verdict, sentence) for a document that some stage received, and a cut-off, a threshold, a selector or a search with a new query dropped."""
    rank_before: int | None = None
    for span in root.walk():
        assert span.output is not None
        rank = _rank(span.output, doc_id)
        if rank is not None:
            rank_before = rank
        elif rank_before is None:
            continue
        else:
            lost = span.stage.why_lost(span, QID, doc_id, rank_before)
            if lost is not None:
                return lost
    return None
