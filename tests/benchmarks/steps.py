"""How long does a whole training step take, in minigen, eager and compiled, and in its peers?

    python tests/benchmarks/steps.py [--peers torch,jax,autograd] [--rows W1,W3] [--rounds 15] [--out table.json]
                                     [--growth figure.png] [--leave-out torch.compile]

Every row of rows.py is the same job for everyone: same weights, same batch, float32, Adam and random draws inside the
step, the loss brought back to Python. Each library has a process of its own, blocked while the others run, and a new
one for every row: how earlier rows had left its memory was seen to double a time. In every round all contestants take
their turn, and a ratio is the median over rounds of two times of the same round. Before the clock runs, all must get
the same losses, or move their chains alike, from the same draws.

"First call" traces and compiles. A library's first contestant also loads what the second one finds loaded; minigen's
kernels come from numba's cache, if they were ever compiled here. The floor, "bare products", is the time of the step's
matrix products alone through NumPy.

--growth draws how the time of W3's step grows with the width of the networks and with the batch; it needs matplotlib.
A peer that is not installed is left out.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rows import CHAINS, COMPILED, EAGER, FLOOR, JAX, ROWS, TORCH, TORCH_BY_HAND, TORCH_COMPILED, row
from timing import cores, note_core_type

FOLDER = Path(__file__).resolve().parent
PEERS = ("torch", "jax", "autograd")
TURN = 0.075  # seconds that the calls of one contestant in one round last together
PAUSE = 0.05  # seconds after each turn, in which the threads of a library go to sleep
WARM = 33  # calls before any is timed: a compiled step of minigen is compared with itself in calls 2, 10, 100, ...
CHECKED = 10  # steps whose results are compared
WIDTHS, BATCHES = (32, 64, 128, 256, 512, 1024, 2048), (16, 64, 256, 1024, 4096)
LINES = {COMPILED: ("C0", "o-"), EAGER: ("C0", "o:"), TORCH: ("C1", "s-"), JAX: ("C2", "^-")}


class Failure(Exception):
    """What a library said when it could not do something."""


class Worker:
    """A process with one library in it; `contestants` are its names, `about` its versions and threads."""

    def __init__(self, library):
        command = [sys.executable, str(FOLDER / f"steps_{library}.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.library = library
        hello = self._answer()
        self.contestants, self.about = hello["contestants"], hello["about"]

    def ask(self, do, **fields):
        """The answer to one request, a dict; Failure if the library could not do it."""
        print(json.dumps({"do": do, **fields}), file=self.process.stdin, flush=True)
        answer = self._answer()
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self.library} ended; what it said is above")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def working(peers):
    """The workers of minigen and of these peers, inside the block."""
    workers = [Worker(name) for name in ("minigen", *peers)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.close()


def measure(peers, name, rounds, leave_out=(), **size):
    """Times of one row: {"row", "title", "contestants": {...}, "ratios": [...]}; SystemExit if results differ."""
    job = row(name, **size)
    with working(peers) as workers:
        found = {}
        for worker in workers:
            for contestant in worker.contestants:
                if contestant not in leave_out and (contestant != TORCH_BY_HAND or name in CHAINS):
                    try:
                        first = worker.ask("first", contestant=contestant, row=name, size=size)["seconds"]
                        results = worker.ask("check", contestant=contestant, steps=CHECKED)["results"]
                        found[contestant] = worker, first, results
                    except Failure as error:
                        print(f"{name} {contestant} is left out: {error}", flush=True)
        for contestant, (_, _, results) in found.items():
            if results is not None:
                expected = found[EAGER][2]
                check(f"{name} {contestant}", results, expected, moves=job.steps > 1, accepts=len(job.draws) > 1)
        times, processor = take_turns({contestant: worker for contestant, (worker, _, _) in found.items()}, rounds)
    return {
        "row": name,
        "title": job.title,
        "contestants": {
            contestant: {
                **spread(seconds),
                "first call": found[contestant][1],
                "processor": float(np.median(processor[contestant])),
                "rounds": seconds.tolist(),
            }
            for contestant, seconds in times.items()
        },
        "ratios": ratios(times, job.goals),
        "ratios of processor time": ratios(processor, job.goals),
    }


def check(who, results, expected, moves, accepts):
    """SystemExit unless losses (steps, k) or positions (steps, chains, d) agree to 1e-4, from steps of the same draws.

    Where chains accept or reject, one of them may differ: rounding decides at the edge of acceptance.
    """
    a, b = np.array(results), np.array(expected)
    wrong = ~(np.abs(a - b) <= 1e-4 * ((1 + np.abs(b)) if moves else np.maximum(np.abs(b), 0.01)))
    if moves:
        chains = np.any(wrong, axis=(0, 2)).sum()
        if chains > accepts:
            raise SystemExit(f"{who}: {chains} of {a.shape[1]} chains move otherwise than those of {EAGER}")
    elif wrong.any():
        step = np.flatnonzero(wrong.any(axis=1))[0]
        raise SystemExit(f"{who}: losses {results[step]} in step {step + 1}, where {EAGER} has {expected[step]}")


def take_turns(workers, rounds):
    """Seconds per call of each contestant, (rounds,), by the clock and of processor; the order turns round."""
    repeats = {}
    for contestant, worker in workers.items():
        worker.ask("time", contestant=contestant, repeats=WARM)
        few = 1
        while (seconds := worker.ask("time", contestant=contestant, repeats=few)["seconds"] * few) < TURN / 5:
            few = max(2 * few, int(few * TURN / 4 / max(seconds, 1e-6)))
        repeats[contestant] = max(1, round(TURN * few / seconds))
    times, processor = ({contestant: np.empty(rounds) for contestant in workers} for _ in range(2))
    for i in range(rounds):
        for contestant in list(workers)[:: 1 - 2 * (i % 2)]:
            answer = workers[contestant].ask("time", contestant=contestant, repeats=repeats[contestant])
            times[contestant][i], processor[contestant][i] = answer["seconds"], answer["processor"]
            time.sleep(PAUSE)
    return times, processor


def spread(values):
    low, median, high = np.quantile(values, (0.1, 0.5, 0.9))
    return {"median": median, "10 %": low, "90 %": high}


def ratios(times, goals):
    """minigen's times over the others' of the same round, compiled ones first; eager ones where there is a goal."""
    found = []
    for ours in (COMPILED, EAGER):
        for other in times:
            goal = goals.get((ours, other))
            if ours not in times or other == ours or (ours == EAGER and COMPILED in times and goal is None):
                continue
            each = {"of": ours, "to": other, **spread(times[ours] / times[other])}
            found.append(each if goal is None else {**each, "goal": goal, "met": bool(each["median"] <= goal)})
    return found


def in_units(seconds):
    """A time as text, with three digits or so."""
    for unit, scale in (("s", 1), ("ms", 1e3)):
        if seconds * scale >= 10 or (unit == "s" and seconds >= 0.1):
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def show(table):
    """Print one row's table."""
    print(f"\n{table['row']}  {table['title']}")
    for name, found in table["contestants"].items():
        low, median, high, first = (in_units(found[key]) for key in ("10 %", "median", "90 %", "first call"))
        print(f"    {name:18}{median:>9}   ({low} to {high}), first call {first}")
    for each in table["ratios"]:
        goal = f", goal: at most {each['goal']}, {'met' if each['met'] else 'MISSED'}" if "goal" in each else ""
        pair = f"{each['of']} / {each['to']}"
        print(f"    {pair:36}{each['median']:5.2f}   ({each['10 %']:.2f} to {each['90 %']:.2f}){goal}", flush=True)


def header(peers):
    """What is compared where; prints it too."""
    settings = {
        name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "OMP_", "MKL_", "MINIGEN_"))
    }
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    print(f"{processor()}, {cores()} cores, {system}" + "".join(f", {name}={v}" for name, v in settings.items()))
    with working(peers) as workers:
        libraries = {worker.library: worker.about for worker in workers}
    for about in libraries.values():
        print(", ".join(f"{key} {text}" for key, text in about.items()), flush=True)
    machine = {"processor": processor(), "cores": cores(), "system": system, "settings": settings}
    return {**machine, "libraries": libraries}


def processor():
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def grow(peers, rounds):
    """W3's medians over widths at batch 128 and over batches at width 256: {"width": [...], "batch": [...]}."""
    peers, found = [name for name in peers if name != "autograd"], {}
    for axis, sizes in (("width", WIDTHS), ("batch", BATCHES)):
        found[axis] = []
        for size in sizes:
            table = measure(peers, "W3", rounds, {FLOOR, TORCH_COMPILED}, **{axis: size})
            medians = {name: each["median"] for name, each in table["contestants"].items()}
            found[axis].append({axis: size, **medians})
            text = ", ".join(f"{name} {in_units(seconds)}" for name, seconds in medians.items())
            print(f"W3, {axis} {size}: {text}", flush=True)
    return found


def draw(growth, path):
    """Two panels: time of W3's step against the width of its networks, and against the batch."""
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4.2), sharey=True, layout="constrained")
    titles = {"width": "VAE [100, w, w/2, 6] and back, batch 128", "batch": "VAE [100, 256, 128, 6] and back"}
    labels = {"width": "width w of the widest hidden layer", "batch": "batch (examples per step)"}
    for panel, (axis, points) in zip(panels, growth.items()):
        sizes = [point[axis] for point in points]
        for name, (colour, style) in LINES.items():
            if any(name in point for point in points):
                seconds = np.array([point.get(name, np.nan) for point in points])
                panel.loglog(sizes, 1e3 * seconds, style, color=colour, label=name)
        panel.set(title=titles[axis], xlabel=labels[axis])
        panel.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("time of a training step (ms)")
    panels[0].legend()
    figure.savefig(path, dpi=150)


def names(text):
    """The names in a list with commas."""
    return [name for name in text.split(",") if name]


def parsed(parser, **choices):
    """The command line, and which of its peers are installed; `choices` are options that name some of those given."""
    for option, known in choices.items():
        help = f"of {','.join(known)}; default: all"
        parser.add_argument(f"--{option}", type=names, default=list(known), help=help)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="write all numbers here, as JSON")
    arguments = parser.parse_args()
    for option, known in choices.items():
        if unknown := set(getattr(arguments, option)) - set(known):
            parser.error(f"{', '.join(sorted(unknown))} is not known; choose of {', '.join(known)}")
    note_core_type()
    peers = [name for name in arguments.peers if importlib.util.find_spec(name)]
    for name in set(arguments.peers) - set(peers):
        print(f"no {name} here: it is left out")
    return arguments, peers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--leave-out", type=names, default=[], help="contestants by name, such as torch.compile")
    parser.add_argument("--growth", type=Path, metavar="FIGURE", help="draw how W3 grows with width and batch")
    arguments, peers = parsed(parser, peers=PEERS, rows=ROWS)
    report = {**header(peers), "rows": []}
    for name in arguments.rows:
        report["rows"].append(measure(peers, name, arguments.rounds, arguments.leave_out))
        show(report["rows"][-1])
    if arguments.growth:
        print()
        report["growth"] = grow(peers, arguments.rounds)
        draw(report["growth"], arguments.growth)
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
