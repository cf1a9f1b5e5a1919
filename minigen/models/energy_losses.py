"""How an energy learns without its partition function: what each way minimises.

An `energy` is a module, or any function of tensors, from points (n, d) to numbers (n,) or (n, 1), and p(x) is
exp(-energy(x)) / Z. Losses are means over the examples of the batch, and are minimised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import nn, ops
from .._support.arguments import Column, Rows, checked
from ..tape import Tensor, grad, tensor
from .gan_losses import input_gradient

Points = np.ndarray | Tensor


@checked
def two_phase_gradient(energy: nn.Module, positive: Rows, negative: Rows, weights: Column | None = None) -> np.ndarray:
    """Gradient of -mean log p(data) by all parameters, as one vector in the order of `energy.flat()`.

    It is the mean of grad U at the data, the positive phase, minus that under the model, the negative phase: for
    -log p = U + log Z, and the gradient of log Z is -E[grad U]. The parameters' own gradients are not touched.

    Parameters
    ----------
    positive : data (n, d).
    negative : points (m, d) that stand for the model: its samples, or all points of a grid with their probabilities.
    weights : of the negative points, (m,), of sum 1; None for equal ones.

    Raises ValueError for shapes that do not fit, and weights that are negative or do not sum to 1.

    Hinton (2002), "Training products of experts by minimizing contrastive divergence", eq. 4.
    """
    if positive.shape[1] != negative.shape[1]:
        raise ValueError(
            f"two_phase_gradient() got points of shape {positive.shape} and {negative.shape}; expected (n, d) and "
            "(m, d)"
        )
    if weights is not None:
        if weights.shape != negative.shape[:1] or not (weights.min() >= 0 and abs(weights.sum() - 1) < 1e-3):
            raise ValueError(
                f"two_phase_gradient() got weights of shape {weights.shape} and sum {weights.sum():.6g}; expected one "
                f"for each of the {len(negative)} negative points, none negative, of sum 1"
            )
        weights = weights.astype(energy.flat().data.dtype)
    positive, negative = (points.astype(energy.flat().data.dtype) for points in (positive, negative))
    loss = contrast(values(energy, positive), values(energy, negative), weights)
    return np.concatenate([gradient.data.ravel() for gradient in grad(loss, energy.parameters())])


def values(energy: Callable, x: Points) -> Tensor:
    """The energies of points (n, d) as (n,)."""
    u = energy(x)
    return u if u.ndim == 1 else ops.reshape(u, (-1,))


def contrast(positive: Tensor, negative: Tensor, weights: np.ndarray | None = None) -> Tensor:
    """Mean energy of the data minus that of the model's points: a loss that has the two-phase gradient.

    Its value is no likelihood: log Z is missing from it.
    """
    under_model = ops.mean(negative) if weights is None else ops.sum(negative * weights)
    return ops.mean(positive) - under_model


def size_penalty(positive: Tensor, negative: Tensor) -> Tensor:
    """mean U(data)^2 + mean U(model)^2, which keeps energies from running off: Du and Mordatch (2019), section 3.3."""
    return ops.mean(ops.square(positive)) + ops.mean(ops.square(negative))


def denoising_loss(energy: Callable, x: Points, noise_sd: float, rng: np.random.Generator) -> Tensor:
    """Mean of |noise_sd grad U(x + noise_sd e) - e|^2 / 2 over the examples (n, d), e from N(0, I).

    Least where -grad U is the score of the data blurred by N(0, noise_sd^2): of e, given the blurred point, it then
    tells the mean. Vincent (2011), "A connection between score matching and denoising autoencoders", eq. 9, with the
    weight noise_sd^2 of Song and Ermon (2019).
    """
    noise = ops.normal(rng, x.shape, x.dtype)
    blurred = tensor(x + noise_sd * noise, requires_grad=True)
    slope = input_gradient(values(energy, blurred), blurred)
    return 0.5 * ops.mean(ops.sum(ops.square(noise_sd * slope - noise), axis=1))


class GaussianNoise(NamedTuple):
    """The distribution N(0, factor factor^T) that noise-contrastive estimation tells the data from: arrays (d, d)."""

    factor: np.ndarray
    whitening: np.ndarray  # its inverse

    @classmethod
    def fitted(cls, x: np.ndarray) -> GaussianNoise:
        """With the covariance of x (n, d), whose mean is 0; a little wider, so that it exists for constant features."""
        factor = np.linalg.cholesky(x.T @ x / len(x) + 1e-4 * np.eye(x.shape[1]))
        return cls(factor.astype(np.float32), np.linalg.inv(factor).astype(np.float32))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n points (n, d)."""
        return ops.normal(rng, (n, len(self.factor))) @ np.ascontiguousarray(self.factor.T)

    def log_prob(self, x: Points) -> Points:
        """Log-density of points (n, d): (n,)."""
        d = len(self.factor)
        log_volume = float(np.sum(np.log(np.diag(self.factor)))) + d / 2 * math.log(2 * math.pi)
        white = x @ np.ascontiguousarray(self.whitening.T)
        return -0.5 * ops.sum(ops.square(white), axis=1) - log_volume


def noise_contrastive_loss(
    energy: Callable, log_Z: Tensor, x: Points, noise: GaussianNoise, ratio: int, rng: np.random.Generator
) -> Tensor:
    """Cross-entropy of telling data (n, d) from `ratio` times as many points of `noise`, per example of the data.

    The logit of being data is -U(x) - log_Z - log q(x) - log(ratio), q the noise's density. With the best energy it is
    log p / (ratio q), so that log_Z, a parameter like any other, comes to be the logarithm of the partition function.
    Gutmann and Hyvarinen (2012), "Noise-contrastive estimation of unnormalized statistical models, with applications to
    natural image statistics", eq. 8.
    """
    fake = noise.draw(ratio * x.shape[0], rng)

    def logit(points):
        return -(values(energy, points) + log_Z + (noise.log_prob(points) + math.log(ratio)))

    return ops.mean(ops.softplus(-logit(x))) + ratio * ops.mean(ops.softplus(logit(fake)))
