"""What the Library says of itself."""

from __future__ import annotations

from app.ui.frame.page import Page
from app.ui.pages.library import actions

PAGE = Page(
    name=actions.NAME,
    title="Library",
    icon="library",
    order=70,
    key="l",
    bare=True,
    head=actions.head,
    main=actions.main,
    poll=actions.poll,
    around=actions.around,
    actions=actions.ACTIONS,
    options=("view",),
    alerts=("lib-add-alert",),
)
