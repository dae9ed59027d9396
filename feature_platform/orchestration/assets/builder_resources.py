"""The Dagster resources of table builders."""

from collections.abc import Mapping
from typing import Any

from feature_platform.errors import MissingPackageError
from feature_platform.repo.project import FeastProject
from feature_platform.tables.table_builders import TableBuilder


def builder_resources(project: FeastProject, builder: TableBuilder | None) -> Mapping[str, Any]:
    """The resources of a project's table builder, by key.

    Raises:
        MissingPackageError: BigQuery builds the tables, and dagster-gcp is not installed.
    """
    if builder is None or "bigquery" not in builder.resources:
        return {}
    try:
        from dagster_gcp import BigQueryResource
    except ImportError as error:
        raise MissingPackageError(
            f"configuration '{project.config_path.name}'",
            "building source tables in BigQuery needs the package dagster-gcp, "
            "which is not installed",
            "pip install 'feature-platform[gcp]'",
        ) from error
    store = project.config.offline_store
    return {"bigquery": BigQueryResource(project=store.project_id, location=store.location)}
