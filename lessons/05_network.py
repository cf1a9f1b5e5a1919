# %% [markdown]
# # 5. A network: learning a motion from noisy points
#
# **At the end you can** write a neural network, its gradients, three optimisers and the training loop on one page, say
# how good any model could be on given data, and choose a learning rate and the size of the first random weights.
#
# **It stands on** the pendulum (lesson 1), the noise floor and the honest split (lesson 2), the chain rule (lesson 4).
#
# Lesson 1 wrote a generator of trajectories with the equation in hand. Now we throw the equation away. Somebody noted
# $\theta_0$, $\omega_0$ and $g/L$ of many pendulums, and their angles at 100 moments, badly measured. Can a machine
# that never heard of Newton tell where a pendulum it has not seen will hang at time $t$?

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import datasets, metrics, models, nn, ops, optim

lesson = Lesson("05_network")
data = datasets.pendulum_trajectories(
    500 if lesson.quick else 2000, lesson.rng, view=100
)
train_set, test_set = datasets.train_test_split(data, lesson.rng)

# %% [markdown]
# ## How good can one be?
#
# Every point of a trajectory is a row: four numbers in, brought to mean 0 and SD 1, and one angle out. The rows of one
# pendulum stay together, in training or in test. The score is $R^2 = 1 - \text{mean squared error}/\text{variance}$: 0
# for always saying the mean, 1 for being right every time. But nobody can foretell the noise. Newton himself would be
# off by it, and score $1 - \text{noise variance}/\text{variance}$: the **ceiling**.


# %%
def table(data):
    """The inputs theta0, omega0, g/L, t (rows, 4) and the observed angles (rows, 1), a row for every point."""
    columns = [np.repeat(factor, data.t.size) for factor in data.factors.values()]
    return np.column_stack([*columns, np.tile(data.t, len(data))]), data.theta.reshape(
        -1, 1
    )


(inputs, y), (test_inputs, test_y) = table(train_set), table(test_set)
x, test_x = (
    (each - inputs.mean(axis=0)) / inputs.std(axis=0) for each in (inputs, test_inputs)
)
ceiling = 1 - np.mean((0.1 * test_set.t) ** 2) / np.var(test_y)

# %% [markdown]
# ## A layer
#
# A layer mixes its inputs, $z = xW^\top + b$, and bends each mixture, $y = \tanh z$. The next layer mixes those again.
# (Without the bends, all layers together would be one matrix, and a swing is no linear function of time.) Lesson 4's
# tape would find the gradients, but by hand they are as short, and you see their price. Let $g$ be the gradient that
# arrives at $z$. Then $W$ gets $g^\top x$, $b$ gets the column sums of $g$, and $gW$ goes on to the layer below: two
# matrix products, for one forward. `bends`: tanh, **ReLU** ($\max(z, 0)$), none; and their slopes, in terms of $y$.

# %%
bends = {
    "tanh": (np.tanh, lambda y: 1 - y**2),
    "relu": (lambda z: np.maximum(z, 0), lambda y: y > 0),
}
bends["none"] = (lambda z: z, lambda y: 1.0)


class Layer:
    def __init__(self, n_in, n_out, bend, scale, rng):
        self.p, self.dp, self.m, self.s = np.zeros(
            (4, n_out, n_in + 1)
        )  # parameters, gradient, two memories for later
        self.W, self.b, self.bend, self.slope = (
            self.p[:, :-1],
            self.p[:, -1],
            *bends[bend],
        )
        self.W[...] = rng.normal(0, scale / np.sqrt(n_in), (n_out, n_in))

    def forward(self, x):
        self.x, self.y = x, self.bend(x @ self.W.T + self.b)
        return self.y

    def backward(self, g):
        g = g * self.slope(self.y)
        self.dp[:, :-1], self.dp[:, -1] = g.T @ self.x, g.sum(axis=0)
        return g @ self.W


def network(sizes, bend="tanh", scale=1.0):
    """A list of layers, the last one unbent; every network draws its weights with the same dice."""
    rng, kinds = (
        np.random.default_rng(lesson.seed),
        [bend] * (len(sizes) - 2) + ["none"],
    )
    return [
        Layer(n_in, n_out, kind, scale, rng)
        for n_in, n_out, kind in zip(sizes, sizes[1:], kinds)
    ]


def forward(net, x):
    for layer in net:
        x = layer.forward(x)
    return x


# %% [markdown]
# ## Three ways downhill
#
# The training loop draws a **minibatch** of rows, finds the gradient of its mean squared error, and takes a step,
# scaled by the **learning rate**. That falls to zero along half a cosine: bold at first, careful at the end, when
# chance in the rows would keep the weights trembling. And a step? **SGD** follows the gradient. **Momentum** is a heavy
# ball that keeps rolling. **Adam** divides the averaged gradient by its usual size, weight by weight, so that all move
# about equally fast. (Its averages start at zero; the powers make up for that.) Each gets rates from timid to reckless.


# %%
def direction(method, g, m, s, t):
    """What step t follows, given the gradient g and two memories, which it updates."""
    if method == "SGD":
        return g
    if method == "momentum":
        m[...] = 0.9 * m + g
        return m
    m[...], s[...] = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g**2
    return m / (1 - 0.9**t) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)


def train(net, method, rate, steps):
    """Train on minibatches of 128 rows, the same ones for every network; returns the losses in rad^2."""
    rng, losses = np.random.default_rng(lesson.seed), []
    for step in range(steps):
        rows = rng.integers(len(x), size=128)
        error = forward(net, x[rows]) - y[rows]
        losses.append(np.mean(error**2))
        g, now = 2 * error / error.size, rate * (1 + np.cos(np.pi * step / steps)) / 2
        for layer in reversed(net):
            g = layer.backward(g)
            layer.p -= now * direction(method, layer.dp, layer.m, layer.s, step + 1)
    return losses


distance = lambda net: np.sqrt(
    np.mean((forward(net, test_x) - test_set.clean.reshape(-1, 1)) ** 2)
)  # from truth, rad
steps, rates, best = (
    1000 if lesson.quick else 2000,
    (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
    {},
)
fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for method, colour in (
    ("SGD", "#8a8a8a"),
    ("momentum", "#d9822b"),
    ("Adam", "#1f5fa8"),
):
    nets = [network([4, 32, 32, 1]) for _ in rates]
    with np.errstate(all="ignore"):  # the most reckless run off to infinity
        final = [
            np.mean(train(net, method, rate, steps)[-100:])
            for net, rate in zip(nets, rates)
        ]
    best[method] = nets[
        np.nanargmin(final)
    ]  # by the training loss: the test set is not for choosing
    ax.loglog(rates, [distance(net) for net in nets], "o-", color=colour, label=method)
ax.set(
    xlabel="learning rate at the start",
    ylabel="distance from the truth (rad)",
    ylim=(0.03, 1.5),
)
ax.set_title(f"{steps} steps of each optimiser (no point: diverged)")
ax.legend(frameon=False)
lesson.save(fig, "race")
a, b, c = map(distance, best.values())
lesson.verdict(
    f"SGD ends {a:.3f} rad off, momentum {b:.3f}, Adam {c:.3f} (below 0.9 of SGD's)",
    max(b, c) < 0.9 * a,
)
score = 1 - np.mean((forward(best["Adam"], test_x) - test_y) ** 2) / np.var(test_y)
lesson.verdict(
    f"held-out R^2 {score:.3f}, {score / ceiling:.3f} of the ceiling (above 0.95)",
    score > 0.95 * ceiling,
)

# %% [markdown]
# (The original study's network had 0.849.) Momentum's curve is SGD's, shifted: every gradient counts ten times over,
# $1 + 0.9 + 0.9^2 + \dots = 10$. Yet it holds its course where SGD at the tenfold rate runs away.
#
# ## How large should the first weights be?
#
# We drew them with SD $1/\sqrt{n_\text{in}}$, so that a mixture of $n_\text{in}$ numbers is as large as one of them. In
# three layers a wrong factor, or **scale**, is forgiven. In twenty it is taken to the power of twenty.

# %%
size = lambda a: np.sqrt(np.mean(a**2))
steps, kept, off = 400 if lesson.quick else 800, [], []
fig, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained")
cases = (
    ("tanh", 0.5, "#1f5fa8"),
    ("tanh", 1.0, "#2a9d8f"),
    ("tanh", 5.0, "#b3261e"),
    ("relu", 2**0.5, "#8a8a8a"),
)
for bend, scale, colour in cases:
    deep, style = (
        network([256] * 22, bend, scale),
        {"color": colour, "label": f"{bend}, scale {scale:.3g}", "lw": 2},
    )
    forward(deep, lesson.rng.normal(size=(256, 256)))
    values, g = [layer.y for layer in deep[:-1]], lesson.rng.normal(size=(256, 256))
    passed = [size(g := layer.backward(g)) for layer in reversed(deep)]
    kept.append(size(values[-1]) / size(values[0]))
    axes[0].semilogy(range(1, 21), [size(v) for v in values], **style)
    axes[0].semilogy(range(20, 0, -1), passed[1:], ls=":", **{**style, "label": None})
    if bend == "tanh":
        full = np.mean(np.abs(values[-1]) > 0.99)
        axes[1].hist(
            values[-1].ravel(),
            np.linspace(-1, 1, 60),
            density=True,
            histtype="step",
            **style,
        )
        deep = network([4] + [32] * 20 + [1], bend, scale)
        losses = np.convolve(
            train(deep, "Adam", 0.003, steps), np.ones(20) / 20, "valid"
        )
        axes[2].semilogy(np.arange(20, steps + 1), losses, **style)
        off.append(distance(deep))
axes[0].set(
    xlabel="layer",
    ylabel="size (RMS)",
    ylim=(1e-7, 1e9),
    xticks=(1, 10, 20),
    title="Signal (dots: gradient)",
)
axes[1].set(
    xlabel="value in layer 20",
    ylabel="probability density",
    ylim=(0, 6),
    title="What arrives in layer 20",
)
axes[2].set(
    xlabel="step",
    ylabel="squared error of the batches (rad²)",
    title="20 layers of 32 units, learning",
)
axes[0].legend(frameon=False)
lesson.save(fig, "scale")
found = f"{kept[0]:.0e} at scale 0.5 (below 1e-4), {kept[1]:.2f} at 1 (above 0.1), ReLU's {kept[3]:.2f} (0.3 to 3)"
lesson.verdict(
    f"of layer 1's signal, layer 20 has {found}",
    kept[0] < 1e-4 and kept[1] > 0.1 and 0.3 < kept[3] < 3,
)
lesson.verdict(
    f"at scale 5, {full:.0%} of layer 20 is beyond 0.99 (above 40 %)", full > 0.4
)
found = f"{off[1]:.2f} rad off at scale 1 (below 0.6 of the others), {off[0]:.2f} at 0.5, {off[2]:.2f} at 5"
lesson.verdict(
    f"20 layers of 32 units, trained, are {found}", off[1] < 0.6 * min(off[0], off[2])
)

# %% [markdown]
# Too small, and signal and gradient die on their ways: the network has one answer to everything, and nothing moves it.
# Too large, and tanh only shouts $\pm 1$, while the gradients explode. ReLU throws away half of its input, hence its
# $\sqrt 2$. And mind the usual default (PyTorch's, minigen's), uniform on $\pm 1/\sqrt{n_\text{in}}$: it is scale 0.58.
#
# ## The library has the same
#
# From the same first weights, 100 steps of Adam on the same batches, with minigen's tape for our backward pass. In
# float64 the rest is rounding. In float32, its everyday dress, minigen runs compiled kernels: the next lesson.

# %%
for dtype, limit in ((np.float64, 1e-10), (np.float32, 1e-5)):
    ours, rng = network([4, 32, 32, 1]), np.random.default_rng(lesson.seed)
    theirs = nn.MLP([4, 32, 32, 1], "tanh", rng=lesson.rng).astype(dtype)
    for linear, layer in zip(theirs[::2], ours):
        linear.weight, linear.bias = layer.W, layer.b
    train(ours, "Adam", 0.01, 100)
    optimizer = optim.Adam(theirs, optim.cosine_decay(0.01, 100))
    for rows in (rng.integers(len(x), size=128) for _ in range(100)):
        optimizer.zero_grad()
        ops.mse(theirs(x[rows].astype(dtype)), y[rows].astype(dtype)).backward()
        optimizer.step()
    gap = np.abs(theirs(test_x.astype(dtype)).data - forward(ours, test_x)).max()
    lesson.verdict(
        f"in {dtype.__name__} minigen answers as we do to {gap:.0e} rad (limit {limit:g})",
        gap < limit,
    )

# %% [markdown]
# ## Something larger: a generator that learned
#
# `models.Regressor` is this lesson in a box. With one layer more and more steps, it draws the curves to factors that we
# draw by lot. The judge is lesson 3's **physics residual**: how far is a curve from the nearest motion of a pendulum?

# %%
model = models.Regressor(
    (32, 32, 32), steps=2500 if lesson.quick else 10_000, lr=0.01
).fit(inputs, y, rng=lesson.rng)
fresh = datasets.pendulum_trajectories(
    200, lesson.rng, view=100
)  # the network sees its factors only
drawn = model.predict(table(fresh)[0]).reshape(fresh.theta.shape)
curves = (drawn, fresh.theta, metrics.shuffled_control(fresh.clean, lesson.rng))
ours, noisy, control = (
    np.median(metrics.physics_residual(curve, fresh.t).residual) for curve in curves
)
print(
    f"median physics residual of observed curves {noisy:.2f} rad, of shuffled ones {control:.2f} rad"
)
lesson.verdict(
    f"median physics residual of the network's {ours:.3f} rad (below 1/4 of observed)",
    ours < 0.25 * noisy,
)
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
left.set_prop_cycle(color=("#1f5fa8", "#d9822b", "#2a9d8f"))
for curve, style in ((fresh.theta, "."), (drawn, "-"), (fresh.clean, "k--")):
    left.plot(fresh.t, curve[:3].T, style, ms=4, lw=1 if "k" in style else 2)
right.plot(fresh.t, 0.1 * fresh.t, "k:", label="observations (SD of the noise)")
right.plot(
    fresh.t,
    np.sqrt(np.mean((drawn - fresh.clean) ** 2, axis=0)),
    lw=2,
    label="network (RMS)",
)
left.set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    title="Unseen pendulums: observed (dots), network, truth (dashed)",
)
right.set(
    xlabel="time (s)",
    ylabel="distance from the truth (rad)",
    title="Better than its teacher, but not at first",
)
right.legend(frameon=False)
lesson.save(fig)
lesson.end()

# %% [markdown]
# The curves are cleaner than anything the network was shown: noise that is independent from row to row averages out,
# what the rows agree on stays. But near $t = 0$, where the data are all but exact, it rounds off the corner: for the
# squared error a good measurement counts no more than a bad one. Lesson 9 will cure that.
#
# ## Exercises
#
# 1. Add a bend `"leaky_relu"`, slope 0.1 for $z < 0$. In float64 its gradients equal minigen's to 1e-10.
# 2. Add `"Nesterov"` to `direction`. 100 steps equal those of `optim.SGD(..., momentum=0.9, nesterov=True)` to 1e-10.
# 3. `edge(bend)`: by bisection, the scale at which a gradient is as large in layer 1 as in layer 20 (width 256). For
#    ReLU it is $\sqrt 2$ within 5 %. What is it for tanh, and what happens to the signal there?
# 4. To the Moon! $\theta$ depends only on $\theta_0$, $\omega_0/\sqrt{g/L}$ and $t\sqrt{g/L}$. With these three inputs
#    the network of the race (Adam, 0.01), trained on Earth, foretells pendulums on the Moon ($g = 1.62$, $\omega_0$ in
#    [0.2, 0.6], else as here) to 0.15 rad. With our four it is more than 0.6 rad off.
#
# ## Sources
#
# Honchar, *From high-school physics to GANs* (2021), the study this lesson follows. Rumelhart, Hinton & Williams,
# Nature 323 (1986): backpropagation. Glorot & Bengio, AISTATS (2010); He, Zhang, Ren & Sun, ICCV (2015): first weights.
# Polyak, USSR Comput. Math. Math. Phys. 4 (1964): momentum. Kingma & Ba, *Adam*, ICLR (2015).
