"""From what a user names (files, folders, archives) to the list of things to read, in a fixed order and with nothing left out silently."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BadInput
from engine.readers.base import Reader, best_reader, read_head, readers
from engine.readers.clean import one_line

_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx", "__pycache__"})
_NAMED = {".pdf": "PDF", ".xlsx": "XLSX", ".parquet": "Parquet", ".zip": "zip"}
UNKNOWN = "its format is not known; save it as CSV, JSON lines, BibTeX, RIS, PDF, HTML, Markdown or plain text"


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to read. label: how it is shown, and its key in a journal; format: the reader's name, "" when `problem` says why there is none."""

    path: Path
    label: str
    format: str
    bytes: int
    problem: str = ""


def expand(paths: Iterable[Path | str]) -> list[Source]:
    """The sources in files and folders. A folder that is a collection by itself (BEIR, Anthology) is one source, others are walked.

    Hidden files and operating system junk are skipped; unknown files and links that leave the folder come back as
    sources with a problem. Files under a folder are sorted. Raises BadInput for a path that does not exist.
    """
    known = readers()
    sources: list[Source] = []
    for given in paths:
        path = Path(given).expanduser()
        if not path.exists():
            raise BadInput(f"{path} does not exist.")
        label = path.name or path.resolve().name or str(path)
        sources.extend(_walk(path, label, known, path.resolve()) if path.is_dir() else [_file(path, label, known)])
    return _with_unique_labels(sources)


def is_junk(name: str) -> bool:
    """Whether a file or folder name is hidden, an operating system's own, or an office lock file."""
    return name.startswith((".", "~$")) or name.lower() in _JUNK


def _walk(folder: Path, label: str, known: Mapping[str, type[Reader]], root: Path) -> Iterator[Source]:
    try:
        collection = best_reader(folder, b"", among={name: one for name, one in known.items() if one.folders})
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Source(folder, _show(label), "", 0, f"cannot be read: {error.strerror}")
        return
    if collection is not None:
        yield Source(folder, _show(label), collection.name, _folder_bytes(folder))
        return
    for entry in entries:
        path, inner = Path(entry.path), f"{label}/{entry.name}"
        if is_junk(entry.name):
            continue
        if entry.is_symlink() and not _stays_inside(path, root):
            yield Source(
                path, _show(inner), "", 0, "is a link that leads out of the folder, or nowhere, or back to where it is"
            )
        elif entry.is_dir():
            yield from _walk(path, inner, known, root)
        else:
            yield _file(path, inner, known)


def _stays_inside(link: Path, root: Path) -> bool:
    """A link may point to another place inside the folder, but not to one of its own parents (an endless walk)."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_relative_to(root) and not link.parent.resolve().is_relative_to(target)


def _file(path: Path, label: str, known: Mapping[str, type[Reader]]) -> Source:
    try:
        if not path.is_file():  # a pipe or a device would block
            return Source(path, _show(label), "", 0, "is not a regular file")
        size = path.stat().st_size
        head = read_head(path)
        reader = best_reader(path, head, among=known)
    except OSError as error:
        return Source(path, _show(label), "", 0, f"cannot be read: {error.strerror}")
    if reader is not None:
        return Source(path, _show(label), reader.name, size)
    return Source(path, _show(label), "", size, _problem(path, size))


def _problem(path: Path, size: int) -> str:
    """Why no reader takes a file."""
    if size == 0:
        return "empty: the file has no content"
    named = _NAMED.get(path.suffix.lower())
    return f"its name says {named}, but its content is something else, or cut off" if named else UNKNOWN


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _show(label: str) -> str:
    # A file name that is not valid UTF-8 arrives with surrogates, which nothing downstream can store.
    return one_line(label.encode("utf-8", "replace").decode("utf-8"))


def _with_unique_labels(sources: list[Source]) -> list[Source]:
    """Two files may share a name in different folders; labels key the journal, so the second gets its folder in front."""
    taken: set[str] = set()
    unique = []
    for source in sources:
        label, parents = source.label, list(source.path.absolute().parent.parts)
        while label in taken and len(parents) > 1:
            label = f"{parents.pop()}/{label}"
        number = 2
        while label in taken:
            label = f"{source.label} ({number})"
            number += 1
        taken.add(label)
        unique.append(Source(source.path, label, source.format, source.bytes, source.problem))
    return unique
