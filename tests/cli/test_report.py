"""`triptych report`, and what the verbs behind it put into a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import html

from app.verbs.services import Services
from engine.errors import BadInput, NotFound
from tests.cli.conftest import Cli

QUERIES = (
    '{"_id": "1", "text": "learned <b>sparse</b>"}\n{"_id": "2", "text": "dense"}\n{"_id": "3", "text": "weights"}\n'
)
CUT = "name: Cut\npipeline:\n- bm25: {k: 1000}\n- cutoff: {k: 1}\n"


@pytest.fixture
def judged(filled: Path, cli: Cli, tmp_path: Path) -> Path:
    """The collection "papers" with three queries, all judged, and a second pipeline."""
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.txt").write_text("1 0 p1 2\n2 0 p2 1\n2 0 p1 0\n3 0 p3 1\n3 0 p1 1\n")
    (tmp_path / "cut.yaml").write_text(CUT)
    assert cli("queries", "import", tmp_path / "queries.jsonl").code == 0
    assert cli("judgments", "import", tmp_path / "qrels.txt").code == 0
    return filled


def test_an_evaluation_becomes_one_file(judged: Path, cli: Cli, tmp_path: Path) -> None:
    view = cli("evaluate", "-p", "BM25", "-p", tmp_path / "cut.yaml", "-m", "AP", "-m", "R@10", "--json").data[
        "evaluation"
    ]
    out = tmp_path / "out.html"
    ended = cli("report", view["evaluation_id"][:8], "--output", out, "--metric", "R@10", "--query", 3, "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.data == {"file": str(out), "bytes": out.stat().st_size}
    text = out.read_text(encoding="utf-8")
    page = html.document_fromstring(text)
    asked = [" ".join(one.text_content().split()) for one in page.xpath('//section[@id="side-by-side"]//h3')]
    assert asked == ["3weights"]
    places = page.xpath('//section[@id="side-by-side"]//section')
    assert [len(place.xpath(".//li")) for place in places] == [3, 1]
    assert [grade.text for grade in places[0].xpath('.//*[contains(@class, "grade-yes")]')] == ["1", "1"]
    for one in view["pipelines"]:
        board = " ".join(page.xpath('//table[contains(@class, "leaderboard")]')[0].text_content().split())
        for cell in one["cells"]:
            assert f"{cell['mean']:.3f}" in board
        assert one["yaml"].strip() in page.xpath('//section[@id="pipelines"]')[0].text_content()
        assert one["command"] in page.xpath('//section[@id="origin"]')[0].text_content()
    with Services(judged, read_only=True) as services:
        key = services.collection("papers").name
        stored = services._stored(key, view["evaluation_id"])
    assert stored.content_hash in text
    assert all(stamp in text for stamp in stored.fingerprints.values())
    assert "learned <b>" not in text
    again = cli("report", view["evaluation_id"], "--output", out)
    assert again.out.startswith(f"Wrote {out} (")


def test_what_cannot_be_reported_is_said(judged: Path, cli: Cli, tmp_path: Path) -> None:
    name = cli("evaluate", "-p", "BM25", "-m", "AP", "--json").data["evaluation"]["evaluation_id"]
    out = ("--output", tmp_path / "none.html")
    assert "Name an evaluation" in cli("report", *out).err
    assert cli("report", name, "--metric", "P@3", *out).code == 2
    assert cli("report", name, "--query", "nope", *out).code == 3
    assert cli("report", name, "--calibration", "nope", *out).code == 3
    assert cli("report", "--calibration", "nope", *out, "--json").error["type"] == "NotFound"
    assert not (tmp_path / "none.html").exists()
    assert cli("report", name, "--output", tmp_path / "no" / "folder.html").code == 1


def test_a_comparison_becomes_one_file(judged: Path) -> None:
    with Services(judged) as services:
        services.save_pipeline("Cut <i>short</i>", CUT)
        data = services.report_comparison(
            "papers", "weights <script>", ["BM25", "Cut <i>short</i>"], k=5, filters={"year": [2009, 2021]}
        )
        with pytest.raises(BadInput, match="Ask something first"):
            services.report_comparison("papers", "  ", ["BM25", "BM25"])
        with pytest.raises(NotFound):
            services.report_calibration("papers", "nope")
    page = html.document_fromstring(data.decode())
    assert page.xpath("//h1")[0].text_content() == "weights <script>"
    assert not page.xpath("//script | //i")
    assert "year=2009..2021" in page.xpath('//section[@id="origin"]')[0].text_content()
    assert [len(place.xpath(".//li")) for place in page.xpath('//section[@id="side-by-side"]//section')] == [3, 1]
