"""Whether it is well, and why not, in sentences."""

import re
from dataclasses import replace

import pytest

from apidanalytics.health.facts import (
    AccessFacts,
    Backlog,
    CertificateFacts,
    DiskFacts,
    Facts,
    KeyFacts,
    PackFacts,
    Refusals,
    ScopeFacts,
    TenantPause,
    TenantTrouble,
    UploadFacts,
    WorkerFacts,
)
from apidanalytics.health.findings import Severity, verdict
from apidanalytics.health.judge import judge

NOW = 1_700_000_000.0
MINUTE = 60.0
WELL = Facts(
    now=NOW,
    state="running",
    interval_seconds=120,
    workers=[WorkerFacts(index=0, state="running"), WorkerFacts(index=1, state="running")],
    scopes=ScopeFacts(version="1"),
    disk=DiskFacts(total_bytes=100 << 30, free_bytes=50 << 30),
    spooled=Backlog(records=10, files=1, oldest_at=NOW - 100),
    staged=Backlog(records=10, files=1, oldest_at=NOW - 130),
)


def ago(minutes):
    return NOW - minutes * MINUTE


def only(facts):
    (finding,) = judge(facts)
    return finding


def test_all_is_well():
    assert judge(WELL) == []
    assert verdict([]) == "well"


def test_a_tenant_in_trouble_is_told_with_since_when_why_and_what_waits():
    trouble = TenantTrouble(
        tenant="acme~prod",
        since=ago(12),
        reason="the object store answered 403",
        waiting=Backlog(records=4100, files=41, oldest_at=ago(14)),
    )
    finding = only(replace(WELL, uploads=UploadFacts(troubles=[trouble])))
    assert finding.text == (
        "Uploads for acme~prod have failed for 12 minutes: the object store answered 403; "
        "41 files with 4,100 records wait; the oldest is 14 minutes old."
    )
    assert (finding.severity, finding.tenant, finding.since) == (Severity.WARNING, "acme~prod", ago(12))


def test_of_many_tenants_in_trouble_the_longest_are_told_one_by_one_and_the_rest_together():
    troubles = [TenantTrouble(tenant=f"t{n}~prod", since=ago(n), reason="403") for n in range(20)]
    found = judge(replace(WELL, uploads=UploadFacts(troubles=troubles)))
    assert [finding.tenant for finding in found] == ["t19~prod", "t18~prod", "t17~prod", "t16~prod", "t15~prod", None]
    assert found[-1].text.startswith("Uploads fail for 15 more tenants: t14~prod, t13~prod, t12~prod and 12 more")


def test_while_everybodys_uploads_fail_that_is_all_that_is_told_of_them():
    uploads = UploadFacts(
        stopped_since=ago(12),
        stopped_reason="collection endpoint: no connection to 10.0.0.1:443",
        troubles=[TenantTrouble(tenant="a~b", since=ago(12), reason="no connection")],
    )
    finding = only(replace(WELL, uploads=uploads, staged=Backlog(records=9, files=41, oldest_at=ago(14))))
    assert finding.severity is Severity.TROUBLE
    assert finding.text == (
        "Uploads of all tenants have failed for 12 minutes: collection endpoint: no connection to 10.0.0.1:443; "
        "41 files with 9 records wait; the oldest is 14 minutes old."
    )


def test_that_everybody_waits_because_somebody_asked_for_less_is_told_and_explains_a_backlog():
    uploads = UploadFacts(throttled_until=ago(-0.5), throttled_reason="the object store answered 503 SlowDown")
    finding = only(replace(WELL, uploads=uploads, staged=Backlog(records=9, files=41, oldest_at=ago(600))))
    assert (finding.code, finding.severity) == ("uploads_throttled", Severity.WARNING)
    assert finding.text == (
        "Nothing is sent for another 30 seconds, as asked: the object store answered 503 SlowDown; "
        "41 files with 9 records wait; the oldest is 10 hours old."
    )


def test_pauses_are_reported_and_explain_a_backlog():
    old = replace(WELL, staged=Backlog(records=9, files=3, oldest_at=ago(600)))
    everybody = only(replace(old, uploads=UploadFacts(paused_since=ago(30))))
    assert everybody.text == (
        "All uploads have been paused by hand for 30 minutes; 3 files with 9 records wait; the oldest is 10 hours old."
    )
    pauses = [
        TenantPause(tenant="b~c", since=ago(10), waiting=Backlog(files=2, records=20, oldest_at=ago(20))),
        TenantPause(tenant="a~b", since=ago(30), waiting=Backlog(files=3, records=30, oldest_at=ago(120))),
    ]
    one = only(replace(old, uploads=UploadFacts(paused_tenants=pauses)))
    assert one.text == (
        "Uploads of a~b and b~c have been paused by hand, the first for 30 minutes; "
        "5 files with 50 records wait; the oldest is 2 hours old."
    )
    assert (one.since, verdict([one])) == (ago(30), "well")


@pytest.mark.parametrize(("minutes", "files", "severity"), [(58, 1, "note"), (61, 0, "note"), (61, 1, "warning")])
def test_a_pause_of_a_tenant_that_may_have_been_forgotten_is_a_warning(minutes, files, severity):
    pause = TenantPause(tenant="a~b", since=ago(minutes), waiting=Backlog(files=files, records=files))
    finding = only(replace(WELL, uploads=UploadFacts(paused_tenants=[pause])))
    assert finding.severity == severity
    assert "Uploads of a~b have been paused by hand for" in finding.text


def test_a_backlog_that_gets_old_though_nothing_fails_is_told():
    assert only(replace(WELL, staged=Backlog(files=3, oldest_at=ago(20)))).code == "uploads_late"
    assert only(replace(WELL, spooled=Backlog(records=5, oldest_at=ago(20)))).code == "packing_late"


@pytest.mark.parametrize(
    "reported",
    [
        {"paused_tenants": [TenantPause(tenant="a~b", since=ago(30), waiting=Backlog(files=9, oldest_at=ago(600)))]},
        {"troubles": [TenantTrouble(tenant="a~b", since=ago(30), reason="403")]},
    ],
    ids=["paused", "in trouble"],
)
def test_a_backlog_of_the_others_is_told_beside_a_tenant_that_is_reported_already(reported):
    old = replace(WELL, staged=Backlog(records=99, files=12, oldest_at=ago(600)))
    late = Backlog(records=90, files=3, oldest_at=ago(20))
    found = {one.code: one for one in judge(replace(old, uploads=UploadFacts(**reported, others=late)))}
    assert found["uploads_late"].text == (
        "Uploads go through but do not keep up: 3 files with 90 records wait; the oldest is 20 minutes old."
    )
    fresh = Backlog(records=90, files=3, oldest_at=ago(2))
    assert "uploads_late" not in {
        one.code for one in judge(replace(old, uploads=UploadFacts(**reported, others=fresh)))
    }


@pytest.mark.parametrize(
    ("free_gib", "severity"), [(11, None), (9, Severity.WARNING), (2, Severity.TROUBLE), (0, Severity.TROUBLE)]
)
def test_a_disk_that_fills_up_is_told_in_time(free_gib, severity):
    found = judge(replace(WELL, disk=DiskFacts(total_bytes=100 << 30, free_bytes=free_gib << 30)))
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_a_disk_that_refuses_is_trouble_however_much_is_free():
    workers = [WorkerFacts(index=0, state="running", is_writable=False)]
    assert only(replace(WELL, workers=workers)).code == "disk_refuses"


def test_a_worker_that_is_down_is_a_warning_and_all_of_them_are_trouble():
    down, up = WorkerFacts(index=0, state="down"), WorkerFacts(index=1, state="running")
    assert only(replace(WELL, workers=[down, up])).text == "Worker 0 is down; the others serve its share."
    assert only(replace(WELL, workers=[down])).severity is Severity.TROUBLE


def test_workers_that_are_replaced_again_and_again_are_told():
    workers = [WorkerFacts(index=0, state="running", restarts=4), WorkerFacts(index=1, state="running", restarts=1)]
    assert only(replace(WELL, workers=workers)).text == "Workers were replaced 4 times within the last hour."


def test_without_scope_data_every_batch_is_refused_and_the_hint_says_what_to_do():
    nothing = only(replace(WELL, scopes=ScopeFacts(is_configured=False)))
    assert "Set apidanalytics_scopes_file" in nothing.hint
    broken = only(replace(WELL, scopes=ScopeFacts(trouble="line 3: not YAML", trouble_since=ago(1))))
    assert broken.text == "There is no scope data: line 3: not YAML. Every batch gets 500."
    assert broken.hint == "Mend the source of the scope data; it is tried again by itself."


def test_stale_scope_data_is_a_warning():
    finding = only(replace(WELL, scopes=ScopeFacts(version="1", trouble="no such file", trouble_since=ago(3))))
    assert finding.text == "The scope data could not be read for 3 minutes: no such file."
    assert finding.severity is Severity.WARNING


def test_batches_that_were_not_taken_are_told():
    found = judge(replace(WELL, refusals=Refusals(overloaded=12, other_5xx=1, unanswered=2)))
    assert [finding.code for finding in found] == ["overloaded", "server_errors", "unanswered"]
    assert found[0].text.startswith("12 batches of the last minute")


def test_what_is_left_behind_is_told():
    found = judge(replace(WELL, failed=Backlog(records=5, files=1, oldest_at=ago(90)), damaged=2))
    assert [finding.code for finding in found] == ["failed_files", "set_aside"]
    assert found[0].text == "1 file with 5 records gave up for now and is in failed/; the oldest is 2 hours old."


@pytest.mark.parametrize("code", ["dropped", "set_aside"])
def test_what_was_dropped_or_lost_is_told_for_an_hour(code):
    def amount(minutes):
        return {code: Backlog(records=5, files=1, last_at=ago(minutes))}

    assert only(replace(WELL, **amount(59))).code == code
    assert judge(replace(WELL, **amount(61))) == []


def test_what_is_in_damaged_is_told_until_it_is_gone_however_old():
    old = replace(WELL, set_aside=Backlog(records=5, files=2, last_at=ago(9999)))
    assert only(replace(old, damaged=1)).text.startswith(
        "1 piece of data that could not be read or delivered stands in"
    )
    assert judge(old) == []


def test_the_worst_comes_first_and_decides():
    facts = replace(
        WELL,
        failed=Backlog(files=1),
        uploads=UploadFacts(paused_tenants=[TenantPause(tenant="a~b", since=ago(1))]),
        scopes=ScopeFacts(),
    )
    found = judge(facts)
    assert [finding.severity for finding in found] == [Severity.TROUBLE, Severity.WARNING, Severity.NOTE]
    assert verdict(found) == "trouble"


@pytest.mark.parametrize("state", ["starting", "draining"])
def test_while_it_starts_or_stops_only_that_is_told(state):
    finding = only(replace(WELL, state=state, workers=[], scopes=ScopeFacts(), staged=Backlog(oldest_at=ago(99))))
    assert (finding.code, finding.severity) == (state, Severity.NOTE)


def test_an_open_data_api_is_warned_about():
    assert only(replace(WELL, access=AccessFacts(is_open=True))).code == "open_api"
    assert only(replace(WELL, access=AccessFacts(tokens_in_clear=True))).code == "tokens_in_clear"


def test_a_broken_file_of_tokens_is_reported_with_its_time():
    finding = only(replace(WELL, access=AccessFacts(trouble="is not YAML", trouble_since=ago(5))))
    assert (finding.code, finding.since) == ("tokens_stale", ago(5))
    assert "for 5 minutes: is not YAML" in finding.text


def test_a_spool_that_cannot_be_packed_is_told_with_since_when_and_why():
    pack = PackFacts(put_off=3, first="00000000000a.spool", since=ago(5), reason="Permission denied")
    finding = only(replace(WELL, packing=pack))
    assert finding.code == "packing_failed"
    assert finding.text == (
        "Spool 00000000000a.spool and 2 other spools could not be packed for 5 minutes: Permission denied."
    )


def test_directories_of_spools_that_cannot_be_looked_through_are_trouble():
    pack = PackFacts(blocked_since=ago(5), blocked_reason="Permission denied: sealed")
    finding = only(replace(WELL, packing=pack))
    assert (finding.code, finding.severity, finding.since) == ("packing_blocked", Severity.TROUBLE, ago(5))
    assert finding.text == (
        "The directories of the spools cannot be looked through for 5 minutes: Permission denied: sealed."
    )


def test_keys_that_are_refused_are_trouble_and_forgotten_ones_a_warning():
    workers = [WorkerFacts(index=0, state="running", keys_trouble="disk I/O error")]
    refused = only(replace(WELL, workers=workers))
    assert (refused.code, refused.severity) == ("keys_refused", Severity.TROUBLE)
    assert refused.text == "Batches with an Idempotency-Key get 503: disk I/O error."
    lost = only(replace(WELL, keys=KeyFacts(lost="It is lost.", lost_at=ago(1), unread_spools=1)))
    assert (lost.code, lost.severity, lost.text) == ("keys_lost", Severity.WARNING, "It is lost.")
    assert "cannot be read" in lost.hint


def test_a_worker_that_is_behind_with_scope_data_is_trouble():
    behind = WorkerFacts(index=1, state="running", scopes_trouble="too many open files")
    workers = [WorkerFacts(index=0, state="running"), behind]
    finding = only(replace(WELL, workers=workers))
    assert (finding.code, finding.severity) == ("worker_behind", Severity.TROUBLE)
    assert finding.text == "Worker 1 cannot open the scope data that count: too many open files."


@pytest.mark.parametrize(
    ("days", "code", "severity", "text"),
    [
        (-2, "certificate_expired", "trouble", "api_listen expired 2 days ago: clients that check it do not connect."),
        (
            3,
            "certificate_expires",
            "warning",
            "api_listen expires in 3 days; then clients that check it do not connect.",
        ),
    ],
)
def test_a_certificate_that_ends_is_told_before_and_after(days, code, severity, text):
    ends = CertificateFacts(address="api_listen", good_until=NOW + days * 86400)
    finding = only(replace(WELL, certificates=[ends]))
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.text == f"The certificate of {text}"
    assert "apidanalytics reload" in finding.hint
    of_admin = replace(ends, address="apidanalytics_admin_listen", is_for_batches=False)
    assert only(replace(WELL, certificates=[of_admin])).severity == "warning"
    assert judge(replace(WELL, certificates=[replace(ends, good_until=NOW + 15 * 86400)])) == []


def test_an_administration_address_that_another_program_has_is_told_once_the_service_runs():
    taken = replace(WELL, admin_taken="127.0.0.1:9001")
    assert only(taken).code == "admin_port_taken"
    assert "Another program listens on 127.0.0.1:9001" in only(taken).text
    assert [finding.code for finding in judge(replace(taken, state="starting"))] == ["starting"]


def test_where_the_oldest_is_dropped_nobody_is_told_that_everything_is_kept():
    uploads = UploadFacts(
        paused_since=ago(5), troubles=[TenantTrouble(tenant="a~b", since=ago(12), reason="it answered 403")]
    )
    limits = DiskFacts(total_bytes=100, free_bytes=50, limits_reached=["The disk is over its limit."])
    for drops, says in ((True, "full_policy"), (False, "kept|lost")):
        facts = replace(WELL, disk=replace(limits, drops_oldest=drops), uploads=uploads)
        stopped = replace(facts, uploads=UploadFacts(stopped_since=ago(1)))
        hints = [finding.hint for finding in (*judge(facts), *judge(stopped))]
        assert len(hints) == 5
        assert all(re.search(says, hint) for hint in hints)
        assert drops != any("Everything is kept" in hint or "Nothing acknowledged" in hint for hint in hints)
