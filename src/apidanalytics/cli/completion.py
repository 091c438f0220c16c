"""``apidanalytics completion``: what a shell needs to complete commands and options."""

import argparse

import shtab

from apidanalytics.cli.exit_code import ExitCode


def run(parser: argparse.ArgumentParser, shell: str) -> int:
    """Print the script; it goes to where the shell looks, or through ``eval``."""
    print(shtab.complete(parser, shell))
    return ExitCode.OK
