"""``apidanalytics demo``: the whole way of a record, with believable traffic, a kill in the middle, and a strict check.

``traffic`` makes believable batches, ``play`` posts them to the real service, ``lake`` reads back what arrived, and
``check`` is the oracle: it knows nothing of how the service works, only what it promises.

* the course of it: ``command`` begins it, ``plot`` has it act by act, ``child`` is the service in a process; ``chain``
  is what ``--s3`` adds, with ``seaweed``;
* what is sent: ``accounts`` play, ``records`` are theirs, ``spoil`` makes some wrong, and a ``post`` is one request;
* what must come of it: ``expect`` says it of a record, ``compare`` of a lake;
* what is shown: ``scene`` and ``show`` while it runs, ``report`` and ``summary`` at the end.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``apidanalytics demo``."""
    add = parser.add_argument
    add("--directory", type=Path, help="a fresh folder for everything (default: ./data/demo-<time>)")
    add("--scopes", type=Path, help="scopes file whose tenants play (default: the one that comes with the service)")
    add("--s3", action="store_true", help="deliver to a real S3 server (SeaweedFS) through the collection service")
    add("--seconds", type=float, default=15.0, help="length of the traffic (default: %(default)s)")
    add("--rate", type=float, default=6000.0, help="records a second to aim at (default: %(default)s)")
    add("--connections", type=int, default=24, help="keep-alive connections (default: %(default)s)")
    add("--seed", type=int, default=7, help="same seed, same traffic (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Play, print the result, and return 0 only if every promise was kept, else 1 (130 when interrupted)."""
    from apidanalytics.demo.command import run as play  # noqa: PLC0415 - other commands need none of what it imports

    return play(arguments)
