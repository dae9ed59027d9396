"""What the repo does not declare and Feast infers from a table: keys, features, time column."""

import copy
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from feast import Entity, FeatureView
    from feast.repo_config import RepoConfig

UNKNOWN = "unknown"
"""The type of a column that neither the repo declares nor a local table has."""


def inferred(view: "FeatureView", entities: "Sequence[Entity]", config: "RepoConfig") -> Any:
    """A view with the keys, features and time column that ``feast apply`` would infer.

    Most repos leave the join key out of the schema, and some the schema itself; Feast infers them
    from the table when it applies. Here only local files are read, since a code location must load
    without a warehouse, and they need not exist.

    Returns:
        The view itself if nothing is missing or can be inferred, else a copy.
    """
    if _is_complete(view, entities) or not _is_local_file(view.batch_source):
        return view
    return _with_columns(_with_time_column(view, config), entities, config)


def with_all_keys(view: "FeatureView", entities: "Sequence[Entity]") -> Any:
    """A view with every join key among its entity columns, of type ``Invalid`` if not declared.

    Returns:
        The view itself if none is missing, else a copy that must not be applied.
    """
    from feast import Field, ValueType
    from feast.types import Invalid, from_value_type

    declared = {column.name: column for column in view.entity_columns}
    keys = join_keys(view, {entity.name: entity for entity in entities})
    if keys.keys() <= declared.keys():
        return view
    for key, entity in keys.items():
        is_declared = entity.value_type != ValueType.UNKNOWN
        dtype = from_value_type(entity.value_type) if is_declared else Invalid
        declared.setdefault(key, Field(name=key, dtype=dtype))
    found: Any = copy.deepcopy(view)
    found.entity_columns = list(declared.values())
    return found


def join_keys(view: "FeatureView", entities: "Mapping[str, Entity]") -> "dict[str, Entity]":
    """Join key to entity, in the order of the view; empty for a view without entities."""
    from feast.feature_view import DUMMY_ENTITY_NAME

    known = (
        entities[name] for name in view.entities if name != DUMMY_ENTITY_NAME and name in entities
    )
    return {entity.join_key: entity for entity in known}


def type_name(dtype: Any) -> str:
    """Feast's name of a type; `UNKNOWN` for ``Invalid``."""
    name = str(dtype)
    return UNKNOWN if name == "Invalid" else name


def _is_complete(view: "FeatureView", entities: "Sequence[Entity]") -> bool:
    declared = {column.name for column in view.entity_columns}
    keys = join_keys(view, {entity.name: entity for entity in entities})
    timed = view.batch_source is None or bool(view.batch_source.timestamp_field)
    return bool(view.features) and timed and keys.keys() <= declared


def _is_local_file(source: Any) -> bool:
    from feast.infra.offline_stores.file_source import FileSource

    return isinstance(source, FileSource) and "://" not in source.path


def _with_time_column(view: Any, config: "RepoConfig") -> Any:
    from feast.inference import update_data_sources_with_inferred_event_timestamp_col

    found = copy.deepcopy(view)
    with suppress(Exception):
        update_data_sources_with_inferred_event_timestamp_col([found.batch_source], config)
        return found
    return view


def _with_columns(view: Any, entities: "Sequence[Entity]", config: "RepoConfig") -> Any:
    from feast.feature_view import DUMMY_ENTITY_ID
    from feast.inference import update_feature_views_with_inferred_features_and_entities
    from feast.infra.provider import get_provider

    found = copy.deepcopy(view)
    with suppress(Exception):
        update_feature_views_with_inferred_features_and_entities(
            get_provider(config), [found], list(entities), config
        )
        found.entity_columns = [
            each for each in found.entity_columns if each.name != DUMMY_ENTITY_ID
        ]
        return found
    return view
