"""``feature-platform plan``: which runs automation would start now, without starting them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import CAUSES, VIEWS, feast_command
from feature_platform.cli.settings_place import SettingsPlace

if TYPE_CHECKING:
    from feature_platform.orchestration.runs.repair_preview import Preview
    from feature_platform.orchestration.watch.automation_settings import Cause


@feast_command("plan", VIEWS, CAUSES)
def command(
    place: SettingsPlace, *, views: Sequence[str], causes: "Sequence[Cause]", as_json: bool
) -> int:
    """Show which runs automation would start now, and why; nothing is started."""
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.repair_preview import preview
    from feature_platform.orchestration.watch.automation_settings import CAUSES as ALL_CAUSES

    location = place.load()
    chosen = choose_views(location.graph, views)
    with dagster_instance() as instance:
        found = preview(location, instance, chosen, causes or ALL_CAUSES, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps([_plain(each) for each in found]))
    else:
        _print(found)
    return 0 if all(each.is_empty for each in found) else 1


def _plain(found: "Preview") -> dict[str, object]:
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
        "windows_given_up": found.given_up,
        "notes": plan.notes,
    }


def _print(found: "Sequence[Preview]") -> None:
    """A line per run, then what is not started, with the reason."""
    if all(each.is_empty for each in found):
        click.echo("Nothing to do.")
    for each in found:
        if each.tick.change is not None:
            click.echo(f"{'apply':<20} {each.applied}")
        for repair in each.repairs:
            names = ", ".join((*repair.views, *repair.sources))
            span = repair.first if repair.windows == 1 else f"{repair.first} to {repair.last}"
            windows = f"{repair.windows} window{'s' * (repair.windows > 1)}"
            click.echo(f"{each.why(repair):<20} {span:<26} {windows:<12} {names}")
        plan = each.tick.plan
        for count, state in (
            (plan.underway, "under way"),
            (plan.waiting, "wait for another try"),
            (each.given_up, "given up: see their runs, then `feature-platform backfill`"),
        ):
            if count:
                click.echo(f"{each.cause_in_words:<20} {count} windows {state}")
        for note in plan.notes:
            click.secho(f"{each.cause_in_words:<20} {note}", fg="yellow")
