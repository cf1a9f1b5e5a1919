"""The generator metrics against their definitions, SciPy and closed forms; planted failures are found."""

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from minigen import coverage, metrics
from minigen.coverage import (
    classifier_two_sample_test,
    interpolation_smoothness,
    linear_interpolation,
    memorisation_test,
    mode_coverage,
    precision_recall,
    spherical_interpolation,
)
from minigen.targets import grid, ring

SEEDS = range(4)


def rng(seed=0):
    return np.random.default_rng(seed)


def cloud(seed, n, d=2):
    """Samples of one distribution that is neither round nor centred."""
    return rng(seed).standard_normal((n, d)) * np.linspace(1, 2, d) + 3


@pytest.mark.parametrize("target", [ring(), grid()], ids=["ring", "grid"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_perfect_sampler(target, seed):
    """98.9 % of high quality, every mode, and 2n times the reverse KL is chi-square with k - 1 degrees of freedom."""
    found = mode_coverage(target.sample(2500, rng(seed)), target.modes, target.sd)
    k, share = len(target.modes), 1 - np.exp(-9 / 2)
    assert share == pytest.approx(0.989, abs=1e-3)
    assert found.captured == found.modes == k
    assert abs(found.high_quality - share) < 4 * np.sqrt(share * (1 - share) / 2500)
    assert found.counts.sum() == round(found.high_quality * 2500)
    assert 1e-4 < stats.chi2(k - 1).sf(2 * 2500 * found.reverse_kl) < 1 - 1e-4


@pytest.mark.parametrize("seed", SEEDS)
def test_dropped_modes_are_found(seed):
    target = ring()
    x = target.sample(20_000, rng(seed))
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    found = mode_coverage(x[~np.isin(nearest, [2, 5])][:2500], target.modes, target.sd)
    assert found.captured == 6
    np.testing.assert_array_equal(np.flatnonzero(found.counts == 0), [2, 5])
    assert found.reverse_kl == pytest.approx(np.log(8 / 6), abs=0.01)
    assert found.high_quality > 0.98
    collapsed = mode_coverage(x[nearest == 3], target.modes, target.sd)
    assert collapsed.captured == 1 and collapsed.reverse_kl == pytest.approx(np.log(8))


def test_shifted_and_blurred_samples_lose_quality_as_the_formula_says():
    """Shifted by 3 SD along an axis, the share within 3 SD is a noncentral chi-square; blurred by 2, 1 - exp(-9/8)."""
    target = grid()
    x = target.sample(20_000, rng(1))
    shifted = mode_coverage(x + np.array([3 * target.sd, 0]), target.modes, target.sd).high_quality
    assert shifted == pytest.approx(stats.ncx2(2, 9).cdf(9), abs=4 * 0.5 / np.sqrt(20_000))
    blurred = mode_coverage(grid(sd=0.1).sample(20_000, rng(2)), target.modes, target.sd).high_quality
    assert blurred == pytest.approx(1 - np.exp(-9 / 8), abs=4 * 0.5 / np.sqrt(20_000))


def test_mode_coverage_by_hand():
    """Five samples: two good at mode 0, one bad near mode 1, one good at mode 2, one that is not finite."""
    x = [[0.0, 0.1], [0.29, 0], [1.0, 0.31], [2.1, 0], [np.nan, 0]]
    found = mode_coverage(x, [[0, 0], [1, 0], [2, 0]], 0.1, weights=[0.5, 0.3, 0.2])
    assert (found.captured, found.modes, found.high_quality) == (2, 3, 3 / 5)
    np.testing.assert_array_equal(found.counts, [2, 0, 1])
    assert found.reverse_kl == pytest.approx(stats.entropy([0.5, 0.25, 0.25], [0.5, 0.3, 0.2]))
    assert mode_coverage(x, [[0, 0], [1, 0], [2, 0]], 0.1, radius=4).captured == 3


@pytest.mark.parametrize("d", [1, 2, 7])
def test_neighbours_are_those_of_brute_force(d):
    samples, among = cloud(2, 40, d) + 1e5, cloud(3, 60, d) + 1e5  # far from the origin, where cancellation bites
    for k in (1, 5, 60):
        distances, indices = coverage.nearest_neighbours(samples, among, k)
        truth = cdist(samples, among)
        np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :k], rtol=1e-9)
        np.testing.assert_array_equal(indices, np.argsort(truth, axis=1)[:, :k])


def test_lists_are_taken_as_arrays():
    a, b, c = cloud(1, 30), cloud(2, 28), cloud(3, 25)
    path = np.stack([a, a + 1, a + 3])
    for f, arrays in [
        (lambda x, y: coverage.nearest_neighbours(x, y, 2), (a, b)),
        (lambda x, y: vars(mode_coverage(x, y, 0.5)), (a, b)),
        (lambda x, y: precision_recall(x, y, 2), (a, b)),
        (lambda x, y, z: vars(memorisation_test(x, y, z)), (a, b, c)),
        (lambda x, y: vars(classifier_two_sample_test(x, y, rng())), (a, b)),
        (lambda x, y: linear_interpolation(x, y, 3), (a, a + 1)),
        (lambda x, y: spherical_interpolation(x, y, 3), (a, a + 1)),
        (lambda x: interpolation_smoothness(np.square, x), (path,)),
        (metrics.nearest_distances, (a, b)),
        (metrics.nearest_neighbour_ratio, (a, b, c)),
    ]:
        np.testing.assert_equal(f(*(array.tolist() for array in arrays)), f(*arrays))


def test_blocks_change_nothing(monkeypatch):
    a, b, c = cloud(1, 70), cloud(2, 50), cloud(3, 60)
    before = precision_recall(a, b), memorisation_test(a, b, c)
    monkeypatch.setattr(coverage, "BLOCK", 130)
    assert (precision_recall(a, b), memorisation_test(a, b, c)) == before


@pytest.mark.parametrize("k", [1, 3, 6])
def test_precision_and_recall_are_their_definition(k):
    generated, real = cloud(4, 80) + np.array([1.5, 0]), cloud(5, 60)
    precision, recall = precision_recall(generated, real, k)
    reach = np.sort(cdist(real, real), axis=1)[:, k]
    assert precision == np.mean(np.any(cdist(generated, real) <= reach, axis=1))
    reach = np.sort(cdist(generated, generated), axis=1)[:, k]
    assert recall == np.mean(np.any(cdist(real, generated) <= reach, axis=1))
    assert 0.2 < precision < 0.95 and 0.2 < recall < 0.95
    assert precision_recall(real, generated, k) == (recall, precision)


def test_one_outlier_does_not_blur_the_rest():
    """A diverged sample at 1e9 beside data whose neighbours lie 1e-4 apart."""
    real, fresh = 1e-3 * cloud(6, 200), 1e-3 * cloud(7, 200)
    inside = round(200 * precision_recall(fresh[1:], real)[0] * 199 / 200)
    fresh[0] = 1e9
    assert round(200 * precision_recall(fresh, real)[0]) == inside
    np.testing.assert_allclose(
        coverage.nearest_neighbours(real, fresh, 2)[0], np.sort(cdist(real, fresh))[:, :2], rtol=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_sees_what_is_off_the_data_and_recall_what_is_left_out(seed):
    target = ring(sd=0.05)
    real, x = target.sample(1500, rng(seed)), target.sample(3000, rng(seed + 50))
    fresh = precision_recall(x[:1500], real)
    assert min(fresh) > 0.93
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    precision, recall = precision_recall(x[nearest >= 4][:1400], real)
    assert precision > 0.93 and recall == pytest.approx(0.5, abs=0.06)
    stray = np.concatenate([x[:750], 0.05 * rng(seed).standard_normal((750, 2))])
    precision, recall = precision_recall(stray, real)
    assert precision == pytest.approx(0.5 * fresh[0], abs=0.02) and recall > 0.85
    assert precision_recall(real + 10, real) == (0, 0)
    assert precision_recall(real, real) == (1, 1)


def test_balls_of_radius_zero_hold_their_copies():
    """Data with repetitions, away from the origin: a copy is inside, a near miss is not."""
    real = np.repeat(cloud(8, 40, 7), 5, axis=0)
    assert precision_recall(real[::-1], real) == (1, 1)
    assert precision_recall(real + 1e-5, real) == (0, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_memorisation_test_is_mann_and_whitneys(seed):
    generated, training, held_out = cloud(seed, 90, 3) * 1.05, cloud(seed + 10, 200, 3), cloud(seed + 20, 70, 3)
    generated[:20] = training[:20]  # ties at a distance of 0
    found = memorisation_test(generated, training, held_out)
    near = [metrics.nearest_distances(a, training) for a in (generated, held_out)]
    truth = stats.mannwhitneyu(*near, alternative="less", method="asymptotic", use_continuity=False)
    assert found.p_value == pytest.approx(truth.pvalue, rel=1e-9)
    assert found.closer == pytest.approx(1 - truth.statistic / (90 * 70))


def test_the_memorisation_test_keeps_its_level():
    """Fresh samples: p-values are uniform over 200 independent repetitions."""
    p_values = []
    for seed in range(200):
        x = cloud(seed + 1000, 250)
        p_values.append(memorisation_test(x[:75], x[75:175], x[175:]).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_the_training_data_are_found(seed):
    training, held_out, fresh = cloud(seed, 500, 4), cloud(seed + 10, 500, 4), cloud(seed + 20, 500, 4)
    copies = training[rng(seed).integers(500, size=500)] + 0.01 * rng(seed).standard_normal((500, 4))
    assert memorisation_test(copies, training, held_out).p_value < 1e-12
    assert memorisation_test(copies, training, held_out).closer > 0.95
    a_fifth = np.where(np.arange(500)[:, None] < 100, copies, fresh)
    assert memorisation_test(a_fifth, training, held_out).p_value < 1e-3
    assert memorisation_test(fresh, training, held_out).p_value > 1e-3
    away = memorisation_test(fresh + 20, training, held_out)
    assert away.closer < 0.01 and away.p_value > 0.999
    exact = memorisation_test(training[:50], training, training[50:100])  # nothing but ties
    assert (exact.closer, exact.z, exact.p_value) == (0.5, 0.0, 0.5)


def test_the_classifier_test_keeps_its_level():
    """One distribution twice: accuracy 1/2 on average, scores of unit variance, small p-values as rare as stated."""
    found = [classifier_two_sample_test(cloud(s, 120), cloud(s + 5000, 150), rng(s)) for s in range(300)]
    accuracy = np.array([each.accuracy for each in found])
    assert abs(accuracy.mean() - 0.5) < 4 * 0.5 / np.sqrt(120 * 300)
    assert accuracy.std() * 2 * np.sqrt(120) == pytest.approx(1, abs=4 / np.sqrt(600))
    share = np.mean([each.p_value < 0.05 for each in found])
    assert share < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 300)
    one = found[0]
    assert one.p_value == pytest.approx(stats.norm.sf((one.accuracy - 0.5) * 2 * np.sqrt(120)))
    assert one.standard_error == pytest.approx(np.sqrt(one.accuracy * (1 - one.accuracy) / 120))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_classifier_nears_the_best_possible_accuracy(seed):
    """Two round Gaussians a distance D apart: no classifier exceeds Phi(D / 2)."""
    r = rng(seed)
    a, b = r.standard_normal((2000, 2)), r.standard_normal((2000, 2)) + np.array([1.2, 0])
    found = classifier_two_sample_test(a, b, r)
    best = stats.norm.cdf(0.6)
    assert best - 0.03 - 4 * found.standard_error < found.accuracy < best + 4 * found.standard_error
    assert found.p_value < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_the_classifier_finds_planted_failures(seed):
    target = ring(sd=0.05)
    real, x = target.sample(800, rng(seed)), target.sample(2000, rng(seed + 10))
    nearest = np.argmin(cdist(x, target.modes), axis=1)
    dropped = classifier_two_sample_test(real, x[nearest < 4][:800], rng(seed))
    assert dropped.accuracy == pytest.approx(0.75, abs=0.05)  # half the data can only be real; the rest is a toss
    assert classifier_two_sample_test(real, x[:800] + 0.05, rng(seed)).p_value < 1e-4
    wide = ring(sd=0.15).sample(800, rng(seed + 20))  # the same mean, which no linear classifier tells
    assert classifier_two_sample_test(real, wide, rng(seed)).p_value < 1e-4
    assert classifier_two_sample_test(real + 9, real, rng(seed)).accuracy == 1


def test_interpolations_begin_and_end_where_they_should():
    start, end = rng(1).standard_normal((6, 5)), rng(2).standard_normal((6, 5))
    for interpolate in (linear_interpolation, spherical_interpolation):
        path = interpolate(start, end, 4)
        assert path.shape == (5, 6, 5)
        np.testing.assert_allclose(path[[0, -1]], [start, end], rtol=1e-12)
    np.testing.assert_allclose(linear_interpolation(start, end, 4)[1], 0.75 * start + 0.25 * end)


def test_spherical_interpolation_turns_evenly_at_the_same_norm():
    r = rng(3)
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in r.standard_normal((2, 20, 4)))
    path = spherical_interpolation(3 * u, 3 * v, 7)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 3)
    angle = np.arccos(np.sum(u * v, axis=1))
    turned = np.arccos(np.clip(np.sum(path[1:] * path[:-1], axis=2) / 9, -1, 1))
    np.testing.assert_allclose(turned, np.broadcast_to(angle / 7, (7, 20)), rtol=1e-6)
    quarter = spherical_interpolation([[1.0, 0.0]], [[0.0, 1.0]], 3)[:, 0]
    np.testing.assert_allclose(quarter, [[1, 0], [np.sqrt(3) / 2, 0.5], [0.5, np.sqrt(3) / 2], [0, 1]], atol=1e-15)
    # Nearly or wholly parallel it is the straight line, without a division by 0.
    for tilt in (0.0, 1e-9):
        np.testing.assert_allclose(spherical_interpolation([[1.0, 0]], [[2.0, tilt]], 2)[1, 0], [1.5, tilt / 2])


def test_smoothness_of_a_linear_decoder_is_the_squared_distance():
    A = rng(4).standard_normal((3, 5))
    start, end = rng(5).standard_normal((2, 8, 3))
    for steps in (1, 4, 50):
        found = interpolation_smoothness(lambda z: z @ A, linear_interpolation(start, end, steps))
        np.testing.assert_allclose(found, np.sum(((end - start) @ A) ** 2, axis=1))
    arc = interpolation_smoothness(lambda z: z, spherical_interpolation([[2.0, 0.0]], [[0.0, 2.0]], 400))
    assert arc[0] == pytest.approx(np.pi**2, rel=1e-5)  # a quarter circle of radius 2


def test_smoothness_of_a_curved_decoder_nears_its_integral_and_a_jump_grows_with_the_steps():
    start, end = np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]])
    exact = [4 / 3, 4 * (3**3 - 1) / 3 * 2]  # of (d z^2 / dt)^2 = (2 z z')^2, with z' = 1 and 2
    found = interpolation_smoothness(lambda z: z**2, linear_interpolation(start, end, 1000))
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    torn = lambda z: np.where(z > 0.55, 3.0, 0.0)
    for steps in (10, 40, 160):
        assert interpolation_smoothness(torn, linear_interpolation([[0.0]], [[1.0]], steps))[0] == 9 * steps


def test_smoothness_takes_outputs_of_any_shape():
    path = linear_interpolation(rng(6).standard_normal((3, 2)), rng(7).standard_normal((3, 2)), 5)
    flat = lambda z: np.sin(z @ np.arange(12.0).reshape(2, 6))
    shaped = interpolation_smoothness(lambda z: flat(z).reshape(-1, 2, 3), path)
    np.testing.assert_array_equal(shaped, interpolation_smoothness(flat, path))
    assert interpolation_smoothness(lambda z: z[:, 0], path).shape == (3,)


def test_metrics_find_them_too():
    for name in ("mode_coverage", "precision_recall", "memorisation_test", "classifier_two_sample_test"):
        assert getattr(metrics, name) is getattr(coverage, name)
    assert metrics.interpolation_smoothness is interpolation_smoothness


X, HOLED = cloud(1, 30), np.where(np.arange(60).reshape(30, 2) == 7, np.nan, cloud(1, 30))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mode_coverage(X, [0.0, 1.0], 0.1), ValueError, ["mode_coverage()", "(30, 2)", "(2,)", "(n, d)"]),
        (lambda: mode_coverage(X, np.zeros((3, 5)), 0.1), ValueError, ["(30, 2)", "(3, 5)", "same d"]),
        (lambda: mode_coverage(X[:0], X, 0.1), ValueError, ["(0, 2)", "not none"]),
        (lambda: mode_coverage(X * np.nan, X, 0.1), ValueError, ["none of the 30 samples", "diverged"]),
        (lambda: mode_coverage(3.0, X, 0.1), ValueError, ["()", "(30, 2)"]),
        (lambda: mode_coverage(X[0], X, 0.1), ValueError, ["(2,)", "(30, 2)"]),
        (lambda: mode_coverage(X, X, 0), ValueError, ["mode_coverage()", "sd=0", "positive"]),
        (lambda: mode_coverage(X, X[:2], 1, weights=[0.5, 0.4]), ValueError, ["(2,)", "0.9", "2 probabilities"]),
        (lambda: mode_coverage(X, X[:2], 1, weights=[1.0, 0.0]), ValueError, ["above 0"]),
        (lambda: precision_recall(X, X[:3]), ValueError, ["k=3", "30 and 3", "more than k"]),
        (lambda: precision_recall(X, X, 0), ValueError, ["precision_recall()", "k=0", "1 or more"]),
        (lambda: precision_recall(X, HOLED), ValueError, ["precision_recall()", "real holds NaN", "remove"]),
        (lambda: memorisation_test(X[:5], X, X), ValueError, ["5 generated", "30 held_out", "at least 10"]),
        (lambda: memorisation_test(X, HOLED, X), ValueError, ["memorisation_test()", "training holds NaN"]),
        (lambda: classifier_two_sample_test(X, X, 0), TypeError, ["rng=0", "default_rng"]),
        (lambda: classifier_two_sample_test(X, X[:9], rng()), ValueError, ["30 and 9", "at least 20"]),
        (lambda: linear_interpolation(X, X[:3], 2), ValueError, ["(30, 2)", "(3, 2)", "the same"]),
        (lambda: linear_interpolation(X, X, 0), ValueError, ["linear_interpolation()", "steps=0"]),
        (lambda: spherical_interpolation(X, 0 * X, 2), ValueError, ["zero vector"]),
        (lambda: spherical_interpolation(X, -2 * X, 2), ValueError, ["opposite"]),
        (lambda: interpolation_smoothness(lambda z: z, X), ValueError, ["(30, 2)", "(steps + 1, n, d)"]),
        (lambda: interpolation_smoothness(lambda z: z[:1], X[:, None]), ValueError, ["decode", "(1, 2)", "30 latent"]),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), str(caught.value)
