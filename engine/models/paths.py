"""Where the bundled files are, in a source checkout and in an installed package alike."""

from __future__ import annotations

from pathlib import Path

import engine
from engine.errors import WorkspaceDamaged


def bundled_folder(name: str) -> Path:
    """The folder `name` of a checkout ("assets", "examples"); installed, it is the package `triptych_<name>`. Raises WorkspaceDamaged without one."""
    home = Path(engine.__file__).resolve().parent.parent
    for folder in (home / f"triptych_{name}", home / name):
        if folder.is_dir():
            return folder
    raise WorkspaceDamaged(
        f"The bundled {name} are missing (looked for triptych_{name} and {name} in {home}); reinstall triptych."
    )


def assets_folder() -> Path:
    """The folder of bundled models, styles, scripts and icons."""
    return bundled_folder("assets")
