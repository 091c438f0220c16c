"""Keeping what cannot be packed: ``damaged/<name>`` with ``<name>.reason.json`` beside it, counted and logged.

Nothing here loses evidence: a name that is taken by other content gets a number, and everything is on disk and in
the ledger before the original may go. Doing it again after a crash ends in the same files and the same counts.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from apidanalytics import durable
from apidanalytics.clock import Clock
from apidanalytics.layout import DataDirectory
from apidanalytics.model import Damage
from apidanalytics.pack.ports import PackLedger

log = structlog.get_logger()

_HINT: Final = "the file and its .reason.json are kept in damaged/ for you to look at; nothing reads them again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why something is set aside, and how much of it is thereby not delivered."""

    reason: str
    """The same words for the same thing: the ledger counts once per name and reason."""
    amounts: Mapping[str, tuple[int, int]]
    """(records, bytes) by tenant; tenant ``""`` and no records where nobody can tell."""
    damage: tuple[Damage, ...] = ()
    """Where in the file."""


class Aside:
    """The way of a spool, or of a part of it, into ``damaged/``."""

    def __init__(self, data: DataDirectory, ledger: PackLedger, clock: Clock) -> None:
        self._data = data
        self._ledger = ledger
        self._clock = clock

    def copy(self, path: Path, why: Why) -> None:
        """Keep a copy; the original is not touched."""
        target = durable.free_path(self._data.damaged / path.name, path)
        if not target.exists():
            part = target.with_name(target.name + ".part")
            with os.fdopen(durable.create(part), "wb") as copy, path.open("rb") as original:
                shutil.copyfileobj(original, copy)
            durable.sync_file(part)
            durable.rename(part, target)
        self._note(target, why)

    def link(self, path: Path, why: Why) -> None:
        """Give the original a second name there, to keep it by when another file takes its own."""
        target = durable.free_path(self._data.damaged / path.name, path)
        if not target.exists():
            os.link(path, target)
            durable.sync_directory(target.parent)
        self._note(target, why)

    def move(self, path: Path, why: Why, name: str = "") -> None:
        """Move the original away, under another name if one is given."""
        target = durable.free_path(self._data.damaged / (name or path.name), path)
        self._note(target, why)
        durable.sync_file(path)
        durable.rename(path, target)

    def _note(self, target: Path, why: Why) -> None:
        at = self._clock.now()
        records, size = (sum(amounts) for amounts in zip(*why.amounts.values(), strict=True))
        content = {
            "name": target.name,
            "reason": why.reason,
            "records": records,
            "bytes": size,
            "damage": [{"offset": d.offset, "length": d.length, "reason": d.reason} for d in why.damage],
            "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        }
        text = msgspec.json.format(msgspec.json.encode(content), indent=2)
        durable.write(target.with_name(f"{target.name}.reason.json"), text)
        for tenant, (lost, length) in why.amounts.items():
            reason = f"{why.reason} ({tenant})" if tenant else why.reason
            self._ledger.set_aside(target.name, lost, length, reason, at, tenant)
        log.error("pack.set_aside", name=target.name, reason=why.reason, records=records, bytes=size, hint=_HINT)
