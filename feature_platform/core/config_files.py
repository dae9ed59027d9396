"""YAML config files, checked by pydantic: an error names file, line, field, value and remedy.

A file is described by a `ConfigModel`, or by a dataclass with ``@with_config(CONFIG)``; Python code
builds such a dataclass as any other, without these checks.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import WithDefaultSchema
from yaml.constructor import ConstructorError

from feature_platform.core.durations import read_duration
from feature_platform.errors import FeaturePlatformError

T = TypeVar("T")
Place: TypeAlias = tuple[str | int, ...]
"""Names and positions that lead to a value in a file."""

CONFIG = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
"""Unknown fields are errors; values, which may be secrets, are kept out of pydantic's messages."""

_MERGE = "tag:yaml.org,2002:merge"
_NOTHING = yaml.ScalarNode("tag:yaml.org,2002:null", "", yaml.Mark("", 0, 0, 0, None, 0))
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
_NO_MAPPING = {"dataclass_type", "dict_type", "mapping_type", "model_attributes_type", "model_type"}
_CHOICES = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}
_REMEDIES = {
    "bool_type": "write true or false",
    "float_type": "use a number",
    "greater_than_equal": "use {ge} or more",
    "int_type": "use a whole number",
    "less_than_equal": "use {le} at most",
    "string_type": "make it text",
}


class ConfigModel(BaseModel):
    """A mapping in a config file."""

    model_config = CONFIG


def invalid(problem: str, remedy: str, *below: str | int) -> PydanticCustomError:
    """The error that a validator raises about a value.

    Args:
        problem: What is wrong, such as ``is 'soon'``, without secrets.
        remedy: What to do.
        below: Where the problem is, relative to the value.
    """
    context = {"problem": problem, "remedy": remedy, "below": below}
    return PydanticCustomError("invalid", "{problem}", context)


def _locate(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except FeaturePlatformError as error:
        raise PydanticCustomError("located", "{error}", {"error": error}) from None


LOCATED = WrapValidator(_locate)
"""A FeaturePlatformError that is raised while the value is read names its file and line."""


def read_text(value: Any) -> str:
    """A scalar that is not empty, as text.

    Raises:
        PydanticCustomError: It is another value.
    """
    if isinstance(value, dict | list):
        raise invalid("is not a text", "write one value, in quotes if it has a colon")
    if value is None or not str(value).strip():
        raise invalid("is empty", "write a value")
    return str(value)


def _duration(value: Any) -> timedelta:
    duration = read_duration(value)
    if duration is None:
        raise invalid(f"is {_shown(value)}", "use seconds, minutes, hours or days: 90s, 5m, 2h, 1d")
    return duration


Text = Annotated[str, BeforeValidator(read_text)]
Duration = Annotated[timedelta, PlainValidator(_duration)]
"""A duration, written ``90s``, ``5m``, ``2h`` or ``1d``."""
OneOrMore = Annotated[
    tuple[T, ...], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]
"""A list; a single value is a list of one."""


@dataclass(frozen=True)
class Config:
    """Settings as they are written, to be checked.

    Attributes:
        content: Mappings, lists and scalars.
        error: The class of errors about them.
        subject: The file, or the name in errors of settings that come from Python.
        root: The node of the file's content.
    """

    content: Any
    error: type[FeaturePlatformError]
    subject: str
    root: yaml.Node | None = None

    def check(self, kind: type[T], context: Any = None) -> T:
        """The settings as an instance of a model or dataclass.

        Args:
            kind: The class.
            context: Whatever its validators need.

        Raises:
            FeaturePlatformError: Of class `error`, about the first thing that is wrong.
        """
        try:
            adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # it is hashable
            return adapter.validate_python(self.content, context=context)
        except ValidationError as error:
            problems = error.errors(include_url=False)
        # Raised here, since pydantic's error, which holds the input, would stay attached to it.
        # An unknown field may be the one that is missing, misspelt.
        first = min(
            problems, key=lambda each: (each["type"] == "missing", self.line(self._place(each)))
        )
        raise self._error(first, kind)

    def line(self, place: Place) -> int:
        """The line in the file of a value, or of the part above it that exists; 0 for Python."""
        node, line = self.root, self.root.start_mark.line + 1 if self.root else 0
        for part in place:
            if isinstance(node, yaml.SequenceNode):
                node = node.value[part]
                line = node.start_mark.line + 1
            elif isinstance(node, yaml.MappingNode):
                values = {key.value: (key, value) for key, value in node.value}
                if part not in values:
                    break
                # A block begins below its name; people look for the name.
                key, node = values[part]
                line = key.start_mark.line + 1
        return line

    def _place(self, problem: ErrorDetails) -> Place:
        """Where a problem is, as far as it is in the content; pydantic names union members too."""
        ctx = problem.get("ctx", {})
        below = (_tag(ctx),) if problem["type"] == "union_tag_invalid" else ctx.get("below", ())
        place: list[str | int] = []
        content = self.content
        for part in (*problem["loc"], *below):
            if (isinstance(content, Mapping) and part in content) or (
                isinstance(content, list) and isinstance(part, int) and part < len(content)
            ):
                content = content[part]
                place.append(part)
        return tuple(place)

    def _error(self, problem: ErrorDetails, kind: type) -> FeaturePlatformError:
        place = self._place(problem)
        where = f"{self.subject}:{self.line(place)}" if self.root else self.subject
        if problem["type"] == "located":
            cause: FeaturePlatformError = problem["ctx"]["error"]
            text = f"{cause.subject}: {cause.problem}"
            return type(cause)(where, text, cause.remedy) if self.root else cause
        if problem["type"] in _UNKNOWN and place[-1:] == problem["loc"][-1:]:
            place = place[:-1]
        what = _path(place) or ("the file" if self.root else "")
        text, remedy = _explain(problem, kind)
        return self.error(where, f"{what} {text}".strip(), remedy)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    located: Any = Annotated[kind, LOCATED]
    return TypeAdapter(located)


class _Loader(yaml.SafeLoader):
    """Reads every key as text, and refuses one that stands twice."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        keys = [key.value for key, _ in node.value]
        for number, (key, _) in enumerate(node.value):
            if key.value in keys[:number]:
                raise ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = "tag:yaml.org,2002:str"
        super().flatten_mapping(node)
        # Without what a merge key brings and the mapping overrides.
        node.value = list({str(key.value): (key, value) for key, value in node.value}.values())


def read_config(path: Path, error: type[FeaturePlatformError]) -> Config:
    """Read a YAML file, in which every key is text.

    Raises:
        FeaturePlatformError: Of class `error`: it cannot be read, is not plain YAML, or has a key
            twice.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node() or _NOTHING
        return Config(loader.construct_document(root), error, str(path), root)
    except (OSError, UnicodeDecodeError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "it is not UTF-8"
        raise error(
            str(path), f"cannot be read: {reason}", "give the path of a YAML file"
        ) from cause
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        where = f"{path}:{mark.line + 1 if mark else 1}"  # `cause` would show the text around it
        raise error(where, f"is not plain YAML: {cause.problem}", "correct it") from None
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        text = "it has a control character, an invalid date, or an alias of itself"
        raise error(f"{path}:1", f"is not plain YAML: {text}", "remove it") from cause


def _path(place: Place) -> str:
    """``routes[0].match.severity``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def _explain(problem: ErrorDetails, kind: type) -> tuple[str, str]:
    """What is wrong with a value, and the remedy."""
    what, ctx, value = problem["type"], problem.get("ctx", {}), problem["input"]
    *parent, name = problem["loc"] or ("",)
    if what == "invalid":
        text, remedy = ctx["problem"], ctx["remedy"]
    elif what == "missing":
        text, remedy = f"lacks '{name}'", f"add '{name}:'"
    elif what == "union_tag_not_found":
        types = _schema(kind, problem["loc"])["discriminator"]["mapping"]
        text, remedy = f"lacks '{_tag(ctx)}'", f"add it with one of {', '.join(types)}"
    elif what in _UNKNOWN:
        text = f"has the unknown field '{name}'"
        remedy = nearest(str(name), list(_schema(kind, parent)["properties"]), "use some of ")
    elif what in _NO_MAPPING:
        text = "is empty" if value is None else "is not a mapping"
        fields = ", ".join(_schema(kind, problem["loc"]).get("properties", ()))
        remedy = f"use some of {fields}" if fields else "write NAME: VALUE lines"
    elif what in _CHOICES:
        chosen = value[_tag(ctx)] if what == "union_tag_invalid" else value
        allowed = re.findall(r"'([^']*)'", ctx[_CHOICES[what]])
        text, remedy = f"is {_shown(chosen)}", nearest(str(chosen), allowed, "use one of ")
    else:
        text = f"is {_shown(value)}"
        remedy = _REMEDIES[what].format(**ctx) if what in _REMEDIES else problem["msg"]
    return text, remedy


def _tag(ctx: Mapping[str, Any]) -> str:
    """The field that chooses among the models of a union."""
    return str(ctx["discriminator"]).strip("'")


def nearest(name: str, known: Sequence[str], otherwise: str) -> str:
    """The remedy for an unknown name: the most similar known one, else all of them."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else otherwise + ", ".join(known)


def _shown(value: object) -> str:
    scalar = value is None or isinstance(value, bool | int | float | str | date)
    return repr(value) if scalar else "not a single value"


class _WithoutDefaults(GenerateJsonSchema):
    """JSON schemas without defaults, some of which JSON does not hold."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def _schema(kind: type, place: Sequence[str | int]) -> dict[str, Any]:
    """The JSON schema that a class has at a place."""
    schema = _adapter(kind).json_schema(schema_generator=_WithoutDefaults)

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node or "anyOf" in node:  # the last of any is null
            name = node.get("$ref", "").rpartition("/")[2]
            node = schema["$defs"][name] if name else node["anyOf"][0]
        return node

    node = resolve(schema)
    for part in place:
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif "properties" in node:
            node = node["properties"][str(part)]
        else:
            node = node["items" if isinstance(part, int) else "additionalProperties"]
        node = resolve(node)
    return node
