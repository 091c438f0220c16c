"""How a command ends that could not do what it should: a sentence on stderr, and an exit code."""

import os
import sqlite3
import sys

from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.errors import ApidAnalyticsError, ConfigurationError, DataDirectoryLocked, NotRunningError


def told(error: BaseException) -> ExitCode:
    """Say what went wrong; a defect is raised again."""
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case ConfigurationError():
            return _say("\n".join(error.problems), ExitCode.CONFIGURATION)
        case DataDirectoryLocked():
            return _say(f"Cannot start: {error}", ExitCode.LOCKED)
        case NotRunningError():
            return _say(_sentence(error), ExitCode.NOT_RUNNING)
        case BrokenPipeError():
            # The reader of our output went away (`apidanalytics status | head`): no fault of ours.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return ExitCode.FAILURE
        case PermissionError():
            hint = "Run this as the user that the service runs as, or as root."
            return _say(f"{error.filename}: permission denied. {hint}", ExitCode.FAILURE)
        case sqlite3.Error():
            return _say(f"The ledger cannot be read: {error}. See docs/operations.md, Lost ledger.", ExitCode.FAILURE)
        case ApidAnalyticsError():
            return _say(_sentence(error), ExitCode.FAILURE)
        case OSError():
            return _say(f"{error.filename or 'The system'}: {error.strerror or error}.", ExitCode.FAILURE)
    raise error


def _say(text: str, code: ExitCode) -> ExitCode:
    print(text, file=sys.stderr)
    return code


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"
