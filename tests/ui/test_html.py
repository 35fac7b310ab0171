"""Everything that becomes HTML goes through `el`: nothing from the outside may become an element, an attribute or a live link."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from app.drawing.html import clean, el, join, link, pieces, prose, safe_url
from app.results.search import Piece

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "${alert(1)}",
    "[x](javascript:alert(1))",
    '"><script>alert(1)</script>',
    "' autofocus onfocus=alert(1) '",
)


class Reader(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(str(html))
    reader.close()
    return reader


@given(st.text())
def test_text_arrives_as_text(text: str) -> None:
    seen = read(el("p", text))
    assert [tag for tag, _ in seen.tags] == ["p"]
    assert seen.text == clean(text)


@given(st.text())
def test_attribute_values_stay_values(text: str) -> None:
    seen = read(el("i", title=text))
    assert seen.tags == [("i", {"title": clean(text)})]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_no_element(text: str) -> None:
    assert [tag for tag, _ in read(el("div", text, title=text, data_doc=text)).tags] == ["div"]


def test_markup_is_not_escaped_twice_and_strings_are() -> None:
    assert el("p", el("b", "a & b"), " <i>") == Markup("<p><b>a &amp; b</b> &lt;i&gt;</p>")


def test_children_may_be_nested_lists_numbers_and_nothing() -> None:
    assert el("p", ["a", [1, None, "<"]], None) == Markup("<p>a1&lt;</p>")
    assert join("<", el("br")) == Markup("&lt;<br>")


@pytest.mark.parametrize(
    "attributes",
    [
        {"onclick": "x()"},
        {"OnLoad": "x()"},
        {"a b": "x"},
        {"href": "javascript:alert(1)"},
        {"src": "//evil.example/x.js"},
    ],
)
def test_handlers_and_unsafe_links_are_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not"):
        el("a", **attributes)


def test_boolean_and_missing_attributes() -> None:
    assert el("input", checked=True, disabled=False, name=None, data_key=0) == Markup('<input checked data-key="0">')


@pytest.mark.parametrize(
    ("given_url", "target"),
    [
        ("https://example.org/a?b=1&c=2", "https://example.org/a?b=1&c=2"),
        ("http://example.org", "http://example.org"),
        ("mailto:a@example.org", "mailto:a@example.org"),
        ("10.1145/3397271.3401075", "https://doi.org/10.1145/3397271.3401075"),
        ("doi: 10.1000/<x>", "https://doi.org/10.1000/%3Cx%3E"),
        ("javascript:alert(1)", None),
        ("JaVaScRiPt:alert(1)", None),
        ("java\nscript:alert(1)", None),
        ("data:text/html,<script>", None),
        ("//evil.example", None),
        ("file:///etc/passwd", None),
        ("https:///nohost", None),
        ("https://exa mple.org", None),
        ('https://example.org/"onmouseover=x', None),
        ("", None),
    ],
)
def test_only_web_mail_and_doi_addresses_can_be_followed(given_url: str, target: str | None) -> None:
    assert safe_url(given_url) == target


def test_an_unsafe_link_is_only_its_text() -> None:
    assert link("javascript:alert(1)", "here") == Markup("<span>here</span>")
    tag, attributes = read(link("https://example.org", "here")).tags[0]
    assert (tag, attributes["rel"]) == ("a", "noopener noreferrer nofollow")


def test_direction_overrides_and_controls_do_not_reach_the_page() -> None:
    assert clean("a\u202eb\x00c\u2066d\te\ud800") == "abcd\te?"


def test_pieces_mark_by_kind_and_ignore_unknown_kinds() -> None:
    html = pieces((Piece("a<"), Piece("b", "lexical"), Piece("c", "semantic"), Piece("d", "x onclick=1")))  # type: ignore[arg-type]
    seen = read(html)
    assert [attributes["class"] for _, attributes in seen.tags] == ["m-lexical", "m-semantic"]
    assert seen.text == "a<bcd"


def test_what_a_message_quotes_is_set_as_code_and_stays_text() -> None:
    assert str(prose("Build it with `triptych index -c <x>`.")) == (
        "Build it with <code>triptych index -c &lt;x&gt;</code>."
    )
    assert str(prose("one ` alone")) == "one ` alone"
    assert str(prose("nothing in ``")) == "nothing in ``"
