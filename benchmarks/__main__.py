"""``python -m benchmarks``: measure, print one table, and hold it against the targets."""

import argparse
import logging
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import structlog

from benchmarks import report, wrk
from benchmarks.run import QUICK, Plan, Run
from benchmarks.targets import judge

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/performance.md"
JSON = ROOT / "benchmarks/measured.json"


def main() -> int:
    """Measure; return 1 when a target is missed."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything that was started is ended
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    plan = _plan(options)
    command = _command(plan)
    began = time.monotonic()
    results = Run(plan, options.directory, lambda cost: print(report.progress(cost), flush=True)).measure()
    print(f"\n{report.text(results, command)}\n\n{time.monotonic() - began:.0f} s in all")
    if options.write:
        report.write_json(JSON, results, command)
        report.write_page(PAGE, report.markdown(results, command))
    return 0 if all(verdict.is_met for verdict in judge(results)) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter cells, in about two minutes")
    parser.add_argument("--only", nargs="+", choices=sorted(Plan().parts), help="these parts only")
    parser.add_argument("--batches", nargs="+", type=int, metavar="N", help="these batch sizes only")
    parser.add_argument("--start-megabytes", type=int, metavar="N", help="length of the spools that a start meets")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} and {JSON.name}")
    parser.add_argument("--directory", type=Path, default=ROOT / "build", help="on the disk to be measured")
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    if options.only:
        plan = replace(plan, parts=frozenset(options.only))
    if options.batches:
        plan = replace(plan, batches=tuple(options.batches))
    if options.start_megabytes:
        plan = replace(plan, start_megabytes=options.start_megabytes)
    return plan


def _command(plan: Plan) -> str:
    load = wrk.Load(bodies=(), records=1, connections=0, seconds=plan.seconds)
    words = wrk.command(load, 0)
    return " ".join(words).replace("-c 0", "-c CONNECTIONS").replace(":0", ":PORT").replace(words[0], "wrk")


if __name__ == "__main__":
    sys.exit(main())
