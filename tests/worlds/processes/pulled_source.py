"""Reads a table of PostgreSQL in a process of its own, and prints how much memory that took.

Arguments: the folder of a Feast repo, the configuration of its offline store as JSON, and the
number of days from 2026-01-01 on.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureStore, FeatureView, Field, ValueType
from feast.infra.offline_stores.contrib.postgres_offline_store.postgres_source import (
    PostgreSQLSource,
)
from feast.types import Float64, String
from worlds import repos
from worlds.times import JANUARY

START = JANUARY


def opened(
    folder: Path, offline: dict[str, Any], source: Any, key: ValueType = ValueType.INT64
) -> FeatureStore:
    """A store with the view `v`: keyed by `user_id`, with `amount` and `city`, from `source`."""
    user = Entity(name="user", join_keys=["user_id"], value_type=key)
    fields = [Field(name="amount", dtype=Float64), Field(name="city", dtype=String)]
    view = FeatureView(name="v", entities=[user], source=source, schema=fields)
    return repos.opened(folder, user, source, view, offline_store=offline)


def things() -> PostgreSQLSource:
    return PostgreSQLSource(name="things", table="things", timestamp_field="ts")


def _peak() -> int:
    # Not `getrusage`: it counts what the process that started this one had in memory.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    from feature_platform.materialize.materialize_window import materialize_window
    from feature_platform.materialize.read_back import compare_online

    store = opened(Path(sys.argv[1]), json.loads(sys.argv[2]), things())
    end = START + timedelta(days=int(sys.argv[3]))
    rows = materialize_window(store, "v", START, end).rows_read
    found = compare_online(store, "v", limit=100)
    assert found.mismatches == ()
    sys.stdout.write(json.dumps([rows, found.keys_compared, found.keys_total, _peak()]))
