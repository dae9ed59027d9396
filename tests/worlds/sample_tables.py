"""The tables that the sample repos read: small, written as somebody else's job would write them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from worlds.repos import TIME, write_table
from worlds.times import march


def composite_entities(repo: Path) -> None:
    rows = [
        (rider, city, day, hour, 10 * day + rider, 5.0 * day + rider)
        for day in range(3)
        for hour in (2, 20)
        for rider in (1, 2, 3)
        for city in ("SEL", "TYO")
    ]
    write_table(
        repo / "data/trips.parquet",
        {
            "rider_id": [row[0] for row in rows],
            "city_code": [row[1] for row in rows],
            "trips": [row[4] + row[3] for row in rows],
            "mean_fare": [row[5] for row in rows],
            "usual_payment": ["card" if row[0] % 2 else None for row in rows],
            "event_timestamp": [march(row[2], row[3]) for row in rows],
            "created": [march(row[2], row[3] + 1) for row in rows],
        },
        {"trips": pa.int32(), "event_timestamp": TIME, "created": TIME},
    )


def no_entities(repo: Path) -> None:
    hours = range(72)
    write_table(
        repo / "data/readings.parquet",
        {
            "celsius": [float(hour % 24) for hour in hours],
            "sky": ["clear" if hour % 2 else "cloud" for hour in hours],
            "at": [march(0, hour) for hour in hours],
        },
        {"celsius": pa.float32(), "at": TIME},
    )


def field_mappings(repo: Path) -> None:
    rows = [(f"sku-{number}", day, number) for day in range(3) for number in range(4)]
    write_table(
        repo / "data/voorraad.parquet",
        {
            "artikel": [row[0] for row in rows],
            "aantal": [100 * row[1] + row[2] for row in rows],
            "locatie": [f"rek {row[2]}" for row in rows],
            "reserved": [row[2] for row in rows],
            "tijdstip": [march(row[1], 7) for row in rows],
        },
    )


def shared_source(repo: Path) -> None:
    for day in range(3):
        write_table(
            repo / f"data/clicks/part-{day:05}.parquet",
            {
                "visitor_id": [1, 2, 3],
                "clicks": [day + 10, day + 20, day + 30],
                "pages": [1, 2, 3],
                "spent": [0.5, 1.5, float(day)],
                # Naive, as pandas writes it: Feast takes it for UTC.
                "ts": [march(day, 12).replace(tzinfo=None)] * 3,
            },
            {"ts": pa.timestamp("us")},
        )


def mixed_cadence(repo: Path) -> None:
    rows = [(meter, hour) for hour in range(48) for meter in (1, 2)]
    write_table(
        repo / "data/readings.parquet",
        {
            "meter_id": [row[0] for row in rows],
            "kw": [row[1] + row[0] / 10 for row in rows],
            "kwh": [float(row[1]) for row in rows],
            "read_at": [march(0, row[1] + 0.5) for row in rows],
        },
    )


def streams(repo: Path) -> None:
    rows = [(account, day) for day in range(2) for account in (7, 8)]
    write_table(
        repo / "data/ledger.parquet",
        {
            "account_id": [row[0] for row in rows],
            "paid": [row[0] + row[1] / 2 for row in rows],
            "booked_at": [march(row[1], 9) for row in rows],
        },
    )
    write_table(
        repo / "data/logins.parquet",
        {
            "account_id": [row[0] for row in rows],
            "logins": [row[0] * 10 + row[1] for row in rows],
            "seen_at": [march(row[1], 10) for row in rows],
        },
    )


def on_demand(repo: Path) -> None:
    write_table(
        repo / "data/place_stats.parquet",
        {
            "place_id": [1, 2],
            "visits": [10, 20],
            "stars": [4.0, 3.0],
            "kind": ["museum", "park"],
            "ts": [march(0, 5), march(0, 6)],
        },
    )


def not_servable(repo: Path) -> None:
    columns = {"reader_id": [1, 2], "books": [3, 4], "ts": [march(0, 1), march(0, 2)]}
    write_table(repo / "data/loans.parquet", columns)


def odd_names(repo: Path) -> None:
    for place, count in (("eu", 5), ("asia", 6)):
        columns = {
            "shop-id": [1, 2],
            "n orders": [count, count],
            "event time": [march(0)] * 2,
        }
        write_table(repo / f"data/{place}/orders.parquet", columns)
    columns = {"shop-id": [1, 2], "n": [7, 8], "ts": [march(0)] * 2}
    write_table(repo / "data/returns.parquet", columns)


def unnamed_sources(repo: Path) -> None:
    for place, count in (("north", 5), ("south", 6)):
        columns = {
            "shop-id": [1, 2],
            "loaves sold": [count, 2 * count],
            "sold at": [march(0)] * 2,
        }
        write_table(repo / f"data/{place}/sold.parquet", columns)


def batch_transformation(repo: Path) -> None:
    write_table(
        repo / "data/pings.parquet",
        {
            "device_id": [1, 2],
            "latency_s": [0.25, 0.5],
            "pings": [3, 4],
            "ts": [march(0, 1), march(0, 2)],
        },
    )


def transformed(repo: Path, sales: list[tuple[int, float, float]] | None = None) -> None:
    """Sales as (shop, day, euros), the day a part of one too; visitors of three days."""
    found = sales or [
        (1, 0.2, 3.0), (1, 0.1, 1.0), (2, 0.3, 5.0), (1, 1.1, 7.0), (1, 2.5, 11.0), (2, 2.1, 2.0)
    ]  # fmt: skip
    write_table(
        repo / "data/sales.parquet",
        {
            "shop_id": [row[0] for row in found],
            "euros": [row[2] for row in found],
            "sold_at": [march(0, 24 * row[1]) for row in found],
            "booked_at": [march(0, 24 * row[1] + 1) for row in found],
        },
        {"shop_id": pa.int64(), "euros": pa.float64(), "sold_at": TIME, "booked_at": TIME},
    )
    days = range(3)
    write_table(
        repo / "data/visits.parquet",
        {
            "shop_id": [shop for _ in days for shop in (1, 2)],
            "visitors": [10 * (day + shop) for day in days for shop in (1, 2)],
            "ts": [march(day, 20) for day in days for _ in (1, 2)],
        },
    )


def inferred_schema(repo: Path) -> None:
    write_table(
        repo / "data/visits.parquet",
        {
            "card_no": [100, 200, 100],
            "visits": [1, 2, 3],
            "shelves": [["A", "B"], [], ["C"]],
            "weights": [[0.5], [0.25, 0.75], [1.0]],
            "ts": [march(0, 1), march(0, 2), march(1, 3)],
        },
        {"ts": TIME, "shelves": pa.list_(pa.string()), "weights": pa.list_(pa.float64())},
    )


TABLES: Mapping[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (
        composite_entities,
        no_entities,
        field_mappings,
        shared_source,
        mixed_cadence,
        streams,
        on_demand,
        not_servable,
        odd_names,
        unnamed_sources,
        batch_transformation,
        transformed,
        inferred_schema,
    )
}
