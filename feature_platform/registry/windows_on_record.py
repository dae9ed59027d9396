"""Which windows of a feature view are online, as the registry knows it."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.windows import Window, merge, missing
from feature_platform.errors import RegistryError, WindowError
from feature_platform.registry.registry_address import local_registry_file, registry_subject
from feature_platform.registry.registry_edit import edit_view, missing_view
from feature_platform.registry.registry_locks import unreachable

if TYPE_CHECKING:
    from feast import FeatureStore


def load_view(store: "FeatureStore", name: str) -> Any:
    """The view of that name, fresh from the registry: of any kind, on-demand ones too.

    Raises:
        RegistryError: There is none, or the registry cannot be reached.
    """
    from feast.errors import FeatureViewNotFoundException

    try:
        return store.registry.get_any_feature_view(name, store.project, allow_cache=False)
    except FeatureViewNotFoundException:
        raise missing_view(store, name) from None
    except Exception as error:  # every registry raises its own
        raise unreachable(store, error) from error


def materialized_windows(store: "FeatureStore", view: str) -> list[Window]:
    """The windows that are online: merged, in order, fresh from the registry.

    Args:
        store: The Feast store.
        view: Name of the feature view.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached.
    """
    return windows_of(load_view(store, view))


def registered_views(store: "FeatureStore") -> dict[str, Any]:
    """Every feature view of the registry by name, fresh, in one go; none where there is none yet.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    file = local_registry_file(store)
    if file is not None and not file.exists():
        return {}  # Feast would make it, only because somebody asked
    try:
        views = store.registry.list_all_feature_views(store.project, allow_cache=False)
    except Exception as error:  # every registry raises its own
        raise unreachable(store, error) from error
    return {view.name: view for view in views}


def windows_of(view: Any) -> list[Window]:
    """The merged windows in a Feast feature view that is already at hand."""
    intervals = getattr(view, "materialization_intervals", [])
    return _merged((_aware(start), _aware(end)) for start, end in intervals)


def record_window(store: "FeatureStore", view: str, window: Window) -> list[Window]:
    """Add a window to those that are online, atomically, and mark the view available.

    However many processes record at once, no window is lost. The list is kept merged, so it does
    not grow with the number of runs, and a gap stays a gap.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        window: What is online now.

    Returns:
        All windows that are online, merged.

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


def forget_window(store: "FeatureStore", view: str, window: Window) -> list[Window]:
    """Take a window out of those that are online, so that it counts as missing again.

    Nothing is removed from the online store.

    Returns:
        The windows that remain.

    Raises:
        RegistryError: There is no such view, or the registry cannot be reached.
    """
    return change_windows(store, view, lambda present: missing(present, [window]))


def change_windows(
    store: "FeatureStore", view: str, change: Callable[[list[Window]], Iterable[Window]]
) -> list[Window]:
    """Replace the windows of a view by what `change` makes of them, atomically.

    Args:
        store: The Feast store.
        view: Name of the feature view.
        change: From the merged windows to the new ones; may be called more than once.

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

    if not edit_view(store, view, edit):
        raise RegistryError(
            registry_subject(store),
            f"a registry of type '{store.config.registry.registry_type}' offers no atomic edit",
            "use a file, SQL, gs:// or s3:// registry for what is materialized here",
        )
    return list(result)


def _merged(intervals: Iterable[tuple[datetime, datetime]]) -> list[Window]:
    # Feast itself records an empty interval when a run finds nothing to do.
    return merge(Window(start, end) for start, end in intervals if start < end)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _utc(timestamp: Any) -> datetime:
    moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return moment
