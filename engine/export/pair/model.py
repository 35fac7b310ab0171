"""A small cross-encoder that keeps what a sentence encoder knows: query and document apart in the lower layers, together in the upper ones.

The lower layers read the two texts as the sentence encoder always did (MacAvaney et al. 2020, PreTTR), so a few thousand training lists suffice:
relevance need not be learned from nothing. The upper layers let every token see both texts; tokens that occur in both are marked (Boualili et
al. 2020, MarkedBERT). The logit adds up the cosine of the two mean states, the best match of each query token among the document's tokens
(as in late interaction), the exact matches, each query token weighted by what its state and its word say of its importance, and what the two
[CLS] states say by themselves.

Needs torch and sentence-transformers; loaded by `sentence_transformers.CrossEncoder` from a folder that this module wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file  # type: ignore[import-not-found, unused-ignore]
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from torch.nn import functional

from engine.models.card import PAIR_WEIGHTS as WEIGHTS

GATE_WIDTH = 64
FAR = -1e4  # added to the attention of tokens that must not see each other
SATURATION = 1.0  # occurrences at which a repeated word counts half of what it can, as k1 in BM25


class Interaction(nn.Module):  # type: ignore[misc, unused-ignore]  # torch is untyped where it is not installed
    """What stands between and behind the layers of the body: marks of matching tokens, and the logit."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        # What a token weighs before anything is learned, as a logarithm: how rare it is in the training texts.
        self.register_buffer("rarity", torch.zeros(vocabulary))
        self.segment = nn.Parameter(torch.zeros(2, width))
        self.match = nn.Parameter(torch.zeros(2, width))
        self.gate = nn.Sequential(nn.Linear(2 * width, GATE_WIDTH), nn.GELU(), nn.Linear(GATE_WIDTH, 1))
        self.evidence = nn.Linear(2 * width, 1)
        # Chosen so that each feature spreads about equally over the candidates of a query before training.
        self.weights = nn.Parameter(torch.tensor([8.0, 8.0, 3.0, 2.0]))
        for layer in (self.gate[2], self.evidence):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def marks(self, side: Tensor | int, found: Tensor) -> Tensor:
        """What is added to the states before the texts meet, [..., width]. found: bool [...], whether the other text has the same token."""
        return self.segment[side] + self.match[side] * found[..., None].to(self.match.dtype)

    def importance(self, ids: Tensor, words: Tensor, apart: Tensor, query: Tensor) -> Tensor:
        """How much each token of the query counts, [..., t]; the sum is 1. ids, query: [..., t]; words, apart: [..., t, width], as for `compare`."""
        weights = self.gate(torch.cat([words, apart], dim=-1)).squeeze(-1).float() + self.rarity[ids]
        return weights.masked_fill(~query, -1e4).softmax(dim=-1) * query

    def compare(
        self, importance: Tensor, asked: Tensor, told: Tensor, same: Tensor, query: Tensor, document: Tensor
    ) -> Tensor:
        """What `weights` weigh, [b, 4]: likeness of the means, of the best matches, exact matches, repeated matches.

        asked: [b, q, width], told: [b, d, width], states after the texts have met, which may be one and the same; importance: [b, q], by the word
        embeddings and the states before that; same: bool [b, q, d], whether a token of the query is the same word piece as one of the document;
        query: bool [b, q], document: bool [b, d], True for the tokens of each text, without special tokens.
        """
        asked, told = asked.float(), told.float()
        units = [functional.normalize(states, dim=-1) for states in (asked, told)]
        likeness = (units[0] @ units[1].transpose(1, 2)).masked_fill(~document[:, None, :], -1.0).amax(dim=2)
        count = same.float().sum(dim=2)
        means = [
            functional.normalize(
                (states * side[..., None]).sum(dim=1) / side.sum(dim=1, keepdim=True).clamp(min=1), dim=-1
            )
            for states, side in ((asked, query.float()), (told, document.float()))
        ]
        return torch.stack(
            [
                (means[0] * means[1]).sum(dim=1),
                (importance * likeness).sum(dim=1),
                (importance * (count > 0)).sum(dim=1),
                (importance * count / (count + SATURATION)).sum(dim=1),
            ],
            dim=1,
        )


class PairTransformer(Transformer):  # type: ignore[misc, unused-ignore]  # untyped where the library is not installed
    """The body of a sentence encoder as a cross-encoder; writes `scores` [b, 1]. The tokenizer writes pairs as [CLS] a [SEP] [CLS] b [SEP]."""

    config_keys: ClassVar[list[str]] = [*Transformer.config_keys, "together"]

    def __init__(self, *args: Any, together: int = 2, **kwargs: Any) -> None:
        """together: how many of the upper layers see both texts."""
        super().__init__(*args, **kwargs)
        self.together = together
        self.auto_model.config.num_labels = 1
        self.interaction = Interaction(self.auto_model.config.hidden_size, self.auto_model.config.vocab_size)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        parts, evidence = self.parts(features["input_ids"], features["token_type_ids"], features["attention_mask"])
        features["parts"], features["evidence"] = parts, evidence
        features["scores"] = self._logits(parts, evidence)
        return features

    def read(self, ids: Tensor, side: Tensor, real: Tensor | None = None) -> Tensor:
        """The logit of each pair, [b, 1]; arguments as of `parts`."""
        return self._logits(*self.parts(ids, side, real))

    def _logits(self, parts: Tensor, evidence: Tensor) -> Tensor:
        return parts @ self.interaction.weights[:, None] + evidence

    def parts(self, ids: Tensor, side: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The logit's parts, [b, 4], which the interaction's weights weigh, and the evidence of the [CLS] states, [b, 1].

        ids, side: [b, t], tokens and which text they are of; real: [b, t], 0 for padding; None: there is none.
        """
        body, layers = self.auto_model, self.auto_model.encoder.layer
        lower = len(layers) - self.together
        kept = torch.ones_like(ids, dtype=torch.bool) if real is None else real.bool()
        first = (kept & (side == 0)).sum(dim=1, keepdim=True)  # where the second text starts
        place = torch.arange(ids.shape[1], device=ids.device)[None]
        positions = torch.where(side == 1, (place - first).clamp(min=0), place)
        states = body.embeddings(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))
        words = body.embeddings.word_embeddings(ids)
        apart_only = self._attention((side[:, :, None] == side[:, None, :]) & kept[:, None, :])
        for layer in layers[:lower]:
            states = layer(states, attention_mask=apart_only)
        apart = states
        special = (ids == self.tokenizer.cls_token_id) | (ids == self.tokenizer.sep_token_id) | ~kept
        query, document = ~special & (side == 0), ~special & (side == 1)
        same = (ids[:, :, None] == ids[:, None, :]) & query[:, :, None] & document[:, None, :]
        states = states + self.interaction.marks(side, same.any(dim=2) | same.any(dim=1))
        every = None if real is None else self._attention(kept[:, None, :].expand(-1, ids.shape[1], -1))
        for layer in layers[lower:]:
            states = layer(states, attention_mask=every)
        second = states.gather(1, first[..., None].expand(-1, -1, states.shape[2]))[:, 0]
        evidence = self.interaction.evidence(torch.cat([states[:, 0], second], dim=-1).float())
        importance = self.interaction.importance(ids, words, apart, query)
        return self.interaction.compare(importance, states, states, same, query, document), evidence

    def _attention(self, allowed: Tensor) -> Tensor:
        """bool [b, t, t] in the form that the body's attention takes."""
        if self.auto_model.config._attn_implementation == "eager":
            return (1.0 - allowed[:, None].float()) * FAR
        return allowed[:, None]

    def train(self, mode: bool = True) -> PairTransformer:
        """See torch; parts that do not learn read as they always do, since dropout would only blur what they know."""
        super().train(mode)
        for part in (self.auto_model.embeddings, *self.auto_model.encoder.layer):
            if not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        super().save(output_path, *args, **kwargs)
        save_file(self.interaction.state_dict(), Path(output_path) / WEIGHTS)

    def learn_rarity(self, texts: Sequence[str]) -> None:
        """Let each token weigh what BM25 would give it (its inverse document frequency) until training says more."""
        held = torch.zeros(len(self.interaction.rarity))
        for text in texts:
            ids = set(self.tokenizer(text, add_special_tokens=False, truncation=True, max_length=512)["input_ids"])
            held[list(ids)] += 1
        self.interaction.rarity = torch.log1p((len(texts) - held + 0.5) / (held + 0.5)).clamp(min=0.05).log()

    @classmethod
    def load(cls, model_name_or_path: str, *args: Any, **kwargs: Any) -> PairTransformer:
        loaded: PairTransformer = super().load(model_name_or_path, *args, **kwargs)
        weights = Path(model_name_or_path) / WEIGHTS
        if weights.exists():
            loaded.interaction.load_state_dict(load_file(weights))
        return loaded


def new_pair_model(source: str | Path, together: int, max_tokens: int) -> CrossEncoder:
    """A cross-encoder from a sentence encoder's folder, not yet trained."""
    body = PairTransformer(str(source), together=together, max_seq_length=max_tokens)
    pair_template(body.tokenizer)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return CrossEncoder(modules=[body], device=device, activation_fn=nn.Identity())


def open_pair_model(folder: str | Path, **model_kwargs: Any) -> CrossEncoder:
    """The cross-encoder in a folder that this module wrote, on the CPU. model_kwargs: of the body, such as attn_implementation.

    The library itself runs the code that a folder names only where it is told to trust it; here the code is this module's, whatever it names.
    """
    body = PairTransformer.load(str(folder), local_files_only=True, model_kwargs=model_kwargs)
    pair_template(body.tokenizer)
    return CrossEncoder(modules=[body], device="cpu", activation_fn=nn.Identity())


def pair_template(tokenizer: Any) -> None:
    """Let a BERT tokenizer write pairs as the sentence encoder reads each text: [CLS] a [SEP] [CLS] b [SEP]."""
    from tokenizers.processors import TemplateProcessing

    start, end = tokenizer.cls_token, tokenizer.sep_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {start}:1 $B:1 {end}:1",
        special_tokens=[(start, tokenizer.cls_token_id), (end, tokenizer.sep_token_id)],
    )
