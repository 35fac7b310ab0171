"""Speeds, counted arithmetic, and the peak that they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.encoders.providers import Provider
from engine.errors import BadInput
from engine.export.speed import bench
from engine.export.speed.gemm import peak, product_graph
from engine.export.speed.operations import count_operations
from engine.models.card import read_card
from engine.models.catalogue import DEFAULT_DENSE, DEFAULT_LATE, model_folder
from engine.types import Progress
from tests.encoders.tiny import write_model
from tests.encoders.tiny_late import write_head


def test_the_product_that_is_timed_is_a_product() -> None:
    left, right = np.arange(6, dtype=np.uint8).reshape(2, 3), np.arange(12, dtype=np.int8).reshape(3, 4)
    for kind, types in (("float32", (np.float32, np.float32)), ("int8", (np.uint8, np.int8))):
        graph = product_graph(kind, right.astype(types[1]))
        onnx.checker.check_model(onnx.load_from_string(graph))
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"left": left.astype(types[0])})
        assert (found == left.astype(int) @ right.astype(int)).all()


def test_peaks_are_positive_or_absent() -> None:
    assert (peak("float32", Provider("cpu"), 1, seconds=0.01) or 0) > 0
    assert (peak("int8", Provider("cpu"), 1, seconds=0.01) or 0) > 0
    assert peak("float32", Provider("cuda"), 1, seconds=0.01) is None or "CUDAExecutionProvider" in str(
        onnxruntime.get_available_providers()
    )


def test_operations_of_a_graph_by_hand(tmp_path: Path) -> None:
    """Tokens x 5 times 5 x 7, then scores of tokens against tokens: 2 * t * 5 * 7 + 2 * t * t * 7."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["wide"]),
        helper.make_node("Transpose", ["wide"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["wide", "turned"], ["scores"]),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name)
        for name, size in (("table", (9, 5)), ("weight", (5, 7)))
    ]
    graph = helper.make_graph(nodes, "test", [ids], [output], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    given = [{"input_ids": np.arange(count)[None], "attention_mask": np.ones((1, count))} for count in (3, 4)]
    expected = sum(2 * count * 5 * 7 + 2 * count * count * 7 for count in (3, 4))
    assert count_operations(tmp_path / "model.onnx", given) == expected


def test_operations_of_the_bundled_model() -> None:
    """Six layers of 12 * 384² weights and attention over 32 tokens; the channels kept in float32 add one in a hundred."""
    plain = 6 * (24 * 384**2 * 32 + 4 * 32**2 * 384)
    found = count_operations(model_folder(DEFAULT_DENSE) / "model.onnx", [{"input_ids": np.arange(100, 132)[None]}])
    assert plain < found < 1.02 * plain


def test_a_benchmark_tells_rates_and_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "tiny")
    monkeypatch.setattr(bench, "peak", lambda kind, provider, threads: {"float32": 4e15, "int8": 9e15}[kind])
    heard: list[Progress] = []
    found = bench.bench_model(
        tmp_path / "tiny", providers=["cpu"], threads=1, documents=3, seconds=0, progress=heard.append
    )
    (speed,) = found.speeds
    assert (found.family, found.documents, speed.provider, speed.threads, speed.kind) == (
        "dense",
        3,
        "cpu",
        1,
        "float32",
    )
    assert found.tokens_per_document == 8
    assert min(speed.documents_per_second, speed.queries_per_second) > 0
    assert speed.operations_per_second == speed.documents_per_second * found.operations_per_document
    assert speed.share == speed.operations_per_second / 4e15
    assert speed.peaks == {"float32": 4e15, "int8": 9e15}
    assert (heard[0].done, heard[-1].done, heard[-1].total) == (0, 2, 2)


def test_a_peak_below_what_was_reached_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "peak", lambda *_: 1e-3)
    (speed,) = bench.bench_model(write_head(tmp_path), providers=["cpu"], threads=1, documents=2, seconds=0).speeds
    assert speed.operations_per_second > 1e-3
    assert speed.share is None


def test_a_provider_that_is_not_here_is_noted_and_left_out(tmp_path: Path) -> None:
    write_model(tmp_path / "tiny")
    missing = "coreml" if "CoreMLExecutionProvider" not in onnxruntime.get_available_providers() else "directml"
    found = bench.bench_model(tmp_path / "tiny", providers=[missing], threads=1, documents=1, seconds=0)
    assert not found.speeds
    assert found.notes[0].startswith(f"{missing}: Provider '{missing}' is not part of the installed onnxruntime")


def test_a_head_is_timed_with_its_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "peak", lambda *_: 1e9)
    found = bench.bench_model(write_head(tmp_path), providers=["cpu"], threads=1, documents=2, seconds=0)
    assert found.family == "late"
    assert found.operations_per_document > 0
    assert (found.quantisation, found.speeds[0].kind) == ("none", "float32")


def test_the_peak_of_a_head_is_that_of_its_body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "peak", lambda kind, provider, threads: {"float32": 1e15, "int8": 8e15}[kind])
    late = model_folder(DEFAULT_LATE)
    assert read_card(late).quantisation == "none"
    (speed,) = bench.bench_model(late, providers=["cpu"], threads=1, documents=1, seconds=0).speeds
    assert speed.kind == "int8"
    assert speed.share == speed.operations_per_second / 8e15


def test_no_documents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="at least one"):
        bench.bench_model(tmp_path, documents=0)
