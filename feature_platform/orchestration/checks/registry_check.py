"""The checks of the registry: it holds what the repo defines, and nothing that serves nulls."""

from collections.abc import Iterator

import dagster as dg

from feature_platform.orchestration.graph.retries import one_line_failures
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.orchestration.graph.translator_data import RegistryData
from feature_platform.orchestration.validation.check_declarations import FILLED, REGISTRY
from feature_platform.registry.registrable import FILL, why_not_filled


def build_registry_check(data: RegistryData, key: dg.AssetKey) -> dg.AssetChecksDefinition:
    """A check that a new plan against the registry is empty.

    A repo with on-demand views that are read from the online store has a second check, which fails
    because of them.
    """
    project = data.project
    views = project.contents.on_demand_feature_views
    unfilled = {str(view.name): why for view in views if (why := why_not_filled(view))}
    declared = [REGISTRY, FILLED] if unfilled else [REGISTRY]

    @dg.multi_asset_check(
        name=f"{op_name(key)}_{REGISTRY.name}", specs=[each.spec(key) for each in declared]
    )
    def registry_checks() -> Iterator[dg.AssetCheckResult]:
        from feature_platform.registry.registry_apply import plan

        with one_line_failures():
            change = plan(project.store(), project.contents)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=REGISTRY.name,
            passed=not change,
            description=f"applying the repo {change.in_words}" if change else "nothing differs",
        )
        if unfilled:
            told = [f"on-demand feature view '{name}': {why}" for name, why in unfilled.items()]
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=FILLED.name,
                passed=False,
                description=f"{'; '.join(told)}; {FILL}",
            )

    return registry_checks
