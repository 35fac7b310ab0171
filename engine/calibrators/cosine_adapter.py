"""Cosine Adapter: a map from score to relevance that depends on the query (Rossi et al., "Relevance Filtering for Embedding-based Retrieval", CIKM 2024).

A cosine of .6 is a lot for one query and little for another, so no fixed threshold on raw scores serves both. The adapter computes, from the
query's representation x, the slope and the intercept of that query's own curve::

    p = sigmoid(softplus(a·x + a0) × z + softplus(c) × u + b·x + b0)

where z = (score − mean) / deviation counts a score among all queries' and u, its place between the last and the first score of its own
list, counts it there; the fit decides how much either says. Both slopes are positive, so a query's ranking never changes; all queries
share one loss, so that one global threshold fits them together.
The paper's parameters come from a small network trained on millions of clicks; with some dozens of judged queries a penalized linear
map of the same inputs is what can be learned, and the penalty is chosen by cross-validation.
"""

from __future__ import annotations

import base64
import binascii
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.errors import BadInput
from engine.kernels.calibration import Floats, sigmoid
from engine.types import Ints, Mask

PENALTIES = (0.1, 0.01, 0.003, 0.001)
FOLDS = 3
SEED = 7
ROUNDS = 150
SHAPE = 5  # how many numbers describe a list: first, mean, deviation, mean of the first ten, last


class CosineAdapter(Calibrator, name="cosine_adapter"):
    """A curve for each query, its slope and height computed from the query's vector and from the shape of its list of scores."""

    model: str = Field(
        "all-MiniLM-L6-v2", min_length=1, max_length=200, description="The encoder that represents the query."
    )
    features: Literal["query", "list", "both"] = Field(
        "both", description="What the curve depends on: the query's vector, the shape of its list of scores, or both."
    )
    penalty: float = Field(
        0.0,
        ge=0,
        le=1e3,
        description="How strongly curves are held together; 0: chosen by cross-validation when fitted.",
    )
    weights: str = Field("", max_length=60_000, description="The fitted numbers: base64 of little-endian float32.")

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        if self.weights:
            try:
                numbers = self._numbers()
            except (binascii.Error, ValueError):
                raise ValueError("weights must be base64 of float32 numbers") from None
            if not np.isfinite(numbers).all() or (len(numbers) - _FIXED) % 2 or len(numbers) < _FIXED + 2:
                raise ValueError(
                    "weights hold numbers that are not finite, or not as many as an adapter has; fit it again"
                )
        return self

    def label(self) -> str:
        return "Cosine Adapter"

    @property
    def fitted(self) -> bool:
        return bool(self.weights)

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        slope, intercept, mean, deviation = self.curves(pool, vectors)
        z = (pool.scores - mean) / deviation
        return sigmoid(slope[pool.query] * z + intercept[pool.query])

    def curves(self, pool: Pool, vectors: Vectors) -> tuple[Floats, Floats, float, float]:
        """Slope and intercept of each query's curve (float64 [queries]) over standardized scores, and their mean and deviation.

        Raises BadInput where the encoder gives vectors of another width than those it was fitted with.
        """
        numbers = self._numbers().astype(np.float64)
        mean, deviation, own = float(numbers[0]), float(numbers[1]), np.logaddexp(0, numbers[2])
        middle, spread = numbers[3 : 3 + SHAPE], numbers[3 + SHAPE : _FIXED]
        shape = _shape(pool)
        inputs = self._inputs(pool, vectors, (shape - middle) / spread)
        theta = numbers[_FIXED:]
        if inputs.shape[1] + 1 != len(theta) // 2:
            raise BadInput(
                f"The Cosine Adapter was fitted with other query vectors than {self.model!r} gives now; fit it again."
            )
        steep, high = _linear(theta, inputs)
        per_point, at_zero = self._own_scale(shape)
        slope = np.logaddexp(0, steep) + own * per_point * deviation
        return slope, high + own * (per_point * mean + at_zero), mean, deviation

    def tuned(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        if self.penalty:
            return self
        check_teachable(relevant)
        queries = len(pool.texts)
        fold = np.random.default_rng(SEED).permutation(queries) % min(FOLDS, queries)
        losses = np.zeros(len(PENALTIES))
        for held in range(fold.max() + 1):
            train, of_train = pool.of_queries(fold != held)
            test, of_test = pool.of_queries(fold == held)
            if relevant[of_train].all() or not relevant[of_train].any() or not of_test.any():
                continue
            for place, penalty in enumerate(PENALTIES):
                fitted = self.model_copy(update={"penalty": penalty}).fit(train, relevant[of_train], vectors)
                p = np.clip(fitted.probabilities(test, vectors), 1e-6, 1 - 1e-6)
                losses[place] -= np.where(relevant[of_test], np.log(p), np.log1p(-p)).sum()
        return self.model_copy(update={"penalty": PENALTIES[int(np.argmin(losses))]})

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        from scipy.optimize import minimize

        check_teachable(relevant)
        chosen = self.tuned(pool, relevant, vectors)
        mean, deviation = float(pool.scores.mean()), float(pool.scores.std()) or 1.0
        shape = _shape(pool)
        middle, spread = shape.mean(axis=0), np.maximum(shape.std(axis=0), 1e-9)
        inputs = self._inputs(pool, vectors, (shape - middle) / spread)
        per_point, at_zero = self._own_scale(shape)
        places = pool.scores * per_point[pool.query] + at_zero[pool.query]
        start = np.zeros(1 + 2 * (inputs.shape[1] + 1))
        start[1] = 0.5
        start[1 + len(start) // 2] = np.log((relevant.sum() + 1) / ((~relevant).sum() + 1))
        best = minimize(
            _loss,
            start,
            args=(
                inputs,
                pool.query,
                (pool.scores - mean) / deviation,
                places,
                relevant.astype(np.float64),
                chosen.penalty,
            ),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": ROUNDS},
        )
        numbers = np.concatenate([[mean, deviation, best.x[0]], middle, spread, best.x[1:]]).astype("<f4")
        return chosen.model_copy(update={"weights": base64.b64encode(numbers.tobytes()).decode("ascii")})

    def _numbers(self) -> Floats:
        return np.frombuffer(base64.b64decode(self.weights, validate=True), "<f4").astype(np.float64)

    def _inputs(self, pool: Pool, vectors: Vectors, shape: Floats) -> Floats:
        """float64 [queries, features]: the query's vector, and the list's standardized shape so scaled that it weighs about as much."""
        parts: list[Floats] = []
        if self.features != "list":
            parts.append(np.asarray(vectors(self.model, pool.texts), np.float64))
        if self.features != "query":
            parts.append(shape / np.sqrt(SHAPE))
        return np.concatenate(parts, axis=1)

    def _own_scale(self, shape: Floats) -> tuple[Floats, Floats]:
        """Factor and offset (float64 [queries]) that take a score to its place in its own list: 0 for the last, 1 for the first.

        Equal scores are all first. Nothing counts where the curve may depend on the query's vector only.
        """
        first, last = shape[:, 0], shape[:, -1]
        if self.features == "query":
            return np.zeros_like(first), np.zeros_like(first)
        factor = np.divide(1.0, first - last, out=np.zeros_like(first), where=first > last)
        return factor, np.where(first > last, -last * factor, 1.0)


_FIXED = 3 + 2 * SHAPE
"""Numbers before the linear maps: the scores' mean and deviation, c, the shapes' means and deviations."""


def _shape(pool: Pool) -> Floats:
    """float64 [queries, SHAPE]: each list's first score, mean, deviation, mean of its first ten, last score; zeros for an empty list."""
    queries = len(pool.texts)
    starts = np.searchsorted(pool.query, np.arange(queries + 1))
    shape = np.zeros((queries, SHAPE))
    for place in range(queries):
        scores = pool.scores[starts[place] : starts[place + 1]]
        if len(scores):
            shape[place] = scores[0], scores.mean(), scores.std(), scores[:10].mean(), scores[-1]
    return shape


def _linear(theta: Floats, inputs: Floats) -> tuple[Floats, Floats]:
    """Both linear maps: theta holds a0, a, b0, b."""
    half = len(theta) // 2
    return theta[0] + inputs @ theta[1:half], theta[half] + inputs @ theta[half + 1 :]


def _loss(
    theta: Floats, inputs: Floats, query: Ints, z: Floats, places: Floats, y: Floats, penalty: float
) -> tuple[float, Floats]:
    """Mean log loss over all hits of all queries plus penalty × |a, b|², and its gradient. theta holds c, a0, a, b0, b."""
    half = len(theta) // 2
    steep, high = _linear(theta[1:], inputs)
    logits = np.logaddexp(0, steep)[query] * z + np.logaddexp(0, theta[0]) * places + high[query]
    weights = np.concatenate([[0.0, 0.0], theta[2 : 1 + half], [0.0], theta[2 + half :]])
    loss = float(np.mean(np.logaddexp(0, logits) - y * logits) + penalty * weights @ weights)
    residual = (sigmoid(logits) - y) / len(y)
    to_own = sigmoid(theta[:1]) * (residual @ places)
    to_steep = np.bincount(query, residual * z, len(inputs)) * sigmoid(steep)
    to_high = np.bincount(query, residual, len(inputs))
    gradient = np.concatenate([to_own, [to_steep.sum()], inputs.T @ to_steep, [to_high.sum()], inputs.T @ to_high])
    return loss, gradient + 2 * penalty * weights
