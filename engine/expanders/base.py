"""What every expander offers: texts that a document could be found by, and that it does not hold itself (questions, keywords, a paraphrase)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from engine.component import Component
from engine.types import ProgressSink, ignore_progress

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.models.chat import ChatModel


class Models(Protocol):
    """What an expander may ask."""

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder called `model`. Raises NotFound."""
        ...

    def language_model(self) -> ChatModel:
        """The language model whose endpoint the user has named. Raises BadInput where none is named."""
        ...


class Expander(Component, family="expanders"):
    """Writes further texts for documents, between the chunker and the index. Subclasses implement `expand_many`.

    A document itself stays as it is: what is written stands beside it, each text apart, so that an index may hold it with the document or
    by itself, and a person may read and delete it.
    """

    @abstractmethod
    def expand_many(
        self, titles: Sequence[str], texts: Sequence[str], models: Models, progress: ProgressSink = ignore_progress
    ) -> list[list[str]]:
        """Further texts of each document, best first, none of them blank or twice; none for a blank document.

        What a document gets does not depend on the company, and is the same every time. Raises what `models` and `progress` raise.
        """
