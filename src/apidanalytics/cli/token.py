"""``apidanalytics token`` and ``apidanalytics collection token``: make a bearer token, and its entry for a file."""

import argparse
import json
from collections.abc import Mapping, Sequence

from apidanalytics.access.keys import NAME, SCOPE, TENANT
from apidanalytics.access.tokens import hash_token, make_token
from apidanalytics.config.kinds import Kind
from apidanalytics.errors import ConfigurationError

_ANYBODY = "*~*"


def run(options: argparse.Namespace) -> int:
    """Make a token for the data API."""
    return _run(options, "who sends batches (Authorization: Bearer ...)", "file of apidanalytics_api_tokens_file")


def run_collection(options: argparse.Namespace) -> int:
    """Make a token for the collection service."""
    return _run(options, "the one who uploads (apigeesync_bearer_token_file)", "collection service's file")


def _run(options: argparse.Namespace, who: str, file: str) -> int:
    scopes: list[str] = options.scope or []
    tenants: list[str] = options.tenant or ([] if scopes else [_ANYBODY])
    problems = [
        *_problems(NAME, "--name", [options.name]),
        *_problems(TENANT, "--tenant", tenants),
        *_problems(SCOPE, "--scope", scopes),
    ]
    if problems:
        raise ConfigurationError(problems)
    made = make_token()
    lists = {name: values for name, values in (("tenants", tenants), ("scopes", scopes)) if values}
    entry = {"name": options.name, "hash": hash_token(made), **lists}
    if options.json:
        print(json.dumps({"token": made, "entry": entry}, indent=2))
    else:
        print(_as_text(made, entry, who, file))
    return 0


def _as_text(made: str, entry: Mapping[str, str | Sequence[str]], who: str, file: str) -> str:
    lines = (
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in entry.items()
    )
    return f"""The token, for {who}. It is shown only now:

{made}

Its entry in the {file}:

tokens:
  - {(chr(10) + "    ").join(lines)}
"""


def _problems(kind: Kind[str], option: str, values: list[str]) -> list[str]:
    problems = []
    for value in values:
        try:
            kind.parse(value)
        except ValueError:
            problems.append(f"{option}: {value!r} should be {kind.expected}")
    return problems
