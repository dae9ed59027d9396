"""``feature-platform plan``: which runs automation would start now, without starting them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import CAUSES, VIEWS, feast_command, plain_error
from feature_platform.cli.settings_place import SettingsPlace

if TYPE_CHECKING:
    from feature_platform.orchestration.runs.repair_preview import Preview
    from feature_platform.orchestration.status.window_status import ViewStatus
    from feature_platform.orchestration.watch.automation_settings import Cause


_WINDOWS = 30
"""How many windows of a view are looked at for what no run answers, as by ``status``."""


@feast_command("plan", VIEWS, CAUSES)
def command(
    place: SettingsPlace, *, views: Sequence[str], causes: "Sequence[Cause]", as_json: bool
) -> int:
    """Show which runs automation would start now, and why; nothing is started.

    What no run would answer, such as missing windows that are older than the TTL, is said with its
    reason. Exit code 0: nothing to do, and all is well.
    """
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.repair_preview import preview
    from feature_platform.orchestration.status.view_statuses import ViewStatuses
    from feature_platform.orchestration.watch.automation_settings import CAUSES as ALL_CAUSES
    from feature_platform.orchestration.watch.automation_settings import AutomationSettings

    location = place.load()
    chosen, now = choose_views(location.graph, views), datetime.now(UTC)
    settings = location.automation or AutomationSettings()
    statuses: list[ViewStatus] = []
    with dagster_instance() as instance:
        found = preview(location, instance, chosen, causes or ALL_CAUSES, now)
        if "gap" in (causes or ALL_CAUSES):
            told = ViewStatuses(location.graph, instance, location.translator, settings)
            statuses = told.of(dict.fromkeys(chosen, _WINDOWS), now)
    if as_json:
        click.echo(json.dumps([_plain(each, statuses) for each in found]))
    else:
        _print(found, statuses)
    if any(each.error for each in found):
        return 2
    well = all(each.is_empty for each in found) and all(each.well for each in statuses)
    return 0 if well else 1


def _plain(found: "Preview", statuses: "Sequence[ViewStatus]") -> dict[str, object]:
    plan, change = found.tick.plan, found.tick.change
    beyond = {each.view: list(each.beyond_repair) for each in statuses if each.beyond_repair}
    return {
        "cause": found.cause,
        "error": found.error and plain_error(found.error),
        "beyond_repair": beyond if found.cause == "gap" else {},
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


def _print(found: "Sequence[Preview]", statuses: "Sequence[ViewStatus]") -> None:
    """A line per run, then what is not started, with the reason."""
    if all(each.is_empty for each in found):
        click.echo("Nothing to do.")
    for each in found:
        if each.error is not None:
            click.secho(f"error: {each.error}", fg="red", err=True)
        else:
            _print_one(each)
    for status in statuses:
        for remark in status.beyond_repair:
            click.echo(f"{'no run for it':<20} {status.view}: {remark}")


def _print_one(each: "Preview") -> None:
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
