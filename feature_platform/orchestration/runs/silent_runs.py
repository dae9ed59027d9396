"""Runs whose steps print nothing, for commands with output of their own."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import dagster as dg

from feature_platform.orchestration.builder import build_feast_definitions
from feature_platform.orchestration.code_location import FeastCodeLocation


@dg.logger(config_schema=None, description="Prints nothing.")
def silent_logger(init_context: dg.InitLoggerContext) -> logging.Logger:
    """A console logger that drops every record."""
    del init_context
    logger = logging.Logger("silent")  # noqa: LOG001 - belongs to one run, not to the process
    logger.addHandler(logging.NullHandler())
    return logger


class SilentRuns:
    """Runs of a project's assets in this process, recorded in a folder of their own.

    Args:
        location: The project.
        folder: Where Dagster keeps the runs and what they write; it must exist.
    """

    def __init__(self, location: FeastCodeLocation, folder: Path) -> None:
        self._definitions = build_feast_definitions(
            **location.arguments(schedules=False, retry_policy=None)
        )
        silence = {"telemetry": {"enabled": False}}
        self._instance = dg.DagsterInstance.local_temp(str(folder), silence)

    def __enter__(self) -> Self:
        self._instance.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._instance.__exit__(None, None, None)

    def materialize(self, key: Sequence[str], first: str, last: str) -> None:
        """Materialize one asset from partition `first` to `last`, in one run."""
        selection = dg.AssetSelection.assets(dg.AssetKey(key))
        job = dg.Definitions.merge(
            self._definitions,
            dg.Definitions(
                jobs=[dg.define_asset_job("silent", selection)],
                loggers={"console": silent_logger},
            ),
        ).resolve_job_def("silent")
        job.execute_in_process(
            instance=self._instance,
            run_config={"loggers": {"console": {}}},
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
            },
        )

    def report(self, key: Sequence[str], partition: str) -> Path:
        """The path of the page that an asset wrote for a partition."""
        folder = Path(self._instance.storage_directory()).joinpath("reports", *key)
        return folder / f"{partition}.html"
