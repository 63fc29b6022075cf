"""Typed Python functions as tools."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast, get_type_hints, overload

import anyio.to_thread
from pydantic import BaseModel, Field, PydanticSchemaGenerationError, PydanticUserError, ValidationError, create_model
from pydantic_core import PydanticSerializationError, to_json

from assistant_kit.errors import DuplicateTool, InvalidArguments, InvalidTool, ToolError
from assistant_kit.messages import File, Image, JsonObject, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._docstring import Documented, documented

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What `@tool` declares. `timeout` is in seconds; None leaves it to the run."""

    name: str | None = None
    description: str | None = None
    effect: Effect = "once"
    timeout: float | None = None
    needs_approval: bool = False


class FunctionTool(Generic[P, R]):
    """A function that is a tool; it can still be called as a function."""

    def __init__(self, function: Callable[P, R], options: ToolOptions) -> None:
        """Derive name, description and schema. Raises InvalidTool."""
        self.function = function
        self.__doc__ = function.__doc__
        self._is_async = inspect.iscoroutinefunction(function)
        documentation = documented(inspect.getdoc(function) or "")
        self._context_name, fields = _parameters(function, documentation)
        self._validate, schema = _validator(function, fields)
        self.spec = ToolSpec(
            name=options.name or getattr(function, "__name__", ""),
            description=options.description if options.description is not None else documentation.summary,
            parameters=schema,
            effect=options.effect,
            timeout=options.timeout,
            needs_approval=options.needs_approval,
            origin=_origin(function),
        )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    async def run(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Validate the arguments and call the function; a synchronous one runs in a worker thread."""
        try:
            values = self._validate(arguments)
        except ValidationError as error:
            raise InvalidArguments(_problems(error)) from error
        if self._context_name is not None:
            values[self._context_name] = context
        function: Callable[..., Any] = self.function
        if self._is_async:
            return output_of(await function(**values))
        result = await anyio.to_thread.run_sync(partial(function, **values), abandon_on_cancel=True)
        return output_of(await result if isinstance(result, Awaitable) else result)


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "once",
    timeout: float | None = None,
    needs_approval: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "once",
    timeout: float | None = None,
    needs_approval: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a function a tool and say what matters about calling it.

    The name and the docstring become what the model reads; the parameters, their types and their documentation the
    schema. `effect` says what a second execution would do (`"once"`: harm, the default). A parameter annotated with
    `ToolContext` receives it and is hidden from the model. Raises InvalidTool.
    """
    options = ToolOptions(
        name=name, description=description, effect=effect, timeout=timeout, needs_approval=needs_approval
    )
    if function is not None:
        return FunctionTool(function, options)
    return lambda decorated: FunctionTool(decorated, options)


class FunctionTools:
    """A toolset of functions."""

    name = "functions"

    def __init__(self, functions: Sequence[Callable[..., Any]]) -> None:
        """Take functions, decorated with `tool` or plain. Raises InvalidTool, DuplicateTool."""
        self._tools: dict[str, FunctionTool[..., Any]] = {}
        for function in functions:
            made = as_function_tool(function)
            earlier = self._tools.get(made.spec.name)
            if earlier is not None:
                raise DuplicateTool(made.spec.name, (earlier.spec.origin, made.spec.origin))
            self._tools[made.spec.name] = made
        self._specs = tuple(made.spec for made in self._tools.values())

    async def __aenter__(self) -> Self:
        """Be ready; functions need no connection."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools, in the order in which they were given."""
        return self._specs

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a function."""
        return await self._tools[name].run(arguments, context)


def as_function_tool(function: Callable[..., Any]) -> FunctionTool[..., Any]:
    """Return the tool that a function is or becomes. Raises InvalidTool."""
    if isinstance(function, FunctionTool):
        return cast("FunctionTool[..., Any]", function)
    return FunctionTool(function, ToolOptions())


def output_of(value: Any) -> ToolOutput:
    """Turn what a function returned into what the model reads: text as it is, parts as they are, the rest as JSON."""
    match value:
        case ToolOutput():
            return value
        case str():
            return ToolOutput(content=(Text(text=value),))
        case Text() | Image() | File():
            return ToolOutput(content=(value,))
        case [*parts] if parts and all(isinstance(part, Text | Image | File) for part in parts):
            return ToolOutput(content=tuple(parts))
        case None:
            return ToolOutput(content=(Text(text="Done."),))
        case _:
            return ToolOutput(content=(Text(text=_json_text(value)),))


def _json_text(value: Any) -> str:
    try:
        return to_json(value).decode()
    except PydanticSerializationError as error:
        message = f"the tool returned a {type(value).__name__}, which has no JSON form"
        raise ToolError(message) from error


def _parameters(function: Callable[..., Any], documentation: Documented) -> tuple[str | None, dict[str, Any]]:
    if not callable(function) or not getattr(function, "__name__", ""):
        raise InvalidTool(repr(function), "give a named function, or wrap it in one")
    origin = _origin(function)
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise InvalidTool(origin, f"its annotations cannot be read ({error})") from error
    context: str | None = None
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise InvalidTool(origin, f"parameter {name!r} cannot be passed by name")
        if name not in hints:
            raise InvalidTool(origin, f"parameter {name!r} has no type annotation")
        if hints[name] is ToolContext:
            context = name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], Field(default, alias=name, description=documentation.parameters.get(name)))
    return context, fields


def _validator(
    function: Callable[..., Any], fields: Mapping[str, Any]
) -> tuple[Callable[[JsonObject], dict[str, Any]], JsonObject]:
    # Fields have names of their own inside the model, so that no parameter (`copy`, `_x`) clashes with pydantic's.
    inner = {f"p{index}": name for index, name in enumerate(fields)}
    definitions: dict[str, Any] = {key: fields[name] for key, name in inner.items()}
    try:
        model: type[BaseModel] = create_model("Arguments", __config__={"extra": "forbid"}, **definitions)
        schema = model.model_json_schema(by_alias=True)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise InvalidTool(_origin(function), f"its parameters have no JSON schema ({error})") from error

    def values(arguments: JsonObject) -> dict[str, Any]:
        checked = model.model_validate(arguments)
        return {name: getattr(checked, key) for key, name in inner.items()}

    return values, _tidy(schema)


def _tidy(schema: dict[str, Any]) -> JsonObject:
    schema.pop("title", None)
    schema.pop("description", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    schema.setdefault("properties", {})
    return schema


def _problems(error: ValidationError) -> str:
    problems = "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'arguments'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )
    return f"The arguments do not fit the tool: {problems}. Correct them and call it again."


def _origin(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    module = getattr(function, "__module__", "?")
    return f"{module}.{name}" if code is None else f"{module}.{name} (line {code.co_firstlineno})"
