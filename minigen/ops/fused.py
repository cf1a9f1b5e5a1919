"""The linear layer in one operation: matrix product, bias and activation, with one array where three would be made."""

from __future__ import annotations

from typing import Any

from .. import kernels
from ..dtypes import OPERATIONS
from ..tape import primitive
from .elementwise import check_alpha, check_slope, elu_grad, leaky_relu_grad, sigmoid_grad, tanh_grad
from .matmul import matrix_product, product
from .reductions import sum
from .shaping import reshape, transpose

# By name: the kernel that adds the bias and applies the activation in place; what it takes beside z and bias; and the
# gradient, written with the result.
ACTIVATIONS = {
    "identity": ("bias_identity", lambda: (), lambda g, y: g),
    "tanh": ("bias_tanh", lambda: (), tanh_grad),
    "sigmoid": ("bias_sigmoid", lambda: (), sigmoid_grad),
    "relu": ("bias_leaky_relu", lambda: (0.0,), lambda g, y: leaky_relu_grad(g, y, 0.0)),
    "leaky_relu": (
        "bias_leaky_relu",
        lambda slope=0.01: (check_slope(slope),),
        lambda g, y, slope=0.01: leaky_relu_grad(g, y, slope),
    ),
    "elu": (
        "bias_elu",
        lambda alpha=1.0: (check_alpha(alpha),),
        lambda g, y, alpha=1.0: elu_grad(g, y, alpha),
    ),
}


def plain_linear(x: Any, weight: Any, bias: Any, activation: str = "identity", **settings: float) -> Any:
    """What `linear` computes, operation by operation; its values and derivatives are tested against these."""
    y = x @ transpose(weight) + bias
    return y if activation == "identity" else OPERATIONS[activation](y, **settings)


def _linear(x, weight, bias, activation="identity", **settings):
    """activation(x weight^T + bias): x (..., n_in), weight (n_out, n_in), bias (n_out,) -> (..., n_out)."""
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"a linear layer of weight shape {weight.shape} (out, in) takes inputs whose last axis is "
            f"{weight.shape[1]}; got shape {x.shape}"
        )
    if bias.shape != weight.shape[:1]:
        raise ValueError(
            f"a linear layer of weight shape {weight.shape} (out, in) takes a bias of shape {weight.shape[:1]}; "
            f"got {bias.shape}"
        )
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} cannot be fused; choose one of {', '.join(ACTIVATIONS)}")
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    z = product(rows, weight.T)
    kernel, constants, _ = ACTIVATIONS[activation]
    getattr(kernels, kernel)(z, bias, *constants(**settings))
    return z if x.ndim == 2 else z.reshape(*x.shape[:-1], weight.shape[0])


def _linear_back(wants, g, y, x, weight, bias, activation="identity", **settings):
    g = ACTIVATIONS[activation][2](g, y, **settings)
    shape = x.shape
    if len(shape) != 2:
        g, x = reshape(g, (-1, weight.shape[0])), reshape(x, (-1, weight.shape[1]))
    by_x = matrix_product(g, weight) if wants[0] else None
    if by_x is not None and len(shape) != 2:
        by_x = reshape(by_x, shape)
    by_weight = matrix_product(transpose(g), x) if wants[1] else None
    by_bias = sum(g, 0) if wants[2] else None
    return by_x, by_weight, by_bias


def _linear_into(out, x, weight, bias, activation="identity", **settings):
    if not x.flags.c_contiguous:
        return [(kernels.copy_result, (out, _linear, (x, weight, bias, activation), settings))]
    rows, z = x.reshape(-1, x.shape[-1]), out.reshape(-1, weight.shape[0])
    kernel, constants, _ = ACTIVATIONS[activation]
    return [(product, (rows, weight.T, z)), *getattr(kernels, kernel).into(z, bias, *constants(**settings))]


linear = primitive("linear", _linear, joint=_linear_back, into=_linear_into)
