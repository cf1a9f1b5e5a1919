"""What do Gaussian mixtures and Gaussian classifiers share? Shapes of covariances, their factors, densities and draws.

A covariance type says what the covariances of k Gaussians in d features may be: "full" (k, d, d), one "tied" matrix for
all (d, d), "diag" (k, d) or "spherical" (k,).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np

from .. import kernels
from .._support.arguments import ArrayKind
from .._support.arrays import as_matrix
from .._support.cholesky import factored

LikeMeans = Annotated[Any, ArrayKind(as_matrix, lambda model: model.means_.shape[1])]  # rows of as many features


def precision_factors(covariances: np.ndarray, kind: str = "full", remedy: str = "reg_covar") -> np.ndarray:
    """U with Lambda = U U^T, upper triangular, for matrices (..., d, d); inverse SDs for "diag" and "spherical".

    With Sigma = L L^T it is U = L^-T. Raises ValueError, naming the parameter `remedy`, where there is no inverse: a
    variance is 0, or less than 500 eps of one is left when the other features are known (`_support.cholesky`).
    """
    try:
        if kind in ("full", "tied"):
            return np.swapaxes(factored(covariances)[1], -1, -2)
        if (covariances >= np.finfo(float).tiny).all() and np.isfinite(covariances).all():
            return 1 / np.sqrt(covariances)
    except np.linalg.LinAlgError:
        pass
    raise ValueError(
        "a covariance matrix has no inverse: too few different points, a constant feature, or one that the others "
        f"determine; use a larger {remedy}, fewer components or features, or bring the features to similar scales"
    )


def as_matrices(covariances: np.ndarray, kind: str, k: int, d: int) -> np.ndarray:
    """Covariances of this kind as k matrices (k, d, d)."""
    if kind in ("full", "tied"):
        return np.broadcast_to(covariances, (k, d, d))
    return np.broadcast_to(covariances.reshape(k, -1), (k, d))[:, :, None] * np.eye(d)


def draw(labels: np.ndarray, means: np.ndarray, covariances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each label (n,) a draw from the Gaussian of that number, (n, d)."""
    x = rng.standard_normal((len(labels), means.shape[1]))
    for k in np.unique(labels):
        chosen = labels == k
        x[chosen] = means[k] + x[chosen] @ factored(covariances[k])[0].T
    return x


def e_step(
    points: np.ndarray,
    weights: np.ndarray,
    means: np.ndarray,
    factors: np.ndarray,
    kind: str,
    resp: np.ndarray | None = None,
    log_prob: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
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


def centred(X: np.ndarray, caller: str) -> tuple[np.ndarray, np.ndarray]:
    """X (n, d) less its mean over the rows, and that mean (d,); a constant column becomes exactly 0.

    Raises ValueError where squares of these differences have no double number with all its digits.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        away = X - X[0]  # the mean of equal numbers may be off by rounding; that of zeros is not
        middle = away.mean(axis=0)
        points = away - middle
        squares = np.sum(np.square(points), axis=0)
    if not np.isfinite(squares).all():
        raise ValueError(f"{caller} got X with values up to {np.abs(X).max():.1e}, too large to square; scale X down")
    small = (squares < 1e-280) & (away != 0).any(axis=0)
    if small.any():
        raise ValueError(
            f"{caller} got X whose column {np.flatnonzero(small)[0]} varies by no more than "
            f"{np.abs(points[:, small][:, 0]).max():.1e}, too little to square; scale that column up"
        )
    return points, X[0] + middle
