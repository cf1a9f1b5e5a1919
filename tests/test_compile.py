"""A compiled step gives bit for bit what the step itself gives, out of memory allocated beforehand."""

import gc
import io
import itertools
import os
import re
import subprocess
import sys
import tracemalloc
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import minigen
from minigen import Tensor, nn, ops, optim, watching
from minigen.models import VAE, Ensemble, Regressor
from minigen.tape import leaf
from minigen.training import fit

sys.path.insert(0, str(Path(__file__).parent / "ops"))
from examples import EXAMPLES, NAMES

ROOT = Path(__file__).parent.parent
FLOATS = (np.float32, np.float64)
ALL = [example for example in itertools.chain(*EXAMPLES.values()) if example.inputs]


def rng(seed=0):
    return np.random.default_rng(seed)


def eager(step):
    return step


def flat(tree) -> list[np.ndarray]:
    """The arrays in a nest of tuples, lists and dicts."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (tuple, list)):
        return [array for part in tree for array in flat(part)]
    return [np.array(tree.data if type(tree) is Tensor else tree)]


def assert_same(actual, expected):
    actual, expected = flat(actual), flat(expected)
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        assert a.dtype == e.dtype
        np.testing.assert_array_equal(a, e)


def plan_of(step):
    ((plan,),) = step.recordings.plans.values()
    return plan


# Every operation ------------------------------------------------------------------------------------------------------


def value_and_two_gradients(f, dtype):
    """A step that gives f(*arrays), the gradients of a projection of it, and the gradients of a projection of those."""

    def project(results):
        draws = (rng(len(y.shape) + y.size).standard_normal(y.shape).astype(dtype) for y in results)
        return sum(ops.sum(y * w) for y, w in zip(results, draws) if y.dtype.kind == "f")

    def step(*arrays):
        leaves = [minigen.tensor(array, requires_grad=True) for array in arrays]
        reached = sum(ops.sum(x) * 0.0 for x in leaves)
        y = f(*leaves)
        results = list(y) if isinstance(y, (list, tuple)) else [y]
        slopes = minigen.grad(project(results) + reached, leaves, create_graph=True)
        return results, slopes, minigen.grad(project(slopes) + reached, leaves)

    return step


@pytest.mark.parametrize("name", sorted({example.name for example in ALL}))
def test_an_operation_and_two_gradients_are_replayed_bit_for_bit(name):
    for dtype, example in itertools.product(FLOATS, EXAMPLES[name]):
        if name == "astype" and dtype is np.float32:
            continue  # its examples give float64
        first = [x.astype(dtype) for x in example.inputs]
        second = [rng(1).permutation(x.ravel()).reshape(x.shape) * dtype(1.0625) for x in first]
        step = value_and_two_gradients(example.f, dtype)
        compiled = minigen.compile(step)
        assert_same(compiled(*first), step(*first))
        compiled(*first)
        assert_same(compiled(*second), step(*second))  # call 3 is a replay
        assert_same(compiled(*first), step(*first))


def test_random_operations_are_the_rest_of_the_table():
    assert {example.name for example in ALL} == NAMES - {"normal", "uniform", "dropout_mask", "allclose"}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(3, 4), (50, 60), (0, 2)])
def test_draws_go_on_in_the_same_stream(shape, dtype):
    def run(compile):
        generator = rng(5)
        kinds = ops.normal, ops.uniform, lambda *settings: ops.dropout_mask(*settings[:2], 0.3, settings[2])
        step = compile(lambda: [draw(generator, shape, dtype) for draw in kinds])
        return [step() for _ in range(5)], generator.random()

    assert_same(run(minigen.compile), run(eager))


# Whole steps ----------------------------------------------------------------------------------------------------------

N = 20


def batches(n, d, seed=0, rows=16, dtype=np.float32):
    return [rng(seed + i).standard_normal((rows, d)).astype(dtype) for i in range(n)]


def supervised(*layers, optimizer=lambda net: optim.Adam(net, 0.01), dtype=np.float32):
    """Draws, regression on draws, and the state: what one of the tests below takes."""

    def make():
        generator = rng(3)
        net = nn.Sequential(*(layer(generator) for layer in layers)).astype(dtype)
        o = optimizer(net)

        def step(x):
            o.zero_grad()
            loss = ops.mse(net(x), x[:, :1])
            loss.backward()
            o.step()
            return loss

        return step, [net, o], generator

    return make


def linear(n_in, n_out, **settings):
    return lambda generator: nn.Linear(n_in, n_out, rng=generator, **settings)


def always(make, *args):
    return lambda generator: make(*args)


class Parts(nn.Module):
    def __init__(self, **parts):
        for name, part in parts.items():
            setattr(self, name, part)


def vae(d=4, k=2, width=8):
    generator = rng(3)
    encoder, decoder = (nn.MLP(s, "relu", rng=generator) for s in ([d, width, 2 * k], [k, width, d]))
    net = Parts(encoder=encoder, decoder=decoder, log_sd=leaf(np.zeros(d, np.float32)))
    optimizer = optim.Adam(net, optim.cosine_decay(0.01, N))

    def step(x):
        optimizer.zero_grad()
        out = encoder(x)
        mu, log_sd = out[:, :k], out[:, k:]
        z = mu + ops.exp(log_sd) * ops.normal(generator, mu.shape)
        kl = ops.sum(ops.standard_normal_kl(mu, log_sd)) / len(x)
        loss = ops.gaussian_nll(decoder(z), x, net.log_sd * 2.0) * float(d) + kl
        loss.backward()
        optimizer.step()
        return loss, mu

    return step, [net, optimizer], generator


def gan(d=4, k=3):
    generator = rng(3)
    make, judge = nn.MLP([k, 8, d], "relu", rng=generator), nn.MLP([d, 8, 1], "leaky_relu", rng=generator, slope=0.2)
    optimizers = [optim.Adam(net, 0.01, betas=(0.5, 0.99)) for net in (judge, make)]
    average = optim.WeightAverage(make, 0.9)
    average.update()

    def step(x):
        z = ops.normal(generator, (len(x), k))
        losses = []
        for optimizer, on_real in zip(optimizers, (True, False)):
            optimizer.zero_grad()
            fake = make(z)
            if on_real:
                fake = fake.detach()
                loss = ops.mean(ops.softplus(-judge(x))) + ops.mean(ops.softplus(judge(fake)))
            else:
                loss = ops.mean(ops.softplus(-judge(fake)))
            loss.backward()
            optimizer.step()
            losses.append(loss)
        average.update()
        return losses

    return step, [make, judge, *optimizers], generator


def energy(d=4, width=8, max_norm=1.0):
    generator = rng(3)
    net = nn.MLP([d, width, width, 1], "silu", rng=generator)
    optimizer = optim.Adam(net, 0.01)

    def step(x):
        optimizer.zero_grad()
        real = minigen.tensor(x, requires_grad=True)
        e = net(real)
        slope = minigen.grad(ops.sum(e), real, create_graph=True)
        fake = ops.normal(generator, x.shape)
        penalty = ops.mean(ops.sum(ops.square(slope), 1)) + ops.mean(ops.square(ops.norm(slope, 1) - 1.0))
        loss = ops.mean(e) - ops.mean(net(fake)) + penalty
        loss.backward()
        if max_norm:
            optim.clip_grad_norm(net, max_norm)
        optimizer.step()
        return loss, penalty

    return step, [net, optimizer], generator


ACTIVATIONS = [name for name in nn.Activation.NAMES]
OPTIMIZERS = {
    "SGD": optim.SGD,
    "momentum": lambda net: optim.SGD(net, 0.01, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda net: optim.SGD(net, 0.01, momentum=0.9, nesterov=True),
    "RMSprop": optim.RMSprop,
    "Adam": lambda net: optim.Adam(net, optim.exponential_decay(0.01, 5), weight_decay=0.01),
    "AdamW": lambda net: optim.AdamW(net, optim.step_decay(0.01, 5)),
}
STEPS = {
    **{a: supervised(linear(4, 6), always(nn.Activation, a), linear(6, 1)) for a in ACTIVATIONS},
    **{name: supervised(linear(4, 6), linear(6, 1), optimizer=each) for name, each in OPTIMIZERS.items()},
    "LayerNorm": supervised(linear(4, 6), always(nn.LayerNorm, 6), linear(6, 1, bias=False)),
    "BatchNorm1d": supervised(linear(4, 6), always(nn.BatchNorm1d, 6), linear(6, 1)),
    "Dropout": supervised(linear(4, 6), lambda generator: nn.Dropout(0.4, rng=generator), linear(6, 1)),
    "float64": supervised(linear(4, 6), always(nn.Activation, "elu"), linear(6, 1), dtype=np.float64),
    "VAE": vae,
    "GAN": gan,
    "energy": energy,
}


def taken(make, compile):
    """Results of N calls, then weights, buffers, moments and the next draw."""
    step, parts, generator = make()
    step = compile(step)
    results = [step(x) for x in batches(N, 4)]
    return results, [part.state_dict() for part in parts], generator.random()


@pytest.mark.parametrize("name", STEPS)
def test_twenty_steps_are_twenty_steps(name):
    assert_same(taken(STEPS[name], minigen.compile), taken(STEPS[name], eager))


@pytest.mark.parametrize("name", STEPS)
def test_a_check_of_every_call_finds_nothing(name):
    assert_same(taken(STEPS[name], lambda step: minigen.compile(step, check=True)), taken(STEPS[name], eager))


def test_langevin_chains_are_one_recording():
    def run(compile):
        generator = rng(4)
        net = nn.MLP([2, 8, 1], "silu", rng=generator)

        def ula(x):
            x = minigen.tensor(x, requires_grad=True)
            slope = minigen.grad(ops.sum(net(x)), x)
            return x.detach() - slope * 0.1 + ops.normal(generator, x.shape) * 0.4

        step, x = compile(ula), rng(1).standard_normal((32, 2)).astype(np.float32)
        for _ in range(N):
            x = step(x).data
        return x

    assert_same(run(minigen.compile), run(eager))


# fit() and the models -------------------------------------------------------------------------------------------------


def trained(tmp_path, compile, resume):
    generator = rng(2)
    layers = nn.Linear(4, 6, rng=generator), nn.Dropout(0.2, rng=generator), nn.BatchNorm1d(6)
    net = nn.Sequential(*layers, nn.Activation("tanh"), nn.Linear(6, 1, rng=generator))
    optimizer, average = optim.Adam(net, optim.cosine_decay(0.02, 30)), optim.WeightAverage(net, 0.9)
    data = rng(8).standard_normal((40, 4))

    def loss(x, y):
        return ops.mse(net(x + 0.1 * ops.normal(generator, x.shape, x.dtype)), y)

    def run(steps, resume):
        return fit(
            net,
            loss,
            (data, data[:, :1]),
            rng=generator,
            steps=steps,
            batch_size=8,
            optimizer=optimizer,
            max_norm=0.5,
            average=average,
            validation=(data[:9], data[:9, :1]),
            validate_every=7,
            checkpoint=tmp_path / f"{compile}.npz",
            resume=resume,
            compile=compile,
        )

    if resume:
        run(13, False)
        with average.applied():  # weights come and go in the buffer
            pass
    history = run(30, resume)
    return (
        history.loss,
        history.validation,
        net.state_dict(),
        optimizer.state_dict(),
        average.average,
        generator.random(),
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("resume", [False, True])
def test_fit_gives_the_same_compiled(tmp_path, resume):
    assert_same(trained(tmp_path, True, resume), trained(tmp_path, False, False))


DATA = rng(1).standard_normal((60, 3))
SMALL = {"hidden": (8,), "steps": 30, "batch_size": 16}
MODELS = {
    "point": lambda g: Regressor(**SMALL).fit(DATA, DATA[:, :2], rng=g),
    "dropout": lambda g: Regressor(**SMALL, dropout=0.2).fit(DATA, DATA[:, :2], rng=g),
    "gaussian": lambda g: Regressor(**SMALL, head="gaussian").fit(
        DATA, DATA[:, :1], rng=g, validation=(DATA[:5], DATA[:5, :1])
    ),
    "ensemble": lambda g: Ensemble(Regressor(**SMALL, head="gaussian"), 2).fit(DATA, DATA[:, :2], rng=g),
    "diagonal": lambda g: VAE(2, **SMALL).fit(DATA, rng=g),
    "full": lambda g: VAE(2, **SMALL, posterior="full", activation="silu").fit(DATA, rng=g),
    "fixed SD": lambda g: VAE(2, **SMALL, decoder_sd=0.3, beta=0.5).fit(DATA, rng=g),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MODELS)
def test_models_learn_the_same_compiled(name, monkeypatch):
    def run():
        generator = rng(6)
        model = MODELS[name](generator)
        return [
            (m.history_.loss, m.network_.state_dict()) for m in getattr(model, "members_", [model])
        ], generator.random()

    compiled = run()
    monkeypatch.setenv("MINIGEN_COMPILE", "0")
    assert_same(compiled, run())


# Memory ---------------------------------------------------------------------------------------------------------------


def classifier():
    net = nn.MLP([4, 8, 5], "relu", rng=rng())
    optimizer = optim.Adam(net)

    def step(x, labels):
        optimizer.zero_grad()
        loss = ops.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    return step, x_of(64, 4), rng().integers(0, 5, 64)


def x_of(rows, d):
    return batches(1, d, rows=rows)[0]


W1 = supervised(
    linear(1, 64), always(nn.Activation, "tanh"), linear(64, 64), always(nn.Activation, "tanh"), linear(64, 1)
)
ALLOCATING = {  # a step and its arguments
    "W1": lambda: (W1()[0], x_of(64, 1)),
    "W3": lambda: (vae(100, 6, 128)[0], x_of(128, 100)),
    "W4": lambda: (energy(100, 128, None)[0], x_of(64, 100)),
    "classifier": classifier,
    "GAN": lambda: (gan()[0], x_of(64, 4)),
}


def allocated(plan, args, calls=1000):
    """Growth of Python's blocks and of the traced bytes over many replays, and the most bytes at one time.

    Of the blocks the least of some rounds: Python's own caches fill in the first ones.
    """
    gc.collect()
    blocks = [sys.getallocatedblocks()]
    for _ in range(5):
        for _ in range(calls // 2):
            plan.run(args)
        blocks.append(sys.getallocatedblocks())
    blocks = np.diff(blocks).min()
    tracemalloc.start()
    try:
        plan.run(args)
        current, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(calls):
            plan.run(args)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return blocks, after - current, peak - current


@pytest.mark.parametrize("name", ALLOCATING)
def test_a_replay_allocates_nothing(name):
    step, *args = ALLOCATING[name]()
    step = minigen.compile(step)
    for _ in range(3):
        step(*args)
    plan = plan_of(step)
    assert not [a[1].__name__ for f, a in plan.calls if getattr(f, "__name__", "") == "copy_result"]
    blocks, growth, peak = allocated(plan, args)
    assert blocks < 20 and growth < 1000
    assert peak < 40_000  # the results, and what NumPy's iterators take for one operation on a slice or a column


def test_clipping_allocates_nothing():
    step = minigen.compile(energy(100, 128)[0])
    x = x_of(64, 100)
    for _ in range(3):
        step(x)
    assert allocated(plan_of(step), (x,), 20)[2] < 40_000


def test_memory_is_used_again():
    net = nn.MLP([8] + [32] * 20 + [1], "tanh", rng=rng())
    step = minigen.compile(lambda x: net(x).detach())
    x = x_of(64, 8)
    with minigen.no_grad():
        step(x), step(x)
        assert plan_of(step).bytes <= 2 * 64 * 32 * 4 < 20 * 64 * 32 * 4
        assert_same(step(x), net(x))


def test_what_nobody_uses_is_not_computed():
    ran = []
    net = nn.MLP([4, 8, 1], "tanh", rng=rng())

    def step(x):
        ran.append(ops.sum(ops.exp(net(x)), 0))
        return ops.sum(x, 1)

    step = minigen.compile(step)
    step(x_of(5, 4)), step(x_of(5, 4))
    assert plan_of(step).names == ["sum"]


def test_gradients_are_written_where_they_belong():
    step = minigen.compile(W1()[0])
    x = x_of(64, 1)
    step(x), step(x)
    assert not {"add_to", "clear", "add"} & set(plan_of(step).names)


# The program ----------------------------------------------------------------------------------------------------------


def test_the_program_shows_every_call_and_changes_nothing():
    step, parts, generator = vae()
    step = minigen.compile(step)
    x = x_of(16, 4)
    with pytest.raises(ValueError, match="no program yet"):
        step.program()
    step(x), step(x)
    before = flat([part.state_dict() for part in parts]), generator.bit_generator.state
    lines = step.program().splitlines()
    assert_same(flat([part.state_dict() for part in parts]), before[0])
    assert generator.bit_generator.state == before[1]
    head, *rows, foot = lines
    assert head.split() == ["operation", "kernel", "bytes", "µs", "arrays"]
    assert len(rows) == len(plan_of(step).calls) and foot.startswith(f"{len(rows)} calls, ")
    assert f"{plan_of(step).bytes:,} bytes of intermediate results" in foot
    operation, kernel, size, microseconds, *shapes = rows[0].split()
    assert (operation, kernel, size) == ("linear", "dot", f"{4 * (16 * 4 + 4 * 8 + 16 * 8):,}")
    assert shapes == ["16x4", "4x8", "16x8"] and float(microseconds) > 0
    assert {"exp", "normal", "standard_normal_kl", "gaussian_nll", "matmul", "Adam.advance"} <= {
        r.split()[0] for r in rows
    }
    assert "compiled: 1 recordings" in repr(step)


def test_the_page_of_explanation_shows_what_one_gets():
    page = (ROOT / "minigen" / "compile" / "README.md").read_text(encoding="utf-8")
    source, shown = re.search(r"```python\n(.*?)```.*?```\n(.*?)```", page, re.DOTALL).groups()
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(source, "README.md", "exec"), {"__name__": "readme"})
    timeless = lambda text: re.sub(r" +\d+\.\d+", " #", text)
    assert timeless(out.getvalue()) == timeless(shown)
    for name in re.findall(r"`(\w+\.py)`", page):
        assert list((ROOT / "minigen").glob(f"**/{name}")), name
    for door in ("act", "live_check", "relies", "shown", "refuse"):
        assert f"| `{door}(" in page and hasattr(watching, door)


def test_without_numba():
    names = "twenty_steps and (tanh or Adam or VAE or energy) or bit_for_bit and (softmax or linear or losses)"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", names, __file__]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "MINIGEN_KERNELS": "numpy"}, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout[-3000:]
