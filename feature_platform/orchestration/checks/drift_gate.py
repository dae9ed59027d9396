"""One view's drift in Dagster: its report, and the gate where drift blocks the online write.

As at the gate of the sources, a verdict counts only for the content and the settings it was given
for. Where there is none, the window is judged here and now, and the verdict recorded.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.core.windows import Window
from feature_platform.drift.drift_settings import DriftSettings
from feature_platform.errors import GateError
from feature_platform.orchestration.checks.drift_checks import (
    drift_check_results,
    drift_check_specs,
)
from feature_platform.orchestration.graph.content_hashes import hashed_columns
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.orchestration.graph.recorded_verdicts import record_results
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import DriftData

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.drift.drift_judge import DriftJudge
    from feature_platform.drift.drift_results import WindowDrift

# Windows of a run from which only those that are not well, and the last, get a page.
_PAGES = 31


@dataclass(frozen=True)
class DriftReport:
    """The drift of one view.

    Attributes:
        data: The view's drift, as `FeastGraph.drifts` has it.
        translator: Gives keys.
        settings: What the project says of drift.
    """

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
        return drift_check_specs(self.data, self.key)

    @property
    def blocking(self) -> bool:
        """Whether a window that has drifted is kept from being served."""
        return self.data.blocking

    def judge(self) -> "DriftJudge":
        """Who judges it."""
        from feature_platform.drift.drift_judge import DriftJudge

        return DriftJudge(self.data.project, self.data.name, self.settings)

    def judge_windows(
        self, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift]":
        """Judge the windows of a run, all in one pass; by partition key."""
        hashes = self._hashes(store, windows) if self.blocking else None
        found = self.judge().judge(store, list(windows.values()), hashes=hashes)
        by_window = {each.window: each for each in found}
        return {key: by_window[window] for key, window in windows.items()}

    def require(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        windows: Mapping[str, Window],
        *,
        allow_failed: bool,
        log: logging.Logger,
    ) -> None:
        """Raise if a window has drifted. One that cannot be judged is served, with a warning.

        Raises:
            GateError: A window has drifted; names view, window, feature, and the numbers.
        """
        found = self._recorded(store, windows)
        if found is None:
            log.info("drift of '%s' has no verdict on these rows: judging", self.data.name)
            found = self.judge_windows(store, windows)
            self.record(instance, found)
        for each in found.values():
            if each.verdict == "insufficient":
                log.warning("drift of window %s: %s", each.window, each.sentence)
        drifted = [each for each in found.values() if each.blocks]
        if drifted:
            self._refuse(drifted, allow_failed=allow_failed, log=log)

    def require_online(
        self,
        store: "FeatureStore",
        spans: Sequence[Window],
        *,
        allow_failed: bool,
        log: logging.Logger,
    ) -> None:
        """As `require`, for what is online already and is about to be written again.

        Raises:
            GateError: The source now holds drifted rows in one of its windows.
        """
        drifted = [each for each in self._online(store, spans) if each.blocks]
        if drifted:
            self._refuse(drifted, allow_failed=allow_failed, log=log)

    def servable(
        self, store: "FeatureStore", spans: Sequence[Window], *, log: logging.Logger
    ) -> list[Window]:
        """The parts of `spans`, all online, that have not drifted, as the source now is."""
        found: list[Window] = []
        for each in self._online(store, spans):
            if each.blocks:
                log.warning("window %s is not fallen back on: %s", each.window, each.blocks)
            else:
                found.append(each.window)
        return [part for span in spans for each in found if (part := span.intersection(each))]

    def _online(self, store: "FeatureStore", spans: Sequence[Window]) -> "list[WindowDrift]":
        """The verdict on each window of `spans`; those that have none are judged now."""
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
        """One result a check."""
        return drift_check_results(found, self.data, self.key, pages)

    def write_pages(
        self, instance: dg.DagsterInstance, found: "Mapping[str, WindowDrift]"
    ) -> dict[str, Path]:
        """The reports, beside whatever else Dagster keeps of the runs; by partition key."""
        from feature_platform.reports.drift_page import window_page

        judge = self.judge()
        folder = Path(instance.storage_directory()).joinpath("reports", *self.key.path)
        folder.mkdir(parents=True, exist_ok=True)
        few, last = len(found) <= _PAGES, list(found)[-1]
        pages: dict[str, Path] = {}
        history = judge.history(next(iter(found.values())).window)
        for key, each in found.items():
            if few or key == last or each.verdict != "ok":
                # Colons of hours are not allowed in file names everywhere.
                pages[key] = folder / f"{key.replace(':', '')}.html"
                pages[key].write_text(window_page(judge, each, history), encoding="utf-8")
            history.append(each)
        return pages

    def _hashes(self, store: "FeatureStore", windows: Mapping[str, Window]) -> dict[Window, str]:
        from feature_platform.sources.window_digests import window_digests

        source = self.data.source
        digests = window_digests(store, source.obj, list(windows.values()), hashed_columns(source))
        return {each.window: each.content_hash for each in digests}

    def _recorded(
        self, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift] | None":
        """What was said of these rows by these rules and references; None where one lacks it."""
        found = self._known(store, windows)
        return found if len(found) == len(windows) else None

    def _known(
        self, store: "FeatureStore", windows: Mapping[str, Window]
    ) -> "dict[str, WindowDrift]":
        judge, hashes = self.judge(), self._hashes(store, windows)
        found: dict[str, WindowDrift] = {}
        for key, window in windows.items():
            known = judge.results.read(window)
            if known is None or known.content_hash != hashes[window]:
                continue
            if judge.still_counts(known, store):
                found[key] = known
        return found

    def record(self, instance: dg.DagsterInstance, found: "Mapping[str, WindowDrift]") -> None:
        """Put verdicts on record that no run of the asset gave, with their pages."""
        pages = self.write_pages(instance, found)
        results = self.results(found, pages)
        record_results(instance, self.key, results, blocking={self.specs[0].name})

    def _refuse(
        self, drifted: "list[WindowDrift]", *, allow_failed: bool, log: logging.Logger
    ) -> None:
        first = drifted[0]
        others = f" and {len(drifted) - 1} more windows" if len(drifted) > 1 else ""
        problem = f"window {first.window} has drifted{others}: {first.blocks}"
        subject = f"feature view '{self.data.name}'"
        if allow_failed:
            log.warning("%s: %s; served all the same, as asked", subject, problem)
            return
        raise GateError(
            subject,
            problem,
            "fix the source and rerun; if the change is meant, materialize with "
            "--allow-failed-checks (in the UI: config allow_failed_checks: true)",
        )
