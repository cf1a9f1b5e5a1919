"""Games with known values, linear programming against fictitious play, and gradient play against its closed forms."""

import builtins
from itertools import pairwise

import numpy as np
import pytest

from minigen import games
from minigen.games import alternating, consensus, extragradient, simultaneous


def rng(seed=0):
    return np.random.default_rng(seed)


ROCK_PAPER_SCISSORS = [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
# Payoffs, value, row player's and column player's optimal strategies, each unique.
KNOWN = {
    "rock, paper, scissors": (ROCK_PAPER_SCISSORS, 0, [1 / 3] * 3, [1 / 3] * 3),
    "matching pennies": ([[1, -1], [-1, 1]], 0, [0.5, 0.5], [0.5, 0.5]),
    "two by two": ([[3, -1], [-2, 1]], 1 / 7, [3 / 7, 4 / 7], [2 / 7, 5 / 7]),  # v = (ad - bc) / (a + d - b - c)
    "morra of two fingers": ([[2, -3], [-3, 4]], -1 / 12, [7 / 12, 5 / 12], [7 / 12, 5 / 12]),
    "a saddle point": ([[4, 2, 5], [3, 1, -6]], 2, [1, 0], [0, 1, 0]),
    "a diagonal": (np.diag([1.0, 2.0, 4.0]), 4 / 7, np.array([4, 2, 1]) / 7, np.array([4, 2, 1]) / 7),
    "one row": ([[3.0, -2.0, 5.0]], -2, [1], [0, 1, 0]),
    "one column": ([[3.0], [7.0]], 7, [0, 1], [1]),
}
known = pytest.mark.parametrize(("payoff", "value", "row", "column"), KNOWN.values(), ids=KNOWN)


@known
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-9, 0), (1e6, -3e6)])
def test_linear_programming_solves_known_games(payoff, value, row, column, scale, shift):
    """A payoff rescaled or shifted has the same strategies."""
    found = games.linear_programming(scale * np.asarray(payoff) + shift)
    np.testing.assert_allclose(found.row, row, atol=1e-7)
    np.testing.assert_allclose(found.column, column, atol=1e-7)
    assert found.value == pytest.approx(scale * value + shift, abs=1e-6 * scale)
    assert -1e-9 * scale <= found.gap < 1e-6 * scale


@known
def test_fictitious_play_comes_near_and_knows_how_near(payoff, value, row, column):
    found = games.fictitious_play(payoff, 4000)
    assert found.lower - 1e-12 <= value <= found.upper + 1e-12
    assert 0 <= found.gap < 0.1
    assert abs(found.value - value) <= found.gap / 2 + 1e-12
    np.testing.assert_allclose(found.row, row, atol=0.1)
    np.testing.assert_allclose(found.column, column, atol=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_agree_on_random_games_within_the_gap(seed):
    r = rng(seed)
    payoff = r.standard_normal(r.integers(2, 9, 2))
    exact, played = games.linear_programming(payoff), games.fictitious_play(payoff, 5000)
    assert exact.gap < 1e-6
    assert played.lower - 1e-6 <= exact.value <= played.upper + 1e-6
    assert played.gap < 0.15
    for found in (exact, played):
        assert found.row.sum() == pytest.approx(1) and found.column.sum() == pytest.approx(1)
        assert found.row.min() >= 0 and found.column.min() >= 0
        # What the bounds say, played out against every pure answer.
        assert found.lower == pytest.approx(min(found.row @ payoff))
        assert found.upper == pytest.approx(max(payoff @ found.column))
    low, high = games.pure_values(payoff)
    assert low <= exact.value + 1e-6 and exact.value <= high + 1e-6


def test_fictitious_plays_gap_shrinks_with_the_rounds():
    gaps = [games.fictitious_play(ROCK_PAPER_SCISSORS, rounds).gap for rounds in (10, 100, 1000, 10_000)]
    assert all(later < 0.6 * sooner for sooner, later in pairwise(gaps))
    assert gaps[-1] < 0.03


def test_swapping_the_players_swaps_the_strategies():
    payoff = rng(7).standard_normal((4, 6))
    here, there = games.linear_programming(payoff), games.linear_programming(-payoff.T)
    assert here.value == pytest.approx(-there.value, abs=1e-7)
    np.testing.assert_allclose(here.row, there.column, atol=1e-6)


def test_pure_values_and_saddle_points():
    assert games.pure_values([[4, 2, 5], [3, 1, -6]]) == (2, 2)
    np.testing.assert_array_equal(games.saddle_points([[4, 2, 5], [3, 1, -6]]), [[0, 1]])
    assert games.pure_values(ROCK_PAPER_SCISSORS) == (-1, 1)
    assert games.saddle_points(ROCK_PAPER_SCISSORS).shape == (0, 2)
    np.testing.assert_array_equal(games.saddle_points([[1, 1], [0, 1]]), [[0, 0], [0, 1]])
    for seed in range(20):
        payoff = rng(seed).integers(-3, 4, (3, 4))
        low, high = games.pure_values(payoff)
        assert low == max(min(r) for r in payoff.tolist()) and high == min(max(c) for c in payoff.T.tolist())
        assert (low == high) == (len(games.saddle_points(payoff)) > 0)


def test_without_scipy_fictitious_play_takes_over(monkeypatch):
    payoff = rng(8).standard_normal((5, 5))
    exact = games.equilibrium(payoff)
    assert exact.gap < 1e-7
    real = builtins.__import__

    def without_scipy(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    played = games.equilibrium(payoff)
    assert 1e-5 < played.gap < 0.1 and abs(played.value - exact.value) <= played.gap / 2 + 1e-7
    with pytest.raises(ImportError, match="pip install scipy, or use fictitious_play"):
        games.linear_programming(ROCK_PAPER_SCISSORS)


def product(x, y):
    return (x * y).sum()


PLAYS = {
    "simultaneous": simultaneous,
    "alternating": alternating,
    "extragradient": extragradient,
    "consensus": consensus,
}
each = pytest.mark.parametrize("play", PLAYS.values(), ids=PLAYS)


@pytest.mark.parametrize("lr", [0.05, 0.3, 0.9])
@pytest.mark.parametrize(
    ("play", "factor"),
    [
        (simultaneous, lambda h: np.sqrt(1 + h**2)),
        (extragradient, lambda h: np.sqrt((1 - h**2) ** 2 + h**2)),
        (consensus, lambda h: np.sqrt((1 - h) ** 2 + h**2)),
        (lambda *a, **k: consensus(*a, **k, strength=0.4), lambda h: np.sqrt((1 - 0.4 * h) ** 2 + h**2)),
        (lambda *a, **k: consensus(*a, **k, strength=0.0), lambda h: np.sqrt(1 + h**2)),
    ],
    ids=["simultaneous", "extragradient", "consensus", "weak consensus", "consensus of strength 0"],
)
def test_on_x_times_y_the_radius_changes_by_the_known_factor(play, factor, lr):
    x, y = play(product, [0.7, -0.2], [0.4, 1.1], lr=lr, steps=60)
    assert x.shape == y.shape == (61, 2) and x.dtype == y.dtype == np.float64
    radius = np.hypot(x, y)  # each coordinate is a game of its own
    expected = radius[0] * factor(lr) ** np.arange(61)[:, None]
    np.testing.assert_allclose(radius, expected, rtol=1e-10)


@pytest.mark.parametrize("lr", [0.05, 0.3, 1.0, 1.9])
def test_alternating_play_on_x_times_y_keeps_its_invariant(lr):
    x, y = alternating(product, 0.7, -0.3, lr=lr, steps=500)
    invariant = (x**2 + y**2 - lr * x * y).ravel()
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-9)
    # The invariant is at least (1 - lr / 2) of the squared radius.
    assert np.max(x**2 + y**2) <= invariant[0] / (1 - lr / 2) * (1 + 1e-9)
    assert np.min(x**2 + y**2) >= invariant[0] / (1 + lr / 2) * (1 - 1e-9)
    # It circles: the phase, where the step is small, advances by lr each time.
    if lr == 0.05:
        assert np.unwrap(np.arctan2(y, x).ravel())[-1] - np.arctan2(y, x)[0, 0] == pytest.approx(500 * lr, rel=0.01)


@each
def test_one_step_on_a_quadratic_game_is_the_formula(play):
    """f = x^T P x / 2 + x^T B y - y^T Q y / 2 of unequal dimensions; every play is a matrix product on (x, y)."""
    r = rng(3)
    P, Q, B = np.diag([1.0, 0.5, 2.0]), np.diag([0.7, 1.3]), r.standard_normal((3, 2))
    x0, y0, h, gamma = r.standard_normal(3), r.standard_normal(2), 0.1, 0.6
    field = lambda x, y: (-(P @ x + B @ y), B.T @ x - Q @ y)  # where each wants to go

    def f(x, y):
        return (x * (P @ x)).sum() / 2 + (x * (B @ y)).sum() - (y * (Q @ y)).sum() / 2

    settings = {"strength": gamma} if play is consensus else {}
    x, y = play(f, x0, y0, lr=h, steps=1, **settings)
    vx, vy = field(x0, y0)
    if play is alternating:
        vy = field(x0 + h * vx, y0)[1]
    elif play is extragradient:
        vx, vy = field(x0 + h * vx, y0 + h * vy)
    elif play is consensus:  # half the squared norm has gradient J^T (gx, gy)
        gx, gy = -vx, vy
        vx, vy = vx - gamma * (P @ gx + B @ gy), vy - gamma * (B.T @ gx - Q @ gy)
    np.testing.assert_allclose(x, [x0, x0 + h * vx], rtol=1e-12)
    np.testing.assert_allclose(y, [y0, y0 + h * vy], rtol=1e-12)


@each
def test_a_game_with_curvature_is_settled_by_all(play):
    """f = (x - 1)^2 / 2 + x y - (y + 2)^2 / 2 is at rest where x - 1 + y = 0 and x - y - 2 = 0."""
    f = lambda x, y: ((x - 1) ** 2 / 2 + x * y - (y + 2) ** 2 / 2).sum()
    x, y = play(f, 3.0, 3.0, lr=0.1, steps=400)
    assert x[0] == 3 and y[0] == 3
    assert x[-1, 0] == pytest.approx(1.5, abs=1e-6) and y[-1, 0] == pytest.approx(-0.5, abs=1e-6)


def test_consensus_follows_constant_gradients():
    """On f = x^2 / 2 + y nothing but x depends on anything; y still climbs."""
    x, y = consensus(lambda x, y: (x * x / 2 + y).sum(), 1.0, 0.0, lr=0.1, steps=10)
    np.testing.assert_allclose(x[:, 0], 0.8 ** np.arange(11))  # lr (1 + strength)
    np.testing.assert_allclose(y[:, 0], 0.1 * np.arange(11))


@each
def test_the_starts_are_left_alone(play):
    x0, y0 = np.array([0.5]), np.array([0.25])
    play(product, x0, y0, lr=0.1, steps=3)
    assert x0[0] == 0.5 and y0[0] == 0.25


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: games.linear_programming([1.0, 2.0]), ["linear_programming()", "(2,)", "(rows, columns)"]),
        (lambda: games.fictitious_play(np.ones((0, 3))), ["fictitious_play()", "(0, 3)", "not empty"]),
        (lambda: games.pure_values([[np.nan, 1]]), ["pure_values()", "NaN", "payoff"]),
        (lambda: games.saddle_points(3.0), ["saddle_points()", "()"]),
        (lambda: games.fictitious_play([[1.0]], 0), ["rounds=0", "1 or more"]),
        (lambda: simultaneous(product, 1.0, 1.0, lr=0, steps=3), ["simultaneous()", "lr=0", "positive"]),
        (lambda: alternating(product, 1.0, 1.0, lr=0.1, steps=0), ["alternating()", "steps=0", "1 or more"]),
        (lambda: extragradient(product, np.ones((2, 2)), 1.0, lr=0.1, steps=1), ["extragradient()", "(2, 2)", "(d,)"]),
        (lambda: consensus(product, 1.0, 1.0, lr=0.1, steps=1, strength=-1), ["consensus()", "strength=-1"]),
        (lambda: consensus(product, np.nan, 1.0, lr=0.1, steps=1), ["consensus()", "finite"]),
        (lambda: simultaneous(product, 1.0, 1.0, lr=1e9, steps=99), ["simultaneous()", "step 35", "lr=1000000000.0"]),
        (lambda: simultaneous(lambda x, y: x.sum(), 1.0, 1.0, lr=1, steps=1), ["does not depend on argument 1"]),
    ],
)
def test_misuse_is_named(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("unit", [1e-310, 1e-200, 1e200, 8e307])
def test_the_unit_of_the_payoffs_changes_no_strategy(unit):
    """The game has the value 1/5: row (2/5, 3/5), column (2/5, 3/5)."""
    table = np.array([[2.0, -1.0], [-1.0, 1.0]])
    found = games.linear_programming(table * unit)
    np.testing.assert_allclose([found.row, found.column], [[0.4, 0.6]] * 2, atol=1e-6)
    assert found.value == pytest.approx(0.2 * unit, rel=1e-5, abs=0)
    assert games.pure_values(table * unit) == (-unit, unit)
