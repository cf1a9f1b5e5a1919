# %% [markdown]
# # 16. The GAN: the game, played
#
# *Part 4: adversaries. 60 minutes.*
#
# **The question.** What happens when forger and detective learn at the same time? In lesson 15
# the generator stood still while the discriminator learned. Now both move, as the two players of
# lesson 14 did: a **generative adversarial network**, a **GAN** (Goodfellow et al., 2014). Does
# it end where it should, with a generator whose law is that of the data, and a discriminator that
# can only toss a coin?
#
# **Afterwards you can**
#
# * write the training loop of a GAN,
# * say what a discriminator that answers 1/2 does and does not prove,
# * see how a generator bends one heap of numbers into two,
# * compare three losses fairly, and say when it matters which one you take.
#
# **You need** lesson 15, of which we take over the data and the losses, and the compiled training
# step of lesson 8 (a detour: it only makes things fast).
#
# **Four parts**, about 15 minutes each. One may stop after any of them.
#
# 1. One turn, written out
# 2. The game, watched
# 3. How the generator bends $z$
# 4. Which loss ends best?

# %%
from lesson import Lesson

lesson = Lesson("16_gan")
rng = lesson.rng

import numpy as np

import minigen
from minigen import divergences, models, nn, no_grad, ops, optim, training
from minigen.physics import pendulum
from minigen.plots import BLACK, BLUE, GREY, ORANGE, PALE, VERMILLION

# %% [markdown]
# # Part 1. One turn, written out
#
# The data are those of lesson 15: angles of a pendulum, read from photographs at random moments,
# with an error of SD 0.15 rad. Their density $p$ has two heaps, where the pendulum turns round.
# Networks like numbers of mean 0 and SD 1, so they see the angles in that `unit`.

# %%
READING_SD = 0.15  # rad
period = float(pendulum.exact_period(1.2, 1.0))
swing = pendulum.simulate(1.2, 0.0, 1.0, steps=2000, dt=period / 2000).theta  # (2000,)


def photographs(n):
    """n angles, read at random moments: (n, 1) in rad."""
    at_random_moments = rng.choice(swing, n)
    read = at_random_moments + READING_SD * rng.standard_normal(n)
    return read[:, None].astype(np.float32)


X = photographs(10_000)
centre = X.mean(dtype=float)
unit = X.std(dtype=float)
seen = ((X - centre) / unit).astype(np.float32)  # (10000, 1), as the networks see them
print(f"mean {centre:.3f} rad, one unit is {unit:.3f} rad")

# %% [markdown]
# Both players are small networks. The generator makes an angle of one random number
# $z \sim \mathcal N(0, 1)$, which nobody sees and which is called a **latent** variable. Each
# player has its own Adam, with a learning rate that falls to zero. (The `betas` 0.5 and 0.9 stand
# where lesson 6 had 0.9 and 0.999. They give Adam a shorter memory: the opponent changes, and old
# gradients mislead.)

# %%
D_STEPS = 5  # steps of the discriminator before one of the generator
BATCH = 128


def adam(network, steps):
    return optim.Adam(network, optim.cosine_decay(1e-3, steps), betas=(0.5, 0.9))


class Game:
    """Two players, what they learn by, and the dice that they use."""

    def __init__(self, loss, turns, dice):
        self.loss = loss  # the generator's, of the logits of its examples
        self.dice = dice
        self.generator = nn.MLP([1, 32, 32, 1], "tanh", rng=dice)
        self.discriminator = nn.MLP([1, 32, 32, 1], "tanh", rng=dice)
        self.adam_g = adam(self.generator, turns)
        self.adam_d = adam(self.discriminator, turns * D_STEPS)
        self.batches = training.Minibatches(len(seen), BATCH, dice)
        self.turn = turn_of(self)  # what a turn does: below

    def forgeries(self):
        """A minibatch by the generator as it is now: (128, 1)."""
        return self.generator(ops.normal(self.dice, (BATCH, 1)))


# %% [markdown]
# **A step of the discriminator** is a step of lesson 15. For it the forgeries are constants:
# `no_grad` keeps the generator off the tape.


# %%
def classify(real_logit, fake_logit):
    """-V, from the logits of real and of forged examples (lesson 15)."""
    of_real = ops.mean(ops.softplus(-real_logit))
    of_fake = ops.mean(ops.softplus(fake_logit))
    return of_real + of_fake


def teach_discriminator(game, real):
    """One step of the discriminator; returns its loss, -V."""
    with no_grad():
        fake = game.forgeries().data
    game.adam_d.zero_grad()
    loss = classify(game.discriminator(real), game.discriminator(fake))
    loss.backward(game.discriminator.parameters())
    game.adam_d.step()
    return loss


# %% [markdown]
# **A step of the generator.** It gets no photograph to see. All that it learns of the data comes
# through the discriminator: the gradient passes through it, from the logit to the example, and on
# to the generator's weights. Only these move.


# %%
def teach_generator(game):
    """One step of the generator; returns its loss."""
    game.adam_g.zero_grad()
    logit = game.discriminator(game.forgeries())
    loss = ops.mean(game.loss(logit))
    loss.backward(game.generator.parameters())
    game.adam_g.step()
    return loss


# %% [markdown]
# **A turn** is five of the first, so that the discriminator stays near its best, and one of the
# second. `minigen.compile` records a turn once and replays it, with the same numbers (lesson 8).


# %%
def turn_of(game):
    """The game's turn, compiled: a function of five minibatches."""

    @minigen.compile
    def turn(*reals):
        for real in reals:
            loss_d = teach_discriminator(game, real)
        loss_g = teach_generator(game)
        return loss_d, loss_g

    return turn


def play(game, turns):
    """Some more turns; returns the losses of discriminator and generator, (turns, 2)."""
    losses = []
    for _ in range(turns):
        reals = [seen[game.batches.draw()] for _ in range(D_STEPS)]
        loss_d, loss_g = game.turn(*reals)
        losses.append((loss_d.item(), loss_g.item()))
    return np.array(losses)


# %% [markdown]
# The generator's losses are lesson 15's.


# %%
def minimax(logit):
    """log(1 - D) of each example: what D gains, G loses."""
    return -ops.softplus(logit)


def non_saturating(logit):
    """-log D of each example: be taken for real."""
    return ops.softplus(-logit)


def maximum_likelihood(logit):
    """-e^l of each example: weigh it by p/q."""
    return -ops.exp(logit)


LOSSES = {
    "minimax": minimax,
    "non-saturating": non_saturating,
    "maximum likelihood": maximum_likelihood,
}

# %% [markdown]
# ## How good is a generator?
#
# We need a judge that is not a player. The **Wasserstein distance** is the shortest mean way on
# which the examples can be moved to lie as the data do. In one dimension it is easy: sort both,
# and move the first to the first, the second to the second. For $\{0, 1\}$ and $\{0.5, 2\}$ the
# ways are 0.5 and 1, so the distance is 0.75. (Lesson 18 has more to say of it.)


# %%
def distance(made):
    """Wasserstein distance (rad) of examples (n,) from as many fresh photographs."""
    fresh = photographs(len(made))[:, 0]
    return divergences.wasserstein_1d(np.sort(made), np.sort(fresh), order=1)


def samples(game, n=10_000):
    """n examples by the generator: (n,) in rad."""
    z = rng.standard_normal((n, 1)).astype(np.float32)
    return centre + unit * game.generator(z).data[:, 0].astype(float)


two = divergences.wasserstein_1d(np.array([0.0, 1.0]), np.array([0.5, 2.0]), order=1)
lesson.claim("{0, 1} to {0.5, 2}: the distance", two, near=0.75, within=1e-9)
normal = distance(rng.normal(centre, unit, 10_000))
floor = distance(photographs(10_000)[:, 0].astype(float))
lesson.show("a normal density of the same mean and SD is off by", normal, "rad")
lesson.show("photographs are off from other photographs by", floor, "rad")

# %% [markdown]
# A normal density is the best that one can do without seeing the heaps, and two samples of 10 000
# photographs differ by chance alone. Between these two numbers the generators will have to place
# themselves.
#
# > **Predict.** We play 300 turns and watch the two losses. If the generator becomes better and
# > better, what will its loss do? And the discriminator's?

# %%
FIRST = 300
short_game = Game(non_saturating, FIRST, lesson.same_dice())
first_distances = {0: distance(samples(short_game))}
first_losses = np.empty((0, 2))
for moment in (20, 40, 60, 100, 200, 300):
    more = play(short_game, moment - len(first_losses))
    first_losses = np.concatenate([first_losses, more])  # (turns so far, 2)
    first_distances[moment] = distance(samples(short_game))

first_rows = {"turn 0": {"distance (rad)": first_distances[0]}}
for moment in list(first_distances)[1:]:
    lately = first_losses[moment - 20 : moment].mean(axis=0)
    row = {"distance (rad)": first_distances[moment]}
    row["loss of D"] = lately[0]
    row["loss of G"] = lately[1]
    first_rows[f"turn {moment}"] = row
lesson.table("the first turns (losses: means of 20 turns)", first_rows)


# %% tags=["hide-input"]
def draw_losses():
    with lesson.figure("losses", panels=2) as (curves, judged):
        for column, name, colour in ((0, "D", BLUE), (1, "G", VERMILLION)):
            curves.plot(
                first_losses[:, column], color=colour, lw=1, label=f"loss of {name}"
            )
        curves.axhline(np.log(4), color=BLUE, ls=":", label="ln 4: D tosses a coin")
        curves.axhline(
            np.log(2),
            color=VERMILLION,
            ls=":",
            label="ln 2: taken for real half the time",
        )
        curves.set(xlabel="turn", ylabel="loss (nats)", ylim=(0, 2.6))
        curves.set(title="The players' losses say little")
        curves.legend(loc="upper left")
        judged.plot(
            list(first_distances), list(first_distances.values()), "o-", color=BLACK
        )
        judged.axhline(normal, color=GREY, ls="--", label="normal density")
        judged.set(xlabel="turn", ylabel="distance from the data (rad)", ylim=(0, None))
        judged.set(title="The judge says more")


draw_losses()
better = first_distances[300] / first_distances[0]
lesson.claim("300 turns: distance, of the first", better, below=0.4)

# %% [markdown]
# **What you saw.** After some forty turns both losses lie still, at $\ln 4$ and $\ln 2$, the
# values of a coin. The generator goes on getting better, and neither loss says so. They tell who
# is ahead, not how far both have come: lesson 14's warning, on real networks.
#
# (How can it still learn, if $D$ is nearly flat? Nearly flat is not flat. The slopes are small, but
# Adam divides them by their usual size.)
#
# Is it the library's game? From the same dice `models.GAN` plays the same turns. It calls the
# discriminator `critic`.

# %%
NETWORKS = {
    "activation": "tanh",
    "critic_activation": "tanh",
    "hidden": (32, 32),
    "critic_hidden": (32, 32),
    "critic_steps": D_STEPS,
}
for name, loss in LOSSES.items():
    ours = play(Game(loss, 50, lesson.same_dice()), 50)
    gan = models.GAN(
        1,
        loss=name.replace(" ", "_").replace("-", "_"),
        steps=50,
        record_every=1,
        **NETWORKS,
    )
    history = gan.fit(X, rng=lesson.same_dice()).history_
    theirs = np.stack([history["critic"], history["generator"]], axis=1)
    lesson.same(f"{name}: our losses of 50 turns and models.GAN's", ours, theirs, 1e-4)

# %% [markdown]
# # Part 2. The game, watched
#
# Now the picture that says what a GAN is: $p$, $q$ and $D$ at four moments of a long game. On the
# grid of angles we know $p$. The law $q$ of the generator we get from many examples.

# %%
angles = np.linspace(-2.5, 2.5, 251)  # rad
spacing = angles[1] - angles[0]


def normal_density(x, mean, sd):
    return np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


p = normal_density(angles[:, None], swing, READING_SD).mean(axis=1)  # (angles,)


def law(game):
    """The density of the generator's examples on the grid, from 200 000 of them."""
    edges = np.append(angles, angles[-1] + spacing) - spacing / 2
    count, _ = np.histogram(samples(game, 200_000), edges)
    return count / (200_000 * spacing)


def answers(game):
    """The discriminator's probability D at each angle of the grid."""
    column = ((angles - centre) / unit)[:, None].astype(np.float32)
    return 1 / (1 + np.exp(-game.discriminator(column).data[:, 0].astype(float)))


# %% [markdown]
# > **Predict.** What will $D$ look like before the first turn? When will it differ most from 1/2?
# > And at the end?

# %%
TURNS = lesson.pick(full=3000, quick=1000)
MOMENTS = (0, 20, 60, TURNS)
game = Game(non_saturating, TURNS, lesson.same_dice())

q_at = {}
D_at = {}
distance_at = {}
played = 0
for moment in MOMENTS:
    play(game, moment - played)
    played = moment
    q_at[moment] = law(game)
    D_at[moment] = answers(game)
    distance_at[moment] = distance(samples(game))
    print(f"turn {moment}: {distance_at[moment]:.3f} rad from the data")


# %% tags=["hide-input"]
def draw_game():
    with lesson.figure(
        "game", panels=2, rows=2, height=3.2, sharex=True, sharey=True
    ) as rows:
        for ax, moment in zip((*rows[0], *rows[1]), MOMENTS):
            ax.fill_between(angles, p, color=PALE, label="p: photographs")
            ax.plot(
                angles, q_at[moment], color=VERMILLION, lw=1.2, label="q: generator"
            )
            ax.plot(angles, D_at[moment], "--", color=BLUE, lw=2, label="D")
            ax.axhline(0.5, color=BLACK, lw=0.8, ls=":")
            ax.set(ylim=(0, 1.3), title=f"turn {moment}")
            ax.legend(loc="upper left").set_visible(ax is rows[0][0])
        for left, low in zip((rows[0][0], rows[1][0]), rows[1]):
            left.set(ylabel="density (1/rad), probability D")
            low.set(xlabel="angle (rad)")


draw_game()

# %% [markdown]
# **What you saw.** Before the first turn the generator makes one narrow heap, and $D$ knows
# nothing. After 20 turns $D$ has found out where photographs are and forgeries are not. There it
# is high, and the forgeries climb up its slope. After 60 turns it is flat again, though $q$ is
# not yet $p$: it is fooled. At the end $q$ is closer to $p$, if not at the edges and tops of the
# heaps. And $D$ is 1/2 wherever there are pictures: it tosses a coin. (Beyond 1.6 rad, where
# nobody is, it may say anything.)
#
# How flat? On the **support** (lesson 15), weighed by how many pictures lie at each angle.


# %%
def unevenness(moment):
    """The RMS of D - 1/2 over all pictures of that moment, half of them real."""
    pictures = (p + q_at[moment]) / 2
    return np.sqrt(spacing * np.sum(pictures * (D_at[moment] - 0.5) ** 2))


for moment in MOMENTS:
    lesson.show(f"turn {moment}: RMS of D - 1/2", unevenness(moment))
lesson.claim("after the game: RMS of D - 1/2", unevenness(TURNS), below=0.04)
lesson.claim("turn 20: RMS of D - 1/2", unevenness(20), above=0.06)

# %% [markdown]
# ## Flat from wisdom, or from ignorance?
#
# Before the first turn $D$ was nearly flat too, and the generator hopeless. A discriminator
# answers 1/2 if there is nothing left to know, *or* if it does not know it. Only a **fresh
# detective** can tell: take the generator as it is, and train a new discriminator against it, as
# in lesson 15.

# %%
D_TRAINING = lesson.pick(full=1500, quick=300)


def fresh_detective(game):
    """JS read off a new discriminator against this generator, in nats."""
    network = nn.MLP([1, 64, 64, 1], "tanh", rng=rng)
    fakes = samples(game, 50_000)[:, None].astype(np.float32)
    optimizer = optim.Adam(network, optim.cosine_decay(0.01, D_TRAINING))

    def loss(real, fake):
        return classify(network(real), network(fake))

    how = {"steps": D_TRAINING, "batch_size": 512, "rng": rng, "optimizer": optimizer}
    training.fit(network, loss, (photographs(50_000), fakes), **how)
    fresh_fakes = samples(game, 50_000)[:, None].astype(np.float32)
    V = -classify(network(photographs(50_000)), network(fresh_fakes)).item()
    return (V + np.log(4)) / 2


# %%
untrained = Game(non_saturating, TURNS, lesson.same_dice())
detective = {
    "turn 0": fresh_detective(untrained),
    f"turn {TURNS}": fresh_detective(game),
}
detective_rows = {}
for name, moment in zip(detective, (0, TURNS)):
    row = {"the game's own: RMS of D - 1/2": unevenness(moment)}
    row["a fresh one: JS (nats)"] = detective[name]
    detective_rows[name] = row
lesson.table("two detectives", detective_rows)

before = detective["turn 0"]
lesson.claim("turn 0: JS by a fresh detective", before, above=0.05, unit="nats")
after = detective[f"turn {TURNS}"]
lesson.claim("after the game: JS by a fresh detective", after, below=0.05, unit="nats")

# %% [markdown]
# The largest possible JS is $\ln 2 = 0.693$, and before the game a fresh detective finds most of
# that. After the game it finds little; but it may well find more than the player did. It has more
# units, more examples in a minibatch, and an opponent who stands still. (The two columns have
# different units; exercise 3 gives the player's JS too.) Look at the heaps of the last picture once
# more: a sharp edge, if there is one, escapes a player of 32 units.

# %% [markdown]
# # Part 3. How the generator bends $z$
#
# Nobody gave the generator a density. It has one way only to put examples where it wants: to move
# each $z$ to an angle.
#
# > **Predict.** One heap of $z$ has to become two heaps of angles. Sketch $G(z)$ over $z$: where
# > must it be flat, where steep?
#
# In one dimension we know an answer. If $G$ rises, it must not change the order: of all $z$, 30 %
# lie below $z = -0.52$; so 30 % of the angles must lie below $G(-0.52)$. At equal cumulative
# probability $z$ and angle belong together. And if $G$ falls? As $z$ and $-z$ are equally
# probable, the same map read from right to left is a second answer.

# %%
latents = np.linspace(-5, 5, 501)  # next to no z lies outside
cumulative_z = np.cumsum(normal_density(latents, 0, 1)) * (latents[1] - latents[0])
cumulative_p = np.cumsum(p) * spacing
exact = np.interp(cumulative_z, cumulative_p, angles)  # rising; exact[::-1] is falling

made = game.generator(latents[:, None].astype(np.float32)).data[:, 0]
made = centre + unit * made.astype(float)
for z in (-2.0, -1.0, 0.0, 1.0, 2.0):
    k = np.argmin(np.abs(latents - z))
    print(
        f"z = {z:4.1f}: G(z) = {made[k]:6.2f} rad, exact {exact[k]:6.2f} or {exact[-1 - k]:6.2f}"
    )


# %% tags=["hide-input"]
def draw_bending():
    with lesson.figure("bending", panels=2) as (bend, result):
        bend.plot(latents, made, color=VERMILLION, lw=2, label="the generator")
        bend.plot(latents, exact, ":", color=BLACK, lw=2, label="exact, rising")
        bend.plot(latents, exact[::-1], "--", color=GREY, label="exact, falling")
        bend.set(xlabel="z, drawn from N(0, 1)", ylabel="G(z) (rad)", ylim=(-1.8, 2.6))
        bend.set(title="G bends z", xlim=(-3, 3))
        bend.legend(loc="upper center")
        result.fill_between(angles, p, color=PALE, label="p: photographs")
        result.plot(angles, q_at[TURNS], color=VERMILLION, lw=1.2, label="q: generator")
        result.plot(
            angles,
            normal_density(angles, centre, unit),
            ":",
            color=GREY,
            label="normal density",
        )
        result.set(xlabel="angle (rad)", ylabel="density (1/rad)", ylim=(0, 0.95))
        result.set(title="Two heaps from one")
        result.legend(loc="upper center", ncols=2)


draw_bending()

# %%
inner = np.abs(latents) < 2
off_rising = np.sqrt(np.mean((made - exact)[inner] ** 2))
off_falling = np.sqrt(np.mean((made - exact[::-1])[inner] ** 2))
lesson.show(
    "G less the rising and less the falling map, RMS", [off_rising, off_falling], "rad"
)
nearer = min(off_rising, off_falling)
lesson.claim("G less the nearer exact map, |z| < 2: RMS", nearer, below=0.2, unit="rad")
below_normal = distance_at[TURNS] / normal
lesson.claim("distance from the data, of a normal density's", below_normal, below=0.5)

# %% [markdown]
# **What you saw.** One heap of $z$ becomes two heaps of angles. Where $G$ is flat many $z$ share
# few angles; where it is steep few are spread over many. Rising or falling, both serve, and
# chance decides.

# %% [markdown]
# # Part 4. Which loss ends best?
#
# Lesson 15 found that two of the three losses fall silent where the discriminator wins. So the
# third, non-saturating, should win.
#
# > **Predict.** We play the game with each loss, everything else equal, four times with other
# > dice. In which order will they end?

# %%
NEAR_TURNS = lesson.pick(full=2000, quick=500)
DICE = lesson.pick(full=4, quick=2)
near = {name: [] for name in LOSSES}

for die in range(DICE):
    for name, loss in LOSSES.items():
        dice = np.random.default_rng(
            [lesson.seed, die]
        )  # the same for all three losses
        near_game = Game(loss, NEAR_TURNS, dice)
        play(near_game, NEAR_TURNS)
        near[name].append(distance(samples(near_game)))

near_rows = {}
for name, ends in near.items():
    row = {f"dice {die + 1}": end for die, end in enumerate(ends)}
    row["mean"] = np.mean(ends)
    near_rows[name] = row
lesson.table(f"distance from the data after {NEAR_TURNS} turns (rad)", near_rows)

# %%
ENOUGH = lesson.pick(full=0.5, quick=0.9)
means = [np.mean(ends) for ends in near.values()]
spreads = [np.std(ends) for ends in near.values()]
lesson.show("SD between the dice, for each loss", spreads, "rad")
lesson.show("SD between the means of the losses", np.std(means), "rad")

alike = lesson.pick(full=2, quick=3)
worst_over_best = max(means) / min(means)
lesson.claim("near: means of the losses, worst over best", worst_over_best, below=alike)
for name, ends in near.items():
    share = np.mean(ends) / normal
    lesson.claim(f"near, {name}: mean, of a normal density's", share, below=ENOUGH)

# %% [markdown]
# **What you saw.** No order that four games could show. The dice matter more than the loss, and
# who had played once only would have found a winner and a reason for it. The silent losses are
# not silent here.
#
# Why not? Because nobody is ever *far*. We scaled the data to mean 0 and SD 1, and the
# generator's first heap lies around 0 too: in the midst of the photographs. The discriminator
# never becomes sure (in Part 2 it never came near 0 or 1), and all three losses speak.
#
# ## A start that is far
#
# Change one thing: shift the generator's first examples by 8 units, seven radians. Its last layer
# adds a number; we add 8 to it. All else stays: networks, dice, steps.
#
# > **Predict.** Which losses will bring the generator home? Adam divides a gradient by its usual
# > size: does that save the silent ones?

# %%
SHIFT = 8.0  # units
FAR_TURNS = lesson.pick(full=3000, quick=1000)
far_way = {name: [] for name in LOSSES}  # distance after 0, 1/12, 2/12, ... of the game
far_logits = {}

for name, loss in LOSSES.items():
    far_game = Game(loss, FAR_TURNS, lesson.same_dice())
    far_game.generator[-1].bias.data += SHIFT
    far_way[name].append(distance(samples(far_game)))
    for _ in range(12):
        play(far_game, FAR_TURNS // 12)
        far_way[name].append(distance(samples(far_game)))
    far_logits[name] = far_game.discriminator(far_game.forgeries()).data.mean()

# %%
far_rows = {}
for name, way in far_way.items():
    far_rows[name] = {
        "start (rad)": way[0],
        "a quarter": way[3],
        "half": way[6],
        "end": way[12],
        "logit of its examples": far_logits[name],
    }
lesson.table("distance from the data, from a far start (rad)", far_rows)

for name in ("minimax", "maximum likelihood"):
    left = far_way[name][-1] / far_way[name][0]
    lesson.claim(f"far, {name}: distance left, of the first", left, above=0.5)
way = far_way["non-saturating"]
home = lesson.pick(full=0.1, quick=0.3)
left = way[-1] / way[0]
lesson.claim("far, non-saturating: distance left, of the first", left, below=home)


# %% tags=["hide-input"]
LOSS_COLOURS = {
    "minimax": VERMILLION,
    "non-saturating": BLUE,
    "maximum likelihood": ORANGE,
}


def draw_near_and_far():
    with lesson.figure("near_and_far", panels=2) as (close, away):
        for place, (name, ends) in enumerate(near.items()):
            at = np.full(len(ends), place)
            close.plot(at, ends, "o", ms=8, color=LOSS_COLOURS[name])
            close.plot(place, np.mean(ends), "_", ms=30, color=BLACK)
        close.axhline(normal, color=GREY, ls="--", label="normal density")
        close.set_xticks(
            range(3), ["minimax", "non-\nsaturating", "maximum\nlikelihood"]
        )
        close.set(ylabel="distance from the data (rad)", ylim=(0, 1.3 * normal))
        close.set(title="A near start: dots are dice, bars means", xlim=(-0.5, 2.5))
        turns = np.arange(13) * (FAR_TURNS // 12)
        dashes = {"minimax": "-", "non-saturating": "-", "maximum likelihood": "--"}
        for name, way in far_way.items():
            away.semilogy(
                turns, way, dashes[name], color=LOSS_COLOURS[name], lw=2, label=name
            )
        away.axhline(normal, color=GREY, ls="--")
        away.set(xlabel="turn", ylabel="distance from the data (rad)")
        away.set(title="A far start: two losses stay away")
        away.legend(loc="center right")


draw_near_and_far()
lesson.end()

# %% [markdown]
# **What you saw.** From afar only the non-saturating loss comes home. The others move a little,
# while the discriminator is still learning; then it is sure, and the slopes $-D$ and $-e^l$ are
# gone: a logit of -24 is $D = 4 \cdot 10^{-11}$. Adam makes up for a gradient that is *always*
# small, but not for one that falls below $10^{-8}$, where it counts as nothing.
#
# So lesson 15 was right, *where it applies*. For images nobody knows how to start near: there the
# discriminator wins at once, and non-saturating became the standard.

# %% [markdown]
# # What it means
#
# * A GAN is two training steps in turns. The generator sees no data; it follows the slope of the
#   discriminator.
# * In equilibrium $q = p$ and $D = 1/2$. But $D = 1/2$ alone proves nothing: ask a fresh detective,
#   or a judge who does not play.
# * A generator is a map that crowds and spreads. In one dimension it can be held against the
#   exact one.
# * Which loss is best depends on where the game starts. One run is no comparison.
#
# # Exercises
#
# **1. A lazy detective** (5 minutes). Set `D_STEPS = 1` and run Part 2 again. What happens to $D$
# and to the distance at turns 20 and 60, and why?
#
# **2. How far is far?** (5 minutes). Set `SHIFT = 3`. Do the silent losses come home now? Look at
# the column "start (rad)": how far was the way?
#
# **3. The detective's own number** (15 minutes). *Write* `js_of_game(moment)`: $(V + \ln 4)/2$ of
# the game's own $D$ at one of the four moments, with $p$, `q_at` and `D_at` on the grid. *Check:*
# at turn 0 it is below 0 while the fresh detective found more than 0.3, and at no moment is it
# above `divergences.jensen_shannon(p, q, spacing)` with $q$ scaled to sum to 1. *Why:* a
# discriminator gives a *lower* bound.
#
# **4. A helping start** (20 minutes). Teach the far generator first to put its mean on the
# data's: 200 steps of Adam, learning rate 0.01, with the loss $(\text{mean of } G(z) - 0)^2$ on
# minibatches. *Write* `move_home(game)`, which does it before the play. *Check:* with it minimax
# ends below half of `normal` from `SHIFT = 8` too. *Why:* the trouble was the start, not the
# loss.
#
# **5. An average of the weights** (20 minutes). Lesson 14's players circled, and their mean
# arrived. Play 1000 turns with a constant learning rate (`optim.Adam(network, 1e-3, betas=(0.5,
# 0.9))`) and keep an average of the generator's weights with `optim.WeightAverage(generator,
# 0.99)`, updated after each turn. *Write* `averaged(dice)`, which returns the distances without
# and with the average. *Check:* over five dice the mean with the average is the smaller one.
# *Why:* many GANs draw by averaged weights.
#
# **6. Which would you publish?** (10 minutes). A paper says: "With loss A our GAN reaches 0.025
# rad, with loss B 0.045 rad; so A is better." Both numbers are from tables like that of Part 4.
# What would you ask the authors for, and how many runs would you want? *Check:* name two numbers
# of one row of your table that differ by as much as theirs or more.
#
# # Sources
#
# Goodfellow et al., *Generative adversarial nets*, NIPS 2014: the game; its figure 1 is the
# picture of Part 2. Goodfellow, *NIPS 2016 tutorial* (arXiv 1701.00160): the losses. Arjovsky &
# Bottou, ICLR 2017: why the discriminator wins. Lucic et al., *Are GANs created equal?*, NeurIPS
# 2018: with enough runs and tuning most losses end alike.
