"""What a record must look like when it arrives: as it was sent, and after that exactly what enrichment adds.

The rules are those of the contract, written down a second time, with the standard library only:

* members, their order, number tokens and escapes are those that were sent, byte for byte; white space between tokens
  may go;
* ``organization`` and ``environment`` are added where they are absent, null or ``""`` (in place or at the end);
* for a ``client_id`` that is a non-empty string, the four developer members are added, each where it is absent.
"""

import json
import re
from collections.abc import Mapping
from typing import Final

from apidanalytics.demo.accounts import Account

Members = list[tuple[str, str]]
"""The members of an object in their order: name and value as the tokens that stand in the text."""

_OUTSIDE: Final = re.compile(rb'((?:"[^"\\]*(?:\\.[^"\\]*)*"|[^" \t\r\n]+)+)|[ \t\r\n]+', re.DOTALL)
"""Either a run of tokens, or the white space between two."""
_DECODER: Final = json.JSONDecoder()


def compact(text: bytes) -> bytes:
    """Return JSON text without the white space between its tokens; everything else stays, byte for byte."""
    return _OUTSIDE.sub(rb"\1", text)


def members(text: bytes) -> Members:
    """Split a JSON object into its members, duplicates too.

    Raises:
        ValueError: it is not one JSON object in UTF-8.

    """
    source = compact(text).decode()
    json.loads(source)
    if not source.startswith("{"):
        raise ValueError("not an object")
    found: Members = []
    at = 1
    while source[at] != "}":
        at += source[at] == ","
        name, colon = _DECODER.raw_decode(source, at)
        end = _DECODER.raw_decode(source, colon + 1)[1]
        found.append((name, source[colon + 1 : end]))
        at = end
    return found


def additions(record: bytes, account: Account) -> dict[str, str]:
    """Return the members that enrichment must add to this record, or fill in where they are null or ``""``.

    Raises:
        ValueError: the record is not a JSON object.

    """
    sent = json.loads(record)
    if not isinstance(sent, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the text is wrong, not the caller's type
    named = {"organization": account.org, "environment": account.env}
    added = {name: value for name, value in named.items() if sent.get(name) in (None, "")}
    api_key = sent.get("client_id")
    if isinstance(api_key, str) and api_key:
        added |= {name: value for name, value in account.developer(api_key).items() if name not in sent}
    return added


def difference(sent: bytes, line: bytes, added: Mapping[str, str]) -> str | None:
    """Return in words how a delivered line differs from what it must be, or None when it does not."""
    try:
        have = members(line)
    except ValueError as error:
        return f"not a JSON object: {error}"
    want = members(sent)
    # A member that was null or "" is filled in place or added at the end: the others say whether the order is kept.
    filled = added.keys() & {name for name, _ in want}
    kept = [member for member in want if member[0] not in filled]
    rest = [member for member in have if member[0] not in filled]
    return (
        _difference_of_kept(kept, rest[: len(kept)])
        or _difference_of_added({name: added[name] for name in added.keys() - filled}, rest[len(kept) :])
        or _difference_of_filled({name: added[name] for name in filled}, have)
    )


def _difference_of_kept(want: Members, have: Members) -> str | None:
    for position, (name, value) in enumerate(want):
        if position >= len(have):
            return f"member {name} is missing"
        if have[position] != (name, value):
            return f"sent {name}: {value}, delivered {have[position][0]}: {have[position][1]}"
    return None


def _difference_of_added(want: Mapping[str, str], have: Members) -> str | None:
    for name, value in have:
        if name not in want:
            return f"member {name}: {value} was not sent, and nothing adds it"
        if json.loads(value) != want[name]:
            return f"added {name}: {value}, not {json.dumps(want[name])}"
    names = [name for name, _ in have]
    if len(names) != len(set(names)):
        return "a member was added twice"
    missing = want.keys() - set(names)
    return f"enrichment is missing: {', '.join(sorted(missing))}" if missing else None


def _difference_of_filled(want: Mapping[str, str], have: Members) -> str | None:
    for name, value in want.items():
        values = [json.loads(token) for member, token in have if member == name]
        if not values or values[-1] != value or any(other not in (None, "", value) for other in values):
            return f"{name} should be {json.dumps(value)}, delivered {values}"
    return None
