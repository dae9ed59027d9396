"""The gates that every window passes again before it is rebuilt online."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.registry.windows_on_record import materialized_windows

if TYPE_CHECKING:
    from feast import FeatureStore


def require_gates(
    gates: Sequence[SourceGate],
    drift: DriftReport | None,
    instance: dg.DagsterInstance,
    store: "FeatureStore",
    moment: datetime | None,
    *,
    allow_failed: bool,
) -> None:
    """Let every window through the gate that is to be served; run under the view's lock."""
    run = GateRun(instance, store, allow_failed)
    spans = [
        Window(window.start, window.end if moment is None else min(window.end, moment))
        for window in materialized_windows(store, gates[0].view)
        if moment is None or window.start < moment
    ]
    for span in spans:
        for gate in gates:
            gate.require(run, span)
    if drift is not None and drift.blocking:
        drift.require_online(run, spans)
