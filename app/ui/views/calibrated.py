"""A calibration as it is looked at: what a threshold does, live and for one query, and what each calibrator is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app import calibration_table
from app.calibration_results import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationView,
    Effect,
    Interval,
    QueryCurve,
    QueryCurves,
)
from app.ui import format
from app.ui.html import Child, classes, el, join
from app.ui.icons import icon
from app.ui.views import calibration_charts as charts
from app.ui.views import slots
from app.ui.views.controls import button, select
from app.ui.views.history import when
from app.ui.views.messages import empty

DIGITS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What of a calibration is tried: a pipeline, one of its calibrators, and a threshold."""

    part: CalibratedPipeline
    method: CalibratedMethod
    threshold: float


def results(
    view: CalibrationView, look: Look, tried: Markup, query: str, samples: Sequence[str], *, write: bool
) -> Markup:
    """Everything; `tried` is what the threshold does, which a slide of it alone redraws."""
    return join(
        _title(view, write=write),
        el(
            "section",
            _controls(view, look),
            _ask(query, samples),
            el("div", tried, id="cal-tried", class_="cal-tried"),
            _save(look) if write else None,
            class_="panel",
            aria_label="Try a threshold",
        ),
        [_pipeline(part, i) for i, part in enumerate(view.pipelines)],
    )  # fmt: skip


def _title(view: CalibrationView, *, write: bool) -> Markup:
    told = f"{view.query_set} · {view.folds} folds · first {view.depth} hits · target {view.target} · {when(view.created_at)}"
    return el(
        "section",
        el(
            "div",
            el("h2", "Calibration"),
            el("span", told, class_="muted small", dir="auto"),
            el("span", class_="grow"),
            [
                button(label, "cal-export", glyph="download", look="quiet", format=form)
                for label, form in (("CSV", "csv"), ("Markdown", "markdown"))
            ],
            class_="panel-head cal-title",
        ),
        el(
            "div",
            icon("warning"),
            el("p", el("b", "Stale: "), "; ".join(view.stale), ". The maps were fitted to what was there before."),
            el("div", button("Fit again", "cal-again"), class_="box-actions") if write else None,
            class_="box box-warn",
        )
        if view.stale
        else None,
        class_="cal-about",
        aria_label="Calibration",
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
    effect = nearest(look.method.effects, look.threshold) or look.method.at_threshold
    return join(
        _tiles(look, effect),
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


def _tiles(look: Look, effect: Effect) -> Markup:
    facts = (
        ("Threshold", f"{look.threshold:.3f}", "Hits with a lower probability are dropped"),
        ("Precision", _share(effect.precision), "Of what is kept, how much is relevant"),
        ("Recall", _share(effect.recall), "Of the relevant hits, how many are kept"),
        ("Best kept", _share(effect.best), "Of the questions that have an answer, how many keep their best document"),
        ("Emptied", _share(effect.emptied), "Of the questions that have none, how many end with an empty list"),
        ("Results", f"{effect.results:.1f}", "How many hits a question keeps, on average"),
    )
    return el(
        "div",
        el(
            "dl",
            [el("div", el("dt", name), el("dd", value), data_tip=tip) for name, value, tip in facts],
            class_="cal-tiles",
        ),
        el(
            "p",
            f"On held-out questions, measured at {effect.threshold:.2f}.",
            class_="muted small",
        ),
        aria_live="polite",
    )


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _curves(look: Look, asked: QueryCurves | None) -> Markup | None:
    drawn = charts.curves(asked.curves, look.method.name, look.threshold) if asked is not None else None
    if asked is None or drawn is None:
        return None
    keys = [
        el("span", el("i", class_=f"cal-key slot-{i % 4} dash-{i // 4 % 3}", aria_hidden="true"), curve.label)
        for i, curve in enumerate(asked.curves)
    ]
    return el("figure", drawn, el("figcaption", keys), class_="cal-figure")


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
                f"Every hit lies below the threshold; the likeliest has a probability of {_fine(max(probabilities, default=0.0))}.",
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
                probability(p),
                class_=classes("cal-hit", "is-dropped" if dropped else ""),
                data_key=doc_id,
            )
        )
    return rows


def probability(p: float) -> Markup:
    """A probability as a percentage with a small bar."""
    return el(
        "span",
        el("span", el("i", style=f"width:{100 * p:.1f}%"), class_="cal-bar", aria_hidden="true"),
        el("b", _fine(p)),
        class_="cal-p",
        title=f"Probability of relevance {p:.4f}",
    )


def _fine(p: float) -> str:
    return f"{p:.1%}" if p < 0.1 else f"{p:.0%}"


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


# ---------------------------------------------------------- a pipeline's share
def _pipeline(part: CalibratedPipeline, index: int) -> Markup:
    unanswered = part.queries - part.answerable
    told = f"{format.plural(part.hits, 'hit')} of {format.plural(part.queries, 'question')}, {part.relevant:,} relevant" + (
        f"; {format.plural(unanswered, 'question')} without a relevant document" if unanswered else ""
    )  # fmt: skip
    before = next((one for one in part.methods if one.name == "min_max"), None)
    return el(
        "section",
        el(
            "div",
            slots.mark(index),
            el("h2", part.name, dir="auto"),
            el("span", told, class_="muted small"),
            class_="panel-head",
        ),
        el(
            "div",
            el(
                "figure",
                charts.histogram(part.scores),
                el("figcaption", "Scores of relevant and other hits; each side to its own height, as relevant ones are few."),
                class_="cal-figure",
            ),
            el("div", [_reliability(one, before) for one in part.methods], class_="cal-panels"),
            class_="cal-overview",
        ),
        _table(part),
        el(
            "p",
            "Measured on questions that the fit did not see, with 95% intervals below; the best value is underlined. The threshold is that of the map fitted to all questions.",
            class_="muted small",
        ),
        class_="panel",
        aria_label=part.name,
        data_key=f"cal-part-{index}",
    )  # fmt: skip


def _reliability(one: CalibratedMethod, before: CalibratedMethod | None) -> Markup:
    facts: list[Child] = []
    for name in ("ECE", "Brier"):
        value = _number(one.measures[name].value)
        raw = "" if before is None or before is one else f"{_number(before.measures[name].value)} → "
        facts.append(el("span", f"{name} {raw}", el("b", value)))
    return el(
        "figure",
        el("figcaption", el("b", one.label)),
        charts.reliability(one),
        el("div", facts, class_="cal-facts", title="Before: scores scaled by min-max; after: this calibrator"),
        class_="cal-panel",
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.{DIGITS}f}"


def _table(part: CalibratedPipeline) -> Markup:
    top = calibration_table.best(part.methods)
    heads = ("Threshold", *calibration_table.MEASURES, "best kept", "emptied", "results")
    return el(
        "div",
        el(
            "table",
            el(
                "thead",
                el(
                    "tr",
                    el("th", "Calibrator", scope="col"),
                    [el("th", name[0].upper() + name[1:], scope="col", class_="num") for name in heads],
                ),
            ),
            el("tbody", [_method(one, top) for one in part.methods]),
            class_="table cal-table",
        ),
        class_="table-wrap",
    )


def _method(one: CalibratedMethod, top: dict[str, float]) -> Markup:
    at = one.at_threshold
    return el(
        "tr",
        el("th", one.label, scope="row"),
        el("td", _number(one.threshold), class_="num"),
        [_measured(one.measures[name], top.get(name)) for name in calibration_table.MEASURES],
        el("td", _share(at.best), class_="num"),
        el("td", _share(at.emptied), class_="num"),
        el("td", f"{at.results:.1f}", class_="num"),
        data_key=one.name,
    )


def _measured(found: Interval, top: float | None) -> Markup:
    if found.value is None:
        return el("td", "–", class_="num muted")
    is_best = top is not None and round(found.value, 3) == round(top, 3)
    spread = "" if found.low is None or found.high is None else f"{found.low:.3f}–{found.high:.3f}"
    return el(
        "td",
        el("b" if is_best else "span", _number(found.value), el("span", " (best)", class_="sr-only") if is_best else None, class_="is-best" if is_best else None),
        el("small", spread),
        class_="num",
    )  # fmt: skip
