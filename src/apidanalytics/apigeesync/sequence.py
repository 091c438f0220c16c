"""Sequences of the change server: ``H.L.I``, three numbers in hexadecimal, compared as numbers."""

import re
from typing import Final, NamedTuple, Self

_FORM: Final = re.compile(r"([0-9a-fA-F]{1,8})\.([0-9a-fA-F]{1,8})\.([0-9a-fA-F]{1,8})")


class Sequence(NamedTuple):
    """A place in the change log. ``0.9.0`` is before ``0.10.0``."""

    commit_high: int
    commit_low: int
    commit_index: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what the text says.

        Raises:
            ValueError: it is no sequence.

        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError("not a sequence")
        high, low, index = (int(group, 16) for group in match.groups())
        return cls(high, low, index)

    def __str__(self) -> str:
        return f"{self.commit_high:x}.{self.commit_low:x}.{self.commit_index:x}"
