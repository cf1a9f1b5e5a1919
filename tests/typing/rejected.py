"""Mistakes that a type checker must find: each line that ends in a comment `wrong`, and no other. It is not run."""

import numpy as np

import minigen
from minigen import Tensor, nn, plots

rng = np.random.default_rng(0)
x = minigen.tensor([1.0, 2.0], requires_grad=True)
minigen.grad(x, 3)  # wrong
several: list[Tensor] = minigen.grad(x, x)  # wrong
one: Tensor = minigen.grad(x, [x])  # wrong
nn.Linear("2", 3, rng=rng)  # wrong
nn.Linear(2, 3)  # wrong
nn.Linear(2, 3, rng=0)  # wrong
nn.Linear(2, 3, rng=rng, bais=False)  # wrong
nn.MLP([2, 3], 5, rng=rng)  # wrong
nn.Dropout("half", rng=rng)  # wrong
nn.BatchNorm1d(3, affine=3)  # wrong
print(nn.Linear(2, 3, rng=rng).eval().weigth)  # wrong
nn.Linear(2, 3, rng=rng).train("yes")  # wrong
x.backward(gradient="ones")  # wrong
minigen.jacobian(np.ones(3), x)  # wrong
minigen.hvp(lambda z: z, x)  # wrong
plots.graph(np.ones(3))  # wrong
nn.Linear(2, 3, rng=rng).load_state_dict(3)  # wrong
