# %% [markdown]
# # 20. Copies: does it repeat its data, and what lies between?
#
# *Part 4: adversaries. 55 minutes.*
#
# **The question.** A generator that repeats its training data gets full marks in every count of
# the last lesson. How can one find copies, even when somebody hides them? And what does an honest
# generator make *between* the things that it has learned?
#
# **Afterwards you can**
#
# * test a generator for copies, and say how sure you are,
# * name one way to hide copies and one false alarm, and answer both,
# * walk through a latent space and tell a copier from a network,
# * say why a continuous generator of separate kinds must make things that do not exist.
#
# **You need** ring and grid, quality and coverage (lesson 19), and the GAN (lesson 16).
#
# **Three parts**, of 15 to 20 minutes each. One may stop after any of them.
#
# 1. The nearest relative
# 2. Hidden copies, and a false alarm
# 3. A walk in latent space crosses bridges

# %%
from lesson import Lesson

lesson = Lesson("20_copies")
rng = lesson.rng

import numpy as np
from matplotlib.colors import ListedColormap

from minigen import metrics, models, targets
from minigen.plots import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
)

# %% [markdown]
# # Part 1. The nearest relative
#
# We take the grid of lesson 19: 25 heaps of SD 0.05. A generator was trained on 1000 points of
# it, the **training set**. We have kept another 1000 points aside that it never saw, the
# **held-out set**.

# %%
grid = targets.grid()
SIZE = 1000

training = grid.sample(SIZE, rng)  # (1000, 2)
held_out = grid.sample(SIZE, rng)
print("three training points:", *training[:3].round(2))

# %% [markdown]
# Now two generators. The **honest** one draws new points from the true law. The **copier** picks
# a training point and blurs it a little, by 0.001, so that no two numbers are equal.


# %%
def copies_of(points, n, rng):
    """n of the points, drawn with repetition, each moved a little."""
    chosen = rng.integers(len(points), size=n)
    return points[chosen] + 0.001 * rng.standard_normal((n, 2))


honest = grid.sample(SIZE, rng)
copies = copies_of(training, SIZE, rng)

# %% [markdown]
# Look at them, one heap enlarged.
#
# > **Predict.** Can you see which is the copier? What could you measure?


# %% tags=["hide-input"]
def draw_one_heap():
    with lesson.figure("heap", panels=2) as panels:
        for ax, made, name, colour in zip(
            panels,
            (honest, copies),
            ("an honest generator", "a copier"),
            (BLUE, VERMILLION),
        ):
            ax.plot(*training.T, "o", ms=9, mfc="none", mec=GREY, label="training set")
            ax.plot(*made.T, ".", ms=6, color=colour, label=name)
            ax.set(title=f"One heap of the grid: {name}", xlabel="x", ylabel="y")
            ax.set(xlim=(-0.19, 0.19), ylim=(-0.19, 0.24), aspect="equal")
            ax.legend(loc="upper left", ncols=2)


draw_one_heap()

# %% [markdown]
# **What you saw.** Every point of the copier sits in a circle. So measure the distance from each
# generated point to its **nearest neighbour** in the training set.


# %%
def distance_to(points, others):
    """From each point (n, 2) to the nearest of the others (m, 2): (n,)."""
    difference = points[:, None] - others  # (n, m, 2)
    return np.linalg.norm(difference, axis=2).min(axis=1)


distance = {
    "honest": distance_to(honest, training),
    "copies": distance_to(copies, training),
    "held out": distance_to(held_out, training),
}
for name, values in distance.items():
    lesson.show(f"median distance to the training set, {name}", np.median(values))

# %% [markdown]
# How small is too small? We need no rule of thumb, we have the held-out points. They *cannot* be
# copies. So hold the generated against them: take one generated and one held-out point. Which of
# the two is closer to the training set? If the generator is honest, each wins in half of all
# pairs.


# %%
def share_closer(ours, held):
    """Share of all pairs in which our distance is the smaller one."""
    return np.mean(ours[:, None] < held)  # (n, m) comparisons


small = share_closer(np.array([1.0, 4.0]), np.array([2.0, 3.0, 5.0]))
print("distances 1, 4 against 2, 3, 5: closer in", round(small * 6), "of 6 pairs")

closer = {
    name: share_closer(distance[name], distance["held out"])
    for name in ("honest", "copies")
}
for name, share in closer.items():
    lesson.show(f"closer than held-out points, {name}", share)

# %% [markdown]
# ## How far from one half is far?
#
# Chance alone moves the share. By how much? **Shuffle the names**: put honest and held-out
# distances into one pot, deal them out again, and take the share. Do this many times. Whatever
# comes out is chance, for the names mean nothing any more.


# %%
def shuffled_share(pot, n, rng):
    """The share after the names were dealt out anew."""
    mixed = rng.permutation(pot)
    held = np.sort(mixed[n:])
    # for each of ours: how many held-out points are as near or nearer
    not_closer = np.searchsorted(held, mixed[:n], side="right")
    return 1 - np.mean(not_closer) / len(held)


pot = np.concatenate([distance["honest"], distance["held out"]])
by_chance = np.array([shuffled_share(pot, SIZE, rng) for _ in range(2000)])
lesson.show("shares by chance: mean and SD", [by_chance.mean(), by_chance.std()])

# %% [markdown]
# There is a formula for this SD, with $n$ generated and $m$ held-out points:
#
# $$ \sigma = \sqrt{\frac{n + m + 1}{12\,n\,m}} . $$
#
# For $n = m = 1000$ it is $\sqrt{2001 / 12\,000\,000} = 0.0129$. The score $z = (\text{share} -
# \frac12)/\sigma$ counts in SDs of chance. This is the **Mann-Whitney test**. A share of 0.53 has
# $z = 2.3$: that happens. At $z > 5$ we shall say "it copies". (For a judge in court, chance
# alone gives that once in 3 million cases.)


# %%
def z_score(ours, held):
    """The share of pairs won, as SDs of chance above one half."""
    n = len(ours)
    m = len(held)
    sigma = np.sqrt((n + m + 1) / (12 * n * m))
    return (share_closer(ours, held) - 0.5) / sigma


formula = np.sqrt(2001 / 12e6)
lesson.claim(
    "SD of shuffled shares, over the formula",
    by_chance.std() / formula,
    near=1,
    within=0.15,
)
for name in ("honest", "copies"):
    lesson.show(f"z, {name}", z_score(distance[name], distance["held out"]))

# %%
for name, made in {"honest": honest, "copies": copies}.items():
    theirs = metrics.memorisation_test(made, training, held_out)
    ours = [closer[name], z_score(distance[name], distance["held out"])]
    lesson.same(
        f"{name}: our share and z, and minigen's",
        ours,
        [theirs.closer, theirs.z],
        limit=1e-9,
    )


# %% tags=["hide-input"]
def draw_distances():
    with lesson.figure("distances", panels=2) as (left, right):
        bins = np.geomspace(1e-4, 1, 50)
        for name, colour in (
            ("held out", GREY),
            ("honest", BLUE),
            ("copies", VERMILLION),
        ):
            left.hist(
                distance[name], bins, histtype="step", lw=2, color=colour, label=name
            )
        left.set(xscale="log", title="Copies lie far too close", ylabel="points")
        left.set(xlabel="distance to the nearest training point")
        left.legend(loc="upper left")

        right.hist(by_chance, 40, color=GREY, label="names shuffled")
        right.axvline(closer["honest"], color=BLUE, lw=2, label="honest")
        right.axvline(closer["copies"], color=VERMILLION, lw=2, label="copies")
        right.set(
            xlim=(0.4, 1.02), title="What chance can do, and what not", ylabel="trials"
        )
        right.set(xlabel="share of pairs in which it is closer")
        right.legend(loc="upper center")


draw_distances()

# %% [markdown]
# **What you saw.** The honest distances lie on top of the held-out ones. The copies are about ten
# times closer. The share of the honest generator is well inside what chance can do, the copier's
# is far outside.

# %% [markdown]
# # Part 2. Hidden copies, and a false alarm
#
# Not everybody who copies, copies everything. We mix four sets whose contents we know, and write
# down beforehand whether the test should notice.
#
# > **Predict.** In which of the four will $z$ be above 5? Take care with the third: half copies,
# > half junk.

# %%
junk = rng.uniform(-5, 5, (SIZE, 2))  # points anywhere in the square


def mix(copied=0, new=0, junked=0):
    """So many copies, honest points and points of junk, in one set."""
    return np.concatenate([copies[:copied], honest[:new], junk[:junked]])


CASES = {  # what the set holds                  does the test notice copies?
    "no copies": (mix(new=1000), False),
    "30 % copies": (mix(copied=300, new=700), True),
    "half copies, half junk": (mix(copied=500, junked=500), False),
    "the same, without the junk": (mix(copied=500), True),
}

# %%
reference = distance["held out"]
verdicts = {}
for name, (made, noticed) in CASES.items():
    ours = distance_to(made, training)
    verdicts[name] = {
        "closer": share_closer(ours, reference),
        "z": z_score(ours, reference),
        "expected": "above 5" if noticed else "below 5",
    }
lesson.table("planted copies", verdicts)

# %%
for name, (_, noticed) in CASES.items():
    z = verdicts[name]["z"]
    if noticed:
        lesson.claim(f"{name}: noticed, z", z, above=5)
    else:
        lesson.claim(f"{name}: not noticed, z", z, below=5)

# %% [markdown]
# **What you saw.** The third set is a way to hide. Junk lies far from everything and loses nearly
# all its pairs. That makes up for the copies, which win nearly all of theirs. So the share is
# close to one half, as if all were honest. The remedy is in the last row: **judge the examples of
# high quality by themselves**. Junk gives itself away in the quality, copies in the distance. One
# needs both numbers again.
#
# ## A false alarm
#
# Is $z > 5$ a proof? Take a generator that never saw a training point, but makes its heaps too
# narrow, with half of the true SD.
#
# > **Predict.** What will the test say?

# %%
wide = grid.sample(SIZE, rng)
centre = grid.modes[
    np.argmin(np.linalg.norm(wide[:, None] - grid.modes, axis=2), axis=1)
]
narrow = centre + 0.5 * (wide - centre)
z_narrow = z_score(distance_to(narrow, training), reference)
lesson.show("z of narrow heaps", z_narrow)

# %% [markdown]
# An alarm, and nobody has copied! In the middle of a heap the training points are dense, so
# whoever stays in the middle is close to one of them. Close to *any* crowded set, that is. And
# there is the answer: hold the same examples against a **fresh set** that the generator never
# saw. A narrow generator is close to both. A copier is close to its training set alone. So look at
# the difference of the two shares. The claims call it "training less fresh": training minus fresh.

# %%
fresh = grid.sample(SIZE, rng)
reference_fresh = distance_to(held_out, fresh)

controls = {}
for name, made in {
    "narrow heaps": narrow,
    "30 % copies": CASES["30 % copies"][0],
}.items():
    near_training = share_closer(distance_to(made, training), reference)
    near_fresh = share_closer(distance_to(made, fresh), reference_fresh)
    controls[name] = {
        "closer to training": near_training,
        "closer to fresh": near_fresh,
        "difference": near_training - near_fresh,
    }
lesson.table("with a fresh set beside the training set", controls)

# %%
lesson.claim("narrow heaps raise a false alarm, z", z_narrow, above=5)
of_narrow = controls["narrow heaps"]["difference"]
lesson.claim("narrow heaps: training less fresh", of_narrow, near=0, within=0.1)
of_copies = controls["30 % copies"]["difference"]
lesson.claim("30 % copies: training less fresh", of_copies, above=0.05)

# %% [markdown]
# ## And a real GAN?
#
# Two GANs on the ring, much like those of lesson 19: with its larger learning rate and a penalty.
# One learns from 20 000 points, the other from 16, and twice as long. They have only two latent
# variables, so that we can draw them later.
#
# > **Predict.** A network is no copier by nature. Can it become one?

# %%
ring = targets.ring()
STEPS = lesson.pick(full=3000, quick=1500)


def train_gan(points, steps):
    """A GAN with two latent variables, the larger learning rate and the penalty."""
    layers = {"hidden": (64, 64), "critic_hidden": (64, 64)}
    gan = models.GAN(2, steps=steps, lr=0.003, r1=0.3, **layers)
    return gan.fit(points, rng=rng)


many = ring.sample(20_000, rng)
few = ring.sample(16, rng)
gan = train_gan(many, STEPS)
gan_of_few = train_gan(few, 2 * STEPS)


# %%
def to_nearest_mode(points):
    """Distance to the nearest centre of the ring: (n,)."""
    return distance_to(points, ring.modes)


def share_near(made, points, rng):
    """Share of pairs in which what was made is closer to the points than held-out data are."""
    held = ring.sample(SIZE, rng)
    return share_closer(distance_to(made, points), distance_to(held, points))


# %% [markdown]
# Which points a training set happens to hold is a matter of luck, of sixteen above all. So we hold
# the examples against *twenty* fresh sets, as large as the training set, and take the mean. The
# 20 000 points make twenty sets of 1000 themselves: there we take the mean too.


# %%
def mean_share(good, sets, rng):
    """The mean share of pairs won, over several sets of points."""
    shares = [share_near(good, points, rng) for points in sets]
    return np.mean(shares)


def judge(made, seen_sets, rng):
    """Of the examples of high quality: closer to what was seen? And to fresh sets of that size?"""
    good = made[to_nearest_mode(made) < 3 * ring.sd]
    fresh_sets = [ring.sample(len(seen_sets[0]), rng) for _ in range(20)]
    near_seen = mean_share(good, seen_sets, rng)
    near_fresh = mean_share(good, fresh_sets, rng)
    return {
        "quality": len(good) / len(made),
        "closer to training": near_seen,
        "closer to fresh": near_fresh,
        "difference": near_seen - near_fresh,
    }


# %%
sets_of_many = np.split(many, 20)  # (1000, 2) each
judged = {
    "GAN of 20 000 points": judge(gan.sample(SIZE, rng), sets_of_many, rng),
    "GAN of 16 points": judge(gan_of_few.sample(SIZE, rng), [few], rng),
}
lesson.table("two GANs on the ring", judged)

# %%
honest_gan = judged["GAN of 20 000 points"]["difference"]
copying_gan = judged["GAN of 16 points"]["difference"]
lesson.claim(
    "GAN of 20 000 points: training less fresh", honest_gan, near=0, within=0.025
)
lesson.claim("GAN of 16 points: training less fresh", copying_gan, above=0.025)


# %% tags=["hide-input"]
def draw_few():
    with lesson.figure("few", panels=2) as panels:
        made = gan_of_few.sample(SIZE, rng)
        x0, y0 = few[0]
        titles = ("A GAN of 16 points", "Around one of them, enlarged")
        for ax, title in zip(panels, titles):
            ax.plot(*made.T, ".", ms=4, color=VERMILLION, label="generated")
            ax.plot(*few.T, "o", ms=9, mfc="none", mec=BLACK, label="its 16 points")
            ax.set(title=title, xlabel="x", ylabel="y", aspect="equal")
        panels[0].set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3))
        panels[0].legend(loc="center")
        panels[1].set(xlim=(x0 - 0.05, x0 + 0.05), ylim=(y0 - 0.05, y0 + 0.05))


draw_few()

# %% [markdown]
# **What you saw.** With 20 000 points the GAN has no favourites among them. Both of its shares
# are above one half, but by the same amount. With the narrow heaps we saw why a share alone says
# little: it is the difference that counts. With 16 it leans towards those that it saw. Fewer data
# and more rounds over them: here both were changed at once, and which of the two does more is
# yours to find out. So report the test *with* the number of training examples and of steps.

# %% [markdown]
# # Part 3. A walk in latent space crosses bridges
#
# A copier has no *between*: turn its knob a little, and it jumps from one stored example to
# another. (From here on $z$ is the latent input again, not the score of the test.) A network is
# continuous: a small move of $z$ is a small move of the output. So walk
# through latent space, in small steps, and watch the output.
#
# First we need a copier with a knob. Ours gives each of 50 stored points a random **key**, and
# answers $z$ with the point whose key is nearest.

# %%
stored = ring.sample(50, rng)
keys = rng.standard_normal((50, 2))


def copier(z):
    """For each z (n, 2): the stored point with the nearest key."""
    difference = z[:, None] - keys  # (n, 50, 2)
    nearest = np.sum(difference**2, axis=2).argmin(axis=1)
    return stored[nearest]


WALKS = 20
start = rng.standard_normal((WALKS, 2))
end = rng.standard_normal((WALKS, 2))
# arcs around the origin: (401, walks, 2)
path = metrics.spherical_interpolation(start, end, 400)
print("a walk in 400 steps, its first three places:", *path[:3, 0].round(3))

# %% [markdown]
# How to tell a jump from a steep slope? By *finer steps*. One number first: a walk of length 1 in
# four steps moves by 0.25 each time. Squared and added up: $4\cdot0.25^2 = 0.25$. Times the
# number of steps, that is 1. In eight steps: $8 \cdot 8 \cdot 0.125^2 = 1$ again. But one jump of
# length 1, and otherwise no move: $4\cdot 1 = 4$, and with eight steps $8$.
#
# So we take the **mean squared speed**: number of steps times sum of squared moves. Why this name?
# Let the whole walk last one unit of time. With $N$ steps, each lasts $1/N$, so its speed is $N$
# times its move. The mean of the $N$ squared speeds is $N^2/N = N$ times the sum. For a smooth
# walk it settles; a jump $J$ adds $J^2$ times the number of steps.


# %%
def squared_speed(generator, path):
    """Mean squared speed of the output on each walk; path is (steps + 1, walks, 2)."""
    steps = len(path) - 1
    output = generator(path.reshape(-1, 2)).reshape(path.shape)
    moves = np.diff(output, axis=0)  # (steps, walks, 2)
    return steps * np.sum(moves**2, axis=(0, 2))


ours = squared_speed(gan.generate, path)
theirs = metrics.interpolation_smoothness(gan.generate, path)
print("mean squared speed of the GAN, first three walks:", *ours[:3].round(1))
lesson.same("our squared speed and minigen's", ours, theirs, limit=1e-6)

# %% [markdown]
# > **Predict.** Four times as many steps, and again: what does the GAN's speed do? And the
# > copier's?

# %%
FINER = lesson.pick(full=(400, 1600, 6400, 25_600), quick=(400, 1600, 6400))
speeds = {"GAN": [], "copier": []}
for steps in FINER:
    finer_path = metrics.spherical_interpolation(start, end, steps)
    speeds["GAN"].append(np.median(squared_speed(gan.generate, finer_path)))
    speeds["copier"].append(np.median(squared_speed(copier, finer_path)))

speed_rows = {}
for name, values in speeds.items():
    speed_rows[name] = {f"{steps} steps": value for steps, value in zip(FINER, values)}
lesson.table("mean squared speed, median of 20 walks", speed_rows)

# %%
growth = {name: values[-1] / values[-2] for name, values in speeds.items()}
lesson.claim("the GAN's growth in steps four times finer", growth["GAN"], below=1.5)
lesson.claim("the copier's growth in steps four times finer", growth["copier"], above=3)

# %% [markdown]
# ## A bridge must be crossed
#
# The GAN does not jump. But the ring is in eight pieces! Two neighbouring centres are
# $2\sin(\pi/8) = 0.765$ apart. Who walks *continuously* from one mode to another must somewhere
# be equally far from the two, and there he is at least half of that, **0.383**, from every
# centre. The heaps end at three SDs, 0.03. (Our walks go in steps, so they may miss the exact
# middle by a little.)
#
# So every walk between two modes crosses a **bridge** of examples that do not exist in the data.
# This is no failure of training; it is a theorem about continuous maps.
#
# > **Predict.** We look at all walks that begin in one mode and end in another. How far from all
# > centres do the GAN and the copier get?


# %%
def furthest_off(generator, path):
    """Of walks between two different modes: the largest distance to the nearest centre."""
    output = generator(path.reshape(-1, 2)).reshape(path.shape)
    off = []
    for walk in range(path.shape[1]):
        # (steps + 1, 8)
        to_centres = np.linalg.norm(output[:, walk, None] - ring.modes, axis=2)
        mode = to_centres.argmin(axis=1)
        if mode[0] != mode[-1]:
            off.append(to_centres.min(axis=1).max())
    return np.array(off)


long_path = metrics.spherical_interpolation(start, end, FINER[-1])
bridge = furthest_off(gan.generate, long_path)
leap = furthest_off(copier, long_path)
lesson.show("walks of the GAN from one mode to another", len(bridge))
lesson.show("how far from all centres they get, median", np.median(bridge))
lesson.show("the same for the copier", np.median(leap))

# %%
half_way = np.sin(np.pi / 8)
lesson.claim(
    "each walk of the GAN crosses a bridge", bridge.min() / half_way, above=0.9
)
lesson.claim("no walk of the copier does", leap.max() / half_way, below=0.3)

# %% [markdown]
# Now the whole latent plane: colour each $z$ by the mode that it becomes, black where it becomes
# none (further than 0.1 from every centre).

# %%
side = np.linspace(-3, 3, 301)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (90 601, 2)
to_centres = np.linalg.norm(gan.generate(plane)[:, None] - ring.modes, axis=2)
is_bridge = to_centres.min(axis=1) > 0.1
land = np.where(is_bridge, np.nan, to_centres.argmin(axis=1)).reshape(301, 301)

made = gan.sample(5000, rng)
off_centre = to_nearest_mode(made)
bad = off_centre > 3 * ring.sd
on_bridge = off_centre > 0.1
lesson.show("examples that are not of high quality", 100 * bad.mean(), "%")
lesson.show("examples on bridges", 100 * on_bridge.mean(), "%")


# %% [markdown]
# For the picture one more walk, a third of a turn around the origin.

# %%
one_start = np.array([[1.5, -0.5]])
one_end = np.array([[-0.5, 1.5]])
walk = metrics.spherical_interpolation(one_start, one_end, 400)[:, 0]  # (401, 2)
of_walk = np.linalg.norm(gan.generate(walk)[:, None] - ring.modes, axis=2).argmin(
    axis=1
)
print("its mode, every 40 steps:", *of_walk[::40])


# %% tags=["hide-input"]
def draw_walk():
    colours = [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY, PALE]
    eight = {"cmap": ListedColormap(colours), "vmin": -0.5, "vmax": 7.5}
    with lesson.figure("walk", panels=3, width=4.5, height=4.4) as (
        left,
        middle,
        right,
    ):
        left.set_facecolor("black")
        left.grid(False)
        left.pcolormesh(side, side, land, rasterized=True, **eight)
        left.plot(*walk.T, "w--", lw=2)
        left.set(title="The mode of each z (black: none)", aspect="equal")
        left.set(xlabel="latent 1", ylabel="latent 2", xlim=(-3, 3), ylim=(-3, 3))

        middle.scatter(*ring.modes.T, c=range(8), s=160, **eight)
        middle.plot(*gan.generate(walk).T, ".-", color=BLACK, lw=0.5, ms=3)
        middle.set(
            title="What the dashed walk makes", xlabel="x", ylabel="y", aspect="equal"
        )

        for name, colour in (("copier", VERMILLION), ("GAN", BLUE)):
            right.loglog(FINER, speeds[name], "o-", color=colour, label=name)
        right.set(title="Jumps show when steps get finer")
        right.set(xlabel="steps of a walk", ylabel="mean squared speed")
        right.set_xticks(FINER, [str(steps) for steps in FINER])
        right.minorticks_off()


draw_walk()
lesson.end()

# %% [markdown]
# **What you saw.** The latent plane is in one piece, the ring in eight. So black seams must run
# between the countries, and each seam is a bridge. Training can make the bridges narrow and quick
# to cross; it cannot remove them. A black patch at the rim, as in the upper right corner, is no
# seam: so far from the origin hardly any $z$ is ever drawn, in training or later. A good part of
# the missing quality of lesson 19 lies here.
#
# With motions of pendulums there is no such trouble: their three factors vary without gaps. What
# lies between two pendulums is a pendulum.

# %% [markdown]
# # What it means
#
# * Held-out data are the yardstick for copies: who copies lies closer to the training set than
#   they do.
# * Junk hides copies, and narrow heaps raise a false alarm. Judge the good ones by themselves,
#   and hold them against a fresh set, too.
# * A copier jumps, a network walks. Finer steps tell them apart.
# * What is continuous must cross bridges between separate kinds.
#
# # Exercises
#
# **1. Coarser copies** (5 minutes). Blur the copies by 0.05 instead of 0.001 (the SD of a heap).
# What happens to the histogram and to $z$, and why? Is it still copying?
#
# **2. A wider road** (5 minutes). Colour the plane black only beyond 0.3 instead of 0.1. What
# becomes of the seams? Can they vanish at 0.38?
#
# **3. The smallest crime** (15 minutes). *Write* `smallest_share(size)`: the smallest share of
# copies, in steps of 1 %, for which $z > 5$, with `size` points in each of the three sets.
# *Check:* for 1000 it is between 8 and 20 %; for 4000 it is about half of that. *Why:* "no copies
# found" depends on how many examples one looked at.
#
# **4. Three sets without names** (15 minutes). To judge, not to code. Let somebody mix up
# `honest`, `narrow` and `CASES["30 % copies"][0]` for you. Decide with two numbers each which is
# which. Then write one sentence for each: what would convince a doubtful reader?
#
# **5. How narrow is a bridge?** (20 minutes) *Write* `bridge_share(steps)`: train the GAN of Part
# 2 on `many` with so many steps, and return the share of 5000 examples that lie further than 0.1
# from all centres. *Check:* the share after 3000 steps is below half of that after 600, and above
# 0. *Why:* it can become small, not zero.
#
# # Sources
#
# Meehan, Chaudhuri & Dasgupta, *A non-parametric test to detect data-copying in generative
# models*, AISTATS 2020: the test, with held-out data. Mann & Whitney, Annals of Mathematical
# Statistics 18 (1947). White, *Sampling generative networks* (2016): walks on arcs. Karras, Laine
# & Aila, *A style-based generator architecture for GANs*, CVPR 2019: speed along walks (path
# length).
