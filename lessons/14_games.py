# %% [markdown]
# # 14. Games: two players who want opposite things
#
# **At the end you can** find the best play in a game written as a table, say why it has to be random, and tell which
# ways of learning by gradients reach the point where both players are content, which circle it, and which run away.
#
# **It stands on** gradients (lesson 4), networks (lesson 5), and on lesson 1: an old acquaintance returns.
#
# So far one loss went down, and we called that learning. In lesson 15 two networks learn against each other: one makes
# examples up, the other tells them from real ones. What helps one hurts the other, and a falling loss no longer means
# that anybody gets better. So we first look at the smallest games of this kind.

# %%
from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import games, ops

lesson = Lesson("14_games")
rng = lesson.rng
black, blue, red, gold, grey = "#000", "#1f5fa8", "#b3261e", "#d9822b", "#777"

# %% [markdown]
# ## A table, and two kinds of caution
#
# A penalty kick. The kicker chooses a side, the goalkeeper chooses a side, both at once. The **payoff matrix** $A$
# says what the kicker gains: $A_{ij}$ is the share of goals if the kicker chooses row $i$ and the keeper column $j$.
# The keeper loses what the kicker gains, which is called a **zero-sum** game. The four numbers below were counted in
# professional football (Palacios-Huerta, 2003; kicks by left-footed players are mirrored).
#
# Let both be cautious, and choose one side for good. The kicker looks at the smallest entry of each row and takes the
# largest of these, the **maximin**: so much is sure. For the keeper the worst of a column is its largest entry; the
# smallest of these, the **minimax**, is never exceeded. If they are equal, some entry is smallest in its row and
# largest in its column, a **saddle**, and nobody would want to change. Often there is a gap between them.

# %%
penalty = np.array([[0.5830, 0.9497], [0.9291, 0.6992]])
maximin, minimax = penalty.min(axis=1).max(), penalty.max(axis=0).min()
found = f"the kicker is sure of {maximin:.3f} goals a kick, the keeper of at most {minimax:.3f}"
lesson.verdict(
    f"one side for good: {found}, a gap of {minimax - maximin:.3f} (above 0.1)",
    minimax - maximin > 0.1,
)

# %% [markdown]
# ## Mixing closes the gap
#
# Who always chooses the same side is read like a book. So let the kicker throw dice: the first row with probability
# $p$. A probability for each row (or column) is called a **mixed strategy**, a single row a **pure** one. If the keeper
# takes the first column with probability $q$, the mean payoff is $f(p, q) = (p,\, 1 - p)\, A\, (q,\, 1 - q)^\top$.
#
# Each is cautious again, now on a fine grid of mixtures. At a given $p$ the keeper's best answer is a pure side, as a
# mean of two numbers is never below both. Each pure answer gives a line over $p$, and the kicker's worst case is the
# lower of the two. For the keeper, over $q$, it is the upper.

# %%
grid = np.linspace(0, 1, 10_001)
mixtures = np.stack([grid, 1 - grid])  # (2, 10001)
kicker_worst, keeper_worst = (
    (mixtures.T @ penalty).min(axis=1),
    (penalty @ mixtures).max(axis=0),
)
maximin, minimax = kicker_worst.max(), keeper_worst.min()
p, q = grid[kicker_worst.argmax()], grid[keeper_worst.argmin()]
(a, b), (c, d) = penalty
gap, off = (
    minimax - maximin,
    max(abs(p - (d - c) / (a - b - c + d)), abs(q - (d - b) / (a - b - c + d))),
)  # see below
found = f"mixed, with p = {p:.4f} and q = {q:.4f}, maximin {maximin:.4f} and minimax {minimax:.4f} are {gap:.0e} apart"
lesson.verdict(
    f"{found}, p and q {off:.0e} from the formula (limits 1e-4)",
    -1e-12 < gap < 1e-4 and off < 1e-4,
)

# %% [markdown]
# That they are equal for every table is von Neumann's **minimax theorem** (1928). The common number is the **value** of
# the game, the pair of mixtures an **equilibrium**. The formula is the crossing of two lines. With $a, b$ and $c, d$
# for the rows of $A$, the best $p$ makes the keeper indifferent, $pa + (1 - p)c = pb + (1 - p)d$; so for $q$. And the
# professionals? They chose the first side in about 40 % of the kicks, their keepers in about 42 %. Nobody had told them
# the theorem.
#
# ## Learning to mix by playing
#
# With more rows there are too many mixtures for a grid. **Fictitious play** (Brown, 1951) needs none: in every round
# each gives the best *pure* answer to all that the other has done so far. Nobody throws dice, but the shares of the
# choices become mixed strategies. And we always know how good they are: the shares $p$ of the rows are sure of
# $\min_j (pA)_j$, the shares $q$ of the columns of at most $\max_i (Aq)_i$, and the value lies between.


# %%
def fictitious_play(A, rounds):
    """The two bounds of the value after each round, (rounds,) both."""
    received, paid = (
        np.zeros(A.shape[0]),
        np.zeros(A.shape[1]),
    )  # what each choice would have, against all so far
    lower, upper = np.zeros((2, rounds))
    for t in range(rounds):
        i, j = received.argmax(), paid.argmin()
        received, paid = received + A[:, j], paid + A[i]
        lower[t], upper[t] = paid.min() / (t + 1), received.max() / (t + 1)
    return lower, upper


rounds = 3000 if lesson.quick else 20_000
rock_counts_double = np.array(
    [[0.0, -1, 2], [1, 0, -1], [-1, 1, 0]]
)  # rock, paper, scissors
tables = {
    "penalty": penalty,
    "rock counts double": rock_counts_double,
    "random 10 x 10": rng.normal(size=(10, 10)),
}
fig, axes = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
for (name, A), colour in zip(tables.items(), (blue, gold, red)):
    lower, upper = fictitious_play(A, rounds)
    low, high, limit = (
        lower.max(),
        upper.min(),
        0.01 * np.ptp(A),
    )  # the best bounds of all rounds; ptp: largest - least
    best, library = games.equilibrium(A), games.fictitious_play(A, rounds)
    off = np.hypot(library.lower - low, library.upper - high)
    meets = low < best.upper + 1e-9 and best.lower < high + 1e-9
    found = f"the value is between {low:.4f} and {high:.4f}, {high - low:.4f} apart (limit {limit:.4f}); the library's"
    found += f" fictitious play is {off:.0e} off (limit 1e-10), its equilibrium has {best.value:.4f}"
    lesson.verdict(f"{name}: {found}", high - low < limit and off < 1e-10 and meets)
    axes[1].loglog(
        np.arange(1, rounds + 1), (upper - lower) / np.ptp(A), color=colour, label=name
    )
many = [rng.normal(size=rng.integers(2, 9, size=2)) for _ in range(30)]
gap, limit = (
    max(games.equilibrium(A).gap / np.ptp(A) for A in many),
    1e-6 if find_spec("scipy") else 0.05,
)
found = f"in 30 random games minimax and maximin of games.equilibrium are {gap:.0e} of the range of A apart"
lesson.verdict(f"{found} (limit {limit:g}; 1e-6 with SciPy, 0.05 without)", gap < limit)
axes[1].loglog(
    [10, rounds],
    [0.3, 0.3 * (10 / rounds) ** 0.5],
    "--",
    color=grey,
    label="falling as 1/√rounds",
)
axes[1].set(
    xlabel="round",
    ylabel="gap between the bounds / range of A",
    title="Fictitious play closes the gap",
)
axes[1].legend(frameon=False)
axes[0].plot(grid, kicker_worst, color=blue, lw=3, label="the kicker's worst case at p")
axes[0].plot(grid, keeper_worst, color=red, lw=3, label="the keeper's worst case at q")
axes[0].plot(
    [p, q],
    [maximin, minimax],
    "o",
    color=black,
    ms=7,
    zorder=5,
    label="the best p and the best q",
)
axes[0].set(
    xlabel="p or q, probability of the first side",
    ylabel="goals a kick",
    title="Mixed: maximin = minimax",
)
axes[0].legend(frameon=False, loc="lower left")
lesson.save(fig)

# %% [markdown]
# `games.equilibrium` states the search for the best mixture as a **linear program** (the largest $v$ with $pA \ge v$ in
# every column) and hands it to SciPy; without SciPy it plays fictitiously. Its answer to rock, paper, scissors is odd:
# though rock against scissors counts double for the row player, he plays rock in only a *quarter* of the rounds, for
# the other now avoids scissors. In a game, a payoff is worth nothing until you know what the other does about it.
#
# ## Learning by gradients: the smallest game of all
#
# Networks move along gradients. The smallest game for that is $f(x, y) = xy$: one player moves $x$ to make $f$ small,
# the other moves $y$ to make it large. At $(0, 0)$ both are content: if $y = 0$, no $x$ helps, and the reverse. The
# slopes by $x$ and $y$ are $y$ and $x$, so with step size $\eta$ the plainest way to learn, **simultaneous** play, is
#
# $$ x \leftarrow x - \eta\, y, \qquad y \leftarrow y + \eta\, x. $$
#
# The step $\eta(-y, x)$ is at right angles to $(x, y)$ and $\eta$ times as long. By Pythagoras the distance from the
# equilibrium grows by $\sqrt{1 + \eta^2}$, in every step, for every $\eta$: smaller steps only delay it.
#
# You have seen this before. Call $x$ a momentum and $y$ an angle, and it is a small swing, solved by Euler's method,
# whose energy grew in lesson 1. The cure there was Euler-Cromer: use the new value at once. In a game this is
# **alternating** play: $y$ answers to where $x$ now is. It conserves $Q = x^2 + y^2 - \eta\, xy$ (insert the step), and
# for $\eta < 2$ the curves of constant $Q$ are ellipses. So it never runs away, and never arrives. Two ways arrive:
#
# * **Extragradient** (Korpelevich, 1976): look one simultaneous step ahead, and step from *here* with the gradients
#   found *there*. The step is $\eta(-y, x) - \eta^2 (x, y)$, and its second part points inwards. The distance changes
#   by the factor $\sqrt{(1 - \eta^2)^2 + \eta^2}$, below 1 for $\eta < 1$.
# * **Consensus** (Mescheder et al., 2017): besides, both go downhill on half the squared length of all gradients, times
#   $\gamma$, here $\tfrac\gamma2(x^2 + y^2)$: both prefer places where no slope is left to follow. The factor is
#   $\sqrt{(1 - \eta\gamma)^2 + \eta^2}$.

# %%
eta, gamma, steps = 0.2, 0.5, 300
rules = {  # the step, and the square of the distance's factor
    "simultaneous": (lambda x, y: (x - eta * y, y + eta * x), 1 + eta**2),
    "alternating": (lambda x, y: (x - eta * y, y + eta * (x - eta * y)), None),
    "extragradient": (
        lambda x, y: (x - eta * (y + eta * x), y + eta * (x - eta * y)),
        (1 - eta**2) ** 2 + eta**2,
    ),
    "consensus": (
        lambda x, y: (x - eta * (y + gamma * x), y + eta * (x - gamma * y)),
        (1 - eta * gamma) ** 2 + eta**2,
    ),
}
colours = dict(zip(rules, (red, gold, blue, grey)))
start = rng.uniform(0.5, 1.5, size=2)
fig, axes = plt.subplots(
    1, 2, figsize=(12, 5.4), layout="constrained", width_ratios=(1, 1.2)
)
for name, (rule, squared) in rules.items():
    path = [start]
    for _ in range(steps):
        path.append(rule(*path[-1]))
    x, y = np.transpose(path)
    distance = np.hypot(x, y)
    if name == "alternating":
        Q, widest = x**2 + y**2 - eta * x * y, distance.max()
        off, mean, bound = (
            np.abs(Q / Q[0] - 1).max(),
            np.hypot(x[1:].mean(), y[1:].mean()),
            4 * widest / eta / steps,
        )
        found = f"x^2 + y^2 - eta x y stays, {off:.0e} off, and distances are {distance.min():.2f} to {widest:.2f}"
    else:
        off = np.abs(distance[1:] / distance[:-1] - squared**0.5).max()
        found = f"every step changes the distance by the factor {squared**0.5:.4f}, {off:.0e} off"
    extra = {"strength": gamma} if name == "consensus" else {}
    library = np.hstack(
        getattr(games, name)(
            lambda x, y: (x * y).sum(), *start, lr=eta, steps=steps, **extra
        )
    )
    gap = np.abs(library - path).max() / distance.max()
    lesson.verdict(
        f"{name}: {found}; games.{name} is {gap:.0e} off (limits 1e-12)",
        max(off, gap) < 1e-12,
    )
    axes[0].plot(x[:120], y[:120], "o-", ms=3, lw=1, color=colours[name])
    axes[1].semilogy(distance, color=colours[name], lw=2, label=name)
lesson.verdict(
    f"alternating play's mean is {mean:.3f} from the equilibrium (bound {bound:.3f})",
    mean < bound,
)
axes[0].plot(*start, "o", color=black, ms=8, zorder=5)
axes[0].plot(0, 0, "+", color=black, ms=14, mew=2, zorder=5)
axes[0].set(xlabel="x, which makes xy small", ylabel="y, which makes xy large")
axes[0].set(
    aspect="equal",
    xlim=(-2.5, 2.5),
    ylim=(-2.5, 2.5),
    title=f"120 steps from the dot, η = {eta}",
)
axes[1].set(
    xlabel="step",
    ylabel="distance from the equilibrium",
    ylim=(1e-4, 1e3),
    title="Two of them arrive",
)
axes[1].legend(frameon=False, loc="upper left")
lesson.save(fig, "spirals")

# %% [markdown]
# The middle of the ellipse is the equilibrium. As $y$ moves by $\eta x$ in each step, the sum of all $x$ is just the
# way from first to last $y$, over $\eta$, and stays small: the mean over $n$ steps falls as $1/n$. The players circle
# for ever, but their *average* arrives. So it was in fictitious play: the shares settle, the choices never do.
#
# ## Something larger: the smallest GAN
#
# The library's players take any function of tensors. So let us meet the smallest **generative adversarial network**
# (Mescheder et al., 2018). All data lie at 0. The generator makes a single point, $x$. The critic, with a single weight
# $y$, gives a point $s$ the probability $\sigma(ys)$ of being real, where $\sigma(a) = 1/(1 + e^{-a})$. It wants little
# surprise (lesson 10) at the truth, that 0 is real and $x$ is not: a large
# $f(x, y) = \log \sigma(0) + \log(1 - \sigma(xy))$; the generator wants it to fail. In equilibrium the point lies on
# the data and the critic can only guess: $f = 2 \log \tfrac12 = -\log 4$.

# %%
tiny_gan = lambda x, y: (
    np.log(0.5) - ops.softplus(x * y).sum()
)  # as log(1 - sigma(a)) = -softplus(a)
fig, axes = plt.subplots(
    1, 2, figsize=(12, 5.4), layout="constrained", width_ratios=(1, 1.2)
)
ends = []
for name in ("simultaneous", "alternating", "extragradient"):
    x, y = (
        side[:, 0] for side in getattr(games, name)(tiny_gan, *start, lr=0.5, steps=400)
    )
    distance, gradient = (
        np.hypot(x, y),
        np.hypot(x, y) / (1 + np.exp(-x * y)),
    )  # the slopes of f: -sigma(xy) (y, x)
    value = np.log(0.5) - np.logaddexp(0, x * y)
    ends.append(
        (
            distance[-1] / distance[0],
            gradient[-1] / gradient[0],
            abs(value[-1] + np.log(4)),
        )
    )
    axes[0].plot(x[:60], y[:60], "o-", ms=3, lw=1, color=colours[name], label=name)
    axes[1].plot(value[:120], lw=2, color=colours[name])
(far, pull, _), (around, *_), (near, _, off) = ends
found = f"extragradient ends at {near:.0e} of the first distance (limit 1e-3), with the value {off:.0e} from -log 4"
lesson.verdict(f"{found} (limit 1e-5)", near < 1e-3 and off < 1e-5)
found = f"simultaneous play ends at {far:.1f} of the first distance (above 1.5), with {pull:.4f} of the first gradient"
found += f" (limit 0.02), alternating play at {around:.2f} of that distance (0.5 to 2)"
lesson.verdict(found, far > 1.5 and pull < 0.02 and 0.5 < around < 2)
axes[0].plot(*start, "o", color=black, ms=8, zorder=5)
axes[0].plot(0, 0, "+", color=black, ms=14, mew=2, zorder=5)
axes[0].set(
    xlabel="the generator's point x", ylabel="the critic's weight y", aspect="equal"
)
axes[0].set_title("60 steps from the dot; all data are at x = 0")
axes[0].legend(frameon=False, loc="upper right")
axes[1].axhline(-np.log(4), color=black, lw=0.8, ls=":")
axes[1].set(
    xlabel="step",
    ylabel="f, what the critic gains",
    title="f is the generator's loss (dotted: -log 4)",
)
lesson.save(fig, "gan")
lesson.end()

# %% [markdown]
# ## What to take along to lesson 15, where $x$ and $y$ are thousands of weights
#
# * A falling loss may mean that the other has become worse. Judge a GAN by its samples.
# * Calm is not success either: the red loss stops moving far from the data, where the critic is so sure ($\sigma(xy)$
#   near 0) that both gradients are gone. Lesson 15 gives the generator another loss for that.
# * What helps: taking turns, an average of the weights, and damping, as in exercise 1.
#
# ## Exercises
#
# 1. A critic who pays for large weights: $f = xy - \tfrac c2 y^2$. By bisection, find the largest step size with which
#    simultaneous play still arrives, for $c = 0.2$, 0.5 and 1. It is $c$ itself within 3 %.
# 2. `optimistic(x, y, eta, steps)`: step along twice the gradient minus the one of the step before. It needs half the
#    gradients of extragradient. On $xy$ it arrives (1e-6 after 4000 steps) with $\eta = 0.5$, and not with 0.6.
# 3. `rock_counts_double` by gradients: each player has three numbers and plays `ops.softmax` of them. With `lr=1` and
#    1000 steps from random starts of SD 0.5, `games.extragradient` reaches the mixtures of `games.equilibrium` to 0.01.
#
# ## Sources
#
# von Neumann, *Zur Theorie der Gesellschaftsspiele*, Math. Annalen 100 (1928); Brown, *Iterative solution of games by
# fictitious play* (1951), and Robinson, Annals of Math. 54 (1951), who proved that it works; Palacios-Huerta,
# *Professionals play minimax*, Review of Economic Studies 70 (2003); Korpelevich, Matecon 12 (1976); Mescheder et al.,
# *The numerics of GANs*, NIPS 2017, and *Which training methods for GANs do actually converge?*, ICML 2018; Daskalakis
# et al., *Training GANs with optimism*, ICLR 2018 (exercise 2).
