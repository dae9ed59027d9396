"""The rows that keys had at some moments, and a sample of a view's keys."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pyarrow as pa

from feature_platform.core.sql import identifier
from feature_platform.encoding.view_layout import ViewLayout
from feature_platform.sources.latest_rows import latest_first, served_columns, whole_key
from feature_platform.sources.relation import VIEW, Relation

ROW = "__row"
MOMENT = "__moment"
"""Columns of a request: a number that is returned with the answer, and the moment."""


def rows_as_of(
    relation: Relation, layout: ViewLayout, wanted: pa.Table
) -> Iterator[pa.RecordBatch]:
    """Stream the row that each key had at its moment: Feast's point-in-time join.

    That is the row with the greatest (event time, created time) among those whose event time is
    neither after the moment nor older than the view's TTL. Ties are broken as in `latest_rows`.

    Args:
        relation: The source's rows from the earliest moment less the TTL to the last moment, opened
            with `source_columns`.
        layout: The view.
        wanted: `ROW` (int64), `MOMENT` (UTC), and the keys in columns named as the view names them.

    Yields:
        Batches as those of `latest_rows`, with `ROW` first; keys without a row are missing.
    """
    keys = [key for key in layout.keys if key.source is not None]
    time = identifier(relation.timestamp)
    # The key columns of the request, under the source's names.
    asked = [f"{identifier(key.name)} AS {identifier(str(key.source))}" for key in keys]
    columns = [identifier(str(key.source)) for key in keys]
    question = f"(SELECT {', '.join([ROW, MOMENT, *asked])} FROM wanted_rows)"
    among = (
        f" AND ({', '.join(columns)}) IN (SELECT ({', '.join(columns)}) FROM {question})"
        if columns
        else ""
    )
    moments = (
        f"SELECT DISTINCT {', '.join([*columns, f'{time} AS __time'])} FROM {VIEW} "
        f"WHERE {whole_key(layout)}{among}"
    )
    met = "".join(f"w.{column} = t.{column} AND " for column in columns)
    fresh = ""
    if layout.ttl:
        fresh = f" WHERE t.__time >= w.{MOMENT} - {_interval(layout.ttl)}"
    newest = (
        f"SELECT w.*, t.__time AS __newest FROM {question} AS w "
        f"ASOF JOIN ({moments}) AS t ON {met}w.{MOMENT} >= t.__time{fresh}"
    )
    matching = " AND ".join(
        [*(f"r.{column} = n.{column}" for column in columns), f"r.{time} = n.__newest"]
    )
    relation.connection.register("wanted_rows", wanted)
    try:
        yield from relation.batches(
            f"WITH n AS MATERIALIZED ({newest}) "
            f"SELECT n.{ROW}, {served_columns(relation, layout)} FROM {VIEW} AS r "
            f"JOIN n ON {matching} "
            "QUALIFY row_number() OVER "
            f"(PARTITION BY n.{ROW} {latest_first(relation, layout)}) = 1"
        )
    finally:
        relation.connection.unregister("wanted_rows")


def sampled_keys(
    relation: Relation, layout: ViewLayout, *, limit: int, seed: int
) -> tuple[int, pa.Table]:
    """All keys of the relation, or a sample of them.

    Args:
        relation: The source's rows, opened with the view's key columns at least.
        layout: A view that has keys.
        limit: Take all keys up to this many, else this many of them.
        seed: Chooses the sample and its order, independently of the order of rows.

    Returns:
        The number of keys, and the chosen ones in columns named as the view names them.
    """
    named = ", ".join(
        f"{identifier(str(key.source))} AS {identifier(key.name)}" for key in layout.keys
    )
    distinct = f"SELECT DISTINCT {named} FROM {VIEW} WHERE {whole_key(layout)}"
    total = int(relation.rows(f"SELECT count(*) FROM ({distinct})")[0][0])
    texts = ", ".join(f"{identifier(key.name)}::VARCHAR" for key in layout.keys)
    drawn = f"md5(concat_ws(chr(31), '{int(seed)}', {texts}))"
    taken = f"SELECT * FROM ({distinct}) ORDER BY {drawn}, {texts} LIMIT {int(limit)}"
    return total, pa.Table.from_batches(relation.batches(taken), relation.schema(distinct))


def covered(moments: list[datetime], ttl: timedelta | None, earliest: datetime) -> datetime:
    """The earliest event time of a row that one of `moments` can see."""
    return max(earliest, min(moments) - ttl) if ttl else earliest


def _interval(span: timedelta) -> str:
    return f"to_microseconds({span // timedelta(microseconds=1)})"
