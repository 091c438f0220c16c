"""The options of the commands that look at the service and order it about. What they do is loaded when they run."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from apidanalytics.cli.tenant_name import encoded

AddOptions = Callable[[argparse.ArgumentParser], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse names it nowhere else

_STATES: Final = ("staged", "failed", "uploaded", "set_aside", "dropped")
_SORTS: Final = ("name", "accepted", "spooled", "staged", "failed", "uploaded", "set_aside", "oldest")


def add_commands(commands: Commands, add_configuration: AddOptions) -> None:
    """Add ``status``, ``tenants``, ``files``, ``events``, ``pause``, ``resume``, ``flush`` and ``doctor``."""
    _add_status(_add(commands, "status", "whether it is well, and where the records are", add_configuration))
    _add_tenants(_add(commands, "tenants", "where each tenant's records are, and what is wrong", add_configuration))
    _add_files(commands, add_configuration)
    _add_events(_add(commands, "events", "what happened lately", add_configuration))
    for name, what in (("pause", "stop uploads of one tenant, or all"), ("resume", "let paused uploads go on")):
        order = _add(commands, name, what, add_configuration)
        order.add_argument("--tenant", type=encoded, metavar="ORG~ENV", help="this one only (default: all)")
        order.set_defaults(run=lambda options, pauses=name == "pause": _uploads(options, pauses=pauses))
    flush = _add(commands, "flush", "close all buckets, upload now, and wait for it", add_configuration)
    flush.add_argument("--timeout", default="60s", metavar="TIME", help="wait this long (default: %(default)s)")
    flush.set_defaults(run=_flush)
    _add_doctor(_add(commands, "doctor", "try everything: what is wrong, and what to do", add_configuration))


def _add(commands: Commands, name: str, what: str, add_configuration: AddOptions) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    add_configuration(command)
    command.add_argument("--json", action="store_true", help="for machines")
    return command


def _add_status(status: argparse.ArgumentParser) -> None:
    status.add_argument("--watch", action="store_true", help="go on looking, until Ctrl-C")
    status.add_argument("--interval", type=_seconds, default=2.0, metavar="SECONDS", help="this often (default: 2)")
    status.set_defaults(run=_status)


def _add_tenants(tenants: argparse.ArgumentParser) -> None:
    tenants.add_argument("--search", default="", metavar="TEXT", help="those whose names contain this, in any case")
    tenants.add_argument(
        "--only", choices=("all", "trouble", "waiting"), default="all", help="those in trouble, or with data that waits"
    )
    tenants.add_argument("--sort", choices=_SORTS, default="name", help="largest, or oldest, first (default: name)")
    tenants.add_argument("--ascending", action="store_true", help="smallest first")
    tenants.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default: %(default)s)")
    tenants.set_defaults(run=_tenants)


def _add_files(commands: Commands, add_configuration: AddOptions) -> None:
    files = _add(commands, "files", "the files that the ledger knows; the history of one", add_configuration)
    files.add_argument("--tenant", type=encoded, metavar="ORG~ENV", help="of this tenant only")
    files.add_argument("--state", choices=_STATES, help="in this state only")
    files.add_argument("--order", choices=("newest", "oldest"), default="newest", help="which first (default: newest)")
    files.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default: %(default)s)")
    files.set_defaults(run=_files)
    below = files.add_subparsers(title="commands", metavar="COMMAND")
    show = below.add_parser("show", help="all that is known of one file", description="All that is known of one file.")
    show.add_argument("name", metavar="FILE", help="its id in the list, its name, or the beginning of that")
    # Before or after `show`: what is not given here is not taken back.
    show.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help=argparse.SUPPRESS)
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for machines")
    show.add_argument(
        "--tenant", type=encoded, default=argparse.SUPPRESS, metavar="ORG~ENV", help="of this tenant only"
    )
    show.set_defaults(run=_show_file)


def _add_events(events: argparse.ArgumentParser) -> None:
    events.add_argument("--since", metavar="WHEN", help="from then on: 10m, 2h, or 2026-01-31T12:00 (UTC)")
    events.add_argument("--level", choices=("debug", "info", "warning", "error"), default="debug", help="at least this")
    events.add_argument("--tenant", type=encoded, metavar="ORG~ENV", help="of this tenant only")
    events.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="the last so many (default: %(default)s)"
    )
    events.add_argument("--follow", action="store_true", help="and those that come, until Ctrl-C")
    events.set_defaults(run=_events)


def _add_doctor(doctor: argparse.ArgumentParser) -> None:
    doctor.add_argument("--embedded", action="store_true", help="as `run --embedded` would have it")
    doctor.add_argument(
        "--tenant", type=encoded, metavar="ORG~ENV", help="ask for a signed URL of this one (default: any known)"
    )
    doctor.add_argument("--upload", action="store_true", help="also upload an empty object, named *_doctor_writer_*")
    doctor.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="for each call (default: 10)")
    doctor.set_defaults(run=_doctor)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} should be a number from 1 to 1000000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} should be a number of seconds from 0.1 to 3600")
    return seconds


def _status(options: argparse.Namespace) -> int:
    if options.watch:
        from apidanalytics.cli import watch  # noqa: PLC0415

        return watch.run(options.config, interval_seconds=options.interval, as_json=options.json)
    from apidanalytics.cli import status  # noqa: PLC0415

    return status.run(options.config, as_json=options.json)


def _tenants(options: argparse.Namespace) -> int:
    from apidanalytics.cli import tenants  # noqa: PLC0415

    return tenants.run(
        options.config,
        search=options.search,
        only=options.only,
        sort=options.sort,
        ascending=options.ascending,
        limit=options.limit,
        as_json=options.json,
    )


def _files(options: argparse.Namespace) -> int:
    from apidanalytics.cli import files  # noqa: PLC0415

    return files.run(
        options.config,
        tenant=options.tenant,
        state=options.state,
        order=options.order,
        limit=options.limit,
        as_json=options.json,
    )


def _show_file(options: argparse.Namespace) -> int:
    from apidanalytics.cli import files  # noqa: PLC0415

    return files.run_show(options.config, name=options.name, tenant=options.tenant, as_json=options.json)


def _events(options: argparse.Namespace) -> int:
    from apidanalytics.cli import events  # noqa: PLC0415

    return events.run(
        options.config,
        since=options.since,
        level=options.level,
        tenant=options.tenant,
        limit=options.limit,
        follow=options.follow,
        as_json=options.json,
    )


def _uploads(options: argparse.Namespace, *, pauses: bool) -> int:
    from apidanalytics.cli import uploads  # noqa: PLC0415

    return uploads.run(options.config, tenant=options.tenant, pauses=pauses, as_json=options.json)


def _flush(options: argparse.Namespace) -> int:
    from apidanalytics.cli import flush  # noqa: PLC0415

    return flush.run(options.config, timeout=options.timeout, as_json=options.json)


def _doctor(options: argparse.Namespace) -> int:
    from apidanalytics.cli import doctor  # noqa: PLC0415

    return doctor.run(
        options.config,
        embedded=options.embedded,
        tenant=options.tenant,
        uploads=options.upload,
        timeout_seconds=options.timeout,
        as_json=options.json,
    )
