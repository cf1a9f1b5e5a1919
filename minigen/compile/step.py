"""A training step without Python in the way: record one call as a flat list of kernel calls, then replay the list.

`record` notes what a call of the step did, `plan` makes of it calls `function(*arguments)` over arrays allocated
beforehand; here is what the user holds, and when a call is recorded, replayed, or done both ways and compared.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from threading import RLock
from types import MethodType
from typing import Any
from weakref import ref

import numpy as np

from ..tape import Tensor
from ..watching import watch, watcher
from .arguments import Arguments, key_of
from .compare import difference, mismatch, sketch
from .plan import Plan, copied
from .record import Recorder
from .recorded import CompileError, Recorded, is_recording, raw_array
from .show import table
from .state import putting_back, state_of
from .trees import tree_map

CHECKED = {2, *(10**n for n in range(1, 10))}  # the calls that are done both ways
MOST_PLANS = 16  # recordings of one step; more means that something changes in every call


class Recordings:
    """What was recorded of one step, or of one instance's if the step is a method; a copy begins with nothing."""

    def __init__(self):
        self.arguments: Arguments | None = None
        self.plans: dict[tuple, list[Plan]] = {}
        self.latest: Plan | None = None
        self.gave_up = False
        self.lock = RLock()  # the arrays of a plan are one thread's at a time

    def __reduce__(self):
        return Recordings, ()

    @property
    def number(self) -> int:
        """How many there are."""
        return sum(map(len, self.plans.values()))

    def settled(self, step: Callable, args: tuple, settings: dict) -> tuple[tuple, tuple[str, ...]]:
        """The values in the order of the step's signature, and the names of those to be given by keyword."""
        if self.arguments is None:
            self.arguments = Arguments(step)
        return self.arguments.settled(args, settings)


class CompiledStep:
    """A step that is recorded in its first call and replayed afterwards. Made by `compile`."""

    def __init__(self, step: Callable, check: bool, strict: bool, recordings: Recordings | None = None):
        self.step, self.check, self.strict = step, check, strict
        self.name = getattr(step, "__name__", type(step).__name__)
        self.recordings = Recordings() if recordings is None else recordings
        self._methods = None if recordings is not None else Methods()
        self.__doc__ = step.__doc__

    def __set_name__(self, holder: type, name: str) -> None:
        self._methods.holder = holder

    def __get__(self, instance, holder=None) -> CompiledStep:
        """The step as a method of an instance, with recordings of its own."""
        if instance is None:
            return self
        method = MethodType(self.step, instance)
        return CompiledStep(method, self.check, self.strict, self._methods.recordings(instance))

    def __call__(self, *args: Any, **settings: Any) -> Any:
        kept = self.recordings
        if kept.gave_up or watcher.get() is not None or is_off():
            return self._as_it_is(args, settings)
        if self._methods is not None and args and isinstance(args[0], self._methods.holder):
            return self.__get__(args[0])(*args[1:], **settings)
        values, names = (args, ()) if not settings else kept.settled(self.step, args, settings)
        with kept.lock:
            try:
                plans = kept.plans.setdefault(key_of(values, names), [])
            except TypeError as error:
                raise TypeError(
                    f"{self.name}() is compiled and takes arrays, tensors, and constants that can be told apart; "
                    f"{error}: give each array as an argument of its own"
                ) from None
            for plan in plans:
                if plan.stands():
                    break
            else:
                return self._record(plans, values, names)
            plan.count += 1
            kept.latest = plan
            if self.check or plan.count in CHECKED:
                return self._compare(plan, values, names)
            return plan.run(values)

    def _as_it_is(self, args, settings):
        if is_recording():
            raise CompileError(
                f"{self.name}() is compiled and was called inside another compiled step; compile only the outer one"
            )
        return tree_map(copied, self.step(*args, **settings))

    def _watched(self, values, names) -> tuple:
        """Do the step with a recorder watching: the recorder, and what the step gave, off the tape."""
        recorder, given = Recorder(), []
        for i, value in enumerate(values):
            if type(value) is Tensor and value.node is None:
                value = Tensor(recorder.input(i, value.data))
            elif type(value) in (np.ndarray, Recorded):
                value = recorder.input(i, value)
            given.append(value)
        first = len(values) - len(names)
        labels = [*range(first), *map(repr, names)]
        try:
            with watch(recorder):
                result = self.step(*given[:first], **dict(zip(names, given[first:])))
            recorder.check(self.name, dict(zip(labels, values)), result)
        except BaseException:
            recorder.forget()
            raise
        return recorder, tree_map(lambda x: Tensor(x.data) if type(x) is Tensor else x, result)

    def _record(self, plans, values, names):
        plans[:] = [plan for plan in plans if plan.is_alive()]
        try:
            if self.recordings.number == MOST_PLANS:
                raise CompileError(
                    f"{self.name}() was recorded {MOST_PLANS} times, each for other shapes, constants or "
                    "modes of layers; give a number that changes as an array of shape (), batches of one size, and "
                    "set modes outside the step"
                )
            recorder, result = self._watched(values, names)
        except Exception as error:
            if self.strict:
                raise
            first = len(values) - len(names)
            found = self.step(*values[:first], **dict(zip(names, values[first:])))  # at fault, it says so itself
            return self._give_up(error, tree_map(copied, found))
        plans.append(Plan(recorder, result))
        return tree_map(_returned(recorder), result)

    def _compare(self, plan, values, names):
        """Replay, put everything back, and do the step itself, watched: its result and the state after it stay.

        What it called must be what was recorded, and the two results must agree: to rounding, or with `check` bit for
        bit.
        """
        before = [putting_back(thing) for thing in plan.changed]
        replayed = tree_map(raw_array, plan.run(values))
        after = [state_of(thing) for thing in plan.changed]
        for put_back in before:
            put_back()
        recorder, result = self._watched(values, names)
        result = tree_map(_returned(recorder), result)
        expected = [tree_map(raw_array, result), *map(state_of, plan.changed)]
        wrong = mismatch(plan.sketch, sketch(recorder)) or difference([replayed, *after], expected, self.check)
        if not wrong:
            return result
        meanwhile = "" if plan.count == 2 else "; the calls since the last comparison may have gone wrong"
        error = CompileError(
            f"call {plan.count} of {self.name}() is not what was recorded: {wrong}. Draw noise by "
            "minigen.ops.normal(rng, shape) instead of rng.normal; give what else changes (a counter, a weight that is "
            f"warmed up, a copy made by NumPy) as an argument, or do not compile it (fit(compile=False)){meanwhile}"
        )
        if self.strict or plan.count > 2:
            raise error
        return self._give_up(error, result)

    def _give_up(self, error, result):
        """Go on without compiling, after saying why."""
        self.recordings.gave_up = True
        warnings.warn(f"{self.name}() runs without being compiled: {error}", stacklevel=4)
        return result

    def program(self, rounds: int = 20) -> str:
        """The recording replayed last as a table: each call with the shapes and bytes of its arguments and results, and
        microseconds, the least of `rounds`. What the calls change is put back.

        Raises ValueError before the second call, when there is nothing to replay yet.
        """
        with self.recordings.lock:
            if self.recordings.latest is None:
                raise ValueError(
                    f"{self.name}() has no program yet: it is recorded in its first call, built in its second"
                )
            return table(self.recordings.latest, rounds)

    def __repr__(self):
        return f"<{self.name}(), compiled: {self.recordings.number} recordings>"


class Methods:
    """The recordings of each instance whose class has a compiled method, by identity; they live as long as it does.

    They are kept by the instance itself where it has a `__dict__`: a plan refers to what the step changes, which may
    refer to the instance, and only there such a circle is freed with it.
    """

    KEPT_AS = "_recordings_of_steps"
    holder: type | tuple = ()  # the class

    def __init__(self):
        self._others: dict[int, tuple[ref, Recordings]] = {}

    def __reduce__(self):
        return Methods, ()

    def recordings(self, instance: object) -> Recordings:
        """Those of this instance."""
        if not hasattr(instance, "__dict__") or isinstance(instance, type):
            return self._of_other(instance)
        kept = vars(instance).get(self.KEPT_AS)
        if kept is None or kept.instance() is not instance:  # a shallow copy brings those of another along
            kept = vars(instance)[self.KEPT_AS] = KeptByInstance(instance)
        return kept.by_step.setdefault(self, Recordings())

    def _of_other(self, instance) -> Recordings:
        key = id(instance)
        if key not in self._others:
            self._others[key] = ref(instance, lambda _: self._others.pop(key)), Recordings()
        return self._others[key][1]


class KeptByInstance:
    """The recordings of an instance's compiled methods; a copy of the instance has none."""

    def __init__(self, instance: object = None):
        self.instance = (lambda: None) if instance is None else ref(instance)
        self.by_step: dict[Methods, Recordings] = {}

    def __reduce__(self):
        return KeptByInstance, ()


_environment: Any = os.environ
_SWITCH, _OFF = "MINIGEN_COMPILE", "0"
if hasattr(os.environ, "_data"):  # what is behind it is asked in 0.1 µs, and os.environ itself in 2: every step does
    _environment, _SWITCH, _OFF = os.environ._data, os.environ.encodekey(_SWITCH), os.environ.encodevalue(_OFF)


def is_off() -> bool:
    """Whether the environment says now that no step shall be recorded or replayed."""
    return _environment.get(_SWITCH) == _OFF


def _returned(recorder) -> Callable:
    """What the caller gets of a result of the recording."""

    def returned(x):
        return raw_array(x).item() if isinstance(x, Recorded) and recorder.is_number(x) else copied(x)

    return returned


def compile(step: Callable, *, check: bool = False, strict: bool = True) -> CompiledStep:
    """`step`, recorded in its first call and replayed afterwards: the same results without Python's part of the work.

        @minigen.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = ops.mse(network(x), y)
            loss.backward()
            optimizer.step()
            return loss

    Parameters
    ----------
    step : takes arrays, constant tensors, and constants; computes with `minigen.ops`, tensors, modules, optimisers'
        `zero_grad()` and `step()`, `backward()` and `grad()`; returns arrays, tensors and numbers, alone or in tuples,
        named tuples, lists and dicts. What it returns belongs to the caller and is off the tape.
    check : do the step both ways in every call, and raise CompileError unless it does what was recorded and results,
        weights, moments and generators are equal bit for bit. Without it that happens in calls 2, 10, 100, 1000, ...,
        and the numbers are compared to rounding (ROUNDING).
    strict : raise where the step cannot be recorded, or does something else in call 2; otherwise warn and run it as it
        is.

    Arrays are told apart by shape, dtype and layout, anything else by its value: a new kind records anew. Each may be
    given by position or by keyword. Parameters, optimiser
    state, learning-rate schedules and random generators are live; Python numbers and branches are what they were in the
    recording. Lines of the step that are not operations (a print, a counter, `log[i] = ...` into an array of the
    program) run only in the calls named above.

    While the environment variable `MINIGEN_COMPILE` is 0 nothing is recorded or replayed and every step runs as it is;
    so it does under `debug.find_nan()`. A method has recordings for each instance. `minigen/compile/README.md` explains
    how it is done.

    Raises CompileError, with the state as it was before the call, for what a replay would not do again: `.item()`,
    `float()`, a branch on a value, a change in place, a compiled step inside another.
    """
    if not callable(step):
        raise TypeError(f"compile() got a {type(step).__name__}; expected a function that does one step")
    return CompiledStep(step, check, strict)
