"""What a feature service serves, resolved: its views with their keys, and what is computed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import views_to_use
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import ViewLayout, view_layout
from feature_platform.errors import FeaturePlatformError, RegistryError
from feature_platform.registry.registry_errors import unreachable
from feature_platform.registry.windows_on_record import load_view, windows_of
from feature_platform.repo.computability import why_transformed

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


@dataclass(frozen=True)
class ServedView:
    """A feature view as a service uses it: perhaps renamed, with other join keys.

    Attributes:
        name: What the service calls it.
        view: The Feast view, as the registry has it.
        features: The features that are read of it, those that on-demand views need among them.
        join_keys: Join key of the view to the one that requests use.
        layout: How its source is read; None where there is nothing to compare with.
        refusal: Why there is nothing to compare with; empty where there is.
        windows: What of it is online, as the registry has it.
    """

    name: str
    view: Any
    features: tuple[str, ...]
    join_keys: Mapping[str, str]
    layout: ViewLayout | None
    refusal: str
    windows: tuple[Window, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The join keys that requests use; none for a view without entities."""
        return tuple(self.join_keys.values())


@dataclass(frozen=True)
class ServedFeature:
    """One feature of a service.

    Attributes:
        name: ``<view>__<feature>``, the view as the service calls it.
        column: Its name in a response.
        view: What the service calls its view.
        feature: Its name in the view.
        value_type: Feast's ``ValueType``.
        computed: Whether an on-demand feature view computes it.
        refusal: Why it cannot be compared; empty where it can.
    """

    name: str
    column: str
    view: str
    feature: str
    value_type: Any
    computed: bool
    refusal: str


@dataclass(frozen=True)
class ServedService:
    """A feature service, resolved against the registry.

    Attributes:
        service: The Feast feature service.
        views: The feature views it reads, by the service's name for them.
        on_demand: The on-demand feature views it computes.
        features: What it serves, in its own order.
        inputs: What on-demand views need besides, and is not served.
        full_names: Whether responses carry ``<view>__<feature>``, since plain names would collide.
    """

    service: "FeatureService"
    views: Mapping[str, ServedView]
    on_demand: tuple[Any, ...]
    features: tuple[ServedFeature, ...]
    inputs: tuple[ServedFeature, ...]
    full_names: bool

    @property
    def name(self) -> str:
        """Name of the service."""
        return str(self.service.name)

    @cached_property
    def request_schema(self) -> dict[str, Any]:
        """Name to Feast ``ValueType`` of what on-demand views take from the request."""
        return {
            name: value_type
            for view in self.on_demand
            for name, value_type in view.get_request_data_schema().items()
        }

    def readable(self) -> list[ServedView]:
        """The views whose source can be read."""
        return [view for view in self.views.values() if view.layout is not None]


def served_service(store: "FeatureStore", name: str) -> ServedService:
    """Resolve a service as Feast does when it is asked for online features.

    Raises:
        RegistryError: The registry lacks the service or one of its views, or cannot be reached.
    """
    from feast.errors import FeastObjectNotFoundException

    try:
        service = store.registry.get_feature_service(name, store.project, allow_cache=False)
        views, on_demand = views_to_use(store.registry, store.project, service)
    except FeastObjectNotFoundException as error:
        raise RegistryError(
            f"feature service '{name}'",
            f"the registry of project '{store.project}' lacks it or a view of it ({error})",
            "apply the repo (materialize the registry asset), or correct the service",
        ) from None
    except ValueError as error:
        raise RegistryError(
            f"feature service '{name}'",
            f"Feast cannot serve it ({error})",
            "enable its views, or wait until they are online",
            is_transient=True,
        ) from error
    except Exception as error:  # every registry raises its own
        raise unreachable(store, error) from error
    plain = [view for view in views if not hasattr(view, "write_to_online_store")]
    # Feast's projected copies have lost what is materialized.
    stored = {name: load_view(store, name) for name in {str(view.name) for view in plain}}
    served = [_view(stored[str(view.name)], view.projection) for view in plain]
    found = {each.name: each for each in served}
    projections = service.feature_view_projections
    counted = Counter(field.name for each in projections for field in each.features)
    full = any(count > 1 for count in counted.values())
    computed = {view.projection.name_to_use(): view for view in on_demand}
    features = _features(projections, found, computed, full_names=full)
    sources = [view.projection for view in plain]
    known = {each.name for each in features}
    return ServedService(
        service=service,
        views=found,
        on_demand=tuple(view for view in on_demand if not view.write_to_online_store),
        features=features,
        inputs=tuple(
            each
            for each in _features(sources, found, {}, full_names=True)
            if each.name not in known
        ),
        full_names=full,
    )


def _view(view: Any, projection: Any) -> ServedView:
    from feast.feature_view import DUMMY_ENTITY_ID

    refusal, layout = _readable(view)
    return ServedView(
        name=projection.name_to_use(),
        view=view,
        features=tuple(field.name for field in projection.features),
        join_keys={
            column.name: projection.join_key_map.get(column.name, column.name)
            for column in getattr(view, "entity_columns", ())
            if column.name != DUMMY_ENTITY_ID
        },
        layout=layout,
        refusal=refusal,
        windows=tuple(windows_of(view)),
    )


def _readable(view: Any) -> tuple[str, ViewLayout | None]:
    from feast.labeling.label_view import LabelView

    if isinstance(view, LabelView):
        return "labels are pushed to it, and no source holds them", None
    if why := why_transformed(view):
        return f"{why}, which only a compute engine can repeat", None
    try:
        layout = view_layout(view)
    except FeaturePlatformError as error:
        return error.problem, None
    if not layout.source.timestamp_field:
        return f"source '{layout.source.name}' declares no timestamp_field", None
    return "", layout


def _features(
    projections: Sequence[Any],
    views: Mapping[str, ServedView],
    computed: Mapping[str, Any],
    *,
    full_names: bool,
) -> tuple[ServedFeature, ...]:
    found = []
    for projection in projections:
        view = projection.name_to_use()
        on_demand = computed.get(view)
        for field in projection.features:
            full = f"{view}__{field.name}"
            found.append(
                ServedFeature(
                    name=full,
                    column=full if full_names else field.name,
                    view=view,
                    feature=field.name,
                    value_type=field.dtype.to_value_type(),
                    computed=on_demand is not None,
                    refusal=_refusal(views, on_demand, view),
                )
            )
    return tuple(found)


def _refusal(views: Mapping[str, ServedView], on_demand: Any | None, view: str) -> str:
    if on_demand is None:
        return views[view].refusal if view in views else "it is no feature view"
    if on_demand.write_to_online_store:
        return "it is computed when it is written, not when it is asked for"
    if on_demand.aggregations:
        return "it aggregates the rows of a request"
    for source in on_demand.source_feature_view_projections.values():
        parent = views.get(source.name_to_use())
        if parent is not None and parent.refusal:
            return f"of its input '{parent.name}': {parent.refusal}"
    return ""
