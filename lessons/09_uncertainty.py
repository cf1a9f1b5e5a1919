# %% [markdown]
# # 9. Uncertainty: a prediction that says how sure it is
#
# **At the end you can** give a network an error bar of its own and train both by likelihood, recognise a loss that can
# never learn a spread, test whether error bars are honest, and tell two kinds of not-knowing apart: noise, which stays
# however much data we collect, and ignorance, which more data would cure.
#
# **It stands on** the noise and the split by trajectory of lesson 2, and the network and training loop of lesson 5.
#
# The network of lesson 5 names one angle, in the same tone for $t = 0.1$ s and for $t = 5$ s, although what we then
# observe scatters by 0.01 rad in the first case and by 0.5 rad in the second. A physicist would write
# $\theta = 0.3 \pm 0.5$. We want the network to write the second number too.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import datasets, models, nn, no_grad, ops, optim, training

lesson = Lesson("09_uncertainty")
rng, steps = lesson.rng, 1600 if lesson.quick else 6000


def rows(d):
    """One row per observation. Inputs (n, 4): t, theta0, omega0, g/L; targets (n, 1): the observed angle."""
    factors = np.stack([d.theta0, d.omega0, d.g_over_l], axis=1)
    return np.column_stack(
        [np.tile(d.t, len(d)), np.repeat(factors, d.t.size, axis=0)]
    ), d.theta.reshape(-1, 1)


data = datasets.pendulum_trajectories(
    600, rng, view=100
)  # 100 noisy angles over 5 s; the noise has SD 0.1 t
train, test = datasets.train_test_split(data, rng, test=1 / 3)
(X, Y), (X_test, Y_test) = rows(train), rows(test)

# %% [markdown]
# ## Two outputs and a likelihood
#
# Let the network answer with a whole distribution, $\mathcal N(\mu(x), \sigma(x)^2)$. A good answer calls likely what
# then happens. So we take the density it gives to the observed $y$, the logarithm (products over the data become sums)
# and a minus sign, because we minimise. This is the **negative log-likelihood**:
#
# $$ -\log p(y \mid x) = \tfrac12\Big(\log 2\pi + \log\sigma^2 + \frac{(y-\mu)^2}{\sigma^2}\Big). $$
#
# Two terms quarrel over $\sigma$. A large one excuses every error but costs $\log\sigma^2$; a small one is cheap until
# data lie outside it. The derivative by $\log\sigma^2$ is $\tfrac12\big(1 - (y-\mu)^2/\sigma^2\big)$, zero on average
# where $\sigma^2 = \mathrm E(y-\mu)^2$: there **the error bar is as long as the error**. Nobody tells the network any
# $\sigma$; it finds it from how far the data lie from its own mean.
#
# Of the two outputs, the network's **head**, the second stands for $\log\sigma^2$, so that $\sigma$ cannot be negative.
# And it gets a floor: at $t = 0$ our observations are exact, and the likelihood would reward $\sigma \to 0$ without
# end. With $\sigma^2 = e^{\text{raw}} + \text{floor}^2$ it stops at 1 % of the data's SD, about half a degree.

# %%
FLOOR, LOWEST = (
    0.01,
    2 * np.log(0.01),
)  # of sigma and of log sigma^2, for targets of SD 1
nll = lambda y, mean, log_var: (
    0.5 * ops.mean(np.log(2 * np.pi) + log_var + (y - mean) ** 2 * ops.exp(-log_var))
)
x_mean, x_sd, y_mean, y_sd = X.mean(axis=0), X.std(axis=0), Y.mean(), Y.std()


def head(network, x):
    mean, raw = ops.split(network(x), 2, axis=1)
    return mean, ops.softplus(
        raw - LOWEST
    ) + LOWEST  # log(e^raw + FLOOR^2), as softplus(a) = log(1 + e^a)


def learn(loss, rng, steps):
    """A network for which `loss(y, mean, log_var)` is small; inputs and targets are brought to mean 0 and SD 1."""
    network = nn.MLP([4, 64, 64, 64, 2], "tanh", rng=rng)
    of_batch = lambda x, y: loss(y, *head(network, x))
    unit = (X - x_mean) / x_sd, (Y - y_mean) / y_sd
    adam = optim.Adam(network, optim.cosine_decay(0.01, steps))
    training.fit(
        network, of_batch, unit, rng=rng, steps=steps, batch_size=256, optimizer=adam
    )  # lesson 5's loop
    return network


def predict(network, X):
    """Mean and SD in rad, each (trajectories, 100)."""
    with no_grad():
        mean, log_var = head(network, ((X - x_mean) / x_sd).astype(np.float32))
    return (y_mean + y_sd * mean.data).reshape(-1, 100), (
        y_sd * np.exp(log_var.data / 2)
    ).reshape(-1, 100)


# %% [markdown]
# In the library the loss is `ops.gaussian_nll`, and scaling, network, head and training together are
# `models.Regressor(head="gaussian")`. From the same seed, both must learn the same.

# %%
y, mean, log_var = rng.normal(size=(3, 7, 2))
off = abs(nll(y, mean, log_var) - ops.gaussian_nll(mean, y, log_var))
settings = {
    "hidden": (64, 64, 64),
    "head": "gaussian",
    "min_sd": FLOOR,
    "batch_size": 256,
    "lr": 0.01,
}
ours = predict(learn(nll, np.random.default_rng(lesson.seed), 100), X_test)
theirs = models.Regressor(**settings, steps=100).fit(
    X, Y, rng=np.random.default_rng(lesson.seed)
)
gap = np.abs(
    np.reshape(ours, (2, -1, 1)) - theirs.predict(X_test, return_sd=True)
).max()
found = f"our loss equals ops.gaussian_nll to {off:.0e} (limit 1e-12), after 100 steps our means and SDs Regressor's"
lesson.verdict(f"{found} to {gap:.0e} rad (limit 1e-3)", off < 1e-12 and gap < 1e-3)

# %% [markdown]
# ## A loss that cannot learn a spread
#
# There is a tempting shortcut, taken by the study this course grew out of: let the network *draw* from its answer,
# $s = \mu + \sigma\varepsilon$ with $\varepsilon \sim \mathcal N(0, 1)$, and compare the sample with the observation by
# squared error. Take the mean over $\varepsilon$; the mixed term vanishes:
#
# $$ \mathrm E_\varepsilon (y - s)^2 = (y - \mu)^2 + \sigma^2. $$
#
# Here $\sigma$ stands alone, apart from all data. The loss is a tax on it, and the cheapest $\sigma$ is the floor,
# whatever the noise. We test the formula by drawing, with noise of SD 0.5 as at 5 s, and train a net with each loss.

# %%
sampled_error = lambda y, mean, log_var: ops.mse(
    mean + ops.exp(0.5 * log_var) * ops.normal(rng, mean.shape), y
)
sigma, noise = np.linspace(0.05, 1.2, 24), 0.5 * rng.standard_normal((100_000, 1))
drawn = np.mean((noise - sigma * rng.standard_normal((len(noise), 24))) ** 2, axis=0)
gap = np.abs(drawn / (0.25 + sigma**2) - 1).max()
lesson.verdict(
    f"squared error on a sample is 0.5^2 + sigma^2 to {100 * gap:.1f} % (limit 2 %)",
    gap < 0.02,
)

mean, sd = predict(learn(nll, rng, steps), X_test)
collapsed = learn(sampled_error, rng, steps)
mean_c, sd_c = predict(collapsed, X_test)
slope, offset = np.polyfit(test.t, sd.mean(axis=0), 1)
lesson.verdict(
    f"the head learned sigma(t) = {slope:.4f} t {offset:+.3f}; true 0.1 t (within 10 %)",
    0.09 < slope < 0.11,
)
ratio = sd_c.mean() / (FLOOR * y_sd)
lesson.verdict(
    f"squared error on a sample left sigma at {ratio:.2f} times the floor (at most 1.5)",
    ratio < 1.5,
)
black, blue, red, gold, grey = (
    {"color": c, "lw": 2} for c in ("#000", "#1f5fa8", "#b3261e", "#d9822b", "#777")
)
true = grey | {"ls": "--"}
fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
axes[0].plot(test.t, 0.1 * test.t, **true, label="true: 0.1 t")
axes[0].plot(test.t, sd.mean(axis=0), **blue, label="learned by likelihood")
axes[0].plot(test.t, sd_c.mean(axis=0), **red, label="squared error on a sample")
axes[0].set(
    xlabel="time (s)",
    ylabel="σ (rad), mean over held-out pendulums",
    title="The learned spread",
)
axes[0].legend(frameon=False)
axes[1].fill_between(
    test.t, (mean - 2 * sd)[0], (mean + 2 * sd)[0], color="#d5e1f0", label="μ ± 2σ"
)
axes[1].plot(test.t, test.theta[0], ".", **grey, label="observed")
axes[1].plot(test.t, mean[0], **blue, label="μ")
axes[1].plot(test.t, test.clean[0], **true, label="true")
axes[1].set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    title="A pendulum the network has never seen",
)
axes[1].legend(frameon=False, loc="lower left")
lesson.save(fig)

# %% [markdown]
# If the blue line ends a little high, that is no mistake: there the mean is not perfect yet, and $\mathrm E(y - \mu)^2$
# holds its errors too. Note also what is *not* wrong with the collapsed network: its mean, for $(y - \mu)^2$ is honest
# least squares. So the mistake is easy to miss. The curves look right; only the error bars lie.
#
# ## Are the error bars honest?
#
# **Calibration** is the test: of all intervals said to hold the observation with probability $p$, a share $p$ should.
# For a Gaussian, $\mu \pm 2\sigma$ must hold 95.45 %. We count on held-out trajectories, for all $p$. A third candidate
# joins in, the plain remedy: the collapsed network's good mean, and everywhere the SD of its training residuals.

# %%
levels = np.linspace(0.05, 0.95, 19)
widths = np.quantile(
    np.abs(rng.standard_normal(1_000_000)), levels
)  # N(0, 1) lies within -width..width that often
one_sd = np.full_like(sd, np.std(Y.reshape(-1, 100) - predict(collapsed, X)[0]))
z = np.abs(Y_test.reshape(-1, 100) - [mean, mean_c, mean_c]) / [
    sd,
    one_sd,
    sd_c,
]  # (candidate, trajectory, time)
share = np.mean(z[..., None] < widths, axis=(1, 2))
by_time = 100 * np.mean(z < 2, axis=1).reshape(3, 20, 5).mean(
    axis=2
)  # five points together
cover, off = 100 * np.mean(z[0] < 2), np.abs(share[0] - levels).max()
lesson.verdict(
    f"two-sigma coverage on held-out trajectories is {cover:.1f} % (between 93 and 97)",
    93 < cover < 97,
)
lesson.verdict(
    f"over all p, promise and share differ by at most {off:.3f} (limit 0.04)",
    off < 0.04,
)
start, end = by_time[1, :8].mean(), by_time[1, -4:].mean()
found = f"one SD for all covers {start:.1f} % in the first 2 s (above 99), {end:.1f} % in the last (below 88)"
lesson.verdict(found, start > 99 and end < 88)

fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
for k, (name, colour) in enumerate(
    {"likelihood head": blue, "one SD for all": gold, "error on a sample": red}.items()
):
    axes[0].plot(levels, share[k], "o-", **colour, ms=4, label=name)
    axes[1].plot(test.t[2::5], by_time[k], "o-", **colour, ms=4)
axes[0].plot([0, 1], [0, 1], **true, zorder=0, label="honest")
axes[1].axhline(95.45, **true, zorder=0)
axes[0].set(
    xlabel="promised probability p",
    ylabel="share of observations inside",
    title="Calibration, all times",
)
axes[1].set(
    xlabel="time (s)",
    ylabel="observations within μ ± 2σ (%)",
    title="Two-sigma intervals over time",
)
axes[0].legend(frameon=False)
lesson.save(fig, "calibration")

# %% [markdown]
# **Right on average is not right everywhere.** All times together, $\pm 2$ times the one SD hold 93 %, close to the
# promise: modesty early pays for boasting late. Look at coverage against time, or against whatever matters to you.
#
# ## Where there were no data
#
# Ask the head about pendulums released at 2 rad, when all it saw started between 0.5 and 1.5. Its $\sigma$ still says
# "0.1 t", though its mean is now a guess. The likelihood taught it the noise; nothing taught it that there are places
# where it has not been. One network cannot know. Several can: where data hold them down they agree, elsewhere each goes
# its own way. The SD of their means, their **disagreement**, measures ignorance. In `models.Ensemble` the two kinds of
# variance add up: the mean of the members' $\sigma^2$, plus the variance of their means.
#
# A cheaper idea needs one network only. **Dropout** switches off random units (here ReLUs) during training; leave it on
# afterwards, predict twenty times, and take the spread. We try two rates, and look above the data and below.

# %%
ensemble = models.Ensemble(models.Regressor(**settings, steps=steps), members=5).fit(
    X, Y, rng=rng
)
wide = datasets.pendulum_trajectories(
    400, rng, steps=750, view=75, theta0=(0.0, 2.25)
)  # lower, higher and longer
X_wide, grid = rows(wide)[0], lambda a: a.reshape(len(wide), -1)
error = np.abs(grid(ensemble.predict(X_wide)) - wide.clean)
noise_sd, disagreement = (
    grid(ensemble.members_[0].predict(X_wide, True)[1]),
    grid(ensemble.disagreement(X_wide)),
)
spread = []
for rate in (0.02, 0.2):
    dropout = models.Regressor(
        **settings, steps=steps, activation="relu", dropout=rate
    ).fit(X, Y, rng=rng)
    dropout.network_.train()  # leaves dropout on
    spread.append(grid(np.std([dropout.predict(X_wide) for _ in range(20)], axis=0)))

below, inside, above = (
    wide.theta0 < 0.25,
    (wide.theta0 > 0.5) & (wide.theta0 < 1.5),
    wide.theta0 > 1.75,
)
size = lambda a, where: a[where][:, wide.t < 5].mean()
for name, where, least in (("above", above, 4), ("below", below, 2)):
    e, d, n, s = (
        size(a, where) / size(a, inside)
        for a in (error, disagreement, noise_sd, spread[0])
    )
    lesson.verdict(
        f"{name} the data the error grows {e:.0f}-fold, the ensemble's disagreement {d:.1f}-fold (at least {least}), "
        f"one head's sigma {n:.2f}-fold (at most 2), dropout's spread {s:.1f}-fold (at most half the ensemble's)",
        d > least and n < 2 and s < d / 2,
    )
factor = size(spread[1], inside) / size(spread[0], inside)
lesson.verdict(
    f"the rate alone makes dropout's spread {factor:.1f} times larger inside (more than 1.4)",
    factor > 1.4,
)

fig, axes = plt.subplots(1, 2, figsize=(12.5, 4.8), layout="constrained")
angles, bins = np.arange(0.0625, 2.25, 0.125), (wide.theta0 / 0.125).astype(int)
by_angle = lambda a: np.array([a[bins == k].mean(axis=0) for k in range(18)])
cells = axes[0].pcolormesh(
    wide.t + 0.05, angles, by_angle(disagreement), norm="log", cmap="magma"
)
fig.colorbar(cells, ax=axes[0], label="disagreement of five networks (rad)")
axes[0].add_patch(plt.Rectangle((0, 0.5), 5, 1, fill=False, ec="white", lw=2, ls="--"))
axes[0].set(
    xlabel="time (s)",
    ylabel="initial angle θ₀ (rad)",
    title="Dashed: where the training data lie",
)
names = (
    "true error of the ensemble's mean",
    "disagreement of the ensemble",
    "σ of one likelihood head",
)
names += ("spread by dropout, rate 0.02", "spread by dropout, rate 0.2")
for name, a, colour in zip(
    names, (error, disagreement, noise_sd, *spread), (black, blue, grey, gold, red)
):
    axes[1].semilogy(
        angles, by_angle(a)[:, wide.t < 5].mean(axis=1), **colour, label=name
    )
axes[1].axvspan(0.5, 1.5, color="#e8e8e8", zorder=0, label="training data")
axes[1].set(
    xlabel="initial angle θ₀ (rad)",
    ylabel="mean over the first 5 s (rad)",
    title="Who notices the edge?",
)
axes[1].legend(frameon=False, fontsize=9)
lesson.save(fig, "ignorance")
lesson.end()

# %% [markdown]
# The ensemble draws the border of what it has seen, in angle and in time. But compare its height with the black curve:
# the five share one architecture and so some of their errors; outside they are more wrong than they disagree. Read
# disagreement as a warning, not as an error bar. Dropout's spread follows the size of the swing rather than ignorance,
# and its height is set by a rate that we chose: it tells on how many units an answer hangs, not on how many data.
#
# ## Exercises
#
# 1. `crps(mean, sd, y)`: the continuous ranked probability score of a Gaussian (look it up) rewards honest error bars.
#    Averaged over $y \sim \mathcal N(0, 0.5^2)$ with mean 0, it is least for an `sd` within 0.02 of 0.5.
# 2. `beta_nll(y, mean, log_var)`: weigh each row's likelihood by its $\sigma$, held constant with `.detach()`, so that
#    late times count more. The mean's RMSE in the last second falls, the slope stays within 10 %.
# 3. `recalibrate(z, p)`: the factor for all $\sigma$ with which a share $p$ of held-out observations falls inside. For
#    the collapsed network and $p = 0.95$ it exceeds 20. What does it do to the coverage against time?
#
# ## Sources
#
# Nix & Weigend, *Estimating the mean and variance of the target probability distribution*, ICNN 1994; Lakshminarayanan
# et al., *Simple and scalable predictive uncertainty estimation using deep ensembles*, NIPS 2017; Gal & Ghahramani,
# *Dropout as a Bayesian approximation*, ICML 2016; against it Osband, *Risk versus uncertainty in deep learning*, NIPS
# workshop 2016; Gneiting & Raftery, *Strictly proper scoring rules, prediction, and estimation*, JASA 2007 (exercise
# 1); Seitzer et al., *On the pitfalls of heteroscedastic uncertainty estimation*, ICLR 2022 (exercise 2).
