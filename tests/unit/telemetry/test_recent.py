"""The last log lines."""

import io

import structlog

from apidanalytics.telemetry import logs
from apidanalytics.telemetry.recent import LONGEST_VALUE, Recent


def test_only_the_newest_lines_are_kept_and_their_numbers_go_on():
    recent = Recent(most_lines=3)
    for number in range(5):
        recent.add({"event": f"e{number}"})
    assert [(number, line["event"]) for number, line in recent.after(0)] == [(3, "e2"), (4, "e3"), (5, "e4")]
    assert [number for number, _ in recent.after(4)] == [5]
    assert [number for number, _ in recent.after(0, most=1)] == [5]


def test_long_values_are_cut_and_odd_ones_are_text():
    recent = Recent()
    recent.add({"long": "x" * 10_000, "list": [1, 2], "number": 7, "nothing": None})
    ((_, line),) = recent.after(0)
    assert len(line["long"]) == LONGEST_VALUE
    assert line["list"] == "[1, 2]"
    assert (line["number"], line["nothing"]) == (7, None)


def test_a_line_is_kept_as_it_is_logged_without_its_secrets_and_not_below_the_level():
    recent, stream = Recent(), io.StringIO()
    logs.configure(level="info", form="json", process="agent", stream=stream, recent=recent)
    structlog.get_logger().info("upload.tried", url="https://store.example/x?signature=abc", token="abc")
    structlog.get_logger().debug("upload.detail")
    ((_, line),) = recent.after(0)
    assert line["event"] == "upload.tried"
    assert line["process"] == "agent"
    assert "abc" not in str(line)
    assert line["at"] > 0
