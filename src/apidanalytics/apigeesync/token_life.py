"""What a token answer says, and when the next token is due. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

FOREVER_SECONDS: Final = 365 * 86400.0
"""Lifetime of a token whose answer names none."""
AHEAD_SECONDS: Final = 60.0
"""How long before its end a token is renewed, if it lives long enough."""

_TOKEN: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token with its life, in monotonic seconds."""

    text: str
    obtained_at: float
    lifetime_seconds: float

    def __repr__(self) -> str:
        return f"<Token for {self.lifetime_seconds:g} s>"

    @property
    def renew_at(self) -> float:
        """When the next one should be asked for: a minute before the end, but never before half its life."""
        return self.obtained_at + max(self.lifetime_seconds / 2, self.lifetime_seconds - AHEAD_SECONDS)

    @property
    def ends_at(self) -> float:
        """When it is worth nothing any more."""
        return self.obtained_at + self.lifetime_seconds


def read_token(body: bytes, now: float) -> Token | None:
    """Return the token of an answer in either spelling (``accessToken``, ``access_token``); None: there is none."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    text = answer.get("accessToken") or answer.get("access_token")
    if not isinstance(text, str) or not _TOKEN.fullmatch(text):
        return None
    seconds = _seconds(answer.get("expiresIn", answer.get("expires_in")))
    return Token(text=text, obtained_at=now, lifetime_seconds=seconds)


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    return min(seconds, FOREVER_SECONDS) if seconds > 0 else FOREVER_SECONDS
