"""The choice of hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.encoders.providers import Provider, available_providers, choose_provider, run_graph
from engine.errors import BadInput
from tests.encoders.tiny import write_model


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_PROVIDER", raising=False)


def test_auto_takes_the_first_available() -> None:
    assert choose_provider("auto", ["cuda", "cpu"]) == Provider("cuda")
    assert choose_provider("auto", ["cpu"]) == Provider("cpu")


def test_auto_keeps_int8_on_the_cpu() -> None:
    assert choose_provider("auto", ["cuda", "cpu"], "int8") == Provider("cpu")


@pytest.mark.parametrize(
    ("quantisation", "available", "chosen"),
    [
        ("fp16", ["cuda", "cpu"], "cuda"),
        ("fp16", ["coreml", "cpu"], "coreml"),
        ("fp16", ["cpu"], "cpu"),
        ("int4", ["cuda", "cpu"], "cuda"),
        ("int4", ["coreml", "cpu"], "cpu"),
        ("int8", ["cuda", "directml", "cpu"], "cpu"),
        ("none", ["directml", "cpu"], "directml"),
        ("none", [], "cpu"),
    ],
)
def test_auto_takes_what_suits_the_weights(quantisation: str, available: list[str], chosen: str) -> None:
    assert choose_provider("auto", available, quantisation).name == chosen


def test_float16_on_the_cpu_is_said_to_be_slow() -> None:
    assert "float16" in choose_provider("auto", ["cpu"], "fp16").warning
    assert not choose_provider("cpu", ["cpu"], "int4").warning


def test_the_environment_decides_under_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_PROVIDER", "CPU ")
    assert choose_provider("auto", ["cuda", "cpu"]).name == "cpu"
    assert choose_provider("cuda", ["cuda", "cpu"]).name == "cuda"


def test_a_missing_provider_falls_back_aloud() -> None:
    chosen = choose_provider("directml", ["cpu"])
    assert chosen.name == "cpu"
    assert "'directml' is not part of" in chosen.warning


def test_int8_on_request_elsewhere_is_warned_about() -> None:
    chosen = choose_provider("cuda", ["cuda", "cpu"], "int8")
    assert chosen.name == "cuda"
    assert "int8" in chosen.warning


def test_an_unknown_provider_lists_the_available() -> None:
    with pytest.raises(BadInput, match=r"'tpu'.*auto, cuda, cpu"):
        choose_provider("tpu", ["cuda", "cpu"])


def test_the_cpu_always_stands_behind() -> None:
    assert Provider("cuda").execution_providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert Provider("cpu").execution_providers == ["CPUExecutionProvider"]
    assert "cpu" in available_providers()


class Binding:
    """What ONNX Runtime calls an I/O binding, watched."""

    def __init__(self) -> None:
        self.inputs: dict[str, NDArray[Any]] = {}
        self.output = ("", "")

    def bind_cpu_input(self, name: str, values: NDArray[Any]) -> None:
        self.inputs[name] = values

    def bind_output(self, name: str, device: str) -> None:
        self.output = (name, device)

    def copy_outputs_to_cpu(self) -> list[NDArray[Any]]:
        return [self.inputs["input_ids"] * 2.0]


class Session:
    """A session that says how it was called."""

    def __init__(self) -> None:
        self.bound: Binding | None = None

    def io_binding(self) -> Binding:
        return Binding()

    def run_with_iobinding(self, binding: Binding, options: Any) -> None:
        self.bound = binding

    def run(self, outputs: list[str], feed: dict[str, NDArray[Any]], options: Any) -> list[NDArray[Any]]:
        assert outputs == ["states"]
        return [feed["input_ids"] * 3.0]


def test_outputs_are_bound_to_the_gpu_and_nowhere_else() -> None:
    ids = np.arange(6, dtype=np.int64).reshape(2, 3)
    session = Session()
    assert (run_graph(session, "cuda", {"input_ids": ids.T}, "states") == ids.T * 2).all()
    assert session.bound is not None
    assert session.bound.output == ("states", "cuda")
    assert session.bound.inputs["input_ids"].flags["C_CONTIGUOUS"]
    for provider in ("cpu", "directml", "coreml"):
        assert (run_graph(session, provider, {"input_ids": ids}, "states") == ids * 3).all()


def test_the_real_binding_gives_what_a_plain_call_gives(tmp_path: Path) -> None:
    """On the CPU in place of a GPU, through the library's own binding."""
    import onnxruntime

    write_model(tmp_path / "tiny")
    session = onnxruntime.InferenceSession(str(tmp_path / "tiny" / "model.onnx"), providers=["CPUExecutionProvider"])

    class OnCpu:
        def io_binding(self) -> Any:
            binding = session.io_binding()
            bind_output = binding.bind_output
            binding.bind_output = lambda name, _: bind_output(name, "cpu")
            return binding

        run_with_iobinding = session.run_with_iobinding

    feed = {"input_ids": np.array([[2, 4, 3]]), "attention_mask": np.ones((1, 3), np.int64)}
    plain = run_graph(session, "cpu", feed, "token_embeddings")
    assert plain.shape == (1, 3, 2)
    assert (run_graph(OnCpu(), "cuda", feed, "token_embeddings") == plain).all()
