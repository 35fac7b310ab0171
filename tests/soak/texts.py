"""The documents and questions of the soak: small, and a function of their id and version, so that nothing has to be remembered of them."""

from __future__ import annotations

import hashlib
import json
import random

GONE = 0
"""Stands in for a version where there is no document."""
_WORDS = """sparse dense fusion token weight vector query passage ranking index recall precision corpus lexical neural encoder pooling
    cluster graph citation abstract survey method baseline measure relevance judgment assessor topic session click feedback expansion
    rerank cascade budget latency memory shard merge segment posting compression quantile centroid distance cosine margin gradient
    batch dropout attention layer transformer distillation teacher student negative positive contrastive hard sampling temperature
    calibration isotonic logistic threshold interval bootstrap permutation significance power effect variance estimate sample"""
WORDS = tuple(_WORDS.split())


def title(doc_id: str, version: int) -> str:
    """Begins with the id and the version, so that every list tells which version it shows."""
    return f"{doc_id} v{version} {' '.join(_words(doc_id, version, 'title', 4))}"


def text(doc_id: str, version: int) -> str:
    """Some sentences, and at the end a digest of them that occurs in no other document."""
    words = _words(doc_id, version, "text", 56)
    sentences = [" ".join(words[at : at + 14]).capitalize() + "." for at in range(0, len(words), 14)]
    body = " ".join(sentences)
    return f"{body} Digest {hashlib.sha256(f'{doc_id}/{version}/{body}'.encode()).hexdigest()}."


def _words(doc_id: str, version: int, what: str, count: int) -> list[str]:
    return random.Random(f"{doc_id}/{version}/{what}").choices(WORDS, k=count)


def jsonl(versions: dict[str, int]) -> str:
    """A file of documents, one a line."""
    rows = ({"id": one, "title": title(one, v), "text": text(one, v), "year": 2000} for one, v in versions.items())
    return "".join(json.dumps(row) + "\n" for row in rows)


def bibtex(versions: dict[str, int]) -> str:
    """The same documents as a bibliography."""
    entry = "@article{{{},\n  title = {{{}}},\n  abstract = {{{}}},\n  year = {{2000}}\n}}\n"
    return "".join(entry.format(one, title(one, v), text(one, v)) for one, v in versions.items())


def question(rng: random.Random) -> str:
    """A query of a few words."""
    return " ".join(rng.sample(WORDS, rng.randint(1, 5)))
