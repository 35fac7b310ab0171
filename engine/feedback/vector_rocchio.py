"""Vector-PRF Rocchio (Li, Mourad, Zhuang, Koopman and Zuccon, TOIS 2023)."""

from __future__ import annotations

from pydantic import Field, model_validator

from engine.feedback.vectors import VectorFeedback


class VectorRocchio(VectorFeedback, name="vector_rocchio"):
    """Search for alpha times the query's vector plus beta times the mean of the first hits' vectors.

    The paper's .4 and .6 move further from the query than the bundled encoder bears.
    """

    documents: int = Field(3, ge=1, le=100, description="How many of the first hits are taken as relevant.")
    alpha: float = Field(0.8, ge=0, le=10, description="The weight of the query's vector.")
    beta: float = Field(0.2, ge=0, le=10, description="The weight of the documents' mean vector.")

    @model_validator(mode="after")
    def _something_to_search_for(self) -> VectorRocchio:
        if self.alpha == self.beta == 0:
            raise ValueError("alpha and beta cannot both be 0")
        return self

    def label(self) -> str:
        return "vector Rocchio"

    def shares(self, examples: int) -> tuple[float, float]:
        return self.alpha, self.beta / examples
