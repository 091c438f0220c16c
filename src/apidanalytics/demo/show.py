"""Show the play while it runs: a live screen on a terminal, plain lines of progress anywhere else."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from apidanalytics.demo.scene import Event, Scene

BARS: Final = "▁▂▃▄▅▆▇█"
EVENTS: Final = 8
LINE_EVERY_SECONDS: Final = 3.0


class Show(Protocol):
    """Who watches."""

    def opened(self) -> AbstractContextManager[object]:
        """Return the time of the show: entered before the first event, left before the report."""

    def tell(self, text: str, *, is_alarming: bool = False) -> None:
        """Show an event."""

    def look(self) -> None:
        """Show the scene as it is now; called a few times a second."""


def show_for(console: Console, scene: Scene) -> Show:
    """Return the show that suits where the output goes."""
    return LiveShow(console, scene) if console.is_terminal else PlainShow(console, scene)


class LiveShow:
    """One screen that changes in place."""

    def __init__(self, console: Console, scene: Scene) -> None:
        self._scene = scene
        self._console = console

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the screen; afterwards only the events stay on it."""
        with Live(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True):
            yield
        self._console.print(*map(_event, self._scene.events), sep="\n")

    def tell(self, text: str, *, is_alarming: bool = False) -> None:
        """Add a line to the events."""
        self._scene.events.append(Event(self._scene.seconds, text, is_alarming))

    def look(self) -> None:
        """Do nothing: the screen refreshes by itself."""

    def _render(self) -> RenderableType:
        return render(self._scene)


class PlainShow:
    """A line for each event, and one every few seconds."""

    def __init__(self, console: Console, scene: Scene) -> None:
        self._console = console
        self._scene = scene
        self._next_at = LINE_EVERY_SECONDS

    def opened(self) -> AbstractContextManager[object]:
        """Need no preparation."""
        return nullcontext()

    def tell(self, text: str, *, is_alarming: bool = False) -> None:
        """Print the event."""
        event = Event(self._scene.seconds, text, is_alarming)
        self._scene.events.append(event)
        self._console.print(_event(event))

    def look(self) -> None:
        """Print how far it is, when a few seconds have passed since the last time."""
        if self._scene.seconds < self._next_at:
            return
        self._next_at = self._scene.seconds + LINE_EVERY_SECONDS
        total = self._scene.total()
        counts = f"{total.acknowledged:,} accepted, {self._scene.lines():,} in the lake"
        self._console.print(_event(Event(self._scene.seconds, f"{self._scene.phase}: {counts}")))


def render(scene: Scene) -> RenderableType:
    """Return the live screen."""
    return Group(_head(scene), _tenants(scene), Text(), *map(_event, scene.events[-EVENTS:]))


def _head(scene: Scene) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=scene.share, width=30)
    now = f"{scene.rates[-1]:,.0f} records/s" if scene.rates else ""
    grid.add_row(Text(scene.phase, style="bold"), bar, Text(now))
    return Group(grid, Text(sparkline(scene.rates), style="green", no_wrap=True))


def _tenants(scene: Scene) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("tenant", no_wrap=True)
    for name in ("sent", "accepted", "refused", "unanswered", "in the lake"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for tenant in scene.tenants:
        table.add_row(tenant, *_live_row(scene, tenant))
    return table


def _live_row(scene: Scene, tenant: str) -> Iterable[RenderableType]:
    tally, lines = scene.tallies.get(tenant), scene.lake_lines.get(tenant, 0)
    if tally is None:
        return ()
    counts = (tally.sent, tally.acknowledged, tally.refused, tally.unanswered, lines)
    bar = ProgressBar(total=max(1, tally.acknowledged), completed=min(lines, tally.acknowledged), width=16)
    return (*(f"{count:,}" for count in counts), bar)


def _event(event: Event) -> Text:
    return Text(f"{event.seconds:6.1f} s  {event.text}", style="bold red" if event.is_alarming else "")


def sparkline(values: Iterable[float]) -> str:
    """Return the values as a row of bars, the largest the highest."""
    numbers = list(values)
    top = max(numbers, default=0.0) or 1.0
    return "".join(BARS[round(value / top * (len(BARS) - 1))] for value in numbers)
