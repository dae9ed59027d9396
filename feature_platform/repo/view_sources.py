"""The columns a feature view needs from its source, and why it cannot be materialized."""

from typing import TYPE_CHECKING

from feature_platform.repo.computability import why_not_computable, why_transformed
from feature_platform.repo.inference import type_name
from feature_platform.repo.project import sources_of
from feature_platform.repo.view_settings import ViewSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from feast import FeatureView
    from feast.data_source import DataSource
    from feast.repo_config import RepoConfig

NO_DRIFT = "drift is measured in sources, which do not hold the features Feast computes"
NO_TIME = "no timestamp_field is declared, and there is no table yet to find it in"


def why_not_materializable(
    view: "FeatureView", config: "RepoConfig", settings: ViewSettings
) -> str | None:
    """Why a feature view cannot be materialized from its batch source; None if it can."""
    if view.batch_source is None:
        return "it has no batch source"
    if not getattr(view, "enabled", True):
        return "it is disabled (enabled=False)"
    if not view.online:
        return "it is not served online (online=False)"
    if why := why_not_computable(view, config):
        return why
    if why_transformed(view) and settings.drift == "block":
        return f"its tag dagster/drift is 'block', and {NO_DRIFT}"
    untimed = [each for each in (view.batch_source, *sources_of(view)) if not each.timestamp_field]
    return f"source '{untimed[0].name}': {NO_TIME}" if untimed else None


def is_computed(view: "FeatureView") -> bool:
    """Whether a view's features are computed, so that its source need not have them."""
    transformation = getattr(view, "feature_transformation", None)
    return transformation is not None or bool(getattr(view, "aggregations", None))


def source_columns(views: "Iterable[FeatureView]", source: "DataSource") -> dict[str, str]:
    """Columns a source table must have for its views, before field mapping, with Feast's types.

    Empty if a view's features are not known yet; then every column of the table counts. A view
    whose features are computed needs only its keys. If views declare a number as 32 and as 64 bits,
    its values must fit into 32.
    """
    renamed = {new: old for old, new in source.field_mapping.items()}
    columns: dict[str, str] = {}
    for view in views:
        computed = is_computed(view)
        if not view.features and not computed:
            return {}
        for field in [*view.entity_columns, *(() if computed else view.features)]:
            name, kind = renamed.get(field.name, field.name), type_name(field.dtype)
            columns[name] = _narrower(columns.get(name, kind), kind)
    for name in (source.timestamp_field, source.created_timestamp_column):
        if name:
            columns[renamed.get(name, name)] = "UnixTimestamp"
    return columns


def _narrower(one: str, other: str) -> str:
    same = one.replace("64", "32") == other.replace("64", "32")
    return one if same and "32" in one else other
