# %% [markdown]
# # 17. A GAN that swings: whole motions
#
# *Part 4: adversaries. 60 minutes.*
#
# **The question.** Can a network learn to draw whole motions of a pendulum, from examples alone? It
# is told no equation, no length and no starting angle. All it ever hears is how real a second
# network finds its drawings. And if the examples are noisy: will it draw the motion, or the noise
# as well?
#
# **Afterwards you can**
#
# * train a GAN on motions of 100 angles, with a gradient penalty on its critic,
# * say what that penalty is for, and when it is needed,
# * judge a generator by three marks, each of which catches another cheat,
# * say what a GAN makes of noise.
#
# **You need** the three judges (lesson 3), gradients of gradients (lesson 4), two players who
# circle (lesson 14), and the GAN with its losses (lessons 15 and 16).
#
# **Four parts**, of about 15 minutes each. One may stop after any of them.
#
# 1. Three judges
# 2. A critic that is too steep
# 3. The game with motions
# 4. With noise

# %%
from lesson import Lesson

lesson = Lesson("17_gan_pendulum")
rng = lesson.rng

import numpy as np

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
from minigen.plots import BLACK, BLUE, GREY, ORANGE, VERMILLION

# %% [markdown]
# # Part 1. Three judges
#
# First the data: 4000 pendulums, each watched for 5 s at 100 moments, without noise. Beside them we
# keep some `fresh` ones that no network will see.

# %%
ANGLES = 100
JUDGED = lesson.pick(full=500, quick=120)  # how many motions a judge gets

data = datasets.pendulum_trajectories(4000, rng, view=ANGLES, noise=False)
fresh = datasets.pendulum_trajectories(JUDGED, rng, view=ANGLES)
t = data.t  # (100,), s
print("learned from:", data.theta.shape, " fresh:", fresh.clean.shape)


# %% tags=["hide-input"]
def draw_data():
    with lesson.figure("data", panels=2, height=3.0, sharey=True) as (one, twelve):
        one.plot(t, data.theta[0], ".", color=BLUE, ms=5)
        one.set(xlabel="time (s)", ylabel="angle (rad)")
        one.set_title("One example is a list of 100 angles")
        twelve.plot(t, data.theta[:12].T, color=BLUE, lw=1.1)
        twelve.set(xlabel="time (s)", title="Twelve of the 4000, as curves")


draw_data()

# %% [markdown]
# Before anything learns, we look at four "generators" that do not learn at all. The first gives one
# true swing again and again. The second gives copies of the data. The third is the control of
# lesson 3: the right angles at each moment, shuffled. The fourth is a normal distribution with the
# mean and the covariance of the data, so at each moment its spread is right.

# %%
mean_motion = data.theta.mean(axis=0)  # (100,), rad
covariance = np.cov(data.theta.T)  # (100, 100), rad^2

made = {
    "fresh pendulums": fresh.clean,
    "one swing": np.tile(fresh.clean[:1], (JUDGED, 1)),
    "copies": data.theta[:JUDGED],
    "shuffled": metrics.shuffled_control(fresh.clean, rng),
    "Gaussian": rng.multivariate_normal(mean_motion, covariance, JUDGED),
}
lesson.show("angles at 5 s: SD of the data", data.theta[:, -1].std(), "rad")
lesson.show("angles at 5 s: SD of the Gaussian", made["Gaussian"][:, -1].std(), "rad")


# %% tags=["hide-input"]
def draw_generators_that_do_not_learn():
    with lesson.figure("judges", panels=5, width=2.8, height=3.0, sharey=True) as axes:
        for ax, (name, motions) in zip(axes, made.items()):
            colour = BLUE if name == "fresh pendulums" else GREY
            ax.plot(t, motions[:12].T, color=colour, lw=1.1)
            ax.set(title=f"Twelve: {name}", xlabel="time (s)", ylim=(-2.2, 2.2))
        axes[0].set_ylabel("angle (rad)")


draw_generators_that_do_not_learn()

# %% [markdown]
# Three judges of lesson 3, in a sentence each:
#
# * The **physics residual** is the distance in rad from a motion to the nearest motion of a
#   pendulum.
# * The **factor match** compares starting angle, starting speed and $g/L$ of those nearest
#   pendulums with the data's, by the KS statistic: 0 the same distribution, 1 quite another. The
#   mark is the mean of the three.
# * The **neighbour ratio** is the distance to the nearest motion of the data, over the same
#   distance for fresh pendulums: 0 for copies, about 1 for fresh pendulums, more for what lies off
#   the data.
#
# > **Predict.** Five sets and three judges. Which sets have a residual of zero and are yet no
# > good? Which judge finds each of them out? Is there a set that two of the judges let pass?


# %%
def judge(motions):
    """The three marks of motions (n, 100) in rad."""
    fit = metrics.physics_residual(motions, t)
    mismatch = metrics.factor_match(fit.factors, data.factors)  # KS of three factors
    neighbours = metrics.nearest_neighbour_ratio(motions, data.theta, fresh.clean)
    return {
        "residual": np.median(fit.residual),
        "mean KS": np.mean(list(mismatch.values())),
        "neighbour ratio": neighbours,
    }


marks = {}
for name, motions in made.items():
    marks[name] = judge(motions)
lesson.table("five sets of motions (residuals in rad)", marks)

# %%
copies = marks["copies"]
one_swing = marks["one swing"]
gaussian = marks["Gaussian"]
lesson.claim("copies: residual", copies["residual"], below=1e-6, unit="rad")
lesson.claim("copies: mean KS", copies["mean KS"], below=0.15)
lesson.claim("copies: neighbour ratio", copies["neighbour ratio"], exactly=0)
lesson.claim("one swing: residual", one_swing["residual"], below=1e-6, unit="rad")
lesson.claim("one swing: mean KS", one_swing["mean KS"], above=0.3)
lesson.claim("Gaussian: residual", gaussian["residual"], above=0.1, unit="rad")

# %% [markdown]
# **What you saw.** The residual is fooled by one swing and by copies. The factor match finds the
# one swing. The copies pass two judges, and only the third finds them. No single mark is enough.
# (A KS of 0.04 is chance, as the fresh pendulums show. And the neighbour ratio of the one swing is
# that of a single motion: it may be anything.)
#
# Keep the Gaussian in mind. It knows every mean and every covariance, and needs no network. A GAN
# that is worth its trouble has to be much nearer to a pendulum than that.

# %% [markdown]
# # Part 2. A critic that is too steep
#
# From here on we call the discriminator the **critic**. It gives each example a logit $l(x)$: large
# for real, negative for fake. The generator follows the *slope* of $l$: which way looks more real?
#
# Three numbers make a motion. So the real motions fill next to nothing of the space of all lists of
# 100 numbers: they lie on a thin, bent sheet. A generator may come very near to the sheet and still
# not be on it. What does the critic tell it then?
#
# The smallest case: numbers instead of motions. **All real examples are at 0, and all fakes at
# 0.1.** The critic is a straight line through the middle, $l(x) = s\,(0.05 - x)$, and its loss
# $\ln(1 + e^{-l})$ for real ones plus $\ln(1 + e^{l})$ for fakes (lesson 15). Three slopes by hand:
#
# | slope $s$ | logit at 0 | logit at 0.1 | loss |
# |---|---|---|---|
# | 1 | 0.05 | -0.05 | $2 \ln(1 + e^{-0.05}) = 1.34$ |
# | 10 | 0.5 | -0.5 | $2 \ln(1 + e^{-0.5}) = 0.95$ |
# | 100 | 5 | -5 | $2 \ln(1 + e^{-5}) = 0.013$ |
#
# > **Predict.** Which slope is best for the critic? Now move the fakes nearer, to 0.01. Does the
# > best slope become smaller?


# %%
def softplus(x):
    """ln(1 + e^x)."""
    return np.logaddexp(0, x)


def classify(slope, distance):
    """Loss of the critic l(x) = slope (distance/2 - x): real examples at 0, fakes at `distance`."""
    on_real = slope * distance / 2
    on_fake = -slope * distance / 2
    return softplus(-on_real) + softplus(on_fake)


by_formula = classify(np.array([1, 10, 100]), 0.1)
print("by hand 1.34, 0.95, 0.013; computed:", by_formula.round(3))

# %% [markdown]
# Each steeper critic is a better one, and there is no best: the loss falls for ever. That does not
# change when the fakes come nearer. A generator that is *almost right* is pushed as hard as the
# critic can be steep.
#
# Put numbers on it. The fake at 0.1 has the logit -5 when the slope is 100, so $D = 1/(1 + e^5) =
# 0.007$. The non-saturating loss pushes it by $(1 - D)\,s = 0.993 \cdot 100 = 99$. With a learning
# rate of 0.01 it is moved by 0.99, and lands at $-0.89$: nine times as far away, on the other side.
#
# ## The cure: a price on slope
#
# Let the critic pay for being steep *where the real examples are*. That is **R1**, a **zero-centred
# gradient penalty** (Mescheder, Geiger and Nowozin, 2018). Only the slope 0 is free:
#
# $$ \text{loss of the critic} = \text{loss of lesson 15}
#   + \frac\gamma2\, \mathrm E_{x \sim \text{data}}\, |\nabla_{\!x}\, l(x)|^2,
#   \qquad \gamma = 0.1. $$
#
# Here $\nabla_{\!x}\, l$ holds the slopes of the logit by all inputs, for a motion 100 of them; on
# the line it is the one slope $-s$, and the penalty adds $0.05\,s^2$. Slope 1: $1.34 + 0.05 =
# 1.39$. Slope 10: $0.95 + 5 = 5.95$. Now it does not pay to be steep. We try 2000 slopes, from 0.01
# to 1000, for four distances.

# %%
GAMMA = 0.1
slopes = np.geomspace(0.01, 1000, 2000)
distances = [0.4, 0.2, 0.1, 0.05]

best_slope = {}  # by penalty and distance
for penalty in (0, GAMMA):
    for distance in distances:
        loss = classify(slopes, distance) + penalty / 2 * slopes**2
        best_slope[penalty, distance] = slopes[np.argmin(loss)]

# %%
slope_rows = {}
for distance in distances:
    slope_rows[f"fakes at {distance}"] = {
        "no penalty": best_slope[0, distance],
        "R1": best_slope[GAMMA, distance],
        "distance / (2 gamma)": distance / (2 * GAMMA),
    }
lesson.table("the best of the slopes up to 1000", slope_rows)


# %% tags=["hide-input"]
def draw_line():
    with lesson.figure("line", panels=2) as (critics, price):
        x = np.linspace(-0.05, 0.15, 50)
        gentle = best_slope[GAMMA, 0.1]
        critics.plot(x, 100 * (0.05 - x), color=VERMILLION, label="steep: slope 100")
        critics.plot(
            x, gentle * (0.05 - x), color=BLUE, label=f"the best with R1: {gentle:.2f}"
        )
        critics.plot(0, 0, "o", color=BLACK, ms=9, label="all real examples")
        critics.plot(0.1, 0, "s", color=ORANGE, ms=9, label="all fakes")
        critics.set(xlabel="x", ylabel="logit l(x)", ylim=(-11, 15))
        critics.set_xticks([-0.05, 0, 0.05, 0.1, 0.15])
        critics.set_title("A steep critic and a flat one")

        plain_loss = classify(slopes, 0.1)
        price.semilogx(
            slopes, plain_loss, color=VERMILLION, label="no penalty: falls for ever"
        )
        price.semilogx(
            slopes, plain_loss + GAMMA / 2 * slopes**2, color=BLUE, label="R1"
        )
        least = classify(gentle, 0.1) + GAMMA / 2 * gentle**2
        price.plot(
            gentle, least, "o", color=BLUE, label=f"least, at slope {gentle:.2f}"
        )
        price.set(xlabel="slope s", ylabel="loss of the critic", ylim=(0, 2.6))
        price.set_title("What slope costs, fakes at 0.1")


draw_line()

# %% [markdown]
# **What you saw.** Without the penalty the best slope is the largest that we tried. With it the
# best slope is nearly in proportion to the distance, as the force of a *spring* is.
#
# Why? For a small $a$, $\ln(1 + e^{-a})$ is about $\ln 2 - a/2$. At the distance $d$ both logits
# have the size $a = s\,d/2$, so the loss is about $2 \ln 2 - s\,d/2$. The price is $\gamma
# s^2/2$. Their sum has the slope $-d/2 + \gamma s$ by $s$, and is least at $s = d/(2\gamma)$. **A
# generator that has arrived is left in peace.**

# %%
springs = []
for distance in distances:
    springs.append(best_slope[GAMMA, distance] / distance)
lesson.claim("R1: best slope over distance", springs, near=1 / (2 * GAMMA), percent=20)
steepest = [best_slope[0, distance] for distance in distances]
lesson.claim("no penalty: the steepest of all", steepest, near=1000, within=1e-6)

# %% [markdown]
# ## Does it arrive?
#
# Now let both learn in turns. It is nearly the smallest GAN of lesson 14. The generator is one
# number $g$, the place of all its fakes. The critic is one number $w$, with the logit $l(x) = -w
# x$. Real examples are at 0, where the logit is 0 whatever $w$ is. So what is left of the losses is
#
# $$ \text{critic: } \ln(1 + e^{-w g}) + \tfrac\gamma2 w^2, \qquad
#   \text{generator: } \ln(1 + e^{w g}). $$
#
# Each goes downhill. As $\ln(1 + e^a)$ has the slope $\sigma(a)$, the critic moves $w$ along
# $g\,\sigma(-w g) - \gamma w$, and the generator moves $g$ along $-w\,\sigma(w g)$. The first turn
# by hand, from $g = 1$ and $w = 0$, at the rate 0.1: $w$ becomes $0.1 \cdot 1 \cdot 0.5 = 0.05$,
# and then $g$ becomes $1 - 0.1 \cdot 0.05 \cdot 0.51 = 0.997$.
#
# > **Predict.** The generator starts at 1. Where is it after 1000 turns, without and with the
# > penalty?

# %%
RATE = 0.1


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def play_on_a_line(penalty, turns=1000):
    """The generator's place after each turn: (turns,)."""
    g = 1.0
    w = 0.0
    places = []
    for _ in range(turns):
        better_for_critic = g * sigmoid(-w * g) - penalty * w
        w = w + RATE * better_for_critic
        better_for_generator = -w * sigmoid(w * g)
        g = g + RATE * better_for_generator
        places.append(g)
    return np.array(places)


place = {"no penalty": play_on_a_line(0), "R1": play_on_a_line(GAMMA)}
for name, places in place.items():
    print(f"{name}: turns 1, 20, 40, 1000:", places[[0, 19, 39, 999]].round(3))

# %%
last_swings = {}
for name, places in place.items():
    last_swings[name] = np.abs(places[-200:]).max()  # more than one swing
lesson.claim("R1: swings of the last 200 turns", last_swings["R1"], below=0.02)
lesson.claim(
    "no penalty: swings of the last 200", last_swings["no penalty"], above=0.15
)


# %% tags=["hide-input"]
def draw_arrival():
    with lesson.figure("arrives") as game:
        game.plot(place["no penalty"], color=VERMILLION, label="no penalty")
        game.plot(place["R1"], color=BLUE, label="R1")
        game.set(xlabel="turn", ylabel="place g of the generator", ylim=(-1, 1.5))
        game.set_title("With R1 the generator comes to rest at 0")


draw_arrival()

# %% [markdown]
# **What you saw.** Without the penalty the generator swings about its goal, as in lesson 14.
# Whenever it passes the goal, the critic's slope is at its largest and carries it on, as its speed
# carries a pendulum through the lowest point. The swings do shrink, but more and more slowly. The
# penalty takes slope away all the time, as friction takes speed, and the generator comes to rest.

# %% [markdown]
# # Part 3. The game with motions
#
# Back to lists of 100 angles. Networks like numbers around zero, so we subtract the mean motion and
# measure in one `unit`, the SD of what is left.

# %%
unit = np.std(data.theta - mean_motion)  # rad
X = ((data.theta - mean_motion) / unit).astype(np.float32)  # (4000, 100)
lesson.show("one unit", unit, "rad")

# %% [markdown]
# ## Two players
#
# The generator turns 128 numbers drawn from $\mathcal N(0, 1)$, the **latents**, into a motion.
# Three would do for clean motions, but later it is to draw noise too. The critic uses the **leaky
# ReLU** as its activation function: $z$ where $z$ is positive, $0.2\,z$ elsewhere, so that no slope
# is ever lost.

# %%
LATENT = 128
BATCH = 64
dice = lesson.same_dice()

generator = nn.MLP([LATENT, 256, ANGLES], "tanh", rng=dice)
critic = nn.MLP([ANGLES, 512, 1], "leaky_relu", slope=0.2, rng=dice)


def draw_fakes():
    """A batch of motions by the generator, (64, 100), in units."""
    return generator(ops.normal(dice, (BATCH, LATENT)))


lesson.show("weights of the generator", generator.flat().data.size)
lesson.show("weights of the critic", critic.flat().data.size)

# %% [markdown]
# ## The penalty needs a gradient of a gradient
#
# The critic's loss now holds a slope by its *input*, the angles. To make that loss small the critic
# needs its gradient by its *weights*: a gradient of a gradient. `create_graph=True` keeps the first
# one on the tape (lesson 4).
#
# One trick saves a loop. We want a slope for each motion of the batch. But the logit of a motion
# depends on that motion only. So the gradient of the *sum* of all logits holds the slope of each in
# its row.


# %%
def mean_squared_slope(on_real, real):
    """Mean of |slope of the logit by the angles|^2, where on_real are the logits of real."""
    slope = grad(ops.sum(on_real), real, create_graph=True)  # (64, 100)
    return ops.mean(ops.sum(slope**2, axis=1))


real = tensor(X[:BATCH], requires_grad=True)
price_now = GAMMA / 2 * mean_squared_slope(critic(real), real)
lesson.show("price of an untrained critic", price_now.item())

# %% [markdown]
# ## A turn
#
# The critic makes a step, then the generator. But for the penalty these are lines of lesson 16.

# %%
TURNS_BY_HAND = 10
falling = optim.cosine_decay(1e-3, TURNS_BY_HAND)
adam_of_critic = optim.Adam(critic, falling, betas=(0.5, 0.9))
adam_of_generator = optim.Adam(generator, falling, betas=(0.5, 0.9))


def teach_critic(x):
    """One step on real motions x (64, 100) and as many fakes; its loss without the penalty."""
    with no_grad():
        fake = draw_fakes().data
    real = tensor(x, requires_grad=True)
    on_real = critic(real)
    loss = ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(critic(fake)))
    price = GAMMA / 2 * mean_squared_slope(on_real, real)
    adam_of_critic.zero_grad()
    (loss + price).backward(critic.parameters())
    adam_of_critic.step()
    return loss.item()


# %%
def teach_generator():
    """One step with the non-saturating loss; that loss."""
    loss = ops.mean(ops.softplus(-critic(draw_fakes())))
    adam_of_generator.zero_grad()
    loss.backward(generator.parameters())
    adam_of_generator.step()
    return loss.item()


# %% [markdown]
# Ten turns, and ten turns of `models.GAN` with the same dice. It plays as we do. (A critic that
# tosses a coin has the loss $\ln 4 = 1.386$; lesson 15.)

# %%
batches = training.Minibatches(len(X), BATCH, dice)
ours = {"critic": [], "generator": []}
for _ in range(TURNS_BY_HAND):
    rows = batches.draw()
    ours["critic"].append(teach_critic(X[rows]))
    ours["generator"].append(teach_generator())
print("the critic's losses:", np.round(ours["critic"], 3))


# %%
def new_gan(steps, r1=GAMMA, lr=1e-3, record_every=50):
    """The library's GAN with our players and rules."""
    players = {"activation": "tanh", "critic_hidden": (512,), "batch_size": BATCH}
    rules = {"r1": r1, "lr": lr, "steps": steps, "record_every": record_every}
    return models.GAN(LATENT, (256,), **players, **rules)


ten_turns = new_gan(TURNS_BY_HAND, record_every=1)
ten_turns.fit(data.theta, rng=lesson.same_dice())
for player, losses in ours.items():
    theirs = ten_turns.history_[player]
    lesson.same(f"our losses of the {player} and minigen's", losses, theirs, limit=1e-4)

# %% [markdown]
# Now the library plays on, for thousands of turns. We look in at four moments, always with the same
# twelve draws of $z$.
#
# > **Predict.** The first drawings are the mean motion and some trembling. What will come next:
# > smooth curves, or curves that differ? How near to a pendulum will it come: 10 degrees, 1, or a
# > tenth?

# %%
TURNS = lesson.pick(full=7000, quick=1000)
moments = [1, TURNS // 20, TURNS // 5, TURNS]
z = rng.standard_normal((12, LATENT))
seen = {}  # turn: twelve motions


def look(now):
    """Called after each turn."""
    if now.step in moments:
        seen[now.step] = now.model.generate(z)


gan = new_gan(TURNS).fit(data.theta, rng=rng, callbacks=[look])
for turn, motions in seen.items():
    off = np.median(metrics.physics_residual(motions, t).residual)
    print(f"turn {turn}: twelve motions are {off:.3f} rad from a pendulum")


# %% tags=["hide-input"]
def draw_four_moments():
    with lesson.figure("game", panels=4, width=3.6, height=3.2, sharey=True) as axes:
        for ax, (turn, motions) in zip(axes, seen.items()):
            ax.plot(t, motions.T, color=BLUE, lw=1.1)
            ax.set(title=f"Turn {turn}", xlabel="time (s)", ylim=(-2.2, 2.2))
        axes[0].set_ylabel("angle (rad)")


draw_four_moments()

# %%
made["GAN"] = gan.sample(JUDGED, rng)
marks["GAN"] = judge(made["GAN"])
lesson.table("the GAN beside the others (residuals in rad)", marks)

# %%
of_gan = marks["GAN"]
gaussian_over_gan = gaussian["residual"] / of_gan["residual"]
shuffled_over_gan = marks["shuffled"]["residual"] / of_gan["residual"]
times = lesson.pick(full=5, quick=1.1)
mismatch = lesson.pick(full=0.18, quick=0.3)

lesson.claim("Gaussian over GAN: residual", gaussian_over_gan, above=times)
lesson.claim("shuffled over GAN: residual", shuffled_over_gan, above=4 * times)
lesson.claim("the GAN: mean KS", of_gan["mean KS"], below=mismatch)
lesson.claim("shuffled: mean KS", marks["shuffled"]["mean KS"], above=0.3)
lesson.claim("the GAN: neighbour ratio", of_gan["neighbour ratio"], above=0.9)

# %% [markdown]
# **What you saw.** A network that was never told of Newton draws motions that a pendulum could
# make; in the full run, to about a degree (0.017 rad). Its pendulums are spread like the data's,
# and they are no copies.
#
# ## Was it the penalty?
#
# An honest question: would it have failed without? We play four shorter games, with and without
# the penalty, at two learning rates. All else is equal: data, dice, turns. (One game of each is
# little, as lesson 16 said. So run the lesson with `--seed 1` and `--seed 2` as well.)
#
# > **Predict.** Part 2 says that a steep critic throws the generator about. In which of the four
# > games will that hurt?

# %%
SHORT = lesson.pick(full=2500, quick=300)
rates = {"0.001": 1e-3, "0.01": 1e-2}
penalties = {"no penalty": 0.0, "R1": GAMMA}

games = {}  # by penalty and rate
for rate_name, rate in rates.items():
    for penalty_name, penalty in penalties.items():
        games[penalty_name, rate_name] = new_gan(SHORT, r1=penalty, lr=rate)
        games[penalty_name, rate_name].fit(data.theta, rng=lesson.same_dice())

# %%
short_marks = {}
game_rows = {}
for (penalty_name, rate_name), game in games.items():
    row = judge(game.sample(JUDGED, rng))
    slopes_then = game.history_["gradient_norm"]  # of the logit, at real motions
    row["slope at the data"] = np.mean(slopes_then[-5:])
    short_marks[penalty_name, rate_name] = row
    game_rows[f"rate {rate_name}, {penalty_name}"] = row
lesson.table(f"four games of {SHORT} turns (residuals in rad)", game_rows)


# %%
def without_over_with(mark, rate_name):
    """A mark of the game without penalty over that of the game with R1."""
    without = short_marks["no penalty", rate_name]
    with_r1 = short_marks["R1", rate_name]
    return without[mark] / with_r1[mark]


steeper = without_over_with("slope at the data", "0.01")
worse = without_over_with("residual", "0.01")
the_same = without_over_with("residual", "0.001")
steep = lesson.pick(full=5, quick=1.5)
bad = lesson.pick(full=1.2, quick=0.9)

lesson.claim("rate 0.01, without over with R1: slope", steeper, above=steep)
lesson.claim("rate 0.01, without over with R1: residual", worse, above=bad)
lesson.claim("rate 0.001, without over with: residual", the_same, above=0.6, below=1.5)


# %% tags=["hide-input"]
def draw_was_it_the_penalty():
    looks = {"no penalty": VERMILLION, "R1": BLUE}
    with lesson.figure("penalty", panels=2, sharey=True) as axes:
        for ax, rate_name in zip(axes, rates):
            for penalty_name, colour in looks.items():
                history = games[penalty_name, rate_name].history_
                slopes_then = history["gradient_norm"]
                ax.semilogy(history.step, slopes_then, color=colour, label=penalty_name)
            ax.set(title=f"Learning rate {rate_name}", xlabel="turn")
        axes[0].set_ylabel("slope of the critic at real motions")


draw_was_it_the_penalty()

# %% [markdown]
# **What you saw.** At the small rate the penalty halves the slope (in the full run), and the
# motions are no better for it. At ten times that rate the critic without it becomes steeper and
# steeper, and the motions suffer; with it they suffer much less. **The penalty is an insurance.** A
# recipe that works may work because of its small steps. (Lesson 19 comes back to this, with data of
# many kinds.)

# %% [markdown]
# # Part 4. With noise
#
# A real camera errs. Now the angles are read with errors of SD $0.1\,t$, as in lesson 2: nothing at
# the start, 0.5 rad after 5 s. The same GAN learns from such motions.
#
# > **Predict.** Will it draw clean curves or noisy ones? What would the critic do with clean ones?

# %%
NOISY_TURNS = lesson.pick(full=6000, quick=600)
noisy = datasets.pendulum_trajectories(4000, rng, view=ANGLES)
noisy_gan = new_gan(NOISY_TURNS).fit(noisy.theta, rng=rng)

drawn = {
    "fresh, with noise": fresh.theta,
    "GAN taught by noisy motions": noisy_gan.sample(JUDGED, rng),
    "GAN taught by clean motions": made["GAN"],
}

# %% [markdown]
# *When* is a motion off? We subtract its nearest pendulum and look at what is left. (That pendulum
# is made of its factors: a rod of 1 m under the gravity $g/L$ swings just so.) The residual is the
# root mean square of what is left; beside it we take the SD over all motions at each moment.


# %%
def left_over(motions):
    """Motions minus their nearest pendulums: (n, 100) in rad."""
    fit = metrics.physics_residual(motions, t)
    theta0, omega0, g_over_l = fit.factors.values()
    how = {"gravity": g_over_l, "steps": 500, "dt": 0.01}
    nearest = pendulum.simulate(theta0, omega0, 1.0, **how)
    return motions - nearest.theta[:, ::5]  # every fifth of 500 steps


# %%
sd_left = {}  # at each moment: (100,), rad
noise_rows = {}
for name, motions in drawn.items():
    left = left_over(motions)
    residual = np.sqrt(np.mean(left**2, axis=1))  # of each motion
    sd_left[name] = left.std(axis=0)
    noise_rows[name] = {
        "residual": np.median(residual),
        "SD, first second": sd_left[name][:20].mean(),
        "SD, last second": sd_left[name][80:].mean(),
    }
lesson.table("with noise (rad)", noise_rows)

# %%
truth = noise_rows["fresh, with noise"]
by_noisy = noise_rows["GAN taught by noisy motions"]
by_clean = noise_rows["GAN taught by clean motions"]
noisy_ratio = by_noisy["residual"] / truth["residual"]
clean_ratio = by_clean["residual"] / truth["residual"]
late_ratio = by_noisy["SD, last second"] / truth["SD, last second"]
growth = by_noisy["SD, last second"] / by_noisy["SD, first second"]

clean_limit = lesson.pick(full=0.3, quick=0.6)
growth_limit = lesson.pick(full=2, quick=1.1)
lesson.claim("taught by noise over fresh: residual", noisy_ratio, near=1, within=0.2)
lesson.claim("taught by clean over fresh: residual", clean_ratio, below=clean_limit)
lesson.claim("taught by noise over fresh: last SD", late_ratio, near=1, within=0.25)
lesson.claim("taught by noise: last over first SD", growth, above=growth_limit)


# %% tags=["hide-input"]
def draw_noise():
    names = list(drawn)
    colours = dict(zip(names, (GREY, VERMILLION, BLUE)))
    with lesson.figure("noise", panels=3) as (observed, made_up, spread):
        for ax, name in ((observed, names[0]), (made_up, names[1])):
            ax.set_prop_cycle(color=(BLUE, VERMILLION, ORANGE))
            ax.plot(t, drawn[name][:3].T, ".", ms=4)
            ax.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3, 3))
            ax.set_title(f"Three: {name}")
        for name, colour in colours.items():
            spread.plot(t, sd_left[name], color=colour, lw=2, label=name)
        spread.plot(t, 0.1 * t, ":", color=BLACK, label="the noise, 0.1 t")
        spread.set(xlabel="time (s)", ylabel="SD (rad)", ylim=(0, 0.8))
        spread.set_title("What is off the nearest pendulum")
        spread.legend(loc="upper left")


draw_noise()
lesson.end()

# %% [markdown]
# **What you saw.** The GAN has learned the noise with the motion, and more of it later. Clean
# curves would be found out at once: the critic has never seen a clean motion that is real. (No
# curve of the third picture begins at 0, though the noise does. For fresh motions it is the fit: it
# follows the late noise, and errs at the start. The noisy GAN is a little further off than that.)
#
# It is right by its own goal: it draws what the data look like. But it cannot say where the motion
# ends and the noise begins. It gives neither the clean motion nor the size of the error. Lesson
# 21's model holds a likelihood, which keeps motion and noise apart.

# %% [markdown]
# # What it means
#
# * A GAN can learn whole motions, to about a degree, from examples alone.
# * No single mark judges a generator: each one has a cheat that it lets pass.
# * A critic on a thin sheet can be as steep as it likes. A price on its slope at the data makes it
#   a spring, and a generator that has arrived is left in peace. Whether you need that, you must
#   measure.
# * A GAN draws its data with all their noise, and does not know that it is noise.
#
# # Exercises
#
# **1. A larger price** (5 minutes). Set `GAMMA` to 1 in Part 2 and run that part again. What
# happens to the best slope at 0.1, and when does the generator arrive? What would a very large
# price do, and why?
#
# **2. The price of nothing** (5 minutes). Look at the table of Part 1 once more. Put the motion of
# a pendulum at rest, `np.zeros((100, 100))`, before `judge`. Which marks does it get, and why?
#
# **3. The spring, exactly** (15 minutes). With R1 the loss of Part 2 has slope 0 by $s$ where
# $d\,\sigma(-s d/2) = \gamma s$. *Write* `spring(distance, gamma)`, which solves it by halving an
# interval. *Check:* `spring(0.1, 0.1)` is 0.4938, and `spring(1, 0.1)` is 2.355. *Why:* the spring
# is soft when it is stretched far; the rule $d/(2\gamma)$ would say 5.
#
# **4. Who is who?** (20 minutes). Somebody hands you sets of 150 motions without names. Each comes
# from `gan.sample`, from `data.theta`, or from the Gaussian. *Write* `who(motions)`, which answers
# "GAN", "copies" or "Gaussian" and looks at nothing but `judge(motions)`. *Check:* it is right for
# ten sets of each. Then hand it a set of which 60 motions of 150 are copies and 90 are by the GAN.
# *Why:* what does it answer, which number inside `judge` is to blame, and what would you look at
# instead?
#
# **5. The penalty by hand** (15 minutes). *Write* `slope_by_differences(critic, x, h)`: the slope
# of the logit at one motion `x` (1, 100), as a length, by moving each of the 100 angles up and down
# by `h`. *Check:* with the `critic` of our ten turns, `x = X[:1]` and `h = 0.01` it is within 2 %
# of the root of `mean_squared_slope`. *Why:* it takes 200 looks at the critic; the gradient takes
# one, and can be learned from.
#
# # Sources
#
# Goodfellow et al., *Generative adversarial nets*, NIPS 2014. Mescheder, Geiger and Nowozin, *Which
# training methods for GANs do actually converge?*, ICML 2018: R1, and the generator of one number.
# Arjovsky and Bottou, *Towards principled methods for training GANs*, ICLR 2017: data on a thin
# sheet.
