"""Which columns of a feature view go into the online store: keys, features and times."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from feature_platform.errors import OnlineStoreError, SourceError

if TYPE_CHECKING:
    from feast import FeatureView
    from feast.data_source import DataSource

EVENT_TIME = "__event_time"
CREATED_TIME = "__created_time"
"""The columns of the two times in encoded batches; a feature's name cannot begin with ``__``."""


@dataclass(frozen=True)
class ServedColumn:
    """A join key or feature.

    Attributes:
        name: Its name in the view.
        source: Its column in the batch source; None for the dummy key of a view without entities.
        value_type: Feast's ``ValueType``.
    """

    name: str
    source: str | None
    value_type: Any


@dataclass(frozen=True)
class ViewLayout:
    """How the rows of a feature view are read and served.

    Attributes:
        view: The Feast feature view from the registry.
        source: Its batch source.
        keys: Join keys in the order of the view.
        features: Features in the order of the view.
        ttl: How long a row may be served after its event time; None for ever.
    """

    view: Any
    source: Any
    keys: tuple[ServedColumn, ...]
    features: tuple[ServedColumn, ...]
    ttl: timedelta | None

    @property
    def name(self) -> str:
        """Name of the view."""
        return str(self.view.name)

    @property
    def join_keys(self) -> dict[str, Any]:
        """Join key to Feast value type, as Feast's own row conversion takes it."""
        return {key.name: key.value_type for key in self.keys}

    @property
    def source_keys(self) -> tuple[str, ...]:
        """The key columns of the source; empty for a view without entities."""
        return tuple(key.source for key in self.keys if key.source is not None)

    @property
    def source_features(self) -> tuple[str, ...]:
        """The feature columns of the source."""
        return tuple(feature.source for feature in self.features if feature.source is not None)


def view_layout(view: "FeatureView") -> ViewLayout:
    """The layout of a feature view or stream feature view.

    Raises:
        SourceError: It has no batch source.
        OnlineStoreError: It is not served online, or is computed on demand.
    """
    from feast.feature_view import DUMMY_ENTITY_ID

    source: DataSource | None = getattr(view, "batch_source", None)
    _require_served(view)
    if source is None:
        raise SourceError(
            f"feature view '{view.name}'",
            "it has no batch source",
            "give it a source (for a push source: a batch_source) to materialize from",
        )
    origin = {served: column for column, served in (source.field_mapping or {}).items()}
    keys = tuple(
        ServedColumn(
            field.name,
            None if field.name == DUMMY_ENTITY_ID else origin.get(field.name, field.name),
            field.dtype.to_value_type(),
        )
        for field in view.entity_columns
    )
    return ViewLayout(
        view=view,
        source=source,
        keys=keys or _dummy_key(),
        features=tuple(
            ServedColumn(
                field.name, origin.get(field.name, field.name), field.dtype.to_value_type()
            )
            for field in view.features
            # Feast may list inferred keys among the features as well: those of stream feature
            # views, and the dummy key if it infers the same object twice.
            if field.name != DUMMY_ENTITY_ID and field.name not in {key.name for key in keys}
        ),
        ttl=view.ttl or None,
    )


def _dummy_key() -> tuple[ServedColumn, ...]:
    from feast import ValueType
    from feast.feature_view import DUMMY_ENTITY_ID

    return (ServedColumn(DUMMY_ENTITY_ID, None, ValueType.STRING),)


def _require_served(view: "FeatureView") -> None:
    from feast import FeatureView

    if not isinstance(view, FeatureView):
        raise OnlineStoreError(
            f"{type(view).__name__} '{view.name}'",
            "it is computed on demand, so there is nothing to materialize",
            "materialize the feature views it is computed from",
        )
    if not view.online:
        raise OnlineStoreError(
            f"feature view '{view.name}'",
            "it is declared with online=False",
            "set online=True on the feature view and run feast apply, or leave it out",
        )
