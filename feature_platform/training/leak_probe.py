"""A probe of training sets for leaks from the future, independent of the join that made them."""

from collections.abc import Mapping
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
from feature_platform.training.entity_rows import KnownBy

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

_MICROSECOND = timedelta(microseconds=1)
_QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class ProbedView:
    """The result of the probe for one feature view, by the service's name for it.

    Rows are `found` if the source has a row of their key in time. They are `leaks` if they have the
    values of a row that came later, and not those of the newest in time; `others` have neither.
    `known_later` of those found hold what had not been written at their time, by created time.
    `ages` are quantiles of the age of the joined row, `examples` up to five leaks or others.
    """

    view: str
    rows: int
    found: int
    leaks: int
    others: int
    ages: Mapping[float, timedelta]
    examples: tuple[str, ...] = ()
    known_later: int = 0

    @property
    def well(self) -> bool:
        """Whether every probed row has the values that were newest at its time."""
        return not self.leaks and not self.others


def probe_training_set(
    store: "FeatureStore",
    service: "FeatureService",
    training: pa.Table,
    timestamp: str,
    *,
    limit: int = 10_000,
    seed: int = 0,
    known_by: KnownBy | None = None,
) -> list[ProbedView]:
    """Compare rows of a training set with what the sources have at their time.

    The newest source row of a key is found by comparing all of them: event time not after that of
    the entity row and not older than the TTL, then the greatest (event time, created time). If
    several share both times, any of them counts. Of more than `limit` rows a sample is probed.
    `known_by` is what the set was made with: by created time, a row counts once it was written.
    """
    rows = training
    if rows.num_rows > limit:
        chosen = np.random.default_rng(seed).choice(rows.num_rows, limit, replace=False)
        rows = rows.take(pa.array(np.sort(chosen)))
    return [
        _probe(store, view, rows, timestamp, known_by)
        for view in service_views(store, service)
        if _columns(view, rows)
    ]


def _probe(
    store: "FeatureStore",
    view: ServiceView,
    rows: pa.Table,
    timestamp: str,
    known_by: KnownBy | None,
) -> ProbedView:
    if not rows.num_rows:
        return ProbedView(view.alias, 0, 0, 0, 0, {})
    times = pc.min_max(rows.column(timestamp)).as_py()
    # Later rows too: a leak is found by the row that it came from.
    end = max(LAST_TIME, times["max"] + _MICROSECOND)
    window = Window(view.looks_back_to(times["min"]), end)
    with open_relation(store.config, view.source, [window], view.source_columns) as relation:
        relation.connection.register("probed", _probed(view, rows, timestamp))
        columns = _columns(view, rows)
        by_created = known_by == "created" and relation.created is not None
        statement = _statement(relation, view, columns, rows.schema, by_created=by_created)
        found = relation.rows(statement)
    ages = np.array([age for _, age, *_ in found if age is not None], np.int64)
    leaks = [n for n, _, right, leaked, _ in found if not right and leaked]
    others = [n for n, _, right, leaked, _ in found if not right and not leaked]
    shown = rows.take(pa.array(sorted([*leaks, *others])[:5], pa.int64())).to_pylist()
    return ProbedView(
        view.alias,
        rows=rows.num_rows,
        found=len(ages),
        leaks=len(leaks),
        others=len(others),
        ages={
            q: timedelta(microseconds=int(np.quantile(ages, q, method="inverted_cdf")))
            for q in (_QUANTILES if len(ages) else ())
        },
        examples=tuple(str(each) for each in shown),
        known_later=sum(right and later for _, _, right, _, later in found),
    )


def _columns(view: ServiceView, rows: pa.Table) -> dict[str, str]:
    """Source column by column of the training set that is a feature of the view."""
    found = {}
    for feature, source in view.features.items():
        full = f"{view.alias}__{feature}"
        name = full if full in rows.column_names else feature
        if name in rows.column_names:
            found[name] = source
    return found


def _probed(view: ServiceView, rows: pa.Table, timestamp: str) -> pa.Table:
    columns = {"n": pa.array(np.arange(rows.num_rows)), "t": rows.column(timestamp)}
    columns |= {f"k{place}": rows.column(key) for place, key in enumerate(view.keys)}
    columns |= {f"f{place}": rows.column(name) for place, name in enumerate(_columns(view, rows))}
    return pa.table(columns)


def _statement(
    relation: Relation,
    view: ServiceView,
    columns: Mapping[str, str],
    schema: pa.Schema,
    *,
    by_created: bool,
) -> str:
    """SQL: number of each row, age of its newest source row, whether equal to it, or to a later.

    And whether the newest had been created only later.
    """
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
    ttl = f" AND t - event <= {view.ttl // _MICROSECOND}" if view.ttl else ""
    # A missing created time is known at no moment, as in the join.
    known = "epoch_us(created) <= t" if by_created else "true"
    in_time = f"(event <= t{ttl} AND {known})"
    too_late = f"(event > t OR ({known}) IS NOT TRUE)"
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
            SELECT n, any_value(t - event) AS age, bool_or(equal) AS equal,
                coalesce(any_value(epoch_us(created)) > any_value(t), false) AS known_later
            FROM ranked WHERE place = 1 GROUP BY n
        ),
        later AS (SELECT n, bool_or(equal) AS equal FROM pairs WHERE {too_late} GROUP BY n)
        SELECT p.n, newest.age,
            CASE WHEN newest.n IS NULL THEN ({empty}) ELSE newest.equal END,
            coalesce(later.equal, false), coalesce(newest.known_later, false)
        FROM probed AS p LEFT JOIN newest USING (n) LEFT JOIN later USING (n)
        ORDER BY p.n
    """


def _same(source: str, joined: str, stored: str, kind: pa.DataType) -> str:
    """SQL: the joined value equals the source's, in the narrower of the two types."""
    if pa.types.is_boolean(kind) and stored != "BOOLEAN":
        # Numbers other than 0 are true, text is parsed.
        number = f"CASE WHEN isnan({source}) THEN NULL ELSE {source} END"
        value = number if stored in ("FLOAT", "DOUBLE") else source
        return f"({value})::BOOLEAN IS NOT DISTINCT FROM {joined}"
    if stored == "BOOLEAN" and pa.types.is_integer(kind):
        return f"({source})::INTEGER IS NOT DISTINCT FROM {joined}"
    if stored in ("FLOAT", "DOUBLE") or stored.startswith("DECIMAL") or pa.types.is_floating(kind):
        width = "FLOAT" if stored == "FLOAT" or kind == pa.float32() else "DOUBLE"
        # On-demand views go through pandas, where null is NaN.
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
