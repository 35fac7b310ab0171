"""Reranking with a cross-encoder that reads the query with all candidates in one pass (Song et al. 2023, Uni-Encoder, Findings of ACL)."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from engine.encoders.passes import TOKENS
from engine.models.catalogue import DEFAULT_CROSS
from engine.pipeline.context import Context
from engine.rerankers.cross import Batches, Cross


class Uni(Cross, name="uni"):
    """The scores of `cross`, from passes over the query and many candidates under a block mask, in which candidates do not see each other.

    Needs a model whose lower layers read texts apart, as the bundled one does: the query goes through them once for a whole pass. The paper's query
    sees all candidates of a pass; here each has its own copy of the query in the upper layers, so that a score does not depend on the company.
    With a budget in milliseconds or an early stop, candidates are read in the order in which they came; passes that are done keep their scores.
    Without either, candidates of about equal length share a pass.
    """

    model: str = Field(
        DEFAULT_CROSS,
        description="The cross-encoder; only the bundled one and models trained by its recipe can read passes.",
    )
    tokens: int = Field(
        TOKENS,
        ge=64,
        le=65_536,
        description="Tokens of one pass, query and candidates together; as many passes as the candidates need. Shorter ones keep a budget "
        "in milliseconds more closely.",
    )

    def label(self) -> str:
        return f"rerank {self.candidates} in passes" + ("" if self.model == DEFAULT_CROSS else f" ({self.model})")

    def batches(self, query: str, texts: Sequence[str], ctx: Context, in_order: bool) -> Batches:
        return ctx.resources.scorer(self.model).passes.batches(query, texts, self.tokens, in_order)
