"""How far apart are two distributions: by their values on a grid, by a critic, or by samples alone?

On a grid, `p` and `q` are arrays of one shape: probabilities of sum 1, or densities at evenly spaced points, of which
`spacing` is the step (in more dimensions the volume of a cell), so that sum(p) spacing is 1. Values are in nats.
0 log 0 is 0; a KL divergence is inf where its first argument has probability and its second has none. From samples, `x`
is (n, d) and `y` is (m, d). All results are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from . import ops
from ._support.arguments import check_positive, check_rng, check_size, is_number
from .tape import Tensor
from .watching import act

BLOCK = 1 << 20  # pairs of points held at once: 8 MB of distances
MEDIAN_POINTS = 1000
LN_2 = math.log(2)


def entropy(p, spacing: float = 1.0) -> float:
    """-sum p log p, times the spacing. Of a density it can be negative, and depends on the unit."""
    (p,) = _on_grid("entropy()", spacing, p=p)
    return float(-np.sum(_times_log(p, p)) * spacing)


def cross_entropy(p, q, spacing: float = 1.0) -> float:
    """-sum p log q, times the spacing: entropy(p) + kl(p, q). inf where q is 0 and p is not."""
    p, q = _on_grid("cross_entropy()", spacing, p=p, q=q)
    return float(-np.sum(_times_log(p, q)) * spacing)


def kl(p, q, spacing: float = 1.0) -> float:
    """Kullback-Leibler divergence of q from p, KL(p || q) = sum p log(p / q), times the spacing; kl(q, p) differs."""
    return f_divergence("kl", p, q, spacing)


def jensen_shannon(p, q, spacing: float = 1.0) -> float:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2: between 0 and ln 2, which it is where nothing overlaps."""
    return f_divergence("js", p, q, spacing)


def total_variation(p, q, spacing: float = 1.0) -> float:
    """Half of sum |p - q|, times the spacing: between 0 and 1, the largest difference of the probability of any set."""
    return f_divergence("tv", p, q, spacing)


class FDivergence(NamedTuple):
    """What makes one f-divergence D(p || q) = sum q f(p / q), with a convex f.

    Attributes
    ----------
    perspective : (p, q) -> q f(p / q), also where p or q is 0 but not both; f(u) is perspective(u, 1).
    critic : (p, q) -> f'(p / q), the best critic.
    conjugate : t -> f*(t) = sup_u (u t - f(u)), of arrays or tensors.
    lowest, highest : the closed interval of critics t for which f*(t) is finite, or its limits.
    """

    perspective: Callable
    critic: Callable
    conjugate: Callable
    lowest: float
    highest: float


def _times_log(p, q):
    """p log q, and 0 where p is 0."""
    with np.errstate(divide="ignore"):
        return np.where(p > 0, p * np.log(np.where(p > 0, q, 1.0)), 0.0)


def _times_log_ratio(p, q):
    """p log(p / q), and 0 where p is 0. The ratio itself might overflow."""
    return _times_log(p, p) - _times_log(p, q)


# f-divergences by name; in brackets f(u).
F_DIVERGENCES = {
    # [u log u]
    "kl": FDivergence(
        _times_log_ratio,
        lambda p, q: 1 + np.log(p) - np.log(q),
        lambda t: ops.exp(ops.subtract(t, 1.0)),
        -math.inf,
        math.inf,
    ),
    # [-log u]
    "reverse_kl": FDivergence(
        lambda p, q: _times_log_ratio(q, p),
        lambda p, q: -q / p,
        lambda t: ops.subtract(-1.0, ops.log(ops.negative(t))),
        -math.inf,
        0.0,
    ),
    # [(u log u - (u + 1) log((u + 1) / 2)) / 2], the Jensen-Shannon divergence
    "js": FDivergence(
        lambda p, q: (_times_log_ratio(p, (p + q) / 2) + _times_log_ratio(q, (p + q) / 2)) / 2,
        lambda p, q: (LN_2 + np.log(p / (p + q))) / 2,
        # -log(2 - exp(2 t)) / 2, without a difference that rounds below 0
        lambda t: ops.multiply(
            ops.add(ops.log(ops.negative(ops.expm1(ops.subtract(ops.multiply(t, 2.0), LN_2)))), LN_2), -0.5
        ),
        -math.inf,
        LN_2 / 2,
    ),
    # [u log u - (u + 1) log(u + 1)], what a GAN's discriminator estimates: 2 JS - log 4, so -log 4 for p = q
    "gan": FDivergence(
        lambda p, q: _times_log_ratio(p, p + q) + _times_log_ratio(q, p + q),
        lambda p, q: np.log(p / (p + q)),
        lambda t: ops.negative(ops.log(ops.negative(ops.expm1(t)))),
        -math.inf,
        0.0,
    ),
    # [(u - 1)^2]; f* is that of f on all numbers, not only u >= 0
    "pearson": FDivergence(
        lambda p, q: np.square(p - q) / q,
        lambda p, q: 2 * (p / q - 1),
        lambda t: ops.add(ops.multiply(ops.square(t), 0.25), t),
        -math.inf,
        math.inf,
    ),
    # [(u - 1)^2 / u]
    "neyman": FDivergence(
        lambda p, q: np.square(p - q) / p,
        lambda p, q: 1 - np.square(q / p),
        lambda t: ops.subtract(2.0, ops.multiply(ops.sqrt(ops.subtract(1.0, t)), 2.0)),
        -math.inf,
        1.0,
    ),
    # [(sqrt(u) - 1)^2], the squared Hellinger distance without the factor 1/2: between 0 and 2
    "hellinger": FDivergence(
        lambda p, q: np.square(np.sqrt(p) - np.sqrt(q)),
        lambda p, q: 1 - np.sqrt(q / p),
        lambda t: ops.subtract(ops.divide(1.0, ops.subtract(1.0, t)), 1.0),
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


def f_divergence(name: str, p, q, spacing: float = 1.0) -> float:
    """D(p || q) = sum q f(p / q), times the spacing, for a name of F_DIVERGENCES; may be inf where p or q is 0.

    Where q is 0, q f(p / q) is its limit, p times the slope of f at infinity.

    Source: Csiszar, Studia Scientiarum Mathematicarum Hungarica 2, 299 (1967).
    """
    p, q = _on_grid("f_divergence()", spacing, p=p, q=q)
    some = (p > 0) | (q > 0)
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.sum(_family(name).perspective(p[some], q[some])) * spacing)


def optimal_critic(name: str, p, q) -> np.ndarray:
    """f'(p / q) in the shape of p and q: the critic for which `variational_bound` is D(p || q).

    Only the ratio matters, so no normalisation is asked for. It may be infinite where p or q is 0, and is NaN where
    both are.
    """
    p, q = _pair(p, q, "optimal_critic()", "p", "q")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _family(name).critic(p, q)


def variational_bound(name: str, critic_on_p, critic_on_q):
    """E_p[T] - E_q[f*(T)], never above D(p || q) in expectation, and equal to it for `optimal_critic`.

    The critic T is given by its values at samples of p and at samples of q, arrays or tensors of any shape: of tensors
    the bound is a tensor, to be maximised by the critic and minimised by a generator.

    Raises ValueError for values at which f* is infinite, beyond `lowest` or `highest` of the divergence. A network's
    free output v keeps below `highest` as `highest - softplus(-v)`, and for "tv" as `tanh(v) / 2`.

    Source: Nowozin, Cseke and Tomioka, "f-GAN" (2016), equation 4 and table 2.
    """
    family = _family(name)
    values = []
    for critic, which in ((critic_on_p, "critic_on_p"), (critic_on_q, "critic_on_q")):
        critic = critic if isinstance(critic, (Tensor, np.ndarray)) else np.asarray(critic, float)
        act(_check_critic, critic.data if type(critic) is Tensor else critic, which, name)
        values.append(critic)
    return ops.mean(values[0]) - ops.mean(family.conjugate(values[1]))


def energy_distance(x, y) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| over all pairs of the samples: 0 for equal ones, never below.

    It is the squared distance of the characteristic functions, suitably weighted; some programs give its square root.
    Pairs of a point with itself count, so for samples of one distribution it is slightly above 0 on average.

    Source: Szekely and Rizzo, Journal of Statistical Planning and Inference 143, 1249 (2013), equation 6.1.
    """
    x, y = _samples(x, y, "energy_distance()", 1)
    n, m = len(x), len(y)
    within = _sum_of_pairs(x, x, np.sqrt) / n**2 + _sum_of_pairs(y, y, np.sqrt) / m**2
    return max(0.0, 2 * _sum_of_pairs(x, y, np.sqrt) / (n * m) - within)


def median_heuristic(x, y) -> float:
    """A bandwidth for `mmd_squared`: the median distance between two points of both samples together.

    Of more than 1000 points every k-th is taken, so that about 1000 remain. Raises ValueError where it is 0.

    Source: Gretton et al., Journal of Machine Learning Research 13, 723 (2012), section 8.
    """
    x, y = _samples(x, y, "median_heuristic()", 1)
    points = np.concatenate([x, y])
    points = points[:: -(-len(points) // MEDIAN_POINTS)]
    distances = np.sqrt(_squared_distances(points, points)[np.triu_indices(len(points), 1)])
    median = float(np.median(distances))
    # The squares above are right to about 1e-16 of the largest; equal points may come out that far apart.
    if not median > 1e-7 * distances.max():
        raise ValueError(
            f"median_heuristic() got {len(x)} and {len(y)} points of which at least half the pairs coincide; give "
            "mmd_squared() a bandwidth"
        )
    return median


def mmd_squared(x, y, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy E k(x, x') + E k(y, y') - 2 E k(x, y), estimated without bias.

    The kernel is k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)); the bandwidth is the median heuristic's unless given.
    For samples of one distribution the estimate is 0 on average, so it is negative about every other time.

    Raises ValueError for fewer than two points in a sample.

    Source: Gretton et al., Journal of Machine Learning Research 13, 723 (2012), equation 3.
    """
    x, y = _samples(x, y, "mmd_squared()", 2)
    if bandwidth is None:
        bandwidth = median_heuristic(x, y)
    check_positive(bandwidth, "bandwidth", "mmd_squared()")
    n, m = len(x), len(y)

    def kernel(squares):
        with np.errstate(over="ignore"):  # exp(-inf) is the 0 that a narrow kernel has there
            return np.exp(squares / bandwidth / bandwidth / -2)

    # A point with itself has kernel 1; such pairs are left out.
    within_x = (_sum_of_pairs(x, x, kernel) - n) / (n * (n - 1))
    within_y = (_sum_of_pairs(y, y, kernel) - m) / (m * (m - 1))
    return within_x + within_y - 2 * _sum_of_pairs(x, y, kernel) / (n * m)


def wasserstein_1d(x, y, order: float = 2) -> float:
    """Wasserstein distance of samples x (n,) and y (m,) on a line, exact for any n and m.

    (integral over the levels u of |F_x^-1(u) - F_y^-1(u)|^order)^(1 / order): sorted values are moved to sorted values.

    Source: Villani, "Topics in Optimal Transportation" (2003), theorem 2.18.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"wasserstein_1d() got shapes {x.shape} and {y.shape}; expected (n,) and (m,)")
    x, y = (each[:, 0] for each in _samples(x[:, None], y[:, None], "wasserstein_1d()", 1))
    levels = _levels(len(x), len(y))
    return float(_moved(x, y, levels, _order(order, "wasserstein_1d()")) ** (1 / order))


def sliced_wasserstein(x, y, *, rng: np.random.Generator, directions: int = 100, order: float = 2) -> float:
    """Wasserstein distance of x (n, d) and y (m, d) along random directions: (mean of W^order)^(1 / order).

    The directions are uniform on the sphere. Samples that differ by a shift of length r are about r / sqrt(d)
    apart for order 2.

    Source: Bonneel et al., Journal of Mathematical Imaging and Vision 51, 22 (2015), definition 7.
    """
    x, y = _samples(x, y, "sliced_wasserstein()", 1)
    check_rng(rng, "sliced_wasserstein()")
    order, directions = (
        _order(order, "sliced_wasserstein()"),
        check_size(directions, "directions", "sliced_wasserstein()"),
    )
    levels = _levels(len(x), len(y))
    total = 0.0
    for direction in rng.standard_normal((directions, x.shape[1])):
        direction /= np.linalg.norm(direction)
        total += _moved(x @ direction, y @ direction, levels, order)
    return float((total / directions) ** (1 / order))


def _levels(n: int, m: int):
    """Where the quantile functions of n and of m values step: widths (k,) of the pieces, and what each has there."""
    # In units of 1 / (n m), whole numbers: i m for one sample and j n for the other.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], ends[:-1]])
    return (ends - starts) / (n * m), starts // m, starts // n


def _moved(x, y, levels, order) -> float:
    """Integral of |F_x^-1 - F_y^-1|^order over the levels, for values (n,) and (m,)."""
    width, of_x, of_y = levels
    return np.sum(width * np.abs(np.sort(x)[of_x] - np.sort(y)[of_y]) ** order)


def _squared_distances(x, y):
    """|x_i - y_j|^2, (n, m), by |x|^2 + |y|^2 - 2 x y, which keeps more digits from near the middle."""
    middle = y.mean(0)
    x, y = x - middle, y - middle
    squares = np.sum(x * x, 1)[:, None] + np.sum(y * y, 1) - 2 * (x @ y.T)
    return np.maximum(squares, 0.0, out=squares)


def _sum_of_pairs(x, y, function) -> float:
    """Sum of a function of the squared distance over all pairs, some rows at a time."""
    rows = max(1, BLOCK // len(y))
    total = 0.0
    for start in range(0, len(x), rows):
        squares = _squared_distances(x[start : start + rows], y)
        if x is y:
            # The distance of a point to itself comes out as a rounding error, whose root is not small.
            np.fill_diagonal(squares[:, start:], 0.0)
        total += float(np.sum(function(squares)))
    return total


def _samples(x, y, caller, least):
    """Both samples as float64, checked."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"{caller} got samples of shapes {x.shape} and {y.shape}; expected (n, d) and (m, d)")
    if min(len(x), len(y)) < least or x.shape[1] == 0:
        raise ValueError(
            f"{caller} got samples of shapes {x.shape} and {y.shape}; it needs at least {least} points of each, and a "
            "feature"
        )
    for each, name in ((x, "x"), (y, "y")):
        # The square of a larger number than this, summed, might overflow.
        if not np.all(np.abs(each) < 1e100):
            raise ValueError(f"{caller} got NaN or numbers beyond 1e100 in {name}; leave out these points first")
    return x, y


def _order(order, caller) -> float:
    if not is_number(order) or not 1 <= order < math.inf:
        raise ValueError(f"{caller} got order={order!r}; expected a number of 1 or more")
    return order


def _family(name) -> FDivergence:
    if name not in F_DIVERGENCES:
        raise ValueError(f"there is no f-divergence {name!r}; choose one of {', '.join(F_DIVERGENCES)}")
    return F_DIVERGENCES[name]


def _pair(p, q, caller, first, second):
    p, q = np.asarray(p, float), np.asarray(q, float)
    if p.shape != q.shape:
        raise ValueError(f"{caller} got {first} of shape {p.shape} and {second} of shape {q.shape}; expected one shape")
    for values, name in ((p, first), (q, second)):
        if not np.all((values >= 0) & (values < math.inf)):
            raise ValueError(f"{caller} got {name} with numbers that are negative, NaN or inf; expected densities")
    return p, q


def _on_grid(caller, spacing, **given):
    check_positive(spacing, "spacing", caller)
    names, values = list(given), list(given.values())
    values = _pair(values[0], values[-1], caller, names[0], names[-1])[: len(given)]
    for name, each in zip(names, values):
        total = np.sum(each) * spacing
        # Wide enough for a density whose tails the grid cuts off, or that it samples coarsely.
        if not abs(total - 1) < 1e-3:
            raise ValueError(
                f"{caller} got {name} of sum times spacing {total:.6g}; expected 1: give the spacing of the grid, "
                "widen it, or divide by that sum"
            )
    return values


def _check_critic(values, which, name):
    lowest, highest = F_DIVERGENCES[name].lowest, F_DIVERGENCES[name].highest
    if not values.size:
        raise ValueError(f"variational_bound() got {which} without values; give at least one")
    if not (np.min(values) >= lowest and np.max(values) <= highest):
        raise ValueError(
            f"variational_bound() got {which} from {np.min(values)} to {np.max(values)}; for {name!r} expected "
            f"values from {lowest} to {highest}: pass the critic through highest - softplus(-v)"
            f"{', or tanh(v) / 2' if name == 'tv' else ''}"
        )
