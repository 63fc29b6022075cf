"""Typed Python functions as tools."""

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar, cast, overload

import anyio
import anyio.to_thread
from pydantic_core import to_json

from assistant_kit.errors import DuplicateTool, InvalidTool, ToolError
from assistant_kit.messages import File, Image, JsonObject, Text
from assistant_kit.protocols.toolset import LateResult, ToolContext, ToolOutput
from assistant_kit.tool_spec import Effect, ToolSpec
from assistant_kit.toolsets._arguments import arguments_of, bare, origin_of, parameters_of
from assistant_kit.toolsets._docstring import documented
from assistant_kit.toolsets._threads import Ended, in_thread

P = ParamSpec("P")
R = TypeVar("R")
Reconcile: TypeAlias = Callable[[ToolContext], Any]
"""Finds out what became of a call: returns its result, or None when nobody can tell. It may be async."""

_log = logging.getLogger("assistant_kit.tools")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what the OpenAI API admits (function tools, `name`)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """What `@tool` declares. `timeout` is in seconds; None leaves it to the run."""

    name: str | None = None
    description: str | None = None
    effect: Effect = "once"
    timeout: float | None = None
    needs_approval: bool = False
    reconcile: Reconcile | None = None


class FunctionTool(Generic[P, R]):
    """A function that is a tool; it can still be called as a function.

    `threads` holds the ids of calls whose thread has not ended.
    """

    def __init__(self, function: Callable[P, R], options: ToolOptions) -> None:
        """Derive name, description and schema. Raises InvalidTool."""
        inner = _usable(function)
        update_wrapper(self, inner)
        self.function: Callable[P, R] = function
        self.__wrapped__: Callable[P, R] = function  # for inspect.signature
        self.threads: set[str] = set()
        self._is_async = inspect.iscoroutinefunction(inner)
        documentation = documented(_docstring(inner))
        parameters = parameters_of(function, documentation.parameters)
        self._context_names = parameters.context
        self._arguments = arguments_of(function, parameters)
        self.spec: ToolSpec = ToolSpec(
            name=_name(options.name, function, inner),
            description=options.description if options.description is not None else documentation.summary,
            parameters=self._arguments.schema,
            effect=options.effect,
            timeout=options.timeout,
            needs_approval=options.needs_approval,
            reconciles=options.reconcile is not None,
            origin=origin_of(function),
        )
        self._reconcile = options.reconcile

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    async def run(self, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Validate the arguments and call the function; a synchronous one runs in a worker thread.

        Raises InvalidArguments, and whatever the function raises. A cancelled call does not wait for its thread;
        `context.late` gets what comes of it.
        """
        values = self._arguments.check(arguments)
        for name in self._context_names:
            values[name] = context
        function: Callable[..., Any] = self.function
        if self._is_async:
            return output_of(await function(**values))
        return output_of(await self._in_thread(lambda: function(**values), context))

    async def reconcile(self, context: ToolContext) -> ToolOutput | None:
        """Ask the tool's `reconcile` function what became of a call; None when it cannot tell."""
        find = self._reconcile
        if find is None:
            return None
        found: Any
        if inspect.iscoroutinefunction(find):
            found = await find(context)
        else:
            found = await anyio.to_thread.run_sync(find, context, abandon_on_cancel=True)
        return None if found is None else output_of(found)

    async def _in_thread(self, function: Callable[[], Any], context: ToolContext) -> Any:
        def late(ended: Ended[Any]) -> None:
            self.threads.discard(context.call_id)
            if not ended.stopped:
                output = _late_output(ended)
                context.late(LateResult(call_id=context.call_id, tool=self.spec.name, output=output))

        self.threads.add(context.call_id)
        try:
            result = await in_thread(function, late)
        except anyio.get_cancelled_exc_class():
            raise  # its thread goes on: `late` gets its end
        except BaseException:
            self.threads.discard(context.call_id)
            raise
        self.threads.discard(context.call_id)
        return await cast("Awaitable[Any]", result) if isinstance(result, Awaitable) else result


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
    reconcile: Reconcile | None = None,
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
    reconcile: Reconcile | None = None,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Make a function a tool and say what matters about calling it.

    The name and the docstring become what the model reads; the parameters, their types and their documentation the
    schema. `effect` says what a second execution would do (`"once"`: harm, the default). A parameter annotated with
    `ToolContext` receives it and is hidden from the model. `reconcile` is asked after a crash what became of a call
    that was started: it gets the call's ToolContext (its idempotency key, its notes) and returns the result, or None
    when nobody can tell. Raises InvalidTool.
    """
    options = ToolOptions(
        name=name,
        description=description,
        effect=effect,
        timeout=timeout,
        needs_approval=needs_approval,
        reconcile=reconcile,
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
        """Say which functions still run in threads that nobody can stop."""
        for name, made in self._tools.items():
            if made.threads:
                _log.warning(
                    "tool %s still runs in %d threads (calls %s)", name, len(made.threads), sorted(made.threads)
                )

    async def tools(self) -> Sequence[ToolSpec]:
        """Return the tools, in the order in which they were given."""
        return self._specs

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput:
        """Call a function."""
        return await self._tools[name].run(arguments, context)

    async def reconcile(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolOutput | None:
        """Ask what became of a call; None when nobody can tell."""
        del arguments
        return await self._tools[name].reconcile(context)


def as_function_tool(function: Callable[..., Any]) -> FunctionTool[..., Any]:
    """Return the tool that a function is or becomes. Raises InvalidTool."""
    if isinstance(function, FunctionTool):
        return cast("FunctionTool[..., Any]", function)
    return FunctionTool(function, ToolOptions())


def output_of(value: Any) -> ToolOutput:
    """Turn what a function returned into what the model reads: text and parts as they are, the rest as JSON.

    Raises ToolError when it has no JSON form.
    """
    match value:
        case ToolOutput():
            return value
        case str():
            return ToolOutput(content=(Text(text=value),))
        case Text() | Image() | File():
            return ToolOutput(content=(value,))
        case [*parts] if _are_content(parts):
            return ToolOutput(content=tuple(Text(text=part) if isinstance(part, str) else part for part in parts))
        case None:
            return ToolOutput(content=(Text(text="Done."),))
        case _:
            return ToolOutput(content=(Text(text=_json_text(value)),))


def _are_content(parts: Sequence[Any]) -> bool:
    """Tell whether this is content, with one part at least; texts alone are a list like any other."""
    known = all(isinstance(part, str | Text | Image | File) for part in parts)
    return known and not all(isinstance(part, str) for part in parts)


def _usable(function: Callable[..., Any]) -> Callable[..., Any]:
    inner = bare(function) if callable(function) else function
    if not callable(inner) or inspect.isclass(inner):
        raise InvalidTool(origin_of(function), "it is no function: pass a function with annotated parameters")
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise InvalidTool(origin_of(function), "it is a generator: return the whole result, a list for instance")
    return inner


def _docstring(inner: Callable[..., Any]) -> str:
    # Without a docstring of its own `__call__` would inherit "Call self as a function."
    own = inspect.getdoc(inner) if inner.__doc__ else None
    return own or inspect.getdoc(_object_of(inner)) or ""


def _name(given: str | None, function: Callable[..., Any], inner: Callable[..., Any]) -> str:
    name = given or getattr(_object_of(inner), "__name__", "") or inner.__name__
    if not _NAME.fullmatch(name):
        problem = f"models accept names of 1 to 64 letters (a to z), digits, _ and -, not {name!r}: use tool(name=…)"
        raise InvalidTool(origin_of(function), problem)
    return name


def _object_of(inner: Callable[..., Any]) -> type[Any] | None:
    """Return the class of an object that is called like a function."""
    return type(inner.__self__) if inspect.ismethod(inner) and inner.__name__ == "__call__" else None


def _late_output(ended: Ended[Any]) -> ToolOutput | None:
    """Return what a function returned after its call was given up; None if it raised or nobody can read it."""
    if ended.value is None or isinstance(ended.value[0], Awaitable):
        return None
    try:
        return output_of(ended.value[0])
    except ToolError as error:
        return ToolOutput(content=(Text(text=str(error)),))


def _json_text(value: Any) -> str:
    try:
        return to_json(value).decode()
    except ValueError as error:
        # The call was made: the model has to know that, lest it makes it again.
        message = f"The tool ran, but what it returned (a {type(value).__name__}) has no JSON form and is lost."
        raise ToolError(message) from error
