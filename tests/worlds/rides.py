"""A view of taxi rides, about whose drift several rooms have tests."""

from datetime import timedelta

from worlds.times import utc, window

from feature_platform.core.windows import Window

MONDAY = utc(2026, 3, 2)
VIEWS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)


def riding(features, path="data/trips.parquet", ttl=timedelta(0), **tags):
    return FeatureView(
        name="riding", entities=[user], ttl=ttl,
        schema=[Field(name=name, dtype=kind) for name, kind in features.items()],
        source=FileSource(name="trips", path=path, timestamp_field="at"),
        tags={f"dagster/{tag}": value for tag, value in tags.items()},
    )


"""
"""The head of a ``views.py``; what follows calls `riding`."""


def day(number: int) -> Window:
    """That many days after a Monday."""
    return window(MONDAY + timedelta(days=number))
