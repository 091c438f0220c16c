from pathlib import Path

import pytest

from apidanalytics.telemetry.masking import mask_fields, mask_text, mask_value

SECRET_NAMES = [
    "token",
    "authorization",
    "access_token",
    "password",
    "secret",
    "Authorization",
    "proxy-authorization",
    "accessToken",
    "bearer_token",
    "client_secret",
    "configfwdproxy_passwd",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_value_of_a_secret_name_is_masked(name):
    assert mask_value(name, "hidden") == "***"
    assert mask_value(name, ["hidden"]) == "***"
    assert mask_value(name, None) is None


@pytest.mark.parametrize("name", ["token_file", "tokens_left", "secrets", "tenant"])
def test_other_names_are_not_secret(name):
    assert mask_value(name, "/run/value") == "/run/value"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://store/key?X-Signature=hidden", "https://store/key?…"),
        ("/key?X-Signature=hidden", "/key?…"),
        ("https://user:hidden@store/key", "https://***@store/key"),
        ("https://store/key", "https://store/key"),
    ],
)
def test_a_url_is_shown_without_query_and_credentials(url, shown):
    assert mask_value("url", url) == shown
    assert mask_value("signed_url", url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sent Bearer abc.DEF-1_2~3+4/5== to it", "sent Bearer *** to it"),
        ("{'Authorization': 'Bearer hidden'}", "{'Authorization': 'Bearer ***'}"),
        ("AUTHORIZATION: bearer hidden", "AUTHORIZATION: bearer ***"),
        ("403, url='https://s/k?sig=hidden&e=1': no", "403, url='https://s/k?…': no"),
        ("two http://a/b?c=hidden and https://d/e?f=hidden", "two http://a/b?… and https://d/e?…"),
        ("proxy https://me:hidden@proxy:3128", "proxy https://***@proxy:3128"),
        ("client_id=me&client_secret=hidden&grant_type=x", "client_id=me&client_secret=***&grant_type=x"),
        ('{"accessToken": "hidden", "expiresIn": 3599}', '{"accessToken": "***", "expiresIn": 3599}'),
        ("is it ready? yes", "is it ready? yes"),
        ("403 for tenant acme~prod", "403 for tenant acme~prod"),
    ],
)
def test_what_is_secret_in_a_text_is_masked_wherever_it_stands(text, shown):
    assert mask_text(text) == shown


def test_what_a_value_consists_of_is_masked_too():
    fields = {
        "headers": {"Authorization": "hidden", b"x-token": b"hidden", "Accept": "*/*"},
        "tried": ["https://s/k?hidden", ("Bearer hidden", 1)],
        "error": ValueError("no https://s/k?hidden"),
        "path": Path("/data"),
        "count": 3,
        "ok": True,
        "raw": b"Bearer hidden",
    }
    assert mask_fields(fields) == {
        "headers": {"Authorization": "***", "x-token": "***", "Accept": "*/*"},
        "tried": ["https://s/k?…", ["Bearer ***", 1]],
        "error": "ValueError: no https://s/k?…",
        "path": "/data",
        "count": 3,
        "ok": True,
        "raw": "Bearer ***",
    }


def test_an_error_without_a_text_shows_its_name():
    assert mask_value("error", TimeoutError()) == "TimeoutError"
