"""Are modules and parameters found wherever a module keeps them, and refused where they would not be?"""

import copy
import pickle
from collections import OrderedDict, UserList, defaultdict, deque, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

import minigen
from minigen import nn, ops, optim, storage, tensor


def rng(seed=0):
    return np.random.default_rng(seed)


def linear(n_in=2, n_out=2, seed=0, **settings):
    return nn.Linear(n_in, n_out, rng=rng(seed), **settings)


def parameter(*values):
    return tensor(np.array(values, np.float32), requires_grad=True)


class Nested(nn.Module):
    """Something on every level: 2 blocks of 2, a dict of a list, a tuple, loose parameters in a list and a dict."""

    def __init__(self, seed=0):
        r = rng(seed)
        self.blocks = [[nn.Linear(2, 3, rng=r), nn.Dropout(0.5, rng=rng(9))], [nn.Linear(3, 2, rng=r)]]
        self.d = {"a": nn.Linear(2, 2, rng=r), "b": [nn.BatchNorm1d(2)]}
        self.pair = (nn.Linear(2, 2, rng=r, bias=False), None)
        self.ws = [parameter(1.0, 2.0), [parameter(0.5)]]
        self.scales = {"out": parameter(2.0)}
        self.out = nn.Linear(2, 1, rng=r)

    def forward(self, x):
        x = self.blocks[0][1](ops.tanh(self.blocks[0][0](x)))
        x = self.d["b"][0](self.d["a"](self.blocks[1][0](x))) * self.ws[0] + self.ws[1][0]
        return self.out(self.pair[0](x)) * self.scales["out"]


NAMES = {
    "blocks.0.0.weight", "blocks.0.0.bias", "blocks.1.0.weight", "blocks.1.0.bias", "d.a.weight", "d.a.bias",
    "d.b.0.weight", "d.b.0.bias", "pair.0.weight", "ws.0", "ws.1.0", "scales.out", "out.weight", "out.bias",
}  # fmt: skip


def test_all_are_found_under_pytorchs_names():
    torch = pytest.importorskip("torch")
    net = Nested()
    assert set(net.named_parameters()) == NAMES
    assert net.flat().data.size == sum(p.size for p in net.parameters()) == 6 + 3 + 6 + 2 + 6 + 4 + 4 + 2 + 1 + 1 + 3

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            t = torch.nn
            self.blocks = t.ModuleList([t.ModuleList([t.Linear(2, 3), t.Dropout()]), t.ModuleList([t.Linear(3, 2)])])
            self.d = t.ModuleDict({"a": t.Linear(2, 2), "b": t.ModuleList([t.BatchNorm1d(2)])})
            self.out = t.Linear(2, 1)

    ours = {name: a.shape for name, a in net.state_dict().items() if name.split(".")[0] in ("blocks", "d", "out")}
    assert ours == {name: tuple(t.shape) for name, t in Theirs().state_dict().items()}


def test_all_are_trained_switched_and_cast():
    net = Nested()
    x = rng(1).standard_normal((16, 2)).astype(np.float32)
    before = net.state_dict()
    adam = optim.Adam(net, 0.01)
    adam.zero_grad()
    loss = ops.mean(ops.square(net(x) - 1.0))
    loss.backward()
    adam.step()
    unchanged = [name for name in NAMES if np.array_equal(net.state_dict()[name], before[name])]
    # A bias before a batch normalisation has no gradient but for rounding.
    assert set(unchanged) <= {"d.a.bias", "blocks.1.0.bias"}

    net.eval()
    assert not net.blocks[0][1].training and not net.d["b"][0].training
    np.testing.assert_array_equal(net(x).data, net(x).data)
    net.train()
    assert net.blocks[0][1].training and net.d["b"][0].training

    net.astype(np.float64)
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.d["b"][0].running_mean.dtype == np.float64 and net.eval()(x.astype(np.float64)).dtype == np.float64


def test_the_gradient_by_every_one_of_them_agrees_with_finite_differences():
    net = Nested().astype(np.float64).eval()
    x = rng(1).standard_normal((5, 2))
    flat = net.flat()
    net.zero_grad()
    ops.sum(ops.square(net(x))).backward()
    at, direction = flat.data.copy(), rng(2).standard_normal(flat.data.size)
    slope, values = flat.grad @ direction, []
    for step in (1e-6, -1e-6):
        flat.data[...] = at + step * direction
        values.append(ops.sum(ops.square(net(x))).item())
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_all_are_copied(again):
    net = Nested()
    net.flat()
    twin = again(net)
    twin.flat().data = 0.0
    assert all(not np.any(p.data) for p in twin.parameters()) and set(twin.named_parameters()) == NAMES
    assert all(np.any(p.data) for name, p in net.named_parameters().items() if name.endswith("weight"))


def test_all_are_saved_and_loaded(tmp_path):
    net, other = Nested(0), Nested(1)
    storage.save(tmp_path / "w.npz", net)
    storage.load_weights(tmp_path / "w.npz", other)
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array)


# Changed afterwards


class Stack(nn.Module):
    def __init__(self):
        self.layers, self.named, self.loose = [], {}, [parameter(1.0)]

    def forward(self, x):
        for layer in [*self.layers, *self.named.values()]:
            x = layer(x)
        return x * self.loose[0]


CHANGES = {
    "append": (lambda net: net.layers.append(linear()), 1 + 6),
    "extend": (lambda net: net.layers.extend([linear(), linear(seed=1)]), 1 + 12),
    "in a list in the list": (lambda net: net.layers.append([linear()]), 1 + 6),
    "by key": (lambda net: net.named.update(a=linear()), 1 + 6),
    "by key in a dict in the dict": (lambda net: net.named.setdefault("a", {}).update(b=linear()), 1 + 6),
    "a parameter": (lambda net: net.loose.append(parameter(1.0, 2.0)), 1 + 2),
    "in place of another": (lambda net: net.loose.__setitem__(0, parameter(1.0, 2.0, 3.0)), 3),
    "taken out": (lambda net: net.loose.pop() and net.layers.append(linear()), 6),
    "another list": (lambda net: setattr(net, "loose", [parameter(1.0, 2.0)]), 2),
    "deleted": (lambda net: net.layers.append(linear()) or delattr(net, "loose"), 6),
    "set to None": (lambda net: net.layers.append(linear()) or setattr(net, "loose", None), 6),
    "a list made later": (lambda net: setattr(net, "late", []) or (net.flat() and net.late.append(linear())), 1 + 6),
}


@pytest.mark.parametrize(("change", "size"), CHANGES.values(), ids=CHANGES)
def test_what_is_added_after_the_first_use_is_found(change, size):
    net = Stack()
    assert net.flat().data.size == 1
    change(net)
    assert net.flat().data.size == sum(p.size for p in net.parameters()) == size
    assert all(np.shares_memory(p.data, net.flat().data) for p in net.parameters())


def test_an_optimiser_that_was_made_before_says_so():
    net = Stack()
    adam = optim.Adam(net)
    net.layers.append(linear(1, 1))
    with pytest.raises(ValueError, match=r"1 float32 parameters.*3|3 .*parameters.*1"):
        adam.step()


def test_a_list_that_stays_as_it_is_costs_no_new_buffer():
    net = Stack()
    net.layers.extend([linear(), None, 3.0])
    assert net.flat() is net.flat()


def test_a_list_of_numbers_that_grows_disturbs_nothing():
    net = Stack()
    data, adam = net.flat().data, optim.Adam(net, 0.1)
    net.history = []
    for _ in range(3):
        adam.zero_grad()
        loss = ops.sum(net(np.ones((1, 2), np.float32)))
        loss.backward()
        adam.step()
        net.history.append(loss.item())
    assert np.shares_memory(net.flat().data, data) and net.history[0] > net.history[2]


def test_a_subclass_of_sequential_may_have_more_than_its_layers():
    class WithHead(nn.MLP):
        def __init__(self):
            super().__init__([2, 3, 2], rng=rng())
            self.head, self.scale = linear(2, 1), parameter(2.0)

    assert list(WithHead().state_dict()) == [
        "scale", "0.weight", "0.bias", "2.weight", "2.bias", "head.weight", "head.bias",
    ]  # fmt: skip


# Shared and circular


def test_a_shared_parameter_counts_once_and_gets_both_gradients():
    net, shared = nn.Module(), parameter(3.0)
    net.ws, net.d = [shared, shared], {"a": shared}
    assert list(net.named_parameters()) == ["ws.0"] and net.flat().data.size == 1
    net.zero_grad()
    ops.sum(net.ws[0] * net.ws[1] * net.d["a"]).backward()
    assert shared.grad.item() == pytest.approx(3 * 9)
    net.astype(np.float64)
    assert net.ws[0] is net.d["a"] and shared.dtype == np.float64


def test_a_shared_layer_in_two_lists_counts_once():
    net, shared = nn.Module(), linear()
    net.a, net.b = [shared], ([shared],)
    assert list(net.named_parameters()) == ["a.0.weight", "a.0.bias"]
    assert set(net.state_dict()) == {"a.0.weight", "a.0.bias", "b.0.0.weight", "b.0.0.bias"}  # as PyTorch does


def circular(how):
    net, child = nn.Module(), nn.Module()
    net.child = child
    how(net, child)
    return net


@pytest.mark.parametrize(
    "how",
    [
        lambda net, child: setattr(net, "me", net),
        lambda net, child: setattr(net, "me", [[net]]),
        lambda net, child: setattr(child, "parent", net),
        lambda net, child: setattr(child, "parents", {"a": (net,)}),
    ],
)
def test_a_module_that_would_hold_itself_is_refused_and_left_as_it_was(how):
    made = []

    def keep(net, child):
        made.append((net, child))
        how(net, child)

    with pytest.raises(ValueError, match="holds itself"):
        circular(keep)
    assert list(dict(made[0][0].modules())) == ["", "child"]


def test_a_circle_made_behind_its_back_is_refused_when_it_is_met():
    net = Stack()
    net.layers.append(net)
    for use in (net.parameters, net.eval, net.state_dict, net.flat):
        with pytest.raises(ValueError, match=r"layers\.0 is a module that holds itself"):
            use()
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="list that holds itself"):
        net.loop = loop


# Where they would not be found


class Box:
    """A container of one's own."""

    def __init__(self, *entries):
        self.entries = list(entries)

    def __iter__(self):
        return iter(self.entries)


HIDDEN = {
    "a set": lambda: {linear()},
    "a frozenset": lambda: frozenset([linear()]),
    "a set of parameters": lambda: {parameter(1.0)},
    "a deque": lambda: deque([linear()]),
    "the values of a dict": lambda: {"a": linear()}.values(),
    "a read-only dict": lambda: MappingProxyType({"a": linear()}),
    "an array of objects": lambda: np.array([linear(), None], object),
    "a container of one's own": lambda: Box(linear()),
    "a UserList": lambda: UserList([linear()]),
    "a set in a list": lambda: [1, {linear()}],
    "a list in a container": lambda: Box([{"a": linear()}]),
    "a dict by number": lambda: {0: linear()},
    "a dict by a name with a dot": lambda: {"a.b": linear()},
    "a dict by the empty name": lambda: {"": linear()},
    "a dict by number, deep down": lambda: {"a": [{1: [linear()]}]},
    "a generator": lambda: (linear() for _ in range(2)),
    "a map": lambda: map(linear, [2], [2]),
    "an iterator": lambda: iter([linear()]),
}


@pytest.mark.parametrize("make", HIDDEN.values(), ids=HIDDEN)
def test_what_would_not_be_found_is_refused_where_it_is_assigned(make):
    net = nn.Module()
    with pytest.raises(TypeError, match=r"Module\.hidden.*(list|names)"):
        net.hidden = make()
    assert not hasattr(net, "hidden")


def test_what_would_not_be_found_is_refused_when_it_comes_later():
    net = Stack()
    net.layers.append({linear()})
    with pytest.raises(TypeError, match=r"layers\.0 got a set that holds modules"):
        net.flat()


HARMLESS = {
    "a set of names": {"a", "b"},
    "a dict by number": {0: 1.0, (1, 2): "x"},
    "a deque of numbers": deque([1.0, 2.0]),
    "an array of objects": np.array(["a", None], object),
    "a range": range(3),
    "a container of one's own": Box(1, 2),
    "a generator of random numbers": rng(),
    "a function": np.sin,
    "a constant": tensor([1.0]),
    "a table": {"x": np.ones(3), "y": [1, 2]},
}


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
def test_what_holds_no_modules_may_be_kept(value):
    net = nn.Module()
    net.kept = value
    assert net.kept is value and net.named_parameters() == {} and list(dict(net.modules())) == [""]


def test_an_optimiser_or_model_that_knows_the_network_may_be_kept():
    net = Stack()
    net.adam = optim.Adam(net)
    assert list(net.named_parameters()) == ["loose.0"]


def test_dicts_and_tuples_of_every_kind():
    Both = namedtuple("Both", "a b")
    net = nn.Module()
    net.o, net.t = OrderedDict(x=linear(bias=False)), Both(linear(bias=False), 1)
    net.f = defaultdict(list, x=[linear(bias=False)])
    assert list(net.named_parameters()) == ["o.x.weight", "t.0.weight", "f.x.0.weight"]


def test_layers_of_the_class_and_slots_are_refused():
    with pytest.raises(TypeError, match=r"Shared\.layers belongs to the class.*self\.layers"):

        class Shared(nn.Module):
            layers = [linear()]  # noqa: RUF012

    with pytest.raises(TypeError, match="Slotted has __slots__"):

        class Slotted(nn.Module):
            __slots__ = ("layer",)


def test_a_name_with_a_dot_is_refused():
    with pytest.raises(TypeError, match="without dots"):
        setattr(nn.Module(), "a.b", linear())


def test_a_buffer_made_by_arithmetic_stays_an_array():
    class Counting(nn.Module):
        buffer_names = ("total",)

        def __init__(self):
            self.total = np.zeros(())

        def forward(self, x):
            self.total = self.total + 1.0  # NumPy makes this a number, into which no state could be loaded
            return x

    net = Counting()
    net(1.0)
    assert net.state_dict()["total"] == 1.0
    net.load_state_dict({"total": 5.0})
    assert net.total == 5.0


def test_generators_in_lists_have_names():
    net, draw = nn.Module(), rng()
    net.draws, net.rng = {"a": [draw]}, draw
    assert [name for name, value in net.attributes() if isinstance(value, np.random.Generator)] == ["draws.a.0", "rng"]


def test_a_compiled_step_trains_what_is_in_lists():
    nets = [Nested(), Nested()]
    for net in nets:
        net.blocks[0][1] = nn.Activation("relu")
        net.pair = (linear(), None)
    x = rng(1).standard_normal((16, 2)).astype(np.float32)
    losses = []
    for net, wrap in zip(nets, (minigen.compile, lambda step: step)):
        adam = optim.Adam(net, 0.01)

        def step(x, net=net, adam=adam):
            adam.zero_grad()
            loss = ops.mean(ops.square(net(x) - 1.0))
            loss.backward()
            adam.step()
            return loss

        run = wrap(step)
        losses.append([run(x).item() for _ in range(8)])
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]
