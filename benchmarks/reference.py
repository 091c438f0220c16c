"""The plain reference: what the obvious program costs, with no durability at all.

It answers before it writes, decodes with ``json.loads``, adds the members that enrichment adds, encodes with
``json.dumps``, and compresses with zlib level 6 into one file per process.

``python -m benchmarks.reference PORT PROCESSES FOLDER``
"""

import json
import sys
import zlib
from pathlib import Path
from typing import BinaryIO

from benchmarks.listener import Receive, serve
from benchmarks.traffic import DEVELOPER, ENV, ORG

_ADDED = {"organization": ORG, "environment": ENV, **DEVELOPER}
_GZIP = 31


def write_to(file: BinaryIO) -> Receive:
    """Return what writes every record of a body to a gzip file, one a line."""
    compressor = zlib.compressobj(6, wbits=_GZIP)

    def receive(body: bytes, is_gzip: bool) -> None:
        batch = json.loads(zlib.decompress(body, wbits=_GZIP) if is_gzip else body)
        for record in batch["records"]:
            line = json.dumps({**record, **_ADDED}) + "\n"
            file.write(compressor.compress(line.encode()))

    return receive


if __name__ == "__main__":
    serve(
        int(sys.argv[1]),
        int(sys.argv[2]),
        Path(sys.argv[3]),
        lambda path: write_to(path.with_suffix(".gz").open("wb")),
    )
