"""Reads a large body slice by slice, so that it does not hold up the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Raw, UnsetType

from apidanalytics.errors import Refusal, not_json
from apidanalytics.ingest.decode import Envelope, is_json, parse_envelope, too_many_records
from apidanalytics.ingest.payload import Find, Payload, PayloadReader
from apidanalytics.ingest.records import Steps
from apidanalytics.ingest.slices import SLICE_BYTES, find_cuts, find_head, may_name_records
from apidanalytics.model import Tenant

SHORT_SLICE_BYTES: Final = 128 << 10
"""Of bodies that are held back: 0.3 ms of work. Slices cost a sixth more, so a body of one is read whole."""
LOOK_SECONDS: Final = 0.001
"""How long it takes until a step that may not go ahead is tried again."""
MOST_LOOKS: Final = 20
"""After so many looks a step goes ahead all the same."""


class LargePayload(NamedTuple):
    """What an accepted large body holds."""

    tenant: Tenant
    records: int
    pieces: Sequence[bytes]

    def joined(self) -> Payload:
        """Return the same with its lines in one piece. A large join lets other threads run: do it in one."""
        return Payload(self.tenant, self.records, b"".join(self.pieces))


def read_in_steps(
    reader: PayloadReader,
    body: bytes,
    tenant: Tenant | None,
    now: float,
    find: Find | None = None,
    *,
    slice_bytes: int | None = None,
) -> Steps[LargePayload]:
    """Return the same as ``PayloadReader.read``, in steps, and yet to be joined; ``SLICE_BYTES`` unless it is told.

    A body that cannot be cut is read whole: then a step is one pass over it, which takes 1 to 5 ms per megabyte.

    Raises:
        Refusal: it is not accepted.

    """
    try:
        large = yield from _read_sliced(reader, body, tenant, now, find, slice_bytes or SLICE_BYTES)
        if large is None:
            whole = yield from reader.read_in_order(body, tenant, now, find)
            large = LargePayload(whole.tenant, whole.records, [whole.lines])
    except RecursionError:  # a later pass has less of the stack left than the first one
        raise not_json() from None
    return large


async def in_turns(steps: Steps[LargePayload], may_go: Callable[[], bool]) -> LargePayload:
    """Do work in steps, with everyone else's turn between two of them; ``may_go`` is asked before each further one."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            large: LargePayload = end.value
            return large
        await asyncio.sleep(0)
        await until_it(may_go)


async def until_it(may_go: Callable[[], bool]) -> None:
    """Wait until it may go on, though not for ever: others that are held back may have every turn."""
    for _ in range(MOST_LOOKS):
        if may_go():
            return
        await asyncio.sleep(LOOK_SECONDS)


def _read_sliced(
    reader: PayloadReader, body: bytes, tenant: Tenant | None, now: float, find: Find | None, slice_bytes: int
) -> Steps[LargePayload | None]:
    found = find_head(body)
    if found is None:
        return None
    head, envelope = found
    try:
        known_tenant = tenant or reader.tenant_named(envelope, find)
    except Refusal:
        return None
    slicing = _Slicing(reader, known_tenant, now, slice_bytes)
    at = len(head)
    while len(body) - at > slice_bytes:
        cut = yield from slicing.take(body, at)
        if cut is None:
            return None
        at = cut + 1
    return slicing.finish(head, body[at:], None if tenant else envelope)


class _Slicing:
    """What is known of a body that has been read in part."""

    def __init__(self, reader: PayloadReader, tenant: Tenant, now: float, slice_bytes: int) -> None:
        self._reader = reader
        self._slice_bytes = slice_bytes
        self._tenant = tenant
        self._now = now
        self._records = 0
        self._pieces: list[bytes] = []
        self._refusal: Refusal | None = None
        """For the first bad record. It is the answer only if the rest is JSON."""

    def take(self, body: bytes, start: int) -> Steps[int | None]:
        """Read one slice and return the place of the comma behind it, or None: there is no cut that is right."""
        for cut in find_cuts(body, start, self._slice_bytes):
            content = body[start:cut]
            is_right = content and not content.isspace() and self._read(b"[%b]" % content)
            yield
            if is_right:
                return cut
        return None

    def finish(self, head: bytes, rest: bytes, named: Envelope | None) -> LargePayload | None:
        """Read the last slice and what follows the records; None: the body has to be read whole."""
        last = head + rest
        if may_name_records(rest) or rest.lstrip().startswith(b"]") or not is_json(last):
            return None
        if named is not None and _names_of(parse_envelope(last)) != _names_of(named):
            return None
        if self._refusal is not None:
            raise self._refusal
        payload = self._reader.read(last, self._tenant, self._now)
        self._count(payload.records)
        return LargePayload(self._tenant, self._records, [*self._pieces, payload.lines])

    def _read(self, array: bytes) -> bool:
        if self._refusal is not None:
            return is_json(array)
        try:
            lines = self._reader.read_array(array, self._tenant, self._now)
        except Refusal as refusal:
            if refusal.status != 400:
                raise
            self._refusal = refusal
            return True
        if lines is None:
            return False
        self._count(lines.records)
        self._pieces.append(lines.text)
        return True

    def _count(self, records: int) -> None:
        self._records += records
        if self._records > self._reader.max_records:
            raise too_many_records(self._reader.max_records)


def _names_of(envelope: Envelope) -> tuple[Raw | UnsetType, Raw | UnsetType]:
    return envelope.organization, envelope.environment
