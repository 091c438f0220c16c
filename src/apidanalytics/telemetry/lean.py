"""What keeps a process of the service from loading what only a terminal needs."""

import sys
from typing import Final

DRAWING: Final = "rich"


def load_structlog() -> None:
    """Load ``structlog`` as where ``rich`` is not installed; to be called before anything else loads it.

    It would load ``rich`` for a way to print tracebacks that ``logs`` never uses: a quarter of the time that a worker
    takes to start, and 5 MB in each. Whoever wants ``rich`` afterwards has it.
    """
    if "structlog" in sys.modules or DRAWING in sys.modules:
        return
    sys.modules[DRAWING] = None  # type: ignore[assignment] # by which Python says that a module is not there
    try:
        import structlog  # noqa: F401, PLC0415 - loaded here, so that nobody loads it otherwise
    finally:
        del sys.modules[DRAWING]
