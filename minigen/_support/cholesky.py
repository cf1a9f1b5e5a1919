"""Does a matrix of covariances have an inverse? One criterion for all that factor one, in whatever units it is."""

from __future__ import annotations

import numpy as np

LEAST_SHARE = 500
"""In units of rounding: covariances of features that depend on each other come out with shares of up to some 20."""


def factored(covariances: np.ndarray, dtype: np.dtype | type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Lower triangular L with L L^T the symmetric matrices (..., d, d), and its inverse; float64.

    Raises LinAlgError unless each feature keeps, of its variance, a share above 500 eps that the others do not explain,
    with eps that of the `dtype` in which the covariances were given. The share of feature i is
    1 / (Sigma_ii (Sigma^-1)_ii), the smallest pivot relative to its variance that any order of the features gives it;
    it does not depend on their units.
    """
    covariances = np.asarray(covariances, np.float64)
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    if not np.isfinite(covariances).all() or not (variances >= np.finfo(float).tiny).all():
        raise np.linalg.LinAlgError("a variance is 0, or not finite")
    unit = np.ldexp(1.0, np.frexp(variances)[1] // 2)  # near the SDs; by powers of 2 nothing is rounded
    scaled = covariances / unit[..., :, None] / unit[..., None, :]
    lower = np.linalg.cholesky(scaled)
    inverse = np.tril(np.linalg.inv(lower))
    precisions = np.sum(np.square(inverse), axis=-2)  # of each feature given all others
    shares = 1 / (precisions * np.diagonal(scaled, axis1=-2, axis2=-1))
    if not (shares > LEAST_SHARE * np.finfo(dtype).eps).all():
        raise np.linalg.LinAlgError("features depend on each other")
    return lower * unit[..., :, None], inverse / unit[..., None, :]


def is_symmetric(matrices: np.ndarray) -> bool:
    """Whether entries across the diagonals agree to 1e-5 of the root of their diagonal entries' product."""
    size = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    apart = np.abs(matrices - np.swapaxes(matrices, -1, -2))
    return bool(np.all(apart <= 1e-5 * size[..., :, None] * size[..., None, :]))
