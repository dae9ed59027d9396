"""The online store of a view, from empty to the state of all its materialized windows."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.windows import Window, merge
from feature_platform.encoding.view_layout import ViewLayout, view_layout
from feature_platform.errors import OnlineStoreError, WindowError
from feature_platform.materialize.computed_windows import partitions_of, rebuild_computed
from feature_platform.materialize.rebuild_work import RebuildWork
from feature_platform.online.guarded_writer import FAR_AHEAD
from feature_platform.online.store_errors import online_store_errors
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import change_windows, load_view, windows_of
from feature_platform.repo.computability import is_computed_here, why_transformed
from feature_platform.sources.latest_rows import source_columns
from feature_platform.sources.source_columns import time_columns
from feature_platform.sources.window_digests import window_digests

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class RebuildResult:
    """What `rebuild_online` did.

    Attributes:
        view: Name of the feature view.
        windows: The merged windows that are online now.
        keys_written: Keys written by this call.
        keys_deleted: Keys that were online from after `as_of`, or that have left the source: they
            got their latest remaining row, or were deleted.
        parts: Into how many parts the keys were divided.
        resumed_at: The part it went on from; 0 when it began anew.
        seconds: Wall time.
        leaves_vanished: Whether keys may still be served that have left the source: this online
            store, or a view that Feast computes, does not tell which, and it was not emptied first.
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
    before: Callable[[], object] | None = None,
) -> RebuildResult:
    """Write the latest row of every key over all materialized windows, in one pass a view.

    The keys are divided into parts, and the online store itself remembers which are done, so that
    a call after a crash goes on where that one ended: if the source still holds the same in the
    windows, nothing was materialized since, and the keys of those parts are all online still. Else
    it begins anew. Keys that have left the source are taken out, where the store can name them.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        as_of: Put online what was the latest then: rows from that moment on do not count, are taken
            out, and their windows count as missing. Aware; None takes everything.
        empty_first: Take out all that is online of the view, what streams have pushed included; a
            key is null until it is written again. Only so does a key go that has left the source,
            where the online store cannot name such keys.
        progress: Called after each part with the number of parts done and of all.
        before: Called when it is this call's turn, before anything is read or changed; if it
            raises, nothing has been.

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
    with view_lock(store, view):
        if before is not None:
            before()
        found = load_view(store, view)
        layout = view_layout(found)
        present = windows_of(found)
        if why_transformed(found):
            _require_here(store, found, as_of)
            with online_store_errors(store, view), RebuildWork(store, layout) as work:
                _make_table(store, found)
                keys = rebuild_computed(
                    store,
                    layout,
                    present,
                    begun=work.begun(present),
                    cleared=work.finish,
                    progress=progress,
                    empty=partial(_empty, store, layout) if empty_first else None,
                )
            seconds = time.monotonic() - began
            parts = len(partitions_of(found, present))
            return RebuildResult(
                view, tuple(present), keys, 0, parts, 0, seconds, leaves_vanished=not empty_first
            )
        windows = _until(present, as_of)
        # Whatever is there from then on: a crashed call may have taken its windows back already.
        undone = [] if as_of is None else [Window(as_of, FAR_AHEAD)]
        content = _content(store, layout, windows)
        if windows != present:
            # First of all: a crash then leaves windows that count as missing, and are.
            change_windows(store, view, lambda there: _until(there, as_of))
        with online_store_errors(store, view):
            _make_table(store, found)
        with online_store_errors(store, view), RebuildWork(store, layout) as work:
            plan = _plan(store, layout, windows, as_of, [*content, empty_first])
            done, count = work.progress(plan, windows)
            if empty_first and not done:
                _empty(store, layout)
            had_rows = not empty_first and work.holds_rows()
            # What crashed runs have put online of windows that are recorded nowhere goes too.
            undone = merge([*undone, *work.begun(present)])
            governed = merge([*present, *undone])
            count = count or work.parts(windows)
            for number in range(done, count):
                work.write_all(windows, (number, count), governed)
                work.set_progress(plan, number + 1, count)
                if progress is not None:
                    progress(number + 1, count)
            if had_rows:
                work.clear_vanished(windows)
            for window in undone:
                work.clear(window, windows)
                work.finish(window)
            work.forget_progress()
    return RebuildResult(
        view=view,
        windows=tuple(windows),
        keys_written=work.keys_written,
        keys_deleted=work.keys_vanished,
        parts=count,
        resumed_at=done,
        seconds=time.monotonic() - began,
        leaves_vanished=not (empty_first or work.names_vanished),
    )


def _make_table(store: "FeatureStore", view: Any) -> None:
    """Let the online store make what ``feast apply`` once made there, where that is gone too."""
    _update(store, delete=[], keep=[view])


def _empty(store: "FeatureStore", layout: ViewLayout) -> None:
    """Take out every row of a view, and none of another."""
    with RebuildWork(store, layout) as work:
        if work.names_vanished:
            work.take_out()
            return
    # Where views share a table, the online store has to know of the others.
    others = [
        view
        for view in store.registry.list_all_feature_views(store.project)
        if view.name != layout.view.name and getattr(view, "online", False)
    ]
    _update(store, delete=[layout.view], keep=others)
    _make_table(store, layout.view)


def _update(store: "FeatureStore", *, delete: Sequence[Any], keep: Sequence[Any]) -> None:
    provider = provider_of(store)
    provider.online_store.update(
        config=store.config,
        tables_to_delete=delete,
        tables_to_keep=keep,
        entities_to_delete=[],
        entities_to_keep=[],
        partial=True,
    )


def _require_here(store: "FeatureStore", view: Any, as_of: datetime | None) -> None:
    """Of views that Feast computes, those that are computed on this machine, as they are now."""
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


def _content(store: "FeatureStore", layout: ViewLayout, windows: Sequence[Window]) -> list[str]:
    """Hashes of what the source holds: parts that are done are done for that alone.

    The times count too, as they decide which row of a key is the latest.
    """
    columns = [*source_columns(layout), *(name for name in time_columns(layout.source) if name)]
    columns = list(dict.fromkeys(columns))
    digests = window_digests(store, layout.source, windows, columns, exclude=())
    return [digest.content_hash for digest in digests]


def _plan(
    store: "FeatureStore",
    layout: ViewLayout,
    windows: Sequence[Window],
    as_of: datetime | None,
    more: Sequence[object],
) -> str:
    """What decides what is written online, and into which parts its keys fall."""
    columns = [
        [each.name, each.source, each.value_type.name] for each in (*layout.keys, *layout.features)
    ]
    ended = "" if as_of is None else as_of.astimezone(UTC).isoformat()
    version = store.config.entity_key_serialization_version
    ttl = str(layout.ttl)
    return json.dumps([str(windows), duckdb.__version__, ended, columns, version, ttl, *more])
