"""Does the spectral layer divide by the largest singular value, and does its gradient know?"""

import copy

import numpy as np
import pytest

import minigen
from minigen import nn, ops, optim, tensor


def rng(seed=0):
    return np.random.default_rng(seed)


def layer(n_in=5, n_out=7, seed=1, **settings):
    return nn.SpectralLinear(n_in, n_out, rng=rng(seed), **settings).astype(np.float64)


def settled(made, rounds=2000):
    for _ in range(rounds):
        made.normalised()
    return made


@pytest.mark.parametrize("sizes", [(5, 7), (7, 5), (1, 4), (4, 1)])
@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_the_largest_singular_value_becomes_one(sizes, size):
    made = layer(*sizes)
    made.weight = size * rng(2).standard_normal(made.weight.shape)
    settled(made)
    weight = made.eval().normalised().data
    U, s, Vt = np.linalg.svd(made.weight.data)
    np.testing.assert_allclose(weight, made.weight.data / s[0], rtol=1e-9)
    np.testing.assert_allclose(np.linalg.svd(weight)[1][0], 1, rtol=1e-9)
    np.testing.assert_allclose([abs(made.u @ U[:, 0]), abs(made.v @ Vt[0])], 1, rtol=1e-9)


def test_it_starts_near_the_largest_singular_value():
    for seed in range(5):
        made = nn.SpectralLinear(128, 128, rng=rng(seed)).eval()
        assert 1 <= np.linalg.svd(made.normalised().data)[1][0] < 1.1


@pytest.mark.parametrize("bias", [True, False])
def test_agrees_with_pytorch(bias):
    torch = pytest.importorskip("torch")
    made = layer(bias=bias)
    theirs = torch.nn.Linear(5, 7, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(made.weight.data))
        if bias:
            theirs.bias.copy_(torch.tensor(made.bias.data))
    theirs = torch.nn.utils.parametrizations.spectral_norm(theirs)
    norm = theirs.parametrizations.weight[0]
    norm._u.copy_(torch.tensor(made.u))
    norm._v.copy_(torch.tensor(made.v))

    def backward(module, convert, square, total):
        # Two forward passes, each with a round of its own, before the one sweep back.
        first, second = (module(convert(rng(i).standard_normal((4, 5)))) for i in (3, 4))
        total(square(first) * 0.5 + second).backward()
        return first, second

    for _ in range(3):
        ours = backward(made, lambda x: x, ops.square, ops.sum)
        other = backward(theirs, torch.tensor, torch.square, torch.sum)
        for a, b in zip(ours, other):
            np.testing.assert_allclose(a.data, b.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(made.u, norm._u.numpy(), rtol=1e-12)
    np.testing.assert_allclose(made.v, norm._v.numpy(), rtol=1e-12)
    np.testing.assert_allclose(made.weight.grad, theirs.parametrizations.weight.original.grad.numpy(), rtol=1e-10)
    if bias:
        np.testing.assert_allclose(made.bias.grad, theirs.bias.grad.numpy(), rtol=1e-12)
    x = rng(5).standard_normal((3, 5))
    np.testing.assert_allclose(made.eval()(x).data, theirs.eval()(torch.tensor(x)).detach().numpy(), rtol=1e-12)


def test_the_gradient_is_the_one_of_the_paper():
    made = settled(layer()).eval()
    G = rng(6).standard_normal((7, 5))
    ops.sum(ops.multiply(made.normalised(), G)).backward()
    u, s, vt = np.linalg.svd(made.weight.data)
    inner = np.sum(G * made.weight.data) / s[0]
    np.testing.assert_allclose(made.weight.grad, (G - inner * np.outer(u[:, 0], vt[0])) / s[0], rtol=1e-8, atol=1e-10)


def test_a_penalty_on_the_input_gradient_agrees_with_finite_differences():
    net = nn.Sequential(layer(3, 6), nn.Activation("tanh"), layer(6, 1, seed=2))
    for each in net.layers[::2]:
        settled(each)
    net.eval()
    flat, points = net.flat(), rng(7).standard_normal((4, 3))

    def penalty():
        x = tensor(points, requires_grad=True)
        return ops.mean(ops.sum(ops.square(minigen.grad(ops.sum(net(x)), x, create_graph=True)), axis=1))

    net.zero_grad()
    penalty().backward(net.parameters())
    at, slopes = flat.data.copy(), flat.grad.copy()
    for seed in range(3):
        direction = rng(seed).standard_normal(at.shape)
        values = []
        for step in (1e-5, -1e-5):
            flat.data[...] = at + step * direction
            values.append(penalty().item())
        np.testing.assert_allclose(slopes @ direction, (values[0] - values[1]) / 2e-5, rtol=1e-6)


def test_a_compiled_step_moves_u_and_v_as_the_step_itself_does():
    net = nn.Sequential(nn.SpectralLinear(3, 8, rng=rng(1)), nn.Activation("relu"), nn.SpectralLinear(8, 1, rng=rng(2)))
    twin = copy.deepcopy(net)
    data = [rng(i).standard_normal((6, 3)).astype(np.float32) for i in range(12)]

    def training(module):
        adam = optim.Adam(module, 0.01)

        def step(x):
            adam.zero_grad()
            loss = ops.mean(ops.subtract(ops.square(module(x)), module(ops.multiply(x, 2.0))))
            loss.backward()
            adam.step()
            return loss

        return step

    compiled, plain = minigen.compile(training(net)), training(twin)
    for x in data:
        assert compiled(x).item() == plain(x).item()
    state = twin.state_dict()
    assert {"0.u", "0.v", "2.u", "2.v"} < state.keys()
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_eval_mode_does_not_move_it_and_the_state_brings_it_back():
    made, other = nn.SpectralLinear(4, 3, rng=rng(1)), nn.SpectralLinear(4, 3, rng=rng(2))
    x = rng(3).standard_normal((2, 4)).astype(np.float32)
    made.eval()
    before = made.state_dict()
    y = made(x).data
    for name, array in made.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    other.load_state_dict(before)
    np.testing.assert_array_equal(other.eval()(x).data, y)
    assert y.dtype == np.float32


def test_zero_weights_give_zeros():
    made = nn.SpectralLinear(4, 3, rng=rng(1), bias=False)
    made.weight = np.zeros((3, 4))
    y = made(np.ones((2, 4), np.float32))
    np.testing.assert_array_equal(y.data, 0)
    ops.sum(y).backward()
    assert np.isfinite(made.weight.grad).all()


def test_misuse():
    made = nn.SpectralLinear(4, 3, rng=rng(1))
    assert repr(made) == "SpectralLinear(4, 3)"
    with pytest.raises(ValueError, match=r"last axis is 4; got shape \(2, 5\)"):
        made(np.ones((2, 5), np.float32))
    with pytest.raises(TypeError, match="default_rng"):
        nn.SpectralLinear(4, 3, rng=0)


# The power iteration gets away from where it would stand still for ever

E3 = np.eye(3)
BLOCKS = np.zeros((5, 5))
BLOCKS[:2, :2], BLOCKS[2:, 2:] = [[3.0, 1.0], [0.0, 2.0]], 1.3 * np.ones((3, 3))  # sigma of the second: 3.9
STUCK = {
    "zero, then one": (np.zeros((3, 3)), E3),
    "zero, then tiny": (np.zeros((3, 3)), 1e-9 * E3),
    "another axis": (np.diag([2.0, 1.0, 0.5]), np.diag([1.0, 2.0, 0.5])),
    "what was the null space": (np.diag([1.0, 0.0, 0.0]), np.diag([0.0, 0.0, 1.0])),
    "rank one, orthogonal": (np.outer([1, 1, 0], [1, 1, 0]), np.outer([1, -1, 0], [1, -1, 0])),
    "a row alone": (np.diag([0.0, 3.0, 0.0]), np.outer([1, 0, 0], [1, 0, 1])),
    "the other block grows": (np.block([[BLOCKS[:2, :2], np.zeros((2, 3))], [np.zeros((3, 5))]]), BLOCKS),
    "a column dies": (np.array([[5.0, 1, 1], [5, 2, 1]]), np.array([[0.0, 1, 1], [0, 2, 1]])),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("before", "after"), STUCK.values(), ids=STUCK)
@pytest.mark.parametrize("how", ["trained", "assigned"])
def test_no_weights_leave_it_where_it_cannot_get_away(before, after, dtype, how):
    made = nn.SpectralLinear(before.shape[1], before.shape[0], rng=rng(1)).astype(dtype)
    made.weight = before
    for _ in range(200):
        made.normalised()
    if how == "trained":  # as an optimiser does: nobody is told
        made.weight.data[...] = after
    else:
        made.weight = after
    for _ in range(300):
        weight = made.normalised().data
    expected = after / np.linalg.svd(after)[1][0]
    np.testing.assert_allclose(weight, expected, atol=1e-5 if dtype == np.float32 else 1e-9)


def test_zero_initial_weights_are_normalised_once_they_are_not_zero():
    made = nn.SpectralLinear(3, 3, rng=rng(), initial=lambda shape, rng: np.zeros(shape, np.float32))
    made.weight = np.eye(3)
    np.testing.assert_allclose(made.eval().normalised().data, np.eye(3), atol=1e-6)


def test_a_start_in_the_null_space():
    made = nn.SpectralLinear(2, 2, rng=rng(), initial=lambda shape, rng: np.array([[1, -1], [2, -2]], np.float32))
    made.v[...] = 2**-0.5
    for _ in range(3):
        weight = made.normalised().data
    np.testing.assert_allclose(weight, np.array([[1, -1], [2, -2]]) / 10**0.5, atol=1e-6)
