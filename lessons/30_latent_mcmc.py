# %% [markdown]
# # 30. Chains in latent space: can an energy mend its generator?
#
# *Part 6: energies. 360 minutes.*
#
# **At the end you can** run Langevin chains on a learned energy, among the data and in the latent space, find the
# temperature at which they help, say what law they follow, and notice when a chain looks good for a bad reason.
# **It stands on** the ring of 8 and its counts (lesson 19), Langevin chains and MALA (lesson 25), and the energy GAN
# (lesson 28): a generator $G$ that makes data $x$ of latent $z$, and an energy $U(x)$, low where data are.
#
# After training we usually keep $G$ and throw $U$ away. What a waste: $U$ knows which examples are poor. Start a chain
# at an example, let it slide down and be kicked, and it should end among the data. We try it on the ring, with a
# generator trained for a second only. As before we count **high quality**, the share within 3 SD of a mode (98.9 % for
# a perfect sampler), and the **spread**, 8 if all modes have equal shares. A chain can also be *too* tidy, so here is a
# third number, the **width**: the median distance to the nearest mode, in units of a perfect sampler's.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import grad, metrics, models, ops, samplers, targets, tensor

lesson = Lesson("30_latent_mcmc")
rng, black, blue, red, gold = lesson.rng, "#000", "#1f5fa8", "#b3261e", "#d9822b"
ring, n = targets.ring(), 300 if lesson.quick else 1000  # n chains at a time
data = ring.sample(20_000, rng)
to_mode = lambda x: np.linalg.norm(x[:, None] - ring.modes, axis=2)  # distances (n, 8)
settings = {
    "hidden": (64, 64),
    "critic_hidden": (64, 64),
    "average": 0,
}  # 0: no running mean of G's weights
train = lambda steps, r=0.02: models.EnergyGAN(2, steps=steps, r1=r, **settings).fit(
    data, rng=rng
)
poor, shallow, good = (
    train(500),
    train(500, r=0.2),
    train(1000 if lesson.quick else 4000),
)


def judge(x):  # share of high quality in %, spread, width
    found = metrics.mode_coverage(x, ring.modes, ring.sd)
    spread = 8 * np.exp(
        -found.reverse_kl
    )  # this KL is log 8 - H, with the entropy H of the shares
    usual = ring.sd * np.sqrt(
        2 * np.log(2)
    )  # half of a round Gaussian lies within this distance
    return 100 * found.high_quality, spread, np.median(to_mode(x).min(axis=1)) / usual


# %% [markdown]
# ## What does temperature 1 mean?
# A chain at **temperature** $T$ draws from $e^{-U/T}$. Which is right for a learned $U$? We give it every advantage and
# start at real data; what becomes of them is the energy's doing alone. The chain is MALA; `samplers.adapt` finds its
# step size. Three energies: our GAN's, held by the penalty $\frac r2\, \mathrm E |\nabla U|^2$ at real data with
# $r = 0.02$; another with $r = 0.2$; and lesson 24's `EnergyModel`, trained **by contrast**: $U$ falls at the data, and
# rises where short chains lead from there. The right $T$ is that of width 1, which we find between two tried.

# %%
contrast = models.EnergyModel(
    method="contrastive_divergence", chain_steps=5, lr=0.02, steps=800
).fit(data, rng=rng)
T = np.array([10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001])[
    :: 2 if lesson.quick else 1
]
one, cool, cold = (T.tolist().index(t) for t in (1, 0.1, 0.01))  # their places in T


def run(log_p, start, T=1.0):
    """Where 100 steps of MALA and of ULA lead, each (n, 2), and the share of MALA's chains that never moved."""
    tuned, _ = samplers.adapt(
        samplers.mala(log_p, temperature=T), start, rng, 100, progress=False
    )
    ula = samplers.ula(log_p, tuned.step_size, temperature=T)
    x, info = samplers.sample(
        tuned, start, 1, rng, thin=100, progress=False
    )  # one draw, after 100 steps
    free, _ = samplers.sample(ula, start, 1, rng, thin=100, progress=False)
    return (
        x[:, 0],
        free[:, 0],
        1 - info.is_accepted.mean(),
    )  # is_accepted: at least one of the 100 was


real = data[:n].astype(np.float32)
found = np.array(
    [
        [judge(run(each.log_density(), real, t)[0]) for t in T]
        for each in (poor, shallow, contrast)
    ]
)
right = [
    np.exp(np.interp(0, np.log(width[::-1]), np.log(T[::-1])))
    for width in found[:, :, 2]
]  # from cold to hot
hot, best, thin, times = (
    found[0, one, 0],
    found[0, cold, 0],
    found[0, cold, 2],
    right[0] / right[1],
)
says = f"on the GAN's energy {hot:.0f} % of real data stay good at T = 1 (below 20), {best:.0f} % at 0.01 (above 95)"
lesson.verdict(
    f"{says}, but of width {thin:.2f} (below 0.5)",
    hot < 20 and best > 95 and thin < 0.5,
)
says = f"the width is 1 at T = {right[0]:.3f}, with ten times the penalty at one {times:.0f} times lower (5 to 20),"
lesson.verdict(
    f"{says} by contrast at {right[2]:.2f} (0.35 to 1.6)",
    5 < times < 20 and 0.35 < right[2] < 1.6,
)

# %% [markdown]
# The GAN's game says only *lower here, higher there*. How much lower? At rest the entropy's weight decides (lesson 28),
# 0.03 by default. Far from rest the penalty does: with ten times the $r$ the same valleys are a tenth as deep. So
# $T = 1$ means nothing by itself; $1/T$ is a knob. Trained by contrast, $U$ has a unit, as it was compared with draws
# of $e^{-U}$: soon the right $T$ is near 1. And quality alone misleads: a cold chain freezes in its valley.
#
# ## The same chain for z
# In two dimensions one may well walk among the $x$. Between two good images, however, lie only bad ones. There one
# walks in $z$, as $G$ makes an example of every step. With $z$ comes its law $\mathcal N(0, I)$, the **prior**:
# $$ p_T(z) \propto e^{-U(G(z))/T}\; e^{-|z|^2/2}. $$
# $T$ divides $U$ alone: very hot, this is the generator again. By hand: its logarithm, its slope by the tape of lesson
# 3, and the step of lesson 25, at temperature 1, as $T$ is already inside $p_T$.

# %%
G, D = (
    poor.generator_,
    poor.critic_,
)  # the critic D is -U; between them data are scaled to mean 0 and SD 1
normal = lambda n: rng.standard_normal((n, 2), np.float32)


def slope(z, T):  # log p_T, but for a constant, and its gradient at z (n, 2)
    z = tensor(z, requires_grad=True)
    log_p = D(G(z))[:, 0] / T - 0.5 * ops.sum(z**2, axis=1)
    return log_p.data, grad(ops.sum(log_p), z).data


def mala(
    z, T, h, forget=False
):  # one step of size h: the new places, the acceptance A, the random numbers used
    a, u, h = normal(len(z)), rng.random(len(z)), np.float32(h)
    log_p, g = slope(z, T)
    y = z + h * g + np.sqrt(2 * h) * a
    log_py, gy = slope(y, T)
    log_q = lambda y, z, g: (
        -np.sum((y - z - h * g) ** 2, axis=1) / (4 * h)
    )  # of the proposal y from z
    back = 0 if forget else log_q(z, y, gy) - log_q(y, z, g)
    A = np.exp(np.minimum(log_py - log_p + back, 0))
    return np.where((u < A)[:, None], y, z), A, (a, u)


theirs, z = samplers.mala(poor.latent_log_density(3.0), 0.02), normal(200)
state = theirs.init(z)
for _ in range(50):
    z, A, used = mala(z, 3.0, 0.02)
    state, _ = theirs.transition(state, *used)
off = np.quantile(
    np.abs(z - state.position).max(axis=1), 0.98
)  # where u is all but A, rounding may decide
lesson.verdict(
    f"after 50 steps of samplers.mala 98 % of its chains are where ours are, to {off:.0e} (1e-4)",
    off < 1e-4,
)

# %% [markdown]
# ## Is it right? The exact law on a grid
# For two latents we can write $p_T$ on a fine grid and divide by the sum. That makes a judge: start chains *at* the
# law, by drawing a grid point and a place in its cell. A right chain stays there, however slowly it moves; a wrong one
# drifts off. We watch the mean of $|z|^2/2$, which is 1 under the prior. And we **forget the proposal ratio** $q$, as
# in lesson 25. The step is that of acceptance 0.574, best in many dimensions (Roberts & Rosenthal, 1998), here a habit.
#
# **And forget the prior.** Far out $G$'s tanh units are at $\pm 1$, and $U(G(z))$ no longer changes. So the sum of
# $e^{-U(G(z))/T}$ over all $z$ is infinite: there is no law to come to. The chain wanders like a speck on a level
# floor, whose mean of $|z|^2/2$ grows by $2hN$ in $N$ steps, into places for which the generator was never trained.

# %%
side = np.linspace(-4.5, 4.5, 451 if lesson.quick else 901, dtype=np.float32)
Z, cell = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), side[1] - side[0]
in_blocks = lambda f: np.concatenate(
    [f(block) for block in np.array_split(Z, 32)]
)  # saves memory
U, distance = (
    in_blocks(lambda z: poor.energy(poor.generate(z))),
    in_blocks(lambda z: to_mode(poor.generate(z))),
)
half_square = np.sum(Z.astype(float) ** 2, axis=1) / 2


def law(T):  # chance of each grid point under p_T, share of high quality in %, spread
    p = ops.softmax(-U / T - half_square)  # exp, and then divided by the sum
    shares = np.bincount(distance.argmin(axis=1), p, 8) + 1e-300  # 0 log 0 shall be 0
    return (
        p,
        100 * p @ (distance.min(axis=1) < 3 * ring.sd),
        np.exp(-np.sum(shares * np.log(shares))),
    )


p, exact, _ = law(1)
truth, chains = p @ half_square, 2 * n
start = lambda: (
    Z[rng.choice(len(Z), chains, p=p)]
    + cell * (rng.random((chains, 2), np.float32) - np.float32(0.5))
)
h = samplers.adapt(
    samplers.mala(poor.latent_log_density()), start(), rng, 300, progress=False
)[0].step_size
results = []
for forget in (False, True):
    z, size, rate = start(), 0, 0
    for i in range(240):
        z, A, _ = mala(z, 1, h, forget)
        if i >= 120:  # by then a wrong chain has left
            size, rate = size + np.sum(z**2, axis=1) / 2 / 120, rate + A.mean() / 120
    error = size.std() / np.sqrt(chains)
    results.append((size.mean(), abs(size.mean() - truth) / error, rate))
(m, off, rate), (wrong, far, lax) = results
says = f"T = 1: mean |z|^2/2 is {truth:.3f} on the grid, {m:.3f} by MALA, {off:.1f} standard errors off (limit 4);"
lesson.verdict(
    f"{says} without q {wrong:.3f}, {far:.0f} off (above 8), though it accepts {lax:.2f}",
    off < 4 and far > 8,
)
lesson.verdict(
    f"at the step that adapt() found it accepts {rate:.3f} (0.574 within 0.04)",
    abs(rate - 0.574) < 0.04,
)
walk = lambda prior: poor.latent_chain(
    500, rng, steps=500, step_size=h, prior=prior, progress=False
)
held, free = (
    np.mean(walk(True) ** 2),
    np.mean(walk(False) ** 2),
)  # over both coordinates: means of |z|^2 / 2
says = f"after 500 steps mean |z|^2/2 is {held:.2f} with the prior (1 to 1.6), {free:.0f} without (above 10;"
lesson.verdict(
    f"{says} a free speck would have {1 + 1000 * h:.0f})", 1 < held < 1.6 and free > 10
)

# %% [markdown]
# ## Where it helps, and where it hurts
# Chains of 100 steps from the prior, for the half-trained generator and one that trained longer: MALA, and at the same
# step **ULA**, which is lesson 25's chain without refusals. Beside them two plain ways without an energy:
# **truncation** redraws latent variables beyond a limit, **latent temperature** changes their variance.

# %%
by_mala, by_ula = np.empty((2, 2, len(T), 3))  # of each: GAN, T, what judge() says
mended, still = {}, np.empty((2, len(T)))
for k, gan in enumerate((poor, good)):
    for i, t in enumerate(T):
        z, free, still[k, i] = run(gan.latent_log_density(t), normal(n))
        mended[k, i] = gan.generate(z)
        by_mala[k, i], by_ula[k, i] = judge(mended[k, i]), judge(gan.generate(free))
by_law = np.array(
    [law(t)[1:] for t in T[: cool + 1]]
)  # for colder ones the grid is too coarse
low, own = (
    judge(poor.sample(5000, rng))[0],
    judge(good.sample(5000, rng))[0],
)  # quality without a chain
(top, best), kept, lost = (
    by_mala[:, :, 0].max(axis=1),
    by_mala[0, cool, 1],
    by_law[cool, 1],
)
says = f"half-trained: {low:.0f} % good, by MALA up to {top:.0f} % (more than twice); spread at T = 0.1 {kept:.1f}"
lesson.verdict(
    f"{says} (above 7), by the exact law {lost:.1f} (below 4)",
    top > 2 * low and kept > 7 and lost < 4,
)
least, most = by_mala[1, :, 1].min(), 7.8 if lesson.quick else 6.5
says = f"trained longer: {own:.0f} % good, by MALA up to {best:.0f} % (gains less), spread down to {least:.1f}"
lesson.verdict(f"{says} (below {most})", best - own < top - low and least < most)
(clean, even, _), stuck = by_ula[1, cold], still[1, cold]
says = f"at T = 0.01 {stuck:.0%} of these never moved (above 10); by ULA {clean:.0f} % are good (best of MALA + 5),"
lesson.verdict(
    f"{says} spread {even:.1f} (above 6.5)",
    stuck > 0.1 and clean > best + 5 and even > 6.5,
)
plain = lambda **how: judge(good.sample(5000, rng, **how))[0]
cut, mild, wild = plain(truncation=1), plain(temperature=0.3), plain(temperature=4)
says = f"truncated at 1 {cut:.0f} % are good, with latent variance 0.3 {mild:.0f} % (both below {own:.0f}), with 4"
lesson.verdict(f"{says} {wild:.0f} % (above)", max(cut, mild) < own < wild)

fig, ((wide, plane), lower) = plt.subplots(
    2, 2, figsize=(11.5, 9.4), layout="constrained"
)
for k, (name, colour) in enumerate(
    {"GAN, r = 0.02": blue, "GAN, r = 0.2": gold, "by contrast": black}.items()
):
    wide.loglog(T, found[k, :, 2], "o-", color=colour, lw=2, label=name)
    wide.plot(right[k], 1, "*", color=colour, ms=18)
plane.plot(*poor.sample(n, rng).T, ".", c=red, ms=3)
plane.plot(*mended[0, cold].T, ".", c=blue, ms=3)
for column, ax in enumerate(lower):
    for k, (name, colour) in enumerate(
        (("half-trained", blue), ("trained longer", gold))
    ):
        ax.semilogx(
            T, by_mala[k, :, column], "o-", color=colour, lw=2, label=f"{name}, MALA"
        )
        ax.semilogx(
            T, by_ula[k, :, column], "s--", color=colour, lw=1, label=f"{name}, ULA"
        )
    ax.semilogx(
        T[: cool + 1],
        by_law[:, column],
        color=black,
        lw=2,
        label="half-trained, exact law",
    )
wide.set(
    xlabel="temperature T",
    ylabel="width (1 is right)",
    title="Chains from real data: one T is right (stars)",
)
plane.set(
    xlabel="x",
    ylabel="y",
    aspect="equal",
    title="Half-trained generator (red), MALA at T = 0.01 (blue)",
)
lower[0].set(
    xlabel="temperature T",
    ylabel="high quality (%)",
    title="Chains in z: what they gain,",
)
lower[1].set(
    xlabel="temperature T", ylabel="spread over 8 modes", title="and what they cost"
)
wide.legend(frameon=False)
lower[1].legend(frameon=False)
lesson.save(fig)

# %% [markdown]
# **Help**: where $G$ is poor and $U$ already knows better, a few steps slide each example into the next valley.
# **Harm**: nobody made the eight valleys equally deep. When it is cold enough to clean them, the deepest takes all, by
# law. The half-trained one's chain was merely too slow to find out: *it is good because it has not converged.* The
# other's chains travel more easily, and lose modes. Too hot, and you have the generator again; too cold, and nothing
# moves. So choose $T$ by measuring quality *and* spread, each time anew.
#
# **The wrong chain cleans better.** On a seam between modes (lesson 20) $U(G(z))$ is so steep that a step flings $z$
# far away, from where no step leads back; so MALA refuses, again and again. ULA goes all the same. It follows no $p_T$,
# and may land far out, but among the data. (On lesson 19's grid it also loses modes: count!) And truncation: on our
# ring the seams meet at $z = 0$, so "typical" $z$ are worst, hotter ones better. Images do profit from truncation.
#
# ## Of what is it the law?
# Where $G$ stretches, mass is thinned: if $z$ has density $p(z)$, $x = G(z)$ has $p(z) / |\det J|$, with $J$ the matrix
# of slopes. So $e^{-U(G(z))}$ over $z$ becomes $e^{-U(x)}/|\det J|$ over $x$, the energy's own law only where
# $|\det J|$ is constant. Try $U = |x|^2/2$, whose mean is 0. A shear, $(z_1, z_2 + z_1^2)$, has determinant 1. But
# $(z_1, z_2 e^{z_1/2})$ has $e^{z_1/2}$: an $e^{-x_1/2}$ is left over and moves the mean of $x_1$ to $-1/2$.
#
# With the prior, $p_T$ becomes the *generator's* law times $e^{-U(x)/T}$: its examples, weighed. That is the data's law
# if $e^{-U/T}$ is in proportion to data over generator, as for a GAN's best discriminator (Che et al., 2020), not for
# any energy. A latent chain mends the generator; it does not draw from the energy. Here that was the better thing.

# %%
z1, z2 = np.stack(
    np.meshgrid(np.linspace(-9, 9, 361), np.linspace(-60, 60, 2401), indexing="ij")
).reshape(2, -1)
mean_x1 = lambda log_p: np.average(z1, weights=np.exp(log_p))  # x1 is z1 in both
shear, stretch = (
    -(z1**2 + (z2 + z1**2) ** 2) / 2,
    -(z1**2 + z2**2 * np.exp(z1)) / 2,
)  # -U(G(z))
a, b, c = mean_x1(shear), mean_x1(stretch), mean_x1(stretch + z1 / 2)
says = f"mean of x1: {a:+.3f} by the shear (0), {b:+.3f} by the stretch (-0.5), {c:+.3f} with log |det J| added (0)"
lesson.verdict(f"{says}; all within 0.002", np.abs([a, b + 0.5, c]).max() < 0.002)
x = poor.sample(20_000, rng)
w, is_good = (
    ops.softmax(-poor.energy(x)),
    to_mode(x).min(axis=1) < 3 * ring.sd,
)  # weights e^{-U}, of sum 1
share = 100 * w @ is_good
off = abs(share - exact) / np.sqrt(np.sum((w * (100 * is_good - share)) ** 2))
says = f"T = 1: {share:.1f} % of weighed examples are good, {exact:.1f} by p_T on the grid, {off:.1f} standard errors"
lesson.verdict(
    f"{says} off (limit 4), {hot:.0f} on the energy itself (below a third)",
    off < 4 and hot < exact / 3,
)
lesson.end()

# %% [markdown]
# ## Exercises
# 1. `best_of(gan, n, m, rng)` keeps of every $m$ examples the one of lowest energy. With $m = 10$ the half-trained
#    generator's quality more than doubles. What becomes of the spread as $m$ grows to 100?
# 2. `law_of_x(T)`: the grid's law with $\log|\det J|$ (`models.entropy.jacobian`) in place of the prior. At $T = 1$ its
#    share of high quality is more than the energy's own law has, and less than half of what $p_1$ has.
# 3. ULA on $p_1$, started at the exact law: after 1000 steps its mean of $|z|^2/2$ is more than 1.3 times the grid's
#    with the step $h$, and within 0.1 of it with $h/16$.
#
# ## Sources
# Kumar et al., arXiv 1901.08508 (2019); Che et al., *Your GAN is secretly an energy-based model*, NeurIPS 2020; Roberts
# & Rosenthal, JRSS B 60 (1998): 0.574; Brock et al., ICLR 2019: truncation; Su, kexue.fm 6316, 6331, 6612 (2019).
