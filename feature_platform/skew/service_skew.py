"""Training-serving skew of a feature service: served values against those of training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_platform.core.windows import Window
from feature_platform.skew.sampled_requests import Requests, sampled_requests
from feature_platform.skew.served_answers import Log, logged_answers, served_online
from feature_platform.skew.served_service import ServedService, served_service
from feature_platform.skew.sides import Sides
from feature_platform.skew.skew_verdict import FeatureSkew, Origin, SkewThresholds, summary_of

if TYPE_CHECKING:
    from feast import FeatureStore

__all__ = ["FeatureSkew", "Origin", "ServiceSkew", "SkewThresholds", "service_skew"]


@dataclass(frozen=True)
class ServiceSkew:
    """The skew of a feature service at the moment when it was read online.

    `requests` were read online; `vectors` are the numbers of those in the log's window and of the
    compared ones, None without a log. `populations` are keys in the materialized windows, by view.
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
        """The online features, then the logged ones."""
        return self.online + self.logged

    @property
    def summary(self) -> str:
        """The verdict on the whole service, as a clause; check and page say the same."""
        sizes = f"{self.requests:,} requests"
        if self.vectors is not None:
            sizes += f", {self.vectors[1]:,} logged vectors"
        return summary_of(self.features, sizes)


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
    """Compare what a feature service serves with what a training set of it has.

    Keys are drawn from the materialized windows of the service's views, read online as a model
    does, and joined point in time at the same moment. If the service logs what it serves, logged
    vectors are compared at their own moments, those of `log_window` or of the last day.

    At most `limit` requests and logged vectors are compared. `request_data` has values of request
    data by name; missing ones are drawn by type. `allowed_lag` is the time after which a row should
    be online, by view.
    """
    thresholds = thresholds or SkewThresholds()
    lags = allowed_lag or {}
    found = served_service(store, service)
    moment = datetime.now(UTC)
    requests = sampled_requests(
        store, found, moment=moment, limit=limit, seed=seed, data=request_data or {}
    )
    online = _read_online(store, found, requests, lags, thresholds)
    window = log_window or Window(moment - timedelta(days=1), moment)
    log = logged_answers(store, found, window, limit=limit, seed=seed)
    logged: tuple[FeatureSkew, ...] = ()
    if log is not None and log.total:
        logged = Sides(store, found, log.requests, log.answers, "logged", lags).judged(thresholds)
    return ServiceSkew(
        service=service,
        moment=moment,
        seed=seed,
        online=online,
        logged=logged,
        requests=len(requests),
        vectors=None if log is None else (log.total, len(log.requests)),
        populations=requests.populations,
        notes=_notes(found, requests, log, window),
    )


def _read_online(
    store: "FeatureStore",
    service: ServedService,
    requests: Requests,
    lags: Mapping[str, timedelta],
    thresholds: SkewThresholds,
) -> tuple[FeatureSkew, ...]:
    """Compare both sides, and again if they differ: a window may just have been written."""
    answers = served_online(store, service, requests)
    first = Sides(store, service, requests, answers, "online", lags)
    judged = first.judged(thresholds)
    if not any(each.verdict in ("warn", "drift") for each in judged):
        return judged
    # The materialized windows may have changed too.
    again = served_service(store, service.name)
    requests = replace(requests, moments=(datetime.now(UTC),) * len(requests))
    answers = served_online(store, again, requests)
    second = Sides(store, again, requests, answers, "online", lags, first)
    return second.judged(thresholds)


def _notes(
    service: ServedService, requests: Requests, log: Log | None, window: Window
) -> tuple[str, ...]:
    notes = []
    if requests.made_up:
        names = ", ".join(service.request_schema)
        notes.append(f"request data ({names}) was drawn by type; both sides got the same")
    if log is not None and log.total:
        taken = len(log.requests)
        notes.append(f"{taken:,} of {log.total:,} vectors logged in {window} were compared")
    elif log is not None:
        why = f" ({log.problem})" if log.problem else ""
        notes.append(f"the log holds no vector of {window}{why}")
    return tuple(notes)
