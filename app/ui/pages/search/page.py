"""What the Search page says of itself."""

from __future__ import annotations

from app.ui.frame.grading import USUAL
from app.ui.frame.page import Lists, Page, Panel
from app.ui.pages.search import actions

PAGE = Page(
    name="search",
    title="Search",
    icon="search",
    order=10,
    key="s",
    head=actions.head,
    main=actions.main,
    lists=Lists(redrawn=actions.found, pipeline=lambda state, column: state.pipeline, depth=lambda state: USUAL),
    asked=True,
    actions=actions.ACTIONS,
    panels={"shortlist": Panel(draw=actions.shortlist_pane)},
    options=("wide",),
    waiting=("#tp-results .box-error", "#tp-results .box-wait", ".is-filling"),
)
