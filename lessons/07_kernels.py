# %% [markdown]
# # 7. Kernels: the same sum, hundreds of times faster
#
# **At the end you can** write a loop that becomes fast machine code, name four habits that prevent it, build tanh from
# a few multiplications and one division, fuse several passes into one, and say where a training step's time goes.
#
# **It stands on** the layer of lesson 5: a matrix product, a bias, a bend; and, for one check, on lesson 4's gradients.
#
# One line of lesson 5 is computed over and over: $y = \tanh(z + b)$, where the matrix $z$ has a row for each example
# and $b$ a number for each column. We compute it four ways, with an eye on the clock. The first three come easily.

# %%
import math
from timeit import default_timer, timeit

import matplotlib.pyplot as plt
import numba
import numpy as np

from lesson import Lesson
from minigen import grad, kernels, nn, ops, optim, tensor, watching

lesson = Lesson("07_kernels")
normal = lambda *shape: lesson.rng.standard_normal(shape, np.float32)


def python_loop(z, b, out):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            out[i, j] = math.tanh(z[i, j] + b[j])


naive = numba.njit(
    python_loop
)  # the same loop, translated to machine code when it is first called
in_numpy = lambda z, b, out: np.tanh(z + b, out=out)


def race(size, calls):
    """Median time of each call in ns per number; they take turns, so that a busy moment hits them all."""
    once = [
        (call(), timeit(call, number=1))[1] for call in calls
    ]  # the very first call may compile
    repeats = [1 + int(2e-4 / seconds) for seconds in once]
    turns = [
        [timeit(call, number=n) / n for call, n in zip(calls, repeats)]
        for _ in range(25)
    ]
    return 1e9 / size * np.median(turns, axis=0)


z, b, out = 2 * normal(256, 128), normal(128), normal(256, 128)
time_all = lambda *ways: race(z.size, [lambda way=way: way(z, b, out) for way in ways])
print(
    "ns per number: Python {:.1f}, numba {:.2f}, NumPy {:.2f}".format(
        *time_all(python_loop, naive, in_numpy)
    )
)

# %% [markdown]
# Surprised? The second loop is machine code, and yet NumPy is likely to be ten or more times faster. A processor holds
# 4, 8 or 16 float32 numbers in one **vector register** and works on all of them at once. NumPy's tanh was written for
# that. A compiler does the same for us, if the loop is plain arithmetic. Four habits spoil it:
#
# 1. **A call.** The system's tanh takes one number at a time.
# 2. **A check.** numba tests every division for zero, as Python would, unless told `error_model="numpy"`.
# 3. **A wide number.** A bare `1.0` is a float64, and so is its product with a float32: half as many fit.
# 4. **A new array** for each result, fetched from the system page by page.
#
# ## A tanh without a call
#
# So we need a tanh of plain arithmetic. Lambert found one on his way to proving $\pi$ irrational, in 1761, a tower:
#
# $$\tanh x = \cfrac{x}{1 + \cfrac{s}{3 + \cfrac{s}{5 + \dots}}} \approx x\,\frac{P(s)}{Q(s)}, \qquad s = x^2.$$
#
# Cut it off after 12 levels and work from the bottom: under an odd number $k$, a level of value $Q/P$ makes
# $k + s/(Q/P) = (kQ + sP)/Q$. One fraction is left, one division for all. Beyond $|x| = 8.2$ tanh is $\pm 1$ to within
# $2\cdot 10^{-7}$, so there $x$ may stop. `make_kernel` takes arguments so that we can relapse into habits 2 and 3.


# %%
def lambert(levels):
    """Coefficients of P and Q, highest power first."""
    s, P, Q = map(np.polynomial.Polynomial, ([0, 1], [1], [2 * levels - 1]))
    for k in range(2 * levels - 3, 0, -2):
        P, Q = Q, k * Q + s * P
    return [(polynomial.coef / Q.coef[0])[::-1] for polynomial in (P, Q)]


def make_kernel(number=np.float32, error_model="numpy"):
    P, Q = (tuple(number(c) for c in coefficients) for coefficients in lambert(12))
    low, high, zero = number(-8.2), number(8.2), number(0)

    @numba.njit(error_model=error_model)
    def bias_tanh(z, b, out):
        for i in range(z.shape[0]):
            for j in range(z.shape[1]):
                x = min(max(z[i, j] + b[j], low), high)
                s, p, q = x * x, zero, zero
                for c in P:  # the compiler writes these short loops out: their numbers are constants
                    p = p * s + c
                for c in Q:
                    q = q * s + c
                out[i, j] = x * p / q

    return bias_tanh


bias_tanh, checked, wide = (
    make_kernel(),
    make_kernel(error_model="python"),
    make_kernel(number=float),
)
times = time_all(python_loop, naive, checked, wide, in_numpy, bias_tanh)
labels = [
    "Python loop",
    "numba, naive",
    "ours, divisions checked",
    "ours, float64 constants",
    "NumPy",
    "ours",
]
for label, slower, limit in zip(labels, times / times[-1], (20, 1.2, 1.2, 1.2)):
    lesson.verdict(
        f"{label}: {slower:.3g} times the time of our kernel (more than {limit})",
        slower > limit,
    )
x, y = (
    np.linspace(-12, 12, 200_001, dtype=np.float32),
    np.empty((1, 200_001), np.float32),
)
bias_tanh(x[None], np.zeros_like(x), y)
exact = np.tanh(x.astype(float))
off = np.abs(y[0] - exact)
lesson.verdict(
    f"its tanh is within {off.max():.1e} of float64's for |x| up to 12 (limit 1e-6)",
    off.max() < 1e-6,
)
fig, (left, right) = plt.subplots(1, 2, figsize=(13, 4.4), layout="constrained")
colours = ["#8a8a8a", "#b3261e", "#b3261e", "#b3261e", "#d9822b", "#1f5fa8"]
left.bar_label(left.barh(labels, times, color=colours), fmt="%.3g", padding=4)
left.set(
    xscale="log",
    xlabel="time per number (ns)",
    xlim=(0.05, 1e3),
    ylim=(6, -1),
    title="tanh(z + b), 256 × 128",
)
for levels in (4, 6, 8, 10, 12):
    P, Q = (
        np.polyval(coefficients, x.astype(float) ** 2)
        for coefficients in lambert(levels)
    )
    right.semilogy(
        x,
        np.abs(x * P / Q - exact),
        color=plt.cm.viridis(1 - levels / 14),
        label=f"{levels} levels",
    )
right.semilogy(x[::40], off[::40], "k.", ms=1, label="ours, in float32")
right.set(
    xlim=(0, 12),
    ylim=(1e-11, 99),
    xlabel="x",
    ylabel="absolute error",
    title="Lambert's tower against tanh",
)
right.legend(frameon=False, ncol=3, loc="upper left", markerscale=6)
lesson.save(fig)

# %% [markdown]
# ## Fuse
#
# Our kernel does one thing more: it walks over the matrix **once**. NumPy computes $z + b$, stores it, and fetches it
# again for the tanh. The backward pass, $g\,(1 - y^2)$, makes three such trips, each to a new array.


# %%
@numba.njit(error_model="numpy")
def tanh_back(g, y, out):
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            out[i, j] = g[i, j] * (np.float32(1) - y[i, j] * y[i, j])


def fusing(rows):
    z, g, out = normal(rows, 128), normal(rows, 128), normal(rows, 128)
    forward = lambda: np.tanh(z + b), lambda: bias_tanh(z, b, out)
    backward = lambda: g * (1 - z * z), lambda: tanh_back(g, z, out)
    return race(z.size, [*forward, *backward])


rows = 2 ** np.arange(3, 13 if lesson.quick else 15)
curves = np.transpose([fusing(n) for n in rows])
gain = np.median(curves[2] / curves[3])
lesson.verdict(
    f"fused, the backward pass is {gain:.1f} times faster (median over sizes, more than 1.2)",
    gain > 1.2,
)
fig, ax = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
labels = ("tanh(z + b), NumPy", "fused", "g (1 − y²), NumPy", "fused")
for curve, label, style in zip(curves, labels, ("o-", "o-", "s--", "s--")):
    ax.loglog(
        rows * 128 * 4 / 1e6,
        curve,
        style,
        color="#1f5fa8" if label == "fused" else "#d9822b",
        label=label,
    )
ax.set(
    xlabel="size of the matrix (MB)",
    ylabel="time per number (ns)",
    title="One trip or several",
)
ax.legend(frameon=False, ncol=2)
lesson.save(fig, "fusing")

# %% [markdown]
# With small matrices, at the left, we pay for the call; in the middle for arithmetic; at the right, where they outgrow
# the cache, for the way to the memory. NumPy's leap (in a full run) is where its new arrays come from the system.
#
# ## The library has the same
#
# minigen's kernels are such loops, and its `linear` is matrix product, bias and bend in one operation. On the tape that
# is one node where there were three, and the gradient must not notice.

# %%
far = lambda ours, theirs: max(
    np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(ours, theirs)
)
y, back = np.empty_like(z), np.empty_like(z)
bias_tanh(z, b, y), tanh_back(z, y, back)
gap = far((y, back), (kernels.bias_tanh(z.copy(), b), kernels.tanh_grad(z, y)))
lesson.verdict(
    f"our two kernels and the library's agree to {gap:.0e} (limit 1e-6)", gap < 1e-6
)
given = [
    tensor(a, requires_grad=True) for a in (normal(256, 64), normal(128, 64) / 8, b)
]
layers = (
    (lambda x, W, b: ops.linear(x, W, b, activation="tanh")),
    (lambda x, W, b: ops.tanh(x @ W.T + b)),
)
gap = far(
    *(
        [y.data, *(g.data for g in grad(ops.sum(y * z), given))]
        for y in (layer(*given) for layer in layers)
    )
)
lesson.verdict(
    f"fused and unfused layer: values and gradients agree to {gap:.0e} (limit 1e-6)",
    gap < 1e-6,
)

# %% [markdown]
# ## Something larger: where does a training step's time go?
#
# Every operation of minigen passes one gate, and there we post a `Watcher` with a stopwatch. What no operation accounts
# for is Python: keeping the tape, sweeping back, making arrays (and, a little, running to the stopwatch).

# %%
kinds = {
    "matmul": "matrix products",
    "tanh_grad": "bias and bend",
    "mse": "loss and sums",
    "step": "Adam",
}


class Stopwatch(watching.Watcher):
    def __init__(self):
        self.spent = dict.fromkeys(kinds.values(), 0.0)

    def timed(self, name, call, *args, **settings):
        start = default_timer()
        result = call(*args, **settings)
        self.spent[kinds.get(name, "loss and sums")] += default_timer() - start
        return result

    def run(self, op, raw, static):
        if op.__name__ != "linear":
            return self.timed(op.__name__, op.forward, *raw, **static)
        product = self.timed(
            "matmul", np.dot, raw[0], raw[1].T
        )  # the fused layer, taken apart again
        bend = getattr(kernels, f"bias_{static.get('activation', 'identity')}")
        return self.timed("tanh_grad", bend, product, raw[2])


def profile(width):
    """Median microseconds of each kind of work, Python last, in a step of [4, width, width, 1] on 128 rows."""
    net, x, y = (
        nn.MLP([4, width, width, 1], "tanh", rng=lesson.rng),
        normal(128, 4),
        normal(128, 1),
    )
    adam, rows = optim.Adam(net), []
    for _ in range(6400 // width):
        start = default_timer()
        with watching.watch(Stopwatch()) as watch:
            adam.zero_grad()
            ops.mse(net(x), y).backward()
        watch.timed("step", adam.step)
        parts = list(watch.spent.values())
        rows.append([*parts, default_timer() - start - sum(parts)])
    return 1e6 * np.median(rows, axis=0)


widths = (32, 128, 512)
profiles = np.array([profile(width) for width in widths])
shares, left = 100 * profiles / profiles.sum(axis=1, keepdims=True), 0
fig, ax = plt.subplots(figsize=(10, 3), layout="constrained")
names = [f"width {width}\n{step.sum():.0f} µs" for width, step in zip(widths, profiles)]
colours = ("#1f5fa8", "#2a9d8f", "#7fb2e5", "#d9822b", "#8a8a8a")
for kind, share, colour in zip((*kinds.values(), "Python"), shares.T, colours):
    bars = ax.barh(names, share, left=left, color=colour, label=kind)
    ax.bar_label(
        bars,
        [f"{s:.0f} %" if s > 3 else "" for s in share],
        label_type="center",
        color="white",
    )
    left = left + share
    print(
        f"{kind}:",
        ", ".join(f"{s:.0f} % at width {width}" for s, width in zip(share, widths)),
    )
ax.set(xlabel="share of the step's time (%)", xlim=(0, 100), ylim=(2.6, -0.6))
ax.legend(frameon=False, ncol=5, loc="lower center", bbox_to_anchor=(0.5, 1))
lesson.save(fig, "profile")
small, *_, large = shares[:, 0]
lesson.verdict(
    f"matrix products: {small:.0f} % of a step at width 32 (below 60)", small < 60
)
lesson.verdict(
    f"matrix products: {large:.0f} % at width 512 (above {small:.0f}, that at width 32)",
    large > small,
)
lesson.end()

# %% [markdown]
# A large network lives in its matrix products, which the authors of BLAS, beneath NumPy, polished for forty years. A
# small one, and this course has many, lives in all that is around them. This lesson's kernels shrink the green part.
# The grey one is the price of deciding at every step what to do next; lesson 8 records the decisions and replays them.
#
# ## Exercises
#
# 1. `levels_for(error)`: the fewest levels for a tower that is, in float64, that close to tanh on [0, 8.2]; 8 for 1e-3.
# 2. `bias_relu(z, b, out)`: equal to `kernels.bias_leaky_relu(z.copy(), b, 0.0)`, 20 times as fast as a Python loop.
# 3. Adam's step as a kernel: equal to lesson 5's to 1e-6, and with `np.float32` constants twice as fast as without.
# 4. `tape.primitive("my_tanh", forward, rule)` with our two kernels inside: its gradients equal `ops.tanh`'s to 1e-6.
#
# ## Sources
#
# Lambert, Mémoires de l'Académie de Berlin 17 (1761, printed 1768): the tower. Lam, Pitrou & Seibert, *Numba: a
# LLVM-based Python JIT compiler*, LLVM-HPC (2015). Williams, Waterman & Patterson, *Roofline*, Comm. ACM 52 (2009).
