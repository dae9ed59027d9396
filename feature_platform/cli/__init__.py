"""The command line ``feature-platform``; commands import what they need when they run."""

import json
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from feature_platform.cli.quiet_libraries import only_about
from feature_platform.errors import FeaturePlatformError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="feature-platform")
def main() -> None:
    """Any Feast feature repo as a Dagster asset graph.

    Exit code 0 means that all is well; errors say what to do next.
    """


def _command(*options: Callable[..., Any], name: str | None = None) -> Callable[..., Any]:
    """A subcommand with the options every command has; errors become one line and exit code 2."""

    def decorate(function: Callable[..., int]) -> click.Command:
        @wraps(function)
        def run(**arguments: Any) -> None:
            try:
                with only_about(Path(arguments["repo"])):
                    code = function(**arguments)
            except FeaturePlatformError as error:
                if arguments.get("as_json"):
                    problem = {
                        "subject": error.subject,
                        "problem": error.problem,
                        "remedy": error.remedy,
                    }
                    click.echo(json.dumps({"error": problem}))
                else:
                    click.secho(f"error: {error}", fg="red", err=True)
                code = 2
            sys.exit(code)

        wrapped: Any = run
        for option in reversed((*options, _REPO, _PROFILE, _START_DATE, _JSON)):
            wrapped = option(wrapped)
        return main.command(name or function.__name__.replace("_", "-"))(wrapped)

    return decorate


_VIEWS = click.option(
    "--view", "views", multiple=True, help="Feature view; may be repeated; all if left out."
)
_REPO = click.option(
    "--repo",
    default="feature_repo",
    show_default=True,
    envvar="FEATURE_PLATFORM_REPO",
    help="Folder of the Feast repo.",
)
_PROFILE = click.option(
    "--profile",
    envvar="FEATURE_PLATFORM_PROFILE",
    help="Read feature_store.PROFILE.yaml instead of feature_store.yaml.",
)
_START_DATE = click.option(
    "--start-date",
    default="2026-01-01",
    show_default=True,
    envvar="FEATURE_PLATFORM_START_DATE",
    help="First day of the partitions, UTC.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@_command(
    click.option(
        "--days",
        default=30,
        type=click.IntRange(1, 3650),
        show_default=True,
        help="How many days to build.",
    ),
    click.option(
        "--scenario",
        type=click.Choice(["drift"]),
        help="drift: amounts change one day in a copy of the repo, and what is said of it.",
    ),
)
def demo(**arguments: Any) -> int:
    """Build the last days of the fraud repo on real transactions and put them online."""
    from feature_platform.cli.commands.demo_command import run

    return run(**arguments)


@_command(
    click.option(
        "--view", "views", multiple=True, help="Feature view; repeatable; all if left out."
    ),
    click.option(
        "--start", required=True, help="First moment, UTC: 2026-03-01 or 2026-03-01T06:00."
    ),
    click.option("--end", required=True, help="Moment after the last one (half-open)."),
    click.option(
        "--allow-failed-checks", is_flag=True, help="Serve windows that failed their checks."
    ),
)
def materialize(**arguments: Any) -> int:
    """Build, check, and put windows online through the asset graph, in one run."""
    from feature_platform.cli.commands.materialize_command import run

    return run(**arguments)


@_command(
    click.option(
        "--view", "views", multiple=True, help="Feature view; repeatable; all if left out."
    ),
    click.option(
        "--windows",
        default=30,
        type=click.IntRange(1),
        show_default=True,
        help="How many windows to show.",
    ),
)
def status(**arguments: Any) -> int:
    """Show for each view which windows are complete, missing, failed or stale, and the lag."""
    from feature_platform.cli.commands.status_command import run

    return run(**arguments)


@_command(
    click.option("--view", required=True, help="Feature view."),
    click.option(
        "--date", help="The window that begins then, UTC: 2026-03-01; the newest if left out."
    ),
    click.option("--html", type=click.Path(dir_okay=False), help="Write the report there."),
    click.option("--reference", help="Compare with this reference that was set before."),
    click.option("--set-reference", help="Freeze --start to --end under this name instead."),
    click.option("--accept", is_flag=True, help="What has drifted in --date is the new normal."),
    click.option("--feature", "features", multiple=True, help="Accept this one alone."),
    click.option("--start", help="First day of the reference, or of the new normal."),
    click.option("--end", help="Day after its last one."),
    click.option(
        "--record",
        is_flag=True,
        help="Put the verdict on record in Dagster: alerts and automation go by that.",
    ),
)
def drift(**arguments: Any) -> int:
    """Compare each feature of a window with its reference; set a reference; accept a change."""
    from feature_platform.cli.commands.drift_command import run

    return run(**arguments)


@_command()
def doctor(**arguments: Any) -> int:
    """Check versions, configuration, and what can be reached; say how to repair the rest."""
    from feature_platform.cli.commands.doctor_command import run

    return run(**arguments)


_CAUSES = click.option(
    "--cause",
    "causes",
    multiple=True,
    type=click.Choice(["source_changed", "definition_changed", "gap"]),
    help="Only what is wrong for that reason; may be repeated.",
)


@_command(_VIEWS, _CAUSES)
def plan(**arguments: Any) -> int:
    """Show which runs automation would start now, and why; nothing is started."""
    from feature_platform.cli.commands.plan_command import run

    return run(**arguments)


@_command(
    _VIEWS,
    _CAUSES,
    click.option("--max-runs", type=click.IntRange(1), help="Stop after that many runs."),
)
def backfill(**arguments: Any) -> int:
    """Do now, in this process, what plan shows: newest windows first, in ranges."""
    from feature_platform.cli.commands.backfill_command import run

    return run(**arguments)


@_command(
    _VIEWS,
    click.option("--as-of", help="Put online what was the latest at this moment, UTC."),
    click.option(
        "--allow-failed-checks", is_flag=True, help="Serve windows that failed their checks."
    ),
    click.option(
        "--empty-first",
        is_flag=True,
        help="Take all out before, pushed values too: where vanished keys cannot be named.",
    ),
    name="rebuild-online",
)
def rebuild_online(**arguments: Any) -> int:
    """Write every materialized window online again, in one pass a view; resumes after a crash."""
    from feature_platform.cli.commands.rebuild_online_command import run

    return run(**arguments)


@_command(
    click.option("--service", required=True, help="Feature service."),
    click.option(
        "--entities",
        required=True,
        help="Entity rows: a Parquet file, a folder or a pattern of them.",
    ),
    click.option("--out", required=True, help="Folder that snapshots are kept in."),
    click.option(
        "--timestamp",
        default="event_timestamp",
        show_default=True,
        help="Column that says as of when the features are wanted.",
    ),
    click.option("--label", help="Column that is learned; noted in the manifest."),
    name="training-set",
)
def training_set(**arguments: Any) -> int:
    """Join a service's features to entity rows, point in time correct, as a versioned snapshot."""
    from feature_platform.cli.commands.training_set_command import run

    return run(**arguments)


@_command(
    click.option("--listen", help="Serve them there until interrupted: 127.0.0.1:9464."),
    click.option("--push", help="Push them once to this Pushgateway: http://127.0.0.1:9091."),
    click.option(
        "--every",
        default=60,
        type=click.IntRange(1),
        show_default=True,
        help="Seconds between two computations, with --listen.",
    ),
    click.option(
        "--alerts-state",
        type=click.Path(dir_okay=False),
        help="The file that the route file names as 'state:', if it does.",
    ),
    click.option(
        "--online-limit",
        help="What the online store can take, where it does not say so itself: 40GB.",
    ),
)
def metrics(**arguments: Any) -> int:
    """Tell Prometheus freshness, lag, gaps, rows, checks, drift, keys online, and alerts."""
    from feature_platform.cli.commands.metrics_command import run

    return run(**arguments)
