"""How spread out is what a generator makes? Its entropy, exactly where that can be had, and through information.

A critic can be pleased by a generator that makes a single good example. What keeps it from that is entropy, H(x) of
x = G(z), which nobody can read off samples in many dimensions. But where x is G(z) plus normal noise of a fixed SD,

    H(x) = I(x, z) + H(x | z) = I(x, z) + d log(noise_sd sqrt(2 pi e)),

so that entropy is the mutual information of x and z up to a constant, and a network that sees both can bound it from
below. The noise is needed: without it z can be told from x exactly, and I(x, z) is infinite however little space the
samples take. What a network finds then depends on the unit of x, and in units of its SD says nothing of the volume.
With noise the estimates put generators in order; as nats they are too low, the more so the larger the information.

Kumar et al. (2019), "Maximum entropy generators for energy-based models", without the noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from .. import nn, ops
from .._support.arguments import Count, Positive, checked
from ..tape import Tensor, grad, no_grad, tensor
from .gan_losses import LOSSES, Examples


def jacobian(function: Callable, Z: np.ndarray) -> np.ndarray:
    """Derivatives of function(z) by z at each row of Z: (n, d, k), element [i, a, b] that of output a by latent b.

    `function` takes tensors (n, k) to (n, d) row by row. Computed by d passes backwards.
    """
    z = tensor(np.asarray(Z), requires_grad=True)
    x = function(z)
    if x.ndim != 2 or len(x.data) != len(z.data):
        raise ValueError(f"jacobian() got a function from shape {z.shape} to {x.shape}; expected (n, k) to (n, d)")
    return np.stack([grad(ops.sum(x[:, a]), z).data for a in range(x.shape[1])], axis=1)


def exact_entropy(generator: Callable, Z: np.ndarray) -> tuple[float, float]:
    """Entropy in nats of x = generator(z), z from N(0, I), and the standard error of that number.

    H(x) = H(z) + E log |det J|: the mean is taken over the rows of Z (n, k), draws from N(0, I). For more outputs than
    latents the samples lie on a surface of k dimensions, and the entropy is the one per its area, with
    (1/2) log det J^T J. It is right where no two z give the same x; else it is too large.

    Raises ValueError for fewer outputs than latents.
    """
    Z = np.asarray(Z)
    J = jacobian(generator, Z).astype(np.float64)
    n, d, k = J.shape
    if d < k:
        raise ValueError(
            f"exact_entropy() got a generator of {d} outputs from {k} latents; it needs at least as many outputs as "
            "latents, as otherwise many z give the same x"
        )
    sizes = np.linalg.svd(J, compute_uv=False)
    with np.errstate(divide="ignore"):
        volumes = np.sum(np.log(sizes), axis=1)  # -inf where the generator is flat, as with dead ReLUs
    error = float(np.std(volumes) / math.sqrt(n)) if np.isfinite(volumes).all() else math.nan
    return k / 2 * math.log(2 * math.pi * math.e) + float(np.mean(volumes)), error


@checked
def noise_entropy(d: Count, noise_sd: Positive) -> float:
    """H(x | z) in nats: that of normal noise in d dimensions, which added to I(x, z) gives H(x)."""
    return d * math.log(noise_sd * math.sqrt(2 * math.pi * math.e))


class JSDInformation(nn.Module):
    """A statistics network T(x, z) that tells pairs that belong together from pairs that do not.

    `forward(x, z)` is its cross-entropy, mean softplus(-T(x, z)) + mean softplus(T(x, z')): 2 log 2 minus twice the
    Jensen-Shannon divergence between the pairs and the product of their marginals, if T is the best. The z' are the
    batch's z moved on by one row, so that no pair meets itself. The best T is log p(x, z) / (p(x) p(z)).

    Hjelm et al. (2019), "Learning deep representations by mutual information estimation and maximization", eq. 4.
    """

    def __init__(self, d: int, k: int, hidden: Sequence[int] = (128, 128), *, rng: np.random.Generator):
        self.statistics = nn.MLP([d + k, *hidden, 1], "silu", rng=rng)

    def forward(self, x: Examples, z: Examples) -> Tensor:
        others = ops.concatenate([z[1:], z[:1]])
        together, apart = (self.statistics(ops.concatenate([x, latent], axis=1)) for latent in (z, others))
        return LOSSES["minimax"].critic(together, apart)

    def information(self, x: np.ndarray, z: np.ndarray) -> float:
        """I(x, z) in nats, as the mean of T over pairs that belong together: right for the best T, no bound else."""
        with no_grad():
            return float(np.mean(self.statistics(ops.concatenate([x, z], axis=1)).data, dtype=np.float64))


class InfoGANBound(nn.Module):
    """An encoder E(x) that guesses which z an example was made from.

    `forward(x, z)` is the mean of |z - E(x)|^2 / 2: up to a constant the bound -E log q(z | x) with a normal q of unit
    variance around E(x). Chen et al. (2016), "InfoGAN", eq. 4.
    """

    def __init__(self, d: int, k: int, hidden: Sequence[int] = (128, 128), *, rng: np.random.Generator):
        self.encoder = nn.MLP([d, *hidden, k], "silu", rng=rng)

    def forward(self, x: Examples, z: Examples) -> Tensor:
        return ops.mean(ops.sum(ops.square(z - self.encoder(x)), axis=1)) * 0.5

    def information(self, x: np.ndarray, z: np.ndarray) -> float:
        """A lower bound of I(x, z) in nats, for q(z | x) normal with the residuals' own variance in each latent.

        H(z) + E log q(z | x) = -(1/2) sum over the latents of log mean (z - E(x))^2. Barber and Agakov (2003).
        """
        with no_grad():
            residual = np.asarray(z, np.float64) - self.encoder(x).data
        return float(-0.5 * np.sum(np.log(np.mean(residual**2, axis=0))))


ENTROPIES = {"jsd": JSDInformation, "infogan": InfoGANBound}
