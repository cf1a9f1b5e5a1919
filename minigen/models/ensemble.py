"""Several networks that learned the same thing from different starts: where they disagree, they do not know."""

from __future__ import annotations

import copy
import math
from typing import Annotated, Any

import numpy as np

from .._support.arguments import Count, Fitted, Rng, checked, instance_of, settings
from .regressor import Regressor


@settings
class Ensemble(Fitted):
    """`members` copies of a regressor, each with its own initial weights and minibatches.

    What they disagree about is what the data do not settle (Lakshminarayanan et al., 2017).

    After `fit`: `members_`, the list of fitted regressors.
    """

    learned = "members_"
    taught_by = "fit(X, Y, rng=...)"

    regressor: Annotated[Regressor, instance_of(Regressor, "to copy")]
    members: Count = 5

    @checked
    def fit(self, X: Any, Y: Any, *, rng: Rng, progress: bool | None = None) -> Ensemble:
        """Fit every member on all of X (n, d_in), Y (n, d_out); returns the ensemble.

        Ctrl-C ends the member under way and begins no more.
        """
        fitted: list[Regressor] = []
        for child in rng.spawn(self.members):
            fitted.append(copy.deepcopy(self.regressor).fit(X, Y, rng=child, progress=progress))
            if fitted[-1].history_.stopped == "interrupt":
                break
        self.members_ = fitted
        return self

    def predict(self, X: Any, return_sd: bool = False) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Mean (n, d_out) of the equal mixture of the members; with `return_sd` also the mixture's SD.

        The mixture's variance is the members' average variance plus the variance of their means.
        """
        means, sds = self._members(X)
        mean = means.mean(axis=0)
        return (mean, _root_mean_square(np.concatenate([sds, means - mean])) * math.sqrt(2)) if return_sd else mean

    def disagreement(self, X: Any) -> np.ndarray:
        """SD of the members' means at each row of X, (n, d_out): what more data could settle."""
        means, _ = self._members(X)
        return _root_mean_square(means - means.mean(axis=0))

    @checked
    def sample(self, X: Any, rng: Rng) -> np.ndarray:
        """One draw at each row of X, (n, d_out), each from a member chosen at random."""
        means, sds = self._members(X)
        rows = np.arange(means.shape[1])
        chosen = rng.integers(len(self.members_), size=len(rows))
        mean, sd = means[chosen, rows], sds[chosen, rows]
        return mean + sd * rng.standard_normal(mean.shape).astype(mean.dtype)

    def log_prob(self, X: Any, Y: Any) -> np.ndarray:
        """Log-density of each row of Y (n, d_out) under the mixture of the members: (n,)."""
        self._check_fitted()
        each = np.stack([member.log_prob(X, Y) for member in self.members_])
        return np.logaddexp.reduce(each, axis=0) - np.log(len(self.members_))

    def _members(self, X):
        self._check_fitted()
        predictions = [member.predict(X, return_sd=True) for member in self.members_]
        return np.stack([mean for mean, _ in predictions]), np.stack([sd for _, sd in predictions])


def _root_mean_square(x: np.ndarray) -> np.ndarray:
    """Along the first axis, in units of the largest: squares of the numbers themselves could over- or underflow."""
    largest = np.max(np.abs(x), axis=0)
    return largest * np.sqrt(np.mean((x / np.where(largest > 0, largest, 1.0)) ** 2, axis=0))
