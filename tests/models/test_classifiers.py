"""Do the classifiers agree with scikit-learn, and does the one with a density also draw and fill in as it says?"""

import warnings

import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression as Peer

import minigen
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
    X, y = model.sample_with_labels(30_000, rng(1))
    np.testing.assert_array_equal(X, model.sample(30_000, rng(1)))
    for c, (mean, cov) in enumerate(gaussians(model)):
        name = model.classes_[c]
        share, prior = np.mean(y == name), model.priors_[c]
        assert abs(share - prior) < 5 * np.sqrt(prior / len(y))
        own, labels = model.sample_with_labels(20_000, rng(2), label=name)
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
    whole = model.sample(2_000_000, rng(4))
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
        (lambda: GaussianDiscriminant("round"), ValueError, "expected one of shared, own"),
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


# Features that depend on each other, units, offsets -------------------------------------------------------------------


def dependent(seed, n=60):
    """Features of which one is determined by the others: a copy, a sum, a multiple, in units of their own."""
    generator = rng(seed)
    z = generator.standard_normal((n, 1 + seed % 3))
    last = [z[:, :1], z @ generator.standard_normal((z.shape[1], 1)) + 3, -2.5 * z[:, :1]][seed // 3 % 3]
    X = np.c_[z, last] * 10.0 ** generator.uniform(-8, 8, z.shape[1] + 1)
    return X, generator.random(n) < 0.5


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_features_that_others_determine_are_always_refused(covariance):
    for seed in range(80):
        X, y = dependent(seed)
        for columns in (np.arange(X.shape[1]), rng(seed).permutation(X.shape[1])):
            with pytest.raises(ValueError, match="one that the others determine"):
                GaussianDiscriminant(covariance).fit(X[:, columns], y)
        z = rng(seed).standard_normal((60, 1))
        with pytest.raises(ValueError, match="one that the others determine"):
            GaussianDiscriminant(covariance).fit(np.c_[z, z], y)


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_constant_features_are_always_refused_whatever_the_constant(covariance):
    for constant in (0.0, 0.1, 1e8 + 0.3, 1e-170, -1 / 3):
        X, y = classes(13)
        X[:, 1] = constant
        with pytest.raises(ValueError, match="constant feature"):
            GaussianDiscriminant(covariance).fit(X, y)
        X[:, 1] = constant + y  # constant in each class, not in all
        with pytest.raises(ValueError, match="constant feature"):
            GaussianDiscriminant(covariance).fit(X, y)


@pytest.mark.parametrize("covariance", ["shared", "own"])
def test_nearly_dependent_features_are_taken_in_any_unit_and_filled_in_in_any_order(covariance):
    X, y = classes(14)
    X = np.c_[X, X @ [1.0, -2.0, 0.5] + 1e-5 * rng(15).standard_normal(len(X))]
    plain = GaussianDiscriminant(covariance).fit(X, y)
    expected = plain.predict_proba(X)
    for unit in (2.0**-300, 2.0**300, 2.0 ** np.array([-200, 3, 90, 250])):
        scaled = GaussianDiscriminant(covariance).fit(X * unit, y)
        np.testing.assert_allclose(scaled.predict_proba(X * unit), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(scaled.log_prob(X * unit), plain.log_prob(X) - np.sum(np.log(unit * np.ones(4))))
        for j in range(4):
            holes = X[:20].copy()
            holes[:, j] = np.nan
            found = scaled.fill_in(holes * unit) / unit
            np.testing.assert_allclose(found, plain.fill_in(holes), rtol=1e-9)
            np.testing.assert_allclose(found[:, j], X[:20, j], atol=1e-3)


@MODELS
def test_offset_and_unit_of_the_data_change_no_probability(make):
    X, y = classes(16)
    settings = {"C": np.inf} if make is LogisticRegression else {}
    expected = make(**settings).fit(X, y).predict_proba(X)
    for unit, offset, tolerance in ((1e-3, 1e8, 1e-3), (1e-140, 0.0, 1e-9), (1e140, 0.0, 1e-9), (1.0, 1e10, 1e-4)):
        far = X * unit + offset
        np.testing.assert_allclose(make(**settings).fit(far, y).predict_proba(far), expected, atol=tolerance)
    for unit, words in ((1e-170, "too little to square"), (1e155, "too large to square")):
        with pytest.raises(ValueError, match=words):
            make(**settings).fit(X * unit, y)


def test_a_tiny_feature_far_from_the_origin_is_no_constant():
    X, y = classes(17, k=2)
    shifted = X * 1e-6 + 1e7
    ours = LogisticRegression(np.inf).fit(shifted, y).predict_proba(shifted)
    theirs = Peer(C=np.inf, tol=1e-12, max_iter=9000).fit((shifted - 1e7) * 1e6, y).predict_proba((shifted - 1e7) * 1e6)
    np.testing.assert_allclose(ours, theirs, atol=1e-2)  # the data themselves have a grain of 2e-3 SDs


# What labels and rows may be ------------------------------------------------------------------------------------------


@MODELS
def test_continuous_targets_are_no_classes(make):
    for y in (X[:, 0], X[:, 0].astype(np.float32), X[:, 0].astype(object), np.where(Y == 0, 0.5, 1.0)):
        with pytest.raises(ValueError, match=r"continuous labels, such as .* use a Regressor"):
            make().fit(X, y)


@MODELS
def test_labels_of_many_containers(make):
    pandas = pytest.importorskip("pandas")
    expected = make().fit(X, Y).predict(X)
    kinds = [Y.astype(object), Y.astype(float).astype(object), list(map(int, Y)), Y.astype(np.uint8), Y.astype(float)]
    kinds += [[np.int64(v) for v in Y], Y.astype(np.float32), minigen.tensor(Y)]
    kinds += [pandas.Series(Y), pandas.Series(Y, dtype="Int64"), pandas.Series(Y).astype("category")]
    for y in kinds:
        model = make().fit(X, y)
        assert model.classes_.dtype.kind in "iuf" and model.classes_.tolist() == [0, 1, 2]
        np.testing.assert_array_equal(model.predict(X), expected)
    flags = pandas.array(Y > 0, dtype="boolean")
    assert make().fit(X, flags).classes_.tolist() == make().fit(X, (Y > 0).astype(object)).classes_.tolist() == [0, 1]
    names = pandas.Series(np.array(["a", "b", "c"])[Y], dtype="string")
    assert make().fit(X, names).classes_.tolist() == ["a", "b", "c"]


@MODELS
def test_labels_that_are_missing_are_named(make):
    pandas = pytest.importorskip("pandas")
    holes = [None, *Y[1:].tolist()]
    for y in (np.array(holes, object), pandas.Series(holes, dtype="Int64"), np.ma.array(Y, mask=Y == 0)):
        with pytest.raises(ValueError, match=r"(missing|masked|NaN).*; leave out the rows"):
            make().fit(X, y)
    with pytest.raises(TypeError, match="labels of type complex"):
        make().fit(X, Y * 1j)


@MODELS
def test_rows_of_many_containers(make):
    pandas = pytest.importorskip("pandas")
    whole = np.round(X * 50)
    expected = make().fit(whole, Y).predict_proba(whole)
    kinds = [whole.astype(object), whole.astype(np.int16), pandas.DataFrame(whole), whole.tolist()]
    kinds += [pandas.DataFrame(whole).astype("Int64"), pandas.DataFrame(whole).astype("Float64")]
    for rows in kinds:
        np.testing.assert_allclose(make().fit(rows, Y).predict_proba(rows), expected, rtol=1e-12)
    gap = pandas.DataFrame(whole).astype("Int64")
    gap.iloc[3, 1] = pandas.NA
    with pytest.raises(ValueError, match=r"1 missing value\(s\)"):
        make().fit(gap, Y)


def test_missing_values_of_tables_are_filled_in():
    pandas = pytest.importorskip("pandas")
    model = GaussianDiscriminant().fit(X, Y)
    holes = X[:5].copy()
    holes[1, 2] = holes[3, 0] = np.nan
    expected = model.fill_in(holes)
    table = pandas.DataFrame(holes).astype("Float64")
    for given in (table, holes.astype(object), np.ma.masked_invalid(holes), np.where(np.isnan(holes), None, holes)):
        np.testing.assert_array_equal(model.fill_in(given), expected)


# Did it come to the minimum? ------------------------------------------------------------------------------------------


def test_a_regression_that_ran_out_of_steps_says_so():
    with pytest.warns(UserWarning, match="not converged in max_iter=1 steps; take more"):
        hasty = LogisticRegression(max_iter=1).fit(X, Y)
    assert hasty.converged_ is False and hasty.n_iter_ == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = LogisticRegression().fit(X, Y)
        exact = LogisticRegression(max_iter=done.n_iter_).fit(X, Y)  # the last step is looked at, too
    assert done.converged_ is True and exact.converged_ is True
    np.testing.assert_array_equal(done.coef_, exact.coef_)
