"""What a run returns: text, or a validated value of a type that the application names."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import from_json, to_json

from assistant_kit.errors import ConfigurationError, OutputInvalid
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.tool_schema.strict import STRICT_FORMATS, STRICT_KEYWORDS

T = TypeVar("T")
_WRAPPED = "value"
_FENCED = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*\Z", re.DOTALL)

_MAPS = ("properties", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputType(Generic[T]):
    """A type with the schema that a model is given for it. What is no JSON object is `wrapped` in one."""

    adapter: TypeAdapter[T]
    schema: OutputSchema
    wrapped: bool

    def parse(self, text: str) -> T:
        """Return the value that the text stands for. Raises OutputInvalid with the text and what is wrong.

        JSON in a fence of Markdown, as small models like to write it, is taken out of it.
        """
        text = _FENCED.sub(r"\1", text)
        try:
            return self.adapter.validate_json(_unwrapped(text) if self.wrapped else text)
        except ValidationError as error:
            raise OutputInvalid(text, _problems(error)) from error
        except ValueError as error:
            raise OutputInvalid(text, f"not JSON: {error}") from error


class _Schema(GenerateJsonSchema):
    """Schemas without a warning for defaults that have no JSON form: these are left out."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing."""
        del kind, detail


def output_type(kind: type[T]) -> OutputType[T]:
    """Return the output type for a Python type. Raises ConfigurationError when it has no JSON schema."""
    name = getattr(kind, "__name__", "output")
    try:
        adapter = TypeAdapter(kind)
        schema = adapter.json_schema(schema_generator=_Schema)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        message = f"output_type {name} has no JSON schema: {str(error).partition(chr(10))[0]}"
        raise ConfigurationError(message) from error
    wrapped = schema.get("type") != "object"
    if wrapped:
        schema = _wrapped(schema)
    _close(schema)
    safe_name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:64]
    return OutputType(
        adapter=adapter,
        schema=OutputSchema(name=safe_name, schema=schema, strict=_strict(schema)),
        wrapped=wrapped,
    )


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    definitions = schema.pop("$defs", None)
    wrapper = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED]}
    return wrapper if definitions is None else {**wrapper, "$defs": definitions}


def _unwrapped(text: str) -> bytes:
    data = from_json(text.encode())
    if not isinstance(data, dict) or _WRAPPED not in data:
        raise OutputInvalid(text, f'an object {{"{_WRAPPED}": …}} was expected')
    return to_json(data[_WRAPPED])


def _within(schema: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the schemas directly inside a schema, not the data (defaults, examples) that may look like one."""
    for key in _MAPS:
        yield from schema.get(key, {}).values()
    for key in _LISTS:
        yield from schema.get(key, ())
    for key in _SINGLE:
        if isinstance(schema.get(key), dict):
            yield schema[key]


def _close(schema: dict[str, Any]) -> None:
    """Say of every object that declares its properties that it has no others, as strict mode wants it."""
    if "properties" in schema:
        schema.setdefault("additionalProperties", False)
    for inner in _within(schema):
        _close(inner)


def _strict(schema: Mapping[str, Any]) -> bool:
    """Tell whether strict mode takes a schema without loss: closed objects, all properties required, no defaults."""
    if not schema.keys() <= STRICT_KEYWORDS or not _whole(schema) or not _typed(schema):
        return False
    if schema.get("format", "date") not in STRICT_FORMATS:
        return False
    return all(_strict(inner) for inner in _within(schema))


def _whole(schema: Mapping[str, Any]) -> bool:
    if schema.get("type") != "object":
        return True
    required = set(schema.get("required", ()))
    return schema.get("additionalProperties") is False and set(schema.get("properties", ())) == required


def _typed(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema says what it allows; beside a reference strict mode wants nothing else."""
    if "$ref" in schema:
        return len(schema) == 1
    return not schema.keys().isdisjoint(("type", "anyOf", "enum", "const"))


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'answer'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
