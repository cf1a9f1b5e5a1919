"""Which bell curves, and how many points in each, explain the data? Gaussian mixtures by expectation maximisation."""

from __future__ import annotations

import math
import warnings
from dataclasses import KW_ONLY
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import kernels
from .._support.arguments import Count, Fitted, NotNegative, Rng, Rows, checked, settings
from .._support.arrays import as_floats
from .._support.cholesky import is_symmetric
from .gaussians import LikeMeans, as_matrices, centred, draw, e_step, precision_factors
from .k_means import k_means, random_points

LEAST_FLOOR = 1e-12  # of a variance


@settings
class GaussianMixture(Fitted):
    """A sum of `n_components` Gaussians, p(x) = sum_k pi_k N(x | mu_k, Sigma_k), fitted by EM (Bishop, 2006, ch. 9).

    `covariance_type` says what the covariances of k components in d features may be: "full" (k, d, d), one "tied"
    matrix for all (d, d), "diag" (k, d) or "spherical" (k,). After every M-step `reg_covar` is added to the variances.
    That is not quite the step EM asks for, and where a component collapses the likelihood can fall by it; from the
    first such fall on, the run takes the step that is: eigenvalues below `reg_covar` are raised to it.

    EM starts with `init="k_means"` from the clusters that k-means finds; with "random" from k different points of the
    data as means, equal weights, and the covariance of all points for each; or from `weights_init` (k,), `means_init`
    (k, d) and `precisions_init` (inverse covariances, in the shape of `covariance_type`), as far as they are given. It
    ends when the mean log-likelihood changes by less than `tol`, or after `max_iter` steps, with a warning unless `tol`
    is 0; the best of `n_init` starts stays.

    After `fit`: `weights_` (k,), `means_` (k, d), `covariances_`, `precisions_cholesky_` (upper triangular U with
    Lambda = U U^T; inverse SDs for "diag" and "spherical"), `n_iter_`, `converged_`, `lower_bounds_` (the mean
    log-likelihood found by each E-step) and `lower_bound_`, the last of them.
    """

    n_components: Count = 1
    _: KW_ONLY
    covariance_type: Literal["full", "tied", "diag", "spherical"] = "full"
    init: Literal["k_means", "random"] = "k_means"
    tol: NotNegative = 1e-3
    reg_covar: NotNegative = 1e-6
    max_iter: Count = 100
    n_init: Count = 1
    weights_init: Any = None
    means_init: Any = None
    precisions_init: Any = None

    learned = "weights_"

    @checked
    def fit(self, X: Rows, *, rng: Rng) -> GaussianMixture:
        """Learn from X (n, d) with n of at least `n_components`; returns the mixture.

        Raises ValueError where a covariance matrix has no inverse, which only a `reg_covar` too small allows: where a
        feature keeps, of its variance in a component, less than 500 eps that the other features do not explain.
        """
        if len(X) < self.n_components:
            raise ValueError(
                f"GaussianMixture.fit() got {len(X)} point(s) for {self.n_components} components; give at least one "
                f"point for each, or n_components={len(X)}"
            )
        points, centre = centred(X, "GaussianMixture.fit()")
        points = np.ascontiguousarray(points.T)
        given = self._given(centre)
        best = None
        for _ in range(self.n_init):
            found = em(
                points,
                self._start(points, given, rng),
                self.covariance_type,
                reg_covar=self.reg_covar,
                tol=self.tol,
                max_iter=self.max_iter,
                # Covariances handed in may lie below the floor; the first step lifts them, and is not compared.
                exempt=0 if self.precisions_init is None else 1,
            )
            if best is None or found.bounds[-1] > best.bounds[-1]:
                best = found
        self.weights_, self.means_, self.covariances_, self.precisions_cholesky_ = best.parameters
        self.means_ = self.means_ + centre
        self.lower_bounds_ = best.bounds
        self.lower_bound_ = best.bounds[-1]
        self.n_iter_ = len(best.bounds)
        self.converged_ = best.converged
        if not self.converged_ and self.tol > 0:
            warnings.warn(
                f"GaussianMixture.fit() has not converged in max_iter={self.max_iter} steps; take more of them, a "
                f"larger tol than {self.tol:g}, or fewer components",
                stacklevel=3,
            )
        return self

    @checked
    def log_prob(self, X: LikeMeans) -> np.ndarray:
        """Log-density log p(x) at each row of X (n, d): (n,)."""
        return self._e_step(X)[1]

    score_samples = log_prob  # as scikit-learn calls it

    @checked
    def predict_proba(self, X: LikeMeans) -> np.ndarray:
        """Responsibilities p(k | x) of the components for each row of X: (n, k)."""
        return self._e_step(X)[0].T.copy()

    @checked
    def predict(self, X: LikeMeans) -> np.ndarray:
        """The most probable component for each row of X: (n,)."""
        return self._e_step(X)[0].argmax(axis=0)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n independent draws (n, d)."""
        return self.sample_with_labels(n, rng)[0]

    @checked
    def sample_with_labels(self, n: Count, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """n independent draws (n, d), and the component (n,) that each came from."""
        self._check_fitted()
        k, d = self.means_.shape
        labels = rng.choice(k, size=n, p=self.weights_)
        return draw(labels, self.means_, as_matrices(self.covariances_, self.covariance_type, k, d), rng), labels

    def bic(self, X: Any) -> float:
        """Bayesian information criterion on X, p log n - 2 log L with p free parameters; lower is better."""
        log_prob = self.log_prob(X)
        return float(self._n_parameters() * math.log(len(log_prob)) - 2 * log_prob.sum())

    def aic(self, X: Any) -> float:
        """Akaike information criterion on X, 2 p - 2 log L with p free parameters; lower is better."""
        return float(2 * self._n_parameters() - 2 * self.log_prob(X).sum())

    def _n_parameters(self) -> int:
        k, d = self.means_.shape
        shape = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}
        return shape[self.covariance_type] + k * d + k - 1

    def _e_step(self, X):
        return e_step(
            np.ascontiguousarray(X.T), self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type
        )

    def _given(self, centre):
        """The start's weights, means and covariances as the user gave them, or None each."""
        k, d, kind = self.n_components, len(centre), self.covariance_type
        shape = {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind]
        weights = _start_array(self.weights_init, "weights_init", (k,))
        means = _start_array(self.means_init, "means_init", (k, d))
        precisions = _start_array(self.precisions_init, "precisions_init", shape)
        if weights is not None and ((weights < 0).any() or abs(weights.sum() - 1) > 1e-6):
            raise ValueError(f"GaussianMixture got weights_init={weights}; expected shares, 0 or more, that sum to 1")
        return (
            weights,
            None if means is None else means - centre,
            None if precisions is None else _inverted(precisions, kind),
        )

    def _start(self, points, given, rng) -> Parameters:
        """Parameters to start from: what is given, and the rest from the clusters of k-means or from random points."""
        kind = self.covariance_type
        if any(part is None for part in given):
            found = self._found_start(points, rng)
            given = [part if part is not None else own for part, own in zip(given, found)]
        return Parameters(*given, precision_factors(given[2], kind))

    def _found_start(self, points, rng):
        """Weights, means and covariances of random points, or of the clusters that k-means finds."""
        (d, n), k, kind = points.shape, self.n_components, self.covariance_type
        whole = covariances_of(points, np.zeros((1, d)), np.ones((1, n)), kind)
        whole = floored(whole / n, kind, self.reg_covar, False)
        whole = whole if kind == "tied" else np.repeat(whole, k, axis=0)
        if self.init == "random":
            return np.full(k, 1 / k), random_points(points.T, k, rng), whole
        centres, labels = k_means(points.T, k, rng)
        resp = np.zeros((k, n))
        resp[labels, np.arange(n)] = 1.0
        # A cluster without points is left with its centre, and the scatter of all points.
        return m_step(points, resp, (None, centres, whole), kind, self.reg_covar, False, rounding_of(points))


# Expectation maximisation, on points (d, n) and responsibilities (k, n) -----------------------------------------------


class Parameters(NamedTuple):
    """Of a mixture of k Gaussians: `factors` are those of the precisions."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    factors: np.ndarray


class Fit(NamedTuple):
    """What EM found from one start: `bounds` are the mean log-likelihoods that its E-steps met."""

    parameters: Parameters
    bounds: list[float]
    converged: bool


def em(
    points: np.ndarray,
    start: Parameters,
    kind: str,
    *,
    reg_covar: float,
    tol: float,
    max_iter: int,
    exempt: int = 0,
) -> Fit:
    """EM on points (d, n) until the mean log-likelihood changes by less than `tol`, at most `max_iter` steps.

    Where it falls, which only the floor can bring about, eigenvalues are raised to the floor from then on instead of
    the floor added to them. Falls in the first `exempt` steps do not count.
    """
    resp = np.empty((len(start.weights), points.shape[1]))
    log_prob = np.empty(points.shape[1])
    noise = rounding_of(points)
    parameters, bounds, lifts_floor = start, [], False

    def expect(parameters: Parameters) -> float:
        e_step(points, parameters.weights, parameters.means, parameters.factors, kind, resp, log_prob)
        return float(log_prob.mean())

    def maximise() -> Parameters:
        found = m_step(points, resp, parameters, kind, reg_covar, lifts_floor, noise)
        return Parameters(*found, precision_factors(found[2], kind))

    def fell(bound: float) -> bool:
        # Near a maximum the floor makes the likelihood tremble by its square; that is no fall.
        return len(bounds) > exempt and bound < bounds[-1] - 1e-9 * max(1.0, abs(bounds[-1]))

    bound = expect(start)
    while True:
        converged = bool(bounds) and abs(bound - bounds[-1]) < tol
        bounds.append(bound)
        candidate = maximise()
        bound = expect(candidate)
        if fell(bound) and not lifts_floor:
            lifts_floor = True
            expect(parameters)
            candidate = maximise()
            bound = expect(candidate)
        if fell(bound):  # what is left to gain is below rounding
            return Fit(parameters, bounds, True)
        parameters = candidate
        if converged or len(bounds) == max_iter:
            return Fit(parameters, bounds, converged)


def m_step(
    points: np.ndarray,
    resp: np.ndarray,
    before: tuple,
    kind: str,
    reg_covar: float,
    lifts_floor: bool,
    noise: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, ...]:
    """Weights, means and covariances that fit the responsibilities, Bishop (9.24) to (9.27), floor included.

    `before` holds the parameters so far; a component without points keeps its mean and covariance. A variance up to
    `noise`, what rounding makes of equal numbers, counts as 0.
    """
    n_k = resp.sum(axis=1)
    lost = n_k < 10 * np.finfo(float).eps
    divisor = np.where(lost, 1.0, n_k)
    means = np.where(lost[:, None], before[1], (resp @ points.T) / divisor[:, None])
    scatter = covariances_of(points, means, resp, kind)
    size = n_k.sum() if kind == "tied" else divisor.reshape(-1, *[1] * (scatter.ndim - 1))
    covariances = floored(beyond_rounding(scatter / size, noise, kind), kind, reg_covar, lifts_floor)
    if kind != "tied":
        covariances[lost] = before[2][lost]
    return n_k / n_k.sum(), means, covariances


def covariances_of(points: np.ndarray, means: np.ndarray, resp: np.ndarray, kind: str) -> np.ndarray:
    """Sums of r (x - mu)(x - mu)^T in the shape of the covariances; "spherical" averages over features."""
    k, d = means.shape
    out = np.empty((k, d, d) if kind in ("full", "tied") else (k, d))
    kernels.weighted_scatter(points, np.ascontiguousarray(means), resp, out)
    if kind == "tied":
        return out.sum(axis=0)
    return out.mean(axis=1) if kind == "spherical" else out


def rounding_of(points: np.ndarray) -> np.ndarray:
    """The variance (d,) that equal numbers among points (d, n) may seem to have: their mean is off by rounding."""
    return np.square(4 * np.finfo(float).eps * np.abs(points).max(axis=1))


def beyond_rounding(covariances: np.ndarray, noise: np.ndarray | float, kind: str) -> np.ndarray:
    """Covariances with 0 where a variance is no more than `noise`."""
    if kind == "spherical":
        return np.where(covariances > np.mean(noise), covariances, 0.0)
    if kind == "diag":
        return np.where(covariances > noise, covariances, 0.0)
    varies = np.diagonal(covariances, axis1=-2, axis2=-1) > noise
    return np.where(varies[..., :, None] & varies[..., None, :], covariances, 0.0)


def floored(covariances: np.ndarray, kind: str, reg_covar: float, lifts_floor: bool) -> np.ndarray:
    """Covariances of this kind with the floor added to the variances, or with `lifts_floor`, eigenvalues raised to it.

    Raised ones have the greatest expected likelihood of all that have no eigenvalue below the floor. For matrices a
    floor above 0 is at least LEAST_FLOOR of the variance itself: less would be lost in rounding, and no floor.
    """
    if kind in ("diag", "spherical"):
        return np.maximum(covariances, reg_covar) if lifts_floor else covariances + reg_covar
    if reg_covar == 0:
        return covariances
    floor = np.maximum(reg_covar, LEAST_FLOOR * np.diagonal(covariances, axis1=-2, axis2=-1))
    if not lifts_floor:
        return covariances + floor[..., None] * np.eye(covariances.shape[-1])
    sd = np.sqrt(floor)
    unit = sd[..., :, None] * sd[..., None, :]
    values, vectors = np.linalg.eigh(covariances / unit)
    return (vectors * np.maximum(values, 1.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2) * unit


def _inverted(precisions: np.ndarray, kind: str) -> np.ndarray:
    """Covariances of these precisions; ValueError where they are none, by the criterion for covariances."""
    try:
        if kind in ("full", "tied") and not is_symmetric(precisions):
            raise ValueError
        factors = precision_factors(precisions, kind)
    except ValueError:
        raise ValueError(
            "GaussianMixture got precisions_init that are no inverse covariances; expected positive numbers, or "
            "symmetric matrices with positive eigenvalues"
        ) from None
    return np.square(factors) if kind in ("diag", "spherical") else factors @ np.swapaxes(factors, -1, -2)


def _start_array(given, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    if given is None:
        return None
    array = as_floats(given, name, "GaussianMixture")
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"GaussianMixture got {name} of shape {array.shape}; expected finite numbers of shape {shape} for "
            "this data and covariance_type"
        )
    return array
