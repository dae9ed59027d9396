"""``feature-platform status``: an interval strip a view."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import click

from feature_platform.cli.context import graph_and_views
from feature_platform.errors import RegistryError
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.runs.instance import dagster_instance
from feature_platform.orchestration.status.growth import Growth, GrowthReader
from feature_platform.orchestration.status.window_status import State, ViewStatus, view_status
from feature_platform.registry.registry_address import configured_registry_file
from feature_platform.repo.project import FeastProject

# A letter as well as a colour: the strip is read without colour too.
_CELLS: dict[State, tuple[str, str]] = {
    "complete": ("█", "green"),
    "stale": ("s", "yellow"),
    "failed": ("F", "red"),
    "running": ("r", "blue"),
    "missing": ("·", "white"),
}


def run(
    *,
    views: Sequence[str],
    windows: int,
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Print it; 0 if every shown window is complete, else 1."""
    graph, names = graph_and_views(repo, profile, start_date, views)
    _refuse_without_registry(graph.project, names)
    store, now = graph.project.store(), datetime.now(UTC)
    with dagster_instance() as instance:
        found = [
            view_status(graph.materializable[name], store, instance, now=now, count=windows)
            for name in names
        ]
        translator = DagsterFeastTranslator()
        keys = {name: translator.key_of(graph.views[name]) for name in names}
        held = GrowthReader(instance).read(keys)
    if as_json:
        click.echo(json.dumps([{**_plain(each), **_held(held.get(each.view))} for each in found]))
    else:
        _print(found)
        _print_held(held)
    return 0 if all(each.well for each in found) else 1


def _refuse_without_registry(project: FeastProject, views: Sequence[str]) -> None:
    """A question leaves nothing behind: Feast would make the registry that it is asked for."""
    file = configured_registry_file(project.config, project.repo_dir)
    if file is not None and not file.exists():
        raise RegistryError(
            f"registry '{file}'",
            f"is not there yet, so nothing is online ({', '.join(views)})",
            "run feature-platform materialize, which applies the repo first",
        )


def _print(found: Sequence[ViewStatus]) -> None:
    width = max(len(each.view) for each in found)
    for each in found:
        strip = "".join(
            click.style(_CELLS[window.state][0], fg=_CELLS[window.state][1])
            for window in each.windows
        )
        click.echo(f"{each.view:<{width}}  {strip}  {_lag(each)}")
    shown = found[0].windows
    if shown:
        click.echo(f"{'':<{width}}  {shown[0].key} to {shown[-1].key}")
    legend = "  ".join(
        f"{click.style(char, fg=colour)} {state}" for state, (char, colour) in _CELLS.items()
    )
    click.echo(f"\n{legend}")
    for each in found:
        if each.rebuild_due:
            click.echo(
                f"{each.view}: rebuild due: rows may have left windows that are online; run "
                f"feature-platform rebuild-online --view {each.view} --empty-first"
            )
        for state in ("failed", "stale", "missing"):
            keys = [window.key for window in each.windows if window.state == state]
            if keys:
                click.echo(f"{each.view}: {state}: {_spans(keys)}")


def _print_held(held: Mapping[str, Growth]) -> None:
    for name, growth in held.items():
        newest = growth.newest
        said = f"{newest.keys:,} keys, {_bytes(newest.size)} online"
        if growth.keys_a_day is not None and growth.bytes_a_day is not None:
            grown = f"{growth.keys_a_day:+,.0f} keys, {_bytes(growth.bytes_a_day, sign='+')} a day"
            said += f"; {grown}"
        click.echo(f"{name or 'the online store'}: {said} (counted {newest.at:%Y-%m-%d %H:%M} UTC)")


def _held(growth: Growth | None) -> dict[str, object]:
    """What is online; nothing where no run has counted it, or the store keeps views together."""
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
    """A number below a thousand with its unit; `sign` as in a format specification."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:  # noqa: PLR2004 - the next unit
            return f"{count:{sign}.0f} B" if unit == "B" else f"{count:{sign}.1f} {unit}"
        count /= 1000
    return f"{count:{sign},.1f} TB"


def _lag(status: ViewStatus) -> str:
    if status.newest is None or status.lag is None:
        return "nothing online"
    if not status.lag:
        return "up to date"
    return f"{_duration(status.lag)} behind (newest window ends {status.newest:%Y-%m-%d %H:%M} UTC)"


def _duration(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours // 24} d" if hours and hours % 24 == 0 else f"{hours} h"


def _spans(keys: list[str]) -> str:
    return ", ".join(keys) if len(keys) <= 4 else f"{len(keys)} windows, {keys[0]} to {keys[-1]}"  # noqa: PLR2004 - as many as a line holds


def _plain(status: ViewStatus) -> dict[str, object]:
    return {
        "view": status.view,
        "newest": status.newest.isoformat() if status.newest else None,
        "rebuild_due": status.rebuild_due,
        "lag_seconds": status.lag.total_seconds() if status.lag is not None else None,
        "windows": [
            {
                "key": window.key,
                "start": window.window.start.isoformat(),
                "end": window.window.end.isoformat(),
                "state": window.state,
            }
            for window in status.windows
        ],
    }
