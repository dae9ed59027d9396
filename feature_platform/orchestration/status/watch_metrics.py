"""Whether those who watch do their work: ticks of sensors and schedules, and delivery of alerts."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus, TickStatus
from prometheus_client.core import Metric

from feature_platform.alerts.desk import LOOKED_AT
from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import utc
from feature_platform.alerts.outbox import Outbox
from feature_platform.orchestration.status.gauges import counter, gauge
from feature_platform.orchestration.watch.newest_ticks import newest_tick
from feature_platform.orchestration.watch.ticking import Ticking

_DAY = timedelta(days=1)


def tick_metrics(
    project: str, instance: dg.DagsterInstance, ticking: Sequence[Ticking], now: datetime
) -> Iterator[Metric]:
    """Failed ticks of the sensors and schedules in `ticking`."""
    failed = gauge(
        "failed_ticks",
        "Ticks of a sensor or schedule that failed in a row, the newest last; 0 when it is "
        "well. One that is off, or a sensor that has not ticked for a day, has none.",
        *("name", "kind"),
    )
    if instance.schedule_storage is None:
        return  # an instance in memory, which no daemon ticks for
    kinds = {each.name: each.kind for each in ticking}
    counts: dict[str, int] = {}
    for state in instance.all_instigator_state():
        name = state.instigator_name
        if name not in kinds or state.status == InstigatorStatus.STOPPED:
            continue
        tick = newest_tick(instance, state)
        # The state of a sensor that is off by its definition does not say so.
        if tick is None or (kinds[name] == "sensor" and now - utc(tick.timestamp) > _DAY):
            continue
        bad = tick.status == TickStatus.FAILURE
        count = max(1, tick.consecutive_failure_count) if bad else 0
        counts[name] = max(count, counts.get(name, 0))
    for name, count in counts.items():
        failed.add_metric([project, name, kinds[name]], count)
    yield failed


def alert_metrics(
    project: str, state_file: Path, channels: Collection[str] | None = None
) -> Iterator[Metric]:
    """Open incidents, and messages that are sent or wait, as the alert sensor's file has them.

    A channel that is not in `channels` is told only while messages wait for it; None tells all.
    """
    opened = gauge("incidents_open", "Incidents that are open.", "kind", "severity")
    pending = gauge("alerts_pending", "Messages that are not out yet.", "channel")
    failing = gauge("alert_channel_failing", "Whether a channel takes no messages.", "channel")
    looked = gauge("alerts_looked_timestamp_seconds", "When the alert sensor last looked.")
    sent = counter("alerts_sent", "Messages that are out.", "project", "channel", "kind")
    with open_ledger(state_file) as ledger:
        state = Outbox(ledger).state()
        incidents = ledger.open_incidents()
        looked_at = ledger.position(LOOKED_AT)
    if looked_at is not None:
        looked.add_metric([project], looked_at)
    counts = Counter((each.condition.kind, each.severity) for each in incidents)
    for labels, count in counts.items():
        opened.add_metric([project, *labels], count)
    used = {channel for channel, _ in state.sent}
    waiting = {channel for channel, count in state.pending.items() if count}
    known = used | state.pending.keys() | state.failing.keys()
    shown = known if channels is None else known & (waiting | set(channels))
    for channel in sorted(shown):
        pending.add_metric([project, channel], state.pending.get(channel, 0))
        failing.add_metric([project, channel], channel in state.failing)
    for (channel, kind), count in state.sent.items():
        if channel in shown:
            sent.add_metric([project, channel, kind], count)
    yield from (opened, pending, failing, looked, sent)
