"""Source checks in Dagster: Great Expectations on each window; verdicts by content."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.orchestration.checks.source_results import WindowVerdict, source_check_results
from feature_platform.orchestration.graph.content_hashes import ROW_COUNT as PARTITION_ROWS
from feature_platform.orchestration.graph.content_hashes import source_digests
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.recorded_verdicts import (
    newest_by_partition,
    record_results,
    recorded_verdicts,
)
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import SourceData
from feature_platform.orchestration.validation.check_declarations import (
    ROW_COUNT,
    SOURCE_CHECKS,
    SUITE,
)
from feature_platform.orchestration.validation.row_counts import earlier_windows
from feature_platform.repo.inference import UNKNOWN
from feature_platform.repo.project import source_of
from feature_platform.repo.view_settings import read_min_rows
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.sources.window_digests import WindowDigest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceChecks:
    """The checks of one source: their specs, runs, and recorded verdicts."""

    data: SourceData
    key: dg.AssetKey

    @property
    def name(self) -> str:
        """The source's Feast name."""
        return self.data.name

    @property
    def partitions(self) -> dg.TimeWindowPartitionsDefinition:
        """The source's partitions."""
        return self.data.partitions

    @cached_property
    def min_rows(self) -> int | None:
        """The source's tag ``dagster/min_rows``; None without it."""
        return read_min_rows(self.name, self.data.obj.tags or {})

    @cached_property
    def suite_file(self) -> Path | None:
        """The repo's own expectations; None without any."""
        return self.data.project.suite_file(self.name)

    @cached_property
    def specs(self) -> list[dg.AssetCheckSpec]:
        """Specs of the checks; ``suite`` only if the repo has one."""
        by_tag = (
            f"The window has at least {self.min_rows} rows, as the source's tag says; far more "
            "than those of the same weekday and hour before it only warn."
        )
        special = {ROW_COUNT: by_tag} if self.min_rows is not None else {}
        return [
            each.spec(self.key, description=special.get(each, ""))
            for each in SOURCE_CHECKS
            if each is not SUITE or self.suite_file
        ]

    @cached_property
    def rules(self) -> str:
        """A hash of schema, suite and settings: verdicts by other rules do not count."""
        suite = self.suite_file.read_bytes() if self.suite_file else b""
        rules = repr(self._schema()).encode() + b"\0" + suite
        if self.min_rows is not None:  # without the tag, the hash is what it was before tags
            rules += f"\0min_rows {self.min_rows}".encode()
        return hashlib.sha256(rules).hexdigest()[:16]

    def run(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        windows: Mapping[str, Window],
        digests: "Mapping[Window, WindowDigest]",
    ) -> Iterator[WindowVerdict]:
        """Check each window, oldest first, with one window in memory at a time."""
        from feature_platform.orchestration.validation.source_validator import SourceValidator
        from feature_platform.orchestration.validation.suites import load_suite
        from feature_platform.sources.window_digests import read_window_table

        suite = load_suite(self.suite_file) if self.suite_file else ()
        counts = self._recorded_counts(instance, windows)
        counts |= {window: digest.rows for window, digest in digests.items()}
        now = datetime.now(UTC)
        untimed = self._untimed(store) if windows else None
        newest = list(windows)[-1:]
        validator = SourceValidator(self._schema(), suite, min_rows=self.min_rows)
        for key, window in windows.items():
            outcomes = validator.validate(
                read_window_table(store, self.data.obj, window),
                window,
                now=now,
                row_counts=counts,
                # They belong to no window: reported once per run.
                untimed=untimed if [key] == newest else None,
            )
            yield WindowVerdict(key, window, digests[window].content_hash, self.rules, outcomes)

    def _untimed(self, store: "FeatureStore") -> int | None:
        """Rows without an event time; None if the source cannot be asked."""
        from feature_platform.sources.event_times import rows_without_event_time

        try:
            return rows_without_event_time(store.config, self.data.obj)
        except SourceError as error:
            # They only warn, so failing to count them blocks nothing.
            _log.warning("rows without an event time were not counted: %s", error)
            return None

    def record(self, instance: dg.DagsterInstance, verdicts: Sequence[WindowVerdict]) -> None:
        """Record verdicts that no check step made, for the UI and for the next gate."""
        blocking = {spec.name for spec in self.specs}
        record_results(
            instance, self.key, source_check_results(self.specs, verdicts), blocking=blocking
        )

    def recorded(
        self, instance: dg.DagsterInstance, contents: Mapping[str, str]
    ) -> dict[str, str | None]:
        """The recorded verdicts on the content hash of each partition, by the rules that hold now.

        Returns:
            By partition: why it failed, empty if it passed every check, None if a check has no
            verdict on this content.
        """
        histories = [self._history(instance, spec, contents) for spec in self.specs]
        return {
            key: "; ".join(filter(None, (verdicts[key] for verdicts in histories)))
            if all(key in verdicts for verdicts in histories)
            else None
            for key in contents
        }

    def _history(
        self, instance: dg.DagsterInstance, spec: dg.AssetCheckSpec, contents: Mapping[str, str]
    ) -> dict[str, str]:
        """Why each partition failed a check, by its newest verdict on this content."""
        found: dict[str, str] = {}
        for verdicts in recorded_verdicts(instance, spec.key):
            for key, verdict in verdicts.items():
                seen = (verdict["content_hash"], verdict.get("rules"))
                if seen == (contents.get(key), self.rules) and key not in found:
                    found[key] = verdict["blocks"]
            if len(found) == len(contents):
                break
        return found

    def _schema(self) -> Any:
        from feature_platform.orchestration.validation.default_checks import SourceSchema

        source = self.data.obj
        renamed = {new: old for old, new in source.field_mapping.items()}
        keys: dict[str, None] = {}
        for view in self.data.project.views.values():
            if (read := source_of(view)) and read.name == self.name:
                keys |= {renamed.get(key, key): None for key in view.join_keys}
        timestamp, created = time_columns(source)
        return SourceSchema(
            source=self.name,
            join_keys=tuple(keys),
            timestamp_field=timestamp,
            created_timestamp_column=created,
            columns=tuple(
                (column.name, column.type) for column in self.data.columns if column.type != UNKNOWN
            ),
        )

    def _recorded_counts(
        self, instance: dg.DagsterInstance, windows: Mapping[str, Window]
    ) -> dict[Window, int]:
        """Row counts of the windows that these are compared with, from their materializations."""
        asked = {earlier for window in windows.values() for earlier in earlier_windows(window)}
        before = {
            self.partitions.get_partition_key_for_timestamp(each.start.timestamp()): each
            for each in asked.difference(windows.values())
            if each.start >= self.partitions.start
        }
        if not before:
            return {}
        rows = newest_by_partition(instance, self.key, list(before), PARTITION_ROWS)
        return {before[key]: int(value) for key, value in rows.items()}


def build_source_checks(checks: SourceChecks) -> dg.AssetChecksDefinition:
    """The checks of one source, all in one step."""

    @dg.multi_asset_check(
        name=f"{op_name(checks.key)}__checks",
        specs=checks.specs,
        description=f"Great Expectations on the windows of '{checks.name}'.",
    )
    def source_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        windows = run_windows(context.run.tags, checks.partitions)
        with one_line_failures():
            store = checks.data.project.store()
            digests = source_digests(store, checks.data, list(windows.values()))
            verdicts = list(checks.run(context.instance, store, windows, digests))
        yield from source_check_results(checks.specs, verdicts)

    return source_checks
