"""The gradient check finds wrong rules and says where."""

import re

import numpy as np
import pytest

import minigen
from minigen import check, debug, ops
from minigen.tape import leaf

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


def test_the_finder_of_nan_is_called_from_here_too():
    assert check.debug is debug.find_nan
