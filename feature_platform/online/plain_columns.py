"""Whether an online store's tables have the columns that bulk writes fill."""

from typing import Any


def is_plain(config: Any) -> bool:
    """Whether the store has only the columns that bulk writes fill."""
    return not config.online_store.vector_enabled and not getattr(
        config.online_store, "enable_openai_compatible_store", False
    )
