"""Vectors of the original model in float32 by sentence-transformers, computed once and kept in the benchmark cache."""

from __future__ import annotations

import numpy as np

from engine.export.recipes import RECIPES
from engine.types import FloatRows
from tests.benchmarks.corpora import CACHE, Corpus


def reference_vectors(corpus: Corpus, model: str) -> tuple[FloatRows, FloatRows]:
    """Query and document vectors of the bundled model's original, float32 [n, dim]; slow the first time."""
    path = CACHE / f"{corpus.name}-{corpus.digest}-{model}-fp32.npz"
    if not path.exists():
        from sentence_transformers import SentenceTransformer

        original = SentenceTransformer(str(RECIPES[model].folder()), device="cpu")
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(path, queries=original.encode_query(corpus.queries), docs=original.encode_document(corpus.docs))
    stored = np.load(path, allow_pickle=False)
    return stored["queries"], stored["docs"]
