"""Whom a command asks: the running service, or where there is none its data directory, and then it says so."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from apidanalytics import config
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, Request, ask
from apidanalytics.errors import ConfigurationError, NotRunningError, RefusedError

if TYPE_CHECKING:
    from apidanalytics.service.failed import HeldDirectory

PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who answers."""

    settings: Settings
    is_running: bool
    """Whether it is the service itself."""
    answer: Callable[[Request], Answer]

    def __call__(self, command: str, **parameters: object) -> Answer:
        """Return the answer to a question, or to an order.

        Raises:
            NotRunningError: the service went away meanwhile.
            RefusedError: the answer is that it cannot be done.

        """
        answer = self.answer({"command": command, **parameters})
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer

    @property
    def code(self) -> ExitCode:
        """The exit code of a command that showed what there is."""
        return ExitCode.OK if self.is_running else ExitCode.NOT_RUNNING


def load(config_file: Path | None, *, warn: bool = True) -> Settings:
    """Return the settings by which a command finds the service; what is wrong in others is a warning on stderr.

    A service goes on with the settings that it was started with, and has to be asked just when somebody spoiled them.

    Raises:
        ConfigurationError: they do not say where the data directory is.

    """
    settings, problems = config.load_leniently(config_file=config_file, environ=os.environ)
    if problems and warn:
        more = f" (and {len(problems) - 1} more: apidanalytics check-config)" if len(problems) > 1 else ""
        print(f"Warning: a start or a reload would refuse the configuration: {problems[0]}{more}", file=sys.stderr)
    return settings


@contextmanager
def asking(config_file: Path | None) -> Iterator[Asked]:
    """Give who answers questions.

    Raises:
        NotRunningError: no service runs, and there is no data directory either.
        sqlite3.Error: there is, and its ledger cannot be read.

    """
    settings = load(config_file)
    service = _service(settings)
    if service is not None:
        yield service
        return
    # Needed only here, and most of what a command would have to load.
    from apidanalytics.service import stopped  # noqa: PLC0415

    with stopped.reading(settings) as directory:
        yield Asked(settings=settings, is_running=False, answer=directory.ask)


@contextmanager
def in_directory(config_file: Path | None) -> Iterator["HeldDirectory"]:
    """Give what may be changed in the data directory of a stopped service.

    Raises:
        ConfigurationError: something is wrong with the settings, and so this need not be the service's directory.
        DataDirectoryLocked: the service neither answers nor is it gone.

    """
    settings, problems = config.load_leniently(config_file=config_file, environ=os.environ)
    if problems:
        raise ConfigurationError(problems)
    from apidanalytics.service.failed import stopped  # noqa: PLC0415 - much to load, needed only here
    from apidanalytics.telemetry import logs  # noqa: PLC0415 - likewise

    # To stderr: what a command answers is on stdout.
    logs.configure(level=settings.log_level, form=settings.log_format, process="command")
    with stopped(settings) as directory:
        yield directory


def _service(settings: Settings) -> Asked | None:
    try:
        return asking_service(settings)
    except NotRunningError as nobody:
        if not settings.data.root.is_dir():
            raise NotRunningError(no_directory(settings)) from nobody
        print(f"{nobody}; this is what its data directory holds.", file=sys.stderr)
        return None


def no_directory(settings: Settings) -> str:
    """Say that nothing was ever collected here."""
    hint = "Is this the configuration that the service runs with (--config FILE)?"
    return f"There is no data directory at {settings.data.root}. {hint}"


def asking_service(settings: Settings) -> Asked:
    """Return the running service, which has answered once.

    Raises:
        NotRunningError: there is none.

    """
    ask(settings.data.control, {"command": "ready"})
    return Asked(
        settings=settings,
        is_running=True,
        answer=lambda request: ask(settings.data.control, request, PATIENCE_SECONDS),
    )
