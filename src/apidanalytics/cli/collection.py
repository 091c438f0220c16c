"""``apidanalytics collection``: the service that hands out signed URLs, and the tokens for it."""

import argparse
import json
import sys

from apidanalytics.clock import SystemClock
from apidanalytics.collection import keys
from apidanalytics.collection.settings import load
from apidanalytics.collection.tokens import hash_token, make_token
from apidanalytics.config.kinds import Kind
from apidanalytics.errors import ConfigurationError
from apidanalytics.service.collection import run_collection
from apidanalytics.service.collection_parts import check
from apidanalytics.telemetry import logs


def run(options: argparse.Namespace) -> int:
    """Run the service until a signal ends it, or only check its file; return the exit code."""
    settings = load(options.config)
    if options.check:
        check(settings, SystemClock())
        counts = f"stores: {', '.join(sorted(settings.stores))}; entries of tenants: {len(settings.rules)};"
        print(f"The configuration is good: {counts} tokens: {len(settings.tokens)}.")
        return 0
    service = settings.service
    logs.configure(level=service["log_level"], form=service["log_format"], process="collection")
    try:
        return run_collection(options.config, settings, _greet if sys.stdout.isatty() else _be_quiet)
    except OSError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1


def token(options: argparse.Namespace) -> int:
    """Make a token, and print it with its entry for the service's file."""
    problems = [
        *_problems(keys.NAME, "--name", [options.name]),
        *_problems(keys.TENANT, "--tenant", options.tenant),
    ]
    if problems:
        raise ConfigurationError(problems)
    made = make_token()
    if options.json:
        entry = {"name": options.name, "hash": hash_token(made), "tenants": options.tenant}
        print(json.dumps({"token": made, "entry": entry}, indent=2))
        return 0
    tenants = json.dumps(options.tenant, ensure_ascii=False)
    print(f"""The token, for the one who uploads (apigeesync_bearer_token_file). It is shown only now:

{made}

Its entry in the collection service's file:

tokens:
  - name: {options.name}
    hash: {hash_token(made)}
    tenants: {tenants}
""")
    return 0


def _problems(kind: Kind[str], option: str, values: list[str]) -> list[str]:
    problems = []
    for value in values:
        try:
            kind.parse(value)
        except ValueError:
            problems.append(f"{option}: {value!r} should be {kind.expected}")
    return problems


def _greet(url: str) -> None:
    print(f"\napidanalytics collection serves at {url}    (Ctrl-C drains and stops, SIGHUP reloads)")


def _be_quiet(_url: str) -> None:
    pass
