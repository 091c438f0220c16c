"""What a person may tell the stand-in, a line at a time: at its prompt, or by HTTP (``POST /admin``)."""

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.apigeesync import accounts, faults
from tests.apigeesync.database import Database
from tests.apigeesync.server import StandIn

HELP = """\
scope add ID ORG ENV TENANT      let an org and env send records under a scope id
scope rename ID ORG ENV          change where its records go
scope remove ID                  its records are refused from then on
key add KEY TENANT PRODUCT APP [DEVELOPER EMAIL]
key remove KEY TENANT
show                             all scopes and API keys
set TABLE COLUMN VALUE KEY...    change any column: set kms.developer email a@b.example tenantid testdeveloperid
fault ENDPOINT KIND [TIMES|always]   endpoints: token, snapshots, data, changes; kinds: {kinds}
faults clear                     all goes well again
token revoke                     the next request gets 401
token lifetime SECONDS           of the tokens that are given from now on
changes purge                    the log begins anew: a client that is behind gets SNAPSHOT_TOO_OLD
changes reset                    the change server loses all, and counts from 0
help                             this
"""

KINDS: dict[str, Callable[[], faults.Fault]] = {
    "401": lambda: faults.status(401, b""),
    "304": lambda: faults.status(304),
    "400": lambda: faults.error(400, "PARAMETER_INVALID", "A parameter has an invalid value", "since"),
    "500": lambda: faults.status(500),
    "too-old": lambda: faults.error(400, "SNAPSHOT_TOO_OLD", "The client is operating on an old snapshot"),
    "garbage": faults.garbage,
    "hang-up": faults.hang_up,
    "silence": faults.silence,
    "slow": lambda: faults.slow(5.0),
    "trickle": lambda: faults.trickle(2000.0),
    "cut": lambda: faults.cut(1000),
    "etag": lambda: faults.headers(ETag='"' + "0" * 64 + '"'),
}


class MisunderstoodError(Exception):
    """Not a command; the message says what would be one."""


@dataclass(kw_only=True)
class Console:
    """Takes commands for one stand-in."""

    stand_in: StandIn
    _commands: dict[tuple[str, str], Callable[..., object]] = field(init=False)

    def __post_init__(self) -> None:
        database = self.stand_in.database
        self._commands = {
            ("scope", "add"): lambda *words: accounts.add_scope(database, *_exactly(4, words)),
            ("scope", "remove"): lambda *words: accounts.remove_scope(database, *_exactly(1, words)),
            ("scope", "rename"): self._rename,
            ("key", "add"): self._add_key,
            ("key", "remove"): lambda *words: accounts.remove_key(database, *_exactly(2, words)),
            ("token", "revoke"): self.stand_in.tokens.revoke,
            ("token", "lifetime"): self._set_lifetime,
            ("faults", "clear"): self.stand_in.faults.clear,
            ("changes", "purge"): database.purge,
            ("changes", "reset"): database.reset,
        }

    def execute(self, line: str) -> str:
        """Do what a line says and return the answer, which ends with a line feed or is empty.

        Raises:
            MisunderstoodError: it says nothing that can be done.

        """
        try:
            return self._execute(shlex.split(line))
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            raise MisunderstoodError(f"{line.strip()}: {error or 'that cannot be done'}; try: help") from error

    def _execute(self, words: list[str]) -> str:
        match words:
            case []:
                return ""
            case ["help"]:
                return HELP.format(kinds=", ".join(KINDS))
            case ["show"]:
                return show(self.stand_in.database)
            case ["fault", endpoint, kind, *rest]:
                self._add_fault(endpoint, kind, *rest)
            case ["set", table, column, value, *key]:
                self.stand_in.database.update(table, *key, **{column: value})
            case [noun, verb, *rest]:
                self._command(noun, verb)(*rest)
            case _:
                raise ValueError("no such command")
        return "ok\n"

    def _command(self, noun: str, verb: str) -> Callable[..., object]:
        if (noun, verb) not in self._commands:
            raise ValueError("no such command")
        return self._commands[noun, verb]

    def _rename(self, scope_id: str, org: str, env: str) -> None:
        self.stand_in.database.update(accounts.SCOPE, scope_id, org=org, env=env)

    def _add_key(self, key: str, tenant_id: str, product: str, app: str, developer: str = "", email: str = "") -> None:
        accounts.add_key(
            self.stand_in.database, key, tenant_id, product=product, app=app, developer=developer, email=email
        )

    def _set_lifetime(self, seconds: str) -> None:
        self.stand_in.tokens.lifetime_seconds = float(seconds)

    def _add_fault(self, endpoint: str, kind: str, times: str = "1") -> None:
        self.stand_in.faults.add(endpoint, KINDS[kind](), times=math.inf if times == "always" else int(times))


def show(database: Database) -> str:
    """Return all scopes and API keys as text."""
    lines = [
        f"scope {row['id']}  {row['org']}~{row['env']}  tenant {row['scope']}" for row in database.rows(accounts.SCOPE)
    ]
    lines += [
        f"key {row['appcred_id']}  tenant {row['tenant_id']}  app {row['app_id']}  product {row['apiprdt_id']}"
        for row in database.rows(accounts.MAPPER)
    ]
    return "".join(f"{line}\n" for line in lines)


def _exactly(number: int, words: tuple[str, ...]) -> tuple[str, ...]:
    if len(words) != number:
        raise ValueError(f"takes {number} words, not {len(words)}")
    return words
