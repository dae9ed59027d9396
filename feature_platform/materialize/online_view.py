"""One feature view in its online store: guarded writes, vanished keys, notes and crash markers."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from feature_platform.core.feast_seams import online_store_of
from feature_platform.core.windows import Window, merge, missing
from feature_platform.encoding.encoded_rows import EncodedRows, encode_batch, encode_feast_rows
from feature_platform.encoding.feast_rows import Row, feast_rows
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.vanished_keys import vanished_keys
from feature_platform.online.crash_marker import mark, marked_windows
from feature_platform.online.generic_writer import GenericWriter
from feature_platform.online.guarded_writer import EVER, Guard
from feature_platform.online.stores import writer_for
from feature_platform.sources.relation import Relation

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH_ROWS = 50_000
GENERIC_ROWS = 2_000

Fallback = Callable[[list[bytes]], Iterable[EncodedRows]]
"""Gives the latest row that keys have left elsewhere; a key without one is missing."""


class OnlineView:
    """One feature view's connection to its online store, and counts of what went through it.

    The caller holds the view's lock. Notes, crash markers and vanished keys need a bulk writer; in
    other stores there are none.

    Args:
        store: The Feast store.
        layout: The view.

    Attributes:
        writer: The bulk writer; None if this type of store is written through Feast.
        oldest: Rows with an earlier event time are not written (TTL); None without a TTL.
        is_streamed: Whether a stream writes the view too.
        key_version: ``entity_key_serialization_version`` of the repo.
        rows_read: Source rows read.
        rows_without_key: Source rows that lack a part of their key.
        keys_written: Keys sent to the online store.
        keys_vanished: Keys that were replaced or deleted because their rows left the source.
        rebuild_due: Whether vanished keys may be served that this store cannot name.
    """

    def __init__(self, store: "FeatureStore", layout: ViewLayout) -> None:
        self.store = store
        self.layout = layout
        self.writer = writer_for(online_store_of(store), store.config)
        self.oldest = datetime.now(UTC) - layout.ttl if layout.ttl else None
        self.is_streamed = layout.view.stream_source is not None
        self.key_version = store.config.entity_key_serialization_version
        self.rows_read = 0
        self.rows_without_key = 0
        self.keys_written = 0
        self.keys_vanished = 0
        self.rebuild_due = False
        self._generic = GenericWriter(store)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer is not None:
            self.writer.close()

    @property
    def batch_rows(self) -> int:
        """How many rows to write at a time."""
        return GENERIC_ROWS if self.writer is None else BATCH_ROWS

    def guard(self, windows: Sequence[Window]) -> Guard:
        """The guard for rows read over some windows: stored rows of these windows are replaced.

        A streamed view's row is only replaced by a newer one, since it may be the stream's.
        """
        return Guard(
            governed=() if self.is_streamed else tuple(windows),
            compares_created=bool(self.layout.source.created_timestamp_column),
        )

    def write(
        self,
        batches: Iterable[pa.RecordBatch],
        guard: Guard,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write batches of `latest_rows`; `progress` is called with the rows of each."""
        view = self.layout.view
        for batch in batches:
            if not batch.num_rows:
                continue
            if self.writer is None:
                self._generic.write(view, feast_rows(batch, self.layout), guard)
            else:
                rows = encode_batch(batch, self.layout, self.key_version)
                self.writer.write(view, rows, guard)
            self.keys_written += batch.num_rows
            if progress is not None:
                progress(batch.num_rows)

    def write_rows(self, rows: Sequence[Row], guard: Guard) -> None:
        """Write rows of Feast's form, at most one per key."""
        if self.writer is None:
            self._generic.write(self.layout.view, rows, guard)
        else:
            for encoded in encode_feast_rows(rows, self.key_version):
                self.writer.write(self.layout.view, encoded, guard)
        self.keys_written += len(rows)

    def clear_vanished(
        self,
        relation: Relation,
        windows: Iterable[Window],
        fallback: Fallback,
        guard: Guard,
    ) -> None:
        """Replace or delete keys that are online from the windows and not in the source any more.

        The relation holds at least the windows.
        """
        if self.writer is None:
            self.rebuild_due = True
            return
        for part in self.split_at_ttl(windows):
            found = vanished_keys(relation, self.writer, self.layout, part, self.key_version)
            for keys in found:
                self.replace_vanished(keys, part, fallback, guard)

    def replace_vanished(
        self, keys: list[bytes], window: Window, fallback: Fallback, guard: Guard
    ) -> None:
        """Write the latest row that keys have left; delete the others from `window`."""
        if self.writer is None:
            return
        view = self.layout.view
        for rows in fallback(keys):
            self.writer.write(view, rows, guard)
        # A key that got a row of another window is not in this one any more, and stays.
        self.writer.delete(view, keys, window)
        self.keys_vanished += len(keys)

    def delete_all(self, window: Window = EVER) -> None:
        """Delete the view's rows with an event time in the window."""
        if self.writer is not None:
            for keys in self.writer.keys_within(self.layout.view, window):
                self.writer.delete(self.layout.view, keys.to_pylist(), window)

    def split_at_ttl(self, windows: Iterable[Window]) -> list[Window]:
        """The windows, cut at `oldest`: rows before it do not account for keys online after it."""
        parts: list[Window] = []
        for window in windows:
            if self.oldest is None or not window.start < self.oldest < window.end:
                parts.append(window)
            else:
                parts += [Window(window.start, self.oldest), Window(self.oldest, window.end)]
        return parts

    def unexpired(self, windows: Sequence[Window]) -> list[Window]:
        """The parts of the windows from `oldest` on."""
        if self.oldest is None:
            return list(windows)
        return [
            Window(max(window.start, self.oldest), window.end)
            for window in windows
            if window.end > self.oldest
        ]

    def note(self, topic: str) -> str | None:
        """A text about the view that is kept in the online store; None if there is none."""
        return None if self.writer is None else self.writer.note(self.layout.view, topic)

    def set_note(self, topic: str, text: str | None) -> None:
        """Keep a text about the view in the online store; None removes it."""
        if self.writer is not None:
            self.writer.set_note(self.layout.view, topic, text)

    def marked(self) -> list[Window]:
        """Windows with a crash marker: their rows may be online though they are not recorded."""
        return marked_windows(self.writer, self.layout.view)

    def unrecorded(self, recorded: Sequence[Window]) -> list[Window]:
        """Marked windows that are not recorded; none where a stream may own the rows."""
        return [] if self.is_streamed else missing(self.marked(), recorded)

    def mark(self, window: Window) -> None:
        """Set the window's crash marker, before its first row is written."""
        mark(self.writer, self.layout.view, merge([*self.marked(), window]))

    def unmark(self, window: Window) -> None:
        """Clear the window's crash marker, once it is recorded or deleted."""
        mark(self.writer, self.layout.view, missing(self.marked(), [window]))
