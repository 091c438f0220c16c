"""Every exit code that ``docs/commands.md`` names, and what ends with it.

In a command ``{data}`` stands for the data directory, and ``{new}`` for a folder in which nothing is.
"""

from typing import Final

GOOD: Final = "testorg~testenv"

RUNNING: Final = {
    "status": 0,
    "tenants": 0,
    "files": 0,
    "files show 1": 0,
    "files show nothing-like-it": 1,
    "events": 0,
    "check-config": 0,
    f"pause --tenant {GOOD}": 0,
    "pause --tenant no~one": 1,
    f"resume --tenant {GOOD}": 0,
    "resume --tenant no~one": 1,
    "failed list": 0,
    "failed show nothing-like-it": 1,
    "failed retry nothing-like-it": 1,
    "scopes": 0,
    "scopes list": 0,
    "scopes check testid": 0,
    "scopes check nobody": 1,
    "completion bash": 0,
    "token": 0,
    "collection token": 0,
}
"""With a service that has packed a file."""

STOPPED: Final = {
    "status": 4,
    "tenants": 4,
    "files": 4,
    "files show 1": 4,
    "files show nothing-like-it": 1,
    "events": 4,
    "flush": 4,
    "reload": 4,
    "upgrade": 4,
    f"pause --tenant {GOOD}": 0,
    "pause --tenant no~one": 1,
    f"resume --tenant {GOOD}": 0,
    "failed list": 0,
    "failed show nothing-like-it": 1,
    "failed retry": 0,
    "failed retry nothing-like-it": 1,
    "failed export {new}": 0,
    "audit": 0,
    "inspect {data}": 0,
    "inspect {new}/nothing": 1,
    "demo --directory {data}": 1,
    "scopes": 0,
}
"""Of one that has delivered all it took, and was ended."""

LOCKED: Final = dict.fromkeys(
    ["pause", "resume", "failed list", "failed show x", "failed retry", "failed export {new}", "run --embedded"], 3
)
"""Where somebody else works in that directory, who does not answer."""

NOTHING: Final = dict.fromkeys(
    [
        *("status", "tenants", "files", "files show 1", "events", "flush", "pause", "resume", "reload", "upgrade"),
        *("failed list", "failed show x", "failed retry", "failed export {new}", "audit", "tail"),
    ],
    4,
)
"""Where there is no data directory."""

NO_SCOPES: Final = {"scopes": 1, "scopes list": 1}
"""With no source of scope data."""

ELSEWHERE: Final = {
    ("doctor", 0): "tests/acceptance/test_commands_stopped.py",
    ("doctor", 1): "tests/acceptance/test_commands.py",
    ("flush", 0): "tests/acceptance/test_commands_stopped.py",
    ("flush", 1): "tests/acceptance/test_commands.py",
    ("failed show", 0): "tests/integration/test_failed_command.py",
    ("reload", 0): "tests/acceptance/test_reload_upgrade.py",
    ("reload", 1): "tests/acceptance/test_reload_upgrade.py",
    ("upgrade", 0): "tests/acceptance/test_reload_upgrade.py",
    ("upgrade", 1): "tests/acceptance/test_reload_upgrade.py",
    ("audit", 1): "tests/integration/test_audit.py",
    ("tail", 0): "tests/acceptance/test_commands.py",
    ("run", 0): "tests/acceptance/test_commands_stopped.py",
    ("run", 1): "tests/acceptance/test_planted.py",
    ("collection", 0): "tests/acceptance/test_collection.py",
    ("collection", 1): "tests/acceptance/test_collection.py",
    ("demo", 0): "tests/acceptance/test_demo.py",
}
"""What takes more than a command, and where it is tried."""
