"""The address is the state: every state survives it, and no address can break it."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ui.frame import registry
from app.ui.web.session import MAX_QUERY, UiState, chosen_options, column_names, plain, tidy, whole
from engine.workspace.records import MAX_ID

PAGES = tuple(registry.pages())
PANELS = ("", *registry.panels())

names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf")), max_size=30)
filled = names.filter(bool)
filters = st.dictionaries(
    filled.filter(lambda name: name != "year"), st.lists(filled, min_size=1, max_size=4), max_size=3
)
spans = st.none() | st.tuples(st.integers(0, 9999), st.integers(0, 9999))


@st.composite
def states(draw: st.DrawFn) -> UiState:
    chosen = {name: list(values) for name, values in draw(filters).items()}
    span = draw(spans)
    if span is not None:
        chosen["year"] = [str(min(span)), str(max(span))]
    return UiState(
        page=draw(st.sampled_from(PAGES)),
        collection=draw(names),
        query=draw(names),
        pipeline=draw(names),
        columns=column_names(draw(st.lists(filled, max_size=4))),
        k=draw(st.integers(1, 100)),
        filters=tidy(chosen),
        offset=draw(st.integers(0, 100_000)),
        document=draw(names),
        panel=draw(st.sampled_from(PANELS)),
        subject=draw(names),
        options=chosen_options(
            draw(
                st.dictionaries(
                    st.from_regex(r"[a-z][a-z-]{0,20}", fullmatch=True), st.lists(filled, max_size=4), max_size=3
                )
            )
        ),
    )


@given(states())
def test_a_state_survives_its_address(state: UiState) -> None:
    assert UiState.from_query(state.to_query()) == state
    assert UiState.from_query("?" + state.to_query()) == state


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_no_address_raises_and_reading_is_stable(text: str) -> None:
    state = UiState.from_query(text)
    assert UiState.from_query(state.to_query()) == state


@given(
    st.dictionaries(
        st.sampled_from(["tab", "k", "from", "panel", "col", "f.year", "f.venue", "q"]), st.text(max_size=20)
    )
)
def test_values_are_always_in_range(pairs: dict[str, str]) -> None:
    state = UiState.from_query(urlencode(pairs), PAGES, PANELS)
    assert state.page in PAGES
    assert state.panel in PANELS
    assert 1 <= state.k <= 100
    assert 0 <= state.offset <= 100_000
    years = state.values("year")
    assert years == () or int(years[0]) <= int(years[1])


def test_an_address_is_short_and_readable() -> None:
    state = UiState(
        page="compare",
        collection="CISI",
        query="dense retrieval",
        columns=("BM25", "Hybrid"),
        filters=tidy({"year": ["2020", "2010"]}),
    )
    assert state.to_query() == "tab=compare&c=CISI&q=dense+retrieval&col=BM25&col=Hybrid&f.year=2010&f.year=2020"


def test_a_long_query_is_bounded_here_and_truncated_with_a_notice_by_the_services() -> None:
    assert len(UiState.from_query(urlencode({"q": "x" * 90_000})).query) == MAX_QUERY


def test_at_most_four_different_columns() -> None:
    assert UiState.from_query("col=a&col=b&col=a&col=c&col=d&col=e").columns == ("a", "b", "c", "d")


def test_filters_for_the_services() -> None:
    state = UiState().with_filter("venue", ("SIGIR", "ACL")).with_filter("year", ("2020", "2011"))
    assert state.for_services() == {"venue": ["ACL", "SIGIR"], "year": [2011, 2020]}
    assert state.with_filter("venue", ()).with_filter("year", ()).for_services() is None


def test_choosing_a_filter_goes_back_to_the_first_result() -> None:
    assert UiState(offset=40).with_filter("venue", ("ACL",)).offset == 0


def test_options_keep_their_order_and_are_set_and_removed_by_name() -> None:
    state = UiState().with_options(metric=["RR@10", "AP", "RR@10"], query_set="default")
    assert state.to_query() == "tab=search&o.metric=RR%4010&o.metric=AP&o.query-set=default"
    assert state.option_values("metric") == ("RR@10", "AP")
    assert state.with_options(metric="").option("metric", "nDCG@10") == "nDCG@10"
    assert UiState.from_query("o.A=1&o.=2&o.metric=&o.sort=x").options == (("sort", ("x",)),)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), (0, 1), (10**30, 100), ("x", 10), (None, 10), ([], 10), (float("inf"), 10), (float("nan"), 10)],
)
def test_numbers_are_clamped(value: object, expected: int) -> None:
    assert whole(value, 1, 100, 10) == expected


def test_text_from_outside_is_cleaned() -> None:
    assert plain("a\x00b\u202ec\ud800d", 10) == "abc?d"
    assert plain(["x"], 10) == ""
    assert plain("x" * 50, 10) == "x" * 10


def test_the_longest_id_of_a_document_stays_whole_in_the_address():
    longest = "https://example.org/" + "a" * (MAX_ID - 20)
    state = UiState(document=longest, subject=longest).with_filter("source", (longest,))
    assert UiState.from_query(state.to_query()) == state
