"""An empty or damaged online store, rebuilt to the state of all materialized windows."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import online_store_of
from feature_platform.core.windows import Window, merge
from feature_platform.encoding.view_layout import view_layout
from feature_platform.errors import OnlineStoreError, WindowError
from feature_platform.materialize.computed_partitions import partitions_of, rebuild_computed
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.rebuild_work import RebuildWork, rebuild_plan
from feature_platform.materialize.window_gate import WindowGate, open_sources
from feature_platform.online.guarded_writer import FAR_AHEAD
from feature_platform.online.store_errors import online_store_errors
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import change_windows, load_view, windows_of
from feature_platform.repo.computability import is_computed_here, why_transformed

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class RebuildResult:
    """What `rebuild_online` did.

    Attributes:
        view: Name of the feature view.
        windows: The merged windows that are online now.
        keys_written: Keys written by this call.
        keys_deleted: Keys that were online from after `as_of`, or whose rows have left the source;
            they got their latest remaining row, or were deleted.
        parts: Into how many parts the keys were divided.
        resumed_at: The part it continued from; 0 if it started over.
        seconds: Wall time.
        leaves_vanished: Whether keys may still be served that have left the source: they cannot be
            detected in this online store or computed view, and it was not emptied first.
    """

    view: str
    windows: tuple[Window, ...]
    keys_written: int
    keys_deleted: int
    parts: int
    resumed_at: int
    seconds: float
    leaves_vanished: bool


def rebuild_online(
    store: "FeatureStore",
    view: str,
    *,
    as_of: datetime | None = None,
    empty_first: bool = False,
    progress: Callable[[int, int], None] | None = None,
    gate: WindowGate | None = None,
) -> RebuildResult:
    """Write the latest row of every key over all materialized windows, in one pass per view.

    The keys are divided into parts, and the online store keeps a note of those that are done. A
    call after a crash continues there, if the source's content is the same, nothing was
    materialized since, and the keys of those parts are all still online; otherwise it starts over.
    Keys that have left the source are deleted if the store can name them.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        as_of: Rebuild the state of this moment: later rows are deleted, and their windows count as
            missing. Aware; None rebuilds the present state.
        empty_first: Delete all rows of the view first, those of streams too; keys are null until
            they are written again. In stores that cannot name keys that have left the source, only
            this removes them.
        progress: Called after each part with the number of parts done and in all.
        gate: Judges the opened rows of all windows before anything is changed; None lets all pass.

    Raises:
        WindowError: `as_of` is naive.
        RegistryError: There is no such view, or the registry cannot be reached.
        SourceError: The source is missing, unreadable, or lacks a column.
        OnlineStoreError: The view is not served online, or the online store failed.
    """
    began = time.monotonic()
    if as_of is not None and as_of.utcoffset() is None:
        raise WindowError(
            f"feature view '{view}'",
            f"the moment {as_of} has no time zone",
            "give an aware datetime, for example 2026-03-01T00:00:00+00:00",
        )
    gate = gate or WindowGate()
    with view_lock(store, view), ExitStack() as stack:
        found = load_view(store, view)
        layout, present = view_layout(found), windows_of(found)
        windows = _until(present, as_of)
        source, plan = None, ""
        if why_transformed(found):
            _require_rebuildable(store, found, as_of)
        else:
            opened = stack.enter_context(open_sources(store.config, layout, gate, windows))
            for window in windows:
                gate.require(opened, window)
            source = opened[layout.source.name]
            plan = rebuild_plan(store, layout, source, windows, as_of, empty_first=empty_first)
        if windows != present:
            # Before anything is deleted: after a crash the later windows count as missing.
            change_windows(store, view, lambda recorded: _until(recorded, as_of))
        with online_store_errors(store, view), OnlineView(store, layout) as online:
            _make_table(store, found)
            empty = partial(_empty, online) if empty_first else None
            if source is None:
                rebuild_computed(online, present, progress, empty, gate)
                resumed_at, parts = 0, len(partitions_of(found, present))
            else:
                # Rows from `as_of` on, recorded or not: a crashed call may have removed the record.
                later = [] if as_of is None else [Window(as_of, FAR_AHEAD)]
                undone = merge([*later, *online.unrecorded(present)])
                work = RebuildWork(online, source, windows, plan)
                resumed_at, parts = work.run(merge([*present, *undone]), progress, empty)
                for window in undone:
                    work.take_back(window)
                    online.unmark(window)
                work.finish()
    return RebuildResult(
        view=view,
        windows=tuple(windows),
        keys_written=online.keys_written,
        keys_deleted=online.keys_vanished,
        parts=parts,
        resumed_at=resumed_at,
        seconds=time.monotonic() - began,
        leaves_vanished=not empty_first and (source is None or online.writer is None),
    )


def _make_table(store: "FeatureStore", view: Any) -> None:
    """Let the online store make the view's table, as ``feast apply`` does; it may be lost too."""
    _update(store, delete=[], keep=[view])


def _empty(online: OnlineView) -> None:
    """Delete every row of a view, and none of another."""
    if online.writer is not None:
        online.delete_all()
        return
    store, view = online.store, online.layout.view
    # Stores that keep several views in one table have to know the others.
    others = [
        each
        for each in store.registry.list_all_feature_views(store.project)
        if each.name != view.name and getattr(each, "online", False)
    ]
    _update(store, delete=[view], keep=others)
    _make_table(store, view)


def _update(store: "FeatureStore", *, delete: Sequence[Any], keep: Sequence[Any]) -> None:
    online_store_of(store).update(
        config=store.config,
        tables_to_delete=delete,
        tables_to_keep=keep,
        entities_to_delete=[],
        entities_to_keep=[],
        partial=True,
    )


def _require_rebuildable(store: "FeatureStore", view: Any, as_of: datetime | None) -> None:
    """Refuse computed views whose engine runs elsewhere, and to rebuild them as of a moment."""
    why = f"Feast computes it: {why_transformed(view)}"
    if not is_computed_here(store.config):
        raise OnlineStoreError(
            f"feature view '{view.name}'",
            f"it cannot be rebuilt here, because {why}, with '{store.config.batch_engine.type}'",
            "materialize its windows again",
        )
    if as_of is not None:
        raise OnlineStoreError(
            f"feature view '{view.name}'",
            f"it cannot be put back to {as_of.isoformat()}, because {why}, a partition at a time",
            "rebuild it as it is now",
        )


def _until(windows: Iterable[Window], as_of: datetime | None) -> list[Window]:
    if as_of is None:
        return list(windows)
    return [
        Window(window.start, min(window.end, as_of)) for window in windows if window.start < as_of
    ]
