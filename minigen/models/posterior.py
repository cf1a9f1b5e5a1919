"""What an encoder says of the latents behind an example: a Gaussian q(z | x), with or without correlations.

Both kinds are read off the outputs of the encoder, and know how to draw and how far they are from the prior N(0, I).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import ops
from ..tape import Tensor


class Diagonal(NamedTuple):
    """q(z | x) = N(mean, diag(exp(log_sd))^2) for each example: both (n, k)."""

    mean: Tensor
    log_sd: Tensor

    @staticmethod
    def outputs(k: int) -> int:
        """How many numbers an encoder gives for each example."""
        return 2 * k

    @classmethod
    def read(cls, out: Tensor, k: int) -> Diagonal:
        """The posterior that outputs (n, 2 k) of an encoder stand for."""
        return cls(out[:, :k], out[:, k:])

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """One reparameterised draw z (n, k), and the standard normal eps (n, k) that it was made of."""
        eps = ops.normal(rng, self.mean.shape, self.mean.dtype)
        return self.mean + ops.exp(self.log_sd) * eps, eps

    def kl(self) -> Tensor:
        """KL(q(z_i | x) || N(0, 1)) of each latent, (n, k)."""
        return ops.standard_normal_kl(self.mean, self.log_sd)

    def spread(self) -> np.ndarray:
        """SD of each latent, (n, k)."""
        return np.exp(self.log_sd.data)


class Full(NamedTuple):
    """q(z | x) = N(mean, L L^T) for each example: L has exp(log_sd) on its diagonal and `below` below it, by rows."""

    mean: Tensor
    log_sd: Tensor
    below: Tensor  # (n, k (k - 1) / 2)

    @staticmethod
    def outputs(k: int) -> int:
        """How many numbers an encoder gives for each example."""
        return 2 * k + k * (k - 1) // 2

    @classmethod
    def read(cls, out: Tensor, k: int) -> Full:
        """The posterior that outputs (n, 2 k + k (k - 1) / 2) of an encoder stand for."""
        return cls(out[:, :k], out[:, k : 2 * k], out[:, 2 * k :])

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, np.ndarray]:
        """One reparameterised draw z = mean + L eps (n, k), and the standard normal eps (n, k)."""
        eps = ops.normal(rng, self.mean.shape, self.mean.dtype)
        _, columns = self._places()
        correlated = (self.below * eps[:, columns]) @ self._to_rows()
        return self.mean + ops.exp(self.log_sd) * eps + correlated, eps

    def kl(self) -> Tensor:
        """What each latent adds to KL(q(z | x) || N(0, I)): by the chain rule the mean KL of z_i given those before it.

        The KL is (tr L L^T + |mean|^2 - k) / 2 - sum log L_ii, so an entry below the diagonal adds half its square.
        """
        return ops.standard_normal_kl(self.mean, self.log_sd) + 0.5 * (ops.square(self.below) @ self._to_rows())

    def spread(self) -> np.ndarray:
        """The Cholesky factors L, (n, k, k)."""
        n, k = self.mean.shape
        factor = np.zeros((n, k, k), self.mean.dtype)
        rows, columns = self._places()
        factor[:, rows, columns] = self.below.data
        factor[:, np.arange(k), np.arange(k)] = np.exp(self.log_sd.data)
        return factor

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        return np.tril_indices(self.mean.shape[1], -1)

    def _to_rows(self) -> np.ndarray:
        """The matrix that sums entries below the diagonal of L into the row they stand in."""
        rows, _ = self._places()
        return (rows[:, None] == np.arange(self.mean.shape[1])).astype(self.mean.dtype)


POSTERIORS = {"diagonal": Diagonal, "full": Full}
