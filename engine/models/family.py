"""Model families: a file each in `engine/families`, which knows all that is so of models of its kind, and which everybody else asks.

What a family hands out of other rooms (encoders, sources of an export, kinds of rows) is `Any` here: this is the ground that they stand on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from engine.component import Component, discover, lookup
from engine.errors import BadInput
from engine.models.card import ModelCard, Prompts
from engine.models.settings import refuse_links_out, stages, table


class Hint(IntEnum):
    """How strongly a model's original files speak for a family."""

    NONE = 0
    OTHERWISE = 1
    """Nothing speaks for it, but it is what models are where nothing speaks for another."""
    ARCHITECTURE = 2
    STAGES = 3
    NAMED = 4


@dataclass(frozen=True, slots=True)
class Original:
    """What the files of an original model say of its kind. settings: of the library, config_sentence_transformers.json; stages: kinds of the stages
    in modules.json and of those that a router leads to; architecture: the first in config.json."""

    folder: Path
    settings: Mapping[str, Any]
    stages: frozenset[str]
    architecture: str

    @property
    def library_class(self) -> str:
        """The class of sentence-transformers, or of PyLate, that wrote it; "" where it does not say."""
        return str(self.settings.get("model_type", ""))


class ModelFamily(Component, family="families"):
    """One kind of model. Subclass `engine.families.base.Encoding` or `Scoring`, which know what most families have in common."""

    title: ClassVar[str]
    """On pages."""
    about: ClassVar[str]
    """What its models do, in a few words with a capital."""
    place: ClassVar[int] = 100
    """Among other families, where they are listed; those at the same place stand in alphabetical order."""
    scores_pairs: ClassVar[bool] = False
    """Whether its models score pairs of texts; others encode texts."""
    unit: ClassVar[str] = "documents"
    brief: ClassVar[str] = "docs"
    """What is counted where speed is told, and the same in a table."""
    pools: ClassVar[bool] = False
    """Whether the states of a text's tokens are pooled to one vector, which may be cut where its makers say so."""
    looks_up: ClassVar[bool] = False
    """Whether queries may be looked up token by token instead of passing through the model."""
    precisions: ClassVar[tuple[str, ...]] = ("int8", "int4", "fp16", "none")
    """The weights that an original can be converted to."""
    least_agreement: ClassVar[float] = 0.98
    """Lowest accepted mean agreement with the original, in the measure of `agreement`."""
    graph_stages: ClassVar[frozenset[str] | None] = None
    """Stages of models whose published graphs, with what is done here, compute all that is asked of them; others are converted."""

    @abstractmethod
    def open(self, folder: Path, provider: str = "auto", threads: int | None = None) -> Any:
        """The model in a folder, verified: an Encoder, or a PairScorer, with the `runner` by which its speed is measured. Raises BadInput, WorkspaceDamaged."""

    def checked_scorer(self, model: str) -> Self:
        """Itself, where it scores pairs; else raises BadInput that names the model."""
        if not self.scores_pairs:
            raise BadInput(f"Model {model!r} is of the family {self.name!r}; a reranker needs a cross-encoder.")
        return self

    @abstractmethod
    def row_kind(self, width: int) -> Any:
        """How its rows are checked and stored, a RowKind; not asked of families that score pairs."""

    @abstractmethod
    def try_out(self, model: Any, texts: Sequence[str]) -> None:
        """Run different texts through an open model. Raises BadInput on what is missing, not finite, zero, or the same for every text."""

    @abstractmethod
    def rates(self, model: Any, texts: Sequence[str], queries: Sequence[str], seconds: float) -> tuple[float, float]:
        """Documents (or pairs) a second, timed for about `seconds`, and queries a second."""

    @abstractmethod
    def token_ids(self, tokenizer: Any, card: ModelCard, query: str, texts: Sequence[str]) -> list[tuple[Any, Any]]:
        """Token ids and token types of each text as the model reads it; `query` is for those that read both together."""

    @abstractmethod
    def samples(self, tokenizer: Any, card: ModelCard, texts: Sequence[str]) -> list[Any]:
        """Inputs by which a graph is rounded."""

    @abstractmethod
    def agreement(self, one: Path, other: Path, texts: Sequence[str]) -> Any:
        """The Agreement of the models in two folders."""

    def hint(self, original: Original) -> Hint:
        """Whether these files look like one of its models."""
        return Hint.NONE

    @abstractmethod
    def open_original(self, path: str, dimensions: int | None = None) -> Any:
        """The original at `path` as a Source to export. Raises BadInput where it cannot be exported, or cut to so many dimensions."""

    def runs_as_it_is(self, folder: Path, kinds: Mapping[str, str]) -> bool:
        """Whether an original has no stages but those that its graph holds, and those that encoders add. kinds: kind and folder of each."""
        return self.graph_stages is not None and kinds.keys() <= self.graph_stages

    def graph_fields(self, source: Path, graph: Path, name: str, pooling: str, prompts: Prompts) -> dict[str, Any]:
        """What the card of an original says that is taken with its own graph. pooling, prompts: where its files do not tell. Raises BadInput."""
        raise BadInput(
            f"The graph of {name} cannot be used as it is; convert its weights instead, with --quantize int8."
        )

    def pipelines(self, model: str) -> tuple[tuple[str, str, str], ...]:
        """What a model brings along: name, description and steps (YAML) of each pipeline."""
        return ()


def families() -> dict[str, ModelFamily]:
    """All families by name, in the order in which they are shown."""
    found = [cast(ModelFamily, kind()) for kind in discover("families").values()]
    return {family.name: family for family in sorted(found, key=lambda family: (family.place, family.name))}


def family_of(name: str) -> ModelFamily:
    """The family of this name. Raises BadInput that lists the known ones."""
    return cast(ModelFamily, lookup("families", name)())


def detect_family(path: str) -> str:
    """The family of a model folder, by the files that say which library class it is for; dense where nothing says otherwise.

    A name that is not a local folder counts as dense, since its files are not here to tell. Raises BadInput where a file is damaged or a link
    leads out of the folder.
    """
    folder = Path(path)
    if folder.is_dir():
        refuse_links_out(folder)
    kinds = {stage.kind for stage in stages(folder) or ()}
    routes = table(folder / "router_config.json").get("types")
    if isinstance(routes, dict):
        kinds |= {str(kind).rpartition(".")[2] for kind in routes.values()}
    named = table(folder / "config.json").get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    original = Original(folder, table(folder / "config_sentence_transformers.json"), frozenset(kinds), architecture)
    return max(families().values(), key=lambda family: family.hint(original)).name
