"""In which order pooled documents are judged: as the pool gives them, where pipelines disagree most, or where a verdict could flip first.

Documents of one query stay together, so that an assessor thinks about a question once; the orders rank the queries, and the documents in
each. hits: pipeline, qid, doc_id, score. Pools: Voorhees (TREC); which documents matter: Aslam, Pavlu and Yilmaz (SIGIR 2006).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl

from engine.errors import BadInput
from engine.statistics.agreement import pairwise
from engine.types import ITEMS

ORDERS = ("disagreement", "flip", "pool")


def pool(hits: pl.DataFrame, depth: int) -> pl.DataFrame:
    """pipeline, qid, doc_id, rank of the first `depth` hits of every pipeline, ties as trec_eval orders them."""
    ordered = hits.with_columns(pl.col("score").cast(pl.Float32)).sort("score", "doc_id", descending=[True, True])
    ranked = ordered.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("pipeline", "qid"))
    return ranked.filter(pl.col("rank") <= depth).select("pipeline", "qid", "doc_id", "rank")


def queue_items(
    hits: pl.DataFrame,
    qids: Sequence[str],
    pipelines: Sequence[str],
    *,
    order: str,
    depth: int,
    effects: pl.DataFrame | None = None,
    known: pl.DataFrame | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """ITEMS: the pooled documents of the queries, each pair once, but those in `known` (qid, doc_id).

    pool: queries in their order, documents in turn from every pipeline (all first hits, then all second ones).
    disagreement: the query on which the pipelines' first `depth` differ most (1 - RBO) first; in it, the documents whose reciprocal
    ranks lie furthest apart, one that a pipeline did not find counting 0 there. Needs two pipelines or more.
    flip: the documents of `effects` (engine.verdicts.EFFECTS) first, by the sum of their query's effects, then by their own; then the rest
    as in `pool`. Raises BadInput.
    """
    if order not in ORDERS:
        raise BadInput(f"There is no order {order!r} for judging. Known: {', '.join(ORDERS)}.")
    if order == "disagreement" and len(pipelines) < 2:
        raise BadInput("Disagreement needs two pipelines or more; with one, take the order `pool`.")
    pooled = pool(hits, depth)
    found = _found(pooled, pipelines)
    of_query = {qid: i for i, qid in enumerate(qids)}
    keys: dict[tuple[str, str], tuple[float, ...]] = {}
    effect: dict[tuple[str, str], float] = {}
    if order == "flip":
        if effects is None:
            raise BadInput("The order `flip` needs the effects of documents on a verdict.")
        effect = {(qid, doc_id): value for qid, doc_id, value in effects.select("qid", "doc_id", "effect").iter_rows()}
        found |= {pair: {} for pair in effect if pair not in found and pair[0] in of_query}
        keys = _by_effect(found, effect, of_query)
    elif order == "disagreement":
        keys = _by_disagreement(hits, found, qids, pipelines, depth)
    place = {name: i for i, name in enumerate(pipelines)}
    turns = {
        pair: min((rank, place[name]) for name, rank in ranks.items()) if ranks else (10**9, 0)
        for pair, ranks in found.items()
    }
    done = set() if known is None else set(known.select("qid", "doc_id").iter_rows())
    pairs = [pair for pair in found if pair[0] in of_query and pair not in done]
    pairs.sort(key=lambda pair: (*keys.get(pair, ()), of_query[pair[0]], *turns[pair], pair[1]))
    rows = [
        (i, qid, doc_id, json.dumps(found[qid, doc_id], ensure_ascii=False), effect.get((qid, doc_id)))
        for i, (qid, doc_id) in enumerate(pairs[:limit])
    ]
    return pl.DataFrame(rows, schema=ITEMS, orient="row")


def _found(pooled: pl.DataFrame, pipelines: Sequence[str]) -> dict[tuple[str, str], dict[str, int]]:
    """The rank in each pipeline that found a document, by (qid, doc_id)."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for name in pipelines:
        part = pooled.filter(pl.col("pipeline") == name).select("qid", "doc_id", "rank")
        for qid, doc_id, rank in part.iter_rows():
            found.setdefault((qid, doc_id), {})[name] = rank
    return found


def _by_effect(
    found: Mapping[tuple[str, str], Mapping[str, int]],
    effect: Mapping[tuple[str, str], float],
    of_query: Mapping[str, int],
) -> dict[tuple[str, str], tuple[float, ...]]:
    total: dict[str, float] = {}
    for (qid, _), value in effect.items():
        total[qid] = total.get(qid, 0.0) + abs(value)
    return {
        pair: (0.0, -round(total[pair[0]], 12), of_query[pair[0]], -round(abs(effect[pair]), 12))
        if pair in effect
        else (1.0, 0.0, of_query[pair[0]], 0.0)
        for pair in found
        if pair[0] in of_query
    }


def _by_disagreement(
    hits: pl.DataFrame,
    found: Mapping[tuple[str, str], Mapping[str, int]],
    qids: Sequence[str],
    pipelines: Sequence[str],
    depth: int,
) -> dict[tuple[str, str], tuple[float, ...]]:
    agreed = pairwise(hits.filter(pl.col("pipeline").is_in(list(pipelines))), dict.fromkeys(pipelines, qids), depth)
    alike = dict(agreed.group_by("qid").agg(pl.col("rbo").mean()).iter_rows())
    order = {qid: float(i) for i, qid in enumerate(sorted(qids, key=lambda qid: round(alike[qid], 12)))}
    keys: dict[tuple[str, str], tuple[float, ...]] = {}
    for (qid, doc_id), ranks in found.items():
        if qid in order:
            shares = [1.0 / ranks[name] if name in ranks else 0.0 for name in pipelines]
            keys[qid, doc_id] = (order[qid], round(min(shares) - max(shares), 12))
    return keys
