"""Take the README's pictures of the running workbench with its example collection: `make screenshots`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from app.ui.web.session import UiState  # noqa: E402 - the checkout is on the path only now

PICTURES = ROOT / "assets" / "screenshots"
COLLECTION = "Retrieval papers"
SIZE = {"width": 1440, "height": 900}
MAX_BYTES = 200_000
SHOTS = {
    "compare": UiState(
        page="compare",
        collection=COLLECTION,
        query="combining keyword and semantic search",
        columns=("BM25", "Sparse", "Dense", "Late"),
    ),
    "stages": UiState(
        page="compare",
        collection=COLLECTION,
        query="combining keyword and semantic search",
        columns=("BM25, reranked", "Dense"),
    ).with_options(view="stages", of="BM25, reranked"),
    "search": UiState(
        collection=COLLECTION,
        query="how should ranked lists be merged?",
        pipeline="Hybrid",
        document="cormack-2009-rrf",
    ),
    "calibrate": UiState(page="calibrate", collection=COLLECTION),
    "evaluate": UiState(page="evaluate", collection=COLLECTION),
    "judge": UiState(page="judge", collection=COLLECTION),
    "library": UiState(page="library", collection=COLLECTION),
}
# What pages show must have been made.
BEFORE = (
    ("demo", "--no-serve"),
    (
        "evaluate",
        "-p",
        "BM25",
        "-p",
        "Sparse",
        "-p",
        "Dense",
        "-p",
        "Late",
        "-p",
        "Four families",
        "-m",
        "nDCG@10",
        "-m",
        "R@100",
    ),
    (
        "calibrate",
        "-p",
        "Dense",
        "--method",
        "platt",
        "--method",
        "isotonic",
        "--method",
        "cosine_adapter",
        "--target",
        "best>=0.92",
    ),
)


def chromium() -> str:
    """The browser that is installed here."""
    names = (os.environ.get("TRIPTYCH_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("No chromium is installed; name one in TRIPTYCH_CHROMIUM.")
    return found


@contextmanager
def workbench() -> Iterator[str]:
    """The address of a workbench on a workspace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        program, workspace = (sys.executable, "-m", "app"), ("-w", f"{folder}/workspace")
        for arguments in BEFORE:
            subprocess.run([*program, *arguments, *workspace], stdout=subprocess.DEVNULL, check=True, cwd=ROOT)
        command = [*program, "demo", "--json", "--no-browser", *workspace]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
            assert server.stdout is not None
            try:
                told = json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")
                yield told["address"]
            finally:
                server.terminate()


def shoot(page: Page, address: str, name: str) -> Path:
    """One picture. It is made smaller by fewer colors when it would be too large for a README."""
    page.goto(f"{address}/?{SHOTS[name].to_query()}")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # lines between columns are drawn after the layout has settled
    target = PICTURES / f"{name}.png"
    page.screenshot(path=target)
    from PIL import Image

    image = Image.open(target).convert("RGB")
    for colors in (256, 128, 64):
        image.quantize(colors, dither=Image.Dither.NONE).save(target, optimize=True)
        if target.stat().st_size < MAX_BYTES:
            break
    return target


def main() -> None:
    """Take every picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with workbench() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)  # with the token
        for name in SHOTS:
            path = shoot(page, address.partition("/?")[0], name)
            print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    main()
