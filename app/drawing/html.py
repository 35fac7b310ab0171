"""The one place where text becomes HTML: everything is escaped here, once, and nowhere else.

Views build pages from `el`, which escapes every child and attribute that is not already Markup made by `el`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from markupsafe import Markup, escape

from app.results.search import Piece

Child: TypeAlias = "str | int | Markup | Iterable[Child] | None"

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})
SHAPES = frozenset({"path", "rect", "circle", "line"})
"""Drawn elements without content: a browser takes them as open unless they close themselves."""
ATTRIBUTE = re.compile(r"[a-z][a-zA-Z0-9-]*\Z")
SAFE_URL = re.compile(r"(?:https?://[^\s/?#\\]|mailto:[^\s@]+@)", re.IGNORECASE)
DOI = re.compile(r"(?:doi:\s*)?(10\.\d{4,9}/\S+)\Z", re.IGNORECASE)
QUOTED = re.compile(r"`([^`\n]+)`")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def el(name: str, /, *children: Child, **attributes: Any) -> Markup:
    """An element. `class_` is written `class`, `data_x` is written `data-x`; None and False drop an attribute, True writes it bare.

    Raises ValueError for event-handler attributes and for `href` values that are not safe links.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        if attribute.startswith("on") or not ATTRIBUTE.match(attribute):
            raise ValueError(f"attribute {attribute!r} is not allowed")
        if attribute in ("href", "src") and not _internal(str(value)) and not SAFE_URL.match(str(value)):
            raise ValueError(f"{attribute} is not a safe link")
        parts.append(f" {attribute}" if value is True else f' {attribute}="{escape(clean(str(value)))}"')
    parts.append("/>" if name in SHAPES else ">")
    if name not in VOID | SHAPES:
        _write(children, parts)
        parts.append(f"</{name}>")
    return Markup("".join(parts))  # noqa: S704 - the parts were escaped above


def join(*children: Child) -> Markup:
    """Children one after another, without an element around them."""
    parts: list[str] = []
    _write(children, parts)
    return Markup("".join(parts))  # noqa: S704 - the parts were escaped by _write


def _write(children: Iterable[Child], parts: list[str]) -> None:
    for child in children:
        if child is None or child is False:
            continue
        if isinstance(child, Markup):
            parts.append(str(child))
        elif isinstance(child, str):
            parts.append(str(escape(clean(child))))
        elif isinstance(child, int | float):
            parts.append(str(child))
        else:
            _write(child, parts)


def clean(text: str) -> str:
    """Without control and direction-override characters, which could reorder or hide what is on the page, and without lone surrogates."""
    return CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8")


def _internal(url: str) -> bool:
    return url.startswith(("?", "#")) or (url.startswith("/") and not url.startswith(("//", "/\\")))


def safe_url(url: str) -> str | None:
    """The link if it may be followed: http, https, mailto, or a DOI (which becomes https://doi.org/…). None for anything else."""
    url = clean(url).strip()
    if match := DOI.match(url):
        return f"https://doi.org/{quote(match.group(1), safe='/:;()._-')}"
    return url if SAFE_URL.match(url) and not re.search(r"[\s<>\"\\^`{|}]", url) else None


def link(url: str, /, *children: Child, **attributes: Any) -> Markup:
    """A link that opens in a new tab, or only its text when the address is not safe to follow."""
    target = safe_url(url)
    if target is None:
        return el("span", *children, **attributes)
    return el(
        "a",
        *children,
        href=target,
        target="_blank",
        rel="noopener noreferrer nofollow",
        referrerpolicy="no-referrer",
        **attributes,
    )


def pieces(runs: Sequence[Piece]) -> Markup:
    """Snippet text with its matches marked by kind."""
    titles = {"lexical": "A term of the query", "semantic": "Weighs in the semantic match"}
    return join(
        el("mark", run.text, class_=f"m-{run.mark}", title=titles[run.mark]) if run.mark in titles else run.text
        for run in runs
    )


def prose(text: str) -> Markup:
    """A message whose commands and names, written between backticks, are set as code."""
    return join(el("code", part) if i % 2 else part for i, part in enumerate(QUOTED.split(text)))


def classes(*names: str | bool | None) -> str:
    """Class names joined, empty ones left out."""
    return " ".join(name for name in names if isinstance(name, str) and name)
