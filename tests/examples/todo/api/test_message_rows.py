"""The rows of messages say what the journal says, whatever happens."""

from collections.abc import Sequence
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from sqlmodel import select

from assistant_kit import ModelUnauthorized, ModelUnavailable
from assistant_kit.errors import ProjectionFailed
from assistant_kit.protocols.model import Emit, ModelRequest, ModelResponse
from assistant_kit.testing.scripted_model import Call, CallTools, Cut, Fail, Say, ScriptedModel, Step
from examples.todo_chatbot.assistant import BASIC_MODE
from examples.todo_chatbot.models import Conversation, Message, Task, User
from examples.todo_chatbot.settings import Settings
from tests.examples.todo.service import Person, Running, running

pytestmark = pytest.mark.anyio

ADD = "add milk to my list"


async def _by_the_journal(service: Running, person: Person, number: int) -> Sequence[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    for turn in await service.parts.assistant.conversation(str(number), user=person.id).history():
        said.append(("user", turn.input))
        said += [("assistant", turn.text)] if turn.outcome == "completed" else []
    return said


async def test_each_message_is_a_row_once(settings: Settings) -> None:
    down = ModelUnavailable("down", model="large", should_retry=False)
    steps: list[Step] = [
        CallTools(Call("list_tasks"), text="Let me see."),
        CallTools(Call("add_task", {"title": "milk"})),
        Say("I have added milk."),
        Cut(after="You are", error=down),
        Fail(ModelUnauthorized("wrong key", model="large")),
        Say("a\0b"),
    ]
    async with running(settings, model=ScriptedModel(steps, name="large")) as service:
        ann = await service.person()
        number = (await ann.chat("we are out of milk"))["conversation_id"]
        await ann.chat("thanks", number)
        answer = await ann.ask("POST", "/chat", {"conversation_id": number, "message": "hello"})
        assert answer.status_code == 503
        await ann.chat("hello again", number)
        assert await ann.said(number) == [
            ("user", "we are out of milk"),
            ("assistant", "I have added milk."),
            ("user", "thanks"),
            ("assistant", f"{BASIC_MODE}You are welcome."),
            ("user", "hello"),
            ("user", "hello again"),
            ("assistant", "a\N{REPLACEMENT CHARACTER}b"),
        ]
        assert (await _by_the_journal(service, ann, number))[:-1] == (await ann.said(number))[:-1]


class Held:
    """A model that answers when it is let go."""

    name: str = "large"

    def __init__(self) -> None:
        self.asked: anyio.Event = anyio.Event()
        self.let_go: anyio.Event = anyio.Event()

    async def respond(self, request: ModelRequest, emit: Emit) -> ModelResponse:
        self.asked.set()
        await self.let_go.wait()
        return await ScriptedModel(["Hello."], name=self.name).respond(request, emit)

    async def aclose(self) -> None:
        await anyio.lowlevel.checkpoint()


async def test_of_a_user_who_is_erased_while_an_answer_is_made_nothing_stays(settings: Settings) -> None:
    model = Held()
    async with running(settings, model=model) as service:
        ann = await service.person()
        answers: list[tuple[int, str]] = []

        async def talk() -> None:
            answer = await ann.ask("POST", "/chat", {"message": "hello"})
            answers.append((answer.status_code, answer.json()["error"]["code"]))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(talk)
                await model.asked.wait()
                assert (await ann.ask("DELETE", "")).status_code == 204
                model.let_go.set()
        assert answers == [(404, "not_found")]
        await _is_gone(service, ann)


async def test_nothing_is_said_in_a_conversation_whose_row_is_gone(settings: Settings) -> None:
    async with running(settings) as service:
        ann = await service.person()
        number = (await ann.chat(ADD))["conversation_id"]
        await anyio.to_thread.run_sync(service.parts.users.delete, UUID(ann.id))
        with pytest.raises(ProjectionFailed):
            await service.parts.assistant.run("hello", user=ann.id, conversation=str(number))
        await service.parts.assistant.erase_user(ann.id)
        with pytest.raises(ProjectionFailed):
            await service.parts.assistant.run("hello", user=ann.id, conversation=str(number))
        await service.parts.assistant.erase_user(ann.id)
        await service.parts.limits.erase(UUID(ann.id))
        await _is_gone(service, ann)


async def _is_gone(service: Running, person: Person) -> None:
    with service.parts.database.reading() as session:
        assert session.get(User, UUID(person.id)) is None
        for table in (Task, Conversation, Message):
            assert session.exec(select(table).where(table.user_id == UUID(person.id))).all() == []
    assert await service.parts.assistant.conversations(user=person.id) == ()
    assert dict(await service.parts.state.values(person.id)) == {}
