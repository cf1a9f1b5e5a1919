"""Which families need no more than one or two parameters a number? Normal, Laplace, Uniform, Bernoulli, Categorical."""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..tape import Tensor
from ..watching import live_check
from .parameters import (
    Independent,
    Real,
    Shape,
    Values,
    as_operand,
    as_real,
    broadcast,
    check_finite,
    draws_shape,
    points_of,
    raw,
    weak,
)

LOG_2PI = math.log(2 * math.pi)


class Normal(Independent):
    """Independent normal numbers of the given `mean` and standard deviation `sd` > 0. Reparameterised."""

    positive = ("sd",)

    def __init__(self, mean: Real, sd: Real):
        self.mean, self.sd = self._taken(mean=mean, sd=sd)

    @property
    def var(self) -> Values:
        return ops.square(self.sd)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """mean + sd eps with eps from N(0, 1): (*shape, *batch_shape, *event_shape)."""
        eps = self._noise(ops.normal, shape, rng)
        return self.mean + self.sd * eps

    def log_prob(self, x: Real) -> Values:
        """Log-density of points (..., d): (...)."""
        z = (points_of(self, x) - self.mean) / self.sd
        terms = ops.square(z) * 0.5 + weak(ops.log(self.sd) + 0.5 * LOG_2PI)
        return -self._total(terms)

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.sd) + 0.5 * (1 + LOG_2PI))


class Laplace(Independent):
    """Independent Laplace numbers around `loc`, of mean distance `scale` > 0 from it. Reparameterised."""

    positive = ("scale",)

    def __init__(self, loc: Real, scale: Real):
        self.loc, self.scale = self._taken(loc=loc, scale=scale)

    @property
    def mean(self) -> Values:
        return self.loc

    @property
    def var(self) -> Values:
        return ops.square(self.scale) * 2.0

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """loc + scale (e1 - e2), e1 and e2 exponential: (*shape, *batch_shape, *event_shape)."""
        # 1 - u is never 0, so unlike the inverse of the distribution function this is finite for every u.
        first, second = (ops.log1p(-self._noise(ops.uniform, shape, rng)) for _ in range(2))
        return self.loc + self.scale * (first - second)

    def log_prob(self, x: Real) -> Values:
        """Log-density of points (..., d): (...)."""
        distance = ops.abs(points_of(self, x) - self.loc) / self.scale
        return -self._total(distance + weak(ops.log(self.scale) + math.log(2)))

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.scale) + (1 + math.log(2)))


class Uniform(Independent):
    """Independent numbers, each anywhere between `low` and `high` > low alike. Reparameterised."""

    def __init__(self, low: Real, high: Real):
        self.low, self.high = self._taken(low=low, high=high)
        live_check(_check_order, raw(self.low), raw(self.high))

    @property
    def mean(self) -> Values:
        return self.low * 0.5 + self.high * 0.5

    @property
    def var(self) -> Values:
        return ops.square(self.high - self.low) * (1 / 12)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """low + (high - low) u with u from [0, 1): (*shape, *batch_shape, *event_shape)."""
        u = self._noise(ops.uniform, shape, rng)
        return self.low + weak(self.high - self.low) * u

    def log_prob(self, x: Real) -> Values:
        """Log-density of points (..., d): (...); -inf outside [low, high]."""
        x = points_of(self, x)
        log_width = ops.log(self.high - self.low)
        within = (x >= self.low) * (x <= self.high)
        terms = ops.where(within, -log_width, -math.inf)
        # Of Python numbers alone `where` makes float64, whatever x is.
        return self._total(terms if self._dtype else ops.astype(terms, np.result_type(x.dtype, np.float32)))

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.high - self.low))


class Bernoulli(Independent):
    """Independent numbers 0 and 1; sigmoid(`logits`) is the probability of a 1. Draws have no gradient."""

    discrete = True

    def __init__(self, logits: Real):
        (self.logits,) = self._taken(logits=logits)

    @property
    def mean(self) -> Values:
        return ops.sigmoid(as_operand(self.logits))

    @property
    def var(self) -> Values:
        (p, _), (q, _) = self.probabilities()
        return p * q

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """Zeros and ones, as floats: an array of shape (*shape, *batch_shape, *event_shape)."""
        u = self._noise(ops.uniform, shape, rng)
        return ops.astype(u < ops.sigmoid(as_operand(raw(self.logits))), u.dtype)

    def log_prob(self, x: Real) -> Values:
        """Log-probability of points (..., d) of zeros and ones: (...). Raises ValueError for other numbers."""
        x = points_of(self, x)
        live_check(_check_binary, raw(x))
        # log sigmoid(l) for a 1 and log sigmoid(-l) for a 0, without taking large numbers from each other.
        return -self._total(ops.softplus((1.0 - x * 2.0) * self.logits))

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        (p, log_p), (q, log_q) = self.probabilities()
        return -self._total(p * log_p + q * log_q)

    def probabilities(self) -> list[tuple]:
        """Probability and its logarithm, of a 1 and of a 0."""
        logits = as_operand(self.logits)
        return [(ops.sigmoid(l), -ops.softplus(-l)) for l in (logits, -logits)]


class Categorical:
    """One of k classes: `logits` (..., k) plus any constant are the logarithms of their probabilities.

    A point is an integer from 0 to k - 1, of event shape (). Draws have no gradient.
    """

    discrete = True
    event_shape = ()

    def __init__(self, logits: Real):
        self.logits = as_operand(as_real(logits, "logits", "Categorical"))
        if self.logits.ndim == 0 or self.logits.shape[-1] == 0:
            raise ValueError(
                f"Categorical got logits of shape {np.shape(self.logits)}; expected (..., k), one logit per class"
            )
        live_check(check_finite, raw(self.logits), "logits", "Categorical")
        self.batch_shape = self.logits.shape[:-1]
        self._dtype = self.logits.dtype

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """Classes: an array of integers of shape (*shape, *batch_shape)."""
        u = ops.uniform(rng, (*draws_shape(shape, rng, self), *self.batch_shape, 1), np.float64)
        below = ops.cumsum(ops.softmax(ops.astype(raw(self.logits), np.float64)), -1)
        # Scaled so that the last is exactly 1: u is below it, and a class of probability 0 is never drawn.
        below = below / ops.getitem(below, (Ellipsis, slice(-1, None)))
        return ops.sum(below <= u, -1)

    def log_prob(self, x: Real) -> Values:
        """Log-probability of classes (...): (...). TypeError unless integers, ValueError unless from 0 to k - 1."""
        given = x.data if isinstance(x, Tensor) else x
        classes = given if isinstance(given, np.ndarray) else np.asarray(given)
        if classes.dtype.kind not in "iu":
            raise TypeError(f"Categorical.log_prob() got classes of dtype {classes.dtype}; expected integers")
        k = self.logits.shape[-1]
        live_check(_check_classes, classes, k)
        shape = broadcast(classes.shape, self.batch_shape, "Categorical.log_prob()")
        log_p = ops.broadcast_to(ops.log_softmax(self.logits), (*shape, k))
        chosen = ops.take_along_axis(log_p, ops.reshape(ops.broadcast_to(classes, shape), (*shape, 1)), -1)
        return ops.reshape(chosen, shape)

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        log_p = ops.log_softmax(self.logits)
        return -ops.sum(ops.exp(log_p) * log_p, -1)


def _check_order(low, high):
    with np.errstate(over="ignore"):
        width = np.subtract(high, low)
    if not np.all(width > 0):
        raise ValueError("Uniform got a low that is not below its high; give low < high everywhere")
    if not np.all(np.isfinite(width)):
        raise ValueError("Uniform got a low so far below its high that their difference overflows; bring them nearer")


def _check_binary(x):
    if not np.all((x == 0) | (x == 1)):
        raise ValueError(
            "Bernoulli.log_prob() got numbers other than 0 and 1, which have no probability; round them, or for grey "
            "values use ops.binary_cross_entropy_with_logits"
        )


def _check_classes(x, k):
    if x.size and not (x.min() >= 0 and x.max() < k):
        raise ValueError(f"Categorical.log_prob() got classes from {x.min()} to {x.max()}; expected 0 to {k - 1}")
