"""Files for a ledger, and what it says of them."""

from apidanalytics.model import StagedFile
from apidanalytics.upload.ledger import Ledger
from apidanalytics.upload.states import Count


def staged(name="f1", *, directory="acme~prod~20260101000000", tenant="acme~prod", start=0, records=3, sha="00"):
    return StagedFile(
        directory=directory,
        name=name,
        tenant=tenant,
        start_at=start,
        records=records,
        bytes=records * 10,
        size_bytes=records,
        sha256=sha,
    )


def opened(path):
    return Ledger.open(path, path.parent / "damaged", 1_000.0)


def number_of(ledger, name="f1", directory="acme~prod~20260101000000"):
    return ledger.files_in(directory)[name].id


def counts(ledger, tenant="acme~prod"):
    return {state.value: count.records for state, count in ledger.totals()[tenant].items() if count != Count()}
