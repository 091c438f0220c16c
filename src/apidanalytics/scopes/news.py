"""What a change list changed, so that a worker renews that and nothing else."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

MAX_ITEMS: Final = 2000
"""News of more than this is no news: reading everything anew is quicker, and a message stays short."""


class Kind(StrEnum):
    """What an API key's developer data is made of, beside the key itself."""

    PRODUCT = "product"
    APP = "app"
    DEVELOPER = "developer"


class News(msgspec.Struct, frozen=True, kw_only=True):
    """From one sequence to the next: what may have another answer now."""

    after: str
    """The sequence before. Who stands at another one has missed something, and reads everything anew."""
    sequence: str
    is_all: bool = False
    """Anything may have changed."""
    scopes: tuple[str, ...] = ()
    """Scope uuids."""
    keys: tuple[tuple[str, str], ...] = ()
    """(tenant id, API key)."""
    parts: tuple[tuple[Kind, str, str], ...] = ()
    """(kind, tenant id, id)."""

    @property
    def may_bring_tenants(self) -> bool:
        """Whether there may be tenants that were not there before."""
        return self.is_all or bool(self.scopes)

    def shortened(self) -> "News":
        """Return it as it may be sent to workers: without a list that is too long."""
        if len(self.scopes) + len(self.keys) + len(self.parts) <= MAX_ITEMS:
            return self
        return News(after=self.after, sequence=self.sequence, is_all=True)


def part_hash(kind: Kind, identifier: str) -> int:
    """Return a number of 64 bits for a part, the same in every process: a cache keeps it instead of the text."""
    digest = hashlib.blake2b(f"{kind}\0{identifier}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def hashes_by_kind(parts: Iterable[tuple[Kind, str, str]]) -> dict[Kind, dict[str, set[int]]]:
    """Return the numbers of these parts by kind, and by tenant id."""
    found: dict[Kind, dict[str, set[int]]] = {}
    for kind, tenant_id, identifier in parts:
        found.setdefault(kind, {}).setdefault(tenant_id, set()).add(part_hash(kind, identifier))
    return found
