"""A compiled step replays what its first call did. Here are the traps in that, each one either handled or raising.

They come in order of how bad a silent miss would be; the comment in each test says what it would do.
"""

import collections
import copy
import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import minigen
from minigen import Tensor, check, nn, ops, optim
from minigen.compile import CompileError
from minigen.tape import leaf
from minigen.training import fit


def rng(seed=0):
    return np.random.default_rng(seed)


def eager(step):
    return step


X = [rng(i).standard_normal((4, 3)).astype(np.float32) for i in range(12)]


def flat(tree) -> list:
    """All that is in a nest of tuples, lists and dicts, tensors as arrays."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in flat(part)]
    if isinstance(tree, dict):
        return flat(list(tree.items()))
    return [np.array(tree.data) if type(tree) is Tensor else tree]


def assert_equal(actual, expected, rtol=0):
    actual, expected = flat(actual), flat(expected)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        if isinstance(e, (np.ndarray, np.generic)):
            assert np.shape(a) == e.shape and a.dtype == e.dtype
            np.testing.assert_allclose(a, e, rtol=rtol, atol=rtol)
        else:
            assert a == e


def assert_as_eager(run, *args, rtol=0, **settings):
    """`run(compile, ...)` gives to the last bit what it gives when nothing is compiled."""
    assert_equal(run(minigen.compile, *args, **settings), run(eager, *args, **settings), rtol)


def calls(compile, step, batches=X[:6]):
    step = compile(step)
    return [step(x) for x in batches]


def mlp(dtype=np.float32):
    return nn.MLP([3, 5, 1], "tanh", rng=rng(1)).astype(dtype)


def squares(net, x):
    return ops.mean(ops.square(net(x) - 1.0))


def train(
    compile,
    net=mlp,
    optimizer=lambda net: optim.Adam(net, 0.02),
    loss=squares,
    clean=lambda net, optimizer: optimizer.zero_grad(),
    after=lambda net, optimizer: None,
    between=lambda i, net, optimizer: None,
    n=7,
):
    """Losses and what `after` gives between backward() and step(), then weights and moments; `between` is no part of
    the step."""
    net = net()
    optimizer = optimizer(net)

    def step(x):
        clean(net, optimizer)
        value = loss(net, x)
        value.backward()
        found = after(net, optimizer)
        optimizer.step()
        return value, found

    step, results = compile(step), []
    for i in range(n):
        between(i, net, optimizer)
        results.append(step(X[i]))
    return results, net.state_dict(), optimizer.state_dict()


# Silently wrong numbers -----------------------------------------------------------------------------------------------

REFUSED = {  # what a step does with a tensor t and a raw argument x: what it must be told
    "item": (lambda t, x: t * ops.sum(t).item(), r"\.item\(\)"),
    "float": (lambda t, x: t * float(ops.sum(t)), r"\.item\(\)|float\(\)"),
    "int": (lambda t, x: t * int(ops.sum(t)), r"\.item\(\)|int\(\)"),
    "format": (lambda t, x: f"{ops.sum(t):.3f}", r"\.item\(\)"),
    "bool": (lambda t, x: t if bool(ops.sum(t)) else -t, "a branch"),
    "if": (lambda t, x: t if ops.sum(t) > 0 else -t, "a branch"),
    "while": (lambda t, x: next(iter(lambda: ops.sum(t) > 9, True)), "a branch"),
    "and": (lambda t, x: ops.sum(t) > 0 and t, "a branch"),
    "not": (lambda t, x: not ops.sum(t), "a branch"),
    "assert": (lambda t, x: np.isfinite(ops.sum(t).data).all(), r"\.all\(\)"),
    "Python's max": (lambda t, x: max(ops.sum(t), 0.0), "a branch"),
    "Python's min over rows": (lambda t, x: min(ops.sum(t, 1)), "a branch"),
    "range": (lambda t, x: range(x.astype(int)[0, 0]), "index or a count"),
    "raw if": (lambda t, x: x if x[0, 0] > 0 else -x, "a branch"),
    "raw float": (lambda t, x: float(x[0, 0]), r"float\(\)"),
    "raw item": (lambda t, x: x.sum().item(), r"\.item\(\)"),
    "tolist": (lambda t, x: x.tolist(), r"\.tolist\(\)"),
    "any": (lambda t, x: (x > 0).any(), r"\.any\(\)"),
    "in": (lambda t, x: 1.0 in x, "`in`"),
    "np.allclose": (lambda t, x: np.allclose(x, x), r"allclose\(\)"),
    "an array of numbers": (lambda t, x: np.array(list(x[0])), r"float\(\)"),
    "a tensor of numbers": (lambda t, x: minigen.tensor([x[0, 0], x[1, 1]]), r"float\(\)"),
    "np.linalg": (lambda t, x: np.linalg.svd(x), r"np\.linalg\.svd"),
    "np.add.at": (lambda t, x: np.add.at(np.zeros((4, 3)), 0, x), r"np\.add\.at"),
    "x += 1": (lambda t, x: exec("x += 1", {"x": x}), "in place"),
    "t.data += 1": (lambda t, x: exec("d = t.data; d += 1", {"t": t}), "in place"),
    "x[0] = 1": (lambda t, x: x.__setitem__(0, 1), "assignment"),
    "np.add(out=)": (lambda t, x: np.add(x, 1, out=x), "out="),
    "np.copyto": (lambda t, x: np.copyto(x, 0), r"np\.copyto"),
    "x.sort()": (lambda t, x: x.sort(), r"\.sort\(\)"),
    "x.fill()": (lambda t, x: x.fill(0), r"\.fill\(\)"),
    "shuffle": (lambda t, x: rng().shuffle(x), "assignment"),
    "deepcopy": (lambda t, x: copy.deepcopy(x), "deepcopy"),
    "pickle": (lambda t, x: pickle.dumps(x), "pickling"),
    "plain += recorded": (lambda t, x: exec("a += x", {"a": np.zeros_like(X[0]), "x": x}), "out="),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_leave_the_step_are_refused_in_the_first_call(name):
    # Silent miss: the number, or the branch, of the first batch for ever.
    use, words = REFUSED[name]
    with pytest.raises(CompileError, match=words) as error:
        minigen.compile(lambda x: use(minigen.tensor(x), x))(X[0])
    assert "minigen" in str(error.value) or "outside" in str(error.value)


noise, table = rng(5), rng(6).standard_normal((20, 3)).astype(np.float32)
counter = [0.0]


def counting():
    counter[0] += 1.0
    return counter[0]


ESCAPES = {  # what NumPy or Python computes on the way, out of sight
    "NumPy noise": lambda x: x + noise.standard_normal(x.shape).astype(np.float32),
    "a copy": lambda x: x * np.array(x),
    "a copy of a tensor's array": lambda x: minigen.tensor(x) * np.array(minigen.tensor(x)),
    "np.asarray and arithmetic": lambda x: x + np.asarray(minigen.tensor(x)) * 2,
    "np.asarray to another dtype": lambda x: x + np.asarray(x, np.float64),
    "np.float32": lambda x: x * np.float32(x[0, 0]),
    "x.flat": lambda x: x * next(x.flat),
    "copy.copy": lambda x: x * copy.copy(x),
    "np.full_like": lambda x: x * np.full_like(x, x[0, 0]),
    "rows of a table": lambda x: x * table[(x[:, 0] > 0).astype(int)],
    "a permutation": lambda x: x + rng().permutation(x),
    "a counter": lambda x: x * counting(),
    "a generator made in the step": lambda x: x + ops.normal(noise.spawn(1)[0], x.shape),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_what_numpy_computes_out_of_sight_is_caught_in_the_second_call(name):
    # Silent miss: the numbers of the first batch for ever.
    step = minigen.compile(ESCAPES[name])
    step(X[0])
    with pytest.raises(CompileError, match=r"call 2 of .* is not what was recorded: .* is given"):
        step(X[1])


def assert_caught(step, words="", calls=12):
    """One of the next calls does the step both ways and finds that they differ."""
    with pytest.raises(CompileError, match=rf"call \d+ of .* is not what was recorded: .*{words}"):
        for x in X[:calls]:
            step(x)


def test_a_python_number_that_changes_later_is_caught_when_the_step_is_next_done_both_ways():
    # Silent miss: a KL weight that was warmed up to its value in the recording. Until then it is silent.
    weight = [1.0]
    step = minigen.compile(lambda x: x * weight[0])
    step(X[0]), step(X[1])
    weight[0] = 2.0
    assert_caught(step)


@pytest.mark.parametrize("small", [lambda: noise.standard_normal(), lambda: counting() * 1e-3])
def test_small_noise_and_slow_counters_are_caught_too(small):
    # Silent miss: one draw of the jitter for all steps; a schedule that stands still.
    step = minigen.compile(lambda x: x + np.float32(1e-5 * small()))
    with pytest.raises(CompileError):
        for x in X:
            step(x)


def sgd_by_hand(net, optimizer):
    for p in net.parameters():
        p.data -= 0.1 * p.grad


def decay_by_hand(net, optimizer):
    for p in net.parameters():
        p.data *= 0.9


@pytest.mark.parametrize(
    "update",
    [sgd_by_hand, decay_by_hand, lambda net, _: np.multiply(net.flat().data, 0.9, net.flat().data)],
)
def test_weights_changed_by_numpy_in_the_step(update):
    # Silent miss: hardly trains, and nothing says so.
    def step_of(net):
        def step(x):
            net.zero_grad()
            loss = squares(net, x)
            loss.backward()
            update(net, None)
            return loss

        return step

    one, other = mlp(), mlp()
    try:
        calls(minigen.compile, step_of(one))
    except CompileError:
        return
    calls(eager, step_of(other))
    assert_equal(one.state_dict(), other.state_dict())


def test_gradients_changed_by_numpy_in_the_step():
    # Silent miss: a limit to each gradient that does not hold.
    def run(compile):
        net = mlp()
        optimizer = optim.SGD(net, 0.1)

        def step(x, scale):
            optimizer.zero_grad()
            loss = squares(net, x) * scale
            loss.backward()
            np.clip(net.flat().grad, -0.5, 0.5, out=net.flat().grad)
            optimizer.step()
            return loss

        step = compile(step)
        return [step(x, np.array(scale, np.float32)) for x, scale in zip(X, (1e-3, 1e-3, 100.0))], net.state_dict()

    try:
        found = run(minigen.compile)
    except CompileError:
        return
    assert_equal(found, run(eager))


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "kind", [Pair, lambda a, b: SimpleNamespace(a=a, b=b), lambda a, b: collections.UserList((a, b))]
)
def test_results_in_other_containers(kind):
    # Silent miss: a sampler whose state, a named tuple, never moves.
    step = minigen.compile(lambda x: kind(x * 2.0, ops.sum(minigen.tensor(x))))
    try:
        results = [step(x) for x in X[:5]]
    except (CompileError, TypeError):
        return
    for x, result in zip(X, results):
        a, b = (result.a, result.b) if hasattr(result, "a") else result
        assert_equal([a, b], [x * 2.0, ops.sum(minigen.tensor(x))])


def test_python_numbers_among_the_results():
    # Silent miss: a learning rate or a step count in the log that stands still.
    with pytest.raises(CompileError):
        train(minigen.compile, after=lambda net, optimizer: optimizer.steps)


def test_weight_average_in_the_step():
    # Silent miss: an average of other weights.
    def run(compile):
        averages = []

        def after(net, optimizer):
            averages[:] = averages or [optim.WeightAverage(net, 0.9)]
            averages[0].update()

        return train(compile, after=after), averages[0].average

    assert_as_eager(run)


def test_the_program_leaves_an_average_alone():
    # Silent miss: looking changes what is learned.
    net = mlp()
    average = optim.WeightAverage(net, 0.5)
    step = minigen.compile(lambda x: (average.update(), ops.mean(net(x)))[1])
    step(X[0]), step(X[1])
    net[0].weight = net[0].weight.data + 1.0
    before = average.average.copy()
    step.program()
    np.testing.assert_array_equal(average.average, before)


def test_labels_outside_the_classes_are_refused_in_a_replay_too():
    # Silent miss: label -1 counts as the last class.
    net = nn.Linear(3, 4, rng=rng())
    step = minigen.compile(lambda x, labels: ops.cross_entropy(net(x), labels))
    for x in X[:2]:
        step(x, np.arange(4))
    with pytest.raises(ValueError, match="labels from -1"):
        step(X[2], np.array([0, 1, 2, -1]))


@pytest.mark.parametrize("one, other", [(2.0, np.float64(2)), (1, True), (0.0, -0.0)], ids=repr)
def test_equal_constants_of_different_types_are_different(one, other):
    # Silent miss: float32 where NumPy's number brings float64; the branch of `is True`; the sign of zero.
    f = lambda x, k: (x * (k or 1), ops.divide(x, np.copysign(np.float32(1), k)), 3 if k is True else 4)
    step = minigen.compile(f)
    for k in (one, other, one, one, other):
        assert_equal(step(X[0], k), f(X[0], k))


def test_an_array_and_the_pair_of_its_shape_and_dtype_are_different():
    # Silent miss: another function's result.
    f = lambda *args: args[0] * 2 if isinstance(args[0], np.ndarray) else len(args)
    step = minigen.compile(f)
    step(np.ones(3, np.float32))
    assert step((3,), np.dtype(np.float32)) == 2


LIVE = {  # settings of `train`
    "Adam's bias correction": {},
    "a schedule": {"optimizer": lambda net: optim.Adam(net, lambda i: 0.1 / (i + 1))},
    "cosine decay": {"optimizer": lambda net: optim.AdamW(net, optim.cosine_decay(0.1, 7, warmup=2))},
    "lr set between": {"between": lambda i, net, o: setattr(o, "lr", 0.01 * (i + 1))},
    "betas set between": {"between": lambda i, net, o: setattr(o, "betas", (0.5 + i / 20, 0.9))},
    "steps set between": {"between": lambda i, net, o: setattr(o, "steps", o.steps // 2)},
    "zero_grad forgotten": {"clean": lambda net, o: None},
    "zero_grad at times": {"clean": lambda net, o: None, "between": lambda i, net, o: i % 2 or net.zero_grad()},
    "zero_grad after the step": {
        "clean": lambda net, o: None,
        "after": lambda net, o: None,
        "between": lambda i, net, o: o.zero_grad(),
    },
    "clip_grad_norm": {"after": lambda net, o: (optim.clip_grad_norm(net, 0.1), None)[1]},
    "weights assigned": {"between": lambda i, net, o: setattr(net[0], "weight", np.full((5, 3), 0.1 * i))},
    "weights changed in place": {"between": lambda i, net, o: net.flat().data.__imul__(0.5)},
    "gradients changed in place": {"clean": lambda net, o: None, "between": lambda i, net, o: net.flat().grad.fill(i)},
    "weights loaded": {"between": lambda i, net, o: i == 3 and net.load_state_dict(mlp().state_dict())},
    "moments loaded": {"between": lambda i, net, o: i == 3 and o.load_state_dict(optim.Adam(mlp()).state_dict())},
    "the buffer moved": {"between": lambda i, net, o: i == 2 and nn.Sequential(mlp(), net).flat()},
    "a gradient given": {"between": lambda i, net, o: i == 2 and setattr(net[0].weight, "grad", np.ones((5, 3), "f"))},
    "a gradient taken away": {"between": lambda i, net, o: i == 2 and setattr(net[0].weight, "grad", None)},
    "a generator in place of another": {
        "net": lambda: nn.Sequential(*mlp().layers, nn.Dropout(0.5, rng=rng(4))),
        "between": lambda i, net, o: i % 3 == 2 and setattr(net[-1], "rng", rng(i)),
    },
    "running averages in place of others": {
        "net": lambda: nn.Sequential(*mlp().layers, nn.BatchNorm1d(1)),
        "between": lambda i, net, o: (
            i % 3 == 2 and setattr(net[-1], "running_mean", np.ones(1, "f")),
            net.train(i < 1),
        ),
    },
    "singular vectors in place of others": {
        "net": lambda: nn.Sequential(nn.SpectralLinear(3, 2, rng=rng(1)), nn.Linear(2, 1, rng=rng(2))),
        "between": lambda i, net, o: i % 3 == 2 and setattr(net[0], "v", np.eye(3, dtype="f")[i % 2]),
    },
    "used twice": {"loss": lambda net, x: squares(net, x) * squares(net, x + 1.0)},
    "no layer but a parameter": {"loss": lambda net, x: ops.sum(net[0].weight * net[0].weight.data) + squares(net, x)},
    "float64": {"net": lambda: mlp(np.float64)},
    "zero_grad twice": {"clean": lambda net, o: (o.zero_grad(), net.zero_grad())},
    "backward twice": {"after": lambda net, o: (squares(net, X[0]).backward(), None)[1]},
}


@pytest.mark.parametrize("name", LIVE)
def test_optimisers_weights_and_gradients_are_live(name):
    # Silent miss: the rate, the step count, the weights or the gradients of the recording.
    assert_as_eager(train, **LIVE[name])


def test_the_norm_of_the_gradient_as_a_result():
    # Silent miss: the norm of the first call in every log line.
    assert_as_eager(train, after=lambda net, o: optim.clip_grad_norm(net, 0.1))


def test_random_draws_are_live():
    # Silent miss: the same noise, the same mask in every step.
    def run(compile):
        generator = rng(3)
        net = nn.Sequential(nn.Linear(3, 3, rng=rng()), nn.Dropout(0.4, rng=generator))

        def step(x):
            noise, place = ops.normal(generator, x.shape), ops.uniform(generator, x.shape)
            ops.normal(generator, (2,))  # nobody uses it, but it moves the generator on
            return net(x + noise) * place

        return calls(compile, step), str(generator.bit_generator.state)

    assert_as_eager(run)


def test_a_generator_given_by_keyword():
    # Silent miss: other draws than those of the step itself.
    def run(compile):
        generator = rng(3)
        return calls(compile, lambda x: x + ops.normal(rng=generator, shape=x.shape)), generator.random()

    assert_as_eager(run)


def test_draws_of_one_number():
    # Silent miss: one draw for ever.
    def run(compile):
        generator = rng(3)
        draws = lambda x: (ops.normal(generator, ()), ops.uniform(generator, ()), ops.dropout_mask(generator, (), 0.5))
        return [[np.asarray(d) for d in result] for result in calls(compile, draws)]

    assert_as_eager(run)


@pytest.mark.parametrize("f", [ops.sum, ops.mean, np.mean, lambda x: ops.mse(x, x * 2), lambda x: x[0, 0]])
def test_a_single_number_computed_from_raw_arrays(f):
    # Silent miss: none, but a right step is called wrong.
    for x, value in zip(X, calls(minigen.compile, f)):
        np.testing.assert_allclose(value, f(x), rtol=1e-6)


def test_modes_of_layers_switched_between_calls():
    # Silent miss: dropout that goes on in eval mode, statistics that are not the running ones.
    def run(compile):
        layers = nn.Linear(3, 4, rng=rng()), nn.BatchNorm1d(4), nn.Dropout(0.5, rng=rng(2)), nn.LayerNorm(4)
        net = nn.Sequential(*layers)
        step = compile(lambda x: ops.mean(net(x), 0))
        return [step(net.train(i % 5 < 3) and X[i]) for i in range(12)], net.state_dict()

    assert_as_eager(run)


def test_closure_arrays_changed_in_place_are_live_and_rebound_ones_are_caught():
    # Silent miss: the target of the first call.
    targets = [np.ones((4, 3), np.float32)]
    step = minigen.compile(lambda x: ops.multiply(x, targets[0]))
    for i, x in enumerate(X[:5]):
        targets[0][...] = i
        np.testing.assert_array_equal(step(x), x * i)
    targets[0] = np.full((4, 3), 9, np.float32)
    assert_caught(step, r"multiply\(\) is given another float32 array of shape \(4, 3\)")


def test_a_network_put_in_place_of_another_is_caught():
    # Silent miss: the old network goes on learning.
    nets = [mlp()]
    step = minigen.compile(lambda x: nets[0](x))
    step(X[0]), step(X[1])
    nets[0] = nn.MLP([3, 5, 1], rng=rng(9))
    assert_caught(step)


def test_parameters_in_another_dtype_are_recorded_anew():
    # Silent miss: gradients in arrays that nobody reads any more.
    def run(compile):
        net = mlp()

        def step(x):
            net.zero_grad()
            loss = squares(net, x)
            loss.backward()
            return loss, minigen.tensor(net[0].weight.grad)

        step, results = compile(step), []
        for i in range(6):
            if i == 3:
                net.astype(np.float64)
            results.append(step(X[i]))
        return results, net.flat().grad.copy()

    assert_as_eager(run)


def test_a_parameter_added_later_is_caught():
    # Silent miss: it never learns.
    net = mlp()
    step = minigen.compile(lambda x: sum(ops.sum(p) for p in net.parameters()) + ops.sum(x))
    step(X[0]), step(X[1])
    net.shift = leaf(np.ones(2, np.float32))
    assert_caught(step)


def test_arguments_of_every_kind():
    # Silent miss: numbers read with the strides of the first batch.
    def run(compile, x, y):
        net = mlp()
        step = compile(lambda x, y: (net(x), ops.matmul(minigen.tensor(x), ops.transpose(y)), x.T, y[:2]))
        return [step(x * (i + 1), y) for i in range(5)]

    frozen = X[0].copy()
    frozen.flags.writeable = False
    wide = rng().standard_normal((4, 6)).astype(np.float32)
    for x in (np.asfortranarray(X[0]), wide[:, ::2], X[0][::-1], frozen, np.zeros((0, 3), np.float32), X[0][:1]):
        assert_as_eager(run, x, X[1], rtol=1e-6)
        assert_as_eager(run, x, x, rtol=1e-6)  # the same array twice
        assert_as_eager(run, Tensor(x), minigen.tensor(X[1]), rtol=1e-6)
    assert_as_eager(run, X[0].astype(np.float64), X[1], rtol=1e-6)


def test_batches_of_changing_size_layout_and_kind():
    # Silent miss: rows of the batch before.
    net = mlp()
    step = minigen.compile(lambda x: net(x))
    for i, n in enumerate([4, 2, 4, 3, 2, 4, 4, 1]):
        for x in (X[i][:n], np.asfortranarray(X[i][:n]), Tensor(X[i][:n]), X[i][:n].astype(np.float64)):
            np.testing.assert_allclose(step(x).data, net(x).data, rtol=1e-6)


def test_integer_labels_and_rows():
    # Silent miss: the labels of the first batch.
    net = nn.Linear(3, 3, rng=rng())
    f = lambda x, rows: (ops.cross_entropy(net(x), rows), x[rows], x[:, rows], ops.take_along_axis(x, rows[:, None], 1))
    step = minigen.compile(f)
    for i, x in enumerate(X[:6]):
        rows = rng(i).integers(0, 3, 4)
        assert_equal(step(x, rows), f(x, rows))


RAW = {  # NumPy on an argument becomes an operation of the step
    "np.sin": lambda x: np.sin(x),
    "x * 2": lambda x: 2 * x + x / 3 - x**2,
    "x ** 0.5": lambda x: abs(x) ** 0.5,
    "-x": lambda x: -x,
    "x[:, i]": lambda x: x[:, [2, 0]] + x[:, 1:],
    "x[None]": lambda x: x[None, ..., ::-1],
    "rows": lambda x: [row * 2 for row in x],
    "mean": lambda x: (x.mean(axis=0), np.mean(x, axis=1), x.sum(axis=1, keepdims=True), x.std(axis=0)),
    "argmax": lambda x: (x.argmax(), np.argmin(x, axis=1)),
    "max": lambda x: (x.max(axis=0), np.min(x, axis=1), np.maximum(x, 0)),
    "x @ w": lambda x: x @ table[:3, :2] + np.dot(x, table[:3, 1:]),
    "x.T": lambda x: (x.T, x.transpose(1, 0), np.swapaxes(x, 0, 1)),
    "reshape": lambda x: (x.reshape(2, 6), x.reshape((-1,)), np.reshape(x, (3, 4))),
    "np.concatenate": lambda x: np.concatenate([x, x * 2]) + np.vstack([table[:4], table[:4]]),
    "np.stack": lambda x: np.stack([x, x], axis=1),
    "np.where": lambda x: np.where(x > 0, x, 0.1 * x),
    "np.linalg.norm": lambda x: np.linalg.norm(x, axis=1),
    "astype": lambda x: x.astype(np.float64) * 2,
    "copy": lambda x: x.copy() * 2,
    "comparison": lambda x: (x > 0, x == x, x != 0.0, x <= x[0]),
    "zeros_like": lambda x: np.zeros_like(x) + x * np.ones_like(x) + np.ones(x.shape, x.dtype),
    "shape": lambda x: x * np.float32(x.size + len(x) + np.shape(x)[1] + x.ndim),
}


@pytest.mark.parametrize("name", RAW)
def test_numpy_on_an_argument_is_recorded(name):
    # Silent miss: the batch of the first call.
    for x, results in zip(X, calls(minigen.compile, RAW[name])):
        for result, expected in zip(flat(results), flat(RAW[name](x))):
            assert type(result) is np.ndarray and result.dtype == expected.dtype
            np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


# Silently wrong later -------------------------------------------------------------------------------------------------


def test_an_argument_that_shares_memory_with_a_weight_is_refused():
    # Silent miss: the step reads the weights of before the update, where the step itself reads those of after it.
    net = nn.Linear(3, 3, rng=rng())
    optimizer = optim.SGD(net)

    def step(x):
        optimizer.zero_grad()
        squares(net, x).backward()
        optimizer.step()
        return ops.sum(x)

    before = net.state_dict()
    for x in (net.weight.data, net.weight.detach(), net.flat().data[:9].reshape(3, 3)[1:]):
        with pytest.raises(CompileError, match=r"argument 0 of step.* shares memory .* give it a copy"):
            minigen.compile(step)(x)
    assert_equal(net.state_dict(), before)
    minigen.compile(step)(net.weight.data.copy())


def test_arguments_and_results_belong_to_the_caller():
    # Silent miss: results that change with the next call, and weights that change with a result.
    net = mlp()

    def step(x):
        return {"y": net(x), "parts": [x, (net[0].weight, net[0].bias.data)], "none": None, "name": "step", "n": 3}

    one, x = minigen.compile(step), X[0].copy()
    kept, expected = [], []
    for i in range(6):
        x[...] = X[i]
        result = one(x)
        x[...] = 99
        y, (given, (weight, bias)) = result["y"], result["parts"]
        assert result["none"] is None and result["name"] == "step" and result["n"] == 3
        assert type(y) is type(weight) is Tensor and not y.requires_grad and not weight.requires_grad
        assert type(given) is type(bias) is type(y.data) is np.ndarray
        if i == 3:
            for array in (y.data, given, weight.data, bias):
                array[...] = 7
        else:
            kept.append([y, given, weight, bias])
            expected.append([net(X[i]), X[i], net[0].weight, net[0].bias.data])
    assert_equal(kept, expected)


def test_a_returned_tensor_is_off_the_tape_with_and_without_compiling():
    # Silent miss: a backward() outside that adds nothing, or adds twice.
    w = leaf(np.ones(3, np.float32))
    step = minigen.compile(lambda x: ops.sum(x * w))
    for x in X[:4]:
        loss = step(x)
        with pytest.raises(ValueError, match="does not depend"):
            loss.backward()
    assert w.grad is None


def test_an_argument_kept_by_the_program_stays_what_it_was():
    # Silent miss: data kept for later that turn into other data.
    kept = []
    step = minigen.compile(lambda x: kept.append(x) or x * 2)
    for x in X[:3]:
        step(x)
    np.testing.assert_array_equal(kept[0], X[0])


def test_numbers_written_into_an_array_outside():
    # Silent, as the docstring says: NumPy asks nobody when it copies into an array of the program. The log is written
    # in the calls that are done both ways, here the first two.
    log = np.zeros(3, np.float32)

    def step(x):
        log[...] = ops.sum(x, 0)
        return x * 2

    step = minigen.compile(step)
    for x in X[:3]:
        step(x)
    np.testing.assert_array_equal(log, ops.sum(X[1], 0))


def test_no_grad_in_and_around_the_step():
    # Silent miss: a step recorded without gradients where they are wanted.
    w = leaf(np.array([1.0, 2.0, 3.0], np.float32))

    def step(x):
        with minigen.no_grad():
            target = ops.tanh(x * w)
        y = ops.mean(ops.square(x * w - target))
        if y.requires_grad:
            y = y + ops.sum(minigen.grad(y, w))
        return y

    compiled = minigen.compile(step)
    for x in X[:4]:
        assert_equal(compiled(x), step(x).detach())
        with minigen.no_grad():
            assert_equal(compiled(x), step(x))


def test_gradients_by_leaves_made_in_the_step():
    # Silent miss: a gradient that adds up over the calls.
    def by_grad(x):
        t = minigen.tensor(x, requires_grad=True)
        slope = minigen.grad(ops.sum(t**3), t, create_graph=True)
        return minigen.grad(ops.sum(ops.square(slope)), t)

    def by_backward(x):
        t = minigen.tensor(x, requires_grad=True)
        ops.sum(t**3).backward()
        return t.grad

    for step in (by_grad, by_backward):
        assert_as_eager(calls, step, X)


def test_a_loose_leaf_adds_up_its_gradient_as_it_does_without_compiling():
    # Silent miss: the gradient of the last call alone.
    def run(compile):
        w = leaf(np.ones(3, np.float32))
        return calls(compile, lambda x: (ops.sum(ops.sin(x * w)).backward(), ops.sum(x * w))[1]), w.grad

    assert_as_eager(run)


def test_a_parameter_made_after_a_child():
    # Crashes: an optimiser renews the ids of leaves in the order of their names, not in that in which they were made.
    class Scaled(nn.Module):
        def __init__(self):
            self.child = nn.Linear(3, 2, rng=rng())
            self.scale = minigen.tensor([0.5, -2.0], requires_grad=True)

        def forward(self, x):
            return self.child(x) * self.scale

    def run(compile):
        net = Scaled()
        optimizer = optim.SGD(net, 0.1)

        def step(x):
            optimizer.zero_grad()
            loss = ops.mean(ops.square(net(x)))
            loss.backward(net.parameters())
            optimizer.step()
            return loss

        return calls(compile, step), net.state_dict()

    assert_as_eager(run)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, CompileError])
def test_an_error_in_the_recording_leaves_everything_as_it_was(error):
    # Silent miss: a batch that is given again counts twice.
    generator = rng(4)
    net = nn.Sequential(nn.Linear(3, 4, rng=rng()), nn.BatchNorm1d(4), nn.Dropout(0.3, rng=generator))
    optimizer, average = optim.Adam(net, 0.1), optim.WeightAverage(net)

    def step(x):
        optimizer.zero_grad()
        loss = ops.mean(ops.square(net(x + ops.normal(generator, x.shape))))
        loss.backward()
        optim.clip_grad_norm(net, 0.01)
        optimizer.step()
        average.update()
        if error is CompileError:
            return loss.item()
        raise error

    def state():
        grads = net.flat().grad.copy()
        return [net.state_dict(), optimizer.state_dict(), grads, generator.bit_generator.state, average.average is None]

    before = state()
    with pytest.raises(error):
        minigen.compile(step)(X[0])
    assert_equal(state(), before)


def test_an_error_in_the_recording_leaves_the_gradient_of_a_loose_leaf():
    # Silent miss: a first gradient that counts twice.
    w = leaf(np.ones(3, np.float32))

    def step(x):
        loss = ops.sum(x * w)
        loss.backward()
        return loss.item()

    with pytest.warns(UserWarning):
        minigen.compile(step, strict=False)(X[0])
    np.testing.assert_array_equal(np.asarray(w.grad), ops.sum(X[0], 0))


# Crashes, or confuses -------------------------------------------------------------------------------------------------


def test_a_compiled_step_in_another_is_refused():
    inner = minigen.compile(lambda x: x * 2)
    outer = minigen.compile(lambda x: inner(x) + 1)
    with pytest.raises(CompileError, match="called inside another compiled step; compile only the outer one"):
        outer(X[0])
    np.testing.assert_array_equal(inner(X[0]), X[0] * 2)


def fitted(loss, **settings):
    net = mlp()
    history = fit(net, lambda x: loss(net, x), (X[0],), rng=rng(2), steps=5, batch_size=2, **settings)
    return history.loss, net.state_dict()


@pytest.mark.parametrize("trap", ["item", "noise", "compiled"])
def test_fit_runs_a_loss_that_cannot_be_recorded_as_it_is_and_says_why(trap):
    def loss_of():
        teacher = minigen.compile(lambda x: ops.sum(minigen.tensor(x), 1, keepdims=True))
        drawing = rng(7)
        return {
            "item": lambda net, x: squares(net, x) * (2.0 if squares(net, x).item() > 0.5 else 1.0),
            "noise": lambda net, x: squares(net, x + drawing.standard_normal(x.shape).astype(np.float32)),
            "compiled": lambda net, x: ops.mse(net(x), teacher(x)),
        }[trap]

    with pytest.warns(UserWarning, match=r"runs without being compiled: ") as warned:
        found = fitted(loss_of())
    assert len(warned) == 1
    assert_equal(found, fitted(loss_of(), compile=False))


def test_one_switch_turns_it_off(monkeypatch):
    monkeypatch.setenv("MINIGEN_COMPILE", "0")
    ran = []
    step = minigen.compile(lambda x: ran.append(1) or (x * x.sum().item(), minigen.tensor(x) * leaf(X[0])))
    for x in X[:5]:
        y, z = step(x)
        np.testing.assert_array_equal(y, x * x.sum().item())
        assert not z.requires_grad
    assert len(ran) == 5


def test_the_switch_is_looked_at_in_every_call(monkeypatch):
    ran = []
    step = minigen.compile(lambda x: ran.append(1) or ops.sum(minigen.tensor(x) * leaf(X[0])))
    for i, x in enumerate(X[:9]):
        if i == 3:
            monkeypatch.setenv("MINIGEN_COMPILE", "0")
        elif i == 6:
            monkeypatch.delenv("MINIGEN_COMPILE")
        assert step(x).item() == ops.sum(ops.multiply(x, X[0])).item()
    assert len(ran) == 2 + 3  # the recording and the second call, and while it was off


def test_check_debug_sees_every_call():
    step = minigen.compile(lambda x: ops.sum(ops.log(minigen.tensor(x))))
    step(abs(X[0])), step(abs(X[1]))
    with check.debug(), pytest.raises(FloatingPointError, match=r"log\(\) made Inf"):
        step(X[0] * 0)


def test_arguments_that_cannot_be_told_apart():
    step = minigen.compile(lambda x: x)
    for bad in ([1.0], {"x": X[0]}, (X[0],), SimpleNamespace(), np.ma.masked_array(X[0])):
        with pytest.raises(TypeError, match=r"takes arrays, tensors, and constants .* an argument of its own"):
            step(bad)


def test_a_step_that_is_no_function():
    with pytest.raises(TypeError, match="a function that does one step"):
        minigen.compile(X[0])


def test_positions_of_what_holds_are_refused():
    with pytest.raises(CompileError, match=r"np\.where"):
        minigen.compile(lambda x: np.where(x > 0))(X[0])


def test_a_condition_that_is_no_boolean():
    f = lambda x: ops.where(x.astype(np.int64), minigen.tensor(x), 2.0)
    assert_as_eager(calls, f)


def test_errors_of_the_step_itself_stay_what_they_are():
    net = mlp()
    for error, bad in [(ValueError, lambda x: net(x[:, :2])), (KeyError, lambda x: {}[0]), (TypeError, lambda: 1)]:
        with pytest.raises(error) as found:
            minigen.compile(bad)(X[0])
        assert not isinstance(found.value, CompileError)
    with pytest.raises(CompileError, match="was assigned"):
        minigen.compile(lambda x: setattr(net[0], "weight", np.zeros((5, 3))))(X[0])
    with pytest.raises(CompileError, match="zero_grad"):
        minigen.compile(lambda x: setattr(net[0].weight, "grad", None))(X[0])
    assert issubclass(CompileError, RuntimeError)


@pytest.mark.parametrize("show", [repr, str, lambda x: f"{x}"])
def test_printing_in_the_step_shows_the_numbers(show):
    shown = []
    minigen.compile(lambda x: shown.append(show(x)) or x)(X[0])
    assert shown == [show(X[0])]


def test_an_array_kept_by_the_program_is_an_ordinary_one_afterwards():
    kept = []
    step = minigen.compile(lambda x: kept.append((x * 2, minigen.tensor(x) * 2)) or x)
    step(X[0])
    array, tensor = kept[0]
    expected = X[0] * 2
    assert array[0, 0].item() == float(array[0, 0]) == expected[0, 0] and bool((array == expected).all())
    assert str(array) == str(expected) and f"{tensor.data[0, 0]:.3f}" == f"{expected[0, 0]:.3f}"
    assert array.argmax() == expected.argmax() and array.tolist() == expected.tolist()
    for copied in (copy.deepcopy(array), pickle.loads(pickle.dumps(array)), array + 0, np.array(array), array.T.T):
        np.testing.assert_array_equal(copied, expected)
    array += 1
    array[0] = 0
    array.sort()
    assert np.linalg.norm(array) > 0 and tensor.sum().item() == pytest.approx(float(expected.sum()), rel=1e-5)


def test_an_array_kept_by_the_program_is_an_argument_like_any_other():
    kept = []
    minigen.compile(lambda x: kept.append(x * 2) or x)(X[0])
    np.testing.assert_array_equal(minigen.compile(lambda x: x + 1)(kept[0]), X[0] * 2 + 1)


def test_a_method_can_be_compiled():
    class Model:
        @minigen.compile
        def step(self, x):
            return x * 2

    np.testing.assert_array_equal(Model().step(X[0]), X[0] * 2)


@pytest.mark.parametrize("f", [lambda x: x.ravel(), lambda x: x.flatten(), np.ravel, lambda x: 1.0 / x + x**-1])
def test_common_numpy_that_only_moves_or_computes(f):
    for x, y in zip(X, calls(minigen.compile, f)):
        np.testing.assert_allclose(y, f(x), rtol=1e-6)


# Slow -----------------------------------------------------------------------------------------------------------------


def test_a_constant_that_changes_in_every_call_is_refused():
    step = minigen.compile(lambda x, k: x * k)
    for k in range(16):
        step(X[0], float(k))
    with pytest.raises(CompileError, match=r"recorded 16 times.* give a number that changes as an array of shape \(\)"):
        step(X[0], 16.0)
    np.testing.assert_array_equal(step(X[0], 3.0), X[0] * 3)


def runs_of_the_step(use, n=9):
    """How often the Python of the step ran in n calls: in the recording, and where the step is done both ways."""
    ran = []
    step = minigen.compile(lambda x: ran.append(1) or use(x))
    for x in X[:n]:
        step(x)
    return len(ran)


def test_a_step_is_recorded_once():
    net = mlp()
    assert runs_of_the_step(lambda x: net(x)) <= 4


def test_a_step_that_sets_the_mode_of_its_layers():
    net = nn.Sequential(nn.Linear(3, 3, rng=rng()), nn.Dropout(0.5, rng=rng()))

    def use(x):
        y = net.train()(x)
        net.eval()
        return y

    with pytest.raises(CompileError, match=r"changes `training` of Dropout\(0.5\).*outside the step"):
        minigen.compile(use)(X[0])


def test_nothing_is_said_about_a_good_step():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_as_eager(train)
        fitted(squares)
