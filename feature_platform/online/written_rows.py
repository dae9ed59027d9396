"""What Feast hands to an online store, with times that can be compared, or refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_platform.core.future_tolerance import FUTURE_TOLERANCE_TAG, future_tolerance
from feature_platform.core.times import in_utc
from feature_platform.errors import OnlineStoreError


def with_valid_times(view: Any, rows: Sequence[Any]) -> list[Any]:
    """The rows of ``online_write_batch``: without a created time where it is null.

    Args:
        view: The feature view.
        rows: Entity key, feature name to value, event time, created time or None.

    Raises:
        OnlineStoreError: A row has no event time, or one that is further in the future than the
            view allows; no row may be written then.
    """
    tolerance = future_tolerance(view.name, getattr(view, "tags", None))
    now = datetime.now(UTC)
    latest = _later(now, tolerance)
    checked = []
    for key, values, event, created in rows:
        if _is_null(event):
            raise OnlineStoreError(
                f"feature view '{view.name}'",
                f"the row of key {shown_key(key)} has no event time ({_column(view)} is null)",
                "give each row the time at which its values became true; none of the rows was "
                "written",
            )
        if in_utc(event) > latest:
            raise OnlineStoreError(
                f"feature view '{view.name}'",
                f"the row of key {shown_key(key)} has the event time {in_utc(event).isoformat()}, "
                f"which is {in_utc(event) - now} in the future; {tolerance} are allowed, since "
                "later rows of the key could not replace it",
                "correct the clock or the unit of whoever wrote it, or set the view's tag "
                f"{FUTURE_TOLERANCE_TAG} (such as 10m); none of the rows was written",
            )
        checked.append((key, values, event, None if _is_null(created) else created))
    return checked


def _is_null(moment: Any) -> bool:
    """Whether it is None, pandas' NaT, or NaN, which alone differ from themselves."""
    return moment is None or bool(moment != moment)  # noqa: PLR0124


def _later(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _column(view: Any) -> str:
    source = getattr(view, "batch_source", None)
    return f"column '{source.timestamp_field}'" if source is not None else "the time"


def shown_key(key: Any) -> str:
    """An ``EntityKey`` as text: join key to value."""
    values = (getattr(value, value.WhichOneof("val") or "", None) for value in key.entity_values)
    return str(dict(zip(key.join_keys, values, strict=True)))
