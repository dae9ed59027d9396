"""A desk of alerts whose clock the test moves, and route files that lead to the receiver."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from worlds.stand_ins.alert_receiver import Receiver

from feature_platform.alerts.desk import AlertDesk, Delivered
from feature_platform.alerts.incident_ledger import open_ledger
from feature_platform.alerts.messages.incidents import WHOLE, Condition, Evidence, Finding, Subject
from feature_platform.alerts.route_file import load_alerts
from feature_platform.orchestration.validation.check_declarations import CHECKS, remedies

NOON = datetime(2026, 3, 11, 12, tzinfo=UTC)  # a Wednesday
SECRETS = {
    "HOOK_KEY": "hook-key-5f0c1d",
    "PAGER_KEY": "pager-key-77ab93",
    "OTHER_KEY": "other-key-1b2c3d",
}


@dataclass
class Desk:
    """The alerts of a project with a few assets, opened anew for each call, as ticks do."""

    routes: Path
    state: Path
    subjects: Mapping[str, Subject]
    secrets: dict[str, str]
    now: datetime = NOON
    events: int = 0
    settles: bool = True  # whether events that were read count as never read again

    def see(
        self,
        asset: str,
        *,
        bad: bool,
        check: str = "schema",
        kind: str = "check",
        scopes: Mapping[str, bool] | None = None,
        **more: Any,
    ) -> Finding:
        """A new event about one of the assets, taken in and told."""
        self.events += 1
        condition = Condition("check", check) if kind == "check" else Condition(kind)  # type: ignore[arg-type]
        evidence = Evidence("null_rate 0.31 > 0.05", "0.31", "0.05", blocking=True)
        finding = Finding(
            **{
                "asset": f"fraud/{asset}",
                "condition": condition,
                "event": self.events,
                "at": self.now,
                "scopes": scopes or {WHOLE: bad},
                "severity": "error",
                "evidence": evidence,
                "clears": scopes is None and not bad,
                **more,
            }
        )
        self.tick(finding)
        return finding

    def tick(self, *findings: Finding, wait: timedelta = timedelta()) -> Delivered:
        self.now += wait
        with self.opened() as desk:
            desk.take_in(
                findings,
                {"events": self.events},
                self.now,
                settled=self.events if self.settles else -1,
            )
            return desk.deliver(lambda: self.now)

    def opened(self) -> Any:
        return _open(self)


class _open:  # noqa: N801  a context manager
    def __init__(self, desk: Desk) -> None:
        plan = load_alerts(desk.routes, desk.secrets)
        self.ledger = open_ledger(desk.state)
        self.make = lambda ledger: AlertDesk(
            plan, desk.subjects, ledger, logging.getLogger("tests.alerts")
        )

    def __enter__(self) -> AlertDesk:
        return self.make(self.ledger.__enter__())

    def __exit__(self, *error: object) -> None:
        self.ledger.__exit__(*error)


SUBJECTS = {
    each.asset: each
    for each in (
        Subject(
            "fraud/sources/clicks",
            "fraud",
            "source",
            "clicks",
            owners=("team:risk",),
            tags={"tier": "gold"},
            views=("activity",),
            partition=timedelta(days=1),
        ),
        Subject(
            "fraud/feature_views/activity",
            "fraud",
            "feature_view",
            "activity",
            owners=("team:risk", "ann@example.com"),
            tags={"tier": "gold"},
            views=("activity",),
            partition=timedelta(days=1),
            upstream=("fraud/sources/clicks", "fraud/registry"),
            profile="gcp",
            remedies=remedies("feature_view", [each.name for each in CHECKS["feature_view"]]),
        ),
        Subject("fraud/registry", "fraud", "registry", "registry"),
        *(
            Subject(f"fraud/feature_views/v{n}", "fraud", "feature_view", f"v{n}", ("team:ml",))
            for n in range(20)
        ),
    )
}


@pytest.fixture
def make_desk(tmp_path: Path, receiver: Receiver) -> Callable[[str], Desk]:
    """A desk with these routes; ``hook``, ``other``, ``pager`` are channels on the receiver."""

    def make(routes: str, head: str = "") -> Desk:
        path = tmp_path / "alerts.yaml"
        path.write_text(
            f"{head}\n"
            "channels:\n"
            f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: HOOK_KEY}}\n"
            f"  other: {{type: webhook, url: '{receiver.url}/other', secret_env: OTHER_KEY}}\n"
            f"  pager: {{type: pagerduty, url: '{receiver.tls}', routing_key_env: PAGER_KEY}}\n"
            f"routes:\n{routes}\n"
        )
        return Desk(path, tmp_path / "alerts.sqlite", SUBJECTS, dict(SECRETS))

    return make


@pytest.fixture
def write_routes(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Path]:
    """A route file of one rule; ``hook`` is a channel on the receiver."""

    def write(rule: str) -> Path:
        monkeypatch.setenv("HOOK_KEY", SECRETS["HOOK_KEY"])
        path = tmp_path / "alerts.yaml"
        path.write_text(
            "ui: https://dagster.example.com\n"
            "channels:\n"
            f"  hook: {{type: webhook, url: '{receiver.url}/hook', secret_env: HOOK_KEY}}\n"
            f"routes:\n  - {rule}\n"
        )
        return path

    return write
