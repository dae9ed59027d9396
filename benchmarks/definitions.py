"""How long 500 synthetic views take to load as Dagster definitions, beyond the imports.

Prints one JSON line: medians of interleaved runs, each a fresh interpreter. ``imports_seconds`` is
what importing Feast, Dagster and this package costs; ``definitions_seconds`` is what comes on top
until a repository with all its jobs stands, as a code location loads it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONFIG = """\
project: synthetic
provider: local
registry: data/registry.db
offline_store:
  type: duckdb
online_store:
  type: sqlite
  path: data/online_store.db
entity_key_serialization_version: 3
"""
VIEW = """\
source_{number} = FileSource(
    name="source_{number}",
    path="data/table_{number}.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created_timestamp",
)
view_{number} = FeatureView(
    name="view_{number}",
    entities=[user],
    ttl=timedelta(days=7),
    schema=[
        Field(name="user_id", dtype=String),
        Field(name="count_{number}", dtype=Int64),
        Field(name="mean_{number}", dtype=Float32),
        Field(name="last_{number}", dtype=String),
    ],
    source=source_{number},
    owner="team@example.com",
    tags={{"team": "synthetic", "dagster/freshness": "26h"}},
    description="Synthetic view {number}.",
)
"""
SERVICE = 'service_{number} = FeatureService(name="service_{number}", features=[{views}])\n'

# What a code location imports to load a repo; both measurements begin with it.
_IMPORTS = """\
import time
began = time.perf_counter()
import dagster, feast, feast.repo_operations, feast.infra.offline_stores.duckdb
import feast.infra.online_stores.sqlite, feast.infra.registry.registry, sqlglot
from feature_platform import FeastProject, build_feast_definitions
imports = time.perf_counter() - began
"""
_LOAD = """\
import json, sys
began = time.perf_counter()
defs = build_feast_definitions(FeastProject(sys.argv[1]), "2026-01-01")
repository = defs.get_repository_def()
jobs = len(list(repository.get_all_jobs()))
seconds = time.perf_counter() - began
graph = repository.asset_graph
print(json.dumps({
    "imports": imports,
    "definitions": seconds,
    "assets": len(graph.get_all_asset_keys()),
    "checks": len(graph.asset_check_keys),
    "jobs": jobs,
}))
"""


def write_repo(folder: Path, views: int, services: int) -> None:
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").write_text(CONFIG)
    lines = [
        "from datetime import timedelta\n",
        "from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType",
        "from feast.types import Float32, Int64, String\n",
        'user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)\n',
        *(VIEW.format(number=number) for number in range(views)),
    ]
    for number in range(services):
        asked = range(number, views, services)
        names = ", ".join(f"view_{view}" for view in asked)
        lines.append(SERVICE.format(number=number, views=names))
    (folder / "features.py").write_text("\n".join(lines))


def measure(repo: Path) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-c", _IMPORTS + _LOAD, str(repo)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=500)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="definitions-") as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        write_repo(large, options.views, options.services)
        write_repo(small, 1, 1)
        # Interleaved, so that a noisy moment of the machine meets both.
        runs = [(measure(large), measure(small)) for _ in range(options.repeat)]
    many = [found for found, _ in runs]
    print(
        json.dumps(
            {
                "case": "definitions",
                "views": options.views,
                "services": options.services,
                "runs": options.repeat,
                "imports_seconds": _median(found["imports"] for found in many),
                "definitions_seconds": _median(found["definitions"] for found in many),
                "one_view_seconds": _median(found["definitions"] for _, found in runs),
                "assets": many[0]["assets"],
                "checks": many[0]["checks"],
                "jobs": many[0]["jobs"],
            }
        )
    )


def _median(values: Any) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
