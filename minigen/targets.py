"""Which synthetic distributions are known in full, so that a generator or a sampler can be judged against the truth?

Each function makes a `Target`: exact samples, and everything else that is known of the distribution. All is float64 and
without units.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from minigen import kernels
from minigen._support.arguments import check_positive, check_rng, check_size

LOG_TWO_PI = np.log(2 * np.pi)
GAUSS_NODES = 16
BLOCK = 1 << 20


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

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Independent exact samples, shape `(n, d)`."""
        check_rng(rng, f"{self.name}.sample()")
        return self.draw(check_size(n, "n", f"{self.name}.sample()"), rng)

    def energy(self, x) -> np.ndarray:
        """Negative logarithm of the density without its constant, `(n, d)` -> `(n,)`; inf where there is no density.

        Raises ValueError if x has another shape or holds NaN or infinity.
        """
        x = np.asarray(x, float)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"{self.name} got x of shape {x.shape}; expected (n, {self.dim}). For a single point give x[None]"
            )
        if not np.all(np.isfinite(x)):
            raise ValueError(f"{self.name} got x with NaN or infinite values; remove them or give finite ones")
        with np.errstate(over="ignore", divide="ignore"):  # so far out the density is 0 and the energy inf
            return self.potential(x)

    def log_prob(self, x) -> np.ndarray:
        """Logarithm of the normalised density, `(n, d)` -> `(n,)`; -inf where there is none. Raises as `energy`."""
        return -self.energy(x) - self.log_Z


def _mixture(name: str, centres: np.ndarray, sd: float) -> Target:
    """Equally heavy round Gaussians."""
    k, d = centres.shape
    mean = centres.mean(axis=0)
    spread = centres - mean

    def draw(n, rng):
        return centres[rng.integers(k, size=n)] + sd * rng.standard_normal((n, d))

    def potential(x):
        squares = sum(((x[:, j, None] - centres[:, j]) / sd) ** 2 for j in range(d))
        return -kernels.logsumexp(-0.5 * squares)[:, 0]

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


def ring(components: int = 8, radius: float = 1.0, sd: float = 0.01) -> Target:
    """Round Gaussians at equal distances on a circle about the origin, the first of them at `(radius, 0)`.

    The defaults are those of the tables of mode coverage.

    Source: Srivastava et al., VEEGAN (2017), section 4.1; Lin et al., PacGAN (2018), section 4.1.
    """
    components = check_size(components, "components", "ring()")
    radius, sd = check_positive(radius, "radius", "ring()"), check_positive(sd, "sd", "ring()")
    angle = 2 * np.pi * np.arange(components) / components
    return _mixture("ring", radius * np.stack([np.cos(angle), np.sin(angle)], axis=1), sd)


def grid(side: int = 5, spacing: float = 2.0, sd: float = 0.05) -> Target:
    """Round Gaussians on a square lattice of `side` by `side` points about the origin.

    The defaults are those of the tables of mode coverage. Source: as for `ring`.
    """
    side = check_size(side, "side", "grid()")
    spacing, sd = check_positive(spacing, "spacing", "grid()"), check_positive(sd, "sd", "grid()")
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

    def potential(x):
        energy = np.empty(len(x))
        rows = max(1, BLOCK // len(nodes))
        for start in range(0, len(x), rows):
            block = x[start : start + rows]
            squares = sum(((block[:, j, None] - nodes[:, j]) / sd) ** 2 for j in range(2))
            energy[start : start + rows] = -kernels.logsumexp(np.log(share) - 0.5 * squares)[:, 0]
        return energy

    return Target(
        name=name,
        dim=2,
        log_Z=LOG_TWO_PI + 2 * np.log(sd),
        mean=mean,
        cov=(share[:, None] * spread).T @ spread + sd**2 * np.eye(2),
        draw=draw,
        potential=potential,
    )


def swiss_roll(sd: float = 0.5) -> Target:
    """The spiral t (cos t, sin t), t uniform between 1.5 pi and 4.5 pi, with noise of standard deviation `sd`.

    This is the roll of Marsland (2014) seen along its axis, which scikit-learn's `make_swiss_roll` has in three
    dimensions. The density falls along the spiral, because equal steps of t get longer.
    """
    sd = _check_noise(sd, "swiss_roll()")
    curve = lambda t: np.stack([t * np.cos(t), t * np.sin(t)], axis=-1)
    return _noisy_curves("swiss_roll", [curve], 1.5 * np.pi, 4.5 * np.pi, np.hypot(1, 4.5 * np.pi), sd)


def two_moons(sd: float = 0.1) -> Target:
    """Two half circles of radius 1 that hook into each other, with noise of standard deviation `sd`.

    They are (cos t, sin t) and (1 - cos t, 1/2 - sin t), equally heavy, t uniform between 0 and pi: the shapes of
    scikit-learn's `make_moons`.
    """
    sd = _check_noise(sd, "two_moons()")
    outer = lambda t: np.stack([np.cos(t), np.sin(t)], axis=-1)
    inner = lambda t: np.stack([1 - np.cos(t), 0.5 - np.sin(t)], axis=-1)
    return _noisy_curves("two_moons", [outer, inner], 0.0, np.pi, 1.0, sd)


def _check_noise(sd: float, caller: str) -> float:
    """The value itself; ValueError where there is no density, or one that takes very many nodes."""
    if check_positive(sd, "sd", caller) < 1e-3:
        raise ValueError(f"{caller} got sd={sd!r}; a curve has a density only with noise: give at least 0.001")
    return sd


def checkerboard() -> Target:
    """The 8 dark squares of side 2 on a board of four by four about the origin, each filled evenly.

    A square is dark where floor(x / 2) + floor(y / 2) is even. Source: Grathwohl et al., FFJORD (2019).
    """
    corners = np.array([(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0])

    def draw(n, rng):
        return 2 * (corners[rng.integers(len(corners), size=n)] + rng.random((n, 2)))

    def potential(x):
        cell = np.floor(x / 2)
        dark = np.all((cell >= -2) & (cell < 2), axis=1) & (cell.sum(axis=1) % 2 == 0)
        return np.where(dark, 0.0, np.inf)

    # Each coordinate is uniform on (-4, 4); the centres' products are 1 on average.
    cov = np.array([[16 / 3, 1.0], [1.0, 16 / 3]])
    return Target("checkerboard", 2, np.log(32.0), np.zeros(2), cov, draw, potential)


def double_well(dim: int = 1, barrier: float = 4.0) -> Target:
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
    if dim not in (1, 2) or isinstance(dim, bool):
        raise ValueError(f"double_well() got dim={dim!r}; expected 1 or 2")
    if not 0.01 <= check_positive(barrier, "barrier", "double_well()") <= 1e4:
        raise ValueError(f"double_well() got barrier={barrier!r}; expected a number from 0.01 to 10000")

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
        return barrier * (x[:, 0] ** 2 - 1) ** 2 + 0.5 * np.sum(x[:, 1:] ** 2, axis=1)

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


def banana(curvature: float = 0.03, sd: float = 10.0) -> Target:
    """A long Gaussian bent along a parabola: x = sd z1 and y = z2 - curvature (x^2 - sd^2), z1 and z2 standard normal.

    The defaults are the strongly twisted one of the source. Bending keeps volumes, so log_Z is the Gaussian's.

    Source: Haario, Saksman and Tamminen, Computational Statistics 14, 375 (1999).
    """
    curvature = check_positive(curvature, "curvature", "banana()", zero=True)
    sd = check_positive(sd, "sd", "banana()")

    def draw(n, rng):
        z = rng.standard_normal((n, 2))
        x = sd * z[:, 0]
        return np.stack([x, z[:, 1] - curvature * (x**2 - sd**2)], axis=1)

    def potential(x):
        straight = x[:, 1] + curvature * (x[:, 0] ** 2 - sd**2)
        return 0.5 * (x[:, 0] / sd) ** 2 + 0.5 * straight**2

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


def funnel(dim: int = 10, sd: float = 3.0) -> Target:
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
    if check_size(dim, "dim", "funnel()") < 2:
        raise ValueError(f"funnel() got dim={dim!r}; expected at least 2: v and one coordinate that depends on it")
    sd = check_positive(sd, "sd", "funnel()")
    if sd > 20:
        raise ValueError(f"funnel() got sd={sd!r}; expected at most 20, beyond which exp(v) overflows")

    def draw(n, rng):
        z = rng.standard_normal((n, dim))
        z[:, 0] *= sd
        z[:, 1:] *= np.exp(0.5 * z[:, :1])
        return z

    def potential(x):
        v, square = x[:, 0], np.sum(x[:, 1:] ** 2, axis=1)
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
