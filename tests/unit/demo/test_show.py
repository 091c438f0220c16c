"""What the audience sees."""

import io
import re

import pytest
from rich.console import Console

from apidanalytics.demo import lake, show, summary
from apidanalytics.demo.check import Oracle
from apidanalytics.demo.play import Tally
from apidanalytics.demo.scene import Kill, Scene
from tests.unit.demo import cast
from tests.unit.demo.cast import delivered, record


@pytest.fixture
def scene(tmp_path):
    return Scene(
        directory=tmp_path,
        tenants=("acme~prod", "globex~prod"),
        tallies={"acme~prod": Tally(sent=1300, acknowledged=1234, refused=60, unanswered=6)},
        lake_lines={"acme~prod": 617},
        phase="playing traffic",
    )


def console(*, is_terminal=False):
    return Console(file=io.StringIO(), width=150, force_terminal=is_terminal, color_system=None, highlight=False)


def text_of(console):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def test_a_terminal_gets_a_live_screen_and_everything_else_lines(scene):
    assert isinstance(show.show_for(console(is_terminal=True), scene), show.LiveShow)
    assert isinstance(show.show_for(console(), scene), show.PlainShow)


def test_the_live_screen_shows_each_tenant_and_the_latest_events(scene):
    page = console(is_terminal=True)
    watcher = show.LiveShow(page, scene)
    scene.rates.extend([10, 4000])
    for number in range(20):
        watcher.tell(f"event-{number}.")
    watcher.look()
    page.print(show.render(scene))
    text = text_of(page)
    assert re.search(r"acme~prod +1,300 +1,234 +60 +6 +617", text)
    assert "globex~prod" in text
    assert "4,000 records/s" in text
    assert "event-19." in text
    assert "event-1." not in text


def test_when_the_live_screen_closes_all_events_stay(scene):
    page = console(is_terminal=True)
    watcher = show.LiveShow(page, scene)
    with watcher.opened():
        for number in range(20):
            watcher.tell(f"event-{number}.")
    last = text_of(page).splitlines()[-20:]
    assert [line.split()[-1] for line in last] == [f"event-{number}." for number in range(20)]


def test_plain_lines_come_with_every_event_and_every_few_seconds(scene):
    page = console()
    watcher = show.PlainShow(page, scene)
    with watcher.opened():
        watcher.tell("SIGKILL", is_alarming=True)
        watcher.look()
        scene.started_at -= 3.1
        watcher.look()
        watcher.look()
    first, second = text_of(page).splitlines()
    assert first.endswith("SIGKILL")
    assert second.endswith("playing traffic: 1,234 accepted, 617 in the lake")


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([0, 0], "▁▁"), ([0, 50, 100], "▁▅█"), ([7], "█")], ids=str)
def test_a_sparkline_is_as_high_as_its_values(values, bars):
    assert show.sparkline(values) == bars


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (12_345_678, "12.3 MB"), (5e9, "5.00 GB")]
)
def test_bytes_have_a_unit(count, text):
    assert summary.format_bytes(count) == text


def result(tmp_path, *, lines, complaints=(), kill=None):
    oracle = Oracle(cast.ACCOUNTS)
    oracle.acknowledged(oracle.sent("acme~prod", [record(1), record(2)]))
    cast.put(tmp_path / "lake", "acme~prod", lines)
    files = lake.files(tmp_path / "lake")
    return summary.Result(
        report=oracle.compare(files),
        complaints=complaints,
        kill=kill,
        posts=1,
        zipped=0,
        unanswered=0,
        play_seconds=2.0,
        delivery_seconds=1.5,
        directory=tmp_path,
        files=files,
    )


def page_of(result):
    page = console()
    summary.print_summary(page, result)
    return text_of(page)


GOOD = [delivered(record(1)), delivered(record(2))]


def test_the_last_page_has_the_table_the_place_a_line_and_the_verdict(tmp_path):
    kill = Kill(pid=4711, replaced_seconds=0.8)
    good = result(tmp_path, lines=GOOD, kill=kill)
    text = page_of(good)
    assert good.holds
    assert re.search(r"acme~prod +2 +2 +0 +0 +0 +1", text)
    assert re.search(r"all +2 +2 +0 +0 +0 +1", text)
    assert "4711 got SIGKILL; its successor ran 0.8 s later" in text
    assert str(tmp_path / "lake") in text
    assert '"developer": "dee"' in text
    assert "Every one of 2 acknowledged records is in the lake exactly once" in text


def test_the_line_shown_has_its_api_key_masked(tmp_path):
    line = delivered(record(1, '"client_id":"secret-key"'))
    assert "secret" not in summary.mask(line)
    assert "se…ey" in summary.mask(line)


def test_a_fault_is_counted_named_and_denies_the_verdict(tmp_path):
    bad = result(tmp_path, lines=GOOD[:1])
    text = page_of(bad)
    assert not bad.holds
    assert re.search(r"acme~prod +2 +1 +1 +0 +0 +1", text)
    assert "lost: id-2 of acme~prod" in text
    assert "NOT kept" in text


def test_a_complaint_alone_denies_the_verdict(tmp_path):
    bad = result(tmp_path, lines=GOOD, complaints=["the service ended with exit code 3"])
    assert not bad.holds
    assert "exit code 3" in page_of(bad)


def test_a_worker_that_was_not_replaced_is_said(tmp_path):
    text = page_of(result(tmp_path, lines=GOOD, kill=Kill(pid=1, replaced_seconds=None)))
    assert "was not replaced in time" in text


def test_a_lake_without_a_telling_line_shows_none(tmp_path):
    assert "one line" not in page_of(result(tmp_path, lines=[b"rubbish"]))
