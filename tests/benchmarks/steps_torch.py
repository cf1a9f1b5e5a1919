"""PyTorch's side of steps.py: each row's step, eager with fused Adam, and the whole step through torch.compile.

torch.compile does best when it sees the step whole, gradients and Adam included; for that the gradients are taken with
torch.func, because it cannot trace those of autograd that are differentiated again.
"""

import math
import os
import tempfile

import torch
from rows import BETAS, EPS, LEAPFROG, LR, PENALTY, SLOPE, TORCH, TORCH_BY_HAND, TORCH_COMPILED
from torch import nn
from torch.func import functional_call, grad_and_value, vjp
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from worker import Job, serve

# One loss for each optimiser of a row; it takes the networks, then the data, then the draws.


def regression(nets, x, y):
    return F.mse_loss(nets.net(x), y)


def discriminator(nets, real, noise, _):
    with torch.no_grad():
        fakes = nets.generator(noise)
    ones, bce = torch.ones(len(real), 1), F.binary_cross_entropy_with_logits
    return bce(nets.discriminator(real), ones) + bce(nets.discriminator(fakes), torch.zeros_like(ones))


def generator(nets, real, _, noise):
    logits = nets.discriminator(nets.generator(noise))
    return F.binary_cross_entropy_with_logits(logits, torch.ones(len(real), 1))


def vae(nets, x, noise):
    mean, log_sd = nets.encoder(x).chunk(2, dim=1)
    sd = log_sd.exp()
    kl = 0.5 * (mean**2 + sd**2 - 2 * log_sd - 1).sum()
    error = (x - nets.decoder(mean + sd * noise)) * torch.exp(-nets.log_sd)
    n, d = x.shape
    return (0.5 * (error**2).sum() + kl) / n + nets.log_sd.sum() + 0.5 * d * math.log(2 * math.pi)


def energy(nets, real, fakes):
    x = real.detach().requires_grad_()
    u = nets.energy(x)
    (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return u.mean() - nets.energy(fakes).mean() + PENALTY * (gradient**2).sum(dim=1).mean()


def energy_traced(nets, real, fakes):
    u, back = vjp(nets.energy, real)
    (gradient,) = back(torch.ones_like(u))
    return u.mean() - nets.energy(fakes).mean() + PENALTY * (gradient**2).sum(dim=1).mean()


def classifier(nets, x, labels):
    return F.cross_entropy(nets.net(x), labels)


LOSSES = {
    "W1": [(["net"], regression)],
    "W2": [(["discriminator"], discriminator), (["generator"], generator)],
    "W3": [(["encoder", "decoder", "log_sd"], vae)],
    "W4": [(["energy"], energy)],
    "W8": [(["net"], classifier)],
}
RESTRICTED = (
    generator,
    energy,
)  # their graphs have leaves whose gradients nobody wants; saying so costs the others 4 %


def ula_start(nets, slope, x):
    return (x,)


def slope(function, x):
    """Values of a function of each chain, and their gradient by x."""
    x = x.detach().requires_grad_()
    values = function(x)
    (gradient,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), gradient


def slope_traced(function, x):
    values, back = vjp(function, x)
    return values, back(torch.ones_like(values))[0]


@torch.no_grad()
def slope_by_hand(function, x):
    """The same for a SiLU network with one output, its gradient written out."""
    *hidden, last = (layer for layer in function if isinstance(layer, nn.Linear))
    zs, sigmoids = [], []
    for layer in hidden:
        zs.append(torch.addmm(layer.bias, x, layer.weight.T))
        sigmoids.append(torch.sigmoid(zs[-1]))
        x = zs[-1] * sigmoids[-1]
    values, gradient = torch.addmm(last.bias, x, last.weight.T), last.weight
    for layer, z, s in zip(hidden[::-1], zs[::-1], sigmoids[::-1]):
        gradient = (gradient * s * (1 + z * (1 - s))) @ layer.weight
    return values, gradient


def ula(nets, slope, h, x, noise):
    return (x - h * slope(nets.energy, x)[1] + math.sqrt(2 * h) * noise,)


def mala_start(nets, slope, z):
    """The state of the chains: z, the potential U(G(z)) + |z|^2 / 2 or U(z), its gradient."""
    if not hasattr(nets, "generator"):
        values, gradient = slope(nets.energy, z)
        return z, values.squeeze(1), gradient
    return z, *slope(lambda z: nets.energy(nets.generator(z)).squeeze(1) + 0.5 * (z**2).sum(dim=1), z)


def mala(nets, slope, h, z, potential, gradient, noise, uniform):
    proposal, new_potential, new_gradient = mala_start(nets, slope, z - h * gradient + math.sqrt(2 * h) * noise)
    there = 0.5 * (noise**2).sum(dim=1)  # -log q(proposal | z) up to a constant
    back = ((z - proposal + h * new_gradient) ** 2).sum(dim=1) / (4 * h)
    accepted = torch.log1p(-uniform) < potential - new_potential + there - back
    return chosen(accepted, (proposal, new_potential, new_gradient), (z, potential, gradient))


def hmc(nets, slope, h, x, potential, gradient, noise, uniform):
    y, momentum = x, noise - h / 2 * gradient
    for i in range(LEAPFROG):
        y, new_potential, new_gradient = mala_start(nets, slope, y + h * momentum)
        momentum = momentum - (h if i < LEAPFROG - 1 else h / 2) * new_gradient
    kinetic = 0.5 * (momentum**2 - noise**2).sum(dim=1)
    accepted = torch.log1p(-uniform) < potential - new_potential - kinetic
    return chosen(accepted, (y, new_potential, new_gradient), (x, potential, gradient))


def chosen(accepted, new, old):
    """The new state of the chains that accepted, the old one of the others."""
    (z, potential, gradient), rows = old, accepted[:, None]
    proposal, new_potential, new_gradient = new
    return (
        torch.where(rows, proposal, z),
        torch.where(accepted, new_potential, potential),
        torch.where(rows, new_gradient, gradient),
    )


SAMPLERS = {
    **{name: (ula_start, ula) for name in ("W5", "ULA")},
    **{name: (mala_start, mala) for name in ("W6", "MALA")},
    "HMC": (mala_start, hmc),
}
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "leaky_relu": lambda: nn.LeakyReLU(SLOPE)}


def mlp(net):
    """The network with its initial weights."""
    layers = []
    for weight, bias in net.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        layers += [linear, ACTIVATIONS[net.activation]()]
    return nn.Sequential(*layers[:-1])


class Nets:
    """Networks and loose parameters by name."""

    def __init__(self, parts):
        for name, part in parts.items():
            setattr(self, name, part)


def networks(row):
    nets = {name: mlp(net) for name, net in row.nets.items()}
    return nets | {name: nn.Parameter(torch.tensor(value)) for name, value in row.free.items()}


def drawing(row):
    """A function that makes the draws of one step."""
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return lambda: [draw[kind](shape) for kind, shape in row.draws]


def from_numpy(arrays):
    return [torch.from_numpy(array) for array in arrays]


def training_job(step, tensors, data, draw):
    """The Job of `step(*data, *noise)`, which changes these tensors and returns losses."""
    initial = [each.detach().clone() for each in tensors]

    @torch.no_grad()
    def reset():
        for each, value in zip(tensors, initial):
            each.copy_(value)

    def one(noise):
        return [loss.item() for loss in step(*data, *noise)]

    return Job(reset, lambda: one(draw()), lambda *noise: one(from_numpy(noise)))


def training(row):
    """The whole training step of a row."""
    parts = networks(row)
    nets, groups, tensors = Nets(parts), [], []
    for names, loss in LOSSES[row.name]:
        trained = [p for name in names for p in (parts[name].parameters() if name in row.nets else [parts[name]])]
        optimizer = torch.optim.Adam(trained, lr=LR, betas=BETAS, eps=EPS, fused=True)
        groups.append((trained, optimizer, loss))

    def step(*arrays):
        losses = []
        for trained, optimizer, loss_of in groups:
            optimizer.zero_grad()
            loss = loss_of(nets, *arrays)
            loss.backward(inputs=trained if loss_of in RESTRICTED else None)
            optimizer.step()
            losses.append(loss)
        return losses

    for trained, optimizer, _ in groups:  # so that the moments exist
        for p in trained:
            p.grad = torch.zeros_like(p)
        optimizer.step()
        tensors += trained + [moment.zero_() for state in optimizer.state.values() for moment in state.values()]
    return training_job(step, tensors, from_numpy(row.data), drawing(row))


def training_compiled(row):
    """The whole training step of a row as a function of parameters and moments, with an Adam in plain operations."""
    modules = networks(row)
    values = {
        name: {key: p.detach() for key, p in each.named_parameters()} if name in row.nets else each.detach()
        for name, each in modules.items()
    }
    zeros = lambda: pytree.tree_map(torch.zeros_like, values)
    state = values, zeros(), zeros(), torch.zeros(())

    def objective(trained, others, loss_of, arrays):
        parts = {**others, **trained}
        calls = {name: lambda x, name=name: functional_call(modules[name], parts[name], (x,)) for name in row.nets}
        return loss_of(Nets({**parts, **calls}), *arrays)

    @torch.compile(fullgraph=True)
    def step(state, *arrays):
        values, means, squares, t = state
        t.add_(1)
        rate, correction = (-1 / torch.expm1(t * math.log(beta)) for beta in BETAS)  # 1 - beta^t without cancellation
        losses = []
        for names, loss_of in LOSSES[row.name]:
            trained = {name: values[name] for name in names}
            loss_of = energy_traced if loss_of is energy else loss_of
            gradients, loss = grad_and_value(objective)(trained, values, loss_of, arrays)
            for name in names:
                for p, g, mean, square in zip(
                    *(pytree.tree_leaves(tree[name]) for tree in (values, gradients, means, squares))
                ):
                    mean.mul_(BETAS[0]).add_(g, alpha=1 - BETAS[0])
                    square.mul_(BETAS[1]).addcmul_(g, g, value=1 - BETAS[1])
                    p.sub_(LR * rate * mean / ((correction * square).sqrt() + EPS))
            losses.append(loss)
        return losses

    return training_job(
        lambda *arrays: step(state, *arrays), pytree.tree_leaves(state), from_numpy(row.data), drawing(row)
    )


def sampling(row, slope, compile):
    """Many steps of all chains of a row; `compile` makes one function from another."""
    nets, draw, state = Nets({name: net.requires_grad_(False) for name, net in networks(row).items()}), drawing(row), []
    start, step = SAMPLERS[row.name]
    fast = compile(lambda *arrays: step(nets, slope, row.step_size, *arrays))

    def reset():
        state[:] = start(nets, slope, *from_numpy(row.data))

    def one(noise):
        state[:] = fast(*state, *noise)
        return state[0].numpy()

    def steps():
        for _ in range(row.steps):
            one(draw())

    return Job(reset, steps, lambda *noise: one(from_numpy(noise)))


def eager(row):
    return training(row) if row.name in LOSSES else sampling(row, slope, lambda function: function)


def compiled(row):
    torch.compiler.reset()
    return training_compiled(row) if row.name in LOSSES else sampling(row, slope_traced, torch.compile)


def by_hand(row):
    return sampling(row, slope_by_hand, lambda function: function)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # an empty cache: the first call is to compile
        serve(
            {TORCH: eager, TORCH_COMPILED: compiled, TORCH_BY_HAND: by_hand},
            {"PyTorch": torch.__version__, "threads": torch.get_num_threads()},
        )
