"""What a column cost, stage by stage: the strip under its head, and the table that opens from it."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.html import classes, el
from app.results.search import StageTime


def strip(stages: Sequence[StageTime], took: float, slowest: float) -> Markup:
    """Latency by stage: the bar's length is the column's share of the slowest one, its segments are the stages."""
    total = sum(stage.ms for stage in stages) or 1.0
    segments = [
        el(
            "i",
            class_=classes("seg", f"seg-{i % 4}", "seg-cached" if stage.cached else ""),
            style=f"flex-grow:{max(0.004, stage.ms / total):.4f}",
            title=stage_title(stage),
        )
        for i, stage in enumerate(stages)
    ]
    width = 100 * took / slowest if slowest > 0 else 100
    return el(
        "details",
        el(
            "summary",
            el(
                "span",
                el("span", segments, class_="strip-bar", style=f"width:{max(4.0, width):.1f}%"),
                class_="strip-track",
            ),
            el("span", format.milliseconds(took), class_="strip-total"),
            title="Latency by stage",
        ),
        el("table", el("tbody", [_stage_row(stage, i) for i, stage in enumerate(stages)]), class_="stage-table"),
        el(
            "p",
            "Hatched: run once for several columns, and counted in each at what it cost.",
            class_="muted strip-note",
        )
        if any(stage.cached for stage in stages)
        else None,
        class_="strip",
    )


def stage_title(stage: StageTime) -> str:
    """A stage in words: time, rows in and out."""
    shared = ", run once for several columns and counted in each" if stage.cached else ""
    return f"{stage.label}: {format.milliseconds(stage.ms)}, {stage.rows_in:,} → {stage.rows_out:,} rows{shared}"


def _stage_row(stage: StageTime, index: int) -> Markup:
    return el(
        "tr",
        el("td", el("i", class_=classes("dot", f"seg-{index % 4}", "seg-cached" if stage.cached else "")), stage.label),
        el("td", f"{stage.rows_in:,} → {stage.rows_out:,}", class_="num"),
        el("td", format.milliseconds(stage.ms) + (" shared" if stage.cached else ""), class_="num"),
    )
