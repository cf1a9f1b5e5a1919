# %% [markdown]
# # 14. Games: rules for two
#
# *Part 4: adversaries. 60 minutes.*
#
# **The question.** What does it mean to learn when somebody else learns against you? So far one
# loss went down, and we called that learning. From lesson 15 on two networks learn against each
# other: one makes examples up, the other tells them from real ones. What helps one hurts the
# other, and a falling loss no longer means that anybody gets better. So we first look at the
# smallest games of this kind.
#
# **Afterwards you can**
#
# * find the best play in a game written as a table, and say why it has to be random,
# * learn that play by nothing but playing, and say how far from the best you are,
# * tell which ways of learning by gradients reach the point where both players are content, which
#   circle it, and which run away,
# * say why a calm loss curve proves nothing.
#
# **You need** gradients (lesson 4) and lesson 1, from which an old acquaintance returns.
#
# **Four parts**, about 15 minutes each. One may stop after any of them.
#
# 1. One side for good, or dice?
# 2. Learning by playing
# 3. Gradients that chase each other
# 4. The smallest generative adversarial network

# %%
from lesson import Lesson

lesson = Lesson("14_games")
rng = lesson.rng

from importlib.util import find_spec

import numpy as np

from minigen import games, ops
from minigen.physics import integrators
from minigen.plots import BLACK, BLUE, GREY, ORANGE, VERMILLION

# %% [markdown]
# # Part 1. One side for good, or dice?
#
# A penalty kick. The kicker chooses a side, the goalkeeper chooses a side, both at once. The
# table says what share of the kicks are goals. The four numbers were counted in professional
# football (Palacios-Huerta, 2003; kicks by left-footed players are mirrored).

# %%
penalty = np.array([[0.5830, 0.9497], [0.9291, 0.6992]])  # (kicker, keeper)

rows = {
    "kicker: left": {"keeper: left": penalty[0, 0], "keeper: right": penalty[0, 1]},
    "kicker: right": {"keeper: left": penalty[1, 0], "keeper: right": penalty[1, 1]},
}
lesson.table("share of goals", rows)

# %% [markdown]
# Such a table is a **payoff matrix** $A$: $A_{ij}$ is what the row player gets if they choose row
# $i$ and the other chooses column $j$. What the kicker gains the keeper loses. That is called a
# **zero-sum** game.
#
# Let both be cautious, and choose one side for good. The kicker looks at the worst of each row,
# 0.583 on the left and 0.699 on the right, and takes the better: 0.699 goals a kick are sure.
# This largest of the smallest is the **maximin**.
#
# > **Predict.** The keeper looks at the worst of each column, which is its *largest* entry. How
# > many goals a kick can the keeper be sure not to exceed? Is it the same number?

# %%
worst_of_row = penalty.min(axis=1)  # (rows,)
worst_of_column = penalty.max(axis=0)  # (columns,)
maximin = worst_of_row.max()
minimax = worst_of_column.min()

print("worst for the kicker:", worst_of_row, " for the keeper:", worst_of_column)
print(f"maximin {maximin:.3f}, minimax {minimax:.3f}")
lesson.claim("one side for good: the gap", minimax - maximin, above=0.1, unit="goals")

# %% [markdown]
# The smallest of the largest, the **minimax**, is 0.929: a wide gap lies between what the kicker
# is sure of and what the keeper is sure of. If the two were equal, there would be an entry that
# is smallest in its row and largest in its column, a **saddle**, and nobody would want to change.
# Here somebody always wants to.
#
# ## Throwing dice
#
# Who always chooses the same side is read like a book. So let the kicker throw dice, and kick
# left with probability $p$. Try $p = 0.5$. Against a keeper on the left that makes
# $0.5 \cdot 0.583 + 0.5 \cdot 0.929 = 0.756$ goals a kick. Against one on the right it makes
# $0.5 \cdot 0.950 + 0.5 \cdot 0.699 = 0.824$. The worst of it is 0.756: already better than
# 0.699, by dice alone.
#
# A probability for each row (or column) is called a **mixed strategy**; a single row is a
# **pure** one. If the keeper goes left with probability $q$, the mean payoff is
#
# $$ f(p, q) = (p,\, 1 - p)\, A\, (q,\, 1 - q)^\top . $$
#
# Each is cautious again, now on a fine grid of mixtures. We need to look only at the *pure*
# answers of the other: a mixed answer gives a mean of two numbers, and a mean is never below
# both (nor above both, which the keeper fears).

# %%
grid = np.linspace(0, 1, 10_001)
mixtures = np.stack([grid, 1 - grid], axis=1)  # (10001, 2)

against_side = mixtures @ penalty  # (p, keeper's side): goals a kick
kicker_worst = against_side.min(axis=1)  # (p,)
from_side = mixtures @ penalty.T  # (q, kicker's side)
keeper_worst = from_side.max(axis=1)  # (q,)

best_p = grid[kicker_worst.argmax()]
best_q = grid[keeper_worst.argmin()]
print(f"p = 0.5 is sure of {kicker_worst[5000]:.4f}")  # grid[5000] is 0.5
print(f"the best p = {best_p:.4f} is sure of {kicker_worst.max():.4f}")
print(f"the best q = {best_q:.4f} is never above {keeper_worst.min():.4f}")


# %% tags=["hide-input"]
def draw_mixing():
    with lesson.figure("mixing", panels=2, sharey=True) as (left, right):
        left.plot(grid, against_side, color=GREY, ls="--")
        left.plot(grid, kicker_worst, color=BLUE, lw=3, label="the worst of both")
        left.plot(best_p, kicker_worst.max(), "o", color=BLACK, ms=8)
        left.annotate("keeper left", (0.14, 0.90), color=GREY)
        left.annotate("keeper right", (0.56, 0.91), color=GREY)
        left.set(xlabel="p: kicker goes left", ylabel="goals a kick")
        left.set(title="The kicker lifts the worst", ylim=(0.55, 0.97))
        left.legend(loc="lower center")
        right.plot(grid, from_side, color=GREY, ls="--")
        right.plot(
            grid, keeper_worst, color=VERMILLION, lw=3, label="the worst of both"
        )
        right.plot(best_q, keeper_worst.min(), "o", color=BLACK, ms=8)
        right.annotate("kicker left", (0.16, 0.91), color=GREY)
        right.annotate("kicker right", (0.54, 0.91), color=GREY)
        right.set(xlabel="q: keeper goes left", title="The keeper lowers the worst")
        right.legend(loc="lower center")


draw_mixing()

# %% [markdown]
# **What you saw.** Both dots are at the same height: dice close the gap. That they do so for
# every table is von Neumann's **minimax theorem** (1928). The common number is the **value** of
# the game, and the pair of mixtures an **equilibrium**: neither can gain by changing alone.
#
# Where are the dots? Where the two lines cross. There both sides are worth the same to the
# keeper: the best $p$ makes *the other* indifferent. With $a, b$ and $c, d$ for the rows of $A$
# that is $p a + (1 - p) c = p b + (1 - p) d$. For $q$ it is the same with rows and columns
# exchanged. Solved:
#
# $$ p = \frac{d - c}{a - b - c + d}, \qquad q = \frac{d - b}{a - b - c + d}. $$
#
# Here $p = (0.6992 - 0.9291) / (-0.5966) = 0.385$.


# %%
def crossing(A):
    """The mixtures (p, q) of a 2 x 2 game at which the other is indifferent."""
    a, b, c, d = A.ravel()
    turn = a - b - c + d
    return np.array([(d - c) / turn, (d - b) / turn])


print("crossing: p, q =", crossing(penalty).round(4))
gap = keeper_worst.min() - kicker_worst.max()
lesson.claim("mixed: minimax less maximin, on the grid", gap, near=0, within=1e-4)
lesson.same("p and q: grid and formula", [best_p, best_q], crossing(penalty), 1e-4)
loses = kicker_worst.max() - kicker_worst[5000]
lesson.claim("fair dice, p = 0.5, give away", loses, above=0.03, unit="goals a kick")

# %% [markdown]
# And the professionals? Kickers chose the left in about 40 % of the kicks, keepers in about 42 %.
# Our formula says 38.5 % and 42.0 %. Nobody had told them the theorem.

# %% [markdown]
# # Part 2. Learning by playing
#
# With more rows there are too many mixtures for a grid. **Fictitious play** (Brown, 1951) needs
# none. In every round each gives the best *pure* answer to all that the other has done so far.
# Nobody throws dice; but the shares of the choices become mixed strategies.
#
# And we always know how good they are. Say the row player has used the rows in shares $p$. Then
# $p$ is sure of $\min_j (pA)_j$. Likewise the column player's shares $q$ pay at most
# $\max_i (Aq)_i$. The value lies between these two bounds.
#
# The program keeps sums: what each column would have paid so far, and what each row would have
# received. Over the number of rounds they are $pA$ and $Aq$.


# %%
def fictitious_play(A, rounds):
    """The choices and the bounds of the value after each round, (rounds, 2) both."""
    received = np.zeros(A.shape[0])  # by each row, against all columns so far
    paid = np.zeros(A.shape[1])  # by each column, against all rows so far
    choices = []
    bounds = []
    for played in range(1, rounds + 1):
        row = received.argmax()
        column = paid.argmin()
        received = received + A[:, column]
        paid = paid + A[row]
        choices.append((row, column))
        bounds.append((paid.min() / played, received.max() / played))
    return np.array(choices), np.array(bounds)


# %% [markdown]
# > **Predict.** The first kicks of the penalty: both begin with left, knowing nothing. What does
# > the keeper do in the second round, what the kicker?

# %%
choices, bounds = fictitious_play(penalty, 1000)
side = ["left", "right"]

first_rounds = {}
for n in (0, 1, 2, 3, 4, 99, 999):
    kicker, keeper = choices[n]
    first_rounds[f"round {n + 1}"] = {
        "kicker": side[kicker],
        "keeper": side[keeper],
        "kicker left so far": np.mean(choices[: n + 1, 0] == 0),
        "value at least": bounds[n, 0],
        "at most": bounds[n, 1],
    }
lesson.table("fictitious play of the penalty", first_rounds)

# %% [markdown]
# **What you saw.** The choices jump for ever. The *shares* swing less and less, around 0.385, and
# the two bounds close in on the value, 0.796.
#
# ## Three games
#
# The penalty again; ten rows and ten columns of random numbers; and rock, paper, scissors with
# one change: **rock against scissors counts double** for the row player.
#
# > **Predict.** If rock pays better, will the row player play it more often than in a third of
# > the rounds, or less?

# %%
# rows and columns: rock, paper, scissors
rock_counts_double = np.array([[0.0, -1, 2], [1, 0, -1], [-1, 1, 0]])
tables = {
    "penalty": penalty,
    "rock counts double": rock_counts_double,
    "random 10 x 10": rng.normal(size=(10, 10)),
}
ROUNDS = lesson.pick(full=20_000, quick=3000)

choices_in = {}
bounds_in = {}
for name, A in tables.items():
    choices_in[name], bounds_in[name] = fictitious_play(A, ROUNDS)

print("shares of rock, paper, scissors")
for player, who in enumerate(("row", "column")):
    chosen = choices_in["rock counts double"][:, player]
    shares = np.bincount(chosen, minlength=3) / ROUNDS
    print(f"{who} player:", shares.round(3))

# %% [markdown]
# The row player plays rock in only a *quarter* of the rounds! For the other now avoids scissors,
# and most often plays paper, which beats rock. In a game, a payoff is worth nothing until you
# know what the other does about it.
#
# How sure are we? Each pair of bounds holds, so of all rounds we keep the best of each. The gap
# between them we measure in units of the table: its largest entry less its smallest.

# %%
bounds_rows = {}
gap_of = {}
for name, A in tables.items():
    lower = bounds_in[name][:, 0].max()
    upper = bounds_in[name][:, 1].min()
    gap_of[name] = (upper - lower) / np.ptp(A)
    bounds_rows[name] = {
        "value at least": lower,
        "at most": upper,
        "gap/range": gap_of[name],
    }
    library = games.fictitious_play(A, ROUNDS)
    what = f"{name}: our bounds and the library's"
    lesson.same(what, [lower, upper], [library.lower, library.upper], 1e-10)

lesson.table(f"after {ROUNDS} rounds", bounds_rows)
lesson.claim(
    "fictitious play: the gaps, of the range", list(gap_of.values()), below=0.01
)


# %% tags=["hide-input"]
def draw_fictitious_play():
    kinds = zip(tables, (BLUE, ORANGE, VERMILLION))
    with lesson.figure("playing", panels=2) as (shares, gaps):
        round_number = np.arange(1, ROUNDS + 1)
        rows = ("rock", "paper", "scissors")
        for row, colour in zip(range(3), (BLUE, ORANGE, VERMILLION)):
            so_far = np.cumsum(choices_in["rock counts double"][:, 0] == row)
            shares.semilogx(
                round_number, so_far / round_number, color=colour, label=rows[row]
            )
        for exact in (1 / 4, 5 / 12, 1 / 3):
            shares.axhline(exact, color=BLACK, lw=0.8, ls=":")
        shares.set(xlabel="round", ylabel="share so far", ylim=(0, 1))
        shares.set(title="Rock counts double: the shares settle")
        for name, colour in kinds:
            width = bounds_in[name][:, 1] - bounds_in[name][:, 0]
            gaps.loglog(
                round_number, width / np.ptp(tables[name]), color=colour, label=name
            )
        guide = np.array([10, ROUNDS])
        gaps.loglog(guide, 1 / np.sqrt(guide), "--", color=GREY, label="1/√round")
        gaps.set(xlabel="round", ylabel="gap between the bounds / range of A")
        gaps.set(title="The bounds close in")
        gaps.legend(loc="lower left")


draw_fictitious_play()

# %% [markdown]
# **What you saw.** Left: the shares swing, ever more slowly, and settle at a quarter, five
# twelfths and a third (dotted). Right: the gap falls about as one over the square root of the
# rounds, so ten times the accuracy takes a hundred times the rounds. (The curves take the two
# bounds of one round. The table took the best bounds of all rounds, which are closer: somewhere
# on their swings the shares of the penalty were nearly perfect.)
#
# There is a faster way. The best mixture has the largest $v$ for which $(pA)_j \ge v$ in every
# column. The unknowns $p$ and $v$ occur only in sums, never multiplied with each other. That is a
# **linear program**, and `games.equilibrium` hands it to SciPy. (Where SciPy is not installed it
# plays fictitiously, and what follows holds to a twentieth only.) Von Neumann's theorem says: for
# every table, minimax = maximin. We try it on thirty.

# %%
exact = games.equilibrium(rock_counts_double)
print("row player:", exact.row.round(4), " column player:", exact.column.round(4))
print(f"the value: {exact.value:.4f} = 1/12")

gaps = []
for _ in range(30):
    A = rng.normal(size=rng.integers(2, 9, size=2))
    gaps.append(games.equilibrium(A).gap / np.ptp(A))
to = 1e-6 if find_spec("scipy") else 0.05
lesson.claim(
    "30 random games: minimax less maximin, of the range", gaps, near=0, within=to
)
lesson.claim(
    "rock counts double: rock is played in", exact.row[0], near=0.25, within=to
)

# %% [markdown]
# # Part 3. Gradients that chase each other
#
# Networks move along gradients. The smallest game for that is $f(x, y) = x y$: one player moves
# $x$ to make $f$ small, the other moves $y$ to make it large. At $(0, 0)$ both are content. If
# $y = 0$, no $x$ helps, and the reverse.
#
# They start at $(1, 1)$. The slope of $f$ by $x$ is $y = 1$, that by $y$ is $x = 1$. With the
# step size $\eta = 0.2$ the first goes down, to $x = 1 - 0.2 = 0.8$, the other up, to $y = 1.2$.
#
# > **Predict.** The distance from $(0, 0)$ was $\sqrt 2 = 1.414$. Is it now smaller, larger, or
# > the same? Would a smaller step change the answer?

# %%
eta = 0.2


def simultaneous(x, y):
    """Both step at once, along the slopes where they are."""
    return x - eta * y, y + eta * x


def play(rule, steps):
    """The way from (1, 1): (steps + 1, 2)."""
    path = [(1.0, 1.0)]
    for _ in range(steps):
        x, y = path[-1]
        path.append(rule(x, y))
    return np.array(path)


few = play(simultaneous, 4)
for (x, y), distance in zip(few, np.linalg.norm(few, axis=1)):
    print(f"x = {x:6.3f}, y = {y:6.3f}, distance {distance:.4f}")

# %% [markdown]
# It grows, and always by 2 %. The step $\eta(-y, x)$ is at right angles to $(x, y)$ and $\eta$
# times as long. So by Pythagoras the distance grows by
# $\sqrt{1 + \eta^2} = \sqrt{1.04} = 1.0198$, in every step, *for every* $\eta$: smaller steps
# only delay it. This plainest way to learn is called **simultaneous** play.
#
# ## An old acquaintance
#
# You have seen this before. Call $y$ an angle and $x$ a velocity. Then $x \leftarrow x - \eta y$
# says that the velocity falls with the angle, and $y \leftarrow y + \eta x$ that the angle grows
# with the velocity: a small swing, solved by **Euler's method**, whose energy grew in lesson 1.
# The cure there was **Euler-Cromer**: use the new value at once. In a game this is
# **alternating** play, taking turns: $y$ answers to where $x$ *now* is.
#
# Beside the places we watch one number, $Q = x^2 + y^2 - \eta\, x y$, which is nearly the squared
# distance. (It is the one of lesson 1's exercise 4.)


# %%
def alternating(x, y):
    """They take turns: y answers to the new x."""
    x = x - eta * y
    y = y + eta * x
    return x, y


def back_to_rest(angle, velocity):
    """The acceleration of a small swing, in units in which g/L is 1."""
    return -angle


def swing(method, steps):
    """The same way, by an integrator of lesson 1: (steps + 1, 2), velocity and angle."""
    angle, velocity = integrators.integrate(
        method, back_to_rest, 1.0, 1.0, dt=eta, steps=steps + 1
    )
    return np.stack([velocity, angle], axis=1)


# %%
def conserved(path):
    """Q = x^2 + y^2 - eta x y along a way (steps + 1, 2): (steps + 1,)."""
    x, y = path.T
    return x**2 + y**2 - eta * x * y


STEPS = 300
paths = {
    "simultaneous": play(simultaneous, STEPS),
    "alternating": play(alternating, STEPS),
}
for name, path in paths.items():
    lesson.show(
        f"{name}: Q after 0, 1, 2 and 300 steps", conserved(path)[[0, 1, 2, 300]]
    )

of_swing = swing(integrators.euler, STEPS)
lesson.same("simultaneous play and Euler", paths["simultaneous"], of_swing, 1e-9)
of_swing = swing(integrators.euler_cromer, STEPS)
lesson.same("alternating play and Euler-Cromer", paths["alternating"], of_swing, 1e-12)

# %% [markdown]
# The two games *are* the two integrators, number for number. And $Q$ is the reason why the second
# does not run away: alternating play conserves it. Insert the step, $x' = x - \eta y$ and
# $y' = y + \eta x'$:
#
# $$ Q' = x'^2 + y'\,(y' - \eta x') = x'^2 + y' y = x'\,(x' + \eta y) + y^2 = x' x + y^2 = Q. $$
#
# For $\eta < 2$ the curves of constant $Q$ are ellipses. So it never runs away, and never arrives.
#
# ## Two that arrive
#
# * **Extragradient** (Korpelevich, 1976): look one simultaneous step ahead, and step from *here*
#   with the slopes found *there*.
# * **Consensus** (Mescheder et al., 2017): both also go downhill on
#   $\tfrac\gamma2 (x^2 + y^2)$. The slopes are $y$ and $x$, so this is $\gamma/2$ times their
#   squared length. Both prefer places where no slope is left to follow.
#
# From $(1, 1)$, extragradient looks ahead to $(0.8, 1.2)$. The slopes there are $1.2$ and $0.8$,
# so it steps to $(1 - 0.24,\ 1 + 0.16) = (0.76, 1.16)$. The distance is 1.387: smaller than
# 1.414. Consensus with $\gamma = 0.5$ adds a pull inwards, $0.2 \cdot 0.5 = 0.1$ on each, to the
# plain step $(0.8, 1.2)$. It comes to $(0.7, 1.1)$, at a distance of 1.304.

# %%
gamma = 0.5


def extragradient(x, y):
    """Look ahead; step from here with the slopes found there."""
    ahead_x, ahead_y = simultaneous(x, y)
    return x - eta * ahead_y, y + eta * ahead_x


def consensus(x, y):
    """Simultaneous steps, and both also go down the squared length of the slopes."""
    return x - eta * (y + gamma * x), y + eta * (x - gamma * y)


paths["extragradient"] = play(extragradient, STEPS)
paths["consensus"] = play(consensus, STEPS)
distances = {name: np.linalg.norm(path, axis=1) for name, path in paths.items()}

way = {}
for name, distance in distances.items():
    way[name] = {f"step {k}": distance[k] for k in (0, 1, 10, 100, 300)}
lesson.table("distance from (0, 0)", way)

# %% tags=["hide-input"]
COLOURS = {
    "simultaneous": VERMILLION,
    "alternating": ORANGE,
    "extragradient": BLUE,
    "consensus": GREY,
}


def draw_chase():
    with lesson.figure("spirals", panels=2, height=4.4) as (plane, curves):
        for name, path in paths.items():
            x, y = path[:80].T
            plane.plot(x, y, "o-", ms=3, lw=1, color=COLOURS[name])
            curves.semilogy(distances[name], lw=2, color=COLOURS[name], label=name)
        plane.plot(1, 1, "o", color=BLACK, ms=8)
        plane.plot(0, 0, "+", color=BLACK, ms=14, mew=2)
        plane.set(xlabel="x, which makes xy small", ylabel="y, which makes xy large")
        plane.set(xlim=(-2.6, 2.6), ylim=(-2.3, 3), aspect="equal")
        plane.set(title="80 steps from the dot, η = 0.2")
        curves.set(xlabel="step", ylabel="distance from (0, 0)", ylim=(1e-4, 1e3))
        curves.set(title="One runs away, one circles, two arrive")
        curves.legend(loc="upper left")


draw_chase()

# %% [markdown]
# **What you saw.** One runs away, one circles, two arrive. As formulas: extragradient's step is
# $\eta(-y, x) - \eta^2 (x, y)$, and its second part points inwards. It changes the distance by
# $\sqrt{(1 - \eta^2)^2 + \eta^2} = 0.981$, below 1 for $\eta < 1$. Consensus changes it by
# $\sqrt{(1 - \eta\gamma)^2 + \eta^2} = 0.922$. We hold every single step against these factors.

# %%
factors = {
    "simultaneous": np.sqrt(1 + eta**2),
    "extragradient": np.sqrt((1 - eta**2) ** 2 + eta**2),
    "consensus": np.sqrt((1 - eta * gamma) ** 2 + eta**2),
}
for name, factor in factors.items():
    ratio = distances[name][1:] / distances[name][:-1]
    lesson.claim(f"{name}: each step's factor", ratio, near=factor, within=1e-9)

Q = conserved(paths["alternating"])
lesson.claim("alternating: Q over Q at the start", Q / Q[0], near=1, within=1e-9)

# %% [markdown]
# ## Nobody arrives, but the mean does
#
# > **Predict.** Alternating play circles for ever. Where is the *mean* of all its places? And
# > where is the mean of simultaneous play?

# %%
means = {}
for name in ("alternating", "simultaneous"):
    so_far = paths[name][1:].cumsum(axis=0) / np.arange(1, STEPS + 1)[:, None]
    means[name] = np.linalg.norm(so_far, axis=1)  # (steps,)
    print(f"{name}: the mean of {STEPS} steps is {means[name][-1]:.3f} from (0, 0)")

bound = 4 * distances["alternating"].max() / (eta * STEPS)  # why: below
lesson.claim("alternating: distance of the mean", means["alternating"][-1], below=bound)
lesson.claim("simultaneous: distance of the mean", means["simultaneous"][-1], above=1.4)

# %% [markdown]
# The middle of the ellipse is the equilibrium. As $y$ moves by $\eta x$ in each step, the sum of
# all $x$ is just the way from the first to the last $y$, over $\eta$. On an ellipse that way is
# at most twice the largest distance $d$. With the sum of all $y$ it is alike, so the mean over
# $n$ steps falls as $1/n$ (and $4 d/(\eta n)$ is a safe bound for both together). The players
# circle for ever, but their *average* arrives. So it was in fictitious play: the shares settle,
# the choices never do. In simultaneous play the way has no bound, and the mean runs away too.
#
# The library's players take any $f$, and get the slopes from the tape.


# %%
def product(x, y):
    """The game f = x y, on tensors."""
    return ops.sum(x * y)


def of_library(name, f, steps, **settings):
    """The way from (1, 1) by a player of minigen.games: (steps + 1, 2)."""
    player = getattr(games, name)
    x, y = player(f, 1.0, 1.0, steps=steps, **settings)  # (steps + 1, 1) each
    return np.hstack([x, y])


for name, path in paths.items():
    settings = {"strength": gamma} if name == "consensus" else {}
    theirs = of_library(name, product, STEPS, lr=eta, **settings)
    lesson.same(f"{name}: our way and that of games.{name}", path, theirs, 1e-9)

# %% [markdown]
# # Part 4. The smallest generative adversarial network
#
# Now a real one, as small as can be (Mescheder et al., 2018). All data lie at 0. The
# **generator** makes a single point, $x$. The **critic** has a single weight $y$, and gives a
# point $s$ the probability $\sigma(y s)$ of being real. Here $\sigma(a) = 1/(1 + e^{-a})$ is the
# **sigmoid**: 0.5 at 0, 0.73 at 1, 0.05 at -3.
#
# The critic wants little surprise at the truth, that 0 is real and $x$ is not. So it makes
#
# $$ f(x, y) = \log \sigma(0) + \log\big(1 - \sigma(x y)\big) $$
#
# large. The generator wants it to fail, and makes $f$ small. In equilibrium the point lies on the
# data and the critic can only guess: $f = 2 \log \tfrac12 = -\log 4 = -1.386$.
#
# Start at $(1, 1)$ again. There $\sigma(1) = 0.731$ and $f = -0.693 - 1.313 = -2.006$. The slope
# of $\log(1 - \sigma(a))$ is $-\sigma(a)$. So by the chain rule the slopes of $f$ are
# $-\sigma(x y)\, y$ by $x$ and $-\sigma(x y)\, x$ by $y$, both $-0.731$. With $\eta = 0.5$ the
# generator goes to $1 + 0.366$: *away* from the data, as the critic rates large $s$ as real. The
# critic goes to $1 - 0.366$.


# %%
def tiny_gan(x, y):
    """What the critic gains; log(1 - sigmoid(a)) is -softplus(a)."""
    return np.log(0.5) - ops.sum(ops.softplus(x * y))


def value(path):
    """f along a way (steps + 1, 2): (steps + 1,)."""
    x, y = path.T
    return np.log(0.5) - np.logaddexp(0, x * y)  # logaddexp(0, a) is softplus(a)


gan_paths = {}
for name in ("simultaneous", "alternating", "extragradient"):
    gan_paths[name] = of_library(name, tiny_gan, 400, lr=0.5)
print("simultaneous, the first steps (x, y):")
print(gan_paths["simultaneous"][:3].round(3))
first = gan_paths["simultaneous"][1]
lesson.claim(
    "tiny GAN: the first step, x and y", first, near=[1.366, 0.634], within=1e-3
)

# %% [markdown]
# > **Predict.** Which of the three will bring the point to the data, at $x = 0$? And if you saw
# > only the curve of $f$, could you tell?


# %%
def gradient_size(path):
    """The length of the slopes of the tiny GAN's f: (steps + 1,)."""
    x, y = path.T
    sigma = 1 / (1 + np.exp(-x * y))
    return sigma * np.linalg.norm(path, axis=1)


gan_rows = {}
for name, path in gan_paths.items():
    gan_rows[name] = {
        "x at the end": path[-1, 0],
        "distance, of the first": np.linalg.norm(path[-1]) / np.sqrt(2),
        "slopes, of the first": gradient_size(path)[-1] / gradient_size(path)[0],
        "f at the end": value(path)[-1],
    }
lesson.table("the smallest GAN after 400 steps", gan_rows)


# %% tags=["hide-input"]
def draw_tiny_gan():
    with lesson.figure("gan", panels=2, height=4.4) as (plane, curves):
        for name, path in gan_paths.items():
            x, y = path[:120].T
            plane.plot(x, y, "o-", ms=3, lw=1, color=COLOURS[name], label=name)
            plane.plot(*path[-1], "s", color=COLOURS[name], mec=BLACK, ms=7)
            curves.plot(value(path)[:200], lw=2, color=COLOURS[name])
        plane.plot(1, 1, "o", color=BLACK, ms=8)
        plane.plot(0, 0, "+", color=BLACK, ms=14, mew=2)
        plane.set(xlabel="x, the generator's point", ylabel="y, the critic's weight")
        plane.set(xlim=(-3, 5), ylim=(-4.2, 3), aspect="equal")
        plane.set(title="120 steps; squares: step 400; data at x = 0")
        plane.legend(loc="lower left")
        curves.axhline(-np.log(4), color=BLACK, ls=":", label="-log 4")
        curves.set(xlabel="step", ylabel="f, what the critic gains")
        curves.set(title="Calm, at the wrong value", ylim=(-4, 0))
        curves.legend(loc="lower right")


draw_tiny_gan()

# %%
near = gan_rows["extragradient"]
far = gan_rows["simultaneous"]
turns = gan_rows["alternating"]
lesson.claim("extragradient: distance left", near["distance, of the first"], below=1e-3)
lesson.claim("extragradient: f", near["f at the end"], near=-np.log(4), within=1e-5)
lesson.claim("simultaneous: distance left", far["distance, of the first"], above=1.5)
lesson.claim("simultaneous: slopes left", far["slopes, of the first"], below=0.02)
around = turns["distance, of the first"]
lesson.claim("alternating: distance left", around, above=0.5, below=2)

# %% [markdown]
# **What you saw.** Extragradient arrives, with the value $-\log 4$. Alternating play circles. And
# simultaneous play hardly moves any more, at $x = 3$, far from the data: the critic has become so
# sure ($\sigma(x y)$ near 0) that there is hardly a slope left, for either of them. After step 70
# its curve of $f$ looks as calm as that of extragradient. Only the value is wrong.

# %%
lesson.end()

# %% [markdown]
# # What it means
#
# In the next lessons $x$ and $y$ are thousands of weights.
#
# * In a game the best play may have to be random: nobody can be read who throws dice.
# * A falling loss may mean that the *other* has become worse. Calm is not success either. Judge a
#   generator by its samples.
# * Plain gradients circle the equilibrium or leave it. What helps: taking turns, looking ahead, an
#   average of the weights, and damping, as in consensus and exercise 3.
# * Where the critic is sure, the slopes are gone. Lesson 15 gives the generator another loss for
#   that.
#
# # Exercises
#
# **1. Too large a step** (5 minutes). Set `eta` to 2.2 in Part 3 and play `alternating` for 40
# steps. What happens, and why? *Hint:* what kind of curve is $x^2 + y^2 - 2.2\, x y = $ const?
# *Why:* lesson 1 met the same border, with a time step that was too large.
#
# **2. A table with a saddle** (5 minutes). Set the first number of `penalty` to 0.95. What does
# `crossing` say of $p$, and what is wrong with that? What should the kicker do, and who still
# needs dice? *Check:* `games.saddle_points` finds one entry.
#
# **3. A critic who pays for large weights** (20 minutes). Take $f = x y - \tfrac c2 y^2$ and
# simultaneous play from (1, 1). *Write* `largest_step(c)`, which finds by bisection the largest
# step size with which the distance still shrinks in the long run. *Check:* for $c = 0.2$, 0.5 and
# 1 it is $c$ itself, within 3 %. *Why:* the penalty on a critic's slope in lesson 17 is such
# damping.
#
# **4. Looking back instead of ahead** (20 minutes). *Write* `optimistic(x, y, eta, steps)`, for
# $x y$: step along twice the gradient minus that of the step before (begin with one plain step).
# It returns the distance at the end. *Check:* from (1, 1), after 4000 steps, it is below 1e-6
# with `eta=0.5`, and not with 0.6. *Why:* half the gradients of extragradient, the same cure.
#
# **5. Rock by gradients** (25 minutes). Each player of `rock_counts_double` has three numbers and
# plays `ops.softmax` of them. *Write* `payoff(x, y)`, minus what the row player $x$ receives, and
# play it with `games.extragradient`, `lr=1`, 1000 steps, from random starts of SD 0.5. *Check:*
# the mixtures are those of `games.equilibrium` to 0.01. *Why:* this is how a network would learn
# dice.
#
# **6. A judge, not a player** (10 minutes). A colleague ends a training "when both gradients are
# below one per cent of what they were at first". Which run of Part 4 would have passed, and where
# was its point? Which two numbers would you ask for instead, and can you have both for a
# generator of images? *Check:* your first number tells all three runs of Part 4 apart.
#
# # Sources
#
# von Neumann, *Zur Theorie der Gesellschaftsspiele*, Math. Annalen 100 (1928). Brown, *Iterative
# solution of games by fictitious play* (1951), and Robinson, Annals of Math. 54 (1951), who
# proved that it works. Palacios-Huerta, *Professionals play minimax*, Review of Economic Studies
# 70 (2003): the table and the shares. Korpelevich, Matecon 12 (1976). Mescheder et al., *The
# numerics of GANs*, NIPS 2017, and *Which training methods for GANs do actually converge?*,
# ICML 2018. Daskalakis et al., *Training GANs with optimism*, ICLR 2018: exercise 4.
