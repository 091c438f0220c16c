"""``apidanalytics run``: the service in the foreground."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from apidanalytics import config
from apidanalytics.config import Settings
from apidanalytics.control.handover import Handover
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.changing import Launch
from apidanalytics.service.reload import fixed_problems
from apidanalytics.service.run import run_agent


def run(config_file: Path | None, *, embedded: bool) -> int:
    """Run until a signal ends it; return the exit code."""
    handover = Handover.of_this_process(os.environ)
    load = partial(config.load, config_file=config_file, environ=os.environ, embedded=embedded)
    settings, refused = _usable(load, handover)
    launch = Launch(
        settings=settings,
        refused=refused,
        load=load,
        check_command=_check(config_file, embedded=embedded),
        embedded=embedded,
    )
    try:
        return run_agent(launch, handover, _greet if sys.stdout.isatty() else None)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        print(f"Cannot start: {what}. `apidanalytics doctor` says more, and what to do.", file=sys.stderr)
        return 1


def _usable(load: Callable[[], Settings], handover: Handover) -> tuple[Settings, ConfigurationError | None]:
    """Return the settings; in an upgrade those of before, and why, if they were spoiled since they were checked.

    Spoiled are also those of another data directory: the lock that was handed over is not that one's, and nobody would
    deliver what is in the one of before.

    Raises:
        ConfigurationError: they cannot be used, and there are no others.

    """
    before = _before(handover)
    try:
        settings = load()
    except ConfigurationError as error:
        if before is None:
            raise
        return before, error
    moved = fixed_problems(before, settings) if before is not None else []
    return (before, ConfigurationError(moved)) if before is not None and moved else (settings, None)


def _before(handover: Handover) -> Settings | None:
    """Return the settings of the program before this one; None: there was none, or it knew other settings."""
    if handover.settings is None:
        return None
    try:
        return Settings.from_json(handover.settings)
    except msgspec.MsgspecError:
        return None


def _check(config_file: Path | None, *, embedded: bool) -> list[str]:
    """Return the command that has the program on disk check the configuration this one was started with."""
    named = [] if config_file is None else ["--config", str(config_file)]
    return [sys.executable, "-m", "apidanalytics", "check-config", "--json", *named, *["--embedded"][: int(embedded)]]


def _greet(url: str, example_scope: str | None) -> None:
    """Tell a person at a terminal what to do next."""
    print(f"\napidanalytics serves at {url}    (Ctrl-C drains and stops)")
    if example_scope is None:
        return
    print(f"""
Send it a batch:

  curl -i {url}/analytics/{example_scope} -H 'Content-Type: application/json' \\
       -d '{{"records": [{{"client_received_start_timestamp": 1700000000000, "client_id": "testapikey"}}]}}'

and look at what became of it:

  {_command()} status
""")


def _command() -> str:
    """Return how this program is called from where the person is."""
    if shutil.which("apidanalytics"):
        return "apidanalytics"
    beside = Path(sys.executable).with_name("apidanalytics")
    if not beside.exists():
        return f"{sys.executable} -m apidanalytics"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)
