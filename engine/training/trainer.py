"""The loop of the heads' recipes: sentence-transformers' trainers, fed what a frozen body said once instead of texts.

A model of the library is a row of modules and does not ask where its features come from. So the head is the model, the collator reads cached
states, and the trainer does the rest: bfloat16, devices, seeds, schedule, callbacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine.errors import MissingDependency
from engine.system.scratch import scratch as scratch_folder
from engine.training.batches import learning_rate, torch_module
from engine.types import Ints, Progress, ProgressSink, ignore_progress

KINDS = {"dense": "SentenceTransformer", "sparse": "SparseEncoder", "late": "MultiVectorEncoder"}


@dataclass(frozen=True, slots=True)
class Course:
    """How a head is led through its rows. drawn: the rows of each step; collate: rows to what the loss is given; phase: for progress;
    told: what is kept of each step, and the name it is kept under."""

    drawn: Sequence[Ints]
    collate: Callable[[Ints], dict[str, Any]]
    seed: int
    phase: str = "train"
    told: Mapping[str, str] = field(default_factory=dict)
    callbacks: tuple[Any, ...] = ()


def library(name: str = "sentence_transformers") -> Any:
    """sentence-transformers, or another package that its trainers need. Raises MissingDependency with the command that installs it."""
    torch_module()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependency(
            f"Training needs {name.replace('_', '-')}: pip install 'triptych-search[train]'"
        ) from error


def training_device() -> str:
    """Where heads train: "cuda" where torch finds a GPU that computes in bfloat16, else "cpu"."""
    cuda = torch_module().cuda
    return "cuda" if cuda.is_available() and cuda.is_bf16_supported() else "cpu"


def as_model(kind: str, module: Any, device: str | None = None) -> Any:
    """The library's model of this kind ("dense", "sparse" or "late") whose only module is `module`, on the training device."""
    return getattr(library(), KINDS[kind])(modules=[module], device=device or training_device())


def divergence_of_scores(model: Any) -> Callable[[Any, Any], Any]:
    """The library's DistillKLDivLoss over scores that are known already.

    Its student is a score of each candidate column; here every query is scored against every document of the batch in one product, so that the
    columns handed over are the scores themselves. Gives f(scores, teacher), both [queries, documents]; -inf in `teacher` leaves one out.
    """
    from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

    loss = DistillKLDivLoss(model, similarity_fct=lambda _, column: column, temperature=1.0)
    return lambda scores, teacher: loss.compute_loss_from_embeddings([scores, *scores.unbind(1)], teacher)


def fit(
    kind: str, model: Any, loss: Any, optimizer: Any, course: Course, progress: ProgressSink = ignore_progress
) -> list[dict[str, float]]:
    """Train, in bfloat16 where torch deems it safe, and give a line of each step: its number and what `course.told` names.

    optimizer: its rates are those of the warmest step; engine.training.batches.learning_rate gives each step's share of them.
    What `progress` raises stops the training.
    """
    torch = torch_module()
    from transformers import PrinterCallback

    steps = len(course.drawn)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    rows = library("datasets").Dataset.from_dict({"row": np.arange(1 + max(int(rows.max()) for rows in course.drawn))})
    with scratch_folder("train") as scratch:
        trainer = _trainer(kind, course.drawn)(
            model=model,
            args=_arguments(kind, scratch, course.seed, steps, model.device.type),
            train_dataset=rows,
            loss=loss,
            data_collator=_Collator(course.collate),
            callbacks=[*course.callbacks, _watch(course.phase, steps, progress)],
            optimizers=(optimizer, schedule),
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    names = {"step": "step"} | dict(course.told)
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return [{name: float(line[key]) for key, name in names.items()} for line in lines]


@dataclass
class _Collator:
    """What the trainer asks of a collator."""

    collate: Callable[[Ints], dict[str, Any]]
    valid_label_columns: Sequence[str] = ()

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        return self.collate(np.array([row["row"] for row in rows], np.int64))


@dataclass
class _Drawn:
    """The rows of each step, as a batch sampler."""

    rows: Sequence[Ints]

    def __iter__(self) -> Iterator[list[int]]:
        return (one.tolist() for one in self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _trainer(kind: str, drawn: Sequence[Ints]) -> Any:
    """The library's trainer of this kind, which draws what it is told to and writes no model card of its own."""
    base = getattr(library(), f"{KINDS[kind]}Trainer")

    class HeadTrainer(base):  # type: ignore[misc, valid-type]
        def get_batch_sampler(self, *_: Any, **__: Any) -> _Drawn:
            return _Drawn(drawn)

        def add_model_card_callback(self, *_: Any) -> None:
            pass

        def _get_grad_norm(self, *_: Any, **__: Any) -> None:
            """Nothing is clipped, and sparse gradients have no norm."""

    return HeadTrainer


def _arguments(kind: str, folder: str, seed: int, steps: int, device: str) -> Any:
    return getattr(library(), f"{KINDS[kind]}TrainingArguments")(
        output_dir=folder,
        seed=seed,
        max_steps=steps,
        bf16=True,
        use_cpu=device == "cpu",
        max_grad_norm=0.0,
        remove_unused_columns=False,
        dataloader_pin_memory=device != "cpu",
        logging_strategy="steps",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _watch(phase: str, steps: int, progress: ProgressSink) -> Any:
    """A callback that tells of each step."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(Progress(phase, state.global_step, steps, "steps"))

    return Watch()
