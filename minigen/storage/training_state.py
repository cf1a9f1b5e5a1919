"""How a training is put on disk at one of its steps, and goes on from there bit for bit as if it had never stopped."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .checkpoint import CheckpointError, load, save

if TYPE_CHECKING:
    from ..training import History, Minibatches

SLOTS = ("module", "optimizer", "average")  # for which a checkpoint has a place of its own


class TrainingState:
    """All that a training is at a step, and the file that holds it. `best` is the module when validation was best."""

    def __init__(self, parts: Mapping, batches: Minibatches, history: History, path: str | Path | None, every: int):
        self.module, self.batches, self.history = parts["module"], batches, history
        # As it is now, for a callback may go to another folder.
        self.path = Path(path).absolute() if isinstance(path, (str, os.PathLike)) else path
        self.every, self.best = every, None
        self.slots = {name: parts[name] for name in SLOTS if parts.get(name) is not None}
        self.others = {name: part for name, part in parts.items() if name not in SLOTS}

    def before(self, step: int) -> None:
        """Raise now what would keep the file from being written after so much work."""
        if self.path is not None:
            self._save(step, dry_run=True)

    def after(self, step: int, is_last: bool) -> None:
        """Write the file if it is time; if the disk is full by now, warn, keep the old one and go on."""
        if self.path is not None and (is_last or step % self.every == 0):
            try:
                self._save(step)
            except OSError as error:
                warnings.warn(
                    f"the checkpoint of step {step} was not written ({error}); {self.path} is what it was before, and "
                    "the training goes on",
                    RuntimeWarning,
                    stacklevel=3,
                )

    def _save(self, step: int, dry_run: bool = False) -> None:
        extra = {**self._progress(), **self._arrays()}
        save(self.path, **self.slots, rng=self.batches.rng, step=step, extra=extra, dry_run=dry_run)

    def _progress(self) -> dict:
        history = self.history
        return {
            "order": self.batches.order,
            "position": self.batches.position,
            "step": np.array(history.step, np.int64),
            "validation": np.array(history.validation, np.float64).reshape(-1, 2),
            "best_step": history.best_step,
            "seconds": history.seconds,
            **{f"losses.{name}": np.array(values, np.float64) for name, values in history.losses.items()},
            **{f"best.{name}": array for name, array in (self.best or {}).items()},
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        """The live arrays of the other parts, and copies of those of optimisers."""
        found = {}
        for name, part in self.others.items():
            state = {"": part} if isinstance(part, np.ndarray) else part.state_dict()
            found |= {f"parts.{name}.{key}": array for key, array in state.items()}
        return found

    def restore(self, steps: int) -> int:
        """Put all back as it was at the step of the file, which it gives. What does not fit changes nothing."""
        found = load(self.path)
        if found.step is None or not self._progress().keys() <= found.extra.keys():
            raise CheckpointError(
                f"{self.path} holds no training to resume; give a file that fit(checkpoint=...) wrote"
            )
        if found.step > steps:
            raise ValueError(
                f"fit() got steps={steps}, but {self.path} has {found.step} steps behind it; steps counts from the "
                "beginning"
            )
        order, best = np.asarray(found.extra["order"]), _below("best.", found.extra)
        if len(order) != self.batches.n:
            raise CheckpointError(
                f"{self.path} was written while training on {len(order)} rows, fit() got {self.batches.n}; give the "
                "same data"
            )
        fits = (
            np.array_equal(np.sort(order), np.arange(self.batches.n))
            and (not best or _shapes(best) == _shapes(self.module.state_dict()))
            and _shapes(_below("parts.", found.extra)) == _shapes(_below("parts.", self._arrays()))
        )
        if not fits:
            raise CheckpointError(f"{self.path} does not fit this training; build all as it was when it was written")
        load(self.path, **self.slots, rng=self.batches.rng)
        for name, part in self.others.items():
            saved = _below(f"parts.{name}.", found.extra)
            if isinstance(part, np.ndarray):
                part[...] = saved[""]
            else:
                part.load_state_dict(saved)
        self.batches.order, self.batches.position = order.astype(np.int64), int(found.extra["position"])
        self.best = best or None
        self._restore_history(found.extra)
        return found.step

    def _restore_history(self, extra: Mapping) -> None:
        history = self.history
        history.step = [int(step) for step in extra["step"]]
        history.losses = {name: [float(x) for x in values] for name, values in _below("losses.", extra).items()}
        history.validation = [(int(step), float(value)) for step, value in extra["validation"]]
        history.best_step, history.seconds = extra["best_step"], float(extra["seconds"])


def _below(prefix: str, extra: Mapping) -> dict:
    """What stands under names with this prefix, by the rest of the name."""
    return {name.removeprefix(prefix): value for name, value in extra.items() if name.startswith(prefix)}


def _shapes(arrays: Mapping) -> dict[str, tuple]:
    return {name: np.shape(array) for name, array in arrays.items()}
