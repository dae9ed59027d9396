"""Sensors that start no run, but record what they observe."""

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

    `look` is called with the instance and the last cursor, and returns the next cursor and the
    result as a sentence. After a FeaturePlatformError the cursor stays.
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
            cursor, result = look(context.instance, cursor)
        except FeaturePlatformError as error:
            result = str(error)
        context.update_cursor(cursor)
        return dg.SkipReason(result)

    return watch
