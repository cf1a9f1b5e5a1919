# %% [markdown]
# # 15. The discriminator: what a detective knows
#
# *Part 4: adversaries. 75 minutes.*
#
# **The question.** How can a network learn to make examples when nobody can write down their
# density? Lessons 10 and 11 fitted distributions by likelihood, which takes a formula for the
# density. A network that turns random numbers into examples, a **generator**, has none. The way
# around (Goodfellow et al., 2014): a second network, the **discriminator**, learns to tell the
# examples made by the first from real ones, and so tells it what to change. This lesson asks what
# such a detective knows. Lesson 16 lets both play.
#
# **Afterwards you can**
#
# * train a network that tells two distributions apart, and read their ratio and their distance
#   off it,
# * write the three losses by which a generator learns from that, and say whom each of them
#   pushes,
# * say what each makes smaller, and why its value does not always say so,
# * say which losses fall silent when the discriminator wins.
#
# **You need** networks and Adam (lessons 5 and 6), the divergences of lesson 11, and the games of
# lesson 14.
#
# **Five parts**, 10 to 20 minutes each; the fourth is the longest. One may stop after any of them.
#
# 1. The share of real ones, by counting
# 2. A network that learns it, and what its value says
# 3. Three losses for a generator: whom does each push?
# 4. What gets smaller? Value and gradient kept apart
# 5. When the discriminator wins

# %%
from lesson import Lesson

lesson = Lesson("15_discriminator")
rng = lesson.rng

import numpy as np

from minigen import divergences, grad, nn, ops, optim, tensor, training
from minigen.physics import pendulum
from minigen.plots import BLACK, BLUE, GREY, ORANGE, PALE, VERMILLION

# %% [markdown]
# # Part 1. The share of real ones, by counting
#
# A pendulum of 1 m swings between -1.2 and 1.2 rad. At random moments we photograph it, and read
# its angle with an error of SD 0.15 rad. These photographs are the real examples.

# %%
READING_SD = 0.15  # rad
period = float(pendulum.exact_period(1.2, 1.0))
swing = pendulum.simulate(1.2, 0.0, 1.0, steps=2000, dt=period / 2000).theta  # (2000,)


def photographs(n):
    """n angles, read at random moments: (n, 1) in rad."""
    at_random_moments = rng.choice(swing, n)
    read = at_random_moments + READING_SD * rng.standard_normal(n)
    return read[:, None].astype(np.float32)


print("six photographs (rad):", photographs(6)[:, 0].round(2))

# %% [markdown]
# To begin with, the forger is clumsy and does not learn. It draws $z \sim \mathcal N(0, 1)$ and
# gives $G(z) = a + b z$ with $a = 0.3$ and $b = 0.7$. Somebody mixes a million photographs with a
# million forgeries, and shows us one with the angle 0.
#
# > **Predict.** The pendulum dwells where it turns round, and is fast in the middle. Is a picture
# > with the angle 0 more likely real or forged? And one with 1.1 rad?

# %%
A, B = 0.3, 0.7  # rad
PICTURES = lesson.pick(full=1_000_000, quick=200_000)


def clumsy(n):
    """n forgeries: (n, 1) in rad."""
    return (A + B * rng.standard_normal((n, 1))).astype(np.float32)


edges = np.linspace(-1.55, 1.55, 32)  # bins of 0.1 rad
middles = (edges[1:] + edges[:-1]) / 2
real_count, _ = np.histogram(photographs(PICTURES), edges)
fake_count, _ = np.histogram(clumsy(PICTURES), edges)
share = real_count / (real_count + fake_count)  # (bins,)

counted = {}
for angle in (-1.2, 0.0, 1.1):
    k = np.argmin(np.abs(middles - angle))
    row = {"real": int(real_count[k]), "forged": int(fake_count[k]), "share": share[k]}
    counted[f"{middles[k]:.1f} rad"] = row
lesson.table("pictures within 0.05 rad of some angles", counted)

# %% [markdown]
# Two of three with the angle 0 are forged. At 1.1 rad two of three are real. At -1.2 rad nearly
# all are real, as the forger seldom goes there. This share of real ones is all that anybody can
# know of a picture by looking at its angle.
#
# ## From counts to densities
#
# To judge what follows we want the share without counting noise. The density $p$ of the
# photographs is a normal density around each angle that the pendulum passes, averaged over a
# period. The density $q$ of the forgeries is $\mathcal N(a, b^2)$.

# %%
angles = np.linspace(-4, 4, 1601)  # rad
spacing = angles[1] - angles[0]


def normal_density(x, mean, sd):
    return np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))


around_each = normal_density(angles[:, None], swing, READING_SD)  # (angles, moments)
p = around_each.mean(axis=1)
q = normal_density(angles, A, B)

densities = {}
for angle in (0.0, 1.1):
    k = np.argmin(np.abs(angles - angle))
    densities[f"{angle} rad"] = {
        "p": p[k],
        "q": q[k],
        "p/(p + q)": p[k] / (p[k] + q[k]),
    }
lesson.table("densities (1/rad)", densities)


# %% tags=["hide-input"]
def draw_share():
    with lesson.figure("share", panels=2) as (left, right):
        left.fill_between(angles, p, color=PALE, label="p: photographs")
        left.plot(angles, q, color=GREY, label="q: forgeries")
        left.set(xlabel="angle (rad)", ylabel="density (1/rad)", xlim=(-2.2, 2.2))
        left.set(title="Two kinds of pictures", ylim=(0, 0.95))
        left.legend(loc="upper center", ncols=2)
        right.plot(middles, share, "o", ms=5, color=BLUE, label="counted")
        right.plot(angles, p / (p + q), ":", color=BLACK, label="p/(p + q)")
        right.set(xlabel="angle (rad)", ylabel="share of real ones", xlim=(-2.2, 2.2))
        right.set(title="How many are real", ylim=(0, 1))


draw_share()

# %%
p_at = np.interp(middles, angles, p)
q_at = np.interp(middles, angles, q)
off = share - p_at / (p_at + q_at)
lesson.claim("share counted less p/(p + q): RMS", np.sqrt(np.mean(off**2)), below=0.02)

# %% [markdown]
# ## The best answer pays best
#
# The **discriminator** names, for each picture $x$, a probability $D(x)$ that it is real. It is
# paid the log-likelihood of its answers. If half of all pictures are real, that is, up to a
# factor,
#
# $$ V = \mathrm E_{x \sim p} \log D(x) + \mathrm E_{x \sim q} \log\big(1 - D(x)\big). $$
#
# At each $x$ it may choose $D$ freely. It gains $p \log D + q \log(1 - D)$ there. The slope by
# $D$ is
#
# $$ \frac pD - \frac q{1 - D}, $$
#
# and it is 0 at $D^* = p/(p + q)$: the share of real ones. At the angle 0, with $p = 0.26$ and
# $q = 0.52$, to say 0.33 pays $0.26 \ln 0.33 + 0.52 \ln 0.67 = -0.50$. To say 0.5 pays
# $0.78 \ln 0.5 = -0.54$. To say 0.9 pays -1.22.


# %% tags=["hide-input"]
def draw_one_angle():
    answer = np.linspace(0.01, 0.99, 200)
    with lesson.figure("one_angle", width=5.4) as ax:
        for angle, colour in ((0.0, BLUE), (1.1, VERMILLION)):
            k = np.argmin(np.abs(angles - angle))
            gain = p[k] * np.log(answer) + q[k] * np.log(1 - answer)
            best = p[k] / (p[k] + q[k])
            ax.plot(answer, gain, color=colour, label=f"at {angle} rad")
            top = p[k] * np.log(best) + q[k] * np.log(1 - best)
            ax.plot(best, top, "o", color=colour, ms=8)
            ax.plot([best, best], [-2.5, top], ":", color=colour)
        ax.set(xlabel="answer D", ylabel="gain at this angle", ylim=(-2.5, 0))
        ax.set(title="The best answer is the share of real ones")


draw_one_angle()

# %% [markdown]
# # Part 2. A network that learns it, and what its value says
#
# A network gives any number, not a probability. So let it give the **logit**
# $l = \log\frac{D}{1 - D}$: 0 for $D = 1/2$, 2 for 0.88, -3 for 0.05. Back it goes by lesson 14's
# sigmoid, $D = \sigma(l)$. The best logit is $l^* = \log\frac pq$: **the logarithm of the ratio
# of the two densities.**
#
# In logits $-\log D = \log(1 + e^{-l})$, which is `softplus(-l)`, and $-\log(1 - D)$ is
# `softplus(l)`. So $-V$, which the network makes small, is:


# %%
def classify(real_logit, fake_logit):
    """-V, from the logits of real and of forged examples."""
    of_real = ops.mean(ops.softplus(-real_logit))
    of_fake = ops.mean(ops.softplus(fake_logit))
    return of_real + of_fake


STEPS = lesson.pick(full=3000, quick=1200)


def train_discriminator(fakes, sizes=(1, 64, 64, 1), steps=STEPS, callbacks=()):
    """A network that tells fakes (n, 1) from photographs, by the loop of lesson 5."""
    network = nn.MLP(sizes, "tanh", rng=rng)

    def loss(real, fake):
        return classify(network(real), network(fake))

    adam = optim.Adam(network, optim.cosine_decay(0.02, steps))
    how = {"steps": steps, "batch_size": 1024, "rng": rng, "callbacks": callbacks}
    data = (photographs(len(fakes)), fakes)
    training.fit(network, loss, data, optimizer=adam, **how)
    return network


# %% [markdown]
# We train three. One against the clumsy forger. One against a *perfect* forger, whose forgeries
# are photographs. And one against the clumsy forger again, but without hidden layers: its logit
# is a straight line, as in lesson 12's logistic regression.
#
# > **Predict.** What will the discriminator say of the perfect forger's pictures? Where will the
# > straight line be wrong?

# %%
discriminators = {
    "against the clumsy": train_discriminator(clumsy(PICTURES)),
    "against the perfect": train_discriminator(photographs(PICTURES)),
    "straight line": train_discriminator(clumsy(PICTURES), sizes=(1, 1)),
}


def logit_on_grid(discriminator):
    """The discriminator's logit at each angle of the grid: (angles,)."""
    column = angles[:, None].astype(np.float32)
    return discriminator(column).data[:, 0].astype(float)


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


logits = {name: logit_on_grid(network) for name, network in discriminators.items()}
D = {name: sigmoid(logit) for name, logit in logits.items()}

# %%
best_D = {
    "against the clumsy": p / (p + q),
    "against the perfect": np.full(angles.shape, 0.5),
    "straight line": p / (p + q),
}
answers = {}
for angle in (-1.2, 0.0, 1.1):
    k = np.argmin(np.abs(angles - angle))
    row = {"p/(p + q)": best_D["against the clumsy"][k]}
    for name in D:
        row[name] = D[name][k]
    answers[f"{angle} rad"] = row
lesson.table("what they say", answers)

# %% tags=["hide-input"]
DISCRIMINATOR_COLOURS = (BLUE, ORANGE, VERMILLION)


def draw_discriminators():
    with lesson.figure("discriminators", width=6.6, height=4.2) as ax:
        ax.fill_between(angles, p, color=PALE, label="p: photographs (1/rad)")
        ax.plot(angles, q, color=GREY, label="q: clumsy forgeries (1/rad)")
        for name, colour in zip(D, DISCRIMINATOR_COLOURS):
            ax.plot(angles, D[name], lw=2, color=colour, label=f"D {name}")
        ax.plot(angles, p / (p + q), ":", color=BLACK, lw=2, label="p/(p + q)")
        ax.set(xlabel="angle (rad)", ylabel="density, probability D", xlim=(-2.5, 2.5))
        ax.set(title="A network finds the share of real ones", ylim=(0, 1.5))
        ax.legend(loc="upper center", ncols=2)


draw_discriminators()

# %% [markdown]
# **What you saw.** The network lies on $p/(p + q)$, though nobody showed it a density or a share:
# only pictures with their names. Against the perfect forger it can but toss a coin, $D = 1/2$
# everywhere. And the straight line shows what can go wrong: **a discriminator knows only as much
# as its network can say.**
#
# How good is it? We ask where pictures are, between the half per cent with the smallest angles
# and the half with the largest. This we call the **support**. Outside it has seen next to
# nothing.

# %%
below = np.cumsum(p + q) * spacing / 2  # share of all pictures below each angle
support = (below > 0.005) & (below < 0.995)
print(f"the support: {angles[support][0]:.2f} to {angles[support][-1]:.2f} rad")

worst = {}
for name in D:
    miss = np.abs(D[name] - best_D[name])
    worst[name] = miss[support].max()
    lesson.show(
        f"{name}: D is off by, on the support and outside", [worst[name], miss.max()]
    )

lesson.claim(
    "against the clumsy: D less p/(p + q)", worst["against the clumsy"], below=0.05
)
lesson.claim(
    "against the perfect: D less 1/2", worst["against the perfect"], below=0.05
)
lesson.claim("straight line: D less p/(p + q)", worst["straight line"], above=0.2)

# %% [markdown]
# ## Its value measures a distance
#
# What does the best discriminator gain? Put $D^* = p/(p + q)$ into $V$. Each of the two terms is
# a mean of a logarithm, $\mathrm E_p \log\frac p{p + q}$ and $\mathrm E_q \log\frac q{p + q}$.
# With $m = (p + q)/2$ they are $\mathrm{KL}(p\,\|\,m) - \ln 2$ and
# $\mathrm{KL}(q\,\|\,m) - \ln 2$. So
#
# $$ V^* = 2\,\mathrm{JS}(p, q) - \ln 4, $$
#
# with the **Jensen-Shannon divergence** of lesson 11. **The best discriminator measures how far
# apart two distributions are**, from examples alone. If they are the same,
# $V^* = -\ln 4 = -1.386$. If they never overlap, JS is $\ln 2$ and $V^* = 0$: it is always right.
# Any other discriminator gains less. So $(V + \ln 4)/2$ is never above JS.


# %%
def value_of_game(logit, q):
    """V = E_p log D + E_q log(1 - D), for densities on the grid."""
    log_D = -np.logaddexp(0, -logit)  # logaddexp(0, a) is softplus(a)
    log_not_D = -np.logaddexp(0, logit)
    return spacing * np.sum(p * log_D + q * log_not_D)


def js_bound(V):
    """What a discriminator with this value says of JS, in nats."""
    return (V + np.log(4)) / 2


V = {
    "clumsy: a coin": value_of_game(np.zeros(angles.shape), q),
    "clumsy: straight line": value_of_game(logits["straight line"], q),
    "clumsy: network": value_of_game(logits["against the clumsy"], q),
    "perfect: network": value_of_game(logits["against the perfect"], p),
}

# %%
js = divergences.jensen_shannon(p, q, spacing)
values = {}
for name in V:
    values[name] = {"V": V[name], "(V + ln 4)/2": js_bound(V[name])}
values["clumsy: exact"] = {"V": 2 * js - np.log(4), "(V + ln 4)/2": js}
lesson.table("what a discriminator gains, and JS read off it (nats)", values)

lesson.claim(
    "clumsy: JS read off", js_bound(V["clumsy: network"]), near=js, within=0.005
)
lesson.claim(
    "perfect: JS read off", js_bound(V["perfect: network"]), near=0, within=0.005
)
of_line = js_bound(V["clumsy: straight line"]) / js
lesson.claim("straight line: JS read off over JS", of_line, below=0.5)

# %% [markdown]
# # Part 3. Three losses for a generator: whom does each push?
#
# The generator gets each of its examples back with the logit $l$ that it earned, and with the
# slope of $l$ by $x$: which way to move to look more real. What should it make small, on the mean
# over its examples? There are three answers (Goodfellow, 2016).
#
# | loss | per example | slope by $l$ | idea |
# |---|---|---|---|
# | **minimax** | $\log(1 - D)$ | $-D$ | the zero-sum game: what $D$ gains, $G$ loses |
# | **non-saturating** | $-\log D$ | $-(1 - D)$ | be taken for real |
# | **maximum likelihood** | $-e^l$ | $-e^l$ | weigh each example by $p/q$ |
#
# All three slopes are negative: all three push $l$ up. They differ in **whom** they push.


# %%
def minimax(logit):
    """log(1 - D) of each example: what D gains, G loses."""
    return -ops.softplus(logit)


def non_saturating(logit):
    """-log D of each example: be taken for real."""
    return ops.softplus(-logit)


def maximum_likelihood(logit):
    """-e^l of each example: weigh it by p/q."""
    return -ops.exp(logit)


LOSSES = {
    "minimax": minimax,
    "non-saturating": non_saturating,
    "maximum likelihood": maximum_likelihood,
}

# %% [markdown]
# > **Predict.** Three forgeries earned the logits -3 (found out: $D = 0.05$), 0 (undecided), and
# > 2 (convincing: $D = 0.88$). Which of them does each loss push hardest?

# %%
earned = np.array([-3.0, 0.0, 2.0])


def push_on(logit, loss):
    """Minus the slope of the loss by the logit of each example."""
    leaf = tensor(logit, requires_grad=True)
    return -grad(ops.sum(loss(leaf)), leaf).data


pushes = {}
for name, loss in LOSSES.items():
    found_out, undecided, convincing = push_on(earned, loss)
    row = {"found out": found_out, "undecided": undecided, "convincing": convincing}
    pushes[name] = row
lesson.table("push on three forgeries", pushes)

D_earned = sigmoid(earned)
of_table = {
    "minimax": D_earned,
    "non-saturating": 1 - D_earned,
    "maximum likelihood": np.exp(earned),
}
of_tape = {name: push_on(earned, loss) for name, loss in LOSSES.items()}
lesson.same("pushes: the table's formulas and the tape", of_table, of_tape, 1e-9)

# %% tags=["hide-input"]
LOSS_COLOURS = {
    "minimax": VERMILLION,
    "non-saturating": BLUE,
    "maximum likelihood": ORANGE,
}


def draw_pushes():
    with lesson.figure("pushes", panels=2, sharey=True) as (by_logit, by_angle):
        logit = np.linspace(-6, 4, 200)
        best_logit = np.log(p / q)
        shown = np.abs(angles) < 2
        for name, loss in LOSSES.items():
            colour = LOSS_COLOURS[name]
            by_logit.semilogy(logit, push_on(logit, loss), color=colour, label=name)
            push = push_on(best_logit[shown], loss)
            by_angle.semilogy(angles[shown], push, color=colour)
        by_logit.set(
            xlabel="logit l of a forgery", ylabel="push on it", ylim=(1e-3, 60)
        )
        by_logit.set(title="Whom does each loss push?")
        by_angle.fill_between(angles, 1e-3, 1e-3 * 10 ** (4 * q), color=PALE)
        by_angle.annotate("q (not to scale)", (0.3, 1.5e-3), ha="center", color=GREY)
        by_angle.set(xlabel="angle of a forgery (rad)", xlim=(-2, 2))
        by_angle.set(title="The same, along the clumsy forger's angles")


draw_pushes()

# %% [markdown]
# **What you saw.** Non-saturating pushes those that are found out. Minimax pushes those that
# already pass for real. Maximum likelihood pushes the most convincing most. Left of -3 minimax
# and maximum likelihood are the same line: where $D$ is small, $D = e^l/(1 + e^l) \approx e^l$.
# Remember that for Part 5.

# %% [markdown]
# # Part 4. What gets smaller? Value and gradient kept apart
#
# (The hardest part. On a first reading go on to Part 5, and come back: all that it needs of this
# one is `pull`, the gradient of a loss by $a$ and $b$, from examples.)
#
# Let the discriminator be perfect, always. Which divergence between $p$ and $q$ does a generator
# make smaller, with each loss? There are two ways to ask, and they have different answers.
#
# * **The value.** For each generator put its own $D^*$ into the loss. How does that number change
#   with $a$?
# * **The gradient.** Training does something else. It holds $D$ fixed and asks how the loss
#   changes when $q$ alone moves.
#
# Minimax is the other side of the game. Its value is all of $V$, with the term
# $\mathrm E_p \log D$. No forgery occurs in that term, so with $D$ held it pushes nobody, and
# Part 3 could leave it out.
#
# We can do both on the grid. Our generator is $a + b z$, so $q$ is known for every $a$.

# %%
log_p = np.log(p)


def log_q(a, b=B):
    """Log density of the generator a + b z on the grid."""
    return -0.5 * ((angles - a) / b) ** 2 - np.log(b * np.sqrt(2 * np.pi))


def loss_at(name, a, b=B, discriminator_of=None):
    """A loss of the generator a + b z. The best D is its own, or that of another (a, b)."""
    if discriminator_of is None:
        discriminator_of = (a, b)
    best_logit = log_p - log_q(*discriminator_of)
    of_forgeries = spacing * np.sum(np.exp(log_q(a, b)) * LOSSES[name](best_logit))
    if name != "minimax":
        return of_forgeries
    return of_forgeries + spacing * np.sum(p * -np.logaddexp(0, -best_logit))


for name in LOSSES:
    here = loss_at(name, A)
    moved = loss_at(name, A + 0.1)
    held = loss_at(name, A + 0.1, discriminator_of=(A, B))
    print(
        f"{name}: {here:.3f}; with a + 0.1: {moved:.3f} (D anew), {held:.3f} (D held)"
    )

# %% [markdown]
# > **Predict.** With maximum likelihood and $D$ anew the value stays at -1, whatever $a$ is. Why?
# > And how can one learn by a loss that is the same for every generator?
#
# The mean of $-e^{l^*} = -p/q$ over $q$ is $-\int p\,dx = -1$. Indeed the *value* says nothing.
# But the gradient? Let $\nabla$ be the gradient by $a$ and $b$. The mean of a loss over forgeries
# is $\int q \cdot \text{loss}\; dx$. With $D$ held only $q$ moves, so its gradient is
# $\int \nabla q \cdot \text{loss}\; dx$. Here the loss is $-p/q$. With
# $\nabla q / q = \nabla \log q$:
#
# $$ -\int \nabla q\; \frac pq \,dx = -\int p\, \nabla \log q \,dx
#    = \nabla\, \mathrm{KL}(p \,\|\, q). $$
#
# (In $\mathrm{KL}(p\,\|\,q) = \int p \log p\,dx - \int p \log q\,dx$ only the second part moves.)
# That is the gradient of lesson 10's likelihood, without a formula for $q$. Here it is for our
# generator: $-\log q = \log b + (x - a)^2/(2 b^2)$ plus a constant. Its mean over $p$,
# differentiated by $a$ and $b$, gives
#
# $$ \frac{a - \mathrm E_p x}{b^2} \quad\text{and}\quad
#    \frac1b - \frac{\mathrm E_p (x - a)^2}{b^3}. $$
#
# The data have mean 0, so the first is $0.3/0.49 = 0.612$.
#
# **Minimax** is the game itself. $D^*$ sits on top of $V$, where moving $D$ a little changes
# nothing. So value and gradient agree: both belong to $2\,\mathrm{JS}$.
#
# **Non-saturating** is not the game. $D^*$ is not on top of *this* loss, and the two part. With
# $D$ held,
#
# $$ \int \nabla q\, (-\log D^*)\, dx = \int \nabla q\, \log\frac{p + q}{p}\, dx
#    = \nabla\big(\mathrm{KL}(q\,\|\,p) - 2\,\mathrm{JS}(p, q)\big), $$
#
# because the two on the right have the gradients $\int \nabla q \log\frac qp\,dx$ and
# $\int \nabla q \log\frac{2 q}{p + q}\,dx$, and constants drop out as $\int \nabla q\, dx = 0$.
# (Arjovsky & Bottou, 2017.) Its *value* is another number,
# $\mathrm{KL}(q\,\|\,p) - \mathrm{KL}(q\,\|\,m) + \ln 2$.


# %%
def divergence_of(name, a, b=B):
    """What the loss of this name descends when D is best and held, in nats."""
    q = np.exp(log_q(a, b))
    if name == "minimax":
        return 2 * divergences.jensen_shannon(p, q, spacing)
    if name == "non-saturating":
        two_js = 2 * divergences.jensen_shannon(p, q, spacing)
        return divergences.kl(q, p, spacing) - two_js
    return divergences.kl(p, q, spacing)


def slope(function, at=A, h=1e-4):
    """The slope of a function of one number, by a central difference."""
    return (function(at + h) - function(at - h)) / (2 * h)


# %%
apart = {}
for name in LOSSES:

    def anew(a):
        return loss_at(name, a)

    def held(a):
        return loss_at(name, a, discriminator_of=(A, B))

    def divergence(a):
        return divergence_of(name, a)

    apart[name] = {
        "value": anew(A),
        "divergence": divergence(A),
        "slope, D anew": slope(anew),
        "slope, D held": slope(held),
        "slope of the divergence": slope(divergence),
    }
lesson.table("the clumsy forger's losses, and slopes by a", apart)

# %%
anew_slope = {}
held_slope = {}
for name, row in apart.items():
    anew_slope[name] = row["slope, D anew"]
    held_slope[name] = row["slope, D held"]
    exact = row["slope of the divergence"]
    lesson.claim(f"{name}: slope, D held", held_slope[name], near=exact, within=1e-4)

# %% [markdown]
# With $D$ held the slope is that of the divergence, for all three. With $D$ anew it is so for
# minimax only.

# %%
exact = held_slope["minimax"]
lesson.claim("minimax: slope, D anew", anew_slope["minimax"], near=exact, within=1e-4)

parted = 100 * (anew_slope["non-saturating"] / held_slope["non-saturating"] - 1)
lesson.claim("non-saturating: slope, D anew, off by", parted, above=5, unit="%")
row = apart["non-saturating"]
value_off = row["value"] - row["divergence"]
lesson.claim("non-saturating: value less divergence", value_off, above=0.5, unit="nats")

flat = anew_slope["maximum likelihood"]
lesson.claim("maximum likelihood: slope, D anew", flat, near=0, within=1e-4)


# %% tags=["hide-input"]
def draw_apart():
    means = np.linspace(-0.6, 1.2, 73)
    near = np.array([A - 0.3, A + 0.3])
    with lesson.figure("apart", panels=3, width=4.0, sharey=True) as axes:
        for ax, name in zip(axes, LOSSES):
            anew = [loss_at(name, a) for a in means]
            held = [loss_at(name, a, discriminator_of=(A, B)) for a in means]
            true = [divergence_of(name, a) for a in means]
            ax.plot(means, anew, "--", color=GREY, lw=2.4, label="loss, D anew")
            ax.plot(means, held, color=LOSS_COLOURS[name], lw=2, label="loss, D held")
            ax.plot(means, true, ":", color=BLACK, lw=2, label="divergence")
            for height in (loss_at(name, A), divergence_of(name, A)):
                tangent = height + apart[name]["slope, D held"] * (near - A)
                ax.plot(near, tangent, color=BLACK, lw=1)
                ax.plot(A, height, "o", color=BLACK, ms=6)
            ax.set(xlabel="a, the forger's mean (rad)", ylim=(-2, 3.6), title=name)
            ax.legend(loc="upper left")
        axes[0].set(ylabel="nats")


draw_apart()

# %% [markdown]
# **What you saw.** The two thin lines in a panel are parallel. At the dots the coloured curve is
# as steep as the dotted one: *there* the gradient is that of the divergence. (Further away it is
# not, as $D$ would have to be trained again.) The grey curve, the value, lies elsewhere. For
# minimax it is the divergence less $\ln 4$. For non-saturating it is higher, and at the dot 7 %
# steeper. For maximum likelihood it is flat.
#
# ## The same from examples
#
# Real generators have no grid. So we ask the *trained* network of Part 2 for the gradients of the
# three losses by $a$ and $b$, on examples. Only the chain rule is needed: loss, logit, example,
# parameter.


# %%
def pull(loss, discriminator, a, b, z):
    """Gradient (2,) of a loss by a and b, for the generator a + b z: what D asks of it."""
    a = tensor(np.float32(a), requires_grad=True)
    b = tensor(np.float32(b), requires_grad=True)
    made = a + b * z
    mean_loss = ops.mean(loss(discriminator(made)))
    by_a, by_b = grad(mean_loss, [a, b])
    return np.array([float(by_a.data), float(by_b.data)])


def true_pull(name):
    """The gradient (2,) of the divergence by a and b, on the grid."""

    def by_a(a):
        return divergence_of(name, a)

    def by_b(b):
        return divergence_of(name, A, b)

    return np.array([slope(by_a), slope(by_b, at=B)])


# %%
z = rng.standard_normal((200_000, 1)).astype(np.float32)
network = discriminators["against the clumsy"]

pulls = {}
off = {}
for name, loss in LOSSES.items():
    ours = pull(loss, network, A, B, z)
    true = true_pull(name)
    off[name] = 100 * np.linalg.norm(ours - true) / np.linalg.norm(true)
    pulls[name] = {
        "examples, by a": ours[0],
        "divergence, by a": true[0],
        "examples, by b": ours[1],
        "divergence, by b": true[1],
        "off (%)": off[name],
    }
lesson.table("gradients of the three losses", pulls)

# %%
mean_of_p = spacing * np.sum(p * angles)
spread = spacing * np.sum(p * (angles - A) ** 2)
formula = [(A - mean_of_p) / B**2, 1 / B - spread / B**3]
lesson.same(
    "KL(p || q): formula and grid", formula, true_pull("maximum likelihood"), 1e-4
)

for name in ("minimax", "maximum likelihood"):
    lesson.claim(f"{name}: gradient from examples, off", off[name], below=15, unit="%")
too_small = off["non-saturating"]
lesson.claim(
    "non-saturating: gradient from examples, off", too_small, above=30, unit="%"
)

by_line = pull(maximum_likelihood, discriminators["straight line"], A, B, z)
true = true_pull("maximum likelihood")
off_line = 100 * np.linalg.norm(by_line - true) / np.linalg.norm(true)
lesson.claim(
    "maximum likelihood by the straight line: off", off_line, above=30, unit="%"
)

# %% [markdown]
# Two of the three agree to a few per cent (by the network: the straight line is wrong here too).
# The non-saturating one is far too small. What is wrong with it?
#
# > **Predict.** Non-saturating pushes those that are found out. Where do they lie, and how many
# > photographs has the discriminator seen there?
#
# We ask where the slope by $a$ comes from. If $a$ grows, every forgery moves right by as much. So
# a forgery at $x$ contributes minus the push on it, times the slope of $l$ there. The slope by
# $a$ is the mean of that over $q$.


# %%
def contributions(loss, logit):
    """What forgeries at each angle contribute to the slope by a: (angles,), per rad."""
    return -q * push_on(logit, loss) * np.gradient(logit, spacing)


best_logit = log_p - log_q(A)
beyond = np.abs(angles) > 1.6
share_beyond = {}
for name, loss in LOSSES.items():
    contribution = contributions(loss, best_logit)
    share_beyond[name] = 100 * contribution[beyond].sum() / contribution.sum()
    lesson.show(f"{name}: of its slope, beyond 1.6 rad", share_beyond[name], "%")

lesson.show("photographs beyond 1.6 rad", 100 * spacing * p[beyond].sum(), "%")
lesson.show("forgeries beyond 1.6 rad", 100 * spacing * q[beyond].sum(), "%")

# %%
of_silent = [share_beyond["minimax"], share_beyond["maximum likelihood"]]
lesson.claim(
    "minimax, maximum likelihood: from beyond 1.6 rad",
    of_silent,
    near=0,
    within=5,
    unit="%",
)
of_speaking = share_beyond["non-saturating"]
lesson.claim("non-saturating: from beyond 1.6 rad", of_speaking, above=50, unit="%")


# %% tags=["hide-input"]
def draw_tails():
    logit = logits["against the clumsy"]
    with lesson.figure("tails", panels=2) as (left, right):
        left.plot(angles, best_logit, ":", color=BLACK, lw=2, label="best: log p/q")
        left.plot(angles, logit, color=BLUE, lw=2, label="the network's")
        left.set(xlabel="angle (rad)", ylabel="logit", xlim=(-2.4, 2.4), ylim=(-16, 6))
        left.set(title="Where nobody was photographed, D guesses")
        loss = LOSSES["non-saturating"]
        for which, style in ((best_logit, ":"), (logit, "-")):
            colour = BLACK if style == ":" else BLUE
            right.plot(angles, contributions(loss, which), style, color=colour, lw=2)
        right.set(xlabel="angle (rad)", ylabel="contribution to the slope by a (1/rad)")
        right.set(title="Non-saturating lives there", xlim=(-2.4, 2.4))


draw_tails()

# %% [markdown]
# **What you saw.** Of 10 000 photographs 6 lie beyond 1.6 rad. There the best logit falls like a
# steep parabola, and three quarters of the non-saturating slope come from there. The network has
# hardly seen a photograph there; its logit bends away, and its advice is milder than the formula
# says. The signs are right, the length is not. **What a loss descends "with the best
# discriminator" is known only as well as the discriminator knows the places that this loss looks
# at.**
#
# And the divergence itself? Lesson 11's bound for KL is
# $\mathrm E_p t - \mathrm E_q e^{t - 1} \le \mathrm{KL}(p\,\|\,q)$, with any critic $t$. Take
# $t = 1 + l$:
#
# $$ \mathrm E_p\, l + 1 - \mathrm E_q\, e^l \;\le\; \mathrm{KL}(p\,\|\,q), $$
#
# equal for the best logit. So the same network that gave JS gives KL too.


# %%
def kl_read_off(logit):
    """The bound of KL(p || q) by a logit on the grid, in nats."""
    return spacing * np.sum(p * logit - q * np.exp(logit)) + 1


kl = divergences.kl(p, q, spacing)
print(f"KL(p || q) is {kl:.4f} nats")
lesson.claim(
    "KL read off the network",
    kl_read_off(logits["against the clumsy"]),
    near=kl,
    percent=5,
)
of_line = kl_read_off(logits["straight line"]) / kl
lesson.claim("KL read off the straight line, over KL", of_line, below=0.5)

# %% [markdown]
# # Part 5. When the discriminator wins
#
# When a training starts, the generator's examples may be nowhere near the data, and the
# discriminator sees it at once. Take $G(z) = 3 + 0.2 z$. The photographs end near 1.7 rad.
#
# > **Predict.** A forgery with the logit -10 has $D = 0.000045$. What are the slopes $-D$,
# > $-(1 - D)$ and $-e^l$ by its logit? Which of the losses still speak?
#
# While a discriminator learns to tell these forgeries from photographs, we watch the gradient of
# each loss by $a$: how strongly the generator is asked to come nearer.

# %%
FAR = (3.0, 0.2)
FAR_STEPS = 1000
MOMENTS = np.unique(np.geomspace(1, FAR_STEPS, 40).astype(int))
far_z = z[:20_000]
far_fakes = (FAR[0] + FAR[1] * rng.standard_normal((PICTURES, 1))).astype(np.float32)
pull_by_a = {name: [] for name in LOSSES}


def watch(now):
    """After a step of the discriminator: how hard does each loss pull the far generator?"""
    if now.step in MOMENTS:
        for name, loss in LOSSES.items():
            by_a = pull(loss, now.model, *FAR, far_z)[0]
            pull_by_a[name].append(abs(by_a))


train_discriminator(far_fakes, steps=FAR_STEPS, callbacks=[watch])

# %%
silence = {}
for name, pulls in pull_by_a.items():
    silence[name] = {
        "at first": pulls[0],
        "largest": max(pulls),
        "at last": pulls[-1],
        "of the largest": pulls[-1] / max(pulls),
    }
lesson.table("gradient by a of the far generator (1/rad)", silence)

for name in ("minimax", "maximum likelihood"):
    lesson.claim(
        f"{name}: keeps, of its largest", silence[name]["of the largest"], below=0.02
    )
times = silence["non-saturating"]["at last"] / silence["minimax"]["at last"]
lesson.claim("non-saturating ends above minimax", times, above=1000, unit="times")


# %% tags=["hide-input"]
def draw_silence():
    true_slope = (FAR[0] - mean_of_p) / FAR[1] ** 2
    dashes = {"minimax": "-", "non-saturating": "-", "maximum likelihood": "--"}
    with lesson.figure("silence", width=6.2) as ax:
        for name, pulls in pull_by_a.items():
            how = {"color": LOSS_COLOURS[name], "ls": dashes[name], "lw": 2}
            ax.loglog(MOMENTS, pulls, label=name, **how)
        ax.axhline(
            true_slope, color=ORANGE, ls=":", lw=2, label="true slope of KL(p‖q)"
        )
        ax.set(xlabel="steps of the discriminator", ylabel="|gradient by a| (1/rad)")
        ax.set(title="The better D knows, the less two losses say")
        ax.legend(loc="lower left")


draw_silence()
lesson.end()

# %% [markdown]
# **What you saw.** At the logit -10 the slopes by the logit are -0.000045, -0.999955 and
# -0.000045. So where the discriminator is sure, minimax's slope $-D$ vanishes: no advice just
# when it is needed most. Maximum likelihood lies on top of it, as $D \approx e^l$. Its divergence
# *is* steep (dotted), but its mean lives on the rare forgeries that land among the photographs,
# and of our 20 000 none does. Non-saturating still speaks, and became the standard. Whether that
# decides a game, we shall see in lesson 16.

# %% [markdown]
# # What it means
#
# * A discriminator learns the share of real ones, $p/(p + q)$; its logit is the logarithm of the
#   ratio $p/q$. It knows as much as its network can say, and only where there are examples.
# * Its value is a distance: JS, up to constants. Others can be read off the same logit.
# * The three losses push different examples: the found out, the passable, the convincing.
# * What a generator makes smaller is decided by the *gradient with $D$ held*. The value of its
#   loss may say something else (non-saturating) or nothing (maximum likelihood).
#
# # Exercises
#
# **1. A better forger** (5 minutes). Set `A = 0.0` and `B = 0.85`, about the mean and the SD of
# the photographs. What is JS now, and at how many angles is $D^*$ just 1/2? What does the
# discriminator still see that mean and SD do not say?
#
# **2. How far is far?** (5 minutes). Set `FAR = (1.5, 0.5)`. Which losses still speak after 1000
# steps, and why?
#
# **3. Honest doubt** (15 minutes). Somebody has mixed up some names: call photographs real with
# probability 0.9 only (**label smoothing**). *Write* `smoothed(real_logit, fake_logit)`, in which
# a real example costs 0.9 `softplus(-l)` + 0.1 `softplus(l)`. Put it in the place of `classify`
# in `train_discriminator`, and train against the clumsy forger. *Check:* $D$ is $0.9\,p/(p + q)$
# within 0.05 on the support. *Why:* it keeps a discriminator from being too sure.
#
# **4. A loss that says what it does** (20 minutes). *Write* `reverse(logit)`, a loss per example
# whose value *and* whose gradient with $D$ held are those of $\mathrm{KL}(q\,\|\,p)$. At the end
# of the lesson, set `LOSSES["reverse"] = reverse`. *Check:* for the clumsy forger
# `loss_at("reverse", A)` is `divergences.kl(q, p, spacing)` to 1e-6, and its slopes with $D$ anew
# and $D$ held agree to 1e-4. *Hint:* look at the integral of the non-saturating loss. *Why:* such
# losses can be made for any divergence (f-GAN).
#
# **5. A forger improved by his detective** (20 minutes). *Write* `chosen(fakes, n)`: choose `n`
# of the `fakes` with probabilities proportional to $e^l$, by the network of Part 2. *Check:* 10
# 000 chosen of 100 000 clumsy forgeries are less than a third as far from fresh photographs
# (`divergences.wasserstein_1d`, `order=1`; lesson 16 explains it) as 10 000 that were not chosen.
# *Why:* $e^l = p/q$ is an **importance weight**; lesson 30 comes back to it.
#
# **6. Nearly perfect?** (10 minutes). A friend trains a discriminator against his generator for a
# while, gets $V = -1.37$, and concludes from $-\ln 4 = -1.386$ that the generator is nearly
# perfect. Name two other explanations, and for each an experiment that would show it. *Check:*
# one of them is in the table of Part 2.
#
# # Sources
#
# Goodfellow et al., *Generative adversarial nets*, NIPS 2014: the game and its optimum.
# Goodfellow, *NIPS 2016 tutorial* (arXiv 1701.00160): three losses; *On distinguishability
# criteria*, ICLR workshop 2015: maximum likelihood. Nowozin, Cseke & Tomioka, *f-GAN*, NIPS 2016:
# divergences from critics. Arjovsky & Bottou, *Towards principled methods for training GANs*,
# ICLR 2017: vanishing gradients, and what the non-saturating loss descends.
