"""What a compiled step may be given, and whose recordings are used: keywords, memory layouts, methods, threads."""

import copy
import gc
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import minigen
from minigen import nn, ops, optim
from minigen.compile import CompileError

X = [np.random.default_rng(i).standard_normal((4, 3)).astype(np.float32) for i in range(12)]


def recordings(step):
    return step.recordings.number


# Keywords -------------------------------------------------------------------------------------------------------------


def test_an_array_by_position_or_by_keyword_is_the_same_argument():
    ran = []
    step = minigen.compile(lambda x, y, *, scale: ran.append(1) or x * scale - y)
    ways = [
        lambda a, b, c: step(a, b, scale=c),
        lambda a, b, c: step(a, y=b, scale=c),
        lambda a, b, c: step(x=a, y=b, scale=c),
        lambda a, b, c: step(scale=c, y=b, x=a),
    ]
    for i in range(8):
        a, b, c = X[i], X[i + 1], np.array(i, np.float32)
        np.testing.assert_array_equal(ways[i % 4](a, b, c), a * c - b)
    assert recordings(step) == 1 and len(ran) == 2  # recorded, and compared in call 2


def test_a_constant_by_keyword_is_part_of_the_key():
    step = minigen.compile(lambda x, scale=2.0, flip=False: (-x if flip else x) * scale)
    for x in X[:3]:
        for settings in ({}, {"scale": 3.0}, {"flip": True}, {"flip": True, "scale": 3.0}):
            expected = (-x if settings.get("flip") else x) * np.float32(settings.get("scale", 2.0))
            np.testing.assert_array_equal(step(x, **settings), expected)
    assert recordings(step) == 4
    np.testing.assert_array_equal(step(X[4], 3.0), X[4] * 3)
    np.testing.assert_array_equal(step(X[5], 3.0, flip=True), -X[5] * 3)
    assert recordings(step) == 4


def test_tensors_and_a_default_array_by_keyword():
    table = np.ones((4, 3), np.float32)
    step = minigen.compile(lambda x, offset=table: x * 2 - offset)
    for i, x in enumerate(X[:4]):
        table[...] = i  # an array of the program, live as any other
        np.testing.assert_array_equal(step(x), x * 2 - i)
        found = step(x, offset=minigen.tensor(X[i + 1]))
        np.testing.assert_array_equal(found.data, x * 2 - X[i + 1])


def test_any_number_of_keywords():
    step = minigen.compile(lambda *arrays, **named: sum(arrays) + sum(w * a for w, a in named.values()))
    with pytest.raises(TypeError, match="an argument of its own"):
        step(X[0], a=(1.0, X[1]))
    step = minigen.compile(lambda *arrays, **named: sum(arrays) - named["b"] * named["a"])
    for i in range(4):
        np.testing.assert_allclose(step(X[i], X[i], b=X[1], a=X[2]), 2 * X[i] - X[1] * X[2], rtol=1e-6)
        np.testing.assert_allclose(step(X[i], a=X[i], b=X[2]), X[i] - X[i] * X[2], rtol=1e-6)


def test_a_default_between_that_is_left_out():
    step = minigen.compile(lambda a, b=[2.0], c=1.0: a * b[0] + c)
    for x in X[:3]:
        np.testing.assert_array_equal(step(x, c=np.float32(3)), x * 2 + 3)


def test_wrong_keywords_are_the_steps_own_affair():
    step = minigen.compile(lambda x, scale=2.0: x * scale)
    for wrong in ({"factor": 1.0}, {"x": X[0]}):
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'factor'|multiple values for argument 'x'"):
            step(X[0], **wrong)
    with pytest.raises(TypeError, match="missing 1 required"):
        step(scale=1.0)


def test_an_argument_by_keyword_that_is_a_weight_is_named():
    net = nn.Linear(3, 3, rng=np.random.default_rng(0))
    optimizer = optim.SGD(net)

    def step(*, x):
        optimizer.zero_grad()
        ops.sum(net(x)).backward()
        optimizer.step()

    with pytest.raises(CompileError, match=r"argument 'x' of step.* shares memory"):
        minigen.compile(step)(x=net.weight.data)


# Memory layouts -------------------------------------------------------------------------------------------------------

wide = np.random.default_rng(7).standard_normal((600, 60)).astype(np.float32)
LAYOUTS = {
    "C": np.ascontiguousarray(wide[::3, ::2]),
    "F": np.asfortranarray(wide[::3, ::2]),
    "gaps": wide[::3, ::2],
    "reversed": np.ascontiguousarray(wide[::-3, ::-2])[::-1, ::-1],
    "one row": np.broadcast_to(wide[0, ::2], (200, 30)),
    "one column": np.broadcast_to(wide[:200, :1], (200, 30)),
    "transposed": np.random.default_rng(8).standard_normal((30, 200)).astype(np.float32).T,
    "nothing": wide[:0, ::-2],
    "nothing reversed": wide[:0, ::-2][::-1],
    "three axes": wide[:60].reshape(60, 6, 10).transpose(2, 0, 1)[::-1],
    "a column": wide[::-1, 3],
    "one of all": wide[5:6, 7:8],
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strided_arguments_are_computed_to_the_last_bit(name, dtype):
    # Sums and products round differently in another order of the elements.
    given = LAYOUTS[name]
    factor = np.random.default_rng(2).standard_normal((given.shape[-1], 7)).astype(dtype)

    def step(x):
        y = ops.tanh(x) * 3.0
        return [y, ops.sum(x, 0), ops.sum(x), ops.mean(x, -1), ops.matmul(x, factor), x[::-1], y.T, x.reshape(-1)]

    compiled = minigen.compile(step, check=True)
    for i in range(4):
        x = as_laid_out(given, dtype, np.random.default_rng(i).standard_normal(given.shape))
        with np.errstate(all="ignore"):
            for one, other in zip(compiled(x), step(x)):
                np.testing.assert_array_equal(one, other)


def as_laid_out(array, dtype, values):
    """These values in the order and with the gaps of a float32 array."""
    size = np.dtype(dtype).itemsize
    strides = [stride // 4 * size for stride in array.strides]
    reach = [(n - 1) * stride for n, stride in zip(array.shape, strides) if n]
    low, high = sum(min(0, r) for r in reach), sum(max(0, r) for r in reach)
    made = np.ndarray(array.shape, dtype, np.zeros(high - low + size, np.uint8), -low, strides)
    made[...] = values
    return made


def test_an_empty_view_can_be_replayed():
    step = minigen.compile(lambda x: (x[::-1] * 2.0, ops.sum(x[::-1], 0), ops.concatenate([x[::-1], x])))
    for _ in range(4):
        for y, shape in zip(step(np.zeros((0, 3), np.float32)), [(0, 3), (3,), (0, 3)]):
            assert y.shape == shape and not y.any()


@pytest.mark.parametrize("zeros_at_first", [False, True])
def test_the_gradient_of_a_square_weight_used_transposed(zeros_at_first):
    # Of mean((x w^T)^2) by w: 2 / n (x w^T)^T x, and not its transpose.
    net = nn.Linear(3, 3, rng=np.random.default_rng(0), bias=False)

    @minigen.compile
    def step(x):
        net.zero_grad()
        ops.mean(ops.square(net(x))).backward()

    for i, x in enumerate(X[:9]):
        x = 0 * x if zeros_at_first and i < 2 else x
        step(x)
        w = net.weight.data.astype(float)
        np.testing.assert_allclose(net.weight.grad, 2 / 12 * (x @ w.T).T @ x, rtol=1e-4, atol=1e-6)


# Networks put together and taken apart --------------------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self):
        self.a = nn.Linear(3, 3, rng=np.random.default_rng(1))
        self.b = nn.Linear(3, 1, rng=np.random.default_rng(2))


def trained(compile, between, n=12):
    net = Two()
    optimizer = optim.Adam(net, 0.05)

    def step(x):
        optimizer.zero_grad()
        loss = ops.mean(ops.square(net.b(x)))
        loss.backward()
        optimizer.step()
        return loss

    step, losses = compile(step), []
    for i in range(n):
        between(i, net)
        losses.append(step(X[i]).item())
    return losses, net.flat().data.copy()


BETWEEN = {
    "a gradient set to None": lambda i, net: setattr(net.a.weight, "grad", None),
    "a gradient given": lambda i, net: i % 3 or setattr(net.a.weight, "grad", np.ones((3, 3), np.float32)),
    "a network made": lambda i, net: nn.MLP([2, 2, 1], rng=np.random.default_rng(0)).flat(),
    "put into another": lambda i, net: i == 5 and nn.Sequential(net.a, net.b).flat(),
    "put into many": lambda i, net: i % 4 == 1 and nn.Sequential(nn.Linear(1, 1, rng=np.random.default_rng(0)), net.a),
    "an assigned weight": lambda i, net: setattr(net.a, "weight", np.full((3, 3), i)),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_happens_to_a_part_that_the_step_does_not_use(name):
    found, expected = trained(minigen.compile, BETWEEN[name]), trained(lambda step: step, BETWEEN[name])
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


def test_networks_made_meanwhile_need_no_new_recording():
    net = Two()
    optimizer = optim.SGD(net, 0.1)
    step = minigen.compile(lambda x: (optimizer.zero_grad(), ops.sum(net.b(x)).backward(), optimizer.step())[1])
    for x in X:
        nn.MLP([2, 2, 1], rng=np.random.default_rng(0)).flat()
        step(x)
    assert recordings(step) == 1


# Methods --------------------------------------------------------------------------------------------------------------


class Scaler:
    def __init__(self, scale):
        self.weight = minigen.tensor(np.full((3, 3), scale, np.float32), requires_grad=True)

    @minigen.compile
    def step(self, x, *, shift=0.0):
        return x @ self.weight + shift


class SelfReferring(nn.Module):
    """Its step changes an object that refers to it."""

    def __init__(self, scale):
        self.weight = minigen.tensor(np.full((3, 3), scale, np.float32), requires_grad=True)
        self.optimizer = optim.SGD(self, 1e-12)

    @minigen.compile
    def step(self, x):
        self.optimizer.zero_grad()
        y = x @ self.weight
        ops.sum(y).backward()
        self.optimizer.step()
        return y


@dataclass
class Equal:
    """Equal to every other and so without a hash."""

    scale: float

    def __eq__(self, other):
        return True

    @minigen.compile
    def step(self, x):
        return x * np.float32(self.scale) if self.scale > 0 else x


class Slotted:
    __slots__ = ("__weakref__", "scale")

    def __init__(self, scale):
        self.scale = scale

    @minigen.compile
    def step(self, x):
        return x * np.float32(self.scale)


KINDS = {"class": Scaler, "module": SelfReferring, "dataclass": Equal, "slots": Slotted}


def expected_of(instance, x):
    return x * np.float32(instance.scale) if hasattr(instance, "scale") else x @ instance.weight.data


@pytest.mark.parametrize("kind", KINDS)
def test_each_instance_has_recordings_of_its_own(kind):
    instances = [KINDS[kind](i + 1.0) for i in range(40)]
    for x in X[:3]:
        for instance in instances:
            y = instance.step(x)
            np.testing.assert_allclose(getattr(y, "data", y), expected_of(instance, x), rtol=1e-6)
    assert {instance.step.recordings.number for instance in instances} == {1}
    assert KINDS[kind].step.recordings.number == 0


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_freed(kind):
    gone = []
    for i in range(20):
        instance = KINDS[kind](i + 1.0)
        instance.step(X[0]), instance.step(X[1]), instance.step(X[2])
        gone.append(weakref.ref(instance))
    del instance
    gc.collect()
    assert not any(ref() for ref in gone)


@pytest.mark.parametrize("kind", ["class", "module", "dataclass"])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_begins_with_nothing(kind, copied):
    one = KINDS[kind](2.0)
    one.step(X[0]), one.step(X[1])
    other = copied(one)
    if kind == "dataclass":
        other.scale = 5.0
    else:
        other.weight = minigen.tensor(np.full((3, 3), 5.0, np.float32), requires_grad=True)
    for x in X[:3]:
        for instance in (other, one):
            y = instance.step(x)
            np.testing.assert_allclose(getattr(y, "data", y), expected_of(instance, x), rtol=1e-6)
    assert other.step.recordings is not one.step.recordings


def test_a_method_called_by_its_class_and_by_super():
    class Louder(Scaler):
        @minigen.compile
        def step(self, x):
            return x @ self.weight * 10.0

        def quiet(self, x):
            return super().step(x)

    scaler, louder = Scaler(2.0), Louder(2.0)
    for x in X[:3]:
        expected = x @ np.full((3, 3), 2.0, np.float32)
        np.testing.assert_allclose(Scaler.step(scaler, x).data, expected, rtol=1e-6)
        np.testing.assert_allclose(Scaler.step(scaler, x, shift=1.0).data, expected + 1, rtol=1e-6)
        np.testing.assert_allclose(louder.step(x).data, expected * 10, rtol=1e-6)
        np.testing.assert_allclose(louder.quiet(x).data, expected, rtol=1e-6)
    assert scaler.step.recordings.number == 2 and Scaler.step.recordings.number == 0
    assert "calls" in scaler.step.program()


def test_a_method_of_the_class_and_of_nobody():
    class Kind:
        factor = np.float32(3)

        @classmethod
        @minigen.compile
        def of_class(cls, x):
            return x * cls.factor

        @staticmethod
        @minigen.compile
        def of_nobody(x):
            return x * 2

    for x in X[:3]:
        np.testing.assert_array_equal(Kind.of_class(x), x * 3)
        np.testing.assert_array_equal(Kind().of_class(x), x * 3)
        np.testing.assert_array_equal(Kind.of_nobody(x), Kind().of_nobody(x))


# Threads --------------------------------------------------------------------------------------------------------------


def test_one_compiled_step_called_by_many_threads():
    # The arrays of a plan are one thread's at a time.
    net = nn.MLP([3, 64, 3], "tanh", rng=np.random.default_rng(0))
    step = minigen.compile(lambda x: net(x))
    expected = [net(np.tile(x, (50, 1))).data for x in X]
    start = threading.Barrier(4)

    def work(k):
        start.wait()
        return all(np.array_equal(step(np.tile(X[i % 12], (50, 1))).data, expected[i % 12]) for i in range(k, k + 300))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))
