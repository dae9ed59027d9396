"""What steps import: imported once per run, in the server that step processes are forked from.

Feast and Great Expectations take seconds to import each; a forked step pays for neither.
"""

import duckdb  # noqa: F401
import feast  # noqa: F401

import feature_platform.drift.drift_judge
import feature_platform.materialize.materialize_window
import feature_platform.materialize.read_back
import feature_platform.orchestration.validation.source_validator
import feature_platform.registry.registry_apply
import feature_platform.reports.drift_page
import feature_platform.skew.service_skew  # noqa: F401
from feature_platform.orchestration.validation.gx import import_great_expectations

import_great_expectations()
