"""YAML that remembers its lines, so that an error can name the one it is about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from feature_platform.errors import AlertError


@dataclass(frozen=True)
class Node:
    """A value in a YAML file.

    Attributes:
        value: A mapping of names to nodes, a list of nodes, or a scalar.
        file: The file.
        line: Its line, from 1.
        what: What it is, in words for errors, such as ``route 2``.
    """

    value: Any
    file: Path
    line: int
    what: str

    def error(self, problem: str, remedy: str) -> AlertError:
        """An error about this value."""
        return AlertError(f"{self.file}:{self.line}", f"{self.what} {problem}", remedy)

    def called(self, what: str) -> "Node":
        """The same under another name."""
        return Node(self.value, self.file, self.line, what)

    def fields(self, known: Sequence[str], required: Sequence[str] = ()) -> "Mapping[str, Node]":
        """The nodes of a mapping, whose names have to be known ones.

        Raises:
            AlertError: It is no mapping, or a name is unknown or missing.
        """
        found = self.mapping()
        for name, node in found.items():
            if name not in known:
                near = get_close_matches(name, known, n=1)
                raise node.called(self.what).error(
                    f"has the unknown field '{name}'",
                    f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}",
                )
        for name in required:
            if name not in found:
                raise self.error(f"lacks '{name}'", f"add '{name}:'")
        return found

    def mapping(self) -> "Mapping[str, Node]":
        """The nodes of a mapping.

        Raises:
            AlertError: It is none.
        """
        if not isinstance(self.value, dict):
            raise self.error("is not a mapping", "write it as 'name: value' lines, indented")
        return self.value

    def items(self) -> "Sequence[Node]":
        """The nodes of a list; a single value is a list of one."""
        if isinstance(self.value, list):
            return self.value
        return [self]

    def text(self) -> str:
        """A scalar as text.

        Raises:
            AlertError: It is no scalar, or is empty.
        """
        if isinstance(self.value, dict | list) or self.value is None or self.value == "":
            raise self.error("is not a text", "write one value, in quotes if it has a colon")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        """One text or a list of them."""
        return tuple(item.text() for item in self.items())

    def flag(self) -> bool:
        """True or false.

        Raises:
            AlertError: It is neither.
        """
        if not isinstance(self.value, bool):
            raise self.error(f"is '{self.value}'", "write true or false")
        return self.value

    def one_of(self, allowed: Sequence[str]) -> str:
        """A text out of a few.

        Raises:
            AlertError: It is another.
        """
        said = self.text()
        if said not in allowed:
            near = get_close_matches(said, allowed, n=1)
            raise self.error(
                f"is '{said}'",
                f"did you mean '{near[0]}'?" if near else f"use {', '.join(allowed)}",
            )
        return said


def read_yaml(path: Path) -> Node:
    """The file as nodes.

    Raises:
        AlertError: It cannot be read, is no YAML, or says a name twice.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if root is not None:
            return _node(root, path, "the file")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AlertError(
            f"alert routes {path}", f"cannot be read: {reason}", "give the path of a YAML file"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1 if mark else 1}"
        raise AlertError(where, f"is no plain YAML: {error.problem}", "correct it") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = "it has a control character, a date that is none, or an alias of itself"
        raise AlertError(f"{path}:1", f"is no plain YAML: {said}", "remove it") from error
    raise AlertError(f"{path}:1", "the file is empty", "give it 'channels:' and 'routes:'")


def _node(node: yaml.Node, path: Path, what: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Node] = {}
        for key, value in node.value:
            name = str(key.value)
            each = _node(value, path, f"'{name}'")
            # A block begins below its name; people look for the name.
            each = Node(each.value, path, key.start_mark.line + 1, each.what)
            if name in found:
                raise each.error("stands twice", "keep one of them")
            found[name] = each
        return Node(found, path, line, what)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(each, path, what) for each in node.value], path, line, what)
    scalar = yaml.SafeLoader("")
    return Node(scalar.construct_object(node, deep=True), path, line, what)
