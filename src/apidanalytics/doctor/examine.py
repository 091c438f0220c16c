"""All checks in their order: from the ground up, as the service needs them."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from apidanalytics import config
from apidanalytics.config import Settings, effective
from apidanalytics.config.loading import EMBEDDED
from apidanalytics.control.server import ask
from apidanalytics.doctor import delivery, listening, place, scope_data
from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, ok, problem, skipped
from apidanalytics.errors import ConfigurationError, NotRunningError
from apidanalytics.health.words import how_many, listed


def patient(
    config_file: Path | None, *, embedded: bool, tenant: str | None, uploads: bool, timeout_seconds: float
) -> Patient:
    """Read the configuration and ask the service, if one runs: then ``embedded`` need not be said.

    Raises:
        ConfigurationError: the configuration cannot be used.

    """
    settings, is_embedded, spoiled = _settings(config_file, embedded=embedded)
    try:
        status = ask(settings.data.control, {"command": "status", "tenants": False})
        shown = ask(settings.data.control, {"command": "settings"})
    except NotRunningError:
        status, shown = None, {}
    return Patient(
        settings=settings,
        embedded=is_embedded,
        spoiled=spoiled,
        status=None if status is None or "error" in status else status,
        running_settings={row["key"]: row["value"] for row in shown.get("settings", [])},
        timeout_seconds=timeout_seconds,
        tenant=tenant,
        uploads=uploads,
    )


async def examine(of: Patient) -> AsyncIterator[Result]:
    """Yield the result of every check as it comes."""
    for check in (
        _configuration,
        place.directories,
        place.disk,
        place.clock,
        listening.open_files,
        listening.certificates,
        listening.addresses,
        scope_data.source,
        scope_data.version,
    ):
        for result in await asyncio.to_thread(_tried, check, of):
            yield result
    async for result in delivery.sync_servers(of):
        yield result
    async for result in delivery.delivery(of):
        yield result
    for result in _service(of):
        yield result


def _tried(check: Callable[[Patient], Iterator[Result]], of: Patient) -> list[Result]:
    """Return what a check says; what it may not look at is a problem like any other."""
    results = []
    try:
        for result in check(of):
            results.append(result)  # noqa: PERF402 - what was found before an error counts
    except OSError as error:
        text = f"{error.filename or 'The system'}: {error.strerror or error}."
        results.append(problem(check.__name__, text, "Run this as the user that the service runs as, or as root."))
    return results


def _settings(config_file: Path | None, *, embedded: bool) -> tuple[Settings, bool, Sequence[str]]:
    """Return the settings, whether they are those of ``run --embedded``, and what is wrong with them.

    Raises:
        ConfigurationError: they cannot be used, and no service runs that was started before they were spoiled.

    """
    try:
        return config.load(config_file=config_file, environ=os.environ, embedded=embedded), embedded, ()
    except ConfigurationError as error:
        settings, problems = config.load_leniently(config_file=config_file, environ=os.environ)
        try:
            rows = ask(settings.data.control, {"command": "settings"}).get("settings", [])
        except NotRunningError:
            pass
        else:
            is_embedded = embedded or any(row["origin"] == EMBEDDED for row in rows)
            return settings, is_embedded, problems if is_embedded else error.problems
        raise


def _configuration(of: Patient) -> Iterator[Result]:
    if of.spoiled:
        advice = (
            "Mend it. The service goes on with the settings it has; a start or a reload would refuse these. Where a "
            "value cannot be used, what follows was examined with the default, which need not be what the service has."
        )
        for text in of.spoiled:
            yield problem("configuration", text, advice)
        return
    rows = effective(of.settings)
    given = sum(row.origin != "default" for row in rows)
    yield ok("configuration", f"It can be used: {how_many(given, 'setting')} given, the rest by default.")
    if not of.running_settings:
        return
    differing = [row.key for row in rows if of.running_settings.get(row.key, row.value) != row.value]
    if differing:
        text = f"The running service has other values of {listed(differing, 5)}."
        advice = (
            "`apidanalytics reload` applies the file; or give this command the --config and environment it runs with."
        )
        yield problem("settings in force", text, advice)
    else:
        yield ok("settings in force", "The running service has these settings.")


def _service(of: Patient) -> Iterator[Result]:
    if of.status is None:
        yield skipped("service", "None runs here; it was examined without.")
        return
    serious = [finding for finding in of.status["findings"] if finding["severity"] != "note"]
    for finding in serious:
        yield problem("service", finding["text"], finding["hint"])
    if not serious:
        yield ok("service", f"It runs (pid {of.status['pid']}) and says that all is well.")
