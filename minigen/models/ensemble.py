"""Several networks that learned the same thing from different starts: where they disagree, they do not know."""

from __future__ import annotations

import copy

import numpy as np

from .._support.arguments import check_rng, check_size
from .regressor import Regressor


class Ensemble:
    """`members` copies of a regressor, each with its own initial weights and minibatches.

    What they disagree about is what the data do not settle (Lakshminarayanan et al., 2017).

    After `fit`: `members_`, the list of fitted regressors.
    """

    def __init__(self, regressor: Regressor, members: int = 5):
        if not isinstance(regressor, Regressor):
            raise TypeError(f"Ensemble got a {type(regressor).__name__}; expected a Regressor to copy")
        self.regressor, self.members = regressor, check_size(members, "members", "Ensemble")

    def fit(self, X, Y, *, rng: np.random.Generator, progress: bool | None = None) -> Ensemble:
        """Fit every member on all of X (n, d_in), Y (n, d_out); returns the ensemble.

        Ctrl-C ends the member under way and begins no more.
        """
        check_rng(rng, "Ensemble.fit()")
        fitted: list[Regressor] = []
        for child in rng.spawn(self.members):
            fitted.append(copy.deepcopy(self.regressor).fit(X, Y, rng=child, progress=progress))
            if fitted[-1].history_.stopped == "interrupt":
                break
        self.members_ = fitted
        return self

    def predict(self, X, return_sd: bool = False):
        """Mean (n, d_out) of the equal mixture of the members; with `return_sd` also the mixture's SD.

        The mixture's variance is the members' average variance plus the variance of their means.
        """
        means, sds = self._members(X)
        mean = means.mean(axis=0)
        return (mean, np.sqrt((sds**2).mean(axis=0) + means.var(axis=0))) if return_sd else mean

    def disagreement(self, X) -> np.ndarray:
        """SD of the members' means at each row of X, (n, d_out): what more data could settle."""
        return self._members(X)[0].std(axis=0)

    def sample(self, X, rng: np.random.Generator) -> np.ndarray:
        """One draw at each row of X, (n, d_out), each from a member chosen at random."""
        check_rng(rng, "Ensemble.sample()")
        means, sds = self._members(X)
        rows = np.arange(means.shape[1])
        chosen = rng.integers(len(self.members_), size=len(rows))
        mean, sd = means[chosen, rows], sds[chosen, rows]
        return mean + sd * rng.standard_normal(mean.shape).astype(mean.dtype)

    def log_prob(self, X, Y) -> np.ndarray:
        """Log-density of each row of Y (n, d_out) under the mixture of the members: (n,)."""
        self._check_fitted()
        each = np.stack([member.log_prob(X, Y) for member in self.members_])
        return np.logaddexp.reduce(each, axis=0) - np.log(len(self.members_))

    def _members(self, X):
        self._check_fitted()
        predictions = [member.predict(X, return_sd=True) for member in self.members_]
        return np.stack([mean for mean, _ in predictions]), np.stack([sd for _, sd in predictions])

    def _check_fitted(self):
        if not hasattr(self, "members_"):
            raise ValueError("this Ensemble has not been fitted yet; call fit(X, Y, rng=...) first")
