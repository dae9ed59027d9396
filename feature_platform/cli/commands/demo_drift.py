"""``feature-platform demo --scenario drift``: amounts change one day, and features alarm.

The change is made in a copy of the repo, and everything is kept below the repo's ``data`` folder:
tables, registry, online store, and Dagster's event log. The dates always replay the same spring of
2017, a time without holidays, so that the result is the same on every day of the year.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from feature_platform.core.windows import Window
from feature_platform.drift.drift_judge import DriftJudge
from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.errors import RepoError
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.runs.silent_runs import SilentRuns
from feature_platform.registry.registry_apply import apply
from feature_platform.repo.project import FeastProject
from feature_platform.statistics import Comparison
from feature_platform.tables.table_builders import table_builder_for

FACTOR = 1.5
CHANGE_2017 = date(2017, 5, 22)
CYCLE = timedelta(days=364)
HISTORY = timedelta(days=86)
BEFORE = timedelta(days=7)

# View to the days it looks back: its first full window ends that long after the change.
_LOOK_BACK = {"user_transaction_features": 7, "merchant_risk_features": 30}
EXPECTED = ("transaction_amount_avg_7d", "transaction_amount_max_7d", "avg_transaction_amount")
"""The features that are made of amounts."""

_SCENARIO = """

# The scenario: from one day on, every amount is larger; nothing else is.
_as_it_was = bind


def bind(connection, window):
    _as_it_was(connection, window)
    connection.execute(
        "UPDATE raw.transactions SET amount = amount * {factor} "
        "WHERE transaction_timestamp >= '{change}'::TIMESTAMPTZ"
    )
"""


@dataclass(frozen=True)
class FeatureStory:
    """One feature through the windows of the scenario.

    Attributes:
        view: Its view.
        feature: Its name.
        expected: Whether it is computed from amounts, which change.
        before: How many of the windows of `BEFORE`, before the change, alarmed.
        first: The first window after the change that alarmed, if any.
        full: The first window with changed amounts alone.
        verdict: The verdict on `full`.
        sentence: The verdict on `full`, in words.
    """

    view: str
    feature: str
    expected: bool
    before: int
    first: str | None
    full: str
    verdict: str
    sentence: str

    @property
    def right(self) -> bool:
        """Whether it alarmed on `full` exactly if it should, and not before the change."""
        return (self.verdict == "drift") == self.expected and not self.before


def play(original: FeastProject, *, as_json: bool) -> int:
    """Play the scenario; 0 if the right features alarmed, and no others."""
    if missing := [name for name in _LOOK_BACK if name not in original.views]:
        raise RepoError(
            f"project '{original.name}'",
            f"has no feature view '{missing[0]}', which the scenario is about",
            "run it on the repo that it is made for",
        )
    change = datetime.combine(_change(datetime.now(UTC).date()), time(tzinfo=UTC))
    end = change + timedelta(days=max(_LOOK_BACK.values()))
    if not as_json:
        click.echo(
            f"From {change.date()} on every amount is {FACTOR} times what it was (the replay of "
            f"{CHANGE_2017}).\nWindows from {(change - BEFORE).date()} to {end.date()} are "
            f"compared with the eight weeks before each; nothing else changes.\n",
            err=True,
        )
    folder = original.repo_dir / "data" / "scenarios" / "drift"
    project = _copy(original, folder, change)
    _build(project, Window(change - BEFORE - HISTORY, end), quiet=as_json)
    start = (change - BEFORE - HISTORY).date().isoformat()
    with SilentRuns(FeastCodeLocation(project, start), folder / "dagster") as runs:
        stories, pages = _judge(project, change, runs, quiet=as_json)
    if as_json:
        found = {"change": change.date().isoformat(), "features": [asdict(s) for s in stories]}
        click.echo(json.dumps(found | {"reports": {k: str(v) for k, v in pages.items()}}))
    else:
        _print(stories, pages, project)
    return 0 if all(story.right for story in stories) else 1


def _change(today: date) -> date:
    """The newest replay of `CHANGE_2017` whose windows are all complete."""
    needed = timedelta(days=max(_LOOK_BACK.values()))
    return CHANGE_2017 + (today - needed - CHANGE_2017) // CYCLE * CYCLE


def _copy(original: FeastProject, folder: Path, change: datetime) -> FeastProject:
    """A copy of the repo with larger amounts; files of an earlier scenario are deleted."""
    repo = folder / "repo"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        ignored = shutil.ignore_patterns("data", "__pycache__")
        shutil.copytree(original.repo_dir, repo, ignore=ignored)
        (repo / "data").mkdir()
        (folder / "dagster").mkdir()
        raw = repo / "raw_tables.py"
        raw.write_text(raw.read_text() + _SCENARIO.format(factor=FACTOR, change=change.isoformat()))
        config = repo / original.config_path.name
        renamed = re.sub(r"(?m)^project: *(\S+)", r"project: \1_drift_scenario", config.read_text())
        config.write_text(renamed)
    except OSError as error:
        raise RepoError(
            f"scenario folder '{folder}'",
            f"cannot be written ({error.strerror or error})",
            "make room and give permission",
        ) from error
    return FeastProject(repo, original.profile)


def _build(project: FeastProject, window: Window, *, quiet: bool) -> None:
    """Build the source tables and put every window online."""
    builder = table_builder_for(project)
    if builder is None:
        raise RepoError(
            f"project '{project.name}'", "builds no source tables", "use the default profile"
        )
    now = datetime.now(UTC)
    days = [
        Window(window.start + timedelta(days=n), window.start + timedelta(days=n + 1))
        for n in range((window.end - window.start).days)
    ]
    store = project.store()
    apply(store, project.contents)
    with Progress(console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("Building the source tables", total=len(days))
        for day in days:
            for source in project.sources:
                builder.build(project, source, day, now, None)
            progress.advance(task)
    for view in _LOOK_BACK:
        materialize_window(store, view, window.start, window.end)


def _judge(
    project: FeastProject,
    change: datetime,
    runs: SilentRuns,
    *,
    quiet: bool,
) -> tuple[list[FeatureStory], Mapping[str, Path]]:
    """Run the drift assets as Dagster does, all windows of a view in one run."""
    stories: list[FeatureStory] = []
    pages: dict[str, Path] = {}
    for view, look_back in _LOOK_BACK.items():
        if not quiet:
            click.echo(f"Running drift/{view}", err=True)
        key = [project.name, "drift", view]
        first = change - BEFORE
        full = change + timedelta(days=look_back - 1)
        last = full.date().isoformat()
        runs.materialize(key, first.date().isoformat(), last)
        results = DriftJudge(project, view, DriftSettings.load(project)).results
        days = [first + timedelta(days=n) for n in range((full - first).days + 1)]
        found = [results.read(Window(day, day + timedelta(days=1))) for day in days]
        judged = [each for each in found if each is not None]
        stories += [
            _story(view, [(each.window, each.comparisons[place]) for each in judged], change)
            for place in range(len(judged[-1].comparisons))
        ]
        pages[view] = runs.report(key, last)
    return stories, pages


def _story(
    view: str,
    found: Sequence[tuple[Window, Comparison]],
    change: datetime,
) -> FeatureStory:
    """One feature through the windows; the last of them is the first full one."""
    alarms = [window for window, each in found if each.verdict == "drift"]
    last, comparison = found[-1]
    after = [window for window in alarms if window.start >= change]
    return FeatureStory(
        view=view,
        feature=comparison.feature,
        expected=comparison.feature in EXPECTED,
        before=sum(window.start < change for window in alarms),
        first=after[0].start.date().isoformat() if after else None,
        full=last.start.date().isoformat(),
        verdict=comparison.verdict,
        sentence=comparison.sentence,
    )


def _print(
    stories: Sequence[FeatureStory], pages: Mapping[str, Path], project: FeastProject
) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    table = Table(
        Column("feature", no_wrap=True),
        Column("alarms in the\n7 days before", justify="right"),
        Column("first alarm\nafter", no_wrap=True),
        Column("first full\nwindow", no_wrap=True),
        "verdict",
        "made of\namounts",
        box=box.SIMPLE_HEAD,
    )
    for story in stories:
        colour = "green" if story.right else "red"
        table.add_row(
            story.feature,
            str(story.before),
            story.first or "-",
            story.full,
            f"[{colour}]{story.verdict}",
            "yes" if story.expected else "no",
        )
    console.print(table)
    for story in stories:
        if story.verdict == "drift":
            console.print(story.sentence, highlight=False)
    console.print("\nReports:", style="bold")
    for page in pages.values():
        console.print(f"  {_shown(page)}", highlight=False, soft_wrap=True)
    console.print("\nNext:", style="bold")
    console.print(
        f"  .venv/bin/feature-platform drift --repo {_shown(project.repo_dir)} "
        f"--view {stories[0].view} --date {stories[0].full} --html drift.html",
        highlight=False,
        soft_wrap=True,
    )


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
