"""Nearest neighbours against brute force, wherever the data lie."""

import numpy as np
import pytest
from clouds import cloud, rng
from scipy.spatial.distance import cdist

from minigen import metrics
from minigen.metrics import (
    classifier_two_sample_test,
    interpolation_smoothness,
    linear_interpolation,
    memorisation_test,
    mode_coverage,
    neighbours,
    precision_recall,
    spherical_interpolation,
)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_neighbours_are_those_of_brute_force(d):
    samples, among = cloud(2, 40, d) + 1e5, cloud(3, 60, d) + 1e5  # far from the origin, where cancellation bites
    for k in (1, 5, 60):
        distances, indices = metrics.nearest_neighbours(samples, among, k)
        truth = cdist(samples, among)
        np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :k], rtol=1e-9)
        np.testing.assert_array_equal(indices, np.argsort(truth, axis=1)[:, :k])


def test_lists_are_taken_as_arrays():
    a, b, c = cloud(1, 30), cloud(2, 28), cloud(3, 25)
    path = np.stack([a, a + 1, a + 3])
    for f, arrays in [
        (lambda x, y: metrics.nearest_neighbours(x, y, 2), (a, b)),
        (lambda x, y: vars(mode_coverage(x, y, 0.5)), (a, b)),
        (lambda x, y: precision_recall(x, y, 2), (a, b)),
        (lambda x, y, z: vars(memorisation_test(x, y, z)), (a, b, c)),
        (lambda x, y: vars(classifier_two_sample_test(x, y, rng())), (a, b)),
        (lambda x, y: linear_interpolation(x, y, 3), (a, a + 1)),
        (lambda x, y: spherical_interpolation(x, y, 3), (a, a + 1)),
        (lambda x: interpolation_smoothness(np.square, x), (path,)),
        (metrics.nearest_distances, (a, b)),
        (metrics.nearest_neighbour_ratio, (a, b, c)),
    ]:
        np.testing.assert_equal(f(*(array.tolist() for array in arrays)), f(*arrays))


def test_blocks_change_nothing(monkeypatch):
    a, b, c = cloud(1, 70), cloud(2, 50), cloud(3, 60)
    before = precision_recall(a, b), memorisation_test(a, b, c)
    monkeypatch.setattr(neighbours, "BLOCK", 130)
    assert (precision_recall(a, b), memorisation_test(a, b, c)) == before


def test_nearest_distances_against_scipy():
    r = rng(14)
    samples, training = r.standard_normal((2050, 3)), r.standard_normal((70, 3))
    samples[7] = training[11]
    samples[9, 1] = np.nan
    expected = cdist(np.nan_to_num(samples), training).min(axis=1)
    expected[9] = np.inf
    np.testing.assert_allclose(metrics.nearest_distances(samples, training), expected, rtol=1e-12)
    assert metrics.nearest_distances(samples, training)[7] == 0


WHOLE = np.array([[10, 7], [200, 3], [0, 255]])
AMONG = np.array([[20, 7], [190, 1], [255, 255], [0, 0]])


@pytest.mark.parametrize("kind", ["u1", "u2", "u8", "i2", "f2", "f4", "bool", object])
def test_numbers_of_any_kind_become_floats_and_never_wrap(kind):
    samples, among = WHOLE.astype(kind), AMONG.astype(kind)
    truth = cdist(samples.astype(float), among.astype(float))
    distances, _ = metrics.nearest_neighbours(samples, among, 4)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1))
    np.testing.assert_allclose(metrics.nearest_distances(samples, among), truth.min(axis=1))


def test_tables_are_taken_and_masked_or_missing_values_refused():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(WHOLE, columns=["a", "b"]).astype({"a": "UInt8", "b": "Int64"})
    expected = cdist(WHOLE, AMONG).min(axis=1)
    np.testing.assert_allclose(metrics.nearest_distances(table, AMONG), expected)
    table.loc[1, "a"] = pandas.NA
    with pytest.raises(ValueError, match=r"samples with 1 missing value\(s\)"):
        metrics.nearest_distances(table, AMONG)
    with pytest.raises(ValueError, match=r"training with 1 masked value\(s\)"):
        metrics.nearest_distances(WHOLE, np.ma.masked_equal(AMONG, 20))


@pytest.mark.parametrize("far", [1e3, 1e8, 1e12])
def test_neighbours_in_a_cluster_far_from_the_others_are_exact(far):
    """Two clusters, each a million times finer than the gap between them: no centre is near to both."""
    step = far * 1e-7
    corner = np.repeat([[0.0, 0.0], [far, -far]], 40, axis=0)
    among = corner + step * rng(3).standard_normal((80, 2))
    samples = corner[::2] + 2 * step * rng(4).standard_normal((40, 2))
    distances, indices = metrics.nearest_neighbours(samples, among, 3)
    truth = cdist(samples, among)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :3], rtol=1e-12)
    np.testing.assert_array_equal(indices, np.argsort(truth, axis=1)[:, :3])
    reach = np.sort(cdist(among, among), axis=1)[:, 3]
    inside = np.mean(np.any(truth <= reach, axis=1))
    assert 0.1 < inside < 1 and precision_recall(samples, among)[0] == inside


UNITS = [2.0**-1000, 2.0**-660, 1.0, 2.0**530, 2.0**960]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("offset", [0.0, 2.0**30, -(2.0**42)])
def test_the_unit_and_the_offset_do_not_matter(unit, offset):
    on_grid = lambda seed, n: np.round(cloud(seed, n) * 2**10) / 2**10  # so that an offset takes no digit away
    plain = on_grid(1, 60), on_grid(2, 70), on_grid(3, 65)
    moved = tuple((x + offset) * unit for x in plain)
    a, b = moved[:2]
    distances, indices = metrics.nearest_neighbours(a, b, 4)
    truth = cdist(plain[0], plain[1])
    np.testing.assert_allclose(distances / unit, np.sort(truth, axis=1)[:, :4], rtol=1e-12)
    np.testing.assert_allclose(np.take_along_axis(truth, indices, axis=1) * unit, distances, rtol=1e-12)
    assert precision_recall(a, b) == precision_recall(*plain[:2])
    assert memorisation_test(*moved) == memorisation_test(*plain)
    assert metrics.nearest_neighbour_ratio(*moved) == pytest.approx(metrics.nearest_neighbour_ratio(*plain), rel=1e-12)
    assert classifier_two_sample_test(a, b, rng()) == classifier_two_sample_test(*plain[:2], rng())
    found, expected = (mode_coverage(x, y[:6], 0.25 * u) for x, y, u in ((a, b, unit), (*plain[:2], 1.0)))
    np.testing.assert_equal(vars(found), vars(expected))
    assert metrics.ks_statistic(a, b) == metrics.ks_statistic(*plain[:2])


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_does_not_matter_to_interpolations(unit):
    start, end = cloud(1, 6), cloud(2, 6)
    for interpolate in (linear_interpolation, spherical_interpolation):
        found = interpolate(start * unit, end * unit, 5)
        np.testing.assert_allclose(found / unit, interpolate(start, end, 5), rtol=1e-12)


def test_many_equal_distances_are_all_right():
    """Whole numbers on a grid and data with many copies, where more rows tie than there are candidates."""
    grid = np.stack(np.meshgrid(np.arange(7), np.arange(7)), axis=-1).reshape(-1, 2)
    many = np.repeat(grid, 30, axis=0)
    distances, indices = metrics.nearest_neighbours(grid, many, 31)
    truth = cdist(grid, many)
    np.testing.assert_allclose(distances, np.sort(truth, axis=1)[:, :31])
    np.testing.assert_allclose(np.take_along_axis(truth, indices, axis=1), distances)
    assert all(len(set(row)) == 31 for row in indices)
