"""What may an argument be? Said once, in its type hint; a class's fields and a function's arguments are checked by it.

    @settings
    class VAE:
        latent: Count = 6
        posterior: Literal["diagonal", "full"] = "diagonal"
        capacity: NotNegative | None = None

    @checked
    def ring(n: Count, rng: Rng, radius: Positive = 1.0): ...

A wrong value raises ValueError (TypeError for what is no generator, array or function): who was called, with what, and
what was expected. `settings` makes a dataclass; its method `agree`, if it has one, says what single values cannot.
`checked` costs some microseconds a call and is not for what runs in every step.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from .arrays import as_matrix, as_vector

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        """Tells a type checker that a decorator makes dataclasses; Python 3.10 has none."""
        return lambda decorator: decorator


C = TypeVar("C")
F = TypeVar("F", bound=Callable)


@dataclass(frozen=True)
class Kind:
    """A kind of value: how an error calls it, which values are of it, and what is kept of one."""

    expected: str
    holds: Callable[[Any], bool]
    kept: Callable[[Any], Any] = lambda value: value
    error: type[Exception] = ValueError


@dataclass(frozen=True)
class ArrayKind:
    """Data: `taken(value, name, caller)` gives the array, or raises an error that says what is wrong with it.

    With `width`, a function of the model whose method is called, the model must have been fitted, and the array has as
    many columns as it says.
    """

    taken: Callable[..., np.ndarray]
    width: Callable[[Any], int] | None = None

    def of(self, value, name: str, caller: str, owner: Any) -> np.ndarray:
        """The array that a method of `owner` is given."""
        if self.width is None:
            return self.taken(value, name, caller)
        owner._check_fitted()
        return self.taken(value, name, caller, self.width(owner))


def is_number(value) -> TypeGuard[float]:
    """Whether a value is a real number, of Python or NumPy, that a float can hold; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return not isinstance(value, int) or abs(value) <= sys.float_info.max


def as_python(value):
    """The same number as Python's own: NumPy's would bring its dtype into float32 arithmetic."""
    return value.item() if isinstance(value, np.generic) else value


def is_whole(value, least: int = 0) -> bool:
    """Whether a value is a whole number from `least`; a boolean is none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda x: is_number(x) and bool(low <= x < high)


def _is_list(value, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) and all(map(holds, value))


Count = Annotated[int, Kind("a whole number, 1 or more", lambda n: is_whole(n, 1), int)]
Whole = Annotated[int, Kind("a whole number, 0 or more", is_whole, int)]
Number = Annotated[float, Kind("a finite number", lambda x: is_number(x) and math.isfinite(x), as_python)]
Positive = Annotated[float, Kind("a positive number", lambda x: is_number(x) and 0 < x < math.inf, as_python)]
NotNegative = Annotated[float, Kind("a number of 0 or more", lambda x: is_number(x) and 0 <= x < math.inf, as_python)]
Fraction = Annotated[float, Kind("a number in [0, 1)", _between(0, 1), as_python)]
Share = Annotated[float, Kind("a number between 0 and 1", lambda x: is_number(x) and 0 <= x <= 1, as_python)]
Inside = Annotated[
    float, Kind("a number between 0 and 1, both left out", lambda x: is_number(x) and 0 < x < 1, as_python)
]
Betas = Annotated[
    tuple[float, float],
    Kind(
        "two numbers in [0, 1)",
        lambda b: _is_list(b, _between(0, 1)) and len(b) == 2,
        lambda b: tuple(map(as_python, b)),
    ),
]
Widths = Annotated[
    Sequence[int],
    Kind(
        "a list of widths, whole numbers from 1, such as (64, 64)",
        lambda widths: _is_list(widths, lambda n: is_whole(n, 1)),
        lambda widths: tuple(map(int, widths)),
    ),
]
Sizes = Annotated[
    Sequence[int],
    Kind(
        "a list of at least two widths, whole numbers from 1: the input's, those between, the output's",
        lambda sizes: _is_list(sizes, lambda n: is_whole(n, 1)) and len(sizes) >= 2,
        lambda sizes: tuple(map(int, sizes)),
    ),
]
Rng = Annotated[
    np.random.Generator,
    Kind(
        "a numpy.random.Generator: pass rng=numpy.random.default_rng(0)",
        lambda rng: isinstance(rng, np.random.Generator),
        error=TypeError,
    ),
]
Rows = Annotated[Any, ArrayKind(as_matrix)]  # (n, d), finite, float64
LikeData = Annotated[Any, ArrayKind(as_matrix, lambda model: len(model.scale_.mean))]  # of as many features
LikeLatents = Annotated[Any, ArrayKind(as_matrix, lambda model: model.latent)]
Column = Annotated[Any, ArrayKind(as_vector)]  # (n,), finite, float64


def one_of(names) -> Kind:
    """The kind of the names in a table."""
    known = list(names)
    expected = f"one of {', '.join(known)}" if len(known) > 1 else f'"{known[0]}"'
    return Kind(expected, lambda name: isinstance(name, str) and name in names)


def instance_of(cls: type, advice: str = "") -> Kind:
    """The kind of the instances of a class."""
    expected = f"{'an' if cls.__name__[0] in 'AEIOU' else 'a'} {cls.__name__}"
    return Kind(f"{expected}{advice and ', ' + advice}", lambda value: isinstance(value, cls), error=TypeError)


def kinds_of(hint) -> list[Kind | ArrayKind]:
    """The kinds that a type hint allows; none for a hint that says nothing of values."""
    if hint is type(None):
        return [Kind("None", lambda value: value is None)]
    if hint is bool:
        return [Kind("True or False", lambda value: isinstance(value, (bool, np.bool_)), bool)]
    origin = get_origin(hint)
    if origin is Literal:
        return [one_of(get_args(hint))]
    if origin is Annotated:
        return [extra for extra in hint.__metadata__ if isinstance(extra, (Kind, ArrayKind))]
    if Callable in (hint, origin):
        return [Kind("a function", callable, error=TypeError)]
    if origin is Union or type(hint).__name__ == "UnionType":
        each = [kinds_of(part) for part in get_args(hint)]
        return [kind for kinds in each for kind in kinds] if all(each) else []
    return []


def taken(value, kinds: Sequence[Kind | ArrayKind], name: str, caller: str, owner: Any = None):
    """What is kept of a value that is of one of these kinds; raises what is wrong with any other."""
    plain = [kind for kind in kinds if isinstance(kind, Kind)]
    for kind in plain:
        if kind.holds(value):
            return kind.kept(value)
    for array_kind in kinds:
        if isinstance(array_kind, ArrayKind):
            return array_kind.of(value, name, caller, owner)
    expected = " or ".join(kind.expected for kind in plain)
    raise plain[0].error(f"{caller} got {_shown(value, name)}; expected {expected}")


def _shown(value, name: str) -> str:
    """An argument as an error shows it: by its value, where that is short."""
    text = repr(value)
    if len(text) <= 80 and "\n" not in text:
        return f"{name}={text}"
    if isinstance(value, (int, str)):
        return f"{name}={text[:77]}..."
    return f"a {type(value).__name__} as {name}"


def _declared(hints: dict, names) -> dict[str, list]:
    found = {name: kinds_of(hints[name]) for name in names if name in hints}
    return {name: kinds for name, kinds in found.items() if kinds}


@dataclass_transform(eq_default=False)
def settings(cls: type[C]) -> type[C]:
    """A dataclass whose fields are checked by their hints when it is made, and then all together by `agree`."""

    @cache
    def declared(made: type) -> dict[str, list]:
        hints = get_type_hints(made, include_extras=True)
        return _declared(hints, [field.name for field in fields(made) if field.init])

    def check(self):
        for name, kinds in declared(type(self)).items():
            setattr(self, name, taken(getattr(self, name), kinds, name, type(self).__name__))
        if hasattr(self, "agree"):
            self.agree()

    made: Any = cls
    made.__post_init__ = check
    made.declared = classmethod(declared)  # type: ignore[arg-type]
    return dataclass(eq=False, repr=False)(made)


def checked(function: F) -> F:
    """The function, with its arguments checked and converted by their hints before it runs."""
    is_method = function.__code__.co_varnames[:1] == ("self",)

    @cache  # at the first call, so that importing costs nothing
    def signature() -> inspect.Signature:
        return inspect.signature(function)

    @cache  # hints may name what is defined further down
    def declared() -> dict[str, list]:
        return _declared(get_type_hints(function, include_extras=True), signature().parameters)

    @wraps(function)
    def checking(*args, **named):
        bound = signature().bind(*args, **named)
        owner = args[0] if is_method and args else None
        for argument, kinds in declared().items():
            if argument in bound.arguments:
                who = _caller(function, owner)
                bound.arguments[argument] = taken(bound.arguments[argument], kinds, argument, who, owner)
        return function(*bound.args, **bound.kwargs)

    made: Any = checking
    made.declared = declared
    return made


def _caller(function: Callable, owner: Any) -> str:
    """What an error calls a function, and a method by the class of its object: `ring()`, `GAN.fit()`, `Minibatches`."""
    if owner is None:
        return f"{function.__qualname__}()"
    name = type(owner).__name__
    return name if function.__name__ == "__init__" else f"{name}.{function.__name__}()"


class Fitted:
    """A mix-in of what is learned by `fit`: it says so when asked for something before.

    `learned` is the name of an attribute that `fit` leaves, `taught_by` how `fit` is called.
    """

    learned: str
    taught_by: str = "fit(X, rng=...)"

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` has been called."""
        return hasattr(self, self.learned)

    def _check_fitted(self) -> None:
        if not self.is_fitted:
            raise ValueError(f"this {type(self).__name__} has not been fitted yet; call {self.taught_by} first")
