"""The versions of the libraries whose file formats and arithmetic an index depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("numpy", "polars", "duckdb", "hnswlib", "onnxruntime", "tokenizers", "pystemmer")


def library_versions() -> dict[str, str]:
    """Installed version by name, with Python's; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
