"""Regression networks: a point estimate, or a Gaussian whose mean and spread both depend on the input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import nn, ops, optim
from ..nn.layers import check_rng
from ..tape import no_grad
from ..training import History, as_data, fit
from .scaling import per_feature

HEADS = ("point", "gaussian")


class Regressor:
    """An MLP from inputs (n, d_in) to targets (n, d_out).

    With `head="point"` it learns the mean by squared error. With `head="gaussian"` it has a mean and a log-variance for
    every output and learns both by maximum likelihood (Nix and Weigend, 1994). Inputs and targets are standardised inside.

    After `fit`: `network_`, `history_`, `x_scale_`, `y_scale_`; a point head also has `sd_`, the SD of its residuals on
    the training data (d_out,), so that both heads give a distribution.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
        *,
        head: str = "point",
        dropout: float = 0.0,
        steps: int = 3000,
        batch_size: int = 128,
        lr: float = 3e-3,
    ):
        if head not in HEADS:
            raise ValueError(f"Regressor got head={head!r}; choose one of {', '.join(HEADS)}")
        self.hidden, self.activation, self.head, self.dropout = tuple(hidden), activation, head, dropout
        self.steps, self.batch_size, self.lr = steps, batch_size, lr

    def fit(
        self,
        X,
        Y,
        *,
        rng: np.random.Generator,
        validation: tuple | None = None,
        patience: int | None = None,
        progress: bool | None = None,
    ) -> Regressor:
        """Learn from inputs X (n, d_in) and targets Y (n, d_out) or (n,); returns the regressor.

        `validation` is such a pair held out; with `patience` training stops early (see `training.fit`).
        """
        check_rng(rng, "Regressor.fit()")
        X, Y = self._pair(X, Y, "Regressor.fit()")
        self.x_scale_, self.y_scale_ = per_feature(X), per_feature(Y)
        self.network_ = self._build(X.shape[1], Y.shape[1], rng)
        if validation is not None:
            validation = self._unit_pair(*self._pair(*validation, "Regressor.fit(validation=...)"))
        self.history_: History = fit(
            self.network_,
            self._loss,
            self._unit_pair(X, Y),
            rng=rng,
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=optim.Adam(self.network_, optim.cosine_decay(self.lr, self.steps)),
            validation=validation,
            patience=patience,
            progress=progress,
            label="regressor",
        )
        self.sd_ = np.std(Y - self._forward(X)[0], axis=0)
        return self

    def predict(self, X, return_sd: bool = False):
        """Mean of the targets at X, (n, d_out); with `return_sd` also their SD, of the same shape."""
        mean, sd = self._forward(self._inputs(X))
        return (mean, sd) if return_sd else mean

    def sample(self, X, rng: np.random.Generator) -> np.ndarray:
        """One draw of the targets at each row of X: (n, d_out)."""
        check_rng(rng, "Regressor.sample()")
        mean, sd = self.predict(X, return_sd=True)
        return mean + sd * rng.standard_normal(mean.shape).astype(mean.dtype)

    def log_prob(self, X, Y) -> np.ndarray:
        """Log-density of each row of Y (n, d_out) given X, summed over outputs: (n,)."""
        X, Y = self._pair(X, Y, "Regressor.log_prob()")
        mean, sd = self._forward(self._inputs(X))
        return -np.sum(0.5 * ((Y - mean) / sd) ** 2 + np.log(sd) + 0.5 * math.log(2 * math.pi), axis=1)

    def _build(self, d_in: int, d_out: int, rng) -> nn.Sequential:
        layers: list[nn.Module] = []
        widths = [d_in, *self.hidden]
        for n_in, n_out in zip(widths[:-1], widths[1:]):
            layers += [nn.Linear(n_in, n_out, rng=rng), nn.Activation(self.activation)]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout, rng=rng))
        return nn.Sequential(*layers, nn.Linear(widths[-1], d_out * (2 if self.head == "gaussian" else 1), rng=rng))

    def _loss(self, x, y):
        out = self.network_(x)
        if self.head == "point":
            return ops.mse(out, y)
        mean, log_var = ops.split(out, 2, axis=1)
        return ops.gaussian_nll(mean, y, log_var)

    def _forward(self, X):
        with no_grad():
            out = self.network_(self.x_scale_.to_unit(X).astype(np.float32)).data
        if self.head == "point":
            mean = self.y_scale_.from_unit(out)
            return mean, np.broadcast_to(self.sd_, mean.shape) if hasattr(self, "sd_") else None
        mean, log_var = np.split(out, 2, axis=1)
        return self.y_scale_.from_unit(mean), np.exp(0.5 * log_var) * self.y_scale_.sd

    def _unit_pair(self, X, Y):
        return self.x_scale_.to_unit(X), self.y_scale_.to_unit(Y)

    def _pair(self, X, Y, caller):
        X, Y = as_data((X, Y), np.float64, caller)
        if X.ndim != 2:
            raise ValueError(f"{caller} got X of shape {X.shape}; expected (n, d_in): reshape a single feature with X[:, None]")
        Y = Y.reshape(len(Y), -1)
        return X, Y

    def _inputs(self, X):
        if not hasattr(self, "network_"):
            raise ValueError("this Regressor has not been fitted yet; call fit(X, Y, rng=...) first")
        (X,) = as_data((X,), np.float64, "Regressor")
        width = len(self.x_scale_.mean)
        if X.ndim != 2 or X.shape[1] != width:
            raise ValueError(f"this Regressor was fitted on inputs (n, {width}), got {X.shape}")
        return X
