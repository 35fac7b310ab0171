"""One grammar for "why this score", "what did fusion do" and "why is it not here"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.context import Context
from engine.errors import TriptychError
from engine.fusers.base import Fuser
from engine.pipeline import Cutoff, Fuse, Stage
from engine.retrievers.base import Retriever, ScoreExplanation
from engine.trace import Span
from engine.types import Ranking

QID = "q"


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a document is not among the shown hits of one pipeline.

    verdict: shown, below_cutoff, filtered, missed_by_ann, no_shared_term, not_indexed, not_in_collection.
    lists: what happened in each first-stage list, as (label, sentence).
    """

    verdict: str
    sentence: str
    lists: tuple[tuple[str, str], ...] = ()


def retrievers(stage: Stage) -> list[Retriever]:
    """The distinct first stages of a pipeline, in the order in which they run."""
    return list(dict.fromkeys(s for s in stage.walk() if isinstance(s, Retriever)))


def explain(stage: Stage, query: str, doc_id: str, ctx: Context) -> list[tuple[Retriever, ScoreExplanation]]:
    """For every first stage that gives the document a score: its exact or approximate explanation."""
    position = _position(ctx, doc_id)
    if position is None or not query.strip():
        return []
    found = []
    for retriever in retrievers(stage):
        scores, rows = retriever.score_documents(query, ctx)
        if rows[position] >= 0 and not (retriever.needs_match and scores[position] <= 0):
            found.append((retriever, retriever.explain_row(query, int(rows[position]), ctx)))
    return found


def ledger(root: Span) -> tuple[Fuse, pl.DataFrame] | None:
    """The last fusion that ran and its contributions (schema of engine.fusers.base.CONTRIBUTIONS); None where nothing was fused."""
    fusions = [span for span in root.walk() if isinstance(span.stage, Fuse)]
    if not fusions:
        return None
    last = fusions[-1]
    assert isinstance(last.stage, Fuse)
    assert isinstance(last.stage.method, Fuser)
    return last.stage, last.details["contributions"]


def why_not(stage: Stage, query: str, doc_id: str, shown: int, ctx: Context) -> Missing:
    """Where `doc_id` was lost on the way to the first `shown` hits of this pipeline."""
    position = _position(ctx, doc_id)
    if position is None:
        return Missing(
            "not_in_collection", f"{doc_id!r} is not in this collection (it was never added, or was deleted)."
        )
    result, root = ctx.execute(stage, Ranking.of([(QID, query)]))
    rank = _rank(result, doc_id)
    lists = tuple((r.label(), _in_list(r, query, doc_id, position, ctx)) for r in retrievers(stage))
    told = tuple((label, sentence) for label, (_, sentence) in lists)
    if rank is not None and rank <= shown:
        return Missing("shown", f"It is here, at rank {rank}.", told)
    if ctx.allowed_docs is not None and not ctx.allowed_docs[position]:
        return Missing("filtered", "The filter excludes it.", told)
    if rank is not None:
        return Missing("below_cutoff", f"It is at rank {rank}; the list shows the first {shown}.", told)
    lost = _lost_at(root, doc_id)
    if lost is not None:
        return Missing("below_cutoff", lost, told)
    verdicts = [verdict for _, (verdict, _) in lists]
    for verdict in ("missed_by_ann", "below_cutoff", "not_indexed", "no_shared_term"):
        if verdict in verdicts:
            only = told[0][1] if len(told) == 1 else _SUMMARY[verdict]
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


def _in_list(retriever: Retriever, query: str, doc_id: str, position: int, ctx: Context) -> tuple[str, str]:
    """(verdict, sentence) for one first-stage list, from exact scores of every document."""
    if not query.strip():
        return "no_shared_term", "The query is empty."
    try:
        scores, rows = retriever.score_documents(query, ctx)
    except TriptychError as error:
        return "not_indexed", str(error)
    if rows[position] < 0:
        return "not_indexed", "The index does not hold it yet; update the index."
    score = scores[position]
    if retriever.needs_match and score <= 0:
        return "no_shared_term", "It shares no term with the query."
    if ctx.allowed_docs is not None and not ctx.allowed_docs[position]:
        return "filtered", f"Excluded by the filter; its exact score is {score:.4g}."
    open_to = scores if ctx.allowed_docs is None else np.where(ctx.allowed_docs, scores, -np.inf)
    ahead = int((open_to > score).sum())
    tied_before = int((ctx.snapshot.doc_ids.filter(pl.Series(open_to == score)) < doc_id).sum())
    exact = ahead + tied_before + 1
    returned = _rank(ctx.run(retriever, ctx._inputs[-1]), doc_id)
    if returned is not None:
        return "shown", f"Rank {returned} with a score of {score:.4g}."
    if exact <= retriever.k:
        return "missed_by_ann", f"Exact rank {exact:,}, but the approximate index did not return it."
    return "below_cutoff", f"Exact rank {exact:,} (score {score:.4g}), below the cut-off of {retriever.k:,}."


def _lost_at(root: Span, doc_id: str) -> str | None:
    """The sentence for a document that some stage received and a cut-off dropped."""
    rank_before: int | None = None
    for span in root.walk():
        assert span.output is not None
        rank = _rank(span.output, doc_id)
        if rank is not None:
            rank_before = rank
        elif isinstance(span.stage, Cutoff) and rank_before is not None:
            return f"It was at rank {rank_before} when the list was cut at {span.stage.k}."
    return None
