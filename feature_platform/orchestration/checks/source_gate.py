"""The gate before the online write: a window that failed its checks is not served.

A blocking check stops a run only if the run selected it. So the feature view's own step asks for
the verdict on each window it is about to write. A verdict counts only for the content it was made
for (the window's hash). If there is none, the checks are run, and their results recorded.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from feature_platform.core.windows import Window, missing
from feature_platform.errors import GateError
from feature_platform.orchestration.checks.source_checks import SourceChecks
from feature_platform.orchestration.graph.partitions import partitions_within
from feature_platform.registry.windows_on_record import load_view
from feature_platform.repo.project import sources_of
from feature_platform.sources.source_columns import time_columns

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.sources.window_digests import WindowDigest


@dataclass(frozen=True)
class SourceGate:
    """Decides which windows of a source may be served.

    Attributes:
        view: The feature view that reads the source.
        checks: The checks of its source.
    """

    view: str
    checks: SourceChecks

    def require(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        span: Window,
        *,
        allow_failed: bool,
        log: logging.Logger,
    ) -> "list[WindowDigest]":
        """Raise unless every source window inside `span` has passed.

        Returns:
            Digests of the windows, oldest first.

        Raises:
            GateError: A window failed a check; names view, window, check, and what was observed.
        """
        self._require_same_source(store)
        windows = partitions_within(self.checks.partitions, span)
        if unchecked := missing([span], windows.values()):
            first = self.checks.partitions.start.date().isoformat()
            why = f"to be checked (it lies before the first partition, {first})"
            self._refuse([(unchecked[0], why)], allow_failed=allow_failed, log=log)
        digests = self.checks.digests(store, list(windows.values()))
        said = self._verdicts(instance, store, windows, digests, log)
        failed = [(windows[key], sentence) for key, sentence in said.items() if sentence]
        if failed:
            self._refuse(failed, allow_failed=allow_failed, log=log)
        return [digests[window] for window in windows.values()]

    def servable(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        spans: Sequence[Window],
        *,
        log: logging.Logger,
    ) -> list[Window]:
        """The parts of `spans` whose rows in the source pass now.

        A key whose newest row vanishes falls back on an earlier window, which may have changed
        since it was materialized.
        """
        passed: list[Window] = []
        for span in spans:
            windows = partitions_within(self.checks.partitions, span)
            digests = self.checks.digests(store, list(windows.values()))
            for key, sentence in self._verdicts(instance, store, windows, digests, log).items():
                if not sentence:
                    passed.append(windows[key])
                else:
                    log.warning("window %s is not used as a fallback: %s", windows[key], sentence)
        return [part for span in spans for window in passed if (part := span.intersection(window))]

    def _verdicts(
        self,
        instance: dg.DagsterInstance,
        store: "FeatureStore",
        windows: Mapping[str, Window],
        digests: "Mapping[Window, WindowDigest]",
        log: logging.Logger,
    ) -> dict[str, str]:
        """For each partition why it failed; empty if it passed."""
        said = self.checks.recorded(
            instance, {key: digests[window].content_hash for key, window in windows.items()}
        )
        unknown = {key: window for key, window in windows.items() if said[key] is None}
        if unknown:
            log.info("%d windows of '%s' have no verdict: checking", len(unknown), self.checks.name)
            verdicts = list(self.checks.run(instance, store, unknown, digests))
            self.checks.record(instance, verdicts)
            for verdict in verdicts:
                said[verdict.partition] = "; ".join(
                    f"check '{outcome.name}' ({outcome.sentence})"
                    for outcome in verdict.outcomes
                    if outcome.blocks
                )
        return {key: sentence or "" for key, sentence in said.items()}

    def _require_same_source(self, store: "FeatureStore") -> None:
        """Checks read the repo's source, the write reads the registry's: they must be one table."""
        registered = sources_of(load_view(store, self.view))
        ours = self.checks.data.obj
        if _reads(ours) not in map(_reads, registered):
            raise GateError(
                f"feature view '{self.view}'",
                f"its source '{ours.name}' is another table in the registry than in the repo, or "
                "has other time columns there",
                "materialize the registry asset (feast apply), then rerun",
            )

    def _refuse(
        self, failed: Sequence[tuple[Window, str]], *, allow_failed: bool, log: logging.Logger
    ) -> None:
        window, sentence = failed[0]
        others = f" and {len(failed) - 1} more windows" if len(failed) > 1 else ""
        problem = f"window {window} failed {sentence}{others}"
        if allow_failed:
            log.warning(
                "feature view '%s': %s; served, since failed checks are allowed", self.view, problem
            )
            return
        raise GateError(
            f"feature view '{self.view}'",
            problem,
            f"fix source '{self.checks.name}' and rerun, or materialize with "
            "--allow-failed-checks (in the UI: config allow_failed_checks: true)",
        )


def _reads(source: Any) -> tuple[object, ...]:
    """The table, column names and time columns of a source."""
    path = getattr(source, "path", None)
    table = path if path is not None else source.get_table_query_string()
    return table, dict(source.field_mapping), time_columns(source)
