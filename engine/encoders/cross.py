"""Cross-encoders: a model reads a query and a document together and says in one number how well they go together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.encoders.runner import Runner
from engine.encoders.units import Scores, refuse_infinite, run_units
from engine.errors import BadInput
from engine.models.card import PASSES_FILE, ModelCard
from engine.models.family import family_of
from engine.types import Ints, Progress, ProgressSink, ignore_progress

if TYPE_CHECKING:
    from engine.encoders.passes import PassScorer

OUTPUTS = ("logits",)
BATCH = {"cpu": 8}  # pairs at a time: few, so that a budget is kept closely
ACCELERATOR_BATCH = 64


class PairScorer:
    """Scores of pairs; safe to use from many threads at once. Open one with `PairScorer.load`.

    A score is the model's logit as it is, and depends on its pair alone. Higher is better; the scale is the model's own.
    """

    def __init__(self, runner: Runner) -> None:
        """runner: of a graph whose output is one logit a pair, float32 [batch, 1]. Raises BadInput on a model of another family."""
        family_of(runner.card.family).checked_scorer(runner.card.name)
        self.runner = runner.open()
        self.card: ModelCard = runner.card
        self.fingerprint = runner.card.fingerprint
        self.provider = runner.provider
        self.warnings = runner.warnings
        self.threads = runner.threads
        self._single = (
            runner.card.quantisation == "int8"
        )  # as in Runner: a pair's activations are scaled by the whole call

    @classmethod
    def load(cls, folder: Path, provider: str = "auto", threads: int | None = None) -> PairScorer:
        """Open the model in `folder`, its files verified against the card; arguments and errors as for DenseEncoder.load."""
        return cls(Runner.load(folder, provider, threads, outputs=OUTPUTS, axes=2))

    def score(self, query: str, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> Scores:
        """float32 [n]: the logit of the query with each text. `progress` hears phase "score" and may raise Cancelled."""
        scores = np.zeros(len(texts), dtype=np.float32)
        done = 0
        progress(Progress("score", 0, len(texts), "pairs"))
        with closing(self.batches(query, texts)) as batches:
            for positions, found in batches:
                scores[positions] = found
                done += len(positions)
                progress(Progress("score", done, len(texts), "pairs"))
        return scores

    def batches(self, query: str, texts: Sequence[str]) -> Generator[tuple[Ints, Scores], None, None]:
        """(positions, logits) of a few pairs at a time, in the order given: who stops early has the scores of the first ones.

        Within a batch, pairs run by length, so that little is padded. Work runs a few batches ahead; closing the generator ends it. Raises
        BadInput on a score that is not finite.
        """
        size = 1 if self._single else BATCH.get(self.provider, ACCELERATOR_BATCH)
        units = [np.arange(start, min(start + size, len(texts))) for start in range(0, len(texts), size)]
        prompts = self.card.prompts
        found: dict[int, Scores] = {}

        def work(unit: Ints) -> None:
            pairs = self.runner.tokenizer.pairs(query, [texts[i] for i in unit], prompts.query, prompts.document)
            found[int(unit[0])] = self._logits(pairs)

        with closing(run_units(units, work, self.threads)) as finished:
            for unit in finished:
                scores = found.pop(int(unit[0]))
                refuse_infinite(scores, self.card, [texts[i] for i in unit])
                yield unit, scores

    @cached_property
    def passes(self) -> PassScorer:
        """The same scores from passes over the query and many candidates. Raises BadInput on a model that reads only pairs."""
        from engine.encoders.passes import PassScorer

        if PASSES_FILE not in self.card.files:
            raise BadInput(
                f"Model {self.card.name!r} reads query and document together from its first layer, so nothing can be shared among candidates; "
                "use the stage `cross` with it."
            )
        return PassScorer(self.runner.beside(PASSES_FILE))

    def dropped_tokens(self, query: str, texts: Sequence[str]) -> Ints:
        """int64 [n]: how many tokens of each pair lie beyond the model's limit and are ignored."""
        return self.runner.tokenizer.dropped_of_pairs(query, texts, self.card.prompts.query, self.card.prompts.document)

    def _logits(self, pairs: list[tuple[Ints, Ints]]) -> Scores:
        """float32 [pairs]: padded together where the graph takes a mask, one length a call where it does not."""
        scores = np.zeros(len(pairs), dtype=np.float32)
        lengths = np.array([len(ids) for ids, _ in pairs])
        order = np.argsort(-lengths, kind="stable")
        groups = [order] if self.runner.masked else [order[lengths[order] == n] for n in np.unique(lengths)]
        for group in groups:
            chosen = [pairs[i] for i in group]
            scores[group] = self.runner.run([ids for ids, _ in chosen], types=[types for _, types in chosen])[:, 0]
        return scores
