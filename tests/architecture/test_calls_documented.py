"""The calls of docs/architecture.md, by which a newcomer steps through the code, are there."""

import importlib
import re
from functools import reduce

from tests.harness import ROOT

SECTION = (ROOT / "docs/architecture.md").read_text().partition("## One POST, call by call")[2].partition("\n## ")[0]
CALLS = re.findall(r"`([a-z_]+/[a-z_]+)\.([A-Za-z_.]+)`", SECTION)
THREADS = re.findall(r"thread `([a-z-]+)`", SECTION)
ROWS = [line for line in SECTION.splitlines() if line.startswith("| ") and not line.startswith("| where")]


def test_every_call_on_the_page_is_in_the_code():
    assert len(CALLS) >= len(ROWS) > 0
    for module, name in CALLS:
        room = importlib.import_module(f"apidanalytics.{module.replace('/', '.')}")
        assert callable(reduce(getattr, name.split("."), room)), f"{module}.{name}"


def test_every_thread_on_the_page_has_its_name_in_the_code():
    code = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert [name for name in THREADS if f'"{name}"' not in code] == []
