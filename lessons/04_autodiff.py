# %% [markdown]
# # 4. Autodiff: a program that knows its own slope
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

import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson

lesson = Lesson("04_autodiff")

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

    __array_ufunc__ = (
        None  # NumPy steps back, so that `array * var` arrives at __rmul__
    )

    def __init__(self, data, op=None, args=()):
        self.data, self.op, self.args, self.id = data, op, args, next(ids)

    __add__ = __radd__ = lambda a, b: add(a, b)
    __mul__ = __rmul__ = lambda a, b: multiply(a, b)
    __neg__ = lambda a: multiply(a, -1.0)
    __sub__ = lambda a, b: add(a, -b)
    __rsub__ = lambda a, b: add(b, -a)
    sum = lambda a: sum_to(a, ())


def primitive(forward, rule):
    """An operation: `forward` works on arrays; `rule(g, y, *args)` gives one gradient per argument."""

    def op(*args):
        if not any(isinstance(a, Var) for a in args):
            return forward(*args)
        return Var(forward(*map(raw, args)), op, args)

    op.rule = rule
    return op


def shrink(a, shape):
    lead = np.ndim(a) - len(shape)
    axes = (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1))
    return np.sum(a, axis=axes, keepdims=True).reshape(shape)


add = primitive(np.add, lambda g, y, a, b: (g, g))
multiply = primitive(np.multiply, lambda g, y, a, b: (g * b, g * a))
exp = primitive(np.exp, lambda g, y, a: (g * y,))
sin = primitive(np.sin, lambda g, y, a: (g * cos(a),))
cos = primitive(np.cos, lambda g, y, a: (-g * sin(a),))
sum_to = primitive(
    shrink, lambda g, y, a, shape: (broadcast_to(g, np.shape(raw(a))), None)
)
broadcast_to = primitive(
    np.broadcast_to, lambda g, y, a, shape: (sum_to(g, np.shape(raw(a))), None)
)

# %% [markdown]
# ## The sweep
#
# `grad` starts at the end with $\partial z/\partial z = 1$ and walks back. Three decisions make it right:
#
# * **Order.** A value hands on its gradient only when everything that used it has spoken. Users are made later than
#   what they use, so their ids are larger: always take the largest id left. A heap hands out its smallest: hence `-id`.
# * **Fan-out adds up.** A value used twice moves $z$ along two paths, and the effects add: `accumulate`.
# * **Broadcasting is undone.** If NumPy stretched an argument, each copy got a gradient; the original gets their sum.


# %%
def grad(y, xs, create_graph=False, accumulate=lambda old, new: old + new):
    """The gradient of the scalar `y` by each of `xs`; with `create_graph` it can be differentiated again."""
    seen_as = (lambda a: a) if create_graph else raw
    grads, waiting, heap = (
        {y.id: seen_as(Var(np.ones_like(y.data)))},
        {y.id: y},
        [-y.id],
    )
    while heap:
        node = waiting.pop(-heapq.heappop(heap))
        received = (
            node.op.rule(grads[node.id], seen_as(node), *map(seen_as, node.args))
            if node.op
            else ()
        )
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
# That is the whole machine. Try it on $z = u \sin u$ with $u = 0.8\,x$. Here $u$ is used twice, directly and through
# the sine, so two gradients come into it: $\sin u$ and $u\cos u$. Suppose we keep only the last to arrive, the
# commonest bug of home-made tapes. Nothing crashes, nothing is infinite; the number is only wrong. The first judge of
# a gradient is therefore a measurement: move by $\pm h$ and look. After it comes a trial of strength, ten thousand
# additions in a row. A sweep that calls itself at every step would exceed Python's limit of about 1000 nested calls;
# ours is a loop.

# %%
central_difference = lambda f, x, h=1e-6: (f(x + h) - f(x - h)) / (2 * h)
x = chain = Var(1.5)
u = 0.8 * x
z = u * sin(u)
right, forgetful = (
    grad(z, [x])[0].data,
    grad(z, [x], accumulate=lambda old, new: new)[0].data,
)
measured = central_difference(lambda x: 0.8 * x * np.sin(0.8 * x), 1.5)
off, missed = abs(right / measured - 1), abs(forgetful / measured - 1)
lesson.verdict(
    f"dz/dx is {right:.3f}, off by {off:.0e} from what we measure (limit 1e-6)",
    off < 1e-6,
)
lesson.verdict(
    f"without accumulation it is {forgetful:.3f}, {missed:.0%} off (at least 10 %)",
    missed > 0.1,
)
for _ in range(10_000):
    chain = chain + x
slope = grad(chain, [x])[0].data
lesson.verdict(
    f"10 000 additions have slope {slope:.0f} (exactly 10001)", slope == 10_001
)

# %% [markdown]
# A gradient of many entries is measured along a random direction $v$: a step $\pm hv$ changes the result by
# $\pm h\,\langle \text{gradient}, v\rangle$, and one wrong entry would show. The second judge is minigen, whose tape is
# this one with more comfort: more operations, errors that help, fast kernels. All three run the same text, with the
# `sin` and `exp` they are handed. The shapes $(3, 4)$, $(4)$ and $(3, 1)$ put broadcasting on trial too.


# %%
def program(a, b, c, sin, exp):
    wave = sin(a * b) * exp(c * b)
    return ((wave - a * wave * wave) * c).sum()


inputs, direction = (
    [lesson.rng.normal(size=shape) for shape in ((3, 4), (4,), (3, 1))]
    for _ in range(2)
)
leaves = [Var(array) for array in inputs]
ours = [g.data for g in grad(program(*leaves, sin, exp), leaves)]
leaves = [minigen.tensor(array, requires_grad=True) for array in inputs]
theirs = [
    g.data
    for g in minigen.grad(program(*leaves, minigen.ops.sin, minigen.ops.exp), leaves)
]
moved = lambda step: program(
    *(array + step * v for array, v in zip(inputs, direction)), np.sin, np.exp
)
off = abs(
    sum((g * v).sum() for g, v in zip(ours, direction)) / central_difference(moved, 0.0)
    - 1
)
worst = lambda ours, theirs: max(
    np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs)
)
found = (
    f"along a random direction the gradient is off by {off:.0e} from what we measure"
)
gap = worst(ours, theirs)
lesson.verdict(
    f"{found}, entry by entry by {gap:.0e} from minigen's (limit 1e-6)",
    max(off, gap) < 1e-6,
)

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
off = worst(
    [order.data for order in swing],
    [(theta0 * rate**n * np.exp(rate * t.data)).real for n in range(7)],
)
lesson.verdict(
    f"derivatives 1 to 6 of the swing equal the closed form to {off:.0e} (limit 1e-6)",
    off < 1e-6,
)

# %% [markdown]
# ## A whole simulation is one more function
#
# The pendulum of lesson 1, integrated by Euler-Cromer through 500 steps: where does it hang after 5 s, and how does
# that depend on its $g/L$? There is no formula to differentiate, only a program, and a program is enough.
#
# Who can judge its slope to the last digit? Complex numbers: for smooth $f$, $f(x + ih) = f(x) + ih f'(x) + O(h^2)$,
# and the imaginary part divided by $h$ subtracts nothing, so that $h$ may be $10^{-30}$.


# %%
def final_angle(g_over_l, theta, omega, sin, steps=500, dt=0.01):
    """The pendulum's angle (rad) after `steps` steps of `dt` seconds."""
    for _ in range(steps):
        omega = omega - dt * g_over_l * sin(theta)
        theta = theta + dt * omega
    return theta


n = 20 if lesson.quick else 100  # pendulums, side by side in arrays on one tape
start = [
    lesson.rng.uniform(low, high, n)
    for low, high in ((4.0, 9.8), (0.5, 1.5), (0.5, 1.5))
]
truth = [
    final_angle(*(s + i for s, i in zip(start, tilt)), np.sin).imag / 1e-30
    for tilt in 1e-30j * np.eye(3)
]
knobs = [Var(s) for s in start]
slopes = [g.data for g in grad(final_angle(*knobs, sin).sum(), knobs)]
off = worst(slopes, truth)
lesson.verdict(
    f"slopes by g/L, theta0, omega0 equal the complex step's to {off:.0e} (limit 1e-11)",
    off < 1e-11,
)

# %% [markdown]
# One sweep, a small multiple of the program's own work, gave all three slopes, and would give a million: that is why
# reverse mode carries all of deep learning. Finite differences cost two runs **for each input**. And they must choose
# $h$, and lose either way: a large $h$ sees the curvature, a small one subtracts two nearly equal numbers, and the
# rounding error $\epsilon \approx 10^{-16}$ comes out divided by $h$. The error is a V, its tip far above the tape.

# %%
h = np.logspace(-14, -1, 105)[:, None]
here, ahead, behind = (
    final_angle(start[0] + side * h, *start[1:], np.sin) for side in (0, 1, -1)
)
estimates = {
    "forward difference": (ahead - here) / h,
    "central difference": (ahead - behind) / (2 * h),
}
estimates["tape"] = slopes[0] + 0 * h
error = {
    name: np.median(np.abs(found / truth[0] - 1), axis=1)
    for name, found in estimates.items()
}
fig, ax = plt.subplots(figsize=(8.5, 5), layout="constrained")
places = ((1e-6, 2e-4), (3e-6, 2e-12), (2e-14, 3e-15))
for name, colour, place in zip(error, ("#d9822b", "#b3261e", "#1f5fa8"), places):
    ax.loglog(h, error[name], color=colour, lw=2)
    ax.text(*place, name, color=colour)
ax.text(3e-14, 5e-7, r"rounding: error ~ $\epsilon/h$", color="#555555")
ax.text(2e-3, 3e-9, "curvature:\nerror ~ $h^2$", color="#555555")
ax.set(
    xlabel="step $h$ in $g/L$ (1/s²)",
    ylabel="median relative error",
    title="Slope of the angle after 5 s by $g/L$",
)
lesson.save(fig)
forward, central, tape = (curve.min() for curve in error.values())
found = f"relative error at the best h: forward {forward:.0e}, central {central:.0e}; tape {tape:.0e}"
lesson.verdict(
    f"{found}, more than 1000 times smaller", forward > central > 1000 * tape
)
lesson.end()

# %% [markdown]
# ## What it means
#
# A slope is no harder to get than a value: write the program, and its gradient comes with it, to nearly the last digit,
# for the price of a few runs. Three decisions carry it (order by id, add at fan-out, undo broadcasting); a fourth, to
# write the rules in the tape's own operations, makes it endless. minigen's `tape.py` is this, with a rule per argument.
#
# ## Exercises
#
# 1. Add `tanh` and `log` as primitives (a rule may use its output `y`). At 0.7 the gradients agree with
#    `central_difference` to 1e-8, the second derivatives with their closed forms to 1e-12.
# 2. Someone writes the rule of `exp` as `g * np.exp(raw(a))`. Write `first_wrong_order(op, derivatives)`: the lowest
#    order at which `op` disagrees at 0.3 with a list of closed forms, or `None`. What is it here?
# 3. `newton(theta0, omega0)`: the $g/L$ near 6 with $\theta = 0$ after exactly 5 s, by Newton's method with the tape's
#    derivative. From $\theta_0 = \omega_0 = 1$ it reaches $|\theta| < 10^{-12}$ rad in at most 8 steps.
#
# ## Sources
#
# Linnainmaa, *Taylor expansion of the accumulated rounding error*, BIT 16 (1976), the reverse sweep; Griewank &
# Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008), what a sweep costs at most; Baydin et al., *Automatic
# differentiation in machine learning: a survey*, JMLR 18 (2018); Squire & Trapp, *Using complex variables to estimate
# derivatives of real functions*, SIAM Review 40 (1998), the complex step.
