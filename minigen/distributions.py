"""Which densities have closed forms, and how are they drawn from: log-densities, draws, entropies, KL divergences.

Shapes. The last axis of the parameters of Normal, Uniform, Laplace, Bernoulli and MultivariateNormal is one point of d
numbers; axes before it are a batch of distributions. So `Normal(np.zeros(3), 1.0).log_prob(x)` takes x (n, 3) to (n,),
a sum over the features. With numbers alone, as in `Normal(0.0, 1.0)`, a point is one number, and (n, 3) goes to (n, 3).
`sample(rng, shape)` gives `shape` draws of the whole batch: (*shape, *batch_shape, *event_shape).

Parameters are numbers, arrays or tensors. Draws from tensors are tensors: where a class says reparameterised, gradients
flow through them. dtypes are those of the parameters; from numbers alone, draws are float32. Values are checked when a
distribution is made, so one of learned parameters is made anew in each training step, from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from . import ops
from ._support.arguments import check_rng, check_size, is_number
from .tape import Tensor, no_grad
from .watching import act

LOG_2PI = math.log(2 * math.pi)


class Estimate(NamedTuple):
    """A value, and its standard error: 0 where the value is exact, above 0 where it is a mean over random draws."""

    value: float | np.ndarray | Tensor
    standard_error: float | np.ndarray


class _Independent:
    """Numbers that are independent of each other along the last axis: what the diagonal families share."""

    discrete = False

    def _set_parameters(self, **given):
        """The parameters in one shape and one dtype, and from these the shapes of a batch and of a point."""
        name = type(self).__name__
        values = [_real(value, key, name) for key, value in given.items()]
        try:
            shape = np.broadcast_shapes(*(np.shape(value) for value in values))
        except ValueError:
            shapes = ", ".join(f"{key} {np.shape(value)}" for key, value in zip(given, values))
            raise ValueError(f"{name} got parameters that do not broadcast: {shapes}; give them one shape") from None
        self._dtype = _common_dtype(values, name)
        self.batch_shape, self.event_shape = shape[:-1], shape[-1:]
        wide = [_widened(value, shape, self._dtype) for value in values]
        for key, value in zip(given, wide):
            act(_check_finite, _raw(value), key, name)
        return wide

    def _draws(self, draw, rng, shape, caller):
        check_rng(rng, caller)
        return draw(rng, _shape(shape, caller) + self.batch_shape + self.event_shape, self._dtype or np.float32)

    def _total(self, terms):
        """The sum over the numbers of a point."""
        return ops.sum(terms, -1) if self.event_shape else terms


class Normal(_Independent):
    """Independent normal numbers of the given `mean` and standard deviation `sd` > 0. Reparameterised."""

    def __init__(self, mean, sd):
        self.mean, self.sd = self._set_parameters(mean=mean, sd=sd)
        act(_check_positive, _raw(self.sd), "sd", "Normal", "; give exp() or softplus() of a free parameter")

    @property
    def var(self):
        return ops.square(self.sd)

    def sample(self, rng: np.random.Generator, shape=()):
        """mean + sd eps with eps from N(0, 1): (*shape, *batch_shape, *event_shape)."""
        eps = self._draws(ops.normal, rng, shape, "Normal.sample()")
        return self.mean + self.sd * eps

    def log_prob(self, x):
        """Log-density of points (..., d): (...)."""
        z = (_points(self, x) - self.mean) / self.sd
        terms = ops.square(z) * 0.5 + _weak(ops.log(self.sd) + 0.5 * LOG_2PI)
        return -self._total(terms)

    def entropy(self):
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.sd) + 0.5 * (1 + LOG_2PI))


class Laplace(_Independent):
    """Independent Laplace numbers around `loc`, of mean distance `scale` > 0 from it. Reparameterised."""

    def __init__(self, loc, scale):
        self.loc, self.scale = self._set_parameters(loc=loc, scale=scale)
        act(_check_positive, _raw(self.scale), "scale", "Laplace", "; give exp() or softplus() of a free parameter")

    @property
    def mean(self):
        return self.loc

    @property
    def var(self):
        return ops.square(self.scale) * 2.0

    def sample(self, rng: np.random.Generator, shape=()):
        """loc + scale (e1 - e2), e1 and e2 exponential: (*shape, *batch_shape, *event_shape)."""
        # 1 - u is never 0, so unlike the inverse of the distribution function this is finite for every u.
        e = [ops.log1p(-self._draws(ops.uniform, rng, shape, "Laplace.sample()")) for _ in range(2)]
        return self.loc + self.scale * (e[0] - e[1])

    def log_prob(self, x):
        """Log-density of points (..., d): (...)."""
        distance = ops.abs(_points(self, x) - self.loc) / self.scale
        return -self._total(distance + _weak(ops.log(self.scale) + math.log(2)))

    def entropy(self):
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.scale) + (1 + math.log(2)))


class Uniform(_Independent):
    """Independent numbers, each anywhere between `low` and `high` > low alike. Reparameterised."""

    def __init__(self, low, high):
        self.low, self.high = self._set_parameters(low=low, high=high)
        act(_check_order, _raw(self.low), _raw(self.high))

    @property
    def mean(self):
        return (self.low + self.high) * 0.5

    @property
    def var(self):
        return ops.square(self.high - self.low) * (1 / 12)

    def sample(self, rng: np.random.Generator, shape=()):
        """low + (high - low) u with u from [0, 1): (*shape, *batch_shape, *event_shape)."""
        u = self._draws(ops.uniform, rng, shape, "Uniform.sample()")
        return self.low + _weak(self.high - self.low) * u

    def log_prob(self, x):
        """Log-density of points (..., d): (...); -inf outside [low, high]."""
        x = _points(self, x)
        log_width = ops.log(self.high - self.low)
        within = (x >= self.low) * (x <= self.high)
        terms = ops.where(within, -log_width, -math.inf)
        # Of Python numbers alone `where` makes float64, whatever x is.
        return self._total(terms if self._dtype else ops.astype(terms, np.result_type(x.dtype, np.float32)))

    def entropy(self):
        """In nats, of shape batch_shape."""
        return self._total(ops.log(self.high - self.low))


class Bernoulli(_Independent):
    """Independent numbers 0 and 1; sigmoid(`logits`) is the probability of a 1. Draws have no gradient."""

    discrete = True

    def __init__(self, logits):
        (self.logits,) = self._set_parameters(logits=logits)

    @property
    def mean(self):
        return ops.sigmoid(_array(self.logits))

    @property
    def var(self):
        (p, _), (q, _) = self._probabilities()
        return p * q

    def sample(self, rng: np.random.Generator, shape=()):
        """Zeros and ones, as floats: an array of shape (*shape, *batch_shape, *event_shape)."""
        u = self._draws(ops.uniform, rng, shape, "Bernoulli.sample()")
        return ops.astype(u < ops.sigmoid(_array(_raw(self.logits))), u.dtype)

    def log_prob(self, x):
        """Log-probability of points (..., d) of zeros and ones: (...). Raises ValueError for other numbers."""
        x = _points(self, x)
        act(_check_binary, _raw(x))
        # log sigmoid(l) for a 1 and log sigmoid(-l) for a 0, without taking large numbers from each other.
        return -self._total(ops.softplus((1.0 - x * 2.0) * self.logits))

    def entropy(self):
        """In nats, of shape batch_shape."""
        (p, log_p), (q, log_q) = self._probabilities()
        return -self._total(p * log_p + q * log_q)

    def _probabilities(self):
        """Probability and its logarithm, of a 1 and of a 0."""
        return [(ops.sigmoid(l), -ops.softplus(-l)) for l in (_array(self.logits), -_array(self.logits))]


class Categorical:
    """One of k classes: `logits` (..., k) plus any constant are the logarithms of their probabilities.

    A point is an integer from 0 to k - 1, of event shape (). Draws have no gradient.
    """

    discrete = True
    event_shape = ()

    def __init__(self, logits):
        self.logits = _real(logits, "logits", "Categorical")
        if np.ndim(self.logits) == 0 or self.logits.shape[-1] == 0:
            raise ValueError(
                f"Categorical got logits of shape {np.shape(self.logits)}; expected (..., k), one logit per class"
            )
        act(_check_finite, _raw(self.logits), "logits", "Categorical")
        self.batch_shape, self._dtype = self.logits.shape[:-1], self.logits.dtype

    def sample(self, rng: np.random.Generator, shape=()):
        """Classes: an array of integers of shape (*shape, *batch_shape)."""
        check_rng(rng, "Categorical.sample()")
        u = ops.uniform(rng, (*_shape(shape, "Categorical.sample()"), *self.batch_shape, 1), np.float64)
        below = ops.cumsum(ops.softmax(ops.astype(_raw(self.logits), np.float64)), -1)
        # Scaled so that the last is exactly 1: u is below it, and a class of probability 0 is never drawn.
        below = below / ops.getitem(below, (Ellipsis, slice(-1, None)))
        return ops.sum(below <= u, -1)

    def log_prob(self, x):
        """Log-probability of classes (...): (...). TypeError unless integers, ValueError unless from 0 to k - 1."""
        x = _raw(x)
        x = x if isinstance(x, np.ndarray) else np.asarray(x)
        if x.dtype.kind not in "iu":
            raise TypeError(f"Categorical.log_prob() got classes of dtype {x.dtype}; expected integers")
        k = self.logits.shape[-1]
        act(_check_classes, x, k)
        shape = _broadcast(x.shape, self.batch_shape, "Categorical.log_prob()")
        log_p = ops.broadcast_to(ops.log_softmax(self.logits), (*shape, k))
        chosen = ops.take_along_axis(log_p, ops.reshape(ops.broadcast_to(x, shape), (*shape, 1)), -1)
        return ops.reshape(chosen, shape)

    def entropy(self):
        """In nats, of shape batch_shape."""
        log_p = ops.log_softmax(self.logits)
        return -ops.sum(ops.exp(log_p) * log_p, -1)


class MultivariateNormal:
    """Normal points of `mean` (..., d) and covariance L L^T, by its Cholesky factor L (..., d, d). Reparameterised.

    Raises ValueError unless L is lower triangular with a positive diagonal. A batch of means may share one factor.
    """

    discrete = False

    def __init__(self, mean, factor):
        mean, factor = _real(mean, "mean", "MultivariateNormal"), _real(factor, "factor", "MultivariateNormal")
        d = np.shape(mean)[-1:]
        if not d or np.shape(factor)[-2:] != d + d:
            raise ValueError(
                f"MultivariateNormal got mean of shape {np.shape(mean)} and factor of shape {np.shape(factor)}; "
                "expected (..., d) and (..., d, d)"
            )
        self._dtype = _common_dtype([mean, factor], "MultivariateNormal")
        self.batch_shape = _broadcast(np.shape(factor)[:-2], np.shape(mean)[:-1], "MultivariateNormal")
        self.event_shape = d
        self.mean = _widened(mean, self.batch_shape + d, self._dtype)
        factor = _widened(factor, factor.shape, self._dtype)
        act(_check_finite, _raw(self.mean), "mean", "MultivariateNormal")
        act(_check_factor, _raw(factor))
        # What lies above the diagonal is no parameter, so it gets no gradient.
        self.factor = factor * np.tril(np.ones(d + d, self._dtype))
        # Of a tensor it is computed where it is used: a training step that only draws has no use for it.
        self._inverse = None if type(factor) is Tensor else _lower_inverse(self.factor)

    @classmethod
    def from_covariance(cls, mean, covariance) -> MultivariateNormal:
        """From an array of covariances (..., d, d). Raises ValueError unless symmetric and positive definite."""
        if type(covariance) is Tensor:
            raise TypeError(
                "from_covariance() got a tensor, and has no gradient; learn the Cholesky factor instead: "
                "MultivariateNormal(mean, factor)"
            )
        covariance = _real(covariance, "covariance", "MultivariateNormal")
        if np.ndim(covariance) < 2 or covariance.shape[-1] != covariance.shape[-2]:
            raise ValueError(f"from_covariance() got covariance of shape {np.shape(covariance)}; expected (..., d, d)")
        _check_finite(covariance, "covariance", "from_covariance()")
        size = np.max(np.abs(covariance), axis=(-1, -2), keepdims=True, initial=0.0)
        if np.any(np.abs(covariance - np.swapaxes(covariance, -1, -2)) > 1e-5 * size):
            raise ValueError("from_covariance() got a covariance that is not symmetric; give (C + C.T) / 2")
        try:
            return cls(mean, np.linalg.cholesky(covariance))
        except np.linalg.LinAlgError:
            raise ValueError(
                "from_covariance() got a covariance that is not positive definite: some direction has no variance; add "
                "a small number to its diagonal, or leave out features that depend on others"
            ) from None

    @property
    def covariance(self):
        return self.factor @ ops.swapaxes(self.factor, -1, -2)

    @property
    def var(self):
        return ops.broadcast_to(ops.sum(ops.square(self.factor), -1), self.batch_shape + self.event_shape)

    def sample(self, rng: np.random.Generator, shape=()):
        """mean + L eps with eps from N(0, I): (*shape, *batch_shape, d)."""
        check_rng(rng, "MultivariateNormal.sample()")
        shape = _shape(shape, "MultivariateNormal.sample()") + self.batch_shape + self.event_shape
        return self.mean + _times(self.factor, ops.normal(rng, shape, self._dtype))

    def log_prob(self, x):
        """Log-density of points (..., d): (...)."""
        inverse = _lower_inverse(self.factor) if self._inverse is None else self._inverse
        z = _times(inverse, _points(self, x) - self.mean)
        squares = ops.sum(ops.square(z), -1)
        # An infinite point leaves inf - inf here; its density is 0.
        squares = ops.where(ops.equal(squares, squares), squares, math.inf)
        constant = self._log_det() + 0.5 * LOG_2PI * self.event_shape[0]
        return -(squares * 0.5 + constant)

    def entropy(self):
        """In nats, of shape batch_shape."""
        entropy = self._log_det() + 0.5 * (1 + LOG_2PI) * self.event_shape[0]
        return ops.broadcast_to(entropy, self.batch_shape)

    def _log_det(self):
        """log det L, half of that of the covariance."""
        return ops.sum(ops.log(ops.diagonal(self.factor, 0, -2, -1)), -1)


class Mixture:
    """A draw is one of a component chosen at random: p(x) = sum_k w_k p_k(x).

    Parameters
    ----------
    components : K distributions of one event shape and no batch, all of densities or all of probabilities.
    weights : (K,) positive numbers of sum 1; equal ones if neither these nor logits are given.
    logits : (K,) instead of weights: their logarithms plus any constant, as for a Categorical.

    Gradients flow through draws to the components, not to the weights, so draws are not reparameterised as a whole.
    """

    batch_shape = ()

    def __init__(self, components, *, weights=None, logits=None):
        self.components = list(components) if isinstance(components, Iterable) else [None]
        if not self.components:
            raise ValueError("Mixture got no components; give a list of at least one distribution")
        if not all(hasattr(component, "event_shape") for component in self.components):
            raise TypeError(
                f"Mixture got components={components!r:.80}; expected a list of distributions, such as "
                "[Normal(0.0, 1.0), Normal(3.0, 0.5)]"
            )
        shapes = {component.event_shape for component in self.components}
        kinds = {component.discrete for component in self.components}
        if len(shapes) > 1 or len(kinds) > 1 or any(component.batch_shape for component in self.components):
            raise ValueError(
                f"Mixture got components of event shapes {sorted(shapes)} and batch shapes "
                f"{sorted({c.batch_shape for c in self.components})}{', discrete and not' if len(kinds) > 1 else ''}; "
                "expected one event shape, no batch, and one kind"
            )
        (self.event_shape,), (self.discrete,) = shapes, kinds
        if weights is not None and logits is not None:
            raise ValueError("Mixture got weights and logits; give one of them")
        if weights is not None:
            weights = _real(weights, "weights", "Mixture")
            act(_check_weights, _raw(weights))
            logits = ops.log(weights)
        self._choice = Categorical(np.zeros(len(self.components)) if logits is None else logits)
        if self._choice.logits.shape != (len(self.components),):
            raise ValueError(
                f"Mixture got {len(self.components)} components and weights or logits of shape "
                f"{self._choice.logits.shape}; give one for each component"
            )

    @property
    def weights(self):
        return ops.softmax(self._choice.logits)

    @property
    def mean(self):
        return self._average([component.mean for component in self.components])

    @property
    def var(self):
        mean = self.mean
        return self._average([c.var + ops.square(c.mean - mean) for c in self.components])

    def sample(self, rng: np.random.Generator, shape=()):
        """Draws from every component, of which each point keeps one: (*shape, *event_shape)."""
        shape = _shape(shape, "Mixture.sample()")
        chosen = self._choice.sample(rng, shape)
        chosen = ops.reshape(chosen, shape + (1,) * len(self.event_shape))
        draws = self.components[0].sample(rng, shape)
        for k, component in enumerate(self.components[1:], start=1):
            draws = ops.where(ops.equal(chosen, k), component.sample(rng, shape), draws)
        return draws

    def log_prob(self, x):
        """Log-density of points (*, *event_shape): (*,), by log-sum-exp over the components."""
        terms = ops.stack([component.log_prob(x) for component in self.components], -1)
        log_weights = ops.astype(ops.log_softmax(self._choice.logits), terms.dtype)
        return ops.logsumexp(terms + log_weights, -1)

    def entropy(self):
        """Raises ValueError: there is no closed form."""
        raise ValueError("the entropy of a Mixture has no closed form; use sampled_entropy(mixture, rng=rng, n=10000)")

    def _average(self, values):
        weights = ops.reshape(self.weights, (-1,) + (1,) * len(self.event_shape))
        return ops.sum(ops.stack([_array(value) for value in values]) * weights, 0)


def sampled_entropy(p, *, rng: np.random.Generator, n: int) -> Estimate:
    """Entropy of any distribution in nats, the mean of -log p over `n` draws from p, with its standard error.

    Both are plain numbers, or arrays of shape batch_shape: no gradient flows through them.
    """
    check_rng(rng, "sampled_entropy()")
    n = check_size(n, "n", "sampled_entropy()")
    with no_grad():
        return _mean_over_draws(-_numbers(p.log_prob(p.sample(rng, n))), "sampled_entropy()")


def kl_divergence(p, q, *, rng: np.random.Generator | None = None, n: int | None = None) -> Estimate:
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
    _broadcast(p.batch_shape, q.batch_shape, "kl_divergence()")
    if {type(p), type(q)} == {Normal, MultivariateNormal} and p.event_shape:
        p, q = _with_factor(p), _with_factor(q)
    if type(p) is type(q) and type(p) in _CLOSED_FORMS:
        return Estimate(_CLOSED_FORMS[type(p)](p, q), 0.0)
    if rng is None or n is None:
        raise ValueError(
            f"kl_divergence() of {names} has no closed form here; give rng= and n=, the number of draws, such as 10000"
        )
    check_rng(rng, "kl_divergence()")
    n = check_size(n, "n", "kl_divergence()")
    with no_grad():
        x = p.sample(rng, n)
        return _mean_over_draws(_numbers(p.log_prob(x)) - _numbers(q.log_prob(x)), "kl_divergence()")


def _kl_normal(p, q):
    # log(sq / sp) + ((sp / sq)^2 + ((mp - mq) / sq)^2 - 1) / 2
    distance = (p.mean - q.mean) / q.sd
    ratio = p.sd / q.sd
    squares = ops.square(ratio) + ops.square(distance) - 1.0
    return p._total(ops.log(q.sd) - ops.log(p.sd) + squares * 0.5)


def _kl_multivariate_normal(p, q):
    # With A = Lq^-1 Lp and z = Lq^-1 (mp - mq): log det Lq - log det Lp + (|A|^2 + |z|^2 - d) / 2
    inverse = _lower_inverse(q.factor)
    spread = ops.sum(ops.square(inverse @ p.factor), (-2, -1))
    distance = ops.sum(ops.square(_times(inverse, p.mean - q.mean)), -1)
    squares = spread + distance - float(p.event_shape[0])
    return q._log_det() - p._log_det() + squares * 0.5


def _kl_bernoulli(p, q):
    terms = [
        probability * (log_p - log_q)
        for (probability, log_p), (_, log_q) in zip(p._probabilities(), q._probabilities())
    ]
    return p._total(ops.add(*terms))


def _kl_categorical(p, q):
    if p.logits.shape[-1] != q.logits.shape[-1]:
        raise ValueError(
            f"kl_divergence() got Categoricals of {p.logits.shape[-1]} and {q.logits.shape[-1]} classes; expected the "
            "same number"
        )
    log_p, log_q = ops.log_softmax(p.logits), ops.log_softmax(q.logits)
    return ops.sum(ops.exp(log_p) * (log_p - log_q), -1)


def _kl_uniform(p, q):
    inside = (p.low >= q.low) * (p.high <= q.high)
    log_ratio = ops.log(q.high - q.low) - ops.log(p.high - p.low)
    return p._total(ops.where(inside, log_ratio, math.inf))


def _kl_laplace(p, q):
    # log(bq / bp) + r / bq + (bp / bq) exp(-r / bp) - 1 with r = |mp - mq|
    r = ops.abs(p.loc - q.loc)
    near = p.scale / q.scale * ops.exp(-(r / p.scale))
    logs = ops.log(q.scale) - ops.log(p.scale)
    return p._total(logs + (r / q.scale + near) - 1.0)


_CLOSED_FORMS = {
    Normal: _kl_normal,
    MultivariateNormal: _kl_multivariate_normal,
    Bernoulli: _kl_bernoulli,
    Categorical: _kl_categorical,
    Uniform: _kl_uniform,
    Laplace: _kl_laplace,
}


def _with_factor(p):
    if type(p) is MultivariateNormal:
        return p
    return MultivariateNormal(p.mean, ops.expand_dims(p.sd, -1) * np.eye(p.event_shape[0], dtype=p._dtype))


def _mean_over_draws(values: np.ndarray, caller: str) -> Estimate:
    """Mean over the first axis and its standard error, as numbers where one of each is left."""
    n = len(values)
    if n < 2:
        raise ValueError(f"{caller} got n={n}; a standard error needs at least 2 draws")
    with np.errstate(invalid="ignore"):
        value, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(n)
    error = np.where(np.isinf(value), math.inf, error)
    return Estimate(float(value), float(error)) if value.ndim == 0 else Estimate(value, error)


def _numbers(values) -> np.ndarray:
    return np.asarray(_raw(values), np.float64)


def _lower_inverse(factor):
    """Inverse of lower triangular matrices (..., d, d), by halves.

    [[A, 0], [C, B]]^-1 = [[A^-1, 0], [-B^-1 C A^-1, B^-1]] is made of operations, so it has gradients of any order.
    """
    d = factor.shape[-1]
    if d == 1:
        return 1.0 / factor
    half = d // 2
    top, bottom = slice(0, half), slice(half, d)
    a = _lower_inverse(ops.getitem(factor, (Ellipsis, top, top)))
    b = _lower_inverse(ops.getitem(factor, (Ellipsis, bottom, bottom)))
    c = -(b @ ops.getitem(factor, (Ellipsis, bottom, top)) @ a)
    zeros = np.zeros((*factor.shape[:-2], half, d - half), factor.dtype)
    return ops.concatenate([ops.concatenate([a, zeros], -1), ops.concatenate([c, b], -1)], -2)


def _times(matrix, x):
    """Matrices (d, d), one for all or one for each, times vectors (..., d)."""
    if matrix.ndim == 2:
        return x @ ops.transpose(matrix)
    return ops.squeeze(matrix @ ops.expand_dims(x, -1), -1)


def _raw(x):
    return x.data if type(x) is Tensor else x


def _array(x):
    """A number as an array, for operations that take arrays only; all else as it is."""
    return np.asarray(x) if isinstance(x, float) else x


def _weak(x):
    """What was computed from Python numbers as such a number again: unlike NumPy's it leaves the dtype of others."""
    return float(x) if isinstance(x, np.float64) else x


def _real(value, name, owner):
    """A parameter as a Python float, an array or a tensor of floats. Raises TypeError for what is not real."""
    if is_number(value):
        return float(value)
    if not isinstance(value, (Tensor, np.ndarray)):
        try:
            value = np.asarray(value)
        except ValueError:
            raise TypeError(f"{owner} got {name} with rows of unequal length; give every row the same length") from None
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{owner} got {name} of dtype {value.dtype}; expected real numbers")
    if value.dtype.kind != "f":
        return ops.astype(value, np.float32 if type(value) is Tensor else np.float64)
    return value


def _common_dtype(values, owner):
    """The dtype of the tensors, else of the arrays; None if all are Python numbers."""
    tensors = {value.dtype for value in values if type(value) is Tensor}
    if len(tensors) > 1:
        raise TypeError(f"{owner} got tensors of two dtypes, {' and '.join(sorted(map(str, tensors)))}; use .astype()")
    arrays = [value.dtype for value in values if isinstance(value, np.ndarray)]
    return tensors.pop() if tensors else np.result_type(*arrays) if arrays else None


def _widened(value, shape, dtype):
    if isinstance(value, float):
        return value if dtype is None else np.full(shape, value, dtype)
    value = value if value.dtype == dtype else ops.astype(value, dtype)
    return value if value.shape == shape else ops.broadcast_to(value, shape)


def _broadcast(a, b, caller):
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(
            f"{caller} got shapes {a} and {b} beside the event's, which do not broadcast; make them equal, or 1 where "
            "one is for all"
        ) from None


def _shape(shape, caller) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, tuple) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 0 for n in sizes):
        raise ValueError(f"{caller} got shape={shape!r}; expected a number of draws, or a tuple such as (100, 2)")
    return tuple(int(n) for n in sizes)


def _points(p, x):
    """Points as an array or a tensor, of the event's shape at the end and without NaN."""
    caller = f"{type(p).__name__}.log_prob()"
    if not isinstance(x, (Tensor, np.ndarray)):
        x = np.asarray(x, p._dtype or np.float64)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{caller} got points of dtype {x.dtype}; expected real numbers")
    event = p.event_shape
    if event and x.shape[-1:] != event:
        raise ValueError(
            f"{caller} got points of shape {x.shape}; expected (..., {event[0]}): the last axis is one point"
        )
    _broadcast(x.shape[: x.ndim - len(event)], p.batch_shape, caller)
    act(_check_points, _raw(x), caller)
    return x


def _check_points(x, caller):
    if np.isnan(x).any():
        rows = np.unique(np.argwhere(np.isnan(x))[:, 0]) if x.ndim else []
        where = f" in {len(rows)} of {len(x)} rows, the first of them {rows[0]}" if len(rows) else ""
        raise ValueError(f"{caller} got points that hold NaN{where}; leave them out first")


def _check_finite(values, name, owner):
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{owner} got {name} that hold NaN or inf; expected finite numbers")


def _check_positive(values, name, owner, instead=""):
    if not np.all(values > 0):
        raise ValueError(f"{owner} got {name} down to {np.min(values)}; expected positive numbers{instead}")


def _check_order(low, high):
    if not np.all(low < high):
        raise ValueError("Uniform got a low that is not below its high; give low < high everywhere")


def _check_binary(x):
    if not np.all((x == 0) | (x == 1)):
        raise ValueError(
            "Bernoulli.log_prob() got numbers other than 0 and 1, which have no probability; round them, or for grey "
            "values use ops.binary_cross_entropy_with_logits"
        )


def _check_classes(x, k):
    if x.size and not (x.min() >= 0 and x.max() < k):
        raise ValueError(f"Categorical.log_prob() got classes from {x.min()} to {x.max()}; expected 0 to {k - 1}")


def _check_factor(factor):
    _check_finite(factor, "factor", "MultivariateNormal")
    if np.any(np.triu(factor, 1)):
        raise ValueError(
            "MultivariateNormal got a factor with numbers above the diagonal; give a lower triangular one, or use "
            "MultivariateNormal.from_covariance(mean, covariance)"
        )
    diagonal = np.diagonal(factor, 0, -2, -1)
    _check_positive(diagonal, "a diagonal of factor", "MultivariateNormal", "; give exp() of free parameters")


def _check_weights(weights):
    # A weight of 0 would have the logarithm -inf, and no gradient.
    total = np.sum(weights)
    if not (np.all(weights > 0) and abs(total - 1) < 1e-5 * max(1, np.size(weights))):
        raise ValueError(
            f"Mixture got weights of sum {total} from {np.min(weights, initial=np.inf)}; expected positive numbers of "
            "sum 1: divide by the sum, and leave out components of weight 0"
        )
