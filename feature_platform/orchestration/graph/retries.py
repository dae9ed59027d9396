"""Retries of failed steps, unless the error is permanent."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from feature_platform.errors import FeaturePlatformError

RETRIES = dg.RetryPolicy(max_retries=3, delay=300)


@contextmanager
def one_line_failures() -> Iterator[None]:
    """Show an error of ours as one line in the run; retry only transient ones."""
    try:
        yield
    except FeaturePlatformError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"subject": error.subject, "problem": error.problem, "remedy": error.remedy},
            allow_retries=error.is_transient,
        ) from error
