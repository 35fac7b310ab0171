"""Trying a threshold: chosen by hand or for a target, what it does to held-out questions, and what it leaves of one question's hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import calibration_charts as charts
from app.drawing import format
from app.drawing.calibration_measures import share
from app.drawing.controls import button, select
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.drawing.messages import empty
from app.drawing.relevance import meter, percent
from app.results.calibration import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationView,
    Effect,
    QueryCurve,
    QueryCurves,
)
from app.ui.pages.calibrate.view import TARGETS

SAME_FOR_ALL = ("temperature", "platt", "beta", "isotonic")
"""Calibrators with one map for all questions."""


@dataclass(frozen=True, slots=True)
class Look:
    """What of a calibration is tried: a pipeline, one of its calibrators, and a threshold; and for what target one was last chosen."""

    part: CalibratedPipeline
    method: CalibratedMethod
    threshold: float
    wish: str = "recall"
    value: str = ""

    @property
    def chosen(self) -> bool:
        """Whether the threshold is the one that the fit chose."""
        return self.threshold == self.method.threshold


def panel(
    view: CalibrationView, look: Look, tried: Markup, query: str, samples: Sequence[str], *, write: bool
) -> Markup:
    """All of it; `tried` is what the threshold does, which a slide of it alone redraws."""
    return el(
        "section",
        _controls(view, look),
        _aim(look),
        _ask(query, samples),
        el("div", tried, id="cal-tried", class_="cal-tried"),
        _save(look) if write else None,
        class_="panel",
        aria_label="Try a threshold",
    )


def _controls(view: CalibrationView, look: Look) -> Markup:
    parts = [(part.name, part.name) for part in view.pipelines]
    methods = [(one.name, one.label) for one in look.part.methods]
    return el(
        "div",
        el("h2", "Try a threshold"),
        select("part", parts, look.part.name, label="Pipeline", action="cal-look", data_name="part"),
        select("by", methods, look.method.name, label="Calibrator", action="cal-look", data_name="by"),
        el(
            "input",
            type="range",
            class_="cal-slider",
            min="0",
            max="1",
            step="0.005",
            value=f"{look.threshold:.3f}",
            data_input="cal-slide",
            aria_label="Threshold",
            autocomplete="off",
            data_key="cal-slider",
        ),
        button(f"Back to {look.method.threshold:.3f}", "cal-look", look="quiet", name="t", value=""),
        class_="panel-head cal-controls",
    )


def _aim(look: Look) -> Markup:
    """A threshold by what it should achieve."""
    return el(
        "form",
        el("span", "Choose it for", class_="muted"),
        select("wish", list(TARGETS.items()), look.wish, label="What the threshold is for"),
        el(
            "input",
            type="number",
            class_="input input-small cal-number",
            value=look.value,
            min="0",
            step="any",
            data_field="value",
            aria_label="How much",
            autocomplete="off",
        ),
        el("button", "Choose", type="submit", class_="btn"),
        class_="row cal-aim",
        data_form=True,
        data_action="cal-aim",
        data_alert="cal-alert",
    )


def reach(effects: Sequence[Effect], wish: str, value: float) -> float | None:
    """The measured threshold that meets a target and keeps the most (for "recall" and "best": drops the most); None where none does."""
    known = [(one.threshold, found) for one in effects if (found := getattr(one, wish)) is not None]
    if wish == "results":
        return min((threshold for threshold, found in known if found <= value), default=None)
    good = [threshold for threshold, found in known if found >= value - 1e-9]
    return (min if wish == "precision" else max)(good, default=None)


def written(threshold: float) -> str:
    """A threshold for the address; never above itself, so that the hits that lie right on it stay."""
    return f"{math.floor(threshold * 1e6) / 1e6:.6f}"


def _ask(query: str, samples: Sequence[str]) -> Markup:
    return el(
        "form",
        el(
            "input",
            type="search",
            class_="input grow",
            data_field="query",
            value=query,
            placeholder="A question, to see what the threshold leaves of its hits",
            aria_label="Question",
            autocomplete="off",
            dir="auto",
            list="cal-samples",
            id="cal-query",
        ),
        el("datalist", [el("option", value=text) for text in samples], id="cal-samples"),
        el("button", "Show", type="submit", class_="btn"),
        class_="row cal-ask",
        data_form=True,
        data_action="cal-query",
        data_alert="cal-alert",
    )


def tried(look: Look, asked: QueryCurves | None, note: Markup | None = None) -> Markup:
    """What the threshold does: to held-out questions, and to the hits of one."""
    return join(
        _tiles(look),
        el(
            "div",
            el(
                "figure",
                charts.trade(look.method.effects, look.threshold, look.method.threshold),
                el(
                    "figcaption",
                    _key("line-precision", "precision"),
                    _key("line-recall", "recall"),
                    el("span", "Dashed: chosen for the target. Solid: what is tried.", class_="muted"),
                ),
                class_="cal-figure",
            ),
            _curves(look, asked),
            class_="cal-pair",
        ),
        note,
        _hits(look, asked) if asked is not None else None,
    )


def nearest(effects: Sequence[Effect], threshold: float) -> Effect | None:
    """The measured threshold next to this one."""
    return min(effects, key=lambda one: abs(one.threshold - threshold), default=None)


def _key(look: str, words: str) -> Markup:
    return el("span", el("i", class_=f"cal-key {look}", aria_hidden="true"), words)


def _tiles(look: Look) -> Markup:
    effect = look.method.at_threshold if look.chosen else nearest(look.method.effects, look.threshold)
    effect = effect or look.method.at_threshold
    told = (
        "On held-out questions, each with the threshold that the others chose for the target."
        if look.chosen
        else f"On held-out questions, measured at {effect.threshold:.3f}."
    )
    facts = (
        ("Threshold", f"{look.threshold:.3f}", "Hits with a lower probability are dropped"),
        ("Precision", share(effect.precision), "Of what is kept, how much is relevant"),
        ("Recall", share(effect.recall), "Of the relevant hits, how many are kept"),
        ("Best kept", share(effect.best), "Of the questions that have an answer, how many keep their best document"),
        ("Emptied", share(effect.emptied), "Of the questions that have none, how many end with an empty list"),
        ("Results", f"{effect.results:.1f}", "How many hits a question keeps, on average"),
    )
    return el(
        "div",
        el(
            "dl",
            [el("div", el("dt", name), el("dd", value), data_tip=tip) for name, value, tip in facts],
            class_="cal-tiles",
        ),
        el("p", told, class_="muted small"),
        aria_live="polite",
    )


def _curves(look: Look, asked: QueryCurves | None) -> Markup | None:
    drawn = charts.curves(asked.curves, look.method.name, look.threshold) if asked is not None else None
    if asked is None or drawn is None:
        return None
    keys = [
        el("span", el("i", class_=f"cal-key slot-{i % 4} dash-{i // 4 % 3}", aria_hidden="true"), curve.label)
        for i, curve in enumerate(asked.curves)
    ]
    return el("figure", drawn, el("figcaption", keys, _own(asked.curves)), class_="cal-figure")


def _own(curves: Sequence[QueryCurve]) -> Markup | None:
    """Which curves belong to this question alone."""
    own = [curve.label for curve in curves if curve.method not in SAME_FOR_ALL]
    rest = [curve.label for curve in curves if curve.method in SAME_FOR_ALL]
    if not own:
        return None
    words = f"{_and(own)} {'draws' if len(own) == 1 else 'draw'} a curve for this question alone"
    same = f"; {_and(rest)} {'is' if len(rest) == 1 else 'are'} the same for every question" if rest else ""
    return el("span", f"{words}{same}.", class_="muted")


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _hits(look: Look, asked: QueryCurves) -> Markup:
    curve = next((one for one in asked.curves if one.method == look.method.name), None)
    probabilities = curve.probabilities if curve else ()
    kept = sum(p >= look.threshold for p in probabilities)
    if not asked.hits:
        return empty(
            "search",
            "Nothing found",
            "The pipeline finds no document for this question, so there is nothing to keep or drop.",
        )
    head = (
        el(
            "div",
            el("strong", "Nothing relevant here"),
            el(
                "p",
                f"Every hit lies below the threshold; the likeliest has a probability of {percent(max(probabilities, default=0.0))}.",
            ),
            class_="box box-note cal-none",
            role="status",
        )
        if not kept
        else el("p", f"{kept} of the first {len(asked.hits)} hits are kept.", class_="muted small")
    )  # fmt: skip
    return el("div", _links(look, asked), head, el("ol", _rows(look, asked, curve), class_="cal-hits"))


def _links(look: Look, asked: QueryCurves) -> Markup:
    return el(
        "div",
        el("h3", "The hits of this question"),
        el("span", class_="grow"),
        button(
            "Open in Compare",
            "cal-compare",
            glyph="compare",
            look="quiet",
            hint="The pipeline beside its saved, calibrated forms",
        ),
        class_="panel-head cal-sub",
    )


def _rows(look: Look, asked: QueryCurves, curve: QueryCurve | None) -> list[Markup]:
    rows = []
    for i, (doc_id, title, score) in enumerate(asked.hits):
        p = curve.probabilities[i] if curve else 0.0
        dropped = p < look.threshold
        rows.append(
            el(
                "li",
                el("span", i + 1, class_="cal-rank"),
                el(
                    "button",
                    title or doc_id,
                    type="button",
                    class_="cell-title",
                    data_action="read",
                    data_doc=doc_id,
                    dir="auto",
                ),
                el("span", "below the threshold", class_="sr-only") if dropped else None,
                el("span", f"score {format.score(score)}", class_="muted small cal-score"),
                meter(p),
                class_=classes("cal-hit", "is-dropped" if dropped else ""),
                data_p=f"{p:.5g}",
                data_key=doc_id,
            )
        )
    return rows


def _save(look: Look) -> Markup:
    name = f"{look.part.name}, {look.method.label}"
    return el(
        "form",
        el("label", "Save as pipeline", for_="cal-name"),
        el(
            "input",
            type="text",
            id="cal-name",
            class_="input grow",
            data_field="name",
            value=name,
            autocomplete="off",
            dir="auto",
            data_key=f"cal-name-{name}",
        ),
        el("button", icon("save"), el("span", "Save"), type="submit", class_="btn btn-primary"),
        el("div", id="cal-saved", class_="cal-saved", role="status"),
        class_="row cal-save",
        data_form=True,
        data_action="cal-save",
        data_alert="cal-alert",
    )


def saved(name: str, threshold: float) -> Markup:
    """What became of it, and where to go with it."""
    return el(
        "span",
        f"“{name}” is saved with the threshold {threshold:.3f}, and can be chosen in Search and Compare.",
        " ",
        button("Open in Compare", "cal-compare", glyph="compare", look="quiet", saved=name),
        class_="small",
        dir="auto",
    )
