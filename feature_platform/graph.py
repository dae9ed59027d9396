"""What a Feast repo consists of and how its parts depend on each other, before Dagster sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.errors import RepoError
from feature_platform.store.project import FeastProject
from feature_platform.store.sql_tables import tables_read
from feature_platform.store.view_settings import ViewSettings, read_settings
from feature_platform.translator import FeastTranslatorData

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView
    from feast.data_source import DataSource

Lineage = Mapping[str, Sequence[tuple[FeastTranslatorData, str]]]


@dataclass(frozen=True)
class FeastGraph:
    """Every object of a repo as a :class:`FeastTranslatorData`, dependencies resolved.

    Args:
        project: The repo.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.
    """

    project: FeastProject
    start_date: str

    @cached_property
    def registry(self) -> FeastTranslatorData:
        """The registry, which every feature view needs."""
        return FeastTranslatorData(kind="registry", name="registry", project=self.project)

    @cached_property
    def sources(self) -> Mapping[str, FeastTranslatorData]:
        """Batch sources that views read, each once however many views share it."""
        readers: dict[str, list[FeatureView]] = {}
        for view in self.project.views.values():
            if view.batch_source is not None:
                readers.setdefault(view.batch_source.name, []).append(view)
        return {name: self._source(views) for name, views in sorted(readers.items())}

    @cached_property
    def raw_tables(self) -> Mapping[str, FeastTranslatorData]:
        """Tables that the repo's SQL reads."""
        found = {
            upstream.name: upstream
            for source in self.sources.values()
            for upstream in source.upstream
        }
        return dict(sorted(found.items()))

    @cached_property
    def views(self) -> Mapping[str, FeastTranslatorData]:
        """Feature views with a batch source, batch and stream; and label views."""
        views = {name: self._view(view) for name, view in self.project.views.items()}
        for label_view in self.project.contents.label_views:
            views[label_view.name] = FeastTranslatorData(
                kind="feature_view",
                name=label_view.name,
                project=self.project,
                obj=label_view,
                upstream=[self.registry],
                columns=_columns(label_view.features),
                refusal="labels are pushed to it, not materialized",
            )
        return views

    @cached_property
    def on_demand_views(self) -> Mapping[str, FeastTranslatorData]:
        """On-demand feature views, computed at request time."""
        return {
            view.name: self._on_demand(view)
            for view in self.project.contents.on_demand_feature_views
        }

    @cached_property
    def services(self) -> Mapping[str, FeastTranslatorData]:
        """Feature services."""
        return {name: self._service(each) for name, each in self.project.services.items()}

    def settings(self, view: str) -> ViewSettings:
        """The settings of a feature view."""
        return read_settings(view, self.project.view(view).tags)

    def _partitions(self, cadence: str) -> dg.TimeWindowPartitionsDefinition:
        if cadence == "hourly":
            return dg.HourlyPartitionsDefinition(start_date=f"{self.start_date}-00:00")
        return dg.DailyPartitionsDefinition(start_date=self.start_date)

    def _source(self, views: "Sequence[FeatureView]") -> FeastTranslatorData:
        source: DataSource = views[0].batch_source
        for view in views:
            if view.batch_source != source:
                raise RepoError(
                    f"source '{source.name}'",
                    f"feature views '{views[0].name}' and '{view.name}' define it differently",
                    "define it once and import it, or rename one of them",
                )
        cadences = {self.settings(view.name).partitions for view in views}
        sql = self.project.sql_file(source.name)
        raw = [
            FeastTranslatorData(kind="raw_table", name=name, project=self.project)
            for name in (tables_read(sql) if sql else ())
        ]
        return FeastTranslatorData(
            kind="source",
            name=source.name,
            project=self.project,
            obj=source,
            upstream=raw,
            partitions=self._partitions("hourly" if "hourly" in cadences else "daily"),
            columns=[
                dg.TableColumn(name, kind) for name, kind in source_columns(views, source).items()
            ],
        )

    def _view(self, view: "FeatureView") -> FeastTranslatorData:
        settings = self.settings(view.name)
        source = self.sources[view.batch_source.name] if view.batch_source else None
        renamed = {new: old for old, new in (source.obj.field_mapping if source else {}).items()}
        lineage: Lineage = (
            {field.name: [(source, renamed.get(field.name, field.name))] for field in view.features}
            if source
            else {}
        )
        refusal = why_not_materializable(view)
        return FeastTranslatorData(
            kind="feature_view",
            name=view.name,
            project=self.project,
            obj=view,
            upstream=[source, self.registry] if source else [self.registry],
            settings=settings,
            partitions=self._partitions(settings.partitions) if not refusal else None,
            refusal=refusal,
            columns=_columns([*view.entity_columns, *view.features]),
            lineage=lineage,
        )

    def _on_demand(self, view: Any) -> FeastTranslatorData:
        projections = view.source_feature_view_projections.values()
        parents = [
            self._known_view(each.name, f"on-demand feature view '{view.name}'")
            for each in projections
        ]
        # Feast does not record which inputs an output uses: each may use every one of them.
        inputs = [
            (parent, field.name)
            for parent, each in zip(parents, projections, strict=True)
            for field in each.features
        ]
        return FeastTranslatorData(
            kind="on_demand_feature_view",
            name=view.name,
            project=self.project,
            obj=view,
            upstream=parents,
            refusal="it is computed at request time",
            columns=_columns(view.features),
            lineage={field.name: inputs for field in view.features},
        )

    def _service(self, service: "FeatureService") -> FeastTranslatorData:
        parents: dict[str, FeastTranslatorData] = {}
        lineage: dict[str, list[tuple[FeastTranslatorData, str]]] = {}
        kinds: dict[str, str] = {}
        for name, features in _requested(service):
            parent = self._known_view(name, f"feature service '{service.name}'")
            parents[name] = parent
            types = {column.name: column.type for column in parent.columns}
            entities = {column.name for column in getattr(parent.obj, "entity_columns", ())}
            for feature in features or [name for name in types if name not in entities]:
                column = feature if feature not in lineage else f"{name}__{feature}"
                lineage[column] = [(parent, feature)]
                kinds[column] = types.get(feature, "unknown")
        return FeastTranslatorData(
            kind="feature_service",
            name=service.name,
            project=self.project,
            obj=service,
            upstream=list(parents.values()),
            columns=[dg.TableColumn(name, kind) for name, kind in kinds.items()],
            lineage=lineage,
        )

    def _known_view(self, name: str, asker: str) -> FeastTranslatorData:
        found = self.views.get(name)
        if found is None and any(
            view.name == name for view in self.project.contents.on_demand_feature_views
        ):
            found = self.on_demand_views[name]
        if found is None:
            raise RepoError(
                asker,
                f"asks for feature view '{name}', which project '{self.project.name}' lacks",
                "define it in the repo, or remove it",
            )
        return found


def why_not_materializable(view: "FeatureView") -> str | None:
    """Why a feature view cannot be put online from its batch source; None where it can."""
    if view.batch_source is None:
        return "it has no batch source"
    if not getattr(view, "enabled", True):
        return "it is disabled (enabled=False)"
    if not view.online:
        return "it is not served online (online=False)"
    if getattr(view, "source_views", None):
        names = ", ".join(parent.name for parent in view.source_views)
        return f"it is derived from feature views ({names}), which a compute engine has to run"
    return None


def source_columns(views: "Iterable[FeatureView]", source: "DataSource") -> dict[str, str]:
    """Columns a source table must have for its views, with Feast's type; field mappings undone."""
    renamed = {new: old for old, new in source.field_mapping.items()}
    columns: dict[str, str] = {}
    for view in views:
        for field in [*view.entity_columns, *view.features]:
            columns[renamed.get(field.name, field.name)] = str(field.dtype)
    columns[source.timestamp_field] = "UnixTimestamp"
    if source.created_timestamp_column:
        columns[source.created_timestamp_column] = "UnixTimestamp"
    return columns


def _columns(fields: Iterable[Any]) -> list[dg.TableColumn]:
    return [
        dg.TableColumn(
            name=field.name,
            type=str(field.dtype),
            description=getattr(field, "description", "") or None,
            tags=dict(field.tags or {}),
        )
        for field in fields
    ]


def _requested(service: "FeatureService") -> list[tuple[str, list[str]]]:
    """Views a service asks for with the features it names; an empty list means all of them."""
    found = [
        (projection.name, [field.name for field in projection.features])
        for projection in service.feature_view_projections
    ]
    for item in getattr(service, "_features", ()):
        if isinstance(item, str):
            view, _, feature = item.partition(":")
            found.append((view.split("@")[0], [feature] if feature else []))
    return found
