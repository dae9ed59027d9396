"""The work of materializing one window: read, write, and clear away what has vanished."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from feature_platform.compute.computed_rows import compute_elsewhere
from feature_platform.core.feast_seams import online_store_of
from feature_platform.core.windows import Window, merge, missing
from feature_platform.encoding.encoded_rows import EncodedRows, batch_keys, encode_batch
from feature_platform.encoding.feast_rows import Row, feast_rows
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.computed_windows import ComputedWindow
from feature_platform.materialize.vanished_keys import remaining_rows, vanished_keys
from feature_platform.online.crash_marker import mark, marked_windows
from feature_platform.online.generic_writer import GenericWriter
from feature_platform.online.guarded_writer import Guard
from feature_platform.online.stores import writer_for
from feature_platform.repo.computability import is_computed_here, why_transformed
from feature_platform.sources.kept_relations import KeptRelations
from feature_platform.sources.latest_rows import (
    KEYS_A_PART,
    count_rows,
    distinct_keys,
    latest_rows,
    latest_rows_of,
    source_columns,
)
from feature_platform.sources.relation import Relation, open_relation

if TYPE_CHECKING:
    from feast import FeatureStore

BATCH_ROWS = 50_000
GENERIC_ROWS = 2_000
_MANY_ROWS = 20_000  # fewer are sent sooner than the online store is asked what it has
PROGRESS = "rebuild"
"""The note of how far a rebuild has come."""


class Materialization:
    """One view's connection to its online store, and what was done through it.

    Args:
        store: The Feast store.
        layout: The view.
        may_serve: See `materialize_window`.

    Attributes:
        rows_read: Source rows read.
        keys_written: Keys sent to the online store.
        rows_without_key: Source rows that lack a part of their key.
        keys_vanished: Keys that were replaced or deleted because their rows have left the source.
        reason: Why Feast's own code was used; empty when it was not.
        rebuild_due: Whether keys may have vanished that this online store cannot name.
    """

    def __init__(
        self,
        store: "FeatureStore",
        layout: ViewLayout,
        may_serve: Callable[[Sequence[Window]], Sequence[Window]] | None = None,
    ) -> None:
        self._store = store
        self._layout = layout
        self._may_serve = may_serve
        online = online_store_of(store)
        self._writer = writer_for(online, store.config)
        self._generic = GenericWriter(store)
        self._kept = KeptRelations(store.config, layout.source, source_columns(layout))
        self._version = store.config.entity_key_serialization_version
        self.rows_read = 0
        self.keys_written = 0
        self.rows_without_key = 0
        self.keys_vanished = 0
        self.rebuild_due = False
        self.reason = (
            ""
            if self._writer is not None
            else f"online store '{store.config.online_store.type}' is written through Feast"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()
        if self._writer is not None:
            self._writer.close()

    def run(
        self,
        window: Window,
        materialized: Sequence[Window],
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Put one window online.

        Args:
            window: Half-open, in the past.
            materialized: What the registry says is online.
            progress: Called with the number of keys just written.
        """
        attempts = self._begin(window)
        served = merge([*materialized, window])
        unrecorded = missing(attempts, served)
        # Rows that came from this window's batch are its to take back; where a stream writes too, a
        # newer row may be the stream's, and stays. A row of a later window stays as well, be it in
        # the source now or not: whether it has gone for good is for that window's own run to say.
        is_streamed = self._layout.view.stream_source is not None
        guard = self._guard([window, *unrecorded])
        transformed = why_transformed(self._layout.view)
        if transformed:
            self.reason = f"Feast computes it: {transformed}"
            again = _shared(window, [*materialized, *attempts])
            self._run_transformed(window, again, served, guard, progress)
            return
        with open_relation(
            self._store.config, self._layout.source, [window], source_columns(self._layout)
        ) as relation:
            rows, keyless, count = count_rows(relation, self._layout, window)
            self.rows_read += rows
            self.rows_without_key += keyless
            again = [
                part
                for other in merge([*materialized, *attempts])
                if (part := window.intersection(other)) is not None
            ]
            is_late = any(other.end > window.end for other in materialized)
            late = (
                self._late_keys(relation, window)
                if is_late and count == 1 and rows >= _MANY_ROWS and not unrecorded
                else None
            )
            batch_rows = GENERIC_ROWS if self._writer is None else BATCH_ROWS
            fresh = {"not_before": self._not_before()}
            for number in range(count):
                batches = (
                    latest_rows(
                        relation,
                        self._layout,
                        window,
                        batch_rows=batch_rows,
                        part=(number, count),
                        **fresh,
                    )
                    if late is None
                    else latest_rows_of(
                        relation,
                        self._layout,
                        late.to_write,
                        batch_rows=batch_rows,
                        once=late.to_write.num_rows < _MANY_ROWS,
                        **fresh,
                    )
                )
                self._write_all(batches, guard, progress)
            if not again or is_streamed:
                return
            if late is not None and again == [window] == _sides(window, self._not_before()):
                if late.vanished:
                    allowed = self._allowed(served, self._not_before())
                    self._replace_vanished(late.vanished, window, allowed, guard)
            else:
                self._clear_vanished(relation, again, served, guard)

    def finish(self, window: Window) -> None:
        """Clear the window's crash marker, once it is recorded or taken out again."""
        self._mark(missing(self._marked(), [window]))

    def note(self, topic: str) -> str | None:
        """What the online store remembers of the view; nothing where it has no bulk writer."""
        return None if self._writer is None else self._writer.note(self._layout.view, topic)

    def set_note(self, topic: str, text: str | None) -> None:
        """Let the online store remember something of the view, where it has a bulk writer."""
        if self._writer is not None:
            self._writer.set_note(self._layout.view, topic, text)

    def _begin(self, window: Window) -> list[Window]:
        """Mark the window in the store, so that a crash is noticed; returns those marked before."""
        begun = self._marked()
        if self.note(PROGRESS) is not None:
            # What an interrupted rebuild has written is what the source held then, this now.
            self.set_note(PROGRESS, None)
        self._mark(merge([*begun, window]))
        return begun

    def _marked(self) -> list[Window]:
        return marked_windows(self._writer, self._layout.view)

    def _mark(self, windows: Sequence[Window]) -> None:
        mark(self._writer, self._layout.view, windows)

    def _guard(self, windows: Sequence[Window]) -> Guard:
        """Of rows that are read over some windows; a stream's own are only replaced by newer."""
        is_streamed = self._layout.view.stream_source is not None
        return Guard(
            governed=() if is_streamed else tuple(windows),
            compares_created=bool(self._layout.source.created_timestamp_column),
        )

    def _not_before(self) -> datetime | None:
        return datetime.now(UTC) - self._layout.ttl if self._layout.ttl else None

    def _late_keys(self, relation: Relation, window: Window) -> "_LateKeys | None":
        """What is to be done with the keys of a window, by one look at those online; None if many.

        Most rows of a late window would be kept out by the guard: they are not even ranked.
        """
        if self._writer is None or not self._layout.source_keys:
            return None
        online = self._writer.keys_from(self._layout.view, window, KEYS_A_PART)
        if online is None:
            return None
        found = list(distinct_keys(relation, self._layout, window))
        if not found:
            return None
        batch = pa.Table.from_batches(found).combine_chunks().to_batches()[0]
        keys = batch_keys(batch, self._layout, self._version).to_pylist()
        return _LateKeys(
            to_write=pa.table(batch.filter(pa.array([key not in online.after for key in keys]))),
            vanished=sorted(online.within.difference(keys)),
        )

    def _write_all(
        self,
        batches: Iterable[pa.RecordBatch],
        guard: Guard,
        progress: Callable[[int], None] | None,
    ) -> None:
        for batch in batches:
            if not batch.num_rows:
                continue
            rows = self._encoded(batch)
            if isinstance(rows, EncodedRows):
                self._put(rows, guard)
            else:
                self._generic.write(self._layout.view, rows, guard)
            self.keys_written += len(rows)
            if progress is not None:
                progress(len(rows))

    def _encoded(self, batch: pa.RecordBatch) -> EncodedRows | list[Row]:
        if self._writer is None:
            return feast_rows(batch, self._layout)
        return encode_batch(batch, self._layout, self._version)

    def _put(self, rows: EncodedRows, guard: Guard) -> None:
        if self._writer is not None:
            self._writer.write(self._layout.view, rows, guard)

    def _clear_vanished(
        self,
        relation: Relation,
        again: Sequence[Window],
        served: Sequence[Window],
        guard: Guard,
    ) -> None:
        if self._writer is None:
            self.rebuild_due = True
            return
        allowed: Sequence[Window] | None = None
        for part in (side for whole in again for side in _sides(whole, self._not_before())):
            found = vanished_keys(relation, self._writer, self._layout, part, self._version)
            for keys in found:
                if allowed is None:
                    allowed = self._allowed(served, self._not_before())
                self._replace_vanished(keys, part, allowed, guard)

    def _allowed(self, served: Sequence[Window], not_before: datetime | None) -> Sequence[Window]:
        """The windows whose rows may take the place of vanished ones."""
        living = [
            Window(max(window.start, not_before), window.end) if not_before else window
            for window in served
            if not_before is None or window.end > not_before
        ]
        return living if self._may_serve is None else self._may_serve(living)

    def _replace_vanished(
        self, keys: list[bytes], part: Window, served: Sequence[Window], guard: Guard
    ) -> None:
        if self._writer is None:
            return
        config, not_before = self._store.config, self._not_before()
        for batch in remaining_rows(config, self._kept, self._layout, keys, served, not_before):
            self._put(encode_batch(batch, self._layout, self._version), guard)
        # What got a row of another window has left this one, and stays.
        self._writer.delete(self._layout.view, keys, part)
        self.keys_vanished += len(keys)

    def _run_transformed(
        self,
        window: Window,
        again: Sequence[Window],
        served: Sequence[Window],
        guard: Guard,
        progress: Callable[[int], None] | None,
    ) -> None:
        view = self._layout.view
        if not is_computed_here(self._store.config):
            compute_elsewhere(self._store, view, window)
            self.rebuild_due = bool(again)
            return
        work = ComputedWindow(self._store, self._layout, window, self._not_before())
        work.write(self._writer, self._generic, guard)
        self.keys_written += len(work)
        if progress is not None and len(work):
            progress(len(work))
        if view.offline and view.source_views:
            work.write_offline()
        if again and view.stream_source is None:
            parts = [side for whole in again for side in _sides(whole, self._not_before())]
            # Whole windows: computed from what the TTL leaves of one, a row would be another.
            work.clear_vanished(self._writer, parts, lambda: self._allowed(served, None), guard)
        self.rows_read += work.rows_read
        self.rows_without_key += work.rows_without_key
        self.keys_vanished += work.keys_vanished
        self.rebuild_due = work.rebuild_due


def _shared(window: Window, others: Sequence[Window]) -> list[Window]:
    """The parts of the window that lie in one of the others."""
    parts = (window.intersection(other) for other in merge(others))
    return [part for part in parts if part is not None]


@dataclass(frozen=True)
class _LateKeys:
    """Keys of a late window: those whose rows may have to be written, and those it has no more."""

    to_write: pa.Table
    vanished: list[bytes]


def _sides(window: Window, moment: datetime | None) -> list[Window]:
    """The window, cut at the moment before which rows are not written any more (TTL).

    A row there does not stand for one that was online from after it.
    """
    if moment is None or moment <= window.start or moment >= window.end:
        return [window]
    return [Window(window.start, moment), Window(moment, window.end)]
