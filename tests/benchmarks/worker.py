"""One process of steps.py, with one library in it: makes jobs when asked, times them, and is blocked while others run.

Requests and answers are lines of JSON on the standard streams. What the library itself prints goes to standard error.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import rows


class Job(NamedTuple):
    """A row's job in one library.

    reset : back to the initial weights or chains. step : one timed call, draws included, its result back in Python.
    given : one step with these arrays for its draws; returns losses, or the chains' positions. None for the floor.
    """

    reset: Callable[[], None]
    step: Callable[[], object]
    given: Callable[..., object] | None = None


def serve(contestants, about):
    """Answer requests until the input ends. `contestants`: functions from a row to a Job by name."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    answer(contestants=list(contestants), about=about)
    jobs = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(**_DO[request.pop("do")](jobs, contestants, **request))
        except Exception as error:  # whatever a library raises, the parent reports it and the others go on
            answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _first(jobs, contestants, contestant, row, size):
    """Make the job and time its first call, which traces and compiles."""
    jobs[contestant] = rows.row(row, **size), contestants[contestant](rows.row(row, **size))
    return {"seconds": _seconds(jobs[contestant][1], 1, warm=0)[0]}


def _check(jobs, contestants, contestant, steps):
    """Results of the first few steps with the draws given."""
    row, job = jobs[contestant]
    if job.given is None:
        return {"results": None}
    job.reset()
    return {"results": [np.asarray(job.given(*noise), float).tolist() for noise in row.noise(steps)]}


def _time(jobs, contestants, contestant, repeats):
    """Seconds per call from the initial state, by the clock and of processor, after some calls that are not timed."""
    seconds, processor = _seconds(jobs[contestant][1], repeats, warm=1 + repeats // 10)
    return {"seconds": seconds, "processor": processor}


_DO = {"first": _first, "check": _check, "time": _time}


def _seconds(job, repeats, warm):
    job.reset()
    for _ in range(warm):
        job.step()
    start, used = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        job.step()
    return (time.perf_counter() - start) / repeats, (time.process_time() - used) / repeats
