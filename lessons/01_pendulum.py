# %% [markdown]
# # 1. The pendulum: a generator written by a physicist
#
# **At the end you can** turn an equation of motion into trajectories in four ways, say how wrong each one is before you
# run it, check the result against an exact formula, and see why an equation with dice is a generative model.
#
# **It stands on** Python, NumPy arrays and Newton's *force is mass times acceleration*.
#
# A *generative model* makes new examples of something: faces, sentences, and in this course the swings of a pendulum.
# Most models to come learn from data how to do it. The first one need not, because physics has done the learning. It is
# the best generator of the whole course, so we build it first, look at it closely, and measure all the others by it.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson

lesson = Lesson("01_pendulum")
rng = lesson.rng

# %% [markdown]
# ## The equation
#
# A mass $m$ hangs on a rod of length $L$, at an angle $\theta$ from straight down. Along its arc gravity pulls it back
# with $m g \sin\theta$, the air brakes it with $c$ times its speed $L\theta'$, and its acceleration is $L\theta''$:
#
# $$m L\,\theta'' = -m g \sin\theta - c L\,\theta'
# \qquad\Longrightarrow\qquad
# \theta'' = -\frac{g}{L}\sin\theta - \frac{c}{m}\,\theta'.$$
#
# We write $x$ for the angle (rad) and $v$ for its rate of change (rad/s). Given both, we know how fast $v$ changes.

# %%
g = 9.81  # m/s^2


def make_acceleration(length, mass=1.0, drag=0.0):
    return lambda x, v: -g / length * np.sin(x) - drag / mass * v


# %% [markdown]
# ## Four ways to take a step
#
# The equation gives slopes, and we want a curve. So we walk: take a step of $h$ seconds along the slope, look at the
# new slope, step again. **Euler** does just that. **Euler-Cromer** changes one thing: the position moves with the *new*
# velocity. **Verlet** averages the accelerations at both ends of the step. **Runge-Kutta** (RK4) tries out the slope
# four times and weighs the answers so that most of the error cancels.


# %%
def euler(acceleration, x, v, h):
    return x + h * v, v + h * acceleration(x, v)


def euler_cromer(acceleration, x, v, h):
    v = v + h * acceleration(x, v)
    return x + h * v, v


def velocity_verlet(acceleration, x, v, h):
    a = acceleration(x, v)
    x = x + h * (v + h / 2 * a)
    return x, v + h / 2 * (a + acceleration(x, v + h * a))


def rk4(acceleration, x, v, h):
    v1, a1 = v, acceleration(x, v)
    v2, a2 = v + h / 2 * a1, acceleration(x + h / 2 * v1, v + h / 2 * a1)
    v3, a3 = v + h / 2 * a2, acceleration(x + h / 2 * v2, v + h / 2 * a2)
    v4, a4 = v + h * a3, acceleration(x + h * v3, v + h * a3)
    return x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4), v + h / 6 * (
        a1 + 2 * a2 + 2 * a3 + a4
    )


def walk(rule, acceleration, x, v, h, points):
    """Angles and velocities, time along the last axis; x and v may hold many pendulums at once."""
    path = [(x, v)]
    while len(path) < points:
        path.append(rule(acceleration, *path[-1], h))
    return np.moveaxis(np.array(path), 0, -1)


rules = {
    "Euler": euler,
    "Euler-Cromer": euler_cromer,
    "Verlet": velocity_verlet,
    "RK4": rk4,
}
colours = dict(zip(rules, ("#c0392b", "#e08e0b", "#2a9d8f", "#1f4e8c")))

# %% [markdown]
# ## First check: energy
#
# Without air the energy $E = \tfrac12 m L^2 v^2 + m g L\,(1 - \cos x)$ must stay what it was. We let a pendulum of one
# metre go at 0.1 rad and watch it for 20 s in steps of 0.01 s; Euler-Cromer must go on for 400 s.

# %%
energy = lambda x, v: (
    v**2 / 2 + g * (1 - np.cos(x))
)  # for L = 1 m and m = 1 kg, in joule
relative = {}
for name, rule in rules.items():
    x, v = walk(
        rule,
        make_acceleration(1.0),
        0.1,
        0.0,
        0.01,
        40_001 if name == "Euler-Cromer" else 2001,
    )
    relative[name] = energy(x, v) / energy(0.1, 0.0)
growth, theory = relative["Euler"][-1], (1 + g * 0.01**2) ** 2000
lesson.verdict(
    f"Euler's energy grows {growth:.2f}-fold in 20 s; theory, below, says {theory:.2f} (within 5 %)",
    abs(growth / theory - 1) < 0.05,
)
first, last = (
    np.abs(part - 1).max()
    for part in (relative["Euler-Cromer"][:2000], relative["Euler-Cromer"][-2000:])
)
lesson.verdict(
    f"Euler-Cromer's energy is within {last:.2%} in the last 20 s of 400, as in the first ({first:.2%})",
    last < 1.05 * first < 0.03,
)

# %% [markdown]
# One swapped line, and the pendulum no longer heats up. Why? For small swings $\sin x \approx x$; with $w^2 = g/L$ a
# step is a matrix acting on $(x, v)$, and its determinant is the factor by which it stretches areas:
#
# $$\text{Euler: } \det\begin{pmatrix} 1 & h\\ -w^2 h & 1 \end{pmatrix} = 1 + w^2h^2,
# \qquad \text{Euler-Cromer: } \det\begin{pmatrix} 1 - w^2h^2 & h\\ -w^2 h & 1 \end{pmatrix} = 1.$$
#
# Euler blows up every area in the plane of $x$ and $v$, at every step, and the energy goes with the area that the orbit
# encloses: hence the theory, $(1 + w^2h^2)^{2000}$. Euler-Cromer keeps all areas, and so does the true motion.
#
# ## Second check: what does half the step buy?
#
# An error that shrinks like $h^p$ is said to be of **order** $p$: half the step divides it by $2^p$. We measure the
# error after 2 s over twenty pendulums with random starts; RK4 with very small steps stands in for the truth.

# %%
x0, v0, length = (
    rng.uniform(0.5, 1.5, 20),
    rng.uniform(0.5, 1.5, 20),
    rng.uniform(1.0, 2.5, 20),
)
after_2_seconds = lambda rule, steps: walk(
    rule, make_acceleration(length), x0, v0, 2 / steps, steps + 1
)[..., -1]
truth, counts = after_2_seconds(rk4, 2000), np.array([50, 100, 200, 400])
errors = {}
for (name, rule), p in zip(rules.items(), (1, 1, 2, 4)):
    errors[name] = [
        np.sqrt(np.mean((after_2_seconds(rule, count) - truth) ** 2))
        for count in counts
    ]
    order = np.log2(errors[name][-2] / errors[name][-1])
    lesson.verdict(
        f"{name} has order {order:.2f}, expected {p} (within 0.1)", abs(order - p) < 0.1
    )

fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for name, rule in rules.items():
    style = {"color": colours[name], "label": name}
    if name in ("Euler", "Euler-Cromer"):
        axes[0].plot(
            *walk(rule, make_acceleration(1.0), 0.5, 0.0, 0.05, 81),
            "o-",
            ms=3,
            lw=1,
            **style,
        )
    so_far = np.maximum.accumulate(np.abs(relative[name][1:2001] - 1))
    axes[1].semilogy(0.01 * np.arange(1, 2001), so_far, lw=2, **style)
    axes[2].loglog(2000 / counts, errors[name], "o-", **style)
axes[0].set(
    xlabel="angle x (rad)",
    ylabel="angular velocity v (rad/s)",
    title="Four seconds in steps of 0.05 s",
)
axes[1].set(
    xlabel="time (s)",
    ylabel="largest relative error of energy so far",
    title="Energy, in steps of 0.01 s",
)
axes[2].set(
    xlabel="step h (ms)",
    ylabel="error after 2 s (rad and rad/s)",
    title="Half the step: error ÷ 2, 2, 4, 16",
)
axes[2].set_xticks(2000 / counts, [f"{ms:g}" for ms in 2000 / counts])
axes[2].minorticks_off()
for ax, place in zip(axes, ("center", (0.58, 0.29), "lower right")):
    ax.grid(alpha=0.25)
    ax.legend(frameon=False, loc=place, handlelength=1.2)
lesson.save(fig)

# %% [markdown]
# ## Third check: an exact number
#
# The school formula $T = 2\pi\sqrt{L/g}$ holds for small swings only. The exact period for a largest angle $A$ is
# $T = 2\pi\sqrt{L/g}\,/\,\mathrm{agm}(1, \cos(A/2))$, where agm is the **arithmetic-geometric mean**: replace two
# numbers by their two means until they agree. A pendulum let go at rest reaches the bottom after $T/4$. We walk until
# just before it does, then take one shorter step, corrected by Newton's method until it ends at $x = 0$.


# %%
def agm(a, b):
    for _ in range(6):
        a, b = (a + b) / 2, np.sqrt(a * b)
    return a


def measured_period(angle, length, h=0.005):
    acceleration, x, v, steps, last_step = make_acceleration(length), angle, 0.0, 0, 0.0
    while (ahead := rk4(acceleration, x, v, h))[0] > 0:
        (x, v), steps = ahead, steps + 1
    for _ in range(6):
        near_x, near_v = rk4(acceleration, x, v, last_step)
        last_step -= near_x / near_v
    return 4 * (steps * h + last_step)


angles, lengths = rng.uniform(0.1, 2.8, 8), rng.uniform(1.0, 2.5, 8)
school = 2 * np.pi * np.sqrt(lengths / g)
exact = school / agm(1.0, np.cos(angles / 2))
off = np.max(np.abs([measured_period(a, l) for a, l in zip(angles, lengths)] - exact))
lesson.verdict(
    f"RK4's period is within {off:.0e} s of the exact one (limit 1e-6 s), for 8 pendulums; "
    f"the school formula is up to {np.max(exact - school):.1f} s short",
    off < 1e-6,
)

# %% [markdown]
# ## The library has the same
#
# `minigen.physics.integrators` holds the four rules, as readable as ours; `minigen.physics.pendulum.simulate` runs them
# as compiled loops over any number of pendulums.

# %%
from minigen import datasets
from minigen.physics import pendulum

theirs = pendulum.simulate(x0, v0, length, steps=500, dt=0.01, method="rk4")
gap = np.abs(
    walk(rk4, make_acceleration(length), x0, v0, 0.01, 500)
    - (theirs.theta, theirs.omega)
).max()
gap = max(gap, np.abs(pendulum.exact_period(angles, lengths) - exact).max())
lesson.verdict(
    f"the library's trajectories and periods differ from ours by {gap:.0e} at most (limit 1e-10)",
    gap < 1e-10,
)

# %% [markdown]
# ## The generator
#
# Now the step that makes this a course on generative models. Draw four numbers by lot, the **factors**
# $z = (\theta_0, \omega_0, L, m)$: starting angle and velocity, length, mass. Put them into the equation. Out comes a
# trajectory $G(z)$ that nobody has seen before, and it looks right because it *is* right.
#
# Plain random numbers go in, and a deterministic machine $G$ bends them into something rich. GANs and VAEs, the models
# to come, have this very form; there $G$ is a network that nobody tells the equation. All it gets to see is the cloud
# on the right of the next figure. Its angles carry noise, whose standard deviation (SD) grows with time: $0.1\,t$ rad.

# %%
data = datasets.pendulum_trajectories(1000 if lesson.quick else 4000, rng)

fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", sharey=True)
shade = plt.cm.ScalarMappable(plt.Normalize(1.0, 2.5), "viridis")
for i in range(40):
    axes[0].plot(data.t, data.clean[i], color=shade.to_rgba(data.length[i]), lw=0.9)
fig.colorbar(shade, ax=axes[0], label="length L (m)")
axes[1].plot(data.t, data.theta[0], ".", ms=3, color="#8fa3bf", label="observed")
axes[1].plot(data.t, data.clean[0], color=colours["RK4"], lw=2, label="true")
low, high = data.clean[0] - 0.2 * data.t, data.clean[0] + 0.2 * data.t
axes[1].fill_between(data.t, low, high, alpha=0.15, lw=0, label="true ± 2 SD")
axes[1].legend(frameon=False, loc="upper center", ncol=3, handlelength=1.2)
view = data.view(100)  # the same 5 s at every fifth point
edges = (np.append(view.t, 5.0) - 0.025, np.linspace(-2.6, 2.6, 81))
cells = axes[2].hist2d(
    np.tile(view.t, len(view)), view.theta.ravel(), edges, cmap="magma"
)
fig.colorbar(cells[3], ax=axes[2], label="trajectories per cell")
axes[0].set(ylabel="angle (rad)", ylim=(-2.6, 2.6))
for ax, title in zip(
    axes,
    (
        "40 draws of the generator",
        "One of them, as observed",
        f"All {len(data)} observed",
    ),
):
    ax.set(xlabel="time (s)", title=title)
lesson.save(fig, "generator")

# %% [markdown]
# ## A dial that is connected to nothing
#
# We drew four factors. Look at the equation once more: without drag, where is the mass?

# %%
swing = lambda mass, drag: (
    pendulum.simulate(data.theta0, data.omega0, data.length, mass=mass, drag=drag).theta
)
change = {
    drag: np.abs(swing(data.mass, drag) - swing(2 * data.mass, drag)).max(axis=1)
    for drag in (0.0, 0.5)
}
lesson.verdict(
    f"without drag, twice the mass moves no trajectory by more than {change[0.0].max():.0e} rad (limit 1e-12)",
    change[0.0].max() < 1e-12,
)
lesson.verdict(
    f"with drag 0.5 kg/s it moves half of them by {np.median(change[0.5]):.2f} rad or more (at least 0.1)",
    np.median(change[0.5]) > 0.1,
)
lesson.end()

# %% [markdown]
# Four factors, but three *degrees of freedom*: $\theta_0$, $\omega_0$ and $g/L$. Keep this in mind. In lesson 22 a
# network that never saw the equation gets six dials to describe these curves, and we count how many it uses.
#
# ## Exercises
#
# 1. Write `midpoint(acceleration, x, v, h)`, which takes the slopes half an Euler step ahead. Its order, measured as
#    above, should lie between 1.9 and 2.1.
# 2. For small swings (`x` in place of `np.sin(x)`) Euler-Cromer conserves exactly a quantity of its own. Write it as
#    `invariant(x, v, w, h)`, $v^2 + w^2x^2 - w^2 h\,x v$; in 10 000 steps it changes by less than 1 part in $10^{10}$.
# 3. With drag the energy of small swings falls on average like $e^{-ct/m}$. Write `half_life(mass, drag)`, and measure
#    it in a simulation with $\theta_0 = 0.1$ and $c/m = 0.2$ per second; both should agree within 10 %.
# 4. A generator of your own: `throw(n, rng)` draws mass, speed and angle of $n$ thrown balls and returns their heights,
#    shape $(n, 50)$, over one second. How many degrees of freedom has it? (The rank of the centred heights tells.)
#
# ## Sources
#
# E. Hairer, C. Lubich, G. Wanner, *Geometric Numerical Integration* (2006), on why areas matter; A. Cromer, *Stable
# solutions using the Euler approximation*, American Journal of Physics 49 (1981); S. Adlaj, *An eloquent formula for
# the perimeter of an ellipse*, Notices of the AMS 59 (2012), on the period; A. Honchar, *From high-school physics to
# GANs* (2021), whose way from the pendulum to generative models this course follows.
