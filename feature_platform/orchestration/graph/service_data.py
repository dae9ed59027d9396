"""Records of what is made of views: on-demand views, feature services, and their skew reports."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.feast_seams import unresolved_features
from feature_platform.errors import RepoError
from feature_platform.orchestration.graph.translator_data import (
    FeastObjectData,
    FeatureServiceData,
    OnDemandViewData,
    RefusedViewData,
    SkewData,
    table_columns,
)
from feature_platform.registry.registrable import FILL, why_not_filled, why_not_refreshed
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.inference import UNKNOWN
from feature_platform.repo.project import FeastProject

if TYPE_CHECKING:
    from feast import FeatureService

_Views = Mapping[str, FeastObjectData]


def on_demand_data(view: Any, project: FeastProject, views: _Views) -> OnDemandViewData:
    """The record of an on-demand view; `views` are the repo's feature views by name.

    Raises:
        RepoError: It reads a view that the repo lacks.
    """
    projections = view.source_feature_view_projections.values()
    subject = f"on-demand feature view '{view.name}'"
    parents = [_parent(each.name, subject, project, views) for each in projections]
    # Feast does not record which inputs an output uses: each may use every one of them.
    inputs = [
        (parent, field.name)
        for parent, each in zip(parents, projections, strict=True)
        for field in each.features
    ]
    data = OnDemandViewData(
        name=view.name,
        project=project,
        obj=view,
        upstream=parents,
        columns=table_columns(view.features),
        lineage={field.name: inputs for field in view.features},
    )
    why = why_not_filled(view)
    return replace(data, refusal=f"{why}; {FILL}", filled=False) if why else data


def service_data(
    service: "FeatureService", project: FeastProject, views: _Views
) -> FeatureServiceData:
    """The record of a feature service; `views` include on-demand views.

    Raises:
        RepoError: It asks for a view that the repo lacks.
    """
    parents: dict[str, FeastObjectData] = {}
    lineage: dict[str, list[tuple[FeastObjectData, str]]] = {}
    types: dict[str, str] = {}
    for parent, alias, features in _requested(service, project, views):
        parents[parent.name] = parent
        known = {column.name: column.type for column in parent.columns}
        for feature in features:
            column = feature if feature not in lineage else f"{alias}__{feature}"
            lineage[column] = [(parent, feature)]
            types[column] = known.get(feature, UNKNOWN)
    return FeatureServiceData(
        name=service.name,
        project=project,
        obj=service,
        upstream=list(parents.values()),
        columns=[dg.TableColumn(name, kind) for name, kind in types.items()],
        lineage=lineage,
        refusal=why_not_refreshed(service) or None,
    )


def skew_data(service: "FeatureService", project: FeastProject, views: _Views) -> SkewData:
    """The record of a feature service's skew report."""
    lineage: dict[str, list[tuple[FeastObjectData, str]]] = {}
    read: dict[str, FeastObjectData] = {}
    refusals: list[str | None] = []
    for parent, alias, features in _requested(service, project, views):
        sources = [parent]
        if isinstance(parent, OnDemandViewData):
            sources = [each for each in parent.upstream if isinstance(each, FeastObjectData)]
        read |= {each.name: each for each in sources}
        refusals.append(next(filter(None, map(_why_not_in_source, sources)), None))
        lineage |= {f"{alias}__{feature}": [(parent, feature)] for feature in features}
    return SkewData(
        name=service.name,
        project=project,
        obj=service,
        upstream=list(read.values()),
        lineage=lineage,
        refusal=why_not_refreshed(service) or (refusals[0] if refusals and all(refusals) else None),
    )


def _requested(
    service: "FeatureService", project: FeastProject, views: _Views
) -> Iterator[tuple[FeastObjectData, str, list[str]]]:
    """Each view a service asks for, what the service calls it, and the features it asks for."""
    found = [
        (projection.name, projection.name_to_use(), [field.name for field in projection.features])
        for projection in service.feature_view_projections
    ]
    for item in unresolved_features(service):
        if isinstance(item, str):
            view, _, feature = item.partition(":")
            name = view.split("@")[0]
            found.append((name, name, [feature] if feature else []))
    for name, alias, features in found:
        parent = _parent(name, f"feature service '{service.name}'", project, views)
        # Without features, it asks for all of the view's.
        entities = {column.name for column in getattr(parent.obj, "entity_columns", ())}
        columns = [column.name for column in parent.columns if column.name not in entities]
        yield parent, alias, features or columns


def _parent(name: str, asker: str, project: FeastProject, views: _Views) -> FeastObjectData:
    if name not in views:
        raise RepoError(
            asker,
            f"asks for feature view '{name}', which project '{project.name}' lacks",
            "define it in the repo, or remove it",
        )
    return views[name]


def _why_not_in_source(view: FeastObjectData) -> str | None:
    """Why the features of a view cannot be looked up in a source."""
    refusal = view.refusal if isinstance(view, RefusedViewData) else None
    return refusal or why_transformed(view.obj) or None
