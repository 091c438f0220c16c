"""What becomes of a value that must not be stored."""

import hmac
import json

import pytest

from apidanalytics.ingest.masked_values import cut_query, drop, hasher, truncate

KEY = b"sixteen bytes...."


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.211", "192.0.2.0"),
        ("2001:db8:aa:bb:cc::1", "2001:db8:aa::"),
        ("::ffff:192.0.2.211", "192.0.2.0"),
        ("fe80::1%eth0", "fe80::"),
        ("192.0.2.211:4711", "192.0.2.0"),
        ("[2001:db8:aa:bb::1]:443", "2001:db8:aa::"),
        ("192.0.2.211, 198.51.100.7,2001:db8:aa:bb::1", "192.0.2.0, 198.51.100.0, 2001:db8:aa::"),
        ("", "unknown"),
        ("somebody", "unknown"),
        ("192.0.2.211, _hidden", "192.0.2.0, unknown"),
        ("192.0.2.211.example", "unknown"),
        ("3221226195", "unknown"),
        ("0xC00002D3", "unknown"),
    ],
)
def test_an_address_is_cut_to_its_network_and_what_is_none_is_not_kept(address, network):
    assert json.loads(truncate(json.dumps(address).encode())) == network


@pytest.mark.parametrize("value", [b"3221226195", b"true", b'["192.0.2.211"]', b'{"a":"192.0.2.211"}'])
def test_an_address_that_is_no_string_is_not_kept(value):
    assert truncate(value) == b'"unknown"'


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (rb'"http://h/a?token=1"', b'"http://h/a"'),
        (rb'"/a#part"', b'"/a"'),
        (rb'"/a?"', b'"/a"'),
        (rb'"/a"', rb'"/a"'),
        (rb'"/\u00e4"', rb'"/\u00e4"'),
        (rb'"\/a\u003ftoken=1"', b'"/a"'),
        (rb'"/a%3ftoken"', rb'"/a%3ftoken"'),
        (b"17", b"17"),
        (b'["/a?b"]', b"null"),
        (b'{"a":"/a?b"}', b"null"),
    ],
)
def test_a_query_is_cut_and_nothing_else_changes(value, kept):
    assert cut_query(value) == kept


@pytest.mark.parametrize(("value", "text"), [(b'"abc"', b"abc"), (rb'"\u0061bc"', b"abc"), (b"12.50", b"12.50")])
def test_a_hash_is_that_of_the_text_however_it_is_spelled(value, text):
    assert hasher(KEY)(value) == b'"%b"' % hmac.new(KEY, text, "sha256").hexdigest().encode()


def test_null_stays_null_unless_it_is_dropped():
    assert {change(b"null") for change in (hasher(KEY), truncate, cut_query)} == {b"null"}
    assert drop(b"null") is None
