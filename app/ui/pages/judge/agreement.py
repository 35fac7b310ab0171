"""The pane that tells how far assessors agree, which judgment counts, and where judgments are taken out."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import button, select
from app.drawing.html import el, join
from app.drawing.ledger import bar
from app.drawing.tables import head, table
from app.results.judging import AssessorAgreement, DifferentJudgments, PairKappa

RULES = (
    ("latest", "the latest judgment counts"),
    ("majority", "the majority counts"),
    ("median", "the median counts"),
)
FORMS = (("trec", "TREC qrels"), ("beir", "BEIR"), ("csv", "CSV"), ("log", "Log"))
LOG = "Every act of every assessor: who, when, the note, and what was shown"
MOST = 200


def kappa_words(kappa: float | None) -> str:
    """A kappa in words, on the scale of Landis and Koch (1977)."""
    if kappa is None:
        return "not defined"
    steps = ((0.0, "no better than chance"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
    return next((words for most, words in steps if kappa <= most), "almost perfect")


def pane(found: AssessorAgreement | None, sets: Sequence[str], chosen: str, *, write: bool) -> Markup:
    """The side pane."""
    sets_select = select(
        "agreement-set", [(name, name) for name in sets], chosen, label="Query set", action="jd-set", data_name="set"
    )
    if found is None:
        return join(bar("Judgments"), el("div", el("p", "There is no query set yet."), class_="reader-scroll"))
    return join(
        bar("Judgments", sets_select),
        el(
            "div",
            _exports(found),
            _assessors(found),
            _rule(found, write=write),
            _pairs(found),
            _different(found),
            class_="reader-scroll agreement",
            data_scroll=f"agreement-{found.query_set}",
        ),
    )


def _section(title: str, *content: Markup | str | None) -> Markup:
    return el("section", el("h3", title), *content, class_="reader-section")


def _exports(found: AssessorAgreement) -> Markup:
    return el(
        "section",
        el("h3", "Take the judgments out"),
        el(
            "div",
            [
                button(
                    words, "jd-export", glyph="download", look="quiet", format=form, hint=LOG if form == "log" else "",
                    name=found.query_set,
                )
                for form, words in FORMS
            ],
            class_="row",
        ),
        class_="agreement-out",
    )  # fmt: skip


def _assessors(found: AssessorAgreement) -> Markup:
    if not found.assessors:
        return _section("Who judged", el("p", "Nobody has judged anything in this set yet.", class_="muted"))
    rows = [
        el("tr", el("td", one.name, dir="auto"), el("td", format.count(one.judgments), class_="num"))
        for one in found.assessors
    ]
    return _section("Who judged", table(("Assessor", "Judgments"), rows, numbers=("Judgments",)))


def _rule(found: AssessorAgreement, *, write: bool) -> Markup | None:
    if len(found.assessors) < 2:
        return None
    chosen = (
        select("rule", RULES, found.rule, label="Where assessors differ", action="jd-rule", data_set=found.query_set)
        if write
        else el("b", dict(RULES).get(found.rule, found.rule))
    )
    return _section("Where assessors differ", el("div", chosen, class_="row"))


def _pairs(found: AssessorAgreement) -> Markup:
    if len(found.assessors) < 2:
        text = "Kappa needs two people who judged the same documents: type another name above, and prepare a queue with “also what others judged”."
        return _section("Agreement", el("p", text, class_="muted"))
    fleiss = (
        el(
            "p",
            "All together: Fleiss’ kappa ",
            el("b", f"{found.fleiss:.2f}"),
            f" ({kappa_words(found.fleiss)}) on {format.plural(found.shared, 'document')} that all of them judged.",
        )
        if found.fleiss is not None
        else el("p", "No document was judged by all of them, or chance alone would agree.", class_="muted")
    )
    rows = [_pair(one) for one in found.pairs]
    numbers = ("Both judged", "Same", "Cohen’s κ")
    pairs = table(("Assessors", *numbers, ""), rows, numbers=numbers)
    return _section("Agreement beyond chance", pairs, fleiss if len(found.assessors) > 2 else None)


def _pair(one: PairKappa) -> Markup:
    return el(
        "tr",
        el("td", one.left, " · ", one.right, dir="auto"),
        el("td", format.count(one.shared), class_="num"),
        el("td", f"{100 * one.same:.0f}%" if one.shared else "–", class_="num"),
        el("td", el("b", "–" if one.kappa is None else f"{one.kappa:.2f}"), class_="num"),
        el("td", kappa_words(one.kappa) if one.shared else "nothing in common", class_="muted"),
    )


def _different(found: AssessorAgreement) -> Markup | None:
    if len(found.assessors) < 2:
        return None
    if not found.different:
        return _section("Disagreements", el("p", "None.", class_="muted"))
    names = [one.name for one in found.assessors if any(one.name in row.ratings for row in found.different)]
    rows = [_row(one, names) for one in found.different[:MOST]]
    left = len(found.different) - len(rows)
    return _section(
        f"Disagreements ({len(found.different):,})",
        table(
            ("Question and document", *(head(name, num=True, dir="auto") for name in names), "Counts"),
            rows,
            numbers=("Counts",),
        ),
        el("p", f"and {left:,} more; the log has them all", class_="muted small") if left else None,
    )


def _row(one: DifferentJudgments, names: Sequence[str]) -> Markup:
    return el(
        "tr",
        el(
            "td",
            el("span", one.query, class_="muted small", dir="auto"),
            el(
                "button", one.title or one.doc_id, type="button", class_="small-title", data_action="read",
                data_doc=one.doc_id, dir="auto",
            ),
            class_="apart",
        ),
        [el("td", one.ratings.get(name, "–"), class_="num") for name in names],
        el("td", el("b", one.counts), class_="num"),
    )  # fmt: skip
