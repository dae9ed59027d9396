"""The work of materializing one window: read, write, and remove what has vanished."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from feature_platform.compute.computed_rows import compute_elsewhere
from feature_platform.core.windows import Window, merge, missing
from feature_platform.encoding.encoded_rows import batch_keys
from feature_platform.materialize.computed_windows import ComputedWindow
from feature_platform.materialize.fallbacks import Fallbacks
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.rebuild_work import PROGRESS
from feature_platform.materialize.window_gate import OpenedSources, WindowGate
from feature_platform.repo.computability import is_computed_here, why_transformed
from feature_platform.sources.latest_rows import (
    KEYS_A_PART,
    count_rows,
    distinct_keys,
    latest_rows,
    latest_rows_of,
)
from feature_platform.sources.relation import Relation

_MANY_ROWS = 20_000  # fewer are written faster than the online store is asked which keys it has


class Materialization:
    """One window of a feature view on its way into the online store.

    1. `run` sets a crash marker in the online store, reads the window's rows from the source, and
       writes the latest row of every key. The guard keeps stored rows of other windows that are
       newer.
    2. If part of the window was online before, `run` looks for keys that are online from it and
       whose rows have left the source since. They get their latest remaining row of all
       materialized windows, or are deleted.
    3. The caller records the window in the registry.
    4. The caller clears the crash marker. A run that finds one, of this window or another, replaces
       stored rows of that window too.

    A view that Feast computes goes the same way as a `ComputedWindow`; if its compute engine is not
    local, the engine writes it by itself.

    Args:
        online: The view.
        window: Half-open, in the past.
        materialized: The windows that the registry records.
        gate: Judges what vanished keys fall back on.
        opened: The rows of the window, which the gate has judged; nothing else of it is read.
        progress: Called with the number of keys just written.

    Attributes:
        reason: Why Feast's own code was used; empty if it was not.
    """

    def __init__(  # noqa: PLR0917  what is written, and by which rules
        self,
        online: OnlineView,
        window: Window,
        materialized: Sequence[Window],
        gate: WindowGate,
        opened: OpenedSources,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._online = online
        self._layout = online.layout
        self._window = window
        self._gate = gate
        self._opened = opened
        self._progress = progress
        crashed = online.marked()
        self._served = merge([*materialized, window])
        self._again = [
            part
            for other in merge([*materialized, *crashed])
            if (part := window.intersection(other)) is not None
        ]
        unrecorded = missing(crashed, self._served)
        self._is_late = any(each.end > window.end for each in materialized) and not unrecorded
        # Stored rows of these windows are replaced, whatever their time. Rows of later windows stay
        # even if they have left the source: those windows' own runs find that.
        self._guard = online.guard([window, *unrecorded])
        self.reason = ""
        if transformed := why_transformed(self._layout.view):
            self.reason = f"Feast computes it: {transformed}"
        elif online.writer is None:
            kind = online.store.config.online_store.type
            self.reason = f"online store '{kind}' is written through Feast"

    def run(self) -> None:
        """Put the window online."""
        if self._online.note(PROGRESS) is not None:
            # An interrupted rebuild must start over: it would write these rows as they were then.
            self._online.set_note(PROGRESS, None)
        self._online.mark(self._window)
        if not why_transformed(self._layout.view):
            self._write_read_rows()
        elif is_computed_here(self._online.store.config):
            self._write_computed_rows()
        else:
            compute_elsewhere(self._online.store, self._layout.view, self._window)
            self._online.rebuild_due = bool(self._again)

    def _write_read_rows(self) -> None:
        online, window = self._online, self._window
        relation = self._opened[self._layout.source.name].relation
        rows, keyless, parts = count_rows(relation, self._layout, window)
        online.rows_read += rows
        online.rows_without_key += keyless
        late = None
        if self._is_late and parts == 1 and rows >= _MANY_ROWS:
            late = self._late_keys(relation)
        online.write(self._latest_rows(relation, parts, late), self._guard, self._progress)
        if not self._again or online.is_streamed:
            return
        # A vanished key has no row left in the window itself.
        served = online.unexpired(missing(self._served, [window]))
        config, oldest = online.store.config, online.oldest
        with closing(
            Fallbacks(config, self._layout, self._gate, served, oldest, window)
        ) as fallbacks:
            if late is not None and self._again == [window] == online.split_at_ttl([window]):
                if late.vanished:
                    online.replace_vanished(late.vanished, window, fallbacks.rows, self._guard)
            else:
                online.clear_vanished(relation, self._again, fallbacks.rows, self._guard)

    def _latest_rows(
        self, relation: Relation, parts: int, late: "_LateKeys | None"
    ) -> Iterator[pa.RecordBatch]:
        """The rows to write: the latest of every key, or of those that a late window may change."""
        online = self._online
        limits: dict[str, Any] = {"not_before": online.oldest, "batch_rows": online.batch_rows}
        if late is not None:
            few = late.to_write.num_rows < _MANY_ROWS
            limits |= {"once": few, "windows": [self._window]}
            yield from latest_rows_of(relation, self._layout, late.to_write, **limits)
            return
        for number in range(parts):
            part = (number, parts)
            yield from latest_rows(relation, self._layout, self._window, part=part, **limits)

    def _late_keys(self, relation: Relation) -> "_LateKeys | None":
        """Compare a late window's keys with those online; None if too many are.

        Most keys of a late window have a newer row online, and need not be read whole.
        """
        writer = self._online.writer
        if writer is None or not self._layout.source_keys:
            return None
        stored = writer.keys_from(self._layout.view, self._window, KEYS_A_PART)
        if stored is None:
            return None
        batches = list(distinct_keys(relation, self._layout, self._window))
        if not batches:
            return None
        batch = pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
        keys = batch_keys(batch, self._layout, self._online.key_version).to_pylist()
        return _LateKeys(
            to_write=pa.table(batch.filter(pa.array([key not in stored.after for key in keys]))),
            vanished=sorted(stored.within.difference(keys)),
        )

    def _write_computed_rows(self) -> None:
        online, view = self._online, self._layout.view
        computed = ComputedWindow(online, self._window, self._opened)
        computed.write(self._guard)
        if self._progress is not None and len(computed):
            self._progress(len(computed))
        if view.offline and view.source_views:
            computed.write_offline()
        if self._again and not online.is_streamed:
            # Whole windows: computed from the part that the TTL leaves, a row would differ.
            computed.clear_vanished(self._again, self._served, self._gate, self._guard)


@dataclass(frozen=True)
class _LateKeys:
    """Keys of a late window.

    Attributes:
        to_write: Those that have no newer row online.
        vanished: Those that are online from the window and not in the source, serialized.
    """

    to_write: pa.Table
    vanished: list[bytes]
