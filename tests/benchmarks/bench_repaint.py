"""Milliseconds from Enter to the repainted page, in a real browser, for Search and for Compare with three pipelines.

    python -m tests.benchmarks.bench_repaint [--workspace FOLDER --collection NAME]

Without a workspace, the example collection in one of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from app.verbs.services import Services
from tests.browser.running import REPAINT, Running, entrance

QUESTIONS = (
    "query expansion", "late interaction", "rank fusion", "score calibration", "dense retrieval", "test collections",
    "inverted index", "relevance feedback", "learning to rank", "question answering", "hard negatives",
)  # fmt: skip


def main() -> None:
    """Ask every question on both pages; the first of each only warms up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--collection", default="papers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Services(options.workspace or Path(folder)) as services:
        if options.workspace is None:
            examples = Path(__file__).resolve().parents[2] / "examples" / "retrieval-papers"
            services.wait(services.add([str(examples)], options.collection))
        running = Running(services)
        try:
            with sync_playwright() as playwright:
                path = os.environ.get("TRIPTYCH_CHROMIUM", "/usr/bin/chromium")
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
                for page_name in ("search", "compare"):
                    page = browser.new_page(viewport={"width": 1440, "height": 900})
                    page.goto(
                        entrance(
                            f"{running.address}/?tab={page_name}&c={options.collection}&p=Hybrid&col=BM25&col=Dense&col=Hybrid"
                        )
                    )
                    page.locator("#tp-query").wait_for()
                    page.wait_for_load_state("networkidle")
                    times = [page.evaluate(REPAINT, words) for words in QUESTIONS][1:]
                    print(f"{page_name:8} median {statistics.median(times):5.0f} ms   slowest {max(times):5.0f} ms")
                browser.close()
        finally:
            running.stop()


if __name__ == "__main__":
    main()
