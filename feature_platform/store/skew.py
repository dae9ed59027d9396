"""Training-serving skew of a feature service: what it serves against what its models train on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from feature_platform.statistics import Comparison, Thresholds, Verdict, compare_many
from feature_platform.store.skew_parity import (
    WRONG,
    Cause,
    Lag,
    Parity,
    Sides,
    computed_causes,
    parity,
    view_causes,
)
from feature_platform.store.skew_requests import Requests, sampled_requests
from feature_platform.store.skew_served import Answers, logged_answers, served_online
from feature_platform.store.skew_service import (
    ServedFeature,
    ServedService,
    ServedView,
    served_service,
)
from feature_platform.store.skew_truth import Truth, materialized_truth, training_truth
from feature_platform.store.windows import Window

if TYPE_CHECKING:
    from feast import FeatureStore

Origin = Literal["online", "logged"]


@dataclass(frozen=True)
class SkewThresholds:
    """From which share of differing values on skew matters.

    Attributes:
        mismatch: Share of values that are served otherwise than trained: above it is ``drift``,
            anything below is a warning.
        statistics: What matters between the two distributions.
    """

    mismatch: float = 0.01
    statistics: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class FeatureSkew:
    """One feature of a service.

    Attributes:
        name: ``<view>__<feature>``, the view as the service calls it.
        verdict: ``ok``, ``warn``, ``drift``, or ``insufficient`` where nothing could be compared.
        sentence: Why, with value, threshold, and how many values were compared.
        origin: ``online`` for what was read now, ``logged`` for what the log says was served.
        parity: Value by value; None where nothing could be compared.
        comparison: The two distributions, training being the reference; None likewise.
    """

    name: str
    verdict: Verdict
    sentence: str
    origin: Origin
    parity: Parity | None = None
    comparison: Comparison | None = None

    @property
    def match_rate(self) -> float:
        """Share of the compared values that are the same; NaN where none was compared."""
        return math.nan if self.parity is None else self.parity.share("match")

    def statistic(self, name: str) -> float:
        """A statistic between the two distributions; NaN where it was not computed."""
        measures = self.comparison.measures if self.comparison else ()
        return next((each.value for each in measures if each.statistic == name), math.nan)


@dataclass(frozen=True)
class ServiceSkew:
    """A feature service at one moment.

    Attributes:
        service: Its name.
        moment: When it was read online.
        seed: What chose the keys.
        online: Its features as they are served now.
        logged: Its features as the log says they were served; empty without a log, or without
            vectors in it.
        requests: Requests read online.
        vectors: Vectors in the log's window, and how many of them were compared; None without log.
        populations: Distinct keys in the materialized windows of each view.
        notes: What a reader should know besides.
    """

    service: str
    moment: datetime
    seed: int
    online: tuple[FeatureSkew, ...]
    logged: tuple[FeatureSkew, ...]
    requests: int
    vectors: tuple[int, int] | None
    populations: Mapping[str, int]
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> tuple[FeatureSkew, ...]:
        """Those read online, then those of the log."""
        return self.online + self.logged


def service_skew(
    store: "FeatureStore",
    service: str,
    *,
    limit: int = 1000,
    seed: int = 0,
    request_data: Mapping[str, Sequence[Any]] | None = None,
    allowed_lag: Mapping[str, timedelta] | None = None,
    log_window: Window | None = None,
    thresholds: SkewThresholds | None = None,
) -> ServiceSkew:
    """Compare what a feature service serves with what a training set of it holds.

    Keys are drawn from the materialized windows of the service's views and asked for as a model
    asks, and joined point in time at that same moment. If the service logs what it serves, logged
    vectors are compared with the truth of their own moments.

    Args:
        store: The Feast store.
        service: Name of the feature service.
        limit: Requests at most, and as many logged vectors.
        seed: The same one draws the same keys from the same sources.
        request_data: Values for what on-demand views take from the request, by name; what is
            missing is drawn by type.
        allowed_lag: View to the time after which a row should be online; none for the others.
        log_window: Window of log time; None for the last day.
        thresholds: What matters.

    Raises:
        RegistryError: The registry lacks the service or one of its views, or cannot be reached.
        SourceError: No keys can be drawn, or the log cannot be read.
        OnlineStoreError: The online store failed, or an on-demand view of the service did.
    """
    thresholds = thresholds or SkewThresholds()
    lags = allowed_lag or {}
    found = served_service(store, service)
    moment = datetime.now(UTC)
    requests = sampled_requests(
        store, found, moment=moment, limit=limit, seed=seed, data=request_data or {}
    )
    answers = served_online(store, found, requests)
    truth = training_truth(store, found, requests)
    online = _compared(store, found, requests, answers, truth, lags, thresholds, "online")
    logged: tuple[FeatureSkew, ...] = ()
    vectors = None
    window = log_window or Window(moment - timedelta(days=1), moment)
    log = logged_answers(store, found, window, limit=limit, seed=seed)
    if log is not None:
        total, logged_requests, logged_values = log
        vectors = (total, len(logged_requests))
        if total:
            then = training_truth(store, found, logged_requests)
            logged = _compared(
                store, found, logged_requests, logged_values, then, lags, thresholds, "logged"
            )
    return ServiceSkew(
        service=service,
        moment=moment,
        seed=seed,
        online=online,
        logged=logged,
        requests=len(requests),
        vectors=vectors,
        populations=requests.populations,
        notes=_notes(found, requests, vectors, window),
    )


def _notes(
    service: ServedService, requests: Requests, vectors: tuple[int, int] | None, window: Window
) -> tuple[str, ...]:
    notes = []
    if requests.made_up:
        names = ", ".join(service.request_schema)
        notes.append(f"request data ({names}) was drawn by type; both sides got the same")
    if vectors is not None:
        notes.append(
            f"{vectors[1]:,} of {vectors[0]:,} vectors logged in {window} were compared"
            if vectors[0]
            else f"the log holds no vector of {window}"
        )
    return tuple(notes)


def _compared(
    store: "FeatureStore",
    service: ServedService,
    requests: Requests,
    answers: Answers,
    truth: Truth,
    lags: Mapping[str, timedelta],
    thresholds: SkewThresholds,
    origin: Origin,
) -> tuple[FeatureSkew, ...]:
    """Every feature of the service, judged."""
    causes: dict[str, list[Cause]] = {}
    parities: dict[str, Parity] = {}
    refused: dict[str, str] = {}
    for feature in service.features:
        why = _why_not(service, feature, requests, answers, truth)
        if why:
            refused[feature.name] = why
    for view in service.views.values():
        mine = [f for f in service.features if f.view == view.name and f.name not in refused]
        if not mine or view.name not in truth.times:
            continue
        now = origin == "online"
        sides = Sides(answers.values, answers.times, truth.values, truth.times[view.name])
        if now:
            rows = _not_materialized(view, sides)
            if rows and view.windows:
                held = materialized_truth(store, view, requests, rows)
                sides = replace(sides, materialized=held)
        lag = Lag(lags.get(view.name), judged_by_windows=now)
        keys = [_key(view, requests, row) for row in range(len(requests))]
        for feature in mine:
            causes[feature.name] = view_causes(view, feature, requests, sides, lag)
            parities[feature.name] = parity(
                causes[feature.name],
                answers.values[feature.name],
                truth.values[feature.name],
                keys,
                requests.moments,
                _lags(answers.times[feature.name], truth.times[view.name]),
            )
    for feature in service.features:
        if feature.computed and feature.name not in refused:
            parities[feature.name] = _computed(service, feature, requests, answers, truth, causes)
    comparisons = _distributions(parities, requests, thresholds)
    return tuple(
        FeatureSkew(
            feature.name,
            "insufficient",
            f"{feature.name} cannot be compared: {refused[feature.name]}.",
            origin,
        )
        if feature.name in refused
        else _judged(
            feature, parities[feature.name], comparisons[feature.name], service, thresholds, origin
        )
        for feature in service.features
    )


def _why_not(
    service: ServedService,
    feature: ServedFeature,
    requests: Requests,
    answers: Answers,
    truth: Truth,
) -> str:
    if feature.refusal:
        return feature.refusal
    view = service.views.get(feature.view)
    if view is not None and not requests.answers(view):
        return f"nothing of '{view.name}' is online, so there is no key to ask for"
    if not len(requests):
        return "there is no key to ask for: nothing of the service is online"
    if feature.view in truth.failures:
        return truth.failures[feature.view]
    if feature.name not in answers.values:
        return "it was not served, since the keys of other views of the service are not known"
    return "" if feature.name in truth.values else "training has no such feature"


def _not_materialized(view: ServedView, sides: Sides) -> list[int]:
    """Requests whose newest row is outside of what is online."""
    return [
        row
        for row, time in enumerate(sides.training_times)
        if time is not None and not any(time in window for window in view.windows)
    ]


def _key(view: ServedView, requests: Requests, row: int) -> dict[str, Any]:
    return dict(zip(view.keys, requests.key_of(view, row), strict=True))


def _lags(
    served: Sequence[datetime | None], training: Sequence[datetime | None]
) -> list[float | None]:
    return [
        (then - now).total_seconds() if now and then and now < then - timedelta(seconds=1) else None
        for now, then in zip(served, training, strict=True)
    ]


def _computed(
    service: ServedService,
    feature: ServedFeature,
    requests: Requests,
    answers: Answers,
    truth: Truth,
    causes: dict[str, list[Cause]],
) -> Parity:
    on_demand = next(
        each for each in service.on_demand if each.projection.name_to_use() == feature.view
    )
    inputs = [
        found
        for source in on_demand.source_feature_view_projections.values()
        for field_ in source.features
        if (found := causes.get(f"{source.name_to_use()}__{field_.name}"))
    ]
    mine = computed_causes(
        feature, answers.values[feature.name], truth.values[feature.name], inputs
    )
    asked = {**requests.keys, **requests.data}
    keys = [{name: column[row] for name, column in asked.items()} for row in range(len(requests))]
    nothing = [None] * len(requests)
    return parity(
        mine,
        answers.values[feature.name],
        truth.values[feature.name],
        keys,
        requests.moments,
        nothing,
    )


def _distributions(
    parities: Mapping[str, Parity], requests: Requests, thresholds: SkewThresholds
) -> dict[str, Comparison]:
    """Training as the reference, what is served as the window, corrected across the features."""
    training = {name: pd.Series(each.training, dtype=object) for name, each in parities.items()}
    served = {name: pd.Series(each.served, dtype=object) for name, each in parities.items()}
    as_of = max(requests.moments, default=datetime.now(UTC))
    found = compare_many(training, served, as_of=as_of, thresholds=thresholds.statistics)
    return {each.feature: each for each in found}


def _judged(
    feature: ServedFeature,
    found: Parity,
    comparison: Comparison,
    service: ServedService,
    thresholds: SkewThresholds,
    origin: Origin,
) -> FeatureSkew:
    if not found.compared:
        absent = found.counts.get("absent", 0)
        said = (
            f"{feature.name} cannot be compared: none of {absent:,} keys has a row on either side."
        )
        return FeatureSkew(feature.name, "insufficient", said, origin, found, comparison)
    wrong = (*WRONG, "expired") if origin == "logged" else WRONG
    share = found.share(*wrong)
    verdict: Verdict = "drift" if share > thresholds.mismatch else "warn" if share else "ok"
    worse = comparison.verdict if comparison.verdict in ("warn", "drift") else "ok"
    # Served and trained values of one key vary together: what is equal pair by pair has not moved.
    if found.share("match") < 1 and _ORDER[worse] > _ORDER[verdict]:
        verdict = worse
    return FeatureSkew(
        feature.name,
        verdict,
        _sentence(feature, found, comparison, service, share, thresholds),
        origin,
        found,
        comparison,
    )


_ORDER = {"ok": 0, "warn": 1, "drift": 2}
_TOLD: Mapping[Cause, str] = {
    "late": "should be newer by now",
    "null": "null on one side",
    "default": "a default on one side",
    "type": "of another type",
    "value": "another value",
    "expired": "older than the TTL, where training has null",
    "stale": "older than training's, not due yet",
    "ahead": "pushed since",
}


def _sentence(
    feature: ServedFeature,
    found: Parity,
    comparison: Comparison,
    service: ServedService,
    share: float,
    thresholds: SkewThresholds,
) -> str:
    view = service.views.get(feature.view)
    del view
    parts = [
        f"{feature.name}: {found.share('match'):.2%} of {found.compared:,} values are served as "
        f"trained, {share:.2%} are wrong (threshold {thresholds.mismatch:.2%})"
    ]
    causes = [
        f"{found.counts[cause]:,} {told}"
        for cause, told in _TOLD.items()
        if found.counts.get(cause)
    ]
    if causes:
        parts.append(", ".join(causes))
    if found.lags:
        parts.append(
            f"{len(found.lags):,} served from older rows, by {_span(float(np.median(found.lags)))} "
            f"in the median and {_span(max(found.lags))} at most"
        )
    if comparison.verdict in ("warn", "drift"):
        parts.append(comparison.sentence.removesuffix("."))
    return "; ".join(parts) + "."


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
