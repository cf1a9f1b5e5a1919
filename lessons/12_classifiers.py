# %% [markdown]
# # 12. Two ways to tell classes apart
#
# **At the end you can** turn "what does this class look like?" into "which class is this?", write both kinds of
# classifier by hand, and say when an assumption saves data and when it costs. **It stands on** lesson 10's likelihood.
#
# A workshop makes pendulums of 1.0 m and 1.2 m, and the labels have come off. No length is exact (SD 4 %), nor is the
# tape (4 %), nor the stopwatch (2 %). A **reading** $x$ is the logarithms of length and period: errors in per cent
# become errors of fixed size, and $T = 2\pi\sqrt{L/g}$ a line, $\ln T = \frac12\ln L + \ln(2\pi/\sqrt g)$. The readings
# of one kind are a **Gaussian in two dimensions**, with a mean point $\mu$ and a **covariance matrix** $\Sigma$, the
# mean of $(x - \mu)(x - \mu)^\top$: variances on the diagonal, beside it how both vary together. As in lesson 9, only
# with $\Sigma$ for $\sigma^2$, $\ln p(x) = -\frac12(x - \mu)^\top\Sigma^{-1}(x - \mu) - \frac12\ln\det 2\pi\Sigma$.

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import datasets, divergences, metrics, models

lesson = Lesson("12_classifiers")
rng = lesson.rng
MADE, TAPE, WATCH, LENGTHS = (
    0.04,
    0.04,
    0.02,
    np.array([1.0, 1.2, 0.5]),
)  # the third length: toys, for later


def measure(kind, rng):
    """Readings (n, 2), ln of length in m and of period in s, of pendulums of the kinds 0, 1 or 2, (n,)."""
    log_length = np.log(LENGTHS[kind]) + MADE * rng.standard_normal(len(kind))
    log_period = np.log(2 * np.pi / np.sqrt(9.81)) + 0.5 * log_length
    return np.stack([log_length, log_period], axis=1) + rng.standard_normal(
        (len(kind), 2)
    ) * [TAPE, WATCH]


MU = np.stack(
    [np.log(LENGTHS), np.log(2 * np.pi * np.sqrt(LENGTHS / 9.81))], axis=1
)  # (kind, feature)
SIGMA = MADE**2 * np.array([[1, 0.5], [0.5, 0.25]]) + np.diag(
    [TAPE**2, WATCH**2]
)  # of making (ln T: half), errors
gauss = lambda x, mean, var: (
    np.exp(-0.5 * (x - mean) ** 2 / var) / np.sqrt(2 * np.pi * var)
)  # of one number

# %% [markdown]
# ## Bayes' rule
#
# A pendulum took 2.15 s. Is it a long one? We know the density $p(x \mid c)$ of readings $x$ from each kind, or
# **class**, $c$, and want to turn that round. A share $p(c)$ of the pendulums, the **prior**, is of kind $c$. All kinds
# together show $x$ with density $\sum_k p(k)\,p(x \mid k)$, and of this the part due to $c$ is
#
# $$ p(c \mid x) = \frac{p(c)\,p(x \mid c)}{\sum_k p(k)\,p(x \mid k)}, $$
#
# **Bayes' rule**. The same reading means less where long pendulums are rare. We check the rule by counting.

# %%
answers = []
for prior in (0.5, 0.05):
    short, long = (
        share * gauss(np.log(2.15), MU[c, 1], SIGMA[1, 1])
        for c, share in enumerate((1 - prior, prior))
    )
    kind = (rng.random(1_000_000) < prior).astype(int)
    seen = np.abs(np.exp(measure(kind, rng)[:, 1]) - 2.15) < 0.005
    answers.append((long / (short + long), kind[seen].mean()))
found = "at 2.15 s it is long with probability {:.3f} (counted {:.3f}) if half are, {:.3f} ({:.3f}) if one in twenty is"
off = np.abs(np.diff(answers)).max()
lesson.verdict(
    f"{found.format(*answers[0], *answers[1])}: {off:.3f} off (limit 0.03)", off < 0.03
)

# %% [markdown]
# ## Generative: describe each class, then apply the rule
#
# A **generative** classifier learns $p(c)$ and $p(x \mid c)$. **Gaussian discriminant analysis** takes Gaussians. Most
# likely are the mean and the covariance of each class's readings. If the classes (0: short, 1: long) *share* one
# $\Sigma$, then $x^\top\Sigma^{-1}x$ cancels in the **log-odds**; the border, where they are 0, is a straight line:
#
# $$ \ln\frac{p(1 \mid x)}{p(0 \mid x)} = w \cdot x + b, \quad w = \Sigma^{-1}(\mu_1 - \mu_0), \quad
# b = -\tfrac12 w\cdot(\mu_0 + \mu_1) + \ln\frac{p(1)}{p(0)}. $$
#
# ## Discriminative: describe the border only
#
# If only the line matters, why describe the classes? A **discriminative** classifier learns $p(c \mid x)$ and nothing
# else. **Logistic regression** says $p(1 \mid x) = 1/(1 + e^{-w\cdot x - b})$, whose log-odds are $w\cdot x + b$ again,
# and takes the $w, b$ for which the mean surprise at the labels is least, by lesson 10's Newton's method.


# %%
def discriminant(X, y):
    """w (2,) and b from the classes' means and their shared covariance; y (n,) holds 0 and 1."""
    means = np.stack([X[y == c].mean(axis=0) for c in (0, 1)])
    w = np.linalg.solve(
        (X - means[y]).T @ (X - means[y]) / len(X), means[1] - means[0]
    )  # covariance, difference
    return w, -w @ means.sum(axis=0) / 2 + np.log(y.mean() / (1 - y.mean()))


def logistic(X, y):
    """w (2,) and b by maximum likelihood."""
    A, v = (
        np.column_stack([X - X.mean(axis=0), np.ones(len(X))]),
        np.zeros(3),
    )  # v: w and b
    for _ in range(20):
        p = 1 / (1 + np.exp(-A @ v))
        v = v - np.linalg.solve(
            (A.T * p * (1 - p)) @ A, A.T @ (p - y)
        )  # curvature, slope
    return v[:2], v[2] - v[:2] @ X.mean(axis=0)


kind = np.arange(20_000) % 2
X, X_test = (
    measure(kind, rng),
    measure(kind, rng),
)  # to learn from, and fresh ones of the same kinds
w = np.linalg.solve(SIGMA, MU[1] - MU[0])
lines = (
    discriminant(X, kind),
    logistic(X, kind),
    (w, -w @ (MU[0] + MU[1]) / 2),
)  # the last one from the truth
sides = np.array([X_test @ w + b > 0 for w, b in lines])
apart, wrong = 100 * np.mean(sides[0] != sides[1]), 100 * np.mean(sides != kind, axis=1)
found = f"the two lines part {apart:.2f} % of fresh readings differently (limit 0.4), and err on"
found += " {:.2f} and {:.2f} %, the exact line on {:.2f} (limit 0.15 more)".format(
    *wrong
)
lesson.verdict(found, apart < 0.4 and wrong[:2].max() < wrong[2] + 0.15)
gda, regression = (
    models.GaussianDiscriminant().fit(X, kind),
    models.LogisticRegression(C=np.inf).fit(X, kind),
)
ours = [1 / (1 + np.exp(-X_test @ w - b)) for w, b in lines[:2]]
gap = max(
    np.abs(m.predict_proba(X_test)[:, 1] - p).max()
    for m, p in zip((gda, regression), ours)
)
lesson.verdict(
    f"both models of minigen give our probabilities, to {gap:.0e} (limit 1e-8)",
    gap < 1e-8,
)

# %% [markdown]
# ## Few readings, and a wrong assumption
#
# The same line, then, from twenty thousand readings. And from twenty? Our Gaussians are true, and to know something
# true should help. But now let three in ten of the short ones be toys of 0.5 m: "short" is two clouds, no Gaussian. The
# toys lie far from the border and change nothing there. We learn from many random drawers of pendulums and average.
# Where a line parts a few readings without error, a larger $w$ is always likelier. So the library can add a **penalty**
# $|w|^2/(2C)$ to the total surprise. With features in units of their SD, $C = 10^6$ just stops that; $C = 1$ is usual.

# %%
sizes, draws = np.array([8, 16, 32, 64, 128, 256, 512]), 100 if lesson.quick else 300


def drawer(n, toys):
    """n readings (n, 2) of short and long pendulums in turn, a share of the short ones toys; and their kinds (n,)."""
    kind = np.arange(n) % 2
    kind[(kind == 0) & (rng.random(n) < toys)] = 2
    return measure(kind, rng), kind


def errors(toys):
    """Per cent of wrong answers: (3 classifiers, sizes, draws), and of the exact line."""
    (fresh, kind), out = drawer(10_000, toys), np.empty((3, len(sizes), draws))
    wrong = lambda w, b: 100 * np.mean((fresh @ w + b > 0) != (kind == 1))
    for j, k in np.ndindex(len(sizes), draws):
        X, y = drawer(sizes[j], toys)
        y, sd = (y == 1).astype(int), X.std(axis=0)
        out[0, j, k] = wrong(*discriminant(X, y))
        for i, C in ((1, 1e6), (2, 1.0)):
            model = models.LogisticRegression(C).fit(X / sd, y)
            out[i, j, k] = wrong(
                model.coef_[0] / sd, model.intercept_[0]
            )  # w of readings in SDs, back to plain ones
    return out, wrong(*lines[2])


(good, least), (bad, least_bad) = errors(0.0), errors(0.3)
(a, b, c), (d, e, f) = good.mean(axis=2), bad.mean(axis=2)
se = np.hypot(*good[:2, 2].std(axis=1)) / np.sqrt(
    draws
)  # standard error of the difference at 32 readings
need = [
    2 ** np.interp(-least - 0.5, -mean, np.log2(sizes)) for mean in (a, b)
]  # read off between the sizes
found = f"assumption true: {need[0]:.0f} readings are enough to come within 0.5 % of the best, discriminative"
found += f" {need[1]:.0f} (at least 1.5 times); with 32 it is {b[2] - a[2]:.2f} +- {se:.2f} % less often wrong"
lesson.verdict(
    f"{found} (at least 2 standard errors)",
    need[1] > 1.5 * need[0] and b[2] - a[2] > 2 * se,
)
found = f"assumption false, 512 readings: generative {d[-1]:.1f} % wrong, discriminative {e[-1]:.1f} (below a third)"
lesson.verdict(found, 3 * e[-1] < d[-1])
found = f"16 readings, C = 1: {c[1]:.1f} % wrong (1e6: {b[1]:.1f}, more); with toys {f[1]:.1f} (1e6: {e[1]:.1f}, fewer)"
lesson.verdict(found, c[1] < b[1] and f[1] > e[1])

blue, red, gold = ({"color": c, "lw": 2} for c in ("#1f5fa8", "#b3261e", "#d9822b"))
names = ("generative", "discriminative", "discriminative, C = 1")
fig, axes = plt.subplots(2, 2, figsize=(11.5, 8.6), layout="constrained")
for (top, bottom), toys, wrong, exact in zip(
    axes.T, (0.0, 0.3), (good, bad), (least, least_bad)
):
    X, kind = drawer(4000, toys)
    y, x = (kind == 1).astype(int), np.log([0.85, 1.4])
    top.scatter(*np.exp(X[:400]).T, c=np.where(y[:400], "#e5b27a", "#999"), s=5)
    for (w, b), style, name in zip(
        (discriminant(X, y), logistic(X, y)), (blue, red), names
    ):
        top.plot(np.exp(x), np.exp(-(w[0] * x + b) / w[1]), **style, label=name)
    for out, style, name in zip(wrong, (blue, red, gold), names):
        bottom.errorbar(
            sizes,
            out.mean(axis=1),
            2 * out.std(axis=1) / np.sqrt(draws),
            **style,
            capsize=3,
            label=name,
        )
    bottom.axhline(
        exact, color="#000", lw=1, ls="--", label="exact line between 1.0 and 1.2 m"
    )
    top.set(
        xlabel="length by tape (m)",
        ylabel="period by watch (s)",
        xlim=(0.4, 1.5),
        ylim=(1.3, 2.6),
    )
    top.set_title(
        "It fails: three in ten of the short are toys"
        if toys
        else "The assumption holds: red covers blue"
    )
    top.legend(
        frameon=False, loc="lower right", title="border of short (grey) and long"
    )
    bottom.set(
        xlabel="readings learned from",
        ylabel="wrong (%), with 2 standard errors",
        ylim=(0, None),
    )
    bottom.set_xscale("log", base=2)
    bottom.set_xticks(sizes, sizes)
axes[1, 0].legend(frameon=False, loc="lower left")
lesson.save(fig)

# %% [markdown]
# Toys drag the mean and stretch the covariance, and the generative line turns away; the other one hardly sees them, as
# $p - y$ is nearly 0 there. (As a third class they do no harm: exercise 1.) With eight readings even a covariance is
# guesswork. And on the left the golden curve beats both: a penalty is an assumption too, "weights are small". **What
# you put in saves data if it is true, and costs if it is false**; more data cure a penalty, but not a wrong model.
#
# ## What only the generative one can do
#
# It knows how readings look, not just where the border runs. So it can **fill in**: without a tape, $\ln L$ of a
# pendulum of class $c$ that took $T$ has mean $\mu_L + \Sigma_{LT}\Sigma_{TT}^{-1}(\ln T - \mu_T)$, a fitted line, and
# Bayes' rule weighs the classes. It can **generate**: draw a class, then a reading. And it tells what it has learned.


# %%
def length_from(log_period, means, cov):
    """Mean of ln L given ln T (n,), for two classes of equal priors: (n,)."""
    joint = [gauss(log_period, mean[1], cov[1, 1]) for mean in means]
    given = [mean[0] + cov[0, 1] / cov[1, 1] * (log_period - mean[1]) for mean in means]
    return np.average(given, axis=0, weights=joint)


filled = gda.fill_in(np.column_stack([np.full(len(X_test), np.nan), X_test[:, 1]]))[
    :, 0
]
gap = np.abs(filled - length_from(X_test[:, 1], gda.means_, gda.covariances_)).max()
rmse = lambda guess: 100 * np.sqrt(np.mean((guess - X_test[:, 0]) ** 2))
ideal, plain = (
    rmse(length_from(X_test[:, 1], MU[:2], SIGMA)),
    rmse(gda.means_[:, 0].mean()),
)
found = f"missing lengths filled in to {rmse(filled):.2f} %, as by our formula to {gap:.0e} (limit 1e-10), by the truth"
found += f" to {ideal:.2f} (limit 1.02 of it), by the mean of all to {plain:.1f} (limit 0.6 of it)"
lesson.verdict(found, gap < 1e-10 and rmse(filled) < min(1.02 * ideal, 0.6 * plain))
slope = np.divide(*(gda.means_[1] - gda.means_[0])[::-1])  # of ln T over ln L
g = 4 * np.pi**2 * np.exp(gda.means_[:, 0].mean() - 2 * gda.means_[:, 1].mean())
found = f"its means say T ~ L^{slope:.3f} (0.5 to 0.02) and g = {g:.2f} m/s^2 (9.81 to 0.05)"
lesson.verdict(found, abs(slope - 0.5) < 0.02 and abs(g - 9.81) < 0.05)
farther, distance = (
    [],
    divergences.energy_distance,
)  # 2 E|x - y| - E|x - x'| - E|y - y'|: 0 for equals
for toys in (0.0, 0.3):
    X, kind = drawer(20_000, toys)
    model, real = (
        models.GaussianDiscriminant().fit(X, kind == 1),
        [drawer(1000, toys)[0] for _ in range(40)],
    )
    among = np.mean([distance(a, b) for a, b in zip(real[::2], real[1::2])])
    farther.append(
        np.mean([distance(a, model.sample(1000, rng)) for a in real]) / among
    )
found = f"energy distance of generated readings from real ones, over that among real ones: {farther[0]:.1f} (limit 4)"
lesson.verdict(
    f"{found}, with toys {farther[1]:.0f} (at least 20)",
    farther[0] < 4 and farther[1] > 20,
)

# %% [markdown]
# With toys it invents pendulums between the clouds. **To see whether a model assumes too much, see what it generates.**
#
# ## Something larger: whole trajectories
#
# Fifty angles over 5 s are a point in 50 dimensions, and the formulas do not mind. Two classes, 1.0 to 1.2 m and 1.8 to
# 2.2 m, noise-free, each with a covariance of its *own*, for they swing at different rates. (The border is then
# curved.) Our first generator of motions that was told no physics! Its judge is lesson 3's **physics residual**, the
# distance of a curve from the nearest motion of a pendulum. And it can foretell: hide the second half, and fill it in.

# %%
sets = [
    datasets.pendulum_trajectories(1500, rng, length=L, view=50, noise=False)
    for L in ((1.0, 1.2), (1.8, 2.2))
]
order, t = rng.permutation(3000), sets[0].t
curves, y = (
    np.concatenate([each.theta for each in sets])[order],
    np.repeat([0, 1], 1500)[order],
)
truth, score = (
    curves[2000:],
    lambda a: np.median(metrics.physics_residual(a, t).residual),
)
model = models.GaussianDiscriminant("own", reg_covar=1e-6).fit(
    curves[:2000], y[:2000]
)  # adds 1 mrad of noise
drawn, ahead = model.sample(200, rng), model.fill_in(np.where(t < t[25], truth, np.nan))
generated, control = score(drawn), score(metrics.shuffled_control(truth[:200], rng))
found = f"physics residual of generated motions {generated:.3f} rad (limit 0.06), shuffled {control:.2f} (above 0.4)"
lesson.verdict(found, generated < 0.06 and control > 0.4)
off, spread = np.sqrt(np.mean((ahead - truth)[:, 25:] ** 2)), truth[:, 25:].std()
lesson.verdict(
    f"the second half, of SD {spread:.2f} rad, is foretold to {off:.3f} rad (limit 0.03)",
    off < 0.03,
)

fig, axes = plt.subplots(1, 2, figsize=(11.5, 4), layout="constrained")
for curve, guess, new, style in zip(truth, ahead, drawn, (blue, red, gold)):
    axes[0].plot(t, new, **style)
    axes[1].plot(t, curve, "k.", ms=4)
    axes[1].plot(t[25:], guess[25:], **style)
axes[0].set(xlabel="time (s)", ylabel="angle (rad)", title="Three generated motions")
axes[1].set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    title="Foretold from the first half (dots: truth)",
)
lesson.save(fig, "motions")
lesson.end()

# %% [markdown]
# A Gaussian can only add fixed curves, more or less of each, to a mean, and other rates need more than that: its
# residual is not zero, and is what a network must beat.
#
# ## Exercises
#
# 1. `three(X, kind)`: our `discriminant` for three classes. From 512 readings, toys as a third class, it errs on less
#    than 4 % of fresh ones, and gives the $p(c \mid x)$ of `models.GaussianDiscriminant()` to 1e-8.
# 2. `missing_tape(log_period)`: the probability of long from the period alone. It errs on 5 to 6.5 % of fresh readings.
# 3. Move the prior: learn from half long, test where one in twenty is. With $b$ corrected for the new prior the error
#    on 20 000 fresh readings falls below 0.6 of what it was.
# 4. Take `GaussianDiscriminant("shared")` for the motions: residual and error of the second half are at least 1.5 times
#    as large. Which assumption did that?
#
# ## Sources
#
# Bayes, Phil. Trans. R. Soc. 53 (1763); Fisher, Annals of Eugenics 7 (1936): discriminant analysis; Cox, J. R. Stat.
# Soc. B 20 (1958): logistic regression; Efron, JASA 70 (1975), and Ng & Jordan, NIPS 14 (2001): who needs fewer
# samples; Székely & Rizzo, J. Stat. Plan. Inference 143 (2013): energy distance.
