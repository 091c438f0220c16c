"""What the shell is told when a reload is refused."""

import pytest

from apidanalytics.cli import change


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        ({"problems": ["log_level: no"]}, 2, "log_level: no"),
        ({"error": "The service is stopping, or changing already."}, 1, "changing already"),
        ({}, 1, "did not say why"),
    ],
)
def test_only_settings_that_cannot_be_used_are_bad_configuration(answer, code, why, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("APID_LOCAL_STORAGE_PATH", str(tmp_path))
    monkeypatch.setattr(change, "ask", lambda _path, _request: answer)
    assert change.run(None, "reload") == code
    assert why in capsys.readouterr().err
