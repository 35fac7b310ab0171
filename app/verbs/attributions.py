"""Where in a document the weights of an explanation stand."""

from __future__ import annotations

from app.results.search import Attribution, Explanation
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation
from engine.pipeline.stages import Stage

MOST_PLACES = 200
"""Marked places of one term; a term repeated more often stays marked that often."""


def explained(stage: Stage, told: ScoreExplanation, rank: int | None, context: Context) -> Explanation:
    """What a stage tells of a document that stands at `rank` in its list, with places in the text."""
    places = located(stage, told, context)
    return Explanation(stage.label(), stage.name, told.exact, told.score, rank, places, told.note, stage.evidence)


def located(stage: Stage, told: ScoreExplanation, context: Context) -> tuple[Attribution, ...]:
    """The weights with their places in the unit's "title. text". Terms of an analyzer are looked up in the text; a term's
    weight stands at its first place, its further places carry none, so that the weights still sum to the score."""
    spec, name = stage.index_spec(), stage.term_analyzer()
    if spec is None or not name or told.row < 0 or any(weight.start >= 0 for weight in told.weights):
        return tuple(Attribution(w.term, w.weight, w.start, w.end) for w in told.weights)
    from engine.indexes.analyzers import analyzer

    text = context.resources.unit_text(spec, told.row)
    places: dict[str, list[tuple[int, int]]] = {weight.term: [] for weight in told.weights}
    for token in analyzer(name).tokens(text):
        if token.term in places and len(places[token.term]) < MOST_PLACES:
            places[token.term].append((token.start, token.end))
    out = []
    for weight in told.weights:
        first, *rest = places[weight.term] or [(-1, -1)]
        out.append(Attribution(weight.term, weight.weight, *first))
        out.extend(Attribution(weight.term, 0.0, *place) for place in rest)
    return tuple(out)
