"""What commands and the administration address may ask of the running service, and what they may order.

``control.sock`` and HTTP come to the same table: a request is a mapping with ``command`` and its parameters, and an
answer is a mapping. One with ``error`` says what was wrong, and in ``kind`` whose fault it is: ``bad_request``,
``not_found`` or ``unavailable``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from apidanalytics.control.server import Answer, Request
from apidanalytics.service import answers, flush, orders
from apidanalytics.service.insight import Insight
from apidanalytics.service.queries import Query, read_query


class Command(msgspec.Struct, frozen=True):
    """One entry of the table."""

    query: type[Query]
    """What its parameters are."""
    run: Callable[[Insight, Any], Awaitable[Answer]]
    changes: bool = False
    """Whether it orders something instead of asking."""


COMMANDS: Final[Mapping[str, Command]] = {
    "status": Command(answers.StatusQuery, answers.status),
    "ready": Command(Query, answers.ready),
    "history": Command(Query, answers.history),
    "metrics": Command(Query, answers.metrics),
    "tenants": Command(answers.TenantsQuery, answers.tenants),
    "tenant": Command(answers.TenantQuery, answers.tenant),
    "files": Command(answers.FilesQuery, answers.files),
    "files.named": Command(answers.NamedFilesQuery, answers.files_named),
    "file": Command(answers.FileQuery, answers.file),
    "failed": Command(answers.FailedQuery, answers.failed),
    "scopes": Command(Query, answers.scopes),
    "settings": Command(Query, answers.settings),
    "events": Command(answers.EventsQuery, answers.events),
    "retry": Command(orders.Target, orders.retry, changes=True),
    "pause": Command(orders.Target, orders.pause, changes=True),
    "resume": Command(orders.Target, orders.resume, changes=True),
    "flush": Command(Query, flush.flush, changes=True),
    "flushed": Command(flush.FlushedQuery, flush.flushed),
}
"""By name."""


class Commands:
    """Answers requests. On the event loop."""

    def __init__(self, insight: Insight) -> None:
        self.insight = insight

    def __repr__(self) -> str:
        return f"<Commands {', '.join(COMMANDS)}>"

    async def answer(self, request: Request) -> Answer:
        """Answer one request; what is wrong with it is said in the answer."""
        parameters = dict(request)
        name = parameters.pop("command", None)
        command = COMMANDS.get(name) if isinstance(name, str) else None
        if command is None:
            return {"error": f"unknown command: {name}", "kind": "not_found"}
        try:
            query = read_query(parameters, command.query)
        except msgspec.ValidationError as error:
            return {"error": str(error), "kind": "bad_request"}
        try:
            return await command.run(self.insight, query)
        except OSError as error:
            return {"error": f"the data directory cannot be read: {error}", "kind": "unavailable"}
