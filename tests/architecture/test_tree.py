"""The tree is the architecture: rooms with a stated purpose, small files, short functions."""

import ast
import functools
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

from apidanalytics import failpoints

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/apidanalytics"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
TESTED_FROM_OUTSIDE = {"cli", "demo"}
MAX_FILE_LINES = 300
TABLES = {"config/settings.py"}
"""One table each: as long as it has rows."""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def function_lengths() -> Iterator[tuple[int, str]]:
    """(lines of code from the signature to the end, docstring and blank lines not counted; name) of each function."""
    for path in MODULES:
        lines = path.read_text().splitlines()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                counted = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
                first = node.body[0]
                if ast.get_docstring(node) is not None:
                    counted -= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
                yield sum(1 for line in counted if lines[line - 1].strip()), f"{name_of(path)}:{node.name}"


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def test_every_module_is_small():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES and name not in TABLES} == {}


def test_every_module_says_what_it_is():
    assert [name_of(path) for path in MODULES if not ast.get_docstring(tree_of(path))] == []


def test_no_module_has_a_name_that_could_hold_anything():
    vague = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "tools"}
    assert [name_of(path) for path in MODULES if path.stem in vague] == []


def is_of_asyncio(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "asyncio"


def test_no_module_waits_with_wait_for():
    """Before Python 3.12 it forgets a cancellation in the moment of the result; ``asyncio.timeout`` does not."""
    nodes = ((path, node) for path in MODULES for node in ast.walk(tree_of(path)))
    assert [name_of(path) for path, node in nodes if is_of_asyncio(node) and node.attr == "wait_for"] == []


def test_functions_are_short():
    lengths = sorted(function_lengths())
    assert statistics.median(length for length, _ in lengths) < 9
    long = [entry for entry in lengths if entry[0] >= 30]
    assert len(long) * 10 <= len(lengths), long


def test_every_room_has_its_tests_somewhere():
    everywhere = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    rooms = {room.name for room in ROOMS} - TESTED_FROM_OUTSIDE
    tested = {room for room in rooms if re.search(rf"apidanalytics(\.| import .*\b){room}\b", everywhere)}
    assert tested == rooms


def test_unit_tests_mirror_the_package():
    folders = {path.parent.relative_to(ROOT / "tests/unit") for path in (ROOT / "tests/unit").rglob("test_*.py")}
    assert {str(folder) for folder in folders} <= {".", *(room.name for room in ROOMS)}


def test_every_failpoint_is_somewhere_in_the_code_and_none_is_unlisted():
    code = "\n".join(path.read_text() for path in MODULES if path.name != "failpoints.py")
    hit = set(re.findall(r"failpoints\.hit\(\s*\"([^\"]+)\"", code))
    assert hit == set(failpoints.POINTS)


def test_no_test_is_skipped_for_good():
    for path in (ROOT / "tests").rglob("test_*.py"):
        assert "mark." + "skip(" not in path.read_text(), path
