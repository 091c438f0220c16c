"""Names of tenants, buckets, files, spools and key indexes: formatter and parser side by side."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Self
from urllib.parse import quote, unquote

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


def is_bucket(name: str) -> bool:
    """Tell whether this is the name of a bucket directory."""
    try:
        BucketName.parse(name)
    except ValueError:
        return False
    return True


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


def spool_of(name: str) -> int | None:
    """Return the number of the spool of which the file of this name was made; None: this is no file's name."""
    try:
        return FileName.parse(name).n // FILES_PER_SPOOL
    except ValueError:
        return None


def spool_pattern(number: int) -> str:
    """Return what ``GLOB`` finds the names of all files by that were made of the spool of this number."""
    digits = len(str(FILES_PER_SPOOL)) - 1
    return f"*_writer_{number}{'[0-9]' * digits}[._]*"


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
