"""Text to token ids."""

from __future__ import annotations

from pathlib import Path

from engine.encoders.tokens import TextTokenizer
from tests.encoders.tiny import write_tokenizer


def test_a_prompt_that_is_a_plain_word_does_not_split_other_words(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json")
    tokenizer = TextTokenizer.load(tmp_path / "tokenizer.json", 8)
    before = tokenizer.ids(["reddish red"], "red ")[0].tolist()
    tokenizer.keep_whole("red ")
    assert tokenizer.ids(["reddish red"], "red ")[0].tolist() == before == [2, 4, 1, 4, 3]
