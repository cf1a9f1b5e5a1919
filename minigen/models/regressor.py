"""Regression networks: a point estimate, or a Gaussian whose mean and spread both depend on the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import check_positive, check_rng, check_size, check_sizes, is_number
from ..tape import no_grad
from ..training import History, fit
from .scaling import per_feature, rows

HEADS = ("point", "gaussian")


class Regressor:
    """An MLP from inputs (n, d_in) to targets (n, d_out).

    With `head="point"` it learns the mean by squared error. With `head="gaussian"` it has a mean and a log-variance for
    every output and learns both by maximum likelihood (Nix and Weigend, 1994). There the SD stays above `min_sd`, in
    units of the targets' SD, because the likelihood of data without noise has no maximum. Inputs and targets are
    standardised inside.

    After `fit`: `network_`, `history_`, `x_scale_`, `y_scale_`; a point head also has `sd_`, the root mean square of
    its residuals on the training data (d_out,), so that both heads give a distribution.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64, 64),
        activation: str = "tanh",
        *,
        head: str = "point",
        dropout: float = 0.0,
        min_sd: float = 1e-3,
        steps: int = 3000,
        batch_size: int = 128,
        lr: float = 1e-2,
    ):
        if head not in HEADS:
            raise ValueError(f"Regressor got head={head!r}; choose one of {', '.join(HEADS)}")
        if not is_number(dropout) or not 0 <= dropout < 1:
            raise ValueError(f"Regressor got dropout={dropout!r}; expected a probability in [0, 1)")
        nn.Activation(activation)  # raises here, and not only in fit(), for a name that is not known
        self.hidden, self.activation = check_sizes(hidden, "hidden", "Regressor"), activation
        self.head, self.dropout, self.min_sd = head, dropout, check_positive(min_sd, "min_sd", "Regressor")
        self.steps = check_size(steps, "steps", "Regressor")
        self.batch_size = check_size(batch_size, "batch_size", "Regressor")
        self.lr = check_positive(lr, "lr", "Regressor")

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
        X, Y = _pair(X, Y, "Regressor.fit()")
        self.x_scale_, self.y_scale_ = per_feature(X), per_feature(Y)
        self.network_ = self._build(X.shape[1], Y.shape[1], rng)
        if validation is not None:
            held_out = _pair(*validation, "Regressor.fit(validation=...)", X.shape[1], Y.shape[1])
            validation = self._unit_pair(*held_out)
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
        if self.head == "point":
            self.sd_ = np.sqrt(np.mean((Y - self._forward(X)[0]) ** 2, axis=0))
        return self

    def predict(self, X, return_sd: bool = False):
        """Mean of the targets at X, (n, d_out); with `return_sd` also their SD, of the same shape."""
        mean, sd = self._forward(rows(X, "X", "Regressor.predict()", self._widths()[0]))
        return (mean, sd) if return_sd else mean

    def sample(self, X, rng: np.random.Generator) -> np.ndarray:
        """One draw of the targets at each row of X: (n, d_out)."""
        check_rng(rng, "Regressor.sample()")
        mean, sd = self.predict(X, return_sd=True)
        return mean + sd * rng.standard_normal(mean.shape).astype(mean.dtype)

    def log_prob(self, X, Y) -> np.ndarray:
        """Log-density of each row of Y (n, d_out) given X, summed over outputs: (n,)."""
        X, Y = _pair(X, Y, "Regressor.log_prob()", *self._widths())
        mean, sd = self._forward(X)
        return -np.sum(0.5 * ((Y - mean) / sd) ** 2 + np.log(sd) + 0.5 * math.log(2 * math.pi), axis=1)

    def _build(self, d_in: int, d_out: int, rng) -> nn.Sequential:
        layers: list[nn.Module] = []
        widths = [d_in, *self.hidden]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out, rng=rng), nn.Activation(self.activation)]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout, rng=rng))
        return nn.Sequential(*layers, nn.Linear(widths[-1], d_out * (2 if self.head == "gaussian" else 1), rng=rng))

    def _loss(self, x, y):
        if self.head == "point":
            return ops.mse(self.network_(x), y)
        mean, log_var = self._head(x)
        return ops.gaussian_nll(mean, y, log_var)

    def _head(self, x):
        # exp(log_var) = exp(raw) + min_sd^2, in a form that cannot overflow.
        mean, raw = ops.split(self.network_(x), 2, axis=1)
        lowest = 2 * math.log(self.min_sd)
        return mean, ops.softplus(raw - lowest) + lowest

    def _forward(self, X):
        x = self.x_scale_.to_unit(X).astype(np.float32)
        with no_grad():
            if self.head == "point":
                mean = self.y_scale_.from_unit(self.network_(x).data)
                return mean, np.tile(self.sd_, (len(mean), 1)) if hasattr(self, "sd_") else None
            mean, log_var = self._head(x)
        return self.y_scale_.from_unit(mean.data), np.exp(0.5 * log_var.data) * self.y_scale_.sd

    def _unit_pair(self, X, Y):
        return self.x_scale_.to_unit(X), self.y_scale_.to_unit(Y)

    def _widths(self) -> tuple[int, int]:
        if not hasattr(self, "history_"):
            raise ValueError("this Regressor has not been fitted yet; call fit(X, Y, rng=...) first")
        return len(self.x_scale_.mean), len(self.y_scale_.mean)


def _pair(X, Y, caller: str, d_in: int | None = None, d_out: int | None = None):
    """Inputs (n, d_in) and targets (n, d_out) as float64; targets (n,) become one column."""
    X = rows(X, "X", caller, d_in)
    Y = rows(Y, "Y", caller, d_out, column=True)
    if len(X) != len(Y):
        raise ValueError(f"{caller} got {len(X)} rows of X and {len(Y)} of Y; give a target for each input")
    return X, Y
