"""Every name in the data directory and in the object store, with formatter and parser side by side.

What stands beside the data directory has its paths in ``config.Settings``.

::

    <local_storage_path><data_path>/             one agent owns it (agent.lock); directories 0700, files 0600
      tmp/        <spool number>.spool           open: a worker appends to it and holds its lock
                  <spool number>.spool.new       being created, holds nothing that was acknowledged
                  <anything>.part                half-made file, worth nothing after a crash
      sealed/     <spool number>.spool           complete, waits to be packed, never changed again
      recovered/  <spool number>~recoveredTS~<time>.spool    left by a process that died, waits to be packed
      staging/    <bucket directory>/<file>      closed, ready to upload, never changed again
      failed/     <bucket directory>/<file>      gave up for now
      damaged/    <name>, <name>.reason.json     could not be read, with the reason beside it
      keys/       index.db, later index.<n>.db   which idempotency keys were used; turn.lock: who may use it
                  <owner>.worker                 locked by a worker that claims keys, as long as it lives
      ledger.db   history and totals
      control.sock

    <spool number>       12 lower-case hex digits (48 random bits)
    <bucket directory>   <org>~<env>~<start>[~recoveredTS~<time>]
    <file>               <4 hex>_<start>.<end>_<instance id>_writer_<n>[_recovered_<time>].txt.gz
    <start>, <end>       yyyyMMddHHmmss, UTC
    <time>               yyyyMMddHHmmss.SSS, UTC: when the dead process's spool was moved to recovered/
    <n>                  spool number (decimal) * 1,000,000 + number of the file within the spool

Bytes of org and env other than ``A-Z a-z 0-9 . _ -`` are percent-encoded. The names that the Go original left in
``tmp``, ``recovered``, ``staging`` and ``failed`` parse with the same functions.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, unquote

from apidanalytics import durable
from apidanalytics.instants import format_instant, parse_instant

MAX_TENANT_BYTES: Final = 180
"""Longest encoded ``<org>~<env>``; a file name holds 255 bytes, and the rest of the directory's name needs 54."""

FILES_PER_SPOOL: Final = 1_000_000
"""How many files one spool may become: the factor between a spool number and the numbers of its files."""

_SAFE: Final = "._-"
_SPOOL_NUMBER: Final = r"(?P<number>[0-9a-f]{12})"
_RECOVERED: Final = r"[0-9]{14}\.[0-9]{3}"
_BUCKET: Final = re.compile(
    rf"(?P<org>[^~/]+)~(?P<env>[^~/]+)~(?P<start>[0-9]{{14}})(?:~recoveredTS~(?P<recovered>{_RECOVERED}))*"
)
_FILE: Final = re.compile(
    r"(?P<hash>[0-9a-f]{1,4})_(?P<start>[0-9]{14})\.(?P<end>[0-9]{14})_(?P<instance>[A-Za-z0-9.-]{1,64})"
    rf"_writer_(?P<n>[0-9]+)(?:_recovered_(?P<recovered>{_RECOVERED}))*\.txt\.gz"
)
_KEY_INDEX: Final = re.compile(r"index(?:\.(?P<number>[0-9]{1,9}))?\.db")
_OPEN_SPOOL: Final = re.compile(rf"{_SPOOL_NUMBER}\.spool")
_RECOVERED_SPOOL: Final = re.compile(rf"{_SPOOL_NUMBER}~recoveredTS~(?P<recovered>{_RECOVERED})\.spool")


def format_tenant(org: str, env: str) -> str:
    """Return ``<org>~<env>``, percent-encoded, so that no name can leave its directory."""
    return f"{quote(org, safe=_SAFE).replace('~', '%7E')}~{quote(env, safe=_SAFE).replace('~', '%7E')}"


def parse_tenant(name: str) -> tuple[str, str]:
    """Return (org, env) of an encoded tenant name.

    Raises:
        ValueError: the name is not two non-empty parts around one ``~``.

    """
    org, tilde, env = name.partition("~")
    if not (org and tilde and env) or "~" in env:
        raise ValueError(f"not a tenant name: {name}")
    return unquote(org), unquote(env)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketName:
    """The directory of one tenant and start: ``<org>~<env>~<start>[~recoveredTS~<time>]``."""

    tenant: str
    """Encoded tenant name; for a directory of the Go original, its own two parts as they stand."""
    start_at: int
    recovered: str | None = None
    """Recovery time as text, for the data of a process that died."""

    def __str__(self) -> str:
        mark = f"~recoveredTS~{self.recovered}" if self.recovered else ""
        return f"{self.tenant}~{format_instant(self.start_at)}{mark}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a directory's name.

        Raises:
            ValueError: it is not of this form, or names an instant that does not exist.

        """
        match = _BUCKET.fullmatch(name)
        if match is None:
            raise ValueError(f"not a bucket directory: {name}")
        return cls(
            tenant=f"{match['org']}~{match['env']}",
            start_at=parse_instant(match["start"]),
            recovered=match["recovered"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileName:
    """A staged file, and the last part of its object key."""

    hash: str
    """Hex digits that spread keys over the store's partitions."""
    start_at: int
    end_at: int
    instance_id: str
    n: int
    recovered: str | None = None

    def __str__(self) -> str:
        mark = f"_recovered_{self.recovered}" if self.recovered else ""
        period = f"{format_instant(self.start_at)}.{format_instant(self.end_at)}"
        return f"{self.hash}_{period}_{self.instance_id}_writer_{self.n}{mark}.txt.gz"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a file's name.

        Raises:
            ValueError: it is not of this form, or names an instant that does not exist.

        """
        match = _FILE.fullmatch(name)
        if match is None:
            raise ValueError(f"not a staged file: {name}")
        return cls(
            hash=match["hash"],
            start_at=parse_instant(match["start"]),
            end_at=parse_instant(match["end"]),
            instance_id=match["instance"],
            n=int(match["n"]),
            recovered=match["recovered"],
        )


def name_hash(spool_number: int, tenant: str, start_at: int, part: int) -> str:
    """Return the four hex digits of a file's name: the same for the same spool, whenever it is packed."""
    text = f"{spool_number:012x}/{tenant}/{start_at}/{part}"
    return hashlib.blake2b(text.encode(), digest_size=2).hexdigest()


def format_object_path(file: str, start_at: int) -> str:
    """Return ``date=<yyyy-MM-dd>/time=<HH-mm>/<file>``, the object key below the tenant's prefix."""
    return f"{_partition(start_at)}/{file}"


@lru_cache(maxsize=1024)
def _partition(start_at: int) -> str:
    return f"{datetime.fromtimestamp(start_at, UTC):date=%Y-%m-%d/time=%H-%M}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolName:
    """The file of one spool: ``<number>.spool``, or ``<number>~recoveredTS~<time>.spool`` after its process died."""

    number: int
    """48 random bits, never used twice."""
    recovered: str | None = None

    def __str__(self) -> str:
        mark = f"~recoveredTS~{self.recovered}" if self.recovered else ""
        return f"{self.number:012x}{mark}.spool"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Parse a spool's name, open, sealed or recovered.

        Raises:
            ValueError: it is not of this form.

        """
        match = _OPEN_SPOOL.fullmatch(name) or _RECOVERED_SPOOL.fullmatch(name)
        if match is None:
            raise ValueError(f"not a spool: {name}")
        return cls(number=int(match["number"], 16), recovered=match.groupdict().get("recovered"))


def format_key_index(number: int) -> str:
    """Return the file name of the first index of keys, the second, and so on: no name is used twice."""
    return "index.db" if number == 1 else f"index.{number}.db"


def parse_key_index(name: str) -> int:
    """Return which index of keys this is.

    Raises:
        ValueError: it is none.

    """
    match = _KEY_INDEX.fullmatch(name)
    if match is None:
        raise ValueError(f"not an index of keys: {name}")
    return int(match["number"] or 1)


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The tree below ``<local_storage_path><data_path>``."""

    root: Path

    @property
    def tmp(self) -> Path:
        """Open spools and half-made files."""
        return self.root / "tmp"

    @property
    def sealed(self) -> Path:
        """Spools that wait to be packed."""
        return self.root / "sealed"

    @property
    def recovered(self) -> Path:
        """Spools of processes that died, waiting to be packed."""
        return self.root / "recovered"

    def spools(self) -> Iterator[tuple[int, Path]]:
        """Yield number and path of every spool that is not packed: open, sealed or recovered.

        One that moves on meanwhile may come twice, or be gone. What has no spool's name is passed over; packing
        reports it.
        """
        for directory in (self.tmp, self.sealed, self.recovered):
            for path in filter(durable.is_plain_file, directory.glob("*.spool")):
                try:
                    yield SpoolName.parse(path.name).number, path
                except ValueError:
                    continue

    @property
    def staging(self) -> Path:
        """Files ready to upload."""
        return self.root / "staging"

    @property
    def failed(self) -> Path:
        """Files whose upload was given up for now."""
        return self.root / "failed"

    @property
    def damaged(self) -> Path:
        """What could not be read, with the reason beside it."""
        return self.root / "damaged"

    @property
    def keys(self) -> Path:
        """The index of idempotency keys, and the locks of the workers that use it."""
        return self.root / "keys"

    @property
    def ledger(self) -> Path:
        """History and totals."""
        return self.root / "ledger.db"

    @property
    def control(self) -> Path:
        """The socket for commands."""
        return self.root / "control.sock"

    @property
    def lock(self) -> Path:
        """Held by the one agent that owns this directory."""
        return self.root / "agent.lock"

    def create(self) -> None:
        """Make every directory that is missing, and all of them private to this user.

        Raises:
            OSError: one of those within is a link, which could lead what is kept anywhere.

        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.make_private(self.root)
        spools = self.tmp, self.sealed, self.recovered
        for path in (*spools, self.staging, self.failed, self.damaged, self.keys):
            durable.make_private_directory(path)
            durable.make_private(path)
