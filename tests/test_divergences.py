"""Divergences against SciPy, closed forms of Gaussians, double loops, and each other; estimates over many repeats."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist, jensenshannon

import minigen
from minigen import check, divergences, ops
from minigen.divergences import F_DIVERGENCES, f_divergence, optimal_critic, variational_bound


def rng(seed=0):
    return np.random.default_rng(seed)


# Counts, so that expectations are means over repeated indices; all positive, then with empty cells on either side.
FULL = np.array([3, 1, 7, 9]), np.array([5, 2, 2, 7])
HOLES = np.array([3, 0, 7, 10, 0, 5]), np.array([3, 2, 1, 4, 0, 10])
APART = np.array([2, 3, 0, 0]), np.array([0, 0, 4, 1])


def probabilities(counts):
    return [c / c.sum() for c in counts]


P, Q = probabilities(FULL)
GRID = np.linspace(-12, 12, 4001)
STEP = GRID[1] - GRID[0]
MU, SD, NU, TAU = 0.3, 0.8, -0.5, 1.1
DENSITIES = stats.norm(MU, SD).pdf(GRID), stats.norm(NU, TAU).pdf(GRID)


def test_probabilities_against_scipy():
    assert divergences.entropy(P) == pytest.approx(stats.entropy(P), rel=1e-13)
    assert divergences.kl(P, Q) == pytest.approx(stats.entropy(P, Q), rel=1e-13)
    assert divergences.kl(Q, P) == pytest.approx(stats.entropy(Q, P), rel=1e-13)
    assert divergences.kl(P, Q) != pytest.approx(divergences.kl(Q, P), rel=1e-2)
    assert divergences.jensen_shannon(P, Q) == pytest.approx(jensenshannon(P, Q) ** 2, rel=1e-12)
    assert divergences.cross_entropy(P, Q) == pytest.approx(stats.entropy(P) + stats.entropy(P, Q), rel=1e-13)


def test_total_variation_is_the_largest_difference_over_all_sets():
    p, q = probabilities(HOLES)
    sets = (np.arange(2**6)[:, None] >> np.arange(6)) & 1
    assert divergences.total_variation(p, q) == pytest.approx(np.max(np.abs(sets @ (p - q))), rel=1e-13)


def test_densities_against_closed_forms_of_gaussians():
    p, q = DENSITIES
    kl = math.log(TAU / SD) + (SD**2 + (MU - NU) ** 2) / (2 * TAU**2) - 0.5
    reverse = math.log(SD / TAU) + (TAU**2 + (MU - NU) ** 2) / (2 * SD**2) - 0.5
    entropy = 0.5 * math.log(2 * math.pi * math.e * SD**2)
    overlap = math.sqrt(2 * SD * TAU / (SD**2 + TAU**2)) * math.exp(-((MU - NU) ** 2) / (4 * (SD**2 + TAU**2)))
    assert divergences.entropy(p, STEP) == pytest.approx(entropy, rel=1e-10)
    assert divergences.kl(p, q, STEP) == pytest.approx(kl, rel=1e-10)
    assert divergences.kl(q, p, STEP) == pytest.approx(reverse, rel=1e-10)
    assert f_divergence("reverse_kl", p, q, STEP) == pytest.approx(reverse, rel=1e-10)
    assert divergences.cross_entropy(p, q, STEP) == pytest.approx(entropy + kl, rel=1e-10)
    assert f_divergence("hellinger", p, q, STEP) == pytest.approx(2 - 2 * overlap, rel=1e-10)
    # Equal SDs: chi^2 = exp(d^2 / sd^2) - 1 and TV = 2 Phi(d / (2 sd)) - 1.
    shifted = stats.norm(MU + 0.7, SD).pdf(GRID)
    for name in ("pearson", "neyman"):
        assert f_divergence(name, p, shifted, STEP) == pytest.approx(math.expm1(0.49 / SD**2), rel=1e-9)
    expected = 2 * stats.norm.cdf(0.35 / SD) - 1
    assert divergences.total_variation(p, shifted, STEP) == pytest.approx(expected, rel=1e-5)


def test_a_grid_in_the_plane_has_cells_of_an_area():
    p, q = (np.outer(a[::20], b[::20]) for a, b in (DENSITIES, DENSITIES[::-1]))
    both_ways = divergences.kl(*DENSITIES, STEP) + divergences.kl(*DENSITIES[::-1], STEP)
    assert divergences.kl(p, q, (20 * STEP) ** 2) == pytest.approx(both_ways, rel=1e-6)


@pytest.mark.parametrize("counts", [FULL, HOLES, APART])
def test_bounds_and_identities(counts):
    p, q = probabilities(counts)
    js, tv, hellinger = (f_divergence(name, p, q) for name in ("js", "tv", "hellinger"))
    assert 0 < js <= math.log(2) + 1e-15 and 0 < tv <= 1 and 0 < hellinger <= 2
    assert js == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12)
    m = (p + q) / 2
    assert js == pytest.approx((divergences.kl(p, m) + divergences.kl(q, m)) / 2, rel=1e-12)
    assert f_divergence("gan", p, q) == pytest.approx(2 * js - math.log(4), rel=1e-12)
    assert hellinger / 2 <= tv + 1e-15 <= math.sqrt(hellinger * (1 - hellinger / 4)) + 1e-12
    assert 2 * tv**2 <= divergences.kl(p, q) and 2 * tv**2 <= divergences.kl(q, p)  # Pinsker
    for name in F_DIVERGENCES:
        assert f_divergence(name, p, p) == pytest.approx(-math.log(4) if name == "gan" else 0, abs=1e-12)
    for name, other in (("kl", "reverse_kl"), ("pearson", "neyman"), ("js", "js"), ("tv", "tv")):
        assert f_divergence(name, p, q) == pytest.approx(f_divergence(other, q, p), rel=1e-13)


def test_supports():
    p, q = probabilities(HOLES)  # p > 0 implies q > 0, not the other way
    inside = p > 0
    assert divergences.kl(p, q) == pytest.approx(np.sum(p[inside] * np.log(p[inside] / q[inside])), rel=1e-13)
    assert divergences.kl(q, p) == divergences.cross_entropy(q, p) == math.inf
    assert f_divergence("pearson", p, q) == pytest.approx(np.sum((p - q)[q > 0] ** 2 / q[q > 0]), rel=1e-13)
    assert f_divergence("neyman", p, q) == math.inf
    a, b = probabilities(APART)
    assert divergences.jensen_shannon(a, b) == pytest.approx(math.log(2), rel=1e-15)
    assert divergences.total_variation(a, b) == 1 and f_divergence("hellinger", a, b) == pytest.approx(2)
    assert f_divergence("gan", a, b) == pytest.approx(0, abs=1e-15)
    assert divergences.entropy([0.0, 1.0, 0.0]) == 0
    # The ratio overflows, the divergence does not.
    expected = 0.5 * (310 * math.log(10) - math.log(2)) + 0.5 * math.log(0.5)
    assert divergences.kl([0.5, 0.5], [1e-310, 1.0]) == pytest.approx(expected)


def f(name, u):
    return float(F_DIVERGENCES[name].perspective(np.array([u]), np.array([1.0]))[0])


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_conjugates_and_critics_against_their_definitions(name):
    family = F_DIVERGENCES[name]
    for u in (0.05, 0.4, 1.7, 6.0):
        slope = (f(name, u + 1e-6) - f(name, u - 1e-6)) / 2e-6
        t = float(family.critic(np.array(u), np.array(1.0)))
        assert t == pytest.approx(slope, rel=1e-6)
        assert family.lowest <= t <= family.highest
        # Homogeneous in (p, q): q f(p / q), with the ratio alone in the critic.
        scaled = family.perspective(np.array([u * 0.37]), np.array([0.37]))[0]
        assert scaled == pytest.approx(0.37 * f(name, u), rel=1e-10, abs=1e-15)
        assert family.critic(np.array(u * 0.37), np.array(0.37)) == pytest.approx(t, rel=1e-12)
        # f*(t) is the largest u t - f(u).
        best = minimize_scalar(
            lambda s, t=t: f(name, math.exp(s)) - math.exp(s) * t, bounds=(-8, 8), method="bounded",
            options={"xatol": 1e-10},
        )  # fmt: skip
        assert float(family.conjugate(t)) == pytest.approx(-best.fun, abs=2e-6)


@pytest.mark.parametrize("counts", [FULL, HOLES, APART])
@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_the_optimal_critic_attains_the_divergence_and_others_stay_below(name, counts):
    p, q = probabilities(counts)
    exact = f_divergence(name, p, q)
    at_p, at_q = (np.repeat(np.arange(len(c)), c) for c in counts)
    best = optimal_critic(name, p, q)
    with np.errstate(divide="ignore"):
        assert variational_bound(name, best[at_p], best[at_q]) == pytest.approx(exact, rel=1e-12, abs=1e-14)
    family = F_DIVERGENCES[name]
    low, high = max(family.lowest, -4.0), min(family.highest, 3.0)
    for seed in range(50):
        critic = rng(seed).uniform(low, high, len(p))
        assert variational_bound(name, critic[at_p], critic[at_q]) < exact


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_a_critic_learned_by_gradient_reaches_the_divergence(name):
    """Maximise the bound over the critic's values, through the output that the docstring names."""
    at_p, at_q = (np.repeat(np.arange(4), c) for c in FULL)
    highest = F_DIVERGENCES[name].highest
    if name == "tv":
        critic = lambda v: ops.multiply(ops.tanh(v), 0.5)
    elif highest < math.inf:
        critic = lambda v: ops.subtract(highest, ops.softplus(ops.negative(v)))
    else:
        critic = lambda v: v
    bound = lambda v: variational_bound(name, critic(v)[at_p], critic(v)[at_q])
    check.gradient(bound, rng(1).standard_normal(4), rng=rng(2))
    v = np.zeros(4)
    for _ in range(400):
        leaf = minigen.tensor(v, requires_grad=True)
        v = v + 2.0 * minigen.grad(bound(leaf), leaf).data
    assert float(bound(v)) == pytest.approx(f_divergence(name, P, Q), abs=0.01)
    assert float(bound(v)) <= f_divergence(name, P, Q) + 1e-14


@pytest.mark.parametrize("seed", range(3))
def test_energy_distance_against_scipy_and_a_double_loop(seed):
    r = rng(seed)
    a, b = r.standard_normal(40), r.uniform(-1, 3, 57)
    expected = stats.energy_distance(a, b) ** 2
    assert divergences.energy_distance(a[:, None], b[:, None]) == pytest.approx(expected, rel=1e-10)
    x, y = r.standard_normal((30, 3)), r.standard_normal((23, 3)) * 2 + 1
    loop = 2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean()
    assert divergences.energy_distance(x, y) == pytest.approx(loop, rel=1e-10)
    assert divergences.energy_distance(x + 1e6, y + 1e6) == pytest.approx(loop, rel=1e-6)
    assert divergences.energy_distance(x, x) == pytest.approx(0, abs=1e-8)


def test_blocks_do_not_change_the_result(monkeypatch):
    x, y = rng(3).standard_normal((70, 4)), rng(4).standard_normal((53, 4)) + 0.3
    whole = divergences.energy_distance(x, y), divergences.mmd_squared(x, y)
    monkeypatch.setattr(divergences, "BLOCK", 200)
    blocks = divergences.energy_distance(x, y), divergences.mmd_squared(x, y)
    np.testing.assert_allclose(blocks, whole, rtol=1e-10)


def test_mmd_against_a_double_loop():
    x, y = rng(5).standard_normal((12, 2)), rng(6).uniform(-1, 2, (9, 2))
    k = lambda a, b: math.exp(-np.sum((a - b) ** 2) / (2 * 0.7**2))
    within_x = np.mean([k(x[i], x[j]) for i in range(12) for j in range(12) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    expected = within_x + within_y - 2 * between
    assert divergences.mmd_squared(x, y, 0.7) == pytest.approx(expected, rel=1e-11)
    median = np.median(cdist(*[np.concatenate([x, y])] * 2)[np.triu_indices(21, 1)])
    assert divergences.median_heuristic(x, y) == pytest.approx(median, rel=1e-9)
    assert divergences.mmd_squared(x, y) == pytest.approx(divergences.mmd_squared(x, y, float(median)), rel=1e-9)


def test_mmd_is_unbiased_for_gaussians():
    """Mean over 400 repeats against the closed form; with pairs of a point and itself it would be 6 SE off or more."""
    d, bandwidth, shift, sd = 2, 0.9, np.array([0.5, -0.2]), 1.4
    s = bandwidth**2

    def expected_kernel(variance, distance):
        """E exp(-|z|^2 / (2 s)) for z from N(distance, variance I)."""
        return (s / (s + variance)) ** (d / 2) * math.exp(-np.sum(distance**2) / (2 * (s + variance)))

    truth = (
        expected_kernel(2, 0 * shift) + expected_kernel(2 * sd**2, 0 * shift) - 2 * expected_kernel(1 + sd**2, shift)
    )
    for seed in range(3):
        r = rng(100 + seed)
        samples = [(r.standard_normal((10, d)), r.standard_normal((15, d)) * sd + shift) for _ in range(400)]
        estimates = np.array([divergences.mmd_squared(x, y, bandwidth) for x, y in samples])
        error = estimates.std(ddof=1) / math.sqrt(400)
        assert abs(estimates.mean() - truth) < 4 * error
        # The same pairs, each point with itself included: what this test must be able to tell apart.
        biased = estimates.mean() + np.mean([_bias(x, y, bandwidth) for x, y in samples])
        assert abs(biased - truth) > 6 * error


def _bias(x, y, bandwidth):
    """How much is added if pairs of a point with itself count: (1 - mean kernel of the others) / n for each sample."""
    total = 0.0
    for z in (x, y):
        k = np.exp(-(cdist(z, z) ** 2) / (2 * bandwidth**2))
        n = len(z)
        total += k.mean() - (k.sum() - n) / (n * (n - 1))
    return total


def test_mmd_of_one_distribution_has_both_signs_and_of_two_is_positive():
    same = [
        divergences.mmd_squared(rng(s).standard_normal((50, 3)), rng(s + 50).standard_normal((40, 3)))
        for s in range(40)
    ]
    assert 5 < sum(value < 0 for value in same) < 35
    x, y = rng(7).standard_normal((300, 3)), rng(8).standard_normal((300, 3)) + 1
    assert divergences.mmd_squared(x, y) > 10 * np.std(same)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (6, 6), (6, 9), (40, 17), (33, 64)])
def test_wasserstein_on_a_line_against_scipy_and_repetition(n, m):
    x, y = rng(n).standard_normal(n), rng(m).uniform(-2, 3, m)
    assert divergences.wasserstein_1d(x, y, 1) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    # Each value repeated until both samples are of one size: the best plan then pairs sorted values.
    pairs = np.sort(np.repeat(x, m)) - np.sort(np.repeat(y, n))
    for order in (1, 2, 3.5):
        expected = np.mean(np.abs(pairs) ** order) ** (1 / order)
        assert divergences.wasserstein_1d(x, y, order) == pytest.approx(expected, rel=1e-12)


def test_wasserstein_of_gaussians_against_their_closed_form():
    """W2^2 = (mu - nu)^2 + (sd - tau)^2, and W1 of a shift is the shift."""
    for seed in range(3):
        r = rng(seed)
        x, y = r.normal(MU, SD, 40000), r.normal(NU, TAU, 30000)
        assert divergences.wasserstein_1d(x, y) == pytest.approx(math.hypot(MU - NU, SD - TAU), abs=0.03)
        assert divergences.wasserstein_1d(x, x + 0.7, 1) == pytest.approx(0.7, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_sliced_wasserstein_of_a_shift_is_its_share_along_a_direction(seed):
    """For the same points moved by s it is (mean of (direction . s)^2)^(1/2), on average |s| / sqrt(d)."""
    d, directions = 5, 2000
    x, shift = rng(seed).standard_normal((30, d)), np.array([1.0, -2.0, 0.5, 0.0, 1.5])
    measured = divergences.sliced_wasserstein(x, x + shift, rng=rng(seed), directions=directions) ** 2
    # (direction . s)^2 / |s|^2 follows the beta distribution (1/2, (d - 1)/2).
    share = stats.beta(0.5, (d - 1) / 2)
    error = share.std() / math.sqrt(directions)
    assert abs(measured / np.sum(shift**2) - 1 / d) < 4 * error
    first_order = divergences.sliced_wasserstein(x, x + shift, rng=rng(seed), directions=directions, order=1)
    expected = share.expect(lambda b: math.sqrt(b))
    spread = math.sqrt(1 / d - expected**2) / math.sqrt(directions)
    assert abs(first_order / np.linalg.norm(shift) - expected) < 4 * spread


def test_sliced_wasserstein_in_one_dimension_is_the_distance_itself():
    x, y = rng(9).standard_normal((20, 1)), rng(10).standard_normal((33, 1)) * 2
    for order in (1, 2):
        expected = divergences.wasserstein_1d(x[:, 0], y[:, 0], order)
        measured = divergences.sliced_wasserstein(x, y, rng=rng(11), directions=7, order=order)
        assert measured == pytest.approx(expected, rel=1e-12)
    assert divergences.sliced_wasserstein(x, x[::-1], rng=rng(12)) == 0


def test_one_point_each_constant_features_and_far_samples_are_finite():
    one, other = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    assert divergences.energy_distance(one, other) == pytest.approx(10)
    assert divergences.wasserstein_1d([0.0], [5.0]) == 5
    x = np.column_stack([rng(13).standard_normal(20), np.ones(20)])
    far = x + 1e90
    for value in (divergences.energy_distance(x, far), divergences.mmd_squared(x, far, 1.0),
                  divergences.mmd_squared(x, far), divergences.sliced_wasserstein(x, far, rng=rng())):  # fmt: skip
        assert np.isfinite(value) and value > 0
    # So narrow a kernel sees at most the points that coincide: 5 of the 100 pairs between the samples.
    assert -0.1 - 1e-12 <= divergences.mmd_squared(x, x[:5].copy(), 1e-200) <= 0


# Rounding, underflow, units -------------------------------------------------------------------------------------------

getcontext().prec = 60


def exact_divergence(name, p, q):
    """By its definition in 60 digits; p and q are floats taken as exact."""
    total = Decimal(0)
    for a, b in zip(map(Decimal, p.tolist()), map(Decimal, q.tolist())):
        log_a, log_b, log_sum = (v.ln() if v else Decimal(0) for v in (a, b, a + b))
        if name in ("kl", "reverse_kl"):
            a, b, log_a, log_b = (a, b, log_a, log_b) if name == "kl" else (b, a, log_b, log_a)
            total += a * (log_a - log_b)
        elif name in ("js", "gan"):
            half = Decimal(2).ln() if name == "js" else 0
            total += (a * (log_a - log_sum + half) + b * (log_b - log_sum + half)) / (2 if name == "js" else 1)
        elif name in ("pearson", "neyman"):
            total += (a - b) ** 2 / (b if name == "pearson" else a)
        else:
            total += (a.sqrt() - b.sqrt()) ** 2 if name == "hellinger" else abs(a - b) / 2
    return total


@pytest.mark.parametrize("name", F_DIVERGENCES)
def test_f_divergences_to_rounding_for_distributions_that_nearly_agree_and_for_tiny_ones(name):
    for seed in range(60):
        r = rng(seed)
        p = r.dirichlet(np.full(9, 0.3))
        p[p < 1e-200] = 1e-200
        # Multiples of 2^-60 are exchanged, so that the sums are equal exactly and not only to rounding.
        p[1:8] = np.round(p[1:8] * 2.0**40) / 2.0**40 + 2.0**-40
        size = 2.0 ** -r.integers(1, 12)
        moved = np.round(p[1:7] * size * r.uniform(-1, 1, 6) * 2.0**52) / 2.0**52
        q = p.copy()
        q[1:7] += moved - moved[::-1]
        if not (q > 0).all():
            continue
        p, q = p / 2.0, q / 2.0
        p, q = np.append(p, 0.5), np.append(q, 0.5)
        p, q = p / p.sum(), q / q.sum()
        got, expected = f_divergence(name, p, q), exact_divergence(name, p, q)
        # p and q have sums that differ by rounding, which counts in some by its sign: their value is that of equal sums
        slope = F_DIVERGENCES[name].slope
        expected -= Decimal(slope) * (sum(map(Decimal, p.tolist())) - sum(map(Decimal, q.tolist())))
        assert abs(Decimal(got) - expected) <= Decimal("4e-15") * abs(expected), (got, expected)


@pytest.mark.parametrize("name", sorted(set(F_DIVERGENCES) - {"gan"}))
def test_f_divergences_are_never_negative(name):
    x = np.nextafter(0.5, 0)
    assert 0 <= f_divergence(name, [x, 1 - x], [1 - x, x]) < 1e-15
    for seed in range(500):
        r = rng(seed)
        p = r.dirichlet(np.full(7, 10.0 ** r.uniform(-1, 2)))
        q = p * (1 + r.integers(-4, 5, 7) * 2.0 ** r.uniform(-52, -20))
        assert f_divergence(name, p, q / q.sum()) >= 0 and f_divergence(name, p, p) == 0
        wide = q * (1 + 9e-4 * r.uniform(-1, 1))  # as a grid may be off
        assert f_divergence(name, p, wide / 1.0 if abs(wide.sum() - 1) < 1e-3 else q) >= 0


def test_probabilities_at_the_edge_of_the_numbers():
    """Against mathematics: 5e-324 is the smallest float there is."""
    tiny, small = 5e-324, 1e-310
    assert divergences.jensen_shannon([0, 1], [tiny, 1]) == 0  # 1.7e-324
    assert divergences.jensen_shannon([tiny, 1], [tiny, 1]) == 0
    assert divergences.jensen_shannon([0, 1], [small, 1]) == pytest.approx(small * math.log(2) / 2, rel=1e-9, abs=0)
    assert divergences.kl([tiny, 1], [0.5, 0.5]) == pytest.approx(math.log(2))
    assert divergences.kl([0.5, 0.5], [tiny, 1]) == pytest.approx(
        0.5 * (math.log(0.5) - math.log(tiny) + math.log(0.5))
    )
    assert f_divergence("reverse_kl", [tiny, 1], [0.5, 0.5]) == divergences.kl([0.5, 0.5], [tiny, 1])
    assert f_divergence("gan", [0, 1], [tiny, 1]) == pytest.approx(-math.log(4))
    assert f_divergence("pearson", [1e-200, 1], [1e-201, 1]) == pytest.approx(8.1e-200, rel=1e-9, abs=0)
    assert f_divergence("neyman", [1e-201, 1], [1e-200, 1]) == pytest.approx(8.1e-200, rel=1e-9, abs=0)
    assert f_divergence("hellinger", [1e-300, 1], [0, 1]) == pytest.approx(1e-300, rel=1e-9, abs=0)
    assert divergences.total_variation([small, 1], [0, 1]) == pytest.approx(small / 2, rel=1e-9, abs=0)
    # Densities per very small and very large units
    for unit in (1e-300, 1e300):
        scaled = [np.array(each) / unit for each in (P, Q)]
        assert divergences.kl(*scaled, unit) == pytest.approx(divergences.kl(P, Q), rel=1e-12)
        assert divergences.jensen_shannon(*scaled, unit) == pytest.approx(divergences.jensen_shannon(P, Q), rel=1e-12)
        assert divergences.entropy(scaled[0], unit) == pytest.approx(divergences.entropy(P) + math.log(unit), rel=1e-12)
    # Critics see ratios alone.
    for name in F_DIVERGENCES:
        np.testing.assert_allclose(
            optimal_critic(name, P * 1e-300, Q * 1e-300), optimal_critic(name, P, Q), rtol=1e-13, atol=1e-15
        )
    assert optimal_critic("js", [1e-300], [1e300])[0] == pytest.approx((math.log(2) - 600 * math.log(10)) / 2)


FROM_SAMPLES = {
    "energy": (divergences.energy_distance, 1),
    "median": (divergences.median_heuristic, 1),
    "mmd": (divergences.mmd_squared, 0),
    "sliced": (lambda x, y: divergences.sliced_wasserstein(x, y, rng=rng(3), order=3), 1),
    "line": (lambda x, y: divergences.wasserstein_1d(x[:, 0], y[:, 0], order=100), 1),
}


@pytest.mark.parametrize("name", FROM_SAMPLES)
def test_distances_of_samples_do_not_depend_on_unit_and_offset(name):
    distance, power = FROM_SAMPLES[name]
    x, y = rng(1).standard_normal((30, 3)), rng(2).standard_normal((20, 3)) * 1.5 + 0.4
    x, y = np.round(x * 2**20) / 2**20, np.round(y * 2**20) / 2**20
    expected = distance(x, y)
    for unit in (2.0**-900, 2.0**-560, 2.0**560, 2.0**1000):
        assert distance(x * unit, y * unit) / unit**power == pytest.approx(expected, rel=1e-12)
    for offset in (2.0**30, -(2.0**26)):
        assert distance(x + offset, y + offset) == pytest.approx(expected, rel=1e-9)
    shift = 1e8
    assert distance(x * 1e-3 + shift, y * 1e-3 + shift) / 1e-3**power == pytest.approx(expected, rel=1e-3)


def test_wasserstein_of_high_order_and_far_or_near_points():
    assert divergences.wasserstein_1d([0.0], [1e4], order=100) == pytest.approx(1e4, rel=1e-14)
    assert divergences.wasserstein_1d([0.0], [1e-200]) == pytest.approx(1e-200, rel=1e-14, abs=0)
    assert divergences.wasserstein_1d([0.0, 1.0], [0.0, 3.0], order=1e4) == pytest.approx(2, rel=1e-3)
    for point in (1e-200, 1e200):
        x, y = np.zeros((1, 2)), np.full((1, 2), point)
        assert divergences.energy_distance(x, y) == pytest.approx(2 * math.sqrt(2) * point, rel=1e-14, abs=0)
        found = divergences.sliced_wasserstein(x, y, rng=rng(), directions=4000)
        assert found == pytest.approx(point, rel=0.05, abs=0)
    near = 1e6 + np.array([[0.0], [1e-9], [2e-9]])  # |x|^2 + |y|^2 - 2 x y would make nothing of these
    gaps = np.abs(near - near.T)[np.triu_indices(3, 1)]
    assert divergences.median_heuristic(near, near[:1]) in gaps


@pytest.mark.parametrize("d", [2, 6])
def test_one_point_far_away_does_not_hide_the_others(d):
    """Its kernel is 0, so it changes the shares of the pairs alone; and half the distances stay what they were."""
    x, y = rng(6).standard_normal((20, d)), rng(7).standard_normal((15, d)) + 1
    k = lambda a, b: np.exp(-(cdist(a, b) ** 2) / 2)
    for far in (1e100, 1e200, 1e307):
        z = np.r_[x, np.full((1, d), far)]
        within = (k(x, x).sum() - 20) / (21 * 20)
        expected = within + (k(y, y).sum() - 15) / (15 * 14) - 2 * k(x, y).sum() / (21 * 15)
        assert divergences.mmd_squared(z, y, 1.0) == pytest.approx(expected, rel=1e-10)
        all_pairs = cdist(np.r_[x, y], np.r_[x, y])[np.triu_indices(35, 1)]
        expected = np.median(np.r_[all_pairs, np.full(35, np.inf)])
        assert divergences.median_heuristic(z, y) == pytest.approx(expected, rel=1e-10)
        expected = 2 * far * math.sqrt(d) * (1 / 21 - 20 / 21**2)
        assert divergences.energy_distance(z, y) == pytest.approx(expected, rel=1e-10)


def test_samples_of_any_kind_of_number():
    x, y = rng(4).integers(0, 200, (30, 2)), rng(5).integers(50, 250, (20, 2))
    for name, (distance, _) in FROM_SAMPLES.items():
        expected = distance(x.astype(float), y.astype(float))
        for dtype in (np.uint8, np.int16, object):
            assert distance(x.astype(dtype), y.astype(dtype)) == expected, name
    counts = np.array([1, 0], np.uint8)
    assert divergences.kl(counts, np.array([0.5, 0.5])) == pytest.approx(math.log(2))


A = np.ones((3, 2))
MISTAKES = [
    (lambda: divergences.kl(P, Q[:3]), ["(4,) and q of shape (3,)", "one shape"]),
    (lambda: divergences.kl(P, -Q), ["q", "negative"]),
    (lambda: divergences.kl(P * np.nan, Q), ["p", "NaN"]),
    (lambda: divergences.kl(2 * P, Q), ["p of sum times spacing 2", "divide by that sum"]),
    (lambda: divergences.entropy(DENSITIES[0]), ["expected 1", "spacing"]),
    (lambda: divergences.entropy(P, 0.0), ["spacing=0.0", "positive"]),
    (lambda: divergences.entropy([]), ["sum times spacing 0"]),
    (lambda: f_divergence("chi", P, Q), ["'chi'", "kl, reverse_kl, js"]),
    (lambda: variational_bound("js", [0.1], [0.4]), ["critic_on_q from 0.4", "softplus(-v)"]),
    (lambda: variational_bound("tv", [0.7], [0.4]), ["critic_on_p", "tanh(v) / 2"]),
    (lambda: variational_bound("kl", [np.nan], [0.4]), ["critic_on_p from nan"]),
    (lambda: variational_bound("kl", [], [0.4]), ["critic_on_p without values"]),
    (lambda: divergences.energy_distance(A, np.ones((3, 4))), ["(3, 2) and (3, 4)", "(n, d) and (m, d)"]),
    (lambda: divergences.energy_distance(A[:, 0], A), ["x of shape (3,)", "(n, d)", "x[:, None]"]),
    (lambda: divergences.energy_distance(A, A[:0]), ["(0, 2)", "at least one row"]),
    (lambda: divergences.energy_distance(A, A * np.nan), ["NaN", "in y"]),
    (lambda: divergences.mmd_squared(A, A[:1], 1.0), ["at least 2"]),
    (lambda: divergences.mmd_squared(A, A), ["coincide", "bandwidth"]),
    (lambda: divergences.mmd_squared(A, A, -1.0), ["bandwidth=-1.0"]),
    (lambda: divergences.wasserstein_1d(A, A), ["x of shape (3, 2)", "expected (n,)"]),
    (lambda: divergences.wasserstein_1d([1.0], [2.0], 0.5), ["order=0.5", "1 or more"]),
    (lambda: divergences.sliced_wasserstein(A, A, rng=rng(), directions=0), ["directions=0"]),
]


@pytest.mark.parametrize("i", range(len(MISTAKES)))
def test_mistakes_are_named(i):
    call, words = MISTAKES[i]
    with pytest.raises(ValueError) as caught:
        call()
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"


def test_randomness_is_handed_in():
    with pytest.raises(TypeError, match="Generator"):
        divergences.sliced_wasserstein(A, A, rng=0)
    x, y = rng(14).standard_normal((9, 3)), rng(15).standard_normal((7, 3))
    assert divergences.sliced_wasserstein(x, y, rng=rng(1)) == divergences.sliced_wasserstein(x, y, rng=rng(1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, ">f4", object, np.longdouble])
def test_a_critic_given_in_any_kind_of_number(dtype):
    on = np.array([1, 1]).astype(dtype)
    # E_p[T] - E_q[exp(T - 1)] at T = 1
    assert variational_bound("kl", on, on) == pytest.approx(0.0, abs=1e-7)
    with pytest.raises(TypeError, match="critic_on_p of type"):
        variational_bound("kl", on.astype(complex), on)
