"""A training step without Python in the way: record one call as a flat list of kernel calls, then replay the list.

`record` notes what a call of the step did, `replay` makes of it calls `function(*arguments)` over arrays allocated
beforehand; here is what the user holds, and the comparison that finds what a replay would miss.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from types import MethodType

import numpy as np

from ..tape import Tensor, is_paused
from ..watching import watch, watcher
from .record import CompileError, Recorded, Recorder, arrays, each, is_recording, leaves, putting_back, raw, state_of
from .replay import Plan, mismatch, named, own, sketch

ROUNDING = 1e-4  # a replay may differ by this much of the largest value before it is called wrong
CHECKED = {2, *(10**n for n in range(1, 10))}  # the calls that are done both ways
MOST_PLANS = 16  # recordings of one step; more means that something changes in every call


class CompiledStep:
    """A step that is recorded in its first call and replayed afterwards. Made by `compile`."""

    def __init__(self, step: Callable, check: bool, strict: bool):
        self.step, self.check, self.strict = step, check, strict
        self.name = getattr(step, "__name__", type(step).__name__)
        self._plans: dict[tuple, list[Plan]] = {}
        self._latest: Plan | None = None
        self._eager = False
        self.__doc__ = step.__doc__

    def __get__(self, instance, owner=None):
        return self if instance is None else MethodType(self, instance)

    def __call__(self, *args):
        if self._eager or watcher.get() is not None or os.environ.get("MINIGEN_COMPILE") == "0":
            if is_recording():
                raise CompileError(
                    f"{self.name}() is compiled and was called inside another compiled step; compile only the outer one"
                )
            return each(own, self.step(*args))
        try:
            plans = self._plans.setdefault(self._key(args), [])
        except TypeError as error:
            raise TypeError(
                f"{self.name}() is compiled and takes arrays, tensors, and constants that can be told apart; {error}: "
                "give each array as an argument of its own"
            ) from None
        for plan in plans:
            if plan.stands():
                break
        else:
            return self._record(plans, args)
        plan.count += 1
        self._latest = plan
        if self.check or plan.count in CHECKED:
            return self._compare(plan, args)
        return plan.run(args)

    def _key(self, args) -> tuple:
        """Arguments of one key can share a recording."""
        key = [is_paused()]
        for arg in args:
            if type(arg) in (np.ndarray, Recorded):
                key.append((arg.shape, arg.dtype))
            elif type(arg) is Tensor and arg.node is None:
                key.append((Tensor, arg.data.shape, arg.data.dtype))
            else:
                key.append((type(arg), repr(arg) if isinstance(arg, (float, np.generic)) else arg))
        return tuple(key)

    def _watched(self, args) -> tuple:
        """Do the step with a recorder watching: the recorder, and what the step gave, off the tape."""
        recorder, given = Recorder(), []
        for i, arg in enumerate(args):
            if type(arg) is Tensor and arg.node is None:
                arg = Tensor(recorder.input(i, arg.data))
            elif type(arg) in (np.ndarray, Recorded):
                arg = recorder.input(i, arg)
            given.append(arg)
        try:
            with watch(recorder):
                result = self.step(*given)
            recorder.check(self.name, args, result)
        except BaseException:
            recorder.forget()
            raise
        return recorder, each(lambda x: Tensor(x.data) if type(x) is Tensor else x, result)

    def _record(self, plans, args):
        plans[:] = [plan for plan in plans if plan.is_alive()]
        try:
            if sum(map(len, self._plans.values())) == MOST_PLANS:
                raise CompileError(
                    f"{self.name}() was recorded {MOST_PLANS} times, each for other shapes, constants or "
                    "modes of layers; give a number that changes as an array of shape (), batches of one size, and "
                    "set modes outside the step"
                )
            recorder, result = self._watched(args)
        except Exception as error:
            if self.strict:
                raise
            return self._give_up(error, each(own, self.step(*args)))  # a step at fault raises here what is wrong
        plans.append(Plan(recorder, result))
        return each(_returned(recorder), result)

    def _compare(self, plan, args):
        """Replay, put everything back, and do the step itself, watched: its result and the state after it stay.

        What it called must be what was recorded, and the two results must agree: to rounding, or with `check` bit for
        bit.
        """
        before = [putting_back(thing) for thing in plan.changed]
        replayed = each(raw, plan.run(args))
        after = [state_of(thing) for thing in plan.changed]
        for put_back in before:
            put_back()
        recorder, result = self._watched(args)
        result = each(_returned(recorder), result)
        expected = [each(raw, result), *map(state_of, plan.changed)]
        wrong = mismatch(plan.sketch, sketch(recorder)) or _difference([replayed, *after], expected, self.check)
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
        self._eager = True
        warnings.warn(f"{self.name}() runs without being compiled: {error}", stacklevel=4)
        return result

    def program(self, rounds: int = 20) -> str:
        """The recording replayed last as a table: each call with the shapes and bytes of its arguments and results, and
        microseconds, the least of `rounds`. What the calls change is put back.

        Raises ValueError before the second call, when there is nothing to replay yet.
        """
        plan = self._latest
        if plan is None:
            raise ValueError(f"{self.name}() has no program yet: it is recorded in its first call, built in its second")
        before = [putting_back(thing) for thing in plan.changed]
        times = np.zeros((rounds, len(plan.calls)))
        for row in times:
            for i, (function, args) in enumerate(plan.calls):
                start = time.perf_counter()
                function(*args)
                row[i] = time.perf_counter() - start
        for put_back in before:
            put_back()
        least = times.min(axis=0) * 1e6
        lines = [f"{'operation':24}{'kernel':24}{'bytes':>12}{'µs':>9}  arrays"]
        for name, (function, args), changed, microseconds in zip(plan.names, plan.calls, plan.changes, least):
            taken = arrays(args) or changed
            shapes = " ".join("x".join(map(str, a.shape)) or "()" for a in taken)
            size = sum(a.nbytes for a in taken)
            lines.append(f"{name[:23]:24}{named(function)[:23]:24}{size:12,}{microseconds:9.2f}  {shapes}")
        lines.append(f"{len(plan.calls)} calls, {least.sum():.1f} µs; {plan.bytes:,} bytes of intermediate results")
        return "\n".join(lines)

    def __repr__(self):
        return f"<{self.name}(), compiled: {sum(map(len, self._plans.values()))} recordings>"


def _returned(recorder) -> Callable:
    """What the caller gets of a result of the recording."""

    def returned(x):
        return raw(x).item() if isinstance(x, Recorded) and recorder.is_number(x) else own(x)

    return returned


def _difference(replayed, expected, exact: bool) -> str:
    """How what a replay did differs from what the step did; nothing if it does not."""
    a, b = leaves(replayed), leaves(expected)
    if len(a) != len(b):
        return "it returns something else"
    return next(filter(None, (_apart(x, y, exact) for x, y in zip(a, b))), "")


def _apart(a, b, exact: bool) -> str:
    if not isinstance(b, np.ndarray):
        return "" if repr(a) == repr(b) else f"{a!r:.40} is {b!r:.40} in the step itself"
    if np.shape(a) != b.shape:
        return f"a result of shape {np.shape(a)} has shape {b.shape} in the step itself"
    if np.array_equal(a, b) or (b.dtype.kind == "f" and np.array_equal(a, b, equal_nan=True)):
        return ""
    with np.errstate(all="ignore"):
        apart, size = np.abs(np.subtract(a, b, dtype=np.float64)), np.abs(b)
    scale = float(np.max(size[np.isfinite(size)], initial=0.0))
    largest = float(np.max(np.where((np.isnan(a) & np.isnan(b)) | np.equal(a, b), 0.0, apart), initial=0.0))
    if not exact and largest <= ROUNDING * scale:
        return ""
    return f"an array of shape {b.shape} whose largest value is {scale:.3g} differs by {largest:.3g}"


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

    Arrays are told apart by shape and dtype, anything else by its value: a new kind records anew. Parameters, optimiser
    state, learning-rate schedules and random generators are live; Python numbers and branches are what they were in the
    recording. Lines of the step that are not operations (a print, a counter, `log[i] = ...` into an array of the
    program) run only in the calls named above.

    With the environment variable `MINIGEN_COMPILE=0` every step runs as it is, and so it does under `check.debug()`.

    Raises CompileError, with the state as it was before the call, for what a replay would not do again: `.item()`,
    `float()`, a branch on a value, a change in place, a compiled step inside another.
    """
    if not callable(step):
        raise TypeError(f"compile() got a {type(step).__name__}; expected a function that does one step")
    return CompiledStep(step, check, strict)
