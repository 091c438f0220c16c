"""Whose a request is, as far as it can be told before it is handled: for taking turns, and for nothing else.

A client may name anybody here, as it may post to anybody's path. Names that nobody has win nothing: all of them share
a lane.
"""

from typing import Final

from apidanalytics.errors import LookupFailedError, Refusal
from apidanalytics.ingest.inflate import inflate_beginning
from apidanalytics.ingest.lanes import UNNAMED_LANE
from apidanalytics.ingest.payload import PayloadReader
from apidanalytics.ingest.ports import Scopes
from apidanalytics.ingest.slices import find_head

NOBODYS_LANE: Final = ""
"""Of the requests that are no tenant's."""

PROBES_LANE: Final = "/probes"
"""Of ``/health`` and ``/ready``, which wait for nobody else: whoever asks may end this process when no answer comes."""

LOOKED_AT_BYTES: Final = 512
"""Of a body: clients that name a tenant do so before its records."""
_GZIP: Final = b"\x1f\x8b"


def lane_of(scopes: Scopes | None, reader: PayloadReader | None, scope: str | None, body: bytes) -> str:
    """Return the lane of a request: its tenant's name, or one of those that several share.

    ``scope`` is what ``Routes.scope_of`` says of its path; ``body`` as received, or empty if it is not known yet.
    """
    if scope is None or scopes is None or reader is None:
        return NOBODYS_LANE if scope is None else UNNAMED_LANE
    if not scope:
        return _named(reader, body)
    try:
        tenant = scopes.tenant(scope)
    except LookupFailedError:
        tenant = None
    return tenant.name if tenant else NOBODYS_LANE


def _named(reader: PayloadReader, body: bytes) -> str:
    """Return the tenant that a body names before its records."""
    found = find_head(_beginning(body))
    if found is None:
        return UNNAMED_LANE
    try:
        return reader.tenant_named(found[1]).name
    except Refusal:
        return UNNAMED_LANE


def _beginning(body: bytes) -> bytes:
    return inflate_beginning(body, LOOKED_AT_BYTES) if body.startswith(_GZIP) else body[:LOOKED_AT_BYTES]
