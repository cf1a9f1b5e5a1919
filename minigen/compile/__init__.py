"""A training step without Python in the way: record one call, plan it, replay the plan, compare now and then.

`README.md` beside this file explains how, and what a step may do.
"""

from .recorded import CompileError
from .step import CompiledStep, compile

__all__ = ["CompileError", "CompiledStep", "compile"]
