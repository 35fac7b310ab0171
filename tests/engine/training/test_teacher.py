"""The vocabulary, the teacher's formulas and the queries, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.errors import BadInput
from engine.training.corpus import TrainingTexts
from engine.training.states import TokenStates
from engine.training.teacher import K1, B, Opinions, bm25_weights, counted, neighbors, standardized, training_queries
from engine.training.vocabulary import FRAGMENT, Vocabulary, build_vocabulary

PIECES = ["[CLS]", ".", "the", "parse", "parsing", "##ing", "tree", "via", "ox"]
# the documents: "[CLS] parsing the tree .", "[CLS] parse parsing ##ing", "[CLS] tree via ox"
IDS = np.array([0, 4, 2, 6, 1, 0, 3, 4, 5, 0, 6, 7, 8], np.int32)
INDPTR = np.array([0, 5, 9, 13])


@pytest.fixture
def vocabulary() -> Vocabulary:
    return build_vocabulary(PIECES, IDS, INDPTR, least_documents=1)


def test_words_of_a_stem_share_the_most_frequent_form(vocabulary: Vocabulary) -> None:
    assert vocabulary.term.tolist() == [-1, -1, -1, 4, 4, 5, 6, 7, 8]
    assert vocabulary.document_frequency[[4, 5, 6, 7, 8]].tolist() == [2, 1, 2, 1, 1]
    assert vocabulary.expandable.tolist() == [4, 6], "no pieces, no words of grammar, no words of two letters"
    assert build_vocabulary(PIECES, IDS, INDPTR, least_documents=3).expandable.tolist() == []


def test_idf_is_that_of_the_piece_s_term(vocabulary: Vocabulary) -> None:
    idf = vocabulary.idf
    assert idf[3] == idf[4] == pytest.approx(math.log(1 + 1.5 / 2.5))
    assert idf[5] == pytest.approx(math.log(1 + 2.5 / 1.5))
    assert idf[[0, 1, 2]].tolist() == [0, 0, 0]


def test_weights_are_bm25_s(vocabulary: Vocabulary) -> None:
    counts = counted(vocabulary, IDS, INDPTR)
    assert counts.toarray()[:, [4, 5, 6, 7, 8]].tolist() == [[1, 0, 1, 0, 0], [2, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    weights = bm25_weights(counts, vocabulary.scale).toarray()
    long = K1 * (1 - B + B * 3 / (8 / 3))
    assert weights[1, 4] == pytest.approx(2 * (K1 + 1) / (2 + long))
    assert weights[1, 5] == pytest.approx(FRAGMENT * (K1 + 1) / (1 + long))
    assert weights[0, 4] > weights[2, 6], "the shorter document gives more weight"


def test_opinions_are_bm25_with_idf_and_the_cosine(vocabulary: Vocabulary) -> None:
    dense = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    documents = TokenStates(np.zeros((len(IDS), 2), np.float16), IDS, INDPTR, dense)
    asked = TokenStates(np.zeros((3, 2), np.float16), IDS[:3], np.array([0, 1, 3]), dense[:2])
    opinions = Opinions.of(vocabulary, asked, documents)
    assert opinions.counts.toarray().tolist() == counted(vocabulary, IDS, INDPTR).toarray().tolist()
    exact, cosine = opinions.scores(np.array([1, 0]), np.array([0, 2]))
    weights, idf = bm25_weights(opinions.counts, vocabulary.scale).toarray(), vocabulary.idf
    for row, query in enumerate((1, 0)):
        terms = [int(vocabulary.term[i]) for i in IDS[asked.indptr[query] : asked.indptr[query + 1]]]
        kept = [term for term in terms if term >= 0]
        wanted = [sum(idf[term] * weights[position, term] for term in kept) for position in (0, 2)]
        assert exact[row] == pytest.approx(wanted)
    assert exact.any()
    assert cosine == pytest.approx(np.array([[0.6, 0.8], [1, 0]]))


def test_scores_are_standardized_without_the_own_document() -> None:
    scores = np.array([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]], np.float32)
    assert standardized(scores, np.array([2, 0])).tolist() == [[-1, 1, 98], [0, 0, 0]]
    whole = standardized(scores)
    assert whole[0].mean() == pytest.approx(0, abs=1e-6)
    assert whole[0].std() == pytest.approx(1)


def test_neighbors_are_the_nearest_others() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    found = neighbors(rows, 5, block=7)
    scores = rows @ rows.T
    np.fill_diagonal(scores, -np.inf)
    assert [set(row) for row in found.tolist()] == [set(row) for row in np.argsort(-scores, axis=1)[:, :5].tolist()]


def test_each_document_gives_four_queries_by_the_seed() -> None:
    text = "First we parse the trees of a forest. Then we count them all again. Results are shown for five forests."
    texts = TrainingTexts(["a", "b"], ["On trees.", "Forests"], [text, text], 0, 0, frozenset({"forests"}))
    made = training_queries(texts, [0], seed=3)
    assert made.owner.tolist() == [0] * 4
    assert "On trees" in made.texts[0]
    assert any(sentence in made.texts[1] for sentence in ("parse the trees", "count them", "five forests"))
    assert training_queries(texts, [0], seed=3).texts == made.texts
    asked = 0
    for seed in range(20):  # a title worded as a request is no longer the question
        try:
            training_queries(texts, [1], seed)
        except BadInput:
            asked += 1
    assert 5 < asked < 20
