"""Chains on posteriors written in minigen's operations: means and standard deviations against closed forms.

All chains of a run are independent, so the spread of their means is the Monte-Carlo standard error. A number must lie
within 3 of them, and m numbers at once within the limit that one of them passes as rarely as a single one passes 3.
"""

import math

import numpy as np
import pytest
from scipy import special, stats

from minigen import ops, targets
from minigen.samplers import Tempering, adapt, check_gradient, hmc, mala, random_walk, sample

SEEDS = [0]  # tried with 0 to 4


def assert_moments(draws, mean, sd):
    """Means and SDs over all draws (chains, n, k) against the exact ones (k,)."""
    mean, sd = np.broadcast_to(mean, draws.shape[2:]), np.broadcast_to(sd, draws.shape[2:])
    centred = draws.astype(np.float64) - mean
    found = np.concatenate([centred.mean(axis=1) / sd, (centred**2).mean(axis=1) / sd**2 - 1], axis=1)
    z = found.mean(axis=0) * math.sqrt(len(found)) / found.std(axis=0, ddof=1)
    limit = stats.norm.isf(stats.norm.sf(3.0) / z.size)
    assert np.abs(z).max() < limit, f"z-scores of means and squares: {np.round(z, 1)}"
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    assert error.max() < 0.06, f"too few draws to tell: standard errors up to {error.max():.3f}"


def run(kernel, start, n, rng, warmup=500, thin=1):
    check_gradient_of(kernel, start, rng)
    if getattr(kernel, "step_size", 0.0) is None:
        kernel, start = adapt(kernel, start, rng, warmup, progress=False)
    draws, infos = sample(kernel, start, n, rng, 100, thin, progress=False)
    return draws, infos


def check_gradient_of(kernel, start, rng):
    """The gradient of a kernel's density, if it has one, against differences."""
    density = getattr(kernel, "density", None)
    if density is not None and kernel.needs_grad:
        check_gradient((density.value, lambda x: density(x)[1]), start[:5], rng)


each_seed = pytest.mark.parametrize("seed", SEEDS)


# A Gaussian in 50 dimensions, neighbours correlated by 0.9, widths from 0.1 to 10.
WIDTHS = np.geomspace(0.1, 10, 50)
COVARIANCE = WIDTHS[:, None] * WIDTHS * 0.9 ** np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
CENTRE = np.linspace(-3, 5, 50)
WHITEN = np.linalg.inv(np.linalg.cholesky(COVARIANCE)).T


def gaussian(x):
    return -0.5 * ops.sum(ops.square(ops.matmul(x - CENTRE, WHITEN)), axis=1)


@each_seed
def test_correlated_gaussian_in_50_dimensions(seed):
    rng = np.random.default_rng(seed)
    start = CENTRE + 2 * WIDTHS * rng.standard_normal((100, 50))
    draws, infos = run(hmc(gaussian, leapfrog_steps=25, scale=WIDTHS), start, 100, rng, 200)
    assert_moments(draws, CENTRE, np.sqrt(np.diag(COVARIANCE)))
    assert 0.7 < infos.acceptance_rate.mean() < 0.9
    pairs = (draws[:, :, :-1] - CENTRE[:-1]) * (draws[:, :, 1:] - CENTRE[1:]) / (WIDTHS[:-1] * WIDTHS[1:])
    np.testing.assert_allclose(pairs.mean(axis=(0, 1)), 0.9, atol=0.1)


def test_preconditioning_is_what_makes_it_possible():
    rng = np.random.default_rng(0)
    start = CENTRE + WIDTHS * rng.standard_normal((50, 50))
    steps = [
        adapt(mala(gaussian, scale=scale), start, rng, 300, progress=False)[0].step_size for scale in (1.0, WIDTHS)
    ]
    # In units of its width the widest axis moves sqrt(2 h) a step: a hundredth of what it does with a scale.
    assert math.sqrt(2 * steps[0]) / WIDTHS[-1] < 0.03 * math.sqrt(2 * steps[1])


def banana(x):
    bent = x[:, 1] + 0.1 * (ops.square(x[:, 0]) - 9.0)
    return -0.5 * ops.square(x[:, 0] / 3.0) - 0.5 * ops.square(bent)


@each_seed
@pytest.mark.parametrize("kernel", [hmc(banana, 0.5, leapfrog_steps=10), mala(banana, 0.3)], ids=str)
def test_banana(kernel, seed):
    target, rng = targets.banana(curvature=0.1, sd=3.0), np.random.default_rng(seed)
    points = 3 * rng.standard_normal((20, 2))
    np.testing.assert_allclose(banana(points), -target.energy(points), rtol=1e-12)
    draws, _ = run(kernel, target.sample(300, rng), 400, rng, thin=1 if kernel.name == "hmc" else 5)
    assert_moments(draws, target.mean, np.sqrt(np.diag(target.cov)))


def funnel(sd):
    def log_prob(x):
        v = x[:, :1]
        return -0.5 * ops.sum(ops.square(x[:, 1:]) * ops.exp(-v) + v, axis=1) - 0.5 * ops.square(v[:, 0] / sd)

    return log_prob


@each_seed
def test_a_mild_funnel(seed):
    rng = np.random.default_rng(seed)
    target = targets.funnel(dim=4, sd=1.0)
    points = rng.standard_normal((20, 4))
    energies = funnel(1.0)(points) + target.energy(points)
    np.testing.assert_allclose(energies - energies[0], 0, atol=1e-12)
    draws, _ = run(hmc(funnel(1.0), leapfrog_steps=20), target.sample(300, rng), 300, rng, 300)
    assert_moments(draws, target.mean, np.sqrt(np.diag(target.cov)))


@each_seed
def test_neals_funnel_and_what_hmc_cannot_do_there(seed):
    # 10 dimensions, v = log of the variance of the others from N(0, 9). Started in the wide part, HMC with one step
    # size does not come into the neck, where it would need a step of e^(v / 2): it misses most of the mass below
    # v = -5 (4.8 %), and what it tells of v is wrong. Given v, the others are right.
    rng = np.random.default_rng(seed)
    start = np.column_stack([np.full(200, 2.0), rng.standard_normal((200, 9)) * math.e])
    draws, infos = run(hmc(funnel(3.0), 0.5, leapfrog_steps=20), start, 300, rng)
    v = draws[:, :, 0]
    assert stats.norm.cdf(-5 / 3) == pytest.approx(0.048, abs=1e-3)
    assert np.mean(v < -5) < 0.02 and v.mean() > 0.5
    assert infos.is_divergent.mean() < 0.5
    assert_moments(draws[:, :, 1:] * np.exp(-v[:, :, None] / 2), 0.0, 1.0)
    # Without the funnel's shape, in v and x e^(-v / 2), the same distribution is a plain Gaussian, and all is right.
    centred = hmc(lambda z: -0.5 * ops.square(z[:, 0] / 3.0) - 0.5 * ops.sum(ops.square(z[:, 1:]), 1), 0.7)
    draws, _ = run(centred, rng.standard_normal((200, 10)), 300, rng)
    assert_moments(draws[:, :, :1], 0.0, 3.0)


CENTRES, SPREADS, SHARES = np.array([[-2.0, 0.0], [2.0, 1.0], [0.5, -2.5]]), np.array([0.8, 1.2, 0.6]), (0.5, 0.3, 0.2)


def mixture(spacing):
    def log_prob(x):
        parts = [
            ops.sum(ops.square(x - spacing * centre), axis=1, keepdims=True) / (-2 * sd**2) + math.log(share / sd**2)
            for centre, sd, share in zip(CENTRES, SPREADS, SHARES)
        ]
        return ops.logsumexp(ops.concatenate(parts, axis=1), axis=1)

    mean = spacing * np.average(CENTRES, axis=0, weights=SHARES)
    second = np.average((spacing * CENTRES) ** 2 + SPREADS[:, None] ** 2, axis=0, weights=SHARES)
    return log_prob, mean, np.sqrt(second - mean**2)


@each_seed
@pytest.mark.parametrize("make", [mala, hmc, random_walk])
def test_mixture(make, seed):
    (log_prob, mean, sd), rng = mixture(1.0), np.random.default_rng(seed)
    draws, _ = run(make(log_prob), mean + sd * rng.standard_normal((300, 2)), 400, rng, 300, thin=4)
    assert_moments(draws, mean, sd)


@each_seed
def test_mixture_of_far_peaks_by_tempering(seed):
    (log_prob, mean, sd), rng = mixture(4.0), np.random.default_rng(seed)
    kernel = Tempering(mala(log_prob, 0.4), (1.0, 2.5, 6.0, 15.0, 40.0))
    draws, _ = sample(kernel, np.tile(4 * CENTRES[:1], (300, 1)), 500, rng, 500, 2, progress=False)
    assert_moments(draws, mean, sd)


# Logistic regression with an intercept and two slopes, prior N(0, 2^2), 60 examples.
_rng = np.random.default_rng(12)
FEATURES = np.column_stack([np.ones(60), _rng.standard_normal(60), 3 * _rng.random(60)])
LABELS = (_rng.random(60) < special.expit(FEATURES @ [0.5, -1.2, 0.8])).astype(float)


def logistic(w):
    logits = ops.matmul(w, FEATURES.T)
    return ops.sum(logits * LABELS - ops.softplus(logits), axis=1) - ops.sum(ops.square(w), axis=1) / 8


def on_a_grid(log_prob, axes):
    """Means and SDs of a density by summing over a grid."""
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    values = log_prob(grid)
    p = special.softmax(values)
    mean = p @ grid
    return mean, np.sqrt(p @ (grid - mean) ** 2)


@each_seed
@pytest.mark.parametrize("make", [mala, hmc])
def test_bayesian_logistic_regression(make, seed):
    rng = np.random.default_rng(seed)
    axes = [np.linspace(low, high, 45) for low, high in ((-5, 6), (-5, 1), (-3, 5))]
    numpy_log_prob = lambda w: (
        (w @ FEATURES.T) @ LABELS - np.logaddexp(0, w @ FEATURES.T).sum(axis=1) - (w**2).sum(axis=1) / 8
    )
    mean, sd = on_a_grid(numpy_log_prob, axes)
    draws, _ = run(make(logistic, scale=sd), mean + sd * rng.standard_normal((300, 3)), 300, rng, 300, thin=3)
    assert_moments(draws, mean, sd)


# Eight schools (Rubin, 1981), non-centred: theta_j = mu + tau eta_j, in mu, log tau and eta.
EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def eight_schools(z):
    """log p of (mu, log tau, eta_1 ... eta_8): mu from N(0, 5^2), tau from a half-Cauchy of scale 5."""
    mu, log_tau, eta = z[:, :1], z[:, 1:2], z[:, 2:]
    tau = ops.exp(log_tau)
    theta = mu + tau * eta
    likelihood = -0.5 * ops.sum(ops.square((EFFECTS - theta) / ERRORS), axis=1)
    prior = -0.5 * ops.square(mu / 5.0) - ops.log1p(ops.square(tau / 5.0)) + log_tau
    return likelihood + prior[:, 0] - 0.5 * ops.sum(ops.square(eta), axis=1)


def eight_schools_exactly():
    """Means and SDs of mu, log tau and the eight theta: given tau all is Gaussian, and tau is summed over."""
    log_tau = np.linspace(-12, 8, 20001)[:, None]
    variance = np.exp(2 * log_tau) + ERRORS**2  # of an observed effect around mu
    precision = 1 / 25 + np.sum(1 / variance, axis=1)
    mu = np.sum(EFFECTS / variance, axis=1) / precision
    log_p = 0.5 * (precision * mu**2 - np.log(precision) - np.sum(EFFECTS**2 / variance + np.log(variance), axis=1))
    p = special.softmax(log_p - np.log1p(np.exp(2 * log_tau[:, 0]) / 25) + log_tau[:, 0])
    share = np.exp(2 * log_tau) / variance  # of theta that comes from its own effect, the rest from mu
    theta = share * EFFECTS + (1 - share) * mu[:, None]
    theta_var = share * ERRORS**2 + (1 - share) ** 2 / precision[:, None]
    means = np.column_stack([mu, log_tau, theta])
    variances = np.column_stack([1 / precision, 0 * log_tau, theta_var])
    mean = p @ means
    return mean, np.sqrt(p @ (variances + (means - mean) ** 2))


@each_seed
def test_eight_schools(seed):
    mean, sd = eight_schools_exactly()
    assert mean[0] == pytest.approx(4.4, abs=0.1) and mean[2] == pytest.approx(6.2, abs=0.2)  # as in the literature
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((300, 10))
    draws, _ = run(hmc(eight_schools, leapfrog_steps=15, scale=[3.0, *[1.0] * 9]), start, 300, rng, 400)
    theta = draws[:, :, :1] + np.exp(draws[:, :, 1:2]) * draws[:, :, 2:]
    assert_moments(np.concatenate([draws[:, :, :2], theta], axis=2), mean, sd)
