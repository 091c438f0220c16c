"""``apidanalytics scopes``: which scope data counts, and who a scope, an org and env, or an API key is."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from apidanalytics.cli.asking import load
from apidanalytics.cli.drawing import console, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.fitting import Fitting
from apidanalytics.errors import LookupFailedError
from apidanalytics.service.scope_answers import check, in_force, list_scopes, why_none

MOST_NAMES: Final = 2


def run(config_file: Path | None, names: Sequence[str], *, as_json: bool) -> int:
    """Print all scopes, or with names what is known of them; exit code 1 if that is nothing."""
    if len(names) > MOST_NAMES:
        print("scopes check takes a scope uuid, an org and an env, or an API key.", file=sys.stderr)
        return ExitCode.CONFIGURATION
    settings = load(config_file)
    found = in_force(settings)
    if found is None:
        print(f"There is no scope data yet: every batch gets 500. {why_none(settings)}", file=sys.stderr)
        return ExitCode.FAILURE
    try:
        answer = check(found, names) if names else list_scopes(found)
    except LookupFailedError as error:
        print(error, file=sys.stderr)
        return ExitCode.FAILURE
    if as_json:
        print_json(answer)
    else:
        _show(answer, names)
    return ExitCode.FAILURE if names and not answer["answers"] else ExitCode.OK


def _show(answer: dict[str, Any], names: Sequence[str]) -> None:
    out = console()
    out.print(Text(_origin(answer)))
    if not names:
        out.print(Fitting(_scopes(answer["scopes"])))
        return
    for one in answer["answers"]:
        out.print(Text(_sentence(one)))
    if not answer["answers"]:
        out.print(Text(f"Unknown: {' '.join(names)} is no {'org and env' if names[1:] else 'scope and no API key'}."))


def _origin(answer: dict[str, Any]) -> str:
    parts = [f"source {answer['source']}", f"version {answer['version']}"]
    parts += [f"sequence {answer['sequence']}"] if answer["sequence"] else []
    parts += [answer["state"]]
    if answer.get("age_seconds") is not None:
        parts.append(f"as of {answer['age_seconds']:.0f} s ago")
    return ", ".join(parts)


def _scopes(scopes: list[dict[str, str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=f"scopes: {len(scopes):,}", title_justify="left", header_style="bold")
    for title in ("scope", "org", "env", "tenant id"):
        table.add_column(title, overflow="fold")
    for scope in scopes:
        table.add_row(*(Text(scope[name]) for name in ("id", "org", "env", "tenant_id")))
    return table


def _sentence(answer: dict[str, Any]) -> str:
    if answer["kind"] != "API key":
        return f"{answer['kind']}: org {answer['org']}, env {answer['env']}, tenant id {answer['tenant_id']}"
    developer = answer["developer"]
    if developer is None:
        return f"API key of tenant id {answer['tenant_id']}, but its product or app does not exist: nobody is known"
    known = ", ".join(f"{name} {value or '(none)'}" for name, value in developer.items())
    return f"API key of tenant id {answer['tenant_id']}: {known}"
