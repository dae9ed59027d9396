"""The Dagster resources of table builders."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from feature_platform.errors import MissingPackageError
from feature_platform.repo.project import FeastProject
from feature_platform.sources.sql.sql_warehouse import BuildResource
from feature_platform.tables.table_builders import TableBuilder


def builder_resources(project: FeastProject, builder: TableBuilder | None) -> Mapping[str, Any]:
    """The resources of a project's table builder, by key.

    Raises:
        MissingPackageError: The package that has a resource is not installed.
    """
    resources = builder.resources if builder else {}
    return {key: _created(project, resource) for key, resource in resources.items()}


def _created(project: FeastProject, resource: BuildResource) -> Any:
    try:
        module = import_module(resource.module)
    except ImportError as error:
        raise MissingPackageError(
            f"configuration '{project.config_path.name}'",
            f"building source tables needs the package {resource.package}, which is not installed",
            f"pip install 'feature-platform[{resource.extra}]'",
        ) from error
    return getattr(module, resource.name)(**resource.arguments)
