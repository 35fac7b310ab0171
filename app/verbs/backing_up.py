"""The workspace as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from app.verbs.base import Verbs

if TYPE_CHECKING:
    from engine.keeping.backup import Backup


class BackupVerbs(Verbs):
    """What keeps a copy of a workspace."""

    def backup(self, file: Path | str, *, with_models: bool = False) -> Backup:
        """Write everything but the indexes into one new file, while the workspace goes on being used. Changes nothing in the workspace.

        Raises BadInput where the file is there already or lies in the workspace, StorageFull, WorkspaceDamaged.
        """
        from engine.keeping.backup import backup

        return backup(self.engine.workspace, Path(file), with_models=with_models)
