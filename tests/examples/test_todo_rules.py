"""What the rules of the todo example make of plain sentences, with the real tools: what is said and what is stored."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from assistant_kit import Assistant, MCPServer
from examples.todo_chatbot.mcp_server.server import make_server
from examples.todo_chatbot.rules import HELP, todo_model
from examples.todo_chatbot.services.task_service import Task, TaskService

pytestmark = pytest.mark.anyio


class Chat:
    def __init__(self, assistant: Assistant[str], service: TaskService) -> None:
        self.assistant = assistant
        self.service = service

    async def say(self, text: str) -> str:
        return (await self.assistant.run(text, user="ada", conversation="c")).output

    @property
    def tasks(self) -> tuple[Task, ...]:
        return self.service.list("ada")

    @property
    def state(self) -> list[str]:
        return [f"{task.title}{' (done)' * task.done}" for task in self.tasks]


@asynccontextmanager
async def chatting(folder: Path, *titles: str) -> AsyncGenerator[Chat]:
    service = TaskService(folder / "tasks.db")
    for title in titles:
        service.add("ada", title)
    server = MCPServer(make_server(service, "ada"))
    with anyio.fail_after(20):
        async with Assistant(todo_model(), tools=[server], store="memory:") as assistant:
            yield Chat(assistant, service)


@pytest.mark.parametrize(
    ("sentence", "titles"),
    [
        ("add milk", ["milk"]),
        ("Please add milk to my list.", ["milk"]),
        ("add a task to buy milk", ["buy milk"]),
        ("add task: call Ada", ["call Ada"]),
        ("create a new task called water the plants", ["water the plants"]),
        ("remind me to call mom", ["call mom"]),
        ("I need to buy stamps", ["buy stamps"]),
        ("put eggs on the shopping list for me, thanks", ["eggs"]),
        ("add eggs, bread and butter", ["eggs, bread and butter"]),
        ("Hello, add eggs, add bread and remind me to call mom. Thanks a lot!", ["eggs", "bread", "call mom"]),
        ("I don't want anything", []),
    ],
)
async def test_sentences_that_add(tmp_path: Path, sentence: str, titles: list[str]) -> None:
    async with chatting(tmp_path) as chat:
        said = await chat.say(sentence)
        assert chat.state == titles
        assert all(title in said for title in titles)


@pytest.mark.parametrize(
    ("sentence", "state"),
    [
        ("complete the milk task", ["buy milk (done)", "call Ada", "pay rent"]),
        ("mark buy milk as done", ["buy milk (done)", "call Ada", "pay rent"]),
        ("complete task 2", ["buy milk", "call Ada (done)", "pay rent"]),
        ("could you check off milk and rent?", ["buy milk", "call Ada", "pay rent"]),
        ("check off milk and check off rent", ["buy milk (done)", "call Ada", "pay rent (done)"]),
        ("complete tasks 1, 2 and 3", ["buy milk (done)", "call Ada (done)", "pay rent (done)"]),
        ("I've already finished call Ada", ["buy milk", "call Ada (done)", "pay rent"]),
        ("delete the rent task", ["buy milk", "call Ada"]),
        ("remove milk from my list and delete task 2", ["pay rent"]),
        ("delete tasks #1 and #3", ["call Ada"]),
        ("rename milk to oat milk", ["oat milk", "call Ada", "pay rent"]),
        ("change the call Ada task to call Grace", ["buy milk", "call Grace", "pay rent"]),
        ("update task 3 to pay the rent", ["buy milk", "call Ada", "pay the rent"]),
        ("rename milk to tea and delete tea", ["call Ada", "pay rent"]),
    ],
)
async def test_sentences_that_change(tmp_path: Path, sentence: str, state: list[str]) -> None:
    async with chatting(tmp_path, "buy milk", "call Ada", "pay rent") as chat:
        await chat.say(sentence)
        assert chat.state == state


@pytest.mark.parametrize(
    ("sentence", "titles"),
    [
        ("What's on my list?", ["milk", "rent"]),
        ("show me all my tasks", ["milk", "rent"]),
        ("show my open tasks please", ["milk"]),
        ("what do I still have to do?", ["milk"]),
        ("what is left", ["milk"]),
        ("what have I finished?", ["rent"]),
        ("list completed tasks", ["rent"]),
    ],
)
async def test_sentences_that_list(tmp_path: Path, sentence: str, titles: list[str]) -> None:
    async with chatting(tmp_path, "milk", "rent") as chat:
        chat.service.complete("ada", 2)
        said = await chat.say(sentence)
        assert [title for title in ("milk", "rent") if title in said] == titles


async def test_descriptions_are_added_and_changed(tmp_path: Path) -> None:
    async with chatting(tmp_path, "milk") as chat:
        await chat.say("set the description of milk to two litres")
        await chat.say('add "pay rent" with the description before Friday')
        assert [task.description for task in chat.tasks] == ["two litres", "before Friday"]
        assert "two litres" in await chat.say("list my tasks")


async def test_it_means_the_task_that_was_mentioned_last(tmp_path: Path) -> None:
    async with chatting(tmp_path, "milk", "rent") as chat:
        await chat.say("complete it")
        assert chat.state == ["milk", "rent"]
        await chat.say("rename rent to pay rent")
        await chat.say("mark it as done")
        assert chat.state == ["milk", "pay rent (done)"]
        await chat.say("add tea and delete it")
        assert chat.state == ["milk", "pay rent (done)"]


async def test_a_title_that_fits_several_tasks_changes_none_of_them(tmp_path: Path) -> None:
    async with chatting(tmp_path, "meeting with Ada", "meeting with Grace", "meetings") as chat:
        said = await chat.say("delete the meeting")
        assert len(chat.tasks) == 3
        assert "meeting with Ada" in said
        assert "meeting with Grace" in said
        await chat.say("delete meetings")
        assert chat.state == ["meeting with Ada", "meeting with Grace"]


async def test_open_tasks_are_meant_before_done_ones(tmp_path: Path) -> None:
    async with chatting(tmp_path, "milk", "milk") as chat:
        chat.service.complete("ada", 1)
        await chat.say("complete milk")
        assert chat.state == ["milk (done)", "milk (done)"]


async def test_nothing_is_claimed_that_was_not_done(tmp_path: Path) -> None:
    async with chatting(tmp_path, "milk") as chat:
        for sentence in ("complete task 9", "delete the tea task", "complete tasks 8 and 9", f"add {'x' * 300}"):
            said = await chat.say(sentence)
            assert not said.startswith(("Done", "Deleted", "Added"))
            assert "Error executing" not in said
        assert chat.state == ["milk"]


async def test_small_talk_and_help_call_no_tools(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        for sentence in ("hello", "good morning", "thanks a lot", "bye", "help", "sing me a song"):
            result = await chat.assistant.run(sentence)
            assert result.output
            assert result.tool_calls == ()
        assert HELP in await chat.say("what can you do?")
