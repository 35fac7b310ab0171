"""Markdown with optional YAML front matter: one file, one document, markup removed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.fields import build_record, guess_columns
from engine.readers.text import title_from_name
from engine.readers.textfile import is_text, read_text
from engine.types import Item, Rejected

_FRONT_MATTER = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)(?:^|\n)(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MAX_FRONT_MATTER = 32_768
_MAX_NESTING = 100


class Markdown(Reader, name="markdown"):
    """The title comes from the front matter, else from the first heading, else from the file name."""

    title = "Markdown"
    suffixes = (".md", ".markdown", ".mdown", ".mkd")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        return 0.7 if path.is_file() and path.suffix.lower() in cls.suffixes and is_text(head) else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        source = read_text(path, options)
        front, body = {}, source
        found = _FRONT_MATTER.match(source)
        if found:
            body = source[found.end() :]
            try:
                front = _front_matter(found.group(1))
            except BadInput as error:
                yield Rejected(f"{name} line 1", str(error))
        heading, text = plain_text(body)
        guesses = {guess.field: guess.column for guess in guess_columns(list(front)) if guess.field != "text"}
        get = {field: front[column] for field, column in guesses.items()}
        get["title"] = get.get("title") or heading or (title_from_name(path) if text else "")
        get["text"] = text
        get["doc_id"] = name
        rest = {
            key: value for key, value in front.items() if key not in guesses.values() or key == guesses.get("doc_id")
        }
        yield build_record(get, rest, name)


def _front_matter(text: str) -> dict[str, Any]:
    """The mapping in the front matter. Raises BadInput; aliases are refused because they multiply values without end."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

    if len(text) > _MAX_FRONT_MATTER:
        raise BadInput("the front matter is longer than 32 KB and was left out")
    yaml = YAML(typ="safe", pure=True)
    try:
        depth = 0
        for event in yaml.parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if isinstance(event, AliasEvent):
                raise BadInput("the front matter uses YAML aliases and was left out")
            if depth > _MAX_NESTING:
                raise BadInput("the front matter is nested too deeply and was left out")
        front = yaml.load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"the front matter is not valid YAML and was left out: {' '.join(str(error).split())}") from None
    return {str(key): value for key, value in front.items()} if isinstance(front, dict) else {}


def plain_text(source: str) -> tuple[str, str]:
    """(first heading, text without markup). The heading is left out of the text; blocks are paragraphs, code is kept.

    Raises BadInput where quotes and lists are nested too deeply.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": _MAX_NESTING}).enable("table")
    heading, parts, in_heading = "", list[str](), False
    tokens = parser.parse(source)
    if any(token.level >= _MAX_NESTING - 2 for token in tokens):  # the parser drops what is deeper without a word
        raise BadInput("is nested too deeply: its quotes and lists stand in one another.")
    for token in tokens:
        if token.type == "heading_open":
            in_heading = True
        elif token.type == "heading_close":
            in_heading = False
        elif token.type == "inline":
            text = _inline(token.children or [])
            if in_heading and not heading and text.strip():
                heading = text
            else:
                parts.append(text)
        elif token.type in ("fence", "code_block"):
            parts.append(token.content)
    return " ".join(heading.split()), "\n\n".join(part for part in parts if part.strip())


def _inline(tokens: list[Any]) -> str:
    texts = {"softbreak": " ", "hardbreak": "\n"}
    return "".join(
        token.content if token.type in ("text", "code_inline", "image") else texts.get(token.type, "")
        for token in tokens
    )
