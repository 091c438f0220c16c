"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it went."""

    OK = "ok"
    PROBLEM = "problem"
    SKIPPED = "skipped"
    """Not tried; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One thing that was tried."""

    check: str
    """Stable name."""
    state: State
    text: str
    """What is so, in a sentence."""
    advice: str = ""
    """What to do about a problem."""


def ok(check: str, text: str) -> Result:
    """Say that it is as it should be."""
    return Result(check=check, state=State.OK, text=text)


def problem(check: str, text: str, advice: str) -> Result:
    """Say what is wrong and what to do."""
    return Result(check=check, state=State.PROBLEM, text=text, advice=advice)


def skipped(check: str, text: str) -> Result:
    """Say why it was not tried."""
    return Result(check=check, state=State.SKIPPED, text=text)
