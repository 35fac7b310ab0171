"""Jobs that bring models into a workspace and take them out: look up, download, convert, verify, publish; each step can
be cancelled or resumed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from engine.errors import BadInput, StorageFull, WorkspaceDamaged
from engine.export.trial import take, try_out
from engine.jobs.base import MODELS_VIEW, JobKind
from engine.models.card import CARD_FILE, FamilyName, ModelCard, Prompts, read_card, write_card
from engine.models.entries import CatalogueEntry, entry_of
from engine.models.family import family_of
from engine.models.hub.hub import checked_repository
from engine.models.hub.sources import Plan, attention_shape, first_files, local_sizes, plan
from engine.models.verify import verify_files
from engine.types import Progress
from engine.workspace.models import checked_model_name

if TYPE_CHECKING:
    from engine.models.hub.hub import Hub, HubFile, Repository
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace

LICENCES = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
}
CONVERTERS = ("torch", "sentence_transformers", "onnx")
ROUNDERS = ("onnx",)
SPARE = 1.2
"""Free space asked for, as a multiple of what is downloaded and made from it."""
ANNOUNCED = "announced"
"""A file in the folder of the job that says which model it publishes next."""


class AddModel(BaseModel):
    """What is asked for. source: a catalogue name, a hub repository OWNER/NAME, or a local folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, max_length=4096)
    local: bool = False
    name: str = ""
    family: FamilyName | None = None
    revision: str = "main"
    quantise: str | None = Field(None, pattern="^(none|fp16|int8|int4)$")
    dimensions: int | None = Field(None, ge=1)
    replace: bool = False
    force: bool = False
    allow_hosts: tuple[str, ...] = ()

    @property
    def entry(self) -> CatalogueEntry | None:
        """What the catalogue knows about it."""
        return entry_of(Path(self.source).name if self.local else self.source)

    @property
    def repository(self) -> str:
        """The hub's name of it, unchecked. Raises BadInput where it is neither in the catalogue nor written like
        one."""
        if self.entry is not None:
            return self.entry.hub
        if "/" not in self.source:
            raise BadInput(
                f"{self.source[:120]!r} is not in the catalogue. See `triptych models list`, or give a hub "
                "repository as OWNER/NAME."
            )
        return self.source

    @property
    def target(self) -> str:
        """The name that the model gets here. Raises BadInput."""
        default = self.entry.name if self.entry is not None and not self.local else Path(self.source).name
        return checked_model_name(self.name or re.sub(r"[^A-Za-z0-9._-]+", "-", default).strip(".-_"))

    @property
    def precision(self) -> str | None:
        """The weights that are asked for; None takes a graph as it is, which cannot be where vectors are to be cut."""
        return self.quantise or ("int8" if self.dimensions else None)


class ModelAddJob(JobKind, name="model-add"):
    """Gets a model, and makes it one that runs here. Its row holds the fields of AddModel."""

    makes: ClassVar[str] = "model"
    address: ClassVar[Mapping[str, str]] = MODELS_VIEW

    asked: AddModel

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Self:
        """As JobKind.read, where the parameters are those of AddModel."""
        return super().read({"asked": params})

    def label(self) -> str:
        """The name that it gets, else where it comes from."""
        source = self.asked.source
        return f"Add the model {self.asked.name or (Path(source).name if self.asked.local else source)}"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises what `add_model` raises."""
        models, key = engine.workspace.models, running.job.job_id
        try:
            card = add_model(engine.workspace, self.asked, key, running)
        except BaseException:
            if running.wish == "cancel" or self.asked.local:  # only what was downloaded is worth keeping
                models.drop_work(key)
            raise
        models.drop_work(key)
        running.counts.update({"bytes": card.bytes, "model": card.name})


def add_model(workspace: Workspace, asked: AddModel, key: str, running: Running) -> ModelCard:
    """Get, convert where needed, try out and publish a model; what was downloaded under the same key before is taken up
    again.

    Raises BadInput, NotFound, Unreachable, StorageFull, MissingDependency, and what `running` raises.
    """
    name, entry = asked.target, asked.entry
    refuse_unusable(asked)
    work = workspace.models.work_folder(key)
    here = workspace.models.cards().get(name)
    if here is not None and _announced(work) == here.fingerprint:
        return here  # the program ended after this job had published it, and before that was written down
    workspace.models.refuse_taken(name, asked.replace)
    if asked.local:
        source = Path(asked.source)
        running(Progress("look up", 0, None, "files"))
        chosen = plan(source, local_sizes(source), source.name, asked.family, asked.precision, can_convert(asked))
        require_packages(source.name, chosen)
        about = {
            "source": f"folder {source.name}",
            "revision": "unknown",
            "licence": local_licence(source, entry),
        }
    else:
        source, chosen, about = _download(asked, work, workspace.disk_free, running)
    built = work / "built"
    shutil.rmtree(built, ignore_errors=True)
    about = {"name": name, "title": name, **about, "citation": entry.citation if entry else ""}
    with workspace.database.translated(f"the model {name!r}"):
        card = _Making(asked, source, chosen, about).into(built, running)
        if entry is not None and family_of(card.family).looks_up and card.queries != entry.queries:
            raise BadInput(
                f"{entry.name} is made for {entry.queries} queries, but its files say {card.queries}: they lack the "
                "stages of sentence-transformers. Name a revision that has them, with --revision."
            )
        running(Progress("try out", 0, None, "texts"))
        try_out(built, card, running.check)
        running(Progress("publish", 0, None, "models"))
        (work / ANNOUNCED).write_text(card.fingerprint, encoding="utf-8")
        return workspace.models.publish(built, name, replace=asked.replace)


def _announced(work: Path) -> str:
    """The fingerprint of the model that an earlier attempt was about to publish; "" where it did not come so far."""
    try:
        return (work / ANNOUNCED).read_text(encoding="utf-8")
    except OSError:
        return ""


def local_licence(folder: Path, entry: CatalogueEntry | None) -> str:
    """The license of a model in a folder: what the catalogue or its card knows, else what its README states in front of
    its text, else "unknown"."""
    if entry is not None:
        return entry.licence
    if (folder / CARD_FILE).is_file():
        return read_card(folder).licence
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            head = file.read(20_000)
    except OSError:
        return "unknown"
    front = re.match(r"\ufeff?---\s*\n(.*?)\n---\s*\n", head, re.DOTALL)
    stated = re.search(r"^license:[ \t]*['\"]?([\w.+-]{1,60})['\"]?[ \t]*$", front[1], re.MULTILINE) if front else None
    return LICENCES.get(stated[1].lower(), stated[1]) if stated else "unknown"


def refuse_unusable(asked: AddModel) -> None:
    """Say at once what would fail at the end: no such name, or a model that cannot be run here. Raises BadInput."""
    checked_model_name(asked.target)
    if not asked.local:
        checked_repository(asked.repository)
    entry = asked.entry
    if entry is not None and not entry.runs:
        raise BadInput(f"{entry.name} cannot be added: {entry.note}")


def _download(
    asked: AddModel, work: Path, free: Callable[[], int], running: Running
) -> tuple[Path, Plan, dict[str, str]]:
    from engine.models.hub.hub import Hub

    running(Progress("look up", 0, None, "files"))
    with Hub(asked.allow_hosts) as hub:
        repository = hub.describe(asked.repository, asked.revision)
        source = work / repository.commit
        by_path = {file.path: file for file in repository.files}
        sizes = {path: file.bytes for path, file in by_path.items()}
        _fetch(hub, repository, [by_path[path] for path in first_files(sizes)], source, running)
        chosen = plan(
            source,
            sizes,
            repository.name,
            asked.family or (asked.entry.family if asked.entry else None),
            asked.precision,
            can_convert(asked),
        )
        require_packages(repository.name, chosen)
        wanted = [by_path[path] for path in dict.fromkeys(chosen.files)]
        _need_space(wanted, source, free(), repository.name)
        _fetch(hub, repository, wanted, source, running)
        if hub.elsewhere:
            running.counts["hosts"] = ", ".join((hub.host, *hub.elsewhere))
    licence = asked.entry.licence if asked.entry else LICENCES.get(repository.licence, repository.licence or "unknown")
    return source, chosen, {"source": repository.name, "revision": repository.commit, "licence": licence}


def can_convert(asked: AddModel) -> bool:
    """Whether weights can be converted here. Vectors are cut nowhere else, so who asks for that is told what is
    missing."""
    if asked.dimensions:
        return True
    own_code = asked.entry is not None and asked.entry.custom_code
    return not own_code and all(find_spec(module) is not None for module in CONVERTERS)


def missing_packages(chosen: Plan) -> list[str]:
    """What a plan needs and this installation lacks."""
    needed = {"convert": CONVERTERS, "round": ROUNDERS}.get(chosen.how, ())
    return [module for module in needed if find_spec(module) is None]


def require_packages(name: str, chosen: Plan) -> None:
    """Raises MissingDependency before gigabytes are downloaded that could not be converted."""
    missing = missing_packages(chosen)
    if missing:
        from engine.errors import MissingDependency

        raise MissingDependency(
            f"{name} has to be converted here, which needs {', '.join(missing)}. Install with: pip install "
            "'triptych-search[export]'"
        )


def _need_space(files: list[HubFile], source: Path, free: int, name: str) -> None:
    total = sum(file.bytes for file in files)
    here = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    needed = int((2 * total - here) * SPARE)
    if needed > free:
        raise StorageFull(
            f"{name} needs {needed / 1e9:.1f} GB while it is added, and {free / 1e9:.1f} GB are free. Free some "
            "space, or add a smaller model."
        )


def _fetch(hub: Hub, repository: Repository, files: list[HubFile], source: Path, running: Running) -> None:
    total, done = sum(file.bytes for file in files), 0
    for file in files:

        def tell(here: int, before: int = done) -> None:
            running(Progress("download", (before + here) // 1000, max(1, total // 1000), "kB"))

        hub.fetch(repository, file, source / file.path, tell)
        done += file.bytes


@dataclass(frozen=True, slots=True)
class _Making:
    """A model folder to be made: what was asked for, the files at hand, how they become a model, and what its card says
    of their origin."""

    asked: AddModel
    source: Path
    plan: Plan
    about: dict[str, str]

    def into(self, built: Path, running: Running) -> ModelCard:
        """The model folder `built`, with its card."""
        if self.plan.how == "convert":
            return self._converted(built, running)
        running(Progress("copy", 0, None, "files"))
        if self.plan.how == "round":
            return self._rounded(built, running)
        built.mkdir()
        if self.plan.how == "graph":
            return self._taken(built, running)
        _copy_finished(self.source, built, running)
        return _renamed(built, {"name": self.about["name"]})

    def _converted(self, built: Path, running: Running) -> ModelCard:
        """The source's weights as a graph."""
        from engine.export.convert import convert

        options: dict[str, Any] = {
            "quantise": self.asked.precision or "int8",
            "family": self.plan.family,
            "about": self.about,
            "force": self.asked.force,
        }
        further = {"dimensions": self.asked.dimensions} if self.asked.dimensions else {}
        convert(self.source, built, options | further, running, running.check)
        return _renamed(built, self.about, self.asked.entry)

    def _taken(self, target: Path, running: Running) -> ModelCard:
        """The source's own graph as it is."""
        return take(self.source, target, self.plan, self.about, self.asked.entry, running.check)

    def _rounded(self, built: Path, running: Running) -> ModelCard:
        """The source's own graph in fewer bits."""
        from engine.export.convert import convert

        plain = built.with_name("plain")
        shutil.rmtree(plain, ignore_errors=True)
        plain.mkdir()
        if self.plan.graph:
            self._taken(plain, running)
        else:
            _copy_finished(self.source, plain, running)
        shape = attention_shape(self.source)
        options = {"task": "round", "quantise": self.asked.precision, "force": self.asked.force, **shape}
        try:
            convert(plain, built, options, running, running.check)
        finally:
            shutil.rmtree(plain, ignore_errors=True)
        return _renamed(built, self.about)


def _copy_finished(source: Path, target: Path, running: Running) -> None:
    """The card and the files that it lists. Raises BadInput on a card that names files elsewhere, or others than are
    there."""
    card = read_card(source)
    for file in (CARD_FILE, *card.files):
        if Path(file).name != file:
            raise BadInput(f"The card of {source.name} lists {file!r}, which is not a file of its folder.")
    try:
        verify_files(source, card)
    except WorkspaceDamaged as error:
        raise BadInput(
            f"{source} is not whole, so nothing was added. {str(error).split(';')[0]}. Fetch it again."
        ) from None
    for file in (CARD_FILE, *card.files):
        shutil.copyfile(source / file, target / file)
        running.check()


def _renamed(built: Path, about: dict[str, str], entry: CatalogueEntry | None = None) -> ModelCard:
    """The card in the folder, under the name that the model gets here, with the prompts that its makers ask for where
    its files name none."""
    card = read_card(built)
    unsaid = entry is not None and family_of(card.family).pools and card.prompts == Prompts()
    prompts = entry.prompts if entry is not None and unsaid else card.prompts
    card = card.model_copy(update={"name": about["name"], "prompts": prompts})
    write_card(built, card)
    return card
