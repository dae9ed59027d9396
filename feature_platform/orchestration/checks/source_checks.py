"""Source checks in Dagster: default checks and suite on each window; verdicts by content."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.future_tolerance import FUTURE_TOLERANCE, future_tolerance
from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.orchestration.checks.source_results import WindowVerdict, source_check_results
from feature_platform.orchestration.graph.content_hashes import ROW_COUNT as PARTITION_ROWS
from feature_platform.orchestration.graph.content_hashes import hashed_columns, opened_digests
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
from feature_platform.orchestration.validation.window_rows import WindowRows
from feature_platform.repo.inference import UNKNOWN
from feature_platform.repo.project import source_of
from feature_platform.repo.view_settings import read_min_rows
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.sources.opened_window import OpenedWindow
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
        rules = repr(self.schema).encode() + b"\0" + suite
        if self.min_rows is not None:  # without the tag, the hash is what it was before tags
            rules += f"\0min_rows {self.min_rows}".encode()
        return hashlib.sha256(rules).hexdigest()[:16]

    @cached_property
    def columns(self) -> list[str] | None:
        """The columns that the checks and the content hash read; None for all."""
        hashed = hashed_columns(self.data)
        return None if hashed is None else list(dict.fromkeys([*hashed, *self.schema.identity]))

    def runner(
        self, instance: dg.DagsterInstance, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "CheckRunner":
        """What checks windows, given by partition key, oldest first."""
        return CheckRunner(self, instance, store, windows)

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

    @cached_property
    def schema(self) -> Any:
        """The `SourceSchema` that windows are checked against."""
        from feature_platform.orchestration.validation.default_checks import SourceSchema

        source = self.data.obj
        renamed = {new: old for old, new in source.field_mapping.items()}
        keys: dict[str, None] = {}
        tolerances = []
        for view in self.data.project.views.values():
            if (read := source_of(view)) and read.name == self.name:
                keys |= {renamed.get(key, key): None for key in view.join_keys}
                tolerances.append(future_tolerance(view.name, view.tags))
        timestamp, created = time_columns(source)
        return SourceSchema(
            source=self.name,
            join_keys=tuple(keys),
            timestamp_field=timestamp,
            created_timestamp_column=created,
            columns=tuple(
                (column.name, column.type) for column in self.data.columns if column.type != UNKNOWN
            ),
            # Of several views the strictest: what one refuses, the source has wrong.
            future_tolerance=min(tolerances, default=FUTURE_TOLERANCE),
        )


class CheckRunner:
    """Runs the checks of a source on opened windows, oldest first.

    Args:
        checks: Of the source.
        instance: Holds the row counts of other windows.
        store: The Feast store.
        windows: All windows that will be checked, by partition key, oldest first.
    """

    def __init__(
        self,
        checks: SourceChecks,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        windows: Mapping[str, Window],
    ) -> None:
        from feature_platform.orchestration.validation.source_validator import SourceValidator
        from feature_platform.orchestration.validation.suites import load_suite

        suite = load_suite(checks.suite_file) if checks.suite_file else ()
        self._checks = checks
        self._now = datetime.now(UTC)
        self._counts = self._recorded_counts(instance, windows)
        self._untimed = self._count_untimed(store) if windows else None
        self._newest = list(windows)[-1] if windows else ""
        self._validator = SourceValidator(checks.schema, suite, min_rows=checks.min_rows)

    def check(self, opened: "OpenedWindow", key: str, digest: "WindowDigest") -> WindowVerdict:
        """The verdict on one window among opened rows, whose digest is `digest`."""
        window = digest.window
        outcomes = self._validator.validate(
            WindowRows(opened.relation, window),
            window,
            now=self._now,
            row_counts=self._counts,
            # They belong to no window: reported once per run.
            untimed=self._untimed if key == self._newest else None,
        )
        self._counts[window] = digest.rows
        return WindowVerdict(key, window, digest.content_hash, self._checks.rules, outcomes)

    def _count_untimed(self, store: "FeatureStore") -> int | None:
        """Rows without an event time; None if the source cannot be asked."""
        from feature_platform.sources.event_times import rows_without_event_time

        try:
            return rows_without_event_time(store.config, self._checks.data.obj)
        except SourceError as error:
            # They only warn, so failing to count them blocks nothing.
            _log.warning("rows without an event time were not counted: %s", error)
            return None

    def _recorded_counts(
        self, instance: dg.DagsterInstance, windows: Mapping[str, Window]
    ) -> dict[Window, int]:
        """Row counts of these windows, and those they are compared with, as last materialized."""
        asked = {earlier for window in windows.values() for earlier in earlier_windows(window)}
        asked |= set(windows.values())
        before = {
            self._checks.partitions.get_partition_key_for_timestamp(each.start.timestamp()): each
            for each in asked
            if each.start >= self._checks.partitions.start
        }
        if not before:
            return {}
        rows = newest_by_partition(instance, self._checks.key, list(before), PARTITION_ROWS)
        return {before[key]: int(value) for key, value in rows.items()}


def build_source_checks(checks: SourceChecks) -> dg.AssetChecksDefinition:
    """The checks of one source, all in one step."""

    @dg.multi_asset_check(
        name=f"{op_name(checks.key)}__checks",
        specs=checks.specs,
        description=f"Checks of the windows of '{checks.name}'.",
    )
    def source_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        windows = run_windows(context.run.tags, checks.partitions)
        with one_line_failures():
            verdicts = list(_verdicts(checks, context.instance, windows))
        yield from source_check_results(checks.specs, verdicts)

    return source_checks


def _verdicts(
    checks: SourceChecks, instance: dg.DagsterInstance, windows: Mapping[str, Window]
) -> Iterator[WindowVerdict]:
    """Open and check each window, oldest first; one is open at a time."""
    from feature_platform.sources.opened_window import open_window

    store = checks.data.project.store()
    runner = checks.runner(instance, store, windows)
    for key, window in windows.items():
        with open_window(store.config, checks.data.obj, [window], checks.columns) as opened:
            digest = opened_digests(opened, checks.data, [window])[window]
            yield runner.check(opened, key, digest)
