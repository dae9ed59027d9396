"""Objects that Feast's registry cannot hold, or would serve from copies that nothing refreshes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from feature_platform.errors import RepoError
from feature_platform.registry.registry_errors import registry_errors

if TYPE_CHECKING:
    from feast import FeatureStore

_UNREADABLE_MODES = ("sql", "flink")


def why_not_registrable(view: Any) -> str:
    """Why Feast could not read a registry that holds the view; empty if it could."""
    transformation = getattr(view, "feature_transformation", None)
    mode = transformation_mode(transformation)
    if transformation is None or mode not in _UNREADABLE_MODES:
        return ""
    return f"its transformation is of mode '{mode}', which Feast cannot read from a registry"


def transformation_mode(transformation: Any) -> str:
    """The mode of a transformation; ``pandas`` by default."""
    mode = getattr(transformation, "mode", "pandas")
    return str(getattr(mode, "value", mode))


def why_not_filled(on_demand_view: Any) -> str:
    """Why what Feast serves of an on-demand view stays empty; "" if it is computed on request."""
    if not getattr(on_demand_view, "write_to_online_store", False):
        return ""
    return (
        "it is read from the online store (write_to_online_store=True), where nothing of this "
        "project writes it, so that nulls are served"
    )


FILL = "define it with write_to_online_store=False, or compute it in a feature view"
"""What to do about `why_not_filled`."""


def why_not_refreshed(service: Any) -> str:
    """Why what Feast serves of a feature service grows old; empty if it does not."""
    if not getattr(service, "precompute_online", False):
        return ""
    return (
        "it is served from precomputed vectors (precompute_online=True), which stay as they are "
        "when its feature views are materialized, so that old values are served"
    )


def require_refreshed(services: Iterable[Any], *, view: str = "") -> None:
    """Raise if a service would be served from copies that are not refreshed.

    Args:
        services: Feature services.
        view: Only services that ask for this view count; empty for all.

    Raises:
        RepoError: One would, with the reason.
    """
    for service in services:
        asked = {projection.name for projection in service.feature_view_projections}
        if (why := why_not_refreshed(service)) and (not view or view in asked):
            asks = f" for feature view '{view}'" if view else ""
            raise RepoError(
                f"feature service '{service.name}'",
                f"asks{asks}, and {why}" if view else why,
                "define it with precompute_online=False and apply the repo",
            )


def require_refreshed_services(store: "FeatureStore", view: str) -> None:
    """`require_refreshed` of the registered services that ask for a view.

    Raises:
        RepoError: One is served from precomputed vectors.
        RegistryError: The registry cannot be reached.
    """
    with registry_errors(store):
        services = store.registry.list_feature_services(store.project, allow_cache=True)
    require_refreshed(services, view=view)
