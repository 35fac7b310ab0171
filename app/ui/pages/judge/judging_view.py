"""One document to be judged: the question, the text with its words marked, the grades, and nothing of who found it until asked."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from app.drawing import cards, format, slots
from app.drawing.controls import button, icon_button, kbd
from app.drawing.grades import GRADES
from app.drawing.html import Child, classes, el, link, pieces
from app.drawing.icons import icon
from app.drawing.messages import empty, error_box
from app.drawing.tables import table
from app.results.evaluation import EvaluationView
from app.results.judging import JudgingItem, Provenance, QueueView


def work(
    queue: QueueView,
    item: JudgingItem | None,
    *,
    provenance: Provenance | None,
    means: Markup | None,
    looking: bool,
    again: bool,
    gone: str = "",
    write: bool,
) -> Markup:
    """The open queue. `looking` says that the document was gone to; `again`, that the skipped ones are gone through."""
    body: Child
    if item is not None:
        body = el(
            "div",
            _document(item),
            el(
                "aside",
                _grading(queue, item, looking=looking, write=write),
                _found(item, provenance),
                means,
                class_="jd-aside",
            ),
            class_="jd-grid",
        )
    elif gone:
        body = error_box("NotFound", gone, button("Go on", "jd-at", look="primary", at=""))
    else:
        body = el("div", _finished(queue, again=again), means, class_="jd-over")
    return el(
        "section",
        _bar(queue, item),
        body,
        class_="jd-work",
        data_alert="jd-alert",
        aria_label="Queue",
    )


def _bar(queue: QueueView, item: JudgingItem | None) -> Markup:
    total = max(1, queue.total)
    return el(
        "header",
        el(
            "span",
            el("i", class_="is-judged", style=f"width:{100 * queue.judged / total:.2f}%"),
            el("i", class_="is-skipped", style=f"width:{100 * queue.skipped / total:.2f}%"),
            class_="jd-meter",
            role="progressbar",
            aria_label="Judged",
            aria_valuemin="0",
            aria_valuemax=queue.total,
            aria_valuenow=queue.judged,
        ),
        el("span", el("b", f"{queue.judged:,}"), " judged", class_="jd-count"),
        el("span", el("b", f"{queue.skipped:,}"), " skipped", class_="jd-count"),
        el("span", el("b", f"{queue.left:,}"), " left", class_="jd-count"),
        el("span", class_="grow"),
        el("span", f"{item.position + 1:,} of {queue.total:,}", class_="muted small jd-place") if item else None,
        _act(icon_only="left", label="Back", action="jd-step", key="ArrowLeft", at=item.position if item else queue.total, by="-1"),
        _act(icon_only="right", label="Forward", action="jd-step", key="ArrowRight", at=item.position, by="1") if item else None,
        icon_button("Close this queue; it stays as it is", "jd-close", "close"),
        class_="jd-bar",
    )  # fmt: skip


def _act(
    *, label: str, action: str, key: str, icon_only: str = "", look: str = "", children: Child = None, **data: Any
) -> Markup:
    """A button that a key presses too."""
    named = {f"data_{name}": value for name, value in data.items()}
    shown = {"ArrowLeft": "←", "ArrowRight": "→"}.get(key, key)
    return el(
        "button",
        icon(icon_only) if icon_only else [children or el("span", label), kbd(key)],
        type="button",
        class_="icon-btn" if icon_only else classes("btn", look),
        title=f"{label} ({shown})",
        aria_label=label if icon_only else None,
        aria_keyshortcuts=key,
        data_action=action,
        data_hotkey=key,
        **named,
    )  # fmt: skip


def _document(item: JudgingItem) -> Markup:
    return el(
        "article",
        el(
            "div",
            el("p", "Question", class_="jd-label"),
            el("h2", item.query, dir="auto"),
            el("p", item.description, class_="jd-description", dir="auto") if item.description else None,
            class_="jd-question",
        ),
        el("h3", cards.title_text(item.title, item.doc_id), class_="reader-title", dir="auto"),
        cards.byline(item.authors, item.year, item.venue, 8),
        el("p", link(item.url, icon("external"), format.shorten(item.url, 70), class_="out-link"))
        if item.url
        else None,
        el("div", el("p", pieces(item.text)), class_="reader-text jd-text", dir="auto")
        if any(piece.text.strip() for piece in item.text)
        else el("p", "This document has no text beyond its title.", class_="muted"),
        class_="panel jd-document",
        data_key=f"jd-{item.queue_id}-{item.position}",
        aria_label=f"Document {item.position + 1}",
    )


def _grading(queue: QueueView, item: JudgingItem, *, looking: bool, write: bool) -> Markup:
    if not write:
        return el(
            "section",
            el("p", "This workspace is open for reading only; nothing is kept.", class_="muted"),
            class_="panel",
        )
    place: dict[str, Any] = {"position": item.position}
    rows = [
        el(
            "button",
            kbd(str(grade)),
            el("span", words),
            icon("check") if grade == item.rating else None,
            type="button",
            class_=classes("jd-grade", f"g-{grade}", "is-on" if grade == item.rating else ""),
            data_action="jd-judge",
            data_rating=grade,
            data_position=item.position,
            data_hotkey=str(grade),
            aria_keyshortcuts=str(grade),
            aria_pressed=str(grade == item.rating).lower(),
        )
        for grade, words in GRADES
    ]
    return el(
        "section",
        el("div", rows, class_="jd-grades", role="group", aria_label="How relevant is it?"),
        el(
            "div",
            _act(label="Skip", action="jd-skip", key="s", **place),
            _act(label="Undo", action="jd-undo", key="u"),
            button("To the next unjudged", "jd-at", look="quiet", at="") if looking else None,
            class_="row",
        ),
        el(
            "label",
            el("span", "Note ", kbd("n")),
            el(
                "textarea",
                item.note,
                class_="input",
                rows="2",
                maxlength="10000",
                data_change="jd-note",
                data_position=item.position,
                data_hotkey="n",
                aria_keyshortcuts="n",
                placeholder="Why? Kept with the judgment",
                dir="auto",
                data_key=f"note-{item.queue_id}-{item.position}",
            ),
            class_="jd-note",
        ),
        class_="panel jd-grading",
        aria_label="Grade",
    )  # fmt: skip


def _found(item: JudgingItem, provenance: Provenance | None) -> Markup:
    if provenance is None:
        return el(
            "section",
            _act(label="Show who found it", action="jd-reveal", key="w", look="btn-quiet", position=item.position),
            el("p", "That you looked is kept with the judgment.", class_="muted small"),
            class_="panel jd-found",
        )
    effect = provenance.effect
    return el(
        "section",
        el("h3", "Who found it"),
        el(
            "ul",
            [
                el("li", el("span", name, dir="auto"), el("b", f"#{rank}"), data_key=name)
                for name, rank in provenance.found
            ],
            class_="jd-finders",
        )
        if provenance.found
        else el("p", "Nobody among the first of the queue’s depth.", class_="muted"),
        el("p", f"If it is relevant, the difference to the baseline moves by {format.signed(effect)}.", class_="small")
        if effect is not None
        else None,
        class_="panel jd-found",
    )


def means(view: EvaluationView | None, *, opened: bool) -> Markup:
    """What the pipelines score by the judgments so far, for those who want to know while they judge."""
    toggle = _act(
        label="Hide the scores" if opened else "Scores so far",
        action="jd-set",
        key="m",
        look="btn-quiet",
        name="means",
        value="" if opened else "yes",
    )
    if not opened:
        return el("section", toggle, class_="panel jd-means")
    if view is None:
        return el(
            "section", toggle, el("p", "There are no judgments yet.", class_="muted small"), class_="panel jd-means"
        )
    measures = view.metrics
    rows = [
        el(
            "tr",
            el("td", slots.mark(i), el("span", one.name, dir="auto")),
            [el("td", el("b", "–" if cell.mean is None else f"{cell.mean:.4f}"), class_="num") for cell in one.cells],
            el("td", "–" if one.judged is None else f"{100 * one.judged:.0f}%", class_="num"),
        )
        for i, one in enumerate(view.pipelines)
    ]
    return el(
        "section",
        toggle,
        table(("Pipeline", *measures, "judged"), rows, numbers=(*measures, "judged"), look="jd-scores"),
        el("p", f"Means over {format.plural(view.queries, 'judged question')}.", class_="muted small"),
        class_="panel jd-means",
        aria_label="Scores so far",
    )  # fmt: skip


def _finished(queue: QueueView, *, again: bool) -> Markup:
    if not queue.total:
        return empty(
            "check",
            "Nothing to judge here",
            "Every document that these pipelines find to this depth has been judged. Take a greater depth or other pipelines, or “also what "
            "others judged” for a second opinion.",
            button("Close the queue", "jd-close", look="primary"),
        )
    actions: list[Markup] = []
    if queue.skipped:
        words = "Go through the skipped once more" if again else f"Go through the {queue.skipped:,} skipped"
        actions.append(button(words, "jd-again", look="primary", glyph="play"))
    actions += [
        button("Evaluate", "go", glyph="chart", look="" if queue.skipped else "primary", page="evaluate"),
        button("Export the qrels", "jd-export", glyph="download", format="trec", name=queue.query_set),
        _act(label="Undo", action="jd-undo", key="u"),
        button("Close the queue", "jd-close"),
    ]
    text = (
        f"You judged {format.plural(queue.judged, 'document')}"
        + (f" and skipped {queue.skipped:,}" if queue.skipped else "")
        + ". An evaluation counts them from now on."
    )
    return empty("check", "This queue is done", text, *actions)
