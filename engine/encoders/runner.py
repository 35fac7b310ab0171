"""Running a model's graph over many texts: what the encoders of every family share.

A `Runner` turns texts into the arrays of one graph, in threads, a unit of work at a time. A `Reading` makes rows of them; several readings may
listen to one run, so that encoders whose models share a body read each document once.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.encoders.providers import Provider, available_providers, choose_provider, run_graph
from engine.encoders.tokens import TextTokenizer
from engine.encoders.units import plan_units, run_units, usable_cores
from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import MODEL_FILE, TOKENIZER_FILE, ModelCard, read_card
from engine.models.verify import verify_files
from engine.types import Ints, Progress, ProgressSink, ignore_progress

WINDOW = 4096  # texts tokenized and sorted by length at a time: bounds memory, costs nothing in speed
UNIT_TOKENS = {"cpu": 2048}  # one unit of work: a fraction of a second on one core, so cancelling is prompt
ACCELERATOR_UNIT_TOKENS = 16384
STATES = ("token_embeddings", "last_hidden_state")
TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

TokenIds = NDArray[np.int64]
Tokenize = Callable[[Sequence[str]], list[TokenIds]]
Use = Callable[[Ints, list[TokenIds], NDArray[np.float32]], None]
V_co = TypeVar("V_co", covariant=True)


class Reading(Protocol[V_co]):
    """What one encoder makes of a list of texts while a runner passes over them."""

    def take(self, positions: Ints, ids: list[TokenIds], output: NDArray[np.float32]) -> None:
        """Hear of the texts at `positions`: their token ids and the graph's output, padded behind each text. Called from many threads."""
        ...

    def rows(self) -> V_co:
        """The finished rows, in order of the texts; a text without tokens was never heard of. Raises BadInput on unusable values."""
        ...


@runtime_checkable
class StateReader(Protocol[V_co]):
    """An encoder whose documents pass through a runner, alone or together with other encoders of the same `runner.pass_key`."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def runner(self) -> Runner:
        """What turns documents into token states."""
        ...

    def read_documents(self, texts: Sequence[str]) -> Reading[V_co]:
        """An empty reading of these documents."""
        ...


class Runner:
    """One model's graph over tokenized texts; safe to use from many threads at once. Open one with `Runner.load`.

    card: the model that runs. reader: the model whose prompts and limits count, another one where it reads the token states of `card`.
    """

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        reader: ModelCard,
        tokenizer: TextTokenizer,
        provider: Provider,
        threads: int,
        outputs: Sequence[str],
        axes: int,
        graph: str = MODEL_FILE,
    ) -> None:
        self.card = card
        self.reader = reader
        self.tokenizer = tokenizer
        self._folder = folder
        self._provider = provider
        self._threads = threads
        self._outputs = outputs
        self._axes = axes
        self._graph = graph
        self._session: Any = None
        self._lock = threading.Lock()
        # Dynamic int8 scales activations over the whole call, so a batch-mate would change the row; one text a call is as fast on a CPU.
        self._one_by_one = card.quantisation == "int8"

    @classmethod
    def load(
        cls,
        folder: Path,
        provider: str = "auto",
        threads: int | None = None,
        reader: ModelCard | None = None,
        outputs: Sequence[str] = STATES,
        axes: int = 3,
    ) -> Runner:
        """The model in `folder`, its files verified against its card; the graph itself is opened by `open`, or when it first runs.

        outputs: names under which the graph may offer what is wanted, the best first, else its first output; axes: of that output.
        Raises WorkspaceDamaged on missing, altered or unreadable files, BadInput on an unknown provider.
        """
        card = read_card(folder)
        reader = reader or card
        if reader is not card and card.fingerprint != reader.body_fingerprint:
            raise WorkspaceDamaged(
                f"Model {reader.name!r} reads the token states of another {card.name!r} than the one in {folder}; install both again."
            )
        chosen = choose_provider(provider, available_providers(), card.quantisation)
        verify_files(folder, card)
        tokenizer = TextTokenizer.load(folder / TOKENIZER_FILE, reader.max_tokens)
        return cls(folder, card, reader, tokenizer, chosen, threads or usable_cores(), outputs, axes)

    def open(self) -> Runner:
        """Open the graph if it is not open yet. Raises WorkspaceDamaged where it cannot be used."""
        with self._lock:
            if self._session is None:
                session, self._provider = open_session(self._folder / self._graph, self._provider)
                self._inputs = graph_inputs(session, self.card, TEXT_INPUTS)
                self._output = graph_output(session, self.card, self._outputs, self._axes)
                self._session = session
        return self

    def beside(self, graph: str) -> Runner:
        """Another graph of the same model, on the same hardware; not opened yet."""
        return Runner(
            self._folder,
            self.card,
            self.reader,
            self.tokenizer,
            self._provider,
            self._threads,
            self._outputs,
            self._axes,
            graph,
        )

    @property
    def provider(self) -> str:
        """The hardware that runs the graph."""
        return self.open()._provider.name

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of the choice of hardware."""
        warning = self.open()._provider.warning
        return (warning,) if warning else ()

    @property
    def threads(self) -> int:
        """Units of work at a time."""
        return self._threads if self.provider == "cpu" else 1

    @property
    def pass_key(self) -> str:
        """Runners of equal keys give equal arrays for every document, so one pass serves all of them."""
        identity = [self.card.fingerprint, self.reader.prompts.document, self.reader.max_tokens, self._outputs]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def prompt(self, role: str) -> str:
        """What stands before each text; role is "query" or "document". Raises BadInput on another role."""
        prompts = self.reader.prompts.model_dump()
        if role not in prompts:
            raise BadInput(f"There is no role {role!r}; a text is encoded as 'query' or 'document'.")
        return str(prompts[role])

    def ids(self, texts: Sequence[str], role: str) -> list[TokenIds]:
        """Token ids of each text with its prompt, special tokens included, at most the model's limit."""
        return self.tokenizer.ids(texts, self.prompt(role))

    def dropped(self, texts: Sequence[str], role: str) -> Ints:
        """int64 [n]: how many tokens of each text lie beyond the model's limit and are ignored."""
        return self.tokenizer.dropped(texts, self.prompt(role))

    def read(
        self, texts: Sequence[str], role: str, reading: Reading[V_co], progress: ProgressSink = ignore_progress
    ) -> V_co:
        """The rows that `reading` makes of the texts; `progress` as in `each`."""
        self.each(texts, lambda window: self.ids(window, role), reading.take, progress)
        return reading.rows()

    def each(
        self, texts: Sequence[str], tokenize: Tokenize, use: Use, progress: ProgressSink = ignore_progress
    ) -> None:
        """Run every text that has tokens, and give `use` its position, ids and output (see Reading.take).

        `progress` hears Progress("encode", done, n) several times a second; what it raises stops all threads and is passed on.
        """
        for start in range(0, len(texts), WINDOW):
            progress(Progress("encode", start, len(texts)))
            self._window(tokenize(texts[start : start + WINDOW]), use, progress, start, len(texts))
        progress(Progress("encode", len(texts), len(texts)))

    def _window(self, ids: list[TokenIds], use: Use, progress: ProgressSink, before: int, total: int) -> None:
        self.open()
        lengths = np.array([len(one) for one in ids], dtype=np.int64)
        same_length = "attention_mask" not in self._inputs and not self._one_by_one
        units = list(plan_units(lengths, UNIT_TOKENS.get(self.provider, ACCELERATOR_UNIT_TOKENS), same_length))

        def work(unit: Ints) -> None:
            for group in np.split(unit, len(unit)) if self._one_by_one else [unit]:
                of_group = [ids[position] for position in group]
                use(group + before, of_group, self.run(of_group))

        done = before
        with closing(run_units(units, work, self.threads)) as finished:
            for unit in finished:
                done += len(unit)
                progress(Progress("encode", done, total))

    @property
    def masked(self) -> bool:
        """Whether the graph takes a mask, so that texts of different lengths may run in one call."""
        self.open()
        return "attention_mask" in self._inputs

    def run(
        self, ids: list[TokenIds], attended: Sequence[int] | None = None, types: Sequence[TokenIds] | None = None
    ) -> NDArray[np.float32]:
        """The graph's output for one call, float32 [batch, longest, …], or [batch, …] where the graph pools over tokens itself.

        attended: how many tokens of each text the others attend to, where not all of them; without effect on a graph that takes no mask.
        types: the token types of each text, default zeros.
        """
        self.open()
        longest = max(len(one) for one in ids)
        tokens = np.zeros((len(ids), longest), dtype=np.int64)
        mask, kinds = np.zeros_like(tokens), np.zeros_like(tokens)
        for position, one in enumerate(ids):
            tokens[position, : len(one)] = one
            if types is not None:
                kinds[position, : len(one)] = types[position]
            mask[position, : len(one) if attended is None else attended[position]] = 1
        values = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": kinds}
        feed = {name: values[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        return run_graph(self._session, self._provider.name, feed, self._output)


class Head:
    """The small graph of a model that reads another's token states, one text a call. Safe to use from many threads at once."""

    def __init__(self, folder: Path, card: ModelCard, output: str, axes: int) -> None:
        """Open the graph in `folder`, whose files were verified. Raises WorkspaceDamaged where it cannot be used."""
        self._session, _ = open_session(folder / MODEL_FILE, Provider("cpu"))
        self._inputs = graph_inputs(self._session, card, ("token_embeddings", "input_ids"))
        self._output = graph_output(self._session, card, (output,), axes)

    def run(self, ids: TokenIds, states: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for one text; ids: int64 [tokens]; states: float32 [tokens, dim]."""
        values: dict[str, NDArray[Any]] = {"token_embeddings": states[None], "input_ids": ids[None]}
        feed = {name: values[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        output: NDArray[np.float32] = run_graph(self._session, "cpu", feed, self._output)[0]
        return output


def body_folder(folder: Path, card: ModelCard) -> Path:
    """Where the body of the head in `folder` lies: beside it, or among the models known by name. Raises BadInput where it is missing."""
    from engine.models.catalogue import model_folder

    beside = folder.parent / card.body
    return beside if beside.is_dir() else model_folder(card.body)


def encode_together(
    encoders: Sequence[StateReader[Any]], texts: Sequence[str], progress: ProgressSink = ignore_progress
) -> list[Any]:
    """The document rows of several encoders of one `runner.pass_key`, each text passing through the body once."""
    readings = [encoder.read_documents(texts) for encoder in encoders]
    runner = encoders[0].runner

    def take(positions: Ints, ids: list[TokenIds], output: NDArray[np.float32]) -> None:
        for reading in readings:
            reading.take(positions, ids, output)

    runner.each(texts, lambda window: runner.ids(window, "document"), take, progress)
    return [reading.rows() for reading in readings]


def open_session(path: Path, provider: Provider) -> tuple[Any, Provider]:
    """A session on the provider, or on the CPU with a warning where the provider does not start. Raises WorkspaceDamaged."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # parallel over texts in caller threads: deterministic, and faster than splitting one text
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=provider.execution_providers)
    except Exception as error:  # the library raises many types, none of them documented
        if provider.name == "cpu":
            raise WorkspaceDamaged(
                f"{path} cannot be read as an ONNX model ({error}); install the model again."
            ) from error
        fallback = Provider("cpu", f"Provider {provider.name!r} did not start ({error}); running on the CPU instead.")
        return open_session(path, fallback)
    if session.get_providers()[0] != provider.execution_providers[0]:
        return session, Provider("cpu", f"Provider {provider.name!r} did not start; running on the CPU instead.")
    return session, provider


def graph_inputs(session: Any, card: ModelCard, known: Sequence[str]) -> dict[str, np.dtype[Any]]:
    """The element type of each input of the graph. Raises WorkspaceDamaged where one is not among `known`."""
    types = {"int32": np.int32, "int64": np.int64, "float16": np.float16, "float": np.float32}
    found: dict[str, np.dtype[Any]] = {
        item.name: np.dtype(types.get(item.type.removeprefix("tensor(").removesuffix(")"), np.int64))
        for item in session.get_inputs()
    }
    unknown = set(found) - set(known)
    if unknown:
        raise WorkspaceDamaged(
            f"Model {card.name!r} asks for inputs that text encoders do not have: {', '.join(sorted(unknown))}."
        )
    return found


def graph_output(session: Any, card: ModelCard, names: Sequence[str], axes: int) -> str:
    """The first of `names` that the graph offers, else its first output; `axes` long, the last one as wide as the card says.

    Raises WorkspaceDamaged where the shape does not fit.
    """
    outputs = {item.name: item.shape for item in session.get_outputs()}
    name = next((name for name in names if name in outputs), next(iter(outputs)))
    shape = outputs[name]
    if len(shape) != axes or (isinstance(shape[-1], int) and shape[-1] != card.dimensions):
        expected = ["batch", "tokens", card.dimensions] if axes == 3 else ["batch", card.dimensions]
        what = "token states" if axes == 3 else "one row a text"
        raise WorkspaceDamaged(
            f"Model {card.name!r}: output {name!r} has shape {shape}; expected {what} {expected} as the card says."
        )
    return name
