"""Reading and writing the files of an index: plain .npy arrays, a JSON description and lines of text; nothing that can execute."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from engine.errors import StorageFull, WorkspaceDamaged
from engine.types import Ints

INFO = "info.json"
NUMBERS = "numbers.npy"

M = TypeVar("M", bound=BaseModel)


def save_array(folder: Path, name: str, values: NDArray[Any]) -> None:
    """Write one array and check its size on disk. Raises StorageFull."""
    save_blocks(folder, name, values.dtype, values.shape, [values])


def save_blocks(
    folder: Path, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
) -> None:
    """Write an array that need not fit in memory, block after block along its first axis.

    Written through a file and not a memory map, which would end the process on a full disk. Raises StorageFull.
    """
    path = folder / name
    try:
        with path.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).data.cast("B") if block.size else b"")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StorageFull(
            f"Writing {name} of an index failed ({error}). Free some space and build the index again."
        ) from error
    expected = start + int(np.prod(shape)) * dtype.itemsize
    if path.stat().st_size != expected:
        raise StorageFull(f"{name} of an index was not written completely. Free some space and build the index again.")


_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    OverflowError,
    MemoryError,
    SyntaxError,
    TypeError,
    TokenError,
    DeprecationWarning,
)
"""What numpy raises on a file that is no array any more. SyntaxError, TypeError and TokenError come from a header that is no
longer Python; DeprecationWarning, where warnings are errors, from one that names a type which numpy gives up."""


def load_array(
    folder: Path, name: str, dtype: type[np.generic], shape: tuple[int | None, ...], *, mapped: bool = False
) -> Any:
    """Open one array, in memory or memory-mapped, after checking its type, its shape (None: any length) and its size on disk.

    Raises WorkspaceDamaged.
    """
    path = folder / name
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except _UNREADABLE as error:
        raise damaged(folder, f"{name} cannot be read ({error})") from error
    fits = len(values.shape) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, values.shape, strict=True)
    )
    if values.dtype != np.dtype(dtype) or not fits or not values.flags.c_contiguous:
        raise damaged(folder, f"{name} holds {values.dtype} {values.shape} instead of {np.dtype(dtype)} {shape}")
    if path.stat().st_size != values.offset + values.nbytes:
        raise damaged(folder, f"{name} has {path.stat().st_size} bytes instead of {values.offset + values.nbytes}")
    return values if mapped else np.array(values)


def load_numbers(folder: Path, rows: int) -> Ints:
    """The unit number of each row, ascending. Raises WorkspaceDamaged."""
    numbers: Ints = load_array(folder, NUMBERS, np.int64, (rows,))
    if not ascending(numbers):
        raise damaged(folder, f"{NUMBERS} is not ascending")
    return numbers


def save_info(folder: Path, info: BaseModel) -> None:
    """Write the description of an index."""
    (folder / INFO).write_text(info.model_dump_json(indent=1), encoding="utf-8")


def load_info(folder: Path, schema: type[M]) -> M:
    """Read and check the description of an index. Raises WorkspaceDamaged."""
    try:
        return schema.model_validate(json.loads((folder / INFO).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, ValidationError) as error:
        raise damaged(folder, f"{INFO} cannot be read ({error})") from error


def described(folder: Path, schema: type[M], about: Any) -> M:
    """A part of the description of an index that is someone's own. Raises WorkspaceDamaged."""
    try:
        return schema.model_validate(about)
    except ValidationError as error:
        raise damaged(folder, f"{INFO} cannot be read ({error})") from error


def damaged(folder: Path, what: str) -> WorkspaceDamaged:
    """The error for a file that is not what was written."""
    return WorkspaceDamaged(f"The index in {folder.name} is damaged: {what}. Build it again.")


def ascending(numbers: Ints) -> bool:
    """Whether the numbers rise strictly."""
    return bool((numbers[1:] > numbers[:-1]).all())


def positions(numbers: Ints, wanted: Ints) -> Ints:
    """Where each of `wanted` stands in the ascending `numbers`; -1 where it is absent."""
    if not len(numbers):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return np.where(numbers[at] == wanted, at, -1)
