"""From an array of records to the lines that are kept, one record a line.

Plain records, nearly all of them, take the quick way: decoded in one call, checked in one loop, and cut out of the
text between their braces. Whatever it cannot do for sure goes the exact way, record by record, which alone refuses.
"""

from collections.abc import Callable, Generator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple, TypeVar, cast

from msgspec import Raw

from apidanalytics.errors import ErrorCode, LookupFailedError, Refusal, bad_data
from apidanalytics.ingest.decode import Members, PlainRecord, Survey, parse_elements
from apidanalytics.ingest.enrich import Additions, Enrichment
from apidanalytics.ingest.lookups import developer_failed
from apidanalytics.ingest.validate import Rules
from apidanalytics.model import Tenant

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps of a few milliseconds; between them others have their turn."""

Masking = Callable[[bytes], bytes]
"""Returns lines masked."""

RECORDS_PER_STEP: Final = 500
BYTES_PER_STEP: Final = 1 << 16
"""Of records; a few that are large take as long as many."""

# As numbers: looking for a bytes object costs several times as much.
_LINE_FEED: Final = ord("\n")
_CARRIAGE_RETURN: Final = ord("\r")
_OPENED: Final = ord("{")
_CLOSED: Final = ord("}")


_CLIENT_ID: Final = attrgetter("client_id")


class Lines(NamedTuple):
    """Accepted records, each ended by a line feed."""

    records: int
    text: bytes


class Records:
    """Checks records and makes lines of them."""

    def __init__(self, *, rules: Rules, enrichment: Enrichment, max_records: int, mask: Masking | None = None) -> None:
        self._rules = rules
        self._mask = mask
        self._enrichment = enrichment
        self._survey = Survey(max_records)

    def plain_lines(self, text: bytes, records: Sequence[PlainRecord], tenant: Tenant, now: float) -> bytes | None:
        """Return the lines of records that were decoded from this text, or None: take the exact way.

        The text is a valid body that has these as its ``records``, or an array of them; in valid UTF-8.

        Raises:
            Refusal: the developer lookup failed.

        """
        if not self._rules.pass_plain(records, now):
            return None
        text = without_line_breaks(text)
        additions = self._enrichment.additions(tenant)
        try:
            lines = splice(text, records, additions) or splice_elements(text, records, additions)
        except LookupFailedError:
            raise developer_failed() from None
        return lines if self._mask is None else self._mask(lines)

    def exact_lines(self, array: Raw | bytes, tenant: Tenant, now: float) -> Steps[Lines]:
        """Return the lines of a valid JSON array without line breaks.

        Raises:
            Refusal: for the first bad record, or too many, or because the developer lookup failed.

        """
        members, is_whole = self._survey.read(array)
        yield
        yield from self._check(members, now)
        if not is_whole:
            raise bad_data("Each Analytics record in records should be a json object")
        if not members:
            raise no_records()
        elements = parse_elements(array)
        yield
        pieces: list[bytes | memoryview] = []
        masked = step_bytes = 0
        for number, element in enumerate(elements):
            pieces += self._enrichment.pieces(element, members[number], tenant)
            step_bytes += memoryview(element).nbytes
            if step_bytes > BYTES_PER_STEP:
                masked = self._mask_from(masked, pieces)
                step_bytes = 0
                yield
        self._mask_from(masked, pieces)
        return Lines(len(elements), b"".join(pieces))

    def _mask_from(self, start: int, pieces: list[bytes | memoryview]) -> int:
        """Mask the whole lines that these pieces make, from ``start``; return where the next ones begin."""
        if self._mask is not None:
            pieces[start:] = [self._mask(b"".join(pieces[start:]))]
        return len(pieces)

    def _check(self, members: Sequence[Members], now: float) -> Steps[None]:
        for number, record in enumerate(members):
            self._rules.check(record, now)
            if number % RECORDS_PER_STEP == RECORDS_PER_STEP - 1:
                yield


def splice(text: bytes, records: Sequence[PlainRecord], additions: Additions) -> bytes | None:
    """Cut each record out of the text it was decoded from, up to its last brace, and join it with what is added.

    The text, a body or an array, closes one brace for each record, and a body one more at its end. When an object is
    nested in it, or a string holds a brace, there are more, and the answer is None; else every brace is the one it is
    taken for. The same goes for the braces opened before the first record ends.
    """
    if len(records) == 1 and text[0] == _OPENED:
        return _splice_single(text, records[0], additions)
    is_body = not text.startswith(b"[")
    start = text.find(_OPENED, text.find(_OPENED) + 1) if is_body else text.find(_OPENED)
    end = text.find(_CLOSED)
    if text.find(_OPENED, start + 1, end) >= 0:
        return None
    of_tenant, tails = additions
    pieces: list[bytes] = []
    for tail in tails.of(list(map(_CLIENT_ID, records))):
        pieces += text[start:end], of_tenant, tail
        start = text.find(_OPENED, end)
        end = text.find(_CLOSED, end + 1)
    return b"".join(pieces) if end == (text.rfind(_CLOSED) if is_body else -1) else None


def _splice_single(text: bytes, record: PlainRecord, additions: Additions) -> bytes | None:
    """Splice a body with one record: where it opens and closes two braces, the inner ones are the record's."""
    start = text.find(_OPENED, 1)
    end = text.find(_CLOSED)
    if text.find(_OPENED, start + 1) >= 0 or text.find(_CLOSED, end + 1) != text.rfind(_CLOSED):
        return None
    of_tenant, tails = additions
    return b"".join((text[start:end], of_tenant, tails[record.client_id]))


def splice_elements(text: bytes, records: Sequence[PlainRecord], additions: Additions) -> bytes:
    """Return the same as ``splice``, for any text; it costs half as much again."""
    of_tenant, tails = additions
    pieces: list[bytes | memoryview] = []
    for element, tail in zip(parse_elements(text), tails.of(list(map(_CLIENT_ID, records))), strict=True):
        pieces += memoryview(element)[:-1], of_tenant, tail
    return b"".join(pieces)


def without_line_breaks(text: bytes) -> bytes:
    """Return valid JSON without the line breaks between its tokens; inside strings there are none."""
    return text.translate(None, b"\r\n") if _LINE_FEED in text or _CARRIAGE_RETURN in text else text


def no_records() -> Refusal:
    """Return the 400 for a batch without records."""
    return Refusal(400, ErrorCode.NO_RECORDS, "No analytics records in the payload")


def finish(steps: Steps[T]) -> T:
    """Do all of the work at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)
