"""``feature-platform materialize``: windows of views, through the asset graph."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from feature_platform.cli.context import graph_and_views
from feature_platform.cli.moments import parse_window
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.runs.run_views import RunReport, run_views
from feature_platform.repo.cadences import shortest_first


def run(
    *,
    views: Sequence[str],
    start: str,
    end: str,
    allow_failed_checks: bool,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Run it; 0 if everything was put online and every check passed, else 1."""
    window = parse_window(start, end)
    graph, chosen = graph_and_views(repo, profile, start_date, views)
    reports: list[RunReport] = []
    with dagster_instance() as instance:
        current: set[str] = set()
        # The shorter ones first: a source that both read has their partitions.
        for cadence in shortest_first():
            names = [name for name in chosen if graph.settings(name).partitions == cadence]
            if names:
                reports.append(
                    run_views(
                        graph,
                        names,
                        window,
                        instance,
                        allow_failed_checks=allow_failed_checks,
                        quiet=as_json,
                        current=current,
                    )
                )
                current |= {
                    each.name for name in names for each in graph.materializable[name].sources
                }
    well = all(report.succeeded for report in reports)
    passed = all(check.passed for report in reports for check in report.checks)
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], default=str))
    else:
        print_report(reports)
    return 0 if well and passed else 1


def print_report(reports: Sequence[RunReport]) -> None:
    """A table of assets and checks, then what failed."""
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
                said = "[green]passed" if check.passed else f"[red]{check.severity.lower()}"
                first = (name, str(partitions)) if row == 0 else ("", "")
                table.add_row(*first, check.check, said)
            if not checks:
                table.add_row(name, str(partitions), "-", "")
    console.print(table)
    for report in reports:
        for check in report.checks:
            if not check.passed:
                console.print(f"[red]{check.asset} {check.check}[/]: {check.description}")
        for failure in report.failures:
            console.print(f"[red]failed[/]: {failure}", highlight=False)
