"""``apidanalytics tail``: the records that are accepted, as they come."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from apidanalytics.audit.tail import Seen, Tail
from apidanalytics.cli.asking import load, no_directory
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.tenant_name import encoded
from apidanalytics.errors import NotRunningError
from apidanalytics.instants import format_instant
from apidanalytics.layout import DataDirectory

LOOK_SECONDS = 0.25


def run(config_file: Path | None, *, tenants: Sequence[str], records: int | None, as_json: bool) -> int:
    """Print records until Ctrl-C, or until there were so many."""
    settings = load(config_file)
    if not settings.data.tmp.is_dir():
        raise NotRunningError(no_directory(settings))
    console = Console()
    try:
        for number, seen in enumerate(_follow(settings.data, tenants), start=1):
            _print(seen, console, as_json=as_json)
            if number == records:
                break
    except KeyboardInterrupt:
        pass  # the way to end it
    return ExitCode.OK


def _follow(data: DataDirectory, tenants: Sequence[str]) -> Iterator[Seen]:
    tail = Tail(data, {encoded(tenant) for tenant in tenants})
    try:
        tail.skip()
        print("Following what is accepted from now on; Ctrl-C ends.", file=sys.stderr, flush=True)
        while True:
            yield from tail.look()
            time.sleep(LOOK_SECONDS)
    finally:
        tail.close()


def _print(seen: Seen, console: Console, *, as_json: bool) -> None:
    if as_json:
        line = {"tenant": seen.tenant, "start": format_instant(seen.start_at), "record": seen.record}
        print(json.dumps(line), flush=True)
        return
    record = json.dumps(seen.record, ensure_ascii=False)
    if sys.stdout.isatty():
        console.print(Text.assemble((seen.tenant, "bold cyan"), " ", record), soft_wrap=True)
    else:
        print(seen.tenant, record, flush=True)
