# %% [markdown]
# # 24. Energies: a density from a landscape
#
# *Part 6: energies. 120 minutes.*
#
# **At the end you can** turn any function into a density, as physics does, train a network that is such a function by
# maximum likelihood though nobody can compute that likelihood, and say why its energy must be raised where it dreams.
# **It stands on** the pendulum's energy (lesson 1), gradients (4), networks (5), likelihood and KL (10).
#
# Hang a tiny pendulum in warm air, where molecules kick it without end. Some time later, at which angle $\theta$ does
# it hang, with which angular velocity $\omega$? Only chances can be named. Suppose that they depend on nothing but the
# energy, as some $f(E)$. Now hang up two pendulums, far apart. Their energies add, and as they are independent, their
# chances multiply: $f(E_1) f(E_2)$ must depend on $E_1 + E_2$ alone. Only exponentials do that. So
#
# $$ p(\theta, \omega) = \frac{1}{Z}\, e^{-E(\theta, \omega)/T}, $$
#
# **Boltzmann's law**, with one number for the air, its **temperature** $T$ (kelvins times Boltzmann's constant, an
# energy). The **partition function** $Z$, the integral of $e^{-E/T}$ over all states, makes the total 1. With $E$ and
# $T$ in units of $mgL$ and $\omega$ in $\sqrt{g/L}$, $E = \frac12\omega^2 + 1 - \cos\theta$; with $E > 2$ it can go
# over the top. (For a kilogram on a metre of thread a room has $T = 4 \cdot 10^{-22}$: it hangs still. The law is for
# small things.) For $Z$ we cut the states into cells and add up. Here a formula for $Z$ can judge the sum, and draws
# are easy: $\omega$ is Gaussian, $\theta$ has the **von Mises** density, a bell on a circle.

# %%
import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson
from minigen import grad, models, nn, no_grad, ops, optim, targets
from minigen.models import energy_losses

lesson = Lesson("24_energy")
rng, black, blue, red = lesson.rng, "#000", "#1f5fa8", "#b3261e"


def cells(top, n):
    """Middles (n * n, 2) of cells over theta in [-pi, pi] and omega in [-top, top], and the area of a cell."""
    middle = (np.arange(n) + 0.5) / n * 2 - 1
    theta, omega = np.meshgrid(np.pi * middle, top * middle, indexing="ij")
    return np.column_stack([theta.ravel(), omega.ravel()]), 4 * np.pi * top / n**2


log_sum = lambda U: np.logaddexp.reduce(
    -U
)  # log of the sum of exp(-U), without overflow
boltzmann = lambda U: np.exp(
    -U - log_sum(U)
)  # the chance of each cell, from its energy in units of T
E = lambda x: x[..., 1] ** 2 / 2 + 1 - np.cos(x[..., 0])
states = lambda T, n: np.column_stack(
    [rng.vonmises(0, 1 / T, n), np.sqrt(T) * rng.standard_normal(n)]
)
log_Z_exact = lambda T: (
    np.log(2 * np.pi * np.i0(1 / T)) - 1 / T + np.log(2 * np.pi * T) / 2
)  # i0: a Bessel function
x, area = cells(10, 200)
off, over = [], []
fig, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained", sharey=True)
for T, ax in zip((0.1, 0.5, 3.0), axes):
    p = boltzmann(E(x) / T)
    off.append(abs(log_sum(E(x) / T) + np.log(area) - log_Z_exact(T)))
    over.append(p @ (E(x) > 2))
    ax.pcolormesh(
        x[::200, 0], x[:200, 1], p.reshape(200, 200).T, cmap="Blues", shading="gouraud"
    )
    ax.contour(
        x[::200, 0],
        x[:200, 1],
        E(x).reshape(200, 200).T,
        (0.5, 1, 2, 4),
        colors=black,
        linewidths=0.6,
    )
    ax.set(
        xlabel="angle θ (rad)",
        ylim=(-4, 4),
        title=f"T = {T}: {over[-1]:.1%} could go over the top",
    )
axes[0].set(ylabel="angular velocity ω (√(g/L))")
lesson.save(fig)
found = f"log Z from the cells is right to {max(off):.0e} (limit 1e-6); {over[0]:.0e} of the cold could go over the top"
found += f" (limit 1e-6), {over[2]:.3f} of the hot (above 0.4)"
lesson.verdict(found, max(*off, over[0]) < 1e-6 and over[2] > 0.4)

# %% [markdown]
# Cold, it trembles at the bottom; hot, it whirls. Dark states are likely; the lines join states of equal energy.
#
# ## Any function will do
#
# Turn the law round. Take *any* function $U$ that rises far out, set $T = 1$, and $e^{-U}/Z$ is a density. And any
# positive density is of this kind, with $U = -\log p$. So a network, free of constraints, can stand for a density: an
# **energy model**. Lesson 10's surprise at $x$ is
#
# $$ -\log p(x) = U(x) + \log Z. $$
#
# The zero of $U$ has no meaning: what we add to it, $\log Z$ takes away. The price is $Z$. Just now we added up 40 000
# cells. The state of *fifty* pendulums is 100 numbers; ten points for each make $10^{100}$ cells, and a billion a
# second take $10^{83}$ years. Would points chosen at random do? $Z$ is the mean of $e^{-U}$ over them, times the volume
# of the box. Here we know the answer: energies add, so $\log Z$ adds, too.

# %%
T, miss = 0.5, {}
for k in (
    1,
    50,
):  # so many pendulums, each in a box of 2 pi by 8; ten lots of 10 000, to save memory
    U = np.concatenate(
        [
            E(rng.uniform(-1, 1, (10_000, k, 2)) * [np.pi, 4]).sum(axis=1) / T
            for _ in range(10)
        ]
    )
    found = (
        log_sum(U) - np.log(U.size) + k * np.log(16 * np.pi)
    )  # log of the mean of exp(-U), times the volume
    miss[k] = found - k * log_Z_exact(T)
found = f"100000 random points miss log Z of one pendulum by {miss[1]:.3f} (limit 0.035), of fifty by {miss[50]:.0f}"
lesson.verdict(f"{found} (below -10)", abs(miss[1]) < 0.035 and miss[50] < -10)

# %% [markdown]
# ## Two phases
#
# With fifty, all points fell where next to nothing is. So, no $Z$. But maximum likelihood needs only the gradient
# $\nabla$, by the weights, of the mean of $U + \log Z$ over the data. Of $U$ that is easy. And of $\log Z$:
#
# $$ \nabla \log Z = \frac1Z \int \nabla e^{-U} dx = -\int \frac{e^{-U}}{Z}\, \nabla U\, dx = -\mathrm E_p[\nabla U], $$
#
# a mean over what the *model*, our $p$, would draw! Together,
#
# $$ \nabla(\text{mean surprise}) = \mathrm E_\text{data}[\nabla U] - \mathrm E_p[\nabla U]. $$
#
# A step against it lowers the energy at the data, the **positive phase**, and raises it at the model's own draws, the
# **negative phase**: it unlearns these, its dreams. When they are like the data, both means are equal, and learning
# stops. $Z$ is gone; what we need instead is draws. The smallest example: of many pendulums we know $E$, but not $T$.
# Let $U = bE$, with a single weight, $b = 1/T$. Then $\nabla U = E$, and the gradient is the mean energy of the data
# minus the model's. If the data have more, $b$ falls: the model gets warmer.

# %%
grid, area = cells(4, 80)
data, b = states(T, 20_000), 1.0
for _ in range(200):
    b -= 2 * (
        E(data).mean() - boltzmann(b * E(grid)) @ E(grid)
    )  # steps of size 2, against the gradient
lesson.verdict(
    f"the thermometer reads {1 / b:.3f}, true {T} (within 4 %)",
    abs(1 / (b * T) - 1) < 0.04,
)

# %% [markdown]
# Now a network: $U(x) = \sum_k a_k \tanh(w_k \cdot x + c_k) + d$. We write $\nabla U$ by hand. The negative phase we
# take over all cells, by their chances. The judge knows nothing of phases: build the mean surprise, $\log Z$ included,
# and let lesson 4's tape find its gradient. That is possible only on a small grid. Then we take the negative phase from
# mere draws, as one must elsewhere: a mean of $n$ draws should be off by SD$/\sqrt n$.

# %%
net = nn.MLP([2, 16, 1], "tanh", rng=rng).astype(np.float64)
W, c, a = net[0].weight.data, net[0].bias.data, net[2].weight.data


def slopes(x):
    """The gradient of U by w, c, a and d at each point of x (n, 2): (n, 65)."""
    y = np.tanh(x @ W.T + c)
    back = (1 - y**2) * a
    return np.column_stack(
        [(back[:, :, None] * x[:, None]).reshape(-1, 32), back, y, np.ones(len(x))]
    )


surprise = ops.mean(net(data)) + ops.logsumexp(-net(grid)) + np.log(area)
exact = np.concatenate([g.data.ravel() for g in grad(surprise, net.parameters())])
p, here = boltzmann(net(grid).data[:, 0]), slopes(grid)
ours = slopes(data).mean(axis=0) - p @ here
gap, same = (
    np.abs(ours - exact).max(),
    np.abs(energy_losses.two_phase_gradient(net, data, grid, p) - ours).max(),
)
found = f"the phases' gradient is that of the surprise ({np.abs(exact).max():.2f} at most) to {gap:.0e} (limit 1e-4),"
lesson.verdict(
    f"{found} minigen's two_phase_gradient to {same:.0e} (1e-9)",
    gap < 1e-4 and same < 1e-9,
)
n, mean = 10_000, p @ here
tries = (
    rng.multinomial(n, p, size=300) @ here / n
)  # the negative phase from n draws, 300 times over
missed, variance = (
    np.mean((tries - mean) ** 2, axis=0).sum(),
    np.sum(p @ (here - mean) ** 2),
)  # sums over 65 slopes
error = np.sqrt(missed / (variance / n))
lesson.verdict(
    f"from 10000 draws its error is {error:.2f} times SD/√n (0.85 to 1.15)",
    0.85 < error < 1.15,
)

# %% [markdown]
# ## A landscape from snapshots
#
# So draws are enough. Now spin the pendulum's axle about the vertical, at a rate $\Omega$ with $\Omega^2 = 3\,g/L$. The
# centrifugal force adds $-\frac32 \sin^2\theta$ to $E$, and $\theta = 0$ becomes a ridge between two valleys. We take
# 20 000 snapshots and forget all physics. A network is to find the landscape. Each step of Adam sees 256 data and 256
# exact draws from the model as it is, from the cells. The loss, `mean(U(data)) - mean(U(draws))`, the draws held fixed,
# has the gradient of both phases. It is no likelihood and need not fall; so we watch the KL from the true density. A
# second network gets no negative phase; watch its $U$, at the data and over the whole box of cells. (`minigen.compile`
# replays a recorded step, with the same numbers: lesson 8.)

# %%
T, line = 0.3, np.linspace(-np.pi, np.pi, 20_001)
spun = lambda x: (E(x) - 1.5 * np.sin(x[..., 0]) ** 2) / T
chance = np.cumsum(
    boltzmann(spun(np.stack([line, 0 * line], axis=1)))
)  # to be at or left of each angle
data = np.column_stack(
    [
        np.interp(rng.random(20_000), chance, line),
        np.sqrt(T) * rng.standard_normal(20_000),
    ]
)
data, places, true = (
    data.astype(np.float32),
    grid.astype(np.float32),
    boltzmann(spun(grid)),
)
kl = lambda U: (
    true @ (np.log(true) + U) + log_sum(U)
)  # mean of log true - log p, with log p = -U - log_sum(U)


def learn(steps, negative):
    """The network, the energies of all cells, and for each step the mean U of data, of all cells, and the KL."""
    network, seen = nn.MLP([2, 64, 64, 1], "silu", rng=rng), []
    adam = optim.Adam(network, optim.cosine_decay(0.01, steps))

    @minigen.compile
    def step(real, dream):
        adam.zero_grad()
        loss = ops.mean(network(real)) - negative * ops.mean(network(dream))
        loss.backward(network.parameters())
        adam.step()

    for _ in range(steps):
        with no_grad():
            U = network(places).data[:, 0].astype(float)
        seen.append((true @ U, U.mean(), kl(U)))
        step(
            data[rng.integers(len(data), size=256)],
            places[rng.choice(len(U), 256, p=boltzmann(U))],
        )
    return network, U, np.array(seen)


network, U, seen = learn(500 if lesson.quick else 2500, 1.0)
U -= true @ (U - spun(grid))  # its zero has no meaning: put it where the true one's is
rms = np.sqrt(true @ (U - spun(grid)) ** 2)
gauss = kl(
    np.sum(grid @ np.linalg.inv(np.cov(data.T)) * grid, axis=1) / 2
)  # of the best Gaussian, U = x C^-1 x / 2
found = f"KL from the true density is {kl(U):.4f} nats (limit 0.02), a Gaussian's {gauss:.2f}; but for a constant,"
found += f" U is E/T to {rms:.3f} RMS (limit 0.2)"
lesson.verdict(found, kl(U) < 0.02 and rms < 0.2)
_, _, lost = learn(300, 0.0)
found = f"without negatives U falls to {lost[-1, 0]:.0e} at the data, {lost[-1, 1]:.0e} over the box (both below -3e3);"
found += f" KL rises from {lost[0, 2]:.1f} to {lost[-1, 2]:.0e} (above 1000)"
lesson.verdict(found, lost[-1, :2].max() < -3e3 and lost[-1, 2] > 1000)
fig, axes = plt.subplots(1, 2, figsize=(12.5, 4.8), layout="constrained")
axes[0].plot(*data[:3000].T, ".", ms=2, color="#bbb", zorder=0)
for energies, look in (
    (U, {"colors": blue}),
    (spun(grid), {"colors": black, "linestyles": ":"}),
):
    axes[0].contour(
        grid[::80, 0],
        grid[:80, 1],
        energies.reshape(80, 80).T,
        spun(grid).min() + np.arange(1, 9),
        **look,
    )
for history, colour, name in (
    (seen, blue, "both phases"),
    (lost, red, "no negative phase"),
):
    for k, where in enumerate(("at the data", "over the whole box")):
        axes[1].plot(
            history[:300, k],
            ("-", "--")[k],
            color=colour,
            lw=2,
            label=f"{name}, {where}",
        )
axes[0].set(
    xlabel="θ (rad)",
    ylabel="ω (√(g/L))",
    ylim=(-2.5, 2.5),
    title="Snapshots; U learned (blue), true (dotted)",
)
axes[1].set_yscale("symlog", linthresh=10)
axes[1].set(
    xlabel="step",
    ylabel="mean energy U",
    title="Only the negative phase holds the energy up",
)
axes[1].legend(frameon=False, loc="center right")
lesson.save(fig, "learned")

# %% [markdown]
# Without a negative phase the cheapest way to lower the data's energy is to lower everything; it ends only because
# Adam's steps shrink to 0. With both phases the network finds the valleys, and their depth too, in units of $T$.
#
# ## Something larger: without a grid
#
# `models.EnergyModel` learns by the same two phases, but needs no cells. With `method="persistent"` it keeps 1024
# points and, between the steps of Adam, moves some of them on by **chains**, which go downhill in $U$ and are kicked
# about, so that they come to be draws from the model. Lesson 25 builds such chains; here we take them on trust and
# judge the outcome, on two moons of known density. (A term $\frac12|x|^2$ in $U$ keeps $Z$ finite.) On fresh data the
# model's mean surprise, less the true one, is the KL; and the valleys that hold 90 % of them should hold 90 % of its
# own chance.

# %%
moons = targets.two_moons()
X, fresh = moons.sample(5000, rng), moons.sample(5000, rng)
model = models.EnergyModel(
    method="persistent", steps=1200 if lesson.quick else 3000
).fit(X, rng=rng)
log_p, truth, plane = (
    model.log_prob(fresh),
    np.mean(moons.log_prob(fresh)),
    model.grid(cells=200),
)
away = truth - log_p.mean()
gauss = (
    truth + np.log(np.linalg.det(2 * np.pi * np.e * np.cov(X.T))) / 2
)  # a Gaussian's mean surprise: its entropy
lesson.verdict(
    f"two moons: KL {away:.3f} nats (limit 0.1), of a Gaussian {gauss:.2f}", away < 0.1
)
low = plane.log_prob > np.quantile(
    log_p, 0.1
)  # low in U, so high in log p: the valleys, as cells of the map
own = np.exp(plane.log_prob)[low].sum() / np.exp(plane.log_prob).sum()
found = f"the valleys with 90 % of fresh data have {own:.1%} of the model's chance (85 to 94) on {low.mean():.1%}"
lesson.verdict(
    f"{found} of the map (below 15)", 0.85 < own < 0.94 and low.mean() < 0.15
)
points = np.stack(np.meshgrid(*plane.axes, indexing="ij"), axis=-1).reshape(-1, 2)
fig, axes = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained", sharey=True)
for ax, log_p, name in zip(
    axes,
    (plane.log_prob, moons.log_prob(points).reshape(201, 201)),
    ("learned", "true"),
):
    shades = ax.contourf(
        *plane.axes, np.minimum(-log_p, 11.9).T, np.arange(-1, 13), cmap="Blues_r"
    )
    ax.set(
        xlabel="first coordinate",
        title=f"U + log Z, {name}",
        xlim=(-2, 3),
        ylim=(-1.5, 2),
    )
axes[0].set(ylabel="second coordinate")
axes[0].plot(*X[:800].T, ".", ms=2, color=red)
fig.colorbar(shades, ax=axes, label="surprise U + log Z (nats; palest: 11 or more)")
lesson.save(fig, "moons")
lesson.end()

# %% [markdown]
# The valleys are where the data are. High up, where data and dreams are rare, little corrects the energy.
#
# ## Exercises
#
# 1. **Free energy.** At $T = 0.5$, no chances $q$ of the cells have less mean $E$, minus $T$ times entropy, than
#    Boltzmann's $p$: $-T$ `log_sum(E(grid) / T)`, to 1e-9. Test $0.9p + 0.1q$ with 1000 random $q$ (`dirichlet`).
# 2. Give the thermometer two weights, $U = b_1 \omega^2/2 + b_2 (1 - \cos\theta)$. Both are 2 within 5 %.
# 3. **A motion from snapshots.** $\theta' = T\,\partial U/\partial\omega$, $\omega' = -T\,\partial U/\partial\theta$
#    (Hamilton's equations): with slopes from the tape, the Verlet rule of lesson 1 and the learned `network`, the swing
#    that starts at rest at 0.6 rad has the period of the true one (slopes of `spun`) within 10 %.
# 4. **Energies add.** We measure the first coordinate of a point: $0.5 \pm 0.1$. Add $(x_1 - 0.5)^2/(2 \cdot 0.1^2)$ to
#    the moons' $U$, learned and true, on the map: KL of the two posteriors is below 0.1.
#
# ## Sources
#
# Boltzmann, Wiener Berichte 58 (1868), and Gibbs, *Elementary principles in statistical mechanics* (1902): the law.
# Ackley, Hinton & Sejnowski, *A learning algorithm for Boltzmann machines*, Cognitive Science 9 (1985): two phases.
# Crick & Mitchison, Nature 304 (1983): unlearning in dreams. Hinton, Neural Computation 14 (2002), and Tieleman, ICML
# (2008): negatives from chains. LeCun et al., *A tutorial on energy-based learning* (2006). Su, kexue.fm 6316 (2019).
