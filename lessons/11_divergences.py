# %% [markdown]
# # 11. Divergences: how far apart are two distributions?
#
# *Part 3: likelihood. 60 minutes.*
#
# **The question.** A model that is too simple must fail somewhere. Where? Likelihood forgives
# other sins than its mirror image does. And what if nobody can compute the two densities: can one
# measure how far apart they are from examples alone?
#
# **Afterwards you can**
#
# * say which direction of KL covers and which one picks, and why,
# * say what the Jensen-Shannon divergence tells about a coin, and why its slope dies,
# * bound a divergence from below by a critic, and name the critic that reaches it,
# * train such a critic, and judge it fairly.
#
# **You need** surprise, KL and maximum likelihood (lesson 10), and networks (lesson 5).
#
# **Four parts**, about 15 minutes each. One may stop after any of them.
#
# 1. The two directions of KL
# 2. Fair to both: Jensen-Shannon
# 3. A critic
# 4. A critic that learns

# %%
from lesson import Lesson

lesson = Lesson("11_divergences")
rng = lesson.rng

import numpy as np

from minigen import divergences, nn, no_grad, ops, optim, training
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, VERMILLION

# %% [markdown]
# # Part 1. The two directions of KL
#
# $\mathrm{KL}(p\,\|\,q)$ is what it costs to believe in $q$ while $p$ is true. If $q$ can be made
# equal to $p$, it does not matter which way round we measure: both are 0. It matters where the
# model is *too simple*.
#
# The smallest case: three outcomes. The data are mostly at the two ends, and hardly ever in the
# middle. Two models are on offer. One spreads evenly; the other picks one end.

# %%
data = np.array([0.49, 0.02, 0.49])
models = {
    "spreads": np.array([1 / 3, 1 / 3, 1 / 3]),
    "picks": np.array([0.96, 0.02, 0.02]),
}


def kl(p, q, h=1.0):
    """Lesson 10's KL(p || q); h is the step of a grid."""
    happens = p > 0
    p = p[happens]
    q = q[happens]
    return np.sum(p * np.log(p / q)) * h


# %% [markdown]
# > **Predict.** Which model has the smaller $\mathrm{KL}(\text{data}\,\|\,\text{model})$? And
# > which the smaller $\mathrm{KL}(\text{model}\,\|\,\text{data})$?

# %%
direction_rows = {}
for name, q in models.items():
    direction_rows[name] = {
        "KL(data, model)": kl(data, q),
        "KL(model, data)": kl(q, data),
    }
lesson.table("three outcomes (nats)", direction_rows)

spreads = direction_rows["spreads"]
picks = direction_rows["picks"]
computed = [*spreads.values(), *picks.values()]
by_hand = [0.321, 0.681, 1.238, 0.582]
lesson.claim("the four numbers", computed, near=by_hand, within=0.001, unit="nats")


# %% tags=["hide-input"]
def draw_three():
    with lesson.figure("three", panels=2) as (bars, prices):
        place = np.arange(3)
        looks = {"data": (data, PALE), "spreads": (models["spreads"], BLUE)}
        looks["picks"] = (models["picks"], ORANGE)
        for k, (name, (q, color)) in enumerate(looks.items()):
            bars.bar(place + 0.27 * (k - 1), q, 0.25, color=color, label=name)
        bars.set(
            xticks=place,
            xticklabels=["left", "middle", "right"],
            title="Two models that are too simple",
            ylabel="probability",
        )
        for k, (name, color) in enumerate({"spreads": BLUE, "picks": ORANGE}.items()):
            values = list(direction_rows[name].values())
            prices.bar(
                np.arange(2) + 0.3 * (k - 0.5), values, 0.28, color=color, label=name
            )
        prices.set(
            xticks=[0, 1],
            xticklabels=["KL(data, model)", "KL(model, data)"],
            title="Each direction has its favourite",
            ylabel="nats",
        )


draw_three()

# %% [markdown]
# **What you saw.** The order turns round. **Forward**, $\mathrm{KL}(p\,\|\,q)$, is a mean over
# *data*. The model that picks is horribly surprised by the right end, in half of all cases: that
# term alone is $0.49 \times \log(0.49/0.02) = 1.57$ nats, and the left end gives back only $0.49
# \times \log(0.49/0.96) = -0.33$. **Reverse**, $\mathrm{KL}(q\,\|\,p)$, is a mean over what the
# *model* draws. The model that spreads draws from the middle in a third of all cases, where there
# are no data: $\frac13 \log(0.333/0.02) = 0.94$.
#
# ## One bell for two heaps
#
# Lesson 10's drawer: 60 % of the pendulums are 1 m long, 40 % are 2 m, and the watch has an error
# of SD 0.12 s. Let the model be *one* Gaussian, which cannot have two peaks. Here is the price of
# every mean and every SD, in both directions.

# %%
h = 0.01  # s, the step of the watch
marks = np.arange(501) * h  # its marks from 0 to 5 s
SHORT, LONG = 2 * np.pi * np.sqrt(np.array([1.0, 2.0]) / 9.81)
WATCH = 0.12


def gauss(x, mean, sd):
    """The density of N(mean, sd^2) at x."""
    return np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


def drawer(x):
    """The density of the watch's readings."""
    return 0.6 * gauss(x, SHORT, WATCH) + 0.4 * gauss(x, LONG, WATCH)


p = drawer(marks)


def forward(mean, sd):
    return kl(p, gauss(marks, mean, sd), h)


def reverse(mean, sd):
    return kl(gauss(marks, mean, sd), p, h)


# %%
means = np.linspace(1.6, 3.2, 65)
sds = np.linspace(0.1, 0.7, 65)
price = {"forward": np.zeros((65, 65)), "reverse": np.zeros((65, 65))}  # (sds, means)
for i, sd in enumerate(sds):
    for k, mean in enumerate(means):
        price["forward"][i, k] = forward(mean, sd)
        price["reverse"][i, k] = reverse(mean, sd)

for name, values in price.items():
    i, k = np.unravel_index(values.argmin(), values.shape)
    print(f"{name}: cheapest on the grid at mean {means[k]:.2f} s, SD {sds[i]:.2f} s")


# %% tags=["hide-input"]
def draw_landscapes():
    with lesson.figure("landscapes", panels=2, width=5.2) as axes:
        for ax, (name, values) in zip(axes, price.items()):
            look = {
                "levels": np.geomspace(0.02, 20, 25),
                "norm": "log",
                "cmap": "viridis",
            }
            above = np.clip(values - values.min(), 0.021, 19.9)
            image = ax.contourf(means, sds, above, **look)
            bar = ax.figure.colorbar(image, ax=ax, label="above the least (nats)")
            bar.set_ticks([0.1, 1, 10], labels=["0.1", "1", "10"])
            ax.grid(False)
            ax.set(
                title=f"{name.capitalize()} KL of one bell",
                xlabel="its mean (s)",
                ylabel="its SD (s)",
            )


draw_landscapes()

# %% [markdown]
# **What you saw.** Forward has one valley, in the middle and wide. Reverse has two deep ones,
# narrow, at the two heaps; the larger heap has the deeper. (Between them, at an SD of 0.36 s, it
# has a shallow hollow too.) We look for the lowest points exactly, by lesson 10's search.


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
covers = search(forward, (1.2, 0.1), (3.6, 1.0))
picks_short = search(reverse, (1.2, 0.1), (2.4, 1.0))
picks_long = search(reverse, (2.6, 0.1), (3.2, 1.0))
fits = {"covers": covers, "picks the short": picks_short, "picks the long": picks_long}
for name, (mean, sd) in fits.items():
    print(f"{name}: mean {mean:.3f} s, SD {sd:.3f} s")

# %% [markdown]
# > **Predict.** How much of each lies near the short ones, between, near the long ones?

# %%
TWO_SD = 2 * WATCH
regions = {
    "near 1 m": (SHORT - TWO_SD, SHORT + TWO_SD),
    "between": (SHORT + TWO_SD, LONG - TWO_SD),
    "near 2 m": (LONG - TWO_SD, LONG + TWO_SD),
}


def per_cent(q, region):
    low, high = regions[region]
    inside = (low <= marks) & (marks <= high)
    return 100 * h * np.sum(q[inside])


densities = {"the drawer": p}
for name, (mean, sd) in fits.items():
    densities[name] = gauss(marks, mean, sd)

share_rows = {}
for name, q in densities.items():
    share_rows[name] = {region: per_cent(q, region) for region in regions}
lesson.table("where the readings fall (%)", share_rows)

# %%
mean_of_p = np.sum(p * marks) * h
sd_of_p = np.sqrt(np.sum(p * (marks - mean_of_p) ** 2) * h)
moments = np.array([mean_of_p, sd_of_p])
print(f"the drawer has mean {mean_of_p:.3f} s and SD {sd_of_p:.3f} s")
# as in lesson 10: the one bell of least forward KL has the mean and the SD of p
lesson.same("forward: mean and SD, and those of p", covers, moments, limit=1e-6)

# %%
wide = share_rows["covers"]
narrow = share_rows["picks the short"]
at_heaps = [wide["near 1 m"], wide["near 2 m"]]
lesson.claim("forward covers both heaps", at_heaps, above=15, unit="%")
invented = wide["between"] / share_rows["the drawer"]["between"]
lesson.claim(
    "forward invents, between the heaps", invented, above=3, unit="times what is there"
)
lesson.claim(
    "reverse: near the heap that it picks", narrow["near 1 m"], above=90, unit="%"
)
lesson.claim("reverse: near the other heap", narrow["near 2 m"], below=1, unit="%")

# %% [markdown]
# What does it cost to leave out a heap? On the heap that it picked the model has all its
# probability, where the data have 60 %: there $p = 0.6\,q$. So the reverse KL is $\log q/p =
# -\log 0.6 = 0.511$ nats, and $-\log 0.4 = 0.916$ at the other heap. To leave out 40 % of the
# world costs half a nat.

# %%
prices = [reverse(*picks_short), reverse(*picks_long)]
of_shares = [-np.log(0.6), -np.log(0.4)]
lesson.claim("reverse: price, of either heap", prices, near=of_shares, within=0.03)
left_out = forward(*picks_short)
lesson.claim("forward: price of the bell that picks", left_out, above=5, unit="nats")


# %% tags=["hide-input"]
def draw_directions():
    with lesson.figure("directions", width=7) as ax:
        ax.fill_between(marks, p, color=PALE, label="p: the drawer")
        ax.plot(
            marks, densities["covers"], color=BLUE, label="least KL(p ‖ q): covers both"
        )
        ax.plot(
            marks,
            densities["picks the short"],
            color=ORANGE,
            label="least KL(q ‖ p): picks one",
        )
        ax.set(
            xlim=(1, 4.4),
            title="One Gaussian for two heaps",
            xlabel="period on the watch (s)",
            ylabel="density (1/s)",
        )


draw_directions()

# %% [markdown]
# **What you saw.** Forward must not leave out, and invents: periods of pendulums that do not
# exist. Reverse must not invent, and may leave out for little. Likelihood is the forward one. The
# literature says *mode-covering* and *mode-seeking*. **Covering** blurs generated samples,
# **dropping** makes them alike; later lessons meet both.

# %% [markdown]
# # Part 2. Fair to both: Jensen-Shannon
#
# Toss a coin. For heads we draw a reading from $p$, the drawer; for tails from $q$, the bell that
# covers. You see the reading, not the coin. What is the probability of heads?
#
# By hand, with short and long: $p = (0.6, 0.4)$ and $q = (0.9, 0.1)$. Of 200 tosses, 100 are
# heads, and 40 of them show a long one; of the 100 tails 10 do. So a long one speaks for heads
# with $40/50 = 0.8$. In general it is $p/(p + q)$, the share of heads among all readings there.
#
# Before you look, the coin's surprise is $-\log\frac12 = \ln 2 = 0.693$ nats, whatever falls.
# ($\ln 2$ is only another way to write $\log 2$.) After a look it is less, on average: heads with
# a long one surprises by $-\log 0.8 = 0.223$. It is now and then more: tails with a long one,
# 1.609.
#
# > **Predict.** Readings as above, $p = (0.6, 0.4)$ and $q = (0.9, 0.1)$. How much does one
# > reading tell about the coin: 0.6, 0.3, or 0.06 nats?

# %%
small_p = np.array([0.6, 0.4])
small_q = np.array([0.9, 0.1])
heads = small_p / (small_p + small_q)
print(f"heads, if it is short: {heads[0]:.2f}; if it is long: {heads[1]:.2f}")

surprise_of_heads = np.sum(small_p * -np.log(heads))
surprise_of_tails = np.sum(small_q * -np.log(1 - heads))
after = 0.5 * surprise_of_heads + 0.5 * surprise_of_tails
lesson.show("mean surprise at the coin, before", np.log(2), "nats")
lesson.show("after", after, "nats")
lesson.show("told by a reading", np.log(2) - after, "nats")

# %% [markdown]
# What a reading tells has a name. All readings together have the density $m = (p + q)/2$, and
#
# $$ \mathrm{JS}(p, q) = \tfrac12\mathrm{KL}(p\,\|\,m) + \tfrac12\mathrm{KL}(q\,\|\,m) $$
#
# is the **Jensen-Shannon divergence**. Why is it the same? $p/(p + q)$ is half of $p/m$, and
# $q/(p + q)$ is half of $q/m$. So the mean surprise after a look is $\ln 2$, from the halves,
# minus JS, from the logarithms of $p/m$ and $q/m$. By hand: $m = (0.75, 0.25)$, the two KL are
# 0.054 and 0.073, half of their sum is 0.063.


# %%
def js(p, q, h=1.0):
    m = (p + q) / 2
    return 0.5 * kl(p, m, h) + 0.5 * kl(q, m, h)


told_small = np.log(2) - after
small_js = js(small_p, small_q)
lesson.claim("short and long: JS", small_js, near=0.063, within=0.001, unit="nats")
difference = small_js - told_small
lesson.claim("short and long: JS less what is told", difference, near=0, within=1e-9)

# %% [markdown]
# Now with the watch, by really tossing.

# %%
TOSSES = 400_000
is_heads = rng.random(TOSSES) < 0.5
is_short = rng.random(TOSSES) < 0.6
from_p = np.where(is_short, SHORT, LONG) + WATCH * rng.standard_normal(TOSSES)
from_q = covers[0] + covers[1] * rng.standard_normal(TOSSES)
reading = np.where(is_heads, from_p, from_q)

density_p = drawer(reading)
density_q = gauss(reading, *covers)
guess = density_p / (density_p + density_q)
given_to_the_truth = np.where(is_heads, guess, 1 - guess)
told = np.log(2) - np.mean(-np.log(given_to_the_truth))
exact = js(p, densities["covers"], h)
print(f"a reading tells {told:.4f} nats of the coin; JS is {exact:.4f}")
lesson.claim("what a reading tells, less JS", told - exact, near=0, within=0.006)

# %% [markdown]
# JS is symmetric, and as no reading can tell more than there is to know, it is never above $\ln
# 2$. That sounds like a virtue.
#
# > **Predict.** Move two Gaussians of SD 1 apart, by 0 to 12 SDs. Lesson 10 had $\mathrm{KL} =
# > d^2/2$. What does JS do? What does a model learn from its slope, if it starts 10 SDs off?

# %%
grid = np.arange(-12, 24, h)
apart = np.linspace(0, 12, 121)  # in SDs
kl_of = []
js_of = []
for d in apart:
    one = gauss(grid, 0.0, 1.0)
    other = gauss(grid, d, 1.0)
    kl_of.append(kl(one, other, h))
    js_of.append(js(one, other, h))
kl_of = np.array(kl_of)
js_of = np.array(js_of)

for k in (10, 20, 50, 100):
    print(f"{apart[k]:4.0f} SDs: KL {kl_of[k]:5.2f}, JS {js_of[k]:.6f} nats")

# %%
slope_kl = (kl_of[101] - kl_of[99]) / (apart[101] - apart[99])
slope_js = (js_of[101] - js_of[99]) / (apart[101] - apart[99])
above_ln_2 = js_of.max() - np.log(2)
lesson.claim("JS: largest, less ln 2", above_ln_2, below=1e-12, unit="nats")
lesson.claim("10 SDs apart: slope of KL", slope_kl, near=10, within=0.01)
lesson.claim("10 SDs apart: slope of JS", slope_js, below=1e-5, unit="nats per SD")


# %% tags=["hide-input"]
def draw_coin():
    with lesson.figure("coin", panels=2) as (coin, far):
        q = densities["covers"]
        coin.fill_between(
            marks, p / p.max(), color=PALE, label="p: the drawer (scaled)"
        )
        coin.plot(
            marks, q / p.max(), color=GREY, label="q: the bell that covers (scaled)"
        )
        coin.plot(marks, p / (p + q), color=BLUE, label="p/(p + q)")
        coin.set(
            xlim=(1, 4.4),
            ylim=(0, 1.6),
            title="A reading speaks for heads",
            xlabel="period on the watch (s)",
            ylabel="probability of heads",
        )
        far.plot(apart, kl_of, color=ORANGE, label="KL")
        far.plot(apart, js_of, color=BLUE, label="Jensen-Shannon")
        far.axhline(np.log(2), color=BLACK, ls="--", lw=1, label="ln 2")
        far.set(
            ylim=(0, 2),
            title="JS levels off",
            xlabel="distance of two Gaussians (SDs)",
            ylabel="nats",
        )


draw_coin()

# %% [markdown]
# **What you saw.** Being bounded has its price. Where $p$ and $q$ hardly overlap, the coin is
# known already, JS is flat, and no slope tells $q$ where to go.

# %% [markdown]
# # Part 3. A critic
#
# So far we knew both densities. Of motions we shall only have examples. Can one measure a
# divergence by *means over examples*?
#
# Write KL as a mean over $q$. With $u = p/q$,
#
# $$ \mathrm{KL}(p\,\|\,q) = \mathrm E_q\big[u \log u\big], $$
#
# for $q\,u$ is $p$. By hand, for $p = (0.6, 0.4)$ and $q = (0.9, 0.1)$: $u$ is 0.667 and 4, $u
# \log u$ is -0.270 and 5.545, and $0.9 \times (-0.270) + 0.1 \times 5.545 = 0.311$, as in lesson
# 10.
#
# The curve $f(u) = u \log u$ is **convex**: it lies above each of its tangents. So if we put a
# tangent in place of the curve, at each outcome, we get something *smaller*.
#
# Which line is the tangent of slope $t$? It touches where $f'(u) = 1 + \log u = t$, that is at $u
# = e^{t - 1}$. The curve is there at $u \log u = e^{t-1}(t - 1)$, and the line $u\,t$ at
# $e^{t-1}\,t$: too high by $e^{t-1}$. So the tangent is $u\,t - e^{t-1}$. For $t = 1$ that
# is $u - 1$.


# %%
def f(u):
    return u * np.log(u)


def tangent(u, t):
    """The tangent of f that has slope t."""
    return u * t - np.exp(t - 1)


u = small_p / small_q
print("u:", u.round(3), " f(u):", f(u).round(3))
print("the tangent of slope 1, there:", tangent(u, 1.0).round(3))


# %% tags=["hide-input"]
def draw_tangents():
    with lesson.figure("tangents", width=6.8) as ax:
        line = np.linspace(0.01, 5, 400)
        ax.plot(line, f(line), color=BLACK, label="f(u) = u log u")
        for t, color in {0.595: BLUE, 1.0: GREY, 2.386: ORANGE}.items():
            ax.plot(
                line,
                tangent(line, t),
                color=color,
                lw=1.2,
                label=f"tangent of slope {t:g}",
            )
        ax.plot(u, f(u), "o", color=BLACK)
        ax.set(
            ylim=(-2, 8),
            title="A convex curve lies above its tangents",
            xlabel="u = p/q (dots: short and long)",
            ylabel="f(u)",
        )


draw_tangents()

# %% [markdown]
# Now the trick. Let the slope be a function of the outcome, $t(x)$, *any* function. It is called
# the **critic**. In $\mathrm E_q[u\,t - e^{t-1}]$ the first term is $\mathrm E_q[(p/q)\,t] =
# \mathrm E_p[t]$, and the densities are gone:
#
# $$ \mathrm{KL}(p\,\|\,q) \;\ge\; \mathrm E_p[t(x)] - \mathrm E_q\big[e^{t(x)-1}\big]. $$
#
# Only two means over examples are left. The bound is reached if each tangent touches the curve
# where we stand: $t = 1 + \log p/q$.
#
# > **Predict.** Four critics for short and long: one always says 1; one is roughly right, 0.8 and
# > 2; one knows the best slopes, 0.595 and 2.386; one exaggerates, 0.2 and 3.5. Which of their
# > bounds are below 0.311, which above?


# %%
def bound(p, q, t):
    """What a critic t says of KL(p || q)."""
    return np.sum(p * t) - np.sum(q * np.exp(t - 1))


critics = {
    "always 1": np.array([1.0, 1.0]),
    "roughly right": np.array([0.8, 2.0]),
    "the best": 1 + np.log(small_p / small_q),
    "exaggerates": np.array([0.2, 3.5]),
}
critic_rows = {}
for name, t in critics.items():
    critic_rows[name] = {
        "at short": t[0],
        "at long": t[1],
        "bound": bound(small_p, small_q, t),
    }
lesson.table(f"four critics (KL is {kl(small_p, small_q):.3f} nats)", critic_rows)

# %% [markdown]
# **What you saw.** None is above. The best one reaches it; those that are wrong in either
# direction fall short. The same for random distributions over six outcomes, with the best critic
# and with one that is wrong about $p/q$. And for comparison a critic without the second mean's
# $e^{t-1}$, that is $\mathrm E_p[t] - \mathrm E_q[t]$.

# %%
reached = []
short_by = []
careless = []
for one, other in rng.dirichlet(np.ones(6), size=(600, 2)):
    truth = kl(one, other)
    best = 1 + np.log(one / other)
    wrong = best + rng.normal(size=6)
    reached.append(bound(one, other, best) - truth)
    short_by.append(truth - bound(one, other, wrong))
    careless.append(np.sum(one * best) - np.sum(other * best) - truth)

print(f"wrong critics fall short by {np.median(short_by):.2f} nats, in the median")
print(
    f"without the exponential: too much by {np.median(careless):.2f} nats, in the median"
)

# %%
lesson.claim("best critics: bound less KL", reached, near=0, within=1e-9, unit="nats")
lesson.claim("wrong critics of 600 above KL", np.sum(np.array(short_by) < 0), exactly=0)
too_much = np.sum(np.array(careless) > 0)
lesson.claim("without the exponential: of 600 above KL", too_much, exactly=600)

# %% [markdown]
# (Without the exponential the best critic says $\mathrm E_p[\log p/q] - \mathrm E_q[\log p/q]$.
# That is KL plus the KL of the other direction: always too much.)
#
# ## A family
#
# Nothing here was special to $u \log u$. Any convex $f$ with $f(1) = 0$ gives an **f-divergence**
# $\mathrm E_q[f(p/q)]$. The line $u\,t$ must be lowered by some $f^*(t)$ until it just touches
# $f$; this $f^*$ is called the **conjugate** of $f$. For $u \log u$ it is $e^{t-1}$. Then
#
# $$ D_f(p\,\|\,q) \;\ge\; \mathrm E_p[t] - \mathrm E_q[f^*(t)],
#   \quad\text{equal for}\quad t = f'(p/q). $$
#
# `minigen.divergences` has eight of them. We look at five: KL, its reverse ($f = -\log u$), JS,
# and two that carry names, Hellinger's ($f = (\sqrt u - 1)^2$) and Pearson's ($f = (u - 1)^2$).
# The library asks for the critic's values *at examples*. We give it ten from each: six short and
# four long from $p$, nine short and one long from $q$.

# %%
ten_of_p = np.repeat([0, 1], [6, 4])  # 0: short, 1: long
ten_of_q = np.repeat([0, 1], [9, 1])

family_rows = {}
for name in ("kl", "reverse_kl", "js", "hellinger", "pearson"):
    t = divergences.optimal_critic(name, small_p, small_q)
    family_rows[name] = {
        "best t, short": t[0],
        "best t, long": t[1],
        "by its critic": divergences.variational_bound(name, t[ten_of_p], t[ten_of_q]),
        "by its f": divergences.f_divergence(name, small_p, small_q),
    }
lesson.table("five divergences of short and long", family_rows)

# %%
by_critic = np.array([row["by its critic"] for row in family_rows.values()])
by_f = np.array([row["by its f"] for row in family_rows.values()])
lesson.same("five divergences, by f and by a critic", by_f, by_critic, limit=1e-9)
ours = np.array([kl(small_p, small_q), kl(small_q, small_p), js(small_p, small_q)])
lesson.same("our KL, reverse KL, JS, and minigen's", ours, by_f[:3], limit=1e-9)

# %% [markdown]
# # Part 4. A critic that learns
#
# Suppose that we have nothing but examples. Let a small network be the critic, and *train* it to
# raise the bound. Whatever it learns, it will not say too much.
#
# We take JS. As an f-divergence it has the slopes $f'(u) = \frac12\log\frac{2u}{1 + u}$. (The
# table agrees: for $u = 4$ that is $\frac12\log 1.6 = 0.235$.) However large $u$ is, the slope
# stays below $\frac12\ln 2$, and so must the critic. But a network may give any number $v$. So we
# let $v$ stand for $\log u$. With $u = e^v$ the slope is
#
# $$ t = \tfrac12\big(\ln 2 - \log(1 + e^{-v})\big), $$
#
# which is below $\frac12\ln 2$ for every $v$. The best $t$ belongs to $v = \log p/q$. And then
# $1/(1 + e^{-v}) = p/(p + q)$: **the critic of JS guesses the coin.**


# %%
def critic_of(network, x):
    """The critic's t at each row of x."""
    return 0.5 * (np.log(2) - ops.softplus(-network(x)))


def js_by(network, x, y):
    """The bound, by a critic, from examples x of p and y of q: (n, d) each."""
    return divergences.variational_bound(
        "js", critic_of(network, x), critic_of(network, y)
    )


def learn_critic(x, y, steps, watch=()):
    """A network that has learned to raise the bound on examples x of p and y of q.

    After each step, training calls the functions in `watch`.
    """
    network = nn.MLP([x.shape[1], 32, 32, 1], "tanh", rng=rng)

    def minus_bound(x, y):
        return -js_by(network, x, y)

    adam = optim.Adam(network, optim.cosine_decay(0.005, steps))
    how = {"steps": steps, "batch_size": min(512, len(x)), "callbacks": watch}
    training.fit(network, minus_bound, (x, y), rng=rng, optimizer=adam, **how)
    return network


# %% [markdown]
# First where we know the answer: the drawer, against the bell that covers. (In units of that
# bell's SD, which suit a network; JS is the same in any unit.) The judge is a set of *fresh*
# examples.

# %%
EXAMPLES = 20_000
STEPS = lesson.pick(full=1500, quick=800)


def scaled(seconds):
    return ((seconds - covers[0]) / covers[1]).astype(np.float32)[:, None]


def readings_of_drawer(n):
    """n readings of the drawer, in units of the bell: (n, 1)."""
    period = np.where(rng.random(n) < 0.6, SHORT, LONG)
    return scaled(period + WATCH * rng.standard_normal(n))


def readings_of_bell(n):
    return scaled(covers[0] + covers[1] * rng.standard_normal(n))


# %%
critic = learn_critic(readings_of_drawer(EXAMPLES), readings_of_bell(EXAMPLES), STEPS)
fresh_drawer = readings_of_drawer(2 * EXAMPLES)
fresh_bell = readings_of_bell(2 * EXAMPLES)
with no_grad():
    learned = js_by(critic, fresh_drawer, fresh_bell).item()
    v = critic(scaled(marks)).data[:, 0]
learned_guess = 1 / (1 + np.exp(-v))
print(f"JS by the critic {learned:.4f}, true {exact:.4f}")

# %%
true_guess = p / (p + densities["covers"])
everything = (p + densities["covers"]) / 2
off = np.sum(everything * np.abs(learned_guess - true_guess)) * h
lesson.claim("drawer: JS by critic over true JS", learned / exact, near=1, within=0.1)
lesson.claim("drawer: its guess of the coin is off, on average", off, below=0.04)

# %% [markdown]
# Now in 20 dimensions. On a grid of ten points a side that would be $10^{20}$ points. We take two
# *round* Gaussians: 20 independent numbers of SD 1 each. Their middles are two SDs apart. So they
# differ along one line only, and there our curve of Part 2 has the answer, 0.337.


# %%
def round_gaussian(n, distance):
    """n examples of a round Gaussian in 20 dimensions, `distance` SDs from the origin."""
    return (rng.standard_normal((n, 20)) + distance / np.sqrt(20)).astype(np.float32)


near = round_gaussian(EXAMPLES, 0)
far = round_gaussian(EXAMPLES, 2)
far_critic = learn_critic(near, far, STEPS)

# %%
fresh_near = round_gaussian(EXAMPLES, 0)
fresh_far = round_gaussian(EXAMPLES, 2)
with no_grad():
    learned_far = js_by(far_critic, fresh_near, fresh_far).item()
exact_far = js_of[20]  # at 2 SDs
print(f"20 dimensions: JS by the critic {learned_far:.3f}, true {exact_far:.3f}")
over_exact = learned_far / exact_far
lesson.claim("20 dimensions: JS by critic over true JS", over_exact, near=1, within=0.1)

# %% [markdown]
# ## Who may judge a critic?
#
# "It will not say too much" holds for the *true* means. Give a critic 50 examples of $p$ and 50
# of $q$, where both are the same Gaussian in 20 dimensions. There is nothing to tell: JS is 0.
#
# > **Predict.** What will the bound be on its own 100 examples? And on fresh ones?

# %%
few_p = round_gaussian(50, 0)
few_q = round_gaussian(50, 0)
fresh_p = round_gaussian(EXAMPLES, 0)
fresh_q = round_gaussian(EXAMPLES, 0)
steps_seen = []
on_own = []  # the bound on its own 100 examples
on_fresh = []  # and on fresh ones


def watch(now):
    """After a step of training: what does the critic say?"""
    if now.step % 20 == 0:
        steps_seen.append(now.step)
        with no_grad():
            on_own.append(js_by(now.model, few_p, few_q).item())
            on_fresh.append(js_by(now.model, fresh_p, fresh_q).item())


learn_critic(few_p, few_q, 400, [watch])
print(f"at the end: {on_own[-1]:.3f} on its own, {on_fresh[-1]:.3f} on fresh examples")

# %%
lesson.claim("JS is 0: bound on its own examples", on_own[-1], above=0.3, unit="nats")
lesson.claim("JS is 0: bound on fresh examples", on_fresh[-1], below=0, unit="nats")


# %% tags=["hide-input"]
def draw_critic():
    with lesson.figure("critic", panels=2) as (coin, judge):
        coin.fill_between(
            marks, everything / 3, color=PALE, label="examples (density, scaled)"
        )
        coin.plot(marks, true_guess, "--", color=BLACK, label="p/(p + q)")
        coin.plot(marks, learned_guess, color=BLUE, label="learned from examples")
        coin.set(
            xlim=(1, 4.4),
            ylim=(0, 1.4),
            title="The critic guesses the coin",
            xlabel="period on the watch (s)",
            ylabel="probability of heads",
        )
        judge.plot(steps_seen, on_own, color=VERMILLION, label="its own 100 examples")
        judge.plot(steps_seen, on_fresh, color=GREEN, label="fresh examples")
        judge.axhline(0, color=BLACK, ls="--", label="true JS")
        judge.set(
            title="Nothing to tell, and yet",
            xlabel="step of training",
            ylabel="bound on JS (nats)",
        )


draw_critic()
lesson.end()

# %% [markdown]
# **What you saw.** On the left, the critic knows the coin well where there are examples, and less
# well where they are few. On the right, on its own examples, another critic "proves" a difference
# that is not there: $\ln 2$, all that there is to know of a coin. It has learned the hundred by
# heart. On fresh ones it falls below 0, and that is a true bound, if a useless one. So: fresh
# examples judge.
#
# A network that tells two kinds of examples apart *measures a divergence*. Let a generator change
# $q$ so as to make it small, and you have a generative adversarial network; lesson 15 begins
# there. Telling apart comes first, in lesson 12.

# %% [markdown]
# # What it means
#
# * Forward KL must not leave out, and invents. Reverse KL must not invent, and leaves out for
#   little. Likelihood is forward.
# * JS is what a reading tells of a coin: fair to both, never above $\ln 2$, and flat where
#   nothing overlaps.
# * A divergence is a maximum over critics. Each critic, right or wrong, gives a lower bound, from
#   examples alone.
# * The bound must be judged on fresh examples.
#
# # Exercises
#
# **1. Heaps that meet** (5 minutes). In Part 1 set `WATCH` to 0.3 and look at the landscapes. How
# many deep valleys has the reverse KL now? Why does the question "cover or pick" disappear?
# (Claims that were made for 0.12 will fail.)
#
# **2. A lazy critic** (5 minutes). In the table of four critics, add 0.5 to both numbers of the
# best one. Is the bound still below KL? Which of the two means pays for it?
#
# **3. Three samplers** (10 minutes). No code. Three generators were fitted to photographs of cats
# and dogs. A draws cats only, each of them perfect. B draws cats, dogs, and some animals in
# between. C draws each photograph of the training set again, and nothing else. Measured against
# all photographs of cats and dogs: which have an infinite forward KL, and why? Which has the
# smallest reverse KL? And which looks perfect until somebody brings a fresh photograph? *Check:*
# B is the answer to none of them.
#
# **4. Another member** (15 minutes). *Write* `pearson_bound(p, q, t)` for $f(u) = (u - 1)^2$:
# lower the line $u\,t$ until it touches $f$, which gives $f^*(t) = t + t^2/4$. *Check:* for short
# and long, the best critic $t = 2(p/q - 1)$ gives 1.0, as in the table. *Why:* of a new
# divergence you need only $f^*$.
#
# **5. Between the two** (20 minutes). *Write* `skewed(p, q, a)`: KL from $p$ to $(1 - a)\,p +
# a\,q$, over $a^2$. *Check:* for short and long and $a = 0.001$ it is half of
# `divergences.f_divergence("pearson", q, p)` to 1 %. *Why:* all f-divergences look the same for
# $p$ near $q$: a parabola.
#
# **6. How many examples?** (25 minutes). *Write* `too_good(n)`: the bound of a critic that
# learned from `n` examples of each of two equal Gaussians in 20 dimensions for 400 steps, on its
# own examples. *Check:* it falls with n: above 0.3 for n = 50, below 0.1 for n = 5000. *Why:* a
# network of 1800 weights can learn a few hundred examples by heart, but not thousands.
#
# # Sources
#
# Kullback & Leibler, Ann. Math. Stat. (1951); Csiszár, Studia Sci. Math. Hungar. 2 (1967):
# f-divergences; Lin, IEEE Trans. Inf. Theory 37 (1991): JS. Nguyen, Wainwright & Jordan, *ibid.*
# 56 (2010), and Nowozin, Cseke & Tomioka, *f-GAN*, NIPS (2016): the critic. Bishop, *Pattern
# recognition and machine learning* (2006), 10.1: the two directions.
