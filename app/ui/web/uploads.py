"""Uploaded files: kept in a private folder of the workspace until the job that reads them is done, and never served."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from app.verbs.services import Services
from engine.errors import BadInput, NotFound
from engine.system import belongings
from engine.system.permissions import private_folder, private_opener, tighten_tree
from engine.workspace.creation import UPLOADS

OVER = ("done", "cancelled")
UNCLAIMED_SECONDS = 24 * 3600
CLAIMED_SECONDS = 14 * 24 * 3600
_UPLOAD = re.compile(r"[0-9a-f]{64}")
_COMING = re.compile(r"tmp[a-z0-9_]{8}")


class Uploads:
    """The folder `tmp/uploads` of a workspace: one folder per upload, and beside it the ids of the jobs that read it."""

    def __init__(self, workspace: Path, *, create: bool = True) -> None:
        self._workspace = workspace.resolve()
        self._changing = create
        self.root = self._workspace.joinpath(*UPLOADS)
        if create:
            private_folder(private_folder(self._workspace / UPLOADS[0]) / UPLOADS[1])

    def for_reading(self) -> Uploads:
        """These uploads for one who may change nothing: nothing is claimed, discarded or swept."""
        return Uploads(self._workspace, create=False)

    def owns(self, path: str) -> bool:
        """Whether a path is a file that was uploaded here; links and ways out are not."""
        given = Path(path)
        try:
            real = given.resolve(strict=True)
        except (OSError, ValueError):
            return False
        inside = real.is_relative_to(self.root) and len(real.relative_to(self.root).parts) == 2
        return (
            inside
            and _UPLOAD.fullmatch(real.parent.name) is not None
            and given.is_absolute()
            and real.is_file()
            and not given.is_symlink()
        )

    def checked(self, paths: Sequence[str], *, anywhere: bool) -> tuple[str, ...]:
        """The paths, where each was uploaded, or `anywhere` on this computer is allowed. Raises BadInput."""
        for path in paths:
            if not anywhere and not self.owns(path):
                raise BadInput(
                    f"{Path(path).name!r} is not an uploaded file. Paths on the server are only read from this computer itself."
                )
        return tuple(paths)

    def claim(self, paths: Sequence[str], job_id: str) -> None:
        """Remember which job reads these files, so that they stay until it is done."""
        if not self._changing:
            return
        for folder in {Path(path).parent for path in paths if self.owns(path)}:
            tighten_tree(folder)
            with open(folder.parent / f"{folder.name}.jobs", "a", encoding="utf-8", opener=private_opener) as claims:
                claims.write(f"{job_id}\n")

    def discard(self, paths: Sequence[str]) -> None:
        """Delete uploads that were not added after all."""
        if not self._changing:
            return
        for folder in {Path(path).parent for path in paths if self.owns(path)}:
            if not (folder.parent / f"{folder.name}.jobs").exists():
                belongings.delete_folder(folder, self._workspace)

    def sweep(self, services: Services) -> int:
        """Delete what no job needs any more: files of finished jobs, and old files that were never added. Gives how many.

        Only what has the name of an upload: a folder is named by the hash of its file, a file in the making `tmp…`.
        """
        if not self._changing or not belongings.is_within(self.root, self._workspace) or not self.root.is_dir():
            return 0
        swept = 0
        for stray in [
            path for path in self.root.iterdir() if _COMING.fullmatch(path.name) and belongings.is_file(path)
        ]:
            if time.time() - stray.stat().st_mtime > UNCLAIMED_SECONDS:
                stray.unlink(missing_ok=True)
                swept += 1
        for folder in [
            path for path in self.root.iterdir() if _UPLOAD.fullmatch(path.name) and belongings.is_folder(path)
        ]:
            claims = self.root / f"{folder.name}.jobs"
            age = time.time() - folder.stat().st_mtime
            jobs = claims.read_text(encoding="utf-8").split() if claims.exists() else []
            over = all(_over(services, job) for job in jobs) if jobs else False
            if over or age > (CLAIMED_SECONDS if jobs else UNCLAIMED_SECONDS):
                belongings.delete_folder(folder, self._workspace)
                claims.unlink(missing_ok=True)
                swept += 1
        return swept


def _over(services: Services, job_id: str) -> bool:
    try:
        return services.job(job_id).status in OVER
    except NotFound:
        return True
