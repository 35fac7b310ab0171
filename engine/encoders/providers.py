"""Which hardware runs a model: CUDA, DirectML, CoreML or the CPU, chosen automatically or on request, and said aloud."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import BadInput

ENVIRONMENT = "TRIPTYCH_PROVIDER"
EXECUTION_PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""Names that users write, in the order in which `auto` tries them."""


@dataclass(frozen=True, slots=True)
class Provider:
    """The choice: `name` as users write it, and a warning where it is not what was asked for."""

    name: str
    warning: str = ""

    @property
    def execution_providers(self) -> list[str]:
        """What ONNX Runtime is asked for; the CPU always stands behind, for operators the hardware lacks."""
        return list(dict.fromkeys([EXECUTION_PROVIDERS[self.name], EXECUTION_PROVIDERS["cpu"]]))


def available_providers() -> list[str]:
    """Names of the providers that the installed ONNX Runtime was built with."""
    import onnxruntime

    built = onnxruntime.get_available_providers()
    return [name for name, execution in EXECUTION_PROVIDERS.items() if execution in built]


def choose_provider(requested: str, available: Sequence[str], quantised: bool = False) -> Provider:
    """The provider to use. "auto" defers to the environment variable TRIPTYCH_PROVIDER, then takes the first available one.

    An int8 graph stays on the CPU under "auto": its integer operators have no kernels elsewhere. A known provider that this installation
    lacks falls back to the CPU with a warning. Raises BadInput on an unknown name, listing the available ones.
    """
    wanted = requested.strip().lower()
    if wanted == "auto":
        wanted = os.environ.get(ENVIRONMENT, "").strip().lower() or "auto"
    if wanted == "auto":
        return Provider("cpu" if quantised or not available else available[0])
    if wanted not in EXECUTION_PROVIDERS:
        raise BadInput(f"There is no provider {wanted!r}. Available here: auto, {', '.join(available)}.")
    if wanted not in available:
        return Provider(
            "cpu", f"Provider {wanted!r} is not part of the installed onnxruntime; running on the CPU instead."
        )
    if quantised and wanted != "cpu":
        return Provider(wanted, f"An int8 model gains nothing on {wanted!r}: its integer operators run on the CPU.")
    return Provider(wanted)
