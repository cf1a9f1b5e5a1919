# %% [markdown]
# # 10. Likelihood: how far apart are two distributions?
#
# **At the end you can** say what training by likelihood really makes small, choose between distances that forgive
# different sins, and measure one of them from examples alone. **It stands on** the negative log-likelihood and
# `training.fit` (lesson 9), gradients of gradients (lesson 4) and networks (lesson 5).
#
# In lesson 9 a network learned an honest error bar because we made $-\log p$ of the data small. Why this number? A
# generator must match a whole distribution: what does it mean to be close to one? Our example: a drawer holds
# pendulums, 60 % of them 1 m long, 40 % 2 m. We draw one and take its period $T = 2\pi\sqrt{L/g}$ with a stopwatch,
# whose error has SD 0.12 s. What will the watch show?

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import (
    distributions,
    divergences,
    grad,
    nn,
    no_grad,
    ops,
    optim,
    tensor,
    training,
)

lesson = Lesson("10_likelihood")
rng, h = lesson.rng, 0.01  # h: the watch shows hundredths of a second
T = np.arange(501) * h  # its marks from 0 to 5 s
short, long = 2 * np.pi * np.sqrt(np.array([1.0, 2.0]) / 9.81)
gauss = lambda x, mean, sd: (
    np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
)
drawer = lambda x, share, sd: (
    share * gauss(x, short, sd) + (1 - share) * gauss(x, long, sd)
)
p = drawer(T, 0.6, 0.12)  # a density: p h is the probability of one mark

# %% [markdown]
# ## Surprise
#
# Call $-\log p(x)$, natural logarithm, the **surprise** at $x$, in **nats**: 0 for what is certain, large for what is
# rare, the sum for two independent events. Three means carry this lesson ($\mathrm E_p$: over $x$ drawn from $p$):
#
# * **entropy** $H(p) = \mathrm E_p[-\log p]$: the mean surprise of somebody who knows $p$;
# * **cross-entropy** $H(p, q) = \mathrm E_p[-\log q]$: of somebody who believes in $q$ while $p$ is true;
# * **Kullback-Leibler divergence** $\mathrm{KL}(p\,\|\,q) = H(p, q) - H(p) = \mathrm E_p[\log p/q]$: what error costs.
#
# On a grid each mean is a sum. Where $p = 0$ nobody is surprised; where only $q = 0$ the surprise is infinite. A
# density is a probability *per second*, so it may exceed 1, and its entropy be negative; in KL the unit cancels. An
# error never pays: as $\log u \le u - 1$, $-\mathrm{KL} = \mathrm E_p[\log q/p] \le \mathrm E_p[q/p] - 1 \le 0$, for
# the mean of $q/p$ adds up the $q$ where $p > 0$, and all $q$ together are 1.

# %%
cross_entropy = lambda p, q, h=1.0: (
    -h * (p[p > 0] @ np.log(q[p > 0]))
)  # h: step of the grid; 1 for probabilities
kl = lambda p, q, h=1.0: cross_entropy(p, q, h) - cross_entropy(p, p, h)
pairs = rng.dirichlet(
    np.ones(6), size=(10_000, 2)
)  # two random distributions over six outcomes, ten thousand times
lowest = min(kl(a, b) for a, b in pairs)
lesson.verdict(
    f"of {len(pairs)} random pairs the lowest KL is {lowest:.4f} (never below 0)",
    lowest >= 0,
)

# %% [markdown]
# ## Maximum likelihood is minimum divergence
#
# Now forget how the drawer was filled. We have 2000 readings and a family of densities $q$ with two unknowns: the share
# of short pendulums and the SD of the watch. **Maximum likelihood** takes those for which the mean surprise at the
# readings is least. We find them by **Newton's method**, with lesson 4's second derivatives: start near, jump to the
# lowest point of the parabola that fits the loss here, repeat. The second way asks for no likelihood. The share of
# readings at each mark is a distribution too, the **empirical** one, $\hat p$. We seek the $q$ of least
# $\mathrm{KL}(\hat p\,\|\,q)$ by plain search: look at 15 x 15 pairs of unknowns, halve the box around the best.

# %%
readings = np.round(
    np.where(rng.random(2000) < 0.6, short, long) + 0.12 * rng.standard_normal(2000), 2
)
surprise = lambda unknowns: (
    -ops.mean(ops.log(drawer(readings, unknowns[0], unknowns[1])))
)
likely = np.array([0.5, 0.1])
for _ in range(20):
    unknowns = tensor(likely, requires_grad=True)
    (slope,) = grad(surprise(unknowns), [unknowns], create_graph=True)
    curvature = [grad(slope[k], [unknowns])[0].data for k in range(2)]
    likely = likely - np.linalg.solve(curvature, slope.data)


def search(loss, box):
    """The pair (a, b) in the box ((low, high), (low, high)) for which loss(a, b) is least."""
    low, high = floor, _ = np.transpose(
        box
    )  # the box may move, but not below this floor: an SD is positive
    for _ in range(34):
        a, b = np.linspace(low, high, 15).T
        values = np.array([[loss(i, j) for j in b] for i in a])
        i, j = np.unravel_index(values.argmin(), values.shape)
        best, half = np.array([a[i], b[j]]), (high - low) / 4
        low, high = np.maximum(best - half, floor), best + half
    return best


empirical = np.bincount(np.rint(readings / h).astype(int), minlength=T.size) / (
    len(readings) * h
)
nearest = search(
    lambda share, sd: kl(empirical, drawer(T, share, sd), h), ((0.3, 0.9), (0.05, 0.4))
)
gap = np.abs(likely - nearest).max()
found = f"share {likely[0]:.4f}, SD {likely[1]:.4f} s: the most likely are those of least KL to {gap:.0e} (limit 1e-6)"
lesson.verdict(found, gap < 1e-6)

# %% [markdown]
# This is no accident. The mean surprise at the readings *is* $H(\hat p, q) = H(\hat p) + \mathrm{KL}(\hat p\,\|\,q)$,
# and the entropy of the readings does not depend on $q$. **Whoever maximises a likelihood brings the model close to the
# data, as KL measures it.** And the loss can fall no lower than the entropy of the data.
#
# ## The two directions
#
# $\mathrm{KL}(p\,\|\,q)$ and $\mathrm{KL}(q\,\|\,p)$ differ, and it shows where a model is too simple. Let $q$ be one
# Gaussian, which cannot have two peaks. We seek the best by each, by the second also among those near the right peak.

# %%
forward = search(
    lambda mean, sd: kl(p, gauss(T, mean, sd), h), ((1.2, 3.6), (0.1, 1.0))
)
backward = lambda mean, sd: kl(gauss(T, mean, sd), p, h)
reverse, other = (
    search(backward, (means, (0.1, 1.0))) for means in ((1.2, 3.6), (2.6, 3.2))
)
wide, narrow, mean = gauss(T, *forward), gauss(T, *reverse), h * p @ T
off = np.abs(forward - [mean, np.sqrt(h * p @ (T - mean) ** 2)]).max()
lesson.verdict(
    f"the forward fit has mean and SD of p, {forward.round(3)} s, to {off:.0e} s (limit 1e-6)",
    off < 1e-6,
)
share = lambda q, low, high: (
    100 * h * q[(low - 0.24 <= T) & (high + 0.24 >= T)].sum()
)  # per cent; 0.24 s: two SDs
a, b, c, d = (share(q, peak, peak) for q in (wide, narrow) for peak in (short, long))
empty, between = (share(q, short + 0.48, long - 0.48) for q in (p, wide))
found = f"it covers both peaks: {a:.0f} and {b:.0f} % near them (above 15), {between:.0f} % between, where p has"
lesson.verdict(
    f"{found} {empty:.0f} (at most a third of that)",
    min(a, b) > 15 and between > 3 * empty,
)
prices = backward(*reverse), backward(*other)
found = f"the reverse fit picks one: {c:.0f} % near it (above 90), {d:.0e} % near the other (below 1); it costs"
found += f" {prices[0]:.2f} nats, at the other peak {prices[1]:.2f} (-ln 0.6 and -ln 0.4 within 0.03)"
lesson.verdict(
    found, c > 90 and d < 1 and np.abs(prices + np.log([0.6, 0.4])).max() < 0.03
)

# %% [markdown]
# **Forward**, $\mathrm{KL}(p\,\|\,q)$, is a mean over data. Where they fall $q$ must not be small, and nobody asks what
# else it invents: here, periods of pendulums that do not exist. **Reverse** is a mean over what the *model* draws: it
# must not invent, but may leave out for little (on one peak $p = 0.6\,q$, and $\log q/p = -\ln 0.6$). Likelihood is the
# forward one. **Covering** blurs generated samples, **dropping** makes them alike; later lessons meet both.
#
# ## Fair to both: Jensen-Shannon
#
# Toss a coin: for heads we draw from $p$, for tails from $q$. All readings have density $m = (p + q)/2$. The divergence
# of **Jensen and Shannon** is $\mathrm{JS}(p, q) = \frac12\mathrm{KL}(p\,\|\,m) + \frac12\mathrm{KL}(q\,\|\,m)$. It is
# symmetric, and as $m \ge p/2$ makes $\log p/m \le \ln 2$, it never exceeds $\ln 2$. What does it say? Somebody sees
# the reading and names a probability of heads. Best is the share of heads among all readings there, $p/(p + q)$, which
# is half of $p/m$ (for tails, half of $q/m$). The mean surprise at the coin then is $\ln 2$ from the halves, minus JS
# from the logarithms of $p/m$ and $q/m$. Without the reading it is $\ln 2$: **JS is what a reading tells of the coin.**

# %%
js = lambda p, q, h=1.0: 0.5 * kl(p, (p + q) / 2, h) + 0.5 * kl(q, (p + q) / 2, h)
heads, from_short = rng.random((2, 200_000)) < [[0.5], [0.6]]
x = np.where(from_short, short, long) + 0.12 * rng.standard_normal(heads.size)
x = np.where(heads, x, forward[0] + forward[1] * rng.standard_normal(heads.size))
guess = 1 / (
    1 + gauss(x, *forward) / drawer(x, 0.6, 0.12)
)  # p/(p + q), where q is the forward fit
told, exact = (
    np.log(2) + np.mean(np.log(np.where(heads, guess, 1 - guess))),
    js(p, wide, h),
)
lesson.verdict(
    f"a reading tells {told:.4f} nats of the coin, JS is {exact:.4f} (limit 0.006)",
    abs(told - exact) < 0.006,
)
z, distance = (
    np.arange(-12, 24, h),
    np.linspace(0, 12, 121),
)  # two Gaussians of SD 1, further and further apart
moved = [(gauss(z, 0.0, 1.0), gauss(z, d, 1.0)) for d in distance]
curves = np.array([(kl(a, b, h), js(a, b, h)) for a, b in moved])
left, pull = (
    np.log(2) - curves[:, 1],
    (curves[101] - curves[99]) / (distance[101] - distance[99]),
)  # slopes at 10 SDs
found = f"10 SDs apart, JS is {left[100]:.0e} below ln 2 (limit 1e-5, never above), growing by {pull[1]:.0e} nats an SD"
holds = (
    left.min() > -1e-12
    and max(js(a, b) for a, b in pairs) < np.log(2)
    and left[100] < 1e-5
    and pull[1] < 1e-5
)
lesson.verdict(
    f"{found} (limit 1e-5), KL by {pull[0]:.1f} (above 9)", holds and pull[0] > 9
)
black, blue, red = ({"color": c, "lw": 2} for c in ("#000", "#1f5fa8", "#b3261e"))
fig, axes = plt.subplots(1, 2, figsize=(11.5, 4.4), layout="constrained")
axes[0].fill_between(T, p, color="#ddd", label="p: the drawer")
axes[0].plot(T, wide, **blue, label="least KL(p ‖ q): covers both")
axes[0].plot(T, narrow, **red, label="least KL(q ‖ p): picks one")
axes[0].set(
    xlabel="period on the watch (s)",
    ylabel="density (1/s)",
    xlim=(1, 4),
    title="One Gaussian for two peaks",
)
axes[1].plot(distance, curves[:, 0], **blue, label="KL")
axes[1].plot(distance, curves[:, 1], **red, label="Jensen-Shannon")
axes[1].axhline(np.log(2), **black | {"lw": 1, "ls": "--"}, label="ln 2")
axes[1].set(
    xlabel="distance of two Gaussians (SDs)",
    ylabel="divergence (nats)",
    ylim=(0, 2),
    title="JS levels off",
)
for ax in axes:
    ax.legend(frameon=False, loc="upper right")
lesson.save(fig)

# %% [markdown]
# Being bounded has its price: where $p$ and $q$ hardly overlap, JS is flat, and no slope tells $q$ where to go.
#
# ## One family, and a critic
#
# All of these are **f-divergences**, $D_f(p\,\|\,q) = \mathrm E_q[f(u)]$ with $u = p/q$, where $f(1) = 0$ and $f$ is
# **convex**: it lies above its tangents. ($\mathrm E_q$ of $p/q$ times anything is its $\mathrm E_p$, so
# $f(u) = u \log u$ gives KL.) The tangent of slope $t$ is $ut - f^*(t)$, where $f^*(t) = \max_u (ut - f(u))$, the
# **conjugate**, says how far to lower the line $ut$ until it just touches $f$. Now put, at each $x$, some tangent in
# place of $f$, of a slope $t(x)$ of your choice, the **critic**. Only means over examples are left:
#
# $$ D_f(p\,\|\,q) \;\ge\; \mathrm E_p[t(x)] - \mathrm E_q[f^*(t(x))], \quad\text{equal for}\quad t = f'(p/q). $$

# %%
family = {  # f(u), its slope, and f*(t)
    "kl": (lambda u: u * np.log(u), lambda u: 1 + np.log(u), lambda t: np.exp(t - 1)),
    "reverse_kl": (lambda u: -np.log(u), lambda u: -1 / u, lambda t: -1 - np.log(-t)),
}
bound = lambda a, b, t, conjugate: np.sum(a * t - b * conjugate(t))
gaps, tight, above = [], [], []
for a, b in pairs[:300]:
    for name, (f, slope, conjugate) in family.items():
        exact, wrong = (
            np.sum(b * f(a / b)),
            slope(a / b * np.exp(rng.normal(size=6))),
        )  # a critic wrong about p/q
        tight.append(abs(bound(a, b, slope(a / b), conjugate) / exact - 1))
        above.append(bound(a, b, wrong, conjugate) - exact)
        gaps.append(abs(exact / divergences.f_divergence(name, a, b) - 1))
    for ours, name in (
        (cross_entropy, "cross_entropy"),
        (kl, "kl"),
        (js, "jensen_shannon"),
    ):
        gaps.append(abs(ours(a, b) / getattr(divergences, name)(a, b) - 1))
found = f"D by the best critics is right to {max(tight):.0e} (limit 1e-9), by 600 wrong ones too small by"
lesson.verdict(
    f"{found} {-max(above):.3f} or more (above 0)", max(tight) < 1e-9 and max(above) < 0
)
watch = [
    distributions.Normal(np.array([mean]), np.array([0.12])) for mean in (short, long)
]
mixed, one = (
    distributions.Mixture(watch, weights=[0.6, 0.4]),
    distributions.Normal(forward[:1], forward[1:]),
)
gaps.append(np.abs(mixed.log_prob(T[:, None]) - np.log(p)).max())
lesson.verdict(
    f"minigen.divergences, .distributions: as ours to {max(gaps):.0e} (limit 1e-9)",
    max(gaps) < 1e-9,
)

# %% [markdown]
# ## Something larger: a critic that learns
#
# Suppose that we have nothing but examples. Let a small network be the critic, and *train* it to raise the bound for
# JS. We write its slope as $t = \frac12(\ln 2 - \log(1 + e^{-v}))$, where $v$ is the network's output. The best $t$,
# $f'(p/q)$, belongs to $v = \log p/q$, and then $1/(1 + e^{-v}) = p/(p + q)$: it guesses the coin. We try it on
# the drawer against the forward fit, and in 20 dimensions, on round Gaussians two SDs apart. There a grid is hopeless
# (ten points a side make $10^{20}$), but they differ along one line only, where our curve of JS has the answer. Fresh
# examples are the judge: on those it learned from, the critic's bound may lie above the truth.


# %%
def learned_js(draw_p, draw_q, d, steps=1000 if lesson.quick else 1500, n=20_000):
    """JS by a critic that learned from n examples (n, d) of each, judged by n fresh ones; and the critic's network."""
    network = nn.MLP([d, 32, 32, 1], "tanh", rng=rng)
    critic = lambda x: 0.5 * (np.log(2) - ops.softplus(-network(x)))
    loss = lambda x, y: -divergences.variational_bound("js", critic(x), critic(y))
    adam = optim.Adam(network, optim.cosine_decay(0.005, steps))
    training.fit(
        network,
        loss,
        (draw_p(n), draw_q(n)),
        rng=rng,
        steps=steps,
        batch_size=512,
        optimizer=adam,
    )
    with no_grad():
        return -float(
            loss(*(draw(n).astype(np.float32) for draw in (draw_p, draw_q)))
        ), network


there = lambda shift: lambda n: rng.standard_normal((n, 20)) + shift / np.sqrt(20)
(value, _), exact = learned_js(there(0), there(2), 20), curves[20, 1]
lesson.verdict(
    f"critic in 20 dimensions: JS {value:.3f}, true {exact:.3f} (within 10 %)",
    abs(value / exact - 1) < 0.1,
)
unit = lambda x: (
    (x - forward[0]) / forward[1]
)  # size 1 suits a network, and JS is the same in any unit
value, network = learned_js(
    lambda n: unit(mixed.sample(n, rng)), lambda n: unit(one.sample(n, rng)), 1
)
with no_grad():
    guess = ops.sigmoid(network(unit(T)[:, None].astype(np.float32))).data[:, 0]
exact, m, off = (
    js(p, wide, h),
    (p + wide) / 2,
    h * np.sum(np.abs((p + wide) * guess - p)) / 2,
)
found = f"JS of drawer and fit by a critic {value:.4f}, true {exact:.4f} (within 10 %), its guess of the coin"
lesson.verdict(
    f"{found} {off:.3f} off in the mean (limit 0.04)",
    abs(value / exact - 1) < 0.1 and off < 0.04,
)
fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
ax.fill_between(T, m / 3, color="#ddd", label="where examples are (density m, scaled)")
ax.plot(T, p / (p + wide), **black, ls="--", label="p/(p + q) from the densities")
ax.plot(T, guess, **blue, label="learned from examples alone")
ax.set(
    xlabel="period on the watch (s)",
    ylabel="probability that it is from the drawer",
    xlim=(1, 4),
    ylim=(0, 1.15),
)
ax.set_title("A critic guesses where a reading comes from")
ax.legend(frameon=False, loc="upper left")
lesson.save(fig, "critic")
lesson.end()

# %% [markdown]
# A network that tells two kinds of examples apart *measures a divergence*. Let a generator change $q$ so as to make it
# small, and you have the generative adversarial network of lesson 15. Telling apart comes first, in lesson 12.
#
# ## Exercises
#
# 1. Learning costs: fit the two unknowns to $n$ readings, 500 times. The mean of $\mathrm{KL}(p\,\|\,q_\text{fit})$ is
#    $2/(2n)$, unknowns over twice the readings, within 20 % for $n = 200$ and for $n = 1000$.
# 2. `family["pearson"]`, $f = (u - 1)^2$: it equals `f_divergence("pearson", ...)` to 1e-9; its best bound does, too.
# 3. Let `learned_js` learn from $n = 50$ examples of $p = q = \mathcal N(0, 1)$, so that JS is 0. Judged by those very
#    examples the bound exceeds 0.02; judged by 20 000 fresh ones it is below 0.
#
# ## Sources
#
# Shannon, Bell Syst. Tech. J. (1948); Kullback & Leibler, Ann. Math. Stat. (1951); Csiszár, Studia Sci. Math. Hungar.
# (1967); Lin, IEEE Trans. Inf. Theory (1991): JS; Nguyen, Wainwright & Jordan, *ibid.* (2010), and Nowozin, Cseke &
# Tomioka, *f-GAN*, NIPS (2016): the critic; Bishop, *Pattern recognition and machine learning* (2006), 10.1.
