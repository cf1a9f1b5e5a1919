"""One row or more for every operation: how to call it, on what, and who else knows the answer.

`EXAMPLES` maps the name of each public operation of `minigen.ops` and of each primitive on the tape to its examples.
An operation without one fails the tests. The inputs of a row are shapes, filled with normal draws, or arrays; the
function takes exactly these inputs, and all of them are differentiated. The oracle is another calculation of the value.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.special
import scipy.stats

from minigen import ops
from minigen.distributions import excess
from minigen.tape import OPERATIONS


@dataclass(frozen=True)
class Example:
    """`f(*inputs)` with float64 inputs; derivatives are checked up to `order`."""

    name: str
    f: Callable
    inputs: tuple[np.ndarray, ...]
    oracle: Callable | None
    order: int
    number: int

    def __str__(self):
        shapes = "-".join("x".join(map(str, x.shape)) or "0d" for x in self.inputs)
        return f"{self.name}-{self.number}-{shapes}"


EXAMPLES: dict[str, list[Example]] = {}


def row(name: str, f: Callable, *inputs, oracle: Callable | None = None, order: int = 2) -> None:
    examples = EXAMPLES.setdefault(name, [])
    rng = np.random.default_rng([zlib.crc32(name.encode()), len(examples)])
    arrays = []
    for x in inputs:
        array = x(rng) if callable(x) else rng.standard_normal(x) if isinstance(x, tuple) else x
        arrays.append(np.asarray(array, np.float64))
    examples.append(Example(name, f, tuple(arrays), oracle, order, len(examples)))


def positive(*shape):
    return lambda rng: rng.uniform(0.3, 2.5, shape)


def between(low, high, *shape):
    return lambda rng: rng.uniform(low, high, shape)


def apart(*shape):
    """Values at least 0.2 from each other and from 0, so that no finite difference steps over a tie."""

    def draw(rng):
        n = int(np.prod(shape))
        values = (rng.permutation(n) - n // 2 + 0.5) * 0.4 + rng.uniform(-0.1, 0.1, n)
        return values.reshape(shape)

    return draw


def public_names() -> set[str]:
    return {name for name, f in vars(ops).items() if inspect.isfunction(f) and not name.startswith("_")} - {"bind"}


NAMES = public_names() | set(OPERATIONS)  # as they are before any test adds its own

# Functions of one number

SHAPES = [(2, 3), (), (0, 4), (5,), (2, 1, 3)]


def _elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


ELEMENTWISE = {  # name: (oracle, draws that stay inside the domain)
    "negative": (np.negative, None),
    "square": (np.square, None),
    "sqrt": (np.sqrt, positive),
    "abs": (np.abs, None),
    "sign": (np.sign, None),
    "exp": (np.exp, None),
    "expm1": (np.expm1, None),
    "log": (np.log, positive),
    "log1p": (np.log1p, positive),
    "sin": (np.sin, None),
    "cos": (np.cos, None),
    "tan": (np.tan, lambda *shape: between(-1.2, 1.2, *shape)),
    "tanh": (np.tanh, None),
    "sigmoid": (scipy.special.expit, None),
    "softplus": (lambda x: np.logaddexp(0, x), None),
    "relu": (lambda x: np.where(x < 0, 0, x), None),
    "leaky_relu": (lambda x: np.where(x < 0, 0.01 * x, x), None),
    "elu": (_elu, None),
    "silu": (lambda x: np.where(x == -np.inf, 0, x * scipy.special.expit(x)), None),
    "erf": (scipy.special.erf, None),
    "gelu": (lambda x: np.where(x == -np.inf, 0, x * scipy.special.ndtr(x)), None),
}
for name, (oracle, domain) in ELEMENTWISE.items():
    for shape in SHAPES:
        row(name, getattr(ops, name), domain(*shape) if domain else shape, oracle=oracle, order=3)
    if domain is None:
        row(name, getattr(ops, name), between(-6, 6, 3, 2), oracle=oracle, order=3)
# Of the distributions: what exp and log leave when their tangents are taken off.
for shape in SHAPES:
    row("excess_of_exp", excess.of_exp, shape, oracle=lambda x: np.expm1(x) - x, order=3)
    row("excess_over_log1p", excess.over_log1p, positive(*shape), oracle=lambda x: x - np.log1p(x), order=3)
row("excess_over_log1p", excess.over_log1p, between(-0.6, 0.3, 3, 4), oracle=lambda x: x - np.log1p(x), order=3)
ratio_excess = lambda a, b: a / b - 1 - np.log(a / b)
row("excess_over_log", excess.over_log, positive(3, 4), positive(4), oracle=ratio_excess, order=3)
row("leaky_relu", lambda x: ops.leaky_relu(x, 0.3), (3, 4), oracle=lambda x: np.where(x < 0, 0.3 * x, x), order=3)
row("elu", lambda x: ops.elu(x, alpha=1.7), (3, 4), oracle=lambda x: _elu(x, 1.7), order=3)

# The gradients of the activations, functions of the upstream gradient and of y or x.
expit = scipy.special.expit
for shape in [(2, 3), (), (0,), (3, 1, 2)]:
    row("tanh_grad", OPERATIONS["tanh_grad"], shape, shape, oracle=lambda g, y: g - g * y**2, order=3)
    row("sigmoid_grad", OPERATIONS["sigmoid_grad"], shape, shape, oracle=lambda g, y: g * y - g * y**2, order=3)
    row(
        "leaky_relu_grad",
        lambda g, y: OPERATIONS["leaky_relu_grad"](g, y, 0.2),
        shape,
        shape,
        oracle=lambda g, y: g * np.where(y > 0, 1, 0.2),
    )
    row(
        "elu_grad",
        lambda g, y: OPERATIONS["elu_grad"](g, y, 1.5),
        shape,
        shape,
        oracle=lambda g, y: g * np.where(y > 0, 1, y + 1.5),
    )
    row(
        "silu_grad",
        OPERATIONS["silu_grad"],
        shape,
        shape,
        oracle=lambda g, x: g * (expit(x) + x * expit(x) * expit(-x)),
        order=3,
    )
    row(
        "silu_curvature",
        OPERATIONS["silu_curvature"],
        shape,
        shape,
        oracle=lambda c, x: c * expit(x) * expit(-x) * (2 - x * np.tanh(x / 2)),
        order=3,
    )

    row(
        "gelu_grad",
        OPERATIONS["gelu_grad"],
        shape,
        shape,
        oracle=lambda g, x: g * (scipy.stats.norm.cdf(x) + x * scipy.stats.norm.pdf(x)),
        order=3,
    )
    row(
        "gelu_curvature",
        OPERATIONS["gelu_curvature"],
        shape,
        shape,
        oracle=lambda c, x: c * scipy.stats.norm.pdf(x) * (2 - x**2),
        order=3,
    )

# Arithmetic

PAIRS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((2, 1, 3), (4, 1)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((), ()),
    ((1,), (5,)),
    ((0, 3), (3,)),
    ((0,), (1,)),
]

BINARY = {  # name: (oracle, highest order)
    "add": (np.add, 3),
    "subtract": (np.subtract, 3),
    "multiply": (np.multiply, 3),
    "divide": (np.divide, 3),
    "maximum": (np.maximum, 2),
    "minimum": (np.minimum, 2),
    "logaddexp": (np.logaddexp, 3),
    "power": (np.power, 3),
    "greater": (np.greater, 1),
    "greater_equal": (np.greater_equal, 1),
    "less": (np.less, 1),
    "less_equal": (np.less_equal, 1),
    "equal": (np.equal, 1),
    "not_equal": (np.not_equal, 1),
    "wins": (lambda a, b: np.heaviside(a - b, 0.5), 1),
    "at_zero": (lambda a, b: np.where(a == 0, b >= 0, False), 1),
}
for name, (oracle, order) in BINARY.items():
    f = OPERATIONS[name]
    for a, b in PAIRS:
        left = positive(*a) if name == "power" else a
        right = positive(*b) if name == "divide" else b
        row(name, f, left, right, oracle=oracle, order=order)
    row(name, lambda a, f=f: f(a, 2.5), positive(3, 2), oracle=lambda a, f=oracle: f(a, 2.5), order=order)
    row(name, lambda b, f=f: f(2.5, b), positive(3, 2), oracle=lambda b, f=oracle: f(2.5, b), order=order)
    row(name, lambda a, f=f: f(a, 2), (2, 1, 3), oracle=lambda a, f=oracle: f(a, 2), order=order)
for exponent in (0, 1, 3, 7, 16.0, 20, -1, -2, 0.5):
    row("power", lambda a, n=exponent: ops.power(a, n), positive(3, 2), oracle=lambda a, n=exponent: a**n, order=3)
exponents = np.array([[0], [1], [2]])
row("power", lambda a: a ** exponents.astype(a.dtype), (3, 2), oracle=lambda a: a**exponents, order=3)
row("multiply", lambda a: ops.multiply(a, a), (3, 2), oracle=np.square, order=3)

condition = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, False]])
row("where", lambda a, b: ops.where(condition, a, b), (3, 4), (3, 4), oracle=lambda a, b: np.where(condition, a, b))
row("where", lambda a, b: ops.where(condition, a, b), (4,), (), oracle=lambda a, b: np.where(condition, a, b))
row("where", lambda a: ops.where(condition, a, 0.5), (3, 1), oracle=lambda a: np.where(condition, a, 0.5))
row("where", lambda a: ops.where(a > 0, a, a * 2.0), (3, 2), oracle=lambda a: np.where(a > 0, a, a * 2))

low = np.array([-1.0, 0.0, 0.1, -0.2])
for name, oracle in [("clip", np.clip), ("within", lambda x, low, high: 1.0 * ((x >= low) & (x <= high)))]:
    for shape, given, meant in [
        ((3, 4), (-0.5, 0.7), (-0.5, 0.7)),
        ((), (-0.5, 0.7), (-0.5, 0.7)),
        ((0, 2), (-0.5, 0.7), (-0.5, 0.7)),
        ((3, 4), (None, 0.2), (-np.inf, 0.2)),
        ((3, 4), (0.2, None), (0.2, np.inf)),
        ((3, 4), (low, low + 0.5), (low, low + 0.5)),
    ]:
        f = OPERATIONS[name]
        row(name, lambda x, f=f, b=given: f(x, *b), shape, oracle=lambda x, f=oracle, b=meant: f(x, *b))

for name, oracle in [("floor", np.floor), ("ceil", np.ceil), ("round", np.rint)]:
    row(name, getattr(ops, name), apart(3, 4), oracle=oracle, order=1)
for a, b in [((3, 4), (4,)), ((3, 4), ()), ((), ())]:
    row("mod", ops.mod, a, positive(*b), oracle=np.mod)
row("mod", lambda a: a % -0.7, (3, 4), oracle=lambda a: np.mod(a, -0.7))
row("mod", lambda b: 5.0 % b, positive(3, 4), oracle=lambda b: np.mod(5.0, b))
for name in ("isnan", "isfinite"):
    row(name, getattr(ops, name), np.array([1.0, np.nan, np.inf, -np.inf]), oracle=getattr(np, name), order=0)
row("allclose", lambda: ops.allclose(np.ones(3), np.ones(3) + 1e-9), oracle=lambda: True)
row("allclose", lambda: ops.allclose(np.ones(3), [1.0, 1.0, 1.1]), oracle=lambda: False)
row("clip", lambda x, low: ops.clip(x, low, low + 0.5), (3, 4), (4,), oracle=lambda x, low: np.clip(x, low, low + 0.5))
row("clip", lambda x, high: ops.clip(x, None, high), (3, 4), (), oracle=np.minimum)

# Reductions

AXES = [  # shape, settings
    ((3, 4), {}),
    ((3, 4), {"axis": 0}),
    ((3, 4), {"axis": 1}),
    ((3, 4), {"axis": -1, "keepdims": True}),
    ((3, 4), {"keepdims": True}),
    ((2, 3, 4), {"axis": 1}),
    ((2, 3, 4), {"axis": 0, "keepdims": True}),
    ((5,), {"axis": 0}),
    ((5,), {"axis": -1, "keepdims": True}),
    ((2, 1, 3), {"axis": 1}),
    ((1, 1), {}),
    ((), {}),
]
SEVERAL_AXES = [((2, 3, 4), {"axis": (0, 2)}), ((2, 3, 4), {"axis": (-1, 1), "keepdims": True}), ((2, 3), {"axis": ()})]
NO_ROWS = [((0, 3), {"axis": 1}), ((0, 3), {"axis": -1, "keepdims": True}), ((3, 0, 2), {"axis": 2})]
NOTHING = [((0, 3), {"axis": 0}), ((3, 0), {"axis": -1, "keepdims": True}), ((0,), {})]

REDUCTIONS = {  # name: (oracle, settings, draws)
    "sum": (np.sum, AXES + SEVERAL_AXES + NO_ROWS + NOTHING, None),
    "mean": (np.mean, AXES + SEVERAL_AXES + NO_ROWS, None),
    "var": (np.var, AXES + SEVERAL_AXES + NO_ROWS, None),
    "max": (np.max, AXES + SEVERAL_AXES + NO_ROWS, apart),
    "min": (np.min, AXES + SEVERAL_AXES + NO_ROWS, apart),
    "prod": (np.prod, AXES + SEVERAL_AXES + NO_ROWS + NOTHING, None),
    "logsumexp": (scipy.special.logsumexp, AXES + SEVERAL_AXES[:-1] + NO_ROWS, None),
    "norm": (lambda x, **kw: np.sqrt(np.sum(x**2, **kw)), AXES + SEVERAL_AXES + NO_ROWS, None),
}
for name, (oracle, settings, draws) in REDUCTIONS.items():
    f = getattr(ops, name)
    for shape, kw in settings:
        x = draws(*shape) if draws else shape
        row(name, lambda x, f=f, kw=kw: f(x, **kw), x, oracle=lambda x, f=oracle, kw=kw: f(x, **kw))
for shape, kw in [s for s in AXES + SEVERAL_AXES[:-1] + NO_ROWS if s[0] not in [(), (1, 1), (2, 1, 3)]]:
    row("std", lambda x, kw=kw: ops.std(x, **kw), shape, oracle=lambda x, kw=kw: np.std(x, **kw))
for name in ("var", "std"):
    f, oracle = getattr(ops, name), getattr(np, name)
    row(name, lambda x, f=f: f(x, 1, ddof=1), (3, 4), oracle=lambda x, f=oracle: f(x, 1, ddof=1))
    row(name, lambda x, f=f: f(x, ddof=1), (2, 3), oracle=lambda x, f=oracle: f(x, ddof=1))
row("prod", ops.prod, np.array([1.5, 0.0, -2.0, 0.7]), oracle=np.prod, order=3)
row("prod", lambda x: ops.prod(x, 1), np.array([[0.0, 2, 0, -1.5, 3], [1, 2, 3, 4, 0]]), oracle=lambda x: np.prod(x, 1))
row("prod", lambda x: ops.prod(x, 0), (7, 2), oracle=lambda x: np.prod(x, 0))

for shape, axis in [((3, 4), -1), ((3, 4), 0), ((5,), -1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((3, 1), 1), ((0, 3), 1)]:
    for name in ("softmax", "log_softmax"):
        f, oracle = getattr(ops, name), getattr(scipy.special, name)
        row(name, lambda x, f=f, a=axis: f(x, a), shape, oracle=lambda x, f=oracle, a=axis: f(x, a))
row("softmax", lambda x: ops.softmax(x, (0, 2)), (2, 3, 4), oracle=lambda x: scipy.special.softmax(x, (0, 2)))

for shape, axis in [((3, 4), None), ((3, 4), 0), ((3, 4), -1), ((5,), None), ((), None), ((0, 3), 1), ((2, 3, 2), 1)]:
    row("cumsum", lambda x, a=axis: ops.cumsum(x, a), shape, oracle=lambda x, a=axis: np.cumsum(x, a))

for shape, kw in [
    ((3, 4), {}),
    ((3, 4), {"offset": 1}),
    ((3, 4), {"offset": -2}),
    ((3, 4), {"offset": 9}),
    ((2, 3, 4), {"axis1": 2, "axis2": 0}),
    ((2, 3, 4), {"offset": 1, "axis1": -2, "axis2": -1}),
    ((0, 3), {}),
]:
    for name in ("trace", "diagonal"):
        f, oracle = getattr(ops, name), getattr(np, name)
        row(name, lambda x, f=f, kw=kw: f(x, **kw), shape, oracle=lambda x, f=oracle, kw=kw: f(x, **kw))

# Products

for a, b in [
    ((2, 3), (3, 4)),
    ((3,), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3,)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)),
    ((3,), (4, 3, 2)),
    ((4, 2, 3), (3,)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
]:
    row("matmul", ops.matmul, a, b, oracle=np.matmul)
row("matmul", lambda a: ops.matmul(a, a), (3, 3), oracle=lambda a: a @ a, order=3)

for a in [(3,), (2, 3)]:
    for b in [(), (3,), (3, 4), (4, 3, 2)]:
        row("dot", ops.dot, a, b, oracle=np.dot)
row("dot", ops.dot, (), (), oracle=np.dot)
for a, b in [((3,), (4,)), ((2, 3), (2,)), ((), (3,)), ((0,), (2,))]:
    row("outer", ops.outer, a, b, oracle=np.outer)

for subscripts, a, b in [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,kj->ki", (2, 3), (4, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("i,i->", (4,), (4,)),
    ("i,i->i", (4,), (4,)),
    ("i,j->ji", (3,), (2,)),
    ("ij,i->", (2, 3), (2,)),
    ("ijk,k->j", (2, 3, 4), (4,)),
    ("ij,kl->jl", (2, 3), (4, 2)),
    ("b i, i j -> b j", (2, 3), (3, 2)),
    (",i->i", (), (3,)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,ij->i", (2, 3), (2, 1)),
    ("ij,jk->ik", (0, 3), (3, 2)),
]:
    row(
        "einsum",
        lambda a, b, s=subscripts: ops.einsum(s, a, b),
        a,
        b,
        oracle=lambda a, b, s=subscripts: np.einsum(s, a, b, optimize=False),
    )

for subscripts, shape in [
    ("ij->ji", (2, 3)),
    ("ij->j", (2, 3)),
    ("ijk->ki", (2, 3, 4)),
    ("ij->", (2, 3)),
    ("ba", (2, 3)),
]:
    row(
        "einsum",
        lambda a, s=subscripts: ops.einsum(s, a),
        shape,
        oracle=lambda a, s=subscripts: np.einsum(s, a, optimize=False),
    )
for subscripts, *shapes in [
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("ij,jk,kl", (2, 3), (3, 4), (4, 2)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("bi,bj,ij->b", (2, 3), (2, 4), (3, 4)),
    ("i,j,k,ijk->jk", (2,), (3,), (4,), (2, 3, 4)),
]:
    row(
        "einsum",
        lambda *all, s=subscripts: ops.einsum(s, *all),
        *shapes,
        oracle=lambda *all, s=subscripts: np.einsum(s, *all, optimize=False),
    )

LINEAR_ACTIVATIONS = {
    "identity": lambda z: z,
    "tanh": np.tanh,
    "sigmoid": expit,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z < 0, 0.01 * z, z),
    "elu": _elu,
}
for activation, oracle in LINEAR_ACTIVATIONS.items():
    for x in [(5, 3), (3,), (2, 3, 3), (0, 3), (0, 2, 3)]:
        row(
            "linear",
            lambda x, w, b, name=activation: ops.linear(x, w, b, activation=name),
            x,
            (4, 3),
            (4,),
            oracle=lambda x, w, b, f=oracle: f(np.einsum("...i,oi->...o", x, w) + b),
        )
row(
    "linear",
    lambda x, w, b: ops.linear(x, w, b, activation="leaky_relu", slope=0.3),
    (5, 3),
    (4, 3),
    (4,),
    oracle=lambda x, w, b: np.where(x @ w.T + b < 0, 0.3, 1) * (x @ w.T + b),
)

# Shapes and pieces

SHAPING = [  # name, function of a module (ops or numpy) and x, shapes of x
    ("reshape", lambda m, x: m.reshape(x, (2, -1)), [(4, 3), (2, 3, 1), (0, 3)]),
    ("reshape", lambda m, x: m.reshape(x, (-1,)), [(4, 3), (), (0, 3)]),
    ("reshape", lambda m, x: m.reshape(x, ()), [(1, 1)]),
    ("transpose", lambda m, x: m.transpose(x), [(4, 3), (2, 3, 4), (5,), (), (0, 2)]),
    ("transpose", lambda m, x: m.transpose(x, (1, 2, 0)), [(2, 3, 4)]),
    ("transpose", lambda m, x: m.transpose(x, (-1, 0, 1)), [(2, 3, 4)]),
    ("swapaxes", lambda m, x: m.swapaxes(x, 0, -1), [(4, 3), (2, 3, 4), (5,)]),
    ("expand_dims", lambda m, x: m.expand_dims(x, 0), [(4, 3), ()]),
    ("expand_dims", lambda m, x: m.expand_dims(x, (0, -1)), [(4, 3)]),
    ("squeeze", lambda m, x: m.squeeze(x), [(1, 3, 1), (2, 3), (1,)]),
    ("squeeze", lambda m, x: m.squeeze(x, -1), [(1, 3, 1)]),
    ("flip", lambda m, x: m.flip(x), [(4, 3), (5,), (0, 2)]),
    ("flip", lambda m, x: m.flip(x, 1), [(4, 3)]),
    ("flip", lambda m, x: m.flip(x, (0, -1)), [(2, 3, 4)]),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (2, 3, 4)), [(4,), (3, 1), (2, 1, 4), (), (2, 3, 4)]),
    ("broadcast_to", lambda m, x: m.broadcast_to(x, (0, 3)), [(3,), (1, 3)]),
    ("concatenate", lambda m, x: m.concatenate([x, x * 2.0, x]), [(4, 3), (5,), (0, 2)]),
    ("concatenate", lambda m, x: m.concatenate((x, x * 2.0), axis=-1), [(4, 3), (2, 3, 4)]),
    ("stack", lambda m, x: m.stack([x, x * 2.0]), [(4, 3), (), (0, 2)]),
    ("stack", lambda m, x: m.stack((x, x * 2.0), axis=-1), [(4, 3)]),
    ("stack", lambda m, x: m.stack((x, x * 2.0), axis=1), [(4, 3)]),
    ("hstack", lambda m, x: m.hstack([x, x * 2.0]), [(4, 3), (5,), (2, 3, 4), ()]),
    ("vstack", lambda m, x: m.vstack((x, x * 2.0)), [(4, 3), (5,), (2, 3, 4), ()]),
    ("ravel", lambda m, x: m.ravel(x), [(4, 3), (5,), (), (0, 3)]),
    ("tril", lambda m, x: m.tril(x), [(4, 3), (3, 4), (2, 3, 3)]),
    ("tril", lambda m, x: m.tril(x, -1), [(4, 3)]),
    ("triu", lambda m, x: m.triu(x), [(4, 3), (3, 4), (2, 3, 3)]),
    ("triu", lambda m, x: m.triu(x, 2), [(3, 4)]),
    ("split", lambda m, x: m.split(x, 2), [(4, 3), (6,), (0, 2)]),
    ("split", lambda m, x: m.split(x, [1, 4], axis=1), [(2, 6), (2, 3)]),
    ("split", lambda m, x: m.split(x, 1, axis=-1), [(2, 3)]),
    ("pad", lambda m, x: m.pad(x, 1), [(2, 3), (4,), (), (0, 2)]),
    ("pad", lambda m, x: m.pad(x, (2, 0)), [(2, 3)]),
    ("pad", lambda m, x: m.pad(x, ((1, 0), (0, 2))), [(2, 3)]),
]
for name, f, shapes in SHAPING:
    for shape in shapes:
        row(name, lambda x, f=f: f(ops, x), shape, oracle=lambda x, f=f: f(np, x))
row("flatten", ops.flatten, (4, 3), oracle=np.ravel)
row("pad", lambda x: ops.pad(x, 2, 1.5), (2, 3), oracle=lambda x: np.pad(x, 2, constant_values=1.5))
row("concatenate", lambda a, b: ops.concatenate([a, b], 1), (2, 3), (2, 1), oracle=lambda a, b: np.hstack([a, b]))

for x, shape in [((2, 3), (3,)), ((2, 3, 4), (3, 1)), ((2, 3), ()), ((2, 3), (1, 1)), ((0, 3), (1, 3)), ((4,), (4,))]:
    ones = np.ones(shape)

    def total(x, ones=ones):
        # The derivative of <x, ones broadcast to x> by `ones`, element by element.
        out = np.zeros(ones.shape)
        for where_from, value in zip(np.broadcast_to(np.arange(ones.size).reshape(ones.shape), x.shape).flat, x.flat):
            out.flat[where_from] += value
        return out

    row("sum_to", lambda x, s=shape: OPERATIONS["sum_to"](x, s), x, oracle=total)

row("astype", lambda x: ops.astype(x, np.float64), (2, 3), oracle=lambda x: x)
row("astype", lambda x: ops.astype(x, float), (), oracle=lambda x: x)

INDICES = [  # shape, index
    ((4, 3), 1),
    ((4, 3), -1),
    ((4, 3), (2, -3)),
    ((4, 3), slice(None, None, 2)),
    ((4, 3), (slice(None), slice(None, None, -1))),
    ((4, 3), (Ellipsis, 0)),
    ((4, 3), (None, slice(1, 3), None)),
    ((4, 3), ()),
    ((4, 3), slice(3, 1)),
    ((4, 3), [0, 2, 0, 0]),
    ((4, 3), np.array([[0, -1], [0, 3]])),
    ((4, 3), (slice(None), [2, 2, 0])),
    ((4, 3), ([0, 1, 0], [2, -1, 2])),
    ((4, 3), (np.array([[1], [3]]), np.array([0, 2, 0]))),
    ((4, 3), (1, [2, 2])),
    ((4, 3), np.array([], int)),
    ((4, 3), np.int64(2)),
    ((2, 4, 3), ([0, 1, 1], slice(None), [0, 2, 2])),
    ((2, 4, 3), (Ellipsis, [0, 0], None)),
    ((5,), [4, 4, 1]),
    ((), ()),
    ((), None),
    ((0, 3), (slice(None), [1, 1])),
    ((3, 4), ((2, 0, 2), (1, 3, 1))),
    ((4,), np.array([True, False, True, True])),
    ((4,), [True, False, False, True]),
    ((3, 4), np.array([True, False, True])),
    ((3, 4), np.arange(12).reshape(3, 4) % 5 < 2),
    ((3, 4), np.zeros((3, 4), bool)),
    ((3, 4), (slice(None), [True, False, False, True])),
    ((3, 4), ([2, 0], np.array([True, False, False, True]))),
    ((3, 4), (np.array([True, False, True]), None, slice(1, 3))),
    ((2, 3, 4), (1, np.arange(12).reshape(3, 4) > 4)),
    ((2, 3, 4), (Ellipsis, np.array([True, False, False, True]))),
    ((), np.array(True)),
    ((3, 4), (range(0, 3, 2), (1, 1))),
]


def placed(g, index, shape):
    out = np.zeros(shape)
    positions = np.arange(out.size).reshape(shape)[index]
    for position, value in zip(np.ravel(positions), np.ravel(g)):
        out.flat[position] += value
    return out


for shape, index in INDICES:
    row("getitem", lambda x, i=index: ops.getitem(x, i), shape, oracle=lambda x, i=index: x[i])
    row(
        "place",
        lambda g, i=index, s=shape: OPERATIONS["place"](g, i, s),
        np.zeros(shape)[index].shape,
        oracle=lambda g, i=index, s=shape: placed(g, i, s),
    )

for shape, indices, axis in [
    ((3, 4), [[1], [0], [3]], 1),
    ((3, 4), [[1, 1, 0], [0, 2, 0], [3, 3, 3]], -1),
    ((3, 4), [[2, 0, 2, 1], [2, 2, 2, 0]], 0),
    ((3, 4), [[1, 1]], 1),
    ((1, 4), [[1], [2], [1]], 1),
    ((3, 4), [5, 5, 0], None),
    ((5,), [4, 4, 0], 0),
    ((2, 3, 2), np.ones((2, 1, 2), int), 1),
]:
    indices = np.array(indices)

    def taken(x, i=indices, a=axis):
        return np.take_along_axis(x, i, a)

    def placed_along(g, i=indices, a=axis, s=shape):
        out = np.zeros(s)
        for position, value in zip(taken(np.arange(out.size).reshape(s), i, a).flat, g.flat):
            out.flat[position] += value
        return out

    row("take_along_axis", lambda x, i=indices, a=axis: ops.take_along_axis(x, i, a), shape, oracle=taken)
    row(
        "place_along_axis",
        lambda g, i=indices, a=axis, s=shape: OPERATIONS["place_along_axis"](g, i, a, s),
        taken(np.zeros(shape)).shape,
        oracle=placed_along,
    )

for shape, axis in [((3, 4), -1), ((3, 4), 0), ((7,), 0), ((2, 3, 4), 1), ((3, 4), None), ((0, 3), 1)]:
    row("sort", lambda x, a=axis: ops.sort(x, a), apart(*shape), oracle=lambda x, a=axis: np.sort(x, a))
    row("argsort", lambda x, a=axis: ops.argsort(x, a), apart(*shape), oracle=lambda x, a=axis: np.argsort(x, a))
for shape, axis in [((3, 4), None), ((3, 4), 0), ((7,), -1), ((2, 3, 4), 1)]:
    for name in ("argmax", "argmin"):
        f, oracle = getattr(ops, name), getattr(np, name)
        row(name, lambda x, f=f, a=axis: f(x, a), apart(*shape), oracle=lambda x, f=oracle, a=axis: f(x, a))

# Losses

huber_of = scipy.special.huber
LOSSES = {
    "mse": lambda p, t: np.mean((p - t) ** 2),
    "l1": lambda p, t: np.mean(np.abs(p - t)),
    "huber": lambda p, t: np.mean(huber_of(1.0, p - t)),
    "binary_cross_entropy_with_logits": lambda l, t: (
        -np.mean(t * scipy.special.log_expit(l) + (1 - t) * scipy.special.log_expit(-l))
    ),
}
for name, oracle in LOSSES.items():
    for shape in [(3, 4), (5,), (), (2, 1, 3)]:
        row(name, getattr(ops, name), shape, between(0, 1, *shape), oracle=oracle)
row("huber", lambda p, t: ops.huber(p, t, 0.4), (3, 4), (3, 4), oracle=lambda p, t: np.mean(huber_of(0.4, p - t)))
for shape in [(3, 4), (5,), ()]:
    parts = between(0, 1, *shape)
    row("sigmoid_less", OPERATIONS["sigmoid_less"], shape, parts, oracle=lambda l, t: expit(l) - t, order=3)
    row("logit_loss", OPERATIONS["logit_loss"], shape, parts, oracle=lambda l, t: np.logaddexp(0, l) - l * t, order=3)
for shape, weight in [((3, 4), ()), ((), ()), ((5,), ()), ((3, 4), (4,)), ((3, 4), (3, 4)), ((3, 4), (3, 1))]:
    row(
        "weighted_difference",
        OPERATIONS["weighted_difference"],
        shape,
        shape,
        weight,
        oracle=lambda a, b, w: (a - b) * w,
    )

for n, k in [(3, 4), (5, 2), (1, 3), (3, 1)]:
    labels = np.arange(n) * 2 % k
    row(
        "cross_entropy",
        lambda x, labels=labels: ops.cross_entropy(x, labels),
        (n, k),
        oracle=lambda x, labels=labels: -np.mean([scipy.special.log_softmax(r)[c] for r, c in zip(x, labels)]),
    )
for log_var in [(3, 4), (4,), (), (3, 1)]:
    row(
        "gaussian_nll",
        ops.gaussian_nll,
        (3, 4),
        (3, 4),
        log_var,
        oracle=lambda mu, t, v: -np.mean(scipy.stats.norm.logpdf(t, mu, np.exp(v / 2))),
    )
row(
    "gaussian_nll",
    lambda mu, t: ops.gaussian_nll(mu, t, 0.5),
    (5,),
    (5,),
    oracle=lambda mu, t: -np.mean(scipy.stats.norm.logpdf(t, mu, np.exp(0.25))),
)


def _kl(mu, log_sd):
    """Cross-entropy of N(mu, sd^2) with N(0, 1), less its own entropy."""
    sd = np.exp(log_sd)
    return (np.log(2 * np.pi) + mu**2 + sd**2) / 2 - scipy.stats.norm.entropy(mu, sd)


for mu, log_sd in [((3, 4), (3, 4)), ((), ()), ((0, 2), (0, 2)), ((3, 4), (4,)), ((5,), ())]:
    row("standard_normal_kl", ops.standard_normal_kl, mu, log_sd, oracle=_kl, order=3)

# Random draws: no inputs to differentiate; the same generator gives the same numbers.


def _rng():
    return np.random.default_rng(3)


def _box_muller():
    u, v = _rng().random((2, 6), np.float32)
    angle = 2 * np.pi * (v - 0.5)
    return (np.sqrt(-2 * np.log(1 - u)) * np.array([np.cos(angle), np.sin(angle)])).reshape(3, 4)


row("normal", lambda: ops.normal(_rng(), (3, 4)), oracle=_box_muller)
row("normal", lambda: ops.normal(_rng(), (), np.float64), oracle=lambda: _rng().standard_normal())
row("uniform", lambda: ops.uniform(_rng(), (3, 4)), oracle=lambda: _rng().random((3, 4), np.float32))
row("uniform", lambda: ops.uniform(_rng(), (), np.float64), oracle=lambda: _rng().random())
row(
    "dropout_mask",
    lambda: ops.dropout_mask(_rng(), (3, 4), 0.3),
    oracle=lambda: np.where(_rng().random((3, 4), np.float32) < 0.3, 0, 1 / 0.7),
)
