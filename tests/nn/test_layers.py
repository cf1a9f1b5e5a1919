"""Do the layers compute what their papers say, with right gradients of both orders, and refuse what does not fit?"""

import math

import numpy as np
import pytest
from scipy.special import erf

from minigen import grad, nn, ops, tensor
from minigen.watching import Watcher, watch

ACTIVATIONS = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "softplus": lambda x: np.log(1 + np.exp(x)),
}


def make_rng(seed=0):
    return np.random.default_rng(seed)


def random(*shape, seed=0, dtype=np.float64):
    return make_rng(seed).normal(size=shape).astype(dtype)


def operations_of(compute):
    """The names of the operations that are run, in their order."""

    class Names(Watcher):
        def __init__(self):
            self.names = []

        def run(self, op, raw, static):
            self.names.append(op.__name__)
            return super().run(op, raw, static)

    with watch(Names()) as seen:
        compute()
    return seen.names


def numeric_gradient(function, vector, step=1e-6):
    """Central differences of a scalar function along each element of the vector that it reads."""
    slopes = np.empty(vector.size)
    for i in range(vector.size):
        kept = vector[i]
        vector[i] = kept + step
        above = function()
        vector[i] = kept - step
        below = function()
        vector[i] = kept
        slopes[i] = (above - below) / (2 * step)
    return slopes


def randomise(module, seed=1):
    """Give every parameter values that are neither zero nor one nor symmetric."""
    flat = module.flat()
    flat.data[...] = make_rng(seed).normal(0.2, 0.7, flat.data.shape)
    flat.changed()
    return module


# Linear layers and activations


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3)])
def test_linear(shape, dtype, tolerance):
    layer = nn.Linear(3, 2, rng=make_rng()).astype(dtype)
    x = random(*shape, dtype=dtype)
    expected = np.einsum("...i,oi->...o", x.astype(np.float64), layer.weight.data) + layer.bias.data
    for given in (x, tensor(x), np.asfortranarray(x)):
        y = layer(given)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.data, expected, atol=tolerance)


def test_linear_without_bias():
    layer = nn.Linear(3, 2, rng=make_rng(), bias=False)
    x = random(5, 3, dtype=np.float32)
    assert layer.bias is None and list(layer.named_parameters()) == ["weight"] and "bias=False" in repr(layer)
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data.T, atol=1e-6)
    np.testing.assert_allclose(layer.affine(x, layer.weight, "tanh").data, np.tanh(x @ layer.weight.data.T), atol=1e-6)
    np.testing.assert_allclose(
        nn.Sequential(layer, nn.Activation("relu"))(x).data, np.maximum(x @ layer.weight.data.T, 0), atol=1e-6
    )


@pytest.mark.parametrize("name", nn.Activation.NAMES)
def test_activations_are_the_textbooks(name):
    x = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(nn.Activation(name)(x), ACTIVATIONS[name](x), rtol=1e-12, atol=1e-14)
    narrow = x.astype(np.float32)
    np.testing.assert_allclose(nn.Activation(name)(narrow), ACTIVATIONS[name](x), rtol=2e-6, atol=1e-6)


def test_settings_of_activations():
    x = random(7, 3)
    np.testing.assert_allclose(nn.Activation("leaky_relu", slope=0.2)(x), np.where(x > 0, x, 0.2 * x))
    np.testing.assert_allclose(nn.Activation("elu", alpha=0.5)(x), np.where(x > 0, x, 0.5 * np.expm1(x)))
    net = nn.MLP([3, 4, 2], "leaky_relu", rng=make_rng(), slope=0.3).astype(np.float64)
    hidden = x @ net[0].weight.data.T + net[0].bias.data
    expected = np.where(hidden > 0, hidden, 0.3 * hidden) @ net[2].weight.data.T + net[2].bias.data
    np.testing.assert_allclose(net(x).data, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (("tanh", {"slope": 0.1}), TypeError, ["tanh", "slope"]),
        (("leaky_relu", {"alpha": 0.1}), TypeError, ["leaky_relu", "alpha", "slope"]),
        (("leaky_relu", {"slope": 2.0}), ValueError, ["slope=2.0", "[0, 1]"]),
        (("leaky_relu", {"slope": -0.1}), ValueError, ["slope=-0.1"]),
        (("elu", {"alpha": -1.0}), ValueError, ["alpha=-1.0"]),
        (("swish", {}), ValueError, ["swish", "silu"]),
    ],
)
def test_activations_check_their_settings_at_once(settings, error, words):
    name, values = settings
    for make in (
        lambda: nn.Activation(name, **values),
        lambda: nn.MLP([1, 2, 1], name, rng=make_rng(), **values),
    ):
        with pytest.raises(error) as caught:
            make()
        assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 3), (3,)])
@pytest.mark.parametrize("name", nn.Activation.NAMES)
def test_fused_is_unfused(name, shape, dtype, tolerance):
    """Value, gradient, and gradient of the gradient's square, by input, weight and bias."""
    settings = {"leaky_relu": {"slope": 0.2}, "elu": {"alpha": 0.7}}.get(name, {})
    layer = nn.Linear(3, 2, rng=make_rng(3)).astype(dtype)
    activation = nn.Activation(name, **settings)
    fused = nn.Sequential(layer, activation)
    data, upstream = random(*shape, dtype=dtype), random(*shape[:-1], 2, seed=5, dtype=dtype)

    def all_orders(compute):
        x = tensor(data, requires_grad=True)
        leaves = [x, layer.weight, layer.bias]
        y = compute(x)
        first = grad(ops.sum(ops.square(y) * upstream), leaves, create_graph=True)
        second = grad(sum(ops.sum(ops.square(g)) for g in first), leaves)
        return [y, *first, *second]

    unfused = all_orders(lambda x: activation(ops.add(ops.matmul(x, ops.transpose(layer.weight)), layer.bias)))
    for a, b in zip(all_orders(fused), unfused, strict=True):
        assert a.dtype == b.dtype == dtype
        scale = max(1.0, float(np.abs(b.data).max(initial=0)))
        np.testing.assert_allclose(a.data, b.data, rtol=0, atol=tolerance * scale)


# Sequential and MLP


def test_sequential_fuses_what_it_can():
    x = random(4, 3, dtype=np.float32)

    def names(*layers):
        return operations_of(lambda: nn.Sequential(*layers)(x))

    linear = nn.Linear(3, 3, rng=make_rng())
    for name in ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "identity"):
        assert names(linear, nn.Activation(name)) == ["linear"]
    assert names(linear, nn.Activation("softplus")) == ["linear", "softplus"]
    assert names(nn.Activation("tanh"), linear) == ["tanh", "linear"]
    assert names(linear, linear, nn.Activation("tanh"), nn.Activation("tanh")) == ["linear", "linear", "tanh"]
    assert names(nn.Sequential(linear), nn.Activation("tanh")) == ["linear", "tanh"]


def test_sequential_calls_a_layer_of_ones_own():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2.0 * super().forward(x)

    layer, x = Doubled(3, 2, rng=make_rng()), random(4, 3, dtype=np.float32)
    expected = np.tanh(2 * (x @ layer.weight.data.T + layer.bias.data))
    np.testing.assert_allclose(nn.Sequential(layer, nn.Activation("tanh"))(x).data, expected, atol=1e-6)


def test_sequential_is_a_sequence():
    net = nn.MLP([2, 3, 1], "relu", rng=make_rng())
    assert len(net) == 3 and isinstance(net[-1], nn.Linear)
    assert repr(net) == "MLP(Linear(2, 3), Activation('relu'), Linear(3, 1))"
    x = random(4, 2, dtype=np.float32)
    np.testing.assert_array_equal(nn.Sequential()(x), x)
    np.testing.assert_array_equal(nn.Sequential(net[0], nn.Sequential(net[1], net[2]))(x).data, net(x).data)


def test_mlp_on_numbers_worked_by_hand():
    net = nn.MLP([2, 2, 1], "relu", rng=make_rng())
    net[0].weight, net[0].bias = [[1.0, 2.0], [-1.0, 1.0]], [0.5, -0.5]
    net[2].weight, net[2].bias = [[3.0, 4.0]], [0.25]
    # hidden: relu(1 + 4 + 0.5) = 5.5 and relu(-1 + 2 - 0.5) = 0.5; then 3 * 5.5 + 4 * 0.5 + 0.25
    assert net([[1.0, 2.0]]).item() == 18.75


# Misuse


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.Linear(3, 2, rng=make_rng())(np.ones((4, 5), np.float32)), ValueError, ["(2, 3)", "(4, 5)", "3"]),
        (lambda: nn.Linear(3, 2, rng=make_rng(), bias=False)(np.ones((4, 5), np.float32)), ValueError, ["(4, 5)"]),
        (lambda: nn.Linear(3, 2, rng=make_rng())(np.float32(1)), ValueError, ["3"]),
        (lambda: nn.Linear(3, 2, rng=0), TypeError, ["rng=0", "default_rng"]),
        (lambda: nn.Linear(3, 2, rng=np.random), TypeError, ["default_rng"]),
        (lambda: nn.Linear(0, 2, rng=make_rng()), ValueError, ["n_in=0"]),
        (lambda: nn.Linear(3, 2.5, rng=make_rng()), ValueError, ["n_out=2.5"]),
        (lambda: nn.Linear(3, True, rng=make_rng()), ValueError, ["n_out=True"]),
        (lambda: nn.MLP([3], rng=make_rng()), ValueError, ["[3]", "two"]),
        (lambda: nn.MLP(3, rng=make_rng()), ValueError, ["sizes=3", "two"]),
        (lambda: nn.MLP([3, -1], rng=make_rng()), ValueError, ["-1"]),
        (lambda: nn.MLP([3, 1], rng=None), TypeError, ["None"]),
        (lambda: nn.MLP([2, 2, 2], "tahn", rng=make_rng()), ValueError, ["tahn", "tanh"]),
        (lambda: nn.Sequential(np.tanh), TypeError, ["position 0", "Activation"]),
        (lambda: nn.Sequential([nn.Activation("tanh")]), TypeError, ["position 0"]),
        (lambda: nn.Dropout(1.0, rng=make_rng()), ValueError, ["rate=1.0", "[0, 1)"]),
        (lambda: nn.Dropout(-0.1, rng=make_rng()), ValueError, ["rate=-0.1"]),
        (lambda: nn.Dropout("half", rng=make_rng()), ValueError, ["'half'"]),
        (lambda: nn.Dropout(0.1, rng=None), TypeError, ["None"]),
        (lambda: nn.Dropout(0.1, rng=make_rng())([1.0]), TypeError, ["Dropout", "list", "asarray"]),
        (lambda: nn.LayerNorm(0), ValueError, ["n=0"]),
        (lambda: nn.LayerNorm(3)(np.ones((2, 4))), ValueError, ["LayerNorm(3)", "(2, 4)"]),
        (lambda: nn.LayerNorm(3)(np.float64(1)), ValueError, ["LayerNorm(3)", "()"]),
        (lambda: nn.LayerNorm(1)([[1.0]]), TypeError, ["LayerNorm", "list"]),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 4))), ValueError, ["BatchNorm1d(3)", "(2, 4)"]),
        (lambda: nn.BatchNorm1d(3)(np.ones((2, 5, 3))), ValueError, ["(batch, 3)", "(2, 5, 3)"]),
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3))), ValueError, ["batch of 1", "eval"]),
        (lambda: nn.BatchNorm1d(3)(np.ones((0, 3))), ValueError, ["batch of 0"]),
    ],
)
def test_misuse_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


# Dropout


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_expectation(rate):
    x = np.full((200, 500), 3.0, np.float32)
    y = nn.Dropout(rate, rng=make_rng())(tensor(x)).data
    assert y.dtype == np.float32
    kept = y != 0
    np.testing.assert_allclose(y[kept], 3 / (1 - rate), rtol=1e-6)
    # The kept fraction and the mean lie within five standard errors of their expectations.
    error = math.sqrt(rate * (1 - rate) / x.size)
    assert abs(kept.mean() - (1 - rate)) < 5 * error
    assert abs(y.mean() / 3 - 1) < 5 * error / (1 - rate)
    # Elements fall independently: neighbours agree as often as chance has it.
    both = (kept[:, 1:] & kept[:, :-1]).mean()
    assert abs(both - (1 - rate) ** 2) < 0.01


def test_dropout_is_off_in_eval_mode_and_at_rate_zero():
    x, rng = tensor(random(4, 3)), make_rng()
    before = rng.bit_generator.state
    assert nn.Dropout(0.5, rng=rng).eval()(x) is x
    assert nn.Dropout(0.0, rng=rng)(x) is x
    assert rng.bit_generator.state == before


def test_dropout_draws_anew_each_time_and_repeatably():
    x = np.ones((20, 20), np.float32)
    one, other = nn.Dropout(0.5, rng=make_rng(1)), nn.Dropout(0.5, rng=make_rng(1))
    first, second = one(x), one(x)
    assert np.any(first != second)
    np.testing.assert_array_equal(other(x), first)
    np.testing.assert_array_equal(other(x), second)


def test_the_gradient_passes_where_dropout_let_the_value_pass():
    x, upstream = tensor(random(6, 5), requires_grad=True), random(6, 5, seed=1)
    y = nn.Dropout(0.4, rng=make_rng())(x)
    expected = np.where(y.data != 0, upstream / 0.6, 0)
    np.testing.assert_allclose(grad(ops.sum(y * upstream), x).data, expected)


# Normalisation


def layer_norm(x, weight, bias, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * weight + bias


@pytest.mark.parametrize("shape", [(5, 4), (4,), (2, 3, 4), (0, 4)])
def test_layer_norm(shape):
    layer = randomise(nn.LayerNorm(4).astype(np.float64))
    x = random(*shape) * 3 + 1
    expected = layer_norm(x, layer.weight.data, layer.bias.data)
    np.testing.assert_allclose(layer(tensor(x)).data, expected, rtol=1e-12)
    np.testing.assert_allclose(layer.eval()(x).data, expected, rtol=1e-12)


def test_batch_norm_uses_the_batch_and_keeps_running_averages():
    layer = randomise(nn.BatchNorm1d(3).astype(np.float64))
    mean, var = np.zeros(3), np.ones(3)
    for i in range(4):
        x = random(6, 3, seed=i) * [1, 2, 3] + [0, 5, -5]
        biased = ((x - x.mean(0)) ** 2).mean(0)
        expected = (x - x.mean(0)) / np.sqrt(biased + 1e-5) * layer.weight.data + layer.bias.data
        np.testing.assert_allclose(layer(tensor(x)).data, expected, rtol=1e-10)
        mean, var = 0.9 * mean + 0.1 * x.mean(0), 0.9 * var + 0.1 * biased * 6 / 5
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, var, rtol=1e-12)
    assert layer.num_batches_tracked == 4 and layer.num_batches_tracked.dtype == np.int64

    x = random(1, 3, seed=9)  # one row is enough now, and nothing is tracked
    expected = (x - mean) / np.sqrt(var + 1e-5) * layer.weight.data + layer.bias.data
    np.testing.assert_allclose(layer.eval()(tensor(x)).data, expected, rtol=1e-12)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    assert layer.num_batches_tracked == 4


@pytest.mark.parametrize("given", [np.float32, np.float64, np.int64])
def test_normalisation_of_raw_arrays_has_the_dtype_of_the_layer(given):
    x = (random(5, 3) * 10).astype(given)
    for layer in (nn.LayerNorm(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3).eval()):
        assert layer(x).dtype == np.float32
        assert all(array.dtype != np.float64 for array in layer.state_dict().values())


def test_values_and_second_order_against_torch():
    torch = pytest.importorskip("torch")
    for ours, theirs in [
        (nn.LayerNorm(4), torch.nn.LayerNorm(4)),
        (nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4)),
    ]:
        randomise(ours.astype(np.float64))
        theirs.double().load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
        for mode in ("train", "train", "eval"):
            getattr(ours, mode)(), getattr(theirs, mode)()
            data, upstream = random(6, 4, seed=3) * 2 + 1, random(6, 4, seed=4)
            x = tensor(data, requires_grad=True)
            y = ours(x)
            first = grad(ops.sum(y * upstream), [x, ours.weight, ours.bias], create_graph=True)
            second = grad(sum(ops.sum(g**3) for g in first), [x, ours.weight])

            x_ = torch.tensor(data, requires_grad=True)
            y_ = theirs(x_)
            first_ = torch.autograd.grad(
                (y_ * torch.tensor(upstream)).sum(), [x_, theirs.weight, theirs.bias], create_graph=True
            )
            second_ = torch.autograd.grad(sum((g**3).sum() for g in first_), [x_, theirs.weight])
            for a, b in zip([y, *first, *second], [y_, *first_, *second_], strict=True):
                np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-8, atol=1e-9)
        for name, array in ours.state_dict().items():
            np.testing.assert_allclose(array, theirs.state_dict()[name].numpy(), rtol=1e-12)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_deep_network_of_all_layers_is_torchs(mode):
    torch = pytest.importorskip("torch")
    ours = nn.Sequential(
        nn.Linear(3, 6, rng=make_rng()),
        nn.BatchNorm1d(6),
        nn.Activation("silu"),
        nn.Linear(6, 5, rng=make_rng(1), bias=False),
        nn.LayerNorm(5),
        nn.Activation("gelu"),
        nn.Linear(5, 4, rng=make_rng(2)),
        nn.Activation("elu"),
        nn.Linear(4, 2, rng=make_rng(3)),
        nn.Activation("leaky_relu", slope=0.2),
        nn.Linear(2, 2, rng=make_rng(4)),
        nn.Activation("softplus"),
    )
    theirs = torch.nn.Sequential(
        torch.nn.Linear(3, 6),
        torch.nn.BatchNorm1d(6),
        torch.nn.SiLU(),
        torch.nn.Linear(6, 5, bias=False),
        torch.nn.LayerNorm(5),
        torch.nn.GELU(),
        torch.nn.Linear(5, 4),
        torch.nn.ELU(),
        torch.nn.Linear(4, 2),
        torch.nn.LeakyReLU(0.2),
        torch.nn.Linear(2, 2),
        torch.nn.Softplus(),
    )
    ours.load_state_dict(theirs.state_dict())
    getattr(ours, mode)(), getattr(theirs, mode)()
    data, target = random(8, 3, dtype=np.float32), random(8, 2, seed=1, dtype=np.float32)
    y, y_ = ours(tensor(data)), theirs(torch.tensor(data))
    np.testing.assert_allclose(y.data, y_.detach().numpy(), atol=1e-5)
    ours.zero_grad()
    ops.mse(y, target).backward()
    torch.nn.functional.mse_loss(y_, torch.tensor(target)).backward()
    for p, p_ in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, p_.grad.numpy(), atol=1e-5)


# Gradients of gradients through the layers

CRITICS = {
    "tanh": lambda: nn.MLP([3, 5, 4, 1], "tanh", rng=make_rng()),
    "sigmoid": lambda: nn.MLP([3, 5, 1], "sigmoid", rng=make_rng()),
    "softplus": lambda: nn.MLP([3, 5, 1], "softplus", rng=make_rng()),
    "silu": lambda: nn.MLP([3, 5, 1], "silu", rng=make_rng()),
    "gelu": lambda: nn.MLP([3, 5, 1], "gelu", rng=make_rng()),
    "elu": lambda: nn.MLP([3, 5, 1], "elu", rng=make_rng(), alpha=0.8),
    "relu": lambda: nn.MLP([3, 5, 4, 1], "relu", rng=make_rng()),
    "leaky_relu": lambda: nn.MLP([3, 5, 4, 1], "leaky_relu", rng=make_rng(), slope=0.2),
    "no bias": lambda: nn.Sequential(
        nn.Linear(3, 4, rng=make_rng(), bias=False), nn.Activation("tanh"), nn.Linear(4, 1, rng=make_rng(1))
    ),
    "LayerNorm": lambda: nn.Sequential(
        nn.Linear(3, 5, rng=make_rng()), nn.LayerNorm(5), nn.Activation("tanh"), nn.Linear(5, 1, rng=make_rng(1))
    ),
    "BatchNorm1d": lambda: nn.Sequential(
        nn.Linear(3, 5, rng=make_rng()), nn.BatchNorm1d(5), nn.Activation("tanh"), nn.Linear(5, 1, rng=make_rng(1))
    ),
    "BatchNorm1d in eval mode": lambda: nn.Sequential(
        nn.Linear(3, 5, rng=make_rng()), nn.BatchNorm1d(5), nn.Activation("tanh"), nn.Linear(5, 1, rng=make_rng(1))
    ).eval(),
    "both": lambda: nn.Sequential(
        nn.Linear(3, 4, rng=make_rng()), nn.LayerNorm(4), nn.Activation("silu"), nn.Linear(4, 4, rng=make_rng(1)),
        nn.BatchNorm1d(4), nn.Activation("softplus"), nn.Linear(4, 1, rng=make_rng(2)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("critic", CRITICS.values(), ids=CRITICS)
def test_gradient_penalty_by_the_weights_and_by_the_input(critic):
    """Of the penalty of Gulrajani et al. (2017): mean over the batch of (|d critic / dx| - 1)^2."""
    net = randomise(critic().astype(np.float64))
    data = random(6, 3, seed=2)

    def penalty(x, create_graph):
        slope = grad(ops.sum(net(x)), x, create_graph=create_graph)
        return ops.mean(ops.square(ops.norm(slope, axis=1) - 1.0))

    def value():
        return penalty(tensor(data, requires_grad=True), False).item()

    # The slope inside is right: along a random direction it is what finite differences say.
    direction, step = random(6, 3, seed=7), 1e-6
    x = tensor(data, requires_grad=True)
    difference = np.sum(net(data + step * direction).data - net(data - step * direction).data) / (2 * step)
    np.testing.assert_allclose(np.sum(grad(ops.sum(net(x)), x).data * direction), difference, rtol=1e-6, atol=1e-8)

    net.zero_grad()
    penalty(x, True).backward()
    expected = numeric_gradient(value, net.flat().data)
    np.testing.assert_allclose(net.flat().grad, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    expected = numeric_gradient(value, data.reshape(-1)).reshape(data.shape)
    by_x = 0 if x.grad is None else x.grad  # where the critic is piecewise linear the penalty does not depend on x
    np.testing.assert_allclose(by_x, expected, rtol=1e-6, atol=1e-6 * max(1, np.abs(expected).max()))


def test_a_third_derivative_through_a_network():
    """d3y/dx3 of a network in one variable against differences of its second derivative."""
    net = randomise(nn.MLP([1, 4, 3, 1], "tanh", rng=make_rng()).astype(np.float64))

    def derivative(x, order):
        x = tensor(np.array([[x]]), requires_grad=True)
        y = net(x)
        for _ in range(order):
            y = grad(ops.sum(y), x, create_graph=True)
        return y.item()

    x, step = 0.3, 1e-5
    expected = (derivative(x + step, 2) - derivative(x - step, 2)) / (2 * step)
    assert derivative(x, 3) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(6, 4), (5, 4, 7), (1, 4, 3), (2, 4, 1)])
def test_batch_norm_of_two_and_three_axes_is_torchs(shape, affine):
    torch = pytest.importorskip("torch")
    ours, theirs = nn.BatchNorm1d(4, affine=affine).astype(np.float64), torch.nn.BatchNorm1d(4, affine=affine).double()
    if affine:
        randomise(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == ("BatchNorm1d(4)" if affine else "BatchNorm1d(4, affine=False)")
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    for mode in ("train", "train", "eval"):
        getattr(ours, mode)(), getattr(theirs, mode)()
        data, upstream = random(*shape, seed=3) * 2 + 1, random(*shape, seed=4)
        x, x_ = tensor(data, requires_grad=True), torch.tensor(data, requires_grad=True)
        y, y_ = ours(x), theirs(x_)
        leaves, leaves_ = [x, *ours.parameters()], [x_, *theirs.parameters()]
        first = grad(ops.sum(y * upstream), leaves, create_graph=True)
        second = grad(sum(ops.sum(ops.square(g)) for g in first) + ops.sum(x * y), x)
        first_ = torch.autograd.grad((y_ * torch.tensor(upstream)).sum(), leaves_, create_graph=True)
        second_ = torch.autograd.grad(sum((g**2).sum() for g in first_) + (x_ * y_).sum(), x_)[0]
        for a, b in zip([y, *first, second], [y_, *first_, second_], strict=True):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-7, atol=1e-8)
    for name, array in ours.state_dict().items():
        np.testing.assert_allclose(array, theirs.state_dict()[name].numpy(), rtol=1e-12)


@pytest.mark.parametrize("layer", [nn.LayerNorm, nn.BatchNorm1d])
def test_normalisation_does_not_see_the_offset(layer):
    """Variance by E[x^2] - E[x]^2 would lose all digits here; expected from float64."""
    x = (1e3 + np.round(64 * random(64, 8)) / 64).astype(np.float32)  # exact in float32
    axis = 1 if layer is nn.LayerNorm else 0
    centred = x.astype(np.float64) - x.mean(axis, dtype=np.float64, keepdims=True)
    expected = centred / np.sqrt(np.mean(centred**2, axis, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer(8)(tensor(x)).data, expected, atol=2e-3)


def test_batch_norm_needs_two_values_a_feature():
    for shape in [(1, 3), (1, 3, 1), (0, 3), (3, 3, 0)]:
        with pytest.raises(ValueError, match="no variance"):
            nn.BatchNorm1d(3)(np.ones(shape))
    for shape in [(3,), (3, 2), (2, 2, 3), (2, 3, 2, 2)]:
        with pytest.raises(ValueError, match=r"BatchNorm1d\(3\).*\(batch, 3, length\)"):
            nn.BatchNorm1d(3)(np.ones(shape))
