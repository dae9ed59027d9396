"""What a Feast repo consists of and how its parts depend on each other, before Dagster sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.feast_seams import unresolved_features
from feature_platform.errors import RepoError
from feature_platform.orchestration.graph.partitions import partitions_of
from feature_platform.orchestration.graph.translator import FeastTranslatorData
from feature_platform.repo.cadences import Cadence, shortest_first
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.inference import UNKNOWN, type_name
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
    from feast import FeatureService, FeatureView
    from feast.data_source import DataSource

Lineage = Mapping[str, Sequence[tuple[FeastTranslatorData, str]]]


@dataclass(frozen=True)
class FeastGraph:
    """Every object of a repo as a :class:`FeastTranslatorData`, dependencies resolved.

    Args:
        project: The repo.
        start_date: First day of the partitions, ``YYYY-MM-DD``, UTC.

    Raises:
        RepoError: The start date is not a day.
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

    @cached_property
    def registry(self) -> FeastTranslatorData:
        """The registry, which every feature view needs."""
        return FeastTranslatorData(kind="registry", name="registry", project=self.project)

    @cached_property
    def sources(self) -> Mapping[str, FeastTranslatorData]:
        """Batch sources that views read, each once however many views share it."""
        readers: dict[str, list[FeatureView]] = {}
        for view in self.project.views.values():
            if source := source_of(view):
                readers.setdefault(source.name, []).append(view)
        return {name: self._source(views) for name, views in sorted(readers.items())}

    @cached_property
    def _readers(self) -> "Mapping[str, Sequence[FeatureView]]":
        """Source to the views whose rows come from it, derived ones too."""
        found: dict[str, list[FeatureView]] = {}
        for view in self.project.views.values():
            for source in sources_of(view):
                found.setdefault(source.name, []).append(view)
        return found

    @cached_property
    def readers(self) -> Mapping[str, Sequence[FeastTranslatorData]]:
        """Source to the views that can be materialized from it, derived ones too."""
        found: dict[str, list[FeastTranslatorData]] = {}
        for view in self.views.values():
            for source in () if view.refusal else view.sources:
                found.setdefault(source.name, []).append(view)
        return found

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

    @cached_property
    def drifts(self) -> Mapping[str, FeastTranslatorData]:
        """The drift of each view that is materialized, unless the view's tag says ``off``.

        A view that drift blocks waits for it; otherwise it is looked for in what is online.
        """
        found: dict[str, FeastTranslatorData] = {}
        for name, view in self.views.items():
            if view.settings is None or view.settings.drift == "off":
                continue
            if view.refusal and not view.refusal.endswith(NO_TIME):
                continue
            if why_transformed(view.obj):
                refused = self._drift(view.obj, view.settings, view)
                found[name] = replace(refused, refusal=NO_DRIFT, partitions=None)
                continue
            before = next((each for each in view.upstream if each.kind == "drift"), None)
            drift = before or self._drift(view.obj, view.settings, view)
            # A view whose table is not there yet: its report is shown, and cannot be made either.
            found[name] = replace(drift, refusal=view.refusal) if view.refusal else drift
        return found

    @cached_property
    def skews(self) -> Mapping[str, FeastTranslatorData]:
        """What each service serves against what its training sets hold, with all views it reads."""
        return {name: self._skew(each) for name, each in self.project.services.items()}

    def training_set(self, service: str, cadence: Cadence | None) -> FeastTranslatorData:
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
        return replace(
            known, kind="training_set", partitions=self._partitions(cadence) if cadence else None
        )

    def settings(self, view: str) -> ViewSettings:
        """The settings of a feature view."""
        return read_settings(view, self.project.view(view).tags)

    def _partitions(self, cadence: Cadence) -> dg.TimeWindowPartitionsDefinition:
        return partitions_of(cadence, self.start_date)

    def _source(self, views: "Sequence[FeatureView]") -> FeastTranslatorData:
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
            partitions=self._partitions(shortest_first(cadences or ["daily"])[0]),
            refusal=None if source.timestamp_field else NO_TIME,
            columns=[
                dg.TableColumn(name, kind) for name, kind in source_columns(views, source).items()
            ],
        )

    def _view(self, view: "FeatureView") -> FeastTranslatorData:
        settings = self.settings(view.name)
        refusal = self._refusal(view)
        upstream, lineage = self._origins(view)
        return FeastTranslatorData(
            kind="feature_view",
            name=view.name,
            project=self.project,
            obj=view,
            upstream=[
                *upstream,
                self.registry,
                # What is not served when it drifts is compared before it is.
                *(
                    [self._drift(view, settings, upstream[0])]
                    if settings.drift == "block" and not refusal
                    else []
                ),
            ],
            settings=settings,
            partitions=self._partitions(settings.partitions) if not refusal else None,
            refusal=refusal,
            columns=_columns([*view.entity_columns, *view.features]),
            lineage=lineage,
        )

    def _refusal(self, view: "FeatureView") -> str | None:
        return why_not_materializable(view, self.project.config, self.settings(view.name))

    def _drift(
        self, view: "FeatureView", settings: ViewSettings, compared: FeastTranslatorData
    ) -> FeastTranslatorData:
        renamed: dict[str, str] = {}
        if compared.kind == "source":
            renamed = {new: old for old, new in view.batch_source.field_mapping.items()}
        names = [field.name for field in view.features]
        return FeastTranslatorData(
            kind="drift",
            name=view.name,
            project=self.project,
            obj=view,
            upstream=[compared],
            # A report promises no freshness.
            settings=replace(settings, freshness=None),
            partitions=self._partitions(settings.partitions),
            lineage={name: [(compared, renamed.get(name, name))] for name in names},
        )

    def _origins(self, view: "FeatureView") -> tuple[list[FeastTranslatorData], Lineage]:
        """What a view is made from: the views it derives from, or its source; and column by column.

        What a transformation makes of its input is not recorded: there only a feature of the same
        name as an input column is traced.
        """
        source = source_of(view)
        if source is None:
            parents = [self._view(self.project.view(each.name)) for each in view.source_views]
            # What a run of it reads are the tables of its parents, not what they have online.
            tables = [self.sources[each.name] for each in sources_of(view)]
            return [*tables, *parents], {
                field.name: found
                for field in view.features
                if (found := [(each, field.name) for each in parents if _has(each, field.name)])
            }
        data = self.sources[source.name]
        renamed = {new: old for old, new in source.field_mapping.items()}
        origins = {field.name: renamed.get(field.name, field.name) for field in view.features}
        if is_computed(view):
            origins = {name: column for name, column in origins.items() if _has(data, column)}
        return [data], {name: [(data, column)] for name, column in origins.items()}

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
        for name, alias, features in _requested(service):
            parent = self._known_view(name, f"feature service '{service.name}'")
            parents[name] = parent
            types = {column.name: column.type for column in parent.columns}
            entities = {column.name for column in getattr(parent.obj, "entity_columns", ())}
            for feature in features or [name for name in types if name not in entities]:
                column = feature if feature not in lineage else f"{alias}__{feature}"
                lineage[column] = [(parent, feature)]
                kinds[column] = types.get(feature, UNKNOWN)
        return FeastTranslatorData(
            kind="feature_service",
            name=service.name,
            project=self.project,
            obj=service,
            upstream=list(parents.values()),
            columns=[dg.TableColumn(name, kind) for name, kind in kinds.items()],
            lineage=lineage,
        )

    def _skew(self, service: "FeatureService") -> FeastTranslatorData:
        lineage: dict[str, list[tuple[FeastTranslatorData, str]]] = {}
        views: dict[str, FeastTranslatorData] = {}
        refusals: list[str | None] = []
        for name, alias, features in _requested(service):
            parent = self._known_view(name, f"feature service '{service.name}'")
            on_demand = parent.kind == "on_demand_feature_view"
            read = [*parent.upstream] if on_demand else [parent]
            views |= {each.name: each for each in read}
            refusals.append(
                next(filter(None, map(_unread, read)), None) if on_demand else _unread(parent)
            )
            entities = {column.name for column in getattr(parent.obj, "entity_columns", ())}
            for feature in features or [column.name for column in parent.columns]:
                if feature not in entities:
                    lineage[f"{alias}__{feature}"] = [(parent, feature)]
        return FeastTranslatorData(
            kind="skew",
            name=service.name,
            project=self.project,
            obj=service,
            upstream=list(views.values()),
            lineage=lineage,
            refusal=next(filter(None, refusals)) if all(refusals) and refusals else None,
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


def _unread(view: FeastTranslatorData) -> str | None:
    """Why the features of a view cannot be looked up in a source."""
    return view.refusal or why_transformed(view.obj) or None


def _has(data: FeastTranslatorData, column: str) -> bool:
    return any(each.name == column for each in data.columns)


def _columns(fields: Iterable[Any]) -> list[dg.TableColumn]:
    return [
        dg.TableColumn(
            name=field.name,
            type=type_name(field.dtype),
            description=getattr(field, "description", "") or None,
            tags=dict(field.tags or {}),
        )
        for field in fields
    ]


def _requested(service: "FeatureService") -> list[tuple[str, str, list[str]]]:
    """View, what the service calls it, and the features it names; no features means all of them."""
    found = [
        (projection.name, projection.name_to_use(), [field.name for field in projection.features])
        for projection in service.feature_view_projections
    ]
    for item in unresolved_features(service):
        if isinstance(item, str):
            view, _, feature = item.partition(":")
            name = view.split("@")[0]
            found.append((name, name, [feature] if feature else []))
    return found
