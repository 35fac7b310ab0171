"""The Gradio app: one HTML component that holds the page, and one server function behind it.

Gradio carries the session, the call and the uploads; regions of the page are replaced by escaped HTML that the views write. One event
is one call is one answer, without the queue in between, which is what lets three pipelines repaint while the key is still going up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.ui.web.access import asking
from app.ui.web.dispatch import Dispatcher

if TYPE_CHECKING:
    from gradio import Blocks

GLUE = """
const attach = () => window.Triptych.attach(element, server);
if (window.Triptych) attach(); else window.addEventListener('triptych-ready', attach, {once: true});
"""


def build(dispatcher: Dispatcher) -> Blocks:
    """The app around a dispatcher."""
    import gradio as gr

    def call(payload: Any) -> dict[str, Any]:
        """Answer one request of the page."""
        return dispatcher.call(payload, asking())

    blocks: Blocks
    with gr.Blocks(title="Triptych", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(
            value=dispatcher.site.html,
            js_on_load=GLUE,
            server_functions=[call],
            apply_default_css=False,
            elem_id="triptych",
            padding=False,
        )
    return blocks
