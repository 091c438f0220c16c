"""What workers remember of the developer data is bounded, and forgotten as far as a change list concerns it."""

import pytest

from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Developer
from apidanalytics.scopes.developers import LONGEST_KEY, Answer, DeveloperCache
from apidanalytics.scopes.known_keys import KnownKeys, hash_text
from apidanalytics.scopes.news import Kind, part_hash


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


def test_each_key_is_asked_for_once() -> None:
    asked = Asked()
    cache = make(asked, 10)
    assert [cache.get("t", "k") for _ in range(3)] == [Developer(api_product="k")] * 3
    assert asked.keys == [("t", "k")]


def test_that_nobody_is_known_is_remembered_too() -> None:
    asked = Asked()
    cache = make(asked, 10)
    assert [cache.get("t", "unknown") for _ in range(3)] == [None] * 3
    assert asked.keys == [("t", "unknown")]


def test_equal_keys_of_two_tenants_are_two_answers() -> None:
    asked = Asked()
    cache = make(asked, 10)
    cache.get("t1", "k")
    cache.get("t2", "k")
    assert asked.keys == [("t1", "k"), ("t2", "k")]


def test_a_key_that_is_in_use_is_asked_for_once_whatever_else_comes() -> None:
    asked = Asked()
    cache = make(asked, 10)
    for number in range(100):
        cache.get("t", "in use")
        cache.get("t", f"once {number}")
    assert asked.keys.count(("t", "in use")) == 1
    cache.get("t", "once 0")
    assert asked.keys.count(("t", "once 0")) == 2, "what is not in use is forgotten"


def test_memory_stays_bounded_whatever_is_asked() -> None:
    cache = make(Asked(), 50)
    for number in range(1000):
        cache.get("t", f"unknown {number}")
        assert len(cache) <= 50
    assert len(cache) >= 25


def test_a_key_longer_than_any_real_one_is_not_kept() -> None:
    asked = Asked()
    cache = make(asked, 10)
    cache.get("t", "k" * LONGEST_KEY)
    assert len(cache) == 1
    for _ in range(2):
        assert cache.get("t", "k" * (LONGEST_KEY + 1)) is not None
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
        cache.get("t", "k")
    assert cache.get("t", "k") == Developer(api_product="p")


@pytest.mark.parametrize("kind", Kind)
def test_what_depends_on_a_changed_part_is_asked_for_again_and_nothing_else(kind: Kind) -> None:
    asked = Asked()
    cache = make(asked, 10)
    keys = [("t", "a"), ("t", "b"), ("u", "a"), ("t", "unknown")]
    for key in keys:
        cache.get(*key)
    asked.keys.clear()
    cache.forget([], [(kind, "t", f"{kind} of a"), (kind, "t", f"{kind} of unknown")])
    for key in keys:
        cache.get(*key)
    assert asked.keys == [("t", "a"), ("t", "unknown")]


def test_a_changed_key_is_asked_for_again_and_may_exist_from_now_on() -> None:
    asked = Asked()
    cache = make(asked, 10, KnownKeys(memoryview(b"").cast("q")))
    assert cache.get("t", "new") is None
    assert asked.keys == []
    cache.forget([("t", "new")], [])
    assert cache.get("t", "new") == Developer(api_product="new")
    cache.forget([("t", "new")], [])
    cache.get("t", "new")
    assert asked.keys == [("t", "new")] * 2


def test_a_flood_of_unknown_keys_asks_nothing_and_drives_out_nothing() -> None:
    asked = Asked()
    cache = make(asked, 10, KnownKeys(memoryview(b"").cast("q"), [hash_text("t", "known")]))
    cache.get("t", "known")
    for number in range(1000):
        assert cache.get("t", f"flood {number}") is None
    cache.get("t", "known")
    assert asked.keys == [("t", "known")]
    assert len(cache) == 1
