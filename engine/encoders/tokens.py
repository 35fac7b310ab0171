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
    """A `tokenizers` tokenizer (Rust) without padding, cut at `max_tokens` or not at all; safe to use from many threads at once."""

    def __init__(self, tokenizer: Any, max_tokens: int | None) -> None:
        tokenizer.no_padding()
        if max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens
        self.special_tokens = int(tokenizer.num_special_tokens_to_add(False))
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, path: Path, max_tokens: int | None) -> TextTokenizer:
        """Open a `tokenizer.json`. Raises WorkspaceDamaged where it cannot be read."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises bare Exception
            raise WorkspaceDamaged(
                f"{path} cannot be read as a tokenizer ({error}); install the model again."
            ) from error
        return cls(tokenizer, max_tokens)

    @property
    def size(self) -> int:
        """How many tokens the vocabulary holds, added ones included."""
        return int(self._tokenizer.get_vocab_size())

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[NDArray[np.int64]]:
        """Token ids of each text, special tokens included, at most `max_tokens`."""
        return [np.array(one.ids, dtype=np.int64) for one in self._tokenizer.encode_batch_fast(prepared(texts, prompt))]

    def plain_ids(self, texts: Sequence[str], prompt: str = "") -> list[NDArray[np.int64]]:
        """Token ids of each text, as far as `ids` would give them, without the special tokens that the model puts around a text."""
        encodings = self._tokenizer.encode_batch_fast(prepared(texts, prompt))
        return [np.array(one.ids, dtype=np.int64)[np.array(one.special_tokens_mask) == 0] for one in encodings]

    def places(self, text: str) -> list[tuple[int, int, int]]:
        """(token id, start, end) of each token of `plain_ids`; start and end are characters of the text."""
        one = self.encode(text)
        return [
            (token, start, end)
            for token, (start, end), special in zip(one.ids, one.offsets, one.special_tokens_mask, strict=True)
            if not special
        ]

    def strings(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's string of each token; "" for a number that it does not hold."""
        return [self._tokenizer.id_to_token(int(token)) or "" for token in ids]

    def count(self, texts: Sequence[str]) -> Ints:
        """int64 [n]: tokens of each text, special tokens included."""
        encodings = self._tokenizer.encode_batch_fast(prepared(texts))
        return np.array([len(one) for one in encodings], dtype=np.int64)

    def starts(self, text: str) -> Ints:
        """int64 [tokens], ascending: the character at which each token of the text begins; special tokens left out."""
        encoding = self._tokenizer.encode(prepared([text])[0], add_special_tokens=False)
        return np.sort(np.array([start for start, _ in encoding.offsets], dtype=np.int64))

    def dropped(self, texts: Sequence[str], prompt: str = "") -> Ints:
        """int64 [n]: tokens beyond the limit."""
        encodings = self._tokenizer.encode_batch_fast(prepared(texts, prompt))
        return np.array(
            [sum(len(rest) - self.special_tokens for rest in one.overflowing) for one in encodings], dtype=np.int64
        )

    def pairs(
        self, query: str, texts: Sequence[str], query_prompt: str = "", text_prompt: str = ""
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Token ids and token types of the query with each text, special tokens included, the longer of the two cut to `max_tokens` in all."""
        encodings = self._pairs(query, texts, query_prompt, text_prompt)
        return [(np.array(one.ids, dtype=np.int64), np.array(one.type_ids, dtype=np.int64)) for one in encodings]

    def dropped_of_pairs(
        self, query: str, texts: Sequence[str], query_prompt: str = "", text_prompt: str = ""
    ) -> NDArray[np.int64]:
        """int64 [n]: tokens of each pair beyond the limit."""
        special = int(self._tokenizer.num_special_tokens_to_add(True))
        alone = [query_prompt + query, *(text_prompt + text for text in texts)]
        each = self.count(alone) + self.dropped(alone)
        whole = each[0] + each[1:]
        kept = [len(one.ids) for one in self._pairs(query, texts, query_prompt, text_prompt)]
        dropped: NDArray[np.int64] = whole - 2 * self.special_tokens + special - np.array(kept, dtype=np.int64)
        return dropped

    def _pairs(self, query: str, texts: Sequence[str], query_prompt: str, text_prompt: str) -> list[Any]:
        (first,) = prepared([query], query_prompt)
        pairs = [(first, text) for text in prepared(texts, text_prompt)]
        found: list[Any] = self._tokenizer.encode_batch_fast(pairs)
        return found

    def number(self, token: str) -> int | None:
        """The id of a token that stands in the vocabulary as it is written here."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    def written(self, ids: Sequence[int]) -> list[str]:
        """The tokens with these ids; "" for an id that the vocabulary lacks."""
        return [self._tokenizer.id_to_token(int(one)) or "" for one in ids]

    def keep_whole(self, prompt: str) -> None:
        """Read a prompt that starts with a token of the vocabulary ("[unused0]", "[Q] ") as that token, as marker tokens were trained."""
        from tokenizers import AddedToken

        for marker in (prompt, *prompt.split()[:1]):
            if marker.strip() and self.number(marker) is not None:
                whole = self._tokenizer.encode(marker, add_special_tokens=False).tokens == [marker]
                if (
                    not whole
                ):  # a plain word, which already is a token, must not be cut out of the middle of other words
                    self._tokenizer.add_special_tokens([AddedToken(marker, normalized=False, special=True)])
                return

    def encode(self, text: str, prompt: str = "") -> Any:
        """The library's encoding of one text: ids, tokens, and offsets in characters of prompt + text."""
        return self._tokenizer.encode(prepared([text], prompt)[0])


def prepared(texts: Sequence[str], prompt: str = "") -> list[str]:
    """The strings as the tokenizer sees them. A lone surrogate, which UTF-8 cannot hold, becomes "?"; lengths stay."""
    return [(prompt + text).encode("utf-8", "replace").decode("utf-8") for text in texts]


def readable(tokens: Sequence[str]) -> list[str]:
    """Tokens of a vocabulary as people read them: "##ing", a piece within a word, becomes "…ing"; marks of a beginning word go."""
    return [f"…{token[2:]}" if token.startswith("##") else token.lstrip("\u2581\u0120") or token for token in tokens]
