"""The difference between a repo and its registry, without Feast's false positives."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class RegistryChange:
    """What `apply` changes in the registry, or would change.

    Attributes:
        added: New objects, such as ``feature view driver_stats``.
        updated: Objects whose definition differs.
        deleted: Objects that the repo no longer defines.
        text: Feast's description of the change, without colours.
    """

    added: tuple[str, ...]
    updated: tuple[str, ...]
    deleted: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, difference: Any) -> Self:
        """The change of a ``RegistryDiff`` of Feast."""
        from feast.diff.property_diff import TransitionType
        from feast.feature_view import DUMMY_ENTITY_NAME

        names: dict[Any, list[str]] = {}
        for each in difference.feast_object_diffs:
            if each.name != DUMMY_ENTITY_NAME:
                kind = each.feast_object_type.value
                names.setdefault(each.transition_type, []).append(f"{kind} {each.name}")
        return cls(
            added=tuple(sorted(names.get(TransitionType.CREATE, []))),
            updated=tuple(sorted(names.get(TransitionType.UPDATE, []))),
            deleted=tuple(sorted(names.get(TransitionType.DELETE, []))),
            text=_COLOURS.sub("", difference.to_string()).strip(),
        )

    @property
    def in_words(self) -> str:
        """All of it in one line: ``adds feature view x; deletes entity y``; empty for none."""
        parts = (("adds", self.added), ("updates", self.updated), ("deletes", self.deleted))
        return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.deleted)

    def __str__(self) -> str:
        return self.text


def without_false_positives(difference: Any) -> Any:
    """Remove objects from a ``RegistryDiff`` that equal their registered definition.

    Feast reports a view as changed once its windows have been materialized, and quotes the times at
    which its sources were registered. A source of some classes differs to Feast from what the
    registry gives back, an empty text from None, although both are stored alike.
    """
    from feast.diff.property_diff import TransitionType

    difference.feast_object_diffs = [
        each
        for each in difference.feast_object_diffs
        if each.transition_type != TransitionType.UPDATE
        or any(
            _comparable(prop.val_existing) != _comparable(prop.val_declared)
            for prop in each.feast_object_property_diffs
            if prop.property_name != "meta"  # only sources have it among their properties
        )
    ]
    return difference


def _comparable(value: Any) -> Any:
    """A property without the times at which it was registered."""
    if isinstance(value, Sequence) and value and hasattr(value[0], "DESCRIPTOR"):
        # A view's parents are whole views; a service holds projections of views.
        is_parent = "source_views" in value[0].DESCRIPTOR.fields_by_name
        return [_comparable_parent(each) if is_parent else _comparable(each) for each in value]
    if not hasattr(value, "HasField"):
        return value
    plain = copy.deepcopy(value)
    fields = plain.DESCRIPTOR.fields_by_name
    for part in [plain, *([plain.batch_source] if "batch_source" in fields else [])]:
        if "meta" in part.DESCRIPTOR.fields_by_name:
            part.ClearField("meta")
    return plain


def _comparable_parent(spec: Any) -> Any:
    """A parent's definition inside a derived view, without what Feast writes differently each time.

    That is a TTL of zero, and the pickle of a transformation whose text is stored as well.
    """
    plain = _comparable(spec)
    if not plain.ttl.ToNanoseconds():
        plain.ClearField("ttl")
    plain.stream_source.ClearField("meta")
    plain.stream_source.batch_source.ClearField("meta")
    if not spec.HasField("stream_source"):
        plain.ClearField("stream_source")
    if plain.feature_transformation.user_defined_function.body_text:
        plain.feature_transformation.user_defined_function.ClearField("body")
    parents = [_comparable_parent(each) for each in plain.source_views]
    del plain.source_views[:]
    plain.source_views.extend(parents)
    return plain
