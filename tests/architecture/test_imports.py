"""The import contracts of pyproject.toml hold, and would notice if they did not."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "src"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_goes_down_the_floors():
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("spool/planted.py", "import apidanalytics.pack"),
        ("upload/planted.py", "import apidanalytics.service"),
        ("layout/names.py", "import apidanalytics.model"),
        ("ingest/planted.py", "import aiohttp"),
        ("idempotency/window.py", "import aiohttp"),
        ("service/worker_report.py", "import prometheus_client"),
        ("pack/planted.py", "import rich"),
        ("idempotency/planted.py", "import rich"),
        ("cellar.py", "import apidanalytics.layout"),
    ],
    ids=[
        "stage to stage",
        "upwards",
        "cycle",
        "framework in a worker",
        "framework in a neighbour's",
        "framework in the service's part of a worker",
        "drawing below",
        "drawing beside",
        "module on no floor",
    ],
)
def test_a_planted_import_that_breaks_a_contract_is_found(copy, module, line):
    path = copy / "src/apidanalytics" / module
    path.write_text(f"{line}\n" + (path.read_text() if path.exists() else ""))
    result = lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
