"""The sparse encoder against weights computed by hand, with a graph of its own and as a head; and passes that encoders share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.encoders.base import Encoder
from engine.encoders.dense import DenseEncoder
from engine.encoders.opening import open_encoder
from engine.encoders.runner import StateReader, encode_together
from engine.encoders.sparse import SparseEncoder
from engine.errors import BadInput, Cancelled, WorkspaceDamaged
from engine.models.card import describe_file, read_card, write_card
from engine.types import Progress, SparseRows
from tests.encoders.tiny import TABLE, WORDS, rewrite_card, write_model, write_sparse

TEXTS = ["red", "green green blue", "", "nothing known"]
# [CLS] is (1, 0), red (4, 0), green (0, 4), blue (4, 4), [UNK] (7, 7); x gives x/2 to blue, y gives y/4 to "query:"
EXPECTED: list[dict[str, float]] = [
    {"[CLS]": 1, "red": 1, "blue": 2},
    {"[CLS]": 1, "green": 1, "blue": 3, "query:": 1},
    {"[CLS]": 1, "blue": 0.5},
    {"[CLS]": 1, "[UNK]": 1, "blue": 3.5, "query:": 1.75},
]
IDF: NDArray[np.float32] = np.array([0, 0, 0, 0, 2, 3, 0.5, 0, 1], np.float32)


def told(rows: SparseRows) -> list[dict[str, float]]:
    parts = zip(np.split(rows.terms, rows.indptr[1:-1]), np.split(rows.weights, rows.indptr[1:-1]), strict=True)
    return [{WORDS[term]: weight for term, weight in zip(*part, strict=True)} for part in parts]


@pytest.fixture
def head(tmp_path: Path) -> SparseEncoder:
    return SparseEncoder.load(write_sparse(tmp_path / "terms", body=write_model(tmp_path / "tiny")))


@pytest.fixture(params=["head", "own"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> SparseEncoder:
    body = write_model(tmp_path / "tiny") if request.param == "head" else None
    found = open_encoder(write_sparse(tmp_path / "terms", body=body))
    assert isinstance(found, SparseEncoder)
    return found


def test_weights_are_those_of_the_graph(encoder: SparseEncoder) -> None:
    assert isinstance(encoder, Encoder)
    rows = encoder.encode_documents(TEXTS)
    assert (rows.width, rows.terms.dtype, rows.weights.dtype) == (9, np.int32, np.float32)
    assert told(rows) == EXPECTED
    assert told(encoder.encode_queries(TEXTS)) == EXPECTED, "these queries pass through the model, too"
    assert len(encoder.encode_documents([])) == 0


def test_a_row_depends_on_its_text_alone(encoder: SparseEncoder) -> None:
    together = told(encoder.encode_documents(TEXTS * 20))
    assert together == EXPECTED * 20


def test_inference_free_queries_are_looked_up(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "terms", body=write_model(tmp_path / "tiny"), query_weights=IDF)
    encoder = SparseEncoder.load(folder)
    assert told(encoder.encode_queries(["red green red", "blue nothing query:", "", "passage: red"])) == [
        {"red": 2, "green": 3},
        {"blue": 0.5},
        {},
        {"red": 2, "passage:": 1},
    ]
    assert encoder.runner._session is None, "no graph was opened for it"
    assert told(encoder.encode_documents(["red"])) == EXPECTED[:1]


def amend(folder: Path) -> None:
    card = read_card(folder)
    table = describe_file(folder / "query_terms.npy")
    write_card(folder, card.model_copy(update={"files": card.files | {"query_terms.npy": table}}))


def test_tokens_may_count_as_one_term(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "terms", body=write_model(tmp_path / "tiny"), query_weights=IDF)
    terms = np.array([-1, -1, -1, -1, 4, 4, 6, 7, -1], np.int32)  # green counts as red, passage: as nothing
    np.save(folder / "query_terms.npy", terms)
    amend(folder)
    encoder = SparseEncoder.load(folder)
    assert told(encoder.encode_queries(["green red passage: blue red", "query:"])) == [{"red": 6, "blue": 0.5}, {}]
    assert [one.tolist() for one in encoder.literal_ids(["passage: green red"])] == [[4, 4]]
    assert encoder.literal_places("blue passage: green") == [(6, 0, 4), (4, 14, 19)]
    np.save(folder / "query_terms.npy", terms + 20)
    amend(folder)
    with pytest.raises(WorkspaceDamaged, match="terms, int32"):
        SparseEncoder.load(folder)


def test_what_stands_in_a_text_itself(encoder: SparseEncoder) -> None:
    ids = encoder.literal_ids(["green red green", "", "red " * 20])
    assert [one.tolist() for one in ids] == [[5, 4, 5], [], [4] * 6], "at most 8 tokens with [CLS] and [SEP]"
    assert encoder.literal_places("green  red") == [(5, 0, 5), (4, 7, 10)]
    assert encoder.terms([4, 5, 99]) == ["red", "green", ""]
    assert encoder.dropped_tokens(["red " * 20, "red"]).tolist() == [14, 0]


def test_unusable_weights_are_refused(tmp_path: Path) -> None:
    turned = SparseEncoder.load(write_sparse(tmp_path / "turned", sign=-1))
    with pytest.raises(BadInput, match="negative or not finite, first for the text 'red'"):
        turned.encode_documents(["red"])
    table = TABLE.copy()
    table[5] = np.inf
    body = write_model(tmp_path / "tiny", table=table)
    infinite = SparseEncoder.load(write_sparse(tmp_path / "terms", body=body))
    with pytest.raises(BadInput, match="'green'"):
        infinite.encode_documents(["red", "green", "green"])


@pytest.mark.parametrize(
    "weights", [IDF[:5], IDF.astype(np.float64), -IDF, np.where(IDF == 3, np.nan, IDF).astype(np.float32)]
)
def test_unusable_query_weights_are_refused(tmp_path: Path, weights: NDArray[np.float32]) -> None:
    folder = write_sparse(tmp_path / "terms", query_weights=weights)
    with pytest.raises(WorkspaceDamaged, match=r"query_weights\.npy"):
        SparseEncoder.load(folder)


def test_altered_and_missing_query_weights_are_refused(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "terms", query_weights=IDF)
    np.save(folder / "query_weights.npy", IDF * 2)
    with pytest.raises(WorkspaceDamaged, match=r"query_weights\.npy"):
        SparseEncoder.load(folder)
    other = write_sparse(tmp_path / "others", queries="inference-free")
    with pytest.raises(WorkspaceDamaged, match=r"query_weights\.npy"):
        SparseEncoder.load(other)


def test_a_head_refuses_another_body(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "terms", body=write_model(tmp_path / "tiny"))
    write_model(tmp_path / "tiny", pooling="cls")
    with pytest.raises(WorkspaceDamaged, match="another 'tiny'"):
        SparseEncoder.load(folder)
    rewrite_card(folder, name="terms", family="sparse", dimensions=9, pooling="none", body="gone", body_fingerprint="x")
    with pytest.raises(BadInput, match="gone"):
        SparseEncoder.load(folder)


def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "dense", family="sparse", pooling="none")
    with pytest.raises(WorkspaceDamaged, match="one row a text"):
        SparseEncoder.load(folder).encode_documents(["red"])


def test_one_pass_serves_all_readers_of_a_body(tmp_path: Path, head: SparseEncoder) -> None:
    dense = DenseEncoder.load(tmp_path / "tiny")
    inference_free = write_sparse(tmp_path / "lookup", body=tmp_path / "tiny", query_weights=IDF)
    encoders = [dense, head, SparseEncoder.load(inference_free)]
    assert all(isinstance(encoder, StateReader) for encoder in encoders)
    assert len({encoder.runner.pass_key for encoder in encoders}) == 1
    ran: list[int] = []
    run = dense.runner.run

    def counted(ids):  # type: ignore[no-untyped-def]
        ran.append(len(ids))
        return run(ids)

    dense.runner.run = counted  # type: ignore[method-assign]
    heard: list[Progress] = []
    vectors, terms, again = encode_together(encoders, TEXTS, heard.append)
    assert sum(ran) == len(TEXTS), "each text passed through the body once"
    np.testing.assert_array_equal(vectors, DenseEncoder.load(tmp_path / "tiny").encode_documents(TEXTS))
    assert told(terms) == told(again) == EXPECTED
    assert (heard[0].done, heard[-1].done, heard[-1].total) == (0, 4, 4)


def test_passes_with_other_prompts_or_limits_are_not_shared(tmp_path: Path, head: SparseEncoder) -> None:
    body = tmp_path / "tiny"
    others = [
        SparseEncoder.load(write_sparse(tmp_path / "prompted", body=body, prompts={"document": "passage: "})),
        SparseEncoder.load(write_sparse(tmp_path / "short", body=body, max_tokens=4)),
        SparseEncoder.load(write_sparse(tmp_path / "own")),
    ]
    assert len({encoder.runner.pass_key for encoder in [head, *others]}) == 4
    assert told(others[1].encode_documents(["red green green blue"]))[0] == {
        "[CLS]": 1,
        "red": 1,
        "green": 1,
        "blue": 2,
        "query:": 1,
    }


def test_cancel_stops_a_shared_pass(head: SparseEncoder) -> None:
    def cancel(step: Progress) -> None:
        if step.done:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        encode_together([head, head], ["red green"] * 3000, cancel)
