"""How good are generated trajectories: do they obey physics, are they as varied as the data, are they copies?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minigen._support.arguments import check_rng

# How well generated samples cover the data is asked there, and found here as well.
from minigen.coverage import (  # noqa: F401
    classifier_two_sample_test,
    interpolation_smoothness,
    linear_interpolation,
    memorisation_test,
    mode_coverage,
    nearest_neighbours,
    precision_recall,
    spherical_interpolation,
)
from minigen.physics import pendulum

STARTS = 2
MAX_ITERATIONS = 60


@dataclass(frozen=True, eq=False)
class PhysicsFit:
    """The pendulum closest to each trajectory.

    Attributes
    ----------
    residual : (n,)
        Root mean square deviation in rad; inf where there is no fit because the trajectory is not finite.
    factors : dict of (n,) arrays
        theta0 (rad) and omega0 (rad/s) at the first point, g_over_l (1/s^2) and, if drag was fitted, damping c/m (1/s);
        NaN where the residual is inf.
    """

    residual: np.ndarray
    factors: dict[str, np.ndarray]


def physics_residual(trajectories, t, *, drag: bool = False) -> PhysicsFit:
    """How far each trajectory is from the nearest motion of a pendulum: the yardstick of every generator.

    The equation of motion theta'' = -(g/L) sin(theta) - (c/m) theta' is fitted to each trajectory by itself, by least
    squares with theta0, omega0 and g/L free, and the deviation that remains is reported. A generator's clean
    trajectories (decoder means) score their distance from physics. Noisy ones score the root mean square of their
    noise, or a little less, because the fit follows the noise with 3 of its `steps` degrees of freedom.

    The starts are the best sinusoids, corrected for the amplitude by the exact period; Levenberg-Marquardt does the
    rest, with sensitivities integrated beside the motion by RK4. g/L is sought between 0 and 1/h^2 and c/m between 0
    and 1/h, where h is the integrator's step (at most 0.025 s). Where a trajectory is far from any pendulum's, the fit
    found may be a local one.

    Parameters
    ----------
    trajectories : array_like of shape (n, steps)
        Angles in rad.
    t : array_like of shape (steps,)
        Their times in s, increasing.
    drag : bool
        Whether the drag over mass c/m >= 0 is free too; otherwise it is 0.

    Returns
    -------
    PhysicsFit

    Raises
    ------
    ValueError
        If the shapes do not match, the times do not increase, or there are fewer points than free factors plus one.

    Source: Marquardt, Journal of the SIAM 11, 431 (1963).
    """
    observed = np.ascontiguousarray(trajectories, dtype=float)
    t = np.ascontiguousarray(t, dtype=float)
    free = 4 if drag else 3
    if observed.ndim != 2:
        raise ValueError(
            f"trajectories must have shape (n, steps); got {observed.shape}. "
            "For a single trajectory give trajectory[None, :]"
        )
    if t.shape != observed.shape[1:]:
        raise ValueError(
            f"t must hold one time for each of the {observed.shape[1]} points of a trajectory; it has shape {t.shape}"
        )
    if t.size <= free:
        raise ValueError(f"{t.size} points cannot judge a fit of {free} factors; give at least {free + 1}")
    if not (np.all(np.isfinite(t)) and np.all(np.diff(t) > 0)):
        raise ValueError("t must be finite and increasing, in s; sort the points by time")

    residual = np.full(len(observed), np.inf)
    factors = np.full((len(observed), free), np.nan)
    # The square of a larger number than this, summed, would overflow.
    rows = np.flatnonzero(np.all(np.abs(observed) < 1e100, axis=1))
    for start in _sinusoid_starts(observed[rows], t, free):
        found, sse = _levenberg_marquardt(start, observed[rows], t)
        rms = np.sqrt(sse / t.size)
        better = rms < residual[rows]
        residual[rows[better]], factors[rows[better]] = rms[better], found[better]
    names = ("theta0", "omega0", "g_over_l", "damping")
    return PhysicsFit(residual, {name: factors[:, j].copy() for j, name in enumerate(names[:free])})


def _limits(t: np.ndarray, free: int) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each factor, two arrays of shape `(free,)`."""
    from minigen.kernels.pendulum import MAX_STEP

    step = min(MAX_STEP, np.diff(t).max())
    return np.array([-np.inf, -np.inf, 0.0, 0.0])[:free], np.array([np.inf, np.inf, step**-2, step**-1])[:free]


def _sinusoid_starts(observed: np.ndarray, t: np.ndarray, free: int) -> np.ndarray:
    """Factors (STARTS, n, free) of the pendulums that swing like the best fitting sinusoids."""
    n, time = len(observed), t - t[0]
    lower, upper = _limits(t, free)
    # Steps of a quarter turn over the whole time: the nearest one is at most a sixteenth of a turn out at either end.
    turn = np.pi / (2 * time[-1])
    # Beyond half a turn per point (on average) a sinusoid looks like a slower one.
    frequencies = turn * np.arange(max(4.0, min(2 * (t.size - 1), np.sqrt(upper[2]) / turn)))
    explained = np.zeros((len(frequencies) + 2, n))  # with a row of zeros on either side
    coefficients = np.empty((len(frequencies), 2, n))
    for k, w in enumerate(frequencies):
        # theta0 cos(wt) + omega0 sin(wt)/w, which for w = 0 is the straight line.
        q, r = np.linalg.qr(np.stack([np.cos(w * time), time * np.sinc(w * time / np.pi)], axis=1))
        projection = q.T @ observed.T
        explained[1 + k] = np.sum(projection**2, axis=0)
        coefficients[k] = np.linalg.solve(r, projection)
    middle = explained[1:-1]
    peak = (middle >= explained[:-2]) & (middle >= explained[2:])
    chosen = np.argsort(np.where(peak, -middle, 0.0), axis=0)[:STARTS]

    w = frequencies[chosen]
    theta0, omega0 = np.moveaxis(coefficients[chosen, :, np.arange(n)], -1, 0)
    amplitude = np.minimum(np.hypot(theta0, omega0 / np.maximum(w, turn / 4)), 3.0)
    # A swing of this size has frequency w = sqrt(g/L) agm(1, cos(amplitude / 2)).
    g_over_l = (w / pendulum.arithmetic_geometric_mean(1.0, np.cos(amplitude / 2))) ** 2
    start = np.stack([theta0, omega0, g_over_l, np.zeros_like(w)], axis=-1)[..., :free]
    return np.clip(start, lower, upper)


def _levenberg_marquardt(factors: np.ndarray, observed: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, free) improved from a start, and their sums of squared residuals (n,)."""
    n, free = factors.shape
    lower, upper = _limits(t, free)
    factors = factors.copy()
    sse, gradient, curvature = _normal_equations(factors, observed, t)
    caution = np.full(n, 1e-3)
    active = np.flatnonzero(np.isfinite(sse))
    diagonal = np.arange(free)
    for _ in range(MAX_ITERATIONS):
        if not active.size:
            break
        matrix, slope = curvature[active], gradient[active]
        # The floor keeps the matrix regular where a factor has no effect, as g/L on a pendulum at rest.
        scale = np.maximum(matrix[:, diagonal, diagonal], 1e-6 * t.size)
        matrix[:, diagonal, diagonal] += caution[active, None] * scale
        # A factor that lies on a bound and wants to leave by it is held, and the others move without it.
        held = ((factors[active] <= lower) & (slope < 0)) | ((factors[active] >= upper) & (slope > 0))
        matrix[held[:, :, None] | held[:, None, :]] = 0.0
        matrix[:, diagonal, diagonal] += held
        slope[held] = 0.0
        step = np.linalg.solve(matrix, slope[..., None])[..., 0]
        trial = np.clip(factors[active] + step, lower, upper)
        moved = np.abs(trial - factors[active]) > 1e-10 * (1 + np.abs(factors[active]))
        trial_sse, trial_gradient, trial_curvature = _normal_equations(trial, observed[active], t)
        better = trial_sse < sse[active]
        won = active[better]
        factors[won], sse[won] = trial[better], trial_sse[better]
        gradient[won], curvature[won] = trial_gradient[better], trial_curvature[better]
        caution[active] = np.where(better, np.maximum(caution[active] / 10, 1e-12), caution[active] * 4)
        active = active[moved.any(axis=1) & (caution[active] < 1e12)]
    return factors, sse


def _normal_equations(factors: np.ndarray, observed: np.ndarray, t: np.ndarray):
    """Sum of squared residuals (n,), J^T r (n, free) and J^T J (n, free, free); the sum is inf where one overflows."""
    import minigen.kernels.pendulum as kernels
    from minigen.kernels.jit import USE_NUMBA

    n, free = factors.shape
    sse, gradient, curvature = np.empty(n), np.empty((n, free)), np.empty((n, free, free))
    with np.errstate(over="ignore", invalid="ignore"):
        run = kernels.normal_equations if USE_NUMBA else kernels.normal_equations_numpy
        run(factors, observed, t, sse, gradient, curvature)
        sse[~np.isfinite(sse + gradient.sum(1) + curvature.sum((1, 2)))] = np.inf
    return sse, gradient, curvature


def ks_statistic(a, b) -> float:
    """Two-sample Kolmogorov-Smirnov statistic: the largest gap between two empirical distribution functions.

    0 means the same distribution of values, 1 that the samples do not overlap. NaN counts as larger than every number.

    Parameters
    ----------
    a, b : array_like of shapes `(n,)` and `(m,)`
        Neither empty.
    """
    a, b = np.sort(np.ravel(a)), np.sort(np.ravel(b))
    if not (a.size and b.size):
        raise ValueError(f"both samples must hold values; they hold {a.size} and {b.size}")
    both = np.concatenate([a, b])
    gap = np.searchsorted(a, both, side="right") / a.size - np.searchsorted(b, both, side="right") / b.size
    return float(np.max(np.abs(gap)))


def factor_match(generated: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How well the distribution of each fitted factor matches the data's: one Kolmogorov-Smirnov statistic per factor.

    For two samples of n and m values of one distribution the statistic exceeds 1.36 sqrt(1/n + 1/m) in 5 % of cases.

    Parameters
    ----------
    generated, data : mapping of name to array `(n,)`, `(m,)`
        Such as `physics_residual(...).factors` and `PendulumTrajectories.factors`.

    Returns
    -------
    dict of name to statistic between 0 (same) and 1 (apart), for every factor of `generated`

    Raises
    ------
    ValueError
        If the data lack a factor.
    """
    missing = [name for name in generated if name not in data]
    if missing:
        raise ValueError(
            f"the data have no factor {missing[0]!r}, only {', '.join(data)}; give the same factors for both"
        )
    return {name: ks_statistic(values, data[name]) for name, values in generated.items()}


def nearest_distances(samples, training) -> np.ndarray:
    """Euclidean distance of each sample to the training sample nearest to it.

    Parameters
    ----------
    samples, training : array_like of shapes `(n, d)` and `(m, d)`

    Returns
    -------
    array of shape `(n,)`, inf for a sample that is not finite
    """
    samples, training = np.asarray(samples, float), np.asarray(training, float)
    if samples.ndim != 2 or training.ndim != 2 or samples.shape[1] != training.shape[1]:
        raise ValueError(
            f"samples and training must have shapes (n, d) and (m, d); got {samples.shape} and {training.shape}"
        )
    if not (len(training) and np.all(np.isfinite(training))):
        raise ValueError("training must hold at least one sample and only finite numbers; clean it first")
    distances = np.full(len(samples), np.inf)
    finite = np.all(np.abs(samples) < 1e100, axis=1)
    distances[finite] = nearest_neighbours(samples[finite], training, 1)[0][:, 0]
    return distances


def nearest_neighbour_ratio(generated, training, held_out) -> float:
    """Are generated samples closer to the training set than fresh data are? Well below 1 they are memorised.

    The ratio of two medians: of the distance from a generated sample to the nearest training sample, over the same for
    held-out samples. About 1 is what fresh data score, copies score 0, and samples off the data score above 1. Give all
    three the same treatment: a generator's clean means belong beside clean trajectories, because noise by itself adds
    distance. A median overlooks a minority of copies; to find those, look at `nearest_distances`.

    Parameters
    ----------
    generated, training, held_out : array_like of shapes `(n, d)`, `(m, d)`, `(k, d)`

    Raises
    ------
    ValueError
        If the shapes do not match, a set is empty, or the held-out samples lie in the training set.
    """
    if not (len(generated) and len(held_out)):
        raise ValueError(f"generated and held_out must hold samples; they hold {len(generated)} and {len(held_out)}")
    fresh = np.median(nearest_distances(held_out, training))
    if not 0 < fresh < np.inf:
        raise ValueError(
            f"held_out samples have a median distance of {fresh} to the training set; "
            "give finite samples that are not part of it"
        )
    return float(np.median(nearest_distances(generated, training)) / fresh)


def shuffled_control(trajectories, rng: np.random.Generator) -> np.ndarray:
    """A generator that knows the distribution of each moment and nothing of motion: the yardstick's other end.

    Every column (moment) is shuffled over the trajectories, independently of the other columns. The distribution at
    each time stays exactly the data's; what ties one time to the next is gone.

    Parameters
    ----------
    trajectories : array_like of shape `(n, steps)`
    rng : numpy.random.Generator

    Returns
    -------
    array of shape `(n, steps)`
    """
    check_rng(rng, "shuffled_control()")
    trajectories = np.asarray(trajectories)
    if trajectories.ndim != 2:
        raise ValueError(f"trajectories must have shape (n, steps); got {trajectories.shape}")
    return rng.permuted(trajectories, axis=0)
