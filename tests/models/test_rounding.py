"""Finished graphs in fewer bits: close to what they were, compared, refused where they are not; and when that is done instead of a conversion."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from engine.encoders.dense import DenseEncoder
from engine.errors import BadInput
from engine.export.rounding import round_model
from engine.jobs import model_add as adding
from engine.jobs.model_add import AddModel
from engine.jobs.model_plan import plan_model
from engine.models.card import read_card
from engine.models.hub.sources import local_sizes, plan
from engine.serving.engine import Engine
from engine.types import Progress
from tests.encoders.tiny import rewrite_card, write_graph, write_model
from tests.models.test_adding import original

TEXTS = [" ".join(words) for count in (1, 2, 3) for words in itertools.product(("red", "green", "blue"), repeat=count)]


def projected(folder: Path, **card: Any) -> Path:
    """A model whose token states are random rows times a random matrix, 64 wide, not deep enough to hide an error."""
    write_model(folder)
    rng = np.random.default_rng(3)
    write_graph(folder / "model.onnx", mask=True, table=rng.normal(size=(9, 64)).astype(np.float32))
    model = onnx.load(folder / "model.onnx")
    weight = rng.normal(size=(64, 64)).astype(np.float32) / 8
    model.graph.initializer.append(numpy_helper.from_array(weight, "weight"))
    model.graph.node.pop()
    model.graph.node.append(helper.make_node("MatMul", ["rows", "weight"], ["token_embeddings"]))
    onnx.save(model, folder / "model.onnx")
    return rewrite_card(folder, dimensions=64, similarity="cosine", **card)


@pytest.mark.parametrize(("quantise", "least"), [("int8", 0.999), ("int4", 0.98), ("fp16", 0.9999)])
def test_a_graph_is_rounded_and_compared(tmp_path: Path, quantise: Any, least: float) -> None:
    source = projected(tmp_path / "plain")
    heard: list[Progress] = []
    card = round_model(
        source, tmp_path / "out", quantise=quantise, samples=TEXTS, checks=TEXTS, force=True, progress=heard.append
    )
    assert card == read_card(tmp_path / "out")
    assert (card.quantisation, card.name) == (quantise, read_card(source).name)
    assert card.fingerprint != read_card(source).fingerprint
    before, after = (
        DenseEncoder.load(folder, "cpu", 1).encode_documents(TEXTS) for folder in (source, tmp_path / "out")
    )
    cosines = (before * after).sum(axis=1)
    assert cosines.mean() >= least
    # Half of what is compared are documents, which are measured here; queries have another prompt.
    assert float(card.measured["cosine lowest"]) <= cosines.min() + 1e-5
    assert card.measured["cosine count"] == 2 * len(TEXTS)
    assert (heard[0].phase, heard[-1].phase) == ("read", "compare")
    if quantise != "fp16":
        rounded = [step for step in heard if step.phase == "round"]
        assert (rounded[0].done, rounded[0].total) == (0, 1)
        names = {node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node}
        assert {"int8": "MatMulInteger", "int4": "MatMulNBits"}[quantise] in names


def test_what_changes_too_much_is_refused_unless_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = projected(tmp_path / "plain")
    monkeypatch.setattr("engine.families.dense.Dense.least_agreement", 0.99999)
    with pytest.raises(BadInput, match=r"not faithful: mean cosine 0\.9\d+ < 0\.99999.*force it"):
        round_model(source, tmp_path / "a", quantise="int4", samples=TEXTS, checks=TEXTS)
    round_model(source, tmp_path / "b", quantise="int4", samples=TEXTS, checks=TEXTS, force=True)
    with pytest.raises(BadInput, match="only float32 models"):
        round_model(tmp_path / "b", tmp_path / "c", quantise="int8")


def test_a_graph_is_rounded_where_its_weights_cannot_be_converted(tmp_path: Path) -> None:
    folder = original(tmp_path / "mine")

    def how(quantise: str | None, converts: bool = True) -> str:
        return plan(folder, local_sizes(folder), "mine", None, quantise, converts).how

    assert (how(None), how("none"), how("int8")) == ("graph", "graph", "round")
    (folder / "model.safetensors").write_bytes(b"weights")
    assert (how(None, False), how("int8"), how("int8", False)) == ("graph", "convert", "round")


def test_code_of_a_repository_is_never_run_to_convert_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "CONVERTERS", ())
    assert adding.can_convert(AddModel(source="bge-small-en-v1.5"))
    assert not adding.can_convert(AddModel(source="nomic-embed-text-v1.5"))
    assert adding.can_convert(AddModel(source="bge-small-en-v1.5", dimensions=8))


def test_the_job_rounds_in_a_child_and_publishes(tmp_path: Path) -> None:
    folder = original(tmp_path / "mine")
    planned = plan_model(AddModel(source=str(folder), local=True, quantise="int8"))
    assert (planned["how"], planned["ready"], planned["notes"]) == ("round", True, ())
    with Engine.open(tmp_path / "workspace") as engine:
        workspace = engine.workspace
        asked = {"source": str(folder), "local": True, "quantise": "int8"}
        job = engine.jobs.wait(engine.jobs.submit("model-add", "", asked), 120)
        assert (job.status, job.error) == ("done", "")
        card = workspace.models.cards()["mine"]
        assert (card.quantisation, card.pooling, card.prompts.query) == ("int8", "mean", "query: ")
        assert sorted(path.name for path in (workspace.models.folder / "mine").iterdir()) == [
            "card.json", "model.onnx", "tokenizer.json",
        ]  # fmt: skip


def test_a_finished_float32_model_is_rounded_and_another_is_refused(tmp_path: Path) -> None:
    folder = projected(tmp_path / "finished")
    with Engine.open(tmp_path / "workspace") as engine:
        workspace = engine.workspace

        def added(source: Path, **options: Any) -> Any:
            asked = {"source": str(source), "local": True, **options}
            return engine.jobs.wait(engine.jobs.submit("model-add", "", asked), 120)

        job = added(folder, name="small", quantise="int8", force=True)
        assert (job.status, job.error) == ("done", "")
        card = workspace.models.cards()["small"]
        assert (card.name, card.quantisation, card.source, card.dimensions) == ("small", "int8", "made by the test", 64)
        assert read_card(folder).quantisation == "none", "the source stays as it is"
        rounded = workspace.models.folder / "small"
        assert "only float32 ones can be rounded" in added(rounded, name="other", quantise="int4").error
        assert added(rounded, name="other", quantise="int8").status == "done", "what it is already is copied"
        left = workspace.models.folder / ".work"
        assert not left.exists() or not list(left.iterdir()), (
            "nothing stays of what failed, since nothing was downloaded"
        )
