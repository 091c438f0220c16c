"""One row of the table of settings, and the three ways to write one down."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from apidanalytics.config.kinds import Kind
from apidanalytics.telemetry.masking import MASK

T = TypeVar("T")

PREFIX: Final = "apidanalytics_"
"""What our own keys begin with; an attribute of ``Settings`` is the key without it."""

UNSET: Final = "not set"
"""Stands for no value."""

METADATA: Final = "setting"
"""Where a dataclass field keeps its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What there is to know about one key."""

    key: str
    kind: Kind[Any]
    help: str
    default: object = None
    """None: there is none."""
    embedded: object = None
    """Default with ``--embedded`` where that is another one; None: there is none."""
    required: bool = False
    secret: bool = False

    @property
    def attribute(self) -> str:
        """Name of the attribute of ``Settings``."""
        return self.key.removeprefix(PREFIX)

    def show(self, value: object) -> str:
        """Return a value as text for people: secrets masked, durations and sizes with their unit."""
        if value is None or value == "":
            return UNSET
        return MASK if self.secret else self.kind.format(value)


def required(key: str, kind: Kind[T], help_text: str, *, embedded: T) -> T:
    """Return the field of a key that must be given, except with ``--embedded``."""
    row = Setting(key=key, kind=kind, help=help_text, embedded=embedded, required=True)
    made: T = field(metadata={METADATA: row})
    return made


def optional(key: str, kind: Kind[T], help_text: str, *, secret: bool = False) -> T | None:
    """Return the field of a key that may be left out: it is None then."""
    row = Setting(key=key, kind=kind, help=help_text, secret=secret)
    made: T | None = field(default=None, repr=not secret, metadata={METADATA: row})
    return made


def default(key: str, kind: Kind[T], value: T, help_text: str) -> T:
    """Return the field of a key with a default."""
    row = Setting(key=key, kind=kind, help=help_text, default=value)
    return field(default=value, metadata={METADATA: row})
