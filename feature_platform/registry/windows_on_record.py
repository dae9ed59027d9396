"""The windows of a feature view that the registry records as online."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.times import in_utc
from feature_platform.core.windows import Window, merge
from feature_platform.errors import WindowError
from feature_platform.registry.registry_address import local_registry_file
from feature_platform.registry.registry_edit import edit_view, missing_view
from feature_platform.registry.registry_errors import registry_errors

if TYPE_CHECKING:
    from feast import FeatureStore


def load_view(store: "FeatureStore", name: str) -> Any:
    """The view of that name, of any kind, read from the registry without its cache.

    Raises:
        RegistryError: There is none, or the registry cannot be reached.
    """
    from feast.errors import FeatureViewNotFoundException

    with registry_errors(store):
        try:
            return store.registry.get_any_feature_view(name, store.project, allow_cache=False)
        except FeatureViewNotFoundException:
            raise missing_view(store, name) from None


def materialized_windows(store: "FeatureStore", view: str) -> list[Window]:
    """The windows that are online, merged and in order, read without the registry's cache.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached.
    """
    return windows_of(load_view(store, view))


def registered_views(store: "FeatureStore") -> dict[str, Any]:
    """Every registered feature view by name, in one request; empty if there is no registry yet.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    file = local_registry_file(store)
    if file is not None and not file.exists():
        return {}  # reading it would create it
    with registry_errors(store):
        views = store.registry.list_all_feature_views(store.project, allow_cache=False)
    return {view.name: view for view in views}


def windows_of(view: Any) -> list[Window]:
    """The windows recorded in a Feast feature view object, merged and in order."""
    intervals = getattr(view, "materialization_intervals", [])
    return _merged((in_utc(start), in_utc(end)) for start, end in intervals)


def record_window(store: "FeatureStore", view: str, window: Window) -> list[Window]:
    """Record a window as online, atomically, and mark the view available.

    No window is lost, however many processes record at once. The windows are stored merged, so
    their number does not grow with the number of runs; gaps remain.

    Returns:
        All recorded windows, merged.

    Raises:
        WindowError: The window ends in the future.
        RegistryError: There is no such view, or the registry cannot be reached.
    """
    if window.end > datetime.now(UTC):
        raise WindowError(
            f"feature view '{view}'",
            f"window {window} ends in the future",
            "record it when it is over: a future end hides later windows from Feast",
        )
    return change_windows(store, view, lambda present: [*present, window])


def change_windows(
    store: "FeatureStore", view: str, change: Callable[[list[Window]], Iterable[Window]]
) -> list[Window]:
    """Replace the recorded windows of a view, atomically.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        change: From the recorded windows, merged, to the new ones; may be called more than once.

    Returns:
        The new windows, merged.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached or edited.
    """
    result: list[Window] = []

    def edit(message: Any) -> None:
        from feast.feature_view import FeatureViewState

        present = _merged(
            (_utc(interval.start_time), _utc(interval.end_time))
            for interval in message.meta.materialization_intervals
        )
        result[:] = merge(change(present))
        del message.meta.materialization_intervals[:]
        for window in result:
            interval = message.meta.materialization_intervals.add()
            interval.start_time.FromDatetime(window.start)
            interval.end_time.FromDatetime(window.end)
        if result:
            message.meta.state = FeatureViewState.AVAILABLE_ONLINE.to_proto()
        message.meta.last_updated_timestamp.FromDatetime(datetime.now(UTC))

    edit_view(store, view, edit)
    return list(result)


def _merged(intervals: Iterable[tuple[datetime, datetime]]) -> list[Window]:
    # Feast records an empty interval when a run has nothing to do.
    return merge(Window(start, end) for start, end in intervals if start < end)


def _utc(timestamp: Any) -> datetime:
    moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return moment
