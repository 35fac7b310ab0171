"""Terms and their places, in many scripts; the bulk path gives the same terms."""

from __future__ import annotations

import unicodedata
from concurrent.futures import ThreadPoolExecutor

import bm25s
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.indexes.analyzers import BulkAnalysis, Token, analyzer

TEXTS = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("aB 日ภ한ｶﾞ\u0301\u200c")), max_size=40
)


def terms(name: str, text: str) -> list[str]:
    return [token.term for token in analyzer(name).tokens(text)]


def test_english_terms_and_places() -> None:
    assert analyzer("english").tokens("The Foxes' jumping, a C++ 2020s") == [
        Token("fox", 4, 9),
        Token("jump", 11, 18),
        Token("2020s", 26, 31),
    ]


@given(st.lists(st.text(st.sampled_from("abt heTHE,.'-éß19_ \n"), max_size=30), min_size=1, max_size=4))
def test_english_equals_bm25s(texts: list[str]) -> None:
    stemmer = Stemmer.Stemmer("english")
    bare = bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    assert [terms("english", text) for text in texts] == bare


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Straße ﬁne C", ["strasse", "fine", "c"]),
        ("nai\u0308ve naïve", ["naïve", "naïve"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["میخواهم"]),
        ("日本語", ["日", "日本", "本", "本語", "語"]),
        ("検索・iPhone手機", ["検", "検索", "索", "iphone", "手", "手機", "機"]),
        ("ｶﾞｷﾞ", ["ガ", "ガギ", "ギ"]),
        ("ค้น", ["ค้", "ค้น", "น"]),
        ("½", ["1", "2"]),
        ("x̄ ﷺ", ["x̄", "صلى", "الله", "عليه", "وسلم"]),
        ("… !?", []),
    ],
)
def test_any_terms(text: str, expected: list[str]) -> None:
    assert terms("any", text) == [unicodedata.normalize("NFKC", term) for term in expected]


def test_decomposed_hangul_equals_composed() -> None:
    text = "한국어 검색"
    assert terms("any", unicodedata.normalize("NFD", text)) == terms("any", text)
    assert terms("any", "검색") == ["검", "검색", "색"]


def test_queries_ask_for_pairs_or_a_lone_character() -> None:
    asked = [[token.term for token in analyzer("any").query_tokens(text)] for text in ("日本語", "癌", "癌 研究 ai")]
    assert asked == [["日本", "本語"], ["癌"], ["癌", "研究", "ai"]]


def test_matches_are_marked_and_joined() -> None:
    text = "日本語の検索: retrieval, Retrieved."
    assert analyzer("any").matches(text, {"日本", "本語", "検索"}) == [(0, 3), (4, 6)]
    assert analyzer("english").matches(text, {"retriev"}) == [(8, 17), (19, 28)]


@pytest.mark.parametrize("name", ["english", "any"])
@given(texts=st.lists(TEXTS, max_size=5))
def test_places_and_bulk_agree_with_tokens(name: str, texts: list[str]) -> None:
    how = analyzer(name)
    vocabulary: dict[str, int] = {}
    bulk = BulkAnalysis(how, vocabulary)
    bulk.add(texts)
    tokens, offsets = bulk.arrays()
    known = list(vocabulary)
    for i, text in enumerate(texts):
        found = how.tokens(text)
        assert [known[number] for number in tokens[offsets[i] : offsets[i + 1]]] == [token.term for token in found]
        assert all(0 <= token.start < token.end <= len(text) for token in found)
        assert [token.start for token in found] == sorted(token.start for token in found)
        assert all(token.term and "\n" not in token.term for token in found)


@given(TEXTS)
def test_a_text_is_found_by_each_of_its_own_words(text: str) -> None:
    how = analyzer("any")
    asked = [token.term for token in how.query_tokens(text)]
    assert how.query_terms(text) == asked
    assert set(asked) <= {token.term for token in how.tokens(text)}


def test_endless_words_are_cut() -> None:
    assert [len(term) for term in terms("any", "x" * 10_000)] == [255]
    assert [len(term) for term in terms("english", "x" * 10_000)] == [255]


def test_threads_share_an_analyzer() -> None:
    words = [f"{word}{ending}" for word in ("connect", "relat", "argu", "hop") for ending in ("ed", "ing", "ions", "")]
    expected = {word: Stemmer.Stemmer("english").stemWord(word) for word in words}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda word: terms("english", word)[0], words * 500))
    assert found == [expected[word] for word in words * 500]


def test_unknown_analyzer() -> None:
    with pytest.raises(BadInput, match="english, any"):
        analyzer("klingon")
