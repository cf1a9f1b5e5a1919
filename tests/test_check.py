"""The gradient check finds wrong rules and says where; the NaN finder names the operation and the line."""

import re
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import check, ops
from minigen.tape import leaf
from minigen.watching import watcher

RNG = np.random.default_rng


# gradient


def test_right_rules_pass(new_primitive):
    cube = new_primitive("cube", lambda x: x**3, lambda g, y, x: g * 3.0 * ops.square(x))
    check.gradient(cube, RNG(0).standard_normal((2, 3)), order=4, rng=RNG(1))


def test_a_wrong_rule_is_named_with_argument_order_and_values(new_primitive):
    # The second factor's gradient has the wrong sign.
    product = new_primitive("product", np.multiply, lambda g, y, a, b: g * b, lambda g, y, a, b: -g * a)
    with pytest.raises(check.GradientError) as caught:
        check.gradient(product, np.array([2.0]), np.array([3.0]), rng=RNG(1))
    pattern = r"product: .* order 1 by argument 1 of shape \(1,\).*expected (\S+) .* got (\S+)"
    found = re.search(pattern, str(caught.value))
    expected, got = map(float, found.groups())
    np.testing.assert_allclose(got, -expected, rtol=1e-6)


def test_a_rule_that_loses_its_graph_is_caught_at_order_two(new_primitive):
    # A saved raw value: the gradient is right and its gradient is not.
    def rule(g, y, x):
        return g * (2.0 * np.asarray(x.data if isinstance(x, minigen.Tensor) else x))

    square = new_primitive("square_once", np.square, rule)
    x = RNG(0).standard_normal(4)
    check.gradient(square, x, order=1, rng=RNG(1))
    with pytest.raises(check.GradientError, match="square_once: derivative of order 2 by argument 0"):
        check.gradient(square, x, order=2, rng=RNG(1))


def test_a_relative_error_of_a_hundred_thousandth_is_seen(new_primitive):
    scaled = new_primitive("scaled", lambda x: 2.0 * x, lambda g, y, x: g * 2.00002)
    with pytest.raises(check.GradientError):
        check.gradient(scaled, np.array([[1.0, 2.0, -3.0]]), rng=RNG(1))


def test_a_missing_rule_is_seen_where_the_derivative_is_not_zero(new_primitive):
    flat = new_primitive("flat", np.sin, None)
    with pytest.raises(check.GradientError, match="flat: derivative of order 1"):
        check.gradient(flat, np.array([0.3]), rng=RNG(1))


def test_a_gradient_that_is_nan_does_not_pass():
    with np.errstate(all="ignore"), pytest.raises(check.GradientError, match="got nan"):
        check.gradient(lambda x: ops.sqrt(x * x), np.array([0.0, 1.0]), order=1, rng=RNG(1))


def test_integers_and_settings_are_passed_on():
    check.gradient(ops.take_along_axis, RNG(0).standard_normal((3, 2)), np.array([[1], [0], [1]]), 1, rng=RNG(1))


def test_python_floats_float32_and_tensors_are_differentiated_in_float64():
    seen = []

    def f(*args):
        seen.extend(a.dtype for a in args)
        return ops.exp(args[0]) * args[1] + args[2]

    check.gradient(f, 0.5, np.ones(3, np.float32), minigen.tensor([1.0, 2.0, 3.0]), rng=RNG(1))
    assert set(seen) == {np.dtype(np.float64)}


def test_several_results_and_functions_that_do_not_depend_on_an_input():
    check.gradient(lambda x: ops.split(x * x, 2), RNG(0).standard_normal(6), rng=RNG(1))
    check.gradient(lambda x, y: x * 3.0, RNG(0).standard_normal(6), np.ones(2), order=3, rng=RNG(1))


def test_the_tape_of_others_is_left_alone():
    x = leaf(np.array([1.0, 2.0]))
    check.gradient(lambda y: y * x, np.array([3.0, 4.0]), rng=RNG(1))
    assert x.grad is None


def test_no_floats_to_differentiate_by():
    with pytest.raises(ValueError, match=r"no input to differentiate by.*1\.0"):
        check.gradient(ops.negative, 1, rng=RNG(1))


def test_a_function_that_leaves_the_tape():
    with pytest.raises(TypeError, match=r"ndarray for tensors.*minigen\.ops"):
        check.gradient(lambda x: np.sin(x.data), np.ones(3), rng=RNG(1))


# debug


def line_of(marker):
    """Number of the line in this file that carries a comment `# here: marker`."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = [i for i, line in enumerate(lines, 1) if line.endswith(f"# here: {marker}")]
    return number


def message(f):
    with pytest.raises(FloatingPointError) as caught, check.debug():
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
    with check.debug():
        x = minigen.tensor([1.0, -2.0], requires_grad=True)
        y = ops.sum(ops.clip(x, -np.inf, 0.5) * ops.tanh(np.inf))
        ops.maximum(x, -np.inf)
        y.backward()
    assert x.grad.tolist() == [0.0, 1.0]


def test_infinities_inside_a_rule_that_do_not_reach_the_gradient_pass():
    with check.debug():
        x = minigen.tensor([0.0, 2.0], requires_grad=True)
        y = ops.norm(x) + ops.sum(x**0) + ops.sum(x**1)
        y.backward()
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_graph_made_outside_the_block_has_no_line_and_says_so():
    x = minigen.tensor([0.0], requires_grad=True)
    y = ops.sqrt(x)
    text = message(lambda: y.backward())
    assert text.startswith("backward: sqrt() gave Inf") and "outside check.debug()" in text


def test_results_are_the_same_and_nothing_stays_on():
    def loss():
        x = minigen.tensor([[0.5, 2.0]], requires_grad=True)
        y = ops.mean(ops.tanh(x) * ops.log(x))
        y.backward()
        return y.item(), x.grad.tolist()

    plain = loss()
    with check.debug():
        assert loss() == plain
    with np.errstate(all="ignore"):
        assert np.isnan(ops.log(minigen.tensor([-1.0], requires_grad=True)).data).all()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError), check.debug():
        ops.log(np.array([-1.0]))
    assert watcher.get() is None


def test_nested_lines_are_the_innermost_of_the_user(new_primitive):
    # The user's own operation: its forward is not minigen's, the call that matters is the one of the operation.
    unsafe = new_primitive("unsafe_log", lambda x: np.log(x), lambda g, y, x: g / x)

    def deep(n, x):
        return deep(n - 1, x) if n else unsafe(x)  # here: deep down

    text = message(lambda: deep(5, minigen.tensor([-1.0], requires_grad=True)))
    assert_names(text, "forward", "unsafe_log", "deep down")
