"""Jacobians, Hessians and their products against closed forms, complex steps, finite differences, JAX and PyTorch."""

import numpy as np
import pytest

import minigen
from minigen import hessian, hvp, jacobian, jvp, nn, ops, tensor, vjp


def rng(seed=0):
    return np.random.default_rng(seed)


A = rng(10).standard_normal((4, 3))
B = rng(11).standard_normal((3, 3))


def f(x):  # (3,) -> (4,)
    return ops.sin(A @ x) * ops.exp(x[1]) + x[0] ** 3


def f_numpy(x):
    return np.sin(A @ x) * np.exp(x[1]) + x[0] ** 3


def s(x):  # (3,) -> ()
    return ops.sum(ops.tanh(B @ x) ** 2) * x[2] + ops.exp(x[0] * x[1])


def s_numpy(x):
    return np.sum(np.tanh(B @ x) ** 2) * x[2] + np.exp(x[0] * x[1])


def complex_step(g, x):
    """d g / d x to all digits, of shape (..., n): Im g(x + i h e_j) / h has no difference in it."""
    return np.stack([np.imag(g(x + 1e-200j * unit)) / 1e-200 for unit in np.eye(len(x))], axis=-1)


def slopes(g, x, step=1e-5):
    """Central differences along each element of x; last axis: the elements."""
    return np.stack([(g(x + step * unit) - g(x - step * unit)) / (2 * step) for unit in np.eye(len(x))], axis=-1)


X = np.array([0.3, -0.7, 1.1])


def test_jacobian_and_its_products_agree_with_complex_steps():
    J = complex_step(f_numpy, X)
    c, t = rng(1).standard_normal(4), rng(2).standard_normal(3)
    np.testing.assert_allclose(jacobian(f, X).data, J, rtol=1e-13)
    np.testing.assert_allclose(vjp(f, X, c).data, c @ J, rtol=1e-13)
    np.testing.assert_allclose(jvp(f, X, t).data, J @ t, rtol=1e-13)


def test_hessian_and_its_product_agree_with_differences_of_complex_steps():
    H = slopes(lambda x: complex_step(s_numpy, x), X)
    t = rng(2).standard_normal(3)
    np.testing.assert_allclose(hessian(s, X).data, H, rtol=1e-8)
    np.testing.assert_allclose(hvp(s, X, t).data, H @ t, rtol=1e-8)
    np.testing.assert_allclose(hessian(s, X).data, hessian(s, X).data.T, rtol=1e-12)


def test_closed_forms():
    np.testing.assert_allclose(jacobian(lambda x: B @ x, X).data, B)
    np.testing.assert_allclose(hessian(lambda x: x @ (B @ x), X).data, B + B.T, rtol=1e-14)
    np.testing.assert_allclose(hvp(lambda x: ops.sum(x**4), X, [1.0, 0.0, 2.0]).data, 12 * X**2 * [1, 0, 2], rtol=1e-14)


def test_against_jax():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    with jax.enable_x64(True):

        def g(x, w):  # (2, 3), (3,) -> (2, 2)
            return jnp.stack([jnp.sum(jnp.sin(x) * w, 1), jnp.prod(x * w, 1)], 1)

        def ours(x, w):
            return ops.stack([ops.sum(ops.sin(x) * w, 1), ops.prod(x * w, 1)], 1)

        x, w = rng(3).standard_normal((2, 3)), rng(4).standard_normal(3)
        t, c = (rng(5).standard_normal((2, 3)), rng(6).standard_normal(3)), rng(7).standard_normal((2, 2))
        for a, b in zip(jacobian(ours, (x, w)), jax.jacobian(g, (0, 1))(x, w), strict=True):
            np.testing.assert_allclose(a.data, b, rtol=1e-12)
        for a, b in zip(vjp(ours, (x, w), c), jax.vjp(g, x, w)[1](c), strict=True):
            np.testing.assert_allclose(a.data, b, rtol=1e-12)
        np.testing.assert_allclose(jvp(ours, (x, w), t).data, jax.jvp(g, (x, w), t)[1], rtol=1e-12)

        def total(x, w):
            return jnp.sum(g(x, w) ** 2)

        def our_total(x, w):
            return ops.sum(ours(x, w) ** 2)

        for row, expected in zip(hessian(our_total, (x, w)), jax.hessian(total, (0, 1))(x, w), strict=True):
            for a, b in zip(row, expected, strict=True):
                np.testing.assert_allclose(a.data, b, rtol=1e-11, atol=1e-12)
        expected = jax.jvp(jax.grad(total, (0, 1)), (x, w), t)[1]
        for a, b in zip(hvp(our_total, (x, w), t), expected, strict=True):
            np.testing.assert_allclose(a.data, b, rtol=1e-11)


def test_a_network_against_torch_and_differentiated_again_by_its_weights():
    torch = pytest.importorskip("torch")
    net = nn.MLP([3, 5, 2], "tanh", rng=rng()).astype(np.float64)
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in net.state_dict().items()})
    J = torch.autograd.functional.jacobian(theirs, torch.tensor(X), create_graph=True)
    ours = jacobian(net, X, create_graph=True)
    np.testing.assert_allclose(ours.data, J.detach().numpy(), rtol=1e-12)
    # A penalty on the Jacobian, by the weights.
    net.zero_grad()
    ops.sum(ours**2).backward(net.parameters())
    (J**2).sum().backward()
    for p, q in zip(net.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, 0 if q.grad is None else q.grad.numpy(), rtol=1e-10, atol=1e-14)


def test_differentiated_again_by_the_argument():
    x = tensor(X, requires_grad=True)
    t, c = rng(2).standard_normal(3), rng(1).standard_normal(4)
    third = slopes(lambda x: hessian(s, x).data, X)  # d H_ij / d x_k
    by_x = jacobian(lambda x: hessian(s, x, create_graph=True), x).data
    np.testing.assert_allclose(by_x, third, rtol=1e-6, atol=1e-8)
    for twice, once in [
        (lambda x, g: hvp(s, x, t, create_graph=g), lambda x: hvp(s, x, t)),
        (lambda x, g: jvp(f, x, t, create_graph=g), lambda x: jvp(f, x, t)),
        (lambda x, g: vjp(f, x, c, create_graph=g), lambda x: vjp(f, x, c)),
        (lambda x, g: jacobian(f, x, create_graph=g), lambda x: jacobian(f, x)),
    ]:
        y = twice(x, True)
        v = rng(3).standard_normal(y.shape)
        got = minigen.grad(y, x, cotangent=v).data
        expected = slopes(lambda x, once=once, v=v: np.sum(v * once(x).data), X)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-8)
        assert not once(x).requires_grad and y.requires_grad


def test_the_derivative_is_by_the_argument_and_not_by_the_same_tensor_used_besides():
    x = tensor(X, requires_grad=True)
    for create_graph in (False, True):
        J = jacobian(lambda y: y * x, x, create_graph=create_graph)
        np.testing.assert_allclose(J.data, np.diag(X))
    assert x.grad is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    x, w = X.astype(dtype), np.asarray(2.0, dtype)

    def g(x, w):
        return ops.sin(x) * w + x[::-1]

    expected = np.diag(np.cos(X) * 2) + np.eye(3)[::-1]
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    results = [
        *jacobian(g, (x, w)),
        *vjp(g, (x, w), [1.0, 2.0, 3.0]),
        jvp(g, (x, w), (np.ones(3), 1.0)),
        *(h for row in hessian(lambda x, w: ops.sum(g(x, w)), (x, w)) for h in row),
        *hvp(lambda x, w: ops.sum(g(x, w)), (x, w), (np.ones(3), 1.0)),
    ]
    assert {r.dtype for r in results} == {np.dtype(dtype)}
    np.testing.assert_allclose(results[0].data, expected, rtol=tolerance, atol=tolerance)


def test_numbers_lists_and_scalars():
    J = jacobian(lambda x: x**3, 2.0)
    assert J.shape == () and J.item() == 12 and J.dtype == np.float32
    assert hessian(lambda x: x**3, 2.0).item() == 12 and jvp(lambda x: x**3, 2.0, 0.5).item() == 6
    np.testing.assert_array_equal(jacobian(lambda x: x * x[0], [1.0, 2.0]).data, [[2, 0], [2, 1]])
    assert [g.item() for g in jacobian(lambda a, b: a * b, (2.0, 3.0))] == [3, 2]
    assert [g.item() for g in jacobian(lambda a, b: a * b, [tensor(2.0), tensor(3.0)])] == [3, 2]
    assert hvp(lambda x: ops.reshape(x * x, (1, 1)), 3.0, 1.0).item() == 2


def test_shapes_are_those_of_the_mathematics():
    x = rng().standard_normal((2, 3))
    assert jacobian(lambda x: x @ np.ones((3, 4)), x).shape == (2, 4, 2, 3)
    assert hessian(lambda x: ops.sum(x**2), x).shape == (2, 3, 2, 3)
    row = hessian(lambda x, y: ops.sum(x**2) * ops.sum(y), (x, np.ones(5)))
    assert [[h.shape for h in each] for each in row] == [[(2, 3, 2, 3), (2, 3, 5)], [(5, 2, 3), (5, 5)]]
    assert jacobian(lambda x: x[:0], x).shape == (0, 3, 2, 3)
    assert jacobian(lambda x: x * 2.0, np.zeros((0, 3))).shape == (0, 3, 0, 3)
    np.testing.assert_array_equal(jacobian(lambda x: x, X).data, np.eye(3))


def test_what_does_not_depend_on_an_argument_gives_zeros():
    constant = tensor(np.ones(2))
    for g in (lambda x, y: y * 2.0, lambda x, y: constant, lambda x, y: ops.astype(x > 0, np.float64)[:2]):
        by_x, _ = jacobian(g, (X, np.ones(2)))
        np.testing.assert_array_equal(by_x.data, np.zeros((2, 3)))
        np.testing.assert_array_equal(vjp(g, (X, np.ones(2)), [1.0, 1.0])[0].data, np.zeros(3))
        np.testing.assert_array_equal(jvp(g, (X, np.ones(2)), (X, np.zeros(2))).data, np.zeros(2))
    linear = hessian(lambda x, y: ops.sum(x) + ops.sum(y**2), (X, np.ones(2)))
    np.testing.assert_array_equal(linear[0][0].data, np.zeros((3, 3)))
    np.testing.assert_array_equal(linear[1][1].data, 2 * np.eye(2))
    np.testing.assert_array_equal(hvp(lambda x: ops.sum(x), X, X).data, np.zeros(3))


def test_a_tangent_where_the_cotangent_rule_is_infinite():
    # d sqrt at 0 is infinite, but not along a tangent that is zero there ... and NaN is what 0 * inf gives.
    with np.errstate(all="ignore"):
        y = jvp(ops.sqrt, np.array([0.0, 4.0]), [1.0, 1.0])
    np.testing.assert_array_equal(y.data, [np.inf, 0.25])


def test_long_chains_and_many_uses():
    def g(x):
        for _ in range(3000):
            x = x * 1.001
        return x

    assert jacobian(g, np.array(1.0)).item() == pytest.approx(1.001**3000, rel=1e-10)


def test_it_works_inside_a_compiled_step_that_changes_its_point():
    net = nn.MLP([3, 4, 1], "tanh", rng=rng()).astype(np.float64)

    def step(x, t):
        return hvp(lambda x: ops.sum(net(x)), x, t)

    compiled = minigen.compile(step)
    for i in range(6):
        x, t = rng(i).standard_normal(3), rng(i + 9).standard_normal(3)
        np.testing.assert_array_equal(compiled(x, t).data, step(x, t).data)


def test_it_leaves_gradients_alone():
    net = nn.MLP([3, 4, 1], rng=rng())
    net.zero_grad()
    hessian(lambda x: ops.sum(net(x)), X.astype(np.float32))
    assert not net.flat().grad.any()


MISUSE = {
    "integers": (lambda: jacobian(ops.sin, np.arange(3)), TypeError, "int64 as argument 0.*1.0 for 1"),
    "a whole number": (lambda: jacobian(ops.sin, 1), TypeError, "argument 0.*1.0"),
    "text": (lambda: jacobian(ops.sin, "x"), TypeError, "real numbers"),
    "no function": (lambda: jacobian(X, X), TypeError, "ndarray; expected a function"),
    "arrays out": (lambda: jacobian(lambda x: np.sin(x.data), X), TypeError, "gave a ndarray.*minigen.ops"),
    "a number out": (lambda: hessian(lambda x: x.sum().item(), X), TypeError, "gave a float.*minigen.ops"),
    "two results": (lambda: vjp(lambda x: (x, x), X, X), TypeError, "gave a tuple.*ops.stack"),
    "booleans out": (lambda: jacobian(lambda x: x > 0, X), TypeError, "gave bool.*floats"),
    "no arguments": (lambda: jacobian(ops.sin, ()), ValueError, "no arguments"),
    "no scalar": (lambda: hessian(f, X), ValueError, r"hessian\(\) needs a scalar, but f gave shape \(4,\)"),
    "no scalar for hvp": (lambda: hvp(f, X, X), ValueError, r"hvp\(\) needs a scalar"),
    "a short cotangent": (lambda: vjp(f, X, X), ValueError, r"vjp\(\) got cotangent of shape \(3,\).*\(4,\)"),
    "no cotangent": (lambda: vjp(f, X, None), ValueError, r"vjp\(\) needs a scalar.*cotangent="),
    "a short tangent": (lambda: jvp(f, X, [1.0]), ValueError, r"shape \(1,\) for argument 0 of shape \(3,\)"),
    "a scalar tangent": (lambda: hvp(s, X, 1.0), ValueError, r"tangent of shape \(\)"),
    "one tangent of two": (lambda: jvp(ops.multiply, (X, X), [X]), ValueError, "1 tangents for 2 arguments"),
    "one array for two": (lambda: jvp(ops.multiply, (X, X), 1.0), ValueError, "for 2 arguments"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), MISUSE.values(), ids=MISUSE)
def test_misuse(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_inside_no_grad():
    for call in (lambda: jacobian(f, X), lambda: hvp(s, X, X)):
        with minigen.no_grad(), pytest.raises(ValueError, match=r"inside no_grad\(\)"):
            call()


# A cotangent for grad and backward


def test_grad_and_backward_with_a_cotangent():
    J, c = complex_step(f_numpy, X), rng(1).standard_normal(4)
    x = tensor(X, requires_grad=True)
    np.testing.assert_allclose(minigen.grad(f(x), x, cotangent=c).data, c @ J, rtol=1e-13)
    np.testing.assert_allclose(minigen.grad(f(x), [x], cotangent=list(c))[0].data, c @ J, rtol=1e-13)
    f(x).backward(gradient=c)
    f(x).backward([x], tensor(c))
    np.testing.assert_allclose(x.grad, 2 * c @ J, rtol=1e-13)
    y = f(x)
    given = np.ones(4)
    g = minigen.grad(y, y, cotangent=given)
    given[0] = 5
    np.testing.assert_array_equal(g.data, np.ones(4))


def test_a_cotangent_can_be_differentiated_by():
    x, c = tensor(X, requires_grad=True), tensor(rng(1).standard_normal(4), requires_grad=True)
    product = minigen.grad(f(x), x, create_graph=True, cotangent=c)
    t = rng(2).standard_normal(3)
    np.testing.assert_allclose(minigen.grad(product, c, cotangent=t).data, complex_step(f_numpy, X) @ t, rtol=1e-12)


def test_a_cotangent_takes_the_dtype_of_the_value():
    x = tensor(X.astype(np.float32), requires_grad=True)
    assert minigen.grad(x * 2.0, x, cotangent=np.ones(3)).dtype == np.float32
    assert minigen.grad(x * 2.0, x, True, np.ones(3, np.int64)).dtype == np.float32
    (x * 2.0).backward(gradient=tensor(np.ones(3)))
    assert x.grad.dtype == np.float32


def test_wrong_cotangents():
    x = tensor(X, requires_grad=True)
    y = x * 2.0
    with pytest.raises(ValueError, match=r"shape \(2,\); expected that of the value, \(3,\)"):
        minigen.grad(y, x, cotangent=np.ones(2))
    with pytest.raises(ValueError, match=r"backward\(\) got gradient of shape \(\)"):
        y.backward(gradient=1.0)
    with pytest.raises(TypeError, match="real numbers"):
        minigen.grad(y, x, cotangent=np.ones(3, complex))
    with pytest.raises(TypeError, match="unequal length"):
        minigen.grad(y, x, cotangent=[[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"needs a scalar.*give cotangent="):
        minigen.grad(y, x)


def test_a_compiled_step_sees_a_cotangent():
    w = tensor(X, requires_grad=True)

    def step(c):
        return minigen.grad(ops.sin(w) * w, w, cotangent=c)

    compiled = minigen.compile(step)
    for i in range(5):
        c = rng(i).standard_normal(3)
        np.testing.assert_allclose(compiled(c).data, c * (np.cos(X) * X + np.sin(X)), rtol=1e-12)
