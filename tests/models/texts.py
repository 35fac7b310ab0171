"""Texts whose float32 vectors, by sentence-transformers 6.2.0 on torch 2.13.0, are in tests/data/all-MiniLM-L6-v2-float32.npy."""

from __future__ import annotations

TEXTS = [
    "stemming and recall",
    "How can users steer a topic model interactively by supplying several words that jointly define a topic?",
    "Dense retrieval. Documents and queries are mapped to vectors, and the nearest documents are returned. Training needs pairs of "
    "questions and relevant passages; hard negatives matter more than their number.",
    "Der Zug fährt um acht Uhr nach München, 日本語, and ∑ x² ≤ 1.",
    "x",
    "The index is built in blocks. " * 60,
]
