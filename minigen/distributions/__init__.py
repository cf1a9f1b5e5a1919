"""Which densities have closed forms, and how are they drawn from: log-densities, draws, entropies, KL divergences.

Shapes. The last axis of the parameters of Normal, Uniform, Laplace, Bernoulli and MultivariateNormal is one point of d
numbers; axes before it are a batch of distributions. So `Normal(np.zeros(3), 1.0).log_prob(x)` takes x (n, 3) to (n,),
a sum over the features. With numbers alone, as in `Normal(0.0, 1.0)`, a point is one number, and (n, 3) goes to (n, 3).
`sample(shape, rng)` gives `shape` draws of the whole batch, (*shape, *batch_shape, *event_shape): `sample(n, rng)` n of
them, `sample((), rng)` one.

Parameters are numbers, arrays or tensors. Draws from tensors are tensors: where a class says reparameterised, gradients
flow through them. dtypes are those of the parameters; from numbers alone, draws are float32. Values are checked when a
distribution is made, so one of learned parameters is made anew in each training step, from them.

`families` holds the independent ones and Categorical, `multivariate` the normal with correlations, `mixture` their
mixtures, `kl` divergences and entropies, `parameters` what a parameter may be.
"""

from .families import Bernoulli, Categorical, Laplace, Normal, Uniform
from .kl import Estimate, kl_divergence, sampled_entropy
from .mixture import Mixture
from .multivariate import MultivariateNormal

__all__ = [
    "Bernoulli",
    "Categorical",
    "Estimate",
    "Laplace",
    "Mixture",
    "MultivariateNormal",
    "Normal",
    "Uniform",
    "kl_divergence",
    "sampled_entropy",
]
