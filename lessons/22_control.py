# %% [markdown]
# # 22. Control: what the latents mean, and how to steer with them
#
# *Part 5: latents. 180 minutes.*
#
# **At the end you can** count the latents that a VAE really uses, find out which cause of the data each one carries,
# explain why its axes lie as they do, and change one property of a generated motion while the others stay.
#
# **It stands on** the VAE, its ELBO and probabilistic PCA (lesson 21), KL divergence (10), polynomials and fits (2).
#
# Lesson 21's VAE had six latents and used few of them. How many, and why? A physicist knows before any training. We
# draw four **factors** for each pendulum: $\theta_0$, $\omega_0$, length $L$ and mass $m$. But
# $\ddot\theta = -(g/L)\sin\theta$ has no mass, so motions differ in three ways only: $\theta_0$, $\omega_0$ and $g/L$.
# With drag, $\ddot\theta = -(g/L)\sin\theta - (c/m)\,\dot\theta$, the mass comes in after all, and there are four. The
# network sees curves, no factor and no equation. Does it count like that?

# %%
from itertools import combinations_with_replacement

import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import datasets, distributions, metrics, models
from minigen.metrics import latents
from minigen.physics import pendulum

lesson = Lesson("22_control")
rng, quick, DRAGS = lesson.rng, lesson.quick, (0.0, 0.5)  # drag c in kg/s
draw = lambda c: datasets.pendulum_trajectories(
    4000, rng, view=100, noise=False, drag=c
)
train, test = (
    {c: draw(c) for c in DRAGS} for _ in range(2)
)  # 4000 motions for each drag, and as many held out

# %% [markdown]
# ## A price on every nat
#
# The **beta-VAE** changes one number in lesson 21's loss: the KL term gets the weight $\beta$,
#
# $$ \text{loss} = -\mathrm E_q \log p(x \mid z) + \beta\, \mathrm{KL}\big(q(z \mid x)\,\|\,\mathcal N(0, I)\big). $$
#
# The encoder guesses each latent, by a mean $\mu(x)$ and an SD $s(x)$, and the KL term sums
# $\tfrac12(\mu^2 + s^2 - 1) - \log s$ over latents: zero for one that says nothing ($\mu = 0$, $s = 1$ for every $x$).
# One that speaks pays $\beta$ for each nat, and will only if the curves get better in return. Where three have told
# $\theta_0$, $\omega_0$ and $g/L$, a fourth could but repeat it, and pay again. So we expect three that speak, over a
# whole range of $\beta$. We call a latent **alive** if it carries more than half a nat, on average over motions.
#
# A detail: while curves are still bad, a large $\beta$ may silence a latent for good. So it climbs from 0 during a
# short **warm-up**. In a long one, all six get used while they cost nothing, and two may then go on sharing one task.

# %%
LATENT, ALIVE, settings = (
    6,
    0.5,
    {"hidden": (256, 128), "steps": 5000, "warmup": 250, "lr": 2e-3},
)
if quick:
    settings = {"hidden": (128, 64), "steps": 2500, "warmup": 150, "lr": 4e-3}
learn = lambda drag, beta, **more: models.VAE(
    LATENT, beta=beta, **settings, **more
).fit(train[drag].theta, rng=rng)
betas, vaes, codes, nats, alive, off = (2,) if quick else (2, 4), {}, {}, {}, {}, 0.0
for key in [(c, beta) for c in DRAGS for beta in betas] + [(0.0, 20)]:
    vaes[key] = learn(*key)
    codes[key], s = map(
        np.float64, vaes[key].encode(test[key[0]].theta)
    )  # of held-out motions: means, SDs
    kl = np.mean((codes[key] ** 2 + s**2 - 1) / 2 - np.log(s), axis=0)
    off, order = (
        max(off, np.abs(kl - latents.kl_per_latent(codes[key], s)).max()),
        np.argsort(-kl),
    )  # strongest first
    nats[key], alive[key] = kl[order], order[kl[order] > ALIVE]
    print(
        "drag {} kg/s, beta {:2}: nats per latent, sorted:".format(*key),
        *nats[key].round(2),
    )
lesson.verdict(
    f"our nats per latent are those of latents.kl_per_latent to {off:.0e} (limit 1e-6)",
    off < 1e-6,
)
for c, n in zip(DRAGS, (3, 4)):
    least, most = (
        min(nats[c, beta][n - 1] for beta in betas),
        max(nats[c, beta][n] for beta in betas),
    )
    found = f"drag {c:g} kg/s, beta {' and '.join(map(str, betas))}: exactly {n} latents are alive, each with"
    found += f" {least:.2f} nats or more (above 0.5); the others have {most:.2f} at most (below 0.5)"
    lesson.verdict(found, least > ALIVE > most)
lesson.verdict(
    f"at beta 20, {len(alive[0.0, 20])} are alive without drag (fewer than 3)",
    len(alive[0.0, 20]) < 3,
)

# %% [markdown]
# The network counts like a physicist. The study that this course follows trained with $\beta = 10$, expected four, as
# four numbers had been drawn, and was puzzled by three. But the mass drops out, and the network had noticed. (10 is
# near the edge: now and then the third latent never wakes. `tests/benchmarks/pendulum_latents.py` shows more.)
#
# ## What does each one carry?
#
# How much does a latent tell about a factor? Cut both axes into 20 bins, and let $p_{ab}$ be the share of motions in
# bin $a$ of the one and bin $b$ of the other. Of unrelated ones it would be $p_a\, p_b$. Lesson 10's KL divergence
# between the two, $\sum_{a,b} p_{ab} \log\big(p_{ab}/(p_a\, p_b)\big)$, is the **mutual information**. It sees bent
# relations too. (Chance adds about $19^2/2n$ nats, here 0.045.) For all latents together we fit a polynomial.


# %%
def mutual_information(a, b):
    joint = np.histogram2d(a, b, bins=20)[0] / len(a)
    apart, seen = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0), joint > 0
    return np.sum(joint[seen] * np.log(joint[seen] / apart[seen]))


def explained(z, factor):
    """R^2 of a factor from all columns of z by polynomials of degree 3 (lesson 2), on the half not fitted."""
    columns, half = (
        [np.ones(len(z)), *z.T],
        len(z) // 2,
    )  # products of three of these, 1 among them, are all we need
    cubic = np.stack(
        [np.prod(three, axis=0) for three in combinations_with_replacement(columns, 3)],
        axis=1,
    )
    rest = factor - cubic @ np.linalg.lstsq(cubic[:half], factor[:half], rcond=None)[0]
    return 1 - np.mean(rest[half:] ** 2) / np.var(factor[half:])


symbols = {
    "theta0": "θ₀",
    "omega0": "ω₀",
    "g_over_l": "g/L",
    "damping": "c/m",
    "mass": "mass",
}
shown, off, told = (
    [(c, 2) for c in DRAGS],
    0.0,
    [],
)  # we look into the two VAEs of beta 2
for key in shown:
    data, z = test[key[0]], codes[key][:, alive[key]]
    factors = data.factors if data.drag else data.factors | {"mass": data.mass}
    table = np.array(
        [[mutual_information(column, f) for f in factors.values()] for column in z.T]
    )
    off = max(off, np.abs(table - latents.mutual_information(z, factors)).max())
    told.append([explained(z, f) for f in factors.values()])
    print(
        "drag {} kg/s, beta {}: columns".format(*key),
        *(symbols[name] for name in factors),
    )
    print(
        f"nats of latents {alive[key]}:\n{table.round(2)}\nR^2 from all of them:",
        *np.round(told[-1], 3),
    )
lesson.verdict(
    f"our nats about factors are those of latents.mutual_information to {off:.0e} (limit 1e-3)",
    off < 1e-3,
)
(*three, mass), four = told
found = f"three latents tell θ₀, ω₀ and g/L with R^2 {min(three):.3f} or more (above 0.8), the mass with {mass:.3f}"
lesson.verdict(f"{found} (below 0.05)", min(three) > 0.8 and mass < 0.05)
lesson.verdict(
    f"with drag, four tell all factors with R^2 {min(four):.3f} or more (above 0.8)",
    min(four) > 0.8,
)

# %% [markdown]
# Together the latents know nearly all there is to know, and nothing of a mass without effect. One by one they are less
# tidy. Without drag one is mostly for $\omega_0$, but the two strongest share $\theta_0$ and $g/L$; with drag they mix
# more. **Traversals** let us see: take a code, move one of its latents, decode. Mind that they show one place, here the
# code 0. Elsewhere the same latent may do something else; the table speaks of all codes.

# %%
fig, axes = plt.subplots(2, 4, figsize=(15.5, 7.4), layout="constrained")
for row, key in zip(axes, shown):
    t, drag = test[key[0]].t, key[0] > 0
    for ax, i, kl in zip(row, alive[key], nats[key]):
        curves = latents.traversal(vaes[key], i, [0, 1, -1], z=np.zeros(LATENT))
        for curve, name, colour in zip(
            curves, ("base", "up by 1", "down by 1"), ("#1f5fa8", "#2e7d32", "#b3261e")
        ):
            ax.plot(t, curve, color=colour, lw=2, label=name)
        fit = metrics.physics_residual(curves, t, drag=drag).factors
        change = ",  ".join(
            f"{symbols[name]} {v[1] - v[2]:+.2f}" for name, v in fit.items()
        )
        ax.set_title(f"latent {i}, {kl:.1f} nats\n{change}", fontsize=9)
        ax.set(xlabel="time (s)", ylim=(-1.9, 1.9))
    row[0].set_ylabel(f"angle (rad), {'drag 0.5 kg/s' if drag else 'no drag'}")
axes[0, 0].legend(frameon=False, ncols=3, fontsize=9, loc="lower center")
for (drag, beta), kl in nats.items():
    style = {
        "color": "#d9822b" if drag else "#000",
        "ls": {2: "-", 4: "--", 20: ":"}[beta],
    }
    axes[0, 3].plot(
        range(1, 7),
        kl,
        marker="o",
        **style,
        label=f"{'drag' if drag else 'no drag'}, β = {beta}",
    )
axes[0, 3].axhline(ALIVE, color="#777", lw=1)
axes[0, 3].set(
    xlabel="latents, sorted",
    ylabel="nats carried",
    ylim=(-0.4, 10),
    title="Above the grey line: alive",
)
axes[0, 3].legend(frameon=False, fontsize=9, loc="upper right")
fig.suptitle(
    "One latent moves, the others stay at 0. Above: change from red to green, in rad, rad/s, 1/s² and 1/s"
)
lesson.save(fig)

# %% [markdown]
# ## Why do the axes lie as they do?
#
# The prior $\mathcal N(0, I)$ is round. Turn all codes by a rotation $R$ and let the decoder turn them back: the same
# curves, equally likely. Then what chooses the axes? Look at lesson 21's linear case. Its best $W$ has orthogonal
# columns; we turn it to $V = WR$. The true posterior of $z$ then has the covariance $M^{-1}$ with
# $M = I + V^\top V/\sigma^2$. A guess with a **full covariance** can be just that, for every $R$. A **diagonal** guess,
# one SD for each latent, cannot lean. Its KL from the posterior, which is what the ELBO loses, is least with the
# variances $1/M_{ii}$, and then $\tfrac12\big(\sum_i \log M_{ii} - \log\det M\big)$ nats. That is zero only if $M$ is
# diagonal: if the columns of $V$ are orthogonal.

# %%
values, vectors = np.linalg.eigh(
    np.cov(train[0.0].theta.T, bias=True)
)  # from small to large
var = values[:-3].mean()
W = (vectors[:, -3:] * np.sqrt(values[-3:] - var))[
    :, ::-1
]  # lesson 21: the best weights, strongest column first


def lost(i, j, angle):
    """What the best diagonal guess loses with axes i and j of W turned: nats by library and by formula."""
    V, c, s = W.copy(), np.cos(angle), np.sin(angle)
    V[:, [i, j]] = W[:, [i, j]] @ [[c, -s], [s, c]]
    M = np.eye(3) + V.T @ V / var
    posterior = distributions.MultivariateNormal.from_covariance(
        np.zeros(3), np.linalg.inv(M)
    )
    guess = distributions.Normal(np.zeros(3), 1 / np.sqrt(np.diag(M)))
    formula = 0.5 * (np.log(np.diag(M)).sum() - np.linalg.slogdet(M)[1])
    return distributions.kl_divergence(guess, posterior).value, formula


angles, planes = np.radians(np.arange(0, 181, 5)), ((0, 1), (0, 2), (1, 2))
losses, formula = np.moveaxis(
    [[lost(*plane, angle) for angle in angles] for plane in planes], 2, 0
)
off, most, least = (
    np.abs(losses - formula).max(),
    losses.max(axis=1),
    np.abs(losses[:, ::18]).max(),
)
found = f"turned axes cost diagonal guesses up to {' / '.join(f'{v:.2f}' for v in most)} nats (above 0.05), at 0, 90,"
found += f" 180 degrees {least:.0e} (limit 1e-6); formula and library differ by {off:.0e} (limit 1e-6)"
lesson.verdict(found, most.min() > 0.05 and max(least, off) < 1e-6)

# %% [markdown]
# In our networks a bent decoder takes the place of $W$, and slopes that of its columns: how the curve changes, in units
# of the decoder's SD, as one latent moves. Are they orthogonal? We take the cosine between the slopes of two latents: 0
# if they are, $\pm 1$ if both latents do the same. Beside it stands a VAE whose encoder gives a full covariance.

# %%
key, free = shown[0], learn(*shown[0], posterior="full")
means, roots = free.encode(
    test[0.0].theta
)  # roots (4000, 6, 6): triangular, times its transpose it is the covariance
living, largest = np.flatnonzero(latents.kl_per_latent(means, roots) > ALIVE), []
for vae, z, which in (
    (vaes[key], codes[key][:500], alive[key]),
    (free, means[:500], living),
):
    moves = 0.01 * np.eye(LATENT)[which]  # one row for each living latent
    slopes = np.stack(
        [(vae.decode(z + m) - vae.decode(z - m)) / vae.decoder_sd_ for m in moves]
    )
    slopes /= np.linalg.norm(slopes, axis=2, keepdims=True)
    cosines = np.median(np.abs(np.einsum("ind,jnd->nij", slopes, slopes)), axis=0)
    largest.append(np.max(cosines - np.eye(len(moves))))
found = f"largest |cosine| of two living latents (median over codes): {largest[0]:.2f} for diagonal guesses (below 0.4)"
lesson.verdict(
    f"{found}, {largest[1]:.2f} for full ones (above 0.6)",
    largest[0] < 0.4 and largest[1] > 0.6,
)

# %% [markdown]
# Diagonal guesses align the axes, but with *orthogonal changes of the curve*, as PCA does, not with the axes of
# physics: $\theta_0$ and $g/L$ do not change the curve orthogonally, so two latents share them. With full guesses not
# even that keeps the axes apart: a cosine near 1 means two latents that do the same.
#
# ## Steering
#
# Three knobs that each turn several things are still three knobs. Decode, fit the equation of motion (lesson 3), and
# note what a small move of each living latent does to the fitted factors, in their SDs: a $3 \times 3$ table of slopes,
# $J$. To raise $g/L$ alone by $\Delta$, solve $J\,\Delta z = (0, 0, \Delta)$ and move by $\Delta z$. As $J$ changes on
# the way, do it three times (Newton's method). We steer the codes of held-out pendulums that lie well inside the data.

# %%
t, factors = (
    test[0.0].t,
    np.array(list(test[0.0].factors.values())),
)  # factors: theta0, omega0, g/L, (3, 4000)
sd, moves = factors.std(axis=1), np.eye(LATENT)[alive[key]]
fitted = lambda z: (
    np.stack(
        list(metrics.physics_residual(vaes[key].decode(z), t).factors.values()), axis=1
    )
    / sd
)
# J (n, 3 factors, 3 latents): by how many SDs each fitted factor changes as a living latent moves by 1.
slopes_at = lambda z: (
    np.stack([fitted(z + 0.05 * m) - fitted(z - 0.05 * m) for m in moves], axis=2) / 0.1
)
outward = np.argsort(
    np.abs((factors.T - factors.mean(axis=1)) / sd).max(axis=1)
)  # the most average pendulum first
start = codes[key][outward[: 1200 : 100 if quick else 30]]
before, J, moved = fitted(start), slopes_at(start), start.copy()
goal = before + np.array([0, 0, 1 / sd[2]])  # g/L up by 1/s^2
print(
    f"sizes of J, rows latents {alive[key]}, columns θ₀ ω₀ g/L:\n{np.abs(J).mean(axis=0).T.round(2)}"
)
for n in range(3):
    step = np.linalg.solve(
        slopes_at(moved) if n else J, (goal - fitted(moved))[..., None]
    )[..., 0]
    moved[:, alive[key]] += np.clip(step, -1, 1)
rise, side = (
    (fitted(moved) - before)[:, 2] * sd[2],
    np.abs((fitted(moved) - before)[:, :2]).max(axis=1),
)
alone = (
    np.min(np.abs(J[:, :2] / J[:, 2:]).max(axis=1), axis=1) / sd[2]
)  # by the table, the latent that does least else
found = f"medians: g/L rises by {np.median(rise):.3f}/s² (1 within 0.05), θ₀ and ω₀ move by {np.median(side):.3f} SD"
found += f" (below 0.05); with the best single latent they would by {np.median(alone):.2f} (above 0.2)"
lesson.verdict(
    found,
    abs(np.median(rise) - 1) < 0.05
    and np.median(side) < 0.05
    and np.median(alone) > 0.2,
)
theta0, omega0, g_over_l = goal[0] * sd
asked = pendulum.simulate(theta0, omega0, pendulum.GRAVITY / g_over_l).theta[::5]
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
for plane, lower, colour in zip(planes, -losses, ("#1f5fa8", "#b3261e", "#d9822b")):
    left.plot(
        np.degrees(angles),
        lower,
        color=colour,
        lw=2,
        label=f"diagonal, axes {plane[0] + 1} and {plane[1] + 1}",
    )
left.axhline(0, color="#000", lw=2, label="full covariance")
left.set(
    xlabel="axes turned by (degrees)",
    ylabel="ELBO less exact log-likelihood (nats)",
    ylim=(-1, 0.05),
)
left.set(xticks=range(0, 181, 45), title="A diagonal guess minds how the axes lie")
left.legend(frameon=False, ncols=2, fontsize=9, loc="lower center")
for curve, style in zip(
    (*vaes[key].decode(np.stack([start[0], moved[0]])), asked),
    ("#1f5fa8", "#2e7d32", "k--"),
):
    right.plot(t, curve, style, lw=2)
right.set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    ylim=(-1.8, 2.2),
    title="Steered: g/L up by 1/s², and nothing else",
)
right.legend(
    ["before", "after", "what we asked for"],
    frameon=False,
    ncols=3,
    fontsize=9,
    loc="upper center",
)
lesson.save(fig, "steering")
lesson.end()

# %% [markdown]
# To write $J$ we needed names for the factors, and those came from us. Nothing in the curves says that "$g/L$" is a
# better knob than a mixture: without labels or further assumptions nobody can tell (Locatello et al. prove it).
#
# ## Exercises
#
# 1. Train `models.VAE(3, (), decoder_sd=0.25, lr=0.01)`, a linear one, on noisy trajectories, with each `posterior`.
#    The largest |cosine| between columns of `network_.decoder[0].weight` is smaller for "diagonal", and below 0.3.
# 2. `reach(z, target)`: steer from `np.zeros(6)` to 1.1 rad, 0.9 rad/s, 6/s². The fit is within 0.05 SD of each.
# 3. With `capacity=10` and `beta=50` the nats of all latents add up to 10 within 1.
#
# ## Sources
#
# Higgins et al., *beta-VAE*, ICLR 2017; Burgess et al., NIPS workshop 2017 (exercise 3). Sonderby et al., NIPS 2016:
# warm-up. Chen et al., NeurIPS 2018: mutual information. Lucas et al., *Don't blame the ELBO!*, NeurIPS 2019, Rolinek
# et al., CVPR 2019: the axes. Locatello et al., ICML 2019. Honchar, *From high-school physics to GANs* (2021).
