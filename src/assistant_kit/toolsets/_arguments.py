"""What a function takes, as a JSON schema for the model and as a check of what the model passes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, PydanticSchemaGenerationError, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import to_json

from assistant_kit.errors import InvalidArguments, InvalidTool
from assistant_kit.messages import JsonObject
from assistant_kit.protocols.toolset import ToolContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The parameters of a function: those that the model fills, by name, and those that receive the ToolContext."""

    fields: Mapping[str, Any]
    context: tuple[str, ...]


class Arguments:
    """A check of arguments. `schema` is what the model is told of them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Make the check. Raises PydanticUserError, PydanticSchemaGenerationError when a type has no JSON schema."""
        # Inside the model fields have names of their own: no parameter (`copy`, `_x`) clashes with pydantic's.
        self._names = {f"p{index}": name for index, name in enumerate(fields)}
        definitions: dict[str, Any] = {key: fields[name] for key, name in self._names.items()}
        self._model: type[BaseModel] = create_model("Arguments", __config__={"extra": "forbid"}, **definitions)
        schema = self._model.model_json_schema(schema_generator=_Schema)
        self.schema: JsonObject = _untitled(schema)

    def check(self, arguments: JsonObject) -> dict[str, Any]:
        """Return the values to call the function with. Raises InvalidArguments in words for the model."""
        try:
            # As JSON, and not as Python values: a strict model takes dates and enums from JSON only.
            checked = self._model.model_validate_json(to_json(arguments))
        except ValidationError as error:
            raise InvalidArguments(_problems(error)) from error
        except ValueError as error:
            message = "The arguments are no Unicode text. Correct them and call it again."
            raise InvalidArguments(message) from error
        # What the model leaves out is left out of the call: the function has its own defaults.
        return {self._names[key]: getattr(checked, key) for key in checked.model_fields_set}


class _Schema(GenerateJsonSchema):
    """Schemas without pydantic's titles, and without a warning for defaults that have no JSON form."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Say nothing."""
        del kind, detail

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Give no field a title: its name says it."""
        del schema
        return False


def bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, or the method, inside partial objects, tools and objects that can be called."""
    if isinstance(function, partial):
        return bare(function.func)
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    wrapped: Any = getattr(function, "__wrapped__", None)
    return function.__call__ if wrapped is None else bare(wrapped)


def origin_of(function: Callable[..., Any]) -> str:
    """Say where a function stands, for errors."""
    inner = bare(function) if callable(function) else function
    name = getattr(inner, "__qualname__", repr(function))
    code = getattr(inspect.unwrap(inner), "__code__", None)
    line = "" if code is None else f" (line {code.co_firstlineno})"
    return f"{getattr(inner, '__module__', '?')}.{name}{line}"


def parameters_of(function: Callable[..., Any], descriptions: Mapping[str, str]) -> Parameters:
    """Read the parameters of a function; `descriptions` are those of its docstring. Raises InvalidTool."""
    hints = _hints(function)
    bound = _bound(function)
    context: list[str] = []
    fields: dict[str, Any] = {}
    for name, parameter in _signature(function).items():
        if name in bound:
            continue  # the application has decided
        problem = _problem(parameter, hints)
        if problem is not None:
            raise InvalidTool(origin_of(function), problem)
        if _is_context(hints[name]):
            context.append(name)
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        description = None if _described(hints[name]) else descriptions.get(name)
        naming: Any = {"alias": name, "validation_alias": name}
        if description is not None:
            naming["description"] = description
        fields[name] = (hints[name], Field(default, **naming))
    return Parameters(fields=fields, context=tuple(context))


def arguments_of(function: Callable[..., Any], parameters: Parameters) -> Arguments:
    """Return the check of a function's arguments. Raises InvalidTool."""
    try:
        return Arguments(parameters.fields)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise InvalidTool(origin_of(function), f"its parameters have no JSON schema ({_first_line(error)})") from error


def _signature(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        problem = "it does not say what it takes: wrap it in a function with annotated parameters"
        raise InvalidTool(origin_of(function), problem) from error


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(bare(function), include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        problem = (
            f"its annotations cannot be read ({error}): the names in them have to be those of the module, imported "
            "also when the program runs; or leave out `from __future__ import annotations`"
        )
        raise InvalidTool(origin_of(function), problem) from error


def _bound(function: Callable[..., Any]) -> set[str]:
    return set(function.keywords) if isinstance(function, partial) else set()


def _problem(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> str | None:
    name = parameter.name
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return f"parameter {name!r} cannot be passed by name: models pass every argument by its name"
    if name not in hints and name in ("self", "cls"):
        return "it is not bound to an object: make a tool of the bound method, tool(an_object.method)"
    if name not in hints:
        return f"parameter {name!r} has no type annotation: write a function with annotations, such as {name}: str"
    if isinstance(parameter.default, FieldInfo):
        return f"parameter {name!r} has Field(…) as its default: write {name}: Annotated[…, Field(…)]"
    return None


def _is_context(hint: Any) -> bool:
    """Tell whether a parameter receives the context: ToolContext, also annotated or optional."""
    if get_origin(hint) in (Union, UnionType, Annotated):
        return any(_is_context(part) for part in get_args(hint)[:2])
    return hint is ToolContext


def _described(hint: Any) -> bool:
    return any(isinstance(extra, FieldInfo) and extra.description for extra in getattr(hint, "__metadata__", ()))


def _untitled(schema: dict[str, Any]) -> JsonObject:
    """Drop the titles that pydantic makes of class names, and see that there are `properties`."""
    for definition in (schema, *schema.get("$defs", {}).values()):
        definition.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _problems(error: ValidationError) -> str:
    problems = "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'arguments'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
    return f"The arguments do not fit the tool: {problems}. Correct them and call it again."
