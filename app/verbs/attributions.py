"""Where in a document the weights of an explanation stand."""

from __future__ import annotations

from app.results import Attribution
from engine.context import Context
from engine.explain import Searching
from engine.rerankers.base import Reranker
from engine.retrievers.base import ScoreExplanation

MOST_PLACES = 200
"""Marked places of one term; a term repeated more often stays marked that often."""


def located(
    retriever: Searching | Reranker, query: str, told: ScoreExplanation, context: Context
) -> tuple[Attribution, ...]:
    """The weights with their places in the unit's "title. text". Terms of lexical stages are looked up in the text; a term's
    weight stands at its first place, its further places carry none, so that the weights still sum to the score."""
    spec = retriever.index_spec()
    if spec is None or not hasattr(retriever, "analyzer") or any(weight.start >= 0 for weight in told.weights):
        return tuple(Attribution(w.term, w.weight, w.start, w.end) for w in told.weights)
    from engine.indexes.analyzers import analyzer

    text = context.resources.unit_text(spec, told.row)
    places: dict[str, list[tuple[int, int]]] = {weight.term: [] for weight in told.weights}
    for token in analyzer(retriever.analyzer).tokens(text):
        if token.term in places and len(places[token.term]) < MOST_PLACES:
            places[token.term].append((token.start, token.end))
    out = []
    for weight in told.weights:
        first, *rest = places[weight.term] or [(-1, -1)]
        out.append(Attribution(weight.term, weight.weight, *first))
        out.extend(Attribution(weight.term, 0.0, *place) for place in rest)
    return tuple(out)
