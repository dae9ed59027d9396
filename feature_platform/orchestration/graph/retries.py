"""What is tried again, and what is not: the network may recover, a failed check will not."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from feature_platform.errors import FeaturePlatformError

RETRIES = dg.RetryPolicy(max_retries=3, delay=300)


@contextmanager
def one_line_failures() -> Iterator[None]:
    """Show an error of ours as its own sentence in the run, retried only where that can help."""
    try:
        yield
    except FeaturePlatformError as error:
        raise dg.Failure(
            description=str(error),
            metadata={"subject": error.subject, "problem": error.problem, "remedy": error.remedy},
            allow_retries=error.is_transient,
        ) from error
