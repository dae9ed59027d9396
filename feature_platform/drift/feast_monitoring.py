"""Profiles as metrics of Feast's own monitoring, so that its command, API and UI show our windows.

Feast stores its metrics through the offline store: Parquet files in ``feast_monitoring/`` of the
repo, or tables of the warehouse. Our rows have the keys and columns of Feast's.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.file_locks import file_lock
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError, type_and_line
from feature_platform.registry.windows_on_record import load_view
from feature_platform.statistics import Profile

if TYPE_CHECKING:
    from feast import FeatureStore

_BINS, _TOP = 20, 10  # as Feast's own metrics
_SHARES = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def is_monitored(store: "FeatureStore", window: Window) -> bool:
    """Whether Feast stores metrics of such a window.

    It does for UTC days, if the repo's configuration has a section ``data_quality_monitoring``.
    """
    midnight = window.start.replace(hour=0, minute=0, second=0, microsecond=0)
    day = window.start == midnight and window.end == midnight + timedelta(days=1)
    return day and store.config.data_quality_monitoring_config is not None


def write_metrics(
    store: "FeatureStore", view: str, window: Window, profiles: Mapping[str, Profile]
) -> int:
    """Write the profiles of one window as metrics of `feast monitor`, replacing existing ones.

    Only numbers and categories, as Feast does.

    Returns:
        Number of features written; 0 if Feast stores no metrics of such windows.

    Raises:
        RegistryError: There is no such view.
        SourceError: The offline store cannot store metrics.
    """
    if not is_monitored(store, window):
        return 0
    from feast.monitoring.metrics_calculator import MetricsCalculator
    from feast.monitoring.monitoring_utils import build_view_aggregate

    kinds = {
        field.name: MetricsCalculator.classify_feature(field.dtype)
        for field in load_view(store, view).features
    }
    metrics = [
        feature_metrics(name, found, str(kinds[name]))
        for name, found in profiles.items()
        if kinds.get(name)
    ]
    if not metrics:
        return 0
    about = {
        "project_id": store.project,
        "feature_view_name": view,
        "metric_date": window.start.date(),
        "granularity": "daily",
        "data_source_type": "batch",
        "computed_at": datetime.now(UTC),
        # The end is exclusive, and a profile does not have its newest event time.
        "max_event_timestamp": window.end - timedelta(microseconds=1),
        "is_baseline": False,
    }
    offline = provider_of(store).offline_store
    try:
        # Feast rewrites whole files without a lock.
        with file_lock(Path(str(store.config.repo_path)) / "feast_monitoring" / ".lock", view):
            offline.ensure_monitoring_tables(store.config)
            offline.save_monitoring_metrics(
                store.config, "feature", [{**about, **each} for each in metrics]
            )
            offline.save_monitoring_metrics(
                store.config, "feature_view", [{**about, **build_view_aggregate(metrics)}]
            )
    except Exception as error:  # every offline store raises its own
        raise SourceError(
            f"monitoring of feature view '{view}'",
            f"offline store '{store.config.offline_store.type}' cannot store Feast's metrics "
            f"({type_and_line(error)})",
            "remove 'data_quality_monitoring' from feature_store.yaml, or use an offline store "
            "that `feast monitor` works with",
        ) from error
    return len(metrics)


def feature_metrics(name: str, found: Profile, kind: str) -> dict[str, Any]:
    """A profile as a row of Feast's metrics of `kind` ``numeric`` or ``categorical``."""
    numeric = kind == "numeric" and found.ranks is not None and found.finite > 0
    numbers: dict[str, float | None] = dict.fromkeys(
        ("mean", "stddev", "min_val", "max_val", *_SHARES)
    )
    histogram: dict[str, Any] | None = None
    if numeric:
        numbers = {
            "mean": found.mean,
            "stddev": found.std,
            "min_val": found.minimum,
            "max_val": found.maximum,
            **dict(zip(_SHARES, found.quantiles(*_SHARES.values()), strict=True)),
        }
        histogram = _histogram(found)
    elif kind == "categorical" and found.categories is not None and found.values:
        top = found.categories.top(_TOP)
        histogram = {
            "values": [{"value": value, "count": count} for value, count in top],
            "other_count": found.values - sum(count for _, count in top),
            "unique_count": found.distinct_count,
        }
    return {
        "feature_name": name,
        "feature_type": kind,
        "row_count": found.rows,
        "null_count": found.nulls,
        "null_rate": found.null_rate if found.rows else 0.0,
        **{
            name: value if value is not None and math.isfinite(value) else None
            for name, value in numbers.items()
        },
        "histogram": histogram,
    }


def _histogram(found: Profile) -> dict[str, Any]:
    """Bins of equal width between minimum and maximum, as Feast's."""
    low, high = found.minimum, found.maximum
    if low == high:
        return {"bins": [low, high], "counts": [found.finite], "bin_width": 0.0}
    edges = np.linspace(low, high, _BINS + 1)
    # The outer bins are open, but without infinities.
    counts = found.histogram(edges[1:-1])
    counts[0] -= found.negative_infinities
    counts[-1] -= found.positive_infinities
    return {
        "bins": [float(edge) for edge in edges],
        "counts": [round(count) for count in counts],
        "bin_width": float(high - low) / _BINS,
    }
