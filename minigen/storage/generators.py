"""How does a stream of random numbers go on where it stopped? By the state of the bit generator behind it.

Generators are named by who draws from them: "rng", and "module.NAME" for each that a layer holds. Who shared one when
it was saved must share one when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..nn.module import Module

KINDS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
# The largest value of each whole number in a state. NumPy does not check them: a position out of range would read past
# the end of a buffer.
LARGEST = {"has_uint32": 1, "uinteger": 2**32 - 1, "pos": 624, "buffer_pos": 4, "state": 2**128 - 1, "inc": 2**128 - 1}


def named_generators(module: Module | None, rng: np.random.Generator | None) -> dict[str, np.random.Generator]:
    """Everything that draws, by name: "rng", and "module.NAME" for each generator that a layer holds."""
    found = {} if rng is None else {"rng": rng}
    for prefix, layer in module.modules() if module is not None else ():
        for name, value in layer.attributes():
            if isinstance(value, np.random.Generator):
                found[".".join(filter(None, ["module", prefix, name]))] = value
    return found


def to_record(module: Module | None, rng: np.random.Generator | None) -> list[dict]:
    """One entry for each source of random bits: its state, and the names of those that share it."""
    groups: dict[int, dict] = {}
    for name, generator in named_generators(module, rng).items():
        source = generator.bit_generator
        if type(source).__name__ not in KINDS:
            raise TypeError(
                f"save() cannot store {name}, a generator on {type(source).__name__}; use {' or '.join(KINDS)}"
            )
        group = groups.setdefault(id(source), {"users": [], "state": to_json(source.state)})
        group["users"].append(name)
    return list(groups.values())


def to_json(state: Any) -> Any:
    """A state as dictionaries, lists, whole numbers and text."""
    if isinstance(state, dict):
        return {name: to_json(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return state.tolist()
    return state if isinstance(state, str) else int(state)


def matched(
    groups: list[dict], module: Module | None, rng: np.random.Generator | None
) -> list[tuple[np.random.BitGenerator, dict]]:
    """Pairs of a bit generator and the state it gets; ValueError unless they draw and share as they did then."""
    own = named_generators(module, rng)
    saved = [user for group in groups for user in group["users"]]
    theirs = {name for name in saved if name in own or (module is not None and name.startswith("module."))}
    if theirs != own.keys():
        raise ValueError(
            f"what was saved drew from {', '.join(sorted(theirs)) or 'nothing'}, this draws from "
            f"{', '.join(sorted(own)) or 'nothing'}; build the network as it was, or take only the weights with "
            "load_weights()"
        )
    pairs = list(_pairs(groups, own))
    if len({id(source) for source, _, _ in pairs}) < len(pairs):
        raise _shared_otherwise(saved)
    return [(source, restored(state, source.state, user)) for source, state, user in pairs]


def _pairs(groups: list[dict], own: dict) -> Iterator[tuple[np.random.BitGenerator, dict, str]]:
    """The source, the state it gets and one of its users, for each group that is used here."""
    for group in groups:
        users = [user for user in group["users"] if user in own]
        sources = {id(own[user].bit_generator): own[user].bit_generator for user in users}
        if len(sources) > 1:
            raise _shared_otherwise(users)
        for source in sources.values():
            yield source, group["state"], users[0]


def _shared_otherwise(users: list[str]) -> ValueError:
    return ValueError(
        f"{', '.join(users)} had one generator and shared it with nobody else when the file was saved; hand out the "
        "generators as they were then, or take only the weights with load_weights()"
    )


def restored(given: dict, template: dict, user: str) -> dict:
    """A saved state in the form of a bit generator's own; ValueError for another kind and for values out of range."""
    kind, saved_kind = template["bit_generator"], given.get("bit_generator")
    if kind != saved_kind:
        raise ValueError(
            f"{user} is a generator on {kind}, in the file on {saved_kind!r}; make it with the bit generator of the "
            "saved run, as in numpy.random.Generator(numpy.random.PCG64(0))"
        )
    return _restored_value(given, template, "state")


def _restored_value(given, template, name: str):
    found: Any = None
    if isinstance(template, dict):
        if isinstance(given, dict) and given.keys() == template.keys():
            found = {key: _restored_value(given[key], value, key) for key, value in template.items()}
    elif isinstance(template, np.ndarray):
        if isinstance(given, list) and len(given) == template.size and _are_whole(given, np.iinfo(template.dtype).max):
            found = np.array(given, template.dtype)
    elif isinstance(template, str):
        found = given if given == template else None
    elif _are_whole([given], LARGEST[name]):
        found = given
    if found is None:
        raise ValueError(f"the saved generator state has no valid {name}; the file was not written by save()")
    return found


def _are_whole(values: list, largest: int) -> bool:
    return all(type(value) is int and 0 <= value <= largest for value in values)
