"""Kernels of the nonlinearities: value, gradient, and bias and activation added to a matrix product in one pass.

The float32 exponential is Cody and Waite's: x = n ln 2 + r with the degree-6 polynomial for exp(r) of the Cephes
library (Moshier), relative error 2e-7. The float32 tanh is the clamped rational function of degree 13 over 6 used by
Eigen, absolute error 3e-7, and so is the erf of degree 13 over 8. The float32 normal distribution function is the
Chebyshev fit of the complementary error function in Press et al., Numerical Recipes, section 6.2, in float64, relative
error 1.2e-7. All use only operations that a vector register has.

Where a factor is 0 its product is 0, even with Inf: the limits of the functions, where a bare product would be NaN.
"""

from __future__ import annotations

import math

import numpy as np

from . import real
from .jit import USE_NUMBA, elementwise, elementwise_pair, f32, in_place, njit


@njit
def exp_float32(x: float) -> float:
    if x < f32(-87.3):
        return f32(0.0)
    if x > f32(88.3):
        return f32(np.inf)
    n = np.floor(x * f32(1.44269504) + f32(0.5))
    r = (x - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    return (exp_tail(r) * r * r + r + f32(1.0)) * _power_of_two(n)


@njit
def exp_tail(r: float) -> float:
    """(exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2."""
    p = f32(1.9875691500e-4)
    p = p * r + f32(1.3981999507e-3)
    p = p * r + f32(8.3334519073e-3)
    p = p * r + f32(4.1665795894e-2)
    p = p * r + f32(1.6666665459e-1)
    return p * r + f32(5.0000001201e-1)


@njit
def _power_of_two(n):
    return np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit
def exp_remainder(x: float) -> float:
    """exp(x) - 1 - x, which near 0 is half the square of x, with all its digits."""
    y = max(x, f32(-87.3))
    n = np.floor(y * f32(1.44269504) + f32(0.5))
    r = (y - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    scale = _power_of_two(n)
    square = exp_tail(r) * r * r
    remainder = square if n == f32(0.0) else (square + r) * scale + (scale - f32(1.0)) - x
    return f32(np.inf) if x > f32(88.3) else remainder


@njit
def _expm1_below_zero(x):
    x = max(x, f32(-87.3))
    n = np.floor(x * f32(1.44269504) + f32(0.5))
    r = (x - n * f32(0.693359375)) + n * f32(2.12194440e-4)
    scale = _power_of_two(n)
    return (exp_tail(r) * r * r + r) * scale + (scale - f32(1.0))


@njit
def exp_float64(x: float) -> float:
    """exp(x) for x <= 0 to 2 ulp, 0 from -708 down, in operations that a vector register has.

    Cody and Waite's x = n ln 2 + r, with the Taylor polynomial of degree 12 for exp(r). Adding 1.5 * 2^52 rounds to
    a whole number n and leaves it in the lowest bits, from where a shift takes it to the exponent's place.
    """
    shifted = max(x, -708.0) * 1.4426950408889634 + 6755399441055744.0
    n = shifted - 6755399441055744.0
    r = (max(x, -708.0) - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r * r + r + 1.0
    two_to_n = np.int64((np.float64(shifted).view(np.int64) + np.int64(1023)) << np.int64(52)).view(np.float64)
    return p * two_to_n if x > -708.0 else 0.0


@njit
def _tanh(x):
    x = min(max(x, f32(-7.90531110763549805)), f32(7.90531110763549805))
    s = x * x
    p = f32(-2.76076847742355e-16)
    p = p * s + f32(2.00018790482477e-13)
    p = p * s + f32(-8.60467152213735e-11)
    p = p * s + f32(5.12229709037114e-08)
    p = p * s + f32(1.48572235717979e-05)
    p = p * s + f32(6.37261928875436e-04)
    p = p * s + f32(4.89352455891786e-03)
    q = f32(1.19825839466702e-06)
    q = q * s + f32(1.18534705686654e-04)
    q = q * s + f32(2.26843463243900e-03)
    q = q * s + f32(4.89352518554385e-03)
    return x * p / q


@njit
def _sigmoid(x):
    return f32(1.0) / (f32(1.0) + exp_float32(-x))


@njit
def _erf(x):
    x = min(max(x, f32(-4.0)), f32(4.0))
    s = x * x
    p = f32(-2.72614225801306e-10)
    p = p * s + f32(2.77068142495902e-08)
    p = p * s + f32(-2.10102402082508e-06)
    p = p * s + f32(-5.69250639462346e-05)
    p = p * s + f32(-7.34990630326855e-04)
    p = p * s + f32(-2.95459980854025e-03)
    p = p * s + f32(-1.60960333262415e-02)
    q = f32(-1.45660718464996e-05)
    q = q * s + f32(-2.13374055278905e-04)
    q = q * s + f32(-1.68282697438203e-03)
    q = q * s + f32(-7.37332916720468e-03)
    q = q * s + f32(-1.42647390514189e-02)
    return min(max(x * p / q, f32(-1.0)), f32(1.0))


@njit
def _normal_cdf(x):
    """The standard normal distribution function of a float32, as a float64."""
    z = abs(np.float64(x)) * 0.7071067811865476
    t = 1.0 / (1.0 + 0.5 * z)
    p = -0.82215223 + t * 0.17087277
    p = -1.13520398 + t * (1.48851587 + t * p)
    p = -0.18628806 + t * (0.27886807 + t * p)
    p = 0.37409196 + t * (0.09678418 + t * p)
    p = -1.26551223 + t * (1.00002368 + t * p)
    beyond = 0.5 * t * exp_float64(p - z * z)
    return beyond if x < 0 else 1.0 - beyond


@njit
def _normal_density(x):
    return 0.3989422804014327 * exp_float64(-0.5 * np.float64(x) * np.float64(x))


# Value of an activation.


def erf_numpy(x: np.ndarray) -> np.ndarray:
    x = real(x)
    return np.fromiter(map(math.erf, x.ravel()), x.dtype, x.size).reshape(x.shape)


@njit
def _erf_float64(x, out):
    for i in range(x.size):
        out[i] = math.erf(x[i])


@elementwise(erf_numpy, float64=_erf_float64)
def erf(x: np.ndarray, out: np.ndarray) -> None:
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = _erf(x[i])


@njit
def _normal_cdf_float64(x, out):
    for i in range(x.size):
        out[i] = 0.5 * math.erfc(-0.7071067811865476 * x[i])


def normal_cdf(x: np.ndarray) -> np.ndarray:
    """The standard normal distribution function, in float64, which keeps its digits far below 0."""
    x = np.asarray(x, np.float64)
    if not USE_NUMBA:
        return np.fromiter((0.5 * math.erfc(-v / math.sqrt(2)) for v in x.ravel()), x.dtype, x.size).reshape(x.shape)
    out = np.empty(x.shape)
    _normal_cdf_float64(np.ascontiguousarray(x).ravel(), out.reshape(-1))
    return out


def _or_zero(product, factor):
    """The product, but 0 where this factor of it is 0."""
    return np.where(factor == 0, 0, product)


def _normal_density_numpy(x):
    return np.exp(-0.5 * np.square(x, dtype=np.float64)) / math.sqrt(2 * math.pi)


def gelu_numpy(x: np.ndarray) -> np.ndarray:
    x = real(x)
    with np.errstate(invalid="ignore"):
        below = normal_cdf(x)
        return _or_zero(x * below, below).astype(x.dtype, copy=False)


@elementwise(gelu_numpy)
def gelu(x: np.ndarray, out: np.ndarray) -> None:
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        below = _normal_cdf(x[i])
        out[i] = below if below == 0.0 else x[i] * below


def sigmoid_numpy(x: np.ndarray) -> np.ndarray:
    x = real(x)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@elementwise(sigmoid_numpy)
def sigmoid(x: np.ndarray, out: np.ndarray) -> None:
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = _sigmoid(x[i])


def silu_numpy(x: np.ndarray) -> np.ndarray:
    x = real(x)
    with np.errstate(invalid="ignore"):
        s = sigmoid_numpy(x)
        return _or_zero(x * s, s)


@elementwise(silu_numpy)
def silu(x: np.ndarray, out: np.ndarray) -> None:
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        s = _sigmoid(x[i])
        out[i] = s if s == f32(0.0) else x[i] * s


# Gradient of an activation, times the upstream gradient g.


def tanh_grad_numpy(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return g * (1 - y * y)


@elementwise_pair(tanh_grad_numpy)
def tanh_grad(g: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    g, y, out = g.ravel(), y.ravel(), out.ravel()
    for i in range(g.size):
        out[i] = g[i] * (f32(1.0) - y[i] * y[i])


def sigmoid_grad_numpy(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    return g * y * (1 - y)


@elementwise_pair(sigmoid_grad_numpy)
def sigmoid_grad(g: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    g, y, out = g.ravel(), y.ravel(), out.ravel()
    for i in range(g.size):
        out[i] = g[i] * y[i] * (f32(1.0) - y[i])


def leaky_relu_grad_numpy(g: np.ndarray, y: np.ndarray, slope: float) -> np.ndarray:
    return np.where(y > 0, g, float(slope) * g if slope != 0 else 0)


@elementwise_pair(leaky_relu_grad_numpy)
def leaky_relu_grad(g: np.ndarray, y: np.ndarray, out: np.ndarray, slope: float) -> None:
    g, y, out = g.ravel(), y.ravel(), out.ravel()
    slope = f32(slope)
    for i in range(g.size):
        below = slope * g[i] if slope != f32(0.0) else f32(0.0)
        out[i] = g[i] if y[i] > 0 else below


def elu_grad_numpy(g: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(y > 0, g, g * (y + float(alpha)))


@elementwise_pair(elu_grad_numpy)
def elu_grad(g: np.ndarray, y: np.ndarray, out: np.ndarray, alpha: float) -> None:
    g, y, out = g.ravel(), y.ravel(), out.ravel()
    alpha = f32(alpha)
    for i in range(g.size):
        out[i] = g[i] if y[i] > 0 else g[i] * (y[i] + alpha)


# With s = sigmoid(x) and u = s (1 - s), which is 0 at both ends.


def silu_grad_numpy(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        s = sigmoid_numpy(x)
        u = s * (1 - s)
        return g * (s + _or_zero(x * u, u))


@elementwise_pair(silu_grad_numpy)
def silu_grad(g: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    g, x, out = g.ravel(), x.ravel(), out.ravel()
    for i in range(g.size):
        s = _sigmoid(x[i])
        u = s * (f32(1.0) - s)
        out[i] = g[i] * (s + (u if u == f32(0.0) else x[i] * u))


def silu_curvature_numpy(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        s = sigmoid_numpy(x)
        u = s * (1 - s)
        return c * (2 * u + _or_zero(x * u, u) * (1 - 2 * s))


@elementwise_pair(silu_curvature_numpy)
def silu_curvature(c: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    c, x, out = c.ravel(), x.ravel(), out.ravel()
    for i in range(c.size):
        s = _sigmoid(x[i])
        u = s * (f32(1.0) - s)
        out[i] = c[i] * (f32(2.0) * u + (u if u == f32(0.0) else x[i] * u) * (f32(1.0) - f32(2.0) * s))


# With the distribution function Phi and the density phi of the standard normal: Phi + x phi, and phi (2 - x^2).


def gelu_grad_numpy(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        density = _normal_density_numpy(x)
        return g * (normal_cdf(x) + _or_zero(x * density, density)).astype(np.result_type(g, x), copy=False)


@elementwise_pair(gelu_grad_numpy)
def gelu_grad(g: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    g, x, out = g.ravel(), x.ravel(), out.ravel()
    for i in range(g.size):
        density = _normal_density(x[i])
        out[i] = g[i] * f32(_normal_cdf(x[i]) + (density if density == 0.0 else x[i] * density))


def gelu_curvature_numpy(c: np.ndarray, x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        density = _normal_density_numpy(x)
        curvature = _or_zero(density * (2 - np.square(x, dtype=np.float64)), density)
        return c * curvature.astype(np.result_type(c, x), copy=False)


@elementwise_pair(gelu_curvature_numpy)
def gelu_curvature(c: np.ndarray, x: np.ndarray, out: np.ndarray) -> None:
    c, x, out = c.ravel(), x.ravel(), out.ravel()
    for i in range(c.size):
        density = _normal_density(x[i])
        square = np.float64(x[i]) * np.float64(x[i])
        out[i] = c[i] * f32(density if density == 0.0 else density * (2.0 - square))


# Bias and activation in place on a matrix product z of shape (n, d), with b of shape (d,).


def bias_identity_numpy(z: np.ndarray, b: np.ndarray) -> None:
    z += b


@in_place(bias_identity_numpy)
def bias_identity(z: np.ndarray, b: np.ndarray) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] += b[j]


def bias_tanh_numpy(z: np.ndarray, b: np.ndarray) -> None:
    z += b
    np.tanh(z, out=z)


@in_place(bias_tanh_numpy)
def bias_tanh(z: np.ndarray, b: np.ndarray) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = _tanh(z[i, j] + b[j])


def bias_sigmoid_numpy(z: np.ndarray, b: np.ndarray) -> None:
    z += b
    z[...] = sigmoid_numpy(z)


@in_place(bias_sigmoid_numpy)
def bias_sigmoid(z: np.ndarray, b: np.ndarray) -> None:
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            z[i, j] = _sigmoid(z[i, j] + b[j])


def bias_leaky_relu_numpy(z: np.ndarray, b: np.ndarray, slope: float) -> None:
    z += b
    if slope == 0:
        np.maximum(z, 0, out=z)
    else:
        np.multiply(z, slope, out=z, where=z < 0)


@in_place(bias_leaky_relu_numpy)
def bias_leaky_relu(z: np.ndarray, b: np.ndarray, slope: float) -> None:
    slope = f32(slope)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            v = z[i, j] + b[j]
            below = slope * v if slope != f32(0.0) else f32(0.0)
            z[i, j] = below if v < 0 else v


def bias_elu_numpy(z: np.ndarray, b: np.ndarray, alpha: float) -> None:
    z += b
    z[...] = np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


@in_place(bias_elu_numpy)
def bias_elu(z: np.ndarray, b: np.ndarray, alpha: float) -> None:
    alpha = f32(alpha)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            v = z[i, j] + b[j]
            z[i, j] = alpha * _expm1_below_zero(v) if v < 0 else v
