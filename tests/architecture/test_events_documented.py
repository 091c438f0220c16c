"""docs/events.md and the log calls of the code say the same: every event, at its level, and no other one."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from apidanalytics.telemetry.repeating import LEFT_OUT

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/apidanalytics"
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")]
    for line in (ROOT / "docs/events.md").read_text().splitlines()
    if line.startswith("| `")
]
DOCUMENTED = {row[0].strip("`"): row for row in ROWS}
LEVELS = {"debug", "info", "warning", "error", "exception"}
TROUBLE = "scopes/trouble.py"
"""Logs ``<name>_failed`` and ``<name>_mended`` for every name that somebody gives it."""
NAMED_BY_CALLERS = {"ingest/listener.py": "_warn"}
LATE = {LEFT_OUT: {"info", "warning", "error"}}
"""Has the level of what was left out."""


def calls() -> Iterator[tuple[str, ast.Call]]:
    sources = ((path, path.read_text()) for path in sorted(PACKAGE.rglob("*.py")))
    logging = [(path, source) for path, source in sources if "log." in source or "Trouble(" in source]
    for path, source in logging:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(PACKAGE)), node


def text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def log_calls() -> Iterator[tuple[str, str, str, ast.Call]]:
    """Yield (module, event, level, call) of every log call whose event is written there."""
    for module, call in calls():
        match call.func:
            case ast.Attribute(value=ast.Name(id="log" | "_log"), attr=level) if level in LEVELS:
                event = text(call.args[0])
                if event is None:
                    assert module in {TROUBLE, *NAMED_BY_CALLERS}, f"{module}: an event's name is to be written out"
                    continue
                yield module, event, "error" if level == "exception" else level, call
            case ast.Attribute(attr=name) if name == NAMED_BY_CALLERS.get(module):
                event = text(call.args[0])
                assert event is not None
                yield module, event, "warning", call
            case ast.Name(id="Trouble") if len(call.args) == 2:
                event = text(call.args[0])
                assert event is not None
                yield module, f"{event}_failed", "warning", call
                yield module, f"{event}_mended", "info", call


CALLS = list(log_calls())


def logged() -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for _, event, level, _ in CALLS:
        found[event].add(level)
    return {**found, **LATE}


LOGGED = logged()


def test_every_event_is_documented_and_every_documented_one_is_logged():
    assert set(DOCUMENTED) == set(LOGGED)
    assert len(ROWS) == len(DOCUMENTED), "one row each"


@pytest.mark.parametrize("event", sorted(DOCUMENTED))
def test_a_row_has_the_level_of_the_code_a_meaning_and_something_to_do(event):
    _, level, meaning, to_do = DOCUMENTED[event]
    assert set(re.split(r", | or ", level)) == LOGGED[event]
    assert meaning.endswith(".")
    assert to_do.endswith(".")


@pytest.mark.parametrize("call", [pytest.param(c, id=f"{m}-{e}") for m, e, level, c in CALLS if level != "info"])
def test_every_warning_and_error_says_what_happens_next_or_what_to_do(call):
    is_trouble = isinstance(call.func, ast.Name)
    assert is_trouble or "hint" in {keyword.arg for keyword in call.keywords}
