"""Every reranker that needs no service keeps the contract of its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.pipeline.stages import parse
from engine.rerankers.base import Reranker
from engine.testing.contracts import check_reranker


@pytest.mark.parametrize("data", ["cross", {"cross": {"text": "best_passage"}}, "uni"], ids=str)
def test_reranker(data: object, tmp_path: Path) -> None:
    reranker = parse(("rerankers",), data)
    assert isinstance(reranker, Reranker)
    check_reranker(reranker, tmp_path)
