"""Zip archives: unpacked into a scratch folder within limits, then read like any folder."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions, readers
from engine.readers.sources import Source, expand, is_junk
from engine.system.scratch import scratch as scratch_folder
from engine.types import Item, Rejected

_CHUNK = 1 << 20
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")


class ZipArchive(Reader, name="zip"):
    """Documents of any readable formats in a zip; archives inside it are refused."""

    title = "Zip archive"
    suffixes = (".zip",)
    risky = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if not head.startswith(_ARCHIVES):
            return 0.0
        # Word, EPUB and the like are zips too, but not archives of documents.
        if b"[Content_Types].xml" in head[:4096] or head[30:38] == b"mimetype":
            return 0.0
        return 0.8 if path.suffix.lower() == ".zip" else 0.3

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        with scratch_folder("zip") as scratch:
            yield from unpack(path, Path(scratch), options, name)
            for source in inner_sources(Path(scratch), name):
                if source.problem:
                    yield Rejected(source.label, source.problem)
                else:
                    yield from readers()[source.format]().read(source.path, options, name=source.label)


def inner_sources(folder: Path, name: str) -> list[Source]:
    """The sources in an unpacked archive, labelled "archive.zip/inner/path"; an archive in it is a source with a problem."""
    top = len(folder.name) + 1
    sources = []
    for source in expand([folder]):
        inner = source.label[top:]
        label = f"{name}/{inner}" if inner else f"{name} (contents)"
        nested = source.format == "zip" or source.path.suffix.lower() in (
            ".gz",
            ".tar",
            ".7z",
            ".rar",
            ".tgz",
            ".xz",
            ".bz2",
        )
        problem = "is an archive inside an archive; unpack it first" if nested else source.problem
        sources.append(Source(source.path, label, "" if problem else source.format, source.bytes, problem))
    return sources


def unpack(path: Path, folder: Path, options: ReaderOptions, name: str) -> list[Rejected]:
    """Unpack `path` into `folder`; the rejections are entries that were refused. Raises BadInput for a broken archive or a bomb.

    Sizes in the directory of a zip are claims, so bytes are counted while they are written. Entries never land
    outside `folder`: absolute paths, "..", drive letters and links are refused.
    """
    rejected: list[Rejected] = []
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_claims(entries, path, folder, options)
            budget = _Budget(options.expansion_limit(path.stat().st_size))
            for entry in entries:
                problem, target = _target(entry, folder)
                if target is not None:
                    problem = _write(archive, entry, target, budget)
                if problem:
                    rejected.append(Rejected(f"{name}/{entry.filename}", problem))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error) as error:
        raise BadInput(f"is not a readable zip archive: {error}") from None
    return rejected


class _Budget:
    """Bytes that an archive may still unfold to."""

    def __init__(self, left: int) -> None:
        self._left = left

    def spend(self, count: int) -> None:
        """Raises BadInput when the budget is used up."""
        self._left -= count
        if self._left < 0:
            raise BadInput("unpacks to more than it claims and more than the limit; it was not read.")


def _check_claims(entries: list[zipfile.ZipInfo], path: Path, folder: Path, options: ReaderOptions) -> None:
    if len(entries) > options.max_entries:
        raise BadInput(f"has {len(entries):,} entries; the limit is {options.max_entries:,}.")
    claimed, packed = sum(entry.file_size for entry in entries), path.stat().st_size
    limit = options.expansion_limit(packed)
    if claimed > limit:
        raise BadInput(
            f"would unpack to {claimed:,} bytes from {packed:,}; the limit is {limit:,}. It was not unpacked."
        )
    free = shutil.disk_usage(folder).free
    if claimed > free // 2:
        raise BadInput(f"needs {claimed:,} bytes to unpack; only {free:,} are free for temporary files.")


def _target(entry: zipfile.ZipInfo, folder: Path) -> tuple[str, Path | None]:
    """(reason to refuse, where to write); (“”, None) for what needs no writing."""
    name = entry.filename.replace("\\", "/")
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or any(":" in part or "\0" in part for part in parts):
        return "its path leads out of the archive", None
    if not parts or entry.is_dir() or any(is_junk(part) for part in parts):
        return "", None
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link", None
    if entry.flag_bits & 0x1:
        return "is encrypted; save it without a password", None
    return "", folder.joinpath(*parts)


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, budget: _Budget) -> str:
    """Write one entry; the reason if it is damaged, and then nothing of it stays. Raises BadInput over the budget, OSError on a full disk."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as packed, target.open("xb") as file:
            while chunk := packed.read(_CHUNK):
                budget.spend(len(chunk))
                file.write(chunk)
        return ""
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        target.unlink(missing_ok=True)
        return f"is damaged: {error}"
    except FileExistsError:
        return "stands twice in the archive"
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return f"cannot be unpacked: {error.strerror or error}"
