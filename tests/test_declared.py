"""Every declared argument refuses what is not of its kind, in one wording: who got what, and what was expected."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module

import numpy as np
import pytest

import minigen
from minigen import datasets, distributions, models
from minigen._support.arguments import ArrayKind, Kind
from minigen.distributions import Normal

NAN, INF = float("nan"), float("inf")
STRANGERS = [
    object(),
    -1,
    0,
    1.5,
    -0.5,
    2.0,
    True,
    None,
    NAN,
    INF,
    10**400,
    "no such name",
    b"bytes",
    (),
    (0.5, "a"),
    [0],
    {},
    1j,
    np.float64(NAN),
    np.array([1.0, 2.0]),
    np.random,
    print,
]
NO_DATA = [
    "words",
    [["a"]],
    [[1.0], [1.0, 2.0]],
    [[1j]],
    [[NAN, 1.0]],
    [[None, 1.0]],
    np.zeros((2, 2, 2)),
    np.zeros((0, 1)),
]


def modules():
    for info in pkgutil.walk_packages(minigen.__path__, "minigen."):
        if not info.name.endswith("__main__"):
            yield import_module(info.name)


def declared_things():
    """Every class and function whose arguments are declared: (shown name, callable, kinds by argument, its class)."""
    seen = {}
    for module in modules():
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(thing):
                for method, function in vars(thing).items():
                    if hasattr(function, "declared") and inspect.isfunction(function):
                        seen[f"{module.__name__}.{name}.{method}"] = function, function.declared(), thing
                if "declared" in vars(thing):
                    seen[f"{module.__name__}.{name}"] = thing, thing.declared(), None
            elif hasattr(thing, "declared"):
                seen[f"{module.__name__}.{name}"] = thing, thing.declared(), None
    return seen


# Of kinds that a list of common values has none of.
EXAMPLES = {
    "regressor": models.Regressor(),
    "module": minigen.nn.Linear(2, 1, rng=np.random.default_rng(0)),
    "draws": np.arange(12.0).reshape(2, 6),
    "base": distributions.Normal(np.zeros(2), 3.0),
    "bounds": [(-3.0, 3.0)],
    "data": datasets.pendulum_trajectories(5, np.random.default_rng(0), steps=4),
}

THINGS = declared_things()
CASES = [(where, argument) for where, (_, kinds, _) in THINGS.items() for argument in kinds]


def strangers(kinds):
    """Values that are of none of these kinds."""
    if any(isinstance(kind, ArrayKind) for kind in kinds):
        return NO_DATA
    return [value for value in STRANGERS if not any(kind.holds(value) for kind in kinds)]


class Stub:
    """Stands for a fitted model of three features and two latents whose method is called."""

    latent = 2
    means_ = coef_ = np.zeros((2, 3))

    def __init__(self, name):
        wide = type("Scale", (), {"mean": np.zeros(3), "sd": np.ones(3)})
        self.scale_ = self.x_scale_ = self.y_scale_ = wide
        type(self).__name__ = name

    def _check_fitted(self):
        pass


def call(where, argument, value):
    """The thing called with this value, and with nothing for the other arguments that need one."""
    thing, _, owner = THINGS[where]
    parameters = [
        p for p in inspect.signature(thing).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    settings = {p.name: good(where, p.name) for p in parameters if p.default is p.empty and p.name != "self"}
    settings[argument] = value
    if owner is None:
        return thing(**settings)
    stub = type(owner.__name__, (Stub,), {})(owner.__name__)
    return thing(stub, **settings)


def good(where, argument):
    """A value of the kind of an argument, None where nothing is said of it."""
    if argument in EXAMPLES:
        return EXAMPLES[argument]
    kinds = THINGS[where][1].get(argument, [])
    numbers = (1, 0.5, 2.0, (0.5, 0.5), (1, 1))
    for candidate in (*numbers, np.random.default_rng(0), print, Normal(0.0, 1.0), [1.0, 2.0], "a", None):
        if any(isinstance(kind, Kind) and kind.holds(candidate) for kind in kinds):
            return candidate
    for kind in kinds:
        if isinstance(kind, Kind) and kind.expected.startswith("one of "):
            return kind.expected.removeprefix("one of ").split(", ")[0]
        if isinstance(kind, ArrayKind):
            for array in (np.ones((2, 3)), np.ones((2, 2)), np.ones(2)):
                try:
                    kind.of(array, argument, where, Stub(where))
                except ValueError:
                    continue
                return array
    return None


def test_models_samplers_and_functions_declare_their_arguments():
    assert len(CASES) > 150
    for model in models.__all__:
        assert hasattr(getattr(models, model), "declared"), model


@pytest.mark.parametrize(("where", "argument"), CASES, ids=[f"{where}-{argument}" for where, argument in CASES])
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_of_the_kind_is_refused_in_one_wording(where, argument):
    kinds = THINGS[where][1][argument]
    tried = strangers(kinds)
    assert tried, "a kind that takes everything says nothing"
    who = where.rpartition(".")[2] if THINGS[where][2] is None else rf"{THINGS[where][2].__name__}(\.\w+\(\))?"
    for value in tried:
        with pytest.raises((ValueError, TypeError)) as found:
            call(where, argument, value)
        said = str(found.value)
        assert re.match(rf"{who}(\(\))? got ", said), said
        assert argument in said, said
        assert "expected" in said or "give" in said or "leave" in said or "remove" in said, said
        assert len(said) < 500, said
