"""The size of a view online, as metadata of a run."""

from typing import TYPE_CHECKING

from feature_platform.online.online_size import WHOLE_STORE

if TYPE_CHECKING:
    from feature_platform.online.online_size import OnlineSize

ONLINE_KEYS, ONLINE_BYTES = "feature_platform/online_keys", "feature_platform/online_bytes"
STORE_KEYS, STORE_BYTES = "feature_platform/store_keys", "feature_platform/store_bytes"


def size_metadata(found: "OnlineSize", view: str) -> dict[str, int]:
    """Keys and bytes of the view; of the whole store if it does not keep views apart."""
    if view in found.keys:
        return {ONLINE_KEYS: found.keys[view], ONLINE_BYTES: found.sizes[view]}
    return {STORE_KEYS: found.keys[WHOLE_STORE], STORE_BYTES: found.sizes[WHOLE_STORE]}
