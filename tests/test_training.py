"""Does the training loop do what it says: each row once, resumed bit for bit, stopped when asked, quiet in a pipe?"""

import copy
import errno
import io
import math
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from minigen import nn, ops, optim, samplers, storage
from minigen.tape import leaf
from minigen.training import History, Minibatches, as_data, fit


def rng(seed=0):
    return np.random.default_rng(seed)


def network(generator, dtype=np.float32):
    """A network with all that has a state: dropout that draws from `generator`, running averages of a batch norm."""
    layers = nn.Linear(3, 8, rng=generator), nn.Activation("tanh"), nn.Dropout(0.2, rng=generator), nn.BatchNorm1d(8)
    return nn.Sequential(*layers, nn.Linear(8, 1, rng=generator)).astype(dtype)


def regression(seed=0, dtype=np.float32, **settings):
    """What fit() takes for a small noisy regression; the loss draws noise from the generator of the minibatches too."""
    data = rng(77)
    X = data.standard_normal((50, 3))
    Y = X @ [[1.0], [-2.0], [0.5]] + 0.3 * data.standard_normal((50, 1))
    generator = rng(seed)
    module = network(generator, dtype)

    def loss(x, y):
        return ops.mse(module(x + 0.1 * ops.normal(generator, x.shape, x.dtype)), y)

    return SimpleNamespace(
        module=module,
        loss=loss,
        data=(X[:40], Y[:40]),
        validation=(X[40:], Y[40:]),
        rng=generator,
        optimizer=optim.Adam(module, optim.cosine_decay(0.02, 60), weight_decay=0.01),
        average=optim.WeightAverage(module, 0.9),
        settings={"steps": 60, "batch_size": 8, "max_norm": 1.0, **settings},
    )


def run(task, validate=False, **settings) -> History:
    if validate:
        settings["validation"] = task.validation
    return fit(
        task.module,
        task.loss,
        task.data,
        rng=task.rng,
        optimizer=task.optimizer,
        average=task.average,
        **task.settings | settings,
    )


def assert_same(a, b, history_a=None, history_b=None):
    """Weights, buffers, moments, average, generator and history are the same to the last bit."""
    for one, other in ((a.module, b.module), (a.optimizer, b.optimizer)):
        states = one.state_dict(), other.state_dict()
        assert states[0].keys() == states[1].keys()
        for name in states[0]:
            np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)
    np.testing.assert_array_equal(a.average.average, b.average.average)
    assert a.rng.bit_generator.state == b.rng.bit_generator.state
    if history_a is not None:
        for name in ("loss", "validation", "best_step", "stopped"):
            assert getattr(history_a, name) == getattr(history_b, name), name


class Slope(nn.Module):
    """One weight that starts at 10 and goes down by 1 a step; its validation loss is (w - 4)^2, lowest after step 6."""

    def __init__(self):
        self.w = leaf(np.array([10.0], np.float32))

    def loss(self, x):
        return ops.sum(self.w) if x[0] == 1 else ops.sum(ops.square(self.w - 4.0))

    def fit(self, **settings) -> History:
        arguments = {
            "rng": rng(),
            "optimizer": optim.SGD(self, 1.0),
            "validation": (np.full(3, 2.0),),
            "validate_every": 1,
        }
        return fit(self, self.loss, (np.ones(5),), **{"steps": 30, **arguments, **settings})


# Minibatches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, size, per_shuffle", [(12, 4, 3), (13, 4, 3), (5, 5, 1), (3, 64, 1), (7, 1, 7)])
def test_each_row_comes_once_in_a_shuffle(n, size, per_shuffle):
    batches = Minibatches(n, size, rng(3))
    shuffles = [np.concatenate([batches.draw() for _ in range(per_shuffle)]) for _ in range(4)]
    for rows in shuffles:
        assert len(rows) == min(size, n) * per_shuffle == len(set(rows.tolist()))
        assert set(rows.tolist()) <= set(range(n))
    assert len({tuple(rows) for rows in shuffles}) > 1


def test_rows_left_over_are_not_always_the_same():
    batches = Minibatches(5, 2, rng(4))
    seen = np.bincount(np.concatenate([batches.draw() for _ in range(2000)]), minlength=5)
    assert seen.sum() == 4000
    assert np.abs(seen / 800 - 1).max() < 0.1  # each row is in 4 of 5 shuffles; the SD of its share is 0.018


@pytest.mark.parametrize("drawn", [0, 1, 2, 3, 4])
def test_order_position_and_generator_are_the_whole_state(drawn):
    first = Minibatches(10, 3, rng(5))
    for _ in range(drawn):
        first.draw()
    second = Minibatches(10, 3, copy.deepcopy(first.rng))
    second.order, second.position = first.order.copy(), first.position
    for _ in range(7):
        np.testing.assert_array_equal(first.draw(), second.draw())


# One loop, written out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fit_is_the_loop_one_would_write(dtype):
    ours, theirs = regression(1, dtype), regression(1, dtype)
    history = run(ours)
    X, Y = (array.astype(dtype) for array in theirs.data)
    losses, order = [], np.empty(0, int)
    for _ in range(60):
        if len(order) < 8:
            order = theirs.rng.permutation(40)
        rows, order = order[:8], order[8:]
        theirs.optimizer.zero_grad()
        loss = theirs.loss(X[rows], Y[rows])
        loss.backward()
        optim.clip_grad_norm(theirs.module, 1.0)
        theirs.optimizer.step()
        theirs.average.update()
        losses.append(loss.item())
    assert_same(ours, theirs)
    assert history.loss == losses
    assert history.stopped == "steps" and history.validation == [] and history.seconds > 0


def test_full_batches_reach_the_least_squares_solution():
    generator = rng(6)
    X, noise = generator.standard_normal((30, 3)), generator.standard_normal((30, 1))
    Y = X @ [[2.0], [0.0], [-1.0]] + 0.7 + 0.1 * noise
    module = nn.Linear(3, 1, rng=generator)
    optimizer = optim.Adam(module, optim.cosine_decay(0.05, 600))
    fit(
        module, lambda x, y: ops.mse(module(x), y), (X, Y), rng=generator, steps=600, batch_size=30, optimizer=optimizer
    )
    expected = np.linalg.lstsq(np.column_stack([X, np.ones(30)]), Y, rcond=None)[0].ravel()
    np.testing.assert_allclose([*module.weight.data.ravel(), *module.bias.data], expected, atol=1e-4)


def test_the_same_seed_gives_the_same_and_another_seed_another():
    histories = [run(regression(seed)) for seed in (3, 3, 4)]
    assert histories[0].loss == histories[1].loss
    assert histories[0].loss != histories[2].loss


def test_the_default_optimizer_is_adam():
    ours, theirs = regression(2), regression(2)
    theirs.settings["optimizer"] = optim.Adam(theirs.module, 1e-3)
    losses = [fit(task.module, task.loss, task.data, rng=task.rng, **task.settings).loss for task in (ours, theirs)]
    assert losses[0] == losses[1]


def test_labels_stay_integers_and_floats_take_the_dtype_of_the_module():
    module = nn.Linear(2, 3, rng=rng()).astype(np.float64)
    seen = set()

    def loss(x, labels):
        seen.add((x.dtype, labels.dtype, x.flags.c_contiguous))
        return ops.cross_entropy(module(x), labels)

    X = np.asfortranarray(rng(1).standard_normal((9, 2)).astype(np.float32))
    fit(module, loss, (X, [0, 1, 2] * 3), rng=rng(), steps=3, validation=(X, [2, 1, 0] * 3))
    assert seen == {(np.dtype(np.float64), np.dtype(np.int64), True)}


# Validation and early stopping ----------------------------------------------------------------------------------------


def test_validation_is_the_loss_of_all_held_out_rows_in_eval_mode():
    task = regression(5)
    seen = {}

    def look(info):
        if info.step in (25, 50):
            state = task.rng.bit_generator.state
            task.module.eval()
            seen[info.step] = task.loss(*as_data(task.validation, np.float32)).item()
            task.rng.bit_generator.state = state

    history = run(task, validate=True, validate_every=25, callbacks=[look])
    assert [step for step, _ in history.validation] == [25, 50, 60]
    assert dict(history.validation[:2]) == seen
    assert history.best_step == min(history.validation, key=lambda pair: pair[1])[0]


def test_looking_does_not_change_what_is_learned():
    plain, watched, moved = regression(6), regression(6), regression(6)
    run(plain)
    run(watched, validate=True, validate_every=7)
    run(moved, callbacks=[lambda info: info.model.eval() and None])
    assert_same(plain, watched)
    assert_same(plain, moved)


@pytest.mark.parametrize("fails", [False, True])
def test_looking_leaves_every_generator_where_it_was(fails):
    module, draws, seen = Slope(), rng(1), []
    module.noise = [{"of a layer": rng(2)}]
    mine = module.noise[0]["of a layer"]
    states = lambda: (draws.bit_generator.state, mine.bit_generator.state)

    def loss(x):
        if x[0] == 2:  # held out
            seen.append(states())
            draws.normal(), mine.normal()
            if fails:
                raise KeyError
        return module.loss(x) * 1.0

    check = lambda info: seen.append(states())
    try:
        fit(module, loss, (np.ones(5),), rng=draws, steps=3, optimizer=optim.SGD(module, 1.0), callbacks=[check],
            validation=(np.full(3, 2.0),), validate_every=1, compile=False)  # fmt: skip
    except KeyError:
        seen.append(states())
    assert seen[0] == seen[1] and len(seen) == (2 if fails else 6)


def test_early_stopping_puts_the_best_weights_back():
    slope = Slope()
    history = slope.fit(patience=3)
    assert history.stopped == "patience" and history.best_step == 6
    assert slope.w.data[0] == 4.0
    assert [value for _, value in history.validation] == [(10 - step - 4) ** 2 for step in range(1, 10)]


def test_patience_counts_validations_not_steps():
    slope = Slope()
    history = slope.fit(patience=2, validate_every=4)
    assert [step for step, _ in history.validation] == [4, 8, 12]
    assert history.best_step == 4 and slope.w.data[0] == 6.0  # (6 - 4)^2 = (2 - 4)^2: the first of equals is the best


def test_a_history_that_was_used_before_is_emptied():
    history = History()
    assert Slope().fit(patience=2, history=history).stopped == "patience"
    Slope().fit(steps=3, history=history, callbacks=[lambda info: info.step == 2])
    assert (history.step, history.stopped) == ([1, 2], "callback")
    Slope().fit(steps=3, history=history)
    assert (history.step, history.stopped, history.best_step) == ([1, 2, 3], "steps", 3)


def test_without_patience_the_last_weights_stay():
    slope = Slope()
    history = slope.fit(steps=9)
    assert history.best_step == 6 and slope.w.data[0] == 1.0


def test_a_validation_loss_that_is_not_a_number_is_no_improvement():
    slope = Slope()
    slope.loss = lambda x: ops.sum(slope.w) * (1.0 if x[0] == 1 else math.nan)
    history = slope.fit(patience=3)
    assert history.stopped == "patience" and len(history.loss) == 3 and history.best_step is None
    assert slope.w.data[0] == 7.0


def test_best_weights_come_with_their_running_averages():
    task = regression(7)
    states = {}
    history = run(
        task,
        validate=True,
        validate_every=5,
        patience=2,
        steps=400,
        max_norm=None,
        callbacks=[lambda info: states.update({info.step: info.model.state_dict()})],
    )
    assert history.stopped == "patience" and len(history.loss) == history.best_step + 10
    best = states[history.best_step]
    assert any("running" in name for name in best)
    for name, array in task.module.state_dict().items():
        np.testing.assert_array_equal(array, best[name], err_msg=name)


# Callbacks and Ctrl-C -------------------------------------------------------------------------------------------------


def test_callbacks_see_each_step_and_one_that_returns_true_ends_the_training():
    task, seen = regression(8), []

    def remember(info):
        seen.append((info.step, info.loss))
        assert info.model is task.module and info.parts["optimizer"] is task.optimizer
        assert info.history.loss[-1] == info.loss

    history = run(task, callbacks=[lambda info: info.step == 11, remember])
    assert history.stopped == "callback"
    assert seen == list(enumerate(history.loss, 1)) and len(seen) == 11
    assert task.optimizer.steps == 11 and not task.module.training


@pytest.fixture
def handler():
    """The handler of Ctrl-C before the test, and the same afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    assert signal.getsignal(signal.SIGINT) is before


def press(at, times=1):
    """A callback that presses Ctrl-C after one step, so many times."""

    def callback(info):
        for _ in range(times if info.step == at else 0):
            signal.raise_signal(signal.SIGINT)

    return callback


def test_ctrl_c_ends_after_the_step_and_returns_what_was_learned(handler):
    interrupted, short = regression(9), regression(9)
    history = run(interrupted, callbacks=[press(at=7)])
    assert history.stopped == "interrupt"
    assert history.loss == run(short, steps=7).loss
    assert_same(interrupted, short)
    assert not interrupted.module.training


def test_ctrl_c_with_patience_returns_the_best_weights(handler):
    slope = Slope()
    history = slope.fit(patience=5, callbacks=[press(at=8)])
    assert history.stopped == "interrupt" and slope.w.data[0] == 4.0


def test_a_second_ctrl_c_interrupts(handler):
    task = regression(9)
    with pytest.raises(KeyboardInterrupt):
        run(task, callbacks=[press(at=7, times=2)])
    assert task.optimizer.steps == 7 and not task.module.training


def test_an_error_in_a_callback_gives_the_handler_back(handler):
    def fail(info):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        run(regression(9), callbacks=[fail])


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(regression(9), steps=9, callbacks=[press(at=7)]).stopped == "steps"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("progress", [None, True, False])
def test_a_program_without_standard_error_trains_and_samples_without_a_bar(progress, closed, handler, monkeypatch):
    stream = None  # as in a program without a console window
    if closed:
        stream = io.StringIO()
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert run(regression(9), steps=3, progress=progress).step == [1, 2, 3]
    kernel = samplers.mala(lambda x: -ops.sum(ops.square(x), axis=1), 0.5)
    draws, _ = samplers.sample(kernel, np.zeros((2, 2)), 4, rng(), progress=bool(progress))
    assert draws.shape == (2, 4, 2)


def test_training_works_in_a_thread(handler):
    results = []
    thread = threading.Thread(target=lambda: results.append(run(regression(9), steps=9)))
    thread.start()
    thread.join()
    assert len(results[0].loss) == 9


PROGRAM = """
import sys, time
import numpy as np
from minigen import nn, ops
from minigen.training import fit

rng = np.random.default_rng(0)
module = nn.Linear(2, 1, rng=rng)
X = rng.standard_normal((20, 2))

def slowly(info):
    if info.step == 20:
        print("ready", flush=True)
    time.sleep(0.01)

task, progress = sys.argv[1], {"default": None, "shown": True, "hidden": False}[sys.argv[2]]
history = fit(
    module,
    lambda x: ops.mean(ops.square(module(x))),
    (X,),
    rng=rng,
    steps=40 if task == "short" else 6000,
    progress=progress,
    label="the label",
    callbacks=[slowly],
)
print(history.stopped, len(history.loss) < 6000, np.isfinite(module.weight.data).all())
"""


def start(*arguments, **settings):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **{"stderr": subprocess.PIPE, **settings})


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
def test_ctrl_c_from_outside_returns_what_was_learned():
    process = start("long", "default")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "interrupt True True\n", "")


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_the_progress_bar_shows_on_a_terminal_and_nowhere_else():
    import fcntl
    import pty
    import struct
    import termios

    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    processes = [start("short", progress) for progress in ("default", "hidden", "shown")]
    processes.append(start("short", "default", stderr=end))
    errors = [process.communicate(timeout=60)[1] for process in processes]
    os.set_blocking(terminal, False)
    errors[3] = os.read(terminal, 10000).decode()
    os.close(end)
    os.close(terminal)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert errors[:2] == ["", ""]
    for text in errors[2:]:
        assert "the label" in text and "/40" in text and "loss=" in text


# Checkpoints ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"checkpoint{request.param}"


class Crash(Exception):
    pass


def crash(at):
    def callback(info):
        if info.step == at:
            raise Crash

    return callback


def broken_off(how, task, path, **settings):
    """Train until something ends it before step 60."""
    if how == "callback":
        assert run(task, checkpoint=path, callbacks=[lambda info: info.step == 23], **settings).stopped == "callback"
    elif how == "ctrl-c":
        assert run(task, checkpoint=path, callbacks=[press(at=23)], **settings).stopped == "interrupt"
    elif how == "fewer steps":
        assert run(task, checkpoint=path, **settings | {"steps": 23}).stopped == "steps"
    elif how == "crash":
        with pytest.raises(Crash):
            run(task, checkpoint=path, checkpoint_every=9, callbacks=[crash(at=23)], **settings)
        assert storage.load(path).step == 18


@pytest.mark.parametrize("watch", [False, True], ids=["plain", "validated"])
@pytest.mark.parametrize("how", ["callback", "ctrl-c", "fewer steps", "crash"])
def test_resumed_training_is_the_same_bit_for_bit(how, watch, path):
    settings = {"validate": True, "validate_every": 5, "patience": 100} if watch else {}
    straight, first = regression(10), regression(10)
    expected = run(straight, **settings)
    broken_off(how, first, path, **settings)
    second = regression(999)  # other weights and draws: all that counts must come from the file
    history = run(second, checkpoint=path, resume=True, **settings)
    assert_same(straight, second, expected, history)
    assert history.seconds > 0


def test_resume_in_float64_with_a_generator_for_dropout_alone(path):
    def task(seed):
        task = regression(seed, np.float64)
        task.module[2].rng = rng(seed + 1)
        return task

    straight, first, second = task(11), task(11), task(12)
    expected = run(straight)
    run(first, steps=17, checkpoint=path)
    assert_same(straight, second, expected, run(second, checkpoint=path, resume=True))
    assert straight.module[2].rng.bit_generator.state == second.module[2].rng.bit_generator.state


@pytest.mark.parametrize("steps", [1, 29, 30, 31, 59])
def test_an_extra_look_at_the_end_leaves_no_trace_in_the_checkpoint(steps, tmp_path):
    settings = {"validate": True, "validate_every": 30, "patience": 100}
    straight, first, second = regression(13), regression(13), regression(14)
    expected = run(straight, **settings)
    history = run(first, checkpoint=tmp_path / "c.npz", **settings | {"steps": steps})
    assert history.validation[-1][0] == steps
    assert_same(straight, second, expected, run(second, checkpoint=tmp_path / "c.npz", resume=True, **settings))


@pytest.mark.parametrize("at", [3, 6, 7, 8])
def test_patience_goes_on_where_it_was(at, path):
    first, second = Slope(), Slope()
    first.fit(patience=3, steps=at, checkpoint=path)
    history = second.fit(patience=3, checkpoint=path, resume=True)
    assert history.stopped == "patience" and history.best_step == 6 and len(history.loss) == 9
    assert [step for step, _ in history.validation] == list(range(1, 10))
    assert second.w.data[0] == 4.0


def test_the_checkpoint_holds_the_last_weights_beside_the_best(path):
    Slope().fit(patience=3, steps=8, checkpoint=path)
    found = storage.load(path)
    assert found.weights["w"] == [2.0] and found.extra["best.w"] == [4.0]


def test_resuming_a_training_that_ran_out_of_patience_does_nothing_but_put_the_best_weights_back(path):
    first, second = Slope(), Slope()
    first.fit(patience=3, checkpoint=path)
    before = path.read_bytes()
    history = second.fit(patience=3, checkpoint=path, resume=True)
    assert history.stopped == "patience" and len(history.loss) == 9 and second.w.data[0] == 4.0
    assert path.read_bytes() == before
    third = Slope()
    history = third.fit(patience=5, checkpoint=path, resume=True)  # more patience: it goes on
    assert len(history.loss) == 11 and third.w.data[0] == 4.0


def test_resuming_a_finished_training_changes_nothing(path):
    first, second = regression(15), regression(16)
    expected = run(first, validate=True, validate_every=25, patience=9, checkpoint=path)
    history = run(second, validate=True, validate_every=25, patience=9, checkpoint=path, resume=True)
    assert_same(first, second, expected, history)


def test_a_checkpoint_is_written_at_the_asked_steps_and_at_the_end(tmp_path):
    path, steps = tmp_path / "c.npz", []
    look = lambda info: steps.append(storage.load(path).step if path.exists() else None)
    run(regression(1), steps=8, checkpoint=path, checkpoint_every=3, callbacks=[look])
    assert steps == [None, None, None, 3, 3, 3, 6, 6]
    assert storage.load(path).step == 8
    assert os.listdir(tmp_path) == ["c.npz"]


NO_PLACE = {
    "no folder": (OSError, "there is no folder", lambda path: path.parent / "none" / "c.npz"),
    "a file for a folder": (OSError, "there is no folder", lambda path: (path.touch(), path / "c.npz")[1]),
    "a folder": (OSError, "is a folder", lambda path: path.parent),
    "another ending": (ValueError, "ends in '.txt'", lambda path: path.with_suffix(".txt")),
    "no path": (TypeError, "expected a path", lambda path: 3),
}


@pytest.mark.parametrize("what", NO_PLACE)
def test_a_checkpoint_that_cannot_be_written_is_found_before_the_first_step(what, tmp_path):
    error, message, place = NO_PLACE[what]
    (tmp_path / "d.npz").mkdir()
    task = regression(1)
    before, draws = task.module.state_dict(), task.rng.bit_generator.state
    with pytest.raises(error, match=message):
        run(task, checkpoint=place(tmp_path / "d.npz" / "c.npz"))
    assert task.optimizer.steps == 0 and task.rng.bit_generator.state == draws
    for name, array in before.items():
        np.testing.assert_array_equal(task.module.state_dict()[name], array)


def test_a_full_disk_and_what_cannot_be_saved_are_found_before_the_first_step(tmp_path, monkeypatch):
    class Mine(np.random.PCG64):
        pass

    task = regression(1)
    task.module[2].rng = np.random.Generator(Mine(1))
    with pytest.raises(TypeError, match="cannot store"):
        run(task, checkpoint=tmp_path / "c.npz")
    other = regression(1)
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        run(other, checkpoint=tmp_path / "c.npz")
    assert task.optimizer.steps == other.optimizer.steps == 0
    assert os.listdir(tmp_path) == []


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_looking_whether_there_is_a_place_leaves_the_file_that_is_there(tmp_path):
    path = tmp_path / "c.npz"
    run(regression(1), steps=8, checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(Crash):
        run(regression(2), checkpoint=path, callbacks=[crash(at=1)])
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["c.npz"]


def test_a_disk_that_is_full_later_costs_the_file_and_not_the_training(tmp_path, monkeypatch):
    path, task, same = tmp_path / "c.npz", regression(1), regression(1)

    def fill(info):
        if info.step == 10:
            monkeypatch.setattr(os, "fsync", no_space)

    with pytest.warns(RuntimeWarning, match=r"checkpoint of step \d+ was not written .*No space") as w:
        history = run(task, checkpoint=path, checkpoint_every=7, callbacks=[fill])
    assert len(w) == 8
    assert_same(task, same, history, run(same))
    assert storage.load(path).step == 7 and os.listdir(tmp_path) == ["c.npz"]


@pytest.mark.parametrize("at", [1, 2])
def test_ctrl_c_while_a_checkpoint_is_read_leaves_nothing_half_done(at, path, handler, monkeypatch):
    straight, task = regression(1), regression(2)
    run(straight, steps=20, checkpoint=path)
    loads = []

    def pressed(load):
        def wrapped(*args):
            loads.append(args)
            if len(loads) == at:
                signal.raise_signal(signal.SIGINT)
            return load(*args)

        return wrapped

    for kind in (nn.Module, optim.Optimizer):
        monkeypatch.setattr(kind, "load_state_dict", pressed(kind.load_state_dict))
    history = run(task, checkpoint=path, resume=True)
    assert len(loads) == 2 and history.stopped == "interrupt" and history.step[-1] == 20
    assert_same(straight, task)


def test_a_checkpoint_stays_in_the_folder_where_the_training_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    run(regression(1), steps=5, checkpoint="c.npz", checkpoint_every=2, callbacks=[lambda info: os.chdir("/")])
    assert storage.load(tmp_path / "c.npz").step == 5


def other_order(path, order):
    found = storage.load(path)
    storage.save(path, module=regression().module, step=found.step, extra={**found.extra, "order": np.array(order)})


NOT_TO_RESUME = {
    "no file": (FileNotFoundError, "there is no file", lambda task, path: path.unlink()),
    "not written by fit": (
        storage.CheckpointError,
        "no training to resume; give a file that fit",
        lambda task, path: storage.save(path, module=task.module, step=3),
    ),
    "not written by fit, with extras": (
        storage.CheckpointError,
        "no training to resume; give a file that fit",
        lambda task, path: storage.save(path, module=task.module, step=3, extra={"note": 1.0}),
    ),
    "other data": (
        storage.CheckpointError,
        "training on 40 rows, fit.* got 39",
        lambda task, path: setattr(task, "data", tuple(array[1:] for array in task.data)),
    ),
    "rows that are not there": (
        storage.CheckpointError,
        "does not fit",
        lambda task, path: other_order(path, [0, 1, -7, 99] * 10),
    ),
    "fewer steps": (ValueError, "steps=5, but .* has 20 steps", lambda task, path: task.settings.update(steps=5)),
    "another optimiser": (
        storage.CheckpointError,
        "saved with Adam, not SGD",
        lambda task, path: setattr(task, "optimizer", optim.SGD(task.module)),
    ),
    "another network": (
        storage.CheckpointError,
        "does not fit",
        lambda task, path: vars(task).update(vars(regression(2, np.float64))),
    ),
}


@pytest.mark.parametrize("what", NOT_TO_RESUME)
def test_what_does_not_fit_is_refused_and_nothing_changes(what, tmp_path):
    error, message, change = NOT_TO_RESUME[what]
    path = tmp_path / "c.npz"
    run(regression(1), steps=20, checkpoint=path)
    task = regression(2)
    change(task, path)
    weights, draws = task.module.state_dict(), task.rng.bit_generator.state
    with pytest.raises(error, match=message):
        run(task, checkpoint=path, resume=True)
    for name, array in task.module.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    assert task.rng.bit_generator.state == draws and task.optimizer.steps == 0


# What cannot be trained -----------------------------------------------------------------------------------------------


def flawed(kind):
    """A regression whose loss goes wrong at step 4."""
    task = regression(20)
    right, calls = task.loss, []

    def loss(x, y):
        calls.append(1)
        if len(calls) != 4:
            return right(x, y)
        return kind(right(x, y), task.module)

    task.loss = loss
    return task


# The square root of a square that is 0 is finite, and its slope is 0 times infinity.
FLAWS = {
    "NaN": (
        FloatingPointError,
        "the loss is nan at step 4; the weights are those before it",
        lambda l, m: l * math.nan,
    ),
    "infinite": (FloatingPointError, "the loss is inf at step 4", lambda l, m: l * math.inf),
    "infinite slope": (
        FloatingPointError,
        r"gradient of the loss \(.*\) is not finite at step 4; the weights are those before it",
        lambda l, m: l + ops.sum(ops.sqrt(ops.square(m[0].bias * 0.0))),
    ),
    "a number": (TypeError, "returned a float; it must return a scalar tensor", lambda l, m: l.item()),
    "an array": (TypeError, "returned a ndarray", lambda l, m: l.data),
    "many numbers": (
        ValueError,
        r"needs a scalar, got shape \(8, 3\); reduce it first",
        lambda l, m: m[0].weight * 1.0,
    ),
    "a constant": (ValueError, "does not depend on any tensor", lambda l, m: l.detach()),
}


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("what", FLAWS)
def test_a_flawed_loss_raises_before_the_weights_are_touched(what):
    error, message, kind = FLAWS[what]
    task, short = flawed(kind), regression(20)
    run(short, steps=3)
    with pytest.raises(error, match=message):
        run(task, compile=False)  # a replay would not count the calls
    np.testing.assert_array_equal(task.module.flat().data, short.module.flat().data)
    for name, moment in task.optimizer.state_dict().items():
        np.testing.assert_array_equal(moment, short.optimizer.state_dict()[name])
    assert not task.module.training


def test_a_loss_of_another_network_is_noticed():
    mine, other = network(rng(0)), network(rng(1))
    before = mine.flat().data.copy()
    with pytest.raises(ValueError, match=r"depends on none of the leaves.*another network"):
        fit(mine, lambda x, y: ops.mse(other(x), y), (np.ones((6, 3)), np.ones((6, 1))), rng=rng(), steps=3)
    np.testing.assert_array_equal(mine.flat().data, before)


X, Y = np.ones((6, 3)), np.ones((6, 1))
HOLED = np.where(np.arange(18).reshape(6, 3) == 4, np.nan, X)
REFUSED = {
    "an optimizer of another module": (
        ValueError,
        "another module.*Adam\\(module\\)",
        {"optimizer": lambda theirs: theirs.optimizer},
    ),
    "an average of another module": (
        ValueError,
        "another module.*WeightAverage\\(module\\)",
        {"average": lambda theirs: theirs.average},
    ),
    "no steps": (ValueError, "steps=0; expected a whole number", {"steps": 0}),
    "half a step": (ValueError, "steps=1.5", {"steps": 1.5}),
    "no batch": (ValueError, "batch_size=0", {"batch_size": 0}),
    "never to validate": (ValueError, "validate_every=0", {"validate_every": 0}),
    "never to save": (ValueError, "checkpoint_every=-1", {"checkpoint_every": -1}),
    "no patience": (ValueError, "patience=0", {"patience": 0, "validation": (X, Y)}),
    "patience for nothing": (ValueError, "patience without validation", {"patience": 3}),
    "resume from nothing": (ValueError, "resume=True without a checkpoint", {"resume": True}),
    "a norm of 0": (ValueError, "max_norm=0", {"max_norm": 0}),
    "a seed for a generator": (TypeError, "rng=3; expected a numpy.random.Generator", {"rng": 3}),
    "one array": (TypeError, r"one array of shape \(6, 3\); give a tuple", {"data": X}),
    "no array": (ValueError, "no arrays; give at least one", {"data": ()}),
    "no rows": (ValueError, r"array 1 of shape \(0, 1\); expected at least one row", {"data": (X, Y[:0])}),
    "a number for data": (ValueError, r"array 0 of shape \(\)", {"data": (3.0, Y)}),
    "NaN": (ValueError, r"1 value.* NaN or infinite in array 0 of shape \(6, 3\); remove", {"data": (HOLED, Y)}),
    "too large for float32": (ValueError, "6 value.* in array 1", {"data": (X, 1e60 * Y)}),
    "unequal lengths": (ValueError, r"arrays of \[6, 5\] rows", {"data": (X, Y[:5])}),
    "ragged rows": (TypeError, "rows of unequal length in array 0", {"data": ([[1, 2, 3], [1, 2]], Y[:2])}),
    "complex numbers": (TypeError, "array 1 of type complex128; expected real numbers", {"data": (X, Y * 1j)}),
    "words": (TypeError, "array 1 of type <U", {"data": (X, ["a"] * 6)}),
    "NaN held out": (ValueError, "validation=.*NaN or infinite", {"validation": (HOLED, Y)}),
    "too few arrays held out": (ValueError, "2 arrays to train on and 1 to validate", {"validation": (X,)}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_trained_is_refused_and_nothing_changes(what):
    error, message, change = REFUSED[what]
    ours, theirs = regression(30), regression(31)
    change = {name: value(theirs) if callable(value) else value for name, value in change.items()}
    weights, draws = ours.module.state_dict(), ours.rng.bit_generator.state
    arguments = {"data": (X, Y), "rng": ours.rng, "steps": 2, "optimizer": ours.optimizer, **change}
    with pytest.raises(error, match=message):
        fit(ours.module, lambda x, y: ops.mse(ours.module(x), y), **arguments)
    for name, array in ours.module.state_dict().items():
        np.testing.assert_array_equal(array, weights[name])
    assert ours.optimizer.steps == 0
    assert ours.rng.bit_generator.state == draws
