"""The scope data: whether its source can be read, and what is in force."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from apidanalytics.doctor.patient import Patient
from apidanalytics.doctor.result import Result, ok, problem, skipped
from apidanalytics.errors import LookupFailedError
from apidanalytics.health.words import how_long, how_many, listed
from apidanalytics.scopes.compile import count
from apidanalytics.scopes.source import SourceError
from apidanalytics.scopes.tenants import Flaws
from apidanalytics.service.parts import scope_form
from apidanalytics.service.scope_answers import InForce, in_force, list_scopes


def source(patient: Patient) -> Iterator[Result]:
    """Yield whether the scopes file or the database can be read; Apigee Sync is asked by a check of its own."""
    settings = patient.settings
    if settings.apigeesync_consumer_key is not None:
        return
    form = scope_form(settings, embedded=patient.embedded)
    if form is None:
        text = "There is no source of scope data: every batch gets 500."
        yield problem("scope source", text, "Set apidanalytics_scopes_file, or another source: docs/scopes.md.")
        return
    try:
        with tempfile.TemporaryDirectory(prefix="apidanalytics-doctor-") as directory:
            target = Path(directory) / "scopes.db"
            flaws = form.compile(target)
            counted = count(target)
    except (SourceError, OSError, sqlite3.Error) as error:
        text = f"{form.path} cannot be used: {_reason(error)}."
        yield problem("scope source", text, "Mend the file: docs/scopes.md. Until then the last good version serves.")
        return
    holds = f"{how_many(counted.tenants, 'tenant')} and {how_many(counted.api_keys, 'API key')}"
    if counted.tenants == 0:
        yield problem("scope source", f"{form.path} names no tenant.", "Add its scopes: docs/scopes.md.")
    elif wrong := _wrong(flaws):
        yield problem("scope source", f"{form.path} holds {holds}, but {wrong}.", "Mend these rows: docs/scopes.md.")
    else:
        yield ok("scope source", f"{form.path} holds {holds}.")


def version(patient: Patient) -> Iterator[Result]:
    """Yield which scope data is in force, and whether it can be followed."""
    if patient.status is None:
        found = in_force(patient.settings)
        if found is None:
            yield skipped("scope data", "No scope data was ever taken up here; a start does.")
        else:
            yield ok("scope data", f"A start begins with version {found.known['version']}.")
        return
    scopes = patient.status["scopes"]
    if scopes["version"] is None:
        advice = "Mend the source; it is taken up by itself, and `apidanalytics events` says what is wrong with it."
        yield problem("scope data", "No scope data is in force: every batch gets 500.", advice)
    elif scopes["trouble"]:
        since = how_long(max(patient.status["now"] - scopes["trouble_since"], 0))
        text = f"The source has not been followed for {since}: {scopes['trouble']}."
        yield problem("scope data", text, "The last good version serves meanwhile; mend the source.")
    else:
        yield ok(
            "scope data", f"Version {scopes['version']} is in force, with {how_many(scopes['tenants'], 'tenant')}."
        )


def some_tenant(patient: Patient) -> tuple[str, str] | None:
    """Return org and env to try an upload for: of a tenant that is known; None: none is."""
    found: InForce | None = in_force(patient.settings)
    if found is None:
        return None
    try:
        scopes = list_scopes(found)["scopes"]
    except LookupFailedError:
        return None
    return (scopes[0]["org"], scopes[0]["env"]) if scopes else None


def _wrong(flaws: Flaws) -> str:
    parts = []
    if flaws.incomplete or flaws.not_text:
        rows = flaws.incomplete + flaws.not_text
        parts.append(f"{how_many(rows, 'row')} are no scopes (id, org and env are needed)")
    if flaws.too_long:
        parts.append(f"these names are too long: {listed(sorted(map(str, flaws.too_long)))}")
    if flaws.ambiguous:
        parts.append(f"several tenant ids have the same org and env: {listed(sorted(map(str, flaws.ambiguous)))}")
    if flaws.alike:
        names = listed([" and ".join(names) for names in flaws.alike])
        parts.append(f"uploads cannot tell these tenants from each other: {names}")
    return "; ".join(parts)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error).rstrip(".")
