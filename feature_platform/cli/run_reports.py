"""What runs did, as a table or JSON, and the exit code that follows from it."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from feature_platform.orchestration.runs.run_views import RunReport


def show_reports(reports: "Sequence[RunReport]", *, as_json: bool) -> int:
    """Print them; 0 if every run succeeded and every check passed, else 1."""
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], default=str))
    elif reports:
        print_reports(reports)
    else:
        click.echo("Nothing to do.")
    return 0 if all(report.well for report in reports) else 1


def print_reports(reports: "Sequence[RunReport]") -> None:
    """A table of assets and checks, then the checks and steps that failed."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    table = Table(
        Column("asset", no_wrap=True),
        Column("windows", justify="right"),
        Column("check", no_wrap=True),
        "",
        box=box.SIMPLE_HEAD,
    )
    for report in reports:
        for asset, partitions in report.assets.items():
            # The project's name is the same in every row.
            name = asset.partition("/")[2] or asset
            checks = [check for check in report.checks if check.asset == asset]
            table.add_section()
            for row, check in enumerate(checks):
                outcome = "[green]passed" if check.passed else f"[red]{check.severity.lower()}"
                first = (name, str(partitions)) if row == 0 else ("", "")
                table.add_row(*first, check.check, outcome)
            if not checks:
                table.add_row(name, str(partitions), "-", "")
    console.print(table)
    _print_what_is_wrong(console, reports)


def _print_what_is_wrong(console: "Console", reports: "Sequence[RunReport]") -> None:
    for report in reports:
        for check in report.checks:
            if not check.passed:
                console.print(f"[red]{check.asset} {check.check}[/]: {check.description}")
        for failure in report.failures:
            console.print(f"[red]failed[/]: {failure}", highlight=False)
    # Last, where people look: such a run may be green.
    for line in unserved_lines(reports):
        console.print(f"[yellow]nothing went online[/] {line}", highlight=False)


def unserved_lines(reports: "Sequence[RunReport]") -> "Iterator[str]":
    """A line per asset with windows of which nothing went online."""
    for report in reports:
        for asset, reasons in report.unserved.items():
            keys, windows = sorted(reasons), report.assets.get(asset, 0)
            span = keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
            yield f"of {len(keys)} of {windows} windows of {asset} ({span}): {reasons[keys[-1]]}"
