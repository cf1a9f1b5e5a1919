"""The compiled loops of mixtures against their NumPy twins, and both against SciPy's densities."""

import numpy as np
import pytest
from scipy import special, stats

from minigen.kernels import activations, jit, mixture

SIZES = [(1, 1, 1), (5, 3, 2), (127, 2, 3), (128, 4, 1), (300, 9, 5)]  # n, d, k around the length of a block
BOTH = pytest.mark.parametrize("version", ["", "_numpy"])


def case(n, d, k, diagonal, seed=0):
    rng = np.random.default_rng([seed, n, d, k])
    X, means = np.ascontiguousarray(rng.normal(0, 3, (n, d)).T), rng.normal(0, 3, (k, d))
    factors = np.triu(rng.normal(0, 1, (k, d, d)), 1) + rng.uniform(0.3, 2, (k, d))[:, None] * np.eye(d)
    if diagonal:
        factors = np.ascontiguousarray(np.diagonal(factors, axis1=1, axis2=2))
    return X, means, factors, rng.normal(0, 2, k)


def run(version, X, means, factors, offsets):
    resp, log_prob = np.full((len(means), X.shape[1]), np.nan), np.full(X.shape[1], np.nan)
    getattr(mixture, f"responsibilities{version}")(X, means, factors, offsets, resp, log_prob)
    return resp, log_prob


@BOTH
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("n, d, k", SIZES)
def test_responsibilities_are_those_of_scipys_densities(n, d, k, diagonal, version):
    X, means, factors, offsets = case(n, d, k, diagonal)
    resp, log_prob = run(version, X, means, factors, offsets)
    joint = np.empty((k, n))
    for c in range(k):
        U = np.diag(factors[c]) if diagonal else factors[c]
        normal = stats.multivariate_normal(means[c], np.linalg.inv(U @ U.T), allow_singular=True)
        joint[c] = normal.logpdf(X.T) - normal.logpdf(means[c]) + offsets[c]
    np.testing.assert_allclose(log_prob, special.logsumexp(joint, axis=0), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(resp, special.softmax(joint, axis=0), rtol=1e-6, atol=1e-12)


@BOTH
@pytest.mark.parametrize("n, d, k", SIZES)
def test_the_scatter_is_the_weighted_covariance(n, d, k, version):
    X, means, _, _ = case(n, d, k, False)
    resp = np.random.default_rng(n).random((k, n))
    full, diagonal = np.full((k, d, d), np.nan), np.full((k, d), np.nan)
    for out in (full, diagonal):
        getattr(mixture, f"weighted_scatter{version}")(X + 1e6, means + 1e6, resp, out)
    for c in range(k):
        about_own_mean = np.cov(X, aweights=resp[c], bias=True).reshape(d, d) if n > 1 else np.zeros((d, d))
        shift = np.average(X, axis=1, weights=resp[c]) - means[c]
        expected = resp[c].sum() * (about_own_mean + np.outer(shift, shift))
        np.testing.assert_allclose(full[c], expected, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(diagonal[c], np.diag(expected), rtol=1e-7, atol=1e-7)


@BOTH
@pytest.mark.parametrize("diagonal", [False, True])
def test_extremes(diagonal, version):
    """Points so far away that every density is 0, a component of weight 0, and values beyond the largest double."""
    _, means, factors, offsets = case(1, 2, 3, diagonal)
    X = np.array([[0.0, 1e6, 1e160, 1e308, -1e308], [0.0, -1e6, 1e160, -1e308, 1e308]])
    offsets[1] = -np.inf
    resp, log_prob = run(version, X, means, factors, offsets)
    assert np.isfinite(log_prob[:2]).all() and (log_prob[2:] == -np.inf).all()
    np.testing.assert_allclose(resp.sum(axis=0), 1)
    np.testing.assert_array_equal(resp[1, :2], 0)
    np.testing.assert_allclose(resp[:, 2:], 1 / 3)


@jit.njit
def _fill(x, out):
    for i in range(len(x)):
        out[i] = activations.exp_float64(x[i])


def test_the_exponential_keeps_all_digits():
    x = -np.concatenate([np.linspace(0, 707.9, 100_001), np.geomspace(1e-300, 1, 1000)])
    out = np.empty_like(x)
    _fill(x, out)
    np.testing.assert_allclose(out, np.exp(x), rtol=1e-15)
    for below in (-708.5, -1e300, -np.inf):
        assert activations.exp_float64(np.float64(below)) == 0


@pytest.mark.skipif(not jit.USE_NUMBA, reason="every kernel is its twin")
def test_arrays_the_loops_cannot_take_go_to_the_twin():
    X, means, factors, offsets = case(40, 3, 2, False)
    expected = run("", X, means, factors, offsets)
    for X_other in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        for a, b in zip(run("", X_other, means, factors, offsets), expected):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
