"""Rebuild a view online behind its checks, read it back, and record the outcome in Dagster."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import RebuildResult, rebuild_online
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.online_check import compared_windows, online_evaluation
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.checks.view_gate import ViewGate
from feature_platform.orchestration.code_location import FeastCodeLocation
from feature_platform.orchestration.graph.rebuild_due import report_rebuilt
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.registry.registrable import require_refreshed_services

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
        require_refreshed_services(self.store, name)
        result = rebuild_online(
            self.store,
            name,
            as_of=self.as_of,
            empty_first=self.empty_first,
            progress=progress,
            gate=self._gate(name),
        )
        if not result.leaves_vanished:
            report_rebuilt(self.instance, key, result.keys_written)
        windows = compared_windows(view, self.store)
        found = online_evaluation(compare_online(self.store, name, windows), key, seed=0)
        self.instance.report_runless_asset_event(found)
        return RebuiltView(result, found.passed, str(found.description))

    def _gate(self, name: str) -> ViewGate:
        """The gate that a materialization of the view has too."""
        graph, translator = self.location.graph, self.location.translator
        gates = [
            SourceGate(name, SourceChecks(each, translator.key_of(each)))
            for each in graph.materializable[name].sources
        ]
        drift = graph.drifts.get(name)
        report = None
        if isinstance(drift, DriftData):
            found = DriftReport(drift, translator, self.location.drift_settings)
            report = found if found.blocking else None
        run = GateRun(self.instance, self.store, self.allow_failed)
        return ViewGate(name, gates, report, run, rebuilds=True)
