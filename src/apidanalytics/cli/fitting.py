"""A table where there is room (as in a pipe); else a few lines for each row, the name first and nothing left out."""

from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from apidanalytics.cli.drawing import NUMBERS

LEAST: Final = {"scope": 36, "tenant id": 36}
"""Characters of a uuid: folded, it could be neither read nor copied."""
LEAST_OF_TEXT: Final = 20
"""Characters that a column of text has in a table at least; of longer ones the rest is folded."""
UNBOUNDED: Final = 1 << 20
INDENT: Final = 2
GAP: Final = "   "
NOTHING: Final = frozenset({"", "-"})


class Fitting:
    """Draws a table by the room that there is."""

    def __init__(self, drawn: Table, *, keeps_dashes: bool = False) -> None:
        """``keeps_dashes``: also a row of lines says what there is nothing of."""
        self._table = drawn
        self._left_out: frozenset[str] = frozenset() if keeps_dashes else NOTHING

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # A pipe is wide enough for any; to measure a table costs half as much as to draw it.
        if not console.is_terminal or _least_width(self._table, console, options) <= options.max_width:
            yield self._table
        else:
            yield from self._as_lines(options.max_width - INDENT)

    def _as_lines(self, width: int) -> Iterator[RenderableType]:
        if self._table.title:
            yield Text(str(self._table.title), style="italic")
        headers = [str(column.header) for column in self._table.columns]
        rows = zip(*(map(_text, column.cells) for column in self._table.columns), strict=True)
        for row, (head, *others) in zip(self._table.rows, rows, strict=True):
            name = _named(headers[0], head) if headers[0] in NUMBERS else head
            yield Text.assemble(name, style=row.style or "")
            told = [pair for pair in zip(headers[1:], others, strict=True) if pair[1].plain not in self._left_out]
            for line in _packed(starmap(_named, told), width):
                yield Padding.indent(line, INDENT)


def _least_width(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Return the columns of the terminal that it takes, its text folded as far as that may go."""
    widest = Measurement.get(console, options.update(max_width=UNBOUNDED), table).maximum
    return widest - sum(_foldable(column) for column in table.columns if not column.no_wrap)


def _foldable(column: Column) -> int:
    header = str(column.header)
    widest = max(_text(cell).cell_len for cell in (header, *column.cells))
    return max(widest - LEAST.get(header, LEAST_OF_TEXT), 0)


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _named(header: str, value: Text) -> Text:
    return Text.assemble((f"{header} ", "dim"), value)


def _packed(parts: Iterable[Text], width: int) -> Iterator[Text]:
    """Yield lines with as many parts in each as there is room for; what is longer than a line has one of its own."""
    line = Text()
    for part in parts:
        if line and line.cell_len + len(GAP) + part.cell_len > width:
            yield line
            line = Text()
        line = Text.assemble(line, GAP, part) if line else part
    if line:
        yield line
