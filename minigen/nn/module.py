"""What a layer is: named parameters, and the one flat buffer in which all parameters of a network live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from operator import is_

import numpy as np

from ..tape import Tensor, leaf, mark_changed
from ..watching import act, clear, refuse, shown, watcher

_structures = count(1)
_structure = 0  # changes whenever a module is given a parameter or a layer


def note_new_part() -> None:
    """Say that a module has been given another part, so that it and those above it look for their parameters anew."""
    global _structure
    _structure = next(_structures)  # each number is given once, also when threads build modules at the same time


def is_parameter(value) -> bool:
    """Whether a value is a leaf tensor that requires a gradient."""
    return type(value) is Tensor and value.node is not None and value.node.op is None


def _is_part(value) -> bool:
    """Whether a module that gets this value as an attribute may have other parameters than before."""
    if isinstance(value, (tuple, list)):
        return any(isinstance(item, Module) for item in value)
    return isinstance(value, Module) or is_parameter(value)


class Flat:
    """All parameters of a module as one vector: `data` and `grad`, contiguous arrays of shape (n,).

    The parameters' own arrays are reshaped views of them, so a change of either is a change of both.
    """

    def __init__(self, parameters: list[Tensor]):
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

    @property
    def data(self) -> np.ndarray:
        return shown(self.arrays[0])

    @data.setter
    def data(self, values) -> None:
        self.arrays[0][...] = values

    @property
    def grad(self) -> np.ndarray:
        return shown(self.arrays[1])

    @grad.setter
    def grad(self, values) -> None:
        self.arrays[1][...] = values

    def is_current(self) -> bool:
        """Whether every parameter still lives here."""
        for p, data, gradient in self._views:  # noqa: SIM110 - a generator would be resumed for each, in every step
            if p.data is not data or p.node.gradient is not gradient:
                return False
        return True

    def has(self, parameters: list[Tensor]) -> bool:
        """Whether these are its parameters, in this order."""
        return len(parameters) == len(self.parameters) and all(map(is_, self.parameters, parameters))

    def holds(self, leaf: Tensor, data: np.ndarray, node, gradient: np.ndarray | None) -> bool:
        """Whether a leaf with these arrays is one of its parameters, where it is now."""
        mine = [(p, at, slope) for p, at, slope in self._views if p is leaf]
        return bool(mine) and mine[0][1] is data and mine[0][2] is gradient and leaf.node is node

    def changed(self) -> None:
        """Say that the weights were changed in place (see `tape.mark_changed`)."""
        mark_changed(self.parameters)


def _offset(view: np.ndarray, owner: np.ndarray) -> int:
    return (view.__array_interface__["data"][0] - owner.__array_interface__["data"][0]) // owner.itemsize


def _shared_owner(parameters, size):
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

    Attributes that are leaf tensors are its parameters, attributes that are modules its children. Assigning to a
    parameter copies the values into it. `training` says whether layers such as dropout are active.
    """

    training = True
    buffer_names: tuple[str, ...] = ()  # arrays that belong to the state but are not learned

    def forward(self, x):
        raise NotImplementedError(f"{type(self).__name__} needs a forward(self, x) that computes its result")

    def __call__(self, *args, **settings):
        return self.forward(*args, **settings)

    def __setattr__(self, name, value):
        current = self.__dict__.get(name)
        if not is_parameter(current) or value is current:
            if value is not current and _is_part(value):
                note_new_part()
            object.__setattr__(self, name, value)
            return
        try:
            given = np.asarray(value.data if type(value) is Tensor else value)
        except ValueError:
            raise TypeError(f"{type(self).__name__}.{name} got rows of unequal length; expected an array") from None
        if given.shape != current.data.shape:
            raise ValueError(
                f"{type(self).__name__}.{name} has shape {current.data.shape}, got {given.shape}; a parameter keeps "
                "its shape"
            )
        if given.dtype.kind not in "fiub":
            raise TypeError(f"{type(self).__name__}.{name} got {given.dtype}; expected real numbers")
        refuse(f"{type(self).__name__}.{name} was assigned; do that outside the step")
        current.data[...] = given
        mark_changed([current])

    def __getstate__(self):
        # A copy's arrays are no views of its copy of the buffer: it makes a buffer of its own when it needs one.
        return {name: value for name, value in vars(self).items() if name != "_flat"}

    def children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules one level down; those in a list or tuple are named `attribute.position`."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value) if isinstance(part, Module))

    def modules(self) -> Iterator[tuple[str, Module]]:
        """Dotted names and modules on every level, this one first under the empty name."""
        yield "", self
        for name, child in self.children():
            for below, module in child.modules():
                yield f"{name}.{below}" if below else name, module

    def named_parameters(self) -> dict[str, Tensor]:
        """Dotted names and leaf tensors, each tensor once."""
        found, seen = {}, set()
        for prefix, module in self.modules():
            for name, value in vars(module).items():
                if type(value) is Tensor and is_parameter(value) and id(value) not in seen:
                    seen.add(id(value))
                    found[f"{prefix}.{name}" if prefix else name] = value
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
            if flat.structure == made:
                return flat
            if flat.has(self.parameters()):  # some other module was given a part
                flat.structure = made
                return flat
        flat = Flat(self.parameters())
        flat.structure = made
        object.__setattr__(self, "_flat", flat)
        return flat

    def zero_grad(self) -> None:
        """Set every parameter's gradient to zero."""
        grad = self.flat().grad
        act(clear, grad, changes=(grad,))

    def train(self, mode: bool = True) -> Module:
        """Switch dropout and batch statistics on; returns the module."""
        for _, module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Switch dropout and batch statistics off; returns the module."""
        return self.train(False)

    def astype(self, dtype) -> Module:
        """Convert parameters and buffers to float32 or float64; returns the module."""
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"astype() got {dtype}; a network computes in float32 or float64")
        for _, module in self.modules():
            for name, value in list(vars(module).items()):
                if is_parameter(value):
                    converted = leaf(value.data.astype(dtype))
                    value.data, value.node = converted.data, converted.node
                elif name in module.buffer_names and value.dtype.kind == "f":
                    setattr(module, name, value.astype(dtype))
        return self

    def _state(self) -> dict[str, np.ndarray]:
        """The live arrays of parameters and buffers by dotted name, module by module."""
        found = {}
        for prefix, module in self.modules():
            for name, value in vars(module).items():
                array = value.data if is_parameter(value) else value if name in module.buffer_names else None
                if array is not None:
                    found[f"{prefix}.{name}" if prefix else name] = array
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
