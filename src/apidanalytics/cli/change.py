"""``apidanalytics reload`` and ``upgrade``: other settings, or another program, without refusing a connection."""

import sys
import time
from pathlib import Path
from typing import Any, Final

from apidanalytics.cli.asking import load
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.control.server import ask
from apidanalytics.errors import NotRunningError
from apidanalytics.layout import DataDirectory

PATIENCE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.1


def run(config_file: Path | None, kind: str) -> int:
    """Ask for it, wait until it is through, and say what it changed."""
    data = load(config_file, warn=False).data  # the service reads them, and says what is wrong
    try:
        answer = ask(data.control, {"command": kind})
    except NotRunningError as error:
        print(error, file=sys.stderr)
        return ExitCode.NOT_RUNNING
    if "generation" not in answer:
        return _refused(answer)
    status = _wait(data, answer["generation"])
    if status is None:
        print(f"Not through after {PATIENCE_SECONDS:.0f} s; see `apidanalytics status` and the log.", file=sys.stderr)
        return ExitCode.FAILURE
    return _report(kind, status)


def _refused(answer: dict[str, Any]) -> int:
    problems = answer.get("problems", [])
    reasons = problems or [answer.get("error", "the agent did not say why")]
    print("Refused, and nothing was changed:", *reasons, sep="\n", file=sys.stderr)
    return ExitCode.CONFIGURATION if problems else ExitCode.FAILURE


def _wait(data: DataDirectory, generation: int) -> dict[str, Any] | None:
    """Return the status of the next agent once its workers serve and those of before are gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        try:
            status = ask(data.control, {"command": "status"})
        except NotRunningError:
            continue  # between the two agents nobody listens here; batches are taken all the same
        if status.get("generation", 0) > generation and status["ready"] and not status["draining"]:
            return status
    return None


def _report(kind: str, status: dict[str, Any]) -> int:
    change = status["last_change"] or {}
    if change.get("error"):
        print(f"The {kind} failed, and the service goes on as before: {change['error']}", file=sys.stderr)
        return ExitCode.FAILURE
    if kind == "upgrade":
        print(f"Upgraded: version {status['version']} serves, with {len(status['workers'])} new workers.")
        return ExitCode.OK
    for changed in change.get("changed", []):
        print(f"{changed['key']}: {changed['before']} -> {changed['after']}")
    what = "Reloaded" if change.get("changed") else "Reloaded, with no setting changed"
    print(f"{what}: {len(status['workers'])} new workers serve.")
    return ExitCode.OK
