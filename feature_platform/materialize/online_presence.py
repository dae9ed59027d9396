"""Whether written keys are still online: a few keys of the newest window, read back.

One small read detects a store that was wiped, moved, or evicts keys; `compare_online` compares
values.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from feature_platform.core.feast_seams import provider_of
from feature_platform.core.windows import Window
from feature_platform.encoding.feast_rows import feast_rows
from feature_platform.encoding.view_layout import view_layout
from feature_platform.materialize.read_back import served_since
from feature_platform.online.store_errors import online_store_errors
from feature_platform.sources.newest_rows import open_sample

if TYPE_CHECKING:
    from feast import FeatureStore

_EPOCH = 1970


def sample_keys(
    store: "FeatureStore", view: Any, window: Window, *, most: int, now: datetime
) -> list[str]:
    """Keys with an unexpired row in the window, as text for `present_keys`.

    Args:
        store: The Feast store.
        view: A registered feature view that Feast does not compute.
        window: A window that is online; its rows are read.
        most: How many keys at most.
        now: Rows older than the view's TTL, or the store's, at this moment are left out.

    Raises:
        SourceError: The source is missing, unreadable, or lacks a column.
    """
    layout = view_layout(view)
    since = served_since(store, layout, now)
    found: list[str] = []
    with open_sample(store.config, layout, [window], limit=most, seed=0) as (_, batches):
        for batch in batches:
            for key, _, moment, _ in feast_rows(batch, layout):
                if since is None or moment >= since:
                    found.append(key.SerializeToString(deterministic=True).hex())
    return found


def present_keys(store: "FeatureStore", view: Any, keys: Sequence[str]) -> int:
    """Count the keys of `sample_keys` that the online store has a row of.

    Raises:
        OnlineStoreError: The store cannot be read.
    """
    from feature_platform.core.feast_protos import EntityKey

    layout = view_layout(view)
    asked = [EntityKey.FromString(bytes.fromhex(key)) for key in keys]
    with online_store_errors(store, layout.name):
        provider = provider_of(store)
        names = [feature.name for feature in layout.features]
        answers = provider.online_read(store.config, layout.view, asked, names)
    return sum(_is_present(moment, answer) for moment, answer in answers)


def _is_present(moment: datetime | None, answer: Mapping[str, Any] | None) -> bool:
    if moment is None or answer is None:
        return False
    # For a key that Redis lacks, Feast returns nulls with the first moment of 1970.
    first = moment.year <= _EPOCH
    return not first or any(value.WhichOneof("val") for value in answer.values())
