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
MANY_MODULES = 9
"""From so many on, the names of the modules alone do not show a newcomer the way."""
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


def modules_of(room: str) -> set[str]:
    return {path.stem for path in (PACKAGE / room).glob("*.py") if path.stem != "__init__"}


def named_in(room: str) -> set[str]:
    return set(re.findall(r"``([a-z_0-9]+)``", (PACKAGE / room / "__init__.py").read_text()))


@pytest.mark.parametrize("stage", ["ingest", "spool", "pack", "upload"])
def test_a_stage_says_where_each_of_its_modules_stands_on_the_way(stage):
    assert named_in(stage) == modules_of(stage)


def test_every_room_with_many_modules_says_what_each_of_them_is_for():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    unexplained = {room: modules_of(room) - named_in(room) for room in rooms if len(modules_of(room)) >= MANY_MODULES}
    assert {room: modules for room, modules in unexplained.items() if modules} == {}


def test_every_target_of_the_makefile_is_explained():
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    explained = re.findall(r"^\| `make ([a-z0-9-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert set(targets) - {"help"} == set(explained)
