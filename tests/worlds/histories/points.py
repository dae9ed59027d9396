"""The points of a materialization where something else can happen, or everything end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from feature_platform.core.windows import Window
from feature_platform.encoding.encoded_rows import EncodedRows
from feature_platform.materialize import materialize_window as materialize
from feature_platform.materialize import online_view
from feature_platform.online.generic_writer import GenericWriter
from feature_platform.online.guarded_writer import Guard, OnlineKeys
from feature_platform.sources import opened_window

POINTS = 16
"""More than a materialization of three keys passes."""


class Crash(BaseException):
    """The process ends here."""


def crash() -> None:
    raise Crash


class Points:
    """Does something at the n-th point that is passed, once.

    Args:
        place: Which point, from 0.
        act: What is done there.
    """

    def __init__(self, place: int, act: Callable[[], None]) -> None:
        self._left = place
        self._act = act

    def passed(self) -> None:
        self._left -= 1
        if self._left == -1:
            self._act()


@contextmanager
def disturbed(place: int, act: Callable[[], None]) -> Iterator[None]:
    """Let something happen within the materializations of the block.

    There is a point before the source is read, before and after every call to the online store,
    between any two keys of a batch (as if each were a batch of its own), and before and after the
    window is recorded.
    """
    points = Points(place, act)
    with ExitStack() as stack:
        for module, name, stand_in in (
            (online_view, "writer_for", _writer_for(points)),
            (opened_window, "open_relation", _before(points, opened_window.open_relation)),
            (materialize, "record_window", _around(points, materialize.record_window)),
        ):
            stack.enter_context(patch.object(module, name, stand_in))
        stack.enter_context(patch.object(GenericWriter, "write", _key_by_key(points)))
        yield


class _Writer:
    """A bulk writer with points around its calls."""

    def __init__(self, inner: Any, points: Points) -> None:
        self._inner = inner
        self._points = points

    def write(self, view: Any, rows: EncodedRows, guard: Guard) -> None:
        for place in range(len(rows)):
            self._points.passed()
            self._inner.write(view, _one(rows, place), guard)
        self._points.passed()

    def keys_within(self, view: Any, window: Window) -> Iterator[pa.Array]:
        self._points.passed()
        yield from self._inner.keys_within(view, window)

    def keys_from(self, view: Any, window: Window, most: int) -> OnlineKeys | None:
        self._points.passed()
        found: OnlineKeys | None = self._inner.keys_from(view, window, most)
        return found

    def delete(self, view: Any, keys: Sequence[bytes], window: Window) -> None:
        for key in keys:
            self._points.passed()
            self._inner.delete(view, [key], window)
        self._points.passed()

    def note(self, view: Any, topic: str) -> str | None:
        note: str | None = self._inner.note(view, topic)
        return note

    def set_note(self, view: Any, topic: str, text: str | None) -> None:
        self._points.passed()
        self._inner.set_note(view, topic, text)

    def close(self) -> None:
        self._inner.close()


def _one(rows: EncodedRows, place: int) -> EncodedRows:
    places = np.array([place], np.int64)
    return EncodedRows(
        keys=rows.keys.take(pa.array(places)),
        features=tuple(feature.take(places) for feature in rows.features),
        event_us=rows.event_us[places],
        created_us=rows.created_us[places],
    )


def _writer_for(points: Points) -> Callable[[Any, Any], Any]:
    whole = online_view.writer_for

    def stand_in(online: Any, config: Any) -> Any:
        found = whole(online, config)
        return None if found is None else _Writer(found, points)

    return stand_in


def _before(points: Points, whole: Callable[..., Any]) -> Callable[..., Any]:
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        points.passed()
        return whole(*args, **kwargs)

    return stand_in


def _around(points: Points, whole: Callable[..., Any]) -> Callable[..., Any]:
    def stand_in(*args: Any, **kwargs: Any) -> Any:
        points.passed()
        result = whole(*args, **kwargs)
        points.passed()
        return result

    return stand_in


def _key_by_key(points: Points) -> Callable[..., None]:
    whole = GenericWriter.write

    def stand_in(self: GenericWriter, view: Any, rows: Sequence[Any], guard: Guard) -> None:
        for each in rows:
            points.passed()
            whole(self, view, [each], guard)
        points.passed()

    return stand_in
