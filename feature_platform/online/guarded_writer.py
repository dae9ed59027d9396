"""The protocol of guarded writes: what a writer does, and under which guard."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import pyarrow as pa

from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import EncodedRows, microseconds

FAR_AHEAD = datetime.max.replace(tzinfo=UTC)
"""Later than what any online store holds, the last day of 9999 as a stand-in for never included."""

EVER = Window(datetime(1, 1, 1, tzinfo=UTC), FAR_AHEAD)
"""All event times."""


@dataclass(frozen=True)
class Guard:
    """Which rows of the online store a write may replace.

    A row replaces one whose (event time, created time) is not greater than its own. On equal event
    times a row of a source without created times wins: the rerun is right. Where the batch source
    alone feeds a view, it also replaces what came from the windows it was read over, whatever the
    time: a row that is newer there, and not in the source any more, was removed or corrected.

    Attributes:
        governed: Half-open windows of event time whose stored rows are replaced anyway.
        compares_created: Whether the source has created times.
    """

    governed: tuple[Window, ...] = ()
    compares_created: bool = True

    @property
    def governed_us(self) -> list[tuple[int, int]]:
        """The governed windows in microseconds since 1970."""
        return [(microseconds(window.start), microseconds(window.end)) for window in self.governed]


class OnlineWriter(Protocol):
    """Bulk access to one kind of online store, in the tables and keys that Feast uses.

    Implementations raise whatever their client library does; callers name the store.
    """

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        """Put rows in, each whole or not at all, where the guard lets them."""

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        """Stream the keys whose stored event time lies in the window, as Arrow binary arrays.

        A key may come more than once.
        """

    def keys_from(self, view: Any, window: Window, most: int) -> "OnlineKeys | None":
        """Keys stored from the window and from after it; None if more than `most` are from after.

        What is written meanwhile may be missing.
        """

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        """Remove the view's row of each key if its event time still lies in the window."""

    def note(self, view: Any, topic: str) -> str | None:
        """What `set_note` left about a view in the store itself; None when there is nothing."""

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        """Leave something about a view in the store itself; None takes it away."""

    def close(self) -> None:
        """Give back the connection, unless it belongs to Feast."""


@dataclass(frozen=True)
class OnlineKeys:
    """Which keys an online store holds from a window on.

    Attributes:
        within: Keys whose stored event time lies in the window.
        after: Keys whose stored event time, or each of them, is not before the window's end.
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
