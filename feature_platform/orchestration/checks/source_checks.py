"""Source checks in Dagster: Great Expectations on each window, blocking, verdicts on record."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.errors import SourceError
from feature_platform.orchestration.graph.content_hashes import (
    CONTENT_HASH,
    ROW_COUNT,
    hashed_columns,
)
from feature_platform.orchestration.graph.partitions import run_windows
from feature_platform.orchestration.graph.recorded_verdicts import (
    VERDICTS,
    newest_by_partition,
    record_results,
    recorded_verdicts,
)
from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import SourceData
from feature_platform.orchestration.validation.row_counts import earlier_windows
from feature_platform.repo.inference import UNKNOWN
from feature_platform.repo.project import source_of
from feature_platform.repo.view_settings import read_min_rows
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.orchestration.validation.outcomes import CheckOutcome, ExpectationOutcome
    from feature_platform.sources.window_digests import WindowDigest

_log = logging.getLogger(__name__)
# Expectations shown on a page, failures first.
_MAX_SHOWN = 100

_DESCRIPTIONS = {
    "schema": "Columns and types that the feature views declare are there.",
    "keys": "Entity keys are not null; key, event time and created time are unique together.",
    "event_time": "Event times lie inside the window and not in the future; no row of the source "
    "lacks one (which only warns).",
    "numbers": "Numbers are finite; nulls are allowed.",
    "row_count": "The window is not empty, nor has it far fewer rows than those of the same "
    "weekday and hour before it; far more only warn.",
    "suite": "The repo's own expectations on this source.",
}


@dataclass(frozen=True)
class WindowVerdict:
    """What the checks said of one partition.

    Attributes:
        partition: The partition key.
        window: Its window.
        content_hash: Of the content that was checked.
        rules: Of what it was checked against.
        outcomes: One for each check.
    """

    partition: str
    window: Window
    content_hash: str
    rules: str
    outcomes: "tuple[CheckOutcome, ...]"


@dataclass(frozen=True)
class SourceChecks:
    """The checks of one source: which they are, how they run, and what they said before."""

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
        """What the source's tag ``dagster/min_rows`` says; None without it."""
        return read_min_rows(self.name, self.data.obj.tags or {})

    @cached_property
    def specs(self) -> list[dg.AssetCheckSpec]:
        """Specs of the checks, all blocking; ``suite`` only where the repo has one."""
        has_suite = self.data.project.suite_file(self.name) is not None
        said = dict(_DESCRIPTIONS)
        if self.min_rows is not None:
            said["row_count"] = (
                f"The window has at least {self.min_rows} rows, as the source's tag says; far more "
                "than those of the same weekday and hour before it only warn."
            )
        return [
            dg.AssetCheckSpec(name=name, asset=self.key, blocking=True, description=description)
            for name, description in said.items()
            if name != "suite" or has_suite
        ]

    @cached_property
    def rules(self) -> str:
        """A hash of what windows are checked against: another suite or schema, another verdict."""
        suite_file = self.data.project.suite_file(self.name)
        suite = suite_file.read_bytes() if suite_file else b""
        said = repr(self._schema()).encode() + b"\0" + suite
        if self.min_rows is not None:  # without it, verdicts of the time before it hold
            said += f"\0min_rows {self.min_rows}".encode()
        return hashlib.sha256(said).hexdigest()[:16]

    def digests(
        self, store: "FeatureStore", windows: Sequence[Window]
    ) -> "Mapping[Window, WindowDigest]":
        """Row count and content hash of each window, as the source now is."""
        from feature_platform.sources.window_digests import window_digests

        digests = window_digests(store, self.data.obj, windows, hashed_columns(self.data))
        return {digest.window: digest for digest in digests}

    def run(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        windows: Mapping[str, Window],
        digests: "Mapping[Window, WindowDigest]",
    ) -> Iterator[WindowVerdict]:
        """Check each window, oldest first, holding one of them in memory at a time."""
        from feature_platform.orchestration.validation.source_validator import SourceValidator
        from feature_platform.orchestration.validation.suites import load_suite
        from feature_platform.sources.window_digests import read_window_table

        suite_file = self.data.project.suite_file(self.name)
        schema = self._schema()
        suite = load_suite(suite_file, schema) if suite_file else ()
        counts = self._recorded_counts(instance, windows)
        counts |= {window: digest.rows for window, digest in digests.items()}
        now = datetime.now(UTC)
        untimed = self._untimed(store) if windows else None
        newest = list(windows)[-1:]
        with SourceValidator(schema, suite, min_rows=self.min_rows) as validator:
            for key, window in windows.items():
                outcomes = validator.validate(
                    read_window_table(store, self.data.obj, window),
                    window,
                    now=now,
                    row_counts=counts,
                    # They are no window's, and told once a run.
                    untimed=untimed if [key] == newest else None,
                )
                yield WindowVerdict(key, window, digests[window].content_hash, self.rules, outcomes)

    def _untimed(self, store: "FeatureStore") -> int | None:
        """Rows without an event time; None where the source cannot be asked, be it for now."""
        from feature_platform.sources.event_times import rows_without_event_time

        try:
            return rows_without_event_time(store.config, self.data.obj)
        except SourceError as error:
            # They only warn: that they cannot be counted is no reason to keep windows back.
            _log.warning("rows without an event time were not counted: %s", error)
            return None

    def results(self, verdicts: Sequence[WindowVerdict]) -> Iterator[dg.AssetCheckResult]:
        """One result a check, over the windows of the run."""
        for spec in self.specs:
            per_window = [
                (verdict, outcome)
                for verdict in verdicts
                for outcome in verdict.outcomes
                if outcome.name == spec.name
            ]
            failed = [(verdict, outcome) for verdict, outcome in per_window if not outcome.passed]
            blocks = any(outcome.blocks for _, outcome in failed)
            yield dg.AssetCheckResult(
                asset_key=self.key,
                check_name=spec.name,
                passed=not failed,
                severity=dg.AssetCheckSeverity.ERROR
                if blocks or not failed
                else dg.AssetCheckSeverity.WARN,
                description=_describe(per_window, failed),
                metadata=_metadata(per_window),
            )

    def record(self, instance: dg.DagsterInstance, verdicts: Sequence[WindowVerdict]) -> None:
        """Put verdicts that no check step gave on record, for the UI and for the next gate."""
        blocking = {spec.name for spec in self.specs}
        record_results(instance, self.key, self.results(verdicts), blocking=blocking)

    def recorded(
        self, instance: dg.DagsterInstance, contents: Mapping[str, str]
    ) -> dict[str, str | None]:
        """What every check last said of each partition, if it saw just this content.

        A verdict under other rules is none.

        Args:
            instance: Where checks are recorded.
            contents: Partition key to content hash.

        Returns:
            The empty string where all passed, a sentence where one failed, None where one of them
            has not seen this content.
        """
        said: dict[str, list[str] | None] = {key: [] for key in contents}
        for spec in self.specs:
            verdicts = self._history(instance, spec, contents)
            for key, sentences in said.items():
                if key not in verdicts:
                    said[key] = None
                elif sentences is not None and verdicts[key]:
                    sentences.append(verdicts[key])
        return {key: None if each is None else "; ".join(each) for key, each in said.items()}

    def _history(
        self, instance: dg.DagsterInstance, spec: dg.AssetCheckSpec, contents: Mapping[str, str]
    ) -> dict[str, str]:
        found: dict[str, str] = {}
        for said in recorded_verdicts(instance, spec.key):
            for key, verdict in said.items():
                # Newest first: the newest verdict on this content by these rules decides.
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
        """Row counts of windows that these are compared with, as their materializations said."""
        asked = {earlier for window in windows.values() for earlier in earlier_windows(window)}
        before = {
            self.partitions.get_partition_key_for_timestamp(each.start.timestamp()): each
            for each in asked.difference(windows.values())
            if each.start >= self.partitions.start
        }
        if not before:
            return {}
        rows = newest_by_partition(instance, self.key, list(before), ROW_COUNT)
        return {before[key]: int(value) for key, value in rows.items()}


def build_source_checks(checks: SourceChecks) -> dg.AssetChecksDefinition:
    """The checks of one source as a Dagster definition: one step, all of them together."""

    @dg.multi_asset_check(
        name=f"{op_name(checks.key)}__checks",
        specs=checks.specs,
        description=f"Great Expectations on the windows of '{checks.name}'.",
    )
    def source_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        windows = run_windows(context.run.tags, checks.partitions)
        with one_line_failures():
            store = checks.data.project.store()
            digests = checks.digests(store, list(windows.values()))
            verdicts = list(checks.run(context.instance, store, windows, digests))
        yield from checks.results(verdicts)

    return source_checks


def _describe(
    per_window: "Sequence[tuple[WindowVerdict, CheckOutcome]]",
    failed: "Sequence[tuple[WindowVerdict, CheckOutcome]]",
) -> str:
    if not failed:
        windows = [verdict.window for verdict, _ in per_window]
        count = f" ({len(windows)} windows)" if len(windows) > 1 else ""
        return f"passed on {Window(windows[0].start, windows[-1].end)}{count}"
    lines = [f"{verdict.window}: {outcome.sentence}" for verdict, outcome in failed[:5]]
    more = len(failed) - len(lines)
    return "\n".join(lines) + (f"\nand {more} more windows" if more else "")


def _metadata(per_window: "Sequence[tuple[WindowVerdict, CheckOutcome]]") -> dict[str, Any]:
    several = len(per_window) > 1
    shown = [
        (verdict, result)
        for verdict, outcome in per_window
        for result in sorted(outcome.results, key=lambda result: result.passed)
        # A run of many windows shows what failed; a run of one shows everything.
        if not several or not result.passed
    ]
    metadata: dict[str, Any] = {
        VERDICTS: dg.JsonMetadataValue(
            {
                verdict.partition: {
                    "content_hash": verdict.content_hash,
                    "rules": verdict.rules,
                    "passed": outcome.passed,
                    "blocks": f"check '{outcome.name}' ({outcome.sentence})"
                    if outcome.blocks
                    else "",
                }
                for verdict, outcome in per_window
            }
        )
    }
    if shown:
        metadata["results"] = _table(shown[:_MAX_SHOWN], several=several)
    # Not in the table: a whole row of a source makes it wider than any page.
    if offending := [
        {
            "window": str(verdict.window),
            "column": result.column,
            "expectation": result.expectation,
            "rows": [dict(row) for row in result.unexpected_rows],
        }
        for verdict, result in shown[:_MAX_SHOWN]
        if result.unexpected_rows
    ]:
        metadata["offending_rows"] = dg.JsonMetadataValue(offending)
    if not several:
        metadata[CONTENT_HASH] = per_window[0][0].content_hash
    return metadata


def _table(
    shown: "Sequence[tuple[WindowVerdict, ExpectationOutcome]]", *, several: bool
) -> dg.TableMetadataValue:
    """Expectations, a row each; four columns are what a page holds."""
    columns = [*(["window"] if several else []), "expectation", "passed", "expected", "observed"]
    rows: list[dict[str, Any]] = [
        {
            "window": str(verdict.window),
            "expectation": f"{result.column or 'table'}: {result.expectation}",
            "passed": result.passed,
            "expected": str(result.expected),
            "observed": str(result.observed),
        }
        for verdict, result in shown
    ]
    return dg.TableMetadataValue(
        records=[dg.TableRecord({name: row[name] for name in columns}) for row in rows],
        schema=dg.TableSchema(
            [dg.TableColumn(name, "bool" if name == "passed" else "string") for name in columns]
        ),
    )
