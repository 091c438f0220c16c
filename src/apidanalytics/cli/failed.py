"""``apidanalytics failed``: which files gave up for now, and why; and moving them on by hand."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from apidanalytics.cli.asking import in_directory, load, no_directory
from apidanalytics.cli.drawing import console, instant, print_json
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.failed_export import export
from apidanalytics.cli.fitting import Fitting
from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, Request, ask
from apidanalytics.errors import NotRunningError

_PAGE = 1000

Ask = Callable[[Request], Answer]


def run_list(config_file: Path | None, *, tenant: str | None, limit: int, as_json: bool) -> int:
    """Print the failed files, those staged first at the top."""
    with _asking(config_file) as (ask_it, _):
        files = list(_files(ask_it, tenant, limit))
    if as_json:
        print_json({"files": files})
    elif not files:
        print("No failed files.")
    else:
        console().print(Fitting(_table(files)))
    return ExitCode.OK


def run_show(config_file: Path | None, *, name: str, as_json: bool) -> int:
    """Print all that is known of the files of this name, or whose names begin so."""
    with _asking(config_file) as (ask_it, settings):
        files = ask_it({"command": "failed.find", "name": name})["files"]
    if not files:
        print(f"No failed file is called {name}. `apidanalytics failed list` shows which there are.", file=sys.stderr)
        return ExitCode.FAILURE
    for file in files:
        file["path"] = str(settings.data.failed / file["directory"] / file["name"])
    if as_json:
        print_json({"files": files})
    else:
        console().print(*map(_details, files), sep="\n", soft_wrap=True)
    return ExitCode.OK


def run_retry(config_file: Path | None, *, tenant: str | None, name: str | None, as_json: bool) -> int:
    """Bring failed files back, all attempts anew; those that fail again meanwhile are left for another time."""
    request = {"command": "failed.retry", "tenant": tenant, "name": name, "before": time.time()}
    with _asking(config_file) as (ask_it, _), _progress() as progress:
        bar = progress.add_task("bringing back", total=_count(ask_it, tenant) if name is None else None)
        total = 0
        while files := (answer := ask_it(request))["files"]:
            total += files
            progress.update(bar, advance=files)
            request["again"] = True
    stuck = answer.get("stuck")
    if as_json:
        print_json({"retried": total} | ({"stuck": stuck} if stuck else {}))
    else:
        print(f"{total:,} files are back in staging/." if total or stuck else "No failed files to try again.")
    if stuck:
        print(f"Others stay in failed/, as they cannot be moved: {stuck}", file=sys.stderr)
    return ExitCode.FAILURE if stuck or not (total or name is None) else ExitCode.OK


def run_export(config_file: Path | None, *, directory: Path, tenant: str | None, as_json: bool) -> int:
    """Copy failed files into a folder, with ``failed.jsonl`` that tells of each; they stay where they are."""
    with _asking(config_file) as (ask_it, settings), _progress() as progress:
        bar = progress.add_task("copying", total=_count(ask_it, tenant))
        files = _files(ask_it, tenant, None)
        copied, gone = export(settings.data, directory, files, on_file=lambda: progress.update(bar, advance=1))
    if as_json:
        print_json({"copied": copied, "gone": gone, "directory": str(directory)})
    else:
        print(f"{copied:,} files copied to {directory}; they are still in failed/ as well.")
        if gone:
            print(f"{gone:,} left failed/ meanwhile: they are being tried again.")
    return ExitCode.OK


@contextmanager
def _asking(config_file: Path | None) -> Iterator[tuple[Ask, Settings]]:
    """Give what answers: the running service, or else its data directory.

    Raises:
        NotRunningError: no service runs, and there is no data directory either.
        ConfigurationError: no service runs, and something is wrong with the settings.
        DataDirectoryLocked: the service neither answers nor is it gone.

    """
    settings = load(config_file)
    if not settings.data.root.is_dir():
        raise NotRunningError(no_directory(settings))
    try:
        ask(settings.data.control, {"command": "failed.list", "limit": 0})
    except NotRunningError as error:
        with in_directory(config_file) as service:
            print(f"{error}; this is done in its data directory.", file=sys.stderr)
            yield service.ask, settings
    else:
        yield lambda request: _checked(ask(settings.data.control, request, 300.0)), settings


def _checked(answer: Answer) -> Answer:
    if "error" in answer:
        print(answer["error"], file=sys.stderr)
        raise SystemExit(ExitCode.FAILURE)
    return answer


def _files(ask_it: Ask, tenant: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
    """Yield failed files, page by page, at most ``limit`` of them."""
    after, left = 0, limit
    while left is None or left > 0:
        page = _PAGE if left is None else min(_PAGE, left)
        files = ask_it({"command": "failed.list", "tenant": tenant, "after": after, "limit": page})["files"]
        yield from files
        if len(files) < page:
            return
        after = files[-1]["id"]
        left = None if left is None else left - len(files)


def _count(ask_it: Ask, tenant: str | None) -> int:
    return int(ask_it({"command": "failed.count", "tenant": tenant})["files"])


def _progress() -> Progress:
    """Return a bar for a terminal; elsewhere it draws nothing."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


def _table(files: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for title in ("tenant", "file", "records", "size", "attempts", "failed at", "reason"):
        is_text = title in {"tenant", "file", "reason"}
        justify: Literal["left", "right"] = "right" if title in {"records", "size", "attempts"} else "left"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=not is_text)
    for file in files:
        amounts = (f"{file['records']:,}", f"{file['size_bytes']:,}", str(file["attempts"]))
        failed_at, reason = instant(file["failed_at"]), file["reason"] or "-"
        table.add_row(Text(file["tenant"]), Text(file["name"]), *amounts, failed_at, Text(reason))
    return table


def _details(file: dict[str, Any]) -> Text:
    times = {key: instant(file[key]) for key in ("start_at", "staged_at", "failed_at")}
    lines = [(key, str(value)) for key, value in {**file, **times}.items() if key != "id"]
    return Text.assemble(*[part for key, value in lines for part in ((f"{key:12}", "bold"), f"{value}\n")])
