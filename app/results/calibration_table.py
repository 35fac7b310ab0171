"""The measures of a calibration as one table: for the page, and as CSV or Markdown to take along."""

from __future__ import annotations

from app.results.calibration import CalibratedMethod, CalibrationView

MEASURES = ("ECE", "Brier", "log loss", "AUC", "precision", "recall")
LOWER = frozenset({"ECE", "Brier", "log loss"})
"""Measures of which less is better."""
HEADER = (
    "pipeline", "calibrator", "threshold", *(f"{name}{end}" for name in MEASURES for end in ("", " low", " high")),
    "best kept", "emptied", "results",
)  # fmt: skip


def best(methods: tuple[CalibratedMethod, ...]) -> dict[str, float]:
    """The best value of each measure among the calibrators; measures on which all agree have none."""
    found = {}
    for name in MEASURES:
        values = [value for one in methods if (value := one.measures[name].value) is not None]
        if len({round(value, 3) for value in values}) > 1:
            found[name] = min(values) if name in LOWER else max(values)
    return found


def rows(view: CalibrationView) -> list[tuple[str | float | None, ...]]:
    """A row for each calibrator on each pipeline, in the order of `HEADER`."""
    return [
        (
            part.name, one.label, one.threshold,
            *(value for name in MEASURES for value in (one.measures[name].value, one.measures[name].low, one.measures[name].high)),
            one.at_threshold.best, one.at_threshold.emptied, one.at_threshold.results,
        )
        for part in view.pipelines
        for one in part.methods
    ]  # fmt: skip


def markdown(view: CalibrationView) -> str:
    """The table with intervals in brackets, under a line that says what was measured."""
    lines = [
        f"{_cell(view.collection)}, query set {_cell(view.query_set)}, {view.folds} folds, target {view.target}. Measured on held-out questions, with 95% intervals.",
        "",
    ]
    heads = ("pipeline", "calibrator", "threshold", *MEASURES, "best kept", "emptied", "results")
    lines += ["| " + " | ".join(heads) + " |", "|" + " --- |" * 2 + " ---: |" * (len(heads) - 2)]
    for part in view.pipelines:
        for one in part.methods:
            at = one.at_threshold
            cells = [_cell(part.name), _cell(one.label), f"{one.threshold:.3f}"]
            for name in MEASURES:
                found = one.measures[name]
                known = found.value is not None and found.low is not None and found.high is not None
                cells.append(f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]" if known else "–")
            cells += ["–" if share is None else f"{share:.0%}" for share in (at.best, at.emptied)]
            lines.append("| " + " | ".join([*cells, f"{at.results:.1f}"]) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text that stays in its cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
