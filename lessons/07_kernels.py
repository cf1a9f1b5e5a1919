# %% [markdown]
# # 7. Kernels: the same sum, hundreds of times faster
#
# *Part 2: the engine. 65 minutes. A detour for engineers: skip it without loss.*
#
# **The question.** The same arithmetic can take a second or a millisecond. Who spends the other
# 999? We compute one line of a network in six ways, with an eye on the clock, and then look where
# the time of a whole training step goes.
#
# **Afterwards you can**
#
# * write a loop that becomes fast machine code,
# * name four habits that prevent it, and look into the code to see whether one of them is there,
# * build tanh from a few multiplications and one division,
# * fuse several passes over an array into one, and say which part of a step is worth the work.
#
# **You need** the layer of lesson 5 (a matrix product, a bias, an activation function) and, for
# one check, the gradients of lesson 4.
#
# **Four parts**, about 15 minutes each. One may stop after any of them.
#
# 1. Three ways that come easily
# 2. A tanh without a call
# 3. One pass instead of three
# 4. Where does the time of a step go?

# %%
from lesson import Lesson

lesson = Lesson("07_kernels")
rng = lesson.rng

import math
import re
from functools import partial
from timeit import default_timer, timeit

import numba
import numpy as np
from numpy.polynomial import Polynomial

from minigen import grad, kernels, nn, ops, optim, tensor, watching
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, SKY, VERMILLION

# %% [markdown]
# # Part 1. Three ways that come easily
#
# One line of lesson 5 is computed over and over: $y = \tanh(z + b)$. The matrix $z$ has a row for
# each example, and $b$ has one number for each column. Ours is small: 256 rows, 128 columns,
# 32 768 numbers.


# %%
def normal(*shape):
    return rng.standard_normal(shape, np.float32)


z = 2 * normal(256, 128)
b = normal(128)
out = np.empty_like(z)
print(f"{z.size} numbers of {z.itemsize} bytes: {z.nbytes / 1000:.0f} kB")


# %%
def python_loop(z, b, out):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            out[i, j] = math.tanh(z[i, j] + b[j])


def in_numpy(z, b, out):
    np.tanh(z + b, out=out)


naive = numba.njit(python_loop)

# %% [markdown]
# The last line hands the *same* loop to **numba**. When it is first called, numba looks at the
# types of the arguments and translates the loop to machine code (a **just-in-time compiler**).
#
# How does one hold a race on a busy machine? The runners take turns, so that a busy moment hits
# them all; and we take the median of many rounds. A runner who needs less than 0.2 ms runs several
# times in his turn, for a clock cannot see short times well. `partial(f, z, b)` is `f` with its
# arguments already given, ready to be called.


# %%
def race(ways, rounds=25):
    """Median seconds of one call of each way; `ways` is a dict of functions."""
    repeats = {}
    for name, way in ways.items():
        way()  # the first call may compile
        repeats[name] = 1 + int(2e-4 / timeit(way, number=1))  # 0.2 ms at least
    seconds = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            count = repeats[name]
            seconds[name].append(timeit(way, number=count) / count)
    return {name: np.median(each) for name, each in seconds.items()}


# %% [markdown]
# > **Predict.** The Python loop needs some 300 to 1000 ns for each number (1 ns is $10^{-9}$ s).
# > How fast is it as machine code? Is that faster than NumPy?

# %%
easy = {
    "Python loop": partial(python_loop, z, b, out),
    "numba, naive": partial(naive, z, b, out),
    "NumPy": partial(in_numpy, z, b, out),
}
first_race = race(easy)
for name, seconds in first_race.items():
    print(f"{name}: {1e9 * seconds / z.size:.3g} ns for each number")


# %% tags=["hide-input"]
def draw_bars(name, times, colours, title):
    """Times per number as bars on a log axis."""
    with lesson.figure(name, width=7.5, height=0.5 * len(times) + 1.2) as ax:
        values = [1e9 * seconds / z.size for seconds in times.values()]
        bars = ax.barh(list(times), values, color=colours)
        ax.bar_label(bars, fmt="%.3g", padding=4)
        ax.set(xscale="log", xlim=(0.1, 1e4), xlabel="time for each number (ns)")
        ax.set_title(title)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)


draw_bars("easy", first_race, [GREY, VERMILLION, ORANGE], "tanh(z + b), 256 × 128")

# %% [markdown]
# **What you saw.** The second loop *is* machine code, and yet NumPy is many times as fast. How?
#
# A processor has **vector registers**: places that hold 4, 8 or 16 float32 numbers, and add or
# multiply all of them in one go. NumPy's tanh was written for that. A compiler can do the same
# for our loop, if the loop is plain arithmetic. Four habits spoil it:
#
# 1. **A call.** The system's tanh takes one number at a time.
# 2. **A check.** Python stops with an error at $1/0$, so numba tests every divisor. To be able to
#    stop at the third number of eight, it takes them one by one. Told `error_model="numpy"` it
#    does as NumPy: $1/0$ is infinite, and one goes on.
# 3. **A wide number.** A bare `1.0` is a float64 of 8 bytes, and so is its product with a
#    float32: half as many fit into a register.
# 4. **A new array** for each result: memory must be found for it, and filled.

# %% [markdown]
# # Part 2. A tanh without a call
#
# So we need a tanh of plain arithmetic. Lambert found one in 1761, on his way to proving that
# $\pi$ is irrational: a tower, a **continued fraction**. Cut off after three levels it says
#
# $$ \tanh 1 \approx \cfrac{1}{1 + \cfrac{1}{3 + \cfrac{1}{5}}} = \frac{1}{1 + 1/3.2}
#    = \frac{1}{1.3125} = 0.76190, $$
#
# and the truth is 0.76159. For any $x$, with $s = x^2$:
#
# $$ \tanh x = \cfrac{x}{1 + \cfrac{s}{3 + \cfrac{s}{5 + \dots}}} $$


# %%
def tower(x, levels):
    """Lambert's tower, cut off after so many levels; work from the bottom."""
    s = x * x
    below = 2 * levels - 1
    for k in range(2 * levels - 3, 0, -2):
        below = k + s / below
    return x / below


for levels in (1, 2, 3, 4):
    print(f"levels: {levels}, tanh(1) is about {tower(1.0, levels):.6f}")
print(f"          the truth is      {math.tanh(1.0):.6f}")

# %% [markdown]
# > **Predict.** Near zero one level is enough: $\tanh x \approx x$. How many are needed for six
# > digits at $x = 8$, where tanh is as good as 1?


# %% tags=["hide-input"]
def draw_tower():
    x = np.linspace(0.01, 12, 600)
    with lesson.figure("tower", width=6.5, height=4.2) as ax:
        colours = {4: GREY, 6: SKY, 8: GREEN, 10: ORANGE, 12: BLUE}
        for levels, colour in colours.items():
            error = np.abs(tower(x, levels) - np.tanh(x))
            ax.semilogy(x, error, color=colour, label=f"{levels} levels")
        ax.axvline(8.2, color=BLACK, ls=":", label="x = 8.2")
        ax.set(ylim=(1e-11, 1000), xlabel="x", ylabel="absolute error")
        ax.set_title("The tower against tanh: each level reaches further")
        ax.legend(loc="upper left", ncol=3)


draw_tower()

# %%
for levels in (6, 12):
    print(
        f"{levels} levels, at 8.2: off by {abs(tower(8.2, levels) - math.tanh(8.2)):.1e}"
    )

# %% [markdown]
# **What you saw.** Each level reaches further, and twelve reach up to 8.2. Beyond that tanh is 1
# to within $2 \cdot 10^{-7}$, which a float32 can hardly tell; so there we let $x$ stop.
#
# ## One division instead of twelve
#
# A division takes as long as several multiplications. But a tower can be written as **one**
# fraction. Let the part below some level be $Q/P$. The level above, with its odd number $k$, is
# then
#
# $$ k + \frac{s}{Q/P} = \frac{kQ + sP}{Q}. $$
#
# So on the way up, $Q$ becomes $kQ + sP$, and $P$ becomes the old $Q$. By hand for three levels:
# $Q/P = 5/1$; then $(3 \cdot 5 + s)/5$; then $(15 + s + 5s)/(15 + s)$. So $\tanh x \approx
# x\,(15 + s)/(15 + 6s)$; at $x = 1$ this is $16/21 = 0.76190$ again.


# %%
def as_one_fraction(levels):
    """Polynomials P and Q in s = x^2 with tanh x = x P(s) / Q(s), nearly."""
    s = Polynomial([0, 1])
    P = Polynomial([1])
    Q = Polynomial([2 * levels - 1])
    for k in range(2 * levels - 3, 0, -2):
        old_Q = Q
        Q = k * Q + s * P
        P = old_Q
    return P, Q


P3, Q3 = as_one_fraction(3)
print("three levels:", P3.coef, "over", Q3.coef, "in powers of s")

# %% [markdown]
# The numbers of twelve levels are huge, so we divide both polynomials by the same number. And we
# write them as float32, highest power first, for Horner's rule:
# $c_2 s^2 + c_1 s + c_0 = (c_2\, s + c_1)\, s + c_0$. Each coefficient costs one multiplication
# and one addition. (numba takes the tuples `P` and `Q` as constants: it knows how long they are.)

# %%
P12, Q12 = as_one_fraction(12)
wide_P = tuple(float(c / Q12.coef[0]) for c in P12.coef[::-1])  # float64, for later
wide_Q = tuple(float(c / Q12.coef[0]) for c in Q12.coef[::-1])
P = tuple(np.float32(c) for c in wide_P)
Q = tuple(np.float32(c) for c in wide_Q)
LOW = np.float32(-8.2)
HIGH = np.float32(8.2)
ZERO = np.float32(0)
print(len(P), "and", len(Q), "coefficients, from", P[0], "to", P[-1])


# %%
def tower_loop(z, b, out):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = min(max(z[i, j] + b[j], LOW), HIGH)
            s = x * x
            p = ZERO
            q = ZERO
            for c in P:  # the compiler writes these short loops out
                p = p * s + c
            for c in Q:
                q = q * s + c
            out[i, j] = x * p / q


bias_tanh = numba.njit(error_model="numpy")(tower_loop)
bias_tanh(z, b, out)
print("ours: ", out[0, :4])
print("NumPy:", np.tanh(z + b)[0, :4])

# %% [markdown]
# Now we relapse, into one habit at a time. With the **check**: the same loop, without being told
# NumPy's manners. And with **wide** numbers, as one would write them without a thought.

# %%
checked = numba.njit(tower_loop)


@numba.njit(error_model="numpy")
def wide(z, b, out):
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            x = min(max(z[i, j] + b[j], -8.2), 8.2)
            s = x * x
            p = 0.0
            q = 0.0
            for c in wide_P:
                p = p * s + c
            for c in wide_Q:
                q = q * s + c
            out[i, j] = x * p / q


# %%
loops = {
    "Python loop": python_loop,
    "numba, naive": naive,
    "ours, checked": checked,
    "ours, wide": wide,
    "NumPy": in_numpy,
    "ours": bias_tanh,
}
times = race({name: partial(loop, z, b, out) for name, loop in loops.items()})
six_ways = {}
for name, seconds in times.items():
    ns = 1e9 * seconds / z.size
    six_ways[name] = {"ns per number": ns, "times ours": seconds / times["ours"]}
lesson.table("tanh(z + b), 256 x 128", six_ways)

# %% tags=["hide-input"]
colours = [GREY, VERMILLION, VERMILLION, VERMILLION, ORANGE, BLUE]
draw_bars("ways", times, colours, "tanh(z + b): with one bad habit each, and without")

# %% [markdown]
# ## A look into the machine code
#
# A clock can be wrong on a busy machine. The code cannot. numba shows what its compiler, LLVM,
# has made of a loop, one step before the machine's own code. There `fdiv <8 x float>` is one
# division of eight float32 at once; `fdiv float` is a division of one, and `double` is a float64.
# On your processor it may be 4 or 16 instead of 8.
#
# We search this text for `fdiv`, and keep what stands behind it.


# %%
def divisions(kernel):
    """What the compiled loop divides: all kinds of operands that occur."""
    code = next(iter(kernel.inspect_llvm().values()))
    return set(re.findall(r"fdiv [a-z ]*(<\d+ x \w+>|float|double)", code))


def at_once(kinds):
    """The largest number of numbers in one operand: 8 for <8 x float>, 1 for float."""
    counts = [1]
    for kind in kinds:
        counts += [int(number) for number in re.findall(r"<(\d+) x", kind)]
    return max(counts)


kernel_of = {"ours": bias_tanh, "ours, checked": checked, "ours, wide": wide}
for name, kernel in kernel_of.items():
    print(name, "divides", " and ".join(sorted(divisions(kernel))))

# %% [markdown]
# The checked loop knows only divisions of one number. The wide one divides eight at once, but
# eight float64 fill twice the space. (A loop has both a vector form and one for the few numbers
# that are left over at the end of a row.)

# %%
lesson.claim("ours: numbers in one division", at_once(divisions(bias_tanh)), above=3)
lesson.claim(
    "with the check: numbers in one division", at_once(divisions(checked)), exactly=1
)


def share_of_float64(kernel):
    """How many of the kinds of division are done in float64, as a share."""
    return np.mean(["double" in kind for kind in divisions(kernel)])


lesson.claim("ours: share of float64 divisions", share_of_float64(bias_tanh), exactly=0)
lesson.claim("with wide numbers: the same share", share_of_float64(wide), exactly=1)

# %%
limits = {"Python loop": 20, "numba, naive": 3, "ours, checked": 2}
for name, limit in limits.items():
    ratio = times[name] / times["ours"]
    lesson.claim(f"{name}: its time over that of our kernel", ratio, above=limit)

# %% [markdown]
# How right is it? We compare with the tanh of float64, for many $x$; and with a tower of six
# levels, to see that the test would notice.

# %%
many_x = np.linspace(-12, 12, 200_001, dtype=np.float32)
ours = np.empty((1, many_x.size), np.float32)
bias_tanh(many_x[None], np.zeros_like(many_x), ours)
exact = np.tanh(many_x.astype(float))

six_levels = tower(np.clip(many_x.astype(float), -8.2, 8.2), 6)
lesson.claim("our tanh is off by", np.max(np.abs(ours[0] - exact)), below=1e-6)
lesson.claim(
    "with six levels it is off by", np.max(np.abs(six_levels - exact)), above=0.005
)

# %% [markdown]
# **What you saw.** The tower costs about thirty operations a number, and yet it is as fast as
# NumPy's own, or faster. The call costs most of what a habit can cost, the check is next, and
# wide numbers cost less than twice the time: registers half as full. And the fourth habit, the
# new array? That is the next part.

# %% [markdown]
# # Part 3. One pass instead of three
#
# The backward pass of tanh is $g\,(1 - y^2)$: what the layer has received, times the slope of
# tanh. NumPy does that in three passes, `y * y`, then `1 - ...`, then `g * ...`. Let us count
# what it carries, from memory or to it; an array carried once is a *trip*. The first pass reads
# $y$ and writes a new array: 2 trips. The second reads that and writes a new one: 2. The third
# reads two and writes one: 3. That makes **7 trips** of 131 kB. A loop that does all at once
# reads $g$ and $y$ and writes the result: **3 trips, and no new array in between**. To do several
# passes in one is called **fusing** them.


# %%
@numba.njit(error_model="numpy")
def tanh_back(g, y, out):
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            out[i, j] = g[i, j] * (np.float32(1) - y[i, j] * y[i, j])


def numpy_forward(z, b):
    return np.tanh(z + b)


def numpy_back(g, y):
    return g * (1 - y * y)


received = normal(256, 128)
tanh_back(received, z, out)  # for a test, any numbers will do as y
print("largest difference:", np.max(np.abs(out - numpy_back(received, z))))

# %% [markdown]
# > **Predict.** Seven trips against three. How many times as fast is the fused one, for small
# > arrays and for large ones? Is it the same for the forward pass, $\tanh(z + b)$?

# %%
row_counts = 2 ** np.arange(3, lesson.pick(full=15, quick=12))  # 8, 16, 32, ...
ROW = 128 * 4  # bytes: 128 numbers of 4 bytes


def race_at(rows):
    """Nanoseconds for each number, forward and backward, for matrices of so many rows."""
    z = normal(rows, 128)
    g = normal(rows, 128)
    out = np.empty_like(z)
    ways = {
        "forward, NumPy": partial(numpy_forward, z, b),
        "forward, fused": partial(bias_tanh, z, b, out),
        "backward, NumPy": partial(numpy_back, g, z),
        "backward, fused": partial(tanh_back, g, z, out),
    }
    seconds = race(ways)
    return {name: 1e9 * seconds[name] / z.size for name in ways}


by_size = {}
for rows in row_counts:
    by_size[f"{rows} rows, {rows * ROW / 1e6:.3f} MB"] = race_at(rows)
lesson.table("ns for each number", by_size)

# %%
gains = [row["backward, NumPy"] / row["backward, fused"] for row in by_size.values()]
lesson.show("backward: NumPy's time over the fused one's, by size", gains)
lesson.claim(
    "backward: median over sizes of NumPy's time over ours", np.median(gains), above=1.2
)


# %% tags=["hide-input"]
def draw_fusing():
    megabytes = row_counts * ROW / 1e6
    with lesson.figure("fusing", panels=2, sharey=True) as axes:
        for ax, way in zip(axes, ("forward", "backward")):
            for kind, colour in (("NumPy", ORANGE), ("fused", BLUE)):
                curve = [row[f"{way}, {kind}"] for row in by_size.values()]
                ax.loglog(megabytes, curve, "o-", color=colour, label=kind)
            ax.set_xlabel("size of the matrix (MB)")
            ax.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
            ax.set_yticks(
                [0.1, 0.2, 0.5, 1, 2, 5], ["0.1", "0.2", "0.5", "1", "2", "5"]
            )
            ax.minorticks_off()
        axes[0].set(title="Forward: tanh(z + b)", ylabel="time for each number (ns)")
        axes[1].set(title="Backward: g (1 − y²)")


draw_fusing()

# %% [markdown]
# **What you saw.** Backward, the fused pass gains three times and more with small matrices: three
# calls have become one, and no new array is made. With large ones it gains about twice, near the
# $7/3$ that the trips say. For there the matrices have outgrown the **cache**, the small fast
# memory beside the processor, and everybody pays for the way to the large one. Forward little is
# gained: tanh is much arithmetic and few trips.
#
# (On some machines NumPy's curves leap up at one size. From there on, each of its new arrays is
# so large that it must be fetched from the system.)

# %% [markdown]
# # Part 4. Where does the time of a step go?
#
# minigen's kernels are such loops. Its tanh is another fraction, with fewer coefficients, but the
# numbers must agree.

# %%
y = np.empty_like(z)
back = np.empty_like(z)
bias_tanh(z, b, y)
tanh_back(received, y, back)
their_y = kernels.bias_tanh(z.copy(), b)  # a copy, for it writes over its input
theirs = [their_y, kernels.tanh_grad(received, y)]
lesson.same("our two kernels and the library's", [y, back], theirs, limit=2e-6)

# %% [markdown]
# And its `linear` is matrix product, bias and activation in *one* operation. On the tape of
# lesson 4 that is one value where there were three. The gradients must not notice.
#
# A gradient is that of a single number. We take $\sum_{ij} c_{ij}\, y_{ij}$ with random $c$: so
# each entry of $y$ counts in its own way, and no error can hide. We compare the layer's value and
# its three gradients, each time as a share of the largest number in the array.

# %%
x = tensor(normal(256, 64), requires_grad=True)
W = tensor(normal(128, 64) / 8, requires_grad=True)
bias = tensor(b, requires_grad=True)
c = normal(256, 128)


def fused(x, W, bias):
    return ops.linear(x, W, bias, activation="tanh")


def unfused(x, W, bias):
    return ops.tanh(x @ W.T + bias)


def value_and_gradients(layer):
    """The layer's value, and the gradients by x, W and the bias."""
    value = layer(x, W, bias)
    gradients = grad(ops.sum(value * c), [x, W, bias])
    return [value.data] + [g.data for g in gradients]


# %%
of_fused = value_and_gradients(fused)
of_unfused = value_and_gradients(unfused)
off = []
for one, other in zip(of_fused, of_unfused):
    largest = np.max(np.abs(other))
    off.append(np.max(np.abs(one - other)) / largest)
    print(f"shape {one.shape}, largest number {largest:.3g}")
lesson.claim("fused and unfused layer: off by a share of", off, below=5e-6)

# %% [markdown]
# ## A watchman with a stopwatch
#
# Before one makes something faster, one must know whether it matters. All operations of minigen
# pass one gate, and there we may post a `Watcher`. Its `run` is called in place of each operation
# `op`, with the arrays (`raw`) and the other settings (`static`). Ours calls `op.forward` as
# would have happened anyway, and notes how long it took. `kind_of` says under which heading;
# `linear` is taken apart again, into its product and what comes after.

# %%
KINDS = ["matrix products", "bias and activation", "loss and sums", "Adam", "Python"]
kind_of = {"matmul": "matrix products", "tanh_grad": "bias and activation"}


class Stopwatch(watching.Watcher):
    """Sees every operation of minigen, and adds up the seconds of each kind."""

    def __init__(self):
        self.seconds = dict.fromkeys(KINDS, 0.0)

    def timed(self, kind, call, *args, **settings):
        start = default_timer()
        result = call(*args, **settings)
        self.seconds[kind] += default_timer() - start
        return result

    def run(self, op, raw, static):
        if op.__name__ == "linear":
            return self.linear(*raw, **static)
        kind = kind_of.get(op.__name__, "loss and sums")
        return self.timed(kind, op.forward, *raw, **static)

    def linear(self, x, W, b, activation="identity"):
        product = self.timed("matrix products", np.dot, x, W.T)
        bend = getattr(kernels, f"bias_{activation}")
        return self.timed("bias and activation", bend, product, b)


# %% [markdown]
# What no operation accounts for is **Python**: keeping the tape, sweeping back, making arrays
# (and, a little, running to the stopwatch).


# %%
def timed_step(net, adam, x, y):
    """Seconds of each kind of work in one training step."""
    start = default_timer()
    with watching.watch(Stopwatch()) as watch:
        adam.zero_grad()
        ops.mse(net(x), y).backward()
    watch.timed("Adam", adam.step)
    total = default_timer() - start
    watch.seconds["Python"] = total - sum(watch.seconds.values())
    return list(watch.seconds.values())


def profile(width):
    """Median microseconds of each kind in a step of [4, width, width, 1] on 128 rows."""
    net = nn.MLP([4, width, width, 1], "tanh", rng=rng)
    adam = optim.Adam(net)
    x = normal(128, 4)
    y = normal(128, 1)
    count = 6400 // width  # 200 steps, 50 or 12: a large network takes longer
    steps = [timed_step(net, adam, x, y) for _ in range(count)]
    return 1e6 * np.median(steps, axis=0)


# %% [markdown]
# > **Predict.** A network with two hidden layers of 32, of 128, of 512 units. What share of a
# > step do the matrix products take in each? (A product of width 512 is $16^2 = 256$ times the
# > work of one of width 32.)

# %%
microseconds = {}
share = {}
for width in (32, 128, 512):
    spent = profile(width)
    microseconds[width] = spent.sum()
    share[width] = dict(zip(KINDS, 100 * spent / spent.sum()))
lesson.table("share of a step (%), by width", {f"width {w}": share[w] for w in share})


# %% tags=["hide-input"]
def draw_profile():
    with lesson.figure("profile", width=9, height=3.2) as ax:
        names = [f"width {width}\n{microseconds[width]:.0f} µs" for width in share]
        left = np.zeros(len(names))
        for kind, colour in zip(KINDS, (BLUE, GREEN, SKY, ORANGE, GREY)):
            part = np.array([share[width][kind] for width in share])
            bars = ax.barh(names, part, left=left, color=colour, label=kind)
            words = [f"{each:.0f} %" if each > 4 else "" for each in part]
            ink = "white" if colour in (BLUE, GREEN, GREY) else BLACK
            ax.bar_label(bars, words, label_type="center", color=ink)
            left = left + part
        ax.set(xlabel="share of the step's time (%)", xlim=(0, 100), ylim=(2.6, -0.6))
        ax.grid(axis="y", visible=False)
        ax.legend(ncol=5, loc="lower center", bbox_to_anchor=(0.5, 1))


draw_profile()

# %%
products_gain = share[512]["matrix products"] / share[32]["matrix products"]
lesson.claim("share of matrix products: width 512 over 32", products_gain, above=2)
python_share = share[32]["Python"]
lesson.claim("share of Python at width 32", python_share, above=35, unit="%")
lesson.end()

# %% [markdown]
# **What you saw.** A large network lives in its matrix products. NumPy leaves them to a library
# called BLAS, which has been polished for forty years. A small network, and this course has many,
# lives in all that is around them. This lesson's kernels shrink the green part. The grey one is
# the price of deciding at every step what to do next; lesson 8 records the decisions and replays
# them.
#
# # What it means
#
# * Machine code is not fast by itself. It is fast when it works on whole registers.
# * A call, a check, a wide number, a new array: each takes that away, and none changes the
#   result.
# * What travels costs as much as what is computed: fuse the passes over large arrays.
# * Look into the code, not only at the clock.
# * Measure before you polish: what takes 2 % of a step cannot gain more than 2 %.
#
# # Exercises
#
# **1. Six levels** (5 minutes). Let the kernel use `as_one_fraction(6)`. How much faster is it,
# and how wrong? *Check:* at $x = 3$ it is off by about $2 \cdot 10^{-5}$, at 8.2 by about 0.015.
# *Why:* between which two $x$ would six levels do for float32?
#
# **2. One bare number** (5 minutes). In `tanh_back` write `1` instead of `np.float32(1)`, and
# look into its code for `fmul`, the product: it stands there as `fdiv` does. *Check:* now there
# are products of `double`. *Why:* which of the four habits is this? Does the result change?
#
# **3. How many levels?** (15 minutes). *Write* `levels_for(error)`: the fewest levels for a
# tower that is, in float64, that close to tanh everywhere on [0, 8.2]. *Check:* 8 for 1e-3, 12
# for 1e-6. *Why:* every level costs every number of every step.
#
# **4. Another activation** (20 minutes). *Write* `bias_relu(z, b, out)`, a compiled loop for
# $\max(0, z + b)$. *Check:* equal to `kernels.bias_leaky_relu(z.copy(), b, 0.0)`, and in its
# machine code there is an `fadd` of 4 or more numbers at once. *Why:* an `if` is a question; how
# can a whole register answer it?
#
# **5. An operation of your own** (20 minutes). *Write* `my_tanh =
# minigen.tape.primitive("my_tanh", forward, rule)` with our two kernels inside (its docstring
# says what a rule gets). *Check:* its gradients equal those of `ops.tanh` to 1e-6. *Why:* so a
# kernel of yours comes into a network.
#
# **6. What would you pay for?** (10 minutes). Somebody sells a tanh that takes no time at all;
# somebody else, matrix products twice as fast. *Write* `best_gain(share, times)`: how many times
# faster the whole step becomes if a part that takes `share` of it becomes `times` faster.
# *Check:* `best_gain(0.5, 2)` is $4/3$, and `best_gain(0.02, np.inf)` about 1.02. *Why:* go
# through the three widths of the table: where would you buy which of the two? (This is Amdahl's
# law.)
#
# # Sources
#
# Lambert, Mémoires de l'Académie de Berlin 17 (1761, printed 1768): the tower. Lam, Pitrou &
# Seibert, *Numba: a LLVM-based Python JIT compiler*, LLVM-HPC (2015). Williams, Waterman &
# Patterson, *Roofline*, Comm. ACM 52 (2009): trips and arithmetic. Amdahl, AFIPS 30 (1967).
