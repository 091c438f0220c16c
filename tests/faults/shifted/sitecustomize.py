"""Makes a process see a time of day that a test can move; the monotonic clock goes on as it does in truth.

Python imports a module of this name at its start when the folder is in ``PYTHONPATH``. ``SHIFTED_CLOCK`` names a file
of eight bytes, a double: seconds to add. It is mapped into memory, so that a jump counts in all processes at once.
"""

import mmap
import os
import struct
import time


def shift(path):
    with open(path, "rb") as file:  # noqa: PTH123 - before anything else of a process is loaded
        seconds = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real, unpack = time.time, struct.Struct("d").unpack_from
    time.time = lambda: real() + unpack(seconds)[0]


if "SHIFTED_CLOCK" in os.environ:
    shift(os.environ["SHIFTED_CLOCK"])
