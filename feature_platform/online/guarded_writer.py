"""The protocol of guarded writes: what a writer does, and which rows its guard lets in."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import pyarrow as pa

from feature_platform.core.future_tolerance import future_tolerance
from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import EncodedRows

FAR_AHEAD = datetime.max.replace(tzinfo=UTC)
"""Later than any stored event time (the last day of 9999 stands in for "no end")."""

EVER = Window(datetime(1, 1, 1, tzinfo=UTC), FAR_AHEAD)
"""All event times."""


@dataclass(frozen=True)
class Guard:
    """Which stored rows a write may replace.

    A row replaces a stored row whose (event time, created time) is not greater. Where the source
    has no created times, the row replaces one of the same event time: a rerun is right. A row also
    replaces any stored row, newer ones too, whose event time is in a governed window: one that the
    batch source alone feeds and that was just read, so what is not in it was removed or corrected.

    Attributes:
        governed: Half-open windows of event time whose stored rows are always replaced.
        compares_created: Whether the source has created times.
    """

    governed: tuple[Window, ...] = ()
    compares_created: bool = True


def guard_of(view: Any) -> Guard:
    """The guard for rows that Feast itself writes to a view, whose windows are not known."""
    source = getattr(view, "batch_source", None)
    # For views without a source (labels, on-demand) Feast makes up created times.
    return Guard(compares_created=source is None or bool(source.created_timestamp_column))


def unlocked(view: Any, guard: Guard) -> Guard:
    """A guard that also lets any row replace one that is too far in the future to be right.

    Such a row is refused now, but may have been stored before: nothing else would ever replace it.
    """
    tolerance = future_tolerance(view.name, getattr(view, "tags", None))
    try:
        start = datetime.now(UTC) + tolerance
    except OverflowError:
        return guard
    return replace(guard, governed=(*guard.governed, Window(start, FAR_AHEAD)))


class OnlineWriter(Protocol):
    """Bulk access to one kind of online store, in the tables and keys that Feast uses.

    Implementations raise what their client library raises; callers name the store.
    """

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        """Write the rows that the guard lets in; each row is written whole or not at all."""

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        """Stream the keys whose stored event time is in the window, as Arrow binary arrays.

        A key may be repeated.
        """

    def keys_from(self, view: Any, window: Window, most: int) -> "OnlineKeys | None":
        """The keys stored with an event time in the window, and those after it.

        None if more than `most` are after it. Keys that are written meanwhile may be missing.
        """

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        """Delete the view's row of each key whose event time is still in the window."""

    def note(self, view: Any, topic: str) -> str | None:
        """The note that `set_note` stored beside the view's rows; None if there is none."""

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        """Store a note about a view in the online store; None deletes it."""

    def close(self) -> None:
        """Close the connection, unless it belongs to Feast."""


@dataclass(frozen=True)
class OnlineKeys:
    """Keys that an online store holds from a window on.

    Attributes:
        within: Keys with a stored event time in the window.
        after: Keys whose stored event times are all at or after the window's end.
    """

    within: set[bytes]
    after: set[bytes]


def scanned_from(writer: OnlineWriter, view: Any, window: Window, most: int) -> OnlineKeys | None:
    """`OnlineWriter.keys_from` by two scans."""
    after: set[bytes] = set()
    scan = writer.keys_within(view, Window(window.end, FAR_AHEAD))
    with closing(cast("Generator[pa.Array]", scan)) as scanned:
        for keys in scanned:
            after.update(keys.to_pylist())
            if len(after) > most:
                return None
    within = {key for keys in writer.keys_within(view, window) for key in keys.to_pylist()}
    return OnlineKeys(within, after)
