"""Sensors that start no run: they look, and put on record what they see."""

from collections.abc import Callable

import dagster as dg

from feature_platform.errors import FeaturePlatformError
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.watch.automation_settings import AutomationSettings
from feature_platform.orchestration.watch.newest_ticks import cursor_of


def build_watching_sensor(
    project: str,
    name: str,
    description: str,
    settings: AutomationSettings,
    look: Callable[[dg.DagsterInstance, str | None], tuple[str, str]],
) -> dg.SensorDefinition:
    """A sensor of one project that starts no run.

    Args:
        project: Feast's name of the project.
        name: What the sensor is called after it.
        description: What it does.
        settings: How often, and whether it is on.
        look: Looks, from the cursor on that the look before left, and returns the next one and
            what it came to. Where it fails as it may, the cursor stays as it is.
    """
    status = dg.DefaultSensorStatus

    @dg.sensor(
        name=f"{op_name(dg.AssetKey(project))}_{name}",
        minimum_interval_seconds=settings.every_seconds,
        default_status=status.RUNNING if settings.running else status.STOPPED,
        description=description,
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        cursor = cursor_of(context)
        try:
            cursor, said = look(context.instance, cursor)
        except FeaturePlatformError as error:
            said = str(error)
        context.update_cursor(cursor)
        return dg.SkipReason(said)

    return watch
