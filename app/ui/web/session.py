"""What a page shows, as one frozen value that lives in the address: the permalink is the state, the server keeps none."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from app.drawing.html import CONTROL

HOME = "search"
"""The page of an address that names none."""
MAX_QUERY = 8_000
MAX_NAME = 1_000  # as long as the longest id of a document
MAX_COLUMNS = 4
MAX_VALUES = 100
MAX_OPTIONS = 20
SEARCH_K = 100
COMPARE_K = 10
OPTION = re.compile(r"[a-z][a-z-]{0,20}\Z")


@dataclass(frozen=True, slots=True)
class UiState:
    """Page, collection, query, pipelines, cut-off, filters and open document. `subject` is what the open panel is about; `options`
    are what one page lets one choose and no other has, by name."""

    page: str = HOME
    collection: str = ""
    query: str = ""
    pipeline: str = ""
    columns: tuple[str, ...] = ()
    k: int = COMPARE_K
    filters: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())
    offset: int = 0
    document: str = ""
    panel: str = ""
    subject: str = ""
    options: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())

    def to_query(self) -> str:
        """The address part after `?`; what is at its default is left out."""
        pairs = [("tab", self.page)]
        pairs += [
            (key, value) for key, value in (("c", self.collection), ("q", self.query), ("p", self.pipeline)) if value
        ]
        pairs += [("col", name) for name in self.columns]
        if self.k != COMPARE_K:
            pairs.append(("k", str(self.k)))
        pairs += [(f"f.{name}", value) for name, values in self.filters for value in values]
        if self.offset:
            pairs.append(("from", str(self.offset)))
        pairs += [
            (key, value)
            for key, value in (("doc", self.document), ("panel", self.panel), ("on", self.subject))
            if value
        ]
        pairs += [(f"o.{name}", value) for name, values in self.options for value in values]
        return urlencode(pairs)

    @classmethod
    def from_query(
        cls, text: str, pages: Container[str] | None = None, panels: Container[str] | None = None
    ) -> UiState:
        """Read an address. Whatever is unknown, too long or out of range falls back to its default; it never raises.

        `pages` and `panels` are the names that are known; without them every name is taken.
        """
        try:
            pairs = parse_qsl(
                text[:100_000].removeprefix("?"), keep_blank_values=True, max_num_fields=500, errors="replace"
            )
        except ValueError:
            return cls()
        single = dict(reversed(pairs))
        filters: dict[str, list[str]] = {}
        options: dict[str, list[str]] = {}
        for key, value in pairs:
            name = plain(key[2:], MAX_NAME) if key.startswith("f.") else ""
            if name and value and len(filters.setdefault(name, [])) < MAX_VALUES:
                filters[name].append(plain(value, MAX_NAME))
            if key.startswith("o."):
                options.setdefault(key[2:], []).append(value)
        page, panel = single.get("tab", ""), single.get("panel", "")
        return cls(
            page=_known(page, pages) or HOME,
            collection=plain(single.get("c", ""), MAX_NAME),
            query=plain(single.get("q", ""), MAX_QUERY),
            pipeline=plain(single.get("p", ""), MAX_NAME),
            columns=column_names(value for key, value in pairs if key == "col"),
            k=whole(single.get("k"), 1, 100, COMPARE_K),
            filters=tidy(filters),
            offset=whole(single.get("from"), 0, 100_000, 0),
            document=plain(single.get("doc", ""), MAX_NAME),
            panel=_known(panel, panels),
            subject=plain(single.get("on", ""), MAX_NAME),
            options=chosen_options(options),
        )

    def with_(self, **changes: Any) -> UiState:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def with_filter(self, name: str, values: tuple[str, ...]) -> UiState:
        """A copy with one filter set (or, for no values, removed), back at the first result."""
        filters = {key: list(chosen) for key, chosen in self.filters if key != name}
        if values:
            filters[name] = list(values)
        return replace(self, filters=tidy(filters), offset=0)

    def values(self, name: str) -> tuple[str, ...]:
        """The chosen values of one filter."""
        return dict(self.filters).get(name, ())

    def option(self, name: str, default: str = "") -> str:
        """The first value of an option of the page."""
        return next(iter(self.option_values(name)), default)

    def option_values(self, name: str) -> tuple[str, ...]:
        """All values of an option of the page, in the order chosen."""
        return dict(self.options).get(name, ())

    def with_options(self, **changes: str | Sequence[str]) -> UiState:
        """A copy with some options set; an empty value removes one. `name_x` is written `name-x`."""
        changed = {name.replace("_", "-"): [v] if isinstance(v, str) else list(v) for name, v in changes.items()}
        return replace(self, options=chosen_options({**dict(self.options), **changed}))

    def for_services(self) -> dict[str, list[Any]] | None:
        """Filters in the form that the services take: a year range as two numbers, everything else as a list of values."""
        chosen: dict[str, list[Any]] = {name: list(values) for name, values in self.filters}
        if "year" in chosen:
            chosen["year"] = [int(value) for value in chosen["year"]]
        return chosen or None


def _known(name: str, names: Container[str] | None) -> str:
    return name if (OPTION.match(name) if names is None else name in names) else ""


def tidy(filters: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Filters in one order and without repetition, so that equal choices give equal addresses. A year range is two ordered numbers."""
    result = []
    for name, values in sorted(filters.items()):
        chosen = tuple(sorted({value for value in values if value}))
        if name == "year":
            years = sorted(int(value) for value in values if value.isascii() and value.isdigit() and len(value) <= 4)
            chosen = (str(years[0]), str(years[-1])) if years else ()
        if chosen:
            result.append((name, chosen))
    return tuple(result)


def chosen_options(options: Mapping[str, Iterable[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Options by name, each value once, in the order chosen; what is no name, empty or too much is left out."""
    result = []
    for name in sorted(name for name in options if OPTION.match(name))[:MAX_OPTIONS]:
        values = tuple(dict.fromkeys(text for value in options[name] if (text := plain(value, MAX_NAME))))[:MAX_VALUES]
        if values:
            result.append((name, values))
    return tuple(result)


def column_names(values: Any) -> tuple[str, ...]:
    """Up to four different pipeline names, in the order given."""
    return tuple(dict.fromkeys(name for value in values if (name := plain(value, MAX_NAME))))[:MAX_COLUMNS]


def plain(value: Any, most: int) -> str:
    """Text from the outside: a string of at most `most` characters without control characters or lone surrogates."""
    if not isinstance(value, str):
        return ""
    return CONTROL.sub("", value[: 4 * most]).encode("utf-8", "replace").decode("utf-8")[:most]


def whole(value: Any, low: int, high: int, default: int) -> int:
    """A whole number within bounds; `default` for anything that is not a number."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return min(high, max(low, number))
