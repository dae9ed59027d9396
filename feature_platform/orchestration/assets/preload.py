"""What steps import: imported once per run, in the server that step processes are forked from.

Feast and Great Expectations take seconds to import each; a forked step pays for neither. An import
that fails here costs that speed alone: the server that is imported by it would be lost with the
run. Run as a program, it prints what fails, as JSON.
"""

import json
import os
import sys

from feature_platform.core.guarded_imports import broken_extras, import_problem
from feature_platform.orchestration.graph.executor import LOCATION

_MODULES = (
    "duckdb",
    "feast",
    "feature_platform.drift.drift_judge",
    "feature_platform.materialize.materialize_window",
    "feature_platform.materialize.read_back",
    "feature_platform.orchestration.validation.source_validator",
    "feature_platform.registry.registry_apply",
    "feature_platform.reports.drift_page",
    "feature_platform.skew.service_skew",
)


def _imported() -> dict[str, str]:
    """Import everything; from what cannot be imported to why not."""
    names = [*_MODULES, *filter(None, [os.environ.get(LOCATION)])]
    found = {name: import_problem(name) for name in names}
    try:
        from feature_platform.orchestration.validation.gx import import_great_expectations

        import_great_expectations()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - as any import
        found["great_expectations"] = f"{type(error).__name__}: {error}"
    return {name: why for name, why in found.items() if why}


problems = _imported()
"""From a module that cannot be imported to why not."""

if __name__ == "__main__":
    sys.stdout.write(json.dumps({"problems": problems, "left_out": broken_extras()}))
else:
    for module, why in problems.items():
        sys.stderr.write(f"feature_platform: {module} cannot be imported ahead of steps: {why}\n")
