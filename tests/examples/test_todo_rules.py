"""What the rules of the todo example make of plain sentences, with the real tools: what is said and what is stored."""

from collections.abc import AsyncGenerator, Sequence
from uuid import uuid4

import anyio
import pytest
from anyio.to_thread import run_sync

from assistant_kit import Assistant
from assistant_kit.protocols.model import ModelRequest
from examples.todo_chatbot.database import Database
from examples.todo_chatbot.mcp_server.in_process import task_tools
from examples.todo_chatbot.models import User
from examples.todo_chatbot.rules import HELP, todo_model
from examples.todo_chatbot.services.task_service import TaskService, TaskView

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop: the rules know of none, and tests/examples/todo/scenarios runs them on both."""
    return "asyncio"


class Chat:
    """A user and a conversation of their own."""

    def __init__(self, assistant: Assistant[str], database: Database) -> None:
        self.assistant = assistant
        self.user = uuid4()
        with database.writing() as session:
            session.add(User(id=self.user, email=str(self.user)))
        self.service = TaskService(database)

    async def say(self, text: str) -> str:
        with anyio.fail_after(10):
            return (await self.assistant.run(text, user=str(self.user), conversation="c")).output

    def add(self, *titles: str) -> Sequence[int]:
        return [self.service.add(self.user, title).id for title in titles]

    @property
    def tasks(self) -> tuple[TaskView, ...]:
        return self.service.list(self.user)

    @property
    def state(self) -> list[str]:
        return [f"{task.title}{' (done)' * task.done}" for task in self.tasks]


@pytest.fixture(scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[tuple[Assistant[str], Database]]:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('todo') / 'todo.db'}")
    await run_sync(database.migrate)
    async with Assistant(todo_model(), tools=[task_tools(TaskService(database))], store="memory:") as assistant:
        yield assistant, database
    database.close()


@pytest.fixture
def chat(started: tuple[Assistant[str], Database]) -> Chat:
    return Chat(*started)


@pytest.mark.parametrize(
    ("sentence", "titles"),
    [
        ("add milk", ["milk"]),
        ("Please add milk to my list.", ["milk"]),
        ("a new task: call Ada", ["call Ada"]),
        ("I need to buy stamps", ["buy stamps"]),
        ("add eggs, bread and butter", ["eggs, bread and butter"]),
        ("add two items: eggs, bread and butter", ["eggs", "bread", "butter"]),
        ("Hello, add eggs, add bread and remind me to call mom. Thanks a lot!", ["eggs", "bread", "call mom"]),
        ("remind me on Monday to call mom", ["call mom on Monday"]),
        ("I don't want anything", []),
        ("don't add milk", []),
    ],
)
async def test_sentences_that_add(chat: Chat, sentence: str, titles: list[str]) -> None:
    said = await chat.say(sentence)
    assert chat.state == titles
    assert all(title in said for title in titles)


@pytest.mark.parametrize(
    ("sentence", "state"),
    [
        ("complete the milk task", ["buy milk (done)", "call Ada", "pay rent"]),
        ("mark buy milk as done", ["buy milk (done)", "call Ada", "pay rent"]),
        ("could you check off milk and rent?", ["buy milk (done)", "call Ada", "pay rent (done)"]),
        ("check off milk and check off rent", ["buy milk (done)", "call Ada", "pay rent (done)"]),
        ("I've already called Ada", ["buy milk", "call Ada (done)", "pay rent"]),
        ("complete everything but the rent", ["buy milk (done)", "call Ada (done)", "pay rent"]),
        ("delete the rent task", ["buy milk", "call Ada"]),
        ("would you mind dropping the rent task?", ["buy milk", "call Ada"]),
        ("do you mind renaming milk to tea?", ["tea", "call Ada", "pay rent"]),
        ("rename milk to oat milk", ["oat milk", "call Ada", "pay rent"]),
        ("rename milk to tea and delete tea", ["call Ada", "pay rent"]),
        ("move the rent to Friday", ["buy milk", "call Ada", "pay rent on Friday"]),
        ("move the rent to next week", ["buy milk", "call Ada", "pay rent next week"]),
        ("don't delete milk", ["buy milk", "call Ada", "pay rent"]),
        ("please do not delete milk", ["buy milk", "call Ada", "pay rent"]),
        ("I did not call Ada", ["buy milk", "call Ada", "pay rent"]),
        ("I haven't paid the rent yet", ["buy milk", "call Ada", "pay rent"]),
        ("buy milk is not done", ["buy milk", "call Ada", "pay rent"]),
        ("I almost finished buy milk", ["buy milk", "call Ada", "pay rent"]),
        ("is the rent done?", ["buy milk", "call Ada", "pay rent"]),
        ("delete nothing", ["buy milk", "call Ada", "pay rent"]),
        ("delete the tasks of eve", ["buy milk", "call Ada", "pay rent"]),
    ],
)
async def test_sentences_that_change(chat: Chat, sentence: str, state: list[str]) -> None:
    chat.add("buy milk", "call Ada", "pay rent")
    await chat.say(sentence)
    assert chat.state == state


async def test_numbers_of_tasks_are_understood_and_shown_to_those_who_ask(chat: Chat) -> None:
    milk, ada, rent = chat.add("buy milk", "call Ada", "pay rent")
    await chat.say(f"complete task {ada}")
    await chat.say(f"update task {rent} to pay the rent")
    assert chat.state == ["buy milk", "call Ada (done)", "pay the rent"]
    assert f"number {milk}" in await chat.say("show my tasks with their numbers")
    assert f"number {milk}" in await chat.say("what is the number of milk?")
    assert str(milk) not in await chat.say("show my tasks")
    await chat.say(f"complete tasks {milk}, {ada} and {rent}")
    assert chat.state == ["buy milk (done)", "call Ada (done)", "pay the rent (done)"]
    await chat.say(f"delete tasks #{milk} and #{rent}")
    assert chat.state == ["call Ada (done)"]


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
        ("show my unfinished tasks", ["milk"]),
        ("how many tasks do I have?", []),
    ],
)
async def test_sentences_that_list(chat: Chat, sentence: str, titles: list[str]) -> None:
    _, rent = chat.add("milk", "rent")
    chat.service.complete(chat.user, rent)
    said = await chat.say(sentence)
    assert [title for title in ("milk", "rent") if title in said] == titles


async def test_descriptions_are_added_and_changed(chat: Chat) -> None:
    chat.add("milk")
    await chat.say("set the description of milk to two litres")
    await chat.say('add "pay rent" with the description before Friday')
    assert [task.description for task in chat.tasks] == ["two litres", "before Friday"]
    assert "two litres" in await chat.say("list my tasks")


async def test_it_means_the_task_that_was_mentioned_last(chat: Chat) -> None:
    chat.add("milk", "rent")
    await chat.say("complete it")
    assert chat.state == ["milk", "rent"]
    await chat.say("rename rent to pay rent")
    await chat.say("mark it as done")
    assert chat.state == ["milk", "pay rent (done)"]
    await chat.say("add tea and delete it")
    assert chat.state == ["milk", "pay rent (done)"]
    await chat.say("delete tea")
    assert "Which task" in await chat.say("delete both")


async def test_a_title_that_fits_several_tasks_changes_none_of_them_until_the_user_says_which(chat: Chat) -> None:
    chat.add("meeting with Ada", "meeting with Grace", "meetings")
    said = await chat.say("delete the meeting")
    assert len(chat.tasks) == 3
    assert "meeting with Ada" in said
    assert "meeting with Grace" in said
    assert "no task" in await chat.say("the one with Eve")
    assert chat.state == ["meeting with Ada", "meeting with Grace", "meetings"]
    await chat.say("delete meetings")
    assert chat.state == ["meeting with Ada", "meeting with Grace"]


@pytest.mark.parametrize(
    ("reply", "left"),
    [
        ("Grace", ["call Ada"]),
        ("the one with Grace, please", ["call Ada"]),
        ("2", ["call Ada"]),
        ("the first one", ["call Grace"]),
        ("both of them", []),
        ("none", ["call Ada", "call Grace"]),
        ("7", ["call Ada", "call Grace"]),
        ("the third one", ["call Ada", "call Grace"]),
        ('delete "call Ada"', ["call Grace"]),
    ],
)
async def test_the_answer_to_which_one_is_taken_as_it_was_meant(chat: Chat, reply: str, left: list[str]) -> None:
    chat.add("call Ada", "call Grace")
    await chat.say("delete call")
    await chat.say(reply)
    assert chat.state == left


@pytest.mark.parametrize(
    ("question", "reply", "state"),
    [
        ("rename call to write", "Ada", ["write", "call Grace"]),
        ("move the call to Monday", "Grace", ["call Ada", "call Grace on Monday"]),
        ("change call Ada", "write to Ada", ["write to Ada", "call Grace"]),
        ("complete it", "call Ada", ["call Ada (done)", "call Grace"]),
        ("add a task", "buy milk", ["call Ada", "call Grace", "buy milk"]),
        ("change call", "Ada", ["call Ada", "call Grace"]),
    ],
)
async def test_questions_that_were_asked_back_can_be_answered(
    chat: Chat, question: str, reply: str, state: list[str]
) -> None:
    chat.add("call Ada", "call Grace")
    assert "?" in await chat.say(question)
    await chat.say(reply)
    assert chat.state == state


async def test_a_description_can_be_meant_for_one_of_several_tasks(chat: Chat) -> None:
    chat.add("call Ada", "call Grace")
    await chat.say("set the description of call to about the party")
    await chat.say("the last one")
    assert [task.description for task in chat.tasks] == ["", "about the party"]


async def test_open_tasks_are_meant_before_done_ones(chat: Chat) -> None:
    milk, _ = chat.add("milk", "milk")
    chat.service.complete(chat.user, milk)
    await chat.say("complete milk")
    assert chat.state == ["milk (done)", "milk (done)"]


@pytest.mark.parametrize(
    ("sentences", "state"),
    [
        (["rename milk to tea", "no, I meant coffee"], ["coffee", "rent"]),
        (["set the description of milk to old", "I meant new"], ["milk", "rent"]),
        (["complete milk", "no, I meant the moon"], ["milk (done)", "rent"]),
        (["delete milk", "no, I meant the moon"], ["rent"]),
        (["delete milk", "not milk, rent"], ["milk"]),
        (["complete milk", "undo that"], ["milk (done)", "rent"]),
        (["complete milk", "delete it", "undo that"], ["rent", "milk"]),
        (["undo that", "I meant tea", "add it again"], ["milk", "rent"]),
        (["add tea", "thanks, that is not done yet"], ["milk", "rent", "tea"]),
        (["rename milk to tea", "not butter, bread"], ["tea", "rent"]),
        (["delete tea", "delete it"], ["milk", "rent"]),
        (["complete task 999999999", "rename milk to tea", "undo that"], ["milk", "rent"]),
        (["delete rent", "show my list", "delete it", "delete it"], []),
        (["list my tasks", "delete the last one", "delete the last one"], ["milk"]),
        (["delete tea", "delete both"], ["milk", "rent"]),
    ],
)
async def test_corrections_put_right_what_the_tools_can_put_right(
    chat: Chat, sentences: list[str], state: list[str]
) -> None:
    chat.add("milk", "rent")
    for sentence in sentences:
        await chat.say(sentence)
    assert chat.state == state


async def test_a_description_that_was_changed_is_what_it_was_after_undoing(chat: Chat) -> None:
    (milk,) = chat.add("milk")
    chat.service.update(chat.user, milk, description="two litres")
    await chat.say("set the description of milk to three litres")
    await chat.say("undo that")
    assert chat.tasks[0].description == "two litres"
    await chat.say(f"rename task {milk} to tea")
    await chat.say("undo that")
    assert chat.state == ["milk"]


async def test_what_was_never_seen_cannot_be_undone(chat: Chat) -> None:
    (milk,) = chat.add("milk")
    await chat.say(f"rename task {milk} to tea")
    assert "do not know what it was" in await chat.say("undo that")
    assert chat.state == ["tea"]
    assert "I changed tea" in await chat.say("what did you just do?")


@pytest.mark.parametrize("length", [301, 1_001])
async def test_long_messages_are_not_guessed_at(chat: Chat, length: int) -> None:
    chat.add("milk")
    assert HELP in await chat.say("delte milk".ljust(length, "."))
    assert chat.state == ["milk"]


async def test_nothing_is_claimed_that_was_not_done(chat: Chat) -> None:
    (milk,) = chat.add("milk")
    missing = (f"complete task {milk + 7}", "delete the tea task", f"complete tasks {milk + 8} and {milk + 9}")
    for sentence in (*missing, f"add {'x' * 300}", "what did you just add?", "reopen milk"):
        said = await chat.say(sentence)
        assert not said.startswith(("Done", "Deleted", "Added"))
        assert "Error executing" not in said
    assert chat.state == ["milk"]


async def test_without_tools_it_says_so_and_without_a_message_it_gives_help() -> None:
    async with Assistant(todo_model()) as alone:
        for sentence in ("delete milk", "add milk", "undo that", "what is on my list?"):
            said = (await alone.run(sentence)).output
            assert not said.startswith(("Done", "Deleted", "Added", "You have"))
    response = await todo_model().respond(ModelRequest(items=()), lambda _: None)
    assert HELP in response.text


async def test_small_talk_and_help_call_no_tools(chat: Chat) -> None:
    for sentence in (
        "hello",
        "good morning",
        "thanks a lot",
        "bye",
        "help",
        "sing me a song",
        "never mind",
        "...",
        "No.",
    ):
        result = await chat.assistant.run(sentence, user=str(chat.user))
        assert result.output
        assert result.tool_calls == ()
    assert HELP in await chat.say("what can you do?")
