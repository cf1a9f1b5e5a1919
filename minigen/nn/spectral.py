"""Spectral normalisation: a linear layer that stretches no vector by more than a factor of one."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..tape import Tensor
from ..watching import act, relies
from .layers import Linear

EPS = 1e-12  # least sigma that is divided by, as in PyTorch
FIRST_ROUNDS = 15  # rounds of the power iteration before the first use


class SpectralLinear(Linear):
    """y = x (weight / sigma)^T + bias with sigma the largest singular value of `weight`: (..., n_in) -> (..., n_out).

    Miyato et al. (2018), "Spectral normalization for generative adversarial networks", algorithm 1. sigma = u^T W v is
    found by power iteration, one round in every forward pass while training and none in eval mode; the gradient goes
    through sigma with u and v held fixed (eq. 9 to 12 there). `u` (n_out,) and `v` (n_in,) belong to the state. Weights
    and bias start as those of `Linear` do, whose arguments it takes.
    """

    buffer_names = ("u", "v")

    def _start(self, rng: np.random.Generator) -> None:
        n_out, n_in = self.weight.data.shape
        self.u = _unit(np.ones(n_out, self.weight.data.dtype))
        self.v = _unit(np.asarray(rng.standard_normal(n_in), self.weight.data.dtype))
        self._settle()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "weight" and hasattr(self, "v"):  # assigned from outside: u and v know nothing of it
            self._settle()

    def forward(self, x: Tensor | np.ndarray) -> Any:
        return self.affine(x, self.normalised())

    def normalised(self) -> Tensor:
        """The weight divided by sigma, (n_out, n_in), after one round of the power iteration if in training mode."""
        u, v = relies(self, "u"), relies(self, "v")
        if relies(self, "training"):
            act(self._iterate, self.weight.data, changes=(u, v))
        # Copies, because another forward pass may move u and v before the backward pass of this one.
        u, v = ops.astype(u, u.dtype), ops.astype(v, v.dtype)
        sigma = ops.sum(self.weight @ v * u)
        return self.weight / ops.maximum(sigma, EPS)

    def _settle(self) -> None:
        for _ in range(FIRST_ROUNDS):
            self._iterate(self.weight.data)

    def _iterate(self, weight: np.ndarray) -> None:
        """One round: u towards W v, v towards W^T u, both of length 1 whatever the weight was before."""
        # A component that is exactly zero may stay so for ever, as that of the larger one of two blocks; one of the
        # size of a rounding error does no harm and grows where it should.
        self.v[np.abs(self.v) < np.finfo(self.v.dtype).eps] = np.finfo(self.v.dtype).eps
        image = np.dot(weight, self.v)
        if not image.any():  # v is in the null space: begin again from the longest row
            self.v[...] = weight[np.argmax(np.abs(weight).max(axis=1))]
            if not self.v.any():
                self.v[...] = 1
            self.v[...] = _unit(self.v)
            image = np.dot(weight, self.v)
        if image.any():
            self.u[...] = _unit(image)
            self.v[...] = _unit(np.dot(self.u, weight))

    def __repr__(self) -> str:
        return f"Spectral{super().__repr__()}"


def _unit(vector: np.ndarray) -> np.ndarray:
    """The vector with length 1; its size is taken off first, for squares may over- or underflow."""
    vector = vector / np.max(np.abs(vector))
    return vector / np.linalg.norm(vector)
