"""A pass over a query and many candidates scores as the model of pairs does, in torch and as a graph that shares the pair graph's weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="runs the originals; install the extra `export`")
pytest.importorskip("sentence_transformers", reason="runs the originals; install the extra `export`")
onnx = pytest.importorskip("onnx", reason="runs the originals; install the extra `export`")

from engine.encoders.cross import PairScorer  # noqa: E402
from engine.errors import BadInput  # noqa: E402
from engine.export.export import export_model  # noqa: E402
from engine.export.pair.model import new_pair_model, open_pair_model  # noqa: E402
from engine.export.pair.passes import read_pass  # noqa: E402
from engine.export.passes import write_pass_graph  # noqa: E402
from engine.models.card import MODEL_FILE, PASSES_FILE  # noqa: E402
from tests.models_reference.originals import TEXTS, TOKENS, write_backbone  # noqa: E402

QUERIES = ["relevant scores", "weighting of terms , and their scores ; weighting"]
DOCUMENTS = [*TEXTS[:6], "", "weighting"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved pair model with random weights: three layers, the upper two read both texts."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("pairs")
    # wide and with many words, so that its matrices are worth sharing
    words = [f"word{i}" for i in range(1_200)]
    backbone = write_backbone(home / "b", "Bert", words=words, num_hidden_layers=3, intermediate_size=96)
    model = new_pair_model(backbone, 2, TOKENS)
    torch.manual_seed(1)
    interaction = model[0].interaction
    for parameter in (interaction.segment, interaction.match, interaction.evidence.weight, interaction.gate[2].weight):
        parameter.data += 0.3 * torch.randn_like(parameter)
    model[0].learn_rarity(TEXTS)
    model.save(str(home / "saved"))
    return home / "saved"


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return open_pair_model(folder, attn_implementation="eager", dtype="float32")


def read(model: Any, query: str, documents: list[str]) -> np.ndarray:
    asked = model.tokenizer(query)["input_ids"]
    told = [model.tokenizer(text, truncation=True, max_length=TOKENS - len(asked))["input_ids"] for text in documents]
    texts = [asked, *told]
    numbers = np.repeat(np.arange(len(texts)), [len(ids) for ids in texts])
    with torch.no_grad():
        found: np.ndarray = read_pass(model[0], torch.tensor(np.concatenate(texts)), torch.tensor(numbers))[
            :, 0
        ].numpy()
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_pass_scores_as_pairs_do_in_any_company(model: Any, query: str) -> None:
    expected = model.predict([(query, text) for text in DOCUMENTS])
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(read(model, query, DOCUMENTS), expected, atol=1e-4)
    np.testing.assert_allclose(read(model, query, DOCUMENTS[::-1])[::-1], expected, atol=1e-4)
    for text, score in zip(DOCUMENTS, expected, strict=True):
        np.testing.assert_allclose(read(model, query, [text]), score, atol=1e-4)


@pytest.mark.parametrize(("precision", "share"), [("none", 1e-5), ("int8", 0.15)])
def test_the_graph_shares_the_weights_and_scores_alike(
    folder: Path, model: Any, tmp_path: Path, precision: Any, share: float
) -> None:
    card = export_model(folder, tmp_path / "out", quantise=precision, force=True, checks=TEXTS, say=lambda _: None)
    assert PASSES_FILE in card.files
    graph = onnx.load(tmp_path / "out" / PASSES_FILE, load_external_data=False).graph
    outside = [item for item in graph.initializer if item.data_location == onnx.TensorProto.EXTERNAL]
    assert {entry.value for item in outside for entry in item.external_data if entry.key == "location"} == {MODEL_FILE}
    assert any("word_embeddings" in item.name for item in outside)
    scorer = PairScorer.load(tmp_path / "out", "cpu", 1)
    for query in QUERIES:
        expected = model.predict([(query, text) for text in DOCUMENTS])
        found = scorer.passes.score(query, DOCUMENTS)
        np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.ptp(expected))
        alone = [scorer.passes.score(query, [text])[0] for text in DOCUMENTS]
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-4 * np.ptp(expected))


def test_a_graph_of_another_models_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    export_model(folder, tmp_path / "out", quantise="int8", force=True, checks=TEXTS, say=lambda _: None)
    model = open_pair_model(folder, attn_implementation="eager", dtype="float32")
    for parameter in model[0].auto_model.encoder.layer[0].parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    sample = {"input_ids": np.array([2, 9, 3, 2, 9, 8, 3]), "token_type_ids": np.array([0, 0, 0, 1, 1, 1, 1])}
    with pytest.raises(BadInput, match="does not hold the weights of this model"):
        write_pass_graph(model[0], tmp_path / "out", [sample])
