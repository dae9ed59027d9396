"""Connections of Feast's PostgreSQL online store that give up on a server that does not answer."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from feature_platform.core.feast_seams import connect_postgres, give_back_postgres
from feature_platform.online.deadline import deadline

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60.0
"""How long the server may take for one batch, one page of a scan, or one change of a table."""
READ_SECONDS = 15.0
"""How long it may take for what a model waits for."""


@contextmanager
def in_time(
    online: Any, section: Any, held: AbstractContextManager[Any], seconds: float | None = None
) -> Iterator[Any]:
    """A connection that is cut if the block takes longer.

    Args:
        online: Feast's ``OnlineStore``, which keeps the connection for the next time.
        section: Its section of the configuration.
        held: The context in which Feast hands out the connection.
        seconds: How long the block may take; `ANSWER_SECONDS` if left out.
    """
    connect_postgres(online, section, CONNECT_SECONDS)
    limit = ANSWER_SECONDS if seconds is None else seconds
    with held as connection:
        try:
            with deadline(limit, lambda: int(connection.pgconn.socket)):
                yield connection
        except BaseException:
            give_back_postgres(online, connection)
            raise
