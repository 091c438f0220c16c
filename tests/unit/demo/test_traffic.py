"""The traffic is believable: its mixture, its oddities, and what is wrong with its bad batches."""

import gzip
import json
from collections import Counter

import pytest

from apidanalytics.demo import expect, spoil
from apidanalytics.demo.post import Post
from apidanalytics.demo.traffic import MAX_RECORDS, Traffic
from tests.unit.demo.cast import ACCOUNTS, ACME

NOW = 1_795_310_045.0


@pytest.fixture(scope="module")
def posts():
    traffic = Traffic(ACCOUNTS, seed=3, run="r", bad_every=10)
    return [traffic.post(NOW + n / 100) for n in range(400)]


@pytest.fixture(scope="module")
def good(posts):
    return [post for post in posts if post.refusal is None]


def body_of(post: Post) -> dict:
    return json.loads(gzip.decompress(post.body) if post.is_zipped else post.body)


def test_the_same_seed_gives_the_same_posts(posts):
    again = Traffic(ACCOUNTS, seed=3, run="r", bad_every=10)
    assert [again.post(NOW + n / 100) for n in range(50)] == posts[:50]
    assert Traffic(ACCOUNTS, seed=4, run="r").post(NOW) != posts[0]


def test_no_id_is_used_twice(posts):
    ids = [json.loads(r)["gateway_flow_id"] for post in posts if post.refusal is None for r in post.records]
    assert len(ids) == len(set(ids))
    assert all(record_id.startswith("r-") for record_id in ids)


def test_batches_are_single_records_and_up_to_500(good):
    sizes = [len(post.records) for post in good]
    assert min(sizes) == 1
    assert 200 < max(sizes) <= MAX_RECORDS
    assert 0.3 < sizes.count(1) / len(sizes) < 0.6


def test_about_a_third_is_zipped_and_some_of_it_in_chunks(good):
    zipped = [post for post in good if post.is_zipped]
    assert 0.2 < len(zipped) / len(good) < 0.45
    assert 0 < sum(post.chunked for post in zipped) < len(zipped)


def test_both_routes_carry_the_records_as_they_are(good):
    for post in good:
        body = body_of(post)
        assert body["records"] == [json.loads(record) for record in post.records]
        if post.named:
            assert (post.path, f"{body['organization']}~{body['environment']}") == ("/analytics", post.tenant)
        else:
            assert body.keys() == {"records"}
            (account,) = (account for account in ACCOUNTS if account.name == post.tenant)
            assert post.path.removeprefix("/analytics/") in account.scopes
    assert {post.named for post in good} == {True, False}


def test_every_good_record_is_one_that_must_be_accepted(good):
    for record in (json.loads(record) for post in good for record in post.records):
        assert (
            0
            < record["client_received_start_timestamp"]
            <= record["client_received_end_timestamp"]
            <= NOW * 1000 + 5000
        )
        assert isinstance(record.get("client_id"), str | None)


def test_the_first_tenant_and_proxy_are_the_busiest(good):
    tenants = Counter(post.tenant for post in good)
    assert tenants["acme~prod"] > tenants["globex~prod"] > 0
    proxies = Counter(json.loads(r).get("apiproxy") for post in good if post.tenant == ACME.name for r in post.records)
    assert [name for name, _ in proxies.most_common(2)] == ["catalog", "cart"]


def test_records_hold_what_a_careless_copy_would_change(good):
    text = b"\n".join(record for post in good for record in post.records)
    for token in (b":1.0", b"123456789012345678901234567890", b"1E+3", b"-0.0", b"\\ud83d\\ude00", "日本語".encode()):
        assert token in text
    assert b'"organization":null' in text
    assert b'"client_id":null' in text


def test_a_few_records_have_three_members_only(good):
    sizes = [len(expect.members(record)) for post in good for record in post.records]
    assert 0.005 < sum(size <= 5 for size in sizes) / len(sizes) < 0.05


def test_api_keys_are_known_unknown_and_absent(good):
    keys = Counter(json.loads(r).get("client_id", "absent") for post in good for r in post.records)
    assert keys["k1"] > keys["k2"] > 0
    assert keys["absent"]
    assert keys["K-typo"]


def test_every_kind_of_bad_batch_comes():
    traffic = Traffic(ACCOUNTS, seed=1, bad_every=1)
    codes = Counter(traffic.post(NOW).refusal for _ in range(24))
    assert codes.keys() == {(400, fault.code) for fault in spoil.FAULTS}


@pytest.mark.parametrize("fault", spoil.FAULTS, ids=lambda fault: fault.code)
@pytest.mark.parametrize("named", [True, False])
def test_a_spoiled_batch_differs_from_the_good_one_and_keeps_its_ids(fault, named):
    records = tuple(
        b'{"client_received_start_timestamp":1,"client_received_end_timestamp":2,"gateway_flow_id":"%d"}' % n
        for n in range(3)
    )
    path = "/analytics" if named else "/analytics/scope-a"

    def dress(records: tuple[bytes, ...]) -> Post:
        names = b'"organization":"acme","environment":"prod",' if named else b""
        body = b'{%s"records":[%s]}' % (names, b",".join(records))
        return Post(tenant=ACME.name, records=records, path=path, named=named, body=body, headers={"Content-Type": "j"})

    spoiled = fault.post(dress(fault.records(records, 1)))
    assert spoiled != dress(records)
    assert [b'"gateway_flow_id":"%d"' % n in record for n, record in enumerate(spoiled.records)] == [True] * 3


def test_a_record_that_cannot_be_spoiled_is_not_passed_off_as_bad():
    (fault,) = {fault for fault in spoil.FAULTS if fault.code == "MISSING_FIELD"}
    with pytest.raises(ValueError, match="nothing to spoil"):
        fault.records((b'{"a":1}',), 0)
