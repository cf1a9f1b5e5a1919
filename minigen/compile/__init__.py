"""A training step without Python in the way: record one call, plan it, replay the plan, compare now and then."""

from .record import CompileError
from .step import CompiledStep, compile

__all__ = ["CompileError", "CompiledStep", "compile"]
