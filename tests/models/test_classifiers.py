"""Do the classifiers agree with scikit-learn, and does the one with a density also draw and fill in as it says?"""

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression as Peer

from minigen.models import GaussianDiscriminant, LogisticRegression


def rng(seed=0):
    return np.random.default_rng(seed)


def classes(seed, n=400, d=3, k=3, apart=1.5):
    """Rows (n, d) of k Gaussian classes with shapes of their own, and their numbers (n,)."""
    generator = rng(seed)
    y = generator.integers(k, size=n)
    shapes = generator.standard_normal((k, d, d)) / np.sqrt(d) + np.eye(d)
    noise = np.einsum("nij,nj->ni", shapes[y], generator.standard_normal((n, d)))
    return apart * generator.standard_normal((k, d))[y] + noise, y


# Logistic regression --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("C, solver", [(0.01, "lbfgs"), (1.0, "lbfgs"), (1.0, "newton-cg"), (10.0, "newton-cg")])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_logistic_regression_agrees_with_scikit_learn(k, C, solver, seed):
    # At C = 10 its lbfgs stops at a gradient of 5e-5, whatever tol says; its Newton method does not.
    X, y = classes(seed, k=k)
    X = X * [1.0, 5.0, 0.2] + [0.0, 2.0, -1.0]
    ours, peer = LogisticRegression(C).fit(X, y), Peer(C=C, solver=solver, tol=1e-12, max_iter=9000).fit(X, y)
    assert ours.coef_.shape == peer.coef_.shape and ours.intercept_.shape == peer.intercept_.shape
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.intercept_, peer.intercept_, atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(X), peer.decision_function(X), atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("C", [0.1, 1e4, np.inf])
def test_the_gradient_of_the_penalised_likelihood_is_zero(k, C):
    X, y = classes(4, n=150, k=k, apart=0.7)
    fitted = LogisticRegression(C).fit(X, y)

    def loss(weights):
        W = weights.reshape(-1, X.shape[1] + 1)
        logits = X @ W[:, :-1].T + W[:, -1]
        logits = np.column_stack([np.zeros(len(X)), logits]) if k == 2 else logits
        return np.sum(W[:, :-1] ** 2) / (2 * C) - special.log_softmax(logits, axis=1)[np.arange(len(X)), y].sum()

    at = np.column_stack([fitted.coef_, fitted.intercept_]).ravel()
    slope = optimize.approx_fprime(at, loss, 1e-6)
    assert np.abs(slope).max() < 2e-3, slope
    for direction in rng(5).standard_normal((20, at.size)):
        assert loss(at + 1e-3 * direction) >= loss(at) - 1e-9


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("C", [1.0, 1e8, np.inf])
def test_classes_that_a_line_separates_do_no_harm(k, C):
    X, y = classes(6, k=k, apart=0)
    X += 30.0 * np.eye(3)[y]
    fitted = LogisticRegression(C).fit(X, y)
    assert np.isfinite(fitted.coef_).all() and np.isfinite(fitted.intercept_).all()
    np.testing.assert_array_equal(fitted.predict(X), y)
    if C == 1.0:
        np.testing.assert_allclose(fitted.coef_, Peer(solver="newton-cg", tol=1e-12).fit(X, y).coef_, atol=1e-5)


def test_logits_of_a_thousand_and_of_a_million_are_probabilities():
    for k in (2, 3):
        X, y = classes(7, k=k)
        fitted = LogisticRegression().fit(X, y)
        fitted.coef_ *= 1000 / np.abs(fitted.decision_function(X)).max()
        for scale in (1, 1e3, 1e6):
            p = fitted.predict_proba(scale * X)
            assert np.isfinite(p).all()
            np.testing.assert_allclose(p.sum(axis=1), 1)


def test_far_away_tiny_and_constant_features():
    X, y = classes(8, k=2)
    plain = LogisticRegression().fit(X, y)
    shifted = LogisticRegression().fit(X + 1e6, y)
    np.testing.assert_allclose(shifted.coef_, plain.coef_, rtol=1e-6)
    dull = LogisticRegression().fit(np.column_stack([X, np.full(len(X), 0.1), X[:, 0] * 1e-15]), y)
    np.testing.assert_allclose(dull.coef_[:, :3], plain.coef_, rtol=1e-6)
    assert dull.coef_[0, 3] == 0 and abs(dull.coef_[0, 4]) < 1e-10
    duplicated = LogisticRegression(np.inf).fit(np.column_stack([X, X]), y)
    np.testing.assert_allclose(
        duplicated.decision_function(np.column_stack([X, X])),
        LogisticRegression(np.inf).fit(X, y).decision_function(X),
        atol=1e-5,
    )


# Gaussian classes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("k, d", [(2, 1), (3, 4)])
def test_shared_covariances_agree_with_scikit_learn(seed, k, d):
    X, y = classes(seed, d=d, k=k)
    for solver, priors in (("lsqr", None), ("eigen", None), ("lsqr", np.arange(1, k + 1) / (k * (k + 1) / 2))):
        peer = LinearDiscriminantAnalysis(solver=solver, priors=priors).fit(X, y)
        ours = GaussianDiscriminant(priors=priors).fit(X, y)
        np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-6)
        np.testing.assert_allclose(ours.covariances_, peer.covariance_, rtol=1e-9)
        np.testing.assert_array_equal(ours.predict(X), peer.predict(X))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("priors", [None, (0.7, 0.2, 0.1)])
def test_own_covariances_agree_with_scikit_learn(seed, priors):
    X, y = classes(seed)
    peer = QuadraticDiscriminantAnalysis(priors=priors, store_covariance=True).fit(X, y)
    if not np.allclose(peer.covariance_[0], np.cov(X[y == 0].T, bias=True)):
        pytest.skip("this scikit-learn divides by n - 1")
    ours = GaussianDiscriminant("own", priors=priors).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.covariances_, peer.covariance_, rtol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), peer.predict(X))


def fitted(covariance, **settings):
    X, y = classes(9)
    names = np.array(["blue", "green", "red"])
    return GaussianDiscriminant(covariance, **settings).fit(X, names[y]), X, names[y]


def gaussians(model):
    """Mean and covariance of each class."""
    return [(m, model.covariances_ if model.covariance == "shared" else model.covariances_[c])
            for c, m in enumerate(model.means_)]  # fmt: skip


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_the_density_is_the_sum_of_the_classes_densities(covariance):
    model, X, _ = fitted(covariance)
    expected = sum(
        p * stats.multivariate_normal(m, c).pdf(X) for p, (m, c) in zip(model.priors_, gaussians(model), strict=True)
    )
    np.testing.assert_allclose(model.score_samples(X), np.log(expected), rtol=1e-9)


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_draws_have_the_classes_shares_means_and_covariances(covariance):
    model, _, _ = fitted(covariance)
    X, y = model.sample(30_000, rng(1))
    for c, (mean, cov) in enumerate(gaussians(model)):
        name = model.classes_[c]
        share, prior = np.mean(y == name), model.priors_[c]
        assert abs(share - prior) < 5 * np.sqrt(prior / len(y))
        own, labels = model.sample(20_000, rng(2), label=name)
        assert set(labels) == {name}
        for draws in (own, X[y == name]):
            z = np.linalg.solve(np.linalg.cholesky(cov), (draws - mean).T)
            assert (np.abs(z.mean(axis=1)) < 5 / np.sqrt(len(draws))).all()
            np.testing.assert_allclose(np.cov(z), np.eye(3), atol=7 / np.sqrt(len(draws)))


@pytest.mark.parametrize("covariance", ["shared", "own"])
@pytest.mark.parametrize("gap", [(0,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_missing_features_get_their_conditional_mean(covariance, gap):
    model, X, y = fitted(covariance)
    m, o = list(gap), [j for j in range(3) if j not in gap]
    holes = X[:20].copy()
    holes[:, m] = np.nan
    means, joint = np.empty((3, 20, len(m))), np.empty((20, 3))
    for c, (mu, cov) in enumerate(gaussians(model)):
        weight = np.linalg.solve(cov[np.ix_(o, o)], cov[np.ix_(o, m)])
        means[c] = mu[m] + (X[:20, o] - mu[o]) @ weight
        density = stats.multivariate_normal(mu[o], cov[np.ix_(o, o)]).pdf(X[:20, o]) if o else 1.0
        joint[:, c] = model.priors_[c] * density
    share = joint / joint.sum(axis=1, keepdims=True)
    filled = model.fill_in(holes)
    np.testing.assert_allclose(filled[:, m], np.einsum("nc,cnj->nj", share, means), rtol=1e-8, atol=1e-9)
    np.testing.assert_array_equal(filled[:, o], X[:20, o])
    labels = np.searchsorted(model.classes_, y[:20])
    expected = means[labels, np.arange(20)]
    np.testing.assert_allclose(model.fill_in(holes, y[:20])[:, m], expected, rtol=1e-8, atol=1e-9)
    assert np.isnan(holes[:, m]).all()


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_filled_in_draws_follow_the_conditional_distribution(covariance):
    model, X, _ = fitted(covariance)
    row = np.array([np.nan, X[:, 1].mean(), np.nan])
    draws = model.fill_in(np.tile(row, (20_000, 1)), rng=rng(3))[:, [0, 2]]
    # The same distribution by rejection: whole draws whose second feature comes out near the one observed.
    whole, _ = model.sample(2_000_000, rng(4))
    kept = whole[np.abs(whole[:, 1] - row[1]) < 0.02][:, [0, 2]]
    assert len(kept) > 5_000
    for direction in ([1, 0], [0, 1], [1, 1], [1, -1]):
        assert stats.ks_2samp(draws @ direction, kept @ direction).pvalue > 1e-4
    np.testing.assert_allclose(model.fill_in(row[None])[0, [0, 2]], draws.mean(axis=0), atol=5 * draws.std() / 141)


def test_rows_with_different_gaps_are_filled_as_they_are_alone():
    model, X, y = fitted("own")
    holes = np.where(rng(5).random(X[:40].shape) < 0.4, np.nan, X[:40])
    alone = np.concatenate([model.fill_in(row[None]) for row in holes])
    np.testing.assert_allclose(model.fill_in(holes), alone, rtol=1e-12)
    np.testing.assert_array_equal(model.fill_in(X, y), X)


# Labels, edges, misuse ------------------------------------------------------------------------------------------------

MODELS = pytest.mark.parametrize("make", [LogisticRegression, GaussianDiscriminant], ids=["logistic", "gaussian"])


@MODELS
@pytest.mark.parametrize("kind", [np.int64, np.float64, np.str_, object])
def test_labels_may_be_numbers_or_strings(make, kind):
    X, y = classes(10)
    names = np.array([-3, 10, 7]) if kind in (np.int64, np.float64) else np.array(["c", "a", "bb"])
    labels = names[y].astype(kind)
    model, plain = make().fit(X, labels), make().fit(X, y)
    assert list(model.classes_) == sorted(set(labels.tolist()))
    np.testing.assert_array_equal(model.predict(X), names[plain.predict(X)])
    order = np.searchsorted(np.sort(names), names)
    np.testing.assert_allclose(model.predict_proba(X)[:, order], plain.predict_proba(X), atol=1e-9)


def test_variances_of_1e_minus_30():
    X, y = classes(11)
    near, tiny = GaussianDiscriminant("own").fit(X, y), GaussianDiscriminant("own").fit(X * 1e-15, y)
    np.testing.assert_allclose(tiny.predict_proba(X * 1e-15), near.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(tiny.score_samples(X * 1e-15), near.score_samples(X) + 3 * 15 * np.log(10))


def test_one_sample_and_a_single_class():
    model = GaussianDiscriminant("own", reg_covar=1e-6).fit([[1.0, 2.0]], ["only"])
    assert model.predict([[5.0, 5.0]])[0] == "only" and model.predict_proba([[5.0, 5.0]])[0, 0] == 1
    np.testing.assert_allclose(model.fill_in([[np.nan, 7.0]]), [[1.0, 7.0]])


X, Y = classes(12, n=30)
NAN = np.where(np.arange(90).reshape(30, 3) == 7, np.nan, X)
MIXED = np.array([1, "a"] * 15, object)


@MODELS
@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda m: m.predict(X), ValueError, r"not been fitted yet; call fit\(X, y\) first"),
        (lambda m: m.fit(NAN, Y), ValueError, r"1 value\(s\) that are NaN"),
        (lambda m: m.fit(X, Y[:29]), ValueError, r"y of shape \(29,\) for 30 rows"),
        (lambda m: m.fit(X, Y[:, None]), ValueError, r"one label a row, \(30,\)"),
        (lambda m: m.fit(X, np.where(Y == 0, np.nan, 1.0)), ValueError, "labels that are NaN"),
        (lambda m: m.fit(X, MIXED), TypeError, "labels of type int, str"),
        (lambda m: m.fit(X * 1e200, Y), ValueError, "too large to square"),
        (lambda m: m.fit(X, Y).predict_proba(X[:, :2]), ValueError, r"expected \(n, 3\)"),
        (lambda m: m.fit(X, Y).predict(NAN), ValueError, "NaN"),
    ],
)
def test_misuse_of_both(make, call, error, message):
    with pytest.raises(error, match=message):
        call(make())


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: LogisticRegression(0), ValueError, "C=0; expected a positive number"),
        (lambda: LogisticRegression(tol=0), ValueError, "tol=0"),
        (lambda: LogisticRegression().fit(X, np.zeros(30, int)), ValueError, "single class"),
        (lambda: GaussianDiscriminant("round"), ValueError, "choose one of shared, own"),
        (lambda: GaussianDiscriminant(priors=[0.5, 0.5]).fit(X, Y), ValueError, "expected 3 shares"),
        (lambda: GaussianDiscriminant("own").fit(X[:4], [0, 0, 0, 1]), ValueError, "use a larger reg_covar"),
        (lambda: GaussianDiscriminant().fit(X * [1, 0, 1], Y), ValueError, "constant feature"),
        (lambda: GaussianDiscriminant().fit(X, Y).sample(3, rng(), label=9), ValueError, r"the class .*9.*\[0, 1, 2\]"),
        (lambda: GaussianDiscriminant().fit(X, Y).sample(3, 0), TypeError, "expected a numpy.random.Generator"),
        (lambda: GaussianDiscriminant().fit(X, Y).fill_in(NAN, rng=3), TypeError, "numpy.random.Generator"),
        (lambda: GaussianDiscriminant().fit(X, Y).fill_in(NAN, Y + 5), ValueError, "the classes learned are"),
        (lambda: GaussianDiscriminant().fit(X, Y).fill_in(NAN / 0), ValueError, "infinite"),
        (lambda: GaussianDiscriminant().fit(X, Y).fill_in([["a"]]), TypeError, "write NaN for gaps"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_misuse(call, error, message):
    with pytest.raises(error, match=message):
        call()
