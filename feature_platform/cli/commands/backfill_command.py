"""``feature-platform backfill``: do now, in this process, what ``plan`` shows."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import CAUSES, VIEWS, feast_command
from feature_platform.cli.run_reports import show_reports
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.errors import FeaturePlatformError

if TYPE_CHECKING:
    from feature_platform.orchestration.graph.feast_graph import FeastGraph
    from feature_platform.orchestration.watch.automation_settings import Cause


@feast_command(
    "backfill",
    VIEWS,
    CAUSES,
    click.option("--max-runs", type=click.IntRange(1), help="Stop after that many runs."),
)
def command(
    place: SettingsPlace,
    *,
    views: Sequence[str],
    causes: "Sequence[Cause]",
    max_runs: int | None,
    as_json: bool,
) -> int:
    """Do now, in this process, what plan shows: newest windows first, in ranges."""
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.repair_preview import preview
    from feature_platform.orchestration.runs.run_views import RunReport, run_views
    from feature_platform.orchestration.watch.automation_settings import CAUSES as ALL_CAUSES
    from feature_platform.registry.registry_apply import apply

    location = place.load()
    graph = location.graph
    chosen = choose_views(graph, views)
    reports: list[RunReport] = []
    done: set[tuple[str, str, str]] = set()
    with dagster_instance() as instance:
        for cause in causes or ALL_CAUSES:
            # Read again for each cause: the runs of one may have repaired the next.
            (found,) = preview(location, instance, chosen, [cause], datetime.now(UTC))
            try:
                if found.error is not None:
                    raise found.error
                if found.tick.change is not None:
                    apply(graph.project.store(), graph.project.contents)
            except FeaturePlatformError as error:  # one cause's trouble is not another's
                reports.append(RunReport.failed(error))
                continue
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
                try:
                    report = run_views(location, names, repair.span, instance, quiet=as_json)
                except FeaturePlatformError as error:  # one run's trouble is not another's
                    report = RunReport.failed(error)
                reports.append(report)
                done |= {(name, repair.first, repair.last) for name in names}
    return show_reports(reports, as_json=as_json)


def _readers(graph: "FeastGraph", sources: Sequence[str], views: Sequence[str]) -> list[str]:
    """Views whose run also materializes one of the sources, in the source's own partitions."""
    return [
        name
        for name in views
        if any(
            each.name in sources and each.partitions == graph.materializable[name].partitions
            for each in graph.materializable[name].sources
        )
    ]
