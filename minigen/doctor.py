"""Is this machine fit to run minigen, and as fast as it should be?"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import numpy as np

from . import __version__
from ._support import blas

SIZES, BATCH = (2, 32, 32, 1), 128
INDENT = 12  # where the second column begins


def report(*, seed: int = 0, quick: bool = False) -> Iterator[str]:
    """What the machine is and how long a training step takes there, line by line as it is found out."""
    yield _line("minigen", f"{__version__} in {Path(__file__).resolve().parent}")
    yield _line("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield _line("packages", ", ".join(f"{name} {_version(name)}" for name in ("numpy", "numba", "matplotlib", "tqdm")))
    yield from _machine()

    yield from _kernels()
    off = os.environ.get("MINIGEN_COMPILE") == "0"
    yield _line("steps", f"{'run as they are' if off else 'compiled'}; MINIGEN_COMPILE is {'0' if off else 'not set'}")
    began = time.perf_counter()
    step, products = _training_step(seed), _products(seed)
    step()
    yield _line("first step", f"{time.perf_counter() - began:.2f} s, with loading the kernels or compiling them")
    whole, bare = _median_seconds(step, products, repeats=200 if quick else 2000)
    yield _line(
        "next steps",
        f"{1e6 * whole:.0f} us each, of which {1e6 * bare:.0f} us are matrix products: {whole / bare:.1f} times those",
    )
    yield _line("", f"(median; MLP {list(SIZES)}, tanh, batch {BATCH}, float32, forward, backward and Adam)")
    yield _line("normal", "50 to 150 us, about 4 times the products; plain NumPy takes half as long again")
    usable, threads = _usable_cores(), blas.threads()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if threads != 1 and busy > 0.6 * usable:
        advice = "training with more than one BLAS thread can then take 30 times as long as with OPENBLAS_NUM_THREADS=1"
        yield _line("busy", f"{busy:.1f} processes for {usable} cores lately: {advice}")


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _machine() -> Iterator[str]:
    """Its cores, and who multiplies matrices on how many of them."""
    yield _line("cores", f"{_usable_cores()} usable of {os.cpu_count()}")
    found = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    threads = blas.threads()
    yield _line(
        "BLAS",
        f"{found.get('name', 'unknown')} {found.get('version', '')}, {threads or 'an unknown number of'} thread(s); "
        + ", ".join(f"{name} is {os.environ.get(name) or 'not set'}" for name in blas.VARIABLES),
    )
    if os.environ.get("OPENBLAS_CORETYPE"):
        core = os.environ["OPENBLAS_CORETYPE"]
        yield _line("", f"OPENBLAS_CORETYPE={core} forbids it to choose the kernels made for this processor: unset it")


def _kernels() -> Iterator[str]:
    """Whether loops are compiled, and where they are kept."""
    from .kernels.jit import USE_NUMBA

    setting = os.environ.get("MINIGEN_KERNELS")
    mode = f"{'numba' if USE_NUMBA else 'plain NumPy'}; MINIGEN_KERNELS is {setting or 'not set'}"
    if USE_NUMBA:
        import numba

        yield _line("kernels", f"{mode}; each runs on one thread (numba would have {numba.get_num_threads()})")
        yield _line("cache", _cache())
    else:
        yield _line("kernels", mode)


def _line(what: str, text: str) -> str:
    return f"{what:<{INDENT}}{text}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not found)"


def _cache() -> str:
    """Where numba keeps compiled kernels, and how many are there."""
    try:
        from .kernels.pendulum import simulate

        folder = simulate.stats.cache_path
    except RuntimeError:  # numba found no folder to write to
        folder = None
    if folder is None or not os.access(_nearest_that_exists(Path(folder)), os.W_OK):
        return "no place for the kernel cache, so each process compiles anew; set NUMBA_CACHE_DIR to a folder of yours"
    folder = Path(folder)
    files = list(folder.glob("*.nbc")) if folder.is_dir() else []
    size = sum(file.stat().st_size for file in files)
    state = f"{len(files)} compiled kernels, {size / 1e6:.1f} MB" if files else "empty, the first use compiles"
    return f"{state}, in {folder}"


def _nearest_that_exists(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _training_step(seed: int):
    """A function that makes one step of training a small network, and does nothing else."""
    from . import nn, ops, optim

    rng = np.random.default_rng(seed)
    network = nn.MLP(SIZES, "tanh", rng=rng)
    optimizer = optim.Adam(network, 1e-3)
    x = rng.standard_normal((BATCH, SIZES[0])).astype(np.float32)
    y = rng.standard_normal((BATCH, SIZES[-1])).astype(np.float32)

    def step():
        optimizer.zero_grad()
        ops.mse(network(x), y).backward()
        optimizer.step()

    return step


def _products(seed: int):
    """A function that computes the matrix products of that step, forward and backward, and nothing else."""
    rng = np.random.default_rng(seed)
    draw: Callable = lambda *shape: rng.standard_normal(shape, np.float32)
    pairs = []
    for i, (n_in, n_out) in enumerate(pairwise(SIZES)):
        h, weight, g = draw(BATCH, n_in), draw(n_out, n_in), draw(BATCH, n_out)
        pairs += [(h, weight.T), (g.T, h)]  # the output, and the weight's gradient
        if i > 0:
            pairs.append((g, weight))  # the gradient of the layer's input, which the data do not need
    jobs = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in pairs]

    def run():
        for a, b, out in jobs:
            np.dot(a, b, out=out)

    return run


def _median_seconds(*functions, repeats: int) -> list[float]:
    """The median time of each function, called in turn so that all see the same machine."""
    times = np.empty((repeats, len(functions)))
    for row in times:
        for i, function in enumerate(functions):
            began = time.perf_counter()
            function()
            row[i] = time.perf_counter() - began
    return list(np.median(times, axis=0))
