"""The exactness tests: uniform p-values for kernels that are right, and every planted error caught."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from minigen import check, kernels, ops, samplers
from minigen.samplers import State, exactness, hamiltonian, hmc, langevin, mala, random_walk, ula
from minigen.samplers.exactness import coordinates_and_log_prob

SEEDS = [0]  # the limits below hold for others too: tried with 0 to 4
RIGHT, WRONG = 1e-3, 1e-6  # a right kernel's p-value is above the one, a wrong one's below the other


def curved(x):
    """A banana with exact draws: x_0 from N(0, 1), x_1 from N(x_0^2 / 2, 0.5^2)."""
    return -0.5 * ops.square(x[:, 0]) - 2.0 * ops.square(x[:, 1] - 0.5 * ops.square(x[:, 0]))


def exact_draws(n, rng):
    first = rng.standard_normal(n)
    return np.column_stack([first, 0.5 * first**2 + 0.5 * rng.standard_normal(n)])


# A model for the tests that need data: theta from N(0, I) in two dimensions, three numbers that depend on it.
def draw_prior(n, rng):
    return rng.standard_normal((n, 2))


def draw_data(theta, rng):
    mean = np.column_stack([theta, np.tanh(theta[:, 0] - 2.0 * theta[:, 1])])
    return mean + 0.8 * rng.standard_normal(mean.shape)


def posterior(data):
    def log_prob(theta):
        bent = ops.tanh(theta[:, :1] - 2.0 * theta[:, 1:])
        mean = ops.concatenate([theta, bent], axis=1)
        return -0.5 * ops.sum(ops.square(theta), 1) - 0.5 * ops.sum(ops.square((data - mean) / 0.8), 1)

    return log_prob


MAKERS = {
    "mala": lambda log_prob: mala(log_prob, 0.25, compile=False),
    "hmc": lambda log_prob: hmc(log_prob, 0.6, leapfrog_steps=2, compile=False),
    "random_walk": lambda log_prob: random_walk(log_prob, 0.8, compile=False),
}


def by_ranks(make, rng):
    return exactness.rank_test(make(curved), exact_draws(10_000, rng), rng, steps=11, thin=4)


def by_joint(make, rng):
    kernel_given = lambda data: make(posterior(data))
    return exactness.joint_test(draw_prior, draw_data, kernel_given, rng, chains=10_000, sweeps=10, steps=5)


def by_calibration(make, rng):
    return exactness.simulation_based_calibration(
        draw_prior, draw_data, lambda data: make(posterior(data)), rng, chains=1500, draws=14, warmup=100, thin=12
    )


TESTS = [by_ranks, by_joint, by_calibration]
each_test = pytest.mark.parametrize("test", TESTS, ids=lambda test: test.__name__)
each_seed = pytest.mark.parametrize("seed", SEEDS)


@each_test
@each_seed
@pytest.mark.parametrize("name", MAKERS)
def test_exact_kernels_pass(name, seed, test):
    rng = np.random.default_rng(seed)
    verdict = test(MAKERS[name], rng)
    assert verdict.p_value > RIGHT
    assert len(verdict.p_values) >= 3 and verdict.p_value == min(1, len(verdict.p_values) * verdict.p_values.min())


@pytest.mark.parametrize("name", MAKERS)
def test_at_acceptance_rates_that_tell(name):
    rng = np.random.default_rng(0)
    for log_prob, draws in ((curved, exact_draws), (posterior(draw_data(draw_prior(1000, rng), rng)), draw_prior)):
        _, infos = samplers.sample(MAKERS[name](log_prob), draws(1000, rng), 30, rng, progress=False)
        assert 0.4 < infos.acceptance_rate.mean() < 0.85


@each_test
def test_the_unadjusted_chain_fails(test):
    assert test(lambda log_prob: ula(log_prob, 0.2, compile=False), np.random.default_rng(0)).p_value < WRONG


# Errors planted in the library itself: what is replaced, and by what.


def forgotten_ratio(patch):
    patch.setattr(langevin, "log_proposal_ratio", lambda x, *rest: np.zeros_like(x.log_prob))


def inverted_ratio(patch):
    ratio = langevin.mala_log_ratio
    patch.setattr(langevin, "mala_log_ratio", lambda *args: -ratio(*args))


def inverted_proposal_ratio(patch):
    ratio = langevin.log_proposal_ratio
    patch.setattr(langevin, "log_proposal_ratio", lambda *args: -ratio(*args))


def noise_without_the_2(patch):
    patch.setattr(langevin, "langevin_sd", lambda step_size, temperature=1.0: (step_size * temperature) ** 0.5)


def norm_not_squared(patch):
    def ratio(x, y, h, temperature=1.0, scale=1.0, row_dot=None):
        there = np.linalg.norm(y.position - x.position - h * x.grad, axis=1)
        back = np.linalg.norm(x.position - y.position - h * y.grad, axis=1)
        return (there - back) / (4 * h * temperature)

    patch.setattr(langevin, "log_proposal_ratio", ratio)


def drift_of_the_wrong_sign(patch):
    move = kernels.langevin_move
    patch.setattr(kernels, "langevin_move", lambda x, drift, *rest: move(x, -drift, *rest))


def rejected_states_are_not_repeated(patch):
    step = samplers.Kernel.step

    def until_accepted(kernel, state, rng):
        new, info = step(kernel, state, rng)
        waiting = ~info.is_accepted
        for _ in range(5):  # for ever would take as long where next to nothing is accepted
            other, info = step(kernel, state, rng)
            rows = waiting & info.is_accepted
            new = State(*(np.where(rows.reshape(-1, *(1,) * (b.ndim - 1)), b, a) for a, b in zip(new, other)))
            waiting &= ~rows
        return new, info

    patch.setattr(samplers.Kernel, "step", until_accepted)


def rejected_states_move(patch):
    def transition(kernel, state, noise, uniform):
        return kernel.propose(state, noise, kernel.step_size, 1.0, 1.0)[0], None

    patch.setattr(samplers.Kernel, "transition", transition)


LANGEVIN_ERRORS = [
    forgotten_ratio,
    inverted_ratio,
    inverted_proposal_ratio,
    noise_without_the_2,
    norm_not_squared,
    drift_of_the_wrong_sign,
    rejected_states_are_not_repeated,
    rejected_states_move,
]


def inverted_energy(patch):
    ratio = hamiltonian.hmc_log_ratio
    patch.setattr(hamiltonian, "hmc_log_ratio", lambda *args: -ratio(*args))


def forgotten_momentum(patch):
    ratio = lambda start, end, temperature: (end.log_prob - start.log_prob) / temperature
    patch.setattr(hamiltonian, "hmc_log_ratio", ratio)


def no_half_kicks(patch):
    def leapfrog(density, start, step_size, steps, scale=1.0):
        position, log_prob, grad, momentum = start
        for _ in range(steps):
            momentum = momentum + step_size * grad
            position = position + step_size * momentum
            log_prob, grad = density(position)
        return hamiltonian.Phase(position, log_prob, grad, momentum)

    patch.setattr(hamiltonian, "leapfrog", leapfrog)


HMC_ERRORS = [inverted_energy, forgotten_momentum, no_half_kicks]


PLANTED = [(plant, "mala") for plant in LANGEVIN_ERRORS] + [(plant, "hmc") for plant in HMC_ERRORS]


@pytest.mark.parametrize("test", [by_ranks, by_joint], ids=lambda test: test.__name__)
@each_seed
@pytest.mark.parametrize(("plant", "name"), PLANTED, ids=lambda x: getattr(x, "__name__", x))
def test_planted_errors_are_caught(plant, name, seed, test, monkeypatch):
    plant(monkeypatch)
    with np.errstate(all="ignore"):  # some run away
        assert test(MAKERS[name], np.random.default_rng(seed)).p_value < WRONG


@each_seed
@pytest.mark.parametrize("plant", [forgotten_ratio, noise_without_the_2, inverted_ratio], ids=lambda p: p.__name__)
def test_calibration_catches_errors_too(plant, seed, monkeypatch):
    plant(monkeypatch)
    assert by_calibration(MAKERS["mala"], np.random.default_rng(seed)).p_value < WRONG


def test_the_usual_check_at_a_small_step_sees_nothing(monkeypatch):
    # Why the tests are run at such steps: at acceptance 0.99 an inverted ratio passes a tolerance of 10 %.
    inverted_ratio(monkeypatch)
    rng = np.random.default_rng(0)
    kernel = mala(lambda x: -0.5 * ops.sum(ops.square(x), 1), 0.05)
    draws, infos = samplers.sample(kernel, rng.standard_normal((500, 1)), 300, rng, progress=False)
    assert infos.acceptance_rate.mean() > 0.99 and abs(draws.var() - 1) < 0.1


def test_a_gradient_of_the_wrong_sign():
    # MALA stays exact with any gradient, as long as drift and ratio use the same one; it only gets slow. So the
    # gradient is checked by itself, and shows in the unadjusted chain and in the acceptance.
    value, wrong = (lambda x: -0.5 * np.sum(x**2, axis=1)), (lambda x: x)
    rng = np.random.default_rng(0)
    with pytest.raises(check.GradientError):
        samplers.check_gradient((value, wrong), rng.standard_normal((5, 2)), rng)
    start = rng.standard_normal((3000, 2))
    assert exactness.rank_test(mala((value, wrong), 0.5), start, rng).p_value > RIGHT
    assert exactness.rank_test(ula((value, wrong), 0.01), start, rng).p_value < WRONG
    rates = [
        samplers.sample(mala((value, g), 0.5), start, 10, rng, progress=False)[1].acceptance_rate.mean()
        for g in (lambda x: -x, wrong)
    ]
    assert rates[0] > 0.85 and rates[1] < 0.7


def test_the_log_likelihood_finds_what_coordinates_do_not():
    # A sampler that forgets the data draws from the prior: every coordinate has the right distribution on average
    # over data from the prior (Modrak et al., 2023).
    rng = np.random.default_rng(0)

    def kernel_given(data):
        kernel = mala(posterior(data), 0.3, compile=False)
        step = lambda state, rng: (kernel.init(draw_prior(len(state.position), rng)), None)
        return SimpleNamespace(init=kernel.init, step=step)

    verdict = exactness.simulation_based_calibration(
        draw_prior, draw_data, kernel_given, rng, chains=1000, draws=14, warmup=1, thin=1
    )
    assert verdict.p_values[:2].min() > RIGHT and verdict.p_values[2] < WRONG


def test_p_values_are_uniform():
    def verdict(rng):
        return exactness.rank_test(MAKERS["mala"](curved), exact_draws(1000, rng), rng, steps=7, thin=2)

    p_values = [verdict(np.random.default_rng(seed)).p_values for seed in range(60)]
    assert stats.kstest(np.ravel(p_values), "uniform").pvalue > 1e-3  # three a run, nearly independent
    rng = np.random.default_rng(0)
    p_values = [exactness.uniformity(rng.integers(0, 12, 2000), 12) for _ in range(500)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("n", "values"), [(500, 7), (1000, 20), (10_000, 101), (90, 50)])
def test_uniformity_against_scipy(n, values):
    rng = np.random.default_rng(3)
    ranks = np.minimum(rng.integers(0, values, n), rng.integers(0, 3 * values, n))
    bins = min(values, n // 10)
    bins -= 1 - bins % 2
    edges = np.round(np.linspace(0, values, bins + 1))
    counts = [np.sum((ranks >= a) & (ranks < b)) for a, b in pairwise(edges)]
    expected = stats.chisquare(counts, n * np.diff(edges) / values).pvalue
    assert exactness.uniformity(ranks, values) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [40_000, 200_000])
def test_uniformity_of_many_values(n):
    # With thousands of bins e^(-chi^2 / 2) is 0 in floats: of right kernels too the p-value was 0.
    values = n // 10
    ranks = np.random.default_rng(0).integers(0, values, n)
    bins = values - (1 - values % 2)
    edges = np.round(np.linspace(0, values, bins + 1))
    counts = np.histogram(ranks, edges - 0.5)[0]
    expected = stats.chisquare(counts, n * np.diff(edges) / values).pvalue
    assert exactness.uniformity(ranks, values) == pytest.approx(expected, rel=1e-8) and expected > RIGHT
    worse = np.minimum(ranks, np.random.default_rng(1).integers(0, 5 * values, n))
    assert exactness.uniformity(worse, values) < WRONG
    assert exactness.uniformity(np.repeat(np.arange(11), 30), 11) == 1.0


@pytest.mark.parametrize("unit", [1e-200, 1e-8, 1e8, 1e150])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_joint_test_knows_neither_unit_nor_offset(unit, offset):
    # Too small to be squared, a wrong kernel passed: all variances were 0, and with them all z-scores.
    in_units = lambda position, log_prob: (coordinates_and_log_prob(position, log_prob) + offset) * unit

    def verdict(make, statistics):
        kernel_given = lambda data: make(posterior(data))
        settings = {"chains": 2000, "sweeps": 5, "steps": 5, "statistics": statistics}
        return exactness.joint_test(draw_prior, draw_data, kernel_given, np.random.default_rng(0), **settings)

    wrong = lambda log_prob: ula(log_prob, 0.4, compile=False)
    assert verdict(wrong, in_units).p_value < WRONG
    right = verdict(MAKERS["mala"], in_units)
    np.testing.assert_allclose(right.found, verdict(MAKERS["mala"], coordinates_and_log_prob).found, rtol=1e-6)


def test_ties_are_broken_by_chance():
    rng = np.random.default_rng(0)
    coarse = lambda position, log_prob: np.column_stack([position[:, 0] > 0, 0 * log_prob])
    verdict = exactness.rank_test(MAKERS["mala"](curved), exact_draws(3000, rng), rng, statistics=coarse)
    assert verdict.p_value > RIGHT and verdict.found.min() == 0 and verdict.found.max() == 19


def test_bad_arguments():
    rng, kernel = np.random.default_rng(0), MAKERS["mala"](curved)
    with pytest.raises(TypeError, match="Generator"):
        exactness.rank_test(kernel, exact_draws(50, rng), 0)
    with pytest.raises(ValueError, match="steps=0"):
        exactness.rank_test(kernel, exact_draws(50, rng), rng, steps=0)
    with pytest.raises(ValueError, match=r"expected \(50, k\)"):
        exactness.rank_test(kernel, exact_draws(50, rng), rng, statistics=lambda x, log_prob: log_prob)
    with pytest.raises(ValueError, match="at least 30"):
        exactness.rank_test(kernel, exact_draws(20, rng), rng)
    with pytest.raises(ValueError, match="whole numbers below 5"):
        exactness.uniformity(np.array([5, 1, 2]), 5)
    with pytest.raises(ValueError, match="chains=0"):
        exactness.joint_test(draw_prior, draw_data, lambda data: kernel, rng, chains=0)
