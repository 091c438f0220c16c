"""The equation, by tenant, in records and bytes of lines.

    accepted = spooled + staged + failed + uploaded + set aside + dropped by policy

``accepted`` is the ledger's total and what lies in spools that it has not counted yet. A spool that it has counted and
that is not all staged adds, as spooled, what is still missing of it. What was set aside without anybody knowing its
records (a damaged stretch) was never accepted, and is not in the equation.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from apidanalytics.audit.difference import Difference, Kind
from apidanalytics.audit.spools import Amounts
from apidanalytics.upload.snapshot import Totals
from apidanalytics.upload.states import Count, State

SPOOLED: Final = "spooled"
ACCEPTED: Final = str(State.ACCEPTED)
PARTS: Final = (
    SPOOLED,
    *(str(s) for s in (State.STAGED, State.FAILED, State.UPLOADED, State.SET_ASIDE, State.DROPPED)),
)
"""The right side of the equation."""

Book = dict[str, Count]
"""One tenant's counts, by the words of the equation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the ledger says, as far as the equation needs it."""

    totals: Totals
    sums: Totals
    unreadable_bytes: Mapping[str, int]


def books(ledger: Ledger, uncounted: Iterable[Amounts], unstaged: Iterable[Amounts]) -> dict[str, Book]:
    """Return every tenant's book.

    ``uncounted``: spools that the ledger has not accepted; ``unstaged``: what is missing of those that it has.
    """
    made: dict[str, Book] = {}
    for tenant, states in ledger.totals.items():
        made[tenant] = {word: states.get(State(word), Count()) for word in (ACCEPTED, *PARTS) if word != SPOOLED}
        made[tenant][SPOOLED] = Count()
        _take(made[tenant], str(State.SET_ASIDE), ledger.unreadable_bytes.get(tenant, 0))
    for amounts in uncounted:
        _add(made, amounts, (ACCEPTED, SPOOLED))
    for amounts in unstaged:
        _add(made, amounts, (SPOOLED,))
    return made


def missing(content: Amounts, staged: Amounts) -> Amounts:
    """Return what of a spool's content is not staged yet."""
    return {
        tenant: (records - staged.get(tenant, (0, 0))[0], size - staged.get(tenant, (0, 0))[1])
        for tenant, (records, size) in content.items()
    }


def differences(made: Mapping[str, Book], ledger: Ledger) -> Iterator[Difference]:
    """Yield where the equation does not hold, and where the ledger contradicts itself."""
    for tenant, book in sorted(made.items()):
        yield from _unequal(tenant, book)
    for tenant in sorted(ledger.totals.keys() | ledger.sums.keys()):
        yield from _contradictions(tenant, ledger.totals.get(tenant, {}), ledger.sums.get(tenant, {}))


def _unequal(tenant: str, book: Book) -> Iterator[Difference]:
    accepted = book[ACCEPTED]
    records, size = sum(book[word].records for word in PARTS), sum(book[word].bytes for word in PARTS)
    if (accepted.records, accepted.bytes) == (records, size):
        return
    parts = ", ".join(f"{book[word].records} {word.replace('_', ' ')}" for word in PARTS if book[word] != Count())
    sentence = (
        f"{tenant or 'no tenant'}: {accepted.records} records ({accepted.bytes} bytes) were accepted,"
        f" but {records} ({size} bytes) are accounted for: {parts or 'none'}."
    )
    yield Difference(kind=Kind.BOOKS, tenant=tenant, subject="equation", sentence=sentence)


def _contradictions(tenant: str, totals: Mapping[State, Count], sums: Mapping[State, Count]) -> Iterator[Difference]:
    for state in (State.STAGED, State.FAILED, State.UPLOADED, State.SET_ASIDE, State.DROPPED):
        total, found = totals.get(state, Count()), sums.get(state, Count())
        forgets = state in {State.UPLOADED, State.DROPPED}
        if _covers(total, found) if forgets else total == found:
            continue
        sentence = (
            f"{tenant or 'no tenant'}: the ledger's total of {state.replace('_', ' ')} is {total.records} records in"
            f" {total.files} files, and its rows add up to {found.records} in {found.files}."
        )
        yield Difference(kind=Kind.TOTALS, tenant=tenant, subject=str(state), sentence=sentence)


def _covers(total: Count, found: Count) -> bool:
    return total.records >= found.records and total.bytes >= found.bytes and total.files >= found.files


def _add(made: dict[str, Book], amounts: Amounts, words: Iterable[str]) -> None:
    for tenant, (records, size) in amounts.items():
        book = made.setdefault(tenant, {word: Count() for word in (ACCEPTED, *PARTS)})
        for word in words:
            count = book[word]
            book[word] = Count(count.records + records, count.bytes + size, count.files + (records > 0))


def _take(book: Book, word: str, size: int) -> None:
    count = book[word]
    book[word] = Count(count.records, count.bytes - size, count.files)
