"""What every encoder offers, whatever kind of rows it produces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar, runtime_checkable

from engine.models.card import ModelCard
from engine.types import ProgressSink, ignore_progress

V_co = TypeVar("V_co", covariant=True)


@runtime_checkable
class Encoder(Protocol[V_co]):
    """Turns texts into one row each; V_co is the kind of rows (FloatRows for dense encoders).

    A row depends on its text alone, never on the texts beside it, so a caller may cut a long job into shards and resume between them.
    """

    @property
    def card(self) -> ModelCard:
        """The model behind the encoder."""
        ...

    @property
    def fingerprint(self) -> str:
        """Equal fingerprints produce interchangeable rows; an index stores it and refuses others."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> V_co:
        """One row per query, in order."""
        ...

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> V_co:
        """One row per document passage, in order. `progress` hears phase "encode" and may raise Cancelled."""
        ...
