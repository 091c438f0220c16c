"""News of several change lists count as one, up to what the file is read as of."""

from itertools import pairwise

from apidanalytics.scopes.heard import Heard, joined
from apidanalytics.scopes.news import MAX_ITEMS, Kind, News

PRODUCT = (Kind.PRODUCT, "t", "p")
APP = (Kind.APP, "t", "a")


def chain(sequences: str, **last: tuple) -> list[News]:
    """Return news from each of these sequences to the next."""
    *most, end = [News(after=after, sequence=sequence) for after, sequence in pairwise(sequences)]
    return [*most, News(after=end.after, sequence=end.sequence, **last)]


def heard_of(sequences: str) -> Heard:
    heard = Heard()
    heard.add(chain(sequences))
    return heard


def test_all_that_they_concern_is_joined() -> None:
    first = News(after="a", sequence="b", scopes=("s",), parts=(PRODUCT,))
    second = News(after="b", sequence="c", keys=(("t", "k"),), parts=(PRODUCT, APP))
    whole = News(after="a", sequence="c", scopes=("s",), keys=(("t", "k"),), parts=(PRODUCT, APP))
    assert joined([first, second]) == whole


def test_anything_may_have_changed_where_one_is_missing_or_says_so_or_they_are_too_many() -> None:
    everything = News(after="b", sequence="c", is_all=True)
    assert joined([*chain("ab"), everything]).is_all
    assert joined([*chain("ab"), *chain("cd")]).is_all
    assert not joined(chain("abcd")).is_all
    scopes = tuple(map(str, range(MAX_ITEMS)))
    assert joined([*chain("ab", scopes=scopes), *chain("bc", scopes=("another",))]) == News(
        after="a", sequence="c", is_all=True
    )


def test_what_came_after_is_taken_the_next_time() -> None:
    heard = heard_of("abcde")
    assert heard.take("a", "c") == News(after="a", sequence="c")
    assert heard.take("c", "e") == News(after="c", sequence="e")
    assert heard.take("c", "e") is None


def test_what_counts_already_is_left_out() -> None:
    assert heard_of("abcde").take("c", "e") == News(after="c", sequence="e")


def test_nothing_is_taken_before_the_latest_was_heard_of() -> None:
    heard = heard_of("abc")
    assert heard.take("a", "d") is None
    heard.add(chain("cd"))
    assert heard.take("a", "d") == News(after="a", sequence="d")


def test_it_shows_when_something_was_missed() -> None:
    found = heard_of("bcd").take("a", "d")
    assert found is not None
    assert found.after == "b"
