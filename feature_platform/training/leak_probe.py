"""A probe of training sets, independent of the join that made them: is each row of its time?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_platform.core.sql import identifier
from feature_platform.core.windows import Window
from feature_platform.repo.service_layout import LAST_TIME, ServiceView, service_views
from feature_platform.sources.relation import VIEW, Relation, open_relation

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

_MICROSECOND = timedelta(microseconds=1)
_QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class ProbedView:
    """What the probe found in the columns of one feature view.

    Attributes:
        view: What the service calls the view.
        rows: Entity rows probed.
        found: How many of them have a source row of their key in time.
        leaks: How many hold the values of a row that came later than the entity row, and not those
            of the row that was newest then.
        others: How many hold neither.
        ages: Quantile (0, 0.5, 0.9, 0.99, 1) to the time from the joined row to the entity row;
            empty where nothing was found.
        examples: Up to five entity rows that leak or differ, as text.
    """

    view: str
    rows: int
    found: int
    leaks: int
    others: int
    ages: Mapping[float, timedelta]
    examples: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """Whether every probed row holds what was newest at its time."""
        return not self.leaks and not self.others


def probe_training_set(
    store: "FeatureStore",
    service: "FeatureService",
    training: pa.Table,
    timestamp: str,
    *,
    limit: int = 10_000,
    seed: int = 0,
) -> list[ProbedView]:
    """Look up, for rows of a training set, what the sources held at their time.

    For each row the newest source row of its key is found by comparing all of them: event time not
    after the row's and not older than the TTL, the greatest (event time, created time) among those.
    Where several share both times, any of them will do.

    Args:
        store: The Feast store.
        service: The service that was joined.
        training: Entity columns and features.
        timestamp: The time column.
        limit: Probe all rows up to this many, else this many of them.
        seed: Chooses them.

    Raises:
        SourceError: A source cannot be read.
    """
    rows = training
    if rows.num_rows > limit:
        chosen = np.random.default_rng(seed).choice(rows.num_rows, limit, replace=False)
        rows = rows.take(pa.array(np.sort(chosen)))
    return [
        _probe(store, view, rows, timestamp)
        for view in service_views(store, service)
        if _columns(view, rows)
    ]


def _probe(store: "FeatureStore", view: ServiceView, rows: pa.Table, timestamp: str) -> ProbedView:
    if not rows.num_rows:
        return ProbedView(view.alias, 0, 0, 0, 0, {})
    times = pc.min_max(rows.column(timestamp)).as_py()
    # Later rows too: a leak is known by the row that it came from.
    end = max(LAST_TIME, times["max"] + _MICROSECOND)
    window = Window(view.looks_back_to(times["min"]), end)
    with open_relation(store.config, view.source, [window], view.source_columns) as relation:
        relation.connection.register("probed", _probed(view, rows, timestamp))
        columns = _columns(view, rows)
        found = relation.rows(_statement(relation, view, columns, rows.schema))
    ages = np.array([age for _, age, _, _ in found if age is not None], np.int64)
    leaks = [n for n, _, right, leaked in found if not right and leaked]
    others = [n for n, _, right, leaked in found if not right and not leaked]
    shown = rows.take(pa.array(sorted([*leaks, *others])[:5], pa.int64())).to_pylist()
    return ProbedView(
        view.alias,
        rows=rows.num_rows,
        found=len(ages),
        leaks=len(leaks),
        others=len(others),
        ages={
            q: timedelta(microseconds=int(np.quantile(ages, q, method="inverted_cdf")))
            for q in _QUANTILES
        }
        if len(ages)
        else {},
        examples=tuple(str(each) for each in shown),
    )


def _columns(view: ServiceView, rows: pa.Table) -> dict[str, str]:
    """Columns of the training set that hold features of the view, and their source columns."""
    return {
        name: source
        for feature, source in view.features.items()
        if (name := _held(view, feature, rows.column_names)) is not None
    }


def _held(view: ServiceView, feature: str, names: Sequence[str]) -> str | None:
    full = f"{view.alias}__{feature}"
    return full if full in names else feature if feature in names else None


def _probed(view: ServiceView, rows: pa.Table, timestamp: str) -> pa.Table:
    columns = {"n": pa.array(np.arange(rows.num_rows)), "t": rows.column(timestamp)}
    columns |= {f"k{place}": rows.column(key) for place, key in enumerate(view.keys)}
    columns |= {f"f{place}": rows.column(name) for place, name in enumerate(_columns(view, rows))}
    return pa.table(columns)


def _statement(
    relation: Relation, view: ServiceView, columns: Mapping[str, str], schema: pa.Schema
) -> str:
    """For each row: its number, the age of what it should hold, whether it does, or of a later."""
    time = f"s.{identifier(relation.timestamp)}"
    created = f"s.{identifier(relation.created)}" if relation.created else "NULL::TIMESTAMPTZ"
    same_key = [f"s.{identifier(key)} = p.k{place}" for place, key in enumerate(view.source_keys)]
    matched = " AND ".join(same_key) or "true"
    kinds = [schema.field(name).type for name in columns]
    equal = " AND ".join(
        _same(f"s.{identifier(source)}", f"p.f{place}", relation.columns[source], kinds[place])
        for place, source in enumerate(columns.values())
    )
    empty = " AND ".join(_is_empty(f"p.f{place}", kind) for place, kind in enumerate(kinds))
    ttl = f" AND t - event <= {_microseconds(view.ttl)}" if view.ttl else ""
    in_time = f"(event <= t{ttl})"
    return f"""
        WITH pairs AS (
            SELECT p.n, epoch_us(p.t) AS t, epoch_us({time}) AS event, {created} AS created,
                ({equal}) AS equal
            FROM probed AS p JOIN {VIEW} AS s ON {matched}
        ),
        ranked AS (
            SELECT *, rank() OVER (
                PARTITION BY n ORDER BY event DESC, created DESC NULLS LAST) AS place
            FROM pairs WHERE {in_time}
        ),
        newest AS (
            SELECT n, any_value(t - event) AS age, bool_or(equal) AS equal
            FROM ranked WHERE place = 1 GROUP BY n
        ),
        later AS (SELECT n, bool_or(equal) AS equal FROM pairs WHERE event > t GROUP BY n)
        SELECT p.n, newest.age,
            CASE WHEN newest.n IS NULL THEN ({empty}) ELSE newest.equal END,
            coalesce(later.equal, false)
        FROM probed AS p LEFT JOIN newest USING (n) LEFT JOIN later USING (n)
        ORDER BY p.n
    """


def _same(source: str, joined: str, stored: str, kind: pa.DataType) -> str:
    """SQL: a joined value is the source's, as exact as the narrower of the two types."""
    if pa.types.is_boolean(kind) and stored != "BOOLEAN":
        # Any number but 0 is true; text is true or false by what it says.
        number = f"CASE WHEN isnan({source}) THEN NULL ELSE {source} END"
        told = number if stored in ("FLOAT", "DOUBLE") else source
        return f"({told})::BOOLEAN IS NOT DISTINCT FROM {joined}"
    if stored == "BOOLEAN" and pa.types.is_integer(kind):
        return f"({source})::INTEGER IS NOT DISTINCT FROM {joined}"
    if stored in ("FLOAT", "DOUBLE") or stored.startswith("DECIMAL") or pa.types.is_floating(kind):
        width = "FLOAT" if stored == "FLOAT" or kind == pa.float32() else "DOUBLE"
        # pandas, through which on-demand views go, has no null but NaN.
        left, right = (f"coalesce(({each})::{width}, 'NaN')" for each in (source, joined))
        return f"{left} = {right}"
    if any(mark in stored for mark in ("[", "STRUCT", "MAP", "JSON")):
        return f"to_json({source})::VARCHAR IS NOT DISTINCT FROM to_json({joined})::VARCHAR"
    if stored.startswith("TIMESTAMP"):
        return f"epoch_us({source}) IS NOT DISTINCT FROM epoch_us({joined})"
    return f"({source})::VARCHAR IS NOT DISTINCT FROM ({joined})::VARCHAR"


def _is_empty(joined: str, kind: pa.DataType) -> str:
    if pa.types.is_floating(kind):
        return f"({joined} IS NULL OR isnan({joined}))"
    return f"{joined} IS NULL"


def _microseconds(length: timedelta) -> int:
    return length // _MICROSECOND
