"""``apidanalytics flush``: close all buckets and upload now, and wait until that is done."""

import sys
import time
from pathlib import Path
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from apidanalytics.cli.asking import Asked, asking_service, load
from apidanalytics.cli.drawing import print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.config.units import parse_duration
from apidanalytics.errors import ConfigurationError, NotRunningError
from apidanalytics.health.words import how_long, how_many

LOOK_SECONDS: Final = 0.2

Left = dict[str, Any]


def run(config_file: Path | None, *, timeout: str, as_json: bool) -> int:
    """Flush and wait; exit code 1 if anything that was accepted before is not in the object store then."""
    patience = _patience(timeout)
    settings = load(config_file)
    try:
        asked = asking_service(settings)
    except NotRunningError as nobody:
        hint = "There is nothing to flush it with: what the directory holds is uploaded after the next start."
        raise NotRunningError(f"{nobody}. {hint}") from nobody
    began = time.monotonic()
    left = _wait(asked, asked("flush"), began + patience)
    why = _why_not(asked, left, patience)
    if as_json:
        rest = {"is_through": left["is_through"], "spools": len(left["spools"])}
        print_json({**rest, "staged": left["staged"], "failed": left["failed"], "problems": why})
    else:
        for sentence in why:
            print(sentence, file=sys.stderr)
        if not why:
            print(f"All that was accepted is uploaded ({time.monotonic() - began:.1f} s).")
    return ExitCode.FAILURE if why else ExitCode.OK


def _patience(timeout: str) -> float:
    try:
        return parse_duration(timeout)
    except ValueError:
        raise ConfigurationError([f"--timeout: {timeout!r} should be a duration such as 60s or 5m"]) from None


def _wait(asked: Asked, begun: Left, deadline: float) -> Left:
    """Look until it is through, the time is over, or a pause makes waiting pointless; return what is left then."""
    known: Left = {"spools": begun["spools"], "last": None}
    with _Shown(len(begun["spools"])) as shown:
        while True:
            known = asked("flushed", spools=known["spools"], last=known["last"])
            shown.show(known)
            if known["is_through"] or known["is_held"] or time.monotonic() >= deadline:
                return known
            time.sleep(LOOK_SECONDS)


class _Shown:
    """What a person sees meanwhile: bars on a terminal, a line for each phase elsewhere."""

    def __init__(self, spools: int) -> None:
        is_seen = sys.stderr.isatty()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not is_seen,
        )
        self._lines = not is_seen
        self._spools = spools
        self._files: int | None = None
        self._packing = self._bars.add_task("packing spools", total=spools)
        self._uploading = self._bars.add_task("uploading files", total=None)

    def __enter__(self) -> Self:
        self._bars.start()
        if self._lines and self._spools:
            print(f"Packing {how_many(self._spools, 'spool')}.", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def show(self, left: Left) -> None:
        """Show how far it is."""
        self._bars.update(self._packing, completed=self._spools - len(left["spools"]))
        waiting = left["staged"]["files"]
        if left["last"] is None:
            return
        if self._files is None:
            self._files = waiting
            if self._lines and waiting:
                print(f"Uploading {how_many(waiting, 'file')}.", file=sys.stderr, flush=True)
        self._bars.update(self._uploading, total=self._files, completed=max(self._files - waiting, 0))


def _why_not(asked: Asked, left: Left, patience: float) -> list[str]:
    """Return why not everything is uploaded, in sentences; empty: it is."""
    spools, staged, failed = left["spools"], left["staged"], left["failed"]
    if not left["is_through"]:
        what = how_many(len(spools), "spool") if spools else how_many(staged["files"], "file")
        step = "packed" if spools else f"uploaded ({how_many(staged['records'], 'record')})"
        after = ": paused by hand" if left["is_held"] else f" after {how_long(patience)}"
        then = "`apidanalytics resume` lets it go on" if left["is_held"] else "it goes on by itself"
        return [f"{what} not {step}{after}. Nothing is lost; {then}.", *asked("status", tenants=False)["problems"]]
    if failed["files"]:
        hint = "`apidanalytics failed list` says why, `apidanalytics failed retry` tries them again."
        were = "was" if failed["files"] == 1 else "were"
        return [f"The rest is uploaded; {how_many(failed['files'], 'file')} in failed/ {were} given up for now: {hint}"]
    return []
