"""What workers remember of the developer data is bounded, and forgotten as far as a change list concerns it."""

import pytest

from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Developer
from apidanalytics.scopes.developers import LONGEST_KEY, Answer, DeveloperCache
from apidanalytics.scopes.known_keys import KnownKeys, hash_text
from apidanalytics.scopes.news import Kind, part_hash
from apidanalytics.scopes.tails import NOBODY, WITHOUT_KEY
from tests.unit.scopes.samples import developer_in, forget


class Asked:
    """Answers with the key as product, and remembers what it was asked."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []

    def __call__(self, tenant_id: str, api_key: str) -> Answer:
        self.keys.append((tenant_id, api_key))
        parts = tuple(part_hash(kind, f"{kind} of {api_key}") for kind in Kind)
        return Answer(None if api_key.startswith("unknown") else Developer(api_product=api_key), parts)


def make(ask, max_keys: int, known: KnownKeys | None = None) -> DeveloperCache:
    return DeveloperCache(ask, KnownKeys(None) if known is None else known, max_keys)


def get(cache: DeveloperCache, tenant_id: str, api_key: str) -> Developer:
    return developer_in(cache.tails(tenant_id)[api_key])


def test_each_key_is_asked_for_once() -> None:
    asked = Asked()
    cache = make(asked, 10)
    assert [get(cache, "t", "k") for _ in range(3)] == [Developer(api_product="k")] * 3
    assert asked.keys == [("t", "k")]


def test_that_nobody_is_known_is_remembered_too() -> None:
    asked = Asked()
    cache = make(asked, 10)
    assert [cache.tails("t")["unknown"] for _ in range(3)] == [NOBODY] * 3
    assert asked.keys == [("t", "unknown")]


@pytest.mark.parametrize("api_key", [None, ""])
def test_nothing_is_said_where_there_is_no_key(api_key: str | None) -> None:
    asked = Asked()
    cache = make(asked, 10)
    for _ in range(2):
        assert cache.tails("t")[api_key] == WITHOUT_KEY
        forget(cache, [("t", "")], [])
    assert asked.keys == []


def test_equal_keys_of_two_tenants_are_two_answers() -> None:
    asked = Asked()
    cache = make(asked, 10)
    get(cache, "t1", "k")
    get(cache, "t2", "k")
    assert asked.keys == [("t1", "k"), ("t2", "k")]


def test_a_key_that_is_in_use_is_asked_for_once_whatever_else_comes() -> None:
    asked = Asked()
    cache = make(asked, 10)
    for number in range(100):
        get(cache, "t", "in use")
        get(cache, "t", f"once {number}")
    assert asked.keys.count(("t", "in use")) == 1


def test_a_key_that_is_in_use_is_asked_for_a_few_times_when_all_others_come_three_times() -> None:
    asked = Asked()
    cache = make(asked, 10)
    for number in range(100):
        for _ in range(3):
            get(cache, "t", "in use")
            get(cache, "t", f"thrice {number}")
    assert asked.keys.count(("t", "in use")) <= 1 + 100 / 10
    before = len(asked.keys)
    get(cache, "t", "thrice 99")
    assert len(asked.keys) == before
    get(cache, "t", "thrice 50")
    assert len(asked.keys) == before + 1, "what is not in use is forgotten"


def test_memory_stays_bounded_whatever_is_asked() -> None:
    cache = make(Asked(), 50)
    for number in range(1000):
        get(cache, f"tenant {number // 13}", f"unknown {number}")
        assert len(cache) <= 50
    assert len(cache) >= 25


def test_a_key_longer_than_any_real_one_is_not_kept() -> None:
    asked = Asked()
    cache = make(asked, 10)
    get(cache, "t", "k" * LONGEST_KEY)
    assert len(cache) == 1
    for _ in range(2):
        get(cache, "t", "k" * (LONGEST_KEY + 1))
    assert len(cache) == 1
    assert len(asked.keys) == 3


def test_a_failed_question_is_asked_again() -> None:
    answers = iter([LookupFailedError("away"), Developer(api_product="p")])

    def ask(tenant_id: str, api_key: str) -> Answer:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return Answer(answer)

    cache = make(ask, 10)
    with pytest.raises(LookupFailedError):
        get(cache, "t", "k")
    assert get(cache, "t", "k") == Developer(api_product="p")


@pytest.mark.parametrize("kind", Kind)
def test_what_depends_on_a_changed_part_is_asked_for_again_and_nothing_else(kind: Kind) -> None:
    asked = Asked()
    cache = make(asked, 10)
    keys = [("t", "a"), ("t", "b"), ("u", "a"), ("t", "unknown")]
    for key in keys:
        get(cache, *key)
    asked.keys.clear()
    forget(cache, [], [(kind, "t", f"{kind} of a"), (kind, "t", f"{kind} of unknown")])
    for key in keys:
        get(cache, *key)
    assert asked.keys == [("t", "a"), ("t", "unknown")]


def test_a_changed_key_is_asked_for_again_and_may_exist_from_now_on() -> None:
    asked = Asked()
    cache = make(asked, 10, KnownKeys(memoryview(b"").cast("q")))
    assert cache.tails("t")["new"] == NOBODY
    assert asked.keys == []
    forget(cache, [("t", "new")], [])
    assert get(cache, "t", "new") == Developer(api_product="new")
    forget(cache, [("t", "new")], [])
    get(cache, "t", "new")
    assert asked.keys == [("t", "new")] * 2


def test_a_flood_of_unknown_keys_asks_nothing_and_drives_out_nothing() -> None:
    asked = Asked()
    cache = make(asked, 10, KnownKeys(memoryview(b"").cast("q"), [hash_text("t", "known")]))
    get(cache, "t", "known")
    for number in range(1000):
        assert cache.tails("t")[f"flood {number}"] == NOBODY
    get(cache, "t", "known")
    assert asked.keys == [("t", "known")]
    assert len(cache) == 1


@pytest.mark.parametrize("max_keys", [1, 2, 4, 7, 100, 5000])
def test_what_is_forgotten_is_all_that_a_change_concerns_and_little_else(max_keys: int) -> None:
    asked = Asked()
    cache = make(asked, max_keys)
    keys = [("t", f"k{number}") for number in range(1200)]
    for key in keys:
        get(cache, *key)
    remembered = len(cache)
    changed = {("t", f"k{number}") for number in range(0, 1200, 7)}
    forget(cache, [], [(Kind.APP, tenant_id, f"{Kind.APP} of {key}") for tenant_id, key in changed])
    assert len(cache) <= remembered
    assert len(cache) >= remembered - len(changed)
    asked.keys.clear()
    for key in changed:
        get(cache, *key)
    assert set(asked.keys) == changed


def test_an_unknown_key_is_told_at_once_the_second_time_until_it_is_there() -> None:
    class Counted(KnownKeys):
        asked = 0

        def may_hold(self, tenant_id: str, api_key: str) -> bool:
            self.asked += 1
            return super().may_hold(tenant_id, api_key)

    known = Counted(memoryview(b"").cast("q"))
    cache = make(Asked(), 10, known)
    for _ in range(3):
        assert cache.tails("t")["later"] == NOBODY
    assert known.asked == 1
    forget(cache, [("t", "later")], [])
    assert get(cache, "t", "later") == Developer(api_product="later")
