"""How a record is shown to a person: what opens a door (tokens, keys, passwords, query strings) is masked."""

from typing import Any, Final

import msgspec

from apidanalytics.telemetry.masking import MASK, mask_value

_HIDDEN: Final = ("query", "cookie", "credential", "apikey", "api_key", "signature", "jwt")
"""Parts of names that hide a value, beside those that are hidden in logs."""
_SHORTENED: Final = ("client_id",)
"""API keys: enough of them is shown to tell one from another."""
_SHOWN: Final = 4
_UNREADABLE: Final = {"unreadable": "not a JSON object"}


def mask_record(line: bytes) -> dict[str, Any]:
    """Return the record in a line, masked."""
    try:
        record = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _UNREADABLE
    return {name: _mask(name, value) for name, value in record.items()}


def _mask(name: str, value: Any) -> Any:
    lower = name.lower()
    if value is not None and any(word in lower for word in _HIDDEN):
        return MASK
    if lower in _SHORTENED and isinstance(value, str):
        return f"{value[:_SHOWN]}{MASK}" if len(value) > _SHOWN else MASK
    if isinstance(value, dict):
        return {inner: _mask(inner, content) for inner, content in value.items()}
    if isinstance(value, list):
        return [_mask("", content) for content in value]
    return _cut_path(mask_value(name, value))


def _cut_path(value: Any) -> Any:
    """Cut the query of a path or an address, under whatever name it comes."""
    if isinstance(value, str) and "?" in value and "=" in value.partition("?")[2]:
        return f"{value.partition('?')[0]}?{MASK}"
    return value
