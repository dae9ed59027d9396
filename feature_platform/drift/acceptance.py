"""Accepting a change: what a feature has become is its baseline from a window on."""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, time

from feature_platform.core.windows import Window
from feature_platform.drift.accepted import Accepted
from feature_platform.drift.drift_results import WindowDrift
from feature_platform.drift.drift_settings import Named, TrainingSetReference
from feature_platform.drift.view_state import ViewState
from feature_platform.errors import RepoError


def accept(state: ViewState, feature: str, span: Window, how: str) -> Accepted:
    """Make a feature's values in the windows of `span` its baseline from there on.

    Later windows are compared with those of `span` and after, those of `span` with each other;
    windows before it are judged as before.

    Raises:
        RepoError: The view has no such feature, or is not compared with its earlier windows.
        SourceError: The change cannot be stored.
    """
    _require_moving_reference(state, span)
    if feature not in state.columns:
        raise RepoError(
            f"feature '{feature}'",
            f"is not one of view '{state.view}'",
            f"choose one of: {', '.join(sorted(state.columns))}",
        )
    accepted = Accepted(feature, span, how, datetime.now(UTC))
    state.accepted.add(accepted)
    return accepted


def accept_window(
    state: ViewState,
    result: WindowDrift,
    features: Sequence[str] = (),
    start: datetime | None = None,
) -> list[Accepted]:
    """Accept the drift of a window, from the first window in a row that shows it.

    Args:
        state: The view.
        result: The drift of the window.
        features: Empty for all that have drifted in it.
        start: First moment of the new baseline, in place of the first window in a row.

    Raises:
        RepoError: As `accept`; or no feature has drifted; or `start` is after the window.
        SourceError: A change cannot be stored.
    """
    names = features or sorted(result.streaks)
    window = result.window
    if not names:
        raise RepoError(
            f"window {window} of feature view '{state.view}'",
            "shows no drift to accept",
            "choose another with --date, or name features with --feature",
        )
    if start is not None and start >= window.end:
        raise RepoError(
            f"start {start.isoformat()}", f"is after window {window}", "choose an earlier one"
        )
    spans = {}
    for name in names:
        before = (result.streaks.get(name, 1) - 1) * state.partition
        spans[name] = Window(start or window.start - before, window.end)
    return [accept(state, name, span, "by hand") for name, span in spans.items()]


def accept_command(state: ViewState, window: Window, *features: str) -> str:
    """The command that accepts the drift of a window, of all features that have drifted if none."""
    only = "".join(f" --feature {shlex.quote(each)}" for each in features)
    whole = window.start.time() == time.min
    moment = window.start.date().isoformat() if whole else f"{window.start:%Y-%m-%dT%H:%M}"
    return f"feature-platform drift --view {shlex.quote(state.view)} --date {moment} --accept{only}"


def _require_moving_reference(state: ViewState, span: Window) -> None:
    """Raise if windows are not compared with earlier ones, with the remedy for each reference."""
    if state.has_moving_reference:
        return
    kind, view = state.drift.reference, shlex.quote(state.view)
    if isinstance(kind, Named):
        remedy = (
            f"set it again: feature-platform drift --view {view} --set-reference "
            f"{shlex.quote(kind.name)} --start {span.start.date()} --end {span.end.date()}"
        )
    elif isinstance(kind, TrainingSetReference):
        service = shlex.quote(kind.service)
        remedy = f"train again: feature-platform training-set --service {service}"
    else:
        remedy = "write later days into drift.yaml"
    raise RepoError(
        f"feature view '{state.view}'", "is not compared with its earlier windows", remedy
    )
