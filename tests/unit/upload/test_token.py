"""The token, fixed or from a file that may be replaced at any time."""

import pytest

from apidanalytics.upload.token import FixedToken, TokenFile, TokenUnavailableError


@pytest.mark.parametrize(("given", "token"), [("abc", "abc"), (None, None), ("", None)])
async def test_a_fixed_token_is_what_was_given(given, token):
    assert await FixedToken(given).current() == token


async def test_a_file_is_read_again_when_it_was_replaced(tmp_path):
    path = tmp_path / "token"
    path.write_text("  first\n")
    source = TokenFile(path)
    assert await source.current() == "first"
    (tmp_path / "new").write_text("second\n")
    (tmp_path / "new").replace(path)
    assert await source.current() == "second"


async def test_a_file_is_read_again_when_it_was_written_in_place(tmp_path):
    path = tmp_path / "token"
    path.write_text("first")
    source = TokenFile(path)
    assert await source.current() == "first"
    path.write_text("third!")
    assert await source.current() == "third!"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
async def test_a_file_without_a_token_is_said_to_be_so_and_may_come_right(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    source = TokenFile(path)
    with pytest.raises(TokenUnavailableError):
        await source.current()
    path.write_text("right at last")
    assert await source.current() == "right at last"


def test_no_token_shows_in_a_repr(tmp_path):
    assert "secret" not in repr(FixedToken("secret"))
