"""Token vectors of tiny models, computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.encoders.late import LateEncoder, Token
from engine.errors import BadInput, WorkspaceDamaged
from engine.types import Progress
from tests.encoders.tiny import write_model
from tests.encoders.tiny_late import write_head, write_late


def test_every_token_has_a_vector(tmp_path: Path) -> None:
    encoder = LateEncoder.load(write_late(tmp_path / "m"))
    rows = encoder.encode_documents(["red", "", "blue green , red red red red red"])
    assert rows.indptr.tolist() == [0, 3, 5, 13]
    assert rows.ids.tolist() == [2, 7, 3, 2, 3, 2, 9, 8, 10, 7, 7, 7, 3], "[CLS] and [SEP] too; cut at 8 tokens"
    np.testing.assert_array_equal(rows.vectors[:3], [[23, 5], [73, 10], [33, 6]])  # 3 tokens attended to
    np.testing.assert_array_equal(rows.vectors[3:5], [[22, 4], [32, 5]])
    assert (str(rows.vectors.dtype), str(rows.ids.dtype), str(rows.indptr.dtype)) == ("float32", "int32", "int64")
    assert encoder.dropped_tokens(["red", "red " * 10], "document").tolist() == [0, 4]


def test_punctuation_is_skipped_in_documents_only(tmp_path: Path) -> None:
    encoder = LateEncoder.load(write_late(tmp_path / "m", skipped_tokens="punctuation"))
    rows = encoder.encode_documents(["red, green.", ",."])
    assert rows.ids.tolist() == [2, 7, 8, 3, 2, 3]
    assert rows.vectors[1].tolist() == [76, 13], "what is skipped was read all the same: 6 tokens attended to"
    assert encoder.encode_queries(["red, green."]).ids.tolist() == [2, 7, 10, 8, 11, 3]
    assert encoder.tokens("red, green.", "document") == [
        Token("[CLS]", 0, 0),
        Token("red", 0, 3),
        Token("green", 5, 10),
        Token("[SEP]", 0, 0),
    ]


def test_queries_are_padded_with_masks_that_nobody_attends_to(tmp_path: Path) -> None:
    encoder = LateEncoder.load(write_late(tmp_path / "m", query_padding="mask", max_query_tokens=5))
    rows = encoder.encode_queries(["red", "red red red red red"])
    assert rows.indptr.tolist() == [0, 5, 10]
    assert rows.ids.tolist() == [2, 7, 3, 4, 4, 2, 7, 7, 7, 3], "filled up to 5 tokens, and cut there"
    assert rows.vectors[:5, 1].tolist() == [5, 10, 6, 7, 7], "3 tokens are attended to, not 5"
    assert encoder.encode_documents(["red"]).indptr.tolist() == [0, 3]
    assert encoder.tokens("red", "query")[2:] == [Token("[SEP]", 0, 0), *[Token("[MASK]", 0, 0)] * 2]
    assert encoder.dropped_tokens(["red red red red red"]).tolist() == [2]


def test_markers_are_one_token_and_have_no_place_in_the_text(tmp_path: Path) -> None:
    prompts = {"query": "[unused0] ", "document": "[unused1] "}
    encoder = LateEncoder.load(write_late(tmp_path / "m", prompts=prompts))
    assert encoder.encode_queries(["red"]).ids.tolist() == [2, 5, 7, 3]
    assert encoder.encode_documents(["red"]).ids.tolist() == [2, 6, 7, 3]
    assert encoder.tokens("red", "document")[1:3] == [Token("[unused1]", 0, 0), Token("red", 0, 3)]
    plain = LateEncoder.load(write_late(tmp_path / "plain", prompts={"query": "green "}))
    assert plain.encode_queries(["red"]).ids.tolist() == [2, 8, 7, 3]


def test_a_head_reads_the_states_of_its_body(tmp_path: Path) -> None:
    encoder = LateEncoder.load(write_head(tmp_path / "head"))
    rows = encoder.encode_documents(["red blue"])
    np.testing.assert_array_equal(rows.vectors, [[1, 0, 1], [4, 0, 4], [4, 4, 8], [0, 1, 1]])
    unit = LateEncoder.load(write_head(tmp_path / "unit", similarity="cosine"))
    np.testing.assert_allclose(unit.encode_queries(["blue"]).vectors[1], np.array([1, 1, 2]) / 6**0.5, rtol=1e-6)
    assert encoder.runner.pass_key == unit.runner.pass_key
    assert encoder.fingerprint != unit.fingerprint


def test_a_head_refuses_another_body(tmp_path: Path) -> None:
    folder = write_head(tmp_path / "head")
    write_model(tmp_path / "body", name="body", max_tokens=7)
    with pytest.raises(WorkspaceDamaged, match="another 'body'"):
        LateEncoder.load(folder)


def test_a_row_depends_on_its_text_alone_and_progress_is_heard(tmp_path: Path) -> None:
    for attention in (True, False):
        encoder = LateEncoder.load(write_late(tmp_path / f"m{attention}", attention=attention, similarity="cosine"))
        texts = ["red", "green blue red", "", "blue , red . green"]
        heard: list[Progress] = []
        rows = encoder.encode_documents(texts, heard.append)
        assert (heard[-1].done, heard[-1].total) == (4, 4)
        np.testing.assert_allclose(np.linalg.norm(rows.vectors, axis=1), 1, atol=1e-6)
        for position, text in enumerate(texts):
            alone = encoder.encode_documents([text])
            np.testing.assert_array_equal(
                alone.vectors, rows.vectors[rows.indptr[position] : rows.indptr[position + 1]]
            )
            assert len(encoder.tokens(text, "document")) == len(alone.vectors)
    assert len(encoder.encode_documents([])) == 0


def test_unusable_vectors_and_cards_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "nan", family="late", pooling="none", table=np.full((9, 2), np.nan, np.float32))
    with pytest.raises(BadInput, match=r"not finite.*'red'"):
        LateEncoder.load(folder).encode_documents(["red"])
    maskless = write_model(tmp_path / "t", family="late", pooling="none", query_padding="mask", max_query_tokens=5)
    with pytest.raises(WorkspaceDamaged, match="mask tokens"):
        LateEncoder.load(maskless)
    damaged = write_late(tmp_path / "damaged")
    (damaged / "model.onnx").write_bytes((damaged / "model.onnx").read_bytes()[:-1])
    with pytest.raises(WorkspaceDamaged, match="bytes"):
        LateEncoder.load(damaged)
