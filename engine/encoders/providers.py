"""Which hardware runs a model: CUDA, DirectML, CoreML or the CPU, chosen automatically or on request, and said aloud."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput, Cancelled

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


SUITED = {"none": tuple(EXECUTION_PROVIDERS), "fp16": ("cuda", "directml", "coreml"), "int8": ("cpu",), "int4": ("cuda", "directml", "cpu")}  # fmt: skip
"""Where the weights of each precision have fast kernels."""


def choose_provider(requested: str, available: Sequence[str], quantisation: str = "none") -> Provider:
    """The provider to use. "auto" defers to the environment variable TRIPTYCH_PROVIDER, then takes the first available one that suits the weights.

    quantisation: as in a card. An int8 graph stays on the CPU under "auto": its integer operators have no kernels elsewhere. A known provider
    that this installation lacks falls back to the CPU with a warning. Raises BadInput on an unknown name, listing the available ones.
    """
    wanted = requested.strip().lower()
    if wanted == "auto":
        wanted = os.environ.get(ENVIRONMENT, "").strip().lower() or "auto"
    if wanted == "auto":
        return _considered(next((name for name in available if name in SUITED[quantisation]), "cpu"), quantisation)
    if wanted not in EXECUTION_PROVIDERS:
        raise BadInput(f"There is no provider {wanted!r}. Available here: auto, {', '.join(available)}.")
    if wanted not in available:
        return Provider(
            "cpu", f"Provider {wanted!r} is not part of the installed onnxruntime; running on the CPU instead."
        )
    return _considered(wanted, quantisation)


def _considered(name: str, quantisation: str) -> Provider:
    """The provider, with what the user should know of these weights on it."""
    if name in SUITED[quantisation]:
        return Provider(name)
    if quantisation == "fp16":
        return Provider(name, "A float16 model is slower on the CPU than one with int8 weights, and no more exact.")
    return Provider(name, f"An {quantisation} model gains nothing on {name!r}: its integer operators run on the CPU.")


def run_graph(session: Any, provider: str, feed: Mapping[str, NDArray[Any]], output: str) -> NDArray[np.float32]:
    """One call of a session. On CUDA the output is bound to the GPU, so that nothing but the finished array crosses the bus."""
    with _endable() as options:
        if provider != "cuda":
            plain: NDArray[np.float32] = session.run([output], dict(feed), options)[0]
            return plain
        binding = session.io_binding()
        for name, values in feed.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(values))
        binding.bind_output(output, "cuda")
        session.run_with_iobinding(binding, options)
        bound: NDArray[np.float32] = binding.copy_outputs_to_cpu()[0]
        return bound


_calls: dict[int, tuple[float, Any]] = {}
"""When each call began that runs now, and its options."""


@contextmanager
def _endable() -> Iterator[Any]:
    """The options of a call that `end_long_calls` may end. Raises Cancelled where it did."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    _calls[id(options)] = (time.monotonic(), options)
    try:
        yield options
    except Exception as error:
        if options.terminate:
            raise Cancelled("A model was stopped inside its graph, because it did not come to an end.") from error
        raise
    finally:
        del _calls[id(options)]


def end_long_calls(seconds: float) -> int:
    """End the calls that have run for at least `seconds`, at their next operator; returns how many. A graph that loops endlessly ends so, too."""
    now, ended = time.monotonic(), 0
    for began, options in list(_calls.values()):
        if now - began >= seconds:
            options.terminate = True
            ended += 1
    return ended
