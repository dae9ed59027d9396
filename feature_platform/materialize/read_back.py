"""Whether what is served equals what the source holds."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_platform.core.feast_seams import provider_of
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
    """One value that is served otherwise than the source has it.

    Attributes:
        key: Join key to value.
        feature: Name of the feature.
        online: What is served; None for null or absent.
        offline: What the source holds.
    """

    key: dict[str, Any]
    feature: str
    online: Any
    offline: Any


@dataclass(frozen=True)
class OnlineComparison:
    """The online store against the latest rows of the source.

    Attributes:
        keys_compared: Keys that were read back.
        keys_total: Keys in the rows that were read of the source; see `open_sample`.
        mismatches: Values that differ; empty when all is well.
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

    The truth of a key is its latest row over the windows, as `materialize_window` defines it. A
    value older than the view's TTL may be absent or still there; only Parquet files are read so far
    back. A value with a newer event time than any of the windows, pushed by a stream since, is left
    alone. Of a view that Feast computes the truth is what its engine makes of each of the windows
    now.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        windows: What should be online; None takes what the registry says is. Of a view that Feast
            computes: the windows one by one, as they were materialized.
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
    if why_transformed(found):
        return _compare_computed(store, layout, windows or windows_of(found), limit, seed)
    served = windows_of(found) if windows is None else merge(windows)
    compared = 0
    mismatches: list[Mismatch] = []
    read = _to_read(store, layout, served)
    with open_sample(store.config, layout, read, limit=limit, seed=seed) as (total, batches):
        for batch in batches:
            for part in _parts(batch):
                compared += part.num_rows
                mismatches += _compare(store, layout, feast_rows(part, layout), served)
    return OnlineComparison(compared, total, tuple(mismatches))


def _to_read(store: "FeatureStore", layout: ViewLayout, served: Sequence[Window]) -> list[Window]:
    """The windows of which rows are to be compared.

    What is older than the TTL may be gone, and is read only where reading costs nothing: in files.
    """
    since = served_since(store, layout, datetime.now(UTC))
    if since is None or parquet_source(layout.source) is not None:
        return list(served)
    return [Window(max(each.start, since), each.end) for each in served if each.end > since]


def _compare_computed(
    store: "FeatureStore", layout: ViewLayout, windows: Sequence[Window], limit: int, seed: int
) -> OnlineComparison:
    from feature_platform.materialize.computed_windows import latest_computed, partitions_of

    windows = partitions_of(layout.view, merge(windows))
    rows = latest_computed(store, layout, windows)
    chosen = rows if len(rows) <= limit else random.Random(seed).sample(rows, limit)  # noqa: S311
    mismatches: list[Mismatch] = []
    for start in range(0, len(chosen), _READ_AT_ONCE):
        part = chosen[start : start + _READ_AT_ONCE]
        mismatches += _compare(store, layout, part, merge(windows))
    return OnlineComparison(len(chosen), len(rows), tuple(mismatches))


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, _READ_AT_ONCE):
        yield batch.slice(start, _READ_AT_ONCE)


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
        if online_time and _is_streamed(layout, _aware(online_time), event_time, newest):
            continue
        expired = expired_before is not None and event_time < expired_before
        for name in names:
            wanted, got = offline[name], online.get(name)
            same = _is_null(wanted) if got is None or _is_null(got) else _equal(wanted, got)
            if not same and not (expired and (got is None or _is_null(got))):
                found.append(Mismatch(_readable(key), name, _value(got), _value(wanted)))
    return found


def served_since(store: "FeatureStore", layout: ViewLayout, now: datetime) -> datetime | None:
    """The event time before which a row may be gone: by the view's TTL, or by the store's own.

    Args:
        store: The Feast store.
        layout: The view.
        now: The moment.
    """
    seconds: int | None = getattr(store.config.online_store, "key_ttl_seconds", None)
    lives = [each for each in (layout.ttl, timedelta(seconds=seconds or 0)) if each]
    return now - min(lives) if lives else None


def _is_streamed(
    layout: ViewLayout, online: datetime, event_time: datetime, newest: datetime | None
) -> bool:
    """Whether a stream has put a newer value online than the windows hold."""
    if layout.view.stream_source is not None and online > event_time:
        return True
    return newest is not None and online >= newest


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


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
