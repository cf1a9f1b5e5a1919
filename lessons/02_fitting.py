# %% [markdown]
# # 2. Fitting: what noisy observations can tell
#
# **At the end you can** fit by least squares, choose features, name the score that no model can beat, recognise a score
# that is too good to be true, and measure how far any curve is from a pendulum's: the yardstick of the whole course.
#
# **It stands on** lesson 1 and, from linear algebra, matrix times vector.
#
# In lesson 1 we ran the machine forwards, from factors to a trajectory. Now somebody hands us trajectories, with noise
# on them, and we want to go back. The tool is two hundred years old and hides inside every network of this course.

# %%
from itertools import combinations_with_replacement

import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import datasets, metrics
from minigen.physics import pendulum

lesson = Lesson("02_fitting")
rng = lesson.rng

# %% [markdown]
# ## Least squares, and one hundred pendulums seen twice
#
# We choose **features**, functions of time such as $1, t, t^2$, and write the angle as their weighted sum. With the
# features as columns of a matrix $X$, the weights $w$ that bring $Xw$ closest to the observations $y$ leave a rest
# $y - Xw$ that is orthogonal to every column: $X^\top X w = X^\top y$, the *normal equations*.
#
# How many features? To find out we look at each pendulum twice, at the same 50 moments, but the noise (SD $0.1\,t$) is
# fresh the second time. We fit the first observation (**train**) and score the fit on the second (**test**).


# %%
def least_squares(X, y, ridge=1e-9):
    """Weights from the normal equations; the tiny ridge keeps them solvable where columns depend on each other."""
    return np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ y)


def polynomial(t, degree):
    return np.polynomial.legendre.legvander(
        t / 2.5 - 1, degree
    )  # powers of t, mixed to be as different as can be


def sinusoid(t, y, seen):
    """The best a cos(wt) + b sin(wt) for each column of y, fitted to the rows that are seen: curves, w, a, b."""
    w = np.linspace(1.2, 4.0, 57)
    X = np.stack([np.cos(np.outer(w, t)), np.sin(np.outer(w, t))], axis=-1)
    ab = np.stack([least_squares(x[seen], y[seen]) for x in X])
    errors = np.mean((X @ ab - y)[:, seen] ** 2, axis=1)
    best, column = np.argmin(errors, axis=0), np.arange(y.shape[1])
    return (X @ ab)[best, :, column].T, w[best], *ab[best, :, column].T


score = lambda prediction, y: np.mean((prediction - y) ** 2)
seen_twice = datasets.pendulum_trajectories(100, rng, view=50)
t, true, train = seen_twice.t, seen_twice.clean.T, seen_twice.theta.T
test = true + 0.1 * t[:, None] * rng.standard_normal(true.shape)
degrees = np.arange(1, 41)
fits = [polynomial(t, d) @ least_squares(polynomial(t, d), train) for d in degrees]
train_scores, test_scores = (
    [score(f, train) for f in fits],
    [score(f, test) for f in fits],
)
best = int(np.argmin(test_scores))
wave_score = score(sinusoid(t, train, t >= 0)[0], test)
lesson.verdict(
    f"from degree {degrees[best]} to 40 the train error falls from {train_scores[best]:.3f} to "
    f"{train_scores[-1]:.3f} rad^2 (to less than half), the test error rises from {test_scores[best]:.3f} to "
    f"{test_scores[-1]:.3f} (by a fifth or more)",
    train_scores[-1] < 0.5 * train_scores[best]
    and test_scores[-1] > 1.2 * test_scores[best],
)
lesson.verdict(
    f"a sinusoid, 3 numbers, has test error {wave_score:.3f}; the best polynomial's is larger, {test_scores[best]:.3f}",
    wave_score < test_scores[best],
)

# %% [markdown]
# More weights always fit *these* points better: in the end they fit the noise. And features that know the subject beat
# features that do not. The difference is stark outside the data: fit the first 3.5 s, predict the rest.

# %%
early = t < 3.5
waves = sinusoid(t, train, early)[0]
octics = polynomial(t, 8) @ least_squares(polynomial(t, 8)[early], train[early])
wave_ahead, octic_ahead = (
    score(curves[~early], test[~early]) for curves in (waves, octics)
)
lesson.verdict(
    f"predicting 3.5 s to 5 s, the sinusoid errs by {wave_ahead:.2f} rad^2 and the polynomial of degree 8 by "
    f"{octic_ahead:.0f} (at least 100 times as much)",
    octic_ahead > 100 * wave_ahead,
)

# %% [markdown]
# ## The floor
#
# What is the best possible score? An observation is $y = \theta + \varepsilon$, and the noise $\varepsilon$ has nothing
# to do with any model $f$, so the cross term averages out:
#
# $$E(y - f)^2 = E(\theta - f)^2 + E\varepsilon^2 \;\ge\; E\varepsilon^2
#   = \frac15\int_0^5 (0.1\,t)^2\,dt = \frac{0.01 \cdot 25}{3} = 0.083 .$$
#
# Even the one who made the data cannot do better. A model that scores clearly less has seen the data it is tested on.

# %%
data = datasets.pendulum_trajectories(800 if lesson.quick else 4000, rng)
physicist = pendulum.simulate(data.theta0, data.omega0, data.length).theta
measured, floor = score(physicist, data.theta), 0.01 * np.mean(data.t**2)
ceiling = 1 - floor / np.var(data.theta)
lesson.verdict(
    f"told the true factors, the physicist errs by {measured:.4f} rad^2; the noise's variance is {floor:.4f} "
    f"(within 2 %), so R^2 = 1 - error / variance is at most {ceiling:.3f}",
    abs(measured / floor - 1) < 0.02,
)

# %% [markdown]
# ## A score that is too good
#
# Now one model for *all* pendulums: predict the angle from time and factors. As features we take all products of up to
# three of the four scaled factors (35 of them), times polynomials of degree 9 in time: 350 weights, linear still. The
# table has one row per observation, and we hold out a fifth of it. Of its rows? Or of its pendulums?


# %%
def table(data):
    """Features (rows, 350) and observed angles (rows,); 100 rows per pendulum, in order."""
    z = np.stack(
        [
            2 * data.theta0 - 2,
            2 * data.omega0 - 2,
            data.length / 0.75 - 7 / 3,
            data.mass / 0.75 - 7 / 3,
        ]
    )
    picks = (
        list(c) for k in range(4) for c in combinations_with_replacement(range(4), k)
    )
    of_factors = np.stack([np.prod(z[c], axis=0) for c in picks], axis=1)
    X = of_factors[:, None, :, None] * polynomial(data.t, 9)[None, :, None, :]
    return X.reshape(data.theta.size, -1), data.theta.ravel()


def held_out_scores(pendulums):
    """The same model judged on a fifth of the rows and on a fifth of the pendulums."""
    data = datasets.pendulum_trajectories(pendulums, rng, view=100)
    X, y = table(data)
    order = rng.permutation(len(y))
    held, kept = np.split(order, [len(y) // 5])
    by_rows = score(X[held] @ least_squares(X[kept], y[kept], 1e-6), y[held])
    kept, held = (
        table(part) for part in datasets.train_test_split(data, rng, test=0.2)
    )
    return by_rows, score(held[0] @ least_squares(*kept, 1e-6), held[1])


sizes = [40, 80, 160] if lesson.quick else [40, 80, 160, 320]
by_rows, by_pendulums = np.mean(
    [[held_out_scores(size) for size in sizes] for _ in range(3)], axis=0
).T
lesson.verdict(
    f"with 40 pendulums a split by rows promises an error of {by_rows[0]:.2f} rad^2; on pendulums left out "
    f"it is {by_pendulums[0]:.2f} (at least 3 times as much)",
    by_pendulums[0] > 3 * by_rows[0],
)
lesson.verdict(
    f"with {sizes[-1]} both nearly agree, {by_rows[-1]:.3f} and {by_pendulums[-1]:.3f} (within 25 %), above the floor",
    abs(by_pendulums[-1] / by_rows[-1] - 1) < 0.25 and by_pendulums[-1] > floor,
)

# %% [markdown]
# With rows split at random every pendulum lies on both sides. The model may simply remember each of its 40 curves, and
# the held-out rows reward it for that: they **leak**. Always split by what you want to generalise to. For us that is
# the pendulum, and `datasets.train_test_split` knows no other way.

# %%
fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
j = int(np.argmax(np.abs(true).max(axis=0)))
axes[0].axvspan(0, 3.5, color="#eef2f7", lw=0)
axes[0].plot(t, train[:, j], "o", ms=4, color="#8fa3bf", label="observed")
axes[0].plot(t, true[:, j], color="#444444", lw=1, ls="--", label="true")
axes[0].plot(t, waves[:, j], color="#1f4e8c", lw=2, label="sinusoid")
axes[0].plot(t, octics[:, j], color="#c0392b", lw=2, label="degree 8")
axes[0].set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    ylim=(-3, 3.9),
    title="Fitted on the shaded part only",
)
axes[0].legend(frameon=False, loc="upper left", ncol=2, handlelength=1.5)
axes[1].plot(degrees, train_scores, color="#8fa3bf", lw=2, label="train")
axes[1].plot(degrees, test_scores, color="#c0392b", lw=2, label="test")
axes[1].plot(
    2, wave_score, "D", color="#1f4e8c", label="sinusoid (3 numbers), test"
)  # degree 2 has 3 weights too
axes[1].axhline(0.01 * np.mean(t**2), color="k", lw=1, ls=":", label="floor")
axes[1].set(
    xlabel="degree of the polynomial",
    ylabel="mean squared error (rad²)",
    title="One fit each",
    ylim=(0, 0.3),
)
axes[2].loglog(sizes, by_rows, "o-", color="#e08e0b", label="split by rows")
axes[2].loglog(sizes, by_pendulums, "o-", color="#2a9d8f", label="split by pendulums")
axes[2].axhline(floor, color="k", lw=1, ls=":", label="floor")
axes[2].set(
    xlabel="pendulums in the table",
    ylabel="held-out mean squared error (rad²)",
    title="One model for all",
)
axes[2].set_xticks(sizes, sizes)
axes[2].minorticks_off()
axes[2].set_yticks([0.1, 0.2, 0.5, 1.0, 2.0], ["0.1", "0.2", "0.5", "1", "2"])
for ax in axes[1:]:
    ax.legend(frameon=False)
lesson.save(fig)

# %% [markdown]
# ## The best features are the equation itself
#
# A pendulum's curve has three degrees of freedom, $z = (\theta_0, \omega_0, g/L)$. So fit *them*. The curve $G(z)$ is
# not linear in the unknowns, but nearly so for small changes: $G(z + \delta) \approx G(z) + J\delta$, with slopes $J$
# found by small nudges. Each round is a least-squares problem for $\delta$ with the columns of $J$ as features: the
# **Gauss-Newton** method. It starts from the sinusoid, corrected for the amplitude by lesson 1's exact period.


# %%
def curves(z):
    """G: angles (n, 100) of pendulums with factors z (n, 3)."""
    return pendulum.simulate(
        z[:, 0], z[:, 1], pendulum.GRAVITY / z[:, 2], steps=500, dt=0.01
    ).theta[:, ::5]


def gauss_newton(t, y):
    _, w, a, b = sinusoid(t, y[:, None], t >= 0)
    z = np.concatenate(
        [
            a,
            b * w,
            (w / pendulum.arithmetic_geometric_mean(1.0, np.cos(np.hypot(a, b) / 2)))
            ** 2,
        ]
    )
    for _ in range(12):
        ahead, behind = curves(z + 1e-4 * np.eye(3)), curves(z - 1e-4 * np.eye(3))
        z = z + least_squares((ahead - behind).T / 2e-4, y - curves(z[None])[0])
    return z, np.sqrt(score(curves(z[None])[0], y))


view = data.take(slice(500)).view(100)
mine = [gauss_newton(view.t, y) for y in view.theta[:8]]
fit = metrics.physics_residual(view.theta, view.t)
gap = max(np.abs(fit.residual[i] - residual) for i, (_, residual) in enumerate(mine))
gap = max(
    [
        gap,
        *(
            np.abs([fit.factors[k][i] for k in fit.factors] - z).max()
            for i, (z, _) in enumerate(mine)
        ),
    ]
)
lesson.verdict(
    f"`metrics.physics_residual` finds our factors and residuals within {gap:.0e} (limit 1e-4)",
    gap < 1e-4,
)

# %% [markdown]
# ## The yardstick
#
# The library does this for hundreds of trajectories at once. What remains after the best fit tells how far a curve is
# from physics: its **physics residual**, in radians. From here on every generator faces it, between two extremes: real
# trajectories without noise, and a **control**, the same numbers shuffled over the pendulums at each moment, so that
# each moment is right and the motion is nonsense.

# %%
shuffled = metrics.shuffled_control(view.clean, rng)
judge = lambda trajectories: metrics.physics_residual(trajectories, view.t)
ends = {"clean": judge(view.clean), "noisy": fit, "control": judge(shuffled)}
clean, noisy, control = (np.median(found.residual) for found in ends.values())
lesson.verdict(
    f"median residuals: clean {clean:.0e} rad (below 1e-6), noisy {noisy:.2f} (0.26 to 0.30: the noise's root "
    f"mean square), control {control:.2f} (above 0.5)",
    clean < 1e-6 and 0.26 < noisy < 0.30 and control > 0.5,
)
fitted = {
    name: curves(np.stack(list(found.factors.values()), axis=1))
    for name, found in ends.items()
}
off = np.sqrt(score(fitted["noisy"], view.clean))
lesson.verdict(
    f"the curves fitted to noisy data are {off:.3f} rad from the true ones (below 0.08), the data themselves "
    f"{np.sqrt(score(view.theta, view.clean)):.3f} rad",
    off < 0.08,
)

fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
axes[0].plot(view.t, view.theta[0], "o", ms=3, color="#8fa3bf", label="observed")
axes[0].plot(view.t, fitted["noisy"][0], color="#1f4e8c", lw=2, label="its pendulum")
axes[0].plot(
    view.t,
    shuffled[0] - 4,
    "o",
    ms=3,
    color="#e6b0aa",
    label="control (moved down by 4)",
)
axes[0].plot(
    view.t, fitted["control"][0] - 4, color="#c0392b", lw=2, label="its pendulum"
)
axes[0].set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    ylim=(-6.5, 4),
    title="The closest pendulum",
)
axes[0].legend(frameon=False, ncol=2, loc="upper center", handlelength=1.2)
axes[1].plot(view.g_over_l, fit.factors["g_over_l"], ".", ms=4, color="#1f4e8c")
axes[1].axline((4, 4), slope=1, color="k", lw=1, ls=":")
axes[1].set(
    xlabel="true g/L (1/s²)",
    ylabel="fitted g/L (1/s²)",
    title="Factors read off noisy data",
)
for (name, found), colour in zip(ends.items(), ("#2a9d8f", "#1f4e8c", "#c0392b")):
    axes[2].hist(found.residual, np.geomspace(1e-9, 2, 100), color=colour, label=name)
axes[2].set(
    xscale="log",
    xlabel="physics residual (rad)",
    ylabel="trajectories",
    title="The yardstick and its ends",
)
axes[2].legend(frameon=False, loc="upper center")
lesson.save(fig, "yardstick")
lesson.end()

# %% [markdown]
# Notice what the fit has done: it took a noisy curve and gave back the three numbers that made it. $G$ runs from
# factors to curves, the fit runs backwards. In lesson 21 a network learns both ways at once, without the equation.
#
# ## Exercises
#
# 1. The noise at $t$ has SD $0.1\,t$, so late points deserve less trust. Write `weighted_least_squares(X, y, sd)` and
#    show that with it a polynomial of degree 8 comes nearer to the true curves of `seen_twice` (use $0.1\,t + 0.01$).
# 2. Write `expected_test_error(X, sd)`: the noise's mean variance plus $\tfrac1n\sum_{ij} H_{ij}^2\,\mathrm{sd}_j^2$,
#    with $H = X(X^\top X)^{-1}X^\top$. For degree 20 it should meet the measured test error within 10 %.
# 3. Leave the mass out of `table`. How many weights remain, and how does the error on pendulums left out change, with
#    40 of them? Why does it help to take this away?
# 4. Give `physics_residual` pendulums with drag 0.3 kg/s and no noise, first as they are, then with `drag=True`. What
#    are the median residuals?
#
# ## Sources
#
# T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 2nd edition (2009), chapters 3 and 7;
# D. Marquardt, *An algorithm for least-squares estimation of nonlinear parameters*, Journal of the SIAM 11 (1963);
# A. Honchar, *From high-school physics to GANs* (2021), from which the data set comes.
