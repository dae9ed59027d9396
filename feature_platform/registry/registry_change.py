"""What `feast apply` would change, or has changed, told apart from what Feast only believes."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class RegistryChange:
    """What `apply` changes in the registry, or would.

    Attributes:
        added: Objects that are new, such as ``feature view driver_stats``.
        updated: Objects whose definition differs.
        deleted: Objects the repo no longer defines.
        text: Feast's own account of it, without colours.
    """

    added: tuple[str, ...]
    updated: tuple[str, ...]
    deleted: tuple[str, ...]
    text: str

    def __bool__(self) -> bool:
        return bool(self.added or self.updated or self.deleted)

    def __str__(self) -> str:
        return self.text


def real_difference(difference: Any) -> Any:
    """The difference without objects that differ in nothing a repo can say.

    Feast finds a view changed when windows of it were materialized, and then shows the times at
    which its sources were registered.
    """
    from feast.diff.property_diff import TransitionType

    difference.feast_object_diffs = [
        each
        for each in difference.feast_object_diffs
        if each.transition_type != TransitionType.UPDATE
        or any(
            _said(prop.val_existing) != _said(prop.val_declared)
            for prop in each.feast_object_property_diffs
        )
    ]
    return difference


def _said(value: Any) -> Any:
    """A property without the times at which it was registered."""
    if isinstance(value, Sequence) and value and hasattr(value[0], "DESCRIPTOR"):
        # Parents of a view are views; what a service takes of views are projections of them.
        of = _parent if "source_views" in value[0].DESCRIPTOR.fields_by_name else _said
        return [of(each) for each in value]
    if not hasattr(value, "HasField"):
        return value
    plain = copy.deepcopy(value)
    fields = plain.DESCRIPTOR.fields_by_name
    for part in [plain, *([plain.batch_source] if "batch_source" in fields else [])]:
        if "meta" in part.DESCRIPTOR.fields_by_name:
            part.ClearField("meta")
    return plain


def _parent(spec: Any) -> Any:
    """What a derived view repeats of a parent, without what Feast writes otherwise each time.

    That is a TTL of nothing, and the pickle of a transformation whose text is there.
    """
    plain = _said(spec)
    if not plain.ttl.ToNanoseconds():
        plain.ClearField("ttl")
    plain.stream_source.ClearField("meta")
    plain.stream_source.batch_source.ClearField("meta")
    if not spec.HasField("stream_source"):
        plain.ClearField("stream_source")
    if plain.feature_transformation.user_defined_function.body_text:
        plain.feature_transformation.user_defined_function.ClearField("body")
    parents = [_parent(each) for each in plain.source_views]
    del plain.source_views[:]
    plain.source_views.extend(parents)
    return plain


def described(difference: Any) -> RegistryChange:
    """What a ``RegistryDiff`` of Feast says, by name."""
    from feast.diff.property_diff import TransitionType
    from feast.feature_view import DUMMY_ENTITY_NAME

    names: dict[Any, list[str]] = {}
    for each in difference.feast_object_diffs:
        if each.name != DUMMY_ENTITY_NAME:
            kind = each.feast_object_type.value
            names.setdefault(each.transition_type, []).append(f"{kind} {each.name}")
    return RegistryChange(
        added=tuple(sorted(names.get(TransitionType.CREATE, []))),
        updated=tuple(sorted(names.get(TransitionType.UPDATE, []))),
        deleted=tuple(sorted(names.get(TransitionType.DELETE, []))),
        text=_COLOURS.sub("", difference.to_string()).strip(),
    )
