"""What a run returns: text, or a validated value of a type that the application names."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json

from assistant_kit.errors import ConfigurationError, OutputInvalid
from assistant_kit.protocols.model import OutputSchema

T = TypeVar("T")
_WRAPPED = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputType(Generic[T]):
    """A type with the schema that a model is given for it. What is no JSON object is `wrapped` in one."""

    adapter: TypeAdapter[T]
    schema: OutputSchema
    wrapped: bool

    def parse(self, text: str) -> T:
        """Return the value that the text stands for. Raises OutputInvalid with the text and what is wrong."""
        try:
            if not self.wrapped:
                return self.adapter.validate_json(text)
            data = from_json(text)
            if not isinstance(data, dict) or _WRAPPED not in data:
                raise OutputInvalid(text, f'an object {{"{_WRAPPED}": …}} was expected')
            return self.adapter.validate_python(data[_WRAPPED])
        except ValidationError as error:
            raise OutputInvalid(text, _problems(error)) from error
        except ValueError as error:
            raise OutputInvalid(text, f"not JSON: {error}") from error


def output_type(kind: type[T]) -> OutputType[T]:
    """Return the output type for a Python type. Raises ConfigurationError when it has no JSON schema."""
    name = getattr(kind, "__name__", "output")
    try:
        adapter = TypeAdapter(kind)
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        message = f"output_type {name} has no JSON schema: {error}"
        raise ConfigurationError(message) from error
    wrapped = schema.get("type") != "object"
    if wrapped:
        definitions = schema.pop("$defs", None)
        schema = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED]}
        if definitions is not None:
            schema["$defs"] = definitions
    closed = _closed(schema)
    safe_name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)[:64]
    return OutputType(
        adapter=adapter,
        schema=OutputSchema(name=safe_name, schema=closed, strict=_strict(closed)),
        wrapped=wrapped,
    )


def _closed(schema: Any) -> Any:
    """Say of every object that declares its properties that it has no others, as strict mode wants it."""
    if isinstance(schema, dict):
        closed = {key: _closed(value) for key, value in cast("dict[str, Any]", schema).items()}
        if "properties" in closed and isinstance(closed.get("type"), str):
            closed.setdefault("additionalProperties", False)
        return closed
    if isinstance(schema, list):
        return [_closed(value) for value in cast("list[Any]", schema)]
    return schema


def _strict(schema: Any) -> bool:
    """Tell whether strict mode takes a schema without loss: closed objects, all properties required, no defaults."""
    if isinstance(schema, list):
        return all(_strict(value) for value in cast("list[Any]", schema))
    if not isinstance(schema, dict):
        return True
    known = cast("dict[str, Any]", schema)
    if known.get("type") == "object":
        whole = set(known.get("properties", ())) == set(known.get("required", ()))
        if not whole or known.get("additionalProperties") is not False:
            return False
    return not (_LOOSE & known.keys()) and all(_strict(value) for value in known.values())


_LOOSE = {"default", "oneOf", "allOf", "not", "prefixItems", "patternProperties", "propertyNames", "uniqueItems"}


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'answer'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )
