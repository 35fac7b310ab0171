"""The verbs about models over the real catalogue and two models that are nowhere."""

from __future__ import annotations

from typing import Any

from app.results.models import ModelPlan, ModelView, SpeedView
from app.verbs.models import Known, chosen, named, request, views
from engine.errors import BadInput, NotFound, Unreachable
from engine.models.card import ModelCard, ModelFile

LONG = "my-own-model-with-a-rather-long-name-v1.5-distilled-multilingual-uncased-base-8k"


def card(name: str, **fields: Any) -> ModelCard:
    file = ModelFile(sha256="0" * 64, bytes=33_000_000)
    values: dict[str, Any] = {
        "name": name,
        "title": name,
        "source": "someone/model",
        "revision": "0123456789abcdef0123456789abcdef01234567",
        "licence": "MIT",
        "dimensions": 384,
        "max_tokens": 512,
        "similarity": "cosine",
        "pooling": "mean",
        "files": {"model.onnx": file, "tokenizer.json": file},
        "measured": {"cosine mean": 0.9981},
    }
    return ModelCard.model_validate(values | fields)


class FakeModels:
    """Models of which two were added, one is broken, and one is on its way."""

    own: dict[str, ModelCard]

    def _known(self) -> tuple[ModelView, ...]:
        if not hasattr(self, "own"):
            self.own = {
                "bge-small-en-v1.5": card("bge-small-en-v1.5", pooling="cls"),
                LONG: card(LONG, quantisation="int4"),
            }
        speed = SpeedView("cpu", 2, 143.2, 410.0, 0.41, "2026-01-02T03:04:05+00:00")
        return views(
            Known(
                own=self.own,
                broken={"half": "half/card.json is not a valid model card; install the model again."},
                adding=("e5-small-v2",),
                collections={LONG: ("Retrieval papers",)},
                pipelines={LONG: (LONG, f"BM25 + {LONG}")},
                speeds={"bge-small-en-v1.5": speed},
            )
        )

    def models(self, *, family: str = "", state: str = "", text: str = "") -> tuple[ModelView, ...]:
        return chosen(self._known(), family=family, state=state, text=text)

    def model(self, name: str) -> ModelView:
        return named(self._known(), name)

    def plan_model(self, source: str, **options: Any) -> ModelPlan:
        if source.startswith("offline/"):
            raise Unreachable("The hub cannot be reached. Check the connection.")
        if source.startswith("/") and options.get("local") is False:
            raise BadInput("Folders are not read here.")
        asked = request(source, {**options, "local": False})
        convert = options.get("quantise") in ("int8", "int4", "none")
        return ModelPlan(
            name=asked.target,
            source=asked.repository,
            revision="0123456789abcdef0123456789abcdef01234567",
            family="dense",
            how="convert" if convert else "graph",
            files=(("config.json", 700), ("onnx/model.onnx", 133_000_000)),
            bytes=133_000_700,
            licence="MIT",
            ready=not convert or options["quantise"] == "none",  # as where torch is installed, for once
            notes=("Converting it needs torch: pip install 'triptych-search[export]'",)
            if convert and options["quantise"] != "none"
            else (),
        )

    def free_model_name(self, source: str, **options: Any) -> str:
        name = self.plan_model(source, **options).name
        return f"{name}-2" if name in getattr(self, "own", ()) else name

    def add_model(self, source: str, **options: Any) -> str:
        self._known()
        plan = self.plan_model(source, **options)
        if plan.name in self.own:
            raise BadInput(f"There is already a model {plan.name!r} here.")
        if plan.how == "convert" and not options.get("force"):
            raise BadInput(f"The export of {plan.name} is not faithful.")
        self.own[plan.name] = card(plan.name)
        return "job-model"

    def bench_model(self, name: str) -> str:
        if self.model(name).state not in ("bundled", "here"):
            raise BadInput(f"The model {name!r} is not here yet.")
        return "job-bench"

    def remove_model(self, name: str, *, force: bool = False) -> str:
        view = self.model(name)
        if name not in self.own:
            raise NotFound(f"There is no model {name!r} in this workspace.")
        if view.used_by and not force:
            raise BadInput(f"{name!r} is used by indexes of {', '.join(view.used_by)}.")
        del self.own[name]
        return "job-model"
