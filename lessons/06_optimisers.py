# %% [markdown]
# # 6. Optimisers: how to walk downhill
#
# *Part 2: the engine. 75 minutes.*
#
# **The question.** You know which way is down; how far do you go? In lesson 5 a step was the
# gradient times a fixed rate. With a rate a little too large the network runs off to infinity,
# with one a little too small it never arrives. There are better steps, and nearly every network
# of this course is trained by one of them.
#
# **Afterwards you can**
#
# * say why a fixed rate is slow in a ravine, and where it explodes,
# * write momentum and Adam in a few lines each, and say what each of these lines is for,
# * choose a learning rate, and let it fall,
# * choose the size of the first weights, so that a deep network can learn at all.
#
# **You need** the network and the training loop (lesson 5), the tape (lesson 4).
#
# **Five parts**, about fifteen minutes each. One may stop after any of them.
#
# 1. A ravine, and a fixed rate
# 2. A heavy ball
# 3. Steps of one length, and Adam
# 4. The race
# 5. How large should the first weights be?

# %%
from lesson import Lesson

lesson = Lesson("06_optimisers")
rng = lesson.rng

import numpy as np

from minigen import datasets, nn, ops, optim
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, VERMILLION

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# # Part 1. A ravine, and a fixed rate
#
# A network has thousands of weights, and its loss is a landscape that nobody can see. So we take
# two weights, $u$ and $v$, and a landscape that we can draw:
#
# $$ L(u, v) = \tfrac12\left(u^2 + 100\,v^2\right) . $$
#
# A ravine: along $v$ it is curved a hundred times as much as along $u$. The gradient is
# $(u,\ 100\,v)$. We start at $u = -9$, $v = 1$.
#
# By hand, with a rate of 0.01: the gradient there is $(-9, 100)$, a step against it leads to
# $(-9 + 0.09,\ 1 - 1) = (-8.91, 0)$. Across the ravine we have arrived in one step. Along it we
# have come one hundredth of the way. (The picture stretches $v$; in truth the ravine is less
# than half as wide.)

# %%
RAVINE = np.array([1.0, 100.0])  # curvature along u and v
START = np.array([-9.0, 1.0])


def loss(w):
    """Height of the ravine at points w (..., 2)."""
    return 0.5 * np.sum(RAVINE * w**2, axis=-1)


print("gradient at the start:", RAVINE * START, "loss:", loss(START))
print("after one step of rate 0.01:", START - 0.01 * RAVINE * START)


# %% tags=["hide-input"]
def draw_ravine(ax):
    u = np.linspace(-10, 3, 200)
    v = np.linspace(-1.7, 1.7, 200)
    points = np.stack(np.meshgrid(u, v), axis=-1)
    levels = (2, 10, 30, 60, 100)
    ax.contour(u, v, loss(points), levels, colors=PALE, linewidths=1)
    ax.plot(0, 0, "*", ms=10, color=BLACK)
    ax.set(
        xlabel="u, along the ravine",
        ylabel="v, across",
        xlim=(-10, 3),
        ylim=(-1.7, 1.7),
    )


def draw_first_step():
    path = np.array([START, START - 0.01 * RAVINE * START])
    with lesson.figure("ravine", width=6) as ax:
        draw_ravine(ax)
        ax.plot(path[:, 0], path[:, 1], "o-", color=BLUE, label="one step of rate 0.01")
        ax.set_title("Lines of equal loss, and the lowest point (star)")


draw_first_step()

# %% [markdown]
# Every optimiser of this lesson is an object with one method: `direction(g)` turns the gradient
# into what is to be followed. The first one follows the gradient itself.


# %%
class FixedRate:
    """Gradient descent."""

    def direction(self, g):
        return g


def walk(optimiser, rate, steps=500, curvature=RAVINE):
    """The points that the optimiser comes to, the start included: (steps + 1, 2)."""
    w = START
    path = [w]
    for _ in range(steps):
        g = curvature * w
        w = w - rate * optimiser.direction(g)
        path.append(w)
    return np.array(path)


print(walk(FixedRate(), 0.01, steps=3))

# %% [markdown]
# > **Predict.** We try the rates 0.002, 0.01, 0.019 and 0.021. Which brings us furthest along the
# > ravine in 100 steps? What will the last one do that the third does not?

# %%
fixed = {}
for rate in (0.002, 0.01, 0.019, 0.021):
    fixed[rate] = walk(FixedRate(), rate)

after_100 = {}
for rate, path in fixed.items():
    u, v = path[100]
    after_100[f"rate {rate}"] = {"u": u, "v": v, "loss": loss(path[100])}
lesson.table("after 100 steps at a fixed rate", after_100)


# %% tags=["hide-input"]
def draw_walks(places, heights, walks, steps=100):
    """Paths of the walks {name: (path, colour)} in the ravine, and their losses."""
    draw_ravine(places)
    for label, (path, colour) in walks.items():
        outside = np.flatnonzero(np.abs(path[:, 1]) > 1.7)
        end = outside[0] + 1 if len(outside) else steps + 1
        seen = path[: min(end, steps + 1)]
        places.plot(seen[:, 0], seen[:, 1], ".-", ms=4, lw=0.8, color=colour)
        heights.semilogy(loss(path), color=colour, lw=1.2, label=label)
    places.set_title(f"The first {steps} steps (star: the lowest point)")
    heights.set(xlabel="step", ylabel="loss", ylim=(1e-6, 1e4), xlim=(0, 400))
    heights.set_title("How high one still is")


def draw_fixed_rate():
    colours = (GREY, BLUE, ORANGE, VERMILLION)
    walks = {}
    for (rate, path), colour in zip(fixed.items(), colours):
        walks[f"rate {rate}"] = (path, colour)
    with lesson.figure("fixed_rate", panels=2, width=5.4) as (places, heights):
        draw_walks(places, heights, walks)


draw_fixed_rate()

# %% [markdown]
# **What you saw.** At 0.019 the walk zigzags from wall to wall, each time a little less far. At
# 0.021 each time a little further: along the ravine it gets furthest of all, but it climbs out.
#
# The reason is one line. A step takes $u$ to $u - h\,u = (1 - h)\,u$ and $v$ to
# $(1 - 100\,h)\,v$. Each step multiplies. For $h = 0.019$ the factors are 0.981 and $-0.9$; for
# 0.021 they are 0.979 and $-1.1$, and $1.1^{100}$ is 13 781. So
#
# * with curvature $c$, a rate above $2/c$ **diverges**: here above 0.02;
# * the steepest direction sets the limit, and the flattest pays for it: its factor is never below
#   0.98.
#
# The ratio of the two curvatures, here 100, is the **condition number**. Were it 1000, the rate
# would have to be ten times smaller, and the walk along the ravine would take ten times as many
# steps: they grow in proportion to it.

# %%
for rate, path in fixed.items():
    factors = path[1] / path[0]
    lesson.claim(
        f"rate {rate}: a step multiplies u and v by",
        factors,
        near=[1 - rate, 1 - 100 * rate],
        within=1e-9,
    )

growth = {rate: loss(path[100]) / loss(START) for rate, path in fixed.items()}
lesson.claim(
    "rate 0.019: the loss after 100 steps over that at the start",
    growth[0.019],
    below=0.02,
)
lesson.claim("rate 0.021: the same", growth[0.021], above=1e6)

# %% [markdown]
# # Part 2. A heavy ball
#
# A ball that rolls down a ravine does not zigzag like that. It has mass: what pushes it to the
# left now and to the right next cancels, what always pushes it forwards adds up. So keep a
# running sum $m$ of the gradients, of which a tenth is lost at each step, and follow that:
#
# $$ m \leftarrow 0.9\,m + g, \qquad w \leftarrow w - h\,m . $$
#
# This is **momentum** (Polyak, 1964).
#
# By hand. If the gradient is always 1, $m$ is 1, then 1.9, then 2.71, and in the end
# $1 + 0.9 + 0.9^2 + \dots = 10$. If it is $1, -1, 1, -1$, then $m$ is 1, $-0.1$, 0.91, $-0.18$.
#
# > **Predict.** Where does the second series end? So how much faster is one along the ravine than
# > across?


# %%
class Momentum:
    """A running sum of gradients that forgets a tenth at each step."""

    def __init__(self):
        self.sum = 0.0

    def direction(self, g):
        self.sum = 0.9 * self.sum + g
        return self.sum


steady = Momentum()
alternating = Momentum()
sums = {}
for step in range(1, 101):
    always_one = steady.direction(1.0)
    to_and_fro = alternating.direction((-1.0) ** (step + 1))
    if step in (1, 2, 3, 4, 10, 100):
        sums[f"step {step}"] = {"1, 1, 1, ...": always_one, "1, -1, 1, ...": to_and_fro}
lesson.table("the running sum of these gradients", sums)

# %%
lesson.claim(
    "momentum: a steady gradient of 1 becomes", always_one, near=10, within=0.01
)
lesson.claim(
    "momentum: an alternating one has the size",
    abs(to_and_fro),
    near=1 / 1.9,
    within=0.01,
)

# %% [markdown]
# Ten and about a half. The second series ends between $+0.526$ and $-0.526$, as
# $1 - 0.9 + 0.9^2 - \dots = 1/1.9 = 0.526$. So what is steady counts nearly twenty times as much
# as what alternates.
#
# Is it faster, then? A fair race gives each its best rate. We count the steps until the loss has
# fallen to a ten-thousandth for good.


# %%
def steps_needed(path):
    """Steps until the loss stays below 1/10 000 of what it was at the start."""
    too_high = np.flatnonzero(loss(path) > 1e-4 * loss(START))
    return too_high[-1] + 1


needed = {"fixed rate": {}, "momentum": {}}
for rate in (0.003, 0.005, 0.01, 0.015, 0.019):
    needed["fixed rate"][f"rate {rate}"] = steps_needed(walk(FixedRate(), rate, 3000))
    needed["momentum"][f"rate {rate}"] = steps_needed(walk(Momentum(), rate, 3000))
lesson.table("steps until the loss is a ten-thousandth", needed)

# %%
best_fixed = min(needed["fixed rate"].values())
best_momentum = min(needed["momentum"].values())
share = best_momentum / best_fixed
lesson.claim("momentum needs this share of a fixed rate's steps", share, below=0.5)


# %% tags=["hide-input"]
def draw_momentum():
    walks = {
        "fixed rate, 0.019": (fixed[0.019], ORANGE),
        "momentum, rate 0.01": (walk(Momentum(), 0.01), GREEN),
    }
    with lesson.figure("momentum", panels=2, width=5.4) as (places, heights):
        draw_walks(places, heights, walks)


draw_momentum()

# %% [markdown]
# **What you saw.** The ball shoots along the ravine, past the lowest point, and swings back: a
# damped pendulum. It has less than half the steps to go. And its rate may be chosen more
# carelessly: from 0.003 to 0.019 it needs 83 to 96 steps, the fixed rate 220 to 1399.

# %% [markdown]
# # Part 3. Steps of one length, and Adam
#
# Momentum still has one rate for all weights. But in a network one weight may have a gradient of
# 0.001 and another of 10, for no better reason than the units in which things are measured.
#
# A rough remedy: **forget how long the gradient is**. Each weight moves by the rate, up or down,
# whatever its slope. By hand: the gradient $(-9, 100)$ becomes $(-1, 1)$. This is a **normalised
# gradient**, here weight by weight; it has been known since Rprop (1993).
#
# > **Predict.** A rate of 0.2, from $(-9, 1)$. What does the path look like? After how many steps
# > is it at the bottom of the ravine, after how many at the lowest point? And then?


# %%
class OneLength:
    """Every weight moves by the rate, whatever its slope."""

    def direction(self, g):
        return g / (np.abs(g) + 1e-12)


one_length = walk(OneLength(), 0.2)
for step in (0, 1, 5, 45, 46, 47, 48):
    print(f"step {step}: w =", one_length[step])

# %% [markdown]
# Five steps to the bottom, forty more to the lowest point. The ravine is no longer there! But
# close to the goal the steps are as long as ever, so it cannot stop: it jumps to and fro. (Between
# which points, 0.061 and $-0.139$, is an accident of rounding. Only at exactly 0 would it rest.)
#
# ## Adam
#
# **Adam** (Kingma & Ba, 2015) mends this. It keeps two running means for each weight, of the
# gradient and of its square. (A *mean*, not momentum's sum: the old counts 0.9 and the new 0.1, in
# all 1.)
#
# $$ m \leftarrow 0.9\,m + 0.1\,g, \qquad s \leftarrow 0.999\,s + 0.001\,g^2, \qquad
#   w \leftarrow w - h\,\frac{m}{\sqrt{s}} . $$
#
# $\sqrt s$ is the gradient's usual size. So a weight whose gradient is steady moves by $h$ at
# each step, however large or small its gradient. Where the gradient alternates, its mean $m$ is
# much smaller than its usual size, and the step becomes short by itself.
#
# One flaw is left. Both means begin at zero. By hand: after the first step with a gradient of 1
# we have $m = 0.1$ and $s = 0.001$, so the step is $0.1/\sqrt{0.001} = 3.16$ instead of 1. After
# a second one $m = 0.09 + 0.1 = 0.19$, which is $1 - 0.9^2$. After $t$ steps $m$ holds only
# $1 - 0.9^t$ of what it should, and $s$ only $1 - 0.999^t$. So divide by that: it is called **bias
# correction**.

# %%
first_steps = {}
for t in (1, 2, 10, 100, 1000, 5000):
    m = 1 - 0.9**t  # of a gradient that is always 1
    s = 1 - 0.999**t
    m_corrected = m / (1 - 0.9**t)
    s_corrected = s / (1 - 0.999**t)
    first_steps[f"step {t}"] = {
        "without correction": m / np.sqrt(s),
        "with": m_corrected / np.sqrt(s_corrected),
    }
lesson.table("Adam's step for a steady gradient, in learning rates", first_steps)


# %%
class Adam:
    """The mean gradient over its usual size, weight by weight."""

    def __init__(self):
        self.mean = 0.0
        self.square = 0.0
        self.t = 0

    def direction(self, g):
        self.t += 1
        self.mean = 0.9 * self.mean + 0.1 * g
        self.square = 0.999 * self.square + 0.001 * g**2
        mean = self.mean / (1 - 0.9**self.t)
        square = self.square / (1 - 0.999**self.t)
        return mean / (np.sqrt(square) + 1e-8)  # 1e-8: never divide by zero


adam = walk(Adam(), 0.3)
for step in (0, 1, 5, 45, 100, 200):
    print(f"step {step}: w =", adam[step])


# %% tags=["hide-input"]
def draw_adam():
    walks = {
        "fixed rate, 0.019": (fixed[0.019], ORANGE),
        "steps of one length, 0.2": (one_length, GREY),
        "Adam, 0.3": (adam, BLUE),
    }
    with lesson.figure("adam", panels=2, width=5.4) as (places, heights):
        draw_walks(places, heights, walks)


draw_adam()

# %% [markdown]
# **What you saw.** Adam starts like the steps of one length, straight towards the goal on both
# axes at once. Then it swings and settles, where the other jumps for ever. Without the correction
# its first hundred steps would be up to seven times too long.
#
# > **Predict.** Two tests. In a *round* bowl, $L = \frac12(u^2 + v^2)$: will Adam take another
# > path than in the ravine? And if we measure the loss in other units, a thousand times as large?
# > And a fixed rate?

# %%
ROUND = np.array([1.0, 1.0])


def largest_difference(optimiser_class, rate, curvature):
    """Between the paths in this bowl and in the ravine, over 30 steps."""
    here = walk(optimiser_class(), rate, 30, curvature)
    ravine = walk(optimiser_class(), rate, 30)
    return np.max(np.abs(here - ravine))


differences = {}
for optimiser_class, rate in ((FixedRate, 0.019), (Momentum, 0.01), (Adam, 0.3)):
    differences[optimiser_class.__name__] = {
        "round bowl": largest_difference(optimiser_class, rate, ROUND),
        "loss times 1000": largest_difference(optimiser_class, rate, 1000 * RAVINE),
    }
lesson.table("how far the path changes", differences)

# %%
for case in ("round bowl", "loss times 1000"):
    lesson.claim(
        f"{case}: change of Adam's path", differences["Adam"][case], below=1e-5
    )
    lesson.claim(
        f"{case}: change of a fixed rate's path",
        differences["FixedRate"][case],
        above=0.5,
    )

settled = loss(adam[200:]).max() / loss(START)
jumping = loss(one_length[200:]).max() / loss(START)
lesson.claim("Adam: largest loss after step 200, over the first", settled, below=1e-4)
lesson.claim("steps of one length: the same", jumping, above=1e-3)

# %% [markdown]
# **What you saw.** Adam does not see how steep an axis is: for it the ravine *is* a round bowl.
# That is its strength, and why its learning rate means the same nearly everywhere: about so far
# does a weight move in a step. (It is blind only along the axes. Exercise 4 turns the ravine.)

# %% [markdown]
# # Part 4. The race
#
# Now the network of lesson 5: from $\theta_0$, $\omega_0$, $g/L$ and $t$ to the angle, with
# noise. We let minigen make the layers and find the gradients, as lesson 5 showed that they are
# the same as ours. The optimisers are ours.

# %%
data = datasets.pendulum_trajectories(lesson.pick(full=2000, quick=500), rng, view=100)
train_set, test_set = datasets.train_test_split(data, rng)


def inputs_of(pendulums):
    """theta0, omega0, g/L, t: a row for every angle, (rows, 4)."""
    columns = []
    for factor in pendulums.factors.values():
        columns.append(np.repeat(factor, len(pendulums.t)))
    columns.append(np.tile(pendulums.t, len(pendulums)))
    return np.column_stack(columns)


train_inputs = inputs_of(train_set)
column_mean = train_inputs.mean(axis=0)
column_sd = train_inputs.std(axis=0)


# %%
def standardised(pendulums):
    """As the network sees them, in single precision."""
    return ((inputs_of(pendulums) - column_mean) / column_sd).astype(np.float32)


x = standardised(train_set)  # (rows, 4)
y = train_set.theta.reshape(-1, 1).astype(np.float32)  # (rows, 1)
test_x = standardised(test_set)
truth = test_set.clean.reshape(-1, 1)  # without noise
print(f"{len(x)} rows to learn from, {len(test_x)} to be judged on")

# %% [markdown]
# The loop is that of lesson 5, with two changes. Each array of weights has an optimiser of its
# own, as momentum and Adam have something to remember. And the learning rate falls to zero along
# half a **cosine**: $h\,(1 + \cos(\pi\,k/K))/2$ at step $k$ of $K$. By hand: all of $h$ at the
# start, 0.85 of it after a quarter of the way, half of it in the middle, nothing at the end.


# %%
def cosine(step, steps):
    return (1 + np.cos(np.pi * step / steps)) / 2


def constant(step, steps):
    return 1.0


def train(network, optimiser_class, rate, steps, rng, schedule=cosine):
    """Train on minibatches of 128 rows; returns their losses in rad^2."""
    memories = []
    for w in network.parameters():  # a matrix or biases of a layer
        memories.append((w, optimiser_class()))
    losses = []
    for step in range(steps):
        rows = rng.integers(len(x), size=128)
        network.zero_grad()
        batch_loss = ops.mse(network(x[rows]), y[rows])
        batch_loss.backward()
        losses.append(batch_loss.item())  # the bare number
        now = rate * schedule(step, steps)
        for w, memory in memories:
            w.data[...] -= now * memory.direction(w.grad)
    return losses


# %%
def dice(number):
    """For network number 0, 1, ...: the same first weights and minibatches each time."""
    return np.random.default_rng([lesson.seed, number])


def trained(optimiser_class, rate, steps, schedule=cosine, number=0):
    """A network after so many steps of such an optimiser, and its losses."""
    network = nn.MLP([4, 32, 32, 1], "tanh", rng=dice(number))
    losses = train(network, optimiser_class, rate, steps, dice(number), schedule)
    return network, losses


def distance(network):
    """RMS distance from the true motion, in rad."""
    return np.sqrt(np.mean((network(test_x).data - truth) ** 2))


one_network, one_loss = trained(Adam, 0.01, 300)
lesson.show("300 steps of Adam: distance from the truth", distance(one_network), "rad")

# %% [markdown]
# > **Predict.** Three optimisers, six rates each, from the timid 0.003 to the reckless 1. (a)
# > Which optimiser ends nearest to the truth? (b) Compare momentum at a rate of 0.01 with a fixed
# > rate of 0.1: remember the sum $1 + 0.9 + 0.9^2 + \dots$ (c) Which is the least sensitive to
# > its rate?

# %%
RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
STEPS = lesson.pick(full=2000, quick=500)
OPTIMISERS = {"fixed rate": FixedRate, "momentum": Momentum, "Adam": Adam}

race = {}
losses_of = {}
for name, optimiser_class in OPTIMISERS.items():
    for rate in RATES:
        with np.errstate(all="ignore"):  # the most reckless run off to infinity
            network, losses = trained(optimiser_class, rate, STEPS)
            race[name, rate] = distance(network)
        losses_of[name, rate] = losses

# %%
by_rate = {}
for name in OPTIMISERS:
    by_rate[name] = {}
    for rate in RATES:
        by_rate[name][f"{rate:g}"] = race[name, rate]
lesson.table(f"distance from the truth after {STEPS} steps (rad), by rate", by_rate)

# %% [markdown]
# (`nan` is "not a number": such a run went to infinity.)
#
# Which rate is the best for each? The test set is not for choosing (lesson 3). So we take the
# rate with the smallest loss on the last 100 minibatches of training. And as one network may be
# lucky, each optimiser then trains some more networks at its best rate.


# %%
def best_rate(name):
    """The rate whose training ended with the smallest loss."""
    best = None
    least = np.inf
    for rate in RATES:
        end = np.mean(losses_of[name, rate][-100:])
        if end < least:  # never true of a run that went to infinity
            best = rate
            least = end
    return best


best = {name: best_rate(name) for name in OPTIMISERS}
print(best)

# %%
chosen = {}
more = {}
for name, optimiser_class in OPTIMISERS.items():
    distances = []
    for number in range(1, lesson.pick(full=5, quick=2)):
        with np.errstate(
            all="ignore"
        ):  # one network's best may be too bold for another
            network, losses = trained(optimiser_class, best[name], STEPS, number=number)
            distances.append(distance(network))
    chosen[name] = np.mean(distances)
    more[name] = {"best rate": best[name], "mean distance (rad)": chosen[name]}
lesson.table("more networks, at the best rates", more)

# %%
gain = chosen["Adam"] / chosen["fixed rate"]
lesson.claim("distance of Adam over that of a fixed rate", gain, below=0.8)

tenfold = [
    race["momentum", 0.003] / race["fixed rate", 0.03],
    race["momentum", 0.01] / race["fixed rate", 0.1],
]
allowed = lesson.pick(full=0.25, quick=0.6)
lesson.claim(
    "momentum over a ten times larger fixed rate", tenfold, near=1, within=allowed
)

survives = np.isfinite(race["fixed rate", 1.0])
lesson.claim("a fixed rate of 1 ends somewhere finite (1: yes)", survives, exactly=0)
bold = race["momentum", 0.1]
lesson.claim("momentum at 0.1, which is as bold: distance", bold, below=0.4, unit="rad")


# %% tags=["hide-input"]
def running_mean(losses, window=50):
    return np.convolve(losses, np.ones(window) / window, "valid")


def draw_race():
    colours = {"fixed rate": ORANGE, "momentum": GREEN, "Adam": BLUE}
    with lesson.figure("race", panels=2, width=5.4) as (rates, curves):
        for name, colour in colours.items():
            distances = [race[name, rate] for rate in RATES]
            rates.loglog(RATES, distances, "o-", color=colour, label=name)
            mean = running_mean(losses_of[name, best[name]])
            label = f"{name}, {best[name]:g}"
            curves.semilogy(np.arange(50, STEPS + 1), mean, color=colour, label=label)
        rates.set(xlabel="learning rate at the start", ylim=(0.03, 1.6))
        rates.set(
            ylabel="distance from the truth (rad)",
            title="After all steps (no point: ran off to infinity)",
        )
        curves.axhline(
            np.mean((0.1 * data.t) ** 2), color=BLACK, ls="--", label="the noise alone"
        )
        curves.set(xlabel="step", ylabel="mean squared error (rad²)", ylim=(0.07, 1.2))
        curves.set_title("Loss curves at the best rates (means of 50)")


draw_race()

# %% [markdown]
# **What you saw.** Momentum's curve is that of the fixed rate, shifted by a factor of ten: each
# gradient counts ten times in the end. Yet at 0.1, as bold as a fixed rate of 1, it holds its
# course where the fixed rate runs away. Adam ends nearest to the truth, and its loss falls first.
# And it forgives: a rate ten times too small or too large costs it a factor of two or three. Even
# at 1, where it learns nothing, it does not run off.
#
# ## Let the rate fall
#
# All these runs let the rate fall to zero. Does that help?
#
# > **Predict.** The same Adam at a rate of 0.03, once along the cosine and once constant. How
# > much does the fall of the rate matter?

# %%
steady_network, steady_losses = trained(Adam, 0.03, STEPS, schedule=constant)
schedules = {
    "along the cosine": race["Adam", 0.03],
    "constant": distance(steady_network),
}
lesson.table("Adam at 0.03", {"distance from the truth (rad)": schedules})
worse = schedules["constant"] / schedules["along the cosine"]
lesson.claim(
    "distance with a constant rate over that with a falling one", worse, above=1.1
)

# %% [markdown]
# Chance in the minibatches kicks the weights at every step, by about the rate. A constant rate
# never lets them come to rest. (To fall too early is no good either: then one has not arrived.)
#
# ## The library has the same
#
# A hundred steps of each, from the same weights and on the same minibatches.


# %%
def trained_by_library(optimiser_class, rate, **settings):
    """As `trained`, for 100 steps, by an optimiser of minigen's."""
    network = nn.MLP([4, 32, 32, 1], "tanh", rng=dice(0))
    optimiser = optimiser_class(network, optim.cosine_decay(rate, 100), **settings)
    choose = dice(0)
    for _ in range(100):
        rows = choose.integers(len(x), size=128)
        optimiser.zero_grad()
        ops.mse(network(x[rows]), y[rows]).backward()
        optimiser.step()
    return network


theirs = {
    "fixed rate": trained_by_library(optim.SGD, 0.1),
    "momentum": trained_by_library(optim.SGD, 0.01, momentum=0.9),
    "Adam": trained_by_library(optim.Adam, 0.01),
}

# %%
our_rates = {"fixed rate": 0.1, "momentum": 0.01, "Adam": 0.01}
for name, rate in our_rates.items():
    network, losses = trained(OPTIMISERS[name], rate, 100)
    ours = network(test_x).data
    library = theirs[name](test_x).data
    lesson.same(f"{name}: our angles and minigen's", ours, library, limit=1e-5)

# %% [markdown]
# # Part 5. How large should the first weights be?
#
# Where does the walk begin? All weights zero is no start: then all units of a layer are the same
# and stay so. We draw them by lot. How large?
#
# By hand. A unit mixes 256 numbers of size 1 with weights of SD $s/16$. The mixture has variance
# $256 \cdot s^2/256 = s^2$: its size is $s$. The next layer multiplies by $s$ again. We call $s$
# the **scale** of the weights, and $s/\sqrt{n_\text{in}}$ is their SD. After twenty layers the
# size is $s^{20}$: for $s = 0.5$ that is a millionth, for $s = 1$ it is 1.
#
# On the way back the gradient meets the same matrices, so the same holds for it, but for the
# slopes of the bends.
#
# > **Predict.** Twenty layers of tanh. What arrives in the last one at a scale of 0.5? Of 1? Of
# > 5, where a mixture is far out on tanh's flat ends? And the gradients?

# %%
DEPTH = 20
WIDTH = 256


def tanh_slope(y):
    return 1 - y**2


def relu(z):
    return np.maximum(z, 0)


def relu_slope(y):
    return (y > 0).astype(float)


def rms(values):
    return np.sqrt(np.mean(values**2))


# %%
def through_the_layers(bend, slope, scale):
    """Sizes of signal and gradient at the output of each layer, and the last output."""
    weights = rng.normal(0, scale / np.sqrt(WIDTH), (DEPTH, WIDTH, WIDTH))
    values = rng.normal(size=(256, WIDTH))
    outputs = []
    for W in weights:
        values = bend(values @ W.T)
        outputs.append(values)

    g = rng.normal(size=(256, WIDTH))  # what arrives at the last output
    gradients = []
    for W, output in zip(weights[::-1], outputs[::-1]):
        gradients.append(rms(g))
        g = (g * slope(output)) @ W  # lesson 5's way back
    signals = [rms(output) for output in outputs]
    return np.array(signals), np.array(gradients[::-1]), values


# %%
CASES = {
    "tanh, 0.5": (np.tanh, tanh_slope, 0.5),
    "tanh, 1": (np.tanh, tanh_slope, 1.0),
    "tanh, 5": (np.tanh, tanh_slope, 5.0),
    "ReLU, 1": (relu, relu_slope, 1.0),
    "ReLU, 1.41": (relu, relu_slope, np.sqrt(2)),
}
signal = {}
gradient = {}
last_output = {}
sizes = {}
for name, case in CASES.items():
    signal[name], gradient[name], last_output[name] = through_the_layers(*case)
    sizes[name] = {
        "signal, layer 1": signal[name][0],
        "signal, layer 20": signal[name][-1],
        "gradient, layer 20": gradient[name][-1],
        "gradient, layer 1": gradient[name][0],
    }
lesson.table("size (RMS) of signals and gradients", sizes)


# %%
def per_layer(series):
    """The factor from one layer to the next, as a mean over all 19."""
    return (series[-1] / series[0]) ** (1 / (DEPTH - 1))


factor = {name: per_layer(signal[name]) for name in CASES}
expected = {"tanh, 0.5": 0.5, "ReLU, 1": 0.707, "ReLU, 1.41": 1}
for name, known in expected.items():
    what = f"{name}: the signal's factor per layer"
    lesson.claim(what, factor[name], near=known, within=0.1)
slowly = factor["tanh, 1"]
lesson.claim("tanh, 1: the signal's factor per layer", slowly, above=0.85, below=1)

# %%
explodes = per_layer(gradient["tanh, 5"][::-1])
lesson.claim(
    "tanh, 5: the gradient's factor per layer, on the way back", explodes, above=1.3
)
shouting = np.mean(np.abs(last_output["tanh, 5"]) > 0.99)
lesson.claim("tanh, 5: share of the last outputs beyond 0.99", shouting, above=0.4)


# %% tags=["hide-input"]
def draw_sizes():
    colours = (GREY, BLUE, VERMILLION, ORANGE, GREEN)
    layers = np.arange(1, DEPTH + 1)
    with lesson.figure("sizes", panels=2, width=5.4) as (forwards, backwards):
        for name, colour in zip(CASES, colours):
            forwards.semilogy(layers, signal[name], color=colour, label=name)
            backwards.semilogy(layers, gradient[name], color=colour, label=name)
        for ax, what in (
            (forwards, "Signal: from left to right"),
            (backwards, "Gradient: from right to left"),
        ):
            ax.set(
                xlabel="layer", ylabel="size (RMS) at the layer's output", title=what
            )
            ax.set(xticks=(1, 5, 10, 15, 20), ylim=(1e-7, 1e7))


draw_sizes()

# %% [markdown]
# **What you saw.** Too small, and signal and gradient die on their ways (**vanishing
# gradients**): the network has one answer to everything, and nothing moves it. Too large, and
# tanh only shouts $\pm1$, while the gradients **explode**. (Most of its units are flat and let
# nothing back. But each of the others passes on five times what it gets, and that is more.) At a
# scale of 1 tanh takes a little in each layer, and twenty layers can bear that.
#
# ReLU throws away half of what it gets, and with it half of the mean square. So its scale must be
# $\sqrt2$ (**He's** initialisation, 2015); for tanh a scale of about 1 is right (**Xavier's**,
# 2010, for layers of equal width).
#
# ## Does it matter for learning?
#
# > **Predict.** Twenty layers of 32 units, our motions, Adam at 0.003. Adam takes steps of the
# > same length however small the gradient is. Will that save the small scale?


# %%
def deep_network(scale, rng):
    """Twenty hidden layers, weights of this scale, biases zero."""

    def initial(shape, rng):
        return rng.normal(0, scale / np.sqrt(shape[1]), shape).astype(np.float32)

    layer_sizes = [4] + DEPTH * [32] + [1]
    network = nn.MLP(layer_sizes, "tanh", rng=rng, initial=initial)
    for layer in network[::2]:  # every second part is a bend
        layer.bias.data[...] = 0
    return network


def r_squared(network):
    """Of the true motion: 0 for always the mean, 1 for being right."""
    return 1 - distance(network) ** 2 / np.var(truth)


# %%
NETWORKS = lesson.pick(full=4, quick=2)
deep_steps = lesson.pick(full=400, quick=250)
learned = {}
deep_losses = {}
for scale in (0.5, 1, 5):
    learned[scale] = []
    deep_losses[scale] = []
    for _ in range(NETWORKS):
        network = deep_network(scale, rng)
        deep_losses[scale].append(train(network, Adam, 0.003, deep_steps, rng))
        learned[scale].append(r_squared(network))
    print(f"scale {scale}: R^2 of each network:", np.array(learned[scale]))

# %%
lesson.claim(
    "scale 0.5: mean R^2 of the deep networks", np.mean(learned[0.5]), below=0.6
)
lesson.claim("scale 1: mean R^2 of the deep networks", np.mean(learned[1]), above=0.6)
lesson.claim("scale 5: mean R^2 of the deep networks", np.mean(learned[5]), below=0.3)


# %% tags=["hide-input"]
def draw_deep():
    with lesson.figure("deep", width=6) as ax:
        for scale, colour in ((0.5, GREY), (1, BLUE), (5, VERMILLION)):
            for i, losses in enumerate(deep_losses[scale]):
                mean = running_mean(losses, 20)
                label = f"scale {scale}" if i == 0 else None
                ax.semilogy(
                    np.arange(20, deep_steps + 1), mean, color=colour, lw=1, label=label
                )
        ax.axhline(
            np.mean((0.1 * data.t) ** 2), color=BLACK, ls="--", label="the noise alone"
        )
        ax.set(xlabel="step", ylabel="mean squared error (rad²)")
        ax.set_title(f"Twenty layers, {NETWORKS} networks of each scale")


draw_deep()
lesson.end()

# %% [markdown]
# **What you saw.** Adam takes steps of full length, but a network that gives one answer to
# everything does not tell it in which direction. Now and then one of the small networks learns a
# little. The large ones begin by shouting, and stay worse than the mean angle.
#
# The usual default, minigen's and PyTorch's, is uniform on $\pm 1/\sqrt{n_\text{in}}$. Its SD is
# $1/\sqrt{3\,n_\text{in}}$: a scale of $1/\sqrt3 = 0.58$. In three layers that is forgiven; of
# twenty it leaves $0.58^{20}$, two hundred-thousandths.
#
# # What it means
#
# * The steepest direction limits a fixed rate, the flattest pays for it. Momentum lets steady
#   gradients add up, and those that alternate cancel.
# * Adam divides the mean gradient by its usual size, weight by weight. Its rate is about the
#   length of a step.
# * Let the rate fall to zero: bold first, careful at the end.
# * Draw the first weights with SD $1/\sqrt{n_\text{in}}$ for tanh, $\sqrt{2/n_\text{in}}$ for
#   ReLU. In deep networks it decides whether anything is learned.
#
# # Exercises
#
# **1. A heavier ball** (5 minutes). Let momentum lose only a hundredth at each step (0.99 instead
# of 0.9), and in `draw_momentum` draw the walk with a rate of 0.001. What happens, and which part
# of physics is it?
#
# **2. Which is which?** (5 minutes). Three walks downhill on $L = \frac12 u^2$ from $u = 8$, all
# with a rate of 0.1. A: 8, 7.2, 6.48, 5.83. B: 8, 7.9, 7.8, 7.7. C: 8, 7.2, 5.76, 3.89. Which is
# the fixed rate, which momentum, which Adam? Which of them would take the same path if the loss
# were ten times as large? *Check:* with the classes above. *Why:* one meets optimisers as loss
# curves, without their names.
#
# **3. Look ahead** (15 minutes). Nesterov's momentum keeps the same running sum $m$, but follows
# $g + 0.9\,m$. *Write* `class Nesterov`. *Check:* in the ravine,
# `steps_needed(walk(Nesterov(), 0.01))` is 57, where momentum needs 85. And
# `trained(Nesterov, 0.01, 100)` gives the angles of
# `trained_by_library(optim.SGD, 0.01, momentum=0.9, nesterov=True)` to 1e-5. *Why:* it looks
# where the ball will be, and brakes before it is there.
#
# **4. Turn the ravine** (20 minutes). Turn the ravine and the start by 45°. *Write*
# `turned_walk(optimiser, rate, steps)`, which returns the loss at each point. *Check:* over 300
# steps the losses of a fixed rate of 0.019 and of momentum at 0.01 are what they were, to 1e-9.
# Adam at 0.1, over 1000 steps, needs 405 steps to a ten-thousandth instead of 177. *Why:* Adam
# judges each weight by itself. A ravine that runs across the axes is still a ravine to it.
#
# **5. The edge** (30 minutes). *Write* `edge(bend, slope)`: by bisection between 0.5 and 3, the
# scale at which a gradient is as large in layer 1 as in layer 20. *Check:* for ReLU it is
# $\sqrt2$ to 5 %, for tanh 1.2 to 5 %. What does the signal do there? *Why:* it tells the best
# scale for any bend, without a theory.
#
# # Sources
#
# Polyak, USSR Comput. Math. Math. Phys. 4 (1964): momentum. Riedmiller & Braun, ICNN (1993):
# Rprop. Tieleman & Hinton, *RMSprop* (2012). Kingma & Ba, *Adam*, ICLR (2015). Loshchilov &
# Hutter, *SGDR*, ICLR (2017): the cosine. Glorot & Bengio, AISTATS (2010); He, Zhang, Ren & Sun,
# ICCV (2015): first weights.
