"""Which guard a view's rows are written under when only the view is known."""

from typing import Any

from feature_platform.online.guarded_writer import Guard


def guard_of(view: Any) -> Guard:
    """The guard for rows that Feast hands over: newer or equally new ones go in."""
    source = getattr(view, "batch_source", None)
    # Views without a source (labels, on-demand) come with created times of Feast's own making.
    return Guard(compares_created=source is None or bool(source.created_timestamp_column))
