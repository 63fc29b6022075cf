"""Users and conversations side by side over one assistant: none is told a word of another."""

import re
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from assistant_kit.assistant import Assistant
from assistant_kit.protocols.toolset import ToolContext
from assistant_kit.toolsets.functions import tool
from tests.end_to_end.talking import WIRES, Way, assert_all_accepted, items, opened, talk
from tests.openai_server import Answer, Call, OpenAIServer, Reply, Request

pytestmark = pytest.mark.anyio

USERS = ("alice", "bob")
CONVERSATIONS = ("c1", "c2", "c3", "c4")
TURNS = 3
CANARY = re.compile(r"(alice|bob)-(c\d)")


@tool(effect="read")
async def diary(context: ToolContext) -> str:
    """Read the user's diary."""
    await checkpoint()
    return f"diary of {context.user}-{context.conversation}"


@tool(effect="read")
def notes(context: ToolContext) -> str:
    """Read the user's notes, in a thread."""
    return f"notes of {context.user}-{context.conversation}"


def reply(request: Request) -> Reply:
    """Ask for both tools, then say again all that was heard."""
    last = items(request)[-1]
    if last.get("role") == "user":
        return Answer(reasoning="think", tool_calls=(Call("diary"), Call("notes")))
    heard = {"-".join(found) for found in CANARY.findall(request.raw.decode())}
    return Answer(f"I heard {' '.join(sorted(heard))}", reasoning="so")


async def visit(assistant: Assistant[str], way: Way, user: str, conversation: str) -> None:
    for turn in range(TURNS):
        result = await talk(assistant, way, f"{user}-{conversation} says {turn}", user=user, conversation=conversation)
        assert result.output == f"I heard {user}-{conversation}"


@pytest.mark.parametrize("way", WIRES, ids=str)
async def test_no_request_for_one_user_or_conversation_holds_a_word_of_another(
    server: OpenAIServer, tmp_path: Path, way: Way
) -> None:
    server.script(reply)
    with anyio.fail_after(30):
        async with opened(server, way, tmp_path, tools=[diary, notes]) as assistant:
            async with anyio.create_task_group() as group:
                for user in USERS:
                    for conversation in CONVERSATIONS:
                        group.start_soon(partial(visit, assistant, way, user, conversation))
            listed = {user: await assistant.conversations(user=user) for user in USERS}
            history = await assistant.conversation("c1", user="alice").history()
    assert len(server.requests) == len(USERS) * len(CONVERSATIONS) * TURNS * 2
    assert [len(set(CANARY.findall(request.raw.decode()))) for request in server.requests] == [1] * len(server.requests)
    assert {user: {info.conversation for info in found} for user, found in listed.items()} == {
        user: set(CONVERSATIONS) for user in USERS
    }
    assert [turn.input for turn in history] == [f"alice-c1 says {turn}" for turn in range(TURNS)]
    assert_all_accepted(server)
