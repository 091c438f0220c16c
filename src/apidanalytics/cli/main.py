"""``apidanalytics``: the commands."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from apidanalytics import __version__
from apidanalytics.cli import ending, failed_options, looking_options, proof_options
from apidanalytics.errors import ApidAnalyticsError
from apidanalytics.telemetry import lean


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = command_line(complete=bool({"demo", "completion"} & set(sys.argv[1:2]))).parse_args(arguments)
    try:
        code: int = options.run(options)
    except (KeyboardInterrupt, ApidAnalyticsError, OSError, sqlite3.Error) as error:
        return ending.told(error)
    return code


def command_line(*, complete: bool) -> argparse.ArgumentParser:
    """Return the parser of all commands; ``complete``: with the options of ``demo``, which cost an import."""
    parser = argparse.ArgumentParser(
        prog="apidanalytics",
        description="Collects API traffic analytics: from POST to object store, durably.",
        epilog="Every setting can be given in apid_config.yaml or as APID_<SETTING>; see docs/settings.md.",
    )
    parser.add_argument("--version", action="version", version=f"apidanalytics {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run the service in the foreground")
    _add_configuration(run)
    run.add_argument(
        "--embedded",
        action="store_true",
        help="need no configuration: example scopes, a collection endpoint and a lake of its own below ./data",
    )
    run.set_defaults(run=_run)

    demo = commands.add_parser("demo", help="watch the whole way of the records, with a crash in the middle")
    _add_demo(demo, complete=complete)

    check = commands.add_parser("check-config", help="show the effective settings and where each came from")
    _add_configuration(check)
    check.add_argument("--embedded", action="store_true", help="as `run --embedded` would have it")
    check.add_argument("--json", action="store_true", help="for machines")
    check.set_defaults(run=_check_config)

    looking_options.add_commands(commands, _add_configuration)
    proof_options.add_commands(commands, _add_configuration)
    _add_collection(commands)
    _add_token(commands)
    _add_change(commands, "reload", "apply changed settings without refusing a connection")
    _add_change(commands, "upgrade", "go on with the program that is installed now, without refusing a connection")
    _add_scopes(commands)
    failed_options.add_commands(commands, _add_configuration)
    _add_completion(commands, parser)
    _add_worker(commands)
    return parser


def _add_configuration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="default: apid_config.yaml, or APID_CONFIG_FILE")


def _add_change(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", kind: str, help_text: str) -> None:
    change = commands.add_parser(kind, help=help_text)
    _add_configuration(change)
    change.set_defaults(run=lambda options: _change(options, kind))


def _add_demo(parser: argparse.ArgumentParser, *, complete: bool) -> None:
    if complete:
        from apidanalytics import demo  # noqa: PLC0415

        demo.add_arguments(parser)
    parser.set_defaults(run=_demo)


def _add_collection(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    collection = commands.add_parser("collection", help="run the service that hands out signed URLs of object stores")
    collection.add_argument("--config", type=Path, metavar="FILE", default=Path("collection.yaml"), help="%(default)s")
    collection.add_argument("--check", action="store_true", help="only check the file, and report all its problems")
    collection.set_defaults(run=_collection)
    token = collection.add_subparsers(title="commands", metavar="COMMAND").add_parser(
        "token", help="make a bearer token, and its entry for the file"
    )
    _add_token_options(token, "collector")
    token.set_defaults(run=_collection_token, scope=None)


def _add_token(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    token = commands.add_parser("token", help="make a bearer token for the data API, and its entry for the tokens file")
    _add_token_options(token, "gateway")
    token.add_argument(
        "--scope", action="append", metavar="UUID", help="a scope, whatever tenant is behind it; repeatable"
    )
    token.set_defaults(run=_token)


def _add_token_options(token: argparse.ArgumentParser, name: str) -> None:
    token.add_argument("--name", default=name, help="who will have it (default: %(default)s)")
    token.add_argument(
        "--tenant", action="append", metavar="PATTERN", help="<org>~<env>, * allowed; repeatable (default: *~*)"
    )
    token.add_argument("--json", action="store_true", help="for machines")


def _add_worker(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command by which the agent starts a worker; nobody types it, so no help lists it."""
    worker = commands.add_parser("worker")
    worker.add_argument("--control-fd", type=int, required=True)
    worker.add_argument("--listen-fd", type=int, action="append", required=True)
    worker.set_defaults(run=_worker)


def _add_completion(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", parser: argparse.ArgumentParser
) -> None:
    completion = commands.add_parser("completion", help="print what bash or zsh need to complete these commands")
    completion.add_argument("shell", choices=("bash", "zsh"))
    completion.set_defaults(run=lambda options: _completion(parser, options.shell))


def _add_scopes(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scopes = commands.add_parser("scopes", help="show which scopes are known, and who a scope or an API key is")
    _add_configuration(scopes)
    scopes.add_argument("--json", action="store_true", help="for machines")
    scopes.set_defaults(run=_scopes, names=())
    below = scopes.add_subparsers(metavar="COMMAND")
    listing = below.add_parser("list", help="every scope, and which version and source they come from (the default)")
    check = below.add_parser("check", help="who this is")
    check.add_argument("names", nargs="+", metavar="NAME", help="a scope uuid, an org and an env, or an API key")
    for command in (listing, check):
        # Also behind the word: what is not given there is not taken back.
        command.add_argument("--config", type=Path, default=argparse.SUPPRESS, metavar="FILE", help=argparse.SUPPRESS)
        command.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="for machines")


def _run(options: argparse.Namespace) -> int:
    lean.load_structlog()
    from apidanalytics.cli import run  # noqa: PLC0415

    return run.run(options.config, embedded=options.embedded)


def _demo(options: argparse.Namespace) -> int:
    from apidanalytics import demo  # noqa: PLC0415

    return demo.run(options)


def _check_config(options: argparse.Namespace) -> int:
    from apidanalytics.cli import check_config  # noqa: PLC0415

    return check_config.run(options.config, embedded=options.embedded, as_json=options.json)


def _completion(parser: argparse.ArgumentParser, shell: str) -> int:
    from apidanalytics.cli import completion  # noqa: PLC0415

    return completion.run(parser, shell)


def _collection(options: argparse.Namespace) -> int:
    from apidanalytics.cli import collection  # noqa: PLC0415

    return collection.run(options)


def _collection_token(options: argparse.Namespace) -> int:
    from apidanalytics.cli import token  # noqa: PLC0415

    return token.run_collection(options)


def _token(options: argparse.Namespace) -> int:
    from apidanalytics.cli import token  # noqa: PLC0415

    return token.run(options)


def _change(options: argparse.Namespace, kind: str) -> int:
    from apidanalytics.cli import change  # noqa: PLC0415

    return change.run(options.config, kind)


def _scopes(options: argparse.Namespace) -> int:
    from apidanalytics.cli import scopes  # noqa: PLC0415

    return scopes.run(options.config, options.names, as_json=options.json)


def _worker(options: argparse.Namespace) -> int:
    lean.load_structlog()
    from apidanalytics.service.build_worker import run_worker  # noqa: PLC0415

    return run_worker(options.control_fd, options.listen_fd)
