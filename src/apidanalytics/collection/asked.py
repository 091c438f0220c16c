"""A request for a URL: its query, read strictly."""

from collections.abc import Sequence
from dataclasses import dataclass

from multidict import MultiMapping

from apidanalytics.collection.paths import parse_relative_path, parse_tenant_parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who wants to put what where."""

    readings: Sequence[tuple[str, str]]
    """Every (org, env) that the tenant parameter may mean."""
    relative_path: str
    content_type: str
    encrypt: bool


def read_asked(query: MultiMapping[str]) -> Asked:
    """Return what a query asks for.

    Raises:
        ValueError: a parameter is missing, there twice, or not of its form; the text says which.

    """
    encrypt = query.getall("encrypt", ["false"])
    if encrypt not in (["true"], ["false"]):
        raise ValueError("encrypt is not true or false")
    return Asked(
        relative_path=parse_relative_path(_parameter(query, "relative_file_path")),
        readings=tuple(parse_tenant_parameter(_parameter(query, "tenant"))),
        content_type=_parameter(query, "file_content_type"),
        encrypt=encrypt == ["true"],
    )


def _parameter(query: MultiMapping[str], name: str) -> str:
    values = query.getall(name, [])
    if len(values) != 1 or not values[0]:
        raise ValueError(f"{name} is required, once")
    return str(values[0])
