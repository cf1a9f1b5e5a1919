"""The NaN finder names the operation and the line; a tape is written down as it was computed."""

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import debug, nn, ops
from minigen.watching import watcher

RNG = np.random.default_rng


# find_nan


def line_of(marker):
    """Number of the line in this file that carries a comment `# here: marker`."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.endswith(f"# here: {marker}")]
    return number


def message(f):
    with pytest.raises(FloatingPointError) as caught, debug.find_nan():
        f()
    return str(caught.value)


def assert_names(text, direction, operation, marker):
    assert text.startswith(f"{direction}: {operation}()")
    assert f"{__file__}:{line_of(marker)}:" in text
    assert f"# here: {marker}" in text.splitlines()[-1]  # the line itself is shown


def log_likelihood(x):
    def inner(z):
        return ops.log(z)  # here: log of a negative number

    return ops.sum(inner(x - 2.0))


def test_a_forward_nan_is_reported_where_it_was_made():
    text = message(lambda: log_likelihood(minigen.tensor([1.0, 3.0], requires_grad=True)))
    assert_names(text, "forward", "log", "log of a negative number")
    assert "made NaN from finite arguments (shape (2,), from -1 to 1)" in text


def test_a_forward_inf_of_constants_is_reported_too():
    def overflow():
        x = minigen.tensor([1.0, 800.0])
        return 1.0 + ops.exp(x)  # here: overflow

    assert_names(message(overflow), "forward", "exp", "overflow")


def test_operators_and_numpy_functions_are_reported_at_the_users_line():
    def by_operator():
        x = minigen.tensor([1.0, 0.0], requires_grad=True)
        return 1.0 / x  # here: operator

    def by_numpy():
        x = minigen.tensor([1.0, 0.0], requires_grad=True)
        return np.sum(
            np.log(x),  # here: numpy's name
        )

    assert_names(message(by_operator), "forward", "divide", "operator")
    assert_names(message(by_numpy), "forward", "log", "numpy's name")


def test_inside_a_layer_the_line_is_the_users_call_of_the_model():
    def predict():
        model = minigen.nn.MLP([2, 3, 1], rng=RNG(0))
        for parameter in model.parameters():
            parameter.data[...] = 3e38
        return model(minigen.tensor([[1.0, 2.0]]))  # here: call of the model

    assert_names(message(predict), "forward", "linear", "call of the model")


def root_of_distance(x):
    squares = ops.sum(ops.square(x), 1)
    return ops.sqrt(squares)  # here: root at zero


def test_a_backward_inf_is_reported_at_the_line_of_its_operation():
    def train():
        x = minigen.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
        loss = ops.sum(root_of_distance(x))
        loss.backward()

    text = message(train)
    assert_names(text, "backward", "sqrt", "root at zero")
    assert "Inf as the gradient of its argument 0 (shape (2,), from 0 to 25)" in text


def test_a_backward_nan_names_the_argument():
    def train():
        a = minigen.tensor([-2.0], requires_grad=True)
        n = minigen.tensor([2.0], requires_grad=True)
        y = a**n  # here: exponent of a negative base
        return minigen.grad(y, [a, n])

    text = message(train)
    assert_names(text, "backward", "power", "exponent of a negative base")
    assert "NaN as the gradient of its argument 1" in text


def test_a_nan_in_a_second_derivative():
    def train():
        x = minigen.tensor([0.0], requires_grad=True)
        y = x**1.5
        (slope,) = minigen.grad(y, [x], create_graph=True)  # here: slope of a slope
        minigen.grad(slope, x)

    text = message(train)
    assert text.startswith("backward: power()")
    assert f"{__file__}:{line_of('slope of a slope')}:" in text


def test_nan_in_the_data_is_told_from_nan_made_by_an_operation():
    def feed():
        x = minigen.tensor([1.0, np.nan], requires_grad=True)
        return 2.0 * x  # here: NaN in the data

    text = message(feed)
    assert_names(text, "forward", "multiply", "NaN in the data")
    assert "was given NaN: its argument 1 of shape (2,) holds it already" in text and "in the data" in text


def test_infinite_bounds_and_masks_that_do_no_harm_pass():
    with debug.find_nan():
        x = minigen.tensor([1.0, -2.0], requires_grad=True)
        y = ops.sum(ops.clip(x, -np.inf, 0.5) * ops.tanh(np.inf))
        ops.maximum(x, -np.inf)
        y.backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_infinities_inside_a_rule_that_do_not_reach_the_gradient_pass():
    with debug.find_nan():
        x = minigen.tensor([0.0, 2.0], requires_grad=True)
        y = ops.norm(x) + ops.sum(x**0) + ops.sum(x**1)
        y.backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_graph_made_outside_the_block_has_no_line_and_says_so():
    x = minigen.tensor([0.0], requires_grad=True)
    y = ops.sqrt(x)
    text = message(lambda: y.backward())
    assert text.startswith("backward: sqrt() gave Inf") and "outside debug.find_nan()" in text


def test_results_are_the_same_and_nothing_stays_on():
    def loss():
        x = minigen.tensor([[0.5, 2.0]], requires_grad=True)
        y = ops.mean(ops.tanh(x) * ops.log(x))
        y.backward()
        return y.item(), x.grad.tolist()

    plain = loss()
    with debug.find_nan():
        assert loss() == plain
    with np.errstate(all="ignore"):
        assert np.isnan(ops.log(minigen.tensor([-1.0], requires_grad=True)).data).all()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError), debug.find_nan():
        ops.log(np.array([-1.0]))
    assert watcher.get() is None


def test_nested_lines_are_the_innermost_of_the_user(new_primitive):
    # The user's own operation: its forward is not minigen's, the call that matters is the one of the operation.
    unsafe = new_primitive("unsafe_log", lambda x: np.log(x), lambda g, y, x: g / x)

    def deep(n, x):
        return deep(n - 1, x) if n else unsafe(x)  # here: deep down

    text = message(lambda: deep(5, minigen.tensor([-1.0], requires_grad=True)))
    assert_names(text, "forward", "unsafe_log", "deep down")


# Warnings, and what stays behind


def test_numpys_warnings_inside_a_rule_are_silent():
    with warnings.catch_warnings(), debug.find_nan():
        warnings.simplefilter("error")
        x = minigen.tensor([0.0, 4.0], requires_grad=True)
        with pytest.raises(FloatingPointError, match="backward: sqrt"):
            ops.sum(ops.sqrt(x)).backward()
        with pytest.raises(FloatingPointError, match="backward: power"):
            minigen.grad(ops.sum(x**0.5), x)
        (x**0).sum().backward()


def test_numpys_warnings_elsewhere_are_not_hidden():
    with debug.find_nan():
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            np.log(np.zeros(1))
        with pytest.raises(FloatingPointError, match="forward: log"):
            ops.log(minigen.tensor([0.0]))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(1))
    x = minigen.tensor([0.0], requires_grad=True)
    y = ops.sum(x**0.5)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        y.backward()


def test_blocks_that_overlap_leave_nothing_behind():
    state = np.geterr()
    for _ in range(100):
        first, second = debug.find_nan(), debug.find_nan()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError):
            ops.log(minigen.tensor([0.0]))
        second.__exit__(None, None, None)
    assert watcher.get() is None and np.geterr() == state
    with np.errstate(all="ignore"):
        assert np.isinf(ops.log(minigen.tensor([0.0])).data).all()


def test_blocks_of_two_threads_do_not_see_each_other():
    entered, done, found = threading.Event(), threading.Event(), []

    def other():
        with debug.find_nan():
            entered.set()
            done.wait(10)
            with pytest.raises(FloatingPointError):
                ops.log(minigen.tensor([0.0]))
        found.append(watcher.get())

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(10)
    with np.errstate(all="ignore"):
        assert np.isinf(ops.log(minigen.tensor([0.0])).data).all()
        with debug.find_nan():
            done.set()
            thread.join(10)
            with pytest.raises(FloatingPointError):
                ops.log(minigen.tensor([0.0]))
    assert found == [None] and watcher.get() is None


def test_a_function_can_be_watched():
    @debug.find_nan()
    def loss():
        return ops.log(minigen.tensor([-1.0]))

    for _ in range(2):
        with pytest.raises(FloatingPointError, match="log"):
            loss()


# describe


def leaves():
    return [minigen.tensor(v, requires_grad=True) for v in (2.0, -3.0, 10.0)]


def test_describe_of_three_numbers():
    a, b, c = leaves()
    text = debug.describe(a * b + c, {"a": a, "b": b, "c": c}, gradients=True)
    # d (a b + c): by a it is b, by b it is a, by c 1.
    assert [line.split() for line in text.splitlines()] == [
        ["0", "a", "()", "2", "gradient", "-3"],
        ["1", "b", "()", "-3", "gradient", "2"],
        ["2", "c", "()", "10", "gradient", "1"],
        ["3", "×", "of", "0,", "1", "()", "-6", "gradient", "1"],
        ["4", "+", "of", "3,", "2", "()", "4", "gradient", "1"],
    ]


def test_gradients_are_those_of_backward_or_of_every_value():
    a, b, c = leaves()
    y = a * b + c
    assert "gradient" not in debug.describe(y)
    y.backward()
    steps = debug.steps_of(y)
    assert [None if s.gradient is None else float(s.gradient) for s in steps] == [-3, 2, 1, None, None]
    assert [float(s.gradient) for s in debug.steps_of(y * 2.0, gradients=True)] == [-6, 4, 2, 2, 2, 1]
    assert a.grad == -3


def test_parameters_data_and_results_have_their_names():
    net, x, target = nn.MLP([2, 3, 1], "tanh", rng=RNG(0)), np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    loss = ops.mse(net(x), target)
    steps = debug.steps_of(loss, {"net": net, "x": x, "target": target, "loss": loss})
    names = {step.name for step in steps if step.name}
    assert names == {"net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias", "x", "target", "loss"}
    by_name = {step.name: step for step in steps}
    assert by_name["x"].kind == "constant" and by_name["net.0.weight"].kind == "leaf"
    assert {s.name for s in debug.steps_of(loss, net)} == {"", *net.named_parameters()}
    first = next(step for step in steps if step.title == "linear tanh")
    assert [steps[i].name for i in first.inputs] == ["x", "net.0.weight", "net.0.bias"]


def test_settings_numbers_and_indices_stand_in_the_titles():
    x = minigen.tensor(np.ones((4, 3)), requires_grad=True)

    def title(y):
        return debug.steps_of(y)[-1].title

    assert title(1.0 - x) == "1 − ·" and title(x - 1.0) == "· − 1" and title(x * x) == "×"
    assert title(x**2) == "· ** 2" and title(2.0 / x) == "2 ÷ ·" and title(x @ x.T) == "@"
    assert title(ops.sum(x, 1)) == "sum axis=1" and title(ops.sum(x, axis=0)) == "sum axis=0"
    assert title(x[:, 1:]) == "[:, 1:]" and title(x[0]) == "[0]" and title(x[..., None]) == "[…, None]"
    assert title(x[np.array([0, 1])]) == "[int64 (2,)]"
    assert title(ops.reshape(x, (2, 6))) == "reshape shape=(2, 6)"
    assert title(ops.leaky_relu(x, slope=0.2)) == "leaky_relu slope=0.2" and title(ops.exp(x)) == "exp"


def test_each_line_comes_after_what_it_was_computed_from():
    net = nn.MLP([3, 4, 1], "softplus", rng=RNG(0))
    x = minigen.tensor(np.ones((5, 3)), requires_grad=True).astype(np.float32)
    slope = minigen.grad(ops.sum(net(x)), x, create_graph=True)
    steps = debug.steps_of(ops.mean(slope**2), net, gradients=True)
    assert all(i < place for place, step in enumerate(steps) for i in step.inputs)
    assert steps[-1].title == "mean" and all(step.gradient is not None for step in steps if step.kind != "constant")


def test_long_chains_and_empty_arrays():
    x = minigen.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(5000):
        y = y + 1.0
    assert len(debug.describe(y).splitlines()) == 5001
    assert "(0, 3)" in debug.describe(ops.exp(minigen.tensor(np.ones((0, 3)), requires_grad=True)))


@pytest.mark.parametrize("of", [debug.describe, debug.steps_of])
def test_what_is_not_on_the_tape_cannot_be_described(of):
    with pytest.raises(ValueError, match=r"not on the tape.*no_grad"):
        of(minigen.tensor(1.0))
    with pytest.raises(TypeError, match="got a ndarray"):
        of(np.ones(2))
    with pytest.raises(ValueError, match="needs a scalar"):
        of(minigen.tensor([1.0, 2.0], requires_grad=True), gradients=True)
