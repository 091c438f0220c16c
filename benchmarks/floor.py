"""The floor: what HTTP alone costs. It reads the body and answers.

``python -m benchmarks.floor PORT PROCESSES FOLDER``
"""

import sys
from pathlib import Path

from benchmarks.listener import serve


def ignore(body: bytes, is_gzip: bool) -> None:
    """Do nothing with a body."""


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), lambda _path: ignore)
