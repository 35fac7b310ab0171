"""Late interaction: one vector a token (Khattab and Zaharia 2020, ColBERT)."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.families.base import Encoding
from engine.models.card import ModelCard
from engine.models.family import Hint, Original
from engine.types import TokenRows

if TYPE_CHECKING:
    from engine.encoders.late import LateEncoder
    from engine.export.source import Source
    from engine.indexes.stored.rows import TokenKind


class Late(Encoding, name="late"):
    """One vector for every token, each of the query's compared with all of a document's."""

    title: ClassVar[str] = "Late interaction"
    about: ClassVar[str] = "One vector for every token"
    place: ClassVar[int] = 3
    stage: ClassVar[str] = "late"

    def open(self, folder: Path, provider: str = "auto", threads: int | None = None) -> LateEncoder:
        from engine.encoders.late import LateEncoder

        return LateEncoder.load(folder, provider, threads)

    def row_kind(self, width: int) -> TokenKind:
        from engine.indexes.stored.rows import TokenKind

        return TokenKind(width)

    def points(self, card: ModelCard, rows: TokenRows) -> list[NDArray[np.float32]]:
        found = [np.asarray(rows.vectors[start:stop], np.float32) for start, stop in pairwise(rows.indptr)]
        if not all(len(row) and row.any(axis=1).all() for row in found):
            raise BadInput(f"{card.name} gives tokens no vector, or one of zeros; it cannot be used.")
        return found

    def flat(self, rows: TokenRows) -> NDArray[np.float32]:
        return np.asarray(rows.vectors, np.float32)

    def hint(self, original: Original) -> Hint:
        """See ModelFamily; models of sentence-transformers, of PyLate and of Stanford's ColBERT."""
        if original.library_class in ("MultiVectorEncoder", "ColBERT"):
            return Hint.NAMED
        stanford = original.architecture == "HF_ColBERT" or (original.folder / "artifact.metadata").exists()
        told = "MultiVectorMask" in original.stages or "query_prefix" in original.settings
        return Hint.STAGES if told or stanford else Hint.NONE

    def open_original(self, path: str, dimensions: int | None = None) -> Source:
        from engine.export.late import open_late

        return open_late(path, dimensions)
