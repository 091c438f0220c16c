"""Where a redirect leads, and who may learn the token."""

import pytest

from apidanalytics.apigeesync.redirect import is_same_origin, target_of, with_prefix

BASE = "https://proxy.example/edgex"
ASKED = f"{BASE}/snapshots?scope=c1"


@pytest.mark.parametrize(("location", "target"), [
    ("/data?selector=c1&type=sqlite", "https://proxy.example/data?selector=c1&type=sqlite"),
    ("data?x", "https://proxy.example/edgex/data?x"),
    ("https://other.example/data", "https://other.example/data"),
    ("http://proxy.example/data", None), ("ftp://proxy.example/data", None), ("", None), (None, None),
    ("https://[broken", None), ("/two words", None), ("/\u00fc", None),
])  # fmt: skip
def test_a_redirect_leads_somewhere_or_nowhere(location: str | None, target: str | None) -> None:
    assert target_of(ASKED, location) == target


@pytest.mark.parametrize(("other", "same"), [
    ("https://proxy.example/data", True), ("https://proxy.example:443/data", True),
    ("https://proxy.example:444/", False),
    ("http://proxy.example/data", False), ("https://proxy.example.evil/data", False), ("https://PROXY.example/", True),
])  # fmt: skip
def test_only_the_same_scheme_host_and_port_are_the_same_origin(other: str, same: bool) -> None:
    assert is_same_origin(ASKED, other) is same


@pytest.mark.parametrize(("base", "url", "prefixed"), [
    (BASE, "https://proxy.example/data?x=1", "https://proxy.example/edgex/data?x=1"),
    (f"{BASE}/", "https://proxy.example/data", "https://proxy.example/edgex/data"),
    (BASE, "https://proxy.example/edgex/data", None),
    (BASE, "https://other.example/data", None),
    ("https://proxy.example", "https://proxy.example/data", None),
])  # fmt: skip
def test_a_path_that_lost_its_prefix_gets_it_back(base: str, url: str, prefixed: str | None) -> None:
    assert with_prefix(base, url) == prefixed
