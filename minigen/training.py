"""The one training loop: minibatches, progress, validation and early stopping, callbacks, checkpoints, Ctrl-C.

`run` repeats a step, whatever it is: of a regression, of two players against each other, of chains and an energy.
`fit` gives it the plainest one, which is `descend`: down the gradient of a loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike
from tqdm import tqdm

from ._support.arguments import Count, Positive, Rng, checked
from ._support.arrays import as_numbers, check_finite
from ._support.console import is_bar_hidden
from ._support.interrupt import interrupt_flag
from .compile import compile as compiled
from .nn.module import Module
from .optim import Adam, Optimizer, WeightAverage, clip_grad_norm
from .storage.generators import named_generators
from .storage.training_state import TrainingState
from .tape import Tensor, no_grad
from .watching import live_check


@dataclass
class History:
    """What happened during training.

    `step` holds the numbers of the recorded steps, and `losses` what the step returned in each of them, by name;
    `history["critic"]` is short for `history.losses["critic"]`, and `history.loss` for `history["loss"]`. `validation`
    holds pairs (step, loss), and `best_step` is where that loss was lowest. `seconds` is the time taken, `stopped` says
    why training ended: "steps", "patience", "callback" or "interrupt". After a resume it covers the whole training,
    what came before the checkpoint too.
    """

    step: list[int] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    stopped: str = "steps"
    best_step: int | None = None

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.losses:
            raise KeyError(f"this history has no {name!r}; it has {', '.join(self.losses) or 'nothing yet'}")
        return self.losses[name]

    @property
    def loss(self) -> list[float]:
        """The values named "loss"."""
        return self["loss"]

    def clear(self) -> None:
        """Forget all, as before a training."""
        vars(self).update(vars(History()))

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Note what a step returned."""
        self.step.append(step)
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)

    def add_validation(self, step: int, value: float) -> bool:
        """Note a validation loss; whether it is the lowest so far."""
        improved = value < dict(self.validation).get(self.best_step, math.inf)
        self.validation.append((step, value))
        if improved:
            self.best_step = step
        return improved

    def validations_since_best(self) -> int:
        """How many validations there were after the best one."""
        return sum(step > (self.best_step or 0) for step, _ in self.validation)


@dataclass(frozen=True)
class StepInfo:
    """What a callback is given after each step; a callback that returns True ends the training.

    `losses` is what the step returned, by name, `model` what is trained, `parts` the networks and optimisers by name.
    """

    step: int
    losses: dict[str, float]
    model: object
    parts: Mapping[str, object]
    history: History

    @property
    def loss(self) -> float:
        """The loss, of a step that returns one of this name."""
        return self.losses["loss"]


Callback = Callable[[StepInfo], "bool | None"]


class Minibatches:
    """Row numbers for one minibatch after another: a new shuffle each time the rows run out.

    Rows left over at the end of a shuffle are skipped, so that all batches have one size. `order` and `position` are
    the state: restored together with the generator they continue the same sequence.
    """

    @checked
    def __init__(self, n: Count, batch_size: Count, rng: Rng):
        self.n, self.batch_size, self.rng = n, min(batch_size, n), rng
        self.order, self.position = np.empty(0, np.int64), 0

    def draw(self) -> np.ndarray:
        """The next `batch_size` row numbers."""
        if self.position + self.batch_size > len(self.order):
            self.order, self.position = self.rng.permutation(self.n), 0
        rows = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return rows


class Networks(Module):
    """Several networks as one, so that they are switched, saved and restored together; each keeps its own buffer."""

    def __init__(self, **networks: Module):
        for name, network in networks.items():
            setattr(self, name, network)


def as_data(arrays: Sequence, dtype: DTypeLike, caller: str = "fit()") -> tuple[np.ndarray, ...]:
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
        array = as_numbers(given, f"array {i}", caller)
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{caller} got an array {i} of shape {array.shape}; expected at least one row")
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = check_finite(np.ascontiguousarray(array, dtype), f"array {i}", caller)
        converted.append(array)
    lengths = [len(array) for array in converted]
    if len(set(lengths)) > 1:
        raise ValueError(f"{caller} got arrays of {lengths} rows; all must have the same number of rows")
    return tuple(converted)


def descend(
    loss: Tensor,
    number: np.ndarray,
    *optimizers: Optimizer,
    name: str = "loss",
    max_norm: float | None = None,
    advice: str = "A smaller learning rate may help",
) -> None:
    """One step of each optimiser down the gradient of a scalar loss, computed for its parameters alone.

    Raises FloatingPointError, before any weight is touched, where the loss or its gradient is not finite: with the
    loss's `name`, the `number` of the steps done before, an array (), and what may help.
    """
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward([p for optimizer in optimizers for p in optimizer.module.parameters()])
    for optimizer in optimizers:
        live_check(_check_finite, loss.data, optimizer.module.flat().grad, number, name, advice)
    for optimizer in optimizers:
        if max_norm is not None:
            clip_grad_norm(optimizer.module, max_norm)
        optimizer.step()


def _check_finite(loss: np.ndarray, gradient: np.ndarray, number: np.ndarray, name: str, advice: str) -> None:
    value = float(loss)
    if not math.isfinite(value):
        trouble = f"the {name} is {value}"
    # The inner product, which is quick, says no only for what may also be large.
    elif math.isfinite(np.dot(gradient, gradient)) or np.isfinite(gradient).all():
        return
    else:
        trouble = f"the gradient of the {name} ({value:.6g}) is not finite"
        advice = "Often that is a square root or a logarithm at 0"
    raise FloatingPointError(
        f"{trouble} at step {int(number) + 1}; the weights are those before it. {advice}; minigen.debug.find_nan() "
        "finds the operation"
    )


class Descent:
    """The step of `fit`: one minibatch's loss, and a step down its gradient."""

    def __init__(
        self,
        loss: Callable[..., Tensor],
        optimizer: Optimizer,
        max_norm: float | None = None,
        average: WeightAverage | None = None,
        numbered: bool = False,
    ):
        self.loss, self.optimizer, self.max_norm, self.average = loss, optimizer, max_norm, average
        self.numbered = numbered
        self.__name__ = getattr(loss, "__name__", "loss")

    def __call__(self, number: np.ndarray, *batch: np.ndarray) -> dict[str, Tensor]:
        value = self.loss(number, *batch) if self.numbered else self.loss(*batch)
        if type(value) is not Tensor:
            raise TypeError(
                f"fit(): loss returned a {type(value).__name__}; it must return a scalar tensor, such as ops.mse(...)"
            )
        advice = "A smaller learning rate or max_norm=1.0 may help"
        descend(value, number, self.optimizer, max_norm=self.max_norm, advice=advice)
        if self.average is not None:
            self.average.update()
        return {"loss": value}


@checked
def fit(
    module: Module,
    loss: Callable[..., Tensor],
    data: Sequence,
    *,
    rng: Rng,
    steps: Count,
    batch_size: Count = 64,
    optimizer: Optimizer | None = None,
    max_norm: Positive | None = None,
    average: WeightAverage | None = None,
    validation: Sequence | None = None,
    validate_every: Count = 100,
    patience: Count | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: Count = 1000,
    resume: bool = False,
    compile: bool = True,
    progress: bool | None = None,
    label: str = "training",
    numbered: bool = False,
    model: object = None,
    history: History | None = None,
) -> History:
    """Train a module: draw a minibatch, compute `loss(*batch)`, step down its gradient, `steps` times.

    Parameters
    ----------
    module : what learns. It is in training mode during the steps and in eval mode in between and afterwards.
    loss : from one minibatch of each array in `data` (raw arrays) to a scalar tensor. With `numbered` it is called as
        `loss(number, *batch)`, with the number of the steps done as an array ().
    data : arrays of n rows each. Floating data take the dtype of the module.
    rng : draws the minibatches; use the same one for noise inside `loss`, then a checkpoint holds all randomness.
    steps : how many steps the training has, those before a resume included.
    batch_size : rows in a minibatch; at most n are taken.
    optimizer : default `Adam(module, 1e-3)`.
    max_norm : limit for the norm of the gradient.
    average : updated after each step.
    validation : arrays like `data`; `loss` of all of it is taken in eval mode every `validate_every` steps and at the
        end. Looking does not change what is learned: afterwards `rng` and the generators of the layers are as they were
        before. With `patience`, training ends when the loss has not improved that many times in a row, and the best
        weights are put back.
    callbacks, checkpoint, checkpoint_every, resume, compile, progress, label, model, history : see `run`.

    Returns the `History`. Raises FloatingPointError, before the weights are touched, when the loss or its gradient is
    not finite.
    """
    optimizer = Adam(module) if optimizer is None else optimizer
    if optimizer.module is not module:
        raise ValueError("fit() got an optimizer made for another module; make it for this one, as Adam(module)")
    if average is not None and average.module is not module:
        raise ValueError("fit() got an average made for another module; make it for this one, as WeightAverage(module)")
    dtype = module.flat().data.dtype
    data = as_data(data, dtype)
    validate = None
    if validation is not None:
        validation = as_data(validation, dtype, "fit(validation=...)")
        if len(validation) != len(data):
            raise ValueError(
                f"fit() got {len(data)} arrays to train on and {len(validation)} to validate; give as many"
            )

        def validate(_: np.ndarray) -> float:
            number = np.asarray(steps, np.float32)  # what changes with the number is as it will be at the end
            with no_grad():
                return (loss(number, *validation) if numbered else loss(*validation)).item()

    elif patience is not None:
        raise ValueError("fit() got patience without validation data; give validation=(X, ...) to watch")
    return run(
        Descent(loss, optimizer, max_norm, average, numbered),
        data,
        parts={"module": module, "optimizer": optimizer, "average": average},
        model=module if model is None else model,
        rng=rng,
        steps=steps,
        batch_size=batch_size,
        validate=validate,
        validate_every=validate_every,
        patience=patience,
        callbacks=callbacks,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        compile=compile,
        progress=progress,
        label=label,
        history=history,
    )


def run(
    step: Callable[..., Mapping[str, Tensor]],
    data: Sequence[np.ndarray],
    *,
    parts: Mapping[str, object],
    rng: np.random.Generator,
    steps: int,
    batch_size: int,
    model: object = None,
    minibatches: int = 1,
    prepare: Callable[..., tuple] | None = None,
    record_every: int = 1,
    note: Callable[..., Mapping[str, float]] | None = None,
    validate: Callable[[np.ndarray], float] | None = None,
    validate_every: int = 100,
    patience: int | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    resume: bool = False,
    compile: bool = True,
    progress: bool | None = None,
    label: str = "training",
    history: History | None = None,
) -> History:
    """Do `step(number, *batch)`, `steps` times, with a new minibatch each time.

    Parameters
    ----------
    step : from the number of the steps done before, a float32 array (), and the minibatch to scalars by name. It
        changes the weights itself, for example by `descend`.
    data : arrays of n rows each; a minibatch takes the same rows of all. The step is
        given `minibatches` of them, drawn one after the other.
    parts : what a checkpoint holds, by name: "module", the network or `Networks`; "optimizer" and "average", if any;
        under other names further optimisers, and arrays that the step changes in place.
    model : what callbacks find as `info.model`.
    prepare : `prepare(*batch)` gives what the step is called with, for what has to be done by NumPy before.
    record_every : each so many steps an entry is made in the history, the first step among them; `note(*batch)` gives
        more numbers for it, by name. It is called in eval mode.
    validate : a loss to watch, called in eval mode with the number of steps done; see `fit`.
    callbacks : called with a `StepInfo` after each step, in eval mode; one that returns True ends the training.
    checkpoint : file that holds the whole state, written every `checkpoint_every` steps and at the end. With `resume`,
        training continues from it bit for bit as if it had never stopped: give the same arguments. A place that cannot
        be written to is found before the first step; a disk that is full later costs that one writing, with a warning.
    compile : record the step once and replay it (see `minigen.compile`), with the same result. A step that cannot be
        recorded, because it looks at values or draws with NumPy, runs as it is, with a warning.
    progress : show a bar; default: only on a terminal.
    history : where to write, emptied first; for those who want to look at it meanwhile.

    Returns the `History`. Ctrl-C ends the training after the step under way and returns what was learned; a second
    Ctrl-C interrupts at once.
    """
    if resume and checkpoint is None:
        raise ValueError("fit() got resume=True without a checkpoint; give the file to continue from as checkpoint=...")
    history = History() if history is None else history
    history.clear()
    module, batches = parts["module"], Minibatches(len(data[0]), batch_size, rng)
    state = TrainingState(parts, batches, history, checkpoint, checkpoint_every)
    done = _restored(state, steps, history) if resume else 0
    watch = _Validation(validate, validate_every, patience, state)
    compute = compiled(step, strict=False) if compile else step

    def is_going():
        return done < steps and history.stopped == "steps"

    if is_going():
        state.before(done)
    module.train()
    try:
        with Progress(steps, done, history, label, progress) as bar:
            while is_going():
                batch = _drawn(data, batches, minibatches)
                if prepare is not None:
                    batch = prepare(*batch)
                losses = compute(np.asarray(done, np.float32), *batch)
                losses = {name: value.item() for name, value in losses.items()}
                done += 1
                if (done - 1) % record_every == 0:
                    history.add(done, losses if note is None else losses | _noted(note, batch, module))
                bar.advance(done, losses)
                watch.after(done)
                if callbacks:
                    module.eval()
                    bar.ask(callbacks, StepInfo(done, losses, model, parts, history))
                    module.train()
                bar.check_interrupt()
                state.after(done, is_last=not is_going())
            watch.at_end(done)
        watch.put_best_back()
    finally:
        module.eval()
    return history


def _restored(state: TrainingState, steps: int, history: History) -> int:
    """The step of the checkpoint, with all put back as it was: Ctrl-C meanwhile leaves nothing half done."""
    with interrupt_flag() as pressed:
        done = state.restore(steps)
    if pressed:
        history.stopped = "interrupt"
    return done


def _drawn(data: Sequence[np.ndarray], batches: Minibatches, minibatches: int) -> list[np.ndarray]:
    drawn = []
    for _ in range(minibatches):
        rows = batches.draw()
        drawn += [np.take(array, rows, axis=0) for array in data]
    return drawn


def _noted(note: Callable, batch: Sequence[np.ndarray], module: Module) -> dict[str, float]:
    module.eval()
    noted = {name: float(value) for name, value in note(*batch).items()}
    module.train()
    return noted


class _Validation:
    """When to look at the validation loss, and when patience ends."""

    def __init__(self, validate: Callable | None, every: int, patience: int | None, state: TrainingState):
        self.validate, self.every, self.patience, self.state = validate, every, patience, state
        self._see_patience()

    def after(self, step: int) -> None:
        if self.validate is not None and step % self.every == 0:
            self._look(step)
            self._see_patience()

    def at_end(self, step: int) -> None:
        """One last look. Not in the checkpoint: a training that goes on from there would not have looked here."""
        if self.validate is not None and self.state.history.stopped == "steps" and step % self.every:
            self._look(step)

    def put_best_back(self) -> None:
        if self.patience is not None and self.state.best is not None:
            self.state.module.load_state_dict(self.state.best)

    def _look(self, step: int) -> None:
        module = self.state.module
        sources = [rng.bit_generator for rng in named_generators(module, self.state.batches.rng).values()]
        before = [source.state for source in sources]
        module.eval()
        try:
            value = self.validate(np.asarray(step, np.float32))
        finally:
            for source, state in zip(sources, before):
                source.state = state
        module.train()
        if self.state.history.add_validation(step, value):
            self.state.best = module.state_dict()

    def _see_patience(self) -> None:
        history = self.state.history
        if self.patience is not None and history.validations_since_best() >= self.patience:
            history.stopped = "patience"


class Progress:
    """The bar of a training, its time, Ctrl-C and callbacks; `history` gets `seconds`, which is added to, and why the
    training ended in `stopped`."""

    def __init__(self, steps: int, done: int, history: History, label: str, show: bool | None):
        self.history = history
        self._settings = {
            "total": steps,
            "initial": done,
            "desc": label,
            "disable": is_bar_hidden(show),
            "leave": False,
            "mininterval": 0.2,
        }

    def __enter__(self) -> Progress:
        self._start = time.perf_counter() - self.history.seconds
        with ExitStack() as stack:
            self._interrupted = stack.enter_context(interrupt_flag())
            self._bar = stack.enter_context(tqdm(**self._settings))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *trouble) -> None:
        self._stack.close()
        self.history.seconds = time.perf_counter() - self._start

    def advance(self, step: int, losses: Mapping[str, float]) -> None:
        """One step is done; the bar shows its losses now and then."""
        self.history.seconds = time.perf_counter() - self._start
        if step % 50 == 1:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in losses.items()}, refresh=False)
        self._bar.update()

    def ask(self, callbacks: Sequence[Callback], info: StepInfo) -> None:
        """Tell every callback, and see whether one of them asks for an end."""
        if any([callback(info) for callback in callbacks]):
            self.history.stopped = "callback"

    def check_interrupt(self) -> None:
        """See whether Ctrl-C asks for an end."""
        if self._interrupted:
            self.history.stopped = "interrupt"
