"""Seconds and peak memory of adding a folder of papers through the command that users run, then latencies on the result.

    python -m tests.benchmarks.bench_ingest [--folder FOLDER] [--dense] [--reuse]

The default folder is the ACL Anthology's metadata. `--dense` also encodes every passage (minutes), which the hybrid latencies need.
`--reuse` measures latencies alone, on what the last run left.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from app.presets import built_in
from app.verbs.services import Services
from engine.types import Ranking
from tests.benchmarks.corpora import CACHE, shared_folder

NAME = "anthology"


def triptych(folder: Path, *words: str) -> tuple[dict[str, object], float]:
    """Run one command; its JSON and its wall seconds."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "app", "--workspace", str(folder), *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), seconds


def latencies(services: Services, pipeline: str, queries: list[str]) -> list[float]:
    """Milliseconds of each query through the engine, filters and cards left out; the first five only warm up."""
    spec = built_in()[pipeline]
    collection_id = services.engine.workspace.collection(NAME).collection_id
    times = []
    for text in queries:
        started = time.perf_counter()
        services.engine.searcher(collection_id).context().execute(spec.pipeline, Ranking.of([("q", text)]))
        times.append((time.perf_counter() - started) * 1000)
    return times[5:]


def report(name: str, times: list[float]) -> None:
    """One line with the median and the 95th percentile."""
    print(
        f"{name:28} p50 {statistics.median(times):7.1f} ms   p95 {statistics.quantiles(times, n=20)[-1]:7.1f} ms",
        flush=True,
    )


def main() -> None:
    """Add, index, then search."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--reuse", action="store_true")
    options = parser.parse_args()
    source = options.folder or shared_folder() / "data" / "acl-anthology" / "xml"
    folder = CACHE / "ingest"
    if not options.reuse:
        build(folder, source, dense=options.dense)
    measure(folder, dense=options.dense)


def build(folder: Path, source: Path, *, dense: bool) -> None:
    """Add the papers and index them by the commands, each timed with the start of its process."""
    shutil.rmtree(folder, ignore_errors=True)
    _, adding = triptych(folder, "add", str(source), "--collection", NAME, "--no-index")
    _, indexing = triptych(folder, "index", "--collection", NAME, "--pipeline", "BM25")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"add {adding:.1f} s + BM25 {indexing:.1f} s = {adding + indexing:.1f} s, peak memory of a process {peak:.0f} MB",
        flush=True,
    )
    if dense:
        _, encoding = triptych(folder, "index", "--collection", NAME, "--pipeline", "Dense")
        print(f"dense {encoding:.1f} s", flush=True)


def measure(folder: Path, *, dense: bool) -> None:
    """Latencies of the questions that came with the papers."""
    questions = shared_folder() / "data" / "acl-litsearch" / "queries.jsonl"
    queries = [json.loads(line)["text"] for line in questions.read_text("utf-8").splitlines()][:105]
    with Services(folder) as services:
        print(services.collection(NAME).documents, "documents")
        for pipeline in ("BM25", "Dense", "Hybrid") if dense else ("BM25",):
            report(f"engine, {pipeline}", latencies(services, pipeline, queries))
        pages = ("BM25", "Dense", "Hybrid") if dense else ("BM25",)
        for pipeline in pages:
            times = [services.search(NAME, text, pipeline).took_ms for text in queries]
            report(f"search page, {pipeline}", times[5:])
        if dense:
            times = [services.compare(NAME, text, list(pages)).took_ms for text in queries]
            report("compare of three", times[5:])


if __name__ == "__main__":
    main()
