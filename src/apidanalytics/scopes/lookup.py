"""What the workers ask: who a scope, an org and env, or an API key is.

``CachedScopes`` answers from memory (``apidanalytics_use_caching: true``), ``UncachedScopes`` asks the database every
time. Both read one published file, and their owner calls ``tick`` about once a second, so that what changes in that
file counts, ``switch`` when another one is published, and ``renewal`` when change lists went into it. What is answered
changes between two requests: all answers of a turn are as of one change list, never half old and half new. A file that
cannot be read leaves the last good answers in force.

Not for several threads at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from apidanalytics.clock import Clock
from apidanalytics.errors import LookupFailedError
from apidanalytics.model import Tenant
from apidanalytics.scopes.database import ScopeDatabase
from apidanalytics.scopes.developers import DeveloperCache
from apidanalytics.scopes.flaws import FlawsLog
from apidanalytics.scopes.heard import Heard
from apidanalytics.scopes.news import News
from apidanalytics.scopes.ready import ReadyAnswers
from apidanalytics.scopes.tails import WITHOUT_KEY, TailTable, tail_of
from apidanalytics.scopes.tenants import adjust
from apidanalytics.scopes.trouble import Trouble


class _Switchable(Protocol):
    def switch(self, path: Path) -> None: ...


class CachedScopes:
    """Answers from memory: all scopes, and the developer data that are asked for often.

    An unknown scope never reaches the database, nor does an unknown API key when the file has its ``known_keys``.
    """

    def __init__(self, path: Path, *, max_keys: int, refresh_interval: float, clock: Clock) -> None:
        """Load the scopes of this file.

        ``max_keys`` bounds how many API keys are remembered; every ``refresh_interval`` seconds everything is read
        anew, even when nothing seems to have changed.

        Raises:
            LookupFailedError: it cannot be read.

        """
        self.sequence = ""
        """Of the last change list that answers contain; empty: none."""
        self._max_keys = max_keys
        self._refresh_interval = refresh_interval
        self._clock = clock
        self._trouble = _renewal_trouble()
        self._flaws = FlawsLog()
        self._news_of = _Overdue()
        self._heard = Heard()
        self._load(path)

    def __repr__(self) -> str:
        known = f"tenants={len(self._tenants.by_name)} developers={len(self._developers)}"
        return f"<CachedScopes {known} {self._database.path}>"

    def tenant(self, scope_uuid: str) -> Tenant | None:
        """Return the tenant behind this scope."""
        return self._tenants.by_uuid.get(scope_uuid)

    def tenant_of(self, org: str, env: str) -> Tenant | None:
        """Return the tenant of this org and env."""
        return self._tenants.by_name.get((org, env))

    def tails(self, tenant: Tenant) -> TailTable:
        """Return what is said of the API keys of this tenant (``tails``): remembered, or found when it is asked for.

        Asking raises ``LookupFailedError`` when a key is not remembered and the database cannot be asked. Good for one
        turn of the event loop.
        """
        return self._developers.tails(tenant.tenant_id)

    def switch(self, path: Path) -> None:
        """Answer from this file from now on, and forget what the former one said.

        Raises:
            LookupFailedError: it cannot be read; the former one stays.

        """
        former, ready = self._database, self._ready
        self._load(path)
        self._heard.clear()
        former.close()
        ready.close()
        self._trouble.end()

    def renewal(self, news: Iterable[News]) -> Iterator[None]:
        """Take up what change lists changed in the file, and forget nothing else, in steps of a few milliseconds.

        Answers are as before until the last step, which changes all of them, to those as of the latest commit when it
        began. Of a commit without news nothing is taken up: they are on their way. Only one at a time.

        Raises:
            LookupFailedError: it cannot be read; answers are as before, and the next ``tick`` reads everything.

        """
        self._heard.add(news)
        try:
            with closing(self._database.ahead()) as ahead:
                yield from self._take_up(ahead)
        except LookupFailedError:
            self._refresh_at = self._clock.monotonic()
            raise

    def _take_up(self, ahead: ScopeDatabase) -> Iterator[None]:
        if ahead.sequence == self.sequence:
            self._heard.clear()
            return
        news = self._heard.take(self.sequence, ahead.sequence)
        if news is None:
            return
        if news.is_all or news.after != self.sequence or self._database.changed():
            self.switch(self._database.path)
            return
        developers = self._developers
        yield from developers.search(news.parts)
        if developers is not self._developers:
            return  # everything was read anew meanwhile
        adjust(self._tenants, news.scopes, ahead.tenant, ahead.tenant_of)
        self._database.exchange(ahead)
        developers.forget(news.keys, news.parts)
        self.sequence = news.sequence

    def tick(self) -> bool:
        """Load anew when the file has changed or the refresh interval is over; return whether that was done."""
        if self._news_of.has_moved(self._database, self.sequence) or self._clock.monotonic() >= self._refresh_at:
            return _renew(self, self._database.path, self._trouble)
        self._database.take_ready(self._ready)
        return False

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._database.close()
        self._ready.close()

    def _load(self, path: Path) -> None:
        database = ScopeDatabase(path)
        try:
            tenants, known = database.tenants(), database.known_keys()
            ready = ReadyAnswers(database.changed_parts())
            database.take_ready(ready)
        except BaseException:
            database.close()
            raise
        self._database, self._tenants, self._ready = database, tenants, ready
        self.sequence = database.sequence
        self._developers = DeveloperCache(database.developer, known, self._max_keys, ready)
        self._refresh_at = self._clock.monotonic() + self._refresh_interval
        self._flaws.log(tenants.flaws)


class UncachedScopes:
    """Asks the database every time: slower, never late."""

    def __init__(self, path: Path) -> None:
        """Open this file.

        Raises:
            LookupFailedError: it cannot be read.

        """
        self._news_of = _Overdue()
        self._trouble = _renewal_trouble()
        self._database = ScopeDatabase(path)

    def __repr__(self) -> str:
        return f"<UncachedScopes {self._database.path}>"

    def tenant(self, scope_uuid: str) -> Tenant | None:
        """Return the tenant behind this scope.

        Raises:
            LookupFailedError: the database cannot be asked.

        """
        return self._database.tenant(scope_uuid).by_uuid.get(scope_uuid)

    def tenant_of(self, org: str, env: str) -> Tenant | None:
        """Return the tenant of this org and env.

        Raises:
            LookupFailedError: the database cannot be asked.

        """
        return self._database.tenant_of(org, env).by_name.get((org, env))

    def tails(self, tenant: Tenant) -> TailTable:
        """Return what is said of the API keys of this tenant (``tails``), each asked of the database once a mapping.

        Asking raises ``LookupFailedError`` when it cannot be asked. Good for one turn of the event loop.
        """
        return _Asked(self._database, tenant.tenant_id)

    def switch(self, path: Path) -> None:
        """Ask this file from now on.

        Raises:
            LookupFailedError: it cannot be read; the former one stays.

        """
        former = self._database
        self._database = ScopeDatabase(path)
        former.close()
        self._trouble.end()

    def renewal(self, news: Iterable[News]) -> Iterator[None]:  # noqa: ARG002 - whatever it was, nothing is remembered
        """Ask as of the latest commit from now on, in one step.

        Raises:
            LookupFailedError: it cannot be read.

        """
        self._database.renew()
        yield from ()

    @property
    def sequence(self) -> str:
        """Return the sequence of the last change list that answers contain; empty: none."""
        return self._database.sequence

    def tick(self) -> bool:
        """Open the file anew when it has changed (it may be another one by now); return whether that was done."""
        has_moved = self._news_of.has_moved(self._database, self.sequence)
        return has_moved and _renew(self, self._database.path, self._trouble)

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._database.close()


class _Asked(TailTable):
    """Tails that are asked of the database, here each once."""

    __slots__ = ("_database", "_tenant_id")

    def __init__(self, database: ScopeDatabase, tenant_id: str) -> None:
        self[None] = self[""] = WITHOUT_KEY
        self._database = database
        self._tenant_id = tenant_id

    def __missing__(self, api_key: str) -> bytes:
        tail = self[api_key] = tail_of(self._database.developer_alone(self._tenant_id, api_key))
        return tail


class _Overdue:
    """Tells news of a live file that are on their way from those that were missed: these have been due for a tick."""

    def __init__(self) -> None:
        self._behind: str | None = None  # what was held at the last tick, when the file was ahead already

    def has_moved(self, database: ScopeDatabase, held: str) -> bool:
        """Return whether the answers are old: the file was written to or replaced, or news of it were missed.

        ``held`` is the sequence of the last change list that they contain.
        """
        try:
            return database.changed() or self._has_missed(database, held)
        except LookupFailedError:
            return True

    def _has_missed(self, database: ScopeDatabase, held: str) -> bool:
        if database.latest_sequence() != held:
            former, self._behind = self._behind, held
            return former == held
        self._behind = None
        # Nothing new, but the writer cannot empty its log while somebody reads from an old place in it.
        database.renew()
        return database.sequence != held


def _renew(scopes: _Switchable, path: Path, trouble: Trouble) -> bool:
    """Load the same file again; when that fails, the answers stay as they are."""
    try:
        scopes.switch(path)
    except LookupFailedError as error:
        trouble.begin(str(error))
        return False
    return True


def _renewal_trouble() -> Trouble:
    return Trouble("scopes.refresh", "look-ups go on with what was read last; check that the file can be read")
