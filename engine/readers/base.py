"""What every reader is: a component that recognizes a format and yields records one after another."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

from pydantic import BaseModel, ConfigDict, Field

from engine.component import Component, discover
from engine.errors import BadInput
from engine.readers.clean import (
    clean_id,
    clean_metadata,
    excerpt,
    one_line,
    paragraphs,
    strip_controls,
    visible,
    web_address,
)
from engine.types import Item, Judgment, Query, Record, Rejected

HEAD_BYTES = 65_536
FIELDS = ("doc_id", "title", "text", "authors", "year", "venue", "url")


class ReaderOptions(BaseModel):
    """How files are read. The limits bound what one file can cost; a row beyond them is rejected, never cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(default={}, description="field -> column name; overrides the guessed columns")
    encoding: str | None = Field(default=None, description="text encoding; None: detected")
    max_text_chars: int = Field(default=10_000_000, ge=1, description="longest text of one document or cell")
    max_rows: int | None = Field(default=None, ge=1, description="stop after so many items; None: all")
    max_pages: int = Field(default=5_000, ge=1, description="most pages of one PDF")
    max_expanded_bytes: int = Field(
        default=8_000_000_000, ge=1, description="most bytes one compressed file may unfold to"
    )
    max_expansion: int = Field(
        default=100, ge=1, description="most times its size a compressed file over 100 MB may unfold to"
    )
    max_entries: int = Field(default=200_000, ge=1, description="most entries of one zip archive")

    def check_columns(self) -> None:
        """Raises BadInput when `columns` names a field that does not exist."""
        unknown = sorted(set(self.columns) - set(FIELDS))
        if unknown:
            raise BadInput(
                f"There is no field called {unknown[0]!r}. Fields that a column can be given to: {', '.join(FIELDS)}."
            )

    def expansion_limit(self, packed_bytes: int) -> int:
        """Bytes that a file of `packed_bytes` may unfold to; small files may always reach 100 MB."""
        return min(self.max_expanded_bytes, max(100_000_000, self.max_expansion * packed_bytes))


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """The column that a field is read from, before the user overrides it."""

    field: str
    column: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a source would become: its label, format (reader name) and the format's title, the first items, which column feeds which field, all columns."""

    source: str
    format: str
    title: str
    items: tuple[Item, ...]
    guesses: tuple[ColumnGuess, ...]
    available: tuple[str, ...]


class Reader(Component, family="readers"):
    """A file format. A new one implements `sniff` and `parse`; cleaning, ids, empty documents and limits are done here."""

    title: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = ()
    risky: ClassVar[bool] = False  # parsed by native code or a format that can unfold: only ever in the child process
    folders: ClassVar[bool] = False  # can take a whole folder as one source

    @classmethod
    @abstractmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        """Confidence 0..1 that `path` is of this format; `head` holds its first 64 KB (empty for a folder)."""

    @abstractmethod
    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        """Yield raw items in file order; `name` is how places call the file. May raise BadInput or OSError for the rest of the file."""

    def columns(self, path: Path, options: ReaderOptions) -> tuple[list[ColumnGuess], list[str]]:
        """Guessed columns and all available ones; both empty where the format has no columns."""
        return [], []

    def read(
        self,
        path: Path,
        options: ReaderOptions | None = None,
        *,
        name: str | None = None,
        counts: Counter[str] | None = None,
    ) -> Iterator[Item]:
        """Yield the cleaned items of `path`; whatever cannot be read becomes a Rejected with its place. `counts` collects what cleaning removed."""
        options = options or ReaderOptions()
        options.check_columns()
        name = one_line(name or path.name)
        counts = Counter() if counts is None else counts
        done = 0
        try:
            for item in self.parse(path, options, name):
                yield finish(item, options, counts)
                done += 1
                if done == options.max_rows:
                    return
        except BadInput as error:
            yield Rejected(name, one_line(str(error)))
        except UnicodeError as error:
            yield Rejected(
                name,
                f"is not text in one encoding throughout ({one_line(str(error))}); save it as UTF-8 and add it again",
            )
        except OSError as error:
            yield Rejected(name, f"cannot be read: {one_line(error.strerror or str(error))}")
        except RecursionError:
            yield Rejected(name, "is nested too deeply")


def finish(item: Item, options: ReaderOptions, counts: Counter[str]) -> Item:
    """Clean one item; an empty or oversized record becomes a Rejected, one without an id gets a stable one from its content."""
    if isinstance(item, Record):
        return _finish_record(item, options, counts)
    place = one_line(item.place)
    if isinstance(item, Rejected):
        return Rejected(place, one_line(item.reason), excerpt(item.excerpt))
    if isinstance(item, Query):
        qid, text = clean_id(item.qid, counts), one_line(item.text, counts)
        if not qid or not text:
            return Rejected(place, "a query needs an id and a text", excerpt(item.text or item.qid))
        return Query(qid, text, clean_metadata(item.metadata, counts), place)
    qid, doc_id = clean_id(item.qid, counts), clean_id(item.doc_id, counts)
    if not qid or not doc_id:
        return Rejected(place, "a judgment needs a query id and a document id")
    return Judgment(qid, doc_id, item.rating, place)


def _finish_record(record: Record, options: ReaderOptions, counts: Counter[str]) -> Record | Rejected:
    place = one_line(record.place)
    size = len(record.text) + len(record.title)
    if size > options.max_text_chars:
        return Rejected(
            place, f"its text has {size:,} characters; the limit is {options.max_text_chars:,}", excerpt(record.text)
        )
    title, text = one_line(record.title, counts), paragraphs(record.text, counts)
    if not visible(title) and not visible(text):
        return Rejected(place, "empty: it has neither a title nor a text", excerpt(record.doc_id))
    metadata = clean_metadata(record.metadata, counts)
    url = web_address(strip_controls(record.url, counts)) if record.url else ""
    if record.url and not url:
        metadata.setdefault("link", one_line(record.url))
    return replace(
        record,
        doc_id=clean_id(record.doc_id, counts) or content_id(title, text),
        title=title,
        text=text,
        authors=tuple(name for name in (one_line(author, counts) for author in record.authors) if name),
        venue=one_line(record.venue, counts),
        url=url,
        metadata=metadata,
        place=place,
    )


def content_id(title: str, text: str) -> str:
    """A stable id for a row that has none: the same content gets the same id wherever it stands."""
    return hashlib.blake2b(f"{title}\0{text}".encode(), digest_size=8).hexdigest()


def readers() -> Mapping[str, type[Reader]]:
    """All readers by name."""
    return cast("dict[str, type[Reader]]", discover("readers"))


def read_head(path: Path) -> bytes:
    """The first 64 KB of a file; b"" for a folder."""
    if path.is_dir():
        return b""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def best_reader(path: Path, head: bytes, *, among: Mapping[str, type[Reader]] | None = None) -> type[Reader] | None:
    """The reader with the highest confidence, None if no reader has any; ties go to the first name."""
    known = readers() if among is None else among
    scored = [(reader.sniff(path, head), reader) for reader in known.values()]
    confidence, reader = max(scored, key=lambda pair: pair[0], default=(0.0, None))
    return reader if confidence > 0 else None


def detect(path: Path) -> type[Reader]:
    """The reader for a file or folder, by content as well as name. Raises BadInput that names the known formats."""
    if not path.exists():
        raise BadInput(f"{path} does not exist.")
    head = read_head(path)
    reader = best_reader(path, head)
    if reader is None:
        what = "is empty" if path.is_file() and not head else "has a format that is not known"
        raise BadInput(f"{path} {what}. Known formats: {', '.join(one.title for one in readers().values())}.")
    return reader


def preview(
    path: Path,
    options: ReaderOptions | None = None,
    n: int = 5,
    *,
    reader: type[Reader] | None = None,
    name: str | None = None,
) -> Preview:
    """The first `n` items and the guessed columns. Parses in this process: call `sandbox.preview_in_child` for a user's file."""
    options = options or ReaderOptions()
    kind = reader or detect(path)
    instance = kind()
    items = tuple(instance.read(path, options.model_copy(update={"max_rows": n}), name=name))
    try:
        guesses, available = instance.columns(path, options)
    except (BadInput, OSError, UnicodeError):
        guesses, available = [], []  # the items already say what is wrong
    return Preview(name or path.name, kind.name, kind.title, items, tuple(guesses), tuple(available))
