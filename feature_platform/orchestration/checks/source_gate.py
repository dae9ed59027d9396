"""The gate before the online write: a window that failed its checks is not served.

A blocking check stops a run only if the run selected it. So the feature view's own step asks for
the verdict on each window it is about to write. A verdict counts only for the content it was made
for (the window's hash). If there is none, the checks are run, and their results recorded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from feature_platform.core.windows import Window, missing
from feature_platform.errors import GateError
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.graph.content_hashes import opened_digests
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.registry.windows_on_record import load_view
from feature_platform.repo.project import sources_of
from feature_platform.sources.opened_window import OpenedWindow
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.sources.window_digests import WindowDigest


@dataclass(frozen=True)
class SourceGate:
    """Decides which windows of a source may be served by a feature view that reads it."""

    view: str
    checks: SourceChecks

    def partitions(self, spans: Sequence[Window]) -> list[Window]:
        """The source's partitions that overlap one of `spans`."""
        found = [partitions_within(self.checks.partitions, span) for span in spans]
        return sorted({window for each in found for window in each.values()})

    def require(self, run: GateRun, opened: OpenedWindow, span: Window) -> "list[WindowDigest]":
        """The digests of the opened source windows inside `span`, which must have passed.

        Raises:
            GateError: A window failed a check; names view, window, check, and what was observed.
        """
        self._require_same_source(run.store)
        windows = partitions_within(self.checks.partitions, span)
        if unchecked := missing([span], windows.values()):
            first = self.checks.partitions.start.date().isoformat()
            why = f"to be checked (it lies before the first partition, {first})"
            self._refuse(run, [f"{unchecked[0]} failed {why}"])
        digests = opened_digests(opened, self.checks.data, list(windows.values()))
        reasons = self._failures(run, opened, windows, digests)
        if reasons:
            self._refuse(run, [f"{windows[key]} failed {why}" for key, why in reasons.items()])
        return [digests[window] for window in windows.values()]

    def servable(self, run: GateRun, opened: OpenedWindow, spans: Sequence[Window]) -> list[Window]:
        """The parts of `spans` whose opened rows pass.

        A key whose newest row vanishes falls back on an earlier window, which may have changed
        since it was materialized.
        """
        passed: list[Window] = []
        for span in spans:
            windows = partitions_within(self.checks.partitions, span)
            digests = opened_digests(opened, self.checks.data, list(windows.values()))
            reasons = self._failures(run, opened, windows, digests)
            for key, why in reasons.items():
                run.log.warning("window %s is not used as a fallback: %s", windows[key], why)
            passed += [window for key, window in windows.items() if key not in reasons]
        return [part for span in spans for window in passed if (part := span.intersection(window))]

    def other_table(self) -> GateError:
        """The error that the registry's view reads another table than the repo's."""
        return GateError(
            f"feature view '{self.view}'",
            f"its source '{self.checks.data.obj.name}' is another table in the registry than in "
            "the repo, or has other time columns there",
            "materialize the registry asset (feast apply), then rerun",
        )

    def _failures(
        self,
        run: GateRun,
        opened: OpenedWindow,
        windows: Mapping[str, Window],
        digests: "Mapping[Window, WindowDigest]",
    ) -> dict[str, str]:
        """Why partitions failed; checks those whose content has no verdict."""
        reasons = self.checks.recorded(
            run.instance, {key: digests[window].content_hash for key, window in windows.items()}
        )
        unknown = {key: window for key, window in windows.items() if reasons[key] is None}
        if unknown:
            name = self.checks.name
            run.log.info("%d windows of '%s' have no verdict: checking", len(unknown), name)
            runner = self.checks.runner(run.instance, run.store, unknown)
            verdicts = [
                runner.check(opened, key, digests[window]) for key, window in unknown.items()
            ]
            self.checks.record(run.instance, verdicts)
            reasons |= {verdict.partition: verdict.blocks for verdict in verdicts}
        return {key: why for key, why in reasons.items() if why}

    def _require_same_source(self, store: "FeatureStore") -> None:
        """Checks read the repo's source, the write reads the registry's: they must be one table."""
        registered = sources_of(load_view(store, self.view))
        ours = self.checks.data.obj
        if _reads(ours) not in map(_reads, registered):
            raise self.other_table()

    def _refuse(self, run: GateRun, failed: Sequence[str]) -> None:
        others = f" and {len(failed) - 1} more windows" if len(failed) > 1 else ""
        problem = f"window {failed[0]}{others}"
        run.refuse(self.view, problem, f"fix source '{self.checks.name}' and rerun, or")


def _reads(source: Any) -> tuple[object, ...]:
    """The table, column names and time columns of a source."""
    path = getattr(source, "path", None)
    table = path if path is not None else source.get_table_query_string()
    return table, dict(source.field_mapping), time_columns(source)
