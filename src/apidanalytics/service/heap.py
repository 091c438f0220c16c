"""One heap for all threads of the agent, as its workers have: memory that one thread gave back, another can use.

With a heap for each thread, as the C library has it by default, what scope data and packing took at their peaks stayed
with their threads: 20 MB after an interval of 10,000 tenants. A worker is told by its environment; the agent is
already running when it could be told.
"""

import ctypes
from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of <malloc.h>."""


def use_one_heap() -> None:
    """Have threads that begin from now on share the heap; nothing happens where the C library has no such setting."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
