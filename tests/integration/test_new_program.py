"""What becomes of an upgrade whose new program behaves oddly when it is asked to check the configuration."""

import os
import sys

import pytest

from apidanalytics import config
from apidanalytics.errors import ConfigurationError
from apidanalytics.service import reload


async def problems(tmp_path, program):
    settings = config.load(config_file=None, environ={"APID_LOCAL_STORAGE_PATH": str(tmp_path)}, embedded=True)
    with pytest.raises(ConfigurationError) as refused:
        await reload.check_new_program([sys.executable, "-c", program], settings)
    return refused.value.problems


@pytest.mark.parametrize("output", ["", "ready!", "[]", "3", '{"local_storage_path": "/x"}'])
async def test_a_program_that_says_something_else_than_its_settings_is_refused(tmp_path, output):
    (problem,) = await problems(tmp_path, f"print({output!r})")
    assert problem == "The new program does not say its settings in a form known here"


async def test_a_program_that_does_not_answer_is_refused_and_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(reload, "CHECK_SECONDS", 1.0)
    marked = f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))"
    # The check may be over before a slow machine has started it: then there is no pid, and nothing left either.
    (problem,) = await problems(tmp_path, f"{marked}; time.sleep(60)")
    assert problem == "The new program has not answered within 1 s"
    pid = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
    if pid:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
