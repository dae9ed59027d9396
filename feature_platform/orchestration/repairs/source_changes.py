"""Windows whose source content differs from what was put online from it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError, reason_of
from feature_platform.orchestration.graph.content_hashes import combined_hash, hashed_columns
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.translator_data import FeatureViewData, SourceData
from feature_platform.orchestration.repairs.attempt_log import AttemptLog
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.repair_cause import (
    Findings,
    RepairCause,
    source_log_key,
)
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.orchestration.watch.observed_events import content_hashes, newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import SourceMemory
from feature_platform.sources.warehouses import sql_warehouse_of, warehouse_of
from feature_platform.tables.fingerprints import (
    DuckDbBuild,
    WarehouseBuild,
    source_contents,
    source_stamp,
)
from feature_platform.tables.raw_tables import raw_table_binder, raw_tables_stamp
from feature_platform.tables.table_builders import (
    ParquetBuilder,
    table_builder_for,
    warehouse_table,
)

# Reading takes a warehouse at most 5 % of the time; BigQuery charges for each read.
_SHARE = 20


def _changed_sources(
    project: AutomatedProject, instance: dg.DagsterInstance, log: AttemptLog, now: datetime
) -> Findings:
    """Compare what each source holds with what was put online from it, from the log's position on.

    One query reads the newest event of every asset. A source is read (once, for all of its windows)
    only if its stamp is new, and of the event log only what is new.
    """
    with project.context(instance, SOURCE_CHANGED.name, now) as context:
        graph, settings = context.graph, context.settings
        names = sorted(graph.readers)
        start = next((place for place, name in enumerate(names) if name >= log.position), 0)
        sources = [graph.sources[name] for name in names]
        views = {view.name: view for each in graph.readers.values() for view in each}
        keys = [context.translator.key_of(each) for each in (*sources, *views.values())]
        comparison = _Comparison(context, newest_events(instance, keys))
        began, log.position = time.monotonic(), ""
        for name in [*names[start:], *names[:start]]:
            enough = comparison.scans >= settings.scans_a_tick
            if enough or time.monotonic() - began > settings.scan_seconds:
                log.position = name
                break
            comparison.compare(graph.sources[name])
    return Findings(
        {
            **{name: comparison.views[name] for name in sorted(comparison.views)},
            **{
                source_log_key(name): comparison.sources.get(name, {})
                for name in sorted(comparison.sources_compared)
            },
        },
        comparison.notes,
    )


@dataclass(frozen=True)
class _Table:
    """The content hashes of a source's partitions, now and when they were materialized.

    Attributes:
        source: The source.
        contents: The hash of each partition that a view serves.
        recorded: The hash of each when it was materialized.
        built: How the repo builds it; None if it does not.
    """

    source: SourceData
    contents: Mapping[str, str]
    recorded: Mapping[str, str]
    built: DuckDbBuild | WarehouseBuild | None

    def within(self, window: Window) -> list[str]:
        """The partitions in a window."""
        return list(partitions_within(self.source.partitions, window))

    def outdated(self, window: Window) -> dict[str, str]:
        """The partitions in a window whose content differs from what was materialized."""
        return {
            key: self.contents[key]
            for key in self.within(window)
            if self.recorded.get(key) != self.contents[key]
        }


@dataclass
class _Comparison:
    """The comparison of one tick.

    Attributes:
        context: Of the tick.
        events: The newest event of each asset.
        views: View to partition key to the content that is to be online, for views compared so far.
        sources: The same for sources with shorter partitions than a view of theirs, which have to
            be materialized before that view can be.
        sources_compared: Sources that were compared so far, with all of their views.
        scans: How many sources were read.
        notes: Why sources could not be read.
    """

    context: SensorContext
    events: Mapping[dg.AssetKey, int]
    views: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    sources_compared: set[str] = field(default_factory=set)
    scans: int = 0
    notes: list[str] = field(default_factory=list)
    # A source is read once per tick, even if several views need it.
    _tables: dict[str, _Table | None] = field(default_factory=dict)

    def compare(self, source: SourceData) -> None:
        """Compare one source and the views on it, each with all of its sources."""
        if self._table(source) is None:
            return
        for view in self.context.graph.readers[source.name]:
            tables = [self._table(each) for each in view.sources]
            if view.name not in self.views and None not in tables:
                try:
                    self._compare_view(view, [each for each in tables if each])
                except Exception as error:  # noqa: BLE001 - one view's trouble is not another's
                    self.notes.append(
                        f"feature view '{view.name}' could not be looked at: {reason_of(error)}"
                    )
        self.sources_compared.add(source.name)

    def _compare_view(self, view: FeatureViewData, tables: Sequence[_Table]) -> None:
        due = self._due(view)
        served = self._recorded(view, list(due))
        wrong: dict[str, str] = {}
        for key, window in due.items():
            wanted = combined_hash(
                [table.contents[part] for table in tables for part in table.within(window)]
            )
            was = [table.recorded.get(part) for table in tables for part in table.within(window)]
            known = [each for each in was if each is not None]
            has = served.get(key) or (combined_hash(known) if len(known) == len(was) else None)
            if has is None or has == wanted:
                continue
            # A run of the view does not materialize sources with shorter partitions.
            first = {
                table.source.name: outdated
                for table in tables
                if table.built
                and view.partitions != table.source.partitions
                and (outdated := table.outdated(window))
            }
            for name, outdated in first.items():
                self.sources.setdefault(name, {}).update(outdated)
            if not first:
                wrong[key] = wanted
        self.views[view.name] = wrong

    def _due(self, view: FeatureViewData) -> Mapping[str, Window]:
        settings, now = self.context.settings, self.context.now
        return due_windows(view, now, grace=settings.grace, lookback=settings.lookback)

    def _table(self, source: SourceData) -> _Table | None:
        """A source with the partitions that its views serve; None if it cannot be read."""
        if source.name not in self._tables:
            try:
                self._tables[source.name] = self._read(source)
            except Exception as error:  # noqa: BLE001 - one source's trouble is not another's
                self._tables[source.name] = None
                ours = isinstance(error, FeaturePlatformError)
                known = "" if ours else f"source '{source.name}' could not be read: "
                self.notes.append(f"{known}{reason_of(error)}")
        return self._tables[source.name]

    def _read(self, source: SourceData) -> _Table:
        parts: dict[str, Window] = {}
        for view in self.context.graph.readers[source.name]:
            due = self._due(view)
            if view.partitions == source.partitions:
                parts |= due
            elif windows := list(due.values()):
                span = Window(windows[0].start, windows[-1].end)
                parts |= partitions_within(source.partitions, span)
        parts = dict(sorted(parts.items(), key=lambda each: each[1]))
        built = self._built_by(source)
        contents = self._contents(source, parts, built)
        return _Table(source, contents, self._recorded(source, list(parts)), built)

    def _recorded(
        self, data: FeatureViewData | SourceData, keys: Sequence[str]
    ) -> Mapping[str, str]:
        context, key = self.context, self.context.translator.key_of(data)
        return content_hashes(context.instance, key, keys, self.events[key], context.memory)

    def _contents(
        self,
        source: SourceData,
        parts: Mapping[str, Window],
        built: DuckDbBuild | WarehouseBuild | None,
    ) -> Mapping[str, str]:
        context = self.context
        known = context.memory.sources.get(source.name) or SourceMemory()
        counted = hashed_columns(source)
        columns = "\x1f".join(counted or ())
        if columns != known.columns:
            known = SourceMemory(columns=columns)
        if not self._resting(source, known):
            # Before the source is read, so that a change meanwhile is found at the next tick.
            stamp = source_stamp(context.store, source.obj, built)
            if stamp is None or stamp != known.stamp:
                known = SourceMemory(stamp, columns=columns)
        starts = {key: window.start.isoformat() for key, window in parts.items()}
        new = {window for key, window in parts.items() if starts[key] not in known.digests}
        if new:
            self.scans += 1
            began = time.monotonic()
            digests = source_contents(
                context.store, source.obj, sorted(new), counted, built, context.now
            )
            if not known.digests:
                known.read, known.took = context.now.timestamp(), time.monotonic() - began
            known.digests |= {
                window.start.isoformat(): digest.content_hash for window, digest in digests.items()
            }
        wanted = set(starts.values())
        known.digests = {key: value for key, value in known.digests.items() if key in wanted}
        context.memory.sources[source.name] = known
        return {key: known.digests[start] for key, start in starts.items()}

    def _resting(self, source: SourceData, known: SourceMemory) -> bool:
        """Whether a warehouse has read the source so lately that it is left alone."""
        min_rest = warehouse_of(self.context.store.config, source.obj).min_rest
        if min_rest is None or not known.digests:
            return False
        rest = max(min_rest.total_seconds(), _SHARE * known.took)
        return 0 <= self.context.now.timestamp() - known.read < rest

    @cached_property
    def _embedded(self) -> bool:
        """Whether the repo's SQL is run on DuckDB, on this machine."""
        return isinstance(table_builder_for(self.context.graph.project), ParquetBuilder)

    def _built_by(self, source: SourceData) -> DuckDbBuild | WarehouseBuild | None:
        """How the repo builds a table; None where it does not, and it is looked at as it is."""
        project = self.context.graph.project
        sql = project.sql_file(source.name)
        if sql is None:
            return None
        if warehouse := sql_warehouse_of(self.context.store.config, source.obj):
            return WarehouseBuild(sql, warehouse_table(warehouse, project, source.name))
        if not self._embedded:
            return None
        module = project.repo_dir / "raw_tables.py"
        return DuckDbBuild(
            sql,
            raw_table_binder(project),
            module if module.is_file() else None,
            raw_tables_stamp(project),
        )


SOURCE_CHANGED = RepairCause(
    name="source_changed",
    description="Materializes windows again whose source holds something else now.",
    label="source changed",
    reason="its source has changed",
    find=_changed_sources,
)
