"""Small originals in the layout of sentence-transformers: random weights in each architecture, with a tokenizer of the sample texts' words."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from engine.export.recipes import SAMPLES

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]")
WORDS = sorted({word for text in SAMPLES for word in re.findall(r"\w+|[^\w\s]", text.lower())} | set("!,.:;()"))
TOKENS = 48  # fewer than the longest samples have, so that cutting shows
WIDTH, HEADS, LAYERS = 32, 4, 2
SPREAD = 0.4  # of random weights: wide enough that every token's place and neighbors change its vector

TEXTS = [*SAMPLES[:12], "scores , relevant ; and ( pauses )", SAMPLES[-1], "weighting", "unheard of words : zyx"]
"""Short and long, in an order that makes the library pad."""

_SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "initializer_range": SPREAD,
    "pad_token_id": 0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "Bert": _SIZES | {"max_position_embeddings": TOKENS + 8},
    "DistilBert": {
        "dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 48, "initializer_range": SPREAD, "max_position_embeddings": TOKENS + 8,
    },
    "Roberta": _SIZES | {"max_position_embeddings": TOKENS + 1, "type_vocab_size": 1},
    "XLMRoberta": _SIZES | {"max_position_embeddings": TOKENS + 1, "type_vocab_size": 1},
    "ModernBert": _SIZES
    | {
        "local_attention": 8, "global_attn_every_n_layers": 2, "max_position_embeddings": TOKENS + 8,
        "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3,
    },
    "Qwen3": _SIZES
    | {
        "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": TOKENS + 8, "bos_token_id": 2, "eos_token_id": 3,
    },
}  # fmt: skip


def write_backbone(
    folder: Path,
    architecture: str,
    head: str = "Model",
    markers: Sequence[str] = (),
    tokens: int = TOKENS,
    words: Sequence[str] = (),
    **config: Any,
) -> Path:
    """A transformers folder.

    head: Model, ForMaskedLM, ForSequenceClassification or ForCausalLM; markers: words that are tokens wherever they stand; words: further ones.
    """  # fmt: skip
    folder.mkdir(parents=True)
    count = len(write_tokenizer(folder, architecture, markers, tokens, words))
    chosen = getattr(transformers, f"{architecture}Config")(vocab_size=count, **(CONFIGS[architecture] | config))
    torch.manual_seed(5)
    model = getattr(transformers, f"{architecture}{head}")(chosen)
    for name, values in model.named_parameters():  # biases and scales start at 0 and 1, where mistakes would not show
        if values.ndim == 1:
            values.data += 0.1 * torch.randn_like(values)
        assert values.isfinite().all(), name
    model.eval().save_pretrained(folder)
    return folder


def write_tokenizer(
    folder: Path, architecture: str, markers: Sequence[str], tokens: int, further: Sequence[str]
) -> dict[str, int]:
    """Lower-cased words between [CLS] and [SEP], or before an end token, padded on the left, for decoders; returns the vocabulary."""
    words = {
        word: number for number, word in enumerate((*SPECIAL, *(w for w in [*WORDS, *further] if w not in SPECIAL)))
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    decoder = architecture == "Qwen3"
    single, pair = ("$A [SEP]", "$A $B [SEP]") if decoder else ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    inputs = ["input_ids", "attention_mask"] + (["token_type_ids"] if architecture == "Bert" else [])
    saved = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
        model_input_names=inputs, model_max_length=tokens, padding_side="left" if decoder else "right",
    )  # fmt: skip
    saved.add_special_tokens({"additional_special_tokens": list(markers)})
    saved.save_pretrained(folder)
    return words


def write_dense(
    folder: Path,
    architecture: str,
    pooling: str = "mean",
    project: bool = False,
    normalize: bool = True,
    tokens: int = TOKENS,
    **settings: Any,
) -> Path:
    """A SentenceTransformer folder."""  # fmt: skip
    stage = Transformer(str(write_backbone(folder / "backbone", architecture, tokens=tokens)))
    stages = [stage, Pooling(WIDTH, pooling_mode=pooling)]
    if project:
        torch.manual_seed(6)
        stages.append(Dense(WIDTH, 12, activation_function=torch.nn.Identity()))
    model = SentenceTransformer(modules=[*stages, *([Normalize()] if normalize else [])], device="cpu", **settings)
    model.save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"


def write_sparse(folder: Path, architecture: str, inference_free: bool = False, **pooling: str) -> Path:
    """A SparseEncoder folder, its queries encoded or looked up."""
    stage = Transformer(
        str(write_backbone(folder / "backbone", architecture, "ForMaskedLM")), transformer_task="fill-mask"
    )
    stages = [stage, SpladePooling(**pooling)]
    if inference_free:
        torch.manual_seed(7)
        weights = torch.rand(len(stage.tokenizer.get_vocab())) * 4
        weights[:10] = 0
        lookup = SparseStaticEmbedding(stage.tokenizer, weight=weights, frozen=True)
        stages = [Router.for_query_document(query_modules=[lookup], document_modules=stages)]
    model = SparseEncoder(modules=stages, device="cpu", similarity_fn_name="dot")
    model.save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"


def write_late(folder: Path, architecture: str, stage: dict[str, Any], skipped: str = "", **settings: Any) -> Path:
    """A MultiVectorEncoder folder with a projection to 12 dimensions; stage: further arguments of its Transformer."""
    first = Transformer(str(write_backbone(folder / "backbone", architecture, markers=SPECIAL[-2:])), **stage)
    torch.manual_seed(8)
    keys = {"module_input_name": "token_embeddings"}
    stages = [
        first,
        Dense(WIDTH, 12, bias=False, activation_function=torch.nn.Identity(), **keys),
        MultiVectorMask(skiplist_words=list(skipped)),
        Normalize(**keys),
    ]
    model = MultiVectorEncoder(modules=stages, device="cpu", **settings)
    model.save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"


def write_pylate(folder: Path) -> Path:
    """ColBERT as PyLate saves it: two stages, and the rest among the settings."""
    first = Transformer(str(write_backbone(folder / "backbone", "Bert")))
    torch.manual_seed(8)
    projection = Dense(WIDTH, 12, bias=False, activation_function=torch.nn.Identity())
    SentenceTransformer(modules=[first, projection], device="cpu").save_pretrained(
        str(folder / "saved"), create_model_card=False
    )
    settings = {
        "model_type": "ColBERT", "query_prefix": "[unused0] ", "document_prefix": "[unused1] ", "query_length": 16, "document_length": 40,
        "attend_to_expansion_tokens": False, "skiplist_words": list(string.punctuation), "similarity_fn_name": "MaxSim",
    }  # fmt: skip
    (folder / "saved" / "config_sentence_transformers.json").write_text(json.dumps(settings))
    config = folder / "saved" / "1_Dense" / "config.json"
    kept = ("in_features", "out_features", "bias", "activation_function")
    config.write_text(
        json.dumps({name: value for name, value in json.loads(config.read_text()).items() if name in kept})
    )
    modules = folder / "saved" / "modules.json"
    listed = json.loads(modules.read_text())
    listed[1]["type"] = "pylate.models.Dense.Dense"
    modules.write_text(json.dumps(listed))
    return folder / "saved"


def write_stanford(folder: Path) -> Path:
    """ColBERT as Stanford's library saves it: projection among the weights, settings in artifact.metadata."""
    from safetensors.torch import load_file, save_file

    write_backbone(folder, "Bert")
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(9)
    renamed = {f"bert.{name}": values for name, values in weights.items()}
    save_file(renamed | {"linear.weight": torch.randn(12, WIDTH)}, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["HF_ColBERT"]}))
    metadata = {
        "query_maxlen": 16, "doc_maxlen": 40, "mask_punctuation": True, "attend_to_mask_tokens": False,
        "query_token_id": "[unused0]", "doc_token_id": "[unused1]",
    }  # fmt: skip
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    return folder


def write_cross(folder: Path, architecture: str, labels: int = 1, **config: Any) -> Path:
    """A CrossEncoder folder."""
    write_backbone(folder / "backbone", architecture, "ForSequenceClassification", num_labels=labels, **config)
    model = CrossEncoder(str(folder / "backbone"), device="cpu")
    model.save_pretrained(str(folder / "saved"), create_model_card=False)
    return folder / "saved"
