"""One window of a view that a compute engine makes: written, and cleared of what has vanished.

A computed row is a function of its window alone, as with Feast. What a key falls back on when its
row has vanished is therefore what the windows before would put online, each computed again; they
are taken to be of the same length.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.compute.computed_rows import ComputedRows, computed_rows, rows_of
from feature_platform.core.feast_seams import provider_of
from feature_platform.core.sql import identifier
from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import EncodedRows, encode_feast_rows
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.errors import MissingTableError, SourceError, first_line
from feature_platform.offline.offline_write import append_rows, is_absent
from feature_platform.online.generic_writer import GenericWriter
from feature_platform.online.guarded_writer import Guard, OnlineWriter
from feature_platform.online.stores import writer_for
from feature_platform.repo.view_settings import read_settings
from feature_platform.sources.relation import VIEW, open_relation

if TYPE_CHECKING:
    from feast import FeatureStore

# What the clients of warehouses raise of a table that is not there.
_NOT_THERE = ("UndefinedTable", "NotFound", "TableNotFoundError")
_MOVES = "moves_times"
_WINDOWS_BACK = 31
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ComputedWindow:
    """The computed rows of one window, on their way into the online store.

    Args:
        store: The Feast store.
        layout: The view.
        window: Half-open.
        not_before: Rows with an earlier event time are not written (TTL).

    Attributes:
        rows_read: Source rows read for it, and for what its keys fell back on.
        rows_without_key: Those of the window's that lack a part of their key.
        keys_vanished: Keys that were replaced or deleted.
        rebuild_due: Whether keys may be served that have vanished, or lack an older row.

    Raises:
        TransformationError: The rows cannot be computed; nothing has been written.
        SourceError: Likewise, a source cannot be read.
    """

    def __init__(
        self,
        store: "FeatureStore",
        layout: ViewLayout,
        window: Window,
        not_before: datetime | None,
    ) -> None:
        self._store = store
        self._layout = layout
        self._window = window
        self._not_before = not_before
        self._version = store.config.entity_key_serialization_version
        self._found = computed_rows(store, layout, window)
        self._rows = rows_of(self._fresh(self._found), layout)
        self._encoded = encode_feast_rows(self._rows, self._version)
        self.rows_read = self._found.rows_read
        self.rows_without_key = self._found.rows_without_key
        self.keys_vanished = 0
        self.rebuild_due = False

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, writer: OnlineWriter | None, generic: GenericWriter, guard: Guard) -> None:
        """Put the rows in where the guard lets them."""
        if writer is None:
            generic.write(self._layout.view, self._rows, guard)
            return
        if self._found.within(self._window, reverse=True).table.num_rows:
            # From now on nobody can tell which window a row online has come from.
            writer.set_note(self._layout.view, _MOVES, "1")
        for rows in self._encoded:
            writer.write(self._layout.view, rows, guard)

    def write_offline(self) -> None:
        """Add those of the rows that a derived view's table lacks to it.

        Feast's engine adds all of them at every run. A row is known by its key and its times: what
        a killed run has left out is added when it runs again, and so is what came late.

        Raises:
            SourceError: The table cannot be read, or does not take them.
        """
        lacking = _lacking(self._store.config, self._layout, self._found)
        if not lacking.num_rows:
            return
        offline = provider_of(self._store).offline_store
        config, source = self._store.config, self._layout.source
        try:
            if is_absent(config, source):
                append_rows(config, source, lacking)  # Feast's stores only add to what is there
            else:
                offline.offline_write_batch(config, self._layout.view, lacking, lambda _: None)
        except Exception as error:  # every offline store raises its own
            raise SourceError(
                f"feature view '{self._layout.name}'",
                f"its rows are online, but cannot be added to its sink_source "
                f"'{self._layout.source.name}' ({first_line(error)})",
                "let the table have the columns that are computed, in their order: "
                f"{', '.join(self._found.table.column_names)}; or set offline=False",
            ) from error

    def clear_vanished(
        self,
        writer: OnlineWriter | None,
        again: Sequence[Window],
        allowed: Callable[[], Sequence[Window]],
        guard: Guard,
    ) -> None:
        """Take out keys that are online from the window and are not computed in it any more.

        Args:
            writer: Of the online store; without one such keys cannot be named.
            again: Parts of the window that were, or may have been, online before.
            allowed: The windows that keys may fall back on.
            guard: Of the window.
        """
        view = self._layout.view
        if writer is None or writer.note(view, _MOVES) is not None:
            self.rebuild_due = True
            return
        for part in again:
            present = self._keys(self._found.within(part))
            gone = list(_without(writer.keys_within(view, part), present))
            if not gone:
                continue
            keys = pa.concat_arrays(gone).unique()
            for rows in self._fallbacks(keys, allowed()):
                writer.write(view, rows, guard)
            # What got a row of an earlier window has left this one, and stays.
            writer.delete(view, keys.to_pylist(), part)
            self.keys_vanished += len(keys)

    def _fallbacks(self, keys: pa.Array, allowed: Sequence[Window]) -> Iterator[EncodedRows]:
        """The latest earlier rows of the keys, computed again window by window."""
        left = keys
        for number, window in enumerate(_before(self._window, allowed)):
            if self._not_before is not None and window.end <= self._not_before:
                return
            if number == _WINDOWS_BACK:
                self.rebuild_due = True
                return
            found = computed_rows(self._store, self._layout, window)
            self.rows_read += found.rows_read
            for rows in encode_feast_rows(rows_of(self._fresh(found), self._layout), self._version):
                wanted = pc.is_in(rows.keys, value_set=left)
                if not pc.any(wanted).as_py():
                    continue
                places = pc.indices_nonzero(wanted).cast(pa.int64()).to_numpy()
                yield rows.take(places)
                left = left.filter(pc.invert(pc.is_in(left, value_set=rows.keys)))
            if not len(left):
                return

    def _fresh(self, found: ComputedRows) -> ComputedRows:
        if self._not_before is None:
            return found
        since = pa.scalar(self._not_before, found.event_times.type)
        return found.filter(pc.greater_equal(found.event_times, since))

    def _keys(self, found: ComputedRows) -> pa.Array:
        encoded = encode_feast_rows(rows_of(found, self._layout), self._version)
        none = pa.array([], pa.binary())
        return pa.concat_arrays([none, *(rows.keys for rows in encoded)])


def _lacking(config: Any, layout: ViewLayout, found: ComputedRows) -> pa.Table:
    """The computed rows whose key and times no row of the view's table has."""
    if not found.table.num_rows:
        return found.table
    first, last = pc.min_max(found.event_times).values()
    span = Window(first.as_py(), last.as_py() + timedelta(microseconds=1))
    created = layout.source.created_timestamp_column
    keys = [key for key in layout.keys if key.source is not None]
    computed = {f"k{place}": found.table[key.name] for place, key in enumerate(keys)}
    computed["event_time"] = found.event_times
    if created:
        computed["created_time"] = _in_utc(found.table[created])
    computed["place"] = pa.array(range(found.table.num_rows), pa.int64())
    try:
        with open_relation(config, layout.source, [span], layout.source_keys) as relation:
            relation.connection.register("computed", pa.table(computed))
            pairs = [(f"k{place}", key.source) for place, key in enumerate(keys)]
            pairs += [("event_time", relation.timestamp)]
            pairs += [("created_time", relation.created)] if relation.created else []
            same = " AND ".join(
                f"c.{name} IS NOT DISTINCT FROM r.{identifier(str(column))}"
                for name, column in pairs
            )
            places = relation.rows(
                f"SELECT place FROM computed AS c ANTI JOIN {VIEW} AS r ON {same} ORDER BY place"
            )
    except MissingTableError:
        return found.table
    except SourceError as error:
        if type(error.__cause__).__name__ in _NOT_THERE:
            return found.table
        raise  # taken for empty, it would get every row again
    return found.table.take(pa.array([place for (place,) in places], pa.int64()))


def _in_utc(column: Any) -> Any:
    """Times in microseconds; those without a zone are UTC."""
    cut = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return cut.cast(pa.timestamp("us", "UTC"))


def _without(batches: Iterator[pa.Array], present: pa.Array) -> Iterator[pa.Array]:
    for keys in batches:
        gone = keys.filter(pc.invert(pc.is_in(keys, value_set=present)))
        if len(gone):
            yield gone


def _before(window: Window, allowed: Sequence[Window]) -> Iterator[Window]:
    """What is allowed of the earlier windows of the same length, the newest first."""
    length = window.end - window.start
    first = min((each.start for each in allowed), default=window.start)
    end = window.start
    while end > first:
        earlier = Window(end - length, end)
        for each in reversed(allowed):
            part = earlier.intersection(each)
            if part is not None:
                yield part
        end = earlier.start


def partitions_of(view: Any, windows: Sequence[Window]) -> list[Window]:
    """Windows of the registry, cut into the partitions in which they were computed.

    Args:
        view: The feature view, whose tag ``dagster/partitions`` says how long they are.
        windows: Merged windows.
    """
    length = read_settings(str(view.name), view.tags).length
    found: list[Window] = []
    for window in windows:
        start = window.start
        while start < window.end:
            end = start - (start - _EPOCH) % length + length
            found.append(Window(start, min(end, window.end)))
            start = end
    return found


def newest_computed(
    store: "FeatureStore", layout: ViewLayout, windows: Sequence[Window]
) -> datetime | None:
    """The greatest event time of the newest partition that has rows; None where none has.

    What a view makes of a newer source row may be nothing: a join lacks the key elsewhere.

    Args:
        store: The Feast store.
        layout: The view.
        windows: Merged windows.

    Raises:
        TransformationError: It cannot be computed.
        SourceError: A source is missing, unreadable, or lacks a column.
    """
    for window in reversed(partitions_of(layout.view, windows)):
        times = computed_rows(store, layout, window).event_times
        if len(times):
            newest: datetime = pc.max(times).as_py()
            return newest
    return None


def rebuild_computed(
    store: "FeatureStore",
    layout: ViewLayout,
    present: Sequence[Window],
    *,
    begun: Sequence[Window],
    cleared: Callable[[Window], object],
    progress: Callable[[int, int], None] | None = None,
    empty: Callable[[], object] | None = None,
) -> int:
    """Write the latest row of every key over all materialized windows, each computed again.

    Args:
        store: The Feast store.
        layout: The view.
        present: The materialized windows; their rows online are replaced, newer or not.
        begun: Windows of crashed runs; their rows online are replaced or deleted.
        cleared: Called with each of those from which nothing is online any more.
        progress: Called after each partition with the number of those done and of all.
        empty: Takes out all that is online of the view; called when all is computed, before
            anything is written. None leaves it there.

    Returns:
        How many keys were written.
    """
    moved: list[Window] = []
    windows = partitions_of(layout.view, present)
    rows = latest_computed(store, layout, windows, progress, moved.append)
    if layout.ttl:
        since = datetime.now(UTC) - layout.ttl
        rows = [each for each in rows if each[2] >= since]
    if empty is not None:
        empty()
    guard = Guard(
        governed=() if layout.view.stream_source is not None else (*present, *begun),
        compares_created=bool(layout.source.created_timestamp_column),
    )
    provider = provider_of(store)
    writer = writer_for(provider.online_store, store.config)
    if writer is None:
        GenericWriter(store).write(layout.view, rows, guard)
        return len(rows)
    try:
        # The note that a lost store had is lost with it; of what was emptied it says nothing more.
        if moved or empty is not None:
            writer.set_note(layout.view, _MOVES, "1" if moved else None)
        for encoded in encode_feast_rows(rows, store.config.entity_key_serialization_version):
            writer.write(layout.view, encoded, guard)
        if writer.note(layout.view, _MOVES) is None:
            # A key with a row in a recorded window has got that one by now.
            for window in begun:
                for keys in writer.keys_within(layout.view, window):
                    writer.delete(layout.view, keys.to_pylist(), window)
                cleared(window)
    finally:
        writer.close()
    return len(rows)


def latest_computed(
    store: "FeatureStore",
    layout: ViewLayout,
    windows: Sequence[Window],
    progress: Callable[[int, int], None] | None = None,
    moved: Callable[[Window], object] | None = None,
) -> list[Any]:
    """The latest row of every key over some windows, each computed alone, as Feast's rows.

    Args:
        store: The Feast store.
        layout: The view.
        windows: Windows as they were materialized, in any order.
        progress: Called after each window with the number of those done and of all.
        moved: Called with each window of which a row has an event time outside.
    """
    newest: dict[bytes, Any] = {}
    ordered = sorted(windows, key=lambda each: each.start)
    for number, window in enumerate(ordered, 1):
        rows = rows_of(computed_rows(store, layout, window), layout)
        if moved is not None and any(row[2] not in window for row in rows):
            moved(window)
        for row in rows:
            key = row[0].SerializeToString(deterministic=True)
            there = newest.get(key)
            if there is None or _moment(row) >= _moment(there):
                newest[key] = row
        if progress is not None:
            progress(number, len(ordered))
    return list(newest.values())


def _moment(row: Any) -> tuple[datetime, bool, datetime]:
    _, _, event_time, created = row
    return event_time, created is not None, created or event_time
