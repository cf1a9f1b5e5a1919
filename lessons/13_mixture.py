# %% [markdown]
# # 13. Mixtures: guessing what nobody wrote down
#
# **At the end you can** fit a sum of Gaussians to data whose groups nobody labelled, keep the numbers finite where the
# plain formulas fail, choose how many groups there are, and draw new examples from the whole or from one group.
#
# **It stands on** the log-likelihood and the KL divergence of lesson 10, and on Bayes' rule in lesson 12.
#
# Three workshops make pendulums, each with habits of its own. In one box lie 600 of their pieces, measured but not
# labelled: length in m, mass in kg. The label is a **latent variable**: it shaped the data, and nobody wrote it down. A
# piece comes about in two steps: draw a workshop $k$ with probability $\pi_k$, then draw from its Gaussian (lesson 12).
# These **components** make a **mixture**, of density $p(x) = \sum_k \pi_k\, \mathcal N(x; \mu_k, \Sigma_k)$.

# %%
from itertools import permutations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from lesson import Lesson
from minigen import models

lesson = Lesson("13_mixture")
rng, blue, red, gold, black, grey = (
    lesson.rng,
    "#1f5fa8",
    "#b3261e",
    "#d9822b",
    "#000",
    "#777",
)


def sample(weights, means, covs, n):
    """n draws (n, d) and the components (n,) that they come from."""
    label = rng.choice(len(weights), n, p=weights)
    noise = rng.standard_normal(
        (n, means.shape[1])
    )  # of covariance I; times cholesky's L, L L^T = Sigma, it has Sigma
    return means[label] + np.einsum(
        "nij,nj->ni", np.linalg.cholesky(covs)[label], noise
    ), label


MEANS = np.array(
    [[1.2, 1.6], [1.5, 1.3], [2.0, 1.2], [0.7, 0.7], [1.9, 2.3]]
)  # five workshops; the box has three
L = np.array(
    [
        [[25, 0], [30, 11]],
        [[25, 0], [30, 11]],
        [[12, 0], [0, 12]],
        [[10, 0], [0, 15]],
        [[22, 0], [-10, 11]],
    ]
)
COVS, PARTS = (
    (L @ L.transpose(0, 2, 1)) / 100**2,
    np.array([4, 3.5, 2.5, 3, 3]),
)  # L: in cm and 10 g
box = lambda k: sample(PARTS[:k] / PARTS[:k].sum(), MEANS[:k], COVS[:k], 600)
X, label = box(3)

# %% [markdown]
# ## Two easy halves of a hard problem
#
# If we knew the labels, we would take each workshop's share, mean and covariance, and be done. If we knew the
# Gaussians, Bayes' rule would tell how probable each workshop is for a piece $x$, its **responsibility**
# $r_k = \pi_k\, \mathcal N(x; \mu_k, \Sigma_k) / p(x)$. We know neither. **Expectation-maximisation** (EM) improves a
# guess by turns: the E-step finds the responsibilities, the M-step takes shares, means and covariances in which every
# piece counts for every workshop with this weight. It works because, for any weights $q_k$ that sum to 1,
#
# $$ \log p(x) = \sum_k q_k \log \frac{\pi_k\, \mathcal N(x; \mu_k, \Sigma_k)}{q_k} + \mathrm{KL}(q \,\|\, r). $$
#
# (Put $r_k\,p(x)$ for the numerator.) As KL is never negative, the sum is a lower bound of the log-likelihood. The
# E-step takes $q = r$, and the bound touches. The M-step holds $q$ and lifts the bound as high as it goes: it is a
# likelihood with labels known in shares. So the log-likelihood, which lies on or above the bound, **never falls**.
#
# One trap first. A double-precision number ends at $e^{709}$, and below $e^{-745}$ it is 0; densities go there easily.
# So we keep logarithms and add by **log-sum-exp**, $\log \sum_k e^{a_k} = m + \log \sum_k e^{a_k - m}$ with $m$ the
# largest of the $a_k$. The largest term becomes 1, and what vanishes beside it may vanish.


# %%
def log_normals(X, means, covs):
    """Log-density of each Gaussian at each row of X (n, d): (n, k)."""
    L = np.linalg.cholesky(covs)
    z = np.linalg.solve(
        L, (X - means[:, None]).transpose(0, 2, 1)
    )  # |z|^2 = (x - mu)^T Sigma^-1 (x - mu)
    halves = 0.5 * np.sum(z**2 + np.log(2 * np.pi), axis=1)
    return -halves.T - np.log(np.diagonal(L, axis1=1, axis2=2)).sum(
        axis=1
    )  # det Sigma = (product of L's diagonal)^2


def e_step(X, weights, means, covs):
    """Responsibilities (n, k) and log-densities (n, 1)."""
    a = np.log(weights) + log_normals(X, means, covs)
    m = a.max(axis=1, keepdims=True)
    log_p = m + np.log(np.exp(a - m).sum(axis=1, keepdims=True))
    return np.exp(a - log_p), log_p


def m_step(X, resp, floor=0.0):
    """Weights (k,), means (k, d) and covariances (k, d, d), each row of X counted by resp (n, k); floor: see below."""
    counts = resp.sum(axis=0)
    means = resp.T @ X / counts[:, None]
    away = X - means[:, None]  # (k, n, d)
    covs = np.einsum("nk,kni,knj->kij", resp, away, away) / counts[:, None, None]
    return counts / len(X), means, covs + floor * np.eye(X.shape[1])


def em(X, guess, steps, floor=0.0):
    """Every guess, first to last, and the mean log-likelihood of each but the last."""
    path, likelihood = [guess], []
    for _ in range(steps):
        resp, log_p = e_step(X, *path[-1])
        likelihood.append(log_p.mean())
        path.append(m_step(X, resp, floor))
    return path, np.array(likelihood)


# A guess: equal weights, k of the points as means, the covariance of everything.
start = lambda X, k: (
    np.full(k, 1 / k),
    X[rng.choice(len(X), k, replace=False)],
    np.stack([np.cov(X.T)] * k),
)
runs = [em(X, start(X, 3), 100) for _ in range(20)]
fall = -min(np.diff(likelihood).min() for _, likelihood in runs)
lesson.verdict(
    f"in 20 runs of 100 steps the likelihood's largest fall is {max(fall, 0):.0e} (limit 1e-12)",
    fall < 1e-12,
)
path, likelihood = max(
    runs, key=lambda run: (run[1][-1].round(4), -run[1][20])
)  # the best; of equals, a slow one


def draw(ax, resp, means, covs, title):
    """Points in the mixed colours of their responsibilities, and the ellipses of two SDs."""
    tints, turn = (
        np.array([to_rgb(colour) for colour in (blue, red, gold)]),
        np.linspace(0, 2 * np.pi, 99),
    )
    ax.scatter(*X.T, s=5, color=np.clip(resp @ tints, 0, 1))
    for mean, L, tint in zip(means, np.linalg.cholesky(covs), tints):
        ax.plot(
            *(mean[:, None] + 2 * L @ [np.cos(turn), np.sin(turn)]), color=tint, lw=2
        )
        ax.plot(*mean, "+", color=black, ms=9, mew=2)
    ax.set(
        title=title,
        xlabel="length (m)",
        ylabel="mass (kg)",
        aspect="equal",
        xlim=(0, 2.8),
        ylim=(0.2, 2.7),
    )


fig, axes = plt.subplots(
    1, 5, figsize=(17, 3.9), layout="constrained", width_ratios=(1, 1, 1, 1, 1.3)
)
for ax, step in zip(
    axes, (0, 5, np.diff(likelihood)[5:].argmax() + 4, 99)
):  # the third: where it climbs fastest
    draw(ax, e_step(X, *path[step])[0], *path[step][1:], f"after {step} steps")
axes[4].plot(np.transpose([each for _, each in runs]), color=grey, lw=0.8)
axes[4].plot(likelihood, color=black, lw=2)
axes[4].set(
    xlabel="step",
    ylabel="mean log-likelihood",
    title="Twenty starts (black: the one shown)",
    ylim=(-0.9, 0.1),
)
lesson.save(fig)
new, maker = sample(*path[-1], 40_000)
off = max(
    np.abs(np.cov(new[maker == k].T) - cov).max() / cov.max()
    for k, cov in enumerate(path[-1][2])
)
lesson.verdict(
    f"what each component draws has its covariance, {100 * off:.1f} % off at most (limit 6 %)",
    off < 0.06,
)

# %% [markdown]
# EM climbs the hill on which it starts, maybe a low one, and is slow where the ground is flat. So take the best of many
# starts. The result generates, in the two steps of the beginning. As each new piece keeps its label, we can also draw
# from one component only: "more of those, please". Which number a workshop gets is chance; a mixture knows no names.
#
# ## What happens without log-sum-exp
#
# One mass is noted in grams. For every workshop its density is $e$ to minus millions, the plain formula divides 0 by 0,
# and the M-step spreads the result, NaN ("not a number"), over everything. At the other end, the density of 200 angles,
# each known to 0.001 rad, is $e^{1198}$, infinite for the machine.

# %%
plain = lambda X, w, means, covs: (
    (p := w * np.exp(log_normals(X, means, covs))) / p.sum(axis=1, keepdims=True)
)
typo = X * np.where(np.arange(600)[:, None] == 7, [1, 1000], 1)
zeros, sharp = np.zeros((2, 200)), np.repeat(1e-6 * np.eye(200)[None], 2, axis=0)
with np.errstate(all="ignore"):
    mu, resp = (
        m_step(typo, plain(typo, *path[0]))[1],
        plain(zeros, np.full(2, 0.5), zeros, sharp),
    )
print(
    f"plain: the three means are now {mu.tolist()}, the responsibilities of the angles {resp[0].tolist()}"
)
off = abs(
    e_step(zeros, np.full(2, 0.5), zeros, sharp)[1][0, 0]
    + 200 * np.log(1e-3 * np.sqrt(2 * np.pi))
)
holds = (
    np.isnan(mu).all()
    and np.isnan(resp).all()
    and np.isfinite(m_step(typo, e_step(typo, *path[0])[0])[1]).all()
)
lesson.verdict(
    f"plain formulas give NaN, ours do not and are {off:.0e} from the exact 1198 (1e-9)",
    holds and off < 1e-9,
)

# %% [markdown]
# ## The library has the same
#
# `models.GaussianMixture` takes these steps in compiled loops, until the likelihood gains less than `tol`. We hand it
# our start (precisions are inverse covariances) and take as many steps. scikit-learn's class has the same arguments.

# %%
inits = lambda w, means, covs: {
    "weights_init": w,
    "means_init": means,
    "precisions_init": np.linalg.inv(covs),
}
settings = inits(*path[0]) | {"tol": 1e-7, "max_iter": 1000, "reg_covar": 1e-6}
theirs = {"minigen": models.GaussianMixture(3, **settings).fit(X, rng=rng)}
try:
    from sklearn import mixture

    theirs["scikit-learn"] = mixture.GaussianMixture(3, **settings).fit(X)
except ImportError:
    print("scikit-learn is not installed, so we compare with minigen only")
for name, model in theirs.items():
    ours, steps = em(X, path[0], model.n_iter_, floor=1e-6)[0][-1], model.n_iter_
    off = max(
        np.abs(a - b).max()
        for a, b in zip(ours, (model.weights_, model.means_, model.covariances_))
    )
    lesson.verdict(
        f"after {steps} steps from the same start {name} is {off:.0e} from us (limit 1e-6)",
        off < 1e-6,
    )

# %% [markdown]
# ## A component that falls into one point
#
# The likelihood has no largest value. Put one component on a single piece and let its covariance shrink: the density
# there grows without end, and the rest hardly notice. So the highest peaks are infinite, and useless. With many
# components and few points EM climbs them by itself, until a covariance has no inverse. The cure is a **floor**:
# each M-step adds a little to the variances, here $0.02^2$, as we believe no workshop to be exact to 2 cm and 20 g.
# (The library's is `reg_covar`, $10^{-6}$ by default. With it the steps are no longer quite EM's, but close.)


# %%
def collapses(guess, floor):
    try:
        with np.errstate(all="ignore"):
            return (
                not np.linalg.eigvalsh(em(X[:60], guess, 100, floor)[0][-1][2]).min()
                > 1e-10
            )  # NaN counts too
    except np.linalg.LinAlgError:
        return True


guesses = [start(X[:60], 8) for _ in range(10)]
a, b = (sum(collapses(guess, floor) for guess in guesses) for floor in (0.0, 0.02**2))
lesson.verdict(
    f"8 components, 60 pieces: {a} of 10 runs collapse (3 or more), with the floor {b} (0)",
    a > 2 and b == 0,
)

# %% [markdown]
# ## k-means: the limit of small equal circles
#
# **k-means** (Lloyd, 1957) is older and simpler: give each point to the nearest centre, move each centre to the mean
# of its points, repeat. It is EM with equal weights and one fixed covariance $s^2 I$ in the limit $s \to 0$: $r_k$ is
# proportional to $e^{-|x - \mu_k|^2 / 2 s^2}$, for the nearest centre infinitely larger than for the others. So k-means
# believes in round groups of one size. Our long ones it cuts across.

# %%
fig, axes = plt.subplots(
    1, 4, figsize=(16, 4.2), layout="constrained", width_ratios=(1, 1, 1, 1.3)
)
for ax, sd in zip(axes, (0.3, 0.1, 0.0001)):
    soft, hard, agree, circles = (
        path[0][1],
        path[0][1],
        [],
        np.stack([sd**2 * np.eye(2)] * 3),
    )
    for _ in range(40):
        resp = e_step(X, np.full(3, 1 / 3), soft, circles)[0]
        nearest = np.sum((X[:, None] - hard) ** 2, axis=2).argmin(axis=1)
        agree.append(np.mean(resp.argmax(axis=1) == nearest))
        soft, hard = (
            m_step(X, resp)[1],
            np.stack([X[nearest == k].mean(axis=0) for k in range(3)]),
        )
    draw(
        ax,
        resp,
        soft,
        circles,
        f"EM, circles of SD {sd} m" + ": k-means" * (sd < 0.001),
    )
same, off = min(agree), np.abs(soft - hard).max()
found = f"at SD 0.0001 m {same:.3f} of the labels are k-means' in every step (limit 1), last centres {off:.0e} m off"
lesson.verdict(f"{found} (limit 1e-9)", same == 1 and off < 1e-9)
right = lambda groups: max(
    np.mean(np.array(names)[groups] == label) for names in permutations(range(3))
)
a, b = right(nearest), right(e_step(X, *path[-1])[0].argmax(axis=1))
found = f"k-means gives {a:.3f} of the pieces to the right workshop (below 0.9), the mixture {b:.3f} (above 0.97)"
lesson.verdict(found, a < 0.9 and b > 0.97)

# %% [markdown]
# ## How many workshops?
#
# Every further component can raise the likelihood, so it cannot choose their number. The **Bayesian information
# criterion** sets a charge on each of the $P$ free parameters, $\mathrm{BIC} = P \log n - 2 \sum_x \log p(x)$ for $n$
# pieces, and the smallest wins. (A component has a weight, two numbers for its mean and three for its covariance; the
# weights sum to 1, so $P = 6k - 1$.) We try it on new boxes from one to five workshops, with ten starts each.

# %%
settings, hits, boxes = (
    {"tol": 1e-5, "max_iter": 2000, "reg_covar": 1e-4},
    0,
    5 if lesson.quick else 15,
)
fit = lambda k, new: models.GaussianMixture(k, **inits(*start(new, k)), **settings).fit(
    new, rng=rng
)
for workshops in np.arange(boxes) % 5 + 1:
    new = box(workshops)[0]
    bic = np.array([min(fit(k, new).bic(new) for _ in range(10)) for k in range(1, 7)])
    hits += bic.argmin() + 1 == workshops
    axes[3].plot(
        range(1, 7),
        bic - bic.min(),
        "o-",
        ms=4,
        color=(blue, red, gold, black, grey)[workshops - 1],
    )
axes[3].set(
    xlabel="components",
    ylabel="BIC above its minimum",
    title="BIC finds the number",
    ylim=(-20, 600),
)
axes[3].legend(
    axes[3].lines[:5], range(1, 6), title="workshops", frameon=False, loc="upper right"
)
lesson.save(fig, "limits")
lesson.verdict(
    f"BIC finds the number of workshops in {hits} of {boxes} boxes (one miss allowed)",
    hits >= boxes - 1,
)
lesson.end()

# %% [markdown]
# ## Exercises
#
# 1. `spike(sd)`: the log-likelihood of the box with a round component of SD `sd` and weight 1/600 on a piece, and one
#    broad Gaussian for the rest. From `sd` = 1e-5 to 1e-6 it grows by $2 \log 10$ within 0.01. Why the 2?
# 2. `m_step_tied`: one covariance for all components. From our start and with no floor, 40 steps equal those of
#    `models.GaussianMixture` with `covariance_type="tied"` (one precision), `tol=0`, `reg_covar=0` to 1e-6.
# 3. Whole motions: describe clean trajectories of 100 angles by their coordinates along the eight directions in which
#    they differ most (`np.linalg.svd`), and let BIC choose among 1, 3, 10, 20 and 30 Gaussians. New motions have a
#    median `metrics.physics_residual` below 0.015 rad, those of a single Gaussian one above 0.05.
#
# ## Sources
#
# Dempster, Laird & Rubin, *Maximum likelihood from incomplete data via the EM algorithm*, J. R. Stat. Soc. B 39 (1977);
# Neal & Hinton, *A view of the EM algorithm* (1998), for the bound; Lloyd (1957), in IEEE Trans. Inf. Theory 28 (1982);
# Schwarz, *Estimating the dimension of a model*, Ann. Statist. 6 (1978). Bishop's textbook (2006), chapter 9, has all.
