"""Runs and judgments that we write score the same in other programs, and theirs the same here."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import ir_measures
import polars as pl
import pytest
import pytrec_eval

from engine.files.judgments import read_judgments, write_judgments
from engine.files.runs import RUN, read_run, write_run
from engine.metrics.base import mark, parse_metric

JUDGMENTS = {"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}
MEASURES = {"nDCG@10": "ndcg_cut_10", "AP": "map", "RR": "recip_rank", "R@5": "recall_5", "P@5": "P_5"}


def made(seed: int, *, ties: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hits and judgments of forty queries."""
    rng = random.Random(seed)
    hits: list[tuple[str, str, float]] = []
    judged: list[tuple[str, str, int]] = []
    for q in range(40):
        names = [f"d{i}" for i in range(40)]
        scores = [rng.randint(0, 9) / 7 for _ in names] if ties else rng.sample([i / 7 for i in range(500)], len(names))
        hits += [(f"q{q}", name, score) for name, score in list(zip(names, scores, strict=True))[: rng.randint(3, 30)]]
        judged += [(f"q{q}", name, rng.choice([0, 0, 1, 2])) for name in [*rng.sample(names, 10), "unfound"]]
    return pl.DataFrame(hits, RUN, orient="row"), pl.DataFrame(judged, JUDGMENTS, orient="row")


def ours(hits: pl.DataFrame, judgments: pl.DataFrame) -> dict[str, list[float]]:
    marked = mark(judgments["qid"].unique(maintain_order=True).to_list(), hits, judgments)
    return {name: parse_metric(name).values(marked).tolist() for name in MEASURES}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A run with ties and its judgments, as we write them."""
    hits, judgments = made(1, ties=True)
    (tmp_path / "ours.run").write_text(write_run(hits, "ours"))
    (tmp_path / "qrels.txt").write_text(write_judgments(judgments, "trec"))
    return tmp_path / "ours.run", tmp_path / "qrels.txt"


def test_trec_eval_reads_our_files_and_scores_them_the_same(files: tuple[Path, Path]) -> None:
    with files[0].open() as run, files[1].open() as qrels:
        theirs = pytrec_eval.parse_run(run), pytrec_eval.parse_qrel(qrels)
    scored = pytrec_eval.RelevanceEvaluator(theirs[1], set(MEASURES.values())).evaluate(theirs[0])
    expected = ours(*made(1, ties=True))
    for name, measure in MEASURES.items():
        assert [scored[f"q{q}"][measure] for q in range(40)] == pytest.approx(expected[name]), name


def test_the_ranks_that_we_write_are_those_of_trec_eval(files: tuple[Path, Path]) -> None:
    by_query: dict[str, list[tuple[int, float, str]]] = {}
    for line in files[0].read_text().splitlines():
        qid, _, doc_id, rank, score, _ = line.split()
        by_query.setdefault(qid, []).append((int(rank), float(score), doc_id))
    for rows in by_query.values():
        assert [rank for rank, _, _ in rows] == list(range(1, len(rows) + 1))
        assert rows == sorted(rows, key=lambda row: (row[1], row[2]), reverse=True)


def test_files_of_ir_measures_score_the_same_here(files: tuple[Path, Path], tmp_path: Path) -> None:
    run = list(ir_measures.read_trec_run(str(files[0])))
    theirs = tmp_path / "theirs.run"
    theirs.write_text("".join(f"{row.query_id} Q0 {row.doc_id} 0 {row.score} theirs\n" for row in reversed(run)))
    hits, tag = read_run(theirs)
    judged = read_judgments(files[1]).judgments
    judgments = pl.DataFrame([(j.qid, j.doc_id, j.rating) for j in judged], JUDGMENTS, orient="row")
    assert tag == "theirs"
    for name, values in ours(*made(1, ties=True)).items():
        assert ours(hits, judgments)[name] == pytest.approx(values), name


RANX = """
import json, ranx, sys
run, qrels = ranx.Run.from_file("ours.trec", kind="trec"), ranx.Qrels.from_file("qrels.trec", kind="trec")
print(json.dumps(ranx.evaluate(qrels, run, sys.argv[1:], make_comparable=True)))
run.save("theirs.trec", kind="trec")
"""


def test_ranx_reads_ours_and_we_read_its_runs(tmp_path: Path) -> None:
    hits, judgments = made(2, ties=False)  # it orders ties by chance
    (tmp_path / "ours.trec").write_text(write_run(hits, "ours"))
    (tmp_path / "qrels.trec").write_text(write_judgments(judgments, "trec"))
    names = {"nDCG@10": "ndcg@10", "AP": "map", "RR": "mrr", "R@5": "recall@5", "P@5": "precision@5"}
    # In a process of its own, without compiling: that takes longer than all the rest.
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RANX, *names.values()],
        cwd=tmp_path, env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, capture_output=True, check=True, text=True, timeout=300,
    )  # fmt: skip
    scored, expected = json.loads(ran.stdout), ours(hits, judgments)
    for name, measure in names.items():
        assert scored[measure] == pytest.approx(sum(expected[name]) / 40), name
    back = read_run(tmp_path / "theirs.trec")[0]
    assert ours(back, judgments) == {name: pytest.approx(values) for name, values in expected.items()}
