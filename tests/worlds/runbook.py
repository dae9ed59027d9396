"""Pages of docs/runbooks, and their commands, run as they stand there."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.testing import CliRunner
from worlds.places import ROOT

from feature_platform.cli import main

RUNBOOKS = ROOT / "docs" / "runbooks"
OURS = "feature-platform"
# What stands for a value in a page, such as VIEW in `--view VIEW`.
_BLANK = re.compile(r"\b[A-Z][A-Z_]+\b")


def command_of(name: str) -> click.Command:
    """A subcommand of the command line."""
    command = main.get_command(click.Context(main), name)
    assert command is not None, name
    return command


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    text: str


class Runbook:
    """A page; only what it says can be run from it."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.text = (RUNBOOKS / page).read_text()
        fenced = re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        said = [block for language, block in fenced if not language]
        lines = [line for block in said for line in block.splitlines() if line.strip()]
        # Beside a command the page may say what it is for, two blanks or more away.
        self.commands = [re.split(r"\s{2,}", line.strip())[0] for line in lines]
        self.ran: set[str] = set()

    def run(self, command: str, **values: str) -> Answer:
        """Run one of the page's commands in this process, its blanks filled in."""
        [program, *arguments] = self.filled(command, values)
        assert program == OURS
        result = CliRunner().invoke(main, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.output)

    def start(self, command: str, **values: str) -> "subprocess.Popen[str]":
        """Start one of the page's commands as people do, in a process of its own."""
        [program, *arguments] = self.filled(command, values)
        return subprocess.Popen(
            [str(Path(sys.executable).parent / program), *arguments],
            env=dict(os.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def filled(self, command: str, values: dict[str, str]) -> list[str]:
        """The words of a command of the page."""
        assert command in self.commands, f"{self.page} does not say: {command}"
        self.ran.add(command)
        blanks = set(_BLANK.findall(command))
        assert blanks == values.keys(), f"{command}: give {sorted(blanks)}"
        filled = _BLANK.sub(lambda found: values[found.group()], command)
        return shlex.split(filled)
