"""How do bytes become a record and arrays that can be trusted, whoever wrote them?

Loading only ever parses numbers and text: no pickle, nothing that could be executed. Sizes are checked before anything
is unpacked, so that a small file cannot become large in memory; checksum and record before anything is used.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from .._support.atomic import write_whole

FORMAT, VERSION = "minigen checkpoint", 1
RESERVED = "minigen/"
RECORD = "minigen/record"
PARTS = ("module", "optimizer", "average", "rng")
SCALARS = (bool, int, float, str, type(None))


class CheckpointError(ValueError):
    """A file that is not a checkpoint, is damaged, or does not fit what it is loaded into. Nothing has been changed."""


def write(path: Path, record: dict, arrays: Mapping[str, np.ndarray], dry_run: bool = False) -> None:
    """Put a record and arrays into a file, whole or not at all; the path's ending says the format.

    A dry run only raises what would be raised.
    """
    pack = format_of(path).pack
    for name, array in arrays.items():
        if not is_numeric(array.dtype):
            raise TypeError(f"save() cannot store {name}, an array of {array.dtype}; convert it to float32 or int64")
    arrays = {name: little_endian(array) for name, array in arrays.items()}
    write_whole(path, pack(json.dumps(record | {"checksum": checksum(record, arrays)}), arrays), dry_run)


def read(path: Path, room: int = 0) -> tuple[dict | None, dict[str, np.ndarray]]:
    """The checked record, None for a file with plain weights, and the arrays.

    A compressed file is read if it unpacks to at most `room` bytes. Raises CheckpointError for all that is not as it
    should be, FileNotFoundError where there is no file.
    """
    unpack = format_of(path).unpack
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path} to load; check the path, or save() there first")
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file but a folder or a device; give the path of the checkpoint itself")
    content = path.read_bytes()
    # Whatever a parser makes of bytes that may come from anywhere is one and the same thing to the caller.
    try:
        text, arrays = unpack(content, room)
        arrays = {name: own_copy(array) for name, array in arrays.items()}
        if text is None and any(name.startswith(RESERVED) for name in arrays):
            raise ValueError("its record is missing")
        return (None if text is None else checked_record(text, arrays)), arrays
    except Exception as error:
        reason = error if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"{path} cannot be loaded: {reason}. If it is damaged or cut short, use another copy or save it again"
        ) from error


def format_of(path: Path) -> SimpleNamespace:
    """`pack(text, arrays)` to the bytes of a file, and `unpack(content, room)` back to a text, or None, and arrays."""
    if path.suffix == ".npz":
        return SimpleNamespace(pack=pack_npz, unpack=unpack_npz)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} ends in {path.suffix!r}; a checkpoint's name ends in .npz or .safetensors")
    try:
        import safetensors.numpy  # noqa: F401
    except ImportError:
        raise ImportError(
            f"{path} needs the safetensors package: pip install safetensors, or choose a name that ends in .npz"
        ) from None
    return SimpleNamespace(pack=pack_safetensors, unpack=unpack_safetensors)


def is_numeric(dtype: np.dtype) -> bool:
    """Whether numbers of this type can be stored."""
    return dtype.kind in "fiub" and dtype.itemsize <= 8


def own_copy(array: np.ndarray) -> np.ndarray:
    """A writable array in the machine's byte order, with booleans that are 0 or 1."""
    if array.dtype.kind == "b":
        return np.array(array.view(np.uint8) != 0)
    return array.astype(array.dtype.newbyteorder("="), order="C")


def little_endian(array: np.ndarray) -> np.ndarray:
    """The array with its bytes in the order in which they are stored."""
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


# The record --------------------------------------------------------------------------------------------------------


def checksum(record: Mapping, arrays: Mapping[str, np.ndarray]) -> int:
    """CRC-32 of the record without its checksum and of all arrays with their names."""
    crc = zlib.crc32(json.dumps({key: value for key, value in record.items() if key != "checksum"}).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), crc)
        crc = zlib.crc32(little_endian(array).tobytes(), crc)
    return crc


def checked_record(text: str, arrays: Mapping[str, np.ndarray]) -> dict:
    """The record that `save` wrote as this text; ValueError for any other."""
    record = json.loads(text)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError("its record is not that of a minigen checkpoint")
    if record.get("version") != VERSION:
        raise ValueError(f"it has version {record.get('version')!r}, this minigen reads {VERSION}; update minigen")
    if record.get("checksum") != checksum(record, arrays):
        raise ValueError("its checksum is wrong")
    if not (_has_good_parts(record) and _has_good_generators(record["generators"])):
        raise ValueError("its record has entries that save() does not write")
    return record


def _has_good_parts(record: dict) -> bool:
    holds, extra, optimizer = record["holds"], record["extra"], record.get("optimizer")
    return (
        (record["step"] is None or is_step(record["step"]))
        and isinstance(holds, list)
        and all(name in PARTS for name in holds)
        and isinstance(extra, dict)
        and all(isinstance(value, SCALARS) for value in extra.values())
        and ("optimizer" not in holds or (is_step(optimizer["steps"]) and isinstance(optimizer["kind"], str)))
    )


def _has_good_generators(groups: list) -> bool:
    return all(
        isinstance(group["state"], dict) and all(isinstance(user, str) for user in group["users"]) for group in groups
    )


def is_step(value: object) -> bool:
    """Whether a value can be a number of steps."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(0 <= value < 2**63)


# NumPy's .npz --------------------------------------------------------------------------------------------------------


def pack_npz(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    content = io.BytesIO()
    # Stored, not compressed: weights do not shrink, and a reader can tell every size from the file's.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, array in {RECORD: np.frombuffer(text.encode(), np.uint8), **arrays}.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)
    return content.getvalue()


def unpack_npz(content: bytes, room: int = 0) -> tuple[str | None, dict[str, np.ndarray]]:
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        _check_sizes(entries, len(content), room)
        for entry in entries:
            name = entry.filename.removesuffix(".npy")
            if name == entry.filename or name in arrays:
                raise ValueError(f"it has the entry {entry.filename!r} twice or not as a .npy array")
            with archive.open(entry) as file:  # archive.read(entry) would unpack all, whatever the entry claims
                arrays[name] = unpack_npy(file.read(entry.file_size), name)
    record = arrays.pop(RECORD, None)
    return (None if record is None else record.tobytes().decode()), arrays


def _check_sizes(entries: list[zipfile.ZipInfo], size: int, room: int) -> None:
    """ValueError if unpacking could take more memory than the file or, for a compressed one, than `room`."""
    claimed = sum(entry.file_size for entry in entries)
    methods = {entry.compress_type for entry in entries}
    if methods <= {zipfile.ZIP_STORED}:
        if claimed > size:
            raise ValueError("its entries claim to be larger than the file")
    elif not methods <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("it is compressed in a way that numpy.savez_compressed does not know")
    elif not room:
        raise ValueError("it is compressed, which save() never does; take plain weights with load_weights()")
    elif claimed > room:
        raise ValueError(
            f"it is compressed and unpacks to {claimed} bytes, more than the {room} that weights of this network take"
        )


def unpack_npy(content: bytes, name: str) -> np.ndarray:
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"{name} has an array header of another version than 1.0")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    start = stream.tell()
    if not is_numeric(dtype):
        raise ValueError(f"{name} holds {dtype}, not plain numbers, and is not read")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - start:
        raise ValueError(f"{name} claims shape {shape} of {dtype} but has {len(content) - start} bytes")
    array = np.frombuffer(content, dtype, offset=start) if start < len(content) else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


# Safetensors -------------------------------------------------------------------------------------------------------

SAFETENSORS_DTYPES = ("F16", "F32", "F64", "BOOL", *(f"{sign}{bits}" for sign in "IU" for bits in (8, 16, 32, 64)))


def pack_safetensors(text: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save as to_bytes

    return to_bytes(dict(arrays), metadata={"minigen": text})


def unpack_safetensors(content: bytes, room: int = 0) -> tuple[str | None, dict[str, np.ndarray]]:
    from safetensors.numpy import load as from_bytes

    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = header.pop("__metadata__", {}).get("minigen")
    for name, entry in header.items():
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise ValueError(f"{name} is stored as {entry['dtype']}, which NumPy does not have; convert it to float32")
    return text, from_bytes(content)
