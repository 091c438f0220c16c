import io
import json
import logging
import os
import re

import pytest
import structlog

from apidanalytics import config
from apidanalytics.telemetry import logs

AT = 1_700_000_000.1239


class FixedClock:
    def now(self) -> float:
        return AT

    def monotonic(self) -> float:
        return 0.0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configure():
    """Return a function that sets up the logs and returns where they go."""

    def set_up(stream=None, *, level="info", form="json", process="agent"):
        out = io.StringIO() if stream is None else stream
        logs.configure(level=level, form=form, process=process, stream=out, clock=FixedClock())
        return out

    return set_up


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_begins_with_time_level_event_process_and_pid(configure):
    out = configure(process="worker-1")
    structlog.get_logger().info("spool.sealed", spool="0a", records=12)
    (line,) = lines(out)
    assert list(line.items()) == [
        ("time", "2023-11-14T22:13:20.123Z"),
        ("level", "info"),
        ("event", "spool.sealed"),
        ("process", "worker-1"),
        ("pid", os.getpid()),
        ("spool", "0a"),
        ("records", 12),
    ]


def test_a_field_with_the_name_of_a_stamp_is_kept_beside_it(configure):
    out = configure()
    structlog.get_logger().info("worker.died", pid=12, process="x", time=1)
    (line,) = lines(out)
    assert (line["pid"], line["its_pid"]) == (os.getpid(), 12)
    assert (line["process"], line["its_process"]) == ("agent", "x")
    assert line["its_time"] == 1


def test_any_value_makes_a_valid_line(configure):
    out = configure()
    structlog.get_logger().info(
        "a.b", path=os.sep, odd="\ud800", many=[1, {2: b"\xff"}], error=OSError(5, "I/O"), no=None
    )
    (line,) = lines(out)
    assert line["many"] == [1, {"2": "\\xff"}]
    assert line["error"] == "OSError: [Errno 5] I/O"
    assert line["no"] is None


def fail(text):
    joined = text.replace("-", "+")
    raise ValueError(text if joined else "")


def test_a_traceback_is_one_field_without_local_variables(configure):
    out = configure()
    try:
        fail("left-right")
    except ValueError:
        structlog.get_logger().exception("a.b")
    (line,) = lines(out)
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: left-right")
    assert "left+right" not in line["exception"]


@pytest.mark.parametrize("form", ["json", "text"])
def test_secrets_are_masked_in_every_form_and_in_tracebacks_too(configure, form):
    out = configure(form=form)
    try:
        fail("GET https://store/key?X-Signature=hidden with Bearer hidden")
    except ValueError:
        structlog.get_logger().exception(
            "upload.failed",
            url="https://store/key?X-Signature=hidden",
            access_token="hidden",
            said={"secret": "hidden"},
        )
    assert "upload.failed" in out.getvalue()
    assert "ValueError: GET https://store/key" in out.getvalue()
    assert "hidden" not in out.getvalue()


def test_text_is_for_people(configure):
    out = configure(form="text")
    structlog.get_logger().warning("disk.full", hint="free some space")
    assert out.getvalue().startswith("22:13:20Z [warning  ] disk.full")
    assert "process=agent" in out.getvalue()
    assert "hint='free some space'" in out.getvalue()


@pytest.mark.parametrize(
    ("stream", "form", "is_json"),
    [
        (io.StringIO, "auto", True),
        (Terminal, "auto", False),
        (Terminal, "json", True),
        (io.StringIO, "text", False),
    ],
)
def test_auto_is_text_on_a_terminal_and_json_otherwise(configure, stream, form, is_json):
    out = configure(stream(), form=form)
    structlog.get_logger().info("a.b")
    assert out.getvalue().startswith("{") is is_json


@pytest.mark.parametrize(
    ("stream", "no_colour", "is_coloured"), [(Terminal, "", True), (Terminal, "1", False), (io.StringIO, "", False)]
)
def test_colours_are_for_terminals_that_want_them(configure, monkeypatch, stream, no_colour, is_coloured):
    monkeypatch.setenv("NO_COLOR", no_colour)
    out = configure(stream(), form="text")
    structlog.get_logger().info("a.b")
    assert ("\x1b[" in out.getvalue()) is is_coloured


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("debug", ["debug", "info", "warning", "error", "critical"]),
        ("info", ["info", "warning", "error", "critical"]),
        ("warning", ["warning", "error", "critical"]),
        ("warn", ["warning", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("fatal", ["critical"]),
        ("panic", ["critical"]),
    ],
)
def test_what_is_below_the_level_is_not_logged(configure, level, logged):
    out = configure(level=level)
    log = structlog.get_logger()
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(log, name)("a.b")
    assert [line["level"] for line in lines(out)] == logged


def test_every_level_and_form_that_can_be_set_can_be_used(configure):
    kinds = {row.key: row.kind for row in config.SETTINGS}
    for level in logs.LEVELS:
        assert kinds["log_level"].parse(level) == level
    for form in ("auto", "text", "json"):
        assert kinds["apidanalytics_log_format"].parse(form) == form
    assert set(re.findall(r"\w+", kinds["log_level"].name)) - {"or"} == set(logs.LEVELS)


def test_a_logger_made_before_is_set_up_as_well(configure):
    log = structlog.get_logger()
    first = configure()
    log.info("a.b")
    second = configure(process="again")
    log.info("c.d")
    assert [line["event"] for line in lines(first)] == ["a.b"]
    assert [line["process"] for line in lines(second)] == ["again"]


def test_libraries_speak_in_the_same_form_from_warnings_on(configure):
    out = configure(level="debug")
    logging.getLogger("asyncio").error("lost %s", "Bearer hidden", exc_info=OSError("gone"))
    logging.getLogger("aiohttp.access").info("GET / 200")
    logging.getLogger("odd").log(35, "between levels")
    first, second = lines(out)
    assert (first["event"], first["message"], first["level"]) == ("library.asyncio", "lost Bearer ***", "error")
    assert "OSError: gone" in first["exception"]
    assert (second["event"], second["level"]) == ("library.odd", "warning")


def test_a_library_that_logs_badly_does_not_fail(configure, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    out = configure()
    logging.getLogger("odd").error("%d", "no number")
    assert out.getvalue() == ""


def test_a_line_that_cannot_be_written_is_lost_and_nothing_else(configure):
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    configure(Full())
    structlog.get_logger().info("a.b")
    closed = configure()
    closed.close()
    structlog.get_logger().info("a.b")


def test_lines_go_to_stderr_unless_told_otherwise(capsys):
    logs.configure(level="info", form="auto", process="agent")
    structlog.get_logger().info("a.b")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "a.b"
