"""What a service answered beside what training has, feature by feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from feature_platform.skew.parity import (
    CLOCK,
    WRONG,
    Cause,
    Pair,
    Parity,
    cause_of,
    computed_causes,
    parity,
)
from feature_platform.skew.sampled_requests import Requests
from feature_platform.skew.served_answers import Answers
from feature_platform.skew.served_service import ServedFeature, ServedService, ServedView
from feature_platform.skew.skew_verdict import FeatureSkew, Origin, SkewThresholds, judged
from feature_platform.skew.truth import Truth, joined_rows, training_truth
from feature_platform.statistics import Comparison, compare_many

if TYPE_CHECKING:
    from feast import FeatureStore


@dataclass
class Sides:
    """What a service answered, and what training has for the same requests.

    `allowed` is the time after which a row should be online, by the service's name for the view.
    `first` is an earlier reading of the same requests: a value counts as wrong only if it was wrong
    then too.
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
        """What training has."""
        return training_truth(self.store, self.service, self.requests)

    def judged(self, thresholds: SkewThresholds) -> tuple[FeatureSkew, ...]:
        """The verdicts on all features, in the order of the service."""
        refused = {each.name: why for each in self.service.features if (why := self._why_not(each))}
        parities: dict[str, Parity] = {}
        # Inputs of on-demand views are compared too, to know the causes of what they compute.
        known = (*self.service.features, *self.service.inputs)
        for view in self.service.views.values():
            mine = [each for each in known if each.view == view.name and each.name not in refused]
            if view.name in self.truth.times:
                parities |= self._compare_view(view, mine)
        for feature in self.service.features:
            if feature.computed and feature.name not in refused:
                parities[feature.name] = self._compare_computed(feature)
        names = [each.name for each in self.service.features if each.name in parities]
        comparisons = self._distributions({name: parities[name] for name in names}, thresholds)
        found = []
        for name in (each.name for each in self.service.features):
            if name in refused:
                sentence = f"{name} cannot be compared: {refused[name]}."
                found.append(FeatureSkew(name, "insufficient", sentence, self.origin))
            else:
                pair = parities[name], comparisons[name]
                found.append(judged(name, *pair, thresholds, self.origin))
        return tuple(found)

    def _why_not(self, feature: ServedFeature) -> str:
        """Why a feature cannot be compared; empty if it can."""
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
        self, view: ServedView, features: Sequence[ServedFeature]
    ) -> dict[str, Parity]:
        times, moments = self.truth.times[view.name], self.requests.moments
        online = self.origin == "online"
        windows = view.windows if online else ()
        # Rows that need not be online.
        undue = [
            row
            for row, time in enumerate(times)
            if time is not None and not any(time in window for window in windows)
        ]
        materialized: Mapping[str, list[Any]] = {}
        if undue and windows:
            requests = self.requests.some(undue)
            materialized = joined_rows(self.store, view, requests, within=windows).cells
        due: Mapping[int, datetime | None] = {}
        if undue and (allowed := self.allowed.get(view.name)) is not None:
            requests = self.requests.some(undue, earlier=allowed)
            earlier = joined_rows(self.store, view, requests).times[view.name]
            due = dict(zip(undue, earlier, strict=True))
        rows = range(len(self.requests))
        asked = {key: self.requests.keys[key] for key in view.keys}
        keys = [{key: column[row] for key, column in asked.items()} for row in rows]
        parities = {}
        for feature in features:
            if feature.name not in self.answers.cells:
                continue
            served = self.answers.cells[feature.name]
            training = self.truth.cells[feature.name]
            stamps = self.answers.times[feature.name]
            held = dict(zip(undue, materialized.get(feature.name, ()), strict=False))
            found = zip(served, training, stamps, times, moments, strict=True)
            pairs = (Pair(*each, held.get(row), due.get(row)) for row, each in enumerate(found))
            causes = self._keep(feature, [cause_of(pair, view, online=online) for pair in pairs])
            lags = [_lag(now, then) for now, then in zip(stamps, times, strict=True)]
            parities[feature.name] = parity(
                causes, served, training, keys=keys, moments=moments, lags=lags
            )
        return parities

    def _compare_computed(self, feature: ServedFeature) -> Parity:
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
        causes = self._keep(feature, computed_causes(served, training, inputs))
        asked = {**self.requests.keys, **self.requests.data}
        count = len(self.requests)
        return parity(
            causes,
            served,
            training,
            keys=[{name: column[row] for name, column in asked.items()} for row in range(count)],
            moments=self.requests.moments,
            lags=[None] * count,
        )

    def _keep(self, feature: ServedFeature, causes: list[Cause]) -> list[Cause]:
        """Remember causes, without those that a write between two readings made wrong once."""
        before = self.first and self.first.causes.get(feature.name)
        if before:
            pairs = zip(before, causes, strict=True)
            causes = [now if then in WRONG or now not in WRONG else then for then, now in pairs]
        self.causes[feature.name] = causes
        return causes

    def _perhaps_stale(self, view: str) -> list[Cause]:
        """Causes of an input that a log lacks: ``stale`` if its row may not have been online."""
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
        """Training as the reference, the served values as the window, corrected over features."""
        training = {name: pd.Series(each.training, dtype=object) for name, each in parities.items()}
        served = {name: pd.Series(each.served, dtype=object) for name, each in parities.items()}
        as_of = max(self.requests.moments, default=datetime.now(UTC))
        found = compare_many(
            training, served, as_of=as_of, thresholds=thresholds.statistics, window="served"
        )
        return {each.feature: each for each in found}


def _lag(served: datetime | None, training: datetime | None) -> float | None:
    """Seconds by which the served row is older than training's; None if it is not."""
    if served is None or training is None or served >= training - CLOCK:
        return None
    return (training - served).total_seconds()
