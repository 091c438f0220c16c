"""docs/operations.md and the judges say the same: every finding, with its severities, and no other one."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

from apidanalytics.health.findings import Severity

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "docs/operations.md").read_text().partition("\n## Findings\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("| ").split(" | ")] for line in TABLE.splitlines() if line.startswith("| `")
]
DOCUMENTED = {row[0].strip("`"): row for row in ROWS}


def judged() -> dict[str, set[str]]:
    """Return the severities of every finding that is made in the code, by its code."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "src/apidanalytics/health").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                code = given["code"]
                assert isinstance(code, ast.Constant), f"{path.name}: a finding's code is to be written out"
                found[str(code.value)] |= {
                    Severity[part.attr]
                    for part in ast.walk(given["severity"])
                    if isinstance(part, ast.Attribute) and part.attr in Severity.__members__
                }
    return found


JUDGED = judged()


def test_every_finding_is_documented_and_every_documented_one_is_made():
    assert set(DOCUMENTED) == set(JUDGED)
    assert len(ROWS) == len(DOCUMENTED), "one row each"


@pytest.mark.parametrize("code", sorted(DOCUMENTED))
def test_a_row_has_the_severities_of_the_code_a_meaning_and_something_to_do(code):
    _, severity, meaning, to_do = DOCUMENTED[code]
    assert set(severity.split(", ")) == JUDGED[code]
    assert meaning.endswith(".")
    assert to_do.endswith(".")
