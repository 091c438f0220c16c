"""How a spool ends: where its content does, and whether a last frame that does not check out was torn or damaged.

Behind the content there may be zeros: room that was written ahead and not used (``file``). A torn write left a sector
of it zero, or came to an end before the frame does; a frame that is all there was damaged later.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from apidanalytics.spool.frame import HEAD, HEAD_BYTES, MAGIC

Read = Callable[[int, int], bytes]
"""Returns so many bytes of the file (the second number) from an offset (the first), fewer at its end."""

_PIECE: Final = 1 << 18
_SECTOR: Final = 512
"""What a disk writes whole or not at all."""
_LAST_ZEROS: Final = 4
"""So many zeros a frame may end with: those of a zlib stream's checksum."""


def end_of_content(read: Read, size: int) -> int:
    """Return the offset behind the last byte that is not zero."""
    end = size
    while end > 0:
        start = max(end - _PIECE, 0)
        content = read(start, end - start).rstrip(b"\0")
        if content:
            return start + len(content)
        end = start
    return 0


def is_all_there(read: Read, position: int, content_end: int, size: int) -> bool:
    """Return whether all of a frame is there, without a sector that was never written.

    The content may go on behind it: then it had been committed, for nothing is written before that.
    """
    head = read(position, HEAD_BYTES)
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
        return False
    end = position + HEAD_BYTES + int(HEAD.unpack_from(head)[2])
    if content_end < end - _LAST_ZEROS or end > size:
        return False
    borders = [position, *range(position - position % _SECTOR + _SECTOR, end - _LAST_ZEROS, _SECTOR), end]
    return all(read(start, stop - start).strip(b"\0") for start, stop in pairwise(borders))
