# %% [markdown]
# # 1. The pendulum: a generator written by a physicist
#
# *Part 1: a motion. 70 minutes.*
#
# **The question.** How does an equation become a curve? And what has that to do with machines
# that invent faces and sentences? A **generative model** makes new examples of something; in this
# course, the swings of a pendulum. Most models to come learn from data how to do it. The first
# one need not: physics has done the learning. It is the best generator of the whole course. So we
# build it first, look at it closely, and measure all the others by it.
#
# **Afterwards you can**
#
# * turn an equation of motion into curves, in four ways,
# * say how wrong each way is, and find a slip in it that no picture shows,
# * hold a simulation against an exact formula,
# * say why an equation with dice is a generative model.
#
# **You need** Python, NumPy arrays, derivatives, and Newton's *force is mass times acceleration*.
#
# **Four parts**, 15 to 20 minutes each. One may stop after any of them.
#
# 1. From an equation to a curve
# 2. Why does it heat up?
# 3. How wrong, and how do we know?
# 4. The generator
#
# **How to read.** Run cell after cell, and look at what each one prints or draws. At each
# *Predict* stop, and write down what you expect. Then go on. A few helpers are the same in all
# lessons:
#
# * `lesson.show` prints a number, and `lesson.table` several.
# * `lesson.claim` holds a number against a limit, and says whether it keeps it.
# * `lesson.same` does that for our numbers and those of the library, `minigen`.
# * `lesson.pick(full=..., quick=...)` takes the second number in a run with `--quick`.
# * `rng` throws all the dice. They fall alike in every run.

# %%
from lesson import Lesson

lesson = Lesson("01_pendulum")
rng = lesson.rng

import numpy as np

from minigen import datasets
from minigen.physics import pendulum
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

# %% [markdown]
# # Part 1. From an equation to a curve
#
# A pendulum hangs on a rod of 1 m. We let it go at 0.5 rad, about 29 degrees, and it is back
# after 2.04 s. School says: the time of a swing does not depend on how far one lets it go.
#
# > **Predict.** We let it go at 2 rad, and at 3 rad, nearly from the top. Will it still be back
# > after 2 s?


# %% tags=["hide-input"]
def draw_swings():
    with lesson.figure("swings", width=8) as ax:
        for angle, colour in ((0.5, BLUE), (2.0, GREEN), (3.0, PURPLE)):
            motion = pendulum.simulate(angle, 0.0, length=1.0, steps=1000)
            ax.plot(
                motion.t, motion.theta, color=colour, label=f"let go at {angle} rad"
            )
        ax.axhline(0, color=GREY, lw=0.8)
        ax.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3.3, 4.6))
        ax.set(title="The further up, the longer it takes")
        ax.legend(loc="upper center", ncol=3)


draw_swings()

# %% [markdown]
# **What you saw.** The wide swings take longer, and the widest is not even shaped like a wave: it
# lingers where it turns round. School is right for small swings only.
#
# The library drew these curves. By the end of Part 3 you will have built what it did.
#
# ## The equation
#
# A mass $m$ hangs on a rod of length $L$, at an angle $\theta$ from straight down. A prime means
# *how fast it changes*: $\theta'$ is the angular velocity in rad/s, and $\theta''$ says how fast
# that changes, in rad/s². On the arc an angle of 1 rad is a way of length $L$. So the mass has
# the speed $L\,\theta'$ and the acceleration $L\,\theta''$. Two forces act along the arc:
#
# * gravity pulls it back with $m g \sin\theta$,
# * and the air, if there is any, brakes it with $c$ times its speed.
#
# *Force is mass times acceleration* then reads (divide by $m L$ to get the second form)
#
# $$m L\,\theta'' = -m g \sin\theta - c L\,\theta', \qquad\text{so}\qquad
# \theta'' = -\frac{g}{L}\sin\theta - \frac{c}{m}\,\theta'.$$
#
# We write $x$ for the angle (rad) and $v$ for its rate of change (rad/s). If we know both, the
# equation tells how fast $v$ changes. At $x = 0.5$, $v = 0$, on a rod of 1 m and without air,
# that is $-9.81 \cdot \sin 0.5 = -4.70$ rad/s².

# %%
g = 9.81  # m/s^2


def make_acceleration(length, mass=1.0, drag=0.0):
    """How fast the angular velocity changes, as a function of angle x and velocity v."""

    def acceleration(x, v):
        return -g / length * np.sin(x) - drag / mass * v

    return acceleration


one_metre = make_acceleration(length=1.0)
lesson.show("at 0.5 rad, at rest", one_metre(0.5, 0.0), "rad/s^2")

# %% [markdown]
# ## One step by hand
#
# The equation gives slopes, and we want a curve. So we walk. We take a step of $h$ seconds along
# the slopes, look at the new slopes, and step again. This is **Euler's rule**:
#
# $$x_{\text{new}} = x + h\,v, \qquad v_{\text{new}} = v + h\,a(x, v).$$
#
# With $h = 0.1$ s, from $x = 0.5$ and $v = 0$, on paper:
#
# * $x = 0.5 + 0.1 \cdot 0 = 0.5$ rad,
# * $v = 0 + 0.1 \cdot (-4.70) = -0.470$ rad/s.
#
# The pendulum has begun to move, but it is where it was. The next step will take it to
# $0.5 - 0.1 \cdot 0.470 = 0.453$ rad.


# %%
def euler(acceleration, x, v, h):
    """Both move along the old slopes."""
    new_x = x + h * v
    new_v = v + h * acceleration(x, v)
    return new_x, new_v


x1, v1 = euler(one_metre, 0.5, 0.0, h=0.1)
x2, v2 = euler(one_metre, x1, v1, h=0.1)
lesson.show("after one step: rad, rad/s", [x1, v1])
lesson.show("after two steps", [x2, v2])

# %% [markdown]
# A curve is many such steps. We keep all angles and all velocities. Both may be arrays, of many
# pendulums at once; then time comes last.


# %%
def walk(rule, acceleration, x, v, h, steps):
    """Angles and velocities at the start and after each step: steps + 1 of each."""
    xs = [x]
    vs = [v]
    for _ in range(steps):
        x, v = rule(acceleration, x, v, h)
        xs.append(x)
        vs.append(v)
    return np.stack(xs, axis=-1), np.stack(vs, axis=-1)


euler_x, euler_v = walk(euler, one_metre, 0.5, 0.0, h=0.05, steps=160)
lesson.show("angles in the walk", len(euler_x))
lesson.show("the first four of them", euler_x[:4], "rad")

# %% [markdown]
# > **Predict.** Eight seconds of Euler's rule, in steps of 0.05 s. There is no air. How high will
# > the pendulum swing at the end?


# %% tags=["hide-input"]
def draw_euler():
    with lesson.figure("euler", width=8) as ax:
        # The library counts the angles: the one at the start, and 800 more.
        truth = pendulum.simulate(0.5, 0.0, length=1.0, steps=801)
        ax.plot(truth.t, truth.theta, color=GREY, lw=3, label="the true motion")
        time = 0.05 * np.arange(161)
        ax.plot(
            time, euler_x, ".-", ms=4, lw=1, color=VERMILLION, label="Euler, h = 0.05 s"
        )
        ax.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-2.9, 2.9))
        ax.set(title="Euler's pendulum swings higher and higher")
        ax.legend(loc="upper left")


draw_euler()

# %% [markdown]
# **What you saw.** The swings grow, to more than four times what they were. Energy comes from
# nowhere: with Euler's rule a pendulum heats up.

# %% [markdown]
# # Part 2. Why does it heat up?
#
# Without air the energy must stay what it was. It is half the mass times the speed squared, and
# the weight times the height above the lowest point. For 1 kg on a rod of 1 m that is
#
# $$E = \tfrac12 v^2 + g\,(1 - \cos x) \quad\text{(joule)}.$$
#
# At 0.1 rad and at rest it is $9.81 \cdot 0.005 = 0.049$ joule. We let the pendulum go there: a
# small swing, which is easier to reason about. We watch it for 20 s in steps of 0.01 s.


# %%
def energy(x, v):
    """In joule, for 1 kg on a rod of 1 m."""
    return v**2 / 2 + g * (1 - np.cos(x))


def energy_of_walk(rule, h, steps):
    """The energy at each step of a walk from 0.1 rad, over that at the start."""
    x, v = walk(rule, one_metre, 0.1, 0.0, h, steps)
    return energy(x, v) / energy(0.1, 0.0)


SMALL = 0.01  # s, the step of this part
STEPS_OF_20_S = 2000
hot = energy_of_walk(euler, SMALL, STEPS_OF_20_S)
lesson.show("energy at the start", energy(0.1, 0.0), "joule")
lesson.show("Euler: energy after 20 s over that at the start", hot[-1], "times")

# %% [markdown]
# Five times smaller steps, and still the energy has become seven times as much.
#
# ## One swapped line
#
# **Euler-Cromer** changes one thing: the velocity moves first, and the position then moves with
# the *new* velocity.


# %%
def euler_cromer(acceleration, x, v, h):
    """The position moves with the new velocity."""
    new_v = v + h * acceleration(x, v)
    new_x = x + h * new_v
    return new_x, new_v


# %% [markdown]
# > **Predict.** A swapped line: will its energy grow half as fast, fall, or stay? We are strict,
# > and watch not 20 s but 400 s.

# %%
cool = energy_of_walk(euler_cromer, SMALL, 20 * STEPS_OF_20_S)
error = np.abs(cool - 1)
first_20_s = error[:STEPS_OF_20_S].max()
last_20_s = error[-STEPS_OF_20_S:].max()
lesson.show("Euler-Cromer: energy off by, in the first 20 s, at most", first_20_s)
lesson.show("Euler-Cromer: the same in the last 20 s of 400", last_20_s)

# %% [markdown]
# It stays: wrong by 1.6 % at most, after 20 s as after 400 s. Why?
#
# ## A step is a matrix
#
# For small swings $\sin x \approx x$: at 0.1 rad the sine is 0.0998. With $w^2 = g/L$ the
# acceleration is then $-w^2 x$, and Euler's rule reads
#
# $$x_{\text{new}} = 1 \cdot x + h \cdot v, \qquad
# v_{\text{new}} = -w^2 h \cdot x + 1 \cdot v.$$
#
# The four factors, written as a square, are a **matrix**. It acts on the pair $(x, v)$; each row
# makes one new number. With Euler-Cromer the velocity is the same, but the position moves with
# the new one: $x + h\,(v - w^2 h\,x) = (1 - w^2h^2)\,x + h\,v$. That is another first row:
#
# $$\text{Euler: } \begin{pmatrix} 1 & h\\ -w^2 h & 1 \end{pmatrix},
# \qquad \text{Euler-Cromer: } \begin{pmatrix} 1 - w^2h^2 & h\\ -w^2 h & 1 \end{pmatrix}.$$
#
# A matrix stretches all areas by one factor, its **determinant**: upper left times lower right,
# less upper right times lower left. Euler's is $1 + w^2h^2$; here that is
# $1 + 9.81 \cdot 0.01^2 = 1.000981$. Little, but 2000 times: $1.000981^{2000} = 7.11$.
#
# What has an area to do with energy? The plane of $x$ and $v$ is called the **phase plane**. A
# small swing up to the angle $A$ draws an ellipse there: it reaches $A$ to the right and, at the
# bottom, the velocity $wA$ upwards. Its area is $\pi w A^2$. Its energy is $\frac12 (wA)^2$. Both
# grow like $A^2$: seven times the area is seven times the energy. (We measured 7.04, not 7.11, as
# $\sin x$ is not quite $x$.)
#
# Euler-Cromer's determinant is $(1 - w^2h^2) + w^2h^2 = 1$. It keeps areas, as the true motion
# does. (In the code the velocity is $v/w$. Then $w$ and $h$ appear as a product only.)


# %%
def euler_matrix(wh):
    """One step of Euler for small swings, acting on (x, v / w)."""
    return np.array([[1.0, wh], [-wh, 1.0]])


def cromer_matrix(wh):
    """One step of Euler-Cromer, acting on (x, v / w)."""
    return np.array([[1.0 - wh**2, wh], [-wh, 1.0]])


our_wh = np.sqrt(g) * SMALL
lesson.show("Euler's determinant", np.linalg.det(euler_matrix(our_wh)) - 1, "above 1")
lesson.show("Euler-Cromer's", np.linalg.det(cromer_matrix(our_wh)) - 1, "above 1")

# %%
predicted = (1 + g * SMALL**2) ** STEPS_OF_20_S
lesson.claim("Euler: growth of the energy in 20 s", hot[-1], near=predicted, percent=5)
lesson.claim(
    "Euler-Cromer: error of the energy in the first 20 s", first_20_s, below=0.03
)
lasting = last_20_s / first_20_s
lesson.claim(
    "Euler-Cromer: the same in the last 20 s of 400, over that", lasting, below=1.05
)
lesson.claim("Euler, held to the same 3 %: its error after 20 s", hot[-1] - 1, above=1)

# %% [markdown]
# ## Is an area that stays enough?
#
# (A look behind the curtain; who has enough of matrices goes on to the picture at the end of this
# part.)
#
# Often one reads: areas stay, *therefore* the energy stays bounded. Look once more. A matrix may
# keep areas and yet stretch: twice as long, half as wide. Along some directions a matrix only
# stretches and does not turn; such a direction is an **eigenvector**. The factor $\lambda$ is its
# **eigenvalue**, and $n$ steps multiply by $\lambda^n$. A matrix that turns every direction has
# them too, as complex numbers. What counts is their size $|\lambda|$: above 1 the steps grow in
# the long run.
#
# > **Predict.** The determinant of Euler-Cromer is 1 *whatever the step*. Let us take steps so
# > large that $wh = 2.05$ (for our pendulum, 0.65 s). Will the energy stay bounded?

# %%
eigenvalues = {}
determinants = []
rows = {}
for wh in (0.5, 1.5, 2.05):
    matrix = cromer_matrix(wh)
    determinants.append(np.linalg.det(matrix))
    eigenvalues[wh] = np.sort(np.abs(np.linalg.eigvals(matrix)))
    rows[f"wh = {wh}"] = {"determinant": determinants[-1], "sizes": eigenvalues[wh]}
lesson.table("Euler-Cromer's step: determinant, sizes of eigenvalues", rows)


# %%
def orbit(matrix, steps):
    """The points (x, v / w) of a walk, from 0.1 rad at rest: (2, steps + 1)."""
    points = [np.array([0.1, 0.0])]
    for _ in range(steps):
        points.append(matrix @ points[-1])
    return np.stack(points, axis=1)


far = np.abs(orbit(cromer_matrix(2.05), 100)).max()
lesson.show("wh = 2.05: the furthest in 100 steps, from 0.1 rad", far, "rad")

# %%
lesson.claim("wh = 0.5, 1.5, 2.05: determinant", determinants, near=1, within=1e-9)
turning = np.concatenate([eigenvalues[0.5], eigenvalues[1.5]])
lesson.claim("wh = 0.5 and 1.5: sizes of eigenvalues", turning, near=1, within=1e-9)
stretch = eigenvalues[2.05]
lesson.claim("wh = 2.05: the same", stretch, near=[0.64, 1.56], within=0.01)


# %% tags=["hide-input"]
def draw_phase_plane():
    with lesson.figure("plane", panels=3) as (plane, growth, large):
        for rule, colour, name in (
            (euler, VERMILLION, "Euler"),
            (euler_cromer, ORANGE, "Euler-Cromer"),
        ):
            x, v = walk(rule, one_metre, 0.5, 0.0, 0.05, 80)
            plane.plot(x, v, "o-", ms=3, lw=1, color=colour, label=name)
        plane.set(xlabel="angle x (rad)", ylabel="angular velocity v (rad/s)")
        plane.set(title="Four seconds in steps of 0.05 s", ylim=(-4, 5))
        plane.legend(loc="upper center", ncol=2)

        time = SMALL * np.arange(STEPS_OF_20_S + 1)
        growth.plot(time, hot, color=VERMILLION, label="Euler")
        growth.plot(
            time,
            (1 + g * SMALL**2) ** (time / SMALL),
            ":",
            color=BLACK,
            label="1.000981 to the number of steps",
        )
        growth.plot(time, cool[: STEPS_OF_20_S + 1], color=ORANGE, label="Euler-Cromer")
        growth.set(
            xlabel="time (s)", ylabel="energy over that at the start", ylim=(0, 8.5)
        )
        growth.set(title="One of them heats up (steps of 0.01 s)")

        orbits = ((0.5, GREEN, 200), (1.5, BLUE, 200), (2.05, PURPLE, 2))
        for wh, colour, steps in orbits:
            x, v = orbit(cromer_matrix(wh), steps)
            style = "o-" if wh > 2 else "."
            large.plot(x, v, style, ms=4, lw=1, color=colour, label=f"wh = {wh}")
        large.set(
            xlabel="angle x (rad)",
            ylabel="v / w (rad)",
            xlim=(-0.7, 0.7),
            ylim=(-0.4, 0.6),
        )
        large.set(title="Euler-Cromer, large steps: all keep areas")
        large.legend(loc="upper left", ncol=3, handlelength=0.8, columnspacing=0.8)


draw_phase_plane()

# %% [markdown]
# **What you saw.** On the left Euler's orbit spirals outwards and Euler-Cromer's closes. On the
# right the points of $wh = 0.5$ and $1.5$ stay on a leaning ellipse. Those of $wh = 2.05$ (only
# three fit in) jump back and forth, further each time. Yet every area stays: stretched 1.56 times
# one way, shrunk to 0.64 the other.
#
# So two things are needed. The area stays, *and* the matrix only turns: its eigenvalues have the
# size of one. For Euler-Cromer that is so as long as $wh < 2$. (Exercise 4 finds the ellipse; it
# is the real proof.) Our steps of 0.01 s have $wh = 0.03$.

# %% [markdown]
# # Part 3. How wrong, and how do we know?
#
# Euler-Cromer's energy stays, but its curve is not very exact. Two better rules follow.
#
# **Verlet** moves the position as school does under a steady acceleration $a$, by
# $h v + \frac12 h^2 a$. For the velocity it averages the accelerations at both ends of the step.
#
# **Runge-Kutta** (RK4) tries out the slopes four times: at the start, twice in the middle, and at
# the end. It weighs the answers so that most of the error cancels.


# %%
def verlet(acceleration, x, v, h):
    """The mean of the accelerations at both ends."""
    a = acceleration(x, v)
    new_x = x + h * v + h**2 / 2 * a
    new_a = acceleration(new_x, v + h * a)  # at the end, with a guess at its velocity
    new_v = v + h / 2 * (a + new_a)
    return new_x, new_v


# %%
def four_slopes(acceleration, x, v, h):
    """Slopes of x and slopes of v: at the start, twice in the middle, at the end."""
    v1 = v
    a1 = acceleration(x, v)
    v2 = v + h / 2 * a1
    a2 = acceleration(x + h / 2 * v1, v2)
    v3 = v + h / 2 * a2
    a3 = acceleration(x + h / 2 * v2, v3)
    v4 = v + h * a3
    a4 = acceleration(x + h * v3, v4)
    return (v1, v2, v3, v4), (a1, a2, a3, a4)


def rk4(acceleration, x, v, h):
    """The slopes in the middle count twice."""
    (v1, v2, v3, v4), (a1, a2, a3, a4) = four_slopes(acceleration, x, v, h)
    new_x = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
    new_v = v + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
    return new_x, new_v


# %% [markdown]
# One step by each rule, from 0.5 rad at rest, with $h = 0.1$ s. For the truth we take a thousand
# steps a thousand times smaller.

# %%
RULES = {"Euler": euler, "Euler-Cromer": euler_cromer, "Verlet": verlet, "RK4": rk4}

true_angles, _ = walk(rk4, one_metre, 0.5, 0.0, 0.1 / 1000, 1000)
true_x = true_angles[-1]
steps_by_rule = {}
for name, rule in RULES.items():
    reached, _ = rule(one_metre, 0.5, 0.0, 0.1)
    steps_by_rule[name] = {
        "x (rad)": f"{reached:.7f}",
        "error (rad)": reached - true_x,
    }
lesson.table(f"one step of 0.1 s; the truth is {true_x:.7f} rad", steps_by_rule)

# %% [markdown]
# Euler has not moved, and Euler-Cromer has gone twice as far as it should. Verlet is exactly in
# the middle of these two, and RK4 is right to six digits.
#
# ## What does half the step buy?
#
# > **Predict.** We walk for 2 s, in 200 steps and in 400. By how much does the error of each rule
# > fall?
#
# We measure over twenty pendulums with random starts. RK4 with very small steps stands in for the
# truth, and the error is a **root mean square** (RMS): square, take the mean, take the root.

# %%
x0 = rng.uniform(0.5, 1.5, 20)  # rad
v0 = rng.uniform(0.5, 1.5, 20)  # rad/s
length = rng.uniform(1.0, 2.5, 20)  # m
twenty = make_acceleration(length)


def after_2_seconds(rule, steps):
    """Angles and velocities at the end: (2, pendulums)."""
    x, v = walk(rule, twenty, x0, v0, 2 / steps, steps)
    return np.stack([x[:, -1], v[:, -1]])


truth = after_2_seconds(rk4, 2000)

# %%
COUNTS = np.array([50, 100, 200, 400])


def errors_of(rule):
    """The RMS error after 2 s, for each number of steps."""
    errors = []
    for steps in COUNTS:
        miss = after_2_seconds(rule, steps) - truth
        errors.append(np.sqrt(np.mean(miss**2)))
    return np.array(errors)


errors = {}
rows = {}
for name, rule in RULES.items():
    errors[name] = errors_of(rule)
    falls = errors[name][-2] / errors[name][-1]
    rows[name] = {
        "200 steps": errors[name][-2],
        "400 steps": errors[name][-1],
        "falls": falls,
    }
lesson.table("error after 2 s (rad and rad/s), and how many times it falls", rows)

# %% [markdown]
# By about 2, 2, 4 and 16. An error that shrinks like $h^p$ is said to be of **order** $p$: half
# the step divides it by $2^p$. So from two errors we get the order, $p = \log_2$ of their ratio:
# of 16 it is 4.


# %%
def order_of(errors):
    """The order, measured at the last halving of the step."""
    return np.log2(errors[-2] / errors[-1])


EXPECTED = {"Euler": 1, "Euler-Cromer": 1, "Verlet": 2, "RK4": 4}
for name, expected in EXPECTED.items():
    lesson.claim(f"{name}: order", order_of(errors[name]), near=expected, within=0.1)

# %% [markdown]
# ## A slip that no picture shows
#
# Why should one *measure* an order that is written in books? Somebody has typed RK4 with four
# equal weights. The curves look as they should.
#
# > **Predict.** How large is the order of this rule?


# %%
def rk4_with_a_slip(acceleration, x, v, h):
    """All four slopes count the same: this is wrong."""
    vs, accelerations = four_slopes(acceleration, x, v, h)
    return x + h / 4 * sum(vs), v + h / 4 * sum(accelerations)


slip = errors_of(rk4_with_a_slip)
lesson.show("error with the slip, after 2 s in 400 steps", slip[-1], "rad and rad/s")
lesson.claim("RK4 with four equal weights: order", order_of(slip), near=2, within=0.1)

# %% [markdown]
# Two, not four. With 400 steps it is wrong by less than a tenth of a millimetre on the arc, which
# nobody sees; but the order tells at once. Much in this course will be tested in this way: not
# *does it look right*, but *does it have the number that it must have*.
#
# ## An exact number
#
# The school formula for the time of one swing is $T = 2\pi\sqrt{L/g}$: for 1 m, 2.006 s. For a
# largest angle $A$ the exact period is
#
# $$T = \frac{2\pi\sqrt{L/g}}{\mathrm{agm}(1, \cos(A/2))}.$$
#
# Here agm is the **arithmetic-geometric mean**: replace two numbers by their two means, again and
# again, until they agree. For $A = 0.5$ rad, $\cos 0.25 = 0.9689$. The means of 1 and 0.9689 are
# 0.98446 and 0.98433; the means of those agree to eight digits. So $T = 2.006 / 0.9844 = 2.038$
# s.


# %%
def agm(a, b):
    """The arithmetic-geometric mean."""
    for _ in range(6):
        mean = (a + b) / 2
        b = np.sqrt(a * b)
        a = mean
    return a


def school_period(length):
    return 2 * np.pi * np.sqrt(length / g)


for angle in (0.1, 0.5, 2.0, 3.0):
    period = school_period(1.0) / agm(1.0, np.cos(angle / 2))
    lesson.show(f"exact period for 1 m and {angle} rad", period, "s")

# %% [markdown]
# Now measure it. A pendulum let go at rest reaches the bottom after a quarter of its period. We
# walk until the next whole step would pass the bottom. Then we take one shorter step, and correct
# its length: if it ends at $x$ and moves with $v$, it was too long by the time $x / v$ (way over
# velocity). Six corrections are plenty. This is **Newton's method**.


# %%
def measured_period(angle, length, h=0.005):
    """Four times the time from rest at `angle` down to the bottom."""
    acceleration = make_acceleration(length)
    x, v = angle, 0.0
    time = 0.0
    while True:
        next_x, next_v = rk4(acceleration, x, v, h)
        if next_x < 0:  # a whole step would pass the bottom
            break
        x, v = next_x, next_v
        time = time + h
    last = 0.0  # the length of the last, shorter step
    for _ in range(6):
        bottom_x, bottom_v = rk4(acceleration, x, v, last)
        last = last - bottom_x / bottom_v
    return 4 * (time + last)


lesson.show("measured for 1 m and 0.5 rad", measured_period(0.5, 1.0), "s")

# %%
amplitudes = np.linspace(0.5, 2.8, 8)  # rad
rods = rng.uniform(1.0, 2.5, 8)  # m
exact = school_period(rods) / agm(1.0, np.cos(amplitudes / 2))
measured = []
for angle, rod in zip(amplitudes, rods):
    measured.append(measured_period(angle, rod))

too_short = exact - school_period(rods)
lesson.show("the school formula is too short by up to", too_short.max(), "s")
lesson.same(
    "RK4's periods of 8 pendulums and the exact ones, in s",
    np.array(measured),
    exact,
    1e-6,
)
lesson.claim(
    "the school formula, of each of the 8, is too short by",
    100 * too_short / exact,
    above=1,
    unit="%",
)


# %% tags=["hide-input"]
def draw_how_wrong():
    colours = {
        "Euler": VERMILLION,
        "Euler-Cromer": ORANGE,
        "Verlet": GREEN,
        "RK4": BLUE,
    }
    with lesson.figure("order", panels=2, width=5.4) as (order, period):
        milliseconds = 2000 / COUNTS
        for name, colour in colours.items():
            order.loglog(milliseconds, errors[name], "o-", color=colour, label=name)
        order.loglog(milliseconds, slip, "x--", color=GREY, label="RK4 with a slip")
        order.set(xlabel="step h (ms)", ylabel="error after 2 s (rad and rad/s)")
        order.set_xticks(milliseconds, [f"{ms:g}" for ms in milliseconds])
        order.minorticks_off()
        order.set(title="Half the step: error ÷ 2, 2, 4, 16", ylim=(1e-10, 10))
        order.legend(loc="lower right", ncol=2)

        angles = np.linspace(0.01, 3.0, 200)
        stretch = 1 / agm(1.0, np.cos(angles / 2))
        period.plot(
            angles, stretch, color=BLACK, lw=1, label="exact: 1 / agm(1, cos(A/2))"
        )
        period.plot(
            amplitudes,
            measured / school_period(rods),
            "o",
            color=BLUE,
            label="RK4, 8 pendulums",
        )
        period.axhline(1, color=SKY, ls="--", label="school")
        period.set(
            xlabel="largest angle A (rad)", ylabel="period over the school formula"
        )
        period.set(title="The wider, the slower")


draw_how_wrong()

# %% [markdown]
# **What you saw.** On the left every mark of an axis is a fixed number of times the one before.
# On such axes $h^p$ is a straight line, the steeper the larger $p$. Each rule has its own slope,
# and the slip has that of Verlet. On the right RK4's periods lie on the exact curve.
#
# The library has the same rules (`minigen.physics.integrators`, as readable as ours).
# `pendulum.simulate` runs them as compiled loops over any number of pendulums.

# %%
ours_x, ours_v = walk(rk4, twenty, x0, v0, h=0.01, steps=499)
theirs = pendulum.simulate(x0, v0, length, steps=500, dt=0.01, method="rk4")
lesson.same(
    "our walks and minigen's", [ours_x, ours_v], [theirs.theta, theirs.omega], 1e-10
)
their_periods = pendulum.exact_period(amplitudes, rods)
lesson.same("our exact periods and minigen's", exact, their_periods, 1e-10)

# %% [markdown]
# # Part 4. The generator
#
# Now the step that makes this a course on generative models. Throw dice for four numbers, the
# **factors**
#
# $$z = (\theta_0, \omega_0, L, m),$$
#
# and put them into the equation. Out comes a motion $G(z)$ that nobody has seen before. It looks
# right because it *is* right.
#
# In the whole course the four are drawn evenly and independently, from these ranges:
#
# | factor | | from | to |
# |---|---|---|---|
# | $\theta_0$ | starting angle | 0.5 rad | 1.5 rad |
# | $\omega_0$ | starting angular velocity | 0.5 rad/s | 1.5 rad/s |
# | $L$ | length of the rod | 1.0 m | 2.5 m |
# | $m$ | mass | 1.0 kg | 2.5 kg |
#
# So $g/L$ lies between 3.9 and 9.8 per s². A motion lasts 5 s.


# %%
def generator(factors):
    """From factors (4, n) to n motions of 500 angles each, in rad."""
    theta0, omega0, length, mass = factors
    acceleration = make_acceleration(length, mass)
    motion, _ = walk(rk4, acceleration, theta0, omega0, h=0.01, steps=499)
    return motion


LOW = np.array([[0.5], [0.5], [1.0], [1.0]])  # one row for each factor
HIGH = np.array([[1.5], [1.5], [2.5], [2.5]])
factors = rng.uniform(LOW, HIGH, (4, 40))
motions = generator(factors)
lesson.show("the first draw: rad, rad/s, m, kg", factors[:, 0])
lesson.show("what comes out of 40 draws, (motions, angles)", motions.shape)

# %% [markdown]
# Plain random numbers go in, and a deterministic machine $G$ bends them into something rich. The
# models to come (some are called GANs, others VAEs) have this very form. There $G$ is a machine
# with thousands of adjustable numbers, a **network**, and nobody tells it the equation. All it
# gets to see are **data**: motions as somebody observed them.
#
# And who observes makes errors. Ours is an observer who grows tired: to each angle an error is
# added, with the **standard deviation** (SD) $0.1\,t$. That is nothing at the start, 0.1 rad
# after a second, and 0.5 rad, as much as a small swing, at the end. The errors of two moments
# have nothing to do with each other. `datasets.pendulum_trajectories` does all this: it throws
# the dice, simulates, and adds the errors.
#
# (The study this course grew out of disturbed the variables *inside* the loop of the walk. There
# each error stays and the next is added to it: a random walk, not independent noise.)

# %%
data = datasets.pendulum_trajectories(lesson.pick(full=4000, quick=1000), rng)
noise = data.theta - data.clean  # observed less true: (motions, 500)
for second in (0, 1, 2, 4):
    spread = noise[:, 100 * second].std()
    lesson.show(f"SD of the noise after {second} s", spread, "rad")


# %% tags=["hide-input"]
def draw_generator():
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    with lesson.figure("generator", panels=3, sharey=True) as (drawn, one, cloud):
        shade = ScalarMappable(Normalize(1.0, 2.5), "viridis")
        for motion, rod in zip(motions, factors[2]):
            drawn.plot(data.t, motion, color=shade.to_rgba(rod), lw=0.9)
        drawn.figure.colorbar(shade, ax=drawn, label="length L (m)")
        drawn.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-2.6, 2.6))
        drawn.set(title="40 draws of the generator")

        one.plot(data.t, data.theta[0], ".", ms=2, color=SKY, label="observed")
        one.plot(data.t, data.clean[0], color=BLACK, label="true")
        for side in (-2, 2):
            edge = data.clean[0] + side * 0.1 * data.t
            one.plot(data.t, edge, ":", color=BLACK, lw=1)
        one.plot([], [], ":", color=BLACK, lw=1, label="true ± 2 SD")
        one.set(xlabel="time (s)", title="One motion, as observed")
        one.legend(loc="upper center", ncol=3)

        seen = data.view(100)  # the same 5 s at every fifth point
        edges = (np.append(seen.t, 5.0) - 0.025, np.linspace(-2.6, 2.6, 81))
        times = np.tile(seen.t, len(seen))
        *_, cells = cloud.hist2d(times, seen.theta.ravel(), edges, cmap="magma")
        cloud.figure.colorbar(cells, ax=cloud, label="motions per cell")
        cloud.set(
            xlabel="time (s)", title=f"All that a model gets: {len(data)} of these"
        )


draw_generator()

# %% [markdown]
# **What you saw.** On the left, what the equation makes of dice: short rods swing fast. In the
# middle, one motion as it is observed. On the right, thousands of those on top of each other. A
# model has to find out by itself that there are motions in this cloud.
#
# ## A dial that is connected to nothing
#
# We drew four factors. Look at the equation once more.
#
# > **Predict.** Take all these pendulums again, with twice the mass. By how much do the curves
# > change without air? And with air, of drag $c = 0.5$ kg/s?


# %%
def swing(mass, drag):
    """The same starts and rods, with other masses or drag: (motions, 500)."""
    same = (data.theta0, data.omega0, data.length)
    return pendulum.simulate(*same, mass=mass, drag=drag).theta


change = {}
for drag in (0.0, 0.5):
    difference = swing(2 * data.mass, drag) - swing(data.mass, drag)
    change[drag] = np.abs(difference).max(axis=1)  # the largest of each motion

lesson.show("without drag: largest change of any motion", change[0.0].max(), "rad")
lesson.show(
    "with drag 0.5 kg/s: median of the largest changes", np.median(change[0.5]), "rad"
)

# %%
unmoved = change[0.0].max()
lesson.claim(
    "without drag, twice the mass: largest change", unmoved, below=1e-12, unit="rad"
)
moved = np.median(change[0.5])
lesson.claim("with drag, twice the mass: median change", moved, above=0.1, unit="rad")


# %% tags=["hide-input"]
def draw_dial():
    with lesson.figure("dial", panels=2, sharey=True, width=5.4) as axes:
        for ax, drag, title in (
            (axes[0], 0.0, "Without drag: twice the mass, same motion"),
            (axes[1], 0.5, "With drag: the heavy one keeps its swing"),
        ):
            once, twice = swing(data.mass, drag)[0], swing(2 * data.mass, drag)[0]
            ax.plot(data.t, once, color=BLUE, lw=4, alpha=0.5, label="mass m")
            ax.plot(data.t, twice, "--", color=BLACK, label="mass 2 m")
            ax.set(xlabel="time (s)", ylim=(-2, 2.4), title=title)
            ax.legend(loc="upper right", ncol=2)
        axes[0].set_ylabel("angle (rad)")


draw_dial()
lesson.end()

# %% [markdown]
# **What you saw.** Without air the mass stands on both sides of the equation and drops out. Four
# factors, but three **degrees of freedom**: $\theta_0$, $\omega_0$ and $g/L$. Keep this in mind.
# In lesson 22 a network that never saw the equation gets six dials to describe these curves, and
# we count how many it uses.
#
# # What it means
#
# * An equation of motion gives slopes; a rule turns slopes into a curve. Rules differ in how fast
#   their error falls with the step: that is their order, and it can be measured.
# * Euler stretches areas, so its pendulum heats up. That areas stay is not enough either: the
#   step must turn and not stretch.
# * An exact number (a period, an order, an area) finds what no picture shows.
# * Dice and a deterministic machine together are a generative model. This one knows the truth;
#   all others will be measured by it.
#
# # Exercises
#
# **1. A larger step** (5 minutes). Set `h=0.1` and `steps=80` in the walk before the picture of
# Euler's rule, `time = 0.1 * np.arange(81)` in the picture, and take its `ylim` out. What does
# the pendulum do in the end, and why? *Why:* a curve that looks like a motion need not be one.
#
# **2. A pencil on its tip** (5 minutes). Let `pendulum.simulate` go at exactly `np.pi`, at rest,
# on a rod of 1 m, with `steps=6000`. It should stand there for ever. When does it begin to move,
# when does it fall, and why? *Hint:* print `np.sin(np.pi)`, and `np.pi + 1e-16 == np.pi`. *Why:*
# where a motion magnifies every error, the last digit of a number decides.
#
# **3. Halfway** (10 minutes). The midpoint rule goes half an Euler step, and takes *all* its
# slopes there. *Write* `midpoint(acceleration, x, v, h)`. *Check:* its order, by `errors_of` and
# `order_of`, lies between 1.9 and 2.1. *Why:* one more look at the slope is worth a whole order.
#
# **4. What Euler-Cromer keeps** (15 minutes). For small swings it conserves a quantity of its own
# exactly: $v^2 + w^2x^2 - w^2 h\,x v$. *Write* `invariant(x, v, w, h)`. *Check:* along
# `orbit(cromer_matrix(1.5), 10_000)` it changes by less than 1 part in $10^{10}$; along 30 steps
# of `euler_matrix(1.5)` it grows by more than $10^{15}$. *Why:* where it is constant, $(x, v)$
# lies on an ellipse, as long as $wh < 2$. That is the proof that the energy stays bounded.
#
# **5. Who made it?** (15 minutes) Three of our rules, 100 s of a pendulum let go at 0.5 rad on 1
# m, in steps of 0.05 s. **A:** the energy wavers from 7 % below to 8 % above what it was, and the
# last fall through the bottom comes 0.1 s early. **B:** the energy wavers by 0.6 % and does not
# drift; the last fall comes just as early. **C:** the energy falls, slowly and without return, by
# 0.04 %; the last fall is right to a thousandth of a second. *Decide:* which rule made which?
# Which would you trust for a planet over a million turns, which for a pendulum over 5 s? *Why:*
# "more exact" depends on what is asked.
#
# **6. A generator of your own** (20 minutes). *Write* `throw(n, rng)`: draw mass, speed and angle
# of $n$ thrown balls, and return their heights over one second, of shape $(n, 50)$. *Check:*
# subtract the mean motion; `np.linalg.matrix_rank` of the rest is 1. *Why:* you turned three
# dials, and one degree of freedom came out. Which one?
#
# # Sources
#
# E. Hairer, C. Lubich, G. Wanner, *Geometric Numerical Integration* (2006), on why areas matter.
# A. Cromer, *Stable solutions using the Euler approximation*, American Journal of Physics 49
# (1981). S. Adlaj, *An eloquent formula for the perimeter of an ellipse*, Notices of the AMS 59
# (2012), on the period. A. Honchar, *From high-school physics to GANs* (2021), whose way from the
# pendulum to generative models this course follows.
