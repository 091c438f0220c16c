"""The rooms of docs/architecture.md are those of the house, from top to bottom; CONTRIBUTING.md has every target."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/apidanalytics"
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
ROWS = re.findall(r"^\| (`[^|]+`) \|", ARCHITECTURE.partition("## The rooms")[2].partition("\n## ")[0], re.MULTILINE)
LISTED = [name.removesuffix("/").removesuffix(".py") for row in ROWS for name in re.findall(r"`([^`]+)`", row)]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
FLOORS = next(contract["layers"] for contract in CONTRACTS if contract["id"] == "floors")


def test_the_page_has_every_room_and_every_module_of_the_floor_and_no_other():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert sorted(LISTED) == sorted(rooms | modules)


def test_imports_go_down_the_page():
    floor_of = {name: number for number, floor in enumerate(FLOORS) for name in re.findall(r"\w+", floor)}
    basement = {name for floor in FLOORS[-3:] for name in re.findall(r"\w+", floor)}
    floors = [floor_of[name] for name in LISTED if name not in basement]
    assert floors == sorted(floors)


@pytest.mark.parametrize("stage", ["ingest", "spool", "pack", "upload"])
def test_a_stage_says_where_each_of_its_modules_stands_on_the_way(stage):
    text = (PACKAGE / stage / "__init__.py").read_text()
    modules = {path.stem for path in (PACKAGE / stage).glob("*.py") if path.stem != "__init__"}
    assert set(re.findall(r"``([a-z_]+)``", text)) == modules


def test_every_target_of_the_makefile_is_explained():
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    explained = re.findall(r"^\| `make ([a-z0-9-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(targets) - {"help"} == set(explained)
