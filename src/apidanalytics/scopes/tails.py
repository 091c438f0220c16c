r"""How the lines of records end: what is said of their API key, ready to be appended.

All records with one API key of one tenant id have the same *tail*, from the comma behind what is there already to the
line feed::

    ,"api_product":"gold","developer_app":"shop","developer_email":"","developer":"ann"}\n
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec

from apidanalytics.model import Developer

Learned: TypeAlias = tuple[bytes, bytes]
"""A tail as it is remembered, and the hashes of its key (``hash_text``) and then of the parts, 8 bytes each.

No NamedTuple: one is made for every look-up that memory does not answer, and takes longer.
"""


class TailTable(dict[str | None, bytes]):
    """Tails by API key; what is not in it, subclasses find when they are asked."""

    __slots__ = ()

    def of(self, api_keys: Sequence[str | None], /) -> Sequence[bytes]:
        """Return the tails of several keys, in their order."""
        return list(map(self.__getitem__, api_keys))


WITHOUT_KEY: Final = b"}\n"
"""Of a record without an API key: nothing is looked up, nothing is said."""


def tail_of(developer: Developer | None) -> bytes:
    """Return the tail of the records whose API key this developer stands behind; of an unknown one, if it is None."""
    return b",%b\n" % _encode(developer or _UNKNOWN)[1:]


_encode: Final = msgspec.json.Encoder().encode
_UNKNOWN: Final = Developer()
NOBODY: Final = tail_of(None)
"""Of a record whose API key is unknown."""
