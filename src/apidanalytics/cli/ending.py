"""How a command ends that could not do what it should: a sentence on stderr, and an exit code."""

import os
import sqlite3
import sys
from typing import Final

from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.errors import ConfigurationError, DataDirectoryLocked, NotRunningError

_CODES: Final = {
    KeyboardInterrupt: ExitCode.INTERRUPTED,
    ConfigurationError: ExitCode.CONFIGURATION,
    DataDirectoryLocked: ExitCode.LOCKED,
    NotRunningError: ExitCode.NOT_RUNNING,
}
"""All others are a failure."""


def told(error: BaseException) -> ExitCode:
    """Say what went wrong; return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader of our output went away (`apidanalytics status | head`): no fault of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    elif not isinstance(error, KeyboardInterrupt):
        print(_text(error), file=sys.stderr)
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), ExitCode.FAILURE)


def _text(error: BaseException) -> str:
    match error:
        case ConfigurationError():
            return "\n".join(error.problems)
        case DataDirectoryLocked():
            return f"Nothing was done: {error}."
        case PermissionError():
            hint = "Run this as the user that the service runs as, or as root."
            return f"{error.filename}: permission denied. {hint}"
        case sqlite3.Error():
            return f"The ledger cannot be read: {error}. See docs/operations.md, Lost ledger."
        case OSError():
            return f"{error.filename or 'The system'}: {error.strerror or error}."
        case _:
            text = str(error)
            return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?')) else '.'}"
