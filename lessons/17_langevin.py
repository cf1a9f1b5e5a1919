# %% [markdown]
# # 17. Langevin dynamics: sampling by sliding down and being kicked
#
# **At the end you can** draw from a density of which you know only the slope of its logarithm, make the draws exact
# with one more line, recognise the common slips by their numbers, and say how far a chain of draws can be trusted.
# **It stands on** energies (lesson 1), gradients (lesson 3), densities (lesson 7) and Bayes' rule (lesson 8).
#
# A speck of dust on a thread is a pendulum too. The air brakes it so much that it keeps no velocity, and molecules kick
# it from all sides. It slides downhill in its energy $U$, is kicked up again, and never rests. Physics knows where one
# finds it: at $x$ with density $p(x) \propto e^{-U(x)/T}$, **Boltzmann's law**, where the **temperature** $T$ is
# measured in units of energy. Low places are likely, and the hotter it is, the less their lead.
#
# This is a recipe for generating. For *any* density $p$ put a speck into the landscape $U = -\log p$, wait, and look
# where it is: a draw from $p$, at $T = 1$. It takes only the slope of $U$, where an unknown factor in $p$ drops out.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

from minigen import ops, samplers
from minigen.samplers import diagnostics

lesson = Lesson("17_langevin")
rng, black, blue, red, gold = lesson.rng, "#000", "#1f5fa8", "#b3261e", "#d9822b"
normal, uniform = lambda x: rng.standard_normal(x.shape), lambda x: rng.random(x.shape)
pendulum = lambda x: 1 - np.cos(x), np.sin  # an energy and its slope; x in rad, U in units of m g L
bowl = lambda x: x**2 / 2, lambda x: x


def langevin(x, energy, h, T, a):
    """One step of size h for specks at x: slide, then a kick by a, from N(0, 1)."""
    return x - h * energy[1](x) + np.sqrt(2 * h * T) * a


record = lambda step, x, n: np.stack([x := step(x) for _ in range(n)], axis=1)  # (chains, n)
angle = np.linspace(-np.pi, np.pi, 145)[1::2]  # the middles of 72 bins
boltzmann = lambda T: (weight := np.exp(-pendulum[0](angle) / T)) / weight.sum()
kl = lambda p, q: p[p > 0] @ np.log(p[p > 0] / q[p > 0])  # lesson 7
shares = {}
for T in (0.05, 0.3, 2.0):
    x = record(lambda x, T=T: langevin(x, pendulum, 0.05, T, normal(x)), np.zeros(2000), 800)[:, 400:]  # once warm
    shares[T] = np.histogram((x + np.pi) % (2 * np.pi), 72, (0, 2 * np.pi))[0] / x.size
off = max(kl(share, boltzmann(T)) for T, share in shares.items())
lesson.claim(f"at three temperatures the angles follow exp(-U/T), KL at most {off:.4f} nats (limit 0.01)", off < 0.01)

# %% [markdown]
# ## How hard is the kick?
#
# Our rule is $x' = x - h\,U'(x) + \sqrt{2hT}\,a$ with $a$ from $\mathcal N(0, 1)$. Why $\sqrt{2hT}$? Try a kick of any
# SD $s$ in a bowl, $U = x^2/2$, where Boltzmann's law is $\mathcal N(0, T)$. A step makes $x' = (1 - h)x + s a$, so the
# variance $V$ no longer changes once $V = (1 - h)^2 V + s^2$:
#
# $$ V = \frac{s^2}{2h - h^2}, \qquad\text{with } s^2 = 2hT: \quad V = \frac{T}{1 - h/2}. $$
#
# For small $h$ this is $T$, as it should be. For larger ones it is too wide, by a share of about $h/2$: a **bias**, in
# proportion to $h$, which no number of draws cures. The chain is called **unadjusted** Langevin, ULA.
#
# **Two conventions.** Many texts write $x' = x - \tfrac h2 U' + \sqrt{hT}\,a$. If their $h$ is twice ours, that is the
# same chain. A common slip takes the drift from one and the noise from the other: $-h\,U'$ with $\sqrt{hT}\,a$. This is
# half the temperature, so at $T = 1$ it samples $e^{-2U}$. In the bowl $V$ is $1/(2 - h)$, near half of what is due.


# %%
def measure(step, h, chains=4000, n=600 if lesson.quick else 2500):
    """Mean of x^2 and mean acceptance for each h, (2, k), and their standard errors; the chains are independent."""
    x, sums = np.zeros((len(h), chains)), np.zeros((2, len(h), chains))
    for i in range(300 + n):
        x, acceptance = step(x, h[:, None])
        sums += (i >= 300) * np.stack([x**2, acceptance]) / n
    return sums.mean(axis=-1), sums.std(axis=-1) / np.sqrt(chains)


h = np.array([0.1, 0.2, 0.5, 1.0, 1.5])
(wide, _), (error, _) = measure(lambda x, h: (langevin(x, bowl, h, 1.0, normal(x)), np.ones(x.shape)), h)
off, bias = np.abs((wide - 1 / (1 - h / 2)) / error).max(), (wide - 1)[:2] / h[:2]
found = f"ULA's variance is 1 / (1 - h/2), {off:.1f} standard errors off at most (limit 4); its bias over h is"
holds = off < 4 and 0.4 < bias.min() < bias.max() < 0.7
lesson.claim(f"{found} {bias[0]:.2f} at h = 0.1, {bias[1]:.2f} at 0.2 (0.4 to 0.7)", holds)
(thin, _), (error, _) = measure(lambda x, h: (x - h * x + np.sqrt(h) * normal(x), np.ones(x.shape)), h)
off = np.abs((thin - 1 / (2 - h)) / error).max()
lesson.claim(f"the slip's is 1 / (2 - h), {thin[0]:.3f} at h = 0.1, {off:.1f} standard errors off (limit 4)", off < 4)

# %% [markdown]
# ## One more line makes it exact
#
# Let $q(y \mid x) = \mathcal N(y;\, x - hU'(x),\, 2hT)$ be the density of our rule. If as many specks hop from $x$ to
# $y$ as from $y$ to $x$, and so for every pair, then $p$ stays $p$: **detailed balance**. With finite steps the two
# flows differ. So take the step as a mere *proposal*, and accept it with probability
#
# $$ A(x, y) = \min\Big(1,\ \frac{p(y)\, q(x \mid y)}{p(x)\, q(y \mid x)}\Big). $$
#
# Then $p(x)\, q(y \mid x)\, A(x, y)$ and its mirror image are both the smaller of the two old flows. Who is refused
# stays where it is, and *counts once more*. Unknown factors of $p$ cancel. This is the rule of Metropolis and Hastings;
# with Langevin's proposal the chain is called **MALA**, Metropolis-adjusted Langevin.


# %%
def log_acceptance(x, y, energy, h, T, forget=False):
    log_q = lambda y, x: -((y - x + h * energy[1](x)) ** 2) / (4 * h * T)  # its constant cancels
    log_ratio = (energy[0](x) - energy[0](y)) / T
    return np.minimum(log_ratio if forget else log_ratio + log_q(x, y) - log_q(y, x), 0)


def mala(x, energy, h, T, a, u, forget=False):
    """One step, u being uniform on [0, 1): the new places, and how probable it was that the proposal is accepted."""
    y = langevin(x, energy, h, T, a)
    A = np.exp(log_acceptance(x, y, energy, h, T, forget))
    return np.where(u < A, y, x), A


x, y = rng.uniform(-3, 3, size=(2, 10_000))
hop = lambda x, y: -pendulum[0](x) / 0.3 - (y - x + 0.5 * np.sin(x)) ** 2 / (4 * 0.5 * 0.3)  # log of p(x) q(y | x)
flow = lambda x, y, forget: hop(x, y) + log_acceptance(x, y, pendulum, 0.5, 0.3, forget)
off, wrong = (np.abs(flow(x, y, forget) - flow(y, x, forget)) for forget in (False, True))
found = f"for 10000 pairs the logs of both flows are equal to {off.max():.0e} (limit 1e-12); without q they differ by"
lesson.claim(f"{found} {np.median(wrong):.1f} in the median (above 0.5)", off.max() < 1e-12 and np.median(wrong) > 0.5)

s = np.array([0.1, 0.5, 1.0, 2.0, 3.0])  # step sizes
exact, error = measure(lambda x, h: mala(x, bowl, h, 1.0, normal(x), uniform(x)), s)
formula = 1, 1 - 2 / np.pi * np.arcsin(s**2 / np.sqrt((s**2 + 2 * s) * (s**2 - 2 * s + 4)))
off = [np.abs((exact[k] - formula[k]) / error[k]).max() for k in (0, 1)]
found = f"MALA with steps from 0.1 to 3: the variance is 1, {off[0]:.1f} standard errors off (limit 4), acceptance"
lesson.claim(f"{found} {exact[1, 3]:.4f} at h = 2, {off[1]:.1f} off the arcsine formula (limit 4)", max(off) < 4)
(forgot, rate), (error, _) = measure(lambda x, h: mala(x, bowl, h, 1.0, normal(x), uniform(x), forget=True), s)
off, holds = np.abs((forgot - 2 / (4 - s)) / error).max(), 0.88 < rate[0] < 0.92 and 0.47 < forgot[0] < 0.55
found = f"without q, h = 0.1: acceptance {rate[0]:.3f} (0.88 to 0.92), variance {forgot[0]:.3f} (0.47 to 0.55); at all"
lesson.claim(f"{found} steps 2 / (4 - h), {off:.1f} standard errors off (limit 4)", holds and off < 4)

g, bins = np.linspace(0.01, 3, 180), 72 / (2 * np.pi)  # step sizes; bins per rad
rows = ("unadjusted", blue, h, wide, 1 / (1 - g / 2)), ("the slip: noise √h", red, h, thin, 1 / (2 - g))
rows += ("MALA", black, s, exact[0], g**0), ("MALA without q", gold, s, forgot, 2 / (4 - g))
fig, axes = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
for (T, share), colour in zip(shares.items(), (blue, gold, red)):
    axes[0].bar(angle, share * bins, 1 / bins, color=colour, alpha=0.35)
    axes[0].plot(angle, boltzmann(T) * bins, color=colour, lw=2, label=f"T = {T}")
for name, colour, where, variance, theory in rows:
    axes[1].plot(where, variance, "o", color=colour, label=name)
    axes[1].plot(g, np.where((theory > 0) & (theory < 4.5), theory, np.nan), color=colour)
axes[0].set(xlabel="angle (rad)", ylabel="density (1/rad)", title="A pendulum in warm air (lines: Boltzmann's law)")
axes[1].set(xlabel="step size h", ylabel="variance (should be 1)", title="The bowl at T = 1 (lines: theory)")
axes[0].legend(frameon=False)
axes[1].legend(frameon=False)
lesson.figure(fig)

# %% [markdown]
# (Why an arcsine: by detailed balance MALA's acceptance is twice the probability of $|y| < |x|$, that is, of $x - y$
# and $x + y$ having one sign. For two Gaussians that is an angle.)
#
# **The slip that looks healthy.** Leave out $q$: nine of ten proposals are accepted, the chain wanders nicely, and the
# variance is half. Why? The bare ratio $p(y)/p(x)$ multiplies by $p$ the law that the proposals keep on their own. If
# they favour no direction, that law is flat, and flat times $p$ is right. But ULA's own law is nearly $p$ already, and
# $p$ times $p$ is $e^{-2U}$. (In the bowl $1/V = 1 + (1 - h/2)$.)
#
# ## How much is a chain worth?
#
# Neighbours in a chain are alike, so $N$ draws tell less than $N$ independent ones. Let $\rho_t$ be the correlation of
# draws $t$ steps apart. The mean of $N$ draws of variance $V$ has variance $\frac VN(1 + 2\rho_1 + 2\rho_2 + \dots)$,
# like that of $\mathrm{ESS} = N / (1 + 2\rho_1 + \dots)$ independent ones, the **effective sample size**. So it has the
# **Monte-Carlo standard error** $\sqrt{V/\mathrm{ESS}}$. At large $t$ an estimated $\rho_t$ is mere noise; we add in
# pairs and stop at the first negative one (Geyer, 1992).
#
# Has the chain been everywhere? Alone it cannot know. So start several, far apart. **R-hat** (Gelman and Rubin, 1992)
# is $\sqrt{V/W}$, where $W$ is the variance within each chain and $V$ adds how their means scatter. It is 1 if all tell
# the same; above 1.01 they have not met yet. We try it on two valleys, $U = 12(x^2 - 1)^2$.

# %%
within = lambda draws: draws.var(axis=-1, ddof=1).mean(axis=-1)  # W, of draws (..., chains, n)
r_hat = lambda x: np.sqrt(1 - 1 / x.shape[-1] + x.mean(axis=-1).var(axis=-1, ddof=1) / within(x))


def ess(draws):
    n, W = draws.shape[1], within(draws)
    wave = np.fft.rfft(draws - draws.mean(axis=1, keepdims=True), 2 * n)  # a fast way to all lags at once
    covariance = np.fft.irfft(np.abs(wave) ** 2)[:, :n].mean(axis=0) / n
    pairs = (1 - (W - covariance) / (W * r_hat(draws) ** 2))[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    return draws.size / (2 * pairs[: np.argmax(pairs < 0)].sum() - 1)


draws = record(lambda x: langevin(x, bowl, 0.2, 1.0, normal(x)), normal(np.ones(400)), 1000)
worth = ess(draws) / draws.size
scatter = draws.mean(axis=1).std() / np.sqrt(draws.var() / (worth * 1000))
found = f"a draw of ULA, h = 0.2, is worth {worth:.3f} independent ones (0.1 to 0.122; h / (2 - h) is 0.111); 400 means"
holds = 0.1 < worth < 0.122 and 0.85 < scatter < 1.15
lesson.claim(f"{found} of 1000 draws scatter {scatter:.2f} times as that says (0.85 to 1.15)", holds)
valleys, start = (lambda x: 12 * (x**2 - 1) ** 2, lambda x: 48 * x * (x**2 - 1)), np.repeat([-1.0, 1.0], 4)
stuck = record(lambda x: mala(x, valleys, 0.01, 1.0, normal(x), uniform(x))[0], start, 1000)
both, left = r_hat(stuck), r_hat(stuck[:4])
found = f"two valleys: R-hat {both:.1f} (above 3), of the four chains on the left alone {left:.3f} (below 1.02)"
lesson.claim(f"{found}, though their mean is {stuck[:4].mean():.2f} instead of 0", both > 3 and left < 1.02)

# %% [markdown]
# **R-hat cannot see a valley in which no chain has been.** Now the library: the same noise must lead its chains the
# same way. Its `diagnostics` cut each chain in halves, so that a slow drift shows too, and R-hat is taken of ranks.

# %%
log_prob = samplers.from_energy((lambda x: pendulum[0](x)[:, 0], pendulum[1]))  # or any function of tensors
free, held = (kernel(log_prob, 0.5, temperature=0.3) for kernel in (samplers.ula, samplers.mala))
x, y, s, t, gap = start, start, free.init(start[:, None]), held.init(start[:, None]), 0.0
for a, u in zip(rng.standard_normal((200, 8)), rng.random((200, 8))):
    x, y = langevin(x, pendulum, 0.5, 0.3, a), mala(y, pendulum, 0.5, 0.3, a, u)[0]
    s, t = free.transition(s, a[:, None])[0], held.transition(t, a[:, None], u)[0]
    gap = max(gap, np.abs(x - s.position[:, 0]).max(), np.abs(y - t.position[:, 0]).max())
halves = np.concatenate([draws[:, :500], draws[:, 500:]])
off = abs(ess(halves) / diagnostics.ess_mean(draws) - 1), abs(r_hat(halves) - diagnostics.rhat(draws))
found = f"in 200 steps samplers.ula and mala are {gap:.0e} from ours (limit 1e-9), ESS {off[0]:.1%} (2 %), R-hat"
lesson.claim(f"{found} {off[1]:.0e} (1e-3)", gap < 1e-9 and off[0] < 0.02 and off[1] < 1e-3)

# %% [markdown]
# ## Something larger: two photographs of a pendulum
#
# We find two photographs of a swinging pendulum, taken after 1.5 and 3 s, so blurred that each angle is off by 0.3 rad
# (SD). Which pendulum was it? Before we look we expect $\theta_0 = 1 \pm 0.3$ rad, $\omega_0 = 1 \pm 0.3$ rad/s and
# $g/L = 6.5 \pm 1.5$ /s², all Gaussian. Bayes' rule gives the **posterior**, the density of what it may have been, but
# for a factor: its $U$ is half the sum of the squared misfits to the photographs and to what we expected. The slope
# runs back through the whole simulation (lesson 3). The usual answer is **least squares**: the lowest $U$, and an error
# bar from the curvature there. But a slow pendulum may fit as well as a fast one, and then there are two valleys.
#
# Here temperature helps. **Parallel tempering** runs a chain at each of $T = 1, 2, 4, 8$. Hot ones cross the ridge, and
# neighbours swap places with probability $\min(1, e^{(1/T_i - 1/T_j)(U_i - U_j)})$, which keeps both laws. Only the
# draws at $T = 1$ count. We judge both methods on 400 pendulums whose truth we know.

# %%
n, N = 400, 300 if lesson.quick else 1000
factors = lambda z: z * np.array([0.3, 0.3, 1.5]) + np.array([1.0, 1.0, 6.5])  # each z is from N(0, 1)


def swing(theta, omega, g_over_l):
    """The angles at 0.05, 0.1, ..., 3 s, by the Verlet rule of lesson 1; omega runs half a step ahead."""
    omega, path = omega - 0.025 * g_over_l * ops.sin(theta), []
    for _ in range(60):
        path.append(theta := theta + 0.05 * omega)
        omega = omega - 0.05 * g_over_l * ops.sin(theta)
    return ops.concatenate(path, axis=-1)


photographs = lambda z: swing(*ops.split(factors(z), 3, axis=-1))[..., 29::30]
truth = np.repeat(rng.standard_normal((n, 3)), 2, axis=0)  # two chains for each pendulum, all in one batch
seen = photographs(truth) + 0.3 * np.repeat(rng.standard_normal((n, 2)), 2, axis=0)
misfits = lambda z: ops.concatenate([(photographs(z) - seen) / 0.3, z], axis=-1)
log_posterior = lambda z: -0.5 * ops.sum(misfits(z) ** 2, axis=-1)
kernel = samplers.Tempering(samplers.mala(log_posterior, 0.2), (1, 2, 4, 8))
z, _ = samplers.sample(kernel, rng.standard_normal((2 * n, 3)), N, rng, warmup=N // 4, progress=False)  # (2 n, N, 3)
apart = r_hat(np.moveaxis(z.reshape(n, 2, N, 3), 3, 1)).max(axis=1)
pooled = z.reshape(n, 2 * N, 3)
low, high = np.quantile(pooled[..., 2], (0.05, 0.95), axis=1)
inside = np.mean((low < truth[::2, 2]) & (truth[::2, 2] < high))
found = f"90 % intervals of g/L hold {inside:.1%} of 400 true values (84 to 96, four standard errors each way)"
met = np.mean(apart < 1.1)
lesson.claim(f"{found}, R-hat is below 1.1 for {met:.1%} (above 88)", 0.84 < inside < 0.96 and met > 0.88)

best = z[np.arange(2 * n), np.argmax([log_posterior(each) for each in np.moveaxis(z, 1, 0)], axis=0)]
frozen = samplers.ula(log_posterior, 0.02, temperature=1e-12)  # without heat a chain ends at the lowest U
best = samplers.sample(frozen, best, 1, rng, warmup=500, progress=False)[0][:, 0]
J = np.stack([(misfits(best + e) - misfits(best - e)) / 2e-5 for e in 1e-5 * np.eye(3)], axis=-1)
bar = 1.645 * np.sqrt(np.linalg.inv(np.swapaxes(J, 1, 2) @ J)[:, 2, 2])
plain = np.mean(np.abs(truth - best)[:, 2] < bar)
lesson.claim(f"those of least squares hold {plain:.1%} (at least 4 points fewer)", plain < inside - 0.04)

show, t = np.argmax((apart < 1.05) * pooled[..., 2].std(axis=1) / bar[::2]), 0.05 * np.arange(1, 61)
fig, ax = plt.subplots(figsize=(9.5, 5), layout="constrained")
for each in factors(pooled[show, :: N // 60]):
    ax.plot(t, swing(*each[:, None]), lw=0.6, color=red if each[2] < 6.5 else blue)
for name, where, style in (("the truth", truth, "--"), ("least squares", best, "-")):
    ax.plot(t, swing(*factors(where[2 * show])[:, None]), style, color=black, lw=2, label=name)
ax.errorbar([1.5, 3], seen[2 * show], 0.3, fmt="o", color=gold, ms=8, capsize=5, zorder=5, label="photographs")
ax.set(xlabel="time (s)", ylabel="angle (rad)", title="What may have been: slow pendulums (red) and fast ones (blue)")
ax.legend(frameon=False)
lesson.figure(fig, "_photographs")
lesson.end()

# %% [markdown]
# Least squares found a good answer and does not know that there is another. The chains show both, each as often as it
# deserves. And they ask only for $U$ and its slope, so $U$ may as well be a network.
#
# ## Exercises
#
# 1. `mala_half(x, energy, h, T, a, u)` in the other convention, with its own $q$: from the same noise, and with $h$
#    twice ours, it makes the steps of `mala` to 1e-12, refusals included.
# 2. Forget that the refused count again: average $x^2$ only over specks that have just moved. With $h = 2$ MALA in the
#    bowl then shows a variance between 1.08 and 1.10.
# 3. Cure the two valleys with `samplers.Tempering` at 1, 2, 4, 8, 16: eight chains from $x = -1$, 4000 draws each.
#    R-hat is below 1.02, and the share of draws on the right is 0.5 within four of its `diagnostics.mcse_mean`.
#
# ## Sources
#
# Langevin, C. R. Acad. Sci. 146 (1908); Metropolis et al., J. Chem. Phys. 21 (1953); Hastings, Biometrika 57 (1970);
# Roberts & Tweedie, *Exponential convergence of Langevin distributions*, Bernoulli 2 (1996); Gelman & Rubin, and Geyer,
# both Statistical Science 7 (1992); Vehtari et al., *Rank-normalization, folding, and localization: an improved R-hat*,
# Bayesian Analysis 16 (2021); Geyer, *Markov chain Monte Carlo maximum likelihood* (1991), for tempering.
