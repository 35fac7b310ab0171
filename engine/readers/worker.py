"""The reading child: takes one request from standard input, writes events to standard output, dies with its parent.

Run as `python -m engine.readers.worker` by `engine.readers.sandbox` and by nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.errors import BadInput
from engine.readers.archive import inner_sources, unpack
from engine.readers.base import ReaderOptions, preview, readers
from engine.readers.clean import one_line
from engine.readers.position import POSITION
from engine.readers.sources import Source
from engine.readers.wire import encode_items
from engine.system.scratch import discard
from engine.types import Item, Judgment, Query, Record, Rejected

BATCH_ITEMS = 256
BATCH_CHARS = 4_000_000


def main() -> None:
    """Serve one request and exit."""
    send = _claim_output()
    request = json.loads(_read_line())
    threading.Thread(target=_exit_with_parent, args=(request["scratch"],), daemon=True).start()
    options = ReaderOptions(**request["options"])
    limit_memory(request["memory_bytes"])
    for source in (Source(**one | {"path": Path(one["path"])}) for one in request["sources"]):
        if request["preview"]:
            _preview(source, options, request["preview"], send)
        else:
            _serve(source, options, request, send)
    send(orjson.dumps(["end"]) + b"\n")
    os._exit(0)  # a daemon thread blocked on standard input must not delay the end


def _claim_output() -> Callable[[bytes], None]:
    """Keep the pipe for events alone: whatever a library prints goes to standard error."""
    pipe = os.dup(1)
    os.dup2(2, 1)

    def send(line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(pipe, view) :]

    return send


def _read_line() -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        chunk = os.read(0, 65_536)
        if not chunk:
            os._exit(0)
        line += chunk
    return bytes(line)


def _exit_with_parent(scratch: str) -> None:
    """The parent holds the other end of standard input open for as long as it lives; what it cannot clean up any more goes too."""
    while os.read(0, 1):
        pass
    discard(scratch)
    os._exit(0)


def limit_memory(memory_bytes: int) -> None:
    """Cap the memory at `memory_bytes` beyond what is mapped now, and lower the priority, where the platform can.

    The limit is on address space, of which libraries map far more than they touch; hence not counted from zero.
    The parent's clock works everywhere.
    """
    if sys.platform == "win32":
        return
    import resource

    os.nice(5)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_bytes + _mapped_bytes()
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        return  # macOS knows the limit but does not always accept it


def _mapped_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _limit_cpu(seconds: float) -> None:
    """A last resort against code that never returns to Python, should the parent be gone: counted from now."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 5
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _serve(source: Source, options: ReaderOptions, request: dict[str, Any], send: Callable[[bytes], None]) -> None:
    """Read one source. An archive is unpacked first and its files are served one by one, so that each has its own limits."""
    finished = frozenset(request["finished"])
    if source.format != "zip" or source.problem:
        if source.label not in finished:
            _read_one(source, options, request["seconds"], send)
        return
    if source.label in request["failed"]:
        return
    folder = Path(request["scratch"]) / f"{request['numbers'][source.label]}"
    done = folder.with_suffix(".unpacked")
    found: list[Source] = []

    def unpacking() -> Iterator[Item]:
        try:
            yield from _unpacking(source, folder, options)
            found.extend(
                inner_sources(folder, source.label)
            )  # what this needs is within the limits of the archive, too
        except MemoryError:
            folder.rename(folder.with_suffix(".left"))  # to empty it would need memory again
            folder.mkdir()
            done.touch()
            raise

    if done.exists():
        found.extend(inner_sources(folder, source.label))
    else:
        # What a killed child left half unpacked is not trusted.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        quiet = source.label in finished
        _run(source, unpacking, request["seconds"], (lambda _: None) if quiet else send)
        done.touch()
    for inner in found:
        if inner.label not in finished:
            _read_one(inner, options, request["seconds"], send)


def _unpacking(source: Source, folder: Path, options: ReaderOptions) -> Iterable[Item]:
    try:
        return unpack(source.path, folder, options, source.label)
    except BadInput as error:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return [Rejected(source.label, one_line(str(error)))]


def _read_one(source: Source, options: ReaderOptions, seconds: float, send: Callable[[bytes], None]) -> None:
    counts: Counter[str] = Counter()

    def items() -> Iterator[Item]:
        if source.problem:
            yield Rejected(source.label, source.problem)
        else:
            yield from readers()[source.format]().read(source.path, options, name=source.label, counts=counts)

    _run(source, items, seconds, send, counts)


def _run(
    source: Source,
    items: Callable[[], Iterable[Item]],
    seconds: float,
    send: Callable[[bytes], None],
    counts: Counter[str] | None = None,
) -> None:
    """Send the items of one source between its two events. Whatever a parser raises costs this source and no other."""
    send(orjson.dumps(["start", source.label, source.format, source.bytes]) + b"\n")
    _limit_cpu(seconds + source.bytes / 1e6)
    tally: Counter[str] = Counter()
    POSITION.restart()
    outbox, spent = _Outbox(send, tally), False
    try:
        for item in items():
            outbox.add(item)
    except MemoryError:
        outbox.add(_failure(source, "needed more memory than one file may"))
        spent = True
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):
        raise
    except BaseException as error:  # a panic in a Rust extension derives from BaseException
        outbox.add(_failure(source, error))
    outbox.flush()
    send(orjson.dumps(["finish", source.label, tally, counts or {}]) + b"\n")
    if spent:
        os._exit(0)  # what the parser took may not all come back; the next file gets a child with nothing taken


class _Outbox:
    """Collects items into batches bounded in number and size."""

    def __init__(self, send: Callable[[bytes], None], tally: Counter[str]) -> None:
        self._send, self._tally = send, tally
        self._items: list[Item] = []
        self._chars = 0

    def add(self, item: Item) -> None:
        kind = {Record: "records", Rejected: "rejected", Query: "queries", Judgment: "judgments"}[type(item)]
        self._tally[kind] += 1
        self._items.append(item)
        self._chars += len(item.text) if isinstance(item, Record) else 100
        if len(self._items) >= BATCH_ITEMS or self._chars >= BATCH_CHARS:
            self.flush()

    def flush(self) -> None:
        items, self._items, self._chars = self._items, [], 0
        if items:
            self._send(encode_items(items, POSITION.bytes()))


def _preview(source: Source, options: ReaderOptions, n: int, send: Callable[[bytes], None]) -> None:
    """Send the first items of one source and what its columns would become."""
    items: tuple[Item, ...]
    send(orjson.dumps(["start", source.label, source.format, source.bytes]) + b"\n")
    title, guesses, available = "", list[list[str]](), list[str]()
    try:
        if source.problem:
            raise BadInput(source.problem)
        seen = preview(source.path, options, n, reader=readers()[source.format], name=source.label)
        items, title, available = seen.items, seen.title, list(seen.available)
        guesses = [[guess.field, guess.column] for guess in seen.guesses]
    except MemoryError:
        items = (_failure(source, "needed more memory than one file may"),)
    except (KeyboardInterrupt, SystemExit, BrokenPipeError):
        raise
    except BaseException as error:  # as in _run
        items = (_failure(source, error),)
    send(encode_items(list(items)))
    send(orjson.dumps(["preview", title, guesses, available]) + b"\n")


def _failure(source: Source, error: BaseException | str) -> Rejected:
    """A whole source that could not be read."""
    if isinstance(error, (str, BadInput)):
        return Rejected(source.label, one_line(str(error)))
    return Rejected(source.label, f"failed: {type(error).__name__}: {one_line(str(error))[:300]}")


if __name__ == "__main__":
    main()
