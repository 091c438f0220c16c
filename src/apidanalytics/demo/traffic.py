"""Believable batches of several tenants: who posts, how many records, on which route, plain or zipped.

A seeded generator: the same seed and the same instants give the same posts. Most are what three kinds of real client
send (single records naming org and env; up to 500 records for a scope; the same zipped); a few are wrong in a way the
service must refuse.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from isal import igzip

from apidanalytics.demo import spoil
from apidanalytics.demo.accounts import Account
from apidanalytics.demo.post import Post
from apidanalytics.demo.records import CATALOGUES, RecordMaker, zipf

MAX_RECORDS: Final = 500
"""In one batch: what a gateway's flush holds at most."""


class Traffic:
    """Posts of these accounts, the first the busiest.

    Ids of records begin with ``run`` and are never used twice. One post in ``bad_every`` is wrong, in each way in turn.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        seed: int,
        run: str = "flow",
        base_path: str = "/analytics",
        bad_every: int = 40,
    ) -> None:
        self._accounts = accounts
        self._random = Random(seed)  # noqa: S311 - a play, not a secret # nosec B311
        self._run = run
        self._base_path = base_path
        self._bad_every = bad_every
        self._posts = 0
        self._records_made = 0
        self._makers = [
            RecordMaker(account, CATALOGUES[rank % len(CATALOGUES)], self._random)
            for rank, account in enumerate(accounts)
        ]

    def post(self, now: float, most: int = MAX_RECORDS) -> Post:
        """Return the next post, of at most so many records; its last call ended at ``now`` (Unix time)."""
        self._posts += 1
        if self._posts % self._bad_every == 0:
            return self._bad(now)
        rank = self._rank()
        return self._maybe_zip(self._dress(rank, self._records(rank, min(most, self._size()), now)))

    def _bad(self, now: float) -> Post:
        rank = self._rank()
        records = self._records(rank, self._random.randrange(1, 40), now)
        fault = spoil.FAULTS[(self._posts // self._bad_every - 1) % len(spoil.FAULTS)]
        spoiled = fault.records(records, self._random.randrange(len(records)))
        return replace(fault.post(self._dress(rank, spoiled)), refusal=(400, fault.code))

    def _rank(self) -> int:
        return self._random.choices(range(len(self._accounts)), cum_weights=zipf(len(self._accounts)))[0]

    def _size(self) -> int:
        """Return 1 for nearly half of all batches; the others are as often small as large, up to the most."""
        if self._random.random() < 0.45:
            return 1
        return min(MAX_RECORDS, int(2 * (MAX_RECORDS / 2) ** self._random.random()) + 1)

    def _records(self, rank: int, count: int, now: float) -> tuple[bytes, ...]:
        first = self._records_made
        self._records_made += count
        spread = min(2.0, count / 100)
        return tuple(
            self._makers[rank].record(f"{self._run}-{first + n}", now - spread * (1 - (n + 1) / count))
            for n in range(count)
        )

    def _dress(self, rank: int, records: tuple[bytes, ...]) -> Post:
        account = self._accounts[rank]
        named = self._random.random() < (0.7 if len(records) == 1 else 0.3)
        return Post(
            tenant=account.name,
            records=records,
            named=named,
            path=self._base_path if named else f"{self._base_path}/{self._random.choice(account.scopes)}",
            body=self._body(account if named else None, records),
            headers={"Content-Type": self._content_type()},
        )

    def _body(self, account: Account | None, records: Iterable[bytes]) -> bytes:
        comma, space = (b",\n    ", b" ") if self._random.random() < 0.1 else (b",", b"")
        members = [b'"records":%s[%s]' % (space, comma.join(records))]
        if account is not None:
            named = (("organization", account.org), ("environment", account.env))
            names = [b'"%s":%s%s' % (name.encode(), space, json.dumps(value).encode()) for name, value in named]
            members = [*names, *members] if self._random.random() < 0.8 else [*members, *names]
        return b"{%s}" % comma.join(members)

    def _content_type(self) -> str:
        return self._random.choice(("application/json", "application/json", "application/json; charset=utf-8"))

    def _maybe_zip(self, post: Post) -> Post:
        """Zip most of the larger batches: a third of all, half of them in chunks, some as two gzip members."""
        if len(post.records) == 1 or self._random.random() > 0.6:
            return post
        cut = self._random.randrange(len(post.body)) if self._random.random() < 0.1 else 0
        members = filter(None, (post.body[:cut], post.body[cut:]))
        return replace(
            post,
            body=b"".join(igzip.compress(member, 1, mtime=0) for member in members),
            headers={**post.headers, "Content-Encoding": "gzip"},
            chunked=self._random.random() < 0.4,
        )
