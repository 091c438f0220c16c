"""docs/object-stores.md says of every refusal what tests/contract/test_stores.py saw."""

from pathlib import Path

import pytest

from tests.contract.stores import CHECKS, NAMES, NO_ENCRYPTION_TO_BIND, NOT_CHECKED

PAGE = Path(__file__).parents[2] / "docs/object-stores.md"


def rows() -> dict[str, list[str]]:
    lines = [line.strip("| ") for line in PAGE.read_text().splitlines() if line.startswith("| changed: ")]
    return {cells[0]: cells[1:] for cells in (line.split(" | ") for line in lines)}


def seen(kind: str, check: str) -> str:
    if check == "encryption" and kind in NO_ENCRYPTION_TO_BIND:
        return "nothing to bind"
    if (kind, check) == ("azure", "content type"):
        return "cannot be bound"
    return "taken" if check in NOT_CHECKED[kind] else "refused"


def test_the_table_has_every_check():
    assert list(rows()) == [f"changed: {check}" for check in CHECKS]


@pytest.mark.parametrize("check", CHECKS)
def test_the_table_is_what_was_seen(check):
    assert rows()[f"changed: {check}"] == [seen(kind, check) for kind in NAMES]
