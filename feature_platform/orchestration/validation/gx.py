"""Great Expectations behind plain data: specs in, results with row numbers out.

No other module imports it: the import takes seconds, and its API changes between releases.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from feature_platform.core.guarded_imports import without_broken_extras
from feature_platform.orchestration.validation.outcomes import MAX_ROWS, Severity

if TYPE_CHECKING:
    import pandas as pd

# Fields of an expectation that are not among its kwargs.
_SETTINGS = {
    "batch_id", "catch_exceptions", "description", "id", "meta", "notes", "rendered_content",
    "result_format", "severity", "windows",
}  # fmt: skip
_SLOT = "feature_platform/slot"
_SOURCE = "windows"


@dataclass(frozen=True)
class ExpectationSpec:
    """An expectation as data.

    Attributes:
        type: Its name, such as ``expect_column_values_to_be_between``.
        kwargs: Its parameters, such as ``{"column": "amount", "min_value": 0}``.
        severity: Of its failure.
        description: Why it is expected; may be empty.
    """

    type: str
    kwargs: Mapping[str, Any]
    severity: Severity = "error"
    description: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names; none for an expectation on the table."""
        kwargs = self.kwargs
        single = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
        return tuple(str(name) for name in [*single, *(kwargs.get("column_list") or ())])


@dataclass(frozen=True)
class SpecResult:
    """The result of one spec.

    Attributes:
        passed: Whether it held.
        observed: The value of an expectation on an aggregate; None for one on rows.
        counted: Rows it looked at, including nulls; None for one on an aggregate.
        unexpected: Number of offending rows.
        positions: Row numbers of the first five of them.
        exception: Why it could not be evaluated; empty if it could.
    """

    passed: bool
    observed: Any = None
    counted: int | None = None
    unexpected: int = 0
    positions: tuple[int, ...] = ()
    exception: str = ""


@dataclass
class ExpectationRunner:
    """Runs specs on data frames in one ephemeral Great Expectations context, made at first use.

    Nothing is written or sent. Not for use by several threads.
    """

    _context: Any = field(default=None, init=False, repr=False)

    def run(self, frame: "pd.DataFrame", specs: Sequence[ExpectationSpec]) -> list[SpecResult]:
        """Evaluate specs, in order, on a data frame whose index numbers its rows from 0."""
        if not specs:
            return []
        gx = import_great_expectations()
        if self._context is None:
            self._context = _new_context(gx)
        source = self._context.data_sources.add_pandas(_SOURCE)
        try:
            asset = source.add_dataframe_asset("window")
            batches = asset.add_batch_definition_whole_dataframe("all")
            return self._run(gx, batches.get_batch({"dataframe": frame}), specs)
        finally:
            # A data source keeps its last batch, the window, in memory.
            self._context.data_sources.delete(_SOURCE)

    @staticmethod
    def _run(gx: Any, batch: Any, specs: Sequence[ExpectationSpec]) -> list[SpecResult]:
        results = _validate(gx, batch, dict(enumerate(specs)), "BASIC")
        # Row numbers take half as long again, so they are computed only for offenders.
        broken = {
            slot: specs[slot]
            for slot, result in results.items()
            if result.unexpected and not result.passed
        }
        results |= _validate(gx, batch, broken, "SUMMARY") if broken else {}
        return [results[slot] for slot in range(len(specs))]


def make_expectation(spec: ExpectationSpec, meta: Mapping[str, Any] | None = None) -> Any:
    """A new Great Expectations object of a spec.

    Raises:
        ValueError: The kwargs are invalid for the type.
    """
    import_great_expectations()
    from great_expectations.expectations.registry import get_expectation_impl

    kind = get_expectation_impl(spec.type)
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in _SETTINGS}
    settings = {
        "severity": "critical" if spec.severity == "error" else "warning",
        "meta": dict(meta or {}),
    }
    made = kind(**kwargs, **settings)
    # Bounds without a zone are UTC, as the columns are.
    naive = {
        name: _aware(getattr(made, name))
        for name in ("min_value", "max_value")
        if isinstance(getattr(made, name, None), date)
    }
    return kind(**{**kwargs, **naive}, **settings) if naive else made


def expectation_types() -> Mapping[str, Any]:
    """All known expectations: name to class."""
    import_great_expectations()
    from great_expectations.expectations.registry import (
        get_expectation_impl,
        list_registered_expectation_implementations,
    )

    return {
        name: get_expectation_impl(name) for name in list_registered_expectation_implementations()
    }


def expectation_fields(kind: Any) -> list[str]:
    """The names of an expectation class's kwargs."""
    return sorted(name for name in kind.__fields__ if name not in _SETTINGS)


def needs_database(kind: Any) -> bool:
    """Whether an expectation runs SQL and so cannot run on a window in memory."""
    try:
        described = kind.schema()["properties"]["metadata"]["properties"]
        sources = described["supported_data_sources"]["const"]
    except (KeyError, TypeError):
        return False  # undeclared; those that need a database declare it
    # Declares that it does not run on data frames, but does.
    runs = kind.expectation_type == "expect_column_values_to_be_in_type_list"
    return not runs and not any("pandas" in str(source).lower() for source in sources)


def import_great_expectations() -> Any:
    """The package, with its analytics off and its log quiet; the import takes seconds."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with without_broken_extras():
        import great_expectations

    logger = logging.getLogger("great_expectations")
    if logger.level == logging.NOTSET:
        # At INFO it logs every window.
        logger.setLevel(logging.WARNING)
    return great_expectations


def _validate(
    gx: Any, batch: Any, specs: Mapping[int, ExpectationSpec], result_format: str
) -> dict[int, SpecResult]:
    """Results by the keys of `specs`; Great Expectations returns them in an order of its own."""
    made = [make_expectation(spec, meta={_SLOT: slot}) for slot, spec in specs.items()]
    found = batch.validate(
        gx.ExpectationSuite(name="window", expectations=made),
        result_format={
            "result_format": result_format,
            "partial_unexpected_count": MAX_ROWS,
            "return_unexpected_index_query": False,
        },
    )
    return {each.expectation_config.meta[_SLOT]: _result(each) for each in found.results}


def _new_context(gx: Any) -> Any:
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
    )

    config = DataContextConfig(
        # Without this it makes a temporary directory for documentation.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars={"globally": False},
        analytics_enabled=False,
    )
    return gx.get_context(project_config=config, mode="ephemeral")


def _aware(moment: date) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time(), UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _result(found: Any) -> SpecResult:
    result = found.result or {}
    return SpecResult(
        passed=bool(found.success),
        observed=result.get("observed_value"),
        counted=result.get("element_count"),
        unexpected=int(result.get("unexpected_count") or 0),
        positions=tuple(int(row) for row in result.get("partial_unexpected_index_list") or ()),
        exception=_exception(found.exception_info or {}),
    )


def _exception(info: Mapping[str, Any]) -> str:
    # Either one description, or one per metric that could not be computed.
    single = "raised_exception" in info
    described = [info] if single else [each for each in info.values() if isinstance(each, Mapping)]
    messages = [
        str(each.get("exception_message"))
        for each in described
        if each.get("raised_exception", True)
    ]
    return "; ".join(dict.fromkeys(messages))
