"""The views of one pipeline inside Compare: reached from its column, kept by the address, right in every state, safe with any text."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import test_views
from driving import Page
from fakes import HOSTILE, FakeServices
from lxml import html as markup
from test_html import read
from test_views import KINDS, OURS, poison

from app.drawing import rerank_charts
from app.results.stages import CandidatePoint, RerankedHit, RerankingResult, StageColumn
from app.ui.pages.compare import reranking, stages
from app.ui.web.session import UiState
from engine.pipeline.stages import STAGE_FAMILIES, components
from engine.rewriters.base import Rewriter

START = UiState(page="compare", collection="Retrieval papers", query="dense retrieval", columns=("BM25", "Hybrid"))


@pytest.fixture
def page(page: Page) -> Page:
    page.state = START
    return page


def board(page: Page) -> str:
    html = page.call("open")["regions"]["tp-main"]
    assert isinstance(html, str)
    return html


def columns_of(html: str) -> list[list[str]]:
    """The documents of each column."""
    parts = re.split(r'data-column="\d+"', html)[1:]
    return [re.findall(r'data-hit data-doc="([^"]+)"', part) for part in parts]


# ----------------------------------------------------------------- the address
def test_a_column_leads_inside_its_pipeline_and_back(page: Page) -> None:
    html = board(page)
    assert html.count('data-view="stages"') == 2
    assert html.count('data-view="rerank"') == 1, "only one of the two reranks"
    reply = page.call("unroll", view="stages", of="Hybrid")
    assert reply["push"]
    assert "o.view=stages" in page.state.to_query()
    assert len(columns_of(reply["regions"]["tp-board"])) == 4
    assert columns_of(board(page)) == columns_of(reply["regions"]["tp-board"]), "the address says it all"
    back = page.call("roll-up")["regions"]["tp-board"]
    assert page.state.options == ()
    assert len(columns_of(back)) == 2
    assert page.call("unroll", view="nothing", of="Hybrid")["failed"]


def test_a_new_query_stays_in_the_view(page: Page) -> None:
    page.call("unroll", view="stages", of="Hybrid")
    html = page.call("compare", query="query expansion")["regions"]["tp-board"]
    assert 'data-view="stages"' in html
    assert len(columns_of(html)) == 4


def test_another_pipeline_begins_with_its_own_numbers(page: Page) -> None:
    page.call("unroll", view="rerank", of="Hybrid")
    page.call("rr-slide", value="15")
    page.call("unroll", view="stages", of="Hybrid")
    assert page.state.option("n") == "15", "the other view of the same pipeline keeps them"
    page.call("unroll", view="stages", value="BM25")
    assert (page.state.option("of"), page.state.option("n")) == ("BM25", "")


def test_a_document_is_explained_by_the_pipeline_that_is_shown(page: Page) -> None:
    page.call("unroll", view="stages", of="BM25")
    reply = page.call("read", doc="paper-000", column="2")
    assert page.state.subject == "", "the third stage is no third pipeline"
    assert "reader-title" in reply["regions"]["tp-side"]
    from app.ui.frame.common import explained_by

    assert explained_by(page.state) == "BM25"


def test_other_pages_begin_without_it(page: Page) -> None:
    page.call("unroll", view="stages", of="Hybrid")
    page.call("go", page="compare")
    assert page.state.option("view") == ""


# ------------------------------------------------------------------ stage view
def test_stages_say_what_moved_what_was_dropped_and_what_it_cost(page: Page) -> None:
    page.call("unroll", view="stages", of="Hybrid")
    html = board(page)
    lists = columns_of(html)
    found = page.services.stages("Retrieval papers", START.query, "Hybrid")
    dropped = [hit.doc_id for hit in found.columns[3].dropped]
    shown = [[hit.doc_id for hit in column.hits] for column in found.columns]
    assert lists == [*shown[:3], shown[3] + dropped]
    assert html.count("17 below the threshold") == 1
    assert html.count(">dropped<") == len(dropped), "the list before says so too"
    assert "cut at 30" in html
    assert "137 → " in html
    assert "Time: BM25 1.1 ms, Dense 1.1 ms, fuse (rrf) 0.80 ms, platt 0.40 ms" in html
    assert "4 new papers are not in the index." in html
    first = found.columns[2].hits[0]
    assert f"Rank {first.sources[0]} in this list" in html
    assert "data-skip" in html


def test_what_the_next_column_does_not_show_tells_its_rank(page: Page) -> None:
    page.call("unroll", view="stages", of="Hybrid")
    found = page.services.stages("Retrieval papers", START.query, "Hybrid")
    later = {hit.doc_id for hit in found.columns[2].hits}
    gone = [hit for column in found.columns[:2] for hit in column.hits if hit.doc_id not in later]
    html = board(page)
    assert gone
    assert html.count('class="stage-gone"') == len(gone)
    for hit in gone:
        assert f"→ #{hit.next_rank}<" in html


def test_a_cut_within_the_shown_hits_stands_between_them(page: Page) -> None:
    found = page.services.stages("Retrieval papers", START.query, "BM25")
    (column,) = found.columns
    hits = tuple(dataclasses.replace(hit, lost="cut" if hit.rank > 4 else "") for hit in column.hits)
    cut = dataclasses.replace(found, columns=(dataclasses.replace(column, hits=hits, cut=4),))
    html = str(stages.board(cut, ""))
    before, after = html.split("cut at 4")
    assert before.count("data-hit ") == 4
    assert after.count("is-lost") == len(hits) - 4


def test_an_empty_list_and_a_threshold_that_keeps_nothing(page: Page) -> None:
    page.call("unroll", view="stages", of="BM25")
    assert "No hits." in page.call("compare", query="zzzxqw")["regions"]["tp-board"]
    found = page.services.stages("Retrieval papers", START.query, "Hybrid")
    kept = dataclasses.replace(found.columns[3], hits=(), dropped=found.columns[3].dropped[:1], dropped_total=1)
    html = str(stages.board(dataclasses.replace(found, columns=(*found.columns[:3], kept)), ""))
    assert "Nothing passed the threshold." in html
    assert "1 below the threshold" in html


@pytest.mark.parametrize("view", ["stages", "rerank"])
def test_what_is_not_there_says_what_to_do(page: Page, view: str) -> None:
    page.state = START.with_(query="").with_options(view=view, of="Hybrid")
    assert "Ask something first" in board(page)
    page.state = START.with_options(view=view, of="Gone")
    assert "There is no pipeline called" in board(page)
    assert "Gone (missing)" in board(page)
    page.state = START.with_options(view="stages", of="Not built")
    assert "Build the indexes" in board(page)


def test_a_pipeline_without_reranker_cannot_be_asked_for_it(page: Page) -> None:
    page.state = START.with_options(view="stages", of="BM25")
    html = board(page)
    assert re.search(r"<button[^>]*disabled[^>]*no rerank stage[^>]*>Rerank<", html)
    page.state = START.with_options(view="rerank", of="BM25")
    assert "Nothing is reranked here" in board(page)


# ----------------------------------------------------------------- rerank view
def test_before_and_after_with_the_saved_numbers(page: Page) -> None:
    page.call("unroll", view="rerank", of="Hybrid")
    html = board(page)
    found = page.services.reranking("Retrieval papers", START.query, "Hybrid")
    before, after = columns_of(html.split("rr-figures")[0])
    assert before == [hit.doc_id for hit in found.hits if hit.received <= 10]
    assert after == [hit.doc_id for hit in sorted(found.hits, key=lambda hit: hit.rank)[:10]]
    assert "as saved" in html
    assert "20 of 20" in html
    assert "0.300 → 0.400" in html
    assert "+0.100" in html
    for hit in found.hits:
        if hit.received <= 10 < hit.rank:
            assert f"→ #{hit.rank}<" in html
        if hit.rank <= 10 < hit.received:
            assert f"from #{hit.received}<" in html
    dots = re.findall(r'data-dot data-doc="([^"]+)" data-action="read"', html)
    assert sorted(dots) == sorted(hit.doc_id for hit in found.hits if hit.received <= 20)


def test_candidates_and_time_are_kept_by_the_address_and_taken_back(page: Page) -> None:
    page.call("unroll", view="rerank", of="Hybrid")
    reply = page.call("rr-slide", value="12")
    assert set(reply["regions"]) >= {"rr-controls", "rr-shown"}
    assert "tp-board" not in reply["regions"], "the slider stays under the finger"
    assert "12 of 12" in reply["regions"]["rr-shown"]
    html = page.call("rr-set", name="ms", value="50")["regions"]["rr-shown"]
    assert "5 of 12" in html
    assert html.count("not reached in time") == 2, "in both columns, at the same place"
    assert html.count(">not reached<") >= 5
    assert page.state.option("ms") == "50"
    assert "5 of 12" in board(page)
    page.call("rr-set", name="own")
    assert (page.state.option("n"), page.state.option("ms")) == ("", "")
    page.call("rr-set", name="at", value="1")
    assert page.state.option("at") == "1"
    assert page.call("rr-set", name="k1", value="1")["failed"]
    page.call("rr-slide", value="-5")
    assert page.state.option("n") == "1"


def test_beyond_the_candidates_is_said(page: Page) -> None:
    page.state = START.with_options(view="rerank", of="Hybrid", n="4")
    html = board(page)
    assert html.count("no candidates from here") == 2
    assert ">no candidate<" in html


def test_without_judgments_the_first_hits_are_compared_with_those_of_all_candidates(page: Page) -> None:
    page.state = START.with_(query="retrieval").with_options(view="rerank", of="Hybrid")
    html = board(page)
    assert "nDCG" not in html.split("rr-board")[0]
    assert "Overlap" in html
    assert "Nobody judged this query" in html


def test_what_must_be_run_for_each_number_says_so(page: Page) -> None:
    page.services.reranker_separate = False
    page.state = START.with_options(view="rerank", of="Hybrid")
    html = board(page)
    assert "only the chosen number, 20, has been run" in html
    assert 'data-change="rr-slide"' in html, "it is not run while the slider moves"
    assert 'data-input="rr-slide"' not in html


def test_why_shows_both_sides_and_is_closed_again(page: Page) -> None:
    page.call("unroll", view="rerank", of="Hybrid")
    reply = page.call("rr-why", doc="paper-000")
    html = reply["regions"]["rr-why"]
    assert html.count('class="why"') == 2
    assert "From rank" in html
    assert reply["focus"].startswith("#rr-why")
    assert html in board(page), "the address keeps it"
    assert page.call("rr-why", doc="")["regions"]["rr-why"] == ""
    silent = page.call("rr-why", doc="paper-001")["regions"]["rr-why"]
    assert "It cannot tell." in silent
    assert page.call("rr-why", doc="gone")["failed"]


def test_nothing_to_rerank(page: Page) -> None:
    page.state = START.with_(query="zzzxqw").with_options(view="rerank", of="Hybrid")
    assert "nothing to rerank" in board(page)


def hit(doc_id: str, received: int, rank: int, score: float | None = 1.0) -> RerankedHit:
    return RerankedHit(doc_id, doc_id, None, received, rank, 5.0 / received, score)


def result(page: Page, **changes: object) -> RerankingResult:
    return dataclasses.replace(page.services.reranking("Retrieval papers", START.query, "Hybrid"), **changes)  # type: ignore[arg-type]


def test_who_moved_most_is_told_by_the_ratio_of_the_ranks(page: Page) -> None:
    hits = (
        hit("a", 1, 2),
        hit("b", 2, 1),
        hit("c", 40, 30),
        hit("d", 8, 40),
        hit("e", 9, 3),
        hit("f", 90, 50, None),
        hit("g", 5, 5),
    )
    risen, fallen = reranking.movers(result(page, hits=hits))
    assert [one.doc_id for one in risen] == ["e", "b", "c"], (
        "9 to 3 before 2 to 1 before 40 to 30; what has no score did not move by it"
    )
    assert [one.doc_id for one in fallen] == ["d", "a"]
    none = reranking.shown(result(page, hits=(hit("a", 1, 1),), k=1, candidates=1, reached=1, curve=()), "")
    assert "No document changed its place." in none
    assert "What more candidates give" not in none


def test_ticks_are_round_and_within() -> None:
    assert rerank_charts.ticks(0, 100) == [0, 25, 50, 75, 100]
    assert rerank_charts.ticks(0, 937, 3) == [0, 500]
    assert rerank_charts.ticks(-3.2, 18.9, 5) == [0, 5, 10, 15]
    assert rerank_charts.ticks(0.41, 0.62, 4) == pytest.approx([0.45, 0.5, 0.55, 0.6])
    assert rerank_charts.ticks(2, 2) == [2]


def test_drawings_stand_where_the_numbers_say(page: Page) -> None:
    points = (CandidatePoint(10, 20.0, 0.2, 0.5), CandidatePoint(20, 40.0, 0.6, 1.0))
    svg = markup.fragment_fromstring(
        str(rerank_charts.curve(result(page, curve=points, reached=10, before=0.4, after=0.2)))
    )
    circles = svg.findall(".//circle[@class='rr-point']")
    assert [circle.get("data-value") for circle in circles] == ["10", "20"]
    assert [float(circle.get("cx")) for circle in circles] == [(46 + 408) / 2, 408], (
        "half of the most candidates in the middle"
    )
    assert float(circles[0].get("cy")) > float(circles[1].get("cy")), "more is higher"
    line = next(line for line in svg.findall(".//line") if line.get("class") == "tried")
    assert line.get("x1") == circles[0].get("cx")
    flat = (hit("a", 1, 1), dataclasses.replace(hit("b", 2, 2), before=5.0, score=None))
    drawn = markup.fragment_fromstring(str(rerank_charts.scatter(result(page, hits=flat, candidates=2))))
    assert len(drawn.findall(".//circle")) == 2, "equal scores and missing ones are no trouble"


# --------------------------------------------------------------- hostile texts
@pytest.mark.parametrize("part", ["stages", "bar", "controls", "rerank", "why", "no reranker"])
def test_hostile_text_stays_text(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_views, "KINDS", KINDS | {"lost"})
    fake = FakeServices(tmp_path)
    key, asked = "Retrieval papers", "dense retrieval"
    unrolled, reranked = poison(fake.stages(key, asked, "Hybrid")), poison(fake.reranking(key, asked, "Hybrid"))
    told = poison(fake.why_moved(key, asked, "Hybrid", "hostile"))
    drawn = {
        "stages": lambda: stages.board(unrolled, ""),
        "bar": lambda: stages.bar(poison(fake.pipelines()), HOSTILE, "stages", reranks=False, summary=HOSTILE),
        "controls": lambda: reranking.controls(reranked),
        "rerank": lambda: reranking.shown(reranked, ""),
        "why": lambda: reranking.why(told, reranked.hits[0], HOSTILE),
        "no reranker": lambda: stages.no_reranker(HOSTILE),
    }[part]()
    seen = read(str(drawn))
    assert {tag for tag, _ in seen.tags} <= OURS | {"output", "figure", "figcaption", "h4"}
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in seen.tags:
        assert not [key for key in attributes if key.startswith("on")], tag
        if tag == "select" or (tag == "button" and "icon-btn" in (attributes.get("class") or "")):
            assert attributes.get("aria-label"), (tag, attributes)
    assert "onerror=alert(1)" in seen.text or any("onerror" in (v or "") for _, a in seen.tags for v in a.values())


def test_every_kind_of_stage_has_a_name() -> None:
    known = (cls for family in STAGE_FAMILIES for cls in components(family).values())
    assert {cls.head for cls in known} | {Rewriter.head, "other"} == set(stages.KINDS)  # type: ignore[attr-defined]
    assert StageColumn("other", "x", 0.0, 0, 0, ()).kind in stages.KINDS
