"""Steps a second of the late head's loss: ours, which finds the best tokens first, beside sentence-transformers' scoring, with equal scores.

`python -m tests.benchmarks.bench_training [STEPS]` (default 10; needs torch and sentence-transformers)

Each step scores 64 queries of about 33 tokens against 64 documents of about 190, the lengths of the training text, and goes back to the
projection of the states. Both read the same batch by turns in one process; times are CPU time, the median, so that they can be compared on a busy machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from sentence_transformers.multi_vector_encoder.scoring import mean_colbert_scores
from torch.nn.utils.rnn import pad_sequence

from engine.training.late import every_maxsim, late_head

BATCH, DIM, KEPT, QUERY_TOKENS, DOCUMENT_TOKENS = 64, 384, 96, 33, 190


def texts(count: int, tokens: int) -> tuple[Any, list[int]]:
    """Random states [tokens, DIM] one text after the other, lengths within a half of `tokens`, and where each begins."""
    lengths = torch.randint(tokens // 2, tokens * 3 // 2, (count,)).tolist()
    return torch.randn(sum(lengths), DIM), [sum(lengths[:place]) for place in range(count + 1)]


def library_scores(queries: Any, documents: Any, query_indptr: list[int], indptr: list[int]) -> Any:
    """As `every_maxsim`, padded and scored by the library."""
    padded, masks = [], []
    for vectors, starts in ((queries, query_indptr), (documents, indptr)):
        lengths = [end - start for start, end in pairwise(starts)]
        padded.append(pad_sequence(list(vectors.split(lengths)), batch_first=True))
        masks.append(torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None])
    return mean_colbert_scores(padded[0], padded[1][:, None], queries_mask=masks[0], documents_mask=masks[1][:, None])


def main(steps: int = 10) -> None:
    torch.manual_seed(0)
    head = late_head(DIM, KEPT)
    ways: dict[str, Callable[..., Any]] = {"best tokens first": every_maxsim, "sentence-transformers": library_scores}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    apart = 0.0
    for _ in range(steps):
        (queries, query_indptr), (documents, indptr) = texts(BATCH, QUERY_TOKENS), texts(BATCH, DOCUMENT_TOKENS)
        found = []
        for name, scored in ways.items():
            started = time.process_time()
            scores = scored(head(queries), head(documents), query_indptr, indptr)
            torch.nn.functional.cross_entropy(20 * scores, torch.arange(BATCH)).backward()
            spent[name].append(time.process_time() - started)
            found.append(scores.detach())
        apart = max(apart, float((found[0] - found[1]).abs().max()))
    base = None
    print(f"{torch.get_num_threads()} threads, {steps} steps; scores differ by {apart:.4f} at most")
    for name, times in spent.items():
        rate = 1 / sorted(times)[len(times) // 2]
        base = base or rate
        print(f"  {name:<22} {rate:6.2f} steps a second of CPU time, {base / rate:5.2f} times as long")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
