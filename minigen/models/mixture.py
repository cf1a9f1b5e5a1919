"""Which bell curves, and how many points in each, explain the data? Gaussian mixtures by expectation maximisation."""

from __future__ import annotations

import math

import numpy as np

from .. import kernels
from .._support.arguments import check_positive, check_rng, check_size
from .scaling import rows

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
STARTS = ("k_means", "random")


class GaussianMixture:
    """A sum of `n_components` Gaussians, p(x) = sum_k pi_k N(x | mu_k, Sigma_k), fitted by EM (Bishop, 2006, ch. 9).

    `covariance_type` says what the covariances of k components in d features may be: "full" (k, d, d), one "tied"
    matrix for all (d, d), "diag" (k, d) or "spherical" (k,). After every M-step `reg_covar` is added to the variances.
    That is not quite the step EM asks for, and where a component collapses the likelihood can fall by it; from the
    first such fall on, the run takes the step that is: eigenvalues below `reg_covar` are raised to it.

    EM starts with `init="k_means"` from the clusters that k-means finds; with "random" from k different points of the
    data as means, equal weights, and the covariance of all points for each; or from `weights_init` (k,), `means_init`
    (k, d) and `precisions_init` (inverse covariances, in the shape of `covariance_type`), as far as they are given. It
    ends when the mean log-likelihood changes by less than `tol`, or after `max_iter` steps; the best of `n_init` starts
    stays.

    After `fit`: `weights_` (k,), `means_` (k, d), `covariances_`, `precisions_cholesky_` (upper triangular U with
    Lambda = U U^T; inverse SDs for "diag" and "spherical"), `n_iter_`, `converged_`, `lower_bounds_` (the mean
    log-likelihood found by each E-step) and `lower_bound_`, the last of them.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        init: str = "k_means",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        weights_init=None,
        means_init=None,
        precisions_init=None,
    ):
        if covariance_type not in COVARIANCE_TYPES:
            raise ValueError(
                f"GaussianMixture got covariance_type={covariance_type!r}; choose one of {', '.join(COVARIANCE_TYPES)}"
            )
        if init not in STARTS:
            raise ValueError(f"GaussianMixture got init={init!r}; choose one of {', '.join(STARTS)}")
        self.n_components = check_size(n_components, "n_components", "GaussianMixture")
        self.covariance_type, self.init = covariance_type, init
        self.tol = check_positive(tol, "tol", "GaussianMixture", zero=True)
        self.reg_covar = check_positive(reg_covar, "reg_covar", "GaussianMixture", zero=True)
        self.max_iter = check_size(max_iter, "max_iter", "GaussianMixture")
        self.n_init = check_size(n_init, "n_init", "GaussianMixture")
        self.weights_init, self.means_init, self.precisions_init = weights_init, means_init, precisions_init

    def fit(self, X, *, rng: np.random.Generator) -> GaussianMixture:
        """Learn from X (n, d) with n of at least `n_components`; returns the mixture.

        Raises ValueError where a covariance matrix has no inverse, which only a `reg_covar` too small allows.
        """
        check_rng(rng, "GaussianMixture.fit()")
        X = rows(X, "X", "GaussianMixture.fit()")
        if len(X) < self.n_components:
            raise ValueError(
                f"GaussianMixture.fit() got {len(X)} point(s) for {self.n_components} components; give at least one "
                f"point for each, or n_components={len(X)}"
            )
        centre = centre_of(X, "GaussianMixture.fit()")
        points = np.ascontiguousarray((X - centre).T)
        given = self._given(X.shape[1], centre)
        best = None
        for _ in range(self.n_init):
            run = _Run(self, points, self._start(points, given, rng))
            if best is None or run.bounds[-1] > best.bounds[-1]:
                best = run
        self.weights_, self.means_, self.covariances_, self.precisions_cholesky_ = best.parameters
        self.means_ = self.means_ + centre
        self.lower_bounds_, self.lower_bound_ = best.bounds, best.bounds[-1]
        self.n_iter_, self.converged_ = len(best.bounds), best.converged
        return self

    def score_samples(self, X) -> np.ndarray:
        """Log-density log p(x) at each row of X (n, d): (n,)."""
        return self._e_step(X, "GaussianMixture.score_samples()")[1]

    def predict_proba(self, X) -> np.ndarray:
        """Responsibilities p(k | x) of the components for each row of X: (n, k)."""
        return self._e_step(X, "GaussianMixture.predict_proba()")[0].T.copy()

    def predict(self, X) -> np.ndarray:
        """The most probable component for each row of X: (n,)."""
        return self._e_step(X, "GaussianMixture.predict()")[0].argmax(axis=0)

    def sample(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """n independent draws (n, d), and the component (n,) that each came from."""
        check_rng(rng, "GaussianMixture.sample()")
        n = check_size(n, "n", "GaussianMixture.sample()")
        self._check_fitted()
        k, d = self.means_.shape
        labels = rng.choice(k, size=n, p=self.weights_)
        return draw(rng, labels, self.means_, as_matrices(self.covariances_, self.covariance_type, k, d)), labels

    def bic(self, X) -> float:
        """Bayesian information criterion on X, p log n - 2 log L with p free parameters; lower is better."""
        log_prob = self.score_samples(X)
        return float(self._n_parameters() * math.log(len(log_prob)) - 2 * log_prob.sum())

    def aic(self, X) -> float:
        """Akaike information criterion on X, 2 p - 2 log L with p free parameters; lower is better."""
        return float(2 * self._n_parameters() - 2 * self.score_samples(X).sum())

    def _n_parameters(self) -> int:
        k, d = self.means_.shape
        shape = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}
        return shape[self.covariance_type] + k * d + k - 1

    def _e_step(self, X, caller):
        self._check_fitted()
        X = np.ascontiguousarray(rows(X, "X", caller, self.means_.shape[1]).T)
        return e_step(X, self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type)

    def _given(self, d, centre):
        """The start's weights, means and covariances as the user gave them, or None each."""
        k, kind, weights, means, covariances = self.n_components, self.covariance_type, None, None, None
        if self.weights_init is not None:
            weights = _start_array(self.weights_init, "weights_init", (k,))
            if (weights < 0).any() or abs(weights.sum() - 1) > 1e-6:
                raise ValueError(
                    f"GaussianMixture got weights_init={weights}; expected shares, 0 or more, that sum to 1"
                )
        if self.means_init is not None:
            means = _start_array(self.means_init, "means_init", (k, d)) - centre
        if self.precisions_init is not None:
            shape = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]
            precisions = _start_array(self.precisions_init, "precisions_init", shape)
            if kind in ("diag", "spherical"):
                usable = (precisions > 0).all()
            else:
                symmetric = np.allclose(precisions, np.swapaxes(precisions, -1, -2))
                usable = symmetric and (np.linalg.eigvalsh(precisions) > 0).all()
            if not usable:
                raise ValueError(
                    "GaussianMixture got precisions_init that are no inverse covariances; expected positive numbers, "
                    "or symmetric matrices with positive eigenvalues"
                )
            covariances = 1 / precisions if kind in ("diag", "spherical") else np.linalg.inv(precisions)
        return weights, means, covariances

    def _start(self, points, given, rng):
        """Parameters to start from: what is given, and the rest from the clusters of k-means or from random points."""
        weights, means, covariances = given
        k, kind = self.n_components, self.covariance_type
        if weights is None or means is None or covariances is None:
            whole = covariances_of(points, np.zeros((1, len(points))), np.ones((1, points.shape[1])), kind)
            whole = floored(whole / points.shape[1], kind, self.reg_covar, False)
            whole = whole if kind == "tied" else np.repeat(whole, k, axis=0)
            if self.init == "random":
                found = np.full(k, 1 / k), random_points(points.T, k, rng), whole
            else:
                centres, labels = k_means(points.T, k, rng)
                resp = np.zeros((k, points.shape[1]))
                resp[labels, np.arange(len(labels))] = 1.0
                # A cluster without points is left with its centre, and the scatter of all points.
                found = m_step(points, resp, (None, centres, whole), kind, self.reg_covar, False)
            weights = found[0] if weights is None else weights
            means = found[1] if means is None else means
            covariances = found[2] if covariances is None else covariances
        return weights, means, covariances, precision_factors(covariances, kind)

    def _check_fitted(self):
        if not hasattr(self, "weights_"):
            raise ValueError("this GaussianMixture has not been fitted yet; call fit(X, rng=...) first")


class _Run:
    """EM from one start: `parameters` (weights, means, covariances, factors), `bounds`, `converged`."""

    def __init__(self, mixture: GaussianMixture, points, start):
        self.points, self.kind, self.reg_covar = points, mixture.covariance_type, mixture.reg_covar
        self.resp = np.empty((mixture.n_components, points.shape[1]))
        self.log_prob = np.empty(points.shape[1])
        self.parameters, self.previous, self.bounds, self.converged = start, None, [], False
        self.raises = False  # whether variances are raised to the floor, instead of the floor added to them
        # Covariances handed in may lie below the floor; the first step lifts them, and no likelihood is compared.
        self.exempt = 1 if mixture.precisions_init is not None else 0
        for _ in range(mixture.max_iter):
            bound = self._checked_e_step()
            if self.converged:
                break
            change = bound - self.bounds[-1] if self.bounds else math.inf
            self.previous, self.parameters = self.parameters, self._m_step()
            self.bounds.append(bound)
            if abs(change) < mixture.tol:
                self.converged = True
                break
        self._checked_e_step()  # the last M-step must not have lost either

    def _checked_e_step(self) -> float:
        """The mean log-likelihood of the parameters; where it fell, those of the safe step take their place."""
        bound = self._e_step(self.parameters)
        if self._fell(bound) and not self.raises:
            self.raises = True
            self._e_step(self.previous)
            self.parameters = self._m_step(self.previous)
            bound = self._e_step(self.parameters)
        if self._fell(bound):  # what is left to gain is below rounding
            self.parameters, self.converged = self.previous, True
        return bound

    def _fell(self, bound) -> bool:
        # Near a maximum the floor makes the likelihood tremble by its square; that is no fall.
        return len(self.bounds) > self.exempt and bound < self.bounds[-1] - 1e-9 * max(1.0, abs(self.bounds[-1]))

    def _e_step(self, parameters) -> float:
        weights, means, _, factors = parameters
        e_step(self.points, weights, means, factors, self.kind, self.resp, self.log_prob)
        return float(self.log_prob.mean())

    def _m_step(self, before=None):
        found = m_step(self.points, self.resp, before or self.parameters, self.kind, self.reg_covar, self.raises)
        return (*found, precision_factors(found[2], self.kind))


# The two steps, on points (d, n) and responsibilities (k, n) ----------------------------------------------------------


def e_step(points, weights, means, factors, kind, resp=None, log_prob=None):
    """Responsibilities (k, n) and log-densities (n,) of points (d, n), Bishop (9.23), in the log domain."""
    k, d = means.shape
    if kind in ("full", "tied"):
        factors = np.ascontiguousarray(np.broadcast_to(factors, (k, d, d)))
        log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    else:
        factors = np.ascontiguousarray(np.broadcast_to(factors.reshape(k, -1), (k, d)))
        log_det = np.log(factors).sum(axis=1)
    with np.errstate(divide="ignore"):  # a component that has lost all its points
        offsets = np.log(weights) + log_det - 0.5 * d * math.log(2 * math.pi)
    resp = np.empty((k, points.shape[1])) if resp is None else resp
    log_prob = np.empty(points.shape[1]) if log_prob is None else log_prob
    kernels.responsibilities(points, np.ascontiguousarray(means), factors, offsets, resp, log_prob)
    return resp, log_prob


def m_step(points, resp, before, kind, reg_covar, raises):
    """Weights, means and covariances that fit the responsibilities, Bishop (9.24) to (9.27), floor included.

    `before` holds the parameters so far; a component without points keeps its mean and covariance.
    """
    n_k = resp.sum(axis=1)
    lost = n_k < 10 * np.finfo(float).eps
    divisor = np.where(lost, 1.0, n_k)
    means = np.where(lost[:, None], before[1], (resp @ points.T) / divisor[:, None])
    scatter = covariances_of(points, means, resp, kind)
    if kind == "tied":
        covariances = floored(scatter / n_k.sum(), kind, reg_covar, raises)
    else:
        shares = divisor.reshape(-1, *[1] * (scatter.ndim - 1))
        covariances = floored(scatter / shares, kind, reg_covar, raises)
        covariances[lost] = before[2][lost]
    return n_k / n_k.sum(), means, covariances


def covariances_of(points, means, resp, kind):
    """Sums of r (x - mu)(x - mu)^T in the shape of the covariances; "spherical" averages over features."""
    k, d = means.shape
    out = np.empty((k, d, d) if kind in ("full", "tied") else (k, d))
    kernels.weighted_scatter(points, np.ascontiguousarray(means), resp, out)
    return {"tied": lambda: out.sum(axis=0), "spherical": lambda: out.mean(axis=1)}.get(kind, lambda: out)()


def floored(covariances, kind, reg_covar, raises):
    """Covariances of this kind with the floor added to the variances, or with `raises`, eigenvalues raised to it.

    Raised ones have the greatest expected likelihood of all that have no eigenvalue below the floor.
    """
    if kind in ("diag", "spherical"):
        return np.maximum(covariances, reg_covar) if raises else covariances + reg_covar
    if not raises:
        return covariances + reg_covar * np.eye(covariances.shape[-1])
    values, vectors = np.linalg.eigh(covariances)
    return (vectors * np.maximum(values, reg_covar)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


# Shapes of Gaussians, shared with the classifiers ---------------------------------------------------------------------


def precision_factors(covariances, kind="full", remedy="reg_covar"):
    """U with Lambda = U U^T, upper triangular, for matrices (..., d, d); inverse SDs for "diag" and "spherical".

    With Sigma = L L^T it is U = L^-T. Raises ValueError, naming the parameter `remedy`, where there is no inverse.
    """
    try:
        if not np.isfinite(covariances).all():
            raise np.linalg.LinAlgError
        if kind in ("diag", "spherical"):
            if (covariances <= 0).any():
                raise np.linalg.LinAlgError
            factors = 1 / np.sqrt(covariances)
        else:
            lower = np.linalg.cholesky(covariances)
            factors = np.triu(np.swapaxes(np.linalg.inv(lower), -1, -2))
        if not np.isfinite(factors).all():
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        raise ValueError(
            "a covariance matrix has no inverse: too few different points, a constant feature, or one that the others "
            f"determine; use a larger {remedy}, fewer components or features, or bring the features to similar scales"
        ) from None
    return factors


def as_matrices(covariances, kind, k, d):
    """Covariances of this kind as k matrices (k, d, d)."""
    if kind in ("full", "tied"):
        return np.broadcast_to(covariances, (k, d, d))
    return np.broadcast_to(covariances.reshape(k, -1), (k, d))[:, :, None] * np.eye(d)


def draw(rng, labels, means, covariances):
    """For each label (n,) a draw from the Gaussian of that number, (n, d)."""
    x = rng.standard_normal((len(labels), means.shape[1]))
    for k in np.unique(labels):
        chosen = labels == k
        x[chosen] = means[k] + x[chosen] @ np.linalg.cholesky(covariances[k]).T
    return x


def centre_of(X, caller):
    """Mean of X (n, d) over its rows; ValueError where squares of differences from it have no double number."""
    with np.errstate(over="ignore", invalid="ignore"):
        centre = X.mean(axis=0)
        spread = np.sum((X - centre) ** 2)
    if not np.isfinite(spread):
        raise ValueError(f"{caller} got X with values up to {np.abs(X).max():.1e}, too large to square; scale X down")
    return centre


def _start_array(given, name, shape):
    try:
        array = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"GaussianMixture got {name} that are no numbers; expected shape {shape}") from None
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"GaussianMixture got {name} of shape {array.shape}; expected finite numbers of shape {shape} for "
            "this data and covariance_type"
        )
    return array


# The start ------------------------------------------------------------------------------------------------------------


def random_points(X, k, rng):
    """k rows of X (n, d) at random, (k, d), no two of them equal as long as there are others.

    Two components that start at one point would stay the same for ever.
    """
    shuffled = X[rng.permutation(len(X))]
    first = np.unique(shuffled, axis=0, return_index=True)[1]
    again = np.setdiff1d(np.arange(len(X)), first)
    return shuffled[np.concatenate([np.sort(first), again])[:k]]


def k_means_plus_plus(X, k, rng):
    """k rows of X (n, d) far apart, (k, d): each drawn in proportion to the squared distance from the nearest so far.

    Arthur and Vassilvitskii (2007).
    """
    chosen = [int(rng.integers(len(X)))]
    nearest = np.full(len(X), np.inf)
    while len(chosen) < k:
        nearest = np.minimum(nearest, np.sum((X - X[chosen[-1]]) ** 2, axis=1))
        cumulative = np.cumsum(nearest)
        if cumulative[-1] > 0:
            # From the right: a row at distance 0 has an empty interval and is never drawn.
            row = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
            chosen.append(min(int(row), len(X) - 1))
        else:  # fewer different points than centres
            chosen.append(int(rng.integers(len(X))))
    return X[chosen]


def k_means(X, k, rng, max_iter=100):
    """Centres (k, d) and the nearest one for each row of X (n, d), (n,), by Lloyd's algorithm (1982).

    Starts from `k_means_plus_plus` and ends when no label changes; a centre that loses all its points stays.
    """
    centres, labels = k_means_plus_plus(X, k, rng), None
    for _ in range(max_iter):
        distance = np.stack([np.sum((X - centre) ** 2, axis=1) for centre in centres])
        before, labels = labels, distance.argmin(axis=0)
        if before is not None and (labels == before).all():
            break
        members = np.zeros((k, len(X)))
        members[labels, np.arange(len(X))] = 1.0
        count = members.sum(axis=1, keepdims=True)
        centres = np.where(count > 0, members @ X / np.maximum(count, 1), centres)
    return centres, labels
