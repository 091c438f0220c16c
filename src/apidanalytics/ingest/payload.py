"""From the body of a POST to its tenant and its records by the checks of ``docs/errors.md``.

The quick way makes all checks at once. Whatever is not as nearly all bodies are goes the exact way, which starts
again and makes them one by one, in the order of that page; it alone refuses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from apidanalytics.errors import bad_data, not_json
from apidanalytics.ingest.decode import (
    Envelope,
    NamedBatch,
    PlainApiRecord,
    PlainRecord,
    ScopedBatch,
    is_json,
    is_list,
    is_null,
    is_utf8,
    parse_envelope,
    parse_text,
)
from apidanalytics.ingest.enrich import TENANT_MEMBERS, Enrichment
from apidanalytics.ingest.lookups import tenant_by_name
from apidanalytics.ingest.ports import Scopes
from apidanalytics.ingest.records import Lines, Masking, Records, Steps, finish, no_records, without_line_breaks
from apidanalytics.ingest.validate import Rules, check_not_empty
from apidanalytics.model import Tenant

Find = Callable[[str, str], Tenant]
"""Returns the tenant of an org and env, or raises a ``Refusal``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadOptions:
    """How batches are checked and enriched."""

    is_strict: bool = False
    """``apidanalytics_validation`` is ``strict``."""
    overwrites_tenant: bool = False
    """``apidanalytics_tenant_fields`` is ``overwrite``."""
    adds_developer: bool = True
    """``apidanalytics_developer_info``."""
    max_records: int = 50_000
    """``apidanalytics_max_batch_records``."""
    max_members: int = 10_000
    """``apidanalytics_max_record_members``."""
    mask: Masking | None = None
    """``apidanalytics_mask``."""


class Payload(msgspec.Struct, frozen=True, gc=False):
    """What an accepted body holds."""

    tenant: Tenant
    records: int
    lines: bytes
    """One record a line, each line ended by a line feed."""


class PayloadReader:
    """Reads bodies for one source of scope data. ``now`` is always the Unix time of arrival."""

    def __init__(self, scopes: Scopes, options: PayloadOptions) -> None:
        record: Any = PlainApiRecord if options.adds_developer else PlainRecord
        self._scoped = msgspec.json.Decoder(ScopedBatch[record])
        self._named = msgspec.json.Decoder(NamedBatch[record])
        self._array = msgspec.json.Decoder(list[record])
        self.find: Find = partial(tenant_by_name, scopes)
        """How a tenant that a body names is found, unless a call says otherwise."""
        self.max_records = options.max_records
        self._records = Records(
            rules=Rules(is_strict=options.is_strict),
            enrichment=Enrichment(
                scopes,
                overwrites=options.overwrites_tenant,
                adds_developer=options.adds_developer,
                max_members=options.max_members,
            ),
            max_records=options.max_records,
            mask=options.mask,
        )

    def read(self, body: bytes, tenant: Tenant | None, now: float, find: Find | None = None) -> Payload:
        """Return what an unzipped body holds, at once; for bodies of up to about a megabyte.

        Without a tenant the body has to name it, and ``find`` finds it.

        Raises:
            Refusal: it is not accepted.

        """
        try:
            return self._read_plain(body, tenant, now, find) or finish(self.read_in_order(body, tenant, now, find))
        except RecursionError:  # a later pass has less of the stack left than the first one
            raise not_json() from None

    def read_in_order(self, body: bytes, tenant: Tenant | None, now: float, find: Find | None = None) -> Steps[Payload]:
        """Return the same as ``read``, check by check, in steps.

        Raises:
            Refusal: it is not accepted.

        """
        envelope = parse_envelope(body)
        yield
        tenant = tenant or self.tenant_named(envelope, find)
        if (clean := without_line_breaks(body)) is not body:
            envelope = parse_envelope(clean)
            yield
        lines = yield from self._records.exact_lines(_list_of(envelope.records), tenant, now)
        return Payload(tenant, *lines)

    def read_array(self, array: bytes, tenant: Tenant, now: float) -> Lines | None:
        """Return the lines of an array of records, or None: it is not JSON. It is not empty.

        Raises:
            Refusal: it is JSON, and not accepted.

        """
        try:
            records = self._array.decode(array)
        except (msgspec.DecodeError, RecursionError):
            records = None
        if not (is_utf8(array) if records else is_json(array)):
            return None
        if records and (lines := self._records.plain_lines(array, records, tenant, now)):
            return Lines(len(records), lines)
        return finish(self._records.exact_lines(without_line_breaks(array), tenant, now))

    def tenant_named(self, envelope: Envelope, find: Find | None = None) -> Tenant:
        """Return the tenant that a body names.

        Raises:
            Refusal: it names none, or an unknown one, or the lookup failed.

        """
        for name in TENANT_MEMBERS:
            check_not_empty(getattr(envelope, name), name)
        org, env = parse_text(envelope.organization), parse_text(envelope.environment)
        assert org
        assert env
        return (find or self.find)(org, env)

    def _read_plain(self, body: bytes, tenant: Tenant | None, now: float, find: Find | None) -> Payload | None:
        """Return what a body of plain records holds, or None: take the exact way."""
        if not is_utf8(body):
            return None
        try:
            batch = self._scoped.decode(body) if tenant else self._named.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        if not 0 < len(batch.records) <= self.max_records:
            return None
        if isinstance(batch, NamedBatch):
            if not (batch.organization and batch.environment):
                return None
            tenant = (find or self.find)(batch.organization, batch.environment)
        assert tenant is not None
        lines = self._records.plain_lines(body, batch.records, tenant, now)
        return Payload(tenant, len(batch.records), lines) if lines else None


def _list_of(records: Raw | UnsetType) -> Raw:
    if records is UNSET or is_null(records):
        raise no_records()
    if not is_list(records):
        raise bad_data("records should be a list of analytics records")
    return records
