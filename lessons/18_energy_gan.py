# %% [markdown]
# # 18. The energy GAN: a landscape and its sampler learn together
#
# **At the end you can** train an energy without running a chain, say what sets its scale, and keep a generator from
# crowding into a few valleys by its entropy, which samples do not show, but two small networks can estimate.
# **It stands on** GANs and how they fail (lessons 11, 13), KL (7), games (10), energies (16), Langevin chains (17).
#
# Lesson 16 learned an energy $U$, whose density is $e^{-U}/Z$, in two phases: lower $U$ at the data, raise it where the
# model itself would draw. For the second it ran chains, at every step. Here a generator, as in a GAN, supplies those
# draws. The discriminator becomes an energy, and the generator its sampler: **analysis and sampling**, side by side.
#
# ## What must a sampler seek?
#
# Let $q$ be the density of the generator's examples, $H(q) = -\mathrm E_q \log q$ its entropy, and $p_U = e^{-U/w}/Z$
# what it should draw from, at some temperature $w$. Put $\log p_U = -U/w - \log Z$ into lesson 7's divergence:
#
# $$ w\,\mathrm{KL}(q \,\|\, p_U) = \mathrm E_q\, U - w\,H(q) + w \log Z. $$
#
# This is least, zero, at $q = p_U$, and $\log Z$ does not depend on $q$. So a generator minimises **energy minus
# entropy**, in physics the free energy. With the first term alone, every example slides to the bottom of a valley and
# stays. (Some texts print a sign wrong. A check: what rewards a spread must lower the loss.)
#
# ## What keeps the energy from falling?
#
# The other player minimises $\mathrm E_p U - \mathrm E_q U$, with $p$ the data's density. Left alone it would dig below
# the data without end. So slopes **at the real data** cost, by lesson 13's R1: $\frac r2\, \mathrm E_p |\nabla U|^2$.
# Where does this come to rest? Raise $U$ a little, everywhere to the right of one place $x$. With $P$ and $Q$ the
# shares of data and examples to its left, the loss changes by $(1 - P) - (1 - Q) + r\,p\,U'$ per unit. In balance
#
# $$ U'(x) = \frac{P(x) - Q(x)}{r\;p(x)}. $$
#
# Against a given generator, then, **the penalty sets the energy's scale**: a tenth of $r$, ten times $U$. And it tells
# the *difference* from the generator: if $q = p$, it is flat. We check on a line: data in two heaps, examples in one.

# %%
import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

import minigen
from minigen import grad, metrics, models, nn, no_grad, ops, optim, targets, tensor, training
from minigen.models import entropy

lesson = Lesson("18_energy_gan")
rng, quick, blue, red, gold = lesson.rng, lesson.quick, "#1f5fa8", "#b3261e", "#d9822b"
x, dx = np.linspace(-3, 3, 601, retstep=True)
normal = lambda x, mean: np.exp(-2 * (x - mean) ** 2) / np.sqrt(np.pi / 2)  # SD 0.5
p, q = (normal(x, -1) + normal(x, 1)) / 2, normal(x, 0)  # two heaps; one between them
noise = lambda *shape: rng.standard_normal(shape, np.float32)
heaps = lambda n: (rng.choice([-1, 1], (n, 1)) + 0.5 * noise(n, 1)).astype(np.float32)


def learn(net, loss, data, steps, lr=5e-3):
    adam = optim.Adam(net, optim.cosine_decay(lr, steps), betas=(0.5, 0.9))
    training.fit(net, loss, data, optimizer=adam, steps=steps, batch_size=256, rng=rng)
    return net


def energy_losses(critic, real, fake, r):
    """Of the energy U = -critic: its loss without the penalty, and with it."""
    real = tensor(real, requires_grad=True)
    on_real, on_fake = -critic(real), -critic(fake)
    slope = grad(ops.sum(on_real), real, create_graph=True)
    loss = ops.mean(on_real) - ops.mean(on_fake)
    return loss, loss + r / 2 * ops.mean(ops.sum(slope**2, axis=1))


centred = lambda U: U - p @ U * dx  # an energy's zero means nothing: let it be the mean over the data
energy = lambda critic: centred(-critic(x[:, None].astype(np.float32)).data[:, 0].astype(float))
size = lambda U: np.sqrt(p @ U**2 * dx)
lead, met, off = np.cumsum(p - q) * dx / p, {}, []
for r in (0.1, 1.0):
    critic, pairs = nn.MLP([1, 64, 64, 1], "silu", rng=rng), (heaps(200_000), 0.5 * noise(200_000, 1))
    with_penalty = lambda real, fake, critic=critic, r=r: energy_losses(critic, real, fake, r)[1]
    met[r] = energy(learn(critic, with_penalty, pairs, 1000 if quick else 3000))
    off.append(size(np.gradient(met[r], dx) - lead / r) / size(lead / r))
times, found = size(met[0.1]) / size(met[1.0]), f"U' is (P - Q) / (r p) to {max(off):.1%} of its size (limit 10 %)"
lesson.claim(f"{found}; a tenth of r: {times:.2f} times U (9 to 11)", max(off) < 0.1 and 9 < times < 11)

# %% [markdown]
# ## The whole game, and the energy's temperature
#
# Now both learn in turns. A perfect generator has $q \propto e^{-U/w}$, so $U = -w \log q$ and a constant; with a small
# penalty $q$ is close to $p$. At the end, then, **the entropy's weight sets the scale**: $U$ is the data's $-\log p$ at
# temperature $w$, a little flattened by the penalty. With $w = 0$ a generator that has arrived leaves no energy at all.
#
# In one dimension entropy is easy. With $x = G(z)$ a bit $dz$ is stretched to $|G'|\,dz$, and thinned as much, so
# $H(x) = H(z) + \mathrm E \log |G'(z)|$. Later a network will judge it, which learns with the generator: `see` holds
# the sizes of its layers, here none, and the loss that stands for $-H$.

# %%
def no_spread(_, x, z):
    """-H(x) of x = G(z), but for a constant, for one latent and one output: minus the mean of log |G'|."""
    return -0.5 * ops.mean(ops.log(grad(ops.sum(x), z, create_graph=True) ** 2 + 1e-8))


def play(X, rng, turns, see=None, w=0.4, r=0.1, latent=1, steps=2, n=128):
    """Generator, critic -U, and the losses (turns, 3) of energy, generator and entropy, without penalty and weight."""
    G, critic = nn.MLP([latent, 64, 64, X.shape[1]], "tanh", rng=rng), nn.MLP([X.shape[1], 64, 64, 1], "silu", rng=rng)
    batches = training.Minibatches(len(X), n, rng)
    learners = [G, nn.MLP(see[0], "silu", rng=rng)] if see and see[0] else [G]
    adam = lambda net, steps: optim.Adam(net, optim.cosine_decay(2e-3, steps), betas=(0.5, 0.9))
    adams, adam_u = [adam(net, turns) for net in learners], adam(critic, steps * turns)

    @minigen.compile  # replays the recorded turn, with the same numbers (lesson 22)
    def turn(*reals):
        for real in reals:
            with no_grad():
                fake = G(ops.normal(rng, (n, latent))).data
            loss_u, total = energy_losses(critic, real, fake, r)
            adam_u.zero_grad()
            total.backward(critic.parameters())
            adam_u.step()
        z = tensor(ops.normal(rng, (n, latent)), requires_grad=True)
        loss_g = loss_h = total = -ops.mean(critic(out := G(z)))
        if see:
            loss_h = see[1](learners[-1], out + 0.05 * ops.normal(rng, out.shape), z)
            total = loss_g + w * loss_h
        for each in adams:
            each.zero_grad()
        total.backward([weight for net in learners for weight in net.parameters()])
        for each in adams:
            each.step()
        return loss_u, loss_g, loss_h

    reals = lambda: (X[batches.draw()] for _ in range(steps))
    return G, critic, np.array([[loss.item() for loss in turn(*reals())] for _ in range(turns)])


shares = lambda G: np.histogram(G(noise(100_000, 1)).data, 60, (-3, 3))[0] / 100_000
apart = lambda G: np.abs(shares(G) - p[:-1].reshape(60, 10).sum(axis=1) * dx).sum() / 2  # total variation to p
X, surprise, games = heaps(20_000), centred(-np.log(p)), {}
for w in (0.4, 0.0) if quick else (0.4, 0.1, 0.0):
    G, critic, _ = play(X, rng, 1000 if quick else 3500, (None, no_spread) if w else None, w)
    U = energy(critic)
    T = p @ (U * surprise) / (p @ surprise**2)  # the straight line through U against -log p
    known, off = 1 - (size(U - T * surprise) / size(U)) ** 2, apart(G)
    found = f"w = {w}: U is {T:.3f} times -log p, which explains {known:.2f} of its variance; total variation {off:.3f}"
    if w:
        holds = 0.65 * w < T < 1.25 * w and known > 0.7 and off < 0.1
        lesson.claim(f"{found} (limits 0.65 w to 1.25 w, above 0.7, below 0.1)", holds)
    else:
        worst = max(off for _, off in games.values())
        lesson.claim(f"{found} (below 0.5; above {worst:.3f}, the worst with entropy)", known < 0.5 and off > worst)
    games[w] = U, off

fig, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
for (r, U), colour in zip(met.items(), (blue, gold)):
    axes[0].plot(x, U, color=colour, lw=2, label=f"r = {r}")
    axes[0].plot(x, centred(np.cumsum(lead / r) * dx), "k:", lw=2)
for (w, (U, _)), colour in zip(games.items(), (blue, red) if quick else (blue, gold, red)):
    axes[1].plot(x, U, color=colour, lw=2, label=f"w = {w}")
    axes[1].plot(x, w * surprise, "k:", lw=2)
axes[0].set(xlim=(-2, 2), ylim=(-6, 12), xlabel="x", ylabel="U", title="Given generator: scale 1/r (dotted: formula)")
axes[1].set(xlim=(-2.2, 2.2), ylim=(-0.4, 0.9), xlabel="x", ylabel="U", title="Whole game: scale w (dotted: -w log p)")
for ax in axes:
    ax.legend(frameon=False, loc="upper center")
lesson.figure(fig)

# %% [markdown]
# ## Entropy without a formula
#
# In many dimensions $G'$ is a matrix, the Jacobian $J$, and $H(x) = H(z) + \mathrm E \log |\det J|$ is costly. Instead:
# the **mutual information** $I(x, z) = H(x) - H(x \mid z)$ says how many nats $x$ tells of $z$. Add normal noise of a
# fixed SD to $x$: then $H(x \mid z)$ is that of the noise, a constant, and who seeks information seeks entropy. Two
# kinds of network can see it. Network and generator *both* lower its loss, one to see the entropy, one to have it.
#
# * **JSD**: a discriminator $T(x, z)$ tells pairs that belong together from pairs with another $z$. By lesson 11 the
#   best is $\log \frac{p(x, z)}{p(x)\,p(z)}$, whose mean over true pairs is $I$.
# * **InfoGAN**: an encoder $E(x)$ guesses $z$; its loss is $\frac12 |z - E(x)|^2$. As the centre of a normal density it
#   bounds $I = H(z) - H(z \mid x)$ from below, by $H(z) + \mathrm E \log \mathcal N(z;\, E(x))$.

# %%
def together(T, x, z):
    on = lambda z: T(ops.concatenate([x, z], axis=1))
    return ops.mean(ops.softplus(-on(z))) + ops.mean(ops.softplus(on(ops.concatenate([z[1:], z[:1]]))))


guess = lambda E, x, z: 0.5 * ops.mean(ops.sum((z - E(x)) ** 2, axis=1))
ring, grid, gap, dice = targets.ring(), targets.grid(), 0.0, lambda: np.random.default_rng(lesson.seed)
X = ring.sample(20_000, rng)
unit = ((X - X.mean(axis=0)) / np.sqrt(X.var(axis=0).mean())).astype(np.float32)
same = {"critic_activation": "silu", "r1": 0.1, "entropy_weight": 0.4, "noise_sd": 0.05, "critic_steps": 2, "lr": 2e-3}
same |= dict.fromkeys(("hidden", "critic_hidden", "entropy_hidden"), (64, 64))
for name, see in (("jsd", ([4, 64, 64, 1], together)), ("infogan", ([2, 64, 64, 2], guess))):
    past = models.EnergyGAN(2, entropy=name, **same, steps=20, record_every=1).fit(X, rng=dice()).history_
    theirs = np.transpose([past.critic_loss, past.generator_loss, past.entropy_loss])
    gap = max(gap, np.abs(play(unit, dice(), 20, see, latent=2)[2] - theirs).max())
lesson.claim(f"over 20 turns on a ring all losses are those of models.EnergyGAN to {gap:.0e} (limit 1e-4)", gap < 1e-4)

# %% [markdown]
# ## Why noise?
#
# If no two $z$ give the same $x$, then $x$ tells $z$ exactly: without noise $I$ is infinite, however little space the
# examples take. (Texts speak of "variance 0, up to an infinite constant". The constant is all there is.) We test it
# with generators of random shape and very different volume, of which no two $z$ give the same $x$: three linear maps,
# and between them $u + 0.8 \sin u$ in each coordinate. `entropy.exact_entropy` has the mean of $\log |\det J|$. The
# networks see $x$ in units of its SD, its noise already in it: information does not depend on units.

# %%
def information(kind, x, z):
    """What a network of the library says of I(x, z), in nats, of pairs that it has not seen."""
    x, net = (x / x.std()).astype(np.float32), entropy.ENTROPIES[kind](2, 2, (64, 64), rng=rng)
    return learn(net, net, (x[5000:], z[5000:]), 600 if quick else 1000, 3e-3).information(x[:5000], z[:5000])


exact, said, wave = [], {}, lambda x: x + 0.8 * ops.sin(x)
for scale in np.geomspace(0.02, 0.4, 6 if quick else 8):
    maps = [np.linalg.qr(rng.standard_normal((2, 2)))[0] * np.exp(rng.uniform(-0.3, 0.3, 2)) for _ in range(3)]
    z = rng.standard_normal((40_000, 2))
    generator = lambda z, maps=maps, scale=scale: scale * (wave(wave(z @ maps[0]) @ maps[1]) @ maps[2])
    exact.append(entropy.exact_entropy(generator, z[:10_000])[0])
    for sd, kind in ((sd, kind) for sd in (0.05, 0.0) for kind in entropy.ENTROPIES):
        shown = generator(z) + sd * rng.standard_normal(z.shape)
        said.setdefault((kind, sd), []).append(information(kind, shown, z.astype(np.float32)))
rank, least = lambda a: np.argsort(np.argsort(a)), 0.8 if quick else 0.9
for kind in entropy.ENTROPIES:
    agree = np.corrcoef(rank(exact), rank(said[kind, 0.05]))[0, 1]
    slope, blind = (np.polyfit(exact, said[kind, sd], 1)[0] for sd in (0.05, 0.0))
    found = f"{kind}: rank correlation {agree:.2f} (above {least}), {slope:.2f} nats for a nat of entropy (above 0.3)"
    holds = agree > least and slope > 0.3 and abs(blind) < 0.2
    lesson.claim(f"{found}; without noise {blind:.2f} (within 0.2 of 0)", holds)

# %% [markdown]
# With noise both put generators in order, though they do not measure: near 3 nats they saturate. So the loss they teach
# is no longer exactly $-H$, nor $w$ a temperature. Without noise all look alike. (Fed with $x$ as it is, they see
# something even then: small details are hard for a network, which acts like noise.)
#
# ## Where it matters, and where it does not
#
# Now the library, on lesson 13's ring of 8 and grid of 25, with a slow critic: one step in each turn, under a strong
# penalty. We count modes. And of a real example and a place off all modes, how often does the real one lie lower? One
# half means a landscape that knows nothing.

# %%
game = {"r1": 0.5, "critic_steps": 1, "entropy_weight": 0.1, "noise_sd": 0.02, "average": 0.99}
modes, lower, gans, (width, longer) = {}, {}, {}, (96, 1000) if quick else (128, 2500)
for target, units, steps in ((ring, 64, 800 if quick else 1000), (grid, width, longer)):
    for kind in (None, "jsd"):
        nets, key = dict.fromkeys(("hidden", "critic_hidden"), (units,) * 3), (target.name, kind)
        gan = models.EnergyGAN(2, entropy=kind, **nets, **game, steps=steps).fit(target.sample(20_000, rng), rng=rng)
        off = rng.uniform(-1.25, 1.25, (3000, 2)) * target.modes.max()
        off = off[np.linalg.norm(off[:, None] - target.modes, axis=2).min(axis=1) > 5 * target.sd]
        lower[key] = np.mean(gan.energy(target.sample(2000, rng))[:, None] < gan.energy(off))
        modes[key] = metrics.mode_coverage(gan.sample(2500, rng), target.modes, target.sd).captured
        gans[key] = gan
(a, b, c, d), (e, f, g, h), (most, least) = modes.values(), lower.values(), (16, 17) if quick else (13, 21)
lesson.claim(f"ring: {a} of 8 modes without entropy, {b} with (8 both)", a == b == 8)
lesson.claim(f"grid: {c} of 25 modes without (at most {most}), {d} with (at least {least})", c <= most and d >= least)
found = f"real ones lie lower: ring {e:.2f} without, {f:.2f} with (above 0.65); grid {g:.2f} (below 0.65), {h:.2f}"
lesson.claim(f"{found} (0.1 above)", min(e, f) > 0.65 and g < 0.65 and h > g + 0.1)

fig, axes = plt.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
for (kind, sd), values in said.items():
    look = {"color": blue if kind == "jsd" else gold, "label": f"{kind}, noise {sd}"} | ({} if sd else {"mfc": "none"})
    axes[0].plot(exact, values, "o", **look)
axes[0].set(xlabel="exact entropy (nats)", ylabel="estimate of I (nats)", ylim=(0, 6), title="What two networks say")
axes[0].legend(frameon=False, ncols=2)
side = np.linspace(-5, 5, 201)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
for ax, kind, name, colour in zip(axes[1:], (None, "jsd"), ("without", "with"), (red, blue)):
    gan, title = gans["grid", kind], f"Grid {name} entropy: {modes['grid', kind]} of 25 modes"
    low, high = np.quantile(U := gan.energy(plane).reshape(201, 201), (0.01, 0.9))
    fig.colorbar(ax.pcolormesh(side, side, U, vmin=low, vmax=high, cmap="gray"), ax=ax, label="energy U")
    ax.plot(*gan.sample(2500, rng).T, ".", ms=1.5, color=colour)
    ax.plot(*grid.modes.T, "o", ms=12, mfc="none", mec=gold)
    ax.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xticks=(), yticks=(), title=title)
lesson.figure(fig, "_entropy")
lesson.end()

# %% [markdown]
# Without entropy the slow critic chases the examples about the plane, and its landscape knows little of the data. With
# the library's own five steps and lighter penalty the grid is covered either way: a quick critic tears heaps apart. So
# entropy insures against a slow critic, and gives the energy a meaning. Too much of it blurs the samples.
#
# ## Exercises
#
# 1. `settle(w)`: examples of a generator that minimises a given energy less $w$ times its entropy, on the line. Take
#    $U = -\log p$ of the two heaps. For $w = 1$ `apart` is below 0.06. For $w = 0$ the SD of $|x|$ is below 0.15.
# 2. `information` fed with $x$ as it is, not in units of its SD: without noise JSD's slope rises above 0.2.
# 3. In the game above `entropy="infogan"` with a weight of 0.3 captures at least 21 modes of the grid.
#
# ## Sources
#
# Kumar et al., *Maximum entropy generators for energy-based models*, 2019 (arXiv 1901.08508). Kim & Bengio, *Deep
# directed generative models with energy-based probability estimation*, 2016 (arXiv 1606.03439). Su, *GAN models from
# the energy view* 1 to 3, 2019 (kexue.fm 6316, 6331, 6612). Mescheder, Geiger & Nowozin, ICML 2018: R1. Hjelm et al.,
# *Deep InfoMax*, ICLR 2019: JSD. Chen et al., *InfoGAN*, NIPS 2016. Barber & Agakov, NIPS 2003: the bound.
