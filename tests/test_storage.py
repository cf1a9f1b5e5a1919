"""Does a checkpoint bring back exactly what was saved, and does a bad file do nothing but raise one clear error?"""

import io
import json
import os
import pickle
import stat
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigen import nn, ops, optim, storage, tensor
from minigen.storage import CheckpointError, formats, generators

ENDINGS = [
    ".npz",
    pytest.param(
        ".safetensors",
        marks=pytest.mark.skipif(
            "not __import__('importlib.util').util.find_spec('safetensors')", reason="no safetensors"
        ),
    ),
]
both_formats = pytest.mark.parametrize("ending", ENDINGS)


@pytest.fixture(autouse=True, scope="module")
def without_waiting_for_the_disk():
    """fsync without its wait: these tests write thousands of files, and none of them pulls the plug."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", os.fstat)
        yield


class Run:
    """A small training run that uses everything a checkpoint keeps: noise, dropout, batch statistics, minibatches."""

    def __init__(self, seed=0, width=5, optimizer=optim.Adam):
        self.rng = np.random.default_rng(seed)
        self.module = nn.Sequential(
            nn.Linear(2, width, rng=self.rng),
            nn.BatchNorm1d(width),
            nn.Activation("tanh"),
            nn.Dropout(0.3, rng=self.rng),
            nn.Linear(width, 1, rng=self.rng),
        )
        self.optimizer = optimizer(self.module, lr=0.01)
        self.average = optim.WeightAverage(self.module, decay=0.9)
        self.order = self.rng.permutation(24)
        data = np.random.default_rng(99)
        self.x, self.y = data.normal(size=(24, 2)).astype(np.float32), data.normal(size=(24, 1)).astype(np.float32)

    def train(self, steps, start=0):
        losses = []
        for step in range(start, start + steps):
            rows = self.order[(6 * step) % 24 : (6 * step) % 24 + 6]
            noisy = self.x[rows] + 0.1 * self.rng.standard_normal((6, 2)).astype(np.float32)
            loss = ops.mse(self.module(tensor(noisy)), self.y[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.average.update()
            losses.append(loss.item())
        return losses

    def parts(self):
        return {"module": self.module, "optimizer": self.optimizer, "average": self.average, "rng": self.rng}

    def state(self):
        """Everything that a checkpoint could change, as comparable bytes."""
        average = self.average.running
        return (
            {name: (array.dtype.str, array.tobytes()) for name, array in self.module.state_dict().items()},
            {name: array.tobytes() for name, array in self.optimizer.state_dict().items()},
            None if average is None else average.tobytes(),
            json.dumps(self.rng.bit_generator.state),
        )


@pytest.fixture(params=ENDINGS)
def saved(request, tmp_path):
    """A run of three steps and the path of its checkpoint."""
    run = Run(seed=1)
    run.train(3)
    path = tmp_path / f"run{request.param}"
    storage.save(path, **run.parts(), step=3, extra={"order": run.order, "best": 0.25, "name": "first"})
    return run, path


def check_refused(path, run, words=()):
    """Loading must raise a CheckpointError that names the path and these words, and change nothing."""
    before = run.state()
    with pytest.raises(CheckpointError) as caught:
        storage.load(path, **run.parts())
    assert run.state() == before
    for word in (str(path), *words):
        assert word in str(caught.value)


# What comes back


def test_all_parts_come_back(saved):
    run, path = saved
    other = Run(seed=2)
    found = storage.load(path, **other.parts())
    assert other.state() == run.state()
    assert found.step == 3
    assert found.extra["best"] == 0.25 and found.extra["name"] == "first"
    np.testing.assert_array_equal(found.extra["order"], run.order)
    found.extra["order"][0] = 5  # writable: an order of training is shuffled again
    assert found.optimizer["kind"] == "Adam" and found.optimizer["steps"] == 3
    assert set(found.generators) == {"rng", "module.3.rng"}


def test_a_file_can_be_read_without_objects(saved):
    run, path = saved
    found = storage.load(path)
    for name, array in run.module.state_dict().items():
        np.testing.assert_array_equal(found.weights[name], array, strict=True)
    np.testing.assert_array_equal(found.optimizer["mean"], run.optimizer.moments["mean"])
    np.testing.assert_array_equal(found.average, run.average.running)


@both_formats
def test_resuming_is_bit_for_bit_as_if_never_stopped(ending, tmp_path):
    whole = Run(seed=3)
    losses = whole.train(10)
    storage.save(tmp_path / f"half{ending}", **whole.parts(), step=10, extra={"order": whole.order})
    losses += whole.train(10, start=10)

    resumed = Run(seed=77)
    found = storage.load(tmp_path / f"half{ending}", **resumed.parts())
    resumed.order = found.extra["order"]
    assert resumed.train(10, start=found.step) == losses[10:]
    assert resumed.state() == whole.state()


@both_formats
@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_every_optimiser_resumes(ending, kind, tmp_path):
    whole = Run(optimizer=getattr(optim, kind))
    whole.train(2)
    storage.save(tmp_path / f"a{ending}", **whole.parts())
    resumed = Run(seed=5, optimizer=getattr(optim, kind))
    storage.load(tmp_path / f"a{ending}", **resumed.parts())
    resumed.order = whole.order
    assert whole.train(3, start=2) == resumed.train(3, start=2)


@both_formats
@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_bit_generator_comes_back(ending, kind, tmp_path):
    rng, other = (np.random.Generator(getattr(np.random, kind)(seed)) for seed in (1, 2))
    rng.random(7, np.float32)  # an odd number of halves: one 32-bit half stays in the state
    storage.save(tmp_path / f"rng{ending}", rng=rng)
    storage.load(tmp_path / f"rng{ending}", rng=other)
    np.testing.assert_array_equal(rng.random(9, np.float32), other.random(9, np.float32))
    np.testing.assert_array_equal(rng.standard_normal(1000), other.standard_normal(1000))


@both_formats
def test_a_layer_with_its_own_generator_resumes(ending, tmp_path):
    def make(seed):
        rng = np.random.default_rng(seed)
        return nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Dropout(0.5, rng=np.random.default_rng(seed)))

    path, x = tmp_path / f"own{ending}", np.ones((5, 2), np.float32)
    net, other = make(1), make(2)
    net(x)
    storage.save(path, module=net)
    storage.load(path, module=other)
    np.testing.assert_array_equal(net(x).data, other(x).data)


@both_formats
def test_generators_in_lists_and_dicts_of_a_layer_resume(ending, tmp_path):
    class Noisy(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(2, 2, rng=np.random.default_rng(0))
            self.noise = [np.random.default_rng(1), {"deep": (np.random.default_rng(2),)}]

        def forward(self, x):
            return self.linear(x + ops.normal(self.noise[0], x.shape)) * ops.normal(self.noise[1]["deep"][0], x.shape)

    path, x = tmp_path / f"c{ending}", np.ones((3, 2), np.float32)
    net = nn.Sequential(Noisy(), nn.Linear(2, 2, rng=np.random.default_rng(0)))
    net(x)
    storage.save(path, net)
    assert set(storage.load(path).generators) == {"module.0.noise.0", "module.0.noise.1.deep.0"}
    other = nn.Sequential(Noisy(), nn.Linear(2, 2, rng=np.random.default_rng(0)))
    storage.load(path, other)
    for _ in range(2):
        np.testing.assert_array_equal(other(x).data, net(x).data)


@both_formats
def test_parts_that_were_not_asked_for_are_left_aside(ending, tmp_path):
    run, other = Run(seed=1), Run(seed=2)
    storage.save(tmp_path / f"a{ending}", **run.parts())
    before = other.state()
    storage.load(tmp_path / f"a{ending}", optimizer=other.optimizer)
    assert other.state()[0] == before[0] and other.state()[3] == before[3]


numbers = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.none(),
)
kinds = st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">i8"])
arrays = st.builds(
    lambda shape, dtype, seed: np.random.default_rng(seed).integers(0, 100, shape).astype(dtype),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    kinds,
    st.integers(0, 100),
)
names = st.from_regex(r"[A-Za-z_][\w.-]{0,10}", fullmatch=True)


@both_formats
@settings(max_examples=60, deadline=None)
@given(extra=st.dictionaries(names, st.one_of(numbers, arrays), max_size=4), step=st.none() | st.integers(0, 2**62))
def test_extras_of_every_kind_come_back(ending, tmp_path_factory, extra, step):
    path = tmp_path_factory.getbasetemp() / f"extra{ending}"
    storage.save(path, extra=extra, step=step)
    found = storage.load(path)
    assert found.step == step and found.extra.keys() == extra.keys()
    for name, value in extra.items():
        if isinstance(value, np.ndarray):
            expected = value.astype(value.dtype.newbyteorder("="))
            np.testing.assert_array_equal(found.extra[name], expected, strict=True)
        else:
            assert found.extra[name] == value and type(found.extra[name]) is type(value)


@both_formats
def test_values_at_the_edge_come_back(ending, tmp_path):
    path = tmp_path / f"edge{ending}"
    values = np.array([[np.nan, -0.0, np.inf], [5e-324, -np.inf, 1.0]]).T  # not contiguous either
    storage.save(path, extra={"values": values, "loss": float("nan"), "best": np.float32(np.inf), "n": np.int64(3)})
    extra = storage.load(path).extra
    assert extra["values"].tobytes() == np.ascontiguousarray(values).tobytes()
    assert np.isnan(extra["loss"]) and extra["best"] == np.inf and extra["n"] == 3


# Who else reads and writes these files


def test_numpy_reads_an_npz(tmp_path):
    run = Run()
    storage.save(tmp_path / "a.npz", module=run.module)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["0.weight"], run.module[0].weight.data)
        assert json.loads(bytes(found["minigen/record"]))["format"] == "minigen checkpoint"


def test_weights_from_numpy_savez(tmp_path):
    run, other = Run(seed=1), Run(seed=2)
    np.savez(tmp_path / "plain.npz", **{name: np.array(a, order="F") for name, a in run.module.state_dict().items()})
    storage.load_weights(tmp_path / "plain.npz", other.module)
    assert other.state()[0] == run.state()[0]
    with pytest.raises(CheckpointError, match="load_weights"):
        storage.load(tmp_path / "plain.npz", module=other.module)


def test_compressed_weights_of_numpy_are_taken(tmp_path):
    run, other = Run(seed=1), Run(seed=2)
    state = run.module.state_dict()
    for name, arrays in (
        ("plain", state),
        ("wide", {k: np.asarray(v, np.result_type(v, "f8")) for k, v in state.items()}),
    ):
        if name == "wide":
            arrays = {k: a if state[k].dtype.kind == "f" else state[k] for k, a in arrays.items()}
        np.savez_compressed(tmp_path / f"{name}.npz", **arrays)
        other = Run(seed=2)
        storage.load_weights(tmp_path / f"{name}.npz", other.module)
        assert other.state()[0] == run.state()[0]
    with pytest.raises(CheckpointError, match="compressed"):
        storage.load(tmp_path / "plain.npz", module=other.module)


@pytest.mark.parametrize("claim", ["true", "small"])
def test_what_unpacks_to_more_than_the_network_is_not_unpacked(claim, tmp_path, monkeypatch):
    """Zeros, a thousand times as many as in the file, in place of a weight; the entry tells its size, or lies."""
    path, run = tmp_path / "a.npz", Run()
    huge = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (50000000,)}", bytes(200_000_000))
    entries = valid_entries(run)
    rewrite(entries, path, {"0.weight.npy": huge}, zipfile.ZIP_DEFLATED)
    if claim == "small":
        content = bytearray(path.read_bytes())
        size = len(huge).to_bytes(4, "little")
        while (place := content.find(size)) >= 0:
            content[place : place + 4] = len(entries["0.weight.npy"]).to_bytes(4, "little")
        path.write_bytes(content)
    del huge
    before = run.state()
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError):
            storage.load_weights(path, run.module)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert run.state() == before


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method, tmp_path):
    path, run = tmp_path / "a.npz", Run()
    rewrite(valid_entries(run), path, {}, method)
    with pytest.raises(CheckpointError, match="compressed in a way"):
        storage.load_weights(path, run.module)


def test_compressed_weights_cut_short_or_damaged_change_nothing(tmp_path):
    path, run, target = tmp_path / "a.npz", Run(seed=1), Run(seed=2)
    np.savez_compressed(path, **run.module.state_dict())
    whole, fresh, r = path.read_bytes(), target.state(), np.random.default_rng(5)
    for place in r.integers(0, 8 * len(whole), 200):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged[: len(whole) - (place % 3 == 0) * int(r.integers(1, len(whole)))])
        try:
            storage.load_weights(path, target.module)
        except CheckpointError:
            assert target.state() == fresh
        else:
            assert target.state()[0] == run.state()[0]
            target = Run(seed=2)


def test_weights_of_another_precision_are_converted(tmp_path):
    run, other = Run(seed=1), Run(seed=2)
    state = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in run.module.state_dict().items()}
    np.savez(tmp_path / "wide.npz", **state)
    storage.load_weights(tmp_path / "wide.npz", other.module)
    assert other.state()[0] == run.state()[0]


def test_load_weights_takes_a_checkpoint_and_leaves_generators_alone(saved):
    run, path = saved
    other = Run(seed=2)
    before = other.state()
    storage.load_weights(path, other.module)
    assert other.state() == (run.state()[0], *before[1:])


def test_load_weights_checks_before_it_changes(tmp_path):
    run = Run()
    state = run.module.state_dict()
    state["0.weight"] = state["0.weight"] + 1
    state["4.bias"] = np.zeros(2, np.float32)
    np.savez(tmp_path / "wrong.npz", **state)
    before = run.state()
    with pytest.raises(CheckpointError, match=r"4\.bias.*\(1,\).*\(2,\)"):
        storage.load_weights(tmp_path / "wrong.npz", run.module)
    assert run.state() == before


@both_formats
def test_a_checkpoint_without_its_record_is_no_plain_weights(ending, tmp_path):
    # The record holds the checksum: without it damaged weights would pass for somebody else's good ones.
    path, run = tmp_path / f"a{ending}", Run()
    storage.save(path, **run.parts())
    path.write_bytes(
        path.read_bytes().replace(b"minigen/record", b"minigen/rec0rd").replace(b'{"minigen"', b'{"mimigen"')
    )
    with pytest.raises(CheckpointError, match="record is missing"):
        storage.load_weights(path, run.module)


def test_torch_and_minigen_read_each_other(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    run = Run(seed=1)
    twin = torch.nn.Sequential(
        torch.nn.Linear(2, 5), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Dropout(0.3), torch.nn.Linear(5, 1)
    )
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    theirs.save_file(twin.state_dict(), tmp_path / "torch.safetensors")
    storage.load_weights(tmp_path / "torch.safetensors", run.module)
    with torch.no_grad():
        np.testing.assert_allclose(run.module.eval()(x).data, twin.eval()(torch.tensor(x)).numpy(), atol=1e-6)

    run.train(2)
    storage.save(tmp_path / "ours.safetensors", module=run.module)
    twin.load_state_dict(theirs.load_file(tmp_path / "ours.safetensors"))
    with torch.no_grad():
        np.testing.assert_allclose(run.module.eval()(x).data, twin(torch.tensor(x)).numpy(), atol=1e-6)


def test_bfloat16_is_refused_by_name(tmp_path):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("safetensors.torch")
    theirs.save_file({"weight": torch.zeros(1, 2, dtype=torch.bfloat16)}, tmp_path / "half.safetensors")
    with pytest.raises(CheckpointError, match=r"BF16.*float32"):
        storage.load_weights(tmp_path / "half.safetensors", nn.Linear(2, 1, rng=np.random.default_rng(0), bias=False))


def test_without_safetensors_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        storage.save(tmp_path / "a.safetensors", step=1)
    assert not list(tmp_path.iterdir())


# A checkpoint that does not fit


@both_formats
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Run(width=6), ["0.weight", "(6, 2)", "(5, 2)"]),
        (lambda: Run(optimizer=optim.SGD), ["Adam", "SGD"]),
        (lambda: Run(optimizer=optim.AdamW), ["Adam", "AdamW"]),
    ],
    ids=["width", "SGD", "AdamW"],
)
def test_another_network_or_optimiser(ending, make, words, tmp_path):
    storage.save(tmp_path / f"a{ending}", **Run(seed=1).parts())
    check_refused(tmp_path / f"a{ending}", make(), words)


@both_formats
def test_other_names_dtypes_and_missing_parts(ending, tmp_path):
    path, run = tmp_path / f"a{ending}", Run()
    storage.save(path, **{**run.parts(), "module": nn.Linear(2, 3, rng=run.rng)})
    check_refused(path, run, ["weight", "0.bias", "1.running_mean"])
    wide = Run(seed=4)
    wide.module.astype(np.float64)
    storage.save(path, **{**wide.parts(), "optimizer": optim.Adam(wide.module)})
    check_refused(path, run, ["float64", "float32"])
    storage.save(path, module=run.module, rng=run.rng)
    check_refused(path, run, ["optimizer", "average"])


@both_formats
def test_the_average_must_fit_too(ending, tmp_path):
    path, run = tmp_path / f"a{ending}", Run()
    other = optim.WeightAverage(nn.Linear(3, 3, rng=np.random.default_rng(0)))
    other.update()
    storage.save(path, **{**run.parts(), "average": other})
    check_refused(path, run, ["average", "(12,)"])


@both_formats
def test_another_kind_of_generator(ending, tmp_path):
    path, rng = tmp_path / f"a{ending}", np.random.Generator(np.random.Philox(0))
    storage.save(path, rng=np.random.default_rng(0))
    before = rng.bit_generator.state["state"]["key"].tolist()
    with pytest.raises(CheckpointError, match=r"Philox.*PCG64"):
        storage.load(path, rng=rng)
    assert rng.bit_generator.state["state"]["key"].tolist() == before


@both_formats
def test_generators_shared_then_must_be_shared_now(ending, tmp_path):
    path, run = tmp_path / f"a{ending}", Run()
    storage.save(path, **run.parts())
    other = Run(seed=2)
    other.rng = np.random.default_rng(5)  # no longer the one that the dropout layer draws from
    check_refused(path, other, ["rng", "module.3.rng", "load_weights"])
    storage.save(path, **other.parts())
    check_refused(path, run, ["rng", "load_weights"])


@both_formats
def test_dropout_that_was_not_there(ending, tmp_path):
    rng = np.random.default_rng(0)
    plain, noisy = nn.Linear(2, 1, rng=rng), nn.Linear(2, 1, rng=rng)
    noisy.noise = nn.Dropout(0.5, rng=rng)
    storage.save(tmp_path / f"a{ending}", module=plain)
    with pytest.raises(CheckpointError, match=r"module\.noise\.rng"):
        storage.load(tmp_path / f"a{ending}", module=noisy)
    storage.load_weights(tmp_path / f"a{ending}", noisy)
    np.testing.assert_array_equal(noisy.weight.data, plain.weight.data)


# What cannot be saved


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"step": -1}, ValueError, "step=-1; expected a whole number"),
        ({"step": float("nan")}, ValueError, "step=nan"),
        ({"step": True}, ValueError, "step=True"),
        ({"extra": {"a": [1, 2]}}, TypeError, "asarray"),
        ({"extra": {"a": np.array(["text"])}}, TypeError, "convert"),
        ({"extra": {"a": np.array([object()])}}, TypeError, "object"),
        ({"extra": {"a": np.array([1j])}}, TypeError, "complex"),
        ({"extra": {"a/b": 1}}, ValueError, "letters"),
        ({"extra": {3: 1}}, ValueError, "letters"),
        ({"rng": np.random}, TypeError, "Generator"),
        ({"rng": 0}, TypeError, "Generator"),
        ({"module": "net"}, TypeError, "Module"),
        ({"optimizer": 3}, TypeError, "Optimizer"),
    ],
)
def test_what_cannot_be_saved_leaves_no_file(settings, error, words, tmp_path):
    with pytest.raises(error, match=words):
        storage.save(tmp_path / "a.npz", **settings)
    assert not list(tmp_path.iterdir())


def test_a_parameter_may_not_have_a_reserved_name(tmp_path):
    net = nn.Module()
    setattr(net, "minigen/average", tensor([1.0], requires_grad=True))
    with pytest.raises(ValueError, match="kept for itself"):
        storage.save(tmp_path / "a.npz", module=net)


@pytest.mark.parametrize("name", ["run.pt", "run", "run.npz.gz"])
def test_the_name_says_the_format(name, tmp_path):
    for call in (storage.save, storage.load):
        with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
            call(tmp_path / name)


# How it is written


def test_missing_folder_missing_file_and_a_folder_in_the_way(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        storage.save(tmp_path / "none" / "a.npz", step=1)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        storage.load(tmp_path / "a.npz")
    (tmp_path / "dir.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        storage.save(tmp_path / "dir.npz", step=1)
    with pytest.raises(CheckpointError, match="folder"):
        storage.load(tmp_path / "dir.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["dir.npz"]


@both_formats
@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"])
def test_a_failure_while_writing_keeps_the_old_file(ending, failing, error, tmp_path, monkeypatch):
    path = tmp_path / f"a{ending}"
    storage.save(path, step=1)

    def fail(*args):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, fail)
        with pytest.raises(type(error)):
            storage.save(path, step=2)
    assert storage.load(path).step == 1
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    storage.save(path, step=3)
    assert storage.load(path).step == 3


def test_the_file_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.fstat(file).st_size))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("renamed"), replace(a, b)))
    storage.save(tmp_path / "a.npz", step=1)
    assert done[0] == (tmp_path / "a.npz").stat().st_size and done[1] == "renamed"


@pytest.mark.skipif(os.name != "posix", reason="permission bits and links of POSIX")
def test_permissions_and_links(tmp_path):
    before = os.umask(0o027)
    try:
        storage.save(tmp_path / "a.npz", step=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == 0o640
    os.chmod(tmp_path / "a.npz", 0o600)
    (tmp_path / "last.npz").symlink_to("a.npz")
    storage.save(tmp_path / "last.npz", step=2)
    assert (tmp_path / "last.npz").is_symlink() and storage.load(tmp_path / "a.npz").step == 2
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == 0o600


def test_the_same_state_gives_the_same_bytes(tmp_path):
    run = Run()
    for name in ("a.npz", "b.npz"):
        storage.save(tmp_path / name, **run.parts(), step=1)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# Damaged and hostile files


def test_cut_short_anywhere(saved):
    _, path = saved
    whole, target = path.read_bytes(), Run(seed=2)
    for length in sorted({*range(0, 40), *range(0, len(whole), 61), *range(len(whole) - 40, len(whole))}):
        path.write_bytes(whole[:length])
        check_refused(path, target)


def test_flipped_bits(saved):
    run, path = saved
    whole, expected = path.read_bytes(), run.state()
    rng, target = np.random.default_rng(0), Run(seed=2)
    fresh, refused = target.state(), 0
    places = rng.integers(0, 8 * len(whole), 300)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            found = storage.load(path, **target.parts())
        except CheckpointError:
            refused += 1
            assert target.state() == fresh
        else:
            assert target.state() == expected and found.step == 3 and found.extra["best"] == 0.25
            target = Run(seed=2)
    assert refused > len(places) / 2


def test_pieces_changed_swapped_and_repeated(saved):
    run, path = saved
    whole, expected = path.read_bytes(), run.state()
    rng, target = np.random.default_rng(1), Run(seed=2)
    fresh = target.state()
    for case in range(150):
        start, other, length = (int(v) for v in rng.integers(0, len(whole), 3))
        piece = whole[other : other + length // (1 + case % 50)]
        if case % 3 == 0:
            damaged = whole[:start] + piece + whole[start:]
        elif case % 3 == 1:
            damaged = whole[:start] + piece + whole[start + len(piece) :]
        else:
            damaged = whole[:start] + bytes(len(piece)) + whole[start + len(piece) :]
        path.write_bytes(damaged)
        try:
            storage.load(path, **target.parts())
        except CheckpointError:
            assert target.state() == fresh
        else:
            assert target.state() == expected
            target = Run(seed=2)


@both_formats
@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=300))
@pytest.mark.filterwarnings("ignore")
def test_random_bytes(ending, tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / f"random{ending}"
    for start in (b"", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\x00", len(content).to_bytes(8, "little") + b"{"):
        path.write_bytes(start + content)
        with pytest.raises(CheckpointError):
            storage.load(path)
        with pytest.raises(CheckpointError):
            storage.load_weights(path, nn.Linear(1, 1, rng=np.random.default_rng(0)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(CheckpointError, match="not a file"):
        storage.load(tmp_path / "pipe.npz")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_pickle_is_never_opened(tmp_path):
    trace, path, target = tmp_path / "executed", tmp_path / "evil.npz", Run()
    payload = np.array([Payload(trace)], dtype=object)
    pickle.loads(pickle.dumps(payload))[0].close()
    assert trace.exists()  # the payload works
    trace.unlink()

    np.savez(path, **{**target.module.state_dict(), "0.weight": payload})
    check_refused(path, target, ["0.weight", "object"])
    with pytest.raises(CheckpointError):
        storage.load_weights(path, target.module)
    np.savez(path, **{"minigen/record": payload})
    check_refused(path, target)
    with open(path, "wb") as file:
        np.save(file, payload)
    check_refused(path, target)
    path.write_bytes(pickle.dumps(payload))
    check_refused(path, target)
    rewrite(valid_entries(target), path, {"evil.pkl": pickle.dumps(payload)})
    check_refused(path, target)
    assert not trace.exists()


def npy(header, data=b"", version=(1, 0)):
    """The bytes of an array file with any header."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2, "little") + text + data


def valid_entries(run):
    """The archive of a good checkpoint, entry by entry."""
    content = io.BytesIO()
    np.savez(content, **{f"{name}": array for name, array in run.module.state_dict().items()})
    with zipfile.ZipFile(content) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(entries, path, changed, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**entries, **changed}.items():
            archive.writestr(name, content)


HEADERS = {
    "more than there is": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}", bytes(4)),
    "overflowing": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4)}", bytes(4)),
    "negative": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-5, -2)}", bytes(40)),
    "minus one": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}", bytes(40)),
    "shape of floats": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5.0, 2)}", bytes(40)),
    "shape of truths": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}", bytes(8)),
    "object": npy("{'descr': '|O', 'fortran_order': False, 'shape': (5, 2)}", bytes(80)),
    "fields": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (5, 2)}", bytes(40)),
    "field of objects": npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (5, 2)}", bytes(80)),
    "sub-array": npy("{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (5,)}", bytes(40)),
    "text": npy("{'descr': '<U4', 'fortran_order': False, 'shape': (5, 2)}", bytes(160)),
    "dates": npy("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (5, 2)}", bytes(80)),
    "no bytes each": npy("{'descr': '|V0', 'fortran_order': False, 'shape': (5, 2)}"),
    "complex": npy("{'descr': '<c8', 'fortran_order': False, 'shape': (5, 2)}", bytes(80)),
    "long double": npy("{'descr': '<f16', 'fortran_order': False, 'shape': (5, 2)}", bytes(160)),
    "not a dtype": npy("{'descr': 'no such', 'fortran_order': False, 'shape': (5, 2)}", bytes(40)),
    "descr is a number": npy("{'descr': 7, 'fortran_order': False, 'shape': (5, 2)}", bytes(40)),
    "a call": npy("{'descr': __import__('os').getcwd(), 'fortran_order': False, 'shape': (5, 2)}", bytes(40)),
    "deep nesting": npy("(" * 9000, bytes(40)),
    "long": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2)}" + " " * 20000, bytes(40)),
    "not a dictionary": npy("[1, 2]", bytes(40)),
    "keys": npy("{'descr': '<f4', 'shape': (5, 2)}", bytes(40)),
    "version": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2)}", bytes(40), version=(9, 0)),
    "bytes left over": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2)}", bytes(44)),
    "too few bytes": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2)}", bytes(36)),
    "empty entry": b"",
    "other shape": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 5)}", bytes(40)),
    "integers": npy("{'descr': '<i4', 'fortran_order': False, 'shape': (5, 2)}", bytes(40)),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.filterwarnings("ignore:Reading `.npy`")
def test_strange_array_headers(header, tmp_path):
    path, run = tmp_path / "a.npz", Run()
    rewrite(valid_entries(run), path, {"0.weight.npy": header})
    before = run.state()
    with pytest.raises(CheckpointError) as caught:
        storage.load_weights(path, run.module)
    assert run.state() == before and str(path) in str(caught.value)


def test_the_same_archive_unchanged_is_good(tmp_path):
    # Otherwise the test above would pass for a wrong reason.
    run = Run()
    good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 2)}", np.arange(10, dtype="<f4").tobytes())
    rewrite(valid_entries(run), tmp_path / "a.npz", {"0.weight.npy": good})
    storage.load_weights(tmp_path / "a.npz", run.module)
    np.testing.assert_array_equal(run.module[0].weight.data, np.arange(10).reshape(5, 2))


def test_names_that_climb_out_of_a_folder(tmp_path):
    path, run = tmp_path / "deep" / "a.npz", Run()
    path.parent.mkdir()
    weight = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", bytes(4))
    for name in ("../escaped.npy", "/tmp/escaped.npy", "..\\escaped.npy"):
        rewrite(valid_entries(run), path, {name: weight})
        with pytest.raises(CheckpointError, match="escaped"):
            storage.load_weights(path, run.module)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "deep"]


def test_an_entry_given_twice(tmp_path):
    path, run = tmp_path / "a.npz", Run()
    entries = valid_entries(run)
    rewrite(entries, path, {})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("0.weight.npy", entries["0.weight.npy"])
    with pytest.raises(CheckpointError, match="twice"):
        storage.load_weights(path, run.module)


def test_a_bomb_of_zeros_is_not_unpacked(tmp_path):
    path, run = tmp_path / "a.npz", Run()
    huge = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (5000000,)}", bytes(20_000_000))
    rewrite(valid_entries(run), path, {"bomb.npy": huge}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="compressed"):
        storage.load_weights(path, run.module)


def test_entries_that_overlap_cannot_add_up_to_more_than_the_file(tmp_path):
    # Every entry of the directory is made to point at the same bytes, the largest entry's.
    path, run = tmp_path / "a.npz", Run()
    entry = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (50000,)}", bytes(200_000))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", entry)
        first = archive.infolist()[0]
        for i in range(1000):
            copy = zipfile.ZipInfo(f"a{i}.npy")
            copy.header_offset, copy.CRC, copy.file_size, copy.compress_size = 0, first.CRC, len(entry), len(entry)
            archive.filelist.append(copy)
    assert path.stat().st_size < 300_000
    with pytest.raises(CheckpointError):
        storage.load_weights(path, run.module)


def forged(path, run, change):
    """Write a checkpoint whose record was changed by someone who knows how to compute the checksum."""
    storage.save(path, **run.parts(), step=3)
    text, arrays = formats.format_of(path).unpack(path.read_bytes(), 0)
    record = json.loads(text)
    change(record)
    if isinstance(record, dict):
        record["checksum"] = formats.checksum(record, arrays)
    path.write_bytes(formats.format_of(path).pack(json.dumps(record), arrays))


def in_state(**values):
    def change(record):
        for group in record["generators"]:
            group["state"].update(values)

    return change


FORGERIES = {
    "step not a number": lambda record: record.update(step=float("nan")),
    "negative step": lambda record: record.update(step=-1),
    "fractional step": lambda record: record.update(step=3.5),
    "true step": lambda record: record.update(step=True),
    "huge step": lambda record: record.update(step=2**70),
    "no step": lambda record: record.pop("step"),
    "negative optimiser steps": lambda record: record["optimizer"].update(steps=-3),
    "optimiser steps not a number": lambda record: record["optimizer"].update(steps=float("nan")),
    "optimiser without kind": lambda record: record["optimizer"].pop("kind"),
    "no optimiser": lambda record: record.pop("optimizer"),
    "optimiser a list": lambda record: record.update(optimizer=[1]),
    "version": lambda record: record.update(version=2),
    "format": lambda record: record.update(format="other"),
    "holds unknown": lambda record: record.update(holds=["module", "optimizer", "average", "rng", "soul"]),
    "holds nested": lambda record: record.update(holds=[["module"]]),
    "extra nested": lambda record: record.update(extra={"a": {"b": 1}}),
    "extra a list": lambda record: record.update(extra=[1]),
    "no generators": lambda record: record.update(generators=[]),
    "generators a number": lambda record: record.update(generators=3),
    "users not names": lambda record: record["generators"][0].update(users=[1]),
    "state a list": lambda record: record["generators"][0].update(state=[1]),
    "state empty": lambda record: record["generators"][0].update(state={}),
    "a user twice": lambda record: record["generators"].append(record["generators"][0]),
    "inner state a number": in_state(state=3),
    "inner state too large": in_state(state={"state": 2**128, "inc": 1}),
    "inner state negative": in_state(state={"state": -1, "inc": 1}),
    "inner state a fraction": in_state(state={"state": 0.5, "inc": 1}),
    "inner state with more": in_state(state={"state": 1, "inc": 1, "more": 1}),
    "has_uint32 two": in_state(has_uint32=2),
    "has_uint32 true": in_state(has_uint32=True),
    "uinteger too large": in_state(uinteger=2**32),
    "another key": in_state(more=1),
    "another kind": in_state(bit_generator="MT19937"),
    "kind a list": in_state(bit_generator=["PCG64"]),
}


@both_formats
@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_forged_records(ending, change, tmp_path):
    path = tmp_path / f"a{ending}"
    forged(path, Run(seed=1), change)
    check_refused(path, Run(seed=2))


def test_an_unchanged_forgery_is_good(tmp_path):
    forged(tmp_path / "a.npz", Run(seed=1), lambda record: None)
    storage.load(tmp_path / "a.npz", **Run(seed=2).parts())


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("MT19937", "pos", 625),
        ("MT19937", "pos", -1),
        ("MT19937", "key", [1] * 623),
        ("MT19937", "key", [2**32] * 624),
        ("MT19937", "key", ["1"] * 624),
        ("Philox", "buffer_pos", 5),
        ("Philox", "buffer_pos", -1),
        ("Philox", "counter", [1, 2, 3]),
        ("SFC64", "state", [1, 2, 3, 4, 5]),
        ("SFC64", "state", [-1, 2, 3, 4]),
    ],
)
def test_generator_states_out_of_range(kind, name, value, tmp_path):
    # NumPy itself takes a position past the end of its buffer and reads there.
    path, rng = tmp_path / "a.npz", np.random.Generator(getattr(np.random, kind)(0))

    def change(record):
        state = record["generators"][0]["state"]
        (state if name in state and kind != "SFC64" else state["state"])[name] = value

    storage.save(path, rng=rng)
    text, arrays = formats.unpack_npz(path.read_bytes())
    record = json.loads(text)
    change(record)
    record["checksum"] = formats.checksum(record, arrays)
    path.write_bytes(formats.pack_npz(json.dumps(record), arrays))
    before = json.dumps(generators.to_json(rng.bit_generator.state))
    with pytest.raises(CheckpointError, match=name):
        storage.load(path, rng=rng)
    assert json.dumps(generators.to_json(rng.bit_generator.state)) == before


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "NaN", "[" * 100_000, '"x"', "9" * 5000, "\ud800"])
def test_records_that_are_no_records(text, tmp_path):
    path = tmp_path / "a.npz"
    data = text.encode(errors="surrogatepass")
    np.savez(path, **{"minigen/record": np.frombuffer(data, np.uint8)})
    check_refused(path, Run())


def test_hostile_safetensors_headers(tmp_path):
    pytest.importorskip("safetensors")
    path, run = tmp_path / "a.safetensors", Run()
    f32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    headers = {
        "overlap": {"a": f32, "b": {**f32, "data_offsets": [4, 12]}},
        "same place": {"a": f32, "b": f32},
        "past the end": {"a": {**f32, "shape": [200], "data_offsets": [0, 800]}},
        "hole": {"a": f32, "b": {**f32, "data_offsets": [10, 18]}},
        "negative": {"a": {**f32, "data_offsets": [-8, 0]}},
        "shape": {"a": {**f32, "shape": [3]}},
        "huge": {"a": {**f32, "shape": [2**40, 2**40]}},
        "dtype": {"a": {**f32, "dtype": "OBJECT"}},
        "no dtype": {"a": {"shape": [2], "data_offsets": [0, 8]}},
        "list": [f32],
        "metadata a list": {"__metadata__": ["minigen"], "a": f32},
        "climbing": {"../../escaped": f32},
    }
    for header in headers.values():
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
        check_refused(path, run)
        with pytest.raises(CheckpointError):
            storage.load_weights(path, run.module)
    path.write_bytes((2**63).to_bytes(8, "little") + b"{}")
    check_refused(path, run)
