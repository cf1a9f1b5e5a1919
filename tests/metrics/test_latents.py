"""Do the scores of latents have the values known for codes that were made by hand?"""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from minigen.metrics import latents
from minigen.models import VAE

N = 5000


def rng(seed=0):
    return np.random.default_rng(seed)


def uniform_factors(n=N, seed=1):
    draws = rng(seed).uniform(-1, 1, (n, 3)) * [1.0, 5.0, 0.1] + [0.0, 9.0, 1.0]
    return dict(zip(("angle", "length", "drag"), draws.T))


def copied(factors):
    """The factors in another order, stretched, shifted and one turned round."""
    columns = np.column_stack(list(factors.values()))
    return columns[:, [2, 0, 1]] * [3.0, -0.5, 20.0] + [0.0, 4.0, -100.0]


BIAS = 19**2 / (2 * N)  # of the mutual information of independent columns in 20 bins each

# Mutual information and its gap ---------------------------------------------------------------------------------------


def test_mutual_information_is_that_of_sklearn():
    generator = rng(2)
    codes = generator.standard_normal((400, 3)) * [1, 10, 0.01] + 5
    factors = np.column_stack([codes[:, 0] ** 2, codes @ [1, 1, 1] + generator.standard_normal(400)])
    factors = np.column_stack([factors, generator.integers(0, 4, 400)])

    def bins(x):
        return np.digitize(x, np.linspace(x.min(), x.max(), 21)[1:-1])

    expected = [[mutual_info_score(bins(c), bins(f)) for f in factors.T] for c in codes.T]
    np.testing.assert_allclose(latents.mutual_information(codes, factors), expected, rtol=1e-10)


@pytest.mark.parametrize("correlation", [0.3, 0.8])
def test_mutual_information_of_correlated_normals(correlation):
    x, y = rng(3).multivariate_normal([0, 2], [[1, correlation], [correlation, 1]], 100000).T
    (found,) = latents.mutual_information(x[:, None], {"y": y})[0]
    exact = -np.log(1 - correlation**2) / 2
    assert -0.05 * exact < found - exact < 19**2 / 2e5 + 0.002  # bins lose a little, counts add a little


def test_mutual_information_has_a_row_for_each_latent_and_sees_bent_relations():
    angle = rng(4).uniform(-1, 1, N)
    table = latents.mutual_information(np.column_stack([angle**2, rng(5).uniform(size=N), np.zeros(N)]), {"a": angle})
    assert table.shape == (3, 1)
    assert table[0, 0] > 40 * BIAS and table[1, 0] < 2 * BIAS and table[2, 0] == 0


def test_independent_columns_have_the_bias_of_the_counts():
    codes, factors = rng(6).uniform(size=(N, 6)), rng(7).uniform(size=(N, 5))
    found = latents.mutual_information(codes, factors)
    assert abs(found.mean() - BIAS) < 0.1 * BIAS
    gap = latents.mutual_information_gap(codes, factors)
    assert (gap >= 0).all() and gap.max() < BIAS / np.log(20)


def test_a_copy_has_a_gap_of_one_less_the_bias():
    factors = uniform_factors()
    gap = latents.mutual_information_gap(copied(factors), factors)
    np.testing.assert_allclose(gap, 1 - BIAS / np.log(20), atol=0.005)
    table = latents.mutual_information(copied(factors), factors)
    np.testing.assert_array_equal(table.argmax(axis=0), [1, 2, 0])


def test_the_gap_by_hand():
    generator = rng(8)
    factors = {"a": generator.standard_normal(300), "b": generator.integers(0, 3, 300)}
    codes = np.column_stack([factors["a"], factors["a"] + factors["b"], factors["b"] + generator.standard_normal(300)])
    table, gap = latents.mutual_information(codes, factors), latents.mutual_information_gap(codes, factors)
    for j, values in enumerate(factors.values()):
        entropy = stats.entropy(np.histogram(values, 20)[0])
        first, second = sorted(table[:, j])[:0:-1]
        np.testing.assert_allclose(gap[j], (first - second) / entropy, rtol=1e-10)


def test_a_turned_copy_has_no_gap_and_no_order_but_all_the_information():
    factors = rng(9).standard_normal((N, 2))
    codes = factors @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    assert latents.mutual_information_gap(codes, factors).max() < 0.02
    found = latents.dci(codes, factors)
    assert found.disentanglement < 0.001 and found.completeness < 0.001
    np.testing.assert_allclose(found.informativeness, 1)


# Disentanglement, completeness, informativeness -----------------------------------------------------------------------


def test_a_copy_has_a_perfect_dci():
    factors = uniform_factors()
    found = latents.dci(copied(factors), factors)
    assert found.disentanglement > 1 - 1e-9 and found.completeness > 1 - 1e-9
    np.testing.assert_allclose(found.informativeness, 1)
    np.testing.assert_allclose(found.importance, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-9)
    idle = np.column_stack([copied(factors), np.full(N, 7.0)])
    same = latents.dci(idle, factors)
    assert same.disentanglement > 1 - 1e-9 and same.completeness > 1 - 1e-9 and not same.importance[3].any()


def test_two_latents_for_a_factor_are_incomplete_and_two_factors_in_a_latent_entangled():
    a, b, c = rng(10).standard_normal((3, N))
    split = latents.dci(np.column_stack([a + b, a - b, c]), np.column_stack([a, c]))
    assert split.disentanglement > 0.97
    np.testing.assert_allclose(split.completeness, (1 - np.log(2) / np.log(3) + 1) / 2, atol=0.03)
    joined = latents.dci(np.column_stack([a, b]), np.column_stack([a, 2 * a, b]))
    half = 2 / 3 * (1 - np.log(2) / np.log(3)) + 1 / 3
    np.testing.assert_allclose(joined.disentanglement, half, atol=0.03)
    assert joined.completeness > 0.95


def test_importance_and_informativeness_are_those_of_sklearns_regression():
    generator = rng(11)
    codes = generator.standard_normal((80, 4)) @ generator.standard_normal((4, 4)) + 3
    factors = codes @ generator.standard_normal((4, 2)) + 2 * generator.standard_normal((80, 2))
    found = latents.dci(codes, factors)
    coefficients = LinearRegression().fit(codes, factors).coef_.T * codes.std(axis=0)[:, None] / factors.std(axis=0)
    np.testing.assert_allclose(found.importance, np.abs(coefficients), rtol=1e-8)
    predicted = cross_val_predict(LinearRegression(), codes, factors, cv=LeaveOneOut())
    expected = 1 - np.sum((factors - predicted) ** 2, axis=0) / np.sum((factors - factors.mean(axis=0)) ** 2, axis=0)
    np.testing.assert_allclose(found.informativeness, expected, rtol=1e-8)
    of_latents, weights = found.importance / found.importance.sum(axis=1)[:, None], found.importance.sum(axis=1)
    rows = 1 - stats.entropy(of_latents, base=2, axis=1)
    np.testing.assert_allclose(found.disentanglement, np.average(rows, weights=weights))
    columns = 1 - stats.entropy(found.importance, base=4, axis=0)
    np.testing.assert_allclose(found.completeness, columns.mean())


def test_noise_tells_nothing_and_equal_latents_share():
    factors = uniform_factors()
    noise = latents.dci(rng(12).standard_normal((N, 4)), factors)
    assert (np.abs(noise.informativeness) < 0.005).all()
    codes = copied(factors)
    twice = latents.dci(np.column_stack([codes, codes[:, 0]]), factors)
    np.testing.assert_allclose(twice.importance[[0, 3], 2], 0.5)


# Traversals, active units, KL of each latent --------------------------------------------------------------------------


def small_vae(posterior="diagonal"):
    X = rng(13).standard_normal((60, 4)) @ rng(14).standard_normal((4, 4)) + 5
    return VAE(3, (8,), posterior=posterior, steps=60, batch_size=16).fit(X, rng=rng(15)), X


def test_a_traversal_changes_one_latent():
    vae, X = small_vae()
    values, z = np.linspace(-2, 2, 5), np.array([0.3, -1.0, 0.7])
    found = latents.traversal(vae, 1, values, z=z)
    assert found.shape == (5, 4)
    np.testing.assert_array_equal(found, vae.decode([[0.3, value, 0.7] for value in values]))
    np.testing.assert_array_equal(z, [0.3, -1.0, 0.7])
    code = vae.encode(X[:1])[0][0]
    np.testing.assert_array_equal(latents.traversal(vae, 2, values, x=X[0]), latents.traversal(vae, 2, values, z=code))
    np.testing.assert_allclose(latents.traversal(vae, 0, [code[0]], x=X[0])[0], vae.decode(code[None])[0], rtol=1e-6)


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_shares_of_the_kl_add_up_to_it(posterior):
    vae, X = small_vae(posterior)
    mean, spread = vae.encode(X)
    shares = latents.kl_per_latent(mean, spread)
    total = vae.terms(vae.scale_.to_unit(X).astype(np.float32), rng())[1].data.mean()
    assert shares.shape == (3,) and (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(), total, rtol=1e-5)


def test_the_share_of_a_latent_is_its_kl_given_those_before():
    mean, factor = np.array([[0.5, -1.0]]), np.array([[[0.8, 0.0], [0.6, 0.3]]])
    shares = latents.kl_per_latent(mean, factor)
    first = stats.norm(0.5, 0.8)
    x = first.rvs(200000, random_state=0)
    conditional_mean = -1.0 + 0.6 / 0.8 * (x - 0.5)
    given = (conditional_mean**2 + 0.3**2 - 1) / 2 - np.log(0.3)
    np.testing.assert_allclose(shares[0], (0.5**2 + 0.8**2 - 1) / 2 - np.log(0.8))
    assert abs(given.mean() - shares[1]) < 5 * given.std() / np.sqrt(200000)


def test_active_units_are_those_whose_mean_moves():
    mean = rng(16).standard_normal((N, 4)) * [1.0, 0.12, 0.08, 0.0] + [0, 3, 3, 3]
    np.testing.assert_array_equal(latents.active_units(mean), [True, True, False, False])


def test_nats_near_the_prior_keep_their_digits_and_are_never_negative():
    """The KL of N(m, s^2) to N(0, 1) is m^2/2 + (s - 1)^2 to the lowest order."""
    for off in (1e-5, 1e-7, -1e-9, 1e-12):
        sd = np.full((3, 2), 1 + off)
        exact = (sd[0, 0] - 1) ** 2
        np.testing.assert_allclose(latents.kl_per_latent(np.zeros((3, 2)), sd), exact, rtol=abs(2 * off))
        np.testing.assert_allclose(latents.kl_per_latent(np.full((3, 2), off), sd), exact + off**2 / 2, rtol=1e-4)
        factor = np.array([[[sd[0, 0], 0.0], [off, sd[0, 0]]]])
        np.testing.assert_allclose(latents.kl_per_latent(np.zeros((1, 2)), factor)[1], exact + off**2 / 2, rtol=1e-4)
    sds = np.concatenate([np.nextafter(1, [0, 2]), 1 + np.linspace(-0.11, 0.11, 2001)])[:, None]
    for sd in sds:
        shares = latents.kl_per_latent(np.zeros((1, 1)), sd[None])
        wide = sd.astype(np.longdouble)
        assert shares >= 0
        np.testing.assert_allclose(shares, (wide**2 - 1) / 2 - np.log(wide), rtol=1e-13, atol=2e-19)


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-99, 1.0, 2.0**99, 2.0**900])
@pytest.mark.parametrize("offset", [0.0, 2.0**20, -(2.0**40)])
def test_the_unit_and_the_offset_of_codes_and_factors_do_not_matter(unit, offset):
    grid = lambda x: np.round(x * 2**8) / 2**8  # so that an offset takes no digit away
    factors = grid(rng(20).uniform(-1, 1, (400, 2)))
    codes = grid(factors @ [[1.0, 0.5], [-0.25, 1.0]] + 0.25 * rng(21).standard_normal((400, 2)))
    moved = (codes + offset) * unit, (factors - offset) * unit
    for score in (latents.mutual_information, latents.mutual_information_gap):
        np.testing.assert_allclose(score(*moved), score(codes, factors), rtol=1e-12)
    for found, plain in zip(latents.dci(*moved), latents.dci(codes, factors)):
        np.testing.assert_allclose(found, plain, rtol=1e-9)


def test_codes_and_factors_of_any_kind_become_floats():
    whole = rng(22).integers(0, 200, (300, 3))
    expected = latents.mutual_information(whole.astype(float), whole[:, :2].astype(float))
    for kind in ("u1", "i2", "u8", object):
        np.testing.assert_array_equal(
            latents.mutual_information(whole.astype(kind), whole[:, :2].astype(kind)), expected
        )
        factors = dict(zip("ab", whole.astype(kind).T))
        np.testing.assert_array_equal(latents.mutual_information(whole.tolist(), factors), expected)
    assert latents.active_units(whole.astype("u1")).all()
    hidden = np.ma.masked_equal(whole, whole[0, 0])
    for score in (latents.mutual_information, latents.dci):
        with pytest.raises(ValueError, match=r"masked value\(s\)"):
            score(hidden, whole)


def test_tiny_variances_are_finite():
    np.testing.assert_allclose(latents.kl_per_latent(np.zeros((2, 1)), np.full((2, 1), 1e-15)), -np.log(1e-15) - 0.5)


# Misuse ---------------------------------------------------------------------------------------------------------------

CODES, FACTORS = rng(17).standard_normal((20, 3)), {"a": np.arange(20.0), "b": np.arange(20.0) ** 2}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: latents.mutual_information(CODES[:, 0], FACTORS), r"codes of shape \(20,\); expected \(n, d\)"),
        (lambda: latents.mutual_information(CODES * np.nan, FACTORS), r"60 value\(s\) that are NaN"),
        (lambda: latents.mutual_information(CODES[:1], FACTORS), "single row"),
        (lambda: latents.mutual_information(CODES, {}), "no factors; give at least one"),
        (
            lambda: latents.mutual_information(CODES, {"a": np.ones(7)}),
            r"factors\['a'\] of shape \(7,\); expected \(20,\)",
        ),
        (lambda: latents.mutual_information(CODES, np.ones((7, 2))), "20 codes and factors of 7"),
        (lambda: latents.mutual_information_gap(CODES[:, :1], FACTORS), "a single latent"),
        (lambda: latents.mutual_information_gap(CODES, FACTORS | {"c": np.ones(20)}), "'c' that is constant"),
        (lambda: latents.dci(CODES, {"a": FACTORS["a"]}), "a single factor"),
        (lambda: latents.dci(CODES[:, :1], FACTORS), "a single latent"),
        (lambda: latents.dci(CODES, FACTORS | {"c": np.ones(20)}), "'c' that is constant"),
        (lambda: latents.dci(CODES[:5], {"a": np.arange(5), "b": np.arange(5) ** 2}), "5 rows for 3 latents.* least 6"),
        (lambda: latents.active_units(CODES[:1]), "single row"),
        (lambda: latents.kl_per_latent(CODES, CODES[:, :2]), r"mean of shape \(20, 3\) and spread of shape \(20, 2\)"),
        (lambda: latents.kl_per_latent(CODES, 0 * abs(CODES)), "an SD of 0.0; expected positive"),
        (lambda: latents.traversal(small_vae()[0], 0, [1.0]), "give either x="),
        (lambda: latents.traversal(small_vae()[0], 0, [1.0], x=np.ones(4), z=np.ones(3)), "give either x="),
        (lambda: latents.traversal(small_vae()[0], 3, [1.0], z=np.ones(3)), "latent=3; expected .* from 0 to 2"),
        (lambda: latents.traversal(small_vae()[0], 0, [[1.0]], z=np.ones(3)), r"values of shape \(1, 1\)"),
        (lambda: latents.traversal(small_vae()[0], 0, [1.0], z=np.ones(4)), r"z of shape \(4,\); expected \(3,\)"),
    ],
)
def test_misuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
