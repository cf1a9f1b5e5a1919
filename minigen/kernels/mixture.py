"""The two hot loops of Gaussian mixtures: which component has a point, and how a component's points scatter.

Everything is float64 and stored by features: points X (d, n), responsibilities (k, n), so that the inner loops run
along points that lie side by side. A component's shape is a factor U of its precision matrix, Lambda = U U^T with U
upper triangular, (k, d, d), or for diagonal covariances the inverse SDs alone, (k, d).
"""

from __future__ import annotations

import numpy as np

from .activations import exp_float64
from .jit import USE_NUMBA, njit, njit_sum

BLOCK = 128
"""Points handled at a time: their differences from a mean stay in the first-level cache up to some 30 features."""

_FLOAT64 = np.dtype(np.float64)


def _is_fast(*arrays) -> bool:
    return USE_NUMBA and all(
        type(a) is np.ndarray and a.dtype == _FLOAT64 and a.flags.c_contiguous and a.size > 0 for a in arrays
    )


def responsibilities_numpy(
    X: np.ndarray, means: np.ndarray, factors: np.ndarray, offsets: np.ndarray, resp: np.ndarray, log_prob: np.ndarray
) -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        for k, mean in enumerate(means):
            apart = X - mean[:, None]
            y = factors[k].T @ apart if factors.ndim == 3 else factors[k][:, None] * apart
            distance = np.sum(y * y, axis=0)
            resp[k] = offsets[k] - 0.5 * np.where(distance < np.inf, distance, np.inf)
    top = resp.max(axis=0)
    nowhere = top == -np.inf
    resp -= np.where(nowhere, 0.0, top)
    np.exp(resp, out=resp)
    resp[:, nowhere] = 1.0
    total = resp.sum(axis=0)
    resp /= total
    log_prob[:] = np.where(nowhere, -np.inf, top + np.log(total))


@njit
def _subtract(row, number, out):
    for b in range(len(row)):
        out[b] = row[b] - number


@njit
def _add_square(out, y, factor):
    for b in range(len(out)):
        out[b] += (factor * y[b]) * (factor * y[b])


@njit
def _distances(X, start, mean, factor, apart, y, out):
    """Squared Mahalanobis distances |U^T (x - mu)|^2 of the block of points that begins at `start`."""
    m = len(out)
    out[:] = 0.0
    for j in range(len(mean)):
        _subtract(X[j, start : start + m], mean[j], apart[j, :m])
    for j in range(len(mean)):
        if factor.ndim == 1:
            _add_square(out, apart[j, :m], factor[j])
            continue
        for b in range(m):
            y[b] = 0.0
        l = 0
        while l + 4 <= j + 1:  # four rows at a time: y is loaded and stored a quarter as often
            u0, u1, u2, u3 = factor[l, j], factor[l + 1, j], factor[l + 2, j], factor[l + 3, j]
            for b in range(m):
                y[b] += u0 * apart[l, b] + u1 * apart[l + 1, b] + u2 * apart[l + 2, b] + u3 * apart[l + 3, b]
            l += 4
        for rest in range(l, j + 1):
            u0 = factor[rest, j]
            for b in range(m):
                y[b] += u0 * apart[rest, b]
        _add_square(out, y[:m], 1.0)


# Loops over one row each: only on plain contiguous rows does the compiler turn them into vector instructions.


@njit
def _log_terms(row, offset, top):
    for b in range(len(row)):
        v = row[b]
        v = offset - 0.5 * (v if v < np.inf else np.inf)  # NaN from Inf - Inf is infinitely far, too
        row[b] = v
        top[b] = v if v > top[b] else top[b]


@njit
def _exp_terms(row, top, total):
    for b in range(len(row)):
        e = exp_float64(row[b] - top[b])
        row[b] = e
        total[b] += e


@njit
def _multiply(row, factor, out):
    for b in range(len(row)):
        out[b] = row[b] * factor[b]


@njit
def _normalise(distance, m, offsets, start, top, total, resp, log_prob):
    """From a block's squared distances, the first m columns, to responsibilities and log-densities (log-sum-exp)."""
    k = len(offsets)
    top[:] = -np.inf
    total[:] = 0.0
    for c in range(k):
        _log_terms(distance[c, :m], offsets[c], top)
    for b in range(m):
        if top[b] == -np.inf:
            top[b] = 0.0
    for c in range(k):
        _exp_terms(distance[c, :m], top, total)
    for b in range(m):
        log_prob[start + b] = top[b] + np.log(total[b])
        top[b] = 1.0 / total[b]
    for c in range(k):
        _multiply(distance[c, :m], top, resp[c, start : start + m])
    for b in range(m):
        if total[b] == 0.0:
            resp[:, start + b] = 1.0 / k


@njit
def _responsibilities(X, means, factors, offsets, resp, log_prob):
    d, n = X.shape
    k = len(means)
    distance, apart = np.empty((k, BLOCK)), np.empty((d, BLOCK))
    y, top, total = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for c in range(k):
            _distances(X, start, means[c], factors[c], apart, y, distance[c, :m])
        _normalise(distance, m, offsets, start, top[:m], total[:m], resp, log_prob)


def responsibilities(
    X: np.ndarray, means: np.ndarray, factors: np.ndarray, offsets: np.ndarray, resp: np.ndarray, log_prob: np.ndarray
) -> None:
    """Fill `resp` (k, n) and `log_prob` (n,) for points X (d, n) under components with means (k, d).

    `factors` (k, d, d) or (k, d) are as above; `offsets` (k,) are what a component's log-density has at its mean, its
    log-weight included. log_prob is log sum_k exp(offset_k - |U_k^T (x - mu_k)|^2 / 2), and a column of `resp` holds
    the shares of its terms: equal ones where a point is so far from all that every term is 0 (log_prob -inf).
    """
    if not _is_fast(X, means, factors, offsets, resp, log_prob):
        return responsibilities_numpy(X, means, factors, offsets, resp, log_prob)
    return _responsibilities(X, means, factors, offsets, resp, log_prob)


def weighted_scatter_numpy(X: np.ndarray, means: np.ndarray, resp: np.ndarray, out: np.ndarray) -> None:
    for k, mean in enumerate(means):
        apart = X - mean[:, None]
        out[k] = (resp[k] * apart) @ apart.T if out.ndim == 3 else (apart * apart) @ resp[k]


@njit_sum
def _weighted_dot(a, b, m):
    total = 0.0
    for i in range(m):
        total += a[i] * b[i]
    return total


@njit_sum
def _four_weighted_dots(a, b, l, m):
    """Products of one row with rows l to l + 3, so that the one is loaded once."""
    t0 = t1 = t2 = t3 = 0.0
    b0, b1, b2, b3 = b[l], b[l + 1], b[l + 2], b[l + 3]
    for i in range(m):
        v = a[i]
        t0 += v * b0[i]
        t1 += v * b1[i]
        t2 += v * b2[i]
        t3 += v * b3[i]
    return t0, t1, t2, t3


@njit
def _weighted_scatter_full(X, means, resp, out):
    d, n = X.shape
    apart, weighted = np.empty((d, BLOCK)), np.empty(BLOCK)
    out[:] = 0.0
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        for c in range(len(means)):
            for j in range(d):
                for b in range(m):
                    apart[j, b] = X[j, start + b] - means[c, j]
            for j in range(d):
                for b in range(m):
                    weighted[b] = resp[c, start + b] * apart[j, b]
                l = 0
                while l + 4 <= j + 1:
                    t0, t1, t2, t3 = _four_weighted_dots(weighted, apart, l, m)
                    out[c, j, l] += t0
                    out[c, j, l + 1] += t1
                    out[c, j, l + 2] += t2
                    out[c, j, l + 3] += t3
                    l += 4
                for rest in range(l, j + 1):
                    out[c, j, rest] += _weighted_dot(weighted, apart[rest], m)
    for c in range(len(means)):
        for j in range(d):
            for l in range(j):
                out[c, l, j] = out[c, j, l]


@njit_sum
def _weighted_squares(x, mean, weight):
    total = 0.0
    for i in range(len(x)):
        apart = x[i] - mean
        total += weight[i] * (apart * apart)
    return total


@njit
def _weighted_scatter_diagonal(X, means, resp, out):
    d, n = X.shape
    out[:] = 0.0
    for start in range(0, n, BLOCK):
        end = min(start + BLOCK, n)
        for c in range(len(means)):
            for j in range(d):
                out[c, j] += _weighted_squares(X[j, start:end], means[c, j], resp[c, start:end])


def weighted_scatter(X: np.ndarray, means: np.ndarray, resp: np.ndarray, out: np.ndarray) -> None:
    """Fill `out` (k, d, d) with sum_n r_kn (x_n - mu_k)(x_n - mu_k)^T; if it is (k, d), with the diagonals alone.

    Differences are taken before products, so that points far from the origin lose no digits.
    """
    if not _is_fast(X, means, resp, out):
        return weighted_scatter_numpy(X, means, resp, out)
    return (_weighted_scatter_full if out.ndim == 3 else _weighted_scatter_diagonal)(X, means, resp, out)
