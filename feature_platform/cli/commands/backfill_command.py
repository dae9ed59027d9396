"""``feature-platform backfill``: do now, here, what ``plan`` shows."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from feature_platform.cli.commands.materialize_command import print_report
from feature_platform.cli.context import graph_and_views
from feature_platform.orchestration.graph.feast_graph import FeastGraph
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.runs.repair_preview import look
from feature_platform.orchestration.runs.run_views import RunReport, run_views
from feature_platform.orchestration.watch.automation_settings import CAUSES, Cause
from feature_platform.registry.registry_apply import apply


def run(
    *,
    views: Sequence[str],
    causes: Sequence[Cause],
    max_runs: int | None,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Run it, newest windows first; 0 if every run and check was well, else 1."""
    graph, chosen = graph_and_views(repo, profile, start_date, views)
    reports: list[RunReport] = []
    done: set[tuple[str, str, str]] = set()
    with dagster_instance() as instance:
        for cause in causes or CAUSES:
            # Looked at anew: what one cause mended is not wrong for the next.
            (found,) = look(graph, instance, chosen, [cause], datetime.now(UTC))
            if found.tick.change is not None:
                apply(graph.project.store(), graph.project.contents)
            for repair in found.repairs:
                names = [
                    name
                    for name in repair.views or _readers(graph, repair.sources, chosen)
                    if (name, repair.first, repair.last) not in done
                ]
                if not names or (max_runs is not None and len(reports) >= max_runs):
                    continue
                if not as_json:
                    click.echo(f"{', '.join(names)}: {repair.span}", err=True)
                reports.append(run_views(graph, names, repair.span, instance, quiet=as_json))
                done |= {(name, repair.first, repair.last) for name in names}
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], default=str))
    elif reports:
        print_report(reports)
    else:
        click.echo("Nothing to do.")
    passed = all(check.passed for report in reports for check in report.checks)
    return 0 if passed and all(report.succeeded for report in reports) else 1


def _readers(graph: FeastGraph, sources: Sequence[str], views: Sequence[str]) -> list[str]:
    """Views whose run brings a source along, in its partitions."""
    return [
        name
        for name in views
        if any(
            each.name in sources and each.partitions == graph.materializable[name].partitions
            for each in graph.materializable[name].sources
        )
    ]
