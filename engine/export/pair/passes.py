"""One pass of a `PairTransformer` over a query and many candidates: the scores of pairs, each text read as often as it must be and no more.

All tokens stand in one row, the query's first; positions start again with each candidate (Song et al. 2023, Uni-Encoder, Findings of ACL). In the
lower layers every text attends to itself, so the query passes through them once. In the upper layers each candidate has a copy of the query's
states, and the two attend to each other. The mask is a matter of which rows an attention gathers: nothing is computed for pairs that it hides.

In the paper one copy of the query sees all candidates ("arrow attention"), which makes a score depend on the company.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from engine.export.pair.model import PairTransformer

HIDDEN = -1e4  # added to the attention of places that hold no token


@dataclass(frozen=True)
class Blocks:
    """Which rows attend to each other: those of one block. grid: int64 [blocks, longest], rows by place, any row where `real` is False;
    back: int64 [rows], where each row stands in the flattened grid."""

    grid: Tensor
    real: Tensor
    back: Tensor


def read_pass(model: PairTransformer, ids: Tensor, texts: Tensor) -> Tensor:
    """The logit of the query with each candidate, [candidates, 1].

    ids: int64 [t], [CLS] … [SEP] of the query, then of each candidate; texts: int64 [t], the number of each token's text: 0 for the query, then
    from 1 without gaps.
    """
    body, layers, interaction = model.auto_model, model.auto_model.encoder.layer, model.interaction
    lengths = (texts[None] == torch.arange(texts[-1] + 1)[:, None]).sum(dim=1)
    starts = lengths.cumsum(dim=0) - lengths
    places = torch.arange(ids.shape[0]) - starts[texts]
    across = torch.arange(lengths.max())[None]
    grid = (starts[:, None] + across).clamp(max=ids.shape[0] - 1)
    apart = Blocks(grid, across < lengths[:, None], texts * across.shape[1] + places)
    plain = (ids != model.tokenizer.cls_token_id) & (ids != model.tokenizer.sep_token_id)
    kinds = torch.zeros_like(ids)[None]
    states = body.embeddings(input_ids=ids[None], position_ids=places[None], token_type_ids=kinds)
    lower = len(layers) - model.together
    for layer in layers[:lower]:
        states = _layer(layer, states, apart)
    query = torch.arange(lengths[0])
    told = torch.arange(ids.shape[0] - lengths[0]) + lengths[0]
    held, real = grid[1:], apart.real[1:]
    same = (ids[query][None, :, None] == ids[held][:, None, :]) & plain[query][None, :, None]
    same = same & (real & plain[held])[:, None, :]
    words = body.embeddings.word_embeddings(ids[query][None])
    importance = interaction.importance(ids[query][None], words, states[:, query], plain[query][None])
    found = same.any(dim=1)[texts[told] - 1, places[told]]
    copies = states[:, query] + interaction.marks(0, same.any(dim=2))
    states = torch.cat([copies.flatten(0, 1), states[0, told] + interaction.marks(1, found)])[None]
    together = _joined(copies, held - lengths[0], real, texts[told] - 1, places[told])
    for layer in layers[lower:]:
        states = _layer(layer, states, together)
    both = states[0][together.grid]
    asked, answers = both[:, query], both[:, torch.arange(held.shape[1]) + lengths[0]]
    evidence = interaction.evidence(torch.cat([asked[:, 0], answers[:, 0]], dim=-1).float())
    parts = interaction.compare(importance, asked, answers, same, plain[query][None], real & plain[held])
    return parts @ interaction.weights[:, None] + evidence


def _joined(copies: Tensor, held: Tensor, real: Tensor, number: Tensor, place: Tensor) -> Blocks:
    """A block for each candidate: its copy of the query, then its own rows, which stand behind all copies.

    copies: [candidates, query, width]; held: int64 [candidates, longest], rows of each counted from the first candidate's first; number, place:
    of the candidates' rows, in order.
    """
    count, asked = copies.shape[0], copies.shape[1]
    each, across = torch.arange(count)[:, None], torch.arange(asked)[None]
    grid = torch.cat([each * asked + across, count * asked + held.clamp(min=0, max=number.shape[0] - 1)], dim=1)
    width = grid.shape[1]
    back = torch.cat([(each * width + across).flatten(), number * width + asked + place])
    return Blocks(grid, torch.cat([torch.ones_like(each * across, dtype=torch.bool), real], dim=1), back)


def _layer(layer: Any, states: Tensor, blocks: Blocks) -> Tensor:
    """One layer of BERT over rows [1, t, width], each attending to the rows of its block."""
    attention = layer.attention.self
    heads, size = attention.num_attention_heads, attention.attention_head_size

    def gathered(rows: Tensor) -> Tensor:
        return rows[0][blocks.grid].unflatten(2, (heads, size)).transpose(1, 2)

    asks, keys, values = (gathered(project(states)) for project in (attention.query, attention.key, attention.value))
    hidden = (1.0 - blocks.real[:, None, None, :].to(states.dtype)) * HIDDEN
    weights = (asks @ keys.transpose(2, 3) * size**-0.5 + hidden).softmax(dim=-1)
    read = (weights @ values).transpose(1, 2).flatten(2).flatten(0, 1)[blocks.back][None]
    attended = layer.attention.output(read, states)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output
