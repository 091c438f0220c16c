"""``apidanalytics collection token``: make a bearer token for the collection service."""

import argparse
import json

from apidanalytics.collection import keys
from apidanalytics.collection.tokens import hash_token, make_token
from apidanalytics.config.kinds import Kind
from apidanalytics.errors import ConfigurationError


def run(options: argparse.Namespace) -> int:
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
