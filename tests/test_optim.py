"""Do the optimisers take the steps of their papers, and do schedules, clipping and averaging do what they promise?"""

import copy
import math
import pickle
import threading
from fractions import Fraction

import numpy as np
import pytest

import minigen
from minigen import nn, ops, optim, tensor
from minigen.tape import leaf


def make_rng(seed=0):
    return np.random.default_rng(seed)


class Weights(nn.Module):
    """Two parameters and a loss with a known gradient: sum of w^4 / 4 - c w, whose gradient is w^3 - c."""

    def __init__(self, dtype=np.float64):
        self.a = leaf(make_rng(1).normal(size=(3, 2)).astype(dtype))
        self.b = leaf(make_rng(2).normal(size=4).astype(dtype))
        self.c = make_rng(3).normal(size=10).astype(dtype)

    def forward(self):
        terms = zip((self.a, self.b), (self.c[:6].reshape(3, 2), self.c[6:]), strict=True)
        return sum(ops.sum(w**4) * 0.25 - ops.sum(w * c) for w, c in terms)


# Every optimiser once more, in float64, from its paper. g is the gradient, t the number of the step, s its memory.


def reference_sgd(w, g, t, s, lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * (g + momentum * s["v"] if nesterov else s["v"])


def reference_rmsprop(w, g, t, s, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    s["n"] = alpha * s.get("n", 0) + (1 - alpha) * g * g
    return w - lr * g / (np.sqrt(s["n"]) + eps)


def reference_adam(w, g, t, s, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    return w - lr * (s["m"] / (1 - betas[0] ** t)) / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def reference_adamw(w, g, t, s, lr=1e-3, weight_decay=0.01, **settings):
    return reference_adam(w, g, t, s, lr=lr, **settings) - lr * weight_decay * w


CASES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True}),
    ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"weight_decay": 0.3}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.03, "alpha": 0.9, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.01, "weight_decay": 0.3}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.5, 0.9), "eps": 1e-4}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.2}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.2, "betas": (0.3, 0.99)}),
]
cases = pytest.mark.parametrize(("kind", "settings"), CASES, ids=[f"{k}-{'-'.join(s) or 'default'}" for k, s in CASES])
REFERENCES = {"SGD": reference_sgd, "RMSprop": reference_rmsprop, "Adam": reference_adam, "AdamW": reference_adamw}


@cases
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_steps_are_those_of_the_paper(kind, settings, dtype, tolerance):
    net, rng = Weights(dtype), make_rng(4)
    optimizer = getattr(optim, kind)(net, **settings)
    w, memory = net.flat().data.astype(np.float64), {}
    for t in range(1, 31):
        g = (rng.normal(size=10) * 10.0 ** rng.uniform(-3, 1, 10)).astype(dtype)
        w = REFERENCES[kind](w, g.astype(np.float64), t, memory, **settings)
        net.flat().grad[...] = g
        optimizer.step()
        np.testing.assert_allclose(net.flat().data, w, rtol=tolerance, atol=tolerance)
        assert net.a.data.dtype == dtype and optimizer.steps == t


def torch_twin(net):
    """The same MLP in PyTorch, with the same weights."""
    torch = pytest.importorskip("torch")
    layers = []
    for layer in net:
        if isinstance(layer, nn.Linear):
            layers.append(torch.nn.Linear(*layer.weight.shape[::-1]))
        else:
            layers.append({"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[layer.name]())
    twin = torch.nn.Sequential(*layers)
    net.load_state_dict(twin.state_dict())
    return twin


@cases
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_trajectory_is_that_of_torch(kind, settings, activation):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = nn.MLP([3, 16, 16, 2], activation, rng=make_rng())
    twin = torch_twin(net)
    theirs = {name: value for name, value in {"lr": None, **settings}.items() if value is not None}
    if kind == "SGD":
        theirs.setdefault("lr", 0.01)
    ours, theirs = getattr(optim, kind)(net, **settings), getattr(torch.optim, kind)(twin.parameters(), **theirs)
    rng = make_rng(5)
    for _ in range(20):
        x, y = rng.normal(size=(32, 3)).astype(np.float32), rng.normal(size=(32, 2)).astype(np.float32)
        output, output_ = net(tensor(x)), twin(torch.tensor(x))
        np.testing.assert_allclose(output.data, output_.detach().numpy(), atol=1e-5)
        ours.zero_grad(), theirs.zero_grad()
        ops.mse(output, y).backward()
        torch.nn.functional.mse_loss(output_, torch.tensor(y)).backward()
        for p, p_ in zip(net.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.grad, p_.grad.numpy(), atol=1e-5)
        ours.step(), theirs.step()
        for p, p_ in zip(net.parameters(), twin.parameters(), strict=True):
            np.testing.assert_allclose(p.data, p_.detach().numpy(), atol=1e-5)


def test_an_mlp_with_adam_is_what_its_formulas_say():
    """Outputs, gradients and 20 steps of Adam against back-propagation written out in float64; needs no PyTorch."""
    net = nn.MLP([3, 16, 2], "tanh", rng=make_rng())
    optimizer = optim.Adam(net, lr=0.01)
    w1, b1, w2, b2 = (p.data.astype(np.float64) for p in net.parameters())
    memories, rng = [{}, {}, {}, {}], make_rng(5)
    for t in range(1, 21):
        x, y = rng.normal(size=(32, 3)).astype(np.float32), rng.normal(size=(32, 2)).astype(np.float32)
        h = np.tanh(x @ w1.T + b1)
        output = h @ w2.T + b2
        g = 2 * (output - y) / output.size
        inner = (g @ w2) * (1 - h * h)
        gradients = [inner.T @ x, inner.sum(0), g.T @ h, g.sum(0)]

        prediction = net(tensor(x))
        optimizer.zero_grad()
        ops.mse(prediction, y).backward()
        optimizer.step()
        np.testing.assert_allclose(prediction.data, output, atol=1e-5)
        updated = []
        for w, gradient, memory in zip([w1, b1, w2, b2], gradients, memories, strict=True):
            updated.append(reference_adam(w, gradient, t, memory, lr=0.01))
        w1, b1, w2, b2 = updated
        for p, gradient, w in zip(net.parameters(), gradients, updated, strict=True):
            np.testing.assert_allclose(p.grad, gradient, atol=1e-5)
            np.testing.assert_allclose(p.data, w, atol=1e-5)


@cases
def test_a_saved_state_goes_on_as_if_never_stopped(kind, settings):
    def steps(net, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            net().backward()
            optimizer.step()

    whole, resumed = Weights(np.float32), Weights(np.float32)
    first, second = getattr(optim, kind)(whole, **settings), getattr(optim, kind)(resumed, **settings)
    steps(whole, first, 5)
    resumed.load_state_dict(whole.state_dict())
    state = first.state_dict()
    second.load_state_dict(state)
    for value in state.values():
        value[...] = 0  # a copy both ways
    steps(whole, first, 5)
    steps(resumed, second, 5)
    np.testing.assert_array_equal(whole.flat().data, resumed.flat().data)
    assert first.steps == second.steps == 10


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("square"), ["Adam", "square"]),
        (lambda state: state.update(velocity=np.zeros(10)), ["velocity"]),
        (lambda state: state.update(square=np.zeros(9)), ["square", "(10,)", "(9,)"]),
        (lambda state: state.update(square=np.full(10, "a")), ["'a'"]),
        (lambda state: state.update(steps=np.array(2.5)), ["steps", "2.5"]),
        (lambda state: state.update(steps=-1), ["steps", "-1"]),
        (lambda state: state.update(steps=np.array([1, 2])), ["steps"]),
        (lambda state: state.update(steps="many"), ["steps", "many"]),
    ],
)
def test_a_wrong_state_changes_nothing(change, words):
    net = Weights()
    optimizer = optim.Adam(net)
    net().backward()
    optimizer.step()
    before, state = optimizer.state_dict(), {**optimizer.state_dict(), "mean": np.ones(10)}
    change(state)
    with pytest.raises(ValueError) as caught:
        optimizer.load_state_dict(state)
    assert all(word in str(caught.value) for word in words), caught.value
    for name, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda net: optim.SGD(net, lr=0.0), ["lr=0.0", "positive"]),
        (lambda net: optim.Adam(net, lr=-1), ["lr=-1"]),
        (lambda net: optim.Adam(net, lr=float("nan")), ["lr=nan"]),
        (lambda net: optim.Adam(net, lr="fast"), ["'fast'"]),
        (lambda net: optim.SGD(net, momentum=1.0), ["momentum=1.0", "[0, 1)"]),
        (lambda net: optim.SGD(net, momentum="much"), ["momentum='much'"]),
        (lambda net: optim.SGD(net, nesterov=True), ["nesterov", "momentum"]),
        (lambda net: optim.SGD(net, weight_decay=-0.1), ["weight_decay=-0.1"]),
        (lambda net: optim.RMSprop(net, alpha=1.5), ["alpha=1.5"]),
        (lambda net: optim.RMSprop(net, eps=0), ["eps=0"]),
        (lambda net: optim.Adam(net, betas=(0.9, 1.0)), ["1.0", "[0, 1)"]),
        (lambda net: optim.Adam(net, betas=0.9), ["betas=0.9"]),
        (lambda net: optim.AdamW(net, betas=(0.9,)), ["AdamW", "(0.9,)"]),
        (lambda net: optim.WeightAverage(net, decay=1.0), ["decay=1.0"]),
        (lambda net: optim.clip_grad_norm(net, 0), ["max_norm=0"]),
        (lambda net: optim.cosine_decay(0.1, 10, warmup=10), ["warmup=10", "steps=10"]),
        (lambda net: optim.cosine_decay(-0.1, 10), ["lr=-0.1"]),
        (lambda net: optim.exponential_decay(0.1, 0), ["half_life=0"]),
        (lambda net: optim.step_decay(0.1, 0), ["every=0"]),
    ],
)
def test_misuse_is_named(make, words):
    with pytest.raises(ValueError) as caught:
        make(Weights())
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("given", [[leaf(np.ones(2, np.float32))], leaf(np.ones(2, np.float32)), {"w": 1}, None])
def test_an_optimiser_wants_a_module(given):
    with pytest.raises(TypeError, match=r"Adam got module=.*expected a Module, such as nn.MLP"):
        optim.Adam(given)


def test_the_gradient_of_a_stale_graph_is_refused():
    net = Weights()
    optimizer = optim.SGD(net)
    loss = net()
    loss.backward()
    optimizer.step()
    with pytest.raises(ValueError, match="compute the loss again"):
        loss.backward()


def test_a_step_without_backward_does_not_move_a_fresh_optimiser():
    for kind in ("SGD", "RMSprop", "Adam"):
        net = Weights()
        before = net.flat().data.copy()
        getattr(optim, kind)(net).step()
        np.testing.assert_array_equal(net.flat().data, before)


# Schedules


def test_cosine_decay_at_its_known_points():
    schedule = optim.cosine_decay(0.8, 110, warmup=10, final=0.2)
    assert [schedule(step) for step in (0, 4, 9)] == pytest.approx([0.08, 0.4, 0.8])
    assert schedule(10) == pytest.approx(0.8)
    assert schedule(60) == pytest.approx(0.5)  # half way
    assert schedule(35) == pytest.approx(0.2 + 0.6 * (1 + math.sqrt(0.5)) / 2)  # a quarter: cos(pi / 4)
    assert schedule(110) == schedule(1000) == pytest.approx(0.2)
    assert optim.cosine_decay(0.8, 100)(0) == pytest.approx(0.8)
    assert np.all(np.diff([schedule(step) for step in range(10, 111)]) < 0)


@pytest.mark.parametrize("steps", [10, 10**6, 10**9])
def test_cosine_decay_keeps_its_digits_to_the_last_step(steps):
    # Near the end it is lr (pi left / 2 steps)^2, and exactly `final` from there on.
    rate = optim.cosine_decay(0.1, steps)
    x = math.pi / 2 / steps
    assert rate(steps - 1) == pytest.approx(0.1 * (x - x**3 / 6 + x**5 / 120 - x**7 / 5040) ** 2, rel=1e-9)
    assert rate(steps) == rate(steps + 5) == 0 and rate(0) == 0.1
    assert optim.cosine_decay(0.1, steps, final=0.01)(steps) == 0.01


def test_exponential_and_step_decay_at_their_known_points():
    schedule = optim.exponential_decay(0.4, 50)
    assert [schedule(step) for step in (0, 25, 50, 150)] == pytest.approx([0.4, 0.4 / math.sqrt(2), 0.2, 0.05])
    schedule = optim.step_decay(0.4, 30, factor=0.5)
    assert [schedule(step) for step in (0, 29, 30, 59, 60)] == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1])


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_an_optimiser_follows_its_schedule(kind):
    schedule = optim.step_decay(0.1, 2, factor=0.5)
    net, memory = Weights(), {}
    optimizer, w = getattr(optim, kind)(net, schedule), net.flat().data.copy()
    for t in range(1, 7):
        assert optimizer.current_lr() == schedule(t - 1)
        w = REFERENCES[kind](w, w**3 - net.c, t, memory, lr=schedule(t - 1))
        optimizer.zero_grad()
        net().backward()
        optimizer.step()
        np.testing.assert_allclose(net.flat().data, w, rtol=1e-12)


SCHEDULES = [
    optim.cosine_decay(0.02, 110, warmup=10, final=0.01),
    optim.exponential_decay(0.01, 50),
    optim.step_decay(0.01, 30, factor=0.5),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_schedule_is_copied_and_says_what_it_is(schedule, copied):
    twin = copied(schedule)
    assert [twin(step) for step in range(120)] == [schedule(step) for step in range(120)]
    assert repr(eval(repr(twin), vars(optim))) == repr(schedule)
    assert "lr=0." in repr(schedule)


@cases
@pytest.mark.parametrize("schedule", [None, *SCHEDULES])
def test_a_pickled_optimiser_goes_on_as_if_never_stopped(kind, settings, schedule):
    one = getattr(optim, kind)(Weights(np.float32), **{**settings, **({"lr": schedule} if schedule else {})})
    for optimizer in (one, one, one):
        optimizer.zero_grad(), optimizer.module().backward(), optimizer.step()
    other = pickle.loads(pickle.dumps(one))
    for _ in range(3):
        for optimizer in (one, other):
            optimizer.zero_grad(), optimizer.module().backward(), optimizer.step()
    np.testing.assert_array_equal(one.module.flat().data, other.module.flat().data)
    assert other.steps == one.steps == 6 and other.module is not one.module


@cases
def test_the_kernel_does_what_the_formula_says(kind, settings):
    """In float32 a fused kernel runs; the formula stands in the class."""
    fused, plain = (getattr(optim, kind)(Weights(np.float32), **settings) for _ in range(2))
    plain.fused = plain.formula
    rng = make_rng(4)
    for _ in range(10):
        for optimizer, g in zip((fused, plain), [rng.normal(size=10)] * 2):
            optimizer.module.flat().grad[...] = g
            optimizer.step()
    np.testing.assert_allclose(fused.module.flat().data, plain.module.flat().data, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Adam", {"betas": (0.9, 1 - 1e-7), "eps": 1e-30}),
        ("Adam", {"betas": (1 - 1e-8, 1 - 1e-8), "eps": 1e-30}),
        ("AdamW", {"betas": (0.9, 1 - 1e-7), "eps": 1e-30, "weight_decay": 0.0}),
        ("RMSprop", {"alpha": 1 - 1e-7, "eps": 1e-30}),
    ],
)
def test_moments_with_a_decay_near_one_keep_their_weights_sum(kind, settings):
    # Of a gradient of 1 the mean square after n steps is 1 - beta^n; Adam divides by that, RMSprop does not.
    n, net = 3000, Weights(np.float32)
    optimizer = getattr(optim, kind)(net, lr=1e-3, **settings)
    for _ in range(n):
        net.flat().grad[...] = 1
        optimizer.step()
    beta = settings.get("alpha") or settings["betas"][1]
    exact = -math.expm1(n * math.log(beta))
    np.testing.assert_allclose(optimizer.moments["square"], exact, rtol=1e-3)
    before = net.flat().data.copy()
    net.flat().grad[...] = 1
    optimizer.step()
    step = 1e-3 if kind != "RMSprop" else 1e-3 / math.sqrt(exact)
    np.testing.assert_allclose(before - net.flat().data, step, rtol=2e-3)


# Clipping


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_scales_to_the_norm_and_no_further(dtype):
    net = Weights(dtype)
    given = make_rng(4).normal(size=10).astype(dtype)
    norm = math.sqrt(sum(float(g) ** 2 for g in given))
    for limit in (0.5 * norm, 2 * norm):
        net.flat().grad[...] = given
        assert optim.clip_grad_norm(net, limit) == pytest.approx(norm, rel=1e-6)
        np.testing.assert_allclose(net.flat().grad, given * min(1, limit / norm), rtol=1e-6)
        np.testing.assert_array_equal(net.a.grad.ravel(), net.flat().grad[:6])
        assert net.flat().grad.dtype == dtype


def test_clipping_a_gradient_whose_square_overflows():
    net = Weights(np.float32)
    net.flat().grad[...] = 3e20
    assert optim.clip_grad_norm(net, 1.0) == pytest.approx(3e20 * math.sqrt(10), rel=1e-6)
    np.testing.assert_allclose(net.flat().grad, 1 / math.sqrt(10), rtol=1e-6)


@pytest.mark.parametrize("limit", [1e-30, 1.0, 1e10])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [*((np.float32, size) for size in (1e-40, 1e25, 1e38)), *((np.float64, 10.0**n) for n in (-310, -170, 160, 300))],
)
def test_clipping_at_the_ends_of_the_range(dtype, size, limit):
    net = Weights(dtype)
    given = (make_rng(4).uniform(0.5, 1.5, 10) * size).astype(dtype)
    net.flat().grad[...] = given
    exact = [Fraction(float(g)) for g in given]
    scale = Fraction(float(given.max()))
    norm = scale * Fraction(math.sqrt(float(sum((g / scale) ** 2 for g in exact))))
    assert optim.clip_grad_norm(net, limit) == pytest.approx(float(norm), rel=1e-6)
    expected = [float(g * min(1, Fraction(limit) / norm)) for g in exact]
    np.testing.assert_allclose(net.flat().grad, np.array(expected, dtype), rtol=1e-5)


def test_clipping_does_not_hide_a_nan():
    net = Weights(np.float32)
    net.flat().grad[3] = np.nan
    assert math.isnan(optim.clip_grad_norm(net, 1.0)) and np.isnan(net.flat().grad[3])


# Averaging


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14)])
def test_the_average_is_its_closed_form(dtype, tolerance):
    # After weights w_0, ..., w_n: decay^n w_0 + (1 - decay) sum over k >= 1 of decay^(n - k) w_k.
    net, decay, n = Weights(dtype), 0.7, 12
    average, history = optim.WeightAverage(net, decay), make_rng(6).normal(size=(n + 1, 10)).astype(dtype)
    for w in history:
        net.flat().data[...] = w
        average.update()
    expected = decay**n * history[0] + (1 - decay) * sum(decay ** (n - k) * history[k] for k in range(1, n + 1))
    np.testing.assert_allclose(average.average, expected, rtol=tolerance, atol=tolerance)
    assert average.average.dtype == dtype and not np.shares_memory(average.average, net.flat().data)


@pytest.mark.parametrize("decay", [1 - 1e-7, 1 - 1e-8])
def test_an_average_of_a_decay_near_one_still_moves(decay):
    net, steps = Weights(np.float32), 1000
    average = optim.WeightAverage(net, decay)
    net.flat().data[...] = 1
    average.update()
    net.flat().data[...] = 2
    for _ in range(steps):
        average.update()
    np.testing.assert_allclose(average.running - 1, -math.expm1(steps * math.log1p(decay - 1)), rtol=1e-6)


def test_the_average_is_applied_inside_the_block_only():
    net = nn.MLP([2, 3, 1], rng=make_rng())
    average, x = optim.WeightAverage(net, 0.5), np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="update"), average.applied():
        pass
    average.update()
    first, own = net.flat().data.copy(), net.flat().data + 2
    net.flat().data[...] = own
    average.update()
    with average.applied() as given:
        assert given is net
        np.testing.assert_allclose(net.flat().data, first + 1, rtol=1e-6)
        inside = net(x).data
    np.testing.assert_array_equal(net.flat().data, own)
    assert np.all(net(x).data != inside)
    with pytest.raises(RuntimeError, match="on the way"), average.applied():
        raise RuntimeError("on the way")
    np.testing.assert_array_equal(net.flat().data, own)


def test_a_graph_from_before_the_block_is_refused_inside_and_after():
    net = Weights()
    average = optim.WeightAverage(net)
    average.update()
    loss = net()
    with average.applied(), pytest.raises(ValueError, match="changed after"):
        loss.backward()


def test_the_weights_come_back_even_if_they_moved_inside_the_block():
    net = nn.MLP([2, 3, 1], rng=make_rng())
    average = optim.WeightAverage(net)
    average.update()
    net.flat().data[...] = 5
    with average.applied():
        nn.Sequential(nn.Linear(2, 2, rng=make_rng()), net).flat()  # a larger network takes them into its buffer
        assert not np.any(net.flat().data == 5)
    assert np.all(net.flat().data == 5)
    assert all(np.all(p.data == 5) for p in net.parameters())


def averaged_network():
    net = nn.Sequential(
        nn.Linear(2, 3, rng=make_rng()), nn.Dropout(0.5, rng=make_rng(1)), nn.Linear(3, 1, rng=make_rng())
    )
    average = optim.WeightAverage(net, 0.5)
    average.update()
    net.flat().data += 2
    average.update()
    return net, average


def test_the_averaged_network_is_a_copy():
    net, average = averaged_network()
    own = net.flat().data.copy()
    twin = average.network()
    assert type(twin) is nn.Sequential and twin is not net
    np.testing.assert_array_equal(twin.flat().data, average.average)
    twin.flat().data[...] = 0
    twin.train()(np.ones((4, 2), np.float32))
    np.testing.assert_array_equal(net.flat().data, own)
    assert net[1].rng.random() == make_rng(1).random()
    with pytest.raises(ValueError, match="update"):
        optim.WeightAverage(net).network()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_overlapping_uses_of_an_average_leave_the_networks_own_weights(order):
    net, average = averaged_network()
    own = net.flat().data.copy()
    uses = [average.applied(), average.applied()]
    for use in uses:
        use.__enter__()
        np.testing.assert_array_equal(net.flat().data, average.average)
    for last, i in enumerate(order):
        uses[i].__exit__(None, None, None)
        np.testing.assert_array_equal(net.flat().data, own if last else average.average)


def test_an_average_that_could_not_be_applied_leaves_nothing_behind():
    net, average = averaged_network()
    own = net.flat().data.copy()

    @minigen.compile
    def step(x):
        with average.applied():
            return ops.sum(net(x))

    for _ in range(2):
        with pytest.raises(minigen.CompileError, match=r"average.network\(\)"):
            step(np.ones((4, 2), np.float32))
    with average.applied():
        np.testing.assert_array_equal(net.flat().data, average.average)
    np.testing.assert_array_equal(net.flat().data, own)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_an_average_in_use_is_not_in_use(copied):
    net, average = averaged_network()
    own = net.flat().data.copy()
    with average.applied():
        twin = copied(average)
    np.testing.assert_array_equal(net.flat().data, own)
    twin.module.flat().data = 3.0
    with twin.applied():
        np.testing.assert_array_equal(twin.module.flat().data, average.average)
    np.testing.assert_array_equal(twin.module.flat().data, np.full_like(own, 3.0))


def test_many_threads_use_an_average():
    net, average = averaged_network()
    own, wrong = net.flat().data.copy(), []

    def look():
        for _ in range(300):
            with average.applied():
                if not np.array_equal(net.flat().data, average.average):
                    wrong.append(net.flat().data.copy())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    np.testing.assert_array_equal(net.flat().data, own)


# All of it together


def test_a_small_regression_is_learned():
    # sin on [-3, 3]: the mean square of the residual ends below a thousandth of the target's variance.
    net = nn.MLP([1, 32, 32, 1], "tanh", rng=make_rng())
    steps = 1500
    optimizer = optim.Adam(net, optim.cosine_decay(0.01, steps, warmup=50))
    x = np.linspace(-3, 3, 128, dtype=np.float32)[:, None]
    y = np.sin(x)
    for _ in range(steps):
        optimizer.zero_grad()
        ops.mse(net(x), y).backward()
        optim.clip_grad_norm(net, 1.0)
        optimizer.step()
    assert np.mean((net(x).data - y) ** 2) < 1e-3 * y.var()
