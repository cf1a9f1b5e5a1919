"""What learners of other libraries look for: masks, `loss += term`, NumPy's spellings, losses with options, editors."""

import inspect
import pydoc

import numpy as np
import pytest

import minigen
from minigen import CompileError, Tensor, ops, tensor
from minigen.tape import leaf

FLOATS = (np.float32, np.float64)


def rng(seed=0):
    return np.random.default_rng(seed)


def slopes(y, *leaves):
    return [g.data for g in minigen.grad(y, list(leaves))]


# Masks

X = rng(1).standard_normal((3, 4)).astype(np.float32)
MASK = X > 0


@pytest.mark.parametrize("mask", [MASK, MASK.tolist(), Tensor(MASK)], ids=["array", "list", "tensor"])
def test_a_mask_takes_the_elements_where_it_is_true(mask):
    x = leaf(X)
    y = x[mask]
    np.testing.assert_array_equal(y.data, X[MASK])
    np.testing.assert_array_equal(slopes(ops.sum(y**2), x)[0], np.where(MASK, 2 * X, 0))
    first = minigen.grad(ops.sum(x[mask] ** 3), x, create_graph=True)
    np.testing.assert_allclose(slopes(ops.sum(first), x)[0], np.where(MASK, 6 * X, 0), rtol=1e-6)


def test_a_condition_of_tensors_is_a_mask_too():
    x = leaf(X)
    np.testing.assert_array_equal(x[x > 0].data, X[X > 0])
    np.testing.assert_array_equal(x[(x > 0).data & (x < 1).data].data, X[(X > 0) & (X < 1)])
    np.testing.assert_array_equal(x[1:, np.array([True, False, False, True])].data, X[1:, [0, 3]])


def test_a_constant_mask_in_a_compiled_step():
    step = minigen.compile(lambda x: ops.sum(ops.getitem(x, MASK) ** 2) + ops.sum(Tensor(x)[MASK]))
    for i in range(4):
        x = X + np.float32(i)
        np.testing.assert_allclose(step(x), np.sum(x[MASK] ** 2) + np.sum(x[MASK]), rtol=1e-6)


@pytest.mark.parametrize(
    "step",
    [
        lambda x, mask: ops.sum(Tensor(x)[mask]),
        lambda x, mask: ops.sum(ops.getitem(x, mask)),
        lambda x, mask: ops.sum(x[mask]),
        lambda x, mask: ops.sum(x[Tensor(mask)]),
        lambda x, mask: ops.sum(Tensor(x)[:, mask[0]]),
        lambda x, mask: ops.sum(Tensor(x)[x > 0]),
        lambda x, mask: ops.sum(Tensor(x)[Tensor(x) > 0]),
    ],
)
def test_a_mask_that_may_change_is_refused_in_a_compiled_step(step):
    with pytest.raises(CompileError, match=r"mask.*another shape in each call; use minigen.ops.where\(\)"):
        minigen.compile(step)(X, MASK)


# In place


@pytest.mark.parametrize("dtype", FLOATS)
def test_in_place_forms_rebind_what_was_computed(dtype):
    x, m = leaf(np.array([[1.0, 2.0], [3.0, 5.0]], dtype)), np.array([[2.0, 1.0], [0.5, 1.0]], dtype)
    y = first = x * 1.0
    y += 1
    y -= [0.5, 0.25]
    y *= x
    y /= 2.0
    y **= 2
    y @= m
    y %= 7.0
    expected = np.mod((((x.data + 1 - np.array([0.5, 0.25], dtype)) * x.data) / 2) ** 2 @ m, 7)
    np.testing.assert_allclose(y.data, expected, rtol=1e-6)
    assert y is not first and np.array_equal(first.data, x.data)
    z = ((((x + 1 - np.array([0.5, 0.25], dtype)) * x) / 2) ** 2) @ m
    np.testing.assert_allclose(*slopes(ops.sum(y), x), *slopes(ops.sum(z % 7.0), x), rtol=1e-6)


def test_a_loss_that_grows_by_terms():
    w = leaf(np.array([1.0, -2.0], np.float32))
    loss = tensor(0.0)
    for k in (1, 2, 3):
        loss += ops.sum(w**k)
    np.testing.assert_allclose(slopes(loss, w)[0], 1 + 2 * w.data + 3 * w.data**2)


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**", "@", "%"])
def test_a_leaf_is_not_changed_in_place(sign):
    names = {"np": np, "w": leaf(np.eye(2))}
    with pytest.raises(TypeError, match=r"on a leaf .* the leaf be lost; write y = x"):
        exec(f"w {sign}= np.eye(2)", names)


# NumPy's spellings


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.pad(x, 1, "constant"),
        lambda x: np.pad(x, ((1, 0), (0, 2)), mode="constant", constant_values=1.5),
        lambda x: np.clip(x, a_min=-0.5, a_max=0.5),
        lambda x: np.clip(x, -0.5, None),
        lambda x: x.clip(min=0),
        lambda x: x.clip(max=0.25),
        lambda x: x.clip(-0.25, 0.25),
        lambda x: np.einsum("ij->ji", x),
        lambda x: np.einsum("ij,jk,kl->il", x, x.T, x),
        lambda x: np.prod(x, axis=(0, 1)),
        lambda x: np.std(x, axis=()),
        lambda x: np.std(x, axis=(0, 1)),
        lambda x: np.argmax(x, 1),
        lambda x: x.argmin(),
        lambda x: np.isnan(x),
        lambda x: np.isfinite(x),
        lambda x: np.tan(x),
        lambda x: np.floor(x) + np.ceil(x) + np.rint(x),
        lambda x: np.hstack([x, x]) + np.vstack([x, x])[:3].sum(),
        lambda x: np.tril(x) - np.triu(x, 1),
        lambda x: x.flatten() + x.ravel() + np.ravel(x),
        lambda x: x % 0.7 + 3.0 % (x + 10),
        lambda x: np.mod(x, 2.0) + np.remainder(x, 3.0),
        lambda x: np.logaddexp(x, 1.0),
        lambda x: np.linalg.norm(x, axis=1),
    ],
)
def test_spelled_as_numpy_does(f):
    x = rng(3).standard_normal((3, 4))
    found = f(leaf(x))
    assert type(found) is Tensor
    np.testing.assert_allclose(found.data, f(x), rtol=1e-12, atol=1e-13)


def test_bounds_of_clip_that_are_tensors():
    x, low, high = leaf(np.array([-1.0, 0.2, 3.0])), leaf(np.array(0.0)), leaf(np.full(3, 1.0))
    by_x, by_low, by_high = slopes(ops.sum(ops.clip(x, low, high) * [1.0, 2.0, 3.0]), x, low, high)
    assert (by_x.tolist(), by_low.tolist(), by_high.tolist()) == ([0, 2, 0], 1.0, [0, 0, 3])
    assert x.clip(low).data.tolist() == [0, 0.2, 3] and ops.clip(x, high=high).data.tolist() == [-1, 0.2, 1]


def test_allclose():
    x = leaf(X)
    assert ops.allclose(x, X) and np.allclose(x, X + 1e-9) and not ops.allclose(x, X + 1)
    with pytest.raises(CompileError, match="allclose"):
        minigen.compile(lambda x: ops.sum(x) if ops.allclose(x, 0.0) else ops.mean(x))(X)


# Losses with options


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions_of_losses_agree_with_torch(reduction, dtype):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    p, l = rng(0).standard_normal((2, 5, 3)).astype(dtype)
    t, v = rng(1).random((2, 5, 3)).astype(dtype)
    labels, weight = np.array([0, 2, 1, 1, 2]), np.array([0.5, 2.0, 1.25], dtype)
    T = torch.tensor
    for ours, theirs, x in [
        (lambda x: ops.mse(x, t, reduction), lambda x: functional.mse_loss(x, T(t), reduction=reduction), p),
        (lambda x: ops.l1(x, t, reduction), lambda x: functional.l1_loss(x, T(t), reduction=reduction), p),
        (
            lambda x: ops.huber(x, t, 0.6, reduction),
            lambda x: functional.huber_loss(x, T(t), delta=0.6, reduction=reduction),
            p,
        ),
        (
            lambda x: ops.binary_cross_entropy_with_logits(x, t, reduction),
            lambda x: functional.binary_cross_entropy_with_logits(x, T(t), reduction=reduction),
            l,
        ),
        (
            lambda x: ops.gaussian_nll(x, t, np.log(v), reduction),
            lambda x: functional.gaussian_nll_loss(x, T(t), T(v), full=True, reduction=reduction),
            p,
        ),
        *(
            (
                lambda x, s=settings: ops.cross_entropy(x, labels, reduction=reduction, **s),
                lambda x, s=settings: functional.cross_entropy(
                    x, T(labels), reduction=reduction, **{k: T(i) if k == "weight" else i for k, i in s.items()}
                ),
                l * 20,
            )
            for settings in ({}, {"weight": weight}, {"ignore_index": 1}, {"weight": weight, "ignore_index": 2})
        ),
    ]:
        a, b = leaf(x), T(x, requires_grad=True)
        y, z = ours(a), theirs(b)
        weights = rng(2).standard_normal(y.shape).astype(dtype)
        (z * T(weights)).sum().backward()
        close = {"rtol": 2e-5, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-13}
        np.testing.assert_allclose(y.data, z.detach().numpy(), **close)
        np.testing.assert_allclose(slopes(ops.sum(y * weights), a)[0], b.grad.numpy(), **close)


@pytest.mark.parametrize("f", [ops.l1, ops.huber, ops.dot, lambda a, b: ops.mse(a, b, "sum")])
def test_operators_on_two_arguments_of_a_compiled_step_are_seen(f):
    step = minigen.compile(f)
    for seed in range(4):
        a, b = rng(seed).standard_normal((2, 5)).astype(np.float32)
        np.testing.assert_allclose(step(a, b), f(a, b), rtol=1e-6)


def test_class_weights_and_ignored_labels_in_a_compiled_step():
    weight = np.array([0.5, 2.0, 1.25], np.float32)
    f = lambda x, labels: ops.cross_entropy(x, labels, weight, ignore_index=-100)
    step = minigen.compile(f)
    for seed in range(5):
        x, labels = rng(seed).standard_normal((6, 3)).astype(np.float32), rng(seed).integers(0, 3, 6)
        labels[seed % 6] = -100
        np.testing.assert_array_equal(step(x, labels), f(x, labels))
    with pytest.raises(ValueError, match="expected 0 to 2"):
        step(x, np.full(6, 3))


# Editors


def test_operators_and_methods_are_there_to_be_found():
    shown = set(dir(Tensor))
    assert {"__add__", "__rmul__", "__matmul__", "mean", "reshape", "clip", "T", "shape", "backward", "grad"} <= shown
    assert str(inspect.signature(Tensor.mean)) == "(self, axis: 'Axis' = None, keepdims: 'bool' = False) -> 'Self'"
    for name in shown:
        value = inspect.getattr_static(Tensor, name)
        if not name.startswith("_") and inspect.isfunction(value):
            inspect.signature(value)
            assert value.__doc__ and value.__annotations__["return"], name
    assert "Mean over one axis" in pydoc.render_doc(Tensor.mean)
    assert "reverse order" in pydoc.render_doc(Tensor)


def test_a_type_checker_knows_what_operators_give(tmp_path):
    api = pytest.importorskip("mypy.api")
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy as np\n"
        "from minigen import Tensor, tensor\n"
        "x = tensor(np.ones((2, 3)))\n"
        "y: Tensor = x * 2 + x @ np.ones((3, 3)) - 1.0 / x**2\n"
        "loss: Tensor = y.mean()\n"
        "loss += y[0].exp().sum(axis=0)\n"
        "loss.backward()\n"
        "number: float = loss.item()\n"
        "wrong: int = y.sum()\n"
    )
    config = tmp_path / "mypy.ini"  # NumPy's own stubs take longer than all the rest
    config.write_text("[mypy]\nfollow_imports = silent\n[mypy-numpy.*,numba.*]\nfollow_imports = skip\n")
    settings = [f"--config-file={config}", "--no-error-summary", f"--cache-dir={tmp_path / 'cache'}"]
    found, trouble, _ = api.run([*settings, str(program)])
    assert not trouble and [line for line in found.splitlines() if "program.py" in line] == [
        f'{program}:9: error: Incompatible types in assignment (expression has type "Tensor", variable has type "int")'
        "  [assignment]"
    ]
