"""The options of the commands that show and prove what is there. What they do is loaded when they run."""

import argparse
from collections.abc import Callable
from pathlib import Path

AddOptions = Callable[[argparse.ArgumentParser], None]


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", add_configuration: AddOptions
) -> None:
    """Add ``audit``, ``inspect`` and ``tail``."""
    audit = commands.add_parser("audit", help="prove that nothing is lost or doubled, running or stopped")
    add_configuration(audit)
    audit.add_argument("--json", action="store_true", help="for machines")
    audit.add_argument("--deep", action="store_true", help="read every file to its end: checksums, lines, SHA-256")
    audit.add_argument(
        "--since",
        metavar="WHEN",
        help="check uploaded objects, and read files, only from then on: 2h, 7d, or 2026-01-31[T12:00[:00]] (UTC)",
    )
    audit.add_argument(
        "--lake",
        type=Path,
        metavar="DIR",
        help="folder of the uploaded objects (<org>~<env>/date=.../time=...): a mounted or copied bucket",
    )
    audit.set_defaults(run=_audit)

    inspect = commands.add_parser("inspect", help="show what is inside a spool, a staged file or a directory")
    inspect.add_argument("path", type=Path, metavar="FILE|DIR")
    inspect.add_argument("--records", type=int, default=0, metavar="N", help="show the first N records, masked")
    inspect.add_argument("--json", action="store_true", help="for machines: one object a line")
    inspect.set_defaults(run=_inspect)

    tail = commands.add_parser("tail", help="follow the records that are accepted, secrets masked")
    add_configuration(tail)
    tail.add_argument("--tenant", action="append", default=[], metavar="ORG~ENV", help="only this one; may be repeated")
    tail.add_argument("--records", type=int, metavar="N", help="end after N records")
    tail.add_argument("--json", action="store_true", help="for machines: one object a line")
    tail.set_defaults(run=_tail)


def _audit(options: argparse.Namespace) -> int:
    from apidanalytics.cli import audit  # noqa: PLC0415

    return audit.run(
        options.config, as_json=options.json, deep=options.deep, since=options.since, lake_folder=options.lake
    )


def _inspect(options: argparse.Namespace) -> int:
    from apidanalytics.cli import inspect  # noqa: PLC0415

    return inspect.run(options.path, records=options.records, as_json=options.json)


def _tail(options: argparse.Namespace) -> int:
    from apidanalytics.cli import tail  # noqa: PLC0415

    return tail.run(options.config, tenants=options.tenant, records=options.records, as_json=options.json)
