"""``feature-platform materialize``: windows of views, through the asset graph."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import ALLOW_FAILED_CHECKS, VIEWS, feast_command
from feature_platform.cli.moments import parse_window
from feature_platform.cli.run_reports import show_reports
from feature_platform.cli.settings_place import SettingsPlace

if TYPE_CHECKING:
    from feature_platform.orchestration.runs.run_views import RunReport


@feast_command(
    "materialize",
    VIEWS,
    click.option(
        "--start", required=True, help="First moment, UTC: 2026-03-01 or 2026-03-01T06:00."
    ),
    click.option("--end", required=True, help="Moment after the last one (half-open)."),
    ALLOW_FAILED_CHECKS,
)
def command(
    place: SettingsPlace,
    *,
    views: Sequence[str],
    start: str,
    end: str,
    allow_failed_checks: bool,
    as_json: bool,
) -> int:
    """Build, check, and put windows online through the asset graph, in one run."""
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.run_views import partition_range, run_views
    from feature_platform.repo.cadences import shortest_first

    window = parse_window(start, end)
    location = place.load()
    graph = location.graph
    chosen = choose_views(graph, views)
    for name in chosen:
        # Before anything runs: of a window that fits only some of the views, nothing is online.
        partition_range(graph.materializable[name].partitions, window)
    reports: list[RunReport] = []
    current: set[str] = set()
    with dagster_instance() as instance:
        # Shorter windows first: a source that several views read has the shortest partitions.
        for cadence in shortest_first():
            names = [name for name in chosen if graph.settings(name).partitions == cadence]
            if names:
                report = run_views(
                    location,
                    names,
                    window,
                    instance,
                    allow_failed_checks=allow_failed_checks,
                    quiet=as_json,
                    current=current,
                )
                reports.append(report)
                current |= {
                    each.name for name in names for each in graph.materializable[name].sources
                }
    return show_reports(reports, as_json=as_json)
