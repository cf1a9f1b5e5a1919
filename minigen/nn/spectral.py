"""Spectral normalisation: a linear layer that stretches no vector by more than a factor of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops
from .._support.arguments import check_rng
from ..watching import act, relies
from .layers import Linear

EPS = 1e-12  # least length that is divided by, as in PyTorch
FIRST_ROUNDS = 15  # rounds of the power iteration before the first use


class SpectralLinear(Linear):
    """y = x (weight / sigma)^T + bias with sigma the largest singular value of `weight`: (..., n_in) -> (..., n_out).

    Miyato et al. (2018), "Spectral normalization for generative adversarial networks", algorithm 1. sigma = u^T W v is
    found by power iteration, one round in every forward pass while training and none in eval mode; the gradient goes
    through sigma with u and v held fixed (eq. 9 to 12 there). `u` (n_out,) and `v` (n_in,) belong to the state. Weights
    and bias start as those of `Linear` do. Raises as `Linear`.
    """

    buffer_names = ("u", "v")

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        rng: np.random.Generator,
        bias: bool = True,
        initial: Callable | None = None,
    ):
        super().__init__(n_in, n_out, rng=rng, bias=bias, initial=initial)
        weight = self.weight.data
        start = check_rng(rng, "SpectralLinear").standard_normal(n_in).astype(weight.dtype)
        self.u, self.v = np.zeros(n_out, weight.dtype), start / np.linalg.norm(start)
        for _ in range(FIRST_ROUNDS):
            self._iterate(weight)

    def forward(self, x):
        weight = self.normalised()
        if self.bias is not None:
            return ops.linear(x, weight, self.bias)
        return x @ ops.transpose(weight)

    def normalised(self):
        """The weight divided by sigma, (n_out, n_in), after one round of the power iteration if in training mode."""
        if relies(self, "training"):
            act(self._iterate, self.weight.data, changes=(self.u, self.v))
        # Copies, because another forward pass may move u and v before the backward pass of this one.
        u, v = ops.astype(self.u, self.u.dtype), ops.astype(self.v, self.v.dtype)
        sigma = ops.sum(self.weight @ v * u)
        return self.weight / ops.maximum(sigma, EPS)

    def _iterate(self, weight: np.ndarray) -> None:
        np.dot(weight, self.v, out=self.u)
        self.u /= max(np.linalg.norm(self.u), EPS)
        np.dot(self.u, weight, out=self.v)
        self.v /= max(np.linalg.norm(self.v), EPS)

    def __repr__(self):
        return f"Spectral{super().__repr__()}"
