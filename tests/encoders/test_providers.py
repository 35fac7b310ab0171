"""The choice of hardware."""

from __future__ import annotations

import pytest

from engine.encoders.providers import Provider, available_providers, choose_provider
from engine.errors import BadInput


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_PROVIDER", raising=False)


def test_auto_takes_the_first_available() -> None:
    assert choose_provider("auto", ["cuda", "cpu"]) == Provider("cuda")
    assert choose_provider("auto", ["cpu"]) == Provider("cpu")


def test_auto_keeps_int8_on_the_cpu() -> None:
    assert choose_provider("auto", ["cuda", "cpu"], quantised=True) == Provider("cpu")


def test_the_environment_decides_under_auto_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_PROVIDER", "CPU ")
    assert choose_provider("auto", ["cuda", "cpu"]).name == "cpu"
    assert choose_provider("cuda", ["cuda", "cpu"]).name == "cuda"


def test_a_missing_provider_falls_back_aloud() -> None:
    chosen = choose_provider("directml", ["cpu"])
    assert chosen.name == "cpu"
    assert "'directml' is not part of" in chosen.warning


def test_int8_on_request_elsewhere_is_warned_about() -> None:
    chosen = choose_provider("cuda", ["cuda", "cpu"], quantised=True)
    assert chosen.name == "cuda"
    assert "int8" in chosen.warning


def test_an_unknown_provider_lists_the_available() -> None:
    with pytest.raises(BadInput, match=r"'tpu'.*auto, cuda, cpu"):
        choose_provider("tpu", ["cuda", "cpu"])


def test_the_cpu_always_stands_behind() -> None:
    assert Provider("cuda").execution_providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert Provider("cpu").execution_providers == ["CPUExecutionProvider"]
    assert "cpu" in available_providers()
