"""Which class does a row belong to? One classifier that models the boundary, and one that models the classes."""

from __future__ import annotations

import numpy as np

from .. import kernels
from .._support.arguments import check_positive, check_rng, check_size, is_number
from .mixture import as_matrices, centre_of, draw, e_step, precision_factors
from .scaling import per_feature, rows

COVARIANCES = ("shared", "own")


class LogisticRegression:
    """p(class | x) = softmax(W x + b), the weights by maximum likelihood with an L2 penalty.

    Minimises sum_n -log p(y_n | x_n) + |W|^2 / (2 C); the intercepts b are free, and C = inf takes the penalty away.
    Newton's method, that is iteratively reweighted least squares (Bishop, 2006, 4.3.3 and 4.3.4), each step halved
    until the loss falls enough, so that classes which a line separates do no harm. It solves equations of K (d + 1)
    unknowns for K classes, for two of d + 1, and ends when no component of the gradient per row exceeds `tol`, with
    features in units of their SD.

    After `fit`: `classes_` (K,) in order; `coef_` (K, d) and `intercept_` (K,), which sum to 0 over classes. Two
    classes have one row: `coef_` (1, d) and `intercept_` (1,), the log-odds of the second. `n_iter_` counts the steps.
    """

    def __init__(self, C: float = 1.0, *, tol: float = 1e-10, max_iter: int = 100):
        if not (is_number(C) and C > 0):
            raise ValueError(f"LogisticRegression got C={C!r}; expected a positive number, the inverse of the penalty")
        self.C = C
        self.tol = check_positive(tol, "tol", "LogisticRegression")
        self.max_iter = check_size(max_iter, "max_iter", "LogisticRegression")

    def fit(self, X, y) -> LogisticRegression:
        """Learn from X (n, d) and labels y (n,), numbers or strings of two or more classes; returns the classifier."""
        X = rows(X, "X", "LogisticRegression.fit()")
        classes, labels = _labels(y, len(X), "LogisticRegression.fit()")
        if len(classes) < 2:
            raise ValueError(
                f"LogisticRegression.fit() got the single class {classes.tolist()[0]!r}; "
                "expected rows of two classes or more"
            )
        centre_of(X, "LogisticRegression.fit()")
        scale = per_feature(X)
        # A column of ones for the intercept. Weights in units of 1/SD are penalised as those in data units would be.
        unit = np.column_stack([scale.to_unit(X), np.ones(len(X))])
        with np.errstate(over="ignore"):
            penalty = np.append(1 / np.square(scale.sd) / self.C, 0.0)
        constant = ~(np.ptp(X, axis=0) > 0) | ~np.isfinite(penalty[:-1])
        unit[:, :-1][:, constant], penalty[:-1][constant] = 0.0, 1.0
        targets = np.eye(len(classes))[labels]
        if len(classes) == 2:
            weights, self.n_iter_ = self._newton(unit, targets[:, 1:], penalty)
        else:
            weights, self.n_iter_ = self._newton(unit, targets, penalty)
            weights -= weights.mean(axis=0)
        self.classes_, self.coef_ = classes, weights[:, :-1] / scale.sd
        self.intercept_ = weights[:, -1] - self.coef_ @ scale.mean
        return self

    def decision_function(self, X) -> np.ndarray:
        """Logits W x + b (n, K) at each row of X (n, d); for two classes the log-odds of the second, (n,)."""
        logits = self._logits(X, "LogisticRegression.decision_function()")
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each class, in the order of `classes_`, at each row of X (n, d): (n, K)."""
        logits = self._logits(X, "LogisticRegression.predict_proba()")
        return np.exp(_log_softmax(logits))

    def predict(self, X) -> np.ndarray:
        """The most probable class at each row of X (n, d): (n,)."""
        best = _all_logits(self._logits(X, "LogisticRegression.predict()")).argmax(axis=1)
        return self.classes_[best]

    def _logits(self, X, caller):
        _check_fitted(self)
        return rows(X, "X", caller, self.coef_.shape[1]) @ self.coef_.T + self.intercept_

    def _newton(self, X, targets, penalty):
        """Weights (m, d + 1) for targets (n, m), m = 1 for two classes; and the number of steps."""
        n, m = targets.shape
        weights = np.zeros((m, X.shape[1]))
        loss, p = _loss(weights, X, targets, penalty)
        for step_number in range(1, self.max_iter + 1):
            gradient = (p - targets).T @ X + penalty * weights
            if np.abs(gradient).max() <= self.tol * n:
                return weights, step_number - 1
            direction = -_solve(_curvature(X, p, penalty), gradient.ravel()).reshape(weights.shape)
            slope = np.sum(direction * gradient)  # negative, or rounding has eaten all that was to gain
            size = 1.0
            while True:
                candidate = weights + size * direction
                lower, p_there = _loss(candidate, X, targets, penalty)
                if lower <= loss + 1e-4 * size * slope:
                    break
                size /= 2
                if size < 1e-10:
                    return weights, step_number - 1
            weights, loss, p = candidate, lower, p_there
        return weights, self.max_iter


def _all_logits(logits):
    """Logits of all classes: for two of them those of the first are 0."""
    return np.column_stack([np.zeros(len(logits)), logits]) if logits.shape[1] == 1 else logits


def _log_softmax(logits):
    return kernels.log_softmax(_all_logits(logits), 1)


def _loss(weights, X, targets, penalty):
    """Penalised negative log-likelihood, and the probabilities (n, m) of the classes that have weights."""
    log_p = _log_softmax(X @ weights.T)
    first = log_p.shape[1] - targets.shape[1]
    fit = np.sum(log_p[:, first:] * targets)
    if first:
        fit += np.sum(log_p[:, 0] * (1 - targets[:, 0]))
    return 0.5 * np.sum(penalty * weights**2) - fit, np.exp(log_p[:, first:])


def _curvature(X, p, penalty):
    """Second derivatives: blocks X^T diag(p_i (1{i = j} - p_j)) X, Bishop (4.97) and (4.110), and the penalty."""
    m, size = p.shape[1], X.shape[1]
    out = np.empty((m, size, m, size))
    for i in range(m):
        for j in range(i + 1):
            weight = p[:, i] * ((1.0 if i == j else 0.0) - p[:, j])
            out[i, :, j] = out[j, :, i] = (X * weight[:, None]).T @ X
        out[i, :, i] += np.diag(penalty)
    return out.reshape(m * size, m * size)


def _solve(matrix, vector):
    """Solution for a symmetric matrix with no negative eigenvalue, its rows and columns first brought to one scale.

    A small ridge settles what the equations leave open: a shift of all intercepts, and saturated probabilities.
    """
    scale = np.sqrt(np.maximum(np.diagonal(matrix), np.finfo(float).tiny))
    unit = matrix / scale / scale[:, None]
    for ridge in 10.0 ** np.arange(-13, 1):
        try:
            lower = np.linalg.cholesky(unit + ridge * np.eye(len(unit)))
        except np.linalg.LinAlgError:
            continue
        return np.linalg.solve(lower.T, np.linalg.solve(lower, vector / scale)) / scale
    return vector


class GaussianDiscriminant:
    """A Gaussian for each class and Bayes' rule: p(c | x) is proportional to pi_c N(x | mu_c, Sigma_c).

    With `covariance="shared"` the boundaries are planes (linear discriminant analysis), with "own" quadrics (Hastie,
    Tibshirani and Friedman, 2009, 4.3). Covariances are those of maximum likelihood, divided by n and not by n - 1;
    the shared one is the classes' own ones averaged by the priors. `priors` (K,) in the order of the sorted classes
    replace their shares in the training data; `reg_covar` is added to the variances.

    After `fit`: `classes_`, `priors_` (K,), `means_` (K, d), `covariances_` (d, d) if shared and (K, d, d) if not.
    """

    def __init__(self, covariance: str = "shared", *, priors=None, reg_covar: float = 0.0):
        if covariance not in COVARIANCES:
            raise ValueError(
                f"GaussianDiscriminant got covariance={covariance!r}; choose one of {', '.join(COVARIANCES)}"
            )
        self.covariance, self.priors = covariance, priors
        self.reg_covar = check_positive(reg_covar, "reg_covar", "GaussianDiscriminant", zero=True)

    def fit(self, X, y) -> GaussianDiscriminant:
        """Learn from X (n, d) and labels y (n,), numbers or strings; returns the classifier.

        Raises ValueError where a covariance matrix has no inverse.
        """
        X = rows(X, "X", "GaussianDiscriminant.fit()")
        classes, labels = _labels(y, len(X), "GaussianDiscriminant.fit()")
        centre_of(X, "GaussianDiscriminant.fit()")
        priors = np.bincount(labels) / len(X) if self.priors is None else self._given_priors(len(classes))
        groups = [X[labels == c] for c in range(len(classes))]
        means = np.stack([group.mean(axis=0) for group in groups])
        own = np.stack([(g - mean).T @ (g - mean) / len(g) for g, mean in zip(groups, means)])
        covariances = np.tensordot(priors, own, 1) if self.covariance == "shared" else own
        covariances = covariances + self.reg_covar * np.eye(X.shape[1])
        self._factors = precision_factors(covariances)
        self.classes_, self.priors_, self.means_, self.covariances_ = classes, priors, means, covariances
        return self

    def predict_proba(self, X) -> np.ndarray:
        """Probability of each class, in the order of `classes_`, at each row of X (n, d): (n, K)."""
        return self._e_step(X, "GaussianDiscriminant.predict_proba()")[0].T.copy()

    def predict(self, X) -> np.ndarray:
        """The most probable class at each row of X (n, d): (n,)."""
        best = self._e_step(X, "GaussianDiscriminant.predict()")[0].argmax(axis=0)
        return self.classes_[best]

    def score_samples(self, X) -> np.ndarray:
        """Log-density log p(x) of all classes together at each row of X (n, d): (n,)."""
        return self._e_step(X, "GaussianDiscriminant.score_samples()")[1]

    def sample(self, n: int, rng: np.random.Generator, label=None) -> tuple[np.ndarray, np.ndarray]:
        """n draws (n, d) and their classes (n,): all of the class `label`, or of classes drawn by their priors."""
        check_rng(rng, "GaussianDiscriminant.sample()")
        n = check_size(n, "n", "GaussianDiscriminant.sample()")
        _check_fitted(self)
        if label is None:
            labels = rng.choice(len(self.classes_), size=n, p=self.priors_)
        else:
            labels = self._positions(np.full(n, label), "GaussianDiscriminant.sample()")
        return draw(rng, labels, self.means_, self._matrices()), self.classes_[labels]

    def fill_in(self, X, y=None, rng: np.random.Generator | None = None) -> np.ndarray:
        """X (n, d) with each NaN replaced by its mean given the rest of its row; with `rng`, by a draw.

        Given class c the missing part of a Gaussian has mean mu_m + Sigma_mo Sigma_oo^-1 (x_o - mu_o), Bishop (2.81).
        Where classes y (n,) are not given, the means are averaged by the classes' probabilities given the observed
        part, and a draw picks its class by them.
        """
        _check_fitted(self)
        if rng is not None:
            check_rng(rng, "GaussianDiscriminant.fill_in()")
        try:
            filled = np.array(X, np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                "GaussianDiscriminant.fill_in() got X that is no array of numbers; write NaN for gaps"
            ) from None
        missing = np.isnan(filled)
        filled = rows(np.where(missing, 0.0, filled), "X", "GaussianDiscriminant.fill_in()", self.means_.shape[1])
        known = None
        if y is not None:
            labels = _label_array(y, len(filled), "GaussianDiscriminant.fill_in()")
            known = self._positions(labels, "GaussianDiscriminant.fill_in()")
        for pattern in np.unique(missing, axis=0):
            if pattern.any():
                chosen = np.flatnonzero((missing == pattern).all(axis=1))
                labels = None if known is None else known[chosen]
                filled[np.ix_(chosen, pattern)] = self._missing(filled[chosen][:, ~pattern], pattern, labels, rng)
        return filled

    def _missing(self, observed, pattern, labels, rng):
        """The missing features (n, m) of rows that lack the same ones, from the observed features (n, d - m)."""
        order = np.concatenate([np.flatnonzero(~pattern), np.flatnonzero(pattern)])
        o, (n, classes) = observed.shape[1], (len(observed), len(self.classes_))
        means = self.means_[:, order]
        # Of features in this order Sigma = L L^T has blocks L_oo, L_mo, L_mm, with Sigma_mo Sigma_oo^-1 = L_mo L_oo^-1
        # and L_mm L_mm^T the conditional covariance: nothing is subtracted, so it stays positive.
        lower = np.linalg.cholesky(self._matrices()[:, order][:, :, order])
        if labels is not None:
            share = np.eye(classes)[labels]
        elif o == 0:
            share = np.tile(self.priors_, (n, 1))
        else:
            factors = precision_factors(lower[:, :o, :o] @ np.swapaxes(lower[:, :o, :o], 1, 2))
            share = e_step(np.ascontiguousarray(observed.T), self.priors_, means[:, :o], factors, "full")[0].T
        if rng is not None:
            picks = np.minimum((share.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), classes - 1)
            share = np.eye(classes)[picks]
        out = np.zeros((n, len(order) - o))
        for c in range(classes):
            z = np.linalg.solve(lower[c, :o, :o], (observed - means[c, :o]).T)
            out += share[:, [c]] * (means[c, o:] + z.T @ lower[c, o:, :o].T)
        if rng is not None:
            out += np.einsum("nij,nj->ni", lower[picks][:, o:, o:], rng.standard_normal(out.shape))
        return out

    def _e_step(self, X, caller):
        _check_fitted(self)
        X = np.ascontiguousarray(rows(X, "X", caller, self.means_.shape[1]).T)
        return e_step(X, self.priors_, self.means_, self._factors, "full")

    def _matrices(self):
        return as_matrices(self.covariances_, "full", *self.means_.shape)

    def _given_priors(self, k):
        priors = np.asarray(self.priors)
        if priors.shape != (k,) or priors.dtype.kind not in "fiu" or (priors < 0).any() or abs(priors.sum() - 1) > 1e-6:
            raise ValueError(
                f"GaussianDiscriminant got priors={self.priors!r}; expected {k} shares, one a class, that sum to 1"
            )
        return priors / priors.sum()

    def _positions(self, labels, caller):
        """Where each label stands in `classes_`."""
        unknown = [label for label in np.unique(labels) if label not in self.classes_]
        if unknown:
            raise ValueError(f"{caller} got the class {unknown[0]!r}; the classes learned are {self.classes_.tolist()}")
        return np.searchsorted(self.classes_, labels)


def _label_array(y, n, caller):
    y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(f"{caller} got y of shape {y.shape} for {n} rows of X; expected one label a row, ({n},)")
    if y.dtype.kind not in "biufUS":
        kinds = {type(label).__name__ for label in y}
        if kinds != {"str"}:
            raise TypeError(
                f"{caller} got labels of type {', '.join(sorted(kinds))}; expected numbers or strings alone"
            )
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{caller} got labels that are NaN or infinite; leave out the rows without a label")
    return y


def _labels(y, n, caller):
    """The classes in order, and the position in them (n,) of each label."""
    return np.unique(_label_array(y, n, caller), return_inverse=True)


def _check_fitted(model):
    if not hasattr(model, "classes_"):
        raise ValueError(f"this {type(model).__name__} has not been fitted yet; call fit(X, y) first")
