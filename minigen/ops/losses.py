"""Losses: one number that says how far predictions are from targets, and the closed-form KL of the normal.

Every loss is the MEAN OVER ALL ELEMENTS; the KL is left element by element.

Prediction and target have the same shape; (n, 1) against (n,) is refused, because broadcasting it would compare every
prediction with every target. For a sum over features, multiply by their number.
"""

import numpy as np

from .. import kernels
from ..dtypes import as_array
from ..tape import primitive
from ..watching import act
from .arithmetic import abs, clip
from .elementwise import exp, sigmoid
from .reductions import log_softmax, mean
from .shaping import reshape, sum_to, take_along_axis


def _same_shape(name, prediction, target):
    if np.shape(prediction) != np.shape(target):
        raise ValueError(
            f"{name}() got a prediction of shape {np.shape(prediction)} and a target of shape {np.shape(target)}; "
            "give both the same shape, for example with reshape"
        )
    if np.size(prediction) == 0:
        raise ValueError(f"{name}() got an empty prediction of shape {np.shape(prediction)}; a mean needs an element")


def _mse(prediction, target):
    """Mean squared error."""
    _same_shape("mse", prediction, target)
    return kernels.squared_error(prediction, target) / np.asarray(prediction.size, prediction.dtype)


def _mean_of(kernel, out, a, b):
    """The calls that leave the mean over all elements in `out`, for a kernel that sums."""
    return [*kernel.into(out, a, b), (np.divide, (out, np.asarray(a.size, a.dtype), out))]


# (a - b) w: what the squared errors' gradients are made of.
weighted_difference = primitive(
    "weighted_difference",
    lambda a, b, w: kernels.weighted_difference(a, b, w),
    lambda g, y, a, b, w: g * w,
    lambda g, y, a, b, w: -(g * w),
    lambda g, y, a, b, w: g * (a - b),
    into=lambda out, a, b, w: kernels.weighted_difference.into(out, a, b, w),
)

mse = primitive(
    "mse",
    _mse,
    lambda g, y, p, t: weighted_difference(p, t, g * (2.0 / p.size)),
    lambda g, y, p, t: weighted_difference(t, p, g * (2.0 / p.size)),
    into=lambda out, p, t: _mean_of(kernels.squared_error, out, p, t),
)


def l1(prediction, target):
    """Mean absolute error."""
    _same_shape("l1", prediction, target)
    prediction, target = as_array(prediction, "l1"), as_array(target, "l1")
    return mean(abs(prediction - target))


def huber(prediction, target, delta=1.0):
    """Mean of d^2 / 2 for distances d up to delta, delta (|d| - delta / 2) beyond (Huber, 1964)."""
    _same_shape("huber", prediction, target)
    prediction, target = as_array(prediction, "huber"), as_array(target, "huber")
    if not delta > 0:
        raise ValueError(f"huber() got delta {delta}; expected a positive distance")
    distance = abs(prediction - target)
    near = clip(distance, None, delta)
    return mean(near * (distance - near * 0.5))


def _binary_cross_entropy(logits, targets):
    """Mean of -t log p - (1 - t) log(1 - p) with p = sigmoid(logits); finite for every logit."""
    _same_shape("binary_cross_entropy_with_logits", logits, targets)
    return kernels.binary_cross_entropy(logits, targets) / np.asarray(logits.size, logits.dtype)


# d/dl = (sigmoid(l) - t) / n, d/dt = -l / n
binary_cross_entropy_with_logits = primitive(
    "binary_cross_entropy_with_logits",
    _binary_cross_entropy,
    lambda g, y, l, t: (sigmoid(l) - t) * (g * (1.0 / l.size)),
    lambda g, y, l, t: l * (g * (-1.0 / l.size)),
    into=lambda out, l, t: _mean_of(kernels.binary_cross_entropy, out, l, t),
)


def _check_classes(classes: np.ndarray, n: int) -> None:
    if not (classes.min() >= 0 and classes.max() < n):
        raise ValueError(
            f"cross_entropy() got labels from {classes.min()} to {classes.max()} for {n} classes; expected 0 to {n - 1}"
        )


def cross_entropy(logits, labels):
    """Mean of -log softmax(logits) at the true class: logits (n, k), labels (n,) integers from 0 to k - 1.

    Raises ValueError for labels outside the classes, TypeError for labels that are not integers.
    """
    classes = np.asarray(getattr(labels, "data", labels) if not isinstance(labels, np.ndarray) else labels)
    if classes.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy() got labels of dtype {classes.dtype}; expected integers, the number of the class"
        )
    logits = as_array(logits, "cross_entropy")
    if logits.ndim != 2 or classes.shape != logits.shape[:1] or classes.size == 0:
        raise ValueError(
            f"cross_entropy() got logits {logits.shape} and labels {classes.shape}; expected (n, k) and "
            "(n,) with n of 1 or more"
        )
    act(_check_classes, classes, logits.shape[1])  # in a compiled step too
    picked = take_along_axis(log_softmax(logits), reshape(labels, (-1, 1)), 1)
    return -mean(picked)


def _gaussian_nll(mu, target, log_var):
    """Mean of -log N(target; mu, exp(log_var)): (log 2 pi + log_var + (target - mu)^2 exp(-log_var)) / 2.

    `log_var` broadcasts against the others, so one learned number or one per feature will do.
    """
    _same_shape("gaussian_nll", mu, target)
    log_var = np.asarray(log_var, mu.dtype)
    if log_var.shape != mu.shape[-1:] and np.broadcast_shapes(log_var.shape, mu.shape) != mu.shape:
        raise ValueError(f"gaussian_nll() got log_var of shape {log_var.shape}, which does not broadcast to {mu.shape}")
    return kernels.gaussian_nll(mu, target, log_var)


def _gaussian_nll_back(wants, g, y, mu, target, log_var):
    if isinstance(log_var, (int, float)):
        log_var = np.asarray(log_var, mu.dtype)
    share = g * (1.0 / mu.size)
    by_mu = weighted_difference(mu, target, exp(-log_var) * share)
    by_target = -by_mu if wants[1] else None
    by_log_var = None
    if wants[2]:
        # Each of the elements that share a log_var adds (1 - error^2 / variance) share / 2.
        squares = sum_to(by_mu * (mu - target), np.shape(log_var))
        sharing = float(mu.size // max(np.size(log_var), 1))
        by_log_var = (share * sharing - squares) * 0.5
    return by_mu, by_target, by_log_var


gaussian_nll = primitive(
    "gaussian_nll",
    _gaussian_nll,
    joint=_gaussian_nll_back,
    into=lambda out, mu, target, log_var: kernels.gaussian_nll.into(out, mu, target, np.asarray(log_var, mu.dtype)),
)


def _standard_normal_kl(mu, log_sd):
    """KL(N(mu, exp(log_sd)^2) || N(0, 1)), element by element: (mu^2 + exp(2 log_sd) - 1) / 2 - log_sd.

    Kingma and Welling (2014), appendix B.
    """
    return (mu * mu + (np.exp(2 * log_sd) - 1)) * 0.5 - log_sd


def _standard_normal_kl_into(out, mu, log_sd):
    variance = np.empty(np.shape(log_sd), out.dtype)
    return [
        (np.multiply, (log_sd, 2, variance)),
        (np.exp, (variance, variance)),
        (np.subtract, (variance, 1, variance)),
        (np.multiply, (mu, mu, out)),
        (np.add, (out, variance, out)),
        (np.multiply, (out, 0.5, out)),
        (np.subtract, (out, log_sd, out)),
    ]


standard_normal_kl = primitive(
    "standard_normal_kl",
    _standard_normal_kl,
    lambda g, y, mu, log_sd: g * mu,
    lambda g, y, mu, log_sd: g * (exp(log_sd * 2.0) - 1.0),
    into=_standard_normal_kl_into,
)
