"""Functions of one number, applied to every element: exponentials, circular functions, activations.

The gradients of the activations are operations of their own (`tanh_grad`, ...), because the fused linear layer uses
them too. Those of tanh, sigmoid, relu, leaky_relu and elu are written with the result y, which is at hand when the
backward pass comes.
"""

import math
from functools import partial

import numpy as np

from .. import kernels
from ..dtypes import as_array
from ..tape import primitive
from .arithmetic import square, where

exp = primitive("exp", np.exp, lambda g, y, x: g * y)

expm1 = primitive("expm1", np.expm1, lambda g, y, x: g * (y + 1.0))

log1p = primitive("log1p", np.log1p, lambda g, y, x: g / (x + 1.0))

sin = primitive("sin", np.sin, lambda g, y, x: g * cos(x))

cos = primitive("cos", np.cos, lambda g, y, x: -(g * sin(x)))

tanh = primitive("tanh", np.tanh, lambda g, y, x: tanh_grad(g, y))

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
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _softplus_into(out, x):
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
    return np.maximum(x, float(check_slope(slope)) * x)


# The gradients tell by the sign of the result on which side of 0 the argument lay, so the sign must be kept.


def check_slope(slope):
    """The slope of leaky_relu itself; ValueError unless it is from 0 to 1."""
    if not 0 <= slope <= 1:
        raise ValueError(f"leaky_relu() got slope {slope}; expected a number between 0 and 1")
    return slope


def check_alpha(alpha):
    """The alpha of elu itself; ValueError if it is negative."""
    if not alpha >= 0:
        raise ValueError(f"elu() got alpha {alpha}; expected a number of 0 or more")
    return alpha


leaky_relu = primitive(
    "leaky_relu",
    _leaky_relu,
    lambda g, y, x, slope=0.01: leaky_relu_grad(g, y, slope),
    into=lambda out, x, slope=0.01: [(np.multiply, (x, float(slope), out)), (partial(np.maximum, out=out), (x, out))],
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
    return np.where(x > 0, x, float(check_alpha(alpha)) * np.expm1(np.minimum(x, 0)))


elu = primitive("elu", _elu, lambda g, y, x, alpha=1.0: elu_grad(g, y, alpha))

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


def _erf(x):
    """Error function, exact to double precision; NumPy has none, so this is slower than its neighbours."""
    x = np.asarray(x)
    return np.fromiter(map(math.erf, x.ravel()), np.result_type(x, np.float32), x.size).reshape(x.shape)


erf = primitive("erf", _erf, lambda g, y, x: g * (exp(-square(x)) * (2 / math.sqrt(math.pi))))


def gelu(x):
    """x Phi(x) with the standard normal distribution function Phi (Hendrycks and Gimpel, 2016), the exact form."""
    x = as_array(x, "gelu")
    return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1.0)
