"""Where the bundled files are, in a source checkout and in an installed package alike."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import engine
from engine.errors import WorkspaceDamaged


def assets_folder() -> Path:
    """The folder of bundled assets: `assets/` beside the engine package, else the installed package `assets`. Raises WorkspaceDamaged without one."""
    beside = Path(engine.__file__).resolve().parent.parent / "assets"
    if beside.is_dir():
        return beside
    try:
        installed = files("assets")
    except ModuleNotFoundError:
        installed = None
    if isinstance(installed, Path) and installed.is_dir():
        return installed
    raise WorkspaceDamaged(
        f"The bundled assets are missing (looked beside {beside.parent / 'engine'} and for the package 'assets'); reinstall triptych."
    )
