"""``feature-platform rebuild-online``: an empty or damaged online store, from the source again."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from feature_platform.cli.chosen_views import choose_views
from feature_platform.cli.feast_command import (
    ALLOW_FAILED_CHECKS,
    VIEWS,
    feast_command,
    plain_error,
)
from feature_platform.cli.moments import parse_moment
from feature_platform.cli.settings_place import SettingsPlace
from feature_platform.errors import FeaturePlatformError, WindowError, reason_of

if TYPE_CHECKING:
    from rich.console import Console

    from feature_platform.orchestration.runs.rebuild_view import RebuiltView, ViewRebuilds


@feast_command(
    "rebuild-online",
    VIEWS,
    click.option("--as-of", help="Put online what was the latest at this moment, UTC."),
    ALLOW_FAILED_CHECKS,
    click.option(
        "--empty-first",
        is_flag=True,
        help="First delete everything of the view, pushed values too: for online stores in which "
        "vanished keys cannot be found.",
    ),
)
def command(
    place: SettingsPlace,
    *,
    views: Sequence[str],
    as_of: str | None,
    allow_failed_checks: bool,
    empty_first: bool,
    as_json: bool,
) -> int:
    """Write every materialized window online again, in one pass per view; resumes after a crash.

    Windows pass the same checks as in a materialization; a verdict on unchanged content is reused.
    What was written is read back and recorded as the check online_equals_offline, which ends the
    alert about a lost store.
    """
    from rich.console import Console

    from feature_platform.orchestration.runs.instance import dagster_instance
    from feature_platform.orchestration.runs.rebuild_view import ViewRebuilds

    moment = _past("as-of", as_of) if as_of else None
    location = place.load()
    chosen = choose_views(location.graph, views)
    console = Console(stderr=True, quiet=as_json)
    with dagster_instance() as instance:
        rebuilds = ViewRebuilds(
            location,
            instance,
            location.project.store(),
            as_of=moment,
            empty_first=empty_first,
            allow_failed=allow_failed_checks,
        )
        outcomes = [_rebuilt(rebuilds, name, console) for name in chosen]
    if as_json:
        click.echo(json.dumps([each.plain() for each in outcomes], default=str))
    else:
        for each in outcomes:
            click.secho(each.line(), fg="red" if each.error else None, err=bool(each.error))
    if any(each.error for each in outcomes):
        return 2
    return 0 if all(each.rebuilt and each.rebuilt.equal for each in outcomes) else 1


def _rebuilt(rebuilds: "ViewRebuilds", view: str, console: "Console") -> "_Outcome":
    """Rebuild one view; an error does not keep the others from being rebuilt."""
    from rich.progress import Progress

    hidden = console.quiet or not console.is_terminal
    try:
        with Progress(console=console, disable=hidden, transient=True) as bar:
            task = bar.add_task(view, total=None)
            rebuilt = rebuilds.rebuild(
                view, lambda done, parts: bar.update(task, completed=done, total=parts)
            )
    except FeaturePlatformError as error:
        return _Outcome(view, error=error)
    except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
        wrapped = FeaturePlatformError(
            f"feature view '{view}'",
            f"it was not rebuilt ({reason_of(error)})",
            "run feature-platform doctor, which says what can be reached; a rebuild resumes",
        )
        return _Outcome(view, error=wrapped)
    return _Outcome(view, rebuilt)


@dataclass(frozen=True)
class _Outcome:
    """One of the two for a view.

    Attributes:
        view: Its name.
        rebuilt: What was written and read back.
        error: Why it was not rebuilt, or not read back.
    """

    view: str
    rebuilt: "RebuiltView | None" = None
    error: FeaturePlatformError | None = None

    def plain(self) -> dict[str, object]:
        """For machines."""
        if self.rebuilt is None:
            return {"view": self.view, "error": self.error and plain_error(self.error)}
        done = self.rebuilt
        return {**asdict(done.result), "equal": done.equal, "read_back": done.read_back}

    def line(self) -> str:
        """For people."""
        if self.rebuilt is None:
            return f"error: {self.error}"
        result = self.rebuilt.result
        windows = ", ".join(str(window) for window in result.windows) or "nothing materialized"
        resumed = f", resumed at part {result.resumed_at}" if result.resumed_at else ""
        took = f"{result.keys_written} keys in {result.seconds:.1f} s"
        left = (
            "; keys that have left the source may still be served: --empty-first deletes them"
            if result.leaves_vanished
            else ""
        )
        return f"{self.view}: {took}{resumed}; {windows}; read back: {self.rebuilt.read_back}{left}"


def _past(name: str, text: str) -> datetime:
    moment, now = parse_moment(name, text), datetime.now(UTC)
    if moment > now:
        raise WindowError(
            f"{name} '{text}'",
            f"lies in the future (now is {now.isoformat(timespec='seconds')})",
            "leave it out for the newest state",
        )
    return moment
