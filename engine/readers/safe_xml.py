"""XML from strangers: no network, no entities, no unlimited trees. Every problem is an error with a line number."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from engine.errors import BadInput
from engine.readers.position import POSITION

Element: TypeAlias = Any  # lxml ships no types


def elements(path: Path, tags: tuple[str, ...]) -> Iterator[Element]:
    """Each finished element called one of `tags`, in file order. Raises BadInput for malformed XML and for any declared entity.

    A document that declares entities is refused before its content is read: nested entities unfold without end
    ("billion laughs"), external ones read other files. libxml2's own limits on depth and size stay on.
    """
    from lxml import etree

    with path.open("rb") as file:
        POSITION.watch(file)
        context = etree.iterparse(
            file, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
            remove_comments=True, remove_pis=True,
        )  # fmt: skip
        try:
            checked = False
            for event, element in context:
                if not checked:
                    _refuse_entities(element)
                    checked = True
                if event == "end" and element.tag in tags:
                    yield element
        except etree.XMLSyntaxError as error:
            if wants_memory(error):
                raise MemoryError from None
            raise BadInput(f"is not well-formed XML: {error.msg}") from None


def wants_memory(error: Any) -> bool:
    """Whether an error of lxml, or an entry of its log, is that libxml2 found no memory; its message is only "unknown error"."""
    from lxml import etree

    return bool(getattr(error, "code", getattr(error, "type", None)) == etree.ErrorTypes.ERR_NO_MEMORY)


def _refuse_entities(element: Element) -> None:
    dtd = element.getroottree().docinfo.internalDTD
    if dtd is not None and next(iter(dtd.iterentities()), None) is not None:
        raise BadInput("declares XML entities, which can unfold without end or read other files; it was not read.")


def inner_text(element: Element | None) -> str:
    """The text of an element and everything inside it, markup dropped; "" for None."""
    if element is None:
        return ""
    if not len(element):
        return element.text or ""
    return "".join(element.itertext())
