"""Each page's commands are commands: as they stand there, the command line takes them."""

import re

import click
import pytest
from worlds.runbook import OURS, RUNBOOKS, Runbook, command_of

PAGES = sorted(path.name for path in RUNBOOKS.glob("*.md"))
BLANKS = {"FILE": "page.html", "DAY": "2026-03-01", "NEXT_DAY": "2026-03-02"}


@pytest.mark.parametrize("page", PAGES)
def test_the_command_line_takes_what_a_page_says(page: str):
    book = Runbook(page)
    for command in book.commands:
        blanks = re.findall(r"\b[A-Z][A-Z_]+\b", command)
        program, name, *options = book.filled(
            command, {blank: BLANKS.get(blank, "some") for blank in blanks}
        )
        assert program == OURS
        known = command_of(name)
        # It raises where an option is unknown, or lacks a value.
        known.make_context(name, options)


def test_an_option_that_is_not_there_would_be_seen():
    with pytest.raises(click.NoSuchOption):
        command_of("status").make_context("status", ["--vew", "some"])
