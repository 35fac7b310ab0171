"""Passages of whole sentences within a token budget, each overlapping the one before by a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pydantic import Field

from engine.chunkers.base import Chunker, Span, passage_text
from engine.chunkers.cuts import best_cut, trimmed
from engine.encoders.tokens import TextTokenizer
from engine.models.card import TOKENIZER_FILE, read_card
from engine.models.catalogue import DEFAULT_DENSE, model_folder
from engine.models.verify import verify_files
from engine.types import Ints

BATCH = 1024  # texts counted at a time: bounds memory
OVERLAP_SENTENCES = 2
MIN_ROOM = 16  # tokens left to the text where the title alone fills the budget


class SentenceChunker(Chunker, name="sentences"):
    """Splits at sentence ends so that title and passage fit the encoder; a text that fits stays whole.

    Sentences are found by nupunkt (Punkt, Kiss and Strunk 2006); a sentence longer than the budget is cut at white
    space, or between character clusters. A title that fills the budget by itself leaves its passages too long: the
    encoder then ignores their ends.
    """

    model: str = Field(DEFAULT_DENSE, description="the bundled model whose tokenizer counts")
    max_tokens: int = Field(
        256, ge=32, le=32768, description="tokens of a passage, its title and special tokens included"
    )
    overlap_tokens: int = Field(
        32, ge=0, le=1024, description="a passage repeats at most this many tokens of the one before"
    )
    max_characters: int = Field(4000, ge=64, le=1_000_000, description="characters of a passage, whatever its tokens")

    def split_many(self, titles: Sequence[str], texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in order. Raises BadInput on an unknown model, WorkspaceDamaged where its tokenizer
        cannot be read."""
        tokenizer = _tokenizer(self.model)
        spans: list[list[Span]] = [[(0, len(text))] if text and not text.isspace() else [] for text in texts]
        undecided = [row for row, text in enumerate(texts) if spans[row] and not self._surely_fits(titles[row], text)]
        for start in range(0, len(undecided), BATCH):
            rows = undecided[start : start + BATCH]
            short = [row for row in rows if len(texts[row]) <= self.max_characters]
            counts = tokenizer.count([passage_text(titles[row], texts[row], (0, len(texts[row]))) for row in short])
            whole = {row for row, count in zip(short, counts, strict=True) if count <= self.max_tokens}
            for row in rows:
                if row not in whole:
                    spans[row] = self._split_long(tokenizer, titles[row], texts[row])
        return spans

    def _surely_fits(self, title: str, text: str) -> bool:
        """A bound that costs nothing: an ASCII text has at most one token a character, and two special tokens are
        common."""
        size = len(title) + 2 + len(text) + 4
        return size <= min(self.max_tokens, self.max_characters) and text.isascii() and title.isascii()

    def _split_long(self, tokenizer: TextTokenizer, title: str, text: str) -> list[Span]:
        around = int(tokenizer.count([f"{title}." if title else ""])[0])
        room = max(MIN_ROOM, self.max_tokens - around)
        starts = tokenizer.starts(text)
        sentences = [
            piece for span in _sentences(text) for piece in _pieces(text, span, starts, room, self.max_characters)
        ]
        spans = _pack(sentences, starts, room, min(self.overlap_tokens, room // 2), self.max_characters)
        return self._halve_oversized(tokenizer, title, text, spans) if around < self.max_tokens - MIN_ROOM else spans

    def _halve_oversized(self, tokenizer: TextTokenizer, title: str, text: str, spans: list[Span]) -> list[Span]:
        """Split again what has more tokens alone than it had in context: a word cut in two, or a tokenizer that looks
        around."""
        counts = tokenizer.count([passage_text(title, text, span) for span in spans])
        if (counts <= self.max_tokens).all():
            return spans
        result: list[Span] = []
        for span, count in zip(spans, counts, strict=True):
            if count <= self.max_tokens or span[1] - span[0] < 2:
                result.append(span)
            else:
                middle = best_cut(text, span[0], (span[0] + span[1]) // 2)
                halves = [trimmed(text, span[0], middle), trimmed(text, middle, span[1])]
                result += self._halve_oversized(tokenizer, title, text, [half for half in halves if half[0] < half[1]])
        return result


def _sentences(text: str) -> list[Span]:
    """Sentences without the white space around them."""
    import nupunkt

    spans = (trimmed(text, start, end) for start, end in nupunkt.sent_spans(text))
    return [span for span in spans if span[0] < span[1]]


def _pieces(text: str, span: Span, starts: Ints, room: int, max_characters: int) -> list[Span]:
    """The span itself where it fits, else its pieces."""
    pieces = []
    start, end = span
    while start < end:
        first = int(np.searchsorted(starts, start))
        high = min(end, start + max_characters)
        if first + room < len(starts):
            high = min(high, max(start + 1, int(starts[first + room])))
        stop = end if high == end else best_cut(text, start, high)
        piece = trimmed(text, start, stop)
        if piece[0] < piece[1]:
            pieces.append(piece)
        start = stop
    return pieces


def _pack(sentences: list[Span], starts: Ints, room: int, overlap: int, max_characters: int) -> list[Span]:
    """Consecutive sentences joined greedily within `room` tokens; each passage repeats the last sentences of the one
    before within `overlap`."""
    begins = np.array([start for start, _ in sentences], dtype=np.int64)
    ends = np.array([end for _, end in sentences], dtype=np.int64)
    before = np.searchsorted(starts, begins)  # tokens before each sentence
    through = np.searchsorted(starts, ends)  # tokens up to its end

    def reach(first: int) -> int:
        """The first sentence that does not fit any more into a passage that begins with `first`."""
        in_tokens = np.searchsorted(through, before[first] + room, side="right")
        in_characters = np.searchsorted(ends, begins[first] + max_characters, side="right")
        return int(min(in_tokens, in_characters))

    spans = []
    first = fresh = 0  # where the passage begins, and its first sentence that no passage has yet
    while fresh < len(sentences):
        while first < fresh and reach(first) <= fresh:  # the overlap leaves no room for anything new
            first += 1
        stop = max(fresh + 1, reach(first))
        spans.append((int(begins[first]), int(ends[stop - 1])))
        lowest = max(first + 1, stop - OVERLAP_SENTENCES)
        fresh = first = stop
        while first > lowest and through[stop - 1] - before[first - 1] <= overlap:
            first -= 1
    return spans


@lru_cache(maxsize=4)
def _tokenizer(model: str) -> TextTokenizer:
    folder = model_folder(model)
    verify_files(folder, read_card(folder))
    return TextTokenizer.load(folder / TOKENIZER_FILE, None)
