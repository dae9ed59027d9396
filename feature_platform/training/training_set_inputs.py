"""What the entity rows and sources of a training set must have."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.service_layout import FIRST_TIME, ServiceView, service_views
from feature_platform.sources.relation import open_relation

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


def needed_columns(store: "FeatureStore", service: "FeatureService") -> set[str]:
    """Join keys and the request data of on-demand views."""
    keys = {key for view in service_views(store, service) for key in view.keys}
    return keys | _request_columns(store, service).keys()


def require_columns(
    table: pa.Table,
    store: "FeatureStore",
    service: "FeatureService",
    views: Sequence[ServiceView],
    origin: str,
) -> None:
    """Require the join keys of the views, and the request data of on-demand views."""
    subject, given = f"entity rows of {origin}", f"(they have {', '.join(table.column_names)})"
    for view in views:
        if missing := [key for key in view.keys if key not in table.column_names]:
            raise SourceError(
                subject,
                f"have no column {', '.join(map(repr, missing))}, a key of feature view "
                f"'{view.name}' in service '{service.name}' {given}",
                "add it, or leave the view out of the service",
            )
    for name, asker in _request_columns(store, service).items():
        if name not in table.column_names:
            raise SourceError(
                subject,
                f"have no column '{name}', which on-demand feature view '{asker}' of service "
                f"'{service.name}' takes from the request {given}",
                "add the request data, or leave the view out of the service",
            )


def _request_columns(store: "FeatureStore", service: "FeatureService") -> dict[str, str]:
    """Request data, and the on-demand view that takes it."""
    found: dict[str, str] = {}
    for projection in service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        for source in (getattr(view, "source_request_sources", None) or {}).values():
            found |= dict.fromkeys((field.name for field in source.schema), projection.name)
    return found


def typed_keys(table: pa.Table, views: Sequence[ServiceView]) -> pa.Table:
    """Keys that are all null in the types of their entities, which pandas does not have."""
    from feast.type_map import feast_value_type_to_pa

    for view in views:
        # A view without entities has Feast's dummy key, which entity rows lack.
        for key, declared in zip(view.keys, view.view.entity_columns, strict=False):
            place = table.column_names.index(key)
            if pa.types.is_null(table.column(key).type):
                kind = feast_value_type_to_pa(declared.dtype.to_value_type())
                table = table.set_column(place, key, table.column(key).cast(kind))
    return table


def require_tables(store: "FeatureStore", service: "FeatureService") -> None:
    """Raise SourceError for the source that made a join fail: missing, or without a column."""
    nothing = Window(FIRST_TIME, FIRST_TIME + timedelta(microseconds=1))
    for view in service_views(store, service):
        try:
            with open_relation(store.config, view.source, [nothing], view.source_columns):
                continue
        except SourceError as error:
            if not why_transformed(view.view):
                raise
            kept = f"{error.subject}: {error.problem}"
            write = f"feature-platform materialize --view {view.name} --start DAY --end DAY"
            if not view.view.source_views:
                remedy = (
                    "it is computed while it is materialized and only stored online: derive a view "
                    f"from it (source=[{view.name}], with a sink_source and offline=True) for the "
                    "service, or leave it out"
                )
            elif view.view.offline:
                remedy = f"write it: {write}"
            else:
                remedy = f"define the view with offline=True, and {write} writes it"
            raise SourceError(
                f"feature view '{view.name}' of service '{service.name}'",
                f"has no history to join ({kept})",
                remedy,
            ) from error
