r"""Adds organization, environment and developer data to records, byte-preserving (section 2 of the contract).

What is added for one tenant, one API key and one set of members already there is the same bytes every time, in two
parts: what is said of the tenant, and the record's *tail*, all that follows, from the comma to the line feed. Tenants
that share their developer data (one ``tenant_id``) share the tails::

    {"client_id":"K1","a":1  +  ,"organization":"acme","environment":"prod"  +  ,"api_product":...,"developer":"ann"}\n
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Raw

from apidanalytics.ingest.decode import Members, parse_text
from apidanalytics.ingest.edit import MAX_MEMBERS, Span, replace_values
from apidanalytics.ingest.lookups import developer_of
from apidanalytics.ingest.ports import Scopes
from apidanalytics.model import Tenant

MAX_TAILS: Final = 200_000
"""Tails kept, over all tenants; some 400 bytes each. When half of them are new, those not used since then go."""
MAX_CACHED_KEY: Final = 256
"""Longest API key whose tail is kept, in characters."""

TENANT_MEMBERS: Final = ("organization", "environment")
DEVELOPER_MEMBERS: Final = ("api_product", "developer_app", "developer_email", "developer")

_BITS: Final = {name: 1 << index for index, name in enumerate((*TENANT_MEMBERS, *DEVELOPER_MEMBERS))}
_TENANT_BITS: Final = sum(_BITS[name] for name in TENANT_MEMBERS)
_NAMES: Final = {name: b',"%b":' % name.encode() for name in _BITS}
_BLANKS: Final = (b"null", b'""')


class TailMaker(Protocol):
    """Who makes tails, for all tenants. Tails keep it and their tenant: closures took 300 bytes more for each."""

    def make_tail(self, tenant: Tenant, present: int, client_id: str | None) -> bytes:
        """Return the tail of a record of this tenant that has these of our members already."""

    def count_tail(self) -> None:
        """Count one tail more that is kept."""


class Tails(dict[str | None, bytes]):
    """The tails of records that have the same of our members, by ``client_id``; made when asked for."""

    __slots__ = ("_maker", "_present", "_tenant", "former")

    def __init__(self, maker: "TailMaker", tenant: Tenant, present: int, former: "Tails | None" = None) -> None:
        super().__init__()
        self._maker = maker
        self._tenant = tenant
        self._present = present
        self.former = former
        """Those of before that are still good, and are taken over when they are asked for."""

    def __missing__(self, client_id: str | None) -> bytes:
        tail = None if self.former is None else self.former.get(client_id)
        if tail is None:
            tail = self._maker.make_tail(self._tenant, self._present, client_id)
        if client_id is None or len(client_id) <= MAX_CACHED_KEY:
            self[client_id] = tail
            self._maker.count_tail()
        return tail


class Additions(NamedTuple):
    """What is added to the records of one tenant that have the same of our members."""

    tenant: bytes
    tails: Tails


class Enrichment:
    """Knows what to add to a record."""

    def __init__(
        self, scopes: Scopes, *, overwrites: bool, adds_developer: bool, max_members: int = MAX_MEMBERS
    ) -> None:
        self._scopes = scopes
        self._max_members = max_members
        self._overwrites = overwrites
        self._adds_developer = adds_developer
        self._added = (*TENANT_MEMBERS, *DEVELOPER_MEMBERS) if adds_developer else TENANT_MEMBERS
        self._generation = scopes.generation
        self._additions: dict[tuple[str, str, int], Additions] = {}
        self._tails: dict[tuple[str, int], Tails] = {}
        self._former: dict[tuple[str, int], Tails] = {}
        self._kept = 0

    def __repr__(self) -> str:
        return f"<Enrichment generation {self._generation}: {self._kept} new tails of {len(self._tails)} kinds>"

    def additions(self, tenant: Tenant, present: int = 0) -> Additions:
        """Return what is added to this tenant's records that have these of our members already."""
        if self._generation != (generation := self._scopes.generation):
            self._generation = generation
            self._forget()
        key = (tenant.name, tenant.tenant_id, present)
        return self._additions.get(key) or self._learn(key, tenant, present)

    def pieces(self, record: Raw, members: Members, tenant: Tenant) -> tuple[bytes | memoryview, bytes, bytes]:
        """Return a record's text without its last brace, and what is added. It must have passed the checks.

        Raises:
            Refusal: the developer lookup failed, or a value is to be replaced among too many members.

        """
        present = sum(_BITS[name] for name in self._added if getattr(members, name) is not UNSET)
        of_tenant, tails = self.additions(tenant, present)
        tail = tails[parse_text(members.client_id)]
        names = self._to_replace(members) if present & _TENANT_BITS else ()
        if not names:
            return memoryview(record)[:-1], of_tenant, tail
        text = bytes(record)
        value_of = partial(self._new_value, text, tenant)
        return replace_values(text, names, value_of, self._max_members)[:-1], of_tenant, tail

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

    def _learn(self, key: tuple[str, str, int], tenant: Tenant, present: int) -> Additions:
        of_tenant = zip(TENANT_MEMBERS, (tenant.org, tenant.env), strict=True)
        members = [_NAMES[name] + _encode(text) for name, text in of_tenant if not present & _BITS[name]]
        additions = Additions(b"".join(members), self._tails_of(tenant, present & ~_TENANT_BITS))
        self._additions[key] = additions
        self.count_tail()
        return additions

    def _tails_of(self, tenant: Tenant, present: int) -> Tails:
        key = (tenant.tenant_id, present)
        tails = self._tails.get(key)
        if tails is None:
            former = self._former.pop(key, None)
            if former is not None:
                former.former = None
            tails = self._tails[key] = Tails(self, tenant, present, former)
        return tails

    def make_tail(self, tenant: Tenant, present: int, client_id: str | None) -> bytes:
        """Return what follows what is said of the tenant: the developer data, and the end.

        Raises:
            Refusal: the developer lookup failed.

        """
        if not client_id or not self._adds_developer:
            return b"}\n"
        developer = developer_of(self._scopes, tenant, client_id)
        members = [
            _NAMES[name] + _encode(getattr(developer, name)) for name in DEVELOPER_MEMBERS if not present & _BITS[name]
        ]
        return b"".join((*members, b"}\n"))

    def count_tail(self) -> None:
        """Count one more; when half of what may be kept is new, what was not used since then goes."""
        self._kept += 1
        if self._kept >= MAX_TAILS // 2:
            self._former, self._tails = self._tails, {}
            self._additions.clear()
            self._kept = 0

    def _forget(self) -> None:
        self._additions.clear()
        self._tails.clear()
        self._former.clear()
        self._kept = 0


def _encode(text: str) -> bytes:
    """Return a JSON string, also of scope data that hold what UTF-8 cannot."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(text.encode("utf-8", "replace").decode())
