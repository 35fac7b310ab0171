"""Calibrated results as they are shown: the estimate on a card, the hits below the threshold, and a list that honestly holds nothing."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import chip
from app.drawing.html import el
from app.results.search import Calibrated, Card

SAME = 1e-6
"""A score this close to the probability is the probability."""


def percent(p: float) -> str:
    """A probability as people read it: 72%, 4.1%."""
    return f"{p:.1%}" if 0 < p < 0.1 else f"{p:.0%}"


def cut(threshold: float) -> str:
    """A threshold, to a tenth of a percent where it is not whole: 30%, 12.5%."""
    return f"{100 * threshold:.1f}".removesuffix(".0") + "%"


def meter(p: float, told: Calibrated | None = None, *, words: bool = False) -> Markup:
    """An estimate of relevance as a bar and a number; `words` says beside it what it is, as the tooltip always does."""
    return el(
        "span",
        el("span", "est. relevance", class_="cal-word") if words else None,
        el("span", el("i", style=f"width:{100 * p:.1f}%"), class_="cal-bar", aria_hidden="true"),
        el("b", percent(p)),
        class_="cal-p",
        title=meaning(p, told),
        aria_label=f"Estimated relevance {percent(p)}",
        role="img",
    )


def meaning(p: float, told: Calibrated | None) -> str:
    """What an estimate is and where it comes from."""
    text = f"Estimated probability of relevance {p:.4f}"
    if told is None:
        return text
    side = "drops" if p < told.threshold else "keeps"
    return f"{text}, by the calibrator {told.label} of this pipeline, which {side} it: the threshold is {told.threshold:.4f}"


def score(card: Card, told: Calibrated | None) -> Markup:
    """The estimate of a calibrated hit, the score of any other; both where a later stage scored it anew."""
    estimate = meter(card.probability, told, words=True) if card.probability is not None else None
    raw = chip(f"score {format.score(card.score)}", "score", "The score of the whole pipeline")
    return el("span", estimate, None if is_probability(card) else raw, class_="hit-scores")


def is_probability(card: Card) -> bool:
    """Whether the score is the estimate itself, so that one of them is enough."""
    return card.probability is not None and abs(card.score - card.probability) < SAME


def below(told: Calibrated, items: Sequence[Markup], *, count: int | None = None, look: str = "hits") -> Markup | None:
    """The line "n below the threshold", which opens the dropped hits; `items` are those that are at hand."""
    dropped = len(told.probabilities) - told.kept(told.threshold)
    if not dropped:
        return None
    number = el("b", f"{dropped if count is None else count:,}", data_cut="dropped")
    words = (number, " below the threshold", el("span", f" of {cut(told.threshold)}", class_="cal-own"))
    if not items:
        return el("p", *words, class_="below below-far")
    rest = dropped - len(items)
    return el(
        "details",
        el("summary", *words),
        el("ol", items, class_=look, data_hits="below"),
        el("p", f"{rest:,} less likely ones are not listed.", class_="muted small") if rest else None,
        class_="below",
        data_below=True,
        data_key="below",
    )


def nothing(told: Calibrated) -> tuple[str, str]:
    """Title and text where the threshold leaves nothing."""
    hits = format.plural(len(told.probabilities), "hit")
    text = (
        f"The likeliest of {hits} has an estimated relevance of {percent(told.best)}, and this pipeline drops what lies below "
        f"{cut(told.threshold)}. What was dropped can be opened below."
    )
    return "Nothing relevant here", text
