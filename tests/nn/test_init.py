"""Do initial weights have the spread of their formulas, and does a signal keep its size through many layers?"""

import math

import numpy as np
import pytest

from minigen import grad, nn, ops, tensor
from minigen.nn import init

SHAPE = (300, 700)  # (n_out, n_in), far from square

VARIANCES = {
    "fan_in_uniform": (init.fan_in_uniform, 1 / (3 * 700)),
    "xavier_uniform": (init.xavier_uniform, 2 / 1000),
    "xavier_normal": (init.xavier_normal, 2 / 1000),
    "kaiming_uniform": (init.kaiming_uniform, 2 / 700),
    "kaiming_normal": (init.kaiming_normal, 2 / 700),
}


@pytest.mark.parametrize(("scheme", "variance"), VARIANCES.values(), ids=VARIANCES)
def test_mean_and_variance_are_those_of_the_formula(scheme, variance):
    w = scheme(SHAPE, np.random.default_rng(0))
    assert w.shape == SHAPE and w.dtype == np.float32
    # Of n draws the mean has the standard error s / sqrt(n), the variance at most s^2 sqrt(2 / n).
    assert abs(w.mean(dtype=np.float64)) < 5 * math.sqrt(variance / w.size)
    assert abs(w.var(dtype=np.float64) / variance - 1) < 5 * math.sqrt(2 / w.size)
    if "uniform" in scheme.__name__:
        bound = math.sqrt(3 * variance)
        assert 0.999 * bound < np.abs(w).max() <= bound * (1 + 1e-6)
    else:
        assert np.abs(w).max() > 4 * math.sqrt(variance)  # a normal has tails


@pytest.mark.parametrize("scheme", [init.xavier_uniform, init.xavier_normal, init.kaiming_uniform, init.kaiming_normal])
def test_the_gain_multiplies(scheme):
    one, three = (scheme(SHAPE, np.random.default_rng(0), gain=gain) for gain in (1.0, 3.0))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 1)])
def test_orthogonal_is_orthogonal(shape):
    w = init.orthogonal(shape, np.random.default_rng(0), gain=1.5).astype(np.float64) / 1.5
    product = w @ w.T if shape[0] <= shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-6)


def test_orthogonal_prefers_no_direction():
    # For a uniformly drawn orthogonal matrix every element has mean 0 and variance 1 / n; without the correction of
    # signs the diagonal would have a mean far from 0.
    draws = np.stack([init.orthogonal((3, 3), np.random.default_rng(seed)) for seed in range(2000)])
    np.testing.assert_allclose(draws.mean(0), 0, atol=5 * math.sqrt(1 / 3 / 2000))
    np.testing.assert_allclose(draws.var(0), 1 / 3, atol=0.05)


def test_one_generator_gives_different_layers_and_one_seed_the_same():
    rng = np.random.default_rng(0)
    a, b = nn.Linear(3, 4, rng=rng), nn.Linear(3, 4, rng=rng)
    assert not np.any(a.weight.data == b.weight.data)
    again = nn.Linear(3, 4, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(a.weight.data, again.weight.data)
    np.testing.assert_array_equal(a.bias.data, again.bias.data)


def test_a_linear_layer_starts_as_in_torch():
    layer = nn.Linear(200, 5000, rng=np.random.default_rng(0))
    bound = 1 / math.sqrt(200)
    for values in (layer.weight.data, layer.bias.data):
        assert np.abs(values).max() <= bound
        assert abs(values.var(dtype=np.float64) / (bound**2 / 3) - 1) < 0.05
    # The bias is drawn apart from the weights.
    assert abs(np.corrcoef(layer.weight.data[:, 0], layer.bias.data)[0, 1]) < 0.06


def test_the_initial_scheme_can_be_chosen():
    net = nn.MLP([4, 6, 3], rng=np.random.default_rng(0), initial=init.orthogonal)
    np.testing.assert_allclose(net[0].weight.data.T @ net[0].weight.data, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(net[2].weight.data @ net[2].weight.data.T, np.eye(3), atol=1e-6)


def through(activation, initial, depth=30, width=200):
    """Mean square of the signal after the first and the last layer, and of the gradient at the same places."""
    rng = np.random.default_rng(0)
    layers = [nn.Sequential(nn.Linear(width, width, rng=rng, initial=initial), nn.Activation(activation))]
    layers += [
        nn.Sequential(nn.Linear(width, width, rng=rng, initial=initial), nn.Activation(activation))
        for _ in range(depth)
    ]
    for layer in layers:
        layer[0].bias = np.zeros(width)
    x = tensor(rng.standard_normal((64, width)).astype(np.float32), requires_grad=True)
    signals = [layers[0](x)]
    for layer in layers[1:]:
        signals.append(layer(signals[-1]))
    upstream = rng.standard_normal((64, width)).astype(np.float32)
    gradients = grad(ops.sum(signals[-1] * upstream), [signals[0], signals[-2]])
    return [float(np.mean(t.data.astype(np.float64) ** 2)) for t in (signals[0], signals[-1], *gradients)]


@pytest.mark.parametrize(
    ("activation", "initial"),
    [
        ("relu", init.kaiming_normal),
        ("relu", init.kaiming_uniform),
        ("leaky_relu", lambda shape, rng: init.kaiming_normal(shape, rng, gain=init.GAIN["leaky_relu"])),
        ("identity", init.xavier_normal),
        ("identity", init.orthogonal),
        ("tanh", lambda shape, rng: init.xavier_normal(shape, rng, gain=init.GAIN["tanh"])),
        ("tanh", lambda shape, rng: init.xavier_uniform(shape, rng, gain=init.GAIN["tanh"])),
    ],
    ids=["relu normal", "relu uniform", "leaky_relu", "linear", "orthogonal", "tanh normal", "tanh uniform"],
)
def test_a_signal_keeps_its_size_through_thirty_layers(activation, initial):
    first, last, gradient_first, gradient_last = through(activation, initial)
    assert 1 / 5 < last / first < 5
    if activation != "tanh":  # there the gain keeps the signal alive at the price of a gradient that grows
        assert 1 / 20 < gradient_first / gradient_last < 20


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_without_the_right_scale_it_dies_away(activation):
    # So the test above can fail: with the default scheme thirty layers lose more than a factor of a thousand.
    first, last, _, _ = through(activation, init.fan_in_uniform)
    assert last / first < 1e-3
