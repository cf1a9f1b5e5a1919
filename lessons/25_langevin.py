# %% [markdown]
# # 25. Langevin dynamics: sampling by sliding down and being kicked
#
# *Part 6: energies. 240 minutes.*
#
# **At the end you can** draw from a density of which you know only the slope of its logarithm, make the draws exact
# with one more line, recognise the common slips by their numbers, and say how far a chain of draws can be trusted.
#
# **It stands on** Boltzmann's law (lesson 24), gradients (4), the normal distribution (10) and Bayes' rule (12).
#
# In lesson 24 every energy $U$ became a density, $p(x) = e^{-U(x)/T}/Z$ at temperature $T$. We drew from it by a grid
# of cells, of which many dimensions have too many. Nature has another way. A speck of dust on a thread is a pendulum
# too; air brakes it so much that it keeps no velocity, and molecules kick it from all sides. It slides downhill in $U$,
# is kicked up again, never rests: after a while its place is a draw from $p$. It feels the slope of $U$ only, not $Z$.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import ops, samplers
from minigen.samplers import diagnostics

lesson = Lesson("25_langevin")
rng, black, blue, red, gold = lesson.rng, "#000", "#1f5fa8", "#b3261e", "#d9822b"
normal, uniform = lambda x: rng.standard_normal(x.shape), lambda x: rng.random(x.shape)
pendulum = (
    lambda x: 1 - np.cos(x),
    np.sin,
)  # an energy and its slope; x in rad, U in units of m g L
bowl = lambda x: x**2 / 2, lambda x: x


def langevin(x, energy, h, T, a):
    """One step of size h for specks at x: slide, then a kick by a, from N(0, 1)."""
    return x - h * energy[1](x) + np.sqrt(2 * h * T) * a


record = lambda step, x, n: np.stack(
    [x := step(x) for _ in range(n)], axis=1
)  # all places, (chains, n)
angle, bins, off = (
    np.linspace(-np.pi, np.pi, 145)[1::2],
    72 / (2 * np.pi),
    [],
)  # the middles of 72 bins; bins per rad
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
for T, colour in ((0.05, blue), (0.3, gold), (2.0, red)):
    x = record(
        lambda x, T=T: langevin(x, pendulum, 0.05, T, normal(x)), np.zeros(2000), 800
    )[:, 400:]  # once warm
    share = np.histogram((x + np.pi) % (2 * np.pi), 72, (0, 2 * np.pi))[0] / x.size
    law, seen = (
        ops.softmax(-pendulum[0](angle) / T),
        share > 0,
    )  # softmax: exp, and then divided by the sum
    off.append(share[seen] @ np.log(share[seen] / law[seen]))  # KL (lesson 10)
    left.bar(angle, share * bins, 1 / bins, color=colour, alpha=0.35)
    left.plot(angle, law * bins, color=colour, lw=2, label=f"T = {T}")
lesson.verdict(
    f"the angles follow exp(-U/T), to a KL of {max(off):.4f} nats or less (limit 0.01)",
    max(off) < 0.01,
)

# %% [markdown]
# ## How hard is the kick?
#
# Our rule is $x' = x - h\,U'(x) + \sqrt{2hT}\,a$ with $a$ from $\mathcal N(0, 1)$. Why $\sqrt{2hT}$? Try a kick of any
# SD $s$ in a bowl, $U = x^2/2$, where Boltzmann's law is $\mathcal N(0, T)$. A step makes $x' = (1 - h)x + s a$, so the
# variance $V$ no longer changes once $V = (1 - h)^2 V + s^2$:
#
# $$ V = \frac{s^2}{2h - h^2}, \qquad\text{with } s^2 = 2hT: \quad V = \frac{T}{1 - h/2}. $$
#
# For small $h$ this is $T$, as it should be. For larger ones it is too wide, by a share of about $h/2$: a **bias**,
# which no number of draws cures. The chain is called **unadjusted** Langevin, ULA.
#
# **Two conventions.** Many texts write $x' = x - \tfrac h2 U' + \sqrt{hT}\,a$. If their $h$ is twice ours, that is the
# same chain. A common slip takes the drift from one and the noise from the other: $-h\,U'$ with $\sqrt{hT}\,a$. This is
# half the temperature: at $T = 1$ it samples $e^{-2U}$. In the bowl $V$ is $1/(2 - h)$, near half of what is due.


# %%
def try_out(
    name, colour, step, h, theory, chains=4000, n=600 if lesson.quick else 2500
):
    """Hold a rule's variance in the bowl against theory, at step sizes h; give its acceptance and that one's error."""
    x, sums = np.zeros((len(h), chains)), np.zeros((2, len(h), chains))
    for i in range(300 + n):
        x, acceptance = step(x, h[:, None])
        sums += (i >= 300) * np.stack([x**2, acceptance]) / n
    (variance, rate), (error, rate_error) = (
        sums.mean(axis=-1),
        sums.std(axis=-1) / np.sqrt(chains),
    )
    off, line = np.abs((variance - theory(h)) / error).max(), np.linspace(0.05, h[-1])
    found = f"{name}, h = {', '.join(map(str, h))}: variance {', '.join(f'{v:.3f}' for v in variance)}; the formula is"
    lesson.verdict(f"{found} {off:.1f} standard errors off at most (limit 4)", off < 4)
    right.plot(h, variance, "o", color=colour, label=name)
    right.plot(line, theory(line), color=colour)
    return rate, rate_error


small, large = np.array([0.1, 0.2, 0.5, 1.0, 1.5]), np.array([0.1, 0.5, 1.0, 2.0, 3.0])
try_out(
    "ULA",
    blue,
    lambda x, h: (langevin(x, bowl, h, 1, normal(x)), x**0),
    small,
    lambda h: 1 / (1 - h / 2),
)
try_out(
    "the slip",
    red,
    lambda x, h: (x - h * x + np.sqrt(h) * normal(x), x**0),
    small,
    lambda h: 1 / (2 - h),
)

# %% [markdown]
# ## One more line makes it exact
#
# Let $q(y \mid x) = \mathcal N(y;\, x - hU'(x),\, 2hT)$ be the density of our rule: where it goes from $x$. If as many
# specks hop from $x$ to $y$ as from $y$ to $x$, for every pair, then $p$ stays $p$: **detailed balance**. With finite
# steps these flows, $p(x)\, q(y \mid x)$ and $p(y)\, q(x \mid y)$, differ. So take the step as a mere *proposal*, and
# accept it with probability ($Z$ cancels)
#
# $$ A(x, y) = \min\Big(1,\ \frac{p(y)\, q(x \mid y)}{p(x)\, q(y \mid x)}\Big). $$
#
# Both flows then are the smaller of the two old ones. A speck that is refused stays where it is and *counts once more*.
# This is the rule of Metropolis and Hastings; with Langevin's proposal it is **MALA**, Metropolis-adjusted Langevin.
# (By detailed balance it accepts twice as often as $|y| < |x|$. For Gaussians that is an angle: hence the arcsine.)


# %%
def log_acceptance(x, y, energy, h, T, forget=False):
    log_q = lambda y, x: (
        -((y - x + h * energy[1](x)) ** 2) / (4 * h * T)
    )  # its constant cancels
    log_ratio = (energy[0](x) - energy[0](y)) / T
    return np.minimum(log_ratio if forget else log_ratio + log_q(x, y) - log_q(y, x), 0)


def mala(x, energy, h, T, a, u, forget=False):
    """One step, u being uniform on [0, 1): the new places, and how probable it was that the proposal is accepted."""
    y = langevin(x, energy, h, T, a)
    A = np.exp(log_acceptance(x, y, energy, h, T, forget))
    return np.where(u < A, y, x), A


x, y = rng.uniform(-3, 3, size=(2, 10_000))
hop = lambda x, y: (
    -pendulum[0](x) / 0.3 - (y - x + 0.5 * np.sin(x)) ** 2 / (4 * 0.5 * 0.3)
)  # log of p(x) q(y | x)
flow = lambda x, y, forget: hop(x, y) + log_acceptance(x, y, pendulum, 0.5, 0.3, forget)
off, wrong = (
    np.abs(flow(x, y, forget) - flow(y, x, forget)) for forget in (False, True)
)
found = f"for 10000 pairs the logs of both flows are equal to {off.max():.0e} (limit 1e-12); without q they differ by"
lesson.verdict(
    f"{found} {np.median(wrong):.1f} in the median (above 0.5)",
    off.max() < 1e-12 and np.median(wrong) > 0.5,
)

step = lambda x, h, forget=False: mala(x, bowl, h, 1, normal(x), uniform(x), forget)
rate, error = try_out("MALA", black, step, large, lambda h: h**0)
arcsine = 1 - 2 / np.pi * np.arcsin(
    large**2 / np.sqrt((large**2 + 2 * large) * (large**2 - 2 * large + 4))
)
off = np.abs((rate - arcsine) / error).max()
lesson.verdict(
    f"MALA accepts {rate[3]:.4f} at h = 2; its formula is {off:.1f} standard errors off (limit 4)",
    off < 4,
)
rate, _ = try_out(
    "MALA without q", gold, lambda x, h: step(x, h, True), large, lambda h: 2 / (4 - h)
)
lesson.verdict(
    f"without q, h = 0.1, it accepts {rate[0]:.3f} (0.88 to 0.92)",
    0.88 < rate[0] < 0.92,
)
left.set(
    xlabel="angle (rad)",
    ylabel="density (1/rad)",
    title="A pendulum in warm air (lines: Boltzmann's law)",
)
right.set(
    xlabel="step size h",
    ylabel="variance (should be 1)",
    title="The bowl at T = 1 (lines: theory)",
)
left.legend(frameon=False)
right.legend(frameon=False)
lesson.save(fig)

# %% [markdown]
# **The slip that looks healthy.** Leave out $q$: nine of ten proposals are accepted, the chain wanders nicely, and the
# variance is half. Why? To accept by $p(y)/p(x)$ alone multiplies the law that the proposals keep by themselves with
# $p$. If they favour no direction, that law is flat, and flat times $p$ is right. But ULA's own law is nearly $p$
# already, and $p$ times $p$ is $e^{-2U}$. (In the bowl $1/V = 1 + (1 - h/2)$, so $V = 2/(4 - h)$.)
#
# ## How much is a chain worth?
#
# Neighbours in a chain are alike, so $N$ draws tell less than $N$ independent ones. With $\rho_t$ the correlation of
# draws $t$ steps apart and $V$ their variance, their mean has variance $\frac VN(1 + 2\rho_1 + 2\rho_2 + \dots)$, that
# of $\mathrm{ESS} = N / (1 + 2\rho_1 + \dots)$ independent ones, the **effective sample size**. The mean's SD,
# $\sqrt{V/\mathrm{ESS}}$, is the **Monte-Carlo standard error**. (We stop where a pair is noise, below 0.)
#
# Has the chain been everywhere? Alone it cannot know. So start several, far apart. **R-hat** (Gelman and Rubin, 1992)
# is $\sqrt{V/W}$, where $W$ is the variance within each chain and $V$ adds how their means scatter. It is 1 if all tell
# the same; above 1.01 they have not met yet. We try both: in the bowl, where $\rho_t = (1 - h)^t$ makes a draw worth
# $h/(2 - h)$ independent ones, and in two valleys, $U = 12(x^2 - 1)^2$.


# %%
def ess(draws):
    d, n, W = draws - draws.mean(axis=1, keepdims=True), draws.shape[1], within(draws)
    V, total, t = W * r_hat(draws) ** 2, 0.0, 0
    rho = lambda t: (
        (np.sum(d[:, t:] * d[:, : n - t]) / d.size + V - W) / V
    )  # within chains, and what their means add
    while (pair := rho(t) + rho(t + 1)) > 0:
        total, t = total + pair, t + 2
    return d.size / (2 * total - 1)


within = lambda draws: draws.var(axis=-1, ddof=1).mean(
    axis=-1
)  # W, of draws (..., chains, n)
r_hat = lambda x: np.sqrt(
    1 - 1 / x.shape[-1] + x.mean(axis=-1).var(axis=-1, ddof=1) / within(x)
)
draws = record(
    lambda x: langevin(x, bowl, 0.2, 1.0, normal(x)), normal(np.ones(400)), 1000
)
worth = ess(draws) / draws.size
scatter = draws.mean(axis=1).std() / np.sqrt(draws.var() / (worth * 1000))
lesson.verdict(
    f"a draw of ULA, h = 0.2, is worth {worth:.3f} independent ones (0.1 to 0.122)",
    0.1 < worth < 0.122,
)
lesson.verdict(
    f"400 means of 1000 draws scatter {scatter:.2f} times as that says (0.85 to 1.15)",
    0.85 < scatter < 1.15,
)
valleys, start = (
    (lambda x: 12 * (x**2 - 1) ** 2, lambda x: 48 * x * (x**2 - 1)),
    np.repeat([-1.0, 1.0], 4),
)
stuck = record(
    lambda x: mala(x, valleys, 0.01, 1.0, normal(x), uniform(x))[0], start, 1000
)
both, one = r_hat(stuck), r_hat(stuck[:4])
found = f"two valleys: R-hat {both:.1f} (above 3), of the four chains on the left alone {one:.3f} (below 1.02)"
lesson.verdict(
    f"{found}, though their mean is {stuck[:4].mean():.2f} instead of 0",
    both > 3 and one < 1.02,
)

# The library: the same noise must lead its chains the same way; its diagnostics cut chains in halves, for slow drifts.
log_prob = samplers.from_energy(
    (lambda x: pendulum[0](x)[:, 0], pendulum[1])
)  # or any function of tensors
free, held = (
    kernel(log_prob, 0.5, temperature=0.3) for kernel in (samplers.ula, samplers.mala)
)
x, y, s, t, gap = (
    start,
    start,
    free.init(start[:, None]),
    held.init(start[:, None]),
    0.0,
)  # x, y ours; s, t its states
for a, u in zip(rng.standard_normal((200, 8)), rng.random((200, 8))):
    x, y = langevin(x, pendulum, 0.5, 0.3, a), mala(y, pendulum, 0.5, 0.3, a, u)[0]
    s, t = free.transition(s, a[:, None])[0], held.transition(t, a[:, None], u)[0]
    gap = max(
        gap, np.abs(x - s.position[:, 0]).max(), np.abs(y - t.position[:, 0]).max()
    )
halves = np.concatenate([draws[:, :500], draws[:, 500:]])
off = (
    abs(ess(halves) / diagnostics.ess_mean(draws) - 1),
    abs(r_hat(halves) - diagnostics.rhat(draws)),
)
found = f"in 200 steps samplers.ula and mala are {gap:.0e} from ours (limit 1e-9), ESS {off[0]:.1%} (2 %), R-hat"
lesson.verdict(
    f"{found} {off[1]:.0e} (1e-3)", gap < 1e-9 and off[0] < 0.02 and off[1] < 1e-3
)

# %% [markdown]
# ## Something larger: two photographs of a pendulum
#
# **R-hat cannot see a valley in which no chain has been.** And valleys lie where one does not expect them. We find two
# photographs of a swinging pendulum, taken after 1.5 and 3 s, so blurred that each angle is off by 0.3 rad (SD). Which
# pendulum was it? Before we look we expect $\theta_0 = 1 \pm 0.3$ rad, $\omega_0 = 1 \pm 0.3$ rad/s,
# $g/L = 6.5 \pm 1.5$ /s², all Gaussian. By Bayes' rule the **posterior**, the density of what it may have been, has as
# its $U$ half the sum of squared misfits, in SDs, to the photographs and to what we expected; its slope runs back
# through the simulation. The usual answer is **least squares**: the lowest $U$, with an error bar from the curvature
# there. But a slow pendulum may fit as well as a fast one, and then there are two valleys.
#
# Here temperature helps. **Parallel tempering** runs a chain at each of $T = 1, 2, 4, 8$. Hot ones cross the ridge, and
# neighbours swap places with probability $\min(1, e^{(1/T_i - 1/T_j)(U_i - U_j)})$, which keeps both laws. Only the
# draws at $T = 1$ count. We judge both methods on 400 pendulums whose truth we know.


# %%
def swing(theta, omega, g_over_l):
    """The angles at 0.05, 0.1, ..., 3 s, by the Verlet rule of lesson 1; omega runs half a step ahead."""
    omega, path = omega - 0.025 * g_over_l * ops.sin(theta), []
    for _ in range(60):
        path.append(theta := theta + 0.05 * omega)
        omega = omega - 0.05 * g_over_l * ops.sin(theta)
    return ops.concatenate(path, axis=-1)


n, N = 400, 300 if lesson.quick else 1000  # pendulums; draws of each chain
factors = lambda z: (
    z * np.array([0.3, 0.3, 1.5]) + np.array([1.0, 1.0, 6.5])
)  # we expect z from N(0, I)
photographs = lambda z: swing(*ops.split(factors(z), 3, axis=-1))[
    ..., 29::30
]  # at 1.5 and 3 s
truth = np.repeat(
    rng.standard_normal((n, 3)), 2, axis=0
)  # two chains for each pendulum, all in one batch
seen = photographs(truth) + 0.3 * np.repeat(rng.standard_normal((n, 2)), 2, axis=0)
misfits = lambda z: ops.concatenate([(photographs(z) - seen) / 0.3, z], axis=-1)
log_posterior = lambda z: -0.5 * ops.sum(misfits(z) ** 2, axis=-1)
kernel = samplers.Tempering(samplers.mala(log_posterior, 0.2), (1, 2, 4, 8))
z, _ = samplers.sample(
    kernel, rng.standard_normal((2 * n, 3)), N, rng, warmup=N // 4, progress=False
)  # (2 n, N, 3)
apart = r_hat(np.moveaxis(z.reshape(n, 2, N, 3), 3, 1)).max(
    axis=1
)  # the worst of three factors
pooled = z.reshape(n, 2 * N, 3)
low, high = np.quantile(pooled[..., 2], (0.05, 0.95), axis=1)
inside, met = (
    np.mean((low < truth[::2, 2]) & (truth[::2, 2] < high)),
    np.mean(apart < 1.1),
)
lesson.verdict(
    f"90 % intervals of g/L hold {inside:.1%} of 400 true values (90 within 6)",
    0.84 < inside < 0.96,
)
lesson.verdict(
    f"R-hat is below 1.1 for {met:.1%} of the pendulums (above 88)", met > 0.88
)

best = z[
    np.arange(2 * n),
    np.argmax([log_posterior(each) for each in np.moveaxis(z, 1, 0)], axis=0),
]
frozen = samplers.ula(
    log_posterior, 0.02, temperature=1e-12
)  # without heat a chain ends at the lowest U
best = samplers.sample(frozen, best, 1, rng, warmup=500, progress=False)[0][:, 0]
J = np.stack(
    [(misfits(best + e) - misfits(best - e)) / 2e-5 for e in 1e-5 * np.eye(3)], axis=-1
)
bar = 1.645 * np.sqrt(
    np.linalg.inv(np.swapaxes(J, 1, 2) @ J)[:, 2, 2]
)  # 90 % of a Gaussian are within 1.645 SD
plain = np.mean(np.abs(truth - best)[:, 2] < bar)
lesson.verdict(
    f"the intervals of least squares hold {plain:.1%} (at least 4 points fewer)",
    plain < inside - 0.04,
)

show = np.argmax(
    (apart < 1.05) * pooled[..., 2].std(axis=1) / bar[::2]
)  # where both methods differ most
(fig, ax), t = (
    plt.subplots(figsize=(9.5, 5), layout="constrained"),
    0.05 * np.arange(1, 61),
)
for each in factors(pooled[show, :: N // 60]):
    ax.plot(t, swing(*each[:, None]), lw=0.6, color=red if each[2] < 6.5 else blue)
for name, where, style in (("the truth", truth, "--"), ("least squares", best, "-")):
    ax.plot(
        t,
        swing(*factors(where[2 * show])[:, None]),
        style,
        color=black,
        lw=2,
        label=name,
    )
ax.errorbar(
    [1.5, 3],
    seen[2 * show],
    0.3,
    fmt="o",
    color=gold,
    ms=8,
    capsize=5,
    zorder=5,
    label="photographs",
)
ax.set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    title="What may have been: slow pendulums (red) and fast ones (blue)",
)
ax.legend(frameon=False)
lesson.save(fig, "photographs")
lesson.end()

# %% [markdown]
# Least squares found a good answer and does not know that there is another. The chains show both, each as often as it
# deserves. And they ask only for $U$ and its slope, so $U$ may as well be a network.
#
# ## Exercises
#
# 1. `mala_half(x, energy, h, T, a, u)`, in the other convention: with $h$ twice ours it takes `mala`'s steps to 1e-12.
# 2. Do not count the refused again: average $x^2$ over specks that just moved. MALA at $h = 2$ then shows 1.08 to 1.10.
# 3. Cure the two valleys with `samplers.Tempering` at 1, 2, 4, 8, 16: eight chains from $x = -1$, 4000 draws each.
#    R-hat is below 1.02, and the share of draws on the right is 0.5 within four of its `diagnostics.mcse_mean`.
#
# ## Sources
#
# Langevin, C. R. Acad. Sci. 146 (1908); Metropolis et al., J. Chem. Phys. 21 (1953); Hastings, Biometrika 57 (1970);
# Roberts & Tweedie, Bernoulli 2 (1996): MALA; Gelman & Rubin, and Geyer, both Statistical Science 7 (1992); Vehtari et
# al., Bayesian Analysis 16 (2021): R-hat of ranks; Geyer, *Computing Science and Statistics* (1991): tempering.
