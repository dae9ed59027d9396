"""Content hashes and row counts of windows."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feature_platform.core.windows import Window
from feature_platform.orchestration.graph.translator_data import SourceData
from feature_platform.repo.computability import why_transformed
from feature_platform.repo.project import source_of

if TYPE_CHECKING:
    from feast import FeatureStore

    from feature_platform.sources.opened_window import OpenedWindow
    from feature_platform.sources.window_digests import WindowDigest

CONTENT_HASH = "feature_platform/content_hash"
ROW_COUNT = "dagster/partition_row_count"


def hashed_columns(data: SourceData) -> list[str] | None:
    """The columns of a source that its content hash covers; None for all of the table's.

    All, if the repo has a suite or a transformation that may read any column, or if no schema is
    known.
    """
    if data.project.suite_file(data.name) is not None:
        return None
    for view in data.project.views.values():
        source = source_of(view)
        if source is not None and source.name == data.name and why_transformed(view):
            return None
    return [column.name for column in data.columns] or None


def source_digests(
    store: "FeatureStore", data: SourceData, windows: Sequence[Window]
) -> "dict[Window, WindowDigest]":
    """Row count and content hash of each window in the source now."""
    from feature_platform.sources.window_digests import window_digests

    found = window_digests(store, data.obj, windows, hashed_columns(data))
    return {digest.window: digest for digest in found}


def opened_digests(
    opened: "OpenedWindow", data: SourceData, windows: Sequence[Window]
) -> "dict[Window, WindowDigest]":
    """Row count and content hash of each window among opened rows."""
    found = opened.digests(windows, hashed_columns(data))
    return {digest.window: digest for digest in found}


def combined_hash(hashes: Sequence[str]) -> str:
    """One hash of several windows, given oldest first; of a single window, its own."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]
