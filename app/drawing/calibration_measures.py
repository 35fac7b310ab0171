"""What the calibrators of a pipeline are worth, as a table: on the Calibrate page and in reports alike."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import format
from app.drawing.html import el
from app.drawing.tables import table
from app.results.calibration import CalibratedMethod, CalibratedPipeline, Interval
from app.results.calibration_table import MEASURES, best

HEADS = ("Threshold", *(name[0].upper() + name[1:] for name in MEASURES), "Best kept", "Emptied", "Results")


def number(value: float | None) -> str:
    """A measure to three decimals."""
    return "–" if value is None else f"{value:.3f}"


def share(value: float | None) -> str:
    """A share of questions or hits in percent."""
    return "–" if value is None else f"{value:.0%}"


def about(part: CalibratedPipeline) -> str:
    """What a pipeline was calibrated on, in words."""
    unanswered = part.queries - part.answerable
    told = f"{format.plural(part.hits, 'hit')} of {format.plural(part.queries, 'question')}, {part.relevant:,} relevant"
    return told + (f"; {format.plural(unanswered, 'question')} without a relevant document" if unanswered else "")


def measures(part: CalibratedPipeline) -> Markup:
    """A row for each calibrator; the best value of a measure is underlined."""
    top = best(part.methods)
    return table(("Calibrator", *HEADS), [_row(one, top) for one in part.methods], numbers=HEADS, look="cal-table")


def _row(one: CalibratedMethod, top: dict[str, float]) -> Markup:
    at = one.at_threshold
    return el(
        "tr",
        el("th", one.label, scope="row"),
        el("td", number(one.threshold), class_="num"),
        [_measured(one.measures[name], top.get(name)) for name in MEASURES],
        el("td", share(at.best), class_="num"),
        el("td", share(at.emptied), class_="num"),
        el("td", f"{at.results:.1f}", class_="num"),
        data_key=one.name,
    )


def _measured(found: Interval, top: float | None) -> Markup:
    if found.value is None:
        return el("td", "–", class_="num muted")
    spread = "" if found.low is None or found.high is None else f"{found.low:.3f}–{found.high:.3f}"
    value = number(found.value)
    if top is not None and round(found.value, 3) == round(top, 3):
        shown = el("b", value, el("span", " (best)", class_="sr-only"), class_="is-best")
    else:
        shown = el("span", value)
    return el("td", shown, el("small", spread), class_="num")
