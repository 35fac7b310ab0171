"""The list of metrics that the page offers."""

from __future__ import annotations

from pathlib import Path

from app.verbs.services import Services
from engine.component import discover
from engine.metrics.base import parse_metric


def test_every_metric_is_offered_in_a_form_that_is_understood_and_in_words(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        offered = services.metrics()
    assert [view.example for view in offered[:4]] == ["nDCG@10", "AP", "RR@10", "R@100"]
    assert {view.name for view in offered} == set(discover("metrics"))
    for view in offered:
        assert parse_metric(view.example).label() == view.example
        assert view.words.endswith(".")
        assert len(view.words) > 40
        assert view.about != view.words
    assert next(view for view in offered if view.name == "P").parameters[0] == "rel"
