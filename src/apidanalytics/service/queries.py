"""The parameters that the questions have in common."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""Of a tenant, ``<org>~<env>`` percent-encoded, or of a file."""
Offset = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters: none but those that are named."""


Q = TypeVar("Q", bound=Query)


def read_query(parameters: Mapping[str, Any], kind: type[Q]) -> Q:
    """Return the parameters of a question; numbers and truth values may be texts, as they are in a URL.

    Raises:
        msgspec.ValidationError: one is unknown, missing, or not what it should be.

    """
    query = msgspec.convert(parameters, kind, strict=False)
    nulls = {name: text for name, text in parameters.items() if isinstance(text, str) and text.lower() == "null"}
    if not nulls:
        return query
    # Where texts are read as what they stand for, this one would count as a parameter that was not given.
    return msgspec.convert({**msgspec.to_builtins(query), **nulls}, kind)
