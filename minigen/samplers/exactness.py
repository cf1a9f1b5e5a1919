"""Does a kernel keep the law it is meant to keep? Tests that need no reference run, for kernels of your own too.

A wrong sampler usually gives plausible draws. These tests use that theta from the prior, with data drawn given theta,
is one exact draw from the posterior given those data: a kernel for that posterior must leave it one. A test gives
p-values: for an exact kernel each is uniform on [0, 1], for a wrong one it goes to 0 with more chains. Every chain has
data of its own, so all chains are independent, and only the usual approximations for z and chi^2 are made.

Run them at step sizes where the acceptance rate is 0.4 to 0.8: at a tiny step even a wrong ratio is close to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._support.arguments import Count, Rng, Whole, checked
from .diagnostics import centred

Statistics = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Verdict(NamedTuple):
    """`p_value` of the whole test: the least of the `p_values` (k,) of its statistics, times k (Bonferroni), at most 1.

    `found` is what they were computed from: ranks (n, k), or z-scores (k,), for `joint_test` of means, then of squares.
    """

    p_value: float
    p_values: np.ndarray
    found: np.ndarray


def coordinates_and_log_prob(position: np.ndarray, log_prob: np.ndarray) -> np.ndarray:
    """The statistics taken by default: every coordinate and the log density, (n, d + 1).

    The log density of a posterior holds the log-likelihood of each chain's own data: it shows errors that keep every
    coordinate's distribution, as when the data are not used at all (Modrak et al., 2023).
    """
    return np.column_stack([position, log_prob])


@checked
def rank_test(
    kernel: Any,
    position: ArrayLike,
    rng: Rng,
    *,
    steps: Count = 19,
    thin: Count = 1,
    statistics: Statistics = coordinates_and_log_prob,
) -> Verdict:
    """The rank test of Gandy and Scott: exact for any number of steps, for kernels in detailed balance.

    An exact draw is put at a random place of a chain of `steps` + 1 states and the chain is grown from it both ways; if
    the kernel is right, the place says nothing, and the draw's rank among the states is uniform.

    Parameters
    ----------
    kernel : object with `init(position)` and `step(state, rng)`; a state has `position` (n, d) and `log_prob` (n,).
        The chains are independent, and each may have a law of its own, such as a posterior given its own data.
    position : (n, d), for each chain an exact draw from the law that it must keep.
    thin : steps between two states of the chain.
    statistics : from positions (n, d) and log_prob (n,) to the numbers that are ranked, (n, k).

    Gandy and Scott (2020), "Unit testing for MCMC and other Monte Carlo methods", arXiv 2001.06465, section 3.2.
    """
    start = kernel.init(position)
    first = _statistics(statistics, start)
    place = rng.integers(0, steps + 1, len(first))  # so many states come before the draw
    below, ties = np.zeros((2, *first.shape), np.int64)
    for count in (place, steps - place):
        state = start
        for step in range(1, int(count.max(initial=0)) + 1):
            state = _moved(kernel, state, thin, rng)
            now = _statistics(statistics, state)
            counts = (step <= count)[:, None]
            below += counts & (now < first)
            ties += counts & (now == first)
    return _of_ranks(below + rng.integers(0, ties + 1), steps + 1)


@checked
def joint_test(
    draw_prior: Callable,
    draw_data: Callable,
    kernel_given: Callable,
    rng: Rng,
    *,
    chains: Count = 1000,
    sweeps: Count = 20,
    steps: Count = 1,
    statistics: Statistics = coordinates_and_log_prob,
) -> Verdict:
    """Geweke's joint-distribution test: draw data given theta, move theta given the data, and so on by turns.

    If the kernel is right this keeps the joint law of theta and data, so the means of all statistics and of their
    squares stay those of direct draws; an error is fed back into the data in every sweep, and adds up.

    Parameters
    ----------
    draw_prior : draw_prior(n, rng) gives theta (n, d).
    draw_data : draw_data(theta, rng) gives data (n, ...), row i from the model at theta[i].
    kernel_given : kernel_given(data) gives the kernel whose chain i keeps the posterior given data[i]. It is made anew
        in every sweep: the library's kernels are made faster with `compile=False`. Its log_prob should be that of theta
        and data together, without leaving out what depends on the data.
    chains, sweeps, steps : how many chains, all independent; how often each gets new data, and is moved given them.
    statistics : as for `rank_test`.

    Geweke (2004), "Getting it right: joint distribution tests of posterior simulators".
    """
    theta, moments = np.asarray(draw_prior(chains, rng)), []
    for _ in range(sweeps):
        kernel = kernel_given(draw_data(theta, rng))
        state = _moved(kernel, kernel.init(theta), steps, rng)
        theta = state.position
    moments.append(_statistics(statistics, state))
    theta = np.asarray(draw_prior(chains, rng))
    moments.append(_statistics(statistics, kernel_given(draw_data(theta, rng)).init(theta)))
    return _verdict_on_moments(*moments)


def _verdict_on_moments(simulated: np.ndarray, direct: np.ndarray) -> Verdict:
    """Have the statistics (n, k) of two samples the same means and mean squares? Each by a z-score."""
    n = len(direct)
    with np.errstate(all="ignore"):
        z, *_ = centred(np.concatenate([simulated, direct]), axis=0)  # in a unit and from an origin of its own
        z = z - z[n:].mean(axis=0)
        there, here = (np.column_stack([part, part**2]) for part in (z[:n], z[n:]))
        variance = (there.var(axis=0) + here.var(axis=0)) / max(1, n - 1)
        difference = there.mean(axis=0) - here.mean(axis=0)
        z = np.divide(difference, np.sqrt(variance), out=np.zeros(len(difference)), where=variance != 0)
    z[np.isnan(z)] = np.inf  # chains that ran away
    return _verdict(np.array([math.erfc(abs(each) / math.sqrt(2)) for each in z]), z)


@checked
def simulation_based_calibration(
    draw_prior: Callable,
    draw_data: Callable,
    kernel_given: Callable,
    rng: Rng,
    *,
    chains: Count = 1000,
    draws: Count = 19,
    warmup: Whole = 200,
    thin: Count = 10,
    start: Callable | None = None,
    statistics: Statistics = coordinates_and_log_prob,
) -> Verdict:
    """Simulation-based calibration: the rank of the true theta among posterior draws given its data must be uniform.

    Unlike `rank_test` this tests the whole use of a sampler, its start and its warm-up too, and holds only as far as
    the draws are nearly independent: correlated ones give too many ranks at the ends, so raise `thin` before you
    complain.

    Parameters
    ----------
    draw_prior, draw_data, kernel_given : as for `joint_test`; the kernel is made once.
    chains : how many pairs of theta and data, with one chain each.
    draws, warmup, thin : posterior draws that each theta is ranked among, the steps before and between them.
    start : start(n, rng) gives where the chains start, (n, d); default: draws from the prior, not the true theta.
    statistics : as for `rank_test`; the log density is one of them by default.

    Talts et al. (2018), "Validating Bayesian inference algorithms with simulation-based calibration"; Modrak et al.
    (2023), "Simulation-based calibration checking for Bayesian computation: the choice of test quantities".
    """
    theta = np.asarray(draw_prior(chains, rng))
    kernel = kernel_given(draw_data(theta, rng))
    truth = _statistics(statistics, kernel.init(theta))
    state = _moved(kernel, kernel.init((start or draw_prior)(chains, rng)), warmup, rng)
    below, ties = np.zeros((2, *truth.shape), np.int64)
    for _ in range(draws):
        state = _moved(kernel, state, thin, rng)
        now = _statistics(statistics, state)
        below += now < truth
        ties += now == truth
    return _of_ranks(below + rng.integers(0, ties + 1), draws + 1)


@checked
def uniformity(ranks: ArrayLike, values: Count) -> float:
    """p-value of the chi^2 test that `ranks` (n,) are uniform on 0 ... values - 1, at least 10 expected in a bin.

    Raises ValueError if they are too few, or not of these values.
    """
    ranks = np.asarray(ranks)
    if ranks.ndim != 1 or ranks.dtype.kind not in "iu" or not np.all((ranks >= 0) & (ranks < values)):
        raise ValueError(f"uniformity() got ranks of shape {ranks.shape}; expected (n,) whole numbers below {values}")
    bins = min(values, len(ranks) // 10)
    bins -= 1 - bins % 2  # for an odd number of bins the chi^2 distribution has a closed form
    if bins < 3:
        raise ValueError(f"uniformity() got {len(ranks)} ranks of {values} values; at least 30 of 3 tell something")
    edges = np.round(np.linspace(0, values, bins + 1))
    counts, _ = np.histogram(ranks, edges - 0.5)
    expected = len(ranks) * np.diff(edges) / values
    half = float(np.sum((counts - expected) ** 2 / expected)) / 2
    if half == 0:
        return 1.0
    # P(chi^2 > 2 half) with an even number of degrees is a sum of Poisson terms, half^j e^-half / j!, added up as
    # logarithms: e^-half alone is 0 for a thousand bins.
    log_terms = [j * math.log(half) - half - math.lgamma(j + 1) for j in range((bins - 1) // 2)]
    return min(1.0, math.exp(np.logaddexp.reduce(log_terms)))


def _moved(kernel: Any, state: Any, steps: int, rng: np.random.Generator) -> Any:
    """The state after so many steps."""
    for _ in range(steps):
        state = kernel.step(state, rng)[0]
    return state


def _statistics(statistics: Statistics, state: Any) -> np.ndarray:
    n, values = len(state.position), np.asarray(statistics(state.position, state.log_prob), np.float64)
    if values.ndim != 2 or len(values) != n:
        raise ValueError(f"statistics gave shape {values.shape} for {n} chains; expected ({n}, k)")
    return values


def _of_ranks(ranks: np.ndarray, values: int) -> Verdict:
    return _verdict(np.array([uniformity(each, values) for each in ranks.T]), ranks)


def _verdict(p_values: np.ndarray, found: np.ndarray) -> Verdict:
    return Verdict(min(1.0, float(p_values.min()) * len(p_values)), p_values, found)
