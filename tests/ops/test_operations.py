"""Every operation against other calculations: finite differences, oracles, and one path against the other."""

import itertools
import traceback

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigen
from examples import BINARY, ELEMENTWISE, EXAMPLES, LOSSES, NAMES
from minigen import Tensor, check, ops
from minigen.ops import fused
from minigen.tape import OPERATIONS, leaf
from minigen.watching import Watcher, watch

ALL = list(itertools.chain(*EXAMPLES.values()))
DIFFERENTIATED = [example for example in ALL if example.inputs]
IN_ONE_DTYPE = [example for example in DIFFERENTIATED if example.name != "astype"]
# A list says nothing of the other axes where one is empty; what stands only on the tape never gets one.
AS_LISTS = [e for e in DIFFERENTIATED if hasattr(ops, e.name) and all(x.size for x in e.inputs)]
FLOATS = (np.float32, np.float64)
every = pytest.mark.parametrize("example", ALL, ids=str)
differentiated = pytest.mark.parametrize("example", DIFFERENTIATED, ids=str)
in_one_dtype = pytest.mark.parametrize("example", IN_ONE_DTYPE, ids=str)


def as_list(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


def raw(result):
    return [np.asarray(y.data if isinstance(y, Tensor) else y) for y in as_list(result)]


def weights_like(arrays, dtype=np.float64):
    rng = np.random.default_rng(11)
    return [rng.standard_normal(a.shape).astype(dtype) for a in arrays]


def gradients(f, arrays, create_graph=False):
    """Gradients by all inputs of a random projection of f, in the dtype of the inputs; also the leaves."""
    leaves = [leaf(a) for a in arrays]
    results = [y for y in as_list(f(*leaves)) if y.dtype.kind == "f"]
    total = sum(ops.sum(y * w) for y, w in zip(results, weights_like(results, arrays[0].dtype)))
    total = total + sum(ops.sum(x) * 0.0 for x in leaves)  # so that every input is reached
    return minigen.grad(total, leaves, create_graph=create_graph), leaves


def assert_close(actual, expected, tolerance):
    """Equal within `tolerance` of the largest finite value, at least of 1."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    scale = max(1.0, np.abs(expected[np.isfinite(expected)], dtype=np.float64).max(initial=0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


# The table


def test_every_operation_has_an_example():
    assert sorted(NAMES - EXAMPLES.keys()) == []


def test_the_public_operations_are_the_promised_ones():
    promised = """
        exp log log1p expm1 sqrt square abs sign sin cos tanh sigmoid softplus relu leaky_relu silu gelu elu power
        maximum minimum clip where sum mean var std max min prod logsumexp softmax log_softmax cumsum norm matmul dot
        einsum outer reshape transpose swapaxes expand_dims squeeze broadcast_to concatenate stack split pad flip
        getitem take_along_axis sort diagonal trace mse l1 huber binary_cross_entropy_with_logits cross_entropy
        gaussian_nll
    """
    assert [name for name in promised.split() if name not in NAMES] == []


@differentiated
def test_derivatives_agree_with_finite_differences(example):
    check.gradient(example.f, *example.inputs, order=example.order, rng=np.random.default_rng(5))


@every
def test_value_agrees_with_the_oracle(example):
    assert example.oracle is not None
    expected = raw(example.oracle(*example.inputs))
    actual = raw(example.f(*example.inputs))
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        assert a.shape == e.shape
        np.testing.assert_allclose(a, e, rtol=1e-6 if a.dtype == np.float32 else 1e-12, atol=1e-13)


@differentiated
@pytest.mark.parametrize("dtype", FLOATS)
def test_raw_path_and_tensor_path_give_the_same(example, dtype):
    arrays = [x.astype(dtype) for x in example.inputs]
    from_raw = as_list(example.f(*arrays))
    from_tensors = as_list(example.f(*map(Tensor, arrays)))
    on_tape = as_list(example.f(*map(leaf, arrays)))
    for r, t, l in zip(from_raw, from_tensors, on_tape):
        assert not isinstance(r, Tensor) and type(t) is Tensor and type(l) is Tensor and not t.requires_grad
        np.testing.assert_array_equal(t.data, r)
        np.testing.assert_array_equal(l.data, r)
        assert t.dtype == l.dtype == r.dtype


class Dtypes(Watcher):
    def __init__(self):
        self.forward, self.backward = set(), set()

    def run(self, op, raw, static):
        value = op.forward(*raw, **static)
        self.forward.add(np.asarray(value).dtype)
        return value

    def contributed(self, node, index, gradient):
        self.backward.add(gradient.dtype)


@in_one_dtype
@pytest.mark.parametrize("dtype", FLOATS)
def test_everything_stays_in_the_dtype_of_the_inputs(example, dtype):
    arrays = [x.astype(dtype) for x in example.inputs]
    with watch(Dtypes()) as seen:
        for order in (False, True):
            found, leaves = gradients(example.f, arrays, create_graph=order)
            assert [g.dtype for g in found] == [x.dtype for x in leaves]
            assert [g.shape for g in found] == [x.shape for x in leaves]
    assert {d for d in seen.forward | seen.backward if d.kind == "f"} == {np.dtype(dtype)}


@in_one_dtype
def test_float32_agrees_with_float64(example):
    arrays = [x.astype(np.float32) for x in example.inputs]
    precise = [x.astype(np.float64) for x in arrays]
    for a, e in zip(raw(example.f(*arrays)), raw(example.f(*precise))):
        assert_close(a, e, 2e-6)
    for a, e in zip(gradients(example.f, arrays)[0], gradients(example.f, precise)[0]):
        assert_close(a.data, e.data, 4e-6)


@in_one_dtype
@pytest.mark.parametrize("dtype", FLOATS)
def test_memory_layout_does_not_matter(example, dtype):
    arrays = [x.astype(dtype) for x in example.inputs]
    values, slopes = raw(example.f(*arrays)), gradients(example.f, arrays)[0]
    for layout in (transposed, strided, reversed_):
        moved = [layout(x) for x in arrays]
        for a, e in zip(raw(example.f(*moved)), values):
            assert_close(a, e, 2e-6 if dtype == np.float32 else 1e-13)
        for a, e in zip(gradients(example.f, moved)[0], slopes):
            assert_close(a.data, e.data, 2e-6 if dtype == np.float32 else 1e-13)


def transposed(x):
    return x.copy(order="F")


def strided(x):
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def reversed_(x):
    return np.flip(np.flip(x).copy())


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(12,), (2, 2, 3)])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_extreme_numbers(name, shape, dtype):
    numbers = [np.nan, np.inf, -np.inf, 0.0, 1e-42, -1e-42, 30.0, -30.0, 1e4, -1e4, 3e38, -3e38]
    x = np.array(numbers, dtype).reshape(shape)
    with np.errstate(all="ignore"):
        expected = ELEMENTWISE[name][0](x.astype(np.float64)).astype(dtype)
        actual = getattr(ops, name)(x)
    assert np.isnan(actual.flat[0])
    np.testing.assert_allclose(actual, expected, rtol=3e-6 if dtype == np.float32 else 1e-9, atol=1e-37)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "var", "std", "max", "min", "prod", "logsumexp", "norm", "softmax", "log_softmax", "cumsum"]
)
@pytest.mark.parametrize("shape", [(6,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_goes_through_reductions(name, shape, dtype):
    for position in (0, 2, 5):
        x = np.arange(6, dtype=dtype)
        x[position] = np.nan
        assert np.isnan(getattr(ops, name)(x.reshape(shape), -1)).any(), position
        if shape == (2, 3):
            assert np.isnan(getattr(ops, name)(x.reshape(shape), 0)).any(), position


@pytest.mark.parametrize("shift", [0, 1e4, -1e4, 3e6])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_normalisers_keep_their_digits_far_from_zero(name, shift):
    x = np.array([[0.5, -1, 2], [3, 3, 3], [0, -8, 40]], np.float32) + np.float32(shift)
    precise = x.astype(np.float64)
    f = lambda x: getattr(ops, name)(x, -1)
    np.testing.assert_allclose(f(x), getattr(scipy.special, name)(precise, -1), rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(gradients(f, [x])[0][0].data, gradients(f, [precise])[0][0].data, rtol=2e-6, atol=1e-6)


def test_normalisers_with_masked_entries():
    x = np.array([[0.5, -np.inf, 2], [-np.inf, -np.inf, 1]])
    for dtype in FLOATS:
        a = x.astype(dtype)
        np.testing.assert_allclose(ops.softmax(a), scipy.special.softmax(x, -1), rtol=1e-6)
        np.testing.assert_allclose(ops.log_softmax(a), scipy.special.log_softmax(x, -1), rtol=1e-6)
        np.testing.assert_allclose(ops.logsumexp(a, -1), scipy.special.logsumexp(x, -1), rtol=1e-6)
        assert ops.logsumexp(np.full((2, 3), -np.inf, dtype), 1).tolist() == [-np.inf, -np.inf]


# dtypes of operands

OTHERS = [
    2,
    1.5,
    True,
    np.float64(1.5),
    np.float32(1.5),
    np.int64(2),
    np.arange(1, 4),
    np.array([1.5, 2.0, 0.5]),
    np.array([1.5, 2.0, 0.5], np.float32),
    np.array(1.5),
    np.array([True, False, True]),
    [1.5, 2.0, 0.5],
]
NUMERIC = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "power")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
@pytest.mark.parametrize("name", NUMERIC)
def test_an_operand_takes_the_dtype_of_the_tensor(name, other, dtype):
    x = np.array([0.5, 1.25, 2.0], dtype)
    f = getattr(ops, name)
    for on_left in (False, True):
        t = leaf(x)
        plain = np.asarray(other, dtype)
        with np.errstate(divide="ignore"):
            y = f(other, t) if on_left else f(t, other)
            np.testing.assert_allclose(y.data, f(plain, x) if on_left else f(x, plain), rtol=1e-6)
            assert y.dtype == minigen.grad(ops.sum(y), t).dtype == dtype


@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_operators_with_the_tensor_on_the_right(other):
    x = np.array([0.5, 1.25, 2.0], np.float32)
    t = leaf(x)
    plain = np.asarray(other, np.float32)
    for actual, expected in [
        (other + t, plain + x),
        (other - t, plain - x),
        (other * t, plain * x),
        (other / t, plain / x),
        (other**t, plain**x),
    ]:
        assert type(actual) is Tensor and actual.dtype == np.float32 and actual.requires_grad
        np.testing.assert_allclose(actual.data, expected, rtol=1e-6)


def test_where_takes_the_dtype_of_its_tensor():
    t = leaf(np.ones(3, np.float32))
    for other in OTHERS:
        assert ops.where(t > 0, t, other).dtype == ops.where(t > 0, other, t).dtype == np.float32


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("example", AS_LISTS, ids=str)
def test_lists_are_taken_as_arrays(example, kind):
    lists = [x if x.ndim == 0 else kind(x.tolist()) for x in example.inputs]
    try:
        actual = as_list(example.f(*lists))
    except (TypeError, AttributeError) as error:
        if not traceback.extract_tb(error.__traceback__)[-1].filename.endswith("examples.py"):
            raise
        pytest.skip("the example itself computes with its argument")
    for got, expected in zip(actual, as_list(example.f(*example.inputs)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    if kind is list:  # beside a tensor, where gradients are asked for too; a tuple is a shape there
        lists[0] = leaf(example.inputs[0])
        actual = as_list(example.f(*lists))
        for got, expected in zip(raw(actual), as_list(example.f(*example.inputs)), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)
        if actual[0].requires_grad:
            slope = minigen.grad(ops.sum(actual[0]), lists[0], create_graph=True)
            assert slope.shape == lists[0].shape


@pytest.mark.parametrize("name", ["mean", "var", "prod", "logsumexp", "norm", "matmul", "split", "pad"])
@pytest.mark.parametrize("wrong", ["abc", None, {"a": 1.0}, [None], [[1.0], [2.0, 3.0]]], ids=str)
def test_what_is_no_number_is_refused(name, wrong):
    others = {"matmul": ([1.0],), "split": (2,), "pad": (1,)}.get(name, ())
    with pytest.raises((TypeError, ValueError)):
        getattr(ops, name)(wrong, *others)


def test_settings_do_not_change_the_dtype():
    wide = np.array([-1.0, 5.0, 2.0, 5.0], np.float32)
    for t in (leaf(wide), leaf(wide[::2]), leaf(np.array(0.5, np.float32))):
        for y in (
            ops.clip(t, np.float64(-0.5), np.full(t.shape, 1.0)),
            ops.leaky_relu(t, np.float64(0.1)),
            ops.elu(t, np.float64(0.1)),
            ops.huber(t, Tensor(np.zeros_like(t.data)), np.float64(0.1)),
            ops.pad(t, 1, np.float64(2)),
        ):
            slope = minigen.grad(ops.sum(y), t, create_graph=True)
            assert y.dtype == slope.dtype == np.float32
        assert ops.gaussian_nll(t.data, t.data, 0.5).dtype == np.float32


def test_random_draws_have_the_dtype_asked_for():
    for dtype in FLOATS:
        assert ops.normal(np.random.default_rng(0), (3, 2), dtype).dtype == dtype
        assert ops.dropout_mask(np.random.default_rng(0), (3, 2), 0.5, dtype).dtype == dtype
    assert ops.normal(np.random.default_rng(0), (3, 2)).dtype == np.float32


PRODUCTS = ("matmul", "dot", "outer", "einsum", "linear")
TWO_INPUTS = [
    next(e for e in EXAMPLES[name] if len(e.inputs) >= 2)
    for name in (*NUMERIC, *PRODUCTS, *LOSSES, "gaussian_nll", "where", "concatenate")
]


@pytest.mark.parametrize("example", TWO_INPUTS, ids=str)
def test_tensors_of_two_dtypes_are_refused(example):
    first, *rest = example.inputs
    with pytest.raises(TypeError, match="float32 and float64"):
        example.f(leaf(first.astype(np.float32)), *map(leaf, rest))


def test_astype_brings_the_gradient_back_to_the_dtype_of_its_input():
    x = leaf(np.array([0.5, -1.0], np.float32))
    y = ops.astype(x, np.float64)
    assert y.dtype == np.float64
    slope = minigen.grad(ops.sum(y * y * y), x, create_graph=True)
    assert slope.dtype == np.float32
    np.testing.assert_allclose(minigen.grad(ops.sum(slope), x).data, [3.0, -6.0])


def test_integers_become_floats_where_the_mathematics_asks():
    for name in ("exp", "sin", "sigmoid", "softplus", "erf", "silu", "gelu", "tanh"):
        x = np.array([0, 1, 2])
        np.testing.assert_allclose(getattr(ops, name)(x), getattr(ops, name)(x.astype(np.float64)), rtol=1e-12)


# Kinks and ties


def first_and_second(f, x):
    """Gradient of f(x).sum(), and gradient of that gradient's sum."""
    x = leaf(np.asarray(x, np.float64))
    slope = minigen.grad(ops.sum(f(x)) + 0.0 * ops.sum(x * x), x, create_graph=True)
    return slope.data.tolist(), minigen.grad(ops.sum(slope), x).data.tolist()


def test_slopes_at_kinks():
    assert first_and_second(ops.relu, [0.0]) == ([0.0], [0.0])
    assert first_and_second(ops.abs, [0.0, -0.0]) == ([0.0, 0.0], [0.0, 0.0])
    assert first_and_second(ops.leaky_relu, [0.0]) == ([0.01], [0.0])
    assert first_and_second(lambda x: ops.elu(x, 1.0), [0.0])[0] == [1.0]
    assert first_and_second(lambda x: ops.maximum(x, 0.0), [0.0]) == ([0.5], [0.0])
    assert first_and_second(lambda x: ops.minimum(0.0, x), [0.0]) == ([0.5], [0.0])
    assert first_and_second(lambda x: ops.clip(x, -1, 1), [-1.0, 1.0, 1.1]) == ([1.0, 1.0, 0.0], [0.0] * 3)


def test_the_fused_relu_has_slope_zero_at_zero():
    weight, bias = leaf(np.eye(2)), leaf(np.zeros(2))
    y = ops.linear(np.array([[0.0, 1.0]]), weight, bias, activation="relu")
    assert minigen.grad(ops.sum(y), bias).data.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("activation", fused.ACTIVATIONS)
def test_the_fused_linear_layer_is_the_plain_one(activation, shape):
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal(shape), rng.standard_normal((4, 3)), rng.standard_normal(4)]
    upstream = rng.standard_normal((*shape[:-1], 4))
    found = []
    for f in (ops.linear, fused.plain_linear):
        leaves = [leaf(array) for array in arrays]
        y = f(*leaves, activation=activation)
        first = minigen.grad(ops.sum(y * upstream), leaves, create_graph=True)
        square = sum(ops.sum(g**2) for g in first)
        found.append([y, *first, *minigen.grad(square + 0.0 * sum(ops.sum(x * x) for x in leaves), leaves)])
    for a, b in zip(*found):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-11, atol=1e-12)


def test_equal_arguments_of_maximum_share():
    a, b = leaf(np.array([1.0, 2.0, 3.0])), leaf(np.array([1.0, 5.0, 0.0]))
    by_a, by_b = minigen.grad(ops.sum(ops.maximum(a, b) * [2.0, 3.0, 4.0]), [a, b])
    assert by_a.data.tolist() == [1.0, 0.0, 4.0] and by_b.data.tolist() == [1.0, 3.0, 0.0]


def test_ties_for_the_maximum_share():
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    assert first_and_second(lambda x: ops.max(x, 1), x)[0] == [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    assert first_and_second(lambda x: ops.min(x), x)[0] == [[1.0, 0, 0], [0, 0, 0]]


def test_sort_keeps_the_order_of_equal_values():
    x = leaf(np.array([2.0, 1.0, 2.0, 1.0]))
    y = ops.sort(x)
    assert y.data.tolist() == [1, 1, 2, 2]
    assert minigen.grad(ops.sum(y * [1.0, 2.0, 3.0, 4.0]), x).data.tolist() == [3, 1, 4, 2]


def test_norm_of_the_zero_vector_has_slope_zero():
    x = [[0.0, 0.0], [3.0, 4.0]]
    with np.errstate(all="raise"):
        slope, curvature = first_and_second(lambda x: ops.norm(x, 1), x)
    assert slope[0] == [0.0, 0.0]
    np.testing.assert_allclose(slope[1], [0.6, 0.8])
    assert np.isfinite(curvature).all()


def test_powers_at_base_zero():
    for n, slope, curvature in [(0, 0, 0), (1, 1, 0), (2, 0, 2), (3, 0, 0)]:
        for exponent in (n, float(n), np.full(1, n), np.float64(n)):
            with np.errstate(all="raise"):
                assert first_and_second(lambda x, e=exponent: x**e, [0.0]) == ([slope], [curvature])


def test_powers_of_negative_numbers():
    slope, curvature = first_and_second(lambda x: x**3, [-2.0])
    assert slope == [12.0] and curvature == [-12.0]
    np.testing.assert_allclose(first_and_second(lambda x: x**-2.0, [-2.0]), [[0.25], [0.375]])


def test_power_by_the_exponent_at_base_zero():
    e = leaf(np.array([1.0, 2.0]))
    with np.errstate(all="raise"):
        assert minigen.grad(ops.sum(np.zeros(2) ** e), e).data.tolist() == [0.0, 0.0]
        assert minigen.grad(ops.sum(0**e), e).data.tolist() == [0.0, 0.0]


def test_the_empty_product_is_one_and_has_an_empty_gradient():
    x = leaf(np.zeros((0, 3)))
    y = ops.prod(x, 0)
    assert y.data.tolist() == [1.0, 1.0, 1.0]
    assert minigen.grad(ops.sum(y), x).shape == (0, 3)


# Broadcasting and indexing with any shapes

PAIR_OF_SHAPES = hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_side=4, max_dims=4)


def draws(shape, seed):
    return np.random.default_rng(seed).uniform(0.5, 2, shape)


def gathered(values, shape, result_shape):
    """Sum of `values` over all positions to which each element of an array of `shape` was broadcast."""
    n = int(np.prod(shape))
    origin = np.broadcast_to(np.arange(n).reshape(shape), result_shape)
    return np.bincount(origin.ravel(), np.broadcast_to(values, result_shape).ravel(), n)[:n].reshape(shape)


@settings(max_examples=60, deadline=None)
@given(PAIR_OF_SHAPES, st.integers(0, 1000), st.sampled_from(FLOATS))
def test_gradients_of_broadcast_operands(shapes, seed, dtype):
    a, b, v = (draws(s, seed + i).astype(dtype) for i, s in enumerate((*shapes.input_shapes, shapes.result_shape)))
    for f, by_a, by_b in [
        (ops.add, v, v),
        (ops.subtract, v, -v),
        (ops.multiply, v * b, v * a),
        (ops.divide, v / b, -v * a / b**2),
        (ops.power, v * b * a ** (b - 1), v * a**b * np.log(a)),
        (ops.maximum, v * np.heaviside(a - b, 0.5), v * np.heaviside(b - a, 0.5)),
    ]:
        x, y = leaf(a), leaf(b)
        found = minigen.grad(ops.sum(ops.multiply(f(x, y), v)), [x, y])
        for g, array, values in zip(found, (a, b), (by_a, by_b)):
            assert g.dtype == dtype
            np.testing.assert_allclose(g.data, gathered(values, array.shape, v.shape), rtol=2e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(PAIR_OF_SHAPES, st.integers(0, 1000))
def test_sum_to_and_broadcast_to_are_each_others_rule(shapes, seed):
    small, large = shapes.input_shapes[0], shapes.result_shape
    x, v = draws(large, seed), draws(small, seed + 1)
    np.testing.assert_allclose(OPERATIONS["sum_to"](x, small), gathered(x, small, large), rtol=1e-12)
    t = leaf(x)
    by_sum = minigen.grad(ops.sum(ops.multiply(OPERATIONS["sum_to"](t, small), v)), t)
    np.testing.assert_array_equal(by_sum.data, np.broadcast_to(v, large))
    t = leaf(v)
    by_broadcast = minigen.grad(ops.sum(ops.multiply(ops.broadcast_to(t, large), x)), t)
    np.testing.assert_allclose(by_broadcast.data, gathered(x, small, large), rtol=1e-12)


@st.composite
def arrays_and_indices(draw):
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    kind = draw(st.sampled_from(["basic", "integers"]))
    if kind == "basic":
        return shape, draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    return shape, draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=5)))


@settings(max_examples=100, deadline=None)
@given(arrays_and_indices(), st.integers(0, 1000))
def test_gradient_of_getitem(case, seed):
    shape, index = case
    x = leaf(draws(shape, seed))
    y = x[index]
    np.testing.assert_array_equal(y.data, x.data[index])
    v = draws(y.shape, seed + 1)
    g = minigen.grad(ops.sum(ops.multiply(y, v)), x)
    origin = np.ravel(np.arange(x.size).reshape(shape)[index])
    np.testing.assert_allclose(g.data, np.bincount(origin, v.ravel(), x.size).reshape(shape), rtol=1e-12)


# PyTorch as a judge

TORCH_ACTIVATIONS = ["sigmoid", "softplus", "relu", "leaky_relu", "elu", "silu", "gelu", "tanh"]


@pytest.mark.parametrize("name", TORCH_ACTIVATIONS)
def test_activations_and_two_derivatives_agree_with_torch(name):
    torch = pytest.importorskip("torch")
    functional = torch.tanh if name == "tanh" else getattr(torch.nn.functional, name)
    x = np.linspace(-9, 9, 38)
    v, u = weights_like([x, -x])
    ours, theirs = leaf(x), torch.tensor(x, requires_grad=True)
    y, z = getattr(ops, name)(ours), functional(theirs)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-9, atol=1e-12)
    slope = minigen.grad(ops.sum(y * v), ours, create_graph=True)
    (other,) = torch.autograd.grad((z * torch.tensor(v)).sum(), theirs, create_graph=True)
    np.testing.assert_allclose(slope.data, other.detach().numpy(), rtol=1e-9, atol=1e-12)
    if other.requires_grad and name not in ("relu", "leaky_relu"):
        curvature = minigen.grad(ops.sum(slope * u), ours)
        (other,) = torch.autograd.grad((other * torch.tensor(u)).sum(), theirs)
        np.testing.assert_allclose(curvature.data, other.numpy(), rtol=1e-9, atol=1e-12)


def test_losses_agree_with_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(0)
    p, logits, log_var = rng.standard_normal((3, 5, 3))
    t, labels = rng.random((5, 3)), [0, 2, 1, 1, 2]
    for ours, theirs, x in [
        (lambda x: ops.mse(x, t), lambda x: functional.mse_loss(x, torch.tensor(t)), p),
        (lambda x: ops.l1(x, t), lambda x: functional.l1_loss(x, torch.tensor(t)), p),
        (lambda x: ops.huber(x, t, 0.6), lambda x: functional.huber_loss(x, torch.tensor(t), delta=0.6), p),
        (
            lambda x: ops.binary_cross_entropy_with_logits(x, t),
            lambda x: functional.binary_cross_entropy_with_logits(x, torch.tensor(t)),
            logits * 20,
        ),
        (lambda x: ops.cross_entropy(x, labels), lambda x: functional.cross_entropy(x, torch.tensor(labels)), logits),
        (
            lambda x: ops.gaussian_nll(p, t, x),
            lambda x: functional.gaussian_nll_loss(torch.tensor(p), torch.tensor(t), x.exp(), full=True),
            log_var,
        ),
    ]:
        a, b = leaf(x), torch.tensor(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        z.backward()
        np.testing.assert_allclose(y.item(), z.item(), rtol=1e-10)
        np.testing.assert_allclose(minigen.grad(y, a).data, b.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_binary_examples_cover_both_sides_of_broadcasting():
    for name in BINARY:
        shapes = {tuple(x.shape for x in e.inputs) for e in EXAMPLES[name]}
        assert {((), (2, 3)), ((2, 3), ()), ((2, 1, 3), (4, 1))} <= shapes


@pytest.mark.parametrize("name, setting", [("elu", {"alpha": -1.0}), ("leaky_relu", {"slope": -0.1})])
def test_a_setting_that_turns_the_sign_of_an_activation_is_refused(name, setting):
    x, weight, bias = np.ones((2, 3), np.float32), np.ones((1, 3), np.float32), np.zeros(1, np.float32)
    for run in (lambda: getattr(ops, name)(x, **setting), lambda: ops.linear(x, weight, bias, name, **setting)):
        with pytest.raises(ValueError, match=rf"{name}\(\) got {next(iter(setting))} -"):
            run()
