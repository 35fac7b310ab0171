"""The terms of a sparse head: word pieces, those of one word stem counted as one, and the few that mean nothing left out.

A frozen body keeps its tokenizer, whose pieces know nothing of stems; BM25 without stemming loses a tenth of its quality. So pieces that are
whole words of one Snowball stem ("parse", "parsing", "parsed") share one term, named by the form that documents use most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.indexes.analyzers import ENGLISH_STOP_WORDS, analyzer
from engine.types import Ints

WORD = re.compile(r"[a-z]{2,}")
LEAST_DOCUMENTS = 3
FRAGMENT = 0.5
CLOSED = frozenset(  # words of grammar rather than of a subject: no document is expanded by them
    [
        "about",
        "above",
        "across",
        "after",
        "again",
        "against",
        "ago",
        "all",
        "almost",
        "along",
        "already",
        "also",
        "although",
        "always",
        "among",
        "another",
        "any",
        "anyone",
        "anything",
        "around",
        "away",
        "back",
        "because",
        "been",
        "before",
        "being",
        "below",
        "besides",
        "best",
        "better",
        "between",
        "beyond",
        "both",
        "can",
        "cannot",
        "could",
        "did",
        "do",
        "does",
        "done",
        "down",
        "during",
        "each",
        "either",
        "else",
        "enough",
        "especially",
        "etc",
        "even",
        "ever",
        "every",
        "everything",
        "far",
        "few",
        "first",
        "five",
        "four",
        "from",
        "further",
        "furthermore",
        "given",
        "gives",
        "giving",
        "good",
        "had",
        "has",
        "have",
        "having",
        "he",
        "hence",
        "her",
        "here",
        "him",
        "his",
        "hitherto",
        "how",
        "however",
        "instead",
        "its",
        "itself",
        "just",
        "last",
        "latter",
        "least",
        "less",
        "like",
        "likely",
        "made",
        "main",
        "mainly",
        "make",
        "makes",
        "making",
        "many",
        "may",
        "me",
        "might",
        "more",
        "moreover",
        "most",
        "much",
        "must",
        "my",
        "namely",
        "near",
        "nearly",
        "need",
        "neither",
        "never",
        "nevertheless",
        "new",
        "next",
        "nine",
        "none",
        "nor",
        "nothing",
        "now",
        "obtain",
        "obtained",
        "often",
        "old",
        "once",
        "one",
        "only",
        "onto",
        "other",
        "others",
        "otherwise",
        "our",
        "out",
        "over",
        "own",
        "part",
        "particular",
        "per",
        "perhaps",
        "possible",
        "provide",
        "provided",
        "quite",
        "rather",
        "really",
        "recently",
        "same",
        "second",
        "see",
        "seem",
        "seems",
        "seven",
        "several",
        "shall",
        "she",
        "should",
        "show",
        "shown",
        "shows",
        "similarly",
        "since",
        "six",
        "so",
        "some",
        "something",
        "sometimes",
        "still",
        "ten",
        "than",
        "them",
        "themselves",
        "therefore",
        "thereby",
        "these",
        "third",
        "those",
        "though",
        "three",
        "through",
        "throughout",
        "thus",
        "together",
        "too",
        "toward",
        "towards",
        "two",
        "under",
        "unless",
        "until",
        "up",
        "upon",
        "us",
        "use",
        "used",
        "useful",
        "using",
        "usually",
        "various",
        "very",
        "via",
        "want",
        "was",
        "way",
        "we",
        "well",
        "went",
        "were",
        "what",
        "whatever",
        "when",
        "whenever",
        "where",
        "whereas",
        "whereby",
        "wherein",
        "whether",
        "which",
        "while",
        "who",
        "whole",
        "whom",
        "whose",
        "why",
        "within",
        "without",
        "would",
        "yet",
        "you",
        "your",
    ]
)
SPECIAL = re.compile(r"\[.*\]")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What each of the tokenizer's V pieces stands for.

    term: int32 [V], the piece that stands for this one, itself where it stands for itself; -1: ignored (special tokens, punctuation, stop words).
    expandable: int64 [m], ascending, the terms that a document may be given without containing them: whole words of three or more letters.
    document_frequency: int64 [V], documents of the training text that contain the term literally; documents: how many there are.
    scale: float32 [V], what a match of the piece counts beside others: half for a word's later pieces ("##ization"), which mean little alone.
    """

    term: NDArray[np.int32]
    expandable: Ints
    document_frequency: Ints
    documents: int
    scale: NDArray[np.float32]

    @property
    def idf(self) -> NDArray[np.float32]:
        """float32 [V]: ln(1 + (n - df + ½) / (df + ½)), the weight of a piece of a query: 0 where it is ignored, its term's otherwise."""
        idf = np.log1p((self.documents - self.document_frequency + 0.5) / (self.document_frequency + 0.5))
        return np.where(self.term >= 0, idf[np.maximum(self.term, 0)], 0.0).astype(np.float32)


def build_vocabulary(pieces: Sequence[str], ids: NDArray[np.int32], indptr: Ints, least_documents: int) -> Vocabulary:
    """The vocabulary of training documents given as piece numbers (CSR); terms in fewer than `least_documents` never expand a document."""
    snowball = analyzer("english")
    counts = np.bincount(ids, minlength=len(pieces))
    stems: dict[str, list[int]] = {}
    term = np.arange(len(pieces), dtype=np.int32)
    for number, piece in enumerate(pieces):
        if SPECIAL.fullmatch(piece) or not any(map(str.isalnum, piece)) or piece in ENGLISH_STOP_WORDS:
            term[number] = -1
        elif WORD.fullmatch(piece):
            stems.setdefault(snowball.query_terms(piece)[0], []).append(number)
    for members in stems.values():
        term[members] = max(members, key=lambda number: (counts[number], -len(pieces[number]), -number))
    frequency = document_frequency(term, ids, indptr)
    words = np.array([WORD.fullmatch(one) is not None and len(one) > 2 and one not in CLOSED for one in pieces])
    stands = term == np.arange(len(pieces))
    expandable = np.flatnonzero(words & stands & (frequency >= least_documents))
    scale = np.array([FRAGMENT if piece.startswith("##") else 1.0 for piece in pieces], np.float32)
    return Vocabulary(term, expandable, frequency, len(indptr) - 1, scale)


def document_frequency(term: NDArray[np.int32], ids: NDArray[np.int32], indptr: Ints) -> Ints:
    """int64 [V]: in how many documents (piece numbers in CSR) each term occurs."""
    documents = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    terms = term[ids].astype(np.int64)
    kept = terms >= 0
    pairs = np.unique(documents[kept] * len(term) + terms[kept])
    return np.bincount(pairs % len(term), minlength=len(term))
