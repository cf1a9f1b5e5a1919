# %% [markdown]
# # 3. Judging: what a score means
#
# *Part 1: a motion. 65 minutes.*
#
# **The question.** A machine says: here are new swings of a pendulum. Are they any good? Every
# model of this course will be asked that, so we need a judge. A single number is soon fooled. So
# we meet three judges, each one brought in by the cheat that fools the one before; and at the end
# a cheat that fools all three.
#
# **Afterwards you can**
#
# * run the physics backwards, from a noisy curve to the numbers that made it,
# * say how far a curve is from any motion of a pendulum,
# * tell new motions from one motion repeated, and from copies,
# * say what a score does *not* see.
#
# **You need** the generator and the exact period (lesson 1), least squares and the floor (lesson
# 2).
#
# **Five parts**, 10 to 15 minutes each. One may stop after any of them.
#
# 1. Backwards through the physics
# 2. The first judge: is it possible?
# 3. The second judge: are all of them there?
# 4. The third judge: is it new?
# 5. Four strangers, and what no judge sees

# %%
from lesson import Lesson

lesson = Lesson("03_judging")
rng = lesson.rng

import numpy as np

from minigen import datasets, metrics
from minigen.physics import pendulum
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

# %% [markdown]
# # Part 1. Backwards through the physics
#
# A pendulum was let go at 1 rad, at rest. We have its angles at 100 moments within 5 s, with
# lesson 1's noise. Only $g/L$ is not known. Lesson 1 goes from $g/L$ to the curve. We want to go
# back.
#
# The plainest way is to try. For each value of $g/L$ we simulate, and see how far the curve is
# from the dots, as a root mean square (RMS).


# %%
def G(z):
    """Lesson 1's generator: 100 angles for the factors z = (theta0, omega0, g/L)."""
    theta0, omega0, g_over_l = z
    # Only g/L counts: a rod of 1 m, and g/L in the place of g.
    motion = pendulum.simulate(theta0, omega0, 1.0, gravity=g_over_l, steps=500)
    return motion.theta[::5]


def rms(values):
    return np.sqrt(np.mean(values**2))


t = 0.05 * np.arange(100)  # s
TRUE = 6.0  # g/L in 1/s^2
dots = G((1.0, 0.0, TRUE)) + 0.1 * t * rng.standard_normal(100)

tried = np.linspace(0.5, 20, 391)
misses = np.array([rms(dots - G((1.0, 0.0, value))) for value in tried])
lesson.show("best of those tried", tried[np.argmin(misses)], "1/s^2")
lesson.show("RMS there: the noise", misses.min(), "rad")


# %% tags=["hide-input"]
def draw_valley():
    with lesson.figure("valley", panels=2, width=5.4) as (curves, valley):
        curves.plot(t, dots, "o", ms=3, color=SKY, label="observed")
        for value, colour in ((TRUE, BLACK), (4.5, VERMILLION), (15.0, PURPLE)):
            curves.plot(t, G((1.0, 0.0, value)), color=colour, label=f"g/L = {value}")
        curves.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-1.9, 2.9))
        curves.set(title="Which curve is behind the dots?")
        curves.legend(loc="upper left", ncol=2)
        valley.plot(tried, misses, color=BLUE)
        valley.axvline(TRUE, color=GREY, ls=":", label="the truth")
        valley.set(xlabel="g/L (1/s²)", ylabel="RMS distance (rad)", ylim=(0, 1.2))
        valley.set(title="One deep valley, and shallow ones")
        valley.legend(loc="lower right")


draw_valley()

# %% [markdown]
# **What you saw.** There is one deep valley; its bottom is the noise. But there are shallow ones
# too, where the curve happens to agree with a part of the dots.
#
# ## Roll down instead of trying
#
# Soon there will be three unknowns, and 391 values of each would be 60 million simulations. But
# near a good guess $z$ (here, of $g/L$) each of the 100 angles is nearly a straight function of
# it. Nudge $z$ by 0.001: if an angle falls by 0.0005 rad, its slope is $-0.5$. All 100 slopes
# together we call $J$. Then a small change $\delta$ gives
#
# $$G(z + \delta) \approx G(z) + J\,\delta.$$
#
# And that is lesson 2: find the $\delta$ for which $J\,\delta$ is nearest to the rest,
# $y - G(z)$, where $y$ are the dots. One feature, 100 readings. Correct $z$, and do it again:
# this is the **Gauss-Newton** method. We get $J$ by nudging $z$ a little up and a little down.
#
# > **Predict.** We start at $g/L = 4.5$. How many rounds until four digits stand? And where do we
# > get from 15?


# %%
def slope(z, place, nudge=1e-4):
    """How the 100 angles change with one of the factors."""
    up = np.array(z, dtype=float)
    down = up.copy()
    up[place] += nudge
    down[place] -= nudge
    return (G(up) - G(down)) / (2 * nudge)


def roll_down(start, rounds=12):
    """Gauss-Newton for g/L alone: its value after each round."""
    path = [start]
    for _ in range(rounds):
        z = (1.0, 0.0, path[-1])
        J = slope(z, place=2)
        rest = dots - G(z)
        delta = (J @ rest) / (J @ J)  # one feature: as in lesson 2
        path.append(max(path[-1] + delta, 0.1))  # g/L stays above zero
    return path


# %%
good = roll_down(4.5)
bad = roll_down(15.0)
print("from 4.5:", *np.round(good[:6], 4))
print("from 15: ", *np.round(bad[:6], 4), "... at last", np.round(bad[-1], 2))

# %%
lesson.claim(
    "from a good start: g/L, less the truth", good[-1] - TRUE, near=0, within=0.3
)
last_moves = abs(good[-1] - good[-2])
lesson.claim("from a good start: the last correction", last_moves, below=1e-6)
stuck = rms(dots - G((1.0, 0.0, bad[-1])))
lesson.claim(
    "from a bad start: RMS where it ends, over the noise",
    stuck / misses.min(),
    above=2,
)

# %% [markdown]
# Four rounds, from a good start. The first takes away two thirds of the error, and each one after
# it more than nine tenths of what is left. It ends a little beside 6: so the noise has it. From a
# bad start it never gets there: it knows only slopes, and the slopes around it lead into a
# shallow valley.
#
# ## Three unknowns, and a good start
#
# Now $z = (\theta_0, \omega_0, g/L)$, and $J$ has three columns: a least-squares problem with
# three features. For a good start we use lesson 2's wave, $a\cos(wt) + b\sin(wt)$. It begins at
# $a$ with the velocity $bw$, and its largest angle is $A = \sqrt{a^2 + b^2}$. A wave has the
# period $2\pi/w$. By lesson 1's exact period a swing of this size has
# $w = \sqrt{g/L}\;\mathrm{agm}(1, \cos(A/2))$. Solved for $g/L$, with $w = 2.3$ and $A = 1$,
# where the agm is 0.938: $(2.3/0.938)^2 = 6.0$.


# %%
def least_squares(X, y):
    return np.linalg.solve(X.T @ X, X.T @ y)


def start_from_wave(y):
    """Factors of the pendulum that swings like the best wave."""
    least = np.inf
    for w in np.linspace(1.2, 4.0, 57):
        X = np.column_stack([np.cos(w * t), np.sin(w * t)])
        a, b = least_squares(X, y)
        missing = rms(y - X @ [a, b])
        if missing < least:
            least = missing
            amplitude = np.hypot(a, b)
            agm = pendulum.arithmetic_geometric_mean(1.0, np.cos(amplitude / 2))
            best = np.array([a, b * w, (w / agm) ** 2])
    return best


# %%
def gauss_newton(y, rounds=12):
    """The factors whose motion is nearest to y, and the RMS distance that remains."""
    z = start_from_wave(y)
    for _ in range(rounds):
        J = np.column_stack([slope(z, 0), slope(z, 1), slope(z, 2)])  # (100, 3)
        z = z + least_squares(J, y - G(z))
    return z, rms(y - G(z))


found, remaining = gauss_newton(dots)
lesson.show("the wave's factors: rad, rad/s, 1/s^2", start_from_wave(dots))
lesson.show("after Gauss-Newton", found)
lesson.show("what remains", remaining, "rad")

# %% [markdown]
# From a noisy curve back to the three numbers that made it: 1, 0 and 6, as well as the noise lets
# us know them. (Exercise 4 tells how well that is.) $G$ runs from factors to curves; the fit runs
# backwards.
#
# `metrics.physics_residual` does this for hundreds of motions at once. It gives back the fitted
# `factors`, as a dictionary, and what remains, the `residual`.

# %%
HOW_MANY = lesson.pick(full=400, quick=150)
fresh = datasets.pendulum_trajectories(HOW_MANY, rng, view=100)  # theta is noisy

factors = []
residuals = []
for motion in fresh.theta[:8]:
    z, distance = gauss_newton(motion)
    factors.append(z)
    residuals.append(distance)
lesson.show("residuals of eight noisy motions", np.array(residuals), "rad")

# %%
theirs = metrics.physics_residual(fresh.theta[:8], t)
their_factors = np.stack(list(theirs.factors.values()), axis=1)  # (8, 3)
lesson.same("our factors and the library's", np.array(factors), their_factors, 1e-4)
lesson.same(
    "our residuals and the library's", np.array(residuals), theirs.residual, 1e-6
)

# %% [markdown]
# # Part 2. The first judge: is it possible?
#
# What remains after the best fit says how far a curve is from *any* motion of a pendulum. It is
# called the **physics residual**, in radians. 0 is a true pendulum; a degree is 0.017 rad. **It
# asks: could a pendulum do this?**
#
# Every judge needs to know both ends of its scale. At one end, true motions without noise. At the
# other, a **control**: the same angles, but shuffled over the pendulums at each moment. Each
# moment is right, and the motion is nonsense.
#
# > **Predict.** Beside both ends stand the noisy observations. What will their residual be?
# > (Lesson 2 knows: the floor is 0.083 rad².)

# %%
shuffled = metrics.shuffled_control(fresh.clean, rng)
looks = {"clean": fresh.clean, "noisy": fresh.theta, "shuffled": shuffled}
fits = {name: metrics.physics_residual(motions, t) for name, motions in looks.items()}
medians = {name: np.median(fit.residual) for name, fit in fits.items()}
for name, median in medians.items():
    lesson.show(f"{name}: median residual", median, "rad")

# %% [markdown]
# As it should: at our 100 moments, which end at 4.95 s, the floor is 0.082 rad². An RMS is the
# root of it, $\sqrt{0.082} = 0.287$ rad. We find a little less, because the fit follows the noise
# with its three numbers.
#
# Now the nicest thing. The fit of a *noisy* curve is itself a curve. How far is that from the
# true motion, which the fit has never seen?


# %%
def curves_of(fit):
    """The motions of the fitted pendulums: (n, 100)."""
    triples = zip(*fit.factors.values())  # (theta0, omega0, g/L) of each
    return np.stack([G(z) for z in triples])


nearest = curves_of(fits["noisy"])
off_after = rms(nearest - fresh.clean)
off_before = rms(fresh.theta - fresh.clean)
lesson.show("observed dots: RMS distance from the true motion", off_before, "rad")
lesson.show("curves fitted to them", off_after, "rad")

# %%
lesson.claim("clean motions: median residual", medians["clean"], below=1e-6, unit="rad")
lesson.claim(
    "noisy motions: median residual",
    medians["noisy"],
    above=0.26,
    below=0.30,
    unit="rad",
)
lesson.claim(
    "shuffled control: median residual", medians["shuffled"], above=0.5, unit="rad"
)
lesson.claim(
    "curves fitted to noisy dots: off the truth", off_after, below=0.08, unit="rad"
)


# %% tags=["hide-input"]
def draw_residual():
    with lesson.figure("residual", panels=3) as (closest, factor, scale):
        closest.plot(t, fresh.theta[0], "o", ms=3, color=SKY, label="observed")
        closest.plot(t, nearest[0], color=BLUE, lw=2, label="nearest pendulum")
        closest.plot(
            t,
            shuffled[0] - 4,
            "o",
            ms=3,
            color=ORANGE,
            label="shuffled, moved down by 4",
        )
        lost = curves_of(fits["shuffled"])[0]
        closest.plot(t, lost - 4, color=VERMILLION, lw=2, label="nearest pendulum")
        closest.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-6.5, 5))
        closest.set(title="What remains after the best fit")
        closest.legend(loc="upper center", ncol=2, columnspacing=0.8)

        fitted = fits["noisy"].factors["g_over_l"]
        factor.plot(fresh.g_over_l, fitted, ".", ms=4, color=BLUE)
        factor.axline((4, 4), slope=1, color=BLACK, lw=1, ls=":")
        factor.set(xlabel="true g/L (1/s²)", ylabel="fitted g/L (1/s²)")
        factor.set(title="Factors read off noisy motions")

        bins = np.geomspace(1e-9, 2, 100)
        for name, colour in (
            ("clean", GREEN),
            ("noisy", BLUE),
            ("shuffled", VERMILLION),
        ):
            scale.hist(fits[name].residual, bins, color=colour, label=name)
        scale.set(xscale="log", xlabel="physics residual (rad)", ylabel="motions")
        scale.set(title="The first judge's scale")
        scale.legend(loc="upper center")


draw_residual()

# %% [markdown]
# **What you saw.** The fitted curve is several times nearer to the truth than the dots it was
# fitted to: the equation knows what a pendulum can do, and throws the rest away. (The small
# spread of the clean ones, around $10^{-8}$, is rounding.)

# %% [markdown]
# # Part 3. The second judge: are all of them there?
#
# Here is a generator that needs no learning: it knows *one* perfect swing, from the middle of all
# ranges, and gives it again and again. And a lazier one: a pendulum that hangs at rest.
#
# > **Predict.** What does the first judge say of them?

# %%
# What a model may see; in this lesson it is without noise.
train = datasets.pendulum_trajectories(2000, rng, view=100, noise=False)
middle = pendulum.simulate(1.0, 1.0, 1.75).theta[::5]  # rad, rad/s, m
one_swing = np.tile(middle, (HOW_MANY, 1))
at_rest = np.zeros((HOW_MANY, 100))
fit_of_one = metrics.physics_residual(one_swing, t)
fit_of_rest = metrics.physics_residual(at_rest, t)
lesson.show(
    "one swing, again and again: median residual", np.median(fit_of_one.residual), "rad"
)
lesson.show("at rest: median residual", np.median(fit_of_rest.residual), "rad")

# %% [markdown]
# The best marks there are. And rightly: each of these motions *is* possible. That was all the
# judge was asked. He does not see that the others are missing.
#
# So let us look at the fitted factors. In the data, $\theta_0$ is spread evenly from 0.5 to 1.5
# rad. Is it in what the generator makes?
#
# ## The largest gap
#
# To compare two sets of numbers, ask for each place $x$: which share of them lies at or below
# $x$? That is the **distribution function**. The largest gap between two of them is the
# **Kolmogorov-Smirnov statistic** (KS). 0: the same. 1: one set lies wholly below the other.
#
# By hand: the data are 1, 2, 3, 4, and a generator says 2, 2, 2, 2. Just below 2 the shares are
# 1/4 and 0; at 2 they are 2/4 and 1; at 3 they are 3/4 and 1. The largest gap is 1/2.


# %%
def ks(a, b):
    """The largest gap between two distribution functions."""
    largest = 0.0
    for x in np.concatenate([a, b]):
        gap = np.mean(a <= x) - np.mean(b <= x)
        largest = max(largest, abs(gap))
    return largest


lesson.show("by hand", ks(np.array([2, 2, 2, 2]), np.array([1, 2, 3, 4])))
our_ks = {  # of theta0, omega0 and g/L
    name: ks(fit_of_one.factors[name], train.factors[name]) for name in train.factors
}
their_ks = metrics.factor_match(fit_of_one.factors, train.factors)
lesson.same("our KS of three factors and the library's", our_ks, their_ks, limit=1e-12)

# %% [markdown]
# > **Predict.** Fresh pendulums, drawn from the same ranges: will their KS be 0?


# %%
def mean_ks(fit):
    """The second judge: the mean KS of the three fitted factors."""
    gaps = metrics.factor_match(fit.factors, train.factors)
    return np.mean(list(gaps.values()))


match = {}
for name, fit in (
    ("fresh", fits["clean"]),
    ("one swing", fit_of_one),
    ("at rest", fit_of_rest),
):
    match[name] = mean_ks(fit)
    lesson.show(f"{name}: mean KS", match[name])

# %%
flattered = np.median(fit_of_one.residual)
lesson.claim("one swing: median residual", flattered, below=1e-6, unit="rad")
lesson.claim("one swing: mean KS", match["one swing"], above=0.4)
lesson.claim(
    "fresh pendulums: mean KS", match["fresh"], below=lesson.pick(full=0.1, quick=0.13)
)


# %% tags=["hide-input"]
def draw_gaps():
    with lesson.figure("gaps", panels=2, width=5.4) as (fresh_panel, one_panel):
        for ax, fit, title in (
            (fresh_panel, fits["clean"], "Fresh pendulums: hardly a gap"),
            (one_panel, fit_of_one, "One swing again and again: a step"),
        ):
            for values, colour, name in (
                (train.theta0, GREY, "training data"),
                (fit.factors["theta0"], VERMILLION, "generated"),
            ):
                ordered = np.sort(values)
                share = np.arange(1, len(ordered) + 1) / len(ordered)
                padded = np.concatenate([[0.4], ordered, [1.6]])
                shares = np.concatenate([[0], share, [1]])
                ax.step(padded, shares, where="post", color=colour, label=name)
            ax.set(
                xlabel="starting angle (rad)", ylabel="share at or below", title=title
            )
            ax.legend(loc="upper left")


draw_gaps()

# %% [markdown]
# **What you saw.** For fresh pendulums the two curves differ only by luck: with $n$ and $m$
# numbers the largest gap is about $\sqrt{1/n + 1/m}$, here about 0.05. One swing again and again
# makes a step, and the second judge sees it at once. (No single value can have a KS below one
# half, not even the middle one.) **He asks: are all of them there, in the right shares?**

# %% [markdown]
# # Part 4. The third judge: is it new?
#
# The next cheat has a good memory and no imagination. It gives back motions of the training data,
# chosen by dice.
#
# > **Predict.** What do the first two judges say?

# %%
chosen = rng.integers(0, len(train), HOW_MANY)
copies = train.theta[chosen]
fit_of_copies = metrics.physics_residual(copies, t)
lesson.show("copies: median residual", np.median(fit_of_copies.residual), "rad")
lesson.show("copies: mean KS", mean_ks(fit_of_copies))

# %% [markdown]
# Both are content. Copies of true motions *are* possible, and all kinds are there.
#
# A copy gives itself away by being too near. So look from each generated motion to the *nearest*
# training motion. Their distance is that of Pythagoras: square the differences of all 100 angles,
# add, take the root. How near is too near? Fresh motions tell, as they are no copies for certain.
# **The third judge divides the median distance of generated motions by the median distance of
# fresh ones:** the **neighbour ratio**.
#
# By hand, with numbers instead of motions. Training: 1, 4, 9. Fresh: 2, 5.5, 7.5; their distances
# to the nearest are 1, 1.5, 1.5, the median is 1.5. A copier says 4.1, 8.9, 1.2: distances 0.1,
# 0.1, 0.2, median 0.1. The ratio is $0.1 / 1.5 = 0.07$.


# %%
def distances_to_nearest(motions, training):
    """From each motion to the training motion nearest to it."""
    distances = []
    for motion in motions:
        far = np.sqrt(np.sum((training - motion) ** 2, axis=1))
        distances.append(far.min())
    return np.array(distances)


usual = np.median(distances_to_nearest(fresh.clean, train.theta))


def neighbour_ratio(motions):
    """The third judge."""
    distances = distances_to_nearest(motions, train.theta)
    return np.median(distances) / usual


lesson.show("fresh motions: usual distance to the nearest", usual, "rad")

# %% [markdown]
# The cheat tries to hide: it adds a wobble of SD 0.003 rad to its copies. And an honest generator
# comes too: other pendulums, drawn as in lesson 1. We also look at fresh pendulums that are
# merely noisy.

# %%
honest = datasets.pendulum_trajectories(HOW_MANY, rng, view=100, noise=False).theta
hidden = copies + 0.003 * rng.standard_normal(copies.shape)
ratio = {}
looked_at = {
    "copies": copies,
    "hidden copies": hidden,
    "honest": honest,
    "fresh but noisy": fresh.theta,
}
for name, motions in looked_at.items():
    ratio[name] = neighbour_ratio(motions)
    lesson.show(f"{name}: neighbour ratio", ratio[name])

# %%
lesson.claim("copies: neighbour ratio", ratio["copies"], exactly=0)
lesson.claim("hidden copies: neighbour ratio", ratio["hidden copies"], below=0.4)
lesson.claim("honest pendulums: neighbour ratio", ratio["honest"], near=1, within=0.3)
ks_of_hidden = mean_ks(metrics.physics_residual(hidden, t))
lesson.claim("hidden copies: mean KS all the same", ks_of_hidden, below=0.13)
theirs = metrics.nearest_neighbour_ratio(hidden, train.theta, fresh.clean)
lesson.same(
    "our neighbour ratio and the library's", ratio["hidden copies"], theirs, limit=1e-6
)


# %% tags=["hide-input"]
def draw_neighbours():
    with lesson.figure("neighbours", panels=2, width=5.4) as (pair, spread):
        for motions, colour, name in (
            (honest, GREEN, "honest"),
            (hidden, VERMILLION, "hidden copies"),
        ):
            for motion in motions[:5]:
                far = np.sum((train.theta - motion) ** 2, axis=1)
                apart = motion - train.theta[np.argmin(far)]
                pair.plot(t, apart, color=colour, lw=1)
            pair.plot([], [], color=colour, label=name)
        pair.set(xlabel="time (s)", ylabel="motion less its nearest (rad)")
        pair.set(ylim=(-0.12, 0.16))
        pair.set(title="Five of each, less the nearest training motion")
        pair.legend(loc="upper left")
        bins = np.linspace(0, 1.2, 49)
        for motions, colour, name in (
            (fresh.clean, GREY, "fresh"),
            (honest, GREEN, "honest"),
            (hidden, VERMILLION, "hidden copies"),
        ):
            far = distances_to_nearest(motions, train.theta)
            spread.hist(far, bins, histtype="step", lw=2, color=colour, label=name)
        spread.set(
            xlabel="distance to the nearest training motion (rad, over 100 angles)"
        )
        spread.set(ylabel="motions", title="Too near to be new", yscale="log")
        spread.legend(loc="upper right")


draw_neighbours()

# %% [markdown]
# **What you saw.** Honest motions keep the distance of fresh ones, with a ratio about 1. Hidden
# copies crowd at one distance, that of their own wobble: $0.003 \cdot \sqrt{100} = 0.03$. Far
# *above* 1 is no praise either: a motion far from all training motions is usually no motion of a
# pendulum. Compare like with like: noise alone adds distance (fresh but noisy pendulums have a
# ratio of 9.9), so clean motions must be compared with clean ones.

# %% [markdown]
# # Part 5. Four strangers, and what no judge sees
#
# Now you sum up what the judges say. Four generators send in their motions without their names:
# **fresh** pendulums; the **copier** of Part 4, with its wobble; the **one swing**, again and
# again; and a **normal distribution**. That one knows the means of the 100 angles, and how each
# goes up and down with each other (their **covariance**), but no physics. The dice decide who is
# A, B, C and D.

# %%
covariance = np.cov(train.theta.T)
from_normal = rng.multivariate_normal(train.theta.mean(axis=0), covariance, HOW_MANY)
generators = {
    "fresh": honest,
    "copier": hidden,
    "one swing": one_swing,
    "normal distribution": from_normal,
}
names = list(generators)
behind = dict(zip("ABCD", rng.permutation(names)))


# %%
fit_by_name = {}


def marks(name, motions):
    """All three judges, and the residual that one motion in ten exceeds."""
    fit = metrics.physics_residual(motions, t)
    fit_by_name[name] = fit
    return {
        "median residual (rad)": np.median(fit.residual),
        "90 % are below (rad)": np.quantile(fit.residual, 0.9),
        "mean KS": mean_ks(fit),
        "neighbour ratio": neighbour_ratio(motions),
    }


marks_of = {name: marks(name, motions) for name, motions in generators.items()}
rows = {letter: marks_of[name] for letter, name in behind.items()}
lesson.table("four strangers", rows)

# %% [markdown]
# > **Predict.** Who is who? Write the four names down before you go on.

# %%
for letter, name in behind.items():
    print(f"{letter}: {name}")


# %% tags=["hide-input"]
def draw_strangers():
    with lesson.figure(
        "strangers", panels=4, width=3.4, height=3.2, sharey=True
    ) as axes:
        colours = {"fresh": GREEN, "copier": VERMILLION, "one swing": ORANGE}
        for ax, (letter, name) in zip(axes, behind.items()):
            colour = colours.get(name, PURPLE)
            ax.plot(t, generators[name][:10].T, color=colour, lw=1)
            ax.set(xlabel="time (s)", title=f"{letter}: {name}", ylim=(-2.2, 2.2))
        axes[0].set_ylabel("angle (rad)")


draw_strangers()

# %% [markdown]
# **What you saw.** Each cheat has its mark. The normal distribution is about 0.15 rad from
# physics. One swing is found by its KS. (Its ratio says little: it is the distance of a single
# motion.) The copier has a good KS and a tiny residual, that of its wobble; it shows in the
# ratio. And in the pictures the copier looks as good as the real thing: the eye is the weakest
# judge of all.

# %%
of_normal = marks_of["normal distribution"]
lesson.claim(
    "normal distribution: residual",
    of_normal["median residual (rad)"],
    above=0.08,
    unit="rad",
)
lesson.claim(
    "normal distribution: neighbour ratio", of_normal["neighbour ratio"], above=3
)

# %% [markdown]
# ## Two more cheats
#
# **Four in ten are nonsense.** A generator gives fresh pendulums, but shuffles four in ten of
# them.
#
# **All tied together.** A generator turns one dial for all three factors. From the pendulum with
# the smallest $\theta_0$, the smallest $\omega_0$ and the shortest rod it goes evenly to the one
# with the largest $\theta_0$ and $\omega_0$ and the longest rod. A small push always comes with a
# short rod.
#
# > **Predict.** Which judge finds which? (The first judge gives a *median*.)

# %%
nonsense = honest.copy()
spoiled = rng.random(HOW_MANY) < 0.4
nonsense[spoiled] = shuffled[spoiled]

dial = (np.arange(HOW_MANY) + 0.5) / HOW_MANY  # evenly from 0 to 1
tied = pendulum.simulate(0.5 + dial, 0.5 + dial, 1 + 1.5 * dial).theta[:, ::5]
last_two = {}
for name, motions in (("four in ten nonsense", nonsense), ("all tied", tied)):
    last_two[name] = marks(name, motions)
lesson.table("two more cheats", last_two)

# %%
of_nonsense = last_two["four in ten nonsense"]
lesson.claim(
    "four in ten nonsense: median", of_nonsense["median residual (rad)"], below=1e-4
)
lesson.claim(
    "four in ten nonsense: 90 % are below",
    of_nonsense["90 % are below (rad)"],
    above=0.4,
)
of_tied = last_two["all tied"]
lesson.claim("all tied: median residual", of_tied["median residual (rad)"], below=1e-6)
lesson.claim(
    "all tied: mean KS", of_tied["mean KS"], below=lesson.pick(full=0.12, quick=0.15)
)
lesson.claim(
    "all tied: neighbour ratio", of_tied["neighbour ratio"], above=0.5, below=2
)

# %% [markdown]
# A median does not see a minority: look at the tail as well. (The second judge grows suspicious
# of the nonsense, as the factors fitted to it are odd. But to see nonsense is the first one's
# task.) And the tied generator passes *everything*. The second judge looks at each factor alone,
# and each alone is spread as it should be. How would one find it? Look at two factors together.
# Their **correlation** is 1 or $-1$ if they lie on a straight line, and about 0 if they have
# nothing to do with each other. (About: with 400 pendulums luck alone makes 0.05, and seldom
# 0.15.)


# %%
def tie(fit):
    """The correlation of fitted starting angle and g/L."""
    return np.corrcoef(fit.factors["theta0"], fit.factors["g_over_l"])[0, 1]


free = tie(fit_by_name["fresh"])
bound = tie(fit_by_name["all tied"])
lesson.claim("correlation of theta0 and g/L: fresh", free, near=0, within=0.4)
lesson.claim("correlation of theta0 and g/L: all tied", bound, below=-0.9)


# %% tags=["hide-input"]
def draw_last_two():
    with lesson.figure("blind", panels=2, width=5.4) as (tail, together):
        for name, colour in (("fresh", GREEN), ("four in ten nonsense", ORANGE)):
            residual = np.sort(fit_by_name[name].residual)
            share = np.arange(1, len(residual) + 1) / len(residual)
            tail.semilogx(np.maximum(residual, 1e-10), share, color=colour, label=name)
        tail.axhline(0.5, color=GREY, ls=":", label="the median looks here")
        tail.set(xlabel="physics residual (rad)", ylabel="share of motions below it")
        tail.set(title="A median does not see a minority")
        tail.legend(loc="lower right", bbox_to_anchor=(0.93, 0.1))
        for name, colour in (("fresh", GREEN), ("all tied", PURPLE)):
            factors = fit_by_name[name].factors
            together.plot(
                factors["theta0"], factors["g_over_l"], ".", color=colour, label=name
            )
        together.set(xlabel="fitted starting angle (rad)", ylabel="fitted g/L (1/s²)")
        together.set(
            title="Each factor alone is right; together they are not", ylim=(3.5, 11.5)
        )
        together.legend(loc="upper right", ncol=2)


draw_last_two()
lesson.end()

# %% [markdown]
# **What you saw.** The orange curve stays as tiny as the green one up to the median and beyond,
# and only then jumps to half a radian. On the right, the tied pendulums are a line where there
# should be a field.
#
# # What it means
#
# * Least squares, repeated on slopes, runs the physics backwards. It needs a good start.
# * Three questions, three judges: *could a pendulum do this?* (physics residual), *are all of
#   them there?* (KS of the factors), *is it new?* (neighbour ratio).
# * Each answers its own question and no other. One number alone is soon fooled.
# * Know both ends of a scale before you read a number on it, and ask of every score: which cheat
#   would pass?
#
# # Exercises
#
# **1. More noise** (5 minutes). In the first code cell of Part 1 set the noise to `0.3 * t`, and
# look at the figure `valley` (leave its `ylim` out). How does the valley change? Does its bottom
# move? One claim of Part 1 will fail: which, and why? *Check:* the least RMS is three times what
# it was, and the best $g/L$ is within 1 of 6. *Why:* noise lifts the floor much more than it
# moves the lowest place.
#
# **2. A shorter look** (5 minutes). In the call of `metrics.physics_residual` for the shuffled
# control give only the first ten angles, `shuffled[:, :10], t[:10]`. What does the judge say, and
# why is he kinder? *Why:* a score also depends on how much is asked.
#
# **3. With air** (15 minutes). Simulate 100 pendulums with `drag=0.3`, no noise, `view=100`.
# *Write* `residuals_with(drag_known)`: the median residual, with `drag=drag_known` given to
# `physics_residual`. *Check:* `False` gives between 0.05 and 0.13 rad, `True` below $10^{-6}$.
# *Why:* "far from physics" means far from the physics that the judge knows.
#
# **4. How well can it be known?** (20 minutes) The fit's own uncertainty is
# $\mathrm{sd}^2_{ij} = \big[(J^\top J)^{-1} J^\top S J (J^\top J)^{-1}\big]_{ij}$ with $S$ the
# diagonal matrix of $(0.1\,t)^2$. *Write* `sd_of_g_over_l(z)`. *Check:* for `z = (1, 0, 6)` it is
# between 0.1 and 0.25, and agrees within 15 % with the scatter of 300 fits to fresh noise. *Why:*
# an answer without its uncertainty is half an answer.
#
# **5. Fool them** (20 minutes). Judge, do not train: invent a generator that no judge of this
# lesson finds and that is not fresh pendulums, nor tied as above. A candidate: three motions in
# four are fresh, and one is an exact copy from `train`. *Write* `cheat(n, rng)`. *Check:* the
# three marks and the 90 % mark, beside those of `honest`. The candidate's residuals and KS cannot
# be told from the honest ones; its ratio is between 0.7 and 0.9, and Part 4 let 0.7 pass.
# *Decide:* which further look would find yours? *Why:* who can fool a score understands it.
#
# # Sources
#
# D. Marquardt, *An algorithm for least-squares estimation of nonlinear parameters*, Journal of
# the SIAM 11 (1963). C. Meehan, K. Chaudhuri, S. Dasgupta, *A non-parametric test to detect
# data-copying in generative models*, AISTATS 2020. L. Theis, A. van den Oord, M. Bethge, *A note
# on the evaluation of generative models*, ICLR 2016, on scores that disagree. A. Honchar, *From
# high-school physics to GANs* (2021), from which the data set comes.
