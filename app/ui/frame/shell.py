"""The frame of the page: sidebar, main region, side pane, and the help dialog."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing import jobs as job_views
from app.drawing.controls import button, icon_button, kbd
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.results.search import CollectionView, JobView, WorkspaceView
from app.ui.frame import registry
from app.ui.frame.page import Page

STATES = {
    "ready": "Ready",
    "behind": "Index behind",
    "indexing": "Indexing",
    "paused": "Adding is paused",
    "unindexed": "Not indexed",
    "empty": "Empty",
}
KEYS = (
    (("/",), "Go to the query"),
    (("Enter",), "Run it, or open the selected result"),
    (("j", "↓"), "Next result"),
    (("k", "↑"), "Previous result"),
    (("←", "→"), "Other column (Compare)"),
    (("o",), "Open the selected result"),
    (("s",), "Keep it on the shortlist, or take it off"),
    (("0", "1", "2", "3"), "Judge the selected result, or the document on Judge; again takes it back"),
    (("w",), "Why is it not in every column? (Compare)"),
    (("Esc",), "Close the pane, leave the query"),
)
"""The keys of the frame. After them stand those of the pages, how to go there, and how to see this list."""


def keys() -> list[tuple[tuple[str, ...], str]]:
    """Every key and what it does."""
    there = [page for page in registry.navigation() if page.key]
    own = [line for part in registry.parts() if isinstance(part, Page) for line in part.keys]
    go = (tuple(f"g {page.key}" for page in there), f"Go to {', '.join(page.title for page in there)}")
    return [*KEYS, *own, go, (("?",), "This list")]


def frame(known: str = "") -> Markup:
    """The page before anything is known. Regions are filled by their ids and never replaced themselves. `known` is told to the script."""
    return el(
        "div",
        el("a", "Skip to the results", href="#tp-main", class_="skip"),
        el("div", class_="progress", id="tp-progress", aria_hidden="true"),
        el("aside", skeleton(), id="tp-sidebar", class_="sidebar", aria_label="Workspace"),
        el(
            "main",
            el("div", id="tp-head", class_="page-head"),
            el("div", id="tp-alert", class_="alerts", aria_live="assertive"),
            el("div", el("div", class_="ghost-page", aria_hidden="true"), id="tp-main", class_="page", tabindex="-1"),
            class_="main",
        ),
        el("aside", id="tp-side", class_="side", aria_label="Details", hidden=True),
        el("div", id="tp-live", class_="sr-only", aria_live="polite"),
        help_dialog(),
        el("dialog", id="tp-dialog", class_="dialog"),
        id="tp-app",
        class_="app",
        data_known=known or None,
    )


def skeleton() -> Markup:
    """The sidebar while the first answer is on its way."""
    return join(
        brand(),
        el("nav", [_page(page, current="") for page in registry.navigation()], class_="pages", aria_label="Pages"),
    )


def brand() -> Markup:
    """Name and mark."""
    return el("div", icon("logo"), el("span", "Triptych"), class_="brand")


def _page(page: Page, *, current: str) -> Markup:
    return el(
        "button",
        icon(page.icon),
        el("span", page.title),
        type="button",
        class_=classes("page-link", "is-current" if page.name == current else ""),
        data_action="go",
        data_page=page.name,
        title=page.title,
        aria_current="page" if page.name == current else None,
    )


def sidebar(view: WorkspaceView, page: str, collection: str, jobs: Sequence[JobView]) -> Markup:
    """Pages, collections with size and index state, running jobs, and the workspace."""
    current = registry.page(page).under or page
    return join(
        brand(),
        el(
            "nav",
            [_page(entry, current=current) for entry in registry.navigation()],
            class_="pages",
            aria_label="Pages",
        ),
        el(
            "button",
            icon("folder"),
            type="button",
            class_="page-link only-rail",
            data_local="collections",
            title=f"Collections: {collection}" if collection else "Collections",
            aria_label="Collections",
            aria_expanded="false",
            aria_controls="tp-collections",
        ),
        el(
            "section",
            el(
                "div",
                el("h2", "Collections"),
                None if view.read_only else icon_button("New collection", "new-collection", "plus"),
                class_="side-head",
            ),
            el("ul", [_collection(item, item.name == collection) for item in view.collections], class_="collections")
            if view.collections
            else el("p", "None yet. Add documents in the Library.", class_="muted small"),
            class_="side-section grow",
            id="tp-collections",
        ),
        el("div", jobs_line(jobs), id="tp-jobline"),
        _foot(view),
    )


def _collection(item: CollectionView, chosen: bool) -> Markup:
    return el(
        "li",
        el(
            "button",
            el("span", class_=f"state s-{item.state}", title=STATES.get(item.state, item.state)),
            el("span", item.name, class_="collection-name", dir="auto"),
            el("span", format.count(item.documents), class_="collection-count"),
            el(
                "span",
                f"{STATES.get(item.state, item.state)} · {format.size(item.bytes)}",
                class_="collection-state",
            ),
            type="button",
            class_=classes("collection", "is-current" if chosen else ""),
            data_action="collection",
            data_name=item.name,
            title=f"{item.name}: {format.plural(item.documents, 'document')}, {format.plural(item.passages, 'passage')}",
            aria_current="true" if chosen else None,
        ),
        data_key=item.name,
    )


def jobs_line(jobs: Sequence[JobView]) -> Markup | None:
    """Running work, in one line at the foot of the sidebar."""
    active = [job for job in jobs if job.status in ("running", "queued", "paused")]
    if not active:
        return None
    job = next((job for job in active if job.status == "running"), active[0])
    share = 100 * job.done / job.total if job.total else None
    more = f" · {len(active) - 1} more" if len(active) > 1 else ""
    return el(
        "button",
        el("span", format.shorten(job.label, 40), class_="jobline-label", dir="auto"),
        el(
            "span",
            job_views.WISHES.get(job.wish) or f"{job.phase or job.status}{'' if share is None else f' {share:.0f}%'}",
            more,
            class_="muted",
        ),
        el(
            "span",
            el("i", style=f"width:{share or 0:.1f}%"),
            class_=classes("meter", "meter-idle" if share is None else ""),
        ),
        type="button",
        class_="jobline",
        data_action="go",
        data_page="library",
        data_running=",".join(item.job_id for item in active if item.status != "paused"),
        title="Watch it in the Library",
    )


def _foot(view: WorkspaceView) -> Markup:
    return el(
        "div",
        el(
            "div",
            icon("folder"),
            el("span", view.folder.rstrip("/").rsplit("/", 1)[-1] or view.folder, class_="folder", title=view.folder),
            el("span", f"{format.size(view.bytes)} used, {format.size(view.free_bytes)} free", class_="muted"),
            el("span", "Read only", class_="chip", data_readonly=True) if view.read_only else None,
            class_="workspace",
        ),
        el(
            "div",
            el(
                "button",
                icon("sun"),
                icon("moon"),
                type="button",
                class_="icon-btn theme",
                data_local="theme",
                title="Light or dark",
                aria_label="Light or dark",
            ),
            el(
                "button",
                icon("keyboard"),
                type="button",
                class_="icon-btn",
                data_local="keys",
                title="Keys (?)",
                aria_label="Keys",
            ),
            class_="row",
        ),
        class_="side-foot",
    )


def help_dialog() -> Markup:
    """The keys."""
    return el(
        "dialog",
        el(
            "div",
            el("h2", "Keys"),
            el(
                "button", icon("close"), type="button", class_="icon-btn", data_local="close-dialog", aria_label="Close"
            ),
            class_="dialog-head",
        ),
        el(
            "dl",
            [[el("dt", [kbd(key) for key in combination]), el("dd", what)] for combination, what in keys()],
            class_="keys",
        ),
        id="tp-keys",
        class_="dialog",
        aria_label="Keys",
    )


def ask_dialog(
    title: str,
    text: str,
    action: str,
    confirm: str,
    *,
    fields: Sequence[tuple[str, str, str]] = (),
    danger: bool = False,
    **data: str,
) -> Markup:
    """A question: text fields (key, label, value), confirm and cancel. The answer runs `action`."""
    named = {f"data_{key}": item for key, item in data.items()}
    return el(
        "form",
        el("h2", title),
        el("p", text, dir="auto") if text else None,
        el("div", id="tp-dialog-alert"),
        [
            el(
                "label",
                label,
                el(
                    "input",
                    type="text",
                    class_="input",
                    data_field=key,
                    value=value,
                    autocomplete="off",
                    dir="auto",
                    autofocus=place == 0,
                ),
            )
            for place, (key, label, value) in enumerate(fields)
        ],
        el(
            "div",
            el("button", "Cancel", type="button", class_="btn", data_local="close-dialog"),
            el(
                "button",
                confirm,
                type="submit",
                class_=classes("btn", "btn-danger" if danger else "btn-primary"),
                autofocus=not fields,
            ),
            class_="row dialog-foot",
        ),
        data_form=True,
        data_action=action,
        data_alert="tp-dialog-alert",
        class_="dialog-form",
        **named,
    )


__all__ = ["ask_dialog", "button", "frame", "jobs_line", "sidebar"]
