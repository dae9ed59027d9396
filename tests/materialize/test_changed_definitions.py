"""A view whose definition changes while it is online: old rows never pass for new ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.feature_view import DUMMY_ENTITY
from feast.types import Float64, Int64, String
from worlds.repos import TIME, config, contents
from worlds.sample_repos import online_config
from worlds.times import day

from feature_platform.core.feast_seams import online_store_of
from feature_platform.core.windows import Window
from feature_platform.encoding.entity_keys import encode_keys, of_layout
from feature_platform.encoding.view_layout import view_layout
from feature_platform.materialize.materialize_window import materialize_window
from feature_platform.materialize.read_back import compare_online
from feature_platform.materialize.rebuild import rebuild_online
from feature_platform.online.guarded_writer import EVER
from feature_platform.online.stores import writer_for
from feature_platform.registry.registry_apply import apply
from feature_platform.registry.windows_on_record import load_view, materialized_windows

ROWS = [
    # shop, store, text, n, m, at, later
    (1, 7, "a", 1, 10, day(1, 1), day(2, 1)),
    (2, 8, "b", 2, 20, day(1, 2), day(2, 2)),
    (1, 7, "a", 3, 30, day(1, 3), day(2, 3)),
    (1, 9, "c", 4, 40, day(2, 4), day(2, 5)),
    (3, 8, "b", 5, 50, day(2, 5), day(2, 6)),
]
COLUMNS = ("shop_id", "store_id", "word", "n", "m", "at", "later")
WHOLE = [Window(day(1), day(3))]


@dataclass(frozen=True)
class Definition:
    """What a repo says of the view `v`: its keys with their columns, and its features."""

    keys: Mapping[str, tuple[str, ValueType]] = field(
        default_factory=lambda: {"shop_id": ("shop_id", ValueType.INT64)}
    )
    features: Mapping[str, tuple[str, Any]] = field(default_factory=lambda: {"n": ("n", Int64)})
    time: str = "at"
    path: str = "rows.parquet"
    name: str = "shop"

    def objects(self, folder: Path) -> list[Any]:
        columns = {name: column for name, (column, _) in {**self.keys, **self.features}.items()}
        source = FileSource(
            name="rows",
            path=str(folder / self.path),
            timestamp_field=self.time,
            field_mapping={column: name for name, column in columns.items() if name != column},
        )
        entities = [
            Entity(name=f"{self.name}_{place}", join_keys=[key], value_type=kind)
            for place, (key, (_, kind)) in enumerate(self.keys.items())
        ]
        view = FeatureView(
            name="v",
            entities=entities,
            ttl=timedelta(0),
            source=source,
            schema=[Field(name=name, dtype=kind) for name, (_, kind) in self.features.items()],
        )
        # Feast adds it to what it finds in a repo.
        return [*entities, *([] if entities else [DUMMY_ENTITY]), source, view]

    def applied(self, folder: Path, online: Mapping[str, Any]) -> FeatureStore:
        store = FeatureStore(config=config(folder, online_store=dict(online)))
        apply(store, contents(*self.objects(folder)))
        return store

    def truth(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """By hand: what each key serves once both days are online."""
        newest: dict[tuple[Any, ...], tuple[datetime, dict[str, Any]]] = {}
        for values in ROWS:
            row = dict(zip(COLUMNS, values, strict=True))
            moment = row[self.time]
            key = tuple(row[column] for column, _ in self.keys.values())
            if moment < day(3) and (key not in newest or newest[key][0] <= moment):
                served = {name: row[column] for name, (column, _) in self.features.items()}
                newest[key] = moment, served
        return {key: served for key, (_, served) in newest.items()}

    def served(self, store: FeatureStore) -> dict[tuple[Any, ...], dict[str, Any]]:
        keys = list(self.truth())
        asked = [dict(zip(self.keys, key, strict=True)) for key in keys]
        names = [f"v:{name}" for name in self.features]
        if not self.keys:
            asked = [{"nobody": 1}]
        found = store.get_online_features(features=names, entity_rows=asked).to_dict()
        return {
            key: {name: found[name][place] for name in self.features}
            for place, key in enumerate(keys)
        }


BEFORE = Definition()
STORE, WORD = ("store_id", ValueType.INT64), ("word", ValueType.STRING)
NEW_KEYS = {
    "another join key": replace(BEFORE, keys={"store_id": STORE}),
    "another type": replace(BEFORE, keys={"shop_id": WORD}),
    "another name of the column": replace(BEFORE, keys={"place_id": ("shop_id", ValueType.INT64)}),
    "one key more": replace(BEFORE, keys={**BEFORE.keys, "store_id": STORE}),
    "no key": replace(BEFORE, keys={}),
}
OTHERS = {
    "a feature more": replace(BEFORE, features={"n": ("n", Int64), "m": ("m", Int64)}),
    "another feature": replace(BEFORE, features={"m": ("m", Int64)}),
    "a feature of another column": replace(BEFORE, features={"n": ("m", Int64)}),
    "a feature of another type": replace(BEFORE, features={"n": ("n", Float64)}),
    "a feature of text": replace(BEFORE, features={"n": ("word", String)}),
    "another time": replace(BEFORE, time="later"),
    "another file": replace(BEFORE, path="copy.parquet"),
    "another name of the entity": replace(BEFORE, name="store"),
}
KINDS = ["guarded_sqlite"] + [
    pytest.param(kind, marks=pytest.mark.server) for kind in ("guarded_redis", "guarded_postgres")
]


def two_days(store: FeatureStore) -> None:
    for number in (1, 2):
        materialize_window(store, "v", day(number), day(number + 1))


REPAIRS: Mapping[str, Callable[[FeatureStore], object]] = {
    "materialized again": two_days,
    "in the other order": lambda store: [
        materialize_window(store, "v", day(number), day(number + 1)) for number in (2, 1)
    ],
    "as a range": lambda store: materialize_window(store, "v", day(1), day(3)),
}


@pytest.fixture(params=KINDS)
def folder(tmp_path: Path) -> Path:
    columns = [list(column) for column in zip(*ROWS, strict=True)]
    table = pa.table(dict(zip(COLUMNS, columns, strict=True)))
    for name in ("at", "later"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(TIME))
    for name in ("rows.parquet", "copy.parquet"):
        pq.write_table(table, tmp_path / name)
    return tmp_path


@pytest.fixture
def online(request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
    kind = request.node.callspec.params["folder"]
    found = dict(online_config(kind, request))
    return {"path": str(folder / "online.db"), **found} if "sqlite" in kind else found


def stored_keys(store: FeatureStore) -> int:
    view = load_view(store, "v")
    writer = writer_for(online_store_of(store), store.config)
    assert writer is not None
    try:
        return sum(len(keys) for keys in writer.keys_within(view, EVER))
    finally:
        writer.close()


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("change", [*NEW_KEYS, *OTHERS])
def test_what_is_served_after_a_change_is_what_the_new_definition_says(
    change: str, repair: str, folder: Path, online: Mapping[str, Any]
) -> None:
    two_days(BEFORE.applied(folder, online))
    after = {**NEW_KEYS, **OTHERS}[change]
    store = after.applied(folder, online)
    assert materialized_windows(store, "v") == ([] if change in NEW_KEYS else WHOLE)
    REPAIRS[repair](store)
    assert after.served(store) == after.truth()
    assert stored_keys(store) == len(after.truth())
    assert materialized_windows(store, "v") == WHOLE
    assert compare_online(store, "v").mismatches == ()


@pytest.mark.parametrize("change", [*NEW_KEYS, *OTHERS])
def test_a_changed_view_can_be_rebuilt_and_changed_back(
    change: str, folder: Path, online: Mapping[str, Any]
) -> None:
    two_days(BEFORE.applied(folder, online))
    after = {**NEW_KEYS, **OTHERS}[change]
    store = after.applied(folder, online)
    rebuild_online(store, "v")
    if change in OTHERS:
        assert after.served(store) == after.truth()
    two_days(store)
    store = BEFORE.applied(folder, online)
    two_days(store)
    rebuild_online(store, "v")
    assert BEFORE.served(store) == BEFORE.truth()
    assert stored_keys(store) == len(BEFORE.truth())


def test_an_apply_that_changes_nothing_forgets_no_window(
    folder: Path, online: Mapping[str, Any]
) -> None:
    for definition in NEW_KEYS.values():
        two_days(definition.applied(folder, online))
        store = definition.applied(folder, online)
        assert materialized_windows(store, "v") == WHOLE


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ValueType.INT64, 1),
        (ValueType.INT32, 1),
        (ValueType.STRING, "a"),
        (ValueType.BYTES, b"a"),
        (ValueType.BOOL, True),
        (ValueType.UNIX_TIMESTAMP, day(1)),
        (ValueType.FLOAT, 1.5),
        (ValueType.DOUBLE, 1.5),
    ],
)
def test_a_key_of_any_type_is_known_as_the_view_s(kind: ValueType, value: Any) -> None:
    try:
        keys = encode_keys(["k"], [pa.array([value])], [kind]).to_pylist()
    except ValueError:  # Feast takes no key of this type
        return
    assert of_layout(keys, {"k": kind}) == keys
    assert of_layout(keys, {"other": kind}) == []
    assert of_layout(keys, {"k": kind, "l": kind}) == []
    other = ValueType.INT64 if kind is ValueType.STRING else ValueType.STRING
    assert of_layout(keys, {"k": other}) == []


def test_the_view_of_a_key_without_a_declared_type_keeps_its_windows(tmp_path: Path) -> None:
    definition = replace(BEFORE, keys={"shop_id": ("shop_id", ValueType.UNKNOWN)})
    table = pa.table({"shop_id": [1], "n": [1], "at": pa.array([day(1, 1)], TIME)})
    pq.write_table(table, tmp_path / "rows.parquet")
    online = {"type": "sqlite", "path": str(tmp_path / "online.db")}
    store = definition.applied(tmp_path, online)
    materialize_window(store, "v", day(1), day(3))
    assert view_layout(load_view(store, "v")).keys[0].value_type is ValueType.INT64
    store = definition.applied(tmp_path, online)
    assert materialized_windows(store, "v") == WHOLE
