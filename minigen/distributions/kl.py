"""How far is one distribution from another, and how uncertain is a draw: KL divergences and entropies.

The closed forms are written as sums of terms that are never negative, so that nothing cancels where p and q nearly
agree: of r = a / b as (r - 1 - log r), which is 0 at 1 and convex, and the like.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from .. import ops
from .._support.arguments import Count, Kind, Rng, checked
from ..tape import Tensor, no_grad
from . import excess
from .families import Bernoulli, Categorical, Laplace, Normal, Uniform
from .multivariate import MultivariateNormal, lower_inverse, times
from .parameters import as_operand, broadcast, raw

Distribution = Annotated[
    Any,
    Kind("a distribution, such as Normal(0.0, 1.0)", lambda p: hasattr(p, "event_shape"), error=TypeError),
]


class Estimate(NamedTuple):
    """A value, and its standard error: 0 where the value is exact, above 0 where it is a mean over random draws."""

    value: float | np.ndarray | Tensor
    standard_error: float | np.ndarray


@checked
def sampled_entropy(p: Distribution, *, rng: Rng, n: Count) -> Estimate:
    """Entropy of any distribution in nats, the mean of -log p over `n` draws from p, with its standard error.

    Both are plain numbers, or arrays of shape batch_shape: no gradient flows through them.
    """
    with no_grad():
        return _mean_over_draws(-_numbers(p.log_prob(p.sample(n, rng))), "sampled_entropy()")


@checked
def kl_divergence(p: Distribution, q: Distribution, *, rng: Rng | None = None, n: Count | None = None) -> Estimate:
    """KL(p || q) = E_p[log p - log q] in nats: exact with standard error 0 where there is a closed form.

    There is one for two distributions of the same family, except mixtures, and for a Normal and a MultivariateNormal.
    Its value has the shape of the batch, and gradients flow through it. Otherwise it is the mean over `n` draws from p,
    made with `rng`, and its standard error: plain numbers, through which none flow. Where p has probability and q has
    none it is inf, and so is the standard error of an estimate.

    Raises ValueError if the points of p and q differ in shape or kind, and, naming them, if there is no closed form
    and rng or n is missing.
    """
    names = f"{type(p).__name__} and {type(q).__name__}"
    if p.event_shape != q.event_shape or p.discrete != q.discrete:
        raise ValueError(
            f"kl_divergence() got {names} of event shapes {p.event_shape} and {q.event_shape}, discrete: {p.discrete} "
            f"and {q.discrete}; expected distributions of the same points"
        )
    broadcast(p.batch_shape, q.batch_shape, "kl_divergence()")
    if {type(p), type(q)} == {Normal, MultivariateNormal} and p.event_shape:
        p, q = _with_factor(p), _with_factor(q)
    if type(p) is type(q) and type(p) in _CLOSED_FORMS:
        return Estimate(_CLOSED_FORMS[type(p)](p, q), 0.0)
    if rng is None or n is None:
        raise ValueError(
            f"kl_divergence() of {names} has no closed form here; give rng= and n=, the number of draws, such as 10000"
        )
    with no_grad():
        x = p.sample(n, rng)
        return _mean_over_draws(_numbers(p.log_prob(x)) - _numbers(q.log_prob(x)), "kl_divergence()")


# Closed forms ---------------------------------------------------------------------------------------------------------


def _kl_normal(p, q):
    # With r = sp / sq: (r - 1 - log r) + ((r - 1)^2 + ((mp - mq) / sq)^2) / 2
    distance = (p.mean - q.mean) / q.sd
    widening = (p.sd - q.sd) / q.sd
    return p._total(excess.over_log(p.sd, q.sd) + (ops.square(widening) + ops.square(distance)) * 0.5)


def _kl_multivariate_normal(p, q):
    # With A = Lq^-1 (Lp - Lq), z = Lq^-1 (mp - mq), and r from the diagonals: sum (r - 1 - log r) + (|A|^2 + |z|^2) / 2
    inverse = lower_inverse(q.factor)
    widening = ops.sum(ops.square(inverse @ (p.factor - q.factor)), (-2, -1))
    distance = ops.sum(ops.square(times(inverse, p.mean - q.mean)), -1)
    of_p, of_q = (ops.diagonal(each.factor, 0, -2, -1) for each in (p, q))
    return ops.sum(excess.over_log(of_p, of_q), -1) + (widening + distance) * 0.5


def _kl_laplace(p, q):
    # With r = bp / bq and u = |mp - mq| / bp: (r - 1 - log r) + r (u - 1 + exp(-u))
    u = ops.abs(p.loc - q.loc) / p.scale
    ratio = p.scale / q.scale
    near = u < 0.5
    # u r = |mp - mq| / bq, which does not overflow where u does.
    apart = ops.abs(p.loc - q.loc) / q.scale + ratio * ops.expm1(-u)
    return p._total(
        excess.over_log(p.scale, q.scale) + ops.where(near, ratio * excess.of_exp(-ops.where(near, u, 0.0)), apart)
    )


def _kl_uniform(p, q):
    inside = (p.low >= q.low) * (p.high <= q.high)
    # log(wq / wp) as log(1 + (wq - wp) / wp), where what q has more is added up from both of its ends
    more = (p.low - q.low) + (q.high - p.high)
    log_ratio = ops.log1p(ops.where(inside, more / (p.high - p.low), 0.0))
    return p._total(ops.where(inside, log_ratio, math.inf))


def _kl_bernoulli(p, q):
    (p1, log_p1), (p0, log_p0) = p.probabilities()
    (_, log_q1), (_, log_q0) = q.probabilities()
    logits, others = as_operand(p.logits), as_operand(q.logits)
    # Near each other, of the rarer outcome with probability s and d the change of its logit:
    # log(1 + s (exp(d) - 1)) - s d, the first term as its argument x less x - log(1 + x)
    change = ops.where(logits < 0.0, others - logits, logits - others)
    near = ops.abs(change) < 0.5
    d = ops.where(near, change, 0.0)
    rarer = ops.where(logits < 0.0, p1, p0)
    close = rarer * excess.of_exp(d) - excess.over_log1p(rarer * ops.expm1(d))
    far = p1 * (log_p1 - log_q1) + p0 * (log_p0 - log_q0)
    return p._total(ops.where(near, close, far))


def _kl_categorical(p, q):
    if p.logits.shape[-1] != q.logits.shape[-1]:
        raise ValueError(
            f"kl_divergence() got Categoricals of {p.logits.shape[-1]} and {q.logits.shape[-1]} classes; expected the "
            "same number"
        )
    log_p, log_q = ops.log_softmax(p.logits), ops.log_softmax(q.logits)
    # sum p (exp(d) - 1 - d) with d = log(q / p): the first two terms add up to 0
    of_p, change = ops.exp(log_p), log_q - log_p
    near = ops.abs(change) < 0.5
    close = of_p * excess.of_exp(ops.where(near, change, 0.0))
    far = (ops.exp(log_q) - of_p) - of_p * change
    return ops.sum(ops.where(near, close, far), -1)


_CLOSED_FORMS = {
    Normal: _kl_normal,
    MultivariateNormal: _kl_multivariate_normal,
    Bernoulli: _kl_bernoulli,
    Categorical: _kl_categorical,
    Uniform: _kl_uniform,
    Laplace: _kl_laplace,
}


def _with_factor(p):
    return p if type(p) is MultivariateNormal else MultivariateNormal.from_normal(p)


# Estimates ------------------------------------------------------------------------------------------------------------


def _mean_over_draws(values: np.ndarray, caller: str) -> Estimate:
    """Mean over the first axis and its standard error, as numbers where one of each is left."""
    n = len(values)
    if n < 2:
        raise ValueError(f"{caller} got n={n}; a standard error needs at least 2 draws")
    with np.errstate(invalid="ignore"):
        value = values.mean(0)
        error = values.std(0, ddof=1) / math.sqrt(n)
    error = np.where(np.isinf(value), math.inf, error)
    return Estimate(float(value), float(error)) if value.ndim == 0 else Estimate(value, error)


def _numbers(values) -> np.ndarray:
    return np.asarray(raw(values), np.float64)
