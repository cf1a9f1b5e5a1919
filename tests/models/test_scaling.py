"""Do data reach a network at mean 0 and SD 1, and come back as they were?"""

import numpy as np
import pytest

from minigen import tensor
from minigen._support.arrays import as_matrix
from minigen.models.scaling import Scale, overall, per_feature


def data():
    return np.random.default_rng(1).gamma(2.0, size=(40, 3)) * [1.0, 50.0, 1e-6] + [0.0, -3e3, 7.0]


@pytest.mark.parametrize("scale", [per_feature, overall])
def test_there_and_back(scale):
    x = data()
    found = scale(x)
    np.testing.assert_allclose(found.from_unit(found.to_unit(x)), x, rtol=1e-12)
    unit = found.to_unit(x)
    np.testing.assert_allclose(unit.mean(axis=0), 0, atol=1e-8)


def test_per_feature_gives_each_column_sd_1():
    np.testing.assert_allclose(per_feature(data()).to_unit(data()).std(axis=0), 1, rtol=1e-9)


def test_overall_keeps_the_columns_in_proportion():
    x = data()
    found = overall(x)
    assert np.shape(found.sd) == ()
    np.testing.assert_allclose(found.sd**2, x.var(axis=0).mean())
    unit = found.to_unit(x)
    np.testing.assert_allclose(unit.std(axis=0) / unit.std(axis=0)[1], x.std(axis=0) / x.std(axis=0)[1])


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e7 / 3])  # the mean of 0.1 repeated is not 0.1
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_a_constant_keeps_its_unit(value, n):
    x = np.column_stack([np.full(n, value), np.arange(n)])
    assert per_feature(x).sd[0] == 1
    assert overall(np.full((n, 2), value)).sd == 1
    np.testing.assert_allclose(per_feature(x).to_unit(x)[:, 0], 0, atol=1e-7)


def test_small_differences_on_a_large_number_are_no_constant():
    x = 1.7e9 + np.array([[0.0], [1.0], [2.0], [3.0]])
    np.testing.assert_allclose(per_feature(x).sd, np.sqrt(1.25))


def test_whole_numbers_have_a_broken_sd():
    x = np.array([[0, 1], [1, 0], [0, 0]])
    np.testing.assert_allclose(overall(x).sd, np.sqrt(2 / 9))
    np.testing.assert_allclose(per_feature(x).sd, np.sqrt([2 / 9, 2 / 9]))


def test_a_scale_may_hold_numbers():
    assert Scale(2.0, 4.0).to_unit(10.0) == 2.0 and Scale(2.0, 4.0).from_unit(2.0) == 10.0


@pytest.mark.parametrize(
    "x", [[[1, 2], [3, 4]], np.ones((2, 2), np.float32), np.ones((2, 2), bool), tensor([[1.0, 2.0]])]
)
def test_rows_are_float64(x):
    found = as_matrix(x, "X", "here")
    assert found.dtype == np.float64 and found.ndim == 2
    np.testing.assert_array_equal(found, np.asarray(x.data if hasattr(x, "node") else x))


def test_a_column_may_be_given_flat():
    np.testing.assert_array_equal(as_matrix([1, 2, 3], "Y", "here", 1, column=True), [[1], [2], [3]])


@pytest.mark.parametrize(
    "x, width, error, message",
    [
        (np.ones(3), None, ValueError, r"here got X of shape \(3,\); expected \(n, d\): write X\[:, None\]"),
        (np.ones((2, 3, 4)), None, ValueError, r"here got X of shape \(2, 3, 4\); expected \(n, d\)$"),
        (np.ones((2, 3)), 4, ValueError, r"here got X of shape \(2, 3\); expected \(n, 4\)$"),
        (np.ones((2, 0)), None, ValueError, r"here got X of shape \(2, 0\)"),
        (np.ones((0, 2)), None, ValueError, r"here got X of shape \(0, 2\); expected at least one row"),
        ([[1.0, np.inf]], None, ValueError, r"here got 1 value\(s\) that are NaN or infinite in X"),
        ([[1.0], [1.0, 2.0]], None, TypeError, "here got rows of unequal length in X"),
        ([["a"]], None, TypeError, "here got X of type <U1"),
    ],
)
def test_what_is_no_table_of_rows(x, width, error, message):
    with pytest.raises(error, match=message):
        as_matrix(x, "X", "here", width)
