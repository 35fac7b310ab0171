"""Proof that a model's files are the ones its card names, before native code reads them."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.errors import WorkspaceDamaged
from engine.models.card import ModelCard, describe_file

_lock = threading.Lock()
_hashes: dict[tuple[str, int, int, int], str] = {}


def verify_files(folder: Path, card: ModelCard) -> None:
    """Compare size and sha256 of every file with the card; hashes are kept for the process, keyed by path, inode, size and time of change.

    Raises WorkspaceDamaged that names the file and the remedy.
    """
    for name, expected in card.files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise WorkspaceDamaged(f"Model {card.name!r} lacks its file {path}; install the model again.")
        size = path.stat().st_size
        if size != expected.bytes:
            raise WorkspaceDamaged(
                f"Model {card.name!r} is damaged: {path} has {size:,} bytes, its card says {expected.bytes:,}; delete {folder} and install the model again."
            )
        if _sha256(path) != expected.sha256:
            raise WorkspaceDamaged(
                f"Model {card.name!r} is damaged: the content of {path} does not match the sha256 in its card; delete {folder} and install the model again."
            )


def _sha256(path: Path) -> str:
    stat = path.stat()
    key = (str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _lock:
        if key not in _hashes:
            _hashes[key] = describe_file(path).sha256
        return _hashes[key]
