"""Trouble is said once, and its end too."""

from structlog.testing import capture_logs

from apidanalytics.scopes.trouble import Lasting, Trouble


def test_trouble_that_lasts_is_one_line_and_its_end_another() -> None:
    trouble = Trouble("scopes.source", "look at the file")
    with capture_logs() as lines:
        for _ in range(3):
            trouble.begin("no such file", source="a.yaml")
        for _ in range(3):
            trouble.end(source="a.yaml")
    assert lines == [
        {
            "event": "scopes.source_failed",
            "reason": "no such file",
            "hint": "look at the file",
            "source": "a.yaml",
            "log_level": "warning",
        },
        {"event": "scopes.source_mended", "source": "a.yaml", "log_level": "info"},
    ]


def test_another_reason_is_said() -> None:
    trouble = Trouble("scopes.source", "")
    with capture_logs() as lines:
        for reason in ("line 1", "line 1", "line 2", "line 1"):
            trouble.begin(reason)
    assert [line["reason"] for line in lines] == ["line 1", "line 2", "line 1"]


def test_it_lasts_since_it_began_whatever_its_reason() -> None:
    times = iter([7.0])
    trouble = Trouble("scopes.source", "", lambda: next(times))
    for reason in ("line 1", "line 2"):
        trouble.begin(reason)
        assert trouble.now == Lasting(reason=reason, since=7.0)


def test_nothing_is_said_of_an_end_without_trouble() -> None:
    with capture_logs() as lines:
        Trouble("scopes.source", "").end()
    assert lines == []
