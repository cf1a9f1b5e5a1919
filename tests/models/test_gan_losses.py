"""Are the losses those of the papers, and are the penalties and their derivatives right, example by example?"""

import numpy as np
import pytest
from scipy import special, stats

from minigen import check, grad, ops, tensor
from minigen.models import gan_losses
from minigen.models.gan_losses import (
    LOSSES,
    input_gradient,
    interpolates,
    packed,
    unit_norm_penalty,
    zero_centred_penalty,
)

ALL = pytest.mark.parametrize("name", LOSSES)


def rng(seed=0):
    return np.random.default_rng(seed)


# Losses ---------------------------------------------------------------------------------------------------------------


def by_hand(name, real, fake):
    """Critic's and generator's loss in plain NumPy."""
    log_d, log_not = (lambda l: -np.logaddexp(0, -l)), (lambda l: -np.logaddexp(0, l))
    classify = -log_d(real).mean() - log_not(fake).mean()
    return {
        "minimax": (classify, log_not(fake).mean()),
        "non_saturating": (classify, -log_d(fake).mean()),
        "maximum_likelihood": (classify, -np.exp(fake).mean()),
        "hinge": (np.clip(1 - real, 0, None).mean() + np.clip(1 + fake, 0, None).mean(), -fake.mean()),
        "wasserstein": (fake.mean() - real.mean(), -fake.mean()),
    }[name]


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [((7, 1), (7, 1)), ((5,), (9,))])
def test_losses_by_hand(name, dtype, shapes):
    real, fake = (2 * rng(i).standard_normal(shape).astype(dtype) for i, shape in enumerate(shapes))
    critic, generator = by_hand(name, real.astype(float), fake.astype(float))
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    loss = LOSSES[name]
    for given in (lambda x: x, tensor):
        np.testing.assert_allclose(np.asarray(loss.critic(given(real), given(fake))), critic, rtol=tolerance)
        np.testing.assert_allclose(np.asarray(loss.generator(given(fake))), generator, rtol=tolerance)


@ALL
@pytest.mark.parametrize("real", [-1000.0, 1000.0])
@pytest.mark.parametrize("fake", [-1000.0, 1000.0])
@pytest.mark.filterwarnings("ignore:overflow")
def test_losses_at_extreme_logits(name, real, fake):
    l_real = tensor(np.array([[real], [0.5]], np.float32), requires_grad=True)
    l_fake = tensor(np.array([[fake], [0.5]], np.float32), requires_grad=True)
    with np.errstate(over="ignore"):
        expected = by_hand(name, l_real.data.astype(float), l_fake.data.astype(float))
    values = LOSSES[name].critic(l_real, l_fake), LOSSES[name].generator(l_fake)
    np.testing.assert_allclose([v.item() for v in values], expected, rtol=1e-6)
    assert np.isfinite([g.data for g in grad(values[0], [l_real, l_fake])]).all()
    if (name, fake) == ("maximum_likelihood", 1000.0):
        assert values[1].item() == -np.inf  # exp(1000) is no number, and fit() says so
    else:
        assert np.isfinite(grad(values[1], l_fake).data).all()


@ALL
def test_derivatives_of_the_losses(name):
    real, fake = rng(1).standard_normal((6, 1)), rng(2).standard_normal((6, 1))
    check.gradient(lambda a, b: [LOSSES[name].critic(a, b), LOSSES[name].generator(b)], real, fake, rng=rng(3))


@ALL
def test_twice_the_batch_is_the_same_loss(name):
    real, fake = rng(1).standard_normal((5, 1)), rng(2).standard_normal((5, 1))
    once = LOSSES[name].critic(real, fake), LOSSES[name].generator(fake)
    real, fake = np.tile(real, (2, 1)), np.tile(fake, (2, 1))
    np.testing.assert_allclose((LOSSES[name].critic(real, fake), LOSSES[name].generator(fake)), once, rtol=1e-12)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "maximum_likelihood"])
@pytest.mark.parametrize("p, q", [([3, 5, 2], [3, 5, 2]), ([6, 3, 1], [2, 3, 5])])
def test_at_the_best_tabulated_critic(name, p, q):
    p, q = np.array(p), np.array(q)
    table = tensor(np.log(p / q), requires_grad=True)
    real, fake = np.repeat(np.arange(3), p), np.repeat(np.arange(3), q)
    loss = LOSSES[name].critic(ops.getitem(table, real), ops.getitem(table, fake))
    middle = (p + q) / 20
    jensen_shannon = (stats.entropy(p / 10, middle) + stats.entropy(q / 10, middle)) / 2
    np.testing.assert_allclose(-loss.item(), 2 * jensen_shannon - np.log(4), rtol=1e-12)
    np.testing.assert_allclose(grad(loss, table).data, 0, atol=1e-15)
    if (p == q).all():
        np.testing.assert_allclose(-loss.item(), -np.log(4), rtol=1e-12)


def test_with_the_best_critic_maximum_likelihood_has_the_gradient_of_the_likelihood():
    # p = N(0, 1) and q = N(m, 1): log p/q = m^2/2 - m x, KL(p || q) = m^2/2, and its derivative is m.
    m, z = 0.7, special.ndtri((np.arange(100000) + 0.5) / 100000)
    shift = tensor(np.float64(m), requires_grad=True)
    logits = ops.subtract(m * m / 2, ops.multiply(ops.add(shift, z), m))
    slope = grad(LOSSES["maximum_likelihood"].generator(logits), shift).item()
    np.testing.assert_allclose(slope, m, rtol=1e-4)


def test_where_the_critic_is_sure_only_minimax_stands_still():
    slopes = {}
    for name, loss in LOSSES.items():
        logits = tensor(np.full((1, 1), -20.0), requires_grad=True)
        slopes[name] = grad(loss.generator(logits), logits).item()
    np.testing.assert_allclose(slopes["minimax"], -special.expit(-20), rtol=1e-9)
    np.testing.assert_allclose(slopes["non_saturating"], -special.expit(20), rtol=1e-9)
    np.testing.assert_allclose(slopes["maximum_likelihood"], -np.exp(-20), rtol=1e-9)
    assert slopes["hinge"] == slopes["wasserstein"] == -1


# Penalties ------------------------------------------------------------------------------------------------------------

WEIGHTS = [
    rng(4).standard_normal((6, 3)),
    rng(5).standard_normal(6),
    0.4 * rng(6).standard_normal((1, 6)),
    np.array([0.3]),
]
X = rng(7).standard_normal((5, 3))
PENALTIES = {
    "two-sided": lambda g: unit_norm_penalty(g),
    "one-sided": lambda g: unit_norm_penalty(g, one_sided=True),
    "zero-centred": zero_centred_penalty,
}
EACH = pytest.mark.parametrize("penalty", PENALTIES)


def critic(x, W, b, w, c):
    return ops.linear(ops.linear(x, W, b, activation="tanh"), w, c)


def penalty_of(penalty, weights, x=X):
    x = tensor(x, requires_grad=True)
    return PENALTIES[penalty](input_gradient(critic(x, *weights), x))


def gradients_by_hand(weights, x=X):
    """d critic / dx for one example after the other, (n, d)."""
    W, b, w, _ = weights
    return np.array([W.T @ (w[0] * (1 - np.tanh(W @ row + b) ** 2)) for row in x])


def penalties_by_hand(penalty, gradients):
    norms = np.array([np.sqrt(g @ g) for g in gradients])
    return {
        "two-sided": (norms - 1) ** 2,
        "one-sided": np.where(norms > 1, (norms - 1) ** 2, 0),
        "zero-centred": norms**2 / 2,
    }[penalty]


@EACH
def test_penalties_by_hand(penalty):
    gradients = gradients_by_hand(WEIGHTS)
    norms = np.linalg.norm(gradients, axis=1)
    assert (norms < 1).any() and (norms > 1).any()  # so that one side and two differ
    expected = penalties_by_hand(penalty, gradients)
    np.testing.assert_allclose(penalty_of(penalty, WEIGHTS_ON_TAPE()).item(), expected.mean(), rtol=1e-12)
    for i in range(len(X)):  # each example has its own, whatever is beside it
        np.testing.assert_allclose(
            penalty_of(penalty, WEIGHTS_ON_TAPE(), X[i : i + 1]).item(), expected[i], rtol=1e-12, atol=1e-15
        )


def WEIGHTS_ON_TAPE():
    return [tensor(w, requires_grad=True) for w in WEIGHTS]


@EACH
def test_derivatives_of_the_penalties_by_the_weights(penalty):
    # The last bias has no part in any gradient by x.
    check.gradient(lambda *weights: penalty_of(penalty, [*weights, tensor(WEIGHTS[3])]), *WEIGHTS[:3], rng=rng(8))


@EACH
def test_penalties_agree_with_pytorch(penalty):
    torch = pytest.importorskip("torch")
    ours = WEIGHTS_ON_TAPE()[:3]
    slopes = grad(penalty_of(penalty, [*ours, tensor(WEIGHTS[3])]), ours)
    W, b, w = (torch.tensor(each, requires_grad=True) for each in WEIGHTS[:3])
    x = torch.tensor(X, requires_grad=True)
    (g,) = torch.autograd.grad((torch.tanh(x @ W.T + b) @ w.T).sum(), x, create_graph=True)
    norm = g.norm(2, dim=1)
    value = {
        "two-sided": ((norm - 1) ** 2).mean(),
        "one-sided": (torch.relu(norm - 1) ** 2).mean(),
        "zero-centred": (g**2).sum(1).mean() / 2,
    }[penalty]
    for ours, theirs in zip(slopes, torch.autograd.grad(value, (W, b, w))):
        np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-10, atol=1e-14)


@EACH
@pytest.mark.parametrize("zero", ["last layer", "first layer"])
def test_at_a_zero_gradient_nothing_is_nan(penalty, zero):
    weights = WEIGHTS_ON_TAPE()
    weights[2 if zero == "last layer" else 0].data[...] = 0
    value = penalty_of(penalty, weights)
    assert value.item() == {"two-sided": 1, "one-sided": 0, "zero-centred": 0}[penalty]
    for slope in grad(value, weights[:3:2]):
        np.testing.assert_array_equal(slope.data, 0)


def test_one_dead_example_leaves_the_others_their_derivative():
    def penalty(x):
        W = tensor(np.array([[1.0, 2.0]]), requires_grad=True)
        x = tensor(x, requires_grad=True)
        return grad(unit_norm_penalty(input_gradient(ops.relu(ops.matmul(x, ops.transpose(W))), x)), W).data

    alive, dead = np.array([[1.0, 1.0]]), np.array([[-1.0, -1.0]])
    # (|W| - 1)^2 has the gradient 2 (|W| - 1) W / |W|.
    expected = 2 * (np.sqrt(5) - 1) / np.sqrt(5) * np.array([[1.0, 2.0]])
    np.testing.assert_allclose(penalty(alive), expected, rtol=1e-12)
    np.testing.assert_allclose(penalty(np.vstack([alive, dead])), expected / 2, rtol=1e-12)


def test_interpolates_mix_each_pair_at_a_place_of_its_own():
    real, fake = rng(9).standard_normal((4000, 3)), rng(10).standard_normal((4000, 3)) + 4
    between = interpolates(real, fake, rng(11))
    places = (between - fake) / (real - fake)
    np.testing.assert_allclose(places, np.repeat(places[:, :1], 3, axis=1), rtol=1e-6, atol=1e-9)
    assert stats.kstest(places[:, 0], "uniform").pvalue > 1e-3
    assert interpolates(real.astype(np.float32), fake.astype(np.float32), rng(11)).dtype == np.float32


def test_packed_keeps_neighbours_together():
    np.testing.assert_array_equal(packed(np.arange(12.0).reshape(6, 2), 3), np.arange(12.0).reshape(2, 6))
    x = np.ones((4, 2))
    assert packed(x, 1) is x


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: packed(x, 4), "5 examples for packs of 4"),
        (lambda x: interpolates(x, x[:3], rng()), r"\(5, 3\) and \(3, 3\)"),
        (lambda x: input_gradient(tensor(x), tensor(x, requires_grad=True)), "one value for each row"),
    ],
)
def test_misuse(call, words):
    with pytest.raises(ValueError, match=words):
        call(X)
    with pytest.raises(TypeError, match="default_rng"):
        gan_losses.interpolates(X, X, 0)
