"""What steps import, imported once a run in the server that their processes are forked from.

Feast and Great Expectations take seconds to import each; a step that starts from here pays neither.
"""

import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
os.environ.setdefault("FEAST_USAGE", "False")

import duckdb  # noqa: F401 - the variables above must be set first
import feast  # noqa: F401
import great_expectations  # noqa: F401

import feature_platform.checks.expectations
import feature_platform.engine.sources
import feature_platform.reports.drift_page
import feature_platform.store.drift
import feature_platform.store.materialize
import feature_platform.store.online_read
import feature_platform.store.registry_apply
import feature_platform.store.skew  # noqa: F401
