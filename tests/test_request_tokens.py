"""What the parts of a request cost."""

from types import MappingProxyType

import pytest

from assistant_kit.messages import (
    AssistantMessage,
    File,
    Image,
    Json,
    JsonObject,
    OutputItem,
    ProviderItem,
    Reasoning,
    Text,
    ToolCall,
)
from assistant_kit.protocols.model import OutputSchema
from assistant_kit.request_tokens import (
    TOOLS,
    answer_tokens,
    message_tokens,
    output_tokens,
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
    assert answer_tokens("t", (), BYTES) == 16 + 1


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
        ((ToolCall(call_id="c" * 90, name="ab", arguments="{}", raw="x" * 900),), 0, 16 + 4),
        ((ProviderItem(type="web_search_call", raw="{...}"),), 0, 4 + 5),
        ((Reasoning(text="short", raw="x" * 900),), 100, 4 + 100),
        ((Reasoning(text="x" * 50), Reasoning(text="y" * 70, raw="z" * 900)), 100, 8 + 120),
        ((Reasoning(text="short", raw="x" * 900),), 0, 4 + 900),
        ((Reasoning(text="no item"),), 0, 4 + 7),
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


def test_line_breaks_in_a_description_cost_extra() -> None:
    assert tool_tokens(spec("a\nb"), BYTES) == tool_tokens(spec("a b"), BYTES) + 1 + 2
