"""How fast is EM beside scikit-learn's, from the same start and with the same number of steps?

    python tests/benchmarks/mixture.py [--rounds 7] [--threads 1]

Prints seconds per EM step and the median ratio over alternating rounds (goal for "full": at most 1), and by how much
the results differ. Needs scikit-learn.
"""

import argparse
import os
import warnings


def job(n, d, k, kind, steps):
    """Functions that fit either library's mixture to the same data."""
    import numpy as np
    from sklearn.mixture import GaussianMixture as Peer

    from minigen.models import GaussianMixture

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (k, d))
    X = centres[rng.integers(k, size=n)] + rng.standard_normal((n, d))
    precisions = {
        "full": np.tile(np.eye(d), (k, 1, 1)),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
    }
    settings = {
        "covariance_type": kind,
        "tol": 0,
        "max_iter": steps,
        "weights_init": np.full(k, 1 / k),
        "means_init": centres + rng.normal(0, 1, (k, d)),
        "precisions_init": precisions[kind],
    }
    return lambda: GaussianMixture(k, **settings).fit(X, rng=rng), lambda: Peer(k, **settings).fit(X)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="threads of matrix products, for both libraries")
    arguments = parser.parse_args()
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # read when NumPy is imported, so before it
        os.environ[name] = str(arguments.threads)
    import numpy as np
    from timing import interleaved

    warnings.simplefilter("ignore")  # a fixed number of steps does not converge
    for n, d, k in ((100_000, 2, 8), (10_000, 20, 10)):
        for kind in ("full", "tied", "diag", "spherical"):
            ours, theirs = job(n, d, k, kind, arguments.steps)
            a, b = ours(), theirs()
            if a.n_iter_ != b.n_iter_:
                raise SystemExit(f"{a.n_iter_} steps against {b.n_iter_}: not the same job")
            apart = max(
                float(np.abs(getattr(a, x) - getattr(b, x)).max()) for x in ("weights_", "means_", "covariances_")
            )
            times = interleaved((ours, theirs), arguments.rounds, repeats=1) / arguments.steps * 1e3
            mini, peer = np.median(times, axis=0)
            ratio = np.median(times[:, 0] / times[:, 1])
            print(
                f"{n} points, d = {d}, {k} components, {kind:9}: minigen {mini:6.2f} ms a step, scikit-learn "
                f"{peer:6.2f}, median ratio {ratio:.2f}; parameters differ by {apart:.0e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
