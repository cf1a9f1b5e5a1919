"""Arguments are checked by their hints: what is of the kind is kept, what is not is named with what was expected."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction as Ratio
from typing import Literal

import numpy as np
import pytest

from minigen import tensor
from minigen._support.arguments import (
    Betas,
    Column,
    Count,
    Fitted,
    NotNegative,
    Number,
    Positive,
    Rng,
    Rows,
    Share,
    Widths,
    checked,
    settings,
)
from minigen._support.arrays import as_matrix

NAN, INF = float("nan"), float("inf")


@checked
def thing(
    n: Count = 1,
    rate: Positive | None = None,
    weight: NotNegative = 0.0,
    share: Share = 0.5,
    any_number: Number = 0,
    widths: Widths = (2,),
    betas: Betas = (0.5, 0.9),
    how: Literal["one", "two"] = "one",
    flag: bool = False,
    call: Callable | None = None,
    rng: Rng = None,
    X: Rows = None,
    y: Column = None,
):
    return dict(locals())


GOOD = {
    "n": [(np.int64(3), 3), (2, 2)],
    "rate": [(None, None), (np.float32(0.5), 0.5), (2, 2)],
    "weight": [(0, 0)],
    "share": [(0, 0), (1, 1)],
    "widths": [([3, np.int32(4)], (3, 4)), ((), ()), (np.array([5, 6]), (5, 6))],
    "betas": [([0, 0.9], (0, 0.9))],
    "flag": [(np.True_, True)],
}
BAD = {
    "n": [0, -1, 1.0, True, "3", None, NAN],
    "rate": [0, -1.0, NAN, INF, True, "1", 10**400, [1.0], 1j],
    "weight": [-1e-9, None, NAN, np.array([1.0, 2.0])],
    "share": [-0.1, 1.1],
    "any_number": [INF, -INF, NAN, "0"],
    "widths": [3, "ab", [0], [1.5], [True], None],
    "betas": [(0.5,), (0.5, 1.0), 0.5, (0.1, 0.2, 0.3), None],
    "how": ["three", None, ["one"], 1],
    "flag": [1, "yes", None],
}
OF_TYPE = {"call": [3, "sin"], "rng": [0, np.random, None], "X": ["abc", [[1j]], [[1], [1, 2]]], "y": [["a"]]}


@pytest.mark.parametrize(("name", "given", "kept"), [(n, g, k) for n, rows in GOOD.items() for g, k in rows])
def test_what_is_of_the_kind_is_kept_as_python_has_it(name, given, kept):
    found = thing(**{name: given})[name]
    assert found == kept and type(found) is type(kept)


@pytest.mark.parametrize(("name", "given"), [(name, value) for name, values in BAD.items() for value in values])
def test_what_is_not_is_refused_with_who_what_and_what_was_expected(name, given):
    with pytest.raises(ValueError, match=rf"^thing\(\) got {name}=.*; expected ") as found:
        thing(**{name: given})
    assert repr(given)[:40] in str(found.value)


@pytest.mark.parametrize(("name", "given"), [(name, value) for name, values in OF_TYPE.items() for value in values])
def test_what_is_of_another_type_altogether_is_a_type_error(name, given):
    with pytest.raises(TypeError, match=r"^thing\(\) got "):
        thing(**{name: given})


def test_arguments_may_be_given_by_position_and_a_wrong_call_is_what_it_always_was():
    assert thing(3, 0.5)["rate"] == 0.5
    with pytest.raises(TypeError, match="multiple values"):
        thing(3, n=2)
    with pytest.raises(TypeError, match="unexpected"):
        thing(m=3)


@settings
class Model(Fitted):
    learned = "mean_"
    width: Count = 3
    rate: Positive = 1.0
    most: Positive | None = None

    def agree(self):
        if self.most is not None and self.most < self.rate:
            raise ValueError("Model got most below rate")


@settings
class Wider(Model):
    extra: NotNegative = 0.0


def test_a_class_checks_its_fields_and_then_all_together():
    assert (Model(np.int32(4)).width, Wider(rate=2).rate) == (4, 2)
    for wrong in ({"width": 0}, {"rate": -1}, {"most": "1"}):
        with pytest.raises(ValueError, match=r"^Model got (width|rate|most)=.*; expected a"):
            Model(**wrong)
    with pytest.raises(ValueError, match=r"^Wider got extra=-1; expected a number of 0 or more"):
        Wider(extra=-1)
    with pytest.raises(ValueError, match="most below rate"):
        Wider(rate=2, most=1)


def test_what_is_not_fitted_says_so():
    model = Model()
    assert not model.is_fitted
    with pytest.raises(ValueError, match=r"this Model has not been fitted yet; call fit\(X, rng=\.\.\.\) first"):
        model._check_fitted()
    model.mean_ = 0
    model._check_fitted()


REALS = {
    "list": [[1, 2], [3, 4]],
    "tensor": tensor([[1.0, 2.0], [3.0, 4.0]]),
    "leaf": tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True),
    "uint8": np.array([[1, 2], [3, 4]], "u1"),
    "int8": np.array([[1, 2], [3, 4]], "i1"),
    "float16": np.array([[1, 2], [3, 4]], "f2"),
    "longdouble": np.array([[1, 2], [3, 4]], np.longdouble),
    "objects": np.array([[1, 2.0], [Ratio(3), Decimal(4)]], object),
    "masked nowhere": np.ma.array([[1, 2], [3, 4]], mask=False),
    "transposed": np.array([[1, 3], [2, 4]]).T,
    "big-endian": np.array([[1, 2], [3, 4]], ">f8"),
    "read-only": np.broadcast_to(np.array([[1.0, 2.0], [3.0, 4.0]]), (2, 2)),
}


@pytest.mark.parametrize("kind", REALS)
def test_all_that_are_real_numbers_become_float64_rows(kind):
    found = as_matrix(REALS[kind], "X", "f()")
    assert found.dtype == np.float64 and found.flags.c_contiguous and np.array_equal(found, [[1, 2], [3, 4]])


def test_tables_become_float64_rows():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": pandas.array([1, 3], dtype="Int64"), "b": [2.0, 4.0]})
    assert np.array_equal(as_matrix(table, "X", "f()"), [[1, 2], [3, 4]])
    for column in (pandas.array([1, None], dtype="Int64"), pandas.Series(["1", "2"], dtype=object)):
        with pytest.raises((TypeError, ValueError), match=r"^f\(\) got .*(missing|NaN|expected real numbers)"):
            as_matrix(table.assign(a=column), "X", "f()")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ([1.0, 2.0], ValueError, r"of shape \(2,\).*X\[:, None\] for a single feature"),
        (np.zeros((0, 2)), ValueError, "at least one row"),
        (np.zeros((2, 0)), ValueError, r"expected \(n, d\)"),
        (np.zeros((2, 3)), ValueError, r"expected \(n, 2\)"),
        ([[NAN, 1.0], [INF, 1.0]], ValueError, r"2 value\(s\) that are NaN or infinite in X of shape \(2, 2\)"),
        ([[1.0, 10**400]], ValueError, "NaN or infinite"),
        (np.ma.array([[1, 2]], mask=[[0, 1]]), ValueError, r"1 masked value\(s\)"),
        (np.array([[1, None]], object), ValueError, r"missing value\(s\)"),
        ([["1", "2"]], TypeError, "expected real numbers"),
        (np.array([["1", 2]], object), TypeError, "of type str"),
        (np.zeros((1, 2), complex), TypeError, "complex"),
        (np.zeros((1, 2), "M8[s]"), TypeError, "datetime"),
        (np.zeros(2, [("a", float)]), TypeError, "expected real numbers"),
        (None, ValueError, r"missing value\(s\)"),
        ({1.0, 2.0}, TypeError, "of type set"),
    ],
)
def test_what_are_no_such_rows_is_refused_in_words(given, error, said):
    with pytest.raises(error, match=rf"^f\(\) got .*{said}"):
        as_matrix(given, "X", "f()", width=2 if np.shape(given)[1:] == (3,) else None)
