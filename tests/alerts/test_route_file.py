"""A route file that is wrong is refused at start-up, with its line and what to do."""

import os
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from worlds.places import ROOT

from feature_platform.alerts.channels.webhook import WebhookChannel
from feature_platform.alerts.route_file import load_alerts
from feature_platform.errors import AlertError

SECRET = "s3cr3t-value-91"  # noqa: S105  of nothing
ENVIRONMENT = {
    "KEY": SECRET,
    "SLACK_URL": "https://hooks.example.com/services/T0/B0/s3cr3t-value-91",
    "FTP": "ftp://s3cr3t-value-91.example.com",
    "EMPTY": "  ",
    "SHORT": "abc1234",
}
GOOD = """\
ui: https://dagster.example.com
runbooks: https://wiki.example.com/runbooks
state: state/alerts.sqlite  # beside this file
channels:
  team: {type: slack, url_env: SLACK_URL}
  page: {type: pagerduty, routing_key_env: KEY}
  hook: {type: webhook, url: https://hooks.example.com/x, secret_env: KEY}
  quiet: {type: log}
routes:
  - match: {severity: error, tag: {tier: [gold, silver]}}
    to: [page, team]
    suppress: 30m
  - match:
      owner: "team:risk"
      hours: 08:00-24:00
      days: mon-fri
      timezone: Europe/Berlin
    to: team
    group: {by: [owner, kind], wait: 90s}
    continue: true
  - to: log
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_taken_as_it_is(tmp_path: Path):
    plan = load_alerts(write(tmp_path, GOOD), ENVIRONMENT)
    assert set(plan.channels) == {"team", "page", "hook", "quiet", "log"}
    assert [route.to for _, route in plan.routes] == [("page", "team"), ("team",), ("log",)]
    (_, first), (line, second), _ = plan.routes
    assert first.suppress.total_seconds() == 1800
    assert second.group is not None
    assert second.group.wait.total_seconds() == 90
    assert second.go_on
    assert line == 13
    assert plan.places.runbooks == "https://wiki.example.com/runbooks"
    assert plan.every.total_seconds() == 30
    assert plan.state == tmp_path / "state" / "alerts.sqlite"


def test_secrets_come_from_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    channel = load_alerts(write(tmp_path, GOOD)).channels["hook"]
    assert isinstance(channel, WebhookChannel)
    assert channel.secret.get_secret_value() == os.environ["KEY"]


WRONG = [
    ("ui: https://dagster", "uii: https://dagster", 1, "unknown field 'uii'.*did you mean 'ui'"),
    ("ui: https://dagster", "ui: dagster", 1, "is 'dagster.example.com'.*https://host"),
    ("ui: https://", "ui: http://", 1, "not encrypted.*use https"),
    ("ui: https://", "ui: https://me:pw@", 1, "credentials in it"),
    ("ui: https://", f"ui: ftp://me:{SECRET}@", 1, "credentials in it"),
    ("wiki.example.com/r", "wiki.example.com:x/r", 2, "is not an address"),
    ("state: state/", "every: soon\nstate: state/", 3, "every is 'soon'.*90s"),
    ("type: slack", "type: slak", 5, "channels.team.type is 'slak'.*did you mean 'slack'"),
    ("team: {type: slack, ", "team: {", 5, "channels.team lacks 'type'.*slack"),
    ("  team:", "  our team:", 5, "odd name"),
    ("url_env: SLACK_URL", "url: https://hooks.example.com", 5, "address is a secret.*url_env"),
    ("url_env: SLACK_URL", "url_env: NOT_THERE", 5, "names NOT_THERE.*set NOT_THERE"),
    ("url_env: SLACK_URL", "url_env: EMPTY", 5, "names EMPTY"),
    ("url_env: SLACK_URL", "url_env: FTP", 5, "is not an address"),
    ("url_env: SLACK_URL", f"url_env: https://{SECRET}", 5, "not the name of an environment"),
    (", routing_key_env: KEY", "", 6, "channels.page lacks 'routing_key_env'"),
    ("routing_key_env: KEY", f"routing_key: {SECRET}", 6, "unknown field 'routing_key'"),
    ("_key_env: KEY", "_key_env: KEY, url: 'http://127.0.0.1'", 6, "not encrypted; use https$"),
    ("secret_env: KEY", "secret_env: SHORT", 7, "fewer than 8 characters; set SHORT"),
    ("secret_env: KEY", f"secret: {SECRET}", 7, "did you mean 'secret_env'"),
    ("url: https://hooks.example.com/x, ", "", 7, "one of 'url' and 'url_env'"),
    ("hooks.example.com/x", "", 7, "is 'https://', which is not an address"),
    ("  hook:", "  page:", 7, "'page' stands twice"),
    ("type: log}", "type: log, level: info}", 8, "unknown field 'level'"),
    (
        "to: [page, team]",
        "to: [page, tema]",
        11,
        r"to\[1\] is 'tema'.*did you mean 'team'",
    ),
    ("to: [page, team]", "to: []", 11, "is empty.*name a channel"),
    ("suppress: 30m", "suppress: 30", 12, "suppress is 30.*90s, 5m"),
    ("severity: error", "severity: critical", 10, "is 'critical'.*warn, error"),
    ("severity: error", "kind: [tick, missed]", 10, "is 'missed'.*gave_up, rebuild, tick"),
    ("tag: {tier: [gold, silver]}", "tag: tier=gold", 10, "match.tag is not a mapping"),
    ("suppress: 30m", "group: {by: owner}", 12, "takes one incident at a time; remove it"),
    ("08:00-24:00", "8-18", 15, "is '8-18'.*08:00-18:00"),
    ("08:00-24:00", "08:00-24:30", 15, "is '08:00-24:30'"),
    ("08:00-24:00", "08:00-08:00", 15, "is '08:00-08:00'"),
    ("days: mon-fri", "days: mon-fry", 16, "is 'mon-fry'.*mon-fri"),
    ("Europe/Berlin", "Europe/Bonn", 17, "is 'Europe/Bonn'.*no time zone"),
    ("Europe/Berlin", "../../etc/passwd", 17, "no time zone"),
    ("by: [owner, kind]", "by: [owner, team]", 19, "is 'team'"),
    ("wait: 90s", "wait: -1s", 19, "is '-1s'"),
    ("continue: true", "continue: maybe", 20, "is 'maybe'.*true or false"),
    ("    to: team\n", "", 13, r"routes\[1\] lacks 'to'"),
    ("  - to: log", "  - log", 21, r"routes\[2\] is not a mapping"),
    ("  - to: log", "  - to: [log", 22, "is not plain YAML"),
    ("type: log}", "type: !!python/name:os.system}", 8, "is not plain YAML"),
    ("{type: log}", f"[{SECRET}}}", 8, "is not plain YAML"),
    ("{type: log}", SECRET, 8, "channels.quiet is not a mapping"),
    ("{type: log}", f"{{type: [{SECRET}]}}", 8, "quiet.type is not a single value.*webhook, log"),
    ("{type: log}", "\n    url_env: FTP\n    type: slak", 10, "quiet.type is 'slak'"),
    ("url_env: SLACK_URL", f"url_env: [{SECRET}]", 5, "not the name of an environment"),
]


@pytest.mark.parametrize(("good", "bad", "line", "said"), WRONG)
def test_a_mistake_is_named_with_its_line_and_remedy(
    good: str, bad: str, line: int, said: str, tmp_path: Path
):
    assert good in GOOD
    path = write(tmp_path, GOOD.replace(good, bad, 1))
    with pytest.raises(AlertError, match=said) as caught:
        load_alerts(path, ENVIRONMENT)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def refusal(path: Path) -> str:
    """The error of a route file, if it has one."""
    try:
        load_alerts(path, ENVIRONMENT)
    except AlertError as error:
        return str(error)
    return ""


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = enumerate(content) if isinstance(content, list) else getattr(content, "items", tuple)()
    for name, value in pairs:
        yield (*place, name)
        yield from places(value, (*place, name))


@pytest.mark.parametrize("place", places(yaml.safe_load(GOOD)), ids=str)
def test_whatever_stands_in_a_place_is_taken_or_named_with_its_line(
    place: tuple[Any, ...], tmp_path: Path
):
    for value in (None, 1, True, "", "odd", [], ["odd"], [None], {}, {"odd": ["odd"]}, [[{}]]):
        content: Any = yaml.safe_load(GOOD)
        parent = content
        for name in place[:-1]:
            parent = parent[name]
        parent[place[-1]] = value
        path = write(tmp_path, yaml.safe_dump(content))
        said = refusal(path) or f"{path}:1: none"
        assert re.match(rf"{re.escape(str(path))}:[1-9][0-9]*: [^:]", said)
        assert SECRET not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("channels: {}\n", "lacks 'routes'"),
        ("- a\n- b\n", "the file is not a mapping"),
        ("routes: \x00\n", "is not plain YAML"),
        ("routes: &all [*all]\n", "is not a mapping"),
        ("routes: {to: log, match: &m {tag: *m}}\n", "is not a text"),
    ],
)
def test_a_file_that_is_no_route_file_is_refused(text: str, said: str, tmp_path: Path):
    with pytest.raises(AlertError, match=said):
        load_alerts(write(tmp_path, text), {})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(AlertError, match=r"none\.yaml: cannot be read: No such file"):
        load_alerts(tmp_path / "none.yaml", {})
    with pytest.raises(AlertError, match="cannot be read: Is a directory"):
        load_alerts(tmp_path, {})
    (tmp_path / "latin.yaml").write_bytes(b"ui: \xe9")
    with pytest.raises(AlertError, match="not UTF-8"):
        load_alerts(tmp_path / "latin.yaml", {})


@pytest.mark.parametrize(("module", "line"), [("slack_sdk", 5), ("pagerduty", 6)])
def test_a_client_that_is_not_installed_is_named_with_its_extra(
    module: str, line: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import sys

    from feature_platform.errors import MissingPackageError

    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.webhook", None)
    with pytest.raises(MissingPackageError, match=rf":{line}: .*\[alerts\]"):
        load_alerts(write(tmp_path, GOOD), ENVIRONMENT)


@pytest.mark.parametrize(
    ("page", "routes", "channels"),
    [
        ("README.md", 2, {"on-call", "log"}),
        ("docs/alerts.md", 3, {"on-call", "ml-team", "audit", "log"}),
    ],
)
def test_the_examples_in_the_documents_are_some(
    tmp_path: Path, page: str, routes: int, channels: set[str]
):
    text = (ROOT / page).read_text()
    [example] = [part for part in text.split("```yaml\n") if part.startswith("# alerts.yaml")]
    environment = {
        "PAGERDUTY_ROUTING_KEY": "a-routing-key",
        "SLACK_WEBHOOK_URL": "https://hooks.example.com/x",
        "AUDIT_SIGNING_KEY": "a-signing-key",
    }
    plan = load_alerts(write(tmp_path, example.split("```")[0]), environment)
    assert len(plan.routes) == routes
    assert set(plan.channels) == channels
