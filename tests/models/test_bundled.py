"""The bundled model against vectors of its original."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.encoders.dense import DenseEncoder
from engine.encoders.opening import load_encoder
from engine.errors import BadInput, WorkspaceDamaged
from engine.models.catalogue import DEFAULT_DENSE, bundled_models, model_folder
from engine.models.verify import verify_files
from tests.models.texts import TEXTS

REFERENCE = Path(__file__).parents[1] / "data" / "all-MiniLM-L6-v2-float32.npy"


@pytest.fixture(scope="module")
def encoder() -> DenseEncoder:
    return load_encoder(DEFAULT_DENSE, provider="cpu", threads=2)


def test_vectors_agree_with_the_original(encoder: DenseEncoder) -> None:
    reference = np.load(REFERENCE, allow_pickle=False)
    cosines = (encoder.encode_documents(TEXTS) * reference).sum(axis=1)
    assert cosines.min() >= 0.997, cosines


def test_vectors_are_unit_length(encoder: DenseEncoder) -> None:
    rows = encoder.encode_queries([*TEXTS, ""])
    assert rows.shape == (7, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_a_vector_does_not_depend_on_its_neighbors(encoder: DenseEncoder) -> None:
    together = encoder.encode_documents(TEXTS * 5)
    for row, text in enumerate(TEXTS):
        alone = encoder.encode_documents([text])[0]
        assert (together[row :: len(TEXTS)] == alone).all()


def test_attributions_of_the_bundled_model(encoder: DenseEncoder) -> None:
    query, text = TEXTS[0], "Stemming improves recall, not precision."
    found = encoder.token_attributions(query, text)
    score = float(encoder.encode_queries([query])[0] @ encoder.encode_documents([text])[0])
    assert sum(token.contribution for token in found.tokens) == pytest.approx(score, abs=1e-5)
    words = [text[token.start : token.end] for token in found.tokens]
    assert words[0] == words[-1] == ""
    assert words[1:5] == ["Stemming", "improves", "recall", ","]


def test_a_long_query_is_cut_at_256_tokens(encoder: DenseEncoder) -> None:
    query = "retrieval " * 10_000
    assert encoder.dropped_tokens([query]).tolist() == [10_000 - 254]
    assert np.isfinite(encoder.encode_queries([query])).all()


def test_the_card_tells_where_the_model_is_from() -> None:
    card = bundled_models()[DEFAULT_DENSE]
    assert (card.licence, card.dimensions, card.max_tokens) == ("Apache-2.0", 384, 256)
    assert card.bytes < 25_000_000
    assert card.source
    assert card.training_data
    assert {"cisi nDCG@10", "acl-litsearch nDCG@10", "cosine mean"} <= set(card.measured)
    assert (model_folder(DEFAULT_DENSE) / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(BadInput, match=rf"'nope'.*{DEFAULT_DENSE}"):
        load_encoder("nope")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder(DEFAULT_DENSE), tmp_path / "model"))


def test_one_flipped_byte_is_found_and_named(copy: Path) -> None:
    path = copy / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(WorkspaceDamaged, match=r"model\.onnx does not match the sha256.*install the model again"):
        DenseEncoder.load(copy)


def test_a_truncated_file_is_found_and_named(copy: Path) -> None:
    path = copy / "tokenizer.json"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WorkspaceDamaged, match=r"tokenizer\.json has 1,000 bytes"):
        DenseEncoder.load(copy)


@pytest.mark.parametrize("padded", [True, False], ids=["same size", "another size"])
def test_a_web_page_in_place_of_the_model_never_reaches_the_runtime(
    copy: Path, monkeypatch: pytest.MonkeyPatch, padded: bool
) -> None:
    import onnxruntime

    opened: list[object] = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **_: opened.append(args))
    path = copy / "model.onnx"
    page = b"<!DOCTYPE html><title>404: not found</title>"
    path.write_bytes(page.ljust(path.stat().st_size if padded else 0))
    with pytest.raises(WorkspaceDamaged, match=r"model\.onnx .*install the model again"):
        DenseEncoder.load(copy)
    assert not opened


def test_a_change_after_the_first_opening_is_found(copy: Path) -> None:
    card = bundled_models()[DEFAULT_DENSE]
    verify_files(copy, card)
    path = copy / "tokenizer.json"
    path.write_bytes(b"{" * path.stat().st_size)
    with pytest.raises(WorkspaceDamaged, match="sha256"):
        verify_files(copy, card)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "model.onnx").unlink()
    with pytest.raises(WorkspaceDamaged, match=r"lacks its file .*model\.onnx"):
        DenseEncoder.load(copy)


def test_products_cannot_overflow_sixteen_bits() -> None:
    """AVX2 without VNNI adds two products of uint8 and int8 in 16 bits: 2 * 255 * 64 = 32,640 fits."""
    graph = onnx.load(model_folder(DEFAULT_DENSE) / "model.onnx").graph
    tensors = {item.name: item for item in graph.initializer}
    weights = [numpy_helper.to_array(tensors[node.input[1]]) for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(weights) == 36
    assert max(np.abs(weight.astype(np.int64)).max() for weight in weights) == 64
