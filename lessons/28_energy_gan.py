# %% [markdown]
# # 28. The energy GAN: a landscape and its sampler learn together
#
# *Part 6: energies. 240 minutes.*
#
# **At the end you can** train an energy without running a chain, say what sets its scale, and keep a generator from
# crowding into a few valleys by its entropy, which nobody can read off samples, but a small network can estimate.
# **It stands on** GANs and how they fail (lessons 15 to 19), KL (10), information (22), energies and chains (24, 25).
#
# Lesson 24 learned an energy $U$, whose density is $e^{-U}/Z$, in two phases: lower $U$ at the data, raise it where the
# model itself would draw. For the second it ran chains, at every step. Here a generator, as in a GAN, supplies those
# draws. The critic becomes an energy, and the generator its sampler: **analysis and sampling**, side by side.
#
# ## What must a sampler seek?
# Let $q$ be the density of the generator's examples, and $H(q) = -\mathrm E_q \log q$ its entropy. It should draw from
# $p_U = e^{-U/w}/Z$, at some temperature $w$. Put $\log p_U = -U/w - \log Z$ into lesson 10's divergence:
# $$ w\,\mathrm{KL}(q \,\|\, p_U) = \mathrm E_q\, U - w\,H(q) + w \log Z. $$
# This is least, zero, at $q = p_U$, and $\log Z$ does not depend on $q$. So a generator minimises **energy minus
# entropy**, the latter times $w$: in physics, the free energy. With the first term alone, every example slides to the
# bottom of a valley and stays. (Some texts print a sign wrong. A check: what rewards a spread must lower the loss.)
#
# ## What keeps the energy from falling?
# The critic's loss has both phases: $\mathrm E_p U - \mathrm E_q U$, with $p$ the data's density. Alone it has no end:
# twice the $U$, twice the gain. So slopes **at the real data** cost, by lesson 17's R1:
# $\frac r2\, \mathrm E_p |\nabla U|^2$. Where does this come to rest, on a line? Lift $U$ by a tiny $\varepsilon$
# everywhere to the right of one place $x$. With $P$ and $Q$ the shares of data and examples to its left, the two means
# grow by $(1 - P)\,\varepsilon$ and $(1 - Q)\,\varepsilon$. The slope grows at $x$ alone, where it costs
# $\frac r2\,p\,U'^2$, with the derivative $r\,p\,U'$. At rest $(1 - P) - (1 - Q) + r\,p\,U' = 0$, so
# $$ U'(x) = \frac{P(x) - Q(x)}{r\;p(x)}. $$
# Against a given generator, then, **the penalty sets the energy's scale**: a tenth of $r$, ten times $U$. And it tells
# the *difference* from the generator: if $q = p$, it is flat. We check: data in two heaps, examples in one.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson
from minigen import (
    grad,
    metrics,
    models,
    nn,
    no_grad,
    ops,
    optim,
    targets,
    tensor,
    training,
)

lesson = Lesson("28_energy_gan")
rng, quick, blue, red, gold = lesson.rng, lesson.quick, "#1f5fa8", "#b3261e", "#d9822b"
x, dx = np.linspace(-3, 3, 601, retstep=True)
normal = lambda x, mean: np.exp(-2 * (x - mean) ** 2) / np.sqrt(np.pi / 2)  # SD 0.5
p, q = (normal(x, -1) + normal(x, 1)) / 2, normal(x, 0)  # two heaps; one between them
noise = lambda *shape: rng.standard_normal(shape, np.float32)
heaps = lambda n: (rng.choice([-1, 1], (n, 1)) + 0.5 * noise(n, 1)).astype(np.float32)
adam = lambda net, lr, steps: optim.Adam(
    net, optim.cosine_decay(lr, steps), betas=(0.5, 0.9)
)
settings = lambda net, lr, steps: {
    "optimizer": adam(net, lr, steps),
    "steps": steps,
    "batch_size": 256,
    "rng": rng,
}


def energy_losses(critic, real, fake, r):
    """The energy's loss without the penalty, and with it. A critic is high at the data, so U = -critic."""
    real = tensor(real, requires_grad=True)
    on_real, on_fake = -critic(real), -critic(fake)
    slope = grad(ops.sum(on_real), real, create_graph=True)
    loss = ops.mean(on_real) - ops.mean(on_fake)
    return loss, loss + r / 2 * ops.mean(ops.sum(slope**2, axis=1))


centred = lambda U: (
    U - p @ U * dx
)  # an energy's zero means nothing: let it be the mean over the data
energy = lambda critic: centred(
    -critic(x[:, None].astype(np.float32)).data[:, 0].astype(float)
)  # U along the line
size = lambda U: np.sqrt(p @ U**2 * dx)  # root mean square over the data
at_rest, sizes, off = np.cumsum(p - q) * dx / p, [], []  # at rest (P - Q) / p = r U'
(fig, axes), steps = (
    plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained"),
    1000 if quick else 3000,
)
for r, colour in ((0.1, blue), (1.0, gold)):
    critic, pairs = (
        nn.MLP([1, 64, 64, 1], "silu", rng=rng),
        (heaps(200_000), 0.5 * noise(200_000, 1)),
    )
    with_penalty = lambda real, fake, critic=critic, r=r: energy_losses(
        critic, real, fake, r
    )[1]
    training.fit(critic, with_penalty, pairs, **settings(critic, 5e-3, steps))
    U = energy(critic)
    sizes.append(size(U))
    off.append(size(np.gradient(U, dx) - at_rest / r) / size(at_rest / r))
    axes[0].plot(x, U, color=colour, lw=2, label=f"r = {r}")
    axes[0].plot(x, centred(np.cumsum(at_rest / r) * dx), "k:", lw=2)
times, found = (
    sizes[0] / sizes[1],
    f"U' is (P - Q) / (r p) to {max(off):.1%} of its size (limit 10 %)",
)
lesson.verdict(
    f"{found}; a tenth of r: {times:.2f} times U (9 to 11)",
    max(off) < 0.1 and 9 < times < 11,
)

# %% [markdown]
# ## The whole game, and the energy's temperature
# Now both learn in turns. At rest $P - Q = r\,p\,U'$: with a small penalty $q$ is close to $p$. A perfect generator
# has $q = e^{-U/w}/Z$, so $U = -w \log q$ and a constant. At the end, then, **the entropy's weight sets the scale**:
# $U$ is $w$ times the data's $-\log p$, a little flattened by the penalty. If $w = 0$ and $q = p$, no energy is left.
#
# In one dimension entropy is easy, if no two $z$ give the same $x = G(z)$. A bit $dz$ is stretched to $|G'|\,dz$, and
# thinned as much, so $H(x) = H(z) + \mathrm E \log |G'(z)|$. `play` takes a loss that stands for $-H$: here minus the
# last term. Later this loss needs a network too, the `eye`, which learns with the generator.


# %%
def play(
    X,
    rng,
    turns,
    minus_entropy=None,
    eye_sizes=None,
    w=0.4,
    r=0.1,
    latent=1,
    steps=2,
    n=128,
):
    """Generator, critic -U, and the losses (turns, 3) of energy, generator and entropy, without penalty and weight."""
    G, critic = (
        nn.MLP([latent, 64, 64, X.shape[1]], "tanh", rng=rng),
        nn.MLP([X.shape[1], 64, 64, 1], "silu", rng=rng),
    )
    eye = nn.MLP(eye_sizes, "silu", rng=rng) if eye_sizes else None
    team = (
        nn.Sequential(G, eye) if eye else G
    )  # their weights together; nothing runs through both
    batches = training.Minibatches(len(X), n, rng)
    adam_g, adam_u = adam(team, 2e-3, turns), adam(critic, 2e-3, steps * turns)

    @minigen.compile  # replays the recorded turn, with the same numbers (lesson 8)
    def turn(*reals):
        for real in reals:
            with no_grad():
                fake = G(ops.normal(rng, (n, latent))).data
            loss_u, total = energy_losses(critic, real, fake, r)
            adam_u.zero_grad()
            total.backward(critic.parameters())
            adam_u.step()
        z = tensor(ops.normal(rng, (n, latent)), requires_grad=True)
        x = G(z)
        loss_g = loss_h = total = -ops.mean(critic(x))
        if minus_entropy:
            loss_h = minus_entropy(
                eye, x + 0.05 * ops.normal(rng, x.shape), z
            )  # the noise is explained below
            total = loss_g + w * loss_h
        adam_g.zero_grad()
        total.backward(team.parameters())
        adam_g.step()
        return loss_u, loss_g, loss_h

    reals = lambda: (X[batches.draw()] for _ in range(steps))
    return (
        G,
        critic,
        np.array([[loss.item() for loss in turn(*reals())] for _ in range(turns)]),
    )


no_spread = lambda _, x, z: (
    -0.5 * ops.mean(ops.log(grad(ops.sum(x), z, create_graph=True) ** 2 + 1e-8))
)  # -log |G'|
shares = lambda G: (
    np.histogram(G(noise(100_000, 1)).data, 60, (-3, 3))[0] / 100_000
)  # of the examples, in 60 cells
apart = lambda G: (
    np.abs(shares(G) - p[:-1].reshape(60, 10).sum(axis=1) * dx).sum() / 2
)  # total variation, 0 to 1
X, surprise, worst = heaps(20_000), centred(-np.log(p)), 0.0
for w, colour in ((0.4, blue), (0.1, gold), (0.0, red))[:: 2 if quick else 1]:
    G, critic, _ = play(X, rng, 1000 if quick else 3500, no_spread if w else None, w=w)
    U, off = energy(critic), apart(G)
    T = (
        p @ (U * surprise) / (p @ surprise**2)
    )  # the straight line through U against -log p
    known = 1 - (size(U - T * surprise) / size(U)) ** 2
    found = f"w = {w}: U is {T:.3f} times -log p, which explains {known:.2f} of its variance; total variation {off:.3f}"
    if w:
        limits, holds = (
            "0.65 w to 1.25 w; above 0.7; below 0.1",
            0.65 * w < T < 1.25 * w and known > 0.7 and off < 0.1,
        )
    else:
        limits, holds = (
            f"any; below 0.5; above {worst:.3f}, the worst with entropy",
            known < 0.5 and off > worst,
        )
    lesson.verdict(f"{found} ({limits})", holds)
    worst = max(worst, off)
    axes[1].plot(x, U, color=colour, lw=2, label=f"w = {w}")
    axes[1].plot(x, w * surprise, "k:", lw=2)
axes[0].set(
    ylim=(-6, 12), title="Given generator: U has the scale 1/r (dotted: formula)"
)
axes[1].set(ylim=(-0.4, 0.9), title="Whole game: U has the scale w (dotted: -w log p)")
for ax in axes:
    ax.set(xlim=(-2.2, 2.2), xlabel="x", ylabel="energy U")
    ax.legend(frameon=False, loc="upper center")
lesson.save(fig)

# %% [markdown]
# ## Entropy without a formula
# In many dimensions $G'$ is a matrix, the Jacobian $J$, and $H(x) = H(z) + \mathrm E \log |\det J|$ is costly. Instead:
# lesson 22's **mutual information** is $I(x, z) = H(x) - H(x \mid z)$, the entropy of $x$ less what is left once $z$ is
# known. Add normal noise of a fixed SD to $x$: only the noise's is left, a constant, and who seeks information seeks
# entropy. Two kinds of network see it. Network and generator lower *one* loss, one to see entropy, one to have it.
#
# * **JSD** (Jensen-Shannon): a discriminator $T(x, z)$ tells pairs that belong together from pairs with another $z$. By
#   lesson 15 its best logit is $\log \frac{p(x, z)}{p(x)\,p(z)}$, whose mean over true pairs is $I$.
# * **InfoGAN**: an encoder $E(x)$ guesses $z$; its loss is $\frac12 |z - E(x)|^2$. But for a constant that is the
#   surprise at $z$ of somebody who believes in $\mathcal N(E(x), 1)$. By lesson 10 its mean is no less than
#   $H(z \mid x)$: so it bounds $I$, which is also $H(z) - H(z \mid x)$, from below.

# %%
logit = lambda T, x, z: T(ops.concatenate([x, z], axis=1))
others = lambda z: ops.concatenate([z[1:], z[:1]])  # each x gets the z of the next
together = lambda T, x, z: ops.mean(
    ops.softplus(-logit(T, x, z)) + ops.softplus(logit(T, x, others(z)))
)
guess = lambda E, x, z: 0.5 * ops.mean(ops.sum((z - E(x)) ** 2, axis=1))
ring, grid, gap, dice = (
    targets.ring(),
    targets.grid(),
    0.0,
    lambda: np.random.default_rng(lesson.seed),
)
X = ring.sample(20_000, rng)
unit = ((X - X.mean(axis=0)) / np.sqrt(X.var(axis=0).mean())).astype(np.float32)
same = {
    "critic_activation": "silu",
    "r1": 0.1,
    "entropy_weight": 0.4,
    "noise_sd": 0.05,
    "critic_steps": 2,
    "lr": 2e-3,
}
same |= dict.fromkeys(("hidden", "critic_hidden", "entropy_hidden"), (64, 64))
for name, loss, sizes in (
    ("jsd", together, [4, 64, 64, 1]),
    ("infogan", guess, [2, 64, 64, 2]),
):
    past = (
        models.EnergyGAN(2, entropy=name, **same, steps=20, record_every=1)
        .fit(X, rng=dice())
        .history_
    )
    theirs = np.transpose([past["critic"], past["generator"], past["entropy"]])
    gap = max(
        gap, np.abs(play(unit, dice(), 20, loss, sizes, latent=2)[2] - theirs).max()
    )
lesson.verdict(
    f"over 20 turns on a ring all losses are those of models.EnergyGAN to {gap:.0e} (limit 1e-4)",
    gap < 1e-4,
)

# %% [markdown]
# ## Why noise?
# If no two $z$ give the same $x$, then $x$ tells $z$ exactly: without noise $I$ is infinite, however little space the
# examples take. (Texts say "variance 0, up to an infinite constant". The constant is all there is.) We test it with
# such generators of very different volume: three random linear maps, between them $u + 0.8 \sin u$ in each coordinate.
# `exact_entropy` takes $|\det J|$. The networks see $x$, with its noise, in units of its SD; that leaves $I$ as it is.


# %%
def information(kind, x, z):
    """What a network of the library says of I(x, z), in nats, of pairs that it has not seen."""
    x, net = (
        (x / x.std()).astype(np.float32),
        models.entropy.ENTROPIES[kind](2, 2, (64, 64), rng=rng),
    )
    training.fit(
        net, net, (x[5000:], z[5000:]), **settings(net, 3e-3, steps)
    )  # net(x, z) is its loss
    return net.information(x[:5000], z[:5000])


wave, exact, steps = lambda u: u + 0.8 * ops.sin(u), [], 600 if quick else 1000
said = {(kind, sd): [] for sd in (0.05, 0.0) for kind in models.entropy.ENTROPIES}
for scale in np.geomspace(0.02, 0.4, 6 if quick else 8):
    maps = [
        np.linalg.qr(rng.standard_normal((2, 2)))[0] * np.exp(rng.uniform(-0.3, 0.3, 2))
        for _ in range(3)
    ]
    z = rng.standard_normal((40_000, 2))
    generator = lambda z, maps=maps, scale=scale: (
        scale * (wave(wave(z @ maps[0]) @ maps[1]) @ maps[2])
    )
    exact.append(models.entropy.exact_entropy(generator, z[:10_000])[0])
    for (kind, sd), estimates in said.items():
        shown = generator(z) + sd * rng.standard_normal(z.shape)
        estimates.append(information(kind, shown, z.astype(np.float32)))
rank, least = lambda a: np.argsort(np.argsort(a)), 0.8 if quick else 0.9
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for kind, colour in zip(models.entropy.ENTROPIES, (blue, gold)):
    agree = np.corrcoef(rank(exact), rank(said[kind, 0.05]))[0, 1]
    slope, blind = (np.polyfit(exact, said[kind, sd], 1)[0] for sd in (0.05, 0.0))
    found = f"{kind}: rank correlation {agree:.2f} (above {least}), {slope:.2f} nats for a nat of entropy (above 0.3)"
    holds = agree > least and slope > 0.3 and abs(blind) < 0.2
    lesson.verdict(f"{found}; without noise {blind:.2f} (within 0.2 of 0)", holds)
    for sd, fill in ((0.05, colour), (0.0, "none")):
        ax.plot(
            exact,
            said[kind, sd],
            "o",
            color=colour,
            mfc=fill,
            label=f"{kind}, noise {sd}",
        )
ax.set(
    xlabel="exact entropy (nats)",
    ylabel="estimate of I (nats)",
    ylim=(0, 6),
    title="Only with noise I follows H",
)
ax.legend(frameon=False, ncols=2)
lesson.save(fig, "information")

# %% [markdown]
# With noise both put generators in order, though they do not measure: near 3 nats they saturate. So the loss they teach
# is no longer exactly $-H$, nor $w$ a temperature. Without noise all look alike.
#
# ## Where it matters, and where it does not
# Now the library, on lesson 19's ring and grid, with a slow critic: one step in each turn, under a strong penalty. We
# count modes. And how often does a real example lie lower than a place off all modes? Half the time, if $U$ is blind.

# %%
game = {
    "r1": 0.5,
    "critic_steps": 1,
    "entropy_weight": 0.1,
    "noise_sd": 0.02,
    "average": 0.99,
}
sizes = (
    ((64, 800), (96, 1000)) if quick else ((64, 1000), (128, 2500))
)  # units of a layer, and turns
(fig, axes), modes, lower = (
    plt.subplots(1, 4, figsize=(15, 4.3), layout="constrained"),
    [],
    [],
)
for target, (units, turns), pair in zip((ring, grid), sizes, axes.reshape(2, 2)):
    side = np.linspace(-1.25, 1.25, 201) * target.modes.max()
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    for ax, kind, name, colour in zip(
        pair, (None, "jsd"), ("without", "with"), (red, blue)
    ):
        gan = models.EnergyGAN(
            2,
            (units,) * 3,
            critic_hidden=(units,) * 3,
            entropy=kind,
            **game,
            steps=turns,
        )
        gan.fit(target.sample(20_000, rng), rng=rng)
        off = rng.uniform(-1.25, 1.25, (3000, 2)) * target.modes.max()
        off = off[
            np.linalg.norm(off[:, None] - target.modes, axis=2).min(axis=1)
            > 5 * target.sd
        ]
        lower.append(
            np.mean(gan.energy(target.sample(2000, rng))[:, None] < gan.energy(off))
        )
        examples, U = gan.sample(2500, rng), gan.energy(plane).reshape(201, 201)
        modes.append(metrics.mode_coverage(examples, target.modes, target.sd).captured)
        ax.pcolormesh(
            side,
            side,
            U,
            vmin=np.quantile(U, 0.01),
            vmax=np.quantile(U, 0.9),
            cmap="gray",
        )
        ax.plot(*examples.T, ".", ms=1.5, color=colour)
        ax.plot(*target.modes.T, "o", ms=12, mfc="none", mec=gold)
        ax.set(
            xlim=side[[0, -1]], ylim=side[[0, -1]], aspect="equal", xticks=(), yticks=()
        )
        ax.set(title=f"{target.name} {name} entropy: {modes[-1]} modes")
fig.suptitle("Dots: examples; circles: the true modes; dark: low energy")
lesson.save(fig, "entropy")
(a, b, few, many), (c, d, blind, seeing) = (
    modes,
    lower,
)  # of the ring, without and with entropy; of the grid
most, least = (16, 17) if quick else (13, 21)
lesson.verdict(f"ring: {a} of 8 modes without entropy, {b} with (8 both)", a == b == 8)
lesson.verdict(
    f"real ones lie lower there: {c:.2f} without, {d:.2f} with (above 0.65)",
    min(c, d) > 0.65,
)
lesson.verdict(
    f"grid: {few} of 25 without (at most {most}), {many} with (at least {least})",
    few <= most < least <= many,
)
found = f"real ones lie lower there: {blind:.2f} without (below 0.65), {seeing:.2f} with (over 0.1 more)"
lesson.verdict(found, blind < 0.65 and seeing > blind + 0.1)
lesson.end()

# %% [markdown]
# Without entropy the slow critic chases the examples about the plane, and its landscape knows little of the data. With
# the library's own five steps and lighter penalty the grid is covered either way: a quick critic tears heaps apart. So
# entropy insures against a slow critic, and gives the energy a meaning. Too much of it blurs the samples.
#
# ## Exercises
# 1. `settle(w)`: examples of a generator that minimises a given energy less $w$ times its entropy, on the line. Take
#    $U = -\log p$ of the two heaps. For $w = 1$ `apart` is below 0.06. For $w = 0$ the SD of $|x|$ is below 0.15.
# 2. Drop `/ x.std()` in `information`: without noise JSD's slope exceeds 0.2. (Networks blur details, as noise would.)
# 3. In the game above `entropy="infogan"` with a weight of 0.3 captures at least 21 modes of the grid.
#
# ## Sources
# Kumar et al., *Maximum entropy generators for energy-based models*, 2019 (arXiv 1901.08508). Kim & Bengio, 2016 (arXiv
# 1606.03439): energy and generator. Su, *GAN models from the energy view* 1 to 3, 2019 (kexue.fm 6316, 6331, 6612).
# Mescheder, Geiger & Nowozin, ICML 2018: R1. Hjelm et al., *Deep InfoMax*, ICLR 2019: JSD. Chen et al., *InfoGAN*, NIPS
# 2016. Barber & Agakov, NIPS 2003: the bound.
