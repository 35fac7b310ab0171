"""The threshold of Compare: one slider over all calibrated columns, and what it keeps and drops in each.

The page moves it by itself: every column carries the probabilities of its hits, and the script counts and greys without asking the server.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing.controls import GLYPHS, button
from app.drawing.html import classes, el
from app.drawing.relevance import cut, percent
from app.results.search import Calibrated, Column

OPTION = "t"
"""Where the address keeps the threshold; without it, every column has its own."""
STEP = 0.005


def asked(text: str) -> float | None:
    """A threshold from an address; None for anything that is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def at(told: Calibrated, tried: float | None) -> float:
    """The threshold in force: the one that is tried, else the pipeline's own."""
    return told.threshold if tried is None else tried


def bar(columns: Sequence[Column], tried: float | None) -> Markup | None:
    """The slider, with a mark where the threshold of each pipeline lies; None where no column is calibrated."""
    own = [(i, column.calibrated) for i, column in enumerate(columns) if column.calibrated is not None]
    if not own:
        return None
    first = own[0][1].threshold
    told_own = cut(first) if len({told.threshold for _, told in own}) == 1 else "own"
    marks = [
        el(
            "span",
            GLYPHS[i % 4],
            class_=f"cut-mark slot-{i % 4}",
            style=f"--at:{told.threshold:.4f}",
            title=f"{columns[i].pipeline.name} drops what lies below {cut(told.threshold)}",
        )
        for i, told in own
    ]
    return el(
        "div",
        el("label", "Threshold", for_="tp-cut"),
        el(
            "span",
            el(
                "input",
                type="range",
                id="tp-cut",
                class_="cut-slider",
                min="0",
                max="1",
                step=STEP,
                value=f"{first if tried is None else tried:.3f}",
                autocomplete="off",
                data_cut="slider",
                data_own=f"{first:.3f}",
                data_said=told_own,
            ),
            el("span", marks, class_="cut-marks", aria_hidden="true"),
            class_="cut-track",
        ),
        el("output", told_own if tried is None else cut(tried), for_="tp-cut", class_="cut-value", data_cut="value"),
        el("span", "Hits with a lower estimate are greyed.", class_="muted small cut-hint"),
        el(
            "button",
            "Each its own",
            type="button",
            class_="btn btn-quiet btn-small",
            data_local="uncut",
            title="Every pipeline with the threshold that it was saved with",
            disabled=tried is None,
        ),
        class_=classes("cut-bar", "" if tried is None else "is-tried"),
        role="group",
        aria_label="Threshold",
    )


def line(told: Calibrated | None, tried: float | None) -> Markup:
    """What the threshold keeps and drops in one column."""
    if told is None:
        return el("p", "Scores are not calibrated", class_="cut-line muted")
    threshold = at(told, tried)
    kept, lost = told.kept(threshold), told.lost(threshold)
    relevant = len(told.relevant)
    return el(
        "p",
        el("b", f"{kept:,}", data_cut="kept"),
        " kept · ",
        el("b", f"{len(told.probabilities) - kept:,}", data_cut="dropped"),
        " dropped ",
        el(
            "span",
            "(",
            el("b", f"{lost:,}", data_cut="lost"),
            f" of {relevant:,} relevant)",
            class_=classes("cut-lost", "is-some" if lost else ""),
            title="How many of the hits that are judged relevant are dropped",
        )
        if relevant
        else None,
        class_="cut-line",
        title=f"Of the {len(told.probabilities):,} hits that {told.label} calibrated",
    )


def none_kept(told: Calibrated, tried: float | None) -> Markup:
    """What stands in a column of which nothing is kept; hidden as long as something is."""
    return el(
        "div",
        el("strong", "Nothing relevant here"),
        el("p", f"The likeliest hit has an estimated relevance of {percent(told.best)}."),
        class_="box box-note cut-none",
        role="status",
        data_cut="none",
        hidden=told.kept(at(told, tried)) > 0,
    )


def data(told: Calibrated | None, tried: float | None) -> dict[str, str]:
    """What the script counts: probabilities of all hits and of the relevant ones, and what the pipeline's own threshold does."""
    if told is None:
        return {}
    return {
        "data_probabilities": _numbers(told.probabilities),
        "data_relevant": _numbers(told.relevant),
        "data_kept": str(told.kept(told.threshold)),
        "data_lost": str(told.lost(told.threshold)),
    }


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.5g}" for value in values)


def hint() -> Markup:
    """Where no column is calibrated: what it would help with."""
    return el(
        "p",
        "Where do the relevant results end? Calibrate a pipeline to turn its scores into probabilities, and cut its list where they get too low. ",
        button("Calibrate", "go", glyph="scale", look="quiet", page="calibrate"),
        class_="muted cut-hint-end",
    )
