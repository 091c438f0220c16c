"""What a worker inherits."""

import pytest

from apidanalytics.control.spawn import worker_environment


@pytest.mark.parametrize(
    ("own", "tunables"),
    [
        ({}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": ""}, "glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.check=3"}, "glibc.malloc.check=3:glibc.malloc.hugetlb=1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, "glibc.malloc.hugetlb=0"),
    ],
)
def test_a_worker_asks_for_huge_pages_unless_it_was_told_otherwise(own: dict[str, str], tunables: str) -> None:
    assert worker_environment({"PATH": "/bin", **own}) == {
        "PATH": "/bin",
        "MALLOC_ARENA_MAX": "1",
        "GLIBC_TUNABLES": tunables,
    }
