"""The contract of rewriters: search for something better than what was typed, and show what."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from engine.pipeline.context import Context
from engine.pipeline.stages import Stage
from engine.types import QUERIES, Ranking

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

REWRITTEN_NOTE = "rewritten"
"""The detail of a rewriter's span: a table (qid, text) of what is searched for from here on."""


class Rewriter(Stage, family="rewriters"):
    """Stands before first stages. Subclasses answer `rewrite`.

    The stages after it search for its queries; a document scores as it does for the one that it matches best. What reads the hits goes by
    the user's own query: rerankers, calibrators, selectors and feedback.
    """

    head: ClassVar[str] = "rewritten"
    reads_hits: ClassVar[bool] = False
    asks_anew: ClassVar[bool] = True

    @abstractmethod
    def rewrite(self, texts: Sequence[str], ctx: Context) -> list[list[str]]:
        """One query or several for each of these, which are not blank; without any, it is searched as it was."""

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        asked = ranking.searched()
        written = self.rewrite(asked["text"].to_list(), ctx) if len(asked) else []
        rows = [
            (qid, new)
            for (qid, text), texts in zip(asked.iter_rows(), written, strict=True)
            for new in dict.fromkeys([kept for kept in texts if kept.strip()] or [text])
        ]
        table = pl.DataFrame(rows, schema=QUERIES, orient="row").unique(maintain_order=True)
        ctx.note(REWRITTEN_NOTE, table)
        return ranking.asking(table)

    def facts(self, span: Span, qid: str) -> list[str]:
        return [
            "searches for " + ", ".join(f"“{text}”" for text in span.details[REWRITTEN_NOTE].filter(qid=qid)["text"])
        ]
