"""Are entropies and informations the numbers they are said to be? Against closed forms, integrals, other libraries."""

import math

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.metrics import log_loss

import minigen
from minigen import nn, ops, optim
from minigen.models.entropy import InfoGANBound, JSDInformation, exact_entropy, jacobian, noise_entropy

NORMAL = 0.5 * math.log(2 * math.pi * math.e)  # entropy of N(0, 1)


def rng(seed=0):
    return np.random.default_rng(seed)


def network(k, d):
    return nn.MLP([k, 7, d], "tanh", rng=rng(1)).astype(np.float64)


def trained(measure, n=512, steps=1500, noise_sd=0.5, seed=0):
    """The network after learning from pairs z, x = 2 z_1 + noise; and 20 000 fresh pairs."""
    generator, adam = rng(seed), optim.Adam(measure, optim.cosine_decay(3e-3, steps))

    def pairs(n):
        z = ops.normal(generator, (n, 2))
        return ops.add(z[:, :1] * np.float32(2), ops.normal(generator, (n, 1)) * np.float32(noise_sd)), z

    @minigen.compile
    def step():
        measure.zero_grad()
        loss = measure(*pairs(n))
        loss.backward(measure.parameters())
        adam.step()
        return loss

    losses = [step().item() for _ in range(steps)]
    return losses, pairs(20_000)


# --- the exact entropy


@pytest.mark.parametrize("k, d", [(2, 2), (3, 2), (2, 4), (1, 1)])
def test_jacobian_agrees_with_finite_differences(k, d):
    function, Z = network(k, d), rng(2).standard_normal((5, k))
    J, h = jacobian(function, Z), 1e-6
    assert J.shape == (5, d, k)
    for b in range(k):
        step = np.eye(k)[b] * h
        expected = (function(Z + step).data - function(Z - step).data) / (2 * h)
        np.testing.assert_allclose(J[:, :, b], expected, atol=1e-8)


def test_of_a_linear_map_it_is_that_of_the_normal_distribution():
    A = rng(3).standard_normal((3, 3))
    found, error = exact_entropy(lambda z: ops.matmul(z, A.T), rng(4).standard_normal((10, 3)))
    assert abs(found - stats.multivariate_normal(np.zeros(3), A @ A.T).entropy()) < 1e-10
    assert error < 1e-12


def test_of_a_plane_in_space_it_is_the_one_within_the_plane():
    plane, A = np.linalg.qr(rng(5).standard_normal((4, 2)))[0], rng(6).standard_normal((2, 2))
    found, _ = exact_entropy(lambda z: ops.matmul(z, (plane @ A).T), rng(4).standard_normal((10, 2)))
    assert abs(found - stats.multivariate_normal(np.zeros(2), A @ A.T).entropy()) < 1e-10


def test_of_an_exponential_it_is_that_of_the_log_normal_distribution():
    Z = rng(7).standard_normal((4000, 2))
    found, error = exact_entropy(lambda z: ops.exp(ops.multiply(z, [0.5, 1.5])), Z)
    expected = stats.lognorm(0.5).entropy() + stats.lognorm(1.5).entropy()
    assert 0 < error < 0.05 and abs(found - expected) < 4 * error


def test_a_flat_generator_has_entropy_minus_infinity():
    found, error = exact_entropy(lambda z: ops.multiply(z, [1.0, 0.0]), rng().standard_normal((10, 2)))
    assert found == -math.inf and math.isnan(error)


def test_fewer_outputs_than_latents_are_refused():
    with pytest.raises(ValueError, match=r"2 outputs from 3 latents"):
        exact_entropy(network(3, 2), np.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"from shape \(4, 3\) to \(4,\)"):
        jacobian(lambda z: ops.sum(z, axis=1), np.zeros((4, 3)))


def test_noise_entropy_is_the_normal_distributions():
    assert abs(noise_entropy(3, 0.2) - 3 * stats.norm(scale=0.2).entropy()) < 1e-12
    with pytest.raises(ValueError, match="noise_sd=0"):
        noise_entropy(3, 0)


# --- information


def test_the_statistics_networks_loss_is_its_cross_entropy():
    measure = JSDInformation(1, 2, (8,), rng=rng()).astype(np.float64)
    x, z = rng(1).standard_normal((6, 1)), rng(2).standard_normal((6, 2))
    others = z[[1, 2, 3, 4, 5, 0]]
    logits = np.concatenate([measure.statistics(np.hstack([x, latent])).data[:, 0] for latent in (z, others)])
    expected = 2 * log_loss(np.repeat([1, 0], 6), 1 / (1 + np.exp(-logits)))
    assert abs(measure(x, z).item() - expected) < 1e-12


def test_the_encoders_loss_is_half_the_squared_distance():
    measure = InfoGANBound(1, 2, (8,), rng=rng()).astype(np.float64)
    x, z = rng(1).standard_normal((6, 1)), rng(2).standard_normal((6, 2))
    expected = np.mean(np.linalg.norm(z - measure.encoder(x).data, axis=1) ** 2) / 2
    assert abs(measure(x, z).item() - expected) < 1e-12


@pytest.mark.parametrize("kind", [JSDInformation, InfoGANBound])
def test_both_pass_their_gradient_to_the_samples(kind):
    measure = kind(1, 2, (8,), rng=rng()).astype(np.float64)
    x, z = minigen.tensor(rng(1).standard_normal((6, 1)), requires_grad=True), rng(2).standard_normal((6, 2))
    slope = minigen.grad(measure(x, z), x).data
    direction, h = rng(3).standard_normal((6, 1)), 1e-6
    ahead, behind = (measure(x.data + sign * h * direction, z).item() for sign in (1, -1))
    assert abs(np.sum(slope * direction) - (ahead - behind) / (2 * h)) < 1e-8


def joint_and_product(x, z1, sd):
    """Densities of (x, z_1) with x = 2 z_1 + sd noise, together and apart."""
    return stats.norm.pdf(z1) * stats.norm.pdf(x, 2 * z1, sd), stats.norm.pdf(z1) * stats.norm.pdf(
        x, 0, math.sqrt(4 + sd**2)
    )


def test_the_jsd_estimate_finds_the_information_and_its_loss_the_divergence():
    measure = JSDInformation(1, 2, (32, 32), rng=rng())
    losses, (x, z) = trained(measure)
    expected = 0.5 * math.log(1 + 4 / 0.5**2)  # of the Gaussian channel: 1.42 nats
    assert abs(measure.information(x, z) - expected) < 0.1

    def least(z1, x):
        p, q = joint_and_product(x, z1, 0.5)
        return p * math.log1p(q / p) + q * math.log1p(p / q) if p > 1e-200 else 0.0

    best = integrate.dblquad(least, -9, 9, -4.5, 4.5, epsabs=1e-6)[0]
    assert -0.005 < np.mean(losses[-300:]) - best < 0.03


def test_the_encoder_reaches_the_bound_of_the_gaussian_channel():
    measure = InfoGANBound(1, 2, (32, 32), rng=rng())
    _, (x, z) = trained(measure)
    expected = 0.5 * math.log(1 + 4 / 0.5**2)  # z_2 tells nothing
    assert expected - 0.05 < measure.information(x, z) < expected + 0.02


def test_entropy_is_information_and_the_noises_entropy():
    noise = 0.5
    information = 0.5 * math.log(1 + 4 / noise**2)
    assert abs(information + noise_entropy(1, noise) - stats.norm(scale=math.sqrt(4 + noise**2)).entropy()) < 1e-12
