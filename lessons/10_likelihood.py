# %% [markdown]
# # 10. Likelihood: what surprise is worth
#
# *Part 3: likelihood. 50 minutes.*
#
# **The question.** Why minus the logarithm of the probability, and not something else? In lesson
# 9 a network learned an honest error bar because we made $-\log p$ of the data small. A generator
# must match a whole distribution. What does training by likelihood really make small, and how
# small can it get?
#
# **Afterwards you can**
#
# * compute entropy, cross-entropy and the Kullback-Leibler divergence by hand, for a small case,
# * say why the best believer is the one who knows the truth, and what error costs,
# * say what maximum likelihood brings close to what,
# * name the floor below which no loss can fall.
#
# **You need** the negative log-likelihood (lesson 9), and gradients of gradients (lesson 4).
#
# **Four parts**, about twelve minutes each. One may stop after any of them.
#
# 1. Surprise
# 2. Densities, and why error never pays
# 3. Maximum likelihood is least divergence
# 4. The floor of lesson 9's loss

# %%
from lesson import Lesson

lesson = Lesson("10_likelihood")
rng = lesson.rng

import numpy as np

from minigen import distributions, divergences, grad, ops, tensor
from minigen.plots import BLACK, BLUE, ORANGE, PALE, VERMILLION

# %% [markdown]
# # Part 1. Surprise
#
# A drawer holds pendulums: 60 % of them are 1 m long, 40 % are 2 m. We draw one blindly.
#
# How surprised should we be at what we get? We want a number that is 0 for what was certain, and
# large for what was rare. And for two independent events the surprises should add up.
# Probabilities *multiply*: two long ones in a row come with $0.4 \times 0.4 = 0.16$. The function
# that makes sums of products is the logarithm. So we call $-\log p(x)$ the **surprise** at $x$.
# With the natural logarithm its unit is the **nat**.

# %%
events = {
    "a certain thing": 1.0,
    "a short pendulum": 0.6,
    "a long one": 0.4,
    "two long ones in a row": 0.4 * 0.4,
    "one in a million": 1e-6,
}
for event, probability in events.items():
    nats = np.log(1 / probability)  # the same as -log
    print(f"{event}: probability {probability:g}, surprise {nats:.3f} nats")


# %% tags=["hide-input"]
def draw_surprise():
    with lesson.figure("surprise", width=6.4) as ax:
        q = np.linspace(0.005, 1, 300)
        ax.plot(q, -np.log(q), color=BLUE)
        for name, at in {
            "long, twice": 0.16,
            "long": 0.4,
            "short": 0.6,
            "certain": 1,
        }.items():
            ax.plot(at, -np.log(at), "o", color=BLUE)
            ax.annotate(name, (at, -np.log(at)), (6, 6), textcoords="offset points")
        ax.set(
            xlim=(0, 1.15),
            title="Rare things surprise",
            xlabel="probability",
            ylabel="surprise (nats)",
        )


draw_surprise()

# %% [markdown]
# The two long ones surprise by $1.833 = 2 \times 0.916$.
#
# ## Three means
#
# The mean surprise of somebody who knows the drawer is $0.6 \times 0.511 + 0.4 \times 0.916 =
# 0.673$ nats. That is the **entropy** $H(p)$. Nobody can be surprised less, on average, by this
# drawer.
#
# > **Predict.** Somebody believes that 90 % are short. Most draws *are* short, and then this
# > person is less surprised than the one who knows. Who is less surprised on average?


# %%
def surprise(q):
    """-log q, in nats."""
    return -np.log(q)


truth = np.array([0.6, 0.4])  # short, long
belief = np.array([0.9, 0.1])

belief_rows = {}
for name, q in {"knows: 60 to 40": truth, "believes: 90 to 10": belief}.items():
    at = surprise(q)
    belief_rows[name] = {
        "at short": at[0],
        "at long": at[1],
        "mean": np.sum(truth * at),
    }
lesson.table("surprise when 60 % are short (nats)", belief_rows)

# %% [markdown]
# **What you saw.** The believer gains 0.406 nats in 60 of 100 draws and loses 1.386 in 40. The
# mean surprise of somebody who believes in $q$ while $p$ is true is the **cross-entropy** $H(p,
# q)$; here 0.984. What it has above the entropy, $0.984 - 0.673 = 0.311$ nats, is what the error
# costs. This is the **Kullback-Leibler divergence**:
#
# $$ \mathrm{KL}(p\,\|\,q) = H(p, q) - H(p) = \mathrm E_p\Big[\log\frac pq\Big], $$
#
# where $\mathrm E_p$ is the mean over $x$ drawn from $p$. (At each $x$ the surprises differ by
# $-\log q + \log p = \log p/q$.) It is no distance: in a drawer with 90 % short ones, the belief
# 60 to 40 costs 0.226 nats, not 0.311.


# %%
def cross_entropy(p, q, h=1.0):
    """Mean surprise of a believer in q while p is true (h is for Part 2; here it is 1)."""
    happens = p > 0  # what never happens surprises nobody
    return np.sum(p[happens] * surprise(q[happens])) * h


def entropy(p, h=1.0):
    return cross_entropy(p, p, h)


def kl(p, q, h=1.0):
    """What it costs to believe in q while p is true, in nats."""
    return cross_entropy(p, q, h) - entropy(p, h)


print(f"entropy {entropy(truth):.3f}, cross-entropy {cross_entropy(truth, belief):.3f}")
print(f"KL {kl(truth, belief):.3f}, and the other way round {kl(belief, truth):.3f}")

# %%
by_hand = [0.673, 0.984, 0.311, 0.226]
computed = [
    entropy(truth),
    cross_entropy(truth, belief),
    kl(truth, belief),
    kl(belief, truth),
]
lesson.claim(
    "the four numbers above", computed, near=by_hand, within=0.001, unit="nats"
)

# %% [markdown]
# ## Why the logarithm?
#
# Is this fussy? One could also charge a forecaster $1 - q(x)$: nothing for having been certain, 1
# for having called it impossible.
#
# > **Predict.** Under which of the two charges does it pay to say what one believes?

# %%
named = np.linspace(0.01, 0.99, 99)  # the share of short ones that a forecaster names
by_surprise = 0.6 * surprise(named) + 0.4 * surprise(1 - named)
by_shortfall = 0.6 * (1 - named) + 0.4 * named

best_by_surprise = named[np.argmin(by_surprise)]
best_by_shortfall = named[np.argmin(by_shortfall)]
lesson.claim(
    "surprise: the cheapest share to name", best_by_surprise, near=0.6, within=1e-9
)
lesson.claim("1 - q: the cheapest share to name", best_by_shortfall, above=0.98)


# %% tags=["hide-input"]
def draw_honesty():
    with lesson.figure("honesty", width=6.4) as ax:
        ax.plot(named, by_surprise, color=BLUE, label="mean of −log q")
        ax.plot(named, by_shortfall, color=VERMILLION, label="mean of 1 − q")
        ax.plot(best_by_surprise, by_surprise.min(), "o", color=BLUE)
        ax.plot(best_by_shortfall, by_shortfall.min(), "o", color=VERMILLION)
        ax.axvline(0.6, color=BLACK, ls="--", label="truth")
        ax.set(
            ylim=(0, 2),
            title="Where is the mean charge least?",
            xlabel="share of short ones that is named",
            ylabel="mean charge",
        )


draw_honesty()

# %% [markdown]
# **What you saw.** With $1 - q$ it pays to exaggerate: who says 99 % is charged least. With
# $-\log q$ it pays to name the truth. Such a charge is called **proper**. And 0.6 was not
# special: that the mean surprise is least for the truth is the same as to say that KL is never
# negative, which is Part 2.

# %% [markdown]
# # Part 2. Densities, and why error never pays
#
# Now we time the pendulum from the drawer. Its period is $2\pi\sqrt{L/g}$, and our stopwatch has
# an error of SD 0.12 s. What will the watch show? The bell of a Gaussian around each period, 60 %
# of one and 40 % of the other.

# %%
h = 0.01  # the watch shows hundredths of a second
marks = np.arange(501) * h  # its marks from 0 to 5 s
SHORT, LONG = 2 * np.pi * np.sqrt(np.array([1.0, 2.0]) / 9.81)
WATCH = 0.12  # SD of its error, s


def gauss(x, mean, sd):
    """The density of N(mean, sd^2) at x; arrays or tensors."""
    return ops.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


def drawer(x, share, sd):
    """The density of readings, if a share of the pendulums is short."""
    return share * gauss(x, SHORT, sd) + (1 - share) * gauss(x, LONG, sd)


p = drawer(marks, 0.6, WATCH)  # (501,), in 1/s
print(f"periods {SHORT:.3f} and {LONG:.3f} s; highest density {p.max():.2f} per second")
print(f"probability of the mark {marks[p.argmax()]:.2f} s: {p.max() * h:.4f}")

# %% [markdown]
# `p` is a **density**, a probability *per second*. It may exceed 1, as here. The probability of
# one mark is `p * h`. So a mean over all readings is a sum over the marks, with weights `p * h`.
# That is what the `h` in Part 1's functions is for. The surprise is now minus the logarithm of
# the *density*. (Where it exceeds 1, this is below 0.)
#
# > **Predict.** A single Gaussian of SD 0.12 s: can its entropy be negative? What becomes of
# > entropy and KL if we measure in milliseconds?

# %%
one_bell = gauss(marks, SHORT, WATCH)
shifted = gauss(marks, SHORT + WATCH, WATCH)  # one SD later

unit_rows = {}
for unit, factor in {"in s": 1, "in ms": 1000}.items():
    # the same probabilities per mark: a density 1000 times smaller, a step 1000 times larger
    unit_rows[unit] = {
        "entropy": entropy(one_bell / factor, h * factor),
        "KL to one SD later": kl(one_bell / factor, shifted / factor, h * factor),
    }
lesson.table("one bell (nats)", unit_rows)

# %%
gained = unit_rows["in ms"]["entropy"] - unit_rows["in s"]["entropy"]
lesson.claim(
    "entropy in ms less entropy in s",
    gained,
    near=np.log(1000),
    within=1e-9,
    unit="nats",
)
in_both = [row["KL to one SD later"] for row in unit_rows.values()]
lesson.claim("KL of bells one SD apart", in_both, near=0.5, within=1e-6, unit="nats")

# %% [markdown]
# **What you saw.** The entropy of a density depends on the unit, so its zero means nothing: in
# milliseconds every density is 1000 times smaller, and every surprise $\log 1000 = 6.91$ larger.
# In KL, where one surprise is taken from the other, the unit cancels.
#
# Two bells of the same SD, $d$ SDs apart, have $\mathrm{KL} = d^2/2$: here 0.5. For if $z$ is the
# distance from the first bell's middle in SDs, then $\log p/q = \frac12(z - d)^2 - \frac12 z^2 =
# \frac12 d^2 - z\,d$, and the mean of $z$ over $p$ is 0.
#
# ## Error never pays
#
# We try ten thousand pairs of distributions over six outcomes, drawn by lot. And to see what it
# takes, we also try believers who cheat: their six probabilities add up to 2.
#
# > **Predict.** The smallest KL among the honest pairs: below 0, at 0, or above?

# %%
# `dirichlet` draws numbers above 0 that add up to 1
lots = rng.dirichlet(np.ones(6), size=(10_000, 2))  # (pairs, 2, outcomes)
honest = []
cheating = []
for one, other in lots:
    honest.append(kl(one, other))
    cheating.append(kl(one, 2 * other))
print(f"believers whose six add up to 1: lowest KL {min(honest):.4f} nats")
print(f"believers whose six add up to 2: lowest KL {min(cheating):.4f} nats")

# %%
negative = np.sum(np.array(honest) < 0)
lesson.claim("honest pairs of negative KL, of 10 000", negative, exactly=0)
negative_cheats = np.sum(np.array(cheating) < 0)
lesson.claim("cheating pairs of negative KL, of 10 000", negative_cheats, above=3000)

# %% [markdown]
# To name twice every probability makes every surprise less by $\log 2 = 0.693$, and so the KL: no
# wonder that it pays. But why does it never pay the honest? The logarithm lies below its tangent
# at 1: $\log u \le u - 1$. Put $u = q/p$ and take the mean over $p$:
#
# $$ -\mathrm{KL}(p\,\|\,q) = \mathrm E_p\Big[\log\frac qp\Big]
#   \le \mathrm E_p\Big[\frac qp\Big] - 1 \le 0. $$
#
# The last step is where honesty comes in: the mean of $q/p$ adds up the $q$ of all that can
# happen, and all $q$ together are 1. For the drawer and the belief 90 to 10, $q/p$ is 1.5 and
# 0.25. The mean of $\log q/p$ is $0.6 \times 0.405 - 0.4 \times 1.386 = -0.311$; the mean of
# $q/p - 1$ is $0.6 \times 0.5 - 0.4 \times 0.75 = 0$. Curve and tangent meet only at $u = 1$. So
# KL is 0 only for $q = p$: who knows the truth is charged least, and nobody else.


# %% tags=["hide-input"]
def draw_never_negative():
    with lesson.figure("never_negative", panels=2) as (tangent, pairs):
        u = np.linspace(0.05, 3, 300)
        tangent.plot(u, np.log(u), color=BLUE, label="log u")
        tangent.plot(u, u - 1, "--", color=BLACK, label="u − 1, its tangent")
        tangent.plot([1.5, 0.25], np.log([1.5, 0.25]), "o", color=BLUE)
        tangent.set(
            ylim=(-3, 2),
            title="The logarithm lies below its tangent",
            xlabel="u = q/p (dots: the belief 90 to 10)",
            ylabel="nats",
        )
        bins = np.linspace(-1, 3, 81)
        pairs.hist(honest, bins, color=BLUE, label="beliefs that add up to 1")
        look = {"histtype": "step", "lw": 2}
        pairs.hist(cheating, bins, color=VERMILLION, label="that add up to 2", **look)
        pairs.axvline(0, color=BLACK, ls="--")
        pairs.set(
            title="Ten thousand pairs, drawn by lot",
            xlabel="KL (nats)",
            ylabel="pairs",
        )


draw_never_negative()

# %% [markdown]
# **What you saw.** An honest believer never gains by an error. Two rules at the edge: where $p =
# 0$ nobody is ever surprised, so such outcomes do not count. Where only $q = 0$ the surprise is
# infinite, and so is KL: what was called impossible has happened.

# %% [markdown]
# # Part 3. Maximum likelihood is least divergence
#
# Now forget how the drawer was filled. We have 2000 readings of the watch, and a family of
# densities with two unknowns: the share of short pendulums, and the SD of the watch.

# %%
READINGS = 2000


def take_readings(n):
    """n readings of pendulums from the drawer, to hundredths of a second."""
    period = np.where(rng.random(n) < 0.6, SHORT, LONG)
    return np.round(period + WATCH * rng.standard_normal(n), 2)


readings = take_readings(READINGS)
print("the first eight:", readings[:8], "s")

# %% [markdown]
# **Maximum likelihood** takes the unknowns for which the mean surprise at the readings is least.
# We find them by **Newton's method**, with lesson 4's second derivatives: go to the lowest point
# of the parabola that fits the loss here, and repeat. With one unknown, slope $-3$ and curvature
# 10, the slope is 0 after a step of $3/10$. With two, the curvatures are a matrix $C$, and the
# step solves $C\,\text{step} = -\text{slope}$.


# %%
def mean_surprise(unknowns, readings):
    share, sd = unknowns
    return -ops.mean(ops.log(drawer(readings, share, sd)))


def newton_step(at, readings):
    """The lowest point of the parabola that fits the mean surprise at `at`, (2,)."""
    unknowns = tensor(at, requires_grad=True)
    loss = mean_surprise(unknowns, readings)
    slope = grad(loss, [unknowns], create_graph=True)[0]
    curvature = []  # the slopes of the slopes, (2, 2)
    for k in range(2):
        curvature.append(grad(slope[k], [unknowns])[0].data)
    return at - np.linalg.solve(curvature, slope.data)


# %%
def most_likely(readings, start=(0.5, 0.1)):
    """Share and SD for which the readings are the most likely."""
    at = np.array(start)
    for _ in range(20):
        at = newton_step(at, readings)
    return at


at = np.array([0.5, 0.1])
for step in range(5):
    print(f"step {step}: share {at[0]:.6f}, SD {at[1]:.6f} s")
    at = newton_step(at, readings)
likely = most_likely(readings)

# %% [markdown]
# ## The same, seen as a divergence
#
# The share of the readings at each mark is a distribution too. It is called the **empirical**
# one, $\hat p$. How far is a density $q$ from it? The mean surprise at the readings *is* a
# cross-entropy:
#
# $$ \text{mean surprise at the readings}
#   = H(\hat p, q) = H(\hat p) + \mathrm{KL}(\hat p\,\|\,q), $$
#
# and $H(\hat p)$ does not depend on $q$. So in the table below the difference of the two must be
# the same in every row. Three pairs of unknowns:


# %%
def empirical_density(readings):
    """The share of the readings at each mark, as a density on the grid marks: (501,)."""
    mark = np.rint(readings / h).astype(int)
    return np.bincount(mark, minlength=marks.size) / (len(readings) * h)


p_hat = empirical_density(readings)
print(f"the readings lie at {np.sum(p_hat > 0)} of the {marks.size} marks")

# %%
pairs = {
    "60 %, 0.12 s": (0.6, 0.12),
    "30 %, 0.12 s": (0.3, 0.12),
    "60 %, 0.30 s": (0.6, 0.3),
}
pair_rows = {}
for name, (share, sd) in pairs.items():
    q = drawer(marks, share, sd)
    surprised = mean_surprise((share, sd), readings)
    away = kl(p_hat, q, h)
    difference = surprised - away
    pair_rows[name] = {"mean surprise": surprised, "KL": away, "difference": difference}
lesson.table(f"three beliefs (nats; H(p-hat) is {entropy(p_hat, h):.3f})", pair_rows)

# %%
differences = np.array([row["difference"] for row in pair_rows.values()])
off = differences - entropy(p_hat, h)
lesson.claim(
    "mean surprise less KL less H(p-hat)", off, near=0, within=1e-9, unit="nats"
)

# %% [markdown]
# > **Predict.** So where is the KL least, to how many digits?
#
# We look for it without any slope: try 15 x 15 pairs of unknowns in a box, halve the box around
# the best, and repeat.


# %%
def search(loss, low, high):
    """The two unknowns between `low` and `high` for which loss(a, b) is least."""
    low = np.array(low)
    high = np.array(high)
    floor = low  # an SD must stay positive
    for _ in range(34):
        best = np.inf
        for a in np.linspace(low[0], high[0], 15):
            for b in np.linspace(low[1], high[1], 15):
                value = loss(a, b)
                if value < best:
                    best = value
                    at = np.array([a, b])
        quarter = (high - low) / 4  # the next box is half as wide, around the best
        low = np.maximum(at - quarter, floor)
        high = at + quarter
    return at


# %%
def kl_of_drawer(share, sd):
    return kl(p_hat, drawer(marks, share, sd), h)


least_kl = search(kl_of_drawer, (0.3, 0.05), (0.9, 0.4))
way_rows = {
    "most likely": {"share": likely[0], "SD (s)": likely[1]},
    "least KL": {"share": least_kl[0], "SD (s)": least_kl[1]},
}
lesson.table("two ways to the unknowns", way_rows)
lesson.same(
    "the most likely unknowns and those of least KL", likely, least_kl, limit=1e-6
)

# %% [markdown]
# **Whoever maximises a likelihood brings the model close to the data, as KL measures it.** Not
# every closeness is this one. Take a family that is too small: *one* bell for all readings. The
# likelihood then asks for their mean and their SD (set the two slopes of lesson 9's formula to
# zero). One might also want the two *curves* close: the sum of $(\hat p - q)^2$ over all marks is
# to be least. (Not lesson 2's squares; those were of angles.)


# %%
def kl_of_one_bell(mean, sd):
    return kl(p_hat, gauss(marks, mean, sd), h)


def squares_of_one_bell(mean, sd):
    return np.sum((p_hat - gauss(marks, mean, sd)) ** 2) * h


by_kl = search(kl_of_one_bell, (1.2, 0.1), (3.6, 1.0))
by_squares = search(squares_of_one_bell, (1.2, 0.1), (3.6, 1.0))
moments = np.array([readings.mean(), readings.std()])
bell_rows = {
    "the readings": {"mean (s)": moments[0], "SD (s)": moments[1]},
    "least KL": {"mean (s)": by_kl[0], "SD (s)": by_kl[1]},
    "least squares": {"mean (s)": by_squares[0], "SD (s)": by_squares[1]},
}
lesson.table("one bell for all readings", bell_rows)

# %%
lesson.same(
    "one bell: least KL, and mean and SD of the readings", by_kl, moments, limit=1e-6
)
apart = np.linalg.norm(by_squares - moments)
lesson.claim("one bell: least squares is off both by", apart, above=0.05, unit="s")


# %% tags=["hide-input"]
def draw_fits():
    with lesson.figure("fits", panels=2, width=5.4) as (losses, densities):
        shares = np.linspace(0.3, 0.9, 61)
        surprises = [mean_surprise((each, likely[1]), readings) for each in shares]
        divergence = [kl_of_drawer(each, likely[1]) for each in shares]
        losses.plot(shares, surprises, color=BLUE, label="mean surprise")
        losses.plot(shares, divergence, color=ORANGE, label="KL from the readings")
        losses.axvline(likely[0], color=BLACK, ls="--", label="least, of both")
        losses.set(
            title="The same curve, shifted by an entropy",
            xlabel="share of short pendulums in the model",
            ylabel="nats",
        )
        densities.fill_between(marks, p_hat, color=PALE, step="mid", label="readings")
        densities.plot(
            marks, drawer(marks, *likely), color=BLUE, label="two bells, likelihood"
        )
        densities.plot(
            marks, gauss(marks, *by_kl), color=BLACK, label="one bell, likelihood"
        )
        dashed = {"ls": "--", "color": VERMILLION}
        densities.plot(
            marks, gauss(marks, *by_squares), **dashed, label="one bell, squares"
        )
        densities.set(
            xlim=(1.2, 4.4),
            title="Close, in two senses",
            xlabel="period on the watch (s)",
            ylabel="density (1/s)",
        )


draw_fits()

# %% [markdown]
# **What you saw.** Two bells find both heaps. One bell by likelihood covers both heaps, and much
# that is between them; lesson 11 takes this up. Least squares wants something else: with some
# readings a low, wide bell, with others one that sits on the larger heap.
#
# ## Close to the data, or to the truth?
#
# $\hat p$ itself has KL 0 from the readings. Nothing is closer to them. Is it a good belief?
#
# > **Predict.** Draw 2000 new readings. Whose mean surprise is less: that of the two bells, or
# > that of $\hat p$?

# %%
fresh = take_readings(READINGS)
p_fresh = empirical_density(fresh)
beliefs = {
    "the truth": p,
    "two bells, most likely": drawer(marks, *likely),
    "one bell": gauss(marks, *by_kl),
    "the readings themselves": p_hat,
}
fresh_rows = {}
with np.errstate(divide="ignore"):  # log 0 is what we are after
    for name, q in beliefs.items():
        fresh_rows[name] = {
            "on the readings": cross_entropy(p_hat, q, h),
            "on fresh ones": cross_entropy(p_fresh, q, h),
        }
lesson.table("mean surprise (nats)", fresh_rows)

# %%
unseen = np.mean(p_hat[np.rint(fresh / h).astype(int)] == 0)
print(
    f"{100 * unseen:.1f} % of the fresh readings lie at marks that were never seen before"
)
two_bells = fresh_rows["two bells, most likely"]["on fresh ones"]
of_truth = fresh_rows["the truth"]["on fresh ones"]
above_truth = two_bells - of_truth
lesson.claim(
    "fresh readings: two bells above the truth", above_truth, below=0.01, unit="nats"
)
of_copy = fresh_rows["the readings themselves"]["on fresh ones"]
endless = np.isinf(of_copy)
lesson.claim("fresh readings: infinite surprise of the old ones", endless, exactly=True)

# %% [markdown]
# **What you saw.** The readings themselves beat even the truth on the readings, and are
# infinitely surprised by the first fresh one between them. That is overfitting (lesson 2), in
# nats. A likelihood must be judged on data that it has not seen.
#
# `minigen.divergences` has the same three means.

# %%
of_library = []
of_ours = []
for one, other in lots[:300]:
    of_ours.append([entropy(one), cross_entropy(one, other), kl(one, other)])
    of_library.append(
        [
            divergences.entropy(one),
            divergences.cross_entropy(one, other),
            divergences.kl(one, other),
        ]
    )
of_ours = np.array(of_ours)
lesson.same(
    "our three means and minigen's (nats)", of_ours, np.array(of_library), limit=1e-9
)

# %% [markdown]
# # Part 4. The floor of lesson 9's loss
#
# A loss cannot fall below the entropy of the data. For the noise of lesson 9 we know that floor.
# Take lesson 9's formula with the right $\mu$ and $\sigma$: the mean of $(y - \mu)^2/\sigma^2$ is
# one. So the entropy of $\mathcal N(\mu, \sigma^2)$ is $\frac12(\log 2\pi + \log\sigma^2 + 1)$.
# That is 1.42 nats for $\sigma = 1$, and $\log 10 = 2.30$ less for a tenth of that.
#
# Suppose that a network names the right mean, but its $\sigma$ is wrong by a factor at all times.
#
# > **Predict.** Which costs more: to name half the true $\sigma$, or twice?

# %%
t = np.arange(5, 500, 5) * 0.01  # s; at t = 0 there is no noise
noise_sd = 0.1 * t
noise = noise_sd * rng.standard_normal((4000, t.size))  # (pendulums, times), rad
floor = np.mean(0.5 * (np.log(2 * np.pi) + np.log(noise_sd**2) + 1))
print(f"the floor: {floor:.3f} nats for each angle")

factors = np.geomspace(1 / 3, 3, 21)
mean_loss = []
for factor in factors:
    log_density = np.log(gauss(noise, 0.0, factor * noise_sd))
    mean_loss.append(-np.mean(log_density))
mean_loss = np.array(mean_loss)

# %% [markdown]
# What must that cost? Name $r$ times the true SD. In lesson 9's formula $\log\sigma^2$ grows by
# $2\log r$, and the mean of the misfit goes from 1 to $1/r^2$. Half the sum of both changes is
#
# $$ \mathrm{KL} = \log r + \frac1{2r^2} - \frac12. $$
#
# For $r = 2$ that is $0.693 + 0.125 - 0.5 = 0.318$; for $r = \frac12$ it is $-0.693 + 2 - 0.5 =
# 0.807$.


# %%
def cost_of_factor(r):
    """KL(N(0, 1) || N(0, r^2))."""
    return np.log(r) + 1 / (2 * r**2) - 0.5


for r in (0.5, 1.0, 2.0):
    print(f"sigma {r} times the truth: {cost_of_factor(r):.3f} nats above the floor")

by_library = []
for r in factors:
    right = distributions.Normal(np.zeros(1), np.ones(1))
    wrong = distributions.Normal(np.zeros(1), np.full(1, r))
    by_library.append(float(distributions.kl_divergence(right, wrong).value))
lesson.same(
    "our KL and minigen's (nats)",
    cost_of_factor(factors),
    np.array(by_library),
    limit=1e-9,
)

# %%
excess = mean_loss - floor - cost_of_factor(factors)
lesson.claim(
    "measured loss less floor less KL, RMS over factors",
    np.sqrt(np.mean(excess**2)),
    below=0.03,
    unit="nats",
)
asymmetry = cost_of_factor(0.5) / cost_of_factor(2.0)
lesson.claim(
    "cost of half the sigma over cost of twice", asymmetry, above=2, unit="times"
)


# %% tags=["hide-input"]
def draw_floor():
    with lesson.figure("floor", width=6.4) as ax:
        ax.axhline(floor, color=BLACK, ls="--", label="the floor: the entropy")
        curve = floor + cost_of_factor(factors)
        ax.semilogx(factors, curve, color=BLUE, label="floor + KL")
        ax.semilogx(factors, mean_loss, "o", color=ORANGE, label="measured")
        ax.set(
            xticks=[1 / 3, 1 / 2, 1, 2, 3],
            xticklabels=["1/3", "1/2", "1", "2", "3"],
            title="Too sure costs more than too vague",
            xlabel="σ that was named, over the true σ",
            ylabel="mean of −log p (nats)",
        )
        ax.minorticks_off()


draw_floor()
lesson.end()

# %% [markdown]
# **What you saw.** The loss of a network can be read: so far above the floor means so many nats
# of error, of the mean or of $\sigma$. And the floor stays, however clever the network is: it is
# the **irreducible error** of lesson 2, in nats.

# %% [markdown]
# # What it means
#
# * Surprise is $-\log q$. Charged by it, it pays to name the truth, and only then.
# * The mean surprise has two parts: the entropy of the data, which nobody can change, and KL,
#   which is what error costs and never negative.
# * To maximise a likelihood is to make $\mathrm{KL}(\text{data}\,\|\,\text{model})$ small.
# * Small on the data it learned from is not small on new ones.
#
# # Exercises
#
# **1. A certain believer** (5 minutes). In Part 1 set `belief` to `np.array([1.0, 0.0])` and look
# at the table. (The claim below it knows the old numbers and will fail.) What is the mean
# surprise, and why does one long pendulum suffice?
#
# **2. A bad watch** (5 minutes). In Part 2 set `WATCH` to 0.5 and run Parts 2 and 3. What becomes
# of the two heaps, and of the digits to which the share is found? (Claims that were made for 0.12
# will fail.)
#
# **3. Two forecasters** (10 minutes). No code. In a country where it rains on 70 % of the days, A
# says "70 %" every day. B says "0 %" or "100 %", and is right on 364 days of 365. Who has the
# smaller mean surprise? Who would you ask? What should B say instead, so that both answers agree?
# *Check:* B's best answer is not 100 %.
#
# **4. Learning costs** (20 minutes). *Write* `learning_cost(n)`: the mean of
# $\mathrm{KL}(p\,\|\,q)$ over 500 fits of the two unknowns to `n` readings each, started at (0.6,
# 0.12). *Check:* it is $2/(2n)$, the number of unknowns over twice the readings, within 20 % for
# `n` = 200 and 1000. *Why:* it says how many readings one more unknown must be worth.
#
# **5. Yes or no** (25 minutes). How many yes-or-no questions find an outcome, on average? Merge
# the two rarest outcomes into one, and again, until one is left. Each merging is one question
# ("the one or the other?"), asked whenever the outcome is in it. *Write* `questions(p)`: the sum
# of the probabilities of all that was merged. *Check:* for (0.5, 0.25, 0.125, 0.125) it is 1.75;
# for all of `lots[:300, 0]` it is at least `entropy(p) / np.log(2)` and less than that plus 1.
# *Why:* entropy is what an answer is worth, in questions.
#
# **6. Fingerprints of an error** (15 minutes). *Write* `cost_of_shift(d, r)`: KL from $\mathcal
# N(0, 1)$ to $\mathcal N(d, r^2)$. *Check:* `cost_of_shift(1, 1)` is 0.5, `cost_of_shift(0, 2)`
# is 0.318; and the best `r` for `d` = 1 is $\sqrt 2$. *Why:* a network whose mean is wrong does
# well to widen its bar.
#
# # Sources
#
# Shannon, Bell Syst. Tech. J. 27 (1948): entropy. Kullback & Leibler, Ann. Math. Stat. 22 (1951).
# Good, J. R. Stat. Soc. B 14 (1952): the logarithm as a charge for forecasters. Huffman, Proc.
# IRE 40 (1952): exercise 5. Akaike, IEEE Trans. Autom. Control 19 (1974): exercise 4. Bishop,
# *Pattern recognition and machine learning* (2006), 1.6.
