"""The parameters of a request for a URL: which tenant, and exactly which key."""

import re
from collections.abc import Iterator
from typing import Final

from apidanalytics import layout
from apidanalytics.layout import FileName

_NOT_UTF8: Final = "\N{REPLACEMENT CHARACTER}"
"""What a query's parser makes of bytes that are not UTF-8."""

_PATH: Final = re.compile(r"(?P<date>date=[0-9-]{10})/(?P<time>time=[0-9-]{5,8})/(?P<file>[^/]+)")


def parse_relative_path(text: str) -> str:
    """Return the path, once it is exactly ``date=<yyyy-MM-dd>/time=<HH-mm>[-<ss>]/<file>``.

    The file's name has our form, and date and time are those of its start.

    Raises:
        ValueError: it is anything else; the text says what.

    """
    match = _PATH.fullmatch(text)
    if match is None:
        raise ValueError("relative_file_path is not date=<yyyy-MM-dd>/time=<HH-mm>/<file>")
    try:
        start_at = FileName.parse(match["file"]).start_at
    except ValueError:
        raise ValueError("relative_file_path does not end in a file name of the known form") from None
    if text not in _forms(match["file"], start_at):
        raise ValueError("relative_file_path has a date or time other than that of the file")
    return text


def parse_tenant_parameter(text: str) -> Iterator[tuple[str, str]]:
    """Yield every (org, env) that ``<org>~<env>`` may mean: a ``~`` within a name cannot be told from the one between.

    Raises:
        ValueError: it means nothing.

    """
    if _NOT_UTF8 in text:
        raise ValueError("tenant is not UTF-8")  # two of them would read the same
    parts = text.split("~")
    readings = [("~".join(parts[:at]), "~".join(parts[at:])) for at in range(1, len(parts))]
    found = [(org, env) for org, env in readings if org and env]
    if not found:
        raise ValueError("tenant is not <org>~<env>")
    return iter(found)


def _forms(file: str, start_at: int) -> tuple[str, str]:
    seconds = start_at % 60
    with_minutes = layout.format_object_path(file, start_at)
    date, time, _ = with_minutes.split("/", 2)
    return with_minutes, f"{date}/{time}-{seconds:02d}/{file}"
