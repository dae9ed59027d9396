"""``feature-platform status``: one strip of windows per view."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import VIEWS, feast_command
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.errors import RegistryError

if TYPE_CHECKING:
    from feature_platform.orchestration.status.growth import Growth
    from feature_platform.orchestration.status.window_status import State, ViewStatus
    from feature_platform.repo.project import FeastProject

# A letter as well as a colour: the strip can be read without colour.
_CELLS: "dict[State, tuple[str, str]]" = {
    "complete": ("█", "green"),
    "stale": ("s", "yellow"),
    "failed": ("F", "red"),
    "running": ("r", "blue"),
    "missing": ("·", "white"),
}


@feast_command(
    "status",
    VIEWS,
    click.option(
        "--windows",
        default=30,
        type=click.IntRange(1),
        show_default=True,
        help="How many windows to show.",
    ),
)
def command(place: SettingsPlace, *, views: Sequence[str], windows: int, as_json: bool) -> int:
    """Show for each view which windows are complete, missing, failed or stale, and the lag."""
    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.status.growth import GrowthReader
    from feature_platform.orchestration.status.view_statuses import ViewStatuses
    from feature_platform.orchestration.watch.automation_settings import AutomationSettings

    location = place.load()
    graph, translator = location.graph, location.translator
    names = choose_views(graph, views)
    _require_registry(location.project, names)
    settings = location.automation or AutomationSettings()
    with dagster_instance() as instance:
        statuses = ViewStatuses(graph, instance, translator, settings)
        found = statuses.of(dict.fromkeys(names, windows), datetime.now(UTC))
        keys = {each.view: translator.key_of(graph.views[each.view]) for each in found}
        gone = {each.view for each in found if not each.registered}
        held = GrowthReader(instance).read({name: keys[name] for name in keys.keys() - gone})
    if as_json:
        click.echo(json.dumps([{**_plain(each), **_held(held.get(each.view))} for each in found]))
    else:
        _print(found)
        _print_held(held)
    return 0 if all(each.well for each in found) else 1


def _require_registry(project: "FeastProject", views: Sequence[str]) -> None:
    """Fail if the registry file does not exist: opening it would create it."""
    from feature_platform.registry.registry_address import configured_registry_file

    file = configured_registry_file(project.config, project.repo_dir)
    if file is not None and not file.exists():
        raise RegistryError(
            f"registry '{file}'",
            f"is not there yet, so nothing is online ({', '.join(views)})",
            "run feature-platform materialize, which applies the repo first",
        )


def _print(found: "Sequence[ViewStatus]") -> None:
    width = max(len(each.view) for each in found)
    for each in found:
        strip = "".join(
            click.style(_CELLS[window.state][0], fg=_CELLS[window.state][1])
            for window in each.windows
        )
        click.echo(f"{each.view:<{width}}  {strip}  {_lag(each)}")
    shown = max((each.windows for each in found), key=len)
    if shown:
        click.echo(f"{'':<{width}}  {shown[0].key} to {shown[-1].key}")
    legend = "  ".join(
        f"{click.style(char, fg=colour)} {state}" for state, (char, colour) in _CELLS.items()
    )
    click.echo(f"\n{legend}")
    for each in found:
        for remark in each.remarks:
            click.echo(f"{each.view}: {remark}")


def _print_held(held: "Mapping[str, Growth]") -> None:
    for name, growth in held.items():
        newest = growth.newest
        line = f"{newest.keys:,} keys, {_bytes(newest.size)} online"
        if growth.keys_a_day is not None and growth.bytes_a_day is not None:
            grown = f"{growth.keys_a_day:+,.0f} keys, {_bytes(growth.bytes_a_day, sign='+')} a day"
            line += f"; {grown}"
        click.echo(f"{name or 'the online store'}: {line} (counted {newest.at:%Y-%m-%d %H:%M} UTC)")


def _held(growth: "Growth | None") -> dict[str, object]:
    """What is online; None if no run has counted it, or the store does not keep views apart."""
    if growth is None:
        return {"online": None}
    return {
        "online": {
            "keys": growth.newest.keys,
            "bytes": growth.newest.size,
            "counted": growth.newest.at.isoformat(),
            "keys_per_day": growth.keys_a_day,
            "bytes_per_day": growth.bytes_a_day,
        }
    }


def _bytes(count: float, sign: str = "") -> str:
    """A number below 1,000 with its unit; `sign` is that of a format specification."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:  # noqa: PLR2004 - the next unit
            return f"{count:{sign}.0f} B" if unit == "B" else f"{count:{sign}.1f} {unit}"
        count /= 1000
    return f"{count:{sign},.1f} TB"


def _lag(status: "ViewStatus") -> str:
    if status.trouble:
        return "cannot be told"
    if not status.registered:
        return "not in the registry"
    if status.newest is None or status.lag is None:
        return "nothing online"
    if not status.lag:
        absent = f"{status.absent} window{'s' * (status.absent > 1)}"
        return f"the newest is online, {absent} before it not" if status.absent else "up to date"
    return f"{_duration(status.lag)} behind (newest window ends {status.newest:%Y-%m-%d %H:%M} UTC)"


def _duration(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours // 24} d" if hours and hours % 24 == 0 else f"{hours} h"


def _plain(status: "ViewStatus") -> dict[str, object]:
    return {
        "view": status.view,
        "well": status.well,
        "registered": status.registered,
        "trouble": status.trouble,
        "remarks": list(status.remarks),
        "newest": status.newest.isoformat() if status.newest else None,
        "rebuild_due": status.rebuild_due,
        "lag_seconds": status.lag.total_seconds() if status.lag is not None else None,
        "windows": [
            {
                "key": window.key,
                "start": window.window.start.isoformat(),
                "end": window.window.end.isoformat(),
                "state": window.state,
                "excused": window.excused,
            }
            for window in status.windows
        ],
    }
