"""How the package is written: mathematics with operators, a tape read in an evening, hints on what is public."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

import minigen

PACKAGE = Path(minigen.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "lessons" not in path.relative_to(PACKAGE).parts)
TREES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

ARITHMETIC = {"add", "subtract", "multiply", "divide", "negative", "power", "matmul"}

# Public functions and methods that still miss a hint, by file: this list only becomes shorter.
WITHOUT_HINTS: dict[str, int] = {}


def prefix_calls(tree: ast.AST, bare: bool):
    """Calls such as `ops.add(a, b)`, and with `bare` also `add(a, b)`: their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            f = node.func
            named = isinstance(f, ast.Attribute) and isinstance(f.value, ast.Name) and f.value.id == "ops"
            if (named and f.attr in ARITHMETIC) or (bare and isinstance(f, ast.Name) and f.id in ARITHMETIC):
                yield node.lineno


def test_mathematics_is_written_with_operators():
    found = {
        name: list(prefix_calls(tree, bare=name.startswith("ops/")))
        for name, tree in TREES.items()
        if not name.startswith("kernels/") and name != "ops/arithmetic.py"
    }
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_search_for_prefix_arithmetic_finds_it():
    tree = ast.parse("y = ops.add(ops.square(x), 1.0) + multiply(x, 2.0) + ops.log(x)")
    assert list(prefix_calls(tree, bare=False)) == [1] and list(prefix_calls(tree, bare=True)) == [1, 1]


def code_lines(path: Path) -> int:
    """Lines with code on them: no blank ones, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_the_tape_is_read_in_an_evening():
    assert code_lines(PACKAGE / "tape.py") <= 250


def unhinted(tree: ast.Module):
    """Public functions of a module, and methods of its public classes, with a parameter or a result without a hint."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield from _unhinted(node, node.name, method=False)
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield from _unhinted(part, f"{node.name}.{part.name}", method=True)


def _unhinted(function: ast.FunctionDef, name: str, method: bool):
    if function.name.startswith("_") and function.name != "__init__":
        return
    taken = function.args
    plain = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in function.decorator_list)
    named = [*taken.posonlyargs, *taken.args][1 if method and not plain else 0 :]
    named += [*taken.kwonlyargs, *(each for each in (taken.vararg, taken.kwarg) if each)]
    if any(each.annotation is None for each in named) or (function.returns is None and function.name != "__init__"):
        yield name


@pytest.mark.parametrize("name", [name for name in TREES if not name.startswith("_support/")])
def test_what_is_public_has_hints(name):
    """But for `_support`, which is not for those who use the package."""
    missing = list(unhinted(TREES[name]))
    assert len(missing) <= WITHOUT_HINTS.get(name, 0), missing


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()
