"""Late interaction in the reader: pairs of a query token and the token that it found."""

from __future__ import annotations

from app.drawing import reader
from app.results.search import Attribution, Explanation

FULL = "Calibrated rankers. They rank."
FOUND = (
    Attribution("[CLS] → [CLS]", 0.9, -1, -1),
    Attribution("calibration → Calibrated", 0.8, 0, 4),
    Attribution("calibration → Calibrated", 0.6, 4, 10),
    Attribution("<b>x → rank", 0.7, 25, 29),
    Attribution("? → .", 0.1, 18, 19),
)


def test_pairs_keep_both_ends_and_pieces_are_added_up() -> None:
    told = Explanation("m", "late", True, 3.1, 1, FOUND, "", "tokens")
    words = dict(reader.words_of(told, FULL))
    assert round(words["calibration → Calibrated"], 6) == 1.4
    assert set(words) == {"[CLS] → [CLS]", "calibration → Calibrated", "<b>x → rank", "? → ."}
    html = str(reader._explanations([told], FULL))
    assert "&lt;b&gt;x → rank" in html
    assert "<b>x →" not in html
    listed, rest = html.split("more with")
    assert "[CLS]" not in listed, "special tokens are counted, not listed"
    assert "+1.000 together" in rest


def test_the_words_that_were_found_are_marked_as_semantic() -> None:
    for family in ("late", "maxsim", "colbert_prf"):
        told = Explanation("m", family, True, 3.1, 1, FOUND, "", "tokens")
        assert reader.kind_of(told) == "semantic"
        marks = reader._marks([told], 0, FULL)
        assert [(FULL[start:end], kind) for start, end, kind, _ in marks] == [
            ("Calibrated", "semantic"),
            ("rank", "semantic"),
        ]
