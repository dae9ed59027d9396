"""Whether a view's rows have to be computed, and whether the compute engine can."""

from typing import TYPE_CHECKING, Any

from feature_platform.errors import TransformationError
from feature_platform.registry.registrable import transformation_mode, why_not_registrable

if TYPE_CHECKING:
    from feast.repo_config import RepoConfig

_FRAME_MODES = ("pandas", "python", "ray")


def why_transformed(view: Any) -> str:
    """Why a view's rows are computed by Feast's compute engine; empty if they are only read."""
    if getattr(view, "feature_transformation", None) is not None:
        return "it has a transformation"
    if getattr(view, "aggregations", None):
        return "it aggregates"
    if getattr(view, "source_views", None):
        return "it is derived from other views"
    return ""


def is_computed_here(config: "RepoConfig") -> bool:
    """Whether the repo's compute engine is Feast's local one or a subclass."""
    from feast.infra.compute_engines.local.compute import LocalComputeEngineConfig

    return isinstance(config.batch_engine, LocalComputeEngineConfig)


def why_not_computable(view: Any, config: "RepoConfig") -> str:
    """Why the repo's compute engine cannot compute a view or one of its parents; else empty."""
    from feast import BatchFeatureView

    transformation = getattr(view, "feature_transformation", None)
    mode = transformation_mode(transformation)
    if getattr(view, "aggregations", None):
        if isinstance(view, BatchFeatureView):
            return "it aggregates, and Feast's registry keeps no aggregations of batch views"
        if is_computed_here(config):
            return (
                "it aggregates, and Feast's local engine has no time windows and gives an "
                "aggregate no event time"
            )
    if why := why_not_registrable(view):
        return why
    if transformation is not None and mode not in _FRAME_MODES and is_computed_here(config):
        return f"its transformation is of mode '{mode}', which Feast's local engine cannot run"
    for parent in getattr(view, "source_views", None) or ():
        if why := why_not_computable(parent, config):
            return f"its parent '{parent.name}': {why}"
    return ""


def require_computable(view: Any, config: "RepoConfig") -> None:
    """Raise if the repo's compute engine cannot compute a view.

    Raises:
        TransformationError: It cannot, with the reason.
    """
    if why := why_not_computable(view, config):
        raise TransformationError(
            f"feature view '{view.name}'",
            f"it cannot be computed: {why}",
            "compute it in the SQL of its source or in a transformation of mode 'pandas', or "
            "configure a batch_engine that can",
        )
