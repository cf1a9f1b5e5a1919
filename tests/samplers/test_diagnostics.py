"""Diagnostics against ArviZ where it is installed, and against SciPy, closed forms and repeated chains everywhere."""

import sys
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

import minigen
from minigen import ops
from minigen.samplers import mala, sample
from minigen.samplers.diagnostics import (
    ONE_SD,
    _beta_quantile,
    autocorrelation,
    ess_bulk,
    ess_mean,
    ess_quantile,
    ess_tail,
    mcse_mean,
    mcse_quantile,
    mcse_sd,
    rhat,
    summary,
    to_arviz,
)

ALL = {
    "rhat": rhat,
    "ess_bulk": ess_bulk,
    "ess_tail": ess_tail,
    "ess_mean": ess_mean,
    "ess_quantile": lambda x: ess_quantile(x, 0.3),
    "mcse_mean": mcse_mean,
    "mcse_sd": mcse_sd,
    "mcse_quantile": lambda x: mcse_quantile(x, 0.3),
}


def autoregressive(rho, chains, n, d, seed=0):
    """Stationary chains x' = rho x + noise with N(0, 1) as their law, (chains, n, d)."""
    x = np.random.default_rng(seed).standard_normal((chains, n, d))
    for i in range(1, n):
        x[:, i] = rho * x[:, i - 1] + np.sqrt(1 - rho**2) * x[:, i]
    return x


CASES = {
    "independent": lambda rng, chains, n: 3 + 0.1 * rng.standard_normal((chains, n)),
    "slow": lambda rng, chains, n: autoregressive(0.95, chains, n, 1)[:, :, 0],
    "antithetic": lambda rng, chains, n: autoregressive(-0.6, chains, n, 1)[:, :, 0],
    "very antithetic": lambda rng, chains, n: autoregressive(-0.98, chains, n, 1)[:, :, 0],
    "to and fro": lambda rng, chains, n: np.resize([1.0, -1.0], (chains, n + n % 2))[:, :n],
    "apart": lambda rng, chains, n: rng.standard_normal((chains, n)) + 4 * np.arange(chains)[:, None],
    "one chain wide": lambda rng, chains, n: rng.standard_normal((chains, n)) * np.r_[6, np.ones(chains - 1)][:, None],
    "trend": lambda rng, chains, n: rng.standard_normal((chains, n)) + np.linspace(0, 3, n),
    "heavy tails": lambda rng, chains, n: rng.standard_cauchy((chains, n)),
    "ties": lambda rng, chains, n: rng.integers(0, 3, (chains, n)),
    "a chain stands": lambda rng, chains, n: np.where(
        np.arange(chains)[:, None] > 0, rng.standard_normal((chains, n)), 0
    ),
    "constant": lambda rng, chains, n: np.full((chains, n), 0.1),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # ArviZ's 0 / 0
@pytest.mark.parametrize("n", [4, 5, 7, 10, 11, 12, 37, 1000])
@pytest.mark.parametrize("chains", [1, 2, 4])
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_arviz(name, chains, n):
    arviz = pytest.importorskip("arviz_stats.base").array_stats
    x = np.asarray(CASES[name](np.random.default_rng(n), chains, n), float)
    x = np.round(x * 2**20) / 2**20  # no difference is rounded: the two draws about the median are equally far from it
    size_of_square = arviz.ess(x, method="sd")
    square = (x - x.mean()) ** 2
    expected = {
        "rhat": arviz.rhat(x),
        "ess_bulk": arviz.ess(x, method="bulk"),
        "ess_tail": arviz.ess(x, method="tail", prob=0.95),
        "ess_mean": arviz.ess(x, method="mean"),
        "ess_quantile": arviz.ess(x, method="quantile", prob=0.3),
        "mcse_mean": arviz.mcse(x, method="mean"),
        # Versions up to 0.8.0 take ess(method="mean") in mcse(method="sd"); see arviz-stats issue 428.
        "mcse_sd": np.sqrt(np.var(square) / size_of_square / np.mean(square)) / 2,
        "mcse_quantile": arviz.mcse(x, method="quantile", prob=0.3),
    }
    if chains == 1:
        del expected["rhat"]  # ArviZ gives none
    if name == "constant":
        del expected["mcse_sd"]  # 0 / 0, up to rounding
    for function, value in expected.items():
        np.testing.assert_allclose(ALL[function](x), value, rtol=1e-6, err_msg=function)
    if n >= 10 and name not in ("constant", "a chain stands"):
        np.testing.assert_allclose(autocorrelation(x), arviz.autocorr(x), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("chains, n", [(1, 60), (3, 41)])
def test_rhat_by_hand(chains, n):
    x = np.random.default_rng(1).standard_exponential((chains, n)).round(1) + np.linspace(0, 1, n)
    halves = np.array([half for chain in x for half in (chain[: n // 2], chain[(n + 1) // 2 :])])

    def plain(values):
        z = stats.norm.ppf((stats.rankdata(values).reshape(halves.shape) - 0.375) / (halves.size + 0.25))
        within, m = z.var(axis=1, ddof=1).mean(), n // 2
        return np.sqrt(((m - 1) / m * within + z.mean(axis=1).var(ddof=1)) / within)

    expected = max(plain(halves), plain(np.abs(halves - np.median(halves))))
    assert expected > 1.05 and rhat(x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rho", [0.9, 0.5, 0.0, -0.5])
def test_effective_sample_size_of_an_autoregressive_chain(rho):
    chains, n, d = 4, 5000, 24
    x = autoregressive(rho, chains, n, d)
    for function, factor in ((ess_mean, (1 - rho) / (1 + rho)), (ess_bulk, (1 - rho) / (1 + rho))):
        ratio = function(x) / (chains * n * factor)
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(d) + 0.02
    square = x**2  # its autocorrelation is that of x, squared
    ratio = ess_mean(square) / (chains * n * (1 - rho**2) / (1 + rho**2))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(d) + 0.02


@pytest.mark.parametrize("rho", [0.8, 0.0, -0.6])
def test_standard_errors_are_honest(rho):
    repeats = 400  # as so many coordinates
    x = autoregressive(rho, 4, 500, repeats, seed=2)
    found = {
        "mean": x.mean(axis=(0, 1)) / mcse_mean(x),
        "sd": (x.std(axis=(0, 1), ddof=1) - 1) / mcse_sd(x),
        "median": np.median(x, axis=(0, 1)) / mcse_quantile(x, 0.5),
        "q90": (np.quantile(x, 0.9, axis=(0, 1)) - stats.norm.ppf(0.9)) / mcse_quantile(x, 0.9),
    }
    for name, z in found.items():
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1, abs=0.15), name
        assert np.mean(np.abs(z) < 2) == pytest.approx(0.954, abs=0.035), name


def test_what_each_diagnostic_sees():
    good = autoregressive(0.3, 4, 1000, 3)
    assert np.all(rhat(good) < 1.01) and np.all(ess_bulk(good) > 1500)
    apart, wide, drifting = good + 3 * np.arange(4)[:, None, None], good.copy(), good + np.linspace(0, 3, 1000)[:, None]
    wide[0] *= 5
    for bad in (apart, wide, drifting):
        assert np.all(rhat(bad) > 1.1)
    assert np.all(ess_bulk(apart) < 20) and np.all(ess_tail(wide) < 100)
    assert np.all(ess_bulk(autoregressive(-0.6, 4, 1000, 3)) > 8000)
    to_and_fro = np.resize([1.0, -1.0], (4, 1000))
    assert ess_mean(to_and_fro) == pytest.approx(4000 * np.log10(4000))
    cauchy = np.random.default_rng(0).standard_cauchy((4, 1000))
    assert 3000 < ess_bulk(cauchy) < 6000 and rhat(cauchy) < 1.01


def test_chains_that_never_move():
    apart = np.repeat([[0.1], [0.1], [0.7], [2.3]], 16, axis=1)
    assert rhat(apart) == np.inf
    assert ess_bulk(apart) < 10
    together = np.full((4, 16), 0.1)
    assert np.isnan(rhat(together)) and np.isnan(mcse_sd(together))
    assert ess_bulk(together) == ess_tail(together) == 64 and mcse_mean(together) < 1e-16
    assert np.isnan(autocorrelation(apart)).all()


def in_unit(name, unit):
    """What becomes of a diagnostic when the draws are measured in this unit."""
    return unit if name.startswith("mcse") else 1.0


@pytest.mark.parametrize("unit", [1e-305, 1e-200, 1e-150, 1e-20, 1e20, 1e160, 1e300])
@pytest.mark.parametrize("name", ALL)
def test_the_unit_does_not_matter(name, unit):
    x = autoregressive(0.5, 4, 200, 2)
    np.testing.assert_allclose(ALL[name](unit * x) / in_unit(name, unit), ALL[name](x), rtol=1e-9)
    np.testing.assert_allclose(autocorrelation(unit * x, 20), autocorrelation(x, 20), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("offset", [2.0**30, -(2.0**32), 1e9])
@pytest.mark.parametrize("name", ALL)
def test_the_offset_does_not_matter(name, offset):
    x = np.round(autoregressive(0.5, 4, 200, 2) * 2**18) / 2**18  # so that nothing of it is lost beside the offset
    assert np.array_equal((x + offset) - offset, x)
    np.testing.assert_allclose(ALL[name](x + offset), ALL[name](x), rtol=1e-11)
    np.testing.assert_allclose(autocorrelation(x + offset, 20), autocorrelation(x, 20), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("high", [np.nextafter(1.0, 2.0), 1.0 + 1e-12, 1e300, np.finfo(float).max])
@pytest.mark.parametrize("name", ALL)
def test_two_values_are_two_values_however_near_or_far(name, high):
    zeros_and_ones = (np.random.default_rng(3).random((4, 200)) < 0.3).astype(float)
    draws, unit = np.where(zeros_and_ones == 1, high, 1.0), high - 1.0
    np.testing.assert_allclose(ALL[name](draws) / in_unit(name, unit), ALL[name](zeros_and_ones), rtol=1e-9)


def test_the_whole_range_of_floats():
    x = np.clip(autoregressive(0.5, 4, 200, 2) / 4, -0.99, 0.99)
    largest = np.finfo(float).max
    for name in set(ALL) - {"mcse_quantile"}:
        np.testing.assert_allclose(ALL[name](largest * x) / in_unit(name, largest), ALL[name](x), rtol=1e-9)
    expected = summary(x)
    for unit in (largest, 1e-305):
        found = summary(unit * x)
        for name in ("mean", "sd", "q05", "median", "q95", "mcse_mean", "mcse_sd"):
            np.testing.assert_allclose(getattr(found, name) / unit, getattr(expected, name), rtol=1e-9, err_msg=name)
    far = summary(np.round(x * 2**18) / 2**18 + 2.0**32)  # mean and SD by NumPy, of what is left without the offset
    np.testing.assert_allclose(far.mean - 2.0**32, expected.mean, atol=2e-6)
    np.testing.assert_allclose(far.sd, expected.sd, rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -1e8, 1e300, 5e-324])
def test_chains_that_stand_at_one_place_wherever_it_is(value):
    x = np.full((3, 40), value)
    assert ess_bulk(x) == ess_tail(x) == ess_mean(x) == ess_quantile(x, 0.3) == 120
    assert mcse_mean(x) == mcse_quantile(x, 0.3) == 0 and np.isnan(mcse_sd(x)) and np.isnan(rhat(x))
    found = summary(x)
    assert found.mean[0] == found.median[0] == value and found.sd[0] == 0


AS_GIVEN = {
    "bool": lambda x: x > 5,
    **{dtype: lambda x, dtype=dtype: x.astype(dtype) for dtype in ("u1", "i1", "u2", "i4", "u8", "i8", "f2", "f4")},
    "big-endian": lambda x: x.astype(">f8"),
    "list": lambda x: x.tolist(),
    "nested tuples": lambda x: tuple(map(tuple, x.tolist())),
    "objects": lambda x: x.astype(object),
    "decimals": lambda x: [[Decimal(int(value)) for value in row] for row in x],
    "no value masked": lambda x: np.ma.array(x, mask=False),
    "Fortran order": np.asfortranarray,
    "tensor": lambda x: minigen.tensor(x),
    "table": lambda x: pytest.importorskip("pandas").DataFrame(x),
    "nullable table": lambda x: pytest.importorskip("pandas").DataFrame(x).astype("Int64"),
}


@pytest.mark.parametrize("kind", AS_GIVEN)
@pytest.mark.parametrize("name", ALL)
def test_numbers_of_any_kind(name, kind):
    x = np.random.default_rng(2).integers(0, 120, (4, 60)).astype(float)
    given = AS_GIVEN[kind](x)
    expected = ALL[name]((x > 5).astype(float) if kind == "bool" else x)
    assert ALL[name](given) == expected


def test_draws_with_missing_values_are_refused():
    x = autoregressive(0.5, 4, 20, 1)[:, :, 0]
    with pytest.raises(ValueError, match=r"ess_mean\(\) got draws with 1 masked"):
        ess_mean(np.ma.array(x, mask=x == x.max()))
    missing = x.astype(object)
    missing[2, 3] = None
    with pytest.raises(ValueError, match=r"rhat\(\) got draws with 1 missing"):
        rhat(missing)
    with pytest.raises(TypeError, match=r"mcse_mean\(\) got draws of type complex"):
        mcse_mean(x + 1j)
    with pytest.raises(TypeError, match="unequal length"):
        mcse_mean([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    x = autoregressive(0.5, 3, 50, 4)
    found = ALL[name](x)
    assert found.shape == (4,) and found.dtype == np.float64
    for i in range(4):
        one = ALL[name](x[:, :, i])
        assert type(one) is float and one == found[i]
    np.testing.assert_allclose(ALL[name](x.astype(np.float32)), found, rtol=1e-3)


def test_autocorrelation():
    x = autoregressive(0.7, 3, 2000, 2)
    found = autocorrelation(x, lags=20)
    assert found.shape == (3, 20, 2) and autocorrelation(x[:, :, 0]).shape == (3, 2000)
    for chain in range(3):
        for i in range(2):
            y = x[chain, :, i] - x[chain, :, i].mean()
            direct = np.correlate(y, y, "full")[1999:2019]
            np.testing.assert_allclose(found[chain, :, i], direct / direct[0], atol=1e-12)
    np.testing.assert_allclose(found.mean(axis=(0, 2)), 0.7 ** np.arange(20), atol=0.1)


def test_quantiles_of_the_beta_distribution():
    rng = np.random.default_rng(0)
    for a, b in 1 + np.exp(rng.uniform(-5, 11, (200, 2))):
        for p in (1 - ONE_SD, ONE_SD):
            assert abs(_beta_quantile(p, a, b) - stats.beta.ppf(p, a, b)) < 1e-9 * stats.beta.std(a, b)


def normal(x):
    return -0.5 * ops.sum(ops.square(x), axis=1)


def test_summary():
    start = np.random.default_rng(0).standard_normal((4, 2))
    draws, infos = sample(mala(normal, 0.9), start, 2000, np.random.default_rng(1), progress=False)
    found = summary(draws, infos, names=("mass", "charge"))
    np.testing.assert_allclose(found.mean, draws.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.sd, draws.reshape(-1, 2).std(axis=0, ddof=1))
    np.testing.assert_allclose(found.median, np.median(draws, axis=(0, 1)))
    np.testing.assert_allclose([found.q05, found.q95], np.quantile(draws, (0.05, 0.95), axis=(0, 1)))
    for name in ("rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_sd"):
        np.testing.assert_array_equal(getattr(found, name), ALL[name](draws))
    np.testing.assert_allclose(found.acceptance_rate, infos.acceptance_rate.mean(axis=1))
    np.testing.assert_array_equal(found.divergences, np.zeros(4))
    lines = str(found).splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines[:3]}) == 1
    assert lines[0].split() == list(found._fields[1:11])
    assert [line.split()[0] for line in lines[1:3]] == ["mass", "charge"]
    assert float(lines[2].split()[1]) == pytest.approx(found.mean[1], rel=1e-3)
    assert lines[3].startswith("4 chains, 2000 draws each; acceptance rate 0.")


def test_summary_says_what_falls_short():
    draws = autoregressive(0.3, 4, 1000, 3)
    draws[:, :, 1] += 3 * np.arange(4)[:, None]
    infos = SimpleNamespace(is_divergent=np.arange(4000).reshape(4, 1000) % 2000 == 7)
    *_, unmet, few, divergent = str(summary(draws, infos)).splitlines()
    assert "R-hat above 1.01" in unmet and "for x1:" in unmet
    assert "below 400" in few and "for x1:" in few
    assert divergent.startswith("2 divergent steps")
    assert len(str(summary(draws[:, :, [0, 2]])).splitlines()) == 4
    assert "no R-hat" in str(summary(np.ones((4, 100))))


BAD = {
    "nan": (np.where(np.arange(80).reshape(2, 20, 2) == 47, np.nan, 1.0), "1 of 80 .*chain 1, draw 3, coordinate 1"),
    "inf": (np.where(np.arange(80).reshape(2, 20, 2) > 77, np.inf, 1.0), "2 of 80 .*chain 1, draw 19, coordinate 0"),
    "one chain without its axis": (np.zeros(50), r"draws\[None\]"),
    "four axes": (np.zeros((2, 8, 2, 2)), r"\(2, 8, 2, 2\)"),
    "few": (np.zeros((9, 3, 2)), "3 in each of 9 chains; expected at least 4"),
    "none": (np.zeros((0, 10, 2)), r"\(0, 10, 2\)"),
    "words": (np.full((2, 10), "a"), "expected real numbers"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", [*ALL, "autocorrelation", "summary", "to_arviz"])
def test_bad_draws(name, bad):
    function = {**ALL, "autocorrelation": autocorrelation, "summary": summary, "to_arviz": to_arviz}[name]
    draws, message = BAD[bad]
    with pytest.raises(TypeError if bad == "words" else ValueError, match=rf"{name}\(\) got .*{message}"):
        function(draws)


def test_bad_arguments():
    draws = autoregressive(0.3, 4, 100, 2)
    for function in (ess_quantile, mcse_quantile):
        for probability in (0, 1, 5, np.nan, "0.5"):
            with pytest.raises(ValueError, match="expected a number between 0 and 1"):
                function(draws, probability)
    for function in (summary, to_arviz):
        for names in (("a",), ("a", "a"), (1, 2)):
            with pytest.raises(ValueError, match="2 different names"):
                function(draws, names=names)
        with pytest.raises(ValueError, match=r"acceptance_rate has shape \(3, 100\) beside draws of 4 chains"):
            function(draws, mala_info(3))
    with pytest.raises(ValueError, match="lags"):
        autocorrelation(draws, lags=0)


def mala_info(chains):
    start = np.zeros((chains, 2))
    return sample(mala(normal, 0.5), start, 100, np.random.default_rng(0), progress=False)[1]


def test_to_arviz():
    pytest.importorskip("arviz_base")
    draws, infos = autoregressive(0.3, 4, 100, 2), mala_info(4)
    tree = to_arviz(draws, infos, names=("mass", "charge"))
    for i, name in enumerate(("mass", "charge")):
        np.testing.assert_array_equal(tree["posterior"][name], draws[:, :, i])
    np.testing.assert_array_equal(tree["sample_stats"]["diverging"], infos.is_divergent)
    np.testing.assert_array_equal(tree["sample_stats"]["acceptance_rate"], infos.acceptance_rate)
    np.testing.assert_array_equal(to_arviz(draws)["posterior"]["x"], draws)
    np.testing.assert_array_equal(to_arviz(draws[:, :, 0])["posterior"]["x"], draws[:, :, 0])


def test_what_each_arviz_is_given(monkeypatch):
    draws, infos = autoregressive(0.3, 4, 100, 2), mala_info(4)
    monkeypatch.setitem(sys.modules, "arviz_base", SimpleNamespace(from_dict=lambda groups: groups))
    new = to_arviz(draws, infos)
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    old = SimpleNamespace(from_dict=lambda *, posterior, sample_stats: (posterior, sample_stats))
    monkeypatch.setitem(sys.modules, "arviz", old)
    for posterior, of_steps in (new.values(), to_arviz(draws, infos)):
        np.testing.assert_array_equal(posterior["x"], draws)
        assert list(of_steps) == ["acceptance_rate", "is_accepted", "diverging"]
        np.testing.assert_array_equal(of_steps["diverging"], infos.is_divergent)


def test_to_arviz_asks_for_arviz(monkeypatch):
    for name in ("arviz", "arviz_base"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install arviz"):
        to_arviz(autoregressive(0.3, 4, 100, 2))
