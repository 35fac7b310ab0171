"""Vector-PRF Average (Li, Mourad, Zhuang, Koopman and Zuccon, TOIS 2023)."""

from __future__ import annotations

from pydantic import Field

from engine.feedback.vectors import VectorFeedback


class VectorAverage(VectorFeedback, name="vector_average"):
    """Search for the mean of the query's vector and the first hits' vectors; the query counts as much as each hit."""

    documents: int = Field(3, ge=1, le=100, description="How many of the first hits are taken as relevant.")

    def label(self) -> str:
        return "vector average"

    def shares(self, examples: int) -> tuple[float, float]:
        return 1 / (examples + 1), 1 / (examples + 1)
