"""docs/limits.md has every limit that is fixed, with its value."""

import importlib
import re
from fractions import Fraction
from pathlib import Path

import pytest

from tests.harness import ROOT

SOURCE = ROOT / "src" / "apidanalytics"
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
ROW = re.compile(r"^\| .+ \| (?P<number>[0-9.,]+) ?(?P<unit>\w*) \| `(?P<constant>[\w/]+\.\w+)` \|", re.MULTILINE)
LIMIT = re.compile(r"^((?:MAX|MOST|LONGEST)_\w+)(?:: Final)? = ", re.MULTILINE)
FOR_THE_EYE = {"cli", "demo", "doctor"}
"""What these bound is how much is shown."""
DEFAULT_OF_A_SETTING = {"ingest/edit.MAX_MEMBERS"}
ROWS = {match["constant"]: match for match in ROW.finditer((ROOT / "docs/limits.md").read_text())}


def limits_in(directory: Path) -> set[str]:
    """Return the public constants whose names say that they are limits, as ``room/module.NAME``."""
    return {
        f"{path.relative_to(directory).with_suffix('')}.{name}"
        for path in directory.rglob("*.py")
        if path.relative_to(directory).parts[0] not in FOR_THE_EYE
        for name in LIMIT.findall(path.read_text())
    }


def test_every_limit_without_a_setting_is_in_the_table():
    assert limits_in(SOURCE) - DEFAULT_OF_A_SETTING - ROWS.keys() == set()


def test_a_limit_that_is_in_no_table_is_found(tmp_path):
    (tmp_path / "upload").mkdir()
    (tmp_path / "upload" / "new.py").write_text("MAX_NEW: Final = 3\n_MAX_INNER = 4\n")
    assert limits_in(tmp_path) == {"upload/new.MAX_NEW"}


@pytest.mark.parametrize("constant", ROWS)
def test_the_table_has_the_value_of_the_constant(constant):
    row = ROWS[constant]
    module, _, name = constant.rpartition(".")
    value = getattr(importlib.import_module(f"apidanalytics.{module.replace('/', '.')}"), name)
    assert Fraction(row["number"].replace(",", "")) * UNITS.get(row["unit"], 1) == Fraction(str(value))
