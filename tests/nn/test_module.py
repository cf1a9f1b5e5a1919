"""Do a network's parameters stay one flat buffer, whatever is done to them? Are their names and states right?"""

import copy
import pickle

import numpy as np
import pytest

from minigen import Tensor, grad, nn, ops, optim, tensor
from minigen.tape import leaf


def make_rng(seed=0):
    return np.random.default_rng(seed)


def is_slice_of(part, whole):
    """Whether `part` is memory of `whole`, with no copy between."""
    return part.base is not None and np.shares_memory(part, whole)


def check_flat(module):
    """The flat vectors are contiguous, and the parameters' arrays are views of them one after the other."""
    flat, start = module.flat(), 0
    assert flat.data.flags.c_contiguous and flat.grad.flags.c_contiguous
    for p in module.parameters():
        stop = start + p.size
        for array, vector in ((p.data, flat.data), (p.grad, flat.grad)):
            assert array.flags.c_contiguous
            vector[start:stop] = np.arange(start, stop)
            np.testing.assert_array_equal(array.ravel(), np.arange(start, stop))
            array[...] = -1
            assert np.all(vector[start:stop] == -1)
            array[...] = make_rng(start).normal(size=array.shape)
        start = stop
    assert flat.data.shape == flat.grad.shape == (start,)
    return flat


class Pair(nn.Module):
    """Two networks of different shapes and a parameter of its own between them."""

    def __init__(self, seed=0):
        self.first = nn.MLP([2, 3, 4], rng=make_rng(seed))
        self.scale = tensor([[0.5, 1.5, -2.0, 1.0]], requires_grad=True)
        self.second = nn.MLP([4, 1], rng=make_rng(seed + 1))

    def forward(self, x):
        return self.second(ops.multiply(self.first(x), self.scale))


def train(module, optimizer, steps, seed=0):
    """Some steps on a fixed regression, and the losses on the way."""
    rng, losses = make_rng(seed), []
    for _ in range(steps):
        x = rng.normal(size=(8, 2)).astype(np.float32)
        loss = ops.mse(module(tensor(x)), np.sin(x[:, :1] + 2 * x[:, 1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# Names and state


def test_names_and_shapes_are_pytorchs():
    net = nn.Sequential(
        nn.Linear(3, 5, rng=make_rng()),
        nn.BatchNorm1d(5),
        nn.Activation("relu"),
        nn.Linear(5, 2, rng=make_rng(), bias=False),
    )
    assert {name: array.shape for name, array in net.state_dict().items()} == {
        "0.weight": (5, 3),
        "0.bias": (5,),
        "1.weight": (5,),
        "1.bias": (5,),
        "1.running_mean": (5,),
        "1.running_var": (5,),
        "1.num_batches_tracked": (),
        "3.weight": (2, 5),
    }
    assert list(net.named_parameters()) == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight"]


def test_state_dict_is_the_one_of_torch():
    torch = pytest.importorskip("torch")
    layers = [
        (nn.Linear(3, 5, rng=make_rng()), torch.nn.Linear(3, 5)),
        (nn.BatchNorm1d(5), torch.nn.BatchNorm1d(5)),
        (nn.Activation("tanh"), torch.nn.Tanh()),
        (nn.Dropout(0.1, rng=make_rng()), torch.nn.Dropout(0.1)),
        (nn.LayerNorm(5), torch.nn.LayerNorm(5)),
        (nn.Linear(5, 2, rng=make_rng(), bias=False), torch.nn.Linear(5, 2, bias=False)),
    ]
    ours, theirs = nn.Sequential(*(a for a, _ in layers)), torch.nn.Sequential(*(b for _, b in layers))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, array in ours.state_dict().items():
        other = theirs.state_dict()[name].numpy()
        assert array.shape == other.shape and array.dtype == other.dtype, name
    ours.load_state_dict(theirs.state_dict())
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, theirs.state_dict()[name].numpy())


def test_names_of_a_module_of_ones_own():
    expected = ["scale", "first.0.weight", "first.0.bias", "first.2.weight", "first.2.bias"]
    assert list(Pair().named_parameters()) == [*expected, "second.0.weight", "second.0.bias"]
    assert set(Pair().state_dict()) == set(Pair().named_parameters())


def test_state_dict_is_a_copy_and_comes_back():
    net, other = Pair(0), Pair(5)
    state = net.state_dict()
    other.load_state_dict(state)
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    state["scale"][...] = 7
    assert not np.any(net.scale.data == 7) and not np.any(other.scale.data == 7)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda state: state.pop("first.2.bias"), ValueError, ["first.2.bias", "missing"]),
        (lambda state: state.update(more=np.zeros(1)), ValueError, ["more", "unknown"]),
        (lambda state: state.update({"second.0.bias": np.zeros(3)}), ValueError, ["second.0.bias", "(1,)", "(3,)"]),
        (lambda state: state.update({"second.0.weight": np.zeros((4, 1))}), ValueError, ["(1, 4)", "(4, 1)"]),
        (lambda state: state.update({"second.0.bias": np.array(["a"])}), TypeError, ["second.0.bias", "<U1"]),
        (lambda state: state.update({"second.0.bias": np.array([None])}), TypeError, ["second.0.bias", "object"]),
        (lambda state: state.update({"second.0.bias": np.array([1j])}), TypeError, ["second.0.bias", "complex"]),
    ],
    ids=["missing", "unknown", "shape", "transposed", "text", "object", "complex"],
)
def test_a_wrong_state_changes_nothing(change, error, words):
    net, state = Pair(0), Pair(5).state_dict()
    change(state)
    before = net.state_dict()
    with pytest.raises(error) as caught:
        net.load_state_dict(state)
    assert all(word in str(caught.value) for word in words), caught.value
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


# The flat buffer


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_are_views_of_the_flat_vectors(dtype):
    net = Pair().astype(dtype)
    values = np.concatenate([p.data.ravel() for p in net.parameters()])
    flat = net.flat()
    np.testing.assert_array_equal(flat.data, values)
    assert flat.data.dtype == flat.grad.dtype == dtype and net.flat() is flat
    check_flat(net)


def test_views_stay_views_through_training():
    net = Pair()
    train(net, optim.Adam(net), 3)
    check_flat(net)
    net.load_state_dict(Pair(3).state_dict())
    net.scale = np.ones((1, 4))
    check_flat(net)


def test_flat_vectors_of_parts_are_slices_of_the_whole():
    net = Pair()
    whole = net.flat()
    for part in (net.first, net.second, net.first[0], net.first[2]):
        flat = part.flat()
        assert is_slice_of(flat.data, whole.data) and is_slice_of(flat.grad, whole.grad)
        flat.data[...] = 3
        assert all(np.all(p.data == 3) for p in part.parameters())
    assert net.flat() is whole  # asking for the parts moved nothing


def test_the_parts_flattened_first():
    net = Pair()
    values = [p.data.copy() for p in net.parameters()]
    first, second = net.first.flat(), net.second.flat()
    first.grad[...], second.grad[...] = 2, 3
    whole = net.flat()
    for p, value in zip(net.parameters(), values, strict=True):
        np.testing.assert_array_equal(p.data, value)
    assert np.all(net.first.flat().grad == 2) and np.all(net.second.flat().grad == 3)  # gradients moved along
    assert is_slice_of(net.first.flat().data, whole.data)
    check_flat(net)


def test_a_larger_network_built_around_a_part_that_is_being_trained():
    # The parameters move under the optimiser's feet; it must follow them.
    alone, moved = nn.MLP([2, 6, 1], rng=make_rng()), nn.MLP([2, 6, 1], rng=make_rng())
    expected = train(alone, optim.Adam(alone, lr=0.01), 10)
    optimizer = optim.Adam(moved, lr=0.01)
    losses = train(moved, optimizer, 5)
    around = nn.Sequential(nn.Linear(3, 2, rng=make_rng(1)), moved, nn.Linear(1, 1, rng=make_rng(2)))
    around.flat()
    rng = make_rng(0)
    for _ in range(5):
        rng.normal(size=(8, 2))
    for _ in range(5):
        x = rng.normal(size=(8, 2)).astype(np.float32)
        loss = ops.mse(moved(tensor(x)), np.sin(x[:, :1] + 2 * x[:, 1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == expected
    for a, b in zip(alone.parameters(), moved.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert is_slice_of(moved.flat().data, around.flat().data)


def test_two_networks_that_share_a_part_in_another_order():
    # Each asks for the parameters in its own order, so they move back and forth; values and gradients go along.
    a, b = nn.Linear(2, 3, rng=make_rng(0)), nn.Linear(3, 2, rng=make_rng(1))
    ab, ba = nn.Sequential(a, b), nn.Sequential(b, a)
    values = [p.data.copy() for p in ab.parameters()]
    for i, module in enumerate((ab, ba, ab, a, ba, b, ab)):
        flat = module.flat()
        flat.grad += 1
        for p, value in zip(ab.parameters(), values, strict=True):
            np.testing.assert_array_equal(p.data, value)
        np.testing.assert_array_equal(flat.data, np.concatenate([p.data.ravel() for p in module.parameters()]), f"{i}")
    assert np.all(a.weight.grad == 6) and np.all(b.bias.grad == 6)


def test_a_layer_attached_after_flattening_belongs_to_the_network():
    class Growing(nn.Module):
        def __init__(self):
            self.layers = (nn.Linear(2, 3, rng=make_rng(0)),)

        def children(self):
            return ((str(i), layer) for i, layer in enumerate(self.layers))

    net = nn.Module()
    net.a = nn.Linear(2, 3, rng=make_rng(0))
    assert net.flat().data.size == 9
    net.b = nn.Linear(3, 1, rng=make_rng(1))
    assert net.flat().data.size == 13
    net.a.shift = tensor([1.0, 2.0], requires_grad=True)  # one level down
    assert net.flat().data.size == 15
    net.b = nn.Linear(3, 2, rng=make_rng(1))
    assert net.flat().data.size == 19
    check_flat(net)

    growing = Growing()
    growing.flat()
    growing.layers = (*growing.layers, nn.Linear(3, 2, rng=make_rng(1)))
    assert growing.flat().data.size == 17


def test_an_optimiser_made_before_the_network_was_complete_says_so():
    net = nn.Module()
    net.a = nn.Linear(2, 3, rng=make_rng(0))
    optimizer, average = optim.SGD(net), optim.WeightAverage(net)
    average.update()
    net.b = nn.Linear(3, 1, rng=make_rng(1))
    with pytest.raises(ValueError, match=r"9 float32 parameters.*13"):
        optimizer.step()
    with pytest.raises(ValueError, match=r"9 parameters.*13"):
        average.update()
    with pytest.raises(ValueError, match=r"9 parameters.*13"), average.applied():
        pass


def test_caching_a_result_as_an_attribute_does_not_disturb():
    class Remembering(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(2, 1, rng=make_rng())

        def forward(self, x):
            self.last, self.shape = self.layer(x), x.shape
            return self.last

    net = Remembering()
    flat = net.flat()
    net(np.ones((3, 2), np.float32))
    assert net.flat() is flat and list(net.named_parameters()) == ["layer.weight", "layer.bias"]


# What users do to parameters


def test_assigning_copies():
    layer = nn.Linear(2, 3, rng=make_rng())
    flat, weight = layer.flat(), layer.weight
    given = np.arange(6.0).reshape(3, 2)
    layer.weight = given
    assert layer.weight is weight and layer.flat() is flat
    given[0, 0] = 100
    np.testing.assert_array_equal(flat.data[:6], np.arange(6))
    layer.weight = tensor(given)
    assert flat.data[0] == 100
    layer.weight = layer.weight.data[::-1]  # from itself
    np.testing.assert_array_equal(layer.weight.data, given[::-1])
    layer.bias = layer.bias * 0.0 + 2.0  # from a result on the tape
    np.testing.assert_array_equal(layer.bias.data, [2, 2, 2])
    layer.bias = tensor(np.ones(3), requires_grad=True)
    assert layer.bias.data.dtype == np.float32 and layer.flat() is flat
    check_flat(layer)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.zeros((2, 3)), ValueError, ["Linear.weight", "(3, 2)", "(2, 3)"]),
        (np.zeros((1, 2)), ValueError, ["(3, 2)", "(1, 2)"]),
        (1.0, ValueError, ["(3, 2)", "()"]),
        (None, ValueError, ["(3, 2)", "()"]),
        (np.full((3, 2), 1j), TypeError, ["Linear.weight", "complex"]),
        (np.full((3, 2), "a"), TypeError, ["Linear.weight", "<U1"]),
    ],
)
def test_assigning_what_does_not_fit_changes_nothing(value, error, words):
    layer = nn.Linear(2, 3, rng=make_rng())
    before, weight = layer.weight.data.copy(), layer.weight
    with pytest.raises(error) as caught:
        layer.weight = value
    assert all(word in str(caught.value) for word in words), caught.value
    assert layer.weight is weight
    np.testing.assert_array_equal(layer.weight.data, before)


def disturbances():
    """Things that users of other libraries do to a parameter, none of which changes its values or its gradient's."""

    def rebind_data(p):
        p.data = p.data.copy()

    def rebind_transposed_twice(p):
        p.data = np.ascontiguousarray(p.data.T).T  # same values, other order in memory

    def drop_gradient(p):
        p.grad = None

    def rebind_gradient(p):
        p.grad = np.zeros_like(p.data)

    def gradient_as_tensor(p):
        p.grad = Tensor(np.zeros_like(p.data))

    return [rebind_data, rebind_transposed_twice, drop_gradient, rebind_gradient, gradient_as_tensor]


@pytest.mark.parametrize("which", [0, 1, 5])
@pytest.mark.parametrize("disturb", disturbances(), ids=lambda function: function.__name__)
def test_the_optimiser_follows_a_parameter_that_was_rebound(disturb, which):
    calm, disturbed = Pair(), Pair()
    expected = train(calm, optim.Adam(calm, lr=0.01), 6)
    optimizer, rng = optim.Adam(disturbed, lr=0.01), make_rng(0)
    losses = []
    for _ in range(6):
        x = rng.normal(size=(8, 2)).astype(np.float32)
        disturb(disturbed.parameters()[which])
        optimizer.zero_grad()
        loss = ops.mse(disturbed(tensor(x)), np.sin(x[:, :1] + 2 * x[:, 1:]))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == expected
    check_flat(disturbed)


def test_a_square_weight_rebound_to_its_transpose():
    # It starts at the same address and has the same size, so only its strides tell that it is not in the flat order.
    layer = nn.Linear(2, 2, rng=make_rng())
    flat = layer.flat()
    expected = layer.weight.data.T.copy()
    layer.weight.data = layer.weight.data.T
    np.testing.assert_array_equal(layer.flat().data[:4], expected.ravel())
    assert layer.flat() is not flat
    check_flat(layer)


def test_a_gradient_put_in_by_hand_is_used():
    layer = nn.Linear(2, 3, rng=make_rng())
    optimizer = optim.SGD(layer, lr=0.5)
    before, given = layer.weight.data.copy(), make_rng(1).normal(size=(3, 2)).astype(np.float32)
    layer.weight.grad = given
    optimizer.step()
    np.testing.assert_allclose(layer.weight.data, before - 0.5 * given, rtol=1e-6)
    (by_weight,) = grad(ops.sum(layer(tensor([[1.0, 2.0]]))), [layer.weight])
    optimizer.zero_grad()
    before = layer.weight.data.copy()
    layer.weight.grad = by_weight  # a tensor, as grad() gives it
    optimizer.step()
    np.testing.assert_allclose(layer.weight.data, before - 0.5 * np.array([[1, 2]] * 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: setattr(p, "data", np.zeros((4, 2), np.float32)), ["(4, 2)", "(3, 2)"]),
        (lambda p: setattr(p, "grad", np.zeros((2, 3), np.float32)), ["(3, 2)", "(2, 3)"]),
    ],
    ids=["data", "gradient"],
)
def test_rebinding_to_another_shape_is_an_error(change, words):
    layer = nn.Linear(2, 3, rng=make_rng())
    optimizer = optim.Adam(layer)
    with pytest.raises(ValueError) as caught:
        change(layer.weight)
        optimizer.step()
    assert all(word in str(caught.value) for word in words), caught.value


def test_rebinding_to_another_dtype_is_an_error():
    layer = nn.Linear(2, 3, rng=make_rng())
    optimizer = optim.Adam(layer)
    layer.weight.data = layer.weight.data.astype(np.float64)
    with pytest.raises(TypeError, match=r"float32 and float64.*astype"):
        optimizer.step()


def test_no_parameters_at_all():
    with pytest.raises(TypeError, match="needs parameters"):
        optim.Adam(nn.Activation("tanh"))
    assert nn.Sequential().state_dict() == {}


# A layer used twice


def test_a_shared_layer_counts_once_and_gets_both_gradients():
    shared = nn.Linear(3, 3, rng=make_rng())
    net = nn.Sequential(shared, nn.Activation("tanh"), shared)
    assert list(net.named_parameters()) == ["0.weight", "0.bias"] and net.flat().data.size == 12
    assert set(net.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}  # as PyTorch does

    x = make_rng(1).normal(size=(4, 3)).astype(np.float32)
    net.zero_grad()
    ops.sum(ops.square(net(tensor(x)))).backward()

    w, b, x = (np.float64(a) for a in (shared.weight.data, shared.bias.data, x))
    h = np.tanh(x @ w.T + b)
    g = 2 * (h @ w.T + b)
    inner = (g @ w) * (1 - h**2)
    np.testing.assert_allclose(shared.weight.grad, g.T @ h + inner.T @ x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shared.bias.grad, g.sum(0) + inner.sum(0), rtol=1e-4, atol=1e-5)


def test_a_shared_layer_trains_and_converts_once():
    shared = nn.Linear(2, 2, rng=make_rng())
    net = nn.Sequential(shared, nn.Activation("tanh"), shared, nn.Linear(2, 1, rng=make_rng(1)))
    optimizer = optim.SGD(net, lr=0.1)
    net.zero_grad()
    ops.sum(net(tensor([[1.0, 2.0]]))).backward()
    before, gradient = shared.weight.data.copy(), shared.weight.grad.copy()
    optimizer.step()
    np.testing.assert_allclose(shared.weight.data, before - 0.1 * gradient, rtol=1e-6)
    net.astype(np.float64)
    assert net.flat().data.dtype == np.float64 and net[0].weight is net[2].weight
    check_flat(net)


# Modes and dtypes


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_a_network_of_its_own(duplicate):
    net = nn.MLP([2, 3, 1], "tanh", rng=make_rng())
    net.flat()
    twin = duplicate(net)
    before = net.flat().data.copy()
    check_flat(twin)
    twin.flat().data[...] += 1
    np.testing.assert_array_equal(net.flat().data, before)
    assert twin(np.ones((1, 2), np.float32)).item() != net(np.ones((1, 2), np.float32)).item()
    # One loss of both: each has its own gradient.
    x = np.array([[0.3, -0.7]], np.float32)
    together = grad((net(x) - 2 * twin(x)).sum(), [net[0].weight, twin[0].weight])
    for one, expected in zip(together, (grad(net(x).sum(), net[0].weight), grad(-2 * twin(x).sum(), twin[0].weight))):
        np.testing.assert_allclose(one.data, expected.data, rtol=1e-6)


def test_train_and_eval_reach_every_level():
    net = nn.Sequential(nn.Sequential(nn.Dropout(0.5, rng=make_rng())), nn.BatchNorm1d(2))
    assert net.eval() is net
    assert not any(module.training for _, module in net.modules())
    assert net.train() is net
    assert all(module.training for _, module in net.modules())


def test_astype_converts_parameters_and_float_buffers():
    net = nn.Sequential(nn.Linear(2, 3, rng=make_rng()), nn.BatchNorm1d(3), nn.LayerNorm(3))
    values = net.state_dict()
    assert net.astype(np.float64) is net
    for name, array in net.state_dict().items():
        assert array.dtype == (np.int64 if name.endswith("tracked") else np.float64)
        np.testing.assert_array_equal(array, values[name])
    x = tensor(make_rng(1).normal(size=(5, 2)))
    y = net(x)
    assert y.dtype == np.float64 and net[1].running_mean.dtype == np.float64
    ops.sum(y).backward()
    assert all(p.grad.dtype == np.float64 for p in net.parameters())
    check_flat(net)
    assert net.astype("float32")(x.data).dtype == np.float32
    for bad in (np.float16, np.int64, complex):
        with pytest.raises(TypeError, match="float32 or float64"):
            net.astype(bad)


def test_an_optimiser_made_before_astype_says_so():
    net = Pair()
    optimizer = optim.Adam(net)
    net.astype(np.float64)
    with pytest.raises(ValueError, match=r"float32 parameters.*float64"):
        optimizer.step()


def test_mixed_dtypes_are_refused():
    net = Pair()
    net.first.astype(np.float64)
    with pytest.raises(TypeError, match=r"float32 and float64.*astype"):
        net.flat()


# Gradients


def test_backward_adds_up_until_zeroed():
    net = Pair()
    x = make_rng(1).normal(size=(4, 2)).astype(np.float32)
    net.zero_grad()
    ops.sum(net(tensor(x))).backward()
    once = net.flat().grad.copy()
    ops.sum(net(tensor(x))).backward()
    np.testing.assert_allclose(net.flat().grad, 2 * once, rtol=1e-6)
    net.zero_grad()
    assert not net.flat().grad.any()


def test_backward_before_the_first_flat_is_kept():
    net = Pair()
    x = make_rng(1).normal(size=(4, 2)).astype(np.float32)
    ops.sum(net(tensor(x))).backward()
    alone = [p.grad.copy() for p in net.parameters()]
    np.testing.assert_array_equal(net.flat().grad, np.concatenate([g.ravel() for g in alone]))


@pytest.mark.parametrize(
    "change",
    [
        lambda net: optim.SGD(net, lr=0.1).step(),
        lambda net: net.load_state_dict(net.state_dict()),
        lambda net: setattr(net, "scale", np.ones((1, 4))),
    ],
    ids=["optimiser", "load_state_dict", "assignment"],
)
def test_a_graph_older_than_the_weights_says_so(change):
    net = Pair()
    net.zero_grad()
    loss = ops.sum(ops.square(net(tensor([[1.0, 2.0]]))))
    change(net)
    with pytest.raises(ValueError, match=r"changed after.*compute the loss again"):
        loss.backward()
    ops.sum(ops.square(net(tensor([[1.0, 2.0]])))).backward()


def test_moving_into_a_larger_buffer_does_not_spoil_a_graph():
    # Only the place changes, not the values: the sweep is still right.
    net = Pair()
    loss = ops.sum(ops.square(net(tensor([[1.0, 2.0]]))))
    expected = [g.data for g in grad(loss, net.parameters())]
    nn.Sequential(nn.Linear(1, 2, rng=make_rng()), net).flat()
    net.zero_grad()
    loss.backward()
    for p, g in zip(net.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, g)


def test_a_module_without_forward_says_what_is_missing():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty.*forward"):
        Empty()(1)


def test_constants_are_no_parameters():
    net = nn.Module()
    net.constant, net.result = tensor([1.0]), leaf(np.ones(2, np.float32)) * 2.0
    net.weight = leaf(np.ones(2, np.float32))
    assert list(net.named_parameters()) == ["weight"]
