"""Which tests show which faults: read from the marks in the source, without importing it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]


def shown_by_fault() -> dict[int, list[str]]:
    """The names of the tests of each fault, `tests/FILE.py::test_name`."""
    found: dict[int, list[str]] = defaultdict(list)
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if "mark.fault" in text:
            name = file.relative_to(TESTS.parent).as_posix()
            for test, number in _marked(ast.parse(text)):
                if f"{name}::{test}" not in found[number]:
                    found[number].append(f"{name}::{test}")
    return found


def _marked(tree: ast.Module) -> Iterator[tuple[str, int]]:
    whole = [number for node in tree.body if isinstance(node, ast.Assign) for number in _in(node)]
    for test, marks in _tests(tree):
        for number in [*whole, *(number for mark in marks for number in _in(mark))]:
            yield test, number


def _tests(tree: ast.AST, over: tuple[ast.expr, ...] = ()) -> Iterator[tuple[str, list[ast.expr]]]:
    """Each test with its decorators, and those of its class."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _tests(node, (*over, *node.decorator_list))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, [*over, *node.decorator_list]


def _in(node: ast.AST) -> Iterator[int]:
    """The numbers of all fault marks within."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
            yield from (ast.literal_eval(each) for each in call.args)
