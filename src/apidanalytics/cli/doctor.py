"""``apidanalytics doctor``: try everything, and say what is wrong and what to do."""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from apidanalytics.cli.drawing import console, plain, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.doctor.examine import examine, patient
from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, State
from apidanalytics.errors import ConfigurationError
from apidanalytics.health.words import how_many

_MARKS: Final = {
    State.OK: ("ok      ", "green"),
    State.PROBLEM: ("PROBLEM ", "bold red"),
    State.SKIPPED: ("-       ", "dim"),
}


def run(
    config_file: Path | None,
    *,
    embedded: bool,
    tenant: str | None,
    uploads: bool,
    timeout_seconds: float,
    as_json: bool,
) -> int:
    """Examine, and print each result as it comes; exit code 1 if any is a problem, 2 if it is the configuration."""
    try:
        of = patient(config_file, embedded=embedded, tenant=tenant, uploads=uploads, timeout_seconds=timeout_seconds)
    except ConfigurationError as error:
        if as_json:
            print_json({"is_well": False, "results": [_of_configuration(problem) for problem in error.problems]})
            return ExitCode.CONFIGURATION
        raise
    results = asyncio.run(_examine(of, None if as_json else console()))
    problems = [result for result in results if result.state is State.PROBLEM]
    if as_json:
        print_json({"is_well": not problems, "results": [asdict(result) for result in results]})
    else:
        _conclude(results, problems)
    return ExitCode.FAILURE if problems else ExitCode.OK


async def _examine(of: Patient, out: Console | None) -> list[Result]:
    results = []
    watched = Console(stderr=True)
    with watched.status("examining ...") if out is not None and sys.stderr.isatty() else _Quiet():
        async for result in examine(of):
            results.append(result)
            if out is not None:
                _show(result, out)
    return results


class _Quiet:
    """Stands for a status line where nobody looks."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def _show(result: Result, out: Console) -> None:
    mark, style = _MARKS[result.state]
    dim = "dim" if result.state is State.SKIPPED else ""
    name = Text(f"{result.check:18}", "bold" if result.state is State.PROBLEM else "")
    out.print(Text.assemble((mark, style), name, " ", plain(result.text), style=dim), soft_wrap=True)
    if result.advice:
        out.print(Text.assemble(" " * 27, ("-> ", "bold"), plain(result.advice)), soft_wrap=True)


def _conclude(results: Iterable[Result], problems: list[Result]) -> None:
    if problems:
        print(f"{how_many(len(problems), 'problem')}: {', '.join(dict.fromkeys(one.check for one in problems))}.")
    else:
        tried = sum(result.state is State.OK for result in results)
        print(f"All is well, as far as it was tried ({how_many(tried, 'check')}).")


def _of_configuration(problem: str) -> dict[str, str]:
    return {"check": "configuration", "state": State.PROBLEM, "text": problem, "advice": "docs/settings.md"}
