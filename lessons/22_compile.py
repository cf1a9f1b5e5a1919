# %% [markdown]
# # 22. Compile: decide once, do it ten thousand times
#
# **At the end you can** turn a training step into a flat list of NumPy calls, replay the list with the same result to
# the last bit, fit its arrays into a fraction of their memory, and name two traps that a compiler of this kind must
# catch, or it falsifies your training without a word.
#
# **It stands on** the tape of lesson 3, the network and Adam of lesson 4, and the end of lesson 5: in a small network
# much of a step's time goes into deciding what to do next. And it is the same decision every time.
#
# ## A step with much Python in it
#
# The task is small on purpose: from the time $t$, tell the angle $\theta(t)$ of one pendulum. First the tape, cut down
# to what that needs: each operation notes its rule, and `backward` walks from the last value to the first.

# %%
import itertools
from timeit import timeit

import matplotlib.pyplot as plt
import numpy as np
from lesson import Lesson

import minigen
from minigen import datasets, nn, ops, optim
from minigen.compile import CompileError

lesson, ids = Lesson("22_compile"), itertools.count()
raw = lambda a: a.data if isinstance(a, Var) else a


class Var:
    def __init__(self, data, rule=None, args=()):
        self.data, self.rule, self.args, self.id = data, rule, args, next(ids)


primitive = lambda forward, rule: lambda *args: Var(forward(*map(raw, args)), rule, args)
add = primitive(np.add, lambda g, y, a, b: (g, np.add.reduce(g, axis=0)))  # a matrix and a bias
subtract = primitive(np.subtract, lambda g, y, a, b: (g, -g))
matmul = primitive(np.matmul, lambda g, y, a, b: (g @ b.T, a.T @ g))
tanh = primitive(np.tanh, lambda g, y, a: (g * (1 - y * y),))
mean_square = lambda a: np.add.reduce(a * a, axis=None) * (1 / a.size)
mean_square = primitive(mean_square, lambda g, y, a: (a * (g * (2 / a.size)),))


def backward(y):
    grads = {y: 1.0}
    while grads:
        node = max(grads, key=lambda node: node.id)
        node.grad = grads.pop(node)
        received = node.rule(node.grad, node.data, *map(raw, node.args)) if node.rule else ()
        for a, g in zip(node.args, received):
            if isinstance(a, Var):
                grads[a] = grads[a] + g if a in grads else g


def step(x, y, t, *arrays):
    """One step of Adam on two hidden layers, in place; the count t is an array too (you will see why)."""
    W1, b1, W2, b2, W3, b3 = leaves = [Var(a) for a in arrays[:6]]
    h = tanh(add(matmul(x, W1), b1))
    h = tanh(add(matmul(h, W2), b2))
    loss = mean_square(subtract(add(matmul(h, W3), b3), y))
    backward(loss)
    t += 1
    rate, spread = 0.01 / (1 - 0.9**t), 1 / (1 - 0.999**t)
    for leaf, m, s in zip(leaves, arrays[6:12], arrays[12:]):
        m += 0.1 * (leaf.grad - m)
        s += 0.001 * (leaf.grad * leaf.grad - s)
        leaf.data -= rate * m / (np.sqrt(s * spread) + 1e-8)
    return loss.data


def start(width):
    """What a step changes: its count, weights and biases, and Adam's two memories."""
    rng, shapes = np.random.default_rng(lesson.seed), ((1, width), (width,), (width, width), (width,), (width, 1), (1,))
    w = [rng.normal(0, shape[0] ** -0.5, shape).astype(np.float32) for shape in shapes]
    return [np.zeros((), np.float32), *w, *(0 * a for a in w), *(0 * a for a in w)]


swing = datasets.pendulum_trajectories(1, lesson.rng, view=100)
times, angles = (swing.t[:, None] - 2.5).astype(np.float32), swing.clean.T.astype(np.float32)  # s, from the middle; rad
batches = [(times[rows], angles[rows]) for rows in lesson.rng.integers(100, size=(300, 64))]

# %% [markdown]
# ## The recorder
#
# Before NumPy runs one of its *ufuncs* (`np.tanh`, and the operators `+`, `@`, `+=` are ufuncs too), it asks whether an
# argument has a method `__array_ufunc__`, and if so leaves the work to it. That is our gate. We hand the step the same
# memory in another class, `Seen`: its gate does the work and writes down what was done, the function with all that it
# touched, the result last. Neither the tape nor Adam notices.


# %%
class Seen(np.ndarray):
    """An array that writes down what is done with it."""

    def __array_ufunc__(self, ufunc, method, *args, out=(None,), axis=0):
        function, more = (ufunc.reduce, [axis, None]) if method == "reduce" else (ufunc, [])
        args = [*map(plain, args), *more]
        out = np.asarray(function(*args, plain(out[0])))
        recorded.append((function, (*args, out)))
        return out.view(Seen)


plain = lambda a: a.view(np.ndarray) if isinstance(a, Seen) else a
recorded = []


def record(step, *arrays):
    """The calls made by step(*arrays), as pairs (function, arguments with the result last); and what it returns."""
    recorded.clear()
    result = step(*(a.view(Seen) for a in arrays))
    return list(recorded), plain(result)


calls, loss = record(step, *batches[0], *start(32))
show = lambda a: ("×".join(map(str, a.shape)) or "one number") if isinstance(a, np.ndarray) else str(a)
for i, (function, (*args, out)) in enumerate(calls):
    if i < 9 or 16 < i < 21 or i > 110:
        place = "new" if out.base is None else "in place"
        print(f"{i:3}  {function.__name__:10}{', '.join(map(show, args)):15} -> {show(out):7}{place}")

# %% [markdown]
# This, with the rows left out, is the program: forward, backward, Adam, without a loop or a question. To **replay** it,
# copy the next batch to where the first one was and make the same calls. The last argument tells a ufunc where to
# write, so no array is made, and the loss appears where it was the first time.
#
# ## Memory: who needs an array when?
#
# But all "new" arrays now stay for ever, though most are read once or twice and never again. So look when each is made
# and when it is last touched, its **life**, and let a later one move in where an earlier one has moved out. Compilers
# have long done so with a processor's few registers: one walk along the program, with a list of what is free.


# %%
def share(calls, result):
    """The same calls and result over shared memory; and [first call, last call, bytes, first byte] of each array."""
    owner = lambda a: owner(a.base) if isinstance(getattr(a, "base", None), np.ndarray) else a
    lives, blocks = {}, []  # a block: [bytes, first byte, the last call that needs it]
    for i, (_, args) in enumerate(calls):
        if args[-1].base is None:
            lives[id(args[-1])] = [i, i, args[-1].nbytes]
        for life in (lives[id(owner(a))] for a in args if id(owner(a)) in lives):
            life[1] = i
    lives[id(owner(result))][1] = len(calls)
    for life in lives.values():
        free = [block for block in blocks if block[2] < life[0] and block[0] >= life[2]]
        if not free:
            free = [[-(-life[2] // 64) * 64, sum(block[0] for block in blocks), 0]]  # whole lines of the cache
            blocks += free
        life.append(min(free)[1])
        min(free)[2] = life[1]
    memory = np.empty(sum(block[0] for block in blocks), np.uint8)

    def move(a):
        life = lives.get(id(owner(a)))
        return np.ndarray(a.shape, a.dtype, memory, life[3], a.strides) if life else a

    return [(function, tuple(map(move, args))) for function, args in calls], move(result), list(lives.values())


def replay(calls):
    for function, args in calls:
        function(*args)


def compiled(step, x, y, *state):
    """Do `step` once, recording it; then fast(x, y) does it again and again."""
    places = x.copy(), y.copy()
    calls, loss, _ = share(*record(step, *places, *state))

    def fast(x, y):
        np.copyto(places[0], x)
        np.copyto(places[1], y)
        replay(calls)
        return loss.copy()

    return fast


ours, theirs = start(32), start(32)
fast, _ = compiled(step, *batches[0], *theirs), step(*batches[0], *ours)
same = all([step(*b, *ours) == fast(*b) for b in batches[1:]]) and all(map(np.array_equal, ours, theirs))
lesson.claim("299 replayed steps: losses, weights and Adam's memories equal the plain step's, bit for bit", same)
lives = share(calls, loss)[2]
sizes, ends = [life[2] for life in lives], [life[3] + life[2] for life in lives]
whole, fits = sum(sizes), max(ends)
lesson.claim(f"{whole:,} bytes of results fit into {fits:,} ({fits / whole:.0%}, limit 40 %)", fits < 0.4 * whole)
fig, axes = plt.subplots(1, 2, figsize=(12, 4.4), sharey=True, layout="constrained")
colours = {"forward": "#1f5fa8", "backward": "#d9822b", "Adam": "#2a9d8f"}
for ax, tops in zip(axes, (np.cumsum(sizes), ends)):
    for (first, last, size, _), top in zip(lives, tops):
        colour = colours["forward" if first < 12 else "backward" if first < 29 else "Adam"]
        ax.broken_barh([(first, last - first + 1)], ((top - size) / 1e3, size / 1e3), fc=colour, ec="w", lw=0.5)
    ax.set(xlabel="call", xlim=(0, len(calls)), ylim=(0, 175))
for height, part in zip((150, 138, 126), colours):
    axes[0].text(2, height, part, color=colours[part], size=13)
axes[0].set(ylabel="place in memory (kB)", title=f"A place for every result: {whole / 1e3:.0f} kB")
axes[1].set(title=f"Places used again: {fits / 1e3:.0f} kB")
lesson.figure(fig)

# %% [markdown]
# Each box is an array, from its first call to its last. The long blue ones are what backward needs of forward, the true
# cost of a tape. Nearly all others come and go in the same few places, and these stay in the processor's cache.
#
# ## Where does the time go?
#
# We peel the plain step. First the same calls, with a new array for each result: what is gone is **Python**, the tape
# and the loops. Then the replay: gone are the **new arrays**. Then the replay with one number per array: gone is the
# **arithmetic**, and what remains is what NumPy takes for 114 **calls**, however small. (A difference below zero counts
# as none: in large sums such as `a + b + c` the plain step may reuse an array by itself; the peeled one does not.)


# %%
def race(*ways):
    """Median microseconds of each way; they take turns, so that a busy moment hits them all."""
    return 1e5 * np.median([[timeit(way, number=10) for way in ways] for _ in range(30)], axis=0)


def peel(width, x, y):
    state = start(width)
    calls, loss = record(step, x, y, *state)
    anew = [(function, (*args, None if out.base is None else out)) for function, (*args, out) in calls]
    calls, *_ = share(calls, loss)
    return race(lambda: step(x, y, *state), lambda: replay(anew), lambda: replay(calls))


fee, parts = peel(1, times[:1], angles[:1])[2], ("Python", "new arrays", "calls", "arithmetic")
peeled = {width: peel(width, *batches[0]) for width in ((8, 32, 128) if lesson.quick else (8, 32, 128, 512))}
shares = np.maximum([(a - b, b - c, fee, c - fee) for a, b, c in peeled.values()], 0)
shares, left = 100 * shares / shares.sum(axis=1, keepdims=True), 0
fig, ax = plt.subplots(figsize=(10, 3.2), layout="constrained")
for part, share_of, colour in zip(parts, shares.T, ("#8a8a8a", "#d9822b", "#7fb2e5", "#1f5fa8")):
    names = [f"width {width}\n{plain:.0f} µs" for width, (plain, *_) in peeled.items()]
    bars = ax.barh(names, share_of, left=left, color=colour, label=part)
    ax.bar_label(bars, [f"{s:.0f} %" if s > 3 else "" for s in share_of], label_type="center", color="white")
    left = left + share_of
ax.set(xlabel="share of the plain step's time (%)", xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
ax.legend(frameon=False, ncol=4, loc="lower center", bbox_to_anchor=(0.5, 1))
lesson.figure(fig, "_time")
gain = peeled[32][0] / peeled[32][2]
lesson.claim(f"by hand, at width 32, the replay is {gain:.2f} times as fast (more than 1.15)", gain > 1.15)

# %% [markdown]
# The replay is rid of grey and orange. It cannot touch what NumPy takes for each call: for that there must be fewer.
#
# ## The library has the same
#
# `minigen.compile` is this recorder, its gate not at NumPy's ufuncs but at minigen's operations: these, the optimisers
# and the random draws all pass one point of the tape. There, a fused kernel (lesson 5) stands for several ufuncs.


# %%
def learner(loss_of):
    """A step of the library's from our first weights, loss_of(prediction, y, rng) its loss; and its network."""
    net, rng = nn.MLP([1, 32, 32, 1], "tanh", rng=lesson.rng), np.random.default_rng(lesson.seed)
    for parameter, w in zip(net.parameters(), start(32)[1:]):
        parameter.data[...] = w.T
    adam = optim.Adam(net, 0.01)

    def learn(x, y):
        adam.zero_grad()
        loss = loss_of(net(x), y, rng)
        loss.backward()
        adam.step()
        return loss

    return learn, net


def same_bits(loss_of):
    """Whether 50 compiled steps give the losses and leave the weights that 50 plain ones do; and the network."""
    (learn, net), (other, twin) = learner(loss_of), learner(loss_of)
    fast = minigen.compile(other)
    same = [learn(*b).item() == fast(*b).item() for b in batches[:50]]
    return all(same) and np.array_equal(net.flat().data, twin.flat().data), net


squared, ours = lambda p, y, rng: ops.mse(p, y), start(32)
same, net = same_bits(squared)
lesson.claim("50 steps of minigen, compiled and plain: losses and weights equal bit for bit", same)
for b in batches[:50]:
    step(*b, *ours)
gap = max(np.abs(parameter.data - w.T).max() for parameter, w in zip(net.parameters(), ours[1:]))
lesson.claim(f"our weights by hand and minigen's agree to {gap:.0e} (limit 1e-3)", gap < 1e-3)
learn, fast = learner(squared)[0], minigen.compile(learner(squared)[0])
for b in batches[:4]:  # recorded in the first call, made into a program in the second
    learn(*b), fast(*b)
slow, quick = race(lambda: learn(*batches[0]), lambda: fast(*batches[0]))
found = f"{slow / quick:.2f} times as fast as plain, {quick:.0f} µs for {slow:.0f}"
lesson.claim(f"minigen compiled, at width 32, is {found} (more than 1.3)", slow / quick > 1.3)
print(fast.program())

# %% [markdown]
# ## Trap 1: a question
#
# A recording knows what was done, not why. `if a > 0` asks once, while we record, and every replay repeats what came of
# **that** answer. Our recorder does not even notice. minigen's arrays refuse to leave the step as a number. Return the
# loss and look at it outside; inside, compute both ways and let an operation choose: `ops.where`.


# %%
def refused(loss_of):
    """Whether one of the first two calls of a compiled step raises CompileError."""
    fast = minigen.compile(learner(loss_of)[0])
    try:
        return not [fast(*b) for b in batches[:2]]
    except CompileError as error:
        print(f"CompileError: {error}")
        return True


a = np.array(1.0)
calls, answer = record(lambda a: 2 * a if a > 0 else -1 * a, a)
a[...] = -1
replay(calls)
lesson.claim(f"`2a if a > 0 else -a` by hand, recorded at 1, replayed at -1: {answer}, should be 1", answer == -2)
asking = lambda p, y, rng: ops.mse(p, y) * (1.0 if ops.mse(p, y).item() < 0.5 else 0.1)  # caution after a shock
choosing = lambda p, y, rng: ops.mse(p, y) * ops.where(ops.mse(p, y) < 0.5, 1.0, 0.1)
caught, (same, _) = refused(asking), same_bits(choosing)
lesson.claim("minigen refuses a branch; with ops.where 50 steps are equal bit for bit", caught and same)

# %% [markdown]
# ## Trap 2: noise that is drawn once
#
# Let every step see the angles with fresh noise of SD $0.1\,t$, as from an instrument. `rng.standard_normal` is no
# ufunc and knocks at no gate. To the recorder its array comes from nowhere and must be a constant: all steps get the
# *same* noise. Nothing crashes. The loss looks even better than it should, for the network learns the noise by heart.

# %%
spread = (0.1 * swing.t[:, None]).astype(np.float32)
shaky = lambda x, y, *state: step(x, y + spread * lesson.rng.standard_normal(y.shape, np.float32), *state)
alive, frozen, steps = start(32), start(32), 3000 if lesson.quick else 6000
fast = compiled(shaky, times, angles, *frozen)
losses = np.array([(shaky(times, angles, *alive), fast(times, angles)) for _ in range(steps)])
curves = [np.tanh(np.tanh(times @ w[1] + w[2]) @ w[3] + w[4]) @ w[5] + w[6] for w in (alive, frozen)]
(a, b), (c, d) = losses[-500:].mean(axis=0) / np.mean(spread**2), [np.std(curve - angles) for curve in curves]
found = f"loss {b:.2f} of the noise's variance (live {a:.2f}, above it), {d:.2f} rad off the truth"
lesson.claim(f"frozen noise: {found} (live {c:.2f}, at least 1.3 times less)", b < a and d > 1.3 * c)
fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
left.plot(swing.t, angles, "k--", label="truth")
for curve, loss, label, colour in zip(curves, losses.T, ("live noise", "frozen noise"), ("#1f5fa8", "#b3261e")):
    left.plot(swing.t, curve, color=colour, lw=2, label=label)
    right.semilogy(np.arange(50, steps + 1), np.convolve(loss, np.ones(50) / 50, "valid"), color=colour, label=label)
right.axhline(np.mean(spread**2), color="k", ls=":", label="variance of the noise")
left.set(xlabel="time (s)", ylabel="angle (rad)", title="What was learnt")
right.set(xlabel="step", ylabel="loss, mean of 50 steps (rad²)", title="What the training told us")
left.legend(frameon=False), right.legend(frameon=False)
lesson.figure(fig, "_noise")
outside = lambda p, y, rng: ops.mse(p, y + rng.standard_normal(y.shape, np.float32))
inside = lambda p, y, rng: ops.mse(p, y + ops.normal(rng, y.shape))
caught, (same, _) = refused(outside), same_bits(inside)
lesson.claim("minigen refuses NumPy's noise; with ops.normal 50 steps are equal bit for bit", caught and same)
lesson.end()

# %% [markdown]
# How does minigen notice? In calls 2, 4, 8, ... it does the step both ways and compares; in every call, bit for bit,
# with `check=True`. A Python number that changes is a third trap of the same kind: were our `t` a Python integer, Adam
# would for ever correct its averages as in the first step. What changes must be an argument, or live in an array.
#
# Mind what such a compiler does **not** do: it joins no loops and moves no call. That is why it is exact to the bit.
# XLA, beneath JAX, or PyTorch's compiler do both, and write new kernels for your very program and processor. It takes
# them seconds to minutes, wins most where arrays are large, and may round otherwise.
#
# ## Exercises
#
# 1. `Guarded(Seen)`: raises TypeError for `if a:`, `float(a)` and `a.item()`; records our step as `Seen` does.
# 2. `prune(calls, result)`: drops the calls that neither `result` nor a change in place depends on. It takes two of our
#    114, and 100 replayed steps still leave the same bits. Which two?
# 3. `at_least(lives)`: the most bytes alive in any one call. No plan needs fewer; `share` takes at most 1.1 times that.
# 4. Langevin's walk (lesson 17), x - h sin x + sqrt(2h) a, of 256 chains, with `ops.normal`: 1000 compiled steps leave
#    the bits of 1000 plain ones. With `rng.standard_normal`, CompileError comes in the second call.
#
# ## Sources
#
# Griewank & Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008): what tapes hold. Poletto & Sarkar, *Linear scan
# register allocation*, ACM TOPLAS 21 (1999): places by last use. Frostig, Johnson & Leary, *Compiling machine learning
# programs via high-level tracing*, SysML (2018): JAX. NumPy enhancement proposal 13: `__array_ufunc__`.
