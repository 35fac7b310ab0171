"""The sentence chunker: properties over arbitrary texts, and splits that can be checked by eye."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.chunkers.base import Span, passage_text
from engine.chunkers.cuts import best_cut, splits_cluster, trimmed
from engine.chunkers.sentences import SentenceChunker
from engine.component import lookup
from engine.encoders.tokens import TextTokenizer
from engine.errors import BadInput
from engine.models.card import TOKENIZER_FILE
from engine.models.catalogue import DEFAULT_DENSE, model_folder

TOKENIZER = TextTokenizer.load(model_folder(DEFAULT_DENSE) / TOKENIZER_FILE, None)
SMALL = SentenceChunker(max_tokens=32, overlap_tokens=8, max_characters=200)

words = st.sampled_from(
    [
        "retrieval",
        "Dr. Smith",
        "et al.",
        "e.g.",
        "e\u0301",
        "日本語",
        "한국어",
        "👩‍👩‍👧",
        "🇩🇪",
        "x" * 120,
        "\ud800",
        "(",
        '"',
        "a",
    ]
)
gaps = st.sampled_from([" ", " ", " ", ". ", ". ", "! ", "\n\n", "。", "", "\t"])
texts = st.lists(st.tuples(words, gaps), max_size=150).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
) | st.text(max_size=500)
titles = st.sampled_from(["", "A title", "Attention is all you need", "日本語の題"])


def tokens(title: str, text: str, span: Span) -> int:
    return int(TOKENIZER.count([passage_text(title, text, span)])[0])


def check(chunker: SentenceChunker, title: str, text: str, spans: list[Span]) -> None:
    covered: set[int] = set()
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        covered.update(range(start, end))
        assert tokens(title, text, (start, end)) <= chunker.max_tokens
        assert end - start <= chunker.max_characters
    assert all(text[place].isspace() for place in set(range(len(text))) - covered)
    assert all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(spans))


@settings(max_examples=150, deadline=None)
@given(titles, texts)
def test_passages_are_ordered_cover_the_text_and_fit(title: str, text: str) -> None:
    check(SMALL, title, text, SMALL.split(title, text))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(titles, texts), max_size=8))
def test_many_at_once_are_split_as_each_alone(pairs: list[tuple[str, str]]) -> None:
    together = SMALL.split_many([title for title, _ in pairs], [text for _, text in pairs])
    assert together == [SMALL.split(title, text) for title, text in pairs]


def test_a_text_that_fits_stays_whole() -> None:
    text = "One sentence. " * 60
    assert SentenceChunker().split("Title", text) == [(0, len(text))]
    assert SentenceChunker().split("Title", "short") == [(0, 5)]


@pytest.mark.parametrize("text", ["", " ", "\n\t\n"])
def test_a_blank_text_has_no_passage(text: str) -> None:
    assert SentenceChunker().split("Title", text) == []


def test_splits_between_sentences_with_overlap() -> None:
    # Six tokens a sentence ("sentence number one is short ." with a number word); 32 - 2 special tokens hold five.
    numbers = ["one", "two", "three", "four", "five", "six", "seven"]
    text = " ".join(f"Sentence number {number} is short." for number in numbers)
    spans = SMALL.split("", text)
    assert [text[start:end].replace("Sentence number ", "").replace(" is short.", "") for start, end in spans] == [
        "one two three four five",
        "five six seven",
    ]


def test_no_overlap_on_request() -> None:
    text = " ".join(f"Sentence number {number} is short." for number in range(10, 40))
    spans = SentenceChunker(max_tokens=32, overlap_tokens=0).split("", text)
    assert all(one[1] < two[0] for one, two in pairwise(spans))
    assert all(text[start] == "S" and text[end - 1] == "." for start, end in spans)


def test_abbreviations_do_not_end_a_passage() -> None:
    text = " ".join(f"We follow Dr. Smith et al. in experiment {number} of this study." for number in range(30))
    spans = SMALL.split("", text)
    assert len(spans) > 10
    assert all(text[start:end].startswith("We") and text[start:end].endswith("study.") for start, end in spans)


def test_a_title_takes_its_share_of_the_budget() -> None:
    title, text = (
        "A title of quite a few words to read",
        " ".join(f"Sentence number {row} is short." for row in range(50)),
    )
    check(SMALL, title, text, SMALL.split(title, text))
    assert len(SMALL.split(title, text)) > len(SMALL.split("", text))


def test_a_title_that_fills_the_budget_still_leaves_every_word_covered() -> None:
    title, text = "word " * 40, " ".join(f"Sentence number {row} is short." for row in range(20))
    spans = SMALL.split(title, text)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(TOKENIZER.count([text[start:end]])[0] <= 16 + 2 for start, end in spans)


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("word ", 1_000_000),
        ("a", 1_000_000),
        *((unit, 100_000) for unit in ("日本", "한국어", ". ", "e.g. ", "a\n\n", "👨‍👩‍👧‍👦")),
    ],
)
def test_texts_without_sentences_are_split_in_time(unit: str, size: int) -> None:
    text = (unit * (size // len(unit) + 1))[:size]
    chunker = SentenceChunker()
    before = time.process_time()
    spans = chunker.split("Title", text)
    assert time.process_time() - before < 30
    assert len(spans) >= size // 4000
    assert (spans[0][0], spans[-1][1]) == (0, len(text.rstrip()))
    assert all(two[0] - one[1] <= 2 for one, two in pairwise(spans))
    assert TOKENIZER.count([passage_text("Title", text, span) for span in spans[:500]]).max() <= 256


def test_clusters_stay_together() -> None:
    text = ("e\u0301" * 7 + "👨‍👩‍👧" * 3 + "🇩🇪" * 5) * 60
    spans = SMALL.split("", text)
    assert len(spans) > 5
    assert not [start for start, _ in spans if splits_cluster(text, start)]


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("e\u0301x", 1, True),
        ("e\u0301x", 2, False),
        ("👩\u200d👧", 1, True),
        ("👩\u200d👧", 2, True),
        ("👍🏽", 1, True),
        ("🇩🇪🇫🇷", 1, True),
        ("🇩🇪🇫🇷", 2, False),
        ("🇩🇪🇫🇷", 3, True),
        ("\u1112\u1161\u11ab", 1, True),
        ("\ud83d\ude00", 1, True),
        ("\r\n", 1, True),
        ("ab", 1, False),
        ("ab", 0, False),
        ("ab", 2, False),
    ],
)
def test_where_a_cut_would_split_a_cluster(text: str, position: int, expected: bool) -> None:
    assert splits_cluster(text, position) is expected


def test_the_best_cut_prefers_sentence_ends_then_space() -> None:
    assert best_cut("aaaa。bb cc", 0, 10) == 8  # the sentence end is in the first half, which would leave too little
    assert best_cut("aaaa。bb cc", 0, 9) == 5
    assert best_cut("aaaaaa b cc", 0, 10) == 9
    assert best_cut("aaaaaaaaaa", 0, 6) == 6
    assert best_cut("aaaae\u0301aaa", 0, 5) == 4


def test_trimming() -> None:
    assert trimmed("  ab  ", 0, 6) == (2, 4)
    assert trimmed("     ", 1, 4) == (1, 1)


def test_is_registered_and_names_an_unknown_model() -> None:
    assert lookup("chunkers", "sentences") is SentenceChunker
    with pytest.raises(BadInput, match="nope"):
        SentenceChunker(model="nope").split("", "text " * 2000)
