"""The pipeline editor: a side pane that stands beside every page."""

from __future__ import annotations

from app.ui.frame.page import Panel, Part
from app.ui.pages.editor import actions

PART = Part(
    name="editor",
    actions=actions.ACTIONS,
    panels={"editor": Panel(draw=actions.pane, bare=True)},
    alerts=("tp-editor-status",),
)
