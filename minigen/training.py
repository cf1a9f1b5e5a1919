"""The one training loop: minibatches, progress, validation and early stopping, callbacks, checkpoints, Ctrl-C."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import storage
from ._support.arguments import check_rng, check_size
from ._support.interrupt import interrupt_flag
from .compile import compile as compiled
from .nn.module import Module
from .optim import Adam, Optimizer, WeightAverage, clip_grad_norm
from .tape import Tensor, depends_on, no_grad


@dataclass
class History:
    """What happened during training.

    `loss` holds one value a step, `validation` pairs (step, loss); `seconds` is the time taken, `stopped` says why
    training ended: "steps", "patience", "callback" or "interrupt". `best_step` is where the validation loss was lowest.
    After a resume it covers the whole training, what came before the checkpoint too.
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

    Rows left over at the end of a shuffle are skipped, so that all batches have one size. `order` and `position` are
    the state: restored together with the generator they continue the same sequence.
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

    Integers and booleans stay what they are: they may be labels. Raises TypeError or ValueError naming the array and
    what is wrong with it.
    """
    if isinstance(arrays, (np.ndarray, Tensor)):
        raise TypeError(
            f"{caller} got one array of shape {arrays.shape}; give a tuple of arrays, (X,) for a single one"
        )
    if not len(arrays):
        raise ValueError(f"{caller} got no arrays; give at least one, as (X,)")
    converted = []
    for i, given in enumerate(arrays):
        try:
            array = np.asarray(given.data if type(given) is Tensor else given)
        except ValueError:
            raise TypeError(
                f"{caller} got rows of unequal length in array {i}; give every row the same length"
            ) from None
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{caller} got data of type {array.dtype} as array {i}; expected real numbers")
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{caller} got an array {i} of shape {array.shape}; expected at least one row")
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = np.ascontiguousarray(array, dtype)
            bad = np.count_nonzero(~np.isfinite(array))
            if bad:
                raise ValueError(
                    f"{caller} got {bad} value(s) that are NaN or infinite in array {i} of shape {array.shape}; remove "
                    "or fill them first, for example X[np.isfinite(X).all(axis=1)]"
                )
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
    compile: bool = True,
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
    steps : how many steps the training has, those before a resume included.
    batch_size : rows in a minibatch; at most n are taken.
    optimizer : default `Adam(module, 1e-3)`.
    max_norm : limit for the norm of the gradient.
    average : updated after each step.
    validation : arrays like `data`; `loss` of all of it is taken in eval mode every `validate_every` steps and at the
        end. Looking does not change what is learned: afterwards `rng` is as it was before. With `patience`, training
        ends when the loss has not improved that many times in a row, and the best weights are put back.
    callbacks : called with a `StepInfo` after each step; one that returns True ends the training. One may use the
        module in eval mode; training goes on in training mode.
    checkpoint : file that holds the whole state, written every `checkpoint_every` steps and at the end. With `resume`,
        training continues from it bit for bit as if it had never stopped: give the same arguments.
    compile : record forward and backward pass once and replay them (see `minigen.compile`), with the same result. A
        loss that cannot be recorded, because it looks at values or draws with NumPy, runs as it is, with a warning.
    progress : show a bar; default: only on a terminal.

    Returns the `History`. Ctrl-C ends the training after the step under way and returns what was learned; a second
    Ctrl-C interrupts at once. Raises FloatingPointError, before the weights are touched, when the loss or its gradient
    is not finite.
    """
    check_rng(rng, "fit()")
    steps = check_size(steps, "steps", "fit()")
    for name, value in (("validate_every", validate_every), ("checkpoint_every", checkpoint_every)):
        check_size(value, name, "fit()")
    optimizer = Adam(module) if optimizer is None else optimizer
    if optimizer.module is not module:
        raise ValueError("fit() got an optimizer made for another module; make it for this one, as Adam(module)")
    if average is not None and average.module is not module:
        raise ValueError("fit() got an average made for another module; make it for this one, as WeightAverage(module)")
    dtype = module.flat().data.dtype
    data = as_data(data, dtype)
    validation = None if validation is None else as_data(validation, dtype, "fit(validation=...)")
    if validation is not None and len(validation) != len(data):
        raise ValueError(f"fit() got {len(data)} arrays to train on and {len(validation)} to validate; give as many")
    if patience is not None:
        check_size(patience, "patience", "fit()")
        if validation is None:
            raise ValueError("fit() got patience without validation data; give validation=(X, ...) to watch")
    if max_norm is not None and not max_norm > 0:
        raise ValueError(f"fit() got max_norm={max_norm!r}; expected a positive number, or None for no limit")
    if resume and checkpoint is None:
        raise ValueError("fit() got resume=True without a checkpoint; give the file to continue from as checkpoint=...")

    batches = Minibatches(len(data[0]), batch_size, rng)
    history, step, best = History(), 0, None  # best: the state of the module when the validation loss was lowest
    if resume:
        step, best = _restore(checkpoint, steps, module, optimizer, rng, average, batches, history)

    def validate():
        nonlocal best
        if _note_validation(history, loop.step, _evaluate(module, loss, validation, rng)):
            best = module.state_dict()

    def out_of_patience():
        return patience is not None and _since_best(history) >= patience

    if out_of_patience():
        history.stopped = "patience"
    gradients = _Gradients(module, loss, optimizer)
    compute = compiled(gradients, strict=False) if compile else gradients
    module.train()
    try:
        with Loop(steps, history, label, progress, callbacks, step) as loop:
            while loop.goes_on():
                rows = batches.draw()
                batch = [np.take(array, rows, axis=0) for array in data]
                value = compute(*batch).item()
                _check_finite(value, module, loop.step)
                if max_norm is not None:
                    clip_grad_norm(module, max_norm)
                optimizer.step()
                if average is not None:
                    average.update()
                history.loss.append(value)
                loop.count(loss=value)
                if validation is not None and loop.step % validate_every == 0:
                    validate()
                    if out_of_patience():
                        history.stopped = "patience"
                loop.look_round(StepInfo, loop.step, value, module, optimizer, history)
                if callbacks:
                    module.train()
                if checkpoint is not None and (not loop.goes_on() or loop.step % checkpoint_every == 0):
                    _store(checkpoint, module, optimizer, rng, average, batches, history, loop.step, best)
            # Not in the checkpoint: a training that goes on from there would not have looked here.
            if validation is not None and history.stopped == "steps" and steps % validate_every:
                validate()
        if patience is not None and best is not None:
            module.load_state_dict(best)
    finally:
        module.eval()
    return history


class _Gradients:
    """Loss and gradients of one minibatch: the part of a step that is compiled."""

    def __init__(self, module, loss, optimizer):
        self.module, self.loss, self.optimizer = module, loss, optimizer
        self.__name__ = getattr(loss, "__name__", "loss")
        self.connected = False

    def __call__(self, *batch) -> Tensor:
        self.optimizer.zero_grad()
        result = self.loss(*batch)
        if type(result) is not Tensor:
            raise TypeError(
                f"fit(): loss returned a {type(result).__name__}; it must return a scalar tensor, such as ops.mse(...)"
            )
        if not self.connected and result.node is not None and not depends_on(result, self.module.parameters()):
            raise ValueError(
                "fit(): the loss does not depend on any parameter of the module it was given, so nothing can be "
                "learned; does it use another network, no_grad() or detach()?"
            )
        self.connected = True
        result.backward()
        return result


def not_finite(value, gradient: np.ndarray, name: str = "loss") -> str:
    """What is not finite, the value of a loss or its gradient, in words; nothing if both are."""
    if not math.isfinite(value):
        return f"the {name} is {float(value)}"
    # The inner product, which is quick, says no only for what may also be large.
    if not math.isfinite(np.dot(gradient, gradient)) and not np.isfinite(gradient).all():
        return f"the gradient of the {name} ({float(value):.6g}) is not finite"
    return ""


def _check_finite(value: float, module: Module, step: int) -> None:
    if trouble := not_finite(value, module.flat().grad):
        finder = "minigen.check.debug() finds the operation"
        if math.isfinite(value):
            advice = f"{finder}, often a square root or a logarithm at 0"
        else:
            advice = f"A smaller learning rate or max_norm=1.0 may help; {finder}"
        raise FloatingPointError(f"{trouble} at step {step + 1}; the weights are those of step {step}. {advice}")


def _evaluate(module, loss, validation, rng) -> float:
    module.eval()
    state = rng.bit_generator.state
    with no_grad():
        value = loss(*validation).item()
    rng.bit_generator.state = state
    module.train()
    return value


def _note_validation(history: History, step: int, value: float) -> bool:
    """Add a validation loss to the history; whether it is the lowest so far."""
    improved = value < dict(history.validation).get(history.best_step, math.inf)
    history.validation.append((step, value))
    if improved:
        history.best_step = step
    return improved


def _since_best(history: History) -> int:
    """How many validations there were after the best one."""
    return sum(step > (history.best_step or 0) for step, _ in history.validation)


def _store(path, module, optimizer, rng, average, batches, history, step, best):
    extra = {
        "order": batches.order,
        "position": batches.position,
        "loss": np.array(history.loss, np.float64),
        "validation": np.array(history.validation, np.float64).reshape(-1, 2),
        "best_step": history.best_step,
        "seconds": history.seconds,
        **{f"best.{name}": array for name, array in (best or {}).items()},
    }
    storage.save(path, module=module, optimizer=optimizer, rng=rng, average=average, step=step, extra=extra)


def _restore(path, steps, module, optimizer, rng, average, batches, history):
    """Put all back as `_store` found it; gives the step and the best state. What does not fit changes nothing."""
    found = storage.load(path)
    extra, best = dict(found.extra), {}
    for name in [name for name in extra if name.startswith("best.")]:
        best[name.removeprefix("best.")] = extra.pop(name)
    if found.step is None or extra.keys() != {"order", "position", "loss", "validation", "best_step", "seconds"}:
        raise storage.CheckpointError(f"{path} holds no training to resume; give a file that fit(checkpoint=...) wrote")
    if found.step > steps:
        raise ValueError(
            f"fit() got steps={steps}, but {path} has {found.step} steps behind it; steps counts from the beginning"
        )
    order = np.asarray(extra["order"])
    if len(order) != batches.n:
        raise storage.CheckpointError(
            f"{path} was written while training on {len(order)} rows, fit() got {batches.n}; give the same data"
        )
    shapes = {name: array.shape for name, array in module.state_dict().items()}
    if not np.array_equal(np.sort(order), np.arange(batches.n)) or (
        best and {name: array.shape for name, array in best.items()} != shapes
    ):
        raise storage.CheckpointError(f"{path} does not fit this training; build all as it was when it was written")
    storage.load(path, module=module, optimizer=optimizer, rng=rng, average=average)
    batches.order, batches.position = order.astype(np.int64), int(extra["position"])
    history.loss = [float(value) for value in extra["loss"]]
    history.validation = [(int(step), float(value)) for step, value in extra["validation"]]
    history.best_step, history.seconds = extra["best_step"], float(extra["seconds"])
    return found.step, best or None


class Loop:
    """The steps of a training, counted: a bar, Ctrl-C, callbacks, and why and when it ended, noted in `history`.

    `history` has `seconds`, which is added to, and `stopped`. In a step `count()` comes when it is done, and
    `look_round()` when nothing but a checkpoint is left to do.
    """

    def __init__(self, steps: int, history, label: str, progress: bool | None, callbacks=(), step: int = 0):
        self.steps, self.history, self.callbacks, self.step = steps, history, callbacks, step
        self._bar_settings = {
            "desc": label,
            "disable": None if progress is None else not progress,  # None: hidden unless on a terminal
            "leave": False,
            "mininterval": 0.2,
        }

    def __enter__(self) -> Loop:
        self._start = time.perf_counter() - self.history.seconds
        self._stack = ExitStack()
        self._interrupted = self._stack.enter_context(interrupt_flag())
        self._bar = self._stack.enter_context(tqdm(total=self.steps, initial=self.step, **self._bar_settings))
        return self

    def __exit__(self, *trouble) -> None:
        self._stack.close()
        self.history.seconds = time.perf_counter() - self._start

    def goes_on(self) -> bool:
        """Whether there is another step to do."""
        return self.step < self.steps and self.history.stopped == "steps"

    def count(self, **losses: float) -> None:
        """One step is done; the bar shows its losses now and then."""
        self.step += 1
        if self.step % 50 == 1:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()}, refresh=False)
        self._bar.update()

    def look_round(self, info: Callable, *about) -> None:
        """Give `info(*about)` to every callback, and see whether one of them, or Ctrl-C, asks for an end."""
        self.history.seconds = time.perf_counter() - self._start
        if self.callbacks:
            given = info(*about)
            if any([callback(given) for callback in self.callbacks]):
                self.history.stopped = "callback"
        if self._interrupted:
            self.history.stopped = "interrupt"
