"""The gate of a feature view's online write: the checks of its sources, and drift if it blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from feature_platform.core.windows import Window
from feature_platform.materialize.window_gate import OpenedSources, WindowGate
from feature_platform.orchestration.checks.drift_gate import DriftReport
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.source_gate import SourceGate
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.sources.window_digests import WindowDigest


@dataclass(frozen=True)
class ViewGate(WindowGate):
    """Judges the opened windows of a view's sources; see `WindowGate`.

    Attributes:
        view: The feature view.
        sources: One gate per source that it reads.
        drift: Its drift report, if drift blocks the view.
        run: Who asks.
        rebuilds: Whether windows are judged that are online already.
        passed: Digests of the source windows that it has let pass.
    """

    view: str
    sources: Sequence[SourceGate]
    drift: DriftReport | None
    run: GateRun
    rebuilds: bool = False
    passed: list[WindowDigest] = field(default_factory=list)

    def needs(self, source: str, spans: Sequence[Window]) -> tuple[list[Window], list[str] | None]:
        """The partitions that overlap the spans, and the columns that their hashes cover."""
        for gate in self.sources:
            if gate.checks.name == source:
                return gate.partitions(spans), gate.checks.columns
        raise self.sources[0].other_table()

    def require(self, opened: OpenedSources, span: Window) -> None:
        """Raise a `GateError` unless the rows of `span` have passed; see `WindowGate`."""
        for gate in self.sources:
            self.passed.extend(gate.require(self.run, opened[gate.checks.name], span))
        if self.drift is not None:
            windows = partitions_within(self.drift.data.partitions, span)
            rows = opened[self.drift.data.source.name]
            self.drift.require(self.run, rows, windows, record=not self.rebuilds)

    def servable(self, opened: OpenedSources, spans: Sequence[Window]) -> list[Window]:
        """The parts of `spans` that have passed; all, if failed checks are allowed."""
        found = list(spans)
        if self.run.allow_failed:
            return found
        for gate in self.sources:
            found = gate.servable(self.run, opened[gate.checks.name], found)
        if self.drift is not None:
            found = self.drift.servable(self.run, opened[self.drift.data.source.name], found)
        return found
