# %% [markdown]
# # 17. A GAN that swings
#
# **At the end you can** train a GAN on whole motions with a gradient penalty on its critic, judge what it draws by
# physics, and recognise a critic that is too flat to teach, and a generator that draws the noise too.
#
# **It stands on** the physics residual (lesson 2), gradients of gradients (3), the normal distribution as a generator
# of motions (8), the two players who circle (10), and the GAN of lesson 15, whose loop and losses we take over.
#
# In lesson 15 the generator drew single angles. Now it is to draw motions: 100 angles, 5 s of a pendulum that nobody
# has seen. It is told no equation and no factors, only how real the second player finds what it draws. From here on we
# call that one the **critic**, for not every one of them names probabilities.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson
from minigen import (
    datasets,
    grad,
    metrics,
    models,
    nn,
    no_grad,
    ops,
    optim,
    tensor,
    training,
)
from minigen.physics import pendulum

lesson = Lesson("17_gan_pendulum")
rng, quick, blue, red, gold, grey = (
    lesson.rng,
    lesson.quick,
    "#1f5fa8",
    "#b3261e",
    "#d9822b",
    "#777",
)
dice, n = (
    lambda: np.random.default_rng(lesson.seed),
    250 if quick else 500,
)  # to play twice alike; motions to judge
data = datasets.pendulum_trajectories(4000, rng, view=100, noise=False)
fresh = datasets.pendulum_trajectories(
    n, rng, view=100
)  # to compare with: `clean` without noise, `theta` with it
centre, t = data.theta.mean(axis=0), data.t
unit = np.std(
    data.theta - centre
)  # rad; the networks see X, angles around the mean motion in this unit
X = ((data.theta - centre) / unit).astype(np.float32)

# %% [markdown]
# ## The judges, before the game
#
# The **physics residual** is the distance of a motion from the nearest motion of a pendulum. The same perfect swing,
# again and again, would get the best mark. So we also compare each factor of those nearest pendulums, $\theta_0$,
# $\omega_0$ and $g/L$, with the data's, by the **Kolmogorov-Smirnov statistic** (KS): the largest gap between two
# cumulative distributions, 0 if they agree, 1 if one lies wholly below the other. Copies of the training data would
# pass both tests. So we divide the median distance from a sample to the nearest training motion by that of fresh
# pendulums: this **neighbour ratio** is 0 for copies, about 1 for fresh data, above 1 off the data. Three generators
# that learn nothing set the scale: fresh pendulums, the control of lesson 3 (angles shuffled at each moment), and a
# normal distribution with the data's mean and covariance.

# %%
made, marks = {}, {}  # by name: motions, and what `judge` returned


def judge(name, motions, train=data.theta, other=fresh.clean):
    """Prints the marks of motions (n, 100) in rad; returns median residual, mean KS, residuals, factors."""
    fit, ratio = (
        metrics.physics_residual(motions, t),
        metrics.nearest_neighbour_ratio(motions, train, other),
    )
    ks, middle = (
        [*metrics.factor_match(fit.factors, data.factors).values()],
        np.median(fit.residual),
    )
    print(
        f"{name:27} residual {middle:.4f} rad, KS {' '.join(f'{k:.2f}' for k in ks)}, neighbour ratio {ratio:.2f}"
    )
    made[name], marks[name] = motions, (middle, np.mean(ks), fit.residual, fit.factors)
    return marks[name]


data_residual, *_ = judge("fresh pendulums", fresh.clean)
control, control_ks, *_ = judge(
    "shuffled control", metrics.shuffled_control(fresh.clean, rng)
)
normal, *_ = judge(
    "normal distribution", rng.multivariate_normal(centre, np.cov(data.theta.T), n)
)

# %% [markdown]
# ## A critic that may not shout
#
# The real motions fill little of the space of all lists of 100 numbers: three factors make a curved sheet of three
# dimensions. Off the sheet a critic can be as sure as it likes, and grow steeper and steeper. Even when the generator
# has arrived, a steep critic pushes it on, and the two circle as in lesson 14. A cure is R1, a **gradient penalty** at
# the real data (Mescheder, Geiger & Nowozin, 2018). With $l(x)$ the critic's logit of a motion $x$, it adds to the
# critic's loss of lesson 15
#
# $$ \frac\gamma2\, \mathrm E_{x \sim \text{data}} \big|\nabla_{\!x}\, l(x)\big|^2, \qquad \gamma = 0.1. $$
#
# So the logit becomes level where there are real motions, and a generator that has arrived is left in peace.
#
# This loss holds a gradient, by the angles $x$. To learn from it, the critic needs a gradient of this gradient, by its
# weights: `create_graph=True` keeps the first on the tape (lesson 4). Otherwise this is lesson 15's loop with the
# non-saturating loss, one step of each player in turn. For clean motions three latents would do; we give 128, as later
# the generator is to draw noise too.

# %%
LATENT, BATCH = 128, 64


def players(rng, *hidden):
    """A generator, a critic with hidden layers of these widths, how to draw fakes, and an order of the real data."""
    generator = nn.MLP([LATENT, 256, 100], "tanh", rng=rng)
    critic = nn.MLP(
        [100, *hidden, 1], "leaky_relu", slope=0.2, rng=rng
    )  # bends by z if z > 0, else 0.2 z
    batches = training.Minibatches(len(X), BATCH, rng)
    return (
        generator,
        critic,
        lambda: generator(ops.normal(rng, (BATCH, LATENT))),
        batches,
    )


def play(penalty, rng, turns):
    """Generator, critic, and both losses in each turn, the critic's without its penalty: (turns, 2)."""
    generator, critic, draw, batches = players(rng, 512)
    make = lambda net: optim.Adam(
        net, optim.cosine_decay(1e-3, turns), betas=(0.5, 0.9)
    )
    adam_g, adam_c = make(generator), make(critic)

    @minigen.compile
    def turn(real):
        with no_grad():
            fake = draw().data
        x = tensor(real, requires_grad=True)
        on_real, on_fake = critic(x), critic(fake)
        slope = grad(
            ops.sum(on_real), x, create_graph=True
        )  # (64, 100): a row depends on its own motion only
        loss_c = ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(on_fake))
        adam_c.zero_grad()
        (loss_c + penalty / 2 * ops.mean(ops.sum(slope**2, axis=1))).backward(
            critic.parameters()
        )
        adam_c.step()
        loss_g = ops.mean(ops.softplus(-critic(draw())))
        adam_g.zero_grad()
        loss_g.backward(generator.parameters())
        adam_g.step()
        return loss_c, loss_g

    return (
        generator,
        critic,
        np.array(
            [[loss.item() for loss in turn(X[batches.draw()])] for _ in range(turns)]
        ),
    )


# Does the library play as we do? Ten turns of both from the same dice; then the whole game.
gan = lambda **more: models.GAN(
    LATENT, (256,), "tanh", critic_hidden=(512,), r1=0.1, batch_size=BATCH, **more
)
history = gan(steps=10, record_every=1).fit(data.theta, rng=dice()).history_
gap = np.abs(
    play(0.1, dice(), 10)[2].T - [history["critic"], history["generator"]]
).max()
lesson.verdict(
    f"over 10 turns both players' losses equal those of models.GAN to {gap:.0e} (limit 1e-4)",
    gap < 1e-4,
)

drawn_by = lambda generator: (
    centre + unit * generator(np.float32(rng.standard_normal((n, LATENT)))).data
)
generator, critic, past = play(0.1, rng, 1200 if quick else 7000)
residual, ks, *_ = judge("GAN", drawn_by(generator))
k = 8 if quick else 15
found = f"{residual:.3f} rad (below 1/{k} of the control's {control:.2f}); the data's is {data_residual:.0e}"
lesson.verdict(f"median residual of the GAN {found}", k * residual < control)
lesson.verdict(
    f"mean KS of its factors {ks:.2f} (below 2/3 of the control's {control_ks:.2f})",
    ks < 2 / 3 * control_ks,
)

# %% [markdown]
# A network that was never told of Newton draws motions that a pendulum could make; in the full run, to about a degree.
#
# ## The critic of the original study
#
# The study this course grew out of used another game, the **Wasserstein GAN** (Arjovsky, Chintala & Bottou, 2017). Its
# critic gives motions marks $c$, numbers without a meaning of their own, and drives the mean marks of real and fake
# apart: its loss is $\mathrm E\, c(\text{fake}) - \mathrm E\, c(\text{real})$, the generator's is
# $-\mathrm E\, c(\text{fake})$. Left alone it could just multiply its marks by a million. So after every step its
# weights are **clipped**: what lies outside $\pm 0.001$ is moved to the nearer end. It makes five steps before each of
# the generator's, both by **RMSprop**, which divides a weight's gradient by its usual size, like Adam without momentum.
#
# How steep can such a critic be? If $m$ inputs of a layer change by at most $a$, and its weights are at most $w$, its
# outputs change by at most $m w a$, and the leaky ReLU adds nothing. With three hidden layers of 128, let one angle
# move by one unit: $m$ is 1 in the first layer, 128 in the three others, and the mark moves by at most
# $0.001^4 \cdot 128^3 = 2 \cdot 10^{-6}$. The 100 slopes together are a vector at most $\sqrt{100} = 10$ times as long.

# %%
CLIP, HIDDEN = 1e-3, (128, 128, 128)


def rmsprop(net, square, limit=np.inf, rate=5e-5):
    """One step, then clip: `square` is the running mean of the squared gradient, of all weights as one vector."""
    flat = net.flat()
    square[...] = 0.99 * square + 0.01 * flat.grad**2
    flat.data = np.clip(
        flat.data - rate * flat.grad / (np.sqrt(square) + 1e-8), -limit, limit
    )
    flat.changed()  # tells the network that its weights are new
    net.zero_grad()


def play_clipped(rng, turns):
    """Generator, critic, and the critic's loss at the end of each turn: (turns,)."""
    generator, critic, draw, batches = players(rng, *HIDDEN)
    square_g, square_c = (np.zeros_like(net.flat().data) for net in (generator, critic))
    critic.flat().data = np.clip(critic.flat().data, -CLIP, CLIP)
    losses = []
    for _ in range(turns):
        for _ in range(5):
            with no_grad():
                fake = draw().data
            loss = ops.mean(critic(fake)) - ops.mean(critic(X[batches.draw()]))
            loss.backward(critic.parameters())
            rmsprop(critic, square_c, CLIP)
        (-ops.mean(critic(draw()))).backward(generator.parameters())
        rmsprop(generator, square_g)
        losses.append(loss.item())
    return generator, critic, np.array(losses)


net, peer = (nn.MLP([LATENT, 1], rng=dice()) for _ in range(2))
square, theirs, x = (
    np.zeros(LATENT + 1, np.float32),
    optim.RMSprop(peer, 5e-5),
    rng.random((9, LATENT), np.float32),
)
for each, step in 50 * [(net, lambda: rmsprop(net, square)), (peer, theirs.step)]:
    each.zero_grad()
    ops.mean(each(x) ** 2).backward(each.parameters())
    step()
gap = np.abs(net.flat().data - peer.flat().data).max()
lesson.verdict(
    f"after 50 steps our weights are those of optim.RMSprop to {gap:.0e} (limit 1e-6)",
    gap < 1e-6,
)

clipped_generator, clipped_critic, clipped_past = play_clipped(
    rng, 250 if quick else 1500
)
clipped, *_ = judge("clipped WGAN", drawn_by(clipped_generator))
largest = np.abs(clipped_past).max()
lesson.verdict(
    f"the clipped critic's losses stay within {largest:.0e} of 0 (limit 1e-4)",
    largest < 1e-4,
)
x = tensor(X[:1000], requires_grad=True)
steep, level = (
    np.linalg.norm(grad(ops.sum(net(x)), x).data, axis=1)
    for net in (critic, clipped_critic)
)
bound, times = 10 * CLIP**4 * np.prod(HIDDEN), np.median(steep) / np.median(level)
found = f"{level.max():.0e} per unit (bound {bound:.0e}); the GAN's critic is {times:.0e} times steeper (above 1e4)"
lesson.verdict(
    f"its slope at the data is at most {found}", level.max() < bound and times > 1e4
)
ends = np.mean(np.abs(clipped_critic.flat().data) > 0.999 * CLIP)
lesson.verdict(
    f"{ends:.0%} of its weights lie at the ends of what is allowed (above 50 %)",
    ends > 0.5,
)
found = f"{clipped:.2f} rad, above the normal distribution's {normal:.2f}, over 1.5 times the GAN's {residual:.3f}"
lesson.verdict(
    f"its generator's median residual is {found}", clipped > normal > 1.5 * residual
)

fig, (top, (left, middle, right)) = plt.subplots(
    2, 3, figsize=(13, 7), layout="constrained"
)
views = (
    ("fresh pendulums", grey),
    ("GAN", blue),
    ("clipped WGAN", red),
    ("normal distribution", gold),
)
for ax, (name, colour) in zip(top, views):
    ax.plot(t, made[name][:12].T, lw=1.3, color=colour)
    ax.set(
        xlabel="time (s)",
        ylabel="angle (rad)",
        ylim=(-2.2, 2.2),
        title=f"Twelve motions: {name}",
    )
for name, colour in views[1:]:
    left.hist(
        marks[name][2], np.geomspace(3e-3, 1, 60), color=colour, alpha=0.7, label=name
    )
for losses, slope, (name, colour) in (
    (past[:, 0], steep, views[1]),
    (np.abs(clipped_past), level, views[2]),
):
    middle.loglog(np.arange(len(losses)) + 1, losses, color=colour, lw=1, label=name)
    right.hist(slope, np.geomspace(1e-7, 10, 80), color=colour, label=name)
right.axvline(bound, color="k", ls=":", label="the bound")
left.set(
    xscale="log",
    xlabel="physics residual (rad)",
    ylabel="samples",
    title="How far from a pendulum?",
)
middle.set(
    xlabel="turn",
    ylabel="|critic's loss|, no penalty",
    ylim=(1e-9, 100),
    title="The critics' losses",
)
right.set(
    xscale="log",
    xlabel="slope at a real motion (per unit)",
    ylabel="motions",
    title="The critics' slopes",
)
for ax, place in (
    (left, "upper left"),
    (middle, "lower left"),
    (right, "upper center"),
):
    ax.legend(frameon=False, fontsize=9, handlelength=1.2, loc=place)
lesson.save(fig)

# %% [markdown]
# The small losses are not the whole trouble. RMSprop divides by the gradient's size, so a gradient of a millionth moves
# the weights as far as any other, and in the full run the generator learns where the motions lie, and roughly how they
# spread. But with most weights at one end or the other, a critic can only be a simple function (Gulrajani et al.,
# 2017). What it teaches looks less like a pendulum than a normal distribution, which needs no network at all.
#
# ## With noise, a GAN draws the noise
#
# Now the angles are read with errors of SD $0.1\,t$ (lesson 2), and the same GAN, from the library, learns from those.
# Clean fakes would be found out at once. So its samples should lie as far from the nearest pendulum as fresh noisy
# motions do; 0 would be a bad mark. And at each time we take the SD of what remains: motion minus nearest pendulum.

# %%
noisy = datasets.pendulum_trajectories(4000, rng, view=100)
sample = gan(steps=1200 if quick else 8000).fit(noisy.theta, rng=rng).sample(n, rng)
fresh_noisy, ours, clean = names = (
    "fresh noisy motions",
    "GAN taught by noisy motions",
    "GAN taught by clean motions",
)
for name, motions in ((fresh_noisy, fresh.theta), (ours, sample)):
    judge(name, motions, noisy.theta, fresh.theta)
made[clean], marks[clean], sd = made["GAN"], marks["GAN"], {}
for name in names:
    theta0, omega0, g_over_l = marks[name][
        3
    ].values()  # a rod of 1 m under gravity g/L swings like the fitted pendulum
    motion = pendulum.simulate(
        theta0, omega0, 1.0, gravity=g_over_l, steps=500, dt=0.01
    ).theta[:, ::5]
    sd[name] = np.std(made[name] - motion, axis=0)
found = f"{marks[ours][0]:.3f} rad, that of fresh noisy motions {marks[fresh_noisy][0]:.3f} (within 20 %)"
lesson.verdict(
    f"{ours} has a median residual of {found}",
    abs(marks[ours][0] / marks[fresh_noisy][0] - 1) < 0.2,
)
start, end, last = (
    sd[ours][:20].mean(),
    sd[ours][80:].mean(),
    sd[fresh_noisy][80:].mean(),
)
found = f"{end:.2f} rad in the last second, {last:.2f} when fresh (within 25 %), {end / start:.1f} times the first's"
lesson.verdict(
    f"the SD of its noise is {found} (above 1.5)",
    abs(end / last - 1) < 0.25 and end > 1.5 * start,
)

fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
for ax, name, title in zip(
    axes, names, ("Three fresh noisy motions", "Three drawn by the GAN they taught")
):
    ax.set_prop_cycle(color=(blue, red, gold))
    ax.plot(t, made[name][:3].T, ".", ms=4)
    ax.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3, 3), title=title)
for name, colour in zip(names, (grey, red, blue)):
    axes[2].plot(t, sd[name], color=colour, lw=2, label=name)
axes[2].plot(t, 0.1 * t, "k:", label="the noise added, 0.1 t")
axes[2].set(
    xlabel="time (s)",
    ylabel="SD (rad)",
    ylim=(0, 0.75),
    title="SD of motion minus nearest pendulum",
)
axes[2].legend(frameon=False, fontsize=9, loc="upper left")
lesson.save(fig, "noise")
lesson.end()

# %% [markdown]
# (Fresh motions do not begin at 0 in the third picture: later noise leads the fit astray.) The GAN has learned the
# noise with the motion, more of it later, and cannot tell where the one ends and the other begins: it gives neither the
# clean motion nor the size of the error. Lesson 21's generator gives both, because it holds a likelihood.
#
# ## Exercises
#
# 1. `bound(clip, widths)`: the largest possible norm of the slope, as above. Use `play_clipped` with `CLIP = 0.01`: the
#    slopes at the data stay below it, and are more than 1000 times those of clip 0.001. Are the motions better?
# 2. Play 7000 turns without the penalty (0). At the end the median slope at the data is more than 1.3 times as large.
# 3. Train on 20 motions only; `judge` gets them as `train`. Which mark tells? (Neighbour ratio < 0.85, mean KS > 0.15.)
#
# ## Sources
#
# Arjovsky, Chintala & Bottou, *Wasserstein GAN*, ICML 2017: clipping. Gulrajani et al., *Improved training of
# Wasserstein GANs*, NIPS 2017: what clipping does. Mescheder, Geiger & Nowozin, *Which training methods for GANs do
# actually converge?*, ICML 2018: R1. Tieleman & Hinton, *Neural networks for machine learning*, lecture 6.5 (2012):
# RMSprop. Honchar, *GANs vs ODEs* (2019): the study.
