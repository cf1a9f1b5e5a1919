"""Every differentiable operation, under NumPy's names. Raw arrays in give raw arrays out; tensors in give tensors out.

`ops.NAME(...)` is the function; most are methods of `Tensor` too, and NumPy's own functions of the same name accept
tensors. A new operation is one call of `minigen.tape.primitive` in the file of its family and a row in
`tests/ops/examples.py`.
"""

import sys

from ..operators import bind
from . import numpy_names
from .arithmetic import (
    abs,
    add,
    allclose,
    ceil,
    clip,
    divide,
    equal,
    floor,
    greater,
    greater_equal,
    isfinite,
    isnan,
    less,
    less_equal,
    log,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    not_equal,
    power,
    round,
    sign,
    sqrt,
    square,
    subtract,
    where,
)
from .elementwise import (
    cos,
    elu,
    erf,
    exp,
    expm1,
    gelu,
    leaky_relu,
    log1p,
    logaddexp,
    relu,
    sigmoid,
    silu,
    sin,
    softplus,
    tan,
    tanh,
)
from .fused import linear
from .losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll,
    huber,
    l1,
    mse,
    standard_normal_kl,
)
from .matmul import dot, einsum, matmul, outer
from .random import dropout_mask, normal, uniform
from .reductions import (
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    softmax,
    std,
    sum,
    trace,
    var,
)
from .shaping import (
    argmax,
    argmin,
    argsort,
    astype,
    broadcast_to,
    concatenate,
    diagonal,
    expand_dims,
    flatten,
    flip,
    getitem,
    hstack,
    pad,
    ravel,
    reshape,
    sort,
    split,
    squeeze,
    stack,
    swapaxes,
    take_along_axis,
    transpose,
    tril,
    triu,
    vstack,
)

bind(sys.modules[__name__])
