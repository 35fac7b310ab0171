"""The example collection keeps the promises of its README: sizes, ids, grades, summary lengths, links."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "retrieval-papers"
KINDS = {"method", "benchmark", "survey", "system", "theory", "study"}
TAGS = {"method", "comparison", "evaluation", "efficiency", "application", "none"}


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def papers() -> list[dict[str, Any]]:
    return read_jsonl(FOLDER / "corpus.jsonl")


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    return read_jsonl(FOLDER / "queries.jsonl")


@pytest.fixture(scope="module")
def judgments() -> list[tuple[str, str, int]]:
    with (FOLDER / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    assert rows[0] == ["query-id", "corpus-id", "score"]
    return [(qid, doc_id, int(score)) for qid, doc_id, score in rows[1:]]


def repeated(values: list[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]


def test_there_are_enough_papers_and_questions(papers, questions):
    assert len(papers) >= 200
    assert len(questions) >= 60


def test_ids_and_titles_are_unique(papers, questions):
    assert repeated([paper["_id"] for paper in papers]) == []
    assert repeated([question["_id"] for question in questions]) == []
    assert repeated([paper["title"].casefold() for paper in papers]) == []
    assert repeated([question["text"].casefold() for question in questions]) == []


def test_summaries_have_60_to_120_words_and_differ(papers):
    lengths = {paper["_id"]: len(paper["text"].split()) for paper in papers}
    assert {key: n for key, n in lengths.items() if not 60 <= n <= 120} == {}
    assert repeated([paper["text"] for paper in papers]) == []


def test_every_paper_has_complete_metadata(papers):
    for paper in papers:
        metadata = paper["metadata"]
        assert set(metadata) == {"authors", "year", "venue", "url", "topic", "kind"}, paper["_id"]
        assert metadata["authors"], paper["_id"]
        assert all(name.strip() == name != "" for name in metadata["authors"]), paper["_id"]
        assert repeated(metadata["authors"]) == [], paper["_id"]
        assert 1950 <= metadata["year"] <= 2026, paper["_id"]
        assert metadata["venue"], paper["_id"]
        assert metadata["topic"], paper["_id"]
        assert metadata["kind"] in KINDS, paper["_id"]


def test_links_are_https_or_empty_and_point_to_one_paper_each(papers):
    links = [paper["metadata"]["url"] for paper in papers]
    assert [link for link in links if link and not link.startswith("https://")] == []
    assert repeated([link for link in links if link]) == []


def test_every_question_has_a_tag_and_a_description(questions):
    for question in questions:
        assert question["metadata"]["tag"] in TAGS, question["_id"]
        assert question["metadata"]["description"].endswith("."), question["_id"]


def test_judgments_name_known_papers_and_questions_once(papers, questions, judgments):
    assert {doc_id for _, doc_id, _ in judgments} <= {paper["_id"] for paper in papers}
    assert {qid for qid, _, _ in judgments} == {question["_id"] for question in questions}
    assert repeated([(qid, doc_id) for qid, doc_id, _ in judgments]) == []
    assert {score for _, _, score in judgments} == {0, 1, 2, 3}


def test_answerable_questions_have_relevant_and_rejected_papers_and_the_others_only_rejected(questions, judgments):
    grades: dict[str, list[int]] = defaultdict(list)
    for qid, _, score in judgments:
        grades[qid].append(score)
    unanswerable = {question["_id"] for question in questions if question["metadata"]["tag"] == "none"}
    assert len(unanswerable) >= 5
    for qid, scores in grades.items():
        relevant = sum(score > 0 for score in scores)
        assert 0 in scores, qid
        if qid in unanswerable:
            assert relevant == 0, qid
        else:
            assert relevant >= 2, qid
            assert max(scores) == 3, qid


def test_the_readme_states_the_sizes(papers, questions, judgments):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    relevant = sum(score > 0 for _, _, score in judgments)
    without = sum(question["metadata"]["tag"] == "none" for question in questions)
    years = [paper["metadata"]["year"] for paper in papers]
    topics = {paper["metadata"]["topic"] for paper in papers}
    assert f"| papers, {min(years)} to {max(years)}, classical and neural | {len(papers)} |" in readme
    assert f"| questions, {without} of them with no relevant paper here | {len(questions)} |" in readme
    assert f"| judgments, {relevant} of them relevant | {len(judgments):,} |" in readme
    assert f"`topic` (one of {len(topics)}," in readme
