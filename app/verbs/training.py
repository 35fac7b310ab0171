"""Training models on the texts of a collection."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.verbs.base import Verbs
from engine.errors import BadInput
from engine.system.scratch import scratch as scratch_folder
from engine.types import ProgressSink, ignore_progress

if TYPE_CHECKING:
    from engine.models.card import ModelCard


class TrainingVerbs(Verbs):
    """The part of the services that trains."""

    def train(
        self,
        recipe: str,
        collection: str,
        out: Path,
        *,
        exclude: Path | None = None,
        seed: int = 0,
        epochs: float | None = None,
        cache: Path | None = None,
        progress: ProgressSink = ignore_progress,
    ) -> ModelCard:
        """Train by the recipe "sparse", "late" or "cross", and write the model's folder `out`, which appears when it is whole.

        exclude: a file of document ids to leave out; cache: where token states are kept for the next run, and the float32
        original of a cross-encoder is left. Raises BadInput on an unknown recipe,
        texts that may not be trained on, or a folder that is not empty; NotFound; MissingDependency without torch.
        """
        from engine.training.batches import torch_module
        from engine.training.corpus import read_ids, training_texts
        from engine.training.heads import HEADS, train_head

        if recipe not in (*HEADS, "cross"):
            raise BadInput(f"There is no recipe {recipe!r}. Known: {', '.join((*HEADS, 'cross'))}.")
        if epochs is not None and not 0 < epochs <= 1000:
            raise BadInput(f"The number of epochs is {epochs}; it must lie above 0, up to 1,000.")
        torch_module()
        stored = self._collection(collection)
        texts = training_texts(self.engine.workspace, stored.name, read_ids(exclude) if exclude else ())
        about = f"titles and texts of {len(texts):,} documents of the collection {stored.name!r}, {texts.excluded:,} excluded"
        with ExitStack() as stack:
            if cache is None:
                cache = Path(stack.enter_context(scratch_folder("states")))
            if recipe == "cross":
                from engine.training.cross import CrossOptions, train_cross_model

                options = CrossOptions(seed=seed)
                options = replace(options, lists=max(options.batch, round(options.lists * (epochs or 1))))
                return train_cross_model(texts, Path(out), options, cache=cache, training_data=about, progress=progress)
            settings = HEADS[recipe](seed=seed)
            if epochs is not None:
                settings = replace(settings, epochs=epochs)
            return train_head(texts, Path(out), settings, cache=cache, training_data=about, progress=progress)
