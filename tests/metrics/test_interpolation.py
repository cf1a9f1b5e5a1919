"""Interpolations against closed forms, and how smooth a decoder is along them."""

import numpy as np
import pytest
from clouds import rng

from minigen.metrics import (
    interpolation_smoothness,
    linear_interpolation,
    spherical_interpolation,
)


def test_interpolations_begin_and_end_where_they_should():
    start, end = rng(1).standard_normal((6, 5)), rng(2).standard_normal((6, 5))
    for interpolate in (linear_interpolation, spherical_interpolation):
        path = interpolate(start, end, 4)
        assert path.shape == (5, 6, 5)
        np.testing.assert_allclose(path[[0, -1]], [start, end], rtol=1e-12)
    np.testing.assert_allclose(linear_interpolation(start, end, 4)[1], 0.75 * start + 0.25 * end)


def test_spherical_interpolation_turns_evenly_at_the_same_norm():
    r = rng(3)
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in r.standard_normal((2, 20, 4)))
    path = spherical_interpolation(3 * u, 3 * v, 7)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 3)
    angle = np.arccos(np.sum(u * v, axis=1))
    turned = np.arccos(np.clip(np.sum(path[1:] * path[:-1], axis=2) / 9, -1, 1))
    np.testing.assert_allclose(turned, np.broadcast_to(angle / 7, (7, 20)), rtol=1e-6)
    quarter = spherical_interpolation([[1.0, 0.0]], [[0.0, 1.0]], 3)[:, 0]
    np.testing.assert_allclose(quarter, [[1, 0], [np.sqrt(3) / 2, 0.5], [0.5, np.sqrt(3) / 2], [0, 1]], atol=1e-15)
    # Nearly or wholly parallel it is the straight line, without a division by 0.
    for tilt in (0.0, 1e-9):
        np.testing.assert_allclose(spherical_interpolation([[1.0, 0]], [[2.0, tilt]], 2)[1, 0], [1.5, tilt / 2])


def test_smoothness_of_a_linear_decoder_is_the_squared_distance():
    A = rng(4).standard_normal((3, 5))
    start, end = rng(5).standard_normal((2, 8, 3))
    for steps in (1, 4, 50):
        found = interpolation_smoothness(lambda z: z @ A, linear_interpolation(start, end, steps))
        np.testing.assert_allclose(found, np.sum(((end - start) @ A) ** 2, axis=1))
    arc = interpolation_smoothness(lambda z: z, spherical_interpolation([[2.0, 0.0]], [[0.0, 2.0]], 400))
    assert arc[0] == pytest.approx(np.pi**2, rel=1e-5)  # a quarter circle of radius 2


def test_smoothness_of_a_curved_decoder_nears_its_integral_and_a_jump_grows_with_the_steps():
    start, end = np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]])
    exact = [4 / 3, 4 * (3**3 - 1) / 3 * 2]  # of (d z^2 / dt)^2 = (2 z z')^2, with z' = 1 and 2
    found = interpolation_smoothness(lambda z: z**2, linear_interpolation(start, end, 1000))
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    torn = lambda z: np.where(z > 0.55, 3.0, 0.0)
    for steps in (10, 40, 160):
        assert interpolation_smoothness(torn, linear_interpolation([[0.0]], [[1.0]], steps))[0] == 9 * steps


def test_smoothness_takes_outputs_of_any_shape():
    path = linear_interpolation(rng(6).standard_normal((3, 2)), rng(7).standard_normal((3, 2)), 5)
    flat = lambda z: np.sin(z @ np.arange(12.0).reshape(2, 6))
    shaped = interpolation_smoothness(lambda z: flat(z).reshape(-1, 2, 3), path)
    np.testing.assert_array_equal(shaped, interpolation_smoothness(flat, path))
    assert interpolation_smoothness(lambda z: z[:, 0], path).shape == (3,)
