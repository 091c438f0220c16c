"""``make fuzz ARGS="--seconds 60"``: shares the time among the targets, and says what was tried and found.

New inputs gather in ``.fuzz/<target>/``; ``--keep`` takes those that reach more code into ``tests/fuzz/corpus``.
An input that fails is written to ``.fuzz/failed/``, and ``make fuzz ARGS=<that file>`` tries it again.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
WORK = Path(".fuzz")
FAILED = WORK / "failed"
LONGEST_BYTES = 2048
SLOWEST_SECONDS = 60
TARGETS = tuple(sorted(path.name for path in CORPUS.iterdir()))
_RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="try this one input again; its folder names the target")
    parser.add_argument("--seconds", type=float, default=60, help="for all targets together (60)")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--keep", action="store_true", help="then take what reaches more code into the corpus")
    told = parser.parse_args()
    if told.file:
        return _child(told.file.parent.name, str(told.file))
    targets = told.target or TARGETS
    found = [_fuzz(target, max(1, int(told.seconds / len(targets))), told.seed) for target in targets]
    if told.keep:
        for target in targets:
            _keep(target)
    total = sum(runs for runs, _ in found)
    failed = [target for target, (_, is_well) in zip(targets, found, strict=True) if not is_well]
    print(f"fuzzed: {total} inputs on {len(targets)} targets, {f'failed: {failed}' if failed else 'no failure'}")
    return bool(failed)


def _fuzz(target: str, seconds: int, seed: int) -> tuple[int, bool]:
    """Return how many inputs were tried, and whether all went well."""
    for place in (WORK / target, FAILED / target):
        place.mkdir(parents=True, exist_ok=True)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_BYTES}",
        f"-timeout={SLOWEST_SECONDS}",
        "-rss_limit_mb=2048",
        f"-seed={seed}",
        f"-artifact_prefix={FAILED / target}/",
        "-print_final_stats=1",
    )
    began = time.monotonic()
    log = WORK / f"{target}.log"
    with log.open("wb") as output:
        code = _child(target, *options, str(WORK / target), str(CORPUS / target), output=output)
    text = log.read_text(errors="replace")
    runs, covered = (int((pattern.findall(text) or ["0"])[-1]) for pattern in (_RUNS, _COVERED))
    took = time.monotonic() - began
    print(
        f"  {target:14} {runs:9} inputs, {covered:5} branches, {took:5.1f} s  {'ok' if code == 0 else 'FAILED'}",
        flush=True,
    )
    if code:
        print(text[-6000:])
    return runs, code == 0


def _keep(target: str) -> None:
    """Take the smallest set of inputs that reaches what all of them reach, as far as it is new."""
    merged = WORK / f"{target}.merged"
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    with (WORK / f"{target}.log").open("ab") as output:
        _child(
            target,
            "-merge=1",
            f"-max_len={LONGEST_BYTES}",
            str(merged),
            str(CORPUS / target),
            str(WORK / target),
            output=output,
        )
    for path in merged.iterdir():
        if not any(path.read_bytes() == known.read_bytes() for known in (CORPUS / target).iterdir()):
            shutil.copy(path, CORPUS / target / path.name[:12])


def _child(target: str, *arguments: str, output=None) -> int:
    """Fuzzing ends its process, so each target has its own."""
    command = [sys.executable, "-m", "tests.fuzz.engine", target, *arguments]
    return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT if output else None, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
