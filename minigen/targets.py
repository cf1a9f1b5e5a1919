"""Which synthetic distributions are known in full, so that a generator or a sampler can be judged against the truth?

Each function makes a `Target`: exact samples, and everything else that is known of the distribution. All is float64 and
without units. A target can stand where one of `minigen.distributions` can: energies are written in operators and
NumPy's functions, so that of tensors they are tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from . import kernels
from ._support.arguments import Count, Kind, NotNegative, Positive, Rng, checked, is_number, is_whole
from ._support.arrays import as_floats

LOG_TWO_PI = np.log(2 * np.pi)
GAUSS_NODES = 16
BLOCK = 1 << 20

Draws = Annotated[
    int | tuple,
    Kind(
        "a whole number, 1 or more, or a tuple of such",
        lambda n: is_whole(n, 1) or (isinstance(n, tuple) and all(is_whole(size, 1) for size in n)),
    ),
]
Noise = Annotated[
    float,
    Kind(
        "a number of 0.001 or more: a curve has a density only with noise",
        lambda sd: is_number(sd) and 1e-3 <= sd < math.inf,
        float,
    ),
]
Barrier = Annotated[float, Kind("a number from 0.01 to 10000", lambda x: is_number(x) and 0.01 <= x <= 1e4, float)]
OneOrTwo = Annotated[int, Kind("1 or 2", lambda dim: is_whole(dim, 1) and dim <= 2, int)]
FunnelSize = Annotated[
    int, Kind("a whole number, at least 2: v and one coordinate that depends on it", lambda dim: is_whole(dim, 2), int)
]
FunnelSd = Annotated[
    float,
    Kind(
        "a positive number, at most 20, beyond which exp(v) overflows", lambda sd: is_number(sd) and 0 < sd <= 20, float
    ),
]


@dataclass(frozen=True, eq=False)
class Target:
    """A distribution on d-dimensional space with density exp(-energy(x)) / Z.

    Attributes
    ----------
    name : str
    dim : int
        The dimension d.
    log_Z : float
        Logarithm of the integral of exp(-energy). Known for every target, so `log_prob` is always normalised.
    mean, cov : (d,), (d, d)
        The true moments.
    modes : (k, d) or None
        For a mixture the centres of its equally heavy components, otherwise the places where the density is highest;
        None where it is flat or has no closed form.
    sd : float or None
        Standard deviation of each component about its centre; None for what is no mixture of Gaussians.
    """

    name: str
    dim: int
    log_Z: float
    mean: np.ndarray
    cov: np.ndarray
    draw: Callable[[int, np.random.Generator], np.ndarray] = field(repr=False)
    potential: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    modes: np.ndarray | None = None
    sd: float | None = None

    batch_shape = ()  # as of a distribution
    discrete = False

    @property
    def event_shape(self) -> tuple[int]:
        """The shape of a point, (d,)."""
        return (self.dim,)

    @property
    def var(self) -> np.ndarray:
        """The true variances (d,)."""
        return np.diag(self.cov)

    @checked
    def sample(self, n: Draws, rng: Rng) -> np.ndarray:
        """Independent exact samples, shape `(n, d)`; for a tuple `(*n, d)`."""
        if not isinstance(n, tuple):
            return self.draw(int(n), rng)
        return self.draw(math.prod(n), rng).reshape(*n, self.dim)

    def energy(self, x: Any) -> Any:
        """Negative logarithm of the density without its constant, `(n, d)` -> `(n,)`; inf where there is no density.

        Of tensors it is a tensor, and gradients flow through it. Raises ValueError if x has another shape, or is an
        array that holds NaN or infinity.
        """
        is_tensor = hasattr(x, "node")
        x = x if is_tensor else as_floats(x, "x", self.name)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"{self.name} got x of shape {x.shape}; expected (n, {self.dim}). For a single point give x[None]"
            )
        if not is_tensor and not np.all(np.isfinite(x)):
            raise ValueError(f"{self.name} got x with NaN or infinite values; remove them or give finite ones")
        with np.errstate(over="ignore", divide="ignore"):  # so far out the density is 0 and the energy inf
            return self.potential(x)

    def log_prob(self, x: Any) -> Any:
        """Logarithm of the normalised density, `(n, d)` -> `(n,)`; -inf where there is none. As `energy` of tensors."""
        return -self.energy(x) - self.log_Z


def _log_sum_exp(terms):
    """Over the last axis of (n, k), arrays or tensors: (n,)."""
    return terms.logsumexp(-1) if hasattr(terms, "node") else kernels.logsumexp(terms)[:, 0]


def _squared_distances(x, points, sd: float):
    """|x_i - y_j|^2 / sd^2 of (n, d) and (m, d), of differences: (n, m)."""
    return sum(np.square((x[:, j, None] - points[:, j]) / sd) for j in range(points.shape[1]))


def _mixture(name: str, centres: np.ndarray, sd: float) -> Target:
    """Equally heavy round Gaussians."""
    k, d = centres.shape
    mean = centres.mean(axis=0)
    spread = centres - mean

    def draw(n, rng):
        return centres[rng.integers(k, size=n)] + sd * rng.standard_normal((n, d))

    def potential(x):
        return -_log_sum_exp(-0.5 * _squared_distances(x, centres, sd))

    return Target(
        name=name,
        dim=d,
        log_Z=np.log(k) + d * (0.5 * LOG_TWO_PI + np.log(sd)),
        mean=mean,
        cov=spread.T @ spread / k + sd**2 * np.eye(d),
        draw=draw,
        potential=potential,
        modes=centres,
        sd=sd,
    )


@checked
def ring(components: Count = 8, radius: Positive = 1.0, sd: Positive = 0.01) -> Target:
    """Round Gaussians at equal distances on a circle about the origin, the first of them at `(radius, 0)`.

    The defaults are those of the tables of mode coverage.

    Source: Srivastava et al., VEEGAN (2017), section 4.1; Lin et al., PacGAN (2018), section 4.1.
    """
    angle = 2 * np.pi * np.arange(components) / components
    return _mixture("ring", radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), sd)


@checked
def grid(side: Count = 5, spacing: Positive = 2.0, sd: Positive = 0.05) -> Target:
    """Round Gaussians on a square lattice of `side` by `side` points about the origin.

    The defaults are those of the tables of mode coverage. Source: as for `ring`.
    """
    line = spacing * (np.arange(side) - (side - 1) / 2)
    return _mixture("grid", np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), sd)


def _noisy_curves(name: str, curves: list, low: float, high: float, speed: float, sd: float) -> Target:
    """A point at t uniform in [low, high] on one of the curves `t -> (..., 2)`, moved by noise N(0, sd^2) each way.

    The density is an integral over t. Gauss and Legendre's rule, on pieces no longer than 2 sd (`speed` bounds that of
    the curves), gives its logarithm to 1e-9 within 10 sd of a curve, and farther out to what a density so small needs.
    """
    pieces = int(np.ceil((high - low) * speed / (2 * sd)))
    x, weight = np.polynomial.legendre.leggauss(GAUSS_NODES)
    t = np.linspace(low, high, pieces + 1)
    t = (0.5 * (t[:-1] + t[1:])[:, None] + 0.5 * (high - low) / pieces * x).ravel()
    nodes = np.concatenate([curve(t) for curve in curves])
    share = np.tile(weight / 2, pieces * len(curves)) / (pieces * len(curves))
    mean = share @ nodes
    spread = nodes - mean

    def draw(n, rng):
        t, which = rng.uniform(low, high, n), rng.integers(len(curves), size=n)
        points = np.choose(which[:, None], [curve(t) for curve in curves])
        return points + sd * rng.standard_normal((n, 2))

    def potential_of(block):
        return -_log_sum_exp(np.log(share) - 0.5 * _squared_distances(block, nodes, sd))

    def potential(x):
        if hasattr(x, "node"):
            return potential_of(x)
        rows = max(1, BLOCK // len(nodes))
        return np.concatenate([potential_of(x[start : start + rows]) for start in range(0, max(1, len(x)), rows)])

    return Target(
        name=name,
        dim=2,
        log_Z=LOG_TWO_PI + 2 * np.log(sd),
        mean=mean,
        cov=(share[:, None] * spread).T @ spread + sd**2 * np.eye(2),
        draw=draw,
        potential=potential,
    )


@checked
def swiss_roll(sd: Noise = 0.5) -> Target:
    """The spiral t (cos t, sin t), t uniform between 1.5 pi and 4.5 pi, with noise of standard deviation `sd`.

    This is the roll of Marsland (2014) seen along its axis, which scikit-learn's `make_swiss_roll` has in three
    dimensions. The density falls along the spiral, because equal steps of t get longer.
    """
    curve = lambda t: np.stack([t * np.cos(t), t * np.sin(t)], axis=-1)
    return _noisy_curves("swiss_roll", [curve], 1.5 * np.pi, 4.5 * np.pi, np.hypot(1, 4.5 * np.pi), sd)


@checked
def two_moons(sd: Noise = 0.1) -> Target:
    """Two half circles of radius 1 that hook into each other, with noise of standard deviation `sd`.

    They are (cos t, sin t) and (1 - cos t, 1/2 - sin t), equally heavy, t uniform between 0 and pi: the shapes of
    scikit-learn's `make_moons`.
    """
    outer = lambda t: np.stack([np.cos(t), np.sin(t)], axis=-1)
    inner = lambda t: np.stack([1 - np.cos(t), 0.5 - np.sin(t)], axis=-1)
    return _noisy_curves("two_moons", [outer, inner], 0.0, np.pi, 1.0, sd)


def checkerboard() -> Target:
    """The 8 dark squares of side 2 on a board of four by four about the origin, each filled evenly.

    A square is dark where floor(x / 2) + floor(y / 2) is even. Source: Grathwohl et al., FFJORD (2019).
    """
    corners = np.array([(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0])

    def draw(n, rng):
        return 2 * (corners[rng.integers(len(corners), size=n)] + rng.random((n, 2)))

    def potential(x):
        within = [[(x[:, j] >= 2 * i) * (x[:, j] < 2 * i + 2) for i in range(-2, 2)] for j in range(2)]
        dark = sum(within[0][i + 2] * within[1][j + 2] for i, j in corners) > 0
        return np.where(dark, 0.0 * x[:, 0], np.inf)

    # Each coordinate is uniform on (-4, 4); the centres' products are 1 on average.
    cov = np.array([[16 / 3, 1.0], [1.0, 16 / 3]])
    return Target("checkerboard", 2, np.log(32.0), np.zeros(2), cov, draw, potential)


@checked
def double_well(dim: OneOrTwo = 1, barrier: Barrier = 4.0) -> Target:
    """Density exp(-U) / Z of the energy U = barrier (x^2 - 1)^2, and in two dimensions + y^2 / 2.

    The wells lie at x = -1 and 1 and are separated by an energy of `barrier` at x = 0. Samples are exact, by rejection;
    log_Z and the variance of x are integrals over a line by the trapezoidal rule, which for such a function is exact to
    rounding.

    Parameters
    ----------
    dim : int
        1 or 2.
    barrier : float
        From 0.01, below which there are no wells to speak of, to 10 000.
    """
    # Beyond the line's ends U exceeds 100; its points lie a tenth of a well's SD, 1 / sqrt(8 barrier), apart.
    end = np.sqrt(1 + np.sqrt(100 / barrier))
    line = np.linspace(-end, end, 2 * int(np.ceil(10 * end * np.sqrt(8 * barrier + 8))) + 1)
    density = np.exp(-barrier * (line**2 - 1) ** 2)
    Z = density.sum() * (line[1] - line[0])

    def draw(n, rng):
        x = np.empty((n, dim))
        filled = 0
        # For x > 0, U = barrier (x - 1)^2 (x + 1)^2 is at least barrier (x - 1)^2: a Gaussian's draws are thinned.
        while filled < n:
            offset = rng.standard_normal(2 * n) / np.sqrt(2 * barrier)
            kept = (offset > -1) & (rng.exponential(size=2 * n) > barrier * offset**2 * ((offset + 2) ** 2 - 1))
            side = rng.choice([-1.0, 1.0], size=2 * n)
            chosen = (side * (1 + offset))[kept][: n - filled]
            x[filled : filled + len(chosen), 0] = chosen
            filled += len(chosen)
        x[:, 1:] = rng.standard_normal((n, dim - 1))
        return x

    def potential(x):
        wells = barrier * np.square(np.square(x[:, 0]) - 1.0)
        return wells + 0.5 * np.square(x[:, 1]) if dim == 2 else wells

    variance = density @ line**2 / density.sum()
    return Target(
        name="double_well",
        dim=dim,
        log_Z=np.log(Z) + 0.5 * (dim - 1) * LOG_TWO_PI,
        mean=np.zeros(dim),
        cov=np.diag([variance, 1.0][:dim]),
        draw=draw,
        potential=potential,
        modes=np.eye(dim)[[0, 0]] * [[-1.0], [1.0]],
    )


@checked
def banana(curvature: NotNegative = 0.03, sd: Positive = 10.0) -> Target:
    """A long Gaussian bent along a parabola: x = sd z1 and y = z2 - curvature (x^2 - sd^2), z1 and z2 standard normal.

    The defaults are the strongly twisted one of the source. Bending keeps volumes, so log_Z is the Gaussian's.

    Source: Haario, Saksman and Tamminen, Computational Statistics 14, 375 (1999).
    """

    def draw(n, rng):
        z = rng.standard_normal((n, 2))
        x = sd * z[:, 0]
        return np.stack([x, z[:, 1] - curvature * (x**2 - sd**2)], axis=1)

    def potential(x):
        straight = x[:, 1] + curvature * (np.square(x[:, 0]) - sd**2)
        return 0.5 * np.square(x[:, 0] / sd) + 0.5 * np.square(straight)

    return Target(
        name="banana",
        dim=2,
        log_Z=LOG_TWO_PI + np.log(sd),
        mean=np.zeros(2),
        cov=np.diag([sd**2, 1 + 2 * curvature**2 * sd**4]),
        draw=draw,
        potential=potential,
        modes=np.array([[0.0, curvature * sd**2]]),
    )


@checked
def funnel(dim: FunnelSize = 10, sd: FunnelSd = 3.0) -> Target:
    """Neal's funnel: v ~ N(0, sd^2) is the first coordinate, and each of the others is N(0, exp(v)).

    The others have variance exp(sd^2 / 2), which their samples hardly show: it comes from rare large v. The density is
    highest deep in the neck, at v = -sd^2 (dim - 1) / 2, where almost no probability lies.

    Source: Neal, Annals of Statistics 31, 705 (2003), section 8.

    Parameters
    ----------
    dim : int
        All coordinates together, at least 2.
    sd : float
    """

    def draw(n, rng):
        z = rng.standard_normal((n, dim))
        z[:, 0] *= sd
        z[:, 1:] *= np.exp(0.5 * z[:, :1])
        return z

    def potential(x):
        v = x[:, 0]
        square = np.sum(np.square(x[:, 1:]), axis=1)
        # exp(log(square) - v) is square / exp(v) also where exp(v) is 0.
        return v * (v / (2 * sd**2) + (dim - 1) / 2) + 0.5 * np.exp(np.log(square) - v)

    mode = np.zeros((1, dim))
    mode[0, 0] = -(sd**2) * (dim - 1) / 2
    return Target(
        name="funnel",
        dim=dim,
        log_Z=0.5 * dim * LOG_TWO_PI + np.log(sd),
        mean=np.zeros(dim),
        cov=np.diag([sd**2] + [np.exp(sd**2 / 2)] * (dim - 1)),
        draw=draw,
        potential=potential,
        modes=mode,
    )
