"""Cross-encoders whose lower layers read texts apart: a query with many candidates in one pass (Song et al. 2023, Uni-Encoder)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np

from engine.encoders.runner import Runner, TokenIds
from engine.encoders.units import Scores, refuse_infinite, run_units
from engine.types import Ints, Progress, ProgressSink, ignore_progress

TOKENS = 1024
"""Of a pass: a fraction of a second on one core, so that a budget is kept closely."""


class PassScorer:
    """Scores of pairs as `PairScorer` gives them, from fewer and longer runs; safe to use from many threads at once.

    A pass holds the tokens of the query, then those of each candidate, whose positions start again. In the graph's lower layers each text sees itself,
    so the query is read once; in the upper ones each candidate has a copy of the query's states, and the two see each other. A score does not
    depend on the company. It is the pair's, up to what rounding to int8 leaves (int8 pairs take steps of their own); a query is cut at half of
    the model's limit, where a pair cuts it only if its document needs the room.
    """

    def __init__(self, runner: Runner) -> None:
        """runner: of a graph [1, tokens] -> [candidates, 1] (engine.models.export_pass)."""
        self.runner = runner.open()
        self.card = runner.card

    def score(self, query: str, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> Scores:
        """float32 [n]: the logit of the query with each text. `progress` hears phase "score" and may raise Cancelled."""
        scores = np.zeros(len(texts), dtype=np.float32)
        done = 0
        progress(Progress("score", 0, len(texts), "pairs"))
        with closing(self.batches(query, texts, in_order=False)) as batches:
            for positions, found in batches:
                scores[positions] = found
                done += len(positions)
                progress(Progress("score", done, len(texts), "pairs"))
        return scores

    def batches(
        self, query: str, texts: Sequence[str], tokens: int = TOKENS, in_order: bool = True
    ) -> Generator[tuple[Ints, Scores], None, None]:
        """(positions, logits) of one pass at a time.

        tokens: of a pass at most, the query's included; a candidate that is longer has a pass of its own. in_order: the first texts first, so that
        who stops early has their scores; else texts of about equal length together, which spares the padding between them. Work runs a few passes
        ahead; closing the generator ends it. Raises BadInput on a score that is not finite.
        """
        limit = self.runner.reader.max_tokens
        (asked,) = (cut(ids, limit // 2) for ids in self.runner.ids([query], "query"))
        told = [cut(ids, limit - len(asked)) for ids in self.runner.ids(texts, "document")]
        found: dict[int, Scores] = {}

        def work(unit: Ints) -> None:
            found[int(unit[0])] = self._run([asked, *(told[place] for place in unit)])

        lengths = np.array([len(ids) for ids in told], dtype=np.int64)
        order = np.arange(len(told)) if in_order else np.argsort(-lengths, kind="stable")
        units = [order[unit] for unit in plan_passes(lengths[order].tolist(), tokens - len(asked))]
        with closing(run_units(units, work, self.runner.threads)) as finished:
            for unit in finished:
                scores = found.pop(int(unit[0]))
                refuse_infinite(scores, self.card, [texts[place] for place in unit])
                yield unit, scores

    def _run(self, texts: Sequence[TokenIds]) -> Scores:
        numbers = np.repeat(np.arange(len(texts)), [len(ids) for ids in texts])
        logits: Scores = self.runner.run([np.concatenate(texts)], types=[numbers])[:, 0]
        return logits


def cut(ids: TokenIds, most: int) -> TokenIds:
    """The first tokens of a text and its last one, [SEP]: at most `most`, all of them where they are fewer."""
    return ids if len(ids) <= most else np.concatenate([ids[: most - 1], ids[-1:]])


def plan_passes(lengths: Sequence[int], tokens: int) -> Iterator[Ints]:
    """Positions of the texts of each pass, in order, at most `tokens` tokens together, or one text; lengths: of each text."""
    start = total = 0
    for place, length in enumerate(lengths):
        if place > start and total + length > tokens:
            yield np.arange(start, place)
            start, total = place, 0
        total += length
    if start < len(lengths):
        yield np.arange(start, len(lengths))
