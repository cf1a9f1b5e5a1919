# %% [markdown]
# # 15. The GAN: a forger and a detective
#
# **At the end you can** train a network that tells two distributions apart and read their ratio off it, write the three
# losses by which a generator learns from that, say what each makes smaller and when it falls silent, and let both
# networks play against each other: a generative adversarial network, a GAN.
#
# **It stands on** networks and Adam (lesson 5), the divergences of lesson 10, and the games of lesson 14.
#
# Lesson 10 fitted distributions by likelihood, which takes a formula for the density. A network that turns random
# numbers into examples has none. The way around (Goodfellow et al., 2014): a second network, the **discriminator**,
# learns to tell the examples made by the first, the **generator**, from real ones, and so tells it what to change.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson
from minigen import divergences, grad, models, nn, no_grad, ops, optim, tensor, training
from minigen.physics import pendulum

lesson = Lesson("15_discriminator")
rng, blue, red, gold = lesson.rng, "#1f5fa8", "#b3261e", "#d9822b"

# %% [markdown]
# Our data: a pendulum of 1 m swings between -1.2 and 1.2 rad. At random moments we photograph it, and read its angle
# with an error of SD 0.15 rad. It dwells where it turns round, so the angles pile up at both ends. To judge, we also
# want their density $p$: a normal density around each angle that the pendulum passes, averaged over a period.

# %%
period = float(pendulum.exact_period(1.2, 1.0))
swing = pendulum.simulate(
    1.2, 0.0, 1.0, steps=2000, dt=period / 2000
).theta  # one period, rad
photographs = lambda n: (rng.choice(swing, n) + 0.15 * rng.standard_normal(n))[
    :, None
].astype(np.float32)
x, dx = np.linspace(-4, 4, 1601, retstep=True)  # rad
normal = lambda x, mean, sd: (
    np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
)
p = normal(x[:, None], swing, 0.15).mean(axis=1)

# %% [markdown]
# ## The discriminator measures a ratio
#
# Begin with a clumsy generator that does not learn: $G(z) = 0.3 + 0.7 z$ with $z \sim \mathcal N(0, 1)$. Its examples
# have a normal density $q$. For each picture the discriminator names a probability $D(x)$ of being real, and maximises
#
# $$ V = \mathrm E_{x \sim p} \log D(x) + \mathrm E_{x \sim q} \log\big(1 - D(x)\big), $$
#
# the log-likelihood of its answers. At each $x$ it may choose $D$ freely, and $p \log D + q \log(1 - D)$ has slope 0,
# $p/D = q/(1 - D)$, at $D^* = p/(p + q)$: the share of real ones at $x$, if half of all are real. Put back, it gives
# $V^* = 2\,\mathrm{JS}(p, q) - \ln 4$, with the Jensen-Shannon divergence of lesson 11. So **the best discriminator
# measures how far apart two distributions are**, from examples alone. If they are the same, it can only toss a coin:
# $D^* = 1/2$ everywhere, and $V^* = -\ln 4$. Our network gives the **logit** $l = \log\frac{D}{1 - D}$, any number; the
# best one is $l^* = \log\frac pq$. In logits $-\log D = \log(1 + e^{-l})$, which is `softplus(-l)`, and $-\log(1 - D)$
# is `softplus(l)`. We try it on the clumsy generator, and on a perfect one: more photographs.


# %%
def classify(real, fake):
    """-V, which the discriminator makes small, from its logits for real and for fake examples."""
    return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))


def train_discriminator(fakes, steps, callbacks=()):
    """A network that tells `fakes` (n, 1) from photographs, by the loop of lesson 5."""
    net, data = (
        nn.MLP([1, 64, 64, 1], "tanh", rng=rng),
        (photographs(len(fakes)), fakes),
    )
    adam, settings = (
        optim.Adam(net, optim.cosine_decay(0.02, steps)),
        {"steps": steps, "batch_size": 1024, "rng": rng},
    )
    of_batch = lambda real, fake: classify(net(real), net(fake))
    training.fit(net, of_batch, data, optimizer=adam, callbacks=callbacks, **settings)
    return net


n, a, b, steps = 1_000_000, 0.3, 0.7, 1500 if lesson.quick else 4000
line, q = (
    lambda a, b: (a + b * rng.standard_normal((n, 1))).astype(np.float32),
    normal(x, a, b),
)
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
ax.fill_between(x, p, color="#ddd", label="p: photographs")
ax.plot(x, q, color="#777", lw=2, label="q: the clumsy generator's")
opponents = (
    ("perfect", photographs(n), p, "-ln 4", red),
    ("clumsy", line(a, b), q, "2 JS - ln 4", blue),
)
for name, fakes, q_now, known, colour in opponents:
    network = train_discriminator(fakes, steps)
    logit = network(x[:, None].astype(np.float32)).data[:, 0].astype(float)
    D, best, mass = (
        1 / (1 + np.exp(-logit)),
        p / (p + q_now),
        np.cumsum(p + q_now) * dx / 2,
    )
    support = (mass > 0.005) & (mass < 0.995)  # where 99 % of all pictures lie
    value = -dx * np.sum(p * np.logaddexp(0, -logit) + q_now * np.logaddexp(0, logit))
    off, goal = (
        np.abs(D - best)[support].max(),
        2 * divergences.jensen_shannon(p, q_now, dx) - np.log(4),
    )
    lesson.verdict(
        f"{name} generator: D is p/(p+q) to {off:.4f} on the support (limit 0.05)",
        off < 0.05,
    )
    lesson.verdict(
        f"its V is {value:.4f}, {known} is {goal:.4f} (within 0.01)",
        abs(value - goal) < 0.01,
    )
    ax.plot(x, D, color=colour, lw=2, label=f"D against the {name} generator")
    ax.plot(
        x[support],
        best[support],
        "k:",
        lw=2,
        label=None if q_now is p else "p/(p + q), where 99 % lie",
    )
ax.set(
    xlabel="angle x (rad)",
    ylabel="density (1/rad), probability D",
    xlim=(-2.5, 2.5),
    ylim=(0, 1.3),
)
ax.set(title="The discriminator learns the share of real pictures at each angle")
ax.legend(frameon=False, ncols=2, loc="upper center")
lesson.save(fig)

# %% [markdown]
# ## Three losses for the generator
#
# The generator gets each of its examples back with the logit $l$ that it earned, and with the slope of $l$ by $x$:
# which way to move to look more real. What mean over its examples should it make small? (Goodfellow, 2016.)
#
# | loss | per example | slope by $l$ | idea |
# |---|---|---|---|
# | **minimax** | $\log(1 - D)$ | $-D$ | the other side of the zero-sum game: what $D$ gains, $G$ loses |
# | **non-saturating** | $-\log D$ | $-(1 - D)$ | be taken for real |
# | **maximum likelihood** | $-e^l$ | $-e^l$ | weigh each example by $p/q$ |
#
# All three push $l$ up; they differ in **whom** they push: non-saturating those that are found out, minimax those that
# already pass for real, maximum likelihood the most convincing most. What gets smaller? With the best $D$ it is
# $2\,\mathrm{JS}$ for minimax, as the game says, and $\mathrm{KL}(q\,\|\,p) - 2\,\mathrm{JS}$ for non-saturating
# (exercise 2). The value of maximum likelihood says nothing: the mean of $-e^{l^*} = -p/q$ over $q$ is $-1$ for every
# generator. But in its gradient $\nabla$, by $G$'s parameters, $q$ moves while $D$, and so the weight $p/q$, stays:
#
# $$ -\int \nabla q\; \frac pq \,dx = -\int p\, \nabla \log q \,dx = \nabla\, \mathrm{KL}(p \,\|\, q), $$
#
# the gradient of lesson 10's likelihood, without a formula for $q$. The divergence itself can be read off too. Lesson
# 7's bound for KL, with the critic $t = 1 + l$, is $\mathrm E_p\, l - \mathrm E_q\, e^l + 1 \le \mathrm{KL}(p\,\|\,q)$,
# equal for the best logit. We test both with the network just trained, against the clumsy generator, and its parameters
# $a$ and $b$ in $G(z) = a + b z$. The true slopes are $(a - \mathrm E_p x)/b^2$ and $1/b - \mathrm E_p (x - a)^2/b^3$.

# %%
losses = {
    "minimax": lambda l: -ops.mean(ops.softplus(l)),
    "non_saturating": lambda l: ops.mean(ops.softplus(-l)),
}
losses["maximum_likelihood"] = lambda l: -ops.mean(ops.exp(l))


def pull(name, network, a, b, z):
    """Gradient (2,) of a generator's loss by a and b, for the generator a + b z."""
    a, b = (tensor(np.float32(value), requires_grad=True) for value in (a, b))
    return np.array([float(g) for g in grad(losses[name](network(a + b * z)), (a, b))])


true_pull = lambda a, b: (
    np.array([a - p @ x * dx, b - p @ (x - a) ** 2 * dx / b]) / b**2
)  # of KL(p||q)
read, kl = dx * np.sum(p * logit - q * np.exp(logit)) + 1, divergences.kl(p, q, dx)
lesson.verdict(
    f"KL(p||q) read off the logits: {read:.3f}; grid: {kl:.3f} (within 5 %)",
    abs(read / kl - 1) < 0.05,
)
z = rng.standard_normal((200_000, 1)).astype(np.float32)
ours, true = pull("maximum_likelihood", network, a, b, z), true_pull(a, b)
off, found = (
    np.linalg.norm(ours - true) / np.linalg.norm(true),
    f"{ours.round(3)}, that of KL(p||q) {true.round(3)}",
)
lesson.verdict(
    f"the gradient of maximum likelihood is {found}: {100 * off:.1f} % off (limit 10 %)",
    off < 0.1,
)

# %% [markdown]
# ## When the discriminator wins
#
# When a training starts, the generator's examples are nowhere near the data, and the discriminator sees it at once.
# Take $G(z) = 3 + 0.2 z$; the photographs end near 1.7 rad. While a discriminator learns to tell it from the data, we
# watch (`look`, after each step) the gradient of each loss by $a$: how strongly the generator is asked to come nearer.

# %%
far, z, seen = (3.0, 0.2), z[:20_000], []
moments = np.unique(np.geomspace(1, 1000, 40).astype(int))
look = lambda now: (
    now.step in moments
    and seen.append([pull(name, now.model, *far, z)[0] for name in losses])
)
train_discriminator(line(*far), moments[-1], [look])
seen = np.abs(seen)  # (moment, loss), 1/rad
left = seen[-1] / seen.max(axis=0)
found = (
    f"minimax keeps {left[0]:.1e}, maximum likelihood {left[2]:.1e} (both below 0.02)"
)
lesson.verdict(f"of its largest gradient {found}", max(left[0], left[2]) < 0.02)
found = f"keeps {left[1]:.2f} (above 0.25), and ends {seen[-1, 1] / seen[-1, 0]:.0f} times above minimax (above 1000)"
lesson.verdict(
    f"non-saturating {found}", left[1] > 0.25 and seen[-1, 1] > 1000 * seen[-1, 0]
)

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
styles = {
    name: {"color": c, "lw": 2, "label": name.replace("_", "-")}
    for name, c in zip(losses, (red, blue, gold))
}
for k, style in enumerate(styles.values()):
    ax.loglog(moments, seen[:, k], **style, ls=(0, (4, 4)) if k == 2 else "-")
ax.axhline(true_pull(*far)[0], color=gold, ls=":", lw=2, label="true slope of KL(p‖q)")
ax.set(
    xlabel="steps of the discriminator",
    ylabel="|gradient by a| (1/rad)",
    title="Two losses fall silent",
)
ax.legend(frameon=False, loc="lower left")
lesson.save(fig, "losses")

# %% [markdown]
# Where the discriminator is sure, $D \to 0$, and minimax's slope $-D$ vanishes: no advice just when it is needed most.
# Maximum likelihood suffers too, though its divergence is steep (dotted): its mean lives on the rare examples that land
# among the photographs, and of our 20 000 none does. Non-saturating still speaks, and became the standard.
#
# ## The whole game
#
# Now both learn in turns: five steps of the discriminator, so that it stays near its best, then one of the generator, a
# small network with one random input $z$, called a **latent** variable. For the discriminator the examples are
# constants (`no_grad`). For the generator the gradient passes through the discriminator, but only the generator's own
# weights receive it. `minigen.compile` replays a recorded turn, with the same numbers (lesson 8).


# %%
def play(data, loss, rng, turns):
    """The losses (turns, 2) of discriminator (`critic`) and generator, for data (n, 1) of mean 0 and SD 1."""
    generator, critic = (nn.MLP([1, 32, 32, 1], "tanh", rng=rng) for _ in range(2))
    adam = lambda net, steps: optim.Adam(
        net, optim.cosine_decay(1e-3, steps), betas=(0.5, 0.9)
    )  # short memories
    adam_g, adam_d = adam(generator, turns), adam(critic, 5 * turns)
    batches, draw = (
        training.Minibatches(len(data), 128, rng),
        lambda: generator(ops.normal(rng, (128, 1))),
    )

    @minigen.compile
    def turn(*reals):
        for real in reals:
            with no_grad():
                fake = draw().data
            adam_d.zero_grad()
            loss_d = classify(critic(real), critic(fake))
            loss_d.backward(critic.parameters())
            adam_d.step()
        adam_g.zero_grad()
        loss_g = loss(critic(draw()))
        loss_g.backward(generator.parameters())
        adam_g.step()
        return loss_d, loss_g

    return np.array(
        [
            [each.item() for each in turn(*(data[batches.draw()] for _ in range(5)))]
            for _ in range(turns)
        ]
    )


X, gap, dice = photographs(10_000), 0.0, lambda: np.random.default_rng(lesson.seed)
unit = ((X - X.mean(dtype=float)) / X.std(dtype=float)).astype(np.float32)
networks = {
    "activation": "tanh",
    "critic_activation": "tanh",
    "hidden": (32, 32),
    "critic_hidden": (32, 32),
}
make = lambda loss, **more: models.GAN(1, **networks, critic_steps=5, loss=loss, **more)
for name, loss in losses.items():
    history = make(name, steps=50, record_every=1).fit(X, rng=dice()).history_
    gap = max(
        gap,
        np.abs(
            play(unit, loss, dice(), 50).T - [history["critic"], history["generator"]]
        ).max(),
    )
lesson.verdict(
    f"over 50 turns both players' losses equal those of models.GAN to {gap:.0e} (limit 1e-4)",
    gap < 1e-4,
)

# %% [markdown]
# Let the library play longer, with each loss. The **Wasserstein distance** is the shortest mean way (rad) on which the
# examples can be moved to lie as fresh photographs do. To compare: the normal density of the same mean and SD.

# %%
n, fresh, latent = 10_000, photographs(10_000)[:, 0], np.linspace(-3, 3, 301)
distance = lambda sample: divergences.wasserstein_1d(sample, fresh, order=1)
blind = distance(rng.normal(X.mean(), X.std(), n))
fig, axes = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
axes[0].fill_between(x, p, color="#ddd", label="density of the photographs")
for name in losses:
    gan = make(name, steps=1500 if lesson.quick else 6000).fit(X, rng=rng)
    off = distance(sample := gan.sample(n, rng)[:, 0])
    lesson.verdict(
        f"{name} is {off:.3f} rad away (below half of the normal density's {blind:.3f})",
        off < blind / 2,
    )
    axes[0].hist(
        sample, bins=60, range=(-2, 2), density=True, histtype="step", **styles[name]
    )
    axes[1].plot(
        latent, gan.generate(latent[:, None])[:, 0], **styles[name] | {"label": None}
    )
exact = np.interp(
    np.cumsum(normal(x, 0, 1)), np.cumsum(p), x
)  # angle and z at equal cumulative probability
axes[1].plot(x, exact, "k:", lw=2, label="exact, rising (falling: its mirror image)")
axes[0].set(
    xlabel="angle (rad)",
    ylabel="density (1/rad)",
    xlim=(-2, 2),
    ylim=(0, 1.1),
    title="What they learned",
)
axes[1].set(
    xlabel="z, drawn from N(0, 1)",
    ylabel="G(z) (rad)",
    xlim=(-3, 3),
    ylim=(-1.6, 2),
    title="How: G bends z",
)
for ax in axes:
    ax.legend(frameon=False, loc="upper center")
lesson.save(fig, "learned")
lesson.end()

# %% [markdown]
# One heap of $z$ becomes two heaps of angles: where $G$ is flat many $z$ share few angles, where it is steep few are
# spread over many. Rising or falling, both serve, and chance decides. Nobody gave the generator a density.
#
# ## Exercises
#
# 1. Call photographs real with probability 0.9 only (*label smoothing*: in `classify` a real example costs 0.9
#    `softplus(-l)` + 0.1 `softplus(l)`). The clumsy generator's $D$ is $0.9\,p/(p+q)$ within 0.05 on the support.
# 2. `best_pull(name)`: the clumsy generator's `pull` as an integral over `x`, weighed by `q`, with the logit
#    $\log\frac pq$ (slope: `np.gradient`). Non-saturating has the slopes of $\mathrm{KL}(q\,\|\,p) - 2\,\mathrm{JS}$,
#    to 1 %.
# 3. Choose 10 000 of 100 000 examples of $0.3 + 0.7z$ with probabilities proportional to `network`'s $e^l$. They are
#    less than a third as far from `fresh` (by `distance`) as unchosen ones. Why?
#
# ## Sources
#
# Goodfellow et al., *Generative adversarial nets*, NIPS 2014: the game and its optimum. Goodfellow, *NIPS 2016
# tutorial* (arXiv 1701.00160): three losses; *On distinguishability criteria*, ICLR workshop 2015: maximum likelihood.
# Nowozin, Cseke & Tomioka, *f-GAN*, NIPS 2016: divergences from critics. Arjovsky & Bottou, *Towards principled methods
# for training GANs*, ICLR 2017: vanishing gradients, and what the non-saturating loss descends.
