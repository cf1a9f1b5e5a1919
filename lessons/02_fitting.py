# %% [markdown]
# # 2. Fitting: what noisy observations can tell
#
# *Part 1: a motion. 65 minutes.*
#
# **The question.** Somebody hands us observed motions, with noise on them. Which curve is behind
# the dots? How good can the best answer be? And when is a score too good to be true? The tool,
# **least squares**, is two hundred years old and hides inside every network of this course.
#
# **Afterwards you can**
#
# * fit a curve by least squares, and check the fit by right angles,
# * recognise a model that has learned the noise,
# * name the score that no model can beat,
# * split data so that the score means what you think it means.
#
# **You need** lesson 1, with its matrices, and NumPy's `@` (matrix times matrix or vector).
#
# **Four parts**, about 15 minutes each. One may stop after any of them.
#
# 1. Right angles
# 2. More weights, better fit?
# 3. The floor
# 4. A score that is too good

# %%
from lesson import Lesson

lesson = Lesson("02_fitting")
rng = lesson.rng

from itertools import combinations_with_replacement

import numpy as np

from minigen import datasets
from minigen.physics import pendulum
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

# %% [markdown]
# # Part 1. Right angles
#
# Something starts at 0 and moves at a steady speed $w$. We read its place twice, badly: 1 m after
# 1 s, and 3 m after 2 s. How fast is it?
#
# The first reading says 1 m/s, the second 1.5 m/s. No speed meets both. What a speed leaves over,
# the readings less what it would give, we call **the rest**.
#
# > **Predict.** Take the speed for which the sum of the squares of the rest is smallest. Is it
# > 1.25 m/s, the mean of the two? Less? More?

# %%
times = np.array([1.0, 2.0])  # s
places = np.array([1.0, 3.0])  # m
speeds = np.linspace(0.8, 2.0, 121)
squared_errors = []
for speed in speeds:
    rest = places - speed * times
    squared_errors.append(np.sum(rest**2))

best_speed = speeds[np.argmin(squared_errors)]
lesson.show("the best of 121 speeds", best_speed, "m/s")
lesson.show("the rest at that speed", places - best_speed * times, "m")


# %% tags=["hide-input"]
def draw_two_readings():
    with lesson.figure("readings", panels=3) as (line, valley, plane):
        line.plot(times, places, "o", color=BLACK, label="the readings")
        line.plot([0, 2.4], [0, 2.4 * best_speed], color=BLUE, label="1.4 m/s")
        for time, place in zip(times, places):
            line.plot([time, time], [place, best_speed * time], ":", color=VERMILLION)
        line.set(xlabel="time (s)", ylabel="place (m)", title="Two readings, one line")

        valley.plot(speeds, squared_errors, color=BLUE)
        valley.axvline(best_speed, color=GREY, ls=":")
        valley.set(xlabel="speed w (m/s)", ylabel="sum of squared errors (m²)")
        valley.set(title="The error has one lowest point")

        foot = best_speed * times
        plane.plot([0, 2.0], [0, 4.0], color=GREY, label="speeds: w (1, 2)")
        plane.plot([0, places[0]], [0, places[1]], color=BLACK, label="readings (1, 3)")
        plane.plot([0, foot[0]], [0, foot[1]], color=BLUE, lw=3, label="fit (1.4, 2.8)")
        plane.plot([foot[0], 1], [foot[1], 3], ":", color=VERMILLION, label="rest")
        plane.set(xlabel="place after 1 s (m)", ylabel="place after 2 s (m)")
        plane.set(xlim=(-0.5, 4.5), ylim=(0, 5), aspect="equal")
        plane.set(title="The same as one point in a plane")
        plane.legend(loc="lower right")


draw_two_readings()

# %% [markdown]
# **What you saw.** The best speed is 1.4 m/s: the later reading counts more, as there an error of
# the speed shows more. The right panel says why just this one. There both readings together are
# *one point*, $(1, 3)$. All that a speed can produce, $w\,(1, 2)$, is a line. By Pythagoras the
# sum of the squared errors is the squared distance from the point to a place on the line. The
# nearest place is the foot of the perpendicular. **The rest stands at a right angle to the
# line.**
#
# By hand: two arrows $(a, b)$ and $(c, d)$ are at a right angle if their **product** $a c + b d$
# is zero. The rest is $(1 - w,\; 3 - 2w)$. Its product with $(1, 2)$ is
# $1 - w + 2\,(3 - 2w) = 7 - 5w$. That is zero for $w = 1.4$.
#
# ## The normal equations
#
# Now several **features**: functions of time such as $1, t, t^2$. Each is a column of a matrix
# $X$, with a row for each reading. A model is their weighted sum, $Xw$; here $w$ holds the
# **weights**. The rest $y - Xw$ must be at right angles to *every* column. Let $X^\top$ be $X$
# laid on its side: its rows are the columns of $X$. Then $X^\top$ times the rest gives all those
# products at once:
#
# $$X^\top (y - Xw) = 0, \qquad\text{so}\qquad X^\top X\, w = X^\top y.$$
#
# These are the **normal equations**. A worked case: a line $w_0 + w_1 t$ through the readings 1,
# 3, 2 at the times 0, 1, 2. With the columns $(1, 1, 1)$ and $(0, 1, 2)$,
#
# $$\begin{pmatrix} 3 & 3\\ 3 & 5 \end{pmatrix} \begin{pmatrix} w_0\\ w_1 \end{pmatrix} =
# \begin{pmatrix} 6\\ 7 \end{pmatrix}, \qquad w_0 = 1.5, \quad w_1 = 0.5.$$
#
# All these numbers are products of columns: $5 = 0 \cdot 0 + 1 \cdot 1 + 2 \cdot 2$, and
# $7 = 0 \cdot 1 + 1 \cdot 3 + 2 \cdot 2$. The fit is 1.5, 2, 2.5; the rest is $-0.5, 1, -0.5$.
# Its sum is 0, and so is $0 \cdot (-0.5) + 1 \cdot 1 + 2 \cdot (-0.5)$.


# %%
def least_squares(X, y, ridge=1e-9):
    """Weights from the normal equations, for X (rows, features)."""
    products = X.T @ X
    steadied = products + ridge * np.eye(len(products))  # why: see below
    return np.linalg.solve(steadied, X.T @ y)


X = np.column_stack([np.ones(3), [0.0, 1.0, 2.0]])
y = np.array([1.0, 3.0, 2.0])
w = least_squares(X, y)
lesson.show("weights", w)
lesson.show("rest", y - X @ w)

# %% [markdown]
# The tiny `ridge` keeps the equations solvable where one column is nearly a sum of others. (A
# larger one would hold the weights small on purpose. That is called **regularisation**.)
#
# Does our function find what it should on a real case? Forty features, a hundred observations.
# And does the test of right angles find a wrong answer? The mean of the two speeds must fail it.

# %%
A = rng.standard_normal((100, 40))
b = rng.standard_normal(100)
ours = least_squares(A, b)
theirs, *_ = np.linalg.lstsq(A, b)
right_angles = np.abs(A.T @ (b - A @ ours)).max()
lesson.claim("products of the rest and 40 columns: largest", right_angles, below=1e-6)
lesson.same("our weights and np.linalg.lstsq's", ours, theirs, limit=1e-8)

mean_of_speeds = np.mean(places / times)
slanted = times @ (places - mean_of_speeds * times)
lesson.claim("the mean of the speeds: rest times column", abs(slanted), above=0.1)

# %% [markdown]
# # Part 2. More weights, better fit?
#
# Back to pendulums. We look at a hundred of them, each at 50 moments within 5 s, with lesson 1's
# noise of SD $0.1\,t$. As features we take all powers of time up to some **degree**.
#
# Then we look at the *same* motions again, at the same moments. Only the noise is fresh. The
# first look is to fit (**train**), the second to judge (**test**). The judge is the **mean
# squared error**.


# %%
def error(prediction, y):
    """The mean squared error, in rad^2."""
    return np.mean((prediction - y) ** 2)


def powers(t, degree):
    """Polynomials of degree 0, 1, ... as columns: (times, degree + 1).

    Legendre's are powers of time, mixed to be as different as can be: their sums
    are the same curves as those of 1, t, t^2, ... They want a time from -1 to 1.
    """
    return np.polynomial.legendre.legvander(t / 2.5 - 1, degree)


seen_twice = datasets.pendulum_trajectories(100, rng, view=50)  # 50 of the 500 angles
t = seen_twice.t
true = seen_twice.clean.T  # (times, pendulums)
train = seen_twice.theta.T
test = true + 0.1 * t[:, None] * rng.standard_normal(true.shape)
lesson.show(
    "one column of X for each power up to 8, (times, features)", powers(t, 8).shape
)

# %% [markdown]
# > **Predict.** We raise the degree from 1 to 40. What will the train error do? And the test
# > error?

# %%
curve = {}  # by degree: (times, pendulums)
train_error = {}
test_error = {}
for degree in range(1, 41):
    X_powers = powers(t, degree)
    curve[degree] = X_powers @ least_squares(X_powers, train)  # all pendulums at once
    train_error[degree] = error(curve[degree], train)
    test_error[degree] = error(curve[degree], test)

rows = {}
for degree in (3, 8, 20, 40):
    rows[f"degree {degree}"] = {
        "train": train_error[degree],
        "test": test_error[degree],
    }
lesson.table("mean squared error (rad^2)", rows)

# %%
on_train = train_error[40] / train_error[8]
on_test = test_error[40] / test_error[8]
lesson.claim("train error at degree 40 over that at degree 8", on_train, below=0.5)
lesson.claim("test error at degree 40 over that at degree 8", on_test, above=1.2)
rises = test_error[3] / test_error[8]
lesson.claim("test error at degree 3 over that at degree 8", rises, above=2)

# %% [markdown]
# With few weights the curve is too stiff: it is wrong on both looks (**underfitting**). With many
# it also follows the noise of the first look, and noise does not come again: this is
# **overfitting**. The train error cannot tell. It always falls.
#
# ## Features that know the subject
#
# A pendulum swings. So fit a wave instead, $a \cos(wt) + b \sin(wt)$. (This $w$ is no weight but
# says how fast it swings, as in lesson 1.) For a given $w$ the cosine and the sine are two
# features, and $a$ and $b$ their weights. We try 57 values of $w$.


# %%
def fit_wave(y, seen):
    """The best wave for one motion y (times,), fitted to the times that are seen."""
    least = np.inf
    for w in np.linspace(1.2, 4.0, 57):
        X = np.column_stack([np.cos(w * t), np.sin(w * t)])
        a, b = least_squares(X[seen], y[seen])
        wave = X @ [a, b]
        missing = error(wave[seen], y[seen])
        if missing < least:
            least = missing
            best = wave
    return best


# %%
def fit_waves(seen):
    """The best wave for each of the hundred motions: (times, pendulums)."""
    waves = []
    for motion in train.T:
        waves.append(fit_wave(motion, seen))
    return np.column_stack(waves)


always = t >= 0
wave_error = error(fit_waves(always), test)
best_degree = min(test_error, key=test_error.get)
lesson.show("the best degree, chosen with the answers in hand", best_degree)
lesson.show("its test error", test_error[best_degree], "rad^2")
lesson.show("a wave of 3 numbers: test error", wave_error, "rad^2")

# %% [markdown]
# > **Predict.** Fit only the first 3.5 s, and let both curves run on to 5 s. How wrong will the
# > wave be there, and the polynomial of degree 8?

# %%
early = t < 3.5
late = ~early
waves_ahead = fit_waves(early)
powers_ahead = powers(t, 8) @ least_squares(powers(t, 8)[early], train[early])
wave_late = error(waves_ahead[late], test[late])
powers_late = error(powers_ahead[late], test[late])
lesson.show("the waves' error from 3.5 s to 5 s", wave_late, "rad^2")
lesson.show("the polynomials'", powers_late, "rad^2")

# %%
wave_gain = test_error[best_degree] / wave_error
lesson.claim("best polynomial's test error over the wave's", wave_gain, above=1)
lesson.claim(
    "after the data: polynomials' error over waves'", powers_late / wave_late, above=100
)


# %% tags=["hide-input"]
def draw_overfitting():
    one = int(np.argmax(np.abs(true).max(axis=0)))  # the widest swing
    with lesson.figure("overfitting", panels=3) as (fits, scores, ahead):
        fits.plot(t, train[:, one], "o", ms=4, color=SKY, label="first look")
        for degree, colour in ((3, GREEN), (8, BLACK), (40, VERMILLION)):
            fits.plot(
                t, curve[degree][:, one], color=colour, lw=1.3, label=f"degree {degree}"
            )
        fits.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3, 4.2))
        fits.set(title="Too stiff, about right, too obedient")
        fits.legend(loc="upper center", ncol=2)

        scores.plot(train_error.keys(), train_error.values(), color=SKY, label="train")
        scores.plot(
            test_error.keys(), test_error.values(), color=VERMILLION, label="test"
        )
        scores.axhline(wave_error, color=BLUE, ls="--", label="a wave, test")
        scores.set(
            xlabel="degree of the polynomial", ylabel="error (rad²)", ylim=(0, 0.3)
        )
        scores.set(title="The train error always falls")

        ahead.axvspan(0, 3.5, color=SKY, alpha=0.2, lw=0)
        ahead.plot(t, true[:, one], color=GREY, lw=3, label="true")
        ahead.plot(t, waves_ahead[:, one], color=BLUE, label="wave")
        ahead.plot(t, powers_ahead[:, one], color=BLACK, label="degree 8")
        ahead.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3, 4.2))
        ahead.set(title="Fitted on the shaded part only")
        ahead.legend(loc="upper left")


draw_overfitting()

# %% [markdown]
# **What you saw.** The red curve on the left runs close to nearly every dot. Yet where it counts,
# on the second look, it is worse than the black one: 0.152 against 0.101. A wave has three
# numbers instead of nine and beats every polynomial. Outside the data it is better by a factor of
# more than a hundred thousand: powers grow, and waves come back.

# %% [markdown]
# # Part 3. The floor
#
# What is the best possible score? Imagine somebody who knows the true motion. The noise is left,
# and nobody can foresee it. Its variance at time $t$ is $(0.1\,t)^2$: 0.01 after 1 s, 0.25 after
# 5 s. The mean of $t^2$ from 0 to $T$ is $T^2/3$, a third of its last value. So the mean of the
# variance is $0.25/3 = 0.083$ rad².
#
# In general, an observation is $y = \theta + \varepsilon$: true angle and noise. Let a model say
# $f$. Its error is $(\theta - f) + \varepsilon$, and the square of that has a mixed term,
# $2\,(\theta - f)\,\varepsilon$. The noise is as often up as down, whatever $f$ says, as long as
# the model has not seen it. So the mixed term averages out. With $\mathrm E$ for the mean,
#
# $$\mathrm E\,(y - f)^2 = \mathrm E\,(\theta - f)^2 + \mathrm E\,\varepsilon^2 \;\ge\;
# \mathrm E\,\varepsilon^2 = \frac15\int_0^5 (0.1\,t)^2\,dt = 0.083\ \text{rad}^2.$$
#
# This is called the **irreducible error**. We call it the floor.
#
# > **Predict.** A physicist is told the true factors of each pendulum, and simulates. A second
# > one is told rods that are 5 % too long. By how much do their errors lie above the floor?

# %%
data = datasets.pendulum_trajectories(lesson.pick(full=4000, quick=800), rng)
floor = np.mean((0.1 * data.t) ** 2)


def physicist(stretched=1.0):
    """Motions simulated from the true factors, the rods made longer or shorter."""
    rods = stretched * data.length
    return pendulum.simulate(data.theta0, data.omega0, rods).theta


told_right = error(physicist(), data.theta)
told_wrong = error(physicist(1.05), data.theta)
lesson.show("the floor", floor, "rad^2")
lesson.show("told the true factors", told_right, "rad^2")
lesson.show("told rods 5 % too long", told_wrong, "rad^2")

# %%
lesson.claim(
    "the physicist's error over the floor", told_right / floor, near=1, within=0.02
)
lesson.claim("the same, with rods 5 % too long", told_wrong / floor, above=1.08)
impossible = train_error[40] / np.mean((0.1 * t) ** 2)
lesson.claim("degree 40: train error over its floor", impossible, below=0.5)

# %% [markdown]
# Even the one who made the data cannot do better. **A model that scores clearly less has seen the
# answers.** Degree 40 has: on its train look it is at a fifth of the floor.
#
# ## A share instead of an error
#
# Often one reads a score between 0 and 1, the share of the variance that is explained:
#
# $$R^2 = 1 - \frac{\text{mean squared error}}{\text{variance of the observations}}.$$
#
# Always guessing the mean has $R^2 = 0$. A perfect guess would have 1, but the floor does not
# allow it: with a variance of about 0.77, the ceiling is $1 - 0.083/0.77 = 0.89$.

# %%
variance = np.var(data.theta)
ceiling = 1 - floor / variance
lesson.show("variance of all observed angles", variance, "rad^2")
lesson.show("the physicist's R^2", 1 - told_right / variance)
lesson.claim("ceiling of R^2", ceiling, near=0.89, within=0.02)


# %% tags=["hide-input"]
def draw_floor():
    with lesson.figure("floor", panels=2, width=5.4) as (over_time, bars):
        for stretched, colour, name in (
            (1.05, VERMILLION, "rods 5 % too long"),
            (1.0, BLUE, "true factors"),
        ):
            missing = physicist(stretched) - data.theta
            over_time.plot(
                data.t, np.mean(missing**2, axis=0), color=colour, label=name
            )
        over_time.plot(data.t, (0.1 * data.t) ** 2, ":", color=BLACK, label="(0.1 t)²")
        over_time.set(xlabel="time (s)", ylabel="mean squared error (rad²)")
        over_time.set(title="The physicist's error is the noise")

        names = ["degree 8,\ntest", "wave,\ntest", "physicist", "degree 40,\ntrain"]
        values = [test_error[8], wave_error, told_right, train_error[40]]
        bars.bar(names, values, color=[BLACK, BLUE, GREEN, SKY])
        bars.axhline(floor, color=PURPLE, ls="--", label="floor")
        bars.set(ylabel="mean squared error (rad²)", ylim=(0, 0.14))
        bars.set(title="Below the floor: has seen the answers")


draw_floor()

# %% [markdown]
# **What you saw.** The blue curve lies on the dotted one, at each moment. Somebody with slightly
# wrong rods is above it, more and more. And the one bar under the floor belongs to a score that
# means nothing.

# %% [markdown]
# # Part 4. A score that is too good
#
# So far each pendulum had its own curve. Now we want *one* model for all: given the factors of a
# pendulum that nobody has seen move, predict its motion. There is a table, one row for each
# observation: four factors, the time, the angle.
#
# Our model is the laziest there is. It fits a curve of degree 8 to the dots of each pendulum that
# it knows. Asked about a pendulum, it looks up the one with the most similar factors, and reads
# off *that* curve. Such a model is called a **nearest neighbour**; it only remembers. (Similar in
# what unit? We bring each factor to the range from -1 to 1, so that all four weigh alike.)
#
# To judge it, we hold back a fifth of the table. **A fifth of its rows? Or of its pendulums?**
#
# > **Predict.** With rows held back, four fifths of *every* pendulum's dots are known. Which way
# > gives the smaller error? Which of the two is what we asked for?


# %%
def scaled(values, low, high):
    """From the range low..high to -1..1."""
    return 2 * (values - low) / (high - low) - 1


def scaled_factors(data):
    """(pendulums, 4), each between -1 and 1; the ranges are those of lesson 1."""
    theta0 = scaled(data.theta0, 0.5, 1.5)
    omega0 = scaled(data.omega0, 0.5, 1.5)
    length = scaled(data.length, 1.0, 2.5)
    mass = scaled(data.mass, 1.0, 2.5)
    return np.column_stack([theta0, omega0, length, mass])


lesson.show(
    "a rod of 1.0, of 1.75 and of 2.5 m", scaled(np.array([1.0, 1.75, 2.5]), 1, 2.5)
)
lesson.show("the factors of one pendulum, scaled", scaled_factors(data)[0])


# %%
def remember(data, known):
    """A curve of degree 8 through the known dots of each pendulum: (pendulums, times)."""
    X = powers(data.t, 8)
    curves = []
    for dots, is_known in zip(data.theta, known):
        weights = least_squares(X[is_known], dots[is_known])
        curves.append(X @ weights)
    return np.stack(curves)


def look_up(factors, known_factors):
    """For each row of factors, the number of the most similar known row, from 0."""
    nearest = []
    for wanted in factors:
        distances = np.sum((known_factors - wanted) ** 2, axis=1)
        nearest.append(np.argmin(distances))
    return np.array(nearest)


three_known = np.array([[0.0], [0.5], [0.9]])
asked = np.array([[0.6], [-1.0]])
lesson.show("0.6 and -1.0 asked, 0.0, 0.5, 0.9 known", look_up(asked, three_known))


# %%
def error_by_rows(data, factors, dice):
    """A fifth of all rows is held back, wherever it lies."""
    held = dice.random(data.theta.shape) < 0.2  # (pendulums, times)
    curves = remember(data, ~held)
    prediction = curves[look_up(factors, factors)]  # each pendulum finds itself
    return error(prediction[held], data.theta[held])


def error_by_pendulums(data, factors, dice):
    """A fifth of the pendulums is held back, with all their rows."""
    order = dice.permutation(len(data))
    held, kept = np.split(order, [len(data) // 5])
    curves = remember(data.take(kept), np.ones((len(kept), len(data.t)), bool))
    prediction = curves[look_up(factors[held], factors[kept])]
    return error(prediction, data.theta[held])


# %% [markdown]
# A single split of a few pendulums is a matter of luck. We take the mean over several tables,
# each of 40 pendulums.
#
# And a third experiment, to find the *cause*. We give every pendulum four random numbers in place
# of its factors: a **name**, which says nothing of how it swings.
#
# > **Predict.** What will the two ways of splitting say of a model that knows nothing but names?

# %%
TABLES = lesson.pick(full=32, quick=8)


def errors_of_both_splits(pendulums, tables):
    """Mean errors, by what stands in the table and by the kind of split."""
    errors = {"factors": [], "names": []}
    for _ in range(tables):
        data = datasets.pendulum_trajectories(pendulums, rng, view=100)
        names = rng.uniform(-1, 1, (pendulums, 4))
        seed = rng.integers(2**32)  # both are split alike
        for what, given in (("factors", scaled_factors(data)), ("names", names)):
            rows = error_by_rows(data, given, np.random.default_rng(seed))
            others = error_by_pendulums(data, given, np.random.default_rng(seed))
            errors[what].append([rows, others])
    return {what: np.mean(pairs, axis=0) for what, pairs in errors.items()}


of_40 = errors_of_both_splits(40, TABLES)
rows = {}
for what, (by_rows, by_pendulums) in of_40.items():
    rows[what] = {"rows held back": by_rows, "pendulums held back": by_pendulums}
rows["always the mean"] = {"rows held back": variance, "pendulums held back": variance}
lesson.table("a model that remembers, 40 pendulums: error (rad^2)", rows)

# %%
rows_known, others_known = of_40["factors"]
rows_named, others_named = of_40["names"]
lesson.claim(
    "factors: error by pendulums over that by rows",
    others_known / rows_known,
    above=1.5,
)
lesson.claim(
    "by rows: error with names less that with factors",
    rows_named - rows_known,
    exactly=0,
)
lesson.claim(
    "names: error by pendulums over that by rows", others_named / rows_named, above=4
)

# %% [markdown]
# **Look at the first column.** By rows, a model that knows only names scores *exactly* as well as
# one that knows the factors, to the last digit. So that score does not measure knowledge of
# pendulums at all. Every pendulum lies on both sides of the split. The held rows ask for a curve
# that the model has already drawn, and all it must do is recognise whose it is. This is a
# **leak**.
#
# By pendulums the truth comes out: with factors it is far above the floor, and with names about
# as bad as always guessing the mean.
#
# **Always split by what you want to generalise to.** For us that is the pendulum.
# `datasets.train_test_split` knows no other way.
#
# ## A model that cannot remember
#
# Is a split by rows always wrong? A leak needs a memory. Take least squares with features of
# *all* factors: 1, each factor, and the products of two or three of them, which makes 35. Each is
# multiplied with each of the ten powers of time from 0 to 9. So a single set of 350 weights has
# to do for all pendulums. A weighted sum of features is called a **linear model**.


# %%
def table_of(data):
    """Features (pendulums, times, 350)."""
    products = [np.ones(len(data))]
    for number in (1, 2, 3):
        # all ways to choose so many of the four factors, also one twice
        for chosen in combinations_with_replacement(scaled_factors(data).T, number):
            products.append(np.prod(chosen, axis=0))
    of_factors = np.stack(products, axis=1)  # (pendulums, 35)
    of_time = powers(data.t, 9)  # (times, 10)
    # for each pendulum p and time t: each product f times each power d
    features = np.einsum("pf,td->ptfd", of_factors, of_time)
    return features.reshape(len(data), len(data.t), 350)


def fit_and_judge(features, angles, held):
    """The error on what is held back, after a fit of the rest; held: (pendulums, times)."""
    weights = least_squares(features[~held], angles[~held], ridge=1e-6)
    return error(features[held] @ weights, angles[held])


# %%
def both_errors(pendulums):
    """The linear model's errors by rows and by pendulums, for one table."""
    data = datasets.pendulum_trajectories(pendulums, rng, view=100)
    features = table_of(data)
    some_rows = rng.random(data.theta.shape) < 0.2
    some_pendulums = rng.random((pendulums, 1)) < 0.2
    all_their_rows = np.broadcast_to(some_pendulums, data.theta.shape)
    by_rows = fit_and_judge(features, data.theta, some_rows)
    by_pendulums = fit_and_judge(features, data.theta, all_their_rows)
    return by_rows, by_pendulums


MANY = lesson.pick(full=320, quick=260)
linear = np.mean([both_errors(MANY) for _ in range(4)], axis=0)
memory = errors_of_both_splits(MANY, 1)["factors"]
rows = {}
for name, (by_rows, by_pendulums) in (("350 weights", linear), ("remembers", memory)):
    rows[name] = {"rows held back": by_rows, "pendulums held back": by_pendulums}
lesson.table(f"{MANY} pendulums: error (rad^2)", rows)

# %%
lesson.claim(
    "350 weights: error by pendulums over that by rows",
    linear[1] / linear[0],
    below=1.25,
)
lesson.claim(
    "350 weights: error by pendulums over the floor", linear[1] / floor, above=1
)

# %% [markdown]
# With so many pendulums 350 weights cannot hold all their curves. They have to find what the
# curves have in common; both splits nearly agree, not far above the floor. The model that
# remembers is still fooled. (With *few* pendulums the linear model has a trouble of its own,
# which is no leak: exercise 5.)


# %% tags=["hide-input"]
def draw_leak():
    sizes = [20, 40, 80, 160]
    by_size = [errors_of_both_splits(n, lesson.pick(full=6, quick=3)) for n in sizes]
    by_rows = [errors["factors"][0] for errors in by_size]
    by_pendulums = [errors["factors"][1] for errors in by_size]
    of_names = [errors["names"][1] for errors in by_size]
    with lesson.figure("leak", panels=2, width=5.4) as (splits, bars):
        splits.loglog(sizes, of_names, "x--", color=GREY, label="names, by pendulums")
        splits.loglog(
            sizes, by_pendulums, "o-", color=GREEN, label="factors, by pendulums"
        )
        splits.loglog(
            sizes, by_rows, "o-", color=ORANGE, label="factors or names, by rows"
        )
        splits.axhline(floor, color=PURPLE, ls="--", label="floor")
        splits.set_xticks(sizes, [str(size) for size in sizes])
        splits.set_yticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
        splits.minorticks_off()
        splits.set(
            xlabel="pendulums in the table", ylabel="error on what is held back (rad²)"
        )
        splits.set(title="A model that remembers: which split?", ylim=(0.07, 2.5))
        splits.legend(loc="upper right", ncol=1)

        places = np.arange(2)
        for shift, column, colour, name in (
            (-0.2, 0, ORANGE, "by rows"),
            (0.2, 1, GREEN, "by pendulums"),
        ):
            heights = [linear[column], memory[column]]
            bars.bar(places + shift, heights, 0.36, color=colour, label=name)
        bars.axhline(floor, color=PURPLE, ls="--", label="floor")
        bars.set_xticks(places, ["350 weights", "remembers"])
        bars.set(ylabel="error on what is held back (rad²)")
        bars.set(title=f"{MANY} pendulums: a leak needs a memory")
        bars.legend(loc="upper left")


draw_leak()
lesson.end()

# %% [markdown]
# **What you saw.** The orange line says: 20 pendulums are enough, and more do not help. That is
# wrong. The green one says how the model does on a pendulum it has not met.
#
# # What it means
#
# * The best fit is the one whose rest stands at right angles to all features.
# * The train error always falls with more weights. Only fresh observations tell what was learned:
#   the motion, or the noise.
# * The variance of the noise is a floor. A score below it has seen the answers.
# * A split must separate what you want to generalise over. The test of a leak: does a model that
#   knows only names score just as well?
#
# # Exercises
#
# **1. Fewer looks** (5 minutes). Set `view=50` to `view=20` where the pendulums are seen twice,
# let the loop over degrees end at 19, and the table show degrees 8, 12 and 19. Stop there: the
# cells after it ask for degree 40. What becomes of the train error, and why? *Why:* twenty
# weights can repeat twenty dots. (It is the tiny `ridge` that keeps it from zero.)
#
# **2. A worse second look** (5 minutes). Make the noise of the second look twice as large,
# `0.2 * t[:, None]`. By how much do the test errors rise? Is another degree the best now? *Why:*
# the floor rises for all models alike.
#
# **3. Trust the early dots** (15 minutes). Late dots are noisier and deserve less trust. *Write*
# `weighted_least_squares(X, y, sd)`: divide each row of $X$ and $y$ by its SD first. Use degree
# 8, all of `train` and $0.1\,t + 0.01$. *Check:* in the first second the RMS distance to `true`
# falls to 0.4 to 0.7 of that without weights. Over all 5 s it hardly changes; why?
#
# **4. Foresee the test error** (20 minutes). *Write* `expected_test_error(X, sd)`: the mean
# variance of the noise, plus $\frac1n \sum_{ij} H_{ij}^2\, \mathrm{sd}_j^2$ with
# $H = X (X^\top X)^{-1} X^\top$. *Check:* for degree 20 it meets the measured test error within
# 10 %. *Why:* the price of weights can be told before anything is fitted, if the noise is known.
#
# **5. Judge: is it a leak?** (20 minutes) A colleague runs `both_errors` with 44 pendulums and
# finds an error by pendulums many times that by rows. "A huge leak!" Find the mean of four runs,
# by pendulums, for 20, 44 and 120 pendulums. *Check:* the worst is 44, though it has *more* data
# than 20. About 35 are left to train, and there are 35 products of factors. *Decide:* what
# happens there? *Why:* where weights are as many as what determines them, they are barely
# determined and explode. Below and above it is better: this is called **double descent**, and is
# not a leak.
#
# # Sources
#
# T. Hastie, R. Tibshirani, J. Friedman, *The Elements of Statistical Learning*, 2nd edition
# (2009), chapters 3 and 7. M. Belkin, D. Hsu, S. Ma, S. Mandal, *Reconciling modern
# machine-learning practice and the classical bias-variance trade-off*, PNAS 116 (2019), on double
# descent. A. Honchar, *From high-school physics to GANs* (2021), from which the data set comes.
