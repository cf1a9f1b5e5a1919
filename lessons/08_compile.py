# %% [markdown]
# # 8. Compile: decide once, do it ten thousand times
#
# **At the end you can** turn a training step into a flat list of NumPy calls, replay the list with the same result to
# the last bit, fit its arrays into a fraction of their memory, and name two traps that a compiler of this kind must
# catch, or it falsifies your training without a word.
#
# **It stands on** the network, its gradients and Adam of lesson 5, and the end of lesson 7: in a small network much of
# a step's time goes into deciding what to do next. And it is the same decision every time.
#
# The task is small on purpose: from the time $t$, tell the angle $\theta(t)$ of one pendulum. All that a step changes
# is handed in as arrays and changed in place, even Adam's count of steps.

# %%
from timeit import timeit

import matplotlib.pyplot as plt
import numpy as np

import minigen
from lesson import Lesson
from minigen import datasets, nn, ops, optim
from minigen.compile import CompileError

lesson = Lesson("08_compile")


def step(x, y, count, *arrays):
    """One step of Adam on six weights and biases, with its two memories of each; returns the mean squared error."""
    W1, b1, W2, b2, W3, b3 = weights = arrays[:6]
    h1 = np.tanh(x @ W1 + b1)
    h2 = np.tanh(h1 @ W2 + b2)
    error = h2 @ W3 + b3 - y
    loss = np.add.reduce(error * error, axis=None) * (1 / y.size)  # the sum, as a ufunc
    g3 = error * (2 / y.size)
    g2 = (g3 @ W3.T) * (1 - h2 * h2)
    g1 = (g2 @ W2.T) * (1 - h1 * h1)
    grads = [
        a
        for h, g in ((x, g1), (h1, g2), (h2, g3))
        for a in (h.T @ g, np.add.reduce(g, axis=0))
    ]
    count += 1
    rate, scale = 0.01 / (1 - 0.9**count), 1 / (1 - 0.999**count)
    for weight, m, s, g in zip(weights, arrays[6:12], arrays[12:], grads):
        m += 0.1 * (g - m)
        s += 0.001 * (g * g - s)
        weight -= rate * m / (np.sqrt(s * scale) + 1e-8)
    return loss


def start(width):
    """What a step changes: the count, weights and biases, and Adam's memories."""
    rng, shapes = (
        np.random.default_rng(lesson.seed),
        ((1, width), (width,), (width, width), (width,), (width, 1), (1,)),
    )
    w = [rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32) for shape in shapes]
    return [np.zeros((), np.float32), *w, *(0 * a for a in w), *(0 * a for a in w)]


swing = datasets.pendulum_trajectories(1, lesson.rng, view=100)
times, angles = (
    (swing.t[:, None] - 2.5).astype(np.float32),
    swing.clean.T.astype(np.float32),
)  # s, from the middle; rad
batches = [
    (times[rows], angles[rows]) for rows in lesson.rng.integers(100, size=(300, 64))
]

# %% [markdown]
# ## The recorder
#
# `np.tanh` and its like are *ufuncs*, and so is what stands behind the operators `+`, `@`, `+=`. Before NumPy runs one,
# it asks whether an argument has a method `__array_ufunc__`, and if so leaves the work to it. That is our gate. We hand
# the step the same memory in another class, `Seen`. Its gate does the work, notes the function and all it touched, the
# result last, and makes the result `Seen` too.


# %%
class Seen(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *args, out=(None,), axis=0):
        function, args = ufunc, [*map(plain, args)]
        if (
            method == "reduce"
        ):  # np.add.reduce sums along `axis`; what comes before the result is: a, axis, dtype
            function, args = ufunc.reduce, [*args, axis, None]
        result = np.asarray(
            function(*args, plain(out[0]))
        )  # for a += b, `out` is a: work in place
        recorded.append((function, (*args, result)))
        return result.view(type(self))


plain = lambda a: a.view(np.ndarray) if isinstance(a, Seen) else a
recorded = []


def record(step, *arrays):
    """The calls made by step(*arrays), as pairs (function, arguments with the result last); and what it returns."""
    recorded.clear()
    result = step(*(a.view(Seen) for a in arrays))
    return list(recorded), plain(result)


calls, loss = record(step, *batches[0], *start(32))
for function, (*args, out) in (
    calls[:12] + calls[-4:]
):  # forward, and Adam's end; the shape of a number is ()
    print(
        f"{function.__name__:9}",
        *map(np.shape, args),
        "->",
        out.shape,
        "new" if out.base is None else "in place",
    )
print(f"{len(calls)} calls in all")

# %% [markdown]
# This is the program, without a loop or a question. To **replay** it, copy the next batch to where the first one was
# and make the same calls. The last argument tells a ufunc where to write: no array is made, and the loss appears where
# it was the first time.
#
# ## Memory: who needs an array when?
#
# But now every new array stays for ever, though most are read once or twice and never again. So note for each its
# **life**: the call that makes it and the last that touches it. Then walk along the program with a list of blocks of
# memory: an array moves into the smallest free block that holds it, and after its last call the block is free again.
# If none is free, open one. Compilers have long dealt out a processor's few registers in this way.


# %%
def share(calls, result):
    """The same calls and result over shared memory; and [first call, last call, bytes, first byte] of each array."""
    lives, blocks, total = (
        {},
        [],
        0,
    )  # lives: by the id of the array; a block: [bytes, first byte, last call]
    for i, (_, args) in enumerate(calls):
        if (
            args[-1].base is None
        ):  # new: an array with a base lies in the memory of another
            lives[id(args[-1])] = [i, i, args[-1].nbytes, None]
        for a in args:
            if id(owner(a)) in lives:
                lives[id(owner(a))][1] = i
    lives[id(owner(result))][1] = len(calls)  # the caller needs it after all calls
    for life in lives.values():
        free = [block for block in blocks if block[2] < life[0] and block[0] >= life[2]]
        if not free:
            free = [
                [-(-life[2] // 64) * 64, total, 0]
            ]  # rounded up to whole lines of the cache, 64 bytes each
            blocks, total = blocks + free, total + free[0][0]
        block = min(free)
        life[3], block[2] = block[1], life[1]
    memory = np.empty(total, np.uint8)
    moved = lambda a: np.ndarray(
        a.shape, a.dtype, memory, lives[id(owner(a))][3], a.strides
    )
    move = lambda a: moved(a) if id(owner(a)) in lives else a
    return (
        [(function, tuple(map(move, args))) for function, args in calls],
        move(result),
        list(lives.values()),
    )


owner = lambda a: (
    owner(a.base) if isinstance(getattr(a, "base", None), np.ndarray) else a
)  # of a view such as W.T: W


def compiled(step, x, y, *state):
    """Do `step` once, recording it; then fast(x, y) does it again and again."""
    places = x.copy(), y.copy()
    calls, loss, _ = share(*record(step, *places, *state))

    def fast(x, y):
        np.copyto(places[0], x)
        np.copyto(places[1], y)
        for function, args in calls:
            function(*args)
        return loss.copy()

    return fast


ours, theirs = start(32), start(32)
fast, _ = compiled(step, *batches[0], *theirs), step(*batches[0], *ours)
same = all([step(*b, *ours) == fast(*b) for b in batches[1:]]) and all(
    map(np.array_equal, ours, theirs)
)
lesson.verdict(
    "299 replayed steps: losses, weights and Adam's memories equal the plain step's, bit for bit",
    same,
)
lives = share(calls, loss)[2]
sizes, ends = [life[2] for life in lives], [life[3] + life[2] for life in lives]
whole, fits = sum(sizes), max(ends)
lesson.verdict(
    f"{whole:,} bytes of results fit into {fits:,}, {fits / whole:.0%} (limit 40 %)",
    fits < 0.4 * whole,
)
fig, axes = plt.subplots(1, 2, figsize=(12, 4.4), sharey=True, layout="constrained")
parts = (
    ("forward", 0, "#1f5fa8", 150),
    ("backward", 12, "#d9822b", 138),
    ("Adam", 27, "#2a9d8f", 126),
)
for ax, tops, title in zip(
    axes, (np.cumsum(sizes), ends), ("A place for every result", "Places used again")
):
    for (first, last, size, _), top in zip(lives, tops):
        colour = [colour for _, begin, colour, _ in parts if begin <= first][-1]
        if size > 1000:
            ax.broken_barh(
                [(first, last - first + 1)],
                ((top - size) / 1e3, size / 1e3),
                fc=colour,
                ec="w",
            )
    ax.set(
        xlabel="call",
        ylabel="place (kB)",
        xlim=(0, 112),
        ylim=(0, 175),
        title=f"{title}: {max(tops) / 1e3:.0f} kB",
    )
for part, _, colour, height in parts:
    axes[0].text(2, height, part, color=colour, size=13)
lesson.save(fig)

# %% [markdown]
# Each box is an array (those below 1 kB are left out), from its first call to its last. The long blue ones are what
# backward needs of forward, the true cost of gradients. Most others come and go in the same few places.
#
# And the time? Python's part and the new arrays are gone. What stays is arithmetic, and what NumPy takes for any call,
# however small: that fee shows alone when we replay the step at width 1, on one row.

# %%
race = lambda *ways: (
    1e5
    * np.median([[timeit(way, number=10) for way in ways] for _ in range(30)], axis=0)
)  # µs
tiny = compiled(step, times[:1], angles[:1], *start(1))
ways = (
    (lambda: step(*batches[0], *ours)),
    (lambda: fast(*batches[0])),
    (lambda: tiny(times[:1], angles[:1])),
)
print(
    "plain {:.0f} µs, replayed {:.0f}, of which the calls' fee is {:.0f}".format(
        *race(*ways)
    )
)

# %% [markdown]
# So little is won? Our step was lean, and most of its time is the fee. Such a compiler pays where much Python stands
# between few calls.
#
# ## The library has the same
#
# And so it is in minigen: it keeps a tape (lesson 4), one fused kernel (lesson 7) does the work of several ufuncs, and
# Adam's whole update is one call. `minigen.compile` is our recorder, its gate not at NumPy's ufuncs but at minigen's
# operations: these, the optimisers and the random draws all pass one point of the tape. `program()` shows the list.


# %%
def train(loss_of, wrap=lambda step: step):
    """50 steps of minigen's with the loss loss_of(prediction, y, rng): the step, its losses, the weights after them."""
    rng = np.random.default_rng(lesson.seed)
    net = nn.MLP([1, 32, 32, 1], "tanh", rng=rng)
    adam = optim.Adam(net, 0.01)

    @wrap
    def learn(x, y):
        adam.zero_grad()
        loss = loss_of(net(x), y, rng)
        loss.backward()
        adam.step()
        return loss

    return learn, [learn(*b).item() for b in batches[:50]], net.flat().data


def outcome(loss_of):
    """Plain and compiled training compared: "equal" to the bit, "different", or "refused"."""
    try:
        (_, *ours), (_, *theirs) = train(loss_of), train(loss_of, minigen.compile)
    except CompileError as error:
        print(f"CompileError: {error}")
        return "refused"
    return "equal" if all(map(np.array_equal, ours, theirs)) else "different"


squared = lambda p, y, rng: ops.mse(p, y)
lesson.verdict(
    "50 compiled steps of minigen equal 50 plain ones, bit for bit",
    outcome(squared) == "equal",
)
learn, fast = train(squared)[0], train(squared, minigen.compile)[0]
slow, quick = race(lambda: learn(*batches[0]), lambda: fast(*batches[0]))
gain = slow / quick
lesson.verdict(
    f"compiled steps are {gain:.2f} times as fast, {quick:.0f} µs for {slow:.0f} (more than 1.3)",
    gain > 1.3,
)
print(fast.program())

# %% [markdown]
# ## Trap 1: a question
#
# A recording knows what was done, not why. `if a > 0` asks once, while we record, and every replay repeats what came of
# **that** answer. Our recorder does not even notice. minigen's arrays refuse to answer while they are recorded. Look at
# a value outside the step; inside, compute both ways and let an operation choose: `ops.where`.

# %%
one = np.ones(1)
answer = compiled(lambda a, _: 2 * a if a > 0 else -a, one, one)(-one, one)[0]
lesson.verdict(
    f"`2a if a > 0 else -a` by hand, recorded at 1, gives {answer} at -1 (it should be 1)",
    answer == -2,
)
asking = lambda p, y, rng: (
    ops.mse(p, y) * (1.0 if ops.mse(p, y) < 0.5 else 0.1)
)  # large losses count less
choosing = lambda p, y, rng: ops.mse(p, y) * ops.where(ops.mse(p, y) < 0.5, 1.0, 0.1)
caught = outcome(asking) == "refused" and outcome(choosing) == "equal"
lesson.verdict(
    "minigen refuses a branch; with ops.where compiled and plain are equal bit for bit",
    caught,
)

# %% [markdown]
# ## Trap 2: noise that is drawn once
#
# Let every step see the angles with fresh noise of SD $0.1\,t$, as from an instrument. `rng.standard_normal` is no
# ufunc and knocks at no gate. To the recorder its array comes from nowhere and must be a constant: all steps get the
# *same* noise. Nothing crashes. The loss even looks better than it can be, for the network learns the noise by heart.

# %%
spread = (0.1 * swing.t[:, None]).astype(np.float32)
shaky = lambda x, y, *state: step(
    x, y + spread * lesson.rng.standard_normal(y.shape, np.float32), *state
)
alive, frozen = start(32), start(32)
fast = compiled(shaky, times, angles, *frozen)
losses = np.array(
    [(shaky(times, angles, *alive), fast(times, angles)) for _ in range(6000)]
)
curves = [
    np.tanh(np.tanh(times @ w[1] + w[2]) @ w[3] + w[4]) @ w[5] + w[6]
    for w in (alive, frozen)
]
(a, b), (c, d) = (
    losses[-500:].mean(axis=0) / np.mean(spread**2),
    [np.std(curve - angles) for curve in curves],
)
found = (
    f"loss {b:.2f} of the noise's variance (live {a:.2f}), {d:.2f} rad off the truth"
)
lesson.verdict(
    f"frozen noise: {found} (live {c:.2f}, at least 1.3 times less)",
    b < a and d > 1.3 * c,
)
fig, ax = plt.subplots(figsize=(8.5, 4.6), layout="constrained")
ax.plot(swing.t, angles, "k--", label="truth")
ax.plot(swing.t, curves[0], "#1f5fa8", lw=2, label=f"live noise, loss {a:.2f}")
ax.plot(swing.t, curves[1], "#b3261e", lw=2, label=f"frozen noise, loss {b:.2f}")
ax.set(
    xlabel="time (s)",
    ylabel="angle (rad)",
    title="Learnt from noise (losses in units of its variance)",
)
fig.legend(frameon=False, ncol=3, loc="outside lower center")
lesson.save(fig, "noise")
outside = lambda p, y, rng: ops.mse(p, y + rng.standard_normal(y.shape, np.float32))
inside = lambda p, y, rng: ops.mse(p, y + ops.normal(rng, y.shape))
caught = outcome(outside) == "refused" and outcome(inside) == "equal"
lesson.verdict(
    "minigen refuses NumPy's noise; with ops.normal compiled and plain are equal bit for bit",
    caught,
)
lesson.end()

# %% [markdown]
# How does minigen notice? In calls 2, 10, 100, 1000, ... it does the step both ways. It compares what the step called
# with what was recorded (the error above names the operation and the array that came from nowhere), then the numbers.
# With `check=True` it does so in every call, and bit for bit. A Python number that changes is a third trap of this
# kind: were our `count` one, Adam would for ever correct its averages as in step 1. What changes must be an argument,
# or live in an array.
#
# Our compilers join no loops and change no arithmetic, hence the equal bits. XLA, beneath JAX, and PyTorch's compiler
# write new kernels for your very program. That takes seconds to minutes, pays with large arrays, and rounds otherwise.
#
# ## Exercises
#
# 1. `Guarded(Seen)`: raises TypeError for `if a:`, `float(a)` and `a.item()`; records our step as `Seen` does.
# 2. `at_least(lives)`: the most bytes alive in any one call. No plan needs fewer; `share` takes at most 1.1 times that.
# 3. Langevin's walk (lesson 25), x - h sin x + sqrt(2h) a, of 256 chains, with `ops.normal`: 1000 compiled steps leave
#    the bits of 1000 plain ones. With `rng.standard_normal`, CompileError comes in the second call.
#
# ## Sources
#
# Griewank & Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008): what tapes hold. Poletto & Sarkar, *Linear scan
# register allocation*, ACM TOPLAS 21 (1999): places by last use. Frostig, Johnson & Leary, *Compiling machine learning
# programs via high-level tracing*, SysML (2018): JAX. NumPy enhancement proposal 13: `__array_ufunc__`.
