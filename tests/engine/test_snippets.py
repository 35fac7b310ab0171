"""Snippets: the right window, marks where the terms are, nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.explain.snippets import mark, snippet
from engine.indexes.analyzers import analyzer

ENGLISH = analyzer("english")


def test_stems_are_marked_where_they_stand():
    pieces = snippet("Dense retrievers encode a passage once.", "dense retriever", ENGLISH)
    assert pieces == [("Dense", True), (" ", False), ("retrievers", True), (" encode a passage once.", False)]


def test_the_window_moves_to_the_densest_place():
    text = "filler words here. " * 60 + "Learned sparse retrieval weighs terms. " + "more filler. " * 60
    pieces = snippet(text, "learned sparse retrieval", ENGLISH)
    assert [piece for piece, hit in pieces if hit] == ["Learned", "sparse", "retrieval"]
    assert pieces[0] == ("… ", False)
    assert pieces[-1] == (" …", False)
    assert sum(len(piece) for piece, _ in pieces) <= 310


def test_without_a_match_the_beginning_is_shown():
    pieces = snippet("alpha beta " * 100, "zeta", ENGLISH)
    assert pieces[0][0].startswith("alpha beta")
    assert not any(hit for _, hit in pieces)


def test_unspaced_scripts_are_marked():
    pieces = snippet("我们研究信息检索模型。", "信息检索", analyzer("any"))
    assert "".join(piece for piece, hit in pieces if hit) == "信息检索"


def test_empty_text_and_query():
    assert snippet("", "query", ENGLISH) == []
    assert snippet("some text", "", ENGLISH) == [("some text", False)]


@given(st.text(max_size=400), st.text(max_size=30))
def test_pieces_are_a_stretch_of_the_text(text, query):
    pieces = snippet(text, query, ENGLISH, width=80)
    inner = [p for i, (p, _) in enumerate(pieces) if not (p in ("… ", " …") and i in (0, len(pieces) - 1))]
    assert "".join(inner) in text


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8))
def test_marking_loses_nothing(text, spans):
    valid = [(min(a, b), max(a, b)) for a, b in spans if max(a, b) <= len(text)]
    pieces = mark(text, valid)
    assert "".join(piece for piece, _ in pieces) == text
    marked = {i for a, b in valid for i in range(a, b)}
    at = 0
    for piece, hit in pieces:
        assert all((i in marked) == hit for i in range(at, at + len(piece)))
        at += len(piece)
