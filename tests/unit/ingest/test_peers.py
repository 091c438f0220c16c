"""Whose client certificate is let in."""

import pytest

from apidanalytics.ingest.peers import has_name, names_of


def certificate(*names, common=None):
    subject = ((("commonName", common),),) if common else ()
    return {"subject": subject, **({"subjectAltName": names} if names else {})}


@pytest.mark.parametrize(
    ("allowed", "given", "is_in"),
    [
        ({"gw-1"}, certificate(("DNS", "gw-1")), True),
        ({"GW-1"}, certificate(("DNS", "gw-1")), True),
        ({"gw-1"}, certificate(("DNS", "other"), ("DNS", "gw-1")), True),
        ({"gw-1"}, certificate(("DNS", "gw-10")), False),
        ({"gw-1"}, certificate(common="gw-1"), True),
        ({"gw-1"}, certificate(("DNS", "other"), common="gw-1"), False),
        ({"*.gw.example"}, certificate(("DNS", "a.gw.example")), True),
        ({"*.gw.example"}, certificate(("DNS", "gw.example")), False),
        ({"*.gw.example"}, certificate(("DNS", "a.b.gw.example")), False),
        ({"*.gw.example"}, certificate(("DNS", "*.gw.example")), True),
        ({"a.gw.example"}, certificate(("DNS", "*.gw.example")), False),
        ({"spiffe://acme/gw"}, certificate(("URI", "spiffe://acme/gw")), True),
        ({"10.0.0.1"}, certificate(("IP Address", "10.0.0.1")), True),
        ({"gw-1"}, {}, False),
        ({"gw-1"}, certificate(("DirName", ((("commonName", "gw-1"),),))), False),
    ],
)
def test_one_of_its_names_has_to_be_allowed(allowed, given, is_in):
    assert has_name(frozenset(allowed), given) is is_in


def test_the_common_name_counts_only_where_there_is_no_other():
    assert list(names_of(certificate(common="a"))) == ["a"]
    assert list(names_of(certificate(("DNS", "b"), common="a"))) == ["b"]
