"""``feature-platform drift``: a window of a view against its reference; and setting references."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from feature_platform.cli.moments import parse_moment, parse_window
from feature_platform.core.windows import Window
from feature_platform.errors import RepoError, WindowError
from feature_platform.repo.project import FeastProject

if TYPE_CHECKING:
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift
    from feature_platform.drift.drift_settings import DriftSettings
    from feature_platform.drift.references import ViewReference
    from feature_platform.orchestration.graph.feast_graph import FeastGraph

_COLOURS = {"drift": "red", "warn": "yellow", "insufficient": "blue", "ok": "green"}


def run(
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
    repo: str,
    profile: str | None,
    start_date: str,
    as_json: bool,
) -> int:
    """Compare, set a reference, or accept; 0 if every feature is as its reference has it."""
    from feature_platform.cli.context import choose_views
    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_settings import DriftSettings
    from feature_platform.orchestration.graph.feast_graph import FeastGraph

    project = FeastProject(repo, profile)
    graph = FeastGraph(project, start_date)
    choose_views(graph, (view,))
    _require_told(graph, view)
    judge = DriftJudge(project, view, DriftSettings.load(project))
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
        if start is None or end is None:
            raise RepoError(
                "option --set-reference",
                "needs the days that the reference is made of",
                "add --start and --end, such as --start 2026-01-01 --end 2026-03-01",
            )
        frozen = judge.freeze(project.store(), set_reference, parse_window(start, end))
        _print_reference(judge, frozen, as_json=as_json)
        return 0 if not frozen.problems else 1
    if start is not None or end is not None:
        raise RepoError(
            "options --start and --end", "say what --set-reference is made of", "use --date"
        )
    _refuse_record_of_another(reference, record=record)
    if reference is not None:
        judge = DriftJudge(project, view, judge.settings, _known(judge, reference))
    window = _window(judge, date)
    _tell_of_other_settings(judge, window)
    # Judged by another reference than the asset's, it is not what the asset would have said.
    (found,) = judge.judge(project.store(), [window], keep=reference is None)
    if record:
        _record(graph, found, judge.settings)
    if html is not None:
        from feature_platform.reports.drift_page import window_page

        _write(Path(html), window_page(judge, found, judge.history(window)))
    _print(found, judge, html, as_json=as_json)
    return 0 if found.verdict == "ok" else 1


def _tell_of_other_settings(judge: "DriftJudge", window: Window) -> None:
    """Say that what is on record of a window was judged otherwise, before it is replaced."""
    known = judge.results.read(window) if judge.reference is None else None
    if known is not None and known.rules != judge.rules(window):
        click.secho(
            f"{judge.view} {window} was judged before by other settings: those of then, or what "
            f"the definitions were given as drift=, which only they know; this is {_by(judge)}",
            fg="yellow",
            err=True,
        )


def _by(judge: "DriftJudge") -> str:
    from feature_platform.drift.drift_settings import FILE

    written = (judge.project.repo_dir / FILE).is_file()
    return f"judged by {FILE}" if written else f"judged by the defaults, there is no {FILE}"


def _require_told(graph: "FeastGraph", view: str) -> None:
    from feature_platform.orchestration.graph.translator_data import RefusedDriftData

    known = graph.drifts.get(view)
    if isinstance(known, RefusedDriftData):
        raise RepoError(
            f"feature view '{view}'",
            f"its drift cannot be told: {known.refusal}",
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
    # A verdict that is there is the one that alarmed; nothing is read again to accept it.
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


def _refuse_record_of_another(reference: str | None, *, record: bool) -> None:
    if record and reference is not None:
        raise RepoError(
            "options --record and --reference",
            "what is on record is judged by the view's own reference",
            f"name '{reference}' in drift.yaml, and leave --reference out",
        )


def _record(graph: "FeastGraph", found: "WindowDrift", settings: "DriftSettings") -> None:
    """Put it on record in Dagster, as a run of the asset would: alerts go by that."""
    from feature_platform.orchestration.checks.drift_gate import DriftReport
    from feature_platform.orchestration.graph.partitions import partitions_within
    from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
    from feature_platform.orchestration.graph.translator_data import DriftData
    from feature_platform.orchestration.runs.instance import dagster_instance

    drift = graph.drifts.get(found.view)
    if not isinstance(drift, DriftData):
        raise RepoError(
            f"drift of feature view '{found.view}'",
            "has no asset: its tag 'dagster/drift' is 'off'",
            "leave --record out, or the tag",
        )
    with dagster_instance() as instance:
        for key in partitions_within(drift.partitions, found.window):
            report = DriftReport(drift, DagsterFeastTranslator(), settings)
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
    """The partition that begins at a typed moment; the newest complete one if there is none.

    Raises:
        WindowError: It is not a moment, not where a partition begins, or not over yet.
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


def _print(found: "WindowDrift", judge: "DriftJudge", html: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.to_json()))
        return
    version = f", version {found.reference_version}" if found.reference_version else ""
    click.echo(f"{found.view} {found.window} against {found.reference}{version}; {_by(judge)}\n")
    width = max((len(each.feature) for each in found.comparisons), default=0)
    for each in found.worst_first:
        verdict = found.verdict_of(each)
        shown = click.style(f"{verdict:<12}", fg=_COLOURS[verdict])
        said = found.sentence_of(each).removeprefix(f"{each.feature} ")
        click.echo(f"  {shown}  {each.feature:<{width}}  {said}")
        for note in each.notes:
            click.echo(f"  {'':<12}  {'':<{width}}  {note}")
    if html is not None:
        click.echo(f"\n{html}")
