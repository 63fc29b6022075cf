"""What a server says of its rate limits, and how far an answer has come, is told."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant_kit.errors import ModelBroke, ModelRateLimited
from assistant_kit.models._openai.rate_limits import duration, rate_limits
from assistant_kit.models.openai import OpenAI, OpenAIChat, OpenAIResponses
from assistant_kit.protocols.model import ModelRequest, Progress, upstream_of
from assistant_kit.testing.scripted_model import ScriptedModel
from assistant_kit.usage import RateLimits
from tests.models.openai_asking import BOTH, HI, KEY, Kind, ask, connected, dump, events, http
from tests.openai_server import Answer, OpenAIServer, Status

pytestmark = pytest.mark.anyio
both = pytest.mark.parametrize("kind", BOTH)
HEADERS = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "0",
    "x-ratelimit-reset-tokens": "6m0s",
}
LIMITS = RateLimits(
    requests_limit=60,
    requests_left=59,
    requests_reset=1.0,
    tokens_limit=150_000,
    tokens_left=0,
    tokens_reset=360.0,
)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("17ms", 0.017),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("2m", 120.0),
        ("59.7", 59.7),
        ("12", 12.0),
        ("1m500ms", 60.5),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3s", None),
        ("s", None),
        ("1s1m", None),
    ],
)
def test_the_time_of_a_reset_is_read_as_servers_write_it(text: str | None, seconds: float | None) -> None:
    assert duration(text) == seconds


@given(st.text(max_size=30))
def test_whatever_stands_there_is_a_time_or_none(text: str) -> None:
    seconds = duration(text)
    assert seconds is None or seconds >= 0


def test_headers_that_say_nothing_that_can_be_read_are_no_limits() -> None:
    assert rate_limits([(b"content-type", b"x"), (b"X-RateLimit-Remaining-Tokens", b"many")]) is None
    assert rate_limits([(b"X-RateLimit-Remaining-Tokens", b"5")]) == RateLimits(tokens_left=5)


def test_what_is_used_up_is_waited_for() -> None:
    assert LIMITS.wait == 360
    assert RateLimits(requests_left=0, requests_reset=4.0, tokens_left=0, tokens_reset=3.0).wait == 4
    assert RateLimits(requests_left=0).wait is None
    assert RateLimits(requests_left=1, requests_reset=4.0).wait is None


@both
async def test_a_refusal_for_too_many_requests_tells_the_limits(kind: Kind, server: OpenAIServer) -> None:
    server.script([Status(429, headers=HEADERS)])
    async with connected(kind, server) as model:
        with pytest.raises(ModelRateLimited) as caught:
            await ask(model)
    assert caught.value.limits == LIMITS


CHAT: list[dict[str, Any]] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"index": 0, "delta": {"content": "hi"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r"}},
    {"type": "response.in_progress", "response": {"id": "r"}},
    {"type": "response.output_text.delta", "delta": "hi"},
    {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": {}}},
]


@pytest.mark.parametrize(("kind", "told"), [(OpenAIChat, CHAT), (OpenAIResponses, RESPONSES)])
async def test_an_answer_tells_the_limits_of_its_server(kind: Kind, told: list[Any], server: OpenAIServer) -> None:
    headers = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    server.script([http(events(*told), headers=headers), Answer("hello")])
    async with connected(kind, server) as model:
        assert (await ask(model)).response.limits == LIMITS
        assert (await ask(model)).response.limits is None


@pytest.mark.parametrize(
    ("kind", "told", "before"), [(OpenAIChat, CHAT, 1), (OpenAIResponses, RESPONSES, 2)], ids=["chat", "responses"]
)
async def test_how_far_an_answer_has_come_is_told_while_it_comes(
    kind: Kind, told: list[Any], before: int, server: OpenAIServer
) -> None:
    """A stream that has only been opened has shown a sign of life, but its answer has not begun."""
    for cut, begun in ((before, False), (before + 1, True)):
        progress = Progress()
        server.script([http(b"".join(b"data: " + dump(event) + b"\n\n" for event in told[:cut]))])
        async with connected(kind, server) as model:
            with pytest.raises(ModelBroke):
                await model.respond(ModelRequest(items=[HI], progress=progress), lambda _: None)
        assert progress.beats > 0
        assert progress.begun == begun


async def test_models_of_one_name_at_two_places_do_not_fail_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    here = OpenAI("m", api_key=KEY, base_url="http://here.example/v1")
    there = OpenAI("m", api_key=KEY, base_url="http://there.example/v1")
    assert upstream_of(here) == "openai:m at http://here.example/v1"
    assert upstream_of(here) == here.upstream != upstream_of(there)
    assert upstream_of(OpenAI("m")) == "openai:m"  # it has no key, and cannot be asked
    assert upstream_of(ScriptedModel([], name="s")) == "s"
    for model in (here, there):
        await model.aclose()
