"""Patterns that stand for tenants."""

import re
from urllib.parse import quote, unquote


class Pattern:
    """``<org>~<env>``, with ``*`` for any characters of one of the two.

    What is odd in a name may be written as it is or percent-encoded; within a name, ``~``, ``/`` and ``*`` must be
    (``%7E``, ``%2F``, ``%2A``).
    """

    def __init__(self, text: str) -> None:
        org, _, env = text.partition("~")
        self.text = text
        self._encoded = f"{_encoded(org)}~{_encoded(env)}"
        self._form = re.compile(re.escape(self._encoded).replace(r"\*", "[^~]*"))
        self.has_wild_org, self.has_wild_env = "*" in org, "*" in env

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other._encoded == self._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    @property
    def is_exact(self) -> bool:
        """Whether it is the name of one tenant."""
        return not (self.has_wild_org or self.has_wild_env)

    @property
    def tenant(self) -> str:
        """The encoded name of the one tenant."""
        return self._encoded

    def matches(self, tenant: str) -> bool:
        """Say whether it stands for the tenant of this encoded name."""
        return self._form.fullmatch(tenant) is not None


def _encoded(part: str) -> str:
    pieces = (quote(unquote(piece), safe="._-").replace("~", "%7E") for piece in part.split("*"))
    return "*".join(pieces)
