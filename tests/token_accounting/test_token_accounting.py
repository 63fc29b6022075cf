"""Whole requests count what OpenAI's own renderer and OpenAI's published examples say, or a little more."""

from dataclasses import replace

import pytest

from assistant_kit.messages import DeveloperMessage, Item, UserMessage, user_message
from assistant_kit.protocols.model import ModelRequest
from assistant_kit.request_tokens import CHAT, request_tokens
from assistant_kit.token_counters.tiktoken import EncodingName, TiktokenCounter
from assistant_kit.tool_spec import ToolSpec
from tests.token_accounting.comparison import above, compared
from tests.token_accounting.corpus import corpus
from tests.token_accounting.harmony import Renderer

EXACT = TiktokenCounter()

# The examples of https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken, with the counts that OpenAI's
# API gave for them. Four of the messages carry a name, for which this library has no place.
NAMED = ("example_user", "example_assistant", "example_user", "example_assistant")
JARGON = ModelRequest(
    instructions="You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    items=(
        DeveloperMessage(text="New synergies will help drive top-line growth."),
        DeveloperMessage(text="Things working well together will increase revenue."),
        DeveloperMessage(
            text="Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."
        ),
        DeveloperMessage(text="Let's talk later when we're less busy about how to do better."),
        user_message("This late pivot means we don't have time to boil the ocean for the client deliverable."),
    ),
)
WEATHER = ModelRequest(
    instructions="You are a helpful assistant that can answer to questions about the weather.",
    items=(user_message("What's the weather like in San Francisco?"),),
    tools=(
        ToolSpec(
            name="get_current_weather",
            description="Get the current weather in a given location",
            parameters={
                "type": "object",
                "properties": {
                    "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                    "unit": {
                        "type": "string",
                        "description": "The unit of temperature to return",
                        "enum": ["celsius", "fahrenheit"],
                    },
                },
                "required": ["location"],
            },
        ),
    ),
)


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    return Renderer(tmp_path_factory.mktemp("vocabulary"))


def names_tokens(counter: TiktokenCounter) -> int:
    return sum(counter.count(name) + 1 for name in NAMED)


@pytest.mark.parametrize(("name", "tokens"), [("cl100k_base", 129), ("o200k_base", 124)])
def test_the_published_messages_are_counted_as_published(name: EncodingName, tokens: int) -> None:
    counter = TiktokenCounter(name)
    assert request_tokens(JARGON, counter, frame=CHAT) + names_tokens(counter) == tokens
    assert tokens <= request_tokens(JARGON, counter) + names_tokens(counter) <= tokens * 1.02


@pytest.mark.parametrize(("name", "tokens"), [("cl100k_base", 105), ("o200k_base", 101)])
def test_the_published_tool_is_counted_as_published(name: EncodingName, tokens: int) -> None:
    counter = TiktokenCounter(name)
    assert request_tokens(WEATHER, counter, frame=CHAT) == tokens
    assert request_tokens(WEATHER, counter) == tokens + 4


def test_the_same_examples_are_counted_as_the_renderer_of_harmony_writes_them(renderer: Renderer) -> None:
    assert request_tokens(JARGON, EXACT) == renderer.request_tokens(JARGON)
    joined = 1  # the tokenizer makes one of the full stop before the tools and the line breaks after it
    assert request_tokens(WEATHER, EXACT) == renderer.request_tokens(WEATHER) + joined


def test_no_request_of_a_corpus_is_counted_too_low_and_all_of_them_at_most_two_percent_too_high(
    renderer: Renderer,
) -> None:
    comparisons = list(compared(corpus(60), renderer, EXACT))
    assert [one for one in comparisons if one.ours < one.true] == []
    assert above(comparisons) <= 0.02
    assert above(one for one in comparisons if not one.unfolded) <= 0.012


def bare(request: ModelRequest) -> list[ModelRequest]:
    """Return the parts of a request as requests of their own."""
    unread = replace(request, items=())
    parts = [unread, replace(unread, instructions=""), replace(unread, tools=()), replace(unread, output=None)]
    silent = replace(request, instructions="", tools=(), output=None)
    items: list[tuple[Item, ...]] = [(item,) for item in request.items if isinstance(item, UserMessage)]
    return [*parts, *(replace(silent, items=item) for item in items), silent]


def test_no_part_of_a_request_is_counted_too_low(renderer: Renderer) -> None:
    for request in corpus(10, seed=7):
        for one in compared(bare(request), renderer, EXACT):
            assert one.ours >= one.true
