"""The agent's threads share one heap."""

import ctypes
import subprocess
import sys

import pytest

_HEAPS = """
import ctypes, sys, threading
from apidanalytics.service.heap import use_one_heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "one":
    use_one_heap()
together = threading.Barrier(4)
def take():
    together.wait()
    libc.malloc(10_000)
    together.wait()
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="not the GNU C library")
def test_threads_share_one_heap_where_the_c_library_lets_them() -> None:
    assert heaps("one") == 1
    assert heaps("own") > 1


def heaps(how: str) -> int:
    """Return how many heaps four threads of a new process have."""
    command = [sys.executable, "-c", _HEAPS, how]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("<heap nr=")
