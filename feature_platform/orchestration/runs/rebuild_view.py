"""Rebuild a view online behind its checks, read it back, and record the outcome in Dagster."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import RebuildResult, rebuild_online
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.online_check import compared_windows, online_evaluation
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.graph.rebuild_due import report_rebuilt
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.registry.registrable import require_refreshed_services
from feature_platform.registry.windows_on_record import materialized_windows

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass(frozen=True)
class RebuiltView:
    """A view that was rebuilt.

    Attributes:
        result: What was written.
        equal: Whether what was read back equals the source.
        read_back: What was read back, in words.
    """

    result: RebuildResult
    equal: bool
    read_back: str


@dataclass(frozen=True)
class ViewRebuilds:
    """Rebuilds views of one project.

    Attributes:
        location: The project.
        instance: Holds the verdicts of checks, and records the outcome.
        store: The Feast store.
        as_of: Put online what was the latest then; None is the newest state.
        empty_first: Whether to delete everything of a view first.
        allow_failed: Whether windows that failed their checks are served.
    """

    location: FeastCodeLocation
    instance: dg.DagsterInstance
    store: "FeatureStore"
    as_of: datetime | None = None
    empty_first: bool = False
    allow_failed: bool = False

    def rebuild(self, name: str, progress: Callable[[int, int], None]) -> RebuiltView:
        """Rebuild one view, and record the check ``online_equals_offline`` of what is read back.

        Args:
            name: The view.
            progress: Called with the number of parts that are done, and of all.

        Raises:
            FeaturePlatformError: A window failed its checks, or a store could not be used.
        """
        view = self.location.graph.materializable[name]
        key = self.location.translator.key_of(view)
        result = rebuild_online(
            self.store,
            name,
            as_of=self.as_of,
            empty_first=self.empty_first,
            progress=progress,
            before=lambda: self._require_checks(name),
        )
        if not result.leaves_vanished:
            report_rebuilt(self.instance, key, result.keys_written)
        windows = compared_windows(view, self.store)
        found = online_evaluation(compare_online(self.store, name, windows), key, seed=0)
        self.instance.report_runless_asset_event(found)
        return RebuiltView(result, found.passed, str(found.description))

    def _require_checks(self, name: str) -> None:
        """Raise unless the view may be rebuilt and all windows pass, as in a materialization."""
        require_refreshed_services(self.store, name)
        graph, translator = self.location.graph, self.location.translator
        run = GateRun(self.instance, self.store, self.allow_failed)
        spans = [
            Window(window.start, min(window.end, self.as_of or window.end))
            for window in materialized_windows(self.store, name)
            if self.as_of is None or window.start < self.as_of
        ]
        gates = [
            SourceGate(name, SourceChecks(each, translator.key_of(each)))
            for each in graph.materializable[name].sources
        ]
        for span in spans:
            for gate in gates:
                gate.require(run, span)
        drift = graph.drifts.get(name)
        if isinstance(drift, DriftData):
            report = DriftReport(drift, translator, self.location.drift_settings)
            if report.blocking:
                report.require_online(run, spans)
