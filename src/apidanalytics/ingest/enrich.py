r"""Adds organization, environment and developer data to records, byte-preserving (section 2 of the contract).

What is added for one tenant, one API key and one set of members already there is the same bytes every time. It is
kept as the record's *tail*: all that follows the record's last member, from the comma to the line feed::

    {"client_id":"K1","a":1  +  ,"organization":"acme","environment":"prod",...,"developer":"ann"}\n
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from apidanalytics.ingest.decode import Members, parse_text
from apidanalytics.ingest.edit import MAX_MEMBERS, Span, replace_values
from apidanalytics.ingest.lookups import developer_of
from apidanalytics.ingest.ports import Scopes
from apidanalytics.model import Tenant

MAX_TAILS: Final = 20_000
"""Tails kept, over all tenants; some 300 bytes each."""
MAX_CACHED_KEY: Final = 256
"""Longest API key whose tail is kept, in characters."""

TENANT_MEMBERS: Final = ("organization", "environment")
DEVELOPER_MEMBERS: Final = ("api_product", "developer_app", "developer_email", "developer")

_BITS: Final = {name: 1 << index for index, name in enumerate((*TENANT_MEMBERS, *DEVELOPER_MEMBERS))}
_TENANT_BITS: Final = sum(_BITS[name] for name in TENANT_MEMBERS)
_NAMES: Final = {name: b',"%b":' % name.encode() for name in _BITS}
_BLANKS: Final = (b"null", b'""')


class Tails(dict[str | None, bytes]):
    """The tails of one tenant's records that have the same of our members, by ``client_id``; made when asked for."""

    __slots__ = ("_count", "_make")

    def __init__(self, make: Callable[[str | None], bytes], count: Callable[[], None]) -> None:
        super().__init__()
        self._make = make
        self._count = count

    def __missing__(self, client_id: str | None) -> bytes:
        tail = self._make(client_id)
        if client_id is None or len(client_id) <= MAX_CACHED_KEY:
            self._count()
            self[client_id] = tail
        return tail


class Enrichment:
    """Knows what to add to a record."""

    def __init__(
        self, scopes: Scopes, *, overwrites: bool, adds_developer: bool, max_members: int = MAX_MEMBERS
    ) -> None:
        self._scopes = scopes
        self._max_members = max_members
        self._overwrites = overwrites
        self._added = (*TENANT_MEMBERS, *DEVELOPER_MEMBERS) if adds_developer else TENANT_MEMBERS
        self._generation = scopes.generation
        self._tails: dict[tuple[str, str, int], Tails] = {}
        self._kept = 0

    def __repr__(self) -> str:
        return f"<Enrichment generation {self._generation}: {self._kept} tails of {len(self._tails)} kinds>"

    def tails(self, tenant: Tenant, present: int = 0) -> Tails:
        """Return the tails for this tenant's records that have these of our members already."""
        if self._generation != (generation := self._scopes.generation):
            self._generation = generation
            self._forget()
        key = (tenant.name, tenant.tenant_id, present)
        tails = self._tails.get(key)
        if tails is None:
            self._count()
            tails = self._tails[key] = Tails(partial(self._make_tail, tenant, present), self._count)
        return tails

    def pieces(self, record: Raw, members: Members, tenant: Tenant) -> tuple[bytes | memoryview, bytes]:
        """Return a record's text without its last brace, and its tail. It must have passed the checks.

        Raises:
            Refusal: the developer lookup failed, or a value is to be replaced among too many members.

        """
        present = sum(_BITS[name] for name in self._added if getattr(members, name) is not UNSET)
        tail = self.tails(tenant, present)[parse_text(members.client_id)]
        names = self._to_replace(members) if present & _TENANT_BITS else ()
        if not names:
            return memoryview(record)[:-1], tail
        text = bytes(record)
        return replace_values(text, names, partial(self._new_value, text, tenant), self._max_members)[:-1], tail

    def _to_replace(self, members: Members) -> Sequence[str]:
        """Return of which members the value may have to be replaced."""
        values = {name: getattr(members, name) for name in TENANT_MEMBERS}
        if self._overwrites:
            return [name for name, value in values.items() if value is not UNSET]
        return [name for name, value in values.items() if value is not UNSET and bytes(value) in _BLANKS]

    def _new_value(self, record: bytes, tenant: Tenant, span: Span) -> bytes | None:
        text = tenant.org if span.name == "organization" else tenant.env
        value = record[span.start : span.end]
        if self._overwrites:
            return None if parse_text(value) == text else _encode(text)
        return _encode(text) if span.is_last else None

    def _make_tail(self, tenant: Tenant, present: int, client_id: str | None) -> bytes:
        added = (
            _NAMES[name] + _encode(text) for name, text in self._values(tenant, client_id) if not present & _BITS[name]
        )
        return b"".join((*added, b"}\n"))

    def _values(self, tenant: Tenant, client_id: str | None) -> Iterator[tuple[str, str]]:
        yield from zip(TENANT_MEMBERS, (tenant.org, tenant.env), strict=True)
        if client_id and self._added is not TENANT_MEMBERS:
            developer = developer_of(self._scopes, tenant, client_id)
            for name in DEVELOPER_MEMBERS:
                yield name, getattr(developer, name)

    def _count(self) -> None:
        if self._kept >= MAX_TAILS:
            self._forget()
        self._kept += 1

    def _forget(self) -> None:
        self._tails.clear()
        self._kept = 0


def _encode(text: str) -> bytes:
    """Return a JSON string, also of scope data that hold what UTF-8 cannot."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(text.encode("utf-8", "replace").decode())
