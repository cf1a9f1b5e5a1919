"""Kernels of the losses: the sum over all elements in one pass, with no array in between."""

from __future__ import annotations

import math

import numpy as np

from . import copy_result, real
from .activations import exp_float32, exp_remainder
from .jit import USE_NUMBA, elementwise_pair, f32, is_fast, njit, njit_sum
from .reductions import sum_axes_numpy


def _summed(twin):
    """Decorate a loop `(a, b, out)` over two arrays of one shape, which leaves their sum in out[0]; falls back on its
    twin."""

    def decorate(loop):
        compiled = njit_sum(loop)

        def kernel(a, b):
            if not (USE_NUMBA and is_fast(a) and is_fast(b) and a.shape == b.shape):
                return twin(a, b)
            out = np.empty(1, f32)
            compiled(a, b, out)
            return out[0]

        def into(out, a, b):
            if USE_NUMBA and is_fast(a) and is_fast(b) and a.shape == b.shape:
                return [(compiled, (a, b, out.reshape(1)))]
            return [(copy_result, (out, twin, (a, b)))]

        kernel.__doc__, kernel.into = twin.__doc__, into
        return kernel

    return decorate


def squared_error_numpy(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum of (a - b)^2."""
    d = real(a) - real(b)
    return sum_axes_numpy(d * d)


@_summed(squared_error_numpy)
def squared_error(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    a, b = a.ravel(), b.ravel()
    total = 0.0  # in float64: a long sum keeps its digits, for a third more time
    for i in range(a.size):
        d = a[i] - b[i]
        total += d * d
    out[0] = total


@njit
def _log1p(e):
    """log(1 + e) for 0 <= e <= 1, as 2 artanh(s) with s = e / (2 + e) <= 1/3 and seven terms of its series."""
    s = e / (f32(2.0) + e)
    z = s * s
    p = f32(1 / 11) + z * f32(1 / 13)
    p = f32(1 / 9) + z * p
    p = f32(1 / 7) + z * p
    p = f32(1 / 5) + z * p
    p = f32(1 / 3) + z * p
    return f32(2.0) * (s + s * z * p)


def logit_loss(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """log(1 + exp(l)) - l t: with w the weight of the less likely outcome, |l| w + log(1 + exp(-|l|)).

    Where w is 0 the first term is 0, also for an infinite l.
    """
    l, t = real(logits), real(targets)
    size = np.abs(l)
    wrong = np.where(l < 0, t, 1 - t)
    with np.errstate(invalid="ignore"):
        return np.where(wrong == 0, 0, size * wrong) + np.log1p(np.exp(-size))


def binary_cross_entropy_numpy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Sum of log(1 + exp(l)) - l t, written so that neither sign of l overflows."""
    return sum_axes_numpy(logit_loss(logits, targets))


@_summed(binary_cross_entropy_numpy)
def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
    logits, targets = logits.ravel(), targets.ravel()
    total = 0.0  # in float64: a long sum keeps its digits, for a third more time
    for i in range(logits.size):
        l, t = logits[i], targets[i]
        wrong = t if l < f32(0.0) else f32(1.0) - t
        total += (f32(0.0) if wrong == f32(0.0) else abs(l) * wrong) + _log1p(exp_float32(-abs(l)))
    out[0] = total


def sigmoid_less_numpy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """sigmoid(l) - t as (1 - t) sigmoid(l) - t sigmoid(-l), which keeps its digits where l is sure of t."""
    l = real(logits)
    e = np.exp(-np.abs(l))
    up, down = np.where(l < 0, e, 1) / (1 + e), np.where(l < 0, 1, e) / (1 + e)
    return (1 - targets) * up - targets * down


@elementwise_pair(sigmoid_less_numpy)
def sigmoid_less(logits: np.ndarray, targets: np.ndarray, out: np.ndarray) -> None:
    logits, targets, out = logits.ravel(), targets.ravel(), out.ravel()
    for i in range(logits.size):
        l, t = logits[i], targets[i]
        e = exp_float32(-abs(l))
        likely = f32(1.0) / (f32(1.0) + e)
        up, down = (e * likely, likely) if l < f32(0.0) else (likely, e * likely)
        out[i] = (f32(1.0) - t) * up - t * down


def gaussian_nll_numpy(mu: np.ndarray, target: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Mean of (log 2 pi + log_var + (target - mu)^2 exp(-log_var)) / 2; log_var broadcasts."""
    d = mu - target
    scaled = sum_axes_numpy(d * d * np.exp(-log_var)) / mu.size
    logs = sum_axes_numpy(np.asarray(log_var)) / log_var.size
    return np.asarray(0.5 * (scaled + logs + math.log(2 * math.pi)), mu.dtype)[()]


@njit_sum
def _gaussian_nll(mu, target, log_var, precision, out):
    logs, squares = 0.0, 0.0
    for i in range(log_var.shape[0]):
        for j in range(log_var.shape[1]):
            precision[i, j] = exp_float32(-log_var[i, j])
            logs += log_var[i, j]
    for i in range(mu.shape[0]):
        row = precision[i % precision.shape[0]]
        for j in range(mu.shape[1]):
            d = mu[i, j] - target[i, j]
            squares += d * d * row[j]
    out[0] = 0.5 * (squares / mu.size + logs / log_var.size + math.log(2 * math.pi))


def gaussian_nll(mu: np.ndarray, target: np.ndarray, log_var: np.ndarray) -> np.ndarray:
    """Mean negative log-likelihood of the normal, for mu and target of shape (n, d) and log_var (n, d) or (d,)."""
    if not _by_rows(mu, target, log_var):
        return gaussian_nll_numpy(mu, target, log_var)
    out = np.empty(1, f32)
    log_var = log_var.reshape(-1, mu.shape[1])
    _gaussian_nll(mu, target, log_var, np.empty_like(log_var), out)
    return out[0]


def _gaussian_nll_into(out, mu, target, log_var):
    if not _by_rows(mu, target, log_var):
        return [(copy_result, (out, gaussian_nll_numpy, (mu, target, log_var)))]
    log_var = log_var.reshape(-1, mu.shape[1])
    return [(_gaussian_nll, (mu, target, log_var, np.empty_like(log_var), out.reshape(1)))]


gaussian_nll.into = _gaussian_nll_into


def _by_rows(a, b, weight) -> bool:
    fits = USE_NUMBA and a.ndim == 2 and a.shape == b.shape and weight.shape in (a.shape, a.shape[1:])
    return fits and a.size > 0 and is_fast(a) and is_fast(b) and is_fast(weight)


def weighted_difference_numpy(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(a - b) weight; the weight broadcasts."""
    return (a - b) * weight


@njit
def _weighted_difference(a, b, weight, out):
    for i in range(a.shape[0]):
        row = weight[i % weight.shape[0]]
        for j in range(a.shape[1]):
            out[i, j] = (a[i, j] - b[i, j]) * row[j]


@njit
def _scaled_difference(a, b, scale, out):
    a, b, out = a.ravel(), b.ravel(), out.ravel()
    s = scale[0]
    for i in range(a.size):
        out[i] = (a[i] - b[i]) * s


def _difference_loop(a, b, weight):
    """The loop that fits, and the weight in the shape it wants; (None, weight) if there is none."""
    if USE_NUMBA and weight.ndim == 0 and a.shape == b.shape and is_fast(a) and is_fast(b):
        return _scaled_difference, weight.reshape(1)
    if _by_rows(a, b, weight):
        return _weighted_difference, weight.reshape(-1, a.shape[1])
    return None, weight


def weighted_difference(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(a - b) weight, for a and b (n, d) and a weight (n, d), (d,) or a number; with a number, of any shape."""
    loop, weight = _difference_loop(a, b, np.asarray(weight, a.dtype))
    if loop is None:
        return weighted_difference_numpy(a, b, weight)
    out = np.empty_like(a)
    loop(a, b, weight, out)
    return out


def _weighted_difference_into(out, a, b, weight):
    loop, weight = _difference_loop(a, b, np.asarray(weight, a.dtype))
    if loop is None:
        return [(copy_result, (out, weighted_difference_numpy, (a, b, weight)))]
    return [(loop, (a, b, weight, out))]


weighted_difference.into = _weighted_difference_into


def exp_remainder_numpy(t: np.ndarray) -> np.ndarray:
    """exp(t) - 1 - t; near 0, where that is the small difference of large terms, by its series."""
    near = np.clip(t, -0.5, 0.5)
    series = np.ones_like(near)
    for k in range(15, 2, -1):
        series = 1 + near * series / k
    return np.where(near == t, 0.5 * near * near * series, np.expm1(t) - t)


def standard_normal_kl_numpy(mu: np.ndarray, log_sd: np.ndarray) -> np.ndarray:
    """(mu^2 + exp(2 log_sd) - 1) / 2 - log_sd."""
    mu, log_sd = real(mu), real(log_sd)
    return 0.5 * (mu * mu + exp_remainder_numpy(2 * log_sd))


@njit
def _standard_normal_kl(mu, log_sd, out):
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            out[i, j] = f32(0.5) * (mu[i, j] * mu[i, j] + exp_remainder(f32(2.0) * log_sd[i, j]))


def _are_float32_rows(mu, log_sd) -> bool:
    return USE_NUMBA and mu.ndim == 2 and mu.shape == log_sd.shape and mu.dtype == log_sd.dtype == f32


def standard_normal_kl(mu: np.ndarray, log_sd: np.ndarray) -> np.ndarray:
    """(mu^2 + exp(2 log_sd) - 1) / 2 - log_sd, for mu and log_sd (n, k), which may be columns of a wider matrix."""
    if not _are_float32_rows(mu, log_sd):
        return standard_normal_kl_numpy(mu, log_sd)
    out = np.empty(mu.shape, f32)
    _standard_normal_kl(mu, log_sd, out)
    return out


def _standard_normal_kl_into(out, mu, log_sd):
    if not _are_float32_rows(mu, log_sd):
        return [(copy_result, (out, standard_normal_kl_numpy, (mu, log_sd)))]
    return [(_standard_normal_kl, (mu, log_sd, out))]


standard_normal_kl.into = _standard_normal_kl_into
