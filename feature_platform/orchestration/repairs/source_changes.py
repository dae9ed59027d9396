"""Windows whose source holds something else than what was put online from it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import FeaturePlatformError
from feature_platform.orchestration.graph.content_hashes import combined_hash, hashed_columns
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.translator import FeastTranslatorData
from feature_platform.orchestration.watch.due_windows import due_windows
from feature_platform.orchestration.watch.observed_events import content_hashes, newest_events
from feature_platform.orchestration.watch.sensor_context import SensorContext
from feature_platform.orchestration.watch.sensor_memory import SourceMemory
from feature_platform.sources.warehouse import WarehouseKind, warehouse_kind
from feature_platform.tables.fingerprints import BuiltBy, BuiltThere, source_contents, source_stamp
from feature_platform.tables.raw_tables import raw_table_binder, raw_tables_stamp
from feature_platform.tables.table_builders import (
    ParquetBuilder,
    table_builder_for,
    warehouse_table,
)

# A warehouse reads a source a twentieth of the time at most; BigQuery charges for each time.
_SHARE = 20
_RESTS: Mapping[WarehouseKind, timedelta] = {
    "postgres": timedelta(0),
    "bigquery": timedelta(hours=1),
}


@dataclass
class Changes:
    """What a look at the sources found.

    Attributes:
        views: View to partition key to the content that is to be online.
        sources: The same for sources that have to be materialized before a view of theirs can be,
            because their partitions are shorter.
        views_seen: Views that were looked at; the others are next.
        sources_seen: Sources that were looked at.
        position: Where to go on: a source's name; empty where all were looked at.
        scans: How many sources were read.
        troubles: Why sources could not be looked at.
    """

    views: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    views_seen: set[str] = field(default_factory=set)
    sources_seen: set[str] = field(default_factory=set)
    position: str = ""
    scans: int = 0
    troubles: list[str] = field(default_factory=list)


def changed_sources(look: SensorContext, *, position: str = "") -> Changes:
    """Compare what each source holds with what was put online from it.

    One query tells the newest event of every asset; then a source is read (once, for all of its
    windows) only where its stamp is new, and the event log asked only for what is new in it.

    Args:
        look: What to go by.
        position: The source to begin with; empty begins with the first.
    """
    readers = look.graph.readers
    names = sorted(readers)
    start = next((place for place, name in enumerate(names) if name >= position), 0)
    sources = [look.graph.sources[name] for name in names]
    views = {view.name: view for each in readers.values() for view in each}
    keys = [look.translator.key_of(each) for each in (*sources, *views.values())]
    comparison = _Comparison(look, newest_events(look.instance, keys))
    found = comparison.found
    began = time.monotonic()
    for name in [*names[start:], *names[:start]]:
        enough = found.scans >= look.settings.scans_a_tick
        if enough or time.monotonic() - began > look.settings.scan_seconds:
            found.position = name
            break
        comparison.at(look.graph.sources[name])
    return found


@dataclass(frozen=True)
class _Table:
    """A source as it is now, and as it was when it was materialized: a content for each partition.

    Attributes:
        source: The source.
        contents: What each partition that matters holds.
        recorded: What each held when it was materialized.
        built: How the repo builds it; None where it does not.
    """

    source: FeastTranslatorData
    contents: Mapping[str, str]
    recorded: Mapping[str, str]
    built: BuiltBy | BuiltThere | None

    def within(self, window: Window) -> list[str]:
        """The partitions inside a window."""
        assert self.source.partitions is not None  # noqa: S101 - sources are always partitioned
        return list(partitions_within(self.source.partitions, window))

    def outdated(self, window: Window) -> dict[str, str]:
        """The partitions that hold something else than what was materialized."""
        return {
            key: self.contents[key]
            for key in self.within(window)
            if self.recorded.get(key) != self.contents[key]
        }


@dataclass
class _Comparison:
    look: SensorContext
    events: Mapping[dg.AssetKey, int]
    found: Changes = field(default_factory=Changes)
    # A source is read once a look, also where a view of several sources has asked for it before.
    tables: dict[str, _Table | None] = field(default_factory=dict)

    def at(self, source: FeastTranslatorData) -> None:
        """One source and the views on it, each with all of its sources."""
        if self._table(source) is None:
            return
        for view in self.look.graph.readers[source.name]:
            tables = [self._table(each) for each in view.sources]
            if view.name not in self.found.views_seen and None not in tables:
                self._compare(view, [each for each in tables if each])
        self.found.sources_seen.add(source.name)

    def _compare(self, view: FeastTranslatorData, tables: Sequence[_Table]) -> None:
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
            # The view takes along no source of shorter partitions: that comes first.
            first = {
                table.source.name: outdated
                for table in tables
                if table.built
                and view.partitions != table.source.partitions
                and (outdated := table.outdated(window))
            }
            for name, outdated in first.items():
                self.found.sources.setdefault(name, {}).update(outdated)
            if not first:
                wrong[key] = wanted
        self.found.views_seen.add(view.name)
        if wrong:
            self.found.views[view.name] = wrong

    def _due(self, view: FeastTranslatorData) -> Mapping[str, Window]:
        settings = self.look.settings
        return due_windows(view, self.look.now, grace=settings.grace, lookback=settings.lookback)

    def _table(self, source: FeastTranslatorData) -> _Table | None:
        """A source with the partitions that its views serve; None where it cannot be read."""
        if source.name not in self.tables:
            try:
                self.tables[source.name] = self._read(source)
            except FeaturePlatformError as error:
                self.tables[source.name] = None
                self.found.troubles.append(str(error))
        return self.tables[source.name]

    def _read(self, source: FeastTranslatorData) -> _Table:
        assert source.partitions is not None  # noqa: S101 - sources are always partitioned
        parts: dict[str, Window] = {}
        for view in self.look.graph.readers[source.name]:
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

    def _recorded(self, data: FeastTranslatorData, keys: Sequence[str]) -> Mapping[str, str]:
        key = self.look.translator.key_of(data)
        return content_hashes(self.look.instance, key, keys, self.events[key], self.look.memory)

    def _contents(
        self,
        source: FeastTranslatorData,
        parts: Mapping[str, Window],
        built: BuiltBy | BuiltThere | None,
    ) -> Mapping[str, str]:
        look = self.look
        known = look.memory.sources.get(source.name) or SourceMemory()
        counted = hashed_columns(source)
        columns = "\x1f".join(counted or ())
        if columns != known.columns:
            known = SourceMemory(columns=columns)
        if not self._resting(source, known):
            # Before it is read: what changes meanwhile is seen the next time.
            stamp = source_stamp(look.store, source.obj, built)
            if stamp is None or stamp != known.stamp:
                known = SourceMemory(stamp, columns=columns)
        starts = {key: window.start.isoformat() for key, window in parts.items()}
        new = {window for key, window in parts.items() if starts[key] not in known.digests}
        if new:
            self.found.scans += 1
            began = time.monotonic()
            digests = source_contents(look.store, source.obj, sorted(new), counted, built, look.now)
            if not known.digests:
                known.read, known.took = look.now.timestamp(), time.monotonic() - began
            known.digests |= {
                window.start.isoformat(): digest.content_hash for window, digest in digests.items()
            }
        wanted = set(starts.values())
        known.digests = {key: value for key, value in known.digests.items() if key in wanted}
        look.memory.sources[source.name] = known
        return {key: known.digests[start] for key, start in starts.items()}

    def _resting(self, source: FeastTranslatorData, known: SourceMemory) -> bool:
        """Whether a warehouse has read the source so lately that it is left alone."""
        kind = warehouse_kind(self.look.store.config, source.obj)
        if kind is None or not known.digests:
            return False
        rest = max(_RESTS[kind].total_seconds(), _SHARE * known.took)
        return 0 <= self.look.now.timestamp() - known.read < rest

    @cached_property
    def _embedded(self) -> bool:
        """Whether the repo's SQL is run on DuckDB, on this machine."""
        return isinstance(table_builder_for(self.look.graph.project), ParquetBuilder)

    def _built_by(self, source: FeastTranslatorData) -> BuiltBy | BuiltThere | None:
        """How the repo builds a table; None where it does not, and it is looked at as it is."""
        project = self.look.graph.project
        sql = project.sql_file(source.name)
        if sql is None:
            return None
        if kind := warehouse_kind(self.look.store.config, source.obj):
            return BuiltThere(sql, kind, warehouse_table(project, source.name))
        if not self._embedded:
            return None
        module = project.repo_dir / "raw_tables.py"
        return BuiltBy(
            sql,
            raw_table_binder(project),
            module if module.is_file() else None,
            raw_tables_stamp(project),
        )
