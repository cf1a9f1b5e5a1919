"""Does EM agree with scikit-learn from the same start, never lose likelihood, and survive data that are hardly any?"""

import itertools
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.mixture import GaussianMixture as Peer

from minigen.models import GaussianMixture
from minigen.models.k_means import k_means, k_means_plus_plus, random_points
from minigen.models.mixture import floored, m_step

COVARIANCE_TYPES = "full", "tied", "diag", "spherical"


def rng(seed=0):
    return np.random.default_rng(seed)


def clusters(generator, n=400, d=3, k=4, apart=3.0):
    """Points (n, d) from k Gaussians of random shapes, and their numbers (n,)."""
    labels = generator.integers(k, size=n)
    shapes = generator.standard_normal((k, d, d)) / np.sqrt(d)
    noise = np.einsum("nij,nj->ni", shapes[labels], generator.standard_normal((n, d)))
    return apart * generator.standard_normal((k, d))[labels] + noise, labels


def start(X, k, kind, generator):
    """A start that both libraries are given."""
    d = X.shape[1]
    matrix = np.linalg.inv(np.cov(X.T).reshape(d, d))
    precisions = {
        "full": np.tile(matrix, (k, 1, 1)),
        "tied": matrix,
        "diag": generator.uniform(0.5, 2, (k, d)),
        "spherical": generator.uniform(0.5, 2, k),
    }[kind]
    means = X[generator.choice(len(X), k, replace=False)]
    return {"weights_init": generator.dirichlet(np.full(k, 5.0)), "means_init": means, "precisions_init": precisions}


# Against scikit-learn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("seed, d, settings", [(1, 3, {"tol": 0, "max_iter": 30}), (2, 2, {}), (3, 7, {}), (4, 1, {})])
def test_it_agrees_with_scikit_learn_from_the_same_start(kind, seed, d, settings):
    X, _ = clusters(rng(seed), d=d)
    settings = {"covariance_type": kind, "max_iter": 200, **settings, **start(X, 4, kind, rng(seed))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tol=0 cannot converge
        peer = Peer(4, **settings).fit(X)
    ours = GaussianMixture(4, **settings).fit(X, rng=rng())
    assert (ours.n_iter_, ours.converged_) == (peer.n_iter_, peer.converged_)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bound_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-6, atol=1e-8, err_msg=name)
    Z = np.concatenate([X[:50], rng(9).normal(0, 20, (50, d))])
    for method in ("score_samples", "predict_proba", "predict", "bic", "aic"):
        actual, expected = getattr(ours, method)(Z), getattr(peer, method)(Z)
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8, err_msg=method)


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_a_random_start_is_points_of_the_data_and_their_covariance(kind):
    X, _ = clusters(rng(7), d=3)
    d, spread = X.shape[1], np.cov(X.T, ddof=0) + 1e-6 * np.eye(3)
    precisions = {
        "full": np.tile(np.linalg.inv(spread), (4, 1, 1)),
        "tied": np.linalg.inv(spread),
        "diag": np.tile(1 / np.diag(spread), (4, 1)),
        "spherical": np.full(4, d / np.trace(spread)),
    }[kind]
    points = random_points(X, 4, rng(8))
    assert len({tuple(point) for point in points} & {tuple(point) for point in X}) == 4
    peer = Peer(4, covariance_type=kind, weights_init=np.full(4, 0.25), means_init=points, precisions_init=precisions)
    peer.fit(X)
    ours = GaussianMixture(4, covariance_type=kind, init="random").fit(X, rng=rng(8))
    assert ours.n_iter_ == peer.n_iter_
    np.testing.assert_allclose(ours.means_, peer.means_, rtol=1e-6)
    np.testing.assert_allclose(ours.covariances_, peer.covariances_, rtol=1e-6, atol=1e-8)
    several = GaussianMixture(4, covariance_type=kind, init="random", n_init=8).fit(X, rng=rng(8))
    assert several.lower_bound_ >= ours.lower_bound_


def test_random_points_are_different_as_long_as_there_are_others():
    X = np.repeat([[0.0, 1.0], [2.0, 1.0], [5.0, -1.0]], [97, 2, 1], axis=0)
    for seed in range(20):
        assert len(np.unique(random_points(X, 3, rng(seed)), axis=0)) == 3
        assert len(np.unique(random_points(X, 5, rng(seed)), axis=0)) == 3
    firsts = [random_points(np.arange(4.0)[:, None], 1, rng(seed)).item() for seed in range(800)]
    assert stats.chisquare(np.bincount(np.int64(firsts), minlength=4)).pvalue > 1e-3


def test_its_own_start_finds_as_good_a_maximum():
    X, _ = clusters(rng(5), n=1000, d=2, k=5, apart=6)
    ours = GaussianMixture(5, n_init=5).fit(X, rng=rng(1))
    theirs = Peer(5, n_init=5, random_state=0).fit(X)
    assert ours.lower_bound_ > theirs.lower_bound_ - 0.01


# Density, draws, probabilities ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_density_responsibilities_and_draws_are_those_of_the_sum_of_gaussians(kind):
    X, _ = clusters(rng(6), d=2, k=3)
    fitted = GaussianMixture(3, covariance_type=kind).fit(X, rng=rng(2))
    matrices = {
        "full": lambda c: list(c),
        "tied": lambda c: [c] * 3,
        "diag": lambda c: [np.diag(v) for v in c],
        "spherical": lambda c: [v * np.eye(2) for v in c],
    }[kind](fitted.covariances_)
    each = np.stack([stats.multivariate_normal(m, c).pdf(X) for m, c in zip(fitted.means_, matrices)], axis=1)
    joint = fitted.weights_ * each
    np.testing.assert_allclose(fitted.score_samples(X), np.log(joint.sum(axis=1)), rtol=1e-9)
    np.testing.assert_allclose(fitted.predict_proba(X), joint / joint.sum(axis=1, keepdims=True), atol=1e-9)
    draws, labels = fitted.sample_with_labels(40_000, rng(3))
    np.testing.assert_array_equal(draws, fitted.sample(40_000, rng(3)))
    share = np.bincount(labels, minlength=3) / len(labels)
    assert (np.abs(share - fitted.weights_) < 5 * np.sqrt(fitted.weights_ / len(labels))).all()
    for k, (mean, covariance) in enumerate(zip(fitted.means_, matrices)):
        y = np.linalg.solve(np.linalg.cholesky(covariance), (draws[labels == k] - mean).T)
        assert (np.abs(y.mean(axis=1)) < 5 / np.sqrt(y.shape[1])).all()
        np.testing.assert_allclose(np.cov(y), np.eye(2), atol=7 / np.sqrt(y.shape[1]))


def test_several_starts_keep_the_best():
    X, _ = clusters(rng(7), d=2, k=6, apart=4)
    one_by_one, generator = [], rng(4)
    for _ in range(6):
        one_by_one.append(GaussianMixture(6).fit(X, rng=generator).lower_bound_)
    assert len(set(np.round(one_by_one, 6))) > 1
    assert GaussianMixture(6, n_init=6).fit(X, rng=rng(4)).lower_bound_ == max(one_by_one)


def test_a_shift_of_the_data_shifts_the_means_and_nothing_else():
    X, _ = clusters(rng(8), d=2, k=3)
    X = np.round(X * 2**20) / 2**20  # so that adding 2^20 is exact
    near, far = (GaussianMixture(3).fit(X + shift, rng=rng(5)) for shift in (0.0, 2.0**20))
    np.testing.assert_allclose(far.means_ - 2.0**20, near.means_, atol=1e-6)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-6)


# The likelihood never falls -------------------------------------------------------------------------------------------


def problem(seed):
    """One of six sorts of data, ordinary, collapsing or far away, and a mixture for them."""
    generator = rng(seed)
    d, k = int(generator.integers(1, 5)), int(generator.integers(1, 7))
    X, _ = clusters(generator, int(generator.integers(k + 1, 120)), d, k, 10.0 ** generator.uniform(-1, 2))
    sort = seed % 6
    if sort == 1:  # few different points, so that components sit on one each
        X = X[generator.integers(min(len(X), k + 1), size=len(X))]
    elif sort == 2:  # far from the origin, and from one another
        X = X * 1e5 + 1e9
    elif sort == 3:  # as narrow as the floor
        X = X * 1e-3
    elif sort == 4:  # one component a point, or nearly
        X = X[: k + 1]
    elif sort == 5:  # a feature that never changes
        X[:, 0] = 0.1
    kind = COVARIANCE_TYPES[seed // 6 % 4]
    floor = [1e-6, 1e-2, 1.0][seed // 24 % 3]
    return X, GaussianMixture(k, covariance_type=kind, reg_covar=floor, tol=0, max_iter=40), generator


def test_the_likelihood_never_falls_on_200_problems():
    for seed in range(200):
        X, mixture, generator = problem(seed)
        mixture.fit(X, rng=generator)
        bounds = [*mixture.lower_bounds_, mixture.score_samples(X).mean()]
        falls = -np.diff(bounds) / np.maximum(1.0, np.abs(bounds[:-1]))
        assert np.isfinite(bounds).all() and falls.max() < 2e-9, (seed, falls.max())
        assert np.isfinite(mixture.means_).all() and np.isfinite(mixture.covariances_).all()


def test_adding_the_floor_alone_does_lose_likelihood_on_some_of_them():
    """Why the step is guarded: in scikit-learn, which only adds the floor, the likelihood does fall."""
    fell = 0
    for seed in range(0, 200, 7):
        X, mixture, _ = problem(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind, floor = mixture.covariance_type, mixture.reg_covar
            peer = Peer(mixture.n_components, covariance_type=kind, reg_covar=floor, tol=0, max_iter=40, random_state=0)
            bounds = peer.fit(X).lower_bounds_
        fell += bool((np.diff(bounds) < -1e-6).any())
    assert fell > 0


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_raised_floor_is_the_most_likely_covariance_above_it(kind):
    """Of all Sigma with no eigenvalue below the floor it has the greatest -log|Sigma| - tr(Sigma^-1 S)."""
    generator = rng(17)
    A = generator.standard_normal((3, 3))
    S = {"full": [A @ A.T], "tied": A @ A.T, "diag": [[0.1, 0.6, 3.0]], "spherical": [0.2]}[kind]
    S, floor = np.array(S), 0.5

    def expected(sigma):
        if kind in ("diag", "spherical"):
            return -np.sum(np.log(sigma) + S / sigma)
        return -np.linalg.slogdet(sigma)[1].sum() - np.trace(np.linalg.inv(sigma) @ S, axis1=-2, axis2=-1).sum()

    best = floored(S, kind, floor, True)
    for size in (0.01, 0.1, 1.0) * 30:
        B = size * generator.standard_normal((3, 3))
        other = best + (B + B.T if kind in ("full", "tied") else B[:1, : S.size].reshape(S.shape))
        if kind in ("full", "tied"):
            values, vectors = np.linalg.eigh(other)
            other = vectors @ (np.maximum(values, floor)[..., None] * np.swapaxes(vectors, -1, -2))
        assert expected(np.maximum(other, floor) if kind in ("diag", "spherical") else other) <= expected(best) + 1e-12
    assert expected(floored(S, kind, floor, False)) < expected(best)


def test_a_component_without_points_stays_what_it_was():
    points, resp = rng(18).standard_normal((2, 30)), np.zeros((3, 30))
    resp[0, :20] = resp[2, 20:] = 1.0
    before = (None, np.arange(6.0).reshape(3, 2), np.array([[1.0, 2], [3, 4], [5, 6]]))
    weights, means, covariances = m_step(points, resp, before, "diag", 1e-6, False)
    np.testing.assert_allclose(weights, [2 / 3, 0, 1 / 3])
    np.testing.assert_array_equal(means[1], before[1][1])
    np.testing.assert_array_equal(covariances[1], before[2][1])
    np.testing.assert_allclose(covariances[0], points[:, :20].var(axis=1) + 1e-6)


# The start ------------------------------------------------------------------------------------------------------------


def test_k_means_finds_separate_clusters_and_the_centres_are_their_means():
    X, truth = clusters(rng(10), n=300, k=3, apart=0.0)
    X += 100.0 * truth[:, None]
    centres, labels = k_means(X, 3, rng(6))
    for k in range(3):
        assert len(set(labels[truth == k])) == 1
        np.testing.assert_allclose(centres[labels[truth == k][0]], X[truth == k].mean(axis=0))


def test_k_means_plus_plus_draws_by_squared_distance():
    X = np.array([[0.0], [1.0], [3.0]])
    generator = rng(11)
    pairs = [tuple(k_means_plus_plus(X, 2, generator).ravel()) for _ in range(6000)]
    expected = {}
    for a, b in itertools.permutations(range(3), 2):
        distance = (X.ravel() - X[a, 0]) ** 2
        expected[X[a, 0], X[b, 0]] = distance[b] / distance.sum() / 3
    for pair, probability in expected.items():
        assert abs(pairs.count(pair) / 6000 - probability) < 5 * np.sqrt(probability / 6000)


# Edges ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize(
    "X, k",
    [
        (np.array([[3.0, -1.0]]), 1),
        (np.full((20, 2), 7.0), 3),
        (np.repeat([[0.0, 0.0], [1.0, 5.0]], 10, axis=0), 4),
        (rng(12).normal(0, 1e-15, (50, 2)), 2),
        (np.concatenate([rng(13).normal(0, 1, (30, 2)), rng(14).normal(1e12, 1, (30, 2))]), 2),
        (np.eye(3, 2), 3),
    ],
    ids=["one point", "constant", "fewer different points than components", "tiny", "far apart", "as many as points"],
)
def test_data_that_are_hardly_any_give_finite_results(X, k, kind):
    fitted = GaussianMixture(k, covariance_type=kind).fit(X, rng=rng(7))
    for value in (fitted.weights_, fitted.means_, fitted.covariances_, fitted.score_samples(X), fitted.bic(X)):
        assert np.isfinite(value).all()
    np.testing.assert_allclose(fitted.predict_proba(np.vstack([X, [[1e300, -1e300]]])).sum(axis=1), 1)
    assert np.isfinite(fitted.sample(10, rng(8))).all()


def test_variances_of_1e_minus_30_are_found_where_the_floor_allows_them():
    X = rng(15).normal(0, [1e-15, 3e-15], (2000, 2))
    fitted = GaussianMixture(1, reg_covar=0).fit(X, rng=rng())
    np.testing.assert_allclose(fitted.covariances_[0], np.cov(X.T, bias=True), rtol=1e-6, atol=1e-36)
    expected = stats.norm.logpdf(X, X.mean(axis=0), X.std(axis=0)).sum(axis=1)
    assert abs(fitted.score_samples(X).mean() - expected.mean()) < 0.01


X = clusters(rng(16), n=30, d=2, k=2)[0]
NAN = np.where(np.arange(60).reshape(30, 2) == 7, np.nan, X)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GaussianMixture(0), "n_components=0; expected a whole number"),
        (lambda: GaussianMixture(2, covariance_type="round"), "covariance_type='round'; expected one of full, tied"),
        (lambda: GaussianMixture(2, init="kmeans"), "init='kmeans'; expected one of k_means, random"),
        (lambda: GaussianMixture(2, reg_covar=-1), "reg_covar=-1; expected a number of 0 or more"),
        (lambda: GaussianMixture(2, tol=np.nan), "tol=nan"),
        (lambda: GaussianMixture(31).fit(X, rng=rng()), r"30 point\(s\) for 31 components"),
        (lambda: GaussianMixture(2).fit(NAN, rng=rng()), r"1 value\(s\) that are NaN"),
        (lambda: GaussianMixture(2).fit(X[:, 0], rng=rng()), r"write X\[:, None\]"),
        (lambda: GaussianMixture(2).fit(X * 1e200, rng=rng()), "too large to square; scale X down"),
        (lambda: GaussianMixture(2, reg_covar=0).fit(np.ones((9, 2)), rng=rng()), "use a larger reg_covar"),
        (lambda: GaussianMixture(2, means_init=X[:3]).fit(X, rng=rng()), r"means_init of shape \(3, 2\)"),
        (lambda: GaussianMixture(2, weights_init=[0.5, 0.6]).fit(X, rng=rng()), "sum to 1"),
        (lambda: GaussianMixture(2, precisions_init=-np.ones((2, 2, 2))).fit(X, rng=rng()), "no inverse covariances"),
        (lambda: GaussianMixture(2).predict(X), "not been fitted yet"),
        (lambda: GaussianMixture(2).fit(X, rng=rng()).score_samples(X[:, :1]), r"expected \(n, 2\)"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_randomness_comes_from_a_generator():
    with pytest.raises(TypeError, match=r"GaussianMixture.fit\(\) got rng=0; expected a numpy.random.Generator"):
        GaussianMixture(2).fit(X, rng=0)
    one, same = (GaussianMixture(2).fit(X, rng=rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one.means_, same.means_)
    np.testing.assert_array_equal(one.sample(5, rng(2)), same.sample(5, rng(2)))


# Features that depend on each other, units, offsets -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_features_that_others_determine_are_always_refused_without_a_floor(kind):
    for seed in range(60):
        generator = rng(seed)
        z = generator.standard_normal((60, 1 + seed % 3))
        last = [z[:, :1], z @ generator.standard_normal((z.shape[1], 1)) + 3, -2.5 * z[:, :1]][seed // 3 % 3]
        for X in (np.c_[z, last], np.c_[z, last] * 10.0 ** generator.uniform(-8, 8, z.shape[1] + 1)):
            for k in (1, 2):
                with pytest.raises(ValueError, match="one that the others determine"):
                    GaussianMixture(k, covariance_type=kind, reg_covar=0).fit(X, rng=rng())


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_constant_features_are_always_refused_without_a_floor(kind):
    X, _ = clusters(rng(20), d=2, k=2, apart=30.0)
    for constant in (0.1, 1e8 + 0.3, -1 / 3):
        if kind != "spherical":
            X[:, 1] = constant
            with pytest.raises(ValueError, match="constant feature"):
                GaussianMixture(1, covariance_type=kind, reg_covar=0).fit(X, rng=rng())
        both = np.repeat([[constant, 1.0], [constant + 7, 3.0]], 40, axis=0)  # each cluster is one point
        with pytest.raises(ValueError, match="too few different points"):
            GaussianMixture(2, covariance_type=kind, reg_covar=0).fit(both, rng=rng())


@pytest.mark.parametrize("kind", ["full", "tied"])
def test_dependent_features_are_always_taken_with_a_floor(kind):
    for seed in range(30):
        z = rng(seed).standard_normal((60, 2)) * 10.0 ** rng(seed).uniform(-3, 9)
        X = np.c_[z, z[:, :1], z.sum(axis=1)]
        fitted = GaussianMixture(2, covariance_type=kind, tol=0, max_iter=5).fit(X, rng=rng())
        assert np.isfinite(fitted.log_prob(X)).all()


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_the_unit_and_the_offset_of_the_data_change_nothing(kind):
    X, _ = clusters(rng(21), d=3, k=3)
    plain = GaussianMixture(3, covariance_type=kind, reg_covar=0).fit(X, rng=rng(1))
    for unit in (2.0**-460, 2.0**460):
        scaled = GaussianMixture(3, covariance_type=kind, reg_covar=0).fit(X * unit, rng=rng(1))
        np.testing.assert_allclose(scaled.means_ / unit, plain.means_, rtol=1e-9)
        np.testing.assert_allclose(scaled.predict_proba(X * unit), plain.predict_proba(X), atol=1e-9)
    far = X * 1e-3 + 1e8  # on a grid of 1.5e-5 SDs
    shifted = GaussianMixture(3, covariance_type=kind, reg_covar=0).fit(far, rng=rng(1))
    np.testing.assert_allclose(shifted.predict_proba(far), plain.predict_proba(X), atol=1e-2)
    np.testing.assert_allclose(shifted.covariances_ * 1e6, plain.covariances_, rtol=1e-3, atol=1e-3)
    for unit, words in ((1e-170, "too little to square"), (1e155, "too large to square")):
        with pytest.raises(ValueError, match=words):
            GaussianMixture(3, covariance_type=kind).fit(X * unit, rng=rng(1))


def test_k_means_does_not_depend_on_the_unit_or_the_offset():
    X, _ = clusters(rng(22), n=200, d=2, k=3, apart=8)
    X = np.round(X * 2**20) / 2**20
    centres, labels = k_means(X, 3, rng(2))
    for unit, offset in ((2.0**-1000, 0.0), (2.0**1000, 0.0), (1.0, 2.0**30), (2.0**-1000, 2.0**-970)):
        far = X * unit + offset
        found = k_means(far, 3, rng(2))
        np.testing.assert_array_equal(found[1], labels)
        np.testing.assert_allclose((found[0] - offset) / unit, centres, atol=1e-5)
        np.testing.assert_array_equal(
            k_means_plus_plus(far, 3, rng(2)), k_means_plus_plus(X, 3, rng(2)) * unit + offset
        )


def test_rows_of_many_containers():
    pandas = pytest.importorskip("pandas")
    X = np.round(clusters(rng(23), n=100, d=2, k=2)[0] * 20)
    expected = GaussianMixture(2).fit(X, rng=rng(3)).log_prob(X)
    kinds = [X.astype(object), X.astype(np.int16), pandas.DataFrame(X), X.tolist(), pandas.DataFrame(X).astype("Int64")]
    for rows in kinds:
        np.testing.assert_allclose(GaussianMixture(2).fit(rows, rng=rng(3)).score_samples(rows), expected, rtol=1e-12)


def test_a_mixture_that_ran_out_of_steps_says_so():
    X, _ = clusters(rng(24), d=2, k=4, apart=2)
    with pytest.warns(UserWarning, match="not converged in max_iter=2 steps; take more"):
        assert not GaussianMixture(4, max_iter=2).fit(X, rng=rng()).converged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert GaussianMixture(4, max_iter=900).fit(X, rng=rng()).converged_
        assert not GaussianMixture(4, max_iter=2, tol=0).fit(X, rng=rng()).converged_  # as asked for


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_precisions_to_start_from_are_judged_by_the_same_criterion(unit):
    """The share of a variance that the other feature leaves is 1 - r^2, in a matrix and in its inverse alike."""
    X = clusters(rng(25), d=2, k=2)[0] / np.sqrt(unit)
    for share, taken in ((1e-9, True), (1e-14, False)):
        matrix = unit * np.array([[1, np.sqrt(1 - share)], [np.sqrt(1 - share), 1]])
        mixture = GaussianMixture(1, covariance_type="tied", precisions_init=matrix)
        if taken:
            assert np.isfinite(mixture.fit(X, rng=rng()).means_).all()
        else:
            with pytest.raises(ValueError, match="no inverse covariances"):
                mixture.fit(X, rng=rng())
    crooked = unit * np.array([[1, 0.5], [0.4, 1]])
    with pytest.raises(ValueError, match="no inverse covariances"):
        GaussianMixture(1, covariance_type="tied", precisions_init=crooked).fit(X, rng=rng())
