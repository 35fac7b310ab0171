"""Dense encoder: one float32 vector per text, computed by ONNX Runtime from a model folder with a card."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.encoders.pooling import POOLINGS, normalize
from engine.encoders.providers import Provider, available_providers, choose_provider
from engine.encoders.tokens import TextTokenizer
from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import MODEL_FILE, TOKENIZER_FILE, ModelCard, read_card
from engine.models.verify import verify_files
from engine.types import FloatRows, Ints, Progress, ProgressSink, ignore_progress

WINDOW = 4096  # texts tokenized and sorted by length at a time: bounds memory, costs nothing in speed
UNIT_TOKENS = {"cpu": 2048}  # one unit of work: a fraction of a second on one core, so cancelling is prompt
ACCELERATOR_UNIT_TOKENS = 16384
STATES = ("token_embeddings", "last_hidden_state")


@dataclass(frozen=True, slots=True)
class TokenShare:
    """What one token adds to the score. start, end: its characters in the text; equal for special tokens and for the prompt's."""

    token: str
    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """A score (cosine or dot product) as the exact sum of its tokens' contributions."""

    score: float
    tokens: tuple[TokenShare, ...]


class DenseEncoder:
    """Vectors of texts; safe to use from many threads at once. Open one with `DenseEncoder.load`."""

    def __init__(
        self, card: ModelCard, session: Any, tokenizer: TextTokenizer, provider: Provider, threads: int
    ) -> None:
        self.card = card
        self.fingerprint = card.fingerprint
        self.provider = provider.name
        self.warnings = (provider.warning,) if provider.warning else ()
        self.threads = threads if provider.name == "cpu" else 1
        self._session = session
        self._tokenizer = tokenizer
        self._inputs = {
            item.name: np.dtype(np.int32 if "int32" in item.type else np.int64) for item in session.get_inputs()
        }
        self._states = _states_output(session, card)
        self._has_mask = "attention_mask" in self._inputs
        # Dynamic int8 scales activations over the whole call, so a batch-mate would change the vector; one text a call is as fast on a CPU.
        self._one_by_one = card.quantisation == "int8"
        self._unit_tokens = UNIT_TOKENS.get(provider.name, ACCELERATOR_UNIT_TOKENS)

    @classmethod
    def load(cls, folder: Path, provider: str = "auto", threads: int | None = None) -> DenseEncoder:
        """Open the model in `folder`, its files verified against the card.

        provider: auto, cpu, cuda, directml or coreml; threads: CPU threads used by one call, default all cores.
        Raises WorkspaceDamaged on missing, altered or unreadable files, BadInput on an unknown provider.
        """
        card = read_card(folder)
        chosen = choose_provider(provider, available_providers(), quantised=card.quantisation != "none")
        verify_files(folder, card)
        tokenizer = TextTokenizer.load(folder / TOKENIZER_FILE, card.max_tokens)
        session, chosen = _open_session(folder / MODEL_FILE, chosen)
        return cls(card, session, tokenizer, chosen, threads or usable_cores())

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [n, dimensions], unit length where the card says cosine. A text without any token becomes a zero row."""
        return self._encode(texts, self.card.prompts.query, ignore_progress)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [n, dimensions], unit length where the card says cosine. A text without any token becomes a zero row.

        `progress` hears Progress("encode", done, n) several times a second; what it raises stops all threads and is passed on.
        """
        return self._encode(texts, self.card.prompts.document, progress)

    def dropped_tokens(self, texts: Sequence[str], role: str = "query") -> Ints:
        """int64 [n]: how many tokens of each text lie beyond the model's limit and are ignored; role is "query" or "document"."""
        return self._tokenizer.dropped(texts, _prompt(self.card, role))

    def token_attributions(self, query: str, text: str) -> Attribution:
        """The score of the pair, split exactly over the document's tokens: q·h_t / (n·|mean|), or q·h_t / n for dot products.

        Raises BadInput unless the model pools by the mean, the only pooling under which the split is exact.
        """
        if self.card.pooling != "mean":
            raise BadInput(
                f"Model {self.card.name!r} pools by {self.card.pooling!r}; scores split over tokens only under mean pooling."
            )
        prompt = self.card.prompts.document
        encoding = self._tokenizer.encode(text, prompt)
        if not encoding.ids:
            return Attribution(0.0, ())
        vector = self.encode_queries([query])[0]
        states = self._run([np.asarray(encoding.ids, dtype=np.int64)])[0]
        length = np.linalg.norm(states.mean(axis=0)) if self.card.similarity == "cosine" else 1.0
        shares = (states @ vector) / (len(states) * length) if length > 0 else np.zeros(len(states), dtype=np.float32)
        spans = [(max(0, start - len(prompt)), max(0, end - len(prompt))) for start, end in encoding.offsets]
        tokens = tuple(
            TokenShare(token, *span, float(share))
            for token, span, share in zip(encoding.tokens, spans, shares, strict=True)
        )
        return Attribution(float(shares.sum()), tokens)

    def _encode(self, texts: Sequence[str], prompt: str, progress: ProgressSink) -> FloatRows:
        rows = np.zeros((len(texts), self.card.dimensions), dtype=np.float32)
        for start in range(0, len(texts), WINDOW):
            progress(Progress("encode", start, len(texts)))
            window = texts[start : start + WINDOW]
            ids = self._tokenizer.ids(window, prompt)
            self._encode_window(ids, rows[start : start + len(window)], progress, start, len(texts))
            _refuse_non_finite(self.card, rows[start : start + len(window)], window)
        progress(Progress("encode", len(texts), len(texts)))
        return rows

    def _encode_window(
        self, ids: list[NDArray[np.int64]], rows: FloatRows, progress: ProgressSink, before: int, total: int
    ) -> None:
        lengths = np.array([len(one) for one in ids], dtype=np.int64)
        same_length = not self._has_mask and not self._one_by_one
        units = list(plan_units(lengths, self._unit_tokens, same_length))

        def work(unit: Ints) -> None:
            rows[unit] = self._vectors([ids[position] for position in unit])

        done = before
        with closing(run_units(units, work, self.threads)) as finished:
            for unit in finished:
                done += len(unit)
                progress(Progress("encode", done, total))

    def _vectors(self, ids: list[NDArray[np.int64]]) -> FloatRows:
        pool = POOLINGS[self.card.pooling]
        groups = [[one] for one in ids] if self._one_by_one else [ids]
        pooled = [pool(self._run(group), np.array([len(one) for one in group], dtype=np.int64)) for group in groups]
        rows = np.concatenate(pooled).astype(np.float32, copy=False)
        return normalize(rows) if self.card.similarity == "cosine" else rows

    def _run(self, ids: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Token states, float32 [batch, longest, dimensions]."""
        longest = max(len(one) for one in ids)
        tokens = np.zeros((len(ids), longest), dtype=np.int64)
        mask = np.zeros_like(tokens)
        for position, one in enumerate(ids):
            tokens[position, : len(one)] = one
            mask[position, : len(one)] = 1
        values = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)}
        feed = {name: values[name].astype(dtype, copy=False) for name, dtype in self._inputs.items()}
        states: NDArray[np.float32] = self._session.run([self._states], feed)[0]
        return states


def plan_units(lengths: Ints, budget: int, same_length: bool) -> Iterator[Ints]:
    """Positions grouped into units of work, longest first, each at most `budget` tokens after padding (one text at least).

    Texts without tokens are left out. same_length: a unit never mixes lengths, for graphs that cannot mask padding.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        stop = min(len(order), start + max(1, budget // int(longest)))
        if same_length:
            stop = start + int(np.searchsorted(-lengths[order[start:stop]], -longest, side="right"))
        yield order[start:stop]
        start = stop


def run_units(units: Sequence[Ints], work: Callable[[Ints], None], threads: int) -> Generator[Ints, None, None]:
    """Run `work` on every unit in `threads` threads, yielding each unit when it is done.

    Work runs only a few units ahead of the consumer, so a consumer that blocks pauses it; one that stops, or an error, ends the threads.
    """
    if len(units) == 1 or threads == 1:  # a single query should not pay for a thread
        for unit in units:
            work(unit)
            yield unit
        return
    pending: deque[tuple[Future[None], Ints]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
    try:
        for unit in units:
            pending.append((pool.submit(work, unit), unit))
            if len(pending) > 2 * threads:
                future, finished = pending.popleft()
                future.result()
                yield finished
        for future, finished in pending:
            future.result()
            yield finished
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prompt(card: ModelCard, role: str) -> str:
    prompts = card.prompts.model_dump()
    if role not in prompts:
        raise BadInput(f"There is no role {role!r}; a text is encoded as 'query' or 'document'.")
    return str(prompts[role])


def _open_session(path: Path, provider: Provider) -> tuple[Any, Provider]:
    """A session on the provider, or on the CPU with a warning where the provider does not start."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        1  # parallel over texts in caller threads: deterministic, and faster than splitting one text
    )
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
        return _open_session(path, fallback)
    if session.get_providers()[0] != provider.execution_providers[0]:
        return session, Provider("cpu", f"Provider {provider.name!r} did not start; running on the CPU instead.")
    return session, provider


def _states_output(session: Any, card: ModelCard) -> str:
    """Name of the output with token states [batch, tokens, dimensions]. Raises WorkspaceDamaged where there is none or an input is unknown."""
    unknown = {item.name for item in session.get_inputs()} - {"input_ids", "attention_mask", "token_type_ids"}
    if unknown:
        raise WorkspaceDamaged(
            f"Model {card.name!r} asks for inputs that text encoders do not have: {', '.join(sorted(unknown))}."
        )
    outputs = {item.name: item.shape for item in session.get_outputs()}
    name = next((name for name in STATES if name in outputs), next(iter(outputs)))
    shape = outputs[name]
    if len(shape) != 3 or (isinstance(shape[2], int) and shape[2] != card.dimensions):
        raise WorkspaceDamaged(
            f"Model {card.name!r}: output {name!r} has shape {shape}; expected token states [batch, tokens, {card.dimensions}] as the card says."
        )
    return name


def _refuse_non_finite(card: ModelCard, rows: FloatRows, texts: Sequence[str]) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise BadInput(
            f"Model {card.name!r} produced a vector that is not finite for {len(bad)} texts, the first {texts[bad[0]][:80]!r}; "
            "try the CPU provider, or another model."
        )
