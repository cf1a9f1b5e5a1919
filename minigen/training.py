"""The one training loop: minibatches, progress, validation and early stopping, callbacks, checkpoints, Ctrl-C."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import storage
from .nn.layers import check_rng, check_size
from .nn.module import Module
from .optim import Adam, Optimizer, WeightAverage, clip_grad_norm
from .tape import Tensor, no_grad


@dataclass
class History:
    """What happened during training.

    `loss` holds one value a step, `validation` pairs (step, loss); `seconds` is the time taken, `stopped` says why
    training ended: "steps", "patience", "callback" or "interrupt". `best_step` is where the validation loss was lowest.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "steps"
    best_step: int | None = None


@dataclass(frozen=True)
class StepInfo:
    """What a callback is given after each step; a callback that returns True ends the training."""

    step: int
    loss: float
    module: Module
    optimizer: Optimizer
    history: History


class Minibatches:
    """Row numbers for one minibatch after another: a new shuffle each time the rows run out.

    Rows left over at the end of a shuffle are skipped, so that all batches have one size. `order` and `position` are the
    state: restored together with the generator they continue the same sequence.
    """

    def __init__(self, n: int, batch_size: int, rng: np.random.Generator):
        self.n, self.batch_size, self.rng = n, min(check_size(batch_size, "batch_size", "fit()"), n), rng
        self.order, self.position = np.empty(0, np.int64), 0

    def draw(self) -> np.ndarray:
        """The next `batch_size` row numbers."""
        if self.position + self.batch_size > len(self.order):
            self.order, self.position = self.rng.permutation(self.n), 0
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return rows


def as_data(arrays: Sequence, dtype, caller: str = "fit()") -> tuple[np.ndarray, ...]:
    """Arrays ready to train on: floats in the given dtype, all of one length, none empty, all values finite.

    Raises ValueError naming the array and what is wrong with it.
    """
    converted = []
    for i, given in enumerate(arrays):
        array = np.asarray(given.data if type(given) is Tensor else given)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{caller} got data of type {array.dtype} as array {i}; expected numbers")
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{caller} got an array {i} of shape {array.shape}; expected at least one row")
        if array.dtype.kind == "f":
            bad = np.count_nonzero(~np.isfinite(array))
            if bad:
                raise ValueError(
                    f"{caller} got {bad} value(s) that are NaN or infinite in array {i} of shape {array.shape}; remove or "
                    "fill them first, for example X[np.isfinite(X).all(axis=1)]"
                )
            array = np.ascontiguousarray(array, dtype)
        converted.append(array)
    lengths = [len(array) for array in converted]
    if len(set(lengths)) > 1:
        raise ValueError(f"{caller} got arrays of {lengths} rows; all must have the same number of rows")
    return tuple(converted)


def fit(
    module: Module,
    loss: Callable[..., Tensor],
    data: Sequence,
    *,
    rng: np.random.Generator,
    steps: int,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    max_norm: float | None = None,
    average: WeightAverage | None = None,
    validation: Sequence | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    callbacks: Sequence[Callable[[StepInfo], bool | None]] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    progress: bool | None = None,
    label: str = "training",
) -> History:
    """Train a module: draw a minibatch, compute `loss(*batch)`, step along its gradient, `steps` times.

    Parameters
    ----------
    module : what learns. It is in training mode during the call and in eval mode afterwards.
    loss : from one minibatch of each array in `data` (raw arrays) to a scalar tensor.
    data : arrays of n rows each. Floating data take the dtype of the module.
    rng : draws the minibatches; use the same one for noise inside `loss`, then a checkpoint holds all randomness.
    optimizer : default `Adam(module, 1e-3)`.
    max_norm : limit for the norm of the gradient.
    average : updated after each step.
    validation : arrays like `data`; `loss` of all of it is taken every `validate_every` steps. With `patience`, training
        ends when it has not improved that many times in a row, and the best weights are put back.
    callbacks : called with a `StepInfo` after each step; one that returns True ends the training.
    checkpoint : file that holds the whole state, written every `checkpoint_every` steps and at the end. With `resume`,
        training continues from it bit for bit as if it had never stopped.
    progress : show a bar; default: only on a terminal.

    Returns the `History`. Ctrl-C ends the training after the step under way and returns what was learned; a second
    Ctrl-C interrupts at once. Raises FloatingPointError, before the weights are touched, when the loss is not finite.
    """
    check_rng(rng, "fit()")
    steps = check_size(steps, "steps", "fit()")
    optimizer = Adam(module) if optimizer is None else optimizer
    if optimizer.module is not module:
        raise ValueError("fit() got an optimizer made for another module; make it for this one, as Adam(module)")
    dtype = module.flat().data.dtype
    data = as_data(data, dtype)
    validation = None if validation is None else as_data(validation, dtype, "fit(validation=...)")
    if patience is not None and validation is None:
        raise ValueError("fit() got patience without validation data; give validation=(X, ...) to watch")
    if resume and checkpoint is None:
        raise ValueError("fit() got resume=True without a checkpoint; give the file to continue from as checkpoint=...")

    batches = Minibatches(len(data[0]), batch_size, rng)
    history, first = History(), 0
    if resume:
        first = _restore(checkpoint, module, optimizer, rng, average, batches, history)
    best, best_weights, worse = math.inf, None, 0
    start = time.perf_counter()
    module.train()
    hidden = not sys.stderr.isatty() if progress is None else not progress
    with (
        _interrupt_flag() as interrupted,
        tqdm(total=steps, initial=first, desc=label, disable=hidden, leave=False, mininterval=0.2) as bar,
    ):
        for step in range(first, steps):
            rows = batches.draw()
            value = _step(module, loss, [np.take(array, rows, axis=0) for array in data], optimizer, max_norm, step)
            if average is not None:
                average.update()
            history.loss.append(value)
            bar.update()
            if step % 50 == 0:
                bar.set_postfix(loss=f"{value:.4g}", refresh=False)
            if validation is not None and ((step + 1) % validate_every == 0 or step + 1 == steps):
                current = _evaluate(module, loss, validation)
                history.validation.append((step + 1, current))
                if current < best:
                    best, worse, history.best_step = current, 0, step + 1
                    best_weights = module.flat().data.copy() if patience is not None else None
                else:
                    worse += 1
                if patience is not None and worse >= patience:
                    history.stopped = "patience"
            info = StepInfo(step + 1, value, module, optimizer, history)
            if any([callback(info) for callback in callbacks]):
                history.stopped = "callback"
            if interrupted:
                history.stopped = "interrupt"
            ending = history.stopped != "steps" or step + 1 == steps
            if checkpoint is not None and (ending or (step + 1) % checkpoint_every == 0):
                _store(checkpoint, module, optimizer, rng, average, batches, history, step + 1)
            if ending:
                break
    if best_weights is not None:
        flat = module.flat()
        flat.data[...] = best_weights
        flat.changed()
    module.eval()
    history.seconds = time.perf_counter() - start
    return history


def _step(module, loss, batch, optimizer, max_norm, step) -> float:
    optimizer.zero_grad()
    result = loss(*batch)
    if type(result) is not Tensor:
        raise TypeError(f"fit(): loss returned a {type(result).__name__}; it must return a scalar tensor, such as ops.mse(...)")
    value = float(result.data) if result.data.size == 1 else None
    if value is not None and not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} at step {step + 1}; the weights are those of step {step}. A smaller learning rate or "
            "max_norm=1.0 may help; minigen.check.debug() finds the operation"
        )
    result.backward()
    if max_norm is not None:
        clip_grad_norm(module, max_norm)
    optimizer.step()
    return value


def _evaluate(module, loss, validation) -> float:
    module.eval()
    with no_grad():
        value = loss(*validation).item()
    module.train()
    return value


def _store(path, module, optimizer, rng, average, batches, history, step):
    extra = {
        "order": batches.order,
        "position": batches.position,
        "loss": np.array(history.loss, np.float64),
        "validation": np.array(history.validation, np.float64).reshape(-1, 2),
    }
    storage.save(path, module=module, optimizer=optimizer, rng=rng, average=average, step=step, extra=extra)


def _restore(path, module, optimizer, rng, average, batches, history) -> int:
    loaded = storage.load(path, module=module, optimizer=optimizer, rng=rng, average=average)
    batches.order, batches.position = np.asarray(loaded.extra["order"], np.int64), int(loaded.extra["position"])
    history.loss = [float(value) for value in loaded.extra["loss"]]
    history.validation = [(int(step), float(value)) for step, value in loaded.extra["validation"]]
    return loaded.step


@contextmanager
def _interrupt_flag():
    """A list that is empty until Ctrl-C is pressed; the second Ctrl-C raises KeyboardInterrupt as usual."""
    pressed: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number, frame):
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
