"""The latest row of each key: what the windows of a source put online."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import pyarrow as pa

from feature_platform.core.sql import identifier, inside, instant
from feature_platform.core.windows import Window
from feature_platform.encoding.view_layout import CREATED_TIME, EVENT_TIME, ViewLayout
from feature_platform.sources.relation import VIEW, Relation

_WIDE = frozenset({"INTEGER", "BIGINT", "UINTEGER"})
_NARROW = frozenset({"SMALLINT", "USMALLINT"})
_ORDERED_BYTES = 3

KEYS_A_PART = 600_000
"""How many keys are ranked at a time, so that memory does not grow with the number of keys."""


def source_columns(layout: ViewLayout) -> list[str]:
    """The columns of the source that serving the view needs, without the time columns."""
    return list(dict.fromkeys([*layout.source_keys, *layout.source_features]))


def latest_rows(
    relation: Relation,
    layout: ViewLayout,
    window: Window,
    *,
    not_before: datetime | None = None,
    batch_rows: int = 65_536,
    part: tuple[int, int] = (0, 1),
) -> Iterator[pa.RecordBatch]:
    """Stream the latest row in `window` of each key.

    The latest row has the greatest (event time, created time); a missing created time is the least.
    Of rows equal in both the one with the greater content wins, so that the result does not depend
    on the order of rows or files. Rows without a whole key are left out.

    Args:
        relation: The source's rows of `window` and maybe more, opened with `source_columns`.
        layout: The view.
        window: Half-open.
        not_before: Leave out latest rows with an earlier event time (TTL).
        batch_rows: Rows per batch at most, roughly.
        part: Number and count of parts; only keys of that part are returned, see `parts_of`.

    Yields:
        Record batches with the view's keys and features under their served names, then
        `EVENT_TIME` and `CREATED_TIME` (UTC, microseconds; all null without a created column).
    """
    condition = f"{inside(relation.timestamp, [window])} AND {_in_part(layout, part)}"
    yield from relation.batches(_latest(relation, layout, condition, not_before), batch_rows)


def latest_rows_of_all(
    relation: Relation,
    layout: ViewLayout,
    *,
    not_before: datetime | None = None,
    batch_rows: int = 65_536,
    part: tuple[int, int] = (0, 1),
    windows: Sequence[Window] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream the latest row of each key over all rows, or some windows; see `latest_rows`."""
    condition = f"{_in_part(layout, part)}{_in_windows(relation, windows)}"
    yield from relation.batches(_latest(relation, layout, condition, not_before), batch_rows)


def _in_windows(relation: Relation, windows: Sequence[Window] | None) -> str:
    return "" if windows is None else f" AND {inside(relation.timestamp, windows)}"


def _in_part(layout: ViewLayout, part: tuple[int, int]) -> str:
    """SQL condition: the key falls into that part; without keys all rows are in the first."""
    number, count = part
    if layout.source_keys and count > 1:
        return f"hash({_key_list(layout)}) % {count} = {number}"
    return "true" if number == 0 else "false"


def parts_of(relation: Relation, layout: ViewLayout, windows: Sequence[Window]) -> int:
    """The number of parts, of `KEYS_A_PART` keys, for the keys of some windows."""
    if not layout.source_keys:
        return 1
    condition = inside(relation.timestamp, windows)
    ((keys,),) = relation.rows(f"SELECT {_key_count(layout)} FROM {VIEW} WHERE {condition}")
    return _parts(keys)


def _key_count(layout: ViewLayout) -> str:
    return f"approx_count_distinct(({_key_list(layout)}))" if layout.source_keys else "1"


def _parts(keys: int) -> int:
    return max(1, -(-keys // KEYS_A_PART))


def latest_rows_of(
    relation: Relation,
    layout: ViewLayout,
    keys: pa.Table,
    *,
    not_before: datetime | None = None,
    batch_rows: int = 65_536,
    once: bool = False,
    windows: Sequence[Window] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream the latest row of some keys over all rows of the relation.

    Args:
        relation: The source's rows, opened with `source_columns`.
        layout: A view that has keys.
        keys: The keys, in columns named as the view names them.
        not_before: Leave out latest rows with an earlier event time (TTL).
        batch_rows: Rows per batch at most, roughly.
        once: Read the source once and keep the rows of the keys in memory, for few keys.
        windows: Only look in these; None looks everywhere.

    Yields:
        Batches as those of `latest_rows`; keys without a row are missing.
    """
    # It stays registered until the next call or the relation is closed: a reader that stops early
    # may close this generator only after the next call.
    relation.connection.register("wanted_keys", keys)
    named = ", ".join(identifier(key.name) for key in layout.keys if key.source is not None)
    condition = f"({_key_list(layout)}) IN (SELECT ({named}) FROM wanted_keys)"
    condition += _in_windows(relation, windows)
    statement = _latest(relation, layout, condition, not_before, once=once)
    yield from relation.batches(statement, batch_rows)


def sampled_latest_rows(
    relation: Relation, layout: ViewLayout, *, limit: int, seed: int
) -> tuple[int, Iterator[pa.RecordBatch]]:
    """The latest rows of all keys of the relation, or of a sample of keys.

    Args:
        relation: The source's rows, opened with `source_columns`.
        layout: The view.
        limit: Take all keys up to this many, else this many of them.
        seed: Chooses the sample, independently of the order of rows.

    Returns:
        The number of keys in the relation, and batches as those of `latest_rows`.
    """
    if not layout.source_keys:
        one = relation.rows(f"SELECT count(*) > 0 FROM {VIEW}")[0][0]
        return int(one), relation.batches(_latest(relation, layout, "", None))
    keys, present = _key_list(layout), whole_key(layout)
    distinct = f"(SELECT DISTINCT {keys} FROM {VIEW} WHERE {present})"
    total = int(relation.rows(f"SELECT count(*) FROM {distinct}")[0][0])
    condition = ""
    if total > limit:
        texts = ", ".join(f"{identifier(key)}::VARCHAR" for key in layout.source_keys)
        drawn = f"md5(concat_ws(chr(31), '{int(seed)}', {texts}))"
        chosen = f"SELECT ({keys}) FROM {distinct} ORDER BY {drawn} LIMIT {int(limit)}"
        condition = f"({keys}) IN ({chosen})"
    return total, relation.batches(_latest(relation, layout, condition, None))


def _latest(
    relation: Relation,
    layout: ViewLayout,
    condition: str,
    not_before: datetime | None,
    *,
    once: bool = False,
) -> str:
    """SQL for the latest row per key among the rows that meet `condition`.

    The greatest event time per key is found first, from keys and times alone; only rows that have
    it are then read whole, which is several times faster than ranking whole rows. `once` reads the
    source once instead, and keeps the rows that meet the condition.
    """
    time = identifier(relation.timestamp)
    keys = [identifier(key) for key in layout.source_keys]
    met = f" AND {condition}" if condition else ""
    rows = f"(SELECT * FROM {VIEW} WHERE {whole_key(layout)}{met})"
    kept = f"__kept AS MATERIALIZED {rows}, " if once else ""
    rows = "__kept" if once else rows
    newest = f"SELECT {''.join(f'{key}, ' for key in keys)}max({time}) AS __newest FROM {rows}"
    newest += f" GROUP BY {', '.join(keys)}" if keys else ""
    matching = " AND ".join([*(f"r.{key} = m.{key}" for key in keys), f"r.{time} = m.__newest"])
    partition = f"PARTITION BY {', '.join(f'r.{key}' for key in keys)} " if keys else ""
    fresh = f" WHERE r.{time} >= {instant(not_before)}" if not_before else ""
    return (
        f"WITH {kept}m AS MATERIALIZED ({newest}) SELECT {served_columns(relation, layout)} "
        f"FROM {rows} AS r JOIN m ON {matching}{fresh} "
        f"QUALIFY row_number() OVER ({partition}{latest_first(relation, layout)}) = 1"
        f"{_in_key_order(relation, layout)}"
    )


def latest_first(relation: Relation, layout: ViewLayout) -> str:
    """SQL that orders rows `r` of one key and event time, the latest first; see `latest_rows`."""
    columns = [*([relation.created] if relation.created else []), *layout.source_features]
    order = ", ".join(f"r.{identifier(name)} DESC NULLS LAST" for name in columns)
    return f"ORDER BY {order}" if order else ""


def _in_key_order(relation: Relation, layout: ViewLayout) -> str:
    """SQL that puts rows `r` roughly in the order of their serialized keys.

    SQL stores index keys in that order, so a write then touches each page once. Serialized numbers
    begin with their lowest byte, texts with their length.
    """
    order: list[str] = []
    for key in sorted(layout.keys, key=lambda each: each.name):
        if key.source is None:
            continue
        column, kind = f"r.{identifier(key.source)}", relation.columns[key.source]
        if kind in _NARROW:  # the products would overflow its own type
            column = f"{column}::INTEGER"
        if kind in _WIDE or kind in _NARROW:
            order += [
                " + ".join(
                    f"(({column} >> {8 * place}) & 255) * {256 ** (_ORDERED_BYTES - 1 - place)}"
                    for place in range(_ORDERED_BYTES if kind in _WIDE else 2)
                )
            ]
        elif kind == "VARCHAR":
            order += [f"strlen({column})", column]
    return f" ORDER BY {', '.join(order)}" if order else ""


def _key_list(layout: ViewLayout) -> str:
    return ", ".join(identifier(key) for key in layout.source_keys)


def whole_key(layout: ViewLayout) -> str:
    """SQL condition: no part of the key is missing."""
    return " AND ".join(f"{identifier(key)} IS NOT NULL" for key in layout.source_keys) or "true"


def distinct_keys(
    relation: Relation,
    layout: ViewLayout,
    window: Window,
    part: tuple[int, int] = (0, 1),
) -> Iterator[pa.RecordBatch]:
    """Stream the keys that have a row in the window, in columns named as the view names them."""
    named = ", ".join(f"{_column(key.source, '')} AS {identifier(key.name)}" for key in layout.keys)
    yield from relation.batches(
        f"SELECT DISTINCT {named} FROM {VIEW} WHERE {inside(relation.timestamp, [window])} "
        f"AND {whole_key(layout)} AND {_in_part(layout, part)}"
    )


def count_rows(relation: Relation, layout: ViewLayout, window: Window) -> tuple[int, int, int]:
    """Rows of the window, how many of them lack a part of their key, and its `parts_of`."""
    found = relation.rows(
        f"SELECT count(*), count(*) FILTER (WHERE NOT ({whole_key(layout)})), "
        f"{_key_count(layout)} FROM {VIEW} WHERE {inside(relation.timestamp, [window])}"
    )[0]
    return int(found[0]), int(found[1]), _parts(found[2])


def served_columns(relation: Relation, layout: ViewLayout) -> str:
    """SQL list of the keys, features and times of rows `r` under their served names."""
    columns = [
        f"{_column(column.source, 'r.')} AS {identifier(column.name)}"
        for column in (*layout.keys, *layout.features)
    ]
    columns.append(f"r.{identifier(relation.timestamp)} AS {identifier(EVENT_TIME)}")
    created = f"r.{identifier(relation.created)}" if relation.created else "NULL::TIMESTAMPTZ"
    columns.append(f"{created} AS {identifier(CREATED_TIME)}")
    return ", ".join(columns)


def _column(source: str | None, prefix: str) -> str:
    return "''" if source is None else f"{prefix}{identifier(source)}"
