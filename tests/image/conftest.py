"""Every test here has the mark ``image``, and an engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.engine import Engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.image)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Return docker or podman; what a test makes with it is removed afterwards."""
    found = Engine.that_answers()
    if found is None:
        pytest.skip("needs docker or podman, and neither answers to `info`")
    yield found
    found.close()
