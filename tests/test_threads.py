"""Nothing that one thread does is seen by another, and what overlaps leaves nothing behind."""

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import numpy as np
import pytest

import minigen
from minigen import check, nn, ops
from minigen._support import blas
from minigen._support.interrupt import interrupt_flag
from minigen.models import GAN, VAE, Regressor
from minigen.tape import is_paused
from minigen.watching import Watcher, watch, watcher

X = np.random.default_rng(0).standard_normal((200, 2))
SMALL = {"steps": 60, "batch_size": 32}


def regressor():
    model = Regressor((16,), **SMALL, dropout=0.1).fit(X, X[:, :1], rng=np.random.default_rng(1), progress=False)
    return model.network_.state_dict(), model.predict(X)


def vae():
    model = VAE(2, (16,), **SMALL).fit(X, rng=np.random.default_rng(2), progress=False)
    return model.network_.state_dict(), model.sample(20, np.random.default_rng(3))


def gan():
    model = GAN(2, hidden=(16,), **SMALL, r1=0.1).fit(X, rng=np.random.default_rng(4), progress=False)
    return model.generator_.state_dict(), model.critic_.state_dict(), model.sample(20, np.random.default_rng(5))


def assert_same(one, other):
    if isinstance(one, dict):
        one, other = list(one.values()), list(other.values())
    if isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def often():
    """Threads take turns ten times as often as they do otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 10)
    yield
    sys.setswitchinterval(before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("compiled", [True, False])
def test_three_models_learn_in_three_threads_what_they_learn_in_turn(compiled, often, monkeypatch):
    if not compiled:
        monkeypatch.setenv("MINIGEN_COMPILE", "0")
    in_turn = [work() for work in (regressor, vae, gan)]
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            together = [future.result() for future in [pool.submit(work) for work in (regressor, vae, gan)]]
        assert_same(together, in_turn)


def test_models_of_one_kind_in_many_threads(often):
    def work(seed):
        return VAE(2, (16,), **SMALL).fit(X, rng=np.random.default_rng(seed), progress=False).network_.state_dict()

    in_turn = [work(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert_same(list(pool.map(work, range(6))), in_turn)


def test_one_model_is_sampled_in_many_threads(often):
    models = [
        GAN(2, hidden=(16,), **SMALL).fit(X, rng=np.random.default_rng(4), progress=False),
        VAE(2, (16,), **SMALL).fit(X, rng=np.random.default_rng(2), progress=False),
    ]

    def work(seed):
        return [model.sample(50, np.random.default_rng(seed)) for model in models for _ in range(20)]

    before = [models[0].generator_.state_dict(), models[1].network_.state_dict()]
    in_turn = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert_same(list(pool.map(work, range(4))), in_turn)
    assert_same([models[0].generator_.state_dict(), models[1].network_.state_dict()], before)


# Overlapping blocks ---------------------------------------------------------------------------------------------------

w = minigen.tensor([1.0, 2.0], requires_grad=True)
ORDERS = [(0, 1), (1, 0)]  # which of two blocks ends first


def overlap(block, order, n=1, inside=lambda: None):
    """Two blocks that begin one after the other and end in an order, n times, in this thread."""
    for _ in range(n):
        blocks = [block(), block()]
        for each in blocks:
            each.__enter__()
            inside()
        for i in order:
            inside()
            blocks[i].__exit__(None, None, None)


def overlap_in_threads(block, n):
    """Two threads that go in and out of a block, together n times; gives what they met."""
    step, met = threading.Barrier(2), []

    def one(first):
        try:
            for i in range(n):
                mine = block()
                if first:
                    mine.__enter__()
                    step.wait()
                    step.wait()
                else:
                    step.wait()
                    mine.__enter__()
                    step.wait()
                if first == bool(i % 2):  # the one that began first ends first, or last
                    mine.__exit__(None, None, None)
                    step.wait()
                else:
                    step.wait()
                    mine.__exit__(None, None, None)
                step.wait()
        except BaseException as error:
            met.append(error)
            step.abort()

    threads = [threading.Thread(target=one, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return met


@pytest.mark.parametrize("order", ORDERS)
def test_a_thousand_overlapping_no_grad_leave_nothing_behind(order):
    def paused():
        assert is_paused() and not (w * 2.0).requires_grad

    overlap(minigen.no_grad, order, 1000, paused)
    assert not is_paused() and (w * 2.0).requires_grad


def test_a_thousand_overlapping_no_grad_in_two_threads():
    assert not overlap_in_threads(minigen.no_grad, 1000)
    assert not is_paused() and (w * 2.0).requires_grad


def test_no_grad_holds_in_its_own_thread_alone():
    with minigen.no_grad(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: (w * 2.0).requires_grad).result()
        assert not (w * 2.0).requires_grad


def test_no_grad_in_a_generator_ends_where_the_generator_does():
    def numbers():
        with minigen.no_grad():
            yield from range(3)

    for _ in range(100):
        one, other = numbers(), numbers()
        next(one), next(other)
        del one
        other.close()
    assert not is_paused() and (w * 2.0).requires_grad


@pytest.mark.parametrize("nested", [False, True])
def test_no_grad_that_ends_in_another_thread_holds_in_neither(nested):
    def block():
        with minigen.no_grad():
            yield

    def end(generator):
        generator.close()  # as happens where its last reference is dropped
        free = not is_paused() and (w * 2.0).requires_grad
        with minigen.no_grad():
            return free and is_paused() and not (w * 2.0).requires_grad

    one = block()
    next(one)
    with ThreadPoolExecutor(1) as pool:
        if nested:
            with minigen.no_grad():
                assert pool.submit(end, one).result()
                assert is_paused() and not (w * 2.0).requires_grad
        else:
            assert pool.submit(end, one).result()
    assert not is_paused() and (w * 2.0).requires_grad


@pytest.mark.parametrize("order", ORDERS)
def test_overlapping_debug_blocks_leave_nothing_behind(order):
    def finds():
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="log"):
            ops.log(w * 0.0)

    overlap(check.debug, order, 20, finds)
    assert watcher.get() is None
    with np.errstate(all="ignore"):
        assert np.isinf(ops.log(w * 0.0).data).all()


def test_debug_blocks_in_two_threads():
    assert not overlap_in_threads(check.debug, 100)
    assert watcher.get() is None

    def elsewhere():
        with np.errstate(all="ignore"):
            return ops.log(w * 0.0).data

    with check.debug(), ThreadPoolExecutor(1) as pool:
        assert np.isinf(pool.submit(elsewhere).result()).all()


@pytest.mark.parametrize("order", ORDERS)
def test_overlapping_watchers_of_all_sorts(order):
    for kinds in product([check.debug, minigen.no_grad, lambda: watch(Watcher())], repeat=2):
        blocks = [kind() for kind in kinds]
        for block in blocks:
            block.__enter__()
        for i in order:
            blocks[i].__exit__(None, None, None)
        assert watcher.get() is None and not is_paused()


def test_a_step_recorded_in_one_thread_while_another_computes(often):
    stop, trouble = threading.Event(), []
    net = nn.MLP([2, 8, 1], rng=np.random.default_rng(0))

    def compute():
        while not stop.is_set():
            if not (ops.sum(net(X.astype(np.float32))) * w).requires_grad:
                trouble.append("no gradient")

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for scale in range(12):  # each is recorded, compared and replayed
            step = minigen.compile(lambda x, scale=float(scale): ops.sum(ops.tanh(x) * scale))
            for i in range(4):
                x = X[i : i + 3].astype(np.float32)
                assert step(x) == ops.sum(ops.tanh(x) * float(scale))
            assert len(step.program().splitlines()) <= 5
    finally:
        stop.set()
        thread.join()
    assert not trouble


# What belongs to the process ------------------------------------------------------------------------------------------


@pytest.mark.skipif(blas.threads() is None, reason="another BLAS")
@pytest.mark.parametrize("order", ORDERS)
def test_overlapping_blocks_of_one_thread_of_blas(order, monkeypatch):
    for name in blas.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = blas.threads()
    blas._openblas()[1](2)  # so that there is something to put back, on any machine
    try:
        overlap(blas.one_thread, order, 50, lambda: blas.threads() == 1 or pytest.fail("more than one"))
        assert blas.threads() == 2
        assert not overlap_in_threads(blas.one_thread, 50)
        assert blas.threads() == 2
    finally:
        blas._openblas()[1](before)


@pytest.mark.parametrize("order", ORDERS)
def test_overlapping_loops_give_ctrl_c_back(order):
    mine = lambda number, frame: None
    before = signal.signal(signal.SIGINT, mine)
    try:
        overlap(interrupt_flag, order, 20)
        assert signal.getsignal(signal.SIGINT) is mine
        blocks = [interrupt_flag(), interrupt_flag()]
        outer, inner = [block.__enter__() for block in blocks]
        signal.raise_signal(signal.SIGINT)
        assert (len(outer), len(inner)) == (0, 1)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        blocks[1].__exit__(None, None, None)
        signal.raise_signal(signal.SIGINT)
        assert outer
        blocks[0].__exit__(None, None, None)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_loop_that_another_thread_ends_gives_ctrl_c_back_when_the_next_one_ends():
    mine = lambda number, frame: None
    before = signal.signal(signal.SIGINT, mine)
    try:
        for _ in range(2):
            block = interrupt_flag()
            block.__enter__()
            with ThreadPoolExecutor(1) as pool:  # such as a generator that is collected there
                pool.submit(block.__exit__, None, None, None).result()
            with interrupt_flag() as pressed:
                signal.raise_signal(signal.SIGINT)
                assert pressed
            assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_put_in_place_during_a_loop_stays():
    theirs = lambda number, frame: None
    before = signal.getsignal(signal.SIGINT)
    try:
        with interrupt_flag():
            signal.signal(signal.SIGINT, theirs)
        assert signal.getsignal(signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, before)


def test_modules_built_in_many_threads_find_their_parameters(often):
    def build(seed):
        for i in range(60):
            net = nn.Module()
            net.first = nn.Linear(2, 2, rng=np.random.default_rng(seed))
            assert net.flat().data.size == 6
            net.extra = nn.Linear(2, i + 1, rng=np.random.default_rng(seed))
            if net.flat().data.size != 6 + 3 * (i + 1):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(build, range(4)))
