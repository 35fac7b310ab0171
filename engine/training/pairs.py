"""Training lists for models that score a query and a document together: questions made from the documents themselves, candidates that are
hard to tell apart, and a teacher's opinion of each.

A question is a paper's title, a sentence of its abstract, a few of its rarest words, or a need of two sentences; the words of the question are
taken out of the paper's text where they would give it away. Candidates come from BM25 and from dense vectors; the teacher adds up both scores.
A candidate whose cosine comes close to the paper's own may well be relevant, so it is no negative (Moreira et al. 2024, NV-Retriever).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.indexes.bm25 import Bm25Index, Bm25OpenIndex
from engine.training.corpus import TrainingTexts, refuse_questions
from engine.types import FloatRows, Ints

KINDS = {"title": 0.4, "sentence": 0.25, "words": 0.15, "need": 0.2}
"""Kinds of questions, and how often each is asked."""
FORMS = {"whole": 0.55, "untitled": 0.15, "opening": 0.2, "titled": 0.1}
"""How the documents of a list are written: all of it; without titles; title and first sentences; the title alone."""
ASKING = (
    "{}",
    "{}",
    "{}",
    "papers on {}",
    "what is known about {}?",
    "which work studies {}?",
    "I am looking for research about {}.",
    "methods for {}",
    "Is there any literature concerned with {}? Give references.",
    "Describe work that deals with {}.",
)
POOL = 50
K1, B = 1.2, 0.75
FALSE_NEGATIVE = 0.95
"""A candidate with more than this share of the paper's own cosine is no negative."""
TEMPERATURE = 1.5
BONUS = 1.0
"""What the paper that a question was made from gains over the teacher's opinion of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question made from the document at `position` of the training texts; `title` and `text` are what is left of that document."""

    position: int
    kind: str
    query: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class PairList:
    """A question, documents to put in order, and the teacher's logit of each; the first document is the question's own."""

    query: str
    documents: list[str]
    logits: list[float]


class Lexicon:
    """BM25 over the training texts: an opinion of each text, and how rare each word is."""

    def __init__(self, units: Sequence[str], folder: Path) -> None:
        spec = Bm25Index()
        spec.build(_Units(units), None, folder)
        self.index: Bm25OpenIndex = spec.open(folder)
        corpus = self.index.corpus()
        self.mean_length = len(corpus.tokens) / max(1, len(corpus.numbers))

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts]: BM25 of any texts, with the frequencies and the mean length of the training texts."""
        rarity = {term.term: self._rarity(term.rows) * term.times for term in self.index.terms(query)}
        scores = np.zeros(len(texts), np.float32)
        for place, text in enumerate(texts):
            terms = self.index.analyzer.query_terms(text)
            counts = Counter(term for term in terms if term in rarity)
            norm = K1 * (1 - B + B * len(terms) / self.mean_length)
            scores[place] = sum(rarity[term] * count / (count + norm) for term, count in counts.items())
        return scores

    def _rarity(self, rows: int) -> float:
        held = len(self.index.numbers)
        return math.log1p((held - rows + 0.5) / (rows + 0.5))

    def rarest(self, text: str, count: int) -> list[str]:
        """The words of a text that weigh most as index terms, in the order of the text, each once."""
        words = list(dict.fromkeys(word.strip(".,;:()[]{}'\"?!") for word in text.split()))
        rows = [min((t.rows for t in self.index.terms(word) if t.rows), default=0) for word in words]
        known = [place for place, held in enumerate(rows) if held]
        chosen = sorted(known, key=lambda place: rows[place])[:count]
        return [words[place] for place in sorted(chosen)]


class _Units:
    """The training texts as an index source."""

    def __init__(self, units: Sequence[str]) -> None:
        self._units = units

    @property
    def numbers(self) -> Ints:
        return np.arange(len(self._units), dtype=np.int64)

    def texts(self, numbers: Ints) -> list[str]:
        return [self._units[number] for number in numbers.tolist()]

    def encoder(self, model: str) -> Any:
        raise NotImplementedError("a lexical index encodes nothing")

    def scorer(self, model: str) -> Any:
        raise NotImplementedError("a lexical index scores no pairs")


def ask(texts: TrainingTexts, positions: Sequence[int], lexicon: Lexicon, rng: np.random.Generator) -> list[Question]:
    """One question made from each of these documents."""
    kinds = rng.choice(list(KINDS), len(positions), p=list(KINDS.values()))
    asked = [_ask(texts, position, str(kind), lexicon, rng) for position, kind in zip(positions, kinds, strict=True)]
    refuse_questions((question.query for question in asked), texts)
    return asked


def _ask(texts: TrainingTexts, position: int, kind: str, lexicon: Lexicon, rng: np.random.Generator) -> Question:
    title, text = texts.titles[position], texts.texts[position]
    sentences = split_sentences(text)
    wording = ASKING[int(rng.integers(len(ASKING)))]
    if kind == "sentence" and len(sentences) >= 3:
        taken = {int(rng.integers(len(sentences)))}
    elif kind == "need" and len(sentences) >= 5:
        start = int(rng.integers(len(sentences) - 1))
        taken = {start, start + 1}
    elif kind == "words":
        words = lexicon.rarest(f"{title}. {text}", int(rng.integers(6, 13)))
        kept = sorted(rng.choice(len(words), min(len(words), int(rng.integers(2, 7))), replace=False).tolist())
        return Question(position, kind, wording.format(" ".join(words[place] for place in kept)), title, text)
    else:
        return Question(position, "title", wording.format(title.rstrip(".?! ")), "", text)
    query = " ".join(sentence for place, sentence in enumerate(sentences) if place in taken)
    left = " ".join(sentence for place, sentence in enumerate(sentences) if place not in taken)
    return Question(position, kind, query, title, left)


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, found by punctuation alone: a wrong boundary now and then does no harm here."""
    return [sentence for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])", text.strip()) if sentence]


def pair_lists(
    texts: TrainingTexts,
    questions: Sequence[Question],
    lexicon: Lexicon,
    documents: FloatRows,
    encode: Callable[[Sequence[str]], FloatRows],
    rng: np.random.Generator,
    length: int = 8,
) -> list[PairList]:
    """A list of `length` documents for each question: its own, half of the rest from BM25, a quarter from dense vectors, and one at random.

    documents: float32 [training texts, dim], unit vectors of their units; encode: texts to unit vectors.
    """
    queries = encode([question.query for question in questions])
    lists = [
        _pair_list(texts, question, lexicon, documents, vector, rng, length)
        for question, vector in zip(questions, queries, strict=True)
    ]
    return judge(lists, lexicon, encode)


def _pair_list(
    texts: TrainingTexts,
    question: Question,
    lexicon: Lexicon,
    documents: FloatRows,
    vector: NDArray[np.float32],
    rng: np.random.Generator,
    length: int,
) -> PairList:
    own = question.position
    lexical, cosine = lexicon.index.scores(question.query), documents @ vector
    order = np.argpartition(-lexical, POOL)[:POOL]
    by_words = order[np.argsort(-lexical[order], kind="stable")]
    near = np.argpartition(-cosine, POOL)[:POOL]
    allowed = cosine <= max(FALSE_NEGATIVE * float(cosine[own]), float(np.median(cosine[by_words])))
    allowed[own] = False
    taken: list[int] = [own]
    for pool, upto in ((by_words, length // 2 + 1), (near, length - 1), (np.arange(len(cosine)), length)):
        open_to = np.setdiff1d(pool[allowed[pool]], taken)
        taken += rng.choice(open_to, min(len(open_to), upto - len(taken)), replace=False).tolist()
    form = "untitled" if question.kind == "title" else str(rng.choice(list(FORMS), p=list(FORMS.values())))
    written = []
    for place in taken:
        title, text = (question.title, question.text) if place == own else (texts.titles[place], texts.texts[place])
        written.append(write(title, text, form, rng))
    return PairList(question.query, written, [0.0] * len(written))


def judge(lists: Sequence[PairList], lexicon: Lexicon, encode: Callable[[Sequence[str]], FloatRows]) -> list[PairList]:
    """The lists with the teacher's logits: BM25 and cosine of the documents as they are written here, each standardized within the list."""
    queries = encode([one.query for one in lists])
    documents = encode([text for one in lists for text in one.documents])
    judged, start = [], 0
    for one, query in zip(lists, queries, strict=True):
        stop = start + len(one.documents)
        cosine = documents[start:stop] @ query
        opinion = _standardized(lexicon.scores(one.query, one.documents)) + _standardized(cosine)
        logits = TEMPERATURE * opinion
        logits[0] = max(logits[0], float(logits[1:].max())) + BONUS
        judged.append(PairList(one.query, one.documents, logits.tolist()))
        start = stop
    return judged


def _standardized(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores with the mean and deviation of all but the first, the question's own document, as origin and unit; cut at 4."""
    others = scores[1:]
    standard: NDArray[np.float32] = np.clip((scores - others.mean()) / max(float(others.std()), 1e-6), -4, 4)
    return standard


def write(title: str, text: str, form: str, rng: np.random.Generator) -> str:
    """A document in one of the forms of FORMS."""
    if form == "titled" and title:
        return title
    if form == "opening":
        sentences = split_sentences(text)
        text = " ".join(sentences[: int(rng.integers(1, 4))])
    if form == "untitled" or not title:
        return text
    return f"{title}. {text}"
