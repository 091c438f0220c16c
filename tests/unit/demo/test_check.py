"""The oracle finds every fault that a service could have, and none in a correct lake."""

import gzip

import pytest

from apidanalytics.demo import lake
from apidanalytics.demo.check import Oracle
from apidanalytics.demo.report import Fault
from tests.unit.demo import cast
from tests.unit.demo.cast import changed, delivered, record

ACME_LINES = [delivered(record(number)) for number in range(3)]


@pytest.fixture
def oracle():
    """Three records of acme that were acknowledged."""
    oracle = Oracle(cast.ACCOUNTS)
    oracle.acknowledged(oracle.sent("acme~prod", [record(number) for number in range(3)]))
    return oracle


def judge(oracle, tmp_path, lines, tenant="acme~prod"):
    cast.put(tmp_path, tenant, lines)
    return oracle.compare(lake.files(tmp_path))


def only_fault(report):
    (finding,) = {(f.fault, f.subject) for f in report.examples}
    assert not report.holds
    assert report.count(finding[0]) == 1
    return finding


def test_a_correct_lake_holds(oracle, tmp_path):
    report = judge(oracle, tmp_path, ACME_LINES)
    assert report.holds, report.examples
    count = report.tenants["acme~prod"]
    assert (count.accepted, count.delivered, count.files) == (3, 3, 1)
    assert count.lines_bytes == sum(len(line) + 1 for line in ACME_LINES)
    assert report.total().accepted == 3


def test_white_space_that_was_sent_may_come_or_go(oracle, tmp_path):
    spaced = [record(number).replace(b":", b" : ").replace(b",", b" ,\t") for number in (7, 8)]
    oracle.acknowledged(oracle.sent("acme~prod", spaced))
    report = judge(oracle, tmp_path, [*ACME_LINES, delivered(spaced[0]), delivered(record(8))])
    assert report.holds, report.examples


def test_a_member_that_was_null_may_be_filled_in_place(tmp_path):
    oracle = Oracle(cast.ACCOUNTS)
    sent = record(1, '"organization":null,"environment":"prod"')
    oracle.acknowledged(oracle.sent("acme~prod", [sent]))
    report = judge(oracle, tmp_path, [sent.replace(b"null", b'"acme"')])
    assert report.holds, report.examples


def test_nothing_accepted_proves_nothing(tmp_path):
    assert not Oracle(cast.ACCOUNTS).compare([]).holds


def test_a_lost_record_is_found(oracle, tmp_path):
    report = judge(oracle, tmp_path, ACME_LINES[:2])
    assert only_fault(report) == (Fault.LOST, "id-2")
    assert report.tenants["acme~prod"].delivered == 2
    assert report.count(Fault.LOST, "acme~prod") == 1
    assert report.count(Fault.LOST, "globex~prod") == 0


def test_an_empty_lake_has_lost_everything(oracle, tmp_path):
    assert oracle.compare(lake.files(tmp_path)).count(Fault.LOST) == 3


def test_a_doubled_record_is_found(oracle, tmp_path):
    assert only_fault(judge(oracle, tmp_path, [*ACME_LINES, ACME_LINES[1]])) == (Fault.DOUBLED, "id-1")


def test_a_record_doubled_in_another_file_is_found(oracle, tmp_path):
    cast.put(tmp_path, "acme~prod", ACME_LINES[:1], n=2)
    assert only_fault(judge(oracle, tmp_path, ACME_LINES)) == (Fault.DOUBLED, "id-0")


def test_a_copy_that_was_altered_is_doubled_too(oracle, tmp_path):
    report = judge(oracle, tmp_path, [*ACME_LINES, ACME_LINES[1].replace(b"3e2", b"300")])
    assert (report.count(Fault.DOUBLED), report.count(Fault.ALTERED), report.count(Fault.LOST)) == (1, 1, 0)


def test_a_record_under_another_tenant_is_found_and_missing_at_home(oracle, tmp_path):
    cast.put(tmp_path, "globex~prod", ACME_LINES[:1])
    report = judge(oracle, tmp_path, ACME_LINES[1:])
    assert (report.count(Fault.MISPLACED), report.count(Fault.LOST)) == (1, 1)
    assert "lies under globex~prod" in " ".join(map(str, report.examples))


@pytest.mark.parametrize(
    "line",
    [
        changed(ACME_LINES[0], n=301.0),
        ACME_LINES[0].replace(b"1.0", b"1"),
        ACME_LINES[0].replace(b"3e2", b"300.0"),
        ACME_LINES[0].replace(b'"n":3e2,', b""),
        ACME_LINES[0].replace(b'"n":3e2', b'"n":3e2,"n":3e2'),
        ACME_LINES[0].replace(b',"developer":"dee"', b""),
        ACME_LINES[0].replace(b'"dee"', b'"gus"'),
        ACME_LINES[0].replace(b'"dee"', b"null"),
        ACME_LINES[0][:-1] + b',"more":1}',
        ACME_LINES[0][:-1] + b',"developer":"dee"}',
        ACME_LINES[0] + b"}",
        ACME_LINES[0].replace(b',"organization"', b'"organization"'),
        record(0),
        record(0)[:-1],
    ],
    ids=[
        "a value",
        "a number's form",
        "a number's other form",
        "a member gone",
        "a member twice",
        "developer missing",
        "developer of another tenant",
        "developer null",
        "a member too many",
        "a member added twice",
        "a brace too many",
        "a comma missing",
        "not enriched",
        "cut short",
    ],
)
def test_an_altered_record_is_found(oracle, tmp_path, line):
    report = judge(oracle, tmp_path, [line, *ACME_LINES[1:]])
    assert only_fault(report) == (Fault.ALTERED, "id-0")
    assert report.tenants["acme~prod"].delivered == 2


def test_what_is_right_for_one_api_key_is_not_right_for_another(oracle, tmp_path):
    other = record(9, '"client_id":"k2"')
    oracle.acknowledged(oracle.sent("acme~prod", [other]))
    report = judge(oracle, tmp_path, [*ACME_LINES, delivered(other)])
    assert only_fault(report) == (Fault.ALTERED, "id-9")
    assert "developer_app" in str(report.examples[0])


def test_a_refused_record_in_the_lake_is_found(oracle, tmp_path):
    oracle.refused(oracle.sent("acme~prod", [record(8), record(9)]))
    report = judge(oracle, tmp_path, [*ACME_LINES, delivered(record(9))])
    assert only_fault(report) == (Fault.REFUSED, "id-9")
    assert report.tenants["acme~prod"].refused == 2


def test_a_refused_record_under_another_tenant_is_found(oracle, tmp_path):
    oracle.refused(oracle.sent("acme~prod", [record(9)]))
    cast.put(tmp_path, "globex~prod", [delivered(record(9))])
    assert judge(oracle, tmp_path, ACME_LINES).count(Fault.REFUSED) == 1


def test_a_record_that_is_no_object_may_be_refused(oracle, tmp_path):
    oracle.refused(oracle.sent("acme~prod", [b"[" + record(9) + b"]"]))
    assert judge(oracle, tmp_path, ACME_LINES).holds


@pytest.mark.parametrize("arrived", [0, 2])
def test_a_batch_without_an_answer_arrives_whole_or_not_at_all(oracle, tmp_path, arrived):
    oracle.unknown(oracle.sent("acme~prod", [record(8), record(9)]))
    lines = [delivered(record(number)) for number in (8, 9)][:arrived]
    report = judge(oracle, tmp_path, ACME_LINES + lines)
    assert report.holds, report.examples
    count = report.tenants["acme~prod"]
    assert (count.accepted, count.unanswered, count.unanswered_delivered) == (3, 2, arrived)


def test_a_batch_of_which_nobody_said_anything_counts_as_one_without_an_answer(oracle, tmp_path):
    oracle.sent("acme~prod", [record(9)])
    assert judge(oracle, tmp_path, ACME_LINES).tenants["acme~prod"].unanswered == 1


def test_half_a_batch_is_found(oracle, tmp_path):
    oracle.unknown(oracle.sent("acme~prod", [record(8), record(9)]))
    report = judge(oracle, tmp_path, [*ACME_LINES, delivered(record(9))])
    assert only_fault(report) == (Fault.TORN, "the batch of id-8")


def test_a_record_without_an_answer_that_came_twice_is_found(oracle, tmp_path):
    oracle.unknown(oracle.sent("acme~prod", [record(9)]))
    report = judge(oracle, tmp_path, [*ACME_LINES, delivered(record(9)), delivered(record(9))])
    assert only_fault(report) == (Fault.DOUBLED, "id-9")


@pytest.mark.parametrize("line", [delivered(record(77)), b'{"no":"id"}', b""], ids=["unknown", "no id", "empty"])
def test_a_line_that_nobody_sent_is_found(oracle, tmp_path, line):
    assert only_fault(judge(oracle, tmp_path, [*ACME_LINES, line]))[0] == Fault.STRAY


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"\n".join(ACME_LINES)),
        gzip.compress(b"".join(line + b"\n" for line in ACME_LINES))[:-4],
        gzip.compress(b"".join(line + b"\n" for line in ACME_LINES)) + b"rubbish",
        b"not gzip",
    ],
    ids=["last line torn", "cut short", "something after it", "no gzip"],
)
def test_an_object_that_is_no_whole_gzip_file_is_found(oracle, tmp_path, content):
    cast.put(tmp_path, "acme~prod", []).write_bytes(content)
    assert oracle.compare(lake.files(tmp_path)).count(Fault.UNREADABLE) == 1


def test_an_object_that_does_not_lie_where_its_name_says_is_found(oracle, tmp_path):
    path = cast.put(tmp_path, "acme~prod", ACME_LINES)
    path.parent.rename(path.parent.with_name("time=00-01"))
    assert oracle.compare(lake.files(tmp_path)).count(Fault.UNREADABLE) == 1


def test_an_object_with_another_name_is_found(oracle, tmp_path):
    path = cast.put(tmp_path, "acme~prod", ACME_LINES)
    path.rename(path.with_name("notes.txt.gz"))
    assert oracle.compare(lake.files(tmp_path)).count(Fault.UNREADABLE) == 1


def test_an_id_may_be_used_once_only(oracle):
    with pytest.raises(ValueError, match="id-0 was used before"):
        oracle.sent("acme~prod", [record(0)])


def test_a_record_needs_an_id(oracle):
    with pytest.raises(ValueError, match="without gateway_flow_id"):
        oracle.sent("acme~prod", [b'{"a":1}'])


def test_examples_are_few_and_counts_are_whole(tmp_path):
    oracle = Oracle(cast.ACCOUNTS)
    oracle.acknowledged(oracle.sent("acme~prod", [record(number) for number in range(100)]))
    report = oracle.compare([])
    assert report.count(Fault.LOST) == 100
    assert len(report.examples) == 5
