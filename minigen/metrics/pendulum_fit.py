"""Which pendulum is nearest to a trajectory? Least squares in theta0, omega0, g/L and, if wanted, c/m.

There are two easy starts: the equation of motion integrated twice, which is linear in the factors, and the best
sinusoid. Levenberg and Marquardt's method improves them, with sensitivities integrated beside the motion. Where the two
disagree the trajectory is hard, for instance because it stands nearly still at the top, and what happens then hangs on
the last digits of the factors. It is then fitted on a growing part of its time, from one good start to the next.

Time is measured from the first point, in units of the whole record, and angles from the nearest hanging position: so
neither the unit of time nor full turns matter.

Source: Marquardt, Journal of the SIAM 11, 431 (1963).
"""

from __future__ import annotations

import numpy as np

from ..physics import pendulum

MAX_ITERATIONS = 200
STEP = 0.08  # longest Runge-Kutta step, times the rate of the motion
FINEST = 16  # how much shorter the steps may become for a motion that all but stops at the top
ROUGH = 1.2  # a fit that misses by less than this times the roughness of the data is no worse than their noise


def nearest_pendulums(observed: np.ndarray, t: np.ndarray, free: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, free) of the pendulum nearest to each finite trajectory (n, steps), and its RMS distance (n,)."""
    full_turns = 2 * np.pi * np.round(np.median(observed, axis=1) / (2 * np.pi))
    observed = observed - full_turns[:, None]
    unit = t[-1] - t[0]
    t = (t - t[0]) / unit

    integral = integral_start(observed, t, free)
    first, second = sinusoid_starts(observed, t, free)
    factors, rms = _improved(integral, observed, t)
    others, rms_of_others = _improved(first, observed, t)
    lower = np.minimum(rms, rms_of_others)
    with np.errstate(invalid="ignore"):
        apart = np.abs(rms - rms_of_others) > 1e-7 + 1e-3 * lower
    _keep_better(factors, rms, slice(None), others, rms_of_others)

    hard = np.flatnonzero(apart)
    _keep_better(factors, rms, hard, *_improved(second[hard], observed[hard], t))
    # A growing part can be followed only by less than half a turn from point to point.
    followed = np.abs(np.diff(observed[hard], axis=1)).max(axis=1) < np.pi
    hard = hard[followed & (rms[hard] > ROUGH * roughness(observed[hard], t))]
    _keep_better(factors, rms, hard, *_improved(integral[hard], observed[hard], t, growing=True))

    factors[:, 0] += full_turns
    factors[:, 1:] /= np.array([unit, unit**2, unit])[: free - 1]
    return factors, rms


def _keep_better(factors, rms, rows, found, found_rms) -> None:
    """Put what was found for these rows where it is better than what is there."""
    better = found_rms < rms[rows]
    rms[rows] = np.where(better, found_rms, rms[rows])
    factors[rows] = np.where(better[:, None], found, factors[rows])


def integral_start(observed: np.ndarray, t: np.ndarray, free: int) -> np.ndarray:
    """Factors (n, free) by linear least squares from the equation of motion, integrated twice.

    theta(t) = theta0 + omega0 t - (g/L) I[I[sin theta]] - (c/m) I[theta - theta0], where I is the integral from 0 to t
    along the observed curve. Noise is smoothed by the integrals; full turns and rests at the top do no harm.
    """
    ones = np.ones_like(observed)
    with np.errstate(all="ignore"):
        _, twice = _integrals(np.sin(observed), t)
        columns = [ones, ones * t, -twice]
        if free == 4:
            columns.append(-_integrals(observed - observed[:, :1], t)[0])
        A = np.stack(columns, axis=-1)
        size = np.sqrt(np.sum(A**2, axis=1))
        A /= np.where(size > 0, size, 1.0)[:, None]
        matrix = np.einsum("nki,nkj->nij", A, A) + 1e-13 * np.eye(free)
        found = np.linalg.solve(matrix, np.einsum("nki,nk->ni", A, observed)[..., None])[..., 0]
        found = np.divide(found, size, out=np.zeros_like(found), where=size > 0)
        if free == 4:  # the coefficient of t is omega0 + (c/m) (theta0 - the first observed angle)
            found[:, 1] -= found[:, 3] * (found[:, 0] - observed[:, 0])
    found[~np.isfinite(found).all(axis=1)] = 0.0
    found[:, 2:] = np.maximum(found[:, 2:], 0.0)
    return found


def _integrals(f: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The integral of each row from the first time to every other, and the integral of that, by Hermite's cubics."""
    h = np.diff(t)
    slope = np.gradient(f, t, axis=1)
    left, right, up, down = f[:, :-1], f[:, 1:], slope[:, :-1], slope[:, 1:]
    once, twice = np.zeros_like(f), np.zeros_like(f)
    once[:, 1:] = np.cumsum(h / 2 * (left + right) + h**2 / 12 * (up - down), axis=1)
    of_pieces = h**2 / 20 * (7 * left + 3 * right) + h**3 / 60 * (3 * up - 2 * down)
    twice[:, 1:] = np.cumsum(h * once[:, :-1] + of_pieces, axis=1)
    return once, twice


def sinusoid_starts(observed: np.ndarray, t: np.ndarray, free: int, starts: int = 2) -> np.ndarray:
    """Factors (starts, n, free) of the pendulums that swing like the best fitting sinusoids; t goes from 0 to 1."""
    # Steps of a quarter turn over the whole time: the nearest one is at most a sixteenth of a turn out at either end.
    turn = np.pi / 2
    # Beyond half a turn per point (on average) a sinusoid looks like a slower one.
    frequencies = turn * np.arange(max(4, 2 * (t.size - 1)))
    explained = np.zeros((len(frequencies) + 2, len(observed)))  # with a row of zeros on either side
    coefficients = np.empty((len(frequencies), 2, len(observed)))
    for k, w in enumerate(frequencies):
        # theta0 cos(wt) + omega0 sin(wt)/w, which for w = 0 is the straight line.
        q, r = np.linalg.qr(np.stack([np.cos(w * t), t * np.sinc(w * t / np.pi)], axis=1))
        projection = q.T @ observed.T
        explained[1 + k] = np.sum(projection**2, axis=0)
        coefficients[k] = np.linalg.solve(r, projection)
    middle = explained[1:-1]
    peak = (middle >= explained[:-2]) & (middle >= explained[2:])
    chosen = np.argsort(np.where(peak, -middle, 0.0), axis=0)[:starts]

    w = frequencies[chosen]
    theta0, omega0 = np.moveaxis(coefficients[chosen, :, np.arange(len(observed))], -1, 0)
    amplitude = np.minimum(np.hypot(theta0, omega0 / np.maximum(w, turn / 4)), 3.0)
    # A swing of this size has frequency w = sqrt(g/L) agm(1, cos(amplitude / 2)).
    g_over_l = (w / pendulum.arithmetic_geometric_mean(1.0, np.cos(amplitude / 2))) ** 2
    return np.stack([theta0, omega0, g_over_l, np.zeros_like(w)], axis=-1)[..., :free]


def roughness(observed: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The noise (n,) that each trajectory may have: what its points miss of the cubics through their neighbours."""
    if t.size < 5:
        return np.zeros(len(observed))
    middle, others = t[2:-2], [t[:-4], t[1:-3], t[3:-1], t[4:]]
    missed, variance = observed[:, 2:-2].copy(), np.ones(t.size - 4)
    for i, at in enumerate(others):
        weight = np.prod([(middle - other) / (at - other) for j, other in enumerate(others) if j != i], axis=0)
        start = i if i < 2 else i + 1
        missed -= weight * observed[:, start : start + t.size - 4]
        variance += weight**2
    return np.sqrt(np.mean(missed**2 / variance, axis=1))


def _improved(start, observed, t, growing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, free) and RMS distances (n,) that the starts lead to; `growing` fits a growing part of the time."""
    factors, sse = start.copy(), np.full(len(start), np.inf)
    longest = _longest_steps(start, t)
    for step in np.unique(longest):
        rows = np.flatnonzero(longest == step)
        found = start[rows]
        for points in _parts(t, step) if growing else ():
            found, _ = levenberg_marquardt(found, observed[rows, :points], t[:points], step, iterations=20)
        factors[rows], sse[rows] = levenberg_marquardt(found, observed[rows], t, step)
    return factors, np.sqrt(sse / t.size)


def _longest_steps(factors: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The Runge-Kutta step (n,) that each motion asks for: the longest interval, halved often enough."""
    theta0, omega0, g_over_l = factors.T[:3]
    half = theta0 / 2
    at_bottom = omega0**2 + 4 * g_over_l * np.sin(half) ** 2  # omega^2
    above_top = omega0**2 / 2 - 2 * g_over_l * np.cos(half) ** 2
    rate = np.sqrt(np.maximum(g_over_l, at_bottom / 4))
    if factors.shape[1] == 4:
        rate = np.maximum(rate, factors[:, 3])
    interval = np.diff(t).max()
    rate = np.minimum(rate, np.pi / interval)  # what turns faster is not followed by the points
    # What a step is wrong by grows while the pendulum is near the top, the more the closer it comes to resting there.
    with np.errstate(divide="ignore", invalid="ignore"):
        near = np.cbrt(0.2 * g_over_l / np.abs(above_top))
    rate = rate * np.clip(np.nan_to_num(near, nan=1.0, posinf=FINEST), 1.0, FINEST)
    halvings = np.ceil(np.log2(np.maximum(interval * rate / STEP, 1.0)))
    return interval / 2**halvings


def _parts(t: np.ndarray, step: float) -> np.ndarray:
    """Numbers of points of a growing part of the time: each is longer by about what a motion needs to change."""
    count = int(np.clip(STEP / step, 4, 64))
    return np.unique(np.linspace(0, t.size, count + 1).astype(int)[1:-1].clip(min(8, t.size)))


def levenberg_marquardt(
    start: np.ndarray, observed: np.ndarray, t: np.ndarray, step: float, iterations: int = MAX_ITERATIONS
) -> tuple[np.ndarray, np.ndarray]:
    """Factors (n, free) improved from a start, and their sums of squared residuals (n,).

    g/L is sought between 0 and 1 / step^2, and c/m between 0 and 1 / step, where `step` is the integrator's longest.
    """
    n, free = start.shape
    lower = np.array([-np.inf, -np.inf, 0.0, 0.0])[:free]
    upper = np.array([np.inf, np.inf, step**-2, step**-1])[:free]
    factors = np.clip(start, lower, upper)
    sse, gradient, curvature = _normal_equations(factors, observed, t, step)
    caution = np.full(n, 1e-3)
    active = np.flatnonzero(np.isfinite(sse))
    for _ in range(iterations):
        if not active.size:
            break
        old = factors[active]
        change = _cautious_step(curvature[active], gradient[active], caution[active], old, lower, upper, 1e-6 * t.size)
        trial = np.clip(old + change, lower, upper)
        promise = np.sum(gradient[active] * change, axis=1)  # of a lower sum of squares
        worthwhile = promise > 1e-12 * sse[active] + 1e-22 * t.size
        trial_sse, trial_gradient, trial_curvature = _normal_equations(trial, observed[active], t, step)
        better = trial_sse < sse[active]
        won = active[better]
        factors[won], sse[won] = trial[better], trial_sse[better]
        gradient[won], curvature[won] = trial_gradient[better], trial_curvature[better]
        caution[active] = np.where(better, np.maximum(caution[active] / 10, 1e-12), caution[active] * 4)
        active = active[worthwhile & (caution[active] < 1e12)]
    return factors, sse


def _cautious_step(matrix, slope, caution, factors, lower, upper, least) -> np.ndarray:
    """The Gauss-Newton step (n, free), shortened by a share `caution` of the diagonal. Changes `matrix` and `slope`."""
    diagonal = np.arange(slope.shape[1])
    # The floor keeps the matrix regular where a factor has no effect, as g/L on a pendulum at rest.
    scale = np.maximum(matrix[:, diagonal, diagonal], least)
    matrix[:, diagonal, diagonal] += caution[:, None] * scale
    # A factor that lies on a bound and wants to leave by it is held, and the others move without it.
    held = ((factors <= lower) & (slope < 0)) | ((factors >= upper) & (slope > 0))
    matrix[held[:, :, None] | held[:, None, :]] = 0.0
    matrix[:, diagonal, diagonal] += held
    slope[held] = 0.0
    return np.linalg.solve(matrix, slope[..., None])[..., 0]


def _normal_equations(factors, observed, t, step):
    """Sum of squared residuals (n,), J^T r (n, free) and J^T J (n, free, free); the sum is inf where one overflows."""
    import minigen.kernels.pendulum as kernels
    from minigen.kernels.jit import USE_NUMBA

    n, free = factors.shape
    observed = np.ascontiguousarray(observed)
    sse, gradient, curvature = np.empty(n), np.empty((n, free)), np.empty((n, free, free))
    with np.errstate(over="ignore", invalid="ignore"):
        run = kernels.normal_equations if USE_NUMBA else kernels.normal_equations_numpy
        run(factors, observed, t, step, sse, gradient, curvature)
        sse[~np.isfinite(sse + gradient.sum(1) + curvature.sum((1, 2)))] = np.inf
    return sse, gradient, curvature
