"""What keys fall back on whose newest row has left the source: the latest rows that are left."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.windows import Window, merge
from feature_platform.encoding.encoded_rows import EncodedRows, encode_batch
from feature_platform.encoding.entity_keys import key_columns_of, of_layout
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.materialize.window_gate import WindowGate, open_sources
from feature_platform.sources.latest_rows import latest_rows_of, latest_rows_of_all
from feature_platform.sources.newest_rows import newest_rows_of
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.sources.warehouses import sql_warehouse_of

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

# Each step back opens a span so many times as long as the one before.
_GROWTH = 8


class Fallbacks:
    """The latest rows of keys over windows whose rows may be served, each step opened once.

    Files are opened from the newest windows back, until each key has a row. A warehouse that
    chooses rows is asked once for all windows.

    Args:
        config: The repo's configuration.
        layout: A view that Feast does not compute.
        gate: Judges what is opened; what it refuses is not used.
        served: The windows to look in.
        not_before: Leave out rows with an earlier event time (TTL).
        step: The first span to open; steps begin and end a multiple of it apart.
    """

    def __init__(  # noqa: PLR0917  whose rows, and which of them
        self,
        config: "RepoConfig",
        layout: ViewLayout,
        gate: WindowGate,
        served: Sequence[Window],
        not_before: datetime | None,
        step: Window,
    ) -> None:
        self._config = config
        self._layout = layout
        self._gate = gate
        self._not_before = not_before
        self._version = config.entity_key_serialization_version
        chooses = sql_warehouse_of(config, layout.source) is not None
        merged = merge(served)
        self._steps = [merged] if chooses else list(_steps(merged, step))
        self._opened: list[tuple[OpenedWindow, list[Window]]] = []
        self._stack = ExitStack()

    def close(self) -> None:
        """Let go of what was opened."""
        self._opened.clear()
        self._stack.close()

    def rows(self, keys: Sequence[bytes]) -> Iterator[EncodedRows]:
        """The latest row of each of some serialized keys that still has one."""
        left = pa.array(keys, pa.binary())
        for place in range(len(self._steps)):
            if not len(left):
                return
            opened, windows = self._step(place)
            for batch in latest_of_keys(
                self._config, self._layout, opened, windows, left.to_pylist(), self._not_before
            ):
                rows = encode_batch(batch, self._layout, self._version)
                left = left.filter(pc.invert(pc.is_in(left, value_set=rows.keys)))
                yield rows

    def _step(self, place: int) -> tuple[OpenedWindow, list[Window]]:
        while len(self._opened) <= place:
            spans = self._steps[len(self._opened)]
            opened = self._stack.enter_context(
                open_sources(self._config, self._layout, self._gate, spans)
            )
            windows = merge(self._gate.servable(opened, spans))
            self._opened.append((opened[self._layout.source.name], windows))
        return self._opened[place]


def latest_of_keys(  # noqa: PLR0917  what is read, and which rows of it
    config: "RepoConfig",
    layout: ViewLayout,
    opened: OpenedWindow,
    windows: Sequence[Window],
    keys: Sequence[bytes],
    not_before: datetime | None,
) -> Iterator[pa.RecordBatch]:
    """Stream the latest row of serialized keys over some of the opened windows.

    A warehouse selects the rows of the keys, unless they are many.
    """
    # No row is left of the view's earlier join keys.
    keys = of_layout(keys, layout.join_keys)
    if not windows or not keys:
        return
    limits: dict[str, Any] = {"not_before": not_before, "windows": windows}
    if not layout.source_keys:
        yield from latest_rows_of_all(opened.relation, layout, **limits)
        return
    names = [key.name for key in layout.keys]
    wanted = pa.table(_typed(key_columns_of(keys, names), layout))
    newest = newest_rows_of(config, layout, wanted)
    if newest is None:
        yield from latest_rows_of(opened.relation, layout, wanted, **limits)
        return
    with opened.chosen(newest, windows) as relation:
        yield from latest_rows_of(relation, layout, wanted, **limits)


def _steps(served: Sequence[Window], step: Window) -> Iterator[list[Window]]:
    """The windows cut into spans that get longer, the newest first."""
    if not served:
        return
    length = step.end - step.start
    # Cuts are whole steps away from `step`, so that they cut no partition of that length.
    end = step.end + -((step.end - served[-1].end) // length) * length
    while end > served[0].start:
        span = Window(end - length, end)
        parts = [part for each in served if (part := each.intersection(span)) is not None]
        if parts:
            yield parts
        end, length = span.start, length * _GROWTH


def _typed(columns: dict[str, list[Any]], layout: ViewLayout) -> dict[str, pa.Array]:
    typed = {}
    for key in layout.keys:
        values = columns[key.name]
        if key.value_type.name == "UNIX_TIMESTAMP":
            typed[key.name] = pa.array(values, pa.timestamp("s", tz="UTC"))
        else:
            typed[key.name] = pa.array(values)
    return typed
