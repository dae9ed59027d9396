"""Windows whose source holds something else than what was put online from it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

import dagster as dg

from feature_platform.assets.source_tables import (
    ParquetBuilder,
    raw_table_binder,
    raw_tables_stamp,
    table_builder_for,
    warehouse_table,
)
from feature_platform.assets.sources import combined_hash, hashed_columns
from feature_platform.assets.windows import partitions_within
from feature_platform.automation.due import due_windows
from feature_platform.automation.look import Look
from feature_platform.automation.memory import SourceMemory
from feature_platform.automation.observed import content_hashes, newest_events
from feature_platform.engine.warehouse import WarehouseKind, warehouse_kind
from feature_platform.errors import FeaturePlatformError
from feature_platform.store.fingerprints import BuiltBy, BuiltThere, source_contents, source_stamp
from feature_platform.store.windows import Window
from feature_platform.translator import FeastTranslatorData

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


def changed_sources(look: Look, *, position: str = "") -> Changes:
    """Compare what each source holds with what was put online from it.

    One query tells the newest event of every asset; then a source is read (once, for all of its
    windows) only where its stamp is new, and the event log asked only for what is new in it.

    Args:
        look: What to go by.
        position: The source to begin with; empty begins with the first.
    """
    readers: dict[str, list[FeastTranslatorData]] = {}
    for view in look.graph.views.values():
        if not view.refusal:
            readers.setdefault(view.upstream[0].name, []).append(view)
    names = sorted(readers)
    start = next((place for place, name in enumerate(names) if name >= position), 0)
    keys = [
        look.translator.key_of(each)
        for name in names
        for each in (look.graph.sources[name], *readers[name])
    ]
    comparison = _Comparison(look, newest_events(look.instance, keys))
    found = comparison.found
    began = time.monotonic()
    for name in [*names[start:], *names[:start]]:
        enough = found.scans >= look.settings.scans_a_tick
        if enough or time.monotonic() - began > look.settings.scan_seconds:
            found.position = name
            break
        try:
            comparison.at(look.graph.sources[name], readers[name])
        except FeaturePlatformError as error:
            found.troubles.append(str(error))
    return found


@dataclass
class _Comparison:
    look: Look
    events: Mapping[dg.AssetKey, int]
    found: Changes = field(default_factory=Changes)

    def at(self, source: FeastTranslatorData, views: Sequence[FeastTranslatorData]) -> None:
        """One source and the views on it."""
        assert source.partitions is not None  # noqa: S101 - sources are always partitioned
        settings = self.look.settings
        due = {
            view.name: due_windows(
                view, self.look.now, grace=settings.grace, lookback=settings.lookback
            )
            for view in views
        }
        parts: dict[str, Window] = {}
        for view in views:
            if view.partitions == source.partitions:
                parts |= due[view.name]
            elif windows := list(due[view.name].values()):
                span = Window(windows[0].start, windows[-1].end)
                parts |= partitions_within(source.partitions, span)
        parts = dict(sorted(parts.items(), key=lambda each: each[1]))
        built = self._built_by(source)
        contents = self._contents(source, parts, built)
        recorded = self._recorded(source, list(parts))
        for view in views:
            served = self._recorded(view, list(due[view.name]))
            wrong: dict[str, str] = {}
            for key, window in due[view.name].items():
                within = (
                    [key]
                    if view.partitions == source.partitions
                    else list(partitions_within(source.partitions, window))
                )
                wanted = combined_hash([contents[each] for each in within])
                has = served.get(key) or _combined(recorded, within)
                if has is None or has == wanted:
                    continue
                outdated = {
                    each: contents[each] for each in within if recorded.get(each) != contents[each]
                }
                if built and outdated and view.partitions != source.partitions:
                    # The view takes along no source of shorter partitions: that comes first.
                    self.found.sources.setdefault(source.name, {}).update(outdated)
                else:
                    wrong[key] = wanted
            self.found.views_seen.add(view.name)
            if wrong:
                self.found.views[view.name] = wrong
        self.found.sources_seen.add(source.name)

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


def _combined(recorded: Mapping[str, str], within: Sequence[str]) -> str | None:
    found = [recorded[key] for key in within if key in recorded]
    return combined_hash(found) if len(found) == len(within) else None
