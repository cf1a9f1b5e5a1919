"""What happens when it is used wrongly: the right kind of error, words that help, and nothing changed.

Each row of the table is one mistake: what it is, the call, the error expected, and words that its message must hold:
what was given, and what to do. The call gets a `World` of networks, optimisers, data and generators in the middle of
their work, which must be the same to the last bit afterwards.
"""

import copy
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest

from minigen import check, datasets, grad, metrics, models, nn, no_grad, ops, optim, storage, tensor
from minigen.physics import integrators, pendulum
from minigen.tape import OPERATIONS, primitive
from minigen.training import fit


def rng(seed=0):
    return np.random.default_rng(seed)


def array(*shape):
    return rng(len(shape)).standard_normal(shape).astype(np.float32)


def leaf(*shape):
    return tensor(array(*shape), requires_grad=True)


TRAJECTORIES = datasets.pendulum_trajectories(6, rng(1), steps=20)
REGRESSOR = models.Regressor((4,), steps=5).fit(array(9, 3), array(9, 2), rng=rng(2))
VAE = models.VAE(2, (4,), steps=5).fit(array(9, 5), rng=rng(3))


class World:
    """Things in use, with a state that no mistake may change."""

    def __init__(self, path):
        self.rng = rng(4)
        self.net = nn.Sequential(
            nn.Linear(3, 4, rng=self.rng),
            nn.Activation("tanh"),
            nn.Dropout(0.1, rng=self.rng),
            nn.BatchNorm1d(4),
            nn.Linear(4, 2, rng=self.rng),
        )
        self.adam = optim.Adam(self.net, 0.01)
        self.average = optim.WeightAverage(self.net)
        self.loss = ops.mse(self.net(array(8, 3)), array(8, 2))
        self.loss.backward()
        self.adam.step()
        self.average.update()
        self.x = leaf(2, 3)
        ops.sum(self.x * self.x).backward()
        self.path = path

    def fit(self, *data, loss=None, **settings):
        loss = loss or (lambda x, y: ops.mse(self.net(x), y))
        return fit(self.net, loss, data, **{"rng": self.rng, "steps": 2, "optimizer": self.adam, **settings})

    def saved(self):
        storage.save(self.path, module=self.net, optimizer=self.adam, step=1)
        return self.path

    def state(self):
        return copy.deepcopy(
            {
                **self.net.state_dict(),
                **{f"moment {name}": moment for name, moment in self.adam.state_dict().items()},
                "gradient": self.net.flat().grad,
                "average": self.average.running,
                "x": self.x.data,
                "x.grad": self.x.grad,
                "draws": self.rng.bit_generator.state,
                "trajectories": TRAJECTORIES.theta,
                "regressor": REGRESSOR.network_.flat().data,
                "VAE": VAE.network_.flat().data,
                "file": self.path.read_bytes() if self.path.exists() else None,
            }
        )


class Mistake(NamedTuple):
    what: str
    call: object
    error: type
    words: tuple

    def __str__(self):
        return self.what.replace(" ", "-")


def row(what, call, error, *words):
    return Mistake(what, call, error, words)


def add_in_place(w):
    w.x += 1.0


def assign(x, index):
    x[index] = 0.0


def assign_element(w):
    w.x[0, 1] = 5.0


def step_then_old_graph(w):
    net = nn.Linear(3, 1, rng=rng())
    loss = ops.mean(net(array(4, 3)))
    loss.backward()
    optim.SGD(net).step()
    loss.backward()


def backward_outside_the_tape(w):
    with no_grad():
        y = ops.sum(w.x)
    y.backward()


def second_derivative(rule):
    def call(w):
        operation = primitive("my_cube", lambda x: x**3, rule)
        slope = grad(ops.sum(operation(w.x)), w.x, create_graph=True)
        grad(ops.sum(slope), w.x)

    return call


def slope_without_a_rule(g, y, x):
    return primitive("my_slope", lambda g, x: 3 * g * x**2)(g, x)


def slope_off_the_tape(g, y, x):
    return np.asarray(g.data * 3 * x.data**2)


def applied_before_update(w):
    with optim.WeightAverage(w.net).applied():
        pass


def grown(w):
    net = nn.Sequential(nn.Linear(2, 2, rng=rng()))
    adam = optim.Adam(net)
    net.extra = leaf(3)
    adam.step()


def with_state(w, **changes):
    state = {**w.net.state_dict(), **changes}
    w.net.load_state_dict({name: value for name, value in state.items() if value is not None})


def with_moments(w, **changes):
    state = {**w.adam.state_dict(), **changes}
    w.adam.load_state_dict({name: value for name, value in state.items() if value is not None})


def cut_short(w):
    content = w.saved().read_bytes()
    other = w.path.with_name("cut.npz")
    other.write_bytes(content[: len(content) // 2])
    storage.load(other, module=w.net)


def with_pickle(w):
    other = w.path.with_name("pickled.npz")
    np.savez(other, weight=np.array([{"a": 1}], dtype=object))
    storage.load_weights(other, w.net)


ENGINE = [
    row(
        "whole numbers that ask for a gradient", lambda w: tensor([1, 2], requires_grad=True), TypeError, "int64", "1.0"
    ),
    row("complex data", lambda w: tensor([1j]), TypeError, "complex128", "real numbers"),
    row("words as data", lambda w: tensor(["a"]), TypeError, "<U1", "real numbers"),
    row("objects as data", lambda w: tensor([None]), TypeError, "object", "real numbers"),
    row("half precision", lambda w: tensor(np.ones(2, np.float16)), TypeError, "float16", "float32"),
    row("ragged data", lambda w: tensor([[1.0, 2.0], [3.0]]), TypeError, "unequal length", "every row the same length"),
    row("backward of many numbers", lambda w: (w.x * 2).backward(), ValueError, "backward()", "(2, 3)", ".sum()"),
    row("grad of many numbers", lambda w: grad(w.x * 2, w.x), ValueError, "grad()", "(2, 3)", ".sum()"),
    row("grad of a float", lambda w: grad(3.0, w.x), TypeError, "needs a Tensor", "float"),
    row("grad by a constant", lambda w: grad(ops.sum(w.x), tensor([1.0])), ValueError, "(1,)", "requires_grad=True"),
    row("grad by an array", lambda w: grad(ops.sum(w.x), w.x.data), TypeError, "must be a Tensor", "minigen.tensor"),
    row("grad by nothing", lambda w: grad(ops.sum(w.x), []), ValueError, "empty list", "at least one"),
    row("a gradient that cannot arrive", lambda w: grad(ops.sum(w.x), leaf(4)), ValueError, "does not depend", "(4,)"),
    row(
        "a gradient's gradient without its graph",
        lambda w: grad(ops.sum(grad(ops.sum(w.x**3), w.x)), w.x),
        ValueError,
        "does not depend",
        "create_graph=True",
    ),
    row("through detach", lambda w: grad(ops.sum(w.x.detach()), w.x), ValueError, "does not depend", "detach()"),
    row("backward of what no_grad made", backward_outside_the_tape, ValueError, "does not depend", "no_grad()"),
    row("backward of a count", lambda w: ops.argsort(leaf(1)).backward(), TypeError, "floating-point", "int64"),
    row("in-place addition", add_in_place, TypeError, "in-place add", "(2, 3)", "y = x + ..."),
    row("assigning an element", assign_element, TypeError, "(2, 3)", "assigned", "where()"),
    row("a gradient of another shape", lambda w: setattr(w.x, "grad", np.ones(2)), ValueError, "(2, 3)", "(2,)"),
    row("a gradient for a constant", lambda w: setattr(tensor([1.0]), "grad", np.ones(1)), ValueError, "leaf"),
    row("a graph from before the step", step_then_old_graph, ValueError, "(1, 3)", "changed", "compute the loss again"),
    row(
        "a second derivative without a rule",
        second_derivative(slope_without_a_rule),
        NotImplementedError,
        "my_slope() has no derivative",
        "give primitive() a rule",
    ),
    row(
        "a rule off the tape",
        second_derivative(slope_off_the_tape),
        TypeError,
        "my_cube()",
        "ndarray",
        "minigen.ops",
    ),
    row("two operations of one name", lambda w: primitive("add", np.add), ValueError, "'add'", "another name"),
    row("NumPy would lose the gradient", lambda w: np.asarray(w.x), TypeError, "on the tape", ".detach().numpy()"),
    row("numpy() on the tape", lambda w: w.x.numpy(), TypeError, "on the tape", ".detach()"),
    row("many numbers as one", lambda w: float(w.x), ValueError, "one element", "(2, 3)", "reduce or index"),
    row(
        "many numbers as a condition",
        lambda w: bool(w.x > 0),
        ValueError,
        "(2, 3)",
        "neither true nor false",
        "where()",
    ),
    row("length of one number", lambda w: len(tensor(1.0)), TypeError, "()", "no length", ".item()"),
    row("what NumPy has and we have not", lambda w: np.arctan(w.x), TypeError, "np.arctan", "minigen.ops", ".detach()"),
    row("NumPy's Fourier transform", lambda w: np.fft.fft(w.x), TypeError, "np.fft.fft", "minigen.ops"),
    row("out=", lambda w: np.add(w.x, 1.0, out=np.zeros((2, 3))), TypeError, "np.add with out=", ".detach()"),
    row("where=", lambda w: np.add(w.x, 1.0, where=np.ones((2, 3), bool)), TypeError, "np.add with where="),
    row("dtype=", lambda w: np.sum(w.x, dtype=np.float64), TypeError, "np.sum with dtype="),
    row(
        "dtype by position", lambda w: np.sum(w.x, 0, np.float64), TypeError, "np.sum with a third positional argument"
    ),
    row("another norm", lambda w: np.linalg.norm(w.x, 1), TypeError, "np.linalg.norm with ord", "minigen.ops"),
    row("a check of nothing", lambda w: check.gradient(ops.sin, 3, rng=w.rng), ValueError, "no input", "1.0"),
]

VALUES = [
    row(
        "two precisions",
        lambda w: w.x + leaf(3).astype(np.float64),
        TypeError,
        "add()",
        "float32 and float64",
        ".astype()",
    ),
    row("shapes that do not broadcast", lambda w: w.x + leaf(4), ValueError, "add()", "(2, 3)", "(4,)", "reshape"),
    row("a complex number", lambda w: w.x + 1j, TypeError, "add()", "complex128", "real numbers"),
    row("a complex array", lambda w: w.x * np.full(3, 1j), TypeError, "multiply()", "complex128", "real numbers"),
    row("an array of objects", lambda w: w.x + np.array([None, 1, 2]), TypeError, "add()", "object", "real numbers"),
    row("None", lambda w: w.x + None, TypeError, "add()", "None", "give tensors, arrays or numbers"),
    row("a word", lambda w: w.x - "a", TypeError, "subtract()", "'a'", "give tensors, arrays or numbers"),
    row("a ragged list", lambda w: ops.add(w.x, [[1], [1, 2]]), TypeError, "add()", "unequal length"),
    row("matrices that do not fit", lambda w: w.x @ leaf(2, 3), ValueError, "matmul()", "(2, 3)", "transpose"),
    row(
        "a vector that does not fit",
        lambda w: w.x @ leaf(2),
        ValueError,
        "matmul()",
        "(2, 3) and (2,)",
        "must be equal",
    ),
    row("a number as a matrix", lambda w: w.x @ tensor(2.0), ValueError, "matmul()", "()", "multiply (*)"),
    row(
        "two operands for three terms",
        lambda w: ops.einsum("ij,jk,kl->il", w.x, w.x),
        ValueError,
        "'ij,jk,kl->il'",
        "2 operand(s)",
        "one operand for each term",
    ),
    row("a subscript from nowhere", lambda w: ops.einsum("ij->ik", w.x), ValueError, "'ij->ik'", "(2, 3)"),
    row(
        "a subscript twice", lambda w: ops.einsum("ii,i->i", leaf(2, 2), leaf(2)), ValueError, "'ii,i->i'", "diagonal()"
    ),
    row("reshape to another size", lambda w: w.x.reshape(4, 2), ValueError, "reshape()", "size 6", "(4,2)"),
    row("an axis that is not there", lambda w: ops.sum(w.x, axis=2), IndexError, "sum()", "axis 2", "(2, 3)"),
    row("a product over no axis", lambda w: ops.prod(w.x, axis=-3), IndexError, "prod()", "axis -3", "2 axes"),
    row("a diagonal of a vector", lambda w: ops.diagonal(leaf(3)), IndexError, "diagonal()", "axis 1", "1 axes"),
    row("unequal parts", lambda w: ops.split(leaf(5), 2), ValueError, "split()", "length 5 into 2", "divisor"),
    row("half a part", lambda w: ops.split(leaf(4), 2.5), TypeError, "split()", "2.5", "list of positions"),
    row("a negative border", lambda w: ops.pad(w.x, -1), ValueError, "pad()", "-1", "from 0", "to cut, use an index"),
    row("a border of three numbers", lambda w: ops.pad(w.x, (1, 2, 3)), ValueError, "pad()", "(1, 2, 3)", "2 axes"),
    row("joining nothing", lambda w: ops.concatenate([]), ValueError, "concatenate()", "no arrays", "at least one"),
    row("joining unlike shapes", lambda w: ops.concatenate([w.x, leaf(2, 4)]), ValueError, "(2, 3)", "(2, 4)"),
    row("stacking unlike shapes", lambda w: ops.stack([leaf(2), leaf(3)]), ValueError, "(2,), (3,)", "single shape"),
    row("a mask of another shape", lambda w: w.x[np.ones((3, 2), bool)], IndexError, "getitem()", "(2, 3)", "boolean"),
    row("a list of conditions too long", lambda w: leaf(2)[[True] * 3], IndexError, "getitem()", "(2,)", "boolean"),
    row("assigning where a mask is", lambda w: assign(w.x, w.x > 0), TypeError, "(2, 3)", "assigned", "where()"),
    row("a broken index", lambda w: w.x[tensor([0.0])], TypeError, "integers or booleans, got float32"),
    row("another border", lambda w: np.pad(w.x, 1, "edge"), TypeError, "np.pad with mode='edge'", "minigen.ops"),
    row("a border of a word", lambda w: ops.pad(w.x, 1, "constant"), ValueError, "pad()", "'constant'", "a number"),
    row("another reduction", lambda w: ops.mse(w.x, w.x.data, "max"), ValueError, "mse()", "'max'", "mean, sum, none"),
    row("two weights for three classes", lambda w: ops.cross_entropy(w.x, [0, 1], [1.0, 2.0]), ValueError, "(2,)"),
    row("a label beside the ignored", lambda w: ops.cross_entropy(w.x, [-1, 3], None, -1), ValueError, "from 3 to 3"),
    row("an index too far", lambda w: w.x[7], IndexError, "getitem()", "(2, 3)", "index 7", "size 2"),
    row("a variance of one", lambda w: ops.var(leaf(1), ddof=1), ValueError, "1 value", "ddof=1", "smaller ddof"),
    row("a maximum of nothing", lambda w: ops.max(leaf(0, 3)), ValueError, "max()", "(0, 3)"),
    row(
        "(n, 1) against (n,)", lambda w: ops.mse(leaf(3, 1), array(3)), ValueError, "mse()", "(3, 1)", "(3,)", "reshape"
    ),
    row("(n, 1) against (n,) in l1", lambda w: ops.l1(leaf(3, 1), array(3)), ValueError, "l1()", "(3, 1)", "(3,)"),
    row(
        "a loss of nothing",
        lambda w: ops.mse(leaf(0, 2), array(0, 2)),
        ValueError,
        "mse()",
        "(0, 2)",
        "needs an element",
    ),
    row(
        "a label too large",
        lambda w: ops.cross_entropy(w.x, [1, 3]),
        ValueError,
        "from 1 to 3 for 3",
        "expected 0 to 2",
    ),
    row("a negative label", lambda w: ops.cross_entropy(w.x, [-1, 0]), ValueError, "from -1 to 0", "expected 0 to 2"),
    row("a label of 1.0", lambda w: ops.cross_entropy(w.x, [1.0, 0.0]), TypeError, "float64", "integers"),
    row("labels in a column", lambda w: ops.cross_entropy(w.x, [[1], [0]]), ValueError, "(2, 3)", "(2, 1)", "(n,)"),
    row("a slope of -1", lambda w: ops.leaky_relu(w.x, slope=-1), ValueError, "leaky_relu()", "-1", "between 0 and 1"),
    row("a distance of 0", lambda w: ops.huber(w.x, w.x.data, delta=0), ValueError, "delta 0", "positive"),
]

LAYERS = [
    row("a seed for a generator", lambda w: nn.Linear(3, 1, rng=0), TypeError, "rng=0", "default_rng"),
    row("no generator", lambda w: nn.MLP([3, 1], rng=None), TypeError, "rng=None", "default_rng"),
    row("NumPy's old generator", lambda w: nn.Dropout(0.1, rng=np.random.RandomState(0)), TypeError, "RandomState"),
    row("a negative size", lambda w: nn.Linear(3, -1, rng=w.rng), ValueError, "n_out=-1", "1 or more"),
    row("a size of 3.0", lambda w: nn.Linear(3.0, 1, rng=w.rng), ValueError, "n_in=3.0", "whole number"),
    row("one size", lambda w: nn.MLP([3], rng=w.rng), ValueError, "[3]", "at least two"),
    row("an unknown activation", lambda w: nn.Activation("swish"), ValueError, "'swish'", "silu"),
    row(
        "a setting it has not", lambda w: nn.Activation("tanh", slope=0.1), TypeError, "'tanh'", "'slope'", "no setting"
    ),
    row("a function as a layer", lambda w: nn.Sequential(np.tanh), TypeError, "tanh", "position 0", "nn.Activation"),
    row("another width", lambda w: w.net(array(5, 7)), ValueError, "linear()", "(4, 3)", "last axis is 3", "(5, 7)"),
    row("one number", lambda w: w.net(tensor(1.0)), ValueError, "linear()", "last axis is 3", "()"),
    row("a plain number", lambda w: w.net[0](1.0), TypeError, "linear()", "1.0", "give tensors or arrays"),
    row("complex inputs", lambda w: w.net(array(5, 3) * 1j), TypeError, "linear()", "complex64", "real numbers"),
    row("a float64 tensor", lambda w: w.net(tensor(np.ones((5, 3)))), TypeError, "float32 and float64", ".astype()"),
    row(
        "another width without bias",
        lambda w: nn.Linear(3, 1, rng=rng(), bias=False)(array(5, 7)),
        ValueError,
        "Linear(3)",
        "(5, 7)",
    ),
    row(
        "weights of another shape at the start",
        lambda w: nn.Linear(3, 2, rng=rng(), initial=lambda shape, rng: np.zeros((3, 2))),
        ValueError,
        "(3, 2)",
        "(2, 3)",
    ),
    row("dropping everything", lambda w: nn.Dropout(1.0, rng=w.rng), ValueError, "rate=1.0", "[0, 1)"),
    row("a batch of one", lambda w: w.net[3](array(1, 4)), ValueError, "batch of 1", "at least 2 rows", ".eval()"),
    row("a batch in three axes", lambda w: nn.BatchNorm1d(3)(array(2, 2, 3)), ValueError, "(2, 2, 3)", "reshape"),
    row("a momentum of 7", lambda w: nn.BatchNorm1d(3, momentum=7), ValueError, "momentum=7", "between 0 and 1"),
    row("another width for a norm", lambda w: nn.LayerNorm(3)(array(2, 4)), ValueError, "LayerNorm(3)", "(2, 4)"),
    row(
        "assigning another shape",
        lambda w: setattr(w.net[0], "weight", np.zeros((3, 4))),
        ValueError,
        "Linear.weight",
        "(4, 3)",
        "(3, 4)",
    ),
    row("assigning words", lambda w: setattr(w.net[0], "bias", list("abcd")), TypeError, "Linear.bias", "<U1"),
    row(
        "a state that lacks one", lambda w: with_state(w, **{"0.bias": None}), ValueError, "missing ['0.bias']", "build"
    ),
    row("a state with one too many", lambda w: with_state(w, foo=np.ones(1)), ValueError, "unknown ['foo']", "build"),
    row(
        "a state of other sizes",
        lambda w: with_state(w, **{"4.bias": np.ones(7)}),
        ValueError,
        "4.bias",
        "(2,)",
        "(7,)",
    ),
    row("a state that is a list", lambda w: w.net.load_state_dict([1]), TypeError, "got a list", "dict"),
    row("whole-number weights", lambda w: w.net.astype(int), TypeError, "int64", "float32 or float64"),
    row("a module without parameters", lambda w: nn.Module().flat(), TypeError, "needs parameters", "none"),
    row("a module without forward", lambda w: nn.Module()(1.0), NotImplementedError, "forward(self, x)"),
]

OPTIMISERS = [
    row("loose parameters", lambda w: optim.Adam(w.net.parameters()), TypeError, "got a list", "Module as attributes"),
    row("a rate of 0", lambda w: optim.Adam(w.net, 0), ValueError, "Adam got lr=0", "positive"),
    row("a negative rate", lambda w: optim.SGD(w.net, -0.1), ValueError, "SGD got lr=-0.1", "positive"),
    row("a rate that is no number", lambda w: optim.AdamW(w.net, np.nan), ValueError, "AdamW got lr=nan", "positive"),
    row("an infinite rate", lambda w: optim.RMSprop(w.net, np.inf), ValueError, "lr=inf", "positive"),
    row("a schedule of NaN", lambda w: optim.SGD(w.net, lambda step: np.nan).step(), ValueError, "step 0", "nan"),
    row("a schedule below 0", lambda w: optim.SGD(w.net, lambda step: -1.0).step(), ValueError, "-1.0", "0 or more"),
    row("a schedule of nothing", lambda w: optim.SGD(w.net, lambda step: None).step(), ValueError, "None", "number"),
    row("a beta of 1", lambda w: optim.Adam(w.net, betas=(0.9, 1.0)), ValueError, "betas=(0.9, 1.0)", "[0, 1)"),
    row("one beta", lambda w: optim.Adam(w.net, betas=0.9), ValueError, "betas=0.9", "two numbers"),
    row("Nesterov without momentum", lambda w: optim.SGD(w.net, nesterov=True), ValueError, "momentum=0", "positive"),
    row("a momentum of 1", lambda w: optim.SGD(w.net, momentum=1.0), ValueError, "momentum=1.0", "[0, 1)"),
    row("all warm-up", lambda w: optim.cosine_decay(0.1, 10, warmup=10), ValueError, "warmup=10", "steps=10", "<"),
    row("a half-life of 0", lambda w: optim.exponential_decay(0.1, 0), ValueError, "half_life=0", "positive"),
    row("a negative factor", lambda w: optim.step_decay(0.1, 5, -1.0), ValueError, "factor=-1.0", "positive"),
    row("clipping to 0", lambda w: optim.clip_grad_norm(w.net, 0), ValueError, "max_norm=0", "positive"),
    row("clipping a list", lambda w: optim.clip_grad_norm(w.net.parameters(), 1.0), TypeError, "got a list", "Module"),
    row("a decay of 1", lambda w: optim.WeightAverage(w.net, 1.0), ValueError, "decay=1.0", "[0, 1)"),
    row("an average of nothing", applied_before_update, ValueError, "no average yet", "update()"),
    row("a network that grew", grown, ValueError, "had 6", "has 9", "complete"),
    row("the state of another kind", lambda w: with_moments(w, mean=None), ValueError, "['mean', 'square', 'steps']"),
    row("moments of other sizes", lambda w: with_moments(w, mean=np.ones(3)), ValueError, "mean", "(3,)"),
]

X, Y = array(9, 3), array(9, 2)
HOLED = np.where(np.arange(27).reshape(9, 3) == 5, np.nan, X)

TRAINING = [
    row(
        "NaN in the data",
        lambda w: w.fit(HOLED, Y),
        ValueError,
        "1 value",
        "NaN",
        "array 0",
        "(9, 3)",
        "remove or fill",
    ),
    row("no data", lambda w: w.fit(X[:0], Y[:0]), ValueError, "(0, 3)", "at least one row"),
    row("unequal lengths", lambda w: w.fit(X, Y[:4]), ValueError, "[9, 4]", "same number of rows"),
    row("one array for a tuple", lambda w: fit(w.net, len, X, rng=w.rng, steps=1), TypeError, "(9, 3)", "(X,)"),
    row("a seed", lambda w: w.fit(X, Y, rng=7), TypeError, "rng=7", "default_rng"),
    row("no steps", lambda w: w.fit(X, Y, steps=0), ValueError, "steps=0", "1 or more"),
    row("no rows in a batch", lambda w: w.fit(X, Y, batch_size=0), ValueError, "batch_size=0", "1 or more"),
    row(
        "patience for nothing",
        lambda w: w.fit(X, Y, patience=3),
        ValueError,
        "without validation",
        "validation=(X, ...)",
    ),
    row(
        "resume from nowhere", lambda w: w.fit(X, Y, resume=True), ValueError, "without a checkpoint", "checkpoint=..."
    ),
    row(
        "an optimiser of another network",
        lambda w: w.fit(X, Y, optimizer=optim.Adam(nn.Linear(3, 2, rng=rng()))),
        ValueError,
        "another module",
        "Adam(module)",
    ),
    row(
        "a checkpoint that is not one of fit",
        lambda w: w.fit(X, Y, checkpoint=w.saved(), resume=True),
        storage.CheckpointError,
        "holds no training to resume",
        "fit(checkpoint=...)",
    ),
    row("a checkpoint that is not there", lambda w: storage.load(w.path), FileNotFoundError, "no file", "save()"),
    row("a pickle by name", lambda w: storage.save("net.pkl", module=w.net), ValueError, "'.pkl'", ".npz"),
    row("a folder that is not there", lambda w: storage.save(w.path / "a.npz"), FileNotFoundError, "no folder"),
    row(
        "the checkpoint of another network",
        lambda w: storage.load(w.saved(), module=nn.Linear(3, 2, rng=rng())),
        storage.CheckpointError,
        "does not fit",
        "0.weight",
        "build it as it was",
    ),
    row(
        "the checkpoint of another optimiser",
        lambda w: storage.load(w.saved(), module=w.net, optimizer=optim.SGD(w.net)),
        storage.CheckpointError,
        "saved with Adam, not SGD",
    ),
    row("a file cut short", cut_short, storage.CheckpointError, "cut.npz", "cut short", "another copy"),
    row("a file with a pickle in it", with_pickle, storage.CheckpointError, "object", "not read"),
    row("a list in a checkpoint", lambda w: storage.save(w.path, extra={"a": [1]}), TypeError, "list", "numpy.asarray"),
]

MODELS = [
    row(
        "predict before fit",
        lambda w: models.Regressor().predict(X),
        ValueError,
        "not been fitted",
        "fit(X, Y, rng=...)",
    ),
    row("predict at another width", lambda w: REGRESSOR.predict(X[:, :2]), ValueError, "(9, 2)", "(n, 3)"),
    row("predict at one row", lambda w: REGRESSOR.predict(X[0]), ValueError, "(3,)", "(n, 3)", "X[None]"),
    row("densities at another width", lambda w: REGRESSOR.log_prob(X, Y[:, 0]), ValueError, "(9, 1)", "(n, 2)"),
    row("an unknown head", lambda w: models.Regressor(head="median"), ValueError, "'median'", "point, gaussian"),
    row("one width for a list", lambda w: models.Regressor(64), ValueError, "hidden=64", "(64, 64)"),
    row(
        "more targets than inputs",
        lambda w: models.Regressor().fit(X[:5], Y, rng=w.rng),
        ValueError,
        "5 rows",
        "9 of Y",
    ),
    row(
        "an ensemble of a class",
        lambda w: models.Ensemble(models.Regressor),
        TypeError,
        "regressor=<class",
        "Regressor",
    ),
    row("an ensemble of none", lambda w: models.Ensemble(models.Regressor(), 0), ValueError, "members=0", "1 or more"),
    row(
        "a posterior it has not", lambda w: models.VAE(posterior="low-rank"), ValueError, "'low-rank'", "diagonal, full"
    ),
    row("a negative beta", lambda w: models.VAE(beta=-1), ValueError, "beta=-1", "0 or more"),
    row("a decoder without spread", lambda w: models.VAE(decoder_sd=0), ValueError, "decoder_sd=0", "learned"),
    row("sample before fit", lambda w: models.VAE().sample(3, w.rng), ValueError, "not been fitted", "fit(X, rng=...)"),
    row("sample nothing", lambda w: VAE.sample(0, w.rng), ValueError, "n=0", "1 or more"),
    row("sample from a seed", lambda w: VAE.sample(3, 0), TypeError, "rng=0", "default_rng"),
    row("decode another width", lambda w: VAE.decode(array(4, 3)), ValueError, "(4, 3)", "(n, 2)"),
    row("encode another width", lambda w: VAE.encode(array(4, 3)), ValueError, "(4, 3)", "(n, 5)"),
    row("no draws", lambda w: VAE.elbo(array(4, 5), w.rng, draws=0), ValueError, "draws=0", "1 or more"),
    row("NaN to encode", lambda w: VAE.encode(array(4, 5) + np.nan), ValueError, "20 value", "NaN", "(4, 5)"),
]


def trajectories(w, **settings):
    return datasets.pendulum_trajectories(3, w.rng, **settings)


def residual(theta, t=TRAJECTORIES.t, **settings):
    return metrics.physics_residual(theta, t, **settings)


PHYSICS = [
    row("no trajectories", lambda w: datasets.pendulum_trajectories(0, w.rng), ValueError, "n=0", "1 or more"),
    row("trajectories from a seed", lambda w: datasets.pendulum_trajectories(3, 1), TypeError, "rng=1", "default_rng"),
    row("negative drag", lambda w: trajectories(w, drag=-1), ValueError, "drag", "-1", "at least 0 kg/s"),
    row("a drag for each", lambda w: trajectories(w, drag=np.ones(3)), ValueError, "drag", "the same for all"),
    row("noise in words", lambda w: trajectories(w, noise="much"), ValueError, "'much'", "True or False"),
    row("a range upside down", lambda w: trajectories(w, mass=(2, 1)), ValueError, "mass", "(2, 1)", "(low, high)"),
    row("a view that does not divide", lambda w: trajectories(w, view=99), ValueError, "99", "500", "divisor"),
    row("a later view that does not divide", lambda w: TRAJECTORIES.view(7), ValueError, "7", "divisor of 20"),
    row(
        "a split of rows",
        lambda w: datasets.train_test_split(X, w.rng),
        TypeError,
        "ndarray as data",
        "PendulumTrajectories",
    ),
    row(
        "all for the test",
        lambda w: datasets.train_test_split(TRAJECTORIES, w.rng, test=1.0),
        ValueError,
        "test=1.0",
        "between 0 and 1",
    ),
    row("a negative length", lambda w: pendulum.simulate(1.0, 0.0, -2.0), ValueError, "length", "-2.0", "above 0 m"),
    row("an unknown method", lambda w: pendulum.simulate(1.0, 0.0, 1.0, method="heun"), ValueError, "'heun'", "rk4"),
    row(
        "an angle that is no number",
        lambda w: pendulum.simulate(np.nan, 0.0, 1.0),
        ValueError,
        "theta0",
        "nan",
        "finite",
    ),
    row("factors that do not broadcast", lambda w: pendulum.simulate([1, 2], [1, 2, 3], 1.0), ValueError, "(2,), (3,)"),
    row("half a step", lambda w: pendulum.simulate(1.0, 0.0, 1.0, steps=2.5), ValueError, "steps=2.5", "whole number"),
    row(
        "time that stands still",
        lambda w: pendulum.simulate(1.0, 0.0, 1.0, dt=0),
        ValueError,
        "dt=0",
        "positive",
    ),
    row("a swing over the top", lambda w: pendulum.exact_period(4.0, 1.0), ValueError, "below pi", "=4 rad"),
    row(
        "a rule by name",
        lambda w: integrators.integrate("rk4", lambda x, v: -x, 1.0, 0.0, dt=0.1, steps=3),
        TypeError,
        "'rk4'",
        "integrators.rk4",
    ),
    row("one trajectory", lambda w: residual(TRAJECTORIES.theta[0]), ValueError, "(20,)", "trajectory[None, :]"),
    row("times of another length", lambda w: residual(TRAJECTORIES.theta[:, :9]), ValueError, "9 points", "(20,)"),
    row("times in disorder", lambda w: residual(TRAJECTORIES.theta, -TRAJECTORIES.t), ValueError, "increasing", "sort"),
    row("too few points", lambda w: residual(array(2, 3), np.arange(3.0)), ValueError, "3 points", "at least 4"),
    row("nothing to compare", lambda w: metrics.ks_statistic([], [1.0]), ValueError, "0 and 1", "hold values"),
    row(
        "a factor the data have not",
        lambda w: metrics.factor_match({"colour": [1.0]}, TRAJECTORIES.factors),
        ValueError,
        "'colour'",
        "theta0",
    ),
    row("samples of another width", lambda w: metrics.nearest_distances(X, Y), ValueError, "(9, 3)", "(9, 2)"),
    row("NaN among the data", lambda w: metrics.nearest_distances(X, HOLED), ValueError, "1 value", "NaN", "remove"),
    row("held out of itself", lambda w: metrics.nearest_neighbour_ratio(X, X, X), ValueError, "0.0", "not part of it"),
    row("shuffling a line", lambda w: metrics.shuffled_control(X[0], w.rng), ValueError, "(3,)", "(n, steps)"),
]

TABLE = ENGINE + VALUES + LAYERS + OPTIMISERS + TRAINING + MODELS + PHYSICS


@pytest.mark.parametrize("mistake", TABLE, ids=str)
def test_a_mistake_is_explained_and_changes_nothing(mistake, tmp_path):
    world = World(tmp_path / "saved.npz")
    before = world.state()
    with pytest.raises(mistake.error) as caught, mock.patch.dict(OPERATIONS):
        mistake.call(world)
    message = str(caught.value)
    missing = [word for word in mistake.words if word not in message]
    assert not missing, f"{missing} not in: {message}"
    assert type(caught.value) is mistake.error
    assert len(message) < 400 and "\n" not in message
    if before["file"] is None and world.path.exists():
        world.path.unlink()  # the mistake was made with a file of its own
    after = world.state()
    for name, value in before.items():
        np.testing.assert_equal(after[name], value, err_msg=name)
    ops.mse(world.net(array(8, 3)), array(8, 2)).backward()  # and all of it still works
    world.adam.step()


def test_the_table_is_as_long_as_promised_and_names_each_mistake_once():
    names = [mistake.what for mistake in TABLE]
    assert len(names) >= 40 and len(set(names)) == len(names)
    assert all(mistake.words for mistake in TABLE)
