"""What a Feast repo consists of and how its parts depend on each other, before Dagster sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.errors import RepoError
from feature_platform.orchestration.graph.partitions import partitions_of
from feature_platform.orchestration.graph.service_data import (
    on_demand_data,
    service_data,
    skew_data,
)
from feature_platform.orchestration.graph.translator_data import (
    AnyDriftData,
    AnyViewData,
    DriftData,
    FeastObjectData,
    FeastTranslatorData,
    FeatureServiceData,
    FeatureViewData,
    Lineage,
    OnDemandViewData,
    RawTableData,
    RefusedDriftData,
    RefusedViewData,
    RegistryData,
    SkewData,
    SourceData,
    TrainingSetData,
    table_columns,
)
from feature_platform.repo.cadences import Cadence, shortest_first
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.project import FeastProject, source_of, sources_of
from feature_platform.repo.view_settings import ViewSettings, read_settings
from feature_platform.repo.view_sources import (
    NO_DRIFT,
    NO_TIME,
    is_computed,
    source_columns,
    why_not_materializable,
)
from feature_platform.tables.sql_tables import tables_read

if TYPE_CHECKING:
    from feast import FeatureView
    from feast.data_source import DataSource


@dataclass(frozen=True)
class FeastGraph:
    """Every object of a repo as a :class:`FeastTranslatorData`, dependencies resolved.

    Args:
        project: The repo.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.

    Raises:
        RepoError: The start date is not a day, or is in the future.
    """

    project: FeastProject
    start_date: str

    def __post_init__(self) -> None:
        try:
            valid = date.fromisoformat(self.start_date).isoformat() == self.start_date
        except ValueError:
            valid = False
        if not valid:
            raise RepoError(
                "start date", f"'{self.start_date}' is not a day", "write it as YYYY-MM-DD"
            )
        today = datetime.now(UTC).date()
        if date.fromisoformat(self.start_date) > today:
            raise RepoError(
                "start date",
                f"'{self.start_date}' is in the future (today is {today} in UTC): until then no "
                "window is materialized, and nothing says so",
                "use the first day of which the sources have rows",
            )

    @cached_property
    def registry(self) -> RegistryData:
        """The registry, which every feature view needs."""
        return RegistryData(project=self.project)

    @cached_property
    def sources(self) -> Mapping[str, SourceData]:
        """Batch sources that views read, each once however many views share it."""
        readers = {
            name: [view for view in views if source_of(view)]
            for name, views in sorted(self._readers.items())
        }
        return {name: self._source(views) for name, views in readers.items() if views}

    @cached_property
    def _readers(self) -> "Mapping[str, Sequence[FeatureView]]":
        """Source to the views whose rows come from it, including derived ones."""
        found: dict[str, list[FeatureView]] = {}
        for view in self.project.views.values():
            for source in sources_of(view):
                found.setdefault(source.name, []).append(view)
        return found

    @cached_property
    def readers(self) -> Mapping[str, Sequence[FeatureViewData]]:
        """Source to the views that can be materialized from it, including derived ones."""
        found: dict[str, list[FeatureViewData]] = {}
        for view in self.materializable.values():
            for source in view.sources:
                found.setdefault(source.name, []).append(view)
        return found

    @cached_property
    def raw_tables(self) -> Mapping[str, FeastTranslatorData]:
        """Tables that the repo's SQL reads."""
        found = {each.name: each for source in self.sources.values() for each in source.upstream}
        return dict(sorted(found.items()))

    @cached_property
    def views(self) -> Mapping[str, AnyViewData]:
        """Feature views with a batch source, batch and stream; and label views."""
        views = {name: self._view(view) for name, view in self.project.views.items()}
        for label_view in self.project.contents.label_views:
            views[label_view.name] = RefusedViewData(
                name=label_view.name,
                project=self.project,
                obj=label_view,
                upstream=[self.registry],
                columns=table_columns(label_view.features),
                settings=ViewSettings(),
                refusal="labels are pushed to it, not materialized",
            )
        return views

    @cached_property
    def materializable(self) -> Mapping[str, FeatureViewData]:
        """Those of the views that can be materialized."""
        return {
            name: view for name, view in self.views.items() if isinstance(view, FeatureViewData)
        }

    @cached_property
    def on_demand_views(self) -> Mapping[str, OnDemandViewData]:
        """On-demand feature views, computed at request time."""
        return {
            view.name: on_demand_data(view, self.project, self.views)
            for view in self.project.contents.on_demand_feature_views
        }

    @cached_property
    def _requestable(self) -> Mapping[str, FeastObjectData]:
        return {**self.on_demand_views, **self.views}

    @cached_property
    def services(self) -> Mapping[str, FeatureServiceData]:
        """Feature services."""
        return {
            name: service_data(each, self.project, self._requestable)
            for name, each in self.project.services.items()
        }

    @cached_property
    def skews(self) -> Mapping[str, SkewData]:
        """What each service serves against what its training sets hold, with all views it reads."""
        return {
            name: skew_data(each, self.project, self._requestable)
            for name, each in self.project.services.items()
        }

    @cached_property
    def drifts(self) -> Mapping[str, AnyDriftData]:
        """The drift of each view that is materialized, unless the view's tag says ``off``.

        A view that drift blocks depends on its report; another report depends on its view.
        """
        found: dict[str, AnyDriftData] = {}
        for name, view in self.views.items():
            refusal = view.refusal if isinstance(view, RefusedViewData) else ""
            # A view whose table does not exist yet has a report, which cannot be made either.
            if view.settings.drift == "off" or (refusal and not refusal.endswith(NO_TIME)):
                continue
            if why_transformed(view.obj):
                refusal = NO_DRIFT
            if isinstance(view, RefusedViewData) or refusal:
                found[name] = _refused_drift(view, refusal)
                continue
            before = next((each for each in view.upstream if isinstance(each, DriftData)), None)
            found[name] = before or _drift(view, view)
        return found

    def training_set(self, service: str, cadence: Cadence | None) -> TrainingSetData:
        """The training set of a service, in windows of that length or as a whole.

        Raises:
            RepoError: The repo defines no such service.
        """
        known = self.services.get(service)
        if known is None:
            raise RepoError(
                f"training set of '{service}'",
                f"project '{self.project.name}' has no feature service of that name",
                f"choose one of: {', '.join(sorted(self.services)) or '(the repo has none)'}",
            )
        partitions = self._partitions(cadence) if cadence else None
        shared = {name: value for name, value in vars(known).items() if name != "refusal"}
        return TrainingSetData(**shared, partitions=partitions)

    def settings(self, view: str) -> ViewSettings:
        """The settings of a feature view."""
        return read_settings(view, self.project.view(view).tags)

    def _partitions(self, cadence: Cadence) -> dg.TimeWindowPartitionsDefinition:
        return partitions_of(cadence, self.start_date)

    def _source(self, views: "Sequence[FeatureView]") -> SourceData:
        source: DataSource = views[0].batch_source
        for view in views:
            if view.batch_source != source:
                raise RepoError(
                    f"source '{source.name}'",
                    f"feature views '{views[0].name}' and '{view.name}' define it differently",
                    "define it once and import it, or rename one of them",
                )
        cadences = {
            self.settings(view.name).partitions
            for view in self._readers[source.name]
            if not self._refusal(view)
        }
        sql = self.project.sql_file(source.name)
        return SourceData(
            name=source.name,
            project=self.project,
            obj=source,
            upstream=[
                RawTableData(name=name, project=self.project)
                for name in (tables_read(sql) if sql else ())
            ],
            partitions=self._partitions(shortest_first(cadences or ["daily"])[0]),
            refusal=None if source.timestamp_field else NO_TIME,
            columns=[
                dg.TableColumn(name, kind) for name, kind in source_columns(views, source).items()
            ],
        )

    def _view(self, view: "FeatureView") -> AnyViewData:
        settings = self.settings(view.name)
        upstream, lineage = self._origins(view)
        columns = table_columns([*view.entity_columns, *view.features])
        if refusal := self._refusal(view):
            return RefusedViewData(
                name=view.name,
                project=self.project,
                obj=view,
                upstream=[*upstream, self.registry],
                columns=columns,
                lineage=lineage,
                settings=settings,
                refusal=refusal,
            )
        found = FeatureViewData(
            name=view.name,
            project=self.project,
            obj=view,
            upstream=[*upstream, self.registry],
            columns=columns,
            lineage=lineage,
            settings=settings,
            partitions=self._partitions(settings.partitions),
        )
        if settings.drift != "block":
            return found
        # A window that drifts is not served, so it is compared first.
        return replace(found, upstream=[*found.upstream, _drift(found, found.sources[0])])

    def _refusal(self, view: "FeatureView") -> str | None:
        return why_not_materializable(view, self.project.config, self.settings(view.name))

    def _origins(self, view: "FeatureView") -> tuple[list[FeastTranslatorData], Lineage]:
        """What a view is made from: its source, or the views it derives from; and its lineage.

        A transformation does not say which inputs an output uses: only a feature of the same name
        as an input column is traced.
        """
        source = source_of(view)
        if source is None:
            parents = [self._view(self.project.view(each.name)) for each in view.source_views]
            # A run reads the tables of the parents, not what they have online.
            tables = [self.sources[each.name] for each in sources_of(view)]
            return [*tables, *parents], {
                field.name: found
                for field in view.features
                if (found := [(each, field.name) for each in parents if _has(each, field.name)])
            }
        data = self.sources[source.name]
        lineage = _traced(view, data)
        if is_computed(view):
            lineage = {name: [each] for name, [each] in lineage.items() if _has(data, each[1])}
        return [data], lineage


def _drift(view: FeatureViewData, compared: SourceData | FeatureViewData) -> DriftData:
    return DriftData(
        name=view.name,
        project=view.project,
        obj=view.obj,
        upstream=[compared],
        # A report promises no freshness.
        settings=replace(view.settings, freshness=None),
        partitions=view.partitions,
        source=view.sources[0],
        lineage=_traced(view.obj, compared),
    )


def _refused_drift(view: AnyViewData, refusal: str) -> RefusedDriftData:
    return RefusedDriftData(
        name=view.name,
        project=view.project,
        obj=view.obj,
        upstream=[view],
        settings=replace(view.settings, freshness=None),
        refusal=refusal,
        lineage=_traced(view.obj, view),
    )


def _traced(view: "FeatureView", origin: SourceData | AnyViewData) -> Lineage:
    """Each feature of a view to the column of `origin`, its source or itself, that holds it."""
    renamed: dict[str, str] = {}
    if isinstance(origin, SourceData):
        renamed = {new: old for old, new in origin.obj.field_mapping.items()}
    return {field.name: [(origin, renamed.get(field.name, field.name))] for field in view.features}


def _has(data: FeastObjectData, column: str) -> bool:
    return any(each.name == column for each in data.columns)
