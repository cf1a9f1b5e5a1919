"""`sample`, adaptation and schedules: what comes out, in which shape, and what a second Ctrl-C cannot break."""

import signal
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from minigen import ops
from minigen.samplers import (
    DualAveraging,
    Tempering,
    adapt,
    geometric,
    hmc,
    linear,
    mala,
    random_walk,
    sample,
    ula,
)


def normal(x):
    return -0.5 * ops.sum(ops.square(x), axis=1)


def start(chains=6, d=2):
    return np.random.default_rng(8).standard_normal((chains, d))


def test_draws_are_the_states_after_each_step():
    kernel, rng = mala(normal, 0.9), np.random.default_rng(0)
    draws, infos = sample(kernel, start(), 20, np.random.default_rng(0), progress=False)
    assert draws.shape == (6, 20, 2) and infos.acceptance_rate.shape == (6, 20)
    state = kernel.init(start())
    for i in range(20):
        state, info = kernel.step(state, rng)
        np.testing.assert_array_equal(draws[:, i], state.position)
        for stacked, single in zip(infos, info):
            np.testing.assert_array_equal(stacked[:, i], single)
            assert stacked.dtype == single.dtype


def test_warmup_is_thrown_away_and_thinning_skips():
    every, infos = sample(mala(normal, 0.9), start(), 37, np.random.default_rng(0), progress=False)
    thinned, few = sample(mala(normal, 0.9), start(), 10, np.random.default_rng(0), warmup=7, thin=3, progress=False)
    np.testing.assert_array_equal(thinned, every[:, 9::3])
    groups = [array[:, 7:].reshape(6, 10, 3) for array in infos]
    np.testing.assert_allclose(few.acceptance_rate, groups[0].mean(axis=2))
    np.testing.assert_array_equal(few.is_accepted, groups[1].any(axis=2))
    np.testing.assert_array_equal(few.is_divergent, groups[2].any(axis=2))


def test_dtype_is_that_of_the_start():
    for dtype in (np.float32, np.float64):
        draws, infos = sample(ula(normal, 0.1), start().astype(dtype), 5, np.random.default_rng(0), progress=False)
        assert draws.dtype == infos.acceptance_rate.dtype == dtype


class Where(NamedTuple):
    position: np.ndarray


class Told(NamedTuple):
    jump: np.ndarray
    is_long: np.ndarray


def test_a_kernel_of_ones_own():
    def step(state, rng):
        jump = rng.standard_normal(state.position.shape)
        return Where(state.position + jump), Told(jump, np.abs(jump).max(axis=1) > 1)

    kernel = SimpleNamespace(init=Where, step=step)
    draws, infos = sample(kernel, start(), 30, np.random.default_rng(0), thin=2, progress=False)
    assert draws.shape == infos.jump.shape == (6, 30, 2) and infos.is_long.shape == (6, 30)
    np.testing.assert_allclose(np.diff(draws, axis=1), 2 * infos.jump[:, 1:])  # two steps, whose mean is told


class Counted(NamedTuple):
    count: np.ndarray
    share: np.ndarray


def test_infos_of_many_steps_are_means_whatever_they_are_made_of():
    # A float32 sum of so many tenths would be off by 1e-4; a mean of whole numbers is none.
    def step(state, rng):
        numbers = rng.integers(0, 10, len(state.position))
        seen.append(numbers)
        return state, Counted(numbers, np.full(len(numbers), 0.1, np.float32))

    seen = []
    kernel = SimpleNamespace(init=Where, step=step)
    draws, infos = sample(kernel, start(), 2, np.random.default_rng(0), thin=30_000, progress=False)
    expected = np.array(seen).reshape(2, 30_000, 6).mean(axis=1).T
    np.testing.assert_allclose(infos.count, expected, rtol=1e-12)
    assert infos.share.dtype == np.float32
    np.testing.assert_array_equal(infos.share, np.full((6, 2), 0.1, np.float32))
    _, single = sample(kernel, start(), 2, np.random.default_rng(0), progress=False)
    assert single.count.dtype == np.int64 and draws.shape == (6, 2, 2)


@pytest.mark.parametrize(
    ("make", "target"), [(mala, 0.574), (hmc, 0.8), (random_walk, 0.234)], ids=lambda x: getattr(x, "__name__", "")
)
@pytest.mark.parametrize("first", [None, 1e-3, 30.0])
def test_adaptation_finds_the_step_of_the_target_rate(make, target, first):
    rng, scale = np.random.default_rng(1), np.array([0.01, 0.03, 0.02, 0.01])
    settings = {"leapfrog_steps": 3} if make is hmc else {}
    kernel, position = adapt(
        make(lambda x: normal(x / scale), first, **settings), scale * start(200, 4), rng, 600, progress=False
    )
    assert position.shape == (200, 4) and position.dtype == np.float64
    _, infos = sample(kernel, position, 50, rng, progress=False)
    assert infos.acceptance_rate.mean() == pytest.approx(target, abs=0.03)
    other, _ = adapt(kernel, position, rng, 300, target=0.7, progress=False)
    _, infos = sample(other, position, 50, rng, progress=False)
    assert infos.acceptance_rate.mean() == pytest.approx(0.7, abs=0.04)


@pytest.mark.parametrize("unit", [1e-130, 1e-60, 1e-12, 1e12, 1e60, 1e130])
@pytest.mark.parametrize("make", [mala, hmc, random_walk])
def test_adaptation_knows_no_unit(make, unit):
    # The chain in another unit is the same chain: where the search begins may cost a few steps, and no more.
    settings = {"leapfrog_steps": 3} if make is hmc else {}
    power = 2 if make is mala else 1  # a step of Langevin dynamics is in units of the square
    pair = (lambda x: -0.5 * np.sum((x / unit) ** 2, axis=1), lambda x: -(x / unit) / unit)
    kernel, position = adapt(
        make(pair, **settings), unit * start(200, 4), np.random.default_rng(1), 600, progress=False
    )
    _, infos = sample(kernel, position, 50, np.random.default_rng(2), progress=False)
    assert infos.acceptance_rate.mean() == pytest.approx(kernel.target, abs=0.03)
    plain = (lambda x: -0.5 * np.sum(x**2, axis=1), lambda x: -x)
    usual, _ = adapt(make(plain, **settings), start(200, 4), np.random.default_rng(1), 600, progress=False)
    assert kernel.step_size / unit**power == pytest.approx(usual.step_size, rel=0.1)


def test_adaptation_knows_no_offset():
    rng = np.random.default_rng(1)
    pair = (lambda x: -0.5 * np.sum((x - 1e8) ** 2, axis=1), lambda x: 1e8 - x)
    kernel, _ = adapt(mala(pair), 1e8 + start(200, 4), rng, 600, progress=False)
    usual, _ = adapt(mala(normal), start(200, 4), np.random.default_rng(1), 600, progress=False)
    assert kernel.step_size == pytest.approx(usual.step_size, rel=0.02)


def test_trials_of_step_sizes_take_nothing_from_the_generator():
    pair = (lambda x: -0.5 * np.sum((x / 1e-30) ** 2, axis=1), lambda x: -x / 1e-60)
    rng, other = np.random.default_rng(4), np.random.default_rng(4)
    adapt(random_walk(pair), 1e-30 * start(), rng, 20, progress=False)
    adapt(random_walk(normal), start(), other, 20, progress=False)
    assert rng.random() == other.random()


def test_sampling_adapts_in_the_warmup_only():
    sizes = []
    kernel = mala(normal)
    propose = kernel.propose
    spying = kernel.replace(propose=lambda *given: (sizes.append(given[2]), propose(*given))[1])
    draws, infos = sample(spying, start(100, 5), 40, np.random.default_rng(2), warmup=300, progress=False)
    assert draws.shape == (100, 40, 5) and len(sizes) == 340
    assert len(set(sizes[:300])) == 300 and len(set(sizes[300:])) == 1
    assert infos.acceptance_rate.mean() == pytest.approx(0.574, abs=0.04)
    tuned, _ = adapt(kernel, start(100, 5), np.random.default_rng(2), 300, progress=False)
    assert tuned.step_size == sizes[-1]
    fixed, _ = sample(mala(normal, 0.3), start(), 5, np.random.default_rng(0), warmup=50, progress=False)
    same, _ = sample(mala(normal, 0.3), start(), 55, np.random.default_rng(0), progress=False)
    np.testing.assert_array_equal(fixed, same[:, 50:])  # a step size that is given stays


@pytest.mark.parametrize("make", [random_walk, mala, hmc])
def test_a_flat_density_has_no_step_size(make):
    flat = (lambda x: np.zeros(len(x), x.dtype), np.zeros_like)
    for dtype in (np.float32, np.float64):
        with pytest.raises(ValueError, match="every step is accepted, however large; is the density flat"):
            adapt(make(flat), np.zeros((4, 2), dtype), np.random.default_rng(0), 20_000, progress=False)


def test_a_density_that_accepts_nothing_has_no_step_size():
    search = DualAveraging(0.1, 0.8)
    with pytest.raises(ValueError, match=r"from 0\.1 to .*no step is, however small"):
        for _ in range(20_000):
            search.update(0.0)


def test_dual_averaging_solves_an_equation():
    for first in (1e-4, 1.0, 1e4):
        search = DualAveraging(first, target=0.6)
        for _ in range(500):
            search.update(np.exp(-search.step_size))
        assert search.average == pytest.approx(-np.log(0.6), rel=0.05)
        assert search.step_size == pytest.approx(-np.log(0.6), rel=0.05)


def test_schedules():
    falling = geometric(10.0, 0.1, 4)
    np.testing.assert_allclose([falling(i) for i in range(6)], [10, 10**0.5, 1, 0.1**0.5, 0.1, 0.1])
    rising = linear(1.0, 3.0, 4)
    np.testing.assert_allclose([rising(i) for i in range(6)], [1, 1.5, 2, 2.5, 3, 3])


def test_sampling_follows_its_schedules():
    seen = []
    kernel = ula(normal, 0.5)
    propose = kernel.propose
    spying = kernel.replace(propose=lambda *given: (seen.append(given[2:4]), propose(*given))[1])
    temperature = geometric(8.0, 1.0, 6)
    sample(
        spying,
        start(),
        4,
        np.random.default_rng(0),
        2,
        2,
        False,
        step_size=linear(0.1, 0.2, 10),
        temperature=temperature,
    )
    np.testing.assert_allclose(seen, [(0.1 + 0.01 * i, temperature(i)) for i in range(10)])
    draws, _ = sample(kernel, start(), 5, np.random.default_rng(0), progress=False, temperature=3.0)
    hot, _ = sample(kernel.replace(temperature=3.0), start(), 5, np.random.default_rng(0), progress=False)
    np.testing.assert_array_equal(draws, hot)


def test_annealing_finds_the_lower_valley():
    # Two valleys of unequal depth: from the wrong one a cold chain does not come over, an annealed one does.
    def log_prob(x):
        return -1.0 * ops.square(ops.square(x[:, 0]) - 4.0) + 3.0 * x[:, 0]

    wrong = np.full((300, 1), -2.0)
    settings = {"n": 1, "warmup": 800, "progress": False}
    cold, _ = sample(mala(log_prob, 0.02), wrong, rng=np.random.default_rng(0), **settings)
    slow = geometric(30.0, 1.0, 700)
    annealed, _ = sample(mala(log_prob, 0.02), wrong, rng=np.random.default_rng(0), temperature=slow, **settings)
    assert np.mean(cold > 0) < 0.05 and np.mean(annealed > 0) > 0.8


def test_tempering_crosses_where_a_plain_chain_does_not():
    # Two narrow peaks at -4 and 4 with 30 % and 70 % of the mass; all chains start at the left one.
    def log_prob(x):
        a, b = -2.0 * ops.square(x + 4.0) + np.log(0.3), -2.0 * ops.square(x - 4.0) + np.log(0.7)
        return ops.logsumexp(ops.concatenate([a, b], axis=1), axis=1)

    left, kernel = np.full((200, 1), -4.0), mala(log_prob, 0.25)
    stuck, _ = sample(kernel, left, 300, np.random.default_rng(0), warmup=300, progress=False)
    assert stuck.max() < 0
    tempering = Tempering(kernel, (1.0, 3.0, 9.0, 27.0))
    draws, infos = sample(tempering, left, 300, np.random.default_rng(0), warmup=300, progress=False)
    shares = np.mean(draws[:, :, 0] > 0, axis=1)
    assert abs(shares.mean() - 0.7) < 4 * shares.std() / np.sqrt(200)
    spreads = np.var(draws[:, :, 0] - 4 * np.sign(draws[:, :, 0]), axis=1)
    assert abs(spreads.mean() - 0.25) < 4 * spreads.std() / np.sqrt(200)
    assert infos.swap_rate.shape == (200, 300, 3) and infos.swap_rate.mean() > 0.1


def interrupting(after, calls=None):
    """A density that presses Ctrl-C when it is asked for the `after`-th time; it counts its calls in calls[0]."""
    calls = [0] if calls is None else calls

    def log_prob(x):
        calls[0] += 1
        if calls[0] == after:
            signal.raise_signal(signal.SIGINT)
        return -0.5 * np.sum(x**2, axis=1)

    return log_prob, lambda x: -x


@pytest.mark.parametrize("progress", [False, True])
def test_ctrl_c_returns_what_was_drawn(progress):
    handler = signal.getsignal(signal.SIGINT)
    full, _ = sample(mala(interrupting(0), 0.5), start(), 50, np.random.default_rng(0), progress=False)
    with pytest.warns(UserWarning, match="after 30 of 50 draws"):
        draws, infos = sample(mala(interrupting(31), 0.5), start(), 50, np.random.default_rng(0), progress=progress)
    np.testing.assert_array_equal(draws, full[:, :30])
    assert all(array.shape == (6, 30) for array in infos)
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_returns_what_was_drawn_by_tempering():
    kernel = Tempering(mala(interrupting(2 + 2 * 20), 0.5), (1.0, 4.0))
    with pytest.warns(UserWarning, match="was interrupted after .* of 50 draws"):
        draws, infos = sample(kernel, start(), 50, np.random.default_rng(0), progress=False)
    assert 15 < draws.shape[1] < 25 and infos.swap_rate.shape == (6, draws.shape[1], 1)


def test_a_second_ctrl_c_ends_at_once():
    handler = signal.getsignal(signal.SIGINT)

    def log_prob(x):
        if signal.getsignal(signal.SIGINT) is not handler:  # in the loop
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return -0.5 * np.sum(x**2, axis=1)

    with pytest.raises(KeyboardInterrupt):
        sample(mala((log_prob, lambda x: -x), 0.5), start(), 50, np.random.default_rng(0), progress=False)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.fixture
def ignored():
    """A process that ignores Ctrl-C, as one that a shell has started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, before)


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(ignored):
    draws, _ = sample(mala(interrupting(31), 0.5), start(), 50, np.random.default_rng(0), progress=False)
    full, _ = sample(mala(interrupting(0), 0.5), start(), 50, np.random.default_rng(0), progress=False)
    np.testing.assert_array_equal(draws, full)
    kernel, _ = adapt(mala(interrupting(10)), start(), np.random.default_rng(0), 50, progress=False)
    usual, _ = adapt(mala(interrupting(0)), start(), np.random.default_rng(0), 50, progress=False)
    assert kernel.step_size == usual.step_size


def test_ctrl_c_in_the_warmup_returns_nothing_but_says_so():
    for kernel in (mala(interrupting(10), 0.5), mala(interrupting(10))):
        with pytest.warns(UserWarning, match="after 0 of 50 draws"):
            draws, infos = sample(kernel, start(), 50, np.random.default_rng(0), warmup=60, progress=False)
        assert draws.shape == (6, 0, 2) and infos.is_divergent.shape == (6, 0)
    with pytest.warns(UserWarning, match="adapt"):
        kernel, position = adapt(mala(interrupting(10)), start(), np.random.default_rng(0), 100, progress=False)
    assert kernel.step_size > 0 and position.shape == (6, 2)


BAD = [
    ({"n": 0}, ValueError, "n=0"),
    ({"n": 2.5}, ValueError, "n=2.5"),
    ({"thin": 0}, ValueError, "thin=0"),
    ({"warmup": -1}, ValueError, "warmup=-1"),
    ({"warmup": 1.5}, ValueError, "warmup=1.5"),
    ({"rng": 0}, TypeError, "numpy.random.Generator"),
    ({"position": np.zeros(2)}, ValueError, r"expected \(n, d\)"),
    ({"kernel": mala(normal)}, ValueError, "warmup=500"),
    ({"temperature": 0.0}, ValueError, "temperature=0"),
    ({"step_size": lambda i: -1.0}, ValueError, "step_size=-1.0"),
]


@pytest.mark.parametrize(("given", "error", "message"), BAD, ids=lambda x: str(x)[:30])
def test_bad_arguments(given, error, message):
    settings = {"kernel": mala(normal, 0.1), "position": start(), "n": 5, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=message):
        sample(**{**settings, **given}, progress=False)


def test_bad_arguments_of_adaptation_and_schedules():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="accepts everything"):
        adapt(ula(normal, 0.1), start(), rng, progress=False)
    with pytest.raises(ValueError, match="target=1"):
        adapt(mala(normal), start(), rng, target=1.0, progress=False)
    with pytest.raises(ValueError, match="steps=0"):
        adapt(mala(normal), start(), rng, steps=0, progress=False)
    for make in (geometric, linear):
        for first, last, steps in ((0.0, 1.0, 5), (1.0, -1.0, 5), (1.0, 2.0, 0)):
            with pytest.raises(ValueError, match=make.__name__):
                make(first, last, steps)
