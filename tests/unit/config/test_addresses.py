from pathlib import Path

import pytest

from apidanalytics.config import addresses, parse_listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("localhost:0", ("localhost", 0)),
        ("collector-1.example.com:65535", ("collector-1.example.com", 65535)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::]:80", ("::", 80)),
        (":9000", ("", 9000)),
        ("unix:/run/apid/api.sock", Path("/run/apid/api.sock")),
    ],
)
def test_an_address_to_listen_at_is_host_and_port_or_a_socket(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "9000",
        "localhost",
        "localhost:",
        "localhost:http",
        "localhost:65536",
        "localhost:-1",
        "::1:9000",
        "[::1]",
        "[::g]:9000",
        "[127.0.0.1]:9000",
        "300.1.1.1:9000",
        "a b:9000",
        "http://localhost:9000",
        "unix:",
        "unix:run/api.sock",
        "unix:/run/",
        "unix:/" + 107 * "x",
        "unix:/a\nb",
        "localhost:٣",
    ],
)
def test_anything_else_is_no_address_to_listen_at(text):
    with pytest.raises(ValueError):
        parse_listen(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://collect.example", "https://collect.example"),
        ("https://collect.example/", "https://collect.example"),
        ("http://127.0.0.1:8080/edgex/", "http://127.0.0.1:8080/edgex"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_a_base_url_loses_the_slash_at_its_end(text, url):
    assert addresses.parse_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "collect.example",
        "ftp://collect.example",
        "https://",
        "https:///path",
        "https://user:password@collect.example",
        "https://collect.example/?",
        "https://collect.example?key=1",
        "https://collect.example/#part",
        "https://collect.example:0",
        "https://collect.example:99999",
        "https://collect.example:port",
        "https://[::1",
        "https://a b",
        "https://collect.example/\n",
        "https://köln.example",
    ],
)
def test_anything_else_is_no_base_url(text):
    with pytest.raises(ValueError):
        addresses.parse_base_url(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:hidden@host/path", "https://***@host/path"),
        ("https://user:hid/den@host", "https://***@host"),
        ("user:hidden@host:80", "***@host:80"),
        ("https://host/path?key=hidden", "https://host/path?…"),
        ("hidden@\nhidden@host", "***@host"),
        ("https://host/path", "https://host/path"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_what_may_be_a_secret_in_an_address_is_hidden(text, shown):
    assert addresses.hide_credentials(text) == shown
