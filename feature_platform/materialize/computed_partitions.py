"""Views that Feast computes, over all their materialized windows, one partition at a time."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from feature_platform.compute.computed_rows import ComputedRows, computed_rows, rows_of
from feature_platform.core.windows import Window
from feature_platform.encoding.feast_rows import Row
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.computed_windows import MOVES_TIMES
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.window_gate import WindowGate, open_sources
from feature_platform.repo.view_settings import read_settings

if TYPE_CHECKING:
    from feast import FeatureStore

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def partitions_of(view: Any, windows: Sequence[Window]) -> list[Window]:
    """The recorded windows of a view, cut into the partitions in which they were computed."""
    length = read_settings(str(view.name), view.tags).length
    partitions: list[Window] = []
    for window in windows:
        start = window.start
        while start < window.end:
            end = start - (start - _EPOCH) % length + length
            partitions.append(Window(start, min(end, window.end)))
            start = end
    return partitions


def newest_computed(
    store: "FeatureStore", layout: ViewLayout, windows: Sequence[Window]
) -> datetime | None:
    """The greatest event time of the newest partition that has rows; None if none has.

    Newer source rows need not give rows: in a join their key may be missing elsewhere.

    Raises:
        TransformationError: The rows cannot be computed.
        SourceError: A source is missing, unreadable, or lacks a column.
    """
    for window in reversed(partitions_of(layout.view, windows)):
        times = _judged(store, layout, window, WindowGate()).event_times
        if len(times):
            newest: datetime = pc.max(times).as_py()
            return newest
    return None


def latest_computed(  # noqa: PLR0917  what is computed, and who is told
    store: "FeatureStore",
    layout: ViewLayout,
    windows: Sequence[Window],
    progress: Callable[[int, int], None] | None = None,
    moved: Callable[[Window], object] | None = None,
    gate: WindowGate | None = None,
) -> list[Row]:
    """The latest row of every key over some windows, each computed by itself, as Feast's rows.

    Args:
        store: The Feast store.
        layout: The view.
        windows: Windows as they were materialized, in any order.
        progress: Called after each window with the number of windows done and in all.
        moved: Called with each window that gave a row with an event time outside of it.
        gate: Judges the source rows of each window; None lets all pass.

    Raises:
        GateError: The gate refuses a window.
    """
    newest: dict[bytes, Row] = {}
    ordered = sorted(windows)
    for number, window in enumerate(ordered, 1):
        rows = rows_of(_judged(store, layout, window, gate or WindowGate()), layout)
        if moved is not None and any(row[2] not in window for row in rows):
            moved(window)
        for row in rows:
            key = row[0].SerializeToString(deterministic=True)
            other = newest.get(key)
            if other is None or _order(row) >= _order(other):
                newest[key] = row
        if progress is not None:
            progress(number, len(ordered))
    return list(newest.values())


def rebuild_computed(
    online: OnlineView,
    present: Sequence[Window],
    progress: Callable[[int, int], None] | None,
    empty: Callable[[], object] | None,
    gate: WindowGate,
) -> None:
    """Write the latest row of every key over all materialized windows, each computed again.

    Windows of crashed runs are emptied.

    Args:
        online: The view.
        present: The materialized windows; their stored rows are replaced, whatever their time.
        progress: Called after each partition with the number of partitions done and in all.
        empty: Deletes all rows of the view; called once everything is computed. None keeps them.
        gate: Judges the source rows of each window before anything is written.
    """
    moved: list[Window] = []
    windows = partitions_of(online.layout.view, present)
    rows = latest_computed(online.store, online.layout, windows, progress, moved.append, gate)
    if online.oldest is not None:
        rows = [row for row in rows if row[2] >= online.oldest]
    crashed = online.unrecorded(present)
    if empty is not None:
        empty()
    # An emptied view needs the note only if these rows do; a lost store has lost its note.
    if moved or empty is not None:
        online.set_note(MOVES_TIMES, "1" if moved else None)
    online.write_rows(rows, online.guard([*present, *crashed]))
    if online.note(MOVES_TIMES) is None:
        # A key that has a row in a recorded window has got that one by now.
        for window in crashed:
            online.delete_all(window)
            online.unmark(window)


def _judged(
    store: "FeatureStore", layout: ViewLayout, window: Window, gate: WindowGate
) -> ComputedRows:
    """A window's rows, computed from source rows that the gate has let pass."""
    with open_sources(store.config, layout, gate, [window]) as opened:
        gate.require(opened, window)
        return computed_rows(store, layout, window, opened)


def _order(row: Row) -> tuple[datetime, bool, datetime]:
    _, _, event_time, created = row
    return event_time, created is not None, created or event_time
