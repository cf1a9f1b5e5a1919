"""Which data sets do the lessons learn from, and which factors made each example?

Data come from physics, so they are float64; a model that wants float32 converts them once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from ._support.arguments import Count, Inside, Kind, NotNegative, Positive, Rng, as_python, checked, is_number
from .physics import pendulum

# Known distributions are data sets too, and are found here as well.
from .targets import (  # noqa: F401
    banana,
    checkerboard,
    double_well,
    funnel,
    grid,
    ring,
    swiss_roll,
    two_moons,
)


@dataclass(frozen=True, eq=False)
class PendulumTrajectories:
    """Observed pendulums and the factors that made them; `len(data)` is their number n.

    Attributes
    ----------
    t : (steps,)
        Time in s.
    theta : (n, steps)
        Observed angle in rad, with noise if there was any.
    clean : (n, steps)
        The angle without noise.
    theta0, omega0, length, mass : (n,)
        The factors in rad, rad/s, m and kg.
    drag : float
        In kg/s, the same for all.
    """

    t: np.ndarray
    theta: np.ndarray
    clean: np.ndarray
    theta0: np.ndarray
    omega0: np.ndarray
    length: np.ndarray
    mass: np.ndarray
    drag: float = 0.0

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def g_over_l(self) -> np.ndarray:
        """g/L in 1/s^2, shape `(n,)`."""
        return pendulum.GRAVITY / self.length

    @property
    def factors(self) -> dict[str, np.ndarray]:
        """What a trajectory depends on, each of shape `(n,)`: theta0, omega0, g_over_l and, with drag, c/m in 1/s."""
        factors = {"theta0": self.theta0, "omega0": self.omega0, "g_over_l": self.g_over_l}
        return factors | {"damping": self.drag / self.mass} if self.drag > 0 else factors

    def take(self, indices: Any) -> PendulumTrajectories:
        """The trajectories with these indices (integers, booleans or a slice), with their factors."""
        rows = np.atleast_1d(np.arange(len(self))[indices])
        per_trajectory = ("theta", "clean", "theta0", "omega0", "length", "mass")
        return replace(self, **{name: getattr(self, name)[rows] for name in per_trajectory})

    @checked
    def view(self, steps: Count) -> PendulumTrajectories:
        """The same time span seen at `steps` evenly spaced points, which must divide the present number of points."""
        every = _stride(self.t.size, steps)
        thin: dict[str, Any] = {
            name: np.ascontiguousarray(getattr(self, name)[..., ::every]) for name in ("t", "theta", "clean")
        }
        return replace(self, **thin)


def _stride(points: int, view: int) -> int:
    if points % view:
        raise ValueError(f"a view of {view} points cannot be taken from {points}; give a divisor of {points}")
    return points // view


def _is_range(bounds) -> bool:
    if np.shape(bounds) != (2,) or not all(map(is_number, bounds)):
        return False
    return -np.inf < bounds[0] <= bounds[1] < np.inf


Range = Annotated[tuple[float, float], Kind("a range (low, high) of two finite numbers", _is_range)]
Drag = Annotated[
    float,
    Kind("a number of at least 0 kg/s, the same for all", lambda c: is_number(c) and 0 <= c < np.inf, as_python),
]


@checked
def pendulum_trajectories(
    n: Count,
    rng: Rng,
    *,
    steps: Count = 500,
    dt: Positive = 0.01,
    view: Count | None = None,
    noise: bool | NotNegative = True,
    drag: Drag = 0.0,
    theta0: Range = (0.5, 1.5),
    omega0: Range = (0.5, 1.5),
    length: Range = (1.0, 2.5),
    mass: Range = (1.0, 2.5),
) -> PendulumTrajectories:
    """The course's standard set: pendulums with random factors, their angles observed with growing noise.

    Each factor is drawn uniformly from its range, independently of the others; the equation of motion is integrated by
    RK4; noise N(0, (noise * t)^2) is added to each point, independently. The factors are drawn first, so that with the
    same generator the pendulums are the same whatever the noise, the drag or the view.

    Parameters
    ----------
    n : int
        Number of trajectories.
    rng : numpy.random.Generator
    steps, dt : int, float
        Points of a trajectory and the time between them in s.
    view : int, optional
        Keep only so many evenly spaced points of the same time span; must divide `steps`. 100 suits small models.
    noise : float or bool
        Growth of the noise's standard deviation in rad/s. True is the standard 0.1, which reaches 0.5 rad after 5 s;
        False is none.
    drag : float
        Drag c in kg/s.
    theta0, omega0, length, mass : (low, high)
        Ranges of the factors in rad, rad/s, m and kg.

    Raises
    ------
    TypeError
        If `rng` is not a numpy.random.Generator.
    ValueError
        If a number or range is out of bounds.
    """
    if view is not None:
        _stride(steps, view)
    growth = 0.1 * noise if isinstance(noise, bool) else noise
    ranges = {"theta0": theta0, "omega0": omega0, "length": length, "mass": mass}
    factors: dict[str, Any] = {name: rng.uniform(low, high, n) for name, (low, high) in ranges.items()}
    motion = pendulum.simulate(**factors, drag=drag, steps=steps, dt=dt)
    theta = motion.theta
    if growth > 0:
        theta = theta + growth * motion.t * rng.standard_normal(theta.shape)
    data = PendulumTrajectories(motion.t, theta, motion.theta, **factors, drag=float(drag))
    return data if view is None else data.view(view)


Trajectories = Annotated[
    PendulumTrajectories,
    Kind(
        "PendulumTrajectories, made by pendulum_trajectories",
        lambda data: isinstance(data, PendulumTrajectories),
        error=TypeError,
    ),
]


@checked
def train_test_split(
    data: Trajectories, rng: Rng, *, test: Inside = 0.2
) -> tuple[PendulumTrajectories, PendulumTrajectories]:
    """Two sets that share no trajectory: the rows of one trajectory never fall on both sides.

    Parameters
    ----------
    data : PendulumTrajectories
    rng : numpy.random.Generator
    test : float
        Share of the trajectories that goes into the test set, above 0 and below 1.

    Returns
    -------
    train, test : PendulumTrajectories

    Raises
    ------
    TypeError
        If the data are no PendulumTrajectories or `rng` is not a numpy.random.Generator.
    ValueError
        If `test` is out of bounds, or either set would be empty.
    """
    held_out = round(test * len(data))
    if not 0 < held_out < len(data):
        raise ValueError(
            f"a test share of {test} of {len(data)} trajectories leaves one side empty; give more trajectories"
        )
    order = rng.permutation(len(data))
    return data.take(order[held_out:]), data.take(order[:held_out])
