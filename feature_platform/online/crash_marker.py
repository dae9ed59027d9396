"""Crash markers: windows whose rows may be online although the registry does not record them."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import online_store_of
from feature_platform.core.windows import Window, merge
from feature_platform.online.store_errors import online_store_errors
from feature_platform.online.stores import writer_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feast import FeatureStore

    from feature_platform.online.guarded_writer import OnlineWriter

_TOPIC = "attempts"


def marked_windows(writer: "OnlineWriter | None", view: Any) -> list[Window]:
    """The windows marked in the online store; none if it has no bulk writer."""
    return [] if writer is None else _from_text(writer.note(view, _TOPIC))


def mark(writer: "OnlineWriter | None", view: Any, windows: "Sequence[Window]") -> None:
    """Replace a view's crash markers; a store without a bulk writer has none."""
    if writer is not None:
        writer.set_note(view, _TOPIC, _to_text(windows) if windows else None)


def add_crash_markers(store: "FeatureStore", view: Any, windows: "Sequence[Window]") -> None:
    """Mark windows of a view version that the registry will no longer record.

    Raises:
        OnlineStoreError: The online store failed.
    """
    with online_store_errors(store, view.name):
        online = online_store_of(store)
        writer = writer_for(online, store.config)
        try:
            mark(writer, view, merge([*marked_windows(writer, view), *windows]))
        finally:
            if writer is not None:
                writer.close()


def _to_text(windows: "Sequence[Window]") -> str:
    """Windows as JSON."""
    return json.dumps([[window.start.isoformat(), window.end.isoformat()] for window in windows])


def _from_text(text: str | None) -> list[Window]:
    """Windows from JSON; none from None."""
    return [
        Window(datetime.fromisoformat(start), datetime.fromisoformat(end))
        for start, end in json.loads(text or "[]")
    ]
