"""Keys read back from the online store, compared with the source."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.times import in_utc
from feature_platform.core.windows import Window, merge
from feature_platform.encoding.feast_rows import Row, feast_rows
from feature_platform.encoding.view_layout import ViewLayout, view_layout
from feature_platform.online.store_errors import online_store_errors
from feature_platform.registry.windows_on_record import load_view, windows_of
from feature_platform.repo.computability import why_transformed
from feature_platform.sources.newest_rows import open_sample
from feature_platform.sources.source_columns import parquet_source

if TYPE_CHECKING:
    from feast import FeatureStore

_READ_AT_ONCE = 500


@dataclass(frozen=True)
class Mismatch:
    """One value that is served and differs from the source.

    Attributes:
        key: Join key to value.
        feature: Name of the feature.
        online: The served value; None for null or absent.
        offline: The value in the source.
    """

    key: dict[str, Any]
    feature: str
    online: Any
    offline: Any


@dataclass(frozen=True)
class OnlineComparison:
    """The online store compared with the latest rows of the source.

    Attributes:
        keys_compared: Keys that were read back.
        keys_total: Keys in the source rows that were read; see `open_sample`.
        mismatches: Values that differ.
    """

    keys_compared: int
    keys_total: int
    mismatches: tuple[Mismatch, ...]


def compare_online(
    store: "FeatureStore",
    view: str,
    windows: Sequence[Window] | None = None,
    *,
    limit: int = 2000,
    seed: int = 0,
) -> OnlineComparison:
    """Read keys back from the online store and compare every feature with the source.

    Expected is a key's latest row over the windows, as `materialize_window` defines it; for a view
    that Feast computes, what its engine computes from each window now. Rows older than the TTL may
    be absent or still there, and are only read from Parquet files. A stored row with a newer event
    time than the windows, written by a stream, is skipped.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        windows: Windows that should be online; None takes those that the registry records. For a
            view that Feast computes: one by one, as they were materialized.
        limit: Read all keys up to this many, else a sample of this many.
        seed: Chooses the sample; the same seed chooses the same keys.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached.
        SourceError: The source is missing, unreadable, or lacks a column.
        TransformationError: The view's rows cannot be computed.
        OnlineStoreError: The view is not served online, or the online store cannot be read.
    """
    found = load_view(store, view)
    layout = view_layout(found)
    served = merge(windows or windows_of(found))
    compared = 0
    mismatches: list[Mismatch] = []
    with _expected(store, layout, served, limit, seed, keep=bool(windows)) as (total, parts):
        for rows in parts:
            compared += len(rows)
            mismatches += _compare(store, layout, rows, served)
    return OnlineComparison(compared, total, tuple(mismatches))


@contextmanager
def _expected(
    store: "FeatureStore",
    layout: ViewLayout,
    served: Sequence[Window],
    limit: int,
    seed: int,
    *,
    keep: bool,
) -> Iterator[tuple[int, Iterator[list[Row]]]]:
    """The number of keys, and the rows of those to compare, some at a time."""
    if why_transformed(layout.view):
        from feature_platform.materialize.computed_partitions import latest_computed, partitions_of

        rows = latest_computed(store, layout, partitions_of(layout.view, served))
        total = len(rows)
        if total > limit:
            rows = random.Random(seed).sample(rows, limit)  # noqa: S311
        yield (
            total,
            (rows[start : start + _READ_AT_ONCE] for start in range(0, len(rows), _READ_AT_ONCE)),
        )
        return
    windows = _windows_to_read(store, layout, served)
    with open_sample(store.config, layout, windows, limit=limit, seed=seed, keep=keep) as (
        total,
        batches,
    ):
        yield (
            total,
            (
                feast_rows(batch.slice(start, _READ_AT_ONCE), layout)
                for batch in batches
                for start in range(0, batch.num_rows, _READ_AT_ONCE)
            ),
        )


def _windows_to_read(
    store: "FeatureStore", layout: ViewLayout, served: Sequence[Window]
) -> list[Window]:
    """The windows; rows older than the TTL are left out, except of files, which are read fast."""
    since = served_since(store, layout, datetime.now(UTC))
    if since is None or parquet_source(layout.source) is not None:
        return list(served)
    return [Window(max(each.start, since), each.end) for each in served if each.end > since]


def _compare(
    store: "FeatureStore", layout: ViewLayout, rows: list[Row], served: Sequence[Window]
) -> list[Mismatch]:
    names = [feature.name for feature in layout.features]
    with online_store_errors(store, layout.name):
        provider = provider_of(store)
        answers = provider.online_read(
            store.config, layout.view, [key for key, _, _, _ in rows], list(names)
        )
    expired_before = served_since(store, layout, datetime.now(UTC))
    newest = max((window.end for window in served), default=None)
    found: list[Mismatch] = []
    for (key, offline, event_time, _), (online_time, answer) in zip(rows, answers, strict=True):
        online = answer or {}
        if online_time and _is_streamed(layout, in_utc(online_time), event_time, newest):
            continue
        expired = expired_before is not None and event_time < expired_before
        for name in names:
            wanted, got = offline[name], online.get(name)
            same = _is_null(wanted) if got is None or _is_null(got) else _equal(wanted, got)
            if not same and not (expired and (got is None or _is_null(got))):
                found.append(Mismatch(_readable(key), name, _value(got), _value(wanted)))
    return found


def served_since(store: "FeatureStore", layout: ViewLayout, now: datetime) -> datetime | None:
    """The event time before which a row may be gone at `now`, by the view's TTL or the store's."""
    seconds: int | None = getattr(store.config.online_store, "key_ttl_seconds", None)
    ttls = [each for each in (layout.ttl, timedelta(seconds=seconds or 0)) if each]
    return now - min(ttls) if ttls else None


def _is_streamed(
    layout: ViewLayout, online: datetime, event_time: datetime, newest: datetime | None
) -> bool:
    """Whether a stream has written a newer row than the windows hold."""
    if layout.view.stream_source is not None and online > event_time:
        return True
    return newest is not None and online >= newest


def _is_null(value: Any) -> bool:
    return value.WhichOneof("val") is None


def _equal(left: Any, right: Any) -> bool:
    # Bytes, not messages: a NaN is equal to itself, and so is a map in any order.
    return bool(
        left.SerializeToString(deterministic=True) == right.SerializeToString(deterministic=True)
    )


def _value(value: Any) -> Any:
    from feast.type_map import feast_value_type_to_python_type

    return None if value is None or _is_null(value) else feast_value_type_to_python_type(value)


def _readable(key: Any) -> dict[str, Any]:
    return {
        name: _value(value) for name, value in zip(key.join_keys, key.entity_values, strict=True)
    }
