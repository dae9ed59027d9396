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
from feature_platform.orchestration.graph.content_hashes import opened_digests
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.recorded_verdicts import record_results
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData
from feature_platform.orchestration.validation.check_declarations import DRIFT

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift
    from feature_platform.sources.opened_window import OpenedWindow

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
        self,
        store: "FeatureStore",
        windows: Mapping[str, Window],
        opened: "OpenedWindow | None" = None,
    ) -> "dict[str, WindowDrift]":
        """Judge the windows of a run in one pass; by partition key.

        If drift blocks the view, the windows are opened first, so that verdict and hash are of one
        content.
        """
        spans = list(windows.values())
        if opened is None and self.blocking:
            from feature_platform.sources.opened_window import open_window

            with open_window(store.config, self.data.source.obj, spans) as rows:
                return self.judge_windows(store, windows, rows)
        hashes = self._hashes(opened, windows) if opened is not None else None
        found = self.judge().judge(store, spans, hashes=hashes, opened=opened)
        by_window = {each.window: each for each in found}
        return {key: by_window[window] for key, window in windows.items()}

    def require(
        self, run: GateRun, opened: "OpenedWindow", windows: Mapping[str, Window], *, record: bool
    ) -> None:
        """Raise if an opened window has drifted. One that cannot be judged is served.

        Args:
            run: Who asks.
            opened: The source's rows of at least the windows.
            windows: By partition key.
            record: Whether new verdicts are recorded, and windows that cannot be judged warned of.

        Raises:
            GateError: A window has drifted; names view, window, feature, and the numbers.
        """
        found = self._known(run.store, opened, windows)
        lacking = {key: each for key, each in windows.items() if key not in found}
        if lacking:
            run.log.info("drift of '%s' has no verdict on these rows: judging", self.data.name)
            # Windows of one run are in each other's history.
            judged = self.judge_windows(run.store, windows if record else lacking, opened)
            if record:
                self.record(run.instance, judged)
            found |= judged
        for each in found.values():
            if record and each.verdict == "insufficient" and each.comparisons:
                run.log.warning("drift of window %s: %s", each.window, each.sentence)
        self._refuse_drifted(run, found.values())

    def servable(
        self, run: GateRun, opened: "OpenedWindow", spans: Sequence[Window]
    ) -> list[Window]:
        """The parts of `spans`, all online, whose opened rows have not drifted."""
        windows = {
            key: each
            for span in spans
            for key, each in partitions_within(self.data.partitions, span).items()
        }
        found = self._known(run.store, opened, windows)
        lacking = {key: each for key, each in windows.items() if key not in found}
        if lacking:
            found |= self.judge_windows(run.store, lacking, opened)
        passed: list[Window] = []
        for key in windows:
            each = found[key]
            if each.blocks:
                run.log.warning("window %s is not used as a fallback: %s", each.window, each.blocks)
            else:
                passed.append(each.window)
        return [part for span in spans for each in passed if (part := span.intersection(each))]

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

    def _hashes(self, opened: "OpenedWindow", windows: Mapping[str, Window]) -> dict[Window, str]:
        digests = opened_digests(opened, self.data.source, list(windows.values()))
        return {window: digest.content_hash for window, digest in digests.items()}

    def _known(
        self, store: "FeatureStore", opened: "OpenedWindow", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift]":
        """Recorded verdicts on these rows, by these settings and references."""
        judge, hashes = self.judge(), self._hashes(opened, windows)
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
