from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apidanalytics.errors import Refusal
from apidanalytics.ingest.decode import Members, PlainApiRecord
from apidanalytics.ingest.validate import Rules, check_not_empty, parse_number
from tests.unit.ingest.batches import NOW, NOW_MS

START = "client_received_start_timestamp"
END = "client_received_end_timestamp"

MISSING_START = f"MISSING_FIELD: Missing Required field: {START}"
MISSING_END = f"MISSING_FIELD: Missing Required field: {END}"
NOT_A_NUMBER = f"BAD_DATA: {START} and {END} has to be number"
ZERO = f"BAD_DATA: {START} or {END} cannot be 0"
ENDS_BEFORE = f"BAD_DATA: {START} > {END}"
FUTURE = f"BAD_DATA: {START} cannot be after current time"
OLD = f"BAD_DATA: {START} cannot be older than 90 days"

DAY_MS = 86_400_000


def record(start: Any = NOW_MS - 5, end: Any = NOW_MS, **others: str) -> bytes:
    """A record of value texts; None leaves a member out."""
    values = {START: start, END: end, **others}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in values.items() if value is not None) + "}").encode()


def told(text: bytes, *, is_strict: bool) -> str:
    try:
        Rules(is_strict=is_strict).check(msgspec.json.decode(text, type=Members), NOW)
    except Refusal as refusal:
        return str(refusal).removeprefix("400 ")
    return "good"


# One line a case: the record, and what basic and strict say.
CASES = [
    (record(), "good", "good"),
    (record(start=None), MISSING_START, MISSING_START),
    (record(start="null"), MISSING_START, MISSING_START),
    (record(start=None, end=None), MISSING_START, MISSING_START),
    (record(start="null", end='"x"'), MISSING_START, MISSING_START),
    (record(end=None), "good", MISSING_END),
    (record(end="null"), "good", MISSING_END),
    (record(start='"x"', end=None), NOT_A_NUMBER, MISSING_END),
    (record(start='"x"'), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start='"1795310045000"'), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="true"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="[]"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="{}"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end='"x"'), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end="false"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end="[1]"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end='""'), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="1e400"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end="1e400"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="-1e400"), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end="9" * 310), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(end="9" * 5000), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="0", end='"x"'), NOT_A_NUMBER, NOT_A_NUMBER),
    (record(start="0"), "good", ZERO),
    (record(start="-0"), "good", ZERO),
    (record(start="0.0"), "good", ZERO),
    (record(start="0e5"), "good", ZERO),
    (record(start="0e99999999999999999999"), "good", ZERO),
    (record(start="0", end="0"), "good", ZERO),
    (record(end="0"), ENDS_BEFORE, ZERO),
    (record(end="-0.0"), ENDS_BEFORE, ZERO),
    (record(start="1e-400"), "good", OLD),
    (record(start="1e-99999999999999999999", end="-1e-99999999999999999999"), ENDS_BEFORE, ENDS_BEFORE),
    (record(start=NOW_MS, end=NOW_MS - 1), ENDS_BEFORE, ENDS_BEFORE),
    (record(start=NOW_MS, end=NOW_MS), "good", "good"),
    (record(start=999_999_999_999, end=NOW_MS), "good", OLD),
    (record(end="9"), ENDS_BEFORE, ENDS_BEFORE),
    (record(start=f"{NOW_MS}.5"), ENDS_BEFORE, ENDS_BEFORE),
    (record(start=f"{NOW_MS}.0"), "good", "good"),
    (record(start="1.79531e12"), "good", "good"),
    (record(start="1e-5", end="0.00001"), "good", OLD),
    (record(start="9007199254740993", end="9007199254740992.0"), ENDS_BEFORE, ENDS_BEFORE),
    (record(start="100000000000000000000000000001", end="100000000000000000000000000000"), ENDS_BEFORE, ENDS_BEFORE),
    (record(start="-5", end=None), "good", MISSING_END),
    (record(start="-5"), "good", OLD),
    (record(start=NOW_MS + 60_000, end=NOW_MS + 60_000), "good", "good"),
    (record(start=NOW_MS + 60_001, end=NOW_MS + 60_001), "good", FUTURE),
    (record(start=f"{NOW_MS + 60_000}.1", end=NOW_MS + 60_001), "good", FUTURE),
    (record(start=NOW_MS + 60_001, end=NOW_MS), ENDS_BEFORE, ENDS_BEFORE),
    (record(start=NOW_MS - 90 * DAY_MS), "good", "good"),
    (record(start=NOW_MS - 90 * DAY_MS - 1), "good", OLD),
    (record(end=NOW_MS + 10 * DAY_MS), "good", "good"),
    (record(client_id="5"), "BAD_DATA: client_id should be a string", "BAD_DATA: client_id should be a string"),
    (record(client_id="null"), "good", "good"),
    (record(client_id='""'), "good", "good"),
    (record(client_id="{}", end="9"), ENDS_BEFORE, ENDS_BEFORE),
    (record(client_id="{}", start="1", end="2"), "BAD_DATA: client_id should be a string", OLD),
    (record(organization="5"), *["BAD_DATA: organization should be a string"] * 2),
    (record(environment="[]"), *["BAD_DATA: environment should be a string"] * 2),
    (record(client_id="1", organization="1", environment="1"), *["BAD_DATA: client_id should be a string"] * 2),
    (record(organization="1", environment="1"), *["BAD_DATA: organization should be a string"] * 2),
    (record(organization="null", environment='""'), "good", "good"),
    (record(api_product="5", developer="[]"), "good", "good"),
]


@pytest.mark.parametrize(("text", "basic", "strict"), CASES)
def test_a_record_is_judged_by_the_first_rule_it_breaks(text: bytes, basic: str, strict: str):
    assert told(text, is_strict=False) == basic
    assert told(text, is_strict=True) == strict


@pytest.mark.parametrize(("text", "basic", "strict"), CASES)
@pytest.mark.parametrize("is_strict", [False, True])
def test_the_quick_check_never_lets_a_bad_record_pass(text: bytes, basic: str, strict: str, is_strict: bool):
    try:
        records = msgspec.json.decode(b"[" + record() + b"," + text + b"]", type=list[PlainApiRecord])
    except msgspec.ValidationError:
        return  # not plain: the exact check is asked
    if Rules(is_strict=is_strict).pass_plain(records, NOW):
        assert (strict if is_strict else basic) == "good"


@pytest.mark.parametrize("is_strict", [False, True])
@pytest.mark.parametrize("text", [record(), record(start=NOW_MS), record(client_id='"k"')])
def test_the_quick_check_lets_ordinary_records_pass(text: bytes, is_strict: bool):
    records = msgspec.json.decode(b"[" + text + b"]", type=list[PlainApiRecord])
    assert Rules(is_strict=is_strict).pass_plain(records, NOW)


def test_zero_is_found_even_when_the_clock_is_wrong_by_decades():
    records = msgspec.json.decode(b"[" + record(start="0", end="0") + b"]", type=list[PlainApiRecord])
    assert not Rules(is_strict=True).pass_plain(records, 0.0)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"12", 12),
        (b"-12", -12),
        (b"1.50", Decimal("1.5")),
        (b"1E+2", 100),
        (b"123456789012345678901234567890", 123456789012345678901234567890),
        (b"9" * 308, 10**308 - 1),
        (b"1.7976931348623157e308", Decimal("1.7976931348623157e308")),
        (b"1.7976931348623159e308", None),
        (b"1" + b"0" * 309, None),
        (b"0." + b"0" * 5000 + b"1", Decimal("1e-5001")),
        (b'"5"', None),
        (b"true", None),
        (b"null", None),
        (b"[5]", None),
    ],
)
def test_numbers_are_read_exactly_and_what_no_double_holds_is_none(token: bytes, value: object):
    assert parse_number(token) == value


@pytest.mark.parametrize("value", [None, b"null", b'""'])
def test_the_member_that_names_the_tenant_is_missing_when_absent_or_null_or_empty(value: bytes | None):
    raw = msgspec.UNSET if value is None else msgspec.Raw(value)
    with pytest.raises(Refusal, match=r"^400 MISSING_FIELD: Missing Required field: organization$"):
        check_not_empty(raw, "organization")


@pytest.mark.parametrize("value", [b"5", b"[]", b"{}", b"true", b'["a"]'])
def test_the_member_that_names_the_tenant_has_to_be_a_string(value: bytes):
    with pytest.raises(Refusal, match=r"^400 BAD_DATA: environment should be a string$"):
        check_not_empty(msgspec.Raw(value), "environment")
