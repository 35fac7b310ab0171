"""The recipe "cross": a small cross-encoder from a sentence encoder, taught to put lists of documents in the teacher's order.

The model is `engine.export.pair.model`, the lists are `engine.training.pairs`; trainer and loss (softmax cross-entropy between the two orders,
Cao et al. 2007, ListNet) are sentence-transformers' own.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.opening import load_encoder
from engine.errors import BadInput
from engine.export.export import export_model
from engine.export.recipes import RECIPES
from engine.models.card import PAIR_WEIGHTS as WEIGHTS
from engine.models.card import ModelCard, describe_file, write_card
from engine.models.catalogue import DEFAULT_DENSE, model_folder
from engine.system.scratch import scratch as scratch_folder
from engine.training.corpus import TrainingTexts, held_out
from engine.training.pairs import Lexicon, PairList, ask, pair_lists
from engine.training.trainer import library
from engine.types import FloatRows, Progress, ProgressSink, ignore_progress

CITATION = (
    "Nogueira and Cho (2019), Passage Re-ranking with BERT; MacAvaney et al. (2020), Efficient Document Re-Ranking for Transformers by "
    "Precomputing Term Representations, SIGIR; Moreira et al. (2024), NV-Retriever; Wang et al. (2020), MiniLM, NeurIPS"
)
BLOCK = 512
"""Lists made at a time."""


@dataclass(frozen=True, slots=True)
class CrossOptions:
    """How long and how fast to learn. Equal options, texts and versions of torch give equal models on equal hardware."""

    seed: int = 13
    lists: int = 1_600
    length: int = 8
    batch: int = 4
    together: int = 2
    tokens: int = 144
    max_tokens: int = 256
    rate: float = 4e-5
    head_rate: float = 1e-3
    weights_rate: float = 1e-2
    warmup: float = 0.06
    balance_lists: int = 160
    balance_length: int = 12
    balance_tokens: int = 200
    develop: int = 1_000
    develop_lists: int = 40


def train_cross(
    texts: TrainingTexts,
    source: str | Path,
    out: Path,
    options: CrossOptions = CrossOptions(),
    *,
    encode: Callable[[Sequence[str]], FloatRows],
    documents: FloatRows | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train, write the model to `out` (sentence-transformers layout), and give what was measured on documents held out.

    source: folder of a BERT-like sentence-transformers model; encode: the teacher's unit vectors of texts; documents: those of the training
    texts' units, where they are known already. Raises BadInput where `out` is not empty or the texts are too few.
    """
    import torch

    from engine.export.pair.model import new_pair_model

    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} is not empty; name a new folder.")
    kept, developed = held_out(texts, min(options.develop, len(texts) // 5), options.seed)
    if documents is None:
        say(f"Encoding {len(texts):,} documents with the teacher")
        documents = encode(texts.units)
    torch.manual_seed(options.seed)
    model = new_pair_model(source, options.together, options.tokens)
    model[0].learn_rarity(texts.units)
    with scratch_folder("train") as scratch:
        lexicon = Lexicon(texts.units, Path(scratch))

        def lists(positions: Sequence[int], seed: int, length: int) -> list[PairList]:
            rng = np.random.default_rng(seed)
            return pair_lists(texts, ask(texts, positions, lexicon, rng), lexicon, documents, encode, rng, length)

        trial = lists(developed[: options.develop_lists], options.seed + 1, 2 * options.length)
        before = measure(model, trial)
        say(f"Before training, on {len(trial)} lists of held-out documents: {_told(before)}")
        drawn = np.random.default_rng(options.seed).choice(kept, options.lists, replace=options.lists > len(kept))

        made: list[PairList] = []
        for start in range(0, options.lists, BLOCK):
            made += lists(drawn[start : start + BLOCK].tolist(), options.seed + 2 + start, options.length)
            say(f"Made {len(made):,} of {options.lists:,} lists")
        learn(model, made, options, out, say)
        rng = np.random.default_rng(options.seed + 86)
        drawn = rng.choice(kept, min(options.balance_lists, len(kept)), replace=False)
        model.max_seq_length = options.balance_tokens
        fresh = pair_lists(
            texts, ask(texts, drawn.tolist(), lexicon, rng), lexicon, documents, encode, rng, options.balance_length
        )
        balanced = ", ".join(f"{weight:.2f}" for weight in balance(model, fresh))
        say(f"Weights of the parts (means, best matches, exact, repeated), fitted on {len(fresh)} lists: {balanced}")
    model.max_seq_length = options.max_tokens
    after = measure(model, trial)
    say(f"After training: {_told(after)}")
    model.save(str(out))
    measured = {f"{name} before": value for name, value in before.items()} | after
    (out / "training.json").write_text(
        json.dumps({"options": asdict(options), "measured": measured}, indent=2), "utf-8"
    )
    return measured


def train_cross_model(
    texts: TrainingTexts,
    out: Path,
    options: CrossOptions,
    *,
    cache: Path,
    training_data: str,
    progress: ProgressSink = ignore_progress,
) -> ModelCard:
    """Train from the bundled encoder's original, export it as int8, and write the model's folder `out`, which appears when it is whole.

    The float32 model is left in `cache`, in sentence-transformers layout. Raises what `train_cross` and `export_model` raise, and
    MissingDependency where the original weights are not installed.
    """
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} is not empty; name a new folder.")
    teacher = load_encoder(DEFAULT_DENSE, provider="cpu")
    trained = cache / f"{out.name}-float32"
    step = 0

    def say(told: str) -> None:
        nonlocal step
        step += 1
        progress(Progress(told, step, None, "steps"))

    measured = train_cross(
        texts, RECIPES[DEFAULT_DENSE].folder(), trained, options, encode=teacher.encode_documents, say=say
    )
    return publish(trained, out, training_data, measured, say=say)


def publish(
    trained: Path,
    out: Path,
    training_data: str,
    measured: Mapping[str, float],
    about: Mapping[str, str] | None = None,
    say: Callable[[str], None] = print,
) -> ModelCard:
    """The int8 model folder of a trained model, with license and card; nothing is left at `out` where the export is not faithful."""
    texts = {
        "name": out.name,
        "title": f"{out.name} (int8)",
        "source": "trained by triptych train cross, from all-MiniLM-L6-v2",
        "revision": f"{WEIGHTS} sha256 {describe_file(trained / WEIGHTS).sha256}",
        "licence": "Apache-2.0",
        "training_data": training_data,
        "citation": CITATION,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        written = Path(scratch) / "model"
        card = export_model(trained, written, quantise="int8", family="cross", about=texts | dict(about or {}), say=say)
        shutil.copy(model_folder(DEFAULT_DENSE) / "LICENSE", written / "LICENSE")
        files = card.files | {"LICENSE": describe_file(written / "LICENSE")}
        notes: dict[str, float | str] = {f"held out: {name}": round(value, 4) for name, value in measured.items()}
        card = card.model_copy(update={"files": dict(sorted(files.items())), "measured": card.measured | notes})
        write_card(written, card)
        if out.exists():
            out.rmdir()
        os.replace(written, out)
    return card


def learn(model: Any, lists: Sequence[PairList], options: CrossOptions, out: Path, say: Callable[[str], None]) -> None:
    """One pass over the lists, in their order; the lower layers and the word embeddings stay as they are. A checkpoint every tenth of the way,
    beside `out`. What `say` raises stops the training.
    """
    import torch
    from sentence_transformers.cross_encoder.losses import ListNetLoss

    weights = model[0].interaction.weights
    upper = model[0].auto_model.encoder.layer[-options.together :]
    for parameter in model[0].auto_model.parameters():
        parameter.requires_grad_(False)
    for parameter in upper.parameters():
        parameter.requires_grad_(True)
    groups: list[dict[str, Any]] = [
        {"params": list(upper.parameters()), "lr": options.rate},
        {"params": [p for p in model[0].interaction.parameters() if p is not weights], "lr": options.head_rate},
        {"params": [weights], "lr": options.weights_rate, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps = -(-len(lists) // options.batch)
    warm = max(1, int(steps * options.warmup))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
    )
    columns = {
        "query": [one.query for one in lists],
        "documents": [one.documents for one in lists],
        "label": [one.logits for one in lists],
    }
    with scratch_folder("train") as scratch:
        trainer = _trainer()(
            model=model,
            args=_arguments(model, options, steps, scratch),
            train_dataset=library("datasets").Dataset.from_dict(columns),
            loss=ListNetLoss(model, mini_batch_size=options.length),
            callbacks=[_watch(model, steps, out, say)],
            optimizers=(optimizer, schedule),
        )
        trainer.remove_callback(library("transformers").PrinterCallback)
        trainer.train()


def _trainer() -> Any:
    """The library's trainer, which takes the lists in their order, drawn at random already, and writes no model card of its own."""
    from torch.utils.data import BatchSampler, SequentialSampler

    class ListTrainer(library().CrossEncoderTrainer):  # type: ignore[misc]
        def get_batch_sampler(self, dataset: Any, batch_size: int, drop_last: bool, **_: Any) -> Any:
            return BatchSampler(SequentialSampler(dataset), batch_size, drop_last)

        def add_model_card_callback(self, *_: Any) -> None:
            pass

    return ListTrainer


def _arguments(model: Any, options: CrossOptions, steps: int, folder: str) -> Any:
    on_cpu = model.device.type == "cpu"
    return library().CrossEncoderTrainingArguments(
        output_dir=folder,
        seed=options.seed,
        num_train_epochs=1,
        per_device_train_batch_size=options.batch,
        max_grad_norm=1.0,
        bf16=True,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        logging_steps=max(1, steps // 50),
        save_strategy="no",  # the trainer's checkpoints are pickles
        report_to="none",
        disable_tqdm=True,
    )


def _watch(model: Any, steps: int, out: Path, say: Callable[[str], None]) -> Any:
    """A callback that tells the loss, and saves the model every tenth of the way."""

    class Watch(library("transformers").TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **_: Any) -> None:
            if "loss" in logs:
                say(f"{state.global_step:,} of {steps:,} steps, loss {logs['loss']:.4f}")

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % max(1, steps // 10) == 0 and state.global_step < steps:
                model.save(str(out.with_name(f"{out.name}-checkpoint")))

    return Watch()


def balance(model: Any, lists: Sequence[PairList]) -> list[float]:
    """Fit the weights of the logit's four parts alone, by the same loss, over all of these lists at once; gives the weights."""
    import torch

    body = model[0]
    parts, evidence, wanted = [], [], []
    for one in lists:
        with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16):
            found = model(model.preprocess([(one.query, text) for text in one.documents]))
        parts.append(found["parts"].float())
        evidence.append(found["evidence"].float().squeeze(1))
        wanted.append(torch.tensor(one.logits).softmax(dim=0))
    held = [torch.stack(values) for values in (parts, evidence, wanted)]
    weights = body.interaction.weights.detach().clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(held[0] @ weights + held[1], held[2])
        value.backward()
        return value

    optimizer.step(loss)
    body.interaction.weights.data = weights.detach()
    return [float(weight) for weight in weights.detach()]


def measure(model: Any, lists: Sequence[PairList]) -> dict[str, float]:
    """How the model orders lists: the mean reciprocal rank of the paper that was asked for, and Spearman's correlation with the teacher on the others."""
    import torch

    ranks, agreements = [], []
    for one in lists:
        with torch.autocast(model.device.type, torch.bfloat16):
            pairs = [(one.query, text) for text in one.documents]
            scores = np.asarray(model.predict(pairs, batch_size=len(pairs)))
        ranks.append(1 / (1 + int((scores[1:] >= scores[0]).sum())))
        agreements.append(spearman(scores[1:], np.array(one.logits[1:])))
    return {"reciprocal rank": float(np.mean(ranks)), "agreement": float(np.mean(agreements))}


def spearman(left: Any, right: Any) -> float:
    """Spearman's rank correlation of two float rows without ties; ties are broken by place."""
    ranks = [
        np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64) for values in (left, right)
    ]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _told(measured: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in measured.items())
