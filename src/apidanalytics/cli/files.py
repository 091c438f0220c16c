"""``apidanalytics files``: the files that the ledger knows, and the history of one."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from apidanalytics.cli.asking import Asked, asking
from apidanalytics.cli.drawing import (
    age,
    console,
    duration,
    instant,
    plain,
    print_json,
    size,
    styled,
    table,
)
from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.fitting import Fitting
from apidanalytics.layout import DataDirectory

PAGE: Final = 1000
WIDE: Final = 150
"""Columns from which the names of the files and their last errors are in the table."""
MOST_SHOWN: Final = 20
"""Files of one beginning whose histories are shown."""

File = dict[str, Any]

_ENDS: Final = {
    "uploaded": "The object store has it.",
    "failed": "Gave up for now; it is tried again after a later success, by the clock, or with `failed retry`.",
    "set_aside": "It cannot be delivered: see docs/operations.md, Damaged files.",
    "dropped": "Given up to make room (apidanalytics_full_policy: drop_oldest).",
}


def run(
    config_file: Path | None, *, tenant: str | None, state: str | None, order: str, limit: int, as_json: bool
) -> int:
    """Print files as they are in the ledger."""
    with asking(config_file) as asked:
        files, more = _list(asked, {"tenant": tenant, "state": state, "order": order}, limit)
        if as_json:
            print_json({"files": files, "more": more})
        elif not files:
            print("No file is like that.")
        else:
            _show_list(files, console(), more=more)
    return asked.code


def run_show(config_file: Path | None, *, name: str, tenant: str | None, as_json: bool) -> int:
    """Print the history of the file of this number or name, or of those whose names begin so; exit code 1 if none."""
    with asking(config_file) as asked:
        files = [asked("file", id=number) for number in _numbers(asked, name, tenant)]
        if not files:
            print(f"No file is called {name}. `apidanalytics files` shows which there are.", file=sys.stderr)
            return ExitCode.FAILURE
        for file in files:
            file["path"] = _path(asked.settings.data, file)
        if as_json:
            print_json({"files": files})
        else:
            out = console()
            for file in files:
                _show_history(file, out)
    return asked.code


def _list(asked: Asked, wanted: dict[str, Any], limit: int) -> tuple[list[File], bool]:
    files: list[File] = []
    more = True
    while more and len(files) < limit:
        answer = asked("files", **wanted, offset=len(files), limit=min(limit - len(files), PAGE))
        files += answer["files"]
        more = answer["more"]
    return files, more


def _numbers(asked: Asked, name: str, tenant: str | None) -> list[int]:
    """Return the files that are meant: by its number in the list, by name, or by the beginning of names."""
    if name.isdecimal() and len(name) < 16 and tenant is None:
        found = asked("files", order="newest", limit=1)["files"]
        if found and 0 < int(name) <= found[0]["id"]:
            return [int(name)]
    return [file["id"] for file in asked("files.named", name=name[:200], tenant=tenant, limit=MOST_SHOWN)["files"]]


def _path(data: DataDirectory, file: File) -> str | None:
    folder = {"staged": data.staging, "failed": data.failed}.get(file["state"])
    return None if folder is None else str((folder / file["directory"] / file["name"]).absolute())


def _show_list(files: list[File], out: Console, *, more: bool) -> None:
    is_narrow = out.width < WIDE
    columns = ("id", "tenant", "start", "state", "records", "size")
    drawn = table(*columns, *(["age"] if is_narrow else ["attempts", "age", "file", "last error"]))
    for file in files:
        since = age(file["settled_at"] or file["staged_at"])
        wide = [str(file["attempts"]), since, plain(file["name"]), plain(file["reason"] or "-")]
        drawn.add_row(
            str(file["id"]), plain(file["tenant"]), *_cells(file, is_narrow), *([since] if is_narrow else wide)
        )
    out.print(Fitting(drawn))
    if is_narrow:
        for file in files:
            if file["reason"]:
                out.print(Text.assemble(f"! {file['id']}: ", plain(file["reason"]), style="yellow"))
    rest = ", and more (--limit)" if more else ""
    out.print(f"{len(files):,} files{rest}; one's history: apidanalytics files show ID", style="dim")


def _cells(file: File, is_narrow: bool) -> Iterator[str | Text]:
    yield Text(instant(file["start_at"])[5 if is_narrow else 0 :], no_wrap=True)
    yield styled(file["state"])
    yield f"{file['records']:,}"
    yield size(file["size_bytes"])


def _show_history(file: File, out: Console) -> None:
    facts = {
        "file": file["name"],
        "tenant": file["tenant"],
        "start": instant(file["start_at"]),
        "holds": f"{file['records']:,} records, {size(file['bytes'])}; {size(file['size_bytes'])} as gzip",
        "sha256": file["sha256"],
        "stands in": file["path"],
    }
    out.print(Text.assemble(("file ", "bold"), (str(file["id"]), "bold"), "  ", styled(file["state"])))
    for name, value in facts.items():
        if value is not None:
            out.print(Text.assemble((f"  {name:10}", "dim"), plain(str(value))), soft_wrap=True)
    for at, what, style in _events(file):
        out.print(Text.assemble((f"  {instant(at)}  ", "dim"), (what, style)), soft_wrap=True)
    out.print()


def _events(file: File) -> Iterator[tuple[float | None, str, str]]:
    """Yield what happened to a file, oldest first: when, what, and its colour."""
    yield file["staged_at"], "Staged: packed from its spool, ready to be uploaded.", ""
    for attempt in file["recent_attempts"]:
        took = duration(attempt["seconds"]) if attempt["seconds"] >= 1 else f"{attempt['seconds'] * 1000:.0f} ms"
        what = attempt["reason"] or "delivered"
        yield attempt["began_at"], f"Attempt, {took}: {what}.", "yellow" if attempt["reason"] else "green"
    state = file["state"]
    if state in _ENDS:
        because = f" Last error: {file['reason']}." if file["reason"] and state != "uploaded" else ""
        yield file["settled_at"], f"{_ENDS[state]}{because}", "green" if state == "uploaded" else "red"
    elif file["reason"]:
        at = file["next_attempt_at"] or None
        yield at, f"Next attempt, the {file['attempts'] + 1}. The last one failed: {file['reason']}.", "yellow"
