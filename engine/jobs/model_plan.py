"""What adding a model would do: which files, how many bytes, and whether this installation can do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.jobs.model_add import LICENCES, AddModel, can_convert, local_licence, missing_packages, refuse_unusable
from engine.models.hub.sources import Plan, first_files, local_sizes, plan
from engine.system.scratch import scratch as scratch_folder


def plan_model(asked: AddModel) -> dict[str, Any]:
    """name, source, revision, family, how, files, bytes, licence, ready, notes. Of a hub repository only the small
    configuration files are fetched.

    Raises what adding would raise at once.
    """
    refuse_unusable(asked)
    if asked.local:
        folder = Path(asked.source)
        sizes = local_sizes(folder)
        licence = local_licence(folder, asked.entry)
        chosen = plan(folder, sizes, folder.name, asked.family, asked.precision, can_convert(asked))
        return _told(asked, chosen, sizes, "", licence)
    from engine.models.hub.hub import Hub

    with Hub(allow_hosts=asked.allow_hosts) as hub, scratch_folder("plan") as scratch:
        repository = hub.describe(asked.repository, asked.revision)
        sizes = {file.path: file.bytes for file in repository.files}
        for file in repository.files:
            if file.path in first_files(sizes):
                hub.fetch(repository, file, Path(scratch) / file.path, lambda _: None)
        family = asked.family or (asked.entry.family if asked.entry else None)
        chosen = plan(Path(scratch), sizes, repository.name, family, asked.precision, can_convert(asked))
        elsewhere = hub.where(repository, [file for file in repository.files if file.path in chosen.files])
    licence = asked.entry.licence if asked.entry else LICENCES.get(repository.licence, repository.licence or "unknown")
    return _told(asked, chosen, sizes, repository.commit, licence, elsewhere)


def _told(
    asked: AddModel,
    chosen: Plan,
    sizes: Mapping[str, int],
    revision: str,
    licence: str,
    elsewhere: Sequence[str] = (),
) -> dict[str, Any]:
    """The plan in words. elsewhere: the hosts that the hub sends to for these files."""
    missing = missing_packages(chosen)
    notes = [f"Converting it needs {', '.join(missing)}: pip install 'triptych-search[export]'"] if missing else []
    if elsewhere:
        notes.append(f"The hub sends to other hosts for its files: {', '.join(elsewhere)}.")
    files = tuple((path, sizes[path]) for path in dict.fromkeys(chosen.files))
    return {
        "name": asked.target,
        "source": asked.source if asked.local else asked.repository,
        "revision": revision,
        "family": chosen.family,
        "how": chosen.how,
        "files": files,
        "bytes": sum(size for _, size in files),
        "licence": licence,
        "ready": not missing,
        "notes": tuple(notes),
    }
