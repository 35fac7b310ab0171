"""Cleaning: what is removed, what is counted, what stays."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.readers.base import ReaderOptions, content_id, finish
from engine.readers.clean import (
    clean_id,
    clean_metadata,
    one_line,
    paragraphs,
    parse_year,
    person_name,
    split_names,
    strip_controls,
    unwrap,
    web_address,
)
from engine.types import Judgment, Query, Record, Rejected


def test_each_kind_of_control_character_is_removed_and_counted() -> None:
    counts: Counter[str] = Counter()
    dirty = "a\x00b\x00 c\x07d \x85\ud800e \u202ef\u2066g\ufeff"
    assert one_line(dirty, counts) == "ab cd e fg"
    assert counts == {
        "NUL": 2,
        "control characters": 1,
        "lone surrogates": 1,
        "bidi controls": 2,
        "byte order marks": 1,
    }


def test_misread_quotation_marks_are_restored_and_counted() -> None:
    counts: Counter[str] = Counter()
    assert one_line("the \x93tool\x94 is ELRA\x92s", counts) == "the \u201ctool\u201d is ELRA\u2019s"
    assert counts == {"misread punctuation": 3}


def test_text_becomes_nfc_also_where_removal_joins_a_mark_to_its_base() -> None:
    assert strip_controls("e\u0301") == "\u00e9"
    assert strip_controls("e\x00\u0301") == "\u00e9"


@given(st.text(alphabet=st.characters(codec=None)))
def test_cleaning_is_idempotent_and_leaves_nothing_to_clean(text: str) -> None:
    cleaned = paragraphs(text)
    again: Counter[str] = Counter()
    assert paragraphs(cleaned, again) == cleaned
    assert not again
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not [c for c in cleaned if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")]
    cleaned.encode()  # no lone surrogate is left


def test_paragraph_breaks_stay_and_spaces_collapse() -> None:
    assert paragraphs("  a \t b\r\nc\r\r\r\rd  ") == "a b\nc\n\nd"
    assert unwrap("one\ntwo\n \nthree\n four") == "one two\n\nthree four"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        ("  x\x00y ", "xy"),
        (None, ""),
        (True, "True"),
        ("a" * 600, "a" * 512),
        (10**30, "1" + "0" * 30),
    ],
)
def test_ids_are_text(value: object, expected: str) -> None:
    assert clean_id(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2019, 2019), (2019.0, 2019), ("2019-03", 2019), ("March 1999", 1999), ("20190315", 2019), (dt.date(2001, 2, 3), 2001),
        ("c. 1000", 1000), (2101, None), (999, None), ("12345", None), ("", None), (None, None), (True, None), (float("nan"), None),
        ("pages 3-17", None), ("2100/01", 2100), (10**400, None), (-(10**400), None), (float("inf"), None), (2019.5, None),
    ],
)  # fmt: skip
def test_years(value: object, expected: int | None) -> None:
    assert parse_year(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Perlis, A. J.; Samelson,K.", ("A. J. Perlis", "K. Samelson")),
        ("Ann Lee, Bo Ray", ("Ann Lee", "Bo Ray")),
        ("Lee, Ann", ("Ann Lee",)),
        ("Ann Lee and Bo Ray", ("Ann Lee", "Bo Ray")),
        ("Ann Lee, Bo Ray, and Cy Dow", ("Ann Lee", "Bo Ray", "Cy Dow")),
        (["Lee, Ann", "Bo Ray"], ("Ann Lee", "Bo Ray")),
        ([{"first": "Ann", "last": "Lee"}, {"name": "Bo Ray"}], ("Ann Lee", "Bo Ray")),
        ("", ()),
        (None, ()),
    ],
)
def test_author_lists(value: object, expected: tuple[str, ...]) -> None:
    assert split_names(value) == expected


def test_suffixes_of_names_follow_the_last_name() -> None:
    assert person_name("King, Jr., Martin Luther") == "Martin Luther King Jr."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://x.org/a?b=c", "https://x.org/a?b=c"),
        ("10.1000/182", "https://doi.org/10.1000/182"),
        ("doi: 10.1000/182", "https://doi.org/10.1000/182"),
        ("www.x.org", "https://www.x.org"),
        ("javascript:alert(1)", ""),
        ('https://x.org/"onclick=1', ""),
        ("data:text/html,x", ""),
    ],
)
def test_only_web_addresses_become_links(value: str, expected: str) -> None:
    assert web_address(value) == expected


def test_metadata_is_plain_json_and_bounded() -> None:
    counts: Counter[str] = Counter()
    raw = {
        "a\x00": "b\x00",
        "n": float("inf"),
        "day": dt.date(2020, 1, 2),
        "big": 2**70,
        "empty": "",
        "t": ("x", None),
        3: b"x",
    }
    assert clean_metadata(raw, counts) == {"a": "b", "day": "2020-01-02", "big": str(2**70), "t": ["x"]}
    assert counts == {"NUL": 2}
    nested: dict[str, object] = {}
    inner = nested
    for _ in range(1000):
        inner["x"] = {}
        inner = inner["x"]  # type: ignore[assignment]
    assert clean_metadata(nested) == {}
    shared: list[object] = ["x"]
    for _ in range(60):  # 2**60 values through sharing
        shared = [shared, shared]
    assert clean_metadata({"a": shared, "b": 1}) == {"b": 1}


def test_a_record_without_an_id_gets_one_from_its_content() -> None:
    done = finish(Record("", "A title", "text", place="f row 2"), ReaderOptions(), Counter())
    assert done == Record(content_id("A title", "text"), "A title", "text", place="f row 2")
    assert content_id("A title", "text") != content_id("A titlet", "ext")


def test_a_link_that_is_no_web_address_is_kept_as_metadata_only() -> None:
    done = finish(Record("1", "T", url="javascript:alert(1)"), ReaderOptions(), Counter())
    assert done == Record("1", "T", metadata={"link": "javascript:alert(1)"})


def test_empty_and_oversized_items_are_rejected() -> None:
    options = ReaderOptions(max_text_chars=10)
    assert finish(Record("1", " ", "\x00\n", place="p"), options, Counter()) == Rejected(
        "p", "empty: it has neither a title nor a text", "1"
    )
    unseen = finish(Record("1", "\u200b", "\ufeff \u2060\ufe0f", place="p"), options, Counter())
    assert unseen == Rejected("p", "empty: it has neither a title nor a text", "1")
    assert isinstance(finish(Record("1", "😀\ufe0f"), options, Counter()), Record)
    assert finish(Record("1", "", "x" * 11, place="p"), options, Counter()) == Rejected(
        "p", "its text has 11 characters; the limit is 10", "x" * 11
    )
    assert isinstance(finish(Query("1", " "), options, Counter()), Rejected)
    assert isinstance(finish(Judgment("1", "", 1), options, Counter()), Rejected)
