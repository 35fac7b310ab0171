"""Text to token ids with the model's own tokenizer: prompt in front, cut at the model's limit, the rest counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import WorkspaceDamaged
from engine.types import Ints


class TextTokenizer:
    """A `tokenizers` tokenizer (Rust) without padding, set to one length limit; safe to use from many threads at once."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self.special_tokens = int(tokenizer.num_special_tokens_to_add(False))
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> TextTokenizer:
        """Open a `tokenizer.json`. Raises WorkspaceDamaged where it cannot be read."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception
            raise WorkspaceDamaged(
                f"{path} cannot be read as a tokenizer ({error}); install the model again."
            ) from error
        return cls(tokenizer, max_tokens)

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[NDArray[np.int64]]:
        """Token ids of each text, special tokens included, at most `max_tokens`."""
        return [np.array(one.ids, dtype=np.int64) for one in self._tokenizer.encode_batch_fast(prepared(texts, prompt))]

    def dropped(self, texts: Sequence[str], prompt: str = "") -> Ints:
        """int64 [n]: tokens beyond the limit."""
        encodings = self._tokenizer.encode_batch_fast(prepared(texts, prompt))
        return np.array(
            [sum(len(rest) - self.special_tokens for rest in one.overflowing) for one in encodings], dtype=np.int64
        )

    def encode(self, text: str, prompt: str = "") -> Any:
        """The library's encoding of one text: ids, tokens, and offsets in characters of prompt + text."""
        return self._tokenizer.encode(prepared([text], prompt)[0])


def prepared(texts: Sequence[str], prompt: str = "") -> list[str]:
    """The strings as the tokenizer sees them. A lone surrogate, which UTF-8 cannot hold, becomes "?"; lengths stay."""
    return [(prompt + text).encode("utf-8", "replace").decode("utf-8") for text in texts]
