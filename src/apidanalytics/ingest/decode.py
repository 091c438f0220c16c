"""From bytes to values: strict JSON (RFC 8259), and no object for what nobody asks for.

msgspec skips what a Struct does not name at about a gigabyte a second, checking its syntax: control characters,
escapes, lone surrogates, numbers, nesting. It does not check UTF-8 in what it skips; ``is_utf8`` does, and every
reader of a body has to ask it first.

A member that comes twice counts with its last value, here as in the checks.
"""

import codecs
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from apidanalytics.errors import ErrorCode, Refusal, not_json

START: Final = "client_received_start_timestamp"
END: Final = "client_received_end_timestamp"

Timestamp = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

_UTF8_STEP: Final = 1 << 20
_QUOTE: Final = ord('"')
_BRACKET: Final = ord("[")
_NULL: Final = Raw(b"null")


class PlainRecord(msgspec.Struct, gc=False):
    """A record as nearly all are: its members have the usual types, and enrichment has only to append.

    Any other record does not decode as one, also one that has a member which enrichment would add.
    """

    start: Timestamp = msgspec.field(name=START)
    end: Timestamp | None = msgspec.field(name=END, default=None)
    client_id: str | None = ""
    organization: UnsetType = UNSET
    environment: UnsetType = UNSET


class PlainApiRecord(PlainRecord, gc=False):
    """A plain record where developer data are added too."""

    api_product: UnsetType = UNSET
    developer_app: UnsetType = UNSET
    developer_email: UnsetType = UNSET
    developer: UnsetType = UNSET


Plain = TypeVar("Plain", bound=PlainRecord)


class ScopedBatch(msgspec.Struct, Generic[Plain]):
    """The body of ``POST {base_path}/{scope}``."""

    records: list[Plain]


class NamedBatch(msgspec.Struct, Generic[Plain]):
    """The body of ``POST {base_path}``."""

    records: list[Plain]
    organization: str
    environment: str


class _RawBatch(msgspec.Struct):
    records: list[Raw]


class Envelope(msgspec.Struct):
    """The body of either route, whatever the types in it: the text of each member."""

    organization: Raw | UnsetType = UNSET
    environment: Raw | UnsetType = UNSET
    records: Raw | UnsetType = UNSET


class Members(msgspec.Struct):
    """The members of a record that are checked or added, whatever their types: the text of each value."""

    start: Raw | UnsetType = msgspec.field(name=START, default=UNSET)
    end: Raw | UnsetType = msgspec.field(name=END, default=UNSET)
    client_id: Raw | UnsetType = UNSET
    organization: Raw | UnsetType = UNSET
    environment: Raw | UnsetType = UNSET
    api_product: Raw | UnsetType = UNSET
    developer_app: Raw | UnsetType = UNSET
    developer_email: Raw | UnsetType = UNSET
    developer: Raw | UnsetType = UNSET


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_ELEMENTS: Final = msgspec.json.Decoder(list[Raw])
_RECORDS: Final = msgspec.json.Decoder(_RawBatch)
_ANYTHING: Final = msgspec.json.Decoder(Raw)
_TEXT: Final = msgspec.json.Decoder(str)


def is_utf8(text: bytes) -> bool:
    """Say whether this is valid UTF-8, without a copy of more than a megabyte at a time."""
    if text.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(text)
    try:
        for at in range(0, len(text), _UTF8_STEP):
            decoder.decode(view[at : at + _UTF8_STEP])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def is_json(text: bytes) -> bool:
    """Say whether this is one JSON value in valid UTF-8."""
    try:
        _ANYTHING.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return is_utf8(text)


def parse_envelope(body: bytes) -> Envelope:
    """Return the body's members.

    Raises:
        Refusal: it is not one JSON object in valid UTF-8, or too deep.

    """
    if not is_utf8(body):
        raise not_json()
    try:
        return _ENVELOPE.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise not_json() from None


def is_text(value: Raw | bytes) -> bool:
    """Say whether a JSON value is a string."""
    return memoryview(value)[0] == _QUOTE


def parse_text(value: Raw | bytes | UnsetType) -> str | None:
    """Return the string that this value is; None when it is something else, or absent."""
    return None if value is UNSET or not is_text(value) else _TEXT.decode(value)


def is_list(value: Raw | bytes) -> bool:
    """Say whether a JSON value is an array."""
    return memoryview(value)[0] == _BRACKET


def parse_elements(text: Raw | bytes) -> list[Raw]:
    """Return the text of each record of a valid body or array, without the white space around it."""
    return _ELEMENTS.decode(text) if is_list(text) else _RECORDS.decode(text).records


def is_null(value: Raw | UnsetType) -> bool:
    """Say whether a member is absent or null."""
    return value is UNSET or value == _NULL


class Survey:
    """Reads the members that matter of every record, and stops early: at the limit, and at what is no object.

    So memory is bounded by the limit, not by the body: one of 128 MiB may hold 60 million ``{}``.
    """

    def __init__(self, max_records: int) -> None:
        seen: list[Members] = []

        class Seen(Members):
            def __post_init__(self) -> None:
                if len(seen) == max_records:
                    raise too_many_records(max_records)
                seen.append(self)

        self._seen = seen
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Seen])

    def read(self, array: bytes) -> tuple[list[Members], bool]:
        """Return the records before the first element that is no object, and whether there is none such.

        Raises:
            Refusal: there are more records than the limit.

        """
        try:
            self._decoder.decode(array)
        except msgspec.ValidationError:
            return self._seen.copy(), False
        else:
            return self._seen.copy(), True
        finally:
            self._seen.clear()


def too_many_records(max_records: int) -> Refusal:
    """Return the 413 for a batch of more records than the limit."""
    return Refusal(413, ErrorCode.PAYLOAD_TOO_LARGE, f"A batch may hold at most {max_records} records")
