"""How far apart are two distributions: by their values on a grid, by a critic, or by samples alone?

On a grid, `p` and `q` are arrays of one shape: probabilities of sum 1, or densities at evenly spaced points, of which
`spacing` is the step (in more dimensions the volume of a cell), so that sum(p) spacing is 1. Values are in nats.
0 log 0 is 0; a KL divergence is inf where its first argument has probability and its second has none. Sums of terms
that are never negative stay so in rounding: nothing cancels where p and q nearly agree, and nothing underflows.

From samples, `x` is (n, d) and `y` is (m, d); distances are of differences, in a unit near their size, so that neither
the unit nor the offset of the samples costs digits. All results are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np

from . import ops
from ._support.arguments import ArrayKind, Column, Count, Kind, Positive, Rng, Rows, checked, is_number, one_of
from ._support.arrays import as_floats
from .tape import Tensor
from .watching import live_check

BLOCK = 1 << 17  # pairs of points held at once: 1 MB of distances
FEW_FEATURES = 3  # up to which differences are as fast as a matrix product
MEDIAN_POINTS = 1000
LN_2 = math.log(2)
FLOATS = (np.float32, np.float64)


def _as_densities(values, name: str, caller: str) -> np.ndarray:
    values = as_floats(values, name, caller)
    if not np.all((values >= 0) & (values < math.inf)):
        raise ValueError(f"{caller} got {name} with numbers that are negative, NaN or inf; expected densities")
    return values


Densities = Annotated[Any, ArrayKind(_as_densities)]  # of any shape, 0 or more
Order = Annotated[float, Kind("a number of 1 or more", lambda x: is_number(x) and 1 <= x < math.inf)]


# On a grid ------------------------------------------------------------------------------------------------------------


@checked
def entropy(p: Densities, spacing: Positive = 1.0) -> float:
    """-sum p log p, times the spacing. Of a density it can be negative, and depends on the unit."""
    _check_total(p, spacing, "p", "entropy()")
    return 0.0 - float(np.sum(_times_log(p * spacing, p)))


@checked
def cross_entropy(p: Densities, q: Densities, spacing: Positive = 1.0) -> float:
    """-sum p log q, times the spacing: entropy(p) + kl(p, q). inf where q is 0 and p is not."""
    _check_grid(p, q, spacing, "cross_entropy()")
    return 0.0 - float(np.sum(_times_log(p * spacing, q)))


@checked
def kl(p: Densities, q: Densities, spacing: Positive = 1.0) -> float:
    """Kullback-Leibler divergence of q from p, KL(p || q) = sum p log(p / q), times the spacing; kl(q, p) differs."""
    return _divergence("kl", p, q, spacing, "kl()")


@checked
def jensen_shannon(p: Densities, q: Densities, spacing: Positive = 1.0) -> float:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2: between 0 and ln 2, which it is where nothing overlaps."""
    return _divergence("js", p, q, spacing, "jensen_shannon()")


@checked
def total_variation(p: Densities, q: Densities, spacing: Positive = 1.0) -> float:
    """Half of sum |p - q|, times the spacing: between 0 and 1, the largest difference of the probability of any set."""
    return _divergence("tv", p, q, spacing, "total_variation()")


@checked
def f_divergence(name: Name, p: Densities, q: Densities, spacing: Positive = 1.0) -> float:
    """D(p || q) = sum q f(p / q), times the spacing, for a name of F_DIVERGENCES; may be inf where p or q is 0.

    Where q is 0, q f(p / q) is its limit, p times the slope of f at infinity. None but "gan" is ever negative.

    Source: Csiszar, Studia Scientiarum Mathematicarum Hungarica 2, 299 (1967).
    """
    return _divergence(name, p, q, spacing, "f_divergence()")


class FDivergence(NamedTuple):
    """What makes one f-divergence D(p || q) = sum q f(p / q), with a convex f.

    Attributes
    ----------
    excess : (p, q) -> q (f(p / q) - slope (p / q - 1)), also where p or q is 0 but not both.
    critic : (p, q) -> f'(p / q), the best critic.
    conjugate : t -> f*(t) = sup_u (u t - f(u)), of arrays or tensors.
    lowest, highest : the closed interval of critics t for which f*(t) is finite, or its limits.
    slope : what is taken off f for `excess` to be never negative; p and q of one sum make nothing of it.
    """

    excess: Callable
    critic: Callable
    conjugate: Callable
    lowest: float
    highest: float
    slope: float = 0.0

    def perspective(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """q f(p / q), also where p or q is 0 but not both; f(u) is perspective(u, 1)."""
        return self.excess(p, q) + self.slope * (p - q)


def _times_log(p, q):
    """p log q, and 0 where p is 0."""
    with np.errstate(divide="ignore"):
        return np.where(p > 0, p * np.log(np.where(p > 0, q, 1.0)), 0.0)


def _excess_kl(p, q):
    """p log(p / q) - p + q, which is q where p is 0, and inf where q is 0 and p is not."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        step = (q - p) / p
        near = np.abs(step) < 0.25
        far = p * _log_ratio(p, q) + (q - p)
    far = np.where(p > 0, far, q)
    # With s = (q - p) / (q + p), log(q / p) is 2 artanh(s), and step - 2 s is step s.
    s = np.where(near, (q - p) / np.where(near, q + p, 1.0), 0.0)
    square = np.square(s)
    series = _horner(square, [2 / (2 * k + 1) for k in range(1, 11)])
    return np.where(near, p * (s * (np.where(near, step, 0.0) - square * series)), far)


def _horner(x, coefficients):
    """c0 + c1 x + c2 x^2 + ..."""
    total = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


def _excess_js(p, q):
    """p log(p / m) + q log(q / m) with m = (p + q) / 2, which may underflow and is not formed."""
    more, less = np.maximum(p, q), np.minimum(p, q)
    ratio = less / more
    far = more * (1 + ratio) * (LN_2 - np.log1p(ratio)) + less * np.where(less > 0, _log_ratio(less, more), 0.0)
    # (1 + r) log(1 + r) + (1 - r) log(1 - r) with r = (p - q) / (p + q)
    r = np.where(ratio > 0.3, (more - less) / more / (1 + ratio), 0.0)
    near = more * ((1 + ratio) / 2) * (2 * r * np.arctanh(r) + np.log1p(-np.square(r)))
    return np.where(ratio > 0.3, near, far)


def _log_ratio(p, q):
    """log(p / q) to rounding: also where p is nearly q, and where the ratio itself would over- or underflow."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = p / q
        near = (ratio > 0.5) & (ratio < 2)
        plain = (ratio > 1e-300) & (ratio < 1e300)
        logs = np.where(plain, np.log(ratio), np.log(p) - np.log(q))
    return np.where(near, np.log1p(np.where(near, (p - q) / np.where(near, q, 1.0), 0.0)), logs)


def _log_share(p, q):
    """log(2 p / (p + q)), to rounding also where p is nearly q."""
    apart = np.where(p > q / 4, (p - q) / (p + q), 0.0)
    return np.where(p > q / 4, np.log1p(apart), LN_2 - np.logaddexp(0.0, _log_ratio(q, p)))


# f-divergences by name; in brackets f(u).
F_DIVERGENCES = {
    # [u log u]
    "kl": FDivergence(
        _excess_kl,
        lambda p, q: 1 + _log_ratio(p, q),
        lambda t: ops.exp(t - 1.0),
        -math.inf,
        math.inf,
        slope=1.0,
    ),
    # [-log u]
    "reverse_kl": FDivergence(
        lambda p, q: _excess_kl(q, p),
        lambda p, q: -q / p,
        lambda t: -1.0 - ops.log(-t),
        -math.inf,
        0.0,
        slope=-1.0,
    ),
    # [(u log u - (u + 1) log((u + 1) / 2)) / 2], the Jensen-Shannon divergence
    "js": FDivergence(
        lambda p, q: _excess_js(p, q) / 2,
        lambda p, q: _log_share(p, q) / 2,
        # -log(2 - exp(2 t)) / 2, without a difference that rounds below 0
        lambda t: (ops.log(-ops.expm1(t * 2.0 - LN_2)) + LN_2) * -0.5,
        -math.inf,
        LN_2 / 2,
    ),
    # [u log u - (u + 1) log(u + 1)], what a GAN's discriminator estimates: 2 JS - log 4, so -log 4 for p = q
    "gan": FDivergence(
        lambda p, q: _excess_js(p, q) - LN_2 * p - LN_2 * q,
        lambda p, q: _log_share(p, q) - LN_2,
        lambda t: -ops.log(-ops.expm1(t)),
        -math.inf,
        0.0,
    ),
    # [(u - 1)^2]; f* is that of f on all numbers, not only u >= 0
    "pearson": FDivergence(
        lambda p, q: (p - q) * ((p - q) / q),
        lambda p, q: 2 * ((p - q) / q),
        lambda t: ops.square(t) * 0.25 + t,
        -math.inf,
        math.inf,
    ),
    # [(u - 1)^2 / u]
    "neyman": FDivergence(
        lambda p, q: (p - q) * ((p - q) / p),
        lambda p, q: (p - q) / p * (1 + q / p),
        lambda t: 2.0 - 2.0 * ops.sqrt(1.0 - t),
        -math.inf,
        1.0,
    ),
    # [(sqrt(u) - 1)^2], the squared Hellinger distance without the factor 1/2: between 0 and 2
    "hellinger": FDivergence(
        lambda p, q: np.square((p - q) / (np.sqrt(p) + np.sqrt(q))),
        lambda p, q: (p - q) / (np.sqrt(p) * (np.sqrt(p) + np.sqrt(q))),
        lambda t: 1.0 / (1.0 - t) - 1.0,
        -math.inf,
        1.0,
    ),
    # [|u - 1| / 2]
    "tv": FDivergence(
        lambda p, q: np.abs(p - q) / 2,
        lambda p, q: np.sign(p - q) / 2,
        lambda t: t,
        -0.5,
        0.5,
    ),
}
Name = Annotated[str, one_of(F_DIVERGENCES)]


def _divergence(name: str, p, q, spacing: float, caller: str) -> float:
    _check_grid(p, q, spacing, caller)
    family = F_DIVERGENCES[name]
    p, q = p * spacing, q * spacing  # probabilities, which cannot overflow
    some = (p > 0) | (q > 0)
    with np.errstate(divide="ignore", over="ignore"):
        total = float(np.sum(family.excess(p[some], q[some])))
    if not family.slope:
        return total
    surplus = float(np.sum(p) - np.sum(q))
    if abs(surplus) < 1e-12:  # rounding of sums that are equal
        return total
    return max(0.0, total + family.slope * surplus)


@checked
def optimal_critic(name: Name, p: Densities, q: Densities) -> np.ndarray:
    """f'(p / q) in the shape of p and q: the critic for which `variational_bound` is D(p || q).

    Only the ratio matters, so no normalisation is asked for. It may be infinite where p or q is 0, and is NaN where
    both are.
    """
    _check_pair(p, q, "optimal_critic()")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return F_DIVERGENCES[name].critic(p, q)


@checked
def variational_bound(name: Name, critic_on_p: Any, critic_on_q: Any) -> float | Tensor:
    """E_p[T] - E_q[f*(T)], never above D(p || q) in expectation, and equal to it for `optimal_critic`.

    The critic T is given by its values at samples of p and at samples of q, arrays or tensors of any shape: of tensors
    the bound is a tensor, to be maximised by the critic and minimised by a generator.

    Raises ValueError for values at which f* is infinite, beyond `lowest` or `highest` of the divergence. A network's
    free output v keeps below `highest` as `highest - softplus(-v)`, and for "tv" as `tanh(v) / 2`.

    Source: Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 4 and table 2.
    """
    on_p = _critic(critic_on_p, "critic_on_p", name)
    on_q = _critic(critic_on_q, "critic_on_q", name)
    return ops.mean(on_p) - ops.mean(F_DIVERGENCES[name].conjugate(on_q))


def _critic(values, which: str, name: str):
    if type(values) is not Tensor and not (isinstance(values, np.ndarray) and values.dtype in FLOATS):
        values = as_floats(values, which, "variational_bound()")
    live_check(_check_critic, values.data if type(values) is Tensor else values, which, name)
    return values


# From samples ---------------------------------------------------------------------------------------------------------


@checked
def energy_distance(x: Rows, y: Rows) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| over all pairs of the samples: 0 for equal ones, never below.

    It is the squared distance of the characteristic functions, suitably weighted; some programs give its square root.
    Pairs of a point with itself count, so for samples of one distribution it is slightly above 0 on average.

    Source: Szekely and Rizzo, Journal of Statistical Planning and Inference 143, 1249 (2013), equation 6.1.
    """
    unit, x, y = _in_their_unit(x, y, "energy_distance()")
    n, m = len(x), len(y)
    within = _sum_of_pairs(x, x, np.sqrt) / n**2 + _sum_of_pairs(y, y, np.sqrt) / m**2
    return max(0.0, 2 * _sum_of_pairs(x, y, np.sqrt) / (n * m) - within) * unit


@checked
def median_heuristic(x: Rows, y: Rows) -> float:
    """A bandwidth for `mmd_squared`: the median distance between two points of both samples together.

    Of more than 1000 points every k-th is taken, so that about 1000 remain. Raises ValueError where it is 0.

    Source: Gretton et al., Journal of Machine Learning Research 13, 723 (2012), section 8.
    """
    unit, *units = _in_their_unit(x, y, "median_heuristic()")
    points = np.concatenate(units)
    points = points[:: -(-len(points) // MEDIAN_POINTS)]
    pairs = np.triu_indices(len(points), 1)
    median = np.median(np.sqrt(_squared_distances(points, points)[pairs]))
    if median == 0:  # of equal points, or of such as are near in the unit of one that is far away
        distances = np.zeros((len(points), len(points)))
        for column in points.T:
            distances = np.hypot(distances, np.subtract.outer(column, column))
        median = np.median(distances[pairs])
    median = float(median) * unit
    if not median > 0:
        raise ValueError(
            f"median_heuristic() got {len(x)} and {len(y)} points of which at least half the pairs coincide; give "
            "mmd_squared() a bandwidth"
        )
    return median


@checked
def mmd_squared(x: Rows, y: Rows, bandwidth: Positive | None = None) -> float:
    """Squared maximum mean discrepancy E k(x, x') + E k(y, y') - 2 E k(x, y), estimated without bias.

    The kernel is k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)); the bandwidth is the median heuristic's unless given.
    For samples of one distribution the estimate is 0 on average, so it is negative about every other time.

    Raises ValueError for fewer than two points in a sample.

    Source: Gretton et al., Journal of Machine Learning Research 13, 723 (2012), equation 3.
    """
    _check_widths(x, y, "mmd_squared()")
    n, m = len(x), len(y)
    if min(n, m) < 2:
        raise ValueError(f"mmd_squared() got {n} and {m} points; it needs at least 2 points of each")
    if bandwidth is None:
        bandwidth = median_heuristic(x, y)
    kernel = lambda squares: np.exp(squares * -0.5)  # exp(-inf) is the 0 that a narrow kernel has far away
    # A point with itself has kernel 1; such pairs are left out.
    within_x = (_sum_of_pairs(x, x, kernel, bandwidth) - n) / (n * (n - 1))
    within_y = (_sum_of_pairs(y, y, kernel, bandwidth) - m) / (m * (m - 1))
    return within_x + within_y - 2 * _sum_of_pairs(x, y, kernel, bandwidth) / (n * m)


@checked
def wasserstein_1d(x: Column, y: Column, order: Order = 2) -> float:
    """Wasserstein distance of samples x (n,) and y (m,) on a line, exact for any n and m.

    (integral over the levels u of |F_x^-1(u) - F_y^-1(u)|^order)^(1 / order): sorted values are moved to sorted values.

    Source: Villani, "Topics in Optimal Transportation" (2003), theorem 2.18.
    """
    unit, x, y = _in_their_unit(x[:, None], y[:, None], "wasserstein_1d()")
    return _distance_on_line(x[:, 0], y[:, 0], _levels(len(x), len(y)), order) * unit


@checked
def sliced_wasserstein(x: Rows, y: Rows, *, rng: Rng, directions: Count = 100, order: Order = 2) -> float:
    """Wasserstein distance of x (n, d) and y (m, d) along random directions: (mean of W^order)^(1 / order).

    The directions are uniform on the sphere. Samples that differ by a shift of length r are about r / sqrt(d)
    apart for order 2.

    Source: Bonneel et al., Journal of Mathematical Imaging and Vision 51, 22 (2015), definition 7.
    """
    unit, x, y = _in_their_unit(x, y, "sliced_wasserstein()")
    x, y = x - y[0], y - y[0]  # a product of what is far from the origin loses digits
    levels = _levels(len(x), len(y))
    along = rng.standard_normal((directions, x.shape[1]))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    distances = [_distance_on_line(x @ direction, y @ direction, levels, order) for direction in along]
    return _power_mean(np.array(distances), np.full(directions, 1 / directions), order) * unit


def _levels(n: int, m: int):
    """Where the quantile functions of n and of m values step: widths (k,) of the pieces, and what each has there."""
    # In units of 1 / (n m), whole numbers: i m for one sample and j n for the other.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n


def _distance_on_line(x, y, levels, order) -> float:
    """(Integral of |F_x^-1 - F_y^-1|^order over the levels)^(1 / order), for values (n,) and (m,)."""
    width, of_x, of_y = levels
    return _power_mean(np.abs(np.sort(x)[of_x] - np.sort(y)[of_y]), width, order)


def _power_mean(values, weights, order) -> float:
    """(sum of weights values^order)^(1 / order), the greatest value taken out, so that no power leaves the numbers."""
    greatest = values.max()
    if greatest == 0:
        return 0.0
    return float(np.sum(weights * (values / greatest) ** order) ** (1 / order) * greatest)


def _in_their_unit(x, y, caller: str):
    """A unit near the size of the samples, a power of 2, and both in it: differences and squares do not overflow."""
    _check_widths(x, y, caller)
    exponent = np.frexp(max(np.abs(x).max(), np.abs(y).max()))[1]
    unit = float(np.ldexp(1.0, exponent - 1))
    return unit, x / unit, y / unit


def _squared_distances(x, y, scale: float = 1.0):
    """|x_i - y_j|^2 / scale^2, (n, m), right to 1e-13: of differences where |x|^2 + |y|^2 - 2 x y would lose digits."""
    if x.shape[1] <= FEW_FEATURES:
        squares = np.zeros((len(x), len(y)))
        for of_x, of_y in zip(x.T, y.T):
            squares += np.square(np.subtract.outer(of_x, of_y) / scale)
        return squares
    middle = y.mean(axis=0)
    apart_x, apart_y = (x - middle) / scale, (y - middle) / scale
    sizes = np.add.outer(np.sum(np.square(apart_x), axis=1), np.sum(np.square(apart_y), axis=1))
    squares = sizes - 2 * (apart_x @ apart_y.T)
    near = np.flatnonzero(~(squares >= 0.01 * sizes))  # or so far that these overflow
    for some in np.array_split(near, 1 + len(near) * x.shape[1] // BLOCK):
        i, j = np.divmod(some, len(y))
        squares.flat[some] = np.sum(np.square((x[i] - y[j]) / scale), axis=1)
    return squares


def _sum_of_pairs(x, y, function, scale: float = 1.0) -> float:
    """Sum of a function of the squared distance, in units of `scale`, over all pairs, some rows at a time."""
    rows = max(1, BLOCK // len(y))
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            np.sum(function(_squared_distances(x[start : start + rows], y, scale))) for start in range(0, len(x), rows)
        ]
    return math.fsum(parts)


# Checks ---------------------------------------------------------------------------------------------------------------


def _check_widths(x, y, caller: str) -> None:
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"{caller} got samples of shapes {x.shape} and {y.shape}; expected (n, d) and (m, d)")


def _check_pair(p, q, caller: str) -> None:
    if p.shape != q.shape:
        raise ValueError(f"{caller} got p of shape {p.shape} and q of shape {q.shape}; expected one shape")


def _check_grid(p, q, spacing: float, caller: str) -> None:
    _check_pair(p, q, caller)
    _check_total(p, spacing, "p", caller)
    _check_total(q, spacing, "q", caller)


def _check_total(values, spacing: float, name: str, caller: str) -> None:
    total = np.sum(values * spacing)
    # Wide enough for a density whose tails the grid cuts off, or that it samples coarsely.
    if not abs(total - 1) < 1e-3:
        raise ValueError(
            f"{caller} got {name} of sum times spacing {total:.6g}; expected 1: give the spacing of the grid, "
            "widen it, or divide by that sum"
        )


def _check_critic(values, which: str, name: str) -> None:
    lowest, highest = F_DIVERGENCES[name].lowest, F_DIVERGENCES[name].highest
    if not values.size:
        raise ValueError(f"variational_bound() got {which} without values; give at least one")
    if not (np.min(values) >= lowest and np.max(values) <= highest):
        raise ValueError(
            f"variational_bound() got {which} from {np.min(values)} to {np.max(values)}; for {name!r} expected "
            f"values from {lowest} to {highest}: pass the critic through highest - softplus(-v)"
            f"{', or tanh(v) / 2' if name == 'tv' else ''}"
        )
