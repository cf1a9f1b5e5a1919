"""Can these draws be trusted? Have the chains met, how many independent draws are they worth, how far off is a mean?

Every function takes draws (chains, n, d), as `sample` gives them, and returns one number for each coordinate, (d,); of
draws (chains, n) it returns a float. They may be numbers of any kind, lists and tables too, and are computed in float64
from an origin and in a unit of their own, so that neither matters. Draws of another shape, fewer than 4 in a chain, and
NaN or infinity among them raise ValueError, what are no numbers TypeError.

Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and localization: an
improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16, 667. The estimators are those of ArviZ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib import import_module
from statistics import NormalDist
from typing import Annotated, Any, NamedTuple

import numpy as np

from .._support.arguments import ArrayKind, Count, Inside, checked
from .._support.arrays import as_floats

FEWEST_DRAWS = 4  # in a chain: two in each half
ONE_SD = NormalDist().cdf(1.0)  # P(z < 1) for a standard normal z


def as_draws(draws: Any, name: str, caller: str) -> np.ndarray:
    """The draws in float64, (chains, n, d) or (chains, n), all finite, at least 4 of each chain."""
    x = as_floats(draws, name, caller)
    if x.ndim not in (2, 3) or x.size == 0:
        raise ValueError(
            f"{caller} got {name} of shape {x.shape}; expected (chains, n, d) or (chains, n). For a single chain give "
            f"{name}[None]"
        )
    if x.shape[1] < FEWEST_DRAWS:
        raise ValueError(
            f"{caller} got {name} of shape {x.shape}, {x.shape[1]} in each of {len(x)} chains; expected at least "
            f"{FEWEST_DRAWS}"
        )
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        chain, draw, *coordinate = bad[0]
        raise ValueError(
            f"{caller} got {name} with {len(bad)} of {x.size} numbers NaN or infinite, the first in chain {chain}, "
            f"draw {draw}, coordinate {(coordinate or [0])[0]}; a sampler that makes them is broken, so mend it before "
            "you judge its draws"
        )
    return x


Draws = Annotated[Any, ArrayKind(as_draws)]


@checked
def rhat(draws: Draws) -> np.ndarray | float:
    """Split rank-normalised R-hat: near 1 where all chains tell the same; above 1.01 they have not met yet.

    Each chain is cut in halves, and what all halves scatter together is compared with what each scatters alone. That
    is done with the ranks of the draws, then with the ranks of their distances from the median, which shows chains of
    the same centre and different widths; the larger of the two is returned. One chain is compared with itself, half
    against half. Chains that never move give inf, or NaN if they all stand at one place.

    Vehtari et al. (2021), equations 1 to 4 and 14, and section 4.1.
    """

    def of_one(x):
        halves = _halves(x)
        z, *_ = _all_centred(halves)
        distances = np.abs(z - np.median(z))
        return np.fmax(_plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(distances)))

    return _per_coordinate(of_one, draws)


@checked
def ess_bulk(draws: Draws) -> np.ndarray | float:
    """Effective sample size of the bulk: how many independent draws would place the centre as well as these do.

    It is the effective sample size of the ranks, which exists for heavy tails too. Below 100 for each chain R-hat and
    the standard errors are rough themselves. Chains that anticorrelate give more than chains * n, at most by a factor
    log10(chains * n). That is also what fewer than 10 draws in a chain give: too few to see any correlation. If all
    draws are equal it is chains * n.

    Vehtari et al. (2021), section 4.2; Geyer (1992), "Practical Markov chain Monte Carlo", section 3.3, for where the
    sum of autocorrelations ends.
    """
    return _per_coordinate(lambda x: _ess(_normal_scores(_halves(x))), draws)


@checked
def ess_tail(draws: Draws) -> np.ndarray | float:
    """Effective sample size of the tails: the smaller of those of the 5 % and the 95 % quantile.

    Vehtari et al. (2021), section 4.3.
    """
    return _per_coordinate(lambda x: min(_ess_quantile(x, 0.05), _ess_quantile(x, 0.95)), draws)


@checked
def ess_mean(draws: Draws) -> np.ndarray | float:
    """Effective sample size of the mean. Means nothing where the variance is infinite.

    Vehtari et al. (2021), equations 10 to 13: within and between all halves of chains.
    """
    return _per_coordinate(_ess_mean, draws)


@checked
def ess_quantile(draws: Draws, probability: Inside) -> np.ndarray | float:
    """Effective sample size of a quantile, that of the indicator of draws at or below it.

    Vehtari et al. (2021), section 4.3.
    """
    return _per_coordinate(lambda x: _ess_quantile(x, probability), draws)


@checked
def mcse_mean(draws: Draws) -> np.ndarray | float:
    """Monte-Carlo standard error of the mean of all draws: their SD over the root of `ess_mean`."""

    def of_one(x):
        z, _, exponent = _all_centred(x)
        return np.ldexp(np.std(z, ddof=1) / math.sqrt(_ess_mean(x)), exponent)

    return _per_coordinate(of_one, draws)


@checked
def mcse_sd(draws: Draws) -> np.ndarray | float:
    """Monte-Carlo standard error of the standard deviation, from the effective sample size of (x - mean)^2.

    By the delta method it is the error of the variance over 2 SD; NaN if all draws are equal. (ArviZ-stats up to
    0.8.0 takes the effective sample size of x itself, which is too large for chains that anticorrelate.)

    Kenney and Keeping (1951), "Mathematics of Statistics", part two, page 141.
    """

    def of_one(x):
        z, _, exponent = _all_centred(x)
        if not z.any():
            return math.nan
        square = (z - z.mean()) ** 2
        return np.ldexp(np.std(square) / math.sqrt(4 * np.mean(square) * _ess_mean(square)), exponent)

    return _per_coordinate(of_one, draws)


@checked
def mcse_quantile(draws: Draws, probability: Inside) -> np.ndarray | float:
    """Monte-Carlo standard error of a quantile, from two order statistics about it.

    With S effective draws, the share of draws below the true quantile p is about Beta(S p + 1, S (1 - p) + 1). Half the
    distance of the draws at the ranks of its 16 % and 84 % points is the error.

    Vehtari et al. (2021), section 4.4.
    """

    def of_one(x):
        size = _ess_quantile(x, probability)
        a, b = size * probability + 1, size * (1 - probability) + 1
        low, high = (_beta_quantile(p, a, b) * x.size - 1 for p in (1 - ONE_SD, ONE_SD))
        ordered = np.sort(x, axis=None)
        above, below = ordered[min(math.ceil(high), x.size - 1)], ordered[max(math.floor(low), 0)]
        return above / 2 - below / 2 if abs(above) > 1e300 or abs(below) > 1e300 else (above - below) / 2

    return _per_coordinate(of_one, draws)


@checked
def autocorrelation(draws: Draws, lags: Count | None = None) -> np.ndarray:
    """Correlation of each chain with itself 0, 1, ... steps later: (chains, lags, d), or (chains, lags).

    `lags` is n unless given. NaN for a chain that never moves. Each sum is divided by n, not by how many terms it has,
    which keeps far lags quiet.
    """
    x = _by_coordinate(draws)
    n = x.shape[-1]
    lags = n if lags is None else min(lags, n)
    z, *_ = centred(x, axis=-1)
    covariance = _autocovariance(z)[..., :lags]
    covariance[~z.any(axis=-1)] = np.nan
    return np.moveaxis(covariance / covariance[..., :1], 0, -1).reshape(len(x[0]), lags, *draws.shape[2:])


class Summary(NamedTuple):
    """Estimates and how far to trust them, each (d,) but for the last two: print it, and it is a table.

    `acceptance_rate` and `divergences` are (chains,), the mean and the count of each chain's steps; None without infos.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    mcse_mean: np.ndarray
    sd: np.ndarray
    mcse_sd: np.ndarray
    q05: np.ndarray
    median: np.ndarray
    q95: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    rhat: np.ndarray
    draws: tuple[int, int]
    acceptance_rate: np.ndarray | None = None
    divergences: np.ndarray | None = None

    def __str__(self) -> str:
        columns = self._fields[1:11]
        rows = [["", *columns]]
        for i, name in enumerate(self.names):
            values = [getattr(self, column)[i] for column in columns]
            rows.append([name, *(f"{v:.4g}" for v in values[:-3]), *(f"{v:.0f}" for v in values[-3:-1])])
            rows[-1].append(f"{values[-1]:.3f}")
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        lines.append("{} chains, {} draws each".format(*self.draws))
        if self.acceptance_rate is not None:
            low, mean, high = (f(self.acceptance_rate) for f in (np.min, np.mean, np.max))
            lines[-1] += f"; acceptance rate {mean:.3f} (chains from {low:.3f} to {high:.3f})"
        return "\n".join([*lines, *self._warnings()])

    def _warnings(self) -> list[str]:
        """What speaks against the draws, one sentence each."""
        unmet = [name for name, value in zip(self.names, self.rhat) if not value <= 1.01]
        least = 100 * self.draws[0]
        few = [name for name, *sizes in zip(self.names, self.ess_bulk, self.ess_tail) if min(sizes) < least]
        found = []
        if unmet:
            found.append(f"R-hat above 1.01, or no R-hat, for {_listed(unmet)}: the chains have not met. Run longer.")
        if few:
            found.append(f"Effective sample size below {least} (100 a chain) for {_listed(few)}: run longer.")
        if self.divergences is not None and self.divergences.any():
            found.append(f"{self.divergences.sum()} divergent steps: what lies beyond is not seen. Take smaller steps.")
        return found


@checked
def summary(draws: Draws, infos: Any = None, names: Sequence[str] | None = None) -> Summary:
    """Means, standard deviations and quantiles with their errors, effective sample sizes, and R-hat; print it.

    `infos` are those that `sample` returned, with `acceptance_rate` and `is_divergent` (chains, n); `names` are those
    of the d coordinates, by default x0, x1, ...

    Sampling is fine when every R-hat is at most 1.01 and every effective sample size at least 100 for each chain
    (Vehtari et al. 2021, section 4); what falls short is said below the table.
    """
    x = _by_coordinate(draws)
    d, chains, n = x.shape
    names = _checked_names(names, d, "summary()")
    z, centre, exponent = centred(x.reshape(d, -1), axis=1)
    q05, median, q95 = np.quantile(x, (0.05, 0.5, 0.95), axis=(1, 2))
    rate, divergent = (_of_infos(infos, name, chains) for name in ("acceptance_rate", "is_divergent"))
    x = np.moveaxis(x, 0, -1)
    return Summary(
        names=names,
        mean=centre[:, 0] + np.ldexp(z.mean(axis=1), exponent[:, 0]),
        mcse_mean=mcse_mean(x),
        sd=np.ldexp(z.std(axis=1, ddof=1), exponent[:, 0]),
        mcse_sd=mcse_sd(x),
        q05=q05,
        median=median,
        q95=q95,
        ess_bulk=ess_bulk(x),
        ess_tail=ess_tail(x),
        rhat=rhat(x),
        draws=(chains, n),
        acceptance_rate=None if rate is None else rate.mean(axis=1, dtype=np.float64),
        divergences=None if divergent is None else divergent.sum(axis=1),
    )


@checked
def to_arviz(draws: Draws, infos: Any = None, names: Sequence[str] | None = None) -> Any:
    """The draws as ArviZ stores them, for its plots: `posterior` with one variable for each name, and `sample_stats`.

    Without `names` there is one variable, x. Of the infos, `is_divergent` is called `diverging` there. Gives a DataTree
    (ArviZ 1), or InferenceData where only an older ArviZ is installed. Raises ImportError where none is.
    """
    posterior = {"x": draws}
    if names is not None:
        columns = draws.reshape(*draws.shape[:2], -1)
        names = _checked_names(names, columns.shape[2], "to_arviz()")
        posterior = {name: columns[:, :, i] for i, name in enumerate(names)}
    groups = {"posterior": posterior}
    if infos is not None:
        stats = {name: _of_infos(infos, name, len(draws)) for name in infos._fields}
        groups["sample_stats"] = {"diverging" if k == "is_divergent" else k: v for k, v in stats.items()}
    try:
        return import_module("arviz_base").from_dict(groups)
    except ImportError:
        pass
    try:
        return import_module("arviz").from_dict(**groups)
    except ImportError:
        raise ImportError("to_arviz() needs ArviZ, which is not installed: pip install arviz") from None


def _checked_names(names: Sequence[str] | None, d: int, caller: str) -> tuple[str, ...]:
    names = tuple(f"x{i}" for i in range(d)) if names is None else tuple(names)
    if len(names) != d or len(set(names)) != d or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{caller} got names={names!r:.80} for draws with {d} coordinates; give {d} different names")
    return names


def _of_infos(infos: Any, name: str, chains: int) -> np.ndarray | None:
    """The array (chains, n) of that name among the infos, if there is one."""
    found = getattr(infos, name, None)
    if found is not None and (np.ndim(found) < 2 or len(found) != chains):
        raise ValueError(
            f"infos.{name} has shape {np.shape(found)} beside draws of {chains} chains; expected ({chains}, n), as "
            "sample() returns them"
        )
    return None if found is None else np.asarray(found)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def centred(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, c and e with x = c + z 2^e, where c is the middle one of the numbers along the axis and |z| at most 1.

    Squares and sums of z are in the range of floats, whatever the unit of x, and lose no digits to its offset: numbers
    near c are taken from each other exactly, and a power of two changes no digit.
    """
    middle = x.shape[axis] // 2
    centre = np.take(np.partition(x, middle, axis=axis), [middle], axis=axis)
    is_wide = np.abs(x).max(axis=axis, keepdims=True) > 1e307  # differences may overflow
    half = np.where(is_wide, 0.5, 1.0)
    difference = x * half - centre * half
    _, exponent = np.frexp(np.abs(difference).max(axis=axis, keepdims=True))
    return np.ldexp(difference, -exponent), centre, exponent + is_wide


def _all_centred(x: np.ndarray) -> tuple[np.ndarray, float, int]:
    """`centred`, of all numbers together."""
    z, centre, exponent = centred(x.ravel(), axis=0)
    return z.reshape(x.shape), centre[0], exponent[0]


def _by_coordinate(draws: np.ndarray) -> np.ndarray:
    """Draws (chains, n, d) or (chains, n) as (d, chains, n)."""
    return np.ascontiguousarray(np.moveaxis(draws.reshape(*draws.shape[:2], -1), -1, 0))


def _per_coordinate(function: Callable[[np.ndarray], float], draws: np.ndarray) -> np.ndarray | float:
    """What the function gives for the draws (chains, n) of each coordinate."""
    found = np.array([function(one) for one in _by_coordinate(draws)], np.float64)
    return found if draws.ndim == 3 else float(found[0])


def _halves(x: np.ndarray) -> np.ndarray:
    """The first and the last half of each chain: (chains, n) to (2 chains, n // 2). Of odd n the middle is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """Each draw's rank among all, turned into a standard normal quantile; Vehtari et al. (2021), equation 14."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # draws that are equal share the mean of their ranks
    shares = (rank - 3 / 8) / (x.size + 1 / 4)
    return np.array([_normal_quantile(share) for share in shares.tolist()])[place.reshape(x.shape)]


_normal_quantile = NormalDist().inv_cdf


def _plain_rhat(x: np.ndarray) -> float:
    """sqrt(var_plus / W): the variance of all chains together by that within each; equations 1 to 4."""
    n = x.shape[1]
    within = np.mean(np.where(np.ptp(x, axis=1) == 0, 0.0, np.var(x, axis=1, ddof=1)))
    between = n * np.var(x.mean(axis=1), ddof=1)
    if within == 0:
        return math.inf if np.ptp(x) > 0 else math.nan
    return math.sqrt((n - 1 + between / within) / n)


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """Of each chain along the last axis, for lags 0 ... n - 1, sums divided by n; by Wiener and Khinchin's theorem."""
    n = x.shape[-1]
    length = 1 << (2 * n - 1).bit_length()  # zeros behind, so that no chain's end meets its beginning
    spectrum = np.fft.rfft(x - x.mean(axis=-1, keepdims=True), length)
    return np.fft.irfft(spectrum.real**2 + spectrum.imag**2, length)[..., :n] / n


def _ess(x: np.ndarray) -> float:
    """Effective sample size of chains (m, n); Vehtari et al. (2021), equations 10 to 13."""
    x, *_ = _all_centred(x)
    if not x.any():
        return float(x.size)
    n = x.shape[1]
    covariance = _autocovariance(x).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (np.var(x.mean(axis=1), ddof=1) if len(x) > 1 else 0.0)  # var_plus
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    # Geyer: sums of neighbours, lags (0, 1), (2, 3), ..., are positive and fall for a true chain. They are added up to
    # the first that is not, made to fall; of the last pair only the first lag is added, and only once.
    pairs = rho[: max(2, (n - 1) // 2 * 2)].reshape(-1, 2)
    sums = pairs.sum(axis=1)
    negative = np.flatnonzero(sums <= 0)
    last = negative[0] if len(negative) else len(sums) - 1
    tail = max(pairs[last, 0], 0.0) if len(negative) else pairs[last, 0]
    tau = -1 + 2 * np.minimum.accumulate(sums[:last]).sum() + tail
    return x.size / max(tau, 1 / math.log10(x.size))


def _ess_mean(x: np.ndarray) -> float:
    return _ess(_halves(x))


def _ess_quantile(x: np.ndarray, probability: float) -> float:
    # As many lie at or below the quantile as at or below the draw under it, which no rounding moves.
    return _ess(_halves((x <= np.quantile(x, probability, method="lower")).astype(np.float64)))


def _beta_quantile(probability: float, a: float, b: float) -> float:
    """Where the distribution function F of Beta(a, b) has this value, for a and b of 1 or more."""
    mean, sd = a / (a + b), math.sqrt(a * b / (a + b + 1)) / (a + b)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    # Both bounds lie left of it: Cantelli's, and the one from (1 - t)^(b - 1) <= 1. From there Newton's steps on log F,
    # which is concave, come nearer without passing it.
    x = max(mean - sd * math.sqrt(1 / probability - 1), math.exp((math.log(probability * a) + log_beta) / a))
    for _ in range(100):
        F = _beta_cdf(x, a, b, log_beta)
        density = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - log_beta)
        step = math.log(probability / F) * F / density
        x += step
        if abs(step) <= 1e-15 * x or step < 0:  # below 0 only by rounding
            break
    return x


def _beta_cdf(x: float, a: float, b: float, log_beta: float) -> float:
    """The regularised incomplete beta function, by its continued fraction: DLMF 8.17.22, with Lentz's method."""
    if x > (a + 1) / (a + b + 2):  # there the fraction converges fast for 1 - x
        return 1 - _beta_cdf(1 - x, b, a, log_beta)
    c, d, fraction = 1.0, 0.0, 1.0
    for k in range(1, 10_000):
        m = k // 2
        if k % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / (1 + term * d)
        c = 1 + term / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / (a * fraction)
