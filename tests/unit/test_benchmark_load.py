"""What the benchmark's load generator is told."""

import re
from pathlib import Path

from benchmarks import wrk

LOAD = wrk.Load(bodies=[b"{}"], records=1, connections=2, seconds=1, drawn_keys=1000)


def seeds(folder: Path) -> set[int]:
    """Return what the threads of one run begin their draws with."""
    found = re.search(r"math\.randomseed\(([^)]*)\)", wrk._write_script(LOAD, folder).read_text())
    assert found is not None
    product, added = found[1].split(" + ")
    run, distance = map(int, product.split(" * "))
    assert added == "number"
    return {run * distance + number for number in range(1, wrk.THREADS + 1)}


def test_every_run_draws_other_api_keys(tmp_path: Path) -> None:
    """Or the workers have just been taught those that a turn is measured with."""
    drawn = [seeds(tmp_path) for _ in range(20)]
    assert len(set().union(*drawn)) == 20 * wrk.THREADS
