"""What a token answer says, and when the next token is due."""

import json

import pytest

from apidanalytics.apigeesync.token_life import FOREVER_SECONDS, Token, read_token


def answer(**members: object) -> bytes:
    return json.dumps(members).encode()


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (answer(accessToken="AbC", expiresIn=3599), 3599),
        (answer(access_token="AbC", expires_in=3599), 3599),
        (answer(accessToken="AbC", expiresIn="3599"), 3599),
        (answer(accessToken="AbC", expiresIn=1.5), 1.5),
        (answer(accessToken="AbC"), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn=0), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn=-1), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn="soon"), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn=None), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn=10**400), FOREVER_SECONDS),
        (answer(accessToken="AbC", expiresIn=3599, tokenType="BearerToken", apiProductList=["p"]), 3599),
    ],
)
def test_both_spellings_and_quoted_numbers_are_understood(body: bytes, seconds: float) -> None:
    token = read_token(body, 100.0)
    assert token == Token(text="AbC", obtained_at=100.0, lifetime_seconds=seconds)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"null", b"\xff", answer(), answer(accessToken=""), answer(accessToken=7),
     answer(accessToken="two words"), answer(accessToken="line\nbreak"), answer(accessToken="\u00fc")],
)  # fmt: skip
def test_what_is_no_token_is_none(body: bytes) -> None:
    assert read_token(body, 0.0) is None


@pytest.mark.parametrize(("seconds", "after"), [(3600, 3540), (120, 60), (100, 50), (60, 30), (10, 5), (0.5, 0.25)])
def test_a_token_is_renewed_a_minute_ahead_but_never_before_half_its_life(seconds: float, after: float) -> None:
    token = Token(text="t", obtained_at=1000.0, lifetime_seconds=seconds)
    assert token.renew_at == 1000.0 + after
    assert token.renew_at < token.ends_at


def test_a_token_does_not_show_its_text() -> None:
    assert "hidden" not in repr(Token(text="hidden", obtained_at=0, lifetime_seconds=1))
