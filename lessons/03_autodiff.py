# %% [markdown]
# # 3. Autodiff: a program that knows its own slope
#
# **At the end you can** write a reverse-mode automatic differentiator from an empty page, say why its gradients have
# all their digits while finite differences lose half of theirs, and differentiate a gradient.
#
# **It stands on** the chain rule, NumPy's broadcasting and the pendulum of lesson 1.
#
# Every model in this course learns by one question: *if I turn this knob a little, how much does that number move?*
# With one knob we could turn it and look. A network has a hundred thousand, and each wants its answer at every step of
# the training. So we want all slopes of a program in one go, exactly.

# %%
import heapq
import itertools
import operator

import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

import minigen

lesson = Lesson("03_autodiff")

# %% [markdown]
# ## What there is to know about one operation
#
# A program, however long, is a chain of small operations, each with a derivative known from school. If the final number
# $z$ depends on $y = \sin a$, then $\partial z/\partial a = \partial z/\partial y \cdot \cos a$. Write $g$ for
# $\partial z/\partial y$. The **rule** of an operation turns $g$ into what each argument receives: $g\cos a$ for the
# sine, $(g\,b,\ g\,a)$ for the product $ab$, $(g, g)$ for the sum. It never asks what $z$ is.
#
# So we keep a record, the **tape**: for every value which operation made it, from what, and a running number, its id.
# `primitive` ties an operation to its rule. Note its first lines: given plain numbers, an operation computes and
# records nothing. That looks like mere thrift now.

# %%
ids = itertools.count()
raw = lambda a: a.data if isinstance(a, Var) else a


class Var:
    """A value on the tape: `data` (number or array), the operation `op` that made it from `args`, and its `id`."""

    __array_ufunc__ = None  # NumPy steps back, so that `array * var` arrives at __rmul__

    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args, self.id = data, op, args, next(ids)

    __add__ = __radd__ = lambda a, b: add(a, b)
    __mul__ = __rmul__ = lambda a, b: multiply(a, b)
    __neg__ = lambda a: multiply(a, -1.0)
    __sub__ = lambda a, b: add(a, -b)
    __rsub__ = lambda a, b: add(b, -a)
    __truediv__ = lambda a, b: multiply(a, reciprocal(b))
    __rtruediv__ = lambda a, b: multiply(b, reciprocal(a))
    sum = lambda a: sum_to(a, ())


def primitive(forward, rule):
    """An operation: `forward` works on arrays; `rule(g, y, *args)` gives one gradient per argument."""

    def op(*args):
        if not any(isinstance(a, Var) for a in args):
            return forward(*args)
        return Var(forward(*map(raw, args)), op, args)

    op.rule, op.name = rule, forward.__name__
    return op


def shrink(a, shape):
    lead = np.ndim(a) - len(shape)
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1))
    return np.sum(a, axis=axes, keepdims=True).reshape(shape)


add = primitive(np.add, lambda g, y, a, b: (g, g))
multiply = primitive(np.multiply, lambda g, y, a, b: (g * b, g * a))
reciprocal = primitive(np.reciprocal, lambda g, y, a: (-g * y * y,))
exp = primitive(np.exp, lambda g, y, a: (g * y,))
sin = primitive(np.sin, lambda g, y, a: (g * cos(a),))
cos = primitive(np.cos, lambda g, y, a: (-g * sin(a),))
sum_to = primitive(shrink, lambda g, y, a, shape: (broadcast_to(g, np.shape(raw(a))), None))
broadcast_to = primitive(np.broadcast_to, lambda g, y, a, shape: (sum_to(g, np.shape(raw(a))), None))

# %% [markdown]
# ## The sweep
#
# `grad` starts at the end with $\partial z/\partial z = 1$ and walks back. Three decisions make it right:
#
# * **Order.** A value hands on its gradient only when everything that used it has spoken. Users are made later than
#   what they use, so their ids are larger: always take the largest id left. A heap does that, without recursion.
# * **Fan-out adds up.** A value used twice moves $z$ along two paths, and the effects add: `accumulate`.
# * **Broadcasting is undone.** If NumPy stretched an argument, each copy got a gradient; the original gets their sum.


# %%
def grad(y, xs, create_graph=False, accumulate=operator.add):
    """The gradient of the scalar `y` by each of `xs`; with `create_graph` it can be differentiated again."""
    seen_as = (lambda a: a) if create_graph else raw
    grads, waiting, heap = {y.id: seen_as(Var(np.ones_like(y.data)))}, {y.id: y}, [-y.id]
    wanted = {x.id for x in xs}
    while heap:
        node = waiting.pop(-heapq.heappop(heap))
        g = grads[node.id] if node.id in wanted else grads.pop(node.id)
        received = node.op.rule(g, seen_as(node), *map(seen_as, node.args)) if node.op else ()
        for a, ga in zip(node.args, received):
            if not isinstance(a, Var):
                continue
            if np.shape(raw(ga)) != np.shape(a.data):
                ga = sum_to(ga, np.shape(a.data))
            if a.id in grads:
                grads[a.id] = accumulate(grads[a.id], ga)
            else:
                grads[a.id], waiting[a.id] = ga, a
                heapq.heappush(heap, -a.id)
    found = [grads.get(x.id, np.zeros_like(x.data)) for x in xs]
    return [g if isinstance(g, Var) else Var(g) for g in found]


# %% [markdown]
# That is the whole machine. Try it on $z = u \sin u$ with $u = xy$, where $u$ is used twice: directly, and through the
# sine. The picture is drawn from the nodes really recorded; on each arrow stands the gradient its rule sent back.

# %%
x, y = Var(1.5), Var(0.8)
u = x * y
v = sin(u)
z = u * v
nodes, names, places = [x, y, u, v, z], "xyuvz", [(0, 0.8), (0, -0.8), (1.4, 0), (2.8, 0.8), (4.2, 0)]
slopes = [g.data for g in grad(z, nodes)]

fig, ax = plt.subplots(figsize=(10.5, 5))
ax.set_title("The tape of $z = u\\,\\sin u$ with $u = xy$: largest id first, two gradients meet in $u$")
ax.set(xlim=(-0.6, 4.8), ylim=(-1.25, 1.25), aspect="equal")
ax.axis("off")
box = {"boxstyle": "round,pad=0.5", "facecolor": "#f4f1e8", "edgecolor": "#444444"}
centred = {"ha": "center", "va": "center", "fontsize": 11}
texts = {}
for name, node, slope, place in zip(names, nodes, slopes, places):
    made = f"{name}: {node.op.name if node.op else 'input'}\nid {node.id}, visit {z.id - node.id + 1}"
    found = f"value {node.data:.3f}\n$\\partial z/\\partial {name}$ = {slope:.3f}"
    texts[node.id] = ax.text(*place, f"{made}\n{found}", linespacing=1.5, bbox=box, **centred)
fig.canvas.draw()  # now the boxes have their size, and arrows can end at them
for node, slope, (x0, y0) in zip(nodes[2:], slopes[2:], places[2:]):
    for a, sent in zip(node.args, node.op.rule(slope, node.data, *map(raw, node.args))):
        x1, y1 = texts[a.id].get_position()
        ends = {"patchA": texts[node.id].get_bbox_patch(), "patchB": texts[a.id].get_bbox_patch()}
        ax.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "-|>", "color": "#b3261e", "lw": 2} | ends)
        ax.text((x0 + x1) / 2, (y0 + y1) / 2 + 0.2, f"{sent:.3f}", color="#b3261e", **centred)
lesson.figure(fig, "_tape")

# %% [markdown]
# Into $u$ come two gradients: $\sin u = 0.932$ and $u\cos u = 0.435$. Suppose we keep only the last to arrive, the
# commonest bug of home-made tapes. Nothing crashes, nothing is infinite; the number is only wrong. The first judge of
# every gradient is a measurement: move one entry by $\pm h$ and look.


# %%
def central_differences(f, arrays, h=1e-6):
    """The slope of f by every entry of every array: two runs of f for each."""
    slopes = []
    for k, array in enumerate(arrays):
        nudges = h * np.eye(array.size).reshape(-1, *array.shape)
        runs = [[f(*arrays[:k], array + nudge, *arrays[k + 1 :]) for nudge in (up, -up)] for up in nudges]
        slopes.append(np.reshape([(after - before) / (2 * h) for after, before in runs], array.shape))
    return slopes


measured = central_differences(lambda x: float(x * 0.8 * np.sin(x * 0.8)), [np.array(1.5)])[0]
forgetful = grad(z, [x], accumulate=lambda old, new: new)[0].data
off, right_off = abs(forgetful / measured - 1), abs(slopes[0] / measured - 1)
lesson.claim(
    f"dz/dx is {measured:.3f} as measured; without accumulating the tape says {forgetful:.3f}, {100 * off:.0f} % off "
    f"(held against at least 10 %); with it {slopes[0]:.3f}, off by {right_off:.0e} (held against 1e-6)",
    off > 0.1 and right_off < 1e-6,
)

# %% [markdown]
# The second judge is minigen, whose tape is this one with more comfort: more operations, errors that help, fast
# kernels. All three run the same text, with whatever `sin` and `exp` they are handed. The shapes $(3, 4)$, $(4)$ and
# $(3, 1)$ put broadcasting on trial too.


# %%
def program(a, b, c, sin, exp):
    wave = sin(a * b) * exp(c * b)
    return ((wave - a / (1.5 + wave * wave)) * c).sum()


def worst(ours, theirs):
    """The largest difference, relative to the largest entry, over a list of arrays."""
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs))


leaf = lambda array: minigen.tensor(array, requires_grad=True)
inputs = [lesson.rng.normal(size=shape) for shape in ((3, 4), (4,), (3, 1))]
a, b, c = (Var(array) for array in inputs)
ours = [g.data for g in grad(program(a, b, c, sin, exp), [a, b, c])]
a, b, c = (leaf(array) for array in inputs)
theirs = [g.data for g in minigen.grad(program(a, b, c, minigen.ops.sin, minigen.ops.exp), [a, b, c])]

error = worst(ours, central_differences(lambda *arrays: program(*arrays, np.sin, np.exp), inputs))
lesson.claim(f"our gradient equals finite differences to {error:.1e} (held against 1e-6)", error < 1e-6)
error = worst(ours, theirs)
lesson.claim(f"our gradient equals minigen's to {error:.1e} (held against 1e-6)", error < 1e-6)

# %% [markdown]
# ## The derivative of a derivative
#
# Now the thrift pays. A rule is written in the tape's own operations. Hand it raw arrays, and it computes raw arrays.
# Hand it `Var`s (`create_graph=True`), and the *same* rule records what it does: the gradient is a value on the tape
# like any other, and can be differentiated again, and again. One rule, two paths; nothing else is needed.
#
# A case with a known answer for every order is a swing with friction,
# $\theta(t) = \theta_0 e^{-\gamma t} \cos\omega t$, the real part of $\theta_0 e^{\lambda t}$ with
# $\lambda = -\gamma + i\omega$: each derivative is one more factor $\lambda$. (A moment $t_i$ moves only its own
# $\theta_i$, so one sweep from their sum differentiates the whole curve.)

# %%
theta0, gamma, omega = 0.3, 0.25, 2.5  # rad, 1/s, 1/s
t = Var(np.linspace(0.0, 8.0, 400))
swing = [theta0 * exp(-gamma * t) * cos(omega * t)]
for _ in range(6):
    swing += grad(swing[-1].sum(), [t], create_graph=True)
rate = complex(-gamma, omega)
error = worst([order.data for order in swing], [(theta0 * rate**n * np.exp(rate * t.data)).real for n in range(7)])
lesson.claim(f"derivatives 1 to 6 of the swing equal the closed form to {error:.1e} (held against 1e-6)", error < 1e-6)

# %% [markdown]
# ## A whole simulation is one more function
#
# The pendulum of lesson 1, integrated by Euler-Cromer through 500 steps: where does it hang after 5 s, and how does
# that depend on the length $L$ of the rod? There is no formula to differentiate, only a program, and a program is
# enough.
#
# Who can judge its slope to the last digit? Complex numbers: for smooth $f$, $f(L + ih) = f(L) + ih f'(L) + O(h^2)$,
# and the imaginary part divided by $h$ subtracts nothing, so that $h$ may be $10^{-30}$.


# %%
def final_angle(length, theta, omega, sin, steps=500, dt=0.01):
    """The pendulum's angle (rad) after `steps` steps of `dt` seconds."""
    pull = 9.81 * dt / length
    for _ in range(steps):
        omega = omega - pull * sin(theta)
        theta = theta + dt * omega
    return theta


n = 20 if lesson.quick else 100  # pendulums, side by side in arrays on one tape
start = [lesson.rng.uniform(low, high, n) for low, high in ((1.0, 2.5), (0.5, 1.5), (0.5, 1.5))]
tilts = 1e-30j * np.eye(3)
truth = [final_angle(*(s + i for s, i in zip(start, tilt)), np.sin).imag / 1e-30 for tilt in tilts]
tilted = Var(start[0] + 1e-30j)  # a complex step through our own sweep judges the second derivative
truth_twice = grad(final_angle(tilted, *start[1:], sin).sum(), [tilted])[0].data.imag / 1e-30

for engine, make, sine, gradient in (("minigen", leaf, minigen.ops.sin, minigen.grad), ("our tape", Var, sin, grad)):
    knobs = [make(s) for s in start]
    once = gradient(final_angle(*knobs, sine).sum(), knobs, create_graph=True)
    twice = gradient(once[0].sum(), knobs[:1])
    error, error_twice = worst([g.data for g in once], truth), worst([twice[0].data], [truth_twice])
    lesson.claim(
        f"{engine} through 500 steps: gradient by L, theta0, omega0 equal to the complex step's to {error:.0e}, "
        f"second derivative by L to {error_twice:.0e} (held against 1e-11)",
        max(error, error_twice) < 1e-11,
    )

first_id = next(ids)
end = final_angle(*map(Var, start), sin).sum()
run = end.id - first_id - 3
grad(end, [], create_graph=True)
sweep = next(ids) - end.id - 2
lesson.claim(f"the sweep takes {sweep / run:.1f} times the run's {run} operations (held against 5)", sweep < 5 * run)

# %% [markdown]
# That last number is why reverse mode carries all of deep learning: a sweep costs a few runs, **however many inputs**
# there are. Finite differences cost two runs for each input. And they must choose $h$, and lose either way: a large $h$
# sees the curvature, a small one subtracts two nearly equal numbers, and the rounding error $\epsilon \approx 10^{-16}$
# comes out divided by $h$ (for a second derivative, by $h^2$). The error is a V, with its tip far above the tape.

# %%
h = np.logspace(-14, -1, 105)[:, None]
here, ahead, behind = (final_angle(start[0] + side * h, *start[1:], np.sin) for side in (0, 1, -1))
estimates = {
    "forward difference": ((ahead - here) / h, truth[0], "#d9822b", (1.2e-5, 6e-2)),
    "central difference": ((ahead - behind) / (2 * h), truth[0], "#b3261e", (1.5e-5, 3e-12)),
    "second difference": ((ahead - 2 * here + behind) / h**2, truth_twice, "#6a4fa3", (1.2e-8, 3e1)),
    "tape, first derivative": (once[0].data + 0 * h, truth[0], "#1f5fa8", (2e-14, 3e-15)),
    "tape, second (dashed)": (twice[0].data + 0 * h, truth_twice, "#7fb2e5", (1e-10, 3e-15)),
}
best = {}
fig, ax = plt.subplots(figsize=(8.5, 5.6), layout="constrained")
for name, (estimate, exact, colour, place) in estimates.items():
    error = np.maximum(np.median(np.abs(estimate / exact - 1), axis=1), 1e-17)  # over the pendulums
    best[name] = error.min()
    ax.loglog(h[:, 0], error, color=colour, lw=2, ls="--" if "dashed" in name else "-")
    ax.text(*place, name, color=colour, fontsize=11)
ax.text(3e-14, 5e-7, r"rounding: error ~ $\epsilon/h$", color="#555555")
ax.text(2e-3, 3e-9, "curvature:\nerror ~ $h^2$", color="#555555")
ax.set(xlim=(1e-14, 1e-1), ylim=(1e-17, 1e4), ylabel=f"relative error (median of {n} pendulums)")
ax.set_xlabel("step $h$ in the length $L$ (m)")
ax.set_title(r"Derivatives of the angle $\theta(5\,\mathrm{s})$ by $L$, through 500 integration steps")
lesson.figure(fig, "_differences")

forward, central, _, tape, _ = best.values()
lesson.claim(
    f"relative error at the best h: forward {forward:.0e}, central {central:.0e}; tape {tape:.0e}, "
    f"{central / tape:.0f} times smaller than the central difference's (held against 1000)",
    forward > central > 1000 * tape,
)

# %% [markdown]
# ## Training on a slope
#
# Gradients of gradients are daily bread: in lesson 13 a critic $D(x)$ is asked to have slope 1, through the penalty
# $P = \mathrm{mean}\,(\lVert \nabla_x D \rVert - 1)^2$. To train on it we need a gradient by the weights of something
# made of a gradient by the input: in minigen, two calls of `grad`. The judge works $\nabla_x D$ out on paper and moves
# each weight.

# %%
points = lesson.rng.normal(size=(64, 2))
weights = [lesson.rng.normal(size=shape) for shape in ((2, 16), (16,), (16,))]


def penalty_on_paper(W, b, a):
    slope = (a * (1 - np.tanh(points @ W + b) ** 2)) @ W.T
    return np.mean((np.linalg.norm(slope, axis=1) - 1) ** 2)


x, W, b, a = (leaf(array) for array in (points, *weights))
critic = minigen.ops.tanh(x @ W + b) @ a
slope = minigen.grad(critic.sum(), x, create_graph=True)
penalty = ((minigen.ops.sqrt((slope * slope).sum(axis=1)) - 1) ** 2).mean()
by_weights = [g.data for g in minigen.grad(penalty, [W, b, a])]
error = worst(by_weights, central_differences(penalty_on_paper, weights))
lesson.claim(f"dP/dw equals finite differences to {error:.1e} (held against 1e-6)", error < 1e-6)

# %% [markdown]
# ## Long chains, many paths
#
# Two last trials of the sweep. Ten thousand additions in a row: a sweep that calls itself at every step would exceed
# Python's limit of about 1000 nested calls. And 25 doublings $y \leftarrow y + y$: from the end to the start lead
# $2^{25}$, 33 million paths; whoever walks them one by one, instead of waiting at each node until its gradient is
# complete, is not home tonight.

# %%
for engine, start, gradient in (("our tape", Var(1.0), grad), ("minigen", leaf(1.0), minigen.grad)):
    chain = doubled = start
    for _ in range(10_000):
        chain = chain + start
    for _ in range(25):
        doubled = doubled + doubled
    slopes = [float(gradient(end, [start])[0].data) for end in (chain, doubled)]
    found = f"10 000 additions have slope {slopes[0]:.0f} (held against 10001), 25 doublings {slopes[1]:.0f}"
    lesson.claim(f"{engine}: {found} (held against {2**25})", slopes == [10_001, 2**25])

# %% [markdown]
# ## What it means
#
# A slope is no harder to get than a value: write the program, and its gradient comes with it, to nearly the last digit,
# for the price of a few runs. Three decisions carry it (order by id, add at fan-out, undo broadcasting); a fourth, to
# write the rules in the tape's own operations, makes it endless. minigen's `tape.py` is this lesson grown up.
#
# ## Exercises
#
# 1. Add `tanh` and `log` as primitives (a rule may use its output `y`). The gradients agree with `central_differences`
#    to 1e-8, the second derivatives at 0.7 with their closed forms to 1e-12.
# 2. `hessian(f, x)`: the $(n, n)$ second derivatives of a scalar function of a vector, one sweep a row. For
#    $f = \sum_i x_i \cdot \sum_i \sin x_i$ it is symmetric to 1e-12 and equals the closed form.
# 3. Someone writes the rule of `exp` as `g * np.exp(raw(a))`. Write `first_wrong_order(op, derivatives)`: the lowest
#    order at which `op` disagrees at 0.3 with a list of closed forms, or `None`. What is it here?
# 4. `newton_length(theta0, omega0)`: the length near 1.5 m with $\theta = 0$ after exactly 5 s, by Newton's method with
#    the tape's derivative. From $\theta_0 = \omega_0 = 1$ it reaches $|\theta| < 10^{-12}$ rad in at most 8 steps.
#
# ## Sources
#
# * Linnainmaa, *Taylor expansion of the accumulated rounding error*, BIT 16 (1976): the reverse sweep.
# * Speelpenning, *Compiling fast partial derivatives of functions given by algorithms*, PhD thesis, Illinois (1980).
# * Griewank & Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008): what a sweep costs at most.
# * Baydin, Pearlmutter, Radul & Siskind, *Automatic differentiation in machine learning: a survey*, JMLR 18 (2018).
# * Squire & Trapp, *Using complex variables to estimate derivatives of real functions*, SIAM Review 40 (1998).
# * Gulrajani et al., *Improved training of Wasserstein GANs*, NeurIPS 30 (2017): the gradient penalty.

# %%
lesson.end()
