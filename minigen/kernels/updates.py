"""Kernels that change a vector in place: the optimisers' updates over the flat parameter buffer.

All take the parameter vector first and change it and their moment vectors; shapes are (n,) throughout. The step sizes
with bias corrections already in them are computed by the caller in double precision.
"""

from __future__ import annotations

import numpy as np

from .jit import f32, in_place


def sgd_numpy(
    w: np.ndarray, g: np.ndarray, velocity: np.ndarray, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """v = momentum v + g;  w -= lr v, or lr (g + momentum v) with Nesterov's look-ahead."""
    g = g + weight_decay * w
    velocity *= momentum
    velocity += g
    w -= lr * (g + momentum * velocity if nesterov else velocity)


@in_place(sgd_numpy)
def sgd(
    w: np.ndarray, g: np.ndarray, velocity: np.ndarray, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    lr, momentum, weight_decay = f32(lr), f32(momentum), f32(weight_decay)
    for i in range(w.size):
        d = g[i] + weight_decay * w[i]
        velocity[i] = momentum * velocity[i] + d
        w[i] -= lr * (d + momentum * velocity[i] if nesterov else velocity[i])


def rmsprop_numpy(
    w: np.ndarray, g: np.ndarray, square: np.ndarray, lr: float, alpha: float, eps: float, weight_decay: float
) -> None:
    """s = alpha s + (1 - alpha) g^2;  w -= lr g / (sqrt(s) + eps)."""
    g = g + weight_decay * w
    square *= alpha
    square += (1 - alpha) * g * g
    w -= lr * g / (np.sqrt(square) + eps)


@in_place(rmsprop_numpy)
def rmsprop(
    w: np.ndarray, g: np.ndarray, square: np.ndarray, lr: float, alpha: float, eps: float, weight_decay: float
) -> None:
    lr, alpha, rest, eps, weight_decay = f32(lr), f32(alpha), f32(1 - alpha), f32(eps), f32(weight_decay)
    for i in range(w.size):
        d = g[i] + weight_decay * w[i]
        square[i] = alpha * square[i] + rest * d * d
        w[i] -= lr * d / (np.sqrt(square[i]) + eps)


def adam_numpy(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction: float,
    l2: float,
    decay: float,
) -> None:
    """m = b1 m + (1 - b1) g;  s = b2 s + (1 - b2) g^2;  w -= lr m / (sqrt(s) correction + eps).

    `lr` holds the first bias correction, `correction` is 1 / sqrt(1 - b2^t); `l2` is added to the gradient (Adam),
    `decay` shrinks the weights beside it (AdamW).
    """
    g = g + l2 * w
    mean *= beta1
    mean += (1 - beta1) * g
    square *= beta2
    square += (1 - beta2) * g * g
    w *= 1 - decay
    w -= lr * mean / (np.sqrt(square) * correction + eps)


@in_place(adam_numpy)
def adam(
    w: np.ndarray,
    g: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction: float,
    l2: float,
    decay: float,
) -> None:
    rest1, rest2, keep = f32(1 - beta1), f32(1 - beta2), f32(1 - decay)
    lr, beta1, beta2, eps, correction, l2 = f32(lr), f32(beta1), f32(beta2), f32(eps), f32(correction), f32(l2)
    for i in range(w.size):
        d = g[i] + l2 * w[i]
        mean[i] = beta1 * mean[i] + rest1 * d
        square[i] = beta2 * square[i] + rest2 * d * d
        w[i] = keep * w[i] - lr * mean[i] / (np.sqrt(square[i]) * correction + eps)
