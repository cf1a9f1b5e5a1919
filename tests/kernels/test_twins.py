"""Every compiled kernel against its NumPy twin in float32, and the twin's float32 against its float64."""

import math
import pickle

import numpy as np
import pytest
import scipy.stats

from minigen import kernels
from minigen.kernels import activations, indexing, jit, losses, random, reductions, updates

FAMILIES = (activations, reductions, losses, updates, indexing)
rng = np.random.default_rng(2)
X = (rng.standard_normal((5, 6)) * 3).astype(np.float32)
Y = rng.standard_normal((5, 6)).astype(np.float32)
BIAS = rng.standard_normal(6).astype(np.float32)
WIDE = (rng.standard_normal((4, 1001)) * 30).astype(np.float32)
DEEP = rng.standard_normal((2, 3, 4)).astype(np.float32)
TINY = np.full((3, 5), 1e-41, np.float32)
EMPTY = np.zeros((0, 6), np.float32)

CASES = {  # kernel: how many arrays of one shape, and the settings after them
    "sigmoid": (1, [()]),
    "silu": (1, [()]),
    "erf": (1, [()]),
    "gelu": (1, [()]),
    "tanh_grad": (2, [()]),
    "sigmoid_grad": (2, [()]),
    "leaky_relu_grad": (2, [(0.0,), (0.2,), (1,)]),
    "elu_grad": (2, [(1.0,), (0.3,)]),
    "silu_grad": (2, [()]),
    "silu_curvature": (2, [()]),
    "gelu_grad": (2, [()]),
    "gelu_curvature": (2, [()]),
    "standard_normal_kl": (2, [()]),
    "squared_error": (2, [()]),
    "binary_cross_entropy": (2, [()]),
    "sigmoid_less": (2, [()]),
    "weighted_difference": (2, [(0.37,), (-2,)]),
    "softmax": (1, [(-1,), (0,), (1,)]),
    "log_softmax": (1, [(-1,), (0,), (1,)]),
    "logsumexp": (1, [(-1,), (0,), ((0, 1),)]),
}
IN_PLACE = {  # kernel: settings after z and b
    "bias_identity": [()],
    "bias_tanh": [()],
    "bias_sigmoid": [()],
    "bias_leaky_relu": [(0.0,), (0.2,)],
    "bias_elu": [(1.0,), (0.3,)],
}
UPDATES = {  # kernel: number of moment vectors, settings
    "sgd": (1, [(0.1, 0.9, 0.0, False), (0.1, 0.9, 0.01, True), (0.1, 0.0, 0.0, False)]),
    "rmsprop": (1, [(0.01, 0.99, 1e-8, 0.0), (0.01, 0.9, 1e-3, 0.2)]),
    "adam": (2, [(0.01, 0.9, 0.999, 1e-8, 1.7, 0.0, 0.0), (0.01, 0.9, 0.999, 1e-8, 1.7, 0.02, 0.03)]),
}
OTHERS = {
    "sum_rows",
    "sum_last",
    "sum_axes",
    "sum_of_squares",
    "norm",
    "exp_remainder",
    "gaussian_nll",
    "take_along_rows",
    "place_along_rows",
}

pytestmark = pytest.mark.skipif(not jit.USE_NUMBA, reason="every kernel is its twin")


def twin(name):
    return next(getattr(family, f"{name}_numpy") for family in FAMILIES if hasattr(family, f"{name}_numpy"))


def assert_close(actual, expected, tolerance=3e-6):
    assert np.shape(actual) == np.shape(expected) and np.asarray(actual).dtype == np.float32
    scale = np.abs(expected).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


def test_every_kernel_with_a_twin_is_tested():
    names = {name for family in FAMILIES for name in vars(family) if not name.startswith("_")}
    twins = {name.removesuffix("_numpy") for name in names if name.endswith("_numpy")}
    assert twins == {*CASES, *IN_PLACE, *UPDATES, *OTHERS}


@pytest.mark.parametrize("x", [X, X.T, X[:, ::2], X[::-1], WIDE, DEEP, TINY, EMPTY], ids=lambda x: str(x.shape))
@pytest.mark.parametrize("name", CASES)
def test_kernel_agrees_with_its_twin(name, x):
    n, all_settings = CASES[name]
    arrays = [x, np.flip(x) * np.float32(0.3)][:n]
    for settings in all_settings:
        if x.size == 0 and settings in [(0,), ((0, 1),)]:
            continue  # the largest of nothing
        actual = getattr(kernels, name)(*arrays, *settings)
        assert_close(actual, twin(name)(*arrays, *settings))
        assert_close(actual, twin(name)(*(a.astype(np.float64) for a in arrays), *settings))


@pytest.mark.parametrize("name", [name for name, (n, _) in CASES.items() if n == 2])
def test_a_pair_of_two_shapes_is_broadcast_or_refused_as_numpy_does(name):
    settings = CASES[name][1][0]
    actual = getattr(kernels, name)(X, X[0], *settings)
    assert_close(actual, twin(name)(X, X[0], *settings))
    with pytest.raises(ValueError, match="broadcast"):
        getattr(kernels, name)(X, X[:, :5], *settings)


@pytest.mark.parametrize("z", [X, X.T[:, :5].copy(), EMPTY, WIDE], ids=lambda z: f"{z.shape}")
@pytest.mark.parametrize("name", IN_PLACE)
def test_bias_and_activation_in_place(name, z):
    bias = np.linspace(-1, 1, z.shape[1], dtype=np.float32)
    for settings in IN_PLACE[name]:
        changed, expected = z.copy(), z.astype(np.float64)
        assert getattr(kernels, name)(changed, bias, *settings) is changed
        twin(name)(expected, bias, *settings)
        assert_close(changed, expected)


@pytest.mark.parametrize("name", UPDATES)
def test_three_updates_agree(name):
    n, all_settings = UPDATES[name]
    for settings in all_settings:
        fast = [WIDE[0].copy(), *(np.zeros(1001, np.float32) for _ in range(n))]
        slow = [a.astype(np.float64) for a in fast]
        for g in WIDE[1:]:
            getattr(kernels, name)(fast[0], g, *fast[1:], *settings)
            twin(name)(slow[0], g.astype(np.float64), *slow[1:], *settings)
        for a, b in zip(fast, slow):
            assert_close(a, b)


def test_sum_last_and_sum_of_squares():
    for x in (X, X.T, WIDE, EMPTY, np.ones((3, 0), np.float32)):
        assert_close(kernels.sum_last(x), x.sum(axis=1, dtype=np.float64))
    huge = WIDE[0] * np.float32(1e30)
    for x in (WIDE[0], WIDE[0, ::3], WIDE[0].astype(np.float64), huge):
        np.testing.assert_allclose(kernels.sum_of_squares(x), math.fsum(float(v) ** 2 for v in x), rtol=1e-12)


def test_sum_rows():
    for x in (X, X.T, WIDE.T.copy(), EMPTY, np.ones((3, 0), np.float32)):
        assert_close(kernels.sum_rows(x), x.sum(axis=0, dtype=np.float64))


def test_rows_are_picked_from_and_put_back():
    at = np.array([[0, 5], [2, 2], [-1, 5], [-6, 3], [4, 4]])
    for x, indices in ((X, at), (X.T.copy().T, at), (X, at.T.copy().T), (X, at[:, :1].astype(np.int32))):
        assert_close(kernels.take_along_rows(x, indices), np.take_along_axis(x, indices.astype(np.int64), 1))
        g = X[:, : indices.shape[1]].copy()
        expected = np.zeros((5, 7))
        for i, j in np.ndindex(indices.shape):
            expected[i, indices[i, j]] += g[i, j]
        assert_close(kernels.place_along_rows(g, indices, 7), expected)
    with pytest.raises(IndexError):
        kernels.take_along_rows(X, at + 1)
    with pytest.raises(IndexError):
        kernels.place_along_rows(X[:, :2].copy(), at - 1, 6)


@pytest.mark.parametrize("shape", [(5, 6), (6,), (1, 6), (5, 1), (1, 1), ()])
def test_gaussian_nll_and_weighted_difference(shape):
    weight = np.random.default_rng(8).random(shape).astype(np.float32)
    for w in (weight, weight.T.copy().T):
        wide = np.float64(w) if w.ndim == 0 else w.astype(np.float64)
        expected = -scipy.stats.norm.logpdf(Y.astype(np.float64), X, np.exp(wide / 2)).mean()
        assert_close(kernels.gaussian_nll(X, Y, w), expected)
        assert_close(kernels.gaussian_nll(X[::-1], Y[::-1], w[::-1] if w.ndim == 2 else w), expected)
        assert_close(kernels.weighted_difference(X, Y, w), (X.astype(np.float64) - Y) * w)
    with pytest.raises(ValueError, match="broadcast"):
        kernels.gaussian_nll(X, Y, np.ones((4, 6), np.float32))


def test_long_sums_keep_their_digits():
    # A hundred thousand equal terms: the worst case for an accumulator in float32.
    a, b = np.full((400, 250), 0.1, np.float32), np.zeros((400, 250), np.float32)
    for name in ("squared_error", "binary_cross_entropy"):
        precise = twin(name)(a.astype(np.float64), b)
        np.testing.assert_allclose(getattr(kernels, name)(a, b), precise, rtol=1e-6)


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-42, 100, -100, 88.5, -88.5, 3e38, -3e38], np.float32)


PLAIN = [name for name, (n, settings) in CASES.items() if name.endswith("_grad") or (n == 1 and settings == [()])]


@pytest.mark.parametrize("shape", [(12,), (2, 2, 3)])
@pytest.mark.parametrize("name", PLAIN)
def test_special_numbers(name, shape):
    n, settings = CASES[name]
    arrays = [np.ones(shape, np.float32)] * (n - 1) + [SPECIAL.reshape(shape)]
    with np.errstate(all="ignore"):
        expected = twin(name)(*arrays, *settings[0])
    actual = getattr(kernels, name)(*arrays, *settings[0])
    np.testing.assert_allclose(actual, expected, rtol=3e-6, atol=1e-35)


@pytest.mark.parametrize("name", IN_PLACE)
def test_special_numbers_in_place(name):
    for settings in IN_PLACE[name]:
        a, b = SPECIAL.reshape(2, 6).copy(), SPECIAL.reshape(2, 6).copy()
        with np.errstate(all="ignore"):
            twin(name)(b, np.zeros(6, np.float32), *settings)
        getattr(kernels, name)(a, np.zeros(6, np.float32), *settings)
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-7 if name == "bias_tanh" else 1e-35)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize(
    "row",
    [[1, np.nan, 2], [np.nan, 1, np.inf], [1, np.inf, 2], [-np.inf, 1, 2], [-np.inf] * 3, [1e4, 1e4 + 1, 9999.5]],
    ids=str,
)
def test_special_rows_of_the_normalisers(name, row):
    x = np.array([row, [0, 1, 2]], np.float32)
    with np.errstate(all="ignore"):
        expected = twin(name)(x.astype(np.float64))
    np.testing.assert_allclose(getattr(kernels, name)(x), expected, rtol=1e-6, atol=1e-7)


def test_other_dtypes_and_read_only_arrays_go_through():
    for dtype in (np.float64, np.int64):
        x = np.arange(6).reshape(2, 3).astype(dtype)
        np.testing.assert_allclose(kernels.sigmoid(x), 1 / (1 + np.exp(-x)), rtol=1e-12)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(kernels.sigmoid(frozen), kernels.sigmoid(X))


@pytest.mark.parametrize("shape", [(3, 4), (5,), (3, 5), (1,), (), (0, 2)])
def test_normal_draws_are_box_and_mullers(shape):
    n = math.prod(shape)
    u, v = np.random.default_rng(7).random((2, (n + 1) // 2), np.float32).astype(np.float64)
    r, angle = np.sqrt(-2 * np.log1p(-u)), 2 * np.pi * (v - 0.5)
    expected = np.concatenate([r * np.cos(angle), r * np.sin(angle)])[:n].reshape(shape)
    for out in (np.empty(shape, np.float32), np.empty((*shape, 2), np.float32)[..., 0]):
        assert kernels.standard_normal(np.random.default_rng(7), out) is out
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=3e-6)
    wide = kernels.standard_normal(np.random.default_rng(7), np.empty(shape))
    np.testing.assert_array_equal(wide, np.random.default_rng(7).standard_normal(shape))


def test_normal_draws_at_the_ends():
    u, v = np.array([0, 0, 1 - 2**-24, 0.5], np.float32), np.array([0, 0.9, 1 - 2**-24, 0.25], np.float32)
    x, y = u.copy(), v.copy()
    random._pairs(x, y)
    np.testing.assert_allclose(
        np.hypot(x, y), [0, 0, math.sqrt(48 * math.log(2)), math.sqrt(2 * math.log(2))], rtol=1e-6
    )


def test_normal_draws_are_normal():
    n = 2_000_000
    x = kernels.standard_normal(np.random.default_rng(11), np.empty(n, np.float32)).astype(np.float64)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(x**power) - expected) < 4 * math.sqrt(variance / n)
    assert scipy.stats.kstest(x, "norm").pvalue > 1e-3
    far = 2 * scipy.stats.norm.sf(4)
    assert abs(np.mean(np.abs(x) > 4) - far) < 4 * math.sqrt(far / n)
    for f in (np.asarray, np.square):  # the two of a pair know nothing of each other
        assert abs(np.corrcoef(f(x[: n // 2]), f(x[n // 2 :]))[0, 1]) < 4 / math.sqrt(n / 2)


def test_an_unknown_kernel_says_so():
    with pytest.raises(AttributeError, match="no_such_kernel"):
        _ = kernels.no_such_kernel


def test_arrays_that_were_pickled_run_in_the_kernels_too():
    # Pickling makes another object of the same dtype; the slow twin ran, an ulp away.
    again = pickle.loads(pickle.dumps(X))
    assert again.dtype == np.float32 and jit.is_fast(again)
    assert not jit.is_fast(X.astype(">f4")) and not jit.is_fast(X.T) and not jit.is_fast(X.astype(np.float64))
    for name in ("sigmoid", "silu", "softmax", "logsumexp"):
        np.testing.assert_array_equal(getattr(kernels, name)(again), getattr(kernels, name)(X))
