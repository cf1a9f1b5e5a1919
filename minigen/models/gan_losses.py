"""What the two players of an adversarial game minimise: losses of critic and generator, and penalties on the critic.

A critic gives one number for each example, called a logit where its sigmoid D is the probability of being real. Every
loss and every penalty is a MEAN over the examples of the batch, and both players minimise. Arguments are arrays or
tensors; values of a critic have any shape, one element for each example.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import ops
from .._support.arguments import Rng, checked
from ..tape import Tensor, grad

Examples = np.ndarray | Tensor


class Loss(NamedTuple):
    """`critic(real, fake)` and `generator(fake)`: from the critic's values on real and fake examples to a scalar."""

    critic: Callable
    generator: Callable


def _cross_entropy(logits, label: float):
    """Mean of -log D for label 1, of -log(1 - D) for label 0."""
    return ops.binary_cross_entropy_with_logits(logits, np.full(logits.shape, label, logits.dtype))


def _classify(real, fake):
    """-mean log D(real) - mean log(1 - D(fake)): the negative of V(D, G), whose least value is 2 log 2 - 2 JSD."""
    return _cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)


def _negative_mean(fake):
    return -ops.mean(fake)


def _margin(real, fake):
    """mean max(0, 1 - c(real)) + mean max(0, 1 + c(fake))."""
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


# For the critic's values l on fakes, with D = sigmoid(l), the generator minimises the mean of:
#   minimax             log(1 - D)         Goodfellow et al. (2014), eq. 1
#   non_saturating      -log D             the same, section 3
#   maximum_likelihood  -exp(l)            Goodfellow (2014), "On distinguishability criteria", section 5: with the best
#                                          critic exp(l) = p / q, and the gradient is that of the log-likelihood; in
#                                          Nowozin et al. (2016) the divergence KL(p || q). Not finite where exp is not.
#   hinge               -c                 Lim and Ye (2017), "Geometric GAN"
#   wasserstein         -c                 Arjovsky et al. (2017), eq. 2; needs a critic of limited slope
LOSSES = {
    "minimax": Loss(_classify, lambda fake: -_cross_entropy(fake, 0.0)),
    "non_saturating": Loss(_classify, lambda fake: _cross_entropy(fake, 1.0)),
    "maximum_likelihood": Loss(_classify, lambda fake: _negative_mean(ops.exp(fake))),
    "hinge": Loss(_margin, _negative_mean),
    "wasserstein": Loss(lambda real, fake: ops.mean(fake) - ops.mean(real), _negative_mean),
}


def input_gradient(values: Tensor, x: Tensor) -> Tensor:
    """Gradient of each example's value by that example, (n, d), on the tape for the critic's weights to learn from.

    `values` holds one element for each row of `x` (n, d), a leaf, and was computed from it row by row: a critic that
    mixes its examples, as batch normalisation does, has no gradient of its own for each.
    """
    if values.data.size != len(x.data) or x.data.ndim != 2:
        raise ValueError(
            f"input_gradient() got values of shape {values.data.shape} at points of shape {x.data.shape}; expected one "
            "value for each row of (n, d)"
        )
    return grad(ops.sum(values), x, create_graph=True)


@checked
def interpolates(real: Examples, fake: Examples, rng: Rng) -> np.ndarray:
    """Points between real and fake examples, (n, d) each, at a uniform place of its own for each pair: (n, d).

    Gulrajani et al. (2017), algorithm 1: u x + (1 - u) x~.
    """
    if np.shape(real) != np.shape(fake) or len(np.shape(real)) != 2:
        raise ValueError(
            f"interpolates() got shapes {np.shape(real)} and {np.shape(fake)}; expected as many real examples as fake "
            "ones, (n, d) each"
        )
    u = ops.uniform(rng, (real.shape[0], 1), real.dtype)
    return real * u + fake * (1.0 - u)


def unit_norm_penalty(gradient: Examples, one_sided: bool = False) -> Tensor:
    """Mean of (|g| - 1)^2 over the examples, |g| the norm of each row of (n, d); one-sided: only where |g| > 1.

    Gulrajani et al. (2017), eq. 3. Where a gradient is zero, the derivative of its norm is taken to be zero.
    """
    excess = ops.norm(gradient, axis=1) - 1.0
    return ops.mean(ops.square(ops.relu(excess) if one_sided else excess))


def zero_centred_penalty(gradient: Examples) -> Tensor:
    """Mean of |g|^2 / 2 over the examples, rows of (n, d): R1 at real examples, R2 at fakes.

    Mescheder et al. (2018), "Which training methods for GANs do actually converge?", eq. 9 and 10.
    """
    return ops.mean(ops.sum(ops.square(gradient), axis=1)) * 0.5


def packed(x: Examples, m: int) -> Examples:
    """m consecutive examples side by side as one: (n, d) -> (n / m, m d).

    Lin et al. (2018), "PacGAN". Raises ValueError if m does not divide n.
    """
    n, d = x.shape
    if n % m:
        raise ValueError(f"packed() got {n} examples for packs of {m}; give a multiple of {m}")
    return x if m == 1 else ops.reshape(x, (n // m, m * d))
