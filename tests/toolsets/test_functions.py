"""Functions become tools: what the model is told of them, how they are called, and what it reads of their results."""

import operator
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache, partial, wraps
from inspect import signature
from typing import Annotated, Any, Literal, cast

import anyio
import anyio.from_thread
import pytest
from pydantic import BaseModel, ConfigDict, Field

from assistant_kit.errors import DuplicateTool, InvalidArguments, InvalidTool, ToolError
from assistant_kit.messages import File, Image, JsonObject, Text
from assistant_kit.protocols.toolset import ToolContext, ToolOutput, Toolset
from assistant_kit.tool_spec import ToolSpec, keyed
from assistant_kit.toolsets.functions import FunctionTools, as_function_tool, output_of, tool

pytestmark = pytest.mark.anyio

CONTEXT = ToolContext(user="u1", conversation="c1", call_id="call_1", tool="t", idempotency_key="k")


async def call(function: Callable[..., Any], **arguments: Any) -> str:
    """Call a function as a run does, and return the text that the model reads."""
    with anyio.fail_after(5):
        made = as_function_tool(function)
        output = await FunctionTools([function]).call(made.spec.name, arguments, CONTEXT)
    (part,) = output.content
    assert isinstance(part, Text)
    return part.text


def parameters(function: Callable[..., Any]) -> JsonObject:
    return as_function_tool(function).spec.parameters


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", parameters(function)["properties"])


def problem_of(function: Any) -> str:
    with pytest.raises(InvalidTool) as caught:
        as_function_tool(function)
    return caught.value.problem


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Item(BaseModel):
    """A thing to buy."""

    name: str = Field(description="what it is called")
    title: str = ""
    inner: "Item | None" = None


# --- what the model is told


async def test_a_function_becomes_a_tool_with_its_name_docstring_and_parameters() -> None:
    def weather(city: str, days: int = 1) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        return f"{city} {days}"

    toolset: Toolset = FunctionTools([weather])
    async with toolset:
        (spec,) = await toolset.tools()
    assert toolset.name == "functions"
    assert spec == ToolSpec(
        name="weather",
        description="Tell the weather.",
        parameters={
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "days": {"type": "integer", "default": 1},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
        origin=spec.origin,
    )
    assert "test_functions" in spec.origin
    assert "(line " in spec.origin


async def test_a_function_without_parameters_has_an_empty_schema() -> None:
    def now() -> str:
        return "noon"

    assert parameters(now) == {"type": "object", "properties": {}, "additionalProperties": False}
    assert await call(now) == "noon"


async def test_what_the_decorator_says_is_in_the_spec() -> None:
    @tool(name="pay-now", description="Pay.", effect=keyed(60), timeout=5, needs_approval=True)
    def pay(amount: int) -> None:
        """Not this text."""

    assert (pay.spec.name, pay.spec.description, pay.spec.effect) == ("pay-now", "Pay.", keyed(60))
    assert (pay.spec.timeout, pay.spec.needs_approval) == (5, True)


async def test_an_undecorated_function_may_have_an_effect_only_once() -> None:
    def pay(amount: int) -> None: ...

    assert as_function_tool(pay).spec.effect == "once"


async def test_a_decorated_function_is_still_that_function() -> None:
    @tool(effect="read")
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    assert add(1, b=2) == 3
    assert (getattr(add, "__name__"), add.__doc__) == ("add", "Add.")  # noqa: B009  (set at run time)
    assert list(signature(add).parameters) == ["a", "b"]
    assert as_function_tool(add) is add


async def test_the_description_of_a_field_counts_before_the_docstring() -> None:
    def find(
        query: Annotated[str, Field(description="From the field.", min_length=2)],
        limit: Annotated[int, Field(ge=1)] = 5,
    ) -> str:
        """Find.

        Args:
            query: From the docstring.
            limit: How many.
        """
        return query * limit

    assert properties(find) == {
        "query": {"type": "string", "minLength": 2, "description": "From the field."},
        "limit": {"type": "integer", "minimum": 1, "default": 5, "description": "How many."},
    }


async def test_the_schema_has_no_titles_but_keeps_properties_that_are_called_title() -> None:
    def buy(item: Item, title: str) -> None: ...

    schema = parameters(buy)
    assert schema["properties"] == {"item": {"$ref": "#/$defs/Item"}, "title": {"type": "string"}}
    assert schema["$defs"] == {
        "Item": {
            "description": "A thing to buy.",
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "what it is called"},
                "title": {"type": "string", "default": ""},
                "inner": {"anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}], "default": None},
            },
            "required": ["name"],
        }
    }


async def test_a_type_with_the_name_of_the_hidden_model_keeps_its_own_schema() -> None:
    class Arguments(BaseModel):
        text: str

    def run(arguments: Arguments) -> str:
        return arguments.text

    assert parameters(run)["properties"] == {"arguments": {"$ref": "#/$defs/Arguments"}}
    assert await call(run, arguments={"text": "x"}) == "x"


async def test_a_default_without_a_json_form_is_left_out_of_the_schema() -> None:
    missing: Any = object()

    def find(query: str = missing) -> str:
        return "missing" if query is missing else query

    assert properties(find) == {"query": {"type": "string"}}
    assert await call(find) == "missing"


# --- arguments


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    on: date
    color: Color


async def test_arguments_arrive_as_the_types_that_the_function_names() -> None:
    seen: list[Any] = []

    def take(  # noqa: PLR0913  (one of each)
        *,
        number: float,
        maybe: str | None,
        way: Literal["up", "down"],
        color: Color,
        point: Point,
        item: Item,
        numbers: list[int],
        by_name: dict[str, int],
        at: datetime,
        strict: Strict,
    ) -> None:
        seen.extend([number, maybe, way, color, point, item, numbers, by_name, at, strict])

    await call(
        take,
        number=1.5,
        maybe=None,
        way="up",
        color="red",
        point={"x": 1},
        item={"name": "milk"},
        numbers=[1, 2],
        by_name={"a": 1},
        at="2026-11-22T10:00:00Z",
        strict={"on": "2026-11-22", "color": "blue"},
    )
    expected = [1.5, None, "up", Color.RED, Point(1), Item(name="milk"), [1, 2], {"a": 1}]
    day = Strict(on=date(2026, 11, 22), color=Color.BLUE)
    assert seen == [*expected, datetime(2026, 11, 22, 10, tzinfo=UTC), day]


async def test_what_the_model_leaves_out_is_the_functions_own_default() -> None:
    chosen = Point(7, 7)

    def place(point: Point = chosen, names: list[str] = []) -> bool:  # noqa: B006
        names.append("x")
        return point is chosen

    assert await call(place) == "true"
    assert signature(place).parameters["names"].default == ["x"]


async def test_a_parameter_may_have_a_name_that_pydantic_uses_itself() -> None:
    def odd(copy: int, model_config: int, _hidden: int, schema: int) -> int:
        return copy + model_config + _hidden + schema

    assert list(properties(odd)) == ["copy", "model_config", "_hidden", "schema"]
    assert await call(odd, copy=1, model_config=2, _hidden=3, schema=4) == "10"


async def test_wrong_arguments_are_told_to_the_model_by_name_and_nothing_runs() -> None:
    ran: list[int] = []

    def add(a: int, point: Point) -> None:
        ran.append(a + point.x)

    with pytest.raises(InvalidArguments) as caught:
        await call(add, a="one", point={"x": []}, extra=1)
    text = str(caught.value)
    assert ("a: " in text, "point.x: " in text, "extra: " in text) == (True, True, True)
    assert "http" not in text
    assert ran == []


async def test_a_missing_argument_is_named() -> None:
    def add(a: int) -> None: ...

    with pytest.raises(InvalidArguments, match="a: Field required"):
        await call(add)


async def test_arguments_with_lone_surrogates_are_refused() -> None:
    def echo(text: str) -> str:
        return text

    with pytest.raises(InvalidArguments):
        await call(echo, text="\ud800")


# --- the context


async def test_the_context_is_passed_and_hidden_from_the_model() -> None:
    def who(context: ToolContext, name: str) -> str:
        return f"{name} of {context.user}"

    assert parameters(who)["properties"] == {"name": {"type": "string"}}
    assert await call(who, name="Ann") == "Ann of u1"
    with pytest.raises(InvalidArguments):
        await call(who, name="Ann", context={})


async def test_the_context_may_be_optional_or_annotated() -> None:
    def who(a: ToolContext | None = None, b: Annotated[ToolContext | None, "x"] = None) -> bool:
        return a is b is CONTEXT

    assert parameters(who)["properties"] == {}
    assert await call(who) == "true"


# --- ways of being a function


async def test_a_synchronous_tool_runs_in_a_worker_thread_with_the_context_variables_of_the_run() -> None:
    tenant = ContextVar("tenant", default="nobody")
    tenant.set("acme")

    def where() -> list[Any]:
        return [threading.current_thread() is threading.main_thread(), tenant.get()]

    assert await call(where) == '[false,"acme"]'


async def test_an_asynchronous_tool_runs_in_the_event_loop() -> None:
    async def where() -> bool:
        await anyio.lowlevel.checkpoint()
        return threading.current_thread() is threading.main_thread()

    assert await call(where) == "true"


async def test_a_function_that_returns_an_awaitable_is_awaited() -> None:
    async def slow(word: str) -> str:
        await anyio.lowlevel.checkpoint()
        return word

    @wraps(slow)
    def traced(word: str) -> Awaitable[str]:
        return slow(word)

    assert await call(traced, word="done") == "done"


class Shop:
    """A shop."""

    def __init__(self) -> None:
        self.sold: list[str] = []

    def sell(self, what: str) -> str:
        """Sell something."""
        self.sold.append(what)
        return "sold"

    async def __call__(self, what: str) -> str:
        return f"bought {what}"


class Documented:
    """Not this text."""

    def __call__(self) -> None:
        """Do it."""


async def test_a_bound_method_is_a_tool() -> None:
    shop = Shop()
    assert as_function_tool(shop.sell).spec.description == "Sell something."
    assert await call(shop.sell, what="tea") == "sold"
    assert shop.sold == ["tea"]


async def test_an_object_that_can_be_called_is_a_tool_under_the_name_of_its_class() -> None:
    assert as_function_tool(Shop()).spec.name == "Shop"
    assert as_function_tool(Shop()).spec.description == "A shop."
    assert as_function_tool(Documented()).spec.description == "Do it."
    assert await call(Shop(), what="tea") == "bought tea"


async def test_a_partial_function_hides_what_the_application_has_decided() -> None:
    def send(sender: str, to: str, *, text: str, cc: str = "") -> str:
        """Send a message."""
        return f"{sender} {to} {text} {cc}"

    made = partial(send, "me", cc="boss")
    assert as_function_tool(made).spec.name == "send"
    assert as_function_tool(made).spec.description == "Send a message."
    assert list(properties(made)) == ["to", "text"]
    assert await call(made, to="you", text="hi") == "me you hi boss"
    assert await call(partial(Shop(), what="x")) == "bought x"
    assert as_function_tool(partial(tool(send), "me")).spec.name == "send"


async def test_a_cached_function_is_a_tool() -> None:
    @lru_cache
    def square(a: int) -> int:
        return a * a

    assert as_function_tool(square).spec.name == "square"
    assert await call(square, a=3) == "9"


async def test_annotations_may_be_texts_when_their_names_are_the_modules() -> None:
    def place(point: "Point", context: "ToolContext") -> int:
        return point.x if context.user else 0

    assert await call(place, point={"x": 4}) == "4"


# --- what cannot be a tool


async def test_annotations_that_cannot_be_read_are_refused_with_the_way_out() -> None:
    def place(point: "Nowhere") -> None: ...  # noqa: F821  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType]

    assert "Nowhere" in problem_of(place)


async def test_a_parameter_without_annotation_is_refused_by_name() -> None:
    def plain(city) -> None: ...  # noqa: ANN001  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]

    assert "'city'" in problem_of(plain)
    assert "annotation" in problem_of(lambda x: x)  # pyright: ignore[reportUnknownLambdaType]


async def test_a_lambda_without_parameters_needs_a_name() -> None:
    assert "tool(name=" in problem_of(lambda: 3)
    assert tool(name="three")(lambda: 3).spec.name == "three"


async def test_parameters_that_models_cannot_pass_are_refused() -> None:
    def positional(a: int, /) -> None: ...
    def many(*rest: int) -> None: ...
    def named(**options: int) -> None: ...

    assert ["by name" in problem_of(function) for function in (positional, many, named)] == [True] * 3


async def test_a_method_that_is_bound_to_nothing_is_refused() -> None:
    assert "bound" in problem_of(Shop.sell)


async def test_a_field_as_a_default_is_refused() -> None:
    def find(limit: int = Field(ge=1)) -> None: ...

    assert "Annotated" in problem_of(find)


async def test_a_type_without_a_json_schema_is_refused() -> None:
    def connect(to: threading.Thread) -> None: ...
    def callback(to: Callable[[], None]) -> None: ...

    assert "schema" in problem_of(connect)
    assert "schema" in problem_of(callback)


async def test_a_generator_is_refused() -> None:
    def pages() -> Iterator[int]:
        yield 1

    async def later() -> AsyncIterator[int]:
        yield 1

    assert "generator" in problem_of(pages)
    assert "generator" in problem_of(later)


@pytest.mark.parametrize("thing", [3, None, Shop, dict, len, operator.itemgetter(1), vars])
async def test_what_is_no_annotated_function_is_refused(thing: Any) -> None:
    assert problem_of(thing)


@pytest.mark.parametrize("name", ["with space", "größe", "a" * 65, "dotted.name"])
async def test_a_name_that_models_do_not_accept_is_refused(name: str) -> None:
    def now() -> None: ...

    with pytest.raises(InvalidTool) as caught:
        tool(name=name)(now)
    assert repr(name) in caught.value.problem


async def test_two_functions_of_one_name_are_refused_and_both_are_named() -> None:
    def save() -> None: ...

    @tool(name="save")
    def other() -> None: ...

    with pytest.raises(DuplicateTool) as caught:
        FunctionTools([save, other])
    assert caught.value.name == "save"
    assert [origin.rpartition(".")[2].partition(" ")[0] for origin in caught.value.origins] == ["save", "other"]


# --- results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        ("", ""),
        (3, "3"),
        (None, "Done."),
        (True, "true"),
        ({"a": [1]}, '{"a":[1]}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (Item(name="tea"), '{"name":"tea","title":"","inner":null}'),
        ([], "[]"),
        (["a", "b"], '["a","b"]'),
        ((1, "b"), '[1,"b"]'),
        (Color.RED, '"red"'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
    ],
)
def test_a_result_becomes_text_or_json(value: Any, text: str) -> None:
    assert output_of(value) == ToolOutput(content=(Text(text=text),))


def test_parts_stay_parts() -> None:
    image, file = Image(url="https://example.org/a.png"), File(data=b"x")
    assert output_of(image).content == (image,)
    assert output_of([image, file]).content == (image, file)
    assert output_of(("Look:", image)).content == (Text(text="Look:"), image)
    assert output_of([Text(text="a")]).content == (Text(text="a"),)


def test_an_output_is_taken_as_it_is() -> None:
    output = ToolOutput(content=(Text(text="no such page"),), is_error=True)
    assert output_of(output) is output


def test_a_result_without_a_json_form_is_an_error_that_says_that_the_tool_ran() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (object(), b"\xff", endless, {"a": "\ud800"}):
        with pytest.raises(ToolError, match="ran"):
            output_of(value)


async def test_what_a_tool_raises_passes_through() -> None:
    def wrong() -> None:
        message = "no such user"
        raise ToolError(message)

    async def broken() -> None:
        raise KeyError("x")

    def stopped() -> None:
        raise StopIteration

    with pytest.raises(ToolError, match="no such user"):
        await call(wrong)
    with pytest.raises(KeyError):
        await call(broken)
    with pytest.raises((RuntimeError, StopIteration)):
        await call(stopped)


async def test_cancellation_does_not_wait_for_the_thread_of_a_synchronous_tool() -> None:
    release, started, noticed = threading.Event(), threading.Event(), threading.Event()

    def stubborn() -> None:
        started.set()
        release.wait(5)
        try:
            anyio.from_thread.check_cancelled()
        except BaseException:
            noticed.set()
            raise

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(partial(call, stubborn))
            await anyio.to_thread.run_sync(started.wait, 5)
            group.cancel_scope.cancel()
        assert not release.is_set()
        release.set()
        await anyio.to_thread.run_sync(noticed.wait, 5)
    assert noticed.is_set()
