# %% [markdown]
# # 4. Autodiff: a program that knows its own slope
#
# *Part 2: the engine. 75 minutes.*
#
# **The question.** If I turn this knob a little, how much does that number move? Every model of
# this course learns by asking so. With one knob we could turn it and look. A network has a
# hundred thousand knobs, and each wants its answer at every step of the training. Can a program
# tell all its slopes in one go, and exactly?
#
# **Afterwards you can**
#
# * find the slope of a small program by hand, walking backwards,
# * write a program that does this for every program, from an empty page,
# * differentiate a gradient, and a whole simulation,
# * say why finite differences lose a third to a half of their digits, and this method hardly one.
#
# **You need** the chain rule, NumPy's broadcasting, and the pendulum of lesson 1.
#
# **Five parts**, about 15 minutes each. One may stop after any of them.
#
# 1. Three lines, by hand
# 2. A program that keeps a record
# 3. The walk back
# 4. The derivative of a derivative
# 5. A whole simulation is one more function

# %%
from lesson import Lesson

lesson = Lesson("04_autodiff")
rng = lesson.rng

import heapq
import itertools

import numpy as np

import minigen
from minigen import ops, plots
from minigen.plots import BLACK, BLUE, GREY, ORANGE, VERMILLION

# %% [markdown]
# # Part 1. Three lines, by hand
#
# A program of three lines, with one knob $x$ and one result $z$:
#
# $$ u = 0.8\,x, \qquad s = \sin u, \qquad z = u\,s. $$
#
# We turn the knob from 0 to 3 and draw $z$. How steep is the curve at $x = 1.5$?


# %%
def three_lines(x):
    u = 0.8 * x
    s = np.sin(u)
    return u * s


# %% tags=["hide-input"]
def draw_question():
    with lesson.figure("question", width=6.5, height=3.8) as ax:
        knob = np.linspace(0.0, 3.0, 200)
        ax.plot(knob, three_lines(knob), color=BLUE, label="z")
        ax.plot(1.5, three_lines(1.5), "o", color=BLACK, label="x = 1.5")
        sides = np.array([1.0, 2.0])
        low, high = three_lines(sides)
        ax.plot(sides, [low, high], "o--", color=VERMILLION, label="0.5 to both sides")
        ax.plot([1.0, 2.0, 2.0], [low, low, high], color=GREY, lw=1)
        ax.text(1.5, low - 0.04, "x moved by 1", ha="center", va="top")
        ax.text(2.04, (low + high) / 2, f"z moved by {high - low:.2f}", va="center")
        ax.set(xlabel="x", ylabel="z", title="How much does z move with x?")
        ax.legend(loc="upper left")


draw_question()

# %% [markdown]
# In the picture the knob moves by 0.5 to both sides, by 1 in all, and $z$ by 1.03: a slope of
# about 1.03. With a smaller step $h$ we see the curve at 1.5 alone. This is a **finite
# difference**, and as it looks to both sides, a *central* one.


# %%
def central_difference(f, x, h=1e-6):
    """The slope of f at x, measured: one step ahead, one step back."""
    return (f(x + h) - f(x - h)) / (2 * h)


measured_slope = central_difference(three_lines, 1.5)
print(f"dz/dx, measured: {measured_slope:.3f}")

# %% [markdown]
# So much for turning. We want the same number from the program itself. First we follow it
# forward, line by line.

# %%
value = {"x": 1.5}
value["u"] = 0.8 * value["x"]
value["s"] = np.sin(value["u"])
value["z"] = value["u"] * value["s"]
for name in value:
    print(f"{name} = {value[name]:.3f}")

# %% tags=["hide-input"]
PLACES = {"x": (0.0, 3), "u": (0.0, 2), "s": (1.0, 1), "z": (0.0, 0)}
LINES = {"x": "x", "u": "u = 0.8 x", "s": "s = sin u", "z": "z = u s"}
ARROWS = {  # (later, earlier): how much the later moves with the earlier
    ("u", "x"): "× 0.8",
    ("s", "u"): "× cos u\n= 0.362",
    ("z", "u"): "× s\n= 0.932",
    ("z", "s"): "× u\n= 1.2",
}


def draw_graph(ax, words, colour, backwards=False, speaker=None):
    """The four values, each with its words; arrows go with the computation or back."""
    ax.axis("off")
    ax.set(xlim=(-0.6, 1.6), ylim=(-0.5, 3.5))
    for (later, earlier), factor in ARROWS.items():
        tail = PLACES[later if backwards else earlier]
        head = PLACES[earlier if backwards else later]
        gap = 20 if tail[0] == head[0] else 36  # points, to the middle of a box
        look = {"arrowstyle": "-|>", "color": GREY, "shrinkA": gap, "shrinkB": gap}
        if later == speaker:
            look["color"] = colour
            look["lw"] = 2.5
        ax.annotate("", head, tail, arrowprops=look)
        if backwards:
            across, up = np.mean([tail, head], axis=0)
            side = 0.06 if across == 0 else 0.1
            align = "bottom" if (later, earlier) == ("s", "u") else "center"
            if (later, earlier) == ("z", "s"):
                align = "top"
            ax.text(across + side, up, factor, color="#555555", va=align, fontsize=9)
    for name, place in PLACES.items():
        ground = "#FBE7DB" if name == speaker else "white"
        frame = {"boxstyle": "round,pad=0.4", "fc": ground, "ec": colour, "lw": 1.5}
        ax.text(*place, words[name], ha="center", va="center", bbox=frame)


def draw_values():
    with lesson.figure("values") as ax:
        words = {name: f"{LINES[name]}\n{value[name]:.3f}" for name in PLACES}
        draw_graph(ax, words, BLUE)
        ax.set_title("Forward: the values")


draw_values()

# %% [markdown]
# Each box is a value, each arrow says who is used by whom. Note that $u$ is used twice.
#
# Now we begin at the end and walk **back**, asking at each value: *if this value moves a little,
# how many times as much does $z$ move?*
#
# * $z$ itself: 1 time.
# * $s$: since $z = u\,s$, a move of $s$ is multiplied by $u$: 1.2 times.
# * $u$ acts in **two ways**. Directly, as a factor of $z$: $s = 0.932$ times. And through the
#   sine: $s$ moves $\cos u = 0.362$ times as much as $u$, and $z$ 1.2 times as much as $s$,
#   which makes 0.435. Together 1.367 times.
# * $x$: $u$ moves 0.8 times as much as $x$, and $z$ 1.367 times as much as $u$.

# %%
slope = {"z": 1.0}
slope["s"] = slope["z"] * value["u"]
directly = slope["z"] * value["s"]
through_the_sine = slope["s"] * np.cos(value["u"])
slope["u"] = directly + through_the_sine
slope["x"] = slope["u"] * 0.8
for name in slope:
    print(f"dz/d{name} = {slope[name]:.3f}")


# %% tags=["hide-input"]
def draw_by_hand():
    with lesson.figure("by_hand") as ax:
        words = {name: f"dz/d{name}\n{slope[name]:.3f}" for name in PLACES}
        draw_graph(ax, words, VERMILLION, backwards=True)
        ax.set_title("Backward: how much z moves with each")


draw_by_hand()

# %% [markdown]
# The first of the two drawings is called the **computational graph** of the program. Kept as a
# list, in the order in which things were made, it is a **tape**. To walk it backwards and
# multiply is **backpropagation**, or *reverse-mode automatic differentiation*. As a formula it is
# the chain rule, with a sum over all ways: if $u$ is used by $v_1, v_2, \dots$, then
#
# $$ \frac{\partial z}{\partial u} = \sum_i \frac{\partial z}{\partial v_i}
#    \frac{\partial v_i}{\partial u}. $$
#
# Here $v_1 = z$ and $v_2 = s$: $\;1 \cdot 0.932 + 1.2 \cdot 0.362 = 1.367$. (The curly $\partial$
# is the $d$ of a slope when there are several knobs: this one is turned, the others stay.)
#
# > **Predict.** Somebody writes this as a program and forgets the sum: what arrives at $u$ last
# > takes the place of what came before. Will it crash? What will it say $dz/dx$ is?

# %%
forgetful_slope = 0.8 * through_the_sine  # the direct way arrived first, and is lost
print(f"with both ways {slope['x']:.3f}, forgetful {forgetful_slope:.3f}")
off = 100 * abs(slope["x"] / measured_slope - 1)
lesson.claim("dz/dx by hand, off from the measured one", off, below=1e-4, unit="%")
off_forgetful = 100 * abs(forgetful_slope / measured_slope - 1)
lesson.claim("dz/dx without the sum is off", off_forgetful, above=50, unit="%")

# %% [markdown]
# **What you saw.** Nothing crashes, nothing is infinite; the number is only wrong. A forgotten
# sum is the commonest fault of home-made tapes. The first judge of a gradient is therefore
# always a measurement.

# %% [markdown]
# # Part 2. A program that keeps a record
#
# A program, however long, is a chain of small operations, each with a derivative known from
# school. To do Part 1 by machine, we must keep, for every value, *which operation made it, and
# from what*. That is all a `Var` is. Its number, the `id`, says in which order the values were
# made. (`__repr__` only prints it, with the help of `short` below.)

# %%
ids = itertools.count()


class Var:
    """A value on the tape: `data`, made by the operation `op` from `args`."""

    def __init__(self, data, op=None, args=()):
        self.data = data
        self.op = op  # None for an input
        self.args = args
        self.id = next(ids)

    def __repr__(self):
        if self.op is None:
            return f"#{self.id}: {short(self.data)} = input"
        made_of = ", ".join([short(a) for a in self.args])
        return f"#{self.id}: {short(self.data)} = {self.op.name}({made_of})"


# %%
def short(a):
    """An argument in a few letters, for printing."""
    if isinstance(a, Var):
        return f"#{a.id}"
    if isinstance(a, tuple):
        return str(a)  # a shape
    if np.ndim(a) > 0:
        return f"array{np.shape(a)}"
    return f"{a:.4g}"


def raw(a):
    """The plain number or array, without its record."""
    return a.data if isinstance(a, Var) else a


print(Var(1.5))

# %% [markdown]
# ## One operation and its rule
#
# Let $g$ be what we want to know of a value $y$: how much the final number moves with it. If $y
# = \sin a$, then $a$ receives $g \cos a$. If $y = a\,b$, then $a$ receives $g\,b$, and $b$
# receives $g\,a$. With the numbers of Part 1: $z = u\,s$ with $g = 1$ hands 0.932 to $u$ and 1.2
# to $s$. This is the **rule** of an operation. It never asks what the final number is.
#
# `primitive` ties an operation to its rule. It makes the function `op` and hangs two notes on it,
# a name and the rule (in Python a function may have attributes). Note the first lines of `op`: of
# plain numbers it makes a plain number, and records nothing. That looks like mere thrift now.


# %%
def primitive(forward, rule):
    """An operation: `forward` computes it, `rule` hands a gradient on to its arguments."""

    def op(*args):
        if not any(isinstance(a, Var) for a in args):
            return forward(*args)  # plain numbers: no record
        plain = [raw(a) for a in args]
        return Var(forward(*plain), op, args)

    op.name = forward.__name__
    op.rule = rule
    return op


# %% [markdown]
# A rule is given $g$, the value $y$ and the arguments. It returns one gradient for each argument,
# as a tuple; `(x,)` is a tuple of one. (The `cos` and `sin` in the rules are not NumPy's but our
# own, made in the cell after.)


# %%
def rule_of_add(g, y, a, b):
    return g, g


def rule_of_multiply(g, y, a, b):
    return g * b, g * a


def rule_of_exp(g, y, a):
    return (g * y,)  # exp is its own derivative


def rule_of_sin(g, y, a):
    return (g * cos(a),)


def rule_of_cos(g, y, a):
    return (-g * sin(a),)


# %%
add = primitive(np.add, rule_of_add)
multiply = primitive(np.multiply, rule_of_multiply)
exp = primitive(np.exp, rule_of_exp)
sin = primitive(np.sin, rule_of_sin)
cos = primitive(np.cos, rule_of_cos)

print("of a plain number:", sin(1.2))
print("of a Var:         ", sin(Var(1.2)))

# %% [markdown]
# For `a + b` Python calls `a.__add__(b)`, and if `a` does not know how, `b.__radd__(a)`. So we
# give our class these methods. (NumPy knows how to add nearly everything to an array; the last
# line asks it to leave a `Var` to us.)


# %%
def negative(a):
    return multiply(a, -1.0)


def subtract(a, b):
    return add(a, negative(b))


def subtract_from(b, a):
    return subtract(a, b)


Var.__add__ = add
Var.__radd__ = add
Var.__mul__ = multiply
Var.__rmul__ = multiply
Var.__neg__ = negative
Var.__sub__ = subtract
Var.__rsub__ = subtract_from
Var.__array_ufunc__ = None

# %% [markdown]
# Now Part 1 again. We write the same three lines, and a function that collects what a result was
# made of.


# %%
def tape(y):
    """All values that went into `y`, and `y` itself, in the order in which they were made."""
    found = {y.id: y}
    to_do = [y]
    while to_do:
        for a in to_do.pop().args:
            if isinstance(a, Var) and a.id not in found:
                found[a.id] = a
                to_do.append(a)
    return [found[i] for i in sorted(found)]


x = Var(1.5)
u = 0.8 * x
s = sin(u)
z = u * s
print(*tape(z), sep="\n")

# %% [markdown]
# There is the tape. Does it also take down a program that was written with no thought of it? The
# pendulum of lesson 1, by Euler-Cromer: first the new speed, then with it the new angle.


# %%
def final_angle(g_over_l, theta, omega, sin, steps=500, dt=0.01):
    """The pendulum's angle (rad) after `steps` steps of `dt` seconds."""
    for _ in range(steps):
        omega = omega - dt * g_over_l * sin(theta)
        theta = theta + dt * omega
    return theta


angle = final_angle(Var(6.0), Var(1.0), Var(0.5), sin, steps=2)
print(*tape(angle), sep="\n")

# %%
plain_angle = final_angle(6.0, 1.0, 0.5, np.sin, steps=2)
lesson.same("the angle with a record and without", angle.data, plain_angle)

# %% [markdown]
# minigen's tape is this one with more comfort, and it can draw itself. It is handed the same
# function, with *its* numbers and *its* sine. It calls an input a **leaf**.


# %% tags=["hide-input"]
def draw_library_tape():
    start = {"g/L": 6.0, "theta": 1.0, "omega": 0.5}
    leaves = {}
    for name, number in start.items():
        leaves[name] = minigen.tensor(number, requires_grad=True)
    angle = final_angle(*leaves.values(), ops.sin, steps=2)
    title = "Two steps of a pendulum, as minigen records them"
    lesson.save(plots.graph(angle, leaves, title=title), "library_tape")


draw_library_tape()

# %% [markdown]
# **What you saw.** A loop leaves no loop on the tape: only what was done, one thing after
# another. From `g/L` (the 6 of our print) two arrows go out, one for each step; in 500 steps it
# will be 500. This is called **fan-out**, and Part 3 must add it all up.

# %% [markdown]
# # Part 3. The walk back
#
# What does one value hand to its arguments, when it has received $g$? Its rule says so. There is
# one thing to add.
#
# ## When NumPy stretches an argument
#
# `2.0 + np.zeros(3)` is `[2, 2, 2]`: NumPy has made three of the one number (**broadcasting**).
# Let the three results receive 1, 10 and 100. If the one number moves by 1, all three do, and
# the final number moves by 111: *the copies' gradients add up*. So we need an operation that
# sums an array back to a smaller shape. What is its own rule? All that was summed moves the sum
# alike, so each receives the whole gradient: the rule of summing is stretching, and the rule of
# stretching is summing.


# %%
def add_up(a, shape):
    """Sum an array over all axes along which `shape` was stretched to give its shape."""
    extra = np.ndim(a) - len(shape)
    axes = list(range(extra))
    for i, size in enumerate(shape):
        if size == 1:
            axes.append(extra + i)  # if it was 1 before, there is one number to sum
    return np.sum(a, axis=tuple(axes), keepdims=True).reshape(shape)


def rule_of_sum(g, y, a, shape):
    return stretch_to(g, np.shape(raw(a))), None  # a shape receives nothing


def rule_of_stretch(g, y, a, shape):
    return sum_to(g, np.shape(raw(a))), None


# %%
sum_to = primitive(add_up, rule_of_sum)
stretch_to = primitive(np.broadcast_to, rule_of_stretch)


def total(a):
    """The sum of all entries."""
    return sum_to(a, ())


copies = np.array([1, 10, 100])
print("three copies received", copies, "and the one receives", total(copies))

# %% [markdown]
# With this, what one value hands on is a list of pairs: an argument, and what it receives. `seen`
# says in which form the rule gets its values. For now it is always `raw`: as plain arrays.
# (Part 4 will put another function there.)


# %%
def handed_on(y, g, seen):
    """Pairs (argument, what it receives) when the value `y` has received `g`."""
    if y.op is None:
        return []  # an input: nothing behind it
    arguments = [seen(a) for a in y.args]
    parts = y.op.rule(g, seen(y), *arguments)
    pairs = []
    for a, part in zip(y.args, parts):
        if isinstance(a, Var):  # a constant receives nothing
            shape = np.shape(a.data)
            stretched = np.shape(raw(part)) != shape
            pairs.append((a, sum_to(part, shape) if stretched else part))
    return pairs


for a, part in handed_on(z, 1.0, raw):
    print(f"z hands {part:.3f} to #{a.id}")

# %% [markdown]
# ## In which order?
#
# > **Predict.** Now two values have received something: $u$ has 0.932, and $s$ has 1.2. Who must
# > hand on next? What would go wrong if the other did?
#
# A value may hand on only when *everything that used it has spoken*. $s$ used $u$, so $s$ comes
# first, or $u$ would hand on 0.932 where it should be 1.367. How does a machine know? Users are
# made later than what they use: their ids are larger. **Always take the largest id that is
# left.** We do that by hand once, and take a photograph after each turn.

# %%
so_far = {z.id: 1.0}
film = []  # what each id has received, after each turn
for speaker in (z, s, u):
    for a, part in handed_on(speaker, so_far[speaker.id], raw):
        so_far[a.id] = so_far.get(a.id, 0.0) + part
    film.append(dict(so_far))
    has = [f"#{i} has {g:.3f}" for i, g in so_far.items()]
    print(f"#{speaker.id} has spoken:", ", ".join(has))


# %% tags=["hide-input"]
def draw_film():
    with lesson.figure("film", panels=3, width=3.6) as axes:
        names = {"x": x, "u": u, "s": s, "z": z}
        for ax, received, speaker in zip(axes, film, "zsu"):
            words = {}
            for name, var in names.items():
                has = "nothing yet"
                if var.id in received:
                    has = f"{received[var.id]:.3f}"
                words[name] = f"#{var.id}: {name}\n{has}"
            draw_graph(ax, words, VERMILLION, backwards=True, speaker=speaker)
            ax.set_title(f"{speaker} has spoken")


draw_film()

# %% [markdown]
# ## The sweep
#
# Now for any tape. A **heap** is a list that gives out its smallest entry first; we put in
# *minus* the id, so the largest id comes first. `y` itself has received 1, as an array of ones of
# its shape.


# %%
def sweep(y, seen):
    """What each value behind the single number `y` receives, by its id."""
    one = Var(np.ones_like(y.data))  # dy/dy = 1
    received = {y.id: seen(one)}
    waiting = [(-y.id, y)]
    while waiting:
        _, speaker = heapq.heappop(waiting)
        for a, part in handed_on(speaker, received[speaker.id], seen):
            if a.id in received:
                received[a.id] = received[a.id] + part  # fan-out adds up
            else:
                received[a.id] = part
                heapq.heappush(waiting, (-a.id, a))
    return received


def grad(y, xs):
    """The gradient of the single number `y` by each of `xs`, as plain arrays."""
    received = sweep(y, raw)
    return [received.get(x.id, np.zeros_like(x.data)) for x in xs]


print(f"dz/dx = {grad(z, [x])[0]:.3f}")

# %% [markdown]
# That is the whole machine. Three decisions make it right: **order** by id, **fan-out** adds up,
# **broadcasting** is undone.
#
# ## Four trials
#
# First the three lines, against what we measured. Then strength: ten thousand additions in a
# row. A sweep that calls itself at every step would exceed Python's limit of about 1000 nested
# calls; ours is a loop.

# %%
sum_of_many = x
for _ in range(10_000):
    sum_of_many = sum_of_many + x
many_slope = int(grad(sum_of_many, [x])[0])
print("its slope:", many_slope)

# %%
tape_off = 100 * abs(grad(z, [x])[0] / measured_slope - 1)
lesson.claim("dz/dx by the tape, off from the measured", tape_off, below=1e-4, unit="%")
lesson.claim("slope of x + x + ... with 10 000 signs", many_slope, exactly=10_001)

# %% [markdown]
# Third: arrays. Here is a program with sines and exponentials, fan-out and three shapes, so that
# broadcasting is on trial too. It takes whatever `sin` and `exp` it is handed, and so it also
# runs with NumPy's.


# %%
def program(a, b, c, sin, exp, total):
    wave = sin(a * b) * exp(c * b)
    return total((wave - a * wave * wave) * c)


shapes = [(3, 4), (4,), (3, 1)]
inputs = [rng.normal(size=shape) for shape in shapes]
leaves = [Var(array) for array in inputs]
ours = grad(program(*leaves, sin, exp, total), leaves)
for gradient in ours:
    print("a gradient of shape", gradient.shape)

# %% [markdown]
# A gradient of 19 entries wants 19 measurements. One is enough, if we turn all knobs at once, each
# by its own random amount: along a random direction $v$. If the gradient is $(2, 5)$ and $v = (3,
# 1)$, a step of $h\,v$ changes the result by $(2 \cdot 3 + 5 \cdot 1)\,h = 11\,h$: entry times
# entry, summed. One wrong entry would show.

# %%
direction = [rng.normal(size=shape) for shape in shapes]


def along_direction(step):
    """The program's result after a step of this size along the direction."""
    moved = [array + step * v for array, v in zip(inputs, direction)]
    return program(*moved, np.sin, np.exp, np.sum)


all_ours = np.concatenate([gradient.ravel() for gradient in ours])
all_v = np.concatenate([v.ravel() for v in direction])
predicted = np.sum(all_ours * all_v)
measured = central_difference(along_direction, 0.0)
print(f"along the direction: measured {measured:.6f}, the tape says {predicted:.6f}")

# %% [markdown]
# Is a difference small? That depends on how large the sum could be. It is largest when $v$ points
# along the gradient: then it is (length of the gradient) times (length of $v$). We give the
# difference as a share of that.

# %%
at_most = np.linalg.norm(all_ours) * np.linalg.norm(all_v)
direction_off = abs(measured - predicted) / at_most
lesson.claim("along a random direction, off by a share of", direction_off, below=1e-6)

# %% [markdown]
# And the last judge is the library, entry by entry. (`requires_grad=True` tells it that we shall
# ask for the gradient by this array.)

# %%
tensors = [minigen.tensor(array, requires_grad=True) for array in inputs]
result = program(*tensors, ops.sin, ops.exp, ops.sum)
theirs = [gradient.data for gradient in minigen.grad(result, tensors)]
lesson.same("our gradients and minigen's", ours, theirs, limit=1e-6)

# %% [markdown]
# # Part 4. The derivative of a derivative
#
# Now the thrift of Part 2 pays. A rule is written in the tape's *own* operations. Hand it raw
# arrays, and it computes raw arrays. Hand it `Var`s, and **the same rule records what it does**:
# the gradient is a value on the tape like any other, and can be differentiated again, and again.
#
# In our code this is the word `seen`. Instead of `raw`, it is now a function that changes
# nothing.


# %%
def unchanged(a):
    return a


def grad_on_tape(y, xs):
    """The gradient of `y` by each of `xs`, as values on the tape."""
    received = sweep(y, unchanged)
    return [received.get(x.id, Var(np.zeros_like(x.data))) for x in xs]


(slope_of_z,) = grad_on_tape(z, [x])
(curvature_of_z,) = grad_on_tape(slope_of_z, [x])
print(f"dz/dx = {slope_of_z.data:.3f}, and its own slope {curvature_of_z.data:.3f}")
print(f"the tape of dz/dx has {len(tape(slope_of_z))} values, that of z {len(tape(z))}")

# %% [markdown]
# Check by hand: $z = u \sin u$ with $u = 0.8\,x$ has $z'' = 0.8^2\,(2 \cos u - u \sin u) =
# 0.64\,(0.725 - 1.118) = -0.252$.
#
# How far can one go? A case with a known answer for every order is a swing with friction,
# $\theta(t) = \theta_0\, e^{-\gamma t} \cos \omega t$. At $t = 0$, by the product rule: $\theta' =
# -\gamma\,\theta_0 = -0.25 \cdot 0.3 = -0.075$ rad/s.
#
# For the higher orders there is a trick with complex numbers. Since $e^{i\omega t} = \cos \omega
# t + i \sin \omega t$, our swing is the real part of $\theta_0\, e^{\lambda t}$ with $\lambda =
# -\gamma + i\omega$, and each derivative of that is one more factor $\lambda$.
#
# (A moment $t_i$ moves only its own $\theta_i$. So one sweep from the *sum* of all $\theta_i$
# differentiates the whole curve.)

# %%
theta0 = 0.3  # rad
gamma = 0.25  # 1/s
frequency = 2.5  # rad/s

t = Var(np.linspace(0.0, 8.0, 400))
orders = [theta0 * exp(-gamma * t) * cos(frequency * t)]
for n in range(1, 7):
    (derivative,) = grad_on_tape(total(orders[-1]), [t])
    orders.append(derivative)
    print(
        f"order {n}: {derivative.data[0]:9.4f} at t = 0, {len(tape(derivative))} values"
    )

# %%
rate = complex(-gamma, frequency)


def closed_form(n):
    """The derivative of order n of the swing."""
    return (theta0 * rate**n * np.exp(rate * t.data)).real


order_off = []
for n in range(7):
    miss = np.max(np.abs(orders[n].data - closed_form(n)))
    order_off.append(miss / np.max(np.abs(closed_form(n))))
    print(f"order {n}: off by {order_off[-1]:.0e} of its largest value")

lesson.claim("derivatives 1 to 6 of the swing, off by", order_off[1:], below=1e-12)


# %% tags=["hide-input"]
def draw_orders():
    with lesson.figure("orders", panels=3, width=3.9) as axes:
        units = {1: "rad/s", 2: "rad/s²", 6: "rad/s⁶"}
        for ax, (n, unit) in zip(axes, units.items()):
            ax.plot(t.data, closed_form(n), color=ORANGE, lw=4, label="closed form")
            ax.plot(t.data, orders[n].data, color=BLUE, lw=1.2, label="tape")
            ax.set(xlabel="time (s)", ylabel=unit, title=f"Derivative {n} of the swing")
        axes[0].legend(loc="upper right")


draw_orders()

# %% [markdown]
# **What you saw.** Order 6 is right to the last digits, like order 1. The price is the tape: with
# each order it becomes about twice as long. One rule, two ways to see its values; nothing else is
# needed.

# %% [markdown]
# # Part 5. A whole simulation is one more function
#
# Where does the pendulum hang after 5 s, that is after 500 steps of `final_angle`? And how does
# that depend on its $g/L$? There is no formula to differentiate, only a program. A program is
# enough. We take many pendulums side by side, in arrays on one tape. (Each pendulum moves only
# its own angle, so again one sweep from their sum is enough.)

# %%
PENDULUMS = lesson.pick(full=100, quick=20)
start = {
    "g/L": rng.uniform(4.0, 9.8, PENDULUMS),  # 1/s^2
    "theta0": rng.uniform(0.5, 1.5, PENDULUMS),  # rad
    "omega0": rng.uniform(0.5, 1.5, PENDULUMS),  # rad/s
}
knobs = [Var(values) for values in start.values()]
recorded = final_angle(*knobs, sin)
slopes = grad(total(recorded), knobs)
print(len(tape(recorded)), "values on the tape; one sweep gives three slopes each:")
for i in range(3):
    three = [f"{by_knob[i]:.3f}" for by_knob in slopes]
    print(f"pendulum {i}, by g/L, theta0, omega0:", ", ".join(three))

# %% [markdown]
# ## A judge with all its digits
#
# Who can judge such a slope to the last digit? Complex numbers. Turn a knob by a tiny *imaginary*
# step: $(3 + 10^{-30}i)^2 = 9 + 6 \cdot 10^{-30}\,i$, up to a term of $10^{-60}$. Divide the
# imaginary part by $10^{-30}$: 6, and that is the slope of $x^2$ at 3.
#
# It works for every function made of $+$, $\times$, $\sin$, $\exp$ and the like (an **analytic**
# one), because its Taylor series takes complex numbers as well:
#
# $$ f(x + ih) = f(x) + i h f'(x) - \tfrac12 h^2 f''(x) - \dots $$
#
# The imaginary part, divided by $h$, is $f'(x)$ up to a term in $h^2$, and *nothing was
# subtracted*. So $h$ may be as small as one likes.


# %%
def complex_step(name, h=1e-30):
    """The slope of each final angle by the input of this name."""
    moved = {knob: values.astype(complex) for knob, values in start.items()}
    moved[name] = moved[name] + 1j * h
    return final_angle(*moved.values(), np.sin).imag / h


for name, by_tape in zip(start, slopes):
    judge = complex_step(name)
    slope_off = np.max(np.abs(by_tape - judge)) / np.max(np.abs(judge))
    lesson.claim(f"slopes by {name}, off from the judge's", slope_off, below=1e-11)


# %% [markdown]
# One sweep gave all three slopes, and would give a million: it visits each value once, however
# many inputs there are. In all it does at most some four times the arithmetic of the program
# itself (Griewank & Walther). Finite differences take two runs of the program *for each input*.
# This is why reverse mode carries all of deep learning.
#
# ## And what finite differences lose
#
# > **Predict.** A finite difference must choose $h$. What goes wrong if $h$ is large? And if it
# > is very small? Where would you put it?

# %%
h = np.logspace(-14, -1, 105)[
    :, None
]  # a row for each step, a column for each pendulum
g_over_l, theta_start, omega_start = start.values()


def angle_if_moved(step):
    """The final angles if g/L is larger by `step`."""
    return final_angle(g_over_l + step, theta_start, omega_start, np.sin)


here = angle_if_moved(0 * h)
ahead = angle_if_moved(h)
behind = angle_if_moved(-h)

# %%
truth = complex_step("g/L")
estimates = {
    "forward difference": (ahead - here) / h,
    "central difference": (ahead - behind) / (2 * h),
    "tape": slopes[0] + 0 * h,
}
error = {}
for name, estimate in estimates.items():
    error[name] = np.median(np.abs(estimate / truth - 1), axis=1)
    print(f"{name}: at the best h, off by {error[name].min():.0e}")


# %% tags=["hide-input"]
def draw_error():
    with lesson.figure("error", width=7.5, height=4.6) as ax:
        for name, colour in zip(error, (ORANGE, VERMILLION, BLUE)):
            ax.loglog(h, error[name], color=colour, lw=2, label=name)
        steps = np.array([1e-14, 1e-6])
        ax.loglog(steps, 1e-16 / steps, "--", color=GREY)
        ax.text(3e-11, 8e-4, "rounding: error ~ $10^{-16}/h$", color=BLACK)
        ax.text(2e-3, 2e-9, "curvature:\nerror ~ $h^2$", color=BLACK)
        ax.text(4e-6, 4e-3, "curvature:\nerror ~ $h$", color=BLACK)
        ax.set(xlabel="step $h$ in $g/L$ (1/s²)", ylabel="median relative error")
        ax.set_title("Slope of the angle after 5 s by $g/L$")
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.1))


draw_error()

# %%
best_error = {name: curve.min() for name, curve in error.items()}
gain = best_error["forward difference"] / best_error["central difference"]
lesson.claim("at the best h: error of forward over central", gain, above=10)
tape_gain = best_error["central difference"] / best_error["tape"]
lesson.claim("at the best h: error of central over the tape's", tape_gain, above=1000)
lesson.end()

# %% [markdown]
# **What you saw.** Finite differences lose either way. A large $h$ sees the curvature. A small
# one subtracts two nearly equal numbers, and their rounding error, some $10^{-16}$, comes out
# divided by $h$. The error is a V, and even its tip is far above the tape.
#
# Where is the tip? Where both errors are equal. Forward: $h = 10^{-16}/h$, so $h = 10^{-8}$, and
# as large is the error: of 16 digits half are lost. Central: $h^2 = 10^{-16}/h$, so $h$ is near
# $10^{-5}$ and the error near $10^{-10}$ or $10^{-11}$: about a third is lost.
#
# # What it means
#
# * A slope is no harder to get than a value: write the program, and its gradient comes with it,
#   to nearly the last digit, for a few times the work of one run.
# * Three decisions carry it: order by id, add at fan-out, undo broadcasting.
# * A fourth makes it endless: write the rules in the tape's own operations.
# * A gradient can be wrong without a sign. Measure it along a random direction, always.
#
# minigen's `tape.py` is this, with a rule for each argument by itself, so that no gradient is
# computed that nobody asked for.
#
# # Exercises
#
# **1. In the wrong order** (5 minutes). In `sweep` write `(a.id, a)` instead of `(-a.id, a)`
# where it pushes. Which slope does $z$ have now? *Check:* 0.746. *Why:* say which of the film's
# three pictures went wrong.
#
# **2. A coarser world** (5 minutes). Measure the slope of the sine at 1 in float32, whose
# rounding is $6 \cdot 10^{-8}$: `central_difference(np.sin, np.float32(1), np.float32(h))` for
# $h = 10^{-1}, 10^{-2}, \dots, 10^{-6}$. Where is the tip of the V now? *Check:* between
# $10^{-4}$ and $10^{-2}$, with an error of about $10^{-5}$; at $10^{-6}$ it is more than
# $10^{-3}$. *Why:* networks compute in float32. Would you train one by finite differences?
#
# **3. Two more operations** (15 minutes). *Write* `tanh` and `log` as primitives; a rule may use
# its output `y`. *Check:* at 0.7 their slopes agree with `central_difference` to 1e-8, and their
# second derivatives, by `grad_on_tape` twice, with the closed forms $-2 \tanh x\,(1 - \tanh^2
# x)$ and $-1/x^2$ to 1e-12. *Why:* networks need the first one.
#
# **4. A rule that leaves the tape** (15 minutes). Somebody writes the rule of `exp` as
# `(g * np.exp(raw(a)),)`. *Write* `first_wrong_order(op, derivatives)`: the lowest order at which
# `op`, differentiated by `grad_on_tape` again and again at 0.3, disagrees with the list of closed
# forms `derivatives` (order 0 first), or `None`. *Check:* `None` for our `exp`; 2 for theirs.
# *Why:* its gradients pass every trial of Part 3.
#
# **5. Aim a pendulum** (20 minutes). *Write* `newton(theta0, omega0)`: the $g/L$ near 6 for
# which the angle after 5 s is 0, by Newton's method, with the tape's slope. *Check:* from
# $\theta_0 = \omega_0 = 1$ it reaches $|\theta| < 10^{-12}$ rad in at most 8 steps. *Why:* this
# is what a gradient is for.
#
# **6. Who is right?** (5 minutes). Three people tested their gradients of a large network in
# float64 by central differences. Anna: "they agree to $10^{-9}$ at $h = 10^{-6}$." Ben: "to
# $10^{-15}$, at $h = 10^{-12}$!" Cleo: "to 3 %; but those are just rounding errors, for it is
# the same at $h = 10^{-4}$ and $10^{-5}$." Whom do you believe? *Check:* look at the V. Ben's
# test cannot have been done as he says, and Cleo's error does not behave as either of the two
# that a V is made of. *Why:* a test that is too good is a broken test.
#
# # Sources
#
# Linnainmaa, *Taylor expansion of the accumulated rounding error*, BIT 16 (1976): the reverse
# sweep. Griewank & Walther, *Evaluating derivatives*, 2nd ed., SIAM (2008): what a sweep costs
# at most. Baydin et al., *Automatic differentiation in machine learning: a survey*, JMLR 18
# (2018). Squire & Trapp, *Using complex variables to estimate derivatives of real functions*,
# SIAM Review 40 (1998): the complex step.
