"""The differences between two versions of a training set, in sentences."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feature_platform.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa

    from feature_platform.training.snapshots import Snapshot


def what_changed(before: "Snapshot", after: "Snapshot") -> tuple[str, ...]:
    """The differences between two versions, from inputs to values."""
    if before.version == after.version:
        return ()
    old, new = before.manifest, after.manifest
    found: list[str] = []
    same_rows = old["entity_rows"]["sha256"] == new["entity_rows"]["sha256"]
    if not same_rows:
        found.append(f"entity rows: {old['rows']} rows before, {new['rows']} now")
    for kind, part in (("feature view", "feature_views"), ("source", "sources")):
        found += [
            f"{kind} {name} {_how(old[part].get(name), new[part].get(name))}"
            for name in sorted(old[part].keys() | new[part].keys())
            if old[part].get(name) != new[part].get(name)
        ]
    if old["code"] != new["code"]:
        found.append(f"code: {_pairs(old['code'])} before, {_pairs(new['code'])} now")
    was, now = old["features"].keys(), new["features"].keys()
    found += [f"feature {name} is gone" for name in sorted(was - now)]
    found += [f"feature {name} is new" for name in sorted(now - was)]
    if same_rows:
        try:
            found += _changed_values(before.read(), after.read())
        except SourceError as error:  # the older version was removed
            found.append(f"values cannot be compared: {error.subject} {error.problem}")
    return tuple(found)


def _changed_values(old: "pa.Table", new: "pa.Table") -> list[str]:
    found = []
    for name in new.column_names:
        if name not in old.column_names or old.column(name).equals(new.column(name)):
            continue
        pairs = zip(old.column(name).to_pylist(), new.column(name).to_pylist(), strict=True)
        differing = sum(_differ(left, right) for left, right in pairs)
        if differing:
            found.append(f"{name}: {differing} of {new.num_rows} values differ")
    return found


def _differ(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return any(map(_differ, left, right))
    return bool(left != right and not (left != left and right != right))  # noqa: PLR0124 - NaN


def _how(old: Any, new: Any) -> str:
    if old is None or new is None:
        return "is new" if old is None else "is gone"
    changed = sorted(key for key in new if old.get(key) != new[key])
    return f"changed ({', '.join(changed)})"


def _pairs(content: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {text}" for name, text in content.items())
