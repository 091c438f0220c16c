"""What the change server answers: which changes are due, in which form, and why a question is refused."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tests.apigeesync import database as model
from tests.apigeesync.database import Change, Database, Row
from tests.apigeesync.tables import Table
from tests.apigeesync.values import TimestampForm, in_change

DEFAULT_LIMIT = 100
MAX_LIMIT = 100_000
_SELECTOR = re.compile(r"[0-9a-z_-]+\Z")
_SEQUENCE = re.compile(r"([0-9A-Fa-f]+)\.([0-9A-Fa-f]+)\.([0-9A-Fa-f]+)")
_SNAPSHOT = re.compile(r"([0-9]*):([0-9]*):(([0-9],?)+)?\Z")


class RefusedError(Exception):
    """The question is answered with an error: ``status``, ``code``, ``description``."""

    def __init__(self, status: int, code: str, description: str = "") -> None:
        super().__init__(status, code, description)
        self.status, self.code, self.description = status, code, description


@dataclass(frozen=True, kw_only=True)
class Visible:
    """The transactions that a snapshot holds."""

    xmin: int
    xmax: int
    running: frozenset[int]

    def __contains__(self, txid: int) -> bool:
        return txid < self.xmin or (txid < self.xmax and txid not in self.running)


@dataclass(frozen=True, kw_only=True)
class Question:
    """The parameters of a request, checked."""

    selectors: frozenset[str]
    since: model.Sequence
    snapshot: Visible | None
    limit: int
    block_seconds: int

    def concerns(self, change: Change) -> bool:
        """Return whether this change is due."""
        is_known = self.snapshot is not None and change.txid in self.snapshot
        return change.sequence > self.since and change.selector in self.selectors and not is_known


def read_question(query: Iterable[tuple[str, str]]) -> Question:
    """Read the parameters, in the server's order.

    Raises:
        RefusedError: one of them has a form that the server does not take.

    """
    query = list(query)
    given = dict(reversed(query))
    limit = _integer(given, "limit", DEFAULT_LIMIT)
    if limit > MAX_LIMIT:
        raise RefusedError(400, "PARAMETER_INVALID", f"limit too high, exceeds max {MAX_LIMIT}")
    return Question(
        limit=limit,
        block_seconds=_integer(given, "block", 0),
        selectors=frozenset(read_selectors(query, "PARAMETER_INVALID")) or frozenset({""}),
        since=parse_sequence(given.get("since", "")),
        snapshot=_parse_snapshot(given.get("snapshot", "")),
    )


def read_selectors(query: Iterable[tuple[str, str]], code: str) -> list[str]:
    """Return the scopes that are asked for: all of ``scope``, then all of ``selector``.

    Raises:
        RefusedError: with this code; one has other characters than lower-case letters, digits, ``_`` and ``-``.

    """
    query = list(query)
    found = []
    for name in ("scope", "selector"):
        values = [value for key, value in query if key == name]
        if not all(map(_SELECTOR.match, values)):
            raise RefusedError(400, code, f"Invalid char in {name} param")
        found += values
    return found


def answer(database: Database, question: Question, timestamps: TimestampForm) -> dict[str, Any]:
    """Return the change list of this moment; ``changes`` is None when nothing is due.

    Raises:
        RefusedError: the client has missed changes that are gone by now.

    """
    with database.lock:
        _check_age(database, question.since)
        due = [change for change in database.log if question.concerns(change)][: max(question.limit, 0)]
        is_full = bool(due) and len(due) == question.limit
        return {
            "lastSequence": format_sequence(due[-1].sequence if is_full else database.last_sequence),
            "firstSequence": format_sequence(database.first_sequence),
            "changes": [_members(change, timestamps) for change in due] or None,
        }


def has_news(database: Database, selectors: Collection[str], after: model.Sequence) -> bool:
    """Return whether a change for one of the scopes came after this sequence, or the log was lost."""
    with database.lock:
        new = takewhile(lambda change: change.sequence > after, reversed(database.log))
        return database.last_sequence < after or any(change.selector in selectors for change in new)


def format_sequence(sequence: model.Sequence) -> str:
    lsn, index = sequence
    return f"{lsn >> 32:x}.{lsn & 0xFFFFFFFF:x}.{index:x}"


def parse_sequence(text: str) -> model.Sequence:
    """Read a sequence as the server does: anything around the three groups is overlooked.

    Raises:
        RefusedError: there are no three groups, or one has over 32 bits.

    """
    if not text:
        return (0, 0)
    match = _SEQUENCE.search(text)
    if match is None or any(len(group) > 8 for group in match.groups()):
        raise RefusedError(400, "PARAMETER_INVALID", "since")
    high, low, index = (int(group, 16) for group in match.groups())
    return (high << 32 | low, index)


def _check_age(database: Database, since: model.Sequence) -> None:
    following = (since[0], since[1] + 1)
    if (0, 1) < following < database.first_sequence:
        raise RefusedError(400, "SNAPSHOT_TOO_OLD")


def _parse_snapshot(text: str) -> Visible | None:
    if not text:
        return None
    match = _SNAPSHOT.match(text)
    if match is None or not match[1] or not match[2]:
        raise RefusedError(400, "PARAMETER_INVALID", "snapshot")
    running = (match[3] or "").split(",")
    return Visible(xmin=int(match[1]), xmax=int(match[2]), running=frozenset(int(txid) for txid in running if txid))


def _integer(given: dict[str, str], name: str, default: int) -> int:
    try:
        return int(given.get(name) or default)
    except ValueError:
        raise RefusedError(400, "PARAMETER_INVALID", name) from None


def _members(change: Change, timestamps: TimestampForm) -> dict[str, Any]:
    members: dict[str, Any] = {
        "operation": int(change.operation),
        "table": change.table.wire_name,
        "sequence": format_sequence(change.sequence),
        "commitSequence": change.sequence[0],
        "changeSequence": change.row_lsn,
        "commitIndex": change.sequence[1],
        "txid": change.txid,
        "timestamp": change.stored_at,
    }
    rows: Sequence[tuple[str, Row | None]] = (("newRow", change.new), ("oldRow", change.old))
    return members | {name: _row(change.table, row, timestamps) for name, row in rows if row is not None}


def _row(table: Table, row: Row, timestamps: TimestampForm) -> dict[str, Any]:
    types = {name: table.columns[name] for name in sorted(row)}
    return {name: {"value": in_change(row[name], oid, timestamps), "type": oid} for name, oid in types.items()}
