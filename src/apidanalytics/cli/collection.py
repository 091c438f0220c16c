"""``apidanalytics collection``: the service that hands out signed URLs."""

import argparse
import sys

from apidanalytics.clock import SystemClock
from apidanalytics.collection.settings import load
from apidanalytics.service.collection import run_collection
from apidanalytics.service.collection_parts import check
from apidanalytics.telemetry import logs


def run(options: argparse.Namespace) -> int:
    """Run the service until a signal ends it, or only check its file; return the exit code."""
    settings = load(options.config)
    if options.check:
        check(settings, SystemClock())
        counts = f"stores: {', '.join(sorted(settings.stores))}; entries of tenants: {len(settings.rules)};"
        print(f"The configuration is good: {counts} tokens: {len(settings.tokens)}.")
        return 0
    service = settings.service
    tell_left_out = logs.configure(level=service["log_level"], form=service["log_format"], process="collection")
    try:
        return run_collection(options.config, settings, _greet if sys.stdout.isatty() else _be_quiet)
    except OSError as error:
        print(f"Cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        tell_left_out()


def _greet(url: str) -> None:
    print(f"\napidanalytics collection serves at {url}    (Ctrl-C drains and stops, SIGHUP reloads)")


def _be_quiet(_url: str) -> None:
    pass
