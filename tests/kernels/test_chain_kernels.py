"""The kernels of Markov chains against their NumPy twins."""

import numpy as np
import pytest

from minigen import kernels
from minigen.kernels import chains

rng = np.random.default_rng(4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7, 1), (5, 3), (1, 40), (0, 2)])
def test_chain_kernels_agree_with_their_twins(shape, dtype):
    a, b, c = rng.standard_normal((3, *shape)).astype(dtype)
    chosen = rng.random(shape[0]) < 0.5
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-13}
    for name, args in (("langevin_move", (a, 0.3, b, 0.7, c)), ("row_dot", (a, b)), ("choose_rows", (chosen, a, b))):
        found = getattr(kernels, name)(*args)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, getattr(chains, f"{name}_numpy")(*args), **tolerance)
    for i, row in enumerate(kernels.choose_rows(chosen, a, b)):
        np.testing.assert_array_equal(row, a[i] if chosen[i] else b[i])


def test_other_layouts_and_widths_of_axes():
    a, b, c = rng.standard_normal((3, 6, 4)).astype(np.float32)
    scale = np.array([0.5, 1.0, 2.0, 3.0], np.float32)
    np.testing.assert_allclose(
        kernels.langevin_move(a, scale, b, 2 * scale, c), a + scale * b + 2 * scale * c, rtol=1e-6
    )
    np.testing.assert_allclose(
        kernels.row_dot(a[:, ::2], b[:, 1::2]), np.sum(a[:, ::2] * b[:, 1::2], axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(kernels.row_dot(np.asfortranarray(a), b), np.sum(a * b, axis=1), rtol=1e-5)


def test_nan_does_not_spread_to_other_rows():
    a = np.ones((4, 3), np.float32)
    bad = a.copy()
    bad[1, 2] = np.nan
    np.testing.assert_array_equal(np.isnan(kernels.row_dot(a, bad)), [False, True, False, False])
    chosen = np.array([True, False, True, True])
    assert np.isfinite(kernels.choose_rows(chosen, bad, a)).all()


@pytest.mark.parametrize("product", [kernels.row_dot, chains.row_dot_numpy])
def test_long_rows_do_not_drift(product):
    # In float32 the compiled sum is off by 9e-7 here; a float32 cannot hold it better than to 6e-8.
    a = rng.random((1, 3_000_000), np.float32)
    b = np.full_like(a, 0.1)
    exact = float(a[0].astype(np.float64) @ b[0].astype(np.float64))
    assert abs(float(product(a, b)[0]) / exact - 1) < 1e-7
    assert product(a, b).dtype == np.float32
