"""``feature-platform drift``: a window of a view against its reference; and setting references."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import feast_command
from feature_platform.cli.moments import parse_moment, parse_window
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.core.windows import Window
from feature_platform.errors import RepoError, WindowError

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift
    from feature_platform.drift.references import ViewReference
    from feature_platform.orchestration.code_location import FeastCodeLocation

_COLOURS = {"drift": "red", "warn": "yellow", "insufficient": "blue", "ok": "green"}


@feast_command(
    "drift",
    click.option("--view", required=True, help="Feature view."),
    click.option(
        "--date", help="The window that begins then, UTC: 2026-03-01; the newest if left out."
    ),
    click.option("--html", type=click.Path(dir_okay=False), help="Write the report there."),
    click.option("--reference", help="Compare with this reference that was set before."),
    click.option("--set-reference", help="Freeze --start to --end under this name instead."),
    click.option("--accept", is_flag=True, help="Accept what has drifted in --date as normal."),
    click.option("--feature", "features", multiple=True, help="With --accept: this one alone."),
    click.option("--start", help="First day of the reference, or of what is accepted."),
    click.option("--end", help="Day after the last day of the reference."),
    click.option(
        "--record",
        is_flag=True,
        help="Record the verdict in Dagster, where alerts and automation read it.",
    ),
)
def command(
    place: SettingsPlace,
    *,
    view: str,
    date: str | None,
    html: str | None,
    reference: str | None,
    set_reference: str | None,
    accept: bool,
    features: Sequence[str],
    start: str | None,
    end: str | None,
    record: bool,
    as_json: bool,
) -> int:
    """Compare each feature of a window with its reference; set a reference; accept a change."""
    from feature_platform.drift.drift_judge import DriftJudge

    location = place.load()
    choose_views(location.graph, (view,))
    _require_comparable(location, view)
    judge = DriftJudge(location.project, view, location.drift_settings)
    if features and not accept:
        raise RepoError("option --feature", "says what --accept accepts", "add --accept")
    if accept:
        if set_reference is not None or reference is not None or end is not None:
            raise RepoError(
                "option --accept",
                "goes with --date, --feature and --start alone",
                "leave the others out",
            )
        begun = None if start is None else parse_moment("start", start)
        return _accept(judge, _window(judge, date), features, begun, as_json=as_json)
    if set_reference is not None:
        return _set_reference(judge, set_reference, start, end, as_json=as_json)
    if start is not None or end is not None:
        raise RepoError(
            "options --start and --end", "say what --set-reference is made of", "use --date"
        )
    if reference is not None and record:
        raise RepoError(
            "options --record and --reference",
            "exclude each other: Dagster records verdicts against the view's own reference",
            f"name '{reference}' in drift.yaml, and leave --reference out",
        )
    if reference is not None:
        judge = DriftJudge(location.project, view, judge.settings, _known(judge, reference))
    found = _compare(location, judge, _window(judge, date), html)
    if record:
        _record(location, found)
    if as_json:
        click.echo(json.dumps(found.to_json()))
    else:
        _print(found, _judged_by(location), html)
    return 0 if found.verdict == "ok" else 1


def _compare(
    location: "FeastCodeLocation", judge: "DriftJudge", window: Window, html: str | None
) -> "WindowDrift":
    """Judge a window, and write the page."""
    _warn_of_other_settings(location, judge, window)
    # A verdict against another reference is not kept: the asset's own is.
    keep = judge.reference is None
    (found,) = judge.judge(location.project.store(), [window], keep=keep)
    if html is not None:
        from feature_platform.reports.drift_page import window_page

        _write(Path(html), window_page(judge, found, judge.history(window)))
    return found


def _warn_of_other_settings(
    location: "FeastCodeLocation", judge: "DriftJudge", window: Window
) -> None:
    """Warn where the recorded verdict of a window was given by other settings; it is replaced."""
    known = judge.results.read(window) if judge.reference is None else None
    if known is not None and known.rules != judge.rules(window):
        click.secho(
            f"{judge.view} {window} was judged before by other settings, older ones or those of "
            f"definitions that were not loaded; this is {_judged_by(location)}",
            fg="yellow",
            err=True,
        )


def _judged_by(location: "FeastCodeLocation") -> str:
    from feature_platform.drift.drift_settings import FILE

    if location.drift is not None:
        return "judged by drift= of the definitions"
    if (location.project.repo_dir / FILE).is_file():
        return f"judged by {FILE}"
    return f"judged by the defaults, there is no {FILE}"


def _require_comparable(location: "FeastCodeLocation", view: str) -> None:
    from feature_platform.orchestration.graph.translator_data import RefusedDriftData

    known = location.graph.drifts.get(view)
    if isinstance(known, RefusedDriftData):
        raise RepoError(
            f"feature view '{view}'",
            f"its drift cannot be computed: {known.refusal}",
            "look for drift in a view of the columns that it is computed from",
        )


def _accept(
    judge: "DriftJudge",
    window: Window,
    features: Sequence[str],
    start: datetime | None,
    *,
    as_json: bool,
) -> int:
    from feature_platform.drift.acceptance import accept_window

    store = judge.project.store()
    # The verdict on record is the one that alarmed: accepting it reads nothing again.
    found = judge.results.read(window) or judge.judge(store, [window])[0]
    accepted = accept_window(judge, found, features, start)
    if as_json:
        click.echo(
            json.dumps({"view": judge.view, "accepted": [each.to_json() for each in accepted]})
        )
        return 0
    for each in accepted:
        click.echo(f"{judge.view}: {each.feature} as it is in {each.span} is its new normal")
    return 0


def _set_reference(
    judge: "DriftJudge", name: str, start: str | None, end: str | None, *, as_json: bool
) -> int:
    if start is None or end is None:
        raise RepoError(
            "option --set-reference",
            "needs the days that the reference is made of",
            "add --start and --end, such as --start 2026-01-01 --end 2026-03-01",
        )
    frozen = judge.freeze(judge.project.store(), name, parse_window(start, end))
    _print_reference(judge, frozen, as_json=as_json)
    return 0 if not frozen.problems else 1


def _record(location: "FeastCodeLocation", found: "WindowDrift") -> None:
    """Record the verdict in Dagster, as a run of the asset would."""
    from feature_platform.orchestration.checks.drift_gate import DriftReport
    from feature_platform.orchestration.graph.partitions import partitions_within
    from feature_platform.orchestration.graph.translator_data import DriftData
    from feature_platform.orchestration.runs.instance import dagster_instance

    drift = location.graph.drifts.get(found.view)
    if not isinstance(drift, DriftData):
        raise RepoError(
            f"drift of feature view '{found.view}'",
            "has no asset: its tag 'dagster/drift' is 'off'",
            "leave --record out, or the tag",
        )
    report = DriftReport(drift, location.translator, location.drift_settings)
    with dagster_instance() as instance:
        for key in partitions_within(drift.partitions, found.window):
            report.record(instance, {key: found})


def _known(judge: "DriftJudge", name: str) -> "ViewReference":
    found = judge.references.current(name)
    if found is None:
        raise RepoError(
            f"reference '{name}' of feature view '{judge.view}'",
            f"is not set (set are: {', '.join(judge.references.names()) or 'none'})",
            f"set it: feature-platform drift --view {judge.view} --set-reference {name} "
            "--start DAY --end DAY",
        )
    return found


def _window(judge: "DriftJudge", date: str | None) -> Window:
    """The partition that begins at `date`; the newest complete one if it is None.

    Raises:
        WindowError: `date` is not a moment, not where a partition begins, or not over yet.
    """
    length = judge.partition
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if date is None:
        end = midnight + (now - midnight) // length * length
        return Window(end - length, end)
    start = parse_moment("date", date)
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if (start - day) % length != timedelta():
        raise WindowError(
            f"date '{date}'",
            "is not where a partition begins",
            f"use {day.date().isoformat()}",
        )
    if start + length > now:
        raise WindowError(f"date '{date}'", "its window is not over yet", "choose an earlier one")
    return Window(start, start + length)


def _write(path: Path, page: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RepoError(
            f"page '{path}'", f"cannot be written ({error.strerror})", "choose another file"
        ) from error


def _print_reference(judge: "DriftJudge", frozen: "ViewReference", *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {
                    "view": judge.view,
                    "name": frozen.name,
                    "version": frozen.version,
                    "label": frozen.label,
                    "features": sorted(frozen.features),
                    "problems": dict(frozen.problems),
                }
            )
        )
        return
    click.echo(f"{judge.view}: reference '{frozen.name}' is set, version {frozen.version}")
    for name, each in frozen.features.items():
        click.echo(f"  {name}: {each.profile.rows:,} rows in {each.windows} windows")
    for name, problem in frozen.problems.items():
        click.secho(f"  {name}: {problem}", fg="red")
    if "://" not in judge.files.address:
        click.echo(f"  kept in {judge.files.address}")


def _print(found: "WindowDrift", judged_by: str, html: str | None) -> None:
    version = f", version {found.reference_version}" if found.reference_version else ""
    click.echo(f"{found.view} {found.window} against {found.reference}{version}; {judged_by}\n")
    width = max((len(each.feature) for each in found.comparisons), default=0)
    for each in found.worst_first:
        verdict = found.verdict_of(each)
        shown = click.style(f"{verdict:<12}", fg=_COLOURS[verdict])
        sentence = found.sentence_of(each).removeprefix(f"{each.feature} ")
        click.echo(f"  {shown}  {each.feature:<{width}}  {sentence}")
        for note in each.notes:
            click.echo(f"  {'':<12}  {'':<{width}}  {note}")
    if html is not None:
        click.echo(f"\n{html}")
