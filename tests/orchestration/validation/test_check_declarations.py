"""Every check that a repo gets is declared once, and what lists checks reads the declarations."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from feature_platform.orchestration.alerting.alert_sensor import watch
from feature_platform.orchestration.graph.translator import DagsterFeastTranslator
from feature_platform.orchestration.validation.check_declarations import CHECKS, FRESH, ONLINE
from feature_platform.orchestration.watch.automation_settings import AutomationSettings

if TYPE_CHECKING:
    from worlds.samples import Sample


def test_every_check_of_a_repo_is_declared(make_sample: Callable[..., "Sample"]):
    sample = make_sample("on_demand")
    definitions = sample.definitions(automation=AutomationSettings())
    folders = {
        "registry": "registry",
        "sources": "source",
        "feature_views": "feature_view",
        "drift": "drift",
        "skew": "skew",
    }
    found: set[str] = set()
    for each in (*definitions.assets, *definitions.asset_checks):
        for spec in each.check_specs if isinstance(each, dg.AssetsDefinition) else ():
            kind = folders[spec.asset_key.path[1]]
            declared = {check.name: check for check in CHECKS[kind]}
            if spec.name in declared:
                assert spec.blocking == declared[spec.name].blocking
                found.add(spec.name)
            else:  # of one feature
                assert any(check.per_feature for check in declared.values()), spec
    assert {"registry_matches_repo", "schema", "drift", "skew", ONLINE.name, FRESH.name} <= found


def test_names_of_an_asset_s_checks_differ():
    for declared in CHECKS.values():
        names = [each.name for each in declared]
        assert len(set(names)) == len(names)


def test_alerts_get_the_remedy_of_each_check_with_the_asset(make_sample: Callable[..., "Sample"]):
    sample = make_sample("on_demand")
    definitions = sample.definitions(automation=AutomationSettings())
    watched = watch(
        sample.graph, DagsterFeastTranslator(), definitions.assets, definitions.asset_checks
    )
    of_view = watched.subjects["/".join(sample.key("feature_views/place_stats").path)].remedies
    assert (of_view[ONLINE.name].command, of_view[FRESH.name].stale) == ("rebuild-online", True)
    of_drift = watched.subjects["/".join(sample.key("drift/place_stats").path)].remedies
    assert {each.page for each in of_drift.values()} == {"drift.md"}
    assert len(of_drift) > 1
