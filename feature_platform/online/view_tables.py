"""The tables of Feast's SQL online stores: one per view, one row per key and feature."""

from typing import TYPE_CHECKING, Any

from feature_platform.core.sql import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feast import FeatureStore


def view_table(config: Any, view: Any) -> str:
    """The quoted name of a view's table."""
    from feast.infra.online_stores.helpers import compute_table_id

    versioned = config.registry.enable_online_feature_view_versioning
    return identifier(compute_table_id(config.project, view, versioned))


def view_tables(store: "FeatureStore", views: "Sequence[str]") -> dict[str, tuple[str, list[str]]]:
    """For each view its table's quoted name, and its features."""
    found = {}
    for name in views:
        view = store.get_feature_view(name)
        features = [feature.name for feature in view.features]
        found[name] = (view_table(store.config, view), features)
    return found


def is_plain(config: Any) -> bool:
    """Whether the tables have only the columns that bulk writes fill, and none of vectors."""
    return not config.online_store.vector_enabled and not getattr(
        config.online_store, "enable_openai_compatible_store", False
    )
