"""Which class does a row belong to? One classifier that models the boundary, and one that models the classes."""

from __future__ import annotations

import math
import warnings
from dataclasses import KW_ONLY
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from .. import kernels
from .._support.arguments import (
    ArrayKind,
    Count,
    Fitted,
    Kind,
    NotNegative,
    Positive,
    Rng,
    Rows,
    as_python,
    checked,
    is_number,
    settings,
)
from .._support.arrays import as_floats, as_matrix
from .._support.cholesky import factored
from .gaussians import LikeMeans, as_matrices, centred, draw, e_step, precision_factors

PenaltyInverse = Annotated[
    float, Kind("a positive number, or inf for no penalty", lambda C: is_number(C) and C > 0, as_python)
]
LikeCoefficients = Annotated[Any, ArrayKind(as_matrix, lambda model: model.coef_.shape[1])]  # rows of as many features


@settings
class LogisticRegression(Fitted):
    """p(class | x) = softmax(W x + b), the weights by maximum likelihood with an L2 penalty.

    Minimises sum_n -log p(y_n | x_n) + |W|^2 / (2 C); the intercepts b are free, and C = inf takes the penalty away.
    Newton's method, that is iteratively reweighted least squares (Bishop, 2006, 4.3.3 and 4.3.4), each step halved
    until the loss falls enough, so that classes which a line separates do no harm. It solves equations of K (d + 1)
    unknowns for K classes, for two of d + 1, and ends when no component of the gradient per row exceeds `tol`, with
    features in units of their SD, or after `max_iter` steps, with a warning.

    After `fit`: `classes_` (K,) in order; `coef_` (K, d) and `intercept_` (K,), which sum to 0 over classes. Two
    classes have one row: `coef_` (1, d) and `intercept_` (1,), the log-odds of the second. `n_iter_` counts the steps;
    `converged_` says whether they came to the minimum, or as near as rounding allows.
    """

    C: PenaltyInverse = 1.0
    _: KW_ONLY
    tol: Positive = 1e-10
    max_iter: Count = 100

    learned = "classes_"
    taught_by = "fit(X, y)"

    @checked
    def fit(self, X: Rows, y: Any) -> LogisticRegression:
        """Learn from X (n, d) and labels y (n,), numbers or strings of two or more classes; returns the classifier.

        Labels are whole numbers, also as floats, or strings. Raises ValueError for numbers that are not whole, which
        are no classes but targets of a regression.
        """
        classes, labels = classes_of(y, len(X), "LogisticRegression.fit()")
        if len(classes) < 2:
            raise ValueError(
                f"LogisticRegression.fit() got the single class {classes.tolist()[0]!r}; "
                "expected rows of two classes or more"
            )
        points, centre = centred(X, "LogisticRegression.fit()")
        constant = ~points.any(axis=0)
        sd = np.where(constant, 1.0, points.std(axis=0))
        # A column of ones for the intercept. Weights in units of 1/SD are penalised as those in data units would be.
        unit = np.column_stack([points / sd, np.ones(len(X))])
        with np.errstate(over="ignore"):
            penalty = np.append(np.square(1 / sd / math.sqrt(self.C)), 0.0)
        pressed = constant | ~np.isfinite(penalty[:-1])  # to weights of 0
        unit[:, :-1][:, pressed] = 0.0
        penalty[:-1][pressed] = 1.0
        targets = np.eye(len(classes))[labels]
        if len(classes) == 2:
            targets = targets[:, 1:]
        weights, self.n_iter_, self.converged_ = newton(unit, targets, penalty, self.tol, self.max_iter)
        if len(classes) > 2:
            weights = weights - weights.mean(axis=0)
        self.coef_ = weights[:, :-1] / sd
        self.intercept_ = weights[:, -1] - self.coef_ @ centre
        self.classes_ = classes
        if not self.converged_:
            warnings.warn(
                f"LogisticRegression.fit() has not converged in max_iter={self.max_iter} steps; take more of them, "
                f"or a larger tol than {self.tol:g}",
                stacklevel=3,
            )
        return self

    @checked
    def decision_function(self, X: LikeCoefficients) -> np.ndarray:
        """Logits W x + b (n, K) at each row of X (n, d); for two classes the log-odds of the second, (n,)."""
        logits = self._logits(X)
        return logits[:, 0] if len(self.classes_) == 2 else logits

    @checked
    def predict_proba(self, X: LikeCoefficients) -> np.ndarray:
        """Probability of each class, in the order of `classes_`, at each row of X (n, d): (n, K)."""
        logits = self._logits(X)
        return np.exp(_log_softmax(logits))

    @checked
    def predict(self, X: LikeCoefficients) -> np.ndarray:
        """The most probable class at each row of X (n, d): (n,)."""
        best = _all_logits(self._logits(X)).argmax(axis=1)
        return self.classes_[best]

    def _logits(self, X):
        return X @ self.coef_.T + self.intercept_


class Minimum(NamedTuple):
    """What Newton's method found: `weights` (m, d + 1), in how many steps, and whether it came to the minimum."""

    weights: np.ndarray
    steps: int
    converged: bool


def newton(X: np.ndarray, targets: np.ndarray, penalty: np.ndarray, tol: float, max_iter: int) -> Minimum:
    """The weights that minimise the penalised loss for targets (n, m), m = 1 for two classes."""
    n, m = targets.shape
    weights = np.zeros((m, X.shape[1]))
    loss, p = _loss(weights, X, targets, penalty)
    for step in range(max_iter + 1):
        gradient = (p - targets).T @ X + penalty * weights
        if np.abs(gradient).max() <= tol * n:
            return Minimum(weights, step, True)
        if step == max_iter:
            break
        direction = -_solve(_curvature(X, p, penalty), gradient.ravel()).reshape(weights.shape)
        slope = np.sum(direction * gradient)
        rounding = 1e-14 * abs(loss)  # below it the gradient still tells the way, and the loss no longer does
        size = 1.0
        while True:
            candidate = weights + size * direction
            lower, p_there = _loss(candidate, X, targets, penalty)
            if lower <= loss + 1e-4 * size * slope + rounding:
                break
            size /= 2
            if size < 1e-10:
                return Minimum(weights, step, True)
        weights, loss, p = candidate, lower, p_there
    return Minimum(weights, max_iter, False)


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

    A ridge above the rounding of its eigenvalues settles what the equations leave open: a shift of all intercepts,
    features that depend on each other, and saturated probabilities.
    """
    scale = np.sqrt(np.maximum(np.diagonal(matrix), np.finfo(float).tiny))
    unit = matrix / scale / scale[:, None]
    least = max(1e-13, 10 * len(unit) * np.finfo(float).eps)
    for ridge in least * 10.0 ** np.arange(13):
        try:
            lower = np.linalg.cholesky(unit + ridge * np.eye(len(unit)))
        except np.linalg.LinAlgError:
            continue
        return np.linalg.solve(lower.T, np.linalg.solve(lower, vector / scale)) / scale
    return vector


@settings
class GaussianDiscriminant(Fitted):
    """A Gaussian for each class and Bayes' rule: p(c | x) is proportional to pi_c N(x | mu_c, Sigma_c).

    With `covariance="shared"` the boundaries are planes (linear discriminant analysis), with "own" quadrics (Hastie,
    Tibshirani and Friedman, 2009, 4.3). Covariances are those of maximum likelihood, divided by n and not by n - 1;
    the shared one is the classes' own ones averaged by the priors. `priors` (K,) in the order of the sorted classes
    replace their shares in the training data; `reg_covar` is added to the variances.

    After `fit`: `classes_`, `priors_` (K,), `means_` (K, d), `covariances_` (d, d) if shared and (K, d, d) if not.
    """

    covariance: Literal["shared", "own"] = "shared"
    _: KW_ONLY
    priors: Any = None
    reg_covar: NotNegative = 0.0

    learned = "classes_"
    taught_by = "fit(X, y)"

    @checked
    def fit(self, X: Rows, y: Any) -> GaussianDiscriminant:
        """Learn from X (n, d) and labels y (n,), whole numbers or strings; returns the classifier.

        Raises ValueError where a covariance matrix has no inverse: where a feature keeps, of its variance, less than
        500 eps that the other features do not explain. For labels see `LogisticRegression.fit`.
        """
        classes, labels = classes_of(y, len(X), "GaussianDiscriminant.fit()")
        centred(X, "GaussianDiscriminant.fit()")  # or an error that says why not
        priors = np.bincount(labels) / len(X) if self.priors is None else self._given_priors(len(classes))
        groups = [_centred_group(X[labels == c]) for c in range(len(classes))]
        own = np.stack([points.T @ points / len(points) for points, _ in groups])
        covariances = np.tensordot(priors, own, 1) if self.covariance == "shared" else own
        covariances = covariances + self.reg_covar * np.eye(X.shape[1])
        self._factors = precision_factors(covariances)
        self.priors_ = priors
        self.means_ = np.stack([mean for _, mean in groups])
        self.covariances_ = covariances
        self.classes_ = classes
        return self

    @checked
    def predict_proba(self, X: LikeMeans) -> np.ndarray:
        """Probability of each class, in the order of `classes_`, at each row of X (n, d): (n, K)."""
        return self._e_step(X)[0].T.copy()

    @checked
    def predict(self, X: LikeMeans) -> np.ndarray:
        """The most probable class at each row of X (n, d): (n,)."""
        best = self._e_step(X)[0].argmax(axis=0)
        return self.classes_[best]

    @checked
    def log_prob(self, X: LikeMeans) -> np.ndarray:
        """Log-density log p(x) of all classes together at each row of X (n, d): (n,)."""
        return self._e_step(X)[1]

    score_samples = log_prob  # as scikit-learn calls it

    def sample(self, n: int, rng: np.random.Generator, label: Any = None) -> np.ndarray:
        """n draws (n, d), all of the class `label`, or of classes drawn by their priors."""
        return self.sample_with_labels(n, rng, label)[0]

    @checked
    def sample_with_labels(self, n: Count, rng: Rng, label: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """n draws (n, d) and their classes (n,): all of the class `label`, or of classes drawn by their priors."""
        self._check_fitted()
        if label is None:
            labels = rng.choice(len(self.classes_), size=n, p=self.priors_)
        else:
            labels = self._positions(np.full(n, label), "GaussianDiscriminant.sample()")
        return draw(labels, self.means_, self._matrices(), rng), self.classes_[labels]

    @checked
    def fill_in(self, X: Any, y: Any = None, rng: Rng | None = None) -> np.ndarray:
        """X (n, d) with each NaN, or missing value of a table, replaced by its mean given the rest of its row; with
        `rng`, by a draw.

        Given class c the missing part of a Gaussian has mean mu_m + Sigma_mo Sigma_oo^-1 (x_o - mu_o), Bishop (2.81).
        Where classes y (n,) are not given, the means are averaged by the classes' probabilities given the observed
        part, and a draw picks its class by them.
        """
        self._check_fitted()
        filled = _with_gaps(X)
        missing = np.isnan(filled)
        as_matrix(np.where(missing, 0.0, filled), "X", "GaussianDiscriminant.fill_in()", self.means_.shape[1])
        known = None
        if y is not None:
            labels = as_labels(y, len(filled), "GaussianDiscriminant.fill_in()")
            known = self._positions(labels, "GaussianDiscriminant.fill_in()")
        for pattern in np.unique(missing, axis=0):
            if pattern.any():
                chosen = np.flatnonzero((missing == pattern).all(axis=1))
                classes = None if known is None else known[chosen]
                filled[np.ix_(chosen, pattern)] = self._missing(filled[chosen][:, ~pattern], pattern, classes, rng)
        return filled

    def _missing(self, observed, pattern, labels, rng):
        """The missing features (n, m) of rows that lack the same ones, from the observed features (n, d - m)."""
        order = np.concatenate([np.flatnonzero(~pattern), np.flatnonzero(pattern)])
        o, (n, classes) = observed.shape[1], (len(observed), len(self.classes_))
        means = self.means_[:, order]
        # Of features in this order Sigma = L L^T has blocks L_oo, L_mo, L_mm, with Sigma_mo Sigma_oo^-1 = L_mo L_oo^-1
        # and L_mm L_mm^T the conditional covariance: nothing is subtracted, so it stays positive. The first block of
        # L^-1 is L_oo^-1.
        lower, inverse = factored(self._matrices()[:, order][:, :, order])
        if labels is not None:
            share = np.eye(classes)[labels]
        elif o == 0:
            share = np.tile(self.priors_, (n, 1))
        else:
            factors = np.swapaxes(inverse[:, :o, :o], 1, 2)
            share = e_step(np.ascontiguousarray(observed.T), self.priors_, means[:, :o], factors, "full")[0].T
        if rng is not None:
            picks = np.minimum((share.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), classes - 1)
            share = np.eye(classes)[picks]
        out = np.zeros((n, len(order) - o))
        for c in range(classes):
            z = inverse[c, :o, :o] @ (observed - means[c, :o]).T
            out += share[:, [c]] * (means[c, o:] + z.T @ lower[c, o:, :o].T)
        if rng is not None:
            out += np.einsum("nij,nj->ni", lower[picks][:, o:, o:], rng.standard_normal(out.shape))
        return out

    def _e_step(self, X):
        return e_step(np.ascontiguousarray(X.T), self.priors_, self.means_, self._factors, "full")

    def _matrices(self):
        return as_matrices(self.covariances_, "full", *self.means_.shape)

    def _given_priors(self, k):
        priors = as_floats(self.priors, "priors", "GaussianDiscriminant")
        if priors.shape != (k,) or not (priors >= 0).all() or not abs(priors.sum() - 1) <= 1e-6:
            raise ValueError(
                f"GaussianDiscriminant got priors={self.priors!r}; expected {k} shares, one a class, that sum to 1"
            )
        return priors / priors.sum()

    def _positions(self, labels, caller):
        """Where each label stands in `classes_`."""
        unknown = [label for label in np.unique(labels).tolist() if label not in self.classes_]
        if unknown:
            raise ValueError(f"{caller} got the class {unknown[0]!r}; the classes learned are {self.classes_.tolist()}")
        return np.searchsorted(self.classes_, labels)


def _centred_group(X):
    """The rows of one class less their mean, and that mean; of a constant feature exactly 0."""
    away = X - X[0]
    middle = away.mean(axis=0)
    return away - middle, X[0] + middle


def _with_gaps(X) -> np.ndarray:
    """A copy of X as floats, with NaN for what is missing."""
    if hasattr(X, "node") and hasattr(X, "data"):  # a tensor
        X = X.data
    array = np.ma.filled(np.ma.asarray(X, np.float64), np.nan) if np.ma.isMaskedArray(X) else np.asarray(X)
    if array.dtype.kind == "O":
        gaps = [value is None or type(value).__name__ in ("NAType", "NaTType") for value in array.flat]
        array = np.where(np.reshape(gaps, array.shape), np.nan, array)
    if array.dtype.kind not in "fiubO":
        raise TypeError(
            f"GaussianDiscriminant.fill_in() got X of type {array.dtype}; expected real numbers: write NaN for gaps"
        )
    return np.array(as_floats(array, "X", "GaussianDiscriminant.fill_in()"))


def as_labels(y: Any, n: int, caller: str) -> np.ndarray:
    """Labels (n,) as an array of whole numbers, booleans or strings; raises for what is no class."""
    if np.ma.is_masked(y):
        raise ValueError(f"{caller} got {np.ma.count_masked(y)} masked label(s); leave out the rows without a label")
    if hasattr(y, "node") and hasattr(y, "data"):  # a tensor
        y = y.data
    y = np.asarray(y)
    if y.shape != (n,):
        raise ValueError(f"{caller} got y of shape {y.shape} for {n} rows of X; expected one label a row, ({n},)")
    if y.dtype.kind not in "biufUST":
        y = _from_objects(y.tolist(), caller)
    if y.dtype.kind == "f":
        _check_whole(y, caller)
    return y


def _from_objects(labels: list, caller: str) -> np.ndarray:
    """An array of the kind that these labels are of."""
    missing = sum(label is None or type(label).__name__ in ("NAType", "NaTType") for label in labels)
    if missing:
        raise ValueError(f"{caller} got {missing} missing label(s); leave out the rows without a label")
    numbers = [is_number(label) or isinstance(label, (bool, np.bool_)) for label in labels]
    if not all(numbers) and not all(isinstance(label, str) for label in labels):
        kinds = ", ".join(sorted({type(label).__name__ for label in labels}))
        raise TypeError(f"{caller} got labels of type {kinds}; expected numbers or strings alone")
    return np.array(labels)


def _check_whole(y: np.ndarray, caller: str) -> None:
    """Raise ValueError unless these floats are whole numbers."""
    if not np.isfinite(y).all():
        raise ValueError(f"{caller} got labels that are NaN or infinite; leave out the rows without a label")
    odd = y[y != np.floor(y)]
    if odd.size:
        raise ValueError(
            f"{caller} got continuous labels, such as {odd[0]}; expected classes, that is whole numbers or strings: "
            "for targets on a scale use a Regressor, or put them into classes, for example by y > threshold"
        )


def classes_of(y: Any, n: int, caller: str) -> tuple[np.ndarray, np.ndarray]:
    """The classes in order, and the position in them (n,) of each label."""
    return np.unique(as_labels(y, n, caller), return_inverse=True)
