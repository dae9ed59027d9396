"""`feast apply`, and its plan, without losing what other processes write to the registry."""

import copy
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RepoError
from feature_platform.registry.registrable import require_refreshed, why_not_registrable
from feature_platform.registry.registry_change import (
    RegistryChange,
    without_false_positives,
)
from feature_platform.registry.registry_errors import (
    apply_errors,
    online_update_errors,
    registry_errors,
)
from feature_platform.registry.registry_versions import (
    changing_keys,
    changing_versions,
    keep_versions,
    windows_removed,
)
from feature_platform.registry.registry_writes import change_registry, refresh

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents


def plan(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    """What `apply` would change, without changing it.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    with apply_errors(store):
        refresh(store)
        contents = _prepared(store, repo_contents)
        return RegistryChange.of(without_false_positives(store.plan(contents)[0]))


def apply(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    """Make the registry, and the online store's tables, match the repo: ``feast apply``.

    Feast's own plan and apply run under the lock that recording a window takes too, so neither
    overwrites the other. Recorded windows are kept, except those of views whose join keys change,
    and of views that move to another version where each version has an online table of its own
    (``enable_online_feature_view_versioning``): nothing of those is online.

    Args:
        store: The Feast store.
        repo_contents: What the repo defines, from ``feast.repo_operations.parse_repo``.

    Returns:
        What was changed.

    Raises:
        RegistryError: The registry cannot be reached, or other writers always came first.
        OnlineStoreError: The online store could not make the tables.
        SourceError: A table that types have to be inferred from does not exist.
        RepoError: The transformation of a batch view has changed, which Feast cannot apply; or a
            service is to be served from precomputed vectors, which nothing here refreshes.
    """
    with windows_removed(store, lambda: _changing(store, repo_contents)):
        return change_registry(store, lambda: _apply(store, repo_contents))


def ensure_registered(
    store: "FeatureStore", repo_contents: "RepoContents", view: str
) -> RegistryChange | None:
    """Apply the repo if the registry does not have the view yet.

    Returns:
        What was changed; None if the view is registered.

    Raises:
        RegistryError: The registry cannot be reached.
    """
    from feast.errors import FeatureViewNotFoundException

    with registry_errors(store):
        try:
            store.registry.get_any_feature_view(view, store.project, allow_cache=False)
        except FeatureViewNotFoundException:
            pass
        else:
            return None
    return apply(store, repo_contents)


def _changing(store: "FeatureStore", repo_contents: "RepoContents") -> list[str]:
    """Registered views of which nothing is online once the contents are applied."""
    with apply_errors(store):
        refresh(store)
        contents = _prepared(store, repo_contents)
        found = changing_keys(store, contents)
        if store.config.registry.enable_online_feature_view_versioning:
            store.plan(contents)  # infers what the repo does not declare
            found += changing_versions(store, contents)
        return sorted(set(found))


def _apply(store: "FeatureStore", repo_contents: "RepoContents") -> RegistryChange:
    from feast.repo_operations import extract_objects_for_apply_delete

    contents = _prepared(store, repo_contents)
    for view in (*contents.feature_views, *contents.stream_feature_views):
        # Feast copies the registry's windows into an object only if that has none, and an object
        # that was applied before has outdated ones.
        view.materialization_intervals = []
    difference, infra_difference, infra = store.plan(contents)
    keep_versions(store, contents)
    difference = without_false_positives(difference)
    # As feast apply decides; but its plan does not make the tables of new versions.
    versioned = store.config.registry.enable_online_feature_view_versioning
    if store._should_use_plan() and not versioned:  # noqa: SLF001
        store._apply_diffs(difference, infra_difference, infra)  # noqa: SLF001
    else:
        kept, deleted, _, _ = extract_objects_for_apply_delete(
            store.project, store.registry, contents
        )
        with online_update_errors(store):
            store.apply(kept, objects_to_delete=deleted, partial=False)
    return RegistryChange.of(difference)


def _prepared(store: "FeatureStore", contents: "RepoContents") -> "RepoContents":
    """A copy of the contents with a project, as ``feast apply`` adds one.

    A copy, because Feast writes inferred fields into the objects it is given, and the second time
    adds the dummy key of a view without entities to its features.
    """
    from feast.project import Project

    for view in (*contents.feature_views, *contents.stream_feature_views):
        if why := why_not_registrable(view):
            raise RepoError(
                f"feature view '{view.name}'",
                f"{why}: applied, it would lock everybody out",
                "compute it in the SQL of its source, or in a transformation of mode 'pandas'",
            )
    require_refreshed(contents.feature_services)
    copied = copy.deepcopy(contents)
    if not copied.projects:
        copied.projects.append(Project(name=store.project))
    for view in copied.feature_views:
        if getattr(view, "feature_transformation", None) is not None:
            _keep_transformation(store, view)
    return copied


def _keep_transformation(store: "FeatureStore", view: Any) -> None:
    """Replace a batch view's transformation by the registered one if they are equal.

    Feast 0.67 compares their pickles, which differ from process to process, and then raises because
    batch views lack a field.

    Raises:
        RepoError: They are not equal.
    """
    from feast.errors import FeatureViewNotFoundException

    try:
        known = store.registry.get_feature_view(view.name, store.project, allow_cache=False)
    except FeatureViewNotFoundException:
        return
    registered = getattr(known, "feature_transformation", None)
    if registered is None:
        return
    if registered != view.feature_transformation:
        raise RepoError(
            f"feature view '{view.name}'",
            "its transformation has changed, and this version of Feast cannot update it",
            f"delete it (`feast delete {view.name}`) and apply again, or give it another name",
        )
    view.feature_transformation = registered
