"""Both sides of a service's features put beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from feature_platform.skew.parity import (
    WRONG,
    Cause,
    Pair,
    Parity,
    Serving,
    cause_of,
    computed_causes,
    parity,
)
from feature_platform.skew.sampled_requests import Requests
from feature_platform.skew.served_answers import Answers
from feature_platform.skew.served_service import ServedFeature, ServedService, ServedView
from feature_platform.skew.skew_verdict import FeatureSkew, Origin, SkewThresholds, judged
from feature_platform.skew.truth import Truth, materialized_truth, times_before, training_truth
from feature_platform.statistics import Comparison, compare_many

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass
class Sides:
    """What a service answered, and what training holds for the same requests.

    Attributes:
        store: The Feast store.
        service: The service.
        requests: The requests.
        answers: What they were answered.
        origin: Whether they were just read online, or logged.
        allowed: View, as the service calls it, to the time after which a row should be online.
        first: An earlier reading of the same requests: what was not wrong then is not wrong now.
    """

    store: "FeatureStore"
    service: ServedService
    requests: Requests
    answers: Answers
    origin: Origin
    allowed: Mapping[str, timedelta]
    first: "Sides | None" = None
    causes: dict[str, list[Cause]] = field(default_factory=dict, init=False)

    @cached_property
    def truth(self) -> Truth:
        """What training holds."""
        return training_truth(self.store, self.service, self.requests)

    def judged(self, thresholds: SkewThresholds) -> tuple[FeatureSkew, ...]:
        """The verdicts on all features, in the order of the service."""
        refused = {each.name: why for each in self.service.features if (why := self._why_not(each))}
        parities: dict[str, Parity] = {}
        for view in self.service.views.values():
            # What on-demand views need is compared too, to know where their differences come from.
            known = (*self.service.features, *self.service.inputs)
            mine = [each for each in known if each.view == view.name and each.name not in refused]
            if view.name in self.truth.times:
                self._compare_view(view, mine, parities)
        for feature in self.service.features:
            if feature.computed and feature.name not in refused:
                parities[feature.name] = self._computed(feature)
        names = [each.name for each in self.service.features if each.name in parities]
        comparisons = self._distributions({name: parities[name] for name in names}, thresholds)
        return tuple(
            FeatureSkew(
                each.name,
                "insufficient",
                f"{each.name} cannot be compared: {refused[each.name]}.",
                self.origin,
            )
            if each.name in refused
            else judged(
                each.name, parities[each.name], comparisons[each.name], thresholds, self.origin
            )
            for each in self.service.features
        )

    def _why_not(self, feature: ServedFeature) -> str:
        if feature.refusal:
            return feature.refusal
        failures = {**self.truth.failures, **self.requests.failures}
        if feature.view in failures:
            return failures[feature.view]
        view = self.service.views.get(feature.view)
        if view is not None and not self.requests.answers(view):
            return f"nothing of '{view.name}' is online, so there is no key to ask for"
        if not len(self.requests):
            return "nothing of the service is online, so there is no key to ask for"
        if feature.name not in self.answers.cells:
            return "it was not served, since the keys of other views of the service are not known"
        return "" if feature.name in self.truth.cells else "training has no such feature"

    def _compare_view(
        self, view: ServedView, features: Sequence[ServedFeature], parities: dict[str, Parity]
    ) -> None:
        times = self.truth.times[view.name]
        now = self.origin == "online"
        serving = Serving(
            ttl=view.layout.ttl if view.layout else None,
            streamed=view.view.stream_source is not None,
            windows=view.windows if now else None,
        )
        # Of a log nobody knows what was online then.
        undue = [
            row
            for row, time in enumerate(times)
            if time is not None and not (now and any(time in window for window in view.windows))
        ]
        held: Mapping[int, Mapping[str, Any]] = {}
        if now and undue and view.windows:
            held = materialized_truth(self.store, view, self.requests, undue)
        due: Mapping[int, datetime | None] = {}
        allowed = self.allowed.get(view.name)
        if undue and allowed is not None:
            due = times_before(self.store, view, self.requests, undue, allowed)
        keys = [
            dict(zip(view.keys, self.requests.key_of(view, row), strict=True))
            for row in range(len(self.requests))
        ]
        for feature in features:
            if feature.name not in self.answers.cells:
                continue
            served = self.answers.cells[feature.name]
            training = self.truth.cells[feature.name]
            stamps = self.answers.times[feature.name]
            pairs = (
                Pair(
                    *(served[row], training[row], stamps[row], times[row]),
                    self.requests.moments[row],
                    held[row][feature.feature] if row in held else None,
                    due.get(row),
                )
                for row in range(len(self.requests))
            )
            self._keep(feature, [cause_of(pair, serving) for pair in pairs])
            parities[feature.name] = parity(
                self.causes[feature.name],
                served,
                training,
                keys=keys,
                moments=self.requests.moments,
                lags=[_lag(now, then) for now, then in zip(stamps, times, strict=True)],
            )

    def _computed(self, feature: ServedFeature) -> Parity:
        on_demand = next(
            each for each in self.service.on_demand if each.projection.name_to_use() == feature.view
        )
        inputs = [
            self.causes.get(f"{source.name_to_use()}__{each.name}")
            or self._perhaps_stale(source.name_to_use())
            for source in on_demand.source_feature_view_projections.values()
            for each in source.features
        ]
        served, training = self.answers.cells[feature.name], self.truth.cells[feature.name]
        self._keep(feature, computed_causes(served, training, inputs))
        asked = {**self.requests.keys, **self.requests.data}
        count = len(self.requests)
        return parity(
            self.causes[feature.name],
            served,
            training,
            keys=[{name: column[row] for name, column in asked.items()} for row in range(count)],
            moments=self.requests.moments,
            lags=[None] * count,
        )

    def _keep(self, feature: ServedFeature, causes: list[Cause]) -> None:
        """Remember causes; what a write between two readings made look wrong once is let go."""
        before = self.first and self.first.causes.get(feature.name)
        if before:
            pairs = zip(before, causes, strict=True)
            causes = [now if then in WRONG or now not in WRONG else then for then, now in pairs]
        self.causes[feature.name] = causes

    def _perhaps_stale(self, view: str) -> list[Cause]:
        """What an input may have been that a log does not tell: too new to have been online."""
        allowed = self.allowed.get(view)
        return [
            "stale"
            if time is not None and (allowed is None or moment - time <= allowed)
            else "match"
            for time, moment in zip(self.truth.times[view], self.requests.moments, strict=True)
        ]

    def _distributions(
        self, parities: Mapping[str, Parity], thresholds: SkewThresholds
    ) -> dict[str, Comparison]:
        """Training as the reference, what is served as the window, corrected across features."""
        training = {name: pd.Series(each.training, dtype=object) for name, each in parities.items()}
        served = {name: pd.Series(each.served, dtype=object) for name, each in parities.items()}
        as_of = max(self.requests.moments, default=datetime.now(UTC))
        found = compare_many(
            training, served, as_of=as_of, thresholds=thresholds.statistics, window="served"
        )
        return {each.feature: each for each in found}


def _lag(served: datetime | None, training: datetime | None) -> float | None:
    """Seconds by which what is served is older than what training has; None where it is not."""
    if served is None or training is None or served >= training - timedelta(seconds=1):
        return None
    return (training - served).total_seconds()
