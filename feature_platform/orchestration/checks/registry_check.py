"""Check of the registry: it holds what the repo defines."""

import dagster as dg

from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.graph.translator_data import RegistryData


def build_registry_check(
    data: RegistryData, translator: DagsterFeastTranslator
) -> dg.AssetChecksDefinition:
    """A check that a new plan against the registry is empty."""
    project = data.project

    @dg.asset_check(
        name="registry_matches_repo",
        asset=translator.key_of(data),
        description="Nothing in the repo differs from what the registry holds.",
    )
    def registry_matches_repo() -> dg.AssetCheckResult:
        from feature_platform.registry.registry_apply import plan

        with one_line_failures():
            change = plan(project.store(), project.contents)
        changed = [*change.added, *change.updated, *change.deleted]
        return dg.AssetCheckResult(
            passed=not changed,
            description=f"differs in {', '.join(changed)}" if changed else "nothing differs",
        )

    return registry_matches_repo
