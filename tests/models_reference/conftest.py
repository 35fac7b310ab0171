"""These tests run the originals, so they need the packages of the extra `export`; without them nothing here is collected."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

MISSING = [name for name in ("torch", "sentence_transformers", "onnx") if find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The libraries' own deprecations are not this project's to mend; its own warnings stay errors."""
    for item in items:
        if "models_reference" in item.nodeid:
            for module in ("torch", "transformers", "sentence_transformers", "onnxruntime", "onnx"):
                item.add_marker(pytest.mark.filterwarnings(rf"ignore:::{module}(\..*)?"))
