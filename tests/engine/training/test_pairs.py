"""Questions, candidates and the teacher's opinion, against the index and values computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import BadInput
from engine.testing.contracts import SENTENCES, HashEncoder
from engine.training.corpus import TrainingTexts, fold
from engine.training.pairs import (
    BONUS,
    FALSE_NEGATIVE,
    TEMPERATURE,
    Lexicon,
    PairList,
    ask,
    judge,
    pair_lists,
    split_sentences,
    write,
)

COUNT = 120
TITLES = [f"Study {i} of topic{i % 9} and item{i}" for i in range(COUNT)]
ABSTRACTS = [
    ". ".join(f"{SENTENCES[(i + j) % len(SENTENCES)]} with word{i} and part{j}" for j in range(6)) + "."
    for i in range(COUNT)
]


def made(questions: frozenset[str] = frozenset()) -> TrainingTexts:
    return TrainingTexts([f"d{i}" for i in range(COUNT)], TITLES, ABSTRACTS, 0, 0, questions)


@pytest.fixture
def lexicon(tmp_path: Path) -> Lexicon:
    return Lexicon(made().units, tmp_path)


def test_scores_of_any_text_are_those_of_the_index(lexicon: Lexicon) -> None:
    units = made().units
    for query in ("neural retrieval of topic3", "item7 item7 papers", "unknown"):
        np.testing.assert_allclose(lexicon.scores(query, units), lexicon.index.scores(query), rtol=1e-5, atol=1e-6)
    assert lexicon.scores("item7", ["", "item7", "item7 item7 item7"]).argsort().tolist() == [0, 1, 2]


def test_the_rarest_words_stand_in_the_order_of_the_text(lexicon: Lexicon) -> None:
    assert lexicon.rarest("papers about item5, and topic2 with word5", 3) == ["item5", "topic2", "word5"]
    assert lexicon.rarest("zzz", 3) == []


def test_a_question_leaves_its_words_out_of_its_document(lexicon: Lexicon) -> None:
    texts = made()
    questions = ask(texts, range(COUNT), lexicon, np.random.default_rng(3))
    assert [question.position for question in questions] == list(range(COUNT))
    assert {question.kind for question in questions} == {"title", "sentence", "need", "words"}
    for question in questions:
        title, text = texts.titles[question.position], texts.texts[question.position]
        if question.kind == "title":
            assert title in question.query
            assert (question.title, question.text) == ("", text)
        elif question.kind == "words":
            assert (question.title, question.text) == (title, text)
        else:
            asked = split_sentences(question.query)
            assert len(asked) == (1 if question.kind == "sentence" else 2)
            assert not any(sentence in question.text for sentence in asked)
            assert sorted(asked + split_sentences(question.text)) == sorted(split_sentences(text))


def test_questions_of_a_query_set_are_refused(lexicon: Lexicon) -> None:
    first = ask(made(), range(COUNT), lexicon, np.random.default_rng(3))[0].query
    with pytest.raises(BadInput, match="is a question of one of the workspace's query sets"):
        ask(made(frozenset([fold(first)])), range(COUNT), lexicon, np.random.default_rng(3))


def test_lists_hold_the_own_document_first_and_no_false_negative(lexicon: Lexicon) -> None:
    texts, encode = made(), HashEncoder(64).encode_queries
    documents = encode(texts.units)
    questions = ask(texts, range(40), lexicon, np.random.default_rng(3))
    lists = pair_lists(texts, questions, lexicon, documents, encode, np.random.default_rng(4), 8)
    again = pair_lists(texts, questions, lexicon, documents, encode, np.random.default_rng(4), 8)
    assert lists == again
    for question, one in zip(questions, lists, strict=True):
        assert one.query == question.query
        assert len(one.documents) == len(set(one.documents)) == 8
        assert one.logits[0] >= max(one.logits[1:]) + BONUS - 1e-5
        if question.kind == "title":
            cosine = documents @ encode([question.query])[0]
            own = cosine[question.position]
            pool = np.argsort(-lexicon.index.scores(question.query), kind="stable")[:50]
            limit = max(FALSE_NEGATIVE * own, np.median(cosine[pool])) + 0.05  # equal BM25 scores may pool otherwise
            assert all(cosine[texts.texts.index(text)] <= limit for text in one.documents[1:])


def test_the_teacher_adds_up_both_opinions_standardized(lexicon: Lexicon) -> None:
    encode = HashEncoder(64).encode_queries
    one = PairList("item5 topic5", ["unrelated", "item5 topic5", "topic5 here", "neither of them"], [0.0] * 4)
    (judged,) = judge([one], lexicon, encode)
    expected = np.zeros(4)
    for scores in (lexicon.scores(one.query, one.documents), encode(one.documents) @ encode([one.query])[0]):
        expected += np.clip((scores - scores[1:].mean()) / scores[1:].std(), -4, 4)
    expected *= TEMPERATURE
    expected[0] = max(expected[0], expected[1:].max()) + BONUS
    np.testing.assert_allclose(judged.logits, expected, rtol=1e-4)
    assert judged.logits[1] > judged.logits[2] > judged.logits[3]


def test_documents_are_written_in_four_forms() -> None:
    rng = np.random.default_rng(0)
    text = "One here. Two here. Three here. Four here. Five here."
    assert write("Title", text, "whole", rng) == f"Title. {text}"
    assert write("Title", text, "untitled", rng) == text
    assert write("Title", text, "titled", rng) == "Title"
    assert write("", text, "titled", rng) == text
    openings = {write("Title", text, "opening", rng) for _ in range(40)}
    assert openings == {"Title. One here.", "Title. One here. Two here.", "Title. One here. Two here. Three here."}
