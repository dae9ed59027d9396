"""Views that Feast's registry cannot hold."""

from typing import Any

_UNREADABLE_MODES = ("sql", "flink")


def why_not_registrable(view: Any) -> str:
    """Why Feast could not read a registry that holds the view; empty if it could."""
    transformation = getattr(view, "feature_transformation", None)
    mode = transformation_mode(transformation)
    if transformation is None or mode not in _UNREADABLE_MODES:
        return ""
    return f"its transformation is of mode '{mode}', which Feast cannot read from a registry"


def transformation_mode(transformation: Any) -> str:
    """The mode of a transformation; ``pandas`` by default."""
    mode = getattr(transformation, "mode", "pandas")
    return str(getattr(mode, "value", mode))
