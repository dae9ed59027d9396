"""The drift report of a view, and the gate that keeps drifted windows from the online write.

As with source checks, a verdict counts only for the content and the settings it was made for. A
window without one is judged at the gate, and the verdict is recorded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.orchestration.checks.drift_checks import drift_check_results
from feature_platform.orchestration.checks.gate_runs import GateRun
from feature_platform.orchestration.checks.report_checks import report_check_specs
from feature_platform.orchestration.graph.content_hashes import source_digests
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.recorded_verdicts import record_results
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.orchestration.validation.check_declarations import DRIFT

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift

# A longer run writes pages only for its last window and for those whose verdict is not ok.
_MOST_PAGES = 31


@dataclass(frozen=True)
class DriftReport:
    """The drift report of one view, by the project's drift settings."""

    data: DriftData
    translator: DagsterFeastTranslator
    settings: DriftSettings

    @property
    def key(self) -> dg.AssetKey:
        """The asset of the report."""
        return self.translator.key_of(self.data)

    @property
    def specs(self) -> list[dg.AssetCheckSpec]:
        """Its checks."""
        return report_check_specs(self.compared, self.key)

    @cached_property
    def compared(self) -> DriftData:
        """The data without the features that are left out."""
        kept = self.judge().columns
        lineage = {name: each for name, each in self.data.lineage.items() if name in kept}
        return replace(self.data, lineage=lineage)

    @property
    def blocking(self) -> bool:
        """Whether a window that has drifted is not served."""
        return self.data.blocking

    def judge(self) -> "DriftJudge":
        """Compares windows with the view's reference."""
        from feature_platform.drift.drift_judge import DriftJudge

        return DriftJudge(self.data.project, self.data.name, self.settings)

    def judge_windows(
        self, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift]":
        """Judge the windows of a run in one pass; by partition key."""
        hashes = self._hashes(store, windows) if self.blocking else None
        found = self.judge().judge(store, list(windows.values()), hashes=hashes)
        by_window = {each.window: each for each in found}
        return {key: by_window[window] for key, window in windows.items()}

    def require(self, run: GateRun, windows: Mapping[str, Window]) -> None:
        """Raise if a window has drifted. One that cannot be judged is served, with a warning.

        Raises:
            GateError: A window has drifted; names view, window, feature, and the numbers.
        """
        found = self._known(run.store, windows)
        if len(found) < len(windows):
            run.log.info("drift of '%s' has no verdict on these rows: judging", self.data.name)
            found = self.judge_windows(run.store, windows)
            self.record(run.instance, found)
        for each in found.values():
            if each.verdict == "insufficient" and each.comparisons:
                run.log.warning("drift of window %s: %s", each.window, each.sentence)
        self._refuse_drifted(run, found.values())

    def require_online(self, run: GateRun, spans: Sequence[Window]) -> None:
        """As `require`, for windows that are online and about to be written again."""
        self._refuse_drifted(run, self._online(run.store, spans))

    def servable(self, run: GateRun, spans: Sequence[Window]) -> list[Window]:
        """The parts of `spans`, all online, whose rows in the source have not drifted."""
        found: list[Window] = []
        for each in self._online(run.store, spans):
            if each.blocks:
                run.log.warning("window %s is not used as a fallback: %s", each.window, each.blocks)
            else:
                found.append(each.window)
        return [part for span in spans for each in found if (part := span.intersection(each))]

    def _online(self, store: "FeatureStore", spans: Sequence[Window]) -> "list[WindowDrift]":
        """The verdict on each window of `spans`; windows without one are judged now."""
        windows = {
            key: each
            for span in spans
            for key, each in partitions_within(self.data.partitions, span).items()
        }
        if not windows:
            return []
        found = self._known(store, windows)
        lacking = {key: each for key, each in windows.items() if key not in found}
        if lacking:
            found |= self.judge_windows(store, lacking)
        return [found[key] for key in windows]

    def results(
        self, found: "Mapping[str, WindowDrift]", pages: Mapping[str, Path]
    ) -> Iterator[dg.AssetCheckResult]:
        """One result per check."""
        left_out = self.judge().left_out
        return drift_check_results(found, self.compared, self.key, pages, left_out)

    def write_pages(
        self, instance: dg.DagsterInstance, found: "Mapping[str, WindowDrift]"
    ) -> dict[str, Path]:
        """Write HTML reports into Dagster's storage folder; by partition key."""
        from feature_platform.reports.drift_page import window_page

        judge = self.judge()
        folder = Path(instance.storage_directory()).joinpath("reports", *self.key.path)
        folder.mkdir(parents=True, exist_ok=True)
        few, last = len(found) <= _MOST_PAGES, list(found)[-1]
        pages: dict[str, Path] = {}
        history = judge.history(next(iter(found.values())).window)
        for key, each in found.items():
            if few or key == last or each.verdict != "ok":
                # Not every file system allows the colons of hourly keys.
                pages[key] = folder / f"{key.replace(':', '')}.html"
                pages[key].write_text(window_page(judge, each, history), encoding="utf-8")
            history.append(each)
        return pages

    def _hashes(self, store: "FeatureStore", windows: Mapping[str, Window]) -> dict[Window, str]:
        digests = source_digests(store, self.data.source, list(windows.values()))
        return {window: digest.content_hash for window, digest in digests.items()}

    def _known(
        self, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift]":
        """Recorded verdicts on these rows, by these settings and references."""
        judge, hashes = self.judge(), self._hashes(store, windows)
        found: dict[str, WindowDrift] = {}
        for key, window in windows.items():
            known = judge.results.read(window)
            if known is None or known.content_hash != hashes[window]:
                continue
            if judge.is_current(known, store):
                found[key] = known
        return found

    def record(self, instance: dg.DagsterInstance, found: "Mapping[str, WindowDrift]") -> None:
        """Record verdicts that no run of the asset made, with their pages."""
        results = self.results(found, self.write_pages(instance, found))
        record_results(instance, self.key, results, blocking={DRIFT.name})

    def _refuse_drifted(self, run: GateRun, found: "Iterable[WindowDrift]") -> None:
        drifted = [each for each in found if each.blocks]
        if drifted:
            first = drifted[0]
            others = f" and {len(drifted) - 1} more windows" if len(drifted) > 1 else ""
            run.refuse(
                self.data.name,
                f"window {first.window} has drifted{others}: {first.blocks}",
                "fix the source and rerun; if the change is intended,",
            )
