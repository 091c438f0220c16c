"""The answers of a data directory whose service does not run: the same questions, and nothing in it is changed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Final

import msgspec

from apidanalytics.clock import SystemClock
from apidanalytics.config import Settings
from apidanalytics.control.server import Answer, Request
from apidanalytics.service import answers, overview, tenant_rows
from apidanalytics.service.census import Census
from apidanalytics.service.queries import Query, read_query
from apidanalytics.upload.view import LedgerView


class StoppedService:
    """What can be said without a service: what the ledger and the directories hold."""

    def __init__(self, settings: Settings, view: LedgerView, census: Census) -> None:
        self._settings = settings
        self._view = view
        self._census = census

    def __repr__(self) -> str:
        return f"<StoppedService {self._settings.data.root}>"

    def ask(self, request: Request) -> Answer:
        """Answer as the service would; ``error`` says when only the service could."""
        parameters = dict(request)
        name = parameters.pop("command")
        known = _QUESTIONS.get(name)
        if known is None:
            return {"error": "only a running service can answer this", "kind": "unavailable"}
        query_type, answer = known
        try:
            return answer(self, read_query(parameters, query_type))
        except msgspec.ValidationError as error:
            return {"error": str(error), "kind": "bad_request"}

    def status(self, _query: answers.StatusQuery) -> Answer:
        """Return what the directory holds."""
        return overview.stopped_status(self._settings)

    def tenants(self, query: answers.TenantsQuery) -> Answer:
        """Return a page of the tenants."""
        rows = tenant_rows.rows(self._census.tenants(), {}, self._view.pauses())
        return answers.tenants_page(rows, self._view, query)

    def files(self, query: answers.FilesQuery) -> Answer:
        """Return a page of the ledger's files."""
        return answers.files_page(self._view, limit=query.limit, **_wanted(query, "limit"))

    def files_named(self, query: answers.NamedFilesQuery) -> Answer:
        """Return the files of this name, or whose names begin so."""
        return answers.files_page(self._view, limit=query.limit, offset=0, **_wanted(query, "limit"))

    def file(self, query: answers.FileQuery) -> Answer:
        """Return all that the ledger knows of one file; single attempts are not in it."""
        found = self._view.file(query.id)
        if found is None:
            return answers.no_such("file", str(query.id))
        return {**found, "recent_attempts": []}


_QUESTIONS: Final[Mapping[str, tuple[type[Query], Callable[[StoppedService, Any], Answer]]]] = {
    "status": (answers.StatusQuery, StoppedService.status),
    "tenants": (answers.TenantsQuery, StoppedService.tenants),
    "files": (answers.FilesQuery, StoppedService.files),
    "files.named": (answers.NamedFilesQuery, StoppedService.files_named),
    "file": (answers.FileQuery, StoppedService.file),
}


@contextmanager
def reading(settings: Settings) -> Iterator[StoppedService]:
    """Open the data directory for reading.

    Raises:
        sqlite3.Error: the ledger cannot be read.

    """
    data = settings.data
    with closing(LedgerView.open_stopped(data.ledger)) as view, overview.read_only_ledger(data.ledger) as ledger:
        yield StoppedService(settings, view, Census(data, ledger, view, SystemClock()))


def _wanted(query: Query, *without: str) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(query).items() if name not in without}
