"""The places of remembered tails: bounded, for those who come often, and never with an answer that has changed."""

from array import array
from collections.abc import Generator, MutableSequence, Sequence
from itertools import chain, pairwise
from random import Random

import pytest

from apidanalytics.model import Developer
from apidanalytics.scopes import dependents, remembered
from apidanalytics.scopes.developers import Answer, DeveloperCache
from apidanalytics.scopes.known_keys import KnownKeys
from apidanalytics.scopes.news import Kind, part_hash
from apidanalytics.scopes.remembered import Places, Tails
from apidanalytics.scopes.tails import WITHOUT_KEY, tail_of
from tests.steps import at_once, count


def never(_tails: Tails, api_keys: Sequence[str | None], _found: MutableSequence[bytes | None]) -> Sequence[bytes]:
    raise AssertionError(f"one of {api_keys} is not remembered")


def hashes(app: int) -> bytes:
    """Return what a tail depends on, its app among it."""
    return of(100_001, app, 100_003)


def of(*parts: int) -> bytes:
    return array("q", (100_000, *parts)).tobytes()


def apps(*numbers: int, tenant_id: str = "t") -> dict[Kind, dict[str, set[int]]]:
    return {Kind.APP: {tenant_id: set(numbers)}}


def full(tails: Tails, max_keys: int) -> Places:
    places = Places(max_keys)
    for number in range(max_keys):
        places.remember(tails, f"k{number}", (b"%d" % number, hashes(number + 1)))
    return places


def test_places_that_are_free_are_for_everybody() -> None:
    tails = Tails("t", never)
    full(tails, 10)
    assert [tails[f"k{number}"] for number in range(10)] == [b"%d" % number for number in range(10)]


def test_when_none_is_free_who_comes_three_times_gets_the_oldest() -> None:
    tails = Tails("t", never)
    places = full(tails, 10)
    for _ in range(2):
        places.remember(tails, "new", (b"new", hashes(99)))
        assert "new" not in tails
    places.remember(tails, "new", (b"new", hashes(99)))
    assert tails["new"] == b"new"
    assert "k0" not in tails
    assert tails.remembered() == 10


def test_who_has_lost_a_place_gets_another_at_once() -> None:
    tails = Tails("t", never)
    places = full(tails, 10)
    for _ in range(3):
        places.remember(tails, "new", (b"new", hashes(99)))
    places.remember(tails, "k0", (b"0", hashes(1)))
    assert tails["k0"] == b"0"
    assert "k1" not in tails


def test_what_a_change_made_a_worker_forget_is_remembered_again_at_once() -> None:
    """It is asked of the database until then, which costs ten times as much as what is ready."""
    tails = Tails("t", never)
    places = full(tails, 10)
    at_once(places.forget(apps(8)))
    assert "k7" not in tails
    places.remember(tails, "k7", (b"new", hashes(8)))
    assert tails["k7"] == b"new"


def test_after_many_strangers_nobody_counts_as_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "STRANGERS", 4)
    first, *others, last = names_apart(4)
    tails = Tails("t", never)
    places = full(tails, 10)
    for name in (first, first, *others, last, first, last):
        places.remember(tails, name, (b"tail", hashes(99)))
        assert name not in tails
    places.remember(tails, last, (b"tail", hashes(99)))
    assert last in tails


def names_apart(count: int) -> list[str]:
    """Return names that no hash makes one of another."""
    by_hash = {hash(name) % 1024: name for name in map(str, range(1000))}
    return list(by_hash.values())[:count]


@pytest.mark.parametrize(("number", "kind"), list(enumerate(Kind, 1)))
@pytest.mark.parametrize("sign", [1, -1])
def test_a_tail_goes_with_whatever_it_depends_on(number: int, kind: Kind, sign: int) -> None:
    tails = Tails("t", never)
    places = Places(10)
    places.remember(tails, "k", (b"tail", of(11 * sign, 12 * sign, 13 * sign)))
    part = (10 + number) * sign
    others = {11 * sign, 12 * sign, 13 * sign} - {part}
    at_once(places.forget({kind: {"t": others}}))
    at_once(places.forget({kind: {"u": {part}}}))
    assert "k" in tails
    at_once(places.forget({kind: {"u": {77}, "t": {77, part}}}))
    assert "k" not in tails


def test_a_change_of_several_kinds_is_looked_for_in_each() -> None:
    tails = Tails("t", never)
    places = Places(10)
    for number in range(10):
        places.remember(tails, f"k{number}", (b"", of(number, 100 + number, 200 + number)))
    at_once(places.forget({Kind.DEVELOPER: {"t": {200, 202}}, Kind.PRODUCT: {"t": {2, 4}}, Kind.APP: {"t": {109}}}))
    assert set(tails) == {"", *(f"k{number}" for number in (1, 3, 5, 6, 7, 8))}


def test_a_tail_that_depends_on_less_than_usual_goes_with_that() -> None:
    tails = Tails("t", never)
    places = Places(10)
    places.remember(tails, "nothing", (b"", of()))
    places.remember(tails, "no developer", (b"", of(1, 2)))
    at_once(places.forget(apps(3)))
    assert tails.remembered() == 2
    at_once(places.forget(apps(2)))
    assert set(tails) == {"", "nothing"}


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 1025, 2047, 2048, 2499])
def test_every_place_is_found(number: int) -> None:
    tails = Tails("t", never)
    at_once(full(tails, 2500).forget(apps(number + 1)))
    assert {f"k{n}" for n in range(2500)} - set(tails) == {f"k{number}"}


@pytest.mark.parametrize("buckets", [1, 7, 1 << 16])
def test_places_that_share_a_bucket_are_told_apart(buckets: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "_BUCKETS", buckets)
    draw = Random(1)
    tails, places = {name: Tails(name, never) for name in "tu"}, Places(2000)
    depends: dict[tuple[str, str], int] = {}
    factors = [1, 256, 1 << 16, 1 << 24, -1, -256]

    def come(number: int) -> None:
        name, app = draw.choice("tu"), draw.choice(factors) * draw.randrange(200)
        while f"k{number}" not in tails[name]:  # when none is free, the third time
            places.remember(tails[name], f"k{number}", (b"", hashes(app)))
        depends[name, f"k{number}"] = app

    for number in range(3000):
        come(number)
    depends = {who: app for who, app in depends.items() if who[1] in tails[who[0]]}
    assert len(depends) == 2000
    changed = {draw.choice(factors) * draw.randrange(1, 200) for _ in range(20)}
    at_once(places.forget(apps(*changed)))
    left = {(name, key) for name in "tu" for key in tails[name] if key}
    alike = set(map(dependents.kept, {-1, *changed}))
    assert left == {who for who, app in depends.items() if who[0] == "u" or dependents.kept(app) not in alike}
    assert len(left) < 2000


@pytest.mark.parametrize("parts", [(1,), (1, 2, 3, 4), (1, 2, 3, 4, 5), tuple(range(20))])
@pytest.mark.parametrize("kind", Kind)
def test_a_tail_that_depends_on_more_than_fits_goes_with_any_change_of_its_tenant(
    parts: tuple[int, ...], kind: Kind
) -> None:
    tails, other = Tails("t", never), Tails("u", never)
    places = Places(10)
    places.remember(tails, "much", (b"tail", of(*parts)))
    places.remember(tails, "little", (b"tail", of(1, 2, 3)))
    at_once(places.forget({kind: {"u": {1, 2, 3}}}))
    assert tails.remembered() == 2
    at_once(places.forget({kind: {"t": {77}}}))
    assert set(tails) == {"", "little"}
    assert other.remembered() == 0


def test_a_search_gives_others_their_turn_before_it_takes_long() -> None:
    tails = Tails("t", never)
    places = full(tails, 50_000)
    assert count(places.forget(apps(-7))) == 0
    everywhere = range(1, 50_001, 20)
    looked = 50_000 // 20
    assert looked // 1024 <= count(places.forget(apps(*everywhere))) <= 2 * looked // 1024 + 1
    assert list(places.forget({})) == []


def test_what_is_found_is_forgotten_in_the_same_steps() -> None:
    """All of 50,000 at the end of a search would take as long as several steps."""
    tails = Tails("t", never)
    places = Places(50_000)
    for number in range(50_000):
        places.remember(tails, f"k{number}", (b"", hashes(7)))
    left = [50_000]
    for _ in places.forget(apps(7)):
        left.append(tails.remembered())
    assert max(before - after for before, after in pairwise([*left, tails.remembered()])) <= 5 * 1024
    assert tails.remembered() == 0


def test_during_a_search_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "AT_ONCE", 2)
    tails = Tails("t", never)
    places = full(tails, 3000)
    for end in (at_once, Generator.close):
        search = places.forget(apps(*range(1, 10)))
        next(search)
        for _ in range(4):
            places.remember(tails, "new", (b"old", hashes(1)))
        assert "new" not in tails
        end(search)
    for _ in range(3):
        places.remember(tails, "new", (b"new", hashes(1)))
    assert tails["new"] == b"new"


@pytest.mark.parametrize("max_keys", [1, 3, 40, 1500])
def test_what_is_answered_is_never_what_it_was_before_a_change(max_keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "AT_ONCE", 2)
    monkeypatch.setattr(dependents, "_BUCKETS", 16)
    draw = Random(max_keys)
    version: dict[tuple[str, str], int] = {}

    def apps_of(api_key: str) -> list[str]:
        # Some keys depend on more parts than a place holds, some share a part.
        return [f"app {int(api_key) % 30}", *(f"app {api_key}.{n}" for n in range(max(0, int(api_key) % 7 - 4)))]

    def truth(tenant_id: str, api_key: str) -> Answer:
        changed = [version.get((tenant_id, name), 0) for name in (api_key, *apps_of(api_key))]
        pairs = ((part_hash(Kind.PRODUCT, "p"), part_hash(Kind.APP, app)) for app in apps_of(api_key))
        parts = (*chain(*pairs), part_hash(Kind.DEVELOPER, "d"))
        return Answer(Developer(developer=f"{tenant_id} {api_key} {changed}"), parts)

    def look() -> None:
        tenant_id, api_key = draw.choice(["t", "u"]), str(min(int(draw.paretovariate(0.4)), 3000))
        assert cache.tails(tenant_id)[api_key] == tail_of(truth(tenant_id, api_key).developer)

    cache = DeveloperCache(truth, KnownKeys(None), max_keys)
    waited = 0
    for step in range(4000):
        tenant_id, api_key = draw.choice(["t", "u"]), str(min(int(draw.paretovariate(0.4)), 3000))
        keys, parts = [(tenant_id, api_key)] * (step % 15 == 1), [(Kind.APP, tenant_id, draw.choice(apps_of(api_key)))]
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
    assert waited > 0 or max_keys <= 3


def test_once_all_is_full_a_share_of_what_is_cheap_counts() -> None:
    assert all(Places(10).counts() for _ in range(100))
    places = full(Tails("t", never), 10)
    counted = sum(places.counts() for _ in range(10_000))
    assert counted == pytest.approx(10_000 * remembered.COUNTED, rel=0.2)  # 12 standard deviations


def test_several_are_answered_in_their_order_and_only_what_is_not_remembered_is_learned() -> None:
    learned: list[list[str | None]] = []

    def learn(_tails: Tails, api_keys: Sequence[str | None], found: MutableSequence[bytes | None]) -> Sequence[bytes]:
        learned.append([key for key, tail in zip(api_keys, found, strict=True) if tail is None])
        return [tail or b"learned" for tail in found]

    tails = Tails("t", learn)
    full(tails, 3)
    assert tails.of(["k2", "k0", "", "k2"]) == [b"2", b"0", WITHOUT_KEY, b"2"]
    assert learned == []
    assert tails.of(["k2", "new", None, "k1"]) == [b"2", b"learned", b"learned", b"1"]
    assert learned == [["new", None]]
    assert tails["other"] == b"learned"
    assert tails[None] == WITHOUT_KEY
