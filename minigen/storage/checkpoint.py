"""What is in a checkpoint, and how does it come back?

Weights stand in the file under their own names (`0.weight`, ...), all else under names that begin with `minigen/`, and
what is not an array in one record. All of a file is checked before anything is changed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from .._support.arguments import Kind, Rng, checked, instance_of
from ..nn.module import Module
from ..optim import Optimizer, WeightAverage
from . import formats, generators
from .formats import FORMAT, RESERVED, SCALARS, VERSION, CheckpointError

OPTIMIZER, AVERAGE, EXTRA = f"{RESERVED}optimizer/", f"{RESERVED}average", f"{RESERVED}extra/"

PathLike = Annotated[
    "str | os.PathLike",
    Kind("a path", lambda path: isinstance(path, (str, os.PathLike)), Path, error=TypeError),
]
AModule = Annotated[Module, instance_of(Module, "such as nn.MLP(...)")]
AnOptimizer = Annotated[Optimizer, instance_of(Optimizer)]
AnAverage = Annotated[WeightAverage, instance_of(WeightAverage)]
Step = Annotated[int, Kind("a whole number, 0 or more", formats.is_step, int)]
Extra = Mapping[str, "np.ndarray | float | str | bool | None"]


class Checkpoint(NamedTuple):
    """What a file holds, None for what it lacks; `optimizer` is its `kind`, its `steps` and its moments by name."""

    step: int | None
    extra: dict
    weights: dict[str, np.ndarray]
    optimizer: dict | None
    average: np.ndarray | None
    generators: dict[str, dict]


@checked
def save(
    path: PathLike,
    module: AModule | None = None,
    *,
    optimizer: AnOptimizer | None = None,
    average: AnAverage | None = None,
    rng: Rng | None = None,
    step: Step | None = None,
    extra: Extra | None = None,
    dry_run: bool = False,
) -> None:
    """Write a checkpoint to a path that ends in `.npz` or `.safetensors`, in place of the file that may be there.

    With a module go its buffers and the states of the generators that its layers draw from; `extra` takes arrays,
    numbers and text by name. Settings such as a learning rate or a layer's width are not saved: they belong to the
    program. The file appears whole or not at all: it is written beside its place and then renamed. With `dry_run` it is
    not renamed but taken away: to learn before long work what would go wrong after it.

    A generator's own stream goes on exactly; the children that its `spawn` would give are not part of its state.

    Raises TypeError or ValueError for what cannot be saved, OSError where the file cannot be written.
    """
    parts = {"module": module, "optimizer": optimizer, "average": average, "rng": rng}
    record = {
        "format": FORMAT,
        "version": VERSION,
        "holds": [name for name, part in parts.items() if part is not None],
        "step": step,
        "generators": generators.to_record(module, rng),
        "extra": {},
    }
    arrays: dict[str, np.ndarray] = {}
    if module is not None:
        arrays |= _weights_of(module)
    if optimizer is not None:
        moments = optimizer.state_dict()
        record["optimizer"] = {"kind": type(optimizer).__name__, "steps": int(moments.pop("steps"))}
        arrays |= {f"{OPTIMIZER}{name}": moment for name, moment in moments.items()}
    if average is not None and average.running is not None:
        arrays[AVERAGE] = average.running
    for name, value in (extra or {}).items():
        value = _checked_extra(name, value)
        if isinstance(value, np.ndarray):
            arrays[f"{EXTRA}{name}"] = value
        else:
            record["extra"][name] = value
    formats.write(path, record, arrays, dry_run)


@checked
def load(
    path: PathLike,
    module: AModule | None = None,
    *,
    optimizer: AnOptimizer | None = None,
    average: AnAverage | None = None,
    rng: Rng | None = None,
) -> Checkpoint:
    """Read a checkpoint and put its state into what is given, in place; returns what the file holds.

    A module takes its weights, its buffers and the states of its layers' generators; to take only the weights, use
    `load_weights`. Make the objects as they were made for the saved run, then load: training goes on bit for bit as if
    it had never stopped. Parts of the file for which nothing is given are left aside.

    Raises CheckpointError, with nothing changed, for a damaged or foreign file and for one that does not fit;
    FileNotFoundError where there is none.
    """
    parts = {"module": module, "optimizer": optimizer, "average": average, "rng": rng}
    record, arrays = formats.read(path)
    try:
        _check_holds(record, [name for name, part in parts.items() if part is not None])
        found = _as_checkpoint(record, arrays)
        if module is not None:
            _check_match(module.state_dict(), found.weights, "the network")
        if optimizer is not None:
            _check_optimizer(optimizer, found.optimizer)
        if average is not None and found.average is not None:
            own = {"average": average.module.flat().data}
            _check_match(own, {"average": found.average}, "the weight average", any_float=True)
        states = generators.matched(record["generators"], module, rng)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit: {error}") from None

    # From here on nothing can fail.
    if module is not None:
        module.load_state_dict(found.weights)
    if optimizer is not None:
        optimizer.load_state_dict({name: value for name, value in found.optimizer.items() if name != "kind"})
    if average is not None:
        average.running = None if found.average is None else found.average.astype(np.float64)
    for source, state in states:
        source.state = state
    return found


@checked
def load_weights(path: PathLike, module: AModule) -> None:
    """Put the weights and buffers of a file into a module and nothing else, whoever wrote the file.

    Takes a checkpoint of `save` and any `.npz` (compressed or not) or `.safetensors` file whose names and shapes are
    the module's, such as a PyTorch state dict. Floating-point numbers are converted to the module's dtype.

    Raises CheckpointError, with nothing changed, for a damaged file and for one that does not fit; FileNotFoundError
    where there is none.
    """
    own = module.state_dict()
    # In float64, and with the headers of the arrays.
    room = sum(8 * array.size + 1024 for array in own.values())
    _, arrays = formats.read(path, room)
    weights = {name: array for name, array in arrays.items() if not name.startswith(RESERVED)}
    try:
        _check_match(own, weights, "the network", any_float=True)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit: {error}") from None
    module.load_state_dict(weights)


def _weights_of(module: Module) -> dict[str, np.ndarray]:
    weights = module.state_dict()
    if any(name.startswith(RESERVED) for name in weights):
        raise ValueError(f"save() got a parameter whose name begins with {RESERVED!r}, kept for itself; rename it")
    return weights


def _checked_extra(name, value):
    if not (isinstance(name, str) and re.fullmatch(r"[\w.-]+", name)):
        raise ValueError(
            f"save() got extra with the name {name!r}; expected a text of letters, digits, '_', '-' and '.'"
        )
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (np.ndarray, *SCALARS)):
        raise TypeError(
            f"save() got extra[{name!r}], a {type(value).__name__}; expected an array, a number or a text: "
            "give a list as numpy.asarray(...), a tensor as its .data"
        )
    return value


def _check_holds(record: dict | None, asked: list[str]) -> None:
    """ValueError unless the file holds all that it is asked for."""
    if record is None:
        raise ValueError("it holds plain weights and no training state; take them with load_weights()")
    absent = [name for name in asked if name not in record["holds"]]
    if absent:
        raise ValueError(
            f"it was saved with {_named(record['holds'])} and without {_named(absent)}; call load() without "
            f"{'it' if len(absent) == 1 else 'them'}"
        )


def _check_match(own: Mapping, given: Mapping, what: str, any_float: bool = False) -> None:
    """Raise ValueError unless the given arrays have the names, shapes and dtypes of one's own."""
    missing, unknown = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"{what} lacks {_named(unknown)} of the file, the file lacks {_named(missing)} of {what}; build it as it "
            "was when the file was saved"
        )
    for name, array in own.items():
        if given[name].shape != array.shape:
            raise ValueError(
                f"{name} of {what} has shape {array.shape}, in the file {given[name].shape}; build it with the sizes "
                "it was saved with"
            )
        if given[name].dtype != array.dtype and not (any_float and given[name].dtype.kind == array.dtype.kind):
            raise ValueError(
                f"{name} of {what} is {array.dtype}, in the file {given[name].dtype}; convert the network with "
                ".astype() before the optimiser is made"
            )


def _named(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}" or "nothing"


def _check_optimizer(optimizer: Optimizer, saved: dict) -> None:
    if saved["kind"] != type(optimizer).__name__:
        raise ValueError(f"it was saved with {saved['kind']}, not {type(optimizer).__name__}; use the same again")
    moments = lambda state: {name: value for name, value in state.items() if name not in ("steps", "kind")}
    _check_match(moments(optimizer.state_dict()), moments(saved), "the optimiser")


def _as_checkpoint(record: Mapping, arrays: Mapping[str, np.ndarray]) -> Checkpoint:
    def under(prefix):
        return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}

    optimizer = None
    if "optimizer" in record["holds"]:
        kind, steps = record["optimizer"]["kind"], record["optimizer"]["steps"]
        optimizer = {**under(OPTIMIZER), "kind": kind, "steps": steps}
    return Checkpoint(
        step=record["step"],
        extra={**record["extra"], **under(EXTRA)},
        weights={name: array for name, array in arrays.items() if not name.startswith(RESERVED)},
        optimizer=optimizer,
        average=arrays.get(AVERAGE),
        generators={user: group["state"] for group in record["generators"] for user in group["users"]},
    )
