"""What was read before, on disk, so that the next tick need not read it again.

Losing it costs time and nothing else: it is all read again from the sources and the event log.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import dagster as dg

from feature_platform.core.published_files import published
from feature_platform.orchestration.graph.translator import op_name
from feature_platform.repo.project import FeastProject

_VERSION = 1


@dataclass
class SourceMemory:
    """What a source held.

    Attributes:
        stamp: When it was read; None where it has none.
        digests: Start of a window, as ISO text, to its content hash.
        columns: Those whose content counts, in one text; empty where all of the table's do.
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
    """What the event log says of an asset.

    Attributes:
        event: Number of its newest materialization that was read.
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
        newest: ISO text; None where there is no row.
    """

    seen: str = ""
    newest: str | None = None


@dataclass
class OnlineMemory:
    """What the online store was last found to hold of a view.

    Attributes:
        seen: What `keys` were chosen by: the newest materialization and its window.
        keys: Keys that have to be there, as text.
        lost: What was on record as wrong; empty where nothing was.
    """

    seen: str = ""
    keys: list[str] = field(default_factory=list)
    lost: str = ""


@dataclass
class Memory:
    """By source, by asset key joined with slashes, and by view."""

    sources: dict[str, SourceMemory] = field(default_factory=dict)
    assets: dict[str, AssetMemory] = field(default_factory=dict)
    newest: dict[str, NewestMemory] = field(default_factory=dict)
    online: dict[str, OnlineMemory] = field(default_factory=dict)


@contextmanager
def remembered(home: Path, project: FeastProject, part: str) -> Iterator[Memory]:
    """The memory of one sensor of a project; what it holds at the end is kept.

    Args:
        home: Of the Dagster instance.
        project: The repo.
        part: Which sensor; each has a file of its own.
    """
    said = f"{project.name}\0{project.repo_dir}\0{project.profile}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    file = home / "automation" / f"{op_name(dg.AssetKey(project.name))}-{part}-{digest}.json"
    memory, before = _load(file)
    yield memory
    after = json.dumps({"version": _VERSION, **asdict(memory)})
    if after != before:
        _save(file, after)


def _load(file: Path) -> tuple[Memory, str]:
    try:
        text = file.read_text(encoding="utf-8")
        said = json.loads(text)
        if said["version"] != _VERSION:
            return Memory(), ""
        return (
            Memory(
                {name: SourceMemory(**each) for name, each in said["sources"].items()},
                {name: AssetMemory(**each) for name, each in said["assets"].items()},
                {name: NewestMemory(**each) for name, each in said["newest"].items()},
                {name: OnlineMemory(**each) for name, each in said.get("online", {}).items()},
            ),
            text,
        )
    except (OSError, ValueError, TypeError, KeyError):
        return Memory(), ""


def _save(file: Path, text: str) -> None:
    # A home that cannot be written, or does not last, makes the next tick slower.
    with suppress(OSError), published(file) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
