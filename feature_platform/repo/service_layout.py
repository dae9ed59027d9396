"""What a feature service takes from each feature view: keys, columns, TTL, and definition."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

# Fields that change although the definition does not.
_NO_DEFINITION = {"meta", "createdTimestamp", "lastUpdatedTimestamp"}

FIRST_TIME = datetime(1677, 9, 22, tzinfo=UTC)
LAST_TIME = datetime(2262, 4, 11, tzinfo=UTC)
"""The range of timestamps in nanoseconds."""


@dataclass(frozen=True)
class ServiceView:
    """A feature view with a batch source, as a feature service uses it.

    Attributes:
        name: Name of the view.
        alias: Its name in the service.
        view: Feast's object.
        keys: Join keys as the entity rows name them, in the view's order.
        source_keys: Their columns in the source, in the same order.
        features: Feature of the view to its column in the source, in the service's order.
        definition: SHA-256 of the view's definition.
        version: Feast's version number of the view; 0 if it is not versioned.
    """

    name: str
    alias: str
    view: Any
    keys: tuple[str, ...]
    source_keys: tuple[str, ...]
    features: Mapping[str, str]
    definition: str
    version: int

    @property
    def source(self) -> Any:
        """The batch source."""
        return self.view.batch_source

    @property
    def ttl(self) -> timedelta | None:
        """Maximum age of a row; None is any age."""
        return self.view.ttl or None

    def looks_back_to(self, moment: datetime) -> datetime:
        """The earliest event time that counts at `moment`."""
        if self.ttl is None or self.ttl > moment - min(FIRST_TIME, moment):
            return min(FIRST_TIME, moment)
        return moment - self.ttl

    @property
    def source_columns(self) -> Sequence[str]:
        """Columns of the source that the join reads, times left out."""
        return list(dict.fromkeys([*self.source_keys, *self.features.values()]))


def service_views(store: "FeatureStore", service: "FeatureService") -> list[ServiceView]:
    """The views of a service, the inputs of its on-demand views included, without duplicates."""
    found: dict[tuple[str, frozenset[str]], ServiceView] = {}
    for projection in service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        inputs = getattr(view, "source_feature_view_projections", None)
        for each in [projection] if inputs is None else inputs.values():
            base = (
                view
                if inputs is None
                else store.registry.get_any_feature_view(each.name, store.project)
            )
            if getattr(base, "batch_source", None) is None:
                continue
            asked = _service_view(base, each)
            found.setdefault((asked.alias, frozenset(asked.features)), asked)
    return list(found.values())


def _service_view(view: Any, projection: Any) -> ServiceView:
    from feast.feature_view import DUMMY_ENTITY_ID

    origin = {served: column for column, served in (view.batch_source.field_mapping or {}).items()}
    keys = [field.name for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]
    renamed = projection.join_key_map or {}
    return ServiceView(
        name=str(view.name),
        alias=str(projection.name_to_use()),
        view=view,
        keys=tuple(renamed.get(key, key) for key in keys),
        source_keys=tuple(origin.get(key, key) for key in keys),
        features={field.name: origin.get(field.name, field.name) for field in projection.features},
        definition=_definition(view),
        version=int(getattr(view, "current_version_number", None) or 0),
    )


def _definition(view: Any) -> str:
    from google.protobuf.json_format import MessageToDict

    content = _without_times(MessageToDict(view.to_proto().spec))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _without_times(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _without_times(v) for k, v in content.items() if k not in _NO_DEFINITION}
    if isinstance(content, list):
        return [_without_times(each) for each in content]
    return content
