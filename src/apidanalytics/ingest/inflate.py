"""gzip bodies, with a bound on what comes out.

ISA-L inflates about 2 GB/s and lets other threads run meanwhile. A body may have several members, also empty ones,
and zero bytes behind the last; anything else behind it is damage.
"""

import gzip
import io
from typing import Final, cast

from isal import igzip, isal_zlib

from apidanalytics.errors import Refusal, bad_data

_GZIP_WBITS: Final = 31
_DAMAGED: Final = cast(type[Exception], isal_zlib.error)


def inflate(body: bytes, max_bytes: int) -> bytes | None:
    """Return the unzipped body, or None: it is larger than ``max_bytes``, and no more was unzipped.

    Raises:
        Refusal: it is not gzip, or damaged, or cut short.

    """
    inflater = isal_zlib.decompressobj(wbits=_GZIP_WBITS)
    try:
        text: bytes = inflater.decompress(body, max_bytes + 1)
    except _DAMAGED:
        raise _unreadable() from None
    if len(text) > max_bytes:
        return None
    if not inflater.eof:
        raise _unreadable()
    return _inflate_members(body, max_bytes) if inflater.unused_data else text


def inflate_beginning(body: bytes, max_bytes: int) -> bytes:
    """Return some of the unzipped body's beginning, at most so many bytes; nothing if it cannot be read."""
    try:
        text: bytes = isal_zlib.decompressobj(wbits=_GZIP_WBITS).decompress(body[:max_bytes], max_bytes)
    except _DAMAGED:
        return b""
    return text


def _inflate_members(body: bytes, max_bytes: int) -> bytes | None:
    """Unzip a body of any number of gzip members, within the same limit; for a single one this is slower."""
    with igzip.IGzipFile(fileobj=io.BytesIO(body)) as file:  # type: ignore[no-untyped-call]
        try:
            text: bytes = file.read(max_bytes + 1)
        except (EOFError, gzip.BadGzipFile, _DAMAGED):
            raise _unreadable() from None
    return text if len(text) <= max_bytes else None


def _unreadable() -> Refusal:
    return bad_data("Gzip Encoded data cannot be read")
