"""How a training run is put on disk and taken up again: weights, optimiser moments, generator states, step, extras.

A checkpoint is arrays by name and one JSON record, in a `.npz` or a `.safetensors` file. `checkpoint.py` says what goes
into it and back, `formats.py` how bytes become arrays that can be trusted, `generators.py` how a stream of random
numbers goes on.
"""

from .checkpoint import Checkpoint, load, load_weights, save
from .formats import CheckpointError

__all__ = ["Checkpoint", "CheckpointError", "load", "load_weights", "save"]
