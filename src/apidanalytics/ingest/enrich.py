r"""Adds organization, environment and developer data to records, byte-preserving.

What is added is the same bytes every time, in two parts: what is said of the tenant, and the record's *tail*, all that
follows, from the comma to the line feed, which the scope data hold ready for each API key::

    {"client_id":"K1","a":1  +  ,"organization":"acme","environment":"prod"  +  ,"api_product":...,"developer":"ann"}\n
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Final

import msgspec
from msgspec import UNSET, Raw

from apidanalytics.errors import LookupFailedError
from apidanalytics.ingest.decode import Members, parse_text
from apidanalytics.ingest.edit import MAX_MEMBERS, Span, replace_values
from apidanalytics.ingest.lookups import developer_failed
from apidanalytics.ingest.ports import Scopes, Tails
from apidanalytics.model import Tenant

MAX_TENANTS: Final = 100_000
"""Tenants, times the members of ours that their records have, for which what is added is kept."""
MAX_SHORTENED: Final = 10_000
"""Tails that are kept without the members that a record has already."""

TENANT_MEMBERS: Final = ("organization", "environment")
DEVELOPER_MEMBERS: Final = ("api_product", "developer_app", "developer_email", "developer")

_BITS: Final = {name: 1 << index for index, name in enumerate((*TENANT_MEMBERS, *DEVELOPER_MEMBERS))}
_TENANT_BITS: Final = sum(_BITS[name] for name in TENANT_MEMBERS)
_DEVELOPER_BITS: Final = sum(_BITS[name] for name in DEVELOPER_MEMBERS)
_BLANKS: Final = (b"null", b'""')


Additions = tuple[bytes, Tails]
"""What is added to the records of one tenant that have the same of our members: what is said of it, and the tails."""


class _NothingSaid:
    """The tails where developer data are not added."""

    def __getitem__(self, api_key: str | None, /) -> bytes:
        return b"}\n"

    def of(self, api_keys: Sequence[str | None], /) -> Sequence[bytes]:
        return [b"}\n"] * len(api_keys)


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
        self._nothing = None if adds_developer else _NothingSaid()
        self._of_tenant: dict[tuple[str, int], bytes] = {}

    def __repr__(self) -> str:
        return f"<Enrichment of {len(self._of_tenant)} tenants>"

    def additions(self, tenant: Tenant, present: int = 0) -> Additions:
        """Return what is added to this tenant's records that have these of our members already.

        The tails are whole whatever is present, and good for one turn of the event loop. Looking into them raises
        ``LookupFailedError`` when nobody can say who stands behind a key.
        """
        key = (tenant.name, present & _TENANT_BITS)
        of_tenant = self._of_tenant.get(key)
        if of_tenant is None:
            of_tenant = self._learn(*key, tenant)
        return of_tenant, self._scopes.tails(tenant) if self._nothing is None else self._nothing

    def pieces(self, record: Raw, members: Members, tenant: Tenant) -> tuple[bytes | memoryview, bytes, bytes]:
        """Return a record's text without its last brace, and what is added. It must have passed the checks.

        Raises:
            Refusal: the developer lookup failed, or a value is to be replaced among too many members.

        """
        present = sum(_BITS[name] for name in self._added if getattr(members, name) is not UNSET)
        of_tenant, tail = self._addition(tenant, present, parse_text(members.client_id))
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

    def _addition(self, tenant: Tenant, present: int, api_key: str | None) -> tuple[bytes, bytes]:
        of_tenant, tails = self.additions(tenant, present)
        try:
            tail = tails[api_key]
        except LookupFailedError:
            raise developer_failed() from None
        present &= _DEVELOPER_BITS
        return of_tenant, _shortened(tail, present) if present else tail

    def _learn(self, name: str, present: int, tenant: Tenant) -> bytes:
        texts = zip(TENANT_MEMBERS, (tenant.org, tenant.env), strict=True)
        members = [b',"%b":%b' % (each.encode(), _encode(text)) for each, text in texts if not present & _BITS[each]]
        if len(self._of_tenant) >= MAX_TENANTS:
            self._of_tenant.clear()
        added = self._of_tenant[name, present] = b"".join(members)
        return added


@lru_cache(MAX_SHORTENED)
def _shortened(tail: bytes, present: int) -> bytes:
    """Return a tail without the members that are present."""
    said: dict[str, Raw] = msgspec.json.decode(b"{" + tail[1:], type=dict[str, Raw]) if tail.startswith(b",") else {}
    members = [b',"%b":%b' % (name.encode(), text) for name, text in said.items() if not present & _BITS[name]]
    return b"".join((*members, b"}\n"))


def _encode(text: str) -> bytes:
    """Return a JSON string, also of scope data that hold what UTF-8 cannot."""
    try:
        return msgspec.json.encode(text)
    except UnicodeEncodeError:
        return msgspec.json.encode(text.encode("utf-8", "replace").decode())
