# %% [markdown]
# # 13. Mixtures: guessing what nobody wrote down
#
# *Part 3: likelihood. 75 minutes.*
#
# **The question.** Which piece comes from which workshop, when nobody wrote it down? If we knew
# the workshops, we could sort the pieces. If the pieces were sorted, we could describe the
# workshops. We know neither. Can two such halves help each other?
#
# **Afterwards you can**
#
# * fit a sum of Gaussians to data without labels, and say why the fit never gets worse,
# * tell a bound that touches from one that does not,
# * keep numbers finite where the plain formulas fail,
# * choose how many groups there are, and draw new examples.
#
# **You need** the log-likelihood and the Kullback-Leibler divergence (lesson 10), its two
# directions (lesson 11), Bayes' rule, softmax and covariance matrices (lesson 12).
#
# **Five parts**, 10 to 20 minutes each. One may stop after any of them.
#
# 1. Two easy halves of a hard problem
# 2. Why it climbs
# 3. Two ways to break it
# 4. k-means: when all is certain
# 5. How many, and new ones

# %%
from lesson import Lesson

lesson = Lesson("13_mixture")
rng = lesson.rng

from itertools import permutations
from typing import NamedTuple

import numpy as np
from matplotlib.colors import to_rgb

from minigen import models
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION

# %% [markdown]
# # Part 1. Two easy halves of a hard problem
#
# Three workshops make pendulums, each with habits of its own. In one box lie 600 of their pieces.
# We have measured them, length in m and mass in kg. The labels have come off.
#
# A piece comes about in two steps. First a workshop $k$ is drawn, with probability $\pi_k$. Then
# the piece is drawn from this workshop's Gaussian, with its mean $\mu_k$ and its covariance
# $\Sigma_k$.


# %%
class Mixture(NamedTuple):
    """Some Gaussians, and the share of each."""

    weights: np.ndarray  # (k,): the shares pi
    means: np.ndarray  # (k, 2)
    covs: np.ndarray  # (k, 2, 2)


LONG = [[0.0625, 0.0750], [0.0750, 0.1021]]  # longer pieces are heavier
ROUND = [[0.0144, 0.0], [0.0, 0.0144]]
workshops = Mixture(
    np.array([0.40, 0.35, 0.25]),
    np.array([[1.2, 1.6], [1.5, 1.3], [2.0, 1.2]]),
    np.array([LONG, LONG, ROUND]),
)


# %%
def draw_from(mixture, n):
    """n pieces (n, 2), and the components (n,) that they come from."""
    k, d = mixture.means.shape
    label = rng.choice(k, n, p=mixture.weights)
    X = np.empty((n, d))
    for j in range(k):
        here = label == j
        # L z has the covariance L L^T if z has SD 1 in all directions.
        L = np.linalg.cholesky(mixture.covs[j])
        X[here] = mixture.means[j] + rng.standard_normal((here.sum(), d)) @ L.T
    return X, label


X, label = draw_from(workshops, 600)
print(X[:3].round(2), "are the first three pieces: length (m), mass (kg)")


# %% tags=["hide-input"]
def draw_box():
    with lesson.figure("box", width=5, height=4.2) as ax:
        ax.plot(*X.T, ".", ms=5, color=GREY)
        ax.set(xlabel="length (m)", ylabel="mass (kg)", aspect="equal")
        ax.set_title("600 pieces, no labels")


draw_box()

# %% [markdown]
# What shaped a piece and was not written down is called a **latent variable**. Here it is the
# label. All pieces together have the density of a **mixture** of **components**,
#
# $$ p(x) = \sum_k \pi_k\, \mathcal N(x; \mu_k, \Sigma_k), $$
#
# where $\mathcal N(x; \mu, \Sigma)$ is the density of a Gaussian at $x$ (lesson 12).
#
# ## If we knew the workshops
#
# Take one piece: 1.5 m and 1.6 kg. The densities of the three workshops there are 0.013, 0.140 and
# 0.000. With their shares that makes $0.40 \cdot 0.013 = 0.005$, $0.35 \cdot 0.140 = 0.049$ and 0.
# Bayes' rule divides by the sum, 0.054: the piece comes from the first workshop with probability
# 0.10, from the second with 0.90.
#
# These probabilities are called **responsibilities**,
# $r_k = \pi_k\, \mathcal N(x; \mu_k, \Sigma_k)/p(x)$. In the words of lesson 12 they are the
# softmax of the scores $\log \pi_k + \log \mathcal N(x; \mu_k, \Sigma_k)$. We keep to logarithms;
# Part 3 shows what happens without.


# %%
def log_normal(X, mean, cov):
    """Log-density of a Gaussian at each row of X (n, d): (n,)."""
    away = X - mean
    solved = np.linalg.solve(cov, away.T).T  # cov^-1 (x - mean), row by row
    d_squared = np.sum(away * solved, axis=1)
    log_det = np.linalg.slogdet(2 * np.pi * cov)[1]  # [0] is its sign
    return -0.5 * d_squared - 0.5 * log_det


def scores(X, mixture):
    """log(pi_k N(x; mu_k, Sigma_k)) for each row of X and each component: (n, k)."""
    columns = []
    for weight, mean, cov in zip(*mixture):
        columns.append(np.log(weight) + log_normal(X, mean, cov))
    return np.stack(columns, axis=1)


def log_sum_exp(a):
    """log of the sum of e^a over each row of a (n, k): (n, 1)."""
    highest = a.max(axis=1, keepdims=True)
    return highest + np.log(np.sum(np.exp(a - highest), axis=1, keepdims=True))


# %%
def e_step(X, mixture):
    """Responsibilities (n, k), and log p(x) of each row of X (n,)."""
    a = scores(X, mixture)
    log_p = log_sum_exp(a)
    return np.exp(a - log_p), log_p[:, 0]


piece = np.array([[1.5, 1.6]])
with_shares = np.exp(scores(piece, workshops)[0])  # pi_k N_k
lesson.show("the three densities at the piece", with_shares / workshops.weights)
resp_of_piece, log_p_of_piece = e_step(piece, workshops)
lesson.show("responsibilities of the piece", resp_of_piece[0])
lesson.show("its density", np.exp(log_p_of_piece[0]))

# %% [markdown]
# ## If the pieces were sorted
#
# Then each workshop's share, mean and covariance are those of its pieces, and we are done. And if
# they are sorted only *in part*? Then each piece counts for each workshop, with its responsibility
# for a weight. By hand: three lengths 1.0, 1.2 and 2.0 m with the responsibilities 0.9, 0.8 and
# 0.1. They count as 1.8 pieces, and their mean is
# $(0.9 \cdot 1.0 + 0.8 \cdot 1.2 + 0.1 \cdot 2.0)/1.8 = 1.14$ m. The distant piece has hardly any
# say.


# %%
def m_step(X, resp, floor=0.0):
    """The mixture of pieces X (n, d) that count by resp (n, k). The floor is for Part 3."""
    means = []
    covs = []
    for r in resp.T:  # one component at a time; r is (n,)
        count = np.sum(r)
        mean = r @ X / count
        away = X - mean
        cov = (r[:, None] * away).T @ away / count
        means.append(mean)
        covs.append(cov + floor * np.eye(X.shape[1]))
    return Mixture(resp.mean(axis=0), np.array(means), np.array(covs))


by_hand = np.array([[0.9], [0.8], [0.1]])
three_lengths = np.array([[1.0], [1.2], [2.0]])
lesson.show("mean by hand", m_step(three_lengths, by_hand).means[0, 0], "m")

# %% [markdown]
# ## By turns
#
# Guess the workshops. Find the responsibilities (the **E-step**). Find the workshops from them
# (the **M-step**). Repeat. That is **expectation-maximisation**, EM. As a first guess we take
# equal shares, three of the pieces as means, and for each the covariance of everything.


# %%
def random_start(X, k):
    """Equal shares, k of the points as means, the covariance of everything."""
    chosen = rng.choice(len(X), k, replace=False)
    covs = np.array([np.cov(X.T)] * k)
    return Mixture(np.full(k, 1 / k), X[chosen], covs)


def em(X, guess, steps, floor=0.0):
    """All mixtures from the guess on, and the mean log-likelihood of each but the last."""
    path = [guess]
    climb = []
    for _ in range(steps):
        resp, log_p = e_step(X, path[-1])
        path.append(m_step(X, resp, floor))
        climb.append(log_p.mean())
    return path, np.array(climb)


# %% [markdown]
# > **Predict.** We start twenty times, at random. Will all runs come to the same place? And will
# > the likelihood rise at every step?

# %%
STEPS = lesson.pick(full=150, quick=100)
runs = [em(X, random_start(X, 3), STEPS) for _ in range(20)]
climbs = np.array([climb for path, climb in runs])  # (20, steps)

highest = climbs[:, -1].max()
arrived = np.sum(climbs[:, -1] > highest - 0.001)
lesson.show("lowest at the end", climbs[:, -1].min(), "nats")
lesson.show("highest at the end", highest, "nats")
print(f"{arrived} of 20 runs came to the highest")

largest_fall = -np.diff(climbs, axis=1).min()
lesson.claim("20 runs: the largest fall", largest_fall, below=1e-12, unit="nats")

# %% [markdown]
# Now look at the best run while it climbs. Each piece is coloured by its responsibilities, mixed
# like paint. The ellipses are two SDs wide.

# %%
path, climb = runs[np.argmax(climbs[:, -1])]
height = (climb - climb[0]) / (climb[-1] - climb[0])  # 0 at the start, 1 at the top
# argmax finds the first True: the first step that is so high.
moments = [np.argmax(height >= share) for share in (0, 0.55, 0.8, 0.9999)]
print("we look at it after", *moments, "steps")

# %% tags=["hide-input"]
TINTS = np.array([to_rgb(colour) for colour in (BLUE, VERMILLION, ORANGE)])
turn = np.linspace(0, 2 * np.pi, 100)
CIRCLE = np.array([np.cos(turn), np.sin(turn)])


def draw_mixture(ax, X, resp, mixture, title):
    """Pieces in the mixed colours of their responsibilities, and ellipses of two SDs."""
    ax.scatter(*X.T, s=6, color=np.clip(resp @ TINTS, 0, 1))
    for mean, cov, tint in zip(mixture.means, mixture.covs, TINTS):
        ellipse = mean[:, None] + 2 * np.linalg.cholesky(cov) @ CIRCLE
        ax.plot(*ellipse, color=tint, lw=2)
        ax.plot(*mean, "+", color=BLACK, ms=9, mew=2)
    ax.set(xlabel="length (m)", ylabel="mass (kg)", title=title, aspect="equal")
    ax.set(xlim=(0.2, 2.7), ylim=(0.4, 2.8))


def draw_strip():
    with lesson.figure("strip", panels=2, rows=2, width=4.6, height=4.4) as rows:
        for ax, step in zip((*rows[0], *rows[1]), moments):
            resp, log_p = e_step(X, path[step])
            title = f"After {step} steps: {log_p.mean():.2f} nats a piece"
            draw_mixture(ax, X, resp, path[step], title)


draw_strip()


# %% tags=["hide-input"]
def draw_climbs():
    with lesson.figure("climbs", width=6.5, height=3.6) as ax:
        ax.plot(climbs.T, color=SKY, lw=1)
        ax.plot(climb, color=BLACK, lw=2, label="the run shown")
        shown = climb[moments]
        ax.plot(moments, shown, "o", color=VERMILLION, label="the four pictures")
        ax.set(xlabel="step", ylabel="mean log-likelihood (nats)")
        ax.set_title("Twenty random starts: always up, and often over a plateau")
        ax.legend(loc="lower right")


draw_climbs()

# %% [markdown]
# **What you saw.** The halves do help each other, and the likelihood never goes down. But some
# runs wait on a plateau for dozens of steps: who stops too early takes it for the top. (One run
# had not arrived: it was still climbing. The "largest fall" is rounding.) And EM climbs the hill on
# which it starts. That may be a lower one; in this box it is rare (`--seed 2` has some). So take
# many steps, and the best of many starts. Which number a workshop gets is chance: a mixture knows
# no names.

# %% [markdown]
# # Part 2. Why it climbs
#
# It would be odd luck if a step never fell. There is a reason, and it is worth having: the same
# reason carries variational autoencoders (lesson 21).
#
# Take a piece and two components, with $\pi_k \mathcal N_k = 0.3$ and 0.1. So $p = 0.4$,
# $\log p = -0.916$, and the responsibilities are 0.75 and 0.25.
#
# Now somebody guesses other responsibilities, $q = (0.5, 0.5)$. We compute
#
# $$ B = \sum_k q_k \log \frac{\pi_k\, \mathcal N_k}{q_k}
#   = 0.5 \log\frac{0.3}{0.5} + 0.5 \log\frac{0.1}{0.5} = -1.060. $$
#
# That is below $\log p$, by 0.144. And the divergence of the guess from the truth is
# $\mathrm{KL}(q \,\|\, r) = 0.5 \log\frac{0.5}{0.75} + 0.5 \log\frac{0.5}{0.25} = 0.144$. The
# same.


# %%
def bound(X, q, mixture):
    """B for each row of X, with the guessed responsibilities q (n, k): (n,)."""
    log_q = np.log(np.maximum(q, 1e-300))  # 0 log 0 shall be 0
    return np.sum(q * (scores(X, mixture) - log_q), axis=1)


def kl(q, r):
    """KL(q || r) of each row (n, k): (n,)."""
    log_q = np.log(np.maximum(q, 1e-300))
    log_r = np.log(np.maximum(r, 1e-300))
    return np.sum(q * (log_q - log_r), axis=1)


middle = path[moments[1]]
resp, log_p = e_step(X, middle)
guessed = rng.dirichlet(np.ones(3), len(X))  # (600, 3): at random; each row sums to 1
missing = log_p - bound(X, guessed, middle)
lesson.show("what B lacks, for each piece", missing, "nats")
lesson.same("what B lacks and KL(q || r)", missing, kl(guessed, resp), limit=1e-9)
lesson.claim("share of guesses with B below log p", np.mean(missing > 0), exactly=1)

# %% [markdown]
# Why? By Bayes' rule $\pi_k \mathcal N_k = r_k\, p$. Put that into $B$:
#
# $$ B = \sum_k q_k \log \frac{r_k\, p}{q_k} = \log p \sum_k q_k - \sum_k q_k \log\frac{q_k}{r_k}
#   = \log p - \mathrm{KL}(q \,\|\, r). $$
#
# KL is never negative (lesson 10). So $B$ is a **lower bound** of $\log p$, whatever $q$ is. Now
# look at the two steps again.
#
# * The E-step takes $q = r$. Then KL is 0, and **the bound touches**.
# * The M-step holds $q$ and takes the mixture for which $B$ is largest. For
#   $B = \sum_k q_k \log \pi_k \mathcal N_k - \sum_k q_k \log q_k$. The second sum does not know
#   the mixture. The first is the log-likelihood of pieces sorted in part, each counting by $q_k$.
#   It is largest at their shares, means and covariances, as in Part 1.
#
# The bound goes up, and the likelihood, which touched it before, lies on it or above. So it cannot
# have fallen.
#
# To *see* it we hold everything but one number: the mean length $u$ of the third workshop. All
# else is known. We start at $u = 1.0$ m, while the true one is 2.0.


# %%
def with_length(u):
    """The true workshops, but for the mean length u of the third."""
    means = workshops.means.copy()
    means[2, 0] = u
    return workshops._replace(means=means)


guesses_of_u = [1.0]
for _ in range(12):
    resp, log_p = e_step(X, with_length(guesses_of_u[-1]))
    guesses_of_u.append(m_step(X, resp).means[2, 0])
print("u, step by step:", *np.round(guesses_of_u, 2))

# %%
u_grid = np.linspace(0.8, 2.4, 161)
likelihood_at = np.array([e_step(X, with_length(u))[1].mean() for u in u_grid])
bounds_at = {}
gaps = []
for u in guesses_of_u[:4]:
    resp, log_p = e_step(X, with_length(u))
    bounds_at[u] = [bound(X, resp, with_length(other)).mean() for other in u_grid]
    gaps.append(log_p.mean() - bound(X, resp, with_length(u)).mean())

lesson.claim("four bounds: gap where we are", gaps, near=0, within=1e-12, unit="nats")
over = max(np.max(values - likelihood_at) for values in bounds_at.values())
lesson.claim("four bounds: above the likelihood by", over, below=1e-12, unit="nats")


# %% tags=["hide-input"]
def draw_bounds():
    with lesson.figure("bounds", width=7.5, height=4.2) as ax:
        ax.plot(u_grid, likelihood_at, color=BLACK, lw=2, label="log-likelihood")
        for i, colour in enumerate((BLUE, GREEN, PURPLE, VERMILLION)):
            u = guesses_of_u[i]
            name = f"bound at step {i}"
            ax.plot(u_grid, bounds_at[u], color=colour, lw=1.2, label=name)
            touches = np.interp(u, u_grid, likelihood_at)
            ax.plot(u, touches, "o", color=colour, zorder=3)
        low = likelihood_at.min()
        ax.set(ylim=(low - 0.2, likelihood_at.max() + 0.3))
        ax.set(xlabel="mean length u of the third workshop (m)", ylabel="nats a piece")
        ax.set_title("Each bound touches where we are; its top is where we go")
        ax.legend(loc="upper left")


draw_bounds()

# %% [markdown]
# **What you saw.** Each bound is a simple hill that touches the likelihood at one point and lies
# below it elsewhere. We go to its top, and are higher on the likelihood, too.
#
# ## And with other responsibilities?
#
# The argument needs the *right* responsibilities. Any others leave a gap, and then a higher bound
# proves nothing. Let us put ourselves on the top of the hill and take ten steps. With the right
# E-step we stay. With responsibilities at another temperature, as in lesson 12?
#
# > **Predict.** At a temperature of 4 everybody is a little responsible for everything. Where do
# > ten steps lead?


# %%
def ten_steps(mixture, tau):
    """Ten steps of EM with responsibilities at the temperature tau; 1 is right."""
    for _ in range(10):
        a = scores(X, mixture) / tau
        mixture = m_step(X, np.exp(a - log_sum_exp(a)))
    return mixture


top = em(X, path[-1], 100)[0][-1]
log_likelihood_at_top = e_step(X, top)[1].mean()
change = {}
for tau in (1, 2, 4):
    change[tau] = e_step(X, ten_steps(top, tau))[1].mean() - log_likelihood_at_top
    lesson.show(f"ten steps from the top at tau = {tau}: change", change[tau], "nats")

lesson.claim("right steps from the top: change", change[1], near=0, within=1e-9)
lesson.claim("steps at tau = 4 from the top: change", change[4], below=-0.3)

# %% [markdown]
# At 4 the three components melt into one another, and the likelihood falls. It never falls when
# the bound touches.

# %% [markdown]
# # Part 3. Two ways to break it
#
# ## Numbers that end
#
# A double-precision number ends at $e^{709}$. Below $e^{-745}$ it is 0. Densities go there easily.
# In our box somebody notes one mass in grams. And in lesson 12 a motion was a point in 50
# dimensions. Take 200 angles, each known to 0.001 rad: at its peak the density is
# $(0.001\sqrt{2\pi})^{-200} = e^{1198}$.
#
# > **Predict.** What does the plain formula, densities times shares over their sum, give for these
# > two?


# %%
def naive_responsibilities(X, mixture):
    """Bayes' rule as it stands, with densities instead of their logarithms."""
    joint = np.exp(scores(X, mixture))
    return joint / joint.sum(axis=1, keepdims=True)


typo = X.copy()
typo[7, 1] *= 1000  # one mass in grams
still = np.zeros((1, 200))  # one motion of 200 angles: at rest
sharp = Mixture(
    np.array([0.5, 0.5]), np.zeros((2, 200)), np.array([1e-6 * np.eye(200)] * 2)
)

with np.errstate(all="ignore"):
    naive_typo = naive_responsibilities(typo, path[0])
    naive_still = naive_responsibilities(still, sharp)
print("plain: ", naive_typo[7], naive_still[0])
careful_typo, log_p = e_step(typo, path[0])
careful_still, log_p_still = e_step(still, sharp)
print("ours:  ", careful_typo[7], careful_still[0], " log p:", log_p_still[0].round(2))

# %% [markdown]
# The plain formula divides 0 by 0 or infinity by infinity, which is NaN, "not a number". And one
# NaN is enough: the M-step spreads it over everything.
#
# Ours uses **log-sum-exp**. With $m$ the largest of the $a_k$,
#
# $$ \log \sum_k e^{a_k} = m + \log \sum_k e^{a_k - m}. $$
#
# By hand: $a = (-1000, -1001)$. Both $e^{a_k}$ are 0 for the machine. But
# $-1000 + \log(1 + e^{-1}) = -999.69$. The largest term becomes 1, and what vanishes beside it may
# vanish.

# %%
with np.errstate(all="ignore"):
    naive_means = m_step(typo, naive_typo).means
careful_means = m_step(typo, careful_typo).means
lesson.claim("plain: NaN in the three means", np.isnan(naive_means).sum(), exactly=6)
lesson.claim("ours: NaN in them", np.isnan(careful_means).sum(), exactly=0)

log_density = -200 * np.log(0.001 * np.sqrt(2 * np.pi))
error = log_p_still[0] - log_density
lesson.claim("log p of 200 angles, less the exact one", error, near=0, within=1e-9)

# %% [markdown]
# ## A component that falls into one point
#
# The likelihood has no largest value. Put one component on a *single* piece and let its covariance
# shrink. The density there grows without end, and the others hardly notice. So the highest peaks
# are infinite, and useless.
#
# > **Predict.** Sixty pieces and eight components: about seven pieces for each. How often will EM
# > find such a peak by itself?


# %%
def smallest_sds(X, guess, floor, steps=80):
    """After each step: the smallest SD that any component has in any direction."""
    sds = []
    mixture = guess
    for _ in range(steps):
        resp, _ = e_step(X, mixture)
        mixture = m_step(X, resp, floor)
        variances = np.linalg.eigvalsh(mixture.covs)  # along the axes of each ellipse
        sds.append(np.sqrt(max(variances.min(), 0)))
        if sds[-1] < 1e-6:  # the next step would have to invert this covariance
            break
    return sds


FLOOR = 0.02**2  # we believe no workshop to be exact to 2 cm or 20 g
without_floor = []
with_floor = []
for _ in range(lesson.pick(full=40, quick=12)):
    sixty = draw_from(workshops, 60)[0]
    guess = random_start(sixty, 8)
    without_floor.append(smallest_sds(sixty, guess, 0.0))
    with_floor.append(smallest_sds(sixty, guess, FLOOR))

# %% [markdown]
# The cure is a **floor**: each M-step adds a little to the variances, here $0.02^2$. With it the
# steps are no longer quite EM's, but close.


# %%
def share_collapsed(histories):
    return np.mean([sds[-1] < 1e-6 for sds in histories])


lesson.claim("runs that fall into a point", share_collapsed(without_floor), above=0.2)
lesson.claim("with the floor", share_collapsed(with_floor), exactly=0)


# %% tags=["hide-input"]
def draw_collapse():
    with lesson.figure("collapse", width=6.5, height=3.8) as ax:
        for histories, colour in ((without_floor, VERMILLION), (with_floor, BLUE)):
            for sds in histories:
                steps = np.arange(1, len(sds) + 1)
                ax.semilogy(steps, np.maximum(sds, 1e-9), color=colour, lw=0.8)
        ax.plot([], [], color=VERMILLION, label="no floor")
        ax.plot([], [], color=BLUE, label="floor of 0.02")
        ax.axhline(1e-6, color=BLACK, ls=":", lw=1, label="here we stop")
        ax.set(xlabel="step", ylabel="smallest SD of a component (m, kg)")
        ax.set_ylim(1e-9, 1)
        ax.set_title("Eight components for sixty pieces: many runs fall into a point")


draw_collapse()

# %% [markdown]
# **What you saw.** A component that is left with two or three pieces can be very sure of them.
# More certainty draws it nearer, and a few steps later it is on one piece, or on a line through
# two.
#
# ## The library has the same
#
# `models.GaussianMixture` takes the same steps, in compiled loops, until the likelihood gains less
# than `tol`. Its floor is called `reg_covar`. We hand it our start (precisions are inverse
# covariances) and take as many steps as it did. (The tests hold it against scikit-learn's class of
# the same name, from the same starts.)


# %%
def library_start(mixture):
    """The arguments by which minigen's and scikit-learn's mixtures take a start."""
    return {
        "weights_init": mixture.weights,
        "means_init": mixture.means,
        "precisions_init": np.linalg.inv(mixture.covs),
    }


start = library_start(path[0])
settings = {"tol": 1e-7, "max_iter": 1000, "reg_covar": 1e-6}
library = models.GaussianMixture(3, **settings, **start).fit(X, rng=rng)
ours = em(X, path[0], library.n_iter_, floor=1e-6)[0][-1]
print(f"it took {library.n_iter_} steps")
theirs = [library.weights_, library.means_, library.covariances_]
lesson.same("our mixture and minigen's", list(ours), theirs, limit=1e-6)

# %% [markdown]
# # Part 4. k-means: when all is certain
#
# **k-means** (Lloyd, 1957) is older and simpler. Give each point to the nearest centre. Move each
# centre to the mean of its points. Repeat.
#
# That looks like EM, and it is: EM with equal shares and one fixed round covariance $s^2 I$ for
# all, in the limit $s \to 0$. Then $r_k$ is proportional to $e^{-|x - \mu_k|^2/2 s^2}$. In the
# words of lesson 12: the energies are half the squared distances, and $s^2$ is the temperature.
# (Here 1 kg is as far as 1 m. In grams k-means would find other groups.) By hand: a
# piece 0.3 m from one centre and 0.4 m from another has, for $s = 0.3$, weights $e^{-0.5}$ and
# $e^{-0.89}$, so 0.60 and 0.40. For $s = 0.03$ they are $e^{-50}$ and $e^{-89}$: the nearer one
# takes all.
#
# > **Predict.** Two of our three workshops make long narrow clouds, side by side. What will
# > k-means make of them?


# %%
def soft_means(centres, sd, steps=40):
    """EM for the centres (k, 2) of circles; also who was likeliest, at each step."""
    k = len(centres)
    covs = np.array([sd**2 * np.eye(2)] * k)
    likeliest = []
    for _ in range(steps):
        resp, _ = e_step(X, Mixture(np.full(k, 1 / k), centres, covs))
        likeliest.append(resp.argmax(axis=1))
        centres = m_step(X, resp).means
    return Mixture(np.full(k, 1 / k), centres, covs), np.array(likeliest)


def k_means(centres, steps=40):
    """Lloyd's steps: the centres (k, 2), and who got each piece, at each step."""
    given = []
    for _ in range(steps):
        distances = np.sum((X[:, None] - centres) ** 2, axis=2)  # (n, k)
        nearest = distances.argmin(axis=1)
        given.append(nearest)
        centres = np.array([X[nearest == j].mean(axis=0) for j in range(len(centres))])
    return centres, np.array(given)


# %%
first_centres = path[0].means
centres, given = k_means(first_centres)
circles = {}
same_label = {}
for sd in (0.3, 0.1, 0.0001):
    circles[sd], likeliest = soft_means(first_centres, sd)
    same_label[sd] = np.mean(likeliest == given)
    lesson.show(f"SD {sd} m: labels as by k-means, over all steps", same_label[sd])

what = "SD 0.0001 m: share of labels as by k-means"
lesson.claim(what, same_label[0.0001], exactly=1)
lesson.same("its centres and k-means'", circles[0.0001].means, centres, limit=1e-9)


# %%
def share_right(groups):
    """The share of pieces in the right group, for the best way to name the groups."""
    best = 0
    for names in permutations(range(3)):
        renamed = np.array(names)[groups]
        best = max(best, np.mean(renamed == label))
    return best


by_k_means = share_right(given[-1])
by_mixture = share_right(e_step(X, top)[0].argmax(axis=1))
lesson.claim("k-means: pieces given to the right workshop", by_k_means, below=0.8)
lesson.claim("the mixture: the same", by_mixture, above=0.95)


# %% tags=["hide-input"]
def draw_limit():
    with lesson.figure("limit", panels=2, rows=2, width=4.6, height=4.4) as rows:
        for ax, sd in zip((*rows[0], rows[1][0]), circles):
            resp, _ = e_step(X, circles[sd])
            name = ": k-means" if sd == 0.0001 else ""
            draw_mixture(ax, X, resp, circles[sd], f"Circles of SD {sd} m{name}")
        draw_mixture(rows[1][1], X, e_step(X, top)[0], top, "The mixture of Part 1")


draw_limit()

# %% [markdown]
# **What you saw.** The smaller the circles, the harder the borders. k-means believes in round
# groups of one size, and cuts the long clouds across. What you put in saves data if it is true,
# and costs if it is false: lesson 12 again.

# %% [markdown]
# # Part 5. How many, and new ones
#
# How many workshops are there? Every further component can raise the likelihood. So it cannot
# choose their number.
#
# The **Bayesian information criterion** (BIC) charges for each of the $P$ free numbers,
#
# $$ \mathrm{BIC} = P \log n - 2 \sum_x \log p(x), $$
#
# and the smallest wins. (Why $\log n$? From $n$ pieces a number is known to about $1/\sqrt n$. To
# write it down as exactly as that takes $\frac12 \log n$ nats, and BIC counts all twice.)
#
# A component has a weight, two numbers for its mean and three for its covariance. The weights sum
# to 1. So $P = 6k - 1$. For $n = 600$ a further component costs $6 \log 600 = 38$. It must raise
# the log-likelihood of all pieces together by more than 19 nats.
#
# > **Predict.** Boxes from one to five workshops, and candidates from one to six components. In
# > how many of the boxes will the likelihood alone find the number? And BIC?

# %%
LIGHT = [[0.0100, 0.0], [0.0, 0.0225]]
HEAVY = [[0.0484, -0.0220], [-0.0220, 0.0221]]  # longer pieces are lighter
FIVE = Mixture(
    np.array([4, 3.5, 2.5, 3, 3]),
    np.array([[1.2, 1.6], [1.5, 1.3], [2.0, 1.2], [0.7, 0.7], [1.9, 2.3]]),
    np.array([LONG, LONG, ROUND, LIGHT, HEAVY]),
)
CANDIDATES = np.arange(1, 7)
STARTS = lesson.pick(full=10, quick=5)


def box_of(k):
    """600 pieces from the first k of five workshops."""
    weights = FIVE.weights[:k] / FIVE.weights[:k].sum()
    return draw_from(Mixture(weights, FIVE.means[:k], FIVE.covs[:k]), 600)[0]


# %%
def best_fit(X, k):
    """Of several starts, the fit of k components with the highest likelihood."""
    best = None
    for _ in range(STARTS):
        start = library_start(random_start(X, k))
        settings = {"tol": 1e-6, "max_iter": 2000, "reg_covar": 1e-4}
        fit = models.GaussianMixture(k, **settings, **start).fit(X, rng=rng)
        if best is None or fit.lower_bound_ > best.lower_bound_:
            best = fit
    return best


# %%
numbers = np.arange(lesson.pick(full=15, quick=5)) % 5 + 1  # of workshops, box by box
bic = np.empty((len(numbers), len(CANDIDATES)))
log_likelihood = np.empty((len(numbers), len(CANDIDATES)))
for i, number in enumerate(numbers):
    box = box_of(number)
    for j, k in enumerate(CANDIDATES):
        fit = best_fit(box, k)
        bic[i, j] = fit.bic(box)
        log_likelihood[i, j] = len(box) * fit.lower_bound_  # the mean for each piece

# %%
by_bic = CANDIDATES[bic.argmin(axis=1)]
by_likelihood = CANDIDATES[log_likelihood.argmax(axis=1)]
print("workshops:    ", *numbers)
print("by likelihood:", *by_likelihood)
print("by BIC:       ", *by_bic)
found_by_bic = np.mean(by_bic == numbers)
found_by_likelihood = np.mean(by_likelihood == numbers)
lesson.claim("share of boxes right by BIC", found_by_bic, above=0.7)
lesson.claim("share of boxes right by likelihood", found_by_likelihood, below=0.3)


# %% tags=["hide-input"]
def draw_numbers():
    with lesson.figure("numbers", panels=2, width=5) as (likelihood, criterion):
        for i, colour in enumerate((BLUE, VERMILLION, ORANGE, GREEN, PURPLE)):
            how = {"marker": "o", "ms": 4, "color": colour, "label": f"{i + 1}"}
            likelihood.plot(CANDIDATES, log_likelihood[i] - log_likelihood[i, 0], **how)
            criterion.plot(CANDIDATES, bic[i] - bic[i].min(), **how)
        likelihood.set(xlabel="components", ylabel="log-likelihood gained (nats)")
        likelihood.set_title("The likelihood hardly ever stops rising")
        likelihood.legend(title="workshops", loc="upper left")
        criterion.set(xlabel="components", ylabel="BIC above its minimum")
        criterion.set_ylim(-20, 400)
        criterion.set_title("BIC turns at the right number")
        criterion.legend(title="workshops", loc="upper right")


draw_numbers()

# %% [markdown]
# **What you saw.** The likelihood makes a jump for each true workshop, and then creeps on. (Where
# six components lose to five, the starts were too few to find the top of six.) BIC asks whether the
# step is worth its price.
#
# ## New pieces
#
# A mixture generates, in the two steps of the beginning: draw a component, then draw from it. As
# each new piece keeps its label, one can also ask for more of one kind.
#
# How good are the new pieces? Here we know the truth $p$, so both directions of KL (lesson 11) are
# means over draws: the **forward** one over real pieces asks whether the model $q$ gives them
# room, the **reverse** one over drawn pieces asks whether it invents what nobody makes. For
# comparison: one Gaussian for everything.


# %%
def divergences_from_truth(model, n=20_000):
    """KL(p || q) and KL(q || p) of a model q and the workshops p, as means over n draws."""
    real, _ = draw_from(workshops, n)
    drawn, _ = draw_from(model, n)
    forward = np.mean(e_step(real, workshops)[1] - e_step(real, model)[1])
    reverse = np.mean(e_step(drawn, model)[1] - e_step(drawn, workshops)[1])
    return {"KL(p || q)": forward, "KL(q || p)": reverse}


one_gaussian = m_step(X, np.ones((600, 1)))
rows = {
    "mixture": divergences_from_truth(top),
    "one Gaussian": divergences_from_truth(one_gaussian),
}
lesson.table("divergence from the workshops (nats)", rows)
for direction in ("KL(p || q)", "KL(q || p)"):
    of_mixture = rows["mixture"][direction]
    of_one = rows["one Gaussian"][direction]
    lesson.claim(f"mixture: {direction}", of_mixture, below=0.1, unit="nats")
    lesson.claim(f"one Gaussian: {direction}", of_one, above=0.4, unit="nats")

# %%
new, maker = draw_from(top, 40_000)
off = []
for j in range(3):
    drawn_cov = np.cov(new[maker == j].T)
    off.append(np.abs(drawn_cov - top.covs[j]).max() / top.covs[j].max())
lesson.claim("each component draws with its covariance; worst entry", off, below=0.1)


# %% tags=["hide-input"]
def draw_new_pieces():
    from_one = draw_from(one_gaussian, 600)[0]
    cases = (
        (X, "The box", GREY),
        (new[:600], "Drawn from the mixture", TINTS[maker[:600]]),
        (from_one, "Drawn from one Gaussian", PURPLE),
    )
    with lesson.figure("new", panels=3, width=4.2, sharey=True) as axes:
        for ax, (pieces, title, colour) in zip(axes, cases):
            ax.scatter(*pieces.T, s=6, color=colour)
            ax.set(xlabel="length (m)", title=title, xlim=(0.2, 2.7), ylim=(0.4, 2.8))
        axes[0].set_ylabel("mass (kg)")


draw_new_pieces()
lesson.end()

# %% [markdown]
# **What you saw.** The mixture misses the truth by 0.03 nats, in both directions. One Gaussian must
# fill the gaps between the clouds, and the reverse KL charges it most for that.
#
# # What it means
#
# * Two halves that wait for each other can be improved by turns. What was not written down comes
#   back as probabilities.
# * Each turn lifts a bound that touches the likelihood. That is why it never falls, and why other
#   responsibilities may fail.
# * Keep logarithms, put a floor under variances, start many times.
# * The likelihood does not choose the number of components. A charge for each free number does.
#
# # Exercises
#
# **1. Too few steps** (5 minutes). Set `STEPS = 20`. (Some later claims may fail.) How many of the
# 20 runs have arrived? What would you have reported after a single run, and what in the picture of
# the climbs would have warned you?
#
# **2. A floor too high** (5 minutes). In Part 3 set `FLOOR = 0.2**2`. What happens to the smallest
# SD, and why can it not be right for our workshops? (What is the smallest SD of the long clouds?)
#
# **3. The spike** (15 minutes). *Write* `spike(sd)`: the log-likelihood, summed over the 600
# pieces, of a mixture with a round component of SD `sd` and weight 1/600 on the piece `X[0]`, and
# one broad Gaussian for the rest. *Check:* from `sd` = 1e-5 to 1e-6 it grows by $2 \log 10$,
# within 0.01. *Why* the 2? And why does nobody want this mixture, though its likelihood has no
# end?
#
# **4. One covariance for all** (20 minutes). *Write* `m_step_tied(X, resp)`, where all components
# share one covariance. *Check:* from our start 40 steps, without a floor, equal those of
# `models.GaussianMixture(3, covariance_type="tied", tol=0, max_iter=40, reg_covar=0, ...)` to 1e-6
# (it takes one precision matrix). *Why:* half-way from Gaussians to k-means.
#
# **5. Two readings of one box** (10 minutes). *Judge.* Somebody fits 3 components and reports:
# "there are three kinds of pieces". Somebody else fits 4, with a higher likelihood, and reports
# four. What would you ask each of them to show? Use Part 5 and a box of pieces that neither has
# seen.
#
# **6. Whole motions** (60 minutes). A project. Describe clean trajectories of 100 angles by their
# coordinates along the eight directions in which they differ most (`np.linalg.svd`). *Write*
# `best_number(coordinates)`: let BIC choose among 1, 3, 10, 20 and 30 Gaussians. *Check:* new
# motions have a median `metrics.physics_residual` below 0.015 rad, those of a single Gaussian one
# above 0.05. *Why:* a mixture of Gaussians can bend where one cannot.
#
# # Sources
#
# Dempster, Laird & Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, J. R.
# Stat. Soc. B 39 (1977); Neal & Hinton, *A view of the EM algorithm* (1998), for the bound; Lloyd
# (1957), in IEEE Trans. Inf. Theory 28 (1982); Schwarz, *Estimating the dimension of a model*,
# Ann. Statist. 6 (1978). Bishop's textbook (2006), chapter 9, has all.
