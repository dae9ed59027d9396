"""Views of which nothing is online once a repo is applied, whatever the registry records.

Those whose keys change: what is stored under the old keys cannot be asked for by the new ones. And
with ``enable_online_feature_view_versioning`` those that move to another version: each version has
an online table of its own, and the registry records windows for the current one only.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from feature_platform.errors import FeaturePlatformError
from feature_platform.online.crash_marker import add_crash_markers
from feature_platform.registry.registry_locks import view_lock
from feature_platform.registry.windows_on_record import change_windows, load_view, windows_of

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

    from feature_platform.core.windows import Window


def changing_versions(store: "FeatureStore", contents: "RepoContents") -> list[str]:
    """Names of the registered views that applying the contents moves to another version, sorted."""
    pairs = _with_registered(store, contents)
    return sorted(str(view.name) for view, known in pairs if _changes_version(view, known))


def changing_keys(store: "FeatureStore", contents: "RepoContents") -> list[str]:
    """Names of the registered views whose join keys, or their types, the contents change, sorted.

    A type that Feast will infer from the table counts as the registered one.
    """
    entities = {entity.name: entity for entity in contents.entities}
    return sorted(
        str(view.name)
        for view, known in _with_registered(store, contents)
        if _keys(known) and _changes_keys(view, _keys(known), entities)
    )


def keep_versions(store: "FeatureStore", contents: "RepoContents") -> None:
    """Give the views that do not change version the version number that they have.

    Feast 0.67 resets it to 0, and then serves the rows of version 0.
    """
    for view, known in _with_registered(store, contents):
        if not _changes_version(view, known):
            view.current_version_number = known.current_version_number


@contextmanager
def windows_removed(store: "FeatureStore", changing: Callable[[], list[str]]) -> Iterator[None]:
    """Remove the recorded windows of views that the block changes; restore them on failure.

    Nothing is online of the new definition. The views are locked for the duration, those without
    windows too: a run that began on one definition must not record its window for the next.

    Args:
        store: The Feast store.
        changing: Names of the views; called again once they are locked.

    Raises:
        RegistryError: The registry cannot be reached.
        OnlineStoreError: The online store failed.
    """
    removed: dict[str, tuple[Any, list[Window]]] = {}
    with ExitStack() as locks:
        views = changing()
        for view in views:
            locks.enter_context(view_lock(store, view))
        if views:  # another process may have changed them before they were locked
            views = sorted({*views}.intersection(changing()))
        try:
            for view in views:
                known = load_view(store, view)
                if windows := windows_of(known):
                    if known.online:
                        add_crash_markers(store, known, windows)
                    removed[view] = (_identity(known), windows)
                    # Before the definition changes: after a crash they count as missing, which is
                    # safe; recorded for the new one they would be wrong.
                    change_windows(store, view, lambda _: [])
            yield
        except BaseException:
            for view, (identity, windows) in removed.items():
                # Windows that cannot be restored are materialized again; go on with the next view.
                with suppress(FeaturePlatformError):
                    # A SQL registry may have changed the view before the rest failed.
                    if _identity(load_view(store, view)) == identity:
                        change_windows(store, view, partial(_joined, windows))
            raise


def _joined(windows: "list[Window]", present: "list[Window]") -> "list[Window]":
    return [*present, *windows]


def _with_registered(store: "FeatureStore", contents: "RepoContents") -> Iterator[tuple[Any, Any]]:
    """The views of the contents that are registered, with their registered counterparts."""
    from feast.errors import FeatureViewNotFoundException

    for view in (*contents.feature_views, *contents.stream_feature_views):
        try:
            known = store.registry.get_any_feature_view(view.name, store.project)
        except FeatureViewNotFoundException:
            continue
        yield view, known


def _identity(known: Any) -> tuple[Any, ...]:
    """What the rows of a registered view are stored under."""
    return known.current_version_number, _keys(known)


def _keys(known: Any) -> dict[str, Any]:
    """The join keys of a registered view, with Feast's types."""
    from feast.feature_view import DUMMY_ENTITY_ID

    return {each.name: each.dtype for each in known.entity_columns if each.name != DUMMY_ENTITY_ID}


def _changes_keys(view: Any, known: Mapping[str, Any], entities: Mapping[str, Any]) -> bool:
    from feast import ValueType
    from feast.feature_view import DUMMY_ENTITY_NAME
    from feast.types import from_value_type

    typed = {each.name: each.dtype for each in (*view.entity_columns, *view.schema)}
    declared: dict[str, Any] = {}
    for name in view.entities:
        entity = entities.get(name)
        if name == DUMMY_ENTITY_NAME:
            continue
        if entity is None:
            return False  # of another repo of the project
        kind = (
            from_value_type(entity.value_type) if entity.value_type != ValueType.UNKNOWN else None
        )
        declared[entity.join_key] = typed.get(entity.join_key, kind)
    if declared.keys() != known.keys():
        return True
    return any(kind is not None and kind != known[key] for key, kind in declared.items())


def _changes_version(view: Any, known: Any) -> bool:
    """Whether applying a view moves the registry to another version of it."""
    from feast.version_utils import parse_version

    is_latest, pinned = parse_version(view.version)
    if is_latest:
        return bool(view._schema_or_udf_changed(known))  # noqa: SLF001 - as Feast decides
    return bool(pinned != (known.current_version_number or 0))
