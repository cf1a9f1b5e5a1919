"""Regression networks: a point estimate, or a Gaussian whose mean and spread both depend on the input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from .. import nn, ops, optim
from .._support.arguments import (
    ArrayKind,
    Count,
    Fitted,
    Fraction,
    Positive,
    Rng,
    Rows,
    Widths,
    checked,
    settings,
)
from .._support.arrays import as_matrix
from ..tape import Tensor, no_grad
from ..training import Callback, History, fit
from .networks import ActivationName
from .scaling import per_feature


def _as_targets(y: Any, name: str, caller: str, width: int | None = None) -> np.ndarray:
    return as_matrix(y, name, caller, width, column=True)


Targets = Annotated[Any, ArrayKind(_as_targets)]  # (n, d_out), or (n,) for one output
Inputs = Annotated[Any, ArrayKind(as_matrix, lambda model: len(model.x_scale_.mean))]
LikeTargets = Annotated[Any, ArrayKind(_as_targets, lambda model: len(model.y_scale_.mean))]


@settings
class Regressor(Fitted):
    """An MLP from inputs (n, d_in) to targets (n, d_out).

    With `head="point"` it learns the mean by squared error. With `head="gaussian"` it has a mean and a log-variance for
    every output and learns both by maximum likelihood (Nix and Weigend, 1994). There the SD stays above `min_sd`, in
    units of the targets' SD, because the likelihood of data without noise has no maximum. Inputs and targets are
    standardised inside.

    After `fit`: `network_`, `history_`, `x_scale_`, `y_scale_`; a point head also has `sd_`, the root mean square of
    its residuals on the training data (d_out,), so that both heads give a distribution.
    """

    learned = "history_"
    taught_by = "fit(X, Y, rng=...)"

    hidden: Widths = (64, 64)
    activation: ActivationName = "tanh"
    _: KW_ONLY
    head: Literal["point", "gaussian"] = "point"
    dropout: Fraction = 0.0
    min_sd: Positive = 1e-3
    steps: Count = 3000
    batch_size: Count = 128
    lr: Positive = 1e-2

    @checked
    def fit(
        self,
        X: Rows,
        Y: Targets,
        *,
        rng: Rng,
        validation: tuple | None = None,
        patience: Count | None = None,
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
        checkpoint_every: Count = 1000,
        resume: bool = False,
        progress: bool | None = None,
    ) -> Regressor:
        """Learn from inputs X (n, d_in) and targets Y (n, d_out) or (n,); returns the regressor.

        `validation` is such a pair held out; it and all that follows are those of `training.fit`.
        """
        _check_pairs(X, Y, "Regressor.fit()")
        self.x_scale_, self.y_scale_ = per_feature(X), per_feature(Y)
        self.network_ = self._build(X.shape[1], Y.shape[1], rng)
        if validation is not None:
            validation = self._held_out(*validation)
        self.history_ = History()
        x, y = self.x_scale_.to_unit(X), self.y_scale_.to_unit(Y)
        fit(
            self.network_,
            self.loss,
            (x, y),
            model=self,
            rng=rng,
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer=optim.Adam(self.network_, optim.cosine_decay(self.lr, self.steps)),
            validation=validation,
            patience=patience,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            progress=progress,
            label="regressor",
            history=self.history_,
        )
        if self.head == "point":
            with no_grad():
                residuals = y - self.network_(x.astype(np.float32)).data
            self.sd_ = np.sqrt(np.mean(residuals**2, axis=0)) * self.y_scale_.sd
        return self

    @checked
    def predict(self, X: Inputs, return_sd: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Mean of the targets at X, (n, d_out); with `return_sd` also their SD, of the same shape."""
        mean, sd = self._forward(X)
        return (mean, sd) if return_sd else mean

    @checked
    def sample(self, X: Inputs, rng: Rng) -> np.ndarray:
        """One draw of the targets at each row of X: (n, d_out)."""
        mean, sd = self._forward(X)
        return mean + sd * rng.standard_normal(mean.shape).astype(mean.dtype)

    @checked
    def log_prob(self, X: Inputs, Y: LikeTargets) -> np.ndarray:
        """Log-density of each row of Y (n, d_out) given X, summed over outputs: (n,)."""
        _check_pairs(X, Y, "Regressor.log_prob()")
        mean, sd = self._forward(X)
        return -np.sum(0.5 * ((Y - mean) / sd) ** 2 + np.log(sd) + 0.5 * math.log(2 * math.pi), axis=1)

    def loss(self, x: np.ndarray, y: np.ndarray) -> Tensor:
        """Mean over examples and outputs, in scaled data, of the squared error, or of -log p(y | x)."""
        if self.head == "point":
            return ops.mse(self.network_(x), y)
        mean, log_var = self._head(x)
        return ops.gaussian_nll(mean, y, log_var)

    def _build(self, d_in: int, d_out: int, rng) -> nn.Sequential:
        layers: list[nn.Module] = []
        widths = [d_in, *self.hidden]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out, rng=rng), nn.Activation(self.activation)]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout, rng=rng))
        return nn.Sequential(*layers, nn.Linear(widths[-1], d_out * (2 if self.head == "gaussian" else 1), rng=rng))

    def _head(self, x):
        # exp(log_var) = exp(raw) + min_sd^2, in a form that cannot overflow.
        mean, raw = ops.split(self.network_(x), 2, axis=1)
        lowest = 2 * math.log(self.min_sd)
        return mean, ops.softplus(raw - lowest) + lowest

    def _forward(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the targets (n, d_out) at inputs (n, d_in)."""
        x = self.x_scale_.to_unit(X).astype(np.float32)
        with no_grad():
            if self.head == "point":
                mean = self.y_scale_.from_unit(self.network_(x).data)
                return mean, np.tile(self.sd_, (len(mean), 1))
            mean, log_var = self._head(x)
        return self.y_scale_.from_unit(mean.data), np.exp(0.5 * log_var.data) * self.y_scale_.sd

    def _held_out(self, X: Any, Y: Any) -> tuple[np.ndarray, np.ndarray]:
        """A pair to validate on, in scaled data."""
        caller = "Regressor.fit(validation=...)"
        X = as_matrix(X, "X", caller, len(self.x_scale_.mean))
        Y = _as_targets(Y, "Y", caller, len(self.y_scale_.mean))
        _check_pairs(X, Y, caller)
        return self.x_scale_.to_unit(X), self.y_scale_.to_unit(Y)


def _check_pairs(X: np.ndarray, Y: np.ndarray, caller: str) -> None:
    if len(X) != len(Y):
        raise ValueError(f"{caller} got {len(X)} rows of X and {len(Y)} of Y; give a target for each input")
