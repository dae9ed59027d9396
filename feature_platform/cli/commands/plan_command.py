"""``feature-platform plan``: what automation would start now, without starting it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from feature_platform.cli.context import graph_and_views
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.runs.repair_preview import Found, applied, look
from feature_platform.orchestration.watch.automation_settings import CAUSES, Cause


def run(
    *,
    views: Sequence[str],
    causes: Sequence[Cause],
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Print it; 0 if there is nothing to do, else 1."""
    graph, chosen = graph_and_views(repo, profile, start_date, views)
    with dagster_instance() as instance:
        found = look(graph, instance, chosen, causes or CAUSES, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps([plain(each) for each in found]))
    else:
        show(found)
    return 0 if all(_well(each) for each in found) else 1


def plain(found: Found) -> dict[str, object]:
    """For machines."""
    plan, change = found.tick.plan, found.tick.change
    return {
        "cause": found.cause,
        "apply": None
        if change is None
        else {
            "added": list(change.added),
            "updated": list(change.updated),
            "deleted": list(change.deleted),
        },
        "runs": [
            {
                "why": found.why(each),
                "views": list(each.views),
                "sources": list(each.sources),
                "first": each.first,
                "last": each.last,
                "windows": each.windows,
                "start": each.span.start.isoformat(),
                "end": each.span.end.isoformat(),
            }
            for each in found.repairs
        ],
        "windows_under_way": plan.underway,
        "windows_waiting": plan.waiting,
        "windows_given_up": plan.all_given_up,
        "notes": plan.notes,
    }


def show(found: Sequence[Found]) -> None:
    """For people: a line a run, then what is not started and why."""
    if all(_well(each) for each in found):
        click.echo("Nothing to do.")
    for each in found:
        if each.tick.change is not None:
            click.echo(f"{'apply':<20} {applied(each.tick)}")
        for repair in each.repairs:
            names = ", ".join((*repair.views, *repair.sources))
            span = repair.first if repair.windows == 1 else f"{repair.first} to {repair.last}"
            windows = f"{repair.windows} window{'s' * (repair.windows > 1)}"
            click.echo(f"{each.why(repair):<20} {span:<26} {windows:<12} {names}")
        plan = each.tick.plan
        for count, said in (
            (plan.underway, "under way"),
            (plan.waiting, "wait for another try"),
            (plan.all_given_up, "given up: see their runs, then `feature-platform backfill`"),
        ):
            if count:
                click.echo(f"{each.label:<20} {count} windows {said}")
        for note in plan.notes:
            click.secho(f"{each.label:<20} {note}", fg="yellow")


def _well(found: Found) -> bool:
    plan = found.tick.plan
    idle = not (plan.underway or plan.waiting or plan.all_given_up or plan.notes)
    return found.tick.change is None and not found.repairs and idle
