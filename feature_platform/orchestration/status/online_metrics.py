"""How much is online, how much can be, and how fast it grows."""

from collections.abc import Collection, Iterator, Mapping

from prometheus_client.core import Metric

from feature_platform.online.online_size import online_size
from feature_platform.orchestration.status.gauges import gauge
from feature_platform.orchestration.status.growth import Growth
from feature_platform.registry.windows_on_record import registered_views
from feature_platform.repo.project import FeastProject


def online_store_metrics(
    project: FeastProject, views: Collection[str], limit: int | None
) -> Iterator[Metric]:
    """Keys and bytes online, as the store counts them now.

    Args:
        project: The project.
        views: Views that can be materialized.
        limit: Bytes that the store can take; None uses what it says itself.
    """
    keys = gauge(
        "online_keys",
        "Entity keys online; view is empty where the store keeps views together.",
        "view",
    )
    sizes = gauge(
        "online_bytes", "Bytes online; an estimate on SQLite, view as with the keys.", "view"
    )
    size = gauge("online_store_bytes", "Bytes that the online store takes.")
    most = gauge(
        "online_store_limit_bytes",
        "Bytes it can take: as --online-limit says, else maxmemory of Redis, SQLite's disk.",
    )
    store = project.store()
    registered = registered_views(store)
    found = online_size(store, [name for name in views if name in registered])
    if found is not None:
        for view, count in found.keys.items():
            keys.add_metric([project.name, view], count)
        for view, count in found.sizes.items():
            sizes.add_metric([project.name, view], count)
        size.add_metric([project.name], found.size)
        if (known := limit or found.limit) is not None:
            most.add_metric([project.name], known)
    yield from (keys, sizes, size, most)


def growth_metrics(project: str, growths: Mapping[str, Growth]) -> Iterator[Metric]:
    """Keys and bytes per day, by view."""
    keys = gauge(
        "online_keys_per_day",
        "Keys by which what is online grows, as runs of the last 30 days recorded it.",
        "view",
    )
    size = gauge("online_bytes_per_day", "Bytes by which it grows.", "view")
    for view, growth in growths.items():
        if growth.keys_a_day is not None and growth.bytes_a_day is not None:
            keys.add_metric([project, view], growth.keys_a_day)
            size.add_metric([project, view], growth.bytes_a_day)
    yield from (keys, size)
