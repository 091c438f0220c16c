"""Fail when the pinned requirements are out of step with what they were made from. Asks no registry."""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;]+)(?: ; [^\\]+)?(?P<more> \\)?")
HASH = re.compile(r" +--hash=sha256:[0-9a-f]{64}(?P<more> \\)?")


def wanted_to_run() -> list[Requirement]:
    """Return what the service needs: the only place for it is pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def wanted_by_extras() -> list[Requirement]:
    """Return what the extras need, which the tests try all of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for extra in project["optional-dependencies"].values() for text in extra]


def wanted_to_develop() -> list[Requirement]:
    """Return what dev.in names, and what the extras need."""
    return wanted_in("dev.in") + wanted_by_extras()


def wanted_in(name: str) -> list[Requirement]:
    """Return what a file of requirements names."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def read_pins(name: str, problems: list[str]) -> dict[str, str]:
    """Return {name: version} of a compiled file; every pin must have a hash, and nothing else may stand in it."""
    pins: dict[str, str] = {}
    hashed: set[str] = set()
    current = ""
    for number, line in enumerate((ROOT / "requirements" / name).read_text().splitlines(), start=1):
        if match := PIN.fullmatch(line):
            current = canonicalize_name(match["name"])
            pins[current] = match["version"]
        elif HASH.fullmatch(line):
            hashed.add(current)
        elif line.strip() and not line.lstrip().startswith("#"):
            problems.append(f"{name}:{number}: neither a pin nor a hash: {line}")
    problems += [f"{name}: {pin} has no hash" for pin in sorted(pins.keys() - hashed)]
    return pins


def unmet(wanted: list[Requirement], pins: dict[str, str], name: str) -> Iterator[str]:
    """Yield what is wanted and not pinned, or pinned at a version that is not wanted."""
    for requirement in wanted:
        version = pins.get(canonicalize_name(requirement.name))
        if version is None:
            yield f"{name}: {requirement.name} is not pinned"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{name}: {requirement} is wanted, {version} is pinned"


def left_over(wanted: list[Requirement], name: str) -> Iterator[str]:
    """Yield what the compiled file pins for its own sake although nothing names it any more."""
    names = {canonicalize_name(requirement.name) for requirement in wanted}
    text = (ROOT / "requirements" / name).read_text()
    for block in re.split(r"\n(?=\S)", text):
        direct = re.search(r"(apidanalytics \(pyproject\.toml\)|-r requirements/dev\.in)", block)
        match = PIN.match(block)
        if direct and match and canonicalize_name(match["name"]) not in names:
            yield f"{name}: {match['name']} is pinned, but nothing names it"


def main() -> int:
    """Print every problem; return 1 when there is one."""
    problems: list[str] = []
    run, develop = read_pins("run.txt", problems), read_pins("dev.txt", problems)
    problems += unmet(wanted_to_run(), run, "run.txt")
    problems += unmet(wanted_to_run() + wanted_to_develop(), develop, "dev.txt")
    problems += left_over(wanted_to_run(), "run.txt")
    problems += left_over(wanted_to_run() + wanted_to_develop(), "dev.txt")
    problems += [
        f"dev.txt: {name} is {develop.get(name)}, run.txt has {version}"
        for name, version in run.items()
        if develop.get(name) != version
    ]
    problems += unmet(wanted_in("fuzz.in"), read_pins("fuzz.txt", problems), "fuzz.txt")
    image, build = read_pins("image.txt", problems), read_pins("build.txt", problems)
    problems += unmet(wanted_to_run() + wanted_by_extras(), image, "image.txt")
    problems += [
        f"{file}: {name} is {version}, dev.txt has {develop.get(name)}"
        for file, pins in (("image.txt", image), ("build.txt", build))
        for name, version in pins.items()
        if develop.get(name) != version
    ]
    print("\n".join([*problems, "Run `make lock`."]) if problems else "Requirements are pinned and in step.")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
