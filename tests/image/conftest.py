"""Every test here has the mark ``image``, and an engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.engine import Engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.image)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return docker or podman; what a test makes with it is removed afterwards."""
    found = Engine.that_answers()
    if found is None:
        pytest.skip("needs docker or podman, and neither answers to `info`")
    yield found
    found.close()
