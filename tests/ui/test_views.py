"""The views over poisoned data: whatever a document, a file name or an error says, the page stays ours. And what they show is right."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import HOSTILE, SCHEMA, FakeServices
from markupsafe import Markup
from test_html import read

from app.drawing import cards, evaluated, facets, grades, history, jobs, ledger, messages, reader, schema_form
from app.drawing.html import join
from app.results.search import (
    Attribution,
    Card,
    Column,
    ColumnGuess,
    ColumnHit,
    DocumentView,
    Explanation,
    Facet,
    FacetValue,
    JobView,
    Piece,
    PipelineView,
    RejectionView,
)
from app.ui.frame import shell
from app.ui.frame.query_bar import query_bar
from app.ui.pages.blind import view as blind
from app.ui.pages.compare import view as compare
from app.ui.pages.editor import view as pipelines
from app.ui.pages.evaluate import disagreed, verdicts
from app.ui.pages.evaluate import questions_view as questions
from app.ui.pages.evaluate import view as evaluate
from app.ui.pages.judge import agreement
from app.ui.pages.judge import judging_view as judging
from app.ui.pages.judge import view as judge
from app.ui.pages.library import adding
from app.ui.pages.library import view as library
from app.ui.pages.models import view as models
from app.ui.pages.search import view as search
from app.ui.web.session import UiState

KINDS = frozenset({"status", "state", "mark", "verdict", "kind", "family", "started_at", "finished_at", "built_at"})
QUERY = "dense retrieval"


def poison(value: Any, name: str = "") -> Any:
    """The same results with every free text replaced by hostile text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: poison(getattr(value, f.name), f.name) for f in dataclasses.fields(value)})
    if isinstance(value, str) and name not in KINDS:
        return HOSTILE + value
    if isinstance(value, tuple | list):
        return type(value)(poison(item) for item in value)
    if isinstance(value, dict):
        return {key: poison(item) for key, item in value.items()}
    return value


@pytest.fixture
def fake(tmp_path: Path) -> FakeServices:
    return FakeServices(tmp_path)


def everything(fake: FakeServices) -> dict[str, Callable[[], Markup | None]]:
    """Every view, over everything there is, poisoned."""
    state = poison(UiState(query=QUERY, document="paper-000", columns=("BM25", "Dense", "Hybrid")))
    state = dataclasses.replace(state, page="search", filters=(("venue", (HOSTILE,)),))
    found = poison(fake.search("Retrieval papers", QUERY, "Hybrid"))
    browsed = poison(fake.search("Retrieval papers", "", "Hybrid"))
    compared = poison(fake.compare("Retrieval papers", QUERY, ("BM25", "Dense", "Hybrid", "Not built")))
    names = poison(fake.pipelines())
    view = poison(fake.workspace())
    chosen = poison(fake.collection("Retrieval papers"))
    document = poison(fake.document("Retrieval papers", "hostile", query=QUERY, pipeline="Hybrid"))
    spec = {"pipeline": [{"dense": {"model": HOSTILE}}]}
    sets = poison(fake.query_sets("Retrieval papers"))
    draft = evaluate.Draft(HOSTILE, (HOSTILE, "b"), (HOSTILE + "r",), (HOSTILE,), HOSTILE, "t", "bh")
    asked = poison(fake.evaluation("Retrieval papers", "ev-1"))
    rows = tuple(
        dataclasses.replace(
            row, values={HOSTILE + name: value for name, value in row.values.items()}, tags={HOSTILE: HOSTILE}
        )
        for row in poison(fake.query_values("Retrieval papers", "ev-1", "AP"))
    )
    evaluation = evaluated.Shown(asked, rows, None, dict.fromkeys(asked.metrics, HOSTILE))
    chosen_look = evaluated.Chosen(measure=HOSTILE + "AP", against=HOSTILE + "Hybrid", group=HOSTILE, tests=True)
    known = poison((fake.model("bge-small-en-v1.5"), *fake.models(text="modernbert"), fake.model("half")))
    return {
        "results": lambda: search.results(found, state),
        "browsing": lambda: search.results(browsed, UiState()),
        "nothing": lambda: search.results(dataclasses.replace(found, cards=(), total=0), state),
        "query bar": lambda: query_bar(state, names),
        "compare bar": lambda: query_bar(state, names, compare=True),
        "facets": lambda: facets.panel(found.facets, state.filters),
        "reader": lambda: reader.pane(document),
        "shortlist": lambda: reader.shortlist(HOSTILE, found.cards[:3]),
        "board": lambda: compare.board(compared, names, "paper-000"),
        "start": lambda: compare.start([HOSTILE], (HOSTILE, "b"), names),
        "ledger": lambda: ledger.ledger_pane(
            [HOSTILE], HOSTILE, poison(fake.ledger("Retrieval papers", QUERY, "Hybrid")), QUERY
        ),
        "why": lambda: ledger.why_pane(
            HOSTILE,
            HOSTILE,
            [(HOSTILE, HOSTILE)],
            poison(fake.why_not("Retrieval papers", QUERY, ("BM25", "Dense"), "x")),
            QUERY,
            HOSTILE,
        ),
        "sidebar": lambda: shell.sidebar(view, "search", HOSTILE, poison(fake.jobs())),
        "dialog": lambda: shell.ask_dialog(
            HOSTILE, HOSTILE, "delete-collection", HOSTILE, field="typed", value=HOSTILE, label=HOSTILE, name=HOSTILE
        ),
        "jobs": lambda: jobs.table(poison(fake.jobs()), read_only=False),
        "rejections": lambda: jobs.rejections("job-1", poison(fake.rejections("job-1")), 0, 60),
        "library": lambda: library.page(view, chosen, poison(fake.jobs()), paths=True),
        "library head": lambda: library.head(view, {"documents": "Documents"}, "documents"),
        "preview": lambda: adding.preview(poison(fake.preview([HOSTILE])), [HOSTILE], {"title": HOSTILE}, HOSTILE),
        "findings": lambda: library.findings([("error", HOSTILE, HOSTILE), ("ok", HOSTILE, "")]),
        "editor": lambda: pipelines.editor(
            names, names[0], SCHEMA, schema_form.normal(SCHEMA, spec), HOSTILE, saved=True, read_only=False
        ),
        "evaluate head": lambda: evaluate.head(HOSTILE, sets),
        "setup": lambda: evaluate.setup(
            draft, sets, names, poison(fake.metrics()), runs=[HOSTILE], opened=True, write=True
        ),
        "evaluation job": lambda: evaluate.job(poison(fake.job("job-8")), read_only=False),
        "no questions": lambda: evaluate.nothing(HOSTILE, (), write=True),
        "evaluation": lambda: evaluated.results(evaluation, chosen_look),
        "verdicts": lambda: verdicts.panel(
            poison(fake.verdict_bounds("Retrieval papers", "ev-1", measure="AP", baseline="BM25")), (HOSTILE,)
        ),
        "disagreement": lambda: disagreed.panel(
            poison(fake.stored_disagreement("Retrieval papers", "dis-1")), write=True
        ),
        "history": lambda: history.table(
            poison(fake.evaluations("Retrieval papers")), HOSTILE + "ev-2", HOSTILE + "ev-1", every=False, write=True
        ),
        "changes": lambda: history.changes(poison(fake.evaluation_changes("Retrieval papers", "ev-1", "ev-2"))),
        "questions": lambda: questions.pane(
            HOSTILE, sets, poison(fake.runs("Retrieval papers")), chosen=HOSTILE, write=True, paths=True
        ),
        "brought": lambda: questions.brought(
            poison(fake.bring("Retrieval papers", ["x"], query_set="default", what="auto"))
        ),
        **judging_views(fake),
        "models": lambda: models.page(
            known, known, poison(fake.jobs()), "dense", "here", HOSTILE, read_only=False, paths=True
        ),
        "model": lambda: models.pane(known[0], read_only=False),
        "damaged model": lambda: models.pane(known[-1], read_only=False),
        "model plan": lambda: models.planned(
            poison(fake.plan_model("someone/model", quantise="int8")), HOSTILE, HOSTILE, replace=True
        ),
        "no model": lambda: models.catalogue(known, (), "", "", HOSTILE, read_only=True),
        "error": lambda: messages.error_box("BadInput", HOSTILE),
        "notices": lambda: messages.notices([HOSTILE]),
        "frame": shell.frame,
    }


def judging_views(fake: FakeServices) -> dict[str, Callable[[], Markup | None]]:
    """The views about judging and voting, likewise."""
    key = "Retrieval papers"
    plan = judge.Draft(HOSTILE, (HOSTILE, "b"), (HOSTILE + "r",), 10, "flip", HOSTILE, HOSTILE, again=True)
    sets, queue = poison(fake.query_sets(key)), poison(fake.queue(key, "qu-1"))
    item, evaluation = poison(fake.judging_item(key, "qu-1")), poison(fake.evaluation(key, "ev-2"))
    sessions, results = poison(fake.blind_sessions(key)), poison(fake.blind_results(key, "bl-1"))
    asked = poison(fake.blind_shown(key, "bl-1", 1))

    def work(**changes: Any) -> Markup:
        usual: dict[str, Any] = {"provenance": None, "means": None, "looking": True, "again": False, "write": True}
        return judging.work(queue, changes.pop("item", item), **{**usual, **changes})

    return {
        "judge head": lambda: judge.head(HOSTILE, HOSTILE),
        "queue setup": lambda: judge.setup(plan, sets, [HOSTILE], [HOSTILE + "r"], opened=True, write=True),
        "queue job": lambda: judge.job(poison(fake.job("job-8")), read_only=False),
        "queues": lambda: judge.queues(poison(fake.queues(key)), HOSTILE + "qu-1", every=False, write=True),
        "no set to judge": lambda: judge.nothing(HOSTILE, (), write=True),
        "document to judge": lambda: work(
            provenance=poison(fake.provenance(key, "qu-1", 0)), means=judging.means(evaluation, opened=True)
        ),
        "document gone": lambda: work(item=None, gone=HOSTILE),
        "queue done": lambda: work(item=None, means=judging.means(evaluation, opened=True)),
        "agreement": lambda: agreement.pane(poison(fake.assessors(key, "default")), [HOSTILE], HOSTILE, write=True),
        "grades": lambda: grades.control(HOSTILE, 7, 1),
        "blind head": lambda: blind.head(HOSTILE, sessions[0]),
        "blind setup": lambda: blind.setup(blind.Draft(HOSTILE, "b", HOSTILE, 5), [HOSTILE, "b"], sets, write=True),
        "blind sessions": lambda: blind.sessions(sessions, write=True),
        "blind round": lambda: blind.round_(asked, None, sessions[0]),
        "blind told": lambda: join(
            blind.told(results.rounds[0]), blind.round_(asked, results.rounds[0], sessions[0]), blind.results(results)
        ),
        "blind question": lambda: blind.ask(sessions[0], first=True, note=HOSTILE),
    }


OURS = frozenset(
    [
        "a",
        "article",
        "aside",
        "b",
        "br",
        "button",
        "code",
        "caption",
        "datalist",
        "dd",
        "del",
        "desc",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "header",
        "i",
        "g",
        "input",
        "ins",
        "kbd",
        "label",
        "legend",
        "li",
        "line",
        "main",
        "mark",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "select",
        "small",
        "span",
        "strong",
        "summary",
        "svg",
        "path",
        "rect",
        "circle",
        "table",
        "tbody",
        "td",
        "text",
        "textarea",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ]
)


@pytest.mark.parametrize("name", list(everything(FakeServices(Path("x")))))
def test_hostile_text_stays_text(name: str, fake: FakeServices) -> None:
    html = everything(fake)[name]()
    seen = read(str(html))
    assert {tag for tag, _ in seen.tags} <= OURS
    for tag, attributes in seen.tags:
        assert not [key for key in attributes if key.startswith("on")], tag
        for key in ("href", "src", "action", "formaction"):
            address = attributes.get(key)
            assert address is None or address.startswith(("https://", "#")), (tag, key, address)
    if name not in ("frame", "start"):
        assert "onerror=alert(1)" in seen.text or any(
            "onerror=alert(1)" in (v or "") for _, a in seen.tags for v in a.values()
        )


@pytest.mark.parametrize("name", list(everything(FakeServices(Path("x")))))
def test_controls_have_names_and_ids_are_unique(name: str, fake: FakeServices) -> None:
    seen = read(str(everything(fake)[name]()))
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in seen.tags:
        if tag == "select" or (tag == "button" and "icon-btn" in (attributes.get("class") or "")):
            assert attributes.get("aria-label"), (tag, attributes)


def test_a_result_says_how_it_was_found(fake: FakeServices) -> None:
    result = fake.search("Retrieval papers", QUERY, "Hybrid")
    html = str(search.results(result, UiState(query=QUERY)))
    card = result.cards[0]
    assert all(f"{item.label} found it at rank {item.rank}" in html for item in card.found_by)
    assert "judged 2" in html
    assert f"of <b>{result.total} results</b>" in html


def hit(movement: int | None, new: bool) -> ColumnHit:
    return ColumnHit(Card("d", "t", (), None, "", "", "", (), 1, 1.0), movement, new)


@pytest.mark.parametrize(
    ("movement", "new", "index", "words"),
    [(3, False, 1, "▲3"), (-2, False, 1, "▼2"), (0, False, 1, "="), (None, True, 1, "new"), (None, True, 0, "")],
)
def test_movement_chips(movement: int | None, new: bool, index: int, words: str) -> None:
    chip = compare.movement(hit(movement, new), index > 0)
    assert (read(str(chip)).text if chip is not None else "") == words


def test_a_failed_column_says_why_and_the_others_stay(fake: FakeServices) -> None:
    result = fake.compare("Retrieval papers", QUERY, ("BM25", "Not built"))
    html = str(compare.board(result, fake.pipelines(), "", judge=True))
    assert "The index is not ready" in html
    assert "is not built yet" in html
    assert html.count("data-hit ") == len(result.columns[0].hits) == 10
    assert 'data-action="index"' in html
    assert "No hits" not in html


def test_nothing_is_new_beside_a_column_that_failed(fake: FakeServices) -> None:
    result = fake.compare("Retrieval papers", QUERY, ("Not built", "BM25"))
    assert "move-new" not in str(compare.board(result, fake.pipelines(), ""))


def test_filters_in_force_are_said_on_compare(fake: FakeServices) -> None:
    result = fake.compare("Retrieval papers", QUERY, ("BM25", "Dense"))
    filters = (("metadata.topic", ("a", "b")), ("year", ("2001", "2010")))
    text = read(str(compare.board(result, fake.pipelines(), "", filters))).text
    assert "topic: a, b" in text
    assert "year: 2001–2010" in text
    assert "Clear the filters" not in str(compare.board(result, fake.pipelines(), ""))


def test_the_latency_strip_is_to_scale(fake: FakeServices) -> None:
    result = fake.compare("Retrieval papers", QUERY, ("BM25", "Dense"))
    widths = [
        float(a["style"].split(":")[1].rstrip("%"))
        for tag, a in read(str(compare.board(result, fake.pipelines(), ""))).tags
        if a.get("class") == "strip-bar"
    ]  # type: ignore[union-attr]
    assert widths == [pytest.approx(100 * 1.4 / 6.6, abs=0.1), 100.0]


def test_a_question_mark_stands_only_on_cards_that_are_missing_somewhere(fake: FakeServices) -> None:
    result = fake.compare("Retrieval papers", QUERY, ("BM25", "Dense", "Hybrid"))
    html = str(compare.board(result, fake.pipelines(), ""))
    ids = [{hit.card.doc_id for hit in column.hits} for column in result.columns]
    missing = sum(any(doc not in other for other in ids) for mine in ids for doc in mine)
    assert html.count('data-action="why"') == missing
    assert 0 < missing < sum(map(len, ids))


def test_a_narrow_snippet_begins_near_its_match() -> None:
    runs = (Piece("a long beginning that says nothing about the query at "), Piece("all", "lexical"), Piece(" and on"))
    shown = cards.from_match(runs)
    assert [run.mark for run in shown] == ["", "lexical", ""]
    assert shown[0].text == "… about the query at "
    assert cards.from_match((Piece("no match"),)) == (Piece("no match"),)


@pytest.mark.parametrize(
    ("values", "most", "expected"),
    [
        ([], 10, []),
        ([(2000, 3)], 10, [(2000, 2000, 3)]),
        ([(2000, 1), (2003, 2)], 10, [(2000, 2000, 1), (2001, 2001, 0), (2002, 2002, 0), (2003, 2003, 2)]),
        ([(2000, 1), (2001, 2), (2004, 4)], 3, [(2000, 2001, 3), (2002, 2003, 0), (2004, 2004, 4)]),
    ],
)
def test_years_are_binned_without_gaps_or_losses(
    values: list[tuple[int, int]], most: int, expected: list[tuple[int, int, int]]
) -> None:
    assert facets.bins(values, most) == expected


def test_a_chosen_value_stays_listed_where_nothing_is_left_under_it() -> None:
    html = str(facets.panel((Facet("venue", "Venue", (FacetValue("ACL", 2, False),)),), (("venue", ("SIGIR",)),)))
    assert 'data-value="SIGIR"' in html
    assert html.count("checked") == 1


def document(text: str, explanations: tuple[Explanation, ...], title: str = "Title") -> DocumentView:
    return DocumentView("d", title, text, (), None, "", "", "", (), (), False, (), explanations)


def test_a_long_facet_is_shown_whole_at_a_press() -> None:
    some = tuple(FacetValue(f"Venue {i}", 9 - i, False) for i in range(8))
    short = str(facets.panel((Facet("venue", "Venue", some, 192, cut=True),), ()))
    assert re.search(r'data-action="facet" data-name="venue"><span>192\+ more<', short)
    assert "further" not in short
    wide = str(facets.panel((Facet("venue", "Venue", some, 100, cut=True),), (), ("venue",)))
    assert "and more than 100 further values" in wide
    assert "<span>Fewer<" in wide
    assert "Fewer" not in str(facets.panel((Facet("venue", "Venue", some),), ()))


def test_attributions_are_marked_where_they_stand_in_the_text() -> None:
    text = "Dense retrieval encodes text."
    shift = len("Title. ")
    at = text.index("retrieval") + shift
    lexical = Explanation(
        "BM25",
        "bm25",
        True,
        2.0,
        1,
        (Attribution("retriev", 2.0, at, at + 9), Attribution("absent", 0.0)),
        "",
        "lexical",
    )
    semantic = Explanation(
        "model",
        "dense",
        False,
        0.5,
        1,
        (
            Attribution("enc", 0.4, text.index("enc") + shift, text.index("enc") + 3 + shift),
            Attribution(".", 0.4, len(text) - 1 + shift, len(text) + shift),
        ),
        "",
        "semantic",
    )
    html = str(reader.pane(document(text, (semantic, lexical))))
    assert '<mark class="m-lexical m-3">retrieval</mark>' in html
    assert '<mark class="m-semantic m-3">encodes</mark>' in html, "pieces of words are widened to words"
    assert html.count("<mark") == 2, "punctuation is not marked"


def test_marks_never_change_the_text() -> None:
    text = "one two\n\nthree 日本語 four"
    spans = tuple(
        Attribution(str(i), 1.0, 7 + a, 7 + b)
        for i, (a, b) in enumerate([(0, 3), (2, 5), (9, 14), (15, 17), (0, 99), (-3, 2)])
    )
    html = str(reader.pane(document(text, (Explanation("m", "dense", False, 1.0, 1, spans, "", "semantic"),))))
    body = html[html.index('class="reader-text"') :].split("</div>")[0]
    assert read("<div " + body).text == text.replace("\n\n", "")


@pytest.mark.parametrize(
    ("wish", "said", "offered"), [("cancel", "Stopping…", set()), ("pause", "Pausing…", {"job-cancel"})]
)
def test_a_job_that_is_to_halt_says_so_and_offers_only_what_is_left(wish: Any, said: str, offered: set[str]) -> None:
    job = JobView(
        "j", "add", "C", "Add x.bib", "running", "add", 0, None, "documents", None, None, {}, "", "", "", wish=wish
    )
    html = str(jobs.table([job], read_only=False))
    assert said in html
    assert "Running" not in html
    assert "0 documents" not in html
    assert {action for action in ("job-pause", "job-cancel", "job-resume") if action in html} == offered
    assert said in str(shell.jobs_line([job]))


def test_job_facts() -> None:
    job = JobView(
        "j",
        "add",
        "C",
        "Add x.bib",
        "running",
        "encode",
        50,
        200,
        "documents",
        12.4,
        75.0,
        {"added": 48, "rejected": 2},
        "",
        "",
        "",
    )
    text = read(str(jobs.table([job], read_only=False))).text
    for words in (
        "encode · 50 of 200 documents · 25%",
        "12 documents/s",
        "about 1 min 15 s left",
        "48 added",
        "2 skipped",
        "2 rows skipped: see which and why",
    ):
        assert words in text


def test_a_read_only_page_offers_no_changes(tmp_path: Path) -> None:
    fake = FakeServices(tmp_path, read_only=True)
    html = str(library.page(fake.workspace(), fake.collection("Retrieval papers"), fake.jobs(), paths=False)) + str(
        library.head(fake.workspace(), {"documents": "Documents"}, "documents")
    )
    for action in (
        "job-cancel",
        "ask-delete-collection",
        "ask-edit-collection",
        "new-collection",
        "ask-drop-index",
        "data-upload",
        '"index"',
    ):
        assert action not in html


def test_two_columns_cannot_be_fewer_and_four_not_more(fake: FakeServices) -> None:
    two = str(compare.heads(("BM25", "Dense"), fake.pipelines()))
    four = str(compare.heads(("BM25", "Dense", "Hybrid", "Not built"), fake.pipelines()))
    assert "column-remove" not in two
    assert "column-add" in two
    assert four.count("column-remove") == 4
    assert "column-add" not in four


def test_titles_missing_get_a_stand_in() -> None:
    assert cards.title_text(" ", "x-1") == "Untitled (x-1)"


def test_only_chosen_columns_are_sent_so_that_every_file_keeps_its_own(fake: FakeServices) -> None:
    """What was found in one file must not be asked of another that has no such column."""
    previews = fake.preview(["a.csv"]) + tuple(
        dataclasses.replace(item, guesses=(ColumnGuess("title", "Überschrift"),)) for item in fake.preview(["b.csv"])
    )

    def chosen(overrides: dict[str, str]) -> dict[str, str]:
        html = str(adding.preview(previews, ["a.csv", "b.csv"], overrides, ""))
        selects = re.findall(r'<select[^>]*data-field="column\.(\w+)".*?</select>', html, re.DOTALL)
        bodies = re.findall(r'<select[^>]*data-field="column\.\w+"(.*?)</select>', html, re.DOTALL)
        values = [re.search(r'<option(?=[^>]* selected)[^>]*value="([^"]*)"', body) for body in bodies]
        return {name: value[1] for name, value in zip(selects, values, strict=True) if value and value[1]}

    assert chosen({}) == {}
    assert "title or Überschrift" in str(adding.preview(previews, ["a.csv", "b.csv"], {}, ""))
    assert chosen({"title": "extra"}) == {"title": "extra"}


def test_what_cannot_be_added_is_not_offered(fake: FakeServices) -> None:
    broken = dataclasses.replace(
        fake.preview(["a.exe"])[0], format="", records=(), available=(), guesses=(), rejected=(RejectionView("a.exe", "its format is not known", ""),),
    )  # fmt: skip
    html = str(adding.preview([broken], ["a.exe"], {}, ""))
    assert "its format is not known" in html
    assert 'data-action="preview-discard"' in html
    assert 'data-action="add"' not in html
    assert "chip" not in html
    both = str(adding.preview([broken, *fake.preview(["b.csv"])], ["a.exe", "b.csv"], {}, ""))
    assert 'data-action="add"' in both
    assert "Columns of b.csv: which one feeds which field" in both


def test_an_index_that_is_being_built_is_waited_for() -> None:
    build = messages.error_box("Other", "")
    waits = str(messages.index_missing("IndexBeingBuilt", "The index 'BM25' is being built.", build))
    assert "box-wait" in waits
    assert "box-error" not in waits
    assert "box-error" in str(messages.index_missing("IndexNotReady", "The index 'BM25' is not built yet.", build))
    column = Column(PipelineView("BM25", 0, "", ""), (), (), 0.0, 0, "The index 'BM25' is …")
    busy, absent, other = (
        str(compare.failure(dataclasses.replace(column, error_kind=kind), "Papers", write=True))
        for kind in ("IndexBeingBuilt", "IndexNotReady", "BadInput")
    )
    assert "data-action" not in busy
    assert 'data-action="index"' in absent
    assert 'data-action="index"' not in other
    assert "This pipeline failed" in other


def test_pieces_of_a_word_are_explained_as_the_word() -> None:
    full = "Controlled hallucinations. They hallucinate."
    spans = ((0, 10, "controlled"), (11, 15, "hall"), (15, 18, "##uc"), (18, 25, "##inations"), (25, 26, "."))
    found = tuple(Attribution(token, 0.1, start, end) for start, end, token in spans)
    semantic = Explanation("m", "dense", True, 0.5, 1, found, "", "semantic")
    assert dict(reader.words_of(semantic, full)) == pytest.approx({"hallucinations": 0.3, "Controlled": 0.1, ".": 0.1})
    lexical = Explanation("m", "bm25", True, 0.5, 1, (Attribution("hallucin", 0.4, 11, 25),), "", "lexical")
    assert reader.words_of(lexical, full) == [("hallucin", 0.4)]


def test_terms_that_a_model_added_are_told_apart() -> None:
    full = "Reranking papers. More papers."
    found = (
        Attribution("…rank", 0.5, 2, 6),
        Attribution("…ing", 0.25, 6, 9),
        Attribution("papers", 0.75, 10, 16),
        Attribution("papers", 0.0, 23, 29),
        Attribution("retrieval<b>", 1.25, -1, -1),
        Attribution("…s", 0.125, -1, -1),
    )
    sparse = Explanation("m", "sparse", True, 2.875, 1, found, "", "terms")
    assert reader.words_of(sparse, full) == [("Reranking", 0.75), ("papers", 0.75)]
    assert reader.added_terms(sparse) == [("retrieval<b>", 1.25), ("…s", 0.125)]
    html = str(reader._explanations([sparse], full))
    literal, added = html.split("Added by the model, not in the text:")
    assert "Reranking" in literal
    assert "t-added" not in literal
    assert "retrieval&lt;b&gt;" in added
    assert added.count("t-added") == 2
    assert "width:100.0%" in added, "both parts share one scale"
    assert [(start, end) for start, end, _, _ in reader._marks([sparse], 0, full)] == [(0, 9), (10, 16), (23, 29)]
    other = dataclasses.replace(sparse, family="bm25", evidence="lexical")
    assert "Added by the model" not in str(reader._explanations([other], full))


def test_beyond_the_last_page_the_way_back_is_shown(fake: FakeServices) -> None:
    found = dataclasses.replace(fake.search("Retrieval papers", "", "Hybrid"), cards=(), offset=99_999, total=45)
    html = str(search.results(found, UiState(offset=99_999)))
    assert "The list ends at 45." in html
    assert html.count('data-offset="40"') == html.count('data-offset="0"') == 1
