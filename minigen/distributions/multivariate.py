"""How do normal numbers go together? The normal distribution with correlations, by the Cholesky factor."""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from .._support.cholesky import factored, is_symmetric
from ..tape import Tensor
from ..watching import live_check
from .families import LOG_2PI, Normal
from .parameters import (
    Operand,
    Real,
    Shape,
    Values,
    as_operand,
    as_real,
    broadcast,
    check_finite,
    check_positive,
    common_dtype,
    draws_shape,
    points_of,
    raw,
    widened,
)


class MultivariateNormal:
    """Normal points of `mean` (..., d) and covariance L L^T, by its Cholesky factor L (..., d, d). Reparameterised.

    Raises ValueError unless L is lower triangular with a positive diagonal. A batch of means may share one factor.
    """

    discrete = False

    def __init__(self, mean: Real, factor: Real):
        mean = as_real(mean, "mean", "MultivariateNormal")
        factor = as_operand(as_real(factor, "factor", "MultivariateNormal"))
        d = np.shape(mean)[-1:]
        if not d or np.shape(factor)[-2:] != d + d:
            raise ValueError(
                f"MultivariateNormal got mean of shape {np.shape(mean)} and factor of shape {np.shape(factor)}; "
                "expected (..., d) and (..., d, d)"
            )
        self._dtype = common_dtype([mean, factor], "MultivariateNormal")
        self.batch_shape = broadcast(np.shape(factor)[:-2], np.shape(mean)[:-1], "MultivariateNormal")
        self.event_shape = d
        self.mean = widened(mean, self.batch_shape + d, self._dtype)
        factor = widened(factor, factor.shape, self._dtype)
        live_check(check_finite, raw(self.mean), "mean", "MultivariateNormal")
        live_check(_check_factor, raw(factor))
        # What lies above the diagonal is no parameter, so it gets no gradient.
        self.factor = factor * np.tril(np.ones(d + d, self._dtype))
        # Of a tensor it is computed where it is used: a training step that only draws has no use for it.
        self._inverse = None if type(factor) is Tensor else lower_inverse(self.factor)

    @classmethod
    def from_covariance(cls, mean: Real, covariance: np.ndarray | list) -> MultivariateNormal:
        """From an array of covariances (..., d, d).

        Raises ValueError unless they are symmetric and positive definite by more than rounding: each feature must keep,
        of its variance, a share above 500 eps that the others do not explain, eps that of the array's dtype.
        """
        if type(covariance) is Tensor:
            raise TypeError(
                "from_covariance() got a tensor, and has no gradient; learn the Cholesky factor instead: "
                "MultivariateNormal(mean, factor)"
            )
        covariance = np.asarray(as_real(covariance, "covariance", "MultivariateNormal"))
        if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2]:
            raise ValueError(f"from_covariance() got covariance of shape {np.shape(covariance)}; expected (..., d, d)")
        check_finite(covariance, "covariance", "from_covariance()")
        if not is_symmetric(covariance):
            raise ValueError("from_covariance() got a covariance that is not symmetric; give (C + C.T) / 2")
        try:
            lower, _ = factored(covariance, covariance.dtype)
        except np.linalg.LinAlgError:
            raise ValueError(
                "from_covariance() got a covariance that is not positive definite: some direction has no variance, or "
                "none beyond rounding; add a small share of each variance to the diagonal, or leave out features that "
                "depend on others"
            ) from None
        return cls(mean, lower.astype(covariance.dtype))

    @classmethod
    def from_normal(cls, p: Normal) -> MultivariateNormal:
        """The same distribution as a Normal of points (d,)."""
        return cls(p.mean, ops.expand_dims(p.sd, -1) * np.eye(p.event_shape[0], dtype=p.mean.dtype))

    @property
    def covariance(self) -> Values:
        return self.factor @ ops.swapaxes(self.factor, -1, -2)

    @property
    def var(self) -> Values:
        return ops.broadcast_to(ops.sum(ops.square(self.factor), -1), self.batch_shape + self.event_shape)

    def sample(self, shape: Shape, rng: np.random.Generator) -> Values:
        """mean + L eps with eps from N(0, I): (*shape, *batch_shape, d)."""
        shape = draws_shape(shape, rng, self) + self.batch_shape + self.event_shape
        return self.mean + times(self.factor, ops.normal(rng, shape, self._dtype))

    def log_prob(self, x: Real) -> Values:
        """Log-density of points (..., d): (...)."""
        inverse = lower_inverse(self.factor) if self._inverse is None else self._inverse
        z = times(inverse, points_of(self, x) - self.mean)
        squares = ops.sum(ops.square(z), -1)
        # An infinite point leaves inf - inf here; its density is 0.
        squares = ops.where(ops.equal(squares, squares), squares, math.inf)
        constant = self._log_det() + 0.5 * LOG_2PI * self.event_shape[0]
        return -(squares * 0.5 + constant)

    def entropy(self) -> Values:
        """In nats, of shape batch_shape."""
        entropy = self._log_det() + 0.5 * (1 + LOG_2PI) * self.event_shape[0]
        return ops.broadcast_to(entropy, self.batch_shape)

    def _log_det(self):
        """log det L, half of that of the covariance."""
        return ops.sum(ops.log(ops.diagonal(self.factor, 0, -2, -1)), -1)


def lower_inverse(factor: Operand) -> Operand:
    """Inverse of lower triangular matrices (..., d, d), by halves.

    [[A, 0], [C, B]]^-1 = [[A^-1, 0], [-B^-1 C A^-1, B^-1]] is made of operations, so it has gradients of any order.
    """
    d = factor.shape[-1]
    if d == 1:
        return 1.0 / factor
    half = d // 2
    top, bottom = slice(0, half), slice(half, d)
    a = lower_inverse(ops.getitem(factor, (Ellipsis, top, top)))
    b = lower_inverse(ops.getitem(factor, (Ellipsis, bottom, bottom)))
    c = -(b @ ops.getitem(factor, (Ellipsis, bottom, top)) @ a)
    zeros = np.zeros((*factor.shape[:-2], half, d - half), factor.dtype)
    return ops.concatenate([ops.concatenate([a, zeros], -1), ops.concatenate([c, b], -1)], -2)


def times(matrix: Operand, x: Operand) -> Operand:
    """Matrices (d, d), one for all or one for each, times vectors (..., d)."""
    if matrix.ndim == 2:
        return x @ ops.transpose(matrix)
    return ops.squeeze(matrix @ ops.expand_dims(x, -1), -1)


def _check_factor(factor):
    check_finite(factor, "factor", "MultivariateNormal")
    if np.any(np.triu(factor, 1)):
        raise ValueError(
            "MultivariateNormal got a factor with numbers above the diagonal; give a lower triangular one, or use "
            "MultivariateNormal.from_covariance(mean, covariance)"
        )
    check_positive(np.diagonal(factor, 0, -2, -1), "a diagonal of factor", "MultivariateNormal")
