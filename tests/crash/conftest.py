"""What the crash tests share: services with a bucket a second, and their seed."""

import os
from collections.abc import Callable

import pytest

from tests.harness import ServiceProcess

SEED_VARIABLE = "APIDANALYTICS_CRASH_SEED"


@pytest.fixture
def crash_seed() -> int:
    """Return the seed of the traffic and of the kills; set the variable to replay the one that a failure printed."""
    seed = int(os.environ.get(SEED_VARIABLE) or 20)
    print(f"replay with {SEED_VARIABLE}={seed}")
    return seed


@pytest.fixture
def start_quick(start_service: Callable[..., ServiceProcess]) -> Callable[..., ServiceProcess]:
    """Return ``start_service`` with short intervals: what is acknowledged is delivered about a second later."""

    def start(**settings) -> ServiceProcess:
        quick = {
            "apidanalytics_collection_interval": 1,
            "apidanalytics_upload_interval": "0.2s",
            "apidanalytics_workers": 1,
        }
        return start_service(**(quick | settings))

    return start
