"""Can the tape of every operation, called in every way of its examples, be written down?"""

import numpy as np
import pytest

from examples import EXAMPLES
from minigen import Tensor, debug, ops, tensor


def on_the_tape(example):
    """The first result of an example that has a derivative, or None."""
    y = example.f(*(tensor(x, requires_grad=True) for x in example.inputs))
    parts = y if isinstance(y, (list, tuple)) else [y]
    return next((part for part in parts if isinstance(part, Tensor) and part.requires_grad), None)


ROWS = [example for examples in EXAMPLES.values() for example in examples if example.order]


@pytest.mark.parametrize("example", ROWS, ids=str)
def test_a_line_for_every_value_with_its_gradient(example):
    y = on_the_tape(example)
    if y is None:  # a comparison
        assert example.oracle is not None
        return
    total = ops.sum(y * 1.0)
    steps = debug.steps_of(total, gradients=True)
    assert steps[-1].title == "sum" and all(step.title for step in steps)
    assert all(step.gradient.shape == step.value.shape for step in steps if step.kind != "constant")
    assert len(debug.describe(total, gradients=True).splitlines()) == len(steps)
    assert np.array_equal(steps[-1].value, total.data)
