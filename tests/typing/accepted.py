"""A program as a user writes it, which a type checker must accept. It is not run."""

import numpy as np

import minigen
from minigen import Tensor, check, debug, nn, ops, optim, plots

rng = np.random.default_rng(0)
x: Tensor = minigen.tensor([1.0, 2.0], requires_grad=True)
y: Tensor = (2.0 * x + 1.0) / x - x**2
loss: Tensor = ops.mean(y * y)
loss.backward()
y.backward([x], gradient=np.ones(2))
slope: np.ndarray | None = x.grad
one: Tensor = minigen.grad(loss, x, create_graph=True)
several: list[Tensor] = minigen.grad(loss, [x, x])
product: Tensor = minigen.grad(y, x, cotangent=np.ones(2))

with minigen.no_grad():
    number: float = float(loss)

net = nn.Sequential(nn.Linear(2, 8, rng=rng), nn.BatchNorm1d(8, affine=False), nn.Activation("tanh"))
mlp: nn.MLP = nn.MLP([2, 16, 1], "leaky_relu", rng=rng, slope=0.1).eval().astype(np.float64)
names: dict[str, Tensor] = mlp.named_parameters()
state: dict[str, np.ndarray] = mlp.state_dict()
adam = optim.Adam(net, 1e-3)


class Blocks(nn.Module):
    def __init__(self) -> None:
        self.blocks: list[list[nn.Module]] = [
            [nn.Linear(2, 2, rng=rng)],
            [nn.SpectralLinear(2, 2, rng=rng, bias=False)],
        ]
        self.by_name = {"scale": minigen.tensor(1.0, requires_grad=True)}

    def forward(self, x: Tensor) -> Tensor:
        for row in self.blocks:
            for layer in row:
                x = layer(x)
        return x * self.by_name["scale"]


def step(batch: np.ndarray) -> Tensor:
    adam.zero_grad()
    loss: Tensor = ops.mean(ops.square(net(batch)))
    loss.backward()
    adam.step()
    return loss


compiled = minigen.compile(step)
J = minigen.jacobian(lambda z: z * z, np.ones(3))
H = minigen.hessian(lambda a, b: ops.sum(a * b), (x, x))
vector = minigen.hvp(lambda z: ops.sum(z**3), x, np.ones(2), create_graph=True)
check.gradient(lambda z: ops.exp(z), np.ones(3), rng=rng)
with debug.find_nan():
    step(np.ones((4, 2)))
print(debug.describe(loss, net, gradients=True))
plots.save(plots.graph(loss, {"x": x, "net": net}, title="A loss"), "loss.png")
