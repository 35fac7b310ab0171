"""Models: what is here, what could be, and the jobs that add, measure and delete them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.results.models import ModelPlan, ModelView, SpeedView
from app.verbs.base import writes
from app.verbs.pipelines import PipelineVerbs
from engine.errors import BadInput, NotFound
from engine.models.card import FIRST_FAMILY, ModelCard
from engine.models.catalogue import bundled_models
from engine.models.entries import CatalogueEntry, catalogue, entry_of
from engine.models.family import families

if TYPE_CHECKING:
    from engine.export.speed.bench import Benchmark
    from engine.jobs.model_add import AddModel

STATES = ("bundled", "here", "available")


@dataclass(frozen=True, slots=True)
class Known:
    """What a workspace knows about models, by name: its own cards, what is wrong with others, which are being added, who uses them, how fast they are."""

    own: Mapping[str, ModelCard] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    adding: Collection[str] = ()
    collections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pipelines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    speeds: Mapping[str, SpeedView | None] = field(default_factory=dict)


def views(known: Known) -> tuple[ModelView, ...]:
    """Everything that is here or in the catalogue, in the order in which it is shown; for a workspace that is not there, `Known()`."""
    found = []
    for state, cards in (("bundled", bundled_models()), ("here", known.own)):
        found += [_from_card(name, card, state, known) for name, card in cards.items() if name not in known.broken]
    found += [_damaged(name, problem, known) for name, problem in known.broken.items()]
    taken = {view.name for view in found}
    for name, entry in catalogue().items():
        if name not in taken:
            found.append(_from_entry(entry, "adding" if name in known.adding else "available", known))
    order = {"bundled": 0, "here": 1, "damaged": 1, "adding": 1, "available": 2}
    kinds = list(families())
    return tuple(sorted(found, key=lambda view: (order[view.state], kinds.index(view.family), view.name.lower())))


def chosen(known: Sequence[ModelView], *, family: str = "", state: str = "", text: str = "") -> tuple[ModelView, ...]:
    """The models of a family, in a state, with all of these words somewhere in what is told of them. Raises BadInput."""
    if family and family not in families():
        raise BadInput(f"There is no family {family!r}. Families: {', '.join(families())}.")
    if state and state not in STATES:
        raise BadInput(f"There is no state {state!r}. States: {', '.join(STATES)}.")
    states = {"here": ("here", "adding", "damaged")}.get(state, (state,) if state else ())
    words = text.lower().split()
    return tuple(
        view
        for view in known
        if (not family or view.family == family)
        and (not states or view.state in states)
        and all(word in _searched(view) for word in words)
    )


def named(known: Sequence[ModelView], name: str) -> ModelView:
    """The model of this name or hub repository, upper and lower case alike. Raises NotFound."""
    wanted = name.strip().lower()
    for view in known:
        if wanted and wanted in (view.name.lower(), view.hub.lower()):
            return view
    here = ", ".join(view.name for view in known if view.state != "available")
    raise NotFound(f"There is no model {name!r} here or in the catalogue. Here: {here}.")


def request(source: str, options: Mapping[str, Any]) -> AddModel:
    """What is asked to be added, checked. A source that looks like a path or is a folder is one, unless the option `local` forbids it.

    Raises BadInput.
    """
    from pydantic import ValidationError

    from engine.jobs.model_add import AddModel, refuse_unusable

    values = {key: value for key, value in options.items() if value not in (None, "")}
    source, local = source.strip(), values.pop("local", None)
    if not source:
        raise BadInput("Name a model first: one of the catalogue, a hub repository as OWNER/NAME, or a folder.")
    try:
        path = Path(source).expanduser()
    except RuntimeError as error:
        raise BadInput(f"{source[:200]} cannot be reached: {error}") from error
    if local is None:
        known = entry_of(source) is not None
        local = not known and (path.is_absolute() or source.startswith((".", "~")) or _is_folder(path))
    if local and not _is_folder(path):
        raise BadInput(
            f"There is no folder {str(path)[:200]}. A model is added from a folder in sentence-transformers layout."
        )
    try:
        asked = AddModel(source=str(path.absolute()) if local else source, local=bool(local), **values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    refuse_unusable(asked)
    return asked


def plan(asked: AddModel) -> ModelPlan:
    """What adding a model would do; asks the hub, but for no weights."""
    from engine.jobs.model_plan import plan_model

    return ModelPlan(**plan_model(asked))


class ModelVerbs(PipelineVerbs):
    """What can be done with models."""

    def models(self, *, family: str = "", state: str = "", text: str = "") -> tuple[ModelView, ...]:
        """The models that are here and those of the catalogue: bundled, own, available; each group in alphabetical order.

        family: the name of one, as "dense" or "cross"; state: bundled, here or available ("here" and what is being added); text: words that stand in
        its name, source, license or description. Raises BadInput on an unknown family or state.
        """
        return chosen(self._models(), family=family, state=state, text=text)

    def model(self, name: str) -> ModelView:
        """One model, by its name or its hub repository. Raises NotFound."""
        return named(self._models(), name)

    def plan_model(self, source: str, **options: Any) -> ModelPlan:
        """What adding a model would do; asks the hub, downloads no weights, changes nothing. Options and errors as for `add_model`."""
        asked = request(source, options)
        self.engine.workspace.models.refuse_taken(asked.target, asked.replace)
        return plan(asked)

    def free_model_name(self, source: str, **options: Any) -> str:
        """What a model can be called here: its own name, else one that says its weights, else a number behind it. Raises BadInput."""
        asked = request(source, options)
        taken = {name.lower() for name in (*bundled_models(), *self.engine.workspace.models.cards(), *self._adding())}
        rounded = f"{asked.target}-{asked.quantise}" if asked.quantise else asked.target
        numbered = (f"{rounded}-{number}" for number in range(2, 10_000))
        return next(name for name in (asked.target, rounded, *numbered) if name.lower() not in taken)

    @writes
    def add_model(self, source: str, **options: Any) -> str:
        """Queue the adding of a model: a catalogue name, a hub repository OWNER/NAME, or a local folder. Gives the job's id.

        Options: name, family, revision, quantise (none, fp16, int8, int4; default its own graph where it has one, else int8), dimensions (cut to
        the first ones), replace, force (even where it differs from its original), local (False: never a path). Raises BadInput, MissingDependency.
        """
        asked = request(source, options)
        self.engine.workspace.models.refuse_taken(asked.target, asked.replace)
        return str(self.engine.jobs.submit("model-add", "", asked.model_dump(mode="json")))

    @writes
    def remove_model(self, name: str, *, force: bool = False) -> str:
        """Queue the deletion of an added model. Gives the job's id.

        Raises NotFound; BadInput for bundled models and, unless forced, for those that indexes are built with (forced, these go too).
        """
        from engine.jobs.model_delete import refuse_used

        if name in bundled_models():
            raise BadInput(f"{name!r} comes with the program and cannot be deleted.")
        models = self.engine.workspace.models
        if name not in models.cards() and name not in models.broken():
            known = ", ".join(models.cards()) or "none"
            raise NotFound(f"There is no model {name!r} in this workspace. Models that were added: {known}.")
        if not force:
            refuse_used(self.engine.workspace, name)
        return str(self.engine.jobs.submit("model-delete", "", {"name": name, "force": force}))

    @writes
    def bench_model(self, name: str) -> str:
        """Queue the measuring of a model's speed on this computer. Gives the job's id. Raises BadInput where the model is not here."""
        self.engine.workspace.models.find(name)
        return str(self.engine.jobs.submit("model-bench", "", {"name": name}))

    @writes
    def keep_speed(self, name: str, found: Benchmark) -> None:
        """Show what was just measured with the model from now on."""
        from engine.jobs.model_bench import keep

        keep(self.engine.workspace, name, found)

    def _models(self) -> tuple[ModelView, ...]:
        """Everything that is known, in the order in which it is shown."""
        workspace = self.engine.workspace
        own = workspace.models.cards()
        speeds = {name: self._speed(name, card) for name, card in (bundled_models() | own).items()}
        known = Known(
            own,
            workspace.models.broken(),
            self._adding(),
            self._collections_by_model(),
            self._pipelines_by_model(),
            speeds,
        )
        return views(known)

    def _speed(self, name: str, card: ModelCard) -> SpeedView | None:
        from engine.jobs.model_bench import speed_of

        found = speed_of(self.engine.workspace, name, card.fingerprint)
        if found is None:
            return None
        return SpeedView(
            found.provider,
            found.threads,
            found.documents_per_second,
            found.queries_per_second,
            found.share,
            found.measured_at,
        )

    def _adding(self) -> set[str]:
        """Names of the models that a job is getting."""
        jobs = self.engine.jobs.list(200)
        busy = [job for job in jobs if job.kind == "model-add" and job.status in ("queued", "running", "paused")]
        names = {str(job.params.get("name") or job.params.get("source", "")) for job in busy}
        return names | {entry.name for name in names if (entry := entry_of(name)) is not None}

    def _collections_by_model(self) -> defaultdict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for collection in self.engine.workspace.collections():
            for generation in self.engine.workspace.generations.live(collection.collection_id):
                model = generation.params.get("model")
                if isinstance(model, str) and collection.name not in found[model]:
                    found[model].append(collection.name)
        return found

    def _pipelines_by_model(self) -> defaultdict[str, list[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name, spec in self._specs().items():
            for model in dict.fromkeys(_models_in(spec.model_dump(mode="json"))):
                found[model].append(name)
        return found


def _models_in(value: Any) -> list[str]:
    """Every parameter called `model` in a pipeline."""
    if isinstance(value, dict):
        own = [value["model"]] if isinstance(value.get("model"), str) else []
        return own + [model for item in value.values() for model in _models_in(item)]
    return [model for item in value for model in _models_in(item)] if isinstance(value, list) else []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _searched(view: ModelView) -> str:
    parts = (view.name, view.hub, view.family, view.licence, view.architecture, view.source, *view.languages, view.note)
    return " ".join(parts).lower()


def _from_card(name: str, card: ModelCard, state: str, known: Known) -> ModelView:
    entry = entry_of(name)
    return ModelView(
        name=name, family=card.family, state=state,  # type: ignore[arg-type]
        hub=entry.hub if entry else "", architecture=entry.architecture if entry else "",
        licence=card.licence, languages=entry.languages if entry else (), parameters=entry.parameters if entry else None,
        bytes=card.bytes, download_megabytes=entry.megabytes if entry else None, dimensions=card.dimensions,
        matryoshka=entry.matryoshka if entry else (), max_tokens=card.max_tokens, similarity=card.similarity,
        pooling="" if card.pooling == "none" else card.pooling, queries=card.queries, quantisation=card.quantisation, fingerprint=card.fingerprint,
        source=card.source, revision="" if card.revision == "unknown" else card.revision, prompt_query=card.prompts.query, prompt_document=card.prompts.document,
        gated=bool(entry and entry.gated), custom_code=bool(entry and entry.custom_code), runs=True,
        note=card.quantisation_notes, citation=card.citation, training_data=card.training_data,
        measured=tuple((key, f"{value:g}" if isinstance(value, float) else str(value)) for key, value in card.measured.items()),
        speed=known.speeds.get(name), used_by=tuple(known.collections.get(name, ())), pipelines=tuple(known.pipelines.get(name, ())),
    )  # fmt: skip


def _damaged(name: str, problem: str, known: Known) -> ModelView:
    """A model folder whose card cannot be read."""
    return ModelView(
        name=name, family=FIRST_FAMILY, state="damaged", hub="", architecture="", licence="", languages=(), parameters=None, bytes=0,
        download_megabytes=None, dimensions=None, matryoshka=(), max_tokens=None, similarity="", pooling="", queries="", quantisation="",
        fingerprint="", source="", revision="", prompt_query="", prompt_document="", gated=False, custom_code=False, runs=False,
        note=problem, citation="", training_data="", measured=(), speed=None,
        used_by=tuple(known.collections.get(name, ())), pipelines=tuple(known.pipelines.get(name, ())),
    )  # fmt: skip


def _from_entry(entry: CatalogueEntry, state: str, known: Known) -> ModelView:
    return ModelView(
        name=entry.name, family=entry.family, state=state,  # type: ignore[arg-type]
        hub=entry.hub, architecture=entry.architecture,
        licence=entry.licence, languages=entry.languages, parameters=entry.parameters,
        bytes=0, download_megabytes=entry.megabytes, dimensions=entry.dimensions,
        matryoshka=entry.matryoshka, max_tokens=entry.max_tokens, similarity=entry.similarity or "",
        pooling=entry.pooling or "", queries=entry.queries, quantisation="", fingerprint="",
        source=entry.hub, revision="", prompt_query=entry.prompts.query, prompt_document=entry.prompts.document,
        gated=entry.gated, custom_code=entry.custom_code, runs=entry.runs,
        note=entry.note, citation=entry.citation, training_data="", measured=(),
        speed=None, used_by=(), pipelines=tuple(known.pipelines.get(entry.name, ())),
    )  # fmt: skip
