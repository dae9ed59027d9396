"""One window of a view that Feast computes: written, and cleared of what has vanished.

As with Feast, a computed row depends on its window alone. A key whose row has vanished therefore
falls back on what earlier windows of the same length give when they are computed again.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.compute.computed_rows import ComputedRows, computed_rows, rows_of
from feature_platform.core.windows import Window, merge
from feature_platform.encoding.encoded_rows import EncodedRows, encode_feast_rows
from feature_platform.materialize.computed_sink import append_missing_rows
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.window_gate import OpenedSources, WindowGate, open_sources
from feature_platform.online.guarded_writer import Guard

MOVES_TIMES = "moves_times"
"""The note that a window gave rows with an event time outside of it.

From then on the event time of a row online does not tell which window it came from.
"""
_WINDOWS_BACK = 31
_NO_KEYS = pa.array([], pa.binary())


class ComputedWindow:
    """The computed rows of one window, on their way into the online store.

    Args:
        online: The view; source rows that are read are added to its counts.
        window: Half-open.
        opened: The window of each source; nothing else of it is read.

    Raises:
        TransformationError: The rows cannot be computed; nothing has been written.
        SourceError: A source cannot be read; nothing has been written.
    """

    def __init__(self, online: OnlineView, window: Window, opened: OpenedSources) -> None:
        self._online = online
        self._window = window
        self._computed = computed_rows(online.store, online.layout, window, opened)
        self._rows = rows_of(self._unexpired(self._computed), online.layout)
        online.rows_read += self._computed.rows_read
        online.rows_without_key += self._computed.rows_without_key

    def __len__(self) -> int:
        return len(self._rows)

    def write(self, guard: Guard) -> None:
        """Write the rows that the guard admits."""
        if self._computed.within(self._window, reverse=True).table.num_rows:
            self._online.set_note(MOVES_TIMES, "1")
        self._online.write_rows(self._rows, guard)

    def write_offline(self) -> None:
        """Append the rows to a derived view's table; see `append_missing_rows`."""
        append_missing_rows(self._online.store, self._online.layout, self._computed)

    def clear_vanished(
        self, again: Sequence[Window], served: Sequence[Window], gate: WindowGate, guard: Guard
    ) -> None:
        """Replace or delete keys that are online from the window and no longer computed in it.

        Args:
            again: Parts of the window that were, or may have been, online before.
            served: The windows that keys may fall back on, as far as the gate lets them.
            gate: Judges them once a key has vanished.
            guard: Of the window.
        """
        online, view = self._online, self._online.layout.view
        writer = online.writer
        if writer is None or online.note(MOVES_TIMES) is not None:
            online.rebuild_due = True
            return
        for part in online.split_at_ttl(again):
            encoded = self._encoded(self._computed.within(part))
            present = pa.concat_arrays([_NO_KEYS, *(rows.keys for rows in encoded)])
            vanished = [
                keys.filter(pc.invert(pc.is_in(keys, value_set=present)))
                for keys in writer.keys_within(view, part)
            ]
            if not any(map(len, vanished)):
                continue
            keys = pa.concat_arrays(vanished).unique()
            for rows in self._fallbacks(keys, served, gate):
                writer.write(view, rows, guard)
            # A key that got a row of an earlier window is not in this one any more, and stays.
            writer.delete(view, keys.to_pylist(), part)
            online.keys_vanished += len(keys)

    def _fallbacks(
        self, keys: pa.Array, served: Sequence[Window], gate: WindowGate
    ) -> Iterator[EncodedRows]:
        """The latest earlier rows of the keys, computed again window by window."""
        online = self._online
        left = keys
        for number, window in enumerate(_earlier(self._window, served)):
            if online.oldest is not None and window.end <= online.oldest:
                return
            if number == _WINDOWS_BACK:
                online.rebuild_due = True
                return
            config, layout = online.store.config, online.layout
            with open_sources(config, layout, gate, [window]) as opened:
                if merge(gate.servable(opened, [window])) != [window]:
                    continue
                computed = computed_rows(online.store, layout, window, opened)
            online.rows_read += computed.rows_read
            for rows in self._encoded(self._unexpired(computed)):
                wanted = pc.is_in(rows.keys, value_set=left)
                if not pc.any(wanted).as_py():
                    continue
                places = pc.indices_nonzero(wanted).cast(pa.int64()).to_numpy()
                yield rows.take(places)
                left = left.filter(pc.invert(pc.is_in(left, value_set=rows.keys)))
            if not len(left):
                return

    def _unexpired(self, computed: ComputedRows) -> ComputedRows:
        if self._online.oldest is None:
            return computed
        oldest = pa.scalar(self._online.oldest, computed.event_times.type)
        return computed.filter(pc.greater_equal(computed.event_times, oldest))

    def _encoded(self, computed: ComputedRows) -> list[EncodedRows]:
        rows = rows_of(computed, self._online.layout)
        return encode_feast_rows(rows, self._online.key_version)


def _earlier(window: Window, served: Sequence[Window]) -> Iterator[Window]:
    """The served parts of the earlier windows of the same length, newest first."""
    length = window.end - window.start
    first = min((each.start for each in served), default=window.start)
    end = window.start
    while end > first:
        earlier = Window(end - length, end)
        for each in reversed(served):
            part = earlier.intersection(each)
            if part is not None:
                yield part
        end = earlier.start
