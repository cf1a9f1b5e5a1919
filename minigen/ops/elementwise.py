"""Functions of one number, applied to every element: exponentials, circular functions, activations.

The gradients of the activations are operations of their own (`tanh_grad`, ...), because the fused linear layer uses
them too. Those of tanh, sigmoid, relu, leaky_relu and elu are written with the result y, which is at hand when the
backward pass comes.
"""

import math
from functools import partial

import numpy as np

from .. import kernels
from ..kernels import copy_result, real
from ..tape import primitive
from .arithmetic import equal, function_of_floats, minimum, square, where

exp = function_of_floats(np.exp, lambda g, y, x: g * y)

# Not y + 1, which far below 0 has no digit left.
expm1 = function_of_floats(np.expm1, lambda g, y, x: g * exp(x))

log1p = function_of_floats(np.log1p, lambda g, y, x: g / (x + 1.0))

sin = function_of_floats(np.sin, lambda g, y, x: g * cos(x))

cos = function_of_floats(np.cos, lambda g, y, x: -(g * sin(x)))

tan = function_of_floats(np.tan, lambda g, y, x: g * (square(y) + 1.0))

tanh = function_of_floats(np.tanh, lambda g, y, x: tanh_grad(g, y))

# g (1 - y^2)
tanh_grad = primitive(
    "tanh_grad",
    lambda g, y: kernels.tanh_grad(g, y),
    lambda u, _, g, y: tanh_grad(u, y),
    lambda u, _, g, y: u * g * (y * -2.0),
    into=lambda out, g, y: kernels.tanh_grad.into(out, g, y),
)

sigmoid = primitive(
    "sigmoid",
    lambda x: kernels.sigmoid(x),
    lambda g, y, x: sigmoid_grad(g, y),
    into=lambda out, x: kernels.sigmoid.into(out, x),
)

# g y (1 - y)
sigmoid_grad = primitive(
    "sigmoid_grad",
    lambda g, y: kernels.sigmoid_grad(g, y),
    lambda u, _, g, y: sigmoid_grad(u, y),
    lambda u, _, g, y: u * g * (1.0 - y * 2.0),
    into=lambda out, g, y: kernels.sigmoid_grad.into(out, g, y),
)


def _softplus(x):
    """log(1 + exp(x)), without overflow."""
    x = real(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softplus_into(out, x):
    if x.dtype != out.dtype:
        return [(copy_result, (out, _softplus, (x,)))]
    above = np.empty_like(out)
    return [
        (np.abs, (x, out)),
        (np.negative, (out, out)),
        (np.exp, (out, out)),
        (np.log1p, (out, out)),
        (partial(np.maximum, out=above), (x, 0)),
        (np.add, (above, out, out)),
    ]


softplus = primitive("softplus", _softplus, lambda g, y, x: g * sigmoid(x), into=_softplus_into)


def _apart(a, b):
    return where(equal(a, b), 0.0, a - b)  # for Inf - Inf is NaN


# log(exp(a) + exp(b)), without overflow
logaddexp = primitive(
    "logaddexp",
    lambda a, b: np.logaddexp(real(a), real(b)) if np.result_type(a, b).kind != "f" else np.logaddexp(a, b),
    lambda g, y, a, b: g * sigmoid(_apart(a, b)),
    lambda g, y, a, b: g * sigmoid(_apart(b, a)),
    into=lambda out, a, b: [(np.logaddexp, (a, b, out))],
)


def _relu(x):
    """max(x, 0), with derivative 0 at 0."""
    return np.maximum(x, 0)


relu = primitive(
    "relu",
    _relu,
    lambda g, y, x: leaky_relu_grad(g, y, 0.0),
    into=lambda out, x: [(partial(np.maximum, out=out), (x, 0))],
)


def _leaky_relu(x, slope=0.01):
    """x where x > 0, slope x elsewhere; 0 <= slope <= 1."""
    if check_slope(slope) == 0:
        return np.maximum(x, 0)  # for 0 times Inf is NaN
    return np.maximum(x, float(slope) * np.asarray(x))


def _leaky_relu_into(out, x, slope=0.01):
    limit = partial(np.maximum, out=out)
    return [(limit, (x, 0))] if slope == 0 else [(np.multiply, (x, float(slope), out)), (limit, (x, out))]


# The gradients tell by the sign of the result on which side of 0 the argument lay, so the sign must be kept.


def check_slope(slope: float) -> float:
    """The slope of leaky_relu itself; ValueError unless it is from 0 to 1."""
    if not 0 <= slope <= 1:
        raise ValueError(f"leaky_relu() got slope {slope}; expected a number between 0 and 1")
    return slope


def check_alpha(alpha: float) -> float:
    """The alpha of elu itself; ValueError if it is negative."""
    if not alpha >= 0:
        raise ValueError(f"elu() got alpha {alpha}; expected a number of 0 or more")
    return alpha


leaky_relu = primitive(
    "leaky_relu",
    _leaky_relu,
    lambda g, y, x, slope=0.01: leaky_relu_grad(g, y, slope),
    into=_leaky_relu_into,
)

# g where y > 0, slope g elsewhere
leaky_relu_grad = primitive(
    "leaky_relu_grad",
    lambda g, y, slope: kernels.leaky_relu_grad(g, y, slope),
    lambda u, _, g, y, slope: leaky_relu_grad(u, y, slope),
    None,
    into=lambda out, g, y, slope: kernels.leaky_relu_grad.into(out, g, y, slope),
)


def _elu(x, alpha=1.0):
    """x where x > 0, alpha (exp(x) - 1) elsewhere; alpha >= 0."""
    x = real(x)
    return np.where(x > 0, x, float(check_alpha(alpha)) * np.expm1(np.minimum(x, 0)))


# Far below 0 y + alpha would have no digit left; the fused layer, which has y alone, is right to rounding of alpha.
elu = primitive(
    "elu",
    _elu,
    lambda g, y, x, alpha=1.0: g * where(x > 0.0, 1.0, float(alpha) * exp(minimum(x, 0.0))),
)

# g where y > 0, g (y + alpha) elsewhere
elu_grad = primitive(
    "elu_grad",
    lambda g, y, alpha: kernels.elu_grad(g, y, alpha),
    lambda u, _, g, y, alpha: elu_grad(u, y, alpha),
    lambda u, _, g, y, alpha: where(y > 0.0, 0.0, u * g),
    into=lambda out, g, y, alpha: kernels.elu_grad.into(out, g, y, alpha),
)

silu = primitive(
    "silu",
    lambda x: kernels.silu(x),
    lambda g, y, x: silu_grad(g, x),
    into=lambda out, x: kernels.silu.into(out, x),
)

# g s (1 + x (1 - s)), s = sigmoid(x)
silu_grad = primitive(
    "silu_grad",
    lambda g, x: kernels.silu_grad(g, x),
    lambda u, _, g, x: silu_grad(u, x),
    lambda u, _, g, x: silu_curvature(u * g, x),
    into=lambda out, g, x: kernels.silu_grad.into(out, g, x),
)


def _silu_third(u, _, c, x):
    # d/dx of s (1 - s) (2 + x (1 - 2 s)) = s (1 - s) ((1 - 2 s) (3 + x (1 - 2 s)) - 2 x s (1 - s))
    s = sigmoid(x)
    slope, middle = (sigmoid_grad(u * c, s), 1.0 - s * 2.0)
    inner = middle * (x * middle + 3.0)
    return slope * (inner - x * 2.0 * sigmoid_grad(1.0, s))


# c s (1 - s) (2 + x (1 - 2 s)): the second derivative of silu, times c
silu_curvature = primitive(
    "silu_curvature",
    lambda c, x: kernels.silu_curvature(c, x),
    lambda u, _, c, x: silu_curvature(u, x),
    _silu_third,
    into=lambda out, c, x: kernels.silu_curvature.into(out, c, x),
)


erf = primitive(
    "erf",
    lambda x: kernels.erf(x),
    lambda g, y, x: g * (exp(-square(x)) * (2 / math.sqrt(math.pi))),
    into=lambda out, x: kernels.erf.into(out, x),
)


def _gelu(x):
    """x Phi(x) with the standard normal distribution function Phi (Hendrycks and Gimpel, 2016), the exact form."""
    return kernels.gelu(x)


gelu = primitive(
    "gelu",
    _gelu,
    lambda g, y, x: gelu_grad(g, x),
    into=lambda out, x: kernels.gelu.into(out, x),
)

# g (Phi + x phi), with the density phi of the standard normal
gelu_grad = primitive(
    "gelu_grad",
    lambda g, x: kernels.gelu_grad(g, x),
    lambda u, _, g, x: gelu_grad(u, x),
    lambda u, _, g, x: gelu_curvature(u * g, x),
    into=lambda out, g, x: kernels.gelu_grad.into(out, g, x),
)

# c phi (2 - x^2): the second derivative of gelu, times c. The third is phi x (x^2 - 4).
gelu_curvature = primitive(
    "gelu_curvature",
    lambda c, x: kernels.gelu_curvature(c, x),
    lambda u, _, c, x: gelu_curvature(u, x),
    lambda u, _, c, x: u * c * exp(square(x) * -0.5) * (x * (square(x) - 4.0)) * (1 / math.sqrt(2 * math.pi)),
    into=lambda out, c, x: kernels.gelu_curvature.into(out, c, x),
)
