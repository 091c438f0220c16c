"""What the judgement of uploads is given: whose files wait, and whose are reported already."""

from types import SimpleNamespace

from apidanalytics.health.facts import Backlog
from apidanalytics.service.census import Tenants
from apidanalytics.service.facts import _uploads
from apidanalytics.upload.pausing import EVERYBODY
from apidanalytics.upload.view import Backlog as Staged


def watched(pauses, troubles):
    return SimpleNamespace(
        uploader=lambda: SimpleNamespace(pausing=SimpleNamespace(in_force=pauses)),
        attempts=SimpleNamespace(
            troubles={name: SimpleNamespace(tenant=name, since=1.0, reason="") for name in troubles}
        ),
    )


def test_what_is_staged_of_others_is_counted_without_the_tenants_that_are_paused_or_in_trouble():
    def staged(files, start_at):
        return Staged(files=files, records=10 * files, size_bytes=1, oldest_start_at=start_at)

    tenants = Tenants(
        counts={},
        staged={"a~paused": staged(1, 10), "b~failing": staged(2, 20), "c~d": staged(4, 40), "e~f": staged(8, 30)},
        failed={"c~d": staged(16, 1)},
    )
    facts = _uploads(watched({"a~paused": 5.0, EVERYBODY: 6.0}, ["b~failing"]), tenants, None)
    assert facts.others == Backlog(records=120, files=12, oldest_at=30)
    assert [pause.waiting.files for pause in facts.paused_tenants] == [1]
    assert _uploads(watched({}, []), None, None).others == Backlog()
