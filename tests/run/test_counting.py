"""By which counter requests are counted, and what is learned from what a server says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from assistant_kit import Assistant, Settings, WindowSettings
from assistant_kit.context import Context
from assistant_kit.context_window import Packed
from assistant_kit.errors import ConfigurationError, ContextOverflow
from assistant_kit.messages import AssistantMessage, Image, Text, UserMessage, user_message
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.request_tokens import request_tokens
from assistant_kit.run.counting import BELIEVED, TEMPLATE, Counting
from assistant_kit.stores.memory import MemoryStore
from assistant_kit.token_counters.tiktoken import TiktokenCounter
from assistant_kit.token_counters.upper_bound import UpperBound
from assistant_kit.tool_spec import HostedTool
from assistant_kit.usage import Usage

BOUND, EXACT = UpperBound(), TiktokenCounter()
SIZES = WindowSettings(max_tokens=10_000, reserved_output=0)


def counting(*, trusted: bool = False, given: bool = False, settings: WindowSettings = SIZES) -> Counting:
    return Counting(settings, lambda: EXACT, None if given else BOUND, trusted=lambda: trusted)


def said(words: int) -> ModelRequest:
    return ModelRequest(items=(user_message("rain " * words),))


def packed(request: ModelRequest, counter: Any) -> Packed:
    return Packed(items=tuple(request.items), tokens=request_tokens(request, counter))


def report(counts: Counting, request: ModelRequest, ratio: float) -> None:
    """The server says what a request took: so much more than it should."""
    counter, _ = counts.now(lambda _: True)
    tokens = int(request_tokens(request, EXACT) * ratio)
    counts.observe(request, packed(request, counter), counter, Usage(requests=1, input_tokens=tokens))


def test_a_server_that_is_not_known_is_counted_by_a_bound_until_it_has_reported_enough() -> None:
    counts = counting()
    assert counts.now(lambda _: True)[0] is BOUND
    for _ in range(3):
        report(counts, said(500), 1.3)
    counter, window = counts.now(lambda _: True)
    assert counter is EXACT
    assert SIZES.budget / 1.6 < window.budget < SIZES.budget / 1.3
    assert counts.now(lambda _: True) == (counter, window)


def test_openais_own_server_is_counted_exactly_from_the_first_request_on() -> None:
    counts = counting(trusted=True)
    counter, window = counts.now(lambda _: True)
    assert (counter, window.budget) == (EXACT, SIZES.budget)
    report(counts, said(500), 1.0)
    assert window.budget == SIZES.budget


def test_a_counter_that_was_given_is_believed_until_the_server_says_more() -> None:
    counts = counting(given=True)
    _, window = counts.now(lambda _: True)
    assert window.budget == SIZES.budget
    report(counts, said(500), 0.9)
    assert window.budget == SIZES.budget
    report(counts, said(500), 1.5)
    assert window.budget < SIZES.budget / 1.4


def test_where_the_bound_leaves_no_room_a_tokenizer_is_believed_to_be_like_others() -> None:
    counts = counting()
    counter, window = counts.now(lambda window: window.budget < 7_000)
    assert counter is EXACT
    assert window.budget == int((SIZES.budget - TEMPLATE) / BELIEVED)


def test_pictures_hosted_tools_and_silence_teach_nothing() -> None:
    counts = counting()
    text = said(500)
    picture = UserMessage(content=(Text(text="x" * 900), Image(url="https://example.org/a.png")))
    for request in (
        ModelRequest(items=(picture,)),
        ModelRequest(items=text.items, tools=(HostedTool(declaration={"type": "web_search"}),)),
    ):
        for _ in range(5):
            report(counts, request, 1.0)
    for _ in range(5):
        counts.observe(text, packed(text, BOUND), BOUND, Usage(requests=1, reported=False))
    assert not counts.calibration.known


def test_a_request_that_was_refused_as_too_long_does_not_fit_again() -> None:
    counts = counting(trusted=True)
    _, window = counts.now(lambda _: True)
    counts.overflowed(Packed(items=(), tokens=9_000))
    assert window.budget < 9_000


def test_a_model_that_cannot_say_where_it_is_served_is_asked_again_later() -> None:
    answers: list[Any] = [ConfigurationError("no key"), False]

    def trusted() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    counts = Counting(SIZES, lambda: EXACT, BOUND, trusted=trusted)
    assert counts.now(lambda _: True)[0] is EXACT
    assert counts.now(lambda _: True)[0] is BOUND


@dataclass
class Narrow:
    """A model whose server refuses what is longer than it says of itself."""

    limit: int
    name: str = "narrow"
    sizes: list[int] = field(default_factory=list[int])
    counts_as_openai: bool = True

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        del emit
        size = request_tokens(request, BOUND)
        self.sizes.append(size)
        if size > self.limit:
            raise ContextOverflow("too long", model=self.name)
        usage = Usage(requests=1, input_tokens=size)
        return ModelResponse(items=(AssistantMessage(text="y" * 100),), usage=usage, model=self.name)

    async def aclose(self) -> None: ...


def talking(model: Narrow, room: int = 3_000, instructions: str = "") -> Assistant[str]:
    return Assistant(
        model,
        instructions=instructions,
        store=MemoryStore(),
        settings=Settings(window=WindowSettings(max_tokens=room, reserved_output=0)),
        context=Context(token_counter=BOUND),
        policies=(),
    )


async def say(assistant: Assistant[str], texts: Sequence[str]) -> None:
    with anyio.fail_after(20):
        for text in texts:
            await assistant.run(text, user="u", conversation="c")


@pytest.mark.anyio
async def test_a_conversation_goes_on_with_less_when_the_server_refuses_a_request_as_too_long() -> None:
    model = Narrow(limit=1_500)
    await say(talking(model), ["x" * 100] * 20)
    refused = [size for size in model.sizes if size > model.limit]
    assert 1 <= len(refused) < 4
    assert len(model.sizes) == 20 + len(refused)


@pytest.mark.anyio
async def test_a_message_that_no_request_can_be_smaller_than_is_refused_as_the_server_says() -> None:
    model = Narrow(limit=500)
    with pytest.raises(ContextOverflow):
        await say(talking(model), ["x" * 700])
    assert len(model.sizes) < 5


@pytest.mark.anyio
async def test_instructions_that_leave_no_room_on_the_server_are_sent_once() -> None:
    model = Narrow(limit=100)
    with pytest.raises(ContextOverflow):
        await say(talking(model, instructions="x" * 2_000), ["x"])
    assert len(model.sizes) == 1


@pytest.mark.anyio
async def test_an_assistant_on_another_server_counts_by_a_bound_and_then_with_a_margin() -> None:
    model = Narrow(limit=10_000, counts_as_openai=False)
    settings = Settings(window=WindowSettings(max_tokens=10_000, reserved_output=0))
    assistant = Assistant(model, store=MemoryStore(), settings=settings)
    await say(assistant, ["rain " * 300] * 12)
    assert max(model.sizes) <= 10_000
    assert len(model.sizes) == 12
