"""What is counted by tenant."""

from collections.abc import Mapping

from apidanalytics.service.counts import count_by_tenant, total
from apidanalytics.upload.states import Count, State


class FakeLedger:
    def totals(self) -> Mapping[str, Mapping[State, Count]]:
        return {
            "a~prod": {State.ACCEPTED: Count(3, 30), State.UPLOADED: Count(3, 30, 1)},
            "b~prod": {State.ACCEPTED: Count(2, 20), State.STAGED: Count(2, 20, 1)},
        }

    def is_accepted(self, spool_number: int) -> bool:
        return False


NOTHING = {"records": 0, "bytes": 0, "files": 0}


def test_tenants_are_counted_apart_and_have_nothing_where_nothing_is() -> None:
    counts = count_by_tenant(FakeLedger(), [], lambda _: {})
    assert counts["a~prod"]["uploaded"] == {"records": 3, "bytes": 30, "files": 1}
    assert counts["b~prod"]["uploaded"] == NOTHING
    assert counts["a~prod"]["staged"] == NOTHING
    assert total(counts.values())["accepted"] == {"records": 5, "bytes": 50, "files": 0}
    assert total([])["accepted"] == NOTHING
