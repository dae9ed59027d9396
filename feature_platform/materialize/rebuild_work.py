"""The work of rebuilding a view online: all its windows at once, part by part of its keys.

The source is opened once for all of it: one that is not of files is then read only once.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, cast

from feature_platform.core.windows import Window, missing
from feature_platform.materialize.materialization import (
    BATCH_ROWS,
    GENERIC_ROWS,
    PROGRESS,
    Materialization,
)
from feature_platform.materialize.vanished_keys import any_lost
from feature_platform.online.guarded_writer import EVER, Guard
from feature_platform.sources.latest_rows import distinct_keys, latest_rows_of_all, parts_of

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa


class RebuildWork(Materialization):
    """One view's connection to its online store, to write all that is materialized of it."""

    def parts(self, windows: Sequence[Window]) -> int:
        """Into how many parts the keys of some windows are divided for `write_all`."""
        if not windows:
            return 0
        return parts_of(self._kept.of(windows), self._layout, windows)

    def write_all(
        self, windows: Sequence[Window], part: tuple[int, int], governed: Sequence[Window]
    ) -> None:
        """Write the latest row over all windows of the keys of one part.

        Args:
            windows: Merged windows.
            part: Number and count of parts.
            governed: Windows whose rows online are replaced, newer or not.
        """
        batches = latest_rows_of_all(
            self._kept.of(windows),
            self._layout,
            not_before=self._not_before(),
            batch_rows=GENERIC_ROWS if self._writer is None else BATCH_ROWS,
            part=part,
        )
        self._write_all(batches, self._guard(governed), None)

    def clear(self, window: Window, served: Sequence[Window]) -> None:
        """Take out what is still online from a window that is served no more."""
        if self._writer is None:
            self.rebuild_due = True
            return
        for keys in self._writer.keys_within(self._layout.view, window):
            self._replace_vanished(keys.to_pylist(), window, served, Guard(governed=(window,)))

    def clear_vanished(self, windows: Sequence[Window]) -> None:
        """Take out what is online from the windows and is not in the source any more.

        What a stream has pushed stays, and what no writer can name.
        """
        if self._writer is None or self._layout.view.stream_source is not None or not windows:
            return
        self._clear_vanished(self._kept.of(windows), windows, windows, self._guard(windows))

    @property
    def names_vanished(self) -> bool:
        """Whether the online store can tell which keys it holds of a window."""
        return self._writer is not None

    def holds_rows(self) -> bool:
        """Whether anything of the view is online, as far as the online store can tell."""
        if self._writer is None:
            return True
        scan = self._writer.keys_within(self._layout.view, EVER)
        with closing(cast("Generator[pa.Array]", scan)) as scanned:
            return any(len(keys) for keys in scanned)

    def take_out(self, window: Window = EVER) -> None:
        """Delete the view's rows from a window, where the online store can tell which those are."""
        if self._writer is not None:
            for keys in self._writer.keys_within(self._layout.view, window):
                self._writer.delete(self._layout.view, keys.to_pylist(), window)

    def begun(self, recorded: Sequence[Window]) -> list[Window]:
        """Windows that crashed runs may have put online in part, and that no run has recorded."""
        is_streamed = self._layout.view.stream_source is not None
        return [] if is_streamed else missing(self._marked(), recorded)

    def progress(self, plan: str, windows: Sequence[Window]) -> tuple[int, int]:
        """Parts done and parts in all of an interrupted rebuild that this one can go on from.

        That is one of the same plan, whose keys are all online still: they may have been lost
        since, and the note of them not.

        Args:
            plan: What decides what is written.
            windows: Merged windows.
        """
        note = self.note(PROGRESS)
        if note is None or self._writer is None:
            return 0, 0
        noted, done, count = json.loads(note)
        if noted != plan or (done and self._has_lost(windows, done, count)):
            return 0, 0
        return int(done), int(count)

    def set_progress(self, plan: str, done: int, count: int) -> None:
        """Let the online store remember how many parts are done."""
        self.set_note(PROGRESS, json.dumps([plan, done, count]))

    def forget_progress(self) -> None:
        """All is done."""
        self.set_note(PROGRESS, None)

    def _has_lost(self, windows: Sequence[Window], done: int, count: int) -> bool:
        if self._writer is None or not windows:
            return False
        oldest = self._not_before()
        span = Window(windows[0].start, windows[-1].end)
        if oldest is not None:
            if oldest >= span.end:
                return False
            span = Window(max(oldest, span.start), span.end)
        relation = self._kept.of(windows)
        written = (
            batch
            for number in range(done)
            for batch in distinct_keys(relation, self._layout, span, part=(number, count))
        )
        return any_lost(written, self._writer, self._layout, self._version)
