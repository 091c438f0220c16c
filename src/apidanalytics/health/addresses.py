"""How the addresses are: who may come in, how long their certificates are good, and whether they are served."""

from collections.abc import Iterator
from typing import Final

from apidanalytics.health.facts import Facts
from apidanalytics.health.findings import Finding, Severity
from apidanalytics.health.words import how_long

SOON_SECONDS: Final = 14 * 86400.0
"""A certificate that is good for less is worth a warning."""
_WHO: Final = "clients that check it"


def access(facts: Facts) -> Iterator[Finding]:
    """Judge who may send batches."""
    found = facts.access
    if found.is_open:
        yield Finding(
            code="open_api",
            severity=Severity.WARNING,
            text="Other machines can reach the data API, and it asks neither for tokens nor for client certificates.",
            hint="Set apidanalytics_api_tokens_file, or apidanalytics_api_client_ca with a certificate.",
        )
    if found.tokens_in_clear:
        yield Finding(
            code="tokens_in_clear",
            severity=Severity.WARNING,
            text="The bearer tokens of the data API travel in the clear.",
            hint="Set api_tls_cert and api_tls_key, unless something in front of it speaks TLS.",
        )
    if found.trouble:
        since = facts.now - (found.trouble_since or facts.now)
        yield Finding(
            code="tokens_stale",
            severity=Severity.WARNING,
            text=f"The file of the API tokens could not be used for {how_long(since)}: {found.trouble}.",
            hint="The tokens of before stay in force, also those that were taken out since. Mend the file.",
            since=found.trouble_since,
        )


def certificates(facts: Facts) -> Iterator[Finding]:
    """Judge the certificates that are shown: whoever checks them does not connect once they have expired."""
    for one in facts.certificates:
        left = one.good_until - facts.now
        renew = "Have it renewed, then `apidanalytics reload` takes it up."
        if left <= 0:
            yield Finding(
                code="certificate_expired",
                severity=Severity.TROUBLE if one.is_for_batches else Severity.WARNING,
                text=f"The certificate of {one.address} expired {how_long(-left)} ago: {_WHO} do not connect.",
                hint=renew,
                since=one.good_until,
            )
        elif left < SOON_SECONDS:
            yield Finding(
                code="certificate_expires",
                severity=Severity.WARNING,
                text=f"The certificate of {one.address} expires in {how_long(left)}; then {_WHO} do not connect.",
                hint=renew,
            )


def administration(facts: Facts) -> Iterator[Finding]:
    """Report that the status page is not served: nobody sees that but who asks at the shell."""
    if facts.state == "running" and facts.admin_taken is not None:
        yield Finding(
            code="admin_port_taken",
            severity=Severity.WARNING,
            text=f"Another program listens on {facts.admin_taken}: the status page and the metrics are not served.",
            hint="`ss -ltnp` says which. End it, or set apidanalytics_admin_listen; it is tried again all the time. "
            "Batches are taken meanwhile.",
        )
