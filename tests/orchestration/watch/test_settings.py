"""Settings from YAML, and what is not one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from worlds.automation.shop import ONE, Shop

from feature_platform.errors import RepoError
from feature_platform.orchestration.repairs.automated_project import AutomatedProject
from feature_platform.orchestration.repairs.conditions import follow_upstream
from feature_platform.orchestration.repairs.project_sensor import ProjectSensor, SensorTick
from feature_platform.orchestration.watch.automation_settings import AutomationSettings


def test_settings_are_said_by_name_with_times_as_people_write_them():
    said = {"gap": False, "tries": 5, "grace": "2h", "scan_seconds": 1, "running": True}
    assert AutomationSettings.parse(said) == AutomationSettings(
        gap=False, tries=5, grace=timedelta(hours=2), scan_seconds=1, running=True
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"gaps": True}, "did you mean 'gap'"),
        ({"tries": "three"}, "tries is 'three'"),
        ({"tries": True}, "tries is True"),
        ({"grace": "soon"}, "grace is 'soon'; use seconds, minutes, hours or days: 90s, 5m"),
        ({"runs_a_tick": 0}, "runs_a_tick is 0"),
        ({"condition": "eager"}, "condition cannot be written in YAML"),
        ({"tried": 3}, "has the unknown field 'tried'; did you mean 'tries'"),
    ],
)
def test_what_is_no_setting_is_refused_with_what_would_be(said: dict[str, object], message: str):
    with pytest.raises(RepoError, match=message):
        AutomationSettings.parse(said)


def test_each_repair_has_a_sensor_that_can_be_left_out(make_shop: Callable[..., Shop]):
    shop = make_shop(ONE, 0)

    def names(**settings: bool) -> set[str]:
        defs = shop.sample.definitions(automation=AutomationSettings(**settings))
        return {sensor.name for sensor in defs.sensors or ()}

    everything = {"source_changed", "definition_changed", "gap", "freshness", "online"}
    assert names() == {f"weather_{each}" for each in everything}
    assert names(gap=False, freshness=False, online=False) == {
        "weather_source_changed",
        "weather_definition_changed",
    }


def test_a_sensor_is_one_declaration(make_shop: Callable[..., Shop]):
    @dataclass(frozen=True, kw_only=True)
    class Tea(SensorTick):
        text: str

        def __str__(self) -> str:
            return self.text

    def tick(
        project: AutomatedProject, _: dg.DagsterInstance, cursor: str | None, now: datetime
    ) -> Tea:
        return Tea(cursor="", text=f"{project.name} at {now:%Y}, after {cursor}")

    shop = make_shop(ONE, 0)
    declared = ProjectSensor("tea", "Looks whether there is tea.", tick)
    assert declared.applies_to(shop.automated)
    assert not replace(declared, needs_training_sets=True).applies_to(shop.automated)
    sensor = declared.build(shop.automated)
    assert (sensor.name, sensor.description) == ("weather_tea", "Looks whether there is tea.")
    context = dg.build_sensor_context(instance=shop.instance, cursor="the first cup")
    found = sensor.evaluate_tick(context)
    year = datetime.now(UTC).year
    assert (found.skip_message, found.cursor) == (f"weather at {year}, after the first cup", "")


def test_a_condition_follows_upstream_changes_of_windows_that_were_there(
    make_shop: Callable[..., Shop],
):
    shop = make_shop(ONE.replace("orders, 10)", "orders, 1000)"), 3)
    defs = shop.sample.definitions(automation=AutomationSettings(condition=follow_upstream()))
    view = shop.sample.key("feature_views/only")
    now = datetime(2026, 3, 5, tzinfo=UTC)

    def requested(cursor: object = None) -> tuple[set[str], object]:
        result = dg.evaluate_automation_conditions(
            defs=defs,
            instance=shop.instance,
            cursor=cursor,  # type: ignore[arg-type]
            evaluation_time=now,
        )
        return result.get_requested_partitions(view), result.cursor

    _, cursor = requested()
    shop.materialize(0, 1, "only")
    _, cursor = requested(cursor)
    shop.write(1, orders=9)
    assert shop.sample.run("sources/orders", partition="2026-03-02").success
    found, cursor = requested(cursor)
    assert found == {"2026-03-02"}
    # A day whose checks fail is left alone.
    (shop.sample.repo / "data/orders/000-again.parquet").write_bytes(
        (shop.sample.repo / "data/orders/000.parquet").read_bytes()
    )
    shop.sample.run("sources/orders", partition="2026-03-01")
    found, _ = requested(cursor)
    assert found == set()
