"""Analyzers: from text to index terms, with the place of each term in the text so that a match can be marked."""

from __future__ import annotations

import re
import threading
import unicodedata
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterable
from functools import cache, cached_property, lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput, MissingDependency
from engine.types import Ints

MAX_TERM = 255  # characters kept of one term, as in Lucene
CACHED_QUERY_WORDS = 1 << 14
CACHED_SURFACE = 32  # longer spellings are rare; remembering them would only cost memory

# Lucene's classic English list, the one that most published BM25 baselines use.
_ENGLISH = (
    "a an and are as at be but by for if in into is it no not of on or such "
    "that the their then there these they this to was will with"
)
ENGLISH_STOP_WORDS = frozenset(_ENGLISH.split())

# Scripts written without spaces between words (Thai to Myanmar, Khmer, kana, Han, Hangul), which are indexed by character pairs.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
JOINERS = "\u00ad\u200c\u200d"  # soft hyphen, zero-width non-joiner and joiner: inside words, never part of a term
WITHOUT_JOINERS = dict.fromkeys(map(ord, JOINERS))


class Token(NamedTuple):
    """An index term and the characters [start, end) of the text that it stands for."""

    term: str
    start: int
    end: int


class Analyzer(ABC):
    """Turns text into terms. Documents and queries go through the same analyzer; thread-safe."""

    name: str

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Equal fingerprints give equal terms; an index stores it and refuses others."""

    @property
    @abstractmethod
    def pattern(self) -> re.Pattern[str]:
        """What a surface form is: the stretch of text that `split` turns into terms. Has no capturing group."""

    @abstractmethod
    def split(self, surface: str) -> list[Token]:
        """The terms of one surface form, with places relative to it; a stop word has none."""

    def query_split(self, surface: str) -> list[Token]:
        """The terms of one surface form of a query."""
        return self.split(surface)

    def tokens(self, text: str) -> list[Token]:
        """The terms of a document in reading order, with their places."""
        found = ((match.start(), self.split(match.group())) for match in self.pattern.finditer(text))
        return [Token(term, at + start, at + end) for at, tokens in found for term, start, end in tokens]

    def query_tokens(self, text: str) -> list[Token]:
        """The terms of a query in reading order, with their places."""
        found = ((match.start(), self.query_split(match.group())) for match in self.pattern.finditer(text))
        return [Token(term, at + start, at + end) for at, tokens in found for term, start, end in tokens]

    def query_terms(self, text: str) -> list[str]:
        """The terms of a query in reading order."""
        return list(chain.from_iterable(map(self._terms_of_surface, self.pattern.findall(text))))

    @cached_property
    def _terms_of_surface(self) -> Callable[[str], tuple[str, ...]]:
        """Remembers what recent query words became; a search spends longer on stemming than on a rare word's postings."""
        return lru_cache(CACHED_QUERY_WORDS)(lambda surface: tuple(token.term for token in self.query_split(surface)))

    def matches(self, text: str, terms: Collection[str]) -> list[tuple[int, int]]:
        """The stretches [start, end) of `text` that match one of `terms`, ascending, overlapping ones joined."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted((start, end) for term, start, end in self.tokens(text) if term in terms):
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined


class EnglishAnalyzer(Analyzer):
    """Words of two or more characters, lower case, without stop words, stemmed by Snowball English (Porter 2)."""

    name = "english"
    pattern = re.compile(r"\w\w+")

    def __init__(self) -> None:
        try:
            import Stemmer
        except ImportError as error:
            raise MissingDependency('The analyzer "english" needs PyStemmer: pip install PyStemmer') from error
        self._stemmer = Stemmer.Stemmer("english")
        self._version = Stemmer.version()
        self._lock = threading.Lock()  # a Snowball stemmer keeps state between calls

    @property
    def fingerprint(self) -> str:
        return f"english/1 snowball/{self._version} unicode/{unicodedata.unidata_version}"

    def split(self, surface: str) -> list[Token]:
        word = surface[:MAX_TERM].lower()
        if word in ENGLISH_STOP_WORDS:
            return []
        with self._lock:
            return [Token(self._stemmer.stemWord(word), 0, len(surface))]


class AnyAnalyzer(Analyzer):
    """Words of any language, NFKC and case-folded; no stop words, no stemming.

    Scripts without spaces give single characters and adjacent pairs in documents, pairs in queries (a lone character stays itself),
    so that a two-character word asks for the pair alone and a one-character word is still found.
    """

    name = "any"

    @property
    def fingerprint(self) -> str:
        return f"any/1 unicode/{unicodedata.unidata_version}"

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        marks = _combining_marks()
        unspaced = rf"(?:(?=[{UNSPACED}])[\w{marks}]|(?<=[{UNSPACED}])[{marks}])+"
        # `[^\W...]` is a word character outside those scripts; marks and joiners continue a word but never start one.
        word = rf"[^\W{UNSPACED}](?:[^\W{UNSPACED}]|(?![{UNSPACED}])[{marks}{JOINERS}])*"
        return re.compile(f"{unspaced}|{word}")

    @cached_property
    def _unspaced(self) -> re.Pattern[str]:
        return re.compile(f"[{UNSPACED}]")

    @cached_property
    def _characters(self) -> re.Pattern[str]:
        """One written character: a conjoining Hangul syllable, or a base with the marks (and half-width voicing signs) on it."""
        marks = _combining_marks()
        return re.compile(
            rf"[\u1100-\u115f]+[\u1160-\u11a7]*[\u11a8-\u11ff]*[{marks}]*|.[{marks}\uff9e\uff9f]*", re.DOTALL
        )

    def split(self, surface: str) -> list[Token]:
        if not self._unspaced.match(surface):
            return self._words(surface)
        singles = self._singles(surface)
        return sorted([*singles, *_pairs(singles)], key=lambda token: token.start)

    def query_split(self, surface: str) -> list[Token]:
        if not self._unspaced.match(surface):
            return self._words(surface)
        singles = self._singles(surface)
        return _pairs(singles) or singles

    def _words(self, surface: str) -> list[Token]:
        """One word; a compatibility character can stand for several (one half is 1 and 2)."""
        folded = _fold(surface)
        if folded.isascii() and folded.isalnum():
            return [Token(folded[:MAX_TERM], 0, len(surface))]
        return [Token(word[:MAX_TERM], 0, len(surface)) for word in self.pattern.findall(folded)]

    def _singles(self, surface: str) -> list[Token]:
        found = self._characters.finditer(surface)
        tokens = [Token(_fold(character.group()), *character.span()) for character in found]
        return [token for token in tokens if token.term]


ANALYZERS: dict[str, type[Analyzer]] = {"english": EnglishAnalyzer, "any": AnyAnalyzer}


@cache
def analyzer(name: str) -> Analyzer:
    """The analyzer called `name`. Raises BadInput that lists the known names, MissingDependency without its stemmer."""
    if name not in ANALYZERS:
        raise BadInput(f"There is no analyzer called {name!r}. Known: {', '.join(ANALYZERS)}.")
    return ANALYZERS[name]()


class BulkAnalysis:
    """Analyzes many documents into flat term numbers. `vocabulary` (term to number) grows in place, in order of first appearance."""

    def __init__(self, analyzer: Analyzer, vocabulary: dict[str, int]) -> None:
        self._surfaces = _Surfaces(analyzer, vocabulary)
        self._find = analyzer.pattern.findall
        self._tokens = array("i")
        self._ends = array("q", [0])

    def add(self, texts: Iterable[str]) -> None:
        """Analyze more documents."""
        tokens, ends, numbers, find = self._tokens, self._ends, self._surfaces.__getitem__, self._find
        for text in texts:
            tokens.extend(chain.from_iterable(map(numbers, find(text))))
            ends.append(len(tokens))

    def arrays(self) -> tuple[NDArray[np.int32], Ints]:
        """tokens: int32, all documents on end; offsets: int64 [documents + 1], where each document starts."""
        return np.array(self._tokens, np.int32), np.array(self._ends, np.int64)


class _Surfaces(dict[str, tuple[int, ...]]):
    """Term numbers of each surface form: folding, stop words and stemming happen once per spelling, not once per occurrence."""

    def __init__(self, analyzer: Analyzer, vocabulary: dict[str, int]) -> None:
        super().__init__()
        self._split = analyzer.split
        self._vocabulary = vocabulary

    def __missing__(self, surface: str) -> tuple[int, ...]:
        vocabulary = self._vocabulary
        numbers = tuple(vocabulary.setdefault(token.term, len(vocabulary)) for token in self._split(surface))
        if len(surface) <= CACHED_SURFACE and len(numbers) <= 2:  # a run of unspaced text rarely comes twice
            self[surface] = numbers
        return numbers


def _fold(text: str) -> str:
    """Case and compatibility folded (Unicode 3.13, toNFKC_Casefold without the ignorables table), joiners dropped."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(WITHOUT_JOINERS)


def _pairs(singles: list[Token]) -> list[Token]:
    """Adjacent characters of a run, joined."""
    return [Token(a.term + b.term, a.start, b.end) for a, b in pairwise(singles)]


@cache
def _combining_marks() -> str:
    """All combining marks as ranges of a character class: `\\w` leaves them out, yet they are letters' parts in many scripts."""
    marks = [code for code in range(0x300, 0x20000) if unicodedata.category(chr(code)).startswith("M")]
    marks += range(0xE0100, 0xE01F0)  # variation selectors, which choose a glyph of a Han character
    starts = [code for code, before in zip(marks, [-2, *marks], strict=False) if code != before + 1]
    ends = [code for code, after in zip(marks, [*marks[1:], -2], strict=True) if code + 1 != after]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
