"""How data scatter around what a decoder makes of latents: normally, or as coins. Each gives -log p(x | z) in nats."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .. import ops
from ..tape import Tensor


class GaussianDecoder(NamedTuple):
    """p(x | z) = N(out, diag(exp(log_var))), with the log-variance of each feature (d,), in scaled data."""

    log_var: np.ndarray | Tensor

    def mean_nll(self, out: Tensor, x: np.ndarray) -> Tensor:
        """-log p(x | z), its mean over examples and features."""
        return ops.gaussian_nll(out, x, self.log_var)

    def nll(self, out: Tensor, x: np.ndarray) -> Tensor:
        """-log p(x | z) of each example, summed over features: (n,)."""
        scaled = ops.square(x - out) * ops.exp(-self.log_var)
        return 0.5 * ops.sum(scaled + self.log_var + math.log(2 * math.pi), axis=1)


class BernoulliDecoder:
    """p(x | z) of features in [0, 1] whose probabilities have the logits `out`."""

    @staticmethod
    def mean_nll(out: Tensor, x: np.ndarray) -> Tensor:
        """-log p(x | z), its mean over examples and features."""
        return ops.binary_cross_entropy_with_logits(out, x)

    @staticmethod
    def nll(out: Tensor, x: np.ndarray) -> Tensor:
        """-log p(x | z) of each example, summed over features: (n,)."""
        return ops.sum(ops.softplus(out) - out * x, axis=1)
