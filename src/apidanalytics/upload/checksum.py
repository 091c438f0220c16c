"""What a staged file's bytes are held against before a store may have them.

It guards against accidents, as bits that flip on a disk. So it is XXH3 with 128 bits where the ledger has that: 0.02 ms
for a megabyte, where SHA-256 takes 0.65 with the processor's help. An entry of an older ledger has SHA-256 alone.
"""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import xxhash

from apidanalytics.model import StagedFile


class ChangedError(Exception):
    """The file has other bytes than when it was made; the text says how."""


class Digest(Protocol):
    """Takes bytes as they go by."""

    def update(self, data: bytes, /) -> None:
        """Take more."""

    def hexdigest(self) -> str:
        """Return what it is of all so far, in lower-case hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """The checksums of when a file was made, in lower-case hex; one of them is looked at."""

    sha256: str
    xxh3: str | None = None

    @classmethod
    def of(cls, file: StagedFile) -> "Checksum":
        """Return those that the ledger has of a file."""
        return cls(sha256=file.sha256, xxh3=file.xxh3)

    def begin(self) -> Digest:
        """Return a digest for the file as it is now."""
        return hashlib.sha256() if self.xxh3 is None else xxhash.xxh3_128()

    def compare(self, found: Digest) -> None:
        """Hold what was found against what it was.

        Raises:
            ChangedError: it is another.

        """
        kind, made = ("SHA-256", self.sha256) if self.xxh3 is None else ("XXH3", self.xxh3)
        if found.hexdigest() != made:
            raise ChangedError(f"its {kind} is {found.hexdigest()}, and was {made} when it was made")
