"""docs/commands.md and the parser of the command line say the same: commands, options, exit codes."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from apidanalytics.cli.exit_code import ExitCode
from apidanalytics.cli.main import command_line
from tests.acceptance import exit_codes

TEXT = (Path(__file__).parents[2] / "docs/commands.md").read_text()
SECTIONS = dict(re.findall(r"^### `apidanalytics ([^`]+)`\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL))
SAID_ONCE = {"--help", "--config", "--json", "--version"}
"""In the introduction, for all commands."""


def commands(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command that help lists, with its parser, and of those that only group others the others."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if path and not (below and below[0].required):
        yield " ".join(path), parser
    for action in below:
        listed = {choice.dest for choice in action._choices_actions}
        for name, command in action.choices.items():
            if name in listed:
                yield from commands(command, (*path, name))


def options(parser: argparse.ArgumentParser) -> dict[str, str]:
    """Return each option as the page has it: with what it takes."""
    found = {}
    for action in parser._actions:
        name = action.option_strings[-1] if action.option_strings else ""
        if name and name not in SAID_ONCE:
            takes = "{" + ",".join(action.choices) + "}" if action.choices else action.metavar or action.dest.upper()
            found[name] = name if action.nargs == 0 else f"{name} {takes}"
    return found


COMMANDS = dict(commands(command_line(complete=True)))


def test_the_page_has_every_command_and_no_other_one():
    assert set(SECTIONS) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_every_option_as_it_is_in_the_order_of_help(name):
    documented = re.findall(r"^\| `(--[^`]+)` \|", SECTIONS[name], re.MULTILINE)
    assert documented == list(options(COMMANDS[name]).values())


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_exit_codes_that_exist(name):
    assert ExitCode.OK in codes(name)
    assert codes(name) <= set(ExitCode)


def codes(name: str) -> set[int]:
    """Return what a section says of exit codes."""
    (line,) = re.findall(r"^Exit codes: (.*)\.$", SECTIONS[name], re.MULTILINE)
    return {int(code) for code in re.findall(r"(?<!\S)(\d+)", line)}


def tried() -> Iterator[tuple[str, int]]:
    """Yield each command with an exit code that a test has seen it end with."""
    tables = [exit_codes.RUNNING, exit_codes.STOPPED, exit_codes.LOCKED, exit_codes.NOTHING, exit_codes.NO_SCOPES]
    for table in tables:
        for line, code in table.items():
            words = line.split()
            name = " ".join(words[:2])
            yield name if name in SECTIONS else words[0], code
    yield from exit_codes.ELSEWHERE


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_exactly_the_exit_codes_with_which_the_command_was_seen_to_end(name):
    assert codes(name) == {code for command, code in tried() if command == name}


def test_where_else_exit_codes_are_tried_there_are_tests():
    missing = [place for place in exit_codes.ELSEWHERE.values() if not (Path(__file__).parents[2] / place).is_file()]
    assert not missing


def test_the_introduction_names_the_commands_that_take_no_configuration():
    (line,) = re.findall(r"take no `--config`: (.*)\.$", TEXT, re.MULTILINE)
    without = [name for name, command in COMMANDS.items() if "--config" not in command._option_string_actions]
    assert sorted(re.findall(r"`([^`]+)`", line)) == sorted(without)


def test_the_introduction_says_of_every_command_that_may_end_with_4_when_it_does():
    may = {name.split()[0] for name in SECTIONS if re.search(r"^Exit codes: .*\b4\b", SECTIONS[name], re.MULTILINE)}
    (told,) = re.findall(r"^Where no service runs.*?^(?=`?[^\n]*`doctor`)", TEXT, re.MULTILINE | re.DOTALL)
    assert {name.split()[0] for name in re.findall(r"`([^`]+)`", told)} == may


def test_the_table_has_every_exit_code():
    table = TEXT.partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(ExitCode)
