"""What the page says when something went wrong, when there is something to know, and when there is nothing yet."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing.html import Child, el, join, prose
from app.drawing.icons import icon

TITLES = {
    "BadInput": "This cannot be used as it is",
    "NotFound": "Not found",
    "WorkspaceInUse": "The workspace is in use",
    "WorkspaceDamaged": "A stored file is damaged",
    "ReadOnly": "This is open for reading only",
    "MissingDependency": "An optional part is not installed",
    "StorageFull": "There is no room left",
    "StorageFailed": "The disk reported an error",
    "NotExact": "This index cannot tell that",
    "IndexNotReady": "The index is not ready",
    "IndexBeingBuilt": "The index is being built",
    "Cancelled": "Cancelled",
    "Unreachable": "No answer from the server that was asked",
    "Pipeline": "This pipeline failed",
    "Job": "The job failed",
    "Busy": "Too many requests at once",
}


BEING_BUILT = "IndexBeingBuilt"


def error_box(kind: str, message: str, *actions: Child) -> Markup:
    """An error in place: what happened, to which input, what to do (the message says it), and buttons that do it."""
    return el(
        "div",
        icon("warning"),
        el(
            "div",
            el("strong", TITLES.get(kind, "Something went wrong")),
            el("p", prose(message), dir="auto"),
            el("div", *actions, class_="box-actions") if actions else None,
        ),
        class_="box box-error",
        role="alert",
    )


def index_missing(kind: str, message: str, *actions: Child) -> Markup:
    """An index that a search needs is not there: it is being built, or `actions` build it. kind: the error's class."""
    if kind != BEING_BUILT:
        return error_box(kind, message, *actions)
    return el(
        "div",
        icon("clock"),
        el(
            "div",
            el("strong", "The index is being built"),
            el("p", "What was asked is answered here as soon as it is ready; the documents can be read meanwhile."),
        ),
        class_="box box-note box-wait",
        role="status",
    )


def notices(messages: Sequence[str]) -> Markup:
    """Things to know that are no errors."""
    return join(
        el("div", icon("info"), el("p", prose(text), dir="auto"), class_="box box-note", role="status")
        for text in messages
    )


def reading(what: str) -> str:
    """Why something is not offered here, for those who may only read, and where it is."""
    return f"This is open for reading only. {what} where the workspace is open for writing."


def empty(glyph: str, title: str, text: str, *actions: Child) -> Markup:
    """An empty state that says what to do next."""
    return el(
        "div",
        el("div", icon(glyph), class_="empty-art"),
        el("h2", title),
        el("p", prose(text)),
        el("div", *actions, class_="empty-actions") if actions else None,
        class_="empty",
    )
