"""The check that the registry holds what the repo defines."""

from collections.abc import Iterator

import dagster as dg

from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import RegistryData
from feature_platform.orchestration.validation.check_declarations import REGISTRY


def build_registry_check(data: RegistryData, key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that a new plan against the registry is empty."""
    project = data.project

    @dg.multi_asset_check(name=f"{op_name(key)}_{REGISTRY.name}", specs=[REGISTRY.spec(key)])
    def registry_matches_repo() -> Iterator[dg.AssetCheckResult]:
        from feature_platform.registry.registry_apply import plan

        with one_line_failures():
            change = plan(project.store(), project.contents)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=REGISTRY.name,
            passed=not change,
            description=f"applying the repo {change.in_words}" if change else "nothing differs",
        )

    return registry_matches_repo
