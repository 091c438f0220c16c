"""The places of remembered tails: bounded, for those who come often, and never with an answer that has changed."""

from array import array
from collections.abc import Generator
from itertools import pairwise
from random import Random

import pytest

from apidanalytics.model import Developer
from apidanalytics.scopes import remembered
from apidanalytics.scopes.developers import Answer, DeveloperCache
from apidanalytics.scopes.known_keys import KnownKeys
from apidanalytics.scopes.news import Kind, part_hash
from apidanalytics.scopes.remembered import Places, Tails
from apidanalytics.scopes.tails import tail_of
from tests.steps import at_once, count


def never(tails: Tails, api_key: str) -> bytes:
    raise AssertionError(f"{api_key} is not remembered")


def hashes(*numbers: int) -> bytes:
    return array("q", numbers).tobytes()


def full(tails: Tails, max_keys: int) -> Places:
    places = Places(max_keys)
    for number in range(max_keys):
        places.remember(tails, f"k{number}", b"%d" % number, hashes(number + 1))
    return places


def test_places_that_are_free_are_for_everybody() -> None:
    tails = Tails("t", never)
    full(tails, 10)
    assert [tails[f"k{number}"] for number in range(10)] == [b"%d" % number for number in range(10)]


def test_when_none_is_free_who_comes_twice_gets_the_oldest() -> None:
    tails = Tails("t", never)
    places = full(tails, 10)
    places.remember(tails, "new", b"new", hashes(99))
    assert "new" not in tails
    places.remember(tails, "new", b"new", hashes(99))
    assert tails["new"] == b"new"
    assert "k0" not in tails
    assert tails.remembered() == 10


def test_who_has_lost_a_place_gets_another_at_once() -> None:
    tails = Tails("t", never)
    places = full(tails, 10)
    for _ in range(2):
        places.remember(tails, "new", b"new", hashes(99))
    places.remember(tails, "k0", b"0", hashes(1))
    assert tails["k0"] == b"0"
    assert "k1" not in tails


def test_after_many_strangers_nobody_counts_as_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "STRANGERS", 3)
    first, *others, last = names_apart(4)
    tails = Tails("t", never)
    places = full(tails, 10)
    for name in (first, *others, last, first):
        places.remember(tails, name, b"tail", hashes(99))
        assert name not in tails
    places.remember(tails, last, b"tail", hashes(99))
    assert last in tails


def names_apart(count: int) -> list[str]:
    """Return names that no hash makes one of another."""
    by_hash = {hash(name) % 1024: name for name in map(str, range(1000))}
    return list(by_hash.values())[:count]


@pytest.mark.parametrize(("changed", "is_kept"), [({1}, False), ({2}, True), ({99}, False), ({98}, False)])
def test_a_tail_goes_with_whatever_it_depends_on(changed: set[int], is_kept: bool) -> None:
    tails = Tails("t", never)
    places = Places(10)
    places.remember(tails, "k", b"tail", hashes(1, 98, 99))
    at_once(places.forget({"t": changed}))
    assert ("k" in tails) is is_kept


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 1025, 2047, 2048, 2499])
def test_every_place_is_looked_at(number: int) -> None:
    tails = Tails("t", never)
    at_once(full(tails, 2500).forget({"t": {number + 1}}))
    assert {f"k{n}" for n in range(2500)} - set(tails) == {f"k{number}"}


@pytest.mark.parametrize("few", [0, 1000])
def test_it_makes_no_difference_how_they_are_looked_for(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_FEW", few)
    draw = Random(1)
    tails, places = {name: Tails(name, never) for name in "tu"}, Places(5000)
    depends: dict[tuple[str, str], set[int]] = {}
    for number in range(5000):
        # Small numbers, and such as look like another at a place where none begins.
        parts = [
            draw.choice([1, -1, 256, 1 << 48, 1 << 32, -256]) * draw.randrange(200) for _ in range(draw.randrange(5))
        ]
        name = draw.choice("tu")
        depends[name, f"k{number}"] = set(parts)
        places.remember(tails[name], f"k{number}", b"", hashes(*parts))
    changed = {draw.choice([1, 256, 1 << 32, -256]) * draw.randrange(1, 200) for _ in range(20)} - {-1}
    at_once(places.forget({"t": changed}))
    left = {(name, key) for name in "tu" for key in tails[name] if key}
    assert left == {who for who, parts in depends.items() if who[0] == "u" or not parts & {-1, *changed}}


def test_a_tail_that_depends_on_more_than_fits_goes_with_any_change_of_its_tenant() -> None:
    tails, other = Tails("t", never), Tails("u", never)
    places = Places(10)
    places.remember(tails, "much", b"tail", hashes(*range(1, 8)))
    places.remember(tails, "little", b"tail", hashes(1, 2, 3, 4))
    at_once(places.forget({"u": {1}}))
    assert tails.remembered() == 2
    at_once(places.forget({"t": {77}}))
    assert set(tails) == {"", "little"}
    assert other.remembered() == 0


def test_a_search_gives_others_their_turn_before_it_takes_long() -> None:
    tails = Tails("t", never)
    places = full(tails, 50_000)
    assert count(places.forget({"t": {-7}})) == 50_000 // 1024 // 16
    everywhere = set(range(1, 50_001, 100))
    assert count(places.forget({"t": everywhere})) > 50_000 // 1024 // 10
    assert list(places.forget({})) == []


def test_what_is_found_is_forgotten_in_the_same_steps() -> None:
    """All of 50,000 at the end of a search would take as long as several steps."""
    tails = Tails("t", never)
    places = Places(50_000)
    for number in range(50_000):
        places.remember(tails, f"k{number}", b"", hashes(7))
    left = [50_000]
    for _ in places.forget({"t": {7}}):
        left.append(tails.remembered())
    assert max(before - after for before, after in pairwise([*left, tails.remembered()])) <= 5 * 1024
    assert tails.remembered() == 0


def test_during_a_search_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_STEP", 1)
    tails = Tails("t", never)
    places = full(tails, 3000)
    for end in (at_once, Generator.close):
        search = places.forget({"t": {1}})
        next(search)
        for _ in range(2):
            places.remember(tails, "new", b"old", hashes(1))
        assert "new" not in tails
        end(search)
    for _ in range(2):
        places.remember(tails, "new", b"new", hashes(1))
    assert tails["new"] == b"new"


@pytest.mark.parametrize("max_keys", [1, 3, 40, 1500])
def test_what_is_answered_is_never_what_it_was_before_a_change(max_keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_AT_ONCE", 16)
    monkeypatch.setattr(remembered, "_STEP", 4)
    monkeypatch.setattr(remembered, "_FEW", 2)
    draw = Random(max_keys)
    version: dict[tuple[str, str], int] = {}

    def apps(api_key: str) -> list[str]:
        # Some keys depend on more parts than a place holds, some share a part.
        return [f"app {int(api_key) % 30}", *(f"app {api_key}.{n}" for n in range(int(api_key) % 7))]

    def truth(tenant_id: str, api_key: str) -> Answer:
        changed = [version.get((tenant_id, name), 0) for name in (api_key, *apps(api_key))]
        parts = tuple(part_hash(Kind.APP, app) for app in apps(api_key))
        return Answer(Developer(developer=f"{tenant_id} {api_key} {changed}"), parts)

    def look() -> None:
        tenant_id, api_key = draw.choice(["t", "u"]), str(min(int(draw.paretovariate(0.4)), 3000))
        assert cache.tails(tenant_id)[api_key] == tail_of(truth(tenant_id, api_key).developer)

    cache = DeveloperCache(truth, KnownKeys(None), max_keys)
    waited = 0
    for step in range(4000):
        tenant_id, api_key = draw.choice(["t", "u"]), str(min(int(draw.paretovariate(0.4)), 3000))
        keys, parts = [(tenant_id, api_key)] * (step % 15 == 1), [(Kind.APP, tenant_id, draw.choice(apps(api_key)))]
        parts = parts * (step % 10 == 0)
        search = cache.search(parts)
        for _ in search:
            waited += 1
            look()
        version.update({(tenant_id, name): step for name in [key for _, key in keys] + [app for *_, app in parts]})
        cache.forget(keys, parts)
        look()
        assert len(cache) <= max_keys
    assert len(cache) > 0
    assert (waited > 0) is (max_keys > 3)
