"""What earlier ticks read, cached on disk.

If it is lost, everything is read again from the sources and the event log.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import dagster as dg
from pydantic import TypeAdapter

from feature_platform.core.published_files import published
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.repo.project import FeastProject


@dataclass
class SourceMemory:
    """The content of a source.

    Attributes:
        stamp: The fingerprint of the source when it was read; None without one.
        digests: Start of a window, as ISO text, to its content hash.
        columns: Columns that were hashed, in one text; empty for all of the table's.
        read: When all of it was read, seconds since 1970.
        took: How long that took, seconds.
    """

    stamp: str | None = None
    digests: dict[str, str] = field(default_factory=dict)
    columns: str = ""
    read: float = 0.0
    took: float = 0.0


@dataclass
class AssetMemory:
    """The materializations of an asset in the event log.

    Attributes:
        event: Event id of the newest one that was read.
        first: The first partition key that was asked for.
        hashes: Partition key to the content hash of its newest materialization.
    """

    event: int = 0
    first: str = ""
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass
class NewestMemory:
    """The newest event time of a view.

    Attributes:
        seen: What it was read from: windows online and the source's stamp.
        newest: ISO text; None without any row.
    """

    seen: str = ""
    newest: str | None = None


@dataclass
class OnlineMemory:
    """The last check of a view in the online store.

    Attributes:
        seen: What `keys` were chosen by: the newest materialization and its window.
        keys: Keys that the store has to hold, as text.
        lost: The fault on record; empty without one.
    """

    seen: str = ""
    keys: list[str] = field(default_factory=list)
    lost: str = ""


@dataclass
class Memory:
    """The memory of one sensor: by source, by asset key joined with slashes, and by view."""

    version: Literal[1] = 1
    sources: dict[str, SourceMemory] = field(default_factory=dict)
    assets: dict[str, AssetMemory] = field(default_factory=dict)
    newest: dict[str, NewestMemory] = field(default_factory=dict)
    online: dict[str, OnlineMemory] = field(default_factory=dict)


_MEMORY = TypeAdapter(Memory)


@contextmanager
def remembered(home: Path, project: FeastProject, part: str) -> Iterator[Memory]:
    """Load the memory of a sensor (`part`) from Dagster's home, and store it at the end."""
    identity = f"{project.name}\0{project.repo_dir}\0{project.profile}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
    file = home / "automation" / f"{op_name(dg.AssetKey(project.name))}-{part}-{digest}.json"
    memory, before = _load(file)
    yield memory
    after = json.dumps(asdict(memory))
    if after != before:
        _save(file, after)


def _load(file: Path) -> tuple[Memory, str]:
    try:
        text = file.read_text(encoding="utf-8")
        return _MEMORY.validate_json(text), text
    except (OSError, ValueError):  # absent, damaged, or of another version
        return Memory(), ""


def _save(file: Path, text: str) -> None:
    # A home that cannot be written, or does not last, makes the next tick slower.
    with suppress(OSError), published(file) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
