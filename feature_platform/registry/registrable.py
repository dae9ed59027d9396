"""What Feast's registry cannot hold."""

from typing import Any

_UNREADABLE = ("sql", "flink")


def why_not_registrable(view: Any) -> str:
    """Why a registry that holds the view could not be read any more; empty where it could."""
    transformation = getattr(view, "feature_transformation", None)
    mode = transformation_mode(transformation)
    if transformation is None or mode not in _UNREADABLE:
        return ""
    return f"its transformation is of mode '{mode}', which Feast cannot read from a registry"


def transformation_mode(transformation: Any) -> str:
    """The mode of a transformation: ``pandas`` unless it says otherwise."""
    mode = getattr(transformation, "mode", "pandas")
    return str(getattr(mode, "value", mode))
