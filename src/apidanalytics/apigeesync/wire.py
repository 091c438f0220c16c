"""The answers of the change server as values."""

import re
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

import msgspec

from apidanalytics.apigeesync.sequence import Sequence
from apidanalytics.telemetry.masking import MASK, mask_text

SNAPSHOT_TOO_OLD: Final = "SNAPSHOT_TOO_OLD"
_LOOKED_AT: Final = 4096
"""Characters of an error's text, of which the first few are shown: a server may send megabytes."""
_TXID: Final = re.compile(r"[0-9]{1,20}:[0-9]{1,20}:[0-9,]{0,100000}")


class Operation(IntEnum):
    """What a change did."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3


class Value(msgspec.Struct, frozen=True, gc=False):
    """One column of a row."""

    value: str | float | bool | None = None
    type: int = 0
    """PostgreSQL type."""


Row = Mapping[str, Value]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One row that changed."""

    operation: Operation
    table: str
    sequence: str = ""
    new_row: dict[str, Value] | None = msgspec.field(default=None, name="newRow")
    old_row: dict[str, Value] | None = msgspec.field(default=None, name="oldRow")

    @property
    def table_name(self) -> str:
        """The table as snapshots call it: ``kms."user"`` is ``kms_user``."""
        return self.table.replace('"', "").replace(".", "_").lower()


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    last: str = msgspec.field(name="lastSequence")
    first: str = msgspec.field(default="", name="firstSequence")
    changes: list[Change] | None = None


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since a sequence; often nothing."""

    last: Sequence
    first: Sequence | None
    changes: tuple[Change, ...]


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    code: str = ""
    error: str = ""
    description: str = ""


_answers: Final = msgspec.json.Decoder(_Answer)
_errors: Final = msgspec.json.Decoder(_Error)


def read_changes(body: bytes) -> ChangeList:
    """Return the change list in this body.

    Raises:
        ValueError: it is none.

    """
    try:
        answer = _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("not a change list") from error
    first = Sequence.parse(answer.first) if answer.first else None
    return ChangeList(last=Sequence.parse(answer.last), first=first, changes=tuple(answer.changes or ()))


def read_error(body: bytes, secrets: Iterable[str] = ()) -> tuple[str, str]:
    """Return code and text of an error body; both empty when it is something else (HTML).

    Both are cut and printable, and without what a server may repeat of its request: ``secrets``, tokens, passwords.
    """
    try:
        error = _errors.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "", ""
    text = ": ".join(part for part in (error.error, error.description) if part)
    hidden = [secret for secret in secrets if secret]
    return _printable(_masked(error.code, hidden), 60), _printable(_masked(text, hidden), 200)


def read_txid(text: str) -> str:
    """Return a snapshot's name (``xmin:xmax:xip,xip``); it becomes part of a path and of a query.

    Raises:
        ValueError: it is none.

    """
    if not _TXID.fullmatch(text):
        raise ValueError("not the name of a snapshot")
    return text


def _masked(text: str, secrets: Iterable[str]) -> str:
    text = text[:_LOOKED_AT]
    for secret in secrets:
        text = text.replace(secret, MASK)
    return mask_text(text)


def _printable(text: str, longest: int) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:longest])
