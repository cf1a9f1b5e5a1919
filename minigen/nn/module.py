"""What a layer is: named parameters, and the one flat buffer in which all parameters of a network live."""

from __future__ import annotations

from collections import deque
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import chain, count
from operator import is_
from types import GeneratorType, MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from ..tape import Tensor, leaf, mark_changed
from ..watching import act, clear, refuse, shown, watcher

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from typing_extensions import Self

_structures = count(1)
_structure = 0  # changes whenever a module is given a parameter or a layer


def note_new_part() -> None:
    """Say that a module has been given another part, so that it and those above it look for their parameters anew."""
    global _structure
    _structure = next(_structures)  # each number is given once, also when threads build modules at the same time


def is_parameter(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a leaf tensor that requires a gradient."""
    return type(value) is Tensor and value.node is not None and value.node.op is None


# What is no module, and holds none. Whatever else a layer is given is looked into.
_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None), np.float32, np.float64, np.int64, np.bool_})
_ONCE: tuple[type, ...] = (GeneratorType, map, filter, zip, enumerate, reversed, chain, type(iter([])), type(iter(())))
_BAGS = (set, frozenset, deque, KeysView, ValuesView, ItemsView)


class Held:
    """The modules and parameters that a value is or holds: `parts`, with their dotted names.

    Lists, tuples and dicts are looked into on every level; `changeable` are those of them that can grow. TypeError for
    what holds modules or parameters where they would not be found again; ValueError for a list that holds itself.
    """

    def __init__(self, value: Any = None, name: str = ""):
        self.parts: list[tuple[str, Module | Tensor]] = []
        self.changeable: list[list | dict] = []
        self.search(value, name)

    def search(self, value: Any, name: str, above: tuple[int, ...] = ()) -> None:
        if type(value) in _PLAIN:
            return
        if isinstance(value, Module) or is_parameter(value):
            self.parts.append((name, value))
        elif isinstance(value, (list, tuple, dict)):
            if id(value) in above:
                raise ValueError(f"{name} is a {type(value).__name__} that holds itself; take it out of there")
            self._search_entries(value, name, (*above, id(value)))
        else:
            _refuse_hidden(value, name)

    def _search_entries(self, value: list | tuple | dict, name: str, above: tuple[int, ...]) -> None:
        if not isinstance(value, tuple):
            self.changeable.append(value)
        entries: dict = value if isinstance(value, dict) else dict(enumerate(value))
        if _PLAIN.issuperset(map(type, entries.values())):
            return
        for key, entry in entries.items():
            known = len(self.parts)
            self.search(entry, f"{name}.{key}", above)
            if isinstance(value, dict) and len(self.parts) > known and not is_name(key):
                raise TypeError(
                    f"{name} is a dict that holds modules or parameters under the key {key!r}; a key becomes part of "
                    "their names: expected a string, not empty and without dots"
                )


def is_name(key: Any) -> bool:
    """Whether a key of a dict, or the name of an attribute, can be part of a dotted name."""
    return isinstance(key, str) and key != "" and "." not in key


def _refuse_hidden(value: Any, name: str) -> None:
    """Raise if a value that is neither list, tuple nor dict holds modules or parameters, or may do so."""
    if isinstance(value, _ONCE):
        raise TypeError(
            f"{name} got a {type(value).__name__}, which can be gone through only once: modules that it makes would "
            "not be found again; write list(...) around it"
        )
    if isinstance(value, np.ndarray):
        entries = value.ravel().tolist() if value.dtype.kind == "O" else []
    elif isinstance(value, _BAGS):
        entries = list(value)
    elif isinstance(value, MappingProxyType):
        entries = list(value.values())
    elif type(value) is not Tensor and (hasattr(value, "__iter__") or hasattr(value, "__getitem__")):
        entries = list(getattr(value, "__dict__", {}).values())  # a container of one's own
    else:
        return
    if any(Held(entry, name).parts for entry in entries):
        raise TypeError(
            f"{name} got a {type(value).__name__} that holds modules or parameters, which would be neither trained nor "
            "saved; use a list, a tuple, or a dict with names as keys"
        )


class Flat:
    """All parameters of a module as one vector: `data` and `grad`, contiguous arrays of shape (n,).

    The parameters' own arrays are reshaped views of them, so a change of either is a change of both.
    """

    def __init__(self, parameters: list[Tensor], changeable: Iterable[list | dict] = ()):
        dtypes = {p.data.dtype for p in parameters}
        if len(dtypes) != 1:
            found = " and ".join(sorted(map(str, dtypes))) or "none"
            raise TypeError(f"a network needs parameters, all of one dtype; found {found}; convert with .astype()")
        for p in parameters:
            if p.node.gradient is not None and p.node.gradient.shape != p.data.shape:
                raise ValueError(
                    f"a parameter of shape {p.data.shape} has a gradient of shape {p.node.gradient.shape}; a parameter "
                    "keeps its shape, and its gradient has the same: set p.grad = None to start afresh"
                )
        size = sum(p.data.size for p in parameters)
        owner = _shared_owner(parameters, size)
        if owner is None:
            owner = np.empty((2, size), dtypes.pop())
            start = 0
            for p in parameters:
                _move(p, owner, start)
                start += p.data.size
        offset = _offset(parameters[0].data, owner)
        self.owner = owner
        self.arrays = owner[0, offset : offset + size], owner[1, offset : offset + size]  # for who changes them
        self.parameters = parameters
        self._views = [(p, p.data, p.node.gradient) for p in parameters]
        self.structure = _structure
        self.watch(changeable)

    @property
    def data(self) -> np.ndarray:
        return cast(np.ndarray, shown(self.arrays[0]))

    @data.setter
    def data(self, values: Any) -> None:
        self.arrays[0][...] = values

    @property
    def grad(self) -> np.ndarray:
        return cast(np.ndarray, shown(self.arrays[1]))

    @grad.setter
    def grad(self, values: Any) -> None:
        self.arrays[1][...] = values

    def is_current(self) -> bool:
        """Whether every parameter still lives here."""
        for p, data, gradient in self._views:  # noqa: SIM110 - a generator would be resumed for each, in every step
            if p.data is not data or p.node.gradient is not gradient:
                return False
        return True

    def has_the_lists(self) -> bool:
        """Whether the lists and dicts of the module hold what they held."""
        return not any(_has_changed(each, entries) for each, entries in self._lists)

    def watch(self, changeable: Iterable[list | dict]) -> None:
        """Remember what the lists and dicts of the module hold."""
        self._lists = [(each, _entries(each)) for each in changeable]

    def has(self, parameters: list[Tensor]) -> bool:
        """Whether these are its parameters, in this order."""
        return len(parameters) == len(self.parameters) and all(map(is_, self.parameters, parameters))

    def holds(self, leaf: Tensor, data: np.ndarray, node: Any, gradient: np.ndarray | None) -> bool:
        """Whether a leaf with these arrays is one of its parameters, where it is now."""
        mine = [(p, at, slope) for p, at, slope in self._views if p is leaf]
        return bool(mine) and mine[0][1] is data and mine[0][2] is gradient and leaf.node is node

    def changed(self) -> None:
        """Say that the weights were changed in place (see `tape.mark_changed`)."""
        mark_changed(self.parameters)


def _entries(changeable: list | dict) -> list:
    return [*changeable.keys(), *changeable.values()] if isinstance(changeable, dict) else list(changeable)


def _has_changed(changeable: list | dict, entries: list) -> bool:
    now = _entries(changeable)
    return len(now) != len(entries) or not all(map(is_, now, entries))


def _offset(view: np.ndarray, owner: np.ndarray) -> int:
    return (view.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // owner.itemsize


def _shared_owner(parameters: list[Tensor], size: int) -> np.ndarray | None:
    """The buffer in which these parameters lie one after the other already, or None."""
    owner = parameters[0].data.base
    if type(owner) is not np.ndarray or owner.ndim != 2 or owner.shape[0] != 2:
        return None
    expected = _offset(parameters[0].data, owner)
    for p in parameters:
        gradient = p.node.gradient
        if p.data.base is not owner or type(gradient) is not np.ndarray or gradient.base is not owner:
            return None
        if not (p.data.flags.c_contiguous and gradient.flags.c_contiguous):
            return None
        if _offset(p.data, owner) != expected or _offset(gradient, owner) != expected + owner.shape[1]:
            return None
        expected += p.data.size
    return owner


def _move(p: Tensor, owner: np.ndarray, start: int) -> None:
    stop, shape = start + p.data.size, p.data.shape
    data, gradient = owner[0, start:stop].reshape(shape), owner[1, start:stop].reshape(shape)
    data[...] = p.data
    gradient[...] = 0 if p.node.gradient is None else np.asarray(p.node.gradient)
    p.data = p.node.value = data
    p.node.gradient = gradient


class Module:
    """A piece of a network. A subclass makes its parameters and sub-modules in `__init__` and computes in `forward`.

    Attributes that are leaf tensors are its parameters, attributes that are modules its children; so are those in
    lists, tuples and dicts on any level, named by position or key: `blocks.0.1.weight`. Assigning to a parameter copies
    the values into it. `training` says whether layers such as dropout are active.

    Raises TypeError where modules or parameters are assigned in a set or another container in which they would not be
    found, ValueError where a module would come to hold itself.
    """

    training = True
    buffer_names: tuple[str, ...] = ()  # arrays that belong to the state but are not learned

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if cls.__dict__.get("__slots__"):
            raise TypeError(f"{cls.__name__} has __slots__, in which its parameters would not be found; leave them out")
        for name, value in list(vars(cls).items()):
            if not name.startswith("__") and Held(value, f"{cls.__name__}.{name}").parts:
                raise TypeError(
                    f"{cls.__name__}.{name} belongs to the class, and would be one for all its instances and not be "
                    f"trained; make it in __init__, as self.{name} = ..."
                )

    def forward(self, *args: Any, **settings: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a forward(self, x) that computes its result")

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self.forward(*args, **settings)

    def __setattr__(self, name: str, value: Any) -> None:
        current = self.__dict__.get(name)
        if is_parameter(current) and value is not current:
            self._copy_into(current, name, value)
            return
        if name in self.buffer_names and value is not None:
            value = np.asarray(value)  # a number of NumPy, as arithmetic on 0-d arrays gives, could not be loaded into
        elif value is not current and not (type(value) in _PLAIN and type(current) in _PLAIN):
            self._note(current, name, value)
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        note_new_part()

    def _note(self, current: Any, name: str, value: Any) -> None:
        """Note that the module may have other parameters than before; raises if it cannot hold this value."""
        whole = f"{type(self).__name__}.{name}"
        held = Held(value, whole)
        if held.parts and not is_name(name):
            raise TypeError(f"{whole} becomes part of the names of parameters; choose a name without dots")
        for _, part in held.parts:
            if isinstance(part, Module) and any(below is self for _, below in part.modules()):
                raise _cycle(whole)
        if held.parts or held.changeable or Held(current).parts:
            note_new_part()

    def _copy_into(self, parameter: Tensor, name: str, value: Any) -> None:
        whole = f"{type(self).__name__}.{name}"
        try:
            given = np.asarray(value.data if type(value) is Tensor else value)
        except ValueError:
            raise TypeError(f"{whole} got rows of unequal length; expected an array") from None
        if given.shape != parameter.data.shape:
            raise ValueError(
                f"{whole} has shape {parameter.data.shape}, got {given.shape}; a parameter keeps its shape"
            )
        if given.dtype.kind not in "fiub":
            raise TypeError(f"{whole} got {given.dtype}; expected real numbers")
        refuse(f"{whole} was assigned; do that outside the step")
        parameter.data[...] = given
        mark_changed([parameter])

    def __getstate__(self) -> dict[str, Any]:
        # A copy's arrays are no views of its copy of the buffer: it makes a buffer of its own when it needs one.
        return {name: value for name, value in vars(self).items() if name != "_flat"}

    def attributes(self) -> Iterator[tuple[str, Any]]:
        """Names and values of the attributes; those of lists, tuples and dicts one by one, on every level."""
        for name, value in vars(self).items():
            yield from _flattened(name, value)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules one level down; those in a list, tuple or dict are named `attribute.position`."""
        return children_among(vars(self))

    def modules(self) -> Iterator[tuple[str, Module]]:
        """Dotted names and modules on every level, this one first under the empty name.

        Raises ValueError if a module holds itself.
        """
        return self._modules("", ())

    def _modules(self, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, Module]]:
        if id(self) in above:
            raise _cycle(prefix)
        yield prefix, self
        above = (*above, id(self))
        for name, child in self.children():
            yield from child._modules(f"{prefix}.{name}" if prefix else name, above)

    def named_parameters(self) -> dict[str, Tensor]:
        """Dotted names and leaf tensors, each tensor once."""
        found: dict[str, Tensor] = {}
        seen: set[int] = set()
        for prefix, module in self.modules():
            for name, value in module._own_parameters():
                if id(value) not in seen:
                    seen.add(id(value))
                    found[f"{prefix}.{name}" if prefix else name] = value
        return found

    def _own_parameters(self) -> list[tuple[str, Tensor]]:
        found: list[tuple[str, Tensor]] = []
        for name, value in vars(self).items():
            if type(value) is Tensor:
                if is_parameter(value):
                    found.append((name, value))
            elif isinstance(value, (list, tuple, dict)) and value:
                found += [(inner, part) for inner, part in Held(value, name).parts if isinstance(part, Tensor)]
        return found

    def parameters(self) -> list[Tensor]:
        """The leaf tensors, in the order of `named_parameters`."""
        return list(self.named_parameters().values())

    def flat(self) -> Flat:
        """The parameters as one vector; they move into it when they do not live in one yet."""
        flat = self.flat_buffer
        by = watcher.get()
        if by is not None:
            by.relies(self, "flat_buffer")
        return flat

    @property
    def flat_buffer(self) -> Flat:
        """What `flat` gives; a recording of a compiled step holds as long as this is the same."""
        flat, made = self.__dict__.get("_flat"), _structure
        if flat is not None and flat.is_current():
            if flat.structure == made and flat.has_the_lists():
                return flat
            if flat.has(self.parameters()):  # some other module was given a part, or a list something else
                flat.structure = made
                flat.watch(self._changeable())
                return flat
        flat = Flat(self.parameters(), self._changeable())
        flat.structure = made
        object.__setattr__(self, "_flat", flat)
        return flat

    def _changeable(self) -> list[list | dict]:
        """The lists and dicts to which modules or parameters may be added."""
        values = (value for _, module in self.modules() for value in vars(module).values())
        held = (Held(value) for value in values if isinstance(value, (list, tuple, dict)))
        return [each for one in held for each in one.changeable]

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero."""
        grad = self.flat().grad
        act(clear, grad, changes=(grad,))

    def train(self, mode: bool = True) -> Self:
        """Switch dropout and batch statistics on; returns the module."""
        for _, module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch dropout and batch statistics off; returns the module."""
        return self.train(False)

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert parameters and buffers to float32 or float64; returns the module."""
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"astype() got {dtype}; a network computes in float32 or float64")
        for p in self.parameters():
            converted = leaf(p.data.astype(dtype))
            p.data, p.node = converted.data, converted.node
        for _, module in self.modules():
            for name, value in module._buffers():
                if value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        return self

    def _buffers(self) -> list[tuple[str, np.ndarray]]:
        return [(name, value) for name, value in vars(self).items() if name in self.buffer_names and value is not None]

    def _state(self) -> dict[str, np.ndarray]:
        """The live arrays of parameters and buffers by dotted name, module by module."""
        found: dict[str, np.ndarray] = {}
        for prefix, module in self.modules():
            own = [(name, parameter.data) for name, parameter in module._own_parameters()]
            found.update((_joined(prefix, name), array) for name, array in [*own, *module._buffers()])
        return found

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by dotted name, as PyTorch names and shapes them."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Copy values in by name. Nothing is changed unless every name and shape fits.

        Raises ValueError naming what is missing, unknown or of the wrong shape.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict() got a {type(state).__name__}; expected a dict from names to arrays")
        own = self._state()
        given = {name: np.asarray(value) for name, value in state.items()}
        missing, unknown = own.keys() - given.keys(), given.keys() - own.keys()
        if missing or unknown:
            raise ValueError(
                f"load_state_dict() of a {type(self).__name__}: missing {sorted(missing) or 'nothing'}, unknown "
                f"{sorted(unknown) or 'nothing'}; build the network as it was when the state was saved"
            )
        for name, array in own.items():
            if given[name].shape != array.shape:
                raise ValueError(
                    f"load_state_dict(): {name} has shape {array.shape}, the state has {given[name].shape}; build the "
                    "network with the sizes it was saved with"
                )
            if given[name].dtype.kind not in "fiub":
                raise TypeError(f"load_state_dict(): {name} holds {given[name].dtype}, expected numbers")
        for name, array in own.items():
            array[...] = given[name]
        mark_changed(self.parameters())


def children_among(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Module]]:
    """The modules among the attributes of a module, and those in lists, tuples and dicts there, with their names."""
    for name, value in attributes.items():
        if isinstance(value, Module):
            yield name, value
        elif isinstance(value, (list, tuple, dict)) and value:
            for inner, part in Held(value, name).parts:
                if isinstance(part, Module):
                    yield inner, part


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _flattened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple, dict)):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flattened(f"{name}.{key}", entry)
    else:
        yield name, value


def _cycle(name: str) -> ValueError:
    return ValueError(
        f"{name} is a module that holds itself, so that its parameters would have no end of names; hold modules from "
        "above only, or keep a weakref.ref(...) of the one above"
    )
