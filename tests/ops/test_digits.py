"""Digits that are easily lost: running sums, log(1 + small), exp(small) - 1, 0 times infinity, powers at their corners.

The right values come from sums in float64 or of whole numbers, from log1p and expm1, from SciPy and from
series written out here.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special

import minigen
from minigen import Tensor, ops
from minigen.tape import OPERATIONS, leaf

FLOATS = (np.float32, np.float64)
NEAR_ZERO = [1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-12]


def slope(f, *arrays):
    leaves = [leaf(np.asarray(a)) for a in arrays]
    return [g.data for g in minigen.grad(ops.sum(f(*leaves)), leaves)]


def compiled(f, *arrays):
    """What a compiled step gives in its third call, which is a replay."""
    step = minigen.compile(f)
    return [np.asarray(step(*arrays)) for _ in range(3)][-1]


# Running sums


MANY = 2**25  # beyond 2^24 a float32 no longer grows by 1


@pytest.mark.parametrize(
    "shape, axis",
    [((MANY,), None), ((MANY, 1), 0), ((MANY, 1), None), ((2, MANY // 2), 1), ((MANY // 2, 2), 0), ((MANY, 1, 1), 0)],
)
def test_sums_of_ones_are_their_number(shape, axis):
    x = np.ones(shape, np.float32)
    n = MANY if axis is None else shape[axis]
    for name, expected in (("sum", n), ("mean", 1.0), ("norm", math.sqrt(n))):
        np.testing.assert_allclose(getattr(ops, name)(x, axis), expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [(0, 1), (1, 2), (0, 2), 1, (0, 1, 2), (-2, 0)])
@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray, lambda x: np.repeat(x, 2, 2)[:, :, ::2]])
def test_sums_over_several_axes(axis, layout):
    x = layout(np.random.default_rng(0).random((300, 200, 3), np.float32) + np.float32(100))
    for name in ("sum", "mean", "var", "std", "norm"):
        expected = np.linalg.norm if name == "norm" else getattr(np, name)
        if name == "norm":
            expected = lambda x, axis: np.sqrt(np.sum(np.square(x), axis=axis))
        exact = expected(x.astype(np.float64), axis=axis)
        close = 1e-4 if name in ("var", "std") else 3e-7  # a spread of 0.3 around 100: the mean itself is rounded
        f = getattr(ops, name)
        np.testing.assert_allclose(f(x, axis), exact, rtol=close)
        np.testing.assert_allclose(compiled(lambda x, f=f: f(x, axis), x), exact, rtol=close)


def test_running_sums_and_what_is_summed_down_to_a_smaller_shape():
    x = np.full((2**20, 3), 0.1, np.float32)
    total = 2**20 * float(np.float32(0.1))
    np.testing.assert_allclose(ops.cumsum(x, 0)[-1], total, rtol=1e-7)
    np.testing.assert_allclose(OPERATIONS["sum_to"](x, (3,)), total, rtol=1e-7)
    np.testing.assert_allclose(OPERATIONS["sum_to"](x[:, None], (1, 3)), total, rtol=1e-7)
    (by_bias,) = slope(lambda b: b * x, np.zeros(3, np.float32))
    np.testing.assert_allclose(by_bias, total, rtol=1e-7)
    weight, bias = np.ones((3, 3), np.float32), np.zeros(3, np.float32)
    (by_bias,) = slope(lambda b: ops.linear(x, weight, b) * np.float32(0.1), bias)
    np.testing.assert_allclose(by_bias, total, rtol=1e-7)


def test_normalisers_of_many_numbers():
    x = np.random.default_rng(0).random(2**21, np.float32)
    exact = scipy.special.logsumexp(x.astype(np.float64))
    for f, row in ((ops.logsumexp, x[None]), (lambda x, axis: ops.logsumexp(x, 0), x), (ops.logsumexp, x[None, ::-1])):
        np.testing.assert_allclose(f(row, -1), exact, rtol=1e-6)
    np.testing.assert_allclose(ops.logsumexp(x[:, None], 0), exact, rtol=1e-6)
    for axis, row in ((-1, x), (0, x[:, None])):
        assert abs(ops.softmax(row, axis).sum(dtype=np.float64) - 1) < 1e-6
        assert abs(np.exp(ops.log_softmax(row, axis).astype(np.float64)).sum() - 1) < 1e-5
    assert ops.softmax(np.zeros(MANY, np.float32)).sum(dtype=np.float64) == 1.0


def test_losses_of_many_numbers_in_any_layout():
    p, t = np.random.default_rng(0).random((2, 2048, 512), np.float32)
    exact = np.mean(np.square(p.astype(np.float64) - t))
    for a, b in ((p, t), (p.T, t.T), (p[::-1], t[::-1])):
        np.testing.assert_allclose(ops.mse(a, b), exact, rtol=3e-7)
    bce = np.mean(np.logaddexp(0, p.astype(np.float64)) - p.astype(np.float64) * t)
    for a, b in ((p, t), (p.T, t.T)):
        np.testing.assert_allclose(ops.binary_cross_entropy_with_logits(a, b), bce, rtol=3e-7)
    np.testing.assert_allclose(ops.l1(p, t), np.mean(np.abs(p.astype(np.float64) - t)), rtol=3e-7)


# log(1 + small) and exp(small) - 1


@pytest.mark.parametrize("gap", [1.0, 10.0, 17.0, 40.0, 80.0])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_loss_of_a_confident_class(gap, dtype):
    gap = float(dtype(gap))
    exact = math.log1p(math.exp(-gap))
    close = 3e-7 if dtype == np.float32 else 1e-14
    for x in (np.array([[gap, 0.0]], dtype), np.array([[gap, 0.0], [0.0, gap]], dtype)[::-1][1:]):
        for axis, rows in ((1, x), (0, np.ascontiguousarray(x.T))):
            np.testing.assert_allclose(ops.log_softmax(rows, axis).flat[0], -exact, rtol=close)
            np.testing.assert_allclose(ops.logsumexp(rows - dtype(gap), axis), exact, rtol=close)
        np.testing.assert_allclose(ops.cross_entropy(x, [0]), exact, rtol=close)
        np.testing.assert_allclose(compiled(lambda x: ops.log_softmax(x), x).flat[0], -exact, rtol=close)
    several = np.array([[0, gap, gap, gap - 1]], dtype)  # two that tie, and one behind
    theirs = scipy.special.log_softmax(several.astype(np.float64), 1)
    np.testing.assert_allclose(ops.log_softmax(several), theirs, rtol=3e-7)


def remainder(t):
    """exp(t) - 1 - t of a float, by exact arithmetic."""
    t, total, term = Fraction(t), Fraction(0), Fraction(t)
    for k in range(2, 40):
        term = term * t / k
        total += term
    return float(total)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_divergence_of_nearly_standard_normals(dtype):
    close = 3e-6 if dtype == np.float32 else 1e-14
    log_sd = np.array([sign * x for x in (*NEAR_ZERO, 0.17, 0.18, 0.3, 1.0, 2.0) for sign in (1, -1)], dtype)
    exact = [0.5 * remainder(float(2 * l)) for l in log_sd]
    zero = np.zeros_like(log_sd)
    np.testing.assert_allclose(ops.standard_normal_kl(zero, log_sd), exact, rtol=close)
    np.testing.assert_allclose(ops.standard_normal_kl(zero[:1], log_sd), exact, rtol=close)
    np.testing.assert_allclose(compiled(ops.standard_normal_kl, zero, log_sd), exact, rtol=close)
    np.testing.assert_allclose(ops.standard_normal_kl(log_sd, zero), log_sd.astype(np.float64) ** 2 / 2, rtol=1e-6)
    by_log_sd = slope(lambda l: ops.standard_normal_kl(zero, l), log_sd)[0]
    np.testing.assert_allclose(by_log_sd, np.expm1(2 * log_sd.astype(np.float64)), rtol=1e-6)
    wide = np.array([-100.0, 50.0, -np.inf], dtype)
    with np.errstate(over="ignore"):
        expected = (np.exp(2 * wide.astype(np.float64)) - 1) / 2 - wide
        np.testing.assert_allclose(ops.standard_normal_kl(0 * wide[:1], wide), expected.astype(dtype), rtol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_elu_near_zero_alone_and_fused(dtype):
    x = np.array([[-v] for v in NEAR_ZERO] + [[-0.34], [-0.35], [-5.0], [-90.0], [-np.inf]], dtype)
    exact = np.expm1(x.astype(np.float64))
    one, zero = np.ones((1, 1), dtype), np.zeros(1, dtype)
    for f in (ops.elu, lambda x: ops.linear(x, one, zero, activation="elu")):
        np.testing.assert_allclose(f(x), exact, rtol=4e-7 if dtype == np.float32 else 1e-15)
        np.testing.assert_allclose(compiled(f, x), exact, rtol=4e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("dtype", FLOATS)
def test_small_values_of_softplus_logaddexp_and_gelu(dtype):
    close = 2e-6 if dtype == np.float32 else 1e-13
    x = np.array([-5.0, -10.0, -20.0, -40.0, -80.0], dtype)
    exact = np.log1p(np.exp(x.astype(np.float64)))
    for f in (ops.softplus, lambda x: ops.logaddexp(x, 0.0), lambda x: ops.logaddexp(np.zeros_like(x), x)):
        np.testing.assert_allclose(f(x), exact, rtol=close)
    np.testing.assert_allclose(ops.binary_cross_entropy_with_logits(x, 0 * x), exact.mean(), rtol=close)
    far = np.array([-1e-8, -1.0, -3.0, -6.0, -9.0, -12.0], dtype)
    exact = far * scipy.special.ndtr(far.astype(np.float64))
    np.testing.assert_allclose(ops.gelu(far), exact, rtol=close)
    np.testing.assert_allclose(ops.erf(far), scipy.special.erf(far.astype(np.float64)), rtol=close)


# 0 times infinity


@pytest.mark.parametrize("dtype", FLOATS)
def test_activations_and_their_slopes_at_infinity(dtype):
    x = np.array([[-np.inf], [np.inf]], dtype)
    one, zero = np.ones((1, 1), dtype), np.zeros(1, dtype)
    fused = lambda name, **settings: lambda x: ops.linear(x, one, zero, activation=name, **settings)
    with np.errstate(all="raise"):
        for f, value, first in [
            (ops.relu, [0, np.inf], [0, 1]),
            (fused("relu"), [0, np.inf], None),
            (lambda x: ops.leaky_relu(x, 0.0), [0, np.inf], [0, 1]),
            (fused("leaky_relu", slope=0.0), [0, np.inf], None),
            (ops.leaky_relu, [-np.inf, np.inf], [0.01, 1]),
            (ops.elu, [-1, np.inf], [0, 1]),
            (fused("elu"), [-1, np.inf], None),
            (lambda x: ops.elu(x, 0.0), [0, np.inf], [0, 1]),
            (ops.silu, [0, np.inf], [0, 1]),
            (ops.gelu, [0, np.inf], [0, 1]),
            (ops.softplus, [0, np.inf], [0, 1]),
            (ops.tanh, [-1, 1], [0, 0]),
            (ops.sigmoid, [0, 1], [0, 0]),
        ]:
            assert f(x).ravel().tolist() == compiled(f, x).ravel().tolist() == value
            if first is not None:
                found = [slope(f, each)[0].item() for each in x]
                np.testing.assert_allclose(found, first, rtol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
def test_second_derivatives_at_infinity(dtype):
    for f in (ops.silu, ops.gelu, ops.softplus):
        x = leaf(np.array([-np.inf, np.inf, -3e38, 3e38], dtype))
        with np.errstate(over="ignore"):
            first = minigen.grad(ops.sum(f(x)), x, create_graph=True)
            assert minigen.grad(ops.sum(first), x).data.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_an_infinite_gradient_does_not_pass_a_relu_that_is_off(dtype):
    for g in (np.inf, -np.inf):
        found = OPERATIONS["leaky_relu_grad"](np.full(2, g, dtype), np.array([0, 1], dtype), 0.0)
        assert found.tolist() == [0, g]


# Powers


@pytest.mark.parametrize("n", [-2, -1, 0, 0.5, 1, 2, 3, 5, 8, 16, 17, 3.0])
@pytest.mark.parametrize("dtype", FLOATS)
def test_powers_and_their_slopes(n, dtype):
    x = np.random.default_rng(3).uniform(-2, 2, (7, 5)).astype(dtype)
    x = np.abs(x) if n == 0.5 else x
    wide, close = x.astype(np.float64), 3e-6 if dtype == np.float32 else 1e-14
    for f in (lambda x: ops.power(x, n), lambda x: Tensor(x) ** n):
        for layout in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
            result = f(layout)
            np.testing.assert_allclose(getattr(result, "data", result), wide**n, rtol=close)
    np.testing.assert_allclose(compiled(lambda x: ops.power(x, n), x), wide**n, rtol=close)
    np.testing.assert_allclose(slope(lambda x: x**n, x)[0], n * wide ** (n - 1), rtol=close)


def test_the_slope_of_a_constant_power_is_zero_everywhere():
    for exponent in (0, 0.0, np.zeros(4)):
        assert slope(lambda x, b=exponent: x**b, np.array([np.inf, -np.inf, np.nan, 0.0]))[0].tolist() == [0] * 4


def test_slopes_by_the_exponent_at_base_zero():
    b = np.array([-1.0, 0.0, 1.0])
    for base in (0.0, 0, np.zeros(3)):
        with np.errstate(divide="ignore"):
            assert slope(lambda b, a=base: a**b, b)[0].tolist() == [-np.inf, 0, 0]
    with np.errstate(divide="ignore"):
        assert slope(lambda a, b: a**b, np.zeros(3), b)[1].tolist() == [-np.inf, 0, 0]


def test_the_spread_of_equal_values_has_slope_zero():
    for x in (np.full(4, 2.5), np.full((3, 4), -1.0, np.float32)):
        with np.errstate(all="raise"):
            assert not slope(ops.std, x)[0].any()
            assert not slope(lambda x: ops.std(x, 0, ddof=1), x)[0].any()
            assert ops.std(leaf(x), axis=()).data.tolist() == np.zeros_like(x).tolist()
            assert not slope(lambda x: ops.std(x, ()), x)[0].any()


# Nothing


@pytest.mark.parametrize("dtype", FLOATS)
def test_normalisers_over_an_axis_without_elements(dtype):
    x = leaf(np.zeros((2, 0), dtype))
    for y in (ops.softmax(x), ops.log_softmax(x), ops.softmax(x, 1)):
        assert y.shape == (2, 0) and minigen.grad(ops.sum(y), x).shape == (2, 0)
    y = ops.logsumexp(x, 1)
    assert y.data.tolist() == [-np.inf] * 2 and minigen.grad(ops.sum(y), x).shape == (2, 0)
    assert ops.logsumexp(x).item() == -np.inf and ops.logsumexp(x, 0).shape == (0,)


# Whole numbers and conditions

WHOLE = [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64]
SMOOTH = ["exp", "expm1", "log1p", "sqrt", "sin", "cos", "tan", "tanh", "sigmoid", "softplus", "silu", "gelu", "erf"]


@pytest.mark.parametrize("dtype", [*WHOLE, bool])
@pytest.mark.parametrize("name", [*SMOOTH, "softmax", "log_softmax", "logsumexp", "mean", "var", "std", "norm", "elu"])
def test_smooth_functions_of_whole_numbers_are_floats(name, dtype):
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    f = getattr(ops, name)
    expected = f(x.astype(np.float64))
    assert f(Tensor(x)).dtype == np.float32
    np.testing.assert_allclose(f(Tensor(x)).data, expected, rtol=1e-6, atol=1e-7)
    assert f(x).dtype in FLOATS
    np.testing.assert_allclose(f(x), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [*WHOLE, bool])
def test_whole_numbers_in_tensors_do_not_wrap(dtype):
    a, b = np.array([0, 1, 100], dtype), np.array([1, 1, 120], dtype)
    wide_a, wide_b = a.astype(np.int64), b.astype(np.int64)
    s, t = Tensor(a), Tensor(b)
    for found, expected in [
        (s - t, wide_a - wide_b),
        (s + t, wide_a + wide_b),
        (s * t, wide_a * wide_b),
        (-t, -wide_b),
        (t**2, wide_b**2),
        (ops.square(t), wide_b**2),
        (ops.sum(t), wide_b.sum()),
        (t @ t, wide_b @ wide_b),
        (ops.dot(t, t), wide_b @ wide_b),
        (ops.outer(t, t), np.outer(wide_b, wide_b)),
        (ops.cumsum(t), wide_b.cumsum()),
        (ops.prod(t), wide_b.prod()),
        (s / t, wide_a / wide_b),
        (ops.mse(s, t), np.mean((wide_a - wide_b) ** 2)),
        (ops.l1(s, t), np.mean(np.abs(wide_a - wide_b))),
        (ops.huber(s, t), np.mean(scipy.special.huber(1.0, wide_a - wide_b))),
        (abs(s - t), np.abs(wide_a - wide_b)),
        (t**-1.0, 1 / wide_b),
        (t**-1, 1 / wide_b),
    ]:
        np.testing.assert_allclose(found.data, expected, rtol=1e-6)
        assert found.dtype == np.float32 or found.dtype.kind in "iu"
    for name in ("mse", "l1", "huber"):
        f = getattr(ops, name)
        np.testing.assert_allclose(f(a, b), f(wide_a.astype(float), wide_b.astype(float)), rtol=1e-6)


def test_a_condition_in_a_rule_counts_as_a_number():
    x = np.array([0.5, -1.0, 2.0], np.float32)
    mask = x > 0
    for f, expected in [
        (lambda x: mask - x, -np.ones(3)),
        (lambda x: ops.subtract(mask, x), -np.ones(3)),
        (lambda x: ops.mse(x, Tensor(mask)), 2 / 3 * (x - mask)),
        (lambda x: ops.l1(x, mask), np.sign(x - mask) / 3),
        (lambda x: ops.gaussian_nll(x, mask, 0.0), (x - mask) / 3),
        (lambda x: ops.binary_cross_entropy_with_logits(x, mask), (scipy.special.expit(x) - mask) / 3),
        (lambda x: x * mask / (1.0 + mask), mask / (1.0 + mask)),
    ]:
        np.testing.assert_allclose(slope(f, x)[0], expected, rtol=1e-6)


# What an adversary found afterwards


FAR = [-5.0, -16.0, -40.0, -80.0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_slopes_far_below_zero(dtype):
    x = np.array(FAR, dtype)
    close = 1e-5 if dtype == np.float32 else 1e-13
    for f, factor in ((ops.expm1, 1.0), (ops.elu, 1.0), (lambda x: ops.elu(x, alpha=0.3), 0.3)):
        exact = [factor * math.exp(v) for v in FAR]
        np.testing.assert_allclose(slope(f, x)[0], exact, rtol=close)


@pytest.mark.parametrize("gap", [10.0, 17.0, 40.0, 80.0])
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_slope_of_the_loss_of_a_confident_class(gap, dtype):
    close = 1e-5 if dtype == np.float32 else 1e-13
    others = math.exp(-gap) / (1 + 2 * math.exp(-gap))
    (found,) = slope(lambda x: ops.cross_entropy(x, [0]), np.array([[gap, 0.0, 0.0]], dtype))
    np.testing.assert_allclose(found, [[-2 * others, others, others]], rtol=close)
    wrong = 1 / (1 + math.exp(gap))  # the probability of the other outcome
    for reduction in ("mean", "sum", "none"):
        loss = lambda l, t, r=reduction: ops.binary_cross_entropy_with_logits(l, t, reduction=r)
        for sign in (1.0, -1.0):
            l, t = np.array([sign * gap], dtype), np.array([sign > 0], dtype)
            np.testing.assert_allclose(loss(l, t), math.log1p(math.exp(-gap)), rtol=close)
            np.testing.assert_allclose(slope(lambda l, t=t, loss=loss: loss(l, t), l)[0], [-sign * wrong], rtol=close)
            np.testing.assert_allclose(compiled(loss, l, t), math.log1p(math.exp(-gap)), rtol=close)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_binary_cross_entropy_at_infinite_logits(dtype, reduction):
    loss = lambda l, t: ops.binary_cross_entropy_with_logits(l, t, reduction=reduction)
    cases = [(np.inf, 1, 0, 0), (-np.inf, 0, 0, 0), (np.inf, 0, np.inf, 1), (-np.inf, 1, np.inf, -1)]
    for l, t, value, gradient in cases:
        l, t = np.array([l], dtype), np.array([t], dtype)
        assert loss(l, t) == value == compiled(loss, l, t)
        assert slope(lambda l, t=t: loss(l, t), l)[0] == gradient


def test_an_example_that_does_not_count_may_have_an_infinite_loss():
    x = np.array([[1.0, 0.0, -np.inf], [1.0, 0.0, 0.0]], np.float32)
    exact = -scipy.special.log_softmax([1.0, 0.0, 0.0])[0]
    np.testing.assert_allclose(ops.cross_entropy(x, [2, 0], weight=np.array([1, 1, 0], np.float32)), exact, rtol=1e-6)
    x = np.array([[-np.inf, 0.0, 1.0], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(ops.cross_entropy(x, [9, 0], ignore_index=9), exact, rtol=1e-6)
    (found,) = slope(lambda x: ops.cross_entropy(x, [9, 0], ignore_index=9), x)
    assert (found[0] == 0).all() and np.isfinite(found).all()


def test_slopes_of_logaddexp_where_both_are_infinite():
    for end in (np.inf, -np.inf):
        found = slope(ops.logaddexp, np.array([end], np.float32), np.array([end], np.float32))
        assert [float(g[0]) for g in found] == [0.5, 0.5]


@pytest.mark.parametrize("unit", [1.0, 1e200, 1e-200, 1e300, 2.0**-1012])
def test_lengths_in_any_unit(unit):
    x = np.array([[3.0, -4.0], [0.0, 0.0], [5.0, 12.0]]) * unit
    for axis, exact in ((1, [5, 0, 13]), (None, math.sqrt(194)), ((0, 1), math.sqrt(194)), (0, np.sqrt([34, 160]))):
        np.testing.assert_allclose(ops.norm(x, axis) / unit, exact, rtol=1e-13)
        assert ops.norm(x, axis, keepdims=True).shape == np.sum(x, axis, keepdims=True).shape
        np.testing.assert_allclose(compiled(lambda x, a=axis: ops.norm(x, a), x) / unit, exact, rtol=1e-13)
    np.testing.assert_allclose(ops.std(x, 1) / unit, [3.5, 0, 3.5], rtol=1e-13)
    assert ops.norm(np.array([np.inf, 1.0])) == np.inf and np.isnan(ops.norm(np.array([np.nan, 1.0])))


@pytest.mark.parametrize("dtype", [">f4", ">f8", np.float16])
def test_arrays_of_other_orders_of_bytes_and_half_precision(dtype):
    x = (np.arange(12).reshape(3, 4) / 4).astype(dtype)
    native = x.astype(np.float64)
    for name in ("sum", "mean", "std", "norm", "logsumexp", "softmax", "log_softmax", "erf", "gelu", "silu", "cumsum"):
        f, arguments = getattr(ops, name), () if name in ("erf", "gelu", "silu") else (1,)
        got, exact = f(x, *arguments), f(native, *arguments)
        assert got.dtype.isnative and got.dtype.itemsize == np.dtype(dtype).itemsize
        np.testing.assert_allclose(got, exact, rtol=3e-3 if dtype is np.float16 else 3e-6)


def test_running_sums_of_short_floats():
    many = np.ones((5000, 2), np.float16)
    np.testing.assert_array_equal(ops.sum(many, 0), [5000, 5000])  # alone, a float16 stands still at 2048
    assert ops.cumsum(many[:, 0])[-1] == 5000
    assert ops.mean(np.full((1000, 2), 100, np.float16)) == 100  # whose sum is beyond 65504
    np.testing.assert_allclose(ops.sum(np.full((2**21, 2), 0.1, ">f4"), 0), 2**21 * float(np.float32(0.1)), rtol=1e-7)


SHORT = [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64, bool]


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("brought", [lambda x: x, minigen.tensor], ids=["arrays", "tensors"])
def test_whole_numbers_neither_wrap_nor_become_half_precision(dtype, brought):
    a, b = np.array([1, 100]).astype(dtype), np.array([20, 90]).astype(dtype)
    wide_a, wide_b = a.astype(int), b.astype(int)
    both = {
        "add": np.add,
        "subtract": np.subtract,
        "multiply": np.multiply,
        "matmul": np.matmul,
        "dot": np.dot,
        "outer": np.outer,
        "mod": np.mod,
        "maximum": np.maximum,
    }
    for name, oracle in both.items():
        got = getattr(ops, name)(brought(a), brought(b))
        np.testing.assert_array_equal(np.asarray(getattr(got, "data", got)), oracle(wide_a, wide_b), err_msg=name)
    for name, oracle in {"negative": np.negative, "square": np.square, "abs": np.abs, "sign": np.sign}.items():
        got = getattr(ops, name)(brought(a))
        np.testing.assert_array_equal(getattr(got, "data", got) if type(got) is Tensor else got, oracle(wide_a))
    for name in ("sqrt", "round", "log1p", "tanh", "mean", "var", "norm", "softplus", "leaky_relu"):
        got = getattr(ops, name)(brought(a))
        assert (got.data if type(got) is Tensor else np.asarray(got)).dtype != np.float16, name
    got = ops.standard_normal_kl(brought(a[:1]), brought(a[:1]))
    np.testing.assert_allclose(got.data if type(got) is Tensor else got, [math.exp(2) / 2 - 1], rtol=1e-6)


@pytest.mark.parametrize("brought", [lambda x: x, minigen.tensor], ids=["arrays", "tensors"])
def test_numbers_of_python_that_short_integers_cannot_hold(brought):
    x = np.array([1, 200], np.uint8)
    for name, other, exact in (
        ("add", -2, [-1, 198]),
        ("add", 300, [301, 500]),
        ("subtract", 300, [-299, -100]),
        ("maximum", -1, [1, 200]),
        ("minimum", 300, [1, 200]),
        ("mod", -3, [-2, -1]),
    ):
        got = getattr(ops, name)(brought(x), other)
        np.testing.assert_array_equal(got.data if type(got) is Tensor else got, exact, err_msg=name)
    got = ops.where(x > 5, brought(x), -1)
    np.testing.assert_array_equal(got.data if type(got) is Tensor else got, [-1, 200])
    assert ops.tril(x[None]).dtype.kind == "i"
