"""The work of rebuilding a view online: all its windows at once, one part of its keys at a time."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import duckdb

from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import encode_batch
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.fallbacks import latest_of_keys
from feature_platform.materialize.online_view import OnlineView
from feature_platform.materialize.vanished_keys import any_lost
from feature_platform.online.guarded_writer import EVER, Guard
from feature_platform.sources.latest_rows import (
    distinct_keys,
    latest_rows_of_all,
    parts_of,
    source_columns,
)
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import pyarrow as pa
    from feast import FeatureStore

    from feature_platform.encoding.encoded_rows import EncodedRows

PROGRESS = "rebuild"
"""The note of how many parts of an interrupted rebuild are done."""


class RebuildWork:
    """Writes the latest row of every key over all windows that are to be online.

    Args:
        online: The view.
        source: The rows of the windows; nothing else is read.
        windows: Merged windows.
        plan: See `rebuild_plan`.
    """

    def __init__(
        self, online: OnlineView, source: OpenedWindow, windows: Sequence[Window], plan: str
    ) -> None:
        self._online = online
        self._layout = online.layout
        self._source = source
        self._windows = windows
        self._plan = plan

    def run(
        self,
        governed: Sequence[Window],
        progress: Callable[[int, int], None] | None,
        empty: Callable[[], object] | None,
    ) -> tuple[int, int]:
        """Write the parts that are not done, and remove keys that have left the source.

        Args:
            governed: Windows whose stored rows are replaced, whatever their time.
            progress: Called after each part with the number of parts done and in all.
            empty: Deletes all rows of the view first; None keeps them.

        Returns:
            How many parts an interrupted rebuild had done, and how many there are.
        """
        online = self._online
        done, count = self._progress()
        if empty is not None and not done:
            empty()
        had_rows = empty is None and self._holds_rows()
        if not count and self._windows:
            count = parts_of(self._source.relation, self._layout, self._windows)
        for number in range(done, count):
            self.write_part((number, count), governed)
            if progress is not None:
                progress(number + 1, count)
        # Rows of a stream stay, and so do keys that the online store cannot name.
        if had_rows and self._windows and online.writer is not None and not online.is_streamed:
            guard = online.guard(self._windows)
            online.clear_vanished(self._source.relation, self._windows, self._fallback, guard)
        return done, count

    def write_part(self, part: tuple[int, int], governed: Sequence[Window]) -> None:
        """Write the keys of one part (number and count), and note that it is done."""
        batches = latest_rows_of_all(
            self._source.relation,
            self._layout,
            not_before=self._online.oldest,
            batch_rows=self._online.batch_rows,
            part=part,
            windows=self._windows,
        )
        self._online.write(batches, self._online.guard(governed))
        number, count = part
        self._online.set_note(PROGRESS, json.dumps([self._plan, number + 1, count]))

    def take_back(self, window: Window) -> None:
        """Replace or delete what is online from a window that is not to be online any more."""
        online = self._online
        if online.writer is None:
            return
        guard = Guard(governed=(window,))  # rows of a stream too
        for keys in online.writer.keys_within(self._layout.view, window):
            online.replace_vanished(keys.to_pylist(), window, self._fallback, guard)

    def _fallback(self, keys: Sequence[bytes]) -> "Iterator[EncodedRows]":
        online = self._online
        batches = latest_of_keys(
            online.store.config, self._layout, self._source, self._windows, keys, online.oldest
        )
        return (encode_batch(batch, self._layout, online.key_version) for batch in batches)

    def finish(self) -> None:
        """Remove the note of what is done."""
        self._online.set_note(PROGRESS, None)

    def _progress(self) -> tuple[int, int]:
        """Parts done and parts in all of an interrupted rebuild that can be continued; else zeros.

        It must have the same plan, and the keys it has written must all be online still: they may
        have been lost since, and the note not.
        """
        note = self._online.note(PROGRESS)
        if note is None:
            return 0, 0
        plan, done, count = json.loads(note)
        if plan != self._plan or (done and self._has_lost_keys(done, count)):
            return 0, 0
        return int(done), int(count)

    def _holds_rows(self) -> bool:
        if self._online.writer is None:
            return True  # it cannot tell
        scan = self._online.writer.keys_within(self._layout.view, EVER)
        with closing(cast("Generator[pa.Array]", scan)) as scanned:
            return any(len(keys) for keys in scanned)

    def _has_lost_keys(self, done: int, count: int) -> bool:
        online = self._online
        unexpired = online.unexpired(self._windows)
        if online.writer is None or not unexpired:
            return False
        span = Window(unexpired[0].start, unexpired[-1].end)
        relation = self._source.relation
        written = (
            batch
            for number in range(done)
            for batch in distinct_keys(relation, self._layout, span, part=(number, count))
        )
        return any_lost(written, online.writer, self._layout, online.key_version)


def rebuild_plan(
    store: "FeatureStore",
    layout: ViewLayout,
    source: OpenedWindow,
    windows: Sequence[Window],
    as_of: datetime | None,
    *,
    empty_first: bool,
) -> str:
    """All that decides which rows a rebuild writes, and how it divides the keys, as JSON.

    Among it are hashes of the source's content, times included: they decide which row of a key is
    the latest.
    """
    read = [*source_columns(layout), *(name for name in time_columns(layout.source) if name)]
    digests = source.digests(windows, list(dict.fromkeys(read)), exclude=())
    columns = [
        [each.name, each.source, each.value_type.name] for each in (*layout.keys, *layout.features)
    ]
    return json.dumps(
        [
            str(windows),
            duckdb.__version__,
            "" if as_of is None else as_of.astimezone(UTC).isoformat(),
            columns,
            store.config.entity_key_serialization_version,
            str(layout.ttl),
            *(digest.content_hash for digest in digests),
            empty_first,
        ]
    )
