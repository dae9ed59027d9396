"""The one way into the online store: exactly a half-open window of one feature view."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feature_platform.engine.latest import count_rows, latest_rows, source_columns
from feature_platform.engine.layout import ViewLayout, view_layout
from feature_platform.engine.relation import Relation, open_relation
from feature_platform.engine.rows import feast_rows
from feature_platform.errors import FeaturePlatformError, OnlineStoreError, WindowError
from feature_platform.store.locks import view_lock
from feature_platform.store.registry import load_view, record_window, windows_of
from feature_platform.store.windows import Window, merge

if TYPE_CHECKING:
    from feast import FeatureStore

_BATCH_ROWS = 10_000


@dataclass(frozen=True)
class MaterializationResult:
    """What one call of `materialize_window` did.

    Attributes:
        view: Name of the feature view.
        window: The half-open window that is online now.
        rows_read: Source rows in the window.
        keys_written: Keys whose latest row was sent to the online store.
        rows_without_key: Source rows in the window that lack a part of their key; they cannot be
            served and are left out.
        seconds: Wall time.
        path: "fast" when keys and values were built by column, "stock" when by Feast's own code.
        reason: Why the path is "stock"; empty for "fast".
    """

    view: str
    window: Window
    rows_read: int
    keys_written: int
    rows_without_key: int
    seconds: float
    path: str
    reason: str = ""


def materialize_window(
    store: "FeatureStore",
    view: str,
    start: datetime,
    end: datetime,
    *,
    progress: Callable[[int], None] | None = None,
) -> MaterializationResult:
    """Put the window ``[start, end)`` of a feature view online, and record it in the registry.

    Afterwards the online store holds, for every key with a row in the window, the row with the
    greatest (event time, created time) among the rows of all materialized windows as the source
    now has them; so the order in which windows are materialized does not matter, and a crash is
    mended by running again. The view goes on being served throughout.

    Args:
        store: The Feast store.
        view: Name of a feature view or stream feature view (its batch source is read).
        start: First moment of the window, aware.
        end: First moment after the window, aware, not in the future.
        progress: Called with the number of keys just written, every batch.

    Raises:
        WindowError: An end is naive, the window is empty or reversed, or ends in the future.
        RegistryError: There is no such view, or the registry cannot be reached.
        SourceError: The source is missing, unreadable, or lacks a column.
        OnlineStoreError: The view is not served online, or the online store failed.
    """
    began = time.monotonic()
    window = _past_window(view, start, end)
    with view_lock(store, view):
        found = load_view(store, view)
        layout = view_layout(found)
        served = _served_from(window, windows_of(found))
        with open_relation(store, layout.source, served, source_columns(layout)) as relation:
            rows, keyless = count_rows(relation, layout, window)
            written = 0
            for count in _write(store, relation, layout, window, served):
                written += count
                if progress is not None:
                    progress(count)
        record_window(store, view, window)
    return MaterializationResult(
        view=view,
        window=window,
        rows_read=rows,
        keys_written=written,
        rows_without_key=keyless,
        seconds=time.monotonic() - began,
        path="stock",
        reason=f"online store '{store.config.online_store.type}' is written through Feast",
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


def _served_from(window: Window, materialized: list[Window]) -> list[Window]:
    """What counts for the keys of `window`: it, and what is materialized after its start.

    Every key has a row in the window itself, so no row before the start can be its latest.
    """
    later = [
        Window(max(other.start, window.start), other.end)
        for other in materialized
        if other.end > window.start
    ]
    return merge([window, *later])


def _write(
    store: "FeatureStore",
    relation: Relation,
    layout: ViewLayout,
    window: Window,
    served: list[Window],
) -> Iterator[int]:
    """Write batch by batch; yields the number of keys of each."""
    not_before = datetime.now(UTC) - layout.ttl if layout.ttl else None
    provider = store._get_provider()  # noqa: SLF001 - what Feast's own materialize goes through
    batches = latest_rows(
        relation, layout, window, served, not_before=not_before, batch_rows=_BATCH_ROWS
    )
    for batch in batches:
        rows = feast_rows(batch, layout)
        with _store_errors(store, layout):
            provider.online_write_batch(store.config, layout.view, rows, None)
        yield len(rows)


@contextmanager
def _store_errors(store: "FeatureStore", layout: ViewLayout) -> Iterator[None]:
    """Turn whatever an online store raises into an error that names it."""
    try:
        yield
    except FeaturePlatformError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()
        raise OnlineStoreError(
            f"feature view '{layout.name}'",
            f"the online store '{store.config.online_store.type}' failed "
            f"({type(error).__name__}{': ' + text[0] if text else ''})",
            "check that the store runs and that feast apply has made the view's table",
        ) from error
