"""Losses: one number that says how far predictions are from targets, and the closed-form KL of the normal.

Every loss is the MEAN OVER ALL ELEMENTS, or with `reduction` their "sum" or, for "none", what they are; the KL is left
element by element.

Prediction and target have the same shape; (n, 1) against (n,) is refused, because broadcasting it would compare every
prediction with every target. For a sum over features, multiply by their number.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from .. import kernels
from ..dtypes import as_array, widened
from ..tape import primitive
from ..watching import act
from .arithmetic import abs, clip, equal, not_equal, square, where
from .elementwise import exp, expm1, sigmoid, sigmoid_grad
from .reductions import log_softmax, mean, sum
from .shaping import astype, getitem, reshape, sum_to, take_along_axis

Reduction = Literal["mean", "sum", "none"]


def _same_shape(name, prediction, target, reduction="mean"):
    if np.shape(prediction) != np.shape(target):
        raise ValueError(
            f"{name}() got a prediction of shape {np.shape(prediction)} and a target of shape {np.shape(target)}; "
            "give both the same shape, for example with reshape"
        )
    if np.size(prediction) == 0 and reduction == "mean":
        raise ValueError(f"{name}() got an empty prediction of shape {np.shape(prediction)}; a mean needs an element")


def _reduced(name, elements, reduction):
    if reduction == "none":
        return elements
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{name}() got reduction={reduction!r}; expected one of mean, sum, none")
    return mean(elements) if reduction == "mean" else sum(elements)


def _mse(prediction, target):
    """Mean squared error."""
    _same_shape("mse", prediction, target)
    return kernels.squared_error(prediction, target) / float(np.size(prediction))


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

_mean_squared_error = primitive(
    "mse",
    _mse,
    lambda g, y, p, t: weighted_difference(p, t, g * (2.0 / p.size)),
    lambda g, y, p, t: weighted_difference(t, p, g * (2.0 / p.size)),
    into=lambda out, p, t: _mean_of(kernels.squared_error, out, p, t),
)


def _difference(prediction, target, caller: str):
    return widened(as_array(prediction, caller)) - widened(as_array(target, caller))


def mse(prediction: Any, target: Any, reduction: Reduction = "mean") -> Any:
    """Mean squared error."""
    if reduction == "mean":
        return _mean_squared_error(prediction, target)
    _same_shape("mse", prediction, target, reduction)
    return _reduced("mse", square(_difference(prediction, target, "mse")), reduction)


def l1(prediction: Any, target: Any, reduction: Reduction = "mean") -> Any:
    """Mean absolute error."""
    _same_shape("l1", prediction, target, reduction)
    return _reduced("l1", abs(_difference(prediction, target, "l1")), reduction)


def huber(prediction: Any, target: Any, delta: float = 1.0, reduction: Reduction = "mean") -> Any:
    """Mean of d^2 / 2 for distances d up to delta, delta (|d| - delta / 2) beyond (Huber, 1964)."""
    _same_shape("huber", prediction, target, reduction)
    if not delta > 0:
        raise ValueError(f"huber() got delta {delta}; expected a positive distance")
    distance = abs(_difference(prediction, target, "huber"))
    near = clip(distance, None, delta)
    return _reduced("huber", near * (distance - near * 0.5), reduction)


def _binary_cross_entropy(logits, targets):
    """Mean of -t log p - (1 - t) log(1 - p) with p = sigmoid(logits); finite for every logit."""
    _same_shape("binary_cross_entropy_with_logits", logits, targets)
    return kernels.binary_cross_entropy(logits, targets) / float(np.size(logits))


# sigmoid(l) - t
sigmoid_less = primitive(
    "sigmoid_less",
    lambda l, t: kernels.sigmoid_less(l, t),
    lambda g, y, l, t: sigmoid_grad(g, sigmoid(l)),
    lambda g, y, l, t: -g,
    into=lambda out, l, t: kernels.sigmoid_less.into(out, l, t),
)

# log(1 + exp(l)) - l t, element by element
logit_loss = primitive(
    "logit_loss",
    lambda l, t: kernels.logit_loss(l, t),
    lambda g, y, l, t: sigmoid_less(l, t) * g,
    lambda g, y, l, t: -(l * g),
)

# d/dl = (sigmoid(l) - t) / n, d/dt = -l / n
_mean_binary_cross_entropy = primitive(
    "binary_cross_entropy_with_logits",
    _binary_cross_entropy,
    lambda g, y, l, t: sigmoid_less(l, t) * (g * (1.0 / l.size)),
    lambda g, y, l, t: l * (g * (-1.0 / l.size)),
    into=lambda out, l, t: _mean_of(kernels.binary_cross_entropy, out, l, t),
)


def binary_cross_entropy_with_logits(logits: Any, targets: Any, reduction: Reduction = "mean") -> Any:
    """Mean of -t log p - (1 - t) log(1 - p) with p = sigmoid(logits); finite for every logit."""
    if reduction == "mean":
        return _mean_binary_cross_entropy(logits, targets)
    name = "binary_cross_entropy_with_logits"
    _same_shape(name, logits, targets, reduction)
    return _reduced(name, logit_loss(as_array(logits, name), as_array(targets, name)), reduction)


def _check_classes(classes: np.ndarray, n: int, ignore_index: int | None) -> None:
    if ignore_index is not None:
        classes = classes[classes != ignore_index]
    if classes.size and not (classes.min() >= 0 and classes.max() < n):
        raise ValueError(
            f"cross_entropy() got labels from {classes.min()} to {classes.max()} for {n} classes; expected 0 to {n - 1}"
        )


def cross_entropy(
    logits: Any,
    labels: Any,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: Reduction = "mean",
) -> Any:
    """Mean of -log softmax(logits) at the true class: logits (n, k), labels (n,) integers from 0 to k - 1.

    `weight` (k,) counts each class so many times, and the mean divides by the sum of what was counted; an example with
    the label `ignore_index` is not counted.

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
    act(_check_classes, classes, logits.shape[1], ignore_index)  # in a compiled step too
    labels = as_array(labels, "cross_entropy")
    counted = None
    if ignore_index is not None:
        counted = astype(not_equal(labels, ignore_index), logits.dtype)
        labels = where(equal(labels, ignore_index), 0, labels)
    if weight is not None:
        weight = _class_weights(weight, logits)
        by_class = getitem(weight, labels)
        counted = by_class if counted is None else by_class * counted
    loss = -take_along_axis(log_softmax(logits), reshape(labels, (-1, 1)), 1)
    if counted is None:
        return _reduced("cross_entropy", loss if reduction == "mean" else reshape(loss, (-1,)), reduction)
    loss = where(equal(counted, 0.0), 0.0, reshape(loss, (-1,))) * counted  # also where the loss is infinite
    return sum(loss) / sum(counted) if reduction == "mean" else _reduced("cross_entropy", loss, reduction)


def _class_weights(weight, logits):
    weight = as_array(weight, "cross_entropy")
    if weight.shape != logits.shape[1:]:
        raise ValueError(
            f"cross_entropy() got a weight of shape {weight.shape} for logits {logits.shape}; expected one for each "
            f"class, {logits.shape[1:]}"
        )
    return weight if weight.dtype == logits.dtype else astype(weight, logits.dtype)


def _gaussian_nll(mu, target, log_var):
    """Mean of -log N(target; mu, exp(log_var)): (log 2 pi + log_var + (target - mu)^2 exp(-log_var)) / 2.

    `log_var` broadcasts against the others, so one learned number or one per feature will do.
    """
    _same_shape("gaussian_nll", mu, target)
    mu, target = kernels.real(mu), kernels.real(target)
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


def _gaussian_nll_into(out, mu, target, log_var):
    if mu.dtype != out.dtype:
        return [(kernels.copy_result, (out, _gaussian_nll, (mu, target, log_var)))]
    return kernels.gaussian_nll.into(out, mu, target, np.asarray(log_var, mu.dtype))


_mean_gaussian_nll = primitive("gaussian_nll", _gaussian_nll, joint=_gaussian_nll_back, into=_gaussian_nll_into)


def gaussian_nll(mu: Any, target: Any, log_var: Any, reduction: Reduction = "mean") -> Any:
    """Mean of -log N(target; mu, exp(log_var)): (log 2 pi + log_var + (target - mu)^2 exp(-log_var)) / 2.

    `log_var` broadcasts against the others, so one learned number or one per feature will do.
    """
    if reduction == "mean":
        return _mean_gaussian_nll(mu, target, log_var)
    _same_shape("gaussian_nll", mu, target, reduction)
    log_var = widened(as_array(log_var, "gaussian_nll"))
    scaled = square(_difference(target, mu, "gaussian_nll")) * exp(-log_var)
    return _reduced("gaussian_nll", (scaled + log_var + math.log(2 * math.pi)) * 0.5, reduction)


def _standard_normal_kl(mu, log_sd):
    """KL(N(mu, exp(log_sd)^2) || N(0, 1)), element by element: (mu^2 + exp(2 log_sd) - 1) / 2 - log_sd.

    Kingma and Welling (2014), appendix B.
    """
    return kernels.standard_normal_kl(mu, log_sd)


standard_normal_kl = primitive(
    "standard_normal_kl",
    _standard_normal_kl,
    lambda g, y, mu, log_sd: g * mu,
    lambda g, y, mu, log_sd: g * expm1(log_sd * 2.0),
    into=lambda out, mu, log_sd: kernels.standard_normal_kl.into(out, mu, log_sd),
)
