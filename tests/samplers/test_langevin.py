"""Langevin kernels and the random walk against closed forms on N(0, 1), and detailed balance to rounding."""

import math

import numpy as np
import pytest
from scipy import stats

from minigen import ops
from minigen.samplers import mala, random_walk, sample, ula
from minigen.samplers.langevin import mala_log_ratio, truncated_mala


def normal(x):
    """log N(0, I) up to its constant."""
    return -0.5 * ops.sum(ops.square(x), axis=1)


def skewed(x):
    """A density in 3 dimensions that is neither symmetric nor Gaussian."""
    banana = x[:, 1] - 0.5 * ops.square(x[:, 0])
    return -0.5 * ops.square(x[:, 0]) - ops.square(banana) - ops.softplus(x[:, 2]) - ops.softplus(-2.0 * x[:, 2])


def within(values, expected, limit=4.0):
    """Whether the mean over independent chains, values (chains,), is within `limit` standard errors."""
    return abs(values.mean() - expected) < limit * values.std(ddof=1) / math.sqrt(len(values))


def acceptance(h):
    """Of MALA on N(0, 1), in equilibrium."""
    return 1 - 2 / math.pi * math.asin(h**2 / math.sqrt((h**2 + 2 * h) * (h**2 - 2 * h + 4)))


@pytest.mark.parametrize("h", [0.1, 0.4, 0.8, 1.2, 1.6])
def test_unadjusted_chain_has_the_variance_it_should(h):
    rng = np.random.default_rng(0)
    draws, _ = sample(ula(normal, h), np.zeros((4000, 1)), 20, rng, warmup=120, progress=False)
    squares = (draws[:, :, 0] ** 2).mean(axis=1)
    assert within(squares, 1 / (1 - h / 2))
    assert not within(squares, 1 / (1 + h / 2))
    assert not within(squares, 1 / (2 - h))  # what drift h and noise sqrt(h) would keep


@pytest.mark.parametrize("h", [0.3, 0.8, 1.3, 2.0, 3.0])
def test_adjusted_chain_accepts_as_often_as_it_should(h):
    rng = np.random.default_rng(1)
    draws, infos = sample(mala(normal, h), rng.standard_normal((4000, 1)), 30, rng, progress=False)
    assert within(infos.acceptance_rate.mean(axis=1), acceptance(h))
    assert within(infos.is_accepted.mean(axis=1), acceptance(h))
    assert within((draws[:, :, 0] ** 2).mean(axis=1), 1.0)
    if h == 2.0:
        assert acceptance(h) == pytest.approx(0.5, abs=1e-12)


def test_random_walk_accepts_as_often_as_it_should():
    rng = np.random.default_rng(2)  # on N(0, 1) with jumps of SD s the rate is (2 / pi) atan(2 / s)
    for s in (0.5, 2.0, 5.0):
        _, infos = sample(random_walk(normal, s), rng.standard_normal((4000, 1)), 30, rng, progress=False)
        assert within(infos.acceptance_rate.mean(axis=1), 2 / math.pi * math.atan(2 / s))


@pytest.mark.parametrize("temperature", [1.0, 0.4, 3.0])
@pytest.mark.parametrize("h", [0.02, 0.5, 2.0])
@pytest.mark.parametrize("scale", [1.0, np.array([0.5, 2.0, 1.3])], ids=["plain", "scaled"])
def test_detailed_balance_of_random_pairs(h, temperature, scale):
    # pi(x) q(y | x) a(x, y) = pi(y) q(x | y) a(y, x), with q by SciPy from the formula in the texts.
    rng = np.random.default_rng(3)
    kernel = mala(skewed, h, temperature=temperature, scale=scale)
    x, y = (kernel.init(2 * rng.standard_normal((300, 3))) for _ in range(2))
    sd = np.sqrt(2 * h * temperature) * scale

    def flow(x, y):
        log_q = stats.norm.logpdf(y.position, x.position + h * scale**2 * x.grad, sd).sum(axis=1)
        log_a = np.minimum(mala_log_ratio(x, y, h, temperature, scale), 0.0)
        return x.log_prob / temperature + log_q + log_a

    there, back = flow(x, y), flow(y, x)
    assert np.all(np.abs(there - back) <= 1e-12 * np.maximum(1.0, np.abs(there)))
    assert 0.3 < np.mean(mala_log_ratio(x, y, h, temperature, scale) < 0) < 0.7  # both ways round were tried


@pytest.mark.parametrize("scale", [1.0, np.array([0.5, 2.0, 1.3])], ids=["plain", "scaled"])
def test_proposals_are_those_of_the_formula(scale):
    # So that the density q of the test above is the one that the kernel draws from.
    rng, h, temperature = np.random.default_rng(4), 0.3, 1.7
    position, noise = rng.standard_normal((50, 3)), rng.standard_normal((50, 3))
    for kernel in (ula(skewed, h, scale=scale), mala(skewed, h, scale=scale)):
        x = kernel.init(position)
        y, log_ratio = kernel.propose(x, noise, h, temperature, scale)
        expected = position + h * scale**2 * x.grad + np.sqrt(2 * h * temperature) * scale * noise
        np.testing.assert_allclose(y.position, expected, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(y.log_prob, kernel.init(expected).log_prob, rtol=1e-12)
        if kernel.name == "mala":
            np.testing.assert_array_equal(log_ratio, mala_log_ratio(x, y, h, temperature, scale))
    walk = random_walk(skewed, 0.7, scale=scale)
    y, log_ratio = walk.propose(walk.init(position), noise, 0.7, temperature, scale)
    np.testing.assert_allclose(y.position, position + 0.7 * temperature**0.5 * scale * noise, rtol=1e-13)
    np.testing.assert_allclose(log_ratio, (y.log_prob - walk.init(position).log_prob) / temperature, rtol=1e-12)


def test_accepted_with_the_probability_that_is_reported():
    rng = np.random.default_rng(6)
    kernel = mala(skewed, 0.7)
    state = kernel.init(rng.standard_normal((100, 3)))
    noise = rng.standard_normal((100, 3))
    rate = kernel.transition(state, noise, np.zeros(100))[1].acceptance_rate
    assert np.mean(rate < 1) > 0.3
    for uniform, accepted in ((rate - 1e-9, rate > -1), (np.minimum(rate + 1e-9, 0.999999), rate == 1)):
        new, info = kernel.transition(state, noise, uniform)
        np.testing.assert_array_equal(info.is_accepted, accepted)
        np.testing.assert_array_equal(np.any(new.position != state.position, axis=1), accepted)


def test_short_chains_of_training_stay_where_the_density_is_finite():
    # Beyond 1 log p is +inf, -inf or NaN: such a proposal is rejected, also that of an infinite density.
    for outside in (np.inf, -np.inf, np.nan):
        log_prob = lambda x, outside=outside: ops.where(x[:, 0] < 1.0, normal(x), outside)
        x = np.zeros((500, 2), np.float32)
        found, share = truncated_mala(log_prob, x, 30, np.asarray(0.3, np.float32), np.random.default_rng(0))
        assert found[:, 0].max() < 1.0 and 0.3 < share < 0.95


def test_short_chains_of_training_come_down_from_where_the_slope_cannot_be_squared():
    # In float32 the square of 3e19 is infinite; the drift is one of the usual length all the same.
    log_prob = lambda x: ops.sum(ops.abs(x), axis=1) * -3e19
    x = np.full((50, 2), 5.0, np.float32)
    found, _ = truncated_mala(log_prob, x, 100, np.asarray(0.1, np.float32), np.random.default_rng(0))
    assert np.abs(found).max() < 1.0
