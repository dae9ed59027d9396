"""The source columns behind the features of a retrieval, and the names of the result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa

from feature_platform.core.feast_seams import parse_feature_reference
from feature_platform.errors import SourceError
from feature_platform.offline.source_table import SourceTable


@dataclass(frozen=True)
class RequestedView:
    """A feature view of a retrieval, by columns of its source.

    Attributes:
        name: Its name in the retrieval.
        source: Its batch source.
        keys: Join key in the view to column of the entity rows.
        features: Feature in the view to column of the result.
        all_features: Every feature of the view, requested or not, in its order.
        declared: Arrow types of the features as the view declares them, where they have one.
        ttl: Maximum age of a row; None is any age.
    """

    name: str
    source: Any
    keys: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    all_features: tuple[str, ...]
    declared: dict[str, pa.DataType]
    ttl: timedelta | None

    def column(self, table: SourceTable, name: str) -> str:
        """The source column that the view calls `name`, after the field mapping.

        A field mapping can rename the time columns too.
        """
        for column, served in (self.source.field_mapping or {}).items():
            if served == name and column in table.schema.names:
                return str(column)
        return name


def requested_views(
    feature_views: Sequence[Any], feature_refs: Sequence[str], *, full_feature_names: bool
) -> list[RequestedView]:
    """Group feature references by view.

    Args:
        feature_views: Feast's feature views, each with the projection it is requested through.
        feature_refs: ``view:feature``; those of other views are on-demand features.
        full_feature_names: Whether feature names have their view's name as a prefix.

    Raises:
        SourceError: A view has no batch source, or two features would have the same name.
    """
    asked: dict[str, list[str]] = {}
    for reference in feature_refs:
        view_name, version, feature = parse_feature_reference(reference)
        name = view_name if version is None else f"{view_name}@v{version}"
        asked.setdefault(name, []).append(feature)
    found = [
        _requested(view, asked.get(view.projection.name_to_use(), []), full_feature_names)
        for view in feature_views
    ]
    owners: dict[str, str] = {}
    for view in found:
        for _, column in view.features:
            if column in owners:
                raise SourceError(
                    f"feature '{column}'",
                    f"both '{owners[column]}' and '{view.name}' have one of that name",
                    "retrieve with full_feature_names=True",
                )
            owners[column] = view.name
    return found


def require_columns(views: Sequence[RequestedView], columns: Sequence[str], origin: str) -> None:
    """Check that entity rows have the views' keys, and no column with the name of a feature.

    Raises:
        SourceError: A key is missing, or a feature's name is taken.
    """
    for view in views:
        missing = [name for _, name in view.keys if name not in columns]
        if missing:
            raise SourceError(
                origin,
                f"has no column {', '.join(map(repr, missing))}, a join key of feature view "
                f"'{view.name}' (it has {', '.join(columns)})",
                "add the column, or leave the view out",
            )
        taken = [name for _, name in view.features if name in columns]
        if taken:
            raise SourceError(
                origin,
                f"has a column '{taken[0]}', which is also a feature of '{view.name}'",
                "rename the column, or retrieve with full_feature_names=True",
            )


def _requested(view: Any, features: Sequence[str], full_feature_names: bool) -> RequestedView:  # noqa: FBT001
    from feast.feature_view import DUMMY_ENTITY_ID

    projection = view.projection
    name = projection.name_to_use()
    if getattr(view, "batch_source", None) is None:
        raise SourceError(
            f"feature view '{view.name}'",
            "it has no batch source",
            "give it a source (for a push source: a batch_source) to retrieve from",
        )
    known = [field.name for field in view.features]
    unknown = [each for each in features if each not in known]
    if unknown:
        raise SourceError(
            f"feature view '{view.name}'",
            f"it has no feature '{unknown[0]}' (it has {', '.join(known)})",
            "correct the name, or add it to the view and apply",
        )
    prefix = f"{projection.name_alias or view.name}__" if full_feature_names else ""
    aliases = projection.join_key_map or {}
    return RequestedView(
        name=str(name),
        source=view.batch_source,
        keys=tuple(
            (field.name, aliases.get(field.name, field.name))
            for field in view.entity_columns
            if field.name != DUMMY_ENTITY_ID
        ),
        features=tuple((each, f"{prefix}{each}") for each in dict.fromkeys(features)),
        all_features=tuple(known),
        declared=_declared(view),
        ttl=view.ttl or None,
    )


def _declared(view: Any) -> dict[str, pa.DataType]:
    from feast.type_map import feast_value_type_to_pa

    found = {}
    for field in view.features:
        try:
            found[field.name] = feast_value_type_to_pa(field.dtype.to_value_type())
        except (KeyError, ValueError, AttributeError):
            continue  # it has no Arrow type; the source's is used
    return found
