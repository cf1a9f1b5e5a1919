# %% [markdown]
# # 8. Compile: decide once, do it ten thousand times
#
# *Part 2: the engine. 75 minutes. A detour for engineers: skip it without loss.*
#
# **The question.** In a small network most of a step's time goes into deciding what to do next
# (lesson 7). And it is the same decision every time. Can we write down once what a step does, and
# from then on do just that?
#
# **Afterwards you can**
#
# * turn a training step into a flat list of NumPy calls,
# * replay the list with the same result to the last bit,
# * fit its arrays into a fraction of their memory,
# * name two traps that such a compiler must catch, or it falsifies a training without a word.
#
# **You need** the network and its gradients of lesson 5, Adam of lesson 6, and the end of
# lesson 7.
#
# **Four parts**, 15 to 20 minutes each. One may stop after any of them.
#
# 1. Write down what is done
# 2. Do it again
# 3. Memory: who needs an array when?
# 4. Two traps

# %%
from lesson import Lesson

lesson = Lesson("08_compile")
rng = lesson.rng

import math
from dataclasses import dataclass
from operator import attrgetter
from timeit import timeit

import numpy as np

import minigen
from minigen import datasets, nn, ops, optim
from minigen.compile import CompileError
from minigen.plots import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION

# %% [markdown]
# # Part 1. Write down what is done
#
# The task of this lesson is small on purpose: from the time $t$, tell the angle of *one*
# pendulum. A training step takes a **minibatch**, 64 of its 100 points at random.

# %%
swing = datasets.pendulum_trajectories(1, rng, view=100)
times = (swing.t[:, None] - 2.5).astype(np.float32)  # (100, 1), s, from the middle
angles = swing.clean.T.astype(np.float32)  # (100, 1), rad
batches = []
for rows in rng.integers(100, size=(300, 64)):
    batches.append((times[rows], angles[rows]))
print(len(batches), "minibatches of shape", batches[0][0].shape)


# %% tags=["hide-input"]
def draw_task():
    with lesson.figure("task", width=6.5, height=3.2) as ax:
        ax.plot(times, angles, color=BLACK, lw=1, label="the pendulum")
        x_batch, y_batch = batches[0]
        ax.plot(x_batch, y_batch, "o", color=BLUE, ms=5, label="one minibatch")
        ax.set(
            xlabel="time, from the middle (s)", ylabel="angle (rad)", ylim=(-1.8, 2.6)
        )
        ax.set_title("Each step sees other points, and does the same with them")
        ax.legend(ncol=2, loc="upper center")


draw_task()

# %% [markdown]
# ## The smallest case
#
# Three lines of NumPy make three calls: `np.multiply`, `np.add`, `np.tanh`.


# %%
def small_layer(x, w, b):
    product = x * w
    total = product + b
    return np.tanh(total)


x = np.array([1.0, 2.0])
w = np.array([0.5, 0.5])
b = np.array([0.0, 1.0])
print(small_layer(x, w, b))

# %% [markdown]
# We want the list of these calls *without reading the function*: by watching it run. NumPy has a
# gate for this. `np.tanh` and its like are **ufuncs**, and so is what stands behind the operators
# `+`, `@` and `+=`. Before a ufunc runs, it asks its arguments: has one of you a method
# `__array_ufunc__`? If so, it leaves the work to that method.
#
# So we hand the function the same memory in another class, `Seen`: that is what `view` does. Its
# gate does the work with plain arrays, notes the ufunc and all that it touched, the result last,
# and makes the result `Seen` too. What is a gate told? Three cases are enough for this lesson:
#
# * `np.tanh(a)`: `ufunc` is `np.tanh`, and `args` is `(a,)`.
# * `a += b`: `ufunc` is `np.add`, `args` is `(a, b)`, and `out` is `(a,)`: write the result there.
# * `np.add.reduce(a, axis=0)`, a sum over the rows: `ufunc` is `np.add`, `method` is `"reduce"`.


# %%
def plain(a):
    """The same memory as an ordinary array; what is not `Seen` comes back as it is."""
    return a.view(np.ndarray) if isinstance(a, Seen) else a


recorded = []  # pairs (function, its arguments with the result last)


class Seen(np.ndarray):
    """An array whose ufuncs are written down."""

    def __array_ufunc__(self, ufunc, method, *args, out=(None,), axis=0):
        function = ufunc
        given = [plain(a) for a in args]
        if method == "reduce":
            function = ufunc.reduce
            given += [axis, None]  # None: the type of number stays
        target = plain(out[0])  # None, if the result is to be a new array
        result = np.asarray(function(*given, target))
        recorded.append((function, [*given, result]))
        return result.view(type(self))


# %%
def record(step, *arrays):
    """The calls made by step(*arrays), and what it returns."""
    recorded.clear()
    result = step(*[a.view(Seen) for a in arrays])
    return list(recorded), plain(result)


def print_calls(calls):
    """Each call: its name, the shapes of what it is given, and the shape of its result."""
    for function, arguments in calls:
        shapes = [str(np.shape(a)) for a in arguments[:-1]]
        result = arguments[-1]
        kind = "new" if result.base is None else "in place"  # base: whose memory it is
        print(f"{function.__name__:9} {' '.join(shapes)} -> {result.shape} {kind}")


small_calls, small_result = record(small_layer, x, w, b)
print_calls(small_calls)

# %% [markdown]
# That is the function, as a list. To **replay** it, put other numbers where $x$ was and make the
# same calls; a ufunc takes as its last argument the array to write to.

# %%
x[:] = [0.0, 4.0]
for function, arguments in small_calls:
    function(*arguments)
print("replayed:", small_result)
print("computed:", small_layer(x, w, b))

# %% [markdown]
# ## A whole training step
#
# Our network has two hidden layers of 32. First the loss and its six gradients, written out as
# in lesson 5, but with the weights the other way round: a row for each input, so it is `x @ W1`
# and not `x @ W1.T`. (`np.add.reduce` is the sum, as a ufunc.)


# %%
def loss_and_gradients(x, y, W1, b1, W2, b2, W3, b3):
    h1 = np.tanh(x @ W1 + b1)
    h2 = np.tanh(h1 @ W2 + b2)
    error = h2 @ W3 + b3 - y
    loss = np.add.reduce(error * error, axis=None) * (1 / y.size)

    g3 = error * (2 / y.size)
    g2 = (g3 @ W3.T) * (1 - h2 * h2)
    g1 = (g2 @ W2.T) * (1 - h1 * h1)
    gW1 = x.T @ g1
    gb1 = np.add.reduce(g1, axis=0)
    gW2 = h1.T @ g2
    gb2 = np.add.reduce(g2, axis=0)
    gW3 = h2.T @ g3
    gb3 = np.add.reduce(g3, axis=0)
    return loss, [gW1, gb1, gW2, gb2, gW3, gb3]


# %% [markdown]
# Then Adam, as in lesson 6: `mean += 0.1 * (g - mean)` is 0.9 of the old mean and 0.1 of $g$. All
# that a step changes is handed in as arrays and changed *in place*. So each of them keeps its
# memory, and a replay finds it there. That holds even for the count of steps: one number, an
# array of shape `()`.


# %%
def adam(count, weights, means, squares, gradients):
    count += 1
    rate = 0.01 / (1 - 0.9**count)
    scale = 1 / (1 - 0.999**count)
    for weight, mean, square, g in zip(weights, means, squares, gradients):
        mean += 0.1 * (g - mean)
        square += 0.001 * (g * g - square)
        weight -= rate * mean / (np.sqrt(square * scale) + 1e-8)


def step(x, y, count, *arrays):
    """One step of training; `arrays`: six weights and biases, and Adam's two memories of each."""
    weights = arrays[:6]
    means = arrays[6:12]
    squares = arrays[12:]
    loss, gradients = loss_and_gradients(x, y, *weights)
    adam(count, weights, means, squares, gradients)
    return loss


# %%
def fresh_state(width):
    """The count, weights and biases, and Adam's memories: all that a step changes."""
    dice = lesson.same_dice()
    shapes = [(1, width), (width,), (width, width), (width,), (width, 1), (1,)]
    weights = []
    for shape in shapes:
        weights.append(dice.normal(0, shape[0] ** -0.5, shape).astype(np.float32))
    means = [np.zeros_like(weight) for weight in weights]
    squares = [np.zeros_like(weight) for weight in weights]
    return [np.zeros((), np.float32), *weights, *means, *squares]


for array in fresh_state(32)[:7]:
    print(array.shape, end=" ")
print("and twice the last six again")

# %%
calls, loss = record(step, *batches[0], *fresh_state(32))
print_calls(calls[:12])
print("...")
print_calls(calls[-4:])
print(len(calls), "calls in all")

# %% [markdown]
# > **Predict.** Draw each call as a dot: its number to the right, its name upwards. What will
# > Adam look like?


# %% tags=["hide-input"]
def parts_of(calls, loss):
    """For each call: forward, backward or Adam."""
    parts = []
    part = "forward"
    for _, arguments in calls:
        if arguments[-1].base is not None:
            part = "Adam"  # the first change in place is that of the count
        parts.append(part)
        if np.shares_memory(arguments[-1], loss):
            part = "backward"
    return parts


COLOURS = {"forward": BLUE, "backward": ORANGE, "Adam": GREEN}


def draw_calls():
    names = [function.__name__ for function, _ in calls]
    rows = {name: row for row, name in enumerate(dict.fromkeys(names))}
    parts = parts_of(calls, loss)
    with lesson.figure("calls", width=9, height=3.4) as ax:
        for part, colour in COLOURS.items():
            numbers = [i for i in range(len(calls)) if parts[i] == part]
            heights = [rows[names[i]] for i in numbers]
            ax.plot(numbers, heights, "o", ms=5, color=colour, label=part)
        ax.set_yticks(list(rows.values()), list(rows))
        ax.set(xlabel="call", title="A training step is a list of calls")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


draw_calls()

# %% [markdown]
# **What you saw.** A short way forward, one back, and then Adam: six times the same pattern,
# once for each weight. The loop has left no loop, and the lists, the functions and the unpacking
# have left nothing at all. This is called **tracing**.

# %% [markdown]
# # Part 2. Do it again
#
# Our plain step decides next to nothing, so do not expect our replay of it to be much faster: here
# we want the same numbers, to the last bit. The gain comes at the end of this part, with minigen's
# step, which has something to decide.
#
# Copy the next minibatch to where the first one was, make the calls, and read the loss where it
# was the first time.


# %%
def player(calls, result, x_place, y_place):
    """A function fast(x, y) that replays the calls with other data."""

    def fast(x, y):
        np.copyto(x_place, x)
        np.copyto(y_place, y)
        for function, arguments in calls:
            function(*arguments)
        return result.copy()

    return fast


def compiled(step, x, y, *state):
    """Do `step` once and write it down; the function returned does it again."""
    x_place = x.copy()
    y_place = y.copy()
    calls, result = record(step, x_place, y_place, *state)
    return player(calls, result, x_place, y_place)


# %% [markdown]
# Two networks from the same dice: one is trained by `step`, the other by its replay.
#
# > **Predict.** Will they agree to 3 digits after 300 steps, to 6, or to the last bit?

# %%
ours = fresh_state(32)
replayed = fresh_state(32)
step(*batches[0], *ours)
fast = compiled(step, *batches[0], *replayed)  # does the first step, too

our_losses = []
replayed_losses = []
for x_batch, y_batch in batches[1:]:
    our_losses.append(step(x_batch, y_batch, *ours))
    replayed_losses.append(fast(x_batch, y_batch))
print(f"loss at step 2: {our_losses[0]:.4f}, at step 300: {our_losses[-1]:.4f}")

# %%
lesson.same("losses of 299 steps and of their replays", our_losses, replayed_losses)
lesson.same("weights and Adam's memories after them", ours, replayed)

# %% [markdown]
# To the last bit: they are the same operations, in the same order, on the same numbers.
#
# And the time? Python's part and the new arrays are gone. What stays is arithmetic, and a
# **fee** that NumPy takes for any call, however small. The fee shows alone when we replay the
# same calls at width 1, on one row.


# %%
def race(ways, rounds=30):
    """Median microseconds of each way; they take turns, so that a busy moment hits all."""
    micro = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            micro[name].append(1e6 * timeit(way, number=10) / 10)
    return {name: np.median(each) for name, each in micro.items()}


fast_tiny = compiled(step, times[:1], angles[:1], *fresh_state(1))


def plain_step():
    step(*batches[0], *ours)


def replay():
    fast(*batches[0])


def only_fees():
    fast_tiny(times[:1], angles[:1])


our_micro = race({"plain": plain_step, "replayed": replay, "only fees": only_fees})
for name, micro in our_micro.items():
    print(f"{name}: {micro:.0f} µs")
fee = our_micro["only fees"] / len(calls)
print(f"the fee is {fee:.2f} µs a call")

# %% [markdown]
# So little is won? Our step was lean: there is hardly any Python between its calls, and most of
# its time is the fee, which a replay pays as well. A compiler of this kind pays where *much
# Python stands between few calls*.
#
# ## The library has the same
#
# And so it is in minigen: it keeps a tape (lesson 4), one kernel (lesson 7) does the work of
# several ufuncs, and Adam's whole update is one call. `minigen.compile` is our recorder. Its
# gate is not at NumPy's ufuncs but at minigen's operations: these, the optimisers and the random
# draws all pass one point.


# %%
def squared(prediction, y, rng):  # Part 4 has losses that use the dice `rng`
    return ops.mse(prediction, y)


def make_learner(loss_of):
    """A training step of minigen with the loss loss_of(prediction, y, rng); and its network."""
    dice = lesson.same_dice()
    net = nn.MLP([1, 32, 32, 1], "tanh", rng=dice)
    optimiser = optim.Adam(net, 0.01)

    def learn(x, y):
        optimiser.zero_grad()
        loss = loss_of(net(x), y, dice)
        loss.backward()
        optimiser.step()
        return loss

    return learn, net


def train(learn, net):
    """50 steps: the losses, and the weights after them."""
    losses = [learn(*batch).item() for batch in batches[:50]]
    return [np.array(losses), net.flat().data.copy()]


# %%
plain_learn, plain_net = make_learner(squared)
learn, net = make_learner(squared)
fast_learn = minigen.compile(learn)
plain_outcome = train(plain_learn, plain_net)
fast_outcome = train(fast_learn, net)
lesson.same(
    "minigen: losses and weights, plain and compiled", plain_outcome, fast_outcome
)
print(fast_learn.program())

# %% [markdown]
# This is minigen's list, a call in each line, with the time it takes. Where ours has three ufuncs
# (`matmul`, `add`, `tanh`), it has two kernels, a product (`dot`) and what follows it
# (`bias_tanh`); and where ours has 85 calls of Adam, it has one: 20 calls where ours has 112.


# %%
def plain_minigen():
    plain_learn(*batches[0])


def compiled_minigen():
    fast_learn(*batches[0])


their_micro = race({"plain": plain_minigen, "compiled": compiled_minigen})
for name, micro in their_micro.items():
    print(f"minigen, {name}: {micro:.0f} µs")
gain = their_micro["plain"] / their_micro["compiled"]
lesson.claim("minigen: time of a plain step over a compiled one", gain, above=1.5)


# %% tags=["hide-input"]
def draw_times():
    bars = {
        "our step": (our_micro["plain"], BLUE),
        "our step, replayed": (our_micro["replayed"], GREEN),
        "of which fees": (our_micro["only fees"], GREY),
        "minigen's step": (their_micro["plain"], BLUE),
        "minigen's, compiled": (their_micro["compiled"], GREEN),
    }
    with lesson.figure("times", width=7.5, height=3.0) as ax:
        values = [value for value, _ in bars.values()]
        drawn = ax.barh(
            list(bars), values, color=[colour for _, colour in bars.values()]
        )
        ax.bar_label(drawn, fmt="%.0f", padding=4)
        ax.set(xlabel="time of a step (µs)", xlim=(0, 1.15 * max(values)))
        ax.set_title("Replay pays where much Python stands between few calls")
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)


draw_times()

# %% [markdown]
# **What you saw.** The same idea gives us nearly nothing, and the library a step that is several
# times as fast. minigen's step has a lot of Python between its calls (the tape, the sweep, a
# network of objects), and few calls, each of which does much.

# %% [markdown]
# # Part 3. Memory: who needs an array when?
#
# In a recording every new array stays for ever, though most are read once or twice and never
# again. Take `small_layer`: three calls, three new arrays. `product` is made in call 0 and read
# in call 1. `total` is made in 1 and read in 2. In call 2 nobody needs `product` any more: the
# result of the tanh may lie in *its* place. Two places are enough for three arrays.
#
# As a rule: note for each new array its **life**, the call that makes it and the last one that
# touches it. Then walk along the list with some **blocks** of memory.
#
# * An array moves into the smallest free block that holds it.
# * Is none free? Open a new one.
# * After the array's last call its block is free again.
#
# In a call itself a result never lies where one of its arguments lies: both are touched there.
#
# Compilers have long dealt out the few registers of a processor in this way (**linear scan**).


# %%
@dataclass
class Life:
    """When an array is in use, and where it lies."""

    first: int  # the call that makes it
    last: int  # the last call that touches it
    size: int  # bytes
    place: int = 0  # its first byte in the shared memory


@dataclass
class Block:
    """A piece of the shared memory."""

    size: int
    place: int
    busy_until: int  # the last call of the array that lies in it


# %% [markdown]
# Some arguments are only views: `W.T` has no memory of its own, it looks at that of `W`. To use
# the view is to use its owner. (NumPy keeps the owner under the name `base`.)


# %%
def owner(a):
    """The array whose memory `a` looks at: of a view such as W.T, that is W."""
    while isinstance(getattr(a, "base", None), np.ndarray):
        a = a.base
    return a


def lives_of(calls, result):
    """The life of each new array, by the id of the array."""
    lives = {}
    for i, (_, arguments) in enumerate(calls):
        made = arguments[-1]
        if made.base is None:  # new: not in the memory of another array
            lives[id(made)] = Life(i, i, made.nbytes)
        for a in arguments:
            if id(owner(a)) in lives:
                lives[id(owner(a))].last = i
    lives[id(owner(result))].last = len(calls)  # its reader comes after all calls
    return lives


small_lives = lives_of(small_calls, small_result)
for life in small_lives.values():
    print(f"made in call {life.first}, last touched in call {life.last}")


# %%
def give_places(lives):
    """Find a place for each life; returns how many bytes are needed in all."""
    blocks = []
    total = 0
    for life in lives.values():
        free = []
        for block in blocks:
            if block.busy_until < life.first and block.size >= life.size:
                free.append(block)
        if free:
            block = min(free, key=attrgetter("size"))
        else:
            size = 64 * math.ceil(life.size / 64)  # whole lines of the cache
            block = Block(size, total, 0)
            blocks.append(block)
            total += size
        life.place = block.place
        block.busy_until = life.last
    return total


# %%
print(give_places(small_lives), "bytes are needed, in blocks of 64")
for life in small_lives.values():
    print(life)

# %% [markdown]
# The first and the third array share place 0. (The third is the result. Its last call is 3, one
# after the end, for somebody wants to read it.)
#
# Now the training step. `share` makes the same calls over one shared memory. For that, `moved`
# puts an array of the same shape at its new place; `strides` say in which order the numbers lie,
# so a transposed array stays transposed.


# %%
def share(calls, result):
    """The same calls and the same result, with all new arrays in one shared memory."""
    lives = lives_of(calls, result)
    memory = np.empty(give_places(lives), np.uint8)

    def moved(a):
        life = lives.get(id(owner(a)))
        if life is None:
            return a  # not one of the new arrays
        return np.ndarray(a.shape, a.dtype, memory, life.place, a.strides)

    moved_calls = []
    for function, arguments in calls:
        moved_calls.append((function, [moved(a) for a in arguments]))
    return moved_calls, moved(result)


# %% [markdown]
# > **Predict.** The new arrays of the step have 167 kB in all. How much will they need if they
# > share? And which arrays must live long?

# %%
lives = lives_of(calls, loss)
shared_bytes = give_places(lives)
all_bytes = sum(life.size for life in lives.values())
print(f"{all_bytes} bytes of results fit into {shared_bytes}")
lesson.claim(
    "shared memory over that of all results", shared_bytes / all_bytes, below=0.4
)

# %%
thrifty = fresh_state(32)
x_place = batches[0][0].copy()
y_place = batches[0][1].copy()
thrifty_calls, thrifty_loss = share(*record(step, x_place, y_place, *thrifty))
fast_thrifty = player(thrifty_calls, thrifty_loss, x_place, y_place)
thrifty_losses = [fast_thrifty(*batch) for batch in batches[1:]]
lesson.same(
    "losses of 299 steps, in shared memory and plain", thrifty_losses, our_losses
)


# %% tags=["hide-input"]
def draw_lives():
    parts = parts_of(calls, loss)
    stacked = np.cumsum([life.size for life in lives.values()])
    shared = [life.place + life.size for life in lives.values()]
    with lesson.figure("lives", panels=2, width=5.4, sharey=True) as axes:
        for ax, tops in zip(axes, (stacked, shared)):
            for life, top in zip(lives.values(), tops):
                if life.size > 1000:
                    when = [(life.first, life.last - life.first + 1)]
                    where = ((top - life.size) / 1e3, life.size / 1e3)
                    colour = COLOURS[parts[life.first]]
                    ax.broken_barh(when, where, fc=colour, ec="white")
            ax.set(xlabel="call", xlim=(0, 112), ylim=(0, 175))
        for part, colour in COLOURS.items():
            axes[0].plot([], [], color=colour, lw=6, label=part)
        axes[0].legend(loc="upper left")
        axes[0].set(
            ylabel="place (kB)", title=f"A place for each: {all_bytes / 1e3:.0f} kB"
        )
        axes[1].set_title(f"Places used again: {shared_bytes / 1e3:.0f} kB")


draw_lives()

# %% [markdown]
# **What you saw.** Each box is an array (those below 1 kB are left out), from its first call to
# its last. The long blue ones are what backward needs of forward: the true price of gradients.
# The long orange one is a gradient that waits for Adam. Most others come and go in the same few
# places.

# %% [markdown]
# # Part 4. Two traps
#
# ## Trap 1: a question
#
# A recording knows what was done, not *why*. Here is a function with a question in it. (Our
# `compiled` wants a function of two arrays; the second is not used.)
#
# > **Predict.** It is recorded with $a = 1$, and replayed with $a = -1$. The right answer is 1.
# > What will the replay say?


# %%
def questioning(a, _):
    if a > 0:
        return 2 * a
    return -a


one = np.ones(1)
fast_question = compiled(questioning, one, one)
answer = fast_question(-one, one)[0]
print(f"at -1: computed {questioning(-one, one)[0]}, replayed {answer}")
lesson.claim("the replay of a question, at -1 (it should be 1)", answer, exactly=-2)

# %% [markdown]
# The question was asked once, while we recorded. Every replay repeats what came of *that*
# answer, and our recorder does not even notice. minigen's arrays refuse to answer while they are
# recorded. What to do instead? Look at a value outside the step; or, inside, compute both and
# let an *operation* choose: `ops.where`. Here a loss that counts less where it is large.


# %%
def asking(prediction, y, rng):
    loss = ops.mse(prediction, y)
    return loss if loss < 0.5 else 0.1 * loss


def choosing(prediction, y, rng):
    loss = ops.mse(prediction, y)
    return loss * ops.where(loss < 0.5, 1.0, 0.1)


def outcome(loss_of):
    """Plain and compiled training compared: "equal" to the bit, "different", or "refused"."""
    learn, net = make_learner(loss_of)
    expected = train(learn, net)
    learn, net = make_learner(loss_of)
    try:
        found = train(minigen.compile(learn), net)
    except CompileError as error:
        print("CompileError:", error)
        return "refused"
    same = all(map(np.array_equal, expected, found))
    return "equal" if same else "different"


# %%
of_asking = outcome(asking)
of_choosing = outcome(choosing)
print(f"asking: {of_asking}; choosing: {of_choosing}")
lesson.claim("minigen refuses the question", of_asking == "refused", exactly=True)
lesson.claim("with ops.where: equal, bit for bit", of_choosing == "equal", exactly=True)

# %% [markdown]
# ## Trap 2: noise that is drawn once
#
# Let every step see 50 of the angles with *fresh* noise of SD $0.1\,t$, as from an instrument.
# `rng.standard_normal` is no ufunc, and knocks at no gate. To the recorder its array comes from
# nowhere and must be a constant: all steps get the *same* noise. (We keep a list of all noise
# that is drawn, to see it.)
#
# > **Predict.** Nothing crashes. What will the loss look like: worse than with fresh noise, the
# > same, better? The network cannot foresee noise; so with fresh noise the loss cannot get below
# > its variance.

# %%
few_times = times[::2]  # (50, 1)
few_angles = angles[::2]
spread = (0.1 * swing.t[::2, None]).astype(np.float32)  # (50, 1), rad
variance = np.mean(spread**2)
print(f"the mean variance of the noise: {variance:.4f} rad^2")


noises = []


def shaky(x, y, *state):
    noise = spread * rng.standard_normal(y.shape, np.float32)
    noises.append(noise)
    return step(x, y + noise, *state)


# %%
def predict(state):
    """The angles that the network says, (100, 1)."""
    W1, b1, W2, b2, W3, b3 = state[1:7]
    return np.tanh(np.tanh(times @ W1 + b1) @ W2 + b2) @ W3 + b3


state = {"fresh noise": fresh_state(32), "frozen noise": fresh_state(32)}
fast_shaky = compiled(shaky, few_times, few_angles, *state["frozen noise"])
frozen_noise = noises[0]  # drawn while the step was recorded
losses = {name: [] for name in state}
STEPS = lesson.pick(full=6000, quick=4000)
for _ in range(STEPS):
    fresh_loss = shaky(few_times, few_angles, *state["fresh noise"])
    losses["fresh noise"].append(fresh_loss)
    losses["frozen noise"].append(fast_shaky(few_times, few_angles))
for name, of_steps in losses.items():
    print(f"{name}: loss {of_steps[0]:.3f} at first, {of_steps[-1]:.3f} at the end")
print(f"noise was drawn {len(noises)} times in twice {STEPS} steps")

# %%
noise_table = {}
for name in state:
    noise_table[name] = {
        "loss / variance": np.mean(losses[name][-500:]) / variance,
        "off the truth (rad)": np.std(predict(state[name]) - angles),
    }
lesson.table("a network taught by noisy angles", noise_table)

# %%
fresh = noise_table["fresh noise"]
frozen = noise_table["frozen noise"]
lesson.claim(
    "fresh noise: loss over the noise's variance", fresh["loss / variance"], above=0.9
)
lesson.claim("frozen noise: the same", frozen["loss / variance"], below=0.6)
worse = frozen["off the truth (rad)"] - fresh["off the truth (rad)"]
lesson.claim("frozen noise: further from the truth by", worse, above=0.02, unit="rad")


# %% tags=["hide-input"]
def draw_noise():
    with lesson.figure("noise", panels=2, width=5.2) as (curves, falling):
        seen = few_angles + frozen_noise
        curves.plot(swing.t[::2], seen, ".", color=GREY, label="truth + frozen noise")
        curves.plot(swing.t, angles, "--", color=BLACK, label="truth")
        for name, colour in (("fresh noise", BLUE), ("frozen noise", VERMILLION)):
            curves.plot(swing.t, predict(state[name]), color=colour, label=name)
            smooth = np.reshape(losses[name], (-1, 100)).mean(axis=1) / variance
            falling.plot(
                np.arange(len(smooth)) * 100 + 50, smooth, color=colour, label=name
            )
        curves.set(xlabel="time (s)", ylabel="angle (rad)", ylim=(-3, 3))
        curves.set_title("Frozen noise is learnt by heart")
        falling.axhline(1.0, color=BLACK, ls=":", label="the noise's variance")
        falling.set(xlabel="step", ylabel="loss over the noise's variance", ylim=(0, 2))
        falling.set_title("And the loss looks better than it can be")


draw_noise()

# %% [markdown]
# **What you saw.** The red curve goes from dot to dot: that network has learnt the noise by heart
# (overfitting, lesson 2), and its loss boasts of it. Whoever looks only at the loss would prefer
# the broken program.
#
# minigen notices. Here is the same noise, drawn by NumPy and by minigen's own operation.


# %%
def noise_from_outside(prediction, y, rng):
    return ops.mse(prediction, y + rng.standard_normal(y.shape, np.float32))


def noise_from_inside(prediction, y, rng):
    return ops.mse(prediction, y + ops.normal(rng, y.shape))


of_outside = outcome(noise_from_outside)
of_inside = outcome(noise_from_inside)
lesson.claim("minigen refuses NumPy's noise", of_outside == "refused", exactly=True)
lesson.claim("with ops.normal: equal, bit for bit", of_inside == "equal", exactly=True)
lesson.end()

# %% [markdown]
# How does it notice? In calls 2, 10, 100, 1000, ... it does the step both ways. It compares
# what the step called with what was recorded (the error above names the operation, and the array
# that came from nowhere), then the numbers. With `check=True` it does so in every call, bit for
# bit.
#
# A Python number that changes is a third trap of this kind. Were our `count` one, Adam would for
# ever correct its averages as in step 1. **What changes must be an argument, or live in an
# array.**
#
# # What it means
#
# * A training step is a list of calls. Written down once, it can be replayed without Python, and
#   to the last bit.
# * What it gains is what stood *between* the calls. Kernels (lesson 7) gain within them.
# * Most arrays live short; places can be used again. What backward needs of forward cannot.
# * A recording knows no why: questions and dice must be made operations.
#
# Our compilers fuse no passes (lesson 7) and change no arithmetic, hence the equal bits. The
# compilers of two large libraries, JAX and PyTorch, write new kernels for your very program. That
# takes seconds to minutes, pays with large arrays, and rounds otherwise.
#
# # Exercises
#
# **1. A number from outside** (5 minutes). Record `def scaled(a, _): return a * factor` with a
# global `factor = 2.0`, then set `factor = 3.0` and replay at 1. What comes out? *Check:* 2.
# *Why:* which of the traps is this? What would you write instead?
#
# **2. Ten times the rows** (5 minutes). Record the step on 640 rows, `times[rows]` with `rows =
# rng.integers(100, size=640)`. What share of the memory is needed now? *Check:* 0.41 of it,
# where 64 rows needed 0.30. *Why:* which arrays have grown, and which have not?
#
# **3. A recorder that notices** (20 minutes). *Write* `class Guarded(Seen)` that raises
# TypeError for `if a:`, `float(a)` and `a.item()`. *Check:* it refuses `questioning`, and
# records our `step` as `Seen` does. *Why:* better an error than a wrong answer.
#
# **4. How good is the plan?** (15 minutes). *Write* `at_least(lives)`: the most bytes that are
# alive in any one call. *Check:* no plan can need fewer; for our step `give_places` takes at
# most 1.1 times that. *Why:* know what is left to gain before you look for a better plan.
#
# **5. A walk** (20 minutes). Langevin's walk (lesson 25) goes from $x$ to $x - h \sin x +
# \sqrt{2h}\, a$, with fresh $a \sim \mathcal N(0, 1)$. *Write* `walk(x)` as a compiled step of
# 256 chains, with `ops.normal`. *Check:* 1000 compiled steps leave the same bits as 1000 plain
# ones; with `rng.standard_normal`, CompileError comes in the second call. *Why:* samplers have
# many small steps.
#
# **6. Whose loss?** (5 minutes). Three people compiled the same training with dropout (half of
# the units are switched off at random in each step). Dora: "the loss is the same as before, to
# the bit." Emil: "it is lower than before, at once." Fay: "it is the same, but the program is
# not faster." Who has made which mistake? *Check:* one has none, one has frozen dice, and one
# has a step that lives in its matrix products. *Why:* a better loss is not always good news.
#
# # Sources
#
# Griewank & Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008): what tapes hold. Poletto &
# Sarkar, *Linear scan register allocation*, ACM TOPLAS 21 (1999). Frostig, Johnson & Leary,
# *Compiling machine learning programs via high-level tracing*, SysML (2018): JAX. NumPy
# enhancement proposal 13: `__array_ufunc__`.
