"""The options of ``apidanalytics failed``. What it does is loaded when it runs."""

import argparse
from collections.abc import Callable
from pathlib import Path

AddOptions = Callable[[argparse.ArgumentParser], None]


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", add_configuration: AddOptions
) -> None:
    """Add ``failed`` with ``list``, ``show``, ``retry`` and ``export``."""
    failed = commands.add_parser("failed", help="list, try again or copy out the files that could not be uploaded")
    actions = failed.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = _add(actions, "list", "which files, and why", add_configuration)
    listing.add_argument("--limit", type=int, default=1000, metavar="N", help="at most so many (default 1000)")
    listing.set_defaults(run=_list)

    show = _add(actions, "show", "all that is known of one file", add_configuration, has_tenant=False)
    show.add_argument("name", metavar="FILE", help="its name, or the beginning of it")
    show.set_defaults(run=_show)

    retry = _add(actions, "retry", "bring them back to staging/, with all attempts anew", add_configuration)
    retry.add_argument("name", metavar="FILE", nargs="?", help="one file only: its name, or the beginning of it")
    retry.set_defaults(run=_retry)

    export = _add(actions, "export", "copy them into a folder; they stay where they are", add_configuration)
    export.add_argument("directory", type=Path, metavar="DIR")
    export.set_defaults(run=_export)


def _add(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    what: str,
    add_configuration: AddOptions,
    *,
    has_tenant: bool = True,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=what, description=what)
    add_configuration(action)
    if has_tenant:
        action.add_argument("--tenant", metavar="ORG~ENV", help="of this tenant only")
    action.add_argument("--json", action="store_true", help="for machines")
    return action


def _list(options: argparse.Namespace) -> int:
    from apidanalytics.cli import failed  # noqa: PLC0415

    return failed.run_list(options.config, tenant=options.tenant, limit=options.limit, as_json=options.json)


def _show(options: argparse.Namespace) -> int:
    from apidanalytics.cli import failed  # noqa: PLC0415

    return failed.run_show(options.config, name=options.name, as_json=options.json)


def _retry(options: argparse.Namespace) -> int:
    from apidanalytics.cli import failed  # noqa: PLC0415

    return failed.run_retry(options.config, tenant=options.tenant, name=options.name, as_json=options.json)


def _export(options: argparse.Namespace) -> int:
    from apidanalytics.cli import failed  # noqa: PLC0415

    return failed.run_export(options.config, directory=options.directory, tenant=options.tenant, as_json=options.json)
