"""What can be measured, in words for those who choose."""

from __future__ import annotations

from app.results.evaluation import MetricView
from app.verbs.base import Verbs
from engine.component import discover, summary
from engine.metrics.base import Metric, parse_metric

CUTOFFS = {"nDCG": 10, "RR": 10, "P": 5, "R": 100, "Success": 5, "Judged": 10}
"""The cut-off that a measure is offered with; the others are offered over the whole ranking."""
FIRST = ("nDCG", "AP", "RR", "R", "P", "Success")


class MeasureVerbs(Verbs):
    """The list of metrics."""

    def metrics(self) -> tuple[MetricView, ...]:
        """Every metric as it is usually written, the common ones first."""
        known = {name: cls for name, cls in discover("metrics").items() if issubclass(cls, Metric)}
        order = sorted(known, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
        return tuple(_view(known[name]) for name in order)

    def metric(self, written: str) -> str:
        """A metric in its usual notation. Raises BadInput that names what is wrong and what is known."""
        return parse_metric(written).label()


def _view(cls: type[Metric]) -> MetricView:
    about = summary(cls)
    cutoff = CUTOFFS.get(cls.name, 10 if cls.cut == "must" else None)
    example = cls.name if cutoff is None else f"{cls.name}@{cutoff}"
    return MetricView(cls.name, example, cls.words or about, about, tuple(n for n in cls.model_fields if n != "cutoff"))
