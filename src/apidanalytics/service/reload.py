"""What a reload or an upgrade would change, and whether it can be done: decided before anything is touched."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from apidanalytics.config import SETTINGS, Settings
from apidanalytics.config.setting import Setting
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.files import check_files

FIXED: Final = ("local_storage_path", "apidanalytics_data_path")
"""Settings that say which directory this process owns: they need a stop and a start."""
CHECK_SECONDS: Final = 30.0
"""How long the new program may take to check the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A setting that another value is given to; both as shown to people, secrets masked."""

    key: str
    before: str
    after: str


def changes(now: Settings, then: Settings) -> list[Change]:
    """Return what differs."""
    return [_change(row, now, then) for row in SETTINGS if _value(row, now) != _value(row, then)]


def load_anew(load: Callable[[], Settings], now: Settings) -> Settings:
    """Read the settings again and check all that can be checked before a change.

    Raises:
        ConfigurationError: with everything that is wrong; nothing was changed.

    """
    then = load()
    problems = fixed_problems(now, then)
    try:
        check_files(then)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return then


def fixed_problems(now: Settings, then: Settings) -> list[str]:
    """Return what stands in the way of going on with other settings: they are those of another directory."""
    return [_fixed(change) for change in changes(now, then) if change.key in FIXED]


async def check_new_program(command: Sequence[str], now: Settings) -> None:
    """Have the program as it is on disk now check the configuration.

    Args:
        command: prints the effective settings as JSON, and exits 0 if they are good.
        now: those in effect.

    Raises:
        ConfigurationError: the program does not start, refuses the configuration, or would own another directory.

    """
    try:
        code, out, complaints = await _run(command)
    except TimeoutError as error:
        raise ConfigurationError([f"The new program has not answered within {CHECK_SECONDS:g} s"]) from error
    except OSError as error:
        raise ConfigurationError([f"The new program cannot be started: {error}"]) from error
    if code != 0:
        lines = complaints.decode(errors="replace").strip().splitlines()
        raise ConfigurationError(lines or [f"The new program ended with exit code {code}"])
    try:
        effective = msgspec.json.decode(out, type=dict[str, dict[str, Any]])
    except ValueError as error:
        raise ConfigurationError(["The new program does not say its settings in a form known here"]) from error
    problems = list(_moved(effective, now))
    if problems:
        raise ConfigurationError(problems)


async def _run(command: Sequence[str]) -> tuple[int | None, bytes, bytes]:
    """Return exit code, output and complaints; a process that does not end in time is killed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            out, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out, complaints


def as_answer(found: Sequence[Change]) -> list[dict[str, str]]:
    """Return changes for the control channel."""
    return [asdict(change) for change in found]


def _moved(effective: Mapping[str, Any], now: Settings) -> list[str]:
    rows = [row for row in SETTINGS if row.key in FIXED]
    pairs = [(row, effective.get(row.key, {}).get("value", "")) for row in rows]
    return [
        _fixed(Change(key=row.key, before=row.show(_value(row, now)), after=after))
        for row, after in pairs
        if after != row.show(_value(row, now))
    ]


def _fixed(change: Change) -> str:
    return f"{change.key}: cannot change from {change.before} to {change.after} while the service runs; stop it first"


def _change(row: Setting, now: Settings, then: Settings) -> Change:
    return Change(key=row.key, before=row.show(_value(row, now)), after=row.show(_value(row, then)))


def _value(row: Setting, settings: Settings) -> object:
    return getattr(settings, row.attribute)
