"""The executor: one process per step, forked from a server that has imported everything once."""

import os
from typing import Any

import dagster as dg
from dagster import multiple_process_executor_requirements

# A name, not an import: the module imports what stands above this one.
PRELOADED = "feature_platform.orchestration.assets.preload"
LOCATION = "FEATURE_PLATFORM_CODE_LOCATION"
"""The environment variable that tells `PRELOADED` the module of the code location."""


@dg.executor(
    name="multiprocess_preloaded",
    config_schema=dg.multiprocess_executor.config_schema.as_field(),
    requirements=multiple_process_executor_requirements(),
)
def preloaded_executor(init_context: dg.InitExecutorContext) -> Any:
    """Dagster's multiprocess executor on a fork server that has imported the code location.

    Takes the configuration of ``multiprocess_executor``, whose ``start_method`` takes precedence.
    """
    config = dict(init_context.executor_config)
    if "start_method" not in config:
        job: Any = init_context.job
        location = job.get_module() if hasattr(job, "get_module") else None
        # An exception in a module that the server itself imports would end the server, so
        # PRELOADED imports the code location too, and survives it.
        os.environ[LOCATION] = location or ""
        config["start_method"] = {"forkserver": {"preload_modules": [PRELOADED]}}
    create = dg.multiprocess_executor.executor_creation_fn
    assert create is not None  # noqa: S101 - Dagster's own executor has one
    return create(init_context._replace(executor_config=config))
