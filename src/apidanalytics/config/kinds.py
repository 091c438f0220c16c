"""The kinds of values a setting can have: how one is read from text, and shown again.

Every source gives text (of a YAML file, the text as it is written there), so one parser serves them all, and an
instance id ``0123`` or a token ``1e5`` stays what was written.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Generic, NoReturn, TypeVar

from apidanalytics.config import addresses, units

T = TypeVar("T")

TEN_YEARS: Final = 3650 * 86400.0
MASK_ACTIONS: Final = ("drop", "hash", "truncate", "query")
"""What may become of a member of a record: it goes, or its value is hashed, cut as an IP address, or as an address."""
UNMASKABLE: Final = frozenset(
    {"client_received_start_timestamp", "client_received_end_timestamp", "organization", "environment"}
)
"""Members that say when it was and whose it is: without them a record is none."""
OFF: Final = "off"
"""Stands for a listener that is not wanted."""
_TRUE: Final = frozenset({"true", "yes", "on", "t", "y", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "f", "n", "0"})
_URL_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")
_CLIENT_NAME: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9][A-Za-z0-9._:/@+ -]{0,250}")
_MASK_ENTRY: Final = re.compile(rf"(?P<name>[A-Za-z0-9_.:-]{{1,200}})\s*:\s+(?P<action>{'|'.join(MASK_ACTIONS)})")
_OWN_PATHS: Final = frozenset({"/health", "/ready"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """How values of one kind are read and shown."""

    name: str
    """What the docs call it."""
    expected: str
    """What would be right: ends the sentence ``should be ...``."""
    parse: Callable[[str], T]
    """Raises ValueError for anything else than what is expected; never another exception."""
    format: Callable[[T], str] = str
    """The value as text; ``parse`` reads it back."""
    unit: str = ""
    """What a bare number counts."""
    takes_parts: bool = False
    """Whether the file may give it as a list or a mapping; the parts come as text, with commas between them."""
    takes_empty: bool = False
    """Whether ``""``, in quotes in the file, is a value; otherwise it counts as not given."""


def text(*, expected: str, form: str, name: str = "text") -> Kind[str]:
    """Text that matches the regular expression ``form`` as a whole."""
    pattern = re.compile(form)

    def parse(given: str) -> str:
        return given if pattern.fullmatch(given) else _wrong(given)

    return Kind(name=name, expected=expected, parse=parse)


def choice(*names: str) -> Kind[str]:
    """One of some words, in any case."""

    def parse(given: str) -> str:
        return given.lower() if given.lower() in names else _wrong(given)

    words = _either(names)
    return Kind(name=words, expected=words, parse=parse)


def number_choice(*numbers: int) -> Kind[int]:
    """One of some numbers."""
    known = {str(number): number for number in numbers}

    def parse(given: str) -> int:
        return known[given] if given in known else _wrong(given)

    words = _either(tuple(known))
    return Kind(name=words, expected=words, parse=parse)


def integer(minimum: int, maximum: int, *, unit: str = "") -> Kind[int]:
    """Whole numbers from ``minimum`` to ``maximum``."""

    def parse(given: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", given):
            return _wrong(given)
        return int(given) if minimum <= int(given) <= maximum else _wrong(given)

    return Kind(name="number", expected=f"a whole number from {minimum} to {maximum}", parse=parse, unit=unit)


def fraction(minimum: float) -> Kind[float]:
    """Fractions from ``minimum`` to 1."""

    def parse(given: str) -> float:
        if not re.fullmatch(r"0?\.[0-9]{1,6}|1(?:\.0{1,6})?", given):
            return _wrong(given)
        return float(given) if float(given) >= minimum else _wrong(given)

    return Kind(name="fraction", expected=f"a fraction from {minimum:g} to 1", parse=parse, format="{:g}".format)


def duration(minimum: float = 0.001, maximum: float = TEN_YEARS, *, whole: bool = False) -> Kind[float]:
    """Durations in seconds from ``minimum`` to ``maximum``; ``whole`` ones have no part of a second."""

    def parse(given: str) -> float:
        seconds = units.parse_duration(given)
        if whole and seconds % 1:
            return _wrong(given)
        return seconds if minimum <= seconds <= maximum else _wrong(given)

    span = f"from {units.format_duration(minimum)} to {units.format_duration(maximum)}"
    what = f"a duration {span}{' in whole seconds' if whole else ''}, such as 90, 90s, 2m, 1h, 300ms or 7d"
    return Kind(name="duration", expected=what, parse=parse, format=units.format_duration, unit="seconds")


def size(minimum: int = 1, maximum: int = 2**40) -> Kind[int]:
    """Sizes in bytes from ``minimum`` to ``maximum``."""

    def parse(given: str) -> int:
        size_bytes = units.parse_size(given)
        return size_bytes if minimum <= size_bytes <= maximum else _wrong(given)

    span = f"from {units.format_size(minimum)} to {units.format_size(maximum)}"
    what = f"a size {span}, such as 1048576, 16MB, 32MiB or 1GiB"
    return Kind(name="size", expected=what, parse=parse, format=units.format_size, unit="bytes")


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _wrong(given: str) -> NoReturn:
    # The text is left out: it may be a secret. Who reports the problem knows how to show it.
    raise ValueError(f"{len(given)} characters of another form")


def _boolean(given: str) -> bool:
    word = given.lower()
    return word in _TRUE if word in _TRUE | _FALSE else _wrong(given)


def _path(given: str) -> Path:
    return Path(given) if given.isprintable() else _wrong(given)


def _base_path(given: str) -> str:
    names = given.split("/")
    if not _URL_PATH.fullmatch(given) or given in _OWN_PATHS or "." in names or ".." in names:
        return _wrong(given)
    return given


def _data_path(given: str) -> str:
    names = given.strip("/").split("/")
    return given if given.isprintable() and not {"", ".", ".."} & set(names) else _wrong(given)


def _listen_or_off(given: str) -> str:
    return OFF if given.lower() in {"", OFF} else _listen(given, unix=False)


def _listen(given: str, *, unix: bool) -> str:
    if isinstance(addresses.parse_listen(given), Path) and not unix:
        return _wrong(given)
    return given


def _entries(given: str) -> list[str]:
    """Return what stands between the commas; braces around all of it, as YAML has them, are fine."""
    inner = given[1:-1] if given.startswith("{") and given.endswith("}") else given
    entries = [entry.strip() for entry in inner.split(",")]
    return entries if all(entries) else _wrong(given)


def _client_names(given: str) -> tuple[str, ...]:
    names = _entries(given)
    return tuple(names) if all(_CLIENT_NAME.fullmatch(name) for name in names) else _wrong(given)


def _mask(given: str) -> dict[str, str]:
    pairs = [_MASK_ENTRY.fullmatch(entry) for entry in _entries(given)]
    found = {pair["name"]: pair["action"] for pair in pairs if pair is not None}
    if len(found) != len(pairs) or UNMASKABLE & found.keys():
        return _wrong(given)
    return found


def _joined(entries: Iterable[str]) -> str:
    return ", ".join(entries)


BOOLEAN: Final = Kind(
    name="boolean", expected="true or false", parse=_boolean, format=lambda value: "true" if value else "false"
)
PATH: Final = Kind(name="path", expected="a path of printable characters", parse=_path)
BASE_URL: Final = Kind(
    name="URL",
    expected="an http:// or https:// URL with a host, without user, query and fragment",
    parse=addresses.parse_base_url,
)
BASE_PATH: Final = Kind(
    name="URL path",
    expected="a path that begins with / and does not end with it, such as /analytics, and not /health or /ready",
    parse=_base_path,
)
DATA_PATH: Final = Kind(
    name="path", expected="a path below local_storage_path, such as /ax, without . and .. in it", parse=_data_path
)
LISTEN: Final = Kind(
    name="address",
    expected="an address such as 127.0.0.1:9000, [::1]:9000, :9000 (every interface) or unix:/run/apid.sock",
    parse=partial(_listen, unix=True),
)
LISTEN_TCP: Final = Kind(
    name="address",
    expected="an address such as 127.0.0.1:9000, [::1]:9000 or :9000 (every interface); port 0 is any free one",
    parse=partial(_listen, unix=False),
)
LISTEN_OR_OFF: Final = Kind(
    name="address",
    expected='an address such as 127.0.0.1:9001, [::1]:9001 or :9001 (every interface), or off (or "")',
    parse=_listen_or_off,
    takes_empty=True,
)
HOST: Final = Kind(
    name="host",
    expected="a host name or address alone, without scheme, port, user and path",
    parse=lambda given: given if addresses.parse_host(given) else _wrong(given),
)
SELECTOR: Final = text(expected="1 to 255 characters of a-z 0-9 _ -", form=r"[0-9a-z_-]{1,255}")
INSTANCE_ID: Final = text(expected="1 to 64 characters of A-Z a-z 0-9 . -", form=r"[A-Za-z0-9.-]{1,64}")
TOKEN: Final = text(expected="printable ASCII characters without spaces", form=r"[!-~]+")
PRINTABLE: Final = text(expected="printable ASCII characters", form=r"[ -~]+")
CLIENT_NAMES: Final = Kind(
    name="list of names",
    expected="names as certificates hold them, with commas between them, such as gateway-1, *.gw.example.com,"
    " spiffe://acme/gw; only *. in front stands for something",
    parse=_client_names,
    format=_joined,
    takes_parts=True,
)
MASK: Final = Kind(
    name="mapping",
    expected=f"members of a record and {_either(MASK_ACTIONS)}, such as access_token: drop, client_ip: truncate;"
    " not the timestamps of the client, organization and environment",
    parse=_mask,
    format=lambda value: _joined(f"{name}: {action}" for name, action in value.items()),
    takes_parts=True,
)
