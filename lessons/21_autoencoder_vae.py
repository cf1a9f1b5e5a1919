# %% [markdown]
# # 21. The variational autoencoder: codes that one can draw
#
# *Part 5: latents. 240 minutes.*
#
# **At the end you can** turn a network that compresses into one that invents, explain the two terms of its loss, take
# a gradient through a random draw, and hold a bound against the number that it bounds.
#
# **It stands on** networks (lesson 5), Gaussian likelihood (9), KL divergence (10), the trajectory GAN (17).
#
# A motion of our pendulum is a list of 100 angles. But three numbers are enough to make it, as we know from lesson 1.
# Can a network find a short description by itself? And do we then only have to draw descriptions to get new motions?

# %%
import matplotlib.pyplot as plt
import numpy as np

from lesson import Lesson
from minigen import (
    datasets,
    distributions,
    grad,
    metrics,
    models,
    nn,
    ops,
    optim,
    tensor,
    training,
)

lesson = Lesson("21_autoencoder_vae")
rng, steps, draws = (
    lesson.rng,
    1200 if lesson.quick else 5000,
    150 if lesson.quick else 400,
)
data = datasets.pendulum_trajectories(
    2000 if lesson.quick else 4000, rng, view=100, noise=False
)
centre = data.theta.mean(axis=0)
unit = np.std(
    data.theta - centre
)  # rad; the networks see X, angles around the mean motion in this unit
X, LATENT, HIDDEN = (data.theta - centre) / unit, 6, (256, 128)


class Network(
    nn.Module
):  # encoder: 100 angles to 2 numbers per latent; decoder: back; the log SD of the noise
    def __init__(self, latent, hidden, rng, sds=100):
        self.encoder = nn.MLP([100, *hidden, 2 * latent], "relu", rng=rng)
        self.decoder = nn.MLP([latent, *reversed(hidden), 100], "relu", rng=rng)
        self.log_sd = tensor(np.zeros(sds, np.float32), requires_grad=True)


def train(network, loss, rng, steps, rate=2e-3):
    adam = optim.Adam(network, optim.cosine_decay(rate, steps))
    training.fit(
        network, loss, (X,), rng=rng, steps=steps, batch_size=128, optimizer=adam
    )


# %% [markdown]
# ## An autoencoder, and its holes
#
# An **autoencoder** is two networks in a row. The **encoder** squeezes the list into a few numbers, the **code**; the
# **decoder** rebuilds the list. The loss is the squared error of the copy. We allow six numbers, as if we did not know
# that three would do. (The second half of the encoder's outputs, and `log_sd`, wait for later.)

# %%
ae = Network(LATENT, HIDDEN, rng)
train(ae, lambda x: ops.mse(ae.decoder(ae.encoder(x)[:, :LATENT]), x), rng, steps)
codes, normal = (
    ae.encoder(np.float32(X)).data[:, :LATENT],
    rng.standard_normal((draws, LATENT)),
)
decode = lambda z: centre + unit * ae.decoder(np.float32(z)).data


def residual(name, curves):
    """How far each curve is from the nearest motion of a pendulum, in rad (lesson 3); also prints lesson 17's KS."""
    fit = metrics.physics_residual(curves, data.t)
    (middle, high), ks = (
        np.quantile(fit.residual, (0.5, 0.9)),
        metrics.factor_match(fit.factors, data.factors),
    )
    print(
        f"{name:32} median {middle:.4f} rad, 90 % below {high:.4f}; factors' KS up to {max(ks.values()):.2f}"
    )
    return fit.residual


copies = np.median(residual("autoencoder, copies", decode(codes[:draws])))
drawn = residual("autoencoder, codes N(0, I)", decode(normal))
matched = np.median(
    residual(
        "autoencoder, mean and SD matched",
        decode(codes.mean(0) + codes.std(0) * normal),
    )
)
residual(
    "autoencoder, covariance too",
    decode(rng.multivariate_normal(codes.mean(0), np.cov(codes.T), draws)),
)
found = f"copies: {copies:.4f} rad, draws from N(0, I): {(plain := np.median(drawn)):.3f}, matched {matched:.3f}"
lesson.verdict(
    f"{found} (both above 6 times the copies)", min(plain, matched) > 6 * copies
)

# %% [markdown]
# The copies are excellent, the inventions are not. Nobody asked the codes to fill their space: they lie on a thin bent
# sheet, three-dimensional in six dimensions. Draws, even with the codes' mean and SD ("matched"), fall beside it into
# **holes**, where the decoder was never trained. A Gaussian with their covariance comes closer, but is not bent either.
#
# ## First the story, then the network
#
# So begin at the other end, and say how data are *made*. Draw a **latent** $z \sim \mathcal N(0, I)$, a cause that
# nobody sees; compute a motion $f(z)$, the decoder; add to each angle noise of SD $\sigma$. So motions have the density
# $p(x) = \int p(x \mid z)\, p(z)\, dz$ with $p(x \mid z) = \mathcal N(f(z), \sigma^2 I)$, and lesson 10 says: make
# $\log p(x)$ of the data large. But hardly any $z$ explains a given $x$; blind draws of $z$ miss it. So let the encoder
# guess which $z$ made $x$, by a mean and an SD for each latent: $q(z \mid x) = \mathcal N(\mu(x), s(x)^2)$. Bayes' rule
# says $p(x) = p(x \mid z)\, p(z)/p(z \mid x)$, whatever $z$ is. Take logarithms, add and subtract $\log q(z \mid x)$,
# and take the mean over $z$ drawn from $q$:
#
# $$ \log p(x) = \underbrace{\mathrm E_q \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x)\,\|\,p(z)\big)}_{\text{ELBO}}
#   + \mathrm{KL}\big(q(z \mid x)\,\|\,p(z \mid x)\big). $$
#
# The last term compares the guess with the true **posterior** $p(z \mid x)$. We cannot compute it, but no KL is
# negative: the rest never exceeds $\log p(x)$. It is the **evidence lower bound**, and its two terms quarrel. The
# first, the **reconstruction term**, wants $z$ to say much about $x$: small $s$, means far apart. The **KL term** is
# the price in nats. It draws every guess towards $\mathcal N(0, I)$, so the codes become clouds, crowded where we shall
# draw. Per latent it is $\tfrac12(\mu^2 + s^2 - 1) - \log s$. We check that by draws: it is the mean of $\log(q/p)$.

# %%
kl_of = lambda mean, log_s: (
    0.5 * (mean**2 + ops.exp(2 * log_s) - 1) - log_s
)  # per latent, in nats
mean, log_s = rng.normal(0, 1.5, (20, LATENT)), rng.uniform(-3, 0.5, (20, LATENT))
q, prior = (
    distributions.Normal(mean, np.exp(log_s)),
    distributions.Normal(0 * mean, 1 + 0 * mean),
)
closed, eps = kl_of(mean, log_s).sum(axis=1), rng.standard_normal((20_000, 20, LATENT))
log_ratio = np.sum(
    ((mean + np.exp(log_s) * eps) ** 2 - eps**2) / 2 - log_s, axis=2
)  # log q - log p of each draw
off = np.max(
    np.abs(log_ratio.mean(axis=0) - closed) / log_ratio.std(axis=0) * np.sqrt(len(eps))
)
gap = np.abs(closed - distributions.kl_divergence(q, prior).value).max()
found = f"KL formula: {off:.1f} standard errors from draws (limit 4.5), {gap:.0e} from the library (limit 1e-10)"
lesson.verdict(found, off < 4.5 and gap < 1e-10)

# %% [markdown]
# ## A gradient through a draw
#
# The reconstruction term is the mean of some $h(z)$ over draws from $q$, and $q$ is what we train. How does such a mean
# change with $\mu$ and $s$? **Reparameterise**: throw dice that never change, $\varepsilon \sim \mathcal N(0, 1)$, and
# *compute* $z = \mu + s\,\varepsilon$, a plain function of $\mu$ and $s$: lesson 4's tape does the rest. The other way,
# the **score-function** gradient, uses that $\int h\, \nabla q\, dz$ is the mean of $h(z)\, \nabla \log q(z)$. It needs
# no slope of $h$, but hears only how good a draw was, not where a better one lies. A test: 20 measurements $x_i$ of one
# $z$, of SD 0.5; $h = \sum_i \log p(x_i \mid z)$. Its mean has slopes $\sum_i (x_i - \mu)/0.25$ and $-20\,s/0.25$.

# %%
measured, mu, s, eps = (
    rng.normal(1, 0.5, 20),
    0.8,
    0.3,
    rng.standard_normal((50_000, 1)),
)
exact = np.array([np.sum(measured - mu), -20 * s]) / 0.25
h = lambda z: ops.sum(
    -0.5 * np.log(2 * np.pi * 0.25) - (measured - z) ** 2 / 0.5, axis=1, keepdims=True
)
mus, ss = (
    tensor(np.full(eps.shape, v), requires_grad=True) for v in (mu, s)
)  # a copy per draw: a gradient per draw
through = np.hstack([g.data for g in grad(ops.sum(h(mus + ss * eps)), (mus, ss))])
by_score = (
    h(mu + s * eps) * np.hstack([eps, eps**2 - 1]) / s
)  # h times the slopes of log q by mu and s
off = max(
    np.max(np.abs(g.mean(axis=0) - exact) / g.std(axis=0)) for g in (through, by_score)
) * np.sqrt(len(eps))
noise = np.min(by_score.std(axis=0) / through.std(axis=0))
found = f"both gradients are {off:.1f} standard errors or less from exact (limit 4.5), the score function's scatter"
lesson.verdict(
    f"{found} {noise:.1f} times as large or more (above 2)", off < 4.5 and noise > 2
)

# %% [markdown]
# ## The loss, and its most repeated mistake
#
# One draw of $z$ per example will do. **Sum** over its 100 angles (logarithms of independent parts add up), **sum**
# over the latents, and only then take the mean over examples. Much public code averages over the features (the angles)
# too, as functions named `mse` do, but sums the KL: `mixed` below. Nothing crashes. An audit tells: the batch twice
# must change no term, each feature twice must double the reconstruction term alone, each latent twice the KL alone.


# %%
def right(x, out, log_sd, mean, log_s):
    """The reconstruction term of the loss and its KL term, in nats per example."""
    surprise = 0.5 * (np.log(2 * np.pi) + ((x - out) * ops.exp(-log_sd)) ** 2) + log_sd
    return ops.mean(ops.sum(surprise, axis=1)), ops.mean(
        ops.sum(kl_of(mean, log_s), axis=1)
    )


def terms(network, x, rng, loss=right):
    mean, log_s = ops.split(network.encoder(x), 2, axis=1)
    z = mean + ops.exp(log_s) * ops.normal(rng, mean.shape, mean.dtype)
    return loss(x, network.decoder(z), network.log_sd, mean, log_s)


mixed = lambda x, *rest: (right(x, *rest)[0] / x.shape[1], right(x, *rest)[1])
total = lambda network, rng, loss=right: (
    lambda x: ops.add(*terms(network, x, rng, loss))
)
twice, seen, hidden = (
    (lambda a, axis: np.repeat(a, 2, axis)),
    rng.normal(size=(3, 8, 5)),
    rng.normal(size=(2, 8, 3)),
)
# seen: x, out, log_sd of 8 examples with 5 features; hidden: mean, log_s of their 3 latents
cases = (
    (seen, hidden),
    (twice(seen, 1), twice(hidden, 1)),
    (twice(seen, 2), hidden),
    (seen, twice(hidden, 2)),
)
good, bad = (np.array([loss(*a, *b) for a, b in cases]) for loss in (right, mixed))
good, bad = (
    good[1:] / good[0],
    bad[1:] / bad[0],
)  # (batch, features, latents twice) x (reconstruction, KL)
found = f"our loss passes; features twice multiply its terms by {good[1].round(9)} (2, 1), the mixed one's by"
lesson.verdict(
    f"{found} {bad[1].round(9)}",
    np.allclose(good, [[1, 1], [2, 1], [1, 2]]) and not np.allclose(bad, good),
)
train(silent := Network(LATENT, HIDDEN, rng), total(silent, rng, mixed), rng, 400)
price = terms(silent, np.float32(X), rng)[1].item()
variety = silent.decoder(np.float32(normal)).data.var(axis=0).mean() / np.mean(X**2)
found = f"mixed loss: codes carry {price:.4f} nats (below 0.1), draws {variety:.0e} of the data's variance (below 0.01)"
lesson.verdict(found, price < 0.1 and variety < 0.01)
same = lambda: np.random.default_rng(lesson.seed)
train(ours := Network(LATENT, HIDDEN, dice := same()), total(ours, dice), dice, 100)
theirs = (
    models.VAE(LATENT, HIDDEN, steps=100)
    .fit(data.theta, rng=same())
    .elbo(data.theta, same())
    .mean()
)
elbo = -total(ours, same())(np.float32(X)).item() - 100 * np.log(
    unit
)  # densities per rad: 100 angles, 100 units
gap = abs(elbo - theirs)
lesson.verdict(
    f"after 100 steps our ELBO {elbo:.2f} nats and models.VAE's differ by {gap:.0e} (limit 0.05)",
    gap < 0.05,
)

# %% [markdown]
# The mixed loss is a hundredth of $R + 100\,\mathrm{KL}$, with $R$ the reconstruction term: each nat costs a hundred.
# The encoder falls silent, the decoder always gives the mean motion. `models.VAE` has the right loss.
#
# ## Is it a bound? A case where we know
#
# With one linear layer as decoder, $x = Wz + b + \sigma\varepsilon$, all is Gaussian: **probabilistic PCA**. Exactly,
# $p(x) = \mathcal N(b, WW^\top + \sigma^2 I)$; the posterior is $\mathcal N\big(C W^\top (x - b)/\sigma^2,\, C\big)$,
# $C = (I + W^\top W/\sigma^2)^{-1}$. The ELBO needs no draws: their mean adds $\sum_j W_{ij}^2 s_j^2$ to the squared
# error of angle $i$. Even the best weights are known (Tipping & Bishop, 1999): the columns of $W$ are the first
# eigenvectors of the data's covariance, times $\sqrt{\lambda - \sigma^2}$ with their eigenvalues $\lambda$; $\sigma^2$
# is the mean of the other eigenvalues. With three latents no mean $\log p(x)$ exceeds theirs, `best`.


# %%
def bound_and_truth(W, b, log_sd, A, a):
    """Of each x: the exact ELBO, log p(x), and KL(q || posterior); the encoder, linear too, is A x + a."""
    (mean, log_s), var = np.split(X @ A.T + a, 2, axis=1), np.exp(2 * log_sd)
    error = (X - mean @ W.T - b) ** 2 + np.exp(2 * log_s) @ (W**2).T
    elbo = -0.5 * np.sum(np.log(2 * np.pi * var) + error / var, axis=1) - kl_of(
        mean, log_s
    ).sum(axis=1)
    gauss, C = (
        distributions.MultivariateNormal.from_covariance,
        np.linalg.inv(np.eye(W.shape[1]) + W.T @ W / var),
    )
    rest = distributions.kl_divergence(
        distributions.Normal(mean, np.exp(log_s)), gauss((X - b) @ W @ C / var, C)
    ).value
    return elbo, gauss(b, W @ W.T + var * np.eye(100)).log_prob(X), rest


linear = Network(3, (), rng, sds=1)
parts = *linear.decoder.parameters(), linear.log_sd, *linear.encoder.parameters()
weights = [[np.float64(p.data) for p in parts]]
train(linear, total(linear, rng), rng, 3000 if lesson.quick else 6000, rate=0.01)
values, vectors = np.linalg.eigh(np.cov(X.T, bias=True))
var = values[:-3].mean()
best = -0.5 * (
    100 * np.log(2 * np.pi) + np.log(values[-3:]).sum() + 97 * np.log(var) + 100
)
W, C = (
    vectors[:, -3:] * np.sqrt(values[-3:] - var),
    np.diag(var / values[-3:]),
)  # C is diagonal here, as q's SDs are
A, a = (
    np.vstack([C @ W.T / var, 0 * W.T]),
    np.append(np.zeros(3), 0.5 * np.log(np.diag(C))),
)
weights += (
    [np.float64(p.data) for p in parts],
    [W, np.zeros(100), 0.5 * np.log(var), A, a],
)
elbo, log_p, rest = (
    np.array(each) for each in zip(*(bound_and_truth(*w) for w in weights))
)  # (3, motions)
gaps, off, short = (
    log_p - elbo,
    np.abs(elbo + rest - log_p).max(),
    best - elbo.mean(axis=1),
)
found = f"log p(x) exceeds the ELBO by {gaps[0].min():.1f} nats or more, trained {gaps[1].min():.3f} (above 0), which"
lesson.verdict(
    f"{found} is KL(q || posterior) to {off:.0e} (limit 1e-8)",
    gaps[:2].min() > 0 and off < 1e-8,
)
found = f"mean gap {gaps[0].mean():.0f} nats, trained {gaps[1].mean():.2f} (below 0.5); then the ELBO is {short[1]:.2f}"
lesson.verdict(
    f"{found} below `best` (limit 1.5)", gaps[1].mean() < 0.5 and 0 < short[1] < 1.5
)
found = f"with the best weights ELBO and log p(x) differ by {np.abs(gaps[2]).max():.0e} nats at most, and from `best`"
lesson.verdict(
    f"{found} by {abs(short[2]):.0e} (limits 1e-8)",
    np.abs(gaps[2]).max() < 1e-8 and abs(short[2]) < 1e-8,
)

# %% [markdown]
# Mind what training does. It lifts the bound, either by making the data likelier or by making the guess better. With a
# bent decoder the posterior is no Gaussian, a gap remains, and the ELBO only says: $\log p(x)$ is at least this.
#
# ## New motions
#
# `models.VAE` gets the autoencoder's data, layers and steps; new are the noise on the codes and its price. Against it
# stands the GAN of lesson 17, with that lesson's settings and steps, which in the full run take longer.

# %%
vae = models.VAE(LATENT, HIDDEN, steps=steps).fit(data.theta, rng=rng)
gan = models.GAN(
    128,
    (256,),
    "tanh",
    critic_hidden=(512,),
    r1=0.1,
    batch_size=64,
    steps=1200 if lesson.quick else 7000,
)
gan.fit(data.theta, rng=rng)
made = {
    "autoencoder, codes N(0, I)": decode(normal),
    "VAE": vae.decode(normal),
    "GAN": gan.sample(draws, rng),
}
off = drawn, residual("VAE", made["VAE"]), residual("GAN", made["GAN"])
_, clean, rough = np.median(off, axis=1)
found = f"VAE draws: {clean:.4f} rad (below 0.02), autoencoder {plain / clean:.0f} and {matched / clean:.0f} times that"
lesson.verdict(f"{found} (above 4)", clean < min(0.02, plain / 4, matched / 4))
times = f"{gan.history_.seconds:.1f} s of training against {vae.history_.seconds:.1f} s"
lesson.verdict(
    f"GAN: {rough:.3f} rad, {rough / clean:.0f} times the VAE's (above 3), after {times}",
    rough > 3 * clean,
)
means, sds = vae.encode(data.theta)
print(
    "nats per latent:", *np.sort(kl_of(means, np.log(sds)).mean(axis=0))[::-1].round(1)
)
wishes = (
    (0.7, 1.0, 4.5),
    (1.3, 0.7, 6.0),
    (1.2, 1.3, 8.5),
)  # theta0, omega0, g/L; the nearest in the data will do
three = [
    np.argmin(sum((v - w) ** 2 / v.var() for v, w in zip(data.factors.values(), each)))
    for each in wishes
]
side = np.linspace(-0.75, 1.75, 15 if lesson.quick else 41)
u, v = (part.reshape(-1, 1) for part in np.meshgrid(side, side))
fig, axes = plt.subplots(2, 3, figsize=(14, 8), layout="constrained")
for k, (colour, (name, curves)) in enumerate(
    zip(("#b3261e", "#1f5fa8", "#d9822b"), made.items())
):
    axes[0, k].plot(data.t, curves[:6].T, color=colour, lw=1.3)
    axes[0, k].set(
        xlabel="time (s)",
        ylabel="angle (rad)",
        ylim=(-2, 2),
        title=f"New motions: {name}",
    )
    axes[1, 2].semilogx(np.sort(off[k]), np.linspace(0, 1, draws), color=colour, lw=2)
for ax, name, make, z in zip(
    axes[1], ("autoencoder", "VAE"), (decode, vae.decode), (codes[three], means[three])
):
    plane = metrics.physics_residual(
        make(z[0] + u * (z[1] - z[0]) + v * (z[2] - z[0])), data.t
    ).residual
    image = ax.pcolormesh(
        side,
        side,
        plane.reshape(len(side), -1),
        norm="log",
        vmin=1e-3,
        vmax=0.3,
        cmap="magma_r",
    )
    ax.plot([0, 1, 0], [0, 0, 1], "o", color="#1f5fa8", mec="w", ms=9)
    ax.set(
        xlabel="from code 1 (0) to 2 (1)",
        ylabel="from code 1 (0) to 3 (1)",
        title=f"{name}: plane of three codes",
    )
    fig.colorbar(image, ax=ax, label="residual of what is decoded there (rad)")
axes[1, 2].set(
    xlabel="residual (rad)",
    ylabel="share of motions below it",
    title="How physical? (colours as above)",
)
lesson.save(fig)
lesson.end()

# %% [markdown]
# In the lower maps dots are codes of real pendulums, and bright is physical. The autoencoder knows little more than the
# dots, the VAE the land between, but for a scar, where now and then a draw falls. Its factors are not spread quite like
# the data's (KS), as all guesses together do not exactly fill $\mathcal N(0, I)$. In the full run the GAN spreads them
# better, but its curves tremble: judge by more than one number. Few of the six latents carry nats; lesson 22 asks why.
#
# ## Exercises
#
# 1. `iwae(W, b, log_sd, A, a, draws)`: $\log$ of the mean of $p(x \mid z)\,p(z)/q(z \mid x)$ over draws from $q$. With
#    50 draws and the first `weights[0]`, its mean over the data lies between those of the ELBO and of $\log p(x)$.
# 2. Fit lesson 13's `models.GaussianMixture` with 100 components to the autoencoder's `codes`, and decode its draws. The
#    median residual falls below a quarter of the single Gaussian's ("covariance too"), without any noise in training.
# 3. Subtract the mean of `h` from `h` in the score-function gradient, a *baseline*. It stays within 4.5 standard errors
#    of the exact slopes, and its scatter falls by a quarter or more, as $\nabla \log q$ has mean zero.
#
# ## Sources
#
# Kingma & Welling, ICLR 2014; Rezende et al., ICML 2014: the VAE. Tipping & Bishop, JRSS B 61 (1999); Lucas et al.,
# NeurIPS 2019: probabilistic PCA. Williams, Machine Learning 8 (1992): score function. Burda et al., ICLR 2016: ex. 1.
