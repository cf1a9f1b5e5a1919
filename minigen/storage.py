"""How a training run is put on disk and taken up again: weights, optimiser moments, generator states, step, extras.

A checkpoint is a `.npz` file, NumPy's own format, or a `.safetensors` file, which PyTorch users read too. Weights stand
in it under their own names (`0.weight`, ...), all else under names that begin with `minigen/`, and what is not an array
in one JSON text, the record. Loading only ever parses numbers and text: no pickle, nothing that could be executed. All
of a file is checked, checksum included, before anything is changed.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ._support.atomic import write_whole
from .nn.module import Module
from .optim import Optimizer, WeightAverage

FORMAT, VERSION = "minigen checkpoint", 1
RESERVED = "minigen/"
RECORD = "minigen/record"

Extra = Mapping[str, "np.ndarray | float | str | bool | None"]


class CheckpointError(ValueError):
    """A file that is not a checkpoint, is damaged, or does not fit what it is loaded into. Nothing has been changed."""


class Checkpoint(NamedTuple):
    """What a file holds, None for what it lacks; `optimizer` is its `kind`, its `steps` and its moments by name."""

    step: int | None
    extra: dict
    weights: dict[str, np.ndarray]
    optimizer: dict | None
    average: np.ndarray | None
    generators: dict[str, dict]


def save(
    path: str | os.PathLike,
    module: Module | None = None,
    *,
    optimizer: Optimizer | None = None,
    average: WeightAverage | None = None,
    rng: np.random.Generator | None = None,
    step: int | None = None,
    extra: Extra | None = None,
) -> None:
    """Write a checkpoint to a path that ends in `.npz` or `.safetensors`, in place of the file that may be there.

    With a module go its buffers and the states of the generators that its layers draw from; `extra` takes arrays,
    numbers and text by name. Settings such as a learning rate or a layer's width are not saved: they belong to the
    program. The file appears whole or not at all: it is written beside its place and then renamed.

    A generator's own stream goes on exactly; the children that its `spawn` would give are not part of its state.

    Raises TypeError or ValueError for what cannot be saved, OSError where the file cannot be written.
    """
    path = Path(path)
    pack, _ = _format_of(path)
    parts = {"module": module, "optimizer": optimizer, "average": average, "rng": rng}
    _check_parts(parts, "save")
    record = {
        "format": FORMAT,
        "version": VERSION,
        "holds": [name for name, part in parts.items() if part is not None],
        "step": None if step is None else _check_count(step, "step"),
        "generators": _generator_groups(module, rng),
        "extra": {},
    }
    arrays: dict[str, np.ndarray] = {}
    if module is not None:
        arrays |= module.state_dict()
        if any(name.startswith(RESERVED) for name in arrays):
            raise ValueError(f"save() got a parameter whose name begins with {RESERVED!r}, kept for itself; rename it")
    if optimizer is not None:
        moments = optimizer.state_dict()
        record["optimizer"] = {"kind": type(optimizer).__name__, "steps": int(moments.pop("steps"))}
        arrays |= {f"{RESERVED}optimizer/{name}": moment for name, moment in moments.items()}
    if average is not None and average.average is not None:
        arrays[f"{RESERVED}average"] = average.average
    for name, value in (extra or {}).items():
        value = _check_extra(name, value)
        if isinstance(value, np.ndarray):
            arrays[f"{RESERVED}extra/{name}"] = value
        else:
            record["extra"][name] = value
    for name, array in arrays.items():
        if not _is_numeric(array.dtype):
            raise TypeError(f"save() cannot store {name}, an array of {array.dtype}; convert it to float32 or int64")
    arrays = {name: _little_endian(array) for name, array in arrays.items()}
    record["checksum"] = _checksum(record, arrays)
    write_whole(path, pack(json.dumps(record), arrays))


def load(
    path: str | os.PathLike,
    module: Module | None = None,
    *,
    optimizer: Optimizer | None = None,
    average: WeightAverage | None = None,
    rng: np.random.Generator | None = None,
) -> Checkpoint:
    """Read a checkpoint and put its state into what is given, in place; returns what the file holds.

    A module takes its weights, its buffers and the states of its layers' generators; to take only the weights, use
    `load_weights`. Make the objects as they were made for the saved run, then load: training goes on bit for bit as if
    it had never stopped. Parts of the file for which nothing is given are left aside.

    Raises CheckpointError, with nothing changed, for a damaged or foreign file and for one that does not fit;
    FileNotFoundError where there is none.
    """
    parts = {"module": module, "optimizer": optimizer, "average": average, "rng": rng}
    _check_parts(parts, "load")
    record, arrays = _read(Path(path))
    try:
        if record is None:
            raise ValueError("it holds plain weights and no training state; take them with load_weights()")
        absent = [name for name, part in parts.items() if part is not None and name not in record["holds"]]
        if absent:
            raise ValueError(
                f"it was saved with {_named(record['holds'])} and without {_named(absent)}; call load() without "
                f"{'it' if len(absent) == 1 else 'them'}"
            )
        found = _as_checkpoint(record, arrays)
        if module is not None:
            _check_fit(module.state_dict(), found.weights, "the network")
        if optimizer is not None:
            moments = _check_optimizer(optimizer, found.optimizer)
        if average is not None and found.average is not None:
            _check_fit({"average": average.module.flat().data}, {"average": found.average}, "the weight average")
        states = _matched_generators(record["generators"], module, rng)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit: {error}") from None
    if module is not None:
        module.load_state_dict(found.weights)
    if optimizer is not None:
        optimizer.load_state_dict(moments)
    if average is not None:
        average.average = None if found.average is None else found.average.copy()
    for source, state in states:
        source.state = state
    return found


def load_weights(path: str | os.PathLike, module: Module) -> None:
    """Put the weights and buffers of a file into a module and nothing else, whoever wrote the file.

    Takes a checkpoint of `save` and any `.npz` or `.safetensors` file whose names and shapes are the module's, such as
    a PyTorch state dict. Floating-point numbers are converted to the module's dtype.

    Raises CheckpointError, with nothing changed, for a damaged file and for one that does not fit; FileNotFoundError
    where there is none.
    """
    if not isinstance(module, Module):
        raise TypeError(f"load_weights() got a {type(module).__name__}; expected a module, such as nn.MLP(...)")
    _, arrays = _read(Path(path))
    weights = {name: array for name, array in arrays.items() if not name.startswith(RESERVED)}
    try:
        _check_fit(module.state_dict(), weights, "the network", any_float=True)
    except ValueError as error:
        raise CheckpointError(f"{path} does not fit: {error}") from None
    module.load_state_dict(weights)


_PARTS = {"module": Module, "optimizer": Optimizer, "average": WeightAverage, "rng": np.random.Generator}
_SCALARS = (bool, int, float, str, type(None))


def _check_parts(parts: Mapping, caller: str) -> None:
    for name, part in parts.items():
        if part is not None and not isinstance(part, _PARTS[name]):
            raise TypeError(f"{caller}() got {name}={part!r}; expected a {_PARTS[name].__name__}")


def _check_count(value, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**63:
        raise ValueError(f"{name} is {value!r}; expected a whole number, 0 or more")
    return int(value)


def _check_extra(name, value):
    if not (isinstance(name, str) and re.fullmatch(r"[\w.-]+", name)):
        raise ValueError(f"extra has the name {name!r}; expected a text of letters, digits, '_', '-' and '.'")
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (np.ndarray, *_SCALARS)):
        raise TypeError(
            f"extra[{name!r}] is a {type(value).__name__}; expected an array, a number or a text: "
            "give a list as numpy.asarray(...), a tensor as its .data"
        )
    return value


def _is_numeric(dtype: np.dtype) -> bool:
    return dtype.kind in "fiub" and dtype.itemsize <= 8


def _check_fit(own: Mapping, given: Mapping, what: str, any_float: bool = False) -> None:
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


def _check_optimizer(optimizer: Optimizer, saved: dict) -> dict:
    """The saved state as `Optimizer.load_state_dict` takes it."""
    if saved["kind"] != type(optimizer).__name__:
        raise ValueError(f"it was saved with {saved['kind']}, not {type(optimizer).__name__}; use the same again")
    state = {name: value for name, value in saved.items() if name != "kind"}
    own = {name: value for name, value in optimizer.state_dict().items() if name != "steps"}
    _check_fit(own, {name: value for name, value in state.items() if name != "steps"}, "the optimiser")
    return state


# The largest value of each whole number in a state. NumPy does not check them: a position out of range would read past
# the end of a buffer.
_LARGEST = {"has_uint32": 1, "uinteger": 2**32 - 1, "pos": 624, "buffer_pos": 4, "state": 2**128 - 1, "inc": 2**128 - 1}
_KINDS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


def _generators(module: Module | None, rng: np.random.Generator | None) -> dict[str, np.random.Generator]:
    """Everything that draws, by name: "rng", and "module.NAME" for each generator that a layer holds."""
    found = {} if rng is None else {"rng": rng}
    for prefix, layer in module.modules() if module is not None else ():
        for name, value in vars(layer).items():
            if isinstance(value, np.random.Generator):
                found[".".join(filter(None, ["module", prefix, name]))] = value
    return found


def _generator_groups(module, rng) -> list[dict]:
    """One entry for each source of random bits: its state, and the names of those that share it."""
    groups: dict[int, dict] = {}
    for name, generator in _generators(module, rng).items():
        source = generator.bit_generator
        if type(source).__name__ not in _KINDS:
            raise TypeError(
                f"save() cannot store {name}, a generator on {type(source).__name__}; use {' or '.join(_KINDS)}"
            )
        group = groups.setdefault(id(source), {"users": [], "state": _to_json(source.state)})
        group["users"].append(name)
    return list(groups.values())


def _to_json(state):
    if isinstance(state, dict):
        return {name: _to_json(value) for name, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state if isinstance(state, str) else int(state)


def _matched_generators(groups: list[dict], module, rng) -> list[tuple[np.random.BitGenerator, dict]]:
    """Pairs of a bit generator and the state it gets. Who shared one then must share one now."""
    own = _generators(module, rng)
    saved = [user for group in groups for user in group["users"]]
    theirs = {name for name in saved if name in own or (module is not None and name.startswith("module."))}
    if theirs != own.keys():
        raise ValueError(
            f"what was saved drew from {_named(sorted(theirs))}, this draws from {_named(sorted(own))}; build the "
            "network as it was, or take only the weights with load_weights()"
        )
    pairs: dict[int, tuple] = {}
    for group in groups:
        users = [user for user in group["users"] if user in own]
        targets = {id(own[user].bit_generator): own[user].bit_generator for user in users}
        if len(targets) > 1 or targets.keys() & pairs.keys():
            raise ValueError(
                f"{_named(users)} had one generator and shared it with nobody else when the file was saved; hand out "
                "the generators as they were then, or take only the weights with load_weights()"
            )
        for key, source in targets.items():
            template = source.state
            kind, saved_kind = template["bit_generator"], group["state"].get("bit_generator")
            if kind != saved_kind:
                raise ValueError(
                    f"{users[0]} is a generator on {kind}, in the file on {saved_kind!r}; make it with the bit "
                    "generator of the saved run, as in numpy.random.Generator(numpy.random.PCG64(0))"
                )
            pairs[key] = source, _from_json(group["state"], template, "state")
    return list(pairs.values())


def _from_json(given, template, name: str):
    """A state in the form of `template`, with every value in its range; ValueError where one is not."""
    if isinstance(template, dict) and isinstance(given, dict) and given.keys() == template.keys():
        return {key: _from_json(given[key], value, key) for key, value in template.items()}
    if isinstance(template, np.ndarray) and isinstance(given, list) and len(given) == template.size:
        largest = np.iinfo(template.dtype).max
        if all(type(value) is int and 0 <= value <= largest for value in given):
            return np.array(given, template.dtype)
    if isinstance(template, str) and given == template:
        return given
    if isinstance(template, (int, np.integer)) and type(given) is int and 0 <= given <= _LARGEST[name]:
        return given
    raise ValueError(f"the saved generator state has no valid {name}; the file was not written by save()")


def _checksum(record: Mapping, arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of the record without its checksum and of all arrays with their names."""
    crc = zlib.crc32(json.dumps({key: value for key, value in record.items() if key != "checksum"}).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), crc)
        crc = zlib.crc32(_little_endian(array).tobytes(), crc)
    return crc


def _little_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _checked_record(text: str, arrays: Mapping[str, np.ndarray]) -> dict:
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError("its record is not that of a minigen checkpoint")
    if record.get("version") != VERSION:
        raise ValueError(f"it has version {record.get('version')!r}, this minigen reads {VERSION}; update minigen")
    if record.get("checksum") != _checksum(record, arrays):
        raise ValueError("its checksum is wrong")
    if record["step"] is not None:
        _check_count(record["step"], "step")
    holds, extra, optimizer = record["holds"], record["extra"], record.get("optimizer")
    valid = isinstance(holds, list) and all(name in _PARTS for name in holds)
    valid = valid and isinstance(extra, dict) and all(isinstance(value, _SCALARS) for value in extra.values())
    valid = valid and all(
        isinstance(group["state"], dict) and all(isinstance(user, str) for user in group["users"])
        for group in record["generators"]
    )
    if "optimizer" in holds:
        _check_count(optimizer["steps"], "the optimiser's step count")
        valid = valid and isinstance(optimizer["kind"], str)
    if not valid:
        raise ValueError("its record has entries that save() does not write")
    return record


def _as_checkpoint(record: Mapping, arrays: Mapping[str, np.ndarray]) -> Checkpoint:
    def under(prefix):
        return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}

    optimizer = None
    if "optimizer" in record["holds"]:
        kind, steps = record["optimizer"]["kind"], record["optimizer"]["steps"]
        optimizer = {**under(f"{RESERVED}optimizer/"), "kind": kind, "steps": steps}
    return Checkpoint(
        step=record["step"],
        extra={**record["extra"], **under(f"{RESERVED}extra/")},
        weights={name: array for name, array in arrays.items() if not name.startswith(RESERVED)},
        optimizer=optimizer,
        average=arrays.get(f"{RESERVED}average"),
        generators={user: group["state"] for group in record["generators"] for user in group["users"]},
    )


def _format_of(path: Path) -> tuple[Callable, Callable]:
    """How to make the bytes of a file from a record and arrays, and how to read them back."""
    if path.suffix == ".npz":
        return _pack_npz, _unpack_npz
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} ends in {path.suffix!r}; a checkpoint's name ends in .npz or .safetensors")
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{path} needs the safetensors package: pip install safetensors, or choose a name that ends in .npz"
        ) from None
    return _pack_safetensors, _unpack_safetensors


def _read(path: Path) -> tuple[dict | None, dict[str, np.ndarray]]:
    """The checked record, None for a file with plain weights, and the arrays."""
    _, unpack = _format_of(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path} to load; check the path, or save() there first")
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file but a folder or a device; give the path of the checkpoint itself")
    content = path.read_bytes()
    # Whatever a parser makes of bytes that may come from anywhere is one and the same thing to the caller.
    try:
        text, arrays = unpack(content)
        arrays = {name: _own_copy(array) for name, array in arrays.items()}
        if text is None and any(name.startswith(RESERVED) for name in arrays):
            raise ValueError("its record is missing")
        return (None if text is None else _checked_record(text, arrays)), arrays
    except Exception as error:
        reason = error if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{path} cannot be loaded: {reason}. If it is damaged or cut short, use another copy or save it again"
        ) from error


def _own_copy(array: np.ndarray) -> np.ndarray:
    """A writable array in the machine's byte order, with booleans that are 0 or 1."""
    if array.dtype.kind == "b":
        return np.array(array.view(np.uint8) != 0)
    return array.astype(array.dtype.newbyteorder("="), order="C")


def _pack_npz(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    # Stored, not compressed: weights do not shrink, and a reader can tell every size from the file's.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {RECORD: np.frombuffer(text.encode(), np.uint8), **arrays}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)
    return content.getvalue()


def _unpack_npz(content: bytes) -> tuple[str | None, dict[str, np.ndarray]]:
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, which save() never does; write plain weights with numpy.savez")
        # So nothing that is read can be larger than the file is.
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("its entries claim to be larger than the file")
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or name in arrays:
                raise ValueError(f"it has the entry {entry.filename!r} twice or not as a .npy array")
            arrays[name] = _unpack_npy(archive.read(entry), name)
    record = arrays.pop(RECORD, None)
    return (None if record is None else record.tobytes().decode()), arrays


def _unpack_npy(content: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} has an array header of another version than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    if not _is_numeric(dtype):
        raise ValueError(f"{name} holds {dtype}, not plain numbers, and is not read")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{name} claims shape {shape} of {dtype} but has {len(content) - start} bytes")
    array = np.frombuffer(content, dtype, offset=start) if start < len(content) else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


_SAFETENSORS_DTYPES = ("F16", "F32", "F64", "BOOL", *(f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64)))


def _pack_safetensors(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save as to_bytes

    return to_bytes(dict(arrays), metadata={"minigen": text})


def _unpack_safetensors(content: bytes) -> tuple[str | None, dict[str, np.ndarray]]:
    from safetensors.numpy import load as from_bytes

    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = header.pop("__metadata__", {}).get("minigen")
    for name, entry in header.items():
        if entry["dtype"] not in _SAFETENSORS_DTYPES:
            raise ValueError(f"{name} is stored as {entry['dtype']}, which NumPy does not have; convert it to float32")
    return text, from_bytes(content)
