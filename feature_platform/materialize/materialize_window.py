"""`materialize_window`: put exactly one half-open window of a feature view online."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import view_layout
from feature_platform.errors import WindowError
from feature_platform.materialize.materialization import Materialization
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.window_gate import WindowGate, open_sources
from feature_platform.online.store_errors import online_store_errors
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import load_view, record_window, windows_of

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class MaterializationResult:
    """What one call of `materialize_window` did.

    Attributes:
        view: Name of the feature view.
        window: The half-open window that is online now.
        rows_read: Source rows in the window.
        keys_written: Keys whose latest row of the window was sent to the online store, which keeps
            its own row if that is newer. Of many, those known to be newer there are not sent.
        rows_without_key: Source rows in the window that lack a part of their key; they are left
            out, since they cannot be served.
        keys_vanished: Keys that were online from this window and have no row in it any more; they
            got their latest remaining row, or were deleted.
        seconds: Wall time.
        path: "fast" if keys and values were encoded by column, "stock" if by Feast's own code.
        reason: Why the path is "stock"; empty for "fast".
        rebuild_due: The window was online before, and this online store cannot find keys that have
            vanished from it since; only `rebuild_online` would remove them.
    """

    view: str
    window: Window
    rows_read: int
    keys_written: int
    rows_without_key: int
    keys_vanished: int
    seconds: float
    path: str
    reason: str = ""
    rebuild_due: bool = False


def materialize_window(
    store: "FeatureStore",
    view: str,
    start: datetime,
    end: datetime,
    *,
    progress: Callable[[int], None] | None = None,
    gate: WindowGate | None = None,
) -> MaterializationResult:
    """Put the window ``[start, end)`` of a feature view online, and record it in the registry.

    Afterwards the online store holds, for every key with a row in the window, the row with the
    greatest (event time, created time) among the rows of all materialized windows. A key whose
    rows have left the window since it was last materialized gets its latest remaining row, or is
    deleted. So windows may be materialized in any order, and a run that crashed is repaired by
    running it again. The view is served throughout.

    Args:
        store: The Feast store.
        view: Name of a feature view or stream feature view (its batch source is read).
        start: First moment of the window, aware.
        end: First moment after the window, aware, not in the future.
        progress: Called with the number of keys just written, every batch.
        gate: Judges the opened rows of the window before any of them is written, and those that
            vanished keys fall back on; if it refuses the window, nothing has been written. None
            lets all pass.

    Raises:
        WindowError: An end is naive, the window is empty or reversed, or ends in the future.
        RegistryError: There is no such view, or the registry cannot be reached.
        SourceError: The source is missing, unreadable, lacks a column, or holds a value that does
            not fit the declared type.
        TransformationError: The rows of a view that Feast computes cannot be computed.
        OnlineStoreError: The view is not served online, or the online store failed.
    """
    began = time.monotonic()
    window = _past_window(view, start, end)
    gate = gate or WindowGate()
    with view_lock(store, view):
        found = load_view(store, view)
        layout = view_layout(found)
        with open_sources(store.config, layout, gate, [window]) as opened:
            gate.require(opened, window)
            with online_store_errors(store, view), OnlineView(store, layout) as online:
                work = Materialization(online, window, windows_of(found), gate, opened, progress)
                work.run()
                record_window(store, view, window)
                online.unmark(window)
    return MaterializationResult(
        view=view,
        window=window,
        rows_read=online.rows_read,
        keys_written=online.keys_written,
        rows_without_key=online.rows_without_key,
        keys_vanished=online.keys_vanished,
        seconds=time.monotonic() - began,
        path="stock" if work.reason else "fast",
        reason=work.reason,
        rebuild_due=online.rebuild_due,
    )


def _past_window(view: str, start: datetime, end: datetime) -> Window:
    window = Window(start, end)
    if window.end > datetime.now(UTC):
        raise WindowError(
            f"feature view '{view}'",
            f"window {window} ends in the future",
            "materialize it when it is over, or up to the present moment",
        )
    return window
