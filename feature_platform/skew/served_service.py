"""A feature service resolved against the registry: its views, keys and on-demand views."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import views_to_use
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import ViewLayout, view_layout
from feature_platform.errors import FeaturePlatformError, RegistryError, RepoError
from feature_platform.registry.registrable import why_not_filled
from feature_platform.registry.registry_errors import unreachable
from feature_platform.registry.windows_on_record import load_view, windows_of
from feature_platform.repo.computability import why_transformed

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore


@dataclass(frozen=True)
class ServedView:
    """A feature view as a service uses and names it.

    `features` are those that are read, with the inputs of on-demand views; `join_keys` has the join
    key of requests by that of the view. `layout` is None, and `refusal` says why, if it cannot be
    compared. `windows` are materialized.
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
        """The join keys of requests; empty for a view without entities."""
        return tuple(self.join_keys.values())

    @property
    def ttl(self) -> timedelta | None:
        """How long a row is served; None for ever."""
        return self.layout.ttl if self.layout else None

    @property
    def streamed(self) -> bool:
        """Whether a stream writes to it too."""
        return self.view.stream_source is not None


@dataclass(frozen=True)
class ServedFeature:
    """One feature of a service; `refusal` says why it cannot be compared, if it cannot.

    Its `name` is ``<view>__<feature>`` with the service's name for the view, `column` its name in a
    response. An on-demand feature view computes it if `computed`.
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
    """A feature service, resolved against the registry; its views by the service's name for them.

    `inputs` are those of on-demand views that are not served. Responses have ``<view>__<feature>``
    if `full_names`, since short names would collide. `unfilled` says why the service is not read as
    a whole: it asks for an on-demand view that nobody has written, which some stores fail to read.
    """

    service: "FeatureService"
    views: Mapping[str, ServedView]
    on_demand: tuple[Any, ...]
    features: tuple[ServedFeature, ...]
    inputs: tuple[ServedFeature, ...]
    full_names: bool
    unfilled: str = ""

    @property
    def name(self) -> str:
        """Name of the service."""
        return str(self.service.name)

    @cached_property
    def request_schema(self) -> dict[str, Any]:
        """Feast's ``ValueType`` of the request data of on-demand views, by name."""
        return {
            name: value_type
            for view in self.on_demand
            for name, value_type in view.get_request_data_schema().items()
        }

    def readable(self) -> list[ServedView]:
        """The views whose source can be read."""
        return [view for view in self.views.values() if view.layout is not None]


def served_service(store: "FeatureStore", name: str) -> ServedService:
    """Resolve a service as Feast does for online features.

    Raises:
        RegistryError: It cannot be resolved.
        RepoError: Feast cannot serve it, since a request field is called like a join key.
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
    # Feast's projected copies lack the materialized windows.
    stored = {name: load_view(store, name) for name in {str(view.name) for view in plain}}
    served = [_view(stored[str(view.name)], view.projection) for view in plain]
    found = {each.name: each for each in served}
    projections = service.feature_view_projections
    counted = Counter(field.name for each in projections for field in each.features)
    full = any(count > 1 for count in counted.values())
    computed = {view.projection.name_to_use(): view for view in on_demand}
    reasons = (
        f"of '{alias}', which the service asks for too: {why}"
        for alias, view in computed.items()
        if (why := why_not_filled(view))
    )
    unfilled = next(reasons, "")
    features = _features(projections, found, computed, full_names=full, unfilled=unfilled)
    sources = [view.projection for view in plain]
    known = {each.name for each in features}
    _refuse_shared_names(name, found.values(), on_demand)
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
        unfilled=unfilled,
    )


def _refuse_shared_names(
    service: str, views: Iterable[ServedView], on_demand: Iterable[Any]
) -> None:
    keys = {key: view.name for view in views for key in view.keys}
    for each in on_demand:
        for field in sorted(keys.keys() & each.get_request_data_schema().keys()):
            raise RepoError(
                f"feature service '{service}'",
                f"the request field '{field}' of on-demand feature view '{each.name}' is called "
                f"like a join key of feature view '{keys[field]}': Feast takes what a request "
                "sends for the field alone, and cannot find the key",
                f"rename the field in the view's RequestSource; send '{field}' under both names",
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
    unfilled: str = "",
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
                    refusal=_refusal(views, on_demand, view, unfilled),
                )
            )
    return tuple(found)


def _refusal(
    views: Mapping[str, ServedView], on_demand: Any | None, view: str, unfilled: str
) -> str:
    if on_demand is None:
        return views[view].refusal if view in views else "it is not a feature view"
    if why := why_not_filled(on_demand) or unfilled:
        return why
    if on_demand.aggregations:
        return "it aggregates the rows of a request"
    for source in on_demand.source_feature_view_projections.values():
        parent = views.get(source.name_to_use())
        if parent is not None and parent.refusal:
            return f"of its input '{parent.name}': {parent.refusal}"
    return ""
