"""Query sets, judgments and runs from files of any of the known layouts, told apart by what stands in them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from app.results.evaluation import Brought
from app.verbs.base import writes
from app.verbs.querysets import QuerySetVerbs
from app.verbs.runs import RunVerbs
from engine.errors import BadInput
from engine.files.lines import numbered_lines
from engine.system.scratch import scratch
from engine.workspace.query_sets import DEFAULT_SET

What: TypeAlias = Literal["auto", "queries", "judgments", "run"]
WHAT: tuple[What, ...] = ("auto", "queries", "judgments", "run")
MOST_UNPACKED = 500_000_000
_RUN = re.compile(r"\S+[ \t]+Q0[ \t]+\S+[ \t]+[-+\d.eE]+[ \t]+[-+\d.eE]+([ \t]+\S+)?\s*")
_QRELS = re.compile(r"\S+[ \t]+(Q0|\d+)[ \t]+\S+[ \t]+-?\d+\s*")
_BEIR = re.compile(r"query-id\tcorpus-id\tscore\s*", re.IGNORECASE)
_RATED = re.compile(
    r'"?(query|qid)"?[,;]\s*"?(docid|doc_id|doc)"?[,;]\s*"?(rating|rel|relevance|score)"?\s*', re.IGNORECASE
)
_NEEDED = re.compile(r"(?:.*/)?(queries\.jsonl|qrels/[^/\\:]+\.tsv)")


class BringVerbs(QuerySetVerbs, RunVerbs):
    """Bring in what evaluations need."""

    @writes
    def bring(
        self, collection: str, paths: Sequence[str | Path], *, query_set: str = DEFAULT_SET, what: str = "auto"
    ) -> tuple[Brought, ...]:
        """Import files, a BEIR folder or its zip: questions first, then judgments, then runs. `what` says what they are; auto looks.

        Raises BadInput with the file and its lines that are wrong; what was taken before that file stays.
        """
        given = next((one for one in WHAT if one == what), None)
        if given is None:
            raise BadInput(f"Files hold {', '.join(WHAT[1:])}; got {what!r}.")
        with _unpacked([Path(path) for path in paths]) as files:
            told = [(_kind(path) if given == "auto" else given, path) for path in files]
            told.sort(key=lambda pair: WHAT.index(pair[0]))
            return tuple(self._brought(collection, path, kind, query_set) for kind, path in told)

    def _brought(self, collection: str, path: Path, kind: What, query_set: str) -> Brought:
        if kind == "run":
            run = self.import_run(collection, path)
            absent = f"{run.absent:,} of its documents are not in the collection."
            return Brought(path.name, "run", run.name, run.queries, run.hits, (absent,) if run.absent else ())
        take = self.import_queries if kind == "queries" else self.import_judgments
        found = take(collection, path, query_set=query_set)
        return Brought(path.name, kind, found.query_set, found.queries, found.judgments, found.notices)


def _kind(path: Path) -> What:
    """What a file or folder holds, by its first lines."""
    if path.is_dir():  # judgments come along with the queries of a folder
        return "queries" if (path / "queries.jsonl").is_file() else "judgments"
    lines = numbered_lines(path)
    head = [line for _, (_, line) in zip(range(40), lines, strict=False) if line.strip()]
    if not head:
        raise BadInput(f"{path.name} is empty.")
    if all(_RUN.fullmatch(line) for line in head):
        return "run"
    if _BEIR.fullmatch(head[0]) or _RATED.fullmatch(head[0]) or all(_QRELS.fullmatch(line) for line in head):
        return "judgments"
    return "queries"


@contextmanager
def _unpacked(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The paths, with a BEIR folder in the place of its zip. Nothing but questions and judgments is unpacked."""
    found = []
    with ExitStack() as stack:
        for path in paths:
            if path.suffix.lower() != ".zip":
                found.append(path)
                continue
            found.append(_unzip(path, Path(stack.enter_context(scratch("beir")))))
        yield found


def _unzip(path: Path, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [(one, match[1]) for one in archive.infolist() if (match := _NEEDED.fullmatch(one.filename))]
            if not any(name == "queries.jsonl" for _, name in members):
                raise BadInput(f"{path.name} holds no queries.jsonl; zip a BEIR folder, or give the files themselves.")
            left = MOST_UNPACKED
            target = folder / path.stem
            for one, name in members:
                place = target.joinpath(*PurePosixPath(name).parts)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(one) as packed, place.open("wb") as file:
                    while block := packed.read(1 << 20):
                        left -= len(block)
                        if left < 0:
                            raise BadInput(f"{path.name} unpacks to more than {MOST_UNPACKED // 1_000_000:,} MB.")
                        file.write(block)
            return target
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise BadInput(f"{path.name} cannot be unpacked: {error}. Give the files themselves.") from None
