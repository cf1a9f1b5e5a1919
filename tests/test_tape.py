"""Reverse mode itself: orders of derivatives, what is computed and what is not, memory, and how tensors meet NumPy."""

import copy
import gc
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import Tensor, nn, ops, optim
from minigen.tape import OPERATIONS, Node, grad, leaf, mark_changed, primitive
from minigen.watching import Watcher, watch

ROOT = Path(__file__).parent.parent


class Counter(Watcher):
    """How often each operation ran, and which argument's gradients were computed."""

    def __init__(self):
        self.runs, self.gradients = [], []

    def run(self, op, raw, static):
        self.runs.append(op.__name__)
        return op.forward(*raw, **static)

    def contributed(self, node, index, gradient):
        self.gradients.append((node.op.__name__, index))


def vector(*numbers):
    return leaf(np.array(numbers, np.float64))


# Long and wide graphs


def test_a_chain_of_ten_thousand_additions():
    x = vector(2.0)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    assert grad(y, x).data.tolist() == [1.0]
    slope = grad(y * y, x, create_graph=True)
    assert slope.data.tolist() == [2 * 10_002.0]
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y, slope  # a chain is freed without recursion too


def test_a_long_chain_is_freed_without_recursion():
    x = vector(2.0)
    y = x
    for _ in range(50_000):
        y = y * 1.0
    del y
    assert x.data.tolist() == [2.0]


def test_doublings_are_swept_once_each():
    def double(n):
        x = vector(1.0)
        y = x
        for _ in range(n):
            y = y + y
        with watch(Counter()) as seen:
            assert grad(y, x).data.tolist() == [2.0**n]
        return len(seen.gradients)

    start = time.perf_counter()
    assert double(25) == 2 * 25 and double(50) == 2 * 50  # not 2 ** 25
    assert time.perf_counter() - start < 0.5


def test_a_node_used_along_paths_of_different_length_is_complete_before_it_is_swept():
    x = vector(3.0)
    a = x * x
    b = ops.sin(a)
    y = b * a + a + x * b
    with watch(Counter()) as seen:
        slope = grad(y, x)
    s, c = np.sin(9.0), np.cos(9.0)
    np.testing.assert_allclose(slope.data, [(9 * c + s + 1 + 3 * c) * 6 + s], rtol=1e-14)
    assert len(seen.gradients) == 11  # three products and two sums with two arguments each, one sine


def test_grad_called_twice_gives_the_same_and_leaves_no_trace():
    x = vector(0.3, -2.0)
    y = ops.sum(ops.tanh(x * x) * x)
    first, second = grad(y, x), grad(y, x)
    np.testing.assert_array_equal(first.data, second.data)
    assert first.data is not second.data and x.grad is None and not first.requires_grad


def test_backward_adds_up():
    x = vector(0.3, -2.0)
    for _ in range(2):
        ops.sum(x * x * [1.0, 5.0]).backward()
    np.testing.assert_allclose(x.grad, 2 * 2 * x.data * [1.0, 5.0])
    x.grad = None
    assert x.grad is None


def test_a_copy_of_a_computed_tensor_is_refused():
    with pytest.raises(TypeError, match=r"detach\(\)"):
        copy.deepcopy(vector(1.0, 2.0) * 2)


def test_gradients_do_not_share_memory():
    x, y = vector(1.0, 2.0), vector(3.0, 4.0)
    a, b = grad(ops.sum(x + y), [x, y])
    a.data[0] = 7.0
    assert b.data.tolist() == [1.0, 1.0]
    ops.sum(x + y).backward()
    x.grad += 1.0
    assert y.grad.tolist() == [1.0, 1.0]


# Higher orders


@pytest.mark.parametrize(
    ("f", "derivatives"),
    [
        (lambda x: x**5, [lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x]),
        (lambda x: x**5.0, [lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x]),
        (ops.sin, [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin]),
        (ops.exp, [np.exp] * 4),
        (lambda x: 1.0 / x, [lambda x, n=n: (-1) ** n * [1, 2, 6, 24][n - 1] / x ** (n + 1) for n in range(1, 5)]),
    ],
)
def test_four_derivatives_one_after_the_other(f, derivatives):
    x = vector(0.7, -1.3, 2.1)
    y = f(x)
    for derivative in derivatives:
        y = grad(ops.sum(y), x, create_graph=True)
        np.testing.assert_allclose(y.data, derivative(x.data), rtol=1e-12)


def test_hessian_vector_product_of_a_quadratic_form():
    rng = np.random.default_rng(0)
    a, v = rng.standard_normal((4, 4)), rng.standard_normal(4)
    x = leaf(rng.standard_normal(4))
    y = x @ (a @ x)
    slope = grad(y, x, create_graph=True)
    np.testing.assert_allclose(slope.data, (a + a.T) @ x.data, rtol=1e-12)
    np.testing.assert_allclose(grad(slope @ v, x).data, (a + a.T) @ v, rtol=1e-12)


def test_hessian_vector_product_of_a_network_agrees_with_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, w, b, u, v = (rng.standard_normal(s) for s in [(5, 3), (4, 3), (4,), (1, 4), (4, 3)])
    ours = leaf(w)
    y = ops.mean(ops.sigmoid(ops.linear(ops.linear(x, ours, b, activation="tanh"), u, np.zeros(1))))
    found = grad(ops.sum(grad(y, ours, create_graph=True) * v), ours)
    x, b, u, v = (torch.tensor(a) for a in (x, b, u, v))
    theirs = torch.tensor(w, requires_grad=True)
    y = torch.sigmoid(torch.tanh(x @ theirs.T + b) @ u.T).mean()
    (slope,) = torch.autograd.grad(y, theirs, create_graph=True)
    (expected,) = torch.autograd.grad((slope * v).sum(), theirs)
    np.testing.assert_allclose(found.data, expected.numpy(), rtol=1e-10, atol=1e-14)


def test_mixed_second_derivatives_are_symmetric():
    x, y = vector(0.4), vector(-0.8)
    z = ops.sin(x * y) * ops.exp(x) + x / y
    by_x, by_y = grad(z, [x, y], create_graph=True)
    one, other = grad(by_x, y), grad(by_y, x)
    np.testing.assert_allclose(one.data, other.data, rtol=1e-14)
    a, b = 0.4, -0.8
    s, c = np.sin(a * b), np.cos(a * b)
    np.testing.assert_allclose(one.data, [np.exp(a) * (c + a * c - a * b * s) - 1 / b**2], rtol=1e-12)


def test_backward_through_a_gradient():
    # The loss is |dy/dx|^2; with y = w x^2 its derivative by w is 8 w x^2.
    x, w = vector(1.5), vector(-0.7)
    slope = grad(w * x * x, x, create_graph=True)
    (slope * slope).backward()
    np.testing.assert_allclose(w.grad, [8 * -0.7 * 1.5**2])
    np.testing.assert_allclose(x.grad, [8 * 0.7**2 * 1.5])


# Gradient penalty


def penalty_of(critic, x):
    """Mean of (|d critic / dx| - 1)^2 over the rows of x (Gulrajani et al., 2017)."""
    x = leaf(x)
    slope = grad(ops.sum(critic(x)), x, create_graph=True)
    return ops.mean(ops.square(ops.norm(slope, 1) - 1.0))


def assert_agrees_with_finite_differences(penalty, parameters):
    for p, g in zip(parameters, grad(penalty(), parameters)):
        expected = np.zeros_like(p.data)
        for i in np.ndindex(p.shape):
            value = p.data[i]
            p.data[i] = value + 1e-5
            ahead = penalty().item()
            p.data[i] = value - 1e-5
            expected[i] = (ahead - penalty().item()) / 2e-5
            p.data[i] = value
        np.testing.assert_allclose(g.data, expected, rtol=1e-6, atol=1e-6 * max(1, np.abs(expected).max()))
        assert p.shape == (1,) or np.abs(expected).max() > 1e-3  # all but the last bias matter: the test can fail


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "elu", "leaky_relu"])
def test_penalty_through_fused_layers(activation):
    rng = np.random.default_rng(3)
    w1, b1, w2, b2 = (leaf(rng.standard_normal(s)) for s in [(4, 3), (4,), (1, 4), (1,)])
    x = rng.standard_normal((5, 3))

    def critic(x):
        return ops.linear(ops.linear(x, w1, b1, activation=activation), w2, b2)

    parameters = [w1, w2] if activation == "leaky_relu" else [w1, b1, w2]
    assert_agrees_with_finite_differences(lambda: penalty_of(critic, x), parameters)


@pytest.mark.parametrize("activation", [ops.silu, ops.gelu, ops.softplus, lambda x: ops.leaky_relu(x, 0.2)])
def test_penalty_through_separate_activations(activation):
    rng = np.random.default_rng(3)
    w1, w2 = leaf(rng.standard_normal((3, 4))), leaf(rng.standard_normal((4, 1)))
    x = rng.standard_normal((5, 3))
    assert_agrees_with_finite_differences(lambda: penalty_of(lambda x: activation(x @ w1) @ w2, x), [w1, w2])


@pytest.mark.parametrize("layer", [nn.LayerNorm, nn.BatchNorm1d])
@pytest.mark.parametrize("activation", ["tanh", "silu", "leaky_relu"])
def test_penalty_through_normalising_layers(layer, activation):
    rng = np.random.default_rng(4)
    critic = nn.Sequential(nn.Linear(3, 4, rng=rng), layer(4), nn.Activation(activation), nn.Linear(4, 1, rng=rng))
    critic.astype(np.float64)
    weight, bias = critic[1].weight, critic[1].bias
    weight.data[...], bias.data[...] = rng.uniform(0.5, 1.5, 4), rng.standard_normal(4)
    x = rng.standard_normal((6, 3))
    parameters = [critic[0].weight, weight, critic[3].weight]
    if activation != "leaky_relu":
        parameters.append(bias)
    assert_agrees_with_finite_differences(lambda: penalty_of(critic, x), parameters)


def live_objects_after(steps):
    rng = np.random.default_rng(0)
    critic = nn.MLP([2, 8, 1], "tanh", rng=rng)
    adam = optim.Adam(critic, 1e-3)
    for _ in range(steps):
        real = rng.standard_normal((16, 2)).astype(np.float32)
        loss = penalty_of(critic, real) * 10.0 - ops.mean(critic(real))
        adam.zero_grad()
        loss.backward()
        adam.step()
    return len(gc.get_objects())


def test_gradient_penalty_training_leaves_nothing_for_the_garbage_collector():
    live_objects_after(2)  # what is made once: kernels, caches
    gc.collect()
    gc.disable()
    try:
        few, many = live_objects_after(5), live_objects_after(50)
        assert not any(type(o) is Node and o.op is not None for o in gc.get_objects())
    finally:
        gc.enable()
    assert many <= few + 5  # the lists and frames of the count itself


# What is computed and what is not


def test_rules_of_unwanted_inputs_are_not_called():
    called = []

    def by(name):
        return lambda g, y, a, b: called.append(name) or g

    before = dict(OPERATIONS)
    try:
        both = primitive("both", np.add, by("a"), by("b"))
    finally:
        OPERATIONS.clear()
        OPERATIONS.update(before)
    a, b = vector(1.0), vector(2.0)
    grad(both(a, b), b)
    assert called == ["b"]
    both(a, 3.0).backward()
    assert called == ["b", "a"]
    both(a, Tensor(np.ones(1))).backward()
    assert called == ["b", "a", "a"]


def test_a_joint_rule_is_told_what_is_wanted():
    x, w, b = leaf(np.ones((2, 3))), leaf(np.ones((4, 3))), leaf(np.ones(4))
    y = ops.sum(ops.linear(x, w, b))
    with watch(Counter()) as seen:
        grad(y, b)
    assert "matmul" not in seen.runs
    with watch(Counter()) as seen:
        grad(y, w)
    assert seen.runs.count("matmul") == 1 and ("linear", 1) in seen.gradients and ("linear", 0) not in seen.gradients


def test_branches_that_do_not_lead_to_the_wanted_input_are_not_swept():
    x, z = vector(1.0), vector(2.0)
    y = ops.sin(x) + ops.exp(ops.cos(z))
    with watch(Counter()) as seen:
        grad(y, x)
    assert {name for name, _ in seen.gradients} == {"add", "sin"}


def test_what_was_computed_before_an_intermediate_is_not_swept():
    x = vector(0.5)
    h = ops.sin(x)
    y = ops.exp(h) * h
    with watch(Counter()) as seen:
        slope = grad(y, h)
    np.testing.assert_allclose(slope.data, np.exp(h.data) * (1 + h.data))
    assert {name for name, _ in seen.gradients} == {"multiply", "exp"}


def test_gradients_by_an_intermediate_and_its_input_together():
    x = vector(0.5)
    h = ops.sin(x)
    y = h * h
    by_h, by_x, again = grad(y, [h, x, h])
    np.testing.assert_allclose(by_h.data, 2 * h.data)
    np.testing.assert_allclose(by_x.data, 2 * h.data * np.cos(0.5))
    np.testing.assert_array_equal(again.data, by_h.data)


def test_gradient_of_a_leaf_by_itself_is_one():
    x = vector(0.5)
    assert grad(x, x).data.tolist() == [1.0]
    x.backward()
    assert x.grad.tolist() == [1.0]


def test_detach_stops_the_gradient_and_shares_memory():
    x = vector(3.0)
    y = x * x.detach()
    assert grad(y, x).data.tolist() == [3.0]
    assert x.detach().data is x.data and not x.detach().requires_grad
    with pytest.raises(ValueError, match="detach"):
        grad(x.detach() * 2.0 + vector(1.0), x)


def test_no_grad_as_block_and_as_decorator():
    x = vector(3.0)

    @minigen.no_grad()
    def predict(x):
        return x * x

    with minigen.no_grad():
        y = x * x
    assert not y.requires_grad and not predict(x).requires_grad and (x * x).requires_grad
    with pytest.raises(ZeroDivisionError), minigen.no_grad():
        _ = 1 / 0
    assert (x * x).requires_grad


def test_constants_and_integers_are_not_recorded():
    x = vector(3.0, 1.0)
    assert not (Tensor(np.ones(2)) * 2.0).requires_grad
    assert not (x > 2.0).requires_grad and not ops.argsort(x).requires_grad
    assert ops.sin(np.ones(2)).__class__ is np.ndarray


def test_nothing_is_recorded_in_a_plain_sweep():
    x = vector(0.3, 0.4)
    y = ops.sum(ops.tanh(x) * ops.norm(x) / (1.0 + ops.square(x)))

    class Recorded(Watcher):
        count = 0

        def recorded(self, node):
            self.count += 1

    with watch(Recorded()) as seen:
        grad(y, x)
        y.backward()
        assert seen.count == 0
        grad(y, x, create_graph=True)
        assert seen.count > 0


def test_a_leaf_changed_after_use_is_noticed():
    w = vector(1.0, 2.0)
    y = ops.sum(w * w)
    w.data -= 0.1
    mark_changed([w])
    with pytest.raises(ValueError, match=r"shape \(2,\) was changed after multiply\(\) had used it"):
        y.backward()
    with pytest.raises(ValueError):
        grad(y, w)
    np.testing.assert_allclose(grad(ops.sum(w * w), w).data, [1.8, 3.8])


def test_an_optimiser_step_makes_the_graph_stale():
    model = nn.MLP([2, 3, 1], "tanh", rng=np.random.default_rng(0))
    adam = optim.Adam(model)
    loss = ops.mean(ops.square(model(np.ones((4, 2), np.float32))))
    loss.backward()
    adam.step()
    with pytest.raises(ValueError, match="compute the loss again"):
        loss.backward()


def test_an_operation_with_one_rule_too_few_says_so(new_primitive):
    half = new_primitive("half", np.multiply, lambda g, y, a, b: g * b)
    a, b = vector(1.0), vector(2.0)
    assert grad(half(a, b), a).data.tolist() == [2.0]
    with pytest.raises(NotImplementedError, match=r"half\(\) has no derivative by its argument 1"):
        grad(half(a, b), b)
    primitive("half", np.multiply)  # who made it may make it anew
    with pytest.raises(ValueError, match="'multiply'"):
        primitive("multiply", np.multiply)


def test_a_rule_that_gives_a_tuple_is_explained(new_primitive):
    cube = new_primitive("cube", lambda x: x**3, lambda g, y, x: (g * 3.0 * x**2,))
    x = vector(2.0)
    for create_graph in (False, True):
        with pytest.raises(TypeError, match=r"cube\(\) gave a tuple.*one rule per argument"):
            grad(ops.sum(cube(x)), x, create_graph=create_graph)


# Tensors and NumPy


def test_numpy_functions_dispatch_to_the_operations():
    x = np.array([[0.5, -1.0], [2.0, 0.25]])
    t = leaf(x)
    for actual, expected in [
        (np.sin(t), np.sin(x)),
        (np.add(x, t), x + x),
        (x + t, x + x),
        (x @ t, x @ x),
        (np.float64(2) * t, 2 * x),
        (np.absolute(t), np.abs(x)),
        (np.true_divide(1.0, t), 1 / x),
        (np.sum(t), np.sum(x)),
        (np.sum(t, axis=0), np.sum(x, axis=0)),
        (np.mean(t, axis=1, keepdims=True), np.mean(x, axis=1, keepdims=True)),
        (np.max(t, 1), np.max(x, 1)),
        (np.amin(t), np.min(x)),
        (np.concatenate([t, x]), np.concatenate([x, x])),
        (np.stack([t, t], axis=1), np.stack([x, x], axis=1)),
        (np.where(x > 0, t, 0.0), np.where(x > 0, x, 0.0)),
        (np.clip(t, -0.5, 1.0), np.clip(x, -0.5, 1.0)),
        (np.reshape(t, (4,)), x.reshape(4)),
        (np.transpose(t), x.T),
        (np.linalg.norm(t), np.linalg.norm(x)),
        (np.einsum("ij,kj->ik", t, x), np.einsum("ij,kj->ik", x, x)),
        (np.sort(t), np.sort(x)),
        (np.var(t, ddof=1), np.var(x, ddof=1)),
        (np.trace(t), np.trace(x)),
    ]:
        assert type(actual) is Tensor and actual.requires_grad
        np.testing.assert_allclose(actual.data, expected, rtol=1e-14)
    assert np.shape(t) == (2, 2) and np.ndim(t) == 2 and np.size(t) == 4


def test_numpy_functions_without_an_operation_say_so():
    t = vector(1.0, 2.0)
    for call in (lambda: np.arctan(t), lambda: np.add.reduce(t), lambda: np.fft.fft(t), lambda: np.median(t)):
        with pytest.raises(TypeError, match=r"minigen\.ops"):
            call()
    with pytest.raises(TypeError, match="out="):
        np.add(t, 1.0, out=np.zeros(2))


def test_asarray_off_and_on_the_tape():
    x = Tensor(np.array([1.0, 2.0]))
    assert np.asarray(x) is x.data and np.array(x) is not x.data and x.numpy() is x.data
    assert np.asarray(x, np.float32).dtype == np.float32
    for convert in (np.asarray, np.array, Tensor.numpy):
        with pytest.raises(TypeError, match="detach"):
            convert(vector(1.0, 2.0))
    assert np.asarray(vector(1.0).detach()).tolist() == [1.0]


def test_tensor_copies_and_chooses_the_dtype():
    x = np.ones(3)
    assert minigen.tensor(x).data is not x
    assert minigen.tensor([1.0, 2.0]).dtype == minigen.tensor(0.5).dtype == np.float32
    assert minigen.tensor(x).dtype == minigen.tensor(np.float64(1)).dtype == np.float64
    assert minigen.tensor([1, 2]).dtype.kind == "i" and minigen.tensor(True).dtype == bool


def test_numbers_and_iteration():
    t = minigen.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    rows = [row.data.tolist() for row in t]
    assert rows == [[1, 2], [3, 4]] and len(t) == 2
    assert float(t[1, 0]) == t[1, 0].item() == 3.0 and int(t[0, 1]) == 2 and bool(t[0, 0] > 0.5)
    assert t.T[1].data.tolist() == [2, 4] and (-t)[0].data.tolist() == [-1, -2]
    assert grad(sum(row[0] for row in t), t).data.tolist() == [[1, 0], [1, 0]]


# A fresh interpreter


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_import_brings_neither_numba_nor_matplotlib():
    code = "import sys, minigen; print(sorted({'numba', 'matplotlib', 'scipy', 'torch'} & set(sys.modules)))"
    assert run_python(code).strip() == "[]"


def test_the_operations_pass_their_tests_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import pytest\n"
        "chosen = '(linear or softmax or silu or mse) and 2x3 and not layout'\n"
        "sys.exit(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', 'tests/ops/test_operations.py', '-k', chosen]))"
    )
    run_python(code, MINIGEN_KERNELS="numpy")


def test_a_training_step_without_numba():
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import numpy as np, minigen\n"
        "from minigen import nn, ops, optim\n"
        "rng = np.random.default_rng(0)\n"
        "model = nn.MLP([2, 8, 1], 'tanh', rng=rng)\n"
        "x = rng.standard_normal((64, 2)).astype(np.float32); y = x[:, :1] * x[:, 1:]\n"
        "adam = optim.Adam(model, 0.05)\n"
        "for step in range(150):\n"
        "    adam.zero_grad(); loss = ops.mse(model(x), y); loss.backward(); adam.step()\n"
        "print(loss.item() < 0.3 * float(np.mean(y ** 2)))"
    )
    assert run_python(code, MINIGEN_KERNELS="numpy").strip() == "True"


# A leaf that was changed after it was used ----------------------------------------------------------------------------


def two_layers():
    """Two weights of one chain, its middle and its end."""
    first, second, x = (np.random.default_rng(seed).standard_normal((3, 3)) for seed in (1, 2, 3))
    first, second = leaf(first), leaf(second)
    middle = ops.tanh(minigen.tensor(x) @ first)
    return first, second, ops.sum(ops.square(middle @ second))


@pytest.mark.parametrize("changed", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("by", [(0,), (1,), (0, 1)])
def test_a_graph_whose_leaves_have_changed_is_refused_by_whatever_leaves_are_asked_for(changed, by):
    *leaves, loss = two_layers()
    mark_changed(leaves[i] for i in changed)
    asked = [leaves[i] for i in by]
    if changed == (0,) and by == (1,):  # the first weight has no part in the gradient of the second
        assert np.isfinite(grad(loss, asked)[0].data).all()
        return
    for way in (lambda: grad(loss, asked), lambda: loss.backward(asked), lambda: loss.backward()):
        with pytest.raises(ValueError, match=r"a parameter of shape \(3, 3\) was changed after matmul\(\) had used it"):
            way()


def test_a_generator_does_not_learn_from_a_critic_that_has_stepped_meanwhile():
    generator, critic, loss = two_layers()
    mark_changed([critic])
    with pytest.raises(ValueError, match="was changed after"):
        loss.backward([generator])
