"""The engine: one workspace, the indexes and encoders that are open on it, and a searcher per collection."""

from __future__ import annotations

import atexit
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from engine.encoders.opening import load_encoder, load_scorer
from engine.errors import BadInput, IndexBeingBuilt, IndexNotReady, ModelMissing, WorkspaceDamaged
from engine.models.catalogue import model_folder
from engine.models.chat import SETTING, ChatModel, named_endpoint
from engine.serving.queue import Jobs
from engine.serving.searcher import Searcher
from engine.system import ending
from engine.workspace.workspace import Workspace

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.indexes.base import IndexSpec, OpenIndex
    from engine.workspace.generations import Generation

MAX_OPEN_INDEXES = 32
MAX_SEARCHERS = 8
CLOSE_SECONDS = 2.0  # that closing waits for an index or a model that is being opened


class Engine:
    """What works on a workspace for as long as it is open: it owns the open indexes, models and searchers, and the
    queue of jobs. Thread-safe."""

    def __init__(self, workspace: Workspace, *, resume_jobs: bool = True) -> None:
        """Takes the workspace over, and closes it in the end. Interrupted jobs go on by themselves unless `resume_jobs`
        is false."""
        self.workspace = workspace
        self._lock = threading.RLock()
        self._open: OrderedDict[str, OpenIndex] = OrderedDict()
        self._damaged: dict[str, str] = {}
        self._encoders: dict[str, Encoder[Any]] = {}
        self._scorers: dict[str, PairScorer] = {}
        self._searchers: OrderedDict[str, tuple[object, Searcher]] = OrderedDict()
        self._chat: ChatModel | None = None
        self._models_epoch = workspace.models.epoch
        self.jobs = Jobs(self)
        atexit.register(self.close)
        try:
            if not workspace.read_only:
                self.jobs.take_up(resume_jobs)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(
        cls, folder: Path | str, *, read_only: bool = False, resume_jobs: bool = True, adopt: bool = False
    ) -> Engine:
        """The engine of the workspace in a folder. Raises what Workspace.open raises."""
        return cls(Workspace.open(folder, read_only=read_only, adopt=adopt), resume_jobs=resume_jobs)

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the jobs (they resume on the next open), let go of every index, and close the workspace. Idempotent."""
        atexit.unregister(self.close)
        # Whoever holds the lock may be inside native code that does not end.
        held = self._lock.acquire(timeout=ending.patience(CLOSE_SECONDS))
        try:
            self._open.clear()
            self._searchers.clear()
            self._encoders.clear()
            self._scorers.clear()
            if self._chat is not None:
                self._chat.close()
        finally:
            if held:
                self._lock.release()
        self.jobs.close()
        self.workspace.close()

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder of a bundled or cached model. Raises NotFound."""
        with self._lock:
            self._forget_replaced()
            if model not in self._encoders:
                self._encoders[model] = load_encoder(model, own=self.workspace.models.folder)
            return self._encoders[model]

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder called `model`, bundled or of the workspace. Raises BadInput on an unknown name or another
        family."""
        with self._lock:
            self._forget_replaced()
            if model not in self._scorers:
                self._scorers[model] = load_scorer(model, own=self.workspace.models.folder)
            return self._scorers[model]

    def language_model(self) -> ChatModel:
        """The language model behind the endpoint that the user has named. Raises BadInput where none is named."""
        endpoint = named_endpoint(self.workspace.setting(SETTING))
        if endpoint is None:
            raise BadInput(
                "This stage asks a language model, and none is named. Name one with "
                "`triptych llm set http://127.0.0.1:11434/v1 MODEL`; queries and documents are then sent to that "
                "address."
            )
        with self._lock:
            if self._chat is None or self._chat.endpoint != endpoint:
                self._chat = ChatModel(endpoint)
            return self._chat

    def _forget_replaced(self) -> None:
        """Where a model came, went or was replaced, let go of everything that was opened with the former ones."""
        epoch = self.workspace.models.epoch
        if epoch != self._models_epoch:
            self._models_epoch = epoch
            self._encoders.clear()
            self._scorers.clear()
            self._open.clear()
            self._searchers.clear()

    def searcher(self, collection_id: str) -> Searcher:
        """The searcher of a collection as it is now; kept until its documents or indexes change."""
        state = (
            self.workspace.models.epoch,
            self.workspace.revision(collection_id),
            tuple(g.generation_id for g in self.workspace.generations.live(collection_id)),
        )
        with self._lock:
            known = self._searchers.get(collection_id)
            if known is not None and known[0] == state:
                self._searchers.move_to_end(collection_id)
                return known[1]
        searcher = Searcher(self, collection_id)
        with self._lock:
            self._searchers[collection_id] = (state, searcher)
            self._searchers.move_to_end(collection_id)
            while len(self._searchers) > MAX_SEARCHERS:  # each holds the indexes that it opened
                self._searchers.popitem(last=False)
        return searcher

    def generation(self, collection_id: str, spec: IndexSpec) -> Generation | None:
        """The newest published generation of this specification."""
        return self.workspace.generations.find(collection_id, spec.kind, spec.model_dump(mode="json"))

    def open_index(self, collection_id: str, spec: IndexSpec, *, rebuild: bool = True) -> OpenIndex:
        """The open index of a specification. Raises IndexNotReady when it is absent, of another encoder, or damaged,
        ModelMissing when its model is not here; with `rebuild` a damaged one is dropped and its rebuild is queued."""
        generation = self.generation(collection_id, spec)
        if generation is None:
            if self.jobs.builds(collection_id):
                raise IndexBeingBuilt(f"The index {spec.label()!r} is being built; search again in a moment.")
            self._refuse_without_model(spec)
            raise IndexNotReady(
                f"The index {spec.label()!r} is not built yet. Build it in the Library, or with `triptych index`."
            )
        with self._lock:
            self._forget_replaced()
            known = self._open.get(generation.generation_id)
            if known is not None:
                self._open.move_to_end(generation.generation_id)
                return known
            if not rebuild and generation.generation_id in self._damaged:
                raise IndexNotReady(self._damaged[generation.generation_id])
            opener: Any = self.scorer if spec.scored else self.encoder
            expected = spec.expected_fingerprint(opener)
            if generation.fingerprint != expected:
                raise IndexNotReady(
                    f"The index {spec.label()!r} was built with another version of its encoder or analyzer. "
                    "Rebuild it with `triptych index`."
                )
            try:
                index = spec.open(self.workspace.generations.open_folder(generation))
            except (WorkspaceDamaged, OSError) as error:
                now = self.generation(collection_id, spec)
                if now is None or now.generation_id != generation.generation_id:
                    # its successor was published meanwhile: not damaged, gone
                    return self.open_index(collection_id, spec, rebuild=rebuild)
                if isinstance(error, OSError):
                    raise
                if not rebuild:
                    told = f"{error} Build it again with `triptych index`, or drop it."
                    self._damaged[generation.generation_id] = told  # lists ask often, and hashing takes long
                    raise IndexNotReady(told) from error
                self._rebuild(generation, spec, error)
            self._open[generation.generation_id] = index
            while len(self._open) > MAX_OPEN_INDEXES:
                self._open.popitem(last=False)
            return index

    def _refuse_without_model(self, spec: IndexSpec) -> None:
        """Raises ModelMissing, which says how to get it, where the model of an index is not here, so that it cannot be
        built."""
        model = getattr(spec, "model", None)
        if isinstance(model, str):
            try:
                model_folder(model, self.workspace.models.folder)
            except BadInput as error:
                raise ModelMissing(str(error)) from error

    def _rebuild(self, generation: Generation, spec: IndexSpec, error: WorkspaceDamaged) -> None:
        if self.workspace.read_only:
            raise IndexNotReady(f"{error} The workspace is read-only, so it cannot be rebuilt here.") from error
        self.workspace.generations.drop(generation.generation_id)
        self.jobs.submit("index", generation.collection_id, {"specs": [{spec.name: spec.model_dump(mode="json")}]})
        raise IndexBeingBuilt(f"{error} It is being rebuilt from the documents; search again in a moment.") from error
