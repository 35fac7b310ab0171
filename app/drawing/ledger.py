"""The fusion ledger and "why is it not here?": the two explanations on the Compare page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import button, cell_title, hit_title, icon_button, select, slot_mark
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.messages import empty
from app.drawing.tables import head, table
from app.results.search import Ledger, LedgerEntry, WhyNot

VERDICTS = {
    "shown": ("check", "Shown"),
    "below_cutoff": ("down", "Below the cut-off"),
    "below_threshold": ("down", "Below the threshold"),
    "filtered": ("filter", "Filtered out"),
    "missed_by_ann": ("warning", "Missed by the approximate index"),
    "no_shared_term": ("minus", "No shared term"),
    "not_in_collection": ("question", "Not in the collection"),
    "not_indexed": ("clock", "Not indexed yet"),
    "error": ("warning", "The pipeline failed"),
}


def bar(title: str, *extra: Markup | None) -> Markup:
    """The head of a side pane."""
    return el(
        "div",
        el("strong", title),
        *extra,
        el("span", class_="grow"),
        icon_button("Close (Esc)", "close", "close"),
        class_="pane-bar",
    )


def ledger_pane(names: Sequence[str], chosen: str, ledger: Ledger | None, query: str) -> Markup:
    """The ledger of one pipeline among those shown."""
    picker = (
        select("subject", [(name, name) for name in names], chosen, label="Pipeline", action="ledger")
        if names
        else None
    )
    if not query:
        body = empty("stack", "Ask something first", "The ledger shows, for each fused hit, what each list gave to it.")
    elif ledger is None:
        body = empty(
            "stack",
            "Nothing is fused here",
            f"“{chosen}” has a single list. Choose a hybrid pipeline to see what each list contributes.",
        )
    elif not ledger.rows:
        body = empty("stack", "No hits to account for", "This pipeline returned nothing for the query.")
    else:
        body = _table(ledger)
    export = (
        button("CSV", "export-ledger", glyph="download", look="quiet") if ledger is not None and ledger.rows else None
    )
    return join(bar("Fusion ledger", picker, export), el("div", body, class_="reader-scroll", data_scroll="ledger"))


def _table(ledger: Ledger) -> Markup:
    top = max((abs(entry.contribution) for row in ledger.rows for entry in row.entries), default=0.0) or 1.0
    rows = [
        el(
            "tr",
            el("td", row.rank, class_="num"),
            el("td", cell_title(row.title or row.doc_id, "read", title=row.title, clamp=True, doc=row.doc_id)),
            [_entry(entry, i, top) for i, entry in enumerate(row.entries)],
            el("td", el("b", format.score(row.score)), class_="num"),
            data_doc=row.doc_id,
            data_key=row.doc_id,
        )
        for row in ledger.rows
    ]
    inputs = [head(el("i", class_=f"dot in-{i % 4}"), name, colspan=2) for i, name in enumerate(ledger.inputs)]
    return join(
        el("p", el("b", ledger.method), " ", el("code", ledger.formula), class_="formula"),
        table(("#", "Document", *inputs, "Fused"), rows, numbers=("#", "Fused"), look="ledger"),
        el(
            "p",
            "Each list's rank and raw score, and what it adds to the fused score. A dash means that the list did not hold the document.",
            class_="muted small",
        ),
    )


def _entry(entry: LedgerEntry, index: int, top: float) -> Markup:
    if entry.rank is None:
        return join(
            el("td", "–", class_="num muted"),
            el("td", format.score(entry.contribution) if entry.contribution else "", class_="num muted"),
        )
    raw = f"raw {format.score(entry.raw)}" if entry.raw is not None else None
    return join(
        el(
            "td",
            f"#{entry.rank}",
            el("small", format.score(entry.raw)) if entry.raw is not None else None,
            class_="num",
            title=raw,
        ),
        el(
            "td",
            el(
                "span",
                el("i", class_=f"in-{index % 4}", style=f"width:{100 * abs(entry.contribution) / top:.1f}%"),
                class_="ledger-bar",
            ),
            format.score(entry.contribution),
            class_="num",
        ),
    )


def why_pane(
    document: str, title: str, found: Sequence[tuple[str, str]], verdicts: Sequence[WhyNot], query: str, typed: str
) -> Markup:
    """The picker, then one verdict per pipeline."""
    form = el(
        "form",
        el(
            "input",
            type="search",
            class_="input",
            data_field="text",
            data_input="find",
            value=typed,
            placeholder="Title or id of a document",
            aria_label="Document to ask about",
            autocomplete="off",
            dir="auto",
            id="tp-find",
        ),
        el("button", "Find", type="submit", class_="btn"),
        class_="row",
        data_form=True,
        data_action="find",
    )
    return join(
        bar("Why is it not here?"),
        el(
            "div",
            form,
            el("div", candidates(found), id="tp-found"),
            _verdicts(document, title, verdicts, query),
            class_="reader-scroll",
            data_scroll="why",
        ),
    )


def candidates(found: Sequence[tuple[str, str]]) -> Markup | None:
    """The documents that match what was typed."""
    if not found:
        return None
    rows = [
        el(
            "li",
            el(
                "button",
                title or doc_id,
                el("code", doc_id),
                type="button",
                class_="candidate",
                data_action="why",
                data_doc=doc_id,
                dir="auto",
            ),
            data_key=doc_id,
        )
        for doc_id, title in found
    ]
    return el("ul", rows, class_="candidates")


def _verdicts(document: str, title: str, verdicts: Sequence[WhyNot], query: str) -> Markup:
    if not query:
        return empty(
            "question", "Ask something first", "Then choose a document, and each pipeline says where it stands and why."
        )
    if not document:
        return empty(
            "question",
            "Which document did you expect?",
            "Type a part of its title or its id. Or press ? on a card that is missing from a column.",
        )
    return join(
        el(
            "h3",
            hit_title(title or document, document, clamp=""),
            class_="why-title",
        ),
        [_verdict(item) for item in verdicts],
    )


def _verdict(item: WhyNot) -> Markup:
    glyph, words = VERDICTS.get(item.verdict, ("info", item.verdict))
    return el(
        "section",
        el(
            "div",
            slot_mark(item.slot),
            el("strong", item.pipeline),
            el("span", icon(glyph), words, class_=f"verdict v-{item.verdict}"),
            class_="why-head",
        ),
        el("p", item.sentence),
        el("dl", [[el("dt", name), el("dd", text)] for name, text in item.details], class_="details")
        if item.details
        else None,
        class_=f"why slot-{item.slot % 4}",
        data_key=item.pipeline,
    )
